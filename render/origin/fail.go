package origin

import (
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Fail answers a client whose request could not be answered by the origin: a short page that tells nothing of our
// side, not to be stored, with the status of the error, and a line in the log. Call it before anything of another
// answer was sent.
func (o *Origin) Fail(w http.ResponseWriter, r *http.Request, err error) {
	status := Status(err)
	text := "the site behind this server can't be reached"
	switch status {
	case http.StatusGatewayTimeout:
		text = "the site behind this server takes too long to answer"
	case http.StatusBadRequest:
		text = "this request can't be forwarded"
	case http.StatusRequestEntityTooLarge:
		text = "the body of this request is too large"
	}
	o.reject(w, r, status, text, err)
}

func (o *Origin) reject(w http.ResponseWriter, r *http.Request, status int, text string, err error) {
	if r.Context().Err() == nil { // else the client has left, which is no failure
		o.quiet.log(o.options.Logger, r, err)
	}
	errorPage(w, r, status, text)
}

func errorPage(w http.ResponseWriter, r *http.Request, status int, text string) {
	h := w.Header()
	if r.ContentLength != 0 {
		closeAfter(h, r)
	}
	delete(h, "Content-Length")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, _ = w.Write([]byte("cachesrv: " + text + "\n"))
}

// closeAfter has net/http close the client's connection after an answer that comes before the end of the request's body.
// Else it would read the rest itself before it sends the answer, which may depend on that rest being forwarded.
func closeAfter(h http.Header, r *http.Request) {
	if r.ProtoMajor == 1 {
		h["Connection"] = []string{"close"}
	}
}

// quietFor is how long a line in the log speaks for the failures after it: an origin that is down fails every request.
const quietFor = time.Second

// A quiet log has a line for the first failure, and then one per quietFor, with the number of those it left out.
type quiet struct {
	mu   sync.Mutex
	next time.Time
	more int
}

func (q *quiet) log(log *slog.Logger, r *http.Request, err error) {
	q.mu.Lock()
	now := time.Now()
	if now.Before(q.next) {
		q.more++
		q.mu.Unlock()
		return
	}
	more := q.more
	q.next, q.more = now.Add(quietFor), 0
	q.mu.Unlock()
	log.Warn("a request to the origin failed", "method", r.Method, "host", r.Host, "path", r.URL.Path, "error", err, "unlogged", more)
}
