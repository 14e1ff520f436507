//go:build e2e

package attack

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestAttack21_ProxyCredentials: what is answered to somebody's credentials is neither stored nor shared, nor does such a client
// wait for others or they for him; and he is not answered from a page.
func TestAttack21_ProxyCredentials(t *testing.T) {
	release, failed := make(chan struct{}), make(chan struct{})
	o := newOrigin(t, func(q *asked, c net.Conn) {
		credentials := append(q.values("Authorization"), q.values("Cookie")...)
		who := strings.Join(credentials, "; ")
		if strings.HasPrefix(q.target, "/together") && len(credentials) == 0 {
			select { // the fill of the shared page is under way
			case <-release:
			case <-failed:
			}
		}
		_, _ = io.WriteString(c, ok("for "+who+" at "+q.target))
	})
	t.Cleanup(func() { close(failed) })
	p := proxyTo(t, o, "--public-cookies", "theme")
	for i, header := range []string{
		"Authorization: Basic eDp5", "authorization: Bearer x", "Authorization:", "Cookie: session=1", "Cookie: theme=dark; session=1", "Cookie: session", "Cookie: =x", "Cookie: ,;session=1", "Cookie: theme=dark\r\nCookie: session=1", "cookie:session=1",
	} {
		_, value, _ := strings.Cut(header, ":")
		mine := func(body string) bool {
			return strings.Contains(body, strings.TrimSpace(strings.Split(value, "\r\n")[0]))
		}
		target := fmt.Sprintf("/mine-%d", i)
		if _, body := p.get(target, header); !mine(body) {
			t.Errorf("%s: %q", header, body)
		}
		if _, body := p.get(target); body != "for  at "+target {
			t.Errorf("after %s the next client got %q", header, body)
		}
		if _, body := p.get(target, header); !mine(body) {
			t.Errorf("%s: from the shared page: %q", header, body)
		}
		together := fmt.Sprintf("/together-%d", i)
		var shared sync.WaitGroup
		shared.Go(func() {
			if _, body := p.get(together); body != "for  at "+together {
				t.Errorf("%s: the shared page is %q", header, body)
			}
		})
		if _, body := p.get(together, header); !mine(body) { // would wait for ever
			t.Errorf("%s: collapsed: %q", header, body)
		}
		release <- struct{}{}
		shared.Wait()
	}
	if _, body := p.get("/public", "Cookie: theme=dark"); body != "for  at /public" {
		t.Errorf("a public cookie reached the shared page: %q", body)
	}
}

// cached reports whether an answer came from a page: perhaps one that another request has just stored.
func cached(res *http.Response) bool {
	s := res.Header.Get("Cache-Status")
	return strings.Contains(s, "hit") || strings.Contains(s, "collapsed")
}

// unstored asks for targets twice, and sees that the origin was asked twice.
func unstored(t *testing.T, p *server, what string, targets ...string) {
	t.Helper()
	for _, target := range targets {
		for range 2 {
			if res, _ := p.get(target); strings.Contains(res.Header.Get("Cache-Status"), "hit") || strings.Contains(res.Header.Get("Cache-Status"), "stored") {
				t.Errorf("%s: %s: Cache-Status %q", what, target, res.Header.Get("Cache-Status"))
			}
		}
	}
	if keys := p.stored(); len(keys) > 0 {
		t.Errorf("%s: stored %q", what, keys)
	}
}

// answering is an origin that answers each target "/N" with the N-th of some header lines.
func answering(t *testing.T, lines []string) (o *origin, targets []string) {
	byTarget := map[string]string{}
	for i, l := range lines {
		targets = append(targets, fmt.Sprintf("/%d", i))
		byTarget[targets[i]] = l
	}
	return newOrigin(t, func(q *asked, c net.Conn) {
		l := byTarget[q.target]
		if !strings.Contains(strings.ToLower(l), "cache-control") {
			l += "\r\nCache-Control: max-age=600"
		}
		_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n%s\r\n\r\nhi", l)
	}), targets
}

// TestAttack22_ProxySetCookie: not stored, whatever else is said.
func TestAttack22_ProxySetCookie(t *testing.T) {
	for _, policy := range []string{"explicit", "until-invalidated"} {
		o, targets := answering(t, []string{"Set-Cookie: a=b", "set-cookie: a=b", "Set-Cookie:", "Set-Cookie2: a=b", "Set-Cookie: a=b\r\nCache-Control: public, s-maxage=600", "Set-Cookie: a=b\r\nCache-Control: no-cache=\"set-cookie\", max-age=600", "Connection: Set-Cookie\r\nSet-Cookie: a=b"})
		unstored(t, proxyTo(t, o, "--policy", policy), policy, targets...)
	}
}

// TestAttack23_ProxyCacheControl: nor what says so, or can't be read.
func TestAttack23_ProxyCacheControl(t *testing.T) {
	lines := []string{
		"Cache-Control: private", "Cache-Control: no-store", "Cache-Control: max-age=600, private", "Cache-Control: PRIVATE, max-age=600", "Cache-Control: max-age=600\r\nCache-Control: no-store", "Cache-Control: public, private, max-age=600",
		"Cache-Control: max-age=600, no-store", "Cache-Control: \"max-age=600, private", "Cache-Control: max-age=600, private=", "Cache-Control: private=\"\", max-age=600", "Cache-Control: max-age=600; private", "Cache-Control: max-age=600 private",
		"Connection: Cache-Control\r\nCache-Control: private", "CDN-Cache-Control: no-store\r\nCache-Control: max-age=600", "cache-control: max-age=600,\tno-store",
	}
	o, targets := answering(t, lines)
	unstored(t, proxyTo(t, o), "explicit", targets...)
	o, targets = answering(t, lines)
	unstored(t, proxyTo(t, o, "--policy", "until-invalidated"), "until-invalidated", targets...)
}

// TestAttack24_ProxyVary: a page that varies is for those whose header it was asked for with; one that varies on everything,
// for nobody. A client can't make ever more of them.
func TestAttack24_ProxyVary(t *testing.T) {
	o, targets := answering(t, []string{"Vary: *", "Vary: X-A, *", "Vary: X-A\r\nVary: *", "vary:*", "Vary: X A", "Vary: X-A;x", "Vary: \"X-A\"", "Vary: " + strings.Repeat("X-A, X-B, X-C, X-", 20) + "Z\r\nVary: " + many20()})
	unstored(t, proxyTo(t, o), "varies", targets...)

	p := proxyTo(t, newOrigin(t, func(q *asked, c net.Conn) {
		_, _ = io.WriteString(c, ok(fmt.Sprintf("%q", q.values("X-A")), "Vary: X-A"))
	}), "--max-pages", "50")
	for range 2 {
		for _, value := range []string{"a", "b", "", "a,b", "A", "a, a"} {
			header := "X-A: " + value
			if _, body := p.get("/", header); body != fmt.Sprintf("%q", []string{value}) {
				t.Errorf("with %q the page of %s", value, body)
			}
		}
		if _, body := p.get("/"); body != "[]" {
			t.Errorf("without the header the page of %s", body)
		}
	}
	for i := range 300 {
		p.get("/", fmt.Sprintf("X-A: flood-%d", i))
	}
	await(t, func() string {
		if n := len(p.stored()); n > 63 {
			return fmt.Sprintf("%d forms of one page; 50 pages are the bound", n)
		}
		return ""
	})
}

// many20 names 20 headers.
func many20() string {
	var names []string
	for i := range 20 {
		names = append(names, fmt.Sprintf("X-%d", i))
	}
	return strings.Join(names, ", ")
}

// TestAttack25_ProxyDeception: web cache deception. An application answers with somebody's page whatever stands behind
// /account; no ending makes a page of it, in whichever spelling.
func TestAttack25_ProxyDeception(t *testing.T) {
	for _, control := range []string{"Cache-Control: private", "Cache-Control: no-store", "Cache-Control: private, max-age=600", "X-Nothing: x"} {
		for _, policy := range []string{"explicit", "until-invalidated"} {
			o := newOrigin(t, func(q *asked, c net.Conn) {
				who := strings.Join(q.values("Cookie"), ";")
				lines := []string{control}
				if who == "" { // it asks who is there
					_, _ = fmt.Fprintf(c, "HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n")
					return
				}
				_, _ = io.WriteString(c, strings.Replace(ok("secret of "+who, append(lines, "Cache-Control: private")...), "Cache-Control: private\r\n\r\n", "\r\n", 1))
			})
			p := proxyTo(t, o, "--policy", policy)
			for _, behind := range []string{
				"/x.css", "/x.js", "/x.png", "/robots.txt", "/favicon.ico", ";x.css", ";/x.css", "%0ax.css", "%0d%0ax.css", "%3fx.css", "%23x.css", "%00x.css", "%2fx.css", "%5cx.css", "?x.css", "/..%2fstatic/x.css", "/%2e%2e/static/x.css", "/../static/x.css",
				"/x.css/", "/.css", ".css", "//x.css", "%3b.css", "!x.css", "~x.css", "%20.css", "%09.css", "\\x.css",
			} {
				target := "/account" + behind
				if res, body := p.get(target, "Cookie: session=alice"); res.StatusCode == 200 && !strings.Contains(body, "alice") {
					t.Errorf("%s: alice got %d %q", target, res.StatusCode, body)
				}
				if _, body := p.get(target); strings.Contains(body, "secret") {
					t.Errorf("%s (%s, %s): the next client got %q", target, control, policy, body)
				}
			}
			if keys := p.stored(); len(keys) > 0 {
				t.Errorf("%s, %s: stored %q", control, policy, keys)
			}
		}
	}
}

// TestAttack25_ProxyPrivateAnswers: nor where the client's cookie does not show that he is somebody (he may be known by his
// address), but the answer says that it is his.
func TestAttack25_ProxyPrivateAnswers(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		_, _ = io.WriteString(c, ok("yours", "Cache-Control: private, max-age=600"))
	})
	unstored(t, proxyTo(t, o), "private", "/account/x.css", "/account;x.css", "/account%0ax.css", "/account%3fx.css", "/account/x.png?v=1")
}

// TestAttack28_ProxyHeaders: malformed Accept-Encoding, Range and If-*: they cost no request to the origin where there is a
// page, and no client is sent what it does not accept, or bytes that are not the page's (29).
func TestAttack28_ProxyHeaders(t *testing.T) {
	page := strings.Repeat("0123456789abcdef", 200)
	o := newOrigin(t, func(q *asked, c net.Conn) {
		_, _ = io.WriteString(c, ok(page, `ETag: "v1"`, "Content-Type: text/plain", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT"))
	})
	p := proxyTo(t, o)
	p.get("/")
	o.seen()
	for i, h := range []string{
		"Accept-Encoding: ;;;,,gzip;q=x", "Accept-Encoding: gzip;q=2", "Accept-Encoding: gzip;q=0, br;q=0, *;q=0", "Accept-Encoding: " + strings.Repeat("x,", 2000), "Accept-Encoding: identity;q=0", "If-None-Match: \"", "If-None-Match: W/", "If-None-Match: " + strings.Repeat(`"x",`, 1000),
		"Range: bytes=-", "Range: bytes=9-1", "Range: lines=1-2", "Range: bytes=99999999999999999999-", "Range: bytes=-99999999999999999999", "Range: bytes=0-,0-,0-,0-,0-", "Range: bytes=0-18446744073709551615", "Range: bytes=3199-4000", "Range: bytes=3200-",
		"Range: bytes=" + strings.TrimSuffix(strings.Repeat("0-1,", 100), ","), "Range: bytes=0-0,-1", "Range: bytes=1-3", "Range: bytes = 1-3", "Range: bytes=1-3\r\nRange: bytes=5-9", "If-Modified-Since: yesterday", "If-Range: x\r\nRange: bytes=1-3", "If-Range: \"v1\"\r\nRange: bytes=1-3",
	} {
		for _, target := range []string{"/", fmt.Sprintf("/miss-%d", i)} {
			res, body := p.get(target, h)
			switch res.StatusCode {
			case 200:
				if body != page || res.Header.Get("Content-Encoding") != "" {
					t.Errorf("%s with %.60q: %d bytes of another page, encoded as %q", target, h, len(body), res.Header.Get("Content-Encoding"))
				}
			case 206:
				if len(body) > 2*len(page) || !strings.Contains(res.Header.Get("Content-Type"), "multipart") && !strings.Contains(page, body) {
					t.Errorf("%s with %.60q: %d bytes that are not of the page", target, h, len(body))
				}
			case 304, 400, 406, 412, 416:
			default:
				t.Errorf("%s with %.60q: %d", target, h, res.StatusCode)
			}
			if res, body := p.get(target); res.StatusCode != 200 || body != page || !cached(res) && !strings.Contains(res.Header.Get("Cache-Status"), "stored") {
				t.Errorf("%s after %.60q: the next client got %d and %d bytes (%s)", target, h, res.StatusCode, len(body), res.Header.Get("Cache-Status"))
			}
		}
		for _, q := range o.seen() {
			if q.target == "/" || len(q.values("Range")) > 0 {
				t.Errorf("%.60q: the origin was asked %q", h, q.head)
			}
		}
	}
}

// TestAttack29_ProxyPartialContent: a 206 that nobody asked the origin for is no page.
func TestAttack29_ProxyPartialContent(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		_, _ = io.WriteString(c, answerOf("206 Partial Content", "part", "Content-Range: bytes 0-3/100", "ETag: \"x\""))
	})
	p := proxyTo(t, o)
	p.get("/a", "Range: bytes=0-3")
	unstored(t, p, "206", "/a", "/b")
}

// TestAttack30_ProxyMethods: other methods fill nothing, and are answered from no page.
func TestAttack30_ProxyMethods(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		if q.method == "HEAD" {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nCache-Control: max-age=600\r\n\r\n")
			return
		}
		_, _ = io.WriteString(c, ok(q.String()))
	})
	p := proxyTo(t, o)
	for _, method := range []string{"HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "get", "Get", "HEAD2", "M-SEARCH"} {
		target := "/" + method
		if _, body := p.send(p.request(method, target, "Content-Length: 0")); method != "HEAD" && body != method+" "+target {
			t.Errorf("%s: %q", method, body)
		}
		if keys := p.stored(); len(keys) > 0 {
			t.Fatalf("%s: stored %q", method, keys)
		}
	}
	p.get("/page")
	for _, method := range []string{"OPTIONS", "get", "PROPFIND"} {
		if _, body := p.send(p.request(method, "/page", "Content-Length: 0")); body != method+" /page" {
			t.Errorf("%s of a page: %q", method, body)
		}
	}
	if _, body := p.get("/page"); body != "GET /page" {
		t.Errorf("afterwards: %q", body)
	}
}

// TestAttack36_ProxyUpgrades: CONNECT, TRACE and PRI are refused; of upgrades only that to WebSocket is forwarded, and only if the
// origin agrees does anything but requests go through.
func TestAttack36_ProxyUpgrades(t *testing.T) {
	o := newOrigin(t, nil)
	p := proxyTo(t, o)
	for _, raw := range []string{
		p.request("CONNECT", "evil.example:443", "Host: evil.example:443"), p.request("CONNECT", p.addr), p.request("CONNECT", "/"), p.request("TRACE", "/"), p.request("TRACE", "/", "Max-Forwards: 0"), p.request("PRI", "/"), p.request("PRI", "*"),
	} {
		for _, a := range p.converse(t, raw) {
			if a.status != 405 && a.status != 400 && a.status != 421 {
				t.Errorf("%q: %v", raw, a)
			}
		}
		if texts := o.texts(); len(texts) > 0 {
			t.Errorf("%q: the origin saw %q", raw, texts)
		}
	}
	for _, upgrade := range []string{"h2c", "HTTP/2.0", "TLS/1.0", "h2c, websocket", "websocket", "WebSocket", "x"} {
		raw := "GET /up HTTP/1.1\r\nHost: " + p.addr + "\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + upgrade + "\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n" +
			"GET /last HTTP/1.1\r\nHost: " + p.addr + "\r\nConnection: close\r\nCookie: session=1\r\n\r\n"
		answers := p.converse(t, raw)
		seen := o.seen()
		if len(answers) != 2 || len(seen) != 2 || seen[0].target != "/up" || seen[1].target != "/last" {
			t.Errorf("%s: %v; the origin saw %v", upgrade, answers, seen)
			continue
		}
		if got := seen[0].values("Upgrade"); len(got) > 0 && (len(got) > 1 || got[0] != "websocket") {
			t.Errorf("%s: the origin is asked to upgrade to %q", upgrade, got)
		}
		if got := seen[0].values("HTTP2-Settings"); len(got) > 0 {
			t.Errorf("%s: HTTP2-Settings reaches the origin", upgrade)
		}
	}
	if keys := p.stored(); len(keys) != 0 {
		t.Errorf("stored: %q", keys)
	}
}
