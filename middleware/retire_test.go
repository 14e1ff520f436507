package middleware

import (
	"errors"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// TestRetire: what is claimed when a cache is retired is given up at once, so that others may claim it.
func TestRetire(t *testing.T) {
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	c, err := New(Options{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	k := key.Key{Host: "a.example", Path: "/"}
	before, err := c.take(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	c.Retire()
	if _, err := store.Invalidate(t.Context(), cache.Selection{All: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := before.Publish(t.Context(), cache.Meta{Status: 200}); !errors.Is(err, cache.ErrInvalidated) {
		t.Errorf("what was claimed before is published: %v", err)
	}
	_ = before.Close()
	if _, err := c.take(t.Context(), k); !errors.Is(err, errRetired) {
		t.Errorf("a page is claimed: %v", err)
	}
	fill, err := store.Claim(t.Context(), k)
	if err != nil {
		t.Fatalf("the claim is left: %v", err)
	}
	_ = fill.Close()
}
