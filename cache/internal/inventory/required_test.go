package inventory

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
	"zombiezen.com/go/sqlite"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/cache/position"
)

func vector(t rapid.TB, text string) position.Vector {
	v, err := position.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestRequired compares what is required with the most that was ever named of each incarnation, over losses.
func TestRequired(t *testing.T) {
	path, ctx := filepath.Join(t.TempDir(), "inventory.db"), context.Background()
	if err := Create(path, First{}); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, time.Second, Settling{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rapid.Check(t, func(rt *rapid.T) {
		must := func(err error) {
			if err != nil {
				rt.Fatal(err)
			}
		}
		must(db.write(ctx, fault.NoticeWrite, "begin anew", func(c *sqlite.Conn) error { return writeRequired(c, Required{Whole: true}) }))
		most := map[string]int{}
		now := map[string]string{} // the incarnation of each source that was named since a loss
		whole := true
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			if rapid.IntRange(0, 4).Draw(rt, "step") == 0 {
				always := rapid.Bool().Draw(rt, "always")
				must(db.Lose(ctx, always))
				whole = whole && len(now) == 0 && !always
				clear(now)
			} else {
				source := rapid.SampledFrom([]string{"m", "n"}).Draw(rt, "source")
				named := source + "=" + rapid.SampledFrom([]string{"1", "2", "3"}).Draw(rt, "incarnation")
				at := rapid.IntRange(0, 9).Draw(rt, "at")
				must(db.Raise(ctx, vector(rt, fmt.Sprintf("%s@0/%X", named, at))))
				most[named], now[source] = max(most[named], at), named
			}
			r, err := db.Required(ctx)
			must(err)
			want := []string{}
			for _, source := range []string{"m", "n"} {
				if named, ok := now[source]; ok {
					want = append(want, fmt.Sprintf("%s@0/%X", named, most[named]))
				}
			}
			if r.Position.String() != strings.Join(want, ";") || r.Whole != whole {
				rt.Fatalf("required is %q, whole: %t; not %q, %t", r.Position, r.Whole, want, whole)
			}
		}
	})
}

// TestFormerIsBounded: what is too much to be kept counts as lost.
func TestFormerIsBounded(t *testing.T) {
	r := Required{Whole: true}
	raise := func(source string, incarnation int) {
		r = r.Raised(vector(t, fmt.Sprintf("%s=%d@0/5", source, incarnation)))
	}
	raise("n", 1)
	for i := range maxFormerOfSource + 1 {
		raise("m", i)
	}
	if !r.Whole || len(r.Former) != maxFormerOfSource || len(r.Position) != 2 {
		t.Errorf("at the bound of a source: %+v", r)
	}
	lost := r.Lost()
	if lost.Whole || len(lost.Position) > 0 || len(lost.Former) > 0 {
		t.Errorf("beyond it, by a loss: %+v", lost)
	}
	raise("m", 1000)
	if r.Whole || len(r.Former) > 0 || r.Position.String() != "m=1000@0/5" {
		t.Errorf("beyond it: %+v", r)
	}
	r = Required{Whole: true}
	for s := range maxFormer / maxFormerOfSource {
		for i := range maxFormerOfSource + 1 {
			raise(fmt.Sprint("s", s), i)
		}
	}
	if !r.Whole || len(r.Former) != maxFormer {
		t.Errorf("at the bound of all: %d", len(r.Former))
	}
	raise("m", 1)
	raise("m", 2)
	if r.Whole || len(r.Former) > 0 {
		t.Errorf("beyond it: %+v", r)
	}
	r = Required{Whole: true}
	snapshot := &position.Snapshot{Xmax: 1}
	for id := range uint64(1200) {
		snapshot.Ahead = append(snapshot.Ahead, 1_000_000_000+2*id)
	}
	for i := range maxFormerText/(12<<10) + 2 {
		v, err := position.New(position.Entry{Source: "m", Incarnation: fmt.Sprint(i), Snapshot: snapshot})
		if err != nil {
			t.Fatal(err)
		}
		r = r.Raised(v)
	}
	if r.Whole || len(formerText(r.Former)) > maxFormerText {
		t.Errorf("beyond the bound of bytes: %d", len(formerText(r.Former)))
	}
}
