// Package cache is a store of rendered pages that never serves one older than the last invalidation.
//
// A page is filled by Claim → read → Publish: the claim is an exclusively created file, publication is a hard link
// from the claimed file's descriptor, which the kernel refuses once anyone has unlinked the claim. Invalidate unlinks
// the claim and then the page. docs/PROTOCOL.md states the protocol, and what it rests on.
//
// Several processes may have one folder open; all of them see each other's pages and invalidations at once, as the
// folder itself is the only state that decides. Within a process one Store per folder is enough; its methods may be
// called concurrently.
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// A Store is an open cache folder. Close it.
type Store struct {
	o     Options
	log   *slog.Logger
	dir   string   // DIR, absolute, links resolved
	at    *sys.Dir // DIR/cache
	trash *sys.Dir // DIR/cache/trash

	shared      *flock.Flock // held shared while open
	servingLock sync.Mutex
	serving     *flock.Flock // held shared while this process may serve

	gen     atomic.Pointer[generation]
	calls   atomic.Int64 // references to generations, of all of them
	live    liveLink
	memory  *memory
	twins   *twinMaker
	keep    *upkeep
	journal *journal
	stats   counters
	closed  atomic.Bool
	stamp   atomic.Uint64        // source of unique nanosecond stamps
	serial  atomic.Uint64        // source of unique names in the trash
	retire  sync.Mutex           // one retirement at a time in this process
	clock   func() time.Duration // since the boot
	fresh   bool                 // this process has made the folder, and no generation in it yet
}

// Open opens DIR/cache, creating it if missing. What a crash left open is finished first; after a power cut the store
// starts empty. The store serves nothing (ErrFenced) until Unfence: replay what your database has recorded in the
// meantime, then call it. Errors wrap ErrUnsupported, ErrIncompatible, or the file system's.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Dir == "" {
		return nil, errors.New("open cache: Options.Dir is empty: name the folder that is to hold the cache")
	}
	o = o.withDefaults()
	if o.Settle > MaxSettle {
		return nil, fmt.Errorf("open cache in %s: Options.Settle is %s: %w", o.Dir, o.Settle, errSettle)
	}
	dir, err := filepath.Abs(o.Dir)
	if err == nil {
		err = fault.Do(fault.CacheMake, fault.Write, dir, func() error { return os.MkdirAll(filepath.Join(dir, "cache"), 0o755) })
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return nil, fmt.Errorf("open cache in %s: %w: name a folder that this user may write (--dir)", o.Dir, err)
	}
	s := &Store{o: o, log: o.Logger, dir: dir, memory: newMemory(o.MemoryBytes), clock: o.BootClock}
	s.keep = newUpkeep(s)
	if err := s.open(ctx); err != nil {
		s.release()
		return nil, fmt.Errorf("open cache in %s: %w", dir, err)
	}
	s.twins = startTwinMaker(s)
	s.keep.start()
	s.journal = startJournal(s.path(""))
	return s, nil
}

func (s *Store) path(name string) string { return filepath.Join(s.dir, "cache", name) }

// Dir returns the absolute path of the folder that holds cache/.
func (s *Store) Dir() string { return s.dir }

// PageMax returns the largest body that is stored, in bytes.
func (s *Store) PageMax() int64 { return s.o.PageMax }

// MaxTags returns how many tags a page may have.
func (s *Store) MaxTags() int { return s.o.MaxTags }

// Live returns the path of the live link, through which other servers read: pages lie in Live()/pages. It names nothing
// before Unfence, and while the folder is fenced.
func (s *Store) Live() string { return s.live.path }

// Plain reports whether the folder was created with Options.Plain.
func (s *Store) Plain() bool { return s.o.Plain }

// Close waits for fills and invalidations under way, 10 s at most. The last process to close a folder leaves a clean
// mark: its pages survive even a change of boot.
func (s *Store) Close() error {
	if s.closed.Swap(true) {
		return nil
	}
	s.twins.stop()
	s.keep.stop()
	err := s.leave()
	s.journal.stop() // what was under way is written down, too
	s.release()
	if err != nil {
		return fmt.Errorf("close cache in %s: %w", s.dir, err)
	}
	return nil
}

// release frees descriptors and locks; it is the end of Close, and of a failed Open.
func (s *Store) release() {
	if g := s.gen.Swap(nil); g != nil { // of a failed Open
		g.drop()
	}
	s.live.close()
	for _, l := range []*flock.Flock{s.serving, s.shared} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.calls.Load() == 0 { // else calls under way still use them; closing them could hand these calls other folders
		_ = s.trash.Close()
		_ = s.at.Close()
	}
}

// lockOpening takes the lock that orders openings, closings and changes of live among processes.
func (s *Store) lockOpening(ctx context.Context) (unlock func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, openingTimeout)
	defer cancel()
	l := flock.New(s.path("opening"))
	if err := waitLock(ctx, fault.OpeningLock, l, 5*time.Millisecond); err != nil {
		_ = l.Close()
		if errors.Is(err, context.DeadlineExceeded) {
			return nil, fmt.Errorf("%s is locked: another process has been opening or closing this folder for %s: look for one that hangs (fuser %s)", l.Path(), openingTimeout, l.Path())
		}
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return func() { _ = l.Close() }, nil
}

// waitLock takes a lock that others hold for a short time.
func waitLock(ctx context.Context, label fault.Label, l *flock.Flock, pause time.Duration) error {
	for {
		if ok, err := tryLock(label, l); ok || err != nil {
			return err
		}
		select {
		case <-fault.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func tryLock(label fault.Label, l *flock.Flock) (ok bool, err error) {
	err = fault.Do(label, fault.Write, l.Path(), func() (err error) { ok, err = l.TryLock(); return err })
	fault.Saw(label, ok)
	return ok && err == nil, err
}

// openingTimeout bounds the wait for another process that opens or closes the folder.
const openingTimeout = 15 * time.Second

// exists reports whether a small file of ours is there.
func (s *Store) exists(l fault.Label, name string) (bool, error) {
	_, err := s.at.Stat(l, name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// uniqueName names something that is moved to the trash.
func (s *Store) uniqueName(what string) string {
	return fmt.Sprintf("%s.%d.%x.%d", what, os.Getpid(), time.Now().UnixNano(), s.serial.Add(1))
}
