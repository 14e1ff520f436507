package static

import (
	"net/http"
	"strings"
	"time"
)

// validators are what tells a representation of a page from others (RFC 9110, 8.8).
type validators struct {
	etag string // as it is sent: the page's own, which came from an origin, or ours
	// The page's own Last-Modified and Date. Only an origin's pages have them.
	modified, date []string
	published      time.Time
	// digested: the page has digests of its bytes, which are no validators and go where the bytes go.
	digested bool
}

// isStrong reports whether a tag is a well-formed strong one. What an origin sends may be neither: it is sent on as it
// is, and no strong comparison holds for it.
func isStrong(etag string) bool {
	return len(etag) >= 2 && etag[0] == '"' && strings.IndexByte(etag[1:], '"') == len(etag)-2
}

// changedSince reports whether the page may have been modified after the date of a header, and whether that date counts:
// a page without Last-Modified, a malformed date or several of them leave the condition out (RFC 9110, 13.1.3, 13.1.4).
// The very date counts as before only if it is a strong validator: else the page that the client has may be an earlier
// one of the same second, and P1 would be broken by telling it that it is current.
//
// RFC 9111, 4.3.2, would have a cache take Date where there is no Last-Modified. We don't: a client whose clock is ahead
// would be told that what it has from before an invalidation is current.
func (v *validators) changedSince(lines []string) (changed, known bool) {
	if len(lines) == 0 {
		return false, false
	}
	since, ok := parseDate(lines)
	modified, dated := parseDate(v.modified)
	return modified.After(since) || modified.Equal(since) && !v.dateIsStrong(modified), ok && dated
}

// unsure is how long before its publication a page without Date has been sent, at most.
const unsure = time.Minute

// dateIsStrong reports whether Last-Modified is a strong validator (RFC 9110, 8.8.2.2): a second or more before the page
// was sent. Without Date that was some time before we published it.
func (v *validators) dateIsStrong(modified time.Time) bool {
	sent, ok := parseDate(v.date)
	if !ok {
		sent = v.published.Add(-unsure)
	}
	return !sent.Before(modified.Add(time.Second))
}

// isDated reports whether an If-Range date names exactly these bytes (RFC 9110, 13.1.5): it is the page's Last-Modified,
// as a strong validator. All encodings of a page share the date, so it tells nothing to a client that accepts any: what
// it holds may be the beginning of a twin.
func (v *validators) isDated(date, acceptEncoding []string) bool {
	at, ok := parseDate(date)
	modified, dated := parseDate(v.modified)
	if !ok || !dated || !at.Equal(modified) || !v.dateIsStrong(modified) {
		return false
	}
	if len(acceptEncoding) == 0 {
		return true
	}
	a, ok := parseAcceptEncoding(acceptEncoding)
	return !ok || a.best() < 0
}

// dateForms are the three of RFC 9110, 5.6.7: the one in use, and two that recipients must still understand.
var dateForms = [...]string{http.TimeFormat, "Monday, 02-Jan-06 15:04:05 GMT", time.ANSIC}

// parseDate reads a header that is one HTTP-date. Only what would be written the same way again counts: package time
// alone also reads fractions and wrong weekdays. A year of two digits is one from 1969 to 2068.
func parseDate(lines []string) (time.Time, bool) {
	if len(lines) != 1 {
		return time.Time{}, false
	}
	s := strings.Trim(lines[0], " \t")
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return t, t.Format(form) == s
		}
	}
	return time.Time{}, false
}
