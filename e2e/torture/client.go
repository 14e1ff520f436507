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
	"sync"
	"sync/atomic"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// An Ask is a way to ask for a page.
type Ask struct {
	Method   string // GET or HEAD
	Encoding string // Accept-Encoding; empty: none is sent
	ETag     string // If-None-Match; empty: none is sent
}

func (a Ask) String() string {
	s := a.Method
	if a.Encoding != "" {
		s += ", Accept-Encoding: " + a.Encoding
	}
	if a.ETag != "" {
		s += ", If-None-Match: " + a.ETag
	}
	return s
}

// encodings are those a page may come in, besides identity.
var encodings = []string{"gzip", "br", "zstd"}

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
	case !c.pages.Good(page, resp.StatusCode):
		return answer, fmt.Errorf("status %s: %.200q", resp.Status, c.body.Bytes())
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
	if encoding != "" && !strings.Contains(a.Encoding, encoding) {
		return answer, fmt.Errorf("%w: Content-Encoding %q was not asked for", ErrTorn, encoding)
	}
	version, err := c.memos.read(c.pages, page, resp.StatusCode, encoding, c.body.Bytes(), &c.out)
	if err != nil {
		return answer, fmt.Errorf("%w (%s, ETag %s)", err, answer.From, etag)
	}
	answer.Version = version
	if etag != "" {
		c.known[page] = known{etag, version}
		c.etags.saw(page, etag, version)
	}
	return answer, c.pages.Check(page, version, resp.StatusCode, resp.Header)
}

// from reads Cache-Status (RFC 9211), of which the first member counts: ours.
func from(h http.Header) From {
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

// memos has a memo for each encoding, under its name, and for identity under "".
type memos map[string]*memo

func newMemos(pages int) memos {
	m := memos{"": newMemo(pages)}
	for _, e := range encodings {
		m[e] = newMemo(pages)
	}
	return m
}

// read returns the version that a body in some encoding shows. Space is used for decoding.
func (m memos) read(p Pages, page, status int, encoding string, raw []byte, space *bytes.Buffer) (int64, error) {
	of, ok := m[encoding]
	if !ok {
		return 0, fmt.Errorf("%w: Content-Encoding %q", ErrTorn, encoding)
	}
	return of.read(page, raw, func() (int64, error) {
		body, err := decode(encoding, raw, space)
		if err != nil {
			return 0, fmt.Errorf("%w: decoding %s: %v", ErrTorn, encoding, err)
		}
		version, err := p.Read(page, status, body)
		if err != nil && encoding != "" {
			err = fmt.Errorf("%w (decoded from %s)", err, encoding)
		}
		return version, err
	})
}

func decode(encoding string, raw []byte, space *bytes.Buffer) ([]byte, error) {
	var r io.Reader
	switch encoding {
	case "":
		return raw, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, err
		}
		r = z
	case "br":
		r = brotli.NewReader(bytes.NewReader(raw))
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		r = z
	default:
		return nil, errors.ErrUnsupported
	}
	space.Reset()
	_, err := space.ReadFrom(r)
	return space.Bytes(), err
}

// etags remembers which version an ETag stands for, so that a HEAD can be judged. It has one entry per body that was
// seen: a few per commit. Safe for concurrent use.
type etags struct {
	versions sync.Map // etagOf → int64
	repeated atomic.Int64
}

type etagOf struct {
	page int
	etag string
}

func newETags() *etags { return &etags{} }

// saw records a version's ETag. Two versions with one are possible, as it has 31 bits of digest: the newer counts then.
func (e *etags) saw(page int, etag string, version int64) {
	for {
		old, loaded := e.versions.LoadOrStore(etagOf{page, etag}, version)
		if !loaded || old == version {
			return
		}
		e.repeated.Add(1)
		if old.(int64) > version || e.versions.CompareAndSwap(etagOf{page, etag}, old, version) {
			return
		}
	}
}

// version returns what an ETag stands for; 0: not known.
func (e *etags) version(page int, etag string) int64 {
	v, _ := e.versions.Load(etagOf{page, etag})
	version, _ := v.(int64)
	return version
}
