package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// A Route is what a proxy with some configuration makes of a request, as far as that tells without asking the origin.
type Route struct {
	Key    cache.Key // of its page; zero: it can have none
	Rule   int       // the index of the rule that matched; -1: none
	Bypass string    // why the request goes past the cache; empty: it does not
	Policy string
	Scheme string // of the requests that pages are for; others go past the cache, too. Empty: it does not matter
}

// RouteOf says what becomes of a request: a method, a host in any spelling, a request target in origin form, and headers. It
// follows the same settings and, for keys, the same code as the proxy.
func RouteOf(c conf.Config, method, host, target string, h http.Header) (Route, error) {
	set, err := rules.Compile(c.Rules)
	if err != nil {
		return Route{}, err
	}
	if host, err = key.Host(host); err != nil {
		return Route{}, err
	}
	sent, _, _ := strings.Cut(target, "?")
	path, err := key.Path(sent)
	if err != nil && !errors.Is(err, key.ErrUncacheable) {
		return Route{}, err
	}
	if err != nil {
		path = sent
	}
	r := Route{Rule: set.Match(host, path)}
	if len(c.TrustForwarded) > 0 {
		r.Scheme = c.Scheme()
	}
	o := proxyOptions(c, r.Rule)
	r.Policy = rules.Explicit
	if o.Policy.UntilInvalidated {
		r.Policy = rules.UntilInvalidated
	}
	k, keyErr := middleware.KeyOf(host, target, o.Query, o.IgnoreQuery)
	if keyErr != nil && !errors.Is(keyErr, key.ErrUncacheable) {
		return r, keyErr
	}
	if keyErr == nil {
		r.Key = k
	}
	switch {
	case r.Rule >= 0 && !c.Rules[r.Rule].Cached(): // the scheme is another matter: a URL typed by hand does not tell it
		r.Bypass = "the rule says cache: false"
	case method != http.MethodGet && method != http.MethodHead && httpcache.Safe(method):
		r.Bypass = "only GET and HEAD are answered from the cache, not " + method
	case method != http.MethodGet && method != http.MethodHead:
		r.Bypass = method + " may change something: it goes to the origin, and drops the URL's pages"
	case keyErr != nil:
		r.Bypass = strings.TrimPrefix(keyErr.Error(), key.ErrUncacheable.Error()+": ")
	case len(h["Authorization"]) > 0:
		r.Bypass = "it has an Authorization header: the answer is for that client alone"
	default:
		r.Bypass = cookies(h, o.PublicCookies)
	}
	return r, nil
}

// cookies names the cookie for which a request goes past the cache.
func cookies(h http.Header, public []string) string {
	for _, line := range h["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(strings.Trim(cookie, " \t"), "=")
			if name != "" && !middleware.IsPublicCookie(public, name) {
				return fmt.Sprintf("it has the cookie %.60q, which is not one of public-cookies", name)
			}
		}
	}
	return ""
}
