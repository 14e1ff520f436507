//go:build linux && amd64 && (e2e || soak)

package syscalls

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// childVariable makes this program a child to be traced: its value is a folder.
const childVariable = "CACHESRV_SYSCALLS_CHILD"

// child does, when told to, what the tests of the tracer want to see go wrong, and tells how it went.
func child() int {
	dir := os.Getenv(childVariable)
	go func() { // another thread, busy with calls of its own
		for {
			_ = unix.Access(dir, unix.R_OK)
		}
	}()
	lines := bufio.NewScanner(os.Stdin)
	fmt.Println("ready")
	for lines.Scan() {
		_, err := os.OpenFile(filepath.Join(dir, "opened"), os.O_CREATE|os.O_RDWR, 0o600)
		fmt.Println(err)
		fmt.Println(os.Rename(filepath.Join(dir, "from"), filepath.Join(dir, "to")))
	}
	return 0
}

// TestTracer: a call that fails is not made; one that happens, but fails, is; SIGKILL comes before a call, or after.
// Whatever else the process does goes on, and goes well.
func TestTracer(t *testing.T) {
	for _, c := range []struct {
		name           string
		target         string // call
		change         change
		opened, moved  string // what the child says; empty: it is dead
		isThere, isNew bool   // the opened file; the renamed one, under its new name
	}{
		{"nothing", "", change{}, "<nil>", "<nil>", true, true},
		{"open fails", "openat create opened 1", change{notMade, unix.EIO}, "input/output error", "<nil>", false, true},
		{"too many files", "openat create opened 1", change{notMade, unix.EMFILE}, "too many open files", "<nil>", false, true},
		{"open happens but fails", "openat create opened 1", change{madeFailing, unix.EIO}, "input/output error", "<nil>", true, true},
		{"rename fails", "renameat from → to 1", change{notMade, unix.ENOSPC}, "<nil>", "no space left on device", true, false},
		{"rename happens but fails", "renameat from → to 1", change{madeFailing, unix.EIO}, "<nil>", "input/output error", true, true},
		{"killed before", "renameat from → to 1", change{what: killBefore}, "<nil>", "", true, false},
		{"killed after", "renameat from → to 1", change{what: killAfter}, "<nil>", "", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			runtime.LockOSThread() // the child ends with the thread that started it
			defer runtime.UnlockOSThread()
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "from"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			p := exec.Command(os.Args[0])
			p.Env = append(os.Environ(), childVariable+"="+dir)
			p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
			stdin, err := p.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			stdout, err := p.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			if !lines.Scan() {
				t.Fatal("the child does not begin")
			}
			n := newNamer(p.Process.Pid, dir)
			met, others := 0, 0
			tr, err := trace(p.Process.Pid, true, func(e entry) change {
				called, ok := n.name(e)
				if ok {
					others++
				}
				if !ok || called.String() != c.target {
					return change{}
				}
				met++
				return c.change
			})
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(stdin, "go\n")
			for _, want := range []string{c.opened, c.moved} {
				lines.Scan()
				if got := lines.Text(); want == "" && got != "" || !strings.HasSuffix(got, want) {
					t.Errorf("the child says %q, expected %q", got, want)
				}
			}
			if err := tr.stop(); err != nil {
				t.Error(err)
			}
			_, opened := os.Lstat(filepath.Join(dir, "opened"))
			_, moved := os.Lstat(filepath.Join(dir, "to"))
			if (opened == nil) != c.isThere || (moved == nil) != c.isNew {
				t.Errorf("opened: %v, renamed: %v", opened, moved)
			}
			if c.moved != "" { // untraced, it goes on
				_, _ = io.WriteString(stdin, "go\n")
				if lines.Scan(); lines.Text() != "<nil>" {
					t.Errorf("after the trace the child says %q", lines.Text())
				}
			}
			_ = stdin.Close()
			_, _ = io.Copy(io.Discard, stdout)
			if err := p.Wait(); (err == nil) != (c.moved != "") {
				t.Errorf("the child ended with %v", err)
			}
			if met != 1 && c.target != "" || others < 3 {
				t.Errorf("the call was met %d times; %d calls in all", met, others)
			}
		})
	}
}
