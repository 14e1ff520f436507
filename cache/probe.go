package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/internal/sys"
	"github.com/cachesrv/cachesrv/cache/key"
)

// probe tries, in the folder itself, what the protocol rests on. A file system is not judged by its name, but for the
// network ones, where another machine's view can't be tried from here.
func (s *Store) probe() error {
	refuse := func(tried, happened string) error {
		return fmt.Errorf("%w: in %s, %s: %s: use a folder on a local file system (ext4, xfs, btrfs, tmpfs and overlayfs are known to work)",
			ErrUnsupported, s.path(""), tried, happened)
	}
	if t, err := sys.FSType(fault.Probe, s.at); err != nil {
		return err
	} else if sys.NFS(t) {
		return refuse("looked at the type of the file system", fmt.Sprintf("it is a network file system (%#x), whose links and locks other machines see late", t))
	}
	name := s.uniqueName("probe")
	if err := s.at.Make(fault.Probe, name); err != nil {
		return fmt.Errorf("%w: name a folder that this user may write (--dir)", err)
	}
	defer func() { _ = removeTree(context.Background(), s.at, name) }()
	d, err := s.at.Open(fault.Probe, name)
	if err != nil {
		return err
	}
	defer d.Close()
	for _, p := range []struct {
		tried string
		f     func(*sys.Dir) error
	}{
		{"published a file " + backEnd, s.probePublish},
		{"published a file whose claim was unlinked, which must fail", s.probeRefusal},
		{"locked a file twice, which must fail", probeLock},
		{"set a modification time to the nanosecond", probeTimes},
		{"made the files \"a\" and \"A\"", probeCase},
		{"renamed a folder that holds a file", probeFolder},
	} {
		if err := p.f(d); err != nil {
			return refuse(p.tried, err.Error())
		}
	}
	if _, inodes, err := sys.Free(fault.Probe, s.at); err != nil {
		return err
	} else if inodes >= 0 && inodes < minInodes {
		return fmt.Errorf("%w: %s has %d free inodes, and fewer than %d would have us evict every page: free some", ErrUnsupported, s.path(""), inodes, minInodes)
	}
	return nil
}

func probeClaim(d *sys.Dir, name string) (*claim, error) {
	fd, err := d.Create(fault.Probe, name+key.ClaimSuffix)
	if err != nil {
		return nil, err
	}
	st, err := sys.Fstat(fault.Probe, fd)
	if err != nil {
		return nil, err
	}
	return &claim{fd: fd, inode: st.Ino, folder: d, file: key.File{Folder: "probe", Base: name}, place: d}, nil
}

func (s *Store) probePublish(d *sys.Dir) error {
	c, err := probeClaim(d, "publish")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, c.fd)
	if err := s.link(fault.Probe, c, d, "publish"); err != nil {
		return err
	}
	st, err := d.Stat(fault.Probe, "publish")
	if err == nil && st.Links != linksPublished {
		err = fmt.Errorf("it has %d links, not %d", st.Links, linksPublished)
	}
	return err
}

func (s *Store) probeRefusal(d *sys.Dir) error {
	c, err := probeClaim(d, "refusal")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, c.fd)
	if _, err := d.Unlink(fault.Probe, "refusal"+key.ClaimSuffix); err != nil {
		return err
	}
	switch err := s.link(fault.Probe, c, d, "refusal"); {
	case err == nil:
		return errors.New("it was published nevertheless")
	case !errors.Is(err, ErrInvalidated):
		return err
	}
	return nil
}

func probeLock(d *sys.Dir) error {
	fd, err := d.Create(fault.Probe, "lock")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, fd)
	again, err := d.OpenFile(fault.Probe, "lock")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, again)
	if ok, err := sys.TryLock(fault.Probe, fd); err != nil || !ok {
		return errors.Join(err, errors.New("the first lock was refused"))
	}
	if ok, err := sys.TryLock(fault.Probe, again); err != nil || ok {
		return errors.Join(err, errors.New("both locks were granted"))
	}
	return nil
}

func probeTimes(d *sys.Dir) error {
	fd, err := d.Create(fault.Probe, "times")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, fd)
	const sec, nsec = 0x7fffffff, 999_999_999 / stampUnit * stampUnit
	if err := sys.SetMtime(fault.Probe, fd, sec, nsec); err != nil {
		return err
	}
	st, err := sys.Fstat(fault.Probe, fd)
	if err == nil && (st.Sec != sec || st.Nsec != nsec) {
		err = fmt.Errorf("it became %d.%09d, not %d.%09d", st.Sec, st.Nsec, sec, nsec)
	}
	return err
}

func probeCase(d *sys.Dir) error {
	fd, err := d.Create(fault.Probe, "a")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, fd)
	upper, err := d.Create(fault.Probe, "A")
	if errors.Is(err, fs.ErrExist) {
		return errors.New("they are one file: the file system does not tell upper from lower case")
	}
	if err != nil {
		return err
	}
	return sys.CloseFD(fault.Probe, upper)
}

func probeFolder(d *sys.Dir) error {
	sub, err := d.OpenOrMake(fault.Probe, "folder/below")
	if err != nil {
		return err
	}
	defer sub.Close()
	fd, err := sub.Create(fault.Probe, "file")
	if err != nil {
		return err
	}
	defer sys.CloseFD(fault.Probe, fd)
	if found, err := d.Rename(fault.Probe, "folder", d, "renamed"); err != nil || !found {
		return errors.Join(err, errors.New("it was not found"))
	}
	if _, err := d.Stat(fault.Probe, "folder/below/file"); !errors.Is(err, os.ErrNotExist) {
		return errors.New("the file is still found under the old name")
	}
	return nil
}
