package middleware

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/static"
)

// A found is what the store has for a request. The zero hit means that it has nothing; slot is where it would be.
//
// What varies (RFC 9111, 4.1) has one URL and several forms. The first form to be stored has the URL's own key, and its life
// tells on which headers the URL varies, and with which values of them it was asked for. The others are variants of the key,
// named by a digest of those values. Each page that is found is compared with the request again: a slot that is wrong is a
// miss, never a wrong answer.
type found struct {
	hit  cache.Hit
	life httpcache.Life
	slot cache.Key
}

func (f *found) page() bool { return f.hit.Page != nil }

func (f *found) close() {
	if f.page() {
		_ = f.hit.Close()
		f.hit = cache.Hit{}
	}
}

// errUnreadable: the page's note is not ours to read.
var errUnreadable = errors.New("unreadable note")

// maxSlots bounds the slots that are looked into for one request: the URL's own, that of the names its page varies on, and, if
// the page there varies on others, that of those.
const maxSlots = 3

// find looks for the form of a page that a request asks for. It never returns nil; without an error f.page() is true.
func (p *Proxy) find(k cache.Key, h http.Header) (*found, error) {
	f := &found{slot: k}
	for range maxSlots {
		hit, err := p.o.Store.Lookup(f.slot)
		if err != nil {
			return f, err
		}
		life, ok := lifeOf(hit.Page)
		if !ok {
			_ = hit.Close()
			return f, cache.ErrMiss // of another version: a fill replaces it
		}
		if selects(life, h) {
			f.hit, f.life = hit, life
			return f, nil
		}
		_ = hit.Close()
		f.slot.Variant = variantOf(life.Vary, selecting(life.Vary, h))
	}
	return f, cache.ErrMiss
}

// selects reports whether a page answers a request, as far as Vary goes.
func selects(life httpcache.Life, h http.Header) bool { return life.Selects(selecting(life.Vary, h)) }

// selecting returns a request's headers as they select among a URL's forms: what the origin was not told did not make a
// difference, though the answer varies on it. (With "Vary: Cookie", as Django sends it, each public cookie of each client
// would be a form.)
func selecting(vary []string, h http.Header) http.Header {
	if !slices.ContainsFunc(vary, withheld) {
		return h
	}
	return seen(h)
}

func lifeOf(page *cache.Page) (httpcache.Life, bool) {
	life, ok := page.Noted(func(note string) any {
		life, err := httpcache.ParseLife(note)
		if err != nil {
			return errUnreadable
		}
		if note == "" {
			life.Born = page.Published
		}
		return life
	}).(httpcache.Life)
	return life, ok
}

// variantOf names the form of a page that was asked for with these headers.
func variantOf(vary []string, h http.Header) string {
	sum := sha256.Sum256([]byte(strings.Join(vary, ",") + "\n" + httpcache.Select(vary, h)))
	return "v-" + hex.EncodeToString(sum[:8])
}

// usable reports whether a page answers a request as it is. What was stored after the request had come is as good as an
// answer to itself, whatever its freshness: requests may be collapsed (RFC 9111, 4). A publication that is yet to come is
// one from before our clock was set back.
func (p *Proxy) usable(a *asked, f *found) bool {
	if !decodable(a.r.Header, f.hit.Page) {
		return false
	}
	now := time.Now()
	if f.hit.Published.After(a.arrived) && !f.hit.Published.After(now) && !a.demand.NoCache {
		return true
	}
	return a.demand.Accepts(f.life, now)
}

// decodable reports whether a client takes the coding that the origin has chosen for a page, unasked. Mostly there is none.
func decodable(h http.Header, page *cache.Page) bool { return accepted(h, page.Meta.Header) }

func accepted(request, response http.Header) bool {
	for _, coding := range response["Content-Encoding"] {
		if !static.Accepts(request["Accept-Encoding"], coding) {
			return false
		}
	}
	return true
}

// answer serves a page.
func (p *Proxy) answer(a *asked, f *found, status string) {
	now := time.Now()
	if f.life.Fresh != httpcache.Forever {
		status += "; ttl=" + seconds(f.life.Left(now))
	}
	setStatus(a.w, status)
	o := p.serving
	if f.hit.Meta.Note != "" {
		o = static.Options{AsIs: true, WithAge: true, Age: f.life.Age(now)}
	}
	static.Serve(a.w, a.r, &f.hit, o)
}

// storedHeader is what is kept of an answer's headers.
func storedHeader(v httpcache.Verdict, received time.Time) http.Header {
	h := v.Header
	delete(h, "Cache-Status") // of this answer, as what caches nearer to the origin do with the next one is another thing
	if v.Life.Note() == "" {  // it lives until it is invalidated, and may be served by others, who send their own
		delete(h, "Date")
		delete(h, "Accept-Ranges")
		if encodingOnly(h["Vary"]) {
			delete(h, "Vary")
		}
	} else if len(h["Date"]) == 0 {
		h.Set("Date", received.UTC().Format(http.TimeFormat)) // RFC 9110, 6.6.1
	}
	cache.SpellPlain(h)
	return h
}

// encodingOnly reports whether all that a response says it varies on is what the client accepts of codings: whoever serves a page
// that lives until it is invalidated says that of himself (static.Serve).
func encodingOnly(vary []string) bool {
	return !slices.ContainsFunc(httpcache.Elements(vary), func(name string) bool { return !strings.EqualFold(name, "Accept-Encoding") })
}

// keptFor is how long a page with a validator is kept past its freshness: asking whether it has changed costs the origin
// less than sending it again.
const keptFor = 24 * time.Hour

// meta says how an answer is stored.
func (p *Proxy) meta(v httpcache.Verdict, status int, received time.Time) cache.Meta {
	m := cache.Meta{Status: status, Header: storedHeader(v, received), Tags: v.Tags, Note: v.Life.Note(), Reproduced: p.pageHeaders}
	if p.ownValidators && m.Note == "" {
		delete(m.Header, "Etag")
		delete(m.Header, "Last-Modified")
	}
	if !v.Life.Must {
		m.Grace = p.o.Grace
	}
	if v.Life.Fresh != httpcache.Forever {
		kept := max(v.Life.WhileRevalidate, v.Life.IfError)
		if len(httpcache.Conditions(m.Header)) > 0 {
			kept = max(kept, keptFor)
		}
		m.Expires = v.Life.Born.Add(v.Life.Fresh).Add(kept)
	}
	return m
}

// conditional reports whether a request asks for a part of a page, or for a page only if it has changed.
func conditional(h http.Header) bool {
	return slices.ContainsFunc([]string{"Range", "If-Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"},
		func(name string) bool { return len(h[name]) > 0 })
}
