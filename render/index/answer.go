package index

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/cachesrv/cachesrv/render/index/catalog"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// A failure is an answer that isn't what was asked for: a status, and a sentence for whoever asked.
type failure struct {
	status  int
	message string
}

func (f *failure) Error() string { return f.message }

func fail(status int, format string, args ...any) error {
	return &failure{status, fmt.Sprintf(format, args...)}
}

// explain says how an error is answered. What a client did wrong is told; what went wrong here is for the log alone,
// and ours is true then.
func explain(err error) (f failure, ours bool) {
	if known, ok := errors.AsType[*failure](err); ok {
		return *known, false
	}
	for _, e := range [...]struct {
		is     error
		status int
	}{
		{catalog.ErrTooLarge, http.StatusRequestEntityTooLarge},
		{catalog.ErrExists, http.StatusBadRequest}, // as PyPI does; twine --skip-existing looks for it
		{catalog.ErrInvalid, http.StatusBadRequest},
		{dist.ErrInvalid, http.StatusBadRequest},
		{catalog.ErrForbidden, http.StatusForbidden},
		{catalog.ErrUnauthorized, http.StatusForbidden},
		{catalog.ErrNotFound, http.StatusNotFound},
	} {
		if errors.Is(err, e.is) {
			return failure{e.status, err.Error()}, false
		}
	}
	if errors.Is(err, catalog.ErrOutcomeUnknown) {
		return failure{http.StatusServiceUnavailable,
			"The connection to the database was lost while the change was committed: it may have been made, or not. Ask again."}, true
	}
	return failure{http.StatusServiceUnavailable, "The index can't answer at the moment. Try again in a while."}, true
}

// settle is explain that logs what is ours.
func (s *Site) settle(r *http.Request, err error) failure {
	f, ours := explain(err)
	if ours && !errors.Is(err, context.Canceled) { // nobody waits for the answer
		s.log.Error("answering with an error", "method", r.Method, "path", r.URL.Path, "status", f.status, "err", err)
	}
	return f
}

// A handler answers a request, or returns why it can't; then it has written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// plain makes an http.Handler whose failures are told in plain text.
func (s *Site) plain(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			f := s.settle(r, err)
			sendText(w, f.status, f.message)
		}
	})
}

const plainText = "text/plain; charset=utf-8"

// sendText answers with a sentence or two. Such an answer is nothing to keep, but for a 404 that a cache in front of the
// handler has tags for: that one decides by itself.
func sendText(w http.ResponseWriter, status int, text string) {
	if status != http.StatusOK && status != http.StatusNotFound {
		w.Header().Set("Cache-Control", "no-store")
	}
	send(w, status, plainText, []byte(text+"\n"))
}

func send(w http.ResponseWriter, status int, contentType string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone is no error of ours
}

// redirect leads to another path of this site. Redirects are cheap to make and as many as there are ways to misspell a
// name: they are made outside of the cache, or declared to be no pages.
func redirect(w http.ResponseWriter, r *http.Request, path string) {
	if r.URL.RawQuery != "" {
		path += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", path)
	send(w, http.StatusMovedPermanently, plainText, nil)
}

// methods reports whether a request's method is one of those allowed; else it names these in the answer's header, and the
// caller answers 405.
func methods(w http.ResponseWriter, r *http.Request, allowed ...string) bool {
	allow := ""
	for i, m := range allowed {
		if r.Method == m {
			return true
		}
		if i > 0 {
			allow += ", "
		}
		allow += m
	}
	w.Header().Set("Allow", allow)
	return false
}
