package render

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// answered is what is known of an answer when its handler has returned.
type answered struct {
	status   int         // 0: the handler wrote nothing
	header   http.Header // as it was when the status was written
	written  int64       // bytes of body
	overran  bool        // the handler tried to write more than its Content-Length
	err      error       // the handler returned
	ended    error       // of the request's context: the client left, or a deadline passed
	declared declared
}

// A refusal says why an answer is no page.
type refusal struct {
	why     string
	lasting bool // the next answer will be no page either: don't queue for it
}

// storable decides whether an answer may become a page, and with which properties. The order of the rules is that
// of the reasons' importance to whoever reads them.
func storable(a answered, o Options, now time.Time) (cache.Meta, *refusal) {
	no := func(format string, args ...any) (cache.Meta, *refusal) {
		return cache.Meta{}, &refusal{fmt.Sprintf(format, args...), true}
	}
	d, h := a.declared, canonical(a.header)
	switch {
	case d.noStore:
		return no("NoStore: %s", d.why)
	case errors.Is(a.ended, context.DeadlineExceeded):
		return cache.Meta{}, &refusal{why: "deadline exceeded during the render"}
	case a.ended != nil:
		return cache.Meta{}, &refusal{why: "client left during the render"}
	case a.status == 0:
		return no("handler wrote nothing")
	case a.err != nil && a.status < 400:
		return no("handler failed after it began to answer")
	}
	switch a.status {
	case http.StatusOK:
	case http.StatusMovedPermanently, http.StatusPermanentRedirect:
		// A router's own redirect is no page: nobody would ever invalidate it, and anybody can ask for millions.
		if len(d.tags) == 0 && d.expires.IsZero() {
			return no("status %d without declared tags or expiry", a.status)
		}
	case http.StatusNotFound, http.StatusGone:
		if len(d.tags) == 0 {
			return no("status %d without declared tags", a.status)
		}
	default:
		return no("status %d", a.status)
	}
	for _, name := range [...]string{"Set-Cookie", "Content-Range", "Content-Encoding", "Trailer"} {
		if len(h[name]) > 0 {
			return no("response has %s", name)
		}
	}
	for name, values := range h {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			return no("response has Trailer")
		}
		if !httpcache.ValidField(name, values) {
			return no("response has a malformed header")
		}
	}
	if length, announced, err := contentLength(h); err != nil {
		return no("malformed Content-Length")
	} else if announced && (a.overran || length != a.written) {
		return no("body of %d bytes, Content-Length %d", a.written, length)
	}
	for _, name := range httpcache.Elements(h["Vary"]) {
		if !strings.EqualFold(name, "Accept-Encoding") && !slices.ContainsFunc(o.Vary, func(v string) bool { return strings.EqualFold(v, name) }) {
			return no("varies on %s", name)
		}
	}
	life, why := lifetime(h, now)
	if why != "" {
		return no("%s", why)
	}
	m := cache.Meta{
		Status: a.status, Header: storedHeader(h), Tags: d.tags,
		Expires: earlier(d.expires, life), Grace: o.Grace, Private: o.Private,
	}
	if d.graced {
		m.Grace = d.grace
	}
	if !m.Expires.IsZero() && !m.Expires.After(now) {
		return no("expired already")
	}
	return m, nil
}

// lifetime reads what the answer's own caching headers say: until when it may be used (zero: they don't say), or why
// it may not be stored at all. Of max-age and s-maxage the latter is meant for us.
func lifetime(h http.Header, now time.Time) (time.Time, string) {
	directives, why := parseCacheControl(h["Cache-Control"])
	if why != "" {
		return time.Time{}, why
	}
	for _, name := range [...]string{"no-store", "private", "no-cache"} {
		if _, ok := directives[name]; ok {
			return time.Time{}, "Cache-Control: " + name
		}
	}
	for _, name := range [...]string{"s-maxage", "max-age"} {
		if text, ok := directives[name]; ok {
			age, ok := httpcache.DeltaSeconds(text)
			if !ok {
				return time.Time{}, "malformed Cache-Control: " + name
			}
			if age == 0 {
				return time.Time{}, "Cache-Control: " + name + "=0"
			}
			// The other one must be well-formed too.
			if other, ok := directives["max-age"]; ok {
				if _, ok := httpcache.DeltaSeconds(other); !ok {
					return time.Time{}, "malformed Cache-Control: max-age"
				}
			}
			return now.Add(age), ""
		}
	}
	if len(directives) == 0 && slices.ContainsFunc(httpcache.Elements(h["Pragma"]), func(p string) bool { return strings.EqualFold(p, "no-cache") }) {
		return time.Time{}, "Pragma: no-cache"
	}
	switch expires := h["Expires"]; len(expires) {
	case 0:
		return time.Time{}, ""
	case 1:
		if at, err := http.ParseTime(expires[0]); err == nil {
			return at, ""
		}
	}
	return time.Time{}, "malformed Expires" // "0" and "-1" mean: expired
}

// parseCacheControl returns the directives by lower-case name, or why the header can't be trusted: it is malformed, or
// says different things.
func parseCacheControl(lines []string) (map[string]string, string) {
	if len(lines) == 0 {
		return nil, ""
	}
	list, ok := httpcache.Directives(lines)
	if !ok {
		return nil, "malformed Cache-Control"
	}
	directives := make(map[string]string, len(list))
	for _, d := range list {
		if old, again := directives[d.Name]; again && old != d.Argument {
			return nil, "contradictory Cache-Control: " + d.Name
		}
		directives[d.Name] = d.Argument
	}
	if has(directives, "public") && (has(directives, "private") || has(directives, "no-store")) {
		return nil, "contradictory Cache-Control: public"
	}
	return directives, ""
}

func has(m map[string]string, name string) bool {
	_, ok := m[name]
	return ok
}

// contentLength returns the length an answer announces, if it does.
func contentLength(h http.Header) (n int64, announced bool, err error) {
	values := h["Content-Length"]
	if len(values) == 0 {
		return 0, false, nil
	}
	u, err := strconv.ParseUint(values[0], 10, 63)
	if err == nil && len(values) > 1 {
		err = errors.New("several values")
	}
	return int64(u), true, err
}

// unstored are response headers that belong to one answer, to one connection, or to us: a page is replayed without.
var unstored = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Te": true,
	"Transfer-Encoding": true, "Upgrade": true, "Http2-Settings": true,
	"Etag": true, "Last-Modified": true, "Date": true, "Content-Length": true, "Accept-Ranges": true, "Age": true,
	"Cache-Status": true, "X-Request-Id": true, "X-Correlation-Id": true, "Traceparent": true, "Tracestate": true,
	// What a page may vary on is what its key covers, and whoever serves it says that.
	"Server-Timing": true, "Vary": true,
}

// storedHeader returns the headers to replay with every hit.
func storedHeader(h http.Header) http.Header {
	stored := make(http.Header, len(h))
	connection := httpcache.Elements(h["Connection"])
	for name, values := range h {
		hop := slices.ContainsFunc(connection, func(c string) bool { return textproto.CanonicalMIMEHeaderKey(c) == name })
		if !unstored[name] && !hop && len(values) > 0 {
			for _, v := range values {
				stored[name] = append(stored[name], strings.TrimSpace(v))
			}
		}
	}
	cache.SpellPlain(stored)
	return stored
}

// canonical returns headers by their canonical names: a handler may have written "ETag" into the map.
func canonical(h http.Header) http.Header {
	c := make(http.Header, len(h))
	for name, values := range h {
		name = textproto.CanonicalMIMEHeaderKey(name)
		c[name] = append(c[name], values...)
	}
	return c
}
