package index

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render/index/catalog"
)

// contentSecurityPolicy lets pages load our own style sheet and script, and the images of READMEs; nothing stands
// inline, nothing may frame them, and a README that got past the sanitizer could still neither run nor send anything.
const contentSecurityPolicy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' https:; " +
	"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; connect-src 'none'"

// Headers returns what the site puts on every answer at a path: what makes browsers careful, and a Cache-Control for answers
// that have none of their own, as without one caches make up how long they keep an answer. Whoever serves the site's pages in
// its place sends these too.
func Headers(path string, private bool) http.Header {
	h := http.Header{
		"Content-Security-Policy": {contentSecurityPolicy},
		"X-Content-Type-Options":  {"nosniff"},
		"X-Frame-Options":         {"DENY"},
		"Referrer-Policy":         {"same-origin"},
		"Cache-Control":           {"no-cache"},
	}
	if private {
		h["Cache-Control"] = []string{"private, no-cache"}
	}
	// Scripts of other sites may read what everybody may read. What a private index shows is for those with a token:
	// browsers send no credentials with "*" anyway, so there it would only look like an invitation.
	if strings.HasPrefix(path, SimplePrefix) && !private {
		h["Access-Control-Allow-Origin"] = []string{"*"}
		h["Access-Control-Expose-Headers"] = []string{serialHeader}
	}
	return h
}

// SimplePrefix is what the paths of the simple API begin with: pages that have forms (Variant, Vary), and headers of their own.
const SimplePrefix = "/simple/"

// secured puts Headers on every answer. It stands outside of the cache: so pages are stored without these headers, and get
// them on hits, too.
func (s *Site) secured(next http.Handler) http.Handler {
	pages, simple := Headers("/", s.o.Private), Headers(SimplePrefix, s.o.Private)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, all := w.Header(), pages
		if strings.HasPrefix(r.URL.Path, SimplePrefix) {
			all = simple
		}
		for name, values := range all {
			h[name] = slices.Clone(values)
		}
		r = withPath(r)
		if err := wellFormed(r); err != nil {
			status := http.StatusNotFound // no address of ours is written so
			if errors.Is(err, key.ErrInvalid) {
				status = http.StatusBadRequest
			}
			sendText(w, status, "This address is malformed: "+err.Error())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// withPath gives a request for "http://host" the path that it means (RFC 9112, 3.2.2), as the cache does. Others come
// back as they are.
func withPath(r *http.Request) *http.Request {
	if r.URL.Path != "" || !strings.Contains(r.RequestURI, "://") {
		return r
	}
	rooted, u := *r, *r.URL
	u.Path, rooted.URL = "/", &u
	return &rooted
}

// wellFormed checks a request's target before anything looks at it: what is behind it may then trust URL.Path. In no
// address of ours is a slash, a backslash or a control character encoded.
func wellFormed(r *http.Request) error {
	if strings.Contains(r.RequestURI, "#") {
		return errors.Join(key.ErrInvalid, errors.New(`"#" must be percent-encoded`))
	}
	_, err := key.Path(r.URL.EscapedPath())
	return err
}

// realm is what browsers show when they ask for a token.
const realm = `Basic realm="package index", charset="UTF-8"`

type admittedKey struct{}

// admitted lets only those read a private index who have a token: anyone's, of whatever scope. Each read asks the
// database for the token, also one answered from a page, so that a revoked token opens nothing any more. Requests that
// change something are for their handlers to check.
func (s *Site) admitted(next http.Handler) http.Handler {
	if !s.o.Private {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, assetsPrefix) || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		who, err := s.identify(r)
		switch {
		case errors.Is(err, catalog.ErrUnauthorized):
			w.Header().Set("Www-Authenticate", realm)
			sendText(w, http.StatusUnauthorized, "This package index is private. Give a token as the password, and \"__token__\" as the user: "+
				"https://__token__:TOKEN@HOST/simple/ for pip. Ask whoever runs it for one.")
			return
		case err != nil:
			f := s.settle(r, err)
			sendText(w, f.status, f.message)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), admittedKey{}, who)))
	})
}

// identify returns who sends a request. catalog.ErrUnauthorized without credentials, too.
func (s *Site) identify(r *http.Request) (catalog.Identity, error) {
	user, secret, ok := r.BasicAuth()
	if !ok {
		return catalog.Identity{}, catalog.ErrUnauthorized
	}
	return s.catalog.Authenticate(r.Context(), user, secret)
}

// Authorize reports whether Handler has admitted a request to a private index. For middleware.Options.Authorize, and
// only with Options.Private: all whom Handler admits share the pages.
func Authorize(r *http.Request) (bool, error) {
	_, ok := r.Context().Value(admittedKey{}).(catalog.Identity)
	return ok, nil
}
