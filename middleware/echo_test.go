package middleware_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/labstack/echo/v4"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

// newEcho returns an Echo application with the cache mounted, and a site that sends it requests.
func newEcho(t *testing.T, o middleware.Options) (*echo.Echo, *site) {
	t.Helper()
	if o.Store == nil {
		o.Store = newStore(t)
	}
	o.Logger = slog.New(slog.DiscardHandler)
	c, err := middleware.New(o)
	if err != nil {
		t.Fatal(err)
	}
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	return e, &site{t: t, store: o.Store, Handler: mount(e, c)}
}

func mount(e *echo.Echo, c *middleware.Cache) http.Handler {
	e.Use(c.Echo())
	return e
}

func TestEchoContextSurvivesTheFill(t *testing.T) {
	store := newStore(t)
	c, err := middleware.New(middleware.Options{Store: store, Query: []string{"page"}, IgnoreQuery: []string{"utm_*"}})
	if err != nil {
		t.Fatal(err)
	}
	type account struct {
		status    int
		size      int64
		committed bool
		before    bool
		request   *http.Request
		query     string
	}
	var outer account
	e := echo.New()
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ec echo.Context) error {
			outer = account{}
			ec.Set("outer", "set outside")
			ec.Response().Before(func() { outer.before = true })
			_ = ec.QueryParam("utm_source") // so that Echo has parsed the query before us
			err := next(ec)
			res := ec.Response()
			outer.status, outer.size, outer.committed, outer.request, outer.query = res.Status, res.Size, res.Committed, ec.Request(), ec.QueryParam("utm_source")
			return err
		}
	})
	e.Use(c.Echo())
	e.GET("/notes/:id", func(ec echo.Context) error {
		render.Tags(ec.Request().Context(), "note:"+ec.Param("id"))
		ec.Set("inner", "set inside")
		return ec.HTML(http.StatusOK, fmt.Sprintf("%s %s %q %q", ec.Param("id"), ec.Get("outer"), ec.QueryParams(), ec.QueryString()))
	})
	s := &site{t: t, store: store, Handler: e}
	for _, status := range []string{"fwd=uri-miss; stored", "hit"} {
		r := newRequest("GET", "http://a.example/notes/7?utm_source=x&page=2")
		a := s.send(r)
		a.want(t, 200, status)
		if want := `7 set outside map["page":["2"]] "page=2"`; a.body != want {
			t.Errorf("%s: the handler saw %s, want %s", status, a.body, want)
		}
		if a.Header.Get("Content-Type") != cache.PlainContentType {
			t.Errorf("Content-Type %q", a.Header.Get("Content-Type"))
		}
		want := account{200, int64(len(a.body)), true, true, r, "x"}
		if outer != want {
			t.Errorf("%s: the outer middleware saw %+v, want %+v", status, outer, want)
		}
	}
}

func TestEchoErrorsGoThroughTheFill(t *testing.T) {
	e, s := newEcho(t, middleware.Options{})
	var handled atomic.Int64
	e.HTTPErrorHandler = func(err error, ec echo.Context) {
		if ec.Response().Committed {
			return
		}
		handled.Add(1)
		code := 500
		var he *echo.HTTPError
		if errors.As(err, &he) {
			code = he.Code
		}
		_ = ec.String(code, "error page")
	}
	e.GET("/notes/:id", func(ec echo.Context) error {
		switch ec.Param("id") {
		case "declared":
			render.Tags(ec.Request().Context(), "all-notes")
			return echo.ErrNotFound
		case "undeclared":
			return echo.ErrNotFound
		case "half":
			_ = ec.String(200, "half")
			return errBroken
		default:
			return errBroken
		}
	})
	for _, c := range []struct {
		path   string
		code   int
		body   string
		status [2]string
	}{
		{"/notes/declared", 404, "error page", [2]string{"fwd=uri-miss; stored", "hit"}},
		{"/notes/undeclared", 404, "error page", [2]string{`fwd=uri-miss; detail="status 404`, `fwd=uri-miss; detail="status 404`}},
		{"/notes/broken", 500, "error page", [2]string{`fwd=uri-miss; detail="status 500"`, `fwd=uri-miss; detail="status 500"`}},
		{"/notes/half", 200, "half", [2]string{`fwd=uri-miss; detail="handler failed`, `fwd=uri-miss; detail="handler failed`}},
		{"/nowhere", 404, "error page", [2]string{`fwd=uri-miss; detail="status 404`, `fwd=uri-miss; detail="status 404`}},
	} {
		for _, status := range c.status {
			a := s.get("http://a.example" + c.path)
			a.want(t, c.code, status)
			if a.body != c.body {
				t.Errorf("%s: %q", c.path, a.body)
			}
		}
	}
	if n := handled.Load(); n != 7 {
		t.Errorf("the error handler answered %d times, want 7", n)
	}
}

func TestEchoTransactionTrap(t *testing.T) {
	store := newStore(t)
	c, err := middleware.New(middleware.Options{Store: store, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	tx := func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ec echo.Context) error {
			r := ec.Request()
			ec.SetRequest(r.WithContext(cache.MarkSnapshot(r.Context(), "tx")))
			return next(ec)
		}
	}
	h := func(ec echo.Context) error { return ec.HTML(200, "x") }
	wrong, right := echo.New(), echo.New()
	wrong.Use(tx, c.Echo())
	right.Use(c.Echo(), tx)
	wrong.GET("/page", h)
	right.GET("/page", h)
	s := &site{t: t, store: store, Handler: wrong}
	s.get(page).want(t, 200, "fwd=bypass; detail=snapshot")
	s.nothingStored()
	s.Handler = right
	s.get(page).want(t, 200, "fwd=uri-miss; stored")
}

// Compression inside of ours: dynamic answers are compressed by it, pages by the store.
func TestEchoGzipInside(t *testing.T) {
	e, s := newEcho(t, middleware.Options{})
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc { // as Echo's own does it
		return func(ec echo.Context) error {
			res := ec.Response()
			res.Header().Add("Vary", "Accept-Encoding")
			if ec.Request().Header.Get("Accept-Encoding") != "gzip" {
				return next(ec)
			}
			res.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(res.Writer)
			defer z.Close()
			res.Writer = gzipWriter{res.Writer, z}
			return next(ec)
		}
	})
	e.GET("/page", func(ec echo.Context) error { return ec.HTML(200, strings.Repeat("x", 5000)) })
	for _, status := range []string{"fwd=uri-miss; stored", "hit"} {
		a := s.get(page, "Accept-Encoding", "gzip")
		a.want(t, 200, status)
		if len(a.body) != 5000 {
			t.Errorf("%d bytes, %v", len(a.body), a.Header)
		}
	}
	a := s.get(page, "Accept-Encoding", "gzip", "Cookie", "session=1")
	a.want(t, 200, "fwd=bypass")
	if a.Header.Get("Content-Encoding") != "gzip" {
		t.Errorf("a dynamic answer: %v", a.Header)
	}
}

type gzipWriter struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (w gzipWriter) Write(p []byte) (int, error) { return w.z.Write(p) }

func TestEchoPanicWithRecover(t *testing.T) {
	e, s := newEcho(t, middleware.Options{})
	e.Use(func(next echo.HandlerFunc) echo.HandlerFunc { // inside, as Echo's own does it
		return func(ec echo.Context) (err error) {
			defer func() {
				if cause := recover(); cause != nil {
					ec.Error(fmt.Errorf("%v", cause))
				}
			}()
			return next(ec)
		}
	})
	e.GET("/page", func(ec echo.Context) error { panic("broken") })
	s.get(page).want(t, 500, `fwd=uri-miss; detail="status 500"`)
	s.nothingStored()
}

// A large body is sent by ReadFrom, through Echo's response.
func TestEchoLargeBody(t *testing.T) {
	e, s := newEcho(t, middleware.Options{Store: newStoreWith(t, cache.Options{MemoryPageMax: 10_000})})
	body := bytes.Repeat([]byte("0123456789"), 50_000)
	var size, accounted int64
	var after int
	e.Pre(func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(ec echo.Context) error {
			ec.Response().After(func() { after++ })
			err := next(ec)
			accounted += ec.Response().Size
			return err
		}
	})
	e.GET("/page", func(ec echo.Context) error { return ec.Blob(200, "text/html", body) })
	h := s.Handler
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		counting := &readFromWriter{ResponseWriter: w}
		h.ServeHTTP(counting, r)
		size += counting.n
	})
	server := httptest.NewServer(s)
	defer server.Close()
	for i := range 3 {
		header := ""
		want := body
		if i == 2 {
			header, want = "Range: bytes=100000-100009\r\n", body[:10]
		}
		a := raw(t, server, "GET /page HTTP/1.1\r\nHost: a.example\r\n"+header+"\r\n")
		if got := readAll(t, a.Body); got != string(want) {
			t.Errorf("%d bytes, want %d", len(got), len(want))
		}
	}
	server.Close() // waits for the handlers to return
	if want := int64(2*len(body) + 10); size != want || accounted != want || after != 3 {
		t.Errorf("%d bytes went by ReadFrom, Echo knows of %d, want %d; %d after functions ran, want 3", size, accounted, want, after)
	}
}

// readFromWriter counts what is sent by ReadFrom.
type readFromWriter struct {
	http.ResponseWriter
	n int64
}

func (w *readFromWriter) ReadFrom(src io.Reader) (int64, error) {
	n, err := w.ResponseWriter.(io.ReaderFrom).ReadFrom(src)
	w.n += n
	return n, err
}

func TestEchoStream(t *testing.T) {
	e, s := newEcho(t, middleware.Options{})
	e.GET("/page", func(ec echo.Context) error {
		ec.Response().WriteHeader(200)
		for i := range 3 {
			_, _ = fmt.Fprint(ec.Response(), i)
			ec.Response().Flush()
		}
		return nil
	})
	for range 2 {
		a := s.get(page)
		a.want(t, 200, "fwd=uri-miss; detail=streamed")
		if a.body != "012" || !a.flushed {
			t.Errorf("%q", a.body)
		}
	}
	s.nothingStored()
}
