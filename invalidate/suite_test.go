package invalidate

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// A database is what the suite needs of one kind: a migrated database with a table note (id integer).
type database interface {
	open(t *testing.T, store Store, o Options) *hooks    // NewPgx, NewSQLite; closed with the test
	begin(t *testing.T, ctx context.Context) testTx      // on the hooks opened last
	notes(t *testing.T) int                              // how many a connection of its own sees
	rows(t *testing.T) int                               // in the outbox, but for the one SQLite begins with
	exec(t *testing.T, sqlite, postgres string)          // past the hooks
	migrate(ctx context.Context) error                   // again
	opened(ctx context.Context, s Store) (*hooks, error) // like open
}

type testTx interface {
	tx() any // for TagsTx
	insert(t *testing.T, note int)
	savepoint(t *testing.T) testTx
	rollback(t *testing.T)
	commit() error
	die(t *testing.T) // commits, and dies before the hook
}

// never is a replay interval for tests that replay by hand.
const never = time.Hour

// testDatabase runs what must hold for every kind of database.
func testDatabase(t *testing.T, open func(t *testing.T) database) {
	// fresh returns a database and a store that has just been attached to it.
	fresh := func(t *testing.T) (database, *recordingStore, *hooks) {
		t.Helper()
		db, store := open(t), newStore()
		h := db.open(t, store, Options{ReplayInterval: never})
		equal(t, "a folder without a position", store.tags(), []string{"*"})
		store.forget()
		return db, store, h
	}

	t.Run("a commit invalidates what it named, once", func(t *testing.T) {
		db, store, h := fresh(t)
		tx := db.begin(t, t.Context())
		tx.insert(t, 1)
		must(t, TagsTx(t.Context(), tx.tx(), "note:1", "all-notes"))
		must(t, TagsTx(t.Context(), tx.tx(), "all-notes"))
		must(t, KeysTx(t.Context(), tx.tx(), parseKey(t, "example.org/notes/1?a=b#json"), parseKey(t, "/notes")))
		must(t, PrefixesTx(t.Context(), tx.tx(), key.Prefix{Host: "example.org", Path: "/x"}, key.Prefix{Path: "/y"}))
		must(t, SelectTx(t.Context(), tx.tx(), cache.Selection{Tags: []string{"note:1"}, Cause: "a test"}))
		must(t, tx.commit())
		check := func(when string) {
			t.Helper()
			if len(store.selections()) != 1 {
				t.Fatalf("%s: %d invalidations: %+v", when, len(store.selections()), store.selections())
			}
			got := store.selections()[0]
			equal(t, "tags", got.Tags, []string{"note:1", "all-notes"})
			equal(t, "keys", got.Keys, []cache.Key{parseKey(t, "example.org/notes/1?a=b#json"), parseKey(t, "/notes")})
			equal(t, "prefixes", got.Prefixes, []key.Prefix{{Host: "example.org", Path: "/x"}, {Path: "/y"}})
			if got.Cause != "a test" || got.Soft || got.All {
				t.Fatalf("%s: %+v", when, got)
			}
		}
		check("hook")
		must(t, h.Replay(t.Context())) // does not repeat what the hook did
		check("hook and replay")
		if db.rows(t) != 1 {
			t.Fatalf("%d rows in the outbox, want 1", db.rows(t))
		}
		store.forget()
		db.open(t, store, Options{ReplayInterval: never})
		equal(t, "opening again, all applied", store.tags(), nil)
	})

	t.Run("a replayed row is what was recorded", func(t *testing.T) {
		db, store, h := fresh(t)
		tx := db.begin(t, t.Context())
		sel := cache.Selection{
			Keys: []cache.Key{parseKey(t, "example.org/notes/1?a=%22#json")}, Tags: []string{`quote"comma,brace}nullé`},
			Prefixes: []key.Prefix{{Host: "example.org", Path: "/x"}, {}}, Soft: true, Cause: "because",
		}
		must(t, SelectTx(t.Context(), tx.tx(), sel))
		tx.die(t)
		must(t, h.Replay(t.Context()))
		if got := store.selections(); len(got) != 1 || fmt.Sprintf("%+v", got[0]) != fmt.Sprintf("%+v", sel) {
			t.Fatalf("got  %+v\nwant %+v", got, sel)
		}
	})

	t.Run("a selection is soft only if all are", func(t *testing.T) {
		db, store, _ := fresh(t)
		for _, hard := range []bool{false, true} {
			tx := db.begin(t, t.Context())
			must(t, SelectTx(t.Context(), tx.tx(), cache.Selection{Tags: []string{"a"}, Soft: true}))
			if hard {
				must(t, TagsTx(t.Context(), tx.tx(), "b"))
			}
			must(t, tx.commit())
			if got := store.selections()[0]; got.Soft == hard {
				t.Fatalf("%+v, with a hard one: %t", got, hard)
			}
			store.forget()
		}
	})

	t.Run("rollback does nothing", func(t *testing.T) {
		db, store, h := fresh(t)
		tx := db.begin(t, t.Context())
		tx.insert(t, 1)
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		tx.rollback(t)
		must(t, h.Replay(t.Context()))
		equal(t, "invalidated", store.tags(), nil)
		if db.rows(t) != 0 || db.notes(t) != 0 {
			t.Fatalf("%d rows, %d notes", db.rows(t), db.notes(t))
		}
		wantError(t, TagsTx(t.Context(), tx.tx(), "a"), ErrFinished)
		if tx.commit() == nil {
			t.Fatal("commit after rollback")
		}
	})

	t.Run("a transaction that names nothing leaves no row", func(t *testing.T) {
		db, store, _ := fresh(t)
		tx := db.begin(t, t.Context())
		tx.insert(t, 1)
		must(t, TagsTx(t.Context(), tx.tx()))
		must(t, tx.commit())
		if db.notes(t) != 1 || db.rows(t) != 0 || len(store.selections()) != 0 {
			t.Fatalf("%d notes, %d rows, %v", db.notes(t), db.rows(t), store.selections())
		}
	})

	t.Run("invalidation comes after visibility and before Commit returns", func(t *testing.T) {
		db, store, _ := fresh(t)
		seen := -1
		store.invalidating = func(context.Context, cache.Selection) error {
			seen = db.notes(t)
			return nil
		}
		tx := db.begin(t, t.Context())
		tx.insert(t, 1)
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		must(t, tx.commit())
		if seen != 1 {
			t.Fatalf("a new reader within Invalidate saw %d notes, want 1", seen)
		}
	})

	t.Run("savepoints", func(t *testing.T) {
		db, store, _ := fresh(t)
		ctx := t.Context()
		tx := db.begin(t, ctx)
		must(t, TagsTx(ctx, tx.tx(), "outer"))
		released := tx.savepoint(t)
		released.insert(t, 1)
		must(t, TagsTx(ctx, released.tx(), "released"))
		inner := released.savepoint(t)
		must(t, TagsTx(ctx, inner.tx(), "inner", "outer")) // outer was named before: it stays
		inner.insert(t, 2)
		inner.rollback(t)
		wantError(t, TagsTx(ctx, inner.tx(), "late"), ErrFinished)
		must(t, TagsTx(ctx, released.tx(), "released-too"))
		must(t, released.commit())
		undone := tx.savepoint(t)
		nested := undone.savepoint(t)
		must(t, TagsTx(ctx, nested.tx(), "nested"))
		must(t, nested.commit()) // released into what is rolled back
		must(t, TagsTx(ctx, tx.tx(), "undone-through-the-outer-handle"))
		undone.rollback(t)
		must(t, TagsTx(ctx, tx.tx(), "nested-again"))
		left := tx.savepoint(t)
		left.insert(t, 3)
		must(t, TagsTx(ctx, left.tx(), "left-open")) // COMMIT commits it
		must(t, tx.commit())
		equal(t, "invalidated", store.tags(), []string{"left-open", "nested-again", "outer", "released", "released-too"})
		if db.notes(t) != 2 {
			t.Fatalf("%d notes, want 1 and 3", db.notes(t))
		}
	})

	t.Run("too many names are everything", func(t *testing.T) {
		db, store := open(t), newStore()
		var log bytes.Buffer
		h := db.open(t, store, Options{ReplayInterval: never, MaxNames: 3, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		store.forget()
		tx := db.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "a", "b"))
		sp := tx.savepoint(t)
		must(t, SelectTx(t.Context(), tx.tx(), cache.Selection{Tags: []string{"c", "d", "e"}, Soft: true}))
		sp.rollback(t)
		must(t, TagsTx(t.Context(), tx.tx(), "c"))
		must(t, tx.commit())
		equal(t, "undone by a savepoint", store.tags(), []string{"a", "b", "c"})
		store.forget()
		tx = db.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "a", "b", "c", "d"))
		must(t, tx.commit())
		if got := store.selections(); len(got) != 1 || !got[0].All || got[0].Soft {
			t.Fatalf("%+v", got)
		}
		if n := strings.Count(log.String(), "invalidates everything"); n != 2 {
			t.Fatalf("said so %d times, want 2:\n%s", n, log.String())
		}
		tx = db.begin(t, t.Context())
		for i := range 3 {
			must(t, PrefixesTx(t.Context(), tx.tx(), key.Prefix{Path: "/" + strings.Repeat("x", 200) + fmt.Sprint(i)}))
		}
		store.forget()
		tx.die(t)
		must(t, h.Replay(t.Context()))
		if got := store.selections(); len(got) != 1 || got[0].All || len(got[0].Prefixes) != 3 {
			t.Fatalf("%+v", got)
		}
	})

	t.Run("bad input is refused", func(t *testing.T) {
		db, _, _ := fresh(t)
		ctx := t.Context()
		tx := db.begin(t, ctx)
		wantError(t, TagsTx(ctx, tx.tx(), "good", ""), key.ErrInvalid)
		wantError(t, TagsTx(ctx, tx.tx(), strings.Repeat("x", 513)), key.ErrInvalid)
		wantError(t, TagsTx(ctx, tx.tx(), "nul\x00"), key.ErrInvalid)
		wantError(t, TagsTx(ctx, tx.tx(), "\xff"), key.ErrInvalid)
		wantError(t, TagsTx(ctx, tx.tx(), "two words"), key.ErrInvalid) // no page has such a tag
		wantError(t, KeysTx(ctx, tx.tx(), cache.Key{}), key.ErrInvalid)
		wantError(t, KeysTx(ctx, tx.tx(), cache.Key{Path: "/a/../b"}), key.ErrInvalid)
		wantError(t, PrefixesTx(ctx, tx.tx(), key.Prefix{Path: "/a/"}), key.ErrInvalid)
		if SelectTx(ctx, tx.tx(), cache.Selection{All: true, DryRun: true}) == nil {
			t.Fatal("a dry run was recorded")
		}
		wantError(t, TagsTx(ctx, nil, "a"), ErrNotOurs)
		wantError(t, TagsTx(ctx, (*SQLiteTx)(nil), "a"), ErrNotOurs)
		wantError(t, TagsTx(ctx, "a string", "a"), ErrNotOurs)
		must(t, tx.commit())
		if db.rows(t) != 0 {
			t.Fatal("what was refused was recorded")
		}
	})

	t.Run("replay applies commits whose program died before its hook", func(t *testing.T) {
		db, store, h := fresh(t)
		die := func(tag string) {
			tx := db.begin(t, t.Context())
			tx.insert(t, 1)
			must(t, TagsTx(t.Context(), tx.tx(), tag))
			tx.die(t)
		}
		die("first")
		equal(t, "before", store.tags(), nil)
		must(t, h.Replay(t.Context()))
		equal(t, "after", store.tags(), []string{"first"})
		must(t, h.Close())
		die("second")
		die("third")
		store.forget()
		db.open(t, store, Options{ReplayInterval: never})
		equal(t, "at the next start", store.tags(), []string{"second", "third"})
		equal(t, "at the next start", store.log(), []string{"invalidate", "position", "unfence"})
	})

	t.Run("replay runs by itself", func(t *testing.T) {
		db, store := open(t), newStore()
		db.open(t, store, Options{ReplayInterval: 10 * time.Millisecond})
		tx := db.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		tx.die(t)
		store.await(t, "the commit is applied", func() bool { return slices.Contains(store.tags(), "a") })
	})

	t.Run("the request's end does not skip the invalidation", func(t *testing.T) {
		db, store, _ := fresh(t)
		ctx, cancel := context.WithCancel(t.Context())
		store.invalidating = func(ctx context.Context, _ cache.Selection) error {
			cancel()
			if _, bounded := ctx.Deadline(); !bounded {
				return errors.New("not bounded")
			}
			return ctx.Err()
		}
		tx := db.begin(t, ctx)
		must(t, TagsTx(ctx, tx.tx(), "a"))
		must(t, tx.commit())
		equal(t, "invalidated", store.tags(), []string{"a"})
	})

	t.Run("a context that ended before the commit", func(t *testing.T) {
		db, store, h := fresh(t)
		ctx, cancel := context.WithCancel(t.Context())
		tx := db.begin(t, ctx)
		tx.insert(t, 1)
		must(t, TagsTx(ctx, tx.tx(), "a"))
		cancel()
		if err := tx.commit(); err == nil || errors.Is(err, ErrCommitUnknown) {
			t.Fatalf("commit: %v, want a definite error", err)
		}
		must(t, h.Replay(t.Context()))
		if db.notes(t) != 0 || db.rows(t) != 0 || len(store.selections()) != 0 {
			t.Fatalf("%d notes, %d rows, %v", db.notes(t), db.rows(t), store.selections())
		}
	})

	t.Run("what could not be dropped after the commit is tried again", func(t *testing.T) {
		db, store, _ := fresh(t)
		var once sync.Once
		disk := errors.New("disk on fire")
		store.invalidating = func(context.Context, cache.Selection) (err error) {
			once.Do(func() { err = disk })
			return err
		}
		tx := db.begin(t, t.Context())
		tx.insert(t, 1)
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		err := tx.commit()
		wantError(t, err, ErrNotInvalidated)
		wantError(t, err, disk)
		if db.notes(t) != 1 {
			t.Fatal("the commit is not durable")
		}
		store.await(t, "it is dropped", func() bool { return slices.Contains(store.tags(), "a") })
	})

	t.Run("a row that can't be read drops everything", func(t *testing.T) {
		for _, bad := range [][2]string{
			{`(keys) values ('["no path"]')`, `(keys) values ('{no path}')`},
			{`(tags) values ('[""]')`, `(tags) values ('{""}')`},
			{`(tags) values ('["two words"]')`, `(tags) values ('{two words}')`},
			{`(prefixes) values ('["/a?b"]')`, `(prefixes) values ('{/a?b}')`},
			{`(tags) values ('[null]')`, `(tags) values ('{null}')`},
			{`(tags) values ('["a"')`, `(tags) values ('{{a},{b}}')`},
			{`(tags) values ('null')`, `(tags) values (array_fill('x'::text, '{2,2}'))`},
		} {
			db, store, h := fresh(t)
			tx := db.begin(t, t.Context())
			must(t, TagsTx(t.Context(), tx.tx(), "a"))
			tx.die(t)
			db.exec(t, `insert into cachesrv_invalidation `+bad[0], `insert into cachesrv.invalidation `+bad[1])
			must(t, h.Replay(t.Context()))
			equal(t, bad[0], store.tags(), []string{"*"})
			store.forget()
			must(t, h.Replay(t.Context())) // it is behind us
			equal(t, bad[0], store.tags(), nil)
		}
	})

	t.Run("rows of triggers", func(t *testing.T) {
		db, store, h := fresh(t)
		db.exec(t, `insert into cachesrv_invalidation (tags) values ('["a"]')`, `insert into cachesrv.invalidation (tags) values ('{a}')`)
		db.exec(t, `insert into cachesrv_invalidation default values`, `insert into cachesrv.invalidation default values`)
		must(t, h.Replay(t.Context()))
		equal(t, "invalidated", store.tags(), []string{"a"})
		db.exec(t, `insert into cachesrv_invalidation (everything) values (1)`, `insert into cachesrv.invalidation (everything) values (true)`)
		must(t, h.Replay(t.Context()))
		equal(t, "invalidated", store.tags(), []string{"*", "a"})
	})

	t.Run("a position that can't be read drops everything", func(t *testing.T) {
		for _, p := range []cache.Position{"x", "1", "1 x", " 1:1:", "a b c"} {
			_, store, h := fresh(t)
			must(t, store.SetSourcePosition(t.Context(), "database", p))
			must(t, h.Replay(t.Context()))
			equal(t, string(p), store.tags(), []string{"*"})
		}
	})

	t.Run("sources of one folder have positions of their own", func(t *testing.T) {
		a, b, store := open(t), open(t), newStore()
		a.open(t, store, Options{ReplayInterval: never, Source: "a"})
		b.open(t, store, Options{ReplayInterval: never, Source: "b"})
		store.forget()
		a.open(t, store, Options{ReplayInterval: never, Source: "a"})
		b.open(t, store, Options{ReplayInterval: never, Source: "b"})
		equal(t, "nothing was missed", store.tags(), nil)
		b.open(t, store, Options{ReplayInterval: never, Source: "a"}) // another database under the same name
		equal(t, "exchanged", store.tags(), []string{"*"})
	})

	t.Run("many committers", func(t *testing.T) {
		db, store := open(t), newStore()
		h := db.open(t, store, Options{ReplayInterval: 5 * time.Millisecond})
		var wg sync.WaitGroup
		var mu sync.Mutex
		var want []string
		for c := range 8 {
			wg.Go(func() {
				for i := range 15 {
					tag := fmt.Sprintf("%d-%d", c, i)
					tx := db.begin(t, t.Context())
					tx.insert(t, c*100+i)
					if err := TagsTx(t.Context(), tx.tx(), tag); err != nil {
						t.Error(err)
					}
					switch i % 3 {
					case 0:
						tx.die(t)
					case 1:
						tx.rollback(t)
						continue
					default:
						if err := tx.commit(); err != nil {
							t.Error(err)
						}
						if !slices.Contains(store.tags(), tag) {
							t.Errorf("%s is not invalidated when Commit has returned", tag)
						}
					}
					mu.Lock()
					want = append(want, tag)
					mu.Unlock()
				}
			})
		}
		wg.Wait()
		must(t, h.Replay(t.Context()))
		slices.Sort(want)
		equal(t, "invalidated", store.tags(), append([]string{"*"}, want...))
	})

	t.Run("migration is idempotent and concurrent", func(t *testing.T) {
		db, _, _ := fresh(t)
		tx := db.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		must(t, tx.commit())
		db.exec(t, `drop table cachesrv_state`, `select 1`) // SQLite: not there any more
		db.exec(t, `drop table cachesrv_invalidation`, `drop schema cachesrv cascade`)
		_, err := db.opened(t.Context(), newStore())
		wantError(t, err, ErrNotMigrated)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if err := db.migrate(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		store := newStore()
		h := db.open(t, store, Options{ReplayInterval: never})
		store.forget()
		tx = db.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		must(t, tx.commit())
		must(t, db.migrate(t.Context()))
		must(t, h.Replay(t.Context()))
		if db.rows(t) != 1 || len(store.selections()) != 1 {
			t.Fatalf("%d rows, %v", db.rows(t), store.selections())
		}
		db.exec(t, `update cachesrv_state set version = 99`, `update cachesrv.state set version = 99`)
		wantError(t, db.migrate(t.Context()), ErrTooNew)
		_, err = db.opened(t.Context(), newStore())
		wantError(t, err, ErrTooNew)
		db.exec(t, `update cachesrv_state set version = 0`, `update cachesrv.state set version = 0`)
		s := newStore()
		_, err = db.opened(t.Context(), s)
		wantError(t, err, ErrNotMigrated)
		if s.open {
			t.Fatal("the store was let serve without a replay")
		}
	})

	t.Run("a commit that is over is released", func(t *testing.T) {
		db, store, h := fresh(t)
		must(t, store.Withhold(t.Context(), "somebody-else:1", cache.Selection{}))
		tx := db.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "a"))
		tx.die(t)
		must(t, store.Withhold(t.Context(), h.withholdID("1 "), cache.Selection{}))
		store.forget()
		must(t, h.Replay(t.Context()))
		equal(t, "order", store.log(), []string{"invalidate", "position", "release"})
		if store.held() != 1 {
			t.Fatalf("%v is withheld", store.withheld)
		}
	})

	t.Run("negative options are refused", func(t *testing.T) {
		for _, o := range []Options{{ReplayInterval: -1}, {Retention: -1}, {RetentionRows: -1}, {MaxNames: -1}, {ApplyTimeout: -1}, {Source: "a b"}} {
			if _, err := NewSQLite(t.Context(), newStore(), nil, o); err == nil {
				t.Fatalf("%+v was taken", o)
			}
			if _, err := NewPgx(t.Context(), newStore(), nil, o); err == nil {
				t.Fatalf("%+v was taken", o)
			}
		}
	})
}
