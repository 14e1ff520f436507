package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/cachesrv/cachesrv/cache"
)

func init() { openers["sqlite"] = openSQLiteFile }

func openSQLiteFile(ctx context.Context, file string, o Options) (*Catalog, error) {
	const dsn = "?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_txlock="
	write, err := sql.Open("sqlite", "file:"+file+dsn+"immediate")
	if err != nil {
		return nil, err
	}
	read, err := sql.Open("sqlite", "file:"+file+dsn+"deferred")
	if err != nil {
		return nil, err
	}
	return OpenSQLite(ctx, write, read, o)
}

func newSQLiteBase(t testing.TB) *base {
	dir := t.TempDir()
	return &base{kind: "sqlite", dir: dir, database: filepath.Join(dir, "index.db"), fresh: newSQLiteBase}
}

func TestSQLite(t *testing.T) { testCatalog(t, newSQLiteBase) }

// TestSQLiteSettings refuses databases that would lose commits, or let readers wait.
func TestSQLiteSettings(t *testing.T) {
	b := newSQLiteBase(t)
	c := b.catalog(t)
	for _, pragma := range []string{"synchronous(NORMAL)", "journal_mode(DELETE)"} {
		o := b.options(t)
		o.Store = c.o.Store
		file := filepath.Join(t.TempDir(), "x.db")
		dsn := "file:" + file + "?_pragma=journal_mode(WAL)&_pragma=" + pragma
		if strings.HasPrefix(pragma, "journal") {
			dsn = "file:" + file + "?_pragma=" + pragma
		}
		db, err := sql.Open("sqlite", dsn)
		must(t, err)
		if _, err := OpenSQLite(t.Context(), db, db, o); err == nil || !strings.Contains(err.Error(), "synchronous FULL") {
			t.Errorf("%s: %v", pragma, err)
		}
	}
}

// TestSQLiteBusy: another process has SQLite's lock for longer than the busy timeout.
func TestSQLiteBusy(t *testing.T) {
	b := newSQLiteBase(t)
	b.catalog(t) // makes it
	open := func(begin string) *sql.DB {
		db, err := sql.Open("sqlite", fmt.Sprintf("file:%s?_pragma=busy_timeout(1)&_pragma=journal_mode(wal)&_txlock=%s", b.database, begin))
		must(t, err)
		return db
	}
	o := b.options(t)
	o.Store = b.catalog(t).o.Store
	read := open("deferred")
	read.SetMaxOpenConns(3)
	c, err := OpenSQLite(t.Context(), open("immediate"), read, o)
	must(t, err)
	defer c.Close()
	equal(t, "searches at once, of 3 connections", cap(c.searching), 1)
	other := open("immediate")
	defer other.Close()
	for _, patient := range []bool{true, false} {
		tx, err := other.BeginTx(t.Context(), nil)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		begins := 0
		right := c.db
		c.db = &watched{database: right, begins: func() {
			if begins++; begins == 3 {
				if patient {
					must(t, tx.Rollback())
				} else {
					cancel()
				}
			}
		}}
		err = c.AddUser(ctx, "ada")
		if (err == nil) != patient || begins != 3 {
			t.Errorf("patient %t: %d attempts, %v", patient, begins, err)
		}
		c.db = right
		cancel()
		_ = tx.Rollback()
	}
}

func BenchmarkSQLite(b *testing.B) {
	benchmark(b, func(b *testing.B) *base { return newSQLiteBase(b) })
}

func TestSQLiteMigratesAtOnce(t *testing.T) { migrateAtOnce(t, newSQLiteBase(t)) }

func migrateAtOnce(t *testing.T, b *base) {
	store, err := cache.Open(t.Context(), cache.Options{Dir: b.dir, Live: filepath.Join(b.dir, "live")})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	o := b.options(t)
	o.Store = store
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			c, err := b.open(t, o)
			if err != nil {
				t.Error(err)
				return
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	whole(t, b.catalog(t))
}
