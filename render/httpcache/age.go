package httpcache

import (
	"net/http"
	"strings"
	"time"
)

// born returns when a response's age was 0 by our clock: RFC 9111, 4.2.3, to the millisecond.
//
//	apparent_age          = max(0, response_time - date_value)
//	corrected_age_value   = age_value + (response_time - request_time)
//	corrected_initial_age = max(apparent_age, corrected_age_value)
func born(h http.Header, date time.Time, x Exchange) time.Time {
	// Dates are whole seconds: so is what is compared with them.
	apparent := min(max(x.Received.Truncate(time.Second).Sub(date), 0), maxDelta)
	corrected := ageValue(h["Age"])
	if !x.Sent.IsZero() {
		corrected += min(max(x.Received.Sub(x.Sent), 0), maxDelta)
	}
	return x.Received.Add(-max(apparent, corrected)).UTC().Truncate(time.Millisecond)
}

// ageValue reads Age (RFC 9111, 5.1): of several values the first, and none if that is no number of seconds. A number with
// parameters, which the field does not have, still tells of an age.
func ageValue(lines []string) time.Duration {
	first, _, _ := strings.Cut(strings.Join(lines, ","), ",")
	first, _, _ = strings.Cut(first, ";")
	d, _ := DeltaSeconds(strings.Trim(first, " \t"))
	return d
}

// dateOf returns when a response was made: its Date, the earliest of several; when it was received, if it has none that
// is valid (RFC 9110, 6.6.1).
func dateOf(h http.Header, received time.Time) time.Time {
	date, found := received.Truncate(time.Second), false
	for _, text := range h["Date"] {
		if t, ok := parseDate(text, received); ok && (!found || t.Before(date)) {
			date, found = t, true
		}
	}
	return date
}

// dateText returns the Date to store: as it was received, if that is a single valid one.
func dateText(h http.Header, date time.Time) string {
	if texts := h["Date"]; len(texts) == 1 {
		if _, ok := parseDate(texts[0], date); ok {
			return texts[0]
		}
	}
	return date.UTC().Format(http.TimeFormat)
}

// expires reads Expires: of several the earliest, and none if any is malformed.
func expires(lines []string, now time.Time) (at time.Time, ok bool) {
	for i, text := range lines {
		t, ok := parseDate(text, now)
		if !ok {
			return time.Time{}, false
		}
		if i == 0 || t.Before(at) {
			at = t
		}
	}
	return at, len(lines) > 0
}
