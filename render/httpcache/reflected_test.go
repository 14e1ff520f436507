package httpcache_test

import (
	"testing"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestReflectedOrigin: what was made for one Origin is not stored for all.
func TestReflectedOrigin(t *testing.T) {
	const allow = "Access-Control-Allow-Origin: "
	for _, c := range []struct {
		origin   string
		response []string
		stored   bool
	}{
		{"", nil, true},
		{"https://a.example", nil, true},
		{"", []string{allow + "https://a.example"}, true},
		{"https://a.example", []string{allow + "*"}, true},
		{"https://a.example", []string{allow + " * "}, true},
		{"https://a.example", []string{allow + "https://a.example", "Vary: origin"}, true},
		{"https://a.example", []string{allow + "https://a.example"}, false},
		{"https://a.example", []string{"access-control-allow-origin: https://a.example"}, false},
		{"https://a.example", []string{allow + "https://b.example"}, false},
		{"https://a.example", []string{allow + "https://a.example", "Vary: Accept-Language"}, false},
		{"https://a.example", []string{allow + "*", allow + "https://a.example"}, false},
		{"null", []string{allow + "null"}, false},
	} {
		for _, p := range []httpcache.Policy{{}, {UntilInvalidated: true}} {
			x := exchange(200, append(c.response, explicit)...)
			if c.origin != "" {
				x.Request.Set("Origin", c.origin)
			}
			v := httpcache.Judge(x, p)
			if (v.Why == "") != c.stored || v.Why != "" && v.Lasting {
				t.Errorf("Origin %q, %q: %+v", c.origin, c.response, v)
			}
		}
	}
}

// TestReflectedOriginFreshens: it is the 304's own field that counts, as the stored one came without Origin.
func TestReflectedOriginFreshens(t *testing.T) {
	const allow = "Access-Control-Allow-Origin: https://a.example"
	first := httpcache.Judge(exchange(200, explicit, etag, allow), httpcache.Policy{})
	for _, c := range []struct {
		received []string
		why      bool
	}{{[]string{etag}, false}, {[]string{etag, allow}, true}, {[]string{etag, "Access-Control-Allow-Origin: *"}, false}} {
		x := exchange(304, c.received...)
		x.Request.Set("Origin", "https://a.example")
		if v := httpcache.Freshen(x, 200, first.Header, nil, first.Life, httpcache.Policy{}); (v.Why != "") != c.why {
			t.Errorf("%q: %+v", c.received, v)
		}
	}
}
