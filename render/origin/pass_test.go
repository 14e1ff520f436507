package origin

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// TestPassSends: what the origin sees of a client's request, and what a client can't make it see.
func TestPassSends(t *testing.T) {
	heads := make(chan string, 1)
	addr := passing(t, newOrigin(t, Options{URL: raw(t, func(p *peer) {
		heads <- p.head()
		p.say("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})}))
	const end = "Via: 1.1 cachesrv\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Host: a.example\r\nX-Forwarded-Proto: http\r\n"
	for _, tt := range []struct{ what, says, sent string }{
		{"as it is", "GET /%2f//x{}?a=1;b=%zz HTTP/1.1\r\nHost: a.example\r\nAuthorization: x\r\nCookie: s=1\r\nX-Y: 1\r\nx-y: 2\r\n\r\n",
			"GET /%2f//x{}?a=1;b=%zz HTTP/1.1\r\nHost: a.example\r\nAuthorization: x\r\nCookie: s=1\r\n" + end + "X-Y: 1\r\nX-Y: 2\r\n\r\n"},
		{"another method", "PROPFIND / HTTP/1.1\r\nHost: a.example\r\n\r\n", "PROPFIND / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"another spelling of the host", "GET / HTTP/1.1\r\nHost: A.Example.:80\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"absolute form", "GET http://a.example/x?y HTTP/1.1\r\nHost: b.example\r\n\r\n", "GET /x?y HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"the whole server", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 2\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a.example\r\nMax-Forwards: 1\r\n" + end + "\r\n"},
		{"no body", "POST / HTTP/1.1\r\nHost: a.example\r\n\r\n", "POST / HTTP/1.1\r\nHost: a.example\r\n" + end + "Content-Length: 0\r\n\r\n"},
		{"an empty body", "GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "Content-Length: 0\r\n\r\n"},
		{"an expectation of nothing", "GET / HTTP/1.1\r\nHost: a.example\r\nExpect: 100-continue\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"hop-by-hop", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: keep-alive, X-Mine\r\nKeep-Alive: 5\r\nX-Mine: 1\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\n" +
			"TE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"security fields in Connection", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Host, Authorization, Cookie, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Via, Content-Length\r\n" +
			"Authorization: x\r\nCookie: s=1\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\nAuthorization: x\r\nCookie: s=1\r\n" + end + "\r\n"},
		{"claims", "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 1\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Scheme: x\r\nX-Forwarded-Prefix: x\r\n" +
			"X-Forwarded-Port: 1\r\nX-Forwarded-Server: x\r\nForwarded: for=1\r\nX-Host: x\r\nX-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-Original-Host: x\r\n" +
			"X-HTTP-Method-Override: POST\r\nX-HTTP-Method: POST\r\nX-Method-Override: POST\r\nX-Real-IP: 1\r\nTrue-Client-IP: 1\r\nClient-IP: 1\r\nProxy: evil\r\n" +
			"X-SSL-Client-Verify: SUCCESS\r\nClient-Cert: x\r\nX_Forwarded_Host: evil\r\nX_Forwarded-For: 1\r\nX-HTTP_METHOD_Override: POST\r\nTransfer_Encoding: chunked\r\nContent_Length: 5\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"of its own", "GET / HTTP/1.1\r\nHost: a.example\r\nDestination: /b\r\nReferer: /c\r\nUrl: d\r\nX-Api-Key: e\r\nX-Middleware-Prefetch: 1\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a.example\r\nDestination: /b\r\nReferer: /c\r\nUrl: d\r\n" +
				strings.Replace(end, "X-F", "X-Api-Key: e\r\nX-F", 1) + "X-Middleware-Prefetch: 1\r\n\r\n"},
		{"h2c", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"h2c beside a websocket", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "\r\n"},
		{"trailers are welcome", "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: TE\r\nTE: trailers\r\n\r\n", "GET / HTTP/1.1\r\nHost: a.example\r\n" + end + "Connection: TE\r\nTE: trailers\r\n\r\n"},
		{"trailers, and a body", "POST / HTTP/1.1\r\nHost: a.example\r\nConnection: TE\r\nTE: trailers\r\nContent-Length: 2\r\n\r\nhi",
			"POST / HTTP/1.1\r\nHost: a.example\r\n" + end + "Content-Length: 2\r\nConnection: close, TE\r\nTE: trailers\r\n\r\n"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: a.example\r\nVia: 1.1 front\r\n\r\n",
			"GET / HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 front\r\n" + strings.Replace(end, "1.1", "1.0", 1) + "\r\n"},
	} {
		c := dial(t, addr)
		c.say(tt.says)
		if got := await(t, heads, tt.what); got != tt.sent {
			t.Errorf("%s: the origin got\n%s\nwant\n%s", tt.what, got, tt.sent)
		}
		if resp, _, err := c.answer("GET"); err != nil || resp.StatusCode != 200 {
			t.Errorf("%s: %v, %v", tt.what, resp, err)
		}
		c.Close()
	}
}

// TestNotForwarded: what is answered without the origin.
func TestNotForwarded(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) { t.Errorf("sent: %q", p.head()) })})
	addr := passing(t, o)
	for says, status := range map[string]int{
		"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n":                                                   405,
		"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n":                                           405,
		"OPTIONS / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n":                              204,
		"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n":                                                  400,
		"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n":                                                   400,
		"GET / HTTP/1.1\r\nHost: a\r\nVia: " + strings.Repeat("1.1 cachesrv,", 16) + "\r\n\r\n": 400,
	} {
		c := dial(t, addr)
		c.say(says)
		resp, body, _ := c.answer("GET")
		if resp.StatusCode != status {
			t.Errorf("%q: %d %q", says, resp.StatusCode, body)
		}
		if status == 405 && resp.Header.Get("Allow") == "" {
			t.Errorf("%q: no Allow", says)
		}
	}
}

// TestHTTP2Requests: HTTP/2 can say what HTTP/1.1 can't.
func TestHTTP2Requests(t *testing.T) {
	heads := make(chan string, 10)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			heads <- h
			p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
		}
	})})
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.Pass(w, r, nil) }))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	client := s.Client()
	ask := func(change func(*http.Request)) *http.Response {
		r, err := http.NewRequest(http.MethodGet, s.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		change(r)
		resp, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.ReadAll(resp.Body)
		resp.Body.Close()
		return resp
	}
	resp := ask(func(r *http.Request) { r.URL.Opaque = "/a%2f{}" })
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 || resp.Trailer.Get("X-Sum") != "1" {
		t.Errorf("%+v", resp)
	}
	if got := await(t, heads, "the request"); !strings.HasPrefix(got, "GET /a%2f{} HTTP/1.1\r\n") || !strings.Contains(got, "\r\nVia: 2.0 cachesrv\r\n") ||
		!strings.Contains(got, "\r\nX-Forwarded-Proto: https\r\n") {
		t.Errorf("%q", got)
	}
	// Go's client sends no such path; a framer does.
	for _, tt := range []struct {
		what, path, body string
		fields           []string
	}{
		{"a path with a space", "/a HTTP/1.1", "", nil},
		{"a length with a sign", "/", "abc", []string{"content-length", "+3"}},
		{"a length that is none", "/", "abc", []string{"content-length", "0x3"}},
		{"a length with a comma", "/", "abc", []string{"content-length", "3,3"}},
		{"two lengths", "/", "abc", []string{"content-length", "3", "content-length", "4"}},
		{"a length, and no body", "/", "", []string{"content-length", "3"}},
		{"a length with a sign, and no body", "/", "", []string{"content-length", "+0"}},
		{"two lengths, and no body", "/", "", []string{"content-length", "0", "content-length", "3"}},
	} {
		conn, err := tls.Dial("tcp", s.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		if status := smuggle(t, conn, tt.path, tt.body, tt.fields...); status != "400" && (tt.body == "" || status != "reset") {
			t.Errorf("%s: status %s", tt.what, status)
		}
		conn.Close()
	}
	s.Close() // waits for the handlers
	select {
	case h := <-heads:
		t.Errorf("the origin got %q", h)
	default:
	}
}

// smuggle sends a request for a path over HTTP/2 and returns the status.
func smuggle(t *testing.T, conn net.Conn, path, body string, fields ...string) string {
	t.Helper()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	_ = f.WriteSettings()
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, EndStream: body == "", EndHeaders: true,
		BlockFragment: hpackBlock(append([]string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", path}, fields...)...)})
	if body != "" {
		_ = f.WriteData(1, true, []byte(body))
	}
	f.ReadMetaHeaders = newDecoder()
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		switch frame := frame.(type) {
		case *http2.MetaHeadersFrame:
			return frame.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return "reset"
		}
	}
}

// TestPassAnswers: what the client sees of an answer.
func TestPassAnswers(t *testing.T) {
	seen := make(chan string, 1)
	o := newOrigin(t, Options{URL: saying(t, "HTTP/1.1 207 Multi\r\nDate: then\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\nUpgrade: h2c\r\n"+
		"Set-Cookie: a\r\nSet-Cookie: b\r\nVary: Cookie\r\nContent-Length: 2\r\nX-Frame: origin\r\n\r\nhi")})
	addr := front(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Vary", "Accept-Encoding")
		w.Header().Set("X-Frame", "ours")
		o.Pass(w, r, func(resp *http.Response) error {
			seen <- fmt.Sprint(resp.StatusCode, len(resp.Header["X-Hop"]))
			resp.Header.Set("X-Seen", "1")
			return nil
		})
	})
	c := dial(t, addr)
	c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	got, err := c.head()
	if err != nil {
		t.Fatal(err)
	}
	want := "HTTP/1.1 207 Multi-Status\r\nContent-Length: 2\r\nDate: then\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nVary: Cookie\r\nVary: Accept-Encoding\r\nX-Frame: origin\r\nX-Seen: 1\r\n\r\n"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if s := await(t, seen, "answered"); s != "207 0" {
		t.Error(s)
	}
}

func (c *client) head() (string, error) {
	p := peer{br: c.br}
	h := p.head()
	if !strings.HasSuffix(h, "\r\n\r\n") {
		return h, io.ErrUnexpectedEOF
	}
	return h, nil
}

// TestAnsweredFails: then the client is not told that all is well.
func TestAnsweredFails(t *testing.T) {
	o := newOrigin(t, Options{URL: saying(t, ok("hi"))})
	addr := front(t, func(w http.ResponseWriter, r *http.Request) {
		o.Pass(w, r, func(*http.Response) error { return errors.New("disk full at 10.0.0.1") })
	})
	c := dial(t, addr)
	c.say("DELETE / HTTP/1.1\r\nHost: a\r\n\r\n")
	resp, body, err := c.answer("DELETE")
	if err != nil || resp.StatusCode != 500 || resp.Header.Get("Cache-Control") != "no-store" || strings.Contains(body, "disk") {
		t.Errorf("%v %q %v", resp, body, err)
	}
}

// TestPassFailures: what clients are told when the origin fails, and what the log is.
func TestPassFailures(t *testing.T) {
	for _, tt := range []struct {
		what, says string
		status     int
	}{
		{"says nothing", "", 502},
		{"is no HTTP", "SSH-2.0-OpenSSH\r\n", 502},
		{"switches unasked", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502},
		{"NUL", "HTTP/1.1 200 OK\r\nX: \x00\r\n\r\n", 502},
		{"too much", "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", 502},
	} {
		var log logged
		o := newOrigin(t, Options{URL: saying(t, tt.says), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		addr := passing(t, o)
		for range 5 {
			c := dial(t, addr)
			c.say("GET /secret HTTP/1.1\r\nHost: a\r\n\r\n")
			resp, body, err := c.answer("GET")
			if err != nil || resp.StatusCode != tt.status || resp.Header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(body, "cachesrv: ") {
				t.Errorf("%s: %v, %q, %v", tt.what, resp, body, err)
			}
			if strings.Contains(body, "127.0.0.1") {
				t.Errorf("%s: the page tells where the origin is: %q", tt.what, body)
			}
		}
		if n := strings.Count(log.String(), "\n"); n < 1 || n > 3 || !strings.Contains(log.String(), "path=/secret") {
			t.Errorf("%s: %d lines: %s", tt.what, n, log.String())
		}
	}
	o := newOrigin(t, Options{HeaderTimeout: 50 * time.Millisecond, URL: raw(t, func(p *peer) { p.head(); p.gone() })})
	c := dial(t, passing(t, o))
	c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if resp, _, _ := c.answer("GET"); resp.StatusCode != 504 {
		t.Errorf("%v", resp)
	}
}

// TestBreaksOff: what the origin broke off does not look whole to the client.
func TestBreaksOff(t *testing.T) {
	for _, says := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
	} {
		c := dial(t, passing(t, newOrigin(t, Options{URL: saying(t, says)})))
		c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		if _, body, err := c.answer("GET"); err == nil || body != "hello" {
			t.Errorf("%q: %q, %v", says, body, err)
		}
	}
}

// TestHead: no body, but its length.
func TestHead(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for p.head() != "" {
			p.say("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
		}
	})})
	c := dial(t, passing(t, o))
	for range 2 {
		c.say("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
		if resp, _, err := c.answer("HEAD"); err != nil || resp.ContentLength != 12345 || resp.Header["Content-Type"] != nil {
			t.Errorf("%v, %v", resp, err)
		}
	}
}

// TestStreams: each event reaches the client before the origin makes the next.
func TestStreams(t *testing.T) {
	for _, tt := range []struct{ head, before, after, end string }{
		{"Content-Type: text/event-stream\r\n\r\n", "", "", ""},
		{"Transfer-Encoding: chunked\r\n\r\n", "7\r\n", "\r\n", "0\r\n\r\n"},
		{"Content-Length: 21\r\n\r\n", "", "", ""},
	} {
		next := make(chan bool)
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 200 OK\r\n" + tt.head)
			for range 3 {
				<-next
				p.say(tt.before + "event\n\n" + tt.after)
			}
			p.say(tt.end)
		})})
		c := dial(t, passing(t, o))
		c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		resp, err := http.ReadResponse(c.br, nil) // before the first event
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			next <- true
			event := make([]byte, 7)
			if _, err := io.ReadFull(resp.Body, event); err != nil || string(event) != "event\n\n" {
				t.Fatalf("%q, %v", event, err)
			}
		}
		if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
	}
}

// TestPassTrailers: both ways, announced or not.
func TestPassTrailers(t *testing.T) {
	got := make(chan string, 1)
	for _, announced := range []string{"Trailer: X-Sum\r\n", "", "Trailer: X-Other\r\n", "Trailer: X-Other, X-Sum\r\n"} {
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			h := p.head()
			var body strings.Builder
			for !strings.HasSuffix(body.String(), "\r\n\r\n") {
				line, err := p.br.ReadString('\n')
				if err != nil {
					break
				}
				body.WriteString(line)
			}
			got <- regexp.MustCompile(`(?s).*(Transfer.*)`).ReplaceAllString(h, "$1") + body.String()
			p.say("HTTP/1.1 200 OK\r\n" + announced + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 2\r\nSet-Cookie: evil\r\n\r\n")
		})})
		c := dial(t, passing(t, o))
		c.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2;ext\r\nhe\r\n0\r\nX-Sum: 1\r\nX-Forwarded-For: 1\r\nCookie: s=1\r\n\r\n")
		// An extension, and what must not be a trailer, are gone.
		if s := await(t, got, "the request"); s != "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nConnection: close\r\n\r\n2\r\nhe\r\n0\r\nX-Sum: 1\r\n\r\n" {
			t.Errorf("the origin got %q", s)
		}
		resp, body, err := c.answer("POST")
		if err != nil || body != "hi" || resp.Trailer.Get("X-Sum") != "2" || resp.Trailer.Get("Set-Cookie") != "" {
			t.Errorf("%q %v %v", body, resp.Trailer, err)
		}
		if _, told := resp.Trailer["X-Other"]; told != strings.Contains(announced, "X-Other") {
			t.Errorf("after %q: %v", announced, resp.Trailer)
		}
	}
}

// TestPassInterim: they reach the client at once, without fields that are for the final answer.
func TestPassInterim(t *testing.T) {
	next := make(chan bool)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: x\r\nX: 1\r\n\r\n")
		<-next
		p.say(ok("hi"))
	})})
	addr := front(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Ours", "1")
		o.Pass(w, r, nil)
	})
	c := dial(t, addr)
	c.say("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
	if h, err := c.head(); err != nil || h != "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" {
		t.Errorf("%q, %v", h, err)
	}
	next <- true
	if resp, body, err := c.answer("GET"); err != nil || body != "hi" || resp.Header.Get("X-Ours") != "1" || resp.Header["Link"] != nil {
		t.Errorf("%v %q %v", resp, body, err)
	}
	c = dial(t, addr)
	c.say("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
	next <- true
	if resp, body, err := c.answer("GET"); err != nil || resp.StatusCode != 200 || body != "hi" {
		t.Errorf("HTTP/1.0: %v %q %v", resp, body, err)
	}
}

// TestUploads: bodies of any size reach the origin whole, with a length and in chunks. The client's connection is kept, the
// origin's is not: who knows what it takes for the body's end.
func TestUploads(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		fmt.Fprintf(w, "%d %x %v %d %s", n, h.Sum(nil), err, r.ContentLength, r.RemoteAddr)
	}))
	defer s.Close()
	addr := passing(t, newOrigin(t, Options{URL: s.URL}))
	conns := make(map[string]bool)
	for _, size := range []int64{1, 4096, copySize, copySize + 1, 64 << 20} {
		for _, length := range []int64{size, -1} {
			sum := sha256.New()
			body := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{1}), size), sum)
			r, err := http.NewRequest(http.MethodPut, "http://"+addr, body)
			if err != nil {
				t.Fatal(err)
			}
			r.ContentLength = length
			resp, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			want := fmt.Sprintf("%d %x <nil> %d ", size, sum.Sum(nil), length)
			if err != nil || !strings.HasPrefix(string(got), want) {
				t.Errorf("%s, %v, want %s", got, err, want)
			}
			if resp.Close {
				t.Errorf("size %d: the client's connection is closed", size)
			}
			conns[strings.TrimPrefix(string(got), want)] = true
		}
	}
	if len(conns) != 10 {
		t.Errorf("%d connections to the origin for 10 bodies", len(conns))
	}
}

// TestDeafOrigin: an origin that reads a body as the next request, even one of which it was told that none comes, answers that
// to nobody.
func TestDeafOrigin(t *testing.T) {
	smuggled := make(chan string, 1)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		if h := p.head(); !strings.HasPrefix(h, "POST") {
			p.say(ok("for the victim"))
			return
		} else if !strings.Contains(h, "\r\nConnection: close\r\n") {
			t.Errorf("%q", h)
		}
		p.say(ok("deaf"))
		smuggled <- p.head()
		p.head() // its end, or another client's request
		p.say(ok("for nobody"))
	})})
	c := dial(t, passing(t, o))
	const hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	c.say(fmt.Sprintf("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s", len(hidden), hidden))
	if _, body, err := c.answer("POST"); err != nil || body != "deaf" {
		t.Fatalf("%q, %v", body, err)
	}
	if h := await(t, smuggled, "the hidden request"); h != hidden {
		t.Fatalf("%q", h)
	}
	c = dial(t, c.RemoteAddr().String())
	c.say("GET /victim HTTP/1.1\r\nHost: a\r\n\r\n")
	if _, body, err := c.answer("GET"); err != nil || body != "for the victim" {
		t.Errorf("%q, %v", body, err)
	}
}

// TestExpect: a body that waits for a 100 is not read before the origin wants it.
func TestExpect(t *testing.T) {
	conns := make(chan int, 4)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			conns <- p.n
			if !strings.Contains(h, "\r\nExpect: 100-continue\r\n") {
				t.Errorf("%q", h)
			}
			if strings.HasPrefix(h, "POST /no") {
				p.say("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 2\r\n\r\nno")
				continue // would take a body for the next request
			}
			p.say("HTTP/1.1 100 Continue\r\n\r\n")
			body := make([]byte, 5)
			_, _ = io.ReadFull(p.br, body)
			p.say(ok(string(body)))
		}
	})})
	addr := passing(t, o)
	c := dial(t, addr)
	for range 2 {
		c.say("POST /yes HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
		if h, err := c.head(); err != nil || h != "HTTP/1.1 100 Continue\r\n\r\n" {
			t.Fatalf("%q, %v", h, err)
		}
		c.say("hello")
		if _, body, err := c.answer("POST"); err != nil || body != "hello" {
			t.Errorf("%q, %v", body, err)
		}
	}
	c.say("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 45\r\n\r\n")
	if resp, body, err := c.answer("POST"); err != nil || resp.StatusCode != 417 || body != "no" || !resp.Close {
		t.Errorf("%v %q %v", resp, body, err)
	}
	// The client may send its body nevertheless: nobody takes it for a request.
	_, _ = io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
	if !c.closed() {
		t.Error("the client's connection is used on")
	}
	c = dial(t, addr)
	c.say("POST /yes HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
	_, _ = c.head()
	c.say("hello")
	_, _, _ = c.answer("POST")
	var used []int
	for range 4 {
		used = append(used, await(t, conns, "a request"))
	}
	if fmt.Sprint(used) != "[0 1 2 3]" {
		t.Errorf("connections used: %v", used)
	}
}

// TestExpectUnanswered: an origin that knows nothing of 100 gets the body all the same.
func TestExpectUnanswered(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		p.head()
		body := make([]byte, 5)
		_, _ = io.ReadFull(p.br, body)
		p.say(ok(string(body)))
	})})
	c := dial(t, passing(t, o))
	c.say("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
	if resp, _, _ := c.answer("POST"); resp.StatusCode != 100 {
		t.Fatalf("%v", resp)
	}
	if _, body, err := c.answer("POST"); err != nil || body != "hello" {
		t.Errorf("%q, %v", body, err)
	}
}

// TestEarlyAnswer: an origin may answer in the midst of an upload. The client gets the answer, and its connection ends.
func TestEarlyAnswer(t *testing.T) {
	for _, framing := range []string{"Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n3e8\r\n"} {
		gone := make(chan bool, 1)
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
			gone <- p.gone()
		})})
		c := dial(t, passing(t, o))
		c.say("POST / HTTP/1.1\r\nHost: a\r\n" + framing + "some of it")
		resp, body, err := c.answer("POST")
		if err != nil || resp.StatusCode != 413 || body != "big" || !resp.Close {
			t.Errorf("%v %q %v", resp, body, err)
		}
		_, _ = io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
		if !await(t, gone, "the end of the request") || !c.closed() {
			t.Error("a connection is used on")
		}
	}
}

// TestBothWays: an answer may depend on a body that is still being sent.
func TestBothWays(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		p.head()
		p.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for {
			line, err := p.br.ReadString('\n') // chunks echo as they are
			if err != nil {
				return
			}
			p.say(line)
		}
	})})
	c := dial(t, passing(t, o))
	c.say("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
	resp, err := http.ReadResponse(c.br, nil)
	if err != nil || !resp.Close {
		t.Fatalf("%v, %v", resp, err)
	}
	for i := range 3 {
		word := fmt.Sprintf("word%d\n", i)
		c.say("6\r\n" + word + "\r\n")
		got := make([]byte, len(word))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != word {
			t.Fatalf("%q, %v", got, err)
		}
	}
	c.say("0\r\n\r\n")
	if rest, err := io.ReadAll(resp.Body); err != nil || len(rest) > 0 {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestMalformedBody: of a client's malformed chunks, nothing behind the fault is taken for a request.
func TestMalformedBody(t *testing.T) {
	for _, body := range []string{"5\r\nhelloX0\r\n\r\n", "zz\r\n", "5\nhello\n0\n\n", "fffffffffffffffff\r\n"} {
		for _, early := range []bool{false, true} {
			gone := make(chan bool, 1)
			o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
				p.head()
				if early {
					p.say(ok("early"))
				}
				b, _ := io.ReadAll(p.br)
				if strings.Contains(string(b), "0\r\n\r\n") {
					t.Errorf("the origin got an end: %q", b)
				}
				gone <- true
			})})
			paths := make(chan string, 2)
			addr := front(t, func(w http.ResponseWriter, r *http.Request) {
				paths <- r.URL.Path
				o.Pass(w, r, nil)
			})
			c := dial(t, addr)
			c.say("POST /first HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
			if !early {
				c.say(body + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
				if resp, _, _ := c.answer("POST"); resp.StatusCode != 400 {
					t.Errorf("%q: %v", body, resp)
				}
			} else {
				if _, b, err := c.answer("POST"); err != nil || b != "early" {
					t.Errorf("%q: %q, %v", body, b, err)
				}
				_, _ = io.WriteString(c, body+"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			}
			await(t, gone, "the end of the request")
			if !c.closed() {
				t.Errorf("%q: the connection is used on", body)
			}
			if p := await(t, paths, "the request"); p != "/first" || len(paths) > 0 {
				t.Errorf("%q: more than one request", body)
			}
		}
	}
}

// TestFailsDuringUpload: who is still sending is told at once, and his connection ends.
func TestFailsDuringUpload(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	c := dial(t, passing(t, newOrigin(t, Options{URL: "http://" + ln.Addr().String()})))
	c.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nsome of it")
	if resp, _, err := c.answer("POST"); err != nil || resp.StatusCode != 502 || !resp.Close {
		t.Errorf("%v, %v", resp, err)
	}
}

// TestTooLargeBody: a bound that a handler in front has set is told as such.
func TestTooLargeBody(t *testing.T) {
	gone := make(chan bool, 1)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) { p.head(); gone <- p.gone() })})
	addr := front(t, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, 3)
		o.Pass(w, r, nil)
	})
	c := dial(t, addr)
	c.say("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
	if resp, _, _ := c.answer("POST"); resp.StatusCode != 413 {
		t.Errorf("%v", resp)
	}
	await(t, gone, "the end of the request")
}

// TestClientLeaves: the origin sees it, before its answer, in the midst of it, and in the midst of an upload.
func TestClientLeaves(t *testing.T) {
	for _, tt := range []struct{ request, says string }{
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", ""},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf"},
		{"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\nhalf", ""},
		{"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf", ""},
		{"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\nExpect: 100-continue\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n"},
	} {
		reached, rest := make(chan bool), make(chan string, 1)
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			p.head()
			p.say(tt.says)
			reached <- true
			_ = p.SetReadDeadline(time.Now().Add(patience))
			b, err := io.ReadAll(p.br)
			if err != nil && strings.Contains(err.Error(), "timeout") {
				b = []byte("no end")
			}
			rest <- string(b)
		})})
		c := dial(t, passing(t, o))
		c.say(tt.request)
		await(t, reached, "the request")
		c.Close()
		if got := await(t, rest, "the end of the request"); got == "no end" || strings.HasSuffix(got, "0\r\n\r\n") {
			t.Errorf("%q: %q", tt.request, got)
		}
	}
}

// TestWebsocket: both ways, and each side's end reaches the other.
func TestWebsocket(t *testing.T) {
	heads := make(chan string, 1)
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		heads <- p.head()
		p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\nContent-Length: 5\r\n\r\nfirst")
		_, _ = io.Copy(p, p.br)
		p.say("last")
	})})
	c := dial(t, passing(t, o))
	c.say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\n\r\nearly")
	if h := await(t, heads, "the request"); !strings.Contains(h, "\r\nSec-Websocket-Key: k\r\n") || !strings.HasSuffix(h, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") {
		t.Errorf("%q", h)
	}
	if h, err := c.head(); err != nil || h != "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-Websocket-Accept: x\r\n\r\n" {
		t.Errorf("%q, %v", h, err)
	}
	c.say(" and late ")
	want := "firstearly and late "
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c.br, got); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
	if err := c.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(c.br); err != nil || string(rest) != "last" {
		t.Errorf("%q, %v", rest, err)
	}
}

// TestWebsocketRefused: an origin that does not switch has answered, and the connection goes on as it was.
func TestWebsocketRefused(t *testing.T) {
	o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
		for h := p.head(); h != ""; h = p.head() {
			p.say("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno")
		}
	})})
	c := dial(t, passing(t, o))
	for range 2 {
		c.say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if resp, body, err := c.answer("GET"); err != nil || resp.StatusCode != 426 || body != "no" {
			t.Errorf("%v %q %v", resp, body, err)
		}
	}
}

// TestTunnelsEnd: by the origin's end, by Close, by the request's context, by silence.
func TestTunnelsEnd(t *testing.T) {
	for _, what := range []string{"origin", "Close", "context", "silence"} {
		end, gone := make(chan bool), make(chan bool, 1)
		o := newOrigin(t, Options{URL: raw(t, func(p *peer) {
			p.head()
			p.say("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
			if what == "origin" {
				<-end
				_ = p.Conn.(*net.TCPConn).SetLinger(0)
				p.Close()
			}
			gone <- p.gone()
		})})
		if what == "silence" {
			o.tunnelTimeout = 10 * time.Millisecond
		}
		ctx, cancel := context.WithCancel(t.Context())
		addr := front(t, func(w http.ResponseWriter, r *http.Request) { o.Pass(w, r.WithContext(ctx), nil) })
		c := dial(t, addr)
		c.say("GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		if _, err := c.head(); err != nil {
			t.Fatal(err)
		}
		switch what {
		case "origin":
			end <- true
		case "Close":
			o.Close()
		case "context":
			cancel()
		}
		if !c.closed() || !await(t, gone, "the end of the origin's side") {
			t.Errorf("%s: the tunnel is open still", what)
		}
		cancel()
	}
}

// TestTunnelSilence: a tunnel lasts as long as either side says something in time, and no longer.
func TestTunnelSilence(t *testing.T) {
	for _, speaker := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			var outer, inner [2]net.Conn // client and origin; ours of each
			for i := range outer {
				outer[i], inner[i] = net.Pipe()
			}
			begun := time.Now()
			ended := make(chan time.Duration, 1)
			go func() {
				join(inner[0], inner[1], inner[0], inner[1], tunnelTimeout)
				ended <- time.Since(begun)
			}()
			for i, c := range outer {
				if i != speaker {
					go func() { _, _ = io.Copy(io.Discard, c) }()
				}
			}
			for range 3 {
				time.Sleep(tunnelTimeout - time.Second)
				if _, err := io.WriteString(outer[speaker], "x"); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			if len(ended) > 0 {
				t.Fatalf("it has ended after %v, though somebody speaks", <-ended)
			}
			if _, err := outer[speaker].Read(make([]byte, 1)); err == nil {
				t.Error("something was said")
			}
			if lasted, want := <-ended, 3*(tunnelTimeout-time.Second)+tunnelTimeout; lasted != want {
				t.Errorf("it lasted %v, not %v", lasted, want)
			}
		})
	}
}

// TestPassTellsWhatIsSent: false means that nothing can have changed at the origin.
func TestPassTellsWhatIsSent(t *testing.T) {
	short := Options{HeaderTimeout: 50 * time.Millisecond}
	for _, tt := range []struct {
		what string
		url  string
		do   func(r *http.Request)
		sent bool
	}{
		{"an answer", saying(t, ok("hi")), nil, true},
		{"no answer", saying(t, ""), nil, true},
		{"silence", raw(t, func(p *peer) { p.head(); p.gone() }), nil, true},
		{"nobody listens", "unix:" + filepath.Join(t.TempDir(), "none"), nil, false},
		{"a method", saying(t, ok("hi")), func(r *http.Request) { r.Method = http.MethodTrace }, false},
		{"no hops", saying(t, ok("hi")), func(r *http.Request) { r.Method = "OPTIONS"; r.Header.Set("Max-Forwards", "0") }, false},
		{"a length", saying(t, ok("hi")), func(r *http.Request) { r.Header["Content-Length"] = []string{"+0"} }, false},
		{"a host", saying(t, ok("hi")), func(r *http.Request) { r.Host = "a/b" }, false},
		{"a value", saying(t, ok("hi")), func(r *http.Request) { r.Header["X"] = []string{"\n"} }, false},
	} {
		o := short
		o.URL = tt.url
		r := httptest.NewRequest(http.MethodDelete, "http://a/", nil)
		if tt.do != nil {
			tt.do(r)
		}
		if sent := newOrigin(t, o).Pass(httptest.NewRecorder(), r, nil); sent != tt.sent {
			t.Errorf("%s: %t", tt.what, sent)
		}
	}
	o := newOrigin(t, Options{URL: saying(t, ok("hi"))})
	if !o.Pass(httptest.NewRecorder(), get("/"), func(*http.Response) error { return errors.New("no") }) {
		t.Error("an answer that is of no use: false")
	}
}

// TestNothingIsLeft: after answers of all kinds, good and bad, no goroutine of ours is left, and no connection in use.
func TestNothingIsLeft(t *testing.T) {
	t.Run("requests", func(t *testing.T) {
		o := newOrigin(t, Options{HeaderTimeout: 50 * time.Millisecond, URL: raw(t, func(p *peer) {
			for h := p.head(); h != ""; h = p.head() {
				switch line, _, _ := strings.Cut(h, " HTTP"); line[strings.Index(line, "/")+1:] {
				case "whole":
					p.say(ok("hi"))
				case "short":
					p.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi")
					return
				case "malformed":
					p.say("HTTP/1.1 200 OK\r\nX\r\n\r\n")
				case "silent":
					p.gone()
				case "stream":
					p.say("HTTP/1.1 200 OK\r\n\r\n")
					p.gone()
				}
			}
		})})
		addr := passing(t, o)
		for range 5 {
			for _, path := range []string{"whole", "short", "malformed", "silent", "stream"} {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				_, _, _ = page(ctx, o, "/"+path)
				cancel()
				for _, request := range []string{"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n", "POST /%s HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf"} {
					c := dial(t, addr)
					c.say(fmt.Sprintf(request, path))
					if path == "whole" {
						_, _, _ = c.answer("GET")
					}
					c.Close()
				}
			}
		}
	})
	// The servers of the sub-test have ended; ours must have as well.
	deadline := time.Now().Add(patience)
	for {
		stacks := make([]byte, 1<<20)
		stacks = stacks[:runtime.Stack(stacks, true)]
		left := regexp.MustCompile(`render/origin\.\(\*(Origin|upload|body|conn|idle)\)`).FindAllString(string(stacks), -1)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("goroutines are left:\n%s", stacks)
		}
		runtime.Gosched()
	}
}
