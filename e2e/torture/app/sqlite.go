package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	_ "modernc.org/sqlite" // the driver

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate"
)

// sqlite is a database in a file, with hooks on database/sql.
type sqlite struct {
	db    *sql.DB
	hooks *invalidate.SQLiteHooks
}

func openSQLite(ctx context.Context, path string, pages int, store timed) (database, error) {
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)")
	if err != nil {
		return nil, err
	}
	fail := func(err error) (database, error) { return nil, errors.Join(err, db.Close()) }
	if err := invalidate.Migrate(ctx, db); err != nil {
		return fail(err)
	}
	if _, err := db.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS page (number integer PRIMARY KEY, version integer NOT NULL)`); err != nil {
		return fail(err)
	}
	for page := range pages {
		if _, err := db.ExecContext(ctx, `INSERT INTO page VALUES (?, 1) ON CONFLICT DO NOTHING`, page); err != nil {
			return fail(err)
		}
	}
	hooks, err := invalidate.NewSQLite(ctx, store, db, invalidate.Options{})
	if err != nil {
		return fail(err)
	}
	return &sqlite{db, hooks}, nil
}

func (s *sqlite) version(ctx context.Context, page int) (version int64, err error) {
	err = s.db.QueryRowContext(ctx, `SELECT version FROM page WHERE number = ?`, page).Scan(&version)
	return version, err
}

func (s *sqlite) commit(ctx context.Context, page int, sel cache.Selection) (version int64, err error) {
	const raise = `UPDATE page SET version = version + 1 WHERE number = ? RETURNING version`
	if sel.Empty() {
		err := s.db.QueryRowContext(ctx, raise, page).Scan(&version)
		return version, err
	}
	tx, err := s.hooks.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if err := tx.QueryRowContext(ctx, raise, page).Scan(&version); err != nil {
		return 0, err
	}
	if err := invalidate.SelectTx(ctx, tx, sel); err != nil {
		return 0, err
	}
	if err := tx.Commit(); err != nil {
		return 0, fmt.Errorf("commit of page %d: %w", page, err)
	}
	return version, nil
}

func (s *sqlite) close() error { return errors.Join(s.hooks.Close(), s.db.Close()) }
