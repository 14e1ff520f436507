package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// A Demand is what a client asks of a cache with its request's Cache-Control (RFC 9111, 5.2.1). A cache need not listen:
// that is the operator's choice.
type Demand struct {
	NoCache      bool          // ask the origin
	NoStore      bool          // store nothing of the answer
	OnlyIfCached bool          // answer from the cache, or with 504
	Limited      bool          // MaxAge was given: 0 is a demand as well
	MaxAge       time.Duration // no response older than this
	MinFresh     time.Duration // none that will not be fresh for so long
	MaxStale     time.Duration // one that is so long past its freshness will do; Forever: any
}

// Demands reads the demands of a request: Cache-Control or, without that, Pragma: no-cache (RFC 9111, 5.4). What is
// malformed is ignored.
func Demands(h http.Header) (d Demand) {
	lines := h["Cache-Control"]
	if len(lines) == 0 {
		d.NoCache = slices.ContainsFunc(Elements(h["Pragma"]), func(p string) bool { return strings.EqualFold(p, "no-cache") })
		return d
	}
	var ds directives
	for _, part := range split(strings.Join(lines, ","), ",") {
		if e, rest, ok := cutDirective(part); ok && rest == "" && len(ds) < maxDirectives {
			ds = append(ds, e)
		}
	}
	for _, e := range ds {
		n, number := DeltaSeconds(e.value)
		switch {
		case e.name == "no-cache":
			d.NoCache = true
		case e.name == "no-store":
			d.NoStore = true
		case e.name == "only-if-cached":
			d.OnlyIfCached = true
		case e.name == "max-stale" && !e.argument:
			d.MaxStale = Forever
		case !number:
		case e.name == "max-age" && (!d.Limited || n < d.MaxAge):
			d.Limited, d.MaxAge = true, n
		case e.name == "min-fresh":
			d.MinFresh = max(d.MinFresh, n)
		case e.name == "max-stale":
			d.MaxStale = max(d.MaxStale, n)
		}
	}
	return d
}

// Accepts reports whether a stored response may answer the demand without asking the origin, as far as age and freshness
// go. The zero Demand accepts what is fresh.
func (d Demand) Accepts(l Life, now time.Time) bool {
	left := l.Left(now)
	switch {
	case d.NoCache, l.Validate, d.Limited && l.Age(now) > d.MaxAge:
		return false
	case left > 0:
		return left >= d.MinFresh
	}
	// RFC 9111, 4.2.4: past its freshness only with the client's leave, and never against the origin's word.
	return d.MinFresh == 0 && d.MaxStale > 0 && !l.Must && (d.MaxStale == Forever || -left <= d.MaxStale)
}
