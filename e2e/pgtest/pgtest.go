package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// shared is the server of this test binary; it lives while anybody uses it.
var shared struct {
	mu     sync.Mutex
	users  int
	server *Server
}

// databases numbers the databases of this binary.
var databases atomic.Int64

// Main runs the tests of a binary with one server for all of them, started by the first that needs it. Without it,
// Start gives each test a server of its own unless they overlap, which is the same but slower.
func Main(m *testing.M) {
	shared.mu.Lock()
	shared.users++
	shared.mu.Unlock()
	m.Run() // its result becomes the exit code when TestMain returns
	if err := release(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// Start returns the DSN of a fresh database on the binary's shared server, dropped when the test has ended. It fails
// the test when there is no PostgreSQL: a missing server is a broken set-up, not a reason to skip.
func Start(t testing.TB) (dsn string) {
	t.Helper()
	s, err := acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	name := databaseName(t)
	if dsn, err = s.CreateDatabase(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return dsn
}

// StartOwn starts a server for this test alone, which may stop and kill it. It is closed when the test has ended; its
// log is shown if the test has failed.
func StartOwn(t testing.TB) *Server {
	t.Helper()
	s, err := StartServer(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("PostgreSQL's log:\n%s", tail(s.Log()))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// NewDatabase creates a database named after the test and returns its DSN. It lives as long as its server.
func NewDatabase(t testing.TB, s *Server) (dsn string) {
	t.Helper()
	dsn, err := s.CreateDatabase(t.Context(), databaseName(t))
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

func databaseName(t testing.TB) string {
	name := fmt.Sprintf("%.40s_%d", strings.ToLower(t.Name()), databases.Add(1))
	return strings.NewReplacer("/", "_", "#", "_").Replace(name)
}

func acquire(ctx context.Context) (*Server, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.server == nil {
		s, err := StartServer(ctx, "")
		if err != nil {
			return nil, err
		}
		shared.server = s
	}
	shared.users++
	return shared.server, nil
}

// release closes the shared server when its last user has gone.
func release() error {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.users--; shared.users > 0 || shared.server == nil {
		return nil
	}
	s := shared.server
	shared.server = nil
	return s.Close()
}
