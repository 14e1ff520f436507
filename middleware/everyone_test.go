package middleware_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cachesrv/cachesrv/middleware"
)

// TestProxyApart: a request with a header that may have the origin answer with another page is its client's own: the origin
// hears of it, and nobody else is told. A page that is there doesn't answer it.
func TestProxyApart(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("for " + r.Header.Get("X-Nextjs-Data") + r.Header.Get("X-Api-Key") + r.Header.Get("Destination")))
	})
	for _, header := range []string{"X-Nextjs-Data", "X-Api-Key", "Destination"} {
		for range 2 {
			s.expect("/"+header, "for mallory", "fwd=bypass; detail=header", header+": mallory")
		}
		s.expect("/"+header, "for ", "fwd=uri-miss; stored")
		s.expect("/"+header, "for ", "hit")
		s.expect("/"+header, "for mallory", "fwd=bypass; detail=header", header+": mallory")
	}
}

// TestProxyReferer: the origin doesn't hear of it when it is asked for everyone. Where it says that it would have liked to, it
// does, and nothing is stored: neither of an answer nor of a validation.
func TestProxyReferer(t *testing.T) {
	vary, control := "", "max-age=60"
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", control)
		h.Set("Etag", `"1"`)
		if vary != "" {
			h.Set("Vary", vary)
		}
		if r.Header.Get("If-None-Match") != "" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write([]byte("from " + r.Referer()))
	})
	s.expect("/a", "from ", "fwd=uri-miss; stored", "Referer: http://evil.example/")
	s.expect("/a", "from ", "hit", "Referer: http://other.example/")
	control = "max-age=0"
	s.expect("/b", "from ", "fwd=uri-miss; stored")
	control, vary = "max-age=60", "Accept, Referer"
	s.expect("/c", "from x", `fwd=uri-miss; detail="varies on a withheld header"`, "Referer: x")
	s.expect("/c", "from y", `fwd=uri-miss; detail="varies on a withheld header"`, "Referer: y")
	s.expect("/c", "from ", `fwd=uri-miss; detail="varies on a withheld header"`)
	s.expect("/b", "from ", "fwd=stale; fwd-status=304") // it answers who asked
	s.expect("/b", "from x", `fwd=uri-miss; detail="varies on a withheld header"`, "Referer: x")
}

// TestProxyContentType: nor of the type of a body that is not there; but an answer that varies on it is not stored.
func TestProxyContentType(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.URL.Path == "/varies" {
			w.Header().Set("Vary", "Content-Type")
		}
		_, _ = w.Write([]byte("for " + r.Header.Get("Content-Type")))
	})
	s.expect("/a", "for ", "fwd=uri-miss; stored", "Content-Type: odd")
	s.expect("/varies", "for a", `fwd=uri-miss; detail="varies on a withheld header"`, "Content-Type: a")
	s.expect("/varies", "for ", `fwd=uri-miss; detail="varies on a withheld header"`)
	s.expect("/varies", "for b", `fwd=uri-miss; detail="varies on a withheld header"`, "Content-Type: b")
}

// TestProxyScheme: an origin that sends everybody to https is told who comes by it already: the redirect is neither followed by
// another one nor, as a page, given to those who have followed it.
func TestProxyScheme(t *testing.T) {
	for scheme, status := range map[string]int{"http": http.StatusMovedPermanently, "https": http.StatusOK} {
		s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			if r.Header.Get("X-Forwarded-Proto") != "https" {
				http.Redirect(w, r, "https://"+r.Header.Get("X-Forwarded-Host")+r.RequestURI, http.StatusMovedPermanently)
			}
		})
		for _, header := range []string{"X-Forwarded-Proto", "Cookie"} { // for everyone, and past the cache
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, scheme+"://A.example/x", nil)
			r.Header.Set(header, "evil")
			s.proxy.ServeHTTP(w, r)
			if to := w.Header().Get("Location"); w.Code != status || status != 200 && to != "https://a.example/x" {
				t.Errorf("%s: %d %q, Cache-Status %q", scheme, w.Code, to, w.Header().Get("Cache-Status"))
			}
		}
	}
}

// TestApartInKey: what the key covers makes no request its client's own.
func TestApartInKey(t *testing.T) {
	s := newSite(t, middleware.Options{
		Vary: []string{"x-user"}, Variant: func(r *http.Request) string { return r.Header.Get("X-User") },
	}, func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("for " + r.Header.Get("X-User"))) })
	s.get("/x", "X-User", "ann").want(t, 200, "fwd=uri-miss; stored")
	if a := s.get("/x", "X-User", "ann"); a.body != "for ann" {
		t.Errorf("%q", a.body)
	}
	s.get("/x", "X-User", "bob").want(t, 200, "fwd=uri-miss; stored")
	s.get("/x", "X-User", "bob", "Remote-User", "eve").want(t, 200, "fwd=bypass; detail=header")
}
