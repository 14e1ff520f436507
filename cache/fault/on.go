//go:build cachesrv_fault

package fault

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Enabled: this build has the seam.
const Enabled = true

// A Label says what a call is for.
type Label struct{ name string }

// String returns the label's text.
func (l Label) String() string { return l.name }

var labels []string

func label(name string) Label {
	if slices.Contains(labels, name) {
		panic("two labels are named " + name)
	}
	labels = append(labels, name)
	return Label{name}
}

// Labels lists the texts of all labels.
func Labels() []string { return slices.Clone(labels) }

// A setting is what the environment asks for.
type setting struct {
	kill   counted
	fail   counted
	errno  syscall.Errno
	after  bool // the call is made first
	lasts  bool // later ones fail, too
	trace  *os.File
	traced sync.Mutex
}

// counted is a name, and how often it may still be passed.
type counted struct {
	name string
	left atomic.Int64
}

// passed reports whether this is the passing that counts: 1; an earlier one: 0; a later one: 2.
func (c *counted) passed(name string) int {
	if c.name == "" || c.name != name {
		return 0
	}
	switch left := c.left.Add(-1); {
	case left > 0:
		return 0
	case left == 0:
		return 1
	default:
		return 2
	}
}

var environment = sync.OnceValue(func() *setting {
	s := new(setting)
	kill := os.Getenv("CACHESRV_KILL")
	name, n, counted := strings.Cut(kill, ":")
	s.kill.name = name
	s.kill.left.Store(1)
	if counted {
		s.kill.left.Store(count("CACHESRV_KILL="+kill, n))
	}
	if text := os.Getenv("CACHESRV_FAIL"); text != "" {
		s.parseFail(text)
	}
	if name := os.Getenv("CACHESRV_TRACE"); name != "" {
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			panic("CACHESRV_TRACE: " + err.Error())
		}
		s.trace = f
	}
	return s
})

// count reads which passing is meant. One that is misread would be another fault than the one asked for.
func count(setting, n string) int64 {
	count, err := strconv.ParseInt(n, 10, 64)
	if err != nil || count < 1 {
		panic(fmt.Sprintf("%s: %q is not a number from 1 on", setting, n))
	}
	return count
}

// parseFail reads CACHESRV_FAIL. What it can't read it does not take for "no fault": a check that can't fail shows nothing.
func (s *setting) parseFail(text string) {
	words := strings.Split(text, ":")
	if !slices.Contains(labels, words[0]) {
		panic(fmt.Sprintf("CACHESRV_FAIL=%s: no call has the label %q", text, words[0]))
	}
	s.fail.name, s.errno = words[0], unix.EIO
	s.fail.left.Store(1)
	for _, w := range words[1:] {
		if n, plus := strings.CutSuffix(w, "+"); w != "" && w[0] >= '0' && w[0] <= '9' {
			s.fail.left.Store(count("CACHESRV_FAIL="+text, n))
			s.lasts = plus
		} else if w == "after" {
			s.after = true
		} else if s.errno = errnoOf(w); s.errno == 0 {
			panic(fmt.Sprintf("CACHESRV_FAIL=%s: %q is no number, no errno and not \"after\"", text, w))
		}
	}
}

// lastErrno bounds the search for an errno's name.
const lastErrno = 133

func errnoOf(name string) syscall.Errno {
	for n := syscall.Errno(1); n <= lastErrno; n++ {
		if found := unix.ErrnoName(n); found != "" && found == name { // some numbers have none
			return n
		}
	}
	return 0
}

func (s *setting) pass(name string) {
	if s.trace != nil {
		s.traced.Lock()
		_, _ = s.trace.WriteString(name + "\n")
		s.traced.Unlock()
	}
	if s.kill.passed(name) == 1 {
		_ = syscall.Kill(syscall.Getpid(), syscall.SIGKILL)
		select {} // the signal is on its way
	}
}

func (s *setting) fails(name string) bool {
	n := s.fail.passed(name)
	return n == 1 || n == 2 && s.lasts
}

// Point kills the process when it is the one CACHESRV_KILL names, for the N-th time.
func Point(name string) { environment().pass(name) }

// Enter announces a call, and the name it is about. An error is to be returned in its stead.
func Enter(l Label, m Mode, name string) error {
	s := environment()
	s.pass(l.name)
	if h := hook.Load(); h != nil {
		if err := (*h).Enter(l, m, name); err != nil {
			return err
		}
	}
	if !s.after && s.fails(l.name) {
		return s.errno
	}
	return nil
}

// Leave tells how a call ended that Enter announced. The caller goes by the error it returns.
func Leave(l Label, err error) error {
	if s := environment(); s.after && s.fails(l.name) && err == nil {
		err = s.errno
	}
	if h := hook.Load(); h != nil {
		(*h).Leave(l, err)
	}
	return err
}

// Saw tells what the caller learns from a call besides an error.
func Saw[T any](l Label, result T) {
	if h := hook.Load(); h != nil {
		(*h).Saw(l, result)
	}
}

// After is time.After, but where a Hook orders the calls nobody waits.
func After(d time.Duration) <-chan time.Time {
	if hook.Load() != nil {
		d = 0
	}
	return time.After(d)
}

// Pause widens the window of a control, where no Hook orders the calls.
func Pause(d time.Duration) {
	if hook.Load() == nil {
		time.Sleep(d)
	}
}

var hook atomic.Pointer[Hook]

// SetHook sets what sees every labelled call of this process, or takes it away (nil). Call it only while no labelled call is
// under way.
func SetHook(h Hook) {
	if h == nil {
		hook.Store(nil)
		return
	}
	hook.Store(&h)
}

var control atomic.Pointer[string]

// SetControl breaks the protocol as CACHESRV_CONTROL would; "" mends it.
func SetControl(name string) { control.Store(&name) }

var environmentControl = sync.OnceValue(func() string { return os.Getenv("CACHESRV_CONTROL") })

// Broken reports whether the protocol is to be broken in this way.
func Broken(name string) bool {
	if c := control.Load(); c != nil {
		return *c == name
	}
	return environmentControl() == name
}

// Do makes a call that is none of package sys under its label.
func Do(l Label, m Mode, name string, call func() error) error {
	if err := Enter(l, m, name); err != nil {
		return err
	}
	return Leave(l, call())
}
