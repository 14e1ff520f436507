package unit

import (
	"math"
	"math/big"
	"strings"
	"testing"
	"time"
)

// FuzzUnits: what is read is written so that it is read as the same; a size is, to the byte or the precision of a float,
// what its number and unit say.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"256MiB", "1.5GiB", "10 GB", "4096", "0", "8EiB", "9223372036854775807", "0.1TB", "1e9", "0x10", "-1", "+1", "Inf", "nan", "1_0", "90s", "1h30m", "-1.5h", "2562047h47m16.854775807s", "1.b", ".5kb", "5 k b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var size, again Size
		if size.UnmarshalText([]byte(text)) == nil {
			if size < 0 {
				t.Fatalf("%q is %d", text, size)
			}
			if err := again.UnmarshalText([]byte(size.String())); err != nil || again != size {
				t.Fatalf("%q is %d, written %q and read as %d, %v", text, size, size.String(), again, err)
			}
			number := strings.TrimSpace(strings.TrimRight(strings.ToLower(strings.TrimSpace(text)), "tgmkib"))
			suffix := strings.TrimSpace(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(text)), number))
			worth := map[string]int64{"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}[suffix]
			want, ok := new(big.Rat).SetString(number)
			if !ok || worth == 0 || strings.ContainsAny(number, "eExXpP_/") {
				t.Fatalf("%q is taken for %d", text, size)
			}
			want.Mul(want, big.NewRat(worth, 1))
			if exact, _ := want.Float64(); math.Abs(exact-float64(size)) > 0.5+exact*1e-15 {
				t.Fatalf("%q is %d, not %v", text, size, exact)
			}
		}
		var d, sameDuration Duration
		if d.UnmarshalText([]byte(text)) == nil {
			if err := sameDuration.UnmarshalText([]byte(d.String())); err != nil || sameDuration != d {
				t.Fatalf("%q is %v, read as %v, %v", text, time.Duration(d), time.Duration(sameDuration), err)
			}
		}
		var n Count
		if n.UnmarshalText([]byte(text)) == nil && (n < 0 || strings.Trim(text, "+-0123456789") != "") {
			t.Fatalf("%q is the count %d", text, n)
		}
	})
}
