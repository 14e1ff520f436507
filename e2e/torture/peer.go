package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/e2e/peers"
)

// A PeerSetup is the case of a Config whose target is a cache of another make before an Origin.
type PeerSetup struct {
	Dir    string
	Listen string // HOST:PORT
	Make   string // one of Makes
	Render time.Duration
	Load   Load
	Log    io.Writer
}

// Makes lists the caches of other makes, as they are set up.
func Makes() []string { return []string{"nginx", "nginx, lock", "varnish", "squid"} }

// Start starts the origin and the cache.
func (s PeerSetup) Start(ctx context.Context) (p *Proxied, err error) {
	defaultTo(&s.Render, 20*time.Millisecond)
	s.Load = s.Load.withDefaults()
	site := Site{Host: "torture.test", Pages: s.Load.Pages, Size: s.Load.Size, Extra: true}
	p = &Proxied{Origin: &Origin{Site: site, Render: s.Render, ForPeers: true}}
	if err := p.Origin.Start(); err != nil {
		return p, err
	}
	var server peers.Server
	switch s.Make {
	case "nginx", "nginx, lock":
		server, err = peers.NginxCache(s.Dir, s.Listen, p.Origin.Address(), s.Make == "nginx, lock")
	case "varnish":
		server, err = peers.Varnish(s.Dir, s.Listen, p.Origin.Address())
	case "squid":
		server, err = peers.Squid(s.Dir, s.Listen, p.Origin.Address())
	default:
		err = fmt.Errorf("no cache is called %q", s.Make)
	}
	if err != nil {
		return p, err
	}
	p.Proxy = applicationOf(server, s.Log)
	p.Config = Config{Load: s.Load, Target: p.Proxy, Source: p.Origin, Site: site, Control: "another make's"}
	p.Over = &OverHTTP{Origin: p.Origin, Cache: p.Proxy.BaseURL, Means: ByPurge, Unknown: s.Make == "squid"}
	p.Commit = p.Over
	if strings.HasPrefix(s.Make, "nginx") {
		p.Commit = removal{p.Origin, func(page int) string { return peers.NginxCacheFile(s.Dir, site.Path(page)) }}
	}
	return p, p.Proxy.Start(ctx)
}

// A removal commits at the origin, and then unlinks the file in which a cache keeps the page: what users of nginx do, who don't
// have its commercial purge.
type removal struct {
	origin *Origin
	file   func(page int) string
}

func (r removal) String() string { return "file unlinked" }

// Commit returns when the file is gone.
func (r removal) Commit(ctx context.Context, page int) (Commit, error) {
	c, err := r.origin.Commit(ctx, page)
	if err != nil {
		return c, err
	}
	began := time.Now()
	if err := os.Remove(r.file(page)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return c, err
	}
	c.Invalidation = time.Since(began)
	return c, nil
}

// applicationOf runs a server of another make.
func applicationOf(s peers.Server, log io.Writer) *Application {
	return &Application{Name: s.Name, Path: s.Path, Args: s.Args, Env: s.Env, Listens: s.Address, Log: log}
}
