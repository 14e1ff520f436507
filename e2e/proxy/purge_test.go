//go:build e2e

package proxy

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

const siteHost = "site.example"

// A source is an origin whose pages show a state. It is asked under one name, whatever the proxy's address.
type source struct {
	*httptest.Server
	state atomic.Int64
	asked atomic.Int64
	read  func() int64                                 // the state that an answer shows; nil: the newest
	extra func(w http.ResponseWriter, r *http.Request) // adds headers
	hold  atomic.Pointer[func(path string, was int64)] // is called between reading the state and answering
}

func newSource(t *testing.T) *source {
	s := new(source)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.asked.Add(1)
		state := s.state.Load()
		if s.read != nil {
			state = s.read()
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		if s.extra != nil {
			s.extra(w, r)
		}
		if hold := s.hold.Load(); hold != nil {
			(*hold)(r.URL.Path, state)
		}
		fmt.Fprintf(w, "state %d%s", state, strings.Repeat(" of a page that is worth compressing", 100))
	}))
	t.Cleanup(s.Close)
	return s
}

func shows(a answer, state int64) bool {
	return strings.HasPrefix(a.body, fmt.Sprintf("state %d ", state))
}

// curl sends what an operator would, and returns status and JSON.
func curl(t testing.TB, args ...string) (status string, got map[string]any) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-w", "\n%{http_code}", "-H", "Host: " + siteHost}, args...)...).CombinedOutput()
	if err == nil {
		i := strings.LastIndexByte(string(out), '\n')
		status = string(out[i+1:])
		err = json.Unmarshal(out[:max(i, 0)], &got)
	}
	if err != nil {
		t.Fatalf("curl %q: %v\n%s", args, err, out)
	}
	return status, got
}

// purge drops with PURGE, and wants so many pages to have been there.
func (p *proxy) purge(target string, dropped int, args ...string) {
	p.t.Helper()
	status, got := curl(p.t, append(args, "-X", "PURGE", p.url(target))...)
	if status != "200" || got["dropped"] != float64(dropped) {
		p.t.Errorf("PURGE %s %q: %s %v, want %d dropped", target, args, status, got, dropped)
	}
}

func (p *proxy) denied(args ...string) {
	p.t.Helper()
	status, got := curl(p.t, append(args, "-X", "PURGE", p.url("/a"))...)
	if status != "403" || !strings.HasPrefix(fmt.Sprint(got["error"]), "forbidden: ") {
		p.t.Errorf("%q: %s %v", args, status, got)
	}
}

func site(headers ...string) []string { return append(headers, "Host: "+siteHost) }

// sites starts proxies on one folder.
func sites(t *testing.T, n int, origin string, flags ...string) (list []*proxy) {
	t.Helper()
	dir := t.TempDir()
	for range n {
		p := &proxy{t: t, dir: filepath.Join(dir, "data"), addr: program.FreeAddress(t), log: new(program.Log)}
		args := append([]string{"proxy", "--listen", p.addr, "--dir", p.dir, "--live", filepath.Join(dir, "live"), "--origin", origin,
			"--host", siteHost, "--policy", "until-invalidated"}, flags...)
		p.Process = program.LaunchOurs(t, p.addr, p.log, exec.Command(binary, args...))
		list = append(list, p)
	}
	return list
}

// TestPurge: by URL, with variants and twins, softly, by tags under every name, through the API; through one instance for all.
func TestPurge(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.extra = func(w http.ResponseWriter, r *http.Request) {
		switch name, tag, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/tagged/"), "/"); {
		case r.URL.Path == "/varies":
			w.Header().Set("Vary", "Accept-Language")
		case tag != "":
			w.Header().Set(name, tag)
		}
	}
	metrics := program.FreeAddress(t)
	p := sites(t, 2, s.URL, "--grace", "1m")
	admin := sites(t, 1, s.URL, "--admin", metrics)[0]

	// A URL, through the other instance: the page with its twin, and once more nothing.
	p[0].becomesHit("/a", site()...)
	for end := time.Now().Add(20 * time.Second); p[0].get("/a", site("Accept-Encoding: gzip")...).Header.Get("Content-Encoding") != "gzip"; {
		if time.Now().After(end) {
			t.Fatal("no twin is made")
		}
	}
	s.state.Store(1)
	p[1].purge("/a", 1)
	if a := p[0].get("/a", site("Accept-Encoding: gzip")...); a.hit() || !shows(a, 1) {
		t.Errorf("after a PURGE: %s, %.20q", a.status(), a.body)
	}
	p[1].purge("/nothing/here", 0)
	p[1].purge("/a%2fb", 0)

	// All variants.
	for _, language := range []string{"de", "en", "fr"} {
		p[0].becomesHit("/varies", site("Accept-Language: "+language)...)
	}
	p[0].purge("/varies", 3)

	// Softly, and then hard.
	p[0].becomesHit("/soft", site()...)
	s.state.Store(2)
	p[1].purge("/soft", 1, "-H", "Fastly-Soft-Purge: 1")
	p[0].purge("/soft", 1)
	if a := p[1].get("/soft", site()...); !shows(a, 2) {
		t.Errorf("a hard PURGE after a soft one: %s, %.20q", a.status(), a.body)
	}

	// Tags, under the name they came with and the others.
	for _, name := range []string{"Surrogate-Key", "Cache-Tag", "Edge-Cache-Tag", "xkey"} {
		target := "/tagged/" + name + "/note:1"
		for _, by := range []string{name, "xkey-purge", "xkey-softpurge"} {
			a := p[0].becomesHit(target, site()...)
			if a.Header.Get(name) != "" {
				t.Errorf("%s reached a client", name)
			}
			p[1].purge("/", 1, "-H", by+": other:2,note:1")
			p[1].purge(target, boolean(by == "xkey-softpurge"), "-H", "Surrogate-Key: note:1")
		}
	}

	// The API.
	post := func(body string, args ...string) (string, map[string]any) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), "curl", append([]string{"-sS", "-H", "Content-Type: application/json", "-d", body, "http://" + metrics + "/invalidate"}, args...)...).Output()
		var got map[string]any
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return fmt.Sprint(got["dropped"]), got
	}
	for _, target := range []string{"/docs", "/docs/a", "/docs/b", "/docsx"} {
		admin.becomesHit(target, site()...)
	}
	if n, got := post(`{"prefixes":["` + siteHost + `/docs"],"dry_run":true}`); n != "3" || len(got["keys"].([]any)) != 3 {
		t.Errorf("dry run: %v", got)
	}
	if a := admin.get("/docs/a", site()...); !a.hit() {
		t.Errorf("after a dry run: %s", a.status())
	}
	for i, want := range []string{"3", "0"} {
		n, got := post(`{"prefixes":["`+siteHost+`/docs"],"cause":"release 4711"}`, "-H", "Idempotency-Key: r4711")
		if n != want || (got["repeated"] == true) != (i == 1) {
			t.Errorf("%d: %v", i, got)
		}
	}
	if _, got := post(`{"all":true}`, "-H", "Idempotency-Key: r4711"); !strings.Contains(fmt.Sprint(got["error"]), "new key") {
		t.Errorf("a key for two changes: %v", got)
	}
	if a := admin.get("/docsx", site()...); !a.hit() {
		t.Errorf("beside the prefix: %s", a.status())
	}
	if _, got := post(`{"all":true}`, "-H", "X-Forwarded-For: 10.0.0.1"); !strings.Contains(fmt.Sprint(got["error"]), "forbidden") {
		t.Errorf("through a proxy: %v", got)
	}
	text := ask(t, "GET", "http://"+metrics+"/metrics", "").body
	for _, want := range []string{`{kind="api",outcome="dropped"} 1`, `{kind="api",outcome="nothing"} 1`, `{kind="api",outcome="dry_run"} 1`, `{kind="api",outcome="forbidden"} 1`} {
		if !strings.Contains(text, "cachesrv_purge_requests_total"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	p[0].sound()
	admin.sound()
}

func boolean(set bool) int {
	if set {
		return 1
	}
	return 0
}

// TestPurgeAccess: this machine may, but not for others, nor browsers; then who has the token; then who is listed.
func TestPurgeAccess(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	bearer := []string{"-H", "Authorization: Bearer 0123456789abcdef0123456789abcdef"}
	forwarded := []string{"-H", "X-Forwarded-For: 192.0.2.1"}
	for _, c := range []struct {
		flags           []string
		allowed, denied [][]string
	}{
		{nil, [][]string{nil}, [][]string{forwarded, {"-H", "Via: 1.1 front"}, {"-H", "Origin: https://evil.example"}, {"--http1.0"}}},
		{[]string{"--purge-token-file", token}, [][]string{bearer, append(forwarded, bearer...)},
			[][]string{nil, {"-H", "Authorization: Bearer 0123456789abcdef0123456789abcdee"}, {"-H", "Authorization: Basic eDp5"}}},
		{[]string{"--purge-from", "192.0.2.0/24"}, nil, [][]string{nil, bearer}},
		{[]string{"--purge-from", "192.0.2.0/24,127.0.0.0/8"}, [][]string{nil}, [][]string{forwarded}},
		{[]string{"--purge-from", "192.0.2.0/24", "--purge-token-file", token}, [][]string{bearer}, [][]string{nil}},
	} {
		p := sites(t, 1, s.URL, c.flags...)[0]
		for _, args := range c.denied {
			p.becomesHit("/a", site()...)
			asked := s.asked.Load()
			p.denied(args...)
			if a := p.get("/a", site()...); !a.hit() || s.asked.Load() != asked {
				t.Errorf("%q: denied, and %s; the origin was asked %d times", args, a.status(), s.asked.Load()-asked)
			}
		}
		for _, args := range c.allowed {
			p.becomesHit("/a", site()...)
			p.purge("/a", 1, args...)
		}
		_ = p.Stop()
	}
}

// TestPurgeReachesFills: an answer that the origin had begun before a PURGE is not stored, by whichever instance it is purged and
// whatever names it; the client whose request came before gets it. (P1)
func TestPurgeReachesFills(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	s.extra = func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Cache-Tag", "t") }
	p := sites(t, 2, s.URL)
	for i, by := range [][]string{nil, {"-H", "Cache-Tag: t"}, {"-H", "xkey-softpurge: t"}} {
		for _, through := range p {
			target, read, release := fmt.Sprintf("/fill/%d/%s", i, through.addr), make(chan struct{}), make(chan struct{})
			var once sync.Once
			hold := func(path string, _ int64) {
				if path == target {
					once.Do(func() { close(read); <-release })
				}
			}
			s.hold.Store(&hold)
			before := s.state.Load()
			first := make(chan answer, 1)
			go func() { first <- p[0].get(target, site()...) }()
			<-read
			s.state.Add(1)
			status, got := curl(t, append(by, "-X", "PURGE", through.url(target))...)
			if status != "200" || len(by) == 0 && got["fills"] != 1.0 {
				t.Errorf("%s %v", status, got)
			}
			close(release)
			if a := <-first; !shows(a, before) {
				t.Errorf("%q: the first client got %.20q", by, a.body)
			}
			for _, each := range p {
				if a := each.becomesHit(target, site()...); !shows(a, before+1) {
					t.Errorf("%q: stale: %.20q", by, a.body)
				}
			}
		}
	}
}

// TestSettle: an origin that reads a replica which lags by less than --settle has no old page stored; without the flag it has,
// that is the control.
func TestSettle(t *testing.T) {
	t.Parallel()
	const lag, settle = 700 * time.Millisecond, time.Second
	for _, flags := range [][]string{{"--settle", settle.String()}, nil} {
		s := newSource(t)
		var mu sync.Mutex
		var changed time.Time
		change := func() {
			mu.Lock()
			defer mu.Unlock()
			changed = time.Now()
			s.state.Add(1)
		}
		s.read = func() int64 { // of the replica
			mu.Lock()
			defer mu.Unlock()
			state := s.state.Load()
			if time.Since(changed) < lag {
				state--
			}
			return state
		}
		p := sites(t, 2, s.URL, flags...)
		p[0].becomesHit("/a", site()...)
		change()
		purged := time.Now()
		p[1].purge("/a", 1)
		for i := 0; ; i++ {
			a := p[i%2].get("/a", site()...)
			if !a.hit() {
				if len(flags) > 0 && time.Since(purged) < lag && !strings.Contains(a.status(), "detail=settling") {
					t.Errorf("%s", a.status())
				}
				time.Sleep(20 * time.Millisecond)
				continue
			}
			if stale := !shows(a, s.state.Load()); stale != (len(flags) == 0) {
				t.Errorf("%q: after %v a hit shows %.20q of state %d", flags, time.Since(purged), a.body, s.state.Load())
			}
			break
		}
	}
}

// TestPositions: an origin that says what it has seen needs no --settle, and is not held up once it has seen the change.
func TestPositions(t *testing.T) {
	t.Parallel()
	s := newSource(t)
	var replica atomic.Int64 // the state it has
	s.read = replica.Load
	s.extra = func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cachesrv-Position", fmt.Sprintf("main=7301.1@0/%X", 0x100+replica.Load()))
	}
	p := sites(t, 2, s.URL)
	a := p[0].becomesHit("/a", site()...)
	if a.Header.Get("Cachesrv-Position") != "" {
		t.Error("the position reached a client")
	}
	s.state.Store(1)
	p[1].purge("/a", 1, "-H", "Cachesrv-Position: main=7301.1@0/101")
	for range 5 {
		if a := p[0].get("/a", site()...); a.hit() || a.status() != "fwd=uri-miss; detail=behind" || !shows(a, 0) {
			t.Errorf("behind: %s, %.20q", a.status(), a.body)
		}
	}
	replica.Store(1)
	if a := p[0].becomesHit("/a", site()...); !shows(a, 1) {
		t.Errorf("then: %.20q", a.body)
	}
}
