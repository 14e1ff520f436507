package catalog

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/blake2b"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render/index/dist"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

// A base is a database, a folder of files and a cache folder, on which catalogs can be opened: one after another, or
// several at once, as by several processes.
type base struct {
	kind     string // of openers
	database string
	dir      string
	fresh    func(t testing.TB) *base // another of the kind
}

func (b *base) open(t testing.TB, o Options) (*Catalog, error) {
	return openers[b.kind](t.Context(), b.database, o)
}

func (b *base) options(t testing.TB) Options {
	return Options{Dir: b.dir, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// catalog opens a store and a catalog; both are closed with the test, or by the caller before.
func (b *base) catalog(t testing.TB, set ...func(*Options)) *Catalog {
	t.Helper()
	o := b.options(t)
	store, err := cache.Open(t.Context(), cache.Options{Dir: b.dir, Live: filepath.Join(b.dir, "live"), Logger: o.Logger})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	o.Store = store
	for _, f := range set {
		f(&o)
	}
	c, err := b.open(t, o)
	must(t, err)
	t.Cleanup(func() { must(t, c.Close()) })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got error %v, want %v", err, want)
	}
	if strings.ContainsAny(err.Error(), "\n\r") {
		t.Fatalf("the error has more than one line: %q", err)
	}
}

func equal[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		t.Fatalf("%s:\ngot  %s\nwant %s", what, g, w)
	}
}

// A thing is a file to upload.
type thing struct {
	name    string
	content []byte
}

func wheel(name, version string, set ...func(*sample.Dist)) thing {
	d := sample.Dist{Name: name, Version: version, Summary: "About " + name, Extra: []string{"Keywords: vapour,kettle"}}
	for _, f := range set {
		f(&d)
	}
	filename, content := d.Wheel()
	return thing{filename, content}
}

func sdist(name, version string) thing {
	filename, content := sample.Dist{Name: name, Version: version, Summary: "About " + name}.Sdist()
	return thing{filename, content}
}

func summary(text string) func(*sample.Dist) { return func(d *sample.Dist) { d.Summary = text } }

// receive writes a thing.
func receive(t testing.TB, c *Catalog, x thing) *Incoming {
	t.Helper()
	in, err := c.Receive(t.Context())
	must(t, err)
	t.Cleanup(func() { must(t, in.Close()) })
	_, err = in.Write(x.content[:len(x.content)/2])
	must(t, err)
	_, err = in.Write(x.content[len(x.content)/2:])
	must(t, err)
	return in
}

func tryAdd(ctx context.Context, c *Catalog, who Identity, x thing) (Added, error) {
	in, err := c.Receive(ctx)
	if err != nil {
		return Added{}, err
	}
	defer in.Close()
	if _, err := in.Write(x.content); err != nil {
		return Added{}, err
	}
	return c.Add(ctx, who, in, Upload{Filename: x.name})
}

func add(t testing.TB, c *Catalog, who Identity, x thing) Added {
	t.Helper()
	added, err := tryAdd(t.Context(), c, who, x)
	must(t, err)
	return added
}

// user makes a user and a token to upload with.
func user(t testing.TB, c *Catalog, name string, projects ...string) Identity {
	t.Helper()
	if err := c.AddUser(t.Context(), name); err != nil && !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	_, secret, err := c.AddToken(t.Context(), Token{User: name, Scope: ScopeUpload, Projects: projects})
	must(t, err)
	who, err := c.Authenticate(t.Context(), "__token__", secret)
	must(t, err)
	return who
}

func run(t testing.TB, c *Catalog, statement string, args ...any) {
	t.Helper()
	_, err := c.db.exec(t.Context(), statement, args...)
	must(t, err)
}

func count(t testing.TB, c *Catalog, statement string, args ...any) (n int64) {
	t.Helper()
	must(t, get(t.Context(), c.db, statement, args, &n))
	return n
}

// onDisk lists the files below a folder of the catalog.
func onDisk(t testing.TB, c *Catalog, folder string) (names []string) {
	t.Helper()
	must(t, fs.WalkDir(c.root.FS(), folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, folder+"/"))
		}
		return err
	}))
	return names
}

// whole checks that rows, files, totals and journal agree, and that nothing is on its way in.
func whole(t testing.TB, c *Catalog) {
	t.Helper()
	if left := onDisk(t, c, incomingDir); len(left) > 0 {
		t.Fatalf("left in incoming: %q", left)
	}
	l, err := c.Projects(t.Context())
	must(t, err)
	var places []string
	var releases, files, size int64
	for _, listed := range l.Projects {
		p, err := c.Project(t.Context(), listed.Normal)
		must(t, err)
		if p.Serial != listed.Serial || p.Serial > l.Serial || p.Name != listed.Name {
			t.Fatalf("%+v in a list of serial %d, but %+v", listed, l.Serial, p)
		}
		releases += int64(len(p.Releases))
		for _, r := range p.Releases {
			for _, f := range r.Files {
				files++
				size += f.Size
				content, err := c.root.ReadFile("files/" + f.Path())
				must(t, err)
				if int64(len(content)) != f.Size || hexOf(sha256.Sum256(content)) != f.SHA256 || hexOf(blake2b.Sum256(content)) != f.Blake2b ||
					hexOf32(md5.Sum(content)) != f.MD5 {
					t.Fatalf("%s is not what its row says", f.Path())
				}
				places = append(places, f.Path())
				if f.Kind == dist.Wheel {
					metadata, err := c.root.ReadFile("files/" + f.Path() + ".metadata")
					must(t, err)
					equal(t, "digest of the metadata", hexOf(sha256.Sum256(metadata)), f.MetadataSHA256)
					places = append(places, f.Path()+".metadata")
				}
			}
		}
		var version, text string
		must(t, get(t.Context(), c.db, "SELECT version, summary FROM index_project WHERE normal = $1", a(p.Normal), &version, &text))
		latest := &Release{}
		if r := p.Latest(); r != nil {
			latest = r
		}
		equal(t, "what the project repeats of its latest release", version, latest.Version)
	}
	slices.Sort(places)
	equal(t, "files on disk", onDisk(t, c, filesDir), append(places, "index-id"))
	o, err := c.Overview(t.Context(), 1)
	must(t, err)
	equal(t, "totals", []int64{o.Serial, o.Projects, o.Releases, o.Files, o.Bytes}, []int64{l.Serial, int64(len(l.Projects)), releases, files, size})
	equal(t, "serials in the journal", count(t, c, "SELECT count(DISTINCT serial) FROM index_change"), l.Serial)
	if l.Serial > 0 {
		equal(t, "the last one", count(t, c, "SELECT max(serial) FROM index_change"), l.Serial)
	}
}

func hexOf(sum [32]byte) string   { return hex.EncodeToString(sum[:]) }
func hexOf32(sum [16]byte) string { return hex.EncodeToString(sum[:]) }

// publish puts a page into the cache, and returns a function that tells whether it is still there.
func publish(t testing.TB, c *Catalog, path string, tags ...string) (there func() bool) {
	t.Helper()
	k, err := key.Parse("example.org/" + path)
	must(t, err)
	f, err := c.o.Store.Claim(t.Context(), k)
	must(t, err)
	_, err = f.Write([]byte("<p>page"))
	must(t, err)
	hit, err := f.Publish(t.Context(), cache.Meta{Tags: tags})
	must(t, err)
	must(t, hit.Close())
	must(t, f.Close())
	there = func() bool {
		hit, err := c.o.Store.Lookup(k)
		if err != nil {
			wantError(t, err, cache.ErrMiss)
			return false
		}
		must(t, hit.Close())
		return true
	}
	if !there() {
		t.Fatal("a page that was just published is not there")
	}
	return there
}

// drops checks that a change drops exactly the pages of some tags among those of several.
func drops(t testing.TB, c *Catalog, all, dropped []string, change func()) {
	t.Helper()
	there := make(map[string]func() bool)
	for i, tag := range all {
		there[tag] = publish(t, c, fmt.Sprintf("p%d", i), tag)
	}
	change()
	for _, tag := range all {
		if got := there[tag](); got == slices.Contains(dropped, tag) {
			t.Errorf("the page of %q is there: %t", tag, got)
		}
	}
	_, err := c.o.Store.Invalidate(t.Context(), cache.Selection{All: true})
	must(t, err)
}

// testCatalog is what must hold on every database.
func testCatalog(t *testing.T, open func(t testing.TB) *base) {
	test := func(name string, f func(t *testing.T, b *base)) {
		t.Run(name, func(t *testing.T) { f(t, open(t)) })
	}
	test("an upload can be fetched and is listed", testAdd)
	test("uploads that are refused leave nothing", testRefused)
	test("the same again, and something else", testAgain)
	test("versions that are equal are one release", testEqualVersions)
	test("who may what", testRights)
	test("users and tokens", testTokens)
	test("a token that is revoked during an upload", testRevoked)
	test("a token that expires during an upload", testExpired)
	test("a commit goes on without whoever asked", testCommitGoesOn)
	test("roles", testRoles)
	test("yank", testYank)
	test("delete", testDelete)
	test("what changes drop", testDrops)
	test("latest", testLatest)
	test("overview and users", testOverview)
	test("search", testSearch)
	test("order of names", testOrder)
	test("the journal", testJournal)
	test("uploads at once", testConcurrent)
	test("two catalogs", testTwo)
	test("rolled back after the file was put", testRollback)
	test("the outcome is unknown", testUnknown)
	test("committed, and not yet invalidated", testNotInvalidated)
	test("left by the dead", testLeft)
	test("the living are left alone", testLiving)
	test("a file that is in the way", testInTheWay)
	test("options and versions", testOpen)
	test("a process dies", testCrash)
	test("bounds of waiting", testWaiting)
	test("another database, another folder", testPair)
	test("a folder that can't work", testFolder)
	test("upper and lower case of users", testCase)
	test("deadlines of reads", testDeadlines)
	test("searches at once", testSearches)
	test("files looked into at once", testInspections)
	test("times of changes", testTimes)
}

func testAdd(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	w := wheel("Tea_Pot", "1.0", func(d *sample.Dist) {
		d.RequiresPython, d.Description = ">=3.8", "# Tea\n"
		d.RequiresDist = []string{"kettle>=2"}
	})
	before := time.Now().Add(-time.Millisecond)
	added := add(t, c, ada, w)
	if !added.New || added.Unchanged || added.Serial != 1 || added.Project != "tea-pot" || added.Version != "1.0" {
		t.Fatalf("%+v", added)
	}
	s := add(t, c, ada, sdist("Tea_Pot", "1.0"))
	if s.New || s.Unchanged || s.Serial != 2 {
		t.Fatalf("%+v", s)
	}
	p, err := c.Project(t.Context(), "tea-pot")
	must(t, err)
	if p.Name != "Tea_Pot" || p.Normal != "tea-pot" || p.Serial != 2 || p.Created.Before(before) || p.Created.Location() != time.UTC {
		t.Fatalf("%+v", p)
	}
	equal(t, "roles", p.Roles, []Role{{"ada", true}})
	equal(t, "releases", len(p.Releases), 1)
	equal(t, "files", p.Releases[0].Files, []File{added.File, s.File})
	f := p.Releases[0].Files[0]
	if f.Filename != w.name || f.Kind != dist.Wheel || f.Python != "py3" || f.Uploader != "ada" || f.RequiresPython != ">=3.8" || f.Uploaded.Before(before) {
		t.Fatalf("%+v", f)
	}
	if f := p.Releases[0].Files[1]; f.Kind != dist.Sdist || f.Python != "source" || f.MetadataSHA256 != "" {
		t.Fatalf("%+v", f)
	}
	for _, version := range []string{"", "1.0", "1", "v1.0.0"} {
		_, r, m, err := c.ProjectRelease(t.Context(), "tea-pot", version)
		must(t, err)
		if r.Version != "1.0" || m.Name != "Tea_Pot" || m.Description != "# Tea\n" || m.RequiresDist[0] != "kettle>=2" {
			t.Fatalf("%q: %+v %+v", version, r, m)
		}
	}
	for _, version := range []string{"2", "nonsense"} {
		_, _, _, err = c.ProjectRelease(t.Context(), "tea-pot", version)
		wantError(t, err, ErrNotFound)
	}
	for _, name := range []string{"kettle", "Tea_Pot", "", "x\x00y", "\xff"} {
		_, err = c.Project(t.Context(), name)
		wantError(t, err, ErrNotFound)
	}
	content, err := c.root.ReadFile("files/" + f.Path())
	must(t, err)
	if !bytes.Equal(content, w.content) {
		t.Fatal("the file is not what was uploaded")
	}
	st, err := c.root.Stat("files/" + f.Path())
	must(t, err)
	equal(t, "mode of the file", st.Mode(), 0o644)
	st, err = c.root.Stat("incoming")
	must(t, err)
	equal(t, "mode of incoming", st.Mode().Perm(), 0o700)
	whole(t, c)
	must(t, c.Ping(t.Context()))
}

func testRefused(t *testing.T, b *base) {
	c := b.catalog(t, func(o *Options) { o.MaxFile = 1 << 20 })
	ada := user(t, c, "ada")
	w := wheel("tea", "1.0")
	ok := sha256.Sum256(w.content)
	page := publish(t, c, "list", AllProjects)
	for name, u := range map[string]Upload{
		"no name":       {},
		"path":          {Filename: "../" + w.name},
		"other name":    {Filename: "coffee-1.0-py3-none-any.whl"},
		"other version": {Filename: "tea-1.1-py3-none-any.whl"},
		"other kind":    {Filename: w.name, Kind: dist.Sdist},
		"form's name":   {Filename: w.name, Name: "coffee"},
		"form's ver.":   {Filename: w.name, Version: "1.1"},
		"form's ver. ?": {Filename: w.name, Version: "one"},
		"sha256":        {Filename: w.name, SHA256: strings.Repeat("0", 64)},
		"md5":           {Filename: w.name, MD5: strings.Repeat("0", 32)},
		"blake2b":       {Filename: w.name, Blake2b: "x", SHA256: hexOf(ok)},
		"a zip":         {Filename: "tea-1.0.tar.gz"},
		"too long":      {Filename: strings.Repeat("t", dist.MaxFilename) + "-1.0.tar.gz"},
	} {
		in := receive(t, c, w)
		_, err := c.Add(t.Context(), ada, in, u)
		wantError(t, err, ErrInvalid)
		if strings.HasPrefix(err.Error(), "invalid") || len(err.Error()) > 600 {
			t.Errorf("%s: the message is for people: %q", name, err)
		}
		_, err = c.Add(t.Context(), ada, in, Upload{Filename: w.name})
		wantError(t, err, ErrInvalid) // once
		must(t, in.Close())
		must(t, in.Close())
	}
	in := receive(t, c, thing{"", make([]byte, 1<<20)})
	_, err := in.Write([]byte("x"))
	wantError(t, err, ErrTooLarge)
	_, err = c.Add(t.Context(), ada, in, Upload{Filename: w.name})
	wantError(t, err, ErrTooLarge)
	equal(t, "size", in.Size(), 1<<20)
	must(t, in.Close())
	whole(t, c)
	if !page() {
		t.Error("an upload that was refused has dropped pages")
	}
	in = receive(t, c, w)
	_, err = c.Add(t.Context(), ada, in, Upload{Filename: w.name, Kind: dist.Wheel, Name: "TEA", Version: "1.0.0", SHA256: strings.ToUpper(hexOf(ok))})
	must(t, err)
	must(t, in.Close())
	whole(t, c)
	if _, err := in.Write([]byte("x")); err == nil {
		t.Error("writing after Close")
	}
	_, err = c.Add(t.Context(), ada, in, Upload{Filename: w.name})
	wantError(t, err, ErrInvalid)
}

func testAgain(t *testing.T, b *base) {
	c := b.catalog(t)
	ada, bob := user(t, c, "ada"), user(t, c, "bob")
	w := wheel("tea", "1.0")
	first := add(t, c, ada, w)
	drops(t, c, []string{AllProjects, ProjectTag("tea")}, nil, func() {
		again := add(t, c, ada, w)
		want := first
		want.Unchanged, want.New = true, false
		equal(t, "the same again", again, want)
	})
	_, err := tryAdd(t.Context(), c, ada, wheel("tea", "1.0", summary("else")))
	wantError(t, err, ErrExists)
	if !strings.HasPrefix(err.Error(), "File already exists") {
		t.Errorf("twine looks for other words: %q", err)
	}
	_, err = tryAdd(t.Context(), c, bob, w) // not even this
	wantError(t, err, ErrForbidden)
	add(t, c, ada, sdist("tea", "1.0"))
	z := sdist("tea", "1.0.0")
	_, err = tryAdd(t.Context(), c, ada, z)
	wantError(t, err, ErrInvalid)
	add(t, c, Operator(""), z) // an old index may have both
	whole(t, c)
}

func testEqualVersions(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	add(t, c, ada, wheel("tea", "1.0", summary("first")))
	added := add(t, c, ada, wheel("tea", "1.0.0", summary("second")))
	equal(t, "version", added.Version, "1.0")
	p, _, m, err := c.ProjectRelease(t.Context(), "tea", "1.0.0")
	must(t, err)
	equal(t, "releases", len(p.Releases), 1)
	equal(t, "files", len(p.Releases[0].Files), 2)
	equal(t, "the first file's metadata", m.Summary, "first")
	whole(t, c)
	for _, f := range p.Releases[0].Files {
		must(t, c.Delete(t.Context(), ada, "tea", "1.0.0.0", f.Filename))
	}
	p, _, _, err = c.ProjectRelease(t.Context(), "tea", "1.0")
	must(t, err)
	equal(t, "files", len(p.Releases[0].Files), 0)
	add(t, c, ada, wheel("tea", "1", summary("third")))
	_, r, m, err := c.ProjectRelease(t.Context(), "tea", "")
	must(t, err)
	equal(t, "version", r.Version, "1.0")
	equal(t, "the first file's metadata", m.Summary, "third")
	whole(t, c)
}

func testLatest(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	latest := func(want string) {
		t.Helper()
		p, r, _, err := c.ProjectRelease(t.Context(), "tea", "")
		must(t, err)
		equal(t, "latest", r.Version, want)
		equal(t, "latest", p.Latest().Version, want)
		f, err := c.Search(t.Context(), "tea", 1, 0)
		must(t, err)
		equal(t, "in lists", f.Results[0].Version, want)
		equal(t, "in lists", f.Results[0].Summary, "v"+want)
	}
	up := func(v string) { add(t, c, ada, wheel("tea", v, summary("v"+v))) }
	up("2.0a1")
	latest("2.0a1")
	up("2.0a3")
	up("2.0a2")
	latest("2.0a3")
	up("1.9")
	latest("1.9")
	up("1.10")
	latest("1.10")
	must(t, c.Yank(t.Context(), ada, "tea", "1.10", ""))
	latest("1.9")
	must(t, c.Yank(t.Context(), ada, "tea", "1.9", ""))
	latest("2.0a3")
	for _, v := range []string{"2.0a1", "2.0a2", "2.0a3"} {
		must(t, c.Yank(t.Context(), ada, "tea", v, ""))
	}
	latest("2.0a3")
	whole(t, c)
	p, err := c.Project(t.Context(), "tea")
	must(t, err)
	var order []string
	for _, r := range p.Releases {
		order = append(order, r.Version)
	}
	equal(t, "order", order, []string{"2.0a3", "2.0a2", "2.0a1", "1.10", "1.9"})
	for _, v := range order {
		must(t, c.Delete(t.Context(), ada, "tea", v, ""))
	}
	p, r, m, err := c.ProjectRelease(t.Context(), "tea", "")
	if err != nil || r != nil || m != nil || p.Latest() != nil {
		t.Fatalf("a project without releases: %+v %+v %+v %v", p, r, m, err)
	}
	whole(t, c)
}

func testOverview(t *testing.T, b *base) {
	c := b.catalog(t)
	o, err := c.Overview(t.Context(), 10)
	must(t, err)
	equal(t, "of nothing", *o, Overview{})
	ada := user(t, c, "ada")
	for _, w := range []thing{wheel("a", "1"), wheel("b", "1"), wheel("a", "2", summary("new")), wheel("c", "0.1")} {
		add(t, c, ada, w)
	}
	o, err = c.Overview(t.Context(), 3)
	must(t, err)
	short := func(us []Update) (s []string) {
		for _, u := range us {
			if u.At.IsZero() || time.Since(u.At) > time.Hour {
				t.Errorf("%+v", u)
			}
			s = append(s, u.Name+" "+u.Normal+" "+u.Version+" "+u.Summary)
		}
		return s
	}
	equal(t, "updated", short(o.Updated), []string{"c c 0.1 About c", "a a 2 new", "b b 1 About b"})
	equal(t, "new", short(o.New), []string{"c c 0.1 About c", "b b 1 About b", "a a 2 new"})
	if o.Projects != 3 || o.Releases != 4 || o.Files != 4 || o.Serial != 4 {
		t.Errorf("%+v", o)
	}
	user(t, c, "bob")
	must(t, c.Grant(t.Context(), ada, "b", Role{User: "bob"}))
	u, err := c.User(t.Context(), "ada")
	must(t, err)
	equal(t, "ada's", short(u.Projects), []string{"a a 2 new", "b b 1 About b", "c c 0.1 About c"})
	u, err = c.User(t.Context(), "bob")
	must(t, err)
	equal(t, "bob's", short(u.Projects), []string{"b b 1 About b"})
	equal(t, "bob's tokens", u.Tokens, 1)
	_, err = c.User(t.Context(), "eve")
	wantError(t, err, ErrNotFound)
	users, err := c.Users(t.Context())
	must(t, err)
	if len(users) != 2 || users[0].Name != "ada" || users[1].Name != "bob" || users[0].Tokens != 1 {
		t.Errorf("%+v", users)
	}
}

func testSearch(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	for _, w := range []thing{
		wheel("tea", "1", summary("Leaves in hot water")), wheel("Tea.House", "1", summary("Sells leaves")),
		wheel("green_tea", "1", summary("ÄTHER in hot water 100%")), wheel("kettle", "1", summary("Boils water for tea")),
		wheel("xyz", "1", summary("under_score")), wheel("xyzz", "1", summary("underXscore")),
	} {
		add(t, c, ada, w)
	}
	for _, tt := range []struct {
		query string
		want  string
	}{
		{"tea", "tea tea-house green-tea kettle"},
		{"TEA", "tea tea-house green-tea kettle"},
		{"tea_house", "tea-house"},
		{"tea house", "tea-house"},
		{"house tea", "tea-house"},
		{"hot  WATER", "green-tea tea"},
		{"äther", "green-tea"},
		{"100%", "green-tea"},
		{"%", "green-tea"},
		{"_score", "xyz"},
		{"vapour", "green-tea kettle tea tea-house xyz xyzz"}, // a keyword
		{"", "green-tea kettle tea tea-house xyz xyzz"},
		{"coffee", ""},
		{"tea coffee", ""},
		{"!", ""},
		{`\`, ""},
		{"' OR 1=1 --", ""},
		{"\x00\xff", "green-tea kettle tea tea-house xyz xyzz"},
		{strings.Repeat("tea ", 1000), "green-tea kettle tea tea-house"},
		{strings.Repeat("tea ", mostWords-1) + "coffee", ""},
		{strings.Repeat("tea ", mostWords) + "coffee", "green-tea kettle tea tea-house"}, // the last one is too many
	} {
		f, err := c.Search(t.Context(), tt.query, 50, 0)
		must(t, err)
		var got []string
		for _, r := range f.Results {
			got = append(got, r.Normal)
		}
		if strings.Join(got, " ") != tt.want || f.Total != len(got) {
			t.Errorf("%.20q: got %d %q, want %q", tt.query, f.Total, got, tt.want)
		}
	}
	f, err := c.Search(t.Context(), "tea", 2, 1)
	must(t, err)
	if f.Total != 4 || len(f.Results) != 2 || f.Results[0].Name != "Tea.House" || f.Results[1].Version != "1" {
		t.Errorf("%+v", f)
	}
	f, err = c.Search(t.Context(), "tea", 2, 10)
	must(t, err)
	if f.Total != 4 || len(f.Results) != 0 {
		t.Errorf("%+v", f)
	}
}

func testOrder(t *testing.T, b *base) {
	c := b.catalog(t)
	names := []string{"a", "a-b", "a0", "ab", "b", "z-1", "z1"} // by bytes; other collations ignore the dash
	for _, i := range []int{3, 6, 1, 0, 5, 2, 4} {
		add(t, c, Operator("ada"), wheel(names[i], "1"))
	}
	l, err := c.Projects(t.Context())
	must(t, err)
	var got []string
	for _, p := range l.Projects {
		got = append(got, p.Normal)
	}
	equal(t, "order", got, names)
	equal(t, "serial", l.Serial, int64(len(names)))
	p, err := c.Project(t.Context(), "a")
	must(t, err)
	equal(t, "an operator who is no user has no role", len(p.Roles), 0)
	whole(t, c)
}

func testJournal(t *testing.T, b *base) {
	c := b.catalog(t)
	ada := user(t, c, "ada")
	user(t, c, "bob")
	w := wheel("Tea", "1.0")
	add(t, c, ada, w)
	must(t, c.Grant(t.Context(), ada, "tea", Role{User: "bob"}))
	must(t, c.Grant(t.Context(), ada, "tea", Role{User: "bob"})) // nothing
	must(t, c.Withdraw(t.Context(), ada, "tea", "bob"))
	must(t, c.Yank(t.Context(), ada, "tea", "1.0", "x"))
	must(t, c.Unyank(t.Context(), ada, "tea", "1.0"))
	must(t, c.Unyank(t.Context(), ada, "tea", "1.0")) // nothing
	must(t, c.Delete(t.Context(), ada, "tea", "", w.name))
	must(t, c.Delete(t.Context(), ada, "tea", "1.0", ""))
	must(t, c.Delete(t.Context(), Operator(""), "tea", "", ""))
	rows, err := list(t.Context(), c.db, func(r row) (string, error) {
		var serial, part, at int64
		var project, version, filename, action, who string
		err := r.Scan(&serial, &part, &project, &version, &filename, &action, &who, &at)
		return strings.Join(strings.Fields(fmt.Sprint(serial, part, " ", project, " ", version, " ", filename, " ", action, " by ", who)), " "), err
	}, "SELECT serial, part, project, version, filename, action, who, at FROM index_change ORDER BY serial, part")
	must(t, err)
	equal(t, "journal", strings.Join(rows, "\n"), `1 0 tea create by ada
1 1 tea add Owner ada by ada
1 2 tea 1.0 new release by ada
1 3 tea 1.0 tea-1.0-py3-none-any.whl add py3 file tea-1.0-py3-none-any.whl by ada
2 0 tea add Maintainer bob by ada
3 0 tea remove Maintainer bob by ada
4 0 tea 1.0 yank release by ada
5 0 tea 1.0 unyank release by ada
6 0 tea 1.0 tea-1.0-py3-none-any.whl remove file tea-1.0-py3-none-any.whl by ada
7 0 tea 1.0 remove release by ada
8 0 tea remove project by`)
	whole(t, c)
}

func testOpen(t *testing.T, b *base) {
	c := b.catalog(t)
	for _, o := range []Options{
		{Dir: b.dir},
		{Store: c.o.Store},
		{Store: c.o.Store, Dir: b.dir, MaxFile: -1},
		{Store: c.o.Store, Dir: filepath.Join(b.dir, "file", "x")},
	} {
		must(t, os.WriteFile(filepath.Join(b.dir, "file"), nil, 0o600))
		if _, err := b.open(t, o); err == nil {
			t.Errorf("%+v was opened", o)
		}
	}
	equal(t, "default", c.o.MaxFile, 100<<20)
	run(t, c, "UPDATE index_state SET version = 1000")
	o := b.options(t)
	o.Store = c.o.Store
	_, err := b.open(t, o)
	wantError(t, err, ErrTooNew)
	run(t, c, "UPDATE index_state SET version = 1")
	c2, err := b.open(t, o)
	must(t, err)
	must(t, c2.Close())
	if c2.Ping(t.Context()) == nil {
		t.Error("a closed catalog has a database")
	}
}

func testWaiting(t *testing.T, b *base) {
	c := b.catalog(t)
	c.arriving = make(chan struct{}, 1)
	in, err := c.Receive(t.Context())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Receive(ctx)
	wantError(t, err, context.Canceled)
	must(t, in.Close())
	in, err = c.Receive(t.Context())
	must(t, err)
	must(t, in.Close())
	c.writing <- struct{}{} // somebody hangs
	wantError(t, c.AddUser(ctx, "ada"), context.Canceled)
	<-c.writing
	must(t, c.AddUser(t.Context(), "ada"))
}
