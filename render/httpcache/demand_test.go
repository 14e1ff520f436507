package httpcache_test

import (
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestDemands: RFC 9111, 5.2.1, asked of a response that is 1000 s old, of lives of 1500 s and 900 s.
func TestDemands(t *testing.T) {
	now := noon.Add(1000 * time.Second)
	fresh := httpcache.Life{Born: noon, Fresh: 1500 * time.Second}
	expired := httpcache.Life{Born: noon, Fresh: 900 * time.Second}
	bound := expired
	bound.Must = true
	validate := fresh
	validate.Validate = true
	for _, c := range []struct {
		lines                           []string
		fresh, expired, bound, validate bool
	}{
		{nil, true, false, false, false},
		{[]string{"Cache-Control: no-cache"}, false, false, false, false},
		{[]string{"Cache-Control: No-Cache"}, false, false, false, false},
		{[]string{"Pragma: no-cache"}, false, false, false, false},
		{[]string{"Pragma: no-cache", "Cache-Control: x"}, true, false, false, false},
		{[]string{"Pragma: extension"}, true, false, false, false},
		{[]string{"Cache-Control: max-age=0"}, false, false, false, false},
		{[]string{"Cache-Control: max-age=999"}, false, false, false, false},
		{[]string{"Cache-Control: max-age=1000"}, true, false, false, false},
		{[]string{"Cache-Control: max-age=2000, max-age=5"}, false, false, false, false},
		{[]string{"Cache-Control: max-age=5, max-age=2000"}, false, false, false, false},
		{[]string{"Cache-Control: max-age=x"}, true, false, false, false},
		{[]string{"Cache-Control: max-age =5, min-fresh= 600"}, true, false, false, false},
		{[]string{"Cache-Control: min-fresh=500"}, true, false, false, false},
		{[]string{"Cache-Control: min-fresh=501"}, false, false, false, false},
		{[]string{"Cache-Control: max-stale=99"}, true, false, false, false},
		{[]string{"Cache-Control: max-stale=100"}, true, true, false, false},
		{[]string{"Cache-Control: max-stale"}, true, true, false, false},
		{[]string{"Cache-Control: max-stale, min-fresh=5"}, true, false, false, false},
		{[]string{"Cache-Control: max-stale, max-age=500"}, false, false, false, false},
		{[]string{"Cache-Control: max-stale=\"100\""}, true, true, false, false},
		{[]string{"Cache-Control: no-store, only-if-cached"}, true, false, false, false},
	} {
		d := httpcache.Demands(header(c.lines...))
		for _, l := range []struct {
			name string
			life httpcache.Life
			want bool
		}{{"fresh", fresh, c.fresh}, {"expired", expired, c.expired}, {"must-revalidate", bound, c.bound}, {"no-cache", validate, c.validate}} {
			if got := d.Accepts(l.life, now); got != l.want {
				t.Errorf("%q: %s: %v", c.lines, l.name, got)
			}
		}
	}
	if d := httpcache.Demands(header("Cache-Control: no-store, only-if-cached=x")); !d.NoStore || !d.OnlyIfCached {
		t.Errorf("%+v", d)
	}
	if !httpcache.Demands(header("Cache-Control: min-fresh=5")).Accepts(httpcache.Life{Fresh: httpcache.Forever}, now) {
		t.Error("for ever is not long enough")
	}
}
