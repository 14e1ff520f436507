package cache_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// TestNote: a note comes back with the page, from memory and from disk, is parsed once, and is no header; the page is not in
// the form that other servers read.
func TestNote(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	k := mustKey(t, "example.org/noted")
	f := claim(t, s, "example.org/noted")
	const note = `{"fresh":1,"vary":["Accept-Language"],"ü":""}`
	if _, err := f.Publish(t.Context(), cache.Meta{Header: html, Note: note}); err != nil {
		t.Fatal(err)
	}
	other := open(t, dir)
	for _, s := range []*cache.Store{s, other} {
		hit, err := s.Lookup(k)
		if err != nil {
			t.Fatal(err)
		}
		if hit.Meta.Note != note || len(hit.Meta.Header) != 1 {
			t.Errorf("the note is %q, the headers %v", hit.Meta.Note, hit.Meta.Header)
		}
		calls := 0
		for range 2 {
			if got := hit.Noted(func(n string) any { calls++; return len(n) }); got != len(note) {
				t.Errorf("it was parsed to %v", got)
			}
		}
		if calls != 1 {
			t.Errorf("it was parsed %d times", calls)
		}
		_ = hit.Close()
	}
	if names, err := filepath.Glob(filepath.Join(dir, "live", "pages", "example.org", "*.page")); err != nil || len(names) > 0 {
		t.Errorf("another server would read %v (%v)", names, err)
	}
	for name, m := range map[string]cache.Meta{
		"two lines":  {Header: html, Note: "a\r\nSet-Cookie: x"},
		"our header": {Header: http.Header{"Cachesrv-Note": {"x"}}},
	} {
		f := claim(t, s, "example.org/refused")
		if _, err := f.Publish(t.Context(), m); !errors.Is(err, key.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		_ = f.Close()
	}
}
