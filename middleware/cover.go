package middleware

import (
	"time"
)

// graced returns a page that was softly purged, while its grace lasts; nil if there is none.
func (p *Proxy) graced(a *asked, f *found) *found {
	hit, err := p.o.Store.Graced(f.slot)
	if err != nil {
		return nil
	}
	life, ok := lifeOf(hit.Page)
	if !ok || !selects(life, a.r.Header) || !decodable(a.r.Header, hit.Page) || !life.FreshAt(time.Now()) {
		_ = hit.Close()
		return nil
	}
	return &found{hit: hit, life: life, slot: f.slot}
}

// answerGraced answers with what graced has returned, and closes it.
func (p *Proxy) answerGraced(a *asked, g *found, status string) {
	defer g.close()
	p.answer(a, g, status+"; detail=graced")
}

// cover answers in place of an origin that fails: with the page that is there, if its life allows that (RFC 5861, 4), or with
// a graced one.
func (p *Proxy) cover(a *asked, f *found, status string) bool {
	if f.page() && !a.demand.NoCache && f.life.MayServeOnError(time.Now()) && decodable(a.r.Header, f.hit.Page) {
		p.answer(a, f, status+"; detail=graced")
		return true
	}
	g := p.graced(a, f)
	if g != nil {
		p.answerGraced(a, g, status)
	}
	return g != nil
}
