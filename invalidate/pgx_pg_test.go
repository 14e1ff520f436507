//go:build e2e

package invalidate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/e2e/pgtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestPgx(t *testing.T) {
	testDatabase(t, func(t *testing.T) database { return newPg(t, pgtest.Start(t)) })
}

type pgDatabase struct {
	dsn   string
	pool  *pgxpool.Pool // of the hooks
	own   *pgxpool.Pool // of the tests
	hooks *PgxHooks
}

func newPg(t *testing.T, dsn string) *pgDatabase {
	d := &pgDatabase{dsn: dsn}
	config, err := pgxpool.ParseConfig(dsn)
	must(t, err)
	config.MaxConns = 12
	d.pool, d.own = connect(t, config), connect(t, config)
	must(t, d.migrate(t.Context()))
	d.exec(t, "", "create table note (id integer)")
	return d
}

func connect(t *testing.T, config *pgxpool.Config) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func (d *pgDatabase) opened(ctx context.Context, s Store) (*hooks, error) {
	h, err := NewPgx(ctx, s, d.pool, Options{})
	if err != nil {
		return nil, err
	}
	return h.hooks, h.Close()
}

func (d *pgDatabase) open(t *testing.T, store Store, o Options) *hooks {
	t.Helper()
	o.Logger = cmp.Or(o.Logger, slog.New(slog.NewTextHandler(t.Output(), nil)))
	h, err := NewPgx(t.Context(), store, d.pool, o)
	must(t, err)
	t.Cleanup(func() { h.Close() })
	d.hooks = h
	return h.hooks
}

func (d *pgDatabase) begin(t *testing.T, ctx context.Context) testTx {
	tx, err := d.hooks.Begin(ctx)
	must(t, err)
	return pgTestTx{tx, ctx}
}

func (d *pgDatabase) count(t *testing.T, query string, args ...any) (n int) {
	t.Helper()
	must(t, d.own.QueryRow(context.Background(), query, args...).Scan(&n))
	return n
}

func (d *pgDatabase) notes(t *testing.T) int { return d.count(t, "select count(*) from note") }
func (d *pgDatabase) rows(t *testing.T) int {
	return d.count(t, "select count(*) from cachesrv.invalidation")
}
func (d *pgDatabase) migrate(ctx context.Context) error { return Migrate(ctx, d.own) }

func (d *pgDatabase) exec(t *testing.T, _, postgres string) {
	t.Helper()
	_, err := d.own.Exec(context.Background(), postgres)
	must(t, err)
}

// leave commits a tag, and dies before the hook.
func (d *pgDatabase) leave(t *testing.T, tag string) {
	t.Helper()
	tx := d.begin(t, t.Context())
	must(t, TagsTx(t.Context(), tx.tx(), tag))
	tx.die(t)
}

type pgTestTx struct {
	*PgxTx
	ctx context.Context
}

func (t pgTestTx) tx() any { return pgx.Tx(t.PgxTx) }

func (t pgTestTx) insert(tt *testing.T, note int) {
	tt.Helper()
	_, err := t.Exec(tt.Context(), "insert into note values ($1)", note)
	must(tt, err)
}

func (t pgTestTx) savepoint(tt *testing.T) testTx {
	tx, err := t.Begin(tt.Context())
	must(tt, err)
	return pgTestTx{tx.(*PgxTx), t.ctx}
}

func (t pgTestTx) rollback(tt *testing.T) {
	tt.Helper()
	must(tt, t.Rollback(tt.Context()))
}

func (t pgTestTx) commit() error { return t.Commit(t.ctx) }

func (t pgTestTx) die(tt *testing.T) {
	tt.Helper()
	r, _ := t.recording.row()
	_, err := insertPg(tt.Context(), t.Tx, &r)
	must(tt, err)
	must(tt, t.Tx.Commit(tt.Context()))
}

// TestPgxBeginFunc uses the transaction as pgx's own functions do, which know only the interface.
func TestPgxBeginFunc(t *testing.T) {
	d, store := newPg(t, pgtest.Start(t)), newStore()
	d.open(t, store, Options{ReplayInterval: never})
	store.forget()
	ctx := t.Context()
	tx, err := d.hooks.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.Serializable})
	must(t, err)
	must(t, pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return TagsTx(ctx, tx, "kept") }))
	wantError(t, pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
		must(t, TagsTx(ctx, tx, "undone"))
		return context.Canceled
	}), context.Canceled)
	must(t, tx.Commit(ctx))
	equal(t, "invalidated", store.tags(), []string{"kept"})
	wantError(t, tx.Commit(ctx), pgx.ErrTxClosed)
	wantError(t, tx.Rollback(ctx), pgx.ErrTxClosed)
	wantError(t, TagsTx(ctx, tx, "late"), ErrFinished)
	if _, err := d.hooks.BeginTx(ctx, pgx.TxOptions{CommitQuery: "commit and chain"}); err == nil {
		t.Fatal("a CommitQuery was taken")
	}
}

// TestPgxDefiniteFailures: commits that the server refuses have done nothing.
func TestPgxDefiniteFailures(t *testing.T) {
	d, store := newPg(t, pgtest.Start(t)), newStore()
	d.open(t, store, Options{ReplayInterval: never})
	d.exec(t, "", "create table parent (id int primary key); create table child (id int references parent deferrable initially deferred)")
	store.forget()
	ctx := t.Context()
	for name, c := range map[string]struct {
		o    pgx.TxOptions
		sql  string
		want func(error) bool
	}{
		"a deferred constraint": {sql: "insert into child values (1)", want: func(err error) bool {
			pg, ok := errors.AsType[*pgconn.PgError](err)
			return ok && pg.Code == "23503"
		}},
		"a failed transaction": {sql: "select 1/0", want: func(err error) bool { return errors.Is(err, pgx.ErrTxCommitRollback) }},
		"a read-only transaction": {o: pgx.TxOptions{AccessMode: pgx.ReadOnly}, sql: "select 1", want: func(err error) bool {
			return strings.Contains(err.Error(), "could not be recorded") && strings.Contains(err.Error(), "read-only")
		}},
	} {
		tx, err := d.hooks.BeginTx(ctx, c.o)
		must(t, err)
		must(t, TagsTx(ctx, tx, "a"))
		_, _ = tx.Exec(ctx, c.sql)
		if err := tx.Commit(ctx); err == nil || !c.want(err) || errors.Is(err, ErrCommitUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, d.hooks.Replay(ctx))
	if len(store.log()) > 1 || d.rows(t) != 0 { // the position moves
		t.Fatalf("%v, %d rows", store.log(), d.rows(t))
	}
}

// TestPgxLateCommits: rows become visible in another order than that of their ids and of their transaction ids, while
// replays go on. None is lost, and none makes the folder drop everything.
func TestPgxLateCommits(t *testing.T) {
	d, store := newPg(t, pgtest.Start(t)), newStore()
	h := d.open(t, store, Options{ReplayInterval: time.Millisecond})
	store.forget()
	ctx := t.Context()

	// By hand: the first to begin is the last to commit.
	late, err := d.own.Begin(ctx)
	must(t, err)
	defer late.Rollback(context.Background())
	_, err = late.Exec(ctx, "insert into cachesrv.invalidation (tags) values ('{late}')")
	must(t, err)
	d.leave(t, "early")
	must(t, h.Replay(ctx))
	equal(t, "before the late one commits", store.tags(), []string{"early"})
	must(t, late.Commit(ctx))
	must(t, h.Replay(ctx))
	equal(t, "after", store.tags(), []string{"early", "late"})

	seed := rand.Uint64()
	t.Log("seed", seed)
	var wg sync.WaitGroup
	var mu sync.Mutex
	want := []string{"early", "late"}
	for w := range 8 {
		random := rand.New(rand.NewPCG(seed, uint64(w)))
		wg.Go(func() {
			for i := range 40 {
				tag := fmt.Sprintf("%d-%d", w, i)
				tx, err := d.own.Begin(ctx)
				if err != nil {
					t.Error(err)
					return
				}
				_, err1 := tx.Exec(ctx, "insert into cachesrv.invalidation (tags) values (array[$1])", tag)
				_, err2 := tx.Exec(ctx, "select pg_sleep($1)", random.Float64()*0.02)
				end := tx.Commit
				if random.IntN(4) == 0 {
					end = tx.Rollback
				} else {
					mu.Lock()
					want = append(want, tag)
					mu.Unlock()
				}
				if err := errors.Join(err1, err2, end(ctx)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	must(t, h.Replay(ctx))
	slices.Sort(want)
	equal(t, "invalidated", store.tags(), want)
}

// TestPgxRetention: rows go when a snapshot that saw them is old enough, or has enough rows after it. A folder whose
// position contains that snapshot goes on; any other drops everything. An idle transaction holds up neither.
func TestPgxRetention(t *testing.T) {
	d, store := newPg(t, pgtest.Start(t)), newStore()
	h := d.open(t, store, Options{ReplayInterval: never, RetentionRows: 100})
	ctx := t.Context()
	trim := func() {
		t.Helper()
		must(t, h.source.trim(ctx))
	}
	age := func(by string) {
		t.Helper()
		d.exec(t, "", fmt.Sprintf("update cachesrv.mark set at = at - interval '%s'; update cachesrv.state set horizon_at = horizon_at - interval '%[1]s'", by))
	}
	position := func() cache.Position {
		must(t, h.Replay(ctx))
		return store.positions["database"]
	}
	from := func(p cache.Position) []string {
		t.Helper()
		store.forget()
		must(t, store.SetSourcePosition(ctx, "database", p))
		must(t, h.Replay(ctx))
		return store.tags()
	}
	idle, err := d.own.Begin(ctx) // has an id, and stays
	must(t, err)
	defer idle.Rollback(context.Background())
	_, err = idle.Exec(ctx, "insert into cachesrv.invalidation (tags) values ('{idle}')")
	must(t, err)

	before := position()
	d.leave(t, "old")
	age("1s") // so that horizon_at, of the first start, lies before the first mark
	trim()    // a mark that saw old
	between := position()
	d.leave(t, "young")
	trim()
	if n := d.rows(t); n != 2 {
		t.Fatalf("%d rows before anything is old, want 2", n)
	}
	equal(t, "before the horizon moves", from(before), []string{"old", "young"})
	age("25h")
	d.leave(t, "new")
	trim()
	if n := d.rows(t); n != 2 {
		t.Fatalf("%d rows after the trim, want young and new", n)
	}
	equal(t, "away for too long", from(before), []string{"*"})
	equal(t, "away for less", from(between), []string{"new", "young"})
	after := position()
	must(t, idle.Commit(ctx))
	trim()
	equal(t, "the idle transaction's row", from(after), []string{"idle"})
	equal(t, "the same, away for less", from(between), []string{"idle", "new", "young"})

	// By number.
	for range 150 {
		d.exec(t, "", "insert into cachesrv.invalidation (tags) values ('{x}')")
	}
	age("2m")
	trim()
	mark := position()
	for range 120 {
		d.exec(t, "", "insert into cachesrv.invalidation (tags) values ('{y}')")
	}
	age("2m")
	trim()
	if n := d.rows(t); n != 120 {
		t.Fatalf("%d rows are left, want 120: those since the last mark with 100 after it", n)
	}
	equal(t, "beyond the number", from(after), []string{"*"})
	equal(t, "within", from(mark), []string{"y"})
	if n := d.count(t, "select count(*) from cachesrv.mark"); n != 2 {
		t.Fatalf("%d marks are left, want 2", n)
	}
}

// TestPgxIncarnation: after a restart, and after a crash that PostgreSQL survives without changing its start time,
// transaction ids may mean something else: everything is dropped, and the rows of before are needed by nobody.
func TestPgxIncarnation(t *testing.T) {
	server := pgtest.StartOwn(t)
	d, store := newPg(t, pgtest.NewDatabase(t, server)), newStore()
	h := d.open(t, store, Options{ReplayInterval: never})
	ctx := t.Context()
	resyncs := func(what string) {
		t.Helper()
		store.forget()
		// Sessions died with the server: the pools notice at their next use.
		d.pool.Reset()
		d.own.Reset()
		deadline := time.Now().Add(20 * time.Second)
		for err := h.Replay(ctx); err != nil; err = h.Replay(ctx) { // it may be recovering
			if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
		equal(t, what, store.tags(), []string{"*"})
		d.leave(t, what)
		must(t, h.Replay(ctx))
		equal(t, what, store.tags(), []string{"*", what})
		must(t, h.source.trim(ctx))
		if n := d.rows(t); n != 1 {
			t.Fatalf("%s: %d rows, want 1", what, n)
		}
	}
	d.leave(t, "before")
	must(t, server.Restart(ctx))
	resyncs("restart")
	must(t, server.Kill())
	must(t, server.Start(ctx))
	resyncs("crash")
	var pid int
	must(t, d.own.QueryRow(ctx, "select pg_backend_pid()").Scan(&pid))
	must(t, syscall.Kill(pid, syscall.SIGKILL))
	resyncs("crash-of-one-session")

	// A dump of another cluster, restored: rows of transactions that have not begun here.
	d.exec(t, "", "insert into cachesrv.invalidation (xid, tags) values ('99999999', '{foreign}'); update cachesrv.state set incarnation = 'another'; delete from cachesrv.life")
	store.forget()
	must(t, h.Replay(ctx))
	equal(t, "restored", store.tags(), []string{"*"})
	store.forget()
	must(t, h.Replay(ctx))
	equal(t, "foreign rows are gone", store.tags(), nil)
}

// TestPgxWhileTheServerIsGone stops the server under running hooks.
func TestPgxWhileTheServerIsGone(t *testing.T) {
	server := pgtest.StartOwn(t)
	d, store := newPg(t, pgtest.NewDatabase(t, server)), newStore()
	var log lockedText
	h := d.open(t, store, Options{ReplayInterval: 20 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	store.forget()
	ctx := t.Context()
	must(t, server.Stop())
	if err := h.Replay(ctx); err == nil {
		t.Fatal("replayed without a server")
	}
	for !strings.Contains(log.String(), "is the database gone?") {
		time.Sleep(time.Millisecond)
	}
	if _, err := d.hooks.Begin(ctx); err == nil {
		t.Fatal("began without a server")
	}
	s := newStore()
	_, err := NewPgx(ctx, s, d.pool, Options{})
	if err == nil || !strings.Contains(err.Error(), "check the DSN") || s.open {
		t.Fatalf("hooks without a server: %v, serving %t", err, s.open)
	}
	must(t, server.Start(ctx))
	store.await(t, "the restart is noticed", func() bool { return slices.Contains(store.tags(), "*") })
	d.leave(t, "a")
	store.await(t, "replay works again", func() bool { return slices.Contains(store.tags(), "a") })
	for !strings.Contains(log.String(), "over: ") {
		time.Sleep(time.Millisecond)
	}
}

// TestPgxStandby: a standby is refused, at the start and by a migration.
func TestPgxStandby(t *testing.T) {
	server := pgtest.StartOwn(t)
	d := newPg(t, pgtest.NewDatabase(t, server))
	var dir string
	must(t, d.own.QueryRow(t.Context(), "show data_directory").Scan(&dir))
	must(t, server.Stop())
	must(t, os.WriteFile(filepath.Join(dir, "standby.signal"), nil, 0o644))
	must(t, server.Start(t.Context()))
	d.pool.Reset()
	d.own.Reset()
	store := newStore()
	_, err := NewPgx(t.Context(), store, d.pool, Options{})
	wantError(t, err, ErrStandby)
	wantError(t, d.migrate(t.Context()), ErrStandby)
	if store.open {
		t.Fatal("it serves")
	}
}

// TestPgxRights: a role with the rights that the schema's comment names is enough, and one without is told.
func TestPgxRights(t *testing.T) {
	d := newPg(t, pgtest.Start(t))
	role := "app_" + strings.ToLower(t.Name())
	d.exec(t, "", "create role "+role+" login password 'secret'")
	t.Cleanup(func() { d.exec(t, "", "drop owned by "+role+"; drop role "+role) })
	config, err := pgxpool.ParseConfig(d.dsn)
	must(t, err)
	config.ConnConfig.User, config.ConnConfig.Password = role, "secret"
	d.pool = connect(t, config)
	_, err = d.opened(t.Context(), newStore())
	if err == nil || !strings.Contains(err.Error(), "grant the program's role usage on schema cachesrv") {
		t.Fatalf("without rights: %v", err)
	}
	d.exec(t, "", "grant usage on schema cachesrv to "+role)
	if _, err = d.opened(t.Context(), newStore()); err == nil || !strings.Contains(err.Error(), "grant the program's role") {
		t.Fatalf("without rights on tables: %v", err)
	}
	d.exec(t, "", "grant select, insert, update, delete on all tables in schema cachesrv to "+role)
	store := newStore()
	h := d.open(t, store, Options{ReplayInterval: never})
	d.leave(t, "a")
	must(t, h.Replay(t.Context()))
	must(t, h.source.trim(t.Context()))
	equal(t, "invalidated", store.tags(), []string{"*", "a"})
	must(t, Migrate(t.Context(), d.pool)) // nothing to do
}

// TestPgxUnknownCommit loses the connection, or the context, at COMMIT.
func TestPgxUnknownCommit(t *testing.T) {
	type fate struct {
		name      string
		committed bool
		cancel    bool // the request's context ends while COMMIT is under way; else the connection is lost
		// later: the server gets, or loses, the COMMIT only when the test says so
		later bool
	}
	for _, f := range []fate{
		{name: "lost before the server had it"},
		{name: "lost after the server had it", committed: true},
		{name: "the server gets it later", committed: true, later: true},
		{name: "the server never gets it", later: true},
		{name: "cancelled, the server gets it later", committed: true, later: true, cancel: true},
		{name: "cancelled, the server never gets it", later: true, cancel: true},
	} {
		t.Run(f.name, func(t *testing.T) {
			d, store := newPg(t, pgtest.Start(t)), newStore()
			p, config := newProxy(t, d.dsn)
			d.pool = connect(t, config)
			h := d.open(t, store, Options{ReplayInterval: 50 * time.Millisecond})
			store.forget()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			tx := d.begin(t, ctx)
			tx.insert(t, 1)
			must(t, TagsTx(ctx, tx.tx(), "a"))

			decided := make(chan struct{})
			decide := sync.OnceFunc(func() { close(decided) })
			defer decide()
			p.atCommit(func(client, server net.Conn, commit []byte) {
				if f.cancel {
					cancel()
				} else if f.later {
					client.Close()
				}
				if f.later {
					<-decided
				}
				if f.committed {
					if !f.later {
						client.Close() // the answer finds nobody
					}
					_, _ = server.Write(commit)
					for d.notes(t) == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			})
			err := tx.commit()
			wantError(t, err, ErrCommitUnknown)
			if events := store.log(); events[0] != "withhold" && events[0] != "position" || !slices.Contains(store.tags(), "a") {
				t.Fatalf("when Commit returned: %v, %v", events, store.tags())
			}
			if f.later {
				// Replays go by; the transaction is neither committed nor rolled back, so it stays withheld.
				for range 5 {
					unresolved, err := h.replay(t.Context())
					must(t, err)
					if unresolved != 1 || store.held() != 1 {
						t.Fatalf("%d unresolved, %d withheld", unresolved, store.held())
					}
				}
				// The next program on this folder finds it withheld, and resolves it.
				must(t, h.Close())
				d.pool = d.own
				d.open(t, store, Options{ReplayInterval: 50 * time.Millisecond})
				if store.held() != 1 {
					t.Fatal("released by a start")
				}
				store.forget()
				decide()
			}
			store.await(t, "it is released", func() bool { return store.held() == 0 })
			if (d.notes(t) == 1) != f.committed {
				t.Fatalf("%d notes", d.notes(t))
			}
			if f.committed {
				log := store.log()
				if !slices.Contains(store.tags(), "a") || slices.Index(log, "invalidate") > slices.Index(log, "release") {
					t.Fatalf("released before what it named was dropped again: %v, %v", store.tags(), log)
				}
			}
		})
	}
}

// TestPgxUnknownCommitOverARestart: the server is killed while a commit is unresolved. That resolves it.
func TestPgxUnknownCommitOverARestart(t *testing.T) {
	server := pgtest.StartOwn(t)
	d, store := newPg(t, pgtest.NewDatabase(t, server)), newStore()
	p, config := newProxy(t, d.dsn)
	d.pool = connect(t, config)
	d.open(t, store, Options{ReplayInterval: 20 * time.Millisecond})
	hung := make(chan struct{})
	p.atCommit(func(client, server net.Conn, commit []byte) {
		client.Close()
		<-hung
	})
	defer close(hung)
	tx := d.begin(t, t.Context())
	must(t, TagsTx(t.Context(), tx.tx(), "a"))
	wantError(t, tx.commit(), ErrCommitUnknown)
	if store.held() != 1 {
		t.Fatalf("%d withheld", store.held())
	}
	must(t, server.Kill())
	must(t, server.Start(t.Context()))
	store.await(t, "it is released", func() bool { return store.held() == 0 })

	// A crash may have lost the id: it is not handed out yet. That is no reason to wait for it.
	must(t, store.Withhold(t.Context(), d.hooks.withholdID("99999999 another-life"), cache.Selection{}))
	must(t, d.hooks.Replay(t.Context()))
	if store.held() != 0 {
		t.Fatal("withheld for a transaction that a crash ended")
	}
	must(t, store.Withhold(t.Context(), d.hooks.withholdID("99999999 "), cache.Selection{})) // of an unknown life: it may come
	must(t, d.hooks.Replay(t.Context()))
	if store.held() != 1 {
		t.Fatal("released a transaction that may yet commit")
	}
}

// TestPgxReplayUsesTheIndex: what a replay costs does not grow with the outbox.
func TestPgxReplayUsesTheIndex(t *testing.T) {
	d, store := newPg(t, pgtest.Start(t)), newStore()
	h := d.open(t, store, Options{ReplayInterval: never})
	d.exec(t, "", "insert into cachesrv.invalidation (tags) select '{a}' from generate_series(1, 50000)")
	d.exec(t, "", "vacuum analyze cachesrv.invalidation")
	must(t, h.Replay(t.Context()))
	var before, after int
	const read = "select coalesce(sum(seq_tup_read + idx_tup_fetch), 0) from pg_stat_user_tables where relname = 'invalidation'"
	settle := func() int {
		d.pool.Reset() // sessions report when they end
		d.own.Reset()
		for range 200 { // until the number stands still
			n := d.count(t, read)
			if n == after && n > 0 {
				return n
			}
			after = n
			time.Sleep(20 * time.Millisecond)
		}
		return after
	}
	before = settle()
	for i := range 20 {
		d.leave(t, itoa(i))
		must(t, h.Replay(t.Context()))
	}
	if n := settle() - before; n > 200 {
		t.Fatalf("20 replays of a row each read %d rows", n)
	}
}

// TestPgxTooMuchMissed: a folder that missed more than is worth replaying drops everything.
func TestPgxTooMuchMissed(t *testing.T) {
	d, store := newPg(t, pgtest.Start(t)), newStore()
	h := d.open(t, store, Options{ReplayInterval: never})
	store.forget()
	d.exec(t, "", fmt.Sprintf("insert into cachesrv.invalidation (tags) select array[i::text] from generate_series(1, %d) i", maxReplay))
	must(t, h.Replay(t.Context()))
	if n := len(store.tags()); n != maxReplay {
		t.Fatalf("%d tags", n)
	}
	store.forget()
	d.exec(t, "", fmt.Sprintf("insert into cachesrv.invalidation (tags) select array[i::text] from generate_series(1, %d) i", maxReplay+1))
	must(t, h.Replay(t.Context()))
	equal(t, "invalidated", store.tags(), []string{"*"})
}
