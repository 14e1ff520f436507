// Package pgtest runs private PostgreSQL servers for tests: a cluster of its own in a folder of its own, reachable
// on 127.0.0.1 only, gone when its owner is.
//
// In a test, Start gives the DSN of a fresh database:
//
//	func TestMain(m *testing.M) { pgtest.Main(m) } // optional: one server for the whole binary
//
//	func TestX(t *testing.T) {
//		pool, err := pgxpool.New(ctx, pgtest.Start(t))
//
// A test that stops or kills its server takes one of its own with StartOwn; a program that is no test uses StartServer.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ErrMissing: there is no PostgreSQL server installed here.
var ErrMissing = errors.New("no PostgreSQL server found (Debian and Ubuntu: apt-get install postgresql; " +
	"needs initdb and postgres, version 15 or newer, in PATH, in pg_config --bindir or in /usr/lib/postgresql/*/bin)")

// minVersion is the oldest major version the tests are meant for.
const minVersion = 15

// Bounds of a server's life. Each is generous: they end a hang, not a slow machine.
const (
	initTimeout  = 60 * time.Second
	startTimeout = 60 * time.Second
	stopTimeout  = 30 * time.Second
)

// A Server is one PostgreSQL cluster. Its port, password and contents survive Stop, Kill and Start. Its methods may
// be called concurrently.
type Server struct {
	bin      string // the folder of initdb and postgres
	dir      string // holds data/, log and password
	ownDir   bool   // dir was made by us: Close removes it
	port     int
	password string
	identity *identity // whom the server runs as; nil: us

	mu     sync.Mutex
	child  *os.Process   // nil while stopped
	exited chan struct{} // closed when child is gone
}

// StartServer starts a server on a cluster in dir, which it creates if dir is missing or empty; otherwise it
// continues the one it finds there. With an empty dir it makes a temporary folder that Close removes. The server
// dies with the calling program. ctx bounds the start only. When the program is root, which PostgreSQL refuses to be,
// the server runs as the user postgres, who must be able to reach dir (t.TempDir() is closed to others).
func StartServer(ctx context.Context, dir string) (*Server, error) {
	s := &Server{dir: dir}
	var err error
	if s.bin, err = findBinaries(ctx); err != nil {
		return nil, err
	}
	if s.identity, err = unprivileged(); err != nil {
		return nil, err
	}
	if dir == "" {
		if s.dir, err = os.MkdirTemp("", "cachesrv-pg-"); err != nil {
			return nil, fmt.Errorf("pgtest: %w", err)
		}
		s.ownDir = true
	}
	if err := s.prepare(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	// Another program may take the port between choosing and binding it: choose again.
	for try := 1; ; try++ {
		s.port = freePort()
		if err = s.Start(ctx); err == nil {
			return s, nil
		}
		if try == 5 || ctx.Err() != nil {
			return nil, errors.Join(err, s.Close())
		}
	}
}

// DSN returns the URL of a database, which need not exist; "postgres" does.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable", s.password, s.port, database)
}

// CreateDatabase creates an empty database and returns its DSN. The name is quoted.
func (s *Server) CreateDatabase(ctx context.Context, name string) (dsn string, err error) {
	return s.DSN(name), s.admin(ctx, "create database "+pgx.Identifier{name}.Sanitize())
}

// DropDatabase drops a database and ends the sessions in it.
func (s *Server) DropDatabase(ctx context.Context, name string) error {
	return s.admin(ctx, "drop database if exists "+pgx.Identifier{name}.Sanitize()+" with (force)")
}

// admin runs one statement in the database "postgres".
func (s *Server) admin(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.DSN("postgres"))
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("pgtest: %s: %w", sql, err)
	}
	return nil
}

// Start starts a stopped server and returns when it accepts connections; it recovers first if it was killed. Starting
// a running one does nothing.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.child != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	defer log.Close()
	settings := []string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.port), "unix_socket_directories=",
		"fsync=off", "full_page_writes=off", // the machine stays up; processes may die, and their writes remain
		"max_connections=200", "shared_buffers=32MB", "autovacuum_naptime=10min",
	}
	args := []string{"-D", s.dataDir()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	cmd.SysProcAttr = attributes(s.identity)

	// The server is told to die with its parent, and Linux takes the thread that forked it for the parent: that
	// thread must stay until the server has gone.
	started, exited := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(exited)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended stands in the log
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.child, s.exited = cmd.Process, exited
	if err := s.waitReady(ctx); err != nil {
		_ = s.signal(syscall.SIGKILL)
		return err
	}
	return nil
}

// Stop ends the server in an orderly way (fast shutdown): sessions are ended, everything is written. Stopping a
// stopped one does nothing.
func (s *Server) Stop() error { return s.end(syscall.SIGINT) }

// Kill ends the server at once (immediate shutdown), as a crash of it would: no session is told anything, the next
// Start recovers from the log.
func (s *Server) Kill() error { return s.end(syscall.SIGQUIT) }

// Restart is Stop and Start.
func (s *Server) Restart(ctx context.Context) error {
	return errors.Join(s.Stop(), s.Start(ctx))
}

// Close kills the server, and removes its folder if StartServer made it.
func (s *Server) Close() error {
	err := s.Kill()
	if s.ownDir {
		err = errors.Join(err, os.RemoveAll(s.dir))
	}
	return err
}

// Running tells whether the server was started and not stopped or killed since. (It may have died on its own.)
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.child != nil
}

// Log returns the server's log so far, for failure messages.
func (s *Server) Log() string {
	text, err := os.ReadFile(s.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (s *Server) dataDir() string { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *Server) end(signal os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.signal(signal)
}

// signal ends the child and waits for that. The caller holds mu.
func (s *Server) signal(signal os.Signal) error {
	if s.child == nil {
		return nil
	}
	child, exited := s.child, s.exited
	s.child, s.exited = nil, nil
	if err := child.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("pgtest: signal the server: %w", err)
	}
	select {
	case <-exited:
		return nil
	case <-time.After(stopTimeout):
		_ = child.Kill()
		<-exited
		return fmt.Errorf("pgtest: the server did not end within %v of %v; killed it", stopTimeout, signal)
	}
}

// waitReady watches postmaster.pid as pg_ctl does: its eighth line is the server's state.
func (s *Server) waitReady(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-s.exited:
			s.child = nil
			return fmt.Errorf("pgtest: the server ended at its start:\n%s", tail(s.Log()))
		case <-ctx.Done():
			return fmt.Errorf("pgtest: the server is not ready: %w:\n%s", ctx.Err(), tail(s.Log()))
		case <-tick.C:
		}
		text, err := os.ReadFile(filepath.Join(s.dataDir(), "postmaster.pid"))
		lines := strings.Split(string(text), "\n")
		if err == nil && len(lines) >= 8 && lines[0] == strconv.Itoa(s.child.Pid) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

// prepare makes the cluster, or reads the password of the one that is there.
func (s *Server) prepare(ctx context.Context) error {
	passwordFile := filepath.Join(s.dir, "password")
	if _, err := os.Stat(filepath.Join(s.dataDir(), "PG_VERSION")); err == nil {
		text, err := os.ReadFile(passwordFile)
		if err != nil {
			return fmt.Errorf("pgtest: %s holds a cluster that is not ours: %w", s.dir, err)
		}
		s.password = string(text)
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	s.password = rand.Text()
	if err := os.WriteFile(passwordFile, []byte(s.password), 0o600); err != nil {
		return fmt.Errorf("pgtest: %w", err)
	}
	if s.identity != nil {
		if err := errors.Join(s.identity.own(s.dir), s.identity.own(passwordFile)); err != nil {
			return fmt.Errorf("pgtest: %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, initTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "-D", s.dataDir(), "-U", "postgres",
		"-A", "scram-sha-256", "--pwfile="+passwordFile, "-E", "UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.SysProcAttr = s.dir, attributes(s.identity)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgtest: initdb in %s (may the user postgres enter it?): %w\n%s", s.dir, err, out)
	}
	return nil
}

// An identity is whom a server runs as when the program is root, which PostgreSQL refuses to be.
type identity struct{ uid, gid uint32 }

func (i *identity) own(path string) error { return os.Chown(path, int(i.uid), int(i.gid)) }

func unprivileged() (*identity, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("pgtest: PostgreSQL does not run as root, and there is no user to run it: %w", err)
	}
	uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
	gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("pgtest: user %s: %w", u.Username, err)
	}
	return &identity{uint32(uid), uint32(gid)}, nil
}

// findBinaries returns the folder of the newest installed server.
func findBinaries(ctx context.Context) (string, error) {
	var candidates []string
	if out, err := exec.CommandContext(ctx, "pg_config", "--bindir").Output(); err == nil {
		candidates = append(candidates, strings.TrimSpace(string(out)))
	}
	if path, err := exec.LookPath("postgres"); err == nil {
		candidates = append(candidates, filepath.Dir(path))
	}
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/pgsql-*/bin"} {
		found, _ := filepath.Glob(pattern) // its only error is a bad pattern
		candidates = append(candidates, found...)
	}
	best, newest := "", 0
	for _, dir := range candidates {
		if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		if v := majorVersion(ctx, filepath.Join(dir, "postgres")); v > newest {
			best, newest = dir, v
		}
	}
	switch {
	case best == "":
		return "", fmt.Errorf("pgtest: %w", ErrMissing)
	case newest < minVersion:
		return "", fmt.Errorf("pgtest: %w: the newest here is %d, in %s", ErrMissing, newest, best)
	}
	return best, nil
}

// majorVersion reads "postgres (PostgreSQL) 15.14 (Debian …)"; 0 when that fails.
func majorVersion(ctx context.Context, postgres string) int {
	out, err := exec.CommandContext(ctx, postgres, "--version").Output()
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(out), ") ")
	digits := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	v, _ := strconv.Atoi(digits)
	return v
}

// freePort picks a port below the range from which the system hands out clients' ports, so that nobody takes it
// while the server is stopped.
func freePort() int {
	for {
		port := 20000 + mathrand.IntN(10000)
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			_ = l.Close()
			return port
		}
	}
}

func tail(log string) string {
	const limit = 2000
	if len(log) > limit {
		log = "…" + log[len(log)-limit:]
	}
	return log
}
