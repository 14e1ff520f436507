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
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/admin"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// Options say what to serve.
type Options struct {
	Config conf.Config // validated
	// RenderDelay is the most that a render takes longer than it needs, by chance, after its snapshot. Default 0.
	RenderDelay time.Duration
	Logger      *slog.Logger // required
	Stdout      io.Writer    // where the URL and what to try are printed; required
}

// Bounds of a request; a slow or endless client holds nothing longer, or more.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	stopTimeout    = 10 * time.Second // for requests under way when the program is asked to stop
)

// Serve runs the site until ctx ends; then it lets requests under way finish, within 10 s. The order matters: the
// store opens fenced, the hooks replay what the database has committed meanwhile and lift that fence, and only then
// does anyone get an answer.
func Serve(ctx context.Context, o Options) (err error) {
	c := o.Config
	store, err := cache.Open(ctx, cache.Options{
		Dir: c.Dir, Live: c.Live, Plain: c.Plain, MaxBytes: int64(c.MaxBytes), MaxPages: int64(c.MaxPages),
		MinFree: int64(c.MinFree), MemoryBytes: int64(c.Memory), PageMax: int64(c.PageMax), Logger: o.Logger,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	book, err := openNotebook(ctx, store, c.DB, o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, book.Close()) }()

	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("%w: choose another --listen, or stop what uses it", err)
	}
	defer ln.Close()
	hosts, here := siteHosts(ln.Addr().(*net.TCPAddr), c.Hosts)
	site := &site{book: book, base: "http://" + here, delay: o.RenderDelay, log: o.Logger}
	handler, err := site.handler(store, hosts, c.Rules)
	if err != nil {
		return err
	}
	servers := []server{{ln, &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ErrorLog: slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
	}}}
	if c.Admin != "" {
		adminLn, err := admin.Listen(ctx, c.Admin)
		if err != nil {
			return err
		}
		defer adminLn.Close()
		servers = append(servers, server{adminLn, &http.Server{
			Handler:           admin.Handler(admin.NewRegistry(store.Stats), serving(store), book.Ping),
			ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		}})
	}
	if err := greet(o.Stdout, site.base, c); err != nil {
		return err
	}
	return serveAll(ctx, servers)
}

// serving says why nothing is served from the cache, if so.
func serving(store *cache.Store) admin.Check {
	return func(context.Context) error {
		if reason, fenced := store.FencedBy(); fenced {
			return fmt.Errorf("the cache is fenced: %s", reason)
		}
		if !store.Stats().Serving {
			return errors.New("this program does not serve from the cache: see its log")
		}
		return nil
	}
}

type server struct {
	ln net.Listener
	*http.Server
}

// serveAll serves until ctx ends or a server fails, and then stops all of them.
func serveAll(ctx context.Context, servers []server) error {
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.Serve(s.ln) }()
	}
	var errs []error
	running := len(servers)
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
		running--
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	for _, s := range servers {
		if s.Shutdown(stop) != nil {
			_ = s.Close() // its requests have had their time
		}
	}
	for range running {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// siteHosts lists the names the site answers to; the first is the one in keys. A name given without a port is good
// with the listener's too, as that is how it is reached without a proxy in front. here is a name that leads to the
// listener from this machine.
func siteHosts(addr *net.TCPAddr, names []string) (hosts []string, here string) {
	add := func(name string) {
		if host, err := key.Host(name); err == nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	port := strconv.Itoa(addr.Port)
	for _, name := range names {
		add(name)
	}
	for _, name := range names {
		add(name + ":" + port) // no host name, and not added, if it has a port already
	}
	here = "127.0.0.1:" + port
	if !addr.IP.IsUnspecified() {
		here = addr.String()
	}
	for _, name := range []string{here, "127.0.0.1:" + port, "localhost:" + port, "[::1]:" + port} {
		add(name)
	}
	return hosts, here
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
