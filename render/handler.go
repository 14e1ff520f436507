package render

import (
	"net/http"
	"strconv"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// A Func is a handler that may fail. It has answered the error itself, with an error page or not at all.
type Func func(w http.ResponseWriter, r *http.Request) error

// Options say how answers become pages. The zero value works, but for GaveUp.
type Options struct {
	// Vary lists the request headers that the page's key covers. An answer that varies on another one, but for
	// Accept-Encoding, is no page. Default: none.
	Vary []string
	// Grace of pages whose handler declares none. Default 0.
	Grace time.Duration
	// Private marks the pages as not for everybody (cache.Meta). Default false.
	Private bool
	// GaveUp is called at most once, when the answer turns out to be no page while the handler still runs: from
	// then on it passes through to the client. The claim is released, and nothing was sent yet. Default: nothing.
	GaveUp func(why string)
}

// An Answer is what a handler left behind.
type Answer struct {
	// Meta describes the page to publish, if Why is empty.
	Meta cache.Meta
	// Why the answer is no page.
	Why string
	// Lasting says that the URL's next answer will most likely be no page either, as opposed to one that was
	// broken off: requests for it need not queue.
	Lasting bool
	// Status is what the handler answered with; 0 if it wrote nothing.
	Status int
	// Passed says that the answer has gone to the client already.
	Passed bool
	// Err is what the handler returned.
	Err error

	header, after http.Header // when the status was written, and in the end
	fill          *cache.Fill
	body          detached
	released      bool
}

// Handler runs h, recording what it answers into a fill claimed before. Unless Answer.Passed, nothing was sent to w:
// publish the fill with Answer.Meta, or call Release, and then answer the client.
//
// A panic of the handler passes through; the fill is the caller's to close, as ever.
func Handler(w http.ResponseWriter, r *http.Request, fill *cache.Fill, h Func, o Options) Answer {
	if o.GaveUp == nil {
		o.GaveUp = func(string) {}
	}
	ctx, declarations := withDeclarations(r.Context())
	why := ""
	rec := &recorder{w: w, fill: fill, header: make(http.Header), gaveUp: func(s string) {
		why = s
		o.GaveUp(s)
	}}
	err := h(rec, r.WithContext(ctx))
	if rec.passing {
		rec.trailers()
		return Answer{Why: why, Lasting: true, Status: rec.status, Passed: true, Err: err, released: true}
	}
	a := Answer{Status: rec.status, Err: err, header: rec.sent, after: rec.header, fill: fill}
	var no *refusal
	a.Meta, no = storable(answered{
		status: rec.status, header: rec.sent, written: rec.written, overran: rec.overran, err: err,
		ended: r.Context().Err(), declared: declarations.end(),
	}, o, time.Now())
	if no != nil {
		a.Why, a.Lasting = no.why, no.lasting
		return a
	}
	if _, declared := rec.sent["Content-Type"]; !declared && rec.written > 0 {
		a.Meta.Header.Set("Content-Type", sniff(fill)) // net/http would, and can't when it sends compressed bytes
	}
	return a
}

func sniff(fill *cache.Fill) string {
	content := fill.Content()
	if content.File == nil {
		return http.DetectContentType(content.Bytes)
	}
	var head [512]byte
	n, _ := content.File.ReadAt(head[:], 0)
	return http.DetectContentType(head[:n])
}

// Release keeps what was rendered, for Send, and closes the fill: its claim is free from here on, however slow the
// client is.
func (a *Answer) Release() {
	if !a.released {
		a.body, a.released = detach(a.fill), true
	}
}

// Send answers the client with what the handler answered, as if it had written to w itself. It may be called once.
func (a *Answer) Send(w http.ResponseWriter) error {
	a.Release()
	h := w.Header()
	setHeader(h, a.header)
	status := a.Status
	if status == 0 {
		status = http.StatusOK
		setHeader(h, a.after)
	}
	_, announced := h["Content-Length"]
	_, trailers := h["Trailer"]
	if !announced && !trailers && status != http.StatusNoContent && status != http.StatusNotModified && a.body.err == nil {
		h["Content-Length"] = []string{strconv.FormatInt(a.body.size, 10)}
	}
	w.WriteHeader(status)
	err := a.body.send(w)
	setTrailers(h, a.header, a.after)
	return err
}

// Header returns the headers the handler answered with; do not modify.
func (a *Answer) Header() http.Header { return a.header }
