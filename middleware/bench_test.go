package middleware_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strconv"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

const benchSize = 15 << 10

func benchBody() []byte { return bytes.Repeat([]byte("0123456789abcde\n"), benchSize/16) }

// client is one keep-alive connection that costs as little as possible: what is measured is the server.
type client struct {
	conn    net.Conn
	r       *bufio.Reader
	request []byte
}

func newClient(tb testing.TB, server *httptest.Server, path string) *client {
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReaderSize(conn, 64<<10), fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: a.example\r\n\r\n", path)}
}

// get sends the request and reads the answer, which must have a Content-Length. It returns its Cache-Status if asked.
func (c *client) get(tb testing.TB, wantStatus string) {
	if _, err := c.conn.Write(c.request); err != nil {
		tb.Fatal(err)
	}
	var length int
	status := ""
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			tb.Fatal(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		if v, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, _ = strconv.Atoi(string(v))
		}
		if v, ok := bytes.CutPrefix(line, []byte("Cache-Status: ")); ok && wantStatus != "" {
			status = textproto.TrimString(string(v))
		}
	}
	if n, err := c.r.Discard(length); err != nil || n != benchSize {
		tb.Fatalf("body of %d bytes: %v", n, err)
	}
	if status != wantStatus {
		tb.Fatalf("Cache-Status %q, want %q", status, wantStatus)
	}
}

// BenchmarkHitEcho compares a hit through Echo with the same bytes from a bare Echo handler, over real loopback
// connections. ns/op is the hit; the goal is hit/bare ≤ 1.3.
func BenchmarkHitEcho(b *testing.B) {
	body := benchBody()
	page := func(c echo.Context) error {
		c.Response().Header().Set(echo.HeaderContentLength, strconv.Itoa(len(body))) // as a careful handler does
		return c.Blob(http.StatusOK, cache.PlainContentType, body)
	}
	bare := echo.New()
	bare.GET("/page", page)
	pages, err := middleware.New(middleware.Options{Store: newStore(b), Hosts: []string{"a.example"}})
	if err != nil {
		b.Fatal(err)
	}
	cached := echo.New()
	cached.Use(pages.Echo())
	cached.GET("/page", page)

	servers := [2]*httptest.Server{httptest.NewServer(bare), httptest.NewServer(cached)}
	var clients [2]*client
	statuses := [2]string{"", "cachesrv; hit"}
	for i, server := range servers {
		defer server.Close()
		clients[i] = newClient(b, server, "/page")
	}
	clients[1].get(b, "cachesrv; fwd=uri-miss; stored")
	const batch = 64 // requests to one server in turn: what disturbs one disturbs both
	var took [2]time.Duration
	var n [2]int
	b.ReportAllocs()
	for n[1] < b.N {
		for i := range servers {
			start := time.Now()
			for range batch {
				clients[i].get(b, statuses[i])
			}
			took[i] += time.Since(start)
			n[i] += batch
		}
	}
	b.StopTimer()
	bareNs, hitNs := float64(took[0])/float64(n[0]), float64(took[1])/float64(n[1])
	b.ReportMetric(hitNs, "ns/op")
	b.ReportMetric(bareNs, "bare-ns/op")
	b.ReportMetric(hitNs/bareNs, "hit/bare")
}

// BenchmarkHitHandler is the middleware's own share: no connection.
func BenchmarkHitHandler(b *testing.B) {
	s := newSite(b, middleware.Options{Hosts: []string{"a.example"}}, func(w http.ResponseWriter, r *http.Request) {
		text(w, "%s", benchBody())
	})
	s.get("http://a.example/page").want(b, 200, "fwd=uri-miss; stored")
	r := newRequest("GET", "/page", "Host", "a.example", "Accept-Encoding", "gzip, deflate, br, zstd")
	w := &discard{header: make(http.Header)}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		s.ServeHTTP(w, r)
	}
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkFill compares a miss, rendered and published, with the bare render of the same 15 KB. ns/op is the fill;
// the goal is fill - bare ≤ 120 µs.
func BenchmarkFill(b *testing.B) {
	body := benchBody()
	h := func(w http.ResponseWriter, r *http.Request) {
		render.Tags(r.Context(), "all", "page:"+r.URL.Path, "third")
		w.Header().Set("Content-Type", cache.PlainContentType)
		_, _ = io.Copy(w, bytes.NewReader(body))
	}
	s := newSite(b, middleware.Options{Hosts: []string{"a.example"}}, h)
	w := &discard{header: make(http.Header)}
	var bare, filled time.Duration
	b.ReportAllocs()
	for i := range b.N {
		r := newRequest("GET", "/page/"+strconv.Itoa(i), "Host", "a.example")
		clear(w.header)
		start := time.Now()
		h(w, r)
		bare += time.Since(start)
		clear(w.header)
		start = time.Now()
		s.ServeHTTP(w, r)
		filled += time.Since(start)
	}
	b.StopTimer()
	if got := w.header.Get("Cache-Status"); got != "cachesrv; fwd=uri-miss; stored" {
		b.Fatal(got)
	}
	b.ReportMetric(float64(filled)/float64(b.N), "ns/op")
	b.ReportMetric(float64(filled-bare)/float64(b.N), "fill-bare-ns/op")
}
