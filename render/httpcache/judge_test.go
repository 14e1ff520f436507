package httpcache_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// noon is when every test's response is received, a second after it was asked for; at(-90) is a date 90 s before.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func at(seconds int) string {
	return noon.Add(time.Duration(seconds) * time.Second).Format(http.TimeFormat)
}

// header makes headers of lines "Name: value".
func header(lines ...string) http.Header {
	h := make(http.Header)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ":")
		h[name] = append(h[name], strings.TrimPrefix(value, " "))
	}
	return h
}

func exchange(status int, lines ...string) httpcache.Exchange {
	return httpcache.Exchange{
		Method: "GET", Request: http.Header{}, Status: status, Header: header(lines...), Sent: noon, Received: noon,
	}
}

const (
	etag     = `ETag: "v1"`
	hour     = 3600 * time.Second
	delta    = 1 << 31 * time.Second
	noStore  = "Cache-Control: no-store"
	explicit = "Cache-Control: max-age=3600"
)

// TestStorable: what may be stored at all, by section. why is a part of the reason; "" says that it is stored.
func TestStorable(t *testing.T) {
	until := httpcache.Policy{UntilInvalidated: true}
	modified := "Last-Modified: " + at(-36000)
	for _, c := range []struct {
		rule   string
		status int
		lines  []string
		policy httpcache.Policy
		why    string
	}{
		// RFC 9111, 3: what is stored must say that it may be, or be what caches may guess about.
		{"3", 200, []string{explicit}, httpcache.Policy{}, ""},
		{"3", 200, nil, httpcache.Policy{}, "no explicit freshness"},
		{"3", 200, []string{etag}, httpcache.Policy{}, "no explicit freshness"},
		{"3", 200, []string{"Cache-Control: public"}, httpcache.Policy{}, "no explicit freshness"},
		{"3", 200, nil, until, ""},
		{"3", 201, nil, until, "without explicit freshness"},
		{"3", 302, nil, until, "without explicit freshness"},
		{"3", 302, []string{explicit}, httpcache.Policy{}, ""},
		{"3", 299, []string{explicit}, httpcache.Policy{}, ""},
		{"3", 100, []string{explicit}, httpcache.Policy{}, "status 100"},
		{"3", 600, []string{explicit}, httpcache.Policy{}, "status 600"},
		{"3.3", 206, []string{explicit}, until, "status 206"},
		{"4.3.4", 304, []string{explicit}, until, "status 304"},
		// 4.2.2: heuristic freshness, but never of errors (attacks: poisoning).
		{"4.2.2", 200, []string{modified}, httpcache.Policy{}, ""},
		{"4.2.2", 203, []string{modified}, httpcache.Policy{}, ""},
		{"4.2.2", 204, []string{modified}, httpcache.Policy{}, ""},
		{"4.2.2", 301, []string{modified}, httpcache.Policy{}, ""},
		{"4.2.2", 201, []string{modified}, httpcache.Policy{}, "without explicit freshness"},
		{"4.2.2", 202, []string{modified}, httpcache.Policy{}, "without explicit freshness"},
		{"4.2.2", 201, []string{modified, "Cache-Control: public"}, httpcache.Policy{}, ""},
		{"4.2.2", 404, []string{modified}, httpcache.Policy{}, "status 404"},
		{"4.2.2", 404, []string{modified, "Cache-Control: public"}, httpcache.Policy{}, "status 404"},
		{"4.2.2", 410, []string{modified}, until, "status 410"},
		{"4.2.2", 501, []string{modified}, httpcache.Policy{}, "status 501"},
		{"4.2.2", 599, []string{modified, "Cache-Control: public"}, httpcache.Policy{}, "status 599"},
		{"4.2.2", 200, []string{"Last-Modified: " + at(10)}, httpcache.Policy{}, "no explicit freshness"},
		{"4.2.2", 200, []string{"Last-Modified: yesterday"}, httpcache.Policy{}, "no explicit freshness"},
		// Errors with explicit freshness: those that tell of what was asked for.
		{"errors", 404, []string{explicit}, httpcache.Policy{}, ""},
		{"errors", 404, nil, until, "status 404"},
		{"errors", 410, []string{"Expires: " + at(60)}, httpcache.Policy{}, ""},
		{"errors", 503, []string{explicit}, httpcache.Policy{}, ""},
		{"errors", 599, []string{explicit}, httpcache.Policy{}, ""},
		{"errors", 500, nil, until, "status 500"},
		{"errors", 400, []string{explicit}, httpcache.Policy{}, "status 400"},
		{"errors", 431, []string{explicit, "Expires: " + at(60)}, until, "status 431"},
		{"errors", 499, []string{explicit}, httpcache.Policy{}, "status 499"},
		{"errors", 400, []string{"Cache-Control: s-maxage=60"}, httpcache.Policy{}, ""},
		{"errors", 400, []string{"CDN-Cache-Control: max-age=60"}, httpcache.Policy{}, ""},
		// 5.2.2: directives that forbid.
		{"5.2.2.5", 200, []string{"Cache-Control: max-age=3600, no-store"}, until, "no-store"},
		{"5.2.2.5", 200, []string{explicit, "cache-control: No-StOrE"}, httpcache.Policy{}, "no-store"},
		{"5.2.2.5", 200, []string{"CACHE-CONTROL: no-store=please, max-age=1"}, httpcache.Policy{}, "no-store"},
		{"5.2.2.7", 200, []string{"Cache-Control: private, max-age=3600"}, until, "private"},
		{"5.2.2.7", 200, []string{`Cache-Control: private="", max-age=3600`}, httpcache.Policy{}, "private"},
		{"5.2.2.7", 200, []string{`Cache-Control: private=X-Name, max-age=3600`}, httpcache.Policy{}, "private"},
		{"5.2.2.7", 200, []string{`Cache-Control: private="X-Name", private, max-age=3600`}, httpcache.Policy{}, "private"},
		{"5.2.2.7", 200, []string{`Cache-Control: private="Content-Type", max-age=3600`}, httpcache.Policy{}, "private"},
		{"5.2.2.7", 200, []string{`Cache-Control: private="X-Name", max-age=3600`}, httpcache.Policy{}, ""},
		{"5.2.2.7", 200, []string{`Cache-Control: public, private="X-Name", max-age=3600`}, httpcache.Policy{}, "contradictory"},
		{"5.2.2.3", 200, []string{"Cache-Control: max-age=3600, no-store, must-understand"}, httpcache.Policy{}, ""},
		{"5.2.2.3", 599, []string{"Cache-Control: max-age=3600, no-store, must-understand"}, httpcache.Policy{}, "must-understand"},
		{"5.2.2.3", 599, []string{"Cache-Control: max-age=3600, must-understand"}, httpcache.Policy{}, "must-understand"},
		{"5.2.2.3", 200, []string{"Cache-Control: max-age=3600, private, must-understand"}, httpcache.Policy{}, "private"},
		{"5.2.2.4", 200, []string{"Cache-Control: no-cache"}, httpcache.Policy{}, "no validator"},
		{"5.2.2.4", 200, []string{"Cache-Control: no-cache", etag}, httpcache.Policy{}, ""},
		{"5.2.2.4", 200, []string{"Cache-Control: no-cache, max-age=60"}, until, ""},
		// What can't be used once is not stored, unless it can be revalidated or is of use past its freshness.
		{"4.2", 200, []string{"Cache-Control: max-age=0"}, httpcache.Policy{}, "expired already"},
		{"4.2", 200, []string{"Cache-Control: max-age=0", etag}, httpcache.Policy{}, ""},
		{"4.2", 200, []string{"Cache-Control: max-age=0", "ETag: unquoted"}, httpcache.Policy{}, "expired already"},
		{"4.2", 200, []string{"Cache-Control: max-age=0, stale-while-revalidate=9"}, httpcache.Policy{}, ""},
		{"4.2", 200, []string{"Cache-Control: max-age=0, must-revalidate, stale-while-revalidate=9"}, httpcache.Policy{}, "expired"},
		{"4.2", 200, []string{"Cache-Control: max-age=0"}, httpcache.Policy{IfError: time.Minute}, ""},
		{"4.2", 200, []string{explicit, "Age: 3600"}, httpcache.Policy{}, "expired already"},
		// Malformed and contradictory Cache-Control.
		{"malformed", 200, []string{"Cache-Control: max-age=3600;private"}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: max-age =3600"}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: max-age= 3600"}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: max-age="}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: =1"}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{`Cache-Control: max-age=3600, x="no-store`}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{`Cache-Control: "max-age=3600"`}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: max-age=3600 public"}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: max-age=3600" + strings.Repeat(", x", 64)}, until, "malformed Cache-Control"},
		{"malformed", 200, []string{"Cache-Control: max-age=60, max-age=abc"}, httpcache.Policy{}, "contradictory Cache-Control: max-age"},
		{"malformed", 200, []string{"Cache-Control: ,, max-age=3600 ,\t,foo=\"a, no-store\" ,"}, httpcache.Policy{}, ""},
		// RFC 9110, 12.5.5.
		{"Vary", 200, []string{explicit, "Vary: Foo, *"}, until, "varies on *"},
		{"Vary", 200, []string{explicit, "Vary: ", "Vary: ,*"}, httpcache.Policy{}, "varies on *"},
		{"Vary", 200, []string{explicit, "Vary: Foo Bar"}, httpcache.Policy{}, "malformed Vary"},
		{"Vary", 200, []string{explicit, "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q"}, httpcache.Policy{}, "varies on too much"},
		{"Vary", 200, []string{explicit, "Vary: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,P"}, httpcache.Policy{}, ""},
		{"coding", 200, []string{explicit, "Content-Encoding: a,b,c,gzip"}, httpcache.Policy{}, "malformed Content-Encoding"},
		// What attacks.md adds.
		{"cookie", 200, []string{explicit, "Set-Cookie: a=b"}, until, "Set-Cookie"},
		{"cookie", 200, []string{explicit, "set-cookie: a=b", "Connection: Set-Cookie"}, until, "Set-Cookie"},
		{"cookie", 200, []string{explicit, "Set-Cookie: a=b", `Cache-Control: no-cache="Set-Cookie"`}, until, "Set-Cookie"},
		{"header", 200, []string{explicit, "X: a\r\nSet-Cookie: b"}, until, "malformed header"},
		{"header", 200, []string{explicit, "X Y: a"}, until, "malformed header"},
		{"trailer", 200, []string{explicit, "Trailer: Digest"}, until, "Trailer"},
		// RFC 9213: what is addressed to us takes the place of the rest.
		{"9213", 200, []string{noStore, "CDN-Cache-Control: max-age=10000"}, httpcache.Policy{}, ""},
		{"9213", 200, []string{noStore, "CDN-Cache-Control: max-age=10000"}, until, ""},
		{"9213", 200, []string{noStore, "CDN-Cache-Control: must-revalidate", etag}, httpcache.Policy{}, "Cache-Control: no-store"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: no-store"}, until, "Cdn-Cache-Control: no-store"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: no-store=?0"}, until, "Cdn-Cache-Control: no-store"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: private"}, until, "Cdn-Cache-Control: private"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: no-cache"}, until, "no validator"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: max-age=0"}, until, "expired already"},
		{"9213", 200, []string{"CDN-Cache-Control: max-age=0", "Expires: " + at(10000)}, httpcache.Policy{}, "expired already"},
		{"9213", 200, []string{noStore, "CDN-Cache-Control: max-age=10000, &&&&&"}, httpcache.Policy{}, "malformed Cdn-Cache-Control"},
		{"9213", 200, []string{noStore, `CDN-Cache-Control: max-age="10000"`}, httpcache.Policy{}, "malformed Cdn-Cache-Control"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: max-age =100"}, httpcache.Policy{}, "malformed Cdn-Cache-Control"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: foo", "Expires: " + at(60)}, httpcache.Policy{}, "no explicit freshness"},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: "}, httpcache.Policy{}, ""},
		{"9213", 200, []string{explicit, "CDN-Cache-Control: no-store"}, httpcache.Policy{Targets: []string{"Our-Cache-Control"}}, ""},
		{"9213", 200, []string{explicit, "Our-Cache-Control: no-store"}, httpcache.Policy{Targets: []string{"our-cache-control"}}, "Our-Cache-Control: no-store"},
		{"9213", 200, []string{explicit, "Surrogate-Control: no-store"}, until, "Surrogate-Control: no-store"},
		{"edge", 200, []string{explicit, "Surrogate-Control: no-store;other"}, until, "Surrogate-Control: no-store"},
		{"edge", 200, []string{explicit, "Surrogate-Control: max-age=0;other"}, httpcache.Policy{}, ""},
		{"edge", 200, []string{explicit, `Surrogate-Control: content="ESI/1.0"`}, httpcache.Policy{}, ""},
		{"edge", 200, []string{explicit, "Surrogate-Control: max-age =9"}, httpcache.Policy{}, "malformed Surrogate-Control"},
		{"edge", 200, []string{explicit, "Surrogate-Control: max-age=9+x"}, httpcache.Policy{}, "malformed Surrogate-Control"},
		{"edge", 200, []string{noStore, "Surrogate-Control: max-age=9"}, httpcache.Policy{}, ""},
	} {
		x := exchange(c.status, c.lines...)
		v := httpcache.Judge(x, c.policy)
		if (v.Why == "") != (c.why == "") || !strings.Contains(v.Why, c.why) {
			t.Errorf("%s: %d %q (until invalidated: %v): %q, want %q", c.rule, c.status, c.lines, c.policy.UntilInvalidated, v.Why, c.why)
		}
		if v.Why != "" && (v.Header != nil || !v.Lasting) {
			t.Errorf("%s: %d %q: refused with %+v", c.rule, c.status, c.lines, v)
		}
	}
}

// TestNotAGet: what says nothing of the URL's next answer.
func TestNotAGet(t *testing.T) {
	x := exchange(200, explicit)
	x.Method = "HEAD"
	if v := httpcache.Judge(x, httpcache.Policy{}); v.Why != "method HEAD" || v.Lasting {
		t.Errorf("%+v", v)
	}
	x = exchange(200, "Cache-Control: public, s-maxage=60")
	x.Request.Set("Authorization", "Basic eA==")
	if v := httpcache.Judge(x, httpcache.Policy{}); v.Why != "request has Authorization" || v.Lasting {
		t.Errorf("%+v", v)
	}
}

// TestFreshness: how long a stored response is fresh, when received (RFC 9111, 4.2).
func TestFreshness(t *testing.T) {
	until := httpcache.Policy{UntilInvalidated: true}
	for _, c := range []struct {
		rule   string
		lines  []string
		policy httpcache.Policy
		fresh  time.Duration
	}{
		{"4.2.1", []string{explicit}, httpcache.Policy{}, hour},
		{"4.2.1", []string{`Cache-Control: max-age="3600"`}, httpcache.Policy{}, hour},
		{"4.2.1", []string{"Cache-Control: max-age=003600"}, httpcache.Policy{}, hour},
		{"4.2.1", []string{"Cache-Control: MaX-aGe=3600"}, httpcache.Policy{}, hour},
		{"4.2.1", []string{"Cache-Control: max-age=3600, max-age=60"}, httpcache.Policy{}, time.Minute},
		{"4.2.1", []string{"Cache-Control: max-age=60", explicit}, httpcache.Policy{}, time.Minute},
		{"4.2.1", []string{`Cache-Control: x="max-age=3600", max-age=1`}, httpcache.Policy{}, time.Second},
		{"4.2.1", []string{"Cache-Control: max-age=-3600", etag}, httpcache.Policy{}, 0},
		{"4.2.1", []string{"Cache-Control: max-age='3600'", etag}, httpcache.Policy{}, 0},
		{"4.2.1", []string{"Cache-Control: max-age=3600.0", etag}, httpcache.Policy{}, 0},
		{"4.2.1", []string{"Cache-Control: max-age=3600a", etag}, httpcache.Policy{}, 0},
		{"4.2.1", []string{"Cache-Control: max-age", etag}, httpcache.Policy{}, 0},
		{"1.2.2", []string{"Cache-Control: max-age=2147483647"}, httpcache.Policy{}, delta - time.Second},
		{"1.2.2", []string{"Cache-Control: max-age=2147483649"}, httpcache.Policy{}, delta},
		{"1.2.2", []string{"Cache-Control: max-age=99999999999999999999999"}, httpcache.Policy{}, delta},
		{"5.2.2.10", []string{"Cache-Control: max-age=3600, s-maxage=1"}, httpcache.Policy{}, time.Second},
		{"5.2.2.10", []string{"Cache-Control: s-maxage=3600, max-age=0", "Expires: " + at(-10)}, httpcache.Policy{}, hour},
		{"5.3", []string{"Expires: " + at(3600)}, httpcache.Policy{}, hour},
		{"5.3", []string{"Expires: " + at(400), "Date: " + at(300)}, httpcache.Policy{}, 100 * time.Second},
		{"5.3", []string{"Expires: " + at(10), "Date: foo"}, httpcache.Policy{}, 10 * time.Second},
		{"5.3", []string{"Expires: " + at(300), "Date: " + at(400), etag}, httpcache.Policy{}, 0},
		{"5.3", []string{"Expires: 0", etag}, httpcache.Policy{}, 0},
		{"5.3", []string{"Expires: " + at(300), "Expires: 0", etag}, httpcache.Policy{}, 0},
		{"5.3", []string{"Expires: " + at(300), "Expires: " + at(60)}, httpcache.Policy{}, time.Minute},
		{"5.3", []string{"Expires: 0", explicit}, httpcache.Policy{}, hour},
		{"5.3", []string{"Expires: Fri, 31 Dec 9999 23:59:59 GMT"}, httpcache.Policy{}, delta},
		{"4.2.2", []string{"Last-Modified: " + at(-36000)}, httpcache.Policy{}, hour},
		{"4.2.2", []string{"Last-Modified: " + at(-360000000)}, httpcache.Policy{}, 24 * time.Hour},
		{"9213", []string{explicit, "CDN-Cache-Control: max-age=1"}, httpcache.Policy{}, time.Second},
		{"9213", []string{"Cache-Control: max-age=1", "CDN-Cache-Control: foobar, max-age=3600;x=1"}, httpcache.Policy{}, hour},
		{"9213", []string{"Expires: 0", "CDN-Cache-Control: max-age=99999999999"}, httpcache.Policy{}, delta},
		{"9213", []string{"CDN-Cache-Control: max-age=60", "CDN-Cache-Control: s-maxage=9"}, httpcache.Policy{}, 9 * time.Second},
		{"9213", []string{"CDN-Cache-Control: max-age=1", "Surrogate-Control: max-age=9"}, httpcache.Policy{}, time.Second},
		{"9213", []string{"B: max-age=1", "A: max-age=9"}, httpcache.Policy{Targets: []string{"a", "b"}}, 9 * time.Second},
		{"edge", []string{explicit, `Surrogate-Control: content="ESI/1.0, max-age=9", max-age=60+30, max-age=5;other`}, httpcache.Policy{}, time.Minute},
		{"cap", []string{explicit}, httpcache.Policy{MaxAge: time.Minute}, time.Minute},
		{"cap", []string{"Cache-Control: max-age=1"}, httpcache.Policy{MaxAge: time.Minute}, time.Second},
		{"until", []string{"Cache-Control: max-age=0, no-cache, must-revalidate", "Expires: 0", "Pragma: no-cache"}, until, httpcache.Forever},
		{"until", []string{"Cache-Control: max-age=0"}, httpcache.Policy{UntilInvalidated: true, MaxAge: time.Minute}, time.Minute},
		{"until", []string{"Cache-Control: s-maxage=60, max-age=1"}, until, time.Minute},
		{"until", []string{"Surrogate-Control: max-age=60"}, until, time.Minute},
		{"until", []string{"CDN-Cache-Control: max-age=60"}, until, time.Minute},
	} {
		v := httpcache.Judge(exchange(200, c.lines...), c.policy)
		if v.Why != "" || v.Life.Fresh != c.fresh {
			t.Errorf("%s: %q: %q, fresh for %v, want %v", c.rule, c.lines, v.Why, v.Life.Fresh, c.fresh)
		}
		if usable := v.Life.FreshAt(noon); usable != (c.fresh > 0) || v.Lasting == usable {
			t.Errorf("%s: %q: fresh on arrival: %v, lasting: %v", c.rule, c.lines, usable, v.Lasting)
		}
		if v.Life.Heuristic != (c.rule == "4.2.2") {
			t.Errorf("%s: %q: heuristic: %v", c.rule, c.lines, v.Life.Heuristic)
		}
	}
}

// TestInitialAge: RFC 9111, 4.2.3 and 5.1. The request took 1.5 s.
func TestInitialAge(t *testing.T) {
	const delay = 1500 * time.Millisecond
	for _, c := range []struct {
		lines []string
		age   time.Duration
	}{
		{nil, delay},
		{[]string{"Age: 30"}, 30*time.Second + delay},
		{[]string{"Date: " + at(-7200)}, 2 * hour},
		{[]string{"Date: " + at(-20), "Age: 30"}, 30*time.Second + delay},
		{[]string{"Date: " + at(-20), "Age: 5"}, 20 * time.Second},
		{[]string{"Date: " + at(10), "Age: 5"}, 5*time.Second + delay},
		{[]string{"Date: " + at(-20), "Date: " + at(-40)}, 40 * time.Second},
		{[]string{"Date: foo", "Date: " + at(-40)}, 40 * time.Second},
		{[]string{"Age: abc"}, delay},
		{[]string{"Age: -7200"}, delay},
		{[]string{"Age: 7200.0"}, delay},
		{[]string{"Age: 7200, 0"}, 2*hour + delay},
		{[]string{"Age: 0, 7200"}, delay},
		{[]string{"Age: 7200", "Age: 0"}, 2*hour + delay},
		{[]string{"Age: 0", "Age: 7200"}, delay},
		{[]string{"Age: 7200;foo=bar"}, 2*hour + delay},
		{[]string{"Age: 2147483648"}, delta + delay},
		{[]string{"Age: 99999999999999999999"}, delta + delay},
		{[]string{"Date: Mon, 01 Jan 0001 00:00:00 GMT"}, delta},
	} {
		x := exchange(200, append(c.lines, "Cache-Control: max-age=2147483648, stale-while-revalidate=2147483648")...)
		x.Sent = noon.Add(-delay)
		v := httpcache.Judge(x, httpcache.Policy{})
		if age := v.Life.Age(noon); v.Why != "" || age != c.age {
			t.Errorf("%q: %q, age %v, want %v", c.lines, v.Why, age, c.age)
		}
	}
	// Dates have no fractions: a response that came within its Date's second is not yet a second old.
	x := exchange(200, explicit, "Date: "+at(0))
	x.Sent, x.Received = noon.Add(990*time.Millisecond), noon.Add(999*time.Millisecond)
	if age := httpcache.Judge(x, httpcache.Policy{}).Life.Age(x.Received); age != 9*time.Millisecond {
		t.Errorf("age %v", age)
	}
}

// TestPastFreshness: who may use a response past its freshness, and how long (RFC 9111, 4.2.4; RFC 5861).
func TestPastFreshness(t *testing.T) {
	operator := httpcache.Policy{WhileRevalidate: time.Minute, IfError: time.Hour}
	for _, c := range []struct {
		lines  []string
		policy httpcache.Policy
		while  time.Duration
		error  time.Duration
		must   bool
	}{
		{[]string{explicit}, httpcache.Policy{}, 0, 0, false},
		{[]string{explicit}, operator, time.Minute, time.Hour, false},
		{[]string{"Cache-Control: max-age=1, stale-while-revalidate=9, stale-if-error=0"}, operator, 9 * time.Second, 0, false},
		{[]string{"Cache-Control: max-age=1, stale-while-revalidate=x"}, operator, 0, time.Hour, false},
		{[]string{"Cache-Control: max-age=1, must-revalidate, stale-if-error=9"}, operator, 0, 0, true},
		{[]string{"Cache-Control: max-age=1, proxy-revalidate"}, operator, 0, 0, true},
		{[]string{"Cache-Control: s-maxage=1, stale-while-revalidate=9"}, operator, 0, 0, true},
		{[]string{"Cache-Control: must-revalidate", "CDN-Cache-Control: max-age=1"}, operator, time.Minute, time.Hour, false},
		{[]string{"Surrogate-Control: max-age=1+30"}, operator, 30 * time.Second, 30 * time.Second, false},
		{[]string{"Surrogate-Control: max-age=1+30, stale-if-error=5"}, httpcache.Policy{}, 30 * time.Second, 5 * time.Second, false},
		{[]string{"Cache-Control: max-age=1, no-cache", etag}, operator, 0, 0, false},
	} {
		l := httpcache.Judge(exchange(200, c.lines...), c.policy).Life
		if l.WhileRevalidate != c.while || l.IfError != c.error || l.Must != c.must {
			t.Errorf("%q: %+v", c.lines, l)
		}
	}
	l := httpcache.Life{Born: noon, Fresh: 10 * time.Second, WhileRevalidate: 5 * time.Second, IfError: 20 * time.Second}
	for _, c := range []struct {
		after               time.Duration
		fresh, while, error bool
	}{
		{0, true, true, true}, {9999 * time.Millisecond, true, true, true}, {10 * time.Second, false, true, true},
		{14 * time.Second, false, true, true}, {15 * time.Second, false, false, true}, {30 * time.Second, false, false, false},
		{-time.Second, true, true, true}, {-2 * time.Second, false, false, false}, // the clock was set back: who knows
	} {
		now := noon.Add(c.after)
		if l.FreshAt(now) != c.fresh || l.MayServeWhileRevalidating(now) != c.while || l.MayServeOnError(now) != c.error {
			t.Errorf("after %v: %v %v %v", c.after, l.FreshAt(now), l.MayServeWhileRevalidating(now), l.MayServeOnError(now))
		}
	}
	for _, forbids := range []func(*httpcache.Life){
		func(l *httpcache.Life) { l.Must = true }, func(l *httpcache.Life) { l.Validate = true },
	} {
		l := l
		forbids(&l)
		if now := noon.Add(11 * time.Second); l.MayServeWhileRevalidating(now) || l.MayServeOnError(now) {
			t.Errorf("%+v", l)
		}
	}
	if !(httpcache.Life{Fresh: httpcache.Forever}).FreshAt(noon) || (httpcache.Life{Fresh: time.Hour}).FreshAt(noon) {
		t.Error("a life without a beginning")
	}
}

// TestValidate: no-cache (RFC 9111, 5.2.2.4), and Pragma, for want of anything else (5.4).
func TestValidate(t *testing.T) {
	for _, c := range []struct {
		lines    []string
		validate bool
	}{
		{[]string{"Cache-Control: No-CaChE, max-age=10000"}, true},
		{[]string{`Cache-Control: no-cache="a", max-age=10000`}, false},
		{[]string{`Cache-Control: no-cache="a", no-cache`}, true},
		{[]string{`Cache-Control: no-cache="etag", max-age=10000`}, true}, // without which it could not be kept
		{[]string{`Cache-Control: no-cache="a b", max-age=10000`}, true},
		{[]string{`Cache-Control: no-cache=a, max-age=10000`}, true},
		{[]string{"Pragma: no-cache", "Expires: " + at(60)}, true},
		{[]string{"Pragma: no-cache", explicit}, false},
		{[]string{"Pragma: x", "Expires: " + at(60)}, false},
		{[]string{"Cache-Control: no-cache", "CDN-Cache-Control: max-age=9"}, false},
		{[]string{explicit, "CDN-Cache-Control: no-cache"}, true},
	} {
		v := httpcache.Judge(exchange(200, append(c.lines, etag)...), httpcache.Policy{})
		if v.Why != "" || v.Life.Validate != c.validate || v.Life.FreshAt(noon) == c.validate || v.Lasting != c.validate {
			t.Errorf("%q: %+v", c.lines, v)
		}
	}
}

// TestStoredHeader: RFC 9111, 3.1; RFC 9110, 7.6.1 and 6.6.1.
func TestStoredHeader(t *testing.T) {
	x := exchange(200,
		`Cache-Control: max-age=60, no-cache="a, B", private="C"`, "Cache-Control: x", "A: 1", "b: 2", "C: 3", "D: 4",
		"Connection: e, Content-Type, close", "E: 5", "content-type: text/html", "Keep-Alive: 1", "TE: x", "Upgrade: x",
		"Transfer-Encoding: x", "Proxy-Authenticate: x", "Proxy-Authentication-Info: x", "Proxy-Authorization: x",
		"Proxy-Connection: x", "Age: 1", "Content-Length: 5", "CDN-Cache-Control: max-age=60", "Surrogate-Control: max-age=9",
		"Content-Range: kept", "ETag:  \"v1\" ", "Date: soon", "Other-Cache-Control: x",
	)
	before := x.Header.Clone()
	got := httpcache.Judge(x, httpcache.Policy{}).Header
	want := http.Header{
		"Cache-Control": {`max-age=60, no-cache="a, B", private="C"`, "x"}, "D": {"4"}, "Content-Type": {"text/html"},
		"Content-Range": {"kept"}, "Etag": {`"v1"`}, "Date": {at(0)}, "Other-Cache-Control": {"x"},
	}
	if !maps.EqualFunc(got, want, slices.Equal) {
		t.Errorf("stored:\n%v\nwant\n%v", got, want)
	}
	if !maps.EqualFunc(x.Header, before, slices.Equal) {
		t.Error("Judge changed the received headers")
	}
	for given, want := range map[string]string{
		"": at(0), at(-90): at(-90), "Friday, 20-Nov-26 11:59:50 GMT": "Friday, 20-Nov-26 11:59:50 GMT",
	} {
		if got := httpcache.Judge(exchange(200, explicit, "Date: "+given), httpcache.Policy{}).Header.Get("Date"); got != want {
			t.Errorf("Date %q is stored as %q", given, got)
		}
	}
}

// TestHopByHop: what is meant for all can't be made to go.
func TestHopByHop(t *testing.T) {
	h := header("Connection: Host, authorization, X-Forwarded-For", "connection: cookie,Content-Length, X-Own, Cache-Control", "Host: a",
		"Authorization: b", "X-Forwarded-For: c", "Cookie: d", "Content-Length: 1", "X-Own: e", "x-own: f", "Cache-Control: g", "TE: h")
	httpcache.HopByHop(h)
	if names := strings.Join(slices.Sorted(maps.Keys(h)), " "); names != "Authorization Cache-Control Content-Length Cookie Host X-Forwarded-For" {
		t.Error(names)
	}
}

// TestTrivialLife: a page that is kept until it is invalidated, for all, needs no note.
func TestTrivialLife(t *testing.T) {
	until := httpcache.Policy{UntilInvalidated: true}
	for _, c := range []struct {
		lines   []string
		policy  httpcache.Policy
		trivial bool
	}{
		{[]string{"Cache-Control: max-age=5, no-cache, must-revalidate, stale-if-error=9", "Vary: Accept-Encoding", "Date: " + at(-5)}, until, true},
		{[]string{"Vary: Accept"}, until, false},
		{[]string{"Age: 5"}, until, false},
		{[]string{"Content-Encoding: gzip"}, until, false},
		{[]string{"Cache-Control: s-maxage=5"}, until, false},
		{nil, httpcache.Policy{UntilInvalidated: true, MaxAge: time.Hour}, false},
		{[]string{explicit}, httpcache.Policy{}, false},
	} {
		v := httpcache.Judge(exchange(200, c.lines...), c.policy)
		if note := v.Life.Note(); v.Why != "" || (note == "") != c.trivial {
			t.Errorf("%q: %q, note %q", c.lines, v.Why, note)
		}
	}
}
