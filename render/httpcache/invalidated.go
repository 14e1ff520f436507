package httpcache

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// safe are the methods that change nothing: RFC 9110, 9.2.1, and IANA's registry.
var safe = []string{"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY"}

// Safe reports whether a method is safe. An unknown one is not.
func Safe(method string) bool { return slices.Contains(safe, method) }

// maxLocation bounds the length of a Location that is read, in bytes, and maxLocations their number.
const (
	maxLocation  = 8 << 10
	maxLocations = 4
)

// Invalidated returns what the answer to an unsafe request invalidates (RFC 9111, 4.4): the request's own target and, on
// the same host, those of Location and Content-Location; nothing if it failed. They are request targets in origin
// form: path and query. The host is the request's; a Location is on the same host whatever its scheme, as keys have none.
func Invalidated(request *url.URL, host string, status int, h http.Header) []string {
	if status < 200 || status > 399 {
		return nil
	}
	path, query := rawPath(request), request.RawQuery
	targets := []string{originForm(path, query, request.ForceQuery)}
	base := url.URL{Scheme: "http", Host: host, Path: request.Path, RawPath: encoded(path), RawQuery: query}
	for _, name := range [...]string{"Location", "Content-Location"} {
		for i, value := range h.Values(name) {
			if i == maxLocations || len(value) > maxLocation {
				break
			}
			u, err := base.Parse(encoded(strings.Trim(value, " \t")))
			if err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" || !sameHost(u.Host, host) {
				continue
			}
			if t := originForm(rawPath(u), u.RawQuery, u.ForceQuery); !slices.Contains(targets, t) {
				targets = append(targets, t)
			}
		}
	}
	return targets
}

// rawPath returns a path as it was sent: net/url writes one anew that has bytes it finds odd, and %2f is then lost.
func rawPath(u *url.URL) string {
	if u.RawPath != "" {
		return u.RawPath
	}
	return u.EscapedPath()
}

func originForm(path, query string, mark bool) string {
	if path == "" {
		path = "/"
	}
	if query != "" || mark {
		path += "?" + query
	}
	return path
}

// encoded writes bytes as %XX that are none of a URL's (RFC 3986, 2), and a % that begins no such triplet: what is left,
// net/url keeps as it is.
func encoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if lower(c|0x20) || digit(c) || strings.IndexByte("-._~:/?#[]@!$&'()*+,;=", c) >= 0 ||
			c == '%' && i+2 < len(s) && hexDigit(s[i+1]) && hexDigit(s[i+2]) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func hexDigit(c byte) bool { return digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// sameHost compares hosts but for case, default ports and a dot at the end.
func sameHost(a, b string) bool { return strings.EqualFold(bareHost(a), bareHost(b)) }

func bareHost(h string) string {
	for _, port := range [...]string{":80", ":443", ":"} {
		if cut, ok := strings.CutSuffix(h, port); ok && !strings.HasSuffix(cut, ":") {
			h = cut
			break
		}
	}
	return strings.TrimSuffix(h, ".")
}
