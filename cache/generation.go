package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/inventory"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// A generation is a folder of inventory and pages that live and die together. Whoever uses one holds a reference, as
// its descriptors are closed with the last.
type generation struct {
	name   string        // gen-N, N being the time of its making and a random number; and what settles in it
	settle time.Duration // Options.Settle
	pages  *sys.Dir
	inv    *inventory.DB
	refs   atomic.Int64  // one is the store's
	calls  *atomic.Int64 // of the store: references to all its generations
	marked atomic.Bool   // positions are known to be in use; see require
	mark   string        // the path of the mark of that
}

func (g *generation) acquire() bool {
	g.calls.Add(1) // first, so that it is never zero while anyone holds one
	for {
		n := g.refs.Load()
		if n == 0 {
			g.calls.Add(-1)
			return false
		}
		if g.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// drop gives a reference back.
func (g *generation) drop() {
	if g.refs.Add(-1) == 0 {
		_ = g.inv.Close()
		_ = g.pages.Close()
	}
	g.calls.Add(-1)
}

// current returns the generation that DIR/cache/current names at this moment, opening it if another process has
// retired the one we knew. The caller drops it.
//
// An invalidation must look here before its first unlink: dropping from a retired generation would leave the page of
// the current one. Looking before is enough: what is filled into a generation made later was claimed later.
func (s *Store) current(ctx context.Context) (*generation, error) {
	for range 10 {
		if s.closed.Load() {
			return nil, ErrClosed
		}
		if g := s.gen.Load(); g != nil && g.acquire() {
			name, err := s.at.Readlink(fault.GenerationRead, "current")
			if err == nil && name == g.name {
				return g, nil
			}
			g.drop()
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		if err := s.follow(ctx); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("the current generation changes faster than it can be opened")
}

// follow opens the generation that is current now, making one if there is none.
func (s *Store) follow(ctx context.Context) error {
	s.retire.Lock()
	defer s.retire.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	if g := s.gen.Load(); g != nil {
		if name, err := s.at.Readlink(fault.GenerationRead, "current"); err == nil && name == g.name {
			return nil // another goroutine has followed meanwhile
		}
	}
	unlock, err := s.lockGenerations(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return s.openGeneration()
}

// generationTimeout bounds the wait for another process that retires a generation.
const generationTimeout = 5 * time.Second

// lockGenerations orders the retirements of all processes.
func (s *Store) lockGenerations(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, generationTimeout)
	defer cancel()
	l := flock.New(s.path("generations"))
	if err := waitLock(ctx, fault.GenerationLock, l, time.Millisecond); err != nil {
		_ = l.Close()
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return func() { _ = l.Close() }, nil
}

// openGeneration makes s.gen the current generation, under the lock of generations. One whose inventory can't be opened is quarantined: unknown
// means drop.
func (s *Store) openGeneration() error {
	const attempts = 3
	var err error
	for range attempts {
		var name string
		name, err = s.at.Readlink(fault.GenerationRead, "current")
		if errors.Is(err, fs.ErrNotExist) {
			name, err = s.makeGeneration(inventory.First{Required: inventory.Required{Whole: s.fresh}})
		}
		if err != nil {
			return err
		}
		var g *generation
		if g, err = s.loadGeneration(name); err == nil {
			if old := s.gen.Swap(g); old != nil {
				old.drop()
			}
			return nil
		}
		s.log.Error("a generation can't be used; dropping all its pages", "generation", name, "err", err)
		s.stats.retired.Add(1)
		if err := s.discard(name); err != nil {
			return err
		}
	}
	return err
}

func (s *Store) loadGeneration(name string) (*generation, error) {
	if !isGeneration(name) {
		return nil, fmt.Errorf("current names %q, which is no generation", name)
	}
	g := &generation{name: name, calls: &s.calls, mark: markOf(name)}
	g.refs.Store(1)
	var err error
	if g.settle, err = settleOf(name); err != nil {
		return nil, err
	}
	if g.pages, err = s.at.Open(fault.GenerationOpen, name+"/pages"); err != nil {
		return nil, err
	}
	inv, err := inventory.Open(s.path(name+"/inventory.db"), s.o.InventoryTimeout, inventory.Settling{For: g.settle, Clock: s.clock})
	if err != nil {
		_ = g.pages.Close()
		return nil, err
	}
	g.inv = inv
	g.calls.Add(1)
	return g, nil
}

// isGeneration reports whether a name is one of a generation.
func isGeneration(name string) bool {
	return strings.HasPrefix(name, "gen-") && !strings.Contains(name, "/")
}

// makeGeneration makes an empty generation and then current name it. What was known before it that still holds is carried over;
// and all there is settles from here on, as nobody knows what was invalidated before.
func (s *Store) makeGeneration(first inventory.First) (name string, err error) {
	f, _, err := s.readFormat()
	if err != nil {
		return "", err
	}
	if f.Settle > 0 {
		first.Settles = max(1, s.clock())
	}
	s.fresh = false
	name = generationName(fmt.Sprintf("gen-%d-%08x", time.Now().Unix(), rand.Uint32()), f.Settle)
	defer func() {
		if err != nil {
			_, _ = s.at.Rename(fault.GenerationTrash, name, s.trash, s.uniqueName(name))
		}
	}()
	for _, dir := range []string{name, name + "/pages"} {
		if err := s.at.Make(fault.GenerationMake, dir); err != nil {
			return "", err
		}
	}
	if err := inventory.Create(s.path(name+"/inventory.db"), first); err != nil {
		return "", err
	}
	if len(first.Required.Position) > 0 {
		if err := s.makeMark(markOf(name)); err != nil {
			return "", err
		}
	}
	return name, s.at.Replace(fault.GenerationName, "current", name, s.uniqueName("current"))
}

// discard moves a generation to the trash: from here on no reader finds its pages, as every hit resolves its path
// from live, and what is still being filled is published into the trash. Then the name is free.
//
//	rename gen-N trash/… · unlink current
func (s *Store) discard(name string) error {
	if isGeneration(name) { // whatever else current may name is not ours to move
		if _, err := s.at.Rename(fault.GenerationTrash, name, s.trash, s.uniqueName(name)); err != nil {
			return err
		}
	}
	if now, err := s.at.Readlink(fault.GenerationRead, "current"); err != nil || now != name {
		return ignoreGone(err)
	}
	_, err := s.at.Unlink(fault.GenerationUnname, "current")
	return err
}

// discardOthers discards generations that are not the current one: left by whoever died, or failed, in making one.
func (s *Store) discardOthers(ctx context.Context, g *generation) error {
	unlock, err := s.lockGenerations(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if now, err := s.at.Readlink(fault.GenerationRead, "current"); err != nil || now != g.name {
		return ignoreGone(err)
	}
	names, err := s.at.Names(fault.GenerationList, ".")
	for _, name := range names {
		if err == nil && isGeneration(name) && name != g.name {
			err = s.discard(name)
		}
	}
	return err
}

// A retirement says why a generation is dropped, and what the next one begins with.
type retirement struct {
	reason      string
	keepSources bool       // what was applied of sources still is
	after       *Selection // the invalidation that it carries out, or that failed; nil: none, or one that was told of before
	unsettles   bool       // what was invalidated without a position settles no more
	lost        bool       // what is required may have been lost with the invalidation that failed
}

// retireGeneration drops everything by discarding a generation and making an empty one. Should making it fail, the
// drop stands: there is no page, and the next claim tries again.
//
// What is required is read when the old one is discarded, so that whoever raises it and then finds the generation to be current
// has raised it in the next one, too.
func (s *Store) retireGeneration(ctx context.Context, g *generation, why retirement) error {
	s.retire.Lock()
	defer s.retire.Unlock()
	unlock, err := s.lockGenerations(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	defer unlock()
	name, err := s.at.Readlink(fault.GenerationRead, "current")
	if err == nil && name != g.name || errors.Is(err, fs.ErrNotExist) { // someone else has retired it meanwhile
		if s.knows(name, why.after) {
			return nil
		}
		if err = s.openGeneration(); err == nil {
			g = s.gen.Load()
		}
	}
	if err != nil {
		return err
	}
	var first inventory.First
	if why.keepSources {
		if first.Sources, err = g.inv.Sources(ctx); err != nil {
			first.Sources = nil // unknown: whoever follows that source drops once more
		}
	}
	level := slog.LevelInfo
	if pages, _, err := g.inv.Totals(ctx); err == nil && pages == 0 {
		level = slog.LevelDebug // a new folder's first start
	}
	if err := s.discard(g.name); err != nil {
		return err
	}
	s.stats.retired.Add(1)
	s.log.Log(ctx, level, "retired the generation: every page is dropped", "generation", g.name, "reason", why.reason)
	if !why.lost {
		if first.Required, err = g.inv.Required(ctx); err != nil {
			s.log.Warn("what sources must contain is unknown; answers that name a position are not stored until an invalidation names one", "err", err)
			first.Required = inventory.Required{}
		}
	}
	first.Required = requiredAfter(g, first.Required, why)
	if _, err := s.makeGeneration(first); err != nil {
		s.log.Error("no new generation can be made; answering past the cache until it can", "err", err)
		return nil
	}
	if s.closed.Load() {
		return nil
	}
	if err := s.openGeneration(); err != nil {
		s.log.Error("the new generation can't be opened; answering past the cache until it can", "err", err)
	}
	return nil
}

// retireAll discards every generation: after a power cut nothing of them can be trusted.
func (s *Store) retireAll() error {
	names, err := s.at.Names(fault.GenerationList, ".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if isGeneration(name) {
			if err := s.discard(name); err != nil {
				return err
			}
		}
	}
	_, err = s.at.Unlink(fault.GenerationUnname, "current")
	return err
}
