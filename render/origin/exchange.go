package origin

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// An informational is told of interim answers (RFC 9110, 15.2), without hop-by-hop fields and those that are meant for caches:
// those count in the final one. It is called by the goroutine
// that sends the request.
type informational func(code int, h http.Header)

// exchange sends a request and reads the answer's head. The answer's Body is a *body, which has the connection; close
// it. If there is an error, the request's body is not read any more.
func (o *Origin) exchange(ctx context.Context, q *request, l lane, inform informational) (*http.Response, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	for fresh := false; ; fresh = true {
		c, err := o.take(ctx, l, fresh)
		if err != nil {
			return nil, err
		}
		resp, err := o.once(ctx, c, q, inform)
		if err == nil {
			return resp, nil
		}
		// The origin may close a kept connection just when a request is sent on it (RFC 9112, 9.3.1).
		died := !fresh && c.requests > 1 && c.got == 0 && Status(err) == http.StatusBadGateway
		if !died || !q.replayable() || ctx.Err() != nil {
			return nil, err
		}
	}
}

// once is one try on one connection.
func (o *Origin) once(ctx context.Context, c *conn, q *request, inform informational) (resp *http.Response, err error) {
	c.requests++
	c.got = 0
	stop := context.AfterFunc(ctx, func() { _ = c.Close() })
	defer func() {
		if resp == nil { // after a panic of inform, too
			if q.body != nil {
				q.body.end(c)
			}
			stop()
			o.release(c, false)
		}
	}()
	fail := func(doing string, err error) (*http.Response, error) {
		if q.body != nil {
			q.body.end(c)
			err = q.body.blame(err)
		}
		return nil, failed(ctx, doing, err)
	}
	if err := c.SetDeadline(time.Now().Add(o.options.HeaderTimeout)); err != nil {
		return fail("begin a request", err)
	}
	q.sent = true // a write that fails may have sent a part
	q.write(c.bw)
	if err := c.bw.Flush(); err != nil {
		return fail("send a request", err)
	}
	if q.body != nil {
		// The header is due HeaderTimeout after the body, which moves its own deadlines.
		if err := c.SetDeadline(time.Time{}); err != nil {
			return fail("begin a request", err)
		}
		q.body.start(c, o.options.HeaderTimeout, o.options.BodyTimeout)
	}
	budget := o.options.MaxHeader // of all heads: it bounds the number of interim answers, too
	for {
		h, err := c.readHead(&budget)
		if err != nil {
			return fail("read the answer's header", err)
		}
		switch {
		case h.status == http.StatusSwitchingProtocols && !(q.websocket && hasToken(h.header["Upgrade"], "websocket")):
			return fail("read the answer", malformed("it switches to a protocol that was not asked for"))
		case h.status == http.StatusContinue && q.body != nil:
			q.body.goOn()
		case h.status == http.StatusContinue: // meant for nobody
		case h.status < 200 && h.status != http.StatusSwitchingProtocols:
			if inform != nil {
				httpcache.HopByHop(h.header)
				httpcache.StripForCaches(h.header)
				inform(h.status, h.header)
			}
		default:
			if q.body != nil {
				q.body.answered(c)
			}
			resp, err := o.answer(ctx, c, q, h, stop, budget)
			if err != nil {
				return fail("read the answer's header", err)
			}
			return resp, nil
		}
	}
}

// answer makes the response of a final head. As in net/http, Transfer-Encoding and Trailer are fields of it, not in its
// Header, and ContentLength is -1 if there is none.
func (o *Origin) answer(ctx context.Context, c *conn, q *request, h head, stop func() bool, budget int64) (*http.Response, error) {
	f, err := frame(q.method, h)
	if err != nil {
		return nil, err
	}
	b := &body{ctx: ctx, o: o, c: c, stop: stop, framing: f, strict: c.lane == pages, keep: q.body == nil && h.keeps(), left: f.length, upload: q.body, budget: budget}
	resp := &http.Response{
		StatusCode: h.status, Status: strconv.Itoa(h.status) + " " + h.reason,
		Proto: "HTTP/1." + strconv.Itoa(h.minor), ProtoMajor: 1, ProtoMinor: h.minor,
		Header: h.header, Body: b, ContentLength: f.length, Close: !b.keep,
	}
	b.resp = resp
	if f.chunked {
		resp.TransferEncoding = []string{"chunked"}
		resp.Trailer = announced(h.header["Trailer"])
	}
	delete(h.header, "Transfer-Encoding")
	delete(h.header, "Trailer")
	if h.status == http.StatusSwitchingProtocols {
		return resp, nil // the tunnel's
	}
	if f.none && q.method != http.MethodHead {
		resp.ContentLength = 0
	}
	b.open()
	return resp, nil
}

// announced returns the names of trailers to come, without values. Nil if there are none.
func announced(lines []string) http.Header {
	var names http.Header
	for _, name := range httpcache.Elements(lines) {
		name = http.CanonicalHeaderKey(name)
		if httpcache.IsToken(name) && mayTrail(name) {
			if names == nil {
				names = make(http.Header)
			}
			names[name] = nil
		}
	}
	return names
}

// mayTrail reports whether a field may stand in trailers. Those of framing, routing, authentication, conditions and
// content may not (RFC 9110, 6.5.1); nor may cookies and caching: nobody looks for them there.
func mayTrail(name string) bool {
	switch name {
	case "Age", "Authorization", "Cache-Control", "Content-Encoding", "Content-Length", "Content-Range", "Content-Type", "Cookie",
		"Date", "Expect", "Expires", "Host", "Location", "Max-Forwards", "Range", "Retry-After", "Set-Cookie", "Trailer", "Vary",
		"Www-Authenticate":
		return false
	}
	return !strings.HasPrefix(name, "If-") && !httpcache.IsHopByHop(name)
}
