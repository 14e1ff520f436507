package middleware

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render/httpcache"
	"github.com/cachesrv/cachesrv/render/origin"
)

// ProxyOptions configure a Proxy. Store and Origin are required; the zero value of every other field means its default.
type ProxyOptions struct {
	// Store holds the pages.
	Store *cache.Store
	// Origin is asked for what the store does not have.
	Origin *origin.Origin
	// Hosts, IgnoreQuery, Skipper, Bypass and PublicCookies are those of Options.
	Hosts         []string
	IgnoreQuery   []string
	Skipper       func(*http.Request) bool
	Bypass        func(*http.Request) string
	PublicCookies []string
	// MaxWait bounds how long a request waits for another one's fill before it is passed. Of those that wait for the same
	// URL at most 64 are with the origin at a time; the others wait on. Who comes within the next 10 s is passed at once.
	// Default 10 s.
	MaxWait time.Duration
	// Grace is how long after a soft purge a page may still be served while it is asked for anew, or when that fails; but
	// none that is past its freshness then, or whose life forbids it (must-revalidate). It is no leave to use pages past
	// their freshness: that is Policy's WhileRevalidate and IfError. Default 0: a soft purge drops pages like any other.
	Grace time.Duration
	// Query lists the parameters that make pages. Default: all of them do (key.AllQueries).
	Query []string
	// Pages returns the keys that the page of a URL may have: a request of an unsafe method to this proxy has changed it,
	// and its pages are dropped. target is the URL's request target in origin form, on the host of r. Where an origin has
	// several hosts, or several proxies with other lists of parameters, it returns the keys of all; what it returns in
	// vain costs a look each. Default: this proxy's own key.
	Pages func(r *http.Request, target string) []cache.Key
	// Policy says what is stored, and for how long. Default: what declares its freshness.
	Policy httpcache.Policy
	// ClientDirectives has a request's Cache-Control count: a client may ask for a page that was validated just now, or
	// for none that is not stored. Default false: only the origin and the operator decide.
	ClientDirectives bool
	// ClientControl is the Cache-Control of pages that live until they are invalidated and have none of their own.
	// Default static.DefaultCacheControl.
	ClientControl string
	// PageHeaders are sent with every page by another server that answers from the published pages: with all of these headers,
	// and no others, a page is one that it can serve (cache.Meta.Reproduced). Default none.
	PageHeaders http.Header
	// OwnValidators has pages that live until they are invalidated lose their origin's ETag and Last-Modified: their tag is then
	// made of their content, as by other servers that answer from them. Default false: what the origin says is kept.
	OwnValidators bool
	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger
}

// A Proxy is a shared cache (RFC 9111) in front of an HTTP origin. It is safe for concurrent use. Close it.
//
// A page is claimed before the origin is asked, so that an invalidation reaches an answer that is still under way. The
// client whose request asked is sent the answer while it is stored; other requests for the page wait, and are answered
// from the page. What is no page passes through.
type Proxy struct {
	*Cache
	origin     *origin.Origin
	policy     httpcache.Policy
	directives bool
	pages      func(r *http.Request, target string) []cache.Key
	timeout    time.Duration // fetchTimeout, but for tests
	forms      forms

	pageHeaders   http.Header
	ownValidators bool

	ctx        context.Context // of fetches that no client waits for any more
	cancel     context.CancelFunc
	background background
	renews     chan struct{} // holds one element for each renewal in the background
}

// maxRenewals bounds the pages that are renewed in the background at a time. Beyond, requests renew them.
const maxRenewals = 64

// NewProxy returns the proxy, or what is wrong with its options.
func NewProxy(o ProxyOptions) (*Proxy, error) {
	if o.Origin == nil {
		return nil, errors.New("middleware: ProxyOptions.Origin is nil: make one with origin.New")
	}
	if o.Query == nil {
		o.Query = []string{key.AllQueries}
	}
	c, err := New(Options{
		Store: o.Store, Hosts: o.Hosts, Query: o.Query, IgnoreQuery: o.IgnoreQuery, Skipper: o.Skipper, Bypass: o.Bypass, PublicCookies: o.PublicCookies,
		MaxWait: o.MaxWait, Grace: o.Grace, ClientControl: o.ClientControl, Logger: o.Logger,
	})
	if err != nil {
		return nil, err
	}
	if o.Store.Plain() && !o.Policy.UntilInvalidated {
		return nil, fmt.Errorf("middleware: a plain folder has no place for pages that expire: use the policy until-invalidated, or another folder")
	}
	p := &Proxy{Cache: c, origin: o.Origin, policy: o.Policy, directives: o.ClientDirectives, timeout: fetchTimeout, pages: o.Pages, renews: make(chan struct{}, maxRenewals),
		pageHeaders: o.PageHeaders, ownValidators: o.OwnValidators}
	if p.pages == nil {
		p.pages = p.ownPages
	}
	if p.policy.MaxTags == 0 {
		p.policy.MaxTags = o.Store.MaxTags()
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

// Close ends the fetches that may become pages, and returns when nothing goes on in the background. Call it before the
// store is closed. Requests that are under way all the same pass by the cache, or are answered with an error.
func (p *Proxy) Close() {
	p.cancel()
	p.background.close()
}

// An asked is a request for a page.
type asked struct {
	w       http.ResponseWriter
	r       *http.Request
	key     cache.Key // of the URL's first form
	demand  httpcache.Demand
	arrived time.Time
	ended   uint64 // flights of this process, before the first look
}

// ServeHTTP answers from the cache, or from the origin.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k, bypass, err := p.identify(r)
	switch {
	case err != nil:
		p.fail(w, err)
		return
	case bypass == "method" && httpcache.Safe(r.Method):
		p.pass(w, r, "fwd=method")
		return
	case bypass == "method":
		p.change(w, r)
		return
	case bypass != "":
		p.pass(w, r, "fwd=bypass"+detail(bypass))
		return
	}
	switch {
	case ofOrigin(r.Header):
		p.pass(w, r, "fwd=request; detail=condition")
		return
	case wantsEvents(r.Header):
		p.pass(w, r, "fwd=bypass; detail=stream")
		return
	case p.ctx.Err() != nil:
		p.pass(w, r, "fwd=bypass; detail=closed")
		return
	}
	a := &asked{w: w, r: r, key: k, arrived: time.Now(), ended: p.flights.ended.Load()}
	if p.directives {
		a.demand = httpcache.Demands(r.Header)
	}
	if a.demand.NoStore {
		p.pass(w, r, "fwd=request; detail=no-store")
		return
	}
	f, err := p.find(k, r.Header)
	defer f.close() // a client's connection may break, which is a panic
	switch {
	case err == nil && !decodable(r.Header, f.hit.Page):
		p.pass(w, r, "fwd=bypass; detail=encoding")
	case err == nil && p.usable(a, f):
		p.answer(a, f, "hit")
	case errors.Is(err, cache.ErrFenced):
		p.pass(w, r, "fwd=uri-miss; detail=fenced")
	case err != nil && !errors.Is(err, cache.ErrMiss):
		p.trouble.log(p.log, slog.LevelError, "a page can't be looked up; answering past the cache", "key", k, "err", err)
		p.pass(w, r, "fwd=uri-miss; detail=store")
	default:
		p.missing(a, f)
	}
}

// ofOrigin reports whether a request has a condition that only the origin may evaluate (RFC 9111, 4.3.2; RFC 9110, 13.1.1 and
// 13.1.4). What is malformed is none.
func ofOrigin(h http.Header) bool {
	for _, match := range h["If-Match"] {
		if match == "*" || strings.Contains(match, `"`) {
			return true
		}
	}
	for _, since := range h["If-Unmodified-Since"] {
		if _, err := http.ParseTime(since); err == nil {
			return true
		}
	}
	return false
}

// wantsEvents reports whether a request opens a stream of events, as a browser's EventSource does. It has no end, and may be
// silent for longer than an origin is waited for when it is asked for a page.
func wantsEvents(h http.Header) bool {
	return slices.ContainsFunc(h["Accept"], func(line string) bool { return strings.Contains(strings.ToLower(line), "text/event-stream") })
}

// missing answers a request that no page can be used for as it is.
func (p *Proxy) missing(a *asked, f *found) {
	switch {
	case a.demand.OnlyIfCached: // RFC 9111, 5.2.1.7; it is not forwarded, so there is no fwd (RFC 9211, 2.2)
		a.w.Header().Set("Cache-Control", "no-store")
		setStatus(a.w, "detail=only-if-cached")
		http.Error(a.w, "not in the cache, and nothing else was asked for", http.StatusGatewayTimeout)
	case f.page() && !a.demand.NoCache && f.life.MayServeWhileRevalidating(time.Now()) && p.renew(a, f):
		p.answer(a, f, "hit; detail=graced")
	case a.r.Method == http.MethodHead:
		p.head(a, f)
	default:
		p.fetch(a, f)
	}
}

// pass forwards a request past the cache.
func (p *Proxy) pass(w http.ResponseWriter, r *http.Request, status string) {
	setStatus(w, status)
	p.origin.Pass(w, r, func(resp *http.Response) error {
		w.Header().Del("Cache-Status")
		forClient(resp.Header, status)
		return nil
	})
}

// forClient makes the header of an origin's answer one for the client: it adds our part to what caches nearer to the origin
// say (RFC 9211, 2), and takes out what was meant for us alone. Whoever reads that reads it before.
func forClient(h http.Header, parameters string) {
	httpcache.StripForCaches(h)
	h.Add("Cache-Status", "cachesrv; "+parameters)
}
