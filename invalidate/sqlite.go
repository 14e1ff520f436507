package invalidate

import (
	"context"
	"crypto/rand"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// SQLiteHooks begins transactions on an SQLite database that invalidate a cache when they commit. Safe for concurrent
// use.
type SQLiteHooks struct {
	*hooks
	db *sql.DB
}

// NewSQLite returns hooks for an SQLite database, through any driver of version 3.35 or newer. It applies what was
// committed and not yet dropped from the store, then lets the store serve (Unfence), and keeps looking for such
// commits until Close. ctx bounds only this call. Errors: ErrNotMigrated, ErrTooNew, the database's or the store's;
// the store is then left fenced.
//
// Open the database in WAL mode and with a busy timeout, and begin transactions that write as immediate ones
// (modernc.org/sqlite: "file:app.db?_pragma=journal_mode(wal)&_pragma=busy_timeout(5000)&_txlock=immediate").
func NewSQLite(ctx context.Context, store Store, db *sql.DB, o Options) (*SQLiteHooks, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &SQLiteHooks{newHooks("sqlite", store, o), db}
	h.source = &sqliteSource{db: db, retention: o.Retention, retentionRows: o.RetentionRows}
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// Begin begins a transaction of the driver's default kind.
func (h *SQLiteHooks) Begin(ctx context.Context) (*SQLiteTx, error) { return h.BeginTx(ctx, nil) }

// BeginTx begins a transaction. As with database/sql, it is rolled back when ctx ends before Commit. Finish it with
// Commit or Rollback in any case: it has a connection of its own until then. A snapshot read through the transaction
// may be older than a claim taken later: see Context.
func (h *SQLiteHooks) BeginTx(ctx context.Context, o *sql.TxOptions) (*SQLiteTx, error) {
	conn, err := h.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.BeginTx(ctx, o)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return &SQLiteTx{Tx: tx, ctx: ctx, conn: conn, hooks: h, recording: &recording{maxNames: h.o.MaxNames, maxBytes: maxBytes}}, nil
}

// SQLiteTx is a transaction that invalidates the cache when it commits. Only KeysTx, TagsTx, PrefixesTx and SelectTx
// may be called concurrently with other calls.
type SQLiteTx struct {
	*sql.Tx
	ctx        context.Context // of BeginTx, as in sql.Tx, for Commit has none
	conn       *sql.Conn       // the transaction's own: after a failed COMMIT it must go, and the transaction with it
	hooks      *SQLiteHooks
	recording  *recording
	savepoints atomic.Int64
	finished   atomic.Bool
}

func (t *SQLiteTx) record(names []name) error {
	if t.finished.Load() {
		return ErrFinished
	}
	t.hooks.record(t.recording, names)
	return nil
}

// Rollback rolls back; nothing is invalidated.
func (t *SQLiteTx) Rollback() error {
	if t.finished.Swap(true) {
		return sql.ErrTxDone
	}
	err := t.Tx.Rollback()
	if err != nil && !errors.Is(err, sql.ErrTxDone) {
		t.discard()
	}
	return errors.Join(err, t.conn.Close())
}

// Commit commits. When it returns nil, the commit is visible to new readers and what the transaction named is dropped
// from the cache.
//
// Errors: what database/sql returns, when the transaction is rolled back; ErrNotInvalidated, when it is committed;
// ErrCommitUnknown, when it may be either, as COMMIT failed and the file can't be read to see what became of it.
//
// The sequence: INSERT of the outbox row in the transaction; COMMIT; invalidation.
func (t *SQLiteTx) Commit() error {
	if t.finished.Swap(true) {
		return sql.ErrTxDone
	}
	r, any := t.recording.row()
	if !any {
		err := t.Tx.Commit()
		if err != nil {
			t.discard()
		}
		return errors.Join(err, t.conn.Close())
	}
	commit, err := insertSQLite(t.ctx, t.Tx, &r)
	if err != nil {
		if t.Tx.Rollback() != nil {
			t.discard()
		}
		return fmt.Errorf("invalidate: rolled back, as what it changes could not be recorded: %w", errors.Join(err, t.conn.Close()))
	}
	fault.Point(fault.CommitRecorded)
	early := fault.Broken(fault.UnlinkBeforeSeen)
	if early {
		_ = t.hooks.committed(t.ctx, r)
		fault.Pause(10 * time.Millisecond)
	}
	if err := t.Tx.Commit(); err != nil {
		return t.settle(r, commit, err)
	}
	fault.Point(fault.CommitDone)
	closeErr := t.conn.Close() // before the invalidation: others may be waiting for a connection
	if early {
		return closeErr
	}
	return errors.Join(t.hooks.committed(t.ctx, r), closeErr)
}

// settle finds out what became of a transaction whose COMMIT failed: with its connection closed it is over, and its
// row is there or not.
func (t *SQLiteTx) settle(r row, commit string, cause error) error {
	t.discard()
	_ = t.conn.Close() // sql.ErrConnDone
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), t.hooks.o.ApplyTimeout)
	defer cancel()
	var there int
	err := t.hooks.db.QueryRowContext(ctx, "select count(*) from cachesrv_invalidation where token = ? and id = ?", r.id, commit).Scan(&there)
	switch {
	case err != nil:
		return t.hooks.unknown(ctx, r, commit, errors.Join(cause, err))
	case there == 0:
		return cause
	}
	return t.hooks.committed(ctx, r)
}

// discard closes the connection instead of giving it back to the pool; SQLite then rolls back what is open on it. Not
// every driver does so by itself when COMMIT fails, and database/sql takes the transaction for finished.
func (t *SQLiteTx) discard() {
	_ = t.conn.Raw(func(any) error { return driver.ErrBadConn }) // which it returns
}

// Savepoint begins a savepoint. What is named from here on, through whichever handle, is forgotten if it is rolled
// back.
func (t *SQLiteTx) Savepoint(ctx context.Context) (*SQLiteSavepoint, error) {
	s := &SQLiteSavepoint{tx: t, name: "cachesrv_" + strconv.FormatInt(t.savepoints.Add(1), 10), mark: t.recording.mark()}
	if _, err := t.ExecContext(ctx, "savepoint "+s.name); err != nil {
		return nil, err
	}
	return s, nil
}

// SQLiteSavepoint is a savepoint of a transaction. Left open, it ends with the transaction as if released.
type SQLiteSavepoint struct {
	tx       *SQLiteTx
	name     string
	mark     int // where it began in the recording
	finished atomic.Bool
}

func (s *SQLiteSavepoint) record(names []name) error {
	if s.finished.Load() {
		return ErrFinished
	}
	return s.tx.record(names)
}

// Release ends the savepoint and keeps what was done since, for the transaction to commit.
func (s *SQLiteSavepoint) Release(ctx context.Context) error {
	if s.finished.Swap(true) {
		return ErrFinished
	}
	_, err := s.tx.ExecContext(ctx, "release "+s.name)
	return err
}

// Rollback ends the savepoint and undoes what was done since; what was named since is not invalidated. After Release
// it returns ErrFinished, so that it can be deferred.
func (s *SQLiteSavepoint) Rollback(ctx context.Context) error {
	if s.finished.Swap(true) {
		return ErrFinished
	}
	_, err := s.tx.ExecContext(ctx, "rollback to "+s.name+"; release "+s.name)
	if err == nil {
		s.tx.recording.rewind(s.mark)
	}
	return err
}

// insertSQLite writes a transaction's row and fills in its names. commit is its id.
func insertSQLite(ctx context.Context, tx *sql.Tx, r *row) (commit string, err error) {
	r.id = rand.Text()
	var lists [3]string
	for i, list := range [][]string{r.keys, r.tags, r.prefixes} {
		if list == nil {
			list = []string{}
		}
		text, err := json.Marshal(list)
		if err != nil {
			return "", err
		}
		lists[i] = string(text)
	}
	done, err := tx.ExecContext(ctx, `
		insert into cachesrv_invalidation (token, keys, tags, prefixes, everything, soft, cause)
		values (?, ?, ?, ?, ?, ?, nullif(?, ''))`, r.id, lists[0], lists[1], lists[2], r.all, r.soft, r.cause)
	if err != nil {
		return "", err
	}
	id, err := done.LastInsertId()
	commit = strconv.FormatInt(id, 10)
	r.tx = "transaction " + commit
	return commit, err
}
