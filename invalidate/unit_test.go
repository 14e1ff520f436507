package invalidate

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"pgregory.net/rapid"

	"github.com/cachesrv/cachesrv/cache"
)

func TestRolledBack(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{pgx.ErrTxCommitRollback, true},
		{fmt.Errorf("wrapped: %w", pgx.ErrTxClosed), true},
		{&pgconn.PgError{Severity: "ERROR", Code: "23503"}, true},
		{&pgconn.PgError{Severity: "ERROR", Code: "40001"}, true},
		{&pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "40001"}, true},
		{&pgconn.PgError{Severity: "ERROR", Code: "40003"}, false},
		{&pgconn.PgError{Severity: "ERROR", Code: "08007"}, false},
		{&pgconn.PgError{Severity: "FATAL", Code: "57P01"}, false},
		{context.Canceled, false},
		{errors.New("unexpected EOF"), false},
	} {
		if got := rolledBack(c.err); got != c.want {
			t.Errorf("%v: %t, want %t", c.err, got, c.want)
		}
	}
}

func TestParseSnapshot(t *testing.T) {
	for _, bad := range []string{"", "1", "1:2", "0:1:", "2:1:", "a:2:", "1:b:", "1:3:3", "2:3:1", "1:9:3,2", "1:9:3,3", "1:2:3:4", "-1:2:", "1:9:2,"} {
		if s, err := parseSnapshot(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, s)
		}
	}
	s, err := parseSnapshot("10:20:10,14")
	must(t, err)
	for xid, want := range map[uint64]bool{1: true, 9: true, 10: false, 11: true, 14: false, 19: true, 20: false, 21: false} {
		if s.has(xid) != want {
			t.Errorf("has(%d) is %t", xid, !want)
		}
	}
}

// TestSnapshotContains compares contains with sets of transactions. For snapshots of one history, where the later is
// the larger, it is exact; for any others it never claims too much.
func TestSnapshotContains(t *testing.T) {
	const ids = 12
	text := func(finished []bool) string {
		xmax := uint64(1)
		for xid, done := range finished {
			if done {
				xmax = uint64(xid) + 1 // as PostgreSQL: the last finished one, plus 1
			}
		}
		xmin, running := xmax, []string{}
		for xid := uint64(1); xid < xmax; xid++ {
			if !finished[xid] {
				xmin = min(xmin, xid)
				running = append(running, fmt.Sprint(xid))
			}
		}
		return fmt.Sprintf("%d:%d:%s", xmin, xmax, strings.Join(running, ","))
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := rapid.SliceOfN(rapid.Bool(), ids, ids)
		early, more := draw.Draw(t, "early"), draw.Draw(t, "more")
		late, unrelated := slices.Clone(early), draw.Draw(t, "unrelated")
		early[0], unrelated[0], late[0] = false, false, false // there is no transaction 0
		for i := 1; i < ids; i++ {
			late[i] = late[i] || more[i]
		}
		parse := func(finished []bool) snapshot {
			s, err := parseSnapshot(text(finished))
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		if !parse(late).contains(parse(early)) {
			t.Fatalf("%s does not contain %s", text(late), text(early))
		}
		a, b := parse(early), parse(unrelated)
		subset := true
		for xid := uint64(1); xid < ids; xid++ {
			subset = subset && (a.has(xid) || !b.has(xid))
		}
		if a.contains(b) && !subset {
			t.Fatalf("%s is said to contain %s", text(early), text(unrelated))
		}
	})
}

// TestRecordingIsUndone compares a recording under savepoints with the simplest model: a list per savepoint.
func TestRecordingIsUndone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := &recording{maxNames: 5, maxBytes: 100}
		model := [][]name{nil}
		var marks []int
		for range rapid.IntRange(0, 30).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"add", "add", "add", "savepoint", "rollback", "release"}).Draw(t, "step") {
			case "add":
				n := name{ofTag, rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", strings.Repeat("x", 99)}).Draw(t, "name"), false}
				r.add([]name{n})
				model[len(model)-1] = append(model[len(model)-1], n)
			case "savepoint":
				marks = append(marks, r.mark())
				model = append(model, nil)
			case "rollback":
				if len(marks) > 0 {
					r.rewind(marks[len(marks)-1])
					marks, model = marks[:len(marks)-1], model[:len(model)-1]
				}
			case "release":
				if last := len(model) - 1; last > 0 {
					model[last-1] = append(model[last-1], model[last]...)
					marks, model = marks[:last-1], model[:last]
				}
			}
		}
		want, bytes := map[string]bool{}, 0
		for _, names := range model {
			for _, n := range names {
				if !want[n.text] {
					want[n.text] = true
					bytes += len(n.text)
				}
			}
		}
		got, _ := r.row()
		if len(want) > r.maxNames || bytes > r.maxBytes {
			if !got.all {
				t.Fatalf("%d names of %d bytes don't invalidate everything: %+v", len(want), bytes, got)
			}
			return
		}
		for _, tag := range got.tags {
			if !want[tag] {
				t.Fatalf("%q was undone", tag)
			}
			delete(want, tag)
		}
		if len(want) > 0 || got.all {
			t.Fatalf("missing %v in %+v", want, got)
		}
	})
}

func TestMergeKeepsChunksAndKinds(t *testing.T) {
	var rows []row
	for i := range 5000 {
		rows = append(rows, row{id: fmt.Sprint(i), tags: []string{fmt.Sprint(i), "in-every-row"}, soft: i%2 == 0})
	}
	sels, err := merge(rows, map[string]struct{}{"7": {}})
	must(t, err)
	seen := map[string]bool{}
	for _, sel := range sels {
		if len(sel.Tags) > replayChunk+2 {
			t.Fatalf("a selection of %d tags", len(sel.Tags))
		}
		for _, tag := range sel.Tags {
			seen[fmt.Sprint(tag, sel.Soft)] = true
		}
	}
	if len(seen) != 5000-1+2 || seen["7false"] || !seen["8true"] || !seen["9false"] || len(sels) != 6 {
		t.Fatalf("%d names in %d selections", len(seen), len(sels))
	}
}

// brokenSource fails until it is told not to.
type brokenSource struct {
	mu    sync.Mutex
	reads int
	err   error
	over  bool
}

func (s *brokenSource) read(context.Context, cache.Position) (batch, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	over := s.over
	return batch{over: func(string) bool { return over }}, s.err
}

func (s *brokenSource) become(err error, over bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err, s.over = err, over
}

// taken returns the number of reads since it was called last.
func (s *brokenSource) taken() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n, s.reads = s.reads, 0
	return n
}

func (s *brokenSource) trim(context.Context) error { return nil }

// lockedText is a text that may be written and read concurrently.
type lockedText struct {
	mu   sync.Mutex
	text []byte
}

func (l *lockedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	return len(p), nil
}

func (l *lockedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}

// TestTrouble: a database that is gone, and a commit that hangs, are looked at again after a growing wait, and
// complained about seldom.
func TestTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lockedText
		o, err := Options{Logger: slog.New(slog.NewTextHandler(&log, nil))}.withDefaults()
		must(t, err)
		store, source := newStore(), &brokenSource{}
		h := newHooks("x", store, o)
		h.source = source
		must(t, h.start(t.Context()))
		count := func(d time.Duration) int {
			source.taken()
			time.Sleep(d)
			synctest.Wait()
			return source.taken()
		}
		complaints := func(what string) int { return strings.Count(log.String(), what) }

		if n := count(time.Minute); n != 12 {
			t.Errorf("%d reads in a quiet minute, want 12", n)
		}
		source.become(errors.New("no server"), false)
		if n := count(10 * time.Minute); n != 120 || complaints("is the database gone?") != 10 {
			t.Errorf("%d reads and %d complaints in 10 minutes without a server", n, complaints("is the database gone?"))
		}
		h.own.add("applied by a hook")
		if h.Replay(t.Context()) == nil {
			t.Error("replayed without a server")
		}
		if own := h.own.take(); len(own) != 1 {
			t.Errorf("after a replay that failed, %v need not be replayed", own)
		}
		source.become(nil, false)
		count(10 * time.Second)
		if complaints("over: ") != 1 {
			t.Error("the end of the trouble is not logged")
		}

		wantError(t, h.unknown(t.Context(), row{tx: "transaction 7"}, "7", errors.New("lost")), ErrCommitUnknown)
		if n := count(5 * time.Second); n < 5 || n > 12 || complaints("pg_terminate_backend") != 0 {
			t.Errorf("%d reads in the first 5 s of an unknown commit", n)
		}
		count(10 * time.Second)
		if complaints("pg_terminate_backend") != 1 {
			t.Error("a commit that hangs is not complained about")
		}
		source.become(nil, true)
		count(10 * time.Second)
		if store.held() != 0 {
			t.Error("still withheld")
		}

		source.become(errors.New("no server"), true)
		source.taken()
		for range 2000 { // a wake-up per commit must neither starve nor multiply the replays
			h.soon()
			time.Sleep(time.Millisecond)
		}
		if n := source.taken(); n < 20 || n > 110 {
			t.Errorf("%d replays in 2 s of constant wake-ups", n)
		}
		must(t, h.Close())
	})
}

func TestContext(t *testing.T) {
	tx := &PgxTx{}
	ctx := Context(t.Context(), tx)
	if got, ok := TxFrom[*PgxTx](ctx); !ok || got != tx {
		t.Fatal("the transaction is not in its context")
	}
	if got, ok := TxFrom[pgx.Tx](ctx); !ok || got != pgx.Tx(tx) {
		t.Fatal("the transaction is not found by its interface")
	}
	if _, ok := TxFrom[*SQLiteTx](ctx); ok {
		t.Fatal("a transaction of another kind was found")
	}
	if what, ok := cache.SnapshotMark(ctx); !ok || !strings.Contains(what, "PgxTx") {
		t.Fatalf("the snapshot is not marked: %q", what)
	}
	if _, ok := cache.SnapshotMark(t.Context()); ok {
		t.Fatal("marked without a transaction")
	}
}
