package middleware

import (
	"bufio"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache/key"
)

// FuzzShared sends whatever a client may: what leads to a shared page is a plain GET or HEAD that shows nobody's
// credentials, and the handler that makes the page sees of it only what its key says.
func FuzzShared(f *testing.F) {
	for _, s := range []string{
		"GET /a?b=1 HTTP/1.1\r\nHost: A.example:80\r\nCookie: _ga1=x; lang=de\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nCookie: sess\"ion=1\r\nCookie: lang\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nCookie: ;, =; \t lang=1\x01\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nauthorization:\r\n\r\n",
		"GET http://b.example/a?a=1 HTTP/1.1\r\nHost: a.example\r\n\r\n", "GET http://b.example?a=1 HTTP/1.1\r\nHost: a.example\r\n\r\n", "HEAD / HTTP/1.0\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-Host: evil\r\nX-Original-URL: /admin\r\nForwarded: host=evil\r\nX-HTTP-Method-Override: PUT\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nConnection: Host, Cookie, X-Forwarded-For\r\nRange: bytes=0-1\r\nIf-None-Match: *\r\nAccept-Encoding: br\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 1\r\n\r\nx", "GET /a HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"GET /a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nUpgrade: h2c\r\n\r\n", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n", "PRI * HTTP/2.0\r\n\r\n",
		"GET /%2e%2e/x HTTP/1.1\r\nHost: ..\r\n\r\n", "GET /a%2fb?utm_x=1&a=%zz HTTP/1.1\r\nHost: a/b\r\n\r\n", "GET //x/./y HTTP/1.1\r\nHost: [::1]\r\n\r\n", "GET /a?a=1;b=2 HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET /account%0ax.css HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", "GET ? HTTP/1.1\r\nHost: a\r\n\r\n",
	} {
		f.Add(s)
	}
	c := &Cache{o: Options{Query: []string{"a", "b"}, IgnoreQuery: []string{"utm_*"}, PublicCookies: []string{"_ga*", "lang"}}}
	public := regexp.MustCompile(`^(_ga.*|lang)$`)
	// What must not reach a shared render, by another list than the code's (attacks 16, 17, 21, 35).
	foreign := regexp.MustCompile(`(?i)^((proxy-)?authorization|cookie2?|range|if-(match|none-match|modified-since|unmodified-since|range)|accept-encoding|te|connection|upgrade|expect|forwarded|x-forwarded.*|x-original-.*|x-rewrite-url|x-host|x-http-method.*|x-method-override|cache-control|pragma)$`)
	f.Fuzz(func(t *testing.T, raw string) {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(raw)))
		if err != nil {
			return
		}
		k, bypass, err := c.identify(r)
		if bypass != "" || err != nil {
			return
		}
		if r.Method != "GET" && r.Method != "HEAD" || r.ContentLength != 0 || r.Header.Get("Authorization") != "" {
			t.Fatalf("%q is taken for a request for %q", raw, k)
		}
		for _, cookie := range r.Cookies() {
			if !public.MatchString(cookie.Name) {
				t.Fatalf("%q: with the cookie %q it leads to the shared %q", raw, cookie.Name, k)
			}
		}
		if again, err := key.Parse(k.String()); err != nil || again != k || k.Host == "" {
			t.Fatalf("%q: the key %q reads as %q, %v", raw, k, again, err)
		}
		shared := c.forEveryone(t.Context(), r, k)
		for name := range shared.Header {
			if foreign.MatchString(name) {
				t.Fatalf("%q: the render of %q sees %s", raw, k, name)
			}
		}
		if seen, err := key.Parse(shared.Host + shared.RequestURI); err != nil || seen != k || shared.URL.RawQuery != k.Query || shared.Host != k.Host {
			t.Fatalf("%q: the key is %q, the render sees %q%q, %v", raw, k, shared.Host, shared.RequestURI, err)
		}
		if path, err := key.Path(shared.URL.EscapedPath()); err != nil || path != k.Path || shared.URL.Fragment != "" {
			t.Fatalf("%q: the key is %q, the render sees the path %q, %v", raw, k, shared.URL.EscapedPath(), err)
		}
		values, err := url.ParseQuery(shared.URL.RawQuery)
		delete(values, "a")
		delete(values, "b")
		if err != nil || len(values) > 0 || shared.Body != http.NoBody {
			t.Fatalf("%q: the render sees %v, %v", raw, values, err)
		}
	})
}

// FuzzDetail: whatever the reason says, and whoever it comes from, it is one structured-field token or string.
func FuzzDetail(f *testing.F) {
	for _, s := range []string{"", "fenced", "a \"b\" \\", "a\r\nSet-Cookie: x", "é", strings.Repeat("\\", 200), strings.Repeat("x", 199) + "é", "\xff"} {
		f.Add(s)
	}
	well := regexp.MustCompile(`^(|; detail=[a-z-]+|; detail="([ !#-\[\]-~]|\\["\\])*")$`)
	f.Fuzz(func(t *testing.T, why string) {
		if got := detail(why); !well.MatchString(got) || len(got) > 412 || (got == "") != (why == "") {
			t.Fatalf("%q becomes %q", why, got)
		}
	})
}
