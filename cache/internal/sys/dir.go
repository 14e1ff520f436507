// Package sys holds the file-system calls of the page protocol, each made relative to a held folder descriptor.
// Nothing here decides anything: the packages above state the order of calls and why it is that one.
//
// Each function takes the label of what the call is for, by which tests fail it, stop before it, and order it (package
// fault); in other builds labels have no size.
package sys

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// An FD is a descriptor, as a scheduler is told of it (fault.Saw).
type FD int

// opened ends a call that opens a file. One that was opened, and is not to be believed, is closed again.
func opened(l fault.Label, fd int, err error) (int, error) {
	if failed := fault.Leave(l, err); failed != nil {
		if err == nil {
			_ = unix.Close(fd)
		}
		return -1, failed
	}
	fault.Saw(l, FD(fd))
	return fd, nil
}

// A Dir is a held folder. Its methods are safe for concurrent use until Close.
type Dir struct {
	fd   int
	path string // for messages only
}

// OpenDir opens a folder by its path, following links.
func OpenDir(l fault.Label, path string) (*Dir, error) {
	err := fault.Enter(l, fault.Read, path)
	fd := -1
	if err == nil {
		fd, err = retry(func() (int, error) {
			return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
		fd, err = opened(l, fd, err)
	}
	if err != nil {
		return nil, &fs.PathError{Op: "open folder", Path: path, Err: err}
	}
	return &Dir{fd: fd, path: path}, nil
}

// Close releases the descriptor.
func (d *Dir) Close() error {
	if d == nil {
		return nil
	}
	return unix.Close(d.fd)
}

// FD returns the descriptor; it stays owned by d.
func (d *Dir) FD() int { return d.fd }

// Path returns the path the folder had when it was opened, for messages.
func (d *Dir) Path() string { return d.path }

func (d *Dir) fail(op, name string, err error) error {
	return &fs.PathError{Op: op, Path: d.path + "/" + name, Err: err}
}

// Open opens a folder below d. No component may be a symbolic link or leave d.
func (d *Dir) Open(l fault.Label, rel string) (*Dir, error) {
	fd, err := openFolder(l, d.fd, rel)
	if err != nil {
		return nil, d.fail("open folder", rel, err)
	}
	return &Dir{fd: fd, path: d.path + "/" + rel}, nil
}

func openFolder(l fault.Label, at int, rel string) (int, error) {
	if err := fault.Enter(l, fault.Read, rel); err != nil {
		return -1, err
	}
	fd, err := openBeneath(at, rel)
	return opened(l, fd, err)
}

func makeFolder(l fault.Label, at int, name string) error {
	if err := fault.Enter(l, fault.Write, name); err != nil {
		return err
	}
	return fault.Leave(l, unix.Mkdirat(at, name, 0o755))
}

// OpenOrMake is Open, making what is missing.
func (d *Dir) OpenOrMake(l fault.Label, rel string) (*Dir, error) {
	// A folder made here may be renamed away or removed, if empty, before the next component is made in it; then the
	// walk starts again from the top.
	const attempts = 100
	for range attempts {
		sub, err := d.Open(l, rel)
		if !errors.Is(err, fs.ErrNotExist) {
			return sub, err
		}
		if err := d.makeAll(l, rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, d.fail("make folder", rel, unix.EAGAIN)
}

func (d *Dir) makeAll(l fault.Label, rel string) error {
	at := d.fd
	for name := range strings.SplitSeq(rel, "/") {
		if err := makeFolder(l, at, name); err != nil && err != unix.EEXIST {
			if at != d.fd {
				unix.Close(at)
			}
			return d.fail("make folder", rel, err)
		}
		next, err := openFolder(l, at, name)
		if at != d.fd {
			unix.Close(at)
		}
		if err != nil {
			return d.fail("open folder", rel, err)
		}
		at = next
	}
	return unix.Close(at)
}

// Make makes one folder.
func (d *Dir) Make(l fault.Label, name string) error {
	if err := makeFolder(l, d.fd, name); err != nil {
		return d.fail("make folder", name, err)
	}
	return nil
}

// Create creates a file that did not exist, for reading and writing.
func (d *Dir) Create(l fault.Label, name string) (int, error) {
	return d.openFile(l, fault.Write, "create", name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC)
}

func (d *Dir) openFile(l fault.Label, m fault.Mode, op, name string, flags int) (int, error) {
	if err := fault.Enter(l, m, name); err != nil {
		return -1, d.fail(op, name, err)
	}
	fd, err := retry(func() (int, error) { return unix.Openat(d.fd, name, flags, 0o644) })
	if fd, err = opened(l, fd, err); err != nil {
		return -1, d.fail(op, name, err)
	}
	return fd, nil
}

// OpenFile opens a file for reading. Links aren't followed, and a FIFO does not block.
func (d *Dir) OpenFile(l fault.Label, name string) (int, error) {
	return d.openFile(l, fault.Read, "open", name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC)
}

// Unlink removes a file. It reports whether there was one: its absence is no error.
func (d *Dir) Unlink(l fault.Label, name string) (bool, error) {
	if err := fault.Enter(l, fault.Write, name); err != nil {
		return false, d.fail("unlink", name, err)
	}
	return d.found(l, "unlink", name, unix.Unlinkat(d.fd, name, 0))
}

// found ends a call that may find nothing.
func (d *Dir) found(l fault.Label, op, name string, err error) (bool, error) {
	switch err = fault.Leave(l, err); err {
	case nil:
		return true, nil
	case unix.ENOENT:
		return false, nil
	default:
		return false, d.fail(op, name, err)
	}
}

// RemoveDir removes an empty folder.
func (d *Dir) RemoveDir(l fault.Label, name string) error {
	err := fault.Enter(l, fault.Write, name)
	if err == nil {
		err = fault.Leave(l, unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR))
	}
	if err != nil {
		return d.fail("remove folder", name, err)
	}
	return nil
}

// Rename moves name to another folder. It reports whether there was anything: its absence is no error.
func (d *Dir) Rename(l fault.Label, name string, to *Dir, toName string) (bool, error) {
	if err := fault.Enter(l, fault.Write, name); err != nil {
		return false, d.fail("rename", name, err)
	}
	return d.found(l, "rename", name, unix.Renameat(d.fd, name, to.fd, toName))
}

// Readlink returns what a link says.
func (d *Dir) Readlink(l fault.Label, name string) (string, error) {
	if err := fault.Enter(l, fault.Read, name); err != nil {
		return "", d.fail("read link", name, err)
	}
	var buf [512]byte
	n, err := unix.Readlinkat(d.fd, name, buf[:])
	if err = fault.Leave(l, err); err != nil {
		return "", d.fail("read link", name, err)
	}
	target := string(buf[:n])
	fault.Saw(l, target)
	return target, nil
}

// Replace makes name a link to target, atomically.
func (d *Dir) Replace(l fault.Label, name, target, temporary string) error {
	err := fault.Enter(l, fault.Write, temporary)
	if err == nil {
		_ = unix.Unlinkat(d.fd, temporary, 0)
		err = fault.Leave(l, unix.Symlinkat(target, d.fd, temporary))
	}
	if err != nil {
		return d.fail("link", temporary, err)
	}
	if err = fault.Enter(l, fault.Write, name); err == nil {
		err = fault.Leave(l, unix.Renameat(d.fd, temporary, d.fd, name))
	}
	if err != nil {
		return d.fail("rename", temporary, err)
	}
	return nil
}

// Sync makes the folder's own entries durable.
func (d *Dir) Sync(l fault.Label) error {
	err := fault.Enter(l, fault.Private, "")
	if err == nil {
		err = fault.Leave(l, unix.Fsync(d.fd))
	}
	if err != nil {
		return d.fail("fsync", "", err)
	}
	return nil
}

// Names lists the entries of a folder below d, in no order.
func (d *Dir) Names(l fault.Label, rel string) ([]string, error) {
	if err := fault.Enter(l, fault.Read, rel); err != nil {
		return nil, d.fail("list folder", rel, err)
	}
	names, err := d.names(rel)
	if err = fault.Leave(l, err); err != nil {
		return nil, d.fail("list folder", rel, err)
	}
	fault.Saw(l, names)
	return names, nil
}

func (d *Dir) names(rel string) ([]string, error) {
	fd, err := openBeneath(d.fd, rel)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), rel) // owns the descriptor now
	defer f.Close()
	return f.Readdirnames(-1)
}

// A Stat is what identifies a file and its content.
type Stat struct {
	Dev, Ino  uint64
	Sec, Nsec int64
	Size      int64
	Links     uint64
	UID       uint32
	Mode      uint32
}

// Regular reports whether it is a regular file.
func (s Stat) Regular() bool { return s.Mode&unix.S_IFMT == unix.S_IFREG }

// IsDir reports whether it is a folder.
func (s Stat) IsDir() bool { return s.Mode&unix.S_IFMT == unix.S_IFDIR }

// Stat describes a file below d; a final link is not followed.
func (d *Dir) Stat(l fault.Label, name string) (Stat, error) {
	if err := fault.Enter(l, fault.Read, name); err != nil {
		return Stat{}, d.fail("stat", name, err)
	}
	var st unix.Stat_t
	if err := fault.Leave(l, unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)); err != nil {
		return Stat{}, d.fail("stat", name, err)
	}
	s := fromUnix(&st)
	fault.Saw(l, s)
	return s, nil
}

// Fstat describes an open file.
func Fstat(l fault.Label, fd int) (Stat, error) {
	if err := fault.Enter(l, fault.Read, ""); err != nil {
		return Stat{}, os.NewSyscallError("fstat", err)
	}
	var st unix.Stat_t
	if err := fault.Leave(l, unix.Fstat(fd, &st)); err != nil {
		return Stat{}, os.NewSyscallError("fstat", err)
	}
	s := fromUnix(&st)
	fault.Saw(l, s)
	return s, nil
}

// Inode returns the inode number of an open file.
func Inode(l fault.Label, fd int) (uint64, error) {
	if err := fault.Enter(l, fault.Private, ""); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	var st unix.Stat_t
	if err := fault.Leave(l, unix.Fstat(fd, &st)); err != nil {
		return 0, os.NewSyscallError("fstat", err)
	}
	return st.Ino, nil
}

// TryLock takes the exclusive flock of an open file without waiting.
//
// A bare call, as gofrs/flock would open the inode a second time: 0.7 µs against 6.4 for each fill. The lock belongs
// to the open file description and goes with it.
func TryLock(l fault.Label, fd int) (bool, error) {
	if err := fault.Enter(l, fault.Write, ""); err != nil {
		return false, os.NewSyscallError("flock", err)
	}
	switch err := fault.Leave(l, unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)); err {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	default:
		return false, os.NewSyscallError("flock", err)
	}
}

// WriteAll writes all of p, or fails.
func WriteAll(l fault.Label, fd int, p []byte) error {
	for len(p) > 0 {
		err := fault.Enter(l, fault.Write, "")
		n := 0
		if err == nil {
			n, err = unix.Write(fd, p)
			if err == unix.EINTR {
				continue
			}
			err = fault.Leave(l, err)
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		if n == 0 {
			return os.NewSyscallError("write", unix.ENOSPC)
		}
		p = p[n:]
	}
	return nil
}

// CloseFD closes a bare descriptor. It can't be kept from that: the kernel closes it even where it reports an error.
func CloseFD(l fault.Label, fd int) error {
	if err := fault.Enter(l, fault.Write, ""); err != nil {
		_ = unix.Close(fd)
		return err
	}
	return fault.Leave(l, unix.Close(fd))
}

func retry(f func() (int, error)) (int, error) {
	for {
		if n, err := f(); err != unix.EINTR {
			return n, err
		}
	}
}

// openWalk opens rel component by component, following no link.
func openWalk(at int, rel string) (int, error) {
	if rel == "." {
		return retry(func() (int, error) {
			return unix.Openat(at, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		})
	}
	fd, own := at, false
	for name := range strings.SplitSeq(rel, "/") {
		if name == ".." || name == "." || name == "" {
			return -1, unix.EINVAL
		}
		next, err := retry(func() (int, error) {
			return unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		})
		if own {
			unix.Close(fd)
		}
		if err != nil {
			return -1, err
		}
		fd, own = next, true
	}
	return fd, nil
}

// Dup duplicates a descriptor.
func Dup(l fault.Label, fd int) (int, error) {
	if err := fault.Enter(l, fault.Private, ""); err != nil {
		return -1, err
	}
	fd, err := retry(func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
	return opened(l, fd, err)
}
