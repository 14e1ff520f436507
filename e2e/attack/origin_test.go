//go:build e2e

package attack

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// An origin is a server that reads requests in one way only: what RFC 9112 leaves to the reader's kindness is an error here
// (oneReading). So if it has none to complain of, every other server finds the same requests in the same bytes. It keeps all
// that it is sent.
type origin struct {
	t *testing.T
	l net.Listener
	// answer writes the answer to a request; by default a fresh page that names the request.
	answer func(q *asked, c net.Conn)
	// early, if it returns an answer, has the origin send it and go on as if the request had no body.
	early func(q *asked) string

	mu        sync.Mutex
	log       []*asked
	conns     int
	ambiguous []string // what can be read in more ways than one
}

// An asked is one request, as the origin got it.
type asked struct {
	conn                 int
	head                 string // byte for byte
	method, target, body string
	fields, trailers     []field
}

type field struct{ name, value string }

func (q *asked) values(name string) (values []string) {
	for _, f := range q.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

func (q *asked) String() string { return strings.TrimSpace(q.method + " " + q.target + " " + q.body) }

// newOrigin starts one. At the test's end it complains of what it could have read in more than one way.
func newOrigin(t *testing.T, answer func(q *asked, c net.Conn)) *origin {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if answer == nil {
		answer = func(q *asked, c net.Conn) { _, _ = io.WriteString(c, ok(q.String())) }
	}
	o := &origin{t: t, l: l, answer: answer}
	var serving sync.WaitGroup
	serving.Go(func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			o.mu.Lock()
			o.conns++
			o.mu.Unlock()
			serving.Go(func() {
				defer c.Close()
				o.serve(n, c)
			})
		}
	})
	t.Cleanup(func() { // after the proxy's end, which closes the connections
		_ = l.Close()
		serving.Wait()
		for _, text := range o.ambiguous {
			t.Errorf("the origin can read what it got in more ways than one: %s", text)
		}
	})
	return o
}

// proxyTo starts the proxy in front of an origin.
func proxyTo(t *testing.T, o *origin, flags ...string) *server {
	t.Helper()
	return start(t, kind{name: "proxy", args: []string{"proxy"}}, append([]string{"--origin", "http://" + o.l.Addr().String()}, flags...)...)
}

func (o *origin) serve(n int, c net.Conn) {
	r := bufio.NewReader(c)
	for {
		q := &asked{conn: n}
		err := q.readHead(r)
		if err == nil && o.early != nil {
			if text := o.early(q); text != "" {
				o.note(q)
				_, _ = io.WriteString(c, text)
				continue
			}
		}
		if err == nil {
			err = q.readBody(r)
		}
		if errors.Is(err, errAmbiguous) {
			o.mu.Lock()
			o.ambiguous = append(o.ambiguous, fmt.Sprintf("%v in %.500q", err, q.head))
			o.mu.Unlock()
		}
		if err != nil {
			return // also a request that was cut off: nobody takes it for a whole one
		}
		o.note(q)
		o.answer(q, c)
	}
}

func (o *origin) note(q *asked) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.log = append(o.log, q)
}

// seen returns the whole requests since the last call, in the order they came.
func (o *origin) seen() []*asked {
	o.mu.Lock()
	defer o.mu.Unlock()
	log := o.log
	o.log = nil
	return log
}

// texts names the requests since the last call: "METHOD TARGET BODY".
func (o *origin) texts() (texts []string) {
	for _, q := range o.seen() {
		texts = append(texts, q.String())
	}
	return texts
}

// ok is an answer with these header lines; without a Cache-Control among them, it is fresh for long.
func ok(body string, lines ...string) string { return answerOf("200 OK", body, lines...) }

func answerOf(status, body string, lines ...string) string {
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Cache-Control:") }) {
		lines = append(lines, "Cache-Control: max-age=600")
	}
	return fmt.Sprintf("HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n\r\n%s", status, len(body), strings.Join(lines, "\r\n"), body)
}

var errAmbiguous = errors.New("not the one way to write it")

func ambiguous(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errAmbiguous, fmt.Sprintf(format, args...))
}

const (
	alnum     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	tokenSet  = alnum + "!#$%&'*+-.^_`|~"
	hexDigits = "0123456789abcdefABCDEF"
)

func made(s, of string) bool {
	return s != "" && strings.Trim(s, of) == "" && !strings.ContainsFunc(s, func(c rune) bool { return !strings.ContainsRune(of, c) })
}

// line reads up to CR LF, of which there is neither within.
func (q *asked) line(r *bufio.Reader) (string, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return "", err
	}
	text, crlf := strings.CutSuffix(line, "\r\n")
	if !crlf || strings.ContainsFunc(text, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return "", ambiguous("line %q", line)
	}
	return text, nil
}

func (q *asked) readHead(r *bufio.Reader) error {
	line, err := q.line(r)
	if err != nil {
		return err
	}
	q.head = line + "\r\n"
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !made(parts[0], tokenSet) || !strings.HasPrefix(parts[1], "/") && line != "OPTIONS * HTTP/1.1" || strings.Contains(parts[1], "#") || parts[2] != "HTTP/1.1" {
		return ambiguous("request line %q", line)
	}
	q.method, q.target = parts[0], parts[1]
	if q.fields, err = q.readFields(r, &q.head); err != nil {
		return err
	}
	if hosts := q.values("Host"); len(hosts) != 1 || strings.ContainsAny(hosts[0], " \t,/@\\") || hosts[0] == "" {
		return ambiguous("Host %q", hosts)
	}
	return nil
}

// readFields reads lines of the form "name: value" up to an empty one.
func (q *asked) readFields(r *bufio.Reader, raw *string) (fields []field, err error) {
	for {
		line, err := q.line(r)
		if err != nil {
			return nil, err
		}
		if *raw += line + "\r\n"; line == "" {
			return fields, nil
		}
		name, value, colon := strings.Cut(line, ":")
		if !colon || !made(name, tokenSet) || !strings.HasPrefix(value, " ") && value != "" {
			return nil, ambiguous("field %q", line)
		}
		fields = append(fields, field{name, strings.Trim(value, " ")})
	}
}

func (q *asked) readBody(r *bufio.Reader) error {
	lengths, codings := q.values("Content-Length"), q.values("Transfer-Encoding")
	for _, f := range q.fields { // as CGI would read it
		if name := strings.ReplaceAll(f.name, "_", "-"); name != f.name && (strings.EqualFold(name, "Content-Length") || strings.EqualFold(name, "Transfer-Encoding") || strings.EqualFold(name, "Host")) {
			return ambiguous("field %s", f.name)
		}
	}
	switch {
	case len(lengths)+len(codings) > 1:
		return ambiguous("lengths %q, codings %q", lengths, codings)
	case len(codings) == 1 && codings[0] != "chunked":
		return ambiguous("Transfer-Encoding %q", codings)
	case len(codings) == 1:
		return q.readChunks(r)
	case len(lengths) == 0:
		return nil
	}
	n, err := strconv.Atoi(lengths[0])
	if err != nil || strconv.Itoa(n) != lengths[0] || n < 0 {
		return ambiguous("Content-Length %q", lengths)
	}
	body := make([]byte, n)
	_, err = io.ReadFull(r, body)
	q.body = string(body)
	return err
}

func (q *asked) readChunks(r *bufio.Reader) error {
	for {
		line, err := q.line(r)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(line, 16, 32)
		if err != nil || !made(line, hexDigits) {
			return ambiguous("chunk size %q", line)
		}
		if n == 0 {
			var raw string
			if q.trailers, err = q.readFields(r, &raw); err != nil {
				return err
			}
			for _, f := range q.trailers { // what a server may not take from here, and some do (RFC 9110, 6.5.1)
				switch name := strings.ToLower(f.name); {
				case name == "host", name == "authorization", name == "cookie", strings.HasPrefix(name, "content-"), strings.HasPrefix(name, "transfer-"), strings.HasPrefix(name, "x-forwarded-"):
					return ambiguous("trailer %s", f.name)
				}
			}
			return nil
		}
		chunk := make([]byte, n+2)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return err
		}
		if string(chunk[n:]) != "\r\n" {
			return ambiguous("a chunk of %d bytes ends with %q", n, chunk[n:])
		}
		q.body += string(chunk[:n])
	}
}
