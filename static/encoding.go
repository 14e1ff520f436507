package static

import (
	"net/http"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
)

// codings are the content codings a page may have twins in, the smallest first.
var codings = [...]string{"br", "zstd", "gzip"}

// maxAcceptEncoding bounds the Accept-Encoding we read, in bytes; a longer one counts as malformed.
const maxAcceptEncoding = 1024

// negotiate returns the representation of a page for a client: of what it accepts the one it likes best, and among
// equals the smallest; false if it accepts nothing the page has. Without Accept-Encoding, or with a malformed one, that
// is the page as it is; so it is for a page that an origin has encoded already, which its caller has seen to. A coding
// the page has no twin in yet is asked for all the same: so the store learns of demand.
func negotiate(hit *cache.Hit, request http.Header) (cache.Body, bool) {
	header := request["Accept-Encoding"]
	if len(header) == 0 || len(hit.Meta.Header["Content-Encoding"]) > 0 {
		return hit.Identity(), true
	}
	a, ok := parseAcceptEncoding(header)
	if !ok {
		return hit.Identity(), true
	}
	if noTransform(hit) || a.identity > 0 && needsOwnBytes(hit, request) {
		clear(a.codings[:])
	}
	for i := a.best(); i >= 0; i = a.best() {
		if body, ok := hit.Encoded(codings[i]); ok {
			return body, true
		}
		a.codings[i] = 0
	}
	return hit.Identity(), a.identity > 0
}

// needsOwnBytes reports whether a request has a condition that only a strong entity tag can meet, and the page's own tag
// is the one there is: its twins have it as a weak one.
func needsOwnBytes(hit *cache.Hit, request http.Header) bool {
	return (len(request["If-Range"]) > 0 || len(request["If-Match"]) > 0) && len(hit.Meta.Header["Etag"]) == 1
}

// noTransform reports whether the page's own Cache-Control forbids us to encode it.
func noTransform(hit *cache.Hit) bool {
	for _, line := range hit.Meta.Header["Cache-Control"] {
		if strings.Contains(strings.ToLower(line), "no-transform") {
			return true
		}
	}
	return false
}

// accepted is what an Accept-Encoding header says: weights in thousandths, 0 for what is not acceptable.
type accepted struct {
	codings  [len(codings)]int
	identity int
}

// best returns the coding the client likes best, and at least as much as no coding; -1 if there is none.
func (a *accepted) best() int {
	best := -1
	for i, q := range a.codings {
		if q > 0 && q >= a.identity && (best < 0 || q > a.codings[best]) {
			best = i
		}
	}
	return best
}

const (
	unlisted = -1
	certain  = 1000 // the weight q=1
)

// parseAcceptEncoding reads a header by RFC 9110, 12.5.3; false if it is malformed. Of a coding that is listed twice
// the smaller weight counts. Identity, where nothing is said of it, is acceptable and liked least.
func parseAcceptEncoding(lines []string) (accepted, bool) {
	a := accepted{identity: unlisted}
	for i := range a.codings {
		a.codings[i] = unlisted
	}
	rest, length := unlisted, 0
	for _, line := range lines {
		if length += len(line); length > maxAcceptEncoding {
			return accepted{}, false
		}
		for more := true; more; {
			var element string
			element, line, more = strings.Cut(line, ",")
			element = strings.Trim(element, " \t")
			if element == "" {
				continue // a list may have empty elements
			}
			name, q, ok := parseWeighted(element)
			if !ok {
				return accepted{}, false
			}
			switch {
			case name == "*":
				rest = restrict(rest, q)
			case strings.EqualFold(name, "identity"):
				a.identity = restrict(a.identity, q)
			default:
				for i, coding := range codings {
					if sameCoding(name, coding) {
						a.codings[i] = restrict(a.codings[i], q)
					}
				}
			}
		}
	}
	for i := range a.codings {
		if a.codings[i] == unlisted {
			a.codings[i] = max(rest, 0)
		}
	}
	if a.identity == unlisted {
		a.identity = rest
	}
	if a.identity == unlisted {
		a.identity = 1
	}
	return a, true
}

func restrict(old, q int) int {
	if old == unlisted {
		return q
	}
	return min(old, q)
}

// parseWeighted reads `token [ ";" "q=" weight ]`.
func parseWeighted(s string) (name string, q int, ok bool) {
	name, weight, weighted := strings.Cut(s, ";")
	name = strings.TrimRight(name, " \t")
	if !isToken(name) {
		return "", 0, false
	}
	if !weighted {
		return name, certain, true
	}
	weight = strings.TrimLeft(weight, " \t")
	if len(weight) < 3 || weight[0]|0x20 != 'q' || weight[1] != '=' {
		return "", 0, false
	}
	q, ok = parseWeight(weight[2:])
	return name, q, ok
}

// parseWeight reads a qvalue: 0 to 1 with at most three decimals, in thousandths.
func parseWeight(s string) (int, bool) {
	whole, decimals, _ := strings.Cut(s, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	q := int(whole[0]-'0') * certain
	unit := certain
	for i := range len(decimals) {
		if decimals[i] < '0' || decimals[i] > '9' {
			return 0, false
		}
		unit /= 10
		q += int(decimals[i]-'0') * unit
	}
	return q, q <= certain
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
