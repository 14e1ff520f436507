package demo

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// TestReleases: every file is one that the index takes, and each page has something to show.
func TestReleases(t *testing.T) {
	releases, err := Releases()
	if err != nil {
		t.Fatal(err)
	}
	names, versions := map[string]int{}, map[string]string{}
	var yanked, pre, extras, sdists, dependent int
	for _, r := range releases {
		files := []func() (string, []byte){r.Wheel}
		if r.Sdist {
			files = append(files, r.Dist.Sdist)
			sdists++
		}
		for _, file := range files {
			name, content := file()
			if again, same := file(); again != name || !bytes.Equal(content, same) {
				t.Errorf("%s is not the same each time", name)
			}
			d, err := dist.Inspect(bytes.NewReader(content), int64(len(content)), name, dist.Limits{})
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if d.Project != dist.Normalize(r.Name) || d.Version != r.Version {
				t.Errorf("%s is %s %s; want %s %s", name, d.Project, d.Version, dist.Normalize(r.Name), r.Version)
			}
			readme := d.Metadata.Description
			if !strings.HasPrefix(readme, "# "+d.Project+"\n") || !strings.Contains(readme, "```") {
				t.Errorf("%s: README begins with %.40q", name, readme)
			}
		}
		if !strings.Contains(r.Modules[strings.ReplaceAll(dist.Normalize(r.Name), "-", "_")+".py"], `__version__ = "`+r.Version+`"`) {
			t.Errorf("%s %s: the module has another version", r.Name, r.Version)
		}
		n := dist.Normalize(r.Name)
		names[n]++
		if before := versions[n]; before != "" && dist.CompareVersions(before, r.Version) >= 0 {
			t.Errorf("%s: %s comes before %s", n, before, r.Version)
		}
		versions[n] = r.Version
		if r.Yanked != "" {
			yanked++
		}
		if dist.Prerelease(r.Version) {
			pre++
		}
		if len(r.RequiresDist) > 0 {
			dependent++
		}
		if slices.ContainsFunc(r.Extra, func(line string) bool { return strings.HasPrefix(line, "Provides-Extra: ") }) {
			extras++
		}
	}
	if len(names) < 30 || len(names) > 40 || yanked == 0 || pre == 0 || extras == 0 || sdists == 0 || dependent == 0 {
		t.Errorf("%d projects, yanked %d, pre-releases %d, with extras %d, sdists %d, with dependencies %d", len(names), yanked, pre, extras, sdists, dependent)
	}
	for name, n := range names {
		if n > 5 {
			t.Errorf("%s has %d versions", name, n)
		}
	}
	for _, r := range releases {
		for _, need := range r.RequiresDist {
			name, _, _ := strings.Cut(need, ";")
			if i := strings.IndexAny(name, "<>=~!"); i >= 0 {
				name = name[:i]
			}
			if names[strings.TrimSpace(name)] == 0 {
				t.Errorf("%s needs %s, which is not there", r.Name, name)
			}
		}
	}
	if names[Suggested] == 0 {
		t.Errorf("%s is suggested, and not there", Suggested)
	}
}

// open opens a catalog in a folder of its own.
func open(t *testing.T) *catalog.Catalog {
	t.Helper()
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	db := func(begin string) *sql.DB {
		db, err := sql.Open("sqlite", "file:"+dir+"/index.db?_pragma=journal_mode(WAL)&_pragma=busy_timeout(5000)&_txlock="+begin)
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	cat, err := catalog.OpenSQLite(t.Context(), db("immediate"), db("deferred"), catalog.Options{Store: store, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cat.Close() })
	return cat
}

// TestLoad: interrupted and begun again it ends up the same, and once more it changes nothing.
func TestLoad(t *testing.T) {
	cat := open(t)
	ctx, cancel := context.WithCancel(t.Context())
	first := &interrupted{Catalog: cat, after: 7, cancel: cancel}
	if n, err := load(ctx, first); !errors.Is(err, context.Canceled) || n != 7 {
		t.Fatalf("interrupted after %d files: %v", n, err)
	}
	rest, err := Load(t.Context(), cat)
	if err != nil {
		t.Fatal(err)
	}
	before, err := cat.Overview(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if before.Files != int64(7+rest) || before.Projects != 40 {
		t.Errorf("%d files of %d projects; loaded 7 and %d", before.Files, before.Projects, rest)
	}
	if n, err := Load(t.Context(), cat); n != 0 || err != nil {
		t.Errorf("loaded %d files again: %v", n, err)
	}
	if after, err := cat.Overview(t.Context(), 1); err != nil || after.Serial != before.Serial {
		t.Errorf("loading again changed the serial from %d to %d, %v", before.Serial, after.Serial, err)
	}
	p, err := cat.Project(t.Context(), "samovar-money")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Roles, []catalog.Role{{User: User, Owner: true}}) {
		t.Errorf("roles %+v", p.Roles)
	}
	for _, r := range p.Releases {
		if r.Yanked != (r.Version == "0.9.0") || len(r.Files) != 2 {
			t.Errorf("release %+v", r)
		}
	}
}

// interrupted is a catalog whose user loses patience after some files.
type interrupted struct {
	*catalog.Catalog
	after  int
	cancel context.CancelFunc
}

func (i *interrupted) Receive(ctx context.Context) (*catalog.Incoming, error) {
	if i.after--; i.after < 0 {
		i.cancel()
		return nil, ctx.Err()
	}
	return i.Catalog.Receive(ctx)
}

// TestLoadLeavesDeletedAway: whoever deletes a sample project has decided.
func TestLoadLeavesDeletedAway(t *testing.T) {
	cat := open(t)
	if _, err := Load(t.Context(), cat); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"", "0.9.0"} {
		name := map[string]string{"": "masala-mix", "0.9.0": "samovar-money"}[version]
		if err := cat.Delete(t.Context(), owner(), name, version, ""); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := Load(t.Context(), cat); n != 0 || err != nil {
		t.Errorf("loaded %d files again: %v", n, err)
	}
	if _, err := cat.Project(t.Context(), "masala-mix"); !errors.Is(err, catalog.ErrNotFound) {
		t.Errorf("the deleted project: %v", err)
	}
}
