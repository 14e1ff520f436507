//go:build e2e

package front

import (
	"strings"
	"testing"
)

// A server in front that is trusted says by which scheme a request came: pages are those of one scheme, whoever answers.
func TestForwardedScheme(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t, server, t.TempDir())
			s.beginProxy("--trust-forwarded", "127.0.0.1", "--public-scheme", "https")
			const tls = "X-Forwarded-Proto: https"
			for range 2 { // the second is answered from the page
				if a := s.direct("GET", "/scheme", tls, "X-Forwarded-For: 192.0.2.7"); !strings.HasPrefix(a.body, "https ") {
					t.Errorf("over TLS: %q by %q", a.body, a.by())
				}
			}
			if a := s.direct("GET", "/scheme", tls); !strings.HasPrefix(a.by(), "cachesrv; hit") {
				t.Errorf("no page: %q", a.by())
			}
			// In clear text, whatever the client says of it: the redirect to https that an application would answer with.
			for name, a := range map[string]answer{"through": s.front("GET", "/scheme", tls), "direct": s.direct("GET", "/scheme")} {
				if a.fromFile() || strings.Contains(a.by(), "hit") || !strings.HasPrefix(a.body, "http ") {
					t.Errorf("%s, in clear text: %q by %q", name, a.body, a.by())
				}
			}
			// Who asks is told with what is one client's own.
			if a := s.direct("GET", "/scheme", tls, "X-Forwarded-For: 192.0.2.66, 192.0.2.7", "Authorization: Basic eDp5"); a.body != "https 192.0.2.7" {
				t.Errorf("the origin was told %q", a.body)
			}
			if a := s.front("GET", "/scheme", "X-Forwarded-For: 192.0.2.66", "Authorization: Basic eDp5"); a.body != "http 127.0.0.1" {
				t.Errorf("the origin was told %q", a.body)
			}
		})
	}
}

// A share of the requests goes to cachesrv, by chance.
func TestSample(t *testing.T) {
	for _, server := range servers {
		for sample, files := range map[string][2]int{"0": {300, 300}, "2": {240, 300}, "50": {90, 210}, "100": {0, 0}} {
			t.Run(server.name+"/"+sample, func(t *testing.T) {
				t.Parallel()
				s := prepare(t, server, t.TempDir())
				s.sample = sample
				s.beginProxy()
				s.fill("/a")
				n := 0
				for range 300 {
					if a := s.front("GET", "/a"); a.fromFile() {
						n++
					}
				}
				if n < files[0] || n > files[1] {
					t.Errorf("%d of 300 requests were answered from the file, want %d to %d", n, files[0], files[1])
				}
			})
		}
	}
}
