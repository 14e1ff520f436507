package middleware

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// take answers with what the origin has sent.
func (fe *fetch) take(ctx context.Context, resp *http.Response) {
	p, a := fe.p, fe.a
	fe.resp = resp
	switch {
	case resp.StatusCode == http.StatusNotModified && fe.old.page():
		_ = resp.Body.Close()
		status := fe.forward + "; fwd-status=304"
		if fe.renewed(ctx, resp.StatusCode, resp.Header) {
			status += "; stored"
		} else {
			status += detail(fe.unstoredFor)
		}
		p.answer(a, fe.old, status) // if it was invalidated meanwhile: it was right when it was asked for
		return
	case resp.StatusCode >= 500 && (fe.old.page() || fe.gracedThere()):
		fe.end()
		if p.cover(a, fe.old, staleStatus(resp.StatusCode)) {
			_ = resp.Body.Close()
			p.notPages.remember(fe.old.slot, originFailed, failedLife)
			return
		}
		fe.relay(resp, "status "+strconv.Itoa(resp.StatusCode), true)
		return
	}
	m, why, lasting := fe.judge(resp)
	switch {
	case !accepted(a.r.Header, resp.Header):
		_ = resp.Body.Close()
		if why != "" || fe.old.slot.Variant != "" { // else it is a page, for the next client that takes the coding
			p.notPages.remember(fe.old.slot, "encoding", notPageLife)
		}
		fe.end()
		p.pass(a.w, a.r, fe.forward+"; detail=encoding") // with the client's own Accept-Encoding
	case why != "":
		fe.relay(resp, why, lasting)
	case conditional(a.r.Header):
		fe.storeFirst(ctx, resp, m)
	default:
		fe.stream(ctx, resp, m)
	}
}

// gracedThere reports whether there is a graced page to answer with.
func (fe *fetch) gracedThere() bool {
	g := fe.p.graced(fe.a, fe.old)
	if g != nil {
		g.close()
	}
	return g != nil
}

// judge decides what becomes of an answer.
func (fe *fetch) judge(resp *http.Response) (m cache.Meta, why string, lasting bool) {
	v := httpcache.Judge(httpcache.Exchange{
		Method: http.MethodGet, Request: seen(fe.request), Status: resp.StatusCode, Header: resp.Header, Sent: fe.sentAt, Received: fe.received,
		Host: fe.old.slot.Host,
	}, fe.p.policy)
	switch {
	case v.Why != "":
		return m, v.Why, v.Lasting
	case untold(v.Life.Vary):
		return m, variesOnUntold, true
	case resp.ContentLength < 0 && len(resp.TransferEncoding) == 0:
		return m, "only the connection's end says that it is whole", true // and a dying origin's says so too
	case len(resp.Trailer) > 0:
		return m, "response has trailers", true
	case resp.ContentLength > fe.p.o.Store.PageMax():
		return m, "too large", true
	}
	at, why := positionOf(resp.Header)
	if why != "" {
		return m, why, true
	}
	fe.life = v.Life
	m = fe.p.meta(v, resp.StatusCode, fe.received)
	m.Position = at
	if !m.Expires.IsZero() && !m.Expires.After(fe.received) {
		return m, "neither fresh nor with a validator", true
	}
	return m, "", false
}

// errTrailers: what a page depends on came behind it, where nobody reads it.
var errTrailers = errors.New("its trailers tell caches something")

// publish ends the fill, with a page or without.
func (fe *fetch) publish(ctx context.Context, m cache.Meta) (hit cache.Hit, err error) {
	if fe.tellsInTrailers() {
		_ = fe.fill.Close()
		err = errTrailers
	} else {
		hit, err = fe.fill.Publish(context.WithoutCancel(ctx), m)
	}
	if err == nil && fe.newForm {
		fe.p.forms.add(fe.fill.Key().Default())
	}
	fe.leave()
	if err != nil {
		fe.unpublished(fe.fill.Key(), err)
	}
	return hit, err
}

// tellsInTrailers reports whether an answer that was read to its end had fields for caches behind it.
func (fe *fetch) tellsInTrailers() bool {
	if fe.resp != nil {
		for name := range fe.resp.Trailer {
			if httpcache.IsForCaches(name) {
				return true
			}
		}
	}
	return false
}

// unpublished draws the consequences of what came not being stored: whether the next answer will fare the same; and that the
// old page goes, as it does not have the new one's tags, and if that is too old already, so is the old one. An origin that is
// behind what another page required, and trouble of the store's own, say nothing about either.
func (fe *fetch) unpublished(k cache.Key, err error) {
	life := notPageLife
	switch {
	case errors.Is(err, errSlow):
		fe.unstoredFor = "slow"
	case errors.Is(err, errTrailers):
		fe.unstoredFor = "response has trailers"
	default:
		fe.unstoredFor, life = fe.p.unpublished(k, err)
	}
	if life > 0 {
		fe.p.notPages.remember(k, fe.unstoredFor, life)
	}
	if fe.replaces && (life > 0 && fe.unstoredFor != behind || errors.Is(err, cache.ErrInvalidated)) {
		fe.p.drop("replaced by an answer that can't be stored", k)
	}
}

// failed answers when the origin did not: with the page that is there, if its life allows that.
func (fe *fetch) failed(err error) {
	p, a := fe.p, fe.a
	fe.end()
	status := origin.Status(err)
	if errors.Is(err, origin.ErrRequest) { // the client's fault, and nobody else's business
		setStatus(a.w, "detail=request") // it was not forwarded
		p.origin.Fail(a.w, a.r, err)
		return
	}
	p.notPages.remember(fe.old.slot, originFailed, failedLife)
	if p.cover(a, fe.old, staleStatus(status)) {
		return
	}
	if a.r.Context().Err() == nil {
		p.trouble.log(p.log, slog.LevelError, "the origin did not answer", "key", fe.old.slot, "err", err)
	}
	setStatus(a.w, fe.forward+"; fwd-status="+strconv.Itoa(status)+"; detail=origin")
	a.w.Header().Set("Cache-Control", "no-store")
	http.Error(a.w, http.StatusText(status)+": the site's server did not answer", status)
}

// originFailed is why a page is not asked for, for failedLife after the origin has failed.
const originFailed = "origin failed"

func staleStatus(status int) string { return "fwd=stale; fwd-status=" + strconv.Itoa(status) }
