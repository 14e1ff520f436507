package inventory

import (
	"context"
	"strings"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// An Invalidation is what fills in flight must see of one: tags and prefixes. (Keys reach a fill through its claim,
// and everything through the generation.)
type Invalidation struct {
	Seq      int64
	At       int64 // Unix nanoseconds
	Done     bool
	Soft     bool
	Tags     []string
	Prefixes []string // text forms
	Cause    string
}

const invalidationColumns = `seq, at, done, soft, tags, prefixes, cause`

func scanInvalidation(s *sqlite.Stmt) Invalidation {
	return Invalidation{
		Seq: s.ColumnInt64(0), At: s.ColumnInt64(1), Done: s.ColumnInt(2) != 0, Soft: s.ColumnInt(3) != 0,
		Tags: split(s.ColumnText(4)), Prefixes: split(s.ColumnText(5)), Cause: s.ColumnText(6),
	}
}

// keptInvalidations bounds the table. A fill that noted a counter older than what is kept gives up.
const keptInvalidations = 10_000

// Record stores an invalidation as an intent, with its notice: fills that commit their row later see it, and the rows of the others
// can be read when Record has returned, up to the id it returns with its number.
func (db *DB) Record(ctx context.Context, i Invalidation, n Notice) (seq, newest int64, err error) {
	err = db.write(ctx, fault.IntentRecord, "record an invalidation", func(c *sqlite.Conn) error {
		if err := run(c, `INSERT INTO invalidation(at, done, soft, tags, prefixes, cause) VALUES(?, 0, ?, ?, ?, ?)`,
			func(s *sqlite.Stmt) {
				s.BindInt64(1, time.Now().UnixNano())
				s.BindBool(2, i.Soft)
				s.BindText(3, strings.Join(i.Tags, "\n"))
				s.BindText(4, strings.Join(i.Prefixes, "\n"))
				s.BindText(5, i.Cause)
			}, nil); err != nil {
			return err
		}
		seq = c.LastInsertRowID()
		if err := db.notify(c, n); err != nil {
			return err
		}
		return run(c, `SELECT max(id) FROM publication`, nil, func(s *sqlite.Stmt) error {
			newest = s.ColumnInt64(0)
			return nil
		})
	})
	fault.Saw(fault.IntentRecord, seq)
	fault.Saw(fault.IntentRecord, newest)
	return seq, newest, err
}

// Done marks an intent as carried out, and forgets those long past.
func (db *DB) Done(ctx context.Context, seq int64) error {
	return db.write(ctx, fault.IntentDone, "finish an invalidation", func(c *sqlite.Conn) error {
		if err := run(c, `UPDATE invalidation SET done = 1 WHERE seq = ?`,
			func(s *sqlite.Stmt) { s.BindInt64(1, seq) }, nil); err != nil {
			return err
		}
		return run(c, `DELETE FROM invalidation WHERE seq <= ? AND done = 1`,
			func(s *sqlite.Stmt) { s.BindInt64(1, seq-keptInvalidations) }, nil)
	})
}

// Intents returns the invalidations that were recorded longer than age ago, or in the future of this clock, and not
// carried out: their owners died, or are slow. Doing one again is harmless. Negative: all of them.
func (db *DB) Intents(ctx context.Context, age time.Duration) (open []Invalidation, err error) {
	now := time.Now()
	err = db.read(ctx, fault.IntentsRead, "read open intents", func(c *sqlite.Conn) error {
		return run(c, `SELECT `+invalidationColumns+` FROM invalidation WHERE done = 0 AND (at < ? OR at > ? OR ?) ORDER BY seq`,
			func(s *sqlite.Stmt) {
				s.BindInt64(1, now.Add(-age).UnixNano())
				s.BindInt64(2, now.UnixNano())
				s.BindBool(3, age < 0)
			},
			func(s *sqlite.Stmt) error {
				open = append(open, scanInvalidation(s))
				return nil
			})
	})
	fault.Saw(fault.IntentsRead, open)
	return open, err
}

// Source returns the position of a source that was applied to these pages; empty if none was stored.
func (db *DB) Source(ctx context.Context, name string) (position string, err error) {
	err = db.read(ctx, fault.PositionRead, "read a position", func(c *sqlite.Conn) error {
		return run(c, `SELECT position FROM source WHERE name = ?`,
			func(s *sqlite.Stmt) { s.BindText(1, name) },
			func(s *sqlite.Stmt) error {
				position = s.ColumnText(0)
				return nil
			})
	})
	fault.Saw(fault.PositionRead, position)
	return position, err
}

// Sources returns all positions.
func (db *DB) Sources(ctx context.Context) (positions map[string]string, err error) {
	positions = make(map[string]string)
	err = db.read(ctx, fault.PositionRead, "read positions", func(c *sqlite.Conn) error {
		return run(c, `SELECT name, position FROM source`, nil, func(s *sqlite.Stmt) error {
			positions[s.ColumnText(0)] = s.ColumnText(1)
			return nil
		})
	})
	return positions, err
}

// SetSource stores the position of a source.
func (db *DB) SetSource(ctx context.Context, name, position string) error {
	return db.write(ctx, fault.PositionWrite, "store a position", func(c *sqlite.Conn) error {
		return setSource(c, name, position)
	})
}

func setSource(c *sqlite.Conn, name, position string) error {
	return run(c, `INSERT INTO source VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET position = excluded.position`,
		func(s *sqlite.Stmt) {
			s.BindText(1, name)
			s.BindText(2, position)
		}, nil)
}
