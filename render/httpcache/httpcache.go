// Package httpcache says what HTTP allows a shared cache to do: which responses it may store and for how long (RFC 9111,
// 9213, 5861, 8246), which request a stored one answers (Vary), when it must be validated and what a validation changes,
// and what an unsafe request invalidates.
//
// All of it is pure: functions of headers and times, without state, I/O or clock, safe for concurrent use. They take time in
// proportion to the headers they read, which their caller bounds. Nothing that is handed in is modified, except by HopByHop.
//
// In this package a response past its freshness is called expired, where RFC 9111 says stale: that word means another thing
// here, a page older than an invalidation.
//
// Where the RFCs leave a choice, the answer that stores less is taken: what can't be understood is no page. Where this is
// stricter than what they suggest, the rule says so.
package httpcache

import (
	"fmt"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"time"
)

// Policy is the operator's part of the decision. The zero value is a shared cache by the book.
type Policy struct {
	// UntilInvalidated: the operator promises to invalidate, so what may be stored is kept until then. What is addressed
	// to caches like us still binds: targeted fields, Surrogate-Control, s-maxage, no-store, private. max-age, no-cache,
	// Expires and Pragma are then for browsers.
	UntilInvalidated bool
	// MaxAge is the longest freshness, whatever a response declares; 0: no such limit.
	MaxAge time.Duration
	// WhileRevalidate and IfError say how long past its freshness a response may be used while it is being revalidated,
	// or while the origin fails, where the response itself says nothing of it (RFC 5861). Default 0: not at all.
	WhileRevalidate time.Duration
	IfError         time.Duration
	// Targets are the targeted fields (RFC 9213) that are meant for us, the most specific first. Default (nil):
	// CDN-Cache-Control. Surrogate-Control is read after them, always.
	Targets []string
	// MaxTags bounds the tags of a page: what has more is not stored. Default 128. (middleware.Proxy takes the store's bound.)
	MaxTags int
}

// An Exchange is what was forwarded, and what came back.
type Exchange struct {
	Method         string
	Request        http.Header // as the client sent it
	Status         int
	Header         http.Header // as it was received; names in any case
	Host           string      // that of the page's key; groups are of one host (RFC 9875, 2.1)
	Sent, Received time.Time
}

// A Verdict says whether a response may be stored, and what for.
type Verdict struct {
	// Why is the reason why it is no page, in few words; "": store it.
	Why string
	// Lasting: waiting for this answer does not help the next client. Either the URL's next answer will most likely be no page as
	// well, or (if Why is "") this one must be validated before each use.
	Lasting bool
	// Life and Header are those of the page to be. Header holds the end-to-end headers: none that are hop-by-hop, listed by
	// Connection, or named by no-cache="…" or private="…"; no Age, Content-Length, Set-Cookie, targeted fields,
	// Surrogate-Control or fields of tags; and always a Date (RFC 9110, 6.6.1).
	Life   Life
	Header http.Header
	// Tags are what the page depends on, see the function Tags; none twice.
	Tags []string
}

// maxDelta is the largest number of seconds there is (RFC 9111, 1.2.2): what is larger, or does not fit, counts as this.
const maxDelta = 1 << 31 * time.Second

// Judge decides whether the response of an exchange may be stored (RFC 9111, 3), and works out its life.
//
// What a request's own Cache-Control asks is not looked at: whether that counts is the operator's choice (RFC 9111, 5.2.1:
// advisory), see Demands.
func Judge(x Exchange, p Policy) Verdict {
	return unreflected(judge(x, p), x.Request, canonical(x.Header))
}

func judge(x Exchange, p Policy) Verdict {
	h := canonical(x.Header)
	no := func(format string, args ...any) Verdict {
		return Verdict{Why: fmt.Sprintf(format, args...), Lasting: true}
	}
	switch {
	case x.Method != http.MethodGet: // RFC 9110, 9.3: what answers a GET is what we serve again
		return Verdict{Why: "method " + x.Method}
	case len(x.Request["Authorization"]) > 0: // stricter than RFC 9111, 3.5: credentials never make a shared page
		return Verdict{Why: "request has Authorization"}
	case !final(x.Status), x.Status == http.StatusPartialContent, x.Status == http.StatusNotModified:
		return no("status %d", x.Status)
	}
	for name, values := range h {
		if !ValidField(name, values) {
			return no("malformed header")
		}
	}
	for _, name := range [...]string{"Set-Cookie", "Set-Cookie2", "Trailer"} { // stricter than RFC 9111, 7.3
		if len(h[name]) > 0 {
			return no("response has %s", name)
		}
	}
	r, why := readRules(h, p)
	if why == "" {
		why = r.forbid(x.Status)
	}
	if why != "" {
		return no("%s", why)
	}
	keys, groups, err := readTags(h, x.Host)
	if err != nil { // then no invalidation by tag would reach it for certain
		return no("%v", err)
	}
	tags := append(keys, groups...)
	if why = p.tooManyTags(len(tags)); why != "" {
		return no("%s", why)
	}
	vary, why := varies(h)
	if why != "" {
		return no("%s", why)
	}
	date := dateOf(h, x.Received)
	life, why := r.lifetime(x, h, date, p)
	if why != "" {
		return no("%s", why)
	}
	life.Vary, life.Selected = vary, digest(vary, x.Request, true)
	if life.Fresh == Forever && len(h["Age"]) == 0 {
		life.Born = time.Time{} // its age counts from its publication: so most such pages need no note
	}
	stored := r.stored(h, p)
	stored.Set("Date", dateText(h, date))
	// What can't be used even once without asking for all of it again is not worth storing.
	fresh := life.FreshAt(x.Received)
	if !fresh && len(Conditions(stored)) == 0 && !life.MayServeWhileRevalidating(x.Received) && !life.MayServeOnError(x.Received) {
		if life.Validate {
			return no("must be validated, has no validator")
		}
		return no("expired already, has no validator")
	}
	return Verdict{Lasting: !fresh && !life.MayServeWhileRevalidating(x.Received), Life: life, Header: stored, Tags: tags}
}

// final reports whether a status is one of a final response (RFC 9110, 15).
func final(status int) bool { return status >= 200 && status <= 599 }

// heuristic lists the statuses that may be stored without declared freshness. RFC 9110, 15.1, has more: errors are not
// stored that way, as whoever can provoke one could put it in the page's place; and a 206 is no page.
var heuristic = []int{200, 203, 204, 300, 301, 308}

// understood reports whether we know a status' caching requirements (RFC 9111, 5.2.2.3): those of RFC 9110, but for 206
// and 304.
func understood(status int) bool {
	switch status {
	case 200, 201, 202, 203, 204, 205, 300, 301, 302, 303, 305, 307, 308, 421, 422, 426:
		return true
	}
	return status >= 400 && status <= 417 || status >= 500 && status <= 505
}

// blaming reports whether a status tells of the request rather than of what was asked for: 400, 413, 431 and their like.
// One client's bad request must not become everybody's page (an origin may well add its usual max-age to it).
func blaming(status int) bool {
	switch status {
	case http.StatusNotFound, http.StatusGone, http.StatusUnavailableForLegalReasons:
		return false
	}
	return status >= 400 && status < 500
}

// canonical returns headers by their canonical names, lines of the same name together, values without the whitespace
// around them.
func canonical(h http.Header) http.Header {
	c := make(http.Header, len(h))
	for _, name := range slices.Sorted(maps.Keys(h)) { // sorted: two spellings of a name combine the same way each time
		to := textproto.CanonicalMIMEHeaderKey(name)
		for _, v := range h[name] {
			c[to] = append(c[to], textproto.TrimString(v))
		}
	}
	return c
}
