package origin

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// Pass forwards what is no page, as the client sent it but for hop-by-hop fields and those that Strip removes, and for
// Host, which is sent in canonical form (key.Host); X-Forwarded-For, -Host and -Proto are set by us. Interim answers,
// trailers, streams (what has come is sent before more is waited for) and websockets pass through both ways; a websocket in
// which neither side has said anything for 10 minutes ends. Of other upgrades the request goes on without: one to h2c
// would be a tunnel through which requests reach the origin unseen. TRACE and CONNECT are answered with 405.
//
// answered, if not nil, sees the answer before anything but interim answers is sent to the client. It may change the
// header, which has no hop-by-hop fields any more, and must not touch the body. If it fails the client gets a 500.
//
// Failures before the answer become an error page of status Status(err), a failure in the midst of the body a panic
// with http.ErrAbortHandler, by which net/http breaks off the client's connection or stream: he must not take what he got
// for the whole. When the client leaves, the request to the origin ends.
//
// A request with a body needs a ResponseWriter that can SetReadDeadline, itself or through Unwrap, as that of
// net/http: an answer may come, and be sent, before the body's end, and then the client's connection ends after it. The
// origin's connection ends with such a request in any case. Deadlines of the server's remain: whoever expects long streams
// moves them.
//
// It reports whether anything of the request may have been sent to the origin. False: it was refused here, or there was no
// connection, so nothing can have changed there. A panic leaves that unsaid, and comes only after something was sent.
func (o *Origin) Pass(w http.ResponseWriter, r *http.Request, answered func(*http.Response) error) (sent bool) {
	if !passable(w, r) {
		return false
	}
	rc := http.NewResponseController(w)
	q, err := o.forwarded(r)
	if err != nil {
		o.Fail(w, r, err)
		return false
	}
	if q.body != nil {
		buffer := o.buffers.Get().(*[]byte)
		defer o.buffers.Put(buffer)
		q.body.buffer = *buffer
		q.body.interrupt = func() {
			if rc.SetReadDeadline(time.Unix(1, 0)) != nil {
				_ = r.Body.Close()
			}
		}
	}
	resp, err := o.exchange(r.Context(), q, others, func(code int, h http.Header) { sendInterim(w, r, code, h) })
	if err != nil {
		o.Fail(w, r, err)
		return q.sent
	}
	resp.Request = r
	b := resp.Body.(*body)
	defer b.Close()
	httpcache.HopByHop(resp.Header)
	if answered != nil {
		if err := answered(resp); err != nil {
			o.reject(w, r, http.StatusInternalServerError, "the origin has answered, but what that answer means for the cache could not be done", err)
			return true
		}
	}
	if resp.StatusCode == http.StatusSwitchingProtocols {
		o.tunnel(w, r, b)
		return true
	}
	o.send(w, rc, resp, b)
	return true
}

// passable answers what is never forwarded.
func passable(w http.ResponseWriter, r *http.Request) bool {
	hops, limited := maxForwards(r)
	switch {
	case r.Method == http.MethodConnect, r.Method == http.MethodTrace, r.Method == "PRI":
		w.Header().Set("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
		errorPage(w, r, http.StatusMethodNotAllowed, r.Method+" is not forwarded")
		return false
	case limited && hops == 0: // RFC 9110, 7.6.2: then the answer is ours
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(http.StatusNoContent)
		return false
	}
	return true
}

// maxForwards reads the field of that name, which is for TRACE and OPTIONS only.
func maxForwards(r *http.Request) (n uint64, limited bool) {
	values := r.Header["Max-Forwards"]
	if r.Method != http.MethodOptions || len(values) != 1 || !isDigits(values[0]) {
		return 0, false
	}
	n, err := strconv.ParseUint(values[0], 10, 64)
	return n, err == nil
}

// forwarded makes of the client's request that to the origin.
func (o *Origin) forwarded(r *http.Request) (*request, error) {
	host, err := canonicalHost(r)
	if err != nil {
		return nil, err
	}
	if err := checkLength(r); err != nil {
		return nil, err
	}
	q := &request{
		method: r.Method, target: target(r), host: o.host(host), header: maps.Clone(r.Header),
		trailers: hasToken(r.Header["Te"], "trailers"),
		empty:    r.ContentLength == 0 && (len(r.Header["Content-Length"]) > 0 || wantsLength(r.Method)),
	}
	if q.method == "" {
		q.method = http.MethodGet
	}
	if q.header == nil {
		q.header = make(http.Header)
	}
	if hops, limited := maxForwards(r); limited {
		q.header["Max-Forwards"] = []string{strconv.FormatUint(hops-1, 10)}
	}
	if r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody {
		q.body = newUpload(r.Body, r.ContentLength)
		q.body.trailer = r.Trailer
		q.body.expects = hasToken(r.Header["Expect"], "100-continue")
	} else {
		delete(q.header, "Expect")
	}
	q.websocket = q.method == http.MethodGet && q.body == nil && r.ProtoMajor == 1 && r.ProtoMinor > 0 &&
		hasToken(r.Header["Connection"], "upgrade") && len(r.Header["Upgrade"]) == 1 && strings.EqualFold(r.Header["Upgrade"][0], "websocket")
	httpcache.HopByHop(q.header)
	Strip(q.header)
	delete(q.header, "Host")
	delete(q.header, "Content-Length")
	setForwarded(q.header, r, host)
	setClient(q.header, r)
	return q, addVia(q.header, r.ProtoMajor, r.ProtoMinor)
}

// canonicalHost returns the host asked for as keys have it: an origin with several sites must find the same one for "A.example."
// here as for "a.example" where a page is asked for. Empty where there is none (HTTP/1.0).
func canonicalHost(r *http.Request) (string, error) {
	if r.Host == "" {
		return "", nil
	}
	host, err := key.Host(r.Host)
	if err != nil {
		return "", unsendable("%w", err)
	}
	return host, nil
}

// checkLength refuses a Content-Length that is no number, or not that of the body: net/http takes the first of several in
// HTTP/2, and none for one it can't read, and then the body would be left out (RFC 9113, 8.1.1; RFC 9112, 6.3).
func checkLength(r *http.Request) error {
	for _, s := range r.Header["Content-Length"] {
		if n, err := strconv.ParseInt(s, 10, 64); err != nil || !isDigits(s) || n != r.ContentLength {
			return unsendable("Content-Length %.40q, and a body of %d bytes", s, r.ContentLength)
		}
	}
	return nil
}

// wantsLength lists methods that are expected to have a body: a request without one says so (RFC 9110, 8.6).
func wantsLength(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

// sendInterim forwards an interim answer, without the fields that w has for the final one. A client of HTTP/1.0 knows
// none (RFC 9110, 15.2).
func sendInterim(w http.ResponseWriter, r *http.Request, code int, h http.Header) {
	if !r.ProtoAtLeast(1, 1) {
		return
	}
	own := w.Header()
	kept := maps.Clone(own)
	clear(own)
	maps.Copy(own, h)
	w.WriteHeader(code)
	clear(own)
	maps.Copy(own, kept)
}

// send streams the answer to the client.
func (o *Origin) send(w http.ResponseWriter, rc *http.ResponseController, resp *http.Response, b *body) {
	own := w.Header()
	SetHeader(own, resp)
	if b.upload != nil && !b.upload.wasRead() {
		closeAfter(own, resp.Request)
	}
	w.WriteHeader(resp.StatusCode)
	unsent := true
	flush := func() {
		if unsent {
			unsent = false
			_ = rc.Flush() // where there is none, nothing is held back for long
		}
	}
	if !b.released {
		b.c.waiting = flush
	}
	buffer := o.buffers.Get().(*[]byte)
	defer o.buffers.Put(buffer)
	for {
		n, err := b.Read(*buffer)
		if n > 0 {
			if _, err := w.Write((*buffer)[:n]); err != nil {
				_ = b.Close()
				panic(http.ErrAbortHandler)
			}
			unsent = true
		}
		if errors.Is(err, io.EOF) && b.whole {
			break
		}
		if err != nil {
			flush() // what there is of it
			_ = b.Close()
			o.quiet.log(o.options.Logger, resp.Request, err)
			panic(http.ErrAbortHandler)
		}
	}
	if b.upload != nil {
		flush() // Close may wait for the rest of it
	}
	if len(resp.Trailer) > 0 {
		flush() // an answer with trailers is chunked, however short it is
	}
	SetTrailers(own, resp)
}
