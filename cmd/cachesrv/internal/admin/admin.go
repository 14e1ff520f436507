// Package admin is the listener for operators: metrics, health and profiles. It asks nobody who they are, so it
// listens only where no other host can reach it.
package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
)

// checkTimeout bounds all health checks of one request.
const checkTimeout = 2 * time.Second

// A Check returns nil, or why the program can't do its work at the moment.
type Check func(ctx context.Context) error

// Listen opens an admin address: unix:/PATH, which only this user may connect to, or a loopback host:port. A socket
// that a killed run has left is replaced; one that answers is not.
func Listen(ctx context.Context, addr string) (net.Listener, error) {
	if err := conf.CheckAdmin(addr); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	path, isUnix := strings.CutPrefix(addr, "unix:")
	if !isUnix {
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("admin: %w: choose another --admin", err)
		}
		return ln, nil
	}
	if err := removeDeadSocket(ctx, path); err != nil {
		return nil, fmt.Errorf("admin: %w", err)
	}
	// The mode is set before bind, so that there is no moment in which others may connect. (Linux; elsewhere the
	// call fails, and chmod has to do.)
	private := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = syscall.Fchmod(int(fd), 0o600) })
	}}
	ln, err := private.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin: %w: choose another --admin", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = ln.Close()
		return nil, fmt.Errorf("admin: %w", err)
	}
	return ln, nil
}

func removeDeadSocket(ctx context.Context, path string) error {
	st, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if st.Mode()&fs.ModeSocket == 0 {
		return fmt.Errorf("%s exists and is not a socket: choose another --admin", path)
	}
	conn, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return fmt.Errorf("%s is in use by another program: choose another --admin", path)
	}
	if errors.Is(err, syscall.ECONNREFUSED) {
		return os.Remove(path)
	}
	return err
}

// Handler serves /metrics from a registry, /healthz from checks, and /debug/pprof.
func Handler(metrics prometheus.Gatherer, checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	mux.Handle("GET /healthz", health(checks))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return loopbackNames(mux)
}

// health answers 200, or 503 with every reason.
func health(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), checkTimeout)
		defer cancel()
		var errs []error
		for _, check := range checks {
			errs = append(errs, check(ctx))
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		if err := errors.Join(errs...); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, err.Error()+"\n")
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	}
}

// loopbackNames refuses requests made under another host name: a web page in a browser of this machine can have its
// own name resolve to 127.0.0.1, and would read the answers. Over a Unix socket the name says nothing.
func loopbackNames(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); !ok || local.Network() != "unix" {
			name := r.Host
			if host, _, err := net.SplitHostPort(name); err == nil {
				name = host
			}
			ip, err := netip.ParseAddr(strings.Trim(name, "[]"))
			if name != "localhost" && (err != nil || !ip.IsLoopback()) {
				http.Error(w, "ask for localhost, 127.0.0.1 or [::1]", http.StatusMisdirectedRequest)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}
