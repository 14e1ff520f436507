package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// AnswerProbes answers probes by looking a page up, and nothing else: they are in no way requests to the site. That no page has
// that name, or that the cache is fenced, is as good as a page: who does not come back from looking is not able to serve.
func AnswerProbes(store *cache.Store, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !probes(r) {
			next.ServeHTTP(w, r)
			return
		}
		hit, err := store.Lookup(key.Key{Host: "watchdog.invalid", Path: "/"}) // a name that nobody has (RFC 6761 6.4)
		switch {
		case err == nil:
			_ = hit.Close()
		case !errors.Is(err, cache.ErrMiss):
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
}

// alive asks a server for an answer over a connection that its accept loop has to accept: through TLS, HTTP and the store, as for
// a client. It returns nil when the answer has come.
func (s Server) alive(ctx context.Context) error {
	p, ok := s.socket.(*probed)
	if !ok {
		return nil // that of operators
	}
	wire, err := p.probe()
	if err != nil {
		return err
	}
	defer wire.Close()
	defer context.AfterFunc(ctx, func() { _ = wire.SetDeadline(past()) })()
	c := wire
	if s.secret {
		c = tls.Client(wire, &tls.Config{InsecureSkipVerify: true}) // it is ours, whatever its name
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: watchdog.invalid\r\nConnection: close\r\n\r\n"); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("%s: %s", res.Status, why)
	}
	return nil
}

// watch tells systemd, twice within each of its periods, that the program is alive, as long as it is. Each look has half a period.
func (r *running) watch(ctx context.Context, period time.Duration) {
	every := time.NewTicker(period / 2)
	defer every.Stop()
	for status := ""; ; {
		look, cancel := context.WithTimeout(ctx, period/2)
		err := r.alive(look)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			r.Logger.Error("not able to serve: systemd is not told that we are alive", "err", err)
		default:
			r.notify.Alive()
			if now := r.status(); now != status {
				r.notify.Status(now)
				status = now
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (r *running) alive(ctx context.Context) error {
	for _, s := range r.servers {
		if err := s.alive(ctx); err != nil {
			return fmt.Errorf("%s does not answer a probe: %w", s.socket.Addr(), err)
		}
	}
	return nil
}

// status is what systemctl shows: where we serve, and why past the cache, if so.
func (r *running) status() string {
	if reason, fenced := r.Store.FencedBy(); fenced {
		return fmt.Sprintf("%s/, past the cache: %s", r.Listener.Base, reason)
	}
	return r.Listener.Base + "/"
}
