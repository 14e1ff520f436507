package middleware_test

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// tagFields are what no client may see.
var tagFields = []string{"Surrogate-Key", "Xkey", "Cache-Tag", "Edge-Cache-Tag", "Cache-Groups", "Cache-Group-Invalidation", "Cachesrv-Position"}

// tagged are all of them, and what makes an answer a page.
var tagged = []string{
	"Cache-Control: max-age=60", "Surrogate-Key: a b", "xkey: c", "Cache-Tag: d", "Edge-Cache-Tag: e", `Cache-Groups: "f g"`, `Cache-Group-Invalidation: "h"`,
}

// seesNoTags fails if an answer tells of tags.
func (g got) seesNoTags(t *testing.T, what string) {
	t.Helper()
	for _, name := range tagFields {
		if values, ok := g.header[name]; ok {
			t.Errorf("%s: %s: %q reached a client", what, name, values)
		}
	}
}

// tags returns those of a page, sorted; false if there is no page.
func (s *proxied) tags(path string) (string, bool) {
	s.t.Helper()
	s.settled()
	hit, err := s.store.Lookup(s.key(path))
	if err != nil {
		return "", false
	}
	defer hit.Close()
	return strings.Join(slices.Sorted(slices.Values(hit.Meta.Tags)), " "), true
}

func (s *proxied) wantTags(path, want string) {
	s.t.Helper()
	if tags, ok := s.tags(path); !ok || tags != want {
		s.t.Errorf("%s is stored: %v, with %q, not %q", path, ok, tags, want)
	}
}

// wantNone fails if there is a page.
func (s *proxied) wantNone(path, why string) {
	s.t.Helper()
	if tags, ok := s.tags(path); ok {
		s.t.Errorf("%s is stored, with %q: %s", path, tags, why)
	}
}

// group is the tag of a group of the site's host.
func (s *proxied) group(name string) string { return "group:" + s.key("/").Host + ":" + name }

func (s *proxied) drop(sel cache.Selection) {
	s.t.Helper()
	if _, err := s.store.Invalidate(s.t.Context(), sel); err != nil {
		s.t.Fatal(err)
	}
}

// TestProxyTags: what the origin says its pages depend on drops them, each field's tags and groups.
func TestProxyTags(t *testing.T) {
	s := newProxied(t, numbered(tagged...))
	s.expect("/a", "1", "fwd=uri-miss; stored")
	s.wantTags("/a", "a b c d e "+s.group("f%20g"))
	s.drop(cache.Selection{Tags: []string{"x", "h", s.group("h"), "A"}})
	s.expect("/a", "1", "hit")
	for i, tag := range []string{"a", "b", "c", "d", "e", s.group("f%20g")} {
		s.drop(cache.Selection{Tags: []string{tag}})
		s.expect("/a", strconv.Itoa(i+2), "fwd=uri-miss; stored")
	}
}

// TestProxyHidesTags: no client sees them, whichever way an answer takes, and no stored header has them.
func TestProxyHidesTags(t *testing.T) {
	s := newProxied(t, numbered(append(tagged, `ETag: "v"`)...))
	for _, c := range []struct{ what, method, path, header string }{
		{"stored while it is sent", "GET", "/a", ""},
		{"a hit", "GET", "/a", ""},
		{"a hit, HEAD", "HEAD", "/a", ""},
		{"not modified", "GET", "/a", `If-None-Match: "v"`},
		{"stored first", "GET", "/b", "Range: bytes=0-0"},
		{"HEAD, passed", "HEAD", "/c", ""},
		{"passed", "GET", "/a", "Authorization: Basic eDp5"},
		{"of a safe method", "OPTIONS", "/a", ""},
		{"of an unsafe method", "POST", "/d", ""},
	} {
		s.do(c.method, c.path, orNothing(c.header)).seesNoTags(t, c.what)
		s.settled()
	}
	hit, err := s.store.Lookup(s.key("/a"))
	if err != nil {
		t.Fatal(err)
	}
	defer hit.Close()
	got{header: hit.Meta.Header}.seesNoTags(t, "the store")

	s.set(numbered(append(tagged, "Set-Cookie: a=b")...))
	s.get("/e").seesNoTags(t, "relayed")
	s.get("/e").seesNoTags(t, "passed, as it is remembered to be no page")
	s.set(func(w http.ResponseWriter, r *http.Request) {
		numbered(tagged...)(httptest.NewRecorder(), r)
		w.Header().Set("Surrogate-Key", "a")
		w.WriteHeader(503)
	})
	s.get("/f").seesNoTags(t, "an error")
	s.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Surrogate-Key", "a")
		w.WriteHeader(http.StatusSwitchingProtocols)
	})
	r, err := http.NewRequestWithContext(t.Context(), "GET", s.front.URL+"/g", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close() // it has no end
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("a websocket is answered %d", resp.StatusCode)
	}
	got{header: resp.Header}.seesNoTags(t, "a websocket")
}

func orNothing(header string) string {
	if header == "" {
		return "X-Nothing: x"
	}
	return header
}

// TestProxyHidesTagsOfInterim: nor in what is sent ahead of a page.
func TestProxyHidesTagsOfInterim(t *testing.T) {
	s := newProxied(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</x.css>; rel=preload")
		w.Header().Set("Surrogate-Key", "secret")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Cache-Control", "max-age=60")
		fmt.Fprint(w, "page")
	})
	resp, raw := s.allOf("GET /a HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n")
	if resp != "HTTP/1.1 103 Early Hints\r\n" || !strings.Contains(raw, "preload") || !strings.Contains(raw, "200 OK") {
		t.Fatalf("%q%q", resp, raw)
	}
	if strings.Contains(raw, "secret") {
		t.Errorf("%q", raw)
	}
	s.wantTags("/a", "secret")
	if _, raw = s.allOf("POST /a HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"); strings.Contains(raw, "secret") || !strings.Contains(raw, "preload") {
		t.Errorf("passed: %q", raw)
	}
}

// TestProxyTagsInTrailers: nobody reads tags there, so such an answer is no page, announced or not; and no client sees them.
func TestProxyTagsInTrailers(t *testing.T) {
	s := newProxied(t, nil)
	for i, announced := range []string{"", "Surrogate-Key", "X-Sum, cache-tag"} {
		s.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			if announced != "" {
				w.Header().Set("Trailer", announced)
			}
			fmt.Fprint(w, "page")
			_ = http.NewResponseController(w).Flush()
			for _, name := range tagFields {
				w.Header().Set(http.TrailerPrefix+name, "secret")
			}
			w.Header().Set(http.TrailerPrefix+"X-Sum", "1")
		})
		path := "/" + strconv.Itoa(i)
		for _, request := range []string{"GET %s HTTP/1.1\r\nHost: %%s\r\nConnection: close\r\n\r\n", "POST %s HTTP/1.1\r\nHost: %%s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"} {
			_, raw := s.allOf(fmt.Sprintf(request, path))
			if strings.Contains(raw, "secret") || strings.Contains(raw, "Surrogate") || strings.Contains(raw, "cache-tag") || !strings.Contains(raw, "page") {
				t.Errorf("announced %q: %q", announced, raw)
			}
			if strings.HasPrefix(request, "POST") && !strings.Contains(raw, "X-Sum: 1") {
				t.Errorf("the other trailer is lost: %q", raw)
			}
		}
		s.wantNone(path, "nobody knows what it depends on")
		s.do("GET", path+"/range", "Range: bytes=0-1").seesNoTags(t, "stored first")
		s.wantNone(path+"/range", "nobody knows what it depends on")
	}
}

// TestProxyTooLargeReplaces: what has grown too large to be stored takes the place of the page all the same.
func TestProxyTooLargeReplaces(t *testing.T) {
	for _, header := range []string{"X-Nothing: x", "Range: bytes=0-1"} {
		s := newProxied(t, numbered("Cache-Control: max-age=5, stale-if-error=60", "Age: 6", `ETag: "old"`))
		s.expect("/a", "1", "fwd=uri-miss; stored")
		s.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Control", "max-age=60")
			_ = http.NewResponseController(w).Flush()
			for range 6 {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		})
		s.do("GET", "/a", header)
		s.wantNone("/a", "it was replaced; "+header)
	}
}

// allOf sends a request as it is written, "%s" being the host, and returns the first line and the rest of all that comes.
func (s *proxied) allOf(request string) (first, rest string) {
	s.t.Helper()
	conn, err := new(net.Dialer).DialContext(s.t.Context(), "tcp", s.front.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, request, s.front.Listener.Addr())
	br := bufio.NewReader(conn)
	if first, err = br.ReadString('\n'); err != nil {
		s.t.Fatal(err)
	}
	return first, readAll(s.t, br)
}

// TestProxyTagInvalidatedUnderWay: an invalidation by tag or group reaches a fill whose tags nobody knew yet, and one whose answer
// has begun. Without the tags of the answer the page would be stored: that is the control.
func TestProxyTagInvalidatedUnderWay(t *testing.T) {
	for _, when := range []string{"asked", "answering"} {
		for tag, drops := range map[string]bool{"a": true, "e": true, "group": true, "x": false} {
			at, release := make(chan struct{}), make(chan struct{})
			s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
				hold := func(stage string) {
					if when == stage {
						close(at)
						<-release
					}
				}
				hold("asked")
				for _, h := range tagged {
					name, value, _ := strings.Cut(h, ": ")
					w.Header().Set(name, value)
				}
				fmt.Fprint(w, "ol")
				_ = http.NewResponseController(w).Flush()
				hold("answering")
				fmt.Fprint(w, "d")
			})
			done := make(chan got)
			go func() { done <- s.get("/a") }()
			<-at
			if tag == "group" {
				tag = s.group("f%20g")
			}
			s.drop(cache.Selection{Tags: []string{tag}})
			close(release)
			if g := <-done; g.body != "old" {
				t.Errorf("the client whose request began before got %q", g.body)
			}
			s.set(numbered(tagged...))
			if _, stored := s.tags("/a"); stored == drops {
				t.Errorf("%s, %s: stored: %v", when, tag, stored)
			}
		}
	}
}

// TestProxyTagInvalidatedWhileRenewed: of a page that is being renewed both the tags it had and those it gets count: what is too old
// with its new tags is not kept with the earlier ones.
func TestProxyTagInvalidatedWhileRenewed(t *testing.T) {
	for tag, drops := range map[string]bool{"old": true, "new": true, "x": false} {
		s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "v"`, "Surrogate-Key: old"))
		s.expect("/a", "1", "fwd=uri-miss; stored")
		at, release := make(chan struct{}), make(chan struct{})
		s.set(func(w http.ResponseWriter, r *http.Request) {
			close(at)
			<-release
			w.Header().Set("Surrogate-Key", "new")
			w.Header().Set("Etag", `"v"`)
			w.WriteHeader(http.StatusNotModified)
		})
		done := make(chan got)
		go func() { done <- s.get("/a") }()
		<-at
		s.drop(cache.Selection{Tags: []string{tag}})
		close(release)
		<-done
		_, stored := s.tags("/a")
		if stored == drops {
			t.Errorf("%s: stored: %v", tag, stored)
		}
	}
}

// TestProxyRenewedTags: a 304, or an answer to HEAD, that carries tags gives the page new ones; without, it keeps its own.
func TestProxyRenewedTags(t *testing.T) {
	for _, method := range []string{"GET", "HEAD"} {
		for _, c := range []struct {
			lines []string
			want  string // "": no page
		}{
			{nil, "a b GROUP"},
			{[]string{"Cache-Tag: b, c"}, "b c GROUP"},
			{[]string{`Cache-Groups: "n"`, "Surrogate-Key: c"}, "c NEW"},
			{[]string{"Cache-Tag: b c"}, ""},
			{[]string{"Surrogate-Key: " + strings.Join(manyTags(129), " ")}, ""},
			{[]string{"Cache-Groups: n"}, ""},
		} {
			s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "v"`, "Surrogate-Key: a b", `Cache-Groups: "g"`))
			s.expect("/a", "1", "fwd=uri-miss; stored")
			s.set(func(w http.ResponseWriter, r *http.Request) {
				h := w.Header()
				for _, line := range c.lines {
					name, value, _ := strings.Cut(line, ": ")
					h.Set(name, value)
				}
				h.Set("Etag", `"v"`)
				h.Set("Cache-Control", "max-age=60")
				if r.Method == "HEAD" {
					h.Set("Content-Length", "1")
					return
				}
				w.WriteHeader(http.StatusNotModified)
			})
			s.do(method, "/a").seesNoTags(t, method)
			if c.want == "" {
				s.wantNone("/a", method+" "+c.lines[0])
				continue
			}
			s.wantTags("/a", strings.NewReplacer("GROUP", s.group("g"), "NEW", s.group("n")).Replace(c.want))
			s.expect("/a", "1", "hit")
		}
	}
}

func manyTags(n int) []string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = "t" + strconv.Itoa(i)
	}
	return tags
}

// TestProxyUnreadableTags: what can't be dropped by its tags is not stored, its earlier page is dropped, and Cache-Status says why
// without saying what they are.
func TestProxyUnreadableTags(t *testing.T) {
	for line, why := range map[string]string{
		"Cache-Tag: secret tag":                                     "tags that can't be read: Cache-Tag: a tag has no spaces",
		"Cache-Groups: secret":                                      "tags that can't be read: Cache-Groups: it is a list of quoted strings",
		"Surrogate-Key: " + strings.Repeat("secret", 100):           "tags that can't be read: Surrogate-Key: a tag has at most 512 bytes",
		"Surrogate-Key: secret " + strings.Join(manyTags(128), " "): "129 tags, at most 128 are allowed",
	} {
		s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "v"`))
		s.expect("/a", "1", "fwd=uri-miss; stored")
		s.set(numbered("Cache-Control: max-age=60", line))
		for i, from := range []string{"fwd=stale", "fwd=uri-miss"} {
			g := s.expect("/a", strconv.Itoa(i+1), from+`; detail="`+why)
			g.seesNoTags(t, why)
			if strings.Contains(g.cacheStatus(), "secret") {
				t.Errorf("told: %s", g.cacheStatus())
			}
		}
		s.wantNone("/a", why)
	}
}

// TestProxyTagsTheStoreRefuses: a policy may allow more tags than the store. Then a page that has them now is not stored, and its
// earlier one, which has not all of them, is dropped.
func TestProxyTagsTheStoreRefuses(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusNotModified} {
		s := newProxied(t, numbered("Cache-Control: max-age=5", "Age: 6", `ETag: "v"`, "Surrogate-Key: a"), func(o *middleware.ProxyOptions) { o.Policy.MaxTags = 500 })
		s.expect("/a", "1", "fwd=uri-miss; stored")
		s.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Surrogate-Key", strings.Join(manyTags(129), " "))
			w.Header().Set("Cache-Control", "max-age=60")
			w.Header().Set("Etag", `"v"`)
			w.WriteHeader(status)
		})
		s.get("/a")
		s.background()
		s.wantNone("/a", strconv.Itoa(status))
	}
}

// background waits until nothing goes on behind the answers.
func (s *proxied) background() { s.proxy.Close() }

// TestProxyGroupInvalidation: RFC 9875, 3. The groups are dropped when the client sees the first byte of the answer.
func TestProxyGroupInvalidation(t *testing.T) {
	for _, c := range []struct {
		name, method string
		status       int
		line         string
		dropped      string // of the pages of groups a, b, of both, of none
	}{
		{"one", "POST", 200, `"a"`, "/a /ab"},
		{"both", "PATCH", 201, `"b", "a";x`, "/a /b /ab"},
		{"another", "POST", 200, `"A", "c"`, ""},
		{"empty", "POST", 200, ``, ""},
		{"failed, but said so", "DELETE", 500, `"b"`, "/b /ab"},
		{"an unknown method", "FROB", 200, `"b"`, "/b /ab"},
		{"a safe method", "OPTIONS", 200, `"a"`, ""},
		{"malformed", "POST", 200, `a`, "/a /b /ab /none"},
		{"malformed, failed", "POST", 404, `"a`, "/a /b /ab /none"},
	} {
		s := newProxied(t, nil)
		for path, groups := range map[string]string{"/a": `"a"`, "/b": `"b"`, "/ab": `"a", "b"`, "/none": ""} {
			s.set(numbered("Cache-Control: max-age=60", "Cache-Groups: "+groups))
			s.expect(path, "1", "fwd=uri-miss; stored")
		}
		s.set(numbered("Cache-Control: max-age=60", `Cache-Groups: "a", "b"`))
		other := func() string { // the same path of another host, and groups of the same name
			w := httptest.NewRecorder()
			r := httptest.NewRequest("GET", "http://other.example/ab", nil)
			s.proxy.ServeHTTP(w, r)
			s.settled()
			return w.Header().Get("Cache-Status")
		}
		other()

		release := make(chan struct{})
		s.set(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cache-Group-Invalidation", c.line)
			w.WriteHeader(c.status)
			_ = http.NewResponseController(w).Flush()
			<-release
		})
		r, err := http.NewRequestWithContext(t.Context(), c.method, s.front.URL+"/change", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"/a", "/b", "/ab", "/none"} {
			_, stored := s.tags(path)
			if dropped := slices.Contains(strings.Fields(c.dropped), path); dropped == stored {
				t.Errorf("%s: %s is stored: %v", c.name, path, stored)
			}
		}
		if status := other(); !strings.HasPrefix(status, "cachesrv; hit") {
			t.Errorf("%s: the other host's page: %s", c.name, status)
		}
		got{header: resp.Header}.seesNoTags(t, c.name)
		close(release)
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
}

// TestProxyGroupsOfTheSite: a site with several names has one set of groups, however a request writes the name.
func TestProxyGroupsOfTheSite(t *testing.T) {
	s := newProxied(t, numbered("Cache-Control: max-age=60", `Cache-Groups: "a"`), func(o *middleware.ProxyOptions) {
		o.Hosts = []string{"shop.example", "www.shop.example"}
	})
	ask := func(method, host string) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, "/a", nil)
		r.Host = host
		s.proxy.ServeHTTP(w, r)
		s.settled()
		return strings.TrimPrefix(w.Header().Get("Cache-Status"), "cachesrv; ")
	}
	ask("GET", "www.shop.example")
	if status := ask("GET", "shop.example"); !strings.HasPrefix(status, "hit") {
		t.Fatal(status)
	}
	s.set(numbered(`Cache-Group-Invalidation: "a"`))
	r := httptest.NewRequest("POST", "/b", nil)
	r.Host = "WWW.shop.example.:80"
	s.proxy.ServeHTTP(httptest.NewRecorder(), r)
	s.set(numbered("Cache-Control: max-age=60"))
	if status := ask("GET", "shop.example"); !strings.HasPrefix(status, "fwd=uri-miss") {
		t.Error(status)
	}
}

// TestProxyGroupInvalidatedUnderWay: a group that is invalidated while a page of it is on its way keeps that from being stored.
func TestProxyGroupInvalidatedUnderWay(t *testing.T) {
	at, release := make(chan struct{}), make(chan struct{})
	s := newProxied(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			w.Header().Set("Cache-Group-Invalidation", `"g"`)
			return
		}
		close(at)
		<-release
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Cache-Groups", `"g"`)
		fmt.Fprint(w, "old")
	})
	done := make(chan got)
	go func() { done <- s.get("/a") }()
	<-at
	s.do("POST", "/b")
	close(release)
	if g := <-done; g.body != "old" {
		t.Errorf("%q", g.body)
	}
	s.wantNone("/a", "it was asked for before its group was invalidated")
}

// TestProxyUnreadableGroupsAreLogged: an operator learns why so much is dropped.
func TestProxyUnreadableGroupsAreLogged(t *testing.T) {
	log := newLogged("")
	s := newProxied(t, numbered("Cache-Group-Invalidation: a"), func(o *middleware.ProxyOptions) { o.Logger = slog.New(log) })
	s.do("POST", "/a")
	if n := log.count("dropping the whole host"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// TestTagsFitTheStore: what is read of an origin's answer is what the store takes.
func TestTagsFitTheStore(t *testing.T) {
	line := rapid.OneOf(rapid.StringN(0, 40, -1), rapid.StringMatching(`[ -~]{0,40}`), rapid.StringMatching(`x{500,514}`))
	read := 0
	rapid.Check(t, func(t *rapid.T) {
		h := make(http.Header)
		for _, name := range tagFields {
			h[name] = []string{line.Draw(t, name)}
			if strings.HasPrefix(name, "Cache-G") {
				h[name] = []string{strconv.QuoteToASCII(h[name][0])}
			}
		}
		tags, err := httpcache.Tags(h, "shop.example")
		groups, groupsErr := httpcache.Groups(h, "shop.example")
		if err != nil && groupsErr != nil {
			return
		}
		for _, tag := range append(tags, groups...) {
			read++
			if err := cache.CheckTag(tag); err != nil {
				t.Fatal(err)
			}
		}
	})
	if read == 0 {
		t.Error("no tag was read: the test shows nothing")
	}
	longest := strings.Repeat("x", cache.MaxTag)
	if _, err := httpcache.Tags(http.Header{"Xkey": {longest}}, "h"); err != nil {
		t.Errorf("a tag as long as the store takes: %v", err)
	}
}
