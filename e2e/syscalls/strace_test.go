//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// straces is how often an operation is watched by strace, and as often by our tracer: what is in each list of one must be in
// some list of the other.
const straces = 3

// TestStrace compares the calls that our tracer lists with those that strace lists, for each operation: the same calls of
// the same files.
func TestStrace(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Fatalf("%v: e2e/install.sh installs it", err)
	}
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			s := newSuite(t, right)
			ours, theirs := newLists(), newLists()
			for range straces {
				var r recorder
				s.watched(op, &r)
				list := make(map[call]bool)
				for _, c := range r.calls {
					list[call{strings.Fields(c.name)[0], c.file, 0}] = true
				}
				ours.add(list)
				theirs.add(s.strace(op))
			}
			for _, c := range ours.missing(theirs) {
				t.Errorf("strace never lists %s %s", c.name, c.file)
			}
			for _, c := range theirs.missing(ours) {
				t.Errorf("our tracer never lists %s %s", c.name, c.file)
			}
			t.Logf("%d pairs of a call and a file, each time; strace: %d", len(ours.always()), len(theirs.always()))
			if len(ours.always()) < 20 {
				t.Error("these are too few to show anything")
			}
		})
	}
}

// lists counts in how many lists a call stands.
type lists struct {
	in map[call]int
	n  int
}

func newLists() *lists { return &lists{in: make(map[call]int)} }

func (l *lists) add(list map[call]bool) {
	for c := range list {
		l.in[c]++
	}
	l.n++
}

// always are the calls that stand in every list.
func (l *lists) always() (calls []call) {
	for c, n := range l.in {
		if n == l.n {
			calls = append(calls, c)
		}
	}
	slices.SortFunc(calls, func(a, b call) int { return strings.Compare(a.String(), b.String()) })
	return calls
}

// missing are those that other has in no list.
func (l *lists) missing(other *lists) []call {
	return slices.DeleteFunc(l.always(), func(c call) bool { return other.in[c] > 0 || isJournal(c.file) })
}

// isJournal reports whether a file is the journal's. Its lines are written up to 50 ms late, by the clock: within a list, or after it.
func isJournal(file string) bool { return file == "cache/log" || file == "cache/unstored" }

func (s *suite) watched(op operation, r *recorder) {
	s.t.Helper()
	w := s.world(s.t.Context())
	if err := op.prepare(s.t.Context(), w); err != nil {
		s.t.Fatal(err)
	}
	if o, err := op.run(s.t.Context(), w, r.on(w)); err != nil || !o.ok() {
		s.t.Fatalf("%v, %v", o, err)
	}
}

// strace lists the calls of an operation.
func (s *suite) strace(op operation) map[call]bool {
	s.t.Helper()
	w := s.world(s.t.Context())
	if err := op.prepare(s.t.Context(), w); err != nil {
		s.t.Fatal(err)
	}
	out := filepath.Join(s.t.TempDir(), "strace")
	running := false
	o, err := op.run(s.t.Context(), w, func(pid int, r bool) (func() error, error) {
		running = r
		return attachStrace(pid, out)
	})
	if err != nil || !o.ok() {
		s.t.Fatalf("under strace: %v, %v", o, err)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		s.t.Fatal(err)
	}
	if !running { // what the shell did before it became the program is not the program's
		if _, rest, ok := bytes.Cut(text, []byte("execve(")); ok {
			text = rest
		}
	}
	return parseStrace(string(text), newNamer(w.pid, w.data()))
}

// straceTime bounds the wait for strace to have taken all threads.
const straceTime = 20 * time.Second

func attachStrace(pid int, out string) (stop func() error, err error) {
	c := exec.Command("strace", "-f", "-y", "-o", out, "-p", fmt.Sprint(pid))
	stderr, err := c.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := c.Start(); err != nil {
		return nil, err
	}
	said := make(chan string, 1)
	go func() { // ends with strace
		defer close(said)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			select {
			case said <- lines.Text():
			default: // nobody wants to know any more
			}
		}
	}()
	for end := time.After(straceTime); ; {
		select {
		case line, ok := <-said:
			if !ok {
				return nil, fmt.Errorf("strace ended: %w", c.Wait())
			}
			if !strings.Contains(line, " attached") {
				return nil, errors.Join(errors.New("strace: "+line), c.Process.Kill(), c.Wait())
			}
			// It attaches to all threads before it writes the first line.
			return func() error {
				if err := c.Process.Signal(unix.SIGINT); err != nil {
					return err
				}
				_ = c.Wait() // it ends by that signal
				return nil
			}, nil
		case <-end:
			return nil, errors.Join(errors.New("strace does not attach"), c.Process.Kill(), c.Wait())
		}
	}
}

var (
	straceCall = regexp.MustCompile(`^(?:\d+ +)?([a-z0-9_]+)\((.*)$`)
	straceFD   = regexp.MustCompile(`(?:^|, )(?:-?\d+|AT_FDCWD)<([^>]*)>`)
	straceAt   = regexp.MustCompile(`(?:^|, )(?:(?:\d+|AT_FDCWD)<([^>]*)>(?:\(deleted\))?, )?"((?:[^"\\]|\\.)*)"`)
)

// parseStrace reads what strace -f -y writes. The names of files are those of the namer.
func parseStrace(text string, n *namer) map[call]bool {
	list := make(map[call]bool)
	for line := range strings.Lines(text) {
		m := straceCall.FindStringSubmatch(strings.TrimSuffix(line, "\n"))
		if m == nil {
			continue // a signal, or the end of a call that another one interrupted
		}
		for nr, s := range shapes {
			if s.name != m[1] {
				continue
			}
			if file, ok := n.strace(nr, s.shape, m[2]); ok {
				list[call{s.name, file, 0}] = true
			}
		}
	}
	return list
}

// strace is file for a line of strace.
func (n *namer) strace(nr uint64, s shape, args string) (string, bool) {
	fds, ats := straceFD.FindAllStringSubmatch(args, -1), straceAt.FindAllStringSubmatch(args, -1)
	path := func(i int) string {
		if i >= len(ats) {
			return ""
		}
		if filepath.IsAbs(ats[i][2]) {
			return ats[i][2]
		}
		return filepath.Join(ats[i][1], ats[i][2])
	}
	switch s {
	case byFD, byMap:
		i := 0
		if nr == unix.SYS_SENDFILE {
			i = 1
		}
		if len(fds) <= i {
			return "", false
		}
		return n.class(strings.TrimSuffix(fds[i][1], " (deleted)"))
	case byPaths, byLink:
		return n.class(path(1))
	case byPath, byAt:
		if len(ats) == 0 && len(fds) > 0 { // utimensat(FD, NULL, …)
			return n.class(fds[0][1])
		}
		class, ours := n.class(path(0))
		if opening := nr == unix.SYS_OPEN || nr == unix.SYS_OPENAT || nr == unix.SYS_OPENAT2; !ours && opening {
			return normal(path(0)), true
		}
		return class, ours
	default:
		from, ours := n.class(path(0))
		to, too := n.class(path(1))
		if nr != unix.SYS_LINKAT || ours {
			to = from + " → " + to
		}
		return to, ours || too
	}
}
