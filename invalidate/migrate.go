package invalidate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// pgVersions are the steps from nothing to the current schema; a schema's version is the number of steps done.
//
// The outbox has one row per transaction, written by hooks, or per statement, written by triggers: every column has
// a default, so that a trigger names only what it has. xid is the transaction: rows become visible in the order of
// commits, which is neither that of id nor that of xid, so readers compare xid with snapshots (see pgSource.read).
// The index on xid gives them the few rows that are not older than everything a snapshot has.
//
// state is one row: the schema's version; the incarnation of the database that wrote the outbox; the horizon, a
// snapshot that saw all rows deleted so far. mark keeps past snapshots from which the next horizon is taken. life is
// unlogged: PostgreSQL empties it in a crash, a promotion and a restored base backup, which is how we notice those.
var pgVersions = []string{`
create schema if not exists cachesrv;
create table cachesrv.invalidation (
	id         bigint generated always as identity primary key,
	xid        xid8 not null default pg_current_xact_id(),
	at         timestamptz not null default clock_timestamp(),
	keys       text[] not null default '{}',
	tags       text[] not null default '{}',
	prefixes   text[] not null default '{}',
	everything boolean not null default false,
	soft       boolean not null default false,
	cause      text
);
create index invalidation_xid on cachesrv.invalidation (xid);
create table cachesrv.state (
	one         boolean primary key default true check (one),
	version     integer not null,
	incarnation text,
	horizon     pg_snapshot,
	horizon_at  timestamptz
);
create table cachesrv.mark (
	at       timestamptz not null,
	snapshot pg_snapshot not null,
	top      bigint not null
);
create unlogged table cachesrv.life (
	one boolean primary key default true check (one),
	id  uuid not null default gen_random_uuid()
);
insert into cachesrv.state (version) values (0);
comment on schema cachesrv is 'Outbox of cache invalidations. Programs that use it need usage on the schema, and select, insert, update and delete on its tables.';
`}

// sqliteVersions are the same for SQLite. Every row has a random token, and there is always a row: a position names
// the last row applied by both, and so notices another history of the same file (see sqliteSource).
var sqliteVersions = []string{`
create table cachesrv_invalidation (
	id         integer primary key autoincrement,
	token      text not null default (lower(hex(randomblob(16)))),
	at         integer not null default (cast(strftime('%s', 'now') as integer)),
	keys       text not null default '[]',
	tags       text not null default '[]',
	prefixes   text not null default '[]',
	everything integer not null default 0,
	soft       integer not null default 0,
	cause      text
);
insert into cachesrv_invalidation (cause) values ('created');
create table cachesrv_state (
	one     integer primary key check (one = 1),
	version integer not null
);
insert into cachesrv_state (one, version) values (1, 0);
`}

// migrateLock is the advisory lock under which PostgreSQL schemas are changed.
const migrateLock = 0x63616368_65737276 // "cachesrv"

// Migrate creates the outbox in a database, or brings it to this version. db is a *pgxpool.Pool, a *pgx.Conn, or a
// *sql.DB of SQLite. It is idempotent, and any number of programs may call it at once. A database that is up to date
// needs no rights but to read. In PostgreSQL everything lies in the schema cachesrv; in SQLite, in tables whose names
// begin with cachesrv_. Errors: ErrTooNew, ErrStandby, or the database's.
func Migrate(ctx context.Context, db any) error {
	var err error
	switch db := db.(type) {
	case *pgxpool.Pool:
		err = migratePg(ctx, db)
	case *pgx.Conn:
		err = migratePg(ctx, db)
	case *sql.DB:
		err = migrateSQLite(ctx, db)
	default:
		err = fmt.Errorf("%T is not a *pgxpool.Pool, a *pgx.Conn or a *sql.DB", db)
	}
	if err != nil {
		return fmt.Errorf("invalidate: migrate: %w", err)
	}
	return nil
}

func migratePg(ctx context.Context, db interface {
	Begin(context.Context) (pgx.Tx, error)
}) error {
	version := 0
	err := pgx.BeginFunc(ctx, db, func(tx pgx.Tx) (err error) {
		version, err = pgSchemaVersion(ctx, tx)
		return err
	})
	if err != nil || version == len(pgVersions) {
		return pgProblem(err)
	}
	// In a transaction of its own, for within one a session may go on believing that a schema is not there.
	return pgProblem(pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock($1)", int64(migrateLock)); err != nil {
			return err
		}
		version, err := pgSchemaVersion(ctx, tx)
		if err != nil {
			return err
		}
		for ; version < len(pgVersions); version++ {
			if _, err := tx.Exec(ctx, pgVersions[version]); err != nil {
				return fmt.Errorf("to version %d: %w", version+1, err)
			}
			if _, err := tx.Exec(ctx, "update cachesrv.state set version = $1", version+1); err != nil {
				return err
			}
		}
		return nil
	}))
}

// pgSchemaVersion returns 0 when there is no schema.
func pgSchemaVersion(ctx context.Context, tx pgx.Tx) (version int, err error) {
	var standby, there bool
	// Asking the catalog, and not to_regclass, shows what others have created just now.
	err = tx.QueryRow(ctx, `
		select pg_is_in_recovery(), exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
			where n.nspname = 'cachesrv' and c.relname = 'state')`).Scan(&standby, &there)
	switch {
	case err != nil:
		return 0, err
	case standby:
		return 0, ErrStandby
	case !there:
		return 0, nil
	}
	if err = tx.QueryRow(ctx, "select version from cachesrv.state").Scan(&version); err != nil {
		return 0, err
	}
	return version, checkVersion(version, len(pgVersions))
}

func checkVersion(found, known int) error {
	if found > known {
		return fmt.Errorf("%w: it has version %d, this program knows %d: update the program", ErrTooNew, found, known)
	}
	return nil
}

// pgProblem adds what to do to errors of PostgreSQL that operators meet.
func pgProblem(err error) error {
	if connect, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return fmt.Errorf("no connection to PostgreSQL; check the DSN and that the server runs: %w", connect)
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return err
	}
	switch pg.Code {
	case "42501": // insufficient_privilege
		return fmt.Errorf("grant the program's role usage on schema cachesrv, and select, insert, update and delete on all tables in it: %w", err)
	case "42P01", "3F000", "42703": // undefined table, schema, column
		return fmt.Errorf("%w: %w", ErrNotMigrated, err)
	}
	return err
}

func migrateSQLite(ctx context.Context, db *sql.DB) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	version, err := sqliteSchemaVersion(ctx, conn)
	if err != nil || version == len(sqliteVersions) {
		return err
	}
	// Others may be doing the same: wait for the write lock, whatever this connection's own patience is.
	var own int64
	if err := conn.QueryRowContext(ctx, "pragma busy_timeout").Scan(&own); err != nil {
		return fmt.Errorf("is this SQLite? for PostgreSQL pass a *pgxpool.Pool: %w", err)
	}
	setTimeout := func(ms int64) error {
		_, err := conn.ExecContext(context.WithoutCancel(ctx), fmt.Sprintf("pragma busy_timeout = %d", ms))
		return err
	}
	if err := setTimeout((10 * time.Second).Milliseconds()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, setTimeout(own)) }()
	if _, err := conn.ExecContext(ctx, "begin immediate"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "rollback") // the error that led here is returned
		}
	}()
	if version, err = sqliteSchemaVersion(ctx, conn); err != nil {
		return err
	}
	for ; version < len(sqliteVersions); version++ {
		if _, err := conn.ExecContext(ctx, sqliteVersions[version]); err != nil {
			return fmt.Errorf("to version %d: %w", version+1, err)
		}
		if _, err := conn.ExecContext(ctx, "update cachesrv_state set version = ?", version+1); err != nil {
			return err
		}
	}
	_, err = conn.ExecContext(ctx, "commit")
	return err
}

// sqliteSchemaVersion returns 0 when there are no tables of ours.
func sqliteSchemaVersion(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) (version int, err error) {
	var tables int
	err = db.QueryRowContext(ctx, "select count(*) from sqlite_master where type = 'table' and name = 'cachesrv_state'").Scan(&tables)
	if err != nil {
		if strings.Contains(err.Error(), "sqlite_master") { // another database lacks it
			err = fmt.Errorf("is this SQLite? for PostgreSQL pass a *pgxpool.Pool: %w", err)
		}
		return 0, err
	}
	if tables == 0 {
		return 0, nil
	}
	if err := db.QueryRowContext(ctx, "select version from cachesrv_state").Scan(&version); err != nil {
		return 0, fmt.Errorf("the version in cachesrv_state: %w", err)
	}
	return version, checkVersion(version, len(sqliteVersions))
}
