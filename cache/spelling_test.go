package cache_test

import (
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

// TestSpellings: an invalidation reaches a page whose parameters are sorted, and one whose parameters are as they were sent;
// so does what is withheld.
func TestSpellings(t *testing.T) {
	s := open(t, t.TempDir())
	const sorted, sent, other = "h/p?a=1&b=2", "h/p?b=2&a=1", "h/p?b=2&a=2"
	for _, k := range []string{sorted, sent, other} {
		fill(t, s, k, "x")
	}
	sel := cache.Selection{Keys: []cache.Key{mustKey(t, sent)}}
	if err := s.Withhold(t.Context(), "id", sel); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Invalidate(t.Context(), sel); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{sorted: "", sent: "", other: "x"} {
		if got := read(t, s, k); got != want {
			t.Errorf("%s is %q, not %q", k, got, want)
		}
	}
	for _, k := range []string{sorted, sent} {
		f := claim(t, s, k)
		if err := publish(f, "new"); err == nil {
			t.Errorf("%s was published though it is withheld", k)
		}
	}
	if err := s.Release(t.Context(), "id"); err != nil {
		t.Fatal(err)
	}
}
