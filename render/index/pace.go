package index

import (
	"io"
	"net/http"
	"time"
)

// A request whose body or answer is a large file takes as long as it takes; but one that stands still is dead. So the
// server's deadlines, meant for pages, are moved along: each paceBytes must come or go within paceTime (9 kB/s).
const (
	paceBytes = 256 << 10
	paceTime  = 30 * time.Second
)

// A pacedBody is a request's body that moves the deadlines along while it is read, and ends with errTooLong after most
// bytes.
type pacedBody struct {
	r       io.Reader
	rc      *http.ResponseController
	most    int64
	due     int64     // bytes until the deadlines move
	until   time.Time // the deadlines don't move past it; zero: as far as it takes
	trusted bool      // who sends it has shown a token that may upload
	begun   bool      // something was read: a client that waits for 100 Continue has got it
	ended   bool      // it was read to its end
}

func newPacedBody(w http.ResponseWriter, r *http.Request, most int64) *pacedBody {
	return &pacedBody{r: r.Body, rc: http.NewResponseController(w), most: most}
}

func (b *pacedBody) Read(p []byte) (int, error) {
	if b.most <= 0 {
		return 0, errTooLong
	}
	if b.due <= 0 {
		b.move()
	}
	b.begun = true
	n, err := b.r.Read(p[:min(int64(len(p)), b.most)])
	b.due -= int64(n)
	b.most -= int64(n)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// move gives the client paceTime for the next paceBytes. The answer comes after the body: it has that time again. Where
// there are no deadlines, there is nothing to move.
func (b *pacedBody) move() {
	b.due = paceBytes
	due := time.Now().Add(paceTime)
	if !b.until.IsZero() && due.After(b.until) {
		due = b.until
	}
	_ = b.rc.SetReadDeadline(due)
	_ = b.rc.SetWriteDeadline(due.Add(paceTime))
}

// endAt bounds the whole rest of the body: it must have come until then.
func (b *pacedBody) endAt(until time.Time) { b.until, b.due = until, 0 }

// A pacedWriter moves the deadline along while a file goes out. It keeps net/http's sendfile.
type pacedWriter struct {
	http.ResponseWriter
	rc  *http.ResponseController
	due int64
}

// Unwrap is for http.ResponseController.
func (w *pacedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *pacedWriter) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		if w.due <= 0 {
			w.move()
		}
		var n int
		n, err = w.ResponseWriter.Write(p[:min(int64(len(p)), w.due)])
		w.due -= int64(n)
		written += n
		p = p[n:]
	}
	return written, err
}

// ReadFrom implements io.ReaderFrom. What io.CopyN hands over is a limited *os.File, and net/http must get just that.
func (w *pacedWriter) ReadFrom(src io.Reader) (written int64, err error) {
	limited, ok := src.(*io.LimitedReader)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	for limited.N > 0 {
		if w.due <= 0 {
			w.move()
		}
		n, err := io.CopyN(w.ResponseWriter, limited.R, min(limited.N, w.due))
		w.due -= n
		limited.N -= n
		written += n
		if err == io.EOF {
			return written, nil
		}
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

func (w *pacedWriter) move() {
	w.due = paceBytes
	_ = w.rc.SetWriteDeadline(time.Now().Add(paceTime))
}

// release gives the connection's next request the server's own deadline: without one of the server's, ours would stay.
func (w *pacedWriter) release(r *http.Request) {
	if server, ok := r.Context().Value(http.ServerContextKey).(*http.Server); ok && server.WriteTimeout == 0 {
		_ = w.rc.SetWriteDeadline(time.Time{})
	}
}
