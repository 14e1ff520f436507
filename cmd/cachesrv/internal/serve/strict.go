package serve

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// strictListener stands between the network, or TLS, and net/http, which is lenient where a cache must be strict: it lets
// Transfer-Encoding win over Content-Length, unfolds lines, and takes LF for CR LF, and tells no handler so.
type strictListener struct {
	net.Listener
	prior bool // connections may begin with HTTP/2's preface
}

func (l strictListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return strict(c, l.prior), nil
}

// strict returns a connection of HTTP/1 whose reader finds nothing that can be read in two ways. It has what net/http looks
// for in connections: ReadFrom (sendfile) if c has it, CloseWrite, and the state of TLS.
func strict(c net.Conn, prior bool) net.Conn {
	s := &strictConn{Conn: c, prior: prior}
	if t, ok := c.(*tls.Conn); ok {
		return struct {
			*strictConn
			connectionState
		}{s, t}
	}
	if from, ok := c.(io.ReaderFrom); ok {
		return struct {
			*strictConn
			io.ReaderFrom
		}{s, from}
	}
	return s
}

type connectionState interface{ ConnectionState() tls.ConnectionState }

// strictConn replaces the first byte that the scanner finds fault with by something that net/http answers with 400, in a head
// and between requests. Behind a head, whose request is handled, the connection ends there: reading the body fails with
// io.ErrUnexpectedEOF, and handlers read nothing that the client has not sent. Nothing that follows is read. As net/http
// reads ahead, that may be while an earlier request is answered, which is not disturbed.
//
// Behind the head of a request that asks for an upgrade nothing is read ahead but one byte, which goes by as it is; it is
// scanned with what follows it, if net/http reads on without having given the connection away. If it has (Hijack, told by
// http.Server's ConnState), what follows is not HTTP.
type strictConn struct {
	net.Conn
	prior   bool
	begun   bool
	aside   bool // all goes by as it is
	scan    scanner
	waiting bool   // behind an upgrade's head
	passed  []byte // then: what went by, at most one byte
	next    []byte // what has been read, but not scanned
	out     []byte // what has been scanned, or needs not be

	refused  atomic.Pointer[refusal]
	answered atomic.Int64 // requests whose answers are complete
}

// A refusal says why no more is read, and behind how many requests.
type refusal struct {
	why      string
	requests int64
}

const (
	preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" // RFC 9113 3.4
	// poison ends the line, has another one without a colon, and ends the head.
	poison = "\x00\r\n\x00\r\n\r\n"
)

// Read serves one goroutine at a time, as net/http calls it.
func (c *strictConn) Read(p []byte) (n int, err error) {
	switch {
	case len(p) == 0:
		return 0, nil
	case len(c.out) > 0:
		n = copy(p, c.out)
		c.out = c.out[n:]
		return n, nil
	case c.refused.Load() != nil:
		return 0, io.EOF
	case c.waiting && !c.aside:
		return c.behindUpgrade(p)
	}
	n, err = c.receive(p)
	if !c.begun && n > 0 {
		c.begun = true
		if c.prior && (bytes.HasPrefix(p[:n], []byte(preface)) || strings.HasPrefix(preface, string(p[:n]))) {
			return c.begin(p, n)
		}
	}
	if c.aside {
		return n, err
	}
	good := c.scanned(p[:n])
	if good == 0 && n > 0 {
		return c.Read(p) // what stands for the fault, or the end
	}
	return good, err
}

// receive reads what has not been scanned.
func (c *strictConn) receive(p []byte) (n int, err error) {
	if len(c.next) > 0 {
		n = copy(p, c.next)
		c.next = c.next[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// begin waits until it is certain whether this is HTTP/2. p[:n], which has been read, is some of the preface, or begins with it.
func (c *strictConn) begin(p []byte, n int) (int, error) {
	held := append(make([]byte, 0, max(n, len(preface))), p[:n]...)
	for len(held) < len(preface) && strings.HasPrefix(preface, string(held)) {
		m, err := c.Conn.Read(held[len(held):len(preface)])
		if held = held[:len(held)+m]; err != nil {
			break // the next Read fails, too
		}
	}
	c.next = held
	c.aside = bytes.HasPrefix(held, []byte(preface))
	return c.Read(p)
}

// scanned scans what has been read, and returns how much of it is good.
func (c *strictConn) scanned(p []byte) (good int) {
	good = c.scan.feed(p)
	switch {
	case c.scan.why != "":
		c.refused.Store(&refusal{c.scan.why, c.scan.requests})
		c.next = nil
		if !c.scan.behindHead() {
			c.out = []byte(poison)
		}
	case c.scan.paused:
		c.waiting = true
		c.next = append(bytes.Clone(p[good:]), c.next...)
	}
	return good
}

// behindUpgrade lets one byte go by, as net/http waits for one while a handler runs; it reads the next when it has the
// handler's answer.
func (c *strictConn) behindUpgrade(p []byte) (n int, err error) {
	if len(c.passed) == 0 {
		n, err = c.receive(p[:1])
		c.passed = bytes.Clone(p[:n])
		return n, err
	}
	c.waiting = false
	passed := c.passed
	c.passed = nil
	c.scanned(passed) // what stands for a fault comes behind what went by
	return c.Read(p)
}

// NetConn returns the connection below, as that of tls.Conn does.
func (c *strictConn) NetConn() net.Conn { return c.Conn }

// follow is called by http.Server's ConnState.
func follow(conn net.Conn, state http.ConnState) {
	c, ok := conn.(interface{ follow(http.ConnState) })
	if !ok {
		return
	}
	c.follow(state)
}

func (c *strictConn) follow(state http.ConnState) {
	switch state {
	case http.StateIdle:
		c.answered.Add(1)
	case http.StateHijacked:
		c.aside, c.out = true, nil
	}
}

// linger is how long, and up to how many bytes, a refused client may go on sending before it is cut off: it would lose the
// answer (RFC 9112 9.6).
const (
	lingerTimeout = 500 * time.Millisecond
	lingerBytes   = 256 << 10
)

// bareAnswer is net/http's whole answer to what is malformed.
const bareAnswer = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n400 Bad Request"

// Write makes net/http's answer to what was refused one that says why.
func (c *strictConn) Write(p []byte) (int, error) {
	r := c.refused.Load()
	if r == nil || c.answered.Load() != r.requests || string(p) != bareAnswer {
		return c.Conn.Write(p)
	}
	body := "cachesrv: " + r.why + "\n"
	head := strings.TrimSuffix(bareAnswer, "\r\n400 Bad Request")
	if _, err := fmt.Fprintf(c.Conn, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body); err != nil {
		return 0, err
	}
	if c.CloseWrite() == nil && c.SetReadDeadline(time.Now().Add(lingerTimeout)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes)
	}
	return len(p), nil
}

// CloseWrite is for net/http, which says so to clients that it stops listening to.
func (c *strictConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}
