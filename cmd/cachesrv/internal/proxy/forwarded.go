package proxy

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// A front is what we know of servers in front of us: which ones may say who asks and by which scheme, and by which one clients
// reach the site.
type front struct {
	from   []netip.Prefix
	unix   bool // and whoever comes by a Unix socket
	scheme string
	next   http.Handler
}

// behindFront has a handler see requests as they came to the servers in front that are trusted: from their client, and over TLS
// if that was so. The origin is then told of these. Without such servers it is the handler itself.
//
// Pages are made for one scheme, which is in no key: a request by the other goes past the cache (otherScheme). Else the redirect
// to https that an application answers http with would be everyone's, for ever.
func behindFront(c conf.Proxy, next http.Handler) (http.Handler, error) {
	if len(c.TrustForwarded) == 0 {
		return next, nil
	}
	from, unix, err := conf.ParseTrusted(c.TrustForwarded)
	if err != nil {
		return nil, err
	}
	return &front{from, unix, c.Scheme(), next}, nil
}

// otherSchemeKey is the context key of requests by another scheme than the site's: of why they go past the cache.
type otherSchemeKey struct{}

// otherScheme says why a request goes past the cache, if it came by another scheme than pages are for.
func otherScheme(r *http.Request) string {
	why, _ := r.Context().Value(otherSchemeKey{}).(string)
	return why
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	ctx, seen := r.Context(), *r
	if f.trusts(r.RemoteAddr) {
		if client, ok := f.client(r.Header["X-Forwarded-For"]); ok {
			seen.RemoteAddr = net.JoinHostPort(client.String(), "0") // nobody knows the port
		}
		// What is neither, or said twice, is no scheme of the site's.
		switch said := r.Header["X-Forwarded-Proto"]; {
		case len(said) == 0:
		case slices.Equal(said, []string{"https"}):
			scheme, seen.TLS = "https", &tls.ConnectionState{}
		case slices.Equal(said, []string{"http"}):
			scheme, seen.TLS = "http", nil
		default:
			scheme, seen.TLS = "", nil
		}
	}
	if scheme != f.scheme {
		ctx = context.WithValue(ctx, otherSchemeKey{}, fmt.Sprintf("it came over %s, pages are for %s", cmp.Or(scheme, "nobody knows what"), f.scheme))
	}
	f.next.ServeHTTP(w, seen.WithContext(ctx))
}

// trusts reports whether a peer is one in front.
func (f *front) trusts(peer string) bool {
	addr, err := netip.ParseAddrPort(peer)
	if err != nil {
		return f.unix // a Unix socket has no such address
	}
	return f.lists(addr.Addr())
}

func (f *front) lists(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return slices.ContainsFunc(f.from, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// client returns who asked the first of the servers in front: the last address that is none of theirs. What stands before it,
// the client may have made up. False where anything that counts is no address.
func (f *front) client(lines []string) (last netip.Addr, ok bool) {
	hops := strings.Split(strings.Join(lines, ","), ",")
	for _, hop := range slices.Backward(hops) {
		addr, err := netip.ParseAddr(strings.Trim(hop, " \t"))
		if err != nil {
			return netip.Addr{}, false
		}
		if last = addr.Unmap(); !f.lists(last) {
			return last, true
		}
	}
	return last, true // a server in front has asked for itself
}
