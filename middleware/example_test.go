package middleware_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	"github.com/labstack/echo/v4"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
	"github.com/cachesrv/cachesrv/render"
)

// The recipe for Echo: mount the cache before anything that reads the database, and declare tags where you read.
func Example_echo() {
	store, done := openStore()
	defer done()
	pages, err := middleware.New(middleware.Options{
		Store:         store,
		Hosts:         []string{"notes.example"},
		Query:         []string{"page"},
		IgnoreQuery:   []string{"utm_*"},
		PublicCookies: []string{"_ga*"},
	})
	if err != nil {
		panic(err)
	}
	e := echo.New()
	e.Use(pages.Echo()) // then the transaction per request, if you have one
	e.GET("/notes/:id", func(c echo.Context) error {
		render.Tags(c.Request().Context(), "note:"+c.Param("id")) // before the query: a 404 depends on it too
		return c.HTML(http.StatusOK, "note "+c.Param("id"))
	})

	show(e, "/notes/1")
	show(e, "/notes/1?utm_source=mail")
	if _, err := store.Invalidate(context.Background(), cache.Selection{Tags: []string{"note:1"}}); err != nil {
		panic(err) // invalidate's hooks do this, right after the commit
	}
	show(e, "/notes/1")
	// Output:
	// 200 cachesrv; fwd=uri-miss; stored
	// 200 cachesrv; hit
	// 200 cachesrv; fwd=uri-miss; stored
}

// The recipe for net/http: wrap the mux.
func Example_netHTTP() {
	store, done := openStore()
	defer done()
	pages, err := middleware.New(middleware.Options{Store: store, Hosts: []string{"notes.example"}})
	if err != nil {
		panic(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /notes/{id}", func(w http.ResponseWriter, r *http.Request) {
		render.Tags(r.Context(), "note:"+r.PathValue("id"))
		if r.PathValue("id") == "2" {
			http.NotFound(w, r) // a page as well: it goes when somebody writes note 2
			return
		}
		_, _ = fmt.Fprintf(w, "<!doctype html><p>note %s", r.PathValue("id"))
	})
	h := pages.Handler(mux)

	show(h, "/notes/1")
	show(h, "/notes/1")
	show(h, "/notes/2")
	show(h, "/notes/2")
	// Output:
	// 200 cachesrv; fwd=uri-miss; stored
	// 200 cachesrv; hit
	// 404 cachesrv; fwd=uri-miss; stored
	// 404 cachesrv; hit
}

func openStore() (store *cache.Store, done func()) {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	store, err = cache.Open(context.Background(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live")})
	if err != nil {
		panic(err)
	}
	if err := store.Unfence(context.Background()); err != nil { // after the replay, where there are commit hooks
		panic(err)
	}
	return store, func() {
		_ = store.Close()
		_ = os.RemoveAll(dir)
	}
}

func show(h http.Handler, target string) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Host = "notes.example"
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("Cache-Status"))
}
