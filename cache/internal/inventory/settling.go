package inventory

import (
	"context"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// A Settling says how long what was invalidated is held back from being published again: its source may lag behind what the
// invalidation was about. The zero Settling holds nothing back and costs nothing.
type Settling struct {
	For time.Duration
	// Clock is the time since the machine was booted, suspension included: the same in all processes. 0: it can't be read.
	Clock func() time.Duration
}

// maxNames bounds the names that are kept. Beyond, everything settles.
const maxNames = 100_000

// A Notice is what an invalidation leaves for the fills that come after it.
type Notice struct {
	Names      []string // of what was invalidated; of no meaning here, but Everything's. Only with a Settling.
	Positioned bool     // what a source must contain from now on was named, and is required already
}

// Everything is the name that concerns every page.
const Everything = "p/"

// Notify leaves a notice, for an invalidation that records no intent.
func (db *DB) Notify(ctx context.Context, n Notice) error {
	return db.write(ctx, fault.NoticeWrite, "leave a notice", func(c *sqlite.Conn) error { return db.notify(c, n) })
}

func (db *DB) notify(c *sqlite.Conn, n Notice) error {
	if db.settling.For == 0 || len(n.Names) == 0 {
		return nil
	}
	now := max(1, db.settling.Clock())
	if err := db.prune(c, len(n.Names), now); err != nil {
		return err
	}
	if len(n.Names) > db.maxNames {
		n.Names = []string{Everything}
	}
	for _, name := range n.Names {
		if err := settle(c, name, now, n.Positioned); err != nil {
			return err
		}
	}
	return nil
}

// settle notes when a name was last invalidated, and when last without a position.
func settle(c *sqlite.Conn, name string, now time.Duration, positioned bool) error {
	return run(c, `INSERT INTO settling VALUES(?1, ?2, ?3) ON CONFLICT(name) DO UPDATE SET at = ?2, bare = iif(?3, ?3, bare)`,
		func(s *sqlite.Stmt) {
			bare := now
			if positioned {
				bare = 0
			}
			s.BindText(1, name)
			s.BindInt64(2, int64(now))
			s.BindInt64(3, int64(bare))
		}, nil)
}

// prune forgets names that have settled once there are many; should too many be left, it puts one name for all in their
// place.
func (db *DB) prune(c *sqlite.Conn, coming int, now time.Duration) error {
	if db.named += coming; db.named < db.maxNames/10 { // of this process, since it last looked; others look, too
		return nil
	}
	db.named = 0
	if err := run(c, `DELETE FROM settling WHERE at <= ?1 OR at > ?2 AND ?2 >= ?3`, func(s *sqlite.Stmt) {
		s.BindInt64(1, int64(now-db.settling.For))
		s.BindInt64(2, int64(now)) // of an earlier boot; see left
		s.BindInt64(3, int64(db.settling.For))
	}, nil); err != nil {
		return err
	}
	n := 0
	err := run(c, `SELECT count(*) FROM settling`, nil, func(s *sqlite.Stmt) error { n = s.ColumnInt(0); return nil })
	if err != nil || n+coming <= db.maxNames {
		return err
	}
	if err := run(c, `DELETE FROM settling`, nil, nil); err != nil {
		return err
	}
	return settle(c, Everything, now, false)
}

// Left returns for how long a page with these names is still held back from a fill that is claimed now, and does not say what
// its source contains.
func (db *DB) Left(ctx context.Context, names []string) (d time.Duration, err error) {
	if db.settling.For == 0 {
		return 0, nil
	}
	err = db.read(ctx, fault.PositionRead, "read what settles", func(c *sqlite.Conn) (err error) {
		d, err = db.left(c, &Fill{Names: names, Claimed: db.settling.Clock()})
		return err
	})
	return d, err
}

// left returns for how long a page with these names is still held back from a fill that was claimed at a time; 0: it is not.
//
// A source that lags by less than For shows, from For after the commit on, what the commit changed; and an invalidation is
// noted after the commit that it is about. The clock begins anew with each boot. That does no harm: a time that lies behind
// us counts as no longer ago than it was, and one that lies ahead of us is of an earlier boot, and so as long ago, at least,
// as this boot has lasted.
func (db *DB) left(c *sqlite.Conn, f *Fill) (longest time.Duration, err error) {
	if db.settling.For == 0 {
		return 0, nil
	}
	now := db.settling.Clock()
	if fault.Broken(fault.SettleAtPublish) {
		f.Claimed = now
	}
	for _, name := range f.Names {
		if err := run(c, `SELECT at, bare FROM settling WHERE name = ?`,
			func(s *sqlite.Stmt) { s.BindText(1, name) },
			func(s *sqlite.Stmt) error {
				at := time.Duration(s.ColumnInt64(0))
				if len(f.Position) > 0 { // it contains what is required, and so what came with a position
					at = time.Duration(s.ColumnInt64(1))
				}
				if at == 0 {
					return nil
				}
				if at > now {
					at = 0
				}
				if end := at + db.settling.For; f.Claimed < end {
					longest = max(longest, end-now, 1)
				}
				return nil
			}); err != nil {
			return 0, err
		}
	}
	return longest, nil
}
