package render

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

func TestStorable(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	header := func(pairs ...string) http.Header {
		h := make(http.Header)
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	tagged := declared{tags: []string{"t"}}
	type want struct {
		why     string // a prefix; "" for a page
		passing bool   // the refusal is not lasting
		expires time.Time
	}
	for name, c := range map[string]struct {
		answered
		want
	}{
		"plain":                    {answered{status: 200, written: 4}, want{}},
		"empty but said so":        {answered{status: 200}, want{}},
		"nothing written":          {answered{}, want{why: "handler wrote nothing"}},
		"NoStore":                  {answered{status: 200, declared: declared{noStore: true, why: "w"}}, want{why: "NoStore: w"}},
		"client left":              {answered{status: 200, ended: context.Canceled}, want{why: "client left", passing: true}},
		"deadline":                 {answered{status: 200, ended: fmt.Errorf("x: %w", context.DeadlineExceeded)}, want{why: "deadline", passing: true}},
		"error after the status":   {answered{status: 200, err: errors.New("x")}, want{why: "handler failed"}},
		"error with an error page": {answered{status: 404, err: errors.New("x"), declared: tagged}, want{}},

		"301":          {answered{status: 301}, want{why: "status 301 without declared"}},
		"301 tagged":   {answered{status: 301, declared: tagged}, want{}},
		"308 expiring": {answered{status: 308, declared: declared{expires: in(time.Hour)}}, want{expires: in(time.Hour)}},
		"404":          {answered{status: 404}, want{why: "status 404 without declared tags"}},
		"404 expiring": {answered{status: 404, declared: declared{expires: in(time.Hour)}}, want{why: "status 404 without declared tags"}},
		"404 tagged":   {answered{status: 404, declared: tagged}, want{}},
		"410 tagged":   {answered{status: 410, declared: tagged}, want{}},

		"Set-Cookie":           {answered{status: 200, header: header("Set-Cookie", "a=b")}, want{why: "response has Set-Cookie"}},
		"set-cookie":           {answered{status: 200, header: http.Header{"set-cookie": {"a=b"}}}, want{why: "response has Set-Cookie"}},
		"Content-Range":        {answered{status: 200, header: header("Content-Range", "bytes 0-1/2")}, want{why: "response has Content-Range"}},
		"Content-Encoding":     {answered{status: 200, header: header("Content-Encoding", "gzip")}, want{why: "response has Content-Encoding"}},
		"Trailer":              {answered{status: 200, header: header("Trailer", "X")}, want{why: "response has Trailer"}},
		"TrailerPrefix":        {answered{status: 200, header: http.Header{http.TrailerPrefix + "X": {"1"}}}, want{why: "response has Trailer"}},
		"CR in a value":        {answered{status: 200, header: header("X", "a\rb")}, want{why: "response has a malformed header"}},
		"NUL in a value":       {answered{status: 200, header: header("X", "a\x00b")}, want{why: "response has a malformed header"}},
		"space in a name":      {answered{status: 200, header: http.Header{"X Y": {"1"}}}, want{why: "response has a malformed header"}},
		"Content-Length":       {answered{status: 200, written: 4, header: header("Content-Length", "4")}, want{}},
		"short write":          {answered{status: 200, written: 3, header: header("Content-Length", "4")}, want{why: "body of 3 bytes, Content-Length 4"}},
		"long write":           {answered{status: 200, written: 4, overran: true, header: header("Content-Length", "4")}, want{why: "body of 4 bytes"}},
		"bad Content-Length":   {answered{status: 200, header: header("Content-Length", "x")}, want{why: "malformed Content-Length"}},
		"minus Content-Length": {answered{status: 200, header: header("Content-Length", "-1")}, want{why: "malformed Content-Length"}},
		"two Content-Lengths":  {answered{status: 200, header: header("Content-Length", "0", "Content-Length", "0")}, want{why: "malformed Content-Length"}},
		"Vary":                 {answered{status: 200, header: header("Vary", "accept-encoding, X-KEYED", "Vary", "Accept-Encoding")}, want{}},
		"Vary: *":              {answered{status: 200, header: header("Vary", "Accept-Encoding, *")}, want{why: "varies on *"}},
		"Vary on another":      {answered{status: 200, header: header("Vary", "Accept-Encoding", "Vary", "Accept")}, want{why: "varies on Accept"}},

		"max-age":                {answered{status: 200, header: header("Cache-Control", "max-age=60")}, want{expires: in(time.Minute)}},
		"s-maxage wins":          {answered{status: 200, header: header("Cache-Control", "max-age=60, S-MaxAge=120")}, want{expires: in(2 * time.Minute)}},
		"s-maxage=0":             {answered{status: 200, header: header("Cache-Control", "max-age=60, s-maxage=0")}, want{why: "Cache-Control: s-maxage=0"}},
		"max-age=0 for clients":  {answered{status: 200, header: header("Cache-Control", "max-age=0, s-maxage=60")}, want{expires: in(time.Minute)}},
		"broken beside s-maxage": {answered{status: 200, header: header("Cache-Control", "max-age=x, s-maxage=60")}, want{why: "malformed Cache-Control: max-age"}},
		"huge max-age":           {answered{status: 200, header: header("Cache-Control", "max-age=99999999999999999999")}, want{expires: in((1 << 31) * time.Second)}},
		"declared earlier":       {answered{status: 200, header: header("Cache-Control", "max-age=60"), declared: declared{expires: in(time.Second)}}, want{expires: in(time.Second)}},
		"declared later":         {answered{status: 200, header: header("Cache-Control", "max-age=60"), declared: declared{expires: in(time.Hour)}}, want{expires: in(time.Minute)}},
		"declared past":          {answered{status: 200, declared: declared{expires: now}}, want{why: "expired already"}},
		"public":                 {answered{status: 200, header: header("Cache-Control", "public, must-revalidate, immutable, stale-if-error=5, ext=\"a, b\"")}, want{}},
		"public and private":     {answered{status: 200, header: header("Cache-Control", "public", "Cache-Control", "private")}, want{why: "contradictory Cache-Control: public"}},
		"public and no-store":    {answered{status: 200, header: header("Cache-Control", "public, no-store")}, want{why: "contradictory Cache-Control: public"}},
		"private":                {answered{status: 200, header: header("Cache-Control", "Private, max-age=60")}, want{why: "Cache-Control: private"}},
		"no-store":               {answered{status: 200, header: header("Cache-Control", "no-store")}, want{why: "Cache-Control: no-store"}},
		"no-cache":               {answered{status: 200, header: header("Cache-Control", `no-cache="Link"`)}, want{why: "Cache-Control: no-cache"}},
		"two equal max-ages":     {answered{status: 200, header: header("Cache-Control", "max-age=60", "Cache-Control", "max-age=60")}, want{expires: in(time.Minute)}},
		"two max-ages":           {answered{status: 200, header: header("Cache-Control", "max-age=60, max-age=61")}, want{why: "contradictory Cache-Control: max-age"}},
		"quoted max-age":         {answered{status: 200, header: header("Cache-Control", `max-age="60"`)}, want{why: "malformed Cache-Control: max-age"}},
		"empty max-age":          {answered{status: 200, header: header("Cache-Control", "max-age=")}, want{why: "malformed Cache-Control"}},
		"float max-age":          {answered{status: 200, header: header("Cache-Control", "max-age=1.5")}, want{why: "malformed Cache-Control: max-age"}},
		"open quotation":         {answered{status: 200, header: header("Cache-Control", `ext="a`)}, want{why: "malformed Cache-Control"}},
		"garbage":                {answered{status: 200, header: header("Cache-Control", "max age")}, want{why: "malformed Cache-Control"}},
		"no name":                {answered{status: 200, header: header("Cache-Control", "=1")}, want{why: "malformed Cache-Control"}},
		"empty elements":         {answered{status: 200, header: header("Cache-Control", " ,, public ,")}, want{}},

		"Expires":                {answered{status: 200, header: header("Expires", "Fri, 02 Jan 2026 04:04:05 GMT")}, want{expires: in(time.Hour)}},
		"Expires past":           {answered{status: 200, header: header("Expires", "Fri, 02 Jan 2026 03:04:05 GMT")}, want{why: "expired already"}},
		"Expires: 0":             {answered{status: 200, header: header("Expires", "0")}, want{why: "malformed Expires"}},
		"two Expires":            {answered{status: 200, header: header("Expires", "Fri, 02 Jan 2026 04:04:05 GMT", "Expires", "Fri, 02 Jan 2026 04:04:05 GMT")}, want{why: "malformed Expires"}},
		"max-age before Expires": {answered{status: 200, header: header("Expires", "0", "Cache-Control", "max-age=60")}, want{expires: in(time.Minute)}},
		"Pragma":                 {answered{status: 200, header: header("Pragma", "no-cache")}, want{why: "Pragma: no-cache"}},
		"Pragma overruled":       {answered{status: 200, header: header("Pragma", "no-cache", "Cache-Control", "max-age=60")}, want{expires: in(time.Minute)}},
	} {
		t.Run(name, func(t *testing.T) {
			m, no := storable(c.answered, Options{Vary: []string{"X-Keyed"}}, now)
			switch {
			case no == nil && c.why != "":
				t.Fatalf("stored, want %q", c.why)
			case no != nil && (c.why == "" || !strings.HasPrefix(no.why, c.why) || no.lasting == c.passing):
				t.Fatalf("refused: %+v, want %+v", *no, c.want)
			case no == nil && (!m.Expires.Equal(c.expires) || m.Status != c.status || !reflect.DeepEqual(m.Tags, c.declared.tags)):
				t.Fatalf("%+v, want %+v", m, c.want)
			}
		})
	}
}

// Every other status is no page, whatever was declared.
func TestStorableStatuses(t *testing.T) {
	pages := map[int]bool{200: true, 301: true, 308: true, 404: true, 410: true}
	for status := 100; status < 1000; status++ {
		_, no := storable(answered{status: status, declared: declared{tags: []string{"t"}}}, Options{}, time.Now())
		if (no == nil) != pages[status] {
			t.Errorf("status %d: %+v", status, no)
		}
	}
}

func TestStoredHeaders(t *testing.T) {
	m, no := storable(answered{status: 200, written: 1, header: http.Header{
		"Content-Type": {"text/html; charset=UTF-8"}, "Link": {"<a>", " <b> "}, "x-lower": {"1"}, "Cache-Control": {"max-age=9"},
		"ETag": {`"x"`}, "Last-Modified": {"x"}, "Date": {"x"}, "Content-Length": {"1"}, "Connection": {"close, X-Hop"}, "X-Hop": {"1"},
		"Keep-Alive": {"1"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"x"}, "Te": {"x"}, "Proxy-Authenticate": {"x"}, "Cache-Status": {"x"},
		"Accept-Ranges": {"bytes"}, "Age": {"1"}, "X-Request-Id": {"1"}, "Vary": {"Accept-Encoding"}, "Empty": {},
	}}, Options{}, time.Now())
	want := http.Header{"Content-Type": {cache.PlainContentType}, "Link": {"<a>", "<b>"}, "X-Lower": {"1"}, "Cache-Control": {"max-age=9"}}
	if no != nil || !reflect.DeepEqual(m.Header, want) {
		t.Errorf("stored %v, want %v (%v)", m.Header, want, no)
	}
	m, _ = storable(answered{status: 200, header: http.Header{"Vary": {"Accept"}}}, Options{Vary: []string{"Accept", "X-Keyed"}}, time.Now())
	if got := m.Header.Get("Vary"); got != "" {
		t.Errorf("Vary %q is stored; whoever chooses the variant says what by", got)
	}
}

func TestGraceDeclaredAndDefault(t *testing.T) {
	for _, c := range []struct {
		declared declared
		want     time.Duration
	}{{declared{}, time.Minute}, {declared{graced: true, grace: 0}, 0}, {declared{graced: true, grace: time.Hour}, time.Hour}} {
		if m, _ := storable(answered{status: 200, declared: c.declared}, Options{Grace: time.Minute}, time.Now()); m.Grace != c.want {
			t.Errorf("%+v: grace %s, want %s", c.declared, m.Grace, c.want)
		}
	}
}

func TestDeclarations(t *testing.T) {
	plain := context.Background()
	Tags(plain, "a") // outside a fill: nothing happens
	NoStore(plain, "x")

	ctx, d := withDeclarations(plain)
	at := time.Unix(1000, 0)
	Tags(ctx, "b", "a")
	Tags(ctx, "b")
	Expires(ctx, at.Add(1))
	Expires(ctx, at)
	Expires(ctx, at.Add(2))
	Grace(ctx, time.Hour)
	Grace(ctx, time.Minute)
	Grace(ctx, 2*time.Minute)
	NoStore(ctx, "first")
	NoStore(ctx, "second")
	want := declared{tags: []string{"a", "b"}, expires: at, graced: true, grace: time.Minute, noStore: true, why: "first"}
	if got := d.end(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}

	ctx, d = withDeclarations(plain)
	for range 3 * maxDeclared {
		Tags(ctx, "same")
	}
	if got := d.end(); got.noStore || len(got.tags) != 1 {
		t.Errorf("one tag many times: %+v", got)
	}
	for i := range maxDeclared + 1 {
		Tags(ctx, fmt.Sprint(i))
	}
	if got := d.end(); !got.noStore || len(d.tags) > maxDeclared {
		t.Errorf("%d tags are kept, NoStore %v", len(d.tags), got.noStore)
	}
}

// FuzzCacheControl: whatever the header, nothing panics, and no answer that says private, no-store or no-cache in
// any place a sensible reader would look is stored.
func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"max-age=60", "public, private", `ext="private", max-age=1`, "no-store", `private="a"`, "max-age=abc", `a="\"", no-cache`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		_, no := storable(answered{status: 200, header: http.Header{"Cache-Control": {value}}}, Options{}, time.Now())
		if no != nil || strings.ContainsAny(value, `"`) {
			return
		}
		for part := range strings.SplitSeq(strings.ToLower(value), ",") {
			name, _, _ := strings.Cut(strings.TrimSpace(part), "=")
			if name == "private" || name == "no-store" || name == "no-cache" {
				t.Errorf("stored with Cache-Control %q", value)
			}
		}
	})
}
