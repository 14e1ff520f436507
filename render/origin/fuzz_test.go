package origin

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// FuzzHead: what is taken for a head can be written and read again, and means the same to net/http.
func FuzzHead(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX: a\r\n b\r\n", "HTTP/1.0 404\nSet-Cookie : a\nset-cookie:b\n", "HTTP/1.1 200 \r\nX:\r\n \r\n",
		"HTTP/1.1 200 OK\r\nX: a\rb\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5, 5\r\n", "\r\n", ": ",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.HasPrefix(text, "\n") || strings.HasPrefix(text, "\r\n") || strings.Contains(text, "\n\n") || strings.Contains(text, "\n\r\n") || !strings.HasSuffix(text, "\n") {
			return // readBlock ends there
		}
		h, err := parseHead(text)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Error(err)
			}
			return
		}
		if err := checkFields(h.header); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		_, _ = w.WriteString(text[:strings.IndexByte(text, '\n')+1])
		writeFields(w, h.header)
		_ = w.Flush()
		again, err := parseHead(b.String())
		if err != nil || again.status != h.status || !maps.EqualFunc(again.header, h.header, slices.Equal) {
			t.Fatalf("%q is read as %v, written as %q and read as %v, %v", text, h, b.String(), again, err)
		}
		framing, err := frame(http.MethodGet, h)
		if err != nil {
			return
		}
		b.Reset() // frame has made one length of many
		_, _ = w.WriteString(text[:strings.IndexByte(text, '\n')+1])
		writeFields(w, h.header)
		_ = w.Flush()
		b.WriteString("\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(&b), nil)
		if err != nil {
			t.Fatalf("net/http does not read %q: %v", text, err)
		}
		if resp.StatusCode != h.status {
			t.Errorf("%q: status %d", text, resp.StatusCode)
		}
		if !framing.none && (resp.ContentLength != framing.length || (len(resp.TransferEncoding) > 0) != framing.chunked) {
			t.Errorf("%q: %+v, net/http says %d %v", text, framing, resp.ContentLength, resp.TransferEncoding)
		}
	})
}

// FuzzRequest: what is sent is one request, and the one that was meant.
func FuzzRequest(f *testing.F) {
	for _, s := range [][5]string{
		{"GET", "/a%2f{}?b", "a.example:80", "X-Y", "z"}, {"GET", "//x", "[::1]", "X", "a\r\nHost: b"}, {"GET ", "/ HTTP/1.1\r\nX: y", "a b", "Content-Length", "5"},
		{"PUT", "/\xff", "a", "X\x00", "\t"}, {"OPTIONS", "*", "a", "X", ""},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4])
	}
	f.Fuzz(func(t *testing.T, method, uri, host, name, value string) {
		name = http.CanonicalHeaderKey(name)
		r := &http.Request{Method: method, RequestURI: uri, Host: host, Header: http.Header{name: {value}, "Connection": {name}}}
		if uri == "" {
			return
		}
		q, err := (&Origin{}).forwarded(r)
		if err == nil {
			err = q.check()
		}
		if err != nil {
			if !errors.Is(err, ErrRequest) {
				t.Error(err)
			}
			return
		}
		var b bytes.Buffer
		w := bufio.NewWriter(&b)
		q.write(w)
		_ = w.Flush()
		sent := b.String()
		if strings.Count(sent, "\n\r\n") != 1 || !strings.HasSuffix(sent, "\r\n\r\n") {
			t.Fatalf("not one head: %q", sent)
		}
		got, err := http.ReadRequest(bufio.NewReader(&b))
		if err != nil {
			return // net/http's URLs are stricter
		}
		if got.Method != q.method || got.RequestURI != q.target || got.Host != q.host || !strings.HasPrefix(strings.ToLower(host), strings.Split(q.host, ":")[0]) || got.ContentLength != 0 || len(got.TransferEncoding) > 0 {
			t.Errorf("%q is read as %q %q %q, length %d", sent, got.Method, got.RequestURI, got.Host, got.ContentLength)
		}
		if !strings.HasPrefix(q.target, "/") && q.target != "*" || q.target != uri && !strings.HasSuffix(uri, strings.TrimPrefix(q.target, "/")) && q.target != "*" {
			t.Errorf("target %q of %q", q.target, uri)
		}
		if rest, _ := io.ReadAll(got.Body); len(rest) > 0 {
			t.Errorf("%q has a body: %q", sent, rest)
		}
	})
}
