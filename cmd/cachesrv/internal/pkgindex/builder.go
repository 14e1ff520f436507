package pkgindex

import (
	"log/slog"
	"net/http"
	"path/filepath"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/invalidate/purge"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render/index"
	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/static/assets"
)

// builder makes the eras of an index: what answers under some settings. They share what needs a restart to change.
type builder struct {
	store   *cache.Store
	cat     *catalog.Catalog
	ln      *serve.Listener
	purging *serve.Purging
	log     *slog.Logger
}

// takes lists the settings that a new era can have.
func takes() []string {
	return append(conf.Keys(conf.Index{}), "rules", "hosts", "purge-token-file", "purge-from")
}

// build makes an era. Nothing that is in use is changed.
func (b *builder) build(c conf.Config) (*serve.Era, error) {
	ln := b.ln.Renamed(c.Hosts)
	site, err := b.site(c)
	if err != nil {
		return nil, err
	}
	closeSite := func() {
		if err := site.Close(); err != nil {
			b.log.Warn("the folder of files could not be closed", "err", err)
		}
	}
	front, err := b.cached(site, ln.Hosts, c)
	if err == nil {
		front.purger, err = b.purging.Site(c.Serve, front.pages.Pages(ln.Hosts[0]))
	}
	if err != nil {
		closeSite()
		return nil, err
	}
	return &serve.Era{
		Handler: serve.OnlyHosts(ln.Hosts, front.purger.Wrap(front.handler)),
		Maker:   serve.Maker{Site: "index", Rules: c.Rules, Settings: c.Index},
		Retire:  func() { front.simple.Retire(); front.pages.Retire() },
		Close:   closeSite,
	}, nil
}

func (b *builder) site(c conf.Config) (*index.Site, error) {
	upstream, err := c.UpstreamURL()
	if err != nil {
		return nil, err
	}
	return index.New(index.Options{
		Catalog: b.cat, Files: filepath.Join(b.store.Dir(), "files"), Title: c.Title, Private: c.Private,
		Upstream: upstream, OmitSerial: c.SerialHeader == "off", MaxFile: int64(c.UploadMax),
		Asset: assets.URL, Assets: assets.Handler(), Logger: b.log,
	})
}

// A front is the site with its caches: two over the one store, as pages of the simple API have variants and pages for people
// have none.
type front struct {
	handler       http.Handler
	purger        *purge.Handler
	simple, pages *serve.Ways
}

// cached puts the caches into the site.
func (b *builder) cached(site *index.Site, hosts []string, c conf.Config) (f front, err error) {
	people := middleware.Options{Store: b.store, Hosts: hosts, Logger: b.log}
	if c.Private {
		people.Authorize = index.Authorize
	}
	simple := people
	simple.Variant, simple.Vary = index.Variant, index.Vary()
	if f.simple, err = serve.NewWays(simple, c.Rules); err != nil {
		return f, err
	}
	if f.pages, err = serve.NewWays(people, c.Rules); err != nil {
		return f, err
	}
	f.handler = site.Handler(index.Caches{Simple: f.simple.Handler, Pages: f.pages.Handler})
	return f, nil
}
