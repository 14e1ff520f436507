package static

import (
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

// FuzzRange: never a byte outside of the body; a well-formed single range is what its digits say, and anything else
// nothing but the whole.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=9223372036854775807-", "bytes=0-0,1-1", "bytes=1-0", "BYTES=-0"} {
		f.Add(s, int64(10))
	}
	f.Add("bytes=1-9223372036854775807", int64(math.MaxInt64))
	f.Add("bytes=-"+strings.Repeat("9", 60), int64(3))
	single := regexp.MustCompile(`^[ \t]*(?i:bytes)[ \t]*=[ \t]*([0-9]{0,64})-([0-9]{0,64})[ \t]*$`)
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, length, status := parseRange([]string{header}, size)
		if from < 0 || length < 0 || length > size-from || status == 206 && length == 0 {
			t.Fatalf("%q of %d bytes: %d, %d bytes from %d", header, size, status, length, from)
		}
		// A second reading, in numbers without bounds.
		wantFrom, wantLength, want := int64(0), size, 200
		if m := single.FindStringSubmatch(header); m != nil && m[1]+m[2] != "" && size > 0 {
			first, _ := new(big.Int).SetString("0"+m[1], 10)
			last, _ := new(big.Int).SetString("0"+m[2], 10)
			whole := big.NewInt(size)
			switch {
			case m[1] == "" && last.Sign() == 0:
				wantLength, want = 0, 416
			case m[1] == "" && last.Cmp(whole) >= 0:
				want = 206
			case m[1] == "":
				wantFrom, wantLength, want = size-last.Int64(), last.Int64(), 206
			case m[2] != "" && last.Cmp(first) < 0 && last.IsInt64(): // malformed; beyond an int64 one number is as good as another
			case first.Cmp(whole) >= 0:
				wantLength, want = 0, 416
			case m[2] == "" || last.Cmp(whole) >= 0:
				wantFrom, wantLength, want = first.Int64(), size-first.Int64(), 206
			default:
				wantFrom, wantLength, want = first.Int64(), last.Int64()-first.Int64()+1, 206
			}
		}
		if from != wantFrom || length != wantLength || status != want {
			t.Errorf("%q of %d bytes: %d, %d bytes from %d; want %d, %d from %d", header, size, status, length, from, want, wantLength, wantFrom)
		}
	})
}

// FuzzAcceptEncoding: never a coding that the header does not name with a weight above 0, itself or by "*".
func FuzzAcceptEncoding(f *testing.F) {
	for _, s := range []string{"gzip", "br;q=0, *", "*;q=0", "identity;q=0, gzip;q=0.5", "gzip;q=1.001", "zstd , br;q=0.000,", "x;q=1, *;q=0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		a, ok := parseAcceptEncoding([]string{header})
		if !ok {
			return
		}
		// A second, slow reading of a header known to be well-formed.
		weight := func(coding string) (listed, positive bool) {
			positive = true
			for element := range strings.SplitSeq(strings.ToLower(header), ",") {
				name, q, weighted := strings.Cut(element, ";")
				if strings.Trim(name, " \t") != coding {
					continue
				}
				listed = true
				if weighted && strings.Trim(q, " \tq=0.") == "" {
					positive = false
				}
			}
			return listed, listed && positive
		}
		starListed, star := weight("*")
		for i, coding := range codings {
			listed, positive := weight(coding)
			if want := positive || !listed && star; (a.codings[i] > 0) != want {
				t.Errorf("%q: %s has weight %d", header, coding, a.codings[i])
			}
		}
		listed, positive := weight("identity")
		if want := positive || !listed && (star || !starListed); (a.identity > 0) != want {
			t.Errorf("%q: identity has weight %d", header, a.identity)
		}
	})
}
