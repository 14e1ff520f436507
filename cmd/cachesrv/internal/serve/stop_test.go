package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/middleware"
)

// stopping asks a server to stop while a request is under way, and returns what All returns, and after how long.
func stopping(t *testing.T, request string, handler http.HandlerFunc) (took time.Duration, err error) {
	t.Helper()
	ln := newPipes()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	begun := make(chan struct{})
	go func() {
		ended <- All(ctx, Stream(ln, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			handler(w, r)
		}), slog.New(slog.DiscardHandler)))
	}()
	conn := dial(t, ln)
	defer conn.Close()
	go func() { _, _ = io.Copy(io.Discard, conn) }()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	<-begun
	start := time.Now()
	stop()
	err = <-ended
	return time.Since(start), err
}

// TestStopping: handlers have their time to finish, then their contexts end and their connections are cut, and then they are
// waited for once more, whatever protocol they serve and whether or not they have read the request.
func TestStopping(t *testing.T) {
	for name, request := range map[string]string{
		"GET": good, "POST, unread": strings.Replace(good, "\r\n\r\n", "\r\nContent-Length: 5\r\n\r\nhello", 1),
		"HTTP/2": preface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x84\x86\x41\x01h",
	} {
		for _, tt := range []struct {
			name    string
			handler func(r *http.Request, end <-chan struct{})
			took    time.Duration
			fails   bool
		}{
			{"finishes", func(*http.Request, <-chan struct{}) { time.Sleep(stopTimeout / 2) }, stopTimeout / 2, false},
			{"heeds its context", func(r *http.Request, _ <-chan struct{}) { <-r.Context().Done() }, stopTimeout, false},
			{"is slow to notice", func(r *http.Request, _ <-chan struct{}) { <-r.Context().Done(); time.Sleep(cutTimeout / 2) }, stopTimeout + cutTimeout/2, false},
			{"is deaf", func(_ *http.Request, end <-chan struct{}) { <-end }, stopTimeout + cutTimeout, true},
		} {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					end, returned := make(chan struct{}), make(chan struct{})
					took, err := stopping(t, request, func(_ http.ResponseWriter, r *http.Request) {
						defer close(returned)
						tt.handler(r, end)
					})
					if (err != nil) != tt.fails || tt.fails && !strings.Contains(err.Error(), "127.0.0.1:1 did not end") {
						t.Errorf("it ends with %v", err)
					}
					select {
					case <-returned:
					default:
						if !tt.fails {
							t.Error("a handler still runs")
						}
					}
					if took < tt.took || took > tt.took+2*time.Second { // net/http looks twice a second, and gives HTTP/2 one more
						t.Errorf("it ends after %v, not after %v", took, tt.took)
					}
					close(end)
				})
			})
		}
	}
}

// TestAfterTheStore: a handler that has outlasted all patience finds the store closed. It gets errors, and answers without it.
func TestAfterTheStore(t *testing.T) { synctest.Test(t, afterTheStore) }

func afterTheStore(t *testing.T) {
	store, err := cache.Open(t.Context(), cache.Options{Dir: filepath.Join(t.TempDir(), "pages"), Live: filepath.Join(t.TempDir(), "live"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	ways, err := NewWays(middleware.Options{Store: store, Hosts: []string{"h"}, Logger: slog.New(slog.DiscardHandler)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	during := func() {}
	handler := ways.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		during()
		_, _ = io.WriteString(w, "page "+r.URL.Path)
	}))
	ask := func(target string) {
		t.Helper()
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "http://h"+target, nil))
		if w.Code != http.StatusOK || w.Body.String() != "page "+target {
			t.Errorf("%s: %d %q", target, w.Code, w.Body)
		}
	}
	ask("/stored")
	during = func() {
		if err := store.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Logf("close: %v", err) // it has waited for us in vain
		}
	}
	ask("/under-way")
	ask("/stored")
	ask("/new")
}
