package httpcache_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// list writes n things with a separator between them.
func list(n int, separator string, thing func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = thing(i)
	}
	return strings.Join(all, separator)
}

// TestTags: each field has its own separators. A refusal says which field, and nothing of what it holds.
func TestTags(t *testing.T) {
	long := strings.Repeat("x", 512)
	for _, c := range []struct {
		lines []string
		want  string // with spaces between; "!" begins a part of the error
	}{
		{nil, ""},
		{[]string{"Surrogate-Key: a b\tc  a", "Surrogate-Key:  d "}, "a b c d"},
		{[]string{"surrogate-KEY: a"}, "a"},
		{[]string{"Surrogate-Key:", "Xkey: , ,", "Cache-Tag: ,,", "Cache-Groups: "}, ""},
		// A comma is a tag's own, or was put between joined lines.
		{[]string{"Surrogate-Key: a, b c,d ,"}, "a, a b c,d c d ,"},
		{[]string{"xkey: a,b, c d"}, "a b c d"},
		{[]string{"Cache-Tag: a,b , c,,", "Edge-Cache-Tag: d, A"}, "a b c d A"},
		{[]string{"Cache-Tag: a b, c"}, "!Cache-Tag: a tag has no spaces"},
		{[]string{"Edge-Cache-Tag: a, b\tc"}, "!Edge-Cache-Tag: a tag has no spaces"},
		{[]string{"Surrogate-Key: a\x01b"}, "!Surrogate-Key: a tag has no spaces and no control"},
		{[]string{"Surrogate-Key: a\x7f"}, "!no control"},
		{[]string{"Surrogate-Key: é", "Cache-Tag: ü"}, "é ü"},
		{[]string{"Xkey: \xff"}, "!Xkey: a tag is UTF-8"},
		{[]string{"Cache-Tag: " + long}, long},
		{[]string{"Cache-Tag: " + long + "x"}, "!at most 512 bytes"},
		{[]string{"Surrogate-Key: " + list(1000, " ", strconv.Itoa), "Cache-Tag: 7"}, list(1000, " ", strconv.Itoa)},
		{[]string{"Surrogate-Key: " + list(1000, " ", strconv.Itoa), "Cache-Tag: x"}, "!more than 1000"},
		{[]string{`Cache-Groups: "a", "b c";x=1;y , "%:é"`}, "!Cache-Groups: it is a list of quoted strings"},
		{[]string{`Cache-Groups: "a", "b c";x=1;y ,"+%:/"`, `Cache-Groups: ""`, "Surrogate-Key: k"},
			"k group:shop.example:a group:shop.example:b%20c group:shop.example:%2B%25%3A%2F group:shop.example:"},
		{[]string{`Cache-Groups: "` + strings.Repeat("x", 500) + `"`}, "!Cache-Groups: a tag has at most 512 bytes"},
		{[]string{`Cache-Group-Invalidation: "a"`, "Surrogate-Control: x", "Cache-Tags: t"}, ""},
	} {
		tags, err := httpcache.Tags(header(c.lines...), "shop.example")
		if part, fails := strings.CutPrefix(c.want, "!"); fails {
			if !errors.Is(err, httpcache.ErrTags) || !strings.Contains(err.Error(), part) || tags != nil {
				t.Errorf("%.80q: %q, %v; want %q", c.lines, tags, err, part)
			}
			continue
		}
		if err != nil || strings.Join(tags, " ") != c.want {
			t.Errorf("%.80q: %.80q, %v; want %.80q", c.lines, tags, err, c.want)
		}
	}
}

// TestJudgeTags: tags are handed over and not stored as headers; who can't be dropped by them is not stored.
func TestJudgeTags(t *testing.T) {
	x := exchange(200, explicit, "Surrogate-Key: a b", "XKEY: c", "Cache-Tag: d", "edge-cache-tag: e", `Cache-Groups: "f"`, `Cache-Group-Invalidation: "g"`, "X-Other: x",
		"Connection: cache-groups, xkey, edge-cache-tag")
	x.Host = "shop.example:81"
	v := httpcache.Judge(x, httpcache.Policy{})
	if got := strings.Join(v.Tags, " "); v.Why != "" || got != "a b c d e group:shop.example:81:f" {
		t.Errorf("%q, %q", v.Why, got)
	}
	if len(v.Header) != 3 || v.Header.Get("X-Other") != "x" { // Cache-Control, Date
		t.Errorf("stored: %v", v.Header)
	}
	for _, c := range []struct {
		line string
		most int
		why  string
	}{
		{"Cache-Tag: a b", 0, "tags that can't be read: Cache-Tag: a tag has no spaces and no control characters"},
		{"Cache-Groups: a", 0, "tags that can't be read: Cache-Groups: it is a list of quoted strings"},
		{"Surrogate-Key: " + list(128, " ", strconv.Itoa), 0, ""},
		{"Surrogate-Key: " + list(129, " ", strconv.Itoa), 0, "129 tags, at most 128 are allowed: have one that covers several"},
		{"Surrogate-Key: a b", 2, ""},
		{"Surrogate-Key: a b c", 2, "3 tags, at most 2 are allowed: have one that covers several"},
	} {
		v := httpcache.Judge(exchange(200, explicit, c.line), httpcache.Policy{MaxTags: c.most})
		if v.Why != c.why || c.why != "" && (!v.Lasting || v.Tags != nil) {
			t.Errorf("%.60q: %+v", c.line, v)
		}
	}
}

// TestFreshenTags: what a validation names takes the place of what was stored of its kind; what it does not name holds on.
func TestFreshenTags(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  string
		why   string
	}{
		{nil, "a b group:h:g group:other:g", ""},
		{[]string{"Surrogate-Key: ", "Cache-Groups:"}, "a b group:h:g group:other:g", ""},
		{[]string{"Surrogate-Key: b c"}, "b c group:h:g", ""},
		{[]string{"cache-tag: c"}, "c group:h:g", ""},
		{[]string{`Cache-Groups: "x"`}, "a b group:h:x group:other:g", ""},
		{[]string{`Cache-Groups: "x"`, "Xkey: c"}, "c group:h:x", ""},
		{[]string{"Surrogate-Key: 1 2 3 4"}, "", "5 tags, at most 4 are allowed: have one that covers several"},
		{[]string{"Cache-Tag: c d"}, "", "tags that can't be read: Cache-Tag: a tag has no spaces and no control characters"},
	} {
		p := httpcache.Policy{MaxTags: 4}
		x := exchange(304, c.lines...)
		x.Host = "h"
		v := httpcache.Freshen(x, 200, header(explicit, "Etag: \"v\""), []string{"a", "b", "group:h:g", "group:other:g"}, httpcache.Life{}, p)
		got := slices.Sorted(slices.Values(v.Tags))
		if v.Why != c.why || strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, %q", c.lines, v.Why, got)
		}
		if v.Why != "" {
			continue
		}
		for name := range v.Header {
			if slices.Contains(tagNames, name) {
				t.Errorf("%q: %s is stored", c.lines, name)
			}
		}
	}
}

var tagNames = []string{"Surrogate-Key", "Xkey", "Cache-Tag", "Edge-Cache-Tag", "Cache-Groups", "Cache-Group-Invalidation"}

func TestStripForCaches(t *testing.T) {
	h := http.Header{"xKEY": {"a"}, "Cache-Control": {"x"}, "Cache-Status": {"y"}}
	for _, name := range tagNames {
		h[name] = []string{"a"}
	}
	if httpcache.StripForCaches(h); len(h) != 2 {
		t.Errorf("%v", h)
	}
}

// TestTagsAreEndToEnd: Connection can't take out what says on which invalidations a page depends, or which there are.
func TestTagsAreEndToEnd(t *testing.T) {
	h := http.Header{"Connection": {strings.Join(tagNames, ", ")}}
	for _, name := range tagNames {
		h[name] = []string{"a"}
	}
	if httpcache.HopByHop(h); len(h) != len(tagNames) {
		t.Errorf("left: %v", h)
	}
}

// FuzzTags: what is read can be stored and named; each tag that stands alone in a field is among them; and no header makes it
// fail in another way than with ErrTags.
func FuzzTags(f *testing.F) {
	f.Add("a b", "a, b", "a,b", "c", `"g", "h";a=1`, "shop.example")
	f.Add("a,", ",", " , ", "\xff", `"`, "")
	f.Add("", "", "", "", `"a",`, "h:81")
	f.Add("0", "0", "\n", "0", " ", "")
	f.Fuzz(func(t *testing.T, surrogate, xkey, cache, edge, groups, host string) {
		if strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c == 0x7f || c == utf8.RuneError }) {
			return
		}
		h := http.Header{"Surrogate-Key": {surrogate}, "Xkey": {xkey}, "Cache-Tag": {cache}, "Edge-Cache-Tag": {edge}, "Cache-Groups": {groups}}
		tags, err := httpcache.Tags(h, host)
		if err != nil {
			if !errors.Is(err, httpcache.ErrTags) || tags != nil {
				t.Fatalf("%q, %v", tags, err)
			}
			return
		}
		for i, tag := range tags {
			if tag == "" || len(tag) > 512 || !utf8.ValidString(tag) || slices.Contains(tags[:i], tag) ||
				strings.ContainsFunc(tag, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
				t.Fatalf("%q", tags)
			}
		}
		for _, word := range strings.Fields(surrogate) {
			if !slices.Contains(tags, word) && !strings.ContainsFunc(surrogate, func(c rune) bool { return c > '~' || c < ' ' }) {
				t.Fatalf("%q is not among %q", word, tags)
			}
		}
		for line := range strings.SplitSeq(cache+","+edge, ",") {
			if tag := strings.Trim(line, " \t\r\n"); tag != "" && !slices.Contains(tags, tag) {
				t.Fatalf("%q is not among %q", tag, tags)
			}
		}
	})
}
