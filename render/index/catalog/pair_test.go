package catalog

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// testPair opens databases on folders that are not theirs.
func testPair(t *testing.T, b *base) {
	c := b.catalog(t)
	w := wheel("tea", "1")
	f := add(t, c, Operator(""), w).File
	// What a process leaves that dies after its COMMIT: a database without the row would have the file removed.
	it, err := newIntent("RANDOM", place{f.Blake2b, f.Filename})
	must(t, err)
	must(t, c.root.WriteFile(it.name, nil, 0o600))

	try := func(b *base, dir, want string) {
		t.Helper()
		o := b.options(t)
		o.Store, o.Dir = c.o.Store, dir
		c, err := b.open(t, o)
		if want == "" {
			must(t, err)
			must(t, c.Close())
			return
		}
		wantError(t, err, ErrOtherFiles)
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("got %v, want %q and %q in it", err, want, dir)
		}
	}
	write := func(dir, name, text string) {
		t.Helper()
		name = filepath.Join(dir, "files", name)
		must(t, os.MkdirAll(filepath.Dir(name), 0o700))
		must(t, os.WriteFile(name, []byte(text), 0o600))
	}
	id, err := c.readID(idFile)
	must(t, err)

	try(b.fresh(t), b.dir, "the database is new")
	other := b.fresh(t)
	other.catalog(t)
	try(other, b.dir, "belongs to the index "+id)
	try(b, other.dir, "the database is that of the index "+id)
	if _, err := c.root.Stat("files/" + f.Path()); err != nil {
		t.Fatal("another database has removed a file: ", err)
	}
	try(b, b.dir, "")
	whole(t, c)

	empty := t.TempDir()
	try(b, empty, "another folder")
	write(empty, "index-id", id+"\n") // as the error says
	try(b, empty, "")

	unknown := t.TempDir()
	write(unknown, "ab/cd/x.whl", "")
	try(b.fresh(t), unknown, "files lie in")

	// Somebody died before the COMMIT, and after it.
	begun := b.fresh(t)
	write(begun.dir, "index-id.new", "ELSE")
	try(begun, begun.dir, "")
	read := func(name string) string {
		text, _ := os.ReadFile(filepath.Join(begun.dir, "files", name))
		return string(text)
	}
	own := read("index-id")
	if strings.TrimSpace(own) == "ELSE" || own == "" || read("index-id.new") != "" {
		t.Fatalf("the id %q, and %q in the making", own, read("index-id.new"))
	}
	must(t, os.Remove(filepath.Join(begun.dir, "files", "index-id")))
	write(begun.dir, "index-id.new", own)
	try(begun, begun.dir, "")
	equal(t, "the id", read("index-id"), own)
}

// testFolder opens a folder in which uploads can't work.
func testFolder(t *testing.T, b *base) {
	c := b.catalog(t)
	for _, name := range []string{"files", "incoming"} {
		b := b.fresh(t)
		must(t, os.MkdirAll(b.dir, 0o700))
		must(t, os.Symlink(t.TempDir(), filepath.Join(b.dir, name)))
		o := b.options(t)
		o.Store = c.o.Store
		_, err := b.open(t, o)
		if err == nil || !strings.Contains(err.Error(), "files can't be put from") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s leads elsewhere: %v", name, err)
		}
	}
	must(t, c.root.WriteFile(probe, nil, 0o600)) // of somebody who died
	b.catalog(t)
	whole(t, c)
}

// testCase: the names of users are the same in upper and lower case.
func testCase(t *testing.T, b *base) {
	c := b.catalog(t)
	must(t, c.AddUser(t.Context(), "ada"))
	added := add(t, c, Operator("Ada"), wheel("tea", "1"))
	equal(t, "uploader", added.File.Uploader, "ada")
	p, err := c.Project(t.Context(), "tea")
	must(t, err)
	equal(t, "roles", p.Roles, []Role{{"ada", true}})
	u, err := c.User(t.Context(), "ADA")
	must(t, err)
	equal(t, "user", u.Name+" "+u.Projects[0].Normal, "ada tea")
	equal(t, "tag", UserTag("ADA"), UserTag("ada"))
}
