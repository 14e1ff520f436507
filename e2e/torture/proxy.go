package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"github.com/cachesrv/cachesrv/e2e/peers"
)

// A ProxySetup is the case of a Config whose target is `cachesrv proxy` before an Origin, and maybe another server before that,
// which serves the published files: then readers go there.
type ProxySetup struct {
	Program string // path of the built cachesrv
	Dir     string // of everything
	Listen  string // HOST:PORT of cachesrv, the same after each restart
	Admin   string // HOST:PORT of its admin listener
	Means   string // ByPurge, ByTags, BySoft, ByAPI, or ByRemoval
	Front   string // nginx or caddy; empty: none
	At      string // HOST:PORT of the front
	Flags   []string

	Control string                   // of cache/fault; empty: built right
	Spoil   func(conf string) string // changes the front's configuration, for a control; nil: it is as printed

	Patience time.Duration // of committers whose invalidation fails; default: none
	Render   time.Duration // longest; default 20 ms
	Load     Load
	Log      io.Writer // of the programs; default: discarded
}

// ByRemoval means two bare unlinks in a plain folder.
const ByRemoval = "bare rm"

// A Proxied is a started ProxySetup.
type Proxied struct {
	Config
	Proxy  *Application // cachesrv
	Front  *Application // nil: none
	Origin *Origin
	Over   *OverHTTP // nil: ByRemoval
}

// Start starts the origin, cachesrv, and the front. Close ends what was started, also after an error.
func (s ProxySetup) Start(ctx context.Context) (p *Proxied, err error) {
	defaultTo(&s.Render, 20*time.Millisecond)
	s.Load = s.Load.withDefaults()
	plain := s.Means == ByRemoval
	// Pages with a header of their own are private: behind a front, which is to serve all, there are none.
	site := Site{Host: "torture.test", Pages: s.Load.Pages, Size: s.Load.Size, Extra: !plain && s.Front == ""}
	p = &Proxied{Origin: &Origin{Site: site, Render: s.Render}}
	if err := p.Origin.Start(); err != nil {
		return p, err
	}
	folder := &Folder{Dir: filepath.Join(s.Dir, "data"), Live: filepath.Join(s.Dir, "live")}
	flags := append([]string{
		"--listen", s.Listen, "--dir", folder.Dir, "--live", folder.Live, "--host", site.Host, "--admin", s.Admin,
		"--origin", "http://" + p.Origin.Address(), "--policy", "until-invalidated", "--grace", "1m", fmt.Sprintf("--plain=%t", plain),
	}, s.Flags...)
	p.Proxy = &Application{Name: "proxy", Path: s.Program, Args: append([]string{"proxy"}, flags...), Announced: announcedURL, Log: s.Log}
	if s.Control != "" {
		p.Proxy.Env = []string{"CACHESRV_CONTROL=" + s.Control}
	}
	p.Config = Config{Load: s.Load, Target: p.Proxy, Source: p.Origin, Site: site, Folder: folder, Control: s.Control}
	if plain {
		p.Commit = &Unlink{Plain: p.Origin, Folder: folder, Site: site, Every: 20}
	} else {
		p.Over = &OverHTTP{Origin: p.Origin, Cache: p.Proxy.BaseURL, Admin: "http://" + s.Admin, Means: s.Means, Patience: s.Patience}
		p.Commit = p.Over
	}
	if err := p.Proxy.Start(ctx); err != nil {
		return p, err
	}
	if s.Front == "" {
		return p, nil
	}
	return p, s.startFront(ctx, p, flags)
}

// startFront starts another server with the configuration that cachesrv prints for it.
func (s ProxySetup) startFront(ctx context.Context, p *Proxied, flags []string) error {
	run := peers.Nginx
	if s.Front == "caddy" {
		run = peers.Caddy
	}
	conf := &Application{Path: p.Proxy.Path}
	text, err := conf.Command(ctx, append([]string{"conf", s.Front, "--address", s.At}, flags...)...)
	if err != nil {
		return err
	}
	if s.Spoil != nil {
		text, p.Control = s.Spoil(text), "the front's configuration"
	}
	server, err := run(filepath.Join(s.Dir, s.Front), s.At, text)
	if err != nil {
		return err
	}
	p.Front = applicationOf(server, s.Log)
	p.Target = &fronted{p.Proxy, p.Front}
	return p.Front.Start(ctx)
}

// Close ends everything.
func (p *Proxied) Close() error {
	var errs []error
	for _, a := range []*Application{p.Front, p.Proxy} {
		if a != nil {
			errs = append(errs, a.Kill())
		}
	}
	if p.Origin.server != nil {
		errs = append(errs, p.Origin.Close())
	}
	return errors.Join(errs...)
}

// A fronted target is cachesrv, to faults; to readers it is the server before it.
type fronted struct {
	*Application
	front *Application
}

func (f *fronted) BaseURL() string { return f.front.BaseURL() }
func (f *fronted) String() string  { return f.front.Name + " before " + f.Application.Name }
