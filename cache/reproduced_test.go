package cache_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

// TestReproduced: a page lies where another server looks only if that one sends the very headers it has.
func TestReproduced(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	framed := http.Header{"X-Frame-Options": {"DENY"}}
	with := func(headers ...string) http.Header {
		h := html.Clone()
		for _, text := range headers {
			name, value, _ := strings.Cut(text, ": ")
			h.Add(name, value)
		}
		return h
	}
	for i, tt := range []struct {
		header, reproduced http.Header
		public             bool
	}{
		{with(), nil, true},
		{with("Server: a"), nil, true}, // each server has its own
		{with("X-Frame-Options: DENY"), nil, false},
		{with("X-Frame-Options: DENY"), framed, true},
		{with("X-Frame-Options: DENY", "Server: a"), framed, true},
		{with("X-Frame-Options: SAMEORIGIN"), framed, false},
		{with("X-Frame-Options: DENY", "X-Frame-Options: DENY"), framed, false},
		{with("X-Frame-Options: DENY", "Link: <x>"), framed, false},
		{with(), framed, false}, // the other server would add it
		{http.Header{"Content-Type": {"text/plain"}, "X-Frame-Options": {"DENY"}}, framed, false},
		{http.Header{"X-Frame-Options": {"DENY"}}, framed, false},
	} {
		url := fmt.Sprintf("example.org/%d", i)
		f := claim(t, s, url)
		if _, err := f.Publish(t.Context(), cache.Meta{Header: tt.header, Reproduced: tt.reproduced}); err != nil {
			t.Fatal(err)
		}
		names, err := filepath.Glob(filepath.Join(dir, "live", "pages", url+".page"))
		if err != nil || len(names) == 1 != tt.public {
			t.Errorf("%v where %v is sent: %v, %v", tt.header, tt.reproduced, names, err)
		}
		hit, err := s.Lookup(mustKey(t, url))
		if err != nil || len(hit.Meta.Header) != len(tt.header) {
			t.Errorf("%v: %v, %v", tt.header, hit.Meta.Header, err)
		}
		_ = hit.Close()
	}
}
