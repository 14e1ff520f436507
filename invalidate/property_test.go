package invalidate

import (
	"flag"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestNothingIsLostInPostgres follows random histories of transactions with the positions of PostgreSQL, on a model of
// what the server would answer: numbers handed out in one order, commits in another, and a follower that looks now and
// then. Each committed row is read by exactly one look, in the first one after its commit; positions only grow.
func TestNothingIsLostInPostgres(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		next := uint64(rapid.IntRange(1, 1000).Draw(t, "first id"))
		running, finished := map[uint64]bool{}, map[uint64]bool{} // finished: committed or not
		position, err := parseSnapshot(fmt.Sprintf("%d:%d:", next, next))
		if err != nil {
			t.Fatal(err)
		}
		var unread []uint64 // committed since the last look
		pick := func(t *rapid.T) uint64 {
			var ids []uint64
			for id := range running {
				ids = append(ids, id)
			}
			if len(ids) == 0 {
				t.Skip("nothing runs")
			}
			slices.Sort(ids)
			return rapid.SampledFrom(ids).Draw(t, "transaction")
		}
		end := func(t *rapid.T, committed bool) {
			id := pick(t)
			delete(running, id)
			finished[id] = committed
			if committed {
				unread = append(unread, id)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"begin":    func(*rapid.T) { running[next] = true; next++ },
			"commit":   func(t *rapid.T) { end(t, true) },
			"rollback": func(t *rapid.T) { end(t, false) },
			"look": func(t *rapid.T) {
				now := currentSnapshot(t, next, running)
				var read []uint64
				for id, committed := range finished {
					// As the query: xid >= pg_snapshot_xmin(position) and not pg_visible_in_snapshot(xid, position)
					if committed && id >= position.xmin && !position.has(id) {
						read = append(read, id)
					}
				}
				slices.Sort(read)
				slices.Sort(unread)
				if !slices.Equal(read, unread) {
					t.Fatalf("read %v, committed %v, from %+v", read, unread, position)
				}
				if !now.contains(position) || position.contains(now) && len(unread) > 0 {
					t.Fatalf("%+v after %+v with %v", now, position, unread)
				}
				position, unread = now, nil
			},
		})
	})
}

// currentSnapshot is pg_current_snapshot(), through its text.
func currentSnapshot(t *rapid.T, next uint64, running map[uint64]bool) snapshot {
	xmin, xmax := next, next // an id not yet handed out, or running at the end, may be left out of the list
	for xmax > 1 && running[xmax-1] {
		xmax--
	}
	var list []uint64
	for id := range running {
		if id < xmax {
			list = append(list, id)
			xmin = min(xmin, id)
		}
	}
	slices.Sort(list)
	texts := make([]string, len(list))
	for i, id := range list {
		texts[i] = strconv.FormatUint(id, 10)
	}
	s, err := parseSnapshot(fmt.Sprintf("%d:%d:%s", min(xmin, xmax), xmax, strings.Join(texts, ",")))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A follower is one cache folder, and what has become of it.
type follower struct {
	hooks *hooks
	store *recordingStore
	owed  []string // committed and, for all it knows, not dropped
}

// TestNothingIsLostInSQLite lets two folders follow one outbox, through commits whose process lives or dies, rollbacks,
// replays, rows past their retention, and hooks that start again: what was committed is dropped in both by their next
// replay, each by its name or with everything; what was rolled back is never dropped by its name; positions only grow.
func TestNothingIsLostInSQLite(t *testing.T) {
	if checks := flag.Lookup("rapid.checks"); checks.Value.String() == checks.DefValue { // as many as asked for; else few: each has a database
		must(t, checks.Value.Set("12"))
		defer func() { _ = checks.Value.Set(checks.DefValue) }()
	}
	rapid.Check(t, func(rt *rapid.T) {
		d := &sqliteDatabase{file: t.TempDir() + "/app.db"}
		d.connect(t)
		defer d.db.Close()
		must(t, d.migrate(t.Context()))
		o := Options{ReplayInterval: never, RetentionRows: 3, Retention: never, Logger: slog.New(slog.DiscardHandler)}
		begun := func(store Store) *hooks {
			h, err := NewSQLite(t.Context(), store, d.db, o)
			if err != nil {
				rt.Fatal(err)
			}
			return h.hooks
		}
		var two [2]*follower
		for i := range two {
			store := newStore()
			two[i] = &follower{hooks: begun(store), store: store}
			defer func() { _ = two[i].hooks.Close() }()
		}
		n, last := 0, [2]int64{}
		some := func(rt *rapid.T) (*follower, int) {
			i := rapid.IntRange(0, 1).Draw(rt, "folder")
			return two[i], i
		}
		commit := func(rt *rapid.T, dies, rolledBack bool) {
			f, _ := some(rt)
			n++
			tag := fmt.Sprint("tag:", n)
			h := &SQLiteHooks{hooks: f.hooks, db: d.db}
			tx, err := h.Begin(t.Context())
			if err == nil {
				err = TagsTx(t.Context(), tx, tag)
			}
			if err == nil && rolledBack {
				if err = tx.Rollback(); err != nil {
					rt.Fatal(err)
				}
				return
			}
			switch {
			case err == nil && dies: // after COMMIT, before its hook
				sqliteTestTx{SQLiteTx: tx}.die(t)
			case err == nil:
				err = tx.Commit()
			}
			if err != nil {
				rt.Fatal(err)
			}
			for _, g := range two {
				g.owed = append(g.owed, tag)
			}
			if !dies && !slices.Contains(f.store.tags(), tag) {
				rt.Fatalf("%s is not dropped when Commit has returned", tag)
			}
		}
		settle := func(rt *rapid.T, f *follower) {
			got := f.store.tags()
			if !slices.Contains(got, "*") {
				for _, tag := range f.owed {
					if !slices.Contains(got, tag) {
						rt.Fatalf("%s was committed and is not dropped; dropped: %v", tag, got)
					}
				}
			}
			for _, tag := range got {
				if tag != "*" && !slices.Contains(f.owed, tag) {
					rt.Fatalf("%s is dropped, and was not committed since", tag)
				}
			}
			f.owed = nil
			f.store.forget()
		}
		for _, f := range two {
			settle(rt, f)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"commit":   func(rt *rapid.T) { commit(rt, false, false) },
			"die":      func(rt *rapid.T) { commit(rt, true, false) },
			"rollback": func(rt *rapid.T) { commit(rt, false, true) },
			"replay": func(rt *rapid.T) {
				f, _ := some(rt)
				if err := f.hooks.Replay(t.Context()); err != nil {
					rt.Fatal(err)
				}
				settle(rt, f)
			},
			"trim": func(rt *rapid.T) {
				f, _ := some(rt)
				if err := f.hooks.trim(t.Context()); err != nil {
					rt.Fatal(err)
				}
			},
			"start again": func(rt *rapid.T) {
				f, _ := some(rt)
				f.hooks.stop()
				<-f.hooks.stopped
				f.hooks = begun(f.store)
				settle(rt, f)
			},
			"": func(rt *rapid.T) {
				for i, f := range two {
					p, err := f.store.SourcePosition(t.Context(), "database")
					if err != nil {
						rt.Fatal(err)
					}
					text, _, _ := strings.Cut(string(p), " ")
					id, err := strconv.ParseInt(text, 10, 64)
					if err != nil || id < last[i] {
						rt.Fatalf("the position of folder %d is %q, after row %d: %v", i, p, last[i], err)
					}
					last[i] = id
				}
			},
		})
	})
}
