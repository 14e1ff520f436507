//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A tracing watches every system call of every thread of a process, and may make one of them go wrong.
//
//	PTRACE_SEIZE each thread · PTRACE_INTERRUPT · from then on PTRACE_SYSCALL after each stop
//	at the entry of a call: ask the watcher
//	  not to be made: POKEUSER orig_rax = -1, and rax = -errno at its exit
//	  made, but failing: rax = -errno at its exit
//	  killed: SIGKILL at its entry, or exit
//	in the end: PTRACE_INTERRUPT each thread · PTRACE_DETACH
//
// All of it happens on one thread, as ptrace wants it. Waiting for that thread's tracees only (__WNOTHREAD), it takes no
// other child's end away from os/exec; nor the process's own (WNOWAIT): whoever has started it waits for that.
type tracing struct {
	pid     int
	watcher watcher
	begin   bool // the watcher is asked; false: not before the process has called execve
	threads map[int]*thread
	ending  atomic.Bool // let go of the process
	ended   chan struct{}
	err     error // read it after ended
}

// A thread of the process.
type thread struct {
	inside bool   // a call of ours to be changed
	change change // at its exit
}

// A change is what becomes of a call.
type change struct {
	what  what
	errno unix.Errno
}

type what int

const (
	made        what = iota // as it should be
	notMade                 // and errno is returned
	madeFailing             // and errno is returned
	killBefore              // SIGKILL instead of the call
	killAfter               // SIGKILL when it is made, before anybody learns how it went
)

// A watcher is asked at the entry of each call. The thread stands still meanwhile.
type watcher func(c entry) change

// An entry is a call that a thread is about to make.
type entry struct {
	tid  int
	nr   uint64
	args [6]uint64
}

// trace begins to watch a process. With begin, at once; else from its next execve on.
func trace(pid int, begin bool, w watcher) (*tracing, error) {
	t := &tracing{pid: pid, watcher: w, begin: begin, threads: make(map[int]*thread), ended: make(chan struct{})}
	seized := make(chan error)
	go t.run(seized)
	if err := <-seized; err != nil {
		return nil, fmt.Errorf("trace process %d: %w", pid, err)
	}
	return t, nil
}

// stop lets go of the process, if it still lives, and tells what went wrong with the tracing.
func (t *tracing) stop() error {
	t.ending.Store(true)
	// Any signal wakes the tracer; this one Go's runtime gets all the time.
	if err := unix.Kill(t.pid, unix.SIGURG); err != nil && !errors.Is(err, unix.ESRCH) {
		return err
	}
	<-t.ended
	return t.err
}

func (t *tracing) run(seized chan<- error) {
	runtime.LockOSThread() // for good: the thread ends with this function, and with it the tracing of whatever is left
	defer close(t.ended)
	err := t.seize()
	seized <- err
	for err == nil && (len(t.threads) > 0 || !t.ending.Load()) {
		var tid int
		var status unix.WaitStatus
		if tid, status, err = t.next(); tid == 0 || err != nil {
			break
		}
		err = t.stopped(tid, status)
	}
	if err != nil {
		t.err = fmt.Errorf("trace process %d: %w", t.pid, err)
	}
}

// seize takes every thread, those begun meanwhile too.
func (t *tracing) seize() error {
	for before := -1; before != len(t.threads); {
		before = len(t.threads)
		tids, err := threadsOf(t.pid)
		if err != nil {
			return err
		}
		for _, tid := range tids {
			if t.threads[tid] != nil {
				continue
			}
			err := ptrace(unix.PTRACE_SEIZE, tid, 0, unix.PTRACE_O_TRACESYSGOOD|unix.PTRACE_O_TRACECLONE|unix.PTRACE_O_TRACEEXEC)
			if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.EPERM) && !alive(t.pid, tid) {
				continue // it has ended
			}
			if errors.Is(err, unix.EPERM) && tracedBy(t.pid, tid) == unix.Gettid() {
				t.threads[tid] = &thread{} // begun by one that we trace
				continue
			}
			if err != nil {
				return fmt.Errorf("seize thread %d: %w", tid, err)
			}
			t.threads[tid] = &thread{}
			if err := ptrace(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
	}
	return nil
}

func threadsOf(pid int) (tids []int, err error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			tids = append(tids, tid)
		}
	}
	return tids, err
}

func alive(pid, tid int) bool {
	_, err := os.Stat(fmt.Sprintf("/proc/%d/task/%d", pid, tid))
	return err == nil
}

func tracedBy(pid, tid int) (tracer int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/status", pid, tid))
	_, rest, _ := cutLine(string(text), "TracerPid:")
	tracer, _ = strconv.Atoi(rest)
	return tracer
}

// next waits for a thread to stop. 0: the process has ended, which is left to be seen by whoever has started it.
func (t *tracing) next() (tid int, status unix.WaitStatus, err error) {
	for {
		var info struct { // siginfo_t of SIGCHLD
			signo, errno, code, _ int32
			pid                   int32
			_                     [108]byte
		}
		const own = unix.WALL | unix.WNOTHREAD
		err := unix.Waitid(unix.P_ALL, 0, (*unix.Siginfo)(unsafe.Pointer(&info)), unix.WEXITED|unix.WSTOPPED|unix.WNOWAIT|own, nil)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.ECHILD): // nobody is left: the process's end was seen already
			return 0, 0, nil
		case err != nil:
			return 0, 0, fmt.Errorf("waitid: %w", err)
		}
		tid := int(info.pid)
		const exited, dumped = 1, 3 // CLD_EXITED, CLD_KILLED, CLD_DUMPED
		gone := info.code >= exited && info.code <= dumped
		if gone && tid == t.pid {
			return 0, 0, nil // the last of its threads: the kernel keeps its end back until then
		}
		if _, err := unix.Wait4(tid, &status, own, nil); errors.Is(err, unix.EINTR) {
			continue
		} else if err != nil {
			return 0, 0, fmt.Errorf("wait4 %d: %w", tid, err)
		}
		if gone {
			delete(t.threads, tid)
			continue
		}
		return tid, status, nil
	}
}

// ptraceEventStop is the stop of PTRACE_INTERRUPT, of a new thread, and of a stopped process.
const ptraceEventStop = 128

// stopped deals with a thread that has stopped, and sets it going again.
func (t *tracing) stopped(tid int, status unix.WaitStatus) error {
	th := t.threads[tid]
	if th == nil {
		th = &thread{} // new
		t.threads[tid] = th
	}
	deliver := 0
	switch sig, event := status.StopSignal(), int(status)>>16; {
	case !status.Stopped():
		return nil
	case sig == unix.SIGTRAP|0x80:
		if err := t.call(tid, th); err != nil {
			return ignoreEnd(err)
		}
	case event == unix.PTRACE_EVENT_EXEC:
		t.begin = true
	case event == ptraceEventStop && sig != unix.SIGTRAP: // the whole process was stopped, by SIGSTOP or the like
		return ignoreEnd(ptrace(unix.PTRACE_LISTEN, tid, 0, 0))
	case event != 0:
	default:
		deliver = int(sig)
	}
	if t.ending.Load() && !th.inside {
		return t.letGo(tid, deliver)
	}
	return ignoreEnd(ptrace(unix.PTRACE_SYSCALL, tid, 0, uintptr(deliver)))
}

// letGo detaches a thread, and has the others stop for the same.
func (t *tracing) letGo(tid, deliver int) error {
	delete(t.threads, tid)
	for other := range t.threads {
		if err := ptrace(unix.PTRACE_INTERRUPT, other, 0, 0); ignoreEnd(err) != nil {
			return err
		}
	}
	return ignoreEnd(ptrace(unix.PTRACE_DETACH, tid, 0, uintptr(deliver)))
}

// callInfo is struct ptrace_syscall_info.
type callInfo struct {
	op    uint8
	_     [3]uint8
	arch  uint32
	ip    uint64
	sp    uint64
	nr    uint64 // at the entry
	args  [6]uint64
	space [64]byte
}

// call deals with the entry or exit of a call.
func (t *tracing) call(tid int, th *thread) error {
	var info callInfo
	if err := ptrace(unix.PTRACE_GET_SYSCALL_INFO, tid, unsafe.Sizeof(info), uintptr(unsafe.Pointer(&info))); err != nil {
		return err
	}
	switch {
	case info.op == unix.PTRACE_SYSCALL_INFO_ENTRY && t.begin && !t.ending.Load():
		c := t.watcher(entry{tid, info.nr, info.args})
		*th = thread{inside: c.what != made, change: c}
		switch c.what {
		case killBefore:
			return errors.Join(poke(tid, origRAX, -1), t.kill())
		case notMade:
			return poke(tid, origRAX, -1)
		}
	case info.op == unix.PTRACE_SYSCALL_INFO_EXIT && th.inside:
		c := th.change
		*th = thread{}
		switch c.what {
		case killAfter:
			return t.kill()
		case notMade, madeFailing:
			return poke(tid, rax, -int(c.errno))
		}
	}
	return nil
}

func (t *tracing) kill() error { return unix.Kill(t.pid, unix.SIGKILL) }

// Places of registers in struct user.
const (
	rax     = 10 * 8 // what a call returns
	origRAX = 15 * 8 // the call's number; -1: none
)

func poke(tid int, register uintptr, value int) error {
	return ptrace(unix.PTRACE_POKEUSR, tid, register, uintptr(value))
}

func ptrace(request, tid int, addr, data uintptr) error {
	if _, _, errno := unix.RawSyscall6(unix.SYS_PTRACE, uintptr(request), uintptr(tid), addr, data, 0, 0); errno != 0 {
		return fmt.Errorf("ptrace %#x: %w", request, errno)
	}
	return nil
}

// ignoreEnd: a thread may be killed while it stands still.
func ignoreEnd(err error) error {
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}
