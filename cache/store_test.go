package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// open opens a store in dir, ready to serve.
func open(t testing.TB, dir string, change ...func(*cache.Options)) *cache.Store {
	t.Helper()
	o := options(dir)
	for _, f := range change {
		f(&o)
	}
	s, err := cache.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func options(dir string) cache.Options {
	return cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: slog.New(slog.DiscardHandler)}
}

func mustKey(t testing.TB, s string) cache.Key {
	t.Helper()
	k, err := key.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func claim(t testing.TB, s *cache.Store, k string) *cache.Fill {
	t.Helper()
	f, err := s.Claim(t.Context(), mustKey(t, k))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

var html = http.Header{"Content-Type": {cache.PlainContentType}}

func publish(f *cache.Fill, body string, tags ...string) error {
	if _, err := f.Write([]byte(body)); err != nil {
		return err
	}
	defer f.Close()
	_, err := f.Publish(context.Background(), cache.Meta{Header: html, Tags: tags})
	return err
}

// fill stores a page.
func fill(t testing.TB, s *cache.Store, k, body string, tags ...string) {
	t.Helper()
	f, err := s.Claim(t.Context(), mustKey(t, k))
	if err == nil {
		err = publish(f, body, tags...)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// read returns what is served for a key; "" for a miss.
func read(t testing.TB, s *cache.Store, k string) string {
	t.Helper()
	hit, err := s.Lookup(mustKey(t, k))
	if errors.Is(err, cache.ErrMiss) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer hit.Close()
	return content(t, hit.Identity())
}

func content(t testing.TB, b cache.Body) string {
	t.Helper()
	got := b.Bytes
	if b.File != nil {
		var err error
		if got, err = io.ReadAll(io.NewSectionReader(b.File, 0, b.Size)); err != nil {
			t.Fatal(err)
		}
	}
	if int64(len(got)) != b.Size {
		t.Fatalf("body of %d bytes, its size says %d", len(got), b.Size)
	}
	return string(got)
}

func want(t testing.TB, s *cache.Store, k, body string) {
	t.Helper()
	if got := read(t, s, k); got != body {
		t.Errorf("%s: served %.60q, want %.60q", k, got, body)
	}
}

func invalidate(t testing.TB, s *cache.Store, sel cache.Selection) cache.Dropped {
	t.Helper()
	d, err := s.Invalidate(t.Context(), sel)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func byKey(t testing.TB, keys ...string) (sel cache.Selection) {
	for _, k := range keys {
		sel.Keys = append(sel.Keys, mustKey(t, k))
	}
	return sel
}

func byTag(tags ...string) cache.Selection { return cache.Selection{Tags: tags} }

func byPrefix(t testing.TB, prefixes ...string) (sel cache.Selection) {
	for _, text := range prefixes {
		p, err := key.ParsePrefix(text)
		if err != nil {
			t.Fatal(err)
		}
		sel.Prefixes = append(sel.Prefixes, p)
	}
	return sel
}

// wantClean fails when Check finds anything at all.
func wantClean(t testing.TB, s *cache.Store) cache.Report {
	t.Helper()
	r, err := s.Check(t.Context(), cache.CheckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Problems {
		t.Errorf("check: %s: %s", p.File, p.What)
	}
	return r
}

func TestFillAndHit(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	want(t, s, "h/a", "")
	fill(t, s, "h/a", "one", "tag:a")
	want(t, s, "h/a", "one")
	for _, path := range []string{"h/", "h/a/", "h/a/b", "h/a?x=1", "h/A", "h/a#json"} {
		want(t, s, path, "")
		fill(t, s, path, "page of "+path)
	}
	for _, path := range []string{"h/", "h/a/", "h/a/b", "h/a?x=1", "h/A", "h/a#json"} {
		want(t, s, path, "page of "+path)
	}
	want(t, s, "h/a", "one")
	r := wantClean(t, s)
	if r.Pages != 7 || r.Rows != 7 || r.LostRows != 0 {
		t.Errorf("check counts %+v", r)
	}

	other := open(t, dir) // another process would see the same
	want(t, other, "h/a", "one")
	hit, err := other.Lookup(mustKey(t, "h/a"))
	if err != nil {
		t.Fatal(err)
	}
	if hit.Meta.Status != 200 || hit.Meta.Header.Get("Content-Type") != cache.PlainContentType || hit.Meta.Tags[0] != "tag:a" {
		t.Errorf("read back from disk: %+v", hit.Meta)
	}
}

func TestLargePage(t *testing.T) {
	s := open(t, t.TempDir(), func(o *cache.Options) { o.MemoryPageMax = 1000; o.PageMax = 100_000 })
	big := string(bytes.Repeat([]byte("0123456789"), 5000))
	fill(t, s, "h/big", big)
	want(t, s, "h/big", big)
	want(t, s, "h/big", big)
	f := claim(t, s, "h/huge")
	if _, err := f.Write(make([]byte, 100_001)); !errors.Is(err, cache.ErrTooLarge) {
		t.Errorf("over PageMax: %v", err)
	}
	if _, err := f.Publish(t.Context(), cache.Meta{}); !errors.Is(err, cache.ErrTooLarge) {
		t.Errorf("published after a failed write: %v", err)
	}
	f.Close()
	invalidate(t, s, byKey(t, "h/big"))
	want(t, s, "h/big", "")
	wantClean(t, s)
}

// TestInvalidationReachesFills runs each kind of invalidation at each moment of a fill.
func TestInvalidationReachesFills(t *testing.T) {
	t.Parallel()
	kinds := map[string]func(t *testing.T, s *cache.Store) cache.Selection{
		"key":        func(t *testing.T, s *cache.Store) cache.Selection { return byKey(t, "h/d/a") },
		"any host":   func(t *testing.T, s *cache.Store) cache.Selection { return byKey(t, "/d/a") },
		"tag":        func(t *testing.T, s *cache.Store) cache.Selection { return byTag("other", "tag:a") },
		"prefix":     func(t *testing.T, s *cache.Store) cache.Selection { return byPrefix(t, "h/d") },
		"own prefix": func(t *testing.T, s *cache.Store) cache.Selection { return byPrefix(t, "h/d/a") },
		"host":       func(t *testing.T, s *cache.Store) cache.Selection { return byPrefix(t, "h/") },
		"every host": func(t *testing.T, s *cache.Store) cache.Selection { return byPrefix(t, "/d") },
		"all":        func(t *testing.T, s *cache.Store) cache.Selection { return cache.Selection{All: true} },
		"soft, no grace": func(t *testing.T, s *cache.Store) cache.Selection {
			return cache.Selection{Soft: true, Tags: []string{"tag:a"}}
		},
	}
	for name, selection := range kinds {
		for _, path := range []string{"h/d/a", "h/d/a?q=1", "h/d/a#json"} {
			if path == "h/d/a?q=1" && (name == "key" || name == "any host") {
				continue // another URL
			}
			t.Run(name+" "+path, func(t *testing.T) {
				s := open(t, t.TempDir())
				t.Run("while it renders", func(t *testing.T) {
					f := claim(t, s, path)
					invalidate(t, s, selection(t, s))
					if err := publish(f, "old", "tag:a"); !errors.Is(err, cache.ErrInvalidated) {
						t.Errorf("publish: %v", err)
					}
					want(t, s, path, "")
				})
				t.Run("after it was published", func(t *testing.T) {
					fill(t, s, path, "old", "tag:a")
					want(t, s, path, "old")
					if d := invalidate(t, s, selection(t, s)); d.Pages != 1 {
						t.Errorf("dropped %+v", d)
					}
					want(t, s, path, "")
				})
				t.Run("before its claim", func(t *testing.T) {
					invalidate(t, s, selection(t, s))
					fill(t, s, path, "new", "tag:a")
					want(t, s, path, "new")
				})
				wantClean(t, s)
			})
		}
	}
}

// TestOtherPagesStay: an invalidation drops what it names, no more.
func TestOtherPagesStay(t *testing.T) {
	s := open(t, t.TempDir())
	pages := []string{"h/a", "h/a/b", "h/ab", "h/a?x=1", "h/b", "other/a", "h/a/b#json"}
	for _, sel := range []struct {
		name string
		sel  cache.Selection
		gone []string
	}{
		{"key", byKey(t, "h/a"), []string{"h/a"}},
		{"key with variants", byKey(t, "h/a/b"), []string{"h/a/b", "h/a/b#json"}},
		{"variant", byKey(t, "h/a/b#json"), []string{"h/a/b#json"}},
		{"prefix", byPrefix(t, "h/a"), []string{"h/a", "h/a/b", "h/a?x=1", "h/a/b#json"}},
		{"tag", byTag("tag:h/b"), []string{"h/b"}},
		{"unknown tag", byTag("tag:none"), nil},
		{"all", cache.Selection{All: true}, pages},
	} {
		t.Run(sel.name, func(t *testing.T) {
			for _, p := range pages {
				if read(t, s, p) == "" {
					fill(t, s, p, p, "tag:"+p)
				}
			}
			dry := sel.sel
			dry.DryRun = true
			if d := invalidate(t, s, dry); d.Pages != len(sel.gone) {
				t.Errorf("a dry run says %+v, want %d pages", d, len(sel.gone))
			}
			estimated := sel.sel.All || len(sel.sel.Prefixes) > 0
			if d := invalidate(t, s, sel.sel); d.Pages != len(sel.gone) && !(estimated && d.Pages > len(sel.gone)) {
				t.Errorf("dropped %+v, want %d pages", d, len(sel.gone))
			}
			for _, p := range pages {
				expected := p
				for _, g := range sel.gone {
					if g == p {
						expected = ""
					}
				}
				want(t, s, p, expected)
			}
			wantClean(t, s)
		})
	}
}

// TestBareUnlinks: rm -f page.tmp; rm -f page is a complete invalidation of a plain folder.
func TestBareUnlinks(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, func(o *cache.Options) { o.Plain = true })
	page := filepath.Join(dir, "cache/current/pages/h/a.page")
	rm := func() {
		os.Remove(page + ".tmp")
		os.Remove(page)
	}
	fill(t, s, "h/a", "old")
	rm()
	want(t, s, "h/a", "")
	f := claim(t, s, "h/a")
	rm()
	if err := publish(f, "old"); !errors.Is(err, cache.ErrInvalidated) {
		t.Errorf("a fill survived rm: %v", err)
	}
	want(t, s, "h/a", "")
	first, second := claim(t, s, "h/a"), (*cache.Fill)(nil)
	rm()
	second = claim(t, s, "h/a")
	if err := publish(first, "old"); !errors.Is(err, cache.ErrInvalidated) {
		t.Errorf("a fill survived rm and another's claim: %v", err)
	}
	if err := publish(second, "new"); err != nil {
		t.Error(err)
	}
	want(t, s, "h/a", "new")
	f = claim(t, s, "h/b")
	f.Write([]byte("x"))
	if _, err := f.Publish(t.Context(), cache.Meta{Status: 404, Header: html}); !errors.Is(err, cache.ErrNotPlain) {
		t.Errorf("a 404 in a plain folder: %v", err)
	}
	f.Close()
	if _, err := s.Claim(t.Context(), mustKey(t, "h/a#json")); err == nil {
		t.Error("a plain folder gave a claim on a variant")
	}
	wantClean(t, s)
}

func TestOneClaimPerURL(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	f := claim(t, s, "h/a")
	for _, store := range []*cache.Store{s, other} {
		for _, path := range []string{"h/a", "h/a#json"} {
			if _, err := store.Claim(t.Context(), mustKey(t, path)); !errors.Is(err, cache.ErrClaimed) {
				t.Errorf("a second claim of %s: %v", path, err)
			}
		}
	}
	f.Close()
	claim(t, other, "h/a").Close()
	wantClean(t, s)
}

func TestSoftPurge(t *testing.T) {
	s := open(t, t.TempDir())
	withGrace := func(k, body string, grace time.Duration) {
		f := claim(t, s, k)
		f.Write([]byte(body))
		if _, err := f.Publish(t.Context(), cache.Meta{Header: html, Tags: []string{"t"}, Grace: grace}); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	graced := func(k string) string {
		hit, err := s.Graced(mustKey(t, k))
		if err != nil {
			return ""
		}
		defer hit.Close()
		if !hit.Graced {
			t.Error("a graced page does not say so")
		}
		return content(t, hit.Identity())
	}
	for name, sel := range map[string]cache.Selection{
		"tag": byTag("t"), "key": byKey(t, "h/a"), "prefix": byPrefix(t, "h/"), "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			sel.Soft = true
			withGrace("h/a", "old", time.Hour)
			if d := invalidate(t, s, sel); d.Pages != 1 {
				t.Errorf("dropped %+v", d)
			}
			want(t, s, "h/a", "")
			if got := graced("h/a"); got != "old" {
				t.Errorf("graced page: %q", got)
			}
			invalidate(t, s, sel) // again: it stays graced
			if got := graced("h/a"); got != "old" {
				t.Errorf("graced page after a second soft purge: %q", got)
			}
			wantClean(t, s)
			sel.Soft = false
			invalidate(t, s, sel)
			if got := graced("h/a"); got != "" {
				t.Errorf("a graced page survived a hard invalidation: %q", got)
			}
			withGrace("h/a", "old", time.Hour)
			sel.Soft = true
			invalidate(t, s, sel)
			fill(t, s, "h/a", "new")
			want(t, s, "h/a", "new")
			if got := graced("h/a"); got != "" {
				t.Errorf("a graced page survived a new one: %q", got)
			}
			withGrace("h/short", "x", time.Nanosecond)
			sel.Keys = byKey(t, "h/short").Keys
			invalidate(t, s, sel)
			if got := graced("h/short"); got != "" {
				t.Errorf("served past its grace: %q", got)
			}
			invalidate(t, s, cache.Selection{All: true})
			wantClean(t, s)
		})
	}
}

func TestExpiry(t *testing.T) {
	s := open(t, t.TempDir())
	f := claim(t, s, "h/a")
	f.Write([]byte("old"))
	if _, err := f.Publish(t.Context(), cache.Meta{Header: html, Expires: time.Now().Add(-time.Second), Grace: time.Hour}); err != nil {
		t.Fatal(err)
	}
	f.Close()
	want(t, s, "h/a", "")
	if hit, err := s.Graced(mustKey(t, "h/a")); err != nil || content(t, hit.Identity()) != "old" {
		t.Errorf("an expired page within its grace: %v", err)
	}
	fill(t, s, "h/a", "new")
	want(t, s, "h/a", "new")
	wantClean(t, s)
}

func TestTwins(t *testing.T) {
	for _, limit := range []int64{100, 1 << 20} { // as a large page, and as one in memory
		t.Run(fmt.Sprint(limit), func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir, func(o *cache.Options) { o.MemoryPageMax = limit })
			body := string(bytes.Repeat([]byte("compress me "), 500))
			fill(t, s, "h/a", body)
			for _, enc := range []string{"gzip", "br", "zstd"} {
				twin := waitTwin(t, s, "h/a", enc)
				if len(twin) >= len(body) {
					t.Errorf("%s twin of %d bytes", enc, len(twin))
				}
			}
			if r := wantClean(t, s); r.Twins != 3 {
				t.Errorf("check counts %d twins", r.Twins)
			}
			if d := invalidate(t, s, byKey(t, "h/a")); d.Twins != 3 {
				t.Errorf("dropped %+v", d)
			}
			fill(t, s, "h/a", body, "t")
			waitTwin(t, s, "h/a", "gzip")
			if d := invalidate(t, s, byTag("t")); d.Twins != 1 {
				t.Errorf("dropped %+v", d)
			}
			wantClean(t, s)
		})
	}
}

func waitTwin(t testing.TB, s *cache.Store, k, enc string) []byte {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		hit, err := s.Lookup(mustKey(t, k))
		if err != nil {
			t.Fatal(err)
		}
		if b, ok := hit.Encoded(enc); ok {
			twin := []byte(content(t, b))
			if b.ETag == hit.Identity().ETag {
				t.Error("a twin has the ETag of its page")
			}
			hit.Close()
			return twin
		}
		hit.Close()
	}
	t.Fatal("no twin was made")
	return nil
}

func TestFenceAndLift(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	fill(t, s, "h/a", "one")
	want(t, other, "h/a", "one")
	if err := other.Fence(t.Context(), "by hand"); err != nil {
		t.Fatal(err)
	}
	for _, store := range []*cache.Store{s, other} {
		if _, err := store.Lookup(mustKey(t, "h/a")); !errors.Is(err, cache.ErrFenced) || !errors.Is(err, cache.ErrMiss) {
			t.Errorf("lookup behind a fence: %v", err)
		}
	}
	late := open(t, dir) // a restart does not lift it
	want(t, late, "h/a", "")
	invalidate(t, s, byKey(t, "h/a"))
	fill(t, s, "h/a", "two")
	if err := s.LiftFence(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, store := range []*cache.Store{s, other, late} {
		want(t, store, "h/a", "two")
	}
}

func TestNothingServedBeforeUnfence(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "one")
	joined, err := cache.Open(t.Context(), options(dir))
	if err != nil {
		t.Fatal(err)
	}
	defer joined.Close()
	want(t, joined, "h/a", "") // it has not replayed yet
	want(t, s, "h/a", "one")
}
