package pkgindex

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/serve"
)

// Options say what to serve.
type Options struct {
	Config conf.Config  // validated
	Demo   bool         // fill an empty index with sample projects. Default false
	Logger *slog.Logger // required
	Stdout io.Writer    // where the URL and what to try are printed; required

	Process serve.Process // how we were started
}

// Serve runs the index until ctx ends; then it lets requests under way finish, within 10 s. The order matters: the
// store opens fenced, the catalog replays what the database has committed meanwhile and lifts that fence, and only
// then does anyone get an answer. At the end it is the other way round: no request is left when the catalog is closed,
// and no commit when the store is.
func Serve(ctx context.Context, o Options) (err error) {
	c := o.Config
	if c.Plain {
		return fmt.Errorf("%w: leave --plain (CACHESRV_PLAIN) out", ErrPlain)
	}
	store, err := serve.OpenStore(ctx, c, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	cat, err := Open(ctx, store, c.Database, c.Uploads, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cat.Close()) }()

	token := ""
	if o.Demo {
		if token, err = prepareDemo(ctx, cat, store.Dir(), o.Logger); err != nil {
			return stopped(ctx, err)
		}
	}
	ln, err := serve.Listen(ctx, c.Serve, o.Process)
	if err != nil {
		return err
	}
	defer ln.Close()
	purging := &serve.Purging{Store: store, Logger: o.Logger}
	servers, err := serve.Admin(ctx, c.Admin, o.Process, purging, cat.Ping)
	if err != nil {
		return err
	}
	for _, s := range servers {
		defer s.Listener.Close()
	}
	b := &builder{store: store, cat: cat, ln: ln, purging: purging, log: o.Logger}
	first, err := b.build(c)
	if err != nil {
		return err
	}
	eras := serve.NewEras(first)
	defer eras.Close()
	if err := first.Maker.DropOthers(ctx, store, o.Logger); err != nil {
		return err
	}
	if err := greet(o.Stdout, ln.Base, c, token); err != nil {
		return err
	}
	servers = append(servers, ln.Servers(func(socket net.Listener) serve.Server {
		return serve.Site(socket, serve.AnswerProbes(store, eras), o.Logger)
	})...)
	return serve.Run(ctx, serve.Running{
		Process: o.Process, Store: store, Listener: ln, Logger: o.Logger, Eras: eras, Settings: c, Takes: takes(), Build: b.build,
	}, servers...)
}

// stopped returns err, or nil when it comes from being asked to stop.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// greet prints where the index is and what to do with it. token is the demo's; "" without.
func greet(w io.Writer, base string, c conf.Config, token string) error {
	if _, err := fmt.Fprintf(w, "cachesrv index: %s/   data: %s   stop: Ctrl-C\n\n", base, c.Dir); err != nil {
		return err
	}
	if token != "" {
		return greetDemo(w, base, c, token)
	}
	_, err := fmt.Fprintf(w, `Who uploads needs a token (once per user: cachesrv user add NAME %[2]s):
  cachesrv token add --user NAME %[2]s
  twine upload --repository-url %[1]s/legacy/ -u __token__ -p TOKEN dist/*
  pip install --index-url %[3]s/simple/ PROJECT

`, base, conf.SiteFlags(c.Folder, c.Database), withCredentials(base, c.Private, "TOKEN"))
	return err
}

// withCredentials adds to the URL what pip needs to read a private index.
func withCredentials(base string, private bool, token string) string {
	if !private {
		return base
	}
	return "http://__token__:" + token + "@" + base[len("http://"):]
}
