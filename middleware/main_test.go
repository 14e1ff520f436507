package middleware_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/middleware"
)

// newStore opens an empty store. When the test ends its folder must be as the protocol leaves it: no orphans, no
// fatal problem.
func newStore(t testing.TB) *cache.Store {
	t.Helper()
	return newStoreWith(t, cache.Options{})
}

func newStoreWith(t testing.TB, o cache.Options) *cache.Store {
	t.Helper()
	o.Dir = t.TempDir()
	o.Live = filepath.Join(o.Dir, "live")
	o.Logger = slog.New(slog.DiscardHandler)
	store, err := cache.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil { // it ends the making of twins, which hold claims too
			t.Error(err)
		}
		again, err := cache.Open(context.Background(), o)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		report, err := again.Check(context.Background(), cache.CheckOptions{})
		if err != nil || len(report.Problems) > 0 || report.Claims > 0 {
			t.Errorf("left behind: %d claims, %+v, %v", report.Claims, report.Problems, err)
		}
	})
	return store
}

// site puts the middleware in front of a handler, answers requests directly, and checks every answer for Cache-Status.
type site struct {
	http.Handler
	t     testing.TB
	store *cache.Store
}

func newSite(t testing.TB, o middleware.Options, h http.HandlerFunc) *site {
	t.Helper()
	if o.Store == nil {
		o.Store = newStore(t)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c, err := middleware.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return &site{c.Handler(h), t, o.Store}
}

type answer struct {
	*http.Response
	body    string
	flushed bool
}

func (a answer) status() string { return a.Header.Get("Cache-Status") }

// do sends a request. Headers are pairs of name and value; "Host" sets the host.
func (s *site) do(method, target string, header ...string) answer {
	s.t.Helper()
	return s.send(newRequest(method, target, header...))
}

func (s *site) get(target string, header ...string) answer {
	s.t.Helper()
	return s.do(http.MethodGet, target, header...)
}

func newRequest(method, target string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Body = http.NoBody
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Add(header[i], header[i+1])
		}
	}
	return r
}

func (s *site) send(r *http.Request) answer {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	a := answer{w.Result(), w.Body.String(), w.Flushed}
	if !strings.HasPrefix(a.status(), "cachesrv; ") {
		s.t.Errorf("%s %s: Cache-Status %q", r.Method, r.RequestURI, a.status())
	}
	return a
}

// want checks status and Cache-Status, of which a prefix is enough.
func (a answer) want(t testing.TB, code int, status string) {
	t.Helper()
	if a.StatusCode != code || !strings.HasPrefix(a.status(), "cachesrv; "+status) {
		t.Errorf("answered %d, %q; want %d, %q", a.StatusCode, a.status(), code, status)
	}
}

func (s *site) invalidate(sel cache.Selection) {
	s.t.Helper()
	if _, err := s.store.Invalidate(context.Background(), sel); err != nil {
		s.t.Fatal(err)
	}
}

func keyOf(t testing.TB, s string) cache.Key {
	t.Helper()
	k, err := key.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// nothingStored fails if there is any page.
func (s *site) nothingStored() {
	s.t.Helper()
	for e, err := range s.store.List(context.Background()) {
		s.t.Errorf("stored: %v, %v", e.Key, err)
	}
}

// Errors for handlers.
var errBroken = errors.New("broken on purpose")

func text(w http.ResponseWriter, format string, args ...any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = fmt.Fprintf(w, format, args...)
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
