package middleware

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// shared returns the request by which the origin is asked for everyone: forEveryone's, of no client's address.
func (p *Proxy) shared(ctx context.Context, r *http.Request, k cache.Key) *http.Request {
	s := p.forEveryone(ctx, r, k)
	s.RemoteAddr = ""
	return s
}

// apart reports whether a request is one client's own by one of its headers (origin.Apart), but those that are in the key.
func (c *Cache) apart(h http.Header) bool {
	if len(c.o.Vary) > 0 {
		h = maps.Clone(h)
		maps.DeleteFunc(h, func(name string, _ []string) bool { return c.keyed(name) })
	}
	return origin.Apart(h)
}

// keyed reports whether Options.Variant looks at a header.
func (c *Cache) keyed(name string) bool {
	return slices.ContainsFunc(c.o.Vary, func(v string) bool { return strings.EqualFold(v, name) })
}

// withheld reports whether the origin never sees a field when it is asked for everyone.
func withheld(name string) bool { return origin.Withheld(name) }

// seen returns those of a request's headers by which its answer is chosen: what the origin sees, Accept-Encoding, which says who
// takes the coding that the origin has chosen unasked, and Authorization, as no answer to it is stored.
func seen(h http.Header) http.Header {
	s := maps.Clone(h)
	maps.DeleteFunc(s, func(name string, _ []string) bool {
		return withheld(name) && name != "Accept-Encoding" && name != "Authorization"
	})
	return s
}

// variesOnUntold is why an answer is not stored that varies on a header which clients send and the origin was not told: for who
// sends it, it would be the wrong one.
const variesOnUntold = "varies on a withheld header"

// untold reports whether that is so. Of what is withheld from the origin only Referer is left to look for, and Content-Type,
// which some clients send without a body. By the others an origin can't choose a page: requests that have them pass (cookies but
// public ones, credentials, what origin.Apart knows), or they are never sent on, or are about the form of an answer and not about
// the page.
func untold(vary []string) bool {
	return slices.Contains(vary, "Referer") || slices.Contains(vary, "Content-Type")
}
