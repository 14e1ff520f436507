package middleware

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// Cache-Status (RFC 9211) stands on every answer:
//
//	cachesrv; hit                                          from a page
//	cachesrv; hit; detail=graced                           from a graced page, while another request fills
//	cachesrv; fwd=uri-miss; stored                         rendered, and a page from now on
//	cachesrv; fwd=uri-miss; collapsed                      from the page another request rendered meanwhile
//	cachesrv; fwd=vary-miss; ...                           the same two, of a form that a URL with others lacks
//	cachesrv; fwd=stale; fwd-status=304; stored            the page was past its freshness, and is fresh again
//	cachesrv; fwd=uri-miss; detail="..."                   rendered, and no page: why
//	cachesrv; fwd=stale; fwd-status=503; detail=graced     the render failed; from a graced page
//	cachesrv; fwd=bypass; detail="..."                     past the cache: why
//	cachesrv; fwd=request                                  past the cache, as the request's own headers ask for that
//	cachesrv; fwd=method                                   neither GET nor HEAD
//	cachesrv; detail="..."                                 not forwarded, and no page: why
//
// with "; ttl=N" seconds where a page expires; N is negative past that. It stands behind what caches nearer to the origin say
// (2). Of what stands behind fwd, fwd-status is the origin's status where the answer has another one (2.3); it is 502 or 504
// where the origin has not answered.

// statusHit is that of nearly every answer; never modified.
var statusHit = []string{"cachesrv; hit"}

func setStatus(w http.ResponseWriter, parameters string) {
	w.Header()["Cache-Status"] = []string{"cachesrv; " + parameters}
}

// setPageStatus adds what is known of a page.
func setPageStatus(w http.ResponseWriter, parameters string, hit *cache.Hit) {
	if hit.Meta.Expires.IsZero() && parameters == "hit" {
		w.Header()["Cache-Status"] = statusHit
		return
	}
	if !hit.Meta.Expires.IsZero() {
		parameters += "; ttl=" + seconds(time.Until(hit.Meta.Expires))
	}
	setStatus(w, parameters)
}

// seconds is the value of ttl (RFC 9211, 2.4): rounded down, so that it is negative as soon as the page has expired.
func seconds(left time.Duration) string {
	return strconv.FormatInt(int64(math.Floor(left.Seconds())), 10)
}

// detail writes a reason as a structured-field token or string (RFC 9651): printable ASCII, at most 200 bytes.
func detail(why string) string {
	if why == "" {
		return ""
	}
	if len(why) > 200 {
		why = why[:200]
	}
	token := why[0] != '-' // RFC 9651, 3.3.4: it begins with a letter
	why = strings.Map(func(c rune) rune {
		if !(c >= 'a' && c <= 'z' || c == '-') {
			token = false
		}
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, why)
	if token {
		return "; detail=" + why
	}
	return `; detail="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(why) + `"`
}
