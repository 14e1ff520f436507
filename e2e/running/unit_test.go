//go:build e2e

package running

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/program"
)

var binary string

func TestMain(m *testing.M) { program.Main(m, &binary) }

// patience bounds what must happen soon.
const patience = 30 * time.Second

// A unit is a service as systemd has it: sockets that are there all the time, a program that runs sometimes, and what it says.
type unit struct {
	t        testing.TB
	args     []string
	addr     string   // of the site
	socket   *os.File // nil: the program listens itself
	watchdog time.Duration
	log      program.Log

	notify *net.UnixConn
	said   chan string // one message at a time
	cmd    *exec.Cmd
	ended  chan error
}

// newUnit makes a unit for a command line, with a socket for the site if it is to have one.
func newUnit(t testing.TB, activated bool, args ...string) *unit {
	t.Helper()
	u := &unit{t: t, args: args, said: make(chan string, 10_000)}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.addr = ln.Addr().String()
	if activated {
		if u.socket, err = ln.(*net.TCPListener).File(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = u.socket.Close() })
	} else {
		u.args = append(u.args, "--listen", u.addr)
	}
	_ = ln.Close()
	u.notify, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for b := make([]byte, 4096); ; {
			n, err := u.notify.Read(b)
			if err != nil {
				return
			}
			u.said <- string(b[:n])
		}
	}()
	t.Cleanup(func() {
		u.kill()
		_ = u.notify.Close()
		if t.Failed() {
			t.Logf("%q:\n%.20000s", u.args, u.log.String())
		}
	})
	return u
}

// start starts the program and waits until it says that it is ready.
func (u *unit) start() {
	u.t.Helper()
	u.launch()
	u.await("READY=1")
}

func (u *unit) launch() {
	u.t.Helper()
	// LISTEN_PID is the number of the process that is to have the sockets, which is known only in it.
	u.cmd = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$; export LISTEN_PID; exec "$0" "$@"`, binary}, u.args...)...)
	u.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+u.notify.LocalAddr().String())
	if u.socket != nil {
		u.cmd.ExtraFiles = []*os.File{u.socket}
		u.cmd.Env = append(u.cmd.Env, "LISTEN_FDS=1", "LISTEN_FDNAMES=site")
	}
	if u.watchdog > 0 {
		u.cmd.Env = append(u.cmd.Env, fmt.Sprintf("WATCHDOG_USEC=%d", u.watchdog.Microseconds()))
	}
	u.cmd.Stdout, u.cmd.Stderr = &u.log, &u.log
	if err := u.cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	ended, cmd := make(chan error, 1), u.cmd
	u.ended = ended
	go func() { ended <- cmd.Wait() }()
}

// await waits until the program has said something, and returns that message.
func (u *unit) await(line string) string {
	u.t.Helper()
	end := time.After(patience)
	for {
		select {
		case said := <-u.said:
			if strings.Contains("\n"+said+"\n", "\n"+line) {
				return said
			}
		case err := <-u.ended:
			u.ended <- err
			u.t.Fatalf("waiting for %s, the program ended: %v\n%s", line, err, u.log.String())
		case <-end:
			u.t.Fatalf("the program has not said %s\n%s", line, u.log.String())
		}
	}
}

// stop asks the program to end, and waits until it has.
func (u *unit) stop() {
	u.t.Helper()
	u.signal(syscall.SIGTERM)
	select {
	case err := <-u.ended:
		u.cmd = nil
		if err != nil {
			u.t.Fatalf("it did not stop well: %v\n%s", err, u.log.String())
		}
	case <-time.After(patience):
		u.t.Fatal("it does not stop")
	}
}

// kill ends it at once.
func (u *unit) kill() {
	if u.cmd == nil {
		return
	}
	_ = u.cmd.Process.Kill()
	<-u.ended
	u.cmd = nil
}

func (u *unit) signal(s os.Signal) {
	u.t.Helper()
	if err := u.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		u.t.Fatal(err)
	}
}

// run runs another command of the program, to its end.
func run(t testing.TB, args ...string) string {
	t.Helper()
	out, err := exec.Command(binary, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("cachesrv %q: %v\n%s", args, err, out)
	}
	return string(out)
}
