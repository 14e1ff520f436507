package cache

import (
	"errors"
	"testing"
)

// TestFullFolder: where eviction is behind, pages are not stored, and are again when it has looked; bytes count as pages do.
func TestFullFolder(t *testing.T) {
	s := openStore(t, t.TempDir(), func(o *Options) { o.MaxPages, o.MaxBytes = 20, 1000 })
	for name, held := range map[string][2]int64{"pages": {20 + pagesAhead + 1, 0}, "bytes": {0, 1000 + bytesAhead + 1}} {
		s.keep.looked(held[0]-1, held[1]-1)
		if s.keep.full() {
			t.Errorf("%s: full too early", name)
		}
		s.keep.published(1)
		f, err := s.Claim(t.Context(), keyOf("h/a"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Publish(t.Context(), Meta{}); !errors.Is(err, ErrFull) {
			t.Errorf("%s: %v", name, err)
		}
		_ = f.Close()
		g, err := s.current(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.evict(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		g.drop()
		fillPage(t, s, "h/a", "page", Meta{})
	}
}
