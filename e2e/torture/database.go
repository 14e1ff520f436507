package torture

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver
)

// A Database is the Source of our test program: its own database, asked directly, so that it answers while the program
// is dead too.
type Database struct {
	DSN string // postgres://… or the path of an SQLite database
}

// IsPostgres tells what the DSN names.
func (d Database) IsPostgres() bool { return strings.HasPrefix(d.DSN, "postgres://") }

// Versions reads the table that the program keeps.
func (d Database) Versions(ctx context.Context) (versions []int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	db, err := d.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	rows, err := db.QueryContext(ctx, `SELECT version FROM page ORDER BY number`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var v int64
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		versions = append(versions, v)
	}
	return versions, rows.Err()
}

// Open opens it.
func (d Database) Open() (*sql.DB, error) {
	if !d.IsPostgres() {
		return sql.Open("sqlite", "file:"+d.DSN+"?_pragma=busy_timeout(10000)")
	}
	config, err := pgx.ParseConfig(d.DSN)
	if err != nil {
		return nil, fmt.Errorf("database of the target: %w", err)
	}
	return stdlib.OpenDB(*config), nil
}
