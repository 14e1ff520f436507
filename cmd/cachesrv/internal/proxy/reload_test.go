package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
)

// reloaded is a proxy whose settings a test changes.
type reloaded struct {
	t      *testing.T
	base   string
	level  string
	log    lines
	hangup chan os.Signal

	mu   sync.Mutex
	next conf.Config
	err  error
}

// lines is a log that can be waited for.
type lines struct {
	mu  sync.Mutex
	b   bytes.Buffer
	new chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.new <- struct{}{}:
	default:
	}
	return l.b.Write(p)
}

// take returns what was logged since it was last called, when that contains one of the words.
func (l *lines) take(t *testing.T, words ...string) string {
	t.Helper()
	for end := time.After(10 * time.Second); ; {
		l.mu.Lock()
		text := l.b.String()
		for _, w := range words {
			if strings.Contains(text, w) {
				l.b.Reset()
				l.mu.Unlock()
				return text
			}
		}
		l.mu.Unlock()
		select {
		case <-l.new:
		case <-end:
			t.Fatalf("it does not log %q, but\n%s", words, text)
		}
	}
}

// settings are those of a proxy in front of an origin.
func settings(t *testing.T, origin string) (c conf.Config) {
	dir := t.TempDir()
	c.Dir, c.Live, c.Listen = dir, filepath.Join(dir, "live"), "127.0.0.1:0"
	c.Origins = conf.Origins{{URL: origin}}
	c.Policy, c.ClientDirectives, c.OriginTimeout = rules.UntilInvalidated, "off", unit.Duration(time.Minute)
	c.LogLevel = "info"
	return c
}

func startReloaded(t *testing.T, c conf.Config) *reloaded {
	r := &reloaded{t: t, log: lines{new: make(chan struct{}, 1)}, hangup: make(chan os.Signal), next: c}
	out, in := io.Pipe()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, Options{
			Config: c, Logger: slog.New(slog.NewTextHandler(&r.log, nil)), Stdout: in,
			Process: serve.Process{Reload: r.hangup, TakeLevel: func(level string) { r.level = level }, Settings: func() (conf.Config, error) {
				r.mu.Lock()
				defer r.mu.Unlock()
				return r.next, r.err
			}},
		})
		_ = in.Close()
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	greeting := make([]byte, 1000)
	n, err := out.Read(greeting)
	if err != nil {
		t.Fatal(<-ended)
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	r.base = strings.TrimSuffix(strings.Fields(string(greeting[:n]))[2], "/")
	return r
}

// reload has the proxy take on the settings, and returns what it logs.
func (r *reloaded) reload(change func(c *conf.Config), err error) string {
	r.t.Helper()
	r.mu.Lock()
	change(&r.next)
	r.err = err
	r.mu.Unlock()
	r.hangup <- os.Interrupt // whichever it is
	return r.log.take(r.t, "took new settings on", "refused")
}

// get returns the Cache-Status and the body of a page.
func (r *reloaded) get(target string) (status, body string) {
	r.t.Helper()
	res, err := http.Get(r.base + target)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.Header.Get("Cache-Status"), string(b)
}

// hit makes a page a hit: it is published when its first answer is complete, or shortly after.
func (r *reloaded) hit(target string) {
	r.t.Helper()
	for range 1000 {
		if status, _ := r.get(target); strings.HasPrefix(status, "cachesrv; hit") {
			return
		}
	}
	r.t.Fatalf("%s is no hit", target)
}

// TestReload: new settings are taken on whole or not at all; pages of others are not served, and those under way not stored.
func TestReload(t *testing.T) {
	held := make(chan struct{})
	asked := make(chan string, 100)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		if r.URL.Path == "/slow" && r.Header.Get("X-Held") == "" {
			fmt.Fprint(w, "begun ")
			http.NewResponseController(w).Flush()
			<-held
		}
		fmt.Fprintf(w, "%s %s", r.Method, r.URL)
	}))
	defer origin.Close()
	r := startReloaded(t, settings(t, origin.URL))

	// Nothing that pages depend on: they stay.
	r.hit("/a")
	log := r.reload(func(c *conf.Config) { c.OriginTimeout++; c.LogLevel = "debug"; c.MaxBytes++ }, nil)
	if !strings.Contains(log, "origin-timeout log-level") || r.level != "debug" {
		t.Errorf("level %q, log\n%s", r.level, log)
	}
	if !strings.Contains(log, `"need a restart"=[max-bytes]`) {
		t.Errorf("what needs a restart is not named:\n%s", log)
	}
	if status, _ := r.get("/a"); !strings.HasPrefix(status, "cachesrv; hit") {
		t.Errorf("a page was dropped without need: %s", status)
	}

	// Refused: by the settings themselves, and by what they lead to.
	if log = r.reload(func(*conf.Config) {}, io.ErrUnexpectedEOF); !strings.Contains(log, "unexpected EOF") {
		t.Error(log)
	}
	if log = r.reload(func(c *conf.Config) { c.PurgeTokenFile = "/nowhere" }, nil); !strings.Contains(log, "refused") || !strings.Contains(log, "/nowhere") {
		t.Error(log)
	}
	r.reload(func(c *conf.Config) { c.PurgeTokenFile = "" }, nil)
	r.hit("/a")

	// A page that is stored while the rule changes: its client gets all of it, and nobody after it.
	slow := make(chan string)
	go func() {
		_, body := r.get("/slow")
		slow <- body
	}()
	for p := range asked {
		if p == "/slow" {
			break
		}
	}
	r.reload(func(c *conf.Config) { c.Rules = conf.Rules{{Path: "/slow", Query: []string{"q"}}} }, nil)
	close(held)
	if body := <-slow; body != "begun GET /slow" {
		t.Errorf("a request under way was answered %q", body)
	}
	if status, _ := r.get("/slow"); strings.HasPrefix(status, "cachesrv; hit") {
		t.Error("a page was published that was claimed under other rules")
	}
	if status, _ := r.get("/a"); strings.HasPrefix(status, "cachesrv; hit") {
		t.Error("a page of other rules is served")
	}

	// A path that is no longer to be cached, and one that is again.
	r.hit("/a")
	no := false
	r.reload(func(c *conf.Config) { c.Rules = conf.Rules{{Path: "/a", Cache: &no}} }, nil)
	for range 3 {
		if status, _ := r.get("/a"); !strings.Contains(status, "fwd=bypass") {
			t.Error(status)
		}
	}
	r.reload(func(c *conf.Config) { c.Rules = nil }, nil)
	r.hit("/a")
}

// TestRetired: a request that waits for another one's fill claims the page when settings are in force that don't allow it: nothing
// is stored.
func TestRetired(t *testing.T) {
	held, asked := make(chan struct{}), make(chan struct{}, 10)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-held
		fmt.Fprint(w, "answered")
	}))
	defer origin.Close()
	r := startReloaded(t, settings(t, origin.URL))
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() {
			if _, body := r.get("/slow"); body != "answered" {
				t.Errorf("answered %q", body)
			}
		})
	}
	<-asked
	waiting(t, 2)
	no := false
	r.reload(func(c *conf.Config) { c.Rules = conf.Rules{{Path: "/slow", Cache: &no}} }, nil)
	close(held)
	clients.Wait()
	if len(asked) == 0 {
		t.Error("nobody asked again: nothing was tried")
	}
	err := filepath.WalkDir(filepath.Join(r.next.Dir, "cache", "current")+"/", func(path string, _ fs.DirEntry, err error) error {
		if strings.Contains(filepath.Base(path), "slow.page") {
			t.Errorf("%s is stored", path)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// waiting waits until so many requests are in the proxy's way of a miss.
func waiting(t *testing.T, n int) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		var stacks bytes.Buffer
		if err := pprof.Lookup("goroutine").WriteTo(&stacks, 2); err != nil {
			t.Fatal(err)
		}
		if strings.Count(stacks.String(), "middleware.(*Proxy).missing(") >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("no %d requests wait:\n%s", n, stacks.String())
		}
	}
}

// TestChangeOverReload: a change that began under other rules drops the pages that they don't know of.
func TestChangeOverReload(t *testing.T) {
	held, asked := make(chan struct{}), make(chan struct{}, 1)
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			asked <- struct{}{}
			<-held
		}
		fmt.Fprint(w, "answered")
	}))
	defer origin.Close()
	r := startReloaded(t, settings(t, origin.URL))
	posted := make(chan error)
	go func() {
		res, err := http.Post(r.base+"/a?q=1", "text/plain", nil)
		if err == nil {
			_ = res.Body.Close()
		}
		posted <- err
	}()
	<-asked
	r.reload(func(c *conf.Config) { c.Query = []string{"q"} }, nil)
	r.hit("/a?q=1") // read before the change is there
	close(held)
	if err := <-posted; err != nil {
		t.Fatal(err)
	}
	if status, _ := r.get("/a?q=1"); strings.HasPrefix(status, "cachesrv; hit") {
		t.Error("the page of what was changed is served: the change knew the old rules only")
	}
}
