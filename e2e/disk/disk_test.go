//go:build e2e

// Package disk tests the store on file systems that misbehave: one that is full, and one that can't keep the protocol.
package disk

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

var html = http.Header{"Content-Type": {cache.PlainContentType}}

// TestUnsupportedFileSystem: FUSE (bindfs) publishes files whose claim is gone. It is found out, not assumed.
func TestUnsupportedFileSystem(t *testing.T) {
	below, mounted := t.TempDir(), t.TempDir()
	run(t, "bindfs", below, mounted)
	t.Cleanup(func() { run(t, "umount", mounted) })
	s, err := cache.Open(t.Context(), cache.Options{Dir: mounted})
	if err == nil {
		s.Close()
		t.Fatal("it was opened")
	}
	if !errors.Is(err, cache.ErrUnsupported) || !strings.Contains(err.Error(), mounted) || !strings.Contains(err.Error(), "use a folder on a local file system") {
		t.Errorf("refused with: %v", err)
	}
}

// TestFullDisk: a full disk (ENOSPC at every call that allocates) costs hits, never correctness. PyPI's fault 9.
func TestFullDisk(t *testing.T) {
	for name, options := range map[string]string{
		"bytes":  "size=3m,nr_inodes=30000",
		"inodes": "size=64m,nr_inodes=10400",
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := openSmall(t, options)
			body := strings.Repeat("x", 20_000)
			if err := fill(t.Context(), s, "h/a", body); err != nil {
				t.Fatal(err)
			}
			// Fill the disk to the last byte and inode, from outside.
			ballast := filepath.Join(dir, "ballast")
			if err := os.Mkdir(ballast, 0o755); err != nil {
				t.Fatal(err)
			}
			stuff(ballast)
			full := 0
			for i := range 20 {
				if err := fill(t.Context(), s, fmt.Sprintf("h/section%d/%d", i, i), body); err != nil {
					if !errors.Is(err, syscall.ENOSPC) && !strings.Contains(err.Error(), "full") {
						t.Errorf("fill %d: %v", i, err)
					}
					full++
				}
			}
			if full == 0 {
				t.Fatal("the disk was not full")
			}
			if got := read(t, s, "h/a"); got != body {
				t.Errorf("the page that was there: %d bytes", len(got))
			}
			// Invalidation by key needs no space; by tag, it drops more rather than nothing.
			if _, err := s.Invalidate(t.Context(), cache.Selection{Tags: []string{"t"}}); err != nil {
				t.Errorf("invalidate by tag: %v", err)
			}
			for i := range 20 {
				if got := read(t, s, fmt.Sprintf("h/section%d/%d", i, i)); got != "" {
					t.Errorf("page %d survived its tag", i)
				}
			}
			if got := read(t, s, "h/a"); got != "" {
				t.Error("the page survived its tag")
			}
			if err := os.RemoveAll(ballast); err != nil {
				t.Fatal(err)
			}
			if err := fill(t.Context(), s, "h/a", "new"); err != nil {
				t.Errorf("with space again: %v", err)
			}
			if got := read(t, s, "h/a"); got != "new" {
				t.Errorf("with space again: served %q", got)
			}
			r, err := s.Check(t.Context(), cache.CheckOptions{})
			if err != nil || len(r.Problems) > 0 {
				t.Errorf("check: %+v, %v", r.Problems, err)
			}
		})
	}
}

// TestDiskFullOfOurOwnTrash: what fills the disk is our own trash. Dropping everything works, and the cache recovers by
// itself.
func TestDiskFullOfOurOwnTrash(t *testing.T) {
	s, _ := openSmall(t, "size=3m,nr_inodes=30000")
	for i := range 2000 {
		if fill(t.Context(), s, fmt.Sprintf("h/%d", i), strings.Repeat("x", 4000)) != nil {
			break
		}
	}
	for range 3 {
		if _, err := s.Invalidate(t.Context(), cache.Selection{All: true}); err != nil {
			t.Errorf("drop everything: %v", err)
		}
		if got := read(t, s, "h/0"); got != "" {
			t.Error("a page survived")
		}
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := fill(t.Context(), s, "h/a", "new")
		if err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("nothing can be stored any more: %v", err)
		}
	}
	if got := read(t, s, "h/a"); got != "new" {
		t.Errorf("served %q", got)
	}
}

// openSmall opens a store on a tmpfs of its own, with these mount options.
func openSmall(t *testing.T, options string) (s *cache.Store, dir string) {
	t.Helper()
	dir = t.TempDir()
	run(t, "mount", "-t", "tmpfs", "-o", options, "tmpfs", dir)
	t.Cleanup(func() { run(t, "umount", "-l", dir) })
	s, err := cache.Open(t.Context(), cache.Options{
		Dir: dir, Live: filepath.Join(dir, "live"), MinFree: 1, SweepInterval: -1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if err := s.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// stuff writes files until not one more can be made.
func stuff(dir string) {
	for size := 1 << 20; ; {
		f, err := os.CreateTemp(dir, "")
		if err != nil {
			return
		}
		if _, err = f.Write(make([]byte, size)); err != nil {
			if size == 0 {
				f.Close()
				return
			}
			if size /= 16; size < 512 {
				size = 0
			}
		}
		f.Close()
	}
}

func fill(ctx context.Context, s *cache.Store, path, body string) error {
	k, err := key.Parse(path)
	if err != nil {
		return err
	}
	f, err := s.Claim(ctx, k)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Write([]byte(body)); err != nil {
		return err
	}
	_, err = f.Publish(ctx, cache.Meta{Header: html, Tags: []string{"t"}})
	return err
}

func read(t *testing.T, s *cache.Store, path string) string {
	t.Helper()
	k, err := key.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	hit, err := s.Lookup(k)
	if err != nil {
		return ""
	}
	defer hit.Close()
	return string(hit.Identity().Bytes)
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s (these tests mount file systems: run them as root; install with e2e/install.sh)", name, strings.Join(args, " "), err, out)
	}
}
