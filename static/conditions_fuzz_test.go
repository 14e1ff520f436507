package static_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/static"
)

// FuzzConditions answers requests with conditions and ranges as http.ServeContent does, which has read such headers for
// longer: the same status, headers and bytes. Where we differ on purpose, the answer must be the whole page: what is
// malformed, several ranges, a last byte before the first.
func FuzzConditions(f *testing.F) {
	p := newPages(f)
	const body = "0123456789"
	k := p.publish("/", []byte(body), cache.Meta{})
	hit := p.lookup(k)
	etag := hit.Identity().ETag
	f.Cleanup(func() { _ = hit.Close() })
	for _, s := range [][4]string{
		{etag, "", "", ""}, {"", etag, "", ""}, {"", "W/" + etag, "", ""}, {"W/" + etag, "", "", ""}, {"*", "", "bytes=0-1", ""}, {"", "*", "bytes=0-1", ""},
		{"", "", "bytes=2-4", etag}, {"", "", "bytes=2-4", "W/" + etag}, {"", "", "bytes=2-4", "Fri, 20 Nov 2026 00:00:00 GMT"}, {"", "", "bytes=-0", ""},
		{"", "\"x\", , " + etag, "", ""}, {"", "x, " + etag, "", ""}, {"", "", "bytes=0-0,2-2", ""}, {"", "", "bytes=99-", ""}, {"", "", "bytes=4-2", ""},
		{"", "", "bytes=-" + strings.Repeat("9", 40), ""}, {"", "\"a\"" + etag, "", ""}, {"", "", " BYTES = 1-1", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3], false)
		f.Add(s[0], s[1], s[2], s[3], true)
	}
	plain := regexp.MustCompile(`^bytes=([0-9]{1,18}-|-[0-9]{0,17}[1-9]|[0-9]{1,18}-[0-9]{1,18})$`)
	tags := regexp.MustCompile(`^(|\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$`)
	f.Fuzz(func(t *testing.T, match, noneMatch, ranges, ifRange string, head bool) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if head {
			r.Method = http.MethodHead
		}
		for name, value := range map[string]string{"If-Match": match, "If-None-Match": noneMatch, "Range": ranges, "If-Range": ifRange} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		ours := httptest.NewRecorder()
		static.Serve(ours, r, &hit, static.Options{})
		theirs := httptest.NewRecorder()
		theirs.Header().Set("Etag", etag)
		theirs.Header().Set("Content-Type", "text/html; charset=utf-8")
		http.ServeContent(theirs, r, "", time.Time{}, bytes.NewReader([]byte(body)))

		got, length := ours.Code, ours.Body.Len()
		if !strings.Contains(body, ours.Body.String()) || head && length > 0 {
			t.Fatalf("%v: body %q", r.Header, ours.Body)
		}
		if got == 200 && !head && ours.Body.String() != body || got == 206 && (ranges == "" || head) {
			t.Fatalf("%v: %d %q", r.Header, got, ours.Body)
		}
		if got == 304 && noneMatch == "" || got == 412 && match == "" || got == 416 && ranges == "" {
			t.Fatalf("%v: %d", r.Header, got)
		}
		if !tags.MatchString(match) || !tags.MatchString(noneMatch) || !tags.MatchString(ifRange) || strings.Contains(ifRange, ",") || ifRange == "*" {
			return // they read malformed lists in another way; RFC 9110 does not say how
		}
		if ranges != "" && !plain.MatchString(ranges) {
			if got == 416 && !strings.HasPrefix(strings.ToLower(strings.TrimSpace(ranges)), "bytes") {
				t.Fatalf("%v: 416", r.Header)
			}
			return
		}
		want := theirs.Code
		if head && want == 206 || want == 416 && (head || ours.Header().Get("Content-Range") == "") {
			want = 200 // a range is for GET alone (RFC 9110, 14.2); a last byte before the first is malformed
		}
		if got != want {
			t.Fatalf("%v %v: %d, net/http says %d", r.Method, r.Header, got, want)
		}
		if want == 206 && (ours.Body.String() != theirs.Body.String() || ours.Header().Get("Content-Range") != theirs.Header().Get("Content-Range")) {
			t.Fatalf("%v: %q %v, net/http %q %v", r.Header, ours.Body, ours.Header(), theirs.Body, theirs.Header())
		}
		if got == theirs.Code && got < 400 && ours.Header().Get("Etag") != theirs.Header().Get("Etag") {
			t.Fatalf("%v: %v, net/http %v", r.Header, ours.Header(), theirs.Header())
		}
	})
}
