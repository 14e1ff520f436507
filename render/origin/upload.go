package origin

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	copySize = 32 << 10 // of the buffer for a body
	// continueTimeout is how long a body is held back for an origin that does not answer `Expect: 100-continue`; a
	// client need not wait for ever (RFC 9110, 10.1.1).
	continueTimeout = time.Second
	// lingerTimeout is how long the rest of a request's body is forwarded when its answer has been sent already.
	lingerTimeout = 500 * time.Millisecond
)

// errUnwanted ends an upload whose answer came without a 100 (Continue).
var errUnwanted = errors.New("the body is not wanted")

// An upload is the body of a request, on its way to the origin in a goroutine of its own, as the answer may come before
// its end. end waits for that goroutine: nothing reads the client's body afterwards.
//
// Its connection carries no other request afterwards. An origin that answers at once, and does not know that there is a body,
// takes it for the next request; who has hidden one there would have the answer to it be that to the next client. Nothing that
// can be seen of an answer tells such an origin from another, and so its connection is closed, whatever the answer. We say so
// (RFC 9112, 9.6): an origin that keeps to it does not even read what was hidden.
type upload struct {
	from      io.Reader
	length    int64       // -1: chunked
	trailer   http.Header // announced names; values are there when from has ended
	expects   bool        // wait for a 100
	buffer    []byte
	interrupt func() // makes a read of from return

	started bool
	proceed chan struct{} // closed: the origin said 100
	quit    chan struct{} // closed: don't begin
	done    chan struct{} // closed: the goroutine has ended
	fault   error         // after done: what reading the client's body failed with

	mu   sync.Mutex
	told bool // the proceed channel is closed
	have bool // the answer's header has come: none is due any more
	read bool // all of the client's body was read
}

func newUpload(from io.Reader, length int64) *upload {
	return &upload{
		from: from, length: length, interrupt: func() {},
		proceed: make(chan struct{}), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

// start sends the body, its head being sent already. When it has, the answer's header is due within the given time. A
// write may take as long as stall.
func (u *upload) start(c *conn, header, stall time.Duration) {
	u.started = true
	go func() {
		defer close(u.done)
		_ = u.send(c, stall) // the connection is not used again
		if u.fault != nil {
			_ = c.Close() // the origin must not take what came for the whole
			return
		}
		u.mu.Lock()
		defer u.mu.Unlock()
		if !u.have {
			_ = c.SetReadDeadline(time.Now().Add(header))
		}
	}()
}

func (u *upload) send(c *conn, stall time.Duration) error {
	if u.expects {
		patience := time.NewTimer(continueTimeout)
		defer patience.Stop()
		select {
		case <-u.proceed:
		case <-patience.C:
		case <-u.quit:
			return errUnwanted
		}
	}
	for left := u.length; left != 0; {
		p := u.buffer
		if left > 0 && int64(len(p)) > left {
			p = p[:left]
		}
		n, err := u.from.Read(p)
		if n > 0 {
			if left > 0 {
				left -= int64(n)
			}
			if left == 0 {
				u.noteRead()
			}
			if err := u.write(c, p[:n], stall); err != nil {
				return err
			}
		}
		switch {
		case err == nil, left == 0:
		case errors.Is(err, io.EOF) && left < 0:
			left = 0
		case errors.Is(err, io.EOF):
			u.fault = io.ErrUnexpectedEOF
			return u.fault
		default:
			u.fault = err
			return err
		}
	}
	if u.length >= 0 {
		return nil
	}
	u.noteRead()
	return u.writeEnd(c, stall)
}

func (u *upload) write(c *conn, p []byte, stall time.Duration) error {
	if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return err
	}
	if u.length < 0 {
		_, _ = c.bw.WriteString(strconv.FormatInt(int64(len(p)), 16) + "\r\n")
	}
	_, _ = c.bw.Write(p)
	if u.length < 0 {
		_, _ = c.bw.WriteString("\r\n")
	}
	return c.bw.Flush() // has the errors of all of them
}

// writeEnd writes the last chunk and the trailers, those that may stand there.
func (u *upload) writeEnd(c *conn, stall time.Duration) error {
	trailer := make(http.Header)
	for name, values := range u.trailer {
		if mayTrail(name) && !isClaim(name) {
			trailer[name] = values
		}
	}
	if err := checkFields(trailer); err != nil {
		u.fault = err
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(stall)); err != nil {
		return err
	}
	_, _ = c.bw.WriteString("0\r\n")
	writeFields(c.bw, trailer)
	_, _ = c.bw.WriteString("\r\n")
	return c.bw.Flush()
}

// noteRead notes that the client's body was read to its end, before the last of it is sent: an origin that waits for the
// whole can't answer earlier.
func (u *upload) noteRead() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.read = true
}

// wasRead reports whether the client's body was read to its end.
func (u *upload) wasRead() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.read
}

// goOn tells that the origin wants the body.
func (u *upload) goOn() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.told {
		u.told = true
		close(u.proceed)
	}
}

// answered tells that the answer's header has come: a body that waits for a 100 is not sent any more, one under way is.
func (u *upload) answered(c *conn) {
	u.mu.Lock()
	u.have = true
	u.mu.Unlock()
	close(u.quit)
	_ = c.SetReadDeadline(time.Time{})
}

// end waits until nothing reads the client's body any more. What is under way has lingerTimeout to come to an end if
// there was an answer, none if not.
func (u *upload) end(c *conn) {
	if !u.started {
		return
	}
	u.mu.Lock()
	have := u.have
	u.have = true
	u.mu.Unlock()
	if !have {
		close(u.quit)
	} else {
		linger := time.NewTimer(lingerTimeout)
		defer linger.Stop()
		select {
		case <-u.done:
			return
		case <-linger.C:
		}
	}
	_ = c.Close()
	select {
	case <-u.done:
	default:
		u.interrupt()
		<-u.done
	}
}

// blame returns the error of a failed exchange. If the client's body failed first, that is the reason. Call it after
// end.
func (u *upload) blame(err error) error {
	if u.started && u.fault != nil {
		return fmt.Errorf("%w: read the request's body: %w", ErrRequest, u.fault)
	}
	return err
}
