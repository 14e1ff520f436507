package catalog

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/invalidate"
)

type pgDatabase struct {
	pgQueryer // on pool
	pool      *pgxpool.Pool
	hooks     *invalidate.PgxHooks
	insist    bool // commits survive a crash only if they are told to (synchronous_commit = off)
}

// pgOpenLock is the advisory lock under which the tables are made and changed, and their folder is chosen.
const pgOpenLock = 0x63616368_696e6478 // "cachindx"

func (d *pgDatabase) migrate(ctx context.Context) error {
	if err := invalidate.Migrate(ctx, d.pool); err != nil { // ErrStandby
		return err
	}
	var setting string
	if err := get(ctx, d, "SELECT current_setting('synchronous_commit')", nil, &setting); err != nil {
		return err
	}
	d.insist = setting == "off"
	return d.migrateTables(ctx)
}

func (d *pgDatabase) migrateTables(ctx context.Context) error {
	find := func(ctx context.Context, q queryer) (version int, err error) {
		var tables int64
		// Asking the system's tables, and not to_regclass, shows what others have created just now.
		err = get(ctx, q, `SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = current_schema() AND c.relname = 'index_state'`, nil, &tables)
		if err != nil || tables == 0 {
			return 0, err
		}
		return schemaVersion(ctx, q)
	}
	if version, err := find(ctx, d.pgQueryer); err != nil || version == len(schema) {
		return err
	}
	err := d.alone(ctx, func(q queryer) error {
		version, err := find(ctx, q)
		if err != nil {
			return err
		}
		return bringUp(ctx, q, version, `text COLLATE "C"`) // ordered by bytes, as in SQLite
	})
	if err != nil {
		return fmt.Errorf("make the tables (the role needs CREATE on the first schema of its search_path): %w", err)
	}
	return nil
}

func (d *pgDatabase) alone(ctx context.Context, f func(queryer) error) error {
	return pgx.BeginTxFunc(ctx, d.pool, pgWrites, func(tx pgx.Tx) error {
		q := pgQueryer{tx}
		if _, err := q.exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(pgOpenLock)); err != nil {
			return err
		}
		if err := d.makeSure(ctx, q); err != nil {
			return err
		}
		return f(q)
	})
}

// makeSure makes a transaction one whose commit survives a crash: files follow what is committed.
func (d *pgDatabase) makeSure(ctx context.Context, q queryer) error {
	if !d.insist {
		return nil
	}
	_, err := q.exec(ctx, "SET LOCAL synchronous_commit = local")
	return err
}

func (d *pgDatabase) connections() int { return int(d.pool.Config().MaxConns) }

func (d *pgDatabase) hook(ctx context.Context, store *cache.Store, log *slog.Logger) (err error) {
	d.hooks, err = invalidate.NewPgx(ctx, store, d.pool, invalidate.Options{Logger: log})
	return err
}

// How transactions are begun, whatever the database's defaults are. A writer that has waited for the lock sees what
// the one before it has committed; a reader sees one moment.
var (
	pgWrites = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	pgReads  = pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
)

func (d *pgDatabase) read(ctx context.Context, f func(queryer) error) error {
	return pgx.BeginTxFunc(ctx, d.pool, pgReads, func(tx pgx.Tx) error { return f(pgQueryer{tx}) })
}

func (d *pgDatabase) begin(ctx context.Context) (transaction, error) {
	tx, err := d.hooks.BeginTx(ctx, pgWrites)
	if err != nil {
		return nil, err
	}
	t := pgTransaction{pgQueryer{tx}, tx}
	if err := d.makeSure(ctx, t); err != nil {
		t.rollback()
		return nil, err
	}
	return t, nil
}

func (d *pgDatabase) close() (err error) {
	if d.hooks != nil {
		err = d.hooks.Close()
	}
	d.pool.Close()
	return err
}

type pgTransaction struct {
	pgQueryer
	tx *invalidate.PgxTx
}

func (t pgTransaction) tags(ctx context.Context, tags ...string) error {
	return invalidate.TagsTx(ctx, t.tx, tags...)
}

func (t pgTransaction) commit(ctx context.Context) error { return t.tx.Commit(ctx) }

func (t pgTransaction) rollback() {
	ctx, cancel := context.WithTimeout(context.Background(), endTimeout)
	defer cancel()
	_ = t.tx.Rollback(ctx) // it closes a connection that can't
}

// pgQueryer adapts a pool and a transaction.
type pgQueryer struct {
	db interface {
		Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
		Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	}
}

func (q pgQueryer) query(ctx context.Context, statement string, args ...any) (rows, error) {
	return q.db.Query(ctx, statement, args...)
}

func (q pgQueryer) exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := q.db.Exec(ctx, statement, args...)
	return tag.RowsAffected(), err
}
