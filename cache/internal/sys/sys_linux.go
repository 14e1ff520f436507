package sys

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
)

var openat2Missing atomic.Bool // learnt once: an old kernel or a seccomp filter

func openBeneath(at int, rel string) (int, error) {
	if !openat2Missing.Load() {
		how := unix.OpenHow{
			Flags:   unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC,
			Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS,
		}
		fd, err := retry(func() (int, error) { return unix.Openat2(at, rel, &how) })
		switch err {
		case unix.ENOSYS, unix.EPERM:
			openat2Missing.Store(err == unix.ENOSYS)
		case unix.EAGAIN: // a rename elsewhere raced with the resolution
		default:
			return fd, err
		}
	}
	return openWalk(at, rel)
}

func fromUnix(st *unix.Stat_t) Stat {
	return Stat{
		Dev: st.Dev, Ino: st.Ino, Sec: st.Mtim.Sec, Nsec: st.Mtim.Nsec, Size: st.Size,
		Links: uint64(st.Nlink), UID: st.Uid, Mode: st.Mode,
	}
}

// StatAt is Stat for hits: path ends in a NUL byte, so that the call needs no allocation. It reports false for any
// error: a hit that can't be shown is none.
func StatAt(l fault.Label, fd int, path []byte, st *unix.Stat_t) bool {
	if fault.Enabled && fault.Enter(l, fault.Read, string(path[:len(path)-1])) != nil {
		return false
	}
	_, _, errno := unix.Syscall6(unix.SYS_NEWFSTATAT, uintptr(fd), uintptr(unsafe.Pointer(&path[0])),
		uintptr(unsafe.Pointer(st)), unix.AT_SYMLINK_NOFOLLOW, 0, 0)
	if fault.Enabled {
		return leaveStatAt(l, errno, st)
	}
	return errno == 0
}

func leaveStatAt(l fault.Label, errno error, st *unix.Stat_t) bool {
	if errno == syscall.Errno(0) {
		errno = nil
	}
	if fault.Leave(l, errno) != nil {
		return false
	}
	fault.Saw(l, fromUnix(st))
	return true
}

// Link gives the open file a name. The kernel refuses with ENOENT when the file has no name left: check and
// publication are one step.
func Link(l fault.Label, fd int, d *Dir, name string) error {
	if err := fault.Enter(l, fault.Write, name); err != nil {
		return err
	}
	var buf [32]byte
	return fault.Leave(l, unix.Linkat(unix.AT_FDCWD, procPath(buf[:0], fd), d.fd, name, unix.AT_SYMLINK_FOLLOW))
}

func procPath(buf []byte, fd int) string {
	buf = append(buf, "/proc/self/fd/"...)
	return string(appendInt(buf, fd))
}

func appendInt(b []byte, n int) []byte {
	if n >= 10 {
		b = appendInt(b, n/10)
	}
	return append(b, byte('0'+n%10))
}

// SetMtime sets the modification time of an open file.
func SetMtime(l fault.Label, fd int, sec, nsec int64) error {
	if err := fault.Enter(l, fault.Write, ""); err != nil {
		return os.NewSyscallError("utimensat", err)
	}
	ts := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, {Sec: sec, Nsec: nsec}}
	var err error
	if _, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, uintptr(fd), 0, uintptr(unsafe.Pointer(&ts)), 0, 0, 0); errno != 0 {
		err = errno
	}
	return os.NewSyscallError("utimensat", fault.Leave(l, err))
}

// SyncFS makes the whole file system of an open folder durable.
func SyncFS(l fault.Label, d *Dir) error {
	err := fault.Enter(l, fault.Private, "")
	if err == nil {
		err = fault.Leave(l, unix.Syncfs(d.fd))
	}
	return os.NewSyscallError("syncfs", err)
}

// BootID identifies the boot: it changes when the machine starts again.
func BootID(l fault.Label) (string, error) {
	if err := fault.Enter(l, fault.Private, ""); err != nil {
		return "", err
	}
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	err = fault.Leave(l, err)
	return strings.TrimSpace(string(b)), err
}

// BootClock is the time since the boot, suspension included: the same in all processes. 0: it can't be read.
func BootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// LockOwner returns the process that has a file locked with flock, by the inode's number; 0 if none is known: it may be of another
// pid namespace.
func LockOwner(inode uint64) (pid int) {
	b, err := os.ReadFile("/proc/locks") // proc_locks(5): 1: FLOCK ADVISORY WRITE 2301 08:01:1835011 0 EOF
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) >= 6 && f[1] == "FLOCK" && f[3] == "WRITE" && strings.HasSuffix(f[5], ":"+strconv.FormatUint(inode, 10)) {
			if pid, err := strconv.Atoi(f[4]); err == nil && pid > 0 {
				return pid
			}
		}
	}
	return 0
}

// Free returns the bytes and inodes an unprivileged user may still use. Inodes is -1 where they aren't counted.
func Free(l fault.Label, d *Dir) (bytes, inodes int64, err error) {
	var st unix.Statfs_t
	if err = fault.Enter(l, fault.Private, ""); err == nil {
		err = fault.Leave(l, unix.Fstatfs(d.fd, &st))
	}
	if err != nil {
		return 0, 0, os.NewSyscallError("fstatfs", err)
	}
	inodes = int64(st.Ffree)
	if st.Files == 0 {
		inodes = -1 // btrfs and others make them as needed
	}
	return int64(st.Bavail) * st.Bsize, inodes, nil
}

// FSType returns the kernel's magic number of the folder's file system, for messages and for refusing NFS.
func FSType(l fault.Label, d *Dir) (int64, error) {
	var st unix.Statfs_t
	err := fault.Enter(l, fault.Private, "")
	if err == nil {
		err = fault.Leave(l, unix.Fstatfs(d.fd, &st))
	}
	if err != nil {
		return 0, os.NewSyscallError("fstatfs", err)
	}
	return int64(st.Type), nil
}

// NFS reports whether a magic number is that of a network file system whose links and locks can't be trusted.
func NFS(fsType int64) bool {
	switch fsType {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.AFS_FS_MAGIC:
		return true
	}
	return false
}
