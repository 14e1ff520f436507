// Package middleware puts the page store in front of an application, for Echo and for net/http: a request becomes a
// key, the key a hit or a fill, and concurrent requests for a missing page cost one render.
//
// # Order
//
// The rule the cache stands on is: claim, then read. Every database snapshot that a page is made from must be taken
// after our middleware has claimed the page, that is inside it. An application middleware that opens a transaction
// per request therefore comes after ours:
//
//	e.Use(pages.Echo())       // first: claims
//	e.Use(transactionPerRequest) // then: reads
//
// One that must stand outside says so with cache.MarkSnapshot in the request's context; requests so marked are
// answered from pages, but never fill one, and a warning is logged. Likewise inside ours belong compression (shared
// renders never see Accept-Encoding; the store makes the compressed twins) and whatever rewrites URLs. Outside
// belong logging, recovery from panics, and rate limits.
//
// # What a shared render sees
//
// A page is made for everybody, so the handler sees a request without what is one client's: no cookies, no
// credentials, no Range, conditions or Accept-Encoding, no parameters but the listed ones, and none of the headers by
// which a client could make a handler answer for another host, scheme, path or method (X-Forwarded-*, Forwarded,
// X-Original-URL and kin), nor Referer: origin.Withheld has the list. A request that names a user, a key or a form in its
// headers (origin.Apart) is its client's own, and passes. Its Host is the site's own name. So a page can't depend on the scheme or the client's
// address; where it must, list the header in Options.Vary and fold it into Options.Variant. Accept and
// Accept-Language stay: a handler that looks at them says so in Vary, and is then not stored unless the key covers
// them.
package middleware

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/static"
)

// Options configure the middleware. Only Store is required; the zero value of every other field means its default.
type Options struct {
	// Store holds the pages.
	Store *cache.Store
	// Hosts are the site's names. The first one stands in keys, and is the Host that handlers see; the others share
	// its pages. A request for another host passes the cache by. Default: every valid host is a site of its own.
	Hosts []string
	// Query lists the parameters that make pages; key.AllQueries: all of them do. Default none.
	Query []string
	// IgnoreQuery lists parameters (names, or prefixes that end in "*", as "utm_*") that make no pages; they are
	// removed from the request before the render. A request with any other parameter passes the cache by.
	// Default none.
	IgnoreQuery []string
	// Skipper, if not nil, reports requests that pass the cache by.
	Skipper func(*http.Request) bool
	// Bypass, if not nil, is a Skipper that says why, in a few words that clients are told (Cache-Status); "": not by it.
	Bypass func(*http.Request) string
	// PublicCookies lists cookies (names, or prefixes that end in "*") that mean nothing to the pages, as those of
	// analytics; handlers of pages don't see them. Any other cookie makes a request private: it passes the cache
	// by. Default none.
	PublicCookies []string
	// Authorize, if not nil, decides about every request for a page, before the lookup: true admits it to the
	// shared page, false sends it past the cache to the application, an error is answered with 500. Cookies and
	// Authorization are then its business alone; they never reach the render of a shared page. Pages are stored in their
	// private form, which no other server reads from the folder.
	Authorize func(*http.Request) (bool, error)
	// Variant, if not nil, names the form of the page that the request negotiates ("json", "de"; at most 64
	// printable bytes); "" is the default form.
	Variant func(*http.Request) string
	// Vary lists the request headers Variant looks at. It is sent with every page.
	Vary []string
	// MaxWait bounds how long a request waits for another one's fill before it renders past the cache.
	// Default 10 s.
	MaxWait time.Duration
	// ClientControl is the Cache-Control sent with pages that have none of their own. Default "no-cache", or
	// "private, no-cache" with Authorize: shared caches of others can't ask it.
	ClientControl string
	// Grace is that of pages whose handler declares none: how long after expiry or soft purge a page may still be
	// served while a new one is rendered, or when that fails. Default 0.
	Grace time.Duration
	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger
}

// Bounds of what the middleware keeps and tries.
const (
	defaultMaxWait = 10 * time.Second
	maxRounds      = 3                // fills a request waits for in turn before it renders past the cache
	notPageLife    = 10 * time.Second // how long a URL that is no page is remembered
	failedLife     = time.Second      // the same, after a status of 500 or more
	maxNotPages    = 10_000           // URLs remembered so
	logInterval    = 10 * time.Second // between two messages about the same trouble
)

// A Cache is the middleware. It is safe for concurrent use.
type Cache struct {
	o        Options
	log      *slog.Logger
	serving  static.Options
	hosts    map[string]string // canonical name → the one in keys; nil: any
	flights  flights
	waiting  atomic.Int64 // requests that wait for another one's fill
	notPages *notPages
	trouble  limited // with the store, or with Options.Authorize
	trap     limited // snapshots taken too early
	retired  atomic.Bool
}

// New returns the middleware, or what is wrong with its options.
func New(o Options) (*Cache, error) {
	fail := func(format string, args ...any) (*Cache, error) {
		return nil, fmt.Errorf("middleware: "+format, args...)
	}
	switch {
	case o.Store == nil:
		return fail("Options.Store is nil: open one with cache.Open")
	case o.MaxWait < 0 || o.Grace < 0:
		return fail("Options.MaxWait and Options.Grace must not be negative")
	case len(o.Vary) > 0 && o.Variant == nil:
		return fail("Options.Vary lists the headers that Options.Variant looks at, but there is no Variant")
	case o.Authorize != nil && o.Store.Plain():
		return fail("a plain folder's pages are for everybody: leave Options.Authorize out, or use another folder")
	case o.Variant != nil && o.Store.Plain():
		return fail("a plain folder has one variant per URL: leave Options.Variant out, or use another folder")
	case slices.ContainsFunc(o.Query, func(name string) bool {
		return name == "" || strings.Contains(name, "*") && name != key.AllQueries
	}):
		return fail("Options.Query lists names of parameters, without \"*\", or \"*\" alone for all: %q", o.Query)
	}
	for _, name := range o.Query {
		if matchesAny(o.IgnoreQuery, name) {
			return fail("parameter %q is in Options.Query and in Options.IgnoreQuery", name)
		}
	}
	c := &Cache{o: o, log: o.Logger, notPages: newNotPages(o.Store)}
	if c.log == nil {
		c.log = slog.Default()
	}
	if c.o.MaxWait == 0 {
		c.o.MaxWait = defaultMaxWait
	}
	c.serving = static.Options{CacheControl: o.ClientControl, Vary: o.Vary}
	if o.ClientControl == "" && o.Authorize != nil {
		c.serving.CacheControl = "private, no-cache"
	} else if o.ClientControl == "" {
		c.serving.CacheControl = static.DefaultCacheControl
	}
	var errs []error
	for i, host := range o.Hosts {
		name, err := key.Host(host)
		if err != nil {
			errs = append(errs, fmt.Errorf("middleware: Options.Hosts: %w", err))
			continue
		}
		if i == 0 {
			c.hosts = make(map[string]string)
			c.o.Hosts = []string{name}
		}
		c.hosts[name] = c.o.Hosts[0]
	}
	return c, errors.Join(errs...)
}

// matchesAny reports whether a name is one of the patterns: names, or prefixes that end in "*".
func matchesAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		prefix, ok := strings.CutSuffix(p, "*")
		return p == name || ok && strings.HasPrefix(name, prefix)
	})
}
