package httpcache_test

import (
	"maps"
	"net/http"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestConditions: RFC 9111, 4.3.1.
func TestConditions(t *testing.T) {
	old := "Mon, 01 Jan 2024 00:00:00 GMT"
	date := []string{"Mon, 01 Jan 2024 00:00:01 GMT"}
	for _, c := range []struct {
		stored http.Header
		want   http.Header
	}{
		{http.Header{}, http.Header{}},
		{http.Header{"Etag": {`"a"`}}, http.Header{"If-None-Match": {`"a"`}}},
		{http.Header{"Etag": {`W/"a"`}, "Last-Modified": {old}, "Date": date}, http.Header{"If-None-Match": {`W/"a"`}, "If-Modified-Since": {old}}},
		{http.Header{"Etag": {`a`}, "Last-Modified": {"x"}, "Date": date}, http.Header{}},
		// Of the same second, or nobody knows: RFC 9110, 8.8.2.2.
		{http.Header{"Last-Modified": {old}, "Date": {old}}, http.Header{}},
		{http.Header{"Last-Modified": {old}}, http.Header{}},
		{http.Header{"Last-Modified": {old}, "Date": {"x"}}, http.Header{}},
		{http.Header{"Etag": {`"a", "b"`}}, http.Header{}},
		{http.Header{"Etag": {`"a"`, `"b"`}}, http.Header{}},
		{http.Header{"Etag": {`w/"a"`}}, http.Header{}},
		{http.Header{"Etag": {`"`}}, http.Header{}},
		{http.Header{"Last-Modified": {"Tuesday, 29-Feb-00 00:00:00 GMT"}, "Date": date}, http.Header{"If-Modified-Since": {"Tuesday, 29-Feb-00 00:00:00 GMT"}}},
	} {
		if got := httpcache.Conditions(c.stored); !maps.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("%v: %v", c.stored, got)
		}
	}
}

// TestValidates: RFC 9111, 4.3.4.
func TestValidates(t *testing.T) {
	for _, c := range []struct {
		stored, received []string
		want             bool
	}{
		{[]string{`Etag: "a"`}, []string{`ETag: "a"`}, true},
		{[]string{`Etag: "a"`}, []string{`etag: "b"`}, false},
		{[]string{`Etag: "a"`}, nil, true},
		{[]string{`Etag: "a"`}, []string{`Etag: W/"a"`}, true},
		{[]string{`Etag: W/"a"`}, []string{`Etag: W/"a"`}, true},
		{[]string{`Etag: W/"a"`}, []string{`Etag: "a"`}, false}, // the exact bytes of another
		{[]string{`Etag: W/"a"`}, []string{`Etag: W/"b"`}, false},
		{[]string{`Etag: "a"`}, []string{`Etag: a`}, false},
		{[]string{`Last-Modified: x`}, []string{`Etag: "a"`, "Last-Modified: x"}, false},
		{nil, []string{`Etag: ""`}, false},
		{nil, []string{`Etag: W/""`}, false},
		{[]string{"Last-Modified: x"}, []string{"last-modified: x"}, true},
		{[]string{"Last-Modified: x"}, []string{"Last-Modified: y"}, false},
		{[]string{`Etag: "a"`}, []string{"Last-Modified: y"}, false},
		{[]string{`Etag: "a"`, "Last-Modified: x"}, []string{`Etag: "a"`, "Last-Modified: y"}, true}, // a strong one decides
	} {
		if got := httpcache.Validates(header(c.stored...), header(c.received...)); got != c.want {
			t.Errorf("%q %q: %v", c.stored, c.received, got)
		}
	}
}

// TestUpdate: RFC 9111, 3.2.
func TestUpdate(t *testing.T) {
	stored := header("Etag: 1", "Content-Type: t", "Content-Encoding: gzip", "Cache-Control: max-age=1", "A: 1", "B: 1", "Content-Foo: 1", "Date: d")
	before := stored.Clone()
	received := header("etag: 2", "Content-Type: u", "Content-Length: 9", "Content-Encoding: br", "Content-Range: x", "Cache-Control: max-age=2", "Cache-Control: x",
		"A: 2", "content-foo: 2", "C: 2", "Connection: c, Date", "Set-Cookie: a=b", "Age: 7", "Surrogate-Control: x", "Keep-Alive: 1", "D: a\nb", "Date: e", "cache-tag: a", `Cache-Groups: "a"`)
	want := header("Etag: 1", "Content-Type: t", "Content-Encoding: gzip", "Cache-Control: max-age=2", "Cache-Control: x", "A: 2", "B: 1", "Content-Foo: 2", "Date: e")
	got := httpcache.Update(stored, received)
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v\nwant %v", got, want)
	}
	if !maps.EqualFunc(stored, before, slices.Equal) {
		t.Error("Update changed what was stored")
	}
}

// TestUpdateTwice: a second 304 like the first changes nothing more, and no header is lost.
func TestUpdateTwice(t *testing.T) {
	lines := rapid.SliceOfN(rapid.SampledFrom(append([]string{"A: 1", "a: 2", "B: 3", "Content-Length: 3", "Content-Type: x"}, responseLines...)), 0, 8)
	rapid.Check(t, func(t *rapid.T) {
		stored := httpcache.Judge(exchange(200, append(lines.Draw(t, "stored"), "Cache-Control: max-age=1")...), httpcache.Policy{}).Header
		received := header(lines.Draw(t, "received")...)
		once := httpcache.Update(stored, received)
		if twice := httpcache.Update(once, received); !maps.EqualFunc(once, twice, slices.Equal) {
			t.Fatalf("%v\n%v", once, twice)
		}
		for name := range stored {
			if len(once[name]) == 0 {
				t.Fatalf("%s is lost", name)
			}
		}
	})
}

// TestFreshen: a 304 gives a stored response a new life.
func TestFreshen(t *testing.T) {
	later := noon.Add(time.Hour)
	for _, c := range []struct {
		name             string
		stored, received []string
		policy           httpcache.Policy
		why              string
		fresh            time.Duration
		age              time.Duration
	}{
		{"new freshness", []string{"Cache-Control: max-age=2", etag}, []string{"Cache-Control: max-age=60", etag}, httpcache.Policy{}, "", time.Minute, 0},
		{"the same again", []string{"Cache-Control: max-age=2", etag, "Date: " + at(0)}, nil, httpcache.Policy{}, "", 2 * time.Second, 0},
		{"its own age", []string{"Cache-Control: max-age=20", etag}, []string{"Age: 5"}, httpcache.Policy{}, "", 20 * time.Second, 5 * time.Second},
		{"its own Date", []string{"Cache-Control: max-age=20", etag}, []string{"Date: " + at(3590)}, httpcache.Policy{}, "", 20 * time.Second, 10 * time.Second},
		{"Expires stays in the past", []string{"Expires: " + at(60), etag}, nil, httpcache.Policy{}, "", 0, 0},
		{"another response", []string{"Cache-Control: max-age=2", etag}, []string{`ETag: "v2"`}, httpcache.Policy{}, "not the stored response", 0, 0},
		{"now forbidden", []string{"Cache-Control: max-age=2", etag}, []string{noStore}, httpcache.Policy{}, "Cache-Control: no-store", 0, 0},
		{"with a cookie", []string{"Cache-Control: max-age=2", etag}, []string{"Set-Cookie: a=b"}, httpcache.Policy{}, "response has Set-Cookie", 0, 0},
		{"a targeted field holds on", []string{explicit, "CDN-Cache-Control: max-age=1", etag}, []string{explicit}, httpcache.Policy{}, "", time.Second, 0},
		{"a targeted field holds on, against no-store", []string{noStore, "Surrogate-Control: max-age=1+9", etag}, []string{noStore}, httpcache.Policy{}, "", time.Second, 0},
		{"a targeted field is replaced", []string{"CDN-Cache-Control: max-age=1", etag}, []string{"Surrogate-Control: max-age=9"}, httpcache.Policy{}, "", 9 * time.Second, 0},
		{"for ever", []string{etag}, nil, httpcache.Policy{UntilInvalidated: true}, "", httpcache.Forever, 0},
	} {
		first := httpcache.Judge(exchange(200, append(c.stored, "A: 1")...), c.policy)
		if first.Why != "" {
			t.Fatalf("%s: %q", c.name, first.Why)
		}
		x := exchange(304, c.received...)
		x.Sent, x.Received = later, later
		v := httpcache.Freshen(x, 200, first.Header, nil, first.Life, c.policy)
		if v.Why != c.why {
			t.Errorf("%s: %q, want %q", c.name, v.Why, c.why)
		}
		if c.why != "" {
			continue
		}
		if v.Life.Fresh != c.fresh || v.Life.Age(later) != c.age || v.Header.Get("A") != "1" || v.Header.Get("Etag") != `"v1"` {
			t.Errorf("%s: %+v", c.name, v)
		}
		// Once more: the same response, an hour on.
		x.Sent, x.Received = later.Add(time.Hour), later.Add(time.Hour)
		x.Header.Del("Date")
		again := httpcache.Freshen(x, 200, v.Header, nil, v.Life, c.policy)
		again.Life.Born, v.Life.Born = time.Time{}, time.Time{}
		if again.Why != "" || !reflect.DeepEqual(again.Life, v.Life) && c.fresh != 0 {
			t.Errorf("%s, again: %+v, before %+v", c.name, again, v.Life)
		}
	}
}

// TestFreshenDate: the Date of a validation makes no strong validator of a Last-Modified that was none for the stored body (RFC
// 9110, 8.8.2.2).
func TestFreshenDate(t *testing.T) {
	const weak = `ETag: W/"v1"`
	same, earlier, later := "Last-Modified: "+at(0), "Last-Modified: "+at(-1), "Date: "+at(3600)
	for _, c := range []struct {
		stored, received []string
		kept             bool
	}{
		{[]string{earlier}, []string{later}, true},
		{[]string{earlier}, []string{later, earlier}, true},
		{[]string{same, weak}, []string{later, weak}, false},
		{[]string{same, weak}, []string{later, weak, same}, false},
		{[]string{earlier, weak}, []string{later, weak, same}, false}, // of another version that is as good
		{[]string{same, etag}, []string{later, etag}, true},
		{[]string{same, etag}, []string{later, etag, earlier}, true},
		{[]string{same, etag}, []string{later}, false}, // it may have looked at the date only
		{[]string{same}, []string{later, same}, false}, // answers HEAD
	} {
		first := httpcache.Judge(exchange(200, append(c.stored, explicit, "Date: "+at(0))...), httpcache.Policy{})
		x := exchange(304, c.received...)
		x.Sent, x.Received = noon.Add(time.Hour), noon.Add(time.Hour)
		v := httpcache.Freshen(x, 200, first.Header, nil, first.Life, httpcache.Policy{})
		if v.Why != "" || (len(v.Header["Last-Modified"]) > 0) != c.kept || v.Header.Get("Date") != at(3600) {
			t.Errorf("%q, %q: %+v", c.stored, c.received, v)
		}
	}
}
