//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/e2e/indextest"
)

// What becomes of a case, when nothing is wrong.
const (
	told     = "told"           // the client got an error, and knows
	past     = "past the cache" // the client got the page, and Cache-Status says that it was not kept, and why
	loggedIt = "logged"         // the program has logged a warning or an error
	unharmed = "unharmed"       // nobody was told anything, nor need be: see quiet
	died     = "killed"         // as was asked for
	gaveUp   = "ended"          // the program did not start, and said why; or ended itself
)

// keptWithin bounds the wait for a page to be kept again: what was no page is remembered for up to 10 s.
const keptWithin = 20 * time.Second

// pause lies between two looks at what is to come by itself.
const pause = 20 * time.Millisecond

// A judgement is what was found after a case.
type judgement struct {
	result string
	wrong  []string
}

func (j *judgement) add(format string, args ...any) {
	j.wrong = append(j.wrong, fmt.Sprintf(format, args...))
}

// judge looks at a world in which a call went wrong; the fault is over.
func (w *world) judge(ctx context.Context, c kase, o outcome, mark int) (j judgement) {
	if c.kind.then {
		if err := w.app.Kill(); err != nil {
			j.add("%v", err)
		}
	}
	switch {
	case c.kind.kills():
		j.result = died
		<-w.app.Gone() // it may still be dying
	case w.down():
		j.result = gaveUp
	case !o.ok():
		j.result = told
	case strings.Contains(o.answer.Header.Get("Cache-Status"), "detail="):
		j.result = past
	}
	if w.down() {
		if log := w.log.Since(mark); j.result == gaveUp && strings.TrimSpace(log) == "" && o.cut == nil {
			j.add("it ended and said nothing")
		}
		if err := w.start(ctx, nil); err != nil {
			j.add("the fault is over, and it does not start: %v", err)
			return j
		}
	}
	if fenced.MatchString(w.log.Since(mark)) {
		if _, err := w.cli.Command(ctx, "fence", "off"); err != nil {
			j.add("the fence can't be lifted, as the log says to: %v", err)
		}
	}
	pages := pagesOf(w.project)
	if o.file != nil {
		pages = append(pages, pagesOf(o.file.Name)...)
	}
	if err := w.cure(ctx, c, restart); err != nil {
		j.add("%v", err)
	}
	truth := w.truth(ctx, pages, &j)
	if o.reason != "" && o.ok() && !bytes.Contains(truth[pages[0]].Body, []byte(o.reason)) {
		j.add("the change was answered 200, and has not happened")
	}
	w.files(ctx, &j) // first: our own server replaces an old file that it finds
	w.check(ctx, &j)
	w.look(ctx, pages, truth, &j)
	if err := w.cure(ctx, c, anotherChange); err != nil {
		j.add("%v", err)
	}
	truth = w.truth(ctx, pages, &j)
	w.repeat(ctx, o, truth, &j)
	for _, p := range pages {
		if err := w.kept(ctx, p, keptWithin); err != nil {
			j.add("%v", err)
		} else if a, err := w.get(ctx, p); err != nil || !bytes.Equal(a.Body, truth[p].Body) {
			j.add("%v, kept again, is not what the database has: %v, %v", p, a, err)
		}
	}
	w.files(ctx, &j)
	if log := w.log.Since(mark); j.result == "" && trouble.MatchString(log) {
		j.result = loggedIt
	} else if j.result == "" {
		if j.result = unharmed; !quiet(c) {
			j.add("nobody was told: neither the client (%.60s [%s]) nor the log", o.answer, o.answer.Header.Get("Cache-Status"))
		}
	} else if strings.Contains(log, "panic") {
		j.add("it panicked")
	}
	return j
}

var fenced = regexp.MustCompile("fenced: nothing is served|the folder is fenced")

var trouble = regexp.MustCompile(`level=(WARN|ERROR)`)

// truth is what the database has, asked past the cache.
func (w *world) truth(ctx context.Context, pages []page, j *judgement) map[page]indextest.Answer {
	truth := make(map[page]indextest.Answer)
	for _, p := range pages {
		a, err := w.past(ctx, p)
		for end := time.Now().Add(keptWithin); (err != nil || a.Status >= 500) && time.Now().Before(end); time.Sleep(pause) {
			a, err = w.past(ctx, p)
		}
		if err != nil || a.Status != 200 && a.Status != 404 {
			j.add("%v, past the cache, the fault being over: %v, %v", p, a, err)
		}
		truth[p] = a
	}
	return truth
}

// look asks for every page as anybody does: from here on none may be older than the database.
func (w *world) look(ctx context.Context, pages []page, truth map[page]indextest.Answer, j *judgement) {
	for _, p := range pages {
		switch a, err := w.get(ctx, p); {
		case err != nil:
			j.add("%v: %v", p, err)
		case a.Status >= 500:
			// It is asked for again until it is kept.
		case a.Status != truth[p].Status || !bytes.Equal(a.Body, truth[p].Body):
			j.add("STALE or torn: %v is %v [%s], the database has %v", p, a, a.Header.Get("Cache-Status"), truth[p])
		}
	}
}

// repeat compares what the client was told of an upload with what has happened, and uploads the file again.
func (w *world) repeat(ctx context.Context, o outcome, truth map[page]indextest.Answer, j *judgement) {
	if o.file == nil {
		return
	}
	listed := truth[pagesOf(o.file.Name)[0]]
	if o.ok() && listed.Status != 200 {
		j.add("the upload was answered 200, and is not listed: %v", listed)
	}
	if listed.Status == 200 {
		w.whole(ctx, *o.file, j)
	} else if _, err := os.Stat(w.data("files", o.file.Path())); !errors.Is(err, fs.ErrNotExist) && !w.intended(*o.file) {
		j.add("the upload has not happened, and its file lies in files, with no intent to remove it: %v", err)
	}
	// It can be repeated, whatever became of it.
	if a, err := w.client.Upload(ctx, *o.file); err != nil || a.Status != 200 {
		j.add("the upload, repeated: %v, %v", a, err)
		return
	}
	w.whole(ctx, *o.file, j)
	for _, p := range pagesOf(o.file.Name) {
		truth[p], _ = w.past(ctx, p)
	}
}

// intended reports whether something will settle what an upload has left.
func (w *world) intended(f indextest.File) bool {
	names, _ := filepath.Glob(w.data("incoming", "*@"+f.Filename))
	return len(names) > 0
}

// whole fetches an uploaded file.
func (w *world) whole(ctx context.Context, f indextest.File, j *judgement) {
	listed, _, err := w.client.Simple(ctx, f.Name, indextest.JSON)
	entry := listed.Find(f.Filename)
	if err != nil || entry == nil {
		j.add("%s is not listed: %v", f.Filename, err)
		return
	}
	a, err := w.client.Get(ctx, entry.URL)
	if err != nil || a.Status != 200 || !bytes.Equal(a.Body, f.Content) || entry.SHA256 != f.SHA256() {
		j.add("%s is not whole: %v, %v", f.Filename, a.Status, err)
	}
	if m, err := w.client.Get(ctx, entry.URL+".metadata"); err != nil || m.Status != 200 || len(m.Body) == 0 {
		j.add("%s has no metadata: %v, %v", f.Filename, m.Status, err)
	}
}

// files compares what other servers would serve, live/pages, with the database.
func (w *world) files(ctx context.Context, j *judgement) {
	root := filepath.Join(w.live(), "pages") + "/"
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreAbsent(err)
		}
		name := strings.TrimPrefix(path, root)
		found, err := key.ParseFile(name)
		if err != nil {
			j.add("in live/pages: %s: %v", name, err)
			return nil
		}
		if found.Private || found.Kind != key.KindPage && found.Kind != key.KindTwin {
			return nil // nobody but us reads it
		}
		body, err := os.ReadFile(path)
		if err != nil {
			return ignoreAbsent(err)
		}
		if found.Kind == key.KindTwin {
			r, err := gzip.NewReader(bytes.NewReader(body))
			if found.Twin != ".gz" || err != nil {
				return nil // check decodes them all
			}
			var plain bytes.Buffer
			_, _ = plain.ReadFrom(r)
			body = plain.Bytes()
		}
		a, err := w.client.Get(ctx, found.Key.Path, "Accept", indextest.HTML, "Cookie", "past=the-cache")
		if _, gone := os.Lstat(path); gone == nil && (err != nil || a.Status != 200 || !bytes.Equal(a.Body, body)) {
			j.add("STALE or torn: the file live/pages/%s has %.300q, the database %v, %v", name, body, a, err)
		}
		return nil
	})
	if err != nil {
		j.add("live/pages can't be read: %v", err)
	}
}

func ignoreAbsent(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// check runs the program's own, which finds nothing, or drops what it finds, and then finds nothing.
func (w *world) check(ctx context.Context, j *judgement) {
	out, err := w.cli.Command(ctx, "check")
	if err == nil {
		return
	}
	if strings.Contains(out, "(BROKEN)") {
		j.add("check: %s", out)
	}
	if out, err := w.cli.Command(ctx, "check", "--repair"); err != nil {
		j.add("check --repair: %v: %s", err, out)
	}
	if out, err := w.cli.Command(ctx, "check"); err != nil {
		j.add("check, after repairs: %v: %s", err, out)
	}
}

// kept asks for a page until the answer comes from the cache.
func (w *world) kept(ctx context.Context, p page, patience time.Duration) error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		a, err := w.get(ctx, p)
		if err == nil && a.Hit() {
			return nil
		}
		if err == nil && strings.Contains(a.Header.Get("Cache-Status"), "stored") {
			if a, err = w.get(ctx, p); err == nil && a.Hit() {
				return nil
			}
		}
		if time.Now().After(end) {
			return fmt.Errorf("%v is not kept within %s: %v [%s], %w", p, patience, a, a.Header.Get("Cache-Status"), err)
		}
	}
}
