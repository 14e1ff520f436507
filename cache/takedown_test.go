package cache_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gofrs/flock"

	"github.com/cachesrv/cachesrv/cache"
)

// takeDown is TakeDown while others hold locks of the folder (by name) for so long. Waiting takes no time.
func takeDown(ctx context.Context, t *testing.T, dir string, others map[string]time.Duration) (removed bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		for name, d := range others {
			other := flock.New(filepath.Join(dir, "cache", name))
			if ok, err := other.TryLock(); err != nil || !ok {
				t.Fatalf("lock %s: %t, %v", name, ok, err)
			}
			time.AfterFunc(d, func() { _ = other.Close() })
		}
		began := time.Now()
		live, gone, err := cache.TakeDown(ctx, dir)
		if err != nil || live != filepath.Join(dir, "live") {
			t.Errorf("%s, %v", live, err)
		}
		if took := time.Since(began); took > 2200*time.Millisecond {
			t.Errorf("it took %v", took)
		}
		removed = gone
		time.Sleep(time.Hour) // the others end
	})
	if _, err := os.Lstat(filepath.Join(dir, "live")); removed != errors.Is(err, fs.ErrNotExist) {
		t.Errorf("removed: %t, and then: %v", removed, err)
	}
	return removed
}

// TestTakeDown: the link of a program that lives stays, whoever else opens, closes or looks, and however long that takes. That of
// the dead goes, whoever else does.
func TestTakeDown(t *testing.T) {
	for name, others := range map[string]map[string]time.Duration{
		"alone":                {},
		"someone opens":        {"opening": time.Second},
		"someone opens slowly": {"opening": time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			if takeDown(t.Context(), t, dir, others) {
				t.Error("the link of a program that lives is gone")
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("current", filepath.Join(dir, "live")); err != nil { // as a program leaves it that is killed
				t.Fatal(err)
			}
			if !takeDown(t.Context(), t, dir, others) {
				t.Error("the link of a program that is dead stays")
			}
		})
	}
}

// TestTakeDownBesideLooks: who looks whether anyone serves is not taken for one that does. That holds for a TakeDown that was told
// to hurry, too.
func TestTakeDownBesideLooks(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := open(t, dir)
	if takeDown(ctx, t, dir, nil) {
		t.Error("the link of a program that lives is gone")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("current", filepath.Join(dir, "live")); err != nil {
		t.Fatal(err)
	}
	if !takeDown(ctx, t, dir, map[string]time.Duration{"serving": 50 * time.Millisecond}) {
		t.Error("someone has looked, and the link of a program that is dead stays")
	}
}

// TestTakeDownRefuses: what is no folder of ours, or no link, is left alone.
func TestTakeDownRefuses(t *testing.T) {
	if _, _, err := cache.TakeDown(t.Context(), t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	live := filepath.Join(dir, "live")
	if err := os.WriteFile(live, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, removed, err := cache.TakeDown(t.Context(), dir); err == nil || removed {
		t.Errorf("a file: removed: %t, %v", removed, err)
	}
	if _, err := os.Stat(live); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "cache", "format"), []byte("live: here"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cache.TakeDown(t.Context(), dir); !errors.Is(err, cache.ErrIncompatible) {
		t.Errorf("a format that does not say where: %v", err)
	}
}
