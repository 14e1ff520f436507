package httpcache

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// hopByHop are the headers of one connection: RFC 9110, 7.6.1, and RFC 9111, 3.1 (of a proxy's own authentication), 7540,
// 3.2.1, and Trailer, which tells of how a message was framed.
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade", "Http2-Settings",
	"Proxy-Authenticate", "Proxy-Authentication-Info", "Proxy-Authorization",
}

// endToEnd are headers that Connection can't make hop-by-hop: RFC 9110, 7.6.1, forbids to list what is meant for all
// recipients, and who could have them removed would pass for somebody else, or have stored what must not be.
var endToEnd = []string{
	"Host", "Authorization", "Cookie", "Set-Cookie", "Set-Cookie2", "Cache-Control", "Pragma", "Expires", "Age", "Date", "Etag",
	"Last-Modified", "Vary", "Range", "Location", "Origin", "Referer", "User-Agent", "Forwarded", "Via", "Expect", "Allow",
	"Www-Authenticate", "Authentication-Info", "Max-Forwards", "Cdn-Loop", surrogateControl, "Cdn-Cache-Control", "Surrogate-Key",
	"Xkey", "Cache-Tag", "Edge-Cache-Tag", cacheGroups, groupInvalidation, Position, "Cache-Status", "X-Real-Ip", "True-Client-Ip",
	"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override",
}

// endToEndPrefixes are the beginnings of more such names.
var endToEndPrefixes = []string{
	"Content-", "Accept", "If-", "Access-Control-", "Sec-", "X-Forwarded-", "X-Client-", "X-Ssl-", "Cf-", "Client-Cert",
}

// IsHopByHop reports whether a header, by its canonical name, is always of one connection only.
func IsHopByHop(name string) bool { return slices.Contains(hopByHop, name) }

// HopByHop removes, in place, the headers that are of one connection only, and those that Connection lists: but never
// such as are meant for all recipients, however they are listed.
func HopByHop(h http.Header) {
	listed := make(map[string]bool)
	for name, values := range h {
		if strings.EqualFold(name, "Connection") {
			for _, e := range Elements(values) {
				listed[textproto.CanonicalMIMEHeaderKey(e)] = true
			}
		}
	}
	for name := range h {
		c := textproto.CanonicalMIMEHeaderKey(name)
		if IsHopByHop(c) || listed[c] && !isEndToEnd(c) {
			delete(h, name)
		}
	}
}

func isEndToEnd(name string) bool {
	return slices.Contains(endToEnd, name) || strings.HasSuffix(name, "-Cache-Control") ||
		slices.ContainsFunc(endToEndPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// fieldNames reads the argument of no-cache or private: a list of field names, in canonical form. False if it is none,
// or names a field without which a stored response would mean something else.
func fieldNames(s string) (names []string, ok bool) {
	for _, name := range Elements([]string{s}) {
		c := textproto.CanonicalMIMEHeaderKey(name)
		switch c {
		case "Date", "Etag", "Last-Modified", "Vary", "Cache-Control", "Expires", "Location":
			return nil, false
		}
		if !IsToken(name) || strings.HasPrefix(c, "Content-") {
			return nil, false
		}
		names = append(names, c)
	}
	return names, len(names) > 0
}

// ValidField reports whether a header can be kept and sent as it is.
func ValidField(name string, values []string) bool {
	return IsToken(name) && !slices.ContainsFunc(values, func(v string) bool { return !ValidValue(v) })
}

// ValidValue reports whether a header's value has no control characters but HTAB (RFC 9110, 5.5).
func ValidValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// Elements returns those of a list (RFC 9110, 5.6.1) in which nothing is quoted, without empty ones.
func Elements(lines []string) []string {
	var list []string
	for _, line := range lines {
		for e := range strings.SplitSeq(line, ",") {
			if e = textproto.TrimString(e); e != "" {
				list = append(list, e)
			}
		}
	}
	return list
}

// split splits s at each sep outside of quoted-strings, and removes the whitespace around the parts.
func split(s, sep string) []string {
	var parts []string
	for {
		before, after, last := cutUnquoted(s, sep)
		if parts = append(parts, textproto.TrimString(before)); last {
			return parts
		}
		s = after
	}
}

// IsToken reports whether s is a token (RFC 9110, 5.6.2).
func IsToken(s string) bool { return s != "" && tokenEnd(s) == len(s) }

// tokenEnd returns how many leading bytes of s are those of a token.
func tokenEnd(s string) int {
	for i := range len(s) {
		if !tokenByte(s[i]) {
			return i
		}
	}
	return len(s)
}

func tokenByte(c byte) bool {
	return lower(c|0x20) || digit(c) || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
