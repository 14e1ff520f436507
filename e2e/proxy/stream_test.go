//go:build e2e

package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

// patience bounds what a test waits for; it is never what is measured.
const patience = 60 * time.Second

// part is what the streaming server sends at a time.
var part = strings.Repeat("0123456789abcdef", 1000)

// A streamer is an origin that answers bit by bit: each next bit when the test says so.
type streamer struct {
	*httptest.Server
	mu    sync.Mutex
	asked map[string]int // by path
	next  chan struct{}  // the next bit may go
	got   chan string    // what came of an upload
	gone  chan struct{}  // a client went away
}

func newStreamer(t *testing.T) *streamer {
	s := &streamer{asked: map[string]int{}, next: make(chan struct{}), got: make(chan string, 100), gone: make(chan struct{}, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		for range 5 {
			s.wait(r)
			_, _ = io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		for i := 0; ; i++ {
			w.(http.Flusher).Flush()
			select {
			case <-s.next:
				fmt.Fprintf(w, "data: %d\n\n", i)
			case <-r.Context().Done():
				s.gone <- struct{}{}
				return
			}
		}
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, part)
		w.Header().Set("X-Sum", "42")
	})
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("Cache-Control", "no-store")
		_, _ = io.WriteString(w, "late")
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("Content-Length", "100000")
		_, _ = io.WriteString(w, part)
	})
	mux.HandleFunc("/aborted", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = io.WriteString(w, part)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		lines := bufio.NewScanner(r.Body)
		for lines.Scan() {
			s.got <- lines.Text()
		}
		fmt.Fprint(w, "done")
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" {
			http.Error(w, "upgrade", http.StatusUpgradeRequired)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprint(buffered, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		_ = buffered.Flush()
		_, _ = io.Copy(conn, buffered)
		s.gone <- struct{}{}
	})
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		s.asked[r.URL.Path]++
		s.mu.Unlock()
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *streamer) wait(r *http.Request) {
	select {
	case <-s.next:
	case <-r.Context().Done():
	}
}

func (s *streamer) requests(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[path]
}

// begin sends a request, and returns when the answer's header has come.
func (p *proxy) begin(ctx context.Context, target string) *http.Response {
	p.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(target), nil)
	if err != nil {
		p.t.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

// TestFirstClientIsStreamedTo: it has each part before the origin sends the next; others wait for all of it; and all have
// the same page from one request.
func TestFirstClientIsStreamedTo(t *testing.T) {
	s := newStreamer(t)
	p := front(t, s.URL)
	s2 := make(chan answer, 3)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	go func() { s.next <- struct{}{} }()
	first := p.begin(ctx, "/page")
	buffer := make([]byte, len(part))
	if _, err := io.ReadFull(first.Body, buffer); err != nil || string(buffer) != part {
		t.Fatalf("part 1: %v", err)
	}
	for range cap(s2) { // while it is half there
		go func() { s2 <- p.get("/page") }()
	}
	for i := 2; i <= 5; i++ {
		s.next <- struct{}{} // taken by the origin only when it is ready for it
		if _, err := io.ReadFull(first.Body, buffer); err != nil || string(buffer) != part {
			t.Fatalf("part %d: %v", i, err)
		}
	}
	if rest, err := io.ReadAll(first.Body); err != nil || len(rest) > 0 {
		t.Errorf("after the last part: %d bytes, %v", len(rest), err)
	}
	for range cap(s2) {
		if a := <-s2; a.body != strings.Repeat(part, 5) {
			t.Errorf("another client's: %d bytes, Cache-Status %q", len(a.body), a.status())
		}
	}
	if a := p.becomesHit("/page"); a.body != strings.Repeat(part, 5) {
		t.Errorf("a hit of %d bytes", len(a.body))
	}
	if n := s.requests("/page"); n != 1 {
		t.Errorf("%d requests", n)
	}
	p.sound()
}

// TestEvents: a stream without an end comes through event by event, and ends at the origin when its client goes.
func TestEvents(t *testing.T) {
	s := newStreamer(t)
	p := front(t, s.URL)
	for range 2 { // nor does anybody wait for another one's stream to become a page
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		res := p.begin(ctx, "/events")
		lines := bufio.NewReader(res.Body)
		for i := range 3 {
			s.next <- struct{}{}
			line, err := lines.ReadString('\n')
			if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
				t.Fatalf("%q, %v; want %q", line, err, want)
			}
			_, _ = lines.ReadString('\n')
		}
		cancel()
		select {
		case <-s.gone:
		case <-time.After(patience):
			t.Fatal("the origin goes on")
		}
	}
	if n := s.requests("/events"); n != 2 {
		t.Errorf("%d requests", n)
	}
	p.sound()
}

// TestTrailersAndInformation: both come through.
func TestTrailersAndInformation(t *testing.T) {
	p := front(t, newStreamer(t).URL)
	for range 2 {
		if a := p.get("/trailers"); a.body != part || a.hit() || a.Trailer.Get("X-Sum") != "42" {
			t.Errorf("trailers %v, Cache-Status %q, %d bytes", a.Trailer, a.status(), len(a.body))
		}
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprintf("%d %s", code, h.Get("Link")))
			return nil
		}})
		res := p.begin(ctx, "/early")
		if body, err := io.ReadAll(res.Body); err != nil || string(body) != "late" || len(hints) != 1 || hints[0] != "103 </style.css>; rel=preload" {
			t.Errorf("%q, %v after %q", body, err, hints)
		}
	}
}

// TestLyingOrigins (attack 37): what ends early is no page, and no client takes it for one.
func TestLyingOrigins(t *testing.T) {
	s := newStreamer(t)
	p := front(t, s.URL)
	for _, target := range []string{"/short", "/aborted"} {
		for i := range 3 {
			res := p.begin(t.Context(), target)
			body, err := io.ReadAll(res.Body)
			if err == nil && res.StatusCode < 500 {
				t.Errorf("%s: %d with %d bytes, and no error", target, res.StatusCode, len(body))
			}
			if n := s.requests(target); n <= i {
				t.Errorf("%s, request %d: %d at the origin", target, i+1, n)
			}
		}
	}
	if list := p.command("ls"); !strings.Contains(list, "no pages") {
		t.Errorf("stored:\n%s", list)
	}
	p.sound()
}

// TestUploadsAreStreamed: the origin has each part of a body before the client sends the next.
func TestUploadsAreStreamed(t *testing.T) {
	s := newStreamer(t)
	p := front(t, s.URL)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, w := io.Pipe()
	answered := make(chan string, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url("/upload"), r)
		if err == nil {
			var res *http.Response
			if res, err = client.Do(req); err == nil {
				defer res.Body.Close()
				body, _ := io.ReadAll(res.Body)
				answered <- string(body)
				return
			}
		}
		answered <- err.Error()
	}()
	for i := range 5 {
		line := fmt.Sprint("line ", i, part)
		if _, err := fmt.Fprintln(w, line); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-s.got:
			if got != line {
				t.Errorf("line %d: %.100q", i, got)
			}
		case a := <-answered:
			t.Fatalf("answered %q", a)
		}
	}
	_ = w.Close()
	if a := <-answered; a != "done" {
		t.Errorf("answered %q", a)
	}
}

// TestUpgrades: a WebSocket works both ways until one side ends it; one that nobody ends does not keep the proxy from
// ending.
func TestUpgrades(t *testing.T) {
	s := newStreamer(t)
	p := front(t, s.URL)
	var conns [2]net.Conn
	for i := range conns {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = conn
		_ = conn.SetDeadline(time.Now().Add(patience))
		fmt.Fprintf(conn, "GET /echo HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", p.addr)
		r := bufio.NewReader(conn)
		res, err := http.ReadResponse(r, nil)
		if err != nil || res.StatusCode != http.StatusSwitchingProtocols || res.Header.Get("Upgrade") != "websocket" {
			t.Fatalf("%v, %v", res, err)
		}
		for n := range 3 {
			fmt.Fprintf(conn, "message %d\n", n)
			if line, err := r.ReadString('\n'); err != nil || line != fmt.Sprintf("message %d\n", n) {
				t.Fatalf("%q, %v", line, err)
			}
		}
	}
	_ = conns[0].Close()
	select {
	case <-s.gone:
	case <-time.After(patience):
		t.Fatal("the origin goes on")
	}
	start := time.Now()
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 8*time.Second { // less than it has patience for requests under way
		t.Errorf("with an upgraded connection it took %v to end", took)
	}
	if n, err := conns[1].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the other connection: %d bytes, %v", n, err)
	}
	_ = conns[1].Close()
}

// TestOriginsThatAreNotThere: a page says so, is not stored, and the next request tries again.
func TestOriginsThatAreNotThere(t *testing.T) {
	addr := program.FreeAddress(t)
	p := front(t, "http://"+addr)
	if a := p.neverHit("/"); a.StatusCode != http.StatusBadGateway || a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d, Cache-Control %q", a.StatusCode, a.Header.Get("Cache-Control"))
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "here") })}
	go func() {
		if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	}()
	defer s.Close()
	if a := p.get("/"); a.StatusCode != 200 || a.body != "here" {
		t.Errorf("%d %q", a.StatusCode, a.body)
	}
}
