package proxy

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// TestBehindFront: who is trusted is believed, and nobody else.
func TestBehindFront(t *testing.T) {
	var seen string
	h, err := behindFront(conf.Proxy{TrustForwarded: []string{"10.0.0.0/8", "127.0.0.1", "::1", "unix"}, PublicScheme: "https"},
		http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			seen = fmt.Sprint(r.RemoteAddr, " ", r.TLS != nil, " ", otherScheme(r) != "")
		}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer      string
		forwarded []string
		proto     []string
		addr      string
		tls, odd  bool
	}{
		{"127.0.0.1:9", []string{"192.0.2.1"}, []string{"https"}, "192.0.2.1:0", true, false},
		{"[::1]:9", []string{"2001:db8::1"}, []string{"https"}, "[2001:db8::1]:0", true, false},
		{"[::ffff:10.1.2.3]:9", []string{"192.0.2.1"}, []string{"https"}, "192.0.2.1:0", true, false},
		{"@", []string{"192.0.2.1"}, []string{"https"}, "192.0.2.1:0", true, false},
		{"127.0.0.1:9", []string{"192.0.2.1"}, []string{"http"}, "192.0.2.1:0", false, true},
		{"127.0.0.1:9", []string{"192.0.2.1"}, nil, "192.0.2.1:0", false, true},
		{"127.0.0.1:9", []string{"192.0.2.1"}, []string{"HTTPS"}, "192.0.2.1:0", false, true},
		{"127.0.0.1:9", []string{"192.0.2.1"}, []string{"https", "http"}, "192.0.2.1:0", false, true},
		{"127.0.0.1:9", nil, []string{"https"}, "127.0.0.1:9", true, false},
		// What the client has made up stands before what a server in front has added.
		{"127.0.0.1:9", []string{"198.51.100.1, 192.0.2.1"}, []string{"https"}, "192.0.2.1:0", true, false},
		{"127.0.0.1:9", []string{"198.51.100.1", "192.0.2.1, 10.9.9.9"}, []string{"https"}, "192.0.2.1:0", true, false},
		{"127.0.0.1:9", []string{"10.9.9.9"}, []string{"https"}, "10.9.9.9:0", true, false},
		{"127.0.0.1:9", []string{"192.0.2.1, unknown"}, []string{"https"}, "127.0.0.1:9", true, false},
		{"127.0.0.1:9", []string{"unknown, 192.0.2.1"}, []string{"https"}, "192.0.2.1:0", true, false},
		// Nobody's word counts.
		{"192.0.2.9:9", []string{"127.0.0.1"}, []string{"https"}, "192.0.2.9:9", false, true},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		r.Header["X-Forwarded-For"], r.Header["X-Forwarded-Proto"] = c.forwarded, c.proto
		h.ServeHTTP(nil, r)
		if want := fmt.Sprint(c.addr, " ", c.tls, " ", c.odd); seen != want {
			t.Errorf("%s %q %q: %s, want %s", c.peer, c.forwarded, c.proto, seen, want)
		}
	}
}

func TestBehindNoFront(t *testing.T) {
	next := http.NewServeMux()
	if h, err := behindFront(conf.Proxy{}, next); err != nil || h != http.Handler(next) {
		t.Errorf("%v, %v", h, err)
	}
	if _, err := behindFront(conf.Proxy{TrustForwarded: []string{"nginx"}}, next); err == nil {
		t.Error("a name was taken for an address")
	}
}

// TestSchemeOfPages: with a certificate, who comes over TLS without a server in front asks for pages. Who comes otherwise is told so.
func TestSchemeOfPages(t *testing.T) {
	for _, c := range []struct {
		p     conf.Proxy
		tls   bool
		proto string
		want  string
	}{
		{conf.Proxy{}, false, "", ""},
		{conf.Proxy{}, true, "", "it came over https, pages are for http"},
		{conf.Proxy{TLSCert: "cert.pem"}, true, "", ""},
		{conf.Proxy{TLSCert: "cert.pem"}, true, "http", "it came over http, pages are for https"},
		{conf.Proxy{TLSCert: "cert.pem", PublicScheme: "http"}, true, "", "it came over https, pages are for http"},
		{conf.Proxy{PublicScheme: "https"}, false, "", "it came over http, pages are for https"},
		{conf.Proxy{}, false, "wss", "it came over nobody knows what, pages are for http"},
	} {
		c.p.TrustForwarded = []string{"127.0.0.1"}
		why := "not asked"
		h, err := behindFront(c.p, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			why = proxyOptions(conf.Config{Proxy: c.p}, -1).Bypass(r)
		}))
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "127.0.0.1:9"
		if c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		if c.proto != "" {
			r.Header.Set("X-Forwarded-Proto", c.proto)
		}
		if h.ServeHTTP(nil, r); why != c.want {
			t.Errorf("%+v: %q", c, why)
		}
	}
}

// TestOtherScheme: Cache-Status names the schemes, and so does what is known of a route.
func TestOtherScheme(t *testing.T) {
	origin := httptest.NewServer(http.NotFoundHandler())
	defer origin.Close()
	c := settings(t, origin.URL)
	c.TrustForwarded, c.PublicScheme = []string{"127.0.0.1"}, "https"
	if status, _ := startReloaded(t, c).get("/"); status != `cachesrv; fwd=bypass; detail="it came over http, pages are for https"` {
		t.Error(status)
	}
	if r, err := RouteOf(c, "GET", "a.example", "/", nil); err != nil || r.Scheme != "https" {
		t.Errorf("%+v, %v", r, err)
	}
	c.TrustForwarded = nil
	if r, err := RouteOf(c, "GET", "a.example", "/", nil); err != nil || r.Scheme != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
