//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// A call is what a test means by one: its name, the file it is about, and the how-many-th of these it is.
type call struct {
	name string // of the system call, and of what it is told to do where that is another matter: "fcntl unlock"
	file string // below the index's folder, without what is chance: numbers, random names, the project
	n    int
}

func (c call) String() string { return fmt.Sprintf("%s %s %d", c.name, c.file, c.n) }

// Where the file stands among a call's arguments.
type shape int

const (
	byFD    shape = iota + 1 // descriptor
	byPath                   // path
	byPaths                  // path, path
	byAt                     // folder, path
	byAts                    // folder, path, folder, path
	byLink                   // path, folder, path: symlinkat
	byMap                    // mmap: the fifth
)

// shapes are the calls that name or hold a file. A call that isn't here, or in others, is an error of the test: a program
// that begins to use another one must not go unseen.
var shapes = map[uint64]struct {
	name  string
	shape shape
}{
	unix.SYS_READ: {"read", byFD}, unix.SYS_WRITE: {"write", byFD}, unix.SYS_PREAD64: {"pread64", byFD}, unix.SYS_PWRITE64: {"pwrite64", byFD},
	unix.SYS_READV: {"readv", byFD}, unix.SYS_WRITEV: {"writev", byFD}, unix.SYS_PREADV: {"preadv", byFD}, unix.SYS_PWRITEV: {"pwritev", byFD},
	unix.SYS_FSTAT: {"fstat", byFD}, unix.SYS_LSEEK: {"lseek", byFD}, unix.SYS_FSYNC: {"fsync", byFD}, unix.SYS_FDATASYNC: {"fdatasync", byFD},
	unix.SYS_FTRUNCATE: {"ftruncate", byFD}, unix.SYS_FALLOCATE: {"fallocate", byFD}, unix.SYS_FLOCK: {"flock", byFD},
	unix.SYS_FCNTL: {"fcntl", byFD}, unix.SYS_FCHMOD: {"fchmod", byFD}, unix.SYS_FCHOWN: {"fchown", byFD}, unix.SYS_GETDENTS64: {"getdents64", byFD},
	unix.SYS_CLOSE: {"close", byFD}, unix.SYS_SYNCFS: {"syncfs", byFD}, unix.SYS_FSTATFS: {"fstatfs", byFD}, unix.SYS_IOCTL: {"ioctl", byFD},
	unix.SYS_FADVISE64: {"fadvise64", byFD}, unix.SYS_DUP: {"dup", byFD}, unix.SYS_DUP2: {"dup2", byFD}, unix.SYS_DUP3: {"dup3", byFD},
	unix.SYS_FCHDIR: {"fchdir", byFD}, unix.SYS_COPY_FILE_RANGE: {"copy_file_range", byFD}, unix.SYS_SYNC_FILE_RANGE: {"sync_file_range", byFD},
	unix.SYS_MMAP: {"mmap", byMap},
	unix.SYS_OPEN: {"open", byPath}, unix.SYS_CREAT: {"creat", byPath}, unix.SYS_STAT: {"stat", byPath}, unix.SYS_LSTAT: {"lstat", byPath},
	unix.SYS_ACCESS: {"access", byPath}, unix.SYS_MKDIR: {"mkdir", byPath}, unix.SYS_RMDIR: {"rmdir", byPath}, unix.SYS_UNLINK: {"unlink", byPath},
	unix.SYS_READLINK: {"readlink", byPath}, unix.SYS_CHMOD: {"chmod", byPath}, unix.SYS_STATFS: {"statfs", byPath}, unix.SYS_TRUNCATE: {"truncate", byPath},
	unix.SYS_CHDIR: {"chdir", byPath}, unix.SYS_RENAME: {"rename", byPaths}, unix.SYS_LINK: {"link", byPaths}, unix.SYS_SYMLINK: {"symlink", byPaths},
	unix.SYS_OPENAT: {"openat", byAt}, unix.SYS_OPENAT2: {"openat2", byAt}, unix.SYS_NEWFSTATAT: {"newfstatat", byAt}, unix.SYS_STATX: {"statx", byAt},
	unix.SYS_FACCESSAT: {"faccessat", byAt}, unix.SYS_FACCESSAT2: {"faccessat2", byAt}, unix.SYS_MKDIRAT: {"mkdirat", byAt},
	unix.SYS_UNLINKAT: {"unlinkat", byAt}, unix.SYS_READLINKAT: {"readlinkat", byAt}, unix.SYS_FCHMODAT: {"fchmodat", byAt},
	unix.SYS_UTIMENSAT: {"utimensat", byAt}, unix.SYS_RENAMEAT: {"renameat", byAts}, unix.SYS_RENAMEAT2: {"renameat2", byAts},
	unix.SYS_LINKAT: {"linkat", byAts}, unix.SYS_SYMLINKAT: {"symlinkat", byLink},
	unix.SYS_SENDFILE: {"sendfile", byFD}, // of the second: see file
}

// others are the calls that no fault is made of, by the reason why.
var others = func() map[uint64]string {
	m := make(map[uint64]string)
	for why, list := range map[string][]uint64{
		"the Go runtime's scheduling and signals": {
			unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_CLOCK_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_SCHED_GETAFFINITY,
			unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_TGKILL, unix.SYS_TKILL, unix.SYS_KILL,
			unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_RESTART_SYSCALL, unix.SYS_SET_TID_ADDRESS,
			unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_ARCH_PRCTL, unix.SYS_PRCTL, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME,
			unix.SYS_TIMER_DELETE, unix.SYS_SETITIMER,
		},
		"its poller: a file is none of its concern": {
			unix.SYS_EPOLL_CREATE1, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_WAIT, unix.SYS_EVENTFD2, unix.SYS_PIPE2, unix.SYS_POLL, unix.SYS_PPOLL,
		},
		"memory that is of no file": {unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_MUNMAP, unix.SYS_MREMAP, unix.SYS_BRK, unix.SYS_MINCORE, unix.SYS_MLOCK},
		"sockets": {
			unix.SYS_SOCKET, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_CONNECT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
			unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SHUTDOWN,
		},
		"questions about the process and the machine, which can't fail": {
			unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_GETPPID, unix.SYS_GETUID, unix.SYS_GETEUID, unix.SYS_GETGID, unix.SYS_GETEGID, unix.SYS_UNAME,
			unix.SYS_GETRLIMIT, unix.SYS_SETRLIMIT, unix.SYS_PRLIMIT64, unix.SYS_GETRANDOM, unix.SYS_CLOCK_GETTIME, unix.SYS_GETTIMEOFDAY, unix.SYS_TIME,
			unix.SYS_SYSINFO, unix.SYS_GETCWD, unix.SYS_UMASK, unix.SYS_GETRUSAGE, unix.SYS_CLOCK_GETRES, unix.SYS_MEMBARRIER, unix.SYS_PIDFD_OPEN,
			unix.SYS_PIDFD_SEND_SIGNAL, unix.SYS_WAITID, unix.SYS_WAIT4,
		},
		"the program's beginning": {unix.SYS_EXECVE},
	} {
		for _, nr := range list {
			m[nr] = why
		}
	}
	return m
}()

// A namer names the calls of a process. It is used by one tracer.
type namer struct {
	pid     int
	root    string // the index's folder: files elsewhere are of no concern, but to openat
	count   map[call]int
	strange map[uint64]bool // calls that neither shapes nor others have
}

func newNamer(pid int, root string) *namer {
	return &namer{pid: pid, root: root, count: make(map[call]int), strange: make(map[uint64]bool)}
}

// name names a call; false if it concerns no file of ours.
func (n *namer) name(e entry) (call, bool) {
	s, ok := shapes[e.nr]
	if !ok {
		if _, known := others[e.nr]; !known {
			n.strange[e.nr] = true
		}
		return call{}, false
	}
	file, ok := n.file(e, s.shape)
	if !ok {
		return call{}, false
	}
	c := call{name: s.name + n.manner(e), file: file}
	n.count[c]++
	c.n = n.count[c]
	return c, true
}

// file is the class of what a call is about.
func (n *namer) file(e entry, s shape) (string, bool) {
	switch s {
	case byFD:
		if e.nr == unix.SYS_SENDFILE {
			return n.class(n.descriptor(e.args[1]))
		}
		return n.class(n.descriptor(e.args[0]))
	case byMap:
		if e.args[3]&unix.MAP_ANONYMOUS != 0 {
			return "", false
		}
		return n.class(n.descriptor(e.args[4]))
	case byPath:
		path := n.text(e.args[0])
		if class, ours := n.class(path); ours || e.nr != unix.SYS_OPEN {
			return class, ours
		}
		return normal(path), true
	case byPaths, byLink:
		to := n.text(e.args[1])
		if s == byLink {
			to = n.at(e.args[1], e.args[2])
		}
		return n.class(to)
	case byAt:
		path := n.at(e.args[0], e.args[1])
		if class, ours := n.class(path); ours || e.nr != unix.SYS_OPENAT && e.nr != unix.SYS_OPENAT2 {
			return class, ours
		}
		return normal(path), true // "plus any other openat"
	default:
		from, ours := n.class(n.at(e.args[0], e.args[1]))
		to, too := n.class(n.at(e.args[2], e.args[3]))
		if e.nr != unix.SYS_LINKAT || ours {
			to = from + " → " + to
		}
		return to, ours || too
	}
}

// manner tells apart what one call is used for.
func (n *namer) manner(e entry) string {
	switch e.nr {
	case unix.SYS_OPENAT:
		return creating(e.args[2])
	case unix.SYS_OPEN:
		return creating(e.args[1])
	case unix.SYS_UNLINKAT:
		if e.args[2]&unix.AT_REMOVEDIR != 0 {
			return " folder"
		}
	case unix.SYS_FLOCK:
		if e.args[1]&unix.LOCK_UN != 0 {
			return " unlock"
		}
	case unix.SYS_FCNTL:
		switch e.args[1] {
		case unix.F_SETLK, unix.F_SETLKW, unix.F_OFD_SETLK:
			var lock [2]byte
			n.memory(e.args[2], lock[:])
			return map[byte]string{unix.F_RDLCK: " lock shared", unix.F_WRLCK: " lock", unix.F_UNLCK: " unlock"}[lock[0]]
		case unix.F_GETLK:
			return " locked?"
		case unix.F_DUPFD_CLOEXEC, unix.F_DUPFD:
			return " dup"
		}
		return " flags"
	}
	return ""
}

func creating(flags uint64) string {
	if flags&unix.O_CREAT != 0 {
		return " create"
	}
	return ""
}

// descriptor is the path of an open file.
func (n *namer) descriptor(fd uint64) string {
	path, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(fd)))
	return path
}

// at is the path of a name in an open folder.
func (n *namer) at(fd, name uint64) string {
	path := n.text(name)
	if filepath.IsAbs(path) {
		return path
	}
	if int32(fd) == unix.AT_FDCWD {
		cwd, _ := os.Readlink(fmt.Sprintf("/proc/%d/cwd", n.pid))
		return filepath.Join(cwd, path)
	}
	return filepath.Join(n.descriptor(fd), path)
}

// text reads a path of the process.
func (n *namer) text(at uint64) string {
	var text []byte
	for len(text) < unix.PathMax && at != 0 {
		part := make([]byte, 256-at%256) // never over the end of a page
		if !n.memory(at, part) {
			break
		}
		if i := bytes.IndexByte(part, 0); i >= 0 {
			return string(append(text, part[:i]...))
		}
		text = append(text, part...)
		at += uint64(len(part))
	}
	return string(text)
}

func (n *namer) memory(at uint64, into []byte) bool {
	local := []unix.Iovec{{Base: &into[0], Len: uint64(len(into))}}
	got, err := unix.ProcessVMReadv(n.pid, local, []unix.RemoteIovec{{Base: uintptr(at), Len: len(into)}}, 0)
	return err == nil && got == len(into)
}

// class is a path below the index's folder without what is chance.
func (n *namer) class(path string) (string, bool) {
	if path == n.root {
		return ".", true
	}
	rel, ok := strings.CutPrefix(path, n.root+"/")
	return normal(rel), ok
}

// chances are what differs from run to run, and what is written instead.
var chances = []struct {
	is      *regexp.Regexp
	written string
}{
	{regexp.MustCompile(`^/proc/\d+/`), "/proc/N/"},
	{regexp.MustCompile(`gen-\d+-[0-9a-f]{8}`), "gen-N"},
	{regexp.MustCompile(`\.\d+\.[0-9a-f]{12,16}\.\d+`), ".UNIQUE"},
	{regexp.MustCompile(`\bsys[-_]p\d+`), "P"},
	{regexp.MustCompile(`\bP-[\d.]+-py3`), "P-V-py3"},
	{regexp.MustCompile(`incoming/[A-Z2-7]{10}`), "incoming/RANDOM"},
	{regexp.MustCompile(`RANDOM@[-_A-Za-z0-9]{43}@`), "RANDOM@DIGEST@"},
	{regexp.MustCompile(`files/[0-9a-f]{2}\b`), "files/D"},
	{regexp.MustCompile(`files/D/[0-9a-f]{2}\b`), "files/D/D"},
	{regexp.MustCompile(`files/D/D/[0-9a-f]{60}`), "files/D/D/D"},
	{regexp.MustCompile(`\d{6,}`), "N"},
	{regexp.MustCompile(`live\.probe\.\d+`), "live.probe.N"},
	{regexp.MustCompile(` \(deleted\)$`), ""},
}

func normal(path string) string {
	for _, c := range chances {
		path = c.is.ReplaceAllString(path, c.written)
	}
	return path
}

// cutLine finds what follows a word at the beginning of a line.
func cutLine(text, word string) (before, rest string, found bool) {
	before, rest, found = strings.Cut("\n"+text, "\n"+word)
	rest, _, _ = strings.Cut(rest, "\n")
	return before, strings.TrimSpace(rest), found
}
