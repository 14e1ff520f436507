package middleware

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// renew has a page renewed in the background, unless that is under way already (RFC 5861, 3). False: too many are, or the
// proxy is closed, and the request must renew it itself.
func (p *Proxy) renew(a *asked, f *found) bool {
	if _, failing := p.notPages.find(f.slot); failing {
		return true
	}
	leave, busy := p.flights.join(a.key)
	if busy != nil {
		return true
	}
	select {
	case p.renews <- struct{}{}:
	default:
		leave()
		return false
	}
	ctx, cancel := context.WithTimeout(p.ctx, p.timeout)
	shared, header, slot := p.shared(ctx, a.r, a.key), a.r.Header.Clone(), f.slot
	release := func() { cancel(); <-p.renews }
	begun := p.background.begin(p.log, func() {
		defer release()
		fe := &fetch{p: p, request: header, leave: leave, cancel: cancel}
		defer fe.end()
		fe.renewInBackground(ctx, shared, a.key, slot)
	})
	if !begun {
		leave()
		release()
	}
	return begun
}

// renewInBackground asks the origin about a page that nobody waits for. The page is the one that is there under the claim: an
// earlier one could have been invalidated before it.
func (fe *fetch) renewInBackground(ctx context.Context, r *http.Request, k, slot cache.Key) {
	p := fe.p
	var err error
	if fe.fill, err = p.take(ctx, slot); err != nil {
		return // another process renews it
	}
	f, err := p.find(k, fe.request)
	fe.old, fe.replaces = f, f.page()
	defer f.close()
	if err != nil || f.slot != slot || f.life.FreshAt(time.Now()) {
		return // it was dropped meanwhile, or renewed
	}
	resp, err := fe.fetch(ctx, r)
	if err != nil {
		p.notPages.remember(f.slot, originFailed, failedLife)
		return
	}
	defer resp.Body.Close()
	fe.resp = resp
	switch {
	case resp.StatusCode == http.StatusNotModified:
		fe.renewed(ctx, resp.StatusCode, resp.Header)
		return
	case resp.StatusCode >= 500:
		p.notPages.remember(f.slot, originFailed, failedLife)
		return
	case blamesRequest(resp.StatusCode):
		return
	}
	m, why, lasting := fe.judge(resp)
	if why != "" {
		if lasting {
			p.notPages.remember(f.slot, why, rememberedFor(resp.StatusCode))
		}
		fe.end()
		p.drop("replaced by an answer that can't be stored", f.slot)
		return
	}
	if err := fe.readAll(resp); err != nil {
		fe.end()
		if errors.Is(err, cache.ErrTooLarge) {
			fe.unpublished(f.slot, err)
		}
		return
	}
	if hit, err := fe.publish(ctx, m); err == nil {
		_ = hit.Close()
	}
}

// renewed publishes the page that is there once more, with what a 304, or an answer to HEAD, says of it. It reports whether
// it did; old is then what was published.
func (fe *fetch) renewed(ctx context.Context, status int, received http.Header) bool {
	p, old := fe.p, fe.old
	fe.replaces = true
	v := httpcache.Freshen(httpcache.Exchange{
		Method: http.MethodGet, Request: seen(fe.request), Status: status, Header: received, Sent: fe.sentAt, Received: fe.received,
		Host: old.slot.Host,
	}, old.hit.Meta.Status, old.hit.Meta.Header, old.hit.Meta.Tags, old.life, p.policy)
	var m cache.Meta
	why := v.Why
	if why == "" { // else the verdict has nothing to store
		if m = p.meta(v, old.hit.Meta.Status, fe.received); !m.Expires.IsZero() && !m.Expires.After(fe.received) {
			why = "neither fresh nor with a validator"
		}
	}
	if why == "" && untold(v.Life.Vary) {
		why = variesOnUntold
	}
	if why == "" { // an answer without a position says nothing of the one that came with the page
		m.Position, why = positionOf(received)
	}
	if why != "" {
		fe.end()
		p.drop("no page any more: "+why, old.slot)
		return false
	}
	if err := copyBody(fe.fill, old.hit.Identity()); err != nil {
		p.trouble.log(p.log, slog.LevelError, "a page can't be renewed", "key", old.slot, "err", err)
		return false
	}
	hit, err := fe.publish(ctx, m)
	if err != nil {
		return false
	}
	old.close()
	old.hit, old.life = hit, v.Life
	return true
}

// copyBody writes a page's body into a fill.
func copyBody(fill *cache.Fill, body cache.Body) error {
	if body.File == nil {
		_, err := fill.Write(body.Bytes)
		return err
	}
	_, err := io.Copy(fill, io.NewSectionReader(body.File, 0, body.Size))
	return err
}
