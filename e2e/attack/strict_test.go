//go:build e2e

package attack

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
)

// TestAttack31To33_Refusals: every program says what is wrong with a request that can be read in two ways, and closes the
// connection; what was asked in front of it is answered, and what stands behind it is not read.
func TestAttack31To33_Refusals(t *testing.T) {
	o := newOrigin(t, nil)
	for _, p := range []*server{start(t, example), start(t, index), proxyTo(t, o)} {
		t.Run(p.name, func(t *testing.T) {
			for lines, why := range map[string]string{
				"Content-Length: 5\r\nTransfer-Encoding: chunked": "both Content-Length and Transfer-Encoding",
				"Transfer-Encoding: xchunked":                     "Transfer-Encoding is not chunked",
				"Content-Length: 0\r\nContent-Length: 0":          "Content-Length is not one decimal number",
				"X-A: b\r\n c":                                    "a header line begins with a space",
				"X-A: b\nX-C: d":                                  "a line ends without CR",
				"X-A : b":                                         "a space before the colon",
			} {
				get := "GET " + p.page + " HTTP/1.1\r\nHost: " + p.addr + "\r\n\r\n"
				if p.page == "" {
					get = "GET /page HTTP/1.1\r\nHost: " + p.addr + "\r\n\r\n"
				}
				bad := strings.Replace(get, "\r\n\r\n", "\r\n"+lines+"\r\n\r\n", 1)
				answers := p.converse(t, get+bad+hidden)
				if len(answers) != 2 || answers[0].status >= 500 || answers[1].status != 400 || !strings.HasPrefix(answers[1].body, "cachesrv: ") || !strings.Contains(answers[1].body, why) {
					t.Errorf("%q: %v", lines, answers)
				}
			}
		})
	}
	if texts := o.texts(); !slices.Equal(texts, []string{"GET /page"}) {
		t.Errorf("the origin saw %q", texts)
	}
}

// TestAttack36_OptionsOfAll: OPTIONS * asks about the whole server, which is the origin. Only of the hosts that are here, and
// without a page.
func TestAttack36_OptionsOfAll(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) { _, _ = io.WriteString(c, ok(q.String(), "Allow: GET, HEAD, OPTIONS")) })
	p := proxyTo(t, o, "--host", "h.example")
	ask := func(host string) []answer {
		return p.converse(t, "OPTIONS * HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\n\r\n")
	}
	if got := ask("h.example"); len(got) != 1 || got[0].status != 200 || got[0].body != "OPTIONS *" {
		t.Errorf("answer %v", got)
	}
	status, text, err := p.h2(t).ask("", ":method", "OPTIONS", ":scheme", "http", ":authority", "h.example", ":path", "*")
	if status != "200" || text != "OPTIONS *" || err != nil {
		t.Errorf("answer in HTTP/2: %s %q, %v", status, text, err)
	}
	if texts := o.texts(); !slices.Equal(texts, []string{"OPTIONS *", "OPTIONS *"}) {
		t.Errorf("the origin saw %q", texts)
	}
	if got := ask("evil.example"); len(got) != 1 || got[0].status != 421 {
		t.Errorf("for another host: %v", got)
	}
	if got := p.converse(t, "OPTIONS * HTTP/1.1\r\n\r\n"); len(got) != 1 || got[0].status != 400 {
		t.Errorf("without a host: %v", got)
	}
	if keys := p.stored(); len(keys) > 0 {
		t.Errorf("stored: %q", keys)
	}
}
