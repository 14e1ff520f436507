//go:build e2e

package front

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

var binary string

func TestMain(m *testing.M) { program.Main(m, &binary) }

// hostName is the one that the site answers to.
const hostName = "site.example"

// A site is an origin, cachesrv in front of it, and another server in front of that.
type site struct {
	t       *testing.T
	server  server
	command string // of cachesrv
	top     string // folder of everything
	umask   int    // of cachesrv; 0: the test's own
	other   string // user that the server runs as; "": the test's own
	dir     string // of cachesrv
	live    string
	cache   string // cachesrv's address
	outer   string // the other server's
	probe   string // answers with the file that the other server looks for; "/.none" if it looks for none
	flags   []string
	sample  string       // percent of the requests that the server leaves to cachesrv; "": 0
	change  atomic.Int64 // stands in the origin's answers
	strange atomic.Int64 // requests that no test has sent
	log     *program.Log
	ours    program.Process // cachesrv
}

// A server is one that serves the pages.
type server struct {
	name string
	// tags says that its entity tags are ours; else its answers from files have none, and what is conditional is left to cachesrv.
	tags bool
	// start starts it with the configuration that cachesrv prints for the site.
	start func(s *site)
}

var servers = []server{{"nginx", true, startNginx}, {"caddy", false, startCaddy}}

// each runs a test behind each server.
func each(t *testing.T, test func(t *testing.T, s *site)) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			test(t, newSite(t, server))
		})
	}
}

// newSite starts a proxy in front of the origin, and a server in front of that.
func newSite(t *testing.T, server server, more ...string) *site {
	t.Helper()
	s := prepare(t, server, t.TempDir())
	s.beginProxy(more...)
	return s
}

// beginProxy is begin for a proxy in front of the site's origin.
func (s *site) beginProxy(more ...string) {
	s.t.Helper()
	origin := httptest.NewServer(http.HandlerFunc(s.origin))
	s.t.Cleanup(origin.Close)
	s.begin("proxy", append([]string{"--origin", origin.URL, "--policy", "until-invalidated", "--query", "page", "--query", "q",
		"--public-cookies", "_ga*", "--public-cookies", "lang"}, more...)...)
}

// prepare returns a site below a folder, of which nothing runs yet.
func prepare(t *testing.T, server server, dir string) *site {
	return &site{
		t: t, server: server, top: dir, dir: filepath.Join(dir, "data"), live: filepath.Join(dir, "live", "link"), log: new(program.Log),
		cache: program.FreeAddress(t), outer: program.FreeAddress(t), probe: program.FreeAddress(t),
	}
}

// begin starts cachesrv with a command and its flags, and the server in front of it.
func (s *site) begin(command string, flags ...string) {
	s.t.Helper()
	s.command = command
	s.flags = append([]string{"--listen", s.cache, "--dir", s.dir, "--live", s.live, "--host", hostName, "--host", s.outer}, flags...)
	start := func() {
		s.ours = program.LaunchOurs(s.t, s.cache, s.log, exec.Command(binary, append([]string{command}, s.flags...)...))
	}
	if s.umask != 0 {
		under(s.umask, start)
	} else {
		start()
	}
	s.server.start(s)
}

// conf prints the configuration for the site's server.
func (s *site) conf(more ...string) string {
	s.t.Helper()
	command := exec.Command(binary, slices.Concat([]string{"conf", s.server.name, "--sample", cmp.Or(s.sample, "0"), "--server", s.command}, s.flags, more)...)
	text, err := command.Output()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", command.Args, err, err.(*exec.ExitError).Stderr)
	}
	return string(text)
}

// installed returns the path of a program that must be there.
func installed(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: run e2e/install.sh", err)
	}
	return path
}

// origin answers with a page of the path and of what has changed.
func (s *site) origin(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	status := http.StatusOK
	switch {
	case strings.HasPrefix(r.URL.Path, "/gone"):
		status = http.StatusNotFound
		h.Set("Cache-Control", "max-age=600")
	case strings.HasPrefix(r.URL.Path, "/moved"):
		h.Set("Location", "/there")
		status = http.StatusMovedPermanently
		h.Set("Cache-Control", "max-age=600")
	case strings.HasPrefix(r.URL.Path, "/json"):
		h.Set("Content-Type", "application/json")
	case strings.HasPrefix(r.URL.Path, "/linked"):
		h.Set("Link", "<x>")
	case strings.HasPrefix(r.URL.Path, "/own"):
		h.Set("Etag", `"own"`)
	case strings.HasPrefix(r.URL.Path, "/small"): // too small for a twin of ours
		fmt.Fprint(w, "<p>Small, and compressed by nginx if it may.</p>")
		return
	case r.URL.Path == "/mirrored", r.URL.Path == "/before", r.URL.Path == "/after", r.URL.Path == "/outer.html":
		s.strange.Add(1)
	case r.URL.Path == "/scheme":
		fmt.Fprintf(w, "%s %s", r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-For"))
		return
	case r.URL.Path == "/post":
		n, _ := io.Copy(io.Discard, r.Body)
		h.Set("Set-Cookie", "a=b; path=/")
		fmt.Fprintf(w, "%d bytes", n)
		return
	case r.URL.Path == "/who":
		h.Set("Cache-Control", "no-store")
		fmt.Fprintf(w, "%s %s %s", r.Method, r.RequestURI, r.Host)
		return
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, "<p>%s, change %d</p>\n%s", r.URL.Path, s.change.Load(), strings.Repeat("<p>A line that is worth compressing.</p>\n", 100))
}

func (s *site) direct(method, target string, headers ...string) answer {
	return ask(s.t, s.cache, method, target, headers...)
}
func (s *site) front(method, target string, headers ...string) answer {
	return ask(s.t, s.outer, method, target, headers...)
}

func (s *site) directWith(method, target, body string, headers ...string) answer {
	return send(s.t, s.cache, method, target, body, headers...)
}
func (s *site) frontWith(method, target, body string, headers ...string) answer {
	return send(s.t, s.outer, method, target, body, headers...)
}

// fill makes a page, and waits for its twins where the request takes encodings.
func (s *site) fill(target string, headers ...string) {
	s.t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		a := s.direct("GET", target, headers...)
		if strings.HasPrefix(a.by(), "cachesrv; hit") && (len(headers) == 0 || a.header.Get("Content-Encoding") != "") {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("%s %q is no hit: %d %v", target, headers, a.status, a.header)
		}
	}
}

// run runs a command of cachesrv, and returns what it prints.
func (s *site) run(args ...string) string {
	s.t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("cachesrv %q: %v\n%s", args, err, out)
	}
	return string(out)
}
