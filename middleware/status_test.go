package middleware_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
)

// A member of Cache-Status as RFC 9211, 2, and RFC 9651 have it, with our parameters in our order.
var member = regexp.MustCompile(`^cachesrv` +
	`(; hit|; fwd=(bypass|method|uri-miss|vary-miss|miss|request|stale|partial))?` + // 2.1, 2.2: never both
	`(; fwd-status=[1-5][0-9][0-9])?(; stored|; collapsed)?` + // 2.3, 2.5, 2.6
	`(; detail=([A-Za-z*][A-Za-z0-9!#$%&'*+.^_` + "`" + `|~:/-]*|"([ !#-\[\]-~]|\\["\\])*"))?` + // 2.8
	`(; ttl=-?[0-9]{1,15})?$`) // 2.4

// TestProxyCacheStatus: each way to answer has its own words (RFC 9211, 2.1 to 2.8).
func TestProxyCacheStatus(t *testing.T) {
	for _, c := range []struct {
		name, want string // ttl as N
		headers    []string
		first      []string // asks before, if any
		then       http.HandlerFunc
		method     string
		ask        []string
	}{
		{name: "miss", headers: []string{"Cache-Control: max-age=60"}, want: "fwd=uri-miss; stored"},
		{name: "hit", headers: []string{"Cache-Control: max-age=60"}, first: []string{""}, want: "hit; ttl=N"},
		{name: "other form", headers: []string{"Cache-Control: max-age=60", "Vary: X-Form"}, first: []string{"X-Form: a"}, ask: []string{"X-Form: b"}, want: "fwd=vary-miss; stored"},
		{name: "expired", headers: []string{"Cache-Control: max-age=5", "Age: 6", `ETag: "v"`}, first: []string{""}, want: "fwd=stale; stored"},
		{name: "graced", headers: []string{"Cache-Control: max-age=5, stale-while-revalidate=60", "Age: 9"}, first: []string{""}, want: "hit; detail=graced; ttl=-N"},
		{name: "on error", headers: []string{"Cache-Control: max-age=5, stale-if-error=60", "Age: 9"}, first: []string{""},
			then: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) }, want: "fwd=stale; fwd-status=503; detail=graced; ttl=-N"},
		{name: "revalidated", headers: []string{"Cache-Control: max-age=5", "Age: 6", `ETag: "v"`}, first: []string{""}, then: validated(`"v"`, "Cache-Control: max-age=60"),
			want: "fwd=stale; fwd-status=304; stored; ttl=N"},
		{name: "not storable", headers: []string{"Cache-Control: no-store"}, want: `fwd=uri-miss; detail="Cache-Control: no-store"`},
		{name: "a word", headers: []string{"Cache-Control: no-store"}, ask: []string{"Cookie: a=b"}, want: "fwd=bypass; detail=cookie"},
		{name: "stream", ask: []string{"Accept: text/event-stream"}, want: "fwd=bypass; detail=stream"},
		{name: "condition", ask: []string{`If-Match: "x"`}, want: "fwd=request; detail=condition"},
		{name: "safe method", method: "OPTIONS", want: "fwd=method"},
		{name: "unsafe method", method: "POST", want: "fwd=method"},
		{name: "head", method: "HEAD", want: "fwd=uri-miss; detail=head"},
		{name: "only if cached", ask: []string{"Cache-Control: only-if-cached"}, want: "detail=only-if-cached"},
		{name: "no-cache", headers: []string{"Cache-Control: max-age=60"}, first: []string{""}, ask: []string{"Cache-Control: no-cache"}, want: "fwd=request; stored"},
		{name: "loop", ask: []string{"Via: " + strings.Repeat("1.1 cachesrv, ", 20) + "1.1 cachesrv"}, want: "detail=request"},
		{name: "origin broken", then: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, want: "fwd=uri-miss; fwd-status=502; detail=origin"},
		{name: "quoted", headers: []string{`Vary: "\`}, want: `fwd=uri-miss; detail="malformed Vary"`},
	} {
		s := newProxied(t, numbered(c.headers...), func(o *middleware.ProxyOptions) { o.ClientDirectives = true })
		for _, h := range c.first {
			if h == "" {
				h = "X-Any: thing"
			}
			s.get("/a", h)
			s.settled()
		}
		if c.then != nil {
			s.set(c.then)
		}
		if c.method == "" {
			c.method = "GET"
		}
		g := s.do(c.method, "/a", c.ask...)
		values := g.header["Cache-Status"]
		if len(values) != 1 || !member.MatchString(values[0]) {
			t.Errorf("%s: malformed: %q", c.name, values)
		}
		if status := regexp.MustCompile(`ttl=(-?)\d+`).ReplaceAllString(g.cacheStatus(), "ttl=${1}N"); status != c.want {
			t.Errorf("%s: %q, want %q", c.name, g.cacheStatus(), c.want)
		}
		s.settled()
	}
}

// TestProxyCacheStatusTTL: it is the freshness left, in whole seconds, and negative from the first moment past it.
func TestProxyCacheStatusTTL(t *testing.T) {
	for age, want := range map[string]string{"0": `^hit; ttl=(59|60)$`, "59": "^hit; ttl=0$", "60": "^hit; detail=graced; ttl=-1$", "70": "^hit; detail=graced; ttl=-1[01]$"} {
		s := newProxied(t, numbered("Cache-Control: max-age=60, stale-while-revalidate=100", "Age: "+age))
		s.get("/a")
		s.settled()
		if g := s.get("/a"); !regexp.MustCompile(want).MatchString(g.cacheStatus()) {
			t.Errorf("Age %s: %s", age, g.cacheStatus())
		}
	}
}

// TestProxyCacheStatusCollapsed: who waited for another's answer is told what the request would have been forwarded for.
func TestProxyCacheStatusCollapsed(t *testing.T) {
	for _, c := range []struct{ first, ask, want string }{
		{"", "", "fwd=uri-miss; collapsed"},
		{"X-Form: b", "X-Form: a", "fwd=vary-miss; collapsed"},
		{"X-Form: a", "X-Form: a", "fwd=stale; collapsed"},
	} {
		s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", "Vary: X-Form", `ETag: "v"`))
		if c.first != "" {
			s.get("/a", c.first)
			s.settled()
		}
		release := make(chan struct{})
		answer := numbered("Cache-Control: max-age=60", "Vary: X-Form")
		s.set(func(w http.ResponseWriter, r *http.Request) { <-release; answer(w, r) })
		var mu sync.Mutex
		var all []string
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				g := s.get("/a", append([]string{"X-Any: thing"}, c.ask)[min(len(c.ask), 1)])
				mu.Lock()
				defer mu.Unlock()
				all = append(all, regexp.MustCompile(`; ttl=.*`).ReplaceAllString(g.cacheStatus(), ""))
			})
		}
		for s.proxy.Waiting() < 4 {
			time.Sleep(time.Millisecond)
		}
		close(release)
		wg.Wait()
		slices.Sort(all)
		if first, _, _ := strings.Cut(c.want, "; "); !slices.Equal(all, []string{c.want, c.want, c.want, c.want, first + "; stored"}) {
			t.Errorf("%v", all)
		}
	}
}

// TestProxyCacheStatusOrder: what caches nearer to the origin say comes before ours (RFC 9211, 2), and is not kept with a page;
// what a handler in front of us says comes behind.
func TestProxyCacheStatusOrder(t *testing.T) {
	near := `near; hit; detail="a, b"`
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Status", near)
		if !strings.HasPrefix(r.URL.Path, "/no") {
			w.Header().Set("Cache-Control", "max-age=60")
		}
		fmt.Fprint(w, "page")
	})
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Outer") != "" {
			w.Header().Set("Cache-Status", "outer; fwd=miss")
		}
		s.proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(outer.Close)
	s.front = outer
	for _, c := range []struct{ method, path, ours string }{
		{"GET", "/a", "cachesrv; fwd=uri-miss; stored"},
		{"GET", "/no", `cachesrv; fwd=uri-miss; detail="no explicit freshness"`},
		{"GET", "/no", `cachesrv; fwd=uri-miss; detail="no explicit freshness"`}, // remembered
		{"HEAD", "/b", "cachesrv; fwd=uri-miss; detail=head"},
		{"OPTIONS", "/a", "cachesrv; fwd=method"},
		{"POST", "/c", "cachesrv; fwd=method"},
	} {
		g := s.do(c.method, c.path)
		if got := g.header["Cache-Status"]; !slices.Equal(got, []string{near, c.ours}) {
			t.Errorf("%s %s: %q", c.method, c.path, got)
		}
		s.settled()
	}
	if got := s.get("/a").header["Cache-Status"]; len(got) != 1 || !strings.HasPrefix(got[0], "cachesrv; hit; ttl=") {
		t.Errorf("a hit: %q", got)
	}
	for _, path := range []string{"/d", "/no2"} {
		if got := s.get(path, "X-Outer: yes").header["Cache-Status"]; len(got) != 3 || got[0] != near || got[2] != "outer; fwd=miss" {
			t.Errorf("%s behind another: %q", path, got)
		}
	}
}

// TestProxyHeadersOfOthers: the origin's fields replace those that handlers in front have set, but lists, which both add to;
// whether the answer is stored, sent on or passed.
func TestProxyHeadersOfOthers(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Vary"] = []string{"X-Form"}
		w.Header()["Server"] = []string{"origin"}
		w.Header()["X-Frame-Options"] = []string{"DENY"}
		if r.URL.Path == "/stored" {
			w.Header().Set("Cache-Control", "max-age=60")
		}
		_, _ = io.WriteString(w, "page")
	})
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{"Vary": "X-Outer", "Server": "outer", "X-Frame-Options": "SAMEORIGIN", "X-Own": "outer"} {
			w.Header().Set(name, value)
		}
		s.proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(outer.Close)
	s.front = outer
	for _, ask := range [][]string{{"GET", "/stored"}, {"GET", "/relayed"}, {"GET", "/relayed"}, {"POST", "/passed"}} {
		h := s.do(ask[0], ask[1]).header
		if !slices.Equal(h["Vary"], []string{"X-Form", "X-Outer"}) || !slices.Equal(h["Server"], []string{"origin"}) ||
			!slices.Equal(h["X-Frame-Options"], []string{"DENY"}) || h.Get("X-Own") != "outer" {
			t.Errorf("%v: %v", ask, h)
		}
		s.settled()
	}
}

// TestProxyTrailers: those of an answer that is no page reach the client, announced or not.
func TestProxyTrailers(t *testing.T) {
	for _, announced := range []bool{false, true} {
		s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
			name := http.TrailerPrefix + "X-Sum"
			if announced {
				name = "X-Sum"
				w.Header().Set("Trailer", name)
			}
			_, _ = io.WriteString(w, "body")
			w.(http.Flusher).Flush()
			w.Header().Set(name, "4")
		})
		for range 2 {
			resp, err := http.Get(s.front.URL + "/a")
			if err != nil {
				t.Fatal(err)
			}
			body := readAll(t, resp.Body)
			_ = resp.Body.Close()
			if body != "body" || resp.Trailer.Get("X-Sum") != "4" {
				t.Errorf("announced %v: %q, trailers %v", announced, body, resp.Trailer)
			}
		}
	}
}

// TestProxySoftPurge: within its grace a softly purged page is served while it is asked for anew, and not longer.
func TestProxySoftPurge(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60"), func(o *middleware.ProxyOptions) { o.Grace = time.Minute })
	s.expect("/a", "1", "fwd=uri-miss; stored")
	if _, err := s.store.Invalidate(t.Context(), cache.Selection{Keys: []cache.Key{s.key("/a")}, Soft: true}); err != nil {
		t.Fatal(err)
	}
	release, asked := make(chan struct{}), make(chan struct{})
	s.set(func(w http.ResponseWriter, _ *http.Request) {
		close(asked)
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "new")
	})
	done := make(chan got)
	go func() { done <- s.get("/a") }()
	<-asked
	s.expect("/a", "1", "hit; detail=graced; ttl=")
	close(release)
	if g := <-done; g.body != "new" {
		t.Errorf("%+v", g)
	}
	s.settled()
	s.expect("/a", "new", "hit; ttl=")
}
