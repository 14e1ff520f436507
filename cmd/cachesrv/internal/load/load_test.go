package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/pkgindex"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

func openCatalog(t *testing.T) *catalog.Catalog {
	t.Helper()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	cat, err := pkgindex.Open(t.Context(), store, conf.Database{DB: "sqlite"}, conf.Uploads{UploadMax: 1 << 20}, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cat.Close() })
	if err := cat.AddUser(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	return cat
}

// wheels makes a folder of a project's versions and finds them.
func wheels(t *testing.T, versions ...string) (string, *Found) {
	t.Helper()
	dir := t.TempDir()
	for _, v := range versions {
		name, content := sample.Dist{Name: "tea", Version: v}.Wheel()
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	found, err := Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, found
}

func run(ctx context.Context, t *testing.T, index Index, found *Found) (r Result, failed []string, err error) {
	t.Helper()
	p := NewProgress(io.Discard, found)
	defer p.Stop()
	r, err = Files(ctx, index, catalog.Operator("ada"), found.Files, p, func(c Candidate, err error) { failed = append(failed, c.Filename+": "+err.Error()) })
	return r, failed, err
}

// TestFiles: what is wrong with one file stops none of the others, and a second run changes nothing.
func TestFiles(t *testing.T) {
	cat := openCatalog(t)
	dir, found := wheels(t, "1.0", "1.1", "1.2", "1.3", "1.4")
	gone, broken, large := found.Files[1].Path, found.Files[2].Path, found.Files[3].Path
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(gone, 0o700); err != nil { // it opens, and can't be read
		t.Fatal(err)
	}
	for path, size := range map[string]int{broken: 100, large: 2 << 20} {
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r, failed, err := run(t.Context(), t, cat, found)
	if err != nil || r.Added != 2 || r.Failed != 3 || r.Unchanged != 0 || r.Projects != 1 || r.Bytes != found.Files[0].Size+found.Files[4].Size {
		t.Errorf("%+v, %v", r, err)
	}
	if len(failed) != 3 {
		t.Errorf("failed: %q", failed)
	}
	p, err := cat.Project(t.Context(), "tea")
	if err != nil || len(p.Releases) != 2 || !slices.Equal(p.Roles, []catalog.Role{{User: "ada", Owner: true}}) {
		t.Errorf("%+v, %v", p, err)
	}
	for _, path := range []string{gone, broken, large} {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if found, err = Find(dir); err != nil {
		t.Fatal(err)
	}
	if r, failed, err := run(t.Context(), t, cat, found); err != nil || r != (Result{Unchanged: 2}) {
		t.Errorf("again: %+v, %q, %v", r, failed, err)
	}
}

// TestFilesStop: between two files, never within one; the next run goes on.
func TestFilesStop(t *testing.T) {
	cat := openCatalog(t)
	_, found := wheels(t, "1.0", "1.1", "1.2")
	ctx, stop := context.WithCancel(t.Context())
	r, _, err := run(ctx, t, &spy{Catalog: cat, add: func(n int) error {
		if n == 2 {
			stop() // while the second one is under way
		}
		return nil
	}}, found)
	if !errors.Is(err, context.Canceled) || r.Added != 2 {
		t.Errorf("stopped: %+v, %v", r, err)
	}
	if r, _, err := run(t.Context(), t, cat, found); err != nil || r.Added != 1 || r.Unchanged != 2 {
		t.Errorf("again: %+v, %v", r, err)
	}
}

// TestFilesEnd: a database that is gone is told once, not for each file.
func TestFilesEnd(t *testing.T) {
	_, found := wheels(t, "1.0", "1.1", "1.2")
	gone := errors.New("the database is gone")
	for _, cause := range []error{gone, fmt.Errorf("%w: %w", catalog.ErrOutcomeUnknown, gone)} {
		r, failed, err := run(t.Context(), t, &spy{Catalog: openCatalog(t), add: func(n int) error {
			if n == 2 {
				return cause
			}
			return nil
		}}, found)
		if !errors.Is(err, gone) || r.Added != 1 || r.Failed != 0 || len(failed) != 0 {
			t.Errorf("%+v, %q, %v", r, failed, err)
		}
	}
}

// spy is a catalog that tells before each Add which one it is, and fails as it is told.
type spy struct {
	*catalog.Catalog
	adds int
	add  func(n int) error
}

func (s *spy) Add(ctx context.Context, who catalog.Identity, in *catalog.Incoming, u catalog.Upload) (catalog.Added, error) {
	s.adds++
	if err := s.add(s.adds); err != nil {
		return catalog.Added{}, err
	}
	return s.Catalog.Add(ctx, who, in, u)
}
