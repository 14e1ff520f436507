package origin

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestAnswers: what origins say, and what is made of it.
func TestAnswers(t *testing.T) {
	const whole, chunked = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
	for _, tt := range []struct {
		what, says string
		status     int // 0: an error instead of an answer
		body       string
		broken     bool // an error instead of the body's end
	}{
		{"a length", whole + "\r\nhello", 200, "hello", false},
		{"chunks", chunked + "\r\n2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\n\r\n", 200, "hello", false},
		{"until close", "HTTP/1.1 200 OK\r\n\r\nhello", 200, "hello", false},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhello", 200, "hello", false},
		{"no reason", "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, "", false},
		{"lone LFs", "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", 200, "hello", false},
		{"space before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello", 200, "hello", false},
		{"a folded line", whole + "X: a\r\n  b\r\n\r\nhello", 200, "hello", false},
		{"equal lengths", whole + "Content-Length: 5, 5\r\n\r\nhello", 200, "hello", false},
		{"304 with a length", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", 304, "", false},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", 204, "", false},
		{"interim answers", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + whole + "\r\nhello", 200, "hello", false},

		{"nothing", "", 0, "", false},
		{"half a status line", "HTTP/1.1 20", 0, "", false},
		{"half a header", whole, 0, "", false},
		{"HTTP/0.9", "hello", 0, "", false},
		{"HTTP/2", "HTTP/2.0 200 OK\r\n\r\n", 0, "", false},
		{"HTTP/1.12", "HTTP/1.12 200 OK\r\n\r\n", 0, "", false},
		{"status 099", "HTTP/1.1 099 X\r\n\r\n", 0, "", false},
		{"status +20", "HTTP/1.1 +20 X\r\n\r\n", 0, "", false},
		{"status 2000", "HTTP/1.1 2000 X\r\n\r\n", 0, "", false},
		{"an empty line first", "\r\n" + whole + "\r\nhello", 0, "", false},
		{"NUL in a value", whole + "X: a\x00b\r\n\r\nhello", 0, "", false},
		{"NUL in a name", whole + "X\x00: a\r\n\r\nhello", 0, "", false},
		{"CR in a value", whole + "X: a\rSet-Cookie: b\r\n\r\nhello", 0, "", false},
		{"ESC in the reason", "HTTP/1.1 200 \x1b\r\n\r\n", 0, "", false},
		{"no colon", whole + "X\r\n\r\nhello", 0, "", false},
		{"no name", whole + ": a\r\n\r\nhello", 0, "", false},
		{"space in a name", whole + "X Y: a\r\n\r\nhello", 0, "", false},
		{"folded first line", "HTTP/1.1 200 OK\r\n X: a\r\n\r\n", 0, "", false},
		{"different lengths", whole + "Content-Length: 6\r\n\r\nhello!", 0, "", false},
		{"a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello", 0, "", false},
		{"a signed length", "HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello", 0, "", false},
		{"an empty length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello", 0, "", false},
		{"a huge length", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nhello", 0, "", false},
		{"length and chunks", whole + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0, "", false},
		{"chunks in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0, "", false},
		{"another coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\nhello", 0, "", false},
		{"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\nhello", 0, "", false},
		{"chunked twice", chunked + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 0, "", false},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nhello", 0, "", false},
		{"64 KB of header", whole + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\nhello", 0, "", false},
		{"64 KB of interim answers", strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 4000) + whole + "\r\nhello", 0, "", false},

		{"a short body", whole + "\r\nhell", 200, "hell", true},
		{"no body", whole + "\r\n", 200, "", true},
		{"a long body", whole + "\r\nhello!", 200, "hello", true},
		{"a second answer", whole + "\r\nhello" + whole + "\r\nagain", 200, "hello", true},
		{"a body of no length", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nhello", 200, "", true},
		{"chunks that end", chunked + "\r\n5\r\nhello\r\n", 200, "hello", true},
		{"half a chunk", chunked + "\r\n6\r\nhello", 200, "hello", true},
		{"no final line", chunked + "\r\n5\r\nhello\r\n0\r\n", 200, "hello", true},
		{"a chunk too long", chunked + "\r\n4\r\nhello\r\n0\r\n\r\n", 200, "hell", true},
		{"a chunk size with a sign", chunked + "\r\n+5\r\nhello\r\n0\r\n\r\n", 200, "", true},
		{"a chunk size that overflows", chunked + "\r\nffffffffffffffff5\r\nhello\r\n0\r\n\r\n", 200, "", true},
		{"bytes after the last chunk", chunked + "\r\n5\r\nhello\r\n0\r\n\r\nmore", 200, "hello", true},
		{"a malformed trailer", chunked + "\r\n5\r\nhello\r\n0\r\nX\x00: a\r\n\r\n", 200, "hello", true},
		{"64 KB of trailers", chunked + "\r\n5\r\nhello\r\n0\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 200, "hello", true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			o := newOrigin(t, Options{URL: saying(t, tt.says)})
			resp, err := o.Fetch(t.Context(), get("/"), nil, nil)
			if tt.status == 0 {
				if err == nil {
					t.Fatalf("answer %v", resp)
				}
				if want := tt.says != ""; errors.Is(err, ErrMalformed) != want || errors.Is(err, ErrUnreachable) == want || Status(err) != 502 {
					t.Errorf("%v, status %d", err, Status(err))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != tt.status || string(b) != tt.body {
				t.Errorf("%d %q", resp.StatusCode, b)
			}
			if (err != nil) != tt.broken || err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("the body ends with %v", err)
			}
		})
	}
}

// TestHeader: what is told of an answer.
func TestHeader(t *testing.T) {
	o := newOrigin(t, Options{URL: saying(t, "HTTP/1.1 203 Fine\r\nset-COOKIE: a=1\r\nSet-Cookie: b=2\r\nX:  a \t\r\n b\t\r\nConnection: close, x-hop\r\nX-Hop: 1\r\n"+
		"Trailer: X-Sum, Content-Length\r\nTransfer-Encoding: Chunked\r\nX-High: \xff\r\n\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\nContent-Length: 7\r\n\r\n")})
	resp, err := o.Fetch(t.Context(), get("/"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	want := http.Header{"Set-Cookie": {"a=1", "b=2"}, "X": {"a b"}, "Connection": {"close, x-hop"}, "X-Hop": {"1"}, "X-High": {"\xff"}}
	if !maps.EqualFunc(resp.Header, want, func(a, b []string) bool { return strings.Join(a, "\n") == strings.Join(b, "\n") }) {
		t.Errorf("%q", resp.Header)
	}
	if resp.Status != "203 Fine" || resp.Proto != "HTTP/1.1" || !resp.Close || resp.ContentLength != -1 || fmt.Sprint(resp.TransferEncoding) != "[chunked]" {
		t.Errorf("%+v", resp)
	}
	if _, promised := resp.Trailer["X-Sum"]; !promised || len(resp.Trailer) != 1 {
		t.Errorf("trailers promised: %q", resp.Trailer)
	}
	if _, err := io.ReadAll(resp.Body); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(resp.Trailer); got != "map[X-More:[2] X-Sum:[1]]" {
		t.Errorf("trailers %s", got)
	}
}

// TestFetchSends: a page is asked for in one way, whoever asks.
func TestFetchSends(t *testing.T) {
	heads := make(chan string, 1)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		heads <- p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})})
	r := get("/a?b")
	r.Method, r.Host = http.MethodHead, "site.example:8080"
	r.Header = http.Header{
		"Accept": {"a", "b"}, "Accept-Encoding": {"gzip"}, "Range": {"bytes=0-1"}, "If-None-Match": {`"x"`}, "If-Range": {`"x"`},
		"Connection": {"X-Hop, Accept, Cookie"}, "X-Hop": {"1"}, "Cookie": {"a=1"}, "Upgrade": {"websocket"}, "Te": {"trailers"}, "Expect": {"100-continue"},
		"Content-Length": {"7"}, "Transfer-Encoding": {"chunked"}, "Via": {"1.0 front"}, "Host": {"other"},
		"X-Forwarded-Host": {"evil"}, "X-Forwarded-Proto": {"evil"}, "X-Forwarded-For": {"evil"}, "Referer": {"evil"}, "If_match": {"*"}, "X-User": {"evil"}, "X-Y": {"1"},
	}
	before := fmt.Sprint(r.Header)
	for _, scheme := range []string{"http", "https"} {
		if scheme == "https" {
			r.TLS = &tls.ConnectionState{}
		}
		resp, err := o.Fetch(t.Context(), r, http.Header{"If-None-Match": {`"y"`}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want := "GET /a?b HTTP/1.1\r\nHost: site.example:8080\r\nAccept: a\r\nAccept: b\r\nIf-None-Match: \"y\"\r\nVia: 1.0 front\r\nVia: 1.1 cachesrv\r\n" +
			"X-Forwarded-Host: site.example:8080\r\nX-Forwarded-Proto: " + scheme + "\r\nX-Y: 1\r\n\r\n"
		got := await(t, heads, "the request")
		if got != want {
			t.Errorf("sent\n%s\nwant\n%s", got, want)
		}
	}
	if fmt.Sprint(r.Header) != before {
		t.Error("the request's own header was changed")
	}
}

// TestTargets: the origin gets the very bytes.
func TestTargets(t *testing.T) {
	heads := make(chan string, 1)
	o := newOrigin(t, Options{Host: "fixed.example", URL: raw(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			heads <- h
			p.say(ok(""))
		}
	})})
	for target, sent := range map[string]string{
		"/": "/", "/%2e%2E/x": "/%2e%2E/x", "/a%2fb": "/a%2fb", "//x{|}": "//x{|}", "/?": "/?", "/a?b=1;c=%zz&b=2": "/a?b=1;c=%zz&b=2",
		"/\xff\xc0\xaf\"<>\\^`": "/\xff\xc0\xaf\"<>\\^`", "/a/../b/./c": "/a/../b/./c", "/a?http://b/c": "/a?http://b/c",
		"http://site.example/a//b?c": "/a//b?c", "http://site.example": "/", "HTTPS://site.example?a": "/?a",
	} {
		if _, _, err := page(t.Context(), o, target); err != nil {
			t.Errorf("%q: %v", target, err)
			continue
		}
		if got := await(t, heads, "the request"); !strings.HasPrefix(got, "GET "+sent+" HTTP/1.1\r\nHost: fixed.example\r\n") {
			t.Errorf("%q is sent as %.60q", target, got)
		}
	}
}

// TestUnsendable: what would be another request, or two, is not sent.
func TestUnsendable(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) { t.Errorf("sent: %q", p.head()) })})
	for _, tt := range []struct {
		what   string
		change func(r *http.Request)
	}{
		{"a space in the target", func(r *http.Request) { r.RequestURI = "/a HTTP/1.1" }},
		{"a line in the target", func(r *http.Request) { r.RequestURI = "/a\r\nX:b" }},
		{"NUL in the target", func(r *http.Request) { r.RequestURI = "/\x00" }},
		{"a fragment", func(r *http.Request) { r.RequestURI = "/a#b" }},
		{"no path", func(r *http.Request) { r.RequestURI = "a" }},
		{"an asterisk", func(r *http.Request) { r.RequestURI = "*" }},
		{"no host", func(r *http.Request) { r.Host = "" }},
		{"a path as host", func(r *http.Request) { r.Host = "a/b" }},
		{"a line in the host", func(r *http.Request) { r.Host = "a\r\nX: b" }},
		{"a line in a value", func(r *http.Request) { r.Header["X"] = []string{"a\nb"} }},
		{"NUL in a value", func(r *http.Request) { r.Header["X"] = []string{"a\x00b"} }},
		{"a colon in a name", func(r *http.Request) { r.Header["X: a"] = []string{"b"} }},
		{"a loop", func(r *http.Request) { r.Header["Via"] = []string{strings.Repeat("1.1 CacheSrv, ", 16)} }},
	} {
		r := get("/")
		tt.change(r)
		resp, err := o.Fetch(t.Context(), r, nil, nil)
		if !errors.Is(err, ErrRequest) || Status(err) != http.StatusBadRequest {
			t.Errorf("%s: %v, %v", tt.what, resp, err)
		}
	}
}

func TestInterim(t *testing.T) {
	o := newOrigin(t, Options{URL: saying(t, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nConnection: x\r\nX: 1\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"+ok("hi"))})
	var told []string
	resp, err := o.Fetch(t.Context(), get("/"), nil, func(code int, h http.Header) { told = append(told, fmt.Sprint(code, h)) })
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if got := strings.Join(told, ";"); got != "103 map[Link:[</a>]];102 map[]" {
		t.Error(got)
	}
}

// TestTimeouts: nothing is waited for for ever, and it is said what was.
func TestTimeouts(t *testing.T) {
	const short = 50 * time.Millisecond
	// drip says something now and then, until the other side is gone.
	drip := func(p *peer, s string) {
		tick := time.NewTicker(short / 5)
		defer tick.Stop()
		for range tick.C {
			if _, err := io.WriteString(p, s); err != nil {
				return
			}
		}
	}
	for _, tt := range []struct {
		what string
		o    Options
		each func(p *peer)
	}{
		{"no header", Options{HeaderTimeout: short}, func(p *peer) { p.head(); p.gone() }},
		{"a slow header", Options{HeaderTimeout: short}, func(p *peer) { p.head(); p.say("HTTP/1.1 200 OK\r\nX: "); drip(p, "x") }},
		{"slow interim answers", Options{HeaderTimeout: short}, func(p *peer) { p.head(); drip(p, "HTTP/1.1 102 Processing\r\n\r\n") }},
		{"no body", Options{BodyTimeout: short}, func(p *peer) { p.head(); p.say("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"); p.gone() }},
		{"half a chunk", Options{BodyTimeout: short}, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel")
			p.gone()
		}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			tt.o.URL = raw(t, tt.each)
			_, _, err := page(t.Context(), newOrigin(t, tt.o), "/")
			if !errors.Is(err, ErrTimeout) || Status(err) != http.StatusGatewayTimeout {
				t.Error(err)
			}
		})
	}
	t.Run("no connection left", func(t *testing.T) {
		o := newOrigin(t, Options{MaxConns: 1, ConnectTimeout: short, URL: raw(t, func(p *peer) { p.head(); p.say("HTTP/1.1 200 OK\r\n\r\n"); p.gone() })})
		resp, err := o.Fetch(t.Context(), get("/"), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := page(t.Context(), o, "/"); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
		resp.Body.Close()
	})
	t.Run("no TLS handshake", func(t *testing.T) {
		o := newOrigin(t, Options{ConnectTimeout: short, URL: "https" + strings.TrimPrefix(raw(t, func(p *peer) { p.gone() }), "http")})
		if _, _, err := page(t.Context(), o, "/"); !errors.Is(err, ErrTimeout) {
			t.Error(err)
		}
	})
	t.Run("a slow body is no late header", func(t *testing.T) {
		o := newOrigin(t, Options{HeaderTimeout: 10 * short, BodyTimeout: patience, URL: raw(t, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
			<-time.After(15 * short)
			p.say("x")
		})})
		if _, b, err := page(t.Context(), o, "/"); err != nil || b != "x" {
			t.Error(b, err)
		}
		w := httptest.NewRecorder()
		o.Pass(w, httptest.NewRequest(http.MethodGet, "http://site.example/", nil), nil)
		if w.Body.String() != "x" {
			t.Errorf("%q", w.Body)
		}
	})
}

func TestUnreachable(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	for _, url := range []string{"http://" + addr, "unix:" + filepath.Join(t.TempDir(), "none")} {
		_, _, err = page(t.Context(), newOrigin(t, Options{URL: url}), "/")
		if !errors.Is(err, ErrUnreachable) || Status(err) != http.StatusBadGateway || !strings.Contains(err.Error(), url) {
			t.Error(err)
		}
	}
}

// TestKeptConnectionDies: an origin may close a kept connection at any time, even when a request is on its way.
func TestKeptConnectionDies(t *testing.T) {
	var requests atomic.Int32
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for i := range 2 {
			if p.head() == "" {
				return
			}
			requests.Add(1)
			if i == 0 {
				p.say(ok("hi"))
			} // and closes when it got the second
		}
	})})
	for i := range 3 {
		if _, b, err := page(t.Context(), o, "/"); err != nil || b != "hi" {
			t.Fatalf("request %d: %q, %v", i, b, err)
		}
	}
	if n := requests.Load(); n != 5 {
		t.Errorf("%d requests came, want 5: the second and third are sent twice", n)
	}
	// What is not idempotent is not sent twice.
	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		before := requests.Load()
		w, r := httptest.NewRecorder(), httptest.NewRequest(method, "http://site.example/", nil)
		o.Pass(w, r, nil) // on a fresh connection of the other lane
		if w.Code != 200 {
			t.Fatal(w.Code)
		}
		w = httptest.NewRecorder()
		o.Pass(w, r, nil)
		if n := requests.Load() - before; w.Code != http.StatusBadGateway || n != 2 {
			t.Errorf("%s: status %d, %d requests", method, w.Code, n)
		}
	}
}

// TestFreshConnectionDies: one that was never good for a request is not tried again and again.
func TestFreshConnectionDies(t *testing.T) {
	var conns atomic.Int32
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) { conns.Add(1); p.head() })})
	if _, _, err := page(t.Context(), o, "/"); !errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// TestUnasked: what an origin says between two requests is not the answer to the second.
func TestUnasked(t *testing.T) {
	for _, more := range []string{ok("evil"), ""} { // or it closes
		said, say := make(chan bool), make(chan bool)
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			p.head()
			p.say(ok("hi"))
			if p.n > 0 {
				return
			}
			<-say
			p.say(more)
			if more == "" {
				p.Close()
			}
			said <- true
			p.gone()
		})})
		if _, _, err := page(t.Context(), o, "/1"); err != nil {
			t.Fatal(err)
		}
		say <- true
		await(t, said, "the unasked answer")
		if _, b, err := page(t.Context(), o, "/2"); err != nil || b != "hi" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

// TestLanes: connections that clients' own requests were sent on are not used for pages.
func TestLanes(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for p.head() != "" {
			p.say(ok(fmt.Sprint(p.n)))
		}
	})})
	pass := func() string {
		w := httptest.NewRecorder()
		o.Pass(w, httptest.NewRequest(http.MethodGet, "http://site.example/", nil), nil)
		return w.Body.String()
	}
	fetch := func() string {
		_, b, err := page(t.Context(), o, "/")
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if got := pass() + fetch() + pass() + fetch(); got != "0101" {
		t.Errorf("connections used: %s", got)
	}
}

// TestReuse: what ended well is used again, what did not is closed.
func TestReuse(t *testing.T) {
	for _, tt := range []struct {
		what, says string
		again      bool
	}{
		{"a length", ok("hi"), true},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX: y\r\n\r\n", true},
		{"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", true},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", true},
		{"HTTP/1.0 with keep-alive", "HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nhi", true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", false},
		{"close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 2\r\n\r\nhi", false},
		{"304 with a body", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nhello", false},
	} {
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			for p.head() != "" {
				p.say(strings.Replace(tt.says, "\r\n", fmt.Sprintf("\r\nX-Conn: %d\r\n", p.n), 1))
			}
		})})
		got := ""
		for range 2 {
			resp, _, err := page(t.Context(), o, "/")
			if err != nil {
				t.Fatal(tt.what, err)
			}
			got += resp.Header.Get("X-Conn")
		}
		if (got == "00") != tt.again {
			t.Errorf("%s: connections %s", tt.what, got)
		}
	}
}

// TestManyRequests: 10,000 in a row use one connection, many at once no more than allowed, and nothing is left of them.
func TestManyRequests(t *testing.T) {
	var conns atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	defer s.Close()
	o := newOrigin(t, Options{URL: s.URL, MaxConns: 8})
	ask := func(path string) {
		if _, b, err := page(t.Context(), o, path); err != nil || b != path {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	for i := range 10_000 {
		ask(fmt.Sprint("/", i))
	}
	if n := conns.Load(); n > 2 {
		t.Errorf("%d connections for requests in a row", n)
	}
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for j := range 20 {
				ask(fmt.Sprint("/", i, "/", j))
			}
		})
	}
	all.Wait()
	if n := conns.Load(); n > 100 {
		t.Errorf("%d connections in all", n)
	}
	if n := o.idle.count(); n == 0 || n > 8 {
		t.Errorf("%d idle connections", n)
	}
	o.Close()
	if n := o.idle.count(); n != 0 {
		t.Errorf("%d idle connections after Close", n)
	}
}

// TestMaxConns: those in use and idle ones of both lanes together keep to it.
func TestMaxConns(t *testing.T) {
	o := newOrigin(t, Options{MaxConns: 2, URL: raw(t, func(p *peer) {
		for p.head() != "" {
			p.say(ok("hi"))
		}
	})})
	for range 20 {
		var both sync.WaitGroup
		for range 2 {
			both.Go(func() {
				o.Pass(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "http://site.example/", nil), nil)
			})
		}
		both.Wait()
		if _, _, err := page(t.Context(), o, "/"); err != nil {
			t.Fatal(err)
		}
		if n := o.idle.count(); n > 2 {
			t.Fatalf("%d idle connections", n)
		}
	}
}

// TestIdleExpires: connections that nobody needs are closed.
func TestIdleExpires(t *testing.T) {
	closed := make(chan bool, 2)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		p.head()
		p.say(ok("hi"))
		closed <- p.gone()
	})})
	for range 2 {
		if _, _, err := page(t.Context(), o, "/"); err != nil {
			t.Fatal(err)
		}
		o.idle.mu.Lock()
		o.idle.conns[pages][0].since = time.Now().Add(-idleTimeout)
		o.idle.mu.Unlock()
		if c := o.idle.take(pages, time.Now()); c != nil {
			t.Error("a connection idle for a minute is used")
		}
		if !await(t, closed, "the end of the connection") {
			t.Error("it is open still")
		}
	}
	if _, _, err := page(t.Context(), o, "/"); err != nil {
		t.Fatal(err)
	}
	o.idle.mu.Lock()
	o.idle.conns[pages][0].since = time.Now().Add(-idleTimeout)
	o.idle.mu.Unlock()
	o.idle.expire()
	if !await(t, closed, "the end of the connection") || o.idle.count() != 0 {
		t.Error("it is open still")
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, ln, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			_, host, _ := strings.Cut(h, "Host: ")
			host, _, _ = strings.Cut(host, "\r")
			p.say(ok(fmt.Sprint(p.n, host)))
		}
	})
	o := newOrigin(t, Options{URL: "unix:" + path})
	for range 2 {
		if _, b, err := page(t.Context(), o, "/"); err != nil || b != "0site.example" {
			t.Errorf("%q, %v", b, err)
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto+" "+r.RemoteAddr) }))
	s.EnableHTTP2 = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	o := newOrigin(t, Options{URL: s.URL, RootCAs: roots})
	_, first, err := page(t.Context(), o, "/")
	if err != nil || !strings.HasPrefix(first, "HTTP/1.1 ") {
		t.Fatalf("%q, %v", first, err)
	}
	for range 3 {
		if _, b, err := page(t.Context(), o, "/"); err != nil || b != first {
			t.Errorf("%q and %q, %v: not one connection", first, b, err)
		}
	}
	stranger := newOrigin(t, Options{URL: s.URL, RootCAs: x509.NewCertPool()})
	if _, _, err := page(t.Context(), stranger, "/"); !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate signed by nobody: %v", err)
	}
}

// TestCancel: who does not wait any more costs the origin nothing any more.
func TestCancel(t *testing.T) {
	for _, says := range []string{"", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"} {
		reached, gone := make(chan bool), make(chan bool, 1)
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			p.head()
			p.say(says)
			reached <- true
			gone <- p.gone()
		})})
		ctx, cancel := context.WithCancel(t.Context())
		failed := make(chan error, 1)
		go func() {
			_, _, err := page(ctx, o, "/")
			failed <- err
		}()
		await(t, reached, "the request")
		cancel()
		if err := await(t, failed, "the end of Fetch"); !errors.Is(err, context.Canceled) || errors.Is(err, ErrMalformed) || errors.Is(err, ErrUnreachable) {
			t.Error(err)
		}
		if !await(t, gone, "the end of the connection") {
			t.Error("the origin still has the connection")
		}
	}
}

// TestClosedEarly: an answer not read to its end costs its connection, no more.
func TestClosedEarly(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 1000))
		}
	})})
	resp, err := o.Fetch(t.Context(), get("/"), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp.Body.Close()
	if _, err := resp.Body.Read(make([]byte, 1)); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("a read after Close: %v", err)
	}
	if n := o.idle.count(); n != 0 {
		t.Error("the connection is kept")
	}
}
