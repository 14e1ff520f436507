package render_test

import (
	"bytes"
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
	"github.com/cachesrv/cachesrv/render"
)

func newStore(t *testing.T, o cache.Options) *cache.Store {
	t.Helper()
	o.Dir = t.TempDir()
	o.Live, o.Logger = filepath.Join(o.Dir, "live"), slog.New(slog.DiscardHandler)
	store, err := cache.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return store
}

var key = cache.Key{Host: "a.example", Path: "/page"}

// run fills the page with a handler.
func run(t *testing.T, store *cache.Store, w http.ResponseWriter, h render.Func, o render.Options) (*cache.Fill, render.Answer) {
	t.Helper()
	fill, err := store.Claim(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fill.Close() })
	return fill, render.Handler(w, httptest.NewRequest("GET", "http://a.example/page", nil), fill, h, o)
}

func TestHandlerRecordsAPage(t *testing.T) {
	store, w := newStore(t, cache.Options{}), httptest.NewRecorder()
	fill, a := run(t, store, w, func(w http.ResponseWriter, r *http.Request) error {
		render.Tags(r.Context(), "t")
		w.Header().Set("Link", "<a>")
		w.WriteHeader(200)
		w.WriteHeader(500)              // superfluous
		w.Header().Set("X-Late", "yes") // too late
		_, err := io.WriteString(w, "body")
		return err
	}, render.Options{})
	if a.Why != "" || a.Status != 200 || a.Passed || w.Body.Len() > 0 || a.Meta.Header.Get("X-Late") != "" || fmt.Sprint(a.Meta.Tags) != "[t]" {
		t.Fatalf("%+v", a)
	}
	hit, err := fill.Publish(t.Context(), a.Meta)
	if err != nil {
		t.Fatal(err)
	}
	defer hit.Close()
	if string(hit.Identity().Bytes) != "body" {
		t.Errorf("%q", hit.Identity().Bytes)
	}
}

// After Release the URL can be claimed again, and the answer can still be sent: from memory and from a file.
func TestReleaseGivesUpTheClaim(t *testing.T) {
	for _, size := range []int{0, 100, 5000} {
		store, w := newStore(t, cache.Options{MemoryPageMax: 1000}), httptest.NewRecorder()
		body := bytes.Repeat([]byte("x"), size)
		_, a := run(t, store, w, func(w http.ResponseWriter, r *http.Request) error {
			w.Header().Set("Set-Cookie", "a=b")
			w.WriteHeader(201)
			for part := body; len(part) > 0; part = part[min(len(part), 700):] {
				if _, err := w.Write(part[:min(len(part), 700)]); err != nil {
					return err
				}
			}
			return nil
		}, render.Options{})
		if a.Why == "" || !a.Lasting {
			t.Errorf("%+v", a)
		}
		a.Release()
		again, err := store.Claim(t.Context(), key)
		if err != nil {
			t.Fatalf("the claim was not given up: %v", err)
		}
		defer again.Close()
		if _, err := io.WriteString(again, strings.Repeat("y", 5000)); err != nil { // someone else's
			t.Fatal(err)
		}
		if err := a.Send(w); err != nil {
			t.Fatal(err)
		}
		if w.Code != 201 || !bytes.Equal(w.Body.Bytes(), body) || w.Header().Get("Set-Cookie") != "a=b" || w.Header().Get("Content-Length") != fmt.Sprint(size) {
			t.Errorf("%d bytes: %d, %d bytes, %v", size, w.Code, w.Body.Len(), w.Header())
		}
	}
}

func TestPassThrough(t *testing.T) {
	for name, c := range map[string]struct {
		end  func(w http.ResponseWriter) error
		why  string
		body string
	}{
		"Flush":         {func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil }, "streamed", "begin,end"},
		"FlushError":    {func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() }, "streamed", "begin,end"},
		"one too large": {func(w http.ResponseWriter) error { _, err := io.WriteString(w, strings.Repeat("x", 2000)); return err }, "too large", "begin," + strings.Repeat("x", 2000) + "end"},
	} {
		t.Run(name, func(t *testing.T) {
			store, w := newStore(t, cache.Options{PageMax: 1000}), httptest.NewRecorder()
			told := 0
			_, a := run(t, store, w, func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("X-Page", "1")
				_, _ = io.WriteString(w, "begin,")
				if err := c.end(w); err != nil {
					return err
				}
				_, err := io.WriteString(w, "end")
				return err
			}, render.Options{GaveUp: func(why string) {
				told++
				if why != c.why || w.Body.Len() > 0 {
					t.Errorf("gave up because %q, after %d bytes", why, w.Body.Len())
				}
				again, err := store.Claim(t.Context(), key)
				if err != nil {
					t.Errorf("the claim was not given up: %v", err)
					return
				}
				_ = again.Close()
			}})
			if told != 1 || !a.Passed || a.Why != c.why || a.Err != nil || w.Body.String() != c.body || w.Header().Get("X-Page") != "1" {
				t.Errorf("%+v, sent %d bytes, told %d times", a, w.Body.Len(), told)
			}
		})
	}
}

// A writer that can't be hijacked leaves the recording as it is.
func TestHijackNotSupported(t *testing.T) {
	store := newStore(t, cache.Options{})
	_, a := run(t, store, httptest.NewRecorder(), func(w http.ResponseWriter, r *http.Request) error {
		if _, _, err := http.NewResponseController(w).Hijack(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Hijack: %v", err)
		}
		_, err := io.WriteString(w, "body")
		return err
	}, render.Options{})
	if a.Why != "" || a.Passed {
		t.Errorf("%+v", a)
	}
}

func TestInformationalStatusesAreSkipped(t *testing.T) {
	store := newStore(t, cache.Options{})
	_, a := run(t, store, httptest.NewRecorder(), func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		_, err := io.WriteString(w, "body")
		return err
	}, render.Options{})
	if a.Why != "" || a.Status != 200 {
		t.Errorf("%+v", a)
	}
}

func TestNoBodyWhereNoneIsAllowed(t *testing.T) {
	store, w := newStore(t, cache.Options{}), httptest.NewRecorder()
	_, a := run(t, store, w, func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusNoContent)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, http.ErrBodyNotAllowed) {
			t.Errorf("Write: %v", err)
		}
		return nil
	}, render.Options{})
	if err := a.Send(w); err != nil || w.Code != 204 || w.Header().Get("Content-Length") != "" {
		t.Errorf("%v, %d %v", err, w.Code, w.Header())
	}
}

// The control: everything is read before the claim, and repeated after it.
func TestAheadRepeatsTheAnswer(t *testing.T) {
	renders := 0
	h := render.Ahead(httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) error {
		renders++
		render.Tags(r.Context(), "t")
		w.Header().Set("Link", "<a>")
		w.WriteHeader(404)
		_, err := io.WriteString(w, "body")
		return err
	})
	if renders != 1 {
		t.Fatalf("%d renders before the claim", renders)
	}
	_, a := run(t, newStore(t, cache.Options{}), httptest.NewRecorder(), h, render.Options{})
	if renders != 1 || a.Why != "" || a.Status != 404 || a.Meta.Header.Get("Link") != "<a>" || fmt.Sprint(a.Meta.Tags) != "[t]" {
		t.Errorf("%d renders, %+v", renders, a)
	}
}
