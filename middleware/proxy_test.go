package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// A proxied site: what the origin answers, how often it was asked, and the proxy in front of it.
type proxied struct {
	t      *testing.T
	store  *cache.Store
	proxy  *middleware.Proxy
	front  *httptest.Server
	asked  atomic.Int64
	answer atomic.Pointer[http.HandlerFunc]
}

// set says what the origin answers from now on.
func (s *proxied) set(answer http.HandlerFunc) { s.answer.Store(&answer) }

func newProxied(t *testing.T, answer http.HandlerFunc, change ...func(*middleware.ProxyOptions)) *proxied {
	t.Helper()
	s := &proxied{t: t, store: newStoreWith(t, cache.Options{PageMax: 5 << 20})}
	s.set(answer)
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(back.Close)
	from, err := origin.New(origin.Options{URL: back.URL, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(from.Close)
	o := middleware.ProxyOptions{Store: s.store, Origin: from, Logger: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	if s.proxy, err = middleware.NewProxy(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.proxy.Close)
	s.front = httptest.NewServer(s.proxy)
	t.Cleanup(s.front.Close)
	return s
}

func (s *proxied) key(path string) cache.Key {
	s.t.Helper()
	k, err := key.Parse(s.front.URL + path)
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

type got struct {
	status int
	header http.Header
	body   string
}

// cacheStatus is ours, without "cachesrv; ".
func (g got) cacheStatus() string {
	values := g.header["Cache-Status"]
	if len(values) == 0 {
		return ""
	}
	return strings.TrimPrefix(values[len(values)-1], "cachesrv; ")
}

// do sends a request. Headers are "Name: value".
func (s *proxied) do(method, path string, headers ...string) got {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.front.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "identity")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(b)}
}

func (s *proxied) get(path string, headers ...string) got {
	s.t.Helper()
	return s.do("GET", path, headers...)
}

// settled waits until no fill is under way: a client may have the whole page before it is published.
func (s *proxied) settled() {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); s.proxy.Flights() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatal("a fill does not end")
		}
	}
}

// expect asks for a page, and compares body and the beginning of Cache-Status. What is stored is published when it returns.
func (s *proxied) expect(path, body, status string, headers ...string) got {
	s.t.Helper()
	g := s.get(path, headers...)
	if g.body != body || !strings.HasPrefix(g.cacheStatus(), status) {
		s.t.Errorf("%s: %d %q, Cache-Status %q; want %q, %q", path, g.status, g.body, g.cacheStatus(), body, status)
	}
	if strings.HasSuffix(g.cacheStatus(), "; stored") {
		s.settled()
	}
	return g
}

func (s *proxied) count(want int64) {
	s.t.Helper()
	if n := s.asked.Load(); n != want {
		s.t.Errorf("the origin was asked %d times, not %d", n, want)
	}
}

// numbered answers with the number of the request as the body, and the given headers.
func numbered(headers ...string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		fmt.Fprint(w, n.Add(1))
	}
}

func TestProxyHit(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60", "Age: 10", `ETag: "v1"`, "X-Own: kept", "Connection: X-Hop", "X-Hop: gone"))
	g := s.expect("/a?x=1", "1", "fwd=uri-miss; stored")
	if g.header.Get("Age") != "10" || g.header.Get("X-Hop") != "" {
		t.Errorf("the first answer has %v", g.header)
	}
	g = s.expect("/a?x=1", "1", "hit; ttl=")
	if g.header.Get("X-Own") != "kept" || g.header.Get("Etag") != `"v1"` || g.header.Get("X-Hop") != "" || g.header.Get("Age") != "10" {
		t.Errorf("the hit has %v", g.header)
	}
	s.expect("/a?x=2", "2", "fwd=uri-miss; stored")
	s.expect("/a?x=1", "1", "hit")
	if g := s.get("/a?x=1", `If-None-Match: "v1"`); g.status != 304 {
		t.Errorf("a condition that holds is answered %d", g.status)
	}
	s.count(2)
}

// TestProxyNoPage: what may not be stored passes through, and is not stored.
func TestProxyNoPage(t *testing.T) {
	for _, header := range []string{
		"Cache-Control: no-store", "Cache-Control: private, max-age=60", "X-Nothing: said", "Vary: *",
		"Cache-Control: max-age=0",
	} {
		s := newProxied(t, numbered(header))
		s.expect("/a", "1", "fwd=uri-miss; detail=")
		s.expect("/a", "2", "fwd=uri-miss; detail=")
	}
	s := newProxied(t, numbered("Cache-Control: max-age=60", "Set-Cookie: a=b"))
	s.expect("/a", "1", "fwd=uri-miss; detail=")
	if g := s.expect("/a", "2", "fwd=uri-miss; detail="); g.header.Get("Set-Cookie") != "a=b" {
		t.Error("the cookie is lost")
	}
	s = newProxied(t, numbered("Cache-Control: max-age=60"))
	s.expect("/a", "1", "fwd=bypass; detail=authorization", "Authorization: Basic eDp5")
	s.expect("/a", "2", "fwd=bypass; detail=cookie", "Cookie: session=1")
	s.expect("/a", "3", "fwd=uri-miss; stored")
	s.expect("/a", "4", "fwd=bypass; detail=cookie", "Cookie: session=1")
}

// validated answers with one ETag, and 304 to whom has it.
func validated(etag string, headers ...string) http.HandlerFunc {
	full := numbered(append(headers, "ETag: "+etag)...)
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") != etag {
			full(w, r)
			return
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			w.Header().Add(name, value)
		}
		w.Header().Set("Etag", etag)
		w.Header().Set("X-Validated", "yes")
		w.WriteHeader(http.StatusNotModified)
	}
}

// TestProxyRevalidation: past its freshness a page is asked about; a 304 renews it and its headers.
func TestProxyRevalidation(t *testing.T) {
	s := newProxied(t, validated(`"v"`, "Cache-Control: max-age=5", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	g := s.expect("/a", "1", "fwd=stale; fwd-status=304; stored")
	if g.header.Get("X-Validated") != "yes" {
		t.Errorf("the headers were not updated: %v", g.header)
	}
	s.count(2)
	s.set(validated(`"v"`, "Cache-Control: max-age=60"))
	s.expect("/a", "1", "fwd=stale; fwd-status=304; stored")
	s.expect("/a", "1", "hit")
	s.count(3)
}

func TestProxyNoCache(t *testing.T) {
	s := newProxied(t, validated(`"v"`, "Cache-Control: no-cache"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	for range 3 {
		s.expect("/a", "1", "fwd=stale; fwd-status=304")
	}
	s.count(4)
}

// TestProxyChangedValidator: a 304 about something else is no answer; the page is asked for again.
func TestProxyChangedValidator(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "old"`))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"new"`)
		w.Header().Set("Cache-Control", "max-age=60")
		if len(r.Header["If-None-Match"]) > 0 {
			w.WriteHeader(304)
			return
		}
		fmt.Fprint(w, "new")
	})
	s.expect("/a", "new", "fwd=stale; stored")
	s.expect("/a", "new", "hit")
}

// TestProxyWhileRevalidate: the page past its freshness is served at once, and one request renews it.
func TestProxyWhileRevalidate(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-while-revalidate=60", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	release := make(chan struct{})
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "new")
	})
	for range 5 {
		s.expect("/a", "1", "hit; detail=graced")
	}
	close(release)
	s.eventually("/a", "new")
	s.count(2)
}

func (s *proxied) eventually(path, body string) {
	s.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if s.get(path).body == body {
			return
		}
	}
	s.t.Errorf("%s never became %q", path, body)
}

// TestProxyIfError: an origin that fails is covered for as long as allowed, but not where must-revalidate forbids it.
func TestProxyIfError(t *testing.T) {
	fails := func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusServiceUnavailable) }
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-if-error=60", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(fails)
	s.expect("/a", "1", "fwd=stale; fwd-status=503; detail=graced")
	s = newProxied(t, numbered("Cache-Control: max-age=5, stale-if-error=60, must-revalidate", "Age: 6", `ETag: "x"`))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(fails)
	s.expect("/a", "broken\n", "fwd=stale")
}

func TestProxyVary(t *testing.T) {
	var n atomic.Int64
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "X-Form")
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, r.Header.Get("X-Form"), n.Add(1))
	})
	s.expect("/a", "x1", "fwd=uri-miss; stored", "X-Form: x")
	s.expect("/a", "y2", "fwd=vary-miss; stored", "X-Form: y")
	s.expect("/a", "3", "fwd=vary-miss; stored")
	s.expect("/a", "x1", "hit", "X-Form: x")
	s.expect("/a", "y2", "hit", "X-Form: y")
	s.expect("/a", "3", "hit")
	k := s.key("/a")
	if _, err := s.store.Invalidate(t.Context(), cache.Selection{Keys: []cache.Key{k}}); err != nil {
		t.Fatal(err)
	}
	s.expect("/a", "y4", "fwd=uri-miss; stored", "X-Form: y")
	s.expect("/a", "x5", "fwd=vary-miss; stored", "X-Form: x")
}

// TestProxyCollapses: many requests for a cold page cost one to the origin; so do those for one that must be renewed.
func TestProxyCollapses(t *testing.T) {
	const many = 200
	for _, control := range []string{"max-age=60", "max-age=0", "no-cache"} {
		release := make(chan struct{})
		s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
			<-release
			w.Header().Set("Cache-Control", control)
			w.Header().Set("Etag", `"e"`)
			fmt.Fprint(w, "page")
		})
		var wg sync.WaitGroup
		for range many {
			wg.Go(func() {
				if g := s.get("/a"); g.body != "page" {
					t.Errorf("%d %q", g.status, g.body)
				}
			})
		}
		for s.proxy.Waiting() < many-1 {
			time.Sleep(time.Millisecond)
		}
		close(release)
		wg.Wait()
		s.count(1)
	}
}

// TestProxyPublishedMeanwhile: a request that found nothing, and comes to claim the page when another one's fill has just ended,
// looks again, and is answered from what that one published. The other way round it would be asked for twice.
func TestProxyPublishedMeanwhile(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	misses := s.store.Stats().Misses
	release := s.proxy.HoldFlights()
	done := make(chan got)
	go func() { done <- s.get("/a") }()
	for s.store.Stats().Misses == misses { // until it has looked
		time.Sleep(time.Millisecond)
	}
	s.publish("/a", "page")
	s.proxy.EndFlight()
	release()
	if g := <-done; g.body != "page" || g.cacheStatus() != "fwd=uri-miss; collapsed" {
		t.Errorf("%q, %s", g.body, g.cacheStatus())
	}
	s.count(0)
}

// TestProxyInvalidatedUnderWay: what was asked for before an invalidation is not stored after it.
func TestProxyInvalidatedUnderWay(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "old")
	})
	done := make(chan got)
	go func() { done <- s.get("/a") }()
	<-asked
	k := s.key("/a")
	if _, err := s.store.Invalidate(t.Context(), cache.Selection{Keys: []cache.Key{k}}); err != nil {
		t.Fatal(err)
	}
	close(release)
	if g := <-done; g.body != "old" {
		t.Errorf("the client whose request began before got %q", g.body)
	}
	s.set(numbered("Cache-Control: max-age=60"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
}

// TestProxyStreams: the client gets the beginning of a page before the origin has sent its end, and a slow client holds
// nobody else up.
func TestProxyStreams(t *testing.T) {
	const size = 4 << 20
	release := make(chan struct{})
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "beginning ")
		w.(http.Flusher).Flush()
		<-release
		_, _ = io.WriteString(w, strings.Repeat("x", size))
	})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /a HTTP/1.1\r\nHost: %s\r\n\r\n", s.front.Listener.Addr())
	resp, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil {
		t.Fatal(err)
	}
	begin := make([]byte, len("beginning "))
	if _, err := io.ReadFull(resp.Body, begin); err != nil || string(begin) != "beginning " {
		t.Fatalf("%q, %v", begin, err)
	}
	close(release) // and the client reads no further
	g := s.get("/a")
	if len(g.body) != size+len(begin) {
		t.Errorf("another client got %d bytes, %s", len(g.body), g.cacheStatus())
	}
	s.expectHit("/a")
	rest, err := io.ReadAll(resp.Body)
	if err != nil || len(rest) != size {
		t.Errorf("the slow client got %d bytes, %v", len(rest), err)
	}
	s.count(1)
}

func (s *proxied) expectHit(path string) {
	s.t.Helper()
	if g := s.get(path); !strings.HasPrefix(g.cacheStatus(), "hit") {
		s.t.Errorf("%s: %s", path, g.cacheStatus())
	}
}

// TestProxyBrokenOff: what the origin does not end is not stored, and the client sees that it has not all.
func TestProxyBrokenOff(t *testing.T) {
	for _, size := range []int{100, 100_000} {
		s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			_, _ = io.WriteString(w, strings.Repeat("x", size))
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		})
		for range 2 {
			resp, err := http.Get(s.front.URL + "/a")
			if err == nil {
				_, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if err == nil {
				t.Error("a part of a page was taken for the whole")
			}
		}
		s.count(2)
	}
}

// TestProxyTooLarge: a body over the bound passes through whole, with and without a length announced.
func TestProxyTooLarge(t *testing.T) {
	body := strings.Repeat("0123456789", 600_000)
	for _, announced := range []bool{false, true} {
		s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			if announced {
				w.Header().Set("Content-Length", strconv.Itoa(len(body)))
			}
			_, _ = io.WriteString(w, body)
		})
		for range 2 {
			if g := s.get("/large"); g.body != body {
				t.Errorf("%d of %d bytes", len(g.body), len(body))
			}
		}
		s.count(2)
	}
}

// TestProxyConditionalMiss: a client that wants a part, or only what has changed, is answered from the whole page.
func TestProxyConditionalMiss(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Range"])+len(r.Header["If-None-Match"]) > 0 {
			t.Error("the origin was asked for a part")
		}
		numbered("Cache-Control: max-age=60", `ETag: "v"`)(w, r)
	})
	if g := s.get("/a", "Range: bytes=0-0"); g.status != 206 || g.body != "1" || !strings.HasPrefix(g.cacheStatus(), "fwd=uri-miss; stored") {
		t.Errorf("%+v", g)
	}
	if g := s.get("/b", `If-None-Match: "v"`); g.status != 304 {
		t.Errorf("%+v", g)
	}
	s.expect("/b", "1", "hit")
}

// TestProxyChange: an unsafe method drops what it is about before its client hears of it.
func TestProxyChange(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	for _, path := range []string{"/a?x=1", "/b", "/c", "/d"} {
		s.get(path)
	}
	s.settled()
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/b")
		w.Header().Set("Content-Location", "http://elsewhere.example/c")
	})
	s.do("POST", "/a?x=1")
	s.set(numbered("Cache-Control: max-age=60"))
	for path, status := range map[string]string{"/a?x=1": "fwd=uri-miss", "/b": "fwd=uri-miss", "/c": "hit", "/d": "hit"} {
		if g := s.get(path); !strings.HasPrefix(g.cacheStatus(), status) {
			t.Errorf("%s: %s, not %s", path, g.cacheStatus(), status)
		}
	}
	s.set(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 404) })
	s.do("DELETE", "/d")
	s.expectHit("/d")
	s.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.do("PUT", "/d") // nobody knows what became of it
	s.set(numbered())
	if g := s.get("/d"); !strings.HasPrefix(g.cacheStatus(), "fwd=uri-miss") {
		t.Errorf("/d: %s", g.cacheStatus())
	}
}

// TestProxyHead: HEAD is answered from a fresh page; about another one it decides.
func TestProxyHead(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60", `ETag: "v"`))
	if g := s.do("HEAD", "/a"); !strings.HasPrefix(g.cacheStatus(), "fwd=uri-miss; detail=head") {
		t.Errorf("HEAD: %s", g.cacheStatus())
	}
	s.expect("/a", "2", "fwd=uri-miss; stored")
	if g := s.do("HEAD", "/a"); !strings.HasPrefix(g.cacheStatus(), "hit") || g.header.Get("Content-Length") != "1" {
		t.Errorf("HEAD: %+v", g)
	}
	for etag, want := range map[string]string{`"v"`: "hit", `"w"`: "fwd=uri-miss; stored"} {
		s = newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "v"`))
		s.expect("/a", "1", "fwd=uri-miss; stored")
		s.set(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", etag)
			w.Header().Set("Content-Length", "1")
			if r.Method == "GET" {
				fmt.Fprint(w, "n")
			}
		})
		s.do("HEAD", "/a")
		if g := s.get("/a"); !strings.HasPrefix(g.cacheStatus(), want) {
			t.Errorf("after HEAD with %s: %s", etag, g.cacheStatus())
		}
	}
}

// TestProxyHeadDecides: an answer to HEAD makes an expired page fresh only by a validator that is good for the page; one that
// tells of another page drops it; and one that tells of none in particular does neither.
func TestProxyHeadDecides(t *testing.T) {
	const (
		fresh, stays, dropped = "hit", "fwd=stale", "fwd=uri-miss"
		modified              = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT"
	)
	for _, tt := range []struct {
		name         string
		stored, head []string
		want         string
	}{
		{"nothing", nil, nil, stays},
		{"nothing of validators", []string{`ETag: "v"`, modified}, nil, stays},
		{"same length", nil, []string{"Content-Length: 1"}, stays},
		{"same length, nothing of validators", []string{`ETag: "v"`}, []string{"Content-Length: 1"}, stays},
		{"other length", nil, []string{"Content-Length: 2"}, dropped},
		{"same ETag", []string{`ETag: "v"`}, []string{`ETag: "v"`}, fresh},
		{"same ETag and length", []string{`ETag: "v"`}, []string{`ETag: "v"`, "Content-Length: 1"}, fresh},
		{"same weak ETag", []string{`ETag: W/"v"`}, []string{`ETag: W/"v"`}, fresh},
		{"same ETag, other length", []string{`ETag: "v"`}, []string{`ETag: "v"`, "Content-Length: 2"}, dropped},
		{"other ETag", []string{`ETag: "v"`}, []string{`ETag: "w"`, "Content-Length: 1"}, dropped},
		{"other ETag, same date", []string{`ETag: "v"`, modified}, []string{`ETag: "w"`, modified}, dropped},
		{"new ETag", nil, []string{`ETag: "v"`}, dropped},
		{"same date", []string{modified}, []string{modified}, fresh},
		{"same date of an ETag's page", []string{`ETag: "v"`, modified}, []string{modified}, fresh},
		{"same date, within its second", []string{modified, "Date: Sat, 01 Jan 2000 00:00:00 GMT"}, []string{modified, "Content-Length: 1"}, stays},
		{"other date", []string{modified}, []string{"Last-Modified: Sat, 01 Jan 2000 00:00:01 GMT"}, dropped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newProxied(t, numbered(append(tt.stored, "Cache-Control: max-age=5, stale-if-error=1000000000", "Age: 6")...))
			s.expect("/a", "1", "fwd=uri-miss; stored")
			s.set(func(w http.ResponseWriter, r *http.Request) {
				numbered(append(tt.head, "Cache-Control: max-age=60")...)(w, r)
				w.(http.Flusher).Flush() // else net/http counts what a GET would be answered with
			})
			if g := s.do("HEAD", "/a"); g.cacheStatus() != "fwd=stale; detail=head" {
				t.Errorf("HEAD: %s", g.cacheStatus())
			}
			s.set(numbered("Cache-Control: max-age=60"))
			if g := s.get("/a"); !strings.HasPrefix(g.cacheStatus(), tt.want) {
				t.Errorf("then: %s, not %s", g.cacheStatus(), tt.want)
			}
		})
	}
}

// TestProxyCoding: a coding that the origin chose unasked is for clients that take it.
func TestProxyCoding(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if r.Header.Get("Accept-Encoding") == "identity" {
			fmt.Fprint(w, "plain")
			return
		}
		w.Header().Set("Content-Encoding", "br")
		fmt.Fprint(w, "coded")
	})
	s.expect("/a", "coded", "fwd=uri-miss; stored", "Accept-Encoding: br")
	s.expect("/a", "coded", "hit", "Accept-Encoding: gzip, br")
	s.expect("/a", "plain", "fwd=vary-miss; detail=encoding")
}

// TestProxyUntilInvalidated: pages live until they are invalidated, whatever browsers are told.
func TestProxyUntilInvalidated(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: no-cache, max-age=0"), func(o *middleware.ProxyOptions) {
		o.Policy = httpcache.Policy{UntilInvalidated: true}
	})
	s.expect("/a", "1", "fwd=uri-miss; stored")
	if g := s.expect("/a", "1", "hit"); g.header.Get("Cache-Control") != "no-cache, max-age=0" {
		t.Errorf("browsers are told %q", g.header.Get("Cache-Control"))
	}
	if _, err := s.store.Invalidate(t.Context(), cache.Selection{All: true}); err != nil {
		t.Fatal(err)
	}
	s.expect("/a", "2", "fwd=uri-miss; stored")
}

func TestProxyDemands(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"), func(o *middleware.ProxyOptions) { o.ClientDirectives = true })
	if g := s.get("/a", "Cache-Control: only-if-cached"); g.status != 504 {
		t.Errorf("only-if-cached: %d", g.status)
	}
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.expect("/a", "1", "hit", "Cache-Control: only-if-cached")
	s.expect("/a", "2", "fwd=", "Cache-Control: no-cache")
	s.expect("/a", "2", "hit")
}

// TestProxyClientLeaves: a page is stored though the client that asked for it has left.
func TestProxyClientLeaves(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "page")
	})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		r, _ := http.NewRequestWithContext(ctx, "GET", s.front.URL+"/a", nil)
		if resp, err := http.DefaultTransport.RoundTrip(r); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-asked
	leave()
	close(release)
	s.eventually("/a", "page")
	s.count(1)
}
