package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A reaper carries out one invalidation in one generation.
type reaper struct {
	s       *Store
	g       *generation
	soft    bool
	dropped Dropped
	names   []string            // of the first pages dropped, for the journal
	folders map[string]*sys.Dir // opened for this invalidation; nil: there is none
}

// heldFolders bounds a reaper's open folders.
const heldFolders = 64

func (r *reaper) close() {
	for _, d := range r.folders {
		_ = d.Close()
	}
	r.folders = nil
}

func (r *reaper) reap(ctx context.Context, sel Selection) error {
	if sel.All && !r.soft {
		pages, _, err := r.g.inv.Totals(ctx)
		if err == nil {
			r.dropped.Pages = int(pages)
		}
		r.dropped.Retired = true
		return r.s.retireGeneration(ctx, r.g, retirement{reason: "everything was invalidated: " + sel.Cause, keepSources: true, after: &sel})
	}
	prefixes := sel.Prefixes
	if sel.All {
		prefixes = []key.Prefix{{}}
	}
	notice := r.g.notice(sel) // before the first unlink: a fill that is claimed after it must know
	if len(sel.Tags) == 0 && len(prefixes) == 0 {
		if fault.Broken(fault.SettleLate) {
			return errors.Join(r.keys(ctx, sel.Keys), r.g.inv.Notify(ctx, notice))
		}
		if len(notice.Names) > 0 && !fault.Broken(fault.SettleUnnoticed) {
			if err := r.g.inv.Notify(ctx, notice); err != nil {
				return err
			}
		}
		return r.keys(ctx, sel.Keys)
	}
	i := inventory.Invalidation{Soft: r.soft, Tags: sel.Tags, Cause: sel.Cause}
	for _, p := range prefixes {
		i.Prefixes = append(i.Prefixes, p.String())
	}
	seq, newest, err := r.g.inv.Record(ctx, i, notice)
	if err == nil {
		err = r.keys(ctx, sel.Keys)
	}
	if err != nil {
		return err
	}
	if err := r.intent(ctx, &i, newest); err != nil {
		return err
	}
	if err := r.g.inv.Done(ctx, seq); err != nil {
		r.s.log.Warn("an invalidation was carried out but stays noted as open; it will be done again", "err", err)
	}
	return nil
}

func (r *reaper) keys(ctx context.Context, keys []Key) error {
	for _, k := range keys {
		if err := r.key(ctx, k); err != nil {
			return fmt.Errorf("drop %s: %w", k, err)
		}
	}
	return nil
}

// intent drops what a recorded invalidation names. What is published after it was recorded has seen it.
func (r *reaper) intent(ctx context.Context, i *inventory.Invalidation, newest int64) error {
	for _, tag := range i.Tags {
		if err := r.rows(ctx, inventory.Select{Tag: tag, Until: newest}); err != nil {
			return fmt.Errorf("drop tag %s: %w", tag, err)
		}
	}
	for _, text := range i.Prefixes {
		p, err := key.ParsePrefix(text)
		if err == nil {
			err = r.prefix(ctx, p, newest)
		}
		if err != nil {
			return fmt.Errorf("drop prefix %s: %w", text, err)
		}
	}
	return nil
}

// folder opens a folder, or returns nil if there is none.
func (r *reaper) folder(dir string) (*sys.Dir, error) {
	if d, ok := r.folders[dir]; ok {
		return d, nil
	}
	d, err := r.g.pages.Open(fault.DropFolder, dir)
	if errors.Is(err, fs.ErrNotExist) {
		d, err = nil, nil
	}
	if err != nil {
		return nil, err
	}
	if len(r.folders) >= heldFolders {
		r.close()
	}
	if r.folders == nil {
		r.folders = make(map[string]*sys.Dir)
	}
	r.folders[dir] = d
	return d, nil
}

// unlink unlinks a file and counts it, if it was there.
func (r *reaper) unlink(l fault.Label, d *sys.Dir, name string, count *int) error {
	found, err := d.Unlink(l, name)
	if found {
		*count++
	}
	return err
}

func splitLast(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}
