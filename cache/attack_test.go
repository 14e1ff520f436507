package cache_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

// The tests here are numbered after docs/SECURITY.md.

// TestAttack09: a page and a folder of the same name are both cacheable, in either order.
func TestAttack09_FileAgainstFolder(t *testing.T) {
	s := open(t, t.TempDir())
	for _, order := range [][]string{{"h/a", "h/a/b", "h/a/"}, {"h/c/", "h/c/d", "h/c"}} {
		for _, p := range order {
			fill(t, s, p, p)
		}
		for _, p := range order {
			want(t, s, p, p)
		}
	}
}

// TestAttack08: names that end like our own files, or name them, are pages like others.
func TestAttack08_NamesLikeOurs(t *testing.T) {
	s := open(t, t.TempDir())
	pages := []string{"h/a", "h/a.tmp", "h/a.gz", "h/a.stale", "h/a.page", "h/a.page.tmp", "h/a.page.gz", "h/a.page/x", "h/index.html",
		"h/.page", "h/inventory.db", "h/a.page.tmp/x", "h/lock", "h/%", "h/a@", "h/a.page@/json", "h/a#json"}
	var kept []string
	for _, p := range pages {
		if p == "h/%" {
			continue // not a path
		}
		kept = append(kept, p)
		fill(t, s, p, "page of "+p)
	}
	for _, p := range kept {
		want(t, s, p, "page of "+p)
	}
	invalidate(t, s, byKey(t, "h/a"))
	for _, p := range kept {
		if p == "h/a" || p == "h/a#json" {
			want(t, s, p, "")
		} else {
			want(t, s, p, "page of "+p)
		}
	}
	wantClean(t, s)
}

// TestAttack06: long segments and paths are stored apart, or refused, never cut short.
func TestAttack06_LongNames(t *testing.T) {
	s := open(t, t.TempDir())
	long := "h/" + strings.Repeat("x", 300)
	for _, p := range []string{long, long + "y", long + "/z", long + "?q=" + strings.Repeat("w", 300)} {
		fill(t, s, p, p)
	}
	for _, p := range []string{long, long + "y", long + "/z", long + "?q=" + strings.Repeat("w", 300)} {
		want(t, s, p, p)
	}
	invalidate(t, s, byPrefix(t, long))
	want(t, s, long, "")
	want(t, s, long+"/z", "")
	want(t, s, long+"?q="+strings.Repeat("w", 300), "")
	want(t, s, long+"y", long+"y")
	wantClean(t, s)
}

// TestAttack11: what is planted at a claim's or a page's name is never followed, written through, or served.
func TestAttack11_PlantedFiles(t *testing.T) {
	t.Parallel()
	outside := filepath.Join(t.TempDir(), "outside")
	for name, plant := range map[string]func(path string) error{
		"symlink":      func(p string) error { return os.Symlink(outside, p) },
		"dead symlink": func(p string) error { return os.Symlink(outside+".none", p) },
		"fifo":         func(p string) error { return syscall.Mkfifo(p, 0o644) },
		"hard link":    func(p string) error { return os.Link(outside, p) },
		"file":         func(p string) error { return os.WriteFile(p, []byte("planted"), 0o644) },
	} {
		for _, suffix := range []string{".page", ".page.tmp", ".page.gz", ".page.stale"} {
			t.Run(name+" at "+suffix, func(t *testing.T) {
				if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
					t.Fatal(err)
				}
				dir := t.TempDir()
				s := open(t, dir)
				fill(t, s, "h/other", "x")
				path := filepath.Join(dir, "cache/current/pages/h/a"+suffix)
				if err := plant(path); err != nil {
					t.Fatal(err)
				}
				want(t, s, "h/a", "")
				if _, err := s.Graced(mustKey(t, "h/a")); err == nil {
					t.Error("served what was planted, as a graced page")
				}
				// The claim may fail once, or the publication: what counts is what is served, and written.
				for range 2 {
					if f, err := s.Claim(t.Context(), mustKey(t, "h/a")); err == nil {
						publish(f, "real")
					}
				}
				if got := read(t, s, "h/a"); got != "real" {
					t.Errorf("served %q", got)
				}
				if b, _ := os.ReadFile(outside); string(b) != "secret" {
					t.Errorf("wrote through it: %q", b)
				}
				invalidate(t, s, byKey(t, "h/a"))
				want(t, s, "h/a", "")
				if _, err := os.Stat(outside); err != nil {
					t.Error("unlinked what it pointed to")
				}
				wantClean(t, s)
			})
		}
	}
}

// TestAttack12: a folder swapped for a link in mid-write changes nothing outside.
func TestAttack12_FolderSwappedForALink(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/d/a", "one")
	f := claim(t, s, "h/d/b")
	folder := filepath.Join(dir, "cache/current/pages/h/d")
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, folder); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a.page", "b.page", "b.page.tmp"} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte("planted"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	publish(f, "two")
	want(t, s, "h/d/a", "")
	want(t, s, "h/d/b", "")
	if f, err := s.Claim(t.Context(), mustKey(t, "h/d/c")); err == nil {
		t.Error("claimed through a link")
		f.Close()
	}
	invalidate(t, s, byKey(t, "h/d/a"))
	invalidate(t, s, byPrefix(t, "h/d"))
	for _, name := range []string{"a.page", "b.page", "b.page.tmp"} {
		if b, err := os.ReadFile(filepath.Join(outside, name)); string(b) != "planted" {
			t.Errorf("%s outside: %q, %v", name, b, err)
		}
	}
	fill(t, s, "h/d/a", "new")
	want(t, s, "h/d/a", "new")
}

// TestAttack13: cp -al gives a claim a second name, which would survive its invalidation.
func TestAttack13_CopiedClaim(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	copied := filepath.Join(dir, "copy")
	cp := func() {
		if out, err := exec.Command("cp", "-al", filepath.Join(dir, "cache/current/pages"), copied).CombinedOutput(); err != nil {
			t.Fatalf("cp: %v %s", err, out)
		}
	}
	f := claim(t, s, "h/a")
	cp()
	invalidate(t, s, byKey(t, "h/a"))
	if err := publish(f, "old"); !errors.Is(err, cache.ErrInvalidated) {
		t.Errorf("published a claim that was copied and invalidated: %v", err)
	}
	want(t, s, "h/a", "")
	os.RemoveAll(copied)
	f = claim(t, s, "h/a")
	cp()
	if err := publish(f, "old"); !errors.Is(err, cache.ErrInvalidated) {
		t.Errorf("published a claim that was copied: %v", err)
	}
	fill(t, s, "h/a", "new")
	want(t, s, "h/a", "new")
	wantClean(t, s)
}

// TestAttack20: however many keys are asked for, files, bytes and inodes stay within the bounds.
func TestAttack20_Bounds(t *testing.T) {
	t.Parallel()
	dir := fastDir(t)
	const bound = 300
	s := open(t, dir, func(o *cache.Options) { o.MaxPages = bound; o.MemoryBytes = 1 << 20 })
	hot := "h/hot"
	fill(t, s, hot, "hot")
	for i := range 3000 {
		fill(t, s, "h/x/"+string(rune('a'+i%26))+"/"+strings.Repeat("n", i%7)+"/y?i="+itoa(i), "page", "t")
		if i%50 == 0 {
			if read(t, s, hot) == "" {
				fill(t, s, hot, "hot")
			}
		}
	}
	waitFor(t, "the bounds to hold", func() bool { return s.Stats().Pages <= bound })
	files := 0
	filepath.WalkDir(filepath.Join(dir, "cache/current"), func(string, os.DirEntry, error) error { files++; return nil })
	if files > 4*bound+100 {
		t.Errorf("%d files and folders for %d pages", files, bound)
	}
	if s.Stats().Evicted < 2000 {
		t.Errorf("evicted %d", s.Stats().Evicted)
	}
	wantClean(t, s)
}

// TestAttack44: foreign files are never served, are found by check, and repaired by dropping.
func TestAttack44_ForeignFiles(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	fill(t, s, "h/a", "a")
	pages := filepath.Join(dir, "cache/current/pages")
	for _, name := range []string{"h/foreign", "h/b.page", "loose", "h/c.page.gz", "h/d.page.stale"} {
		if err := os.WriteFile(filepath.Join(pages, name), []byte("foreign"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []string{"h/b", "h/foreign", "h/d"} {
		want(t, s, k, "")
	}
	r, err := s.Check(t.Context(), cache.CheckOptions{Repair: true})
	if err != nil || len(r.Problems) != 5 {
		t.Errorf("check: %+v, %v", r, err)
	}
	wantClean(t, s)
	want(t, s, "h/a", "a")
}
