package origin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// A peer is one connection as a raw origin sees it.
type peer struct {
	net.Conn
	br *bufio.Reader
	n  int // connections before this one
}

// head reads the head of a request, as sent.
func (p *peer) head() string {
	var b strings.Builder
	for {
		line, err := p.br.ReadString('\n')
		b.WriteString(line)
		if err != nil || line == "\r\n" {
			return b.String()
		}
	}
}

func (p *peer) say(s string) { _, _ = io.WriteString(p, s) }

// gone waits until the other side has closed.
func (p *peer) gone() bool {
	_ = p.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, p.br)
	var timeout net.Error
	return !(errors.As(err, &timeout) && timeout.Timeout())
}

// raw starts an origin that does with each connection what the test says, and closes it. It returns the URL.
func raw(t testing.TB, each func(p *peer)) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serve(t, ln, each)
	return "http://" + ln.Addr().String()
}

func serve(t testing.TB, ln net.Listener, each func(p *peer)) {
	var conns sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	conns.Go(func() {
		for n := 0; ; n++ {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			conns.Go(func() {
				defer c.Close()
				each(&peer{c, bufio.NewReader(c), n})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range open {
			c.Close()
		}
		mu.Unlock()
		conns.Wait()
	})
}

// saying is an origin that answers the first request of each connection with the text.
func saying(t testing.TB, text string) string {
	return raw(t, func(p *peer) {
		p.head()
		p.say(text)
	})
}

func newOrigin(t testing.TB, o Options) *Origin {
	t.Helper()
	or, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		or.Close()
		for range cap(or.slots) { // all are free, or will be: a handler whose client is content may run on
			select {
			case or.slots <- struct{}{}:
			case <-time.After(patience):
				t.Error("a connection is in use still")
				return
			}
		}
	})
	return or
}

func get(target string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://site.example/", nil)
	r.RequestURI = target
	return r
}

// page fetches a page and reads all of it.
func page(ctx context.Context, o *Origin, target string) (*http.Response, string, error) {
	resp, err := o.Fetch(ctx, get(target), nil, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// front starts our side of a proxy: what it gets is passed to the origin. It returns its address.
func front(t testing.TB, handler http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewUnstartedServer(handler)
	s.Config.DisableGeneralOptionsHandler = true
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func passing(t testing.TB, o *Origin) string {
	return front(t, func(w http.ResponseWriter, r *http.Request) { o.Pass(w, r, nil) })
}

// A client is a raw connection to a server.
type client struct {
	*net.TCPConn
	br *bufio.Reader
	t  testing.TB
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	return &client{c.(*net.TCPConn), bufio.NewReader(c), t}
}

func (c *client) say(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) answer(method string) (*http.Response, string, error) {
	c.t.Helper()
	resp, err := http.ReadResponse(c.br, &http.Request{Method: method})
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode < 200 {
		return resp, "", nil
	}
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// closed reports whether the server has closed the connection, without another byte.
func (c *client) closed() bool {
	n, err := io.Copy(io.Discard, c.br)
	var timeout net.Error
	return n == 0 && !(errors.As(err, &timeout) && timeout.Timeout())
}

// await waits for a signal.
func await[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: did not happen", what)
		panic("unreachable")
	}
}

// logged is a log to look at.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func ok(body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}
