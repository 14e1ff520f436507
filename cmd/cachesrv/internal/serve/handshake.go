package serve

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

// maxHandshakes bounds the TLS handshakes under way. When one more begins, the oldest is cut: who is slow makes room, so that
// many who never go on keep nobody out.
const maxHandshakes = 1024

// handshakes is a listener of TLS whose connections have their handshakes behind them, within headerTimeout. net/http would
// do them itself, but then it reads HTTP/1 from the *tls.Conn, with nothing in between; and HTTP/2 it speaks with a *tls.Conn
// only. So those that have agreed on HTTP/2 (ALPN) are passed on as they are, and all others with strict around them. Failed
// ones are passed on, too: net/http fails with them once more, and logs and answers that.
type handshakes struct {
	net.Listener
	config  *tls.Config
	ready   chan net.Conn
	failed  chan error
	open    context.Context // until Close
	close   context.CancelFunc
	first   sync.Once      // Accept or Close
	running sync.WaitGroup // what accepts
	shaking sync.WaitGroup // handshakes, until they are passed on

	mu    sync.Mutex
	under list.List // of context.CancelFunc: cut the handshakes under way, the oldest first
}

func newHandshakes(ln net.Listener, config *tls.Config) *handshakes {
	open, closed := context.WithCancel(context.Background())
	return &handshakes{Listener: ln, config: config, ready: make(chan net.Conn), failed: make(chan error), open: open, close: closed}
}

// Accept starts, when it is first called, what accepts until Close.
func (l *handshakes) Accept() (net.Conn, error) {
	l.first.Do(func() { l.running.Go(l.accept) })
	select {
	case c := <-l.ready:
		return c, nil
	case err := <-l.failed:
		return nil, err
	case <-l.open.Done():
		return nil, net.ErrClosed
	}
}

// Close cuts the handshakes under way, and waits for them to notice.
func (l *handshakes) Close() error {
	l.first.Do(func() {})
	l.close()
	err := l.Listener.Close()
	l.running.Wait()
	l.shaking.Wait()
	return err
}

func (l *handshakes) accept() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				l.shaking.Wait() // whose connections were accepted is answered
			}
			select {
			case l.failed <- err: // net/http decides whether to go on, and when
			case <-l.open.Done():
			}
			if errors.Is(err, net.ErrClosed) || l.open.Err() != nil {
				return
			}
			continue
		}
		ctx, end := l.begin()
		l.shaking.Go(func() { l.shake(ctx, end, c) })
	}
}

// begin makes room for one more handshake: ctx ends when that is to be cut, and end is called when it is over.
func (l *handshakes) begin() (ctx context.Context, end func()) {
	ctx, cut := context.WithTimeout(l.open, headerTimeout)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under.Len() == maxHandshakes {
		l.under.Remove(l.under.Front()).(context.CancelFunc)()
	}
	place := l.under.PushBack(cut)
	return ctx, func() {
		cut()
		l.mu.Lock()
		defer l.mu.Unlock()
		l.under.Remove(place) // does nothing if it has been removed already
	}
}

func (l *handshakes) shake(ctx context.Context, end func(), c net.Conn) {
	secret := tls.Server(c, l.config)
	err := secret.HandshakeContext(ctx)
	end()
	var conn net.Conn = secret
	if err == nil && secret.ConnectionState().NegotiatedProtocol != "h2" {
		conn = strict(secret, false)
	}
	select {
	case l.ready <- conn:
	case <-l.open.Done():
		_ = c.Close()
	}
}
