package origin

import (
	"bufio"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// A request is what is sent to the origin.
type request struct {
	method, target, host string
	header               http.Header // end-to-end fields only; Host and framing are not among them
	websocket            bool        // asks to switch to it
	trailers             bool        // the client takes trailers
	body                 *upload     // nil: none
	empty                bool        // no body, and Content-Length says so
	sent                 bool        // something of it may have reached the origin
}

// target returns the target in origin form (RFC 9112, 3.2.1), the bytes as the client sent them; "*" for OPTIONS of the
// whole server; "" if there is none. An absolute-form target loses its authority: r.Host is the same, or the caller
// has refused the request.
func target(r *http.Request) string {
	t := r.RequestURI
	if t == "" {
		t = r.URL.RequestURI()
	}
	switch _, rest, absolute := strings.Cut(t, "://"); {
	case strings.HasPrefix(t, "/"):
		return t
	case t == "*" && r.Method == http.MethodOptions:
		return t
	case !absolute:
		return ""
	default:
		i := strings.IndexAny(rest, "/?")
		switch {
		case i < 0 && r.Method == http.MethodOptions:
			return "*" // RFC 9112, 3.2.4
		case i < 0:
			return "/"
		case rest[i] == '?':
			return "/" + rest[i:]
		}
		return rest[i:]
	}
}

// check says why the request can't be sent: in HTTP/2, or where a handler in front has changed it, there can be bytes
// in it that would end a line of HTTP/1.1 early.
func (q *request) check() error {
	switch {
	case !httpcache.IsToken(q.method):
		return unsendable("method %.40q", q.method)
	case !validTarget(q.target) || strings.Contains(q.target, "#"):
		return unsendable("target %.80q", q.target)
	case !validHost(q.host):
		return unsendable("host %.80q", q.host)
	}
	if err := checkFields(q.header); err != nil {
		return err
	}
	if q.body != nil {
		for name := range q.body.trailer {
			if !httpcache.IsToken(name) {
				return unsendable("trailer name %.40q", name)
			}
		}
	}
	return nil
}

func checkFields(h http.Header) error {
	for name, values := range h {
		if !httpcache.IsToken(name) {
			return unsendable("header name %.40q", name)
		}
		for _, v := range values {
			if !httpcache.ValidValue(v) {
				return unsendable("value of header %.40q", name)
			}
		}
	}
	return nil
}

// write writes the request but for its body. Errors stay in w.
func (q *request) write(w *bufio.Writer) {
	for _, s := range [...]string{q.method, " ", q.target, " HTTP/1.1\r\nHost: ", q.host, "\r\n"} {
		_, _ = w.WriteString(s)
	}
	writeFields(w, q.header)
	switch {
	case q.body == nil && q.empty:
		_, _ = w.WriteString("Content-Length: 0\r\n")
	case q.body == nil:
	case q.body.length >= 0:
		_, _ = w.WriteString("Content-Length: " + strconv.FormatInt(q.body.length, 10) + "\r\n")
	default:
		_, _ = w.WriteString("Transfer-Encoding: chunked\r\n")
		if len(q.body.trailer) > 0 {
			_, _ = w.WriteString("Trailer: " + strings.Join(slices.Sorted(maps.Keys(q.body.trailer)), ", ") + "\r\n")
		}
	}
	switch {
	case q.websocket:
		_, _ = w.WriteString("Connection: Upgrade\r\nUpgrade: websocket\r\n")
	case q.trailers && q.body != nil:
		_, _ = w.WriteString("Connection: close, TE\r\nTE: trailers\r\n") // RFC 9110, 10.1.4
	case q.trailers:
		_, _ = w.WriteString("Connection: TE\r\nTE: trailers\r\n")
	case q.body != nil:
		_, _ = w.WriteString("Connection: close\r\n") // see upload
	}
	_, _ = w.WriteString("\r\n")
}

// writeFields writes header lines, ordered by name: equal requests are equal byte for byte.
func writeFields(w *bufio.Writer, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, v := range h[name] {
			for _, s := range [...]string{name, ": ", v, "\r\n"} {
				_, _ = w.WriteString(s)
			}
		}
	}
}

// replayable reports whether the request may be sent again when a kept connection turns out to be dead: a proxy must not retry
// what is not idempotent (RFC 9110, 9.2.2).
func (q *request) replayable() bool {
	return q.body == nil && !q.websocket && (q.method == http.MethodGet || q.method == http.MethodHead || q.method == http.MethodOptions)
}
