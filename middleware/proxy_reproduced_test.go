package middleware_test

import (
	"net/http"
	"testing"

	"github.com/cachesrv/cachesrv/middleware"
)

// TestProxyOwnValidators: a page that lives until it is invalidated loses its origin's validators where the operator says so, and is
// then one that other servers can serve. One that expires keeps them, as its origin is asked about it.
func TestProxyOwnValidators(t *testing.T) {
	validated := func(control string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			h := w.Header()
			h.Set("Content-Type", "text/html; charset=utf-8")
			h.Set("Etag", `"theirs"`)
			h.Set("Last-Modified", "Mon, 01 Mar 2027 12:00:00 GMT")
			h.Set("Vary", "accept-encoding")
			h.Set("Accept-Ranges", "bytes")
			h.Set("X-Frame-Options", "DENY")
			if control != "" {
				h.Set("Cache-Control", control)
			}
			_, _ = w.Write([]byte("page"))
		}
	}
	for _, tt := range []struct {
		own     bool
		control string
		etag    string // "": ours
		private bool
	}{
		{false, "", `"theirs"`, true},
		{true, "", "", false},
		{true, "s-maxage=60", `"theirs"`, true},
	} {
		s := newProxied(t, validated(tt.control), func(o *middleware.ProxyOptions) {
			o.OwnValidators, o.Policy.UntilInvalidated = tt.own, true
			o.PageHeaders = http.Header{"X-Frame-Options": {"DENY"}}
		})
		s.expect("/a", "page", "fwd=uri-miss; stored")
		hit := s.expect("/a", "page", "hit")
		tag := hit.header.Get("Etag")
		if tag == "" || (tag == `"theirs"`) != (tt.etag != "") || (hit.header.Get("Last-Modified") == "") != (tt.etag == "") {
			t.Errorf("%+v: Etag %s, Last-Modified %s", tt, tag, hit.header.Get("Last-Modified"))
		}
		if hit.header.Get("X-Frame-Options") != "DENY" || hit.header.Get("Vary") != "Accept-Encoding" {
			t.Errorf("%+v: %v", tt, hit.header)
		}
		e, err := s.store.Explain(t.Context(), s.key("/a"))
		if err != nil || len(e.Pages) != 1 || e.Pages[0].Private != tt.private {
			t.Errorf("%+v: %+v, %v", tt, e.Pages, err)
		}
		if again := s.get("/a", "If-None-Match: "+tag); again.status != http.StatusNotModified {
			t.Errorf("%+v: asked with its tag: %d", tt, again.status)
		}
	}
}
