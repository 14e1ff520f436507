package torture

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"
)

// An Ask is a way to ask for a page.
type Ask struct {
	Method   string // GET or HEAD
	Encoding string // Accept-Encoding; empty: none is sent
	ETag     string // If-None-Match; empty: none is sent
	IfRange  string // If-Range; empty: none is sent

	First, Last int // Range: bytes=First-Last; Last 0: none is sent
}

func (a Ask) String() string {
	s := a.Method
	if a.Encoding != "" {
		s += ", Accept-Encoding: " + a.Encoding
	}
	if a.ETag != "" {
		s += ", If-None-Match: " + a.ETag
	}
	if a.Last > 0 {
		s += fmt.Sprintf(", Range: bytes=%d-%d", a.First, a.Last)
	}
	if a.IfRange != "" {
		s += ", If-Range: " + a.IfRange
	}
	return s
}

// requestTimeout bounds a request: above it the target hangs.
const requestTimeout = 30 * time.Second

// A client reads over HTTP/1.1 on a connection of its own. It writes requests and reads answers without net/http's
// transport, which would hide what can be wrong with an answer, and costs more than the target.
type client struct {
	base  func() string
	pages Pages
	memos memos
	etags *etags
	known []known // per page

	rand      *rand.Rand
	encodings bool // asks for encodings

	conn net.Conn // nil: not connected
	in   *bufio.Reader
	body bytes.Buffer
	out  bytes.Buffer // the decoded body
}

// known is what a client keeps of a page, as a browser does.
type known struct {
	etag    string
	version int64
}

func newClient(base func() string, pages Pages, m memos, e *etags, rnd *rand.Rand, encodings bool) *client {
	return &client{base: base, pages: pages, memos: m, etags: e, known: make([]known, pages.Len()), rand: rnd, encodings: encodings}
}

// Read asks in one of a client's many ways.
func (c *client) Read(ctx context.Context, page int) (Answer, error) {
	a := Ask{Method: "GET"}
	if c.rand.IntN(10) == 0 {
		a.Method = "HEAD"
	}
	if c.encodings {
		a.Encoding = []string{"", "gzip", "br", "gzip, br", "gzip;q=0.5, zstd", "br;q=0, gzip"}[c.rand.IntN(6)]
	}
	if c.rand.IntN(4) == 0 {
		a.ETag = c.known[page].etag
	}
	if c.rand.IntN(8) == 0 {
		a = c.askForPart(page, a)
	}
	return c.ask(ctx, page, a)
}

// Close ends the connection.
func (c *client) Close() error {
	if c.conn == nil {
		return nil
	}
	err := c.conn.Close()
	c.conn = nil
	return err
}

// ask sends one request and reads its answer to the end. After an error the connection is not used again.
func (c *client) ask(ctx context.Context, page int, a Ask) (Answer, error) {
	answer, err := c.exchange(ctx, page, a)
	if err != nil {
		_ = c.Close() // the error that counts is err
		_, path, accept := c.pages.Request(page)
		if accept != "" {
			path += " as " + accept
		}
		return answer, fmt.Errorf("%s %s: %w", a, path, err)
	}
	return answer, nil
}

func (c *client) exchange(ctx context.Context, page int, a Ask) (Answer, error) {
	if err := c.connect(ctx); err != nil {
		return Answer{}, err
	}
	var b strings.Builder
	host, path, accept := c.pages.Request(page)
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\n", a.Method, path, host)
	if accept != "" {
		fmt.Fprintf(&b, "Accept: %s\r\n", accept)
	}
	if a.Encoding != "" {
		fmt.Fprintf(&b, "Accept-Encoding: %s\r\n", a.Encoding)
	}
	if a.ETag != "" {
		fmt.Fprintf(&b, "If-None-Match: %s\r\n", a.ETag)
	}
	if a.Last > 0 {
		fmt.Fprintf(&b, "Range: bytes=%d-%d\r\n", a.First, a.Last)
	}
	if a.IfRange != "" {
		fmt.Fprintf(&b, "If-Range: %s\r\n", a.IfRange)
	}
	b.WriteString("\r\n")
	if _, err := io.WriteString(c.conn, b.String()); err != nil {
		return Answer{}, err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: a.Method})
	if err != nil {
		return Answer{}, fmt.Errorf("reading the answer's head: %w", err)
	}
	c.body.Reset()
	_, err = c.body.ReadFrom(resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return Answer{}, fmt.Errorf("reading the answer's body: %w", err)
	}
	if resp.Close {
		defer closeAll(c)
	}
	return c.understand(page, a, resp)
}

func (c *client) connect(ctx context.Context) error {
	if c.conn == nil {
		dialer := net.Dialer{Timeout: requestTimeout}
		conn, err := dialer.DialContext(ctx, "tcp", strings.TrimPrefix(c.base(), "http://"))
		if err != nil {
			return err
		}
		c.conn, c.in = conn, bufio.NewReaderSize(conn, 32<<10)
	}
	return c.conn.SetDeadline(time.Now().Add(requestTimeout))
}

// understand finds the version an answer shows.
func (c *client) understand(page int, a Ask, resp *http.Response) (Answer, error) {
	answer := Answer{Ask: a, From: from(resp.Header)}
	if a.Method == "HEAD" && answer.From == Miss {
		answer.From = Bypass // it fills nothing
	}
	etag := resp.Header.Get("ETag")
	switch {
	case resp.StatusCode == http.StatusNotModified:
		// It says: what you have is current.
		answer.NotModified = true
		answer.Version = c.known[page].version
		if a.ETag == "" || c.body.Len() > 0 {
			return answer, fmt.Errorf("%w: a 304 that was not asked for, or with a body", ErrTorn)
		}
		return answer, nil
	case resp.StatusCode == http.StatusPartialContent:
		return c.understandPart(page, a, answer, resp)
	case !c.pages.Good(page, resp.StatusCode):
		err := fmt.Errorf("status %s: %.200q", resp.Status, c.body.Bytes())
		if resp.StatusCode < http.StatusInternalServerError {
			err = fmt.Errorf("%w: %w", errDenied, err)
		}
		return answer, err
	case a.Method == "HEAD":
		answer.Version = c.etags.version(page, etag)
		size := int64(c.pages.Size(page))
		if size > 0 && answer.From == Hit && resp.Header.Get("Content-Encoding") == "" && resp.ContentLength != size {
			return answer, fmt.Errorf("%w: HEAD says Content-Length %d instead of %d", ErrTorn, resp.ContentLength, size)
		}
		if answer.Version == 0 {
			return answer, nil
		}
		return answer, c.pages.Check(page, answer.Version, resp.StatusCode, resp.Header)
	}
	if answer.From == Hit && resp.ContentLength < 0 {
		return answer, fmt.Errorf("%w: a hit without Content-Length", ErrTorn)
	}
	encoding := resp.Header.Get("Content-Encoding")
	if encoding != "" && !accepts(a.Encoding, encoding) {
		return answer, fmt.Errorf("%w: Content-Encoding %q was not asked for", ErrTorn, encoding)
	}
	version, err := c.memos.read(c.pages, page, resp.StatusCode, encoding, c.body.Bytes(), &c.out)
	if err != nil {
		return answer, fmt.Errorf("%w (%s, ETag %s)", err, answer.From, etag)
	}
	answer.Version, answer.Encoding = version, encoding
	if etag != "" {
		c.known[page] = known{etag, version}
		c.etags.saw(page, etag, version)
	}
	return answer, c.pages.Check(page, version, resp.StatusCode, resp.Header)
}

// errDenied: an answer that tells the client what isn't so, as a 404 for a page that exists: no fault excuses it.
var errDenied = errors.New("denied")

// accepts tells whether an Accept-Encoding of Read names a coding, and not to refuse it.
func accepts(header, coding string) bool {
	for member := range strings.SplitSeq(header, ",") {
		if name, weight, _ := strings.Cut(strings.TrimSpace(member), ";"); name == coding {
			return weight != "q=0"
		}
	}
	return false
}

// from reads Cache-Status (RFC 9211), of which the first member counts: ours. Squid 5 has X-Cache instead.
func from(h http.Header) From {
	switch word, _, _ := strings.Cut(h.Get("X-Cache"), " "); word {
	case "HIT":
		return Hit
	case "MISS":
		return Miss
	}
	ours, _, _ := strings.Cut(h.Get("Cache-Status"), ",")
	_, params, _ := strings.Cut(ours, ";")
	answer := Bypass
	for p := range strings.SplitSeq(params, ";") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(p), "="); {
		case name == "collapsed":
			return Collapsed
		case name == "hit":
			answer = Hit
		case name == "fwd" && value != "bypass" && value != "method" && value != "request":
			answer = Miss
		}
	}
	return answer
}
