package purge

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// FuzzAgree: what an origin's header declares, the same header of a PURGE drops; what the one can't read, the other refuses.
func FuzzAgree(f *testing.F) {
	for _, value := range []string{"a b", "a, b", "a,b", " a\tb ,", ",", "", "a,,b  c", "é", "a\x7f", "\xff", "a\u0085b", "a\u00a0b", "a\u2028", string(make([]byte, 513))} {
		for i := range 4 {
			f.Add(i, value)
		}
	}
	f.Fuzz(func(t *testing.T, header int, value string) {
		name := []string{"Surrogate-Key", "Cache-Tag", "Edge-Cache-Tag", "Xkey"}[uint(header)%4]
		if !httpcache.ValidValue(value) || len(value) > MaxTagBytes {
			return
		}
		h := http.Header{name: {value}}
		declared, err := httpcache.Tags(h, "h.example")
		r := httptest.NewRequest(Method, "/", nil)
		r.Header = h
		order, purgeErr := Read(r)
		if len(declared) == 0 && err == nil { // there it means no tags, and here nothing
			if purgeErr == nil {
				t.Errorf("%s: %q: names no tag, and is read as %q", name, value, order.Tags)
			}
			return
		}
		if (err == nil) != (purgeErr == nil) {
			t.Fatalf("%s: %q: declared: %v; purged: %v", name, value, err, purgeErr)
		}
		slices.Sort(declared)
		if !slices.Equal(declared, order.Tags) {
			t.Errorf("%s: %q declares %q, and purges %q", name, value, declared, order.Tags)
		}
	})
}
