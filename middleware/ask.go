package middleware

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// A fetch is one request to the origin under a claim.
type fetch struct {
	p        *Proxy
	a        *asked // nil: nobody waits for the answer
	request  http.Header
	old      *found // what is renewed
	fill     *cache.Fill
	leave    func() // ends the flight
	cancel   context.CancelFunc
	bound    *time.Timer    // ends it, until an answer is sent on
	forward  string         // why, for Cache-Status
	newForm  bool           // of a URL that has others
	replaces bool           // old was there; old itself is the request's, and may end before what is in the background
	resp     *http.Response // what came; nil: an answer to HEAD
	life     httpcache.Life // its
	sentAt   time.Time
	received time.Time

	unstoredFor string // why it was not stored; "": it was, or that is not known yet
	handedOver  bool   // fill, leave and cancel are now the business of the goroutine that stores the rest
}

// ask asks the origin under a claim, and answers. The flight is left as soon as it is known what becomes of the page,
// however slow the client is; whatever happens, nothing of the fill is left.
func (p *Proxy) ask(a *asked, f *found, fill *cache.Fill, leave func()) {
	fault.Point(fault.FillClaimed)
	// A client that leaves doesn't end a fetch that others wait for.
	ctx, cancel := context.WithCancel(context.WithoutCancel(a.r.Context()))
	stop := context.AfterFunc(p.ctx, cancel)
	bound := time.AfterFunc(p.timeout, cancel)
	fe := &fetch{
		p: p, a: a, request: a.r.Header, old: f, fill: fill, forward: forwarded(f), newForm: f.slot.Variant != "" && !f.page(), replaces: f.page(), leave: leave, bound: bound,
		cancel: func() { bound.Stop(); stop(); cancel() },
	}
	defer func() {
		if !fe.handedOver {
			fe.end()
			fe.cancel()
		}
	}()
	resp, err := fe.fetch(ctx, p.shared(a.r.Context(), a.r, a.key))
	if err != nil {
		fe.failed(err)
		return
	}
	fe.take(ctx, resp)
}

// ofOneClient makes what is left of an answer's body its client's own: it may take as long as it likes, pauses included, and
// ends when the client leaves. To be undone.
func (fe *fetch) ofOneClient(body io.Reader) (undo func() bool) {
	fe.bound.Stop()
	origin.Patient(body)
	return context.AfterFunc(fe.a.r.Context(), fe.cancel)
}

// fetchTimeout bounds a fetch of what may become a page, in all; what takes longer is sent on, and not stored. A claim lives no
// longer anyway.
const fetchTimeout = 60 * time.Second

// end gives up what is not published.
func (fe *fetch) end() {
	if fe.fill != nil {
		_ = fe.fill.Close()
		fe.fill = nil
	}
	fe.leave()
}

// fetch asks the origin; about a page that is there, only whether it has changed.
func (fe *fetch) fetch(ctx context.Context, r *http.Request) (*http.Response, error) {
	var conditions http.Header
	if fe.old.page() {
		conditions = httpcache.Conditions(fe.old.hit.Meta.Header)
	}
	for {
		fe.sentAt = time.Now()
		resp, err := fe.p.origin.Fetch(ctx, r, conditions, fe.informational())
		fe.received = time.Now()
		if err != nil || resp.StatusCode != http.StatusNotModified {
			return resp, err
		}
		if len(conditions) == 0 {
			_ = resp.Body.Close()
			return nil, fmt.Errorf("%w: 304, and nothing was asked about", origin.ErrMalformed)
		}
		if httpcache.Validates(fe.old.hit.Meta.Header, resp.Header) {
			return resp, nil
		}
		_ = resp.Body.Close() // it is about another representation than ours (RFC 9111, 4.3.4)
		conditions = nil
	}
}

// informational sends 1xx answers on to the client, but 100, which is the connection's own. A client of HTTP/1.0 knows none
// (RFC 9110, 15.2).
func (fe *fetch) informational() func(int, http.Header) {
	if fe.a == nil || !fe.a.r.ProtoAtLeast(1, 1) {
		return nil
	}
	return func(code int, h http.Header) {
		if code == http.StatusContinue {
			return
		}
		httpcache.HopByHop(h)
		sent := fe.a.w.Header()
		for name, values := range h {
			sent[name] = values
		}
		fe.a.w.WriteHeader(code)
		for name := range h {
			delete(sent, name)
		}
	}
}
