package purge

import (
	"errors"
	"iter"
	"sync/atomic"
)

// A Kind says what a request asked to drop.
type Kind int

// The kinds of requests.
const (
	KindURL  Kind = iota // PURGE of a URL
	KindTags             // PURGE of tags
	KindAPI              // POST to the API
	KindNone             // a PURGE that was refused before it was read
	kinds
)

func (k Kind) String() string { return [...]string{"url", "tags", "api", "unread"}[k] }

// An Outcome says what became of a request.
type Outcome int

// The outcomes of requests.
const (
	Dropped   Outcome = iota // something was there, and is no more
	Nothing                  // nothing was there
	DryRun                   // nothing was to be dropped
	Forbidden                // the sender may not
	Refused                  // it could not be understood, or not be taken just now; nothing was dropped
	Failed                   // what was named may still be served: fence the cache
	outcomes
)

func (o Outcome) String() string {
	return [...]string{"dropped", "nothing", "dry_run", "forbidden", "refused", "failed"}[o]
}

// Counts count requests. The zero value counts none so far. It may be shared, and is safe for concurrent use.
type Counts struct{ n [kinds][outcomes]atomic.Int64 }

// A Count is how often something came to an outcome.
type Count struct {
	Kind    Kind
	Outcome Outcome
	N       int64
}

// All returns every count there can be, those at 0 too.
func (c *Counts) All() iter.Seq[Count] {
	return func(yield func(Count) bool) {
		for k := range kinds {
			for o := range outcomes {
				if k == KindNone && o != Forbidden && o != Refused || o == DryRun && k != KindAPI {
					continue
				}
				if !yield(Count{k, o, c.n[k][o].Load()}) {
					return
				}
			}
		}
	}
}

func (c *Counts) add(k Kind, a answer, err error) {
	if c != nil {
		c.n[k][outcomeOf(a, err)].Add(1)
	}
}

func outcomeOf(a answer, err error) Outcome {
	var r *refusal
	switch {
	case errors.Is(err, ErrForbidden):
		return Forbidden
	case errors.As(err, &r) && r.failed:
		return Failed
	case err != nil:
		return Refused
	case a.DryRun:
		return DryRun
	case a.Dropped+a.Twins+a.Fills == 0 && !a.Everything:
		return Nothing
	default:
		return Dropped
	}
}
