package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
)

// Stats are counters since the store was opened, by this process, and what it holds now.
type Stats struct {
	Hits, Misses  int64 // of Lookup
	Fills         int64 // claims taken by fills
	Published     int64
	Invalidated   int64 // fills that were not published, as someone invalidated meanwhile
	Invalidations int64 // calls of Invalidate
	Dropped       int64 // pages, by Invalidate
	Retired       int64 // generations: everything was dropped
	Evicted       int64
	Damaged       int64 // pages dropped as their content was not what was published
	Reclaimed     int64 // orphaned claims taken away by the sweep
	Twins         int64 // made

	Pages, Bytes int64 // on disk, by the inventory
	MemoryBytes  int64
	Serving      bool // Unfence was called, and nothing shut this process since
	Fenced       bool // an operator or a failure fenced the folder
}

type counters struct {
	hits, misses, fills, published, invalidated, invalidations, dropped, retired, evicted, damaged, reclaimed, twins atomic.Int64
}

// Stats returns the counters. It reads the inventory: call it every few seconds, not for each request.
func (s *Store) Stats() Stats {
	c := &s.stats
	st := Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Fills: c.fills.Load(), Published: c.published.Load(),
		Invalidated: c.invalidated.Load(), Invalidations: c.invalidations.Load(), Dropped: c.dropped.Load(),
		Retired: c.retired.Load(), Evicted: c.evicted.Load(), Damaged: c.damaged.Load(), Reclaimed: c.reclaimed.Load(),
		Twins: c.twins.Load(), MemoryBytes: s.memory.bytes(),
		Serving: s.live.view.Load() != nil && !s.live.shut.Load(),
	}
	_, st.Fenced = s.FencedBy()
	if g, err := s.current(context.Background()); err == nil {
		defer g.drop()
		if pages, bytes, err := g.inv.Totals(context.Background()); err == nil {
			st.Pages, st.Bytes = pages, bytes
		}
	}
	return st
}

// SourcePosition returns how much of a source's invalidations has been applied to the pages. It is kept beside them
// and lost with them; empty: unknown.
func (s *Store) SourcePosition(ctx context.Context, source string) (Position, error) {
	g, err := s.current(ctx)
	if err != nil {
		return "", fmt.Errorf("position of %s: %w", source, err)
	}
	defer g.drop()
	p, err := g.inv.Source(ctx, source)
	if err != nil {
		return "", fmt.Errorf("position of %s: %w", source, err)
	}
	return Position(p), nil
}

// SetSourcePosition stores a source's applied position. Call it after the invalidations it covers.
func (s *Store) SetSourcePosition(ctx context.Context, source string, p Position) error {
	g, err := s.current(ctx)
	if err != nil {
		return fmt.Errorf("set the position of %s: %w", source, err)
	}
	defer g.drop()
	if err := g.inv.SetSource(ctx, source, string(p)); err != nil {
		return fmt.Errorf("set the position of %s: %w", source, err)
	}
	return nil
}

// nextStamp returns nanoseconds below a second that this store has not used lately, and another process hardly has.
func (s *Store) nextStamp() int64 {
	const stamps = 1_000_000_000 / stampUnit
	for {
		old := s.stamp.Load()
		next := old + 1
		if old == 0 {
			next = rand.Uint64N(stamps) + 1
		}
		if s.stamp.CompareAndSwap(old, next) {
			return int64(next%stamps) * stampUnit
		}
	}
}

type snapshotKey struct{}

// MarkSnapshot returns a context that says: a snapshot of the database was taken, by what. A fill begun under it would
// store what was read before its claim; the middleware sees the mark and stores nothing.
func MarkSnapshot(ctx context.Context, what string) context.Context {
	return context.WithValue(ctx, snapshotKey{}, what)
}

// SnapshotMark returns what took a snapshot above this context, if anything did.
func SnapshotMark(ctx context.Context) (what string, ok bool) {
	what, ok = ctx.Value(snapshotKey{}).(string)
	return what, ok
}
