//go:build linux && (e2e || soak)

package power

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// findings are what a machine finds on a disk.
type findings struct {
	Clean    bool // there was a clean mark
	Versions []int64
	Linked   bool     // the live link of before was there: it lay on the disk, and not in /run
	Early    bool     // it was still there after Open, before replay
	Hits     []*shown // of Lookup, per page, before anything was filled
	Files    []*shown // read through live as another server would
	Problems []cache.Problem
	Log      string
	// Wrong is what does not work after that: filling every page, reading it, committing, filling it again.
	Wrong []string
}

// inspect opens the cache on a disk as the application would, and looks.
func (m *machine) inspect(ctx context.Context) (f findings, err error) {
	mark := filepath.Join(m.Dirs[0], "cache", "clean")
	if m.Forge {
		if err := os.WriteFile(mark, []byte("closed cleanly\n"), 0o644); err != nil {
			return f, err
		}
	}
	_, err = os.Stat(mark)
	f.Clean = err == nil
	a := m.application()
	if err := a.openDatabase(ctx); err != nil {
		return f, err
	}
	if f.Versions, err = a.versions(ctx); err != nil {
		return f, err
	}
	_, err = os.Lstat(a.live())
	f.Linked = err == nil
	var log bytes.Buffer
	if err := a.open(ctx, &log); err != nil {
		return f, err
	}
	if _, err := os.Lstat(a.live()); !errors.Is(err, fs.ErrNotExist) {
		f.Early = true
	}
	if err := a.serve(ctx); err != nil {
		return f, err
	}
	for page := range site.Pages {
		f.Hits = append(f.Hits, a.lookup(page))
		f.Files = append(f.Files, published(filepath.Join(a.live(), "pages"), page))
	}
	f.Log = log.String()
	if m.Glance {
		return f, nil
	}
	r, err := a.store.Check(ctx, cache.CheckOptions{})
	if err != nil {
		return f, err
	}
	f.Problems = r.Problems
	if f.Wrong, err = a.use(ctx, f.Versions); err != nil {
		return f, err
	}
	return f, a.close()
}

// use uses a cache that was opened after a cut.
func (a *application) use(ctx context.Context, versions []int64) (wrong []string, err error) {
	expect := func(page int, when string, got *shown, version int64) {
		if got == nil && version == 0 || got != nil && *got == (shown{Version: version}) {
			return
		}
		wrong = append(wrong, fmt.Sprintf("page %d, %s: %s instead of version %d", page, when, got, version))
	}
	for page, version := range versions {
		if err := a.readUntilHit(ctx, page); err != nil {
			return wrong, err
		}
		expect(page, "filled", a.lookup(page), version)
		if version, err = a.commit(ctx, page); err != nil {
			return wrong, err
		}
		expect(page, "invalidated", a.lookup(page), 0)
		if err := a.readUntilHit(ctx, page); err != nil {
			return wrong, err
		}
		expect(page, "filled again", a.lookup(page), version)
	}
	r, err := a.store.Check(ctx, cache.CheckOptions{})
	for _, p := range r.Problems {
		if p.Broken {
			wrong = append(wrong, p.File+": "+p.What)
		}
	}
	return wrong, err
}

// readUntilHit reads a page until it is a hit, as its claim may be held for a twin. It gives up after a while.
func (a *application) readUntilHit(ctx context.Context, page int) error {
	const attempts = 200
	for range attempts {
		if err := a.read(ctx, page); err != nil {
			return err
		}
		if a.lookup(page) != nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return nil
}
