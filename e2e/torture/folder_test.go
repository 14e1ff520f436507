package torture

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

var html = cache.Meta{Header: map[string][]string{"Content-Type": {ContentType}}}

// published returns a plain folder in which each page is published at version 1, and its store, for this test.
func published(t *testing.T, site Site) (*Folder, *cache.Store) {
	t.Helper()
	dir := t.TempDir()
	f := &Folder{Dir: dir, Live: filepath.Join(dir, "live")}
	s, err := cache.Open(t.Context(), cache.Options{Dir: f.Dir, Live: f.Live, Plain: true, SweepInterval: -1})
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
	for page := range site.Pages {
		fill, err := s.Claim(t.Context(), site.Key(page))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fill.Write(site.Body(page, 1)); err != nil {
			t.Fatal(err)
		}
		hit, err := fill.Publish(t.Context(), html)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(hit.Close(), fill.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return f, s
}

// file is where a page's published file lies.
func (f *Folder) file(site Site, page int) string {
	return filepath.Join(f.pages(), site.Key(page).File().Page())
}

func TestFileReader(t *testing.T) {
	site := Site{Host: "fake.test", Pages: 2, Size: 3000}
	f, _ := published(t, site)
	r := &fileReader{folder: f, pages: numbered{site}, memos: newMemos(site.Pages)}
	get := Ask{Method: "GET"}
	if a, err := r.ask(0, get); err != nil || a.Version != 1 || a.From != File {
		t.Errorf("page 0 is %+v, %v", a, err)
	}
	if a, err := r.ask(0, Ask{Method: "GET", Encoding: "gzip"}); err != nil || a.From != Absent {
		t.Errorf("its twin is %+v, %v, but there is none", a, err)
	}
	if err := os.Truncate(f.file(site, 0), 1024); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ask(0, get); !errors.Is(err, ErrTorn) {
		t.Errorf("half a page is %v", err)
	}
	if err := os.Rename(f.file(site, 1), f.file(site, 0)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.ask(0, get); !errors.Is(err, ErrTorn) {
		t.Errorf("another page's file is %v", err)
	}
	if a, err := r.ask(1, get); err != nil || a.From != Absent {
		t.Errorf("a page that is gone is %+v, %v", a, err)
	}
}

// committed is a committer that only counts.
type committed struct{ version int64 }

func (c *committed) String() string { return "nothing" }

func (c *committed) Commit(context.Context, int) (Commit, error) {
	c.version++
	return Commit{Version: c.version}, nil
}

// cutOff is a committer that doesn't learn what became of its commits.
type cutOff struct{}

var errCutOff = errors.New("cut off")

func (cutOff) String() string { return "nothing" }

func (cutOff) Commit(context.Context, int) (Commit, error) { return Commit{}, errCutOff }

func TestUnlink(t *testing.T) {
	site := Site{Host: "fake.test", Pages: 4, Size: 3000}
	f, s := published(t, site)
	u := &Unlink{Plain: &committed{version: 1}, Folder: f, Site: site, Every: 2}
	for page, by := range []string{"unlink", "rm"} {
		fill, err := s.Claim(t.Context(), site.Key(page))
		if err != nil {
			t.Fatal(err)
		}
		if c, err := u.Commit(t.Context(), page); err != nil || c.Version != int64(2+page) || c.Invalidation == 0 {
			t.Fatalf("the commit is %+v, %v", c, err)
		}
		if _, err := s.Lookup(site.Key(page)); !errors.Is(err, cache.ErrMiss) {
			t.Errorf("%s left the page: %v", by, err)
		}
		if _, err := fill.Publish(t.Context(), html); !errors.Is(err, cache.ErrInvalidated) {
			t.Errorf("%s left the claim: %v", by, err)
		}
		if err := fill.Close(); err != nil {
			t.Fatal(err)
		}
	}
	u.Plain = cutOff{}
	if _, err := u.Commit(t.Context(), 2); !errors.Is(err, errCutOff) {
		t.Errorf("the error is %v", err)
	}
	if _, err := s.Lookup(site.Key(2)); !errors.Is(err, cache.ErrMiss) {
		t.Errorf("after a commit whose outcome is unknown the page is there: %v", err)
	}
	if _, err := s.Lookup(site.Key(3)); err != nil {
		t.Errorf("the page nobody committed is gone: %v", err)
	}
}

func TestInspect(t *testing.T) {
	t.Parallel()
	site := Site{Host: "fake.test", Pages: 2, Size: 3000}
	f, s := published(t, site)
	inspect := func(crashed bool) string {
		t.Helper()
		f.patience = time.Millisecond
		if crashed {
			f.patience = 3 * time.Second
		}
		flaws, err := f.Inspect(t.Context(), crashed)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(flaws, "\n")
	}
	if flaws := inspect(false); flaws != "" {
		t.Fatalf("a sound folder has flaws: %s", flaws)
	}

	orphan := f.file(site, 0) + ".tmp"
	if err := os.WriteFile(orphan, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if flaws := inspect(false); !strings.Contains(flaws, "orphaned claim") {
		t.Errorf("the orphaned claim was not found: %q", flaws)
	}
	if flaws := inspect(true); flaws != "" {
		t.Errorf("the sweep left: %s", flaws)
	}

	fill, err := s.Claim(t.Context(), site.Key(0))
	if err != nil {
		t.Fatal(err)
	}
	if flaws := inspect(false); !strings.Contains(flaws, "1 claims are held") {
		t.Errorf("the claim that is held was not found: %q", flaws)
	}
	if err := fill.Close(); err != nil {
		t.Fatal(err)
	}

	if err := os.Truncate(f.file(site, 1), 1024); err != nil {
		t.Fatal(err)
	}
	if flaws := inspect(false); flaws == "" {
		t.Error("the damaged page was not found")
	}
}
