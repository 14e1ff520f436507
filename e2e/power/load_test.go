//go:build linux && (e2e || soak)

package power

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache"
)

// The application's load.
const (
	fillers        = 3
	committers     = 2
	commitPause    = 4 * time.Millisecond // of a committer between two commits, on average
	lateCommits    = 3                    // of a committer, after the cache was closed
	replayInterval = 30 * time.Millisecond
)

// load is the application under way.
type load struct {
	a       *application
	ending  chan struct{} // closed to end the commits
	fills   sync.WaitGroup
	commits sync.WaitGroup
}

func startLoad(ctx context.Context, a *application, rnd *rand.Rand) *load {
	l := &load{a: a, ending: make(chan struct{})}
	for range fillers {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		l.fills.Go(func() {
			for l.ok(a.read(ctx, rnd.IntN(site.Pages))) && !l.endsFills() {
			}
		})
	}
	for range committers {
		rnd := rand.New(rand.NewPCG(rnd.Uint64(), 0))
		l.commits.Go(func() {
			for late := 0; late < lateCommits && l.pause(upTo(rnd, 2*commitPause)); {
				page := rnd.IntN(site.Pages)
				version, err := a.commit(ctx, page)
				if l.ok(err) {
					say("ack %d %d", page, version)
				} else {
					late++
				}
			}
		})
	}
	return l
}

func (l *load) endsFills() bool {
	select {
	case <-l.ending:
		return l.a.Apart
	default:
		return false
	}
}

// read is what a request does.
func (a *application) read(ctx context.Context, page int) error {
	if a.lookup(page) != nil {
		return nil
	}
	return a.fill(ctx, page)
}

// ok tells whether to go on. No error but one is expected: the test ends with the machine.
func (l *load) ok(err error) bool {
	if err != nil && !errors.Is(err, cache.ErrClosed) {
		fmt.Fprintln(os.Stderr, "machine: under load:", err)
		os.Exit(1)
	}
	return err == nil
}

func (l *load) pause(d time.Duration) bool {
	select {
	case <-l.ending:
		return false
	case <-time.After(d):
		return true
	}
}

// stop stops the application in order. With hooks, commits go on until after the cache is closed: those it can't be told
// of any more are in the outbox. Without, nobody would tell it: they must end first. Fills go on in any case.
//
// Where the database lies on another disk all requests end first, as a server's do. The hooks can be abandoned, which
// is not in order.
func (l *load) stop(abandon bool) error {
	if l.a.Apart || !l.a.Hooks {
		close(l.ending)
		l.commits.Wait()
	}
	if l.a.Apart {
		l.fills.Wait()
	}
	if abandon {
		l.a.hooks = nil
	}
	err := l.a.close()
	l.commits.Wait()
	l.fills.Wait()
	return err
}

// writeBack is the kernel's part: it may write anything that is dirty to the disk, at any time, in any order, and does
// everything within half a minute. That is hurried on, so that a run of seconds sees what a day sees.
func writeBack(dir string, rnd *rand.Rand) {
	for {
		time.Sleep(upTo(rnd, 20*time.Millisecond))
		if rnd.IntN(10) == 0 {
			if d, err := os.Open(dir); err == nil {
				_ = unix.Syncfs(int(d.Fd()))
				_ = d.Close()
			}
			continue
		}
		path := filepath.Join(dir, "cache/current/inventory.db")
		switch rnd.IntN(3) {
		case 0:
			path += "-wal"
		case 1:
			page := site.Key(rnd.IntN(site.Pages)).File()
			path = filepath.Join(dir, "cache/current/pages", []string{page.Page(), page.Private()}[rnd.IntN(2)])
		}
		if f, err := os.Open(path); err == nil {
			_ = unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WAIT_BEFORE|unix.SYNC_FILE_RANGE_WRITE|unix.SYNC_FILE_RANGE_WAIT_AFTER)
			_ = f.Close()
		}
	}
}

// upTo returns a time below d.
func upTo(rnd *rand.Rand, d time.Duration) time.Duration { return time.Duration(rnd.Int64N(int64(d))) }
