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
	// AsIs says that the page's headers are an origin's, and all there is to say: no CacheControl is added, and no Age
	// but the one below. Default false.
	AsIs bool
	// WithAge sends Age with the page, its parts, and 304. Default false: a page with Cache-Control is as old as its
	// publication, unless AsIs; others have no Age.
	WithAge bool
	// Age is how old the page is, if WithAge; sent in whole seconds, rounded down. Below 0 is 0.
	Age time.Duration
	// Vary lists the request headers by which the page was chosen among the variants of its URL. Default none.
	Vary []string
}

// Serve answers a GET or HEAD request with a page. The caller still closes the hit.
//
// The representation is the best encoding the client accepts and the page has (406 if it accepts none at all); its
// ETag is that of its very bytes. Pages of status 200 honour If-Match, If-None-Match and a single Range, with
// If-Range; several ranges in one request, and malformed ones, get the whole page: legal, bounded, and never a byte too
// much. Headers that an outer handler has set stay, unless the page has them; Vary is the union of both, and of
// Options.Vary.
//
// An origin's page keeps the validators it came with (Etag, Last-Modified in its headers), and its Date. Its ETag, weak
// or strong, is then sent and compared in place of ours; a twin's is the weak form of it. Dates in conditions count only
// for pages with Last-Modified; pages of our own have none. A page that came with a Content-Encoding is sent as it is:
// whether the client accepts that, the caller knows.
//
// A write error is the client's business and is not reported.
func Serve(w http.ResponseWriter, r *http.Request, hit *cache.Hit, o Options) {
	h := w.Header()
	body, acceptable := negotiate(hit, r.Header)
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
	v := describe(h, hit, body, o, set)
	status, offset, length := hit.Meta.Status, int64(0), body.Size
	if status == http.StatusOK {
		switch answer := precondition(r.Header, &v); answer {
		case http.StatusNotModified:
			notModified(w, &v)
			return
		case http.StatusPreconditionFailed:
			refuse(w, answer, "")
			return
		}
		h["Accept-Ranges"] = acceptRanges
		if r.Method == http.MethodGet && len(r.Header["Range"]) > 0 && rangeApplies(r.Header, &v) {
			from, n, answer := parseRange(r.Header["Range"], body.Size)
			switch answer {
			case http.StatusPartialContent:
				status, offset, length = answer, from, n
				set("Content-Range", contentRange(from, n, body.Size))
				if v.digested {
					remove(h, digestsOfPart)
				}
			case http.StatusRequestedRangeNotSatisfiable:
				set("Content-Range", "bytes */"+strconv.FormatInt(body.Size, 10))
				refuse(w, answer, "")
				return
			}
		}
	}
	if status != http.StatusNoContent { // RFC 9110, 8.6
		set("Content-Length", strconv.FormatInt(length, 10))
	}
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

// describe sets the page's own headers, those of the representation, and the client's policy. It returns what tells this
// representation from others.
func describe(h http.Header, hit *cache.Hit, body cache.Body, o Options, set func(name, value string)) (v validators) {
	header := hit.Meta.Header
	for name, values := range header {
		switch name {
		case "Vary", "Accept-Ranges": // Serve says these
			continue
		case "Etag":
			if len(values) == 1 { // more than one are none
				v.etag = values[0]
			}
		case "Last-Modified":
			v.modified, v.published = values, hit.Published
		case "Date":
			v.date = values
		case "Content-Digest", "Content-Md5", "Repr-Digest", "Digest":
			v.digested = true
		}
		h[name] = slices.Clip(values) // so that an Add by whoever comes after us can't reach the page
	}
	switch {
	case v.etag == "":
		v.etag = body.ETag
		set("Etag", v.etag)
	case body.Encoding != "" && isStrong(v.etag):
		// The twin means the same as the page, and its bytes, which are ours, are others (RFC 9110, 8.8.1 and 8.8.3.3).
		v.etag = "W/" + v.etag
		set("Etag", v.etag)
	}
	if body.Encoding != "" {
		set("Content-Encoding", body.Encoding)
		if v.digested {
			remove(h, digests[:])
		}
	}
	if _, ok := header["Content-Type"]; !ok {
		h["Content-Type"] = nil // net/http must not guess, least of all from compressed bytes
	}
	_, expires := header["Expires"]
	controlled := len(header["Cache-Control"]) > 0
	switch {
	case o.WithAge:
		set("Age", deltaSeconds(o.Age))
	case controlled && !o.AsIs:
		// The client counts its max-age from when we rendered, not from now.
		set("Age", deltaSeconds(hit.Age(time.Now())))
	}
	switch {
	case o.AsIs || controlled || expires:
	case o.CacheControl != "":
		set("Cache-Control", o.CacheControl)
	default:
		set("Cache-Control", DefaultCacheControl)
	}
	return v
}

// maxDeltaSeconds is the largest number of seconds that all recipients must be able to read (RFC 9111, 1.2.2).
const maxDeltaSeconds = 1 << 31

// deltaSeconds writes a duration in whole seconds, rounded down.
func deltaSeconds(d time.Duration) string {
	return strconv.FormatInt(min(max(0, int64(d/time.Second)), maxDeltaSeconds), 10)
}

// setVary joins what an outer handler, the page and the choice among variants vary on, and Accept-Encoding: a twin may
// come any time.
func setVary(h http.Header, page, choice []string) {
	outer := h["Vary"]
	if len(outer) == 0 && len(choice) == 0 && (len(page) == 0 || len(page) == 1 && strings.EqualFold(page[0], varyEncodingOnly[0])) {
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

// Headers that say something of an answer's bytes, and so not of all answers made from one page.
var (
	// content describes what a 200 carries. A 304 goes without (RFC 9110, 15.4.5): of a page whose bytes, and so the ETag,
	// are the same they may have changed, and the client would update what it holds.
	content = [...]string{"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition"}
	// digests are over the page's own bytes (RFC 9530; Content-MD5 and Digest before it): wrong for a twin's, and for none.
	digests = [...]string{"Content-Digest", "Content-Md5", "Repr-Digest", "Digest"}
	// digestsOfPart are those of the bytes in this very answer, and wrong for a part of them.
	digestsOfPart = digests[:2]
	// ofPage is what else belongs to a page and not to an answer of our own.
	ofPage = [...]string{"Content-Encoding", "Content-Language", "Content-Disposition", "Content-Location", "Etag", "Last-Modified", "Date", "Age", "Expires"}
)

func remove(h http.Header, names []string) {
	for _, name := range names {
		delete(h, name)
	}
}

// notModified answers 304. The page's headers go along: those that RFC 9110, 15.4.5, demands (Content-Location, Date,
// ETag, Vary, Cache-Control, Expires), and the others, as a client updates from them what it holds. Not so what
// describes content.
func notModified(w http.ResponseWriter, v *validators) {
	remove(w.Header(), content[:])
	if v.digested {
		remove(w.Header(), digests[:])
	}
	w.WriteHeader(http.StatusNotModified)
}

// refuse answers with a status that has no page.
func refuse(w http.ResponseWriter, status int, text string) {
	h := w.Header()
	remove(h, ofPage[:])
	remove(h, digests[:])
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
