// Package inventory is the SQLite index of one generation: a row per publication, and the invalidations that fills
// must see. It lies beside the pages, several processes share it, and losing it loses no data: whoever finds it
// missing, damaged or busy drops the generation.
package inventory

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/cachesrv/cachesrv/cache/fault"
)

// Version is that of the schema. An inventory of another one is not opened.
const Version = 2

const schema = `
CREATE TABLE publication(
	id       INTEGER PRIMARY KEY, -- order of publication; from total.next, never used twice
	file     TEXT    NOT NULL, -- of the page, relative to pages/
	claim    TEXT    NOT NULL, -- of its claim, likewise
	key      TEXT    NOT NULL,
	ino      INTEGER NOT NULL, -- with sec and nsec, the identity of this publication
	sec      INTEGER NOT NULL,
	nsec     INTEGER NOT NULL,
	size     INTEGER NOT NULL,
	digest   BLOB    NOT NULL, -- SHA-256 of the body
	status   INTEGER NOT NULL,
	header   TEXT    NOT NULL, -- as on the wire, CRLF after each line
	tags     TEXT    NOT NULL, -- separated by LF
	position TEXT    NOT NULL,
	created  INTEGER NOT NULL, -- Unix nanoseconds, as are the next two
	expires  INTEGER NOT NULL, -- 0: never
	graced   INTEGER NOT NULL DEFAULT 0, -- when it was soft-purged; 0: it was not
	grace    INTEGER NOT NULL, -- nanoseconds
	twins    INTEGER NOT NULL DEFAULT 0, -- bits: 1 gzip, 2 br, 4 zstd
	hits     INTEGER NOT NULL DEFAULT 0,
	visited  INTEGER NOT NULL DEFAULT 0  -- SIEVE: since the hand last passed
);
CREATE INDEX publication_file ON publication(file);
CREATE TABLE tag(tag TEXT NOT NULL, publication INTEGER NOT NULL, PRIMARY KEY(tag, publication)) WITHOUT ROWID;
CREATE TABLE invalidation(
	seq   INTEGER PRIMARY KEY AUTOINCREMENT,
	at    INTEGER NOT NULL, -- Unix nanoseconds
	done  INTEGER NOT NULL, -- 0: an intent, redone at the next opening if its owner died
	soft  INTEGER NOT NULL,
	tags  TEXT NOT NULL,    -- separated by LF
	prefixes TEXT NOT NULL, -- text forms, separated by LF
	cause TEXT NOT NULL
);
CREATE INDEX invalidation_open ON invalidation(seq) WHERE done = 0;
CREATE TABLE settling( -- what was invalidated lately; see Settling
	name TEXT PRIMARY KEY,
	at   INTEGER NOT NULL, -- nanoseconds of the boot-time clock, as is the next
	bare INTEGER NOT NULL  -- when it last was without a position; 0: not
) WITHOUT ROWID;
CREATE TABLE required( -- one row; see Required
	position TEXT NOT NULL,
	whole    INTEGER NOT NULL,
	former   TEXT NOT NULL -- separated by LF
);
INSERT INTO required VALUES('', 0, '');
CREATE TABLE source(name TEXT PRIMARY KEY, position TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE total(pages INTEGER NOT NULL, bytes INTEGER NOT NULL, hand INTEGER NOT NULL, next INTEGER NOT NULL);
INSERT INTO total VALUES(0, 0, 0, 1);
CREATE TRIGGER publication_added AFTER INSERT ON publication BEGIN -- AUTOINCREMENT would write one more page
	UPDATE total SET pages = pages + 1, bytes = bytes + NEW.size, next = NEW.id + 1;
END;
CREATE TRIGGER publication_removed AFTER DELETE ON publication BEGIN
	UPDATE total SET pages = pages - 1, bytes = bytes - OLD.size;
END;
`

// ErrBusy: another writer kept the inventory for longer than the timeout.
var ErrBusy = errors.New("inventory busy")

// DB is an open inventory. Its methods may be called concurrently.
type DB struct {
	path     string
	timeout  time.Duration
	settling Settling
	maxNames int // that settle
	named    int // of those, what the writer has noted since it last pruned them

	writer  chan *sqlite.Conn // one: the lock of writers in this process
	readers chan *sqlite.Conn
	closing sync.Once
}

// readers per process. Reads are short (microseconds), save listings.
const readerCount = 4

// A First is what a new inventory begins with: what is left of the one before it.
type First struct {
	Sources  map[string]string // positions of sources
	Required Required
	Settles  time.Duration // the time at which everything was invalidated; 0: no Settling
}

// Create makes a new inventory without pages, which must not exist yet.
func Create(path string, first First) error {
	err := fault.Enter(fault.InventoryCreate, fault.Write, path)
	if err == nil {
		err = fault.Leave(fault.InventoryCreate, create(path, first))
	}
	if err != nil {
		return fmt.Errorf("create inventory %s: %w", path, err)
	}
	return nil
}

func create(path string, first First) error {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenCreate|sqlite.OpenWAL)
	if err != nil {
		return err
	}
	if err = sqlitex.ExecuteTransient(c, "PRAGMA synchronous=off", nil); err == nil {
		err = sqlitex.ExecuteScript(c, fmt.Sprintf("%s PRAGMA user_version=%d;", schema, Version), nil) // one transaction
	}
	if err == nil {
		err = first.write(c)
	}
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (f First) write(c *sqlite.Conn) (err error) {
	for name, position := range f.Sources {
		if err := setSource(c, name, position); err != nil {
			return err
		}
	}
	if f.Settles > 0 {
		if err := settle(c, Everything, f.Settles, false); err != nil {
			return err
		}
	}
	return writeRequired(c, f.Required)
}

// Open opens an inventory that Create made. Waits for its lock end after timeout.
func Open(path string, timeout time.Duration, settling Settling) (*DB, error) {
	if err := fault.Enter(fault.InventoryOpen, fault.Read, path); err != nil {
		return nil, fmt.Errorf("open inventory %s: %w", path, err)
	}
	db, err := openAll(path, timeout, settling)
	if failed := fault.Leave(fault.InventoryOpen, err); failed != nil {
		if err == nil {
			_ = db.Close()
		}
		return nil, fmt.Errorf("open inventory %s: %w", path, failed)
	}
	return db, nil
}

func openAll(path string, timeout time.Duration, settling Settling) (*DB, error) {
	db := &DB{
		path: path, timeout: timeout, settling: settling, maxNames: maxNames,
		writer: make(chan *sqlite.Conn, 1), readers: make(chan *sqlite.Conn, readerCount),
	}
	for i := range readerCount + 1 {
		c, err := open(path, timeout)
		if err != nil {
			db.Close()
			return nil, err
		}
		if i == 0 {
			db.writer <- c
		} else {
			db.readers <- c
		}
	}
	return db, nil
}

func open(path string, timeout time.Duration) (*sqlite.Conn, error) {
	c, err := sqlite.OpenConn(path, sqlite.OpenReadWrite|sqlite.OpenWAL)
	if err != nil {
		return nil, err
	}
	c.SetBusyTimeout(timeout)
	version := int64(-1)
	err = sqlitex.ExecuteTransient(c, "PRAGMA user_version", &sqlitex.ExecOptions{ResultFunc: func(s *sqlite.Stmt) error {
		version = s.ColumnInt64(0)
		return nil
	}})
	if err == nil && version != Version {
		err = fmt.Errorf("its version is %d, this program's is %d", version, Version)
	}
	if err == nil { // no fsync: after a power cut nothing of it is used
		err = sqlitex.ExecuteTransient(c, "PRAGMA synchronous=off", nil)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close waits for calls under way and closes the connections. The last process to close checkpoints the WAL.
func (db *DB) Close() error {
	var err error
	db.closing.Do(func() {
		for range cap(db.writer) {
			select {
			case c := <-db.writer:
				err = errors.Join(err, c.Close())
			case <-time.After(db.timeout):
			}
		}
		close(db.readers)
		for c := range db.readers {
			err = errors.Join(err, c.Close())
		}
	})
	return err
}

// name is what a scheduler is told that transactions are about.
const name = "inventory"

// write runs f in an immediate transaction.
func (db *DB) write(ctx context.Context, l fault.Label, op string, f func(c *sqlite.Conn) error) (err error) {
	if err := fault.Enter(l, fault.Write, name); err != nil {
		return db.wrap(op, err)
	}
	return fault.Leave(l, db.writeNow(ctx, op, f))
}

func (db *DB) writeNow(ctx context.Context, op string, f func(c *sqlite.Conn) error) (err error) {
	var c *sqlite.Conn
	select {
	case c = <-db.writer:
	default:
		timer := time.NewTimer(db.timeout)
		defer timer.Stop()
		select {
		case c = <-db.writer:
		case <-timer.C:
			return fmt.Errorf("%s in inventory %s: %w", op, db.path, ErrBusy)
		case <-ctx.Done():
			return fmt.Errorf("%s in inventory %s: %w", op, db.path, ctx.Err())
		}
	}
	defer func() { db.writer <- c }()
	if err := run(c, "BEGIN IMMEDIATE", nil, nil); err != nil {
		return db.wrap(op, err)
	}
	defer func() {
		if err != nil && !c.AutocommitEnabled() {
			_ = run(c, "ROLLBACK", nil, nil)
		}
	}()
	if err := f(c); err != nil {
		return db.wrap(op, err)
	}
	return db.wrap(op, run(c, "COMMIT", nil, nil))
}

// read runs f on a connection for reading; each statement sees a snapshot of its own.
func (db *DB) read(ctx context.Context, l fault.Label, op string, f func(c *sqlite.Conn) error) error {
	if err := fault.Enter(l, fault.Read, name); err != nil {
		return db.wrap(op, err)
	}
	return fault.Leave(l, db.readNow(ctx, op, f))
}

func (db *DB) readNow(ctx context.Context, op string, f func(c *sqlite.Conn) error) error {
	select {
	case c, ok := <-db.readers:
		if !ok {
			return fmt.Errorf("%s in inventory %s: closed", op, db.path)
		}
		defer db.release(c)
		return db.wrap(op, f(c))
	case <-ctx.Done():
		return fmt.Errorf("%s in inventory %s: %w", op, db.path, ctx.Err())
	}
}

func (db *DB) release(c *sqlite.Conn) {
	defer func() {
		if recover() != nil { // closed meanwhile
			c.Close()
		}
	}()
	db.readers <- c
}

func (db *DB) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	if sqlite.ErrCode(err).ToPrimary() == sqlite.ResultBusy {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return fmt.Errorf("%s in inventory %s: %w", op, db.path, err)
}

// run executes one cached statement.
func run(c *sqlite.Conn, query string, bind func(*sqlite.Stmt), row func(*sqlite.Stmt) error) error {
	s, err := c.Prepare(query)
	if err != nil {
		return err
	}
	defer func() { // a statement left open would keep its snapshot
		_ = s.Reset()
		_ = s.ClearBindings()
	}()
	if bind != nil {
		bind(s)
	}
	for {
		more, err := s.Step()
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
		if row != nil {
			if err := row(s); err != nil {
				return err
			}
		}
	}
}
