package middleware

import (
	"errors"
	"log/slog"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// fetch answers a request from the origin, and stores what comes if that may be; or it waits for the request that does so
// already, and is answered with what that one stored. f is what there was for it, perhaps past its freshness.
func (p *Proxy) fetch(a *asked, f *found) {
	patience := time.NewTimer(p.o.MaxWait)
	defer patience.Stop()
	if path, _ := sent(a.r); path != a.key.Path {
		p.pass(a.w, a.r, "fwd=uri-miss; detail=spelling") // an origin may see in "/%61" something else than in "/a"
		return
	}
	for range maxRounds {
		if p.oneTooMany(a, f) {
			p.pass(a.w, a.r, forwarded(f)+detail("too many forms"))
			return
		}
		if why, ok := p.notPages.find(f.slot); ok {
			if why == originFailed && p.cover(a, f, "hit") {
				return // it failed a moment ago; asking again would only make the client wait for that
			}
			if why == settling || why == behind {
				if g := p.graced(a, f); g != nil {
					p.answerGraced(a, g, "hit")
					return
				}
			}
			p.pass(a.w, a.r, forwarded(f)+detail(why))
			return
		}
		why := forwarded(f)
		leave, busy := p.flights.join(a.key)
		if busy == nil {
			p.lead(a, f, leave, patience.C)
			return
		}
		if g := p.graced(a, f); g != nil {
			p.answerGraced(a, g, "hit")
			return
		}
		switch p.wait(a, busy, patience.C) {
		case tooLong:
			defer func() { <-busy.late }()
			p.notPages.remember(f.slot, "slow", notPageLife) // later ones need not be so patient
			p.pass(a.w, a.r, forwarded(f)+detail("waited too long"))
			return
		case clientLeft:
			p.gone(a.w)
			return
		}
		if p.filled(a, f) {
			p.answer(a, f, why+collapsed)
			return
		}
	}
	p.pass(a.w, a.r, forwarded(f)+detail("changed faster than fetched"))
}

// oneTooMany reports whether a request is for a form that is not there, of a URL that may have no more of them for now.
func (p *Proxy) oneTooMany(a *asked, f *found) bool {
	return !f.page() && f.slot.Variant != "" && p.forms.full(a.key)
}

// How a wait ends.
const (
	flightEnded = iota
	tooLong
	clientLeft
)

// wait waits for the end of a flight. Too long is not before there is a place among those that wait no more.
func (p *Proxy) wait(a *asked, busy *flight, patience <-chan time.Time) int {
	p.waiting.Add(1)
	defer p.waiting.Add(-1)
	var late chan<- struct{} // nil: no place yet
	for {
		select {
		case <-busy.ended:
			return flightEnded
		case <-patience:
			late = busy.late
		case late <- struct{}{}:
			return tooLong
		case <-a.r.Context().Done():
			return clientLeft
		}
	}
}

// forwarded says why a request goes to the origin (RFC 9211, 2.2).
func forwarded(f *found) string {
	switch {
	case f.page() && f.life.FreshAt(time.Now()): // but not as the request wants it
		return "fwd=request"
	case f.page():
		return "fwd=stale"
	}
	if f.slot.Variant != "" {
		return "fwd=vary-miss"
	}
	return "fwd=uri-miss"
}

// collapsed follows forwarded's word where another request's answer is this one's, too (RFC 9211, 2.6).
const collapsed = "; collapsed"

// filled looks again: f is what there is now. It reports whether that answers the request, as a page that has been stored
// since the request came does.
func (p *Proxy) filled(a *asked, f *found) bool {
	now, err := p.find(a.key, a.r.Header)
	f.close()
	*f = *now
	return err == nil && p.usable(a, f)
}

// lead claims a page for this process's requests and asks the origin. Where another process has the claim, it waits for that
// one's page. Claim and flight end before anything goes to what may be a slow client.
func (p *Proxy) lead(a *asked, f *found, leave func(), patience <-chan time.Time) {
	why := forwarded(f)
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		fill, usable, err := p.claim(a, f)
		switch {
		case err == nil && usable:
			leave()
			p.answer(a, f, why+collapsed)
			return
		case err == nil:
			p.ask(a, f, fill, leave)
			return
		}
		if !errors.Is(err, cache.ErrClaimed) {
			leave()
			if a.r.Context().Err() == nil && !errors.Is(err, errRetired) {
				p.trouble.log(p.log, slog.LevelError, "a page can't be claimed; answering past the cache", "key", f.slot, "err", err)
			}
			p.pass(a.w, a.r, forwarded(f)+"; detail=store")
			return
		}
		if g := p.graced(a, f); g != nil {
			leave()
			p.answerGraced(a, g, "hit")
			return
		}
		select {
		case <-time.After(pause):
		case <-patience:
			p.notPages.remember(f.slot, "slow", notPageLife)
			leave()
			p.pass(a.w, a.r, forwarded(f)+detail("waited too long"))
			return
		case <-a.r.Context().Done():
			leave()
			p.gone(a.w)
			return
		}
		if p.filled(a, f) {
			leave()
			p.answer(a, f, why+collapsed)
			return
		}
	}
}

// claim takes the claim of a page and looks for it again: it may have been published since, and what is renewed under the
// claim must have been there under the claim (else an invalidation between the two would be undone). usable: what is there
// now will do, and the claim is given up. What a URL varies on is known only once there is a page, so the look may show that
// the page belongs into another slot; if that keeps changing, it is as good as claimed by others.
func (p *Proxy) claim(a *asked, f *found) (fill *cache.Fill, usable bool, err error) {
	for range maxRounds {
		if fill, err = p.take(a.r.Context(), f.slot); err != nil {
			return nil, false, err
		}
		if !f.page() && f.slot == a.key && a.ended == p.flights.ended.Load() {
			return fill, false, nil // nothing was there, and we have published nothing since; if another process has, it is asked for twice
		}
		if usable = p.filled(a, f); !usable && fill.Key() == f.slot {
			return fill, false, nil
		}
		_ = fill.Close()
		if usable {
			return nil, true, nil
		}
	}
	return nil, false, cache.ErrClaimed
}
