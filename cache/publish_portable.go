//go:build !linux || cachesrv_portable

package cache

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"

	"github.com/gofrs/flock"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// The portable back-end publishes by rename, under a lock that every invalidation takes too. It is correct as long as
// everybody invalidates through this package: a bare rm is not enough.

// linksPublished: the rename takes the claim's name away.
const linksPublished = 1

// backEnd names the way of publishing, for messages and the probe.
const backEnd = "by rename under a lock"

// stripes is the number of lock files; keys are spread over them.
const stripes = 64

// guard takes the lock of a file's stripe: while it is held, nobody publishes or drops that file.
func (s *Store) guard(claim string) (unlock func(), err error) {
	h := fnv.New32a()
	h.Write([]byte(claim))
	folder, err := s.at.OpenOrMake(fault.StripeLock, "stripes")
	if err != nil {
		return nil, err
	}
	defer folder.Close()
	l := flock.New(s.path(fmt.Sprintf("stripes/%02d", h.Sum32()%stripes)))
	if err := fault.Do(fault.StripeLock, fault.Write, "stripes", l.Lock); err != nil {
		return nil, fmt.Errorf("lock %s: %w", l.Path(), err)
	}
	return func() { _ = l.Close() }, nil
}

// link publishes the claimed file:
//
//	flock stripe · fstat the claimed file, fstatat NAME.tmp: the same? · renameat NAME.tmp NAME
func (s *Store) link(label fault.Label, c *claim, place *sys.Dir, name string) error {
	unlock, err := s.guard(c.file.Claim())
	if err != nil {
		return err
	}
	defer unlock()
	st, err := sys.Fstat(fault.PageLinks, c.fd)
	if err != nil {
		return err
	}
	at, err := c.folder.Stat(fault.ClaimName, c.file.Base+key.ClaimSuffix)
	if errors.Is(err, fs.ErrNotExist) || err == nil && (at.Ino != st.Ino || at.Dev != st.Dev) {
		return fmt.Errorf("%w: its claim was unlinked", ErrInvalidated)
	}
	if err != nil {
		return err
	}
	found, err := c.folder.Rename(label, c.file.Base+key.ClaimSuffix, place, name)
	if err == nil && !found {
		err = fmt.Errorf("%w: its claim was unlinked", ErrInvalidated)
	}
	return err
}

// stampUnit is the precision of modification times that can be set everywhere, in nanoseconds.
const stampUnit = 1000
