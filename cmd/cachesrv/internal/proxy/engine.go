package proxy

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/unit"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// engine makes the caches: each of one origin, under the general settings or those of one rule. They share the store, and
// those of one origin its connections.
type engine struct {
	c       conf.Config
	store   *cache.Store
	log     *slog.Logger
	origins map[string]*origin.Origin // by URL
	sites   *sites                    // that the caches answer for; set before the first request
	newest  *atomic.Pointer[sites]    // those of the settings in force
	proxies []*middleware.Proxy
}

// pages returns the keys that pages of a changed URL may have: also those under settings that were taken on while the request
// was under way, and those under names that are not the site's now.
func (e *engine) pages(r *http.Request, target string) []cache.Key {
	keys := e.sites.pages(r, target)
	add := func(more []cache.Key) {
		for _, k := range more {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	now := e.newest.Load()
	if now != nil && now != e.sites {
		add(now.pages(r, target))
	}
	if len(keys) == 0 {
		return nil
	}
	// A name's pages outlive the settings that had it, and another instance may have names of its own, with its port.
	names, err := e.store.Hosts(context.WithoutCancel(r.Context()))
	for _, s := range []*sites{e.sites, now} {
		if s != nil {
			add(s.elsewhere(names, err != nil, target))
		}
	}
	return keys
}

// retire keeps pages from being stored that are claimed from now on.
func (e *engine) retire() {
	for _, p := range e.proxies {
		p.Retire()
	}
}

func newEngine(c conf.Config, store *cache.Store, log *slog.Logger) *engine {
	return &engine{c: c, store: store, log: log, origins: map[string]*origin.Origin{}, newest: new(atomic.Pointer[sites])}
}

// close ends what goes on in the background. A request that is under way all the same gets no page any more.
func (e *engine) close() {
	for _, p := range e.proxies {
		p.Close()
	}
	for _, o := range e.origins {
		o.Close()
	}
}

func (e *engine) handler(u use) (http.Handler, error) {
	from, err := e.origin(u.origin)
	if err != nil {
		return nil, err
	}
	o := proxyOptions(e.c, u.rule)
	o.Store, o.Origin, o.Logger = e.store, from, e.log
	o.Pages = e.pages
	p, err := middleware.NewProxy(o)
	switch {
	case err != nil && u.rule >= 0:
		return nil, fmt.Errorf("rule %d: %w", u.rule+1, err)
	case err != nil:
		return nil, err
	}
	e.proxies = append(e.proxies, p)
	return p, nil
}

func (e *engine) origin(url string) (*origin.Origin, error) {
	if o, ok := e.origins[url]; ok {
		return o, nil
	}
	o, err := origin.New(origin.Options{
		URL: url, HeaderTimeout: time.Duration(e.c.OriginTimeout), BodyTimeout: time.Duration(e.c.OriginTimeout), Logger: e.log,
	})
	if err != nil {
		return nil, err
	}
	e.origins[url] = o
	return o, nil
}

// proxyOptions returns the general settings, changed by a rule (its index; -1: none).
func proxyOptions(c conf.Config, rule int) middleware.ProxyOptions {
	r := rules.Rule{Policy: c.Policy, MaxAge: &c.MaxAge, WhileRevalidate: &c.WhileRevalidate, IfError: &c.IfError, Grace: &c.Grace,
		Query: c.Query, IgnoreQuery: c.IgnoreQuery, PublicCookies: c.PublicCookies, Validators: c.Validators}
	if len(r.Query) == 0 {
		r.Query = nil // nothing was said
	}
	if rule >= 0 {
		r = changed(r, c.Rules[rule])
	}
	o := middleware.ProxyOptions{
		Query: r.Query, IgnoreQuery: r.IgnoreQuery, PublicCookies: r.PublicCookies,
		Policy: httpcache.Policy{
			UntilInvalidated: r.Policy == rules.UntilInvalidated, MaxAge: time.Duration(*r.MaxAge),
			WhileRevalidate: time.Duration(*r.WhileRevalidate), IfError: time.Duration(*r.IfError),
		},
		ClientDirectives: c.ClientDirectives == "on", Grace: time.Duration(*r.Grace), OwnValidators: r.Validators == rules.Ours,
	}
	o.PageHeaders, _ = c.SentWithPages() // which check has looked at
	if r.ClientControl != nil {
		o.ClientControl = *r.ClientControl
	}
	switch {
	case o.Query != nil:
	case o.Policy.UntilInvalidated: // who invalidates must know the URLs
		o.Query = []string{}
	default:
		o.Query = []string{key.AllQueries}
	}
	if len(c.TrustForwarded) > 0 {
		o.Bypass = otherScheme
	}
	if !r.Cached() {
		o.Skipper = func(*http.Request) bool { return true }
	}
	return o
}

// changed returns the general settings with what a rule says in their place.
func changed(general, r rules.Rule) rules.Rule {
	r.Policy, r.Validators = cmp.Or(r.Policy, general.Policy), cmp.Or(r.Validators, general.Validators)
	for _, d := range []struct{ own, general **unit.Duration }{
		{&r.MaxAge, &general.MaxAge}, {&r.WhileRevalidate, &general.WhileRevalidate}, {&r.IfError, &general.IfError}, {&r.Grace, &general.Grace},
	} {
		if *d.own == nil {
			*d.own = *d.general
		}
	}
	for _, list := range []struct{ own, general *[]string }{
		{&r.Query, &general.Query}, {&r.IgnoreQuery, &general.IgnoreQuery}, {&r.PublicCookies, &general.PublicCookies},
	} {
		if *list.own == nil {
			*list.own = *list.general
		}
	}
	return r
}
