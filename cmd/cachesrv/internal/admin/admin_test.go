package admin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// get asks a server on an admin listener, under a Host of its own if host is not empty.
func get(t *testing.T, ln net.Listener, path, host string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial(ln.Addr().Network(), ln.Addr().String())
		}}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func serve(t *testing.T, addr string, checks ...Check) net.Listener {
	t.Helper()
	ln, err := Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	stats := func() cache.Stats { return cache.Stats{Hits: 41, Pages: 7, Fenced: true} }
	srv := httptest.NewUnstartedServer(Handler(NewRegistry(stats, new(purge.Counts)), checks...))
	_ = srv.Listener.Close()
	srv.Listener = ln
	srv.Start()
	t.Cleanup(srv.Close)
	return ln
}

func TestPages(t *testing.T) {
	ln := serve(t, "127.0.0.1:0")
	for path, want := range map[string]string{
		"/metrics":                     "cachesrv_hits_total 41\n",
		"/metrics?":                    "cachesrv_fenced 1\n",
		"/metrics?x":                   "process_open_fds ",
		"/metrics?y":                   "go_goroutines ",
		"/healthz":                     "ok\n",
		"/debug/pprof/":                "goroutine",
		"/debug/pprof/cmdline":         "admin.test",
		"/debug/pprof/heap?debug=1":    "heap profile",
		"/debug/pprof/symbol?0x123456": "num_symbols",
	} {
		if status, body := get(t, ln, path, ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d, no %q in %.200s", path, status, want, body)
		}
	}
}

func TestHealthReasons(t *testing.T) {
	ln := serve(t, "127.0.0.1:0",
		func(context.Context) error { return errors.New("the cache is fenced") },
		func(context.Context) error { return nil },
		func(context.Context) error { return errors.New("the database is gone") })
	if status, body := get(t, ln, "/healthz", ""); status != 503 || body != "the cache is fenced\nthe database is gone\n" {
		t.Errorf("%d %q", status, body)
	}
}

func TestForeignHostIsRefused(t *testing.T) {
	ln := serve(t, "127.0.0.1:0")
	for host, want := range map[string]int{
		"evil.example": 421, "evil.example:80": 421, "127.0.0.1.evil.example": 421, "10.0.0.1": 421,
		"localhost": 200, "localhost:99": 200, "127.0.0.1": 200, "[::1]:9": 200, "[::1]": 200,
	} {
		if status, _ := get(t, ln, "/metrics", host); status != want {
			t.Errorf("Host %s: %d, want %d", host, status, want)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln := serve(t, "unix:"+path)
	if status, _ := get(t, ln, "/healthz", "any.example"); status != 200 {
		t.Errorf("status %d", status)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", st.Mode(), err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a socket that answers: %v", err)
	}
}

func TestDeadSocketIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	dead.(*net.UnixListener).SetUnlinkOnClose(false) // as after SIGKILL
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	ln, err := Listen(t.Context(), "unix:"+path)
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "unix:"+path); err == nil || !strings.Contains(err.Error(), "not a socket") {
		t.Errorf("a file of somebody's: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the file is gone: %v", err)
	}
}

func TestListenRefuses(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0", "[::]:0", "example.org:0"} {
		ln, err := Listen(t.Context(), addr)
		if err == nil {
			_ = ln.Close()
		}
		if err == nil || !strings.Contains(err.Error(), "not a loopback address") {
			t.Errorf("%s: %v", addr, err)
		}
	}
	taken, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := Listen(t.Context(), taken.Addr().String()); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v", err)
	}
}
