package middleware_test

import (
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

func TestMissThenHitThenInvalidated(t *testing.T) {
	var renders atomic.Int64
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		render.Tags(r.Context(), "note:1")
		text(w, "render %d", renders.Add(1))
	})
	a := s.get("http://a.example/notes/1")
	a.want(t, 200, "fwd=uri-miss; stored")
	etag := a.Header.Get("Etag")
	a = s.get("http://a.example/notes/1")
	a.want(t, 200, "hit")
	if a.body != "render 1" || a.Header.Get("Etag") != etag || etag == "" || a.Header.Get("Cache-Control") != "no-cache" ||
		a.Header.Get("Content-Type") != "text/html; charset=utf-8" || a.Header.Get("Vary") != "Accept-Encoding" || a.Header.Get("Content-Length") != "8" {
		t.Errorf("hit: %q %v", a.body, a.Header)
	}
	s.invalidate(cache.Selection{Tags: []string{"note:1"}})
	a = s.get("http://a.example/notes/1")
	a.want(t, 200, "fwd=uri-miss; stored")
	if a.body != "render 2" {
		t.Errorf("after the invalidation: %q", a.body)
	}
}
