package origin

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"github.com/cachesrv/cachesrv/render/httpcache"
)

// A head is an answer's status line and header.
type head struct {
	minor  int // HTTP/1.minor
	status int
	reason string
	header http.Header
}

// readHead reads a head of at most budget bytes, and takes its size off the budget.
func (c *conn) readHead(budget *int64) (head, error) {
	text, err := c.readBlock(budget)
	if err != nil {
		return head{}, err
	}
	return parseHead(text)
}

// readBlock reads lines up to the first empty one, and returns them without it.
func (c *conn) readBlock(budget *int64) (string, error) {
	c.head = c.head[:0]
	start := 0 // of the line
	for {
		part, err := c.br.ReadSlice('\n')
		if *budget -= int64(len(part)); *budget < 0 {
			return "", malformed("its header is too large")
		}
		c.head = append(c.head, part...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil {
			if errors.Is(err, io.EOF) && len(c.head) > 0 {
				return "", malformed("its header: %w", io.ErrUnexpectedEOF)
			}
			return "", err
		}
		if line := c.head[start:]; len(line) == 1 || len(line) == 2 && line[0] == '\r' {
			return string(c.head[:start]), nil
		}
		start = len(c.head)
	}
}

// parseHead reads a status line (RFC 9112, 4) and the fields behind it.
func parseHead(text string) (head, error) {
	line, text := cutLine(text)
	var h head
	version, rest, _ := strings.Cut(line, " ")
	status, reason, _ := strings.Cut(rest, " ")
	if len(version) != len("HTTP/1.1") || !strings.HasPrefix(version, "HTTP/1.") || !isDigits(version[7:]) ||
		len(status) != 3 || !isDigits(status) || status[0] == '0' || !httpcache.ValidValue(reason) {
		return head{}, malformed("status line %.40q", line)
	}
	h.minor = int(version[7] - '0')
	h.status, _ = strconv.Atoi(status)
	h.reason = reason
	var err error
	h.header, err = parseFields(text)
	return h, err
}

// parseFields reads header or trailer lines. It is as lenient as RFC 9112 asks of a proxy: a lone LF ends a line (2.2),
// whitespace before the colon is removed (5.1), a folded line is joined by a space (5.2). Other control characters than
// HTAB are refused, NUL and a lone CR among them (RFC 9110, 5.5).
func parseFields(text string) (http.Header, error) {
	lines := strings.Count(text, "\n")
	h := make(http.Header, lines)
	backing := make([]string, lines) // one allocation for the values of all names
	last := ""
	for text != "" {
		var line string
		line, text = cutLine(text)
		if line != "" && (line[0] == ' ' || line[0] == '\t') {
			values := h[last]
			folded := strings.Trim(line, " \t")
			if len(values) == 0 || !httpcache.ValidValue(folded) {
				return nil, malformed("header line %.40q", line)
			}
			values[len(values)-1] = strings.Trim(values[len(values)-1]+" "+folded, " \t")
			continue
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimRight(name, " \t"), strings.Trim(value, " \t")
		if !ok || !httpcache.IsToken(name) || !httpcache.ValidValue(value) {
			return nil, malformed("header line %.40q", line)
		}
		last = textproto.CanonicalMIMEHeaderKey(name)
		if values := h[last]; values != nil {
			h[last] = append(values, value)
			continue
		}
		backing[0] = value
		h[last], backing = backing[:1:1], backing[1:]
	}
	return h, nil
}

func cutLine(text string) (line, rest string) {
	line, rest, _ = strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), rest
}

// framing says where an answer's body ends (RFC 9112, 6.3).
type framing struct {
	none    bool
	chunked bool
	length  int64 // -1: at the end of the connection, unless chunked
}

// frame finds the framing. What could be read in two ways is malformed: a length and a transfer coding, different
// lengths, another coding than chunked, which we never ask for (RFC 9112, 6.1). Several equal lengths become one.
func frame(method string, h head) (framing, error) {
	f := framing{length: -1}
	codings, lengths := h.header["Transfer-Encoding"], h.header["Content-Length"]
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return f, malformed("both Content-Length and Transfer-Encoding")
	case len(codings) > 0 && (len(codings) > 1 || !strings.EqualFold(codings[0], "chunked") || h.minor == 0):
		return f, malformed("Transfer-Encoding %.40q in HTTP/1.%d", strings.Join(codings, ", "), h.minor)
	case len(lengths) > 0:
		var err error
		if f.length, err = parseLength(lengths); err != nil {
			return f, err
		}
		h.header["Content-Length"] = []string{strconv.FormatInt(f.length, 10)}
	}
	f.chunked = len(codings) > 0
	f.none = method == http.MethodHead || h.status < 200 || h.status == http.StatusNoContent || h.status == http.StatusNotModified
	return f, nil
}

func parseLength(lines []string) (int64, error) {
	all := strings.Join(lines, ",")
	length := int64(-1)
	for s := range strings.SplitSeq(all, ",") {
		s = strings.Trim(s, " \t")
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || !isDigits(s) || length >= 0 && n != length {
			return -1, malformed("Content-Length %.40q", all)
		}
		length = n
	}
	return length, nil
}

// keeps reports whether the connection persists after the answer (RFC 9112, 9.3).
func (h head) keeps() bool {
	if hasToken(h.header["Connection"], "close") {
		return false
	}
	return h.minor > 0 || hasToken(h.header["Connection"], "keep-alive")
}
