package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/gofrs/flock"
	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// liveLink is the one way readers reach pages: a link to DIR/cache/current. Fencing removes it; nothing is moved, so
// invalidators go on unlinking in the real folder.
type liveLink struct {
	path string // of the link
	view atomic.Pointer[liveView]
	shut atomic.Bool // this process must not serve, whatever the link says
}

// A liveView is the held folder of the link. It exists while this process may serve.
type liveView struct{ dir *sys.Dir }

// prefix returns NAME/pages/, relative to the folder of the link.
func (l *liveLink) prefix() string { return filepath.Base(l.path) + "/pages/" }

func (l *liveLink) open() error {
	dir, err := sys.OpenDir(fault.LiveOpen, filepath.Dir(l.path))
	if err != nil {
		return err
	}
	v := &liveView{dir: dir}
	runtime.AddCleanup(v, func(dir *sys.Dir) { _ = dir.Close() }, dir)
	l.view.CompareAndSwap(nil, v)
	return nil
}

// close ends serving. The descriptor goes with its last user: closing it under a reader could hand the reader
// another file.
func (l *liveLink) close() { l.view.Store(nil) }

// stat describes a published file through live, which is what makes it a hit.
func (v *liveView) stat(path []byte, st *unix.Stat_t) bool {
	ok := sys.StatAt(fault.HitStat, v.dir.FD(), path, st)
	runtime.KeepAlive(v)
	return ok
}

// LiveOf returns the path of the live link of a folder that some process has opened before: what Store.Live returns. The folder
// need not be open. Errors wrap fs.ErrNotExist, if no cache is there, or ErrIncompatible.
func LiveOf(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return "", fmt.Errorf("find the live link: %w: name the site's folder (--dir)", err)
	}
	s := &Store{dir: dir}
	f, fresh, err := s.readFormat()
	if err == nil && fresh {
		err = fmt.Errorf("%s: %w: no program has opened this cache yet", s.path("format"), fs.ErrNotExist)
	}
	if err != nil {
		return "", fmt.Errorf("find the live link of %s: %w", dir, err)
	}
	return f.Live, nil
}

// liveName is NAME of the design: 12 hex digits of the digest of DIR's real path.
func liveName(dir string) string {
	sum := sha256.Sum256([]byte(dir))
	return hex.EncodeToString(sum[:6])
}

func removeLink(path string) error {
	err := fault.Do(fault.LiveRemove, fault.Write, path, func() error { return os.Remove(path) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// makeLive makes the link, atomically.
func (s *Store) makeLive() error {
	temporary := s.uniqueName(s.live.path)
	if err := fault.Do(fault.LiveMake, fault.Write, temporary, func() error { return os.Symlink(s.path("current"), temporary) }); err != nil {
		return err
	}
	if err := fault.Do(fault.LiveName, fault.Write, s.live.path, func() error { return os.Rename(temporary, s.live.path) }); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}

// Unfence lets this process serve. Call it when everything the database recorded has been replayed. It also makes the
// live link, through which other servers read, unless the folder is fenced (Fence): then this process serves from
// LiftFence on.
func (s *Store) Unfence(ctx context.Context) error {
	unlock, err := s.lockOpening(ctx)
	if err != nil {
		return fmt.Errorf("unfence: %w", err)
	}
	defer unlock()
	if s.closed.Load() { // the link must not come back after Close has taken it away
		return fmt.Errorf("unfence: %w", ErrClosed)
	}
	s.servingLock.Lock()
	if s.serving == nil {
		l := flock.New(s.path("serving"))
		if err := lockShared(fault.ServingLock, l); err != nil {
			s.servingLock.Unlock()
			_ = l.Close()
			return fmt.Errorf("unfence: %w", err)
		}
		s.serving = l
	}
	s.servingLock.Unlock()
	if err := s.live.open(); err != nil {
		return fmt.Errorf("unfence: open the folder of the live link: %w", err)
	}
	const fencedMessage = "the folder is fenced: answering past the cache until `cachesrv fence off`"
	if reason, fenced := s.FencedBy(); fenced {
		s.log.Warn(fencedMessage, "reason", reason)
		return nil
	}
	if err := s.makeLive(); err != nil {
		return fmt.Errorf("unfence: make the live link: %w", err)
	}
	if reason, fenced := s.FencedBy(); fenced { // since we looked: the link may have been made after Fence removed it
		s.log.Warn(fencedMessage, "reason", reason)
		return removeLink(s.live.path)
	}
	return nil
}

// Fence stops every process and every other server from reading pages, at once, and stays in force over restarts
// until LiftFence. Invalidations go on; nothing is lost.
//
//	unlink live · write fenced, durably
func (s *Store) Fence(ctx context.Context, reason string) error {
	// Not under the opening lock: a fence must not wait. An Unfence that runs meanwhile looks for the mark before and
	// after it makes the link, and we remove the link before and after we make the mark.
	err := removeLink(s.live.path)
	if markErr := s.writeDurable("fenced", []byte(reason+"\n")); markErr != nil {
		err = errors.Join(err, markErr)
	}
	if again := removeLink(s.live.path); again != nil {
		err = errors.Join(err, again)
	}
	if err != nil {
		return fmt.Errorf("fence: %w", err)
	}
	s.log.Warn("fenced: nothing is served from the cache", "reason", reason)
	return ctx.Err()
}

// LiftFence takes back Fence. Where a process that has replayed is running, pages are served again at once; else from
// the next Unfence on.
func (s *Store) LiftFence(ctx context.Context) error {
	unlock, err := s.lockOpening(ctx)
	if err != nil {
		return fmt.Errorf("lift fence: %w", err)
	}
	defer unlock()
	if s.closed.Load() {
		return fmt.Errorf("lift fence: %w", ErrClosed)
	}
	if s.mustDrop() {
		if err := s.dropAll(ctx); err != nil {
			return fmt.Errorf("lift fence: an invalidation failed behind it, and everything can't be dropped either: %w", err)
		}
	}
	if _, err := s.at.Unlink(fault.MarkUnlink, "fenced"); err != nil {
		return fmt.Errorf("lift fence: %w", err)
	}
	if err := s.at.Sync(fault.FolderSync); err != nil {
		return fmt.Errorf("lift fence: %w", err)
	}
	s.servingLock.Lock()
	serving := s.serving != nil
	s.servingLock.Unlock()
	if !serving { // not us: does anyone?
		l := flock.New(s.path("serving"))
		alone, err := tryLock(fault.ServingLock, l)
		if err != nil {
			return fmt.Errorf("lift fence: lock %s: %w", l.Path(), err)
		}
		_ = l.Close()
		if alone {
			return nil
		}
	}
	if err := s.makeLive(); err != nil {
		return fmt.Errorf("lift fence: make the live link: %w", err)
	}
	if _, fenced := s.FencedBy(); fenced { // again, meanwhile
		return removeLink(s.live.path)
	}
	return nil
}

// mustDrop reports whether an invalidation has failed so that everything is to be dropped before anyone reads again.
func (s *Store) mustDrop() bool {
	for _, mark := range []string{"drop", "dropping"} {
		there, err := s.exists(fault.MarkStat, mark)
		if err != nil {
			s.log.Warn("whether an invalidation has failed can't be known; dropping every page", "err", err)
		}
		if err != nil || there {
			return true
		}
	}
	return false
}

// dropAll retires the generation, for an invalidation that could not, and takes the mark of that away. Another one that
// fails meanwhile makes a mark of its own.
func (s *Store) dropAll(ctx context.Context) error {
	if _, err := s.at.Rename(fault.MarkRename, "drop", s.at, "dropping"); err != nil {
		return err
	}
	g, err := s.current(ctx)
	if err != nil {
		return err
	}
	defer g.drop()
	if err := s.retireGeneration(ctx, g, retirement{reason: "an invalidation had failed", lost: true}); err != nil {
		return err
	}
	_, err = s.at.Unlink(fault.MarkUnlink, "dropping")
	return err
}

// FencedBy returns why the folder is fenced, if it is. Unknown counts as fenced.
func (s *Store) FencedBy() (reason string, fenced bool) {
	b, err := s.readMark("fenced")
	switch {
	case err == nil:
		return strings.TrimSpace(string(b)), true
	case !errors.Is(err, fs.ErrNotExist):
		return err.Error(), true
	case s.mustDrop():
		return "an invalidation failed; mend its cause, then run: cachesrv fence off (it drops everything first)", true
	}
	return "", false
}

// failClosed drops so much that no reader can get what an invalidation could not drop or record: the generation, or,
// should even that fail, all reading. It returns an error only when readers may still reach old pages.
// after is that invalidation; nil: one whose position is required already.
func (s *Store) failClosed(ctx context.Context, g *generation, cause error, after *Selection) error {
	s.log.Error("an invalidation failed; dropping everything, as unknown means drop", "err", cause)
	err := s.retireGeneration(ctx, g, retirement{reason: "an invalidation failed: " + cause.Error(), after: after})
	if err == nil {
		return nil
	}
	if fenceErr := s.fenceUntilDropped(ctx, cause); fenceErr != nil {
		return errors.Join(err, fenceErr)
	}
	return nil
}

// fenceUntilDropped stops all reading, for an invalidation that could not drop: whoever lifts the fence drops everything
// first.
func (s *Store) fenceUntilDropped(ctx context.Context, cause error) error {
	// First the mark: without it, a lifted fence or a restart would serve what should be dropped.
	markErr := s.writeDurable("drop", []byte("everything\n"))
	fenceErr := errors.Join(markErr, s.Fence(context.WithoutCancel(ctx),
		"an invalidation failed: "+cause.Error()+"; mend that, then run: cachesrv fence off (it drops everything first)"))
	if fenceErr != nil {
		s.live.shut.Store(true) // at least this process serves no more
		return errors.Join(cause, fenceErr)
	}
	return nil
}
