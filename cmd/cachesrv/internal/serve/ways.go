package serve

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/middleware"
)

// Ways are the middlewares of a site over one store: one for each rule, and one for what no rule matches. A URL matches
// one rule, so no page is kept in two ways.
type Ways struct {
	Caches []*middleware.Cache
	set    *rules.Set
	rules  []rules.Rule
}

// NewWays makes the middlewares: base, changed by each rule in turn.
func NewWays(base middleware.Options, list []rules.Rule) (*Ways, error) {
	set, err := rules.Compile(list)
	if err != nil {
		return nil, err
	}
	w := &Ways{make([]*middleware.Cache, 1+len(list)), set, list}
	for i := range w.Caches {
		o := base
		if i > 0 {
			if field := list[i-1].ForProxies(); field != "" {
				return nil, fmt.Errorf("rule %d: %s is for cachesrv proxy only: leave it out", i, field)
			}
			apply(list[i-1], &o)
		}
		if w.Caches[i], err = middleware.New(o); err != nil {
			return nil, fmt.Errorf("rule %d: %w", i, err)
		}
	}
	return w, nil
}

func apply(r rules.Rule, o *middleware.Options) {
	if !r.Cached() {
		o.Skipper = func(*http.Request) bool { return true }
	}
	o.Query, o.IgnoreQuery = r.Query, r.IgnoreQuery
	if r.Grace != nil {
		o.Grace = time.Duration(*r.Grace)
	}
	if r.ClientControl != nil {
		o.ClientControl = *r.ClientControl
	}
}

// Retire keeps pages from being stored that are claimed from now on (middleware.Cache.Retire).
func (w *Ways) Retire() {
	for _, c := range w.Caches {
		c.Retire()
	}
}

// Pages returns the keys that the page of a URL may have, for Purging.Site. host is the name that stands in keys, whichever a
// request has; rules are matched by the latter, and each may list other parameters, so there is a key for every list.
func (w *Ways) Pages(host string) func(r *http.Request, target string) []cache.Key {
	lists := []rules.Rule{{}} // what no rule matches
	for _, r := range w.rules {
		if !slices.ContainsFunc(lists, func(l rules.Rule) bool {
			return slices.Equal(l.Query, r.Query) && slices.Equal(l.IgnoreQuery, r.IgnoreQuery)
		}) {
			lists = append(lists, r)
		}
	}
	return func(_ *http.Request, target string) (keys []cache.Key) {
		for _, l := range lists {
			if k, err := middleware.KeyOf(host, target, l.Query, l.IgnoreQuery); err == nil && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
		return keys
	}
}

// Of returns the index in Caches of the one for a request. A request without a key has the first: it is not cached
// anyway.
func (w *Ways) Of(r *http.Request) int {
	host, err := key.Host(r.Host)
	if err != nil {
		return 0
	}
	path, err := key.Path(r.URL.EscapedPath())
	if err != nil {
		return 0
	}
	return 1 + w.set.Match(host, path)
}

// Handler puts the caches in front of a handler.
func (w *Ways) Handler(next http.Handler) http.Handler {
	handlers := make([]http.Handler, len(w.Caches))
	for i, c := range w.Caches {
		handlers[i] = c.Handler(next)
	}
	if len(handlers) == 1 {
		return handlers[0]
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { handlers[w.Of(r)].ServeHTTP(rw, r) })
}
