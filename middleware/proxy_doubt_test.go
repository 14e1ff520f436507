package middleware_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
)

// refused answers a condition with a 304 that forbids to store, and all else with a page past its freshness.
func refused(more string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Etag", `"v"`)
		if len(r.Header["If-None-Match"]) > 0 {
			w.Header().Set("Set-Cookie", "session=1")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		w.Header().Set("Cache-Control", "max-age=5"+more)
		w.Header().Set("Age", "6")
		fmt.Fprint(w, "page")
	}
}

// TestProxyRefusedValidation: a 304 after which the page may not be kept answers its request, and drops the page; in the
// background, too, where nobody recovers from a panic.
func TestProxyRefusedValidation(t *testing.T) {
	s := newProxied(t, refused(""))
	s.expect("/a", "page", "fwd=uri-miss; stored")
	s.expect("/a", "page", "fwd=stale; fwd-status=304; ttl")
	s.expect("/a", "page", "fwd=uri-miss; stored")
	s = newProxied(t, refused(", stale-while-revalidate=60"))
	s.expect("/a", "page", "fwd=uri-miss; stored")
	s.expect("/a", "page", "hit; detail=graced")
	for deadline := time.Now().Add(10 * time.Second); s.asked.Load() < 3 && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.get("/a") // until it is stored anew
	}
}

// recorded answers with a page for everyone, and keeps what it was asked.
func recorded(requests chan<- *http.Request, headers ...string) http.HandlerFunc {
	answer := numbered(headers...)
	return func(w http.ResponseWriter, r *http.Request) {
		requests <- r
		answer(w, r)
	}
}

// TestProxyAsksForEveryone: no spelling of what is one client's reaches the origin with a request for a page, nor with the HEAD
// request that may renew one.
func TestProxyAsksForEveryone(t *testing.T) {
	requests := make(chan *http.Request, 10)
	s := newProxied(t, recorded(requests, "Cache-Control: max-age=5, stale-if-error=60", "Age: 6"), func(o *middleware.ProxyOptions) {
		o.PublicCookies, o.IgnoreQuery = []string{"_ga"}, []string{"utm_*"}
	})
	for _, method := range []string{"GET", "HEAD"} {
		s.do(method, "/a?x=1&utm_source=evil", "X_Forwarded_Host: evil", "If_None_Match: *", "X-Remote-Addr: evil", "Cookie: _ga=evil", "X-Kept: yes",
			"X-Ssl-Client-S-Dn: evil", "X-Backend-Host: evil", "Referer: evil", "X-Forward-For: evil", "Max-Forwards: evil")
		r := <-requests
		s.settled()
		if r.RequestURI != "/a?x=1" || r.Header.Get("X-Kept") != "yes" || r.Method != method {
			t.Errorf("asked: %s %s %v", r.Method, r.RequestURI, r.Header)
		}
		for name, values := range r.Header {
			if strings.Contains(name, "_") || name == "X-Forwarded-For" || slices.Contains(values, "evil") || slices.Contains(values, "_ga=evil") {
				t.Errorf("%s sees %s: %q", method, name, values)
			}
		}
	}
}

// TestProxyHeadSpelling: what a HEAD for another spelling of the path tells is not about the page.
func TestProxyHeadSpelling(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-if-error=60", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(numbered("Cache-Control: max-age=60", "X-Evil: yes"))
	s.do("HEAD", "/%61")
	if g := s.get("/a"); !strings.HasPrefix(g.cacheStatus(), "fwd=stale") {
		t.Errorf("%+v", g)
	}
}

// TestProxyVaryOnWithheld: what the origin never sees makes no forms.
func TestProxyVaryOnWithheld(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60", "Vary: Cookie, X-Forwarded-Proto, X-Remote-Ip"), func(o *middleware.ProxyOptions) {
		o.PublicCookies = []string{"_ga"}
	})
	s.expect("/a", "1", "fwd=uri-miss; stored", "Cookie: _ga=1")
	s.expect("/a", "1", "hit", "Cookie: _ga=2", "X-Forwarded-Proto: https")
	s.expect("/a", "1", "hit", "X-Remote-Ip: 1")
}

// TestProxyVaryOnMore: a form that varies on more than the URL's first one is found again.
func TestProxyVaryOnMore(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Vary", "X-Form")
		if r.Header.Get("X-Form") == "b" {
			w.Header().Add("Vary", "X-More")
		}
		fmt.Fprint(w, r.Header.Get("X-Form"), r.Header.Get("X-More"))
	})
	s.expect("/a", "a", "fwd=uri-miss; stored", "X-Form: a")
	for _, more := range []string{"1", "2"} {
		s.expect("/a", "b"+more, "fwd=vary-miss; stored", "X-Form: b", "X-More: "+more)
		s.expect("/a", "b"+more, "hit", "X-Form: b", "X-More: "+more)
	}
}

// TestProxyIfErrorGoesOn: while the origin fails, no request is sent to it in vain and answered with its error.
func TestProxyIfErrorGoesOn(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-if-error=60", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusServiceUnavailable) })
	for range 5 {
		if g := s.get("/a"); g.body != "1" {
			t.Errorf("%d %q, %s", g.status, g.body, g.cacheStatus())
		}
	}
}

// TestProxyGracedOnError: a softly purged page is what an origin that answers with an error is covered with.
func TestProxyGracedOnError(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"), func(o *middleware.ProxyOptions) { o.Grace = time.Minute })
	s.expect("/a", "1", "fwd=uri-miss; stored")
	if _, err := s.store.Invalidate(t.Context(), cache.Selection{Keys: []cache.Key{s.key("/a")}, Soft: true}); err != nil {
		t.Fatal(err)
	}
	s.set(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "broken", http.StatusServiceUnavailable) })
	s.expect("/a", "1", "fwd=stale; fwd-status=503; detail=graced")
}

// TestProxyBlamesRequest: one client's odd request neither drops a page nor keeps it from being stored, nor is a request that
// can't be forwarded a failure of the origin.
func TestProxyBlamesRequest(t *testing.T) {
	page := numbered("Cache-Control: max-age=5, stale-if-error=60", "Age: 6", `ETag: "v"`)
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["X-Odd"]) > 0 {
			http.Error(w, "odd", http.StatusBadRequest)
			return
		}
		page(w, r)
	})
	s.expect("/a", "odd\n", `fwd=uri-miss; detail="status 400"`, "X-Odd: yes")
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.expect("/a", "odd\n", `fwd=stale; detail="status 400"`, "X-Odd: yes")
	loop := "Via: " + strings.Repeat("1.1 cachesrv, ", 20) + "1.1 cachesrv"
	if g := s.get("/a", loop); g.status != 400 {
		t.Errorf("%+v", g)
	}
	s.expect("/a", "2", "fwd=stale; stored")
}

// TestProxyUnasked: a 304 to a request without conditions is no answer, and renews nothing.
func TestProxyUnasked(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=5, stale-while-revalidate=0, stale-if-error=60", "Age: 6"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(http.StatusNotModified)
	})
	s.expect("/a", "1", "fwd=stale; fwd-status=502; detail=graced")
}

// TestProxyConditionsOfOrigin: If-Match and If-Unmodified-Since are for the origin; what is malformed is no way past the cache.
func TestProxyConditionsOfOrigin(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60", `ETag: "v"`))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.expect("/a", "2", "fwd=request; detail=condition", `If-Match: "other"`)
	s.expect("/a", "3", "fwd=request; detail=condition", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT")
	s.expect("/a", "1", "hit", "If-Unmodified-Since: yesterday")
	s.get("/a", "If-Match: junk")
	s.count(3)
}

func TestProxyNoStoreDemand(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"), func(o *middleware.ProxyOptions) { o.ClientDirectives = true })
	s.expect("/a", "1", "fwd=request; detail=no-store", "Cache-Control: no-store")
	s.expect("/a", "2", "fwd=uri-miss; stored")
}

// TestProxyEvents: a stream of events is no page, and not waited for as one.
func TestProxyEvents(t *testing.T) {
	s := newProxied(t, numbered("Content-Type: text/event-stream"))
	s.expect("/a", "1", "fwd=bypass; detail=stream", "Accept: text/event-stream")
}

// TestProxyChangeOfDoubleSlash: a path that begins with two slashes is a path.
func TestProxyChangeOfDoubleSlash(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	ask := func(method string) got { return s.raw(method, "//x/y") }
	ask("GET")
	s.settled()
	if g := ask("GET"); !strings.HasPrefix(g.cacheStatus(), "hit") {
		t.Fatalf("%+v", g)
	}
	ask("POST")
	if g := ask("GET"); !strings.HasPrefix(g.cacheStatus(), "fwd=uri-miss") {
		t.Errorf("%+v", g)
	}
}

// TestProxyChangeOfOddPath: where nobody knows what became of a change, the page of its path is dropped, and no other one's: net/url
// writes a path anew that has bytes it finds odd, and would take %2f for a slash.
func TestProxyChangeOfOddPath(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	s.publish("/a/b%22", "page")
	s.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.raw("POST", `/a%2fb"`)
	s.expectHit("/a/b%22")
	s.raw("POST", `/a/b"`)
	if _, err := s.store.Lookup(s.key("/a/b%22")); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("the page is there: %v", err)
	}
}

// TestProxyChangeAfterClose: who is late to change something drops its page all the same.
func TestProxyChangeAfterClose(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	for i, answer := range []http.HandlerFunc{numbered(), func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }} {
		path := fmt.Sprint("/", i)
		s.publish(path, "page")
		s.proxy.Close()
		s.set(answer)
		s.do("POST", path)
		if _, err := s.store.Lookup(s.key(path)); !errors.Is(err, cache.ErrMiss) {
			t.Errorf("the page is there: %v", err)
		}
	}
}

// publish stores a page past the proxy.
func (s *proxied) publish(path, body string) {
	s.t.Helper()
	fill, err := s.store.Claim(s.t.Context(), s.key(path))
	if err != nil {
		s.t.Fatal(err)
	}
	defer fill.Close()
	if _, err := io.WriteString(fill, body); err != nil {
		s.t.Fatal(err)
	}
	hit, err := fill.Publish(s.t.Context(), cache.Meta{Status: 200})
	if err != nil {
		s.t.Fatal(err)
	}
	_ = hit.Close()
}

// raw sends a request with exactly this target.
func (s *proxied) raw(method, target string) got {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.front.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", method, target, s.front.Listener.Addr())
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
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

// TestProxySlowOrigin: what takes longer than a fetch may is sent on to its end, and not stored.
func TestProxySlowOrigin(t *testing.T) {
	const timeout = 100 * time.Millisecond
	for _, size := range []int{10, 100_000} {
		s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			for range 2 {
				_, _ = io.WriteString(w, strings.Repeat("x", size))
				w.(http.Flusher).Flush()
				time.Sleep(3 * timeout) // this is what is tested
			}
			_, _ = io.WriteString(w, "end")
		})
		s.proxy.SetFetchTimeout(timeout)
		if g := s.get("/a"); len(g.body) != 2*size+3 {
			t.Errorf("%d bytes, %s", len(g.body), g.cacheStatus())
		}
		if g := s.get("/a"); !strings.HasPrefix(g.cacheStatus(), "fwd=uri-miss; detail=slow") {
			t.Errorf("%s", g.cacheStatus())
		}
	}
}

// A stuck client takes nothing of an answer's body until it is released.
type stuck struct {
	*httptest.ResponseRecorder
	began   chan struct{}
	release chan struct{}
}

func (s stuck) Write(p []byte) (int, error) {
	s.began <- struct{}{}
	<-s.release
	return s.ResponseRecorder.Write(p)
}

func (s stuck) Flush() {}

// TestProxyStuckClient: a client that takes nothing, as one of HTTP/2 may without more ado, keeps nobody from the page; neither
// the one that fills it nor one that waited.
func TestProxyStuckClient(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", 10<<10) // 160 KiB
	for name, send := range map[string]func(http.ResponseWriter){
		"whole": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "1") },
		"long":  func(w http.ResponseWriter) { _, _ = io.WriteString(w, long) },
		"in parts": func(w http.ResponseWriter) {
			for _, part := range []string{long[:10], long[10:20], long[20:]} {
				_, _ = io.WriteString(w, part)
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		for major := 1; major <= 2; major++ {
			t.Run(fmt.Sprintf("%s HTTP/%d", name, major), func(t *testing.T) {
				s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Cache-Control", "max-age=60")
					send(w)
				})
				want := "1"
				if name != "whole" {
					want = long
				}
				r := httptest.NewRequestWithContext(t.Context(), "GET", s.front.URL+"/a", nil)
				r.RequestURI, r.ProtoMajor, r.ProtoMinor = "/a", major, 2-major
				w := stuck{httptest.NewRecorder(), make(chan struct{}, 10), make(chan struct{})}
				done := make(chan struct{})
				go func() { defer close(done); s.proxy.ServeHTTP(w, r) }()
				<-w.began
				if g := s.get("/a"); g.body != want {
					t.Errorf("%d bytes", len(g.body))
				}
				s.count(1)
				close(w.release)
				<-done
				if w.Body.String() != want {
					t.Errorf("%d bytes", w.Body.Len())
				}
			})
		}
	}
}

// TestProxyStuckWaiter: a client that is answered with the page of another process holds no flight while it takes it.
func TestProxyStuckWaiter(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	fill, err := s.store.Claim(t.Context(), s.key("/a"))
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close()
	r := httptest.NewRequestWithContext(t.Context(), "GET", s.front.URL+"/a", nil)
	r.RequestURI = "/a"
	w := stuck{httptest.NewRecorder(), make(chan struct{}, 10), make(chan struct{})}
	done := make(chan struct{})
	go func() { defer close(done); s.proxy.ServeHTTP(w, r) }()
	for s.proxy.Flights() == 0 {
		time.Sleep(time.Millisecond)
	}
	_, _ = fill.Write([]byte("theirs"))
	if _, err := fill.Publish(t.Context(), cache.Meta{}); err != nil {
		t.Fatal(err)
	}
	<-w.began
	if n := s.proxy.Flights(); n > 0 {
		t.Error("the flight waits for the client")
	}
	close(w.release)
	<-done
}

// TestProxyCloses: Close ends a fetch whose client has left, and waits for nothing else.
func TestProxyCloses(t *testing.T) {
	sent, ended := make(chan struct{}), make(chan struct{})
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, strings.Repeat("x", 100_000))
		w.(http.Flusher).Flush()
		close(sent)
		<-r.Context().Done()
		close(ended)
	})
	ctx, leave := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, "GET", s.front.URL+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 50_000)
	<-sent
	leave()
	_ = resp.Body.Close()
	s.proxy.Close()
	<-ended
}

// TestProxyClockSetBack: a publication that is yet to come is not one of just now.
func TestProxyClockSetBack(t *testing.T) {
	s := newProxied(t, validated(`"v"`, "Cache-Control: no-cache"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	hit, err := s.store.Lookup(s.key("/a"))
	if err != nil {
		t.Fatal(err)
	}
	hit.Published = time.Now().Add(time.Hour) // the page in memory is the one that is served
	_ = hit.Close()
	s.expect("/a", "1", "fwd=stale; fwd-status=304")
	s.count(2)
}

// TestProxyHeadAfterInvalidation: a HEAD brings no page back that was invalidated before the claim under which it asks.
func TestProxyHeadAfterInvalidation(t *testing.T) {
	const modified = "Last-Modified: Sat, 01 Jan 2000 00:00:00 GMT" // too coarse to tell two pages apart
	s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", modified))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.set(numbered("Cache-Control: max-age=60", modified))
	hits := s.store.Stats().Hits
	release := s.proxy.HoldFlights()
	done := make(chan struct{})
	go func() { defer close(done); s.do("HEAD", "/a") }()
	for s.store.Stats().Hits == hits { // until it has found the page
		time.Sleep(time.Millisecond)
	}
	if _, err := s.store.Invalidate(t.Context(), cache.Selection{Keys: []cache.Key{s.key("/a")}}); err != nil {
		t.Error(err)
	}
	release()
	<-done
	if _, err := s.store.Lookup(s.key("/a")); err == nil {
		t.Error("the page is back")
	}
}

// TestProxyInterimOldClient: a client of HTTP/1.0 is sent no interim answer.
func TestProxyInterimOldClient(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "page")
	})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.front.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /a HTTP/1.0\r\nHost: %s\r\n\r\n", s.front.Listener.Addr())
	if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, " 200 ") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestProxyNoContent: a 204 has no length, on its way to the first client either.
func TestProxyNoContent(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.WriteHeader(http.StatusNoContent)
	})
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), "GET", s.front.URL+"/a", nil)
	r.RequestURI = "/a"
	s.proxy.ServeHTTP(w, r)
	if w.Code != 204 || len(w.Header()["Content-Length"]) > 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

// TestProxyCodingRefused: who does not take the coding that the origin has chosen keeps the page from nobody else.
func TestProxyCodingRefused(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60", "Content-Encoding: br"))
	s.get("/a")
	s.expect("/a", "3", "fwd=uri-miss; stored", "Accept-Encoding: br")
	s.expect("/a", "3", "hit", "Accept-Encoding: br")
}

// TestProxyWholeChunked: an answer that came in chunks, but at once, is sent with its length; also when as much as may be is being
// published in the background, and nobody else waits for its publication.
func TestProxyWholeChunked(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
		_ = rw.Flush()
	})
	for _, path := range []string{"/a", "/b"} {
		res, err := http.Get(s.front.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || string(body) != "onetwo" || res.ContentLength != 6 {
			t.Errorf("%s: %q, length %d, %v", path, body, res.ContentLength, err)
		}
		s.settled()
		if _, err := s.store.Lookup(s.key(path)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if path == "/a" {
			defer s.proxy.FillBackground()()
		}
	}
}
