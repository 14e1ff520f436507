//go:build e2e

package attack

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// distinct asks for targets, twice each, and sees that each has the answer of its own target: what the origin tells apart,
// nobody merges. What is refused, with 400, must not reach the origin.
func distinct(t *testing.T, p *server, targets ...string) {
	t.Helper()
	for range 2 {
		for _, target := range targets {
			res, body := p.get(target)
			if res.StatusCode == 200 && body != "GET "+target {
				t.Errorf("asked for %.200q, got %.200q", target, body)
			}
			if res.StatusCode != 200 && (res.StatusCode != 400 || strings.HasPrefix(body, "GET ")) {
				t.Errorf("%.200q: %d %.200q", target, res.StatusCode, body)
			}
		}
	}
}

// refused asks for targets that no well-behaved client sends.
func refused(t *testing.T, p *server, o *origin, targets ...string) {
	t.Helper()
	for _, target := range targets {
		if res, _ := p.get(target); res.StatusCode != 400 {
			t.Errorf("%q: %d", target, res.StatusCode)
		}
		if seen := o.texts(); len(seen) > 0 {
			t.Errorf("%q: the origin saw %q", target, seen)
		}
	}
}

// outside lists what was stored outside of the folder.
func (p *server) outside() (found []string) {
	_ = filepath.WalkDir(filepath.Dir(p.dir), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && !strings.HasPrefix(path, p.dir+"/") {
			found = append(found, path)
		}
		return nil
	})
	return found
}

// TestAttack01_ProxyDotSegments: nothing outside the folder is opened, and no other page is answered.
func TestAttack01_ProxyDotSegments(t *testing.T) {
	o := newOrigin(t, nil)
	p := proxyTo(t, o)
	p.get("/x")
	o.seen()
	refused(t, p, o, "/a/../x", "/a/../../../etc/passwd", "/..", "/.", "/a/./x", "/%2e%2e/x", "/%2E%2e/x", "/a/%2e%2e/x", "/a/.%2e/x", "/a/%2e/x")
	distinct(t, p, "/..%2fx", "/a/..%2fx", "/a/..%2f..%2f..%2finventory.db", "/a/..%5cx", "/...", "/a/.../x", "/..x", "/a;/x")
	if found := p.outside(); len(found) > 0 {
		t.Errorf("files outside: %q", found)
	}
}

// TestAttack02_ProxyNUL: refused.
func TestAttack02_ProxyNUL(t *testing.T) {
	o := newOrigin(t, nil)
	refused(t, proxyTo(t, o), o, "/%00", "/a%00.css", "/a/%00/b", "/a\x00b")
}

// TestAttack03_ProxyEncodedSlashes: each spelling is answered with what the origin says to that one. (Two are one page only if
// they differ in what RFC 3986, 6.2.2 calls equivalent: "/%61" and "/a", "/%c3" and "/%C3".)
func TestAttack03_ProxyEncodedSlashes(t *testing.T) {
	p := proxyTo(t, newOrigin(t, nil))
	distinct(t, p, "/a/b", "/a%2fb", "/a%2Fb", "/a%5cb", `/a\b`, "/a%252fb", "/a%2f%2e%2e%2fb")
}

// TestAttack04_ProxySlashes: nor are slashes merged.
func TestAttack04_ProxySlashes(t *testing.T) {
	p := proxyTo(t, newOrigin(t, nil))
	distinct(t, p, "/x", "/x/", "//x", "/x//", "///x", "//x/", "/x/y", "/x//y", "/")
}

// TestAttack05_ProxyFragment: refused.
func TestAttack05_ProxyFragment(t *testing.T) {
	o := newOrigin(t, nil)
	refused(t, proxyTo(t, o), o, "/#frag", "/a#b", "/a?b#c", "/a?b=1&c=#d")
}

// TestAttack06_ProxyLong: long names are told apart to their last byte.
func TestAttack06_ProxyLong(t *testing.T) {
	p := proxyTo(t, newOrigin(t, nil))
	var targets []string
	for _, n := range []int{200, 255, 256, 300, 2040, 4200, 9000} {
		x := strings.Repeat("x", n)
		targets = append(targets, "/"+x+"a", "/"+x+"b", "/"+x+"/a", "/"+x+"/b", "/q?"+x+"a", "/q?"+x+"b", "/"+strings.Repeat("s/", n/2)+"a", "/"+strings.Repeat("s/", n/2)+"b")
	}
	distinct(t, p, targets...)
}

// TestAttack07_ProxyNames (7, 8, 9, 10): names that differ in case, look like our own files, are a folder and a page, or are
// other bytes for the same letters.
func TestAttack07_ProxyNames(t *testing.T) {
	p := proxyTo(t, newOrigin(t, nil))
	targets := []string{
		"/A", "/a", "/a/b", "/a/", "/A/b", "/a.tmp", "/a.gz", "/a.br", "/a.zst", "/a.stale", "/a.page", "/.page", "/.page.tmp", "/a.page.tmp", "/a@", "/a.page@/v-0", "/index.html", "/index", "/inventory.db", "/inventory.db-wal", "/lock",
		"/live", "/pages", "/private/a", "/%C3%A9", "/e%CC%81", "/%C0%AF", "/%FF", "/%EF%BB%BF", "/~a", "/a%20b", "/a+b", "/CON", "/a.", "/a%3a", "/a:b", "/-",
	}
	distinct(t, p, targets...)
	distinct(t, p, targets...)
	for _, q := range []string{"/a.page", "/a", "/a/b", "/A", "/%C3%A9", "/e%CC%81"} {
		if res, _ := p.get(q); !cached(res) {
			t.Errorf("%s is not cached: %q", q, res.Header.Get("Cache-Status"))
		}
	}
}

// TestAttack14_ProxyHosts: a host that is none, or not one of ours, is refused before the origin or a file is touched.
func TestAttack14_ProxyHosts(t *testing.T) {
	o := newOrigin(t, nil)
	p := proxyTo(t, o, "--host", "h.example")
	for _, host := range []string{"..", ".", "a/b", "a/../b", "", "evil.example", "h.example.evil.example", "evil.example:80", "h.example/", `h.example\x`, "h.example,evil.example", "h.example evil.example", "h.example@evil.example", "h_example", "[::1", "[h.example]", "h.example:x", "h.example:", "h.example:99999999", "h.exa\u212aple", "%68.example", "h..example", "-"} {
		for _, raw := range []string{"GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\nHost: " + host + "\r\n\r\n", "GET http://" + host + "/ HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n"} {
			if strings.HasPrefix(raw, "GET http:") && (host == "h.example/" || host == "h.example:" || host == "") {
				continue // URLs of h.example, or of no other
			}
			for _, a := range p.converse(t, raw) {
				if a.status != 400 && a.status != 421 {
					t.Errorf("%q: %v", raw, a)
				}
			}
		}
	}
	if a := p.converse(t, "GET / HTTP/1.0\r\n\r\n"); len(a) != 1 || a[0].status != 400 && a[0].status != 421 {
		t.Errorf("no host: %v", a)
	}
	if a := p.converse(t, "GET / HTTP/1.1\r\nHost: other.example\r\nConnection: close\r\n\r\n"); len(a) != 1 || a[0].status != 421 || !strings.Contains(a[0].body, "--host other.example") {
		t.Errorf("another host: %v", a)
	}
	if texts := o.texts(); len(texts) > 0 {
		t.Errorf("the origin saw %q", texts)
	}
}

// TestAttack15_ProxyAuthorities: all spellings of a host are one page, and the origin hears the spelling of the key. The
// authority of an absolute target counts, for key and origin alike.
func TestAttack15_ProxyAuthorities(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		_, _ = io.WriteString(c, ok(strings.Join(q.values("Host"), ",")+" "+q.target))
	})
	p := proxyTo(t, o, "--host", "h.example", "--host", "g.example")
	for i, raw := range []string{
		"GET /%d HTTP/1.1\r\nHost: h.example\r\n", "GET /%d HTTP/1.1\r\nHost: H.Example\r\n", "GET /%d HTTP/1.1\r\nHost: h.example.\r\n", "GET /%d HTTP/1.1\r\nHost: h.example:80\r\n", "GET /%d HTTP/1.1\r\nHost: H.EXAMPLE.:80\r\n",
		"GET http://h.example/%d HTTP/1.1\r\nHost: g.example\r\n", "GET http://h.example/%d HTTP/1.1\r\nHost: evil.example\r\n", "GET HTTP://H.example:80/%d HTTP/1.1\r\nHost: g.example\r\n",
	} {
		for _, n := range []int{i, 100} { // stored from this spelling, and found by it
			for _, more := range []string{"", "Cookie: session=1\r\n"} {
				a := p.converse(t, fmt.Sprintf(raw, n)+more+"Connection: close\r\n\r\n")
				if want := fmt.Sprintf("h.example /%d", n); len(a) != 1 || a[0].status != 200 || more == "" && a[0].body != want || more != "" && !strings.EqualFold(strings.NewReplacer(":80", "", "example.", "example", "EXAMPLE.", "EXAMPLE").Replace(a[0].body), want) {
					t.Errorf("%q%s: %v", raw, more, a)
				}
			}
		}
		if a := p.converse(t, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: g.example\r\nConnection: close\r\n\r\n", i)); len(a) != 1 || a[0].body != fmt.Sprintf("g.example /%d", i) {
			t.Errorf("%q: the other host got %v", raw, a)
		}
	}
	if n := len(slices.DeleteFunc(o.texts(), func(s string) bool { return s != "GET /100" })); n != 1+8 { // and with a session
		t.Errorf("%d requests for one page in eight spellings", n-8)
	}
}

// TestAttack19_ProxyQueries: a page is that of the query the origin was sent, and no parameter that is left out of the key reaches
// the origin.
func TestAttack19_ProxyQueries(t *testing.T) {
	o := newOrigin(t, nil)
	p := proxyTo(t, o, "--ignore-query", "utm_*", "--ignore-query", "fbclid")
	queries := []string{"", "a=1", "a=1;b=2", "a=1%3Bb=2", "a=%zz", "a=%", "a=1&a=2", "a=2&a=1", "b=1&a=1", "a=1&b=1", "a", "a=", "a=1&", "=1", "&", "a=+", "a=%2B", "a=1%26b=2", "a=1%23", "a[]=1", "a%5B%5D=1", "a=%00", "a=\xff", "a=%FF", "A=1", "a=1&utm%5Fx=evil;c=1"}
	for _, query := range queries {
		for range 2 {
			res, body := p.get("/q?" + query)
			got, _ := strings.CutPrefix(body, "GET /q?")
			if body == "GET /q" {
				got = ""
			}
			// The same parameters, in the same order: perhaps in another spelling.
			if res.StatusCode == 200 && got != query && !same(got, query) {
				t.Errorf("asked with %q, got the page of %q", query, got)
			}
		}
	}
	o.seen()
	for i, query := range []string{"utm_source=evil", "a=1&utm_source=evil", "utm_source=evil&a=1", "a=1&fbclid=evil&b=2", "utm_=evil", "u%74m_x=evil", "a=1&utm_x=evil&utm_y=evil"} {
		target := fmt.Sprintf("/u%d?%s", i, query)
		_, body := p.get(target)
		if strings.Contains(body, "evil") || strings.Contains(strings.Join(o.texts(), " "), "evil") {
			t.Errorf("%s: %q", target, body)
		}
		if res, again := p.get(strings.ReplaceAll(target, "evil", "other")); again != body || !cached(res) {
			t.Errorf("%s is another page for another value", target)
		}
	}
}

// same reports whether two queries have the same parameters as WHATWG's URL reads them: those that Go can read, too.
func same(a, b string) bool {
	read := func(q string) string {
		var parts []string
		for p := range strings.SplitSeq(q, "&") {
			if p == "" {
				continue
			}
			s, err := url.QueryUnescape(p)
			name, value, has := strings.Cut(p, "=")
			if n, err2 := url.QueryUnescape(name); err == nil && err2 == nil {
				v, _ := url.QueryUnescape(value)
				s = fmt.Sprintf("%q %v %q", n, has, v)
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, "\n")
	}
	return read(a) == read(b)
}

// TestAttack20_ProxyQueries: ever new queries stay within the bound; where parameters are listed, they make no pages at all.
// (A million of them: e2e/proxy TestQueryFlood.)
func TestAttack20_ProxyQueries(t *testing.T) {
	const bound = 50
	p := proxyTo(t, newOrigin(t, nil), "--max-pages", fmt.Sprint(bound))
	listed := proxyTo(t, newOrigin(t, nil), "--query", "id")
	for i := range 6 * bound {
		p.get(fmt.Sprintf("/?q%d=%d", i, i))
		if i < bound {
			listed.get(fmt.Sprintf("/?q%d=%d", i, i))
		}
	}
	listed.get("/?id=1")
	await(t, func() string {
		if n := len(p.stored()); n == 0 || n > bound+bound/4 {
			return fmt.Sprintf("%d pages; the bound is %d", n, bound)
		}
		return ""
	})
	if keys := listed.stored(); len(keys) != 1 {
		t.Errorf("stored: %.300q", keys)
	}
}
