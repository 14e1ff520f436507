package static

import (
	"math"
	"strings"
	"testing"
)

// FuzzRange: never a byte outside of the body, and net/http's idea of a single range is ours.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-1", "bytes=-5", "bytes=5-", "bytes=9223372036854775807-", "bytes=0-0,1-1", "bytes=1-0", "BYTES=-0"} {
		f.Add(s, int64(10))
	}
	f.Add("bytes=1-9223372036854775807", int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		from, length, status := parseRange([]string{header}, size)
		switch status {
		case 206:
			if from < 0 || length <= 0 || from >= size || length > size-from {
				t.Errorf("%q of %d bytes: %d bytes from %d", header, size, length, from)
			}
			if strings.Contains(header, ",") {
				t.Errorf("%q of %d bytes: one part for several ranges", header, size)
			}
		case 416:
			if size == 0 {
				t.Errorf("%q of an empty body: 416", header)
			}
		case 200:
			if from != 0 || length != size {
				t.Errorf("%q: the whole of %d bytes is %d from %d", header, size, length, from)
			}
		default:
			t.Errorf("%q: %d", header, status)
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
