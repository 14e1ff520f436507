package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/admin"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/systemd"
	"github.com/cachesrv/cachesrv/invalidate/purge"
)

// Admin returns the server for operators, listening, or none for the address "" without an inherited socket. p is what is purged
// over HTTP.
func Admin(ctx context.Context, addr string, from Process, p *Purging, checks ...admin.Check) ([]Server, error) {
	ln, err := listenAdmin(ctx, addr, from)
	if ln == nil || err != nil {
		return nil, err
	}
	api, err := p.api()
	if err != nil {
		_ = ln.Close()
		return nil, err
	}
	checks = append([]admin.Check{serving(p.Store)}, checks...)
	metrics := admin.NewRegistry(p.Store.Stats, &p.counts)
	return []Server{newServer(ln, ln, &http.Server{
		Handler:           admin.Mount(admin.Handler(metrics, checks...), purge.Path, api),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	})}, nil
}

func listenAdmin(ctx context.Context, addr string, from Process) (net.Listener, error) {
	inherited := from.Sockets[systemd.Admin]
	switch {
	case len(inherited) == 0 && addr == "":
		return nil, nil
	case len(inherited) == 0:
		return admin.Listen(ctx, addr)
	case addr != "" && !systemd.Matches(inherited, addr):
		return nil, fmt.Errorf("admin is %s, and the inherited socket listens on %s: leave admin out, or make it and ListenStream= the same",
			addr, systemd.Describe(inherited))
	}
	if tcp, ok := inherited[0].Addr().(*net.TCPAddr); ok && !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("the inherited socket for operators listens on %s, which others may reach, and nobody is asked who they are: use a loopback address or a Unix socket", tcp)
	}
	return inherited[0], nil
}

// serving says why nothing is served from the cache, if so.
func serving(store *cache.Store) admin.Check {
	return func(context.Context) error {
		if reason, fenced := store.FencedBy(); fenced {
			return fmt.Errorf("the cache is fenced: %s", reason)
		}
		if !store.Stats().Serving {
			return errors.New("this program does not serve from the cache: see its log")
		}
		if _, err := os.Lstat(store.Live()); err != nil {
			return fmt.Errorf("the live link is gone, and with it every hit: %w: have it made again: cachesrv fence off --dir %s", err, store.Dir())
		}
		return nil
	}
}
