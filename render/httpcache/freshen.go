package httpcache

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// Conditions returns the headers that make a request for a stored response a conditional one (RFC 9111, 4.3.1); empty if
// it has no validator, or none that is well-formed. A Last-Modified that is not a strong validator counts as none: what was
// stored may be an earlier version of the same second, and a 304 would keep it for good.
func Conditions(stored http.Header) http.Header {
	c := make(http.Header, 2)
	if tag, ok := entityTag(stored); ok {
		c["If-None-Match"] = []string{tag}
	}
	if strongDate(stored) {
		c["If-Modified-Since"] = stored["Last-Modified"]
	}
	return c
}

// strongDate reports whether a stored response's Last-Modified is a strong validator (RFC 9110, 8.8.2.2): a second or more
// before its Date. Without Date nobody knows.
func strongDate(h http.Header) bool {
	if len(h["Last-Modified"]) != 1 || len(h["Date"]) != 1 {
		return false
	}
	date, ok := parseDate(h["Date"][0], time.Unix(0, 0))
	if !ok {
		return false
	}
	modified, ok := parseDate(h["Last-Modified"][0], date)
	return ok && !date.Before(modified.Add(time.Second))
}

// entityTag returns a response's ETag, if it has one that is well-formed (RFC 9110, 8.8.3).
func entityTag(h http.Header) (tag string, ok bool) {
	tags := h["Etag"]
	if len(tags) != 1 {
		return "", false
	}
	opaque, ok := strings.CutPrefix(strings.TrimPrefix(tags[0], "W/"), `"`)
	if !ok {
		return "", false
	}
	opaque, ok = strings.CutSuffix(opaque, `"`)
	return tags[0], ok && !strings.ContainsFunc(opaque, func(r rune) bool { return r == '"' || r <= ' ' || r == 0x7f })
}

// Validates reports whether a 304 that came for the stored response's validators, or a 200 for a HEAD, tells of that very
// response (RFC 9111, 4.3.4 and 4.3.5). A strong ETag must be the stored one; a weak one its weak equal; without ETag,
// Last-Modified must be equal. A 304 with no validator at all can only mean the one that was asked about. After a HEAD the
// caller compares the Content-Length too: it is not among the stored headers.
func Validates(stored, received http.Header) bool {
	received = canonical(received)
	if len(received["Etag"]) > 0 {
		have, ok := entityTag(stored)
		tag, well := entityTag(received)
		if weak, is := strings.CutPrefix(tag, "W/"); is {
			tag, have = weak, strings.TrimPrefix(have, "W/")
		}
		return ok && well && tag == have
	}
	if len(received["Last-Modified"]) > 0 {
		return slices.Equal(stored["Last-Modified"], received["Last-Modified"])
	}
	return true
}

// unchanging are what a validation does not change: RFC 9111, 3.2, says so of Content-Length, and lets those out that
// tell how to read the stored body, and the ETag that names it.
var unchanging = []string{"Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Etag"}

// NotStored is why Freshen refuses a validation that tells of another response.
const NotStored = "not the stored response"

// unstored are end-to-end headers that no stored response has.
var unstored = []string{"Age", "Set-Cookie", "Set-Cookie2", surrogateControl}

// Update returns a stored response's headers after a validation: those that came with it in the place of those that were
// stored (RFC 9111, 3.2 and 4.3.4). Received headers that would not be stored change nothing; of tags, see Freshen. To know whether the updated
// response may still be stored, and how it lives, use Freshen.
func Update(stored, received http.Header) http.Header {
	u, r := stored.Clone(), canonical(received)
	if u == nil {
		u = make(http.Header, len(r))
	}
	HopByHop(r)
	for name, values := range r {
		if !slices.Contains(unchanging, name) && !slices.Contains(unstored, name) && ValidField(name, values) {
			u[name] = values
		}
	}
	StripForCaches(u)
	return u
}

// Freshen decides what becomes of a stored response when its validation has come back: x holds the 304, or the 200 for a
// HEAD, and the request it was made for; status, stored, tags and old are those of the stored response. It is judged again with
// its updated headers, as of now. Tags and groups that came with the validation take the place of the stored ones, each of their
// kind; where none came, the stored ones hold on.
//
// Where Why is NotStored, ask again without conditions. Any other Why means that the stored body still is the right one to
// answer this request with, but that it must not be kept.
func Freshen(x Exchange, status int, stored http.Header, tags []string, old Life, p Policy) Verdict {
	if !Validates(stored, x.Header) {
		return Verdict{Why: NotStored}
	}
	received := canonical(x.Header)
	h := Update(stored, received)
	if !keepsDate(stored, received) {
		h.Del("Last-Modified")
	}
	h.Del("Date") // RFC 9110, 6.6.1: without one, when it was received
	for _, name := range append(p.names(), "Date", "Age", "Set-Cookie", "Set-Cookie2") {
		if values := received[name]; len(values) > 0 {
			h[name] = values
		}
	}
	// What was addressed to us is not among the stored headers: it holds on if nothing takes its place.
	if name, text, ok := strings.Cut(old.Target, ": "); ok && !addressed(received, p) {
		h[name] = []string{text}
	}
	request := x.Request
	x.Method, x.Status, x.Header = http.MethodGet, status, h
	v := unreflected(judge(x, p), request, received)
	if v.Why != "" {
		return v
	}
	var err error
	if v.Tags, err = freshTags(tags, received, x.Host); err != nil {
		return Verdict{Why: err.Error(), Lasting: true}
	}
	if why := p.tooManyTags(len(v.Tags)); why != "" {
		return Verdict{Why: why, Lasting: true}
	}
	return v
}

// keepsDate reports whether the Last-Modified of a freshened response is good for the stored body. The Date that came with a
// 304 is later than that of the body: beside it a Last-Modified would look like a strong validator which told nothing of the
// body when that was sent (RFC 9110, 8.8.2.2). A strong ETag does.
func keepsDate(stored, received http.Header) bool {
	have, ok := entityTag(stored)
	if ok && !strings.HasPrefix(have, "W/") && slices.Equal(received["Etag"], []string{have}) {
		return true
	}
	return strongDate(stored) && (len(received["Last-Modified"]) == 0 || slices.Equal(stored["Last-Modified"], received["Last-Modified"]))
}

// addressed reports whether any field is there that is meant for us.
func addressed(h http.Header, p Policy) bool {
	return slices.ContainsFunc(p.names(), func(name string) bool { return len(h[name]) > 0 })
}
