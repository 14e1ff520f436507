//go:build e2e

package proxy

import (
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

var binary string

func TestMain(m *testing.M) { program.Main(m, &binary) }

// A proxy is the real binary, in front of an origin.
type proxy struct {
	t               testing.TB
	dir             string
	addr            string
	log             *program.Log
	program.Process // stopped with the test, or before
}

// front starts a proxy with one line of configuration, the origin's URL, and what bounds a test.
func front(t testing.TB, origin string, flags ...string) *proxy {
	t.Helper()
	p := &proxy{t: t, dir: filepath.Join(t.TempDir(), "data"), addr: program.FreeAddress(t), log: new(program.Log)}
	args := append([]string{"proxy", "--listen", p.addr, "--dir", p.dir, "--live", filepath.Join(filepath.Dir(p.dir), "live"), "--origin", origin}, flags...)
	p.Process = program.LaunchOurs(t, p.addr, p.log, exec.Command(binary, args...))
	return p
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
