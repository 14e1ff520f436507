//go:build linux && !cachesrv_portable

package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// linksPublished is how many names a file has between publication and the unlinking of its claim.
const linksPublished = 2

// backEnd names the way of publishing, for messages and the probe.
const backEnd = "by descriptor"

// linkAttempts bounds the tries to take the place of an expired page.
const linkAttempts = 3

// link publishes the claimed file by descriptor:
//
//	linkat(AT_FDCWD, "/proc/self/fd/N", place, name, AT_SYMLINK_FOLLOW)
//
// ENOENT: the file has no name left, as an invalidation, or a plain rm, unlinked the claim. Check and publication are
// one step; rename(2) can't be made conditional on still owning the name.
func (s *Store) link(l fault.Label, c *claim, place *sys.Dir, name string) error {
	if fault.Broken(fault.PublishByRename) && c.gen != nil { // the probe would refuse the folder
		fault.Pause(5 * time.Millisecond)
		if found, err := c.folder.Rename(l, c.file.Base+key.ClaimSuffix, place, name); err != nil || !found {
			return errors.Join(err, ErrInvalidated)
		}
		return nil
	}
	if fault.Broken(fault.CompareAndRename) && c.gen != nil {
		if !c.holdsName() {
			return ErrInvalidated
		}
		fault.Pause(time.Millisecond)
		if found, err := c.folder.Rename(l, c.file.Base+key.ClaimSuffix, place, name); err != nil || !found {
			return errors.Join(err, ErrInvalidated)
		}
		return nil
	}
	if fault.Broken(fault.ReopenedFolder) && c.gen != nil {
		again, err := c.gen.pages.OpenOrMake(l, c.file.Folder)
		if err != nil {
			return err
		}
		defer again.Close()
		place = again
	}
	for range linkAttempts {
		err := sys.Link(l, c.fd, place, name)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("%w: its claim was unlinked", ErrInvalidated)
		case !errors.Is(err, fs.ErrExist):
			return fmt.Errorf("link %s: %w", name, err)
		}
		// A page that expired, or that another process published before our claim. Ours was read later.
		st, err := sys.Fstat(fault.PageLinks, c.fd)
		if err != nil {
			return err
		}
		if st.Links == 0 {
			return fmt.Errorf("%w: its claim was unlinked", ErrInvalidated)
		}
		if _, err := place.Unlink(fault.PageReplace, name); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: others publish it meanwhile", ErrInvalidated)
}

// guard is for the portable back-end; here nothing needs a lock.
func (s *Store) guard(string) (unlock func(), err error) { return func() {}, nil }

// stampUnit is the precision of modification times, in nanoseconds.
const stampUnit = 1
