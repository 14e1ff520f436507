package static_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/static"
)

// pages is a store whose pages are published and served by the tests.
type pages struct {
	testing.TB
	*cache.Store
}

// largeSize makes a body one that is served by descriptor.
const largeSize = 10_000

func newPages(t testing.TB) *pages {
	t.Helper()
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{
		Dir: dir, Live: filepath.Join(dir, "live"), MemoryPageMax: largeSize - 1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	return &pages{t, store}
}

func (p *pages) publish(path string, body []byte, m cache.Meta) cache.Key {
	p.Helper()
	k := cache.Key{Host: "a.example", Path: path}
	fill, err := p.Claim(context.Background(), k)
	if err != nil {
		p.Fatal(err)
	}
	defer fill.Close()
	if _, err := fill.Write(body); err != nil {
		p.Fatal(err)
	}
	if m.Header == nil {
		m.Header = http.Header{"Content-Type": {"text/html; charset=utf-8"}}
	}
	hit, err := fill.Publish(context.Background(), m)
	if err != nil {
		p.Fatal(err)
	}
	_ = hit.Close()
	return k
}

func (p *pages) lookup(k cache.Key) cache.Hit {
	p.Helper()
	hit, err := p.Lookup(k)
	if err != nil {
		p.Fatal(err)
	}
	return hit
}

// serve answers a request with a page. Headers are pairs.
func (p *pages) serve(k cache.Key, method string, header ...string) *httptest.ResponseRecorder {
	p.Helper()
	r := httptest.NewRequest(method, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	hit := p.lookup(k)
	defer hit.Close()
	w := httptest.NewRecorder()
	static.Serve(w, r, &hit, static.Options{})
	return w
}

// twins asks for encodings until the store has made them.
func (p *pages) twins(k cache.Key, encodings ...string) {
	p.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for _, encoding := range encodings {
		for p.serve(k, "HEAD", "Accept-Encoding", encoding).Header().Get("Content-Encoding") != encoding {
			if time.Now().After(deadline) {
				p.Fatalf("no %s twin of %s was made", encoding, k)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func TestServePage(t *testing.T) {
	p := newPages(t)
	for name, body := range map[string][]byte{"empty": {}, "small": []byte("0123456789"), "large": bytes.Repeat([]byte("0123456789"), largeSize/10)} {
		k := p.publish("/"+name, body, cache.Meta{})
		for _, method := range []string{"GET", "HEAD"} {
			w := p.serve(k, method)
			h := w.Header()
			etag := h.Get("Etag")
			if w.Code != 200 || h.Get("Content-Length") != fmt.Sprint(len(body)) || h.Get("Cache-Control") != "no-cache" || h.Get("Vary") != "Accept-Encoding" ||
				h.Get("Content-Type") != "text/html; charset=utf-8" || h.Get("Last-Modified") != "" || h.Get("Accept-Ranges") != "bytes" || h.Get("Age") != "" ||
				!strings.HasPrefix(etag, `"`) || !strings.HasSuffix(etag, fmt.Sprintf(`-%x"`, len(body))) {
				t.Errorf("%s %s: %d %v", method, name, w.Code, h)
			}
			if want := string(body); method == "GET" && w.Body.String() != want || method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("%s %s: %d bytes", method, name, w.Body.Len())
			}
		}
	}
}

func TestClientPolicy(t *testing.T) {
	p := newPages(t)
	for _, c := range []struct {
		name              string
		header            http.Header
		o                 static.Options
		cacheControl, age string
	}{
		{"default", http.Header{}, static.Options{}, "no-cache", ""},
		{"option", http.Header{}, static.Options{CacheControl: "private, no-cache"}, "private, no-cache", ""},
		{"own", http.Header{"Cache-Control": {"max-age=60"}}, static.Options{CacheControl: "no-cache"}, "max-age=60", "0"},
		{"expires", http.Header{"Expires": {"Fri, 31 Dec 9999 23:59:59 GMT"}}, static.Options{}, "", ""},
	} {
		k := p.publish("/"+c.name, []byte("x"), cache.Meta{Header: c.header})
		hit := p.lookup(k)
		w := httptest.NewRecorder()
		static.Serve(w, httptest.NewRequest("GET", "/", nil), &hit, c.o)
		_ = hit.Close()
		if got := w.Header(); got.Get("Cache-Control") != c.cacheControl || got.Get("Age") != c.age {
			t.Errorf("%s: %v", c.name, got)
		}
		if _, guessed := w.Header()["Content-Type"]; guessed && w.Header().Get("Content-Type") != "" {
			t.Errorf("%s: a Content-Type was guessed: %v", c.name, w.Header())
		}
	}
}

func TestVaryIsTheUnion(t *testing.T) {
	p := newPages(t)
	k := p.publish("/", []byte("x"), cache.Meta{Header: http.Header{"Vary": {"Accept, accept-encoding"}}})
	hit := p.lookup(k)
	defer hit.Close()
	w := httptest.NewRecorder()
	w.Header().Set("Vary", "Origin, Accept")
	static.Serve(w, httptest.NewRequest("GET", "/", nil), &hit, static.Options{})
	if got := w.Header()["Vary"]; fmt.Sprint(got) != "[Origin, Accept, accept-encoding]" {
		t.Errorf("Vary %q", got)
	}
}

// What a handler further out adds to a header of an answer must not get into the page.
func TestPageIsNotModifiedThroughItsHeaders(t *testing.T) {
	p := newPages(t)
	k := p.publish("/", []byte("x"), cache.Meta{Header: http.Header{"Link": append(make([]string, 0, 8), "<a>")}})
	first, second := p.serve(k, "GET").Header(), p.serve(k, "GET").Header()
	first.Add("Link", "<b>")
	second.Add("Link", "<c>")
	second.Add("Vary", "Cookie")
	if fmt.Sprint(first["Link"]) != "[<a> <b>]" {
		t.Errorf("another answer wrote into this one: %v", first)
	}
	if h := p.serve(k, "GET").Header(); fmt.Sprint(h["Link"], h["Vary"]) != "[<a>] [Accept-Encoding]" {
		t.Errorf("%v", h)
	}
}

func TestConditions(t *testing.T) {
	p := newPages(t)
	k := p.publish("/", []byte("0123456789"), cache.Meta{Header: http.Header{"Content-Type": {"text/html"}, "Link": {"<a>"}}})
	etag := p.serve(k, "GET").Header().Get("Etag")
	gone := p.publish("/gone", []byte("0123456789"), cache.Meta{Status: 404})
	const far, old = "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:01 GMT"
	for _, c := range []struct {
		header []string
		want   int
	}{
		{nil, 200},
		{[]string{"If-None-Match", etag}, 304},
		{[]string{"If-None-Match", "W/" + etag}, 304},
		{[]string{"If-None-Match", "*"}, 304},
		{[]string{"If-None-Match", " * "}, 304},
		{[]string{"If-None-Match", `"x", "a,b" , ` + etag}, 304},
		{[]string{"If-None-Match", `"x"`, "If-None-Match", etag}, 304},
		{[]string{"If-None-Match", `"x"`}, 200},
		{[]string{"If-None-Match", `"x` + strings.Trim(etag, `"`) + `"`}, 200},
		{[]string{"If-None-Match", strings.Trim(etag, `"`)}, 200},
		{[]string{"If-None-Match", `"x, ` + strings.Trim(etag, `"`)}, 200},
		{[]string{"If-None-Match", ""}, 200},
		{[]string{"If-None-Match", "W/"}, 200},
		{[]string{"If-None-Match", `"x",, ,` + etag}, 304},
		{[]string{"If-None-Match", `w/` + etag}, 200}, // the W is case-sensitive
		{[]string{"If-Match", etag}, 200},
		{[]string{"If-Match", "*"}, 200},
		{[]string{"If-Match", `"x"`}, 412},
		{[]string{"If-Match", "W/" + etag}, 412},
		{[]string{"If-Match", `"x"`, "If-None-Match", etag}, 412},
		{[]string{"If-Match", etag, "If-None-Match", etag}, 304},
		// Dates mean nothing here.
		{[]string{"If-Modified-Since", far}, 200},
		{[]string{"If-Unmodified-Since", old}, 200},
		{[]string{"If-None-Match", `"x"`, "If-Modified-Since", far}, 200},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := p.serve(k, method, c.header...)
			if w.Code != c.want {
				t.Errorf("%s %q: %d, want %d", method, c.header, w.Code, c.want)
			}
			h := w.Header()
			switch w.Code {
			case 304:
				if w.Body.Len() > 0 || h.Get("Etag") != etag || h.Get("Cache-Control") != "no-cache" || h.Get("Vary") != "Accept-Encoding" ||
					h.Get("Link") != "<a>" || h.Get("Content-Type") != "" || h.Get("Content-Length") != "" {
					t.Errorf("%q: %q %v", c.header, w.Body, h)
				}
			case 412:
				if w.Body.Len() > 0 || h.Get("Etag") != "" || h.Get("Content-Length") != "0" {
					t.Errorf("%q: %q %v", c.header, w.Body, h)
				}
			}
		}
		if w := p.serve(gone, "GET", c.header...); w.Code != 404 || w.Body.Len() != 10 {
			t.Errorf("a 404, %q: %d, %d bytes", c.header, w.Code, w.Body.Len())
		}
	}
}

func TestRanges(t *testing.T) {
	p := newPages(t)
	small := []byte("0123456789")
	large := make([]byte, 2*largeSize)
	for i := range large {
		large[i] = byte('a' + i%23)
	}
	for name, body := range map[string][]byte{"small": small, "large": large} {
		k := p.publish("/"+name, body, cache.Meta{})
		etag := p.serve(k, "GET").Header().Get("Etag")
		n := len(body)
		for _, c := range []struct {
			method string
			header []string
			code   int
			from   int
			to     int // exclusive
		}{
			{"GET", []string{"Range", "bytes=2-5"}, 206, 2, 6},
			{"GET", []string{"Range", "Bytes=2-5"}, 206, 2, 6},
			{"GET", []string{"Range", "bytes= 2-5 "}, 206, 2, 6},
			{"GET", []string{"Range", "bytes=0-0"}, 206, 0, 1},
			{"GET", []string{"Range", "bytes=3-"}, 206, 3, n},
			{"GET", []string{"Range", fmt.Sprintf("bytes=%d-", n-1)}, 206, n - 1, n},
			{"GET", []string{"Range", "bytes=-3"}, 206, n - 3, n},
			{"GET", []string{"Range", "bytes=-18446744073709551617"}, 206, 0, n},
			{"GET", []string{"Range", "bytes=1-18446744073709551617"}, 206, 1, n},
			{"GET", []string{"Range", "bytes=1-9223372036854775807"}, 206, 1, n},
			{"GET", []string{"Range", fmt.Sprintf("bytes=%d-", n)}, 416, 0, 0},
			{"GET", []string{"Range", "bytes=18446744073709551617-"}, 416, 0, 0},
			{"GET", []string{"Range", "bytes=-0"}, 416, 0, 0},
			// What is ignored: the whole page.
			{"HEAD", []string{"Range", "bytes=2-5"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=5-2"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=2-5,7-8"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=0-5,3-8"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=" + strings.Repeat("0-0,", 99) + "0-0"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=0-1", "Range", "bytes=4-5"}, 200, 0, n},
			{"GET", []string{"Range", "lines=0-1"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=+1-2"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=--1"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=0x1-2"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=1 - 2"}, 200, 0, n},
			{"GET", []string{"Range", "bytes="}, 200, 0, n},
			{"GET", []string{"Range", ""}, 200, 0, n},
			{"GET", []string{"Range", "bytes=2-5", "If-Range", etag}, 206, 2, 6},
			{"GET", []string{"Range", "bytes=2-5", "If-Range", "W/" + etag}, 200, 0, n},
			{"GET", []string{"Range", "bytes=2-5", "If-Range", `"x"`}, 200, 0, n},
			{"GET", []string{"Range", "bytes=2-5", "If-Range", "Fri, 31 Dec 9999 23:59:59 GMT"}, 200, 0, n},
			{"GET", []string{"Range", "bytes=2-5", "If-None-Match", etag}, 304, 0, 0},
		} {
			w := p.serve(k, c.method, c.header...)
			h := w.Header()
			want := string(body[c.from:c.to])
			if c.method == "HEAD" {
				want = ""
			}
			if w.Code != c.code || w.Body.String() != want {
				t.Errorf("%s %q: %d with %d bytes, want %d with %d", name, c.header, w.Code, w.Body.Len(), c.code, len(want))
				continue
			}
			contentRange, length := "", fmt.Sprint(c.to-c.from)
			switch c.code {
			case 206:
				contentRange = fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, n)
			case 416:
				contentRange = fmt.Sprintf("bytes */%d", n)
			case 304:
				length = ""
			}
			if h.Get("Content-Range") != contentRange || h.Get("Content-Length") != length {
				t.Errorf("%s %q: %v", name, c.header, h)
			}
		}
	}
	// Only pages of status 200 have parts.
	k := p.publish("/gone", small, cache.Meta{Status: 410})
	if w := p.serve(k, "GET", "Range", "bytes=2-5"); w.Code != 410 || w.Body.Len() != 10 || w.Header().Get("Accept-Ranges") != "" {
		t.Errorf("a part of a 410: %d %v", w.Code, w.Header())
	}
	empty := p.publish("/empty", nil, cache.Meta{})
	if w := p.serve(empty, "GET", "Range", "bytes=0-"); w.Code != 200 || w.Header().Get("Content-Length") != "0" {
		t.Errorf("a part of nothing: %d %v", w.Code, w.Header())
	}
}

func TestEncodings(t *testing.T) {
	p := newPages(t)
	body := bytes.Repeat([]byte("compress me, please. "), largeSize/10)
	k := p.publish("/", body, cache.Meta{})
	p.twins(k, "gzip", "br", "zstd")
	kept := p.publish("/kept", body, cache.Meta{Header: http.Header{"Content-Type": {"text/html"}, "Cache-Control": {"max-age=9, no-transform"}}})
	const none = ""
	for n, c := range []struct {
		accept string
		all    string // of the page with all twins
		single string // of the one with gzip
	}{
		{"gzip", "gzip", "gzip"},
		{"gzip, deflate, br, zstd", "br", "gzip"},
		{"gzip, zstd", "zstd", "gzip"},
		{"br;q=0.5, gzip;q=0.8, zstd;q=0.1", "gzip", "gzip"},
		{"GZIP", "gzip", "gzip"}, {"x-gzip", "gzip", "gzip"}, {"x-gzip;q=0, gzip", none, none},
		{"br", "br", none},
		{"br;q=0, gzip", "gzip", "gzip"},
		{"br;q=0.000, gzip;q=0.001", "gzip", "gzip"},
		{"gzip;q=0.5, identity", none, none},
		{"gzip;q=0.5, identity;q=0.5", "gzip", "gzip"},
		{"*", "br", "gzip"},
		{"*;q=0.5, br;q=0", "zstd", "gzip"},
		{"gzip, *;q=0", "gzip", "gzip"},
		{"deflate, compress", none, none},
		{"", none, none},
		{"identity", none, none},
		{" gzip ;q=1.000 ,, ", "gzip", "gzip"},
		{"gzip; q=1", "gzip", "gzip"},
		{"gzip;q=0, gzip", none, none}, // contradictory: the stricter one
		// Malformed: the page as it is.
		{"gzip;q=2", none, none}, {"gzip;q=1.001", none, none}, {"gzip;q=.5", none, none}, {"gzip;q=0.1234", none, none},
		{"gzip;q=-1", none, none}, {"gzip;q=", none, none}, {"gzip;q", none, none}, {"gzip;x=1", none, none}, {"gzip br", none, none},
		{"gzip;;q=1", none, none}, {";q=1", none, none}, {"gzip;q=1;q=1", none, none}, {"br, \x00", none, none}, {"br, gzip;q=x", none, none},
		{strings.Repeat("br, ", 1000), none, none},
	} {
		// A new page each time: asking for a coding often makes the store produce it.
		single := p.publish("/gzip/"+strconv.Itoa(n), body, cache.Meta{})
		p.twins(single, "gzip")
		for i, want := range []string{c.all, c.single, none} {
			key := []cache.Key{k, single, kept}[i]
			w := p.serve(key, "GET", "Accept-Encoding", c.accept)
			h := w.Header()
			if c.accept == "gzip, *;q=0" && i == 2 { // it accepts neither
				if w.Code != 406 {
					t.Errorf("%q: %d, want 406", c.accept, w.Code)
				}
				continue
			}
			if w.Code != 200 || h.Get("Content-Encoding") != want || h.Get("Vary") != "Accept-Encoding" || h.Get("Content-Length") != fmt.Sprint(w.Body.Len()) {
				t.Errorf("%q, page %d: %d %v, want %q", c.accept, i, w.Code, h, want)
			}
			if want == none && !bytes.Equal(w.Body.Bytes(), body) {
				t.Errorf("%q: %d bytes", c.accept, w.Body.Len())
			}
			if want == "gzip" {
				z, err := gzip.NewReader(w.Body)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(z); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%q: %d bytes, %v", c.accept, len(got), err)
				}
			}
		}
	}
	// Nothing acceptable.
	single := p.publish("/single", body, cache.Meta{})
	p.twins(single, "gzip")
	for _, accept := range []string{"identity;q=0", "*;q=0", "br, identity;q=0", "deflate, *;q=0"} {
		w := p.serve(single, "GET", "Accept-Encoding", accept)
		if h := w.Header(); w.Code != 406 || h.Get("Content-Encoding") != "" || h.Get("Vary") != "Accept-Encoding" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %v", accept, w.Code, h)
		}
	}
	// An encoding is a representation of its own, with its own ETag and its own parts.
	plain, zipped := p.serve(k, "GET"), p.serve(k, "GET", "Accept-Encoding", "gzip")
	etag := zipped.Header().Get("Etag")
	if etag == plain.Header().Get("Etag") {
		t.Errorf("page and twin share %s", etag)
	}
	if w := p.serve(k, "GET", "Accept-Encoding", "gzip", "If-None-Match", etag); w.Code != 304 || w.Header().Get("Content-Encoding") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := p.serve(k, "GET", "If-None-Match", etag); w.Code != 200 {
		t.Errorf("the twin's ETag matches the page: %d", w.Code)
	}
	part := p.serve(k, "GET", "Accept-Encoding", "gzip", "Range", "bytes=5-9", "If-Range", etag)
	if part.Code != 206 || part.Body.String() != zipped.Body.String()[5:10] || part.Header().Get("Content-Encoding") != "gzip" {
		t.Errorf("%d %v", part.Code, part.Header())
	}
}

func BenchmarkServe(b *testing.B) {
	p := newPages(b)
	k := p.publish("/", bytes.Repeat([]byte("x"), largeSize-1), cache.Meta{})
	r := httptest.NewRequest("GET", "/", nil)
	w := &discard{make(http.Header)}
	hit := p.lookup(k)
	etag := p.serve(k, "GET").Header().Get("Etag")
	serve := func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			clear(w.header)
			static.Serve(w, r, &hit, static.Options{})
		}
	}
	b.Run("200", serve)
	r.Header.Set("If-None-Match", etag)
	b.Run("304", serve)
}

type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) WriteHeader(int)             {}
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
