//go:build e2e

package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "proxy")
	if err != nil {
		panic(err)
	}
	binary = filepath.Join(dir, "cachesrv")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/cachesrv/cachesrv/cmd/cachesrv").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("build: %v\n%s", err, out))
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// A proxy is the real binary, in front of an origin.
type proxy struct {
	t    testing.TB
	dir  string
	addr string
	pid  int
	stop func() // once; the test's end does, too
	log  *output
}

// output collects what a program prints, while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// front starts a proxy with one line of configuration, the origin's URL, and what bounds a test.
func front(t testing.TB, origin string, flags ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: filepath.Join(t.TempDir(), "data"), addr: freeAddress(t), log: new(output)}
	args := append([]string{"proxy", "--listen", p.addr, "--dir", p.dir, "--live", filepath.Join(filepath.Dir(p.dir), "live"), "--origin", origin}, flags...)
	p.pid, p.stop = launch(t, p.addr, p.log, exec.Command(binary, args...))
	t.Cleanup(func() {
		if s := p.log.String(); strings.Contains(s, "panic") {
			t.Errorf("the proxy's log:\n%s", s)
		}
	})
	return p
}

func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// launch starts a program, waits until it listens, and ends it with the test, or before.
func launch(t testing.TB, addr string, log *output, cmd *exec.Cmd) (pid int, stop func()) {
	t.Helper()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = cmd.Process.Signal(os.Interrupt)
			if err := <-ended; cmd.Path == binary && err != nil {
				t.Errorf("the proxy ended with %v:\n%s", err, log)
			}
		})
	}
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("%s:\n%.10000s", strings.Join(cmd.Args, " "), log)
		}
	})
	for end := time.Now().Add(60 * time.Second); ; {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return cmd.Process.Pid, stop
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended with %v:\n%s", cmd.Path, err, log)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen:\n%s", cmd.Path, log)
		}
	}
}

// An answer is a whole one.
type answer struct {
	*http.Response
	body string
}

// status returns what our part of Cache-Status says, without our name.
func (a answer) status() string {
	_, ours, _ := strings.Cut(strings.Join(a.Header.Values("Cache-Status"), ", "), "cachesrv; ")
	return ours
}

func (a answer) hit() bool    { return strings.HasPrefix(a.status(), "hit") }
func (a answer) stored() bool { return strings.Contains(a.status(), "stored") }

// client asks as it is told, and follows no redirects.
var client = &http.Client{
	Timeout:       60 * time.Second,
	Transport:     &http.Transport{DisableCompression: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// ask sends a request: headers are lines "Name: value", and one of them may be Host.
func ask(t testing.TB, method, url, body string, headers ...string) answer {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	res, err := client.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return answer{res, string(text)}
}

func (p *proxy) url(target string) string { return "http://" + p.addr + target }

func (p *proxy) get(target string, headers ...string) answer {
	p.t.Helper()
	return ask(p.t, http.MethodGet, p.url(target), "", headers...)
}

// becomesHit asks until the page is a hit: the first answer's last bytes may come before it is published.
func (p *proxy) becomesHit(target string, headers ...string) answer {
	p.t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(20 * time.Second); ; <-again.C {
		a := p.get(target, headers...)
		if a.hit() {
			return a
		}
		if time.Now().After(end) {
			p.t.Fatalf("%s is no hit: %d, Cache-Status %q, Cache-Control %q", target, a.StatusCode, a.status(), a.Header.Get("Cache-Control"))
		}
	}
}

// neverHit asks three times, and wants each answer from the origin.
func (p *proxy) neverHit(target string, headers ...string) (last answer) {
	p.t.Helper()
	for range 3 {
		if last = p.get(target, headers...); last.hit() || last.stored() {
			p.t.Errorf("%s: Cache-Status %q", target, last.status())
		}
	}
	return last
}

func (p *proxy) command(args ...string) string {
	p.t.Helper()
	out, err := exec.Command(binary, append(args, "--dir", p.dir)...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("cachesrv %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// sound requires that the folder is as it should be.
func (p *proxy) sound() {
	p.t.Helper()
	p.command("check")
}
