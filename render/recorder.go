package render

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// A recorder is the http.ResponseWriter of a handler that fills a page. It collects the answer in the fill, until the
// handler asks for what a page can't be: to flush, to take over the connection, to send more than is stored. Then the
// fill is given up, what was collected goes to the client, and the rest passes through.
type recorder struct {
	w      http.ResponseWriter // of the client
	fill   *cache.Fill
	gaveUp func(why string) // told before anything is sent

	header   http.Header // the handler's
	sent     http.Header // what it was when the status was written
	status   int         // 0: not yet written
	written  int64
	promised int64 // Content-Length; -1: none
	overran  bool
	passing  bool // the answer passes through
}

func (rec *recorder) Header() http.Header { return rec.header }

func (rec *recorder) WriteHeader(status int) {
	switch {
	case status < 100 || status > 999:
		panic("render: invalid WriteHeader code " + strconv.Itoa(status)) // as net/http does
	case rec.status != 0:
		return // superfluous, as in net/http
	case status < 200 && status != http.StatusSwitchingProtocols:
		return // informational; nobody waits for it
	}
	rec.status, rec.sent, rec.promised = status, rec.header.Clone(), -1
	if n, announced, err := contentLength(rec.sent); err == nil && announced {
		rec.promised = n
	}
	if status == http.StatusSwitchingProtocols {
		rec.pass("switching protocols")
	}
}

func (rec *recorder) Write(p []byte) (int, error) {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if rec.passing {
		if rec.w == nil {
			return 0, http.ErrHijacked
		}
		n, err := rec.w.Write(p)
		rec.written += int64(n)
		return n, err
	}
	switch {
	case rec.status == http.StatusNoContent || rec.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case rec.promised >= 0 && rec.written+int64(len(p)) > rec.promised:
		rec.overran = true
		return 0, http.ErrContentLength
	}
	n, err := rec.fill.Write(p)
	rec.written += int64(n)
	fault.Point(fault.FillWrite)
	if err == nil {
		return n, nil
	}
	rec.pass(whyUnwritable(err))
	m, err := rec.w.Write(p[n:])
	rec.written += int64(m)
	return n + m, err
}

func whyUnwritable(err error) string {
	if errors.Is(err, cache.ErrTooLarge) {
		return "too large"
	}
	return "can't be written: " + err.Error()
}

// pass gives the fill up and sends what it has. The claim is released first: a slow client must not keep it.
func (rec *recorder) pass(why string) {
	body := detach(rec.fill)
	rec.passing = true
	rec.gaveUp(why)
	setHeader(rec.w.Header(), rec.sent)
	rec.w.WriteHeader(rec.status)
	_ = body.send(rec.w)
}

// FlushError implements what http.ResponseController.Flush looks for.
func (rec *recorder) FlushError() error {
	if rec.status == 0 {
		rec.WriteHeader(http.StatusOK)
	}
	if !rec.passing {
		rec.pass("streamed")
	}
	if rec.w == nil {
		return http.ErrHijacked
	}
	return http.NewResponseController(rec.w).Flush()
}

// Flush implements http.Flusher.
func (rec *recorder) Flush() { _ = rec.FlushError() }

// Hijack implements http.Hijacker. If the connection can't be taken over, the recording goes on.
func (rec *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(rec.w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if !rec.passing {
		_ = rec.fill.Close()
		rec.gaveUp("hijacked")
	}
	rec.passing, rec.w = true, nil
	return conn, rw, nil
}

// Unwrap gives http.ResponseController the client's writer, for deadlines.
func (rec *recorder) Unwrap() http.ResponseWriter { return rec.w }

// trailers copies what the handler set after the answer had begun to pass through.
func (rec *recorder) trailers() {
	if rec.w != nil {
		setTrailers(rec.w.Header(), rec.sent, rec.header)
	}
}

// setHeader adds a handler's headers to those an outer one has set: lists are joined, others replaced.
func setHeader(dst, src http.Header) {
	for name, values := range src {
		if name == "Vary" || name == "Set-Cookie" {
			values = append(slices.Clip(dst[name]), values...)
		}
		dst[name] = values
	}
}

// setTrailers sets the trailers a handler announced, and those it marked with http.TrailerPrefix.
func setTrailers(dst, announced, header http.Header) {
	for _, name := range httpcache.Elements(announced["Trailer"]) {
		name = http.CanonicalHeaderKey(name)
		if values, ok := header[name]; ok {
			dst[name] = values
		}
	}
	for name, values := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			dst[name] = values
		}
	}
}

// A detached body outlives its fill.
type detached struct {
	bytes []byte
	file  *os.File // of a large body; closed by send
	size  int64
	err   error // the body could not be kept
}

// detach keeps the fill's content and gives the claim up.
func detach(fill *cache.Fill) detached {
	content := fill.Content()
	d := detached{size: content.Size}
	if content.File == nil {
		d.bytes = bytes.Clone(content.Bytes)
	} else if fd, err := unix.FcntlInt(content.File.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		d.file = os.NewFile(uintptr(fd), content.File.Name())
	} else {
		d.err = fmt.Errorf("keep the body: %w", err)
	}
	_ = fill.Close()
	return d
}

func (d detached) send(w io.Writer) error {
	if d.file == nil {
		if d.err == nil && len(d.bytes) > 0 {
			_, d.err = w.Write(d.bytes)
		}
		return d.err
	}
	defer d.file.Close()
	_, err := io.CopyN(w, d.file, d.size)
	return err
}
