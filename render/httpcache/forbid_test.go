package httpcache_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

type timeDuration = time.Duration

var controlParts = []string{
	"max-age=60", "max-age=3600", "max-age=0", "s-maxage=30", "public", "no-cache", "must-revalidate", "proxy-revalidate",
	"stale-while-revalidate=9", "stale-if-error=5", "immutable", `no-cache="Foo"`, `private="Foo"`, "x=y", `z="a, no-store"`, "no-store", "private",
	"must-understand", "max-age=x", "", "max-age =1", "x;y", `u="`,
}

var responseLines = []string{
	etag, "ETag: x", "Last-Modified: " + at(-1000), "Expires: " + at(60), "Expires: 0", "Date: " + at(-5), "Date: x", "Age: 5", "Age: x",
	"Vary: Foo", "Vary: Accept, Accept-Encoding", "Vary: *", "Pragma: no-cache", "Set-Cookie: a=b", "Content-Encoding: gzip", "Foo: bar",
	"CDN-Cache-Control: max-age=10", "CDN-Cache-Control: no-store", "CDN-Cache-Control: private", "CDN-Cache-Control: no-cache, max-age=9",
	"CDN-Cache-Control: x", "CDN-Cache-Control: X", "Surrogate-Control: max-age=7+3", "Surrogate-Control: no-store", "Surrogate-Control: content=\"x\tno-store\"",
	"Connection: Foo, Set-Cookie, Cache-Control, Vary", "Content-Type: text/html",
	"Surrogate-Key: a b", "cache-tag: c", "Cache-Tag: not one", `Cache-Groups: "g"`, "Cache-Groups: g",
}

// TestNeverForbidden: whatever else stands there, what a directive forbids is not stored, and not used.
func TestNeverForbidden(t *testing.T) {
	stored := 0
	rapid.Check(t, func(t *rapid.T) {
		x, p := drawExchange(t), drawPolicy(t)
		if neverForbidden(t, x, p) {
			stored++
		}
	})
	if stored == 0 {
		t.Error("nothing was stored: the test shows nothing")
	}
}

// FuzzJudge is the same of headers nobody would think of. Its oracle looks at the words only, so it may forbid more.
func FuzzJudge(f *testing.F) {
	f.Add("max-age=60", "", "", "Foo", "", "", 200, false)
	f.Add("max-age=60, no-store", "", "max-age=5", "", "0", "5", 200, true)
	f.Add("private=\"a\"", "max-age=1", "max-age=5+5;x", "*", "0", "5", 404, true)
	f.Add("max-age=60;private", "no-store, ?", "", ", *", "Thu, 18 Aug 2050 02:01:18 GMT", "0, 7200", 301, true)
	f.Fuzz(func(t *testing.T, control, cdn, surrogate, vary, expires, age string, status int, until bool) {
		x := exchange(status)
		for name, value := range map[string]string{"Cache-Control": control, "CDN-Cache-Control": cdn, "Surrogate-Control": surrogate, "Vary": vary, "Expires": expires, "Age": age} {
			if value != "" {
				x.Header[name] = []string{value}
			}
		}
		x.Header["Etag"] = []string{`"x"`}
		neverForbidden(t, x, httpcache.Policy{UntilInvalidated: until})
	})
}

type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// neverForbidden judges, and checks what holds of every verdict.
func neverForbidden(t fataler, x httpcache.Exchange, p httpcache.Policy) (stored bool) {
	t.Helper()
	v := httpcache.Judge(x, p)
	if v.Why != "" {
		return false
	}
	get := func(name string) string {
		var all []string
		for n, values := range x.Header {
			if strings.EqualFold(n, name) {
				all = append(all, values...)
			}
		}
		return strings.ToLower(strings.Join(all, ","))
	}
	words := func(name, word string) bool {
		for _, e := range strings.FieldsFunc(unquoted(get(name)), func(r rune) bool { return strings.ContainsRune(", \t;=", r) }) {
			if e == word {
				return true
			}
		}
		return false
	}
	control, cdn, surrogate := "Cache-Control", "CDN-Cache-Control", "Surrogate-Control"
	declares := func(name string) bool { return words(name, "max-age") || words(name, "s-maxage") }
	targeted := declares(cdn) || declares(surrogate)
	switch {
	case get("Set-Cookie") != "" || get("Trailer") != "":
		t.Fatalf("Set-Cookie: %+v", x)
	case slices.Contains(strings.FieldsFunc(get("Vary"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' }), "*"):
		t.Fatalf("Vary: *: %+v", x)
	case x.Status == 206 || x.Status == 304 || x.Status < 200 || x.Status > 599:
		t.Fatalf("status: %+v", x)
	case x.Status >= 400 && !declares(control) && get("Expires") == "" && !targeted:
		t.Fatalf("error without freshness: %+v", x)
	case (words(cdn, "no-store") && !words(cdn, "must-understand")) || words(cdn, "private") && !strings.Contains(get(cdn), `="`):
		t.Fatalf("%s: %+v", cdn, x)
	case get(cdn) == "" && words(surrogate, "no-store") && !words(surrogate, "must-understand"):
		t.Fatalf("%s: %+v", surrogate, x)
	case !targeted && words(control, "no-store") && !words(control, "must-understand") && !words(cdn, "must-understand"):
		t.Fatalf("no-store: %+v", x)
	case !targeted && words(control, "private") && !strings.Contains(get(control), `private="`):
		t.Fatalf("private: %+v", x)
	}
	l := v.Life
	if !p.UntilInvalidated && !targeted {
		if words(control, "no-cache") && !strings.Contains(get(control), `no-cache="`) && (!l.Validate || l.FreshAt(x.Received)) {
			t.Fatalf("no-cache: %+v %+v", x, l)
		}
		if l.Fresh == httpcache.Forever {
			t.Fatalf("for ever: %+v", x)
		}
	}
	if p.MaxAge > 0 && l.Fresh > p.MaxAge || l.Fresh < 0 || l.Left(x.Received) > l.Fresh {
		t.Fatalf("%+v %+v", p, l)
	}
	if (l.Must || l.Validate) && (l.MayServeOnError(x.Received.Add(hour)) || l.WhileRevalidate != 0 || l.IfError != 0) {
		t.Fatalf("past its freshness: %+v", l)
	}
	for _, name := range []string{"Connection", "Age", "Set-Cookie", "Content-Length", "Cdn-Cache-Control", surrogate, "Keep-Alive", "Te", "Surrogate-Key", "Cache-Tag", "Cache-Groups"} {
		if _, ok := v.Header[name]; ok {
			t.Fatalf("%s is stored: %v", name, v.Header)
		}
	}
	if _, err := http.ParseTime(v.Header.Get("Date")); err != nil && len(v.Header.Get("Date")) == 29 {
		t.Fatalf("Date: %v", err)
	}
	if note := l.Note(); strings.ContainsFunc(note, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		t.Fatalf("note %q", note)
	} else if _, err := httpcache.ParseLife(note); err != nil {
		t.Fatalf("note %q: %v", note, err)
	}
	return true
}

// unquoted removes what stands in quotes, as simply as it can be done.
func unquoted(s string) string {
	var b strings.Builder
	for i, part := range strings.Split(strings.ReplaceAll(s, `\"`, ""), `"`) {
		if i%2 == 0 {
			b.WriteString(part)
		}
	}
	return b.String()
}

// FuzzDictionary: a targeted field is never read as more than Cache-Control's grammar would.
func FuzzDictionary(f *testing.F) {
	for _, s := range []string{"max-age=60", "a=(1 2);x, b=:YQ==:, c=?1, d=1.5, e=tok/x", "max-age=60,", `a="\\x"`, "no-store=?0", "*a=-5", "a=1 , b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v := httpcache.Judge(exchange(200, "CDN-Cache-Control: "+s, etag), httpcache.Policy{})
		if v.Why == "" && v.Life.Fresh > 0 && !v.Life.Heuristic && !strings.Contains(s, "max-age=") && !strings.Contains(s, "s-maxage=") {
			t.Fatalf("%q: %+v", s, v.Life)
		}
		if strings.HasPrefix(s, "no-store") && v.Why == "" && !strings.Contains(s, "must-understand") && (len(s) == 8 || strings.Contains(",;= ", s[8:9])) {
			t.Fatalf("%q: stored", s)
		}
	})
}

func TestDictionary(t *testing.T) {
	for s, ok := range map[string]bool{
		"max-age=60": true, "a, max-age=60": true, "max-age=60;x;y=1;z=\"a\"": true, "a=(1 \"b\" c;d);e,max-age=60": true, "a=:YWI=:, max-age=60": true,
		"a=?1,b=?0\t, max-age=60": true, "a=1.25, max-age=60": true, "a=tok:en/x, max-age=60": true, "a=\"x\\\"y\\\\\", max-age=60": true, "*a=*b, max-age=60": true,
		"max-age=60,": false, ",max-age=60": false, "max-age=60 b": false, "Max-Age=60": false, "max-age=60.0": false, "max-age": false,
		"max-age=\"60\"": false, "max-age=1234567890123456": false, "max-age=123456789012345": true, "max-age=-": false, "max-age=60;": false,
		"max-age=60;X": false, "max-age=60, a=": false, "a=(1, max-age=60": false, "a=(1\t2), max-age=60": false, "a=?2, max-age=60": false,
		"a=:Y*:, max-age=60": false, "a=:YQ, max-age=60": false, "a=\"x, max-age=60": false, "a=\"\\x\", max-age=60": false, "a=\"ü\", max-age=60": false,
		"a=1., max-age=60": false, "a=.5, max-age=60": false, "a=1.1234, max-age=60": false, "a=1234567890123.1, max-age=60": false,
		"a=@1, max-age=60": false, "max-age=60, s-maxage": false, "(a), max-age=60": false, "a=((1)), max-age=60": false,
	} {
		v := httpcache.Judge(exchange(200, "CDN-Cache-Control: "+s), httpcache.Policy{})
		if (v.Why == "") != ok || !ok && v.Why != "malformed Cdn-Cache-Control" {
			t.Errorf("%q: %q", s, v.Why)
		}
	}
}
