// Package serve is what the program's servers have in common: the page store, the listener with its bounds, the names a
// site answers to, rules, the admin listener, and an end that lets requests under way finish.
package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// Bounds of a request; a slow or endless client holds nothing longer, or more. A handler that expects more than fits
// into readTimeout or writeTimeout moves its deadlines on through http.ResponseController.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 16 << 10
	stopTimeout    = 10 * time.Second // for requests under way when the program is asked to stop
	cutTimeout     = 5 * time.Second  // and then, for handlers whose connections were cut to notice it
)

// OpenStore opens the page store of a server.
func OpenStore(ctx context.Context, c conf.Config, log *slog.Logger) (*cache.Store, error) {
	return cache.Open(ctx, cache.Options{
		Dir: c.Dir, Live: c.Live, Plain: c.Plain, MaxBytes: int64(c.MaxBytes), MaxPages: int64(c.MaxPages),
		MinFree: int64(c.MinFree), MemoryBytes: int64(c.Memory), PageMax: int64(c.PageMax), Logger: log,
	})
}

// A Listener is where a site listens, before it has a handler.
type Listener struct {
	net.Listener
	Hosts []string // the names the site answers to; the first one is that in keys
	Base  string   // a URL that leads here from this machine, without the final slash
}

// Listen listens on the address of a site that has the given names.
func Listen(ctx context.Context, c conf.Serve) (*Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return nil, fmt.Errorf("%w: choose another --listen, or stop what uses it", err)
	}
	hosts, here := siteHosts(ln.Addr().(*net.TCPAddr), c.Hosts)
	return &Listener{ln, hosts, "http://" + here}, nil
}

// A Server is a listener and what answers there.
type Server struct {
	net.Listener
	*http.Server
	underway *underway
	cut      context.CancelFunc // ends the contexts of all requests
}

// Site returns the server of a site.
func Site(ln *Listener, handler http.Handler, log *slog.Logger) Server {
	return newServer(strictListener{ln, false}, &http.Server{
		Handler: onlyHosts(ln.Hosts, handler), ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes, ConnState: follow,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	})
}

func newServer(ln net.Listener, s *http.Server) Server {
	u := new(underway)
	s.Handler = u.handler(s.Handler)
	requests, cut := context.WithCancel(context.Background())
	s.BaseContext = func(net.Listener) context.Context { return requests }
	return Server{ln, s, u, cut}
}

// All serves until ctx ends or a server fails, and then stops all of them: requests under way have 10 s to finish,
// before their connections are cut and their contexts end. Then their handlers have 5 s more. When it has returned, the
// listeners are closed, and no handler runs any more, unless the error says that one did not end.
func All(ctx context.Context, servers ...Server) error {
	failed := make(chan error, len(servers))
	for _, s := range servers {
		go func() { failed <- s.Serve(s.Listener) }()
	}
	var errs []error
	running := len(servers)
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
		running--
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	var stopping sync.WaitGroup // all at once: none takes requests, or time, while another one ends
	for _, s := range servers {
		stopping.Go(func() {
			if s.Shutdown(stop) != nil {
				_ = s.Server.Close() // its requests have had their time
			}
			s.cut() // net/http does not tell those that are not reading from their connections
		})
	}
	stopping.Wait()
	for range running {
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
			errs = append(errs, err)
		}
	}
	cut, cancelCut := context.WithTimeout(context.WithoutCancel(ctx), cutTimeout)
	defer cancelCut()
	for _, s := range servers {
		if s.underway.wait(cut) != nil {
			errs = append(errs, fmt.Errorf("a request to %s did not end", s.Listener.Addr()))
		}
	}
	return errors.Join(errs...)
}
