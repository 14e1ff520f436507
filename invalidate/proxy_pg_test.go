//go:build e2e

package invalidate

import (
	"bytes"
	"net"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
)

// A proxy stands between hooks and server and does as told with the next COMMIT that passes.
type proxy struct {
	listener net.Listener
	server   string

	mu   sync.Mutex
	todo func(client, server net.Conn, commit []byte) // nil: pass it on
	open []net.Conn
	all  sync.WaitGroup
}

// newProxy returns a proxy to the server of a DSN, and the configuration of a pool that goes through it.
func newProxy(t *testing.T, dsn string) (*proxy, *pgxpool.Config) {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: l, server: net.JoinHostPort(config.ConnConfig.Host, itoa(int(config.ConnConfig.Port)))}
	config.ConnConfig.Port = uint16(l.Addr().(*net.TCPAddr).Port)
	p.all.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.all.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, conn := range p.open {
			conn.Close()
		}
		p.mu.Unlock()
		p.all.Wait()
	})
	return p, config
}

// atCommit says what to do with the next COMMIT; do has both connections to itself until it returns, and then they
// are closed.
func (p *proxy) atCommit(do func(client, server net.Conn, commit []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.todo = do
}

func (p *proxy) take() (do func(client, server net.Conn, commit []byte)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	do, p.todo = p.todo, nil
	return do
}

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	p.open = append(p.open, client, server)
	p.mu.Unlock()
	p.all.Go(func() { // answers
		defer client.Close()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if _, writeErr := client.Write(buf[:n]); err != nil || writeErr != nil && n == 0 {
				return
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		if bytes.Contains(buf[:n], []byte("commit\x00")) {
			if do := p.take(); do != nil {
				do(client, server, bytes.Clone(buf[:n]))
				return
			}
		}
		if _, err := server.Write(buf[:n]); err != nil {
			return
		}
	}
}
