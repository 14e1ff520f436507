package program

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// FreeAddress returns a port of the loopback that nobody listens on. It is below those that the kernel gives to connections
// (ip_local_port_range), one of which would take it while a program is down.
func FreeAddress(t testing.TB) string {
	t.Helper()
	const first, last = 10_000, 32_767
	for range 100 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", first+rand.IntN(last-first+1)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("of a hundred ports none is free")
	return ""
}

// A Process is a program under way.
type Process struct {
	Pid int
	// Stop interrupts the program and waits until it has ended. It returns how it ended, each time it is called.
	Stop func() error
}

// startTimeout bounds the wait for a program to listen.
const startTimeout = 60 * time.Second

// Launch starts a program, waits until it listens on an address, and stops it with the test. How it ended then is left to the
// caller, who may Stop it first. A test that has failed shows the log, to which all that the program prints goes.
func Launch(t testing.TB, address string, log *Log, cmd *exec.Cmd) Process {
	t.Helper()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	gone := make(chan struct{})
	var ended error // read it after gone
	go func() {
		defer close(gone)
		ended = cmd.Wait()
	}()
	p := Process{Pid: cmd.Process.Pid, Stop: sync.OnceValue(func() error {
		_ = cmd.Process.Signal(os.Interrupt) // one that has ended is fine
		<-gone
		return ended
	})}
	t.Cleanup(func() {
		_ = p.Stop()
		if t.Failed() {
			t.Logf("%s:\n%.10000s", strings.Join(cmd.Args, " "), log)
		}
	})
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(startTimeout); ; {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return p
		}
		select {
		case <-gone:
			t.Fatalf("%s ended with %v:\n%s", cmd.Path, ended, log)
		case <-again.C:
		}
		if time.Now().After(end) {
			t.Fatalf("%s does not listen on %s:\n%s", cmd.Path, address, log)
		}
	}
}

// LaunchOurs is Launch for cachesrv itself: it must end well, and must not panic.
func LaunchOurs(t testing.TB, address string, log *Log, cmd *exec.Cmd) Process {
	t.Helper()
	p := Launch(t, address, log, cmd)
	t.Cleanup(func() {
		if err := p.Stop(); err != nil {
			t.Errorf("%s ended with %v:\n%s", cmd.Path, err, log)
		}
		if strings.Contains(log.String(), "panic") {
			t.Errorf("its log:\n%s", log)
		}
	})
	return p
}
