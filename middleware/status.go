package middleware

import (
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
//	cachesrv; fwd=uri-miss; detail="..."                   rendered, and no page: why
//	cachesrv; fwd=stale; fwd-status=503; detail=graced     the render failed; from a graced page
//	cachesrv; fwd=bypass; detail="..."                     past the cache: why
//	cachesrv; fwd=method                                   neither GET nor HEAD
//
// with "; ttl=N" seconds where a page expires; of a graced one N is negative.

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
		ttl := int64(time.Until(hit.Meta.Expires) / time.Second)
		parameters += "; ttl=" + strconv.FormatInt(ttl, 10)
	}
	setStatus(w, parameters)
}

// detail writes a reason as a structured-field token or string (RFC 9651): printable ASCII, at most 200 bytes.
func detail(why string) string {
	if why == "" {
		return ""
	}
	if len(why) > 200 {
		why = why[:200]
	}
	token := true
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
