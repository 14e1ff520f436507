//go:build e2e

package running

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A site is an origin with pages that change, and what is known of them. The origin reads a page's number when a request begins,
// and takes a while: what was read before a change is on its way after it.
type site struct {
	*httptest.Server
	host  string
	pages [pages]struct {
		now    atomic.Int64 // the number in the database
		purged atomic.Int64 // what no answer to a request that begins now may be behind
	}
	stale  atomic.Int64
	hits   atomic.Int64
	misses atomic.Int64
	commit sync.Mutex

	careless bool // changes are not purged: the control of what counts stale answers
}

const pages = 16

func newSite(t testing.TB) *site {
	s := &site{host: "site.example"}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var i int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &i)
		now := s.pages[i%pages].now.Load()
		time.Sleep(rand.N(4 * time.Millisecond))
		fmt.Fprintf(w, "%d %s", now, strings.Repeat("x", 2000))
	}))
	t.Cleanup(s.Close)
	return s
}

// change changes a page, and purges it: until that is answered with 200, it is not counted as purged.
func (s *site) change(client *http.Client, addr string, i int) bool {
	s.commit.Lock()
	defer s.commit.Unlock()
	p := &s.pages[i]
	now := p.now.Add(1)
	if s.careless {
		p.purged.Store(now)
		return true
	}
	req, _ := http.NewRequest("PURGE", fmt.Sprintf("http://%s/%d", addr, i), nil)
	req.Host = s.host
	res, err := client.Do(req)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return false
	}
	p.purged.Store(now)
	return true
}

// read reads a page, and counts what it gets.
func (s *site) read(client *http.Client, addr string, i int) error {
	atLeast := s.pages[i].purged.Load()
	req, _ := http.NewRequest("GET", fmt.Sprintf("http://%s/%d", addr, i), nil)
	req.Host = s.host
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return err
	}
	var got int64
	if _, err := fmt.Sscanf(string(body), "%d ", &got); err != nil || res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %.100q", res.Status, body)
	}
	if got < atLeast {
		s.stale.Add(1)
	}
	if strings.HasPrefix(res.Header.Get("Cache-Status"), "cachesrv; hit") {
		s.hits.Add(1)
	} else {
		s.misses.Add(1)
	}
	return nil
}

// race reads and changes pages until the returned function is called, which waits for the end. addr says where, each time.
func (s *site) race(readers, committers int, addr func() string) (end func()) {
	var running sync.WaitGroup
	var over atomic.Bool
	for range readers {
		running.Go(func() {
			client := &http.Client{Transport: &http.Transport{DisableKeepAlives: rand.N(2) == 0}, Timeout: patience}
			defer client.CloseIdleConnections()
			for !over.Load() {
				_ = s.read(client, addr(), rand.N(pages)) // a program that is killed answers nobody
			}
		})
	}
	for range committers {
		running.Go(func() {
			client := &http.Client{Transport: new(http.Transport), Timeout: patience}
			defer client.CloseIdleConnections()
			for !over.Load() {
				for i := rand.N(pages); !s.change(client, addr(), i) && !over.Load(); {
				}
				time.Sleep(rand.N(10 * time.Millisecond))
			}
		})
	}
	return func() { over.Store(true); running.Wait() }
}

// A load is clients that send one request after the other and forgive nothing: what is not answered is lost, also on a
// connection that was idle.
type load struct {
	answered, reused atomic.Int64
	mu               sync.Mutex
	lost             []error
	end              func()
}

func newLoad(addr, host string, secret bool, clients int) *load {
	l := new(load)
	var running sync.WaitGroup
	var over atomic.Bool
	for i := range clients {
		running.Go(func() {
			keep := i%2 == 0
			var c *client
			for !over.Load() {
				var err error
				used := c != nil
				if c == nil {
					c, err = dial(addr, secret)
				}
				again := false
				if err == nil {
					again, err = c.ask(host, fmt.Sprintf("/%d", rand.N(pages)), keep)
				}
				if err != nil {
					l.mu.Lock()
					l.lost = append(l.lost, fmt.Errorf("on a connection that was used before (%t): %w", used, err))
					l.mu.Unlock()
				} else {
					l.answered.Add(1)
					if used {
						l.reused.Add(1)
					}
				}
				if c != nil && !again {
					_ = c.Close()
					c = nil
				}
				if keep {
					time.Sleep(rand.N(20 * time.Millisecond)) // so that it is idle at times
				}
			}
			if c != nil {
				_ = c.Close()
			}
		})
	}
	l.end = func() { over.Store(true); running.Wait() }
	return l
}

// more waits until so many requests more are answered.
func (l *load) more(t testing.TB, n int64) {
	t.Helper()
	want := l.answered.Load() + n
	for end := time.Now().Add(patience); l.answered.Load() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("requests are not answered")
		}
	}
}

func (l *load) check(t testing.TB) {
	t.Helper()
	if len(l.lost) > 0 {
		t.Errorf("%d requests were lost: the first: %v", len(l.lost), l.lost[0])
	}
	if l.reused.Load() == 0 {
		t.Error("no connection was used twice: nothing was tried")
	}
	t.Logf("%d requests answered, %d of them on kept connections; %d lost", l.answered.Load(), l.reused.Load(), len(l.lost))
}

type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string, secret bool) (*client, error) {
	c, err := net.DialTimeout("tcp", addr, patience)
	if err != nil {
		return nil, err
	}
	if secret {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true})
	}
	return &client{c, bufio.NewReader(c)}, nil
}

// ask sends a request, and reports whether the connection may be used again.
func (c *client) ask(host, path string, keep bool) (again bool, err error) {
	_ = c.SetDeadline(time.Now().Add(patience))
	connection := ""
	if !keep {
		connection = "Connection: close\r\n"
	}
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, connection); err != nil {
		return false, err
	}
	res, err := http.ReadResponse(c.r, nil)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return false, err
	}
	if res.StatusCode != http.StatusOK {
		return false, errors.New(res.Status)
	}
	return keep && !res.Close, nil
}
