package httpcache

import (
	"slices"
	"strings"
	"time"
)

const (
	months = "JanFebMarAprMayJunJulAugSepOctNovDec"
	days   = "MonTueWedThuFriSatSun"
)

var longDays = [...]string{"Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"}

// parseDate reads an HTTP-date in each of its three forms (RFC 9110, 5.6.7), names in any case (RFC 9111, 4.2, wants dates
// matched so), and nothing else. time.Parse won't do: it takes hours of one digit, fractions, and other zones.
//
// The year of two digits is the one closest to now that is not more than 50 years ahead.
func parseDate(s string, now time.Time) (time.Time, bool) {
	switch {
	case len(s) == len("Sun, 06 Nov 1994 08:49:37 GMT") && fits(s, "AAA, 00 AAA 0000 00:00:00 AAA"):
		return makeDate(s[:3], number(s[12:16]), s[8:11], number(s[5:7]), s[17:25], s[26:])
	case len(s) == len("Sun Nov  6 08:49:37 1994") && fits(s, "AAA AAA _0 00:00:00 0000"):
		return makeDate(s[:3], number(s[20:]), s[4:7], number(strings.TrimLeft(s[8:10], " ")), s[11:19], "GMT")
	}
	name, rest, _ := strings.Cut(s, ",")
	if len(rest) != len(" 06-Nov-94 08:49:37 GMT") || !fits(rest, " 00-AAA-00 00:00:00 AAA") {
		return time.Time{}, false
	}
	if !slices.ContainsFunc(longDays[:], func(day string) bool { return strings.EqualFold(day, name) }) {
		return time.Time{}, false
	}
	year := now.UTC().Year()/100*100 + 100 + number(rest[8:10])
	for range 3 { // not every century has the day: 29-Feb-00
		t, ok := makeDate(name[:3], year, rest[4:7], number(rest[1:3]), rest[11:19], rest[20:])
		if ok && !t.After(now.AddDate(50, 0, 0)) {
			return t, true
		}
		year -= 100
	}
	return time.Time{}, false
}

// fits compares a date with a pattern of the same length: A is a letter, 0 a digit, _ a digit or a space.
func fits(s, pattern string) bool {
	for i := range len(s) {
		c := s[i]
		switch p := pattern[i]; {
		case p == 'A' && lower(c|0x20):
		case (p == '0' || p == '_') && digit(c):
		case p == '_' && c == ' ':
		case p != 'A' && p != '0' && p != '_' && p == c:
		default:
			return false
		}
	}
	return true
}

// makeDate puts the parts of a date together; false if there is no such date.
func makeDate(day string, year int, month string, dayOfMonth int, clock, zone string) (time.Time, bool) {
	m, hour, minute, second := nameIndex(months, month)+1, number(clock[:2]), number(clock[3:5]), number(clock[6:])
	if m == 0 || nameIndex(days, day) < 0 || !strings.EqualFold(zone, "GMT") || hour > 23 || minute > 59 || second > 60 {
		return time.Time{}, false
	}
	if time.Date(year, time.Month(m), dayOfMonth, 0, 0, 0, 0, time.UTC).Day() != dayOfMonth {
		return time.Time{}, false // 31 February
	}
	return time.Date(year, time.Month(m), dayOfMonth, hour, minute, second, 0, time.UTC), true
}

// nameIndex returns the place of a name of three letters in a list of such; -1 if it is not there.
func nameIndex(list, name string) int {
	for i := 0; i < len(list); i += 3 {
		if strings.EqualFold(list[i:i+3], name) {
			return i / 3
		}
	}
	return -1
}

// number reads digits.
func number(s string) int {
	n := 0
	for _, c := range []byte(s) {
		n = n*10 + int(c-'0')
	}
	return n
}
