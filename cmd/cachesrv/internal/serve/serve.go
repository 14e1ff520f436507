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
	settle := time.Duration(c.Settle)
	if settle == 0 {
		settle = -1 // none, whatever the folder had before
	}
	return cache.Open(ctx, cache.Options{
		Dir: c.Dir, Live: c.Live, Plain: c.Plain, MaxBytes: int64(c.MaxBytes), MaxPages: int64(c.MaxPages),
		MinFree: int64(c.MinFree), MemoryBytes: int64(c.Memory), PageMax: int64(c.PageMax), Settle: settle, Logger: log,
	})
}

// A Server is a listener and what answers there.
type Server struct {
	net.Listener // what is served: connections of socket, made strict
	*http.Server
	socket   net.Listener
	secret   bool // it speaks TLS
	underway *underway
	leaving  *leaving
	cut      context.CancelFunc // ends the contexts of all requests
}

// Site returns the server of a site whose requests and answers are short.
func Site(ln net.Listener, handler http.Handler, log *slog.Logger) Server {
	return newServer(ln, strictListener{ln, false}, &http.Server{
		Handler: handler, ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	})
}

func newServer(socket, ln net.Listener, s *http.Server) Server {
	u, l := new(underway), new(leaving)
	s.Handler = u.handler(l.handler(s.Handler))
	requests, cut := context.WithCancel(context.Background())
	s.BaseContext = func(net.Listener) context.Context { return requests }
	s.ConnContext = noteProbe
	s.ConnState = func(c net.Conn, state http.ConnState) {
		follow(c, state)
		l.follow(state)
	}
	return Server{ln, s, socket, false, u, l, cut}
}

// All serves until ctx ends or a server fails, and then stops all of them: requests under way have 10 s to finish,
// before their connections are cut and their contexts end. Then their handlers have 5 s more. When it has returned, the
// listeners are closed, and no handler runs any more, unless the error says that one did not end.
func All(ctx context.Context, servers ...Server) error { return all(ctx, 0, servers) }

// all is All for servers whose sockets others go on serving (farewell above 0): clients that keep their connections are told to
// make new ones, for so long, before those are closed under them.
func all(ctx context.Context, farewell time.Duration, servers []Server) error {
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
	// First no more connections. When Serve has returned, http.Server knows of all that were accepted.
	accepted := time.NewTimer(headerTimeout + time.Second) // TLS handshakes have the former
	defer accepted.Stop()
	for _, s := range servers {
		if farewell > 0 {
			_ = s.socket.Close()
		} else {
			_ = s.Listener.Close() // cuts handshakes
		}
	}
	for waiting := true; waiting && running > 0; {
		select {
		case err := <-failed:
			running--
			if !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		case <-accepted.C:
			waiting = false
		}
	}
	var leaving sync.WaitGroup
	for _, s := range servers {
		leaving.Go(func() { s.leaving.wait(farewell) })
	}
	leaving.Wait()
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
		if err := <-failed; !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
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
