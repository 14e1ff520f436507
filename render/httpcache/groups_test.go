package httpcache_test

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestGroups: RFC 9875, 3, a List of Strings of RFC 9651.
func TestGroups(t *testing.T) {
	quoted := func(i int) string { return strconv.Quote(strconv.Itoa(i)) }
	for _, c := range []struct {
		lines []string
		want  string
		fails bool
	}{
		{nil, "", false},
		{[]string{""}, "", false},
		{[]string{`"a"`}, "group:h:a", false},
		{[]string{"\"a\" \t,  \"b\"", "", ` "c" `}, "group:h:a group:h:b group:h:c", false},
		{[]string{`"a";x;y="z, \"q\"";n=1, "b"`}, "group:h:a group:h:b", false},
		{[]string{`"a\"\\"`}, "group:h:a%22%5C", false},
		{[]string{`"` + strings.Repeat("x", 505) + `", "a"`}, "group:h:a", false}, // no page has such a tag
		{[]string{list(1000, ",", quoted)}, list(1000, " ", func(i int) string { return "group:h:" + strconv.Itoa(i) }), false},
		{[]string{list(1001, ",", quoted)}, "", true},
		{[]string{`a`}, "", true},
		{[]string{`"a", b`}, "", true},
		{[]string{`"a" "b"`}, "", true},
		{[]string{`"a",`}, "", true},
		{[]string{`,"a"`}, "", true},
		{[]string{`"a",,"b"`}, "", true},
		{[]string{`"a`}, "", true},
		{[]string{`"é"`}, "", true},
		{[]string{`("a" "b")`}, "", true},
		{[]string{`"a";`}, "", true},
		{[]string{`1`}, "", true},
		{[]string{`?1`}, "", true},
		{[]string{`"a"`, `b`}, "", true},
	} {
		h := http.Header{"cache-group-INVALIDATION": c.lines, "Cache-Groups": {`"other"`}}
		tags, err := httpcache.Groups(h, "h")
		if strings.Join(tags, " ") != c.want || (err != nil) != c.fails || c.fails && !errors.Is(err, httpcache.ErrTags) {
			t.Errorf("%.80q: %.80q, %v", c.lines, tags, err)
		}
	}
}

// TestGroupsAreOfOneHost: no two pairs of host and group have one tag (RFC 9875, 2.1).
func TestGroupsAreOfOneHost(t *testing.T) {
	seen := make(map[string]string)
	for _, host := range []string{"h", "h:81", "[::1]", "[::1]:81"} {
		for _, group := range []string{"a", "81:a", ":a", "1]:81:a", "%3A", ":", "+", " ", "%20", ""} {
			tags, err := httpcache.Groups(http.Header{"Cache-Group-Invalidation": {`"` + group + `"`}}, host)
			if err != nil || len(tags) != 1 {
				t.Fatalf("%q %q: %q, %v", host, group, tags, err)
			}
			if other, ok := seen[tags[0]]; ok {
				t.Errorf("%s is %q, and %q of %s", tags[0], other, group, host)
			}
			seen[tags[0]] = group + " of " + host
		}
	}
}

// FuzzGroups: what invalidates a group names it as what belongs to it does.
func FuzzGroups(f *testing.F) {
	f.Add(`"a", "b c"`, "h")
	f.Add(`"a";x=(1 2)`, "h:81")
	f.Fuzz(func(t *testing.T, line, host string) {
		if strings.ContainsFunc(host, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return
		}
		of, err := httpcache.Tags(http.Header{"Cache-Groups": {line}}, host)
		dropped, dropErr := httpcache.Groups(http.Header{"Cache-Group-Invalidation": {line}}, host)
		if err == nil && dropErr != nil {
			t.Fatalf("%q is read, but not as an invalidation: %v", line, dropErr)
		}
		for _, tag := range of {
			if !slices.Contains(dropped, tag) {
				t.Fatalf("%q: %q can't be dropped by %q", line, tag, dropped)
			}
		}
	})
}
