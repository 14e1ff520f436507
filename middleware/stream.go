package middleware

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// chunkSize is in what parts bodies are moved, in bytes.
const chunkSize = 32 << 10

var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

var errOrigin = errors.New("the origin broke its answer off")

// storeFirst stores the whole page, and then answers from it: the client wants a part of it, or only to know whether it has
// changed.
func (fe *fetch) storeFirst(ctx context.Context, resp *http.Response, m cache.Meta) {
	p, a := fe.p, fe.a
	defer resp.Body.Close()
	err := fe.readAll(resp)
	if err == nil {
		var hit cache.Hit
		if hit, err = fe.publish(ctx, m); err == nil {
			defer hit.Close()
			p.answer(a, &found{hit: hit, life: fe.life}, fe.forward+"; stored")
			return
		}
	}
	fe.end()
	_ = resp.Body.Close() // its connection is one of a bounded number
	if errors.Is(err, cache.ErrTooLarge) {
		fe.unpublished(fe.old.slot, err)
	}
	if fe.unstoredFor == "" {
		fe.unstoredFor = "not stored"
	}
	p.pass(a.w, a.r, fe.forward+detail(fe.unstoredFor))
}

// readAll reads an answer's body into the fill.
func (fe *fetch) readAll(resp *http.Response) error {
	_, err := io.CopyBuffer(fe.fill, onlyReader{resp.Body}, make([]byte, chunkSize))
	return err
}

type onlyReader struct{ io.Reader }

// begin sends the status and the headers: those that the origin has sent, with fields that are not stored. stored is what
// Cache-Status says of that.
func (fe *fetch) begin(resp *http.Response, m cache.Meta, stored string) {
	httpcache.HopByHop(resp.Header)
	forClient(resp.Header, fe.forward+stored)
	h := fe.a.w.Header()
	origin.SetHeader(h, resp)
	delete(h, "Content-Length")
	if resp.ContentLength >= 0 && m.Status != http.StatusNoContent { // RFC 9110, 8.6
		h.Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	if m.Note != "" {
		h.Set("Age", strconv.FormatInt(int64(fe.life.Age(fe.received).Seconds()), 10))
	} else if len(h["Cache-Control"]) == 0 && len(h["Expires"]) == 0 {
		h.Set("Cache-Control", fe.p.serving.CacheControl)
	}
	fe.a.w.WriteHeader(m.Status)
}

var errSlow = errors.New("it takes too long")

// write stores a part of the body. A claim has a bounded life.
func (fe *fetch) write(part []byte) error {
	if time.Since(fe.sentAt) > fe.p.timeout {
		return errSlow
	}
	_, err := fe.fill.Write(part)
	return err
}

// unstored gives a page up that is under way to the client.
func (fe *fetch) unstored(err error) {
	fe.unpublished(fe.old.slot, err)
	fe.end()
}

// sendRest sends what is left of an answer, at once as it comes. If the origin breaks it off, so do we.
func sendRest(w http.ResponseWriter, body io.Reader, first bool) {
	if first {
		flush(w)
	}
	buf := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(buf)
	for {
		n, err := body.Read(buf[:])
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil {
				panic(http.ErrAbortHandler)
			}
			flush(w)
		}
		if err == io.EOF {
			return
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
