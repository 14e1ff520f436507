// Command app is the application that e2e/torture tortures: numbered pages whose versions lie in a database, and commits
// that raise them. On PostgreSQL it is an Echo application with pgx hooks, on SQLite a net/http application with
// database/sql hooks. It ends on SIGTERM, or when its standard input is closed.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/labstack/echo/v4"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/e2e/torture"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

type options struct {
	DB     string        `required:"" help:"postgres://… (Echo and pgx) or the path of an SQLite database (net/http and database/sql)."`
	Dir    string        `required:"" help:"Folder that holds the cache."`
	Live   string        `help:"Where the live link lies."`
	Plain  bool          `help:"Create a plain folder."`
	Listen string        `default:"127.0.0.1:0" help:"Address to listen on."`
	Host   string        `default:"torture.test" help:"Name of the site."`
	Pages  int           `default:"64" help:"Number of pages."`
	Size   int           `default:"15000" help:"Bytes of a page."`
	Extra  bool          `help:"Give odd pages a header of their own."`
	Render time.Duration `default:"20ms" help:"Longest render; the shortest takes no time."`
	Chunks int           `default:"3" help:"Writes that a body takes, spread over the second half of the render."`
}

func main() {
	var o options
	kong.Parse(&o, kong.Description("The application that e2e/torture tortures."))
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	go func() { // ends with the program, or ends it
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "app:", err)
		os.Exit(1)
	}
}

// An application serves pages from a database.
type application struct {
	options
	site torture.Site
	db   database
}

// A database holds the pages' versions.
type database interface {
	version(ctx context.Context, page int) (int64, error)
	// commit raises a page's version. What the selection names is invalidated through the hooks before it returns; an
	// empty one commits without them.
	commit(ctx context.Context, page int, s cache.Selection) (int64, error)
	close() error
}

func run(ctx context.Context, o options, stdout io.Writer) (err error) {
	store, err := cache.Open(ctx, cache.Options{Dir: o.Dir, Live: o.Live, Plain: o.Plain})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	open, onPostgres := openSQLite, torture.Database{DSN: o.DB}.IsPostgres()
	if onPostgres {
		open = openPostgres
	}
	db, err := open(ctx, o.DB, o.Pages, timed{store}) // replays what a crash left undone
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.close()) }()
	if err := store.Unfence(ctx); err != nil {
		return err
	}
	c, err := middleware.New(middleware.Options{Store: store, Hosts: []string{o.Host}})
	if err != nil {
		return err
	}
	a := &application{options: o, db: db, site: torture.Site{Host: o.Host, Pages: o.Pages, Size: o.Size, Extra: o.Extra}}
	handler := a.plain(c)
	if onPostgres {
		handler = a.echo(c)
	}
	return serve(ctx, o.Listen, handler, stdout)
}

func serve(ctx context.Context, address string, h http.Handler, stdout io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return err
	}
	server := http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(slog.Default().Handler(), slog.LevelWarn)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	if _, err := fmt.Fprintf(stdout, "%s%s\n", torture.Announcement, l.Addr()); err != nil {
		return err
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if server.Shutdown(grace) != nil { // it waits 5 s for connections on which nothing was ever sent
		return server.Close()
	}
	return nil
}

// echo is the application on Echo.
func (a *application) echo(c *middleware.Cache) http.Handler {
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.Use(c.Echo())
	numbered := func(f func(http.ResponseWriter, *http.Request, string) error) echo.HandlerFunc {
		return func(c echo.Context) error { return f(c.Response(), c.Request(), c.Param("page")) }
	}
	e.GET("/s/:page/page", numbered(a.show))
	e.HEAD("/s/:page/page", numbered(a.show))
	e.POST("/commit/:page", numbered(a.commit))
	return e
}

// plain is the application on net/http.
func (a *application) plain(c *middleware.Cache) http.Handler {
	mux := http.NewServeMux()
	numbered := func(f func(http.ResponseWriter, *http.Request, string) error) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if err := f(w, r, r.PathValue("page")); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		}
	}
	mux.Handle("GET /s/{page}/page", numbered(a.show))
	mux.Handle("POST /commit/{page}", numbered(a.commit))
	return c.Handler(mux)
}

// show renders a page: it reads the version, takes its time, and writes. Whatever is committed after the read makes what
// it writes old.
func (a *application) show(w http.ResponseWriter, r *http.Request, number string) error {
	page, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	render.Tags(r.Context(), "all-pages", a.site.Tag(page))
	version, err := a.db.version(r.Context(), page)
	if err != nil {
		return err
	}
	if a.site.HasExtra(page) {
		w.Header().Set(torture.ExtraHeader, a.site.ExtraValue(page, version))
	}
	w.Header().Set("Content-Type", torture.ContentType)
	total := rand.N(a.Render + 1)
	time.Sleep(total / 2)
	body := a.site.Body(page, version)
	for n := range a.Chunks {
		if _, err := w.Write(body[len(body)*n/a.Chunks : len(body)*(n+1)/a.Chunks]); err != nil {
			return err
		}
		if n+1 < a.Chunks {
			time.Sleep(total / 2 / time.Duration(a.Chunks))
		}
	}
	return nil
}

// commit gives a page its next version, and answers when the hook has returned.
func (a *application) commit(w http.ResponseWriter, r *http.Request, number string) error {
	page, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	s, err := a.selection(page, r.URL.Query().Get("by"))
	if err != nil {
		return err
	}
	var answer torture.CommitAnswer
	ctx := context.WithValue(r.Context(), stopwatch{}, &answer.Invalidation)
	if answer.Version, err = a.db.commit(ctx, page, s); err != nil {
		return err
	}
	return json.NewEncoder(w).Encode(answer)
}

func (a *application) selection(page int, by string) (cache.Selection, error) {
	switch by {
	case "key":
		return cache.Selection{Keys: []cache.Key{a.site.Key(page)}}, nil
	case "tag":
		return cache.Selection{Tags: []string{a.site.Tag(page)}}, nil
	case "prefix":
		return cache.Selection{Prefixes: []key.Prefix{{Host: a.Host, Path: a.site.Prefix(page)}}}, nil
	case "nothing":
		return cache.Selection{}, nil
	}
	return cache.Selection{}, fmt.Errorf("by=%q: it must be key, tag, prefix or nothing", by)
}

// timed is a store that tells a commit how long its invalidation took.
type timed struct{ *cache.Store }

// stopwatch is the key of a commit's *time.Duration in its context.
type stopwatch struct{}

func (t timed) Invalidate(ctx context.Context, s cache.Selection) (cache.Dropped, error) {
	began := time.Now()
	d, err := t.Store.Invalidate(ctx, s)
	if took, ok := ctx.Value(stopwatch{}).(*time.Duration); ok {
		*took = time.Since(began)
	}
	return d, err
}
