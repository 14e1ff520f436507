//go:build e2e

package attack

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// scanned are the headers that scanners for web cache poisoning try (and those of servers and frameworks that have been poisoned
// through them): not in the key, and believed by applications when they name hosts, paths, methods, addresses, or forms of a page.
var scanned = []string{
	"X-Forwarded-Host", "X-Forwarded-Server", "X-Forwarded-Scheme", "X-Forwarded-Proto", "X-Forwarded-Protocol", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-Uri",
	"X-Forwarded-For", "X-Forwarded-By", "X-Forwarded-Ssl", "X-Forwarded-Proto-Version", "X-Forwarded", "Forwarded", "Forwarded-For", "Forwarded-Host", "Forwarded-Proto", "X-Forward-For", "X-Forward-Host", "X-Forward-Proto", "X-Forwarder-For",
	"X-Host", "X-Http-Host-Override", "X-Original-Host", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Override-Url", "X-Http-Destinationurl", "X-Original-Method",
	"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Method",
	"X-Scheme", "X-Url-Scheme", "X-Proto", "X-Ssl", "X-Ssl-Client-Dn", "Front-End-Https",
	"X-Real-Ip", "X-Real-Host", "X-Client-Ip", "Client-Ip", "X-Cluster-Client-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "Fastly-Client-Ip", "X-Remote-Ip", "X-Remote-Addr", "X-Originating-Ip", "X-Proxyuser-Ip",
	"X-Custom-Ip-Authorization", "X-Appengine-User-Ip", "X-Azure-Clientip", "X-Ip", "X-Ip-Trail", "X-Coming-From", "X-Envoy-External-Address", "X-Envoy-Original-Path",
	"X-Script-Name", "Script-Name", "X-Wap-Profile", "Profile", "Base-Url", "Http-Url", "Request-Uri", "Uri", "Url", "X-Url", "Destination", "Proxy", "Proxy-Host", "Proxy-Url", "X-Proxy-Url", "X-Backend-Host", "X-Gateway-Host", "X-Server-Name",
	"X-Amz-Website-Redirect-Location", "X-Sendfile-Type", "X-Accel-Mapping", "X-Accel-Redirect", "X-Up-Devcap-Post-Charset",
	"X-Middleware-Prefetch", "X-Middleware-Subrequest", "X-Nextjs-Data", "X-Invoke-Status", "X-Invoke-Path", "X-Matched-Path", "X-Now-Route-Matches",
	"Surrogate-Capability", "Translate", "Cookie2", "Max-Forwards", "Proxy-Authorization", "X-Remote-User", "Remote-User", "X-Authenticated-User", "X-User", "X-Api-Key", "X-Auth-Token", "Referer",
}

// reflecting is an origin whose fresh pages contain all that it was told. Those below /vary vary on X-Device and Accept-Language.
func reflecting(t *testing.T) *origin {
	return newOrigin(t, func(q *asked, c net.Conn) {
		lines := []string{"Cache-Control: max-age=600"}
		if strings.HasPrefix(q.target, "/vary") {
			lines = append(lines, "Vary: X-Device, Accept-Language")
		}
		_, _ = io.WriteString(c, ok(q.head, lines...))
	})
}

// TestAttack16_UnkeyedHeaders: what a client says in a header that is not in the key, nobody else is told.
func TestAttack16_UnkeyedHeaders(t *testing.T) {
	o := reflecting(t)
	p := proxyTo(t, o)
	// The control: a header of which the application must say that it varies on it, does reach the page.
	p.get("/control", "User-Agent: mallory")
	if res, body := p.get("/control"); !cached(res) || !strings.Contains(body, "mallory") {
		t.Fatalf("this origin reflects nothing, or nothing is stored: %q %q", res.Header.Get("Cache-Status"), body)
	}
	var told []string
	for i, name := range scanned {
		for n, spelling := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_")} {
			if n == 2 && spelling == name {
				continue // as in the first place
			}
			for m, method := range []string{"GET", "HEAD"} {
				target := fmt.Sprintf("/page-%d-%d-%d", i, n, m)
				if m == 1 {
					p.get(target) // so that a HEAD could change what is stored
				}
				p.send(p.request(method, target, spelling+": evil.example", spelling+": evil.example"))
				if _, body := p.get(target); strings.Contains(body, "evil.example") {
					told = append(told, method+" with "+spelling)
				}
			}
		}
	}
	if len(told) > 0 {
		t.Errorf("the next client is told what came in a %s", strings.Join(told, ", "))
	}
}

// TestAttack16_PassedOn: nor is the origin told so by requests that pass the cache by; who asks, and how, is said by us.
func TestAttack16_PassedOn(t *testing.T) {
	o := reflecting(t)
	p := proxyTo(t, o)
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-Server", "X-Forwarded-Prefix", "Forwarded", "X-Host", "X-Original-Url", "X-Rewrite-Url",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Real-Ip", "True-Client-Ip", "X-Client-Ip", "Front-End-Https", "Proxy", "X_Forwarded_For", "X-Forwarded_Host",
		"Forwarded-Host", "X-Forward-For", "X-Real-Host", "X-Envoy-Original-Path", "X-Appengine-User-Ip", "X-Middleware-Subrequest", "X-Invoke-Path", "X-Matched-Path", "X-Accel-Mapping", "X-Sendfile-Type", "Script-Name", "Script_Name",
	} {
		for _, raw := range []string{
			p.request("POST", "/form", name+": evil.example", "Content-Length: 0"), p.request("GET", "/mine", name+": evil.example", "Cookie: session=1"), p.request("GET", "/mine", name+": evil.example", "Authorization: Basic eDp5"),
		} {
			if _, body := p.send(raw); strings.Contains(body, "evil.example") {
				t.Errorf("%s reaches the origin: %q", name, body)
			}
		}
	}
	o.seen()
	p.send(p.request("POST", "/form", "X-Forwarded-For: 1.2.3.4", "Connection: X-Forwarded-For, X-Forwarded-Proto, close", "Content-Length: 0"))
	for _, q := range o.seen() {
		for name, want := range map[string]string{"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Host": p.addr, "X-Forwarded-Proto": "http"} {
			if got := q.values(name); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %q, not %q", name, got, want)
			}
		}
	}
}

// TestAttack17_MethodOverride: a GET that asks to be taken for something else is not stored, and the origin doesn't hear of it.
func TestAttack17_MethodOverride(t *testing.T) {
	o := reflecting(t)
	p := proxyTo(t, o)
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_METHOD_OVERRIDE", "x-http_method-override"} {
		_, body := p.get("/a", name+": POST")
		if strings.Contains(strings.ToLower(body), "override") || strings.Contains(body, "POST") {
			t.Errorf("%s reaches the origin: %q", name, body)
		}
		_, body = p.send(p.request("POST", "/a", name+": DELETE", "Content-Length: 0"))
		if strings.Contains(body, "DELETE") {
			t.Errorf("%s reaches the origin with a POST: %q", name, body)
		}
		if name[1] == '-' && len(p.stored()) > 0 {
			t.Errorf("%s: stored %q", name, p.stored())
		}
	}
}

// TestAttack35_Connection: a client can't have fields removed on which the origin relies, nor have a page stored as that for a
// header which the origin was not told.
func TestAttack35_Connection(t *testing.T) {
	o := reflecting(t)
	p := proxyTo(t, o)
	list := "Connection: close, Host, Authorization, Cookie, X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto, Via, Content-Length, Content-Type, Cache-Control, Origin, Referer, If-None-Match, Range"
	req := "POST /form HTTP/1.1\r\nHost: " + p.addr + "\r\nAuthorization: Basic eDp5\r\nCookie: session=1\r\nOrigin: http://x.example\r\nContent-Type: text/x\r\nContent-Length: 3\r\n" + list + "\r\n\r\nabc"
	p.send(req)
	for _, q := range o.seen() {
		if q.body != "abc" {
			t.Errorf("body %q", q.body)
		}
		for name, want := range map[string]string{
			"Host": p.addr, "Authorization": "Basic eDp5", "Cookie": "session=1", "Origin": "http://x.example", "Content-Type": "text/x", "X-Forwarded-For": "127.0.0.1",
			"X-Forwarded-Host": p.addr, "X-Forwarded-Proto": "http", "Via": "1.1 cachesrv",
		} {
			if got := q.values(name); !slices.Equal(got, []string{want}) {
				t.Errorf("%s: %q, not %q", name, got, want)
			}
		}
		if got := q.values("Connection"); !slices.Equal(got, []string{"close"}) { // as of each request with a body
			t.Errorf("Connection: %q", got)
		}
	}
	// A credential that is listed is one all the same.
	p.get("/mine", "Authorization: Basic eDp5", "Connection: Authorization")
	p.get("/mine", "Cookie: session=1", "Connection: Cookie")
	if keys := p.stored(); len(keys) > 0 {
		t.Errorf("stored: %q", keys)
	}
	for i, name := range []string{"X-Device", "Accept-Language"} {
		target := fmt.Sprintf("/vary/%d", i)
		p.get(target, name+": fr", "Connection: "+name)
		p.get(target, "Connection: "+strings.ToLower(name), name+": fr")
		if _, body := p.get(target, name+": fr"); !strings.Contains(body, name+": fr") {
			t.Errorf("for who sends %s, a page is stored that was made without: %q", name, body)
		}
		p.get(target+"/b", name+": fr", "Connection: "+name)
		if _, body := p.get(target + "/b"); strings.Contains(body, name+": fr") {
			t.Errorf("for who does not send %s, a page is stored that was made with it: %q", name, body)
		}
	}
}

// TestAttack27_Characters: control characters are refused; a client's own meta characters stay its own, and so do the errors
// they cause.
func TestAttack27_Characters(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		if len(q.values("X-Meta"))+len(q.values("Accept"))+len(q.values("User-Agent")) > 0 {
			_, _ = io.WriteString(c, answerOf("400 Bad Request", "error", "Cache-Control: max-age=600"))
			return
		}
		_, _ = io.WriteString(c, ok("fine"))
	})
	p := proxyTo(t, o)
	for b := range 0x20 {
		if b == '\t' || b == '\n' || b == '\r' { // lines: attack 33
			continue
		}
		if res, _ := p.get("/c", fmt.Sprintf("X-Bad: a%cb", b)); res.StatusCode != 400 {
			t.Errorf("byte %#x: %d", b, res.StatusCode)
		}
	}
	if res, _ := p.get("/c", "X-Bad: a\x7fb"); res.StatusCode != 400 {
		t.Errorf("DEL: %d", res.StatusCode)
	}
	for i, value := range []string{"()", "\\", "'\"<script>", "${jndi:ldap://x}", "\xff\xfe", "%0d%0aX-Evil: 1", "a\tb", "() { :; }; x", "\xe5\x98\x8a\xe5\x98\x8d"} {
		for _, name := range []string{"X-Meta", "Accept", "User-Agent"} {
			target := fmt.Sprintf("/m%d/%s", i, name)
			if res, _ := p.get(target, name+": "+value); res.StatusCode != 400 {
				t.Errorf("%s %q: %d", name, value, res.StatusCode)
			}
			if res, body := p.get(target); res.StatusCode != 200 || body != "fine" {
				t.Errorf("%s %q has caused %d %q for the next client", name, value, res.StatusCode, body)
			}
		}
	}
}

// TestAttack26_Oversize (cache-poisoned denial of service): what is too large for the origin is its client's own trouble. Ours
// is the smaller bound, beyond it nothing is forwarded.
func TestAttack26_Oversize(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) {
		switch {
		case len(q.head) > 10<<10:
			_, _ = io.WriteString(c, answerOf("431 Request Header Fields Too Large", "too large", "Cache-Control: max-age=600"))
		case strings.HasPrefix(q.target, "/missing"):
			_, _ = io.WriteString(c, "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone")
		case strings.HasPrefix(q.target, "/broken"):
			_, _ = io.WriteString(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\nLast-Modified: Mon, 01 Jan 2024 00:00:00 GMT\r\n\r\nnone")
		default:
			_, _ = io.WriteString(c, ok("fine"))
		}
	})
	p := proxyTo(t, o)
	for _, size := range []int{8 << 10, 12 << 10, 15 << 10, 30 << 10, 40 << 10, 64 << 10, 1 << 20} {
		target := fmt.Sprintf("/a%d", size)
		for _, header := range []string{"X-Long: " + strings.Repeat("y", size), strings.Repeat("X-Many: y\r\n", size/10) + "X-Last: y"} {
			o.seen()
			answers := p.converse(t, p.request("GET", target, header))
			if size >= 40<<10 && (len(o.seen()) > 0 || len(answers) > 0 && answers[0].status != 431) {
				t.Errorf("%d bytes are forwarded: %v", size, answers)
			}
			if res, body := p.get(target); res.StatusCode != 200 || body != "fine" {
				t.Errorf("%d bytes have caused %d %q for the next client", size, res.StatusCode, body)
			}
		}
	}
	for _, target := range []string{"/missing", "/broken"} {
		p.get(target)
		if res, _ := p.get(target); strings.Contains(res.Header.Get("Cache-Status"), "hit") {
			t.Errorf("%s: the error is stored: %q", target, res.Header.Get("Cache-Status"))
		}
	}
}
