//go:build e2e

package front

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// python is a virtual environment with pip.
var python = sync.OnceValues(func() (bin string, err error) {
	dir := filepath.Join(filepath.Dir(binary), "python")
	out, err := exec.Command("/usr/bin/python3", "-m", "venv", dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("python3 -m venv: %w: %s", err, out)
	}
	return filepath.Join(dir, "bin"), nil
})

// TestIndex: a package index behind each server: pages and forms are as from the index itself, and what twine has uploaded is what
// pip gets.
func TestIndex(t *testing.T) {
	for _, server := range servers {
		for _, serial := range []string{"off", "on"} {
			t.Run(server.name+"/serial-"+serial, func(t *testing.T) {
				t.Parallel()
				s := prepare(t, server, t.TempDir())
				s.begin("index", "--serial-header", serial, "--title", "Our packages")
				theSameIndex(t, s, serial == "off")
			})
		}
	}
}

// theSameIndex uploads releases, and compares every page after each. simple says that pages of the simple API may be answered from
// files.
func theSameIndex(t *testing.T, s *site, simple bool) {
	s.run("user", "add", "ada", "--dir", s.dir)
	token := s.run("token", "add", "--user", "ada", "--dir", s.dir)
	token = token[strings.Index(token, "cachesrv-"):]
	token, _, _ = strings.Cut(token, "\n")
	token = strings.TrimSpace(token)
	for _, version := range []string{"1.0", "1.1"} {
		out := filepath.Join(s.top, "dist"+version)
		s.run("index", "sample", "teapot", version, out)
		files, err := filepath.Glob(out + "/*")
		if err != nil || len(files) != 2 {
			t.Fatal(files, err)
		}
		s.twine(token, files...)
		s.compareIndex(simple)
		if got := s.pip(); got != version {
			t.Errorf("pip has installed %q, and %s is the newest", got, version)
		}
	}
}

// compareIndex asks for all pages through both servers, in all forms.
func (s *site) compareIndex(simple bool) {
	s.t.Helper()
	for _, c := range []struct {
		target, accept string
		file           bool
	}{
		{"/", "", true}, {"/", indextest.JSON, true}, {"/project/teapot/", "", true}, {"/project/teapot/1.0/", "text/html", true}, {"/user/ada/", "*/*", true},
		{"/simple/", "", simple}, {"/simple/", "*/*", simple}, {"/simple/teapot/", "text/html", simple},
		{"/simple/teapot/", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", simple},
		{"/simple/teapot/", indextest.JSON, false}, {"/simple/teapot/", indextest.HTMLv1, false}, {"/simple/teapot/", "text/html;q=0.1, " + indextest.JSON, false},
		{"/simple/teapot/", "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", false},
		{"/simple/teapot/", "image/png", false}, {"/simple/teapot/?format=" + strings.ReplaceAll(indextest.JSON, "+", "%2B"), "", false},
		{"/simple/kettle/", "", false}, {"/project/kettle/", "", false}, {"/simple/Teapot/", "", false}, {"/simple/teapot", "", false}, {"/simple/%2e/", "", false},
		{"/search?q=teapot", "", false}, {"/assets/none", "", false}, {"/robots.txt", "", false},
	} {
		var headers []string
		if c.accept != "" {
			headers = []string{"Accept: " + c.accept}
		}
		s.direct("GET", c.target, headers...) // a page from here on, if it is to be one
		for _, method := range []string{"GET", "HEAD"} {
			through, direct := s.front(method, c.target, headers...), s.direct(method, c.target, headers...)
			if through.fromFile() != c.file {
				s.t.Errorf("%s %s %q was answered by %q", method, c.target, c.accept, through.by())
			}
			s.same(fmt.Sprintf("%s %s %q", method, c.target, c.accept), through, direct)
		}
	}
}

// twine uploads files through the server.
func (s *site) twine(token string, files ...string) {
	s.t.Helper()
	command := exec.Command("/usr/bin/twine", append([]string{"upload", "--disable-progress-bar", "--repository-url", "http://" + s.outer + "/legacy/",
		"-u", "__token__", "-p", token}, files...)...)
	command.Env = append(os.Environ(), "HOME="+s.top)
	if out, err := command.CombinedOutput(); err != nil {
		s.t.Fatalf("twine: %v\n%s", err, out)
	}
}

// pip installs the sample through the server, and returns its version.
func (s *site) pip() string {
	s.t.Helper()
	bin, err := python()
	if err != nil {
		s.t.Fatal(err)
	}
	target := filepath.Join(s.t.TempDir(), "target")
	command := exec.Command(filepath.Join(bin, "pip"), "install", "--disable-pip-version-check", "--no-input", "--target", target, "--index-url", "http://"+s.outer+"/simple/", "teapot")
	command.Env = append(os.Environ(), "HOME="+s.top, "PIP_CONFIG_FILE=/dev/null")
	if out, err := command.CombinedOutput(); err != nil {
		s.t.Fatalf("pip: %v\n%s", err, out)
	}
	found, _ := filepath.Glob(target + "/teapot-*.dist-info")
	if len(found) != 1 {
		return ""
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(found[0]), "teapot-"), ".dist-info")
}

// TestExample: the example's pages are of the other server once they are there, and a change is seen at once.
func TestExample(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t, server, t.TempDir())
			s.begin("example")
			for i := range 3 {
				a := s.frontWith("POST", "/notes", fmt.Sprintf("text=note+%d", i), "Content-Type: application/x-www-form-urlencoded")
				if a.status != http.StatusCreated {
					t.Fatalf("%d %.300s", a.status, a.body)
				}
				for _, target := range []string{"/", a.header.Get("Location")} {
					first, through, direct := s.front("GET", target), s.front("GET", target), s.direct("GET", target)
					if !strings.Contains(first.body, fmt.Sprintf("note %d", i)) {
						t.Errorf("%s is from before note %d: %q", target, i, first.by())
					}
					if !through.fromFile() {
						t.Errorf("%s was answered by %q", target, through.by())
					}
					s.same(target, through, direct)
				}
			}
		})
	}
}
