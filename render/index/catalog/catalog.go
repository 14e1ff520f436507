// Package catalog keeps what a package index knows: projects, releases, files, users, roles and tokens, in an SQLite or
// PostgreSQL database, and the files themselves in a folder. Every change commits through hooks that drop the pages
// which show it.
//
// # Order
//
// Every change takes the next serial, from a row that it keeps locked until it has committed: changes queue there, so
// serials increase in the order of commits, and whoever has the lock may trust what it reads. The folder of files
// changes under that lock only (see incoming.go).
//
// # Bounds
//
// A change waits for others, of this process and of others, and takes, a minute at most; a read 30 s, a search 5 s. 256
// files may be on their way in at once, of which GOMAXPROCS are looked into, and 4 searches be under way; one more waits.
package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/render/index/dist"
)

// Bounds.
const (
	writeTimeout  = time.Minute           // a change: waiting for others, and committing
	readTimeout   = 30 * time.Second      // a read
	tokenTimeout  = 10 * time.Second      // looking for a token
	searchTimeout = 5 * time.Second       // a search, and waiting for others
	mostSearches  = 4                     // at once, in this process
	busyPause     = 10 * time.Millisecond // before SQLite is asked again for its lock; it has a timeout of its own
	settleTimeout = time.Minute           // finding out what became of a file
	sweepInterval = time.Minute           // between two looks for what the dead have left
	mostArriving  = 256                   // files on their way in, in this process
	defaultMax    = 100 << 20             // Options.MaxFile
	endTimeout    = 5 * time.Second       // ending a transaction whose context has ended
	openTimeout   = 30 * time.Second      // bringing the tables to this version
)

// Options configure a catalog.
type Options struct {
	Store   *cache.Store // whose pages commits drop; required
	Dir     string       // folder; the files lie in Dir/files, those arriving in Dir/incoming. Required
	MaxFile int64        // bytes of an uploaded file. Default 100 MiB
	Limits  dist.Limits
	Logger  *slog.Logger // default slog.Default()
}

// A Catalog is safe for concurrent use, by several processes too.
type Catalog struct {
	db  database
	o   Options
	log *slog.Logger

	root       *os.Root      // of Options.Dir
	folders    durable       // which folders of files are known to survive a power cut
	writing    chan struct{} // has room for one: a writer that only waits needs no connection
	arriving   chan struct{}
	inspecting chan struct{}
	searching  chan struct{}

	passed func(point string) // is told how far an upload or a deletion has come: fault.Point, but for tests

	stop    context.CancelFunc
	stopped chan struct{}
}

// OpenSQLite opens a catalog in an SQLite database (WAL mode, synchronous FULL, busy timeout): write begins immediate
// transactions (_txlock=immediate), read deferred ones. It migrates, replays, lifts the store's fence, and removes what
// uploads that died have left. Both databases are the catalog's from now on, also when it fails. ctx bounds only this
// call. Errors: ErrTooNew, ErrOtherFiles, those of the database, the store or the folder.
func OpenSQLite(ctx context.Context, write, read *sql.DB, o Options) (*Catalog, error) {
	return open(ctx, &sqliteDatabase{write: write, sqliteQueryer: sqliteQueryer{read}, pool: read}, o)
}

// OpenPostgres is OpenSQLite for PostgreSQL. The pool must lead to the primary.
func OpenPostgres(ctx context.Context, pool *pgxpool.Pool, o Options) (*Catalog, error) {
	return open(ctx, &pgDatabase{pool: pool, pgQueryer: pgQueryer{pool}}, o)
}

func open(ctx context.Context, db database, o Options) (_ *Catalog, err error) {
	c := &Catalog{
		db: db, o: o, passed: fault.Point,
		writing: make(chan struct{}, 1), arriving: make(chan struct{}, mostArriving), inspecting: make(chan struct{}, runtime.GOMAXPROCS(0)),
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open the catalog: %w", errors.Join(err, c.Close()))
		}
	}()
	switch {
	case o.Store == nil:
		return nil, errors.New("Options.Store is nil")
	case o.Dir == "":
		return nil, errors.New("Options.Dir is empty: name the folder that is to hold the files")
	case o.MaxFile < 0:
		return nil, errors.New("Options.MaxFile is negative; zero means its default")
	}
	if c.o.MaxFile == 0 {
		c.o.MaxFile = defaultMax
	}
	if c.o.Logger == nil {
		c.o.Logger = slog.Default()
	}
	c.log = c.o.Logger
	if err := c.openFolder(); err != nil {
		return nil, err
	}
	searches := mostSearches
	if n := db.connections(); n > 0 {
		searches = min(searches, max(n/2, 1))
	}
	c.searching = make(chan struct{}, searches)
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	if err := db.migrate(opening); err != nil {
		return nil, err
	}
	if err := c.pair(opening); err != nil { // before the hooks: another index's pages are none of this database's business
		return nil, err
	}
	if err := db.hook(ctx, o.Store, c.log); err != nil {
		return nil, err
	}
	if err := c.sweep(ctx, true); err != nil { // what is left is in nobody's way
		if ctx.Err() != nil {
			return nil, err
		}
		c.log.Warn("what uploads and deletions have left behind can't be settled; trying again within a minute", "err", err)
	}
	ctx, c.stop = context.WithCancel(context.Background()) // until Close
	c.stopped = make(chan struct{})
	go c.run(ctx)
	return c, nil
}

// Close closes the catalog and its databases. Calls under way fail. Close the store after it.
func (c *Catalog) Close() error {
	if c.stop != nil {
		c.stop()
		<-c.stopped
	}
	err := c.db.close()
	if c.root != nil {
		err = errors.Join(err, c.root.Close())
	}
	return err
}

// Ping reports whether the database answers.
func (c *Catalog) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var serial int64
	if err := get(ctx, c.db, "SELECT serial FROM index_state", nil, &serial); err != nil {
		return fmt.Errorf("the database is gone: %w", err)
	}
	return nil
}

// Tags that pages carry and commits name.
const AllProjects = "all-projects"

// ProjectTag is the tag of what shows a project, or that there is none of the (normalised) name.
func ProjectTag(normal string) string { return "project:" + normal }

// UserTag is the tag of what shows a user and their projects, or that there is no such user. Upper and lower case are the
// same.
func UserTag(name string) string { return "user:" + strings.ToLower(name) }
