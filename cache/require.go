package cache

import (
	"context"
	"errors"
	"io/fs"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// What is required of pages that say what their source contains. An invalidation with a position raises it. One without makes it
// unknown, where positions are in use: its change may lie behind all that were named. Where things settle it need not: its
// note holds such pages back, too.
//
// That positions are in use is told by a mark in the generation, made before the first of them is required; so where none ever
// was, an invalidation pays one look for it, and asks no inventory.

const positionsMark = "positioned"

func markOf(generation string) string { return generation + "/" + positionsMark }

// makeMark marks a generation as one in which positions are in use.
func (s *Store) makeMark(mark string) error {
	fd, err := s.at.Create(fault.PositionsMake, mark)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		err = sys.CloseFD(fault.PositionsMake, fd)
	}
	return err
}

// lookForMark returns nil if a generation has the mark, and fs.ErrNotExist if not. What can't be found out must count as a mark
// for who would lose what is required, and as none for who is to make it.
func (s *Store) lookForMark(mark string) error {
	_, err := s.at.Stat(fault.PositionsStat, mark)
	return err
}

// unplaced reports whether the selection is about a change that nobody knows the position of.
func (sel *Selection) unplaced() bool {
	return sel != nil && len(sel.Position) == 0 && !sel.NoChange
}

// unmarked returns the generation that we know, if positions are not in use in it, for an invalidation without one. Call it before
// current: a generation that is retired loses its name, and its mark cannot be seen any more; but if it is current
// afterwards, it had its name when we looked.
func (s *Store) unmarked(sel Selection) *generation {
	g := s.gen.Load()
	if g == nil || !sel.unplaced() || sel.PositionUnknown || g.settle > 0 || g.marked.Load() {
		return nil
	}
	err := s.lookForMark(g.mark)
	if errors.Is(err, fs.ErrNotExist) {
		return g
	}
	if err == nil {
		g.marked.Store(true)
	}
	return nil
}

// require has what a selection says required before its first unlink, and returns the generation in which it is: one that was
// current afterwards, so that the next one has it from there.
//
//	openat gen-N/positioned O_CREAT|O_EXCL     with a position
//	inventory: raise what is required, or note that it is unknown
//	readlink current                           still that generation? else once more
func (s *Store) require(ctx context.Context, g, unmarked *generation, sel Selection) (*generation, error) {
	if sel.All && !sel.Soft || sel.NoChange && len(sel.Position) == 0 {
		return g, nil // what retires a generation tells the next one itself
	}
	const attempts = 10
	for range attempts {
		if sel.unplaced() && (g == unmarked || g.settle > 0) {
			return g, nil
		}
		gone, err := s.requireIn(ctx, g, sel)
		if err != nil {
			return g, err
		}
		now, err := s.current(ctx)
		if err != nil {
			return g, err
		}
		g.drop()
		if now == g {
			return g, gone
		}
		g = now
	}
	return g, errors.New("the current generation changes faster than a position can be noted in it")
}

// requireIn is require in one generation. Gone: it has none to be marked, which is an error if it is still current.
func (s *Store) requireIn(ctx context.Context, g *generation, sel Selection) (gone, err error) {
	if len(sel.Position) == 0 {
		return nil, g.inv.Lose(ctx, sel.PositionUnknown)
	}
	if !g.marked.Load() {
		err = s.makeMark(g.mark)
		if errors.Is(err, fs.ErrNotExist) {
			return err, nil
		}
		if err != nil {
			return nil, err
		}
		g.marked.Store(true)
	}
	return nil, g.inv.Raise(ctx, sel.Position)
}

// knows reports whether the generation that is current by now, if any, needs no telling of an invalidation that was to retire the
// one before it. A generation yet to be made begins with nothing known.
func (s *Store) knows(name string, after *Selection) bool {
	switch {
	case after == nil:
		return true
	case len(after.Position) > 0:
		return false
	}
	return name == "" || !after.unplaced() || !after.PositionUnknown && errors.Is(s.lookForMark(markOf(name)), fs.ErrNotExist)
}

// requiredAfter returns what is required in the generation that follows g.
func requiredAfter(g *generation, r inventory.Required, why retirement) inventory.Required {
	inUse := len(r.Position) > 0
	switch after := why.after; {
	case after != nil && len(after.Position) > 0:
		return r.Raised(after.Position)
	case after.unplaced() && g.settle == 0 && (inUse || after.PositionUnknown), why.unsettles && inUse:
		return r.Lost()
	}
	return r
}
