package httpcache

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDate(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	aug := time.Date(2050, 8, 18, 2, 1, 18, 0, time.UTC)
	for _, c := range []struct {
		text string
		want time.Time // zero: malformed
	}{
		{"Thu, 18 Aug 2050 02:01:18 GMT", aug},
		{"THU, 18 AUG 2050 02:01:18 gMT", aug},
		{"Thursday, 18-Aug-50 02:01:18 GMT", aug},
		{"thuRsday, 18-aug-50 02:01:18 gmt", aug},
		{"Thu Aug 18 02:01:18 2050", aug},
		{"Mon Aug  8 02:01:18 2050", aug.AddDate(0, 0, -10)},
		{"Sun, 21 Nov 2286 04:46:39 GMT", time.Date(2286, 11, 21, 4, 46, 39, 0, time.UTC)},
		{"Friday, 20-Nov-76 12:00:00 GMT", time.Date(2076, 11, 20, 12, 0, 0, 0, time.UTC)},
		{"Friday, 20-Nov-76 12:00:01 GMT", time.Date(1976, 11, 20, 12, 0, 1, 0, time.UTC)}, // more than 50 years ahead
		{"Tuesday, 29-Feb-00 00:00:00 GMT", time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"Thu, 30 Jun 2050 23:59:60 GMT", time.Date(2050, 7, 1, 0, 0, 0, 0, time.UTC)},
		{"Thu, 18 Aug 2050 02:01:18 UTC", time.Time{}},
		{"Thu, 18 Aug 2050 02:01:18 AEST", time.Time{}},
		{"Thu, 18 Aug 50 02:01:18 GMT", time.Time{}},
		{"Thu 18 Aug 2050 02:01:18 GMT", time.Time{}},
		{"Thu, 18  Aug  2050 02:01:18 GMT", time.Time{}},
		{"Thu, 18-Aug-2050 02:01:18 GMT", time.Time{}},
		{"Thu, 18-Aug-50 02:01:18 GMT", time.Time{}},
		{"Thu, 18 Aug 2050 02.01.18 GMT", time.Time{}},
		{"Thu, 18 Aug 2050 2:01:18 GMT", time.Time{}},
		{"Thu, 18 Aug 2050 02:01:18.5 GMT", time.Time{}},
		{"Thu, 31 Feb 2050 02:01:18 GMT", time.Time{}},
		{"Thu, 00 Aug 2050 02:01:18 GMT", time.Time{}},
		{"Thu, 18 Aug 2050 24:01:18 GMT", time.Time{}},
		{"Thu, 18 Aux 2050 02:01:18 GMT", time.Time{}},
		{"Foo, 18 Aug 2050 02:01:18 GMT", time.Time{}},
		{"Thu, 18 ugS 2050 02:01:18 GMT", time.Time{}},
		{"Sat Feb 29 02:01:18 2050", time.Time{}},
		{"Thu Aug 08 2:01:18 2050", time.Time{}},
		{"Thursday, 31-Feb-50 02:01:18 GMT", time.Time{}},
		{"", time.Time{}}, {"0", time.Time{}}, {"-1", time.Time{}}, {"2534", time.Time{}},
	} {
		if got, ok := parseDate(c.text, now); ok == c.want.IsZero() || ok && !got.Equal(c.want) {
			t.Errorf("%q: %v %v, want %v", c.text, got, ok, c.want)
		}
	}
}

// TestDateForms: each form of a date is read as that date, whatever the case.
func TestDateForms(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(0, 1<<32).Draw(t, "now"), 0)
		want := now.Add(time.Duration(rapid.Int64Range(-49*365*86400, 50*365*86400).Draw(t, "from now")) * time.Second).UTC()
		for _, layout := range []string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC} {
			text := want.Format(layout)
			if rapid.Bool().Draw(t, "upper") {
				text = strings.ToUpper(text)
			}
			if got, ok := parseDate(text, now); !ok || !got.Equal(want) {
				t.Fatalf("%q: %v %v", text, got, ok)
			}
		}
	})
}

// FuzzDate: what is read is a date that net/http reads too, as the same one but for the century; only a leap second, which it refuses,
// is ours alone.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"Thu, 18 Aug 2050 02:01:18 GMT", "Thursday, 18-Aug-50 02:01:18 GMT", "Thu Aug  8 02:01:18 2050", "Tuesday, 29-Feb-00 00:00:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := parseDate(s, time.Unix(1795176000, 0))
		if !ok || strings.Contains(s, ":60") {
			return
		}
		want, err := http.ParseTime(strings.Replace(s, s[len(s)-3:], strings.ToUpper(s[len(s)-3:]), 1))
		if err != nil {
			if strings.Contains(s, "29-") { // its century has no such day
				return
			}
			t.Fatalf("%q: %v, but net/http: %v", s, got, err)
		}
		if years := got.Year() - want.Year(); years%100 != 0 || !got.AddDate(-years, 0, 0).Equal(want) {
			t.Fatalf("%q: %v, but net/http: %v", s, got, want)
		}
	})
}
