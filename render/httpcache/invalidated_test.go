package httpcache_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// TestInvalidated: RFC 9111, 4.4.
func TestInvalidated(t *testing.T) {
	for _, c := range []struct {
		target string
		status int
		lines  []string
		want   string
	}{
		{"/a/b?x=1", 200, nil, "/a/b?x=1"},
		{"/a/b", 303, []string{"Location: c?y"}, "/a/b /a/c?y"},
		{"/a/b", 404, []string{"Location: c"}, ""},
		{"/a/b", 500, nil, ""},
		{"/a/b", 201, []string{"Location: /c#f", "Content-Location: http://SHOP.example.:80/d"}, "/a/b /c /d"},
		{"/a/b", 201, []string{"Location: https://shop.example/c", "Content-Location: //shop.example:443/d"}, "/a/b /c /d"},
		{"/a/b", 201, []string{"Location: http://other.example/c", "Content-Location: //shop.example.org/d"}, "/a/b"},
		{"/a/b", 201, []string{"Location: http://shop.example:81/c", "Content-Location: ftp://shop.example/d"}, "/a/b"},
		{"/a/b", 201, []string{"Location: http://user@shop.example/c", "Content-Location: :::"}, "/a/b /c"},
		{"/a/b", 201, []string{"Location: ", "Content-Location: ?q"}, "/a/b /a/b?q"},
		{"/a%2fb/x;y", 201, []string{"Location: ../%2f%zz", "Content-Location: ../%2f|"}, "/a%2fb/x;y /%2f%25zz /%2f%7C"},
		{"/a|%2fb/c", 201, []string{"Location: d", "Content-Location: /\xff%ff?|"}, "/a|%2fb/c /a%7C%2fb/d /%FF%ff?%7C"},
		{"//x/", 204, nil, "//x/"},
		{"/a", 201, []string{"Location: /b", "Location: /c", "Location: /" + strings.Repeat("x", 9000)}, "/a /b /c"},
	} {
		u, err := url.ParseRequestURI(c.target)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(httpcache.Invalidated(u, "shop.example", c.status, header(c.lines...)), " "); got != c.want {
			t.Errorf("%s: %d %q: %q, want %q", c.target, c.status, c.lines, got, c.want)
		}
	}
}

func TestSafe(t *testing.T) {
	for _, m := range []string{"GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "QUERY"} {
		if !httpcache.Safe(m) {
			t.Error(m)
		}
	}
	for _, m := range []string{"POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "get", "", "PURGE"} {
		if httpcache.Safe(m) {
			t.Error(m)
		}
	}
}
