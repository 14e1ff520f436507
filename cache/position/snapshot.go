package position

import (
	"fmt"
	"slices"
)

// A Snapshot is a set of transactions, as PostgreSQL's pg_snapshot tells it: those below Xmax, without those in Missing; and
// those in Ahead, whatever Xmax says. (A pg_snapshot's xmin says only that none below it is missing.)
type Snapshot struct {
	Xmax    uint64
	Missing []uint64 // ascending, below Xmax
	Ahead   []uint64 // ascending
}

func (s *Snapshot) check() error {
	if s.Xmax == 0 {
		return fmt.Errorf("%w: a snapshot's xmax is at least 1", ErrMalformed)
	}
	if !ascending(s.Missing) || !ascending(s.Ahead) {
		return fmt.Errorf("%w: a snapshot's transactions ascend, each once", ErrMalformed)
	}
	if n := len(s.Missing); n > 0 && s.Missing[n-1] >= s.Xmax {
		return fmt.Errorf("%w: transaction %d is in progress, and not below xmax %d", ErrMalformed, s.Missing[n-1], s.Xmax)
	}
	return nil
}

func ascending(ids []uint64) bool {
	for i, id := range ids {
		if id == 0 || i > 0 && ids[i-1] >= id {
			return false
		}
	}
	return true
}

// canonical returns the same set without what tells nothing: what is ahead and below Xmax is not missing, and Xmax follows a
// transaction that is in the set, and precedes one that is not.
func (s *Snapshot) canonical() Snapshot {
	c := Snapshot{Xmax: s.Xmax}
	for _, id := range s.Missing {
		if !among(s.Ahead, id) {
			c.Missing = append(c.Missing, id)
		}
	}
	for _, id := range s.Ahead {
		if id == c.Xmax && id+1 != 0 {
			c.Xmax++
		} else if id >= c.Xmax {
			c.Ahead = append(c.Ahead, id)
		}
	}
	for n := len(c.Missing); n > 0 && c.Missing[n-1] == c.Xmax-1 && c.Xmax > 1; n-- {
		c.Xmax--
		c.Missing = c.Missing[:n-1]
	}
	return c
}

func among(ids []uint64, id uint64) bool {
	_, ok := slices.BinarySearch(ids, id)
	return ok
}

// has reports whether a transaction is in the set.
func (s *Snapshot) has(id uint64) bool {
	if id < s.Xmax && !among(s.Missing, id) {
		return true
	}
	return among(s.Ahead, id)
}

// contains reports whether all of b is in s: what s lacks below its xmax is not in b; of what b has between the two xmax, s
// has each one ahead; and s has what b has ahead.
func (s *Snapshot) contains(b *Snapshot) bool {
	for _, id := range s.Missing {
		if b.has(id) && !among(s.Ahead, id) {
			return false
		}
	}
	if b.Xmax > s.Xmax { // counted, as the gap may be wide
		var ahead uint64
		for _, id := range s.Ahead {
			if id >= s.Xmax && id < b.Xmax && !among(b.Missing, id) {
				ahead++
			}
		}
		var missing uint64
		for _, id := range b.Missing {
			if id >= s.Xmax {
				missing++
			}
		}
		if b.Xmax-s.Xmax-missing != ahead {
			return false
		}
	}
	for _, id := range b.Ahead {
		if !s.has(id) {
			return false
		}
	}
	return true
}

// union returns the least set that contains both.
func (s *Snapshot) union(b *Snapshot) Snapshot {
	u := Snapshot{Xmax: max(s.Xmax, b.Xmax)}
	for _, id := range slices.Concat(s.Missing, b.Missing) {
		if !s.has(id) && !b.has(id) {
			u.Missing = append(u.Missing, id)
		}
	}
	for _, id := range slices.Concat(s.Ahead, b.Ahead) {
		if id >= u.Xmax {
			u.Ahead = append(u.Ahead, id)
		}
	}
	for _, list := range []*[]uint64{&u.Missing, &u.Ahead} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	return u.canonical()
}
