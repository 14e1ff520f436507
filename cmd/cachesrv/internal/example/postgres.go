package example

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/database"
	"github.com/cachesrv/cachesrv/invalidate"
)

type postgresBook struct {
	pool  *pgxpool.Pool
	hooks *invalidate.PgxHooks
}

const postgresSchema = `CREATE TABLE IF NOT EXISTS cachesrv_example_note (
	id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	text     text NOT NULL,
	revision bigint NOT NULL DEFAULT 1,
	changed  timestamptz NOT NULL DEFAULT clock_timestamp()
)`

// makeTable takes a lock, because two instances that start at once can't create a table at once: PostgreSQL answers
// one of them with an error, even for IF NOT EXISTS.
func makeTable(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('cachesrv_example_note'))"); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, postgresSchema)
		return err
	})
}

func openPostgres(ctx context.Context, store *cache.Store, dsn string, log *slog.Logger) (_ *postgresBook, err error) {
	pool, err := database.Postgres(ctx, dsn)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pool.Close()
		}
	}()
	opening, cancel := context.WithTimeout(ctx, database.OpenTimeout)
	defer cancel()
	if err := makeTable(opening, pool); err != nil {
		return nil, err
	}
	if err := invalidate.Migrate(opening, pool); err != nil {
		return nil, err
	}
	hooks, err := invalidate.NewPgx(ctx, store, pool, invalidate.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return &postgresBook{pool, hooks}, nil
}

func (b *postgresBook) Close() error {
	err := b.hooks.Close()
	b.pool.Close()
	return err
}

func (b *postgresBook) Ping(ctx context.Context) error {
	if err := b.pool.Ping(ctx); err != nil {
		return fmt.Errorf("the database is gone: %w", err)
	}
	return nil
}

const postgresColumns = "id, text, revision, changed"

func scanPostgres(row pgx.CollectableRow) (n Note, err error) {
	err = row.Scan(&n.ID, &n.Text, &n.Revision, &n.Changed)
	n.Changed = n.Changed.UTC()
	return n, err
}

func one(rows pgx.Rows, err error) (Note, error) {
	if err != nil {
		return Note{}, err
	}
	n, err := pgx.CollectExactlyOneRow(rows, scanPostgres)
	if errors.Is(err, pgx.ErrNoRows) {
		err = errNoNote
	}
	return n, err
}

func (b *postgresBook) List(ctx context.Context) ([]Note, error) {
	rows, err := b.pool.Query(ctx, "SELECT "+postgresColumns+" FROM cachesrv_example_note ORDER BY id DESC LIMIT $1", listed)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanPostgres)
}

func (b *postgresBook) Get(ctx context.Context, id int64) (Note, error) {
	return one(b.pool.Query(ctx, "SELECT "+postgresColumns+" FROM cachesrv_example_note WHERE id = $1", id))
}

func (b *postgresBook) Add(ctx context.Context, text string) (Note, error) {
	return b.change(ctx, "INSERT INTO cachesrv_example_note (text) VALUES ($1) RETURNING "+postgresColumns, text)
}

func (b *postgresBook) Edit(ctx context.Context, id int64, text string) (Note, error) {
	return b.change(ctx, "UPDATE cachesrv_example_note SET text = $1, changed = clock_timestamp(), revision = revision + 1"+
		" WHERE id = $2 RETURNING "+postgresColumns, text, id)
}

// change runs a statement that returns the changed note, in a transaction that drops the pages which show it.
func (b *postgresBook) change(ctx context.Context, statement string, args ...any) (Note, error) {
	tx, err := b.hooks.Begin(ctx)
	if err != nil {
		return Note{}, err
	}
	defer tx.Rollback(ctx) // after Commit it does nothing
	n, err := one(tx.Query(ctx, statement, args...))
	if err != nil {
		return Note{}, err
	}
	if err := invalidate.TagsTx(ctx, tx, tagOf(n.ID), allNotes); err != nil {
		return Note{}, err
	}
	return n, tx.Commit(ctx)
}
