package cache

import (
	"context"
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
