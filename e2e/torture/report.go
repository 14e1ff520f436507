package torture

import (
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
	"sync"
	"time"
)

// ErrFailed is what a failed run's verdict wraps.
var ErrFailed = errors.New("torture: the target failed")

// A Report is what a run saw. Its JSON form is stable: later runs are compared with earlier ones.
type Report struct {
	Seed    uint64  `json:"seed"`
	Target  string  `json:"target"`
	Means   string  `json:"means"` // of invalidation
	Fault   string  `json:"fault"`
	Control string  `json:"control,omitempty"`
	Load    Load    `json:"load"`
	Seconds float64 `json:"seconds"` // of load, without start and silence

	// Reads under load, and how they were answered: each is one of the first five. NotModified and Heads say more of some.
	Reads       int64 `json:"reads"`
	Hits        int64 `json:"hits"`      // from the cache
	Misses      int64 `json:"misses"`    // by a fill
	Collapsed   int64 `json:"collapsed"` // by another request's fill
	Bypasses    int64 `json:"bypasses"`  // past the cache
	Files       int64 `json:"files"`     // straight from a published file
	Absent      int64 `json:"absent"`    // looked for a published file, and there was none
	NotModified int64 `json:"not_modified"`
	Parts       int64 `json:"parts"`   // 206
	Encoded     int64 `json:"encoded"` // with a Content-Encoding
	Heads       int64 `json:"heads"`
	Unjudged    int64 `json:"unjudged"` // HEAD answers with an ETag no reader has seen

	Commits   int64 `json:"commits"`
	Kills     int64 `json:"kills"`     // by the fault
	Verified  int64 `json:"verified"`  // pages compared with the database, in silence
	Repeated  int64 `json:"repeated"`  // ETags seen with two versions of a page; 31 bits of digest make that rare
	Excused   int64 `json:"excused"`   // requests that failed while a fault was at work
	Unsettled int64 `json:"unsettled"` // commits whose outcome a fault left open

	// What must be 0.
	Stale       int64 `json:"stale"`          // reads that began after the invalidation had returned, and got an older version
	Outdated    int64 `json:"stale_versions"` // versions so read
	Torn        int64 `json:"torn"`
	Survivors   int64 `json:"survivors"`   // pages old in silence
	Phantoms    int64 `json:"phantoms"`    // pages newer than the database, in silence
	Uncacheable int64 `json:"uncacheable"` // pages that don't become a hit, in silence
	Failures    int64 `json:"failures"`    // requests that failed without a fault
	Flaws       int64 `json:"flaws"`       // what the inspection of the folder found: orphaned claims, check's problems

	Examples []string `json:"examples,omitempty"` // the first of each kind

	Read         Percentiles `json:"read"`
	Commit       Percentiles `json:"commit"`       // as the committer waits for it
	Invalidation Percentiles `json:"invalidation"` // the part of the commit that is the cache's
}

// HitRatio is hits among hits and misses; collapsed requests are neither.
func (r *Report) HitRatio() float64 {
	if r.Hits+r.Misses == 0 {
		return 0
	}
	return float64(r.Hits) / float64(r.Hits+r.Misses)
}

// Violations counts everything that must not happen.
func (r *Report) Violations() int64 {
	return r.Stale + r.Torn + r.Survivors + r.Phantoms + r.Uncacheable + r.Failures + r.Flaws
}

// Verdict is nil for a run that saw no violation and saw enough to say so, else an ErrFailed with the first examples.
func (r *Report) Verdict() error {
	switch {
	case r.Violations() > 0:
		return fmt.Errorf("%w: %d stale reads of %d versions, %d torn, %d survivors, %d phantoms, %d uncacheable, "+
			"%d failures, %d flaws (seed %d)\n%s", ErrFailed, r.Stale, r.Outdated, r.Torn, r.Survivors, r.Phantoms,
			r.Uncacheable, r.Failures, r.Flaws, r.Seed, strings.Join(r.Examples, "\n"))
	case r.Hits == 0 || r.Commits == 0 || r.Verified == 0:
		return fmt.Errorf("%w: it proves nothing: %d hits, %d commits, %d pages verified (seed %d)",
			ErrFailed, r.Hits, r.Commits, r.Verified, r.Seed)
	}
	return nil
}

// WriteTo writes the report for people.
func (r *Report) WriteTo(w io.Writer) (int64, error) {
	var b strings.Builder
	control := ""
	if r.Control != "" {
		control = ", built wrong: " + r.Control
	}
	fmt.Fprintf(&b, "%s, invalidation by %s, fault: %s%s, seed %d\n", r.Target, r.Means, r.Fault, control, r.Seed)
	fmt.Fprintf(&b, "  load        %.1f s, %d pages of %d bytes, %d readers, %d committers\n",
		r.Seconds, r.Load.Pages, r.Load.Size, r.Load.Readers, r.Load.Committers)
	fmt.Fprintf(&b, "  reads       %d (%.0f/s): %d hits, %d misses, %d collapsed, %d bypasses, %d files (%d absent)\n",
		r.Reads, float64(r.Reads)/r.Seconds, r.Hits, r.Misses, r.Collapsed, r.Bypasses, r.Files, r.Absent)
	fmt.Fprintf(&b, "              %d answered 304, %d 206, %d encoded, %d HEAD (%d unjudged), hit ratio %.2f %%\n",
		r.NotModified, r.Parts, r.Encoded, r.Heads, r.Unjudged, 100*r.HitRatio())
	fmt.Fprintf(&b, "  commits     %d (%.0f/s)\n", r.Commits, float64(r.Commits)/r.Seconds)
	if r.Kills > 0 || r.Excused > 0 || r.Unsettled > 0 {
		fmt.Fprintf(&b, "  fault       %d kills, %d requests excused, %d commits unsettled\n", r.Kills, r.Excused, r.Unsettled)
	}
	fmt.Fprintf(&b, "  in silence  %d pages verified\n", r.Verified)
	fmt.Fprintf(&b, "  latency     read %s\n              commit %s\n              invalidation %s\n", r.Read, r.Commit, r.Invalidation)
	fmt.Fprintf(&b, "  violations  %d stale (%d versions, %.2f %% of commits), %d torn, %d survivors, %d phantoms, %d uncacheable, %d failures, %d flaws\n",
		r.Stale, r.Outdated, r.StaleVersions(), r.Torn, r.Survivors, r.Phantoms, r.Uncacheable, r.Failures, r.Flaws)
	for _, e := range r.Examples {
		fmt.Fprintf(&b, "    %s\n", e)
	}
	verdict := "passed"
	if r.Verdict() != nil {
		verdict = "FAILED"
	}
	fmt.Fprintf(&b, "  %s\n", verdict)
	n, err := io.WriteString(w, b.String())
	return int64(n), err
}

// Percentiles of a latency, in milliseconds, each up to 7 % too high.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

func (p Percentiles) String() string {
	if p.Count == 0 {
		return "not measured"
	}
	return fmt.Sprintf("p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms, max %.3f ms", p.P50, p.P99, p.P999, p.Max)
}

// A histogram counts durations in buckets of which each power of two has sixteen, so that its size is fixed. Safe for
// concurrent use.
type histogram struct {
	mu     sync.Mutex
	counts [64 * 16]int64
	n      int64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[bucket(d)]++
	h.n++
	h.max = max(h.max, d)
}

func (h *histogram) percentiles() Percentiles {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Percentiles{h.n, h.at(0.5), h.at(0.99), h.at(0.999), milliseconds(h.max)}
}

func (h *histogram) at(q float64) float64 {
	rank := int64(q * float64(h.n))
	for b, n := range h.counts {
		if rank -= n; rank < 0 {
			return milliseconds(min(upper(b), h.max))
		}
	}
	return milliseconds(h.max)
}

// bucket is the number of a duration's highest bit, followed by the four bits after it.
func bucket(d time.Duration) int {
	n := uint64(max(d, 1)) << 4 // so that there are four bits after it
	high := bits.Len64(n) - 1
	return (high-4)<<4 | int(n>>(high-4)&15)
}

// upper is the first duration beyond a bucket.
func upper(b int) time.Duration {
	return time.Duration((uint64(b&15)+17)<<(b>>4)) >> 4
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
