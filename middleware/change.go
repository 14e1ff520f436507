package middleware

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/render/httpcache"
)

// change forwards a request that may change something, and drops the pages it is about before the client hears of it
// (RFC 9111, 4.4). Where nobody knows what became of it, they are dropped too; but not if nothing of it has reached the
// origin.
func (p *Proxy) change(w http.ResponseWriter, r *http.Request) {
	answered, sent := false, true
	setStatus(w, "fwd=method")
	defer func() { // also if the client's connection broke
		if !answered && sent {
			p.dropURLs(r, httpcache.Invalidated(r.URL, r.Host, http.StatusOK, nil))
		}
	}()
	sent = p.origin.Pass(w, r, func(resp *http.Response) error {
		answered = true
		w.Header().Del("Cache-Status")
		addStatus(resp.Header, "fwd=method")
		p.dropURLs(r, httpcache.Invalidated(r.URL, r.Host, resp.StatusCode, resp.Header))
		return nil
	})
}

// dropURLs drops the pages of URLs on the host of a request.
func (p *Proxy) dropURLs(r *http.Request, urls []string) {
	var keys []cache.Key
	for _, target := range urls {
		keys = append(keys, p.pages(r, target)...)
	}
	if len(keys) > 0 {
		p.drop(r.Method+" "+keys[0].String(), keys...)
	}
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

// drop invalidates pages. Neither a client that leaves nor Close keeps it from that, as Invalidate is not to be canceled.
func (p *Proxy) drop(cause string, keys ...cache.Key) {
	if _, err := p.o.Store.Invalidate(p.ctx, cache.Selection{Keys: keys, Cause: cause}); err != nil {
		p.trouble.log(p.log, slog.LevelError, "pages could not be dropped; fence the cache (cachesrv fence) until that works", "keys", keys, "err", err)
	}
}
