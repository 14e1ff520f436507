package static_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/static"
)

const (
	before   = "Sun, 01 Nov 2026 08:00:00 GMT"
	modified = "Mon, 02 Nov 2026 08:00:00 GMT"
	after    = "Tue, 03 Nov 2026 08:00:00 GMT"
	sent     = "Fri, 20 Nov 2026 08:00:00 GMT" // Date: much later than Last-Modified
)

// serveWith is serve with options.
func (p *pages) serveWith(k cache.Key, o static.Options, header ...string) *httptest.ResponseRecorder {
	p.Helper()
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	hit := p.lookup(k)
	defer hit.Close()
	w := httptest.NewRecorder()
	static.Serve(w, r, &hit, o)
	return w
}

// Whatever validators a page has and whatever conditions a request, well-formed ones: status, bytes and headers are those
// of http.ServeContent, which follows RFC 9110, 13.2.2.
func TestConditionsAsServeContent(t *testing.T) {
	p := newPages(t)
	const body = "0123456789"
	tags := []string{"", `"v1"`, `W/"v1"`}
	dates := []string{"", modified}
	hits := make(map[[2]string]*cache.Hit)
	for i, tag := range tags {
		for j, date := range dates {
			h := http.Header{"Content-Type": {"text/plain"}, "Date": {sent}}
			if tag != "" {
				h["Etag"] = []string{tag}
			}
			if date != "" {
				h["Last-Modified"] = []string{date}
			}
			hit := p.lookup(p.publish(fmt.Sprintf("/%d/%d", i, j), []byte(body), cache.Meta{Header: h}))
			defer hit.Close()
			hits[[2]string{tag, date}] = &hit
		}
	}
	since := []string{"", "", before, modified, after, "Monday, 02-Nov-26 08:00:00 GMT", "Mon Nov  2 08:00:00 2026", "yesterday", "0"}
	seen := make(map[int]int)
	ask := func(t *rapid.T) {
		tag, date := rapid.SampledFrom(tags).Draw(t, "tag"), rapid.SampledFrom(dates).Draw(t, "date")
		hit := hits[[2]string{tag, date}]
		computed := hit.Identity().ETag
		lists := []string{"", "", `"v1"`, `W/"v1"`, `"v2"`, "*", computed, "W/" + computed, `"v2", W/"v1"`, `"v0" , "v1"`}
		r := httptest.NewRequest(rapid.SampledFrom([]string{"GET", "GET", "HEAD"}).Draw(t, "method"), "/", nil)
		for _, c := range []struct {
			name   string
			values []string
		}{
			{"If-Match", lists}, {"If-None-Match", lists}, {"If-Modified-Since", since}, {"If-Unmodified-Since", since},
			{"Range", []string{"", "bytes=2-5", "bytes=-3", "bytes=4-", "bytes=99-"}},
			{"If-Range", []string{"", "", `"v1"`, `W/"v1"`, `"v2"`, computed, before, modified, after, "Monday, 02-Nov-26 08:00:00 GMT", "yesterday"}},
		} {
			if value := rapid.SampledFrom(c.values).Draw(t, c.name); value != "" {
				r.Header.Set(c.name, value)
			}
		}
		theirs := httptest.NewRecorder()
		theirs.Header().Set("Etag", computed)
		if tag != "" {
			theirs.Header().Set("Etag", tag)
		}
		theirs.Header().Set("Content-Type", "text/plain")
		at, _ := http.ParseTime(date)
		http.ServeContent(theirs, r, "", at, strings.NewReader(body))
		ours := httptest.NewRecorder()
		static.Serve(ours, r, hit, static.Options{AsIs: true})

		want := theirs.Code
		if r.Method == http.MethodHead && (want == 206 || want == 416) {
			want = 200 // a range is for GET alone (RFC 9110, 14.2)
		}
		seen[want]++
		if ours.Code != want {
			t.Fatalf("%s %v of %q %q: %d, net/http says %d", r.Method, r.Header, tag, date, ours.Code, want)
		}
		if want == theirs.Code && want < 400 {
			if ours.Body.String() != theirs.Body.String() {
				t.Fatalf("%v: %q, net/http %q", r.Header, ours.Body, theirs.Body)
			}
			for _, name := range []string{"Etag", "Content-Range", "Content-Type", "Accept-Ranges", "Content-Length"} {
				if ours.Header().Get(name) != theirs.Header().Get(name) {
					t.Fatalf("%d %v: %s %q, net/http %q", want, r.Header, name, ours.Header().Get(name), theirs.Header().Get(name))
				}
			}
		}
		if got := ours.Header().Get("Last-Modified"); want < 400 && got != date || want >= 400 && got != "" {
			t.Fatalf("%d: Last-Modified %q, the page's is %q", want, got, date)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		for range 50 { // a case is cheap
			ask(t)
		}
	})
	for _, status := range []int{200, 206, 304, 412, 416} {
		if seen[status] == 0 {
			t.Errorf("no request was answered %d: %v", status, seen)
		}
	}
}

// What net/http reads otherwise than RFC 9110 does, or more freely than a promise allows.
func TestDatesInConditions(t *testing.T) {
	p := newPages(t)
	page := func(path string, header ...string) cache.Key {
		h := http.Header{"Content-Type": {"text/plain"}}
		for i := 0; i < len(header); i += 2 {
			h.Add(header[i], header[i+1])
		}
		return p.publish(path, []byte("0123456789"), cache.Meta{Header: h})
	}
	dated := page("/dated", "Last-Modified", modified, "Date", sent)
	weak := page("/weak", "Last-Modified", modified, "Date", modified) // it may change once more within this second
	barely := page("/barely", "Last-Modified", modified, "Date", "Mon, 02 Nov 2026 08:00:01 GMT")
	just := time.Now().Add(-30 * time.Second).UTC().Format(http.TimeFormat)
	undated := page("/undated", "Last-Modified", just) // it came a while after that second, we can't know how long
	longUndated := page("/long/undated", "Last-Modified", modified, "Date", "now")
	without := page("/without", "Date", sent)
	malformed := page("/malformed", "Last-Modified", "Mon, 02 Nov 2026 08:00:00 CET", "Date", sent)
	twice := page("/twice", "Last-Modified", modified, "Last-Modified", before, "Date", sent)
	for _, c := range []struct {
		page   cache.Key
		header []string
		want   int
	}{
		{dated, []string{"If-Modified-Since", modified}, 304},
		{dated, []string{"If-Modified-Since", " " + modified + "\t"}, 304},
		{dated, []string{"If-Modified-Since", modified, "If-Modified-Since", modified}, 200},
		{dated, []string{"If-Modified-Since", "Sun, 02 Nov 2026 08:00:00 GMT"}, 200}, // it was a Monday
		{dated, []string{"If-Modified-Since", "Mon, 02 Nov 2026 08:00:00.5 GMT"}, 200},
		{dated, []string{"If-Modified-Since", "Mon, 02 Nov 2026 08:00:00 UTC"}, 200},
		{dated, []string{"If-Modified-Since", "Monday, 02-Nov-26 08:00:00 PST"}, 200},
		{dated, []string{"If-Modified-Since", "Mon, 2 Nov 2026 08:00:00 GMT"}, 200},
		{dated, []string{"If-Modified-Since", ""}, 200},
		{dated, []string{"If-None-Match", "", "If-Modified-Since", modified}, 200}, // a tag goes before a date
		{dated, []string{"If-None-Match", "x", "If-Modified-Since", modified}, 200},
		{dated, []string{"If-Match", "*", "If-Unmodified-Since", before}, 200},
		{dated, []string{"If-Unmodified-Since", before, "If-Unmodified-Since", before}, 200},
		{dated, []string{"If-Unmodified-Since", before}, 412},
		{dated, []string{"If-Unmodified-Since", modified, "If-Modified-Since", modified}, 304},
		{dated, []string{"If-Unmodified-Since", before, "If-Modified-Since", after}, 412},
		{barely, []string{"If-Modified-Since", modified}, 304},
		{weak, []string{"If-Modified-Since", modified}, 200},
		{weak, []string{"If-Modified-Since", after}, 304},
		{weak, []string{"If-Unmodified-Since", modified}, 412},
		{undated, []string{"If-Modified-Since", just}, 200},
		{undated, []string{"If-Modified-Since", time.Now().UTC().Format(http.TimeFormat)}, 304},
		{longUndated, []string{"If-Modified-Since", modified}, 304},
		{without, []string{"If-Modified-Since", sent}, 200},
		{without, []string{"If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT"}, 200},
		{without, []string{"If-Unmodified-Since", before}, 200},
		{malformed, []string{"If-Modified-Since", after}, 200},
		{malformed, []string{"If-Unmodified-Since", before}, 200},
		{twice, []string{"If-Modified-Since", after}, 200},
		{dated, []string{"Range", "bytes=2-3", "If-Range", modified}, 206},
		{dated, []string{"Range", "bytes=2-3", "If-Range", after}, 200},
		{dated, []string{"Range", "bytes=2-3", "If-Range", before}, 200},
		{dated, []string{"Range", "bytes=2-3", "If-Range", modified, "If-Range", modified}, 200},
		{dated, []string{"Range", "bytes=2-3", "If-Range", modified, "Accept-Encoding", "gzip"}, 200},
		{dated, []string{"Range", "bytes=2-3", "If-Range", modified, "Accept-Encoding", "*"}, 200},
		{dated, []string{"Range", "bytes=2-3", "If-Range", modified, "Accept-Encoding", "identity"}, 206},
		{dated, []string{"Range", "bytes=2-3", "If-Range", modified, "Accept-Encoding", "gzip;q=0, deflate"}, 206},
		{dated, []string{"Range", "bytes=2-3", "If-Range", ""}, 200},
		{barely, []string{"Range", "bytes=2-3", "If-Range", modified}, 206},
		{weak, []string{"Range", "bytes=2-3", "If-Range", modified}, 200},
		{undated, []string{"Range", "bytes=2-3", "If-Range", just}, 200},
		{longUndated, []string{"Range", "bytes=2-3", "If-Range", modified}, 206},
		{without, []string{"Range", "bytes=2-3", "If-Range", sent}, 200},
	} {
		if w := p.serveWith(c.page, static.Options{AsIs: true}, c.header...); w.Code != c.want {
			t.Errorf("%s, %q: %d, want %d", c.page.Path, c.header, w.Code, c.want)
		}
	}
}

// Tags that no server should send are sent on, but meet no strong condition, and a weak one only as they came.
func TestMalformedTags(t *testing.T) {
	p := newPages(t)
	for i, tag := range []string{`abc`, `"abc`, `abc"`, `w/"abc"`, `W/abc`, `W"abc"`, `"a"bc"`, `"abc", "def"`, `"`, `W/`} {
		k := p.publish(fmt.Sprint("/", i), []byte("0123456789"), cache.Meta{Header: http.Header{"Etag": {tag}}})
		if w := p.serveWith(k, static.Options{}); w.Code != 200 || w.Header().Get("Etag") != tag {
			t.Errorf("%q: %d %v", tag, w.Code, w.Header())
		}
		for _, c := range []struct {
			header []string
			want   int
		}{
			{[]string{"If-None-Match", tag}, 304},
			{[]string{"If-None-Match", "*"}, 304},
			{[]string{"If-None-Match", `"x", ` + tag}, 200},
			{[]string{"If-Match", tag}, 412},
			{[]string{"If-Match", "*"}, 200},
			{[]string{"Range", "bytes=1-2", "If-Range", tag}, 200},
		} {
			if w := p.serveWith(k, static.Options{}, c.header...); w.Code != c.want {
				t.Errorf("%q, %q: %d, want %d", tag, c.header, w.Code, c.want)
			}
		}
	}
	// Bytes above ASCII are allowed.
	k := p.publish("/obs", []byte("x"), cache.Meta{Header: http.Header{"Etag": {"\"abc\xfc\""}}})
	if w := p.serveWith(k, static.Options{}, "If-Match", "\"x\", \"abc\xfc\""); w.Code != 200 {
		t.Error(w.Code)
	}
	// Several, or an empty one, are none: ours.
	for path, tags := range map[string][]string{"/two": {`"a"`, `"b"`}, "/none": {""}} {
		k := p.publish(path, []byte("0123456789"), cache.Meta{Header: http.Header{"Etag": tags}})
		hit := p.lookup(k)
		w := p.serveWith(k, static.Options{})
		if got := w.Header()["Etag"]; len(got) != 1 || got[0] != hit.Identity().ETag {
			t.Errorf("%s: %q", path, got)
		}
		_ = hit.Close()
		if w := p.serveWith(k, static.Options{}, "If-None-Match", `"a"`); w.Code != 200 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// A twin is not the bytes that the origin's strong tag names.
func TestTwinsOfTaggedPages(t *testing.T) {
	p := newPages(t)
	body := bytes.Repeat([]byte("compress me, please. "), 100)
	header := func(tag string) http.Header {
		h := http.Header{"Content-Type": {"text/html"}, "Last-Modified": {modified}, "Date": {sent}, "Content-Digest": {"sha-256=:x:"}, "Repr-Digest": {"sha-256=:x:"}}
		if tag != "" {
			h["Etag"] = []string{tag}
		}
		return h
	}
	strong := p.publish("/strong", body, cache.Meta{Header: header(`"v1"`)})
	weak := p.publish("/weak", body, cache.Meta{Header: header(`W/"v1"`)})
	untagged := p.publish("/untagged", body, cache.Meta{Header: header("")})
	odd := p.publish("/odd", body, cache.Meta{Header: header("v1")})
	for _, k := range []cache.Key{strong, weak, untagged, odd} {
		p.twins(k, "gzip")
	}
	for _, c := range []struct {
		page     cache.Key
		header   []string
		status   int
		encoding string
		etag     string
	}{
		{strong, nil, 200, "", `"v1"`},
		{strong, []string{"Accept-Encoding", "gzip"}, 200, "gzip", `W/"v1"`},
		{weak, []string{"Accept-Encoding", "gzip"}, 200, "gzip", `W/"v1"`},
		{odd, []string{"Accept-Encoding", "gzip"}, 200, "gzip", "v1"},
		{strong, []string{"Accept-Encoding", "gzip", "If-None-Match", `W/"v1"`}, 304, "", `W/"v1"`},
		{strong, []string{"Accept-Encoding", "gzip", "If-None-Match", `"v1"`}, 304, "", `W/"v1"`},
		{strong, []string{"If-None-Match", `W/"v1"`}, 304, "", `"v1"`},
		{strong, []string{"Accept-Encoding", "gzip", "If-Modified-Since", modified}, 304, "", `W/"v1"`},
		// A part of a twin, as long as nothing must be compared.
		{strong, []string{"Accept-Encoding", "gzip", "Range", "bytes=1-2"}, 206, "gzip", `W/"v1"`},
		// A strong condition is met by the page itself, so it is what is sent.
		{strong, []string{"Accept-Encoding", "gzip", "If-Match", `"v1"`}, 200, "", `"v1"`},
		{strong, []string{"Accept-Encoding", "gzip", "Range", "bytes=1-2", "If-Range", `"v1"`}, 206, "", `"v1"`},
		{strong, []string{"Accept-Encoding", "gzip", "Range", "bytes=1-2", "If-Range", `W/"v1"`}, 200, "", `"v1"`},
		{weak, []string{"Accept-Encoding", "gzip", "Range", "bytes=1-2", "If-Range", `W/"v1"`}, 200, "", `W/"v1"`},
		{weak, []string{"Accept-Encoding", "gzip", "If-Match", `W/"v1"`}, 412, "", ""},
		// Unless the client wants it encoded only.
		{strong, []string{"Accept-Encoding", "gzip, identity;q=0", "If-Match", `"v1"`}, 412, "", ""},
		{strong, []string{"Accept-Encoding", "gzip, identity;q=0", "Range", "bytes=1-2", "If-Range", `"v1"`}, 200, "gzip", `W/"v1"`},
		// The date is that of all encodings.
		{strong, []string{"Accept-Encoding", "gzip", "Range", "bytes=1-2", "If-Range", modified}, 200, "", `"v1"`},
		{untagged, []string{"Accept-Encoding", "gzip", "Range", "bytes=1-2", "If-Range", modified}, 200, "gzip", "computed"},
	} {
		w := p.serveWith(c.page, static.Options{AsIs: true}, c.header...)
		h := w.Header()
		if c.etag == "computed" {
			c.etag = h.Get("Etag")
			if c.etag == p.serve(c.page, "GET").Header().Get("Etag") || !strings.HasPrefix(c.etag, `"`) {
				t.Errorf("the twin's tag is %s", c.etag)
			}
		}
		if w.Code != c.status || h.Get("Content-Encoding") != c.encoding || h.Get("Etag") != c.etag {
			t.Errorf("%s %q: %d %v", c.page.Path, c.header, w.Code, h)
		}
		// Digests go with the bytes they are of.
		whole := w.Code == 200 && c.encoding == ""
		if content, repr := h.Get("Content-Digest"), h.Get("Repr-Digest"); (content != "") != whole || (repr != "") != (whole || w.Code == 206 && c.encoding == "") {
			t.Errorf("%s %q: %d with digests %q, %q", c.page.Path, c.header, w.Code, content, repr)
		}
	}
}

// What an origin has encoded is sent as it came.
func TestEncodedByTheOrigin(t *testing.T) {
	p := newPages(t)
	body := bytes.Repeat([]byte("not really brotli "), 100)
	k := p.publish("/", body, cache.Meta{Header: http.Header{"Content-Type": {"text/html"}, "Content-Encoding": {"br"}, "Etag": {`"v1"`}}})
	for _, accept := range []string{"br", "gzip", "gzip, *;q=0", "identity"} {
		for range 5 {
			w := p.serveWith(k, static.Options{AsIs: true}, "Accept-Encoding", accept)
			if h := w.Header(); w.Code != 200 || h.Get("Content-Encoding") != "br" || h.Get("Etag") != `"v1"` || !bytes.Equal(w.Body.Bytes(), body) {
				t.Errorf("%q: %d %v", accept, w.Code, h)
			}
		}
	}
	if w := p.serveWith(k, static.Options{AsIs: true}, "Range", "bytes=0-2", "If-Range", `"v1"`); w.Code != 206 || w.Body.String() != "not" || w.Header().Get("Content-Encoding") != "br" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestHeadersOfAnOrigin(t *testing.T) {
	p := newPages(t)
	k := p.publish("/", []byte("0123456789"), cache.Meta{Header: http.Header{
		"Content-Type": {"text/html"}, "Cache-Control": {"max-age=60"}, "Expires": {after}, "Date": {sent}, "Etag": {`"v1"`}, "Last-Modified": {modified},
		"Content-Location": {"/index"}, "Vary": {"accept-encoding"}, "Accept-Ranges": {"none"}, "Content-Language": {"de"}, "Link": {"<a>"},
	}})
	bare := p.publish("/bare", []byte("0123456789"), cache.Meta{Header: http.Header{"Content-Type": {"text/html"}}})
	gone := p.publish("/gone", []byte("gone"), cache.Meta{Status: 410, Header: http.Header{"Etag": {`"v1"`}, "Last-Modified": {modified}, "Accept-Ranges": {"bytes"}}})
	empty := p.publish("/empty", nil, cache.Meta{Status: 204, Header: http.Header{"Etag": {`"v1"`}}})

	aged := static.Options{AsIs: true, WithAge: true, Age: 61*time.Second + 999*time.Millisecond}
	always := map[string]string{
		"Cache-Control": "max-age=60", "Expires": after, "Date": sent, "Etag": `"v1"`, "Last-Modified": modified, "Content-Location": "/index", "Vary": "Accept-Encoding",
		"Age": "61", "Link": "<a>",
	}
	for _, c := range []struct {
		header []string
		code   int
		more   map[string]string
	}{
		{nil, 200, map[string]string{"Content-Type": "text/html", "Content-Language": "de", "Accept-Ranges": "bytes", "Content-Length": "10"}},
		{[]string{"Range", "bytes=0-3"}, 206, map[string]string{"Content-Type": "text/html", "Content-Language": "de", "Accept-Ranges": "bytes", "Content-Length": "4"}},
		{[]string{"If-None-Match", `"v1"`}, 304, map[string]string{"Content-Type": "", "Content-Language": "", "Accept-Ranges": "", "Content-Length": ""}},
		{[]string{"If-Modified-Since", modified}, 304, nil},
	} {
		w := p.serveWith(k, aged, c.header...)
		for _, want := range []map[string]string{always, c.more} {
			for name, value := range want {
				if got := w.Header().Values(name); strings.Join(got, "|") != value {
					t.Errorf("%q: %s %q, want %q", c.header, name, got, value)
				}
			}
		}
		if w.Code != c.code {
			t.Errorf("%q: %d", c.header, w.Code)
		}
	}
	// Our own answers have nothing of the page's.
	for _, header := range [][]string{{"If-Match", `"v2"`}, {"Range", "bytes=99-"}} {
		h := p.serveWith(k, aged, header...).Header()
		for _, name := range []string{"Expires", "Date", "Etag", "Last-Modified", "Content-Location", "Age", "Content-Language"} {
			if h.Get(name) != "" {
				t.Errorf("%q: %v", header, h)
			}
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %v", header, h)
		}
	}
	for _, c := range []struct {
		k                 cache.Key
		o                 static.Options
		cacheControl, age string
	}{
		{bare, static.Options{AsIs: true}, "", ""},
		{bare, static.Options{AsIs: true, CacheControl: "private"}, "", ""},
		{bare, static.Options{WithAge: true, Age: 2 * time.Second}, "no-cache", "2"},
		{bare, static.Options{AsIs: true, WithAge: true}, "", "0"},
		{bare, static.Options{AsIs: true, WithAge: true, Age: -time.Hour}, "", "0"},
		{bare, static.Options{AsIs: true, WithAge: true, Age: 1<<63 - 1}, "", "2147483648"},
		{bare, static.Options{Age: time.Hour}, "no-cache", ""},
		{k, static.Options{AsIs: true}, "max-age=60", ""},
		{k, static.Options{}, "max-age=60", "0"},
		{k, static.Options{WithAge: true, Age: time.Hour}, "max-age=60", "3600"},
	} {
		h := p.serveWith(c.k, c.o).Header()
		if h.Get("Cache-Control") != c.cacheControl || h.Get("Age") != c.age || len(h["Age"]) > 1 {
			t.Errorf("%s %+v: %v", c.k.Path, c.o, h)
		}
	}
	for vary, want := range map[string]string{"Accept": "Accept, Accept-Encoding", "accept-ENCODING": "Accept-Encoding", "Accept-Encoding, Foo": "Accept-Encoding, Foo"} {
		k := p.publish("/vary", nil, cache.Meta{Header: http.Header{"Vary": {vary}}})
		if got := p.serveWith(k, static.Options{}).Header()["Vary"]; len(got) != 1 || got[0] != want {
			t.Errorf("Vary %q became %q", vary, got)
		}
		if _, err := p.Invalidate(t.Context(), cache.Selection{Keys: []cache.Key{k}}); err != nil {
			t.Fatal(err)
		}
	}
	// Conditions and ranges are for 200 (RFC 9110, 13.2.1); a 204 has neither content nor length (8.6).
	if w := p.serveWith(gone, aged, "If-None-Match", `"v1"`, "Range", "bytes=0-1"); w.Code != 410 || w.Body.String() != "gone" || w.Header().Get("Accept-Ranges") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := p.serveWith(empty, aged); w.Code != 204 || w.Body.Len() != 0 || len(w.Header()["Content-Length"]) > 0 {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := p.serve(k, "HEAD"); w.Header().Get("Content-Length") != "10" || w.Body.Len() > 0 || w.Header().Get("Etag") != `"v1"` {
		t.Errorf("HEAD: %v", w.Header())
	}
}
