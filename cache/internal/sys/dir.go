// Package sys holds the file-system calls of the page protocol, each made relative to a held folder descriptor.
// Nothing here decides anything: the packages above state the order of calls and why it is that one.
package sys

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A Dir is a held folder. Its methods are safe for concurrent use until Close.
type Dir struct {
	fd   int
	path string // for messages only
}

// OpenDir opens a folder by its path, following links.
func OpenDir(path string) (*Dir, error) {
	fd, err := retry(func() (int, error) {
		return unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
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
func (d *Dir) Open(rel string) (*Dir, error) {
	fd, err := openBeneath(d.fd, rel)
	if err != nil {
		return nil, d.fail("open folder", rel, err)
	}
	return &Dir{fd: fd, path: d.path + "/" + rel}, nil
}

// OpenOrMake is Open, making what is missing.
func (d *Dir) OpenOrMake(rel string) (*Dir, error) {
	// A folder made here may be renamed away or removed, if empty, before the next component is made in it; then the
	// walk starts again from the top.
	const attempts = 100
	for range attempts {
		sub, err := d.Open(rel)
		if !errors.Is(err, fs.ErrNotExist) {
			return sub, err
		}
		if err := d.makeAll(rel); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, d.fail("make folder", rel, unix.EAGAIN)
}

func (d *Dir) makeAll(rel string) error {
	at := d.fd
	for name := range strings.SplitSeq(rel, "/") {
		if err := unix.Mkdirat(at, name, 0o755); err != nil && err != unix.EEXIST {
			if at != d.fd {
				unix.Close(at)
			}
			return d.fail("make folder", rel, err)
		}
		next, err := openBeneath(at, name)
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
func (d *Dir) Make(name string) error {
	if err := unix.Mkdirat(d.fd, name, 0o755); err != nil {
		return d.fail("make folder", name, err)
	}
	return nil
}

// Create creates a file that did not exist, for reading and writing.
func (d *Dir) Create(name string) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o644)
	})
	if err != nil {
		return -1, d.fail("create", name, err)
	}
	return fd, nil
}

// OpenFile opens a file for reading. Links aren't followed, and a FIFO does not block.
func (d *Dir) OpenFile(name string) (int, error) {
	fd, err := retry(func() (int, error) {
		return unix.Openat(d.fd, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, d.fail("open", name, err)
	}
	return fd, nil
}

// Unlink removes a file. It reports whether there was one: its absence is no error.
func (d *Dir) Unlink(name string) (bool, error) {
	switch err := unix.Unlinkat(d.fd, name, 0); err {
	case nil:
		return true, nil
	case unix.ENOENT:
		return false, nil
	default:
		return false, d.fail("unlink", name, err)
	}
}

// RemoveDir removes an empty folder.
func (d *Dir) RemoveDir(name string) error {
	if err := unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR); err != nil {
		return d.fail("remove folder", name, err)
	}
	return nil
}

// Rename moves name to another folder. It reports whether there was anything: its absence is no error.
func (d *Dir) Rename(name string, to *Dir, toName string) (bool, error) {
	switch err := unix.Renameat(d.fd, name, to.fd, toName); err {
	case nil:
		return true, nil
	case unix.ENOENT:
		return false, nil
	default:
		return false, d.fail("rename", name, err)
	}
}

// Readlink returns what a link says.
func (d *Dir) Readlink(name string) (string, error) {
	var buf [512]byte
	n, err := unix.Readlinkat(d.fd, name, buf[:])
	if err != nil {
		return "", d.fail("read link", name, err)
	}
	return string(buf[:n]), nil
}

// Replace makes name a link to target, atomically.
func (d *Dir) Replace(name, target, temporary string) error {
	_ = unix.Unlinkat(d.fd, temporary, 0)
	if err := unix.Symlinkat(target, d.fd, temporary); err != nil {
		return d.fail("link", temporary, err)
	}
	if err := unix.Renameat(d.fd, temporary, d.fd, name); err != nil {
		return d.fail("rename", temporary, err)
	}
	return nil
}

// Sync makes the folder's own entries durable.
func (d *Dir) Sync() error {
	if err := unix.Fsync(d.fd); err != nil {
		return d.fail("fsync", "", err)
	}
	return nil
}

// Names lists the entries of a folder below d, in no order.
func (d *Dir) Names(rel string) ([]string, error) {
	sub, err := d.Open(rel)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(sub.fd), sub.path) // owns the descriptor now
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
func (d *Dir) Stat(name string) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(d.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return Stat{}, d.fail("stat", name, err)
	}
	return fromUnix(&st), nil
}

// Fstat describes an open file.
func Fstat(fd int) (Stat, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Stat{}, os.NewSyscallError("fstat", err)
	}
	return fromUnix(&st), nil
}

// TryLock takes the exclusive flock of an open file without waiting.
//
// A bare call, as gofrs/flock would open the inode a second time: 0.7 µs against 6.4 for each fill. The lock belongs
// to the open file description and goes with it.
func TryLock(fd int) (bool, error) {
	switch err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err {
	case nil:
		return true, nil
	case unix.EWOULDBLOCK:
		return false, nil
	default:
		return false, os.NewSyscallError("flock", err)
	}
}

// WriteAll writes all of p, or fails.
func WriteAll(fd int, p []byte) error {
	for len(p) > 0 {
		n, err := unix.Write(fd, p)
		if err == unix.EINTR {
			continue
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

// CloseFD closes a bare descriptor.
func CloseFD(fd int) error { return unix.Close(fd) }

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
func Dup(fd int) (int, error) {
	return retry(func() (int, error) { return unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0) })
}
