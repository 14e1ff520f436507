package static_test

import (
	"testing"

	"github.com/cachesrv/cachesrv/static"
)

func TestAccepts(t *testing.T) {
	for _, tt := range []struct {
		header string
		want   bool
	}{
		{"", false}, {"gzip", true}, {"GZip", true}, {"br", false}, {"br, gzip;q=0.1", true}, {"gzip;q=0", false}, {"*", true},
		{"*, gzip;q=0", false}, {"*;q=0", false}, {"identity", false}, {"gzip;q=2", false}, {"x-gzip", true}, {"X-GZip;q=0.5", true},
		{"gzip;q=0, x-gzip", false}, {"x-br", false}, {"x-compress", false}, {"x-", false},
	} {
		if got := static.Accepts([]string{tt.header}, "gzip"); got != tt.want {
			t.Errorf("%q: %t", tt.header, got)
		}
	}
	for _, tt := range [][2]string{{"gzip", "x-gzip"}, {"x-gzip", "x-gzip"}, {"compress", "x-compress"}, {"x-compress", "compress"}, {"x-compress", "X-Compress"}} {
		if !static.Accepts([]string{tt[0]}, tt[1]) {
			t.Errorf("%s is not accepted as %s", tt[1], tt[0])
		}
	}
	if static.Accepts(nil, "gzip") || static.Accepts([]string{"gzip, br"}, "gzip, br") {
		t.Error("accepted what nobody has named")
	}
}
