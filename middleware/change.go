package middleware

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// change forwards a request that may change something, and drops the pages it is about before the client hears of it
// (RFC 9111, 4.4), with the groups that the answer names (RFC 9875, 3). Where nobody knows what became of it, the pages are
// dropped too, without a position; but not if nothing of it has reached the origin.
func (p *Proxy) change(w http.ResponseWriter, r *http.Request) {
	answered, sent := false, true
	setStatus(w, "fwd=method")
	defer func() { // also if the client's connection broke
		if !answered && sent {
			p.dropChanged(r, p.changed(r, http.StatusOK, nil))
		}
	}()
	sent = p.origin.Pass(w, r, func(resp *http.Response) error {
		answered = true
		w.Header().Del("Cache-Status")
		sel := p.changed(r, resp.StatusCode, resp.Header)
		sel.Position, sel.PositionUnknown = p.positionAfter(r, resp.Header)
		p.dropChanged(r, sel)
		forClient(resp.Header, "fwd=method")
		return nil
	})
}

// changed selects what the answer to an unsafe request invalidates, on the request's host.
func (p *Proxy) changed(r *http.Request, status int, received http.Header) (sel cache.Selection) {
	for _, target := range httpcache.Invalidated(r.URL, r.Host, status, received) {
		sel.Keys = append(sel.Keys, p.pages(r, target)...)
	}
	host, err := p.host(r)
	if err != nil || host == "" { // it has no pages here
		return sel
	}
	if sel.Tags, err = httpcache.Groups(received, host); err != nil {
		p.trouble.log(p.log, slog.LevelWarn, "an origin's answer invalidates groups, and nobody knows which; dropping the whole host: "+
			`have it send a list of strings, as in Cache-Group-Invalidation: "a", "b"`, "host", host, "method", r.Method, "err", err)
		sel.Prefixes = []key.Prefix{{Host: host}}
	}
	return sel
}

// positionAfter returns where the origin's database was after a change: what it is read for from now on must contain that.
// Unknown: the answer says where, but so that it can't be read.
func (p *Proxy) positionAfter(r *http.Request, received http.Header) (at position.Vector, unknown bool) {
	at, why := positionOf(received)
	if why != "" {
		p.trouble.log(p.log, slog.LevelWarn, "an origin's answer to a change names a position that can't be read: without --settle, answers that name one "+
			"are not stored until an invalidation has named their source again", "host", r.Host, "method", r.Method, "header", position.Header)
	}
	return at, why != ""
}

// dropChanged drops what a request has changed, if it is anything.
func (p *Proxy) dropChanged(r *http.Request, sel cache.Selection) {
	switch {
	case sel.Empty():
		return
	case len(sel.Keys) > 0:
		sel.Cause = r.Method + " " + sel.Keys[0].String()
	default:
		sel.Cause = r.Method + " on " + r.Host
	}
	p.dropAll(sel)
}

// ownPages returns the key of a URL, if it can have a page here.
func (p *Proxy) ownPages(r *http.Request, target string) []cache.Key {
	host, err := p.host(r)
	if err != nil || host == "" {
		return nil
	}
	k, err := KeyOf(host, target, p.o.Query, p.o.IgnoreQuery)
	if err != nil {
		return nil
	}
	return []cache.Key{k}
}

// KeyOf returns the key under which a proxy with these lists of parameters (ProxyOptions.Query, IgnoreQuery) has the page of
// a request target in origin form, on a host in canonical form; or key.ErrUncacheable or key.ErrInvalid, if it has none.
func KeyOf(host, target string, listed, ignored []string) (k cache.Key, err error) {
	path, query, _ := strings.Cut(target, "?") // by hand: net/url takes "//x/y" for a host and a path
	k.Host = host
	if k.Path, err = key.Path(path); err != nil {
		return k, err
	}
	k.Query, err = key.Query(query, listed, ignored)
	return k, err
}

// drop invalidates pages that are no good any more, though nobody has told of a change.
func (p *Proxy) drop(cause string, keys ...cache.Key) {
	p.dropAll(cache.Selection{Keys: keys, Cause: cause, NoChange: true})
}

// dropAll invalidates. Neither a client that leaves nor Close keeps it from that, as Invalidate is not to be canceled.
func (p *Proxy) dropAll(sel cache.Selection) {
	if _, err := p.o.Store.Invalidate(p.ctx, sel); err != nil {
		p.trouble.log(p.log, slog.LevelError, "pages could not be dropped; fence the cache (cachesrv fence) until that works",
			"keys", sel.Keys, "tags", sel.Tags, "prefixes", sel.Prefixes, "err", err)
	}
}
