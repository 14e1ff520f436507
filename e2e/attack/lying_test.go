//go:build e2e

package attack

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestAttack37_ProxyBrokenAnswers: an answer that is not what it says it is: not stored, not taken for whole by the client, and
// what is too much of it is nobody's answer.
func TestAttack37_ProxyBrokenAnswers(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\n"
	evil := ok("evil", "X-Evil: 1")
	for _, c := range []struct {
		name, answer string
		ends         bool // the origin then ends the connection
		whole        bool // the client may get an answer with 200
	}{
		{"short body", head + "Content-Length: 10\r\n\r\nabc", true, false},
		{"no body", head + "Content-Length: 10\r\n\r\n", true, false},
		{"long body", head + "Content-Length: 3\r\n\r\nabcdef", false, true},
		{"another answer behind", head + "Content-Length: 3\r\n\r\nabc" + evil, false, true},
		{"another answer behind chunks", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + evil, false, true},
		{"another answer behind none", "HTTP/1.1 204 No Content\r\nCache-Control: max-age=600\r\n\r\n" + evil, false, true},
		{"body of a 304", "HTTP/1.1 304 Not Modified\r\nCache-Control: max-age=600\r\nContent-Length: 9\r\n\r\n" + evil, false, true},
		{"chunks without end", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true, false},
		{"chunk cut off", head + "Transfer-Encoding: chunked\r\n\r\n9\r\nabc", true, false},
		{"chunk size that is none", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n", true, false},
		{"chunk that is too long", head + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", true, false},
		{"length and chunks", head + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true, false},
		{"two lengths", head + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", true, false},
		{"length with a sign", head + "Content-Length: +3\r\n\r\nabc", true, false},
		{"negative length", head + "Content-Length: -1\r\n\r\nabc", true, false},
		{"another coding", head + "Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", true, false},
		{"up to the connection's end", head + "\r\nabc", true, true},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\nCache-Control: max-age=600\r\n\r\nabc", true, true},
		{"nothing", "", true, false},
		{"no HTTP", "SSH-2.0-x\r\n", true, false},
		{"half a header", head + "Content-Le", true, false},
		{"unasked 101", "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nabc", true, false},
		{"endless 1xx", strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n", 3000), true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, func(q *asked, conn net.Conn) {
				text := ok(q.String())
				if strings.HasPrefix(q.target, "/lie") {
					if text = c.answer; c.ends {
						defer conn.Close()
					}
				}
				_, _ = io.WriteString(conn, text)
			})
			p := proxyTo(t, o)
			for i := range 3 {
				p.get("/warm") // so that there is a connection to use again
				for n, a := range p.converse(t, p.request("GET", "/lie")) {
					if a.status < 400 && !c.whole || n > 0 || strings.Contains(a.body, "evil") {
						t.Errorf("answer %d: %v", n, a)
					}
				}
				for _, header := range []string{"X-Nothing: x", "Cookie: session=1"} {
					target := fmt.Sprintf("/victim-%d", i)
					if _, body := p.get(target, header); body != "GET "+target {
						t.Errorf("the next client got %q", body)
					}
				}
			}
			for _, k := range p.stored() {
				if strings.Contains(k, "lie") && !strings.Contains(c.name, "behind") {
					t.Errorf("stored: %s", k)
				}
			}
			if left := p.claims(); len(left) > 0 {
				t.Errorf("left: %q", left)
			}
		})
	}
}

// TestAttack38_ProxyAnswerHeaders: answers with header lines that can't be sent on: 502, not stored; the size of what is stored is
// bounded.
func TestAttack38_ProxyAnswerHeaders(t *testing.T) {
	lines := []string{
		"X-A: a\x00b", "X-A: a\rb", "X-A: a\r\r\nX-B: c", "X-A: \x01", "X-A: a\x7f", "X A: a", ": a", "X-A", "X-\xff: a", "X-A\x00: a", "X-A: " + strings.Repeat("a", 100<<10), strings.Repeat("X-A: a\r\n", 20_000) + "X-B: b",
		strings.Repeat("x", 100<<10) + ": a", "Content-Type: text/html\rSet-Cookie: a=b",
	}
	byTarget := map[string]string{}
	for i, l := range lines {
		byTarget[fmt.Sprintf("/%d", i)] = l
	}
	p := proxyTo(t, newOrigin(t, func(q *asked, c net.Conn) {
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 2\r\n"+byTarget[q.target]+"\r\n\r\nhi")
	}))
	for target, line := range byTarget {
		for _, header := range []string{"X-Nothing: x", "Cookie: session=1"} {
			res, body := p.get(target, header)
			if res.StatusCode != 502 || body == "hi" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("%.60q: %d %q, Cache-Control %q", line, res.StatusCode, body, res.Header.Get("Cache-Control"))
			}
		}
	}
	if keys := p.stored(); len(keys) > 0 {
		t.Errorf("stored: %q", keys)
	}
}

// TestAttack39_ProxySlowOrigins: an origin that is silent before or in its answer is given up; its claim with it.
func TestAttack39_ProxySlowOrigins(t *testing.T) {
	t.Parallel()
	hold := make(chan struct{})
	o := newOrigin(t, func(q *asked, c net.Conn) {
		switch q.target {
		case "/head":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Cont")
		case "/body":
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 100000\r\n\r\n"+strings.Repeat("x", 60_000))
		case "/silent":
		default:
			_, _ = io.WriteString(c, ok(q.String()))
			return
		}
		<-hold
	})
	t.Cleanup(func() { close(hold) }) // before the origin waits for these
	p := proxyTo(t, o, "--origin-timeout", "1s")
	for _, target := range []string{"/silent", "/head"} {
		if res, _ := p.get(target); res.StatusCode != 504 || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, Cache-Control %q", target, res.StatusCode, res.Header.Get("Cache-Control"))
		}
	}
	if answers := p.converse(t, p.request("GET", "/body")); len(answers) > 0 {
		t.Errorf("a body that stops is taken for whole: %d bytes", len(answers[0].body))
	}
	await(t, func() string {
		if left := p.claims(); len(left) > 0 {
			return fmt.Sprintf("left: %q", left)
		}
		return ""
	})
	unstored(t, p, "slow")
	if res, body := p.get("/other"); res.StatusCode != 200 || body != "GET /other" {
		t.Errorf("afterwards: %d %q", res.StatusCode, body)
	}
}

// TestAttack39_ProxySlowReaders: who takes nothing of a page holds up neither its publication nor its other readers.
func TestAttack39_ProxySlowReaders(t *testing.T) {
	t.Parallel()
	page := strings.Repeat("0123456789abcdef", 1<<19) // 8 MiB: more than sockets hold
	o := newOrigin(t, func(q *asked, c net.Conn) { _, _ = io.WriteString(c, ok(page)) })
	p := proxyTo(t, o)
	c := p.dial(t)
	if _, err := io.WriteString(c, p.request("GET", "/large")); err != nil {
		t.Fatal(err)
	}
	await(t, func() string {
		if len(p.stored()) == 1 {
			return ""
		}
		return "not stored while its reader is slow"
	})
	if _, body := p.get("/large"); body != page {
		t.Errorf("another reader got %d bytes", len(body))
	}
	if n := len(o.seen()); n != 1 {
		t.Errorf("the origin was asked %d times", n)
	}
}

// TestAttack39_ProxySlowHeaders: who does not send his header's end is not waited for.
func TestAttack39_ProxySlowHeaders(t *testing.T) {
	t.Parallel()
	o := newOrigin(t, nil)
	p := proxyTo(t, o)
	for _, raw := range []string{"", "GET / HT", "GET / HTTP/1.1\r\nHost: " + p.addr + "\r\nX-A: "} {
		c := p.dial(t)
		if _, err := io.WriteString(c, raw); err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		_ = c.SetReadDeadline(begun.Add(30 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil && os.IsTimeout(err) {
			t.Errorf("%q: open after %v", raw, time.Since(begun))
		}
	}
	if texts := o.texts(); len(texts) > 0 {
		t.Errorf("the origin saw %q", texts)
	}
}
