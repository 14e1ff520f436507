//go:build e2e

package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/program"
)

// TestDjango: an application as people write them is cached where it says so, and where it would be wrong it is not: with a
// session, in another language, after a form.
func TestDjango(t *testing.T) {
	addr := program.FreeAddress(t)
	program.Launch(t, addr, new(program.Log), exec.Command("/usr/bin/python3", "testdata/application.py", "runserver", "--noreload", addr))
	p := front(t, "http://"+addr)

	// A page, its validators, its languages.
	first := p.get("/")
	if first.StatusCode != 200 || !first.stored() || !strings.HasPrefix(first.body, "request 1 in en: first.") {
		t.Fatalf("/: %d, %q, %.60q", first.StatusCode, first.status(), first.body)
	}
	second := p.becomesHit("/")
	tag := second.Header.Get("ETag")
	if second.body != first.body || tag == "" || second.Header.Get("Cache-Control") != "max-age=600" {
		t.Errorf("/ again: %.60q, ETag %q, Cache-Control %q", second.body, tag, second.Header.Get("Cache-Control"))
	}
	if a := p.get("/", "If-None-Match: "+tag); a.StatusCode != http.StatusNotModified || !a.hit() {
		t.Errorf("not modified: %d, %q", a.StatusCode, a.status())
	}
	if a := p.get("/", "Accept-Language: de"); a.hit() || !strings.HasPrefix(a.body, "request 2 in de: first.") {
		t.Errorf("in German: %q, %.60q", a.status(), a.body)
	}
	if a := p.becomesHit("/", "Accept-Language: de"); !strings.HasPrefix(a.body, "request 2 in de:") {
		t.Errorf("in German again: %.60q", a.body)
	}
	if a := p.becomesHit("/"); !strings.HasPrefix(a.body, "request 1 in en:") {
		t.Errorf("and in English: %.60q", a.body)
	}
	// Who accepts gzip gets it, whoever makes it.
	for range 3 {
		if a := p.get("/", "Accept-Encoding: gzip"); a.StatusCode != 200 || a.Header.Get("Content-Encoding") == "" && a.body != first.body {
			t.Errorf("gzip: %d, %q", a.StatusCode, a.Header.Get("Content-Encoding"))
		}
		if a := p.becomesHit("/"); a.Header.Get("Content-Encoding") != "" || a.body != first.body {
			t.Errorf("without gzip: %q, %.60q", a.Header.Get("Content-Encoding"), a.body)
		}
	}

	// A login: the form's token and Django's check of where it comes from go through; the session is nobody else's.
	form := p.neverHit("/login")
	token := strings.TrimPrefix(form.body, "token=")
	login := ask(t, http.MethodPost, p.url("/login"), url.Values{"user": {"ada"}, "csrfmiddlewaretoken": {token}}.Encode(),
		"Content-Type: application/x-www-form-urlencoded", "Origin: http://"+p.addr, "Referer: "+p.url("/login"), cookieOf(form))
	if login.StatusCode != http.StatusFound || login.Header.Get("Location") != "/hello" {
		t.Fatalf("login: %d, %.200q", login.StatusCode, login.body)
	}
	session := cookieOf(login)
	p.get("/hello")
	for range 3 {
		if a := p.get("/hello", session); !strings.HasSuffix(a.body, "hello ada") || a.hit() || a.stored() {
			t.Errorf("with the session: %q, %q", a.body, a.status())
		}
		if a := p.get("/hello"); !strings.HasSuffix(a.body, "hello nobody") {
			t.Errorf("without it: %q, %q", a.body, a.status())
		}
	}
	if a := p.neverHit("/counter"); a.Header.Get("Set-Cookie") == "" {
		t.Error("the cookie got lost")
	}

	// A form that changes what pages show: the page it is sent to is dropped (RFC 9111, 4.4), and where its answer leads.
	if a := p.becomesHit("/note"); a.body != "1 notes" {
		t.Errorf("/note: %q", a.body)
	}
	form = p.get("/login")
	token = strings.TrimPrefix(form.body, "token=")
	added := ask(t, http.MethodPost, p.url("/note"), url.Values{"text": {"second"}, "csrfmiddlewaretoken": {token}}.Encode(),
		"Content-Type: application/x-www-form-urlencoded", "Origin: http://"+p.addr, cookieOf(form))
	if added.StatusCode != http.StatusFound {
		t.Fatalf("add: %d, %.200q", added.StatusCode, added.body)
	}
	if a := p.get("/note"); a.body != "2 notes" || a.hit() {
		t.Errorf("/note after it: %q, %q", a.body, a.status())
	}
	for _, language := range []string{"en", "de"} {
		if a := p.get("/", "Accept-Language: "+language); !strings.Contains(a.body, "first, second") {
			t.Errorf("/ in %s after it: %.60q, %q", language, a.body, a.status())
		}
	}

	var lines strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&lines, "line %d\n", i)
	}
	if a := p.neverHit("/stream"); a.body != lines.String() {
		t.Errorf("stream: %d bytes", len(a.body))
	}
	if a := ask(t, http.MethodPost, p.url("/upload"), strings.Repeat("x", 2_000_000)); a.body != "2000000 bytes" {
		t.Errorf("upload: %d, %.100q", a.StatusCode, a.body)
	}
	p.sound()
}

// cookieOf is the header line that sends an answer's cookies back.
func cookieOf(a answer) string {
	var all []string
	for _, c := range a.Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(all, "; ")
}
