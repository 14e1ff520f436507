package cache_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

func itoa(n int) string { return strconv.Itoa(n) }

func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited 20 s for %s", what)
		}
	}
}

// TestBadFolders: each refusal says what, where, and what to do.
func TestBadFolders(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	written := func(format string) string {
		dir := t.TempDir()
		if err := os.MkdirAll(filepath.Join(dir, "cache"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "cache/format"), []byte(format), 0o644); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	used := t.TempDir()
	open(t, used)
	for name, c := range map[string]struct {
		o    cache.Options
		is   error
		says []string
	}{
		"no folder":       {cache.Options{}, nil, []string{"Options.Dir"}},
		"a file":          {options(file), nil, []string{file, "not a directory", "--dir"}},
		"newer version":   {options(written("cachesrv-cache: 99\nlive: /x\n")), cache.ErrIncompatible, []string{"version 99", "version 1", "--dir"}},
		"garbage format":  {options(written("\x00\x01garbage")), cache.ErrIncompatible, []string{"format", "remove"}},
		"not plain":       {cache.Options{Dir: used, Plain: true}, cache.ErrIncompatible, []string{"--plain", "another --dir"}},
		"other live link": {cache.Options{Dir: used, Live: filepath.Join(used, "elsewhere")}, cache.ErrIncompatible, []string{"live link", "elsewhere"}},
		"live is a file":  {cache.Options{Dir: t.TempDir(), Live: file}, nil, []string{file, "--live"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := cache.Open(t.Context(), c.o)
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not %v", err, c.is)
			}
			for _, words := range c.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("%q does not say %q", err, words)
				}
			}
		})
	}
}

// TestUnwritableFolder runs as another user where the tests are root's, who is refused nothing.
func TestUnwritableFolder(t *testing.T) {
	if os.Geteuid() == 0 {
		unprivileged(t)
		return
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o755)
	_, err := cache.Open(t.Context(), options(dir))
	if !errors.Is(err, os.ErrPermission) || !strings.Contains(err.Error(), "--dir") {
		t.Errorf("opened an unwritable folder: %v", err)
	}
}

// TestRetiredElsewhere: an instance that did not retire the generation finds the new one by itself.
func TestRetiredElsewhere(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	fill(t, s, "h/a", "old", "t")
	fill(t, other, "h/b", "old", "t")
	late := claim(t, other, "h/c")
	invalidate(t, s, cache.Selection{All: true})
	for _, store := range []*cache.Store{s, other} {
		want(t, store, "h/a", "")
		want(t, store, "h/b", "")
	}
	publish(late, "old", "t")
	want(t, s, "h/c", "")
	want(t, other, "h/c", "")
	fill(t, other, "h/a", "new", "t")
	want(t, s, "h/a", "new")
	invalidate(t, other, byTag("t")) // in the new generation's inventory
	want(t, s, "h/a", "")
	fill(t, s, "h/a", "newer")
	invalidate(t, other, byKey(t, "h/a"))
	want(t, s, "h/a", "")
	waitFor(t, "the trash to be emptied", func() bool {
		names, err := os.ReadDir(filepath.Join(dir, "cache/trash"))
		return err == nil && len(names) == 0
	})
	wantClean(t, s)
}

// TestHalfRetired: a retirement that was cut short after its rename is finished.
func TestHalfRetired(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "old")
	current, err := os.Readlink(filepath.Join(dir, "cache/current"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "cache", current), filepath.Join(dir, "cache/trash/half")); err != nil {
		t.Fatal(err)
	}
	want(t, s, "h/a", "")
	waitFor(t, "a page to be cacheable again", func() bool {
		if f, err := s.Claim(t.Context(), mustKey(t, "h/a")); err == nil {
			publish(f, "new")
		}
		return read(t, s, "h/a") == "new"
	})
}

func TestWithhold(t *testing.T) {
	for name, sel := range map[string]cache.Selection{
		"key": byKey(t, "h/a"), "key on any host": byKey(t, "/a"), "tag": byTag("t"), "prefix": byPrefix(t, "h/"), "all": {All: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, other := open(t, dir), open(t, dir)
			before := claim(t, s, "h/a")
			if err := s.Withhold(t.Context(), "tx 1", sel); err != nil {
				t.Fatal(err)
			}
			invalidate(t, s, sel)
			publish(before, "old", "t")
			want(t, s, "h/a", "")
			f := claim(t, other, "h/a")
			if err := publish(f, "may be old", "t"); !errors.Is(err, cache.ErrInvalidated) {
				t.Errorf("published what is withheld: %v", err)
			}
			if name != "all" && name != "prefix" {
				fill(t, other, "h/unrelated", "x")
			}
			late := open(t, dir)
			if ids, err := late.Withheld(t.Context()); err != nil || len(ids) != 1 || ids[0] != "tx 1" {
				t.Errorf("withheld: %v, %v", ids, err)
			}
			if err := late.Release(t.Context(), "tx 1"); err != nil {
				t.Fatal(err)
			}
			fill(t, other, "h/a", "new", "t")
			want(t, s, "h/a", "new")
		})
	}
}

func TestSourcePositions(t *testing.T) {
	dir := t.TempDir()
	s, other := open(t, dir), open(t, dir)
	if p, err := s.SourcePosition(t.Context(), "db"); p != "" || err != nil {
		t.Errorf("before: %q, %v", p, err)
	}
	if err := s.SetSourcePosition(t.Context(), "db", "10:20:"); err != nil {
		t.Fatal(err)
	}
	invalidate(t, s, cache.Selection{All: true}) // drops pages, not what is known of the source
	if p, err := other.SourcePosition(t.Context(), "db"); p != "10:20:" || err != nil {
		t.Errorf("after: %q, %v", p, err)
	}
}

func TestListAndHits(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "aa", "t", "u")
	fill(t, s, "h/b", "b")
	fill(t, s, "h/c", "c")
	invalidate(t, s, byKey(t, "h/c"))
	for range 5 {
		want(t, s, "h/a", "aa")
	}
	waitFor(t, "hits to be written", func() bool {
		n := 0
		for e, err := range s.List(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			if e.Key.Path == "/a" && e.Hits == 5 && e.Page.Size == 2 && len(e.Page.Meta.Tags) == 2 && e.File == "pages/h/a.page" {
				return true
			}
		}
		if n != 2 {
			t.Fatalf("%d entries", n)
		}
		return false
	})
}

// TestPrivatePages: only what another server can reproduce exactly has the name it looks for.
func TestPrivatePages(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for name, c := range map[string]struct {
		meta   cache.Meta
		suffix string
	}{
		"plain":     {cache.Meta{Header: html}, ""},
		"not-found": {cache.Meta{Header: html, Status: 404}, "!"},
		"expiring":  {cache.Meta{Header: html, Expires: time.Now().Add(time.Hour)}, "!"},
		"headers":   {cache.Meta{Header: map[string][]string{"Content-Type": html["Content-Type"], "X": {"y"}}}, "!"},
		"json":      {cache.Meta{Header: map[string][]string{"Content-Type": {"application/json"}}}, "!"},
		"untyped":   {cache.Meta{}, "!"},
	} {
		f := claim(t, s, "h/"+name)
		f.Write([]byte(name))
		if _, err := f.Publish(t.Context(), c.meta); err != nil {
			t.Fatal(err)
		}
		f.Close()
		if _, err := os.Stat(filepath.Join(dir, "live/pages/h", name+".page"+c.suffix)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want(t, s, "h/"+name, name)
		if d := invalidate(t, s, byKey(t, "h/"+name)); d.Pages != 1 {
			t.Errorf("%s: dropped %+v", name, d)
		}
	}
	wantClean(t, s)
}

func TestPublishRefuses(t *testing.T) {
	s := open(t, t.TempDir())
	for name, m := range map[string]cache.Meta{
		"too many tags": {Tags: strings.Split(strings.Repeat("t,", 200)+"t", ",")},
		"an empty tag":  {Tags: []string{""}},
		"a bad tag":     {Tags: []string{"a\nb"}},
		"large headers": {Header: map[string][]string{"X": {strings.Repeat("x", 20_000)}}},
	} {
		f := claim(t, s, "h/a")
		if _, err := f.Publish(t.Context(), m); err == nil {
			t.Errorf("%s: published", name)
		}
		f.Close()
		want(t, s, "h/a", "")
	}
	late := open(t, t.TempDir(), func(o *cache.Options) { o.ClaimTimeout = time.Nanosecond })
	if err := publish(claim(t, late, "h/a"), "x"); !errors.Is(err, cache.ErrInvalidated) {
		t.Errorf("published past the claim's life: %v", err)
	}
	wantClean(t, s)
}

// TestRowsOfNewerPagesStay: dropping a subtree when nothing was ever published must not take away the rows of what is
// published next, or no invalidation by tag would find those pages.
func TestRowsOfNewerPagesStay(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for round := range 3 {
		f := claim(t, s, "h/d/a") // makes the folder
		invalidate(t, s, byPrefix(t, "h/d"))
		f.Close()
		fill(t, s, "h/d/a", "new", "t")
		waitFor(t, "upkeep to have written the hits, so rows too were deleted", func() bool {
			want(t, s, "h/d/a", "new")
			for e, err := range s.List(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				return e.Hits > 0
			}
			return false
		})
		wantClean(t, s)
		if d := invalidate(t, s, byTag("t")); d.Pages != 1 {
			t.Errorf("round %d: dropped %+v", round, d)
		}
		want(t, s, "h/d/a", "")
	}
}
