package systemd

import (
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// socketFile returns a listening socket as it is passed: a file with a name.
func socketFile(t *testing.T, name, network, addr string) *os.File {
	t.Helper()
	ln, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	f, err := ln.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return os.NewFile(f.Fd(), name)
}

// TestSockets: what is passed is found by name, and what can't be used is said to be.
func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s, err := collect([]*os.File{socketFile(t, Site, "tcp", "127.0.0.1:0"), socketFile(t, Site, "unix", path), socketFile(t, Admin, "tcp", "127.0.0.1:0")})
	if err != nil || len(s[Site]) != 2 || len(s[Admin]) != 1 {
		t.Fatalf("%v, %v", s, err)
	}
	if got := Describe(s[Site]); got != s[Site][0].Addr().String()+", unix:"+path {
		t.Error(got)
	}
	s.Close()
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket was systemd's, and we have removed it: %v", err)
	}

	file, err := os.Open("systemd_test.go")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, tt := range []struct {
		files []*os.File
		want  string
	}{
		{[]*os.File{socketFile(t, "cachesrv.socket", "tcp", "127.0.0.1:0")}, `"cachesrv.socket": set FileDescriptorName=`},
		{[]*os.File{os.NewFile(file.Fd(), Site)}, "site is no listening stream socket"},
		{[]*os.File{socketFile(t, Admin, "tcp", "127.0.0.1:0"), socketFile(t, Admin, "tcp", "127.0.0.1:0")}, "2 are named admin"},
		{make([]*os.File, maxSockets+1), "at most 64"},
	} {
		s, err := collect(tt.files)
		s.Close()
		if !errors.Is(err, ErrSocket) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// TestMatches: a setting that says where to listen must be where the socket is.
func TestMatches(t *testing.T) {
	tcp := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 80} }
	for _, tt := range []struct {
		is   net.Addr
		addr string
		want bool
	}{
		{tcp("127.0.0.1"), "127.0.0.1:80", true},
		{tcp("127.0.0.1"), "127.0.0.1:81", false},
		{tcp("127.0.0.1"), "127.0.0.2:80", false},
		{tcp("127.0.0.1"), ":80", false},
		{tcp("::"), ":80", true},
		{tcp("0.0.0.0"), ":80", true},
		{tcp("::"), "0.0.0.0:80", true},
		{tcp("::"), "127.0.0.1:80", false},
		{tcp("::1"), "[::1]:80", true},
		{tcp("127.0.0.1"), "unix:/s", false},
		{tcp("127.0.0.1"), "nonsense", false},
		{&net.UnixAddr{Name: "/s", Net: "unix"}, "unix:/s", true},
		{&net.UnixAddr{Name: "/s", Net: "unix"}, "unix:/t", false},
		{&net.UnixAddr{Name: "/s", Net: "unix"}, "127.0.0.1:80", false},
	} {
		if got := matches(tt.is, tt.addr); got != tt.want {
			t.Errorf("%s is %s: %t", tt.is, tt.addr, got)
		}
	}
}

// TestNotifier: what is said, and that a line break in a status says nothing else.
func TestNotifier(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	t.Setenv("NOTIFY_SOCKET", "")
	none := NewNotifier(slog.Default())
	none.Ready("x")
	none.Alive()
	if none != nil || none.Watchdog() != 0 {
		t.Error("somebody listens where nobody does")
	}
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", "3000000")
	n := NewNotifier(slog.Default())
	if got := n.Watchdog(); got != 3*time.Second {
		t.Errorf("watchdog within %v", got)
	}
	t.Setenv("WATCHDOG_USEC", "nonsense")
	if got := n.Watchdog(); got != 0 {
		t.Errorf("watchdog within %v", got)
	}
	for _, tt := range []struct {
		say  func()
		want string
	}{
		{func() { n.Ready("a\nREADY=1\r") }, "READY=1\nSTATUS=a READY=1 "},
		{n.Reloading, "RELOADING=1\nMONOTONIC_USEC="},
		{n.Stopping, "STOPPING=1\nSTATUS="},
		{n.Alive, "WATCHDOG=1"},
		{func() { n.Status("b") }, "STATUS=b"},
	} {
		tt.say()
		b := make([]byte, 1000)
		k, err := c.Read(b)
		if err != nil || !strings.HasPrefix(string(b[:k]), tt.want) {
			t.Errorf("%q, %v, want %q", b[:k], err, tt.want)
		}
	}
}
