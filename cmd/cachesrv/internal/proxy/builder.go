package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
)

// builder makes the eras of a proxy: what answers under some settings. They share what needs a restart to change.
type builder struct {
	store       *cache.Store
	ln          *serve.Listener
	purging     *serve.Purging
	certificate *serve.Certificate // nil: no TLS
	log         *slog.Logger
	newest      atomic.Pointer[sites]
}

// takes lists the settings that a new era can have. How long purged pages settle is the store's.
func takes() []string {
	keys := append(conf.Keys(conf.Proxy{}), "rules", "hosts", "purge-token-file", "purge-from")
	return slices.DeleteFunc(keys, func(key string) bool { return key == "settle" })
}

// errTLS says that a listener can't become one of TLS, or stop being one.
var errTLS = errors.New("tls-cert has come, or gone: going from HTTP to HTTPS or back needs a restart")

// build makes an era. Nothing that is in use is changed, before the era begins.
func (b *builder) build(c conf.Config) (*serve.Era, error) {
	if err := check(c); err != nil {
		return nil, err
	}
	if (c.TLSCert != "") != (b.certificate != nil) {
		return nil, errTLS
	}
	engine := newEngine(c, b.store, b.log)
	engine.newest = &b.newest
	sites, err := newSites(c, b.ln.Renamed(c.Hosts), engine.handler)
	if err == nil {
		engine.sites = sites
		sites.purge, err = b.purging.Site(c.Serve, engine.pages)
	}
	var handler http.Handler
	if err == nil {
		handler, err = behindFront(c.Proxy, sites)
	}
	var renewed func()
	if err == nil && b.certificate != nil {
		renewed, err = b.certificate.Renew(c.TLSCert, c.TLSKey)
	}
	if err != nil {
		engine.close()
		return nil, err
	}
	return &serve.Era{
		Handler: handler,
		Maker:   serve.Maker{Site: "proxy", Rules: c.Rules, Settings: pageSettings(c)},
		Begin: func() {
			b.newest.Store(sites)
			if renewed != nil {
				renewed()
			}
		},
		Retire: engine.retire,
		Close:  engine.close,
	}, nil
}
