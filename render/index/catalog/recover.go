package catalog

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"
)

// settleChunk bounds the intents settled under one hold of the lock.
const settleChunk = 100

// run sweeps now and then, until ctx ends.
func (c *Catalog) run(ctx context.Context) {
	defer close(c.stopped)
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := c.sweep(ctx, false); err != nil && ctx.Err() == nil {
			c.log.Warn("what uploads and deletions have left behind can't be settled; trying again", "err", err)
		}
	}
}

// sweep settles what the dead have left in incoming. What the living have there is locked, but for the intents of
// deletions: those can be settled at any time.
func (c *Catalog) sweep(ctx context.Context, first bool) error {
	names, err := c.incomingNames()
	if err != nil {
		return err
	}
	var intents []intent
	var trouble error // of one file doesn't keep the others
	for _, name := range names {
		it, isIntent := parseIntent(name)
		switch {
		case isIntent:
			dead, err := c.dead(it.name, false)
			if dead {
				intents = append(intents, it)
			}
			trouble = cmp.Or(trouble, err)
		case strings.HasSuffix(name, partSuffix), strings.HasSuffix(name, metaSuffix):
			_, err := c.dead(path.Join(incomingDir, name), true)
			trouble = cmp.Or(trouble, err)
		case first:
			c.log.Warn("a file that isn't ours lies among those that arrive; leaving it alone", "folder", path.Join(c.root.Name(), incomingDir), "file", name)
		}
	}
	return cmp.Or(c.settle(ctx, intents), trouble)
}

// sweepNames bounds the names looked at in one sweep.
const sweepNames = 10_000

func (c *Catalog) incomingNames() ([]string, error) {
	folder, err := c.root.Open(incomingDir)
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	names, err := folder.Readdirnames(sweepNames)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return names, err
}

// dead reports whether nobody has a file's lock, and may remove it then, before somebody else could take the lock.
func (c *Catalog) dead(name string, remove bool) (bool, error) {
	f, err := c.root.OpenFile(name, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) { // it was just settled
		return false, nil
	} else if err != nil {
		return false, err
	}
	defer f.Close()
	free, err := tryLock(f)
	if err != nil || !free || !c.holds(name, f) {
		return false, err
	}
	if remove {
		err = c.remove(name)
	}
	return true, err
}

// settleSoon settles intents now, or leaves it to the sweep. It is not the caller's context that ends it.
func (c *Catalog) settleSoon(ctx context.Context, intents []intent) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	if err := c.settle(ctx, intents); err != nil {
		c.log.Warn("what an upload or a deletion has left behind can't be settled now; trying again within a minute", "err", err)
	}
}

// settle decides, for each place that an intent names, whether a file lies there rightly: it has a row, or it goes. It
// holds the lock meanwhile, so that no row is about to come or to go.
//
// The sequence: overwrite; BEGIN; lock the serial; SELECT the rows; unlink files without one, fsync their folders;
// ROLLBACK; unlink the intents.
func (c *Catalog) settle(ctx context.Context, intents []intent) error {
	for len(intents) > 0 {
		n := min(len(intents), settleChunk)
		if err := c.overwrite(ctx); err != nil {
			return err
		}
		err := c.transact(ctx, func(ctx context.Context, tx transaction) error {
			if err := hold(ctx, tx); err != nil {
				return err
			}
			for _, it := range intents[:n] {
				var blake2b string
				err := get(ctx, tx, "SELECT blake2b FROM index_file WHERE filename = $1 AND blake2b = $2", a(it.filename, it.blake2b), &blake2b)
				if errors.Is(err, errNoRow) {
					err = c.unlink(it.place)
				}
				if err != nil {
					return fmt.Errorf("%s: %w", it.path(), err)
				}
			}
			return errUnchanged
		})
		if !errors.Is(err, errUnchanged) {
			return err
		}
		for _, it := range intents[:n] {
			if err := c.remove(it.name); err != nil {
				return err
			}
		}
		intents = intents[n:]
	}
	return nil
}

// overwrite makes the end of every change before it final. A COMMIT that failed as SQLite's log could not be synced has
// left its pages there, whole: nobody sees them, but after a crash they would be read, and the rows of an upload would
// be back whose files are gone. The next commit that writes a page takes their place. (An UPDATE that changes nothing
// writes none.)
func (c *Catalog) overwrite(ctx context.Context) error {
	return c.transact(ctx, func(ctx context.Context, tx transaction) error {
		if err := hold(ctx, tx); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, "INSERT INTO index_gone (filename, project, serial) VALUES ('', '', 0)"); err != nil {
			return err
		}
		_, err := tx.exec(ctx, "DELETE FROM index_gone WHERE filename = ''")
		return err
	})
}
