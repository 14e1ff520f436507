package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// TestHostsThatComeBack: what changes while a name is not the site's is dropped under that name, too: it may be the site's again.
func TestHostsThatComeBack(t *testing.T) {
	var version atomic.Int64
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "version %d", version.Load())
	}))
	defer origin.Close()
	c := settings(t, origin.URL)
	c.Hosts = []string{"a.example", "b.example"}
	r := startReloaded(t, c)
	ask := func(method, host string) (status, body string) {
		t.Helper()
		req, err := http.NewRequest(method, r.base+"/x", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.Header.Get("Cache-Status"), string(b)
	}
	for _, method := range []string{"PURGE", "POST"} {
		status := ""
		for n := 0; n < 1000 && !strings.HasPrefix(status, "cachesrv; hit"); n++ {
			status, _ = ask("GET", "b.example")
		}
		if !strings.HasPrefix(status, "cachesrv; hit") {
			t.Fatal(status)
		}
		r.reload(func(c *conf.Config) { c.Hosts = []string{"a.example"} }, nil)
		now := fmt.Sprintf("version %d", version.Add(1))
		ask(method, "a.example")
		r.reload(func(c *conf.Config) { c.Hosts = []string{"a.example", "b.example"} }, nil)
		if status, body := ask("GET", "b.example"); body != now {
			t.Errorf("after %s: %q, %s", method, body, status)
		}
	}
}

// TestRouteBehindFront: that some requests come by another scheme is no rule.
func TestRouteBehindFront(t *testing.T) {
	c := settings(t, "http://127.0.0.1:1")
	c.TrustForwarded = []string{"127.0.0.1"}
	c.PublicScheme = "http"
	r, err := RouteOf(c, "GET", "a.example", "/", nil)
	if err != nil || r.Bypass != "" {
		t.Errorf("%+v, %v", r, err)
	}
}
