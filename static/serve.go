// Package static answers requests from published pages: conditional and range requests, and the encodings a client
// accepts. It decides nothing about what is cached; the middleware looks a page up and hands it over.
package static

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// DefaultCacheControl lets clients keep a page but ask before each use: their If-None-Match is answered in
// microseconds, and a page they use is never older than P1 allows.
const DefaultCacheControl = "no-cache"

// Options say how pages are served. The zero value works.
type Options struct {
	// CacheControl is sent with pages that carry neither Cache-Control nor Expires of their own.
	// Default DefaultCacheControl.
	CacheControl string
	// Vary lists the request headers by which the page was chosen among the variants of its URL. Default none.
	Vary []string
}

// Serve answers a GET or HEAD request with a page. The caller still closes the hit.
//
// The representation is the best encoding the client accepts and the page has (406 if it accepts none at all); its
// ETag is that of its very bytes. Pages of status 200 honour If-Match, If-None-Match and a single Range, with
// If-Range; dates are ignored, as there is no Last-Modified. Several ranges in one request, and malformed ones, get
// the whole page: legal, bounded, and never a byte too much. Headers that an outer handler has set stay, unless the
// page has them; Vary is the union of both, and of Options.Vary.
//
// A write error is the client's business and is not reported.
func Serve(w http.ResponseWriter, r *http.Request, hit *cache.Hit, o Options) {
	h := w.Header()
	body, acceptable := negotiate(hit, r.Header["Accept-Encoding"])
	values := make([]string, 0, 6) // of the headers set below: one allocation
	set := func(name, value string) {
		values = append(values, value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	setVary(h, hit.Meta.Header["Vary"], o.Vary)
	if !acceptable {
		refuse(w, http.StatusNotAcceptable, "none of the encodings you accept is available\n")
		return
	}
	describe(h, hit, o, set)
	set("Etag", body.ETag)
	if body.Encoding != "" {
		set("Content-Encoding", body.Encoding)
	}
	status, offset, length := hit.Meta.Status, int64(0), body.Size
	if status == http.StatusOK {
		switch answer := precondition(r.Header, body.ETag); answer {
		case http.StatusNotModified:
			notModified(w)
			return
		case http.StatusPreconditionFailed:
			refuse(w, answer, "")
			return
		}
		h["Accept-Ranges"] = acceptRanges
		if r.Method == http.MethodGet && len(r.Header["Range"]) > 0 && rangeApplies(r.Header["If-Range"], body.ETag) {
			from, n, answer := parseRange(r.Header["Range"], body.Size)
			switch answer {
			case http.StatusPartialContent:
				status, offset, length = answer, from, n
				set("Content-Range", contentRange(from, n, body.Size))
			case http.StatusRequestedRangeNotSatisfiable:
				set("Content-Range", "bytes */"+strconv.FormatInt(body.Size, 10))
				refuse(w, answer, "")
				return
			}
		}
	}
	set("Content-Length", strconv.FormatInt(length, 10))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		write(w, body, offset, length)
	}
}

// Header values shared by all answers; never modified.
var (
	acceptRanges     = []string{"bytes"}
	varyEncodingOnly = []string{"Accept-Encoding"}
)

// describe sets the page's own headers and the client's policy.
func describe(h http.Header, hit *cache.Hit, o Options, set func(name, value string)) {
	header := hit.Meta.Header
	for name, v := range header {
		if name != "Vary" {
			h[name] = slices.Clip(v) // so that an Add by whoever comes after us can't reach the page
		}
	}
	if _, ok := header["Content-Type"]; !ok {
		h["Content-Type"] = nil // net/http must not guess, least of all from compressed bytes
	}
	switch _, expires := header["Expires"]; {
	case len(header["Cache-Control"]) > 0:
		// The client counts its max-age from when we rendered, not from now.
		set("Age", strconv.FormatInt(int64(hit.Age(time.Now())/time.Second), 10))
	case expires:
	case o.CacheControl != "":
		set("Cache-Control", o.CacheControl)
	default:
		set("Cache-Control", DefaultCacheControl)
	}
}

// setVary joins what an outer handler, the page and the choice among variants vary on, and Accept-Encoding: a twin may
// come any time.
func setVary(h http.Header, page, choice []string) {
	outer := h["Vary"]
	if len(outer) == 0 && len(page) == 0 && len(choice) == 0 {
		h["Vary"] = varyEncodingOnly
		return
	}
	var names []string
	for _, lines := range [...][]string{outer, page, choice, varyEncodingOnly} {
		for _, line := range lines {
			for name := range strings.SplitSeq(line, ",") {
				name = strings.TrimSpace(name)
				known := slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, name) })
				if name != "" && !known {
					names = append(names, name)
				}
			}
		}
	}
	h["Vary"] = []string{strings.Join(names, ", ")}
}

// notModified answers 304. The page's headers go along, except those that describe its content: they may have
// changed while the bytes, and so the ETag, have not, and the client updates what it holds from them.
func notModified(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition"} {
		delete(h, name)
	}
	w.WriteHeader(http.StatusNotModified)
}

// refuse answers with a status that has no page.
func refuse(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	for _, name := range [...]string{"Content-Encoding", "Content-Language", "Content-Disposition", "Etag", "Age"} {
		delete(h, name)
	}
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// write sends a part of a body. From a file, net/http can use sendfile: the reader it is given is a limited *os.File.
func write(w http.ResponseWriter, body cache.Body, offset, length int64) {
	if body.File == nil {
		_, _ = w.Write(body.Bytes[offset : offset+length])
		return
	}
	if _, err := body.File.Seek(offset, io.SeekStart); err == nil {
		_, _ = io.CopyN(w, body.File, length)
	}
}
