package index

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Bounds of an answer that is written by hand.
const (
	maxPhrase     = 300              // bytes
	phraseTimeout = 10 * time.Second // to write it
	lingerTime    = 2 * time.Second  // for a client that still sends to stop
	lingerBytes   = 4 << 20

	// strangerTime is how long whoever has shown no token may go on sending: long enough for a file of some size, too
	// short to hold connections with.
	strangerTime = 30 * time.Second
)

// refuse answers a request that sends something with an error, as PyPI does: the message stands in the body and in the
// reason phrase of the status line, which is what twine prints. The body that is still to come is read first: a client
// that sends doesn't listen, and a connection closed on it would be all it learns. Those who have shown a token have as
// long as an upload may take, others strangerTime. body is nil if nothing has looked at it yet.
func (s *Site) refuse(w http.ResponseWriter, r *http.Request, body *pacedBody, err error) {
	f := s.settle(r, err)
	if body == nil {
		body = newPacedBody(w, r, 0)
	}
	body.most = max(s.mostUpload(), 4*s.o.MaxFile)
	if !body.trusted {
		body.most = s.mostUpload()
		body.endAt(time.Now().Add(strangerTime))
	}
	waits := strings.EqualFold(r.Header.Get("Expect"), "100-continue") && !body.begun // it sends nothing before our answer
	if !waits {
		_, _ = io.Copy(io.Discard, body)
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Connection", "close")
	h.Set("Content-Type", plainText)
	text := f.message + "\n"
	h.Set("Content-Length", strconv.Itoa(len(text)))

	// net/http writes the standard phrase only. HTTP/2 has none: there is nothing to take over then.
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		if errors.Is(err, http.ErrNotSupported) && r.ProtoMajor >= 2 {
			h.Del("Connection")
		}
		w.WriteHeader(f.status)
		_, _ = io.WriteString(w, text)
		return
	}
	defer conn.Close()
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	proto := "HTTP/1.1"
	if !r.ProtoAtLeast(1, 1) {
		proto = "HTTP/1.0"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %03d %s\r\n", proto, f.status, phrase(f.message))
	_ = h.Write(&b) // to a Builder; it keeps CR and LF out of values
	b.WriteString("\r\n")
	if r.Method != http.MethodHead {
		b.WriteString(text)
	}
	_ = conn.SetDeadline(time.Now().Add(phraseTimeout))
	if _, err := io.WriteString(conn, b.String()); err == nil && !body.ended {
		linger(conn)
	}
}

// linger lets a client that is still sending read our answer: closing at once would reset the connection, and the answer
// be lost with it.
func linger(conn net.Conn) {
	if half, ok := conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		_ = conn.SetReadDeadline(time.Now().Add(lingerTime))
		_, _ = io.CopyN(io.Discard, conn, lingerBytes)
	}
}

// phrase makes a reason phrase of a message: one line of printable ASCII. Whatever came from a client can't end the line.
func phrase(message string) string {
	if len(message) > maxPhrase {
		message = message[:maxPhrase-3] + "..."
	}
	line := []byte(strings.ToValidUTF8(message, "?"))
	n := 0
	for _, c := range string(line) { // by character, so that each odd one becomes one question mark
		switch {
		case c == '\n' || c == '\r' || c == '\t':
			line[n] = ' '
		case c < ' ' || c > '~':
			line[n] = '?'
		default:
			line[n] = byte(c)
		}
		n++
	}
	return strings.TrimSpace(string(line[:n]))
}
