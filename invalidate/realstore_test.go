package invalidate

import (
	"io"
	"path/filepath"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
)

// TestRealStore walks a page through commits with the store that hooks are made for.
func TestRealStore(t *testing.T) {
	dir := t.TempDir()
	store, err := cache.Open(t.Context(), cache.Options{Dir: dir, Live: filepath.Join(dir, "live")})
	must(t, err)
	t.Cleanup(func() { must(t, store.Close()) })
	d := newSQLite(t)
	k := parseKey(t, "example.org/notes")
	fill := func() *cache.Fill {
		t.Helper()
		f, err := store.Claim(t.Context(), k)
		must(t, err)
		_, err = io.WriteString(f, "<p>notes")
		must(t, err)
		return f
	}
	publish := func(f *cache.Fill) error {
		t.Helper()
		hit, err := f.Publish(t.Context(), cache.Meta{Tags: []string{"all-notes"}})
		if err == nil {
			must(t, hit.Close())
		}
		must(t, f.Close())
		return err
	}
	published := func() bool {
		t.Helper()
		hit, err := store.Lookup(k)
		if err != nil {
			wantError(t, err, cache.ErrMiss)
			return false
		}
		must(t, hit.Close())
		return true
	}
	begin := func() testTx {
		tx := d.begin(t, t.Context())
		must(t, TagsTx(t.Context(), tx.tx(), "all-notes"))
		return tx
	}

	_, err = store.Lookup(k)
	wantError(t, err, cache.ErrFenced)
	h := d.open(t, store, Options{ReplayInterval: never})
	must(t, publish(fill()))
	if !published() {
		t.Fatal("hooks did not let the store serve")
	}
	begin().rollback(t)
	if !published() {
		t.Fatal("a rollback dropped the page")
	}
	must(t, begin().commit())
	if published() {
		t.Fatal("a commit left the page")
	}
	f := fill()
	must(t, begin().commit())
	wantError(t, publish(f), cache.ErrInvalidated)

	must(t, publish(fill()))
	begin().die(t)
	h.stop() // as its process died: Close would replay
	<-h.stopped
	if !published() {
		t.Fatal("this test tests nothing")
	}
	h = d.open(t, store, Options{ReplayInterval: never})
	if published() {
		t.Fatal("the replay at the start left the page")
	}
	must(t, publish(fill()))
	must(t, h.Replay(t.Context()))
	if !published() {
		t.Fatal("a replay of nothing dropped the page")
	}

	// While a commit's outcome is unknown, nothing it named is published.
	id := h.withholdID("1")
	must(t, store.Withhold(t.Context(), id, cache.Selection{Tags: []string{"all-notes"}}))
	_, err = store.Invalidate(t.Context(), cache.Selection{Tags: []string{"all-notes"}})
	must(t, err)
	if publish(fill()) == nil || published() {
		t.Fatal("a withheld page was published")
	}
	must(t, h.Replay(t.Context()))
	must(t, publish(fill()))
	if !published() {
		t.Fatal("not released")
	}

	// A row that names what the store does not take, as somebody's trigger may write it, must not stop what comes after.
	d.exec(t, `insert into cachesrv_invalidation (tags) values ('["two words"]')`, "")
	begin().die(t)
	must(t, h.Replay(t.Context()))
	if published() {
		t.Fatal("a row that can't be applied kept another from being applied")
	}
	must(t, publish(fill()))
	must(t, h.Replay(t.Context()))
	if !published() {
		t.Fatal("replays don't get past a row")
	}
}
