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
		if !validHeader(name, values) {
			return no("response has a malformed header")
		}
	}
	if length, announced, err := contentLength(h); err != nil {
		return no("malformed Content-Length")
	} else if announced && (a.overran || length != a.written) {
		return no("body of %d bytes, Content-Length %d", a.written, length)
	}
	for _, name := range listed(h["Vary"]) {
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
		if age, ok := directives[name]; ok {
			seconds, ok := deltaSeconds(age)
			if !ok {
				return time.Time{}, "malformed Cache-Control: " + name
			}
			if seconds == 0 {
				return time.Time{}, "Cache-Control: " + name + "=0"
			}
			// The other one must be well-formed too.
			if other, ok := directives["max-age"]; ok {
				if _, ok := deltaSeconds(other); !ok {
					return time.Time{}, "malformed Cache-Control: max-age"
				}
			}
			return now.Add(time.Duration(seconds) * time.Second), ""
		}
	}
	if len(directives) == 0 && slices.ContainsFunc(listed(h["Pragma"]), func(p string) bool { return strings.EqualFold(p, "no-cache") }) {
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
	directives := make(map[string]string)
	for _, line := range lines {
		for rest := strings.TrimLeft(line, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			var name, value string
			var ok bool
			if name, value, rest, ok = cutDirective(rest); !ok {
				return nil, "malformed Cache-Control"
			}
			if old, again := directives[name]; again && old != value {
				return nil, "contradictory Cache-Control: " + name
			}
			directives[name] = value
		}
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

// cutDirective cuts `token [ "=" ( token / quoted-string ) ]` off a list. A value keeps its quotes.
func cutDirective(s string) (name, value, rest string, ok bool) {
	end := strings.IndexAny(s, "=, \t")
	if end < 0 {
		return strings.ToLower(s), "", "", isToken(s)
	}
	name, rest = strings.ToLower(s[:end]), s[end:]
	if rest[0] == '=' {
		rest = rest[1:]
		if end = valueEnd(rest); end <= 0 {
			return "", "", "", false
		}
		value, rest = rest[:end], rest[end:]
		if value[0] != '"' && !isToken(value) {
			return "", "", "", false
		}
	}
	rest = strings.TrimLeft(rest, " \t")
	if rest != "" && rest[0] != ',' {
		return "", "", "", false
	}
	return name, value, rest, isToken(name)
}

// valueEnd returns where a directive's value ends; -1 for an unfinished quotation.
func valueEnd(s string) int {
	if !strings.HasPrefix(s, `"`) {
		if end := strings.IndexAny(s, ", \t"); end >= 0 {
			return end
		}
		return len(s)
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// deltaSeconds reads a number of seconds by RFC 9111, 1.2.2: too large ones count as 2^31.
func deltaSeconds(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > 1<<31 {
		n = 1 << 31
	}
	return n, true
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
	connection := listed(h["Connection"])
	for name, values := range h {
		hop := slices.ContainsFunc(connection, func(c string) bool { return textproto.CanonicalMIMEHeaderKey(c) == name })
		if !unstored[name] && !hop && len(values) > 0 {
			for _, v := range values {
				stored[name] = append(stored[name], strings.TrimSpace(v))
			}
		}
	}
	// One spelling of the commonest type: with it another server can serve the page too (PlainContentType).
	if t := stored["Content-Type"]; len(t) == 1 && strings.EqualFold(strings.ReplaceAll(t[0], " ", ""), strings.ReplaceAll(cache.PlainContentType, " ", "")) {
		t[0] = cache.PlainContentType
	}
	return stored
}

// listed splits header lines at their commas; empty elements are left out.
func listed(lines []string) []string {
	var elements []string
	for _, line := range lines {
		for e := range strings.SplitSeq(line, ",") {
			if e = strings.TrimSpace(e); e != "" {
				elements = append(elements, e)
			}
		}
	}
	return elements
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

// validHeader reports whether a header can be stored and replayed as it is.
func validHeader(name string, values []string) bool {
	if !isToken(name) {
		return false
	}
	for _, v := range values {
		for i := range len(v) {
			if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
	}
	return true
}

// isToken reports whether s is a token of RFC 9110, 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}
