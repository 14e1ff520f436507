//go:build e2e

package pgtest

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
)

func TestMain(m *testing.M) { Main(m) }

// query asks a database for one number.
func query(t *testing.T, dsn, sql string) (n int) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if err := conn.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func run(t *testing.T, dsn, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestEachTestHasItsDatabase(t *testing.T) {
	a, b := Start(t), Start(t)
	run(t, a, "create table x ()")
	if n := query(t, b, "select count(*) from pg_class where relname = 'x'"); n != 0 {
		t.Fatal("two databases of Start are one")
	}
}

func TestWritesSurviveStopAndKill(t *testing.T) {
	s := StartOwn(t)
	dsn := NewDatabase(t, s)
	run(t, dsn, "create table x as select 1")
	if err := s.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, dsn, "insert into x values (2)")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.Connect(t.Context(), dsn); err == nil {
		conn.Close(t.Context())
		t.Fatal("a killed server answers")
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := query(t, dsn, "select count(*) from x"); n != 2 {
		t.Fatalf("%d rows, want 2", n)
	}
}

// TestFolderIsContinued opens a cluster again, as a program that was restarted does.
func TestFolderIsContinued(t *testing.T) {
	dir, err := os.MkdirTemp("", "cachesrv-pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := StartServer(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	run(t, s.DSN("postgres"), "create table x as select 1")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err = StartServer(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if n := query(t, s.DSN("postgres"), "select count(*) from x"); n != 1 {
		t.Fatalf("%d rows, want 1", n)
	}
}
