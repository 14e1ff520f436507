package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A claim is the exclusive .tmp of a URL: fills and twin makers hold one. It keeps the folders it was made in, never
// opened again, so that what is published after a subtree was dropped lands in the trash with them. That is also why
// private pages lie beside the others: with a tree of their own, the claim could be in the trash, out of every
// invalidation's reach, and the page's folder not.
type claim struct {
	gen    *generation
	file   key.File
	fd     int      // the claimed file, with its flock
	inode  uint64   // of the claimed file
	folder *sys.Dir // of the claim
	place  *sys.Dir // where the page goes: folder, or its sub-folder of variants
	taken  time.Time
	noted  int64         // the invalidation counter, read after the claim
	clock  time.Duration // since the boot, at the claim; only where something settles

	published bool // the file has its name
}

// claimAttempts bounds the tries for a name that others keep taking or whose folder keeps vanishing.
const claimAttempts = 20

// claim takes the claim of a key's URL, reclaiming one whose owner died.
//
//	openat2 pages/FOLDER
//	openat NAME.tmp O_CREAT|O_EXCL · flock             EEXIST: see reclaim
//	read the invalidation counter
func (s *Store) claim(ctx context.Context, k Key) (*claim, error) {
	if k.Host == "" || k.Path == "" {
		return nil, fmt.Errorf("claim %q: %w: a page's key has a host and a path", k, key.ErrInvalid)
	}
	if s.o.Plain && k.Variant != "" {
		return nil, fmt.Errorf("claim %q: %w: a plain folder has one variant per URL", k, key.ErrUncacheable)
	}
	g, err := s.current(ctx)
	if err != nil {
		return nil, fmt.Errorf("claim %s: %w", k, err)
	}
	c := &claim{gen: g, file: k.File(), fd: -1}
	if err := c.take(); err != nil {
		c.close()
		return nil, fmt.Errorf("claim %s: %w", k, err)
	}
	c.taken = time.Now()
	if c.noted, err = g.inv.Counter(ctx); err != nil {
		c.unlinkOwn()
		c.close()
		return nil, fmt.Errorf("claim %s: %w", k, err)
	}
	if g.settle > 0 {
		c.clock = s.clock()
	}
	return c, nil
}

func (c *claim) take() error {
	name := c.file.Base + key.ClaimSuffix
	for range claimAttempts {
		if err := c.openFolders(); err != nil {
			return err
		}
		fd, err := c.folder.Create(fault.ClaimCreate, name)
		switch {
		case err == nil:
			locked, err := sys.TryLock(fault.ClaimLock, fd)
			if err != nil || !locked {
				// Between our two calls someone took the new file for an orphan, and is about to unlink it.
				_ = sys.CloseFD(fault.ClaimClose, fd)
				return errors.Join(err, ErrClaimed)
			}
			c.fd = fd
			c.inode, err = sys.Inode(fault.ClaimStat, fd)
			return err
		case errors.Is(err, fs.ErrExist):
			gone, err := reclaim(c.folder, name)
			if err != nil {
				return err
			}
			if !gone {
				return ErrClaimed
			}
		case errors.Is(err, fs.ErrNotExist): // the folder was removed meanwhile
		default:
			return err
		}
	}
	return ErrClaimed
}

// openFolders opens the folder of the claim, and for a variant its sub-folder.
func (c *claim) openFolders() error {
	c.closeFolders()
	var err error
	if c.folder, err = c.gen.pages.OpenOrMake(fault.ClaimFolder, c.file.Folder); err != nil {
		return err
	}
	c.place = c.folder
	if c.file.Variant != "" {
		c.place, err = c.folder.OpenOrMake(fault.ClaimFolder, c.file.Base+key.VariantSuffix)
	}
	return err
}

// name is the page's name within its place.
func (c *claim) name(private bool) string {
	_, name := splitLast(c.file.Page())
	if private {
		name += key.PrivateSuffix
	}
	return name
}

// reclaim unlinks a claim whose owner died: the kernel gave its lock back. It reports whether the name is free now.
func reclaim(folder *sys.Dir, name string) (gone bool, err error) {
	fd, err := folder.OpenFile(fault.OrphanOpen, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return removeForeign(folder, name, err)
	}
	defer sys.CloseFD(fault.OrphanClose, fd)
	st, err := sys.Fstat(fault.OrphanStat, fd)
	if err != nil {
		return false, err
	}
	if !st.Regular() {
		return removeForeign(folder, name, nil)
	}
	if locked, err := sys.TryLock(fault.OrphanLock, fd); err != nil || !locked {
		return false, err
	}
	// We hold the lock of this inode; is it still the one at the name? While we do, nobody else reclaims it.
	at, err := folder.Stat(fault.OrphanName, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if at.Ino != st.Ino || at.Dev != st.Dev {
		return false, nil
	}
	_, err = folder.Unlink(fault.OrphanUnlink, name)
	return err == nil, err
}

// removeForeign removes what was planted at a claim's name: a link, a FIFO, a socket. Nobody can hold such a claim.
func removeForeign(folder *sys.Dir, name string, openErr error) (gone bool, err error) {
	st, err := folder.Stat(fault.OrphanName, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if st.Regular() || st.IsDir() {
		return false, openErr
	}
	_, err = folder.Unlink(fault.OrphanUnlink, name)
	return err == nil, err
}

// holdsName reports whether the claim's name still is that of our file. The link count alone can't tell: a copy made
// by cp -al stands in for the name that an invalidation has unlinked.
func (c *claim) holdsName() bool {
	at, err := c.folder.Stat(fault.ClaimName, c.file.Base+key.ClaimSuffix)
	return err == nil && at.Ino == c.inode
}

// unlinkOwn gives the claim's name back, if it is still ours.
func (c *claim) unlinkOwn() {
	if c.fd < 0 || c.published && linksPublished == 1 {
		return // there is none, or the portable back-end renamed it away
	}
	if c.holdsName() {
		_, _ = c.folder.Unlink(fault.ClaimUnlink, c.file.Base+key.ClaimSuffix)
	}
}

// close lets go of the lock and the folders.
func (c *claim) close() {
	if c.fd >= 0 {
		_ = sys.CloseFD(fault.ClaimClose, c.fd)
		c.fd = -1
	}
	c.closeFolders()
	if c.gen != nil {
		c.gen.drop()
		c.gen = nil
	}
}

func (c *claim) closeFolders() {
	if c.place != c.folder {
		_ = c.place.Close()
	}
	_ = c.folder.Close()
	c.folder, c.place = nil, nil
}
