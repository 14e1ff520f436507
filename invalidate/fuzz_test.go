package invalidate

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cachesrv/cachesrv/cache"
	"github.com/cachesrv/cachesrv/cache/key"
)

// FuzzRow reads rows as anybody may have written them: either an error, which drops everything, or a selection that the
// store takes and that is recorded as it was read.
func FuzzRow(f *testing.F) {
	f.Add(`["example.org/a"]`, `["a"]`, `["/x"]`)
	f.Add(`["http://example.org:80/a?b=1&a=2#v"]`, `[]`, `["/x/"]`)
	f.Add(`null`, `[""]`, `[1]`)
	f.Add(`[]`, `["two words","\u0000","\ud800"]`, `["//","h//"]`)
	f.Fuzz(func(t *testing.T, keys, tags, prefixes string) {
		var r row
		if r.decode(keys, tags, prefixes) != nil {
			return
		}
		sel, err := r.selection()
		if err != nil {
			return
		}
		names, err := namesOf(sel)
		if merged, mergeErr := merge([]row{r}, nil); (mergeErr == nil) != (err == nil) {
			t.Fatalf("%+v: merged to %+v, %v; recorded: %v", sel, merged, mergeErr, err)
		}
		if err != nil {
			if !errors.Is(err, key.ErrInvalid) {
				t.Fatal(err)
			}
			return
		}
		for _, tag := range sel.Tags {
			if err := cache.CheckTag(tag); err != nil {
				t.Fatalf("taken, but not by the store: %v", err)
			}
		}
		again, err := rowOf(names).selection()
		if err != nil || !slices.Equal(again.Keys, sel.Keys) || !slices.Equal(again.Tags, sel.Tags) || !slices.Equal(again.Prefixes, sel.Prefixes) {
			t.Fatalf("%+v became %+v, %v", sel, again, err)
		}
	})
}

// FuzzSnapshot: a snapshot is the set that its text says, and one set contains another only if it does.
func FuzzSnapshot(f *testing.F) {
	for _, s := range [][2]string{
		{"10:20:10,14", "10:10:"}, {"1:1:", "1:2:1"}, {"0:1:", "1:3:3"}, {"786:788:786", "787:788:"}, {"1:18446744073709551615:", "18446744073709551615:18446744073709551615:"},
		{"1:9:3,2", "+1:2:"}, {"01:2:", "1:2:1,"},
	} {
		f.Add(s[0], s[1], uint64(12))
	}
	f.Fuzz(func(t *testing.T, text1, text2 string, xid uint64) {
		a, err := parseSnapshot(text1)
		if err != nil {
			return
		}
		running := make([]string, len(a.running))
		for i, xid := range a.running {
			running[i] = fmt.Sprint(xid)
		}
		text := fmt.Sprintf("%d:%d:%s", a.xmin, a.xmax, strings.Join(running, ","))
		if again, err := parseSnapshot(text); err != nil || fmt.Sprint(again) != fmt.Sprint(a) {
			t.Fatalf("%q is %+v; %q is %+v, %v", text1, a, text, again, err)
		}
		if a.has(xid) != (xid < a.xmax && !slices.Contains(a.running, xid)) || xid < a.xmin && !a.has(xid) {
			t.Fatalf("%q has %d: %v", text1, xid, a.has(xid))
		}
		if !a.contains(a) {
			t.Fatalf("%q does not contain itself", text1)
		}
		b, err := parseSnapshot(text2)
		if err != nil {
			return
		}
		// What decides lies at what either lists, its ends, and their neighbours.
		for _, at := range slices.Concat(a.running, b.running, []uint64{a.xmin, a.xmax, b.xmin, b.xmax, xid}) {
			for _, xid := range []uint64{at - 1, at, at + 1} {
				if xid > 0 && a.contains(b) && b.has(xid) && !a.has(xid) {
					t.Fatalf("%q is said to contain %q, but not %d", text1, text2, xid)
				}
			}
		}
		if a.contains(b) && b.contains(a) && a.has(xid) != b.has(xid) {
			t.Fatalf("%q and %q contain each other and differ in %d", text1, text2, xid)
		}
	})
}

// FuzzPosition: from whatever position a folder has in an SQLite outbox, it gets all rows behind the one it names, or is
// told to drop everything; and gets on.
func FuzzPosition(f *testing.F) {
	d := newFuzzOutbox(f)
	for _, p := range []string{"", "3 " + d.tokens[2], "1 " + d.tokens[2], "99 x", "x", "-1 " + d.tokens[0], "+2 " + d.tokens[1], "2", "2 ", " 2 " + d.tokens[1], "9223372036854775808 x", "02 " + d.tokens[1]} {
		f.Add(p, uint8(0))
	}
	f.Add("", uint8(3))
	f.Fuzz(func(t *testing.T, position string, at uint8) {
		if at > 0 { // a good one: its row, with a changed text now and then
			i := int(at-1) % len(d.tokens)
			position = fmt.Sprintf("%d %s", i+1, d.tokens[i]) + position
		}
		b, err := d.source.read(t.Context(), cache.Position(position))
		if err != nil {
			t.Fatal(err)
		}
		last := len(d.tokens)
		if want := cache.Position(fmt.Sprintf("%d %s", last, d.tokens[last-1])); b.position != want && (b.resync != "" || len(b.rows) > 0 || string(b.position) != position) {
			t.Fatalf("from %q to %q, not %q", position, b.position, want)
		}
		if b.resync != "" {
			if at > 0 && position == fmt.Sprintf("%d %s", int(at-1)%last+1, d.tokens[int(at-1)%last]) {
				t.Fatalf("%q: %s", position, b.resync)
			}
			return
		}
		first := last - len(b.rows) // the row that the position names
		if first < 1 || !strings.HasSuffix(position, " "+d.tokens[first-1]) {
			t.Fatalf("from %q come %d rows of %d", position, len(b.rows), last)
		}
		for i, r := range b.rows {
			if r.id != d.tokens[first+i] {
				t.Fatalf("from %q comes %q as row %d", position, r.id, i)
			}
		}
	})
}

type fuzzOutbox struct {
	source *sqliteSource
	tokens []string // of its rows, in order
}

func newFuzzOutbox(f *testing.F) (d fuzzOutbox) {
	f.Helper()
	db := openSQLite(f, f.TempDir()+"/app.db")
	must(f, Migrate(f.Context(), db))
	for range 4 {
		_, err := db.Exec(`insert into cachesrv_invalidation (tags) values ('["a"]')`)
		must(f, err)
	}
	_, err := db.Exec("update cachesrv_invalidation set token = 'token-' || id") // every process of a fuzz test has the same
	must(f, err)
	rows, err := db.Query("select token from cachesrv_invalidation order by id")
	must(f, err)
	defer rows.Close()
	for rows.Next() {
		var token string
		must(f, rows.Scan(&token))
		d.tokens = append(d.tokens, token)
	}
	must(f, rows.Err())
	d.source = &sqliteSource{db: db, retention: 1 << 40, retentionRows: 1000}
	return d
}
