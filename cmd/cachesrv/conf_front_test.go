package main

import (
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/render/index"
)

// Another server must send the form that has no name only to whom the index would.
func TestAcceptsTextIsTheIndexsChoice(t *testing.T) {
	re, matched := regexp.MustCompile(acceptsText), 0
	part := rapid.SampledFrom([]string{
		"text/html", "*/*", "text/*", "application/*", "application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.v1+html", "TEXT/HTML", "text/htmlx",
		"application/vnd.pypi.simple.latest+json", ",", ", ", ", ", ";", ";q=0.1", "; q=0", ";q=1", ";charset=utf-8", " ", "\t", "", "image/png",
	})
	rapid.Check(t, func(t *rapid.T) {
		accept := strings.Join(rapid.SliceOfN(part, 0, 8).Draw(t, "parts"), "")
		if rapid.Bool().Draw(t, "likely") {
			accept = "text/html" + accept
		}
		r := &http.Request{Header: http.Header{"Accept": {accept}}}
		if accept == "" {
			return
		}
		if re.MatchString(accept) {
			matched++
			if v := index.Variant(r); v != "" {
				t.Fatalf("%q: the index chooses %q", accept, v)
			}
		}
	})
	if matched == 0 {
		t.Error("nothing matched: nothing was compared")
	}
	for accept, want := range map[string]bool{
		"*/*": true, "text/html": true, "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": true, "text/html;q=0.5": false,
		"application/vnd.pypi.simple.v1+json": false, "*/*, application/vnd.pypi.simple.v1+json": false, "text/html-x": false, "image/png, text/html": false,
	} {
		if re.MatchString(accept) != want {
			t.Errorf("%q: want %v", accept, want)
		}
	}
}

// exceptRule's pattern must match whatever the rule matches.
func TestExceptRuleCoversTheRule(t *testing.T) {
	part := rapid.SampledFrom([]string{"/", "a", "b", "*", "**", ".", "-", "%20", "é", "$", "+"})
	rapid.Check(t, func(t *rapid.T) {
		text := func(name string) string { return "/" + strings.Join(rapid.SliceOfN(part, 0, 5).Draw(t, name), "") }
		r := rules.Rule{Path: text("rule")}
		set, err := rules.Compile([]rules.Rule{r})
		if err != nil {
			return // not a rule
		}
		pattern, err := exceptRule(r)
		if err != nil {
			t.Fatalf("%q: %v", r.Path, err)
		}
		path := strings.ReplaceAll(text("path"), "*", "a")
		if rapid.Bool().Draw(t, "alike") {
			path = strings.ReplaceAll(r.Path, "*", "b")
		}
		if set.Match("a.example", path) >= 0 && !regexp.MustCompile(pattern).MatchString(path) {
			t.Fatalf("rule %q matches %q, and %s does not", r.Path, path, pattern)
		}
	})
}

// The live link is where the folder's first opener has put it; before there is one, or where it can't be read, nobody guesses.
func TestLiveOf(t *testing.T) {
	var s allSettings
	s.Dir = t.TempDir()
	want := filepath.Join(t.TempDir(), "link")
	if got, err := liveOf(s.Folder, s.Link); err == nil || !strings.Contains(err.Error(), "start cachesrv once") {
		t.Errorf("no cache: %q, %v", got, err)
	}
	store, err := cache.Open(t.Context(), cache.Options{Dir: s.Dir, Live: want, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := liveOf(s.Folder, s.Link); err != nil || got != want {
		t.Errorf("%q, %v", got, err)
	}
	given := s.Link
	given.Live = "/given"
	if got, err := liveOf(s.Folder, given); err != nil || got != "/given" {
		t.Errorf("--live is not heeded: %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "cache", "format"), []byte("live: [\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err := liveOf(s.Folder, s.Link); err == nil {
		t.Errorf("a damaged folder: %q", got)
	}
}
