package invalidate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// endTimeout bounds ending a transaction whose context has ended.
const endTimeout = 5 * time.Second

// PgxHooks begins transactions on PostgreSQL that invalidate a cache when they commit. Safe for concurrent use.
type PgxHooks struct {
	*hooks
	pool *pgxpool.Pool
}

// NewPgx returns hooks for a database of PostgreSQL 15 or newer, and its primary. It applies what was committed and
// not yet dropped from the store, then lets the store serve (Unfence), and keeps looking for such commits until Close.
// ctx bounds only this call. Errors: ErrNotMigrated, ErrTooNew, ErrStandby, no connection, missing rights, or the
// store's; the store is then left fenced.
func NewPgx(ctx context.Context, store Store, pool *pgxpool.Pool, o Options) (*PgxHooks, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	h := &PgxHooks{newHooks("pgx", store, o), pool}
	h.source = &pgSource{pool: pool, retention: o.Retention, retentionRows: o.RetentionRows}
	if err := h.start(ctx); err != nil {
		return nil, err
	}
	return h, nil
}

// Begin begins a transaction with the server's default modes.
func (h *PgxHooks) Begin(ctx context.Context) (*PgxTx, error) {
	return h.BeginTx(ctx, pgx.TxOptions{})
}

// BeginTx begins a transaction. As with pgx, ctx bounds the beginning only. Options.CommitQuery is refused. A snapshot
// read through the transaction may be older than a claim taken later: see Context.
func (h *PgxHooks) BeginTx(ctx context.Context, o pgx.TxOptions) (*PgxTx, error) {
	if o.CommitQuery != "" {
		return nil, errors.New("invalidate: a transaction with a CommitQuery of its own can't be hooked")
	}
	tx, err := h.pool.BeginTx(ctx, o)
	if err != nil {
		return nil, err
	}
	return &PgxTx{Tx: tx, hooks: h, recording: &recording{maxNames: h.o.MaxNames, maxBytes: maxBytes}}, nil
}

// PgxTx is a transaction, or a savepoint within one, that invalidates the cache when the transaction commits. It is a
// pgx.Tx: only KeysTx, TagsTx, PrefixesTx and SelectTx may be called concurrently with other calls.
type PgxTx struct {
	pgx.Tx
	hooks     *PgxHooks
	recording *recording // of the transaction, shared with its savepoints
	savepoint bool
	mark      int // where a savepoint began in the recording
	finished  atomic.Bool
}

func (t *PgxTx) record(names []name) error {
	if t.finished.Load() {
		return ErrFinished
	}
	t.hooks.record(t.recording, names)
	return nil
}

// Begin begins a savepoint. Rolling it back forgets what was named since; Commit keeps it for the transaction.
func (t *PgxTx) Begin(ctx context.Context) (pgx.Tx, error) {
	mark := t.recording.mark()
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &PgxTx{Tx: tx, hooks: t.hooks, recording: t.recording, savepoint: true, mark: mark}, nil
}

// Rollback rolls back; nothing is invalidated.
func (t *PgxTx) Rollback(ctx context.Context) error {
	err := t.Tx.Rollback(ctx)
	if t.finished.Swap(true) {
		return err // pgx.ErrTxClosed
	}
	if t.savepoint && err == nil {
		t.recording.rewind(t.mark)
	}
	return err
}

// Commit commits. When it returns nil, the commit is visible to new readers and what the transaction named is dropped
// from the cache. A savepoint's Commit only releases it.
//
// Errors: what pgx returns, when the transaction is rolled back; ErrNotInvalidated, when it is committed;
// ErrCommitUnknown, when it may be either, because the connection or ctx was lost after COMMIT was sent.
//
// The sequence: INSERT of the outbox row in the transaction; COMMIT; its answer, from which on new snapshots contain
// the transaction; invalidation.
func (t *PgxTx) Commit(ctx context.Context) error {
	if t.finished.Swap(true) || t.savepoint {
		return t.Tx.Commit(ctx)
	}
	r, any := t.recording.row()
	const failed = 'E' // the server will answer COMMIT by rolling back
	if !any || t.Conn().PgConn().TxStatus() == failed {
		return t.Tx.Commit(ctx)
	}
	commit, err := insertPg(ctx, t.Tx, &r)
	if err = cmp.Or(err, ctx.Err()); err != nil {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTimeout)
		defer cancel()
		_ = t.Tx.Rollback(end) // it closes a connection that can't; the error that led here is returned
		return fmt.Errorf("invalidate: rolled back, as what it changes could not be recorded: %w", pgProblem(err))
	}
	fault.Point(fault.CommitRecorded)
	early := fault.Broken(fault.UnlinkBeforeSeen)
	if early {
		_ = t.hooks.committed(ctx, r)
		fault.Pause(10 * time.Millisecond)
	}
	switch err := t.Tx.Commit(ctx); {
	case err == nil:
	case rolledBack(err):
		return err
	default:
		return t.hooks.unknown(ctx, r, commit, err)
	}
	fault.Point(fault.CommitDone)
	if early {
		return nil
	}
	return t.hooks.committed(ctx, r)
}

// rolledBack reports whether an error of Commit means that the transaction is not and will not be committed: only the
// server can tell. (pgconn.SafeToRetry can't: of a connection that was lost after COMMIT had been sent, pgx reports
// "conn closed", and that it is safe to try again.)
func rolledBack(err error) bool {
	if errors.Is(err, pgx.ErrTxCommitRollback) || errors.Is(err, pgx.ErrTxClosed) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	// An ERROR answers the COMMIT (a deferred constraint, a serialization failure). FATAL may come from a pooler or a
	// server that is going down, class 08 from a pooler that lost the server, and 40003 says it is unknown.
	severity := pg.SeverityUnlocalized
	if severity == "" {
		severity = pg.Severity
	}
	return severity == "ERROR" && !strings.HasPrefix(pg.Code, "08") && pg.Code != "40003"
}
