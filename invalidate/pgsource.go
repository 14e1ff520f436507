package invalidate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache"
)

// pgSource reads the outbox of a PostgreSQL database.
//
// A position is "INCARNATION SNAPSHOT". The snapshot (pg_snapshot: xmin:xmax:xip…) is the set of transactions that
// were finished when it was taken. Ids are handed out at INSERT and seen at COMMIT, in another order, so no number
// can say up to where an outbox was read; the rows a position lacks are those of transactions its snapshot lacks.
// Later snapshots contain earlier ones, as long as the incarnation is the same.
type pgSource struct {
	pool          *pgxpool.Pool
	retention     time.Duration
	retentionRows int64
}

// insertPg writes a transaction's row and fills in its names. commit tells the transaction from all others, in what is
// withheld: "XID LIFE".
func insertPg(ctx context.Context, tx pgx.Tx, r *row) (commit string, err error) {
	var id int64
	var xid, life string
	err = tx.QueryRow(ctx, `
		insert into cachesrv.invalidation (keys, tags, prefixes, everything, soft, cause)
		values (coalesce($1::text[], '{}'), coalesce($2::text[], '{}'), coalesce($3::text[], '{}'), $4, $5, nullif($6, ''))
		returning id, xid::text, coalesce((select id::text from cachesrv.life), '')`,
		r.keys, r.tags, r.prefixes, r.all, r.soft, r.cause).Scan(&id, &xid, &life)
	if err != nil {
		return "", err
	}
	r.id, r.tx = strconv.FormatInt(id, 10), "transaction "+xid
	return xid + " " + life, nil
}

func (s *pgSource) read(ctx context.Context, from cache.Position) (b batch, err error) {
	// One session, in which the incarnation can't change; statements with a snapshot each.
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		now, err := s.incarnation(ctx, tx)
		if err == nil {
			err = adopt(ctx, tx, now.text)
		}
		if err == nil {
			b, err = readRows(ctx, tx, from, now)
		}
		return err
	})
	if err != nil {
		return batch{}, pgProblem(err)
	}
	return b, nil
}

// An incarnation is a life of a database during which transaction ids mean one thing.
type incarnation struct {
	text string
	life string // changes with every crash and promotion
}

// incarnation returns the system identifier, the timeline, the server's start time, the database, its outbox, and the
// life of the server's processes: when one of them dies in a crash the others are restarted, all ids that were not
// yet on disk are handed out again, and nothing but the emptied unlogged table tells.
func (s *pgSource) incarnation(ctx context.Context, tx pgx.Tx) (now incarnation, err error) {
	version, err := pgSchemaVersion(ctx, tx)
	if err == nil && version < len(pgVersions) {
		err = ErrNotMigrated
	}
	if err != nil {
		return now, err
	}
	if err = tx.QueryRow(ctx, `select coalesce((select id::text from cachesrv.life), '')`).Scan(&now.life); err != nil {
		return now, err
	}
	if now.life == "" {
		// Another may be doing the same: whose row it is does not matter.
		if _, err = tx.Exec(ctx, `insert into cachesrv.life default values on conflict do nothing`); err != nil {
			return now, err
		}
		if err = tx.QueryRow(ctx, `select id::text from cachesrv.life`).Scan(&now.life); err != nil {
			return now, err
		}
	}
	err = tx.QueryRow(ctx, `
		select concat_ws('/', (select system_identifier from pg_control_system()), substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8),
			extract(epoch from pg_postmaster_start_time()),
			(select oid from pg_database where datname = current_database()), 'cachesrv.invalidation'::regclass::oid, $1::text)`,
		now.life).Scan(&now.text)
	return now, err
}

// adopt makes the outbox one of this incarnation, if it is not. Every position of another one is void, so the rows of
// its time are needed by nobody: the horizon moves past them. Rows from the future of this incarnation come from
// another cluster, by a restored dump; they would be read again and again.
func adopt(ctx context.Context, tx pgx.Tx, incarnation string) error {
	changed, err := tx.Exec(ctx, `
		update cachesrv.state set incarnation = $1, horizon = pg_current_snapshot(), horizon_at = clock_timestamp()
		where incarnation is distinct from $1`, incarnation)
	if err != nil || changed.RowsAffected() == 0 {
		return err
	}
	_, err1 := tx.Exec(ctx, `delete from cachesrv.mark`)
	_, err2 := tx.Exec(ctx, `delete from cachesrv.invalidation where xid >= pg_snapshot_xmax(pg_current_snapshot())`)
	return errors.Join(err1, err2)
}

// readRows reads rows, snapshot and horizon in one statement, so that no commit falls between them.
func readRows(ctx context.Context, tx pgx.Tx, from cache.Position, now incarnation) (b batch, err error) {
	limit := maxReplay + 1
	incarnation, text, _ := strings.Cut(string(from), " ")
	snapshot, parseErr := parseSnapshot(text)
	switch {
	case from == "":
		b.resync = "it has no position in this outbox yet"
	case parseErr != nil:
		b.resync = fmt.Sprintf("its position can't be read: %v", parseErr)
	case incarnation != now.text:
		b.resync = fmt.Sprintf("the database was restarted, restored, promoted or exchanged: its incarnation was %s and is %s", incarnation, now.text)
	}
	if b.resync != "" {
		text, limit = "1:1:", 0
	}
	rows, err := tx.Query(ctx, `
		select s.incarnation, s.horizon::text, pg_current_snapshot()::text,
			r.id, r.xid::text, r.keys, r.tags, r.prefixes, r.everything, r.soft, r.cause
		from cachesrv.state s left join lateral (
			select id, xid, to_json(keys)::text as keys, to_json(tags)::text as tags, to_json(prefixes)::text as prefixes,
				everything, soft, coalesce(cause, '') as cause
			from cachesrv.invalidation
			where xid >= pg_snapshot_xmin($1::pg_snapshot) and not pg_visible_in_snapshot(xid, $1::pg_snapshot)
			limit $2
		) r on true`, text, limit)
	if err != nil {
		return b, err
	}
	defer rows.Close()
	var current, horizon, reached string
	bytes := 0
	for rows.Next() {
		var (
			id                               *int64
			xid, keys, tags, prefixes, cause *string
			all, soft                        *bool
		)
		if err := rows.Scan(&current, &horizon, &reached, &id, &xid, &keys, &tags, &prefixes, &all, &soft, &cause); err != nil {
			return b, err
		}
		if id == nil || b.resync != "" { // no row; or no need of one
			continue
		}
		r := row{id: strconv.FormatInt(*id, 10), tx: "transaction " + *xid, all: *all, soft: *soft, cause: *cause}
		bytes += len(*keys) + len(*tags) + len(*prefixes)
		if err := r.decode(*keys, *tags, *prefixes); err != nil {
			b.resync = fmt.Sprintf("row %s of %s can't be read: %v", r.id, r.tx, err)
		} else if b.rows = append(b.rows, r); len(b.rows) == limit || bytes > maxReplayBytes {
			b.resync = "it missed more than is worth replaying"
		}
	}
	if err := rows.Err(); err != nil {
		return b, err
	}
	if reached == "" {
		return b, errors.New("cachesrv.state has no row: drop the schema cachesrv, and run invalidate.Migrate")
	}
	if current != now.text { // impossible within one session; if it happens, try again
		return b, fmt.Errorf("the outbox is of incarnation %s, not of %s", current, now.text)
	}
	b.position = cache.Position(now.text + " " + reached)
	reachedSet, err1 := parseSnapshot(reached)
	horizonSet, err2 := parseSnapshot(horizon)
	if err := errors.Join(err1, err2); err != nil {
		return b, err
	}
	if b.resync == "" && !snapshot.contains(horizonSet) {
		b.resync = fmt.Sprintf("it was away for longer than rows are kept: its position is %s, rows are deleted up to %s", text, horizon)
	}
	if b.resync != "" {
		b.rows = nil
	}
	b.over = func(commit string) bool {
		xid, life, _ := strings.Cut(commit, " ")
		if life != "" && life != now.life {
			return true // a crash ended it
		}
		n, err := strconv.ParseUint(xid, 10, 64)
		return err == nil && reachedSet.has(n)
	}
	return b, nil
}

// trim moves the horizon to a past snapshot that is old enough, or that has enough rows after it, and deletes the rows
// it saw. The horizon is recorded before the rows go: a folder whose position does not contain it may have missed
// some.
//
// Old enough is the snapshot, not the row: a row of a long transaction counts from its commit, and an idle
// transaction holds up nothing.
func (s *pgSource) trim(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		now, err := s.incarnation(ctx, tx)
		if err != nil {
			return err
		}
		steps := []struct {
			sql  string
			args []any
		}{
			// Whoever trims takes the row of state, and leaves an outbox of another incarnation to adopt.
			{`select from cachesrv.state where incarnation = $1 for update`, []any{now.text}},
			{`insert into cachesrv.mark (at, snapshot, top)
				select clock_timestamp(), pg_current_snapshot(), greatest(0, -- also when there are no rows
					(select max(id) from cachesrv.invalidation), (select max(top) from cachesrv.mark))
				where not exists (select from cachesrv.mark where at > clock_timestamp() - $1::interval)`,
				[]any{min(trimInterval, s.retention/10)}},
			{`update cachesrv.state set horizon = m.snapshot, horizon_at = m.at
				from (select * from cachesrv.mark
					where at <= clock_timestamp() - $1::interval or top <= (select max(id) from cachesrv.invalidation) - $2
					order by at desc limit 1) m
				where horizon_at < m.at`,
				[]any{s.retention, s.retentionRows}},
			{`delete from cachesrv.mark where at < (select horizon_at from cachesrv.state)`, nil},
		}
		for i, step := range steps {
			done, err := tx.Exec(ctx, step.sql, step.args...)
			if err != nil || i == 0 && done.RowsAffected() == 0 {
				return err
			}
		}
		return nil
	})
	for err == nil {
		done, execErr := s.pool.Exec(ctx, `
			delete from cachesrv.invalidation where id in (
				select i.id from cachesrv.invalidation i, cachesrv.state s
				where i.xid < pg_snapshot_xmax(s.horizon) and pg_visible_in_snapshot(i.xid, s.horizon)
				limit $1)`, trimChunk)
		if err = execErr; err == nil && done.RowsAffected() < trimChunk {
			return nil
		}
	}
	return pgProblem(err)
}

// A snapshot is the set of finished transactions: those below xmax that are not listed.
type snapshot struct {
	xmin, xmax uint64
	running    []uint64 // sorted; between xmin and xmax
}

// parseSnapshot reads PostgreSQL's text form, "xmin:xmax:xip,xip,…".
func parseSnapshot(text string) (s snapshot, err error) {
	fail := func() (snapshot, error) { return snapshot{}, fmt.Errorf("%.80q is not a pg_snapshot", text) }
	parts := strings.Split(text, ":")
	if len(parts) != 3 {
		return fail()
	}
	s.xmin, err = strconv.ParseUint(parts[0], 10, 64)
	if err == nil {
		s.xmax, err = strconv.ParseUint(parts[1], 10, 64)
	}
	if err != nil || s.xmin == 0 || s.xmax < s.xmin {
		return fail()
	}
	if parts[2] == "" {
		return s, nil
	}
	last := uint64(0)
	for part := range strings.SplitSeq(parts[2], ",") {
		xid, err := strconv.ParseUint(part, 10, 64)
		if err != nil || xid < s.xmin || xid >= s.xmax || xid <= last {
			return fail()
		}
		s.running = append(s.running, xid)
		last = xid
	}
	return s, nil
}

// has reports whether a transaction is in the set.
func (s snapshot) has(xid uint64) bool {
	_, running := slices.BinarySearch(s.running, xid)
	return xid < s.xmax && !running
}

// contains reports whether all of another set is in this one.
func (s snapshot) contains(other snapshot) bool {
	// What s lacks below other's end must be lacking there too.
	for _, xid := range s.running {
		if other.has(xid) {
			return false
		}
	}
	return other.xmax <= s.xmax
}
