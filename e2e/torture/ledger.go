package torture

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// A ledger knows, of each page, the newest version whose invalidation has returned, and judges answers by it. Safe for
// concurrent use.
type ledger struct {
	required []atomic.Int64

	mu       sync.Mutex
	outdated map[shown]struct{} // versions that were read although they were too old
	counts   map[kind]int64
	examples []string
	first    func() // called at the first violation, if not nil
}

type shown struct {
	page    int
	version int64
}

// A kind of violation.
type kind string

const (
	stale       kind = "stale"
	torn        kind = "torn"
	survivor    kind = "survivor"
	phantom     kind = "phantom"
	uncacheable kind = "uncacheable"
	failure     kind = "failure"
	flaw        kind = "flaw"
)

// maxExamples bounds the examples kept of each kind.
const maxExamples = 5

func newLedger(pages int, first func()) *ledger {
	return &ledger{
		required: make([]atomic.Int64, pages),
		outdated: map[shown]struct{}{},
		counts:   map[kind]int64{},
		first:    first,
	}
}

// invalidated records that the invalidation of a version has returned.
func (l *ledger) invalidated(page int, version int64) {
	for {
		old := l.required[page].Load()
		if old >= version || l.required[page].CompareAndSwap(old, version) {
			return
		}
	}
}

// requires returns the version that a request starting now must get, or a newer one.
func (l *ledger) requires(page int) int64 { return l.required[page].Load() }

// judge compares an answer with what its request required.
func (l *ledger) judge(page int, required int64, a Answer) {
	if a.Version == 0 || a.Version >= required {
		return
	}
	l.mu.Lock()
	l.outdated[shown{page, a.Version}] = struct{}{}
	l.mu.Unlock()
	l.report(stale, "page %d: version %d by %s (%s), after the invalidation of %d had returned", page, a.Version, a.From, a.Ask, required)
}

// report records a violation.
func (l *ledger) report(k kind, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[k]++; l.counts[k] <= maxExamples {
		l.examples = append(l.examples, string(k)+": "+fmt.Sprintf(format, args...))
	}
	if l.first != nil {
		l.first()
	}
}

// violated tells whether there was any violation.
func (l *ledger) violated() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.counts) > 0
}

// enter copies the violations into a report.
func (l *ledger) enter(r *Report) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r.Stale, r.Outdated, r.Torn = l.counts[stale], int64(len(l.outdated)), l.counts[torn]
	r.Survivors, r.Phantoms = l.counts[survivor], l.counts[phantom]
	r.Uncacheable, r.Failures, r.Flaws = l.counts[uncacheable], l.counts[failure], l.counts[flaw]
	r.Examples = l.examples
}
