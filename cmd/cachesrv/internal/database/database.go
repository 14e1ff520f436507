// Package database opens the databases of the program's sites, in the modes that the commit hooks need, and says in
// people's words why one can't be reached.
package database

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SQLite is the name of the database that is a file in the site's folder.
const SQLite = "sqlite"

// OpenTimeout bounds the first contact with a database.
const OpenTimeout = 10 * time.Second

// Postgres returns a pool for a URL. It connects when first used, and to a primary only: a page must not be rendered
// from a replica's past.
func Postgres(ctx context.Context, dsn string) (*pgxpool.Pool, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if c.ConnConfig.ValidateConnect == nil {
		c.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	}
	return pgxpool.NewWithConfig(ctx, c)
}

// Explain adds to an error of a first contact which database it is about and, for PostgreSQL, what to do. where is a
// path or a URL; a password in it is not shown.
func Explain(where string, err error) error {
	if !strings.Contains(where, "://") {
		return fmt.Errorf("database %s: %w", where, err)
	}
	return fmt.Errorf("database %s: %w", redacted(where), explainPostgres(err))
}

// redacted is a DSN that may be shown.
func redacted(dsn string) string {
	u, err := url.Parse(dsn)
	if err != nil {
		return "(not shown)"
	}
	return u.Redacted()
}

// explainPostgres adds what to do.
func explainPostgres(err error) error {
	var server *pgconn.PgError
	var dns *net.DNSError
	todo := ""
	switch {
	case errors.As(err, &server) && server.Code == "3D000":
		todo = "create the database (createdb), or correct --db (CACHESRV_DB)"
	case errors.As(err, &server) && (server.Code == "28P01" || server.Code == "28000"):
		todo = "correct user and password in --db (CACHESRV_DB), or pg_hba.conf"
	case errors.As(err, &server) && server.Code == "42501":
		todo = "let the user create tables: GRANT CREATE ON SCHEMA public and ON DATABASE"
	case errors.Is(err, syscall.ECONNREFUSED):
		todo = "start PostgreSQL, or correct host and port in --db (CACHESRV_DB)"
	case errors.As(err, &dns):
		todo = "correct the host in --db (CACHESRV_DB)"
	case errors.Is(err, context.DeadlineExceeded):
		todo = fmt.Sprintf("there was no answer within %v; check host and port in --db (CACHESRV_DB)", OpenTimeout)
	default:
		return err
	}
	// pgx lists the addresses it has tried in lines of their own.
	return fmt.Errorf("%s: %s", strings.ReplaceAll(err.Error(), "\n\t", " "), todo)
}
