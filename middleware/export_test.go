package middleware

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// Keys is the part of a Cache that needs no store, for the fuzzer.
type Keys struct{ c Cache }

func NewKeys(query, ignored []string) *Keys {
	return &Keys{Cache{o: Options{Query: query, IgnoreQuery: ignored}}}
}

// Shared returns the key of a request that would fill a page, and the request its handler would get.
func (k *Keys) Shared(r *http.Request) (cache.Key, *http.Request, bool) {
	id, bypass, err := k.c.identify(r)
	if path, _ := sent(r); bypass != "" || err != nil || path != id.Path {
		return id, nil, false
	}
	return id, k.c.forEveryone(r.Context(), r, id), true
}

// SetFetchTimeout takes the place of fetchTimeout.
func (p *Proxy) SetFetchTimeout(d time.Duration) { p.timeout = d }

// Flights counts the fills under way.
func (p *Proxy) Flights() int {
	p.flights.mu.Lock()
	defer p.flights.mu.Unlock()
	return len(p.flights.urls)
}

// HoldFlights keeps requests from beginning or joining a flight until it is released.
func (p *Proxy) HoldFlights() (release func()) {
	p.flights.mu.Lock()
	return p.flights.mu.Unlock
}

// EndFlight counts one more flight that has ended, as its end does.
func (p *Proxy) EndFlight() { p.flights.ended.Add(1) }

// Forget forgets what is no page.
func (p *Proxy) Forget() { p.notPages = newNotPages(p.o.Store) }

// Waiting counts the requests that wait for another one's fill.
func (p *Proxy) Waiting() int64 { return p.waiting.Load() }

// SetFormsClock has the forms of URLs counted by another clock.
func (p *Proxy) SetFormsClock(now func() time.Time) { p.forms.now = now }

// Forms is what bounds the forms of URLs.
type Forms struct{ forms forms }

func NewForms(now func() time.Time) *Forms { return &Forms{forms{now: now}} }

func (f *Forms) Add(url cache.Key)       { f.forms.add(url) }
func (f *Forms) Full(url cache.Key) bool { return f.forms.full(url) }

// Counted counts the URLs that are remembered.
func (f *Forms) Counted() (inMap, inRing int) { return len(f.forms.urls), len(f.forms.ring) }

// Bounds.
const (
	MaxForms     = maxForms
	FormsWindow  = formsWindow
	MaxFormsURLs = maxFormsURLs
	MaxLate      = maxLate
)

// Background holds what goes on after its request.
type Background struct{ b background }

func (b *Background) Begin(log *slog.Logger, f func()) bool { return b.b.begin(log, f) }
func (b *Background) Close()                                { b.b.close() }

// Renewals counts the pages that are renewed in the background.
func (p *Proxy) Renewals() int { return len(p.renews) }

// RememberedFor is how long an answer that is no page stands for the next ones.
func RememberedFor(status int) time.Duration { return rememberedFor(status) }

// FillBackground has as much under way in the background as may be, until it is released.
func (p *Proxy) FillBackground() (release func()) {
	until := make(chan struct{})
	for p.background.begin(p.log, func() { <-until }) {
	}
	return func() { close(until) }
}
