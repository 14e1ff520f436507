package origin

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"
)

const readSize = 16 << 10 // of a connection's buffer

// A lane is a set of connections that are not mixed with those of another.
type lane int

const (
	pages lane = iota // have carried nothing but our own requests, without bodies
	others
	lanes
)

// A conn is a connection to the origin. One goroutine reads and, unless the request has a body (upload), writes.
type conn struct {
	net.Conn
	plain    net.Conn        // the same, or beneath its TLS
	raw      syscall.RawConn // of plain
	br       *bufio.Reader
	bw       *bufio.Writer
	lane     lane
	requests int       // sent so far
	since    time.Time // idle since

	// Of the exchange under way:
	got      int64         // bytes read
	patience time.Duration // for each read of a body; 0: none
	waiting  func()        // called before a read waits for the network
	head     []byte        // readHead's, to be used again
}

// Read is what br reads from.
func (c *conn) Read(p []byte) (int, error) {
	if c.waiting != nil {
		if n := c.ready(p); n > 0 {
			c.got += int64(n)
			return n, nil
		}
		c.waiting()
	}
	if c.patience > 0 {
		if err := c.SetReadDeadline(time.Now().Add(c.patience)); err != nil {
			return 0, err
		}
	}
	n, err := c.Conn.Read(p)
	c.got += int64(n)
	return n, err
}

// ready reads what has come already. Of nothing, of an end, and of errors it says 0: Read tells them apart. (TLS has no such call.)
func (c *conn) ready(p []byte) (n int) {
	if c.raw == nil || c.Conn != c.plain {
		return 0
	}
	err := c.raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), p) // the socket is non-blocking
		return true
	})
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// dial makes a connection.
func (o *Origin) dial(ctx context.Context, l lane) (*conn, error) {
	plain, err := (&net.Dialer{}).DialContext(ctx, o.network, o.address)
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: plain, plain: plain, lane: l}
	if s, ok := plain.(syscall.Conn); ok {
		if c.raw, err = s.SyscallConn(); err != nil {
			_ = plain.Close()
			return nil, err
		}
	}
	if o.tls != nil {
		secured := tls.Client(plain, o.tls)
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = plain.Close()
			return nil, err
		}
		c.Conn = secured
	}
	c.br, c.bw = bufio.NewReaderSize(c, readSize), bufio.NewWriter(c.Conn)
	return c, nil
}

// alive reports whether an idle connection can be used. The origin has not closed it, nor said anything unasked: that
// would be taken for the answer to the next request.
func (c *conn) alive() bool {
	if c.br.Buffered() > 0 || c.raw == nil {
		return false
	}
	quiet := false
	err := c.raw.Read(func(fd uintptr) bool {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK) // the socket is non-blocking
		quiet = errors.Is(err, syscall.EAGAIN)
		return true
	})
	return err == nil && quiet
}

// take returns a connection to use: an idle one, unless it must be fresh, or a new one. It is given back by release.
func (o *Origin) take(ctx context.Context, l lane, fresh bool) (*conn, error) {
	select {
	case o.slots <- struct{}{}:
	default:
		if err := o.queue(ctx); err != nil {
			return nil, err
		}
	}
	if !fresh {
		if c := o.idle.take(l, time.Now()); c != nil {
			return c, nil
		}
	}
	o.idle.makeRoom(cap(o.slots) - len(o.slots))
	dialing, cancel := context.WithTimeout(ctx, o.options.ConnectTimeout)
	defer cancel()
	c, err := o.dial(dialing, l)
	if err != nil {
		<-o.slots
		return nil, failed(ctx, "connect to "+o.options.URL, err)
	}
	return c, nil
}

func (o *Origin) queue(ctx context.Context) error {
	patience := time.NewTimer(o.options.ConnectTimeout)
	defer patience.Stop()
	select {
	case o.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return failed(ctx, "wait for a connection", ctx.Err())
	case <-patience.C:
		return fmt.Errorf("%w: all %d connections to %s are in use", ErrTimeout, cap(o.slots), o.options.URL)
	}
}

// release ends the use of a connection, which is kept for the next request or closed.
func (o *Origin) release(c *conn, keep bool) {
	c.waiting, c.patience = nil, 0
	if !keep || !o.idle.keep(c, time.Now()) {
		_ = c.Close()
	}
	<-o.slots
}
