package middleware_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/origin"
)

// TestProxyPatience: an answer that is one client's own may pause for longer than an answer that is to be stored; whether it
// was none from its beginning, or grew too large.
func TestProxyPatience(t *testing.T) {
	const patience = 200 * time.Millisecond
	large := strings.Repeat("x", 6<<20)
	var header, first string
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", header)
		_, _ = io.WriteString(w, first)
		w.(http.Flusher).Flush()
		time.Sleep(3 * patience) // this is what is tested
		_, _ = io.WriteString(w, "end")
	}))
	t.Cleanup(back.Close)
	from, err := origin.New(origin.Options{URL: back.URL, BodyTimeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(from.Close)
	for _, c := range []struct {
		header, first string
		whole         bool
	}{
		{"no-store", "begin", true}, {"max-age=60", large, true}, {"max-age=60", "begin", false},
	} {
		header, first = c.header, c.first
		s := newProxied(t, nil, func(o *middleware.ProxyOptions) { o.Origin = from })
		resp, err := http.Get(s.front.URL + "/a")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if (err == nil) != c.whole || c.whole && len(body) != len(c.first)+3 {
			t.Errorf("%s: %d bytes of %d, %v", c.header, len(body), len(c.first)+3, err)
		}
	}
}

// TestProxyRefusalIsShort: that the origin refuses us is not remembered for as long as that a page is none.
func TestProxyRefusalIsShort(t *testing.T) {
	for _, status := range []int{401, 403, 407, 429, 500, 503} {
		if d := middleware.RememberedFor(status); d > time.Second {
			t.Errorf("%d is remembered for %v", status, d)
		}
	}
	for _, status := range []int{200, 302, 404} {
		if d := middleware.RememberedFor(status); d < 5*time.Second {
			t.Errorf("%d is remembered for %v", status, d)
		}
	}
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusTooManyRequests) })
	s.get("/a")
	s.set(numbered("Cache-Control: max-age=60"))
	for deadline := time.Now().Add(5 * time.Second); !strings.HasSuffix(s.get("/a").cacheStatus(), "; stored"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("a 429 keeps the page from being stored")
		}
	}
}

// TestProxyReflectedOrigin: an answer for one Origin becomes nobody else's page, and keeps none from becoming one.
func TestProxyReflectedOrigin(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		if from := r.Header.Get("Origin"); from != "" {
			w.Header().Set("Access-Control-Allow-Origin", from)
		}
		fmt.Fprint(w, "page")
	})
	for _, from := range []string{"https://a.example", "https://b.example"} {
		g := s.expect("/a", "page", `fwd=uri-miss; detail="allows`, "Origin: "+from)
		if g.header.Get("Access-Control-Allow-Origin") != from {
			t.Errorf("%s: %v", from, g.header)
		}
	}
	if g := s.expect("/a", "page", "fwd=uri-miss; stored"); len(g.header["Access-Control-Allow-Origin"]) > 0 {
		t.Errorf("%v", g.header)
	}
}

// TestProxyChangeNotSent: what never reached the origin has changed nothing.
func TestProxyChangeNotSent(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	loop := "Via: " + strings.Repeat("1.1 cachesrv, ", 20) + "1.1 cachesrv"
	if g := s.do("POST", "/a", loop); g.status != 400 {
		t.Errorf("%+v", g)
	}
	s.expect("/a", "1", "hit")
	s.count(1)
	s.do("POST", "/a")
	s.expect("/a", "3", "fwd=uri-miss; stored")
}

// TestProxyPages: what Pages says is dropped, for the request's own URL and for those that its answer names; also where
// nobody knows what became of the request.
func TestProxyPages(t *testing.T) {
	var mu sync.Mutex
	var targets []string
	other := func(path string) cache.Key { return cache.Key{Host: "other.example", Path: path} }
	s := newProxied(t, numbered(), func(o *middleware.ProxyOptions) {
		o.Pages = func(r *http.Request, target string) []cache.Key {
			mu.Lock()
			defer mu.Unlock()
			targets = append(targets, r.Method+" "+target)
			path, _, _ := strings.Cut(target, "?")
			return []cache.Key{other(path)}
		}
	})
	put := func(k cache.Key) {
		fill, err := s.store.Claim(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		defer fill.Close()
		hit, err := fill.Publish(t.Context(), cache.Meta{})
		if err != nil {
			t.Fatal(err)
		}
		_ = hit.Close()
	}
	there := func(k cache.Key) bool {
		hit, err := s.store.Lookup(k)
		if err == nil {
			_ = hit.Close()
		}
		return err == nil
	}
	for _, path := range []string{"/a", "/b", "/c"} {
		put(other(path))
	}
	s.set(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Location", "/b?y=2") })
	s.do("POST", "/a?x=1")
	if there(other("/a")) || there(other("/b")) || !there(other("/c")) {
		t.Errorf("%v: a %v, b %v, c %v", targets, there(other("/a")), there(other("/b")), there(other("/c")))
	}
	s.set(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	s.do("DELETE", "/c")
	if there(other("/c")) {
		t.Error("of an answer that never came nothing is dropped")
	}
	if got := strings.Join(targets, ", "); got != "POST /a?x=1, POST /b?y=2, DELETE /c" {
		t.Error(got)
	}
}

// TestKeyOf: it is the key of a request with that target.
func TestKeyOf(t *testing.T) {
	for target, want := range map[string]string{
		"/a": "/a", "/%61?x=1": "/a?x=1", "/a?utm_x=2&x=1": "/a?x=1", "//x/y": "//x/y", "/a?": "/a",
		"/a?y=1": "", "/a?x=1;y": "", "a": "", "/a%2fb": "",
	} {
		k, err := middleware.KeyOf("a.example", target, []string{"x"}, []string{"utm_*"})
		got := strings.TrimPrefix(k.String(), "a.example")
		if want == "" && err == nil || want != "" && (err != nil || got != want) {
			t.Errorf("%s: %s, %v", target, got, err)
		}
	}
	if k, err := middleware.KeyOf("a.example", "/a?b=1&a=2", []string{key.AllQueries}, nil); err != nil || k.Query != "b=1&a=2" {
		t.Errorf("%v, %v", k, err)
	}
}

// TestProxyLateWaiters: of many that have waited too long for a slow origin, not all ask it at once; and all are answered.
func TestProxyLateWaiters(t *testing.T) {
	const many = middleware.MaxLate + 50
	release := make(chan struct{})
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "page")
	}, func(o *middleware.ProxyOptions) { o.MaxWait, o.Logger = 3*time.Second, slog.New(slog.DiscardHandler) })
	var wg sync.WaitGroup
	for range 1 + many {
		wg.Go(func() {
			if g := s.get("/a"); g.body != "page" {
				t.Errorf("%d %q", g.status, g.body)
			}
		})
	}
	for s.proxy.Waiting() < many {
		time.Sleep(time.Millisecond)
	}
	for s.asked.Load() < 1+middleware.MaxLate {
		time.Sleep(time.Millisecond)
	}
	if waiting := s.proxy.Waiting(); waiting != many-middleware.MaxLate {
		t.Errorf("%d wait on", waiting)
	}
	close(release)
	wg.Wait()
	s.expectHit("/a")
}

// TestProxyImmutable: immutable (RFC 8246) is for clients, and sent on to them; it does not lengthen a page's life.
func TestProxyImmutable(t *testing.T) {
	const control = "max-age=60, immutable"
	s := newProxied(t, numbered("Cache-Control: "+control), func(o *middleware.ProxyOptions) { o.ClientDirectives = true })
	for _, status := range []string{"fwd=uri-miss; stored", "hit; ttl="} {
		if g := s.expect("/a", "1", status); g.header.Get("Cache-Control") != control {
			t.Errorf("%s: %v", status, g.header)
		}
	}
	s.expect("/a", "2", "fwd=request; stored", "Cache-Control: no-cache") // a reload, where the operator lets clients ask for one
	s = newProxied(t, numbered("Cache-Control: max-age=5, immutable", "Age: 6", `ETag: "v"`))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.expect("/a", "2", "fwd=stale; stored")
}

// TestProxyConditionsReachOrigin: If-Match and If-Unmodified-Since are evaluated by the origin (RFC 9111, 4.3.2), which sees them
// as they were sent, whatever is stored; its 412 is the client's.
func TestProxyConditionsReachOrigin(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Etag", `"new"`)
		if match := r.Header.Get("If-Match") + r.Header.Get("If-Unmodified-Since"); match != "" {
			http.Error(w, match, http.StatusPreconditionFailed)
			return
		}
		fmt.Fprint(w, "page")
	})
	s.expect("/a", "page", "fwd=uri-miss; stored")
	const since = "Sat, 01 Jan 2000 00:00:00 GMT"
	for header, value := range map[string]string{"If-Match": `"old", W/"x"`, "If-Unmodified-Since": since} {
		for _, method := range []string{"GET", "HEAD", "PUT"} {
			g := s.do(method, "/a", header+": "+value)
			if g.status != http.StatusPreconditionFailed || method != "HEAD" && g.body != value+"\n" {
				t.Errorf("%s with %s: %+v", method, header, g)
			}
		}
	}
	s.expect("/a", "page", "hit") // a change that failed is none
}
