// Package proxy puts a proxy together: page store, origins, one cache for each origin and rule, hosts, and servers. (What
// a request gets is decided by middleware.Proxy.)
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/rules"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
)

// Options say what to serve.
type Options struct {
	Config conf.Config  // validated
	Logger *slog.Logger // required
	Stdout io.Writer    // where the URL and what to try are printed; required

	Process serve.Process // how we were started
}

// Errors of settings that don't fit together.
var (
	ErrNoOrigin = errors.New("no origin: name the site to stand in front of with --origin http://127.0.0.1:9000 " +
		"(or CACHESRV_ORIGIN, or origins in the file)")
	ErrPlain = errors.New("a plain folder holds no page that expires, and with the policy explicit all do: " +
		"choose --policy until-invalidated, or leave --plain out")
)

// Serve runs the proxy until ctx ends; then it lets requests under way finish, within 10 s. Nothing has to be replayed
// before the fence is lifted: what invalidates these pages does so in the folder, whether or not we run.
func Serve(ctx context.Context, o Options) (err error) {
	c := o.Config
	if err := check(c); err != nil {
		return err
	}
	var certificate *serve.Certificate
	if c.TLSCert != "" {
		if certificate, err = serve.LoadCertificate(c.TLSCert, c.TLSKey, o.Logger); err != nil {
			return err
		}
	}
	store, err := serve.OpenStore(ctx, c, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	ln, err := serve.Listen(ctx, c.Serve, o.Process)
	if err != nil {
		return err
	}
	defer ln.Close()
	purging := &serve.Purging{Store: store, Logger: o.Logger}
	b := &builder{store: store, ln: ln, purging: purging, certificate: certificate, log: o.Logger}
	first, err := b.build(c)
	if err != nil {
		return err
	}
	eras := serve.NewEras(first)
	defer eras.Close()
	servers, err := serve.Admin(ctx, c.Admin, o.Process, purging)
	if err != nil {
		return err
	}
	for _, s := range servers {
		defer s.Listener.Close()
	}
	// Before anyone is served: a page that is not stored any more must not be answered either.
	if err := first.Maker.DropOthers(ctx, store, o.Logger); err != nil {
		return err
	}
	if err := store.Unfence(ctx); err != nil {
		return err
	}
	if err := greet(o.Stdout, ln.Base, c); err != nil {
		return err
	}
	servers = append(servers, ln.Servers(func(socket net.Listener) serve.Server {
		return serve.Stream(socket, certificate, serve.AnswerProbes(store, eras), o.Logger)
	})...)
	return serve.Run(ctx, serve.Running{
		Process: o.Process, Store: store, Listener: ln, Logger: o.Logger, Eras: eras, Settings: c, Takes: takes(), Build: b.build,
	}, servers...)
}

// check says which settings don't fit together.
func check(c conf.Config) error {
	switch {
	case len(c.Origins) == 0:
		return ErrNoOrigin
	case c.Plain && c.Policy == rules.Explicit:
		return ErrPlain
	}
	return nil
}

// pageSettings returns what pages depend on. Origins are told by which scheme they are asked, and may redirect from one to the
// other; which certificate there is, is no matter.
func pageSettings(c conf.Config) conf.Proxy {
	settings := c.Proxy
	settings.TLSKey, settings.OriginTimeout = "", 0
	settings.Settle = 0 // the store sees to that
	settings.PublicScheme = c.Scheme()
	if settings.TLSCert != "" {
		settings.TLSCert = "TLS"
	}
	return settings
}

// greet prints where the proxy is, what it relies on, and what to do with it.
func greet(w io.Writer, base string, c conf.Config) error {
	if c.TLSCert != "" {
		base = "https://" + strings.TrimPrefix(base, "http://")
	}
	trust := "Origins are taken to read their primary database: what they answer after an invalidation contains the change."
	if c.Settle > 0 {
		trust = fmt.Sprintf("Origins are taken to lag behind an invalidation by less than %v: so long, what it drops is not stored again.", c.Settle)
	}
	_, err := fmt.Fprintf(w, `cachesrv proxy: %[1]s/   origin: %[2]s   pages: %[3]s/cache   stop: Ctrl-C

%[4]s

Try:
  curl -si %[1]s/ | grep -i ^cache-status       # stored, then hits; or why it is not stored
  cachesrv ls --dir %[3]s
  cachesrv purge --dir %[3]s --prefix /

`, base, c.Origins, c.Dir, trust)
	return err
}
