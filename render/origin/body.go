package origin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"time"
)

// errClosed is what reads of a closed body fail with.
var errClosed = errors.New("read of a closed body")

// A body is an answer's. It holds the connection until it was read to its end, or closed. One goroutine uses it.
type body struct {
	ctx     context.Context // of the request
	o       *Origin
	c       *conn
	stop    func() bool // of watching the context; false: the connection is being closed
	framing framing
	left    int64     // of a length
	chunks  io.Reader // of a chunked one
	keep    bool      // the connection may carry another request
	strict  bool      // for a page: bytes behind its end are an error
	upload  *upload   // the request's body, which may be under way still
	resp    *http.Response
	budget  int64 // for trailers

	err      error // what the next Read returns
	whole    bool  // the end was reached
	released bool
}

// open begins to read: an answer without content has ended already.
func (b *body) open() {
	_ = b.c.SetReadDeadline(time.Time{}) // if it fails, so will the read
	switch {
	case b.framing.none || b.framing.length == 0:
		b.end(io.EOF)
	case b.framing.chunked:
		b.chunks = httputil.NewChunkedReader(b.c.br)
	}
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	var n int
	var err error
	switch {
	case b.framing.chunked:
		if n, err = b.chunks.Read(p); errors.Is(err, io.EOF) {
			err = b.trailers()
		}
	case b.framing.length >= 0:
		if int64(len(p)) > b.left {
			p = p[:b.left]
		}
		n, err = b.c.br.Read(p)
		b.left -= int64(n)
		switch {
		case b.left == 0:
			err = io.EOF
		case errors.Is(err, io.EOF):
			err = malformed("its body lacks %d bytes of %d: %w", b.left, b.framing.length, io.ErrUnexpectedEOF)
		}
	default:
		n, err = b.c.br.Read(p)
	}
	if err != nil {
		b.end(err)
	}
	return n, b.err
}

// trailers reads the end of a chunked body.
func (b *body) trailers() error {
	text, err := b.c.readBlock(&b.budget)
	if errors.Is(err, io.EOF) {
		return malformed("its trailers: %w", io.ErrUnexpectedEOF)
	}
	if err != nil || text == "" {
		return orEOF(err)
	}
	fields, err := parseFields(text)
	if err != nil {
		return err
	}
	for name, values := range fields {
		if mayTrail(name) {
			if b.resp.Trailer == nil {
				b.resp.Trailer = make(http.Header)
			}
			b.resp.Trailer[name] = values
		}
	}
	return io.EOF
}

func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// end notes that nothing more will be read, and why.
func (b *body) end(err error) {
	b.whole = err == io.EOF
	switch {
	case b.whole && b.c.br.Buffered() > 0:
		// The origin said more than it announced: which of it is the answer, nobody knows, and what follows must not
		// become another request's.
		b.keep = false
		if b.strict && !b.framing.none {
			b.whole, err = false, malformed("more bytes than its body has")
		}
	case !b.whole:
		if err = failed(b.ctx, "read the answer's body", err); errors.Is(err, ErrUnreachable) {
			err = fmt.Errorf("%w: %w", ErrMalformed, err) // begun, and not ended
		}
	}
	b.err = err
	if b.upload == nil {
		b.release()
	}
}

// release gives the connection back. An upload under way is waited for, or broken off.
func (b *body) release() {
	if b.released {
		return
	}
	b.released = true
	if b.upload != nil {
		b.upload.end(b.c)
	}
	keep := b.stop() && b.keep && b.whole
	b.o.release(b.c, keep)
}

// Patient lets the body of an answer to Fetch pause for as long as its reader waits, as one of an answer to Pass may: it has
// become one client's own. The goroutine that reads it calls this, between two reads.
func Patient(answer io.Reader) {
	if b, ok := answer.(*body); ok && !b.released {
		b.c.patience = 0
		_ = b.c.SetReadDeadline(time.Time{}) // if it fails, so will the read
	}
}

// BeforeWait has a function called before each wait for the network that reading an answer's body takes, as long as it is read by
// the caller's goroutine. To be undone.
func BeforeWait(answer io.Reader, do func()) (undo func()) {
	b, ok := answer.(*body)
	if !ok || b.released {
		return func() {}
	}
	b.c.waiting = do
	return func() {
		if !b.released {
			b.c.waiting = nil
		}
	}
}

// Close implements io.Closer. Closed before its end, an answer costs its connection.
func (b *body) Close() error {
	b.release()
	if b.err == nil {
		b.err = fmt.Errorf("origin: %w", errClosed)
	}
	return nil
}
