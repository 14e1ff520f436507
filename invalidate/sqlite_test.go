package invalidate

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite"

	"github.com/cachesrv/cachesrv/cache"
)

func TestSQLite(t *testing.T) {
	testDatabase(t, func(t *testing.T) database { return newSQLite(t) })
}

type sqliteDatabase struct {
	file  string
	db    *sql.DB
	hooks *SQLiteHooks
}

func newSQLite(t *testing.T) *sqliteDatabase {
	d := &sqliteDatabase{file: filepath.Join(t.TempDir(), "app.db")}
	d.connect(t)
	must(t, d.migrate(t.Context()))
	d.exec(t, "create table note (id integer)", "")
	return d
}

func (d *sqliteDatabase) connect(t *testing.T) { d.db = openSQLite(t, d.file) }

func openSQLite(t testing.TB, file string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=journal_mode(wal)&_pragma=busy_timeout(10000)&_txlock=immediate")
	must(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func (d *sqliteDatabase) opened(ctx context.Context, s Store) (*hooks, error) {
	h, err := NewSQLite(ctx, s, d.db, Options{})
	if err != nil {
		return nil, err
	}
	return h.hooks, h.Close()
}

func (d *sqliteDatabase) open(t *testing.T, store Store, o Options) *hooks {
	t.Helper()
	o.Logger = cmp.Or(o.Logger, slog.New(slog.NewTextHandler(t.Output(), nil)))
	h, err := NewSQLite(t.Context(), store, d.db, o)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	d.hooks = h
	return h.hooks
}

func (d *sqliteDatabase) begin(t *testing.T, ctx context.Context) testTx {
	tx, err := d.hooks.Begin(ctx)
	must(t, err)
	return sqliteTestTx{SQLiteTx: tx}
}

func (d *sqliteDatabase) count(t *testing.T, query string) (n int) {
	t.Helper()
	must(t, d.db.QueryRow(query).Scan(&n))
	return n
}

func (d *sqliteDatabase) notes(t *testing.T) int { return d.count(t, "select count(*) from note") }
func (d *sqliteDatabase) rows(t *testing.T) int {
	return d.count(t, "select count(*) from cachesrv_invalidation where coalesce(cause, '') <> 'created'")
}
func (d *sqliteDatabase) migrate(ctx context.Context) error { return Migrate(ctx, d.db) }

func (d *sqliteDatabase) exec(t *testing.T, sqlite, _ string) {
	t.Helper()
	_, err := d.db.Exec(sqlite)
	must(t, err)
}

type sqliteTestTx struct {
	*SQLiteTx
	sp *SQLiteSavepoint
}

func (t sqliteTestTx) tx() any {
	if t.sp != nil {
		return t.sp
	}
	return t.SQLiteTx
}

func (t sqliteTestTx) insert(tt *testing.T, note int) {
	tt.Helper()
	_, err := t.Exec("insert into note values (?)", note)
	must(tt, err)
}

func (t sqliteTestTx) savepoint(tt *testing.T) testTx {
	sp, err := t.Savepoint(tt.Context())
	must(tt, err)
	return sqliteTestTx{t.SQLiteTx, sp}
}

func (t sqliteTestTx) rollback(tt *testing.T) {
	tt.Helper()
	if t.sp != nil {
		must(tt, t.sp.Rollback(tt.Context()))
		return
	}
	must(tt, t.Rollback())
}

func (t sqliteTestTx) commit() error {
	if t.sp != nil {
		return t.sp.Release(context.Background())
	}
	return t.Commit()
}

func (t sqliteTestTx) die(tt *testing.T) {
	tt.Helper()
	r, _ := t.recording.row()
	_, err := insertSQLite(tt.Context(), t.Tx, &r)
	must(tt, err)
	must(tt, t.Tx.Commit())
	must(tt, t.conn.Close())
}

// TestSQLiteCommitThatFails uses a deferred foreign key, which fails at COMMIT and leaves the transaction open.
func TestSQLiteCommitThatFails(t *testing.T) {
	d, store := newSQLite(t), newStore()
	h := d.open(t, store, Options{ReplayInterval: never})
	store.forget()
	d.db.SetMaxOpenConns(1) // a transaction left open on the connection would now be everybody's
	d.exec(t, "create table child (note integer references note2 deferrable initially deferred); create table note2 (id integer primary key)", "")
	d.exec(t, "pragma foreign_keys = on; create temp table marker (of_this_connection)", "")
	tx, err := d.hooks.Begin(t.Context())
	must(t, err)
	_, err = tx.Exec("insert into child values (7)")
	must(t, err)
	must(t, TagsTx(t.Context(), tx, "a"))
	if err := tx.Commit(); err == nil || errors.Is(err, ErrCommitUnknown) || !strings.Contains(err.Error(), "FOREIGN KEY") {
		t.Fatalf("got %v, want the foreign key's error", err)
	}
	if d.count(t, "select count(*) from sqlite_temp_master") != 0 {
		t.Fatal("the connection is still in use")
	}
	must(t, h.Replay(t.Context()))
	if len(store.selections()) != 0 || d.rows(t) != 0 || d.count(t, "select count(*) from child") != 0 {
		t.Fatal("something of the transaction is there")
	}
}

// TestSQLiteSettle looks at what became of a commit that returned an error: it is there, it is not, it can't be known.
func TestSQLiteSettle(t *testing.T) {
	d, store := newSQLite(t), newStore()
	d.open(t, store, Options{ReplayInterval: never})
	lost := errors.New("the answer was lost")
	settle := func(tag string, commit, gone bool) error {
		store.forget()
		tx, err := d.hooks.Begin(t.Context())
		must(t, err)
		must(t, TagsTx(t.Context(), tx, tag))
		r, _ := tx.recording.row()
		id, err := insertSQLite(t.Context(), tx.Tx, &r)
		must(t, err)
		if commit {
			must(t, tx.Tx.Commit())
		} else {
			must(t, tx.Tx.Rollback())
		}
		if gone {
			must(t, d.db.Close())
		}
		return tx.settle(r, id, lost)
	}
	must(t, settle("there", true, false))
	equal(t, "committed", store.tags(), []string{"there"})
	wantError(t, settle("not-there", false, false), lost)
	equal(t, "rolled back", store.tags(), nil)
	err := settle("unknown", true, true)
	wantError(t, err, ErrCommitUnknown)
	wantError(t, err, lost)
	if log := store.log(); len(log) < 2 || log[0] != "withhold" || log[1] != "invalidate" {
		t.Fatalf("events %v", log)
	}
	must(t, d.hooks.Close())
	d.connect(t)
	store.forget()
	d.open(t, store, Options{ReplayInterval: never})
	equal(t, "at the next start", store.tags(), []string{"there", "unknown"})
	if store.held() != 0 {
		t.Fatal("still withheld")
	}
}

// TestSQLiteRetention: rows go by age and by number; who has the oldest row that is left, or a later one, goes on;
// who does not drops everything.
func TestSQLiteRetention(t *testing.T) {
	d, store := newSQLite(t), newStore()
	h := d.open(t, store, Options{ReplayInterval: never, RetentionRows: 2500})
	positions := []cache.Position{store.positions["database"]} // positions[i] is that after i rows
	insert := func(at string, n int) {
		t.Helper()
		for range n {
			d.exec(t, "insert into cachesrv_invalidation (tags, at) values ('[\"x\"]', "+at+")", "")
			must(t, h.Replay(t.Context()))
			positions = append(positions, store.positions["database"])
		}
	}
	resyncs := func(after int) bool {
		t.Helper()
		store.forget()
		must(t, store.SetSourcePosition(t.Context(), "database", positions[after]))
		must(t, h.Replay(t.Context()))
		return slices.Contains(store.tags(), "*")
	}
	d.exec(t, "update cachesrv_invalidation set at = 0", "")
	insert("strftime('%s', 'now') - 100000", 30)
	insert("strftime('%s', 'now')", 20)
	insert("strftime('%s', 'now') - 100000", 1) // the clock went back: the rows before it stay
	must(t, h.source.trim(t.Context()))
	if n := d.rows(t); n != 21 {
		t.Fatalf("%d rows are left, want 21", n)
	}
	for after := range positions {
		if got, want := resyncs(after), after < 31; got != want {
			t.Errorf("after %d rows: resync %t, want %t", after, got, want)
		}
	}
	d.exec(t, `with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
		insert into cachesrv_invalidation (tags) select '["y"]' from n`, "")
	must(t, h.source.trim(t.Context()))
	if n := d.rows(t); n != 2500 {
		t.Fatalf("%d rows are left, want 2500", n)
	}
	d.exec(t, "update cachesrv_invalidation set at = 0", "")
	must(t, h.Replay(t.Context()))
	must(t, h.source.trim(t.Context()))
	if n := d.rows(t); n != 1 {
		t.Fatalf("%d rows are left, want the newest", n)
	}
	store.forget()
	must(t, h.Replay(t.Context()))
	equal(t, "who had everything", store.tags(), nil)
}

// TestSQLiteBackup exchanges the file for an older copy of itself, which then goes another way.
func TestSQLiteBackup(t *testing.T) {
	d, store := newSQLite(t), newStore()
	backup := filepath.Join(t.TempDir(), "backup.db")
	commit := func(tag string) {
		tx, err := d.hooks.Begin(t.Context())
		must(t, err)
		must(t, TagsTx(t.Context(), tx, tag))
		must(t, tx.Commit())
	}
	d.open(t, store, Options{ReplayInterval: never})
	commit("1")
	d.exec(t, fmt.Sprintf("vacuum into '%s'", backup), "")
	commit("2")
	must(t, d.hooks.Replay(t.Context()))
	must(t, d.hooks.Close())
	must(t, d.db.Close())
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Remove(d.file + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
	}
	must(t, os.Rename(backup, d.file))
	d.connect(t)

	store.forget()
	other := newStore()
	d.open(t, other, Options{ReplayInterval: never})
	commit("2,but-another-one") // now the file has as many rows as before
	commit("3")
	d.open(t, store, Options{ReplayInterval: never})
	equal(t, "invalidated", store.tags(), []string{"*"})
}

// TestSQLiteOrder states what sqliteSource relies on: ids are in the order of commits, also after rollbacks and
// deletions.
func TestSQLiteOrder(t *testing.T) {
	d := newSQLite(t)
	last := d.count(t, "select max(id) from cachesrv_invalidation")
	for i := range 4 {
		tx, err := d.db.Begin()
		must(t, err)
		_, err = tx.Exec("insert into cachesrv_invalidation default values")
		must(t, err)
		if i%2 == 0 {
			must(t, tx.Rollback())
			continue
		}
		must(t, tx.Commit())
		id := d.count(t, "select max(id) from cachesrv_invalidation")
		if id <= last {
			t.Fatalf("id %d after %d", id, last)
		}
		last = id
		d.exec(t, "delete from cachesrv_invalidation", "")
	}
}

// TestSQLiteRefuses: what is not an SQLite database, and what is none of ours.
// TestSQLiteEmptiedOutbox: whoever empties the table by hand costs every page once, and no more.
func TestSQLiteEmptiedOutbox(t *testing.T) {
	d, store := newSQLite(t), newStore()
	d.open(t, store, Options{ReplayInterval: never})
	must(t, d.hooks.Close())
	d.exec(t, "delete from cachesrv_invalidation", "")
	store.forget()
	d.open(t, store, Options{ReplayInterval: never})
	equal(t, "invalidated after it was emptied", store.tags(), []string{"*"})
	store.forget()
	must(t, d.hooks.Replay(t.Context()))
	equal(t, "and by the next replay", store.tags(), nil)
}

func TestSQLiteRefuses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text.db")
	must(t, os.WriteFile(file, []byte(strings.Repeat("this is not a database\n", 100)), 0o600))
	db, err := sql.Open("sqlite", file)
	must(t, err)
	defer db.Close()
	store := newStore()
	if _, err := NewSQLite(t.Context(), store, db, Options{}); err == nil || !strings.Contains(err.Error(), "not a database") {
		t.Fatalf("got %v", err)
	}
	if err := Migrate(t.Context(), db); err == nil {
		t.Fatal("migrated")
	}
	if store.open {
		t.Fatal("let the store serve")
	}
	if err := Migrate(t.Context(), "postgres://"); err == nil || !strings.Contains(err.Error(), "string") {
		t.Fatalf("got %v", err)
	}
}
