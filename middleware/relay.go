package middleware

import (
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// relay answers with what is no page. The claim and the flight end first. What was stored before is dropped: it has been
// replaced by something that can't be stored.
func (fe *fetch) relay(resp *http.Response, why string, lasting bool) {
	p, a := fe.p, fe.a
	defer resp.Body.Close()
	if lasting && !blamesRequest(resp.StatusCode) {
		p.notPages.remember(fe.old.slot, why, rememberedFor(resp.StatusCode))
	}
	fe.end()
	if fe.old.page() && resp.StatusCode < 500 && !blamesRequest(resp.StatusCode) {
		p.drop("replaced by an answer that can't be stored", fe.old.slot)
	}
	if conditional(a.r.Header) || why == variesOnUntold {
		_ = resp.Body.Close() // the origin was asked for the whole page, and for everyone
		p.pass(a.w, a.r, fe.forward+detail(why))
		return
	}
	defer fe.ofOneClient(resp.Body)()
	httpcache.HopByHop(resp.Header)
	forClient(resp.Header, fe.forward+detail(why))
	origin.SetHeader(a.w.Header(), resp)
	a.w.WriteHeader(resp.StatusCode)
	sendRest(a.w, resp.Body, true)
	origin.SetTrailers(a.w.Header(), resp)
}

// blamesRequest reports whether a status tells of the request and not of the page: the next client's may fare better. So one
// client's odd header must neither drop a page nor keep it from being stored.
func blamesRequest(status int) bool {
	switch status {
	case 400, 406, 408, 411, 412, 413, 414, 415, 416, 417, 421, 422, 425, 426, 428, 431:
		return true
	}
	return false
}

// rememberedFor is how long an answer that is no page stands for the next ones. That the origin fails, or refuses us, may
// be over in a moment: too many requests are, and who is not admitted may be by his address, or by the day.
func rememberedFor(status int) time.Duration {
	switch {
	case status >= 500,
		status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusProxyAuthRequired, status == http.StatusTooManyRequests:
		return failedLife
	}
	return notPageLife
}
