package serve

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSiteHosts(t *testing.T) {
	for _, tt := range []struct {
		addr  string
		names []string
		hosts []string
		here  string
	}{
		{"127.0.0.1:8080", nil, []string{"127.0.0.1:8080", "localhost:8080", "[::1]:8080"}, "127.0.0.1:8080"},
		{"0.0.0.0:80", nil, []string{"127.0.0.1", "localhost", "[::1]"}, "127.0.0.1:80"},
		{"[::]:81", nil, []string{"127.0.0.1:81", "localhost:81", "[::1]:81"}, "127.0.0.1:81"},
		{"192.0.2.7:82", []string{"A.example.", "b.example:9", "[2001:db8::1]"},
			[]string{"a.example", "b.example:9", "[2001:db8::1]", "a.example:82", "[2001:db8::1]:82",
				"192.0.2.7:82", "127.0.0.1:82", "localhost:82", "[::1]:82"}, "192.0.2.7:82"},
	} {
		addr, err := net.ResolveTCPAddr("tcp", tt.addr)
		if err != nil {
			t.Fatal(err)
		}
		if hosts, here := siteHosts(addr, tt.names); !slices.Equal(hosts, tt.hosts) || here != tt.here {
			t.Errorf("siteHosts(%s, %q) = %q, %s\nwant %q, %s", tt.addr, tt.names, hosts, here, tt.hosts, tt.here)
		}
	}
}

// TestOneFailedServerStopsAll: nothing goes on half served.
func TestOneFailedServerStopsAll(t *testing.T) {
	var listeners [2]net.Listener
	var servers []Server
	for i := range listeners {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = ln
		servers = append(servers, newServer(ln, ln, &http.Server{ReadHeaderTimeout: time.Second}))
	}
	_ = listeners[1].Close()
	if err := All(t.Context(), servers...); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if conn, err := net.Dial("tcp", listeners[0].Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the other server goes on")
	}
}

// TestAllWaitsForHandlers: what handlers use can be closed when All has returned.
func TestAllWaitsForHandlers(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	var returned atomic.Bool
	s := newServer(ln, ln, &http.Server{ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Shutdown waits for no hijacked connection, as Close waits for none at all.
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		stop()
		select {
		case <-ended:
			t.Error("All has returned while a handler runs")
		case <-time.After(50 * time.Millisecond): // long enough for All to go wrong
		}
		returned.Store(true)
	})})
	go func() {
		if res, err := http.Get("http://" + ln.Addr().String()); err == nil {
			_ = res.Body.Close()
		}
	}()
	if err := All(ctx, s); err != nil {
		t.Error(err)
	}
	close(ended)
	if !returned.Load() {
		t.Error("a handler still runs")
	}
}

// TestAllStopsAtOnce: while one server waits for a request, the others are stopped, too.
func TestAllStopsAtOnce(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	var servers []Server
	for range 2 {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, newServer(ln, ln, &http.Server{ReadHeaderTimeout: time.Second}))
	}
	stopped := make(chan struct{})
	servers[1].RegisterOnShutdown(func() { close(stopped) })
	servers[0].Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		stop()
		select {
		case <-stopped:
		case <-time.After(stopTimeout / 2):
			t.Error("the second server goes on until the first one has stopped")
		}
	})
	go func() {
		if res, err := http.Get("http://" + servers[0].Listener.Addr().String()); err == nil {
			_ = res.Body.Close()
		}
	}()
	if err := All(ctx, servers...); err != nil {
		t.Error(err)
	}
}

// TestSlowUploadsMoveTheirDeadline: a handler that expects more than the server's timeouts allow gets it through the
// writers that stand around it, and only by asking.
func TestSlowUploadsMoveTheirDeadline(t *testing.T) {
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprint(asks), func(t *testing.T) {
			tcp, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			name := tcp.Addr().String()
			read := make(chan error, 1)
			s := Site(tcp, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if asks {
					c := http.NewResponseController(w)
					if err := errors.Join(c.SetReadDeadline(time.Time{}), c.SetWriteDeadline(time.Time{})); err != nil {
						t.Error(err)
					}
				}
				_, err := io.ReadAll(r.Body)
				read <- err
			}), slog.New(slog.DiscardHandler))
			if s.ReadTimeout != readTimeout || s.WriteTimeout != writeTimeout {
				t.Fatalf("timeouts %v, %v", s.ReadTimeout, s.WriteTimeout)
			}
			s.ReadTimeout, s.WriteTimeout = 30*time.Millisecond, 30*time.Millisecond
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- All(ctx, s) }()
			conn, err := net.Dial("tcp", name)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 2\r\nConnection: close\r\n\r\na", name)
			if asks {
				time.Sleep(100 * time.Millisecond) // longer than the timeouts; more does not make it pass
				fmt.Fprint(conn, "b")
			}
			if err := <-read; (err == nil) != asks {
				t.Errorf("reading the body: %v", err)
			}
			if answer, _ := io.ReadAll(conn); asks && !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
				t.Errorf("answer %q", answer)
			}
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
