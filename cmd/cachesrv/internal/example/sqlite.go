package example

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cmd/cachesrv/internal/database"
	"github.com/cachesrv/cachesrv/invalidate"
)

type sqliteBook struct {
	db    *sql.DB
	hooks *invalidate.SQLiteHooks
}

const sqliteSchema = `CREATE TABLE IF NOT EXISTS note (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	text     TEXT NOT NULL,
	revision INTEGER NOT NULL DEFAULT 1,
	changed  INTEGER NOT NULL -- microseconds since 1970
) STRICT`

func openSQLite(ctx context.Context, store *cache.Store, path string, log *slog.Logger) (_ *sqliteBook, err error) {
	db, err := database.Writer(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = db.Close()
		}
	}()
	opening, cancel := context.WithTimeout(ctx, database.OpenTimeout)
	defer cancel()
	if _, err := db.ExecContext(opening, sqliteSchema); err != nil {
		return nil, fmt.Errorf("create the table note: %w: move the file away if it is not ours", err)
	}
	if err := invalidate.Migrate(opening, db); err != nil {
		return nil, err
	}
	hooks, err := invalidate.NewSQLite(ctx, store, db, invalidate.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	return &sqliteBook{db, hooks}, nil
}

func (b *sqliteBook) Close() error {
	return errors.Join(b.hooks.Close(), b.db.Close())
}

func (b *sqliteBook) Ping(ctx context.Context) error {
	if _, err := b.db.ExecContext(ctx, "SELECT 1 FROM note LIMIT 1"); err != nil {
		return fmt.Errorf("the database is gone: %w", err)
	}
	return nil
}

const sqliteColumns = "id, text, revision, changed"

func scanSQLite(row interface{ Scan(...any) error }) (n Note, err error) {
	var micros int64
	err = row.Scan(&n.ID, &n.Text, &n.Revision, &micros)
	n.Changed = time.UnixMicro(micros).UTC()
	if errors.Is(err, sql.ErrNoRows) {
		err = errNoNote
	}
	return n, err
}

func (b *sqliteBook) List(ctx context.Context) ([]Note, error) {
	rows, err := b.db.QueryContext(ctx, "SELECT "+sqliteColumns+" FROM note ORDER BY id DESC LIMIT ?", listed)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var notes []Note
	for rows.Next() {
		n, err := scanSQLite(rows)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n)
	}
	return notes, rows.Err()
}

func (b *sqliteBook) Get(ctx context.Context, id int64) (Note, error) {
	return scanSQLite(b.db.QueryRowContext(ctx, "SELECT "+sqliteColumns+" FROM note WHERE id = ?", id))
}

func (b *sqliteBook) Add(ctx context.Context, text string) (Note, error) {
	return b.change(ctx, "INSERT INTO note (text, changed) VALUES (?, ?) RETURNING "+sqliteColumns,
		text, time.Now().UnixMicro())
}

func (b *sqliteBook) Edit(ctx context.Context, id int64, text string) (Note, error) {
	return b.change(ctx, "UPDATE note SET text = ?, changed = ?, revision = revision + 1 WHERE id = ? RETURNING "+sqliteColumns,
		text, time.Now().UnixMicro(), id)
}

// change runs a statement that returns the changed note, in a transaction that drops the pages which show it.
func (b *sqliteBook) change(ctx context.Context, statement string, args ...any) (Note, error) {
	tx, err := b.hooks.BeginTx(ctx, nil)
	if err != nil {
		return Note{}, err
	}
	defer tx.Rollback() // after Commit it does nothing
	n, err := scanSQLite(tx.QueryRowContext(ctx, statement, args...))
	if err != nil {
		return Note{}, err
	}
	if err := invalidate.TagsTx(ctx, tx, tagOf(n.ID), allNotes); err != nil {
		return Note{}, err
	}
	return n, tx.Commit()
}
