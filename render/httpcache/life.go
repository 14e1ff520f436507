package httpcache

import (
	"math"
	"net/http"
	"time"
)

// Forever is the freshness of a page that is kept until it is invalidated.
const Forever time.Duration = math.MaxInt64

// maxSetBack is how far our clock may have been set back since a response was received. Beyond, its age is unknown, and it
// counts as expired.
const maxSetBack = time.Second

// A Life is how long a stored response may be used, and for which requests: what a page's note holds. It is a value; the
// questions about time cost neither memory nor I/O.
//
// Times are in milliseconds: Judge makes no others, and a note keeps no others.
type Life struct {
	// Born is when the response's age was 0, by our clock. It is zero if the age counts from the publication.
	Born time.Time
	// Fresh is the freshness lifetime; Forever: until invalidated. Heuristic: the response did not declare it.
	Fresh     time.Duration
	Heuristic bool
	// Validate: ask the origin before each use (no-cache).
	Validate bool
	// Must: never used past its freshness, whoever allows it (must-revalidate, proxy-revalidate, s-maxage).
	Must bool
	// WhileRevalidate and IfError are how long past its freshness it may be used while it is revalidated, and while
	// the origin fails (RFC 5861). 0 if Must or Validate.
	WhileRevalidate, IfError time.Duration
	// Vary are the request headers that the response varies on: canonical names, sorted. Where it is encoded,
	// "Accept-Encoding;CODING" stands for whether the client accepts that coding. Other responses don't vary on
	// Accept-Encoding: we don't send it. Selected is what Select made of them in the request that was answered.
	Vary     []string
	Selected string
	// Target is the targeted field or Surrogate-Control ("NAME: VALUE") that decided, if one did: it is not stored with
	// the headers, and holds on when a 304 does not repeat it.
	Target string
}

// Age returns the current age (RFC 9111, 4.2.3), at least 0; 0 if Born is zero.
func (l Life) Age(now time.Time) time.Duration {
	if l.Born.IsZero() {
		return 0
	}
	return max(now.Sub(l.Born), 0)
}

// Left returns the freshness that is left, negative past it; Forever if it has no end.
func (l Life) Left(now time.Time) time.Duration {
	if l.Fresh == Forever {
		return Forever
	}
	age := now.Sub(l.Born)
	if age < -maxSetBack {
		return -maxDelta
	}
	return l.Fresh - max(age, 0)
}

// FreshAt reports whether the response may be used without asking anybody (RFC 9111, 4.2: freshness_lifetime >
// current_age).
func (l Life) FreshAt(now time.Time) bool { return !l.Validate && l.Left(now) > 0 }

// MayServeWhileRevalidating reports whether a response that is not fresh may be used while it is revalidated in the
// background (RFC 5861, 3).
func (l Life) MayServeWhileRevalidating(now time.Time) bool { return l.within(l.WhileRevalidate, now) }

// MayServeOnError reports whether a response that is not fresh may be used because the origin can't be reached or
// answers 500, 502, 503 or 504 (RFC 5861, 4).
func (l Life) MayServeOnError(now time.Time) bool { return l.within(l.IfError, now) }

func (l Life) within(window time.Duration, now time.Time) bool {
	return window > 0 && !l.Must && !l.Validate && l.Left(now) > -window
}

// Selects reports whether the response answers a request, as far as Vary goes (RFC 9111, 4.1).
func (l Life) Selects(h http.Header) bool {
	return len(l.Vary) == 0 || Select(l.Vary, h) == l.Selected
}

// truncate makes its durations those that a note can hold.
func (l *Life) truncate() {
	for _, d := range [...]*time.Duration{&l.Fresh, &l.WhileRevalidate, &l.IfError} {
		if *d != Forever {
			*d = min(max(*d, 0), maxDelta).Truncate(time.Millisecond)
		}
	}
}
