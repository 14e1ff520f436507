package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

// Invalidate drops what the selection names. Call it when the change is visible to new readers. When it has returned
// nil, P1 holds: no request that starts afterwards is answered from the cache with older data, fills in flight
// included, whatever process they are in.
//
// What can't be dropped or recorded one by one is dropped with everything else (Dropped.Retired); an error means that
// even that failed, and that readers may get old pages until the folder is fenced by hand. A canceled context does
// not stop it half-way.
func (s *Store) Invalidate(ctx context.Context, sel Selection) (Dropped, error) {
	if err := sel.check(); err != nil {
		return Dropped{}, fmt.Errorf("invalidate: %w", err)
	}
	began := time.Now()
	dropped, names, err := s.invalidate(context.WithoutCancel(ctx), sel.spelled())
	s.journalCall(sel, dropped, names, began, err)
	return dropped, err
}

// invalidate also returns the names of the first pages dropped.
func (s *Store) invalidate(ctx context.Context, sel Selection) (d Dropped, names []string, err error) {
	s.stats.invalidations.Add(1)
	unmarked := s.unmarked(sel)
	g, err := s.current(ctx)
	if errors.Is(err, ErrClosed) {
		return Dropped{}, nil, fmt.Errorf("invalidate: %w", err)
	}
	if err != nil {
		if _, linkErr := s.at.Readlink(fault.GenerationRead, "current"); errors.Is(linkErr, fs.ErrNotExist) {
			return Dropped{Retired: true}, nil, nil // there is no generation, and the next one's fills claim after this
		}
		s.log.Error("an invalidation could not reach the folder; fencing, as unknown means drop", "err", err)
		if err := s.fenceUntilDropped(ctx, err); err != nil {
			return Dropped{}, nil, fmt.Errorf("invalidate: %w", err)
		}
		return Dropped{Retired: true}, nil, nil
	}
	defer func() { g.drop() }()
	if sel.DryRun {
		d, err = s.dryRun(ctx, g, sel)
		return d, nil, err
	}
	g, err = s.require(ctx, g, unmarked, sel)
	r := &reaper{s: s, g: g, soft: sel.Soft && !s.o.Plain}
	defer r.close()
	if err == nil {
		err = r.reap(ctx, sel)
	}
	if err != nil {
		if err := s.failClosed(ctx, g, err, &sel); err != nil {
			return r.dropped, r.names, fmt.Errorf("invalidate: %w", err)
		}
		r.dropped.Retired = true
	}
	s.stats.dropped.Add(int64(r.dropped.Pages))
	return r.dropped, r.names, nil
}

func (sel Selection) check() error {
	for _, k := range sel.Keys {
		if !strings.HasPrefix(k.Path, "/") {
			return fmt.Errorf("key %q: %w: build it with key.Parse", k, key.ErrInvalid)
		}
	}
	for _, p := range sel.Prefixes {
		if p.Path != "" && p.Path[0] != '/' {
			return fmt.Errorf("prefix %q: %w: build it with key.ParsePrefix", p, key.ErrInvalid)
		}
	}
	for _, t := range sel.Tags {
		if err := CheckTag(t); err != nil {
			return err
		}
	}
	if sel.PositionUnknown && len(sel.Position) > 0 {
		return fmt.Errorf("its position: %w: it is named, and said to be unknown", position.ErrMalformed)
	}
	if len(sel.Position) > 0 {
		return checkPosition(sel.Position)
	}
	return nil
}

// concerns reports whether an invalidation that was recorded after a fill's claim drops what it renders.
func concerns(i *inventory.Invalidation, k Key, tags []string) bool {
	if fault.Broken(fault.TagsUnchecked) {
		return false
	}
	for _, t := range i.Tags {
		if slices.Contains(tags, t) {
			return true
		}
	}
	for _, text := range i.Prefixes {
		if p, err := key.ParsePrefix(text); err != nil || p.Covers(k) {
			return true
		}
	}
	return false
}

// redoIntents carries out what the dead had recorded and not finished. Doing one again is harmless.
func (s *Store) redoIntents(ctx context.Context, g *generation, age time.Duration) error {
	open, err := g.inv.Intents(ctx, age)
	if err != nil {
		return s.failClosed(ctx, g, err, nil)
	}
	for _, i := range open {
		r := &reaper{s: s, g: g, soft: i.Soft}
		newest, err := g.inv.Newest(ctx)
		if err == nil {
			err = r.intent(ctx, &i, newest)
		}
		r.close()
		if err == nil {
			err = g.inv.Done(ctx, i.Seq)
		}
		if err != nil {
			return s.failClosed(ctx, g, err, nil)
		}
		s.log.Info("finished an invalidation that was left open", "seq", i.Seq, "tags", i.Tags, "prefixes", i.Prefixes, "pages", r.dropped.Pages)
	}
	return nil
}
