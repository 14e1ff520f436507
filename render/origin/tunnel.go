package origin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

const (
	// drainTimeout is how long one side of a tunnel may go on when the other has ended.
	drainTimeout = time.Minute
	// tunnelTimeout is how long a tunnel lasts in which neither side says anything: a client may be gone without a word, and
	// each tunnel takes one of MaxConns. Websockets have a ping for this (RFC 6455, 5.5.2).
	tunnelTimeout = 10 * time.Minute
)

// tunnel joins the client's connection with the origin's, which has agreed to switch protocols (RFC 9110, 7.8). It
// lasts until both sides have ended, one has failed, neither has said anything for tunnelTimeout, the request's context ends,
// or the origin is closed.
func (o *Origin) tunnel(w http.ResponseWriter, r *http.Request, b *body) {
	header := b.resp.Header // without hop-by-hop fields
	setHeader(w.Header(), header)
	header = w.Header()
	client, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		o.reject(w, r, http.StatusBadGateway, "this connection can't switch protocols", err)
		return
	}
	defer client.Close()
	cut := func() { _ = client.Close(); _ = b.c.Close() }
	defer context.AfterFunc(o.closing, cut)() // the request's context closes the origin's side, as in every exchange
	if client.SetDeadline(time.Time{}) != nil || b.c.SetDeadline(time.Time{}) != nil {
		return // the one that failed is closed
	}
	if writeSwitch(rw.Writer, header) != nil {
		return
	}
	// Of rw only what it has already: it would take the client's end for that of the request, and end its context.
	early, err := rw.Reader.Peek(rw.Reader.Buffered())
	if err != nil {
		return
	}
	join(client, b.c.Conn, io.MultiReader(bytes.NewReader(early), client), b.c.br, o.tunnelTimeout)
}

// join copies both ways between two connections, of which each is read through a reader of its own, until both have ended,
// one has failed, or none of them has said anything for so long. It does not return before; then both may be open still.
func join(client, server net.Conn, fromClient, fromServer io.Reader, silence time.Duration) {
	cut := func() { _ = client.Close(); _ = server.Close() }
	idle := time.AfterFunc(silence, cut)
	defer idle.Stop()
	ended := make(chan error, 2)
	go func() { ended <- pump(server, heard{fromClient, idle, silence}) }()
	go func() { ended <- pump(client, heard{fromServer, idle, silence}) }()
	if err := <-ended; err != nil {
		cut()
	}
	<-ended
}

// A heard reader puts a timer off with each read.
type heard struct {
	io.Reader
	idle    *time.Timer
	silence time.Duration
}

func (h heard) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.idle.Reset(h.silence)
	}
	return n, err
}

func writeSwitch(w *bufio.Writer, header http.Header) error {
	delete(header, "Content-Length") // RFC 9110, 8.6
	if checkFields(header) != nil {
		return errors.New("malformed header")
	}
	_, _ = w.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n")
	writeFields(w, header)
	_, _ = w.WriteString("\r\n")
	return w.Flush()
}

// pump copies what one side says to the other, and its end. From then on the other has drainTimeout.
func pump(to net.Conn, from io.Reader) error {
	if _, err := io.Copy(to, from); err != nil {
		return err
	}
	half, ok := to.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("can't be closed by halves")
	}
	if err := half.CloseWrite(); err != nil {
		return err
	}
	return to.SetReadDeadline(time.Now().Add(drainTimeout))
}
