package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gofrs/flock"
	"github.com/google/renameio/v2"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
)

// The files of DIR/cache, beside the generations:
//
//	format   what made this folder, and how (YAML; durable)
//	opening  lock: held while a process opens, closes, or changes live
//	lock     lock: held shared by every process that has the folder open
//	serving  lock: held shared by every process that may serve
//	generations, upkeep  locks: held while a generation is retired, and for the background work of all processes
//	boot     the boot during which the folder was last opened (durable)
//	clean    written by the last process to close (durable); removed by the next one to open
//	fenced   why an operator, or a failure, fenced the folder (durable)
//	drop, dropping  an invalidation failed: everything is to be dropped before anyone reads again (durable)
//	current  link to the generation
//	live     link to current, where no better place for it was found
//	trash/   what was dropped, waiting to be removed
//	withheld/ selections of commits whose outcome isn't known
const formatVersion = 1

// format is the content of the file of that name.
type format struct {
	Version int    `yaml:"cachesrv-cache"`
	Plain   bool   `yaml:"plain"`
	Live    string `yaml:"live"` // where the live link lies
	// Settle is that of generations made from here on; that of the current one stands in its name.
	Settle time.Duration `yaml:"settle,omitempty"`
}

// open is Open without the parts that only this process sees.
//
// The first opener, known by an exclusive lock, recovers: it removes live before anything else, judges the clean mark
// and the boot, and redoes open intents. Later ones join.
func (s *Store) open(ctx context.Context) error {
	var err error
	if s.at, err = sys.OpenDir(fault.CacheOpen, s.path("")); err != nil {
		return fmt.Errorf("%w: name a folder that this user may read and write (--dir)", err)
	}
	if s.trash, err = s.at.OpenOrMake(fault.CacheOpen, "trash"); err != nil {
		return fmt.Errorf("%w: name a folder that this user may read and write (--dir)", err)
	}
	unlock, err := s.lockOpening(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if err := s.makeLocks(); err != nil {
		return err
	}
	s.shared = flock.New(s.path("lock"))
	first, err := tryLock(fault.SharedLock, s.shared)
	if err != nil {
		return fmt.Errorf("lock %s: %w", s.shared.Path(), err)
	}
	f, fresh, err := s.readFormat()
	if err != nil {
		return err
	}
	if f, err = s.agree(f, fresh, first); err != nil {
		return err
	}
	s.o.Plain = f.Plain
	s.live.path = f.Live
	s.fresh = fresh
	if first {
		if err := s.recover(ctx); err != nil {
			return err
		}
	}
	if err := s.follow(ctx); err != nil {
		return err
	}
	if g := s.gen.Load(); g.settle != f.Settle {
		if err := s.retireGeneration(ctx, g, retirement{
			reason: "the time to settle is " + f.Settle.String() + " now", keepSources: true, unsettles: f.Settle == 0}); err != nil {
			return err
		}
	}
	if first {
		if err := s.redoIntents(ctx, s.gen.Load(), -1); err != nil {
			return err
		}
	}
	// From exclusive to shared: not atomic, but nobody else opens or closes meanwhile.
	return lockShared(fault.SharedLock, s.shared)
}

// lockShared takes a lock shared that nobody can be holding otherwise.
func lockShared(label fault.Label, l *flock.Flock) error {
	ok := false
	err := fault.Do(label, fault.Write, l.Path(), func() (err error) { ok, err = l.TryRLock(); return err })
	if err == nil && !ok {
		err = errors.New("someone holds it exclusively")
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return nil
}

// makeLocks makes the lock files while there is space: dropping everything must not need any.
func (s *Store) makeLocks() error {
	for _, name := range []string{"generations", "serving", "upkeep"} {
		if err := fault.Do(fault.LockMake, fault.Write, name, func() error {
			f, err := os.OpenFile(s.path(name), os.O_CREATE|os.O_RDWR, 0o644)
			if err != nil {
				return err
			}
			return f.Close()
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) readFormat() (f format, fresh bool, err error) {
	b, err := s.readMark("format")
	if errors.Is(err, fs.ErrNotExist) {
		return f, true, nil
	}
	if err != nil {
		return f, false, err
	}
	if err := yaml.Unmarshal(b, &f); err != nil || f.Version == 0 || f.Live == "" {
		return f, false, fmt.Errorf("%w: %s can't be read: a cache holds nothing that is not in your database: remove %s and start again",
			ErrIncompatible, s.path("format"), s.path(""))
	}
	if f.Settle < 0 || f.Settle > MaxSettle {
		return f, false, fmt.Errorf("%w: %s says settle: %s: %w: remove %s and start again", ErrIncompatible, s.path("format"), f.Settle, errSettle, s.path(""))
	}
	if f.Version != formatVersion {
		return f, false, fmt.Errorf("%w: %s says version %d, this program writes version %d: use the program that made it, or another --dir, or remove %s",
			ErrIncompatible, s.path("format"), f.Version, formatVersion, s.path(""))
	}
	return f, false, nil
}

// agree fixes the folder's settings: its first opener chooses, the others follow, but may make the time to settle longer.
func (s *Store) agree(f format, fresh, first bool) (format, error) {
	if !fresh && s.o.Plain && !f.Plain {
		return f, fmt.Errorf("%w: the folder was created without --plain: use another --dir, or remove %s", ErrIncompatible, s.path(""))
	}
	if !first {
		if fresh {
			return f, fmt.Errorf("%w: it is in use, but %s is gone: stop its users and remove %s", ErrIncompatible, s.path("format"), s.path(""))
		}
		if want := s.o.Live; want != "" && want != f.Live {
			return f, fmt.Errorf("%w: processes that have the folder open use the live link %s, not %s: stop them first", ErrIncompatible, f.Live, want)
		}
		if s.o.Settle <= f.Settle {
			return f, nil
		}
		f.Settle = s.o.Settle
		return f, s.writeFormat(f)
	}
	if fresh {
		if err := s.probe(); err != nil {
			return f, err
		}
	}
	old := f
	if fresh {
		f = format{Version: formatVersion, Plain: s.o.Plain}
	}
	live, err := s.chooseLive(f.Live)
	if err != nil {
		return f, err
	}
	if old.Live != "" && old.Live != live {
		if err := removeLink(old.Live); err != nil {
			return f, fmt.Errorf("remove the live link of an earlier run: %w", err)
		}
	}
	f.Live = live
	if s.o.Settle != 0 {
		f.Settle = max(0, s.o.Settle)
	}
	if f == old {
		return f, nil
	}
	return f, s.writeFormat(f)
}

func (s *Store) writeFormat(f format) error {
	b, err := f.text()
	if err != nil {
		return err
	}
	return s.writeDurable("format", b)
}

// text is the content of the file. A path that YAML does not give back as it was is refused: others would look for the
// live link, and remove it for a fence, at another place.
func (f format) text() ([]byte, error) {
	b, err := yaml.Marshal(f)
	if err != nil {
		return nil, err
	}
	var back format
	if err := yaml.Unmarshal(b, &back); err != nil || back != f {
		return nil, fmt.Errorf("the path of the live link, %q, can't be noted in the folder: use one of plain characters (--live)", f.Live)
	}
	return b, nil
}

// chooseLive finds the place of the live link: as asked, as before, or the first of the defaults where a link can be
// made. A folder that vanishes at boot is best: then no other server can serve from ours before we have replayed.
func (s *Store) chooseLive(before string) (string, error) {
	name := liveName(s.dir)
	candidates := []string{filepath.Join("/run/cachesrv", name)}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		candidates = append(candidates, filepath.Join(dir, "cachesrv", name))
	}
	candidates = append(candidates, s.path("live"))
	if before != "" {
		candidates = append([]string{before}, candidates...)
	}
	if s.o.Live != "" {
		abs, err := filepath.Abs(s.o.Live)
		if err != nil {
			return "", err
		}
		candidates = []string{abs}
	}
	var err error
	for _, c := range candidates {
		if err = tryLink(c); err == nil {
			return c, nil
		}
	}
	return "", fmt.Errorf("make the live link: %w: name a place for it that this user may write (--live)", err)
}

// tryLink reports whether a link can be made beside path.
func tryLink(path string) error {
	if st, err := os.Lstat(path); err == nil && st.Mode()&fs.ModeSymlink == 0 {
		return fmt.Errorf("%s exists and is not a link", path)
	}
	if err := fault.Do(fault.LiveProbe, fault.Write, path, func() error { return os.MkdirAll(filepath.Dir(path), 0o755) }); err != nil {
		return err
	}
	probe := fmt.Sprintf("%s.probe.%d", path, os.Getpid())
	_ = os.Remove(probe)
	return fault.Do(fault.LiveProbe, fault.Write, probe, func() error {
		if err := os.Symlink("probe", probe); err != nil {
			return err
		}
		return os.Remove(probe)
	})
}

// recover brings a folder that nobody has open to a state from which it can be served after replay.
//
//	unlink live                            no reader may see what was not replayed
//	unlink clean, fsync                    the mark is good for one opening
//	unclean and another boot: retire       after a power cut unlinked pages are back, unsynced ones empty
//	write boot, durably                    only now: dying earlier must end in the same judgement
func (s *Store) recover(ctx context.Context) error {
	if err := removeLink(s.live.path); err != nil {
		return fmt.Errorf("remove the live link: %w", err)
	}
	clean, err := s.at.Unlink(fault.MarkUnlink, "clean")
	if err == nil && clean {
		err = s.at.Sync(fault.FolderSync)
	}
	if err != nil {
		return err
	}
	boot := s.o.BootID
	if boot == "" {
		if boot, err = sys.BootID(fault.BootRead); err != nil {
			s.log.Warn("the boot can't be told from the last one; pages survive only a clean stop", "err", err)
			boot = s.uniqueName("unknown") // equals no other
		}
	}
	if s.mustDrop() {
		err := s.retireAll()
		for _, mark := range []string{"drop", "dropping"} {
			if err == nil {
				_, err = s.at.Unlink(fault.MarkUnlink, mark)
			}
		}
		if err != nil {
			return fmt.Errorf("drop what an invalidation could not: %w", err)
		}
	}
	last, err := s.readMark("boot")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if same := strings.TrimSpace(string(last)) == boot; !same {
		if !clean && len(last) > 0 {
			s.log.Warn("the machine stopped without a clean close; starting empty", "dir", s.dir)
		}
		if !clean {
			if err := s.retireAll(); err != nil {
				return fmt.Errorf("drop the pages of before the restart: %w", err)
			}
		}
		if err := s.writeDurable("boot", []byte(boot+"\n")); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// leave ends this process's use of the folder; the last one out makes it safe against a change of boot:
//
//	wait for calls under way · unlink live · close the inventory (checkpoints) · syncfs · write clean, durably
//
// What an invalidation would still unlink after the syncfs could come back under a clean mark: so where calls don't
// end in time, there is none.
func (s *Store) leave() error {
	drained := s.drain()
	unlock, err := s.lockOpening(context.Background())
	if err != nil {
		return err
	}
	defer unlock()
	s.servingLock.Lock()
	if s.serving != nil {
		_ = s.serving.Unlock()
	}
	s.servingLock.Unlock()
	if !drained {
		return fmt.Errorf("fills or invalidations were still under way after %s: the pages will not survive a reboot", closeTimeout)
	}
	if err := fault.Do(fault.SharedUnlock, fault.Write, "lock", s.shared.Unlock); err != nil {
		return err
	}
	last, err := tryLock(fault.SharedLock, s.shared)
	if err != nil || !last {
		return err
	}
	if err := removeLink(s.live.path); err != nil {
		return err
	}
	if err := sys.SyncFS(fault.SyncFS, s.at); err != nil {
		return err
	}
	return s.writeDurable("clean", []byte("closed cleanly\n"))
}

// closeTimeout bounds Close's wait for calls under way.
const closeTimeout = 10 * time.Second

// drain gives the generation up and waits until no call uses this one or an earlier one any more. From here on current
// fails with ErrClosed.
func (s *Store) drain() bool {
	s.retire.Lock()
	g := s.gen.Swap(nil)
	s.retire.Unlock()
	if g != nil {
		g.drop()
	}
	for end := time.Now().Add(closeTimeout); s.calls.Load() > 0; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// writeDurable replaces a small file of ours so that it survives a power cut: renameio syncs the file, we the folder.
func (s *Store) writeDurable(name string, content []byte) error {
	if err := fault.Do(fault.MarkWrite, fault.Write, name, func() error {
		root, err := os.OpenRoot(s.path(""))
		if err != nil {
			return err
		}
		defer root.Close()
		return renameio.WriteFile(name, content, 0o644, renameio.WithRoot(root))
	}); err != nil {
		return fmt.Errorf("write %s: %w", s.path(name), err)
	}
	return s.at.Sync(fault.FolderSync)
}

// readMark reads a small file of ours.
func (s *Store) readMark(name string) (content []byte, err error) {
	err = fault.Do(fault.MarkRead, fault.Read, name, func() (err error) {
		content, err = os.ReadFile(s.path(name))
		return err
	})
	fault.Saw(fault.MarkRead, string(content))
	return content, err
}

// syncFolder makes the entries of a folder below DIR/cache durable.
func (s *Store) syncFolder(name string) error {
	d, err := s.at.Open(fault.FolderSync, name)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync(fault.FolderSync)
}
