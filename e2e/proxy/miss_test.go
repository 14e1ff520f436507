//go:build e2e

package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

// missSize is that of the page in BenchmarkMiss, in bytes.
const missSize = 15_000

// BenchmarkMiss measures what a cache adds to an origin's answer, until its last byte is there, when it has to ask and stores what
// comes: cachesrv, nginx and Varnish by turns, one request at a time, each for a page that nobody has asked for. All of them keep
// connections to the origin. nginx writes files, as we do; Varnish keeps pages in memory.
//
//	go test -tags e2e -run '^$' -bench Miss -benchtime 3000x ./e2e/proxy
//
// TMPDIR says in which file system the pages are.
func BenchmarkMiss(b *testing.B) {
	b.Run("length", func(b *testing.B) { benchmarkMiss(b, true) })
	b.Run("chunked", func(b *testing.B) { benchmarkMiss(b, false) })
}

func benchmarkMiss(b *testing.B, length bool) {
	page := strings.Repeat("0123456789", missSize/10)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=600")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if length {
			w.Header().Set("Content-Length", strconv.Itoa(missSize))
		}
		_, _ = io.WriteString(w, page)
	}))
	defer s.Close()
	servers := []struct{ name, url string }{
		{"direct", s.URL},
		{"cachesrv", "http://" + front(b, s.URL, "--log-level", "warn").addr},
		{"nginx", "http://" + nginx(b, s.Listener.Addr().String())},
		{"varnish", "http://" + varnish(b, s.Listener.Addr().String())},
	}
	took := make([][]time.Duration, len(servers))
	run := time.Now().UnixNano()
	c := &http.Client{Timeout: patience, Transport: &http.Transport{DisableCompression: true}}
	for i := 0; b.Loop(); i++ {
		for j := range servers {
			at := (i + j) % len(servers) // none is always behind the same one
			start := time.Now()
			res, err := c.Get(fmt.Sprintf("%s/page/%x/%d", servers[at].url, run, i))
			if err != nil {
				b.Fatalf("%s: %v", servers[at].name, err)
			}
			n, err := io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err != nil || res.StatusCode != http.StatusOK || n != missSize {
				b.Fatalf("%s: %d, %d bytes, %v", servers[at].name, res.StatusCode, n, err)
			}
			took[at] = append(took[at], time.Since(start))
		}
	}
	b.ReportMetric(0, "ns/op") // of all four together it means nothing
	for at, d := range took {
		slices.Sort(d)
		for _, p := range []int{50, 99} {
			quantile := func(d []time.Duration) float64 { return float64(d[(len(d)-1)*p/100].Nanoseconds()) / 1000 }
			value, unit := quantile(d), fmt.Sprintf("µs-p%d-%s", p, servers[at].name)
			if at > 0 { // took[0] is sorted by now
				value, unit = value-quantile(took[0]), unit+"-over"
			}
			b.ReportMetric(value, unit)
		}
	}
	// What was measured was storing.
	for _, s := range servers[1:] {
		res, err := c.Get(fmt.Sprintf("%s/page/%x/0", s.url, run))
		if err != nil {
			b.Fatal(err)
		}
		_ = res.Body.Close()
		if status := strings.Join(append(res.Header["X-Cache"], res.Header["Cache-Status"]...), ""); !strings.Contains(strings.ToLower(status), "hit") {
			b.Fatalf("%s: no hit, but %q", s.name, status)
		}
	}
}

// peer finds a program to compare with.
func peer(b *testing.B, name, debian string) string {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/local/sbin") {
		if path := filepath.Join(dir, name); dir != "" {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	b.Fatalf("there is no %s: apt-get install %s", name, debian)
	return ""
}

func nginx(b *testing.B, origin string) (addr string) {
	path := peer(b, "nginx", "nginx-light")
	dir, addr := b.TempDir(), program.FreeAddress(b)
	conf := filepath.Join(dir, "nginx.conf")
	user := ""
	if os.Getuid() == 0 {
		user = "user root;"
	}
	err := os.WriteFile(conf, fmt.Appendf(nil, `%[1]s
daemon off; worker_processes 1; pid %[2]s/pid; error_log stderr error;
events { }
http {
  access_log off; keepalive_requests 1000000;
  client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/t; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  proxy_cache_path %[2]s/cache levels=1:2 keys_zone=pages:64m max_size=4g use_temp_path=off;
  upstream origin { server %[3]s; keepalive 16; keepalive_requests 1000000; }
  server {
    listen %[4]s;
    location / {
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache pages; proxy_cache_lock on; add_header X-Cache $upstream_cache_status;
    }
  }
}
`, user, dir, origin, addr), 0o600)
	if err != nil {
		b.Fatal(err)
	}
	program.Launch(b, addr, new(program.Log), exec.Command(path, "-p", dir, "-c", conf))
	return addr
}

func varnish(b *testing.B, origin string) (addr string) {
	path := peer(b, "varnishd", "varnish")
	dir, addr := b.TempDir(), program.FreeAddress(b)
	vcl := filepath.Join(dir, "default.vcl")
	host, port, _ := strings.Cut(origin, ":")
	err := os.WriteFile(vcl, fmt.Appendf(nil, `vcl 4.1;
backend default { .host = "%s"; .port = "%s"; }
sub vcl_deliver { if (obj.hits > 0) { set resp.http.X-Cache = "HIT"; } else { set resp.http.X-Cache = "MISS"; } }
`, host, port), 0o644)
	if err != nil {
		b.Fatal(err)
	}
	program.Launch(b, addr, new(program.Log), exec.Command(path, "-F", "-a", addr, "-f", vcl, "-n", filepath.Join(dir, "varnish"), "-s", "malloc,1g", "-j", "none"))
	return addr
}
