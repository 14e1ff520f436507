//go:build e2e

package index

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// TestPublishThenInstall: what twine has uploaded, pip finds at once, with its cache as it is; and so does everybody who
// reads the same pages meanwhile. Uploads of other releases and of new projects go on all the time.
func TestPublishThenInstall(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db)
		rnd := choices(t)
		w := watch(ix, rnd)
		home := t.TempDir()

		for round := 1; round <= rounds; round++ {
			version := fmt.Sprintf("1.%d", round)
			files := []indextest.File{wheel("teapot", version), sdist("teapot", version)}
			ix.succeeds(ix.twine(nil, files...))
			w.published("teapot", files...)

			others := make(chan error, 1)
			go func() { others <- w.upload(t.Context(), round) }()
			switch round % 3 {
			case 0:
				out := ix.succeeds(ix.pip(home, "index", "versions", "teapot"))
				if !strings.Contains(out, "teapot ("+version+")") {
					t.Errorf("round %d: pip index versions says:\n%s", round, out)
				}
			case 1:
				folder := t.TempDir()
				ix.succeeds(ix.pip(home, "install", "--target", folder, "teapot"))
				if got := ix.installed(folder, "import teapot; print(teapot.__version__)"); got != version {
					t.Errorf("round %d: installed %s instead of %s", round, got, version)
				}
			case 2:
				out := ix.succeeds(ix.pip(home, "download", "--no-deps", "--no-binary", ":none:", "-d", t.TempDir(), "teapot"))
				if !strings.Contains(out, "teapot-"+version+"-py3-none-any.whl") {
					t.Errorf("round %d: pip download says:\n%s", round, out)
				}
			}
			if err := <-others; err != nil {
				t.Fatal(err)
			}
		}
		w.done()
		ix.check(false)
	})
}

// perRound is how many releases of another project are uploaded in a round, while pip works.
const perRound = 6

// A watcher knows what has been answered 200, and has readers that find it missing.
type watcher struct {
	ix      *index
	stop    context.CancelFunc
	readers sync.WaitGroup

	mu   sync.Mutex
	must map[string][]string // project → files that its page must have

	reads, hits, stale, wrong atomic.Int64
}

// Readers, and how long each takes between two reads.
const (
	watchers  = 4
	watchPace = 5 * time.Millisecond
)

func watch(ix *index, rnd *rand.Rand) *watcher {
	ctx, stop := context.WithCancel(ix.t.Context())
	w := &watcher{ix: ix, stop: stop, must: map[string][]string{"teapot": nil, "kettle": nil}}
	ix.t.Cleanup(func() { stop(); w.readers.Wait() })
	for range watchers {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
		w.readers.Go(func() {
			pace := time.NewTicker(watchPace) // so that there is some machine left for pip
			defer pace.Stop()
			for ctx.Err() == nil && w.wrong.Load() < 10 {
				if err := w.read(ctx, rnd); err != nil && ctx.Err() == nil {
					w.wrong.Add(1)
					w.ix.t.Error(err)
				}
				<-pace.C
			}
		})
	}
	return w
}

// published records what was answered 200.
func (w *watcher) published(project string, files ...indextest.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, f := range files {
		w.must[project] = append(w.must[project], f.Filename)
	}
}

// upload uploads releases of a project, and the first one of a new project.
func (w *watcher) upload(ctx context.Context, round int) error {
	for n := range perRound {
		f := wheel("kettle", fmt.Sprintf("%d.%d", round, n))
		if n == 0 {
			f = wheel(fmt.Sprintf("cup-%d", round), "1.0")
		}
		a, err := w.ix.Upload(ctx, f)
		if err != nil || a.Status != http.StatusOK {
			return fmt.Errorf("%s: %v %w", f.Filename, a, err)
		}
		w.published(f.Name, f)
	}
	return nil
}

// read asks for a page, and looks for what it must have had before.
func (w *watcher) read(ctx context.Context, rnd *rand.Rand) error {
	w.mu.Lock()
	var projects []string
	for name := range w.must {
		projects = append(projects, name)
	}
	slices.Sort(projects)
	project := projects[rnd.IntN(len(projects))]
	files := slices.Clone(w.must[project])
	w.mu.Unlock()

	form := []string{indextest.JSON, indextest.HTML, indextest.HTMLv1}[rnd.IntN(3)]
	var missing string
	var answer indextest.Answer
	switch what := rnd.IntN(10); {
	case what < 5: // the project's simple page
		page, a, err := w.ix.Simple(ctx, project, form)
		if err != nil {
			return err
		}
		answer = a
		for _, f := range files {
			if page.Find(f) == nil {
				missing = f
			}
		}
	case what < 7: // the list
		page, a, err := w.ix.Simple(ctx, "", form)
		if err != nil {
			return err
		}
		answer = a
		if !slices.ContainsFunc(page.Projects, func(l indextest.Listed) bool { return l.Name == project }) && len(files) > 0 {
			missing = project
		}
	case what < 9: // the page for people: its newest file
		a, err := w.ix.Get(ctx, "/project/"+project+"/")
		if err != nil {
			return err
		}
		if answer = a; len(files) > 0 && !newerOrSame(a.Body, files[len(files)-1]) {
			missing = files[len(files)-1]
		}
	default: // the user's page
		a, err := w.ix.Get(ctx, "/user/ada/")
		if err != nil {
			return err
		}
		if answer = a; len(files) > 0 && !strings.Contains(string(a.Body), `"/project/`+project+`/"`) {
			missing = project
		}
	}
	w.reads.Add(1)
	if answer.Hit() {
		w.hits.Add(1)
	}
	if missing != "" {
		w.stale.Add(1)
		return fmt.Errorf("stale (%s): %s of %s is missing, though it was published before: %v", answer.Header.Get("Cache-Status"), missing, project, answer)
	}
	return nil
}

// newerOrSame tells whether a page for people shows the file, or one of a later release.
func newerOrSame(body []byte, filename string) bool {
	return strings.Contains(string(body), strings.TrimSuffix(filename, ".tar.gz")) ||
		strings.Contains(string(body), versionOf(filename))
}

// versionOf is the version in a file's name, as the history of a project links it.
func versionOf(filename string) string {
	parts := strings.SplitN(strings.TrimSuffix(filename, ".tar.gz"), "-", 3)
	return "/" + parts[1] + "/"
}

// done ends the readers, and reports.
func (w *watcher) done() {
	w.stop()
	w.readers.Wait()
	w.ix.t.Logf("%d reads, %d hits, %d stale", w.reads.Load(), w.hits.Load(), w.stale.Load())
	if w.reads.Load() < 50 || w.hits.Load() == 0 {
		w.ix.t.Error("too few reads to prove anything")
	}
}

// TestFirstUpload: a project's first upload replaces the 404 that is cached of it, and is listed at once.
func TestFirstUpload(t *testing.T) {
	onEach(t, func(t *testing.T, db string) {
		ix := start(t, right, db)
		forms := []string{indextest.JSON, indextest.HTML, indextest.HTMLv1}
		for range 2 {
			for _, form := range forms {
				if page, a, err := ix.Simple(t.Context(), "teapot", form); page != nil || err != nil || a.Status != 404 {
					t.Fatalf("before: %v, %v", a, err)
				}
			}
			if a, err := ix.Get(t.Context(), "/project/teapot/"); err != nil || a.Status != 404 {
				t.Fatalf("before: %v, %v", a, err)
			}
			if names := ix.listed(); len(names) != 0 {
				t.Fatalf("before: %q", names)
			}
		}
		if _, a, err := ix.Simple(t.Context(), "teapot", indextest.JSON); err != nil || !a.Hit() {
			t.Errorf("the 404 is not cached: %s, %v", a.Header.Get("Cache-Status"), err)
		}
		home := t.TempDir()
		ix.fails("No matching distribution found")(ix.pip(home, "download", "--no-deps", "teapot"))

		ix.succeeds(ix.twine(nil, wheel("teapot", "1.0")))

		if names := ix.names("teapot"); !slices.Equal(names, []string{"teapot-1.0-py3-none-any.whl"}) {
			t.Errorf("after: %q", names)
		}
		if names := ix.listed(); !slices.Equal(names, []string{"teapot"}) {
			t.Errorf("after: listed are %q", names)
		}
		a := ix.must(ix.Get(t.Context(), "/project/teapot/"))
		if !strings.Contains(string(a.Body), "teapot-1.0-py3-none-any.whl") {
			t.Error("the page for people does not show the file")
		}
		ix.succeeds(ix.pip(home, "download", "--no-deps", "teapot"))
	})
}

// TestSerialHeaderOff: without the serial's header, another server can serve the default form of the simple API from
// its file.
func TestSerialHeaderOff(t *testing.T) {
	ix := start(t, right, "", "--serial-header", "off")
	ix.upload(wheel("teapot", "1.0"))
	for _, path := range []string{"/simple/", "/simple/teapot/"} {
		a := ix.must(ix.Get(t.Context(), path, "Accept", indextest.HTML))
		if serial := a.Header.Get("X-Pypi-Last-Serial"); serial != "" {
			t.Errorf("%s has the serial %s in its header", path, serial)
		}
		file := filepath.Join(ix.dir, "live", "pages", host, path, ".page")
		if content, err := os.ReadFile(file); err != nil || string(content) != string(a.Body) {
			t.Errorf("%s is not such a file: %v; there are %q", path, err, ix.tree("cache", "current", "pages", host))
		}
	}
}
