package cache

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// rows drops the publications that a selection of rows names.
func (r *reaper) rows(ctx context.Context, sel inventory.Select) error {
	if sel.Until == 0 {
		return nil // nothing was ever published
	}
	return r.g.inv.Rows(ctx, sel, func(row *inventory.Row) error {
		if r.soft && row.Grace > 0 {
			return r.grace(ctx, row)
		}
		if fault.Broken(fault.RowsBeforeUnlinks) {
			_ = r.g.inv.Delete(ctx, []int64{row.ID})
		}
		r.s.keep.suspect(r.g, row.File) // and not "gone": a twin may still be under way
		before := r.dropped.Pages
		err := r.row(row)
		r.name(before, row.Key)
		return err
	})
}

// name notes the name of a page if it has been dropped.
func (r *reaper) name(before int, name string) {
	if r.dropped.Pages > before && len(r.names) < journalDropped {
		r.names = append(r.names, name)
	}
}

// row drops one publication by what its row says of its files:
//
//	unlink NAME.tmp · NAME · its twins · NAME.stale
//
// The claim comes first, even though the fill's own look at the inventory has decided: its row may be committed and
// its page not yet linked.
func (r *reaper) row(row *inventory.Row) error {
	folder, name, unlock, err := r.seize(row)
	if err != nil {
		return err
	}
	defer unlock()
	if folder == nil {
		return nil
	}
	if err := r.unlink(fault.PageDrop, folder, name, &r.dropped.Pages); err != nil {
		return err
	}
	for i, e := range encodings {
		// A soft purge by key records no intent that would keep twins from being made since the row was read.
		if r.soft || row.Twins&(1<<i) != 0 {
			if err := r.unlink(fault.TwinDrop, folder, name+e.suffix, &r.dropped.Twins); err != nil {
				return err
			}
		}
	}
	return r.unlink(fault.GracedDrop, folder, name+key.StaleSuffix, &r.dropped.Graced)
}

// seize takes the claim of a row's page away, so that the row can't be published any more, and opens the page's folder;
// nil if there is none.
func (r *reaper) seize(row *inventory.Row) (folder *sys.Dir, name string, unlock func(), err error) {
	if unlock, err = r.s.guard(row.Claim); err != nil {
		return nil, "", nil, err
	}
	if !fault.Broken(fault.KeepRowsClaim) {
		err = r.unlinkClaim(row.Claim)
	}
	if err == nil {
		var dir string
		dir, name = splitLast(row.File)
		folder, err = r.folder(dir)
	}
	if err != nil {
		unlock()
	}
	return folder, name, unlock, err
}

// grace turns one publication into a graced page.
//
//	inventory: note when · unlink NAME.tmp · rename NAME NAME.stale · unlink the twins
func (r *reaper) grace(ctx context.Context, row *inventory.Row) error {
	if err := r.g.inv.SetGraced(ctx, time.Now().UnixNano(), []int64{row.ID}); err != nil {
		return err
	}
	folder, name, unlock, err := r.seize(row)
	if err != nil {
		return err
	}
	defer unlock()
	if folder == nil {
		return nil
	}
	st, err := folder.Stat(fault.GraceStat, name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && identityOf(st) != row.Identity {
		return nil // this row's page is gone; a later one has a row of its own
	}
	if err != nil {
		return err
	}
	found, err := folder.Rename(fault.PageGrace, name, folder, name+key.StaleSuffix)
	if err != nil {
		return err
	}
	if found {
		r.dropped.Pages++
		r.name(r.dropped.Pages-1, row.Key)
	}
	return r.twins(folder, name)
}

func (r *reaper) unlinkClaim(path string) error {
	dir, name := splitLast(path)
	folder, err := r.folder(dir)
	if err != nil || folder == nil {
		return err
	}
	fault.Point(fault.DropClaim)
	err = r.unlink(fault.ClaimDrop, folder, name, &r.dropped.Claims)
	fault.Point(fault.DropPage)
	return err
}

func (r *reaper) twins(folder *sys.Dir, name string) error {
	for _, suffix := range key.TwinSuffixes() {
		if err := r.unlink(fault.TwinDrop, folder, name+suffix, &r.dropped.Twins); err != nil {
			return err
		}
	}
	return nil
}
