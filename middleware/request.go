package middleware

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// errAuthorize wraps what Options.Authorize failed with.
var errAuthorize = errors.New("authorize")

// identify names the page a request asks for; or it says why the request passes the cache by; or it fails: with
// key.ErrInvalid for what no well-behaved client sends, or with errAuthorize.
//
// Everything is checked against the request as it was sent (RequestURI), not only as net/http understood it: there
// "/a%2fb" and "/a/b" are the same Path.
func (c *Cache) identify(r *http.Request) (k cache.Key, bypass string, err error) {
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return k, "method", nil
	case r.ContentLength != 0 || len(r.TransferEncoding) > 0:
		return k, "body", nil
	case len(r.Header["Upgrade"]) > 0:
		return k, "upgrade", nil
	case overridesMethod(r.Header):
		return k, "method-override", nil
	case c.apart(r.Header):
		return k, "header", nil
	case c.o.Skipper != nil && c.o.Skipper(r):
		return k, "skipped", nil
	case c.o.Bypass != nil:
		if why := c.o.Bypass(r); why != "" {
			return k, why, nil
		}
	}
	if k, bypass, err = c.key(r); bypass != "" || err != nil {
		return k, bypass, err
	}
	if c.o.Authorize == nil {
		return k, c.private(r.Header), nil
	}
	admitted, err := c.o.Authorize(r)
	switch {
	case err != nil:
		return k, "", fmt.Errorf("%w %s: %w", errAuthorize, k, err)
	case !admitted:
		return k, "not-authorized", nil
	}
	return k, "", nil
}

// key maps a request to its key.
func (c *Cache) key(r *http.Request) (k cache.Key, bypass string, err error) {
	if k.Host, err = c.host(r); err != nil {
		return k, "", err
	} else if k.Host == "" {
		return k, "host", nil
	}
	path, query := sent(r)
	if strings.Contains(query, "#") {
		return k, "", fmt.Errorf("query %.80q: %w: %q must be percent-encoded", query, key.ErrInvalid, "#")
	}
	if k.Path, err = key.Path(path); errors.Is(err, key.ErrUncacheable) {
		return k, "path", nil
	} else if err != nil {
		return k, "", err
	}
	if k.Query, err = key.Query(query, c.o.Query, c.o.IgnoreQuery); errors.Is(err, key.ErrUncacheable) {
		return k, "query", nil
	} else if err != nil {
		return k, "", err
	}
	// Whoever stands outside of us and rewrites URLs sees another page than the client asked for: the two must not
	// share a key.
	if now, err := key.Path(r.URL.EscapedPath()); err != nil || now != k.Path || r.URL.RawQuery != query {
		return k, "rewritten", nil
	}
	if c.o.Variant != nil {
		if k.Variant = c.o.Variant(r); !validVariant(k.Variant) {
			return k, "variant", nil
		}
	}
	return k, "", nil
}

// host returns the host that stands in the key; "" for one that is not ours.
func (c *Cache) host(r *http.Request) (string, error) {
	if site, ok := c.hosts[r.Host]; ok {
		return site, nil // the common case: sent in canonical form
	}
	host, err := key.Host(r.Host)
	if err != nil || c.hosts == nil {
		return host, err
	}
	return c.hosts[host], nil
}

// sent returns path and query of the request target as it was sent. (A request made by a program has none but URL.)
func sent(r *http.Request) (path, query string) {
	target := r.RequestURI
	if target == "" {
		return r.URL.EscapedPath(), r.URL.RawQuery
	}
	if target[0] != '/' { // absolute form; its authority is in r.Host
		if _, rest, ok := strings.Cut(target, "://"); ok {
			if i := strings.IndexAny(rest, "/?#"); i >= 0 {
				target = rest[i:]
			} else {
				target = "/"
			}
			if target[0] == '?' {
				target = "/" + target
			}
		}
	}
	path, query, _ = strings.Cut(target, "?")
	return path, query
}

func validVariant(v string) bool {
	return len(v) <= key.MaxVariant && strings.IndexFunc(v, func(c rune) bool { return c <= ' ' || c >= 0x7f }) < 0
}

// private says why a request is one client's own; "" if it isn't.
func (c *Cache) private(h http.Header) string {
	if len(h["Authorization"]) > 0 {
		return "authorization"
	}
	for _, line := range h["Cookie"] {
		// Read by hand: net/http drops cookies it finds malformed, and a handler may read them all the same.
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.Trim(cookie, " \t"); cookie == "" {
				continue
			}
			if name, _, _ := strings.Cut(cookie, "="); !matchesAny(c.o.PublicCookies, name) {
				return "cookie"
			}
		}
	}
	return ""
}

// IsPublicCookie reports whether a cookie is one of Options.PublicCookies.
func IsPublicCookie(public []string, name string) bool { return matchesAny(public, name) }

// overridesMethod reports whether a GET asks to be taken for something else.
func overridesMethod(h http.Header) bool {
	return len(h["X-Http-Method-Override"]) > 0 || len(h["X-Http-Method"]) > 0 || len(h["X-Method-Override"]) > 0 ||
		len(h["X-Method"]) > 0
}

// forEveryone returns the request that a shared render gets: without the headers that must not reach it (origin.Withheld), as
// they belong to one client or one connection, to the answer's form and not to the page, or make frameworks believe in another
// host, scheme, path, method or address. (attacks: web cache poisoning through unkeyed headers) The caller's request stays as
// it is.
func (c *Cache) forEveryone(ctx context.Context, r *http.Request, k cache.Key) *http.Request {
	shared := r.WithContext(ctx)
	shared.Header = make(http.Header, len(r.Header))
	for name, values := range r.Header {
		if c.keyed(name) || !withheld(name) {
			shared.Header[name] = slices.Clip(values)
		}
	}
	shared.URL = &url.URL{Path: r.URL.Path, RawPath: r.URL.RawPath, RawQuery: k.Query}
	shared.RequestURI = k.Path
	if k.Query != "" {
		shared.RequestURI += "?" + k.Query
	}
	shared.Host = k.Host
	shared.Body, shared.GetBody = http.NoBody, nil
	shared.Form, shared.PostForm, shared.MultipartForm, shared.Trailer = nil, nil, nil, nil
	return shared
}
