package serve

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/conf"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/systemd"
)

// TestAlive: a probe is answered by what serves, without the site hearing of it; not by a loop that no longer accepts, nor by a
// store that does not answer.
func TestAlive(t *testing.T) {
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	log := slog.New(slog.DiscardHandler)
	for name, serve := range map[string]func(net.Listener, http.Handler) Server{
		"short":   func(ln net.Listener, h http.Handler) Server { return Site(ln, h, log) },
		"streams": func(ln net.Listener, h http.Handler) Server { return Stream(ln, nil, h, log) },
		"TLS": func(ln net.Listener, h http.Handler) Server {
			folder := t.TempDir()
			cert, key := filepath.Join(folder, "cert"), filepath.Join(folder, "key")
			certPEM, keyPEM := pair(t, "site.example")
			if err := errors.Join(os.WriteFile(cert, certPEM, 0o600), os.WriteFile(key, keyPEM, 0o600)); err != nil {
				t.Fatal(err)
			}
			c, err := LoadCertificate(cert, key, log)
			if err != nil {
				t.Fatal(err)
			}
			return Stream(ln, c, h, log)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := Listen(t.Context(), conf.Serve{Listen: "127.0.0.1:0"}, Process{})
			if err != nil {
				t.Fatal(err)
			}
			asked := make(chan string, 10)
			s := l.Servers(func(ln net.Listener) Server {
				return serve(ln, AnswerProbes(store, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Host })))
			})[0]
			soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			if s.alive(soon) == nil {
				t.Error("nothing accepts, and it is alive")
			}
			cancel()
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- All(ctx, s) }()
			for range 3 {
				if err := s.alive(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			// Others' connections are no probes, whatever they say.
			if name != "TLS" {
				req, err := http.NewRequest("GET", l.Base, nil)
				if err != nil {
					t.Fatal(err)
				}
				req.Host = "watchdog.invalid"
				res, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				_ = res.Body.Close()
				if got := <-asked; got != "watchdog.invalid" {
					t.Error(got)
				}
			}
			if len(asked) != 0 {
				t.Error("the site heard of a probe")
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if s.alive(t.Context()) == nil {
				t.Error("it has stopped, and is alive")
			}
		})
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAliveNeedsHandler: what hangs behind the accept loop is noticed.
func TestAliveNeedsHandler(t *testing.T) {
	l, err := Listen(t.Context(), conf.Serve{Listen: "127.0.0.1:0"}, Process{})
	if err != nil {
		t.Fatal(err)
	}
	hold := make(chan struct{})
	s := Site(l.sockets[0], http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hold }), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- All(ctx, s) }()
	soon, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if s.alive(soon) == nil {
		t.Error("the handler hangs, and it is alive")
	}
	close(hold)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestInherited: a socket that was passed is served, under its own address and names; a setting that says otherwise is refused.
func TestInherited(t *testing.T) {
	given := func(key string) bool { return key == "listen" }
	path := filepath.Join(t.TempDir(), "s")
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := Process{Sockets: systemd.Sockets{systemd.Site: {unix, tcp}, systemd.Admin: {unix}}, Given: given}
	if _, err := Listen(t.Context(), conf.Serve{Listen: "127.0.0.1:1"}, p); err == nil || !strings.Contains(err.Error(), "listens on unix:"+path+", "+tcp.Addr().String()) {
		t.Error(err)
	}
	l, err := Listen(t.Context(), conf.Serve{Listen: tcp.Addr().String(), Hosts: []string{"a.example"}}, p)
	if err != nil {
		t.Fatal(err)
	}
	if l.Hosts[0] != "a.example" || l.Base != "http://"+tcp.Addr().String() || len(l.Ports) != 1 {
		t.Errorf("%+v", l)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	p.Given = nil
	l, err = Listen(t.Context(), conf.Serve{Listen: "127.0.0.1:8080"}, Process{Sockets: systemd.Sockets{systemd.Site: {unix}}})
	if err != nil || strings.Join(l.Hosts, " ") != "localhost 127.0.0.1 [::1]" {
		t.Errorf("%+v, %v", l, err)
	}
	if _, err := listenAdmin(t.Context(), "127.0.0.1:1", p); err == nil || !strings.Contains(err.Error(), "unix:"+path) {
		t.Error(err)
	}
	if ln, err := listenAdmin(t.Context(), "unix:"+path, p); err != nil || ln != unix {
		t.Error(err)
	}
	open, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if _, err := listenAdmin(t.Context(), "", Process{Sockets: systemd.Sockets{systemd.Admin: {open}}}); err == nil || !strings.Contains(err.Error(), "loopback") {
		t.Error(err)
	}
}

// TestLeaving: who keeps a connection is told to make another one, and has the time for that.
func TestLeaving(t *testing.T) {
	l, err := Listen(t.Context(), conf.Serve{Listen: "127.0.0.1:0"}, Process{})
	if err != nil {
		t.Fatal(err)
	}
	s := Site(l.sockets[0], http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "x") }), slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- all(ctx, time.Minute, []Server{s}) }()
	c := &http.Client{Transport: &http.Transport{}}
	ask := func() bool {
		res, err := c.Get(l.Base)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		return res.Close
	}
	if ask() {
		t.Error("the connection is not kept")
	}
	stop()
	for !ask() { // on the connection that is there: no other can be made
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
