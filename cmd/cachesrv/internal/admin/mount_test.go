package admin

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

type storeFunc func(cache.Selection) (cache.Dropped, error)

func (f storeFunc) Invalidate(_ context.Context, sel cache.Selection) (cache.Dropped, error) {
	return f(sel)
}

// TestMount: the API stands beside the pages of the listener, behind the same look at the host name.
func TestMount(t *testing.T) {
	dropped := 0
	api, err := purge.NewAPI(purge.APIOptions{Store: storeFunc(func(cache.Selection) (cache.Dropped, error) {
		dropped++
		return cache.Dropped{Pages: 3}, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(Mount(Handler(NewRegistry(func() cache.Stats { return cache.Stats{} }, new(purge.Counts))), purge.Path, api))
	defer srv.Close()
	ask := func(method, path, host, kind string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(`{"all":true}`))
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		req.Header.Set("Content-Type", kind)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body := make([]byte, 1<<10)
		n, _ := res.Body.Read(body)
		return res.StatusCode, string(body[:n])
	}
	for _, tt := range []struct {
		method, path, host, kind string
		status, calls            int
		want                     string
	}{
		{"POST", "/invalidate", "localhost", "application/json", 200, 1, `"dropped":3`},
		{"POST", "/invalidate", "evil.example", "application/json", 421, 1, "localhost"},
		{"POST", "/invalidate", "localhost", "text/plain", 415, 1, "application/json"},
		{"GET", "/invalidate", "localhost", "application/json", 405, 1, "POST"},
		{"POST", "/invalidate/x", "localhost", "application/json", 404, 1, ""},
		{"GET", "/healthz", "localhost", "", 200, 1, "ok"},
		{"GET", "/healthz", "evil.example", "", 421, 1, ""},
		{"GET", "/debug/pprof/", "localhost", "", 200, 1, ""},
	} {
		if status, body := ask(tt.method, tt.path, tt.host, tt.kind); status != tt.status || dropped != tt.calls || !strings.Contains(body, tt.want) {
			t.Errorf("%s %s of %s: %d %s, %d calls", tt.method, tt.path, tt.host, status, body, dropped)
		}
	}
}

// TestMountOverSocket: over a Unix socket any host name will do, and who may connect may invalidate.
func TestMountOverSocket(t *testing.T) {
	ln, err := Listen(t.Context(), "unix:"+t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	api, err := purge.NewAPI(purge.APIOptions{Store: storeFunc(func(cache.Selection) (cache.Dropped, error) { return cache.Dropped{}, nil })})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(Mount(http.NotFoundHandler(), purge.Path, api))
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	defer srv.Close()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		return net.Dial("unix", ln.Addr().String())
	}}}
	res, err := client.Post("http://any.example/invalidate", "application/json", strings.NewReader(`{"all":true}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}
