package cache_test

import (
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// TestExplain: what a store knows of a URL, at each turn of its page's life.
func TestExplain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, dir)
	k := mustKey(t, "h/a")
	explain := func() cache.Explanation {
		t.Helper()
		e, err := s.Explain(t.Context(), k)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	if e := explain(); len(e.Pages) > 0 || e.Dropped != nil || e.Unstored != nil || e.Claim != nil || e.Withheld || e.Fenced != "" {
		t.Errorf("of nothing: %+v", e)
	}
	f := claim(t, s, "h/a")
	if e := explain(); e.Claim == nil || e.Claim.PID != os.Getpid() {
		t.Errorf("while it is filled: %+v", e.Claim)
	}
	_, _ = f.Write([]byte("body"))
	if _, err := f.Publish(t.Context(), cache.Meta{Header: html, Tags: []string{"t"}}); err != nil {
		t.Fatalf("explaining a fill ends it: %v", err)
	}
	_ = f.Close()
	g := claim(t, s, "h/a#json")
	if _, err := g.Publish(t.Context(), cache.Meta{Status: 404, Header: http.Header{"Content-Type": {"text/plain"}}, Grace: time.Hour}); err != nil {
		t.Fatal(err)
	}
	_ = g.Close()
	fill(t, s, "h/a/b", "another")
	e := explain()
	if len(e.Pages) != 2 || e.Claim != nil {
		t.Fatalf("%+v", e)
	}
	page, json := e.Pages[0], e.Pages[1]
	if page.Key != k || page.Private || page.File != e.File || page.Page.Size != 4 || !slices.Equal(page.Page.Meta.Tags, []string{"t"}) || len(page.Digest) != 64 {
		t.Errorf("%+v", page)
	}
	if json.Key.Variant != "json" || !json.Private || !strings.Contains(json.Why, "404") || json.Expired || !json.GraceEnd.IsZero() {
		t.Errorf("%+v", json)
	}
	invalidate(t, s, cache.Selection{Keys: []cache.Key{mustKey(t, "h/a#json")}, Soft: true})
	if e := explain(); len(e.Pages) != 2 || !e.Pages[1].Graced || !e.Pages[1].Expired || !e.Pages[1].GraceEnd.After(time.Now()) {
		t.Errorf("soft-purged: %+v", e.Pages)
	}
	s.NoteUnstored(k, "cookie")
	invalidate(t, s, cache.Selection{Tags: []string{"t"}, Cause: "because"})
	if err := s.Withhold(t.Context(), "id", cache.Selection{Tags: []string{"t"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Fence(t.Context(), "by hand"); err != nil {
		t.Fatal(err)
	}
	if e := explain(); !e.Withheld || e.Fenced != "by hand" {
		t.Errorf("%+v", e)
	}
	_ = s.Close() // writes the journal down
	s = open(t, dir)
	e = explain()
	if e.Dropped == nil || e.Dropped.Cause != "because" || e.Unstored == nil || e.Unstored.Why != "cookie" {
		t.Errorf("%+v, %+v", e.Dropped, e.Unstored)
	}
	for _, k := range []string{"/a", ""} {
		named, _ := key.Parse(k)
		if _, err := s.Explain(t.Context(), named); !errors.Is(err, key.ErrInvalid) {
			t.Errorf("%q: %v", k, err)
		}
	}
}

// TestLiveOf: the link is found without opening the folder.
func TestLiveOf(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := cache.LiveOf(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("of no cache: %v", err)
	}
	s := open(t, dir)
	if live, err := cache.LiveOf(dir); err != nil || live != s.Live() || live == "" {
		t.Errorf("%q, %q, %v", live, s.Live(), err)
	}
	if s.MaxTags() != 128 {
		t.Errorf("at most %d tags", s.MaxTags())
	}
}
