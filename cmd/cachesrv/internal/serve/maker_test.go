package serve

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/middleware"
)

// TestPagesOfOthersAreDropped: pages stay from one start to the next only if nothing that they depend on has changed.
func TestPagesOfOthersAreDropped(t *testing.T) {
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(t.TempDir(), "live"), SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	ways, err := NewWays(middleware.Options{Store: store, Hosts: []string{"a.example"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	site := ways.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("page")) }))
	hit := func() bool {
		w := httptest.NewRecorder()
		site.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://a.example/", nil))
		return strings.Contains(w.Header().Get("Cache-Status"), "; hit")
	}
	program := filepath.Join(t.TempDir(), "program")
	build := func(text string) {
		if err := os.WriteFile(program, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build("one")
	m := Maker{Site: "index", Settings: map[string]string{"title": "A"}}
	start := func() error { return m.dropOthers(t.Context(), store, program, slog.New(slog.DiscardHandler)) }
	never := false
	for _, step := range []struct {
		what string
		do   func()
	}{
		{"a folder that says nothing", func() { _ = os.Remove(filepath.Join(dir, madeBy)) }},
		{"another site", func() { m.Site = "example" }},
		{"another rule", func() { m.Rules = []rules.Rule{{Path: "/a", Cache: &never}} }},
		{"another setting", func() { m.Settings = map[string]string{"title": "B"} }},
		{"another program", func() { build("two") }},
		{"nonsense in the file", func() {
			if err := os.WriteFile(filepath.Join(dir, madeBy), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		hit()
		if !hit() {
			t.Fatal("pages are not kept at all")
		}
		step.do()
		if err := start(); err != nil {
			t.Fatal(err)
		}
		if hit() {
			t.Errorf("%s: the old page is served", step.what)
		}
		if err := start(); err != nil {
			t.Fatal(err)
		}
		if !hit() {
			t.Errorf("%s: a second start drops pages that are its own", step.what)
		}
	}

	// What could not be dropped is not called ours.
	before, err := os.ReadFile(filepath.Join(dir, madeBy))
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	m.Site = "index"
	if err := start(); err == nil {
		t.Error("nothing could be dropped, and there is no error")
	}
	if after, err := os.ReadFile(filepath.Join(dir, madeBy)); err != nil || string(after) != string(before) {
		t.Errorf("%q is %q now, %v", before, after, err)
	}
}
