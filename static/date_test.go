package static

import (
	"net/http"
	"testing"
	"time"
)

// FuzzDate: what counts as a date is what net/http reads too, and is the same when written again.
func FuzzDate(f *testing.F) {
	for _, s := range []string{
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37.5 GMT", "Sun Nov 06 08:49:37 1994",
		"Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 01 Jan 0000 00:00:00 GMT", "Sun, 06 Nov 1994 08:49:60 GMT", "Sunday, 06-Nov-94 08:49:37 PST", "0", "-1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate([]string{s})
		if _, again := parseDate([]string{s, s}); again {
			t.Errorf("%q twice is a date", s)
		}
		if !ok {
			return
		}
		want, err := http.ParseTime(s)
		if err != nil || !want.Equal(got) {
			t.Errorf("%q: %v, net/http says %v %v", s, got, want, err)
		}
		if again, ok := parseDate([]string{got.Format(http.TimeFormat)}); !ok || !again.Equal(got) {
			t.Errorf("%q: %v is not written so", s, got)
		}
		if got.Nanosecond() != 0 || got.Location() != time.UTC {
			t.Errorf("%q: %v", s, got)
		}
	})
}
