package catalog

import (
	"context"
	"errors"
	"log/slog"

	"github.com/cachesrv/cachesrv/cache"
)

// A database is SQLite or PostgreSQL. The statements are the same for both: $1 stands for the first argument, columns
// are text or bigint, never NULL, times are microseconds since 1970. What differs lies behind this interface.
type database interface {
	queryer // statements that need no transaction: each sees one snapshot
	migrate(ctx context.Context) error
	// alone runs f in a transaction without hooks, and only one of all that are begun so at a time.
	alone(ctx context.Context, f func(queryer) error) error
	// connections is how many reads can be under way at once; 0 means any number.
	connections() int
	// hook replays what the store has missed, and ties later transactions to it. Called once, after migrate.
	hook(ctx context.Context, store *cache.Store, log *slog.Logger) error
	// read runs f on one snapshot.
	read(ctx context.Context, f func(queryer) error) error
	// begin begins a transaction that writes. ctx bounds all of it; on SQLite its end rolls back.
	begin(ctx context.Context) (transaction, error)
	close() error
}

type queryer interface {
	query(ctx context.Context, statement string, args ...any) (rows, error)
	exec(ctx context.Context, statement string, args ...any) (changed int64, err error)
}

type transaction interface {
	queryer
	tags(ctx context.Context, tags ...string) error
	commit(ctx context.Context) error
	rollback() // after commit it does nothing
}

type rows interface {
	row
	Next() bool
	Err() error
	Close()
}

type row interface{ Scan(dest ...any) error }

// errNoRow is get's way to say that there is none.
var errNoRow = errors.New("no row")

// get reads one row.
func get(ctx context.Context, q queryer, statement string, args []any, dest ...any) error {
	rs, err := q.query(ctx, statement, args...)
	if err != nil {
		return err
	}
	defer rs.Close()
	if !rs.Next() {
		if err := rs.Err(); err != nil {
			return err
		}
		return errNoRow
	}
	if err := rs.Scan(dest...); err != nil {
		return err
	}
	rs.Close()
	return rs.Err()
}

// list reads all rows.
func list[T any](ctx context.Context, q queryer, scan func(row) (T, error), statement string, args ...any) ([]T, error) {
	rs, err := q.query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rs.Close()
	var all []T
	for rs.Next() {
		one, err := scan(rs)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rs.Err()
}

func scanString(r row) (s string, err error) {
	err = r.Scan(&s)
	return s, err
}

// a is the arguments of a statement.
func a(args ...any) []any { return args }

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
