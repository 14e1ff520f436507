//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// An operation is what is done to an index while one of its calls goes wrong.
type operation struct {
	name string
	// prepare brings the world to where the operation begins; nothing goes wrong yet.
	prepare func(ctx context.Context, w *world) error
	// run does it, traced.
	run func(ctx context.Context, w *world, attach attacher) (outcome, error)
}

// An outcome is what the client was told.
type outcome struct {
	answer indextest.Answer
	cut    error           // there was no answer, or, of a start: it failed
	file   *indextest.File // that was uploaded
	reason string          // of a yank
}

func (o outcome) ok() bool { return o.cut == nil && o.answer.Status == 200 }

func (o outcome) String() string {
	if o.cut != nil {
		return o.cut.Error()
	}
	return fmt.Sprintf("%v [%s]", o.answer, o.answer.Header.Get("Cache-Status"))
}

var operations = []operation{
	{"fill", prepareFill, runFill},
	{"invalidation", keepPages, runInvalidation},
	{"upload", prepareUpload, runUpload},
	{"upkeep", prepareUpkeep, runUpkeep},
	{"recovery", prepareRecovery, runRecovery},
}

// prepareFill changes the project, so that its page must be filled; and takes the empty folders away, as the sweep would.
func prepareFill(ctx context.Context, w *world) error {
	_, a, err := w.yank(ctx)
	if err != nil || a.Status != 200 {
		return fmt.Errorf("a change before the fill: %v, %w", a, err)
	}
	pages := filepath.Join("cache", "current", "pages", host)
	for _, folder := range []string{
		"simple/" + w.project + "/.page@", "simple/" + w.project, "simple/.page@", "simple", "project/" + w.project, "project", ".",
	} {
		_ = os.Remove(w.data(pages, folder)) // if it is empty
	}
	return nil
}

func runFill(ctx context.Context, w *world, attach attacher) (o outcome, err error) {
	err = w.during(attach, func() { o.answer, o.cut = w.get(ctx, pagesOf(w.project)[0]) })
	return o, err
}

// keepPages has every page of the project kept, so that there is something to invalidate.
func keepPages(ctx context.Context, w *world) error { return w.keep(ctx, w.project, keptWithin) }

func runInvalidation(ctx context.Context, w *world, attach attacher) (o outcome, err error) {
	err = w.during(attach, func() { o.reason, o.answer, o.cut = w.yank(ctx) })
	return o, err
}

// prepareUpload has it kept that there is no such project yet.
func prepareUpload(ctx context.Context, w *world) error {
	w.changes++
	return w.keep(ctx, w.uploaded(), keptWithin)
}

// uploaded is the project that the next upload makes.
func (w *world) uploaded() string { return fmt.Sprintf("sys-p%d", w.changes) }

func runUpload(ctx context.Context, w *world, attach attacher) (o outcome, err error) {
	f := wheel(w.uploaded(), "1.0")
	o.file = &f
	err = w.during(attach, func() { o.answer, o.cut = w.client.Upload(ctx, f) })
	return o, err
}

// prepareRecovery leaves what a killed program leaves: pages that a commit has made old, as it was killed before it had
// dropped the first; a claim; an upload half done, with the file put and no row; another half received.
func prepareRecovery(ctx context.Context, w *world) error {
	if err := keepPages(ctx, w); err != nil {
		return err
	}
	claim := key.Key{Host: host, Path: "/simple/" + w.project + "/"}.File().Claim()
	at := &injector{target: call{"unlinkat", "cache/gen-N/pages/" + normal(claim), 1}, change: change{what: killBefore}}
	var cut error
	err := w.during(at.on(w), func() { _, _, cut = w.yank(ctx) })
	if err != nil {
		return err
	}
	if !at.met || cut == nil {
		return fmt.Errorf("the program was to be killed when it unlinks %s, which it did not", claim)
	}
	<-w.app.Gone()
	dead := key.Key{Host: host, Path: "/user/ada/"}.File().Claim()
	f := wheel("sys-p999999", "1.0")
	intent := filepath.Join("incoming", "AAAAAAAAAA@"+rawDigest(f)+"@"+f.Filename)
	for path, content := range map[string]string{
		filepath.Join("cache", "current", "pages", dead): "half a page",
		filepath.Join("incoming", "BBBBBBBBBB.part"):     "half a wheel",
		intent:                                  string(f.Content),
		filepath.Join("files", f.Path()):        string(f.Content),
		filepath.Join("cache", "trash", "left"): "what was dropped",
	} {
		if err := os.MkdirAll(filepath.Dir(w.data(path)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(w.data(path), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func runRecovery(ctx context.Context, w *world, attach attacher) (o outcome, err error) {
	err = w.start(ctx, attach)
	if err != nil && !errors.Is(err, errTracer) {
		o.cut, err = err, nil
	} else {
		o.answer.Status = 200
	}
	return o, err
}

// prepareUpkeep leaves rows of pages that are gone, beside pages that are there: that is what upkeep must tell apart.
func prepareUpkeep(ctx context.Context, w *world) error {
	if err := keepPages(ctx, w); err != nil {
		return err
	}
	if err := prepareFill(ctx, w); err != nil {
		return err
	}
	for _, p := range pagesOf(w.project) {
		if a, err := w.get(ctx, p); err != nil || a.Status != 200 {
			return fmt.Errorf("%v: %v, %w", p, a, err)
		}
	}
	return nil
}

// upkeepTime bounds the wait for upkeep, which comes every second.
const upkeepTime = 3 * time.Second

// runUpkeep waits until no row is left of a page that is gone.
func runUpkeep(ctx context.Context, w *world, attach attacher) (o outcome, err error) {
	o.answer.Status = 200
	err = w.during(attach, func() {
		for end := time.Now().Add(upkeepTime); time.Now().Before(end) && !w.down(); {
			var report struct {
				Lost int `json:"lost_rows"`
			}
			out, err := w.cli.Command(ctx, "check", "--json")
			if err == nil && json.Unmarshal([]byte(out), &report) == nil && report.Lost == 0 {
				return
			}
		}
	})
	return o, err
}

// rawDigest is a file's digest as intents have it.
func rawDigest(f indextest.File) string {
	raw, _ := hex.DecodeString(f.Blake2b())
	return base64.RawURLEncoding.EncodeToString(raw)
}

// keep has the pages of a project kept.
func (w *world) keep(ctx context.Context, project string, patience time.Duration) error {
	for _, p := range pagesOf(project) {
		if err := w.kept(ctx, p, patience); err != nil {
			return err
		}
	}
	return nil
}

// A recorder lists calls.
type recorder struct {
	*namer
	calls []call
}

func (r *recorder) on(w *world) attacher {
	return func(pid int, running bool) (func() error, error) {
		r.namer = newNamer(pid, w.data())
		return attachTracer(pid, running, func(e entry) change {
			if c, ok := r.name(e); ok {
				r.calls = append(r.calls, c)
			}
			return change{}
		})
	}
}

func attachTracer(pid int, running bool, w watcher) (stop func() error, err error) {
	tr, err := trace(pid, running, w)
	if err != nil {
		return nil, err
	}
	return tr.stop, nil
}

// An injector has one call go wrong.
type injector struct {
	target call
	change change
	met    bool
}

func (i *injector) on(w *world) attacher {
	return func(pid int, running bool) (func() error, error) {
		n := newNamer(pid, w.data())
		return attachTracer(pid, running, func(e entry) change {
			if c, ok := n.name(e); !ok || i.met || c != i.target {
				return change{}
			}
			i.met = true
			return i.change
		})
	}
}
