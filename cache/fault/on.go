//go:build cachesrv_fault

package fault

import (
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

var setting = sync.OnceValue(func() (s struct {
	label   string
	left    *atomic.Int64
	control string
}) {
	label, n, _ := strings.Cut(os.Getenv("CACHESRV_KILL"), ":")
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil || count < 1 {
		count = 1
	}
	s.label, s.left, s.control = label, new(atomic.Int64), os.Getenv("CACHESRV_CONTROL")
	s.left.Store(count)
	return s
})

// Point kills the process when it is the one CACHESRV_KILL names, for the N-th time.
func Point(label string) {
	if s := setting(); s.label == label && s.left.Add(-1) == 0 {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

// Broken reports whether the protocol is to be broken in this way.
func Broken(control string) bool { return setting().control == control }
