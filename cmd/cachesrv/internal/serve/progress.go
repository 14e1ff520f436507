package serve

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// Bounds of what streams. A download or an upload may take as long as it likes, as long as it goes on.
const (
	// stallTimeout is how long a client may take none of progressStep bytes that it is sent, or send none of its body.
	stallTimeout = 30 * time.Second
	// progressStep is how much of an answer is written under one stallTimeout: the slowest client that is served takes
	// progressStep in that time, about 2 KB/s.
	progressStep = 64 << 10
)

// WithProgress lets requests and answers take as long as they need, while they move: instead of a deadline for the whole
// answer, there is one of 30 s for each step of it that waits for the client. Time in which the handler itself waits, as for
// a slow origin or the next event of a stream, does not count.
//
// It replaces ReadTimeout, which must be 0. http.Server's own WriteTimeout holds for what net/http writes before the
// handler does.
func WithProgress(next http.Handler) http.Handler { return withProgress(stallTimeout, next) }

func withProgress(stall time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		pw := &progressWriter{ResponseWriter: w, controller: c, stall: watch{after: stall}}
		// A stalled write may be waiting for the rest of the request, too: net/http reads that before it answers.
		pw.stall.cut = func() { _ = c.SetReadDeadline(past()); _ = c.SetWriteDeadline(past()) }
		if r.ProtoMajor > 1 {
			pw.free() // there WriteTimeout ends the stream when it is over, and not the next write
		}
		var body *progressBody
		if r.Body != nil && r.Body != http.NoBody {
			body = &progressBody{ReadCloser: r.Body, stall: watch{after: stall, cut: func() { _ = c.SetReadDeadline(past()) }}}
			ours := *r // callers outside keep their own body
			ours.Body = body
			r = &ours
		}
		defer func() {
			// What net/http still writes, or reads past, after the handler.
			_ = c.SetWriteDeadline(time.Now().Add(stall))
			if body != nil && !body.ended.Load() {
				_ = c.SetReadDeadline(time.Now().Add(stall))
			}
		}()
		next.ServeHTTP(pw, r)
	})
}

// past is a deadline that has passed: it ends calls that wait.
func past() time.Time { return time.Unix(1, 0) }

// A watch cuts what has not ended some time after it began. One call at a time.
type watch struct {
	after time.Duration
	cut   func()
	timer *time.Timer // nil: nothing has begun yet
}

func (w *watch) begin() {
	if w.timer == nil {
		w.timer = time.AfterFunc(w.after, w.cut)
		return
	}
	w.timer.Reset(w.after)
}

func (w *watch) end() { w.timer.Stop() }

// progressWriter gives each step of an answer its own time. Like every http.ResponseWriter it serves one goroutine.
type progressWriter struct {
	http.ResponseWriter
	controller *http.ResponseController
	stall      watch
	freed      bool
}

// Unwrap is for http.ResponseController: for hijacking, as upgrades do, and for full duplex.
func (w *progressWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// free takes away the deadline that net/http has set when the request's header had come: the handler may have needed longer.
func (w *progressWriter) free() {
	if !w.freed {
		w.freed = true
		_ = w.controller.SetWriteDeadline(time.Time{})
	}
}

func (w *progressWriter) step(do func()) {
	w.free()
	w.stall.begin()
	defer w.stall.end()
	do()
}

// WriteHeader sends at once if it is an informational answer (1xx).
func (w *progressWriter) WriteHeader(status int) {
	w.step(func() { w.ResponseWriter.WriteHeader(status) })
}

func (w *progressWriter) Write(p []byte) (n int, err error) {
	for {
		part := p[n:min(n+progressStep, len(p))]
		var m int
		w.step(func() { m, err = w.ResponseWriter.Write(part) })
		if n += m; err != nil || n == len(p) {
			return n, err
		}
	}
}

// ReadFrom keeps large pages on the way from file to socket inside the kernel (sendfile): net/http sees the file, or an
// io.LimitedReader of it, as it would without us.
func (w *progressWriter) ReadFrom(src io.Reader) (n int64, err error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	if !ok {
		return io.Copy(struct{ io.Writer }{w}, src) // HTTP/2
	}
	all, limited := src.(*io.LimitedReader)
	if !limited {
		if _, isFile := src.(interface{ Fd() uintptr }); !isFile {
			// Reading the source may take long, and is not the client's fault.
			return io.Copy(struct{ io.Writer }{w}, src)
		}
		all = &io.LimitedReader{R: src, N: 1<<63 - 1}
	} else if _, isFile := all.R.(interface{ Fd() uintptr }); !isFile {
		return io.Copy(struct{ io.Writer }{w}, src)
	}
	for {
		part := &io.LimitedReader{R: all.R, N: min(progressStep, all.N)}
		want := part.N
		var m int64
		w.step(func() { m, err = to.ReadFrom(part) })
		n += m
		all.N -= m
		if err != nil || m < want || all.N == 0 {
			return n, err
		}
	}
}

func (w *progressWriter) Flush() { _ = w.FlushError() }

// FlushError is what http.ResponseController calls.
func (w *progressWriter) FlushError() (err error) {
	w.step(func() { err = w.controller.Flush() })
	return err
}

// progressBody gives each read of a request's body its own time. One goroutine reads it; ended may be asked by another.
type progressBody struct {
	io.ReadCloser
	stall watch
	ended atomic.Bool
}

func (b *progressBody) Read(p []byte) (n int, err error) {
	b.stall.begin()
	defer b.stall.end()
	n, err = b.ReadCloser.Read(p)
	if err != nil {
		b.ended.Store(true)
	}
	return n, err
}
