package serve

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

// TestServing: health tells why nothing is served from the cache, and what to do; and that does it.
func TestServing(t *testing.T) {
	dir := t.TempDir()
	live := filepath.Join(dir, "live")
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: live, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	want := func(words string) {
		t.Helper()
		err := serving(store)(t.Context())
		if err == nil && words != "" || err != nil && (words == "" || !strings.Contains(err.Error(), words)) {
			t.Errorf("%v, want %q", err, words)
		}
	}
	want("does not serve from the cache")
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("")
	if err := store.Fence(t.Context(), "for a test"); err != nil {
		t.Fatal(err)
	}
	want("fenced: for a test")
	if err := store.LiftFence(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("")
	if err := os.Remove(live); err != nil {
		t.Fatal(err)
	}
	want("cachesrv fence off --dir " + store.Dir())
	if err := store.LiftFence(t.Context()); err != nil {
		t.Fatal(err)
	}
	want("")
}
