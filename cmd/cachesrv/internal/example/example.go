// Package example is a small site for trying the cache: notes in a database, pages from the cache, changes committed
// through the hooks. It is also what the tests of the whole program kill, restart and compare.
package example

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
)

// Options say what to serve.
type Options struct {
	Config conf.Config // validated
	// RenderDelay is the most that a render takes longer than it needs, by chance, after its snapshot. Default 0.
	RenderDelay time.Duration
	Logger      *slog.Logger // required
	Stdout      io.Writer    // where the URL and what to try are printed; required
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

	ln, err := serve.Listen(ctx, c.Serve)
	if err != nil {
		return err
	}
	defer ln.Close()
	site := &site{book: book, base: ln.Base, delay: o.RenderDelay, log: o.Logger}
	handler, err := site.handler(store, ln.Hosts, c.Rules)
	if err != nil {
		return err
	}
	maker := serve.Maker{Site: "example", Host: ln.Hosts[0], Rules: c.Rules}
	if err := maker.DropOthers(ctx, store, o.Logger); err != nil {
		return err
	}
	servers, err := serve.Admin(ctx, c.Admin, store, book.Ping)
	if err != nil {
		return err
	}
	for _, s := range servers {
		defer s.Listener.Close()
	}
	if err := greet(o.Stdout, site.base, c); err != nil {
		return err
	}
	return serve.All(ctx, append(servers, serve.Site(ln, handler, o.Logger))...)
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
