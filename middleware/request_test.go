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
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

// echoRequest is a page that shows what its handler saw.
func echoRequest(w http.ResponseWriter, r *http.Request) {
	text(w, "%s %s|%s|%s|%v", r.Method, r.Host, r.RequestURI, r.URL, r.Header)
}

func TestWhichRequestsAreAnsweredFromPages(t *testing.T) {
	s := newSite(t, middleware.Options{
		Hosts: []string{"a.example", "www.a.example"}, Query: []string{"page", "q"}, IgnoreQuery: []string{"utm_*", "ref"},
		PublicCookies: []string{"_ga*", "consent"},
		Skipper:       func(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/admin") },
		Bypass:        func(r *http.Request) string { return r.Header.Get("X-Why") },
	}, echoRequest)
	// Pages that requests must not be answered from unless they are for them.
	for _, target := range []string{"/", "/x", "/x?page=1", "/x?page=1&q=b"} {
		s.get(target, "Host", "a.example").want(t, 200, "fwd=uri-miss; stored")
	}
	const hit = "hit"
	for _, c := range []struct {
		name, method, target string
		header               []string
		want                 string
	}{
		{"page", "GET", "/x", nil, hit},
		{"HEAD", "HEAD", "/x", nil, hit},
		{"other method", "POST", "/x", nil, "fwd=method"},
		{"skipper", "GET", "/admin/x", nil, "fwd=bypass; detail=skipped"},
		{"bypass", "GET", "/x", []string{"X-Why", `it is "so"`}, `fwd=bypass; detail="it is \"so\""`},
		{"second host", "GET", "/x", []string{"Host", "www.a.example"}, hit},
		{"host in capitals", "GET", "/x", []string{"Host", "A.Example."}, hit},
		{"default port", "GET", "/x", []string{"Host", "a.example:80"}, hit},
		{"other port", "GET", "/x", []string{"Host", "a.example:8080"}, "fwd=bypass; detail=host"},
		{"unlisted host", "GET", "/x", []string{"Host", "b.example"}, "fwd=bypass; detail=host"},
		{"listed parameter", "GET", "/x?page=1", nil, hit},
		{"order of parameters", "GET", "/x?q=b&page=1", nil, hit},
		{"ignored parameters", "GET", "/x?utm_source=n&page=1&ref=", nil, hit},
		{"other parameter", "GET", "/x?page=1&z=1", nil, "fwd=bypass; detail=query"},
		{"semicolon", "GET", "/x?page=1;q=2", nil, "fwd=bypass; detail=query"},
		{"bad escape", "GET", "/x?page=%zz", nil, "fwd=bypass; detail=query"},
		{"public cookies", "GET", "/x", []string{"Cookie", "_ga_1=x; consent=yes; "}, hit},
		{"session cookie", "GET", "/x", []string{"Cookie", "consent=yes; session=1"}, "fwd=bypass; detail=cookie"},
		{"session cookie in a second header", "GET", "/x", []string{"Cookie", "consent=yes", "Cookie", "session=1"}, "fwd=bypass; detail=cookie"},
		{"cookie without a name", "GET", "/x", []string{"Cookie", "=1"}, "fwd=bypass; detail=cookie"},
		{"cookie without a value", "GET", "/x", []string{"Cookie", "session"}, "fwd=bypass; detail=cookie"},
		{"malformed cookie", "GET", "/x", []string{"Cookie", `"sess ion"=1`}, "fwd=bypass; detail=cookie"},
		{"prefix of a public cookie", "GET", "/x", []string{"Cookie", "consen=1"}, "fwd=bypass; detail=cookie"},
		{"authorization", "GET", "/x", []string{"Authorization", "Basic eDp5"}, "fwd=bypass; detail=authorization"},
		{"empty authorization", "GET", "/x", []string{"Authorization", ""}, "fwd=bypass; detail=authorization"},
		{"upgrade", "GET", "/x", []string{"Connection", "Upgrade", "Upgrade", "websocket"}, "fwd=bypass; detail=upgrade"},
		{"method override", "GET", "/x", []string{"X-HTTP-Method-Override", "DELETE"}, "fwd=bypass; detail=method-override"},
		{"reload", "GET", "/x", []string{"Cache-Control", "no-cache", "Pragma", "no-cache"}, hit},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := c.header
			if !strings.Contains(strings.Join(header, " "), "Host") || c.name == "method override" {
				header = append([]string{"Host", "a.example"}, header...)
			}
			s.do(c.method, c.target, header...).want(t, 200, c.want)
		})
	}
}

func TestSharedRenderSeesNothingOfOneClient(t *testing.T) {
	s := newSite(t, middleware.Options{
		Hosts: []string{"a.example", "www.a.example"}, Query: []string{"page"}, IgnoreQuery: []string{"utm_*"},
		PublicCookies: []string{"consent"},
		Vary:          []string{"X-Forwarded-Proto"},
		Variant:       func(r *http.Request) string { return r.Header.Get("X-Forwarded-Proto") },
	}, echoRequest)
	hostile := []string{
		"Host", "WWW.a.example", "Cookie", "consent=mark", "Proxy-Authorization", "mark", "X-Forwarded-Host", "mark.example",
		"X-Forwarded-Scheme", "mark", "X-Forwarded-For", "mark", "X-Forwarded", "mark", "Forwarded", "host=mark", "X-Host", "mark",
		"X-Original-URL", "/mark", "X-Rewrite-URL", "/mark", "X-Real-IP", "mark", "Range", "bytes=0-1", "If-None-Match", `"mark"`,
		"If-Match", "*", "If-Modified-Since", "mark", "If-Unmodified-Since", "mark", "If-Range", `"mark"`, "Accept-Encoding", "mark",
		"Te", "mark", "Connection", "Accept", "Cache-Control", "mark", "Pragma", "mark", "Expect", "mark",
	}
	kept := []string{"Accept-Language", "de", "Accept", "text/html", "X-Forwarded-Proto", "https"}
	r := newRequest("GET", "/x?utm_source=mark&page=1&utm_x=mark", append(hostile, kept...)...)
	before := fmt.Sprint(r.Header, r.URL, r.Host, r.RequestURI)
	a := s.send(r)
	a.want(t, 200, "fwd=uri-miss; stored")
	want := "GET a.example|/x?page=1|/x?page=1|map[Accept:[text/html] Accept-Language:[de] X-Forwarded-Proto:[https]]"
	if got := s.get("/x?page=1", "Host", "a.example", "X-Forwarded-Proto", "https").body; got != want {
		t.Errorf("the handler saw\n%s, want\n%s", got, want)
	}
	if a.Header.Get("Vary") != "X-Forwarded-Proto, Accept-Encoding" {
		t.Errorf("Vary %q", a.Header.Get("Vary"))
	}
	if after := fmt.Sprint(r.Header, r.URL, r.Host, r.RequestURI); after != before {
		t.Errorf("the caller's request was changed:\n%s, was\n%s", after, before)
	}
	s.get("/x?page=1", "Host", "a.example").want(t, 200, "fwd=uri-miss; stored") // another variant
}

// raw sends a request target byte for byte over a real connection.
func raw(t *testing.T, server *httptest.Server, request string) *http.Response {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Body.Close() })
	return a
}

// attack sends raw targets to a site that would make a page of anything, and compares the answers.
func attack(t *testing.T, targets [][2]string) *site {
	t.Helper()
	s := newSite(t, middleware.Options{}, echoRequest)
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	for _, c := range targets {
		a := raw(t, server, "GET "+c[0]+" HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n")
		code, status, _ := strings.Cut(c[1], " ")
		got := strings.TrimPrefix(a.Header.Get("Cache-Status"), "cachesrv; ")
		if fmt.Sprint(a.StatusCode) != code || !strings.HasPrefix(got, status) {
			t.Errorf("%.60q: %d, %q; want %s", c[0], a.StatusCode, got, c[1])
		}
	}
	return s
}

const stored = "200 fwd=uri-miss; stored"

func TestAttack01_DotSegments(t *testing.T) {
	attack(t, [][2]string{{"/a/../b", "400"}, {"/%2e%2e/x", "400"}, {"/..", "400"}, {"/a/.", "400"}, {"/.%2E/x", "400"}, {"/..%2fx", "200 fwd=bypass"}}).nothingStored()
}

func TestAttack02_NUL(t *testing.T) {
	attack(t, [][2]string{{"/a%00", "400"}, {"/%00/b", "400"}}).nothingStored()
}

func TestAttack03_EncodedSlashes(t *testing.T) {
	attack(t, [][2]string{
		{"/a/b", stored}, {"/a%2fb", "200 fwd=bypass; detail=path"}, {"/a%2Fb", "200 fwd=bypass; detail=path"},
		{"/a%5cb", "200 fwd=bypass; detail=path"}, {`/a\b`, "200 fwd=bypass; detail=path"}, {"/a/b", "200 hit"},
	})
}

func TestAttack04_SlashesAreDistinct(t *testing.T) {
	s := attack(t, [][2]string{{"/x", stored}, {"//x", stored}, {"/x/", stored}, {"/x//", stored}, {"/./x", "400"}, {"//x", "200 hit"}})
	for _, target := range []string{"/x", "/x/"} {
		if a := s.get("http://a.example" + target); !strings.Contains(a.body, "|"+target+"|") {
			t.Errorf("%s is answered with %s", target, a.body)
		}
	}
}

func TestAttack05_Fragment(t *testing.T) {
	attack(t, [][2]string{{"/a#frag", "400"}, {"/a?#frag", "400"}, {"/#", "400"}}).nothingStored()
}

func TestAttack06_Long(t *testing.T) {
	long := strings.Repeat("s", 300)
	attack(t, [][2]string{
		{"/" + long + "1", stored}, {"/" + long + "2", stored}, {"/" + long + "1", "200 hit"},
		{"/" + strings.Repeat("d/", 63) + "x", stored}, {"/" + strings.Repeat("d/", 200), "200 fwd=bypass; detail=path"},
		{"/" + strings.Repeat("p", 5000), "200 fwd=bypass; detail=path"}, {"/x?" + strings.Repeat("q", 5000), "200 fwd=bypass; detail=query"},
	})
}

func TestAttack07_Case(t *testing.T) {
	attack(t, [][2]string{{"/A", stored}, {"/a", stored}, {"/A", "200 hit"}})
}

func TestAttack08_OurOwnNames(t *testing.T) {
	names := []string{"/a", "/a.tmp", "/a.page", "/a.page.tmp", "/a.gz", "/a.page.gz", "/a.page.stale", "/a.page@", "/a.page@/x", "/index.html", "/inventory.db", "/.page", "/a/.page.tmp", "/"}
	var targets [][2]string
	for _, name := range names {
		targets = append(targets, [2]string{name, stored})
	}
	s := attack(t, targets)
	for _, name := range names {
		if a := s.get("http://a.example" + name); !strings.Contains(a.body, "|"+name+"|") {
			t.Errorf("%s is answered with %s", name, a.body)
		}
	}
}

func TestAttack10_BytesNotCharacters(t *testing.T) {
	attack(t, [][2]string{
		{"/caf%C3%A9", stored}, {"/cafe%CC%81", stored}, {"/%C0%AF", stored}, {"/%FF", stored}, {"/caf%C3%A9", "200 hit"},
		// Other spellings are answered from the page, but don't make it.
		{"/caf%c3%a9", "200 hit"}, {"/%61", "200 fwd=uri-miss; detail=spelling"}, {"/a", stored}, {"/%61", "200 hit"},
	})
}

func TestAttack14_Hosts(t *testing.T) {
	s := newSite(t, middleware.Options{}, echoRequest)
	server := httptest.NewServer(s)
	defer server.Close()
	for _, c := range []struct {
		request string
		code    int
	}{
		{"GET /x HTTP/1.1\r\nHost: ..\r\n\r\n", 400},
		{"GET /x HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
		{"GET /x HTTP/1.1\r\nHost: \r\n\r\n", 400},
		{"GET /x HTTP/1.1\r\n\r\n", 400},
		{"GET /x HTTP/1.0\r\n\r\n", 400},
		{"GET /x HTTP/1.1\r\nHost: a.example\r\nHost: b.example\r\n\r\n", 400},
		{"GET /x HTTP/1.1\r\nHost: a..example\r\n\r\n", 400},
		{"GET /x HTTP/1.1\r\nHost: a.example:port\r\n\r\n", 400},
		{"GET http://../x HTTP/1.1\r\nHost: a.example\r\n\r\n", 400},
	} {
		if a := raw(t, server, c.request); a.StatusCode != c.code {
			t.Errorf("%q: %d, want %d", c.request, a.StatusCode, c.code)
		}
	}
	s.nothingStored()
	// Attack 15: absolute form against another Host: one authority for both.
	a := raw(t, server, "GET http://B.example:80/x HTTP/1.1\r\nHost: a.example\r\n\r\n")
	if body := readAll(t, a.Body); a.StatusCode != 200 || !strings.HasPrefix(body, "GET b.example|/x|") {
		t.Errorf("%d %s", a.StatusCode, body)
	}
	s.get("http://b.example/x").want(t, 200, "hit")
}

func TestAttack18_GetWithBody(t *testing.T) {
	s := newSite(t, middleware.Options{}, echoRequest)
	server := httptest.NewServer(s)
	defer server.Close()
	for _, request := range []string{
		"GET /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx",
		"GET /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
		"GET /x HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HEAD /x HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx",
	} {
		if a := raw(t, server, request); a.Header.Get("Cache-Status") != "cachesrv; fwd=bypass; detail=body" {
			t.Errorf("%q: %q", request, a.Header.Get("Cache-Status"))
		}
	}
	s.nothingStored()
}

func TestAttack19_AmbiguousQueries(t *testing.T) {
	s := newSite(t, middleware.Options{Query: []string{"a", "b"}, IgnoreQuery: []string{"utm_*"}}, func(w http.ResponseWriter, r *http.Request) {
		text(w, "%s %v", r.URL.RawQuery, r.URL.Query()["a"])
	})
	for _, c := range [][3]string{
		{"?a=1;b=2", "fwd=bypass; detail=query", ""}, {"?a=%zz", "fwd=bypass; detail=query", ""},
		{"?a=1&a=2", "fwd=uri-miss; stored", "a=1&a=2 [1 2]"}, {"?a=2&a=1", "fwd=uri-miss; stored", "a=2&a=1 [2 1]"},
		{"?a=1&utm_a=2", "fwd=uri-miss; stored", "a=1 [1]"}, {"?%61=1", "hit", "a=1 [1]"}, {"?a=a%20b", "fwd=uri-miss; stored", "a=a%20b [a b]"},
		{"?a=a+b", "hit", "a=a%20b [a b]"}, {"?utm_x=1", "fwd=uri-miss; stored", " []"}, {"", "hit", " []"}, {"?", "hit", " []"},
	} {
		a := s.get("http://a.example/x" + c[0])
		a.want(t, 200, c[1])
		if c[2] != "" && a.body != c[2] {
			t.Errorf("%s: the handler saw %q, want %q", c[0], a.body, c[2])
		}
	}
}

func TestAttack20_ManyQueries(t *testing.T) {
	s := newSite(t, middleware.Options{IgnoreQuery: []string{"utm_*"}}, echoRequest)
	for i := range 1000 {
		s.get(fmt.Sprintf("http://a.example/x?q=%d", i)).want(t, 200, "fwd=bypass; detail=query")
		s.get(fmt.Sprintf("http://a.example/x?utm_id=%d", i))
	}
	n := 0
	for range s.store.List(context.Background()) {
		n++
	}
	if n != 1 {
		t.Errorf("%d pages after 2000 queries, want 1", n)
	}
	// Nor can a router's redirects and 404s be multiplied: nobody declared anything for them.
	mux := http.NewServeMux()
	mux.HandleFunc("GET /dir/{$}", echoRequest)
	s = newSite(t, middleware.Options{}, mux.ServeHTTP)
	for i := range 100 {
		s.get(fmt.Sprintf("http://a.example/none/%d", i)).want(t, 404, `fwd=uri-miss; detail="status 404`)
		s.get(fmt.Sprintf("http://a.example//dir%s/", strings.Repeat("/", i%5)))
	}
	s.nothingStored()
}

func TestAttack21_PrivateRequests(t *testing.T) {
	s := newSite(t, middleware.Options{}, func(w http.ResponseWriter, r *http.Request) {
		text(w, "for %q %q", r.Header.Get("Cookie"), r.Header.Get("Authorization"))
	})
	for _, private := range [][]string{{"Cookie", "session=1"}, {"Authorization", "Bearer 1"}} {
		a := s.get(page, private...)
		a.want(t, 200, "fwd=bypass")
		if !strings.Contains(a.body, private[1]) {
			t.Errorf("the application did not see %q: %s", private, a.body)
		}
	}
	s.nothingStored()
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
	a := s.get(page, "Cookie", "session=1")
	a.want(t, 200, "fwd=bypass")
	if a.body != `for "session=1" ""` {
		t.Errorf("a private request got the shared page: %s", a.body)
	}
}

func TestAuthorize(t *testing.T) {
	var asked atomic.Int64
	s := newSite(t, middleware.Options{Authorize: func(r *http.Request) (bool, error) {
		asked.Add(1)
		switch r.Header.Get("Authorization") {
		case "member":
			return true, nil
		case "trouble":
			return false, errBroken
		}
		return false, nil
	}}, func(w http.ResponseWriter, r *http.Request) {
		render.Tags(r.Context(), "t")
		text(w, "for %q %q", r.Header.Get("Authorization"), r.Header.Get("Cookie"))
	})
	for i, c := range []struct {
		who, status string
		code        int
		body        string
	}{
		{"stranger", "fwd=bypass; detail=not-authorized", 200, `for "stranger" "session=1"`},
		{"member", "fwd=uri-miss; stored", 200, `for "" ""`},
		{"member", "hit", 200, `for "" ""`},
		{"stranger", "fwd=bypass; detail=not-authorized", 200, `for "stranger" "session=1"`},
		{"trouble", `detail="the request could not be authorized"`, 500, "the request could not be authorized\n"},
	} {
		a := s.get(page, "Authorization", c.who, "Cookie", "session=1")
		a.want(t, c.code, c.status)
		if a.body != c.body {
			t.Errorf("%s got %q", c.who, a.body)
		}
		if c.status == "hit" && a.Header.Get("Cache-Control") != "private, no-cache" {
			t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
		}
		if n := asked.Load(); n != int64(i+1) {
			t.Errorf("asked %d times after %d requests", n, i+1)
		}
	}
	for e, err := range s.store.List(t.Context()) {
		if err != nil || !strings.HasSuffix(e.File, ".page!") {
			t.Errorf("%s is there for other servers to give to anybody (%v)", e.File, err)
		}
	}
	a := s.get(page) // without credentials too
	a.want(t, 200, "fwd=bypass; detail=not-authorized")
	s.do("POST", page) // never about what is no page
	if n := asked.Load(); n != 6 {
		t.Errorf("asked %d times", n)
	}
}

func TestTransactionTrap(t *testing.T) {
	var logged strings.Builder // the site answers, and so logs, on the test's own goroutine
	s := newSite(t, middleware.Options{Logger: slog.New(slog.NewTextHandler(&logged, nil))}, echoRequest)
	early := func(r *http.Request) *http.Request {
		return r.WithContext(cache.MarkSnapshot(r.Context(), "transaction of the tx middleware"))
	}
	for range 3 {
		s.send(early(newRequest("GET", page))).want(t, 200, "fwd=bypass; detail=snapshot")
	}
	s.nothingStored()
	if n := strings.Count(logged.String(), "transaction of the tx middleware"); n != 1 {
		t.Errorf("warned %d times, want once:\n%s", n, logged.String())
	}
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
	s.send(early(newRequest("GET", page))).want(t, 200, "hit") // what is published can be served
}

func TestRewrittenRequestsPassTheCacheBy(t *testing.T) {
	store := newStore(t)
	s := newSite(t, middleware.Options{Store: store}, echoRequest)
	for _, prefix := range []string{"/a", "/b"} {
		inner := site{http.StripPrefix(prefix, s), t, store}
		inner.get("http://a.example"+prefix+"/x").want(t, 200, "fwd=bypass; detail=rewritten")
	}
	s.nothingStored()
}

func TestStoreOutOfOrder(t *testing.T) {
	s := newSite(t, middleware.Options{}, echoRequest)
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
	if err := s.store.Fence(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	s.get(page).want(t, 200, "fwd=uri-miss; detail=fenced")
	if err := s.store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	store := newStore(t)
	for want, o := range map[string]middleware.Options{
		"Store is nil":              {},
		"must not be negative":      {Store: store, MaxWait: -1},
		"there is no Variant":       {Store: store, Vary: []string{"Accept"}},
		`host "a/b": invalid`:       {Store: store, Hosts: []string{"a.example", "a/b"}},
		`parameter "page" is in`:    {Store: store, Query: []string{"page"}, IgnoreQuery: []string{"p*"}},
		"lists names of parameters": {Store: store, Query: []string{"a*"}},
	} {
		if _, err := middleware.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New: %v, want %q", err, want)
		}
	}
	if _, err := middleware.New(middleware.Options{Store: store}); err != nil {
		t.Errorf("the zero options: %v", err)
	}
}

// FuzzKey: whatever a client sends, no two requests whose handler would see different things share a page, and
// nothing panics.
func FuzzKey(f *testing.F) {
	f.Add("/a?b=1", "a.example", "/%61?b=1", "A.example:80")
	f.Add("/a%2fb", "a.example", "/a/b", "a.example")
	f.Add("/a/../b", "..", "//b", "")
	f.Add("/?a=1&a=2&utm_x", "a.example", "/?a=2&a=1", "a.example")
	f.Fuzz(func(t *testing.T, target1, host1, target2, host2 string) {
		c := middleware.NewKeys([]string{"a", "b"}, []string{"utm_*"})
		seen1, key1, ok1 := sees(c, target1, host1)
		seen2, key2, ok2 := sees(c, target2, host2)
		if ok1 && ok2 && (key1 == key2) != (seen1 == seen2) {
			t.Errorf("%q of %q and %q of %q: keys %v and %v, but handlers see %q and %q", target1, host1, target2, host2, key1, key2, seen1, seen2)
		}
	})
}

// sees returns the key of a request, and what the handler that fills the page would see.
func sees(c *middleware.Keys, target, host string) (seen string, k cache.Key, ok bool) {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n")))
	if err != nil {
		return "", k, false
	}
	k, shared, ok := c.Shared(r)
	if !ok {
		return "", k, false
	}
	return fmt.Sprintf("%s %q %q %v", shared.Host, shared.URL.Path, shared.URL.RawQuery, shared.URL.Query()), k, true
}
