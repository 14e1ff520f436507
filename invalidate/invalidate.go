// Package invalidate ties a cache to the transactions of a database: what a transaction says it changes is recorded in
// that transaction, and dropped from the cache the moment it has committed.
//
//	hooks, err := invalidate.NewPgx(ctx, store, pool, invalidate.Options{}) // replays what was missed, then lets the store serve
//	defer hooks.Close()
//
//	tx, err := hooks.Begin(ctx)
//	defer tx.Rollback(ctx)
//	tx.Exec(ctx, "update note set text = $1 where id = $2", text, id)
//	invalidate.TagsTx(ctx, tx, "note:1", "all-notes")
//	err = tx.Commit(ctx) // when it returns nil, no page older than this commit is served any more
//
// # How
//
// The outbox is a table of the same database (Migrate creates it). At Commit, a transaction that named anything writes
// one row to it, in the same transaction: rolled back, nothing has happened; committed, it can't be lost. After COMMIT
// has returned, so that new readers see the change, the store is invalidated, and only then does Commit return: P1.
//
// Should the program die in between, the row is there. Hooks replay committed rows that the cache folder has not
// applied when they are created, before the store serves its first page, and then every Options.ReplayInterval: P2.
// Applying a row twice is harmless; not knowing what was missed is not: a folder that can't tell drops everything and
// resumes from there.
//
// PostgreSQL may still be executing the COMMIT of a program that was killed when the next one starts. Such a commit has
// returned to nobody; it is applied within Options.ReplayInterval.
//
// # What is not seen
//
// Changes made past the hooks: by other programs, by COMMIT sent as SQL through a transaction, by restoring data into
// a running database. Invalidate for those by hand.
//
// # Bounds
//
// A transaction that names more than Options.MaxNames, or whose names have more than 1 MiB, invalidates everything.
// So does a replay of more than 100,000 rows. Rows live for Options.Retention, and about Options.RetentionRows are kept.
package invalidate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// Sentinel errors; compare with errors.Is.
var (
	// ErrNotMigrated: the outbox table is missing, or of an older version. Run Migrate.
	ErrNotMigrated = errors.New("the database has no current outbox table: run invalidate.Migrate")
	// ErrTooNew: the outbox table was made by a newer version of this package. Update the program.
	ErrTooNew = errors.New("the outbox table was made by a newer version")
	// ErrStandby: the database is a standby. It may show a commit before its primary does, or much later; only the
	// primary can tell what to drop.
	ErrStandby = errors.New("the database is a standby (in recovery): use the primary")
	// ErrNotOurs: the transaction was not begun by hooks, so nothing would act on what it names.
	ErrNotOurs = errors.New("not a transaction of these hooks: begin it with Begin or BeginTx of PgxHooks or SQLiteHooks")
	// ErrFinished: the transaction or savepoint was already committed, released or rolled back.
	ErrFinished = errors.New("the transaction is finished")
	// ErrNotInvalidated: the transaction is committed and durable, but what it named could not be dropped from the
	// cache. The hooks go on trying; do not repeat the transaction.
	ErrNotInvalidated = errors.New("committed, but the cache could not be invalidated yet")
	// ErrCommitUnknown: the connection was lost, or the context ended, while the transaction was being committed. It
	// may be committed, now or in a moment, or rolled back. What it named was dropped, and nothing of it is cached
	// until the outcome is final.
	ErrCommitUnknown = errors.New("the outcome of the commit is unknown")
)

// Store is what hooks need of a cache: *cache.Store.
type Store interface {
	Invalidate(ctx context.Context, sel cache.Selection) (cache.Dropped, error)
	SourcePosition(ctx context.Context, source string) (cache.Position, error)
	SetSourcePosition(ctx context.Context, source string, p cache.Position) error
	Withhold(ctx context.Context, id string, sel cache.Selection) error
	Release(ctx context.Context, id string) error
	Withheld(ctx context.Context) ([]string, error)
	Unfence(ctx context.Context) error
}

// Options configure hooks. The zero value works: a zero field means its default. Negative values are refused.
type Options struct {
	// Source names this database among those that feed one cache folder; the folder's position in the outbox is kept
	// under it. It is UTF-8 without spaces and ":". Default "database".
	Source string
	// ReplayInterval is the time between looks into the outbox for commits whose process died before its hook ran,
	// and so bounds how long such a commit is unseen while this process lives (P2). Default 5 s.
	ReplayInterval time.Duration
	// Retention is how long rows stay in the outbox. A folder that was away longer drops everything when it comes
	// back. Programs that share a database should agree on it: the shortest counts. Default 24 h.
	Retention time.Duration
	// RetentionRows is about how many rows stay in the outbox, whatever their age. Default 1,000,000.
	RetentionRows int64
	// MaxNames bounds the keys, tags and prefixes of one transaction. A transaction that names more invalidates
	// everything. Default 10,000.
	MaxNames int
	// ApplyTimeout bounds the invalidation after a commit, which does not end with the request's context. Past it
	// Commit returns ErrNotInvalidated. Default 30 s.
	ApplyTimeout time.Duration
	// Logger receives what operators should know. Default slog.Default().
	Logger *slog.Logger
}

func (o Options) withDefaults() (Options, error) {
	for name, value := range map[string]int64{
		"ReplayInterval": int64(o.ReplayInterval), "Retention": int64(o.Retention), "RetentionRows": o.RetentionRows,
		"MaxNames": int64(o.MaxNames), "ApplyTimeout": int64(o.ApplyTimeout),
	} {
		if value < 0 {
			return o, fmt.Errorf("invalidate: Options.%s is negative; zero means its default", name)
		}
	}
	if strings.ContainsAny(o.Source, ": \t\n") || !utf8.ValidString(o.Source) {
		return o, fmt.Errorf("invalidate: Options.Source %q has a space or \":\", or is not UTF-8", o.Source)
	}
	orDefault(&o.Source, "database")
	orDefault(&o.ReplayInterval, 5*time.Second)
	orDefault(&o.Retention, 24*time.Hour)
	orDefault(&o.RetentionRows, 1_000_000)
	orDefault(&o.MaxNames, 10_000)
	orDefault(&o.ApplyTimeout, 30*time.Second)
	orDefault(&o.Logger, slog.Default())
	return o, nil
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// KeysTx names pages that the transaction changes. tx is a *PgxTx (also where it is passed as a pgx.Tx), a *SQLiteTx
// or a *SQLiteSavepoint. Safe for concurrent use. Errors: ErrNotOurs, ErrFinished, or a key that has no text form.
func KeysTx(ctx context.Context, tx any, keys ...cache.Key) error {
	return SelectTx(ctx, tx, cache.Selection{Keys: keys})
}

// TagsTx names tags whose pages the transaction changes: those that cache.CheckTag finds good. Otherwise it is like KeysTx.
func TagsTx(ctx context.Context, tx any, tags ...string) error {
	return SelectTx(ctx, tx, cache.Selection{Tags: tags})
}

// PrefixesTx names subtrees that the transaction changes. Otherwise it is like KeysTx.
func PrefixesTx(ctx context.Context, tx any, prefixes ...key.Prefix) error {
	return SelectTx(ctx, tx, cache.Selection{Prefixes: prefixes})
}

// SelectTx names what the transaction changes. The selections of a transaction are united; the union is soft only if
// all of them are. A dry run is refused. Otherwise it is like KeysTx. When it returns an error nothing of sel was
// recorded: roll back.
func SelectTx(_ context.Context, tx any, sel cache.Selection) error {
	names, err := namesOf(sel)
	if err != nil {
		return fmt.Errorf("invalidate: %w", err)
	}
	t, ok := tx.(recorder)
	if !ok || reflect.ValueOf(tx).IsNil() { // every recorder is a pointer
		return fmt.Errorf("invalidate: %T: %w", tx, ErrNotOurs)
	}
	if err := t.record(names); err != nil {
		return fmt.Errorf("invalidate: %w", err)
	}
	return nil
}

// recorder is what our transactions and savepoints have in common.
type recorder interface {
	record(names []name) error
}

type contextKey struct{}

// Context returns a context that carries the transaction, for handlers below a middleware that begins one per request
// to find with TxFrom. It also marks that a snapshot was taken (cache.MarkSnapshot): a fill begun below this point
// would store what the transaction saw, which may be older than its claim, so the cache refuses to store it. Put the
// cache's middleware outside the one that begins transactions.
func Context(ctx context.Context, tx any) context.Context {
	return context.WithValue(cache.MarkSnapshot(ctx, fmt.Sprintf("a transaction (%T)", tx)), contextKey{}, tx)
}

// TxFrom returns the transaction that Context put into a context: TxFrom[*PgxTx](ctx).
func TxFrom[T any](ctx context.Context) (tx T, ok bool) {
	tx, ok = ctx.Value(contextKey{}).(T)
	return tx, ok
}
