// Package example is a small site for trying the cache: notes in a database, pages from the cache, changes committed
// through the hooks. It is also what the tests of the whole program kill, restart and compare.
package example

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
	"github.com/cachesrv/cachesrv/middleware"
)

// Options say what to serve.
type Options struct {
	Config conf.Config // validated
	// RenderDelay is the most that a render takes longer than it needs, by chance, after its snapshot. Default 0.
	RenderDelay time.Duration
	Logger      *slog.Logger // required
	Stdout      io.Writer    // where the URL and what to try are printed; required

	Process serve.Process // how we were started
}

// Serve runs the site until ctx ends; then it lets requests under way finish, within 10 s. The order matters: the
// store opens fenced, the hooks replay what the database has committed meanwhile and lift that fence, and only then
// does anyone get an answer.
func Serve(ctx context.Context, o Options) (err error) {
	c := o.Config
	store, err := serve.OpenStore(ctx, c, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	book, err := openNotebook(ctx, store, c.DB, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()

	ln, err := serve.Listen(ctx, c.Serve, o.Process)
	if err != nil {
		return err
	}
	defer ln.Close()
	purging := &serve.Purging{Store: store, Logger: o.Logger}
	build := func(c conf.Config) (*serve.Era, error) {
		ln := ln.Renamed(c.Hosts)
		ways, err := serve.NewWays(middleware.Options{Store: store, Hosts: ln.Hosts, Logger: o.Logger}, c.Rules)
		if err != nil {
			return nil, err
		}
		purger, err := purging.Site(c.Serve, ways.Pages(ln.Hosts[0]))
		if err != nil {
			return nil, err
		}
		site := &site{book: book, base: "http://" + ln.Hosts[0], delay: o.RenderDelay, log: o.Logger}
		return &serve.Era{
			Handler: serve.OnlyHosts(ln.Hosts, purger.Wrap(site.handler(ways))),
			Maker:   serve.Maker{Site: "example", Rules: c.Rules},
			Retire:  ways.Retire,
		}, nil
	}
	first, err := build(c)
	if err != nil {
		return err
	}
	eras := serve.NewEras(first)
	defer eras.Close()
	if err := first.Maker.DropOthers(ctx, store, o.Logger); err != nil {
		return err
	}
	servers, err := serve.Admin(ctx, c.Admin, o.Process, purging, book.Ping)
	if err != nil {
		return err
	}
	for _, s := range servers {
		defer s.Listener.Close()
	}
	if err := greet(o.Stdout, ln.Base, c); err != nil {
		return err
	}
	servers = append(servers, ln.Servers(func(socket net.Listener) serve.Server {
		return serve.Site(socket, serve.AnswerProbes(store, eras), o.Logger)
	})...)
	return serve.Run(ctx, serve.Running{
		Process: o.Process, Store: store, Listener: ln, Logger: o.Logger, Eras: eras, Settings: c, Build: build,
		Takes: []string{"rules", "hosts", "purge-token-file", "purge-from"},
	}, servers...)
}

func greet(w io.Writer, base string, c conf.Config) error {
	_, err := fmt.Fprintf(w, `cachesrv example: %[1]s/   pages: %[2]s/cache   stop: Ctrl-C

Try:
  curl -si %[1]s/ | grep -i ^cache-status       # first a fill, then hits
  curl -d text='Buy milk' %[1]s/notes          # the commit drops the list
  curl -X PUT -d text='Buy tea' %[1]s/notes/1  # and here the note, too
  cachesrv ls --dir %[2]s
  cachesrv purge --dir %[2]s --tag all-notes

`, base, c.Dir)
	return err
}
