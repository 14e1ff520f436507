package example

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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

func TestExplainPostgres(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&pgconn.PgError{Code: "3D000"}, "createdb"},
		{&pgconn.PgError{Code: "28P01"}, "user and password"},
		{&pgconn.PgError{Code: "28000"}, "pg_hba.conf"},
		{&pgconn.PgError{Code: "42501"}, "GRANT CREATE"},
		{syscall.ECONNREFUSED, "start PostgreSQL"},
		{&net.DNSError{}, "correct the host"},
		{context.DeadlineExceeded, "no answer within"},
	} {
		err := explainPostgres(fmt.Errorf("connect:\n\ta\n\tb: %w", tt.err))
		if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: %q, want %q in one line", tt.err, err, tt.want)
		}
	}
	other := errors.New("other")
	if err := explainPostgres(other); err != other {
		t.Errorf("%v", err)
	}
}

func TestFirstLine(t *testing.T) {
	for text, want := range map[string]string{
		"a": "a", "a\nb": "a …", strings.Repeat("ä", 81): strings.Repeat("ä", 80) + "…", strings.Repeat("ä", 80): strings.Repeat("ä", 80),
	} {
		if got := firstLine(text); got != want {
			t.Errorf("firstLine(%q) = %q, want %q", text, got, want)
		}
	}
}

// TestOneFailedServerStopsAll: nothing goes on half served.
func TestOneFailedServerStopsAll(t *testing.T) {
	var listeners [2]net.Listener
	var servers []server
	for i := range listeners {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners[i] = ln
		servers = append(servers, server{ln, &http.Server{ReadHeaderTimeout: time.Second}})
	}
	_ = listeners[1].Close()
	if err := serveAll(t.Context(), servers); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if conn, err := net.Dial("tcp", listeners[0].Addr().String()); err == nil {
		_ = conn.Close()
		t.Error("the other server goes on")
	}
}
