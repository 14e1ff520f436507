// Package systemd is what the program says to systemd, and is given by it: listening sockets (sd_listen_fds(3)), and a socket for
// messages (sd_notify(3)). Whatever else speaks these protocols will do. Without it, nothing is inherited, and what is said goes
// nowhere.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/coreos/go-systemd/v22/activation"
)

// Names of sockets (FileDescriptorName= in a .socket unit).
const (
	Site  = "site"  // where the site is
	Admin = "admin" // for operators
)

// maxSockets bounds what is inherited; a unit with more is a mistake.
const maxSockets = 64

// Sockets are listening sockets that were inherited, by name. Whoever has passed them keeps them: while one program ends and the
// next one starts, clients wait in their queues.
type Sockets map[string][]net.Listener

// ErrSocket says that a socket was passed that can't be used.
var ErrSocket = errors.New("inherited sockets")

// Inherit returns the sockets that the program was started with. It takes them out of the environment: call it once, and early.
// With an error, none is open.
func Inherit() (Sockets, error) {
	files := activation.Files(true)
	s, err := collect(files)
	for _, f := range files {
		_ = f.Close() // the listeners have descriptors of their own
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func collect(files []*os.File) (Sockets, error) {
	s := Sockets{}
	if len(files) > maxSockets {
		return s, fmt.Errorf("%w: %d of them: at most %d are taken", ErrSocket, len(files), maxSockets)
	}
	for _, f := range files {
		if !slices.Contains([]string{Site, Admin}, f.Name()) {
			return s, fmt.Errorf("%w: one is named %q: set FileDescriptorName=%s or FileDescriptorName=%s in its .socket unit", ErrSocket, f.Name(), Site, Admin)
		}
		ln, err := net.FileListener(f)
		if err != nil {
			return s, fmt.Errorf("%w: %s is no listening stream socket (%w): use ListenStream= and Accept=no", ErrSocket, f.Name(), err)
		}
		s[f.Name()] = append(s[f.Name()], ln)
	}
	if n := len(s[Admin]); n > 1 {
		return s, fmt.Errorf("%w: %d are named %s: pass one", ErrSocket, n, Admin)
	}
	return s, nil
}

// Close closes all; who has passed them has them still.
func (s Sockets) Close() {
	for _, list := range s {
		for _, ln := range list {
			_ = ln.Close()
		}
	}
}

// Matches reports whether a socket of the list listens where an address says: host:port, or unix:/PATH. A host that is empty means
// every address, as for net.Listen.
func Matches(list []net.Listener, addr string) bool {
	return slices.ContainsFunc(list, func(ln net.Listener) bool { return matches(ln.Addr(), addr) })
}

func matches(is net.Addr, addr string) bool {
	if path, isUnix := strings.CutPrefix(addr, "unix:"); isUnix || is.Network() != "tcp" {
		return isUnix && is.Network() == "unix" && is.String() == path
	}
	want, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return false
	}
	have, ok := is.(*net.TCPAddr)
	if !ok || have.Port != want.Port {
		return false
	}
	if want.IP == nil || want.IP.IsUnspecified() {
		return have.IP.IsUnspecified()
	}
	return have.IP.Equal(want.IP)
}

// Describe lists the addresses of sockets, for messages.
func Describe(list []net.Listener) string {
	var all []string
	for _, ln := range list {
		name := ln.Addr().String()
		if ln.Addr().Network() == "unix" {
			name = "unix:" + name
		}
		all = append(all, name)
	}
	return strings.Join(all, ", ")
}
