//go:build !linux

package sys

import (
	"errors"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache/fault"
)

func openBeneath(at int, rel string) (int, error) { return openWalk(at, rel) }

func fromUnix(st *unix.Stat_t) Stat {
	return Stat{
		Dev: uint64(st.Dev), Ino: st.Ino, Sec: int64(st.Mtim.Sec), Nsec: int64(st.Mtim.Nsec), Size: st.Size,
		Links: uint64(st.Nlink), UID: st.Uid, Mode: uint32(st.Mode),
	}
}

// StatAt is Stat for hits; path ends in a NUL byte.
func StatAt(l fault.Label, fd int, path []byte, st *unix.Stat_t) bool {
	if fault.Enter(l, fault.Read, string(path[:len(path)-1])) != nil {
		return false
	}
	return fault.Leave(l, unix.Fstatat(fd, string(path[:len(path)-1]), st, unix.AT_SYMLINK_NOFOLLOW)) == nil
}

// Link isn't there: the portable back-end publishes by rename under a lock.
func Link(fault.Label, int, *Dir, string) error { return errors.ErrUnsupported }

// SetMtime sets the modification time of an open file.
func SetMtime(l fault.Label, fd int, sec, nsec int64) error {
	if err := fault.Enter(l, fault.Write, ""); err != nil {
		return os.NewSyscallError("futimes", err)
	}
	tv := []unix.Timeval{{Sec: 0}, {Sec: sec, Usec: int32(nsec / 1000)}}
	return os.NewSyscallError("futimes", fault.Leave(l, unix.Futimes(fd, tv)))
}

// SyncFS makes everything durable.
func SyncFS(l fault.Label, _ *Dir) error {
	if err := fault.Enter(l, fault.Private, ""); err != nil {
		return err
	}
	return fault.Leave(l, unix.Sync())
}

// BootID identifies the boot.
func BootID(fault.Label) (string, error) {
	if runtime.GOOS == "darwin" {
		return unix.Sysctl("kern.bootsessionuuid")
	}
	return "", errors.ErrUnsupported
}

// BootClock is the time since the boot, suspension included (macOS's CLOCK_MONOTONIC): the same in all processes.
func BootClock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// LockOwner is not known here.
func LockOwner(uint64) (pid int) { return 0 }

// Free returns the bytes and inodes an unprivileged user may still use.
func Free(_ fault.Label, d *Dir) (bytes, inodes int64, err error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(d.fd, &st); err != nil {
		return 0, 0, os.NewSyscallError("fstatfs", err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Ffree), nil
}

// FSType is not known here.
func FSType(fault.Label, *Dir) (int64, error) { return 0, nil }

// NFS is not recognised here; the probe decides.
func NFS(int64) bool { return false }
