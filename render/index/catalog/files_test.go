package catalog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/invalidate"
)

func testYank(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	add(t, c, ada, wheel("tea", "1.0"))
	state := func() string {
		p, err := c.Project(t.Context(), "tea")
		must(t, err)
		return fmt.Sprintf("%d %t %s", p.Serial, p.Releases[0].Yanked, p.Releases[0].YankedReason)
	}
	must(t, c.Yank(t.Context(), ada, "Tea", "1", "too <hot>"))
	equal(t, "state", state(), "2 true too <hot>")
	must(t, c.Yank(t.Context(), ada, "tea", "1.0", "too <hot>"))
	equal(t, "state", state(), "2 true too <hot>")
	must(t, c.Yank(t.Context(), ada, "tea", "1.0", ""))
	equal(t, "state", state(), "3 true ")
	must(t, c.Unyank(t.Context(), ada, "tea", "1.0"))
	equal(t, "state", state(), "4 false ")
	whole(t, c)
}

func testDelete(t *testing.T, b *base) {
	c := b.catalog(t)
	ctx := t.Context()
	ada := user(t, c, "ada")
	w1, s1, w2, w3 := wheel("tea", "1"), sdist("tea", "1"), wheel("tea", "2"), wheel("tea", "3")
	for _, x := range []thing{w1, s1, w2, w3, wheel("other", "1")} {
		add(t, c, ada, x)
	}
	must(t, c.Delete(ctx, ada, "Tea", "", w1.name))
	whole(t, c)
	_, err := tryAdd(ctx, c, ada, w1)
	wantError(t, err, ErrExists)
	if strings.Contains(strings.ToLower(err.Error()), "already exist") {
		t.Errorf("twine --skip-existing would take it for an identical file: %q", err)
	}
	must(t, c.Delete(ctx, ada, "tea", "2.0", ""))
	whole(t, c)
	p, err := c.Project(ctx, "tea")
	must(t, err)
	equal(t, "releases", []string{p.Releases[0].Version, p.Releases[1].Version}, []string{"3", "1"})
	must(t, c.Delete(ctx, ada, "tea", "", ""))
	whole(t, c)
	_, err = c.Project(ctx, "tea")
	wantError(t, err, ErrNotFound)
	l, err := c.Projects(ctx)
	must(t, err)
	equal(t, "list", l.Projects, []Listed{{"other", "other", 5}})
	equal(t, "serial", l.Serial, 8)
	bob := user(t, c, "bob")
	for _, x := range []thing{w1, s1, w2, w3} {
		_, err := tryAdd(ctx, c, bob, x)
		wantError(t, err, ErrExists)
	}
	added := add(t, c, bob, wheel("tea", "4"))
	if !added.New || added.Serial != 9 {
		t.Errorf("%+v", added)
	}
	whole(t, c)
}

// testConcurrent uploads in parallel, through two catalogs, with readers that must never see a serial go back, nor a file that is not there.
func testConcurrent(t *testing.T, b *base) {
	const uploaders, each = 6, 5
	c := b.catalog(t)
	catalogs := []*Catalog{c, b.catalog(t)}
	who := Operator("ada")
	ctx, cancel := context.WithCancel(t.Context())
	var readers, writers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			var last int64
			of := map[string]int64{}
			for ctx.Err() == nil {
				l, err := c.Projects(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				highest := int64(0)
				for _, p := range l.Projects {
					highest = max(highest, p.Serial)
					if p.Serial < of[p.Normal] {
						t.Errorf("%s went from %d to %d", p.Normal, of[p.Normal], p.Serial)
					}
					of[p.Normal] = p.Serial
				}
				if l.Serial < last || highest != l.Serial {
					t.Errorf("serial %d after %d, newest project %d", l.Serial, last, highest)
				}
				last = l.Serial
				p, err := c.Project(t.Context(), "p1")
				if errors.Is(err, ErrNotFound) {
					continue
				} else if err != nil {
					t.Error(err)
					return
				}
				for _, r := range p.Releases {
					for _, f := range r.Files {
						if _, err := c.root.Stat("files/" + f.Path()); err != nil {
							t.Error(err)
						}
					}
				}
			}
		})
	}
	serials := make([][]int64, uploaders)
	for i := range uploaders {
		writers.Go(func() {
			for j := range each {
				// Two upload to each project; everybody uploads the same file of "same" first.
				x := wheel(fmt.Sprintf("p%d", i/2), fmt.Sprintf("%d.%d", i, j))
				if j == 0 {
					x = wheel("same", "1")
				}
				added, err := tryAdd(t.Context(), catalogs[i%2], who, x)
				if err != nil {
					t.Error(err)
					return
				}
				if !added.Unchanged {
					serials[i] = append(serials[i], added.Serial)
				}
			}
		})
	}
	writers.Wait()
	cancel()
	readers.Wait()
	var all []int64
	for _, s := range serials {
		if !slices.IsSorted(s) {
			t.Errorf("serials of one uploader: %d", s)
		}
		all = append(all, s...)
	}
	slices.Sort(all)
	for i, s := range all {
		if s != int64(i+1) {
			t.Fatalf("serials %d", all)
		}
	}
	equal(t, "serials", len(all), uploaders*(each-1)+1)
	whole(t, c)
}

// testTwo lets two catalogs, as of two processes, upload the same files and delete them.
func testTwo(t *testing.T, b *base) {
	c1, c2 := b.catalog(t), b.catalog(t)
	who := Operator("ada")
	for round := range 4 {
		x := wheel("tea", fmt.Sprint(round))
		var added [2]Added
		var wg sync.WaitGroup
		for i, c := range []*Catalog{c1, c2} {
			wg.Go(func() {
				var err error
				if added[i], err = tryAdd(t.Context(), c, who, x); err != nil {
					t.Error(err)
				}
				if err := c.sweep(t.Context(), false); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if added[0].Unchanged == added[1].Unchanged || added[0].Serial != added[1].Serial {
			t.Fatalf("%+v", added)
		}
		whole(t, c1)
		if round%2 == 0 {
			continue
		}
		page := publish(t, c1, "tea", ProjectTag("tea"))
		var errs [2]error
		for i, c := range []*Catalog{c1, c2} {
			wg.Go(func() { errs[i] = c.Delete(t.Context(), who, "tea", "", x.name) })
		}
		wg.Wait()
		if (errs[0] == nil) == (errs[1] == nil) {
			t.Fatal(errs)
		}
		wantError(t, errors.Join(errs[:]...), ErrNotFound)
		if page() {
			t.Error("a page of another process's store is still there")
		}
		whole(t, c2)
	}
}

// testRollback fails uploads and deletions when the folder has been changed.
func testRollback(t *testing.T, b *base) {
	c := b.catalog(t)
	who := Operator("ada")
	w := wheel("tea", "1")
	ctx, cancel := context.WithCancel(t.Context())
	c.passed = func(point string) {
		if point == fault.UploadLinked || point == fault.DeleteIntended {
			cancel()
		}
	}
	_, err := tryAdd(ctx, c, who, w)
	wantError(t, err, context.Canceled)
	whole(t, c)
	equal(t, "serial", count(t, c, "SELECT serial FROM index_state"), 0)
	c.passed = func(string) {}
	added := add(t, c, who, w)
	equal(t, "serial", added.Serial, 1)

	ctx, cancel = context.WithCancel(t.Context())
	c.passed = func(point string) {
		if point == fault.DeleteIntended {
			cancel()
		}
	}
	wantError(t, c.Delete(ctx, who, "tea", "", ""), context.Canceled)
	whole(t, c)
	_, err = c.Project(t.Context(), "tea")
	must(t, err)
}

// testNotInvalidated: what is committed is done, even if the cache could not drop its pages yet.
func testNotInvalidated(t *testing.T, b *base) {
	c := b.catalog(t)
	c.db = &lost{c.db, true, invalidate.ErrNotInvalidated}
	added := add(t, c, Operator("ada"), wheel("tea", "1"))
	equal(t, "serial", added.Serial, 1)
	whole(t, c)
	must(t, c.Delete(t.Context(), Operator("ada"), "tea", "", ""))
	whole(t, c)
}

// lost wraps a database whose COMMIT is not answered.
type lost struct {
	database
	commits bool
	says    error
}

func (d *lost) begin(ctx context.Context) (transaction, error) {
	tx, err := d.database.begin(ctx)
	return lostTransaction{tx, d.commits, d.says}, err
}

type lostTransaction struct {
	transaction
	commits bool
	says    error
}

func (t lostTransaction) commit(ctx context.Context) error {
	if t.commits {
		if err := t.transaction.commit(ctx); err != nil {
			return err
		}
	} else {
		t.rollback()
	}
	return fmt.Errorf("the line is dead: %w", t.says)
}

func testUnknown(t *testing.T, b *base) {
	c := b.catalog(t)
	who := Operator("ada")
	right := c.db
	for i, commits := range []bool{true, false} {
		x := wheel("tea", fmt.Sprint(i))
		c.db = &lost{right, commits, invalidate.ErrCommitUnknown}
		_, err := tryAdd(t.Context(), c, who, x)
		wantError(t, err, ErrOutcomeUnknown)
		c.db = right
		equal(t, "the intent waits", len(onDisk(t, c, incomingDir)), 1)
		must(t, c.sweep(t.Context(), false))
		whole(t, c)
		equal(t, "there already", add(t, c, who, x).Unchanged, commits)
		whole(t, c)
	}
	for i, commits := range []bool{true, false} {
		c.db = &lost{right, commits, invalidate.ErrCommitUnknown}
		wantError(t, c.Delete(t.Context(), who, "tea", fmt.Sprint(i), ""), ErrOutcomeUnknown)
		c.db = right
		must(t, c.sweep(t.Context(), false))
		whole(t, c)
	}
	c.db = &lost{right, true, invalidate.ErrCommitUnknown}
	wantError(t, c.AddUser(t.Context(), "bob"), ErrOutcomeUnknown)
	c.db = right
	p, err := c.Project(t.Context(), "tea")
	must(t, err)
	equal(t, "releases", len(p.Releases), 1)
}

// testLeft puts into incoming what processes leave that died at any point, and opens again.
func testLeft(t *testing.T, b *base) {
	c := b.catalog(t)
	f := add(t, c, Operator("ada"), wheel("tea", "1")).File
	orphan := place{strings.Repeat("ab", 32), "gone-1-py3-none-any.whl"}
	overtaken := place{strings.Repeat("ef", 32), f.Filename} // by an upload of the same name, with other content
	for _, p := range []place{orphan, overtaken} {
		must(t, c.makeFolders(p))
		must(t, c.root.WriteFile("files/"+p.path(), []byte("x"), 0o644))
		must(t, c.root.WriteFile("files/"+p.path()+".metadata", []byte("x"), 0o644))
	}
	never := place{strings.Repeat("cd", 32), "never-1-py3-none-any.whl"}
	var names []string
	for _, p := range []place{{f.Blake2b, f.Filename}, orphan, overtaken, never} {
		it, err := newIntent("RANDOM", p)
		must(t, err)
		names = append(names, path.Base(it.name))
	}
	names = append(names, "X.part", "Y.metapart")
	for _, n := range names {
		must(t, c.root.WriteFile("incoming/"+n, []byte("half"), 0o600))
	}
	must(t, c.root.WriteFile("incoming/README", nil, 0o600))
	c2 := b.catalog(t)
	equal(t, "left alone", onDisk(t, c2, incomingDir), []string{"README"})
	must(t, c.root.Remove("incoming/README"))
	whole(t, c)
	for _, p := range []place{orphan, overtaken} {
		if _, err := c.root.Stat("files/" + p.folder()); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the folder of %s is still there", p.path())
		}
	}

	// A planted link is not followed, nor does a pipe stop the sweep.
	must(t, os.Symlink("/etc/passwd", filepath.Join(b.dir, "incoming", "Z.part")))
	if err := c.sweep(t.Context(), false); err == nil {
		t.Error("a link was taken for one of ours, or skipped without a word")
	}
	must(t, c.root.Remove("incoming/Z.part"))
	must(t, c.sweep(t.Context(), false))
}

// testLiving sweeps between every two steps of an upload.
func testLiving(t *testing.T, b *base) {
	c, other := b.catalog(t), b.catalog(t)
	var points []string
	c.passed = func(point string) {
		points = append(points, point)
		if point == fault.UploadLinked || point == fault.DeleteIntended {
			return // the lock is held: the sweep would wait, rightly
		}
		for _, sweeper := range []*Catalog{c, other} {
			must(t, sweeper.sweep(t.Context(), true))
		}
	}
	in := receive(t, c, wheel("tea", "1"))
	must(t, other.sweep(t.Context(), true))
	_, err := c.Add(t.Context(), Operator("ada"), in, Upload{Filename: "tea-1-py3-none-any.whl"})
	must(t, err)
	must(t, in.Close())
	whole(t, c)
	must(t, c.Delete(t.Context(), Operator("ada"), "tea", "1", ""))
	whole(t, c)
	equal(t, "points", points, []string{fault.UploadReceived, fault.UploadIntended, fault.UploadLinked, fault.UploadCommitted,
		fault.DeleteIntended, fault.DeleteCommitted})

	// While the lock is held after the link, a sweep of the other process waits and then finds the row.
	swept := make(chan error, 1)
	c.passed = func(point string) {
		if point == fault.UploadLinked {
			go func() { swept <- other.sweep(t.Context(), false) }()
		}
	}
	add(t, c, Operator("ada"), wheel("tea", "2"))
	must(t, <-swept)
	whole(t, c)
}

func testInTheWay(t *testing.T, b *base) {
	c := b.catalog(t)
	x := wheel("tea", "1")
	f := add(t, c, Operator("ada"), x).File
	// As a restored database has it: the file is there, the row is not.
	for _, statement := range []string{"DELETE FROM index_file", "DELETE FROM index_release", "DELETE FROM index_project", "DELETE FROM index_change"} {
		run(t, c, statement)
	}
	run(t, c, "UPDATE index_state SET serial = 0, projects = 0, releases = 0, files = 0, bytes = 0")
	add(t, c, Operator("ada"), x) // the same bytes
	whole(t, c)
	for _, statement := range []string{"DELETE FROM index_file", "DELETE FROM index_release", "DELETE FROM index_project", "DELETE FROM index_change"} {
		run(t, c, statement)
	}
	run(t, c, "UPDATE index_state SET serial = 0, projects = 0, releases = 0, files = 0, bytes = 0")
	must(t, c.root.WriteFile("files/"+f.Path(), []byte("torn"), 0o644))
	_, err := tryAdd(t.Context(), c, Operator("ada"), x)
	if err == nil || !strings.Contains(err.Error(), "in the way") {
		t.Fatal(err)
	}
	add(t, c, Operator("ada"), x) // settled: it had no row
	whole(t, c)
}
