//go:build e2e

package index

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/indextest"
	"github.com/cachesrv/cachesrv/e2e/pgtest"
	"github.com/cachesrv/cachesrv/e2e/program"
	"github.com/cachesrv/cachesrv/e2e/torture"
	"github.com/cachesrv/cachesrv/render/index/sample"
)

var (
	seed    = flag.Uint64("seed", 0, "of the choices; 0: chosen and printed")
	verbose = flag.Bool("index.log", false, "show what the indexes log")
)

func TestMain(m *testing.M) {
	defer func() { _ = os.RemoveAll(workshop()) }()
	pgtest.Main(m)
}

// workshop is the folder of what all tests use: the built programs, and pip.
var workshop = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "index-e2e-")
	if err != nil {
		panic(err) // a test binary that can't have a temporary folder
	}
	return dir
})

// right is the program as anybody would build it; breakable has the points of cache/fault.
var (
	right     = sync.OnceValues(func() (string, error) { return build("cachesrv") })
	breakable = sync.OnceValues(func() (string, error) { return build("cachesrv-breakable", "-tags", "cachesrv_fault") })
)

func build(name string, flags ...string) (string, error) {
	return program.Build(workshop(), name, flags...)
}

// python is a virtual environment with pip. It sees Debian's packages, so that sdists can be built without an index
// that has setuptools.
var python = sync.OnceValues(func() (bin string, err error) {
	dir := filepath.Join(workshop(), "python")
	out, err := exec.Command("/usr/bin/python3", "-m", "venv", "--system-site-packages", dir).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("python3 -m venv: %w: %s", err, out)
	}
	return filepath.Join(dir, "bin"), nil
})

// databases are those an index runs on: open returns what --db is given, "" for SQLite.
var databases = []struct {
	name string
	open func(t *testing.T) string
}{
	{"sqlite", func(*testing.T) string { return "" }},
	{"postgres", func(t *testing.T) string { return pgtest.Start(t) }},
}

// onEach runs a test on each database, at the same time.
func onEach(t *testing.T, test func(t *testing.T, db string)) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			test(t, db.open(t))
		})
	}
}

// choices returns the source of a test's choices.
func choices(t *testing.T) *rand.Rand {
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("seed %d", s)
	h := fnv.New64()
	_, _ = h.Write([]byte(t.Name()))
	return rand.New(rand.NewPCG(s, h.Sum64()))
}

// An index under test.
type index struct {
	*indextest.Client // with an uploader's token
	*torture.Application
	t   *testing.T
	dir string
	db  string
	log *program.Log
}

// host is the site's name: with one that no port is part of, pages outlive a restart.
const host = "index.test"

// start starts an index, with a user "ada" and a token of hers.
func start(t *testing.T, built func() (string, error), db string, args ...string) *index {
	t.Helper()
	ix := prepare(t, built, db, args...)
	if err := ix.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	token, err := ix.AddToken(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	ix.Client = &indextest.Client{Base: ix.BaseURL(), Token: token}
	return ix
}

// prepare is start without starting.
func prepare(t *testing.T, built func() (string, error), db string, args ...string) *index {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	ix := &index{t: t, dir: t.TempDir(), db: db, log: &program.Log{Bytes: loggedBytes}}
	args = append(args, "--host", host, "--live", filepath.Join(ix.dir, "live"))
	ix.Application = torture.NewIndex(path, filepath.Join(ix.dir, "data"), db, args...)
	ix.Log = ix.log
	t.Cleanup(func() {
		if err := ix.Kill(); err != nil {
			t.Error(err)
		}
		if log := ix.log.String(); *verbose || t.Failed() || strings.Contains(log, "panic") {
			t.Logf("the index's log:\n%s", log)
			if strings.Contains(log, "panic") {
				t.Error("it panicked")
			}
		}
	})
	return ix
}

// loggedBytes bounds what is kept of an index's log.
const loggedBytes = 1 << 20

// --- what the tests do with it ------------------------------------------------------------------------------------

// must is for what every test relies on.
func (ix *index) must(a indextest.Answer, err error) indextest.Answer {
	ix.t.Helper()
	if err != nil {
		ix.t.Fatal(err)
	}
	if a.Status != 200 {
		ix.t.Fatal(a)
	}
	return a
}

// upload uploads files, which must succeed.
func (ix *index) upload(files ...indextest.File) {
	ix.t.Helper()
	for _, f := range files {
		ix.must(ix.Upload(ix.t.Context(), f))
	}
}

// cachesrv runs a command on the index, which must succeed.
func (ix *index) cachesrv(args ...string) string {
	ix.t.Helper()
	out, err := ix.Command(ix.t.Context(), args...)
	if err != nil {
		ix.t.Fatal(err)
	}
	return out
}

// simple returns a project's page; nil if it is unknown.
func (ix *index) simple(project, form string, headers ...string) *indextest.Page {
	ix.t.Helper()
	p, _, err := ix.Simple(ix.t.Context(), project, form)
	if err != nil {
		ix.t.Fatal(err)
	}
	return p
}

// listed tells the projects that /simple/ lists, and requires that its forms agree.
func (ix *index) listed() []string {
	ix.t.Helper()
	var lists [][]string
	for _, form := range []string{indextest.JSON, indextest.HTML, indextest.HTMLv1} {
		names := []string{}
		for _, l := range ix.simple("", form).Projects {
			names = append(names, l.Name)
		}
		if lists = append(lists, names); !slices.Equal(names, lists[0]) {
			ix.t.Errorf("/simple/ as %s lists %q, else %q", form, names, lists[0])
		}
	}
	return lists[0]
}

// names are the files of a project on all of its simple pages, which must agree. Nil: it is unknown.
func (ix *index) names(project string) []string {
	ix.t.Helper()
	var first []string
	for i, form := range []string{indextest.JSON, indextest.HTML, indextest.HTMLv1} {
		var names []string
		if p := ix.simple(project, form); p != nil {
			names = []string{}
			for _, f := range p.Files {
				names = append(names, f.Filename)
			}
		}
		if slices.Sort(names); i == 0 {
			first = names
		} else if !slices.Equal(names, first) {
			ix.t.Errorf("/simple/%s/ as %s has %q, else %q", project, form, names, first)
		}
	}
	return first
}

// client runs a client program in a home of its own, which has no configuration.
func (ix *index) client(home string, env []string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ix.t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = home
	c.Env = append(append(environment(home), "PIP_PROGRESS_BAR=off", "PIP_RETRIES=0", "PIP_INDEX_URL="+ix.BaseURL()+"/simple/"), env...)
	out, err := c.CombinedOutput()
	return string(out), err
}

// environment is that of clients with a home of their own: nothing of this machine's settings is in it.
func environment(home string) []string {
	return []string{
		"HOME=" + home, "PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C.UTF-8", "TERM=dumb", "NO_COLOR=1", "COLUMNS=1000",
		"TMPDIR=" + os.TempDir(), "PYTHON_KEYRING_BACKEND=keyring.backends.null.Keyring", "TWINE_NON_INTERACTIVE=1",
		"PIP_CONFIG_FILE=/dev/null", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1", "PIP_ROOT_USER_ACTION=ignore",
		"PIP_CACHE_DIR=" + filepath.Join(home, "cache"),
	}
}

// twine uploads files with the real twine.
func (ix *index) twine(args []string, files ...indextest.File) (string, error) {
	ix.t.Helper()
	home := ix.t.TempDir()
	command := append([]string{"upload", "--disable-progress-bar", "--repository-url", ix.BaseURL() + "/legacy/", "-u", "__token__"}, args...)
	if !slices.Contains(args, "-p") {
		command = append(command, "-p", ix.Token)
	}
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(home, f.Filename), f.Content, 0o644); err != nil {
			ix.t.Fatal(err)
		}
		command = append(command, f.Filename)
	}
	out, err := ix.client(home, nil, "/usr/bin/twine", command...)
	if *verbose {
		ix.t.Logf("twine %q: %v\n%s", command, err, out)
	}
	return out, err
}

// pip runs pip in a home, whose cache it uses.
func (ix *index) pip(home string, args ...string) (string, error) {
	ix.t.Helper()
	return ix.pipWith(home, nil, args...)
}

func (ix *index) pipWith(home string, env []string, args ...string) (string, error) {
	ix.t.Helper()
	bin, err := python()
	if err != nil {
		ix.t.Fatal(err)
	}
	out, err := ix.client(home, env, filepath.Join(bin, "pip"), args...)
	if *verbose {
		ix.t.Logf("pip %q: %v\n%s", args, err, out)
	}
	return out, err
}

// installed runs a line of Python with what pip has put into a folder.
func (ix *index) installed(folder, line string) string {
	ix.t.Helper()
	out, err := ix.client(folder, []string{"PYTHONPATH=" + folder}, "/usr/bin/python3", "-c", line)
	if err != nil {
		ix.t.Fatalf("python -c %q: %v\n%s", line, err, out)
	}
	return strings.TrimSpace(out)
}

// succeeds is for clients that must succeed, and write what they are expected to.
func (ix *index) succeeds(out string, err error) string {
	ix.t.Helper()
	if err != nil {
		ix.t.Fatalf("%v\n%s", err, out)
	}
	return out
}

// fails is for clients that must fail with a text in their output.
func (ix *index) fails(text string) func(out string, err error) {
	ix.t.Helper()
	return func(out string, err error) {
		ix.t.Helper()
		if exit := new(exec.ExitError); !errors.As(err, &exit) || !strings.Contains(out, text) {
			ix.t.Errorf("it ended with %v, and without %q:\n%s", err, text, out)
		}
	}
}

// --- what it has --------------------------------------------------------------------------------------------------

// data is the index's folder.
func (ix *index) data(path ...string) string {
	return filepath.Join(append([]string{ix.dir, "data"}, path...)...)
}

// tree lists the regular files below a folder, but for the one that says which database they belong to.
func (ix *index) tree(path ...string) []string {
	ix.t.Helper()
	root := ix.data(path...)
	files := []string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "index-id" {
			return err
		}
		name, err := filepath.Rel(root, path)
		files = append(files, name)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		ix.t.Fatal(err)
	}
	slices.Sort(files)
	return files
}

// state is all that an index has: the rows of every table of its own, and its files.
func (ix *index) state() map[string]string {
	ix.t.Helper()
	database := torture.Database{DSN: ix.db}
	tables := "SELECT table_name FROM information_schema.tables WHERE table_name LIKE 'index%' ORDER BY 1"
	if ix.db == "" {
		database.DSN = ix.data("index.db")
		tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'index%' ORDER BY 1"
	}
	db, err := database.Open()
	if err != nil {
		ix.t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	query := func(sql string) (values []string) {
		rows, err := db.QueryContext(ix.t.Context(), sql)
		if err != nil {
			ix.t.Fatalf("%s: %v", sql, err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			var v string
			if err := rows.Scan(&v); err != nil {
				ix.t.Fatal(err)
			}
			values = append(values, v)
		}
		if err := rows.Err(); err != nil {
			ix.t.Fatal(err)
		}
		return values
	}
	state := map[string]string{}
	for _, table := range query(tables) {
		state[table] = query("SELECT count(*) FROM " + table)[0]
	}
	if len(state) < 5 {
		ix.t.Fatalf("the index has no more tables than %v", state)
	}
	state["files"] = strings.Join(ix.tree("files"), " ")
	state["incoming"] = strings.Join(ix.tree("incoming"), " ")
	for _, path := range []string{"/simple/", "/"} {
		for _, cookie := range []string{"", "past=the-cache"} {
			a := ix.must(ix.Get(ix.t.Context(), path, "Cookie", cookie))
			state[path+cookie] = string(a.Body)
		}
	}
	return state
}

// unchanged compares the state with an earlier one.
func (ix *index) unchanged(before map[string]string, after string) {
	ix.t.Helper()
	now := ix.state()
	for _, what := range slices.Sorted(maps.Keys(now)) {
		if now[what] != before[what] {
			ix.t.Errorf("after %s: %s: %.500q, before: %.500q", after, what, now[what], before[what])
		}
	}
}

// check runs the store's own check. What the dead have left over, and the sweep takes away, is no problem after a kill.
func (ix *index) check(killed bool) {
	ix.t.Helper()
	ctx, cancel := context.WithTimeout(ix.t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, ix.Path, "check", "--dir", ix.data()).CombinedOutput()
	problems := 0
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "(BROKEN)") || !killed && strings.Contains(line, "(left over)") {
			problems++
		}
	}
	if exit := new(exec.ExitError); problems > 0 || err != nil && !(killed && errors.As(err, &exit) && strings.Contains(string(out), "(left over)")) {
		ix.t.Errorf("check: %v\n%s", err, out)
	}
}

// wheel makes a small one.
func wheel(name, version string) indextest.File {
	return indextest.Wheel(sample.Dist{Name: name, Version: version, Summary: name + " for tests"})
}

func sdist(name, version string) indextest.File {
	return indextest.Sdist(sample.Dist{Name: name, Version: version, Summary: name + " for tests"})
}
