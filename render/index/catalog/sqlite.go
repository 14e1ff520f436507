package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate"
)

type sqliteDatabase struct {
	sqliteQueryer         // on pool
	write, pool   *sql.DB // pool is for reading
	hooks         *invalidate.SQLiteHooks
}

func (d *sqliteDatabase) migrate(ctx context.Context) error {
	var mode string
	var synchronous int64
	q := sqliteQueryer{d.write}
	if err := errors.Join(get(ctx, q, "PRAGMA journal_mode", nil, &mode), get(ctx, q, "PRAGMA synchronous", nil, &synchronous)); err != nil {
		return err
	}
	const full = 2
	if mode != "wal" || synchronous < full {
		return fmt.Errorf("SQLite has journal_mode %s and synchronous %d: open it with _pragma=journal_mode(WAL), so that readers never wait,"+
			" and synchronous FULL, so that commits survive a power cut", mode, synchronous)
	}
	if err := invalidate.Migrate(ctx, d.write); err != nil {
		return err
	}
	return d.migrateTables(ctx)
}

func (d *sqliteDatabase) migrateTables(ctx context.Context) error {
	find := func(ctx context.Context, q queryer) (version int, err error) {
		var tables int64
		err = get(ctx, q, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'index_state'", nil, &tables)
		if err != nil || tables == 0 {
			return 0, err
		}
		return schemaVersion(ctx, q)
	}
	if version, err := find(ctx, sqliteQueryer{d.write}); err != nil || version == len(schema) {
		return err
	}
	return d.alone(ctx, func(q queryer) error {
		version, err := find(ctx, q)
		if err != nil {
			return err
		}
		return bringUp(ctx, q, version, "text")
	})
}

func (d *sqliteDatabase) alone(ctx context.Context, f func(queryer) error) error {
	// An immediate transaction: others wait here.
	tx, err := patiently(ctx, func() (*sql.Tx, error) { return d.write.BeginTx(ctx, nil) })
	if err != nil {
		return err
	}
	defer tx.Rollback() // after Commit it does nothing
	if err := f(sqliteQueryer{tx}); err != nil {
		return err
	}
	return tx.Commit()
}

func (d *sqliteDatabase) connections() int { return d.pool.Stats().MaxOpenConnections }

// SQLite's code for a lock that another connection has kept for longer than the busy timeout.
const sqliteBusy = 5

// patiently begins a transaction however often SQLite gives up waiting for other processes, until ctx ends.
func patiently[T any](ctx context.Context, begin func() (T, error)) (T, error) {
	for {
		tx, err := begin()
		busy, ok := errors.AsType[interface {
			error
			Code() int
		}](err)
		if !ok || busy.Code()&0xff != sqliteBusy {
			return tx, err
		}
		select {
		case <-ctx.Done():
			return tx, err
		case <-time.After(busyPause):
		}
	}
}

func (d *sqliteDatabase) hook(ctx context.Context, store *cache.Store, log *slog.Logger) (err error) {
	d.hooks, err = invalidate.NewSQLite(ctx, store, d.write, invalidate.Options{Logger: log})
	return err
}

func (d *sqliteDatabase) read(ctx context.Context, f func(queryer) error) error {
	tx, err := d.pool.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return err
	}
	defer tx.Rollback() // nothing to commit
	return f(sqliteQueryer{tx})
}

func (d *sqliteDatabase) begin(ctx context.Context) (transaction, error) {
	tx, err := d.hooks.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return sqliteTransaction{sqliteQueryer{tx}, tx}, nil
}

func (d *sqliteDatabase) close() error {
	var err error
	if d.hooks != nil {
		err = d.hooks.Close()
	}
	return errors.Join(err, d.write.Close(), d.pool.Close())
}

type sqliteTransaction struct {
	sqliteQueryer
	tx *invalidate.SQLiteTx
}

func (t sqliteTransaction) tags(ctx context.Context, tags ...string) error {
	return invalidate.TagsTx(ctx, t.tx, tags...)
}
func (t sqliteTransaction) commit(context.Context) error { return t.tx.Commit() }
func (t sqliteTransaction) rollback()                    { _ = t.tx.Rollback() }

// sqliteQueryer adapts *sql.DB and *sql.Tx.
type sqliteQueryer struct {
	db interface {
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	}
}

func (q sqliteQueryer) query(ctx context.Context, statement string, args ...any) (rows, error) {
	rs, err := q.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	return sqliteRows{rs}, nil
}

func (q sqliteQueryer) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	done, err := q.db.ExecContext(ctx, statement, args...)
	if err != nil {
		return 0, err
	}
	return done.RowsAffected()
}

type sqliteRows struct{ *sql.Rows }

func (r sqliteRows) Close() { _ = r.Rows.Close() } // Err has what matters
