//go:build e2e

package proxy

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestOneRequestForAColdPage: however many clients ask for it at once, its origin is asked once, and all get it.
func TestOneRequestForAColdPage(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Max < followers+500 {
		t.Fatalf("open files: %+v, %v: raise the limit (ulimit -Hn) above %d", limit, err, followers+500)
	}
	for try := 1; ; try++ {
		sent := oneColdPage(t)
		if sent < 8*time.Second {
			return
		}
		// Who has waited 10 s for another one's fill asks the origin itself.
		if t.Logf("try %d: sending took %v: this machine is too busy to say anything", try, sent); try == 5 {
			t.Fatal("and stays so")
		}
	}
}

// oneColdPage sends all requests while the origin holds back its answer, and returns how long that took. If it took so long
// that requests may have lost patience, nothing is judged.
func oneColdPage(t *testing.T) (sent time.Duration) {
	var asked atomic.Int64
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		<-release
		w.Header().Set("Cache-Control", "max-age=600")
		_, _ = io.WriteString(w, "the page, "+part)
	}))
	defer s.Close()
	var once sync.Once
	open := func() { once.Do(func() { close(release) }) }
	defer open()
	p := front(t, s.URL)
	defer func() { _ = p.Stop() }()

	conns := make([]net.Conn, followers)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
	}()
	start := time.Now()
	inParallel(followers, func(i int) error {
		conn, err := net.DialTimeout("tcp", p.addr, patience)
		if err != nil {
			return err
		}
		_ = conn.SetDeadline(time.Now().Add(2 * patience))
		conns[i] = conn
		_, err = fmt.Fprintf(conn, "GET /cold HTTP/1.1\r\nHost: %s\r\n\r\n", p.addr)
		return err
	}, t)
	if sent = time.Since(start); sent >= 8*time.Second {
		return sent
	}
	open()
	var hits atomic.Int64
	inParallel(followers, func(i int) error {
		res, err := http.ReadResponse(bufio.NewReader(conns[i]), nil)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			return err
		}
		a := answer{res, string(body)}
		if a.StatusCode != 200 || a.body != "the page, "+part {
			return fmt.Errorf("%d, %d bytes", a.StatusCode, len(a.body))
		}
		if a.hit() {
			hits.Add(1)
		}
		return nil
	}, t)
	t.Logf("%d requests, sent in %v, answered after %v: %d hits", followers, sent, time.Since(start), hits.Load())
	if n := asked.Load(); n != 1 {
		t.Errorf("%d origin requests", n)
	}
	p.sound()
	return sent
}

// inParallel calls do for 0 to n-1, many at a time, and reports the first few errors.
func inParallel(n int, do func(i int) error, t *testing.T) {
	t.Helper()
	var next, failed atomic.Int64
	var wg sync.WaitGroup
	for range 128 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil && failed.Add(1) <= 5 {
					t.Errorf("%d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if f := failed.Load(); f > 0 {
		t.Fatalf("%d of %d failed", f, n)
	}
}

// Bounds that TestQueryFlood sets, and what it allows above them: publications between two rounds of eviction, and the
// inventory.
const (
	floodPages  = 1000
	floodBytes  = 8 << 20
	floodMemory = 4 << 20

	moreFiles = 3000
	moreBytes = 64 << 20
	moreSize  = 150 << 20 // of the process: Go's runtime, buffers, SQLite
)

// TestQueryFlood (attack 20): every query makes a page, and whoever makes them up, files, bytes, inodes and memory stay within
// bounds. Other pages are served all the time.
func TestQueryFlood(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		fmt.Fprintf(w, "%s %s", r.RequestURI, part[:2000])
	}))
	defer s.Close()
	p := front(t, s.URL, "--max-pages", strconv.Itoa(floodPages), "--max-bytes", strconv.Itoa(floodBytes), "--memory", strconv.Itoa(floodMemory), "--log-level", "warn")
	flooding := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}}
	var most usage
	var mu sync.Mutex
	see := func() {
		mu.Lock()
		defer mu.Unlock()
		now := p.usage()
		t.Logf("after %d: %v", asked.Load(), now)
		most.max(now)
	}
	see()
	before := most
	start := time.Now()
	var next, stored atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > queries || t.Failed() {
					return
				}
				target := fmt.Sprintf("/search?q=%d&r=%x", i, i*7919)
				res, err := flooding.Get(p.url(target))
				if err != nil {
					t.Errorf("%s: %v", target, err)
					return
				}
				body, err := io.ReadAll(res.Body)
				_ = res.Body.Close()
				if err != nil || !strings.HasPrefix(string(body), target+" ") {
					t.Errorf("%s: %.60q, %v", target, body, err)
				}
				if (answer{res, ""}).stored() {
					stored.Add(1)
				}
				if i%(queries/20) == 0 {
					see()
				}
			}
		})
	}
	wg.Wait()
	see()
	t.Logf("%d queries in %v, %d origin requests, %d stored: before %v, at most %v", queries, time.Since(start), asked.Load(), stored.Load(), before, most)
	if stored.Load() < queries/2 {
		t.Errorf("only %d of %d were stored: this floods nothing", stored.Load(), queries)
	}
	// A page has a file and no folder of its own; a claim, and a twin or two, come and go.
	if bound := floodPages + moreFiles; most.files > bound {
		t.Errorf("%d files and folders, more than %d", most.files, bound)
	}
	if bound := int64(floodBytes + moreBytes); most.bytes > bound {
		t.Errorf("%d bytes on disk, more than %d", most.bytes, bound)
	}
	if bound := int64(floodMemory + moreSize); most.memory > bound {
		t.Errorf("%d bytes of memory, more than %d", most.memory, bound)
	}
	// And when it is over, the bounds themselves hold.
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); ; <-again.C {
		pages := strings.Count(p.command("ls", "--json"), "\n")
		if pages <= floodPages {
			break
		}
		if time.Now().After(end) {
			t.Errorf("%d pages are left", pages)
			break
		}
	}
	if a := p.becomesHit("/search?q=after"); !strings.HasPrefix(a.body, "/search?q=after ") {
		t.Errorf("%.60q", a.body)
	}
	p.sound()
}

// usage is what a proxy takes.
type usage struct {
	files  int   // and folders: inodes
	bytes  int64 // on disk
	memory int64 // resident
}

func (u usage) String() string {
	return fmt.Sprintf("%d inodes, %.1f MiB on disk, %.1f MiB of memory", u.files, float64(u.bytes)/(1<<20), float64(u.memory)/(1<<20))
}

func (u *usage) max(other usage) {
	u.files, u.bytes, u.memory = max(u.files, other.files), max(u.bytes, other.bytes), max(u.memory, other.memory)
}

func (p *proxy) usage() (u usage) {
	_ = filepath.WalkDir(p.dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // it is gone
		}
		u.files++
		if info, err := d.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				u.bytes += int64(st.Blocks) * 512
			}
		}
		return nil
	})
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		p.t.Error(err)
		return u
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
			if err != nil {
				p.t.Error(err)
			}
			u.memory = n << 10
		}
	}
	return u
}
