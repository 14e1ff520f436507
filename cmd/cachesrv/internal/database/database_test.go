package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

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

// The database holds what users may not read through the index.
func TestOnlyItsOwnerReadsTheDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := Writer(path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), "CREATE TABLE t (x)"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
