//go:build e2e

package attack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Request smuggling (CWE-444): the client frames its requests so that two servers find different ones in the same bytes. What
// must hold: the origin sees the requests the client framed by RFC 9112 at its strictest, or none; and nobody else is answered
// with what a payload has brought about.

// A payload is sent on a connection of its own, with "GET /last" behind it, after which the connection ends.
type payload struct {
	name, raw string
	// framed names the request that may be forwarded. "": none; it must be refused, and the connection closed.
	framed string
}

// refusedAlone is for a payload that must be refused, but whose end is beyond doubt: the connection may go on.
const refusedAlone = "refused"

const hidden = "GET /smuggled HTTP/1.1\r\nHost: h.example\r\n\r\n"

// post is a request with these framing lines and this body.
func post(lines, body string) string {
	return "POST /p HTTP/1.1\r\nHost: h.example\r\n" + lines + "\r\n\r\n" + body
}

// smuggle sends payloads, one after the other, and looks what became of each, and of somebody else's request behind it.
func smuggle(t *testing.T, payloads []payload) {
	t.Parallel()
	o := newOrigin(t, func(q *asked, c net.Conn) {
		control := "Cache-Control: max-age=600"
		if q.target == "/p" || q.target == "/last" {
			control = "Cache-Control: no-store" // so that the next one is seen here, too
		}
		_, _ = io.WriteString(c, ok(q.String(), control))
	})
	p := proxyTo(t, o, "--host", "h.example")
	for i, c := range payloads {
		t.Run(c.name, func(t *testing.T) {
			o.seen()
			answers := p.converse(t, c.raw+"GET /last HTTP/1.1\r\nHost: h.example\r\nConnection: close\r\n\r\n")
			got := o.texts()
			want := []string{c.framed, "GET /last"}
			refused := len(answers) > 0 && answers[0].status >= 400
			switch {
			case refused && c.framed == refusedAlone && len(answers) > 1:
				want, answers = want[1:], answers[1:]
			case refused:
				want, answers = nil, answers[1:]
			case c.framed == "" || c.framed == refusedAlone:
				t.Error("it is not refused")
			}
			if !slices.Equal(got, want) || len(answers) != len(want) {
				t.Errorf("the origin saw %q, not %q; the client got %v", got, want, answers)
			}
			for n, a := range answers {
				if a.status != 200 || n < len(want) && a.body != want[n] {
					t.Errorf("answer %d: %v", n, a)
				}
			}
			for _, target := range []string{fmt.Sprintf("/victim-%d", i), fmt.Sprintf("/victim-%d?again", i)} {
				for range 2 { // stored, and from the cache
					if _, body := p.get(target); body != "GET "+target {
						t.Errorf("the next client asked for %s, and got %q", target, body)
					}
				}
				if _, body := p.get(target, "Cookie: session=1"); body != "GET "+target {
					t.Errorf("the next client asked for its own %s, and got %q", target, body)
				}
			}
		})
	}
	for _, k := range p.stored() {
		if strings.Contains(k, "smuggled") {
			t.Errorf("stored: %s", k)
		}
	}
}

// An answer is one of those on a connection.
type answer struct {
	status int
	body   string
}

func (a answer) String() string { return fmt.Sprintf("%d %.200s", a.status, a.body) }

// converse sends bytes, and reads the answers until the connection ends.
func (p *server) converse(t *testing.T, raw string) (answers []answer) {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, raw); err != nil {
		t.Logf("write: %v", err) // it may have been refused already
	}
	for r := bufio.NewReader(c); ; {
		res, err := http.ReadResponse(r, nil)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Errorf("%.200q: the connection stays open", raw)
		}
		if err != nil {
			return answers
		}
		body, err := io.ReadAll(res.Body)
		if err != nil && (res.StatusCode < 400 || !errors.Is(err, syscall.ECONNRESET)) {
			return answers // it was broken off: no answer. But a refusal ends so when more has been sent than was read.
		}
		if res.StatusCode >= 200 {
			answers = append(answers, answer{res.StatusCode, string(body)})
		}
	}
}

// TestAttack31_TwoFramings: CL.TE, TE.CL, and TE.TE: a length beside a transfer coding, in all spellings that some server
// takes for "chunked" and another one does not.
func TestAttack31_TwoFramings(t *testing.T) {
	payloads := []payload{
		{"CL.TE", post(fmt.Sprintf("Content-Length: %d\r\nTransfer-Encoding: chunked", len(hidden)+5), "0\r\n\r\n"+hidden), ""},
		{"TE.CL", post("Transfer-Encoding: chunked\r\nContent-Length: 4", fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden)), ""},
		{"CL.TE, agreeing", post("Content-Length: 8\r\nTransfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), ""},
		{"HTTP/1.0", strings.Replace(post("Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"), "HTTP/1.1", "HTTP/1.0", 1), ""},
		{"HTTP/1.0, with a length", strings.Replace(post("Transfer-Encoding: chunked\r\nContent-Length: 13\r\nConnection: keep-alive", "3\r\nabc\r\n0\r\n\r\n"), "HTTP/1.1", "HTTP/1.0", 1), ""},
	}
	for _, line := range []string{
		"Transfer-Encoding: xchunked", "Transfer-Encoding: chunk", "Transfer-Encoding: chunkedx", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
		"Transfer-Encoding:\tchunked", "Transfer-Encoding:chunked", "Transfer-Encoding:  chunked  ", "Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x0c", "Transfer-Encoding: \x00chunked", "Transfer-Encoding: chunked\x00",
		"Transfer-Encoding:\r\n chunked", "Transfer-Encoding:\n chunked", "Transfer-Encoding\r\n : chunked", "Transfer-Encoding:\r\n\r chunked",
		" Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked", "X: x\r\n Transfer-Encoding: chunked", "X: x\nTransfer-Encoding: chunked", "X: x\rTransfer-Encoding: chunked", "X: x\r\rTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: gzip, chunked",
		"Transfer-Encoding: chunked,", "Transfer-Encoding: ,chunked", "Transfer-Encoding: identity", "Transfer-Encoding:", "Transfer-Encoding: chunked;q=1", "Transfer-Encoding: chunked;a=b",
		`Transfer-Encoding: "chunked"`, "Transfer-Encoding: 'chunked'", "Transfer-Encoding: (x)chunked", "Transfer-Encoding: CHUNKED", "Transfer-encoding: ChUnKeD", "TRANSFER-ENCODING: chunked",
		"Transfer-Encoding: \xefchunked", "Transfer-Encoding: c\u0068unked\xa0", "Transfer-Encoding: chun\u212aed", "Tran\u017ffer-Encoding: chunked",
		"\x00Transfer-Encoding: chunked", "Transfer-Encoding\x00: chunked", "Transfer-Encoding\xa0: chunked", ": x\r\nTransfer-Encoding: chunked",
	} {
		length := fmt.Sprintf("Content-Length: %d\r\n", len(hidden)+5)
		payloads = append(payloads, payload{fmt.Sprintf("TE.TE %q", line), post(length+line, "0\r\n\r\n"+hidden), ""})
	}
	smuggle(t, payloads)
}

// TestAttack31_Underscores: what only CGI takes for a framing field is framed as it says, and the origin doesn't get the field.
func TestAttack31_Underscores(t *testing.T) {
	smuggle(t, []payload{
		{"coding", post("Content-Length: 3\r\nTransfer_Encoding: chunked", "abc"), "POST /p abc"},
		{"length", post("Content-Length: 3\r\nContent_Length: 0", "abc"), "POST /p abc"},
		{"host", post("Content-Length: 3\r\nHOST_: x", "abc"), "POST /p abc"},
	})
}

// TestAttack31_Lengths: more than one length, and lengths that are no plain numbers.
func TestAttack31_Lengths(t *testing.T) {
	payloads := []payload{
		{"equal twice", post("Content-Length: 3\r\nContent-Length: 3", "abc"), "POST /p abc"},
		{"equal in a list", post("Content-Length: 3, 3", "abc"), "POST /p abc"},
		{"zeros", post("Content-Length: 003", "abc"), "POST /p abc"},
		{"spaces around", post("Content-Length:   3\t ", "abc"), "POST /p abc"},
	}
	for _, line := range []string{
		"Content-Length: 3\r\nContent-Length: 0", "Content-Length: 0\r\nContent-Length: 3", "Content-Length: 3, 0", "Content-Length: 0, 3", "Content-Length: 3\r\nContent-Length: x", "Content-Length: 3\r\nContent-Length:",
		"Content-Length: +3", "Content-Length: -3", "Content-Length: -0", "Content-Length: 3 3", "Content-Length: 0x3", "Content-Length: 3.0", "Content-Length: 3e0", "Content-Length: 0_3", "Content-Length: 3;", "Content-Length: 3,",
		`Content-Length: "3"`, "Content-Length: three", "Content-Length: \x0b3", "Content-Length: 3\x00", "Content-Length: \uff13", "Content-Length : 3", "Content-Length\t: 3", "Content-Length:\r\n 3", " Content-Length: 3", "Content-Length\x00: 3",
		"Content-Length: 18446744073709551619", "Content-Length: 9223372036854775808", "Content-Length: 4294967299x", "X: x\nContent-Length: 3", "X: x\rContent-Length: 3",
	} {
		payloads = append(payloads, payload{line, post(line, "abc"), ""})
	}
	smuggle(t, payloads)
}

// TestAttack18_HiddenInBodies: CL.0 and its like: a request in the body of one that has none as a rule. It stays a body.
func TestAttack18_HiddenInBodies(t *testing.T) {
	var payloads []payload
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "DELETE", "POST", "get"} {
		body := hidden
		if method != "HEAD" { // whose answer has no length here
			payloads = append(payloads,
				payload{method + " with a length", fmt.Sprintf("%s /p HTTP/1.1\r\nHost: h.example\r\nContent-Length: %d\r\n\r\n%s", method, len(body), body), strings.TrimSpace(method + " /p " + body)},
				payload{method + " chunked", fmt.Sprintf("%s /p HTTP/1.1\r\nHost: h.example\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", method, len(body), body), strings.TrimSpace(method + " /p " + body)})
		}
	}
	purge := "PURGE /p HTTP/1.1\r\nHost: h.example\r\n" // ours, and it has none
	payloads = append(payloads,
		payload{"PURGE with a length", fmt.Sprintf("%sContent-Length: %d\r\n\r\n%s", purge, len(hidden), hidden), refusedAlone},
		payload{"PURGE chunked", fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", purge, len(hidden), hidden), refusedAlone})
	smuggle(t, payloads)
}

// TestAttack32_Chunks: chunk extensions, bare line feeds, sizes and trailers: refused, or written anew.
func TestAttack32_Chunks(t *testing.T) {
	chunked := func(name, body, framed string) payload {
		return payload{name, post("Transfer-Encoding: chunked", body), framed}
	}
	long := strings.Repeat("x", 10<<10)
	smuggle(t, []payload{
		chunked("plain", "3\r\nabc\r\n0\r\n\r\n", "POST /p abc"),
		chunked("extension", "3;a=b\r\nabc\r\n0;c\r\n\r\n", "POST /p abc"),
		chunked("quoted extension", "3;a=\"b;c\"\r\nabc\r\n0\r\n\r\n", "POST /p abc"),
		chunked("zeros", "0003\r\nabc\r\n0000\r\n\r\n", "POST /p abc"),
		chunked("trailer", "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n", "POST /p abc"),
		chunked("trailers that frame", "3\r\nabc\r\n0\r\nContent-Length: 40\r\nTransfer-Encoding: chunked\r\nHost: evil\r\n\r\n", "POST /p abc"),
		payload{"announced trailers that frame", post("Transfer-Encoding: chunked\r\nTrailer: Content-Length, Transfer-Encoding, Host", "3\r\nabc\r\n0\r\nContent-Length: 40\r\nHost: evil\r\n\r\n"), "POST /p abc"},
		payload{"trailers of one client", post("Transfer-Encoding: chunked\r\nTrailer: Authorization, X-Forwarded-For, X-Sum", "3\r\nabc\r\n0\r\nAuthorization: x\r\nX-Forwarded-For: 1.1.1.1\r\nX-Sum: 1\r\n\r\n"), "POST /p abc"},
		chunked("LF in an extension", "3;a\nabc\r\n0\r\n\r\n", ""),
		chunked("LF in an extension, with a request behind (TERM.EXT)", "3;\nxx\r\nabc\r\n0\r\n\r\n"+hidden, ""),
		chunked("CR in an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n", ""),
		chunked("CR LF in a quoted extension", "3;a=\"\r\nabc\r\n0\r\n\r\n", "POST /p abc"),
		chunked("LF behind the size", "3\nabc\r\n0\r\n\r\n", ""),
		chunked("CR behind the size", "3\rabc\r\n0\r\n\r\n", ""),
		chunked("LF behind the chunk", "3\r\nabc\n0\r\n\r\n", ""),
		chunked("LF behind the last size", "3\r\nabc\r\n0\n\r\n", ""),
		chunked("LF at the end", "3\r\nabc\r\n0\r\n\n", "POST /p abc"),
		chunked("no CR LF behind the chunk", "3\r\nabcXX0\r\n\r\n", ""),
		chunked("more than its size", "3\r\nabcd\r\n0\r\n\r\n", ""),
		chunked("less than its size", "5\r\nabc\r\n0\r\n\r\n", ""),
		chunked("space behind the size", "3 \r\nabc\r\n0\r\n\r\n", ""),
		chunked("space before an extension", "3 ;a\r\nabc\r\n0\r\n\r\n", ""),
		chunked("many zeros", "00000000000000003\r\nabc\r\n0\r\n\r\n", ""),
		chunked("folded trailer", "3\r\nabc\r\n0\r\nX: a\r\n b\r\n\r\n", ""),
		chunked("LF in a trailer", "3\r\nabc\r\n0\r\nX: a\nY: b\r\n\r\n", ""),
		chunked("space before the size", " 3\r\nabc\r\n0\r\n\r\n", ""),
		chunked("hexadecimal by name", "0x3\r\nabc\r\n0\r\n\r\n", ""),
		chunked("plus", "+3\r\nabc\r\n0\r\n\r\n", ""),
		chunked("minus", "-3\r\nabc\r\n0\r\n\r\n", ""),
		chunked("letters", "xyz\r\nabc\r\n0\r\n\r\n", ""),
		chunked("no size", "\r\nabc\r\n0\r\n\r\n", ""),
		chunked("underscore", "0_3\r\nabc\r\n0\r\n\r\n", ""),
		chunked("overflow", "10000000000000003\r\nabc\r\n0\r\n\r\n", ""),
		chunked("NUL", "3\x00\r\nabc\r\n0\r\n\r\n", ""),
		chunked("long line", "3;"+long+"\r\nabc\r\n0\r\n\r\n", ""),
		chunked("trailer without colon", "3\r\nabc\r\n0\r\nX\r\n\r\n", ""),
		chunked("trailer with a space before the colon", "3\r\nabc\r\n0\r\nX : y\r\n\r\n", "POST /p abc"),
		chunked("endless trailers", "3\r\nabc\r\n0\r\n"+strings.Repeat("X: "+long+"\r\n", 10)+"\r\n", ""),
	})
}

// TestAttack33_Lines: folded lines, bare line feeds, spaces where none may be, in the request line and in the header.
func TestAttack33_Lines(t *testing.T) {
	get := func(name, line, framed string) payload {
		return payload{name, "GET /p HTTP/1.1\r\nHost: h.example\r\n" + line + "\r\n\r\n", framed}
	}
	first := func(line string) payload {
		return payload{fmt.Sprintf("%q", line), line + "\r\nHost: h.example\r\n\r\n", ""}
	}
	payloads := []payload{
		get("folded by a space", "X-A: a\r\n b", ""),
		get("folded by a tab", "X-A: a\r\n\tb", ""),
		get("folded host", "X-A: a\r\n Host: evil.example", ""),
		get("folded first line", " X-A: a", ""),
		get("space before the colon", "X-A : a", ""),
		get("tab before the colon", "X-A\t: a", ""),
		get("space in a name", "X A: a", ""),
		get("empty name", ": a", ""),
		get("no colon", "X-A", ""),
		get("high byte in a name", "X-\xe9: a", ""),
		get("colon in front", ":path: /x", ""),
		get("LF line", "X-A: a\nX-B: b", ""),
		get("LF line that adds a host", "X-A: a\nHost: evil.example", ""),
		get("CR line", "X-A: a\rX-B: b", ""),
		get("CR CR LF", "X-A: a\r\r\nX-B: b", ""),
		get("NUL", "X-A: a\x00b", ""),
		{"LF only", "GET /p HTTP/1.1\nHost: h.example\n\n", ""},
		{"LF behind the request line", "GET /p HTTP/1.1\nHost: h.example\r\n\r\n", ""},
		{"LF at the end", "GET /p HTTP/1.1\r\nHost: h.example\r\n\n", ""},
		{"CR at the end", "GET /p HTTP/1.1\r\nHost: h.example\r\n\r\r\n\r\n", ""},
		{"two hosts", "GET /p HTTP/1.1\r\nHost: h.example\r\nHost: evil.example\r\n\r\n", ""},
		{"the same host twice", "GET /p HTTP/1.1\r\nHost: h.example\r\nHost: h.example\r\n\r\n", ""},
		{"no host", "GET /p HTTP/1.1\r\n\r\n", ""},
		{"fragment", "GET /p#x HTTP/1.1\r\nHost: h.example\r\n\r\n", refusedAlone},
		{"asterisk", "GET * HTTP/1.1\r\nHost: h.example\r\n\r\n", refusedAlone},
		{"preface of HTTP/2, with a header", "PRI * HTTP/2.0\r\nHost: h.example\r\n\r\n", refusedAlone},
		{"two empty lines in front", "\r\n\r\nGET /p HTTP/1.1\r\nHost: h.example\r\n\r\n", ""},
		{"LF in front", "\nGET /p HTTP/1.1\r\nHost: h.example\r\n\r\n", ""},
		{"behind an upgrade that is none", "GET /p HTTP/1.1\r\nHost: h.example\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n", "GET /p"},
		{"an empty line in front", "\r\nGET /p HTTP/1.1\r\nHost: h.example\r\n\r\n", "GET /p"},
		first("GET  /p HTTP/1.1"), first("GET /p  HTTP/1.1"), first("GET\t/p HTTP/1.1"), first("GET /p\tHTTP/1.1"), first("GET /p HTTP/1.1 "), first(" GET /p HTTP/1.1"),
		first("GET /p HTTP/1.1 HTTP/1.1"), first("GET /p /q HTTP/1.1"), first("GET /p HTTP/1.10"), first("GET /p HTTP/1.2"), first("GET /p http/1.1"), first("GET /p HTTP/1"), first("GET /p HTTP/01.1"), first("GET /p HTTP/2.0"), first("GET /p HTTP/0.9"), first("GET /p HTTP/3.1"),
		first("GET /p"), first("/p HTTP/1.1"), first("GET p HTTP/1.1"), first("GET /p\x00 HTTP/1.1"), first("GET /p\rX HTTP/1.1"), first("G\x01T /p HTTP/1.1"), first("G/T /p HTTP/1.1"),
	}
	smuggle(t, payloads)
}

// TestAttack40_EarlyAnswers: an origin that answers before the body has come, or without asking for it by 100 (Continue): the
// body does not become the next request, on either side.
func TestAttack40_EarlyAnswers(t *testing.T) {
	o := newOrigin(t, nil)
	o.early = func(q *asked) string {
		if q.target != "/early" {
			return ""
		}
		return answerOf("417 Expectation Failed", "early", "Cache-Control: no-store")
	}
	p := proxyTo(t, o, "--host", "h.example")
	for _, expect := range []string{"Expect: 100-continue\r\n", "expect: 100-Continue\r\n", ""} {
		body := hidden
		c := p.dial(t)
		head := "POST /early HTTP/1.1\r\nHost: " + p.addr + "\r\n" + expect + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body))
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatalf("%q: %v", expect, err)
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 417 {
			t.Errorf("%q: %d, %v", expect, res.StatusCode, err)
		}
		// The client, which was not asked to go on, sends what would be the body, or another request.
		_, _ = io.WriteString(c, body)
		if res, err := http.ReadResponse(r, nil); err == nil {
			t.Errorf("%q: the body was answered: %d", expect, res.StatusCode)
		}
		_ = c.Close()
		for i := range 5 {
			if _, got := p.get(fmt.Sprintf("/victim-%d", i), "Cookie: session=1"); got != fmt.Sprintf("GET /victim-%d", i) {
				t.Errorf("%q: the next client got %q", expect, got)
			}
		}
		seen := o.seen()
		early := slices.IndexFunc(seen, func(q *asked) bool { return q.target == "/early" })
		if early < 0 {
			t.Fatalf("%q: the origin saw %q", expect, seen)
		}
		for _, q := range seen {
			ofBody := q.target == "/smuggled" && expect == "" // sent as what it is, and read as a request by this origin
			if (q.target == "/smuggled" || q.conn == seen[early].conn) && q != seen[early] && !(ofBody && q.conn == seen[early].conn) {
				t.Errorf("%q: %s came on the connection of what was answered early, or is the body", expect, q)
			}
		}
	}
}

// TestAttack18_DeafOrigins: an origin that takes no bodies (it reads one as the next request) may be told of requests that
// were hidden in bodies. What it answers to these is nobody else's answer, at whichever moment it comes.
func TestAttack18_DeafOrigins(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late=%v", late), func(t *testing.T) {
			t.Parallel()
			o := newOrigin(t, nil)
			next := make(chan struct{}, 100)
			o.early = func(q *asked) string {
				if q.method == "POST" {
					return ok("deaf", "Cache-Control: no-store")
				}
				if q.target == "/smuggled" && late {
					select { // answered when the next client's request may be under way
					case <-next:
					case <-time.After(200 * time.Millisecond):
					}
				}
				return ""
			}
			p := proxyTo(t, o, "--host", "h.example")
			for i := range 20 {
				body := hidden
				p.get(fmt.Sprintf("/warm-%d", i), "Cookie: session=1")
				if _, got := p.send(p.request("POST", "/deaf", fmt.Sprintf("Content-Length: %d", len(body))) + body); got != "deaf" {
					t.Fatalf("%q", got)
				}
				for _, cookie := range []string{"Cookie: session=1", "X-Nothing: 1"} {
					target := fmt.Sprintf("/victim-%d?%d", i, len(cookie))
					if _, got := p.get(target, cookie); got != "GET "+target {
						t.Fatalf("round %d: the next client (%s) asked for %s, and got %q", i, cookie, target, got)
					}
				}
				select {
				case next <- struct{}{}:
				default:
				}
			}
		})
	}
}

func (p *server) dial(t *testing.T) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(40 * time.Second))
	return c
}
