package invalidate

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cachesrv/cachesrv/cache"
)

// sqliteSource reads the outbox of an SQLite database.
//
// SQLite has one writer at a time. A transaction gets its row's id while it holds the write lock, which it keeps until
// it has committed; with AUTOINCREMENT an id is not used again for another committed row. So here the order of ids is
// the order of commits, and a position is the last row applied, "ID TOKEN". The newest row is never deleted and rows
// are deleted from the oldest on: if the row of a position is there, with its token, everything after it is there too.
// If it is not, the rows were deleted, or the file was exchanged for another, or for an older copy of itself.
type sqliteSource struct {
	db            *sql.DB
	retention     time.Duration
	retentionRows int64
}

func (s *sqliteSource) read(ctx context.Context, from cache.Position) (b batch, err error) {
	version, err := sqliteSchemaVersion(ctx, s.db)
	if err == nil && version < len(sqliteVersions) {
		err = ErrNotMigrated
	}
	if err != nil {
		return b, err
	}
	// An unknown commit was on a connection that is closed, or of a program that died: SQLite has rolled it back, or
	// its row is among those read here.
	b.over = func(string) bool { return true }
	if err := s.readRows(ctx, from, &b); err != nil {
		return batch{}, err
	}
	if b.resync == "" {
		return b, nil
	}
	b.rows = nil
	b.position, err = s.newest(ctx)
	if errors.Is(err, sql.ErrNoRows) { // somebody emptied the outbox: give it a row to stand on again
		if _, err = s.db.ExecContext(ctx, "insert into cachesrv_invalidation (cause) values ('emptied')"); err == nil {
			b.position, err = s.newest(ctx)
		}
	}
	if err != nil {
		return batch{}, fmt.Errorf("the newest row of cachesrv_invalidation: %w", err)
	}
	return b, nil
}

// newest returns the position of the newest row.
func (s *sqliteSource) newest(ctx context.Context) (cache.Position, error) {
	var id, token string
	err := s.db.QueryRowContext(ctx, "select id, token from cachesrv_invalidation order by id desc limit 1").Scan(&id, &token)
	return cache.Position(id + " " + token), err
}

func (s *sqliteSource) readRows(ctx context.Context, from cache.Position, b *batch) error {
	if from == "" {
		b.resync = "it has no position in this outbox yet"
		return nil
	}
	idText, token, _ := strings.Cut(string(from), " ")
	last, err := strconv.ParseInt(idText, 10, 64)
	if err != nil || token == "" {
		b.resync = fmt.Sprintf("its position %.80q can't be read", string(from))
		return nil
	}
	rows, err := s.db.QueryContext(ctx, `
		select id, token, keys, tags, prefixes, everything <> 0, soft = 1, coalesce(cause, '')
		from cachesrv_invalidation where id >= ? order by id limit ?`, last, maxReplay+2)
	if err != nil {
		return err
	}
	defer rows.Close()
	b.position = ""
	bytes := 0
	for rows.Next() {
		var id int64
		var keys, tags, prefixes string
		var r row
		if err := rows.Scan(&id, &r.id, &keys, &tags, &prefixes, &r.all, &r.soft, &r.cause); err != nil {
			return err
		}
		if b.position == "" {
			if id != last || r.id != token {
				break // not its row
			}
			b.position = from
			continue
		}
		r.tx = "transaction " + strconv.FormatInt(id, 10)
		if err := r.decode(keys, tags, prefixes); err != nil {
			b.resync = fmt.Sprintf("row %d can't be read: %v", id, err)
			return nil
		}
		b.rows = append(b.rows, r)
		b.position = cache.Position(fmt.Sprintf("%d %s", id, r.id))
		if bytes += len(keys) + len(tags) + len(prefixes); len(b.rows) > maxReplay || bytes > maxReplayBytes {
			b.resync = "it missed more than is worth replaying"
			return nil
		}
	}
	if b.position == "" && rows.Err() == nil {
		b.resync = fmt.Sprintf("the last row it applied (%d) is gone: it was away for longer than rows are kept, or the database was exchanged or restored", last)
	}
	return rows.Err()
}

// trim deletes the oldest rows: those before the first that is young and near enough to the end, and never the newest.
func (s *sqliteSource) trim(ctx context.Context) error {
	cutoff := time.Now().Add(-s.retention).Unix()
	for {
		done, err := s.db.ExecContext(ctx, `
			with keep as (select
				coalesce((select min(id) from cachesrv_invalidation where at >= ?), (select max(id) from cachesrv_invalidation)) as young,
				(select max(id) from cachesrv_invalidation) as newest)
			delete from cachesrv_invalidation where id in (
				select id from cachesrv_invalidation, keep
				where id < newest and (id < young or id <= newest - ?) order by id limit ?)`,
			cutoff, s.retentionRows, trimChunk)
		if err != nil {
			return err
		}
		if n, err := done.RowsAffected(); err != nil || n < trimChunk {
			return err
		}
	}
}
