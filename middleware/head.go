package middleware

import (
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// head forwards a HEAD request for a page that can't be used as it is. If there is one, what the answer tells decides
// whether it may be used again, or is dropped (RFC 9111, 4.3.5). What tells of everybody's page must be asked for everyone: then the origin
// gets the request that a fill would be, but for its method.
func (p *Proxy) head(a *asked, f *found) {
	why := forwarded(f)
	status := why + "; detail=head"
	if path, _ := sent(a.r); !f.page() || path != a.key.Path || conditional(a.r.Header) {
		p.pass(a.w, a.r, status)
		return
	}
	leave, busy := p.flights.join(a.key)
	if busy != nil {
		p.pass(a.w, a.r, status)
		return
	}
	defer leave()
	fill, usable, err := p.claim(a, f)
	switch {
	case usable:
		leave()
		p.answer(a, f, why+collapsed)
		return
	case err != nil:
		leave()
		p.pass(a.w, a.r, status)
		return
	case !f.page(): // it was dropped meanwhile
		_ = fill.Close()
		leave()
		p.pass(a.w, a.r, status)
		return
	}
	fe := &fetch{p: p, request: a.r.Header, old: f, fill: fill, leave: leave, sentAt: time.Now()}
	defer fe.end()
	setStatus(a.w, status)
	p.origin.Pass(a.w, p.shared(a.r.Context(), a.r, a.key), func(resp *http.Response) error {
		defer fe.end()
		a.w.Header().Del("Cache-Status")
		defer forClient(resp.Header, status)
		fe.received = time.Now()
		switch {
		case resp.StatusCode != f.hit.Meta.Status:
		case tellsOfAnother(f.hit.Page, resp):
			fe.end()
			p.drop("HEAD tells of another page", f.slot)
		case tellsOfThis(f.hit.Meta.Header, resp.Header):
			fe.renewed(a.r.Context(), resp.StatusCode, resp.Header)
		}
		return nil
	})
}

// tellsOfAnother reports whether an answer to HEAD shows that the page has changed.
func tellsOfAnother(page *cache.Page, resp *http.Response) bool {
	return !httpcache.Validates(page.Meta.Header, resp.Header) || resp.ContentLength >= 0 && resp.ContentLength != page.Size
}

// tellsOfThis reports whether an answer to HEAD that tells of no other page shows that this one has not changed: whether it has a
// validator with which we would have asked about the page. Without one it may tell of any page, be it of the same length; and so
// it may with a Last-Modified within whose second the page has changed again.
func tellsOfThis(stored, received http.Header) bool {
	conditions := httpcache.Conditions(stored)
	if len(received["Etag"]) > 0 {
		return len(conditions["If-None-Match"]) > 0
	}
	return len(received["Last-Modified"]) > 0 && len(conditions["If-Modified-Since"]) > 0
}
