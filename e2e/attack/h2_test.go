//go:build e2e

package attack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An h2 is a connection of HTTP/2 (begun with prior knowledge) on which a test writes what frames it likes.
type h2 struct {
	*http2.Framer
	t    *testing.T
	conn net.Conn
	next uint32 // stream
}

func (p *server) h2(t *testing.T) *h2 {
	t.Helper()
	c := p.dial(t)
	h := &h2{t: t, conn: c, Framer: http2.NewFramer(c, c), next: 1}
	h.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		t.Fatal(err)
	}
	if err := h.WriteSettings(); err != nil {
		t.Fatal(err)
	}
	return h
}

func block(fields ...string) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	for i := 0; i < len(fields); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return b.Bytes()
}

// ask sends a request in one frame of headers and, if there is a body, one of data; it returns what becomes of the stream: a
// status and a body, or an error if the stream, or the connection, was ended.
func (h *h2) ask(body string, fields ...string) (status, text string, err error) {
	h.t.Helper()
	id := h.next
	h.next += 2
	if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block(fields...), EndHeaders: true, EndStream: body == ""}); err != nil {
		return "", "", err
	}
	if body != "" {
		if err := h.WriteData(id, true, []byte(body)); err != nil {
			return "", "", err
		}
	}
	for {
		f, err := h.ReadFrame()
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			h.t.Fatalf("no answer to %.200q", fields)
		}
		if err != nil {
			return status, text, err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = h.WriteSettingsAck()
			}
		case *http2.GoAwayFrame:
			return status, text, fmt.Errorf("GOAWAY: %v", f.ErrCode)
		case *http2.RSTStreamFrame:
			if f.StreamID == id { // after a status, too: its answer is no whole one
				return status, text, fmt.Errorf("RST_STREAM: %v", f.ErrCode)
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == id {
				status = f.PseudoValue("status")
			}
		case *http2.DataFrame:
			if f.StreamID == id {
				text += string(f.Data())
			}
		}
		if header := f.Header(); header.StreamID == id && header.Flags.Has(http2.FlagDataEndStream) && (header.Type == http2.FrameData || header.Type == http2.FrameHeaders) {
			return status, text, nil
		}
	}
}

// TestAttack34_Downgrades: requests of HTTP/2 that would be another, or several, in HTTP/1.1: refused, or sent as the one they are.
func TestAttack34_Downgrades(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) { _, _ = io.WriteString(c, ok(q.String(), "Cache-Control: no-store")) })
	p := proxyTo(t, o, "--host", "h.example")
	get := []string{":method", "GET", ":scheme", "http", ":authority", "h.example", ":path", "/p"}
	post := []string{":method", "POST", ":scheme", "http", ":authority", "h.example", ":path", "/p"}
	with := func(fields []string, more ...string) []string { return append(slices.Clip(fields), more...) }
	instead := func(name, value string) []string {
		fields := slices.Clone(get)
		fields[slices.Index(fields, name)+1] = value
		return fields
	}
	const line = "\r\n\r\n" + hidden
	for _, c := range []struct {
		name   string
		fields []string
		body   string
		want   string // what the origin may see; "": nothing
	}{
		{"plain", get, "", "GET /p"},
		{"with a body", post, "abc", "POST /p abc"},
		{"with its length", with(post, "content-length", "3"), "abc", "POST /p abc"},
		{"CRLF in a value", with(get, "x-a", "b"+line), "", ""},
		{"CRLF in a value: transfer coding", with(post, "x-a", "b\r\ntransfer-encoding: chunked"), "0\r\n\r\n" + hidden, ""},
		{"LF in a value", with(get, "x-a", "b\nx-b: c"), "", ""},
		{"CR in a value", with(get, "x-a", "b\rx-b: c"), "", ""},
		{"NUL in a value", with(get, "x-a", "b\x00c"), "", ""},
		{"CRLF in a name", with(get, "x-a: b\r\nx-c", "d"), "", ""},
		{"colon in a name", with(get, "x-a: b", "c"), "", ""},
		{"transfer coding in a name", with(post, "transfer-encoding: chunked", "x"), "0\r\n\r\n" + hidden, ""},
		{"space in a name", with(get, "x a", "b"), "", ""},
		{"capitals in a name", with(get, "X-A", "b"), "", ""},
		{"empty name", with(get, "", "b"), "", ""},
		{"transfer-encoding", with(post, "transfer-encoding", "chunked"), "0\r\n\r\n" + hidden, ""},
		{"transfer-encoding and length", with(post, "transfer-encoding", "chunked", "content-length", "5"), "0\r\n\r\n" + hidden, ""},
		{"connection", with(get, "connection", "close"), "", ""},
		{"keep-alive", with(get, "keep-alive", "x"), "", ""},
		{"proxy-connection", with(get, "proxy-connection", "close"), "", ""},
		{"upgrade", with(get, "upgrade", "websocket"), "", ""},
		{"te", with(get, "te", "gzip"), "", ""},
		{"length below the data (H2.CL)", with(post, "content-length", "0"), hidden, "POST /p"},
		{"length a little below", with(post, "content-length", "2"), "abc", ""},
		{"length above the data", with(post, "content-length", "30"), "abc", ""},
		{"two lengths", with(post, "content-length", "3", "content-length", "0"), "abc", ""},
		{"a length, and no data", with(post, "content-length", "3"), "", ""},
		{"length with a sign", with(post, "content-length", "+3"), "abc", ""},
		{"length with CRLF", with(post, "content-length", "3"+line), "abc", ""},
		{"underscore", with(post, "transfer_encoding", "chunked"), "abc", "POST /p abc"},
		{"space in the path", instead(":path", "/p HTTP/1.1"), "", ""},
		{"a request in the path", instead(":path", "/p HTTP/1.1\r\nHost: h.example"+line), "", ""},
		{"tab in the path", instead(":path", "/p\tx"), "", ""},
		{"fragment in the path", instead(":path", "/p#x"), "", ""},
		{"no slash", instead(":path", "p"), "", ""},
		{"URL as a path", instead(":path", "http://evil.example/p"), "", "GET /p"},
		{"empty path", instead(":path", ""), "", ""},
		{"asterisk", instead(":path", "*"), "", ""},
		{"a request in the method", instead(":method", "GET /smuggled HTTP/1.1\r\nHost: h.example\r\n\r\nGET"), "", ""},
		{"space in the method", instead(":method", "GET /x"), "", ""},
		{"CONNECT", instead(":method", "CONNECT"), "", ""},
		{"TRACE", instead(":method", "TRACE"), "", ""},
		{"PRI", instead(":method", "PRI"), "", ""},
		{"a request in the authority", instead(":authority", "h.example"+line), "", ""},
		{"path in the authority", instead(":authority", "h.example/x"), "", ""},
		{"user in the authority", instead(":authority", "x@h.example"), "", ""},
		{"foreign authority", instead(":authority", "evil.example"), "", ""},
		{"URL as a scheme", instead(":scheme", "http://evil.example/?"), "", ""},
		{"another host", with(get, "host", "evil.example"), "", "GET /p"},
		{"pseudo-header at the end", with(get, "x-a", "b", ":path", "/q"), "", ""},
		{"path twice", with(get, ":path", "/q"), "", ""},
		{"unknown pseudo-header", with([]string{":evil", "x"}, get...), "", ""},
		{"no authority", []string{":method", "GET", ":scheme", "http", ":path", "/p"}, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o.seen()
			h := p.h2(t)
			status, text, err := h.ask(c.body, c.fields...)
			seen := o.seen()
			var got []string
			for _, q := range seen {
				got = append(got, q.String())
				if hosts := q.values("Host"); !slices.Equal(hosts, []string{"h.example"}) {
					t.Errorf("Host: %q", hosts)
				}
			}
			refused := err != nil || status >= "400"
			if !refused && c.want == "" || len(got) > 0 && !slices.Equal(got, []string{c.want}) || !refused && (status != "200" || text != c.want) {
				t.Errorf("the origin saw %q; the client got %s %q, %v", got, status, text, err)
			}
			if _, body := p.get("/victim"); body != "GET /victim" {
				t.Errorf("the next client got %q", body)
			}
			if _, body := p.get("/victim", "Cookie: session=1"); body != "GET /victim" {
				t.Errorf("the next client got %q", body)
			}
		})
	}
}

// TestAttack34_RapidReset: requests that are reset at once (CVE-2023-44487) cost the origin no more than the streams that may be
// open, or the connection.
func TestAttack34_RapidReset(t *testing.T) {
	o := newOrigin(t, func(q *asked, c net.Conn) { _, _ = io.WriteString(c, ok(q.String(), "Cache-Control: no-store")) })
	p := proxyTo(t, o)
	h := p.h2(t)
	go func() { _, _ = io.Copy(io.Discard, h.conn) }()
	const requests = 5000
	for i := range uint32(requests) {
		b := block(":method", "POST", ":scheme", "http", ":authority", p.addr, ":path", fmt.Sprintf("/reset-%d", i))
		if h.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: b, EndHeaders: true}) != nil || h.WriteRSTStream(2*i+1, http2.ErrCodeCancel) != nil {
			break // it has had enough
		}
	}
	if res, body := p.get("/victim"); res.StatusCode != 200 || body != "GET /victim" {
		t.Errorf("the next client got %d %q", res.StatusCode, body)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conns > requests/4 {
		t.Errorf("%d connections to the origin", o.conns)
	}
}

// TestAttack34_Floods: endless headers end the connection; frames without content, of which nothing is kept, hold nobody up.
func TestAttack34_Floods(t *testing.T) {
	o := newOrigin(t, nil)
	p := proxyTo(t, o)
	header := block(":method", "GET", ":scheme", "http", ":authority", p.addr, ":path", "/p")
	for _, content := range [][]byte{block("x-a", strings.Repeat("y", 1000)), nil} {
		h := p.h2(t)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = io.Copy(io.Discard, h.conn)
		}()
		if err := h.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: header}); err != nil {
			t.Fatal(err)
		}
		for range 100_000 {
			if h.WriteContinuation(1, false, content) != nil {
				break
			}
		}
		if res, body := p.get("/victim"); res.StatusCode != 200 || body != "GET /victim" {
			t.Errorf("the next client got %d %q", res.StatusCode, body)
		}
		if content == nil {
			_ = h.conn.Close()
		}
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("the connection is open after 100 MB of headers")
		}
	}
	if texts := o.texts(); len(texts) != 1 {
		t.Errorf("the origin saw %q", texts)
	}
}
