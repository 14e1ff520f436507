//go:build e2e

package front

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// application answers as applications do behind their frameworks: with the same headers for every page, and validators.
func application(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html;charset=UTF-8")
	h.Set("Server", "gunicorn")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Accept-Ranges", "bytes")
	h.Set("Etag", fmt.Sprintf("%q", r.URL.Path))
	h.Set("Last-Modified", time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'self', https:")
	switch r.URL.Path {
	case "/framed":
		h.Set("X-Frame-Options", "SAMEORIGIN")
	case "/less":
		h.Del("X-Frame-Options")
	case "/more":
		h.Set("Link", "<x>")
	}
	fmt.Fprint(w, strings.Repeat("<p>"+r.URL.Path+"</p>", 100))
}

// TestPageHeaders: with what the operator says of an application's headers and validators, another server sends its pages just as
// cachesrv does. Those that have other headers than all of them are left to cachesrv.
func TestPageHeaders(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t, server, t.TempDir())
			origin := httptest.NewServer(http.HandlerFunc(application))
			t.Cleanup(origin.Close)
			s.begin("proxy", "--origin", origin.URL, "--policy", "until-invalidated", "--validators", "ours",
				"--page-header", "X-Frame-Options: DENY", "--page-header", "Content-Security-Policy: default-src 'self', https:")
			for path, file := range map[string]bool{"/page": true, "/framed": false, "/less": false, "/more": false} {
				s.fill(path)
				through := s.front("GET", path)
				if through.fromFile() != file {
					t.Errorf("%s: answered by %s", path, through.by())
				}
				s.same(path, through, s.direct("GET", path))
			}
			s.fill("/page", "Accept-Encoding: gzip")
			s.same("a twin", s.front("GET", "/page", "Accept-Encoding: gzip"), s.direct("GET", "/page", "Accept-Encoding: gzip"))
			s.same("HEAD", s.front("HEAD", "/page"), s.direct("HEAD", "/page"))
		})
	}
}
