package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/systemd"
)

// A Listener is where a site listens, before it has a handler: at one address, or at the sockets it has inherited.
type Listener struct {
	Hosts []string // the names the site answers to; the first one is that in keys
	Base  string   // a URL that leads here from this machine, without the final slash
	Ports []string // those it listens on

	sockets   []net.Listener
	inherited bool
}

// Listen listens on the address of a site that has the given names, or takes the sockets it was given.
func Listen(ctx context.Context, c conf.Serve, p Process) (*Listener, error) {
	l := &Listener{sockets: p.Sockets[systemd.Site]}
	switch l.inherited = len(l.sockets) > 0; {
	case !l.inherited:
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
		if err != nil {
			return nil, fmt.Errorf("%w: choose another --listen, or stop what uses it", err)
		}
		l.sockets = []net.Listener{ln}
	case p.given("listen") && !systemd.Matches(l.sockets, c.Listen):
		return nil, fmt.Errorf("listen is %s, and the inherited socket listens on %s: leave listen out, or make it and ListenStream= the same",
			c.Listen, systemd.Describe(l.sockets))
	}
	for i, ln := range l.sockets {
		if addr, ok := ln.Addr().(*net.TCPAddr); ok {
			l.Ports = append(l.Ports, strconv.Itoa(addr.Port))
		}
		l.sockets[i] = &probed{Listener: ln, probes: make(chan net.Conn, 1)}
	}
	return l.Renamed(c.Hosts), nil
}

// Renamed returns the same listener for a site that has other names.
func (l *Listener) Renamed(names []string) *Listener {
	renamed := *l
	hosts, here := siteHosts(l.addr(), names)
	renamed.Hosts, renamed.Base = hosts, "http://"+here
	return &renamed
}

// Servers makes a server for each socket.
func (l *Listener) Servers(serve func(net.Listener) Server) (list []Server) {
	for _, ln := range l.sockets {
		list = append(list, serve(ln))
	}
	return list
}

// addr returns the first address, which the site is known by; nil if it listens on Unix sockets only.
func (l *Listener) addr() *net.TCPAddr {
	for _, ln := range l.sockets {
		if addr, ok := ln.Addr().(*net.TCPAddr); ok {
			return addr
		}
	}
	return nil
}

// Close closes the sockets. Those that were inherited go on listening for whoever has passed them.
func (l *Listener) Close() error {
	var errs []error
	for _, ln := range l.sockets {
		if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// probed is a listener that can be asked whether connections are being accepted: a probe is a connection of this program's own,
// which is accepted like any other, though it comes from no network. (One that did might be accepted by another instance that has
// the same socket.)
type probed struct {
	net.Listener
	probes chan net.Conn // at most one
}

// Accept returns the next connection, or probe.
func (p *probed) Accept() (net.Conn, error) {
	for {
		c, err := p.Listener.Accept()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return c, err
		}
		if err := p.deadline(time.Time{}); err != nil {
			return nil, err
		}
		select {
		case c := <-p.probes:
			return c, nil
		default: // the probe was given up
		}
	}
}

// probe returns a connection to whoever accepts.
func (p *probed) probe() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case before := <-p.probes: // nobody has accepted it
		_ = before.Close()
	default:
	}
	p.probes <- probeConn{theirs}
	return ours, p.deadline(past()) // wakes who waits in Accept
}

func (p *probed) deadline(t time.Time) error {
	d, ok := p.Listener.(interface{ SetDeadline(time.Time) error })
	if !ok {
		return errors.ErrUnsupported
	}
	return d.SetDeadline(t)
}

// probeConn is the end of a probe that is accepted.
type probeConn struct{ net.Conn }

type isProbe struct{}

// noteProbe is http.Server's ConnContext: the handler is to know which requests are probes. No client can make one, as they are
// known by the connection's type, and not by what they say.
func noteProbe(ctx context.Context, c net.Conn) context.Context {
	for c != nil {
		switch inner := c.(type) {
		case probeConn:
			return context.WithValue(ctx, isProbe{}, true)
		case interface{ NetConn() net.Conn }: // tls.Conn, and strictConn
			c = inner.NetConn()
		default:
			return ctx
		}
	}
	return ctx
}

func probes(r *http.Request) bool { return r.Context().Value(isProbe{}) != nil }
