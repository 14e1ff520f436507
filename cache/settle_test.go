package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/key"
	"github.com/cachesrv/cachesrv/cache/position"
)

// A bootClock is moved by hand.
type bootClock struct{ at atomic.Int64 }

func newBootClock() *bootClock {
	c := &bootClock{}
	c.forward(time.Hour)
	return c
}

func (c *bootClock) now() time.Duration      { return time.Duration(c.at.Load()) }
func (c *bootClock) forward(d time.Duration) { c.at.Add(int64(d)) }

// settling opens a folder in which things settle for 10 s.
func settling(t *testing.T, dir string, d time.Duration, c *bootClock) *Store {
	t.Helper()
	s, err := Open(t.Context(), Options{
		Dir: dir, Live: filepath.Join(dir, "live"), Settle: d, SweepInterval: -1, MinFree: 1, Logger: slog.New(slog.DiscardHandler), BootClock: c.now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Unfence(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

const settleFor = 10 * time.Second

func parsed(t testing.TB, text string) Key {
	t.Helper()
	k, err := key.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pos(t testing.TB, text string) position.Vector {
	t.Helper()
	v, err := position.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// store fills a page, with the tag "t".
func store(t testing.TB, s *Store, url string, m Meta) error {
	t.Helper()
	f, err := s.Claim(context.Background(), parsed(t, url))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	m.Header, m.Tags = http.Header{"Content-Type": {PlainContentType}}, []string{"t"}
	_, err = f.Publish(context.Background(), m)
	return err
}

func drops(t testing.TB, s *Store, sel Selection) {
	t.Helper()
	if _, err := s.Invalidate(context.Background(), sel); err != nil {
		t.Fatal(err)
	}
}

// TestSettle: whatever names a page holds it back, for as long as the folder says, in every process; what names others does not.
func TestSettle(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newBootClock()
	s := settling(t, dir, settleFor, clock)
	other := settling(t, dir, 0, clock) // follows
	clock.forward(settleFor)            // the new folder has settled
	for name, c := range map[string]struct {
		sel   Selection
		holds bool
	}{
		"key":              {Selection{Keys: []Key{parsed(t, "h/a/b")}}, true},
		"every host":       {Selection{Keys: []Key{parsed(t, "/a/b")}}, true},
		"variant":          {Selection{Keys: []Key{parsed(t, "h/a/b#json")}}, true},
		"soft":             {Selection{Keys: []Key{parsed(t, "h/a/b")}, Soft: true}, true},
		"tag":              {Selection{Tags: []string{"t"}}, true},
		"soft tag":         {Selection{Tags: []string{"t"}, Soft: true}, true},
		"prefix":           {Selection{Prefixes: []key.Prefix{{Host: "h", Path: "/a"}}}, true},
		"prefix by hand":   {Selection{Prefixes: []key.Prefix{{Host: "h", Path: "/a/"}}}, true},
		"itself":           {Selection{Prefixes: []key.Prefix{{Host: "h", Path: "/a/b"}}}, true},
		"host":             {Selection{Prefixes: []key.Prefix{{Host: "h"}}}, true},
		"on every host":    {Selection{Prefixes: []key.Prefix{{Path: "/a"}}}, true},
		"all":              {Selection{All: true}, true},
		"soft all":         {Selection{All: true, Soft: true}, true},
		"another key":      {Selection{Keys: []Key{parsed(t, "h/a/c")}}, false},
		"another query":    {Selection{Keys: []Key{parsed(t, "h/a/b?x=1")}}, false},
		"another host":     {Selection{Prefixes: []key.Prefix{{Host: "g"}}}, false},
		"another tag":      {Selection{Tags: []string{"tt"}}, false},
		"not by segments":  {Selection{Prefixes: []key.Prefix{{Host: "h", Path: "/a/bb"}, {Host: "h", Path: "/"[:0] + "/aa"}}}, false},
		"a key as a tag":   {Selection{Tags: []string{"kh/a/b"}}, false},
		"nothing but look": {Selection{All: true, DryRun: true}, false},
	} {
		drops(t, other, c.sel)
		clock.forward(settleFor - 1)
		err := store(t, s, "h/a/b", Meta{})
		var u *UnsettledError
		switch {
		case !c.holds && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.holds && (!errors.Is(err, ErrUnsettled) || !errors.As(err, &u) || u.Left != 1):
			t.Errorf("%s: a nanosecond before: %v", name, err)
		}
		clock.forward(1)
		if err := store(t, s, "h/a/b", Meta{}); err != nil {
			t.Errorf("%s: settled: %v", name, err)
		}
		clock.forward(settleFor) // for the next
	}
}

// TestSettleCountsFromTheClaim: that it has settled by the time of publication says nothing of what was read before.
func TestSettleCountsFromTheClaim(t *testing.T) {
	t.Parallel()
	clock := newBootClock()
	s := settling(t, t.TempDir(), settleFor, clock)
	clock.forward(settleFor)
	drops(t, s, Selection{Tags: []string{"t"}})
	f, err := s.Claim(t.Context(), parsed(t, "h/a"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clock.forward(2 * settleFor)
	if _, err := f.Publish(t.Context(), Meta{Tags: []string{"t"}}); !errors.Is(err, ErrUnsettled) {
		t.Errorf("read before it had settled: %v", err)
	}
}

// TestSettleOverBoots: the clock begins anew with a boot; what was invalidated before it settles all the same, and not for ever.
func TestSettleOverBoots(t *testing.T) {
	t.Parallel()
	for _, before := range []time.Duration{time.Second, time.Hour} {
		clock := &bootClock{}
		clock.forward(before)
		s := settling(t, t.TempDir(), settleFor, clock)
		clock.forward(settleFor)
		drops(t, s, Selection{Tags: []string{"t"}})
		clock.at.Store(int64(before / 2))
		if err := store(t, s, "h/a", Meta{}); before/2 < settleFor && !errors.Is(err, ErrUnsettled) {
			t.Errorf("%s, soon after the boot: %v", before, err)
		}
		clock.at.Store(int64(3 * settleFor))
		if err := store(t, s, "h/a", Meta{}); err != nil {
			t.Errorf("%s, later: %v", before, err)
		}
	}
}

// TestSettleIsTheFolders: its users share it; who is alone may change it, and others may make it longer. A change drops everything,
// and everything settles.
func TestSettleIsTheFolders(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newBootClock()
	first := settling(t, dir, 0, clock)
	if first.Settle() != 0 {
		t.Errorf("a new folder settles %s", first.Settle())
	}
	if err := store(t, first, "h/a", Meta{}); err != nil {
		t.Error(err)
	}
	longer := settling(t, dir, settleFor, clock)
	if longer.Settle() != settleFor {
		t.Errorf("made longer: %s", longer.Settle())
	}
	if _, err := first.Lookup(parsed(t, "h/a")); !errors.Is(err, ErrMiss) {
		t.Errorf("a page of before: %v", err)
	}
	if err := store(t, first, "h/a", Meta{}); !errors.Is(err, ErrUnsettled) {
		t.Errorf("just after: %v", err)
	}
	for _, d := range []time.Duration{-1, 0, settleFor - 1, settleFor} {
		if s := settling(t, dir, d, clock); s.Settle() != settleFor {
			t.Errorf("asked for %s while others want %s: %s", d, settleFor, s.Settle())
		} else if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	clock.forward(settleFor)
	if err := store(t, longer, "h/a", Meta{}); err != nil {
		t.Error(err)
	}
	_, _ = first.Close(), longer.Close()
	again := settling(t, dir, 0, clock) // as ls and purge open it
	if _, err := again.Lookup(parsed(t, "h/a")); err != nil || again.Settle() != settleFor {
		t.Errorf("opened without a wish: %v, %s", err, again.Settle())
	}
	_ = again.Close()
	none := settling(t, dir, -1, clock)
	if _, err := none.Lookup(parsed(t, "h/a")); !errors.Is(err, ErrMiss) || none.Settle() != 0 {
		t.Errorf("turned off: %v, %s", err, none.Settle())
	}
	if _, err := Open(t.Context(), Options{Dir: t.TempDir(), Settle: MaxSettle + 1}); err == nil {
		t.Error("a time over the bound")
	}
}

// TestPositions: an answer that says what it contains is stored if it contains what is required, and only then; one that says
// nothing is taken to have read the primary.
func TestPositions(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newBootClock()
	s, other := settling(t, dir, 0, clock), settling(t, dir, 0, clock)
	if err := store(t, s, "h/a", Meta{Position: pos(t, "m=1@0/1")}); err != nil {
		t.Errorf("nothing is required of a new folder: %v", err)
	}
	drops(t, other, Selection{Keys: []Key{parsed(t, "h/other")}, Position: pos(t, "m=1@0/5")})
	for text, want := range map[string]error{
		"m=1@0/4": ErrBehind, "m=1@0/5": nil, "m=1@0/6;n=1@0/0": nil, "n=1@0/9": ErrBehind, "m=2@0/9": ErrBehind, "m=1@9:9:": ErrBehind, "": nil,
	} {
		if err := store(t, s, "h/a", Meta{Position: pos(t, text)}); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	hit, err := s.Lookup(parsed(t, "h/a"))
	if err != nil {
		t.Fatal(err)
	}
	defer hit.Close()
	for i, sel := range []Selection{
		{Tags: []string{"x"}}, {All: true}, {All: true, Soft: true}, {Prefixes: []key.Prefix{{Host: "g"}}}, {Keys: []Key{parsed(t, "h/a")}, Soft: true},
	} {
		before, at := fmt.Sprintf("m=1@0/%X", 5+i), fmt.Sprintf("m=1@0/%X", 6+i)
		sel.Position = pos(t, at)
		drops(t, s, sel)
		for text, want := range map[string]error{before: ErrBehind, at: nil} {
			if err := store(t, other, "h/a", Meta{Position: pos(t, text)}); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%+v, %q: %v", sel, text, err)
			}
		}
	}
	f, err := s.Claim(t.Context(), parsed(t, "h/b"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	drops(t, other, Selection{Keys: []Key{parsed(t, "h/x")}, Position: pos(t, "m=1@0/F")})
	if _, err := f.Publish(t.Context(), Meta{Position: pos(t, "m=1@0/E")}); !errors.Is(err, ErrBehind) {
		t.Errorf("required since the claim: %v", err)
	}
	if _, err := s.Invalidate(t.Context(), Selection{All: true, Position: position.Vector{{Source: " "}}}); !errors.Is(err, position.ErrMalformed) {
		t.Errorf("a position made by hand: %v", err)
	}
	if _, err := s.Invalidate(t.Context(), Selection{All: true, Position: pos(t, "m=1@0/F"), PositionUnknown: true}); !errors.Is(err, position.ErrMalformed) {
		t.Errorf("a position that is said to be unknown: %v", err)
	}
}

// TestLostPositions: where nobody knows what is required, an answer that names a source is stored only once that source was
// named by an invalidation again.
func TestLostPositions(t *testing.T) {
	t.Parallel()
	clock := newBootClock()
	s := settling(t, t.TempDir(), 0, clock)
	drops(t, s, Selection{All: true, Position: pos(t, "m=1@0/5;n=1@0/5")})
	drops(t, s, Selection{All: true, NoChange: true}) // carried over
	if err := store(t, s, "h/a", Meta{Position: pos(t, "m=1@0/4;n=1@0/9")}); !errors.Is(err, ErrBehind) {
		t.Errorf("after a retirement: %v", err)
	}
	g, err := s.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.retireGeneration(t.Context(), g, retirement{reason: "test", lost: true}); err != nil {
		t.Fatal(err)
	}
	g.drop()
	for text, want := range map[string]error{"m=1@0/9;n=1@0/9": ErrBehind, "": nil} {
		if err := store(t, s, "h/a", Meta{Position: pos(t, text)}); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q: %v", text, err)
		}
	}
	drops(t, s, Selection{Tags: []string{"t"}, Position: pos(t, "m=1@0/5")})
	for text, want := range map[string]error{"m=1@0/9;n=1@0/9": ErrBehind, "m=1@0/4": ErrBehind, "m=1@0/5": nil} {
		if err := store(t, s, "h/a", Meta{Position: pos(t, text)}); !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%q, when m is known again: %v", text, err)
		}
	}
}

// TestRetiredBehindARaise: another process retires the generation between a raise and what follows; the next one has it.
func TestRetiredBehindARaise(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newBootClock()
	s, other := settling(t, dir, 0, clock), settling(t, dir, 0, clock)
	g, err := s.current(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	drops(t, other, Selection{All: true})
	sel := Selection{Keys: []Key{parsed(t, "h/a")}, Position: pos(t, "m=1@0/5")}
	now, err := s.require(t.Context(), g, nil, sel)
	if err != nil || now == g {
		t.Fatalf("raised in a generation that is gone: %v", err)
	}
	now.drop()
	if err := store(t, other, "h/a", Meta{Position: pos(t, "m=1@0/4")}); !errors.Is(err, ErrBehind) {
		t.Errorf("%v", err)
	}
	if g, err = s.current(t.Context()); err != nil {
		t.Fatal(err)
	}
	drops(t, other, Selection{All: true})
	if err := s.failClosed(t.Context(), g, errors.New("test"), &Selection{Position: pos(t, "m=1@0/6")}); err != nil {
		t.Fatal(err)
	}
	g.drop()
	if err := store(t, other, "h/a", Meta{Position: pos(t, "m=1@0/5")}); !errors.Is(err, ErrBehind) {
		t.Errorf("an invalidation that failed in a generation that was gone: %v", err)
	}
}

// TestPositionsAndSettling: an answer that proves what it contains need not wait for what came with a position.
func TestPositionsAndSettling(t *testing.T) {
	t.Parallel()
	clock := newBootClock()
	s := settling(t, t.TempDir(), settleFor, clock)
	clock.forward(settleFor)
	if err := store(t, s, "h/a", Meta{}); err != nil {
		t.Fatal(err)
	}
	p := pos(t, "m=1@0/5")
	try := func(what string, proven, bare error) {
		t.Helper()
		for _, c := range []struct {
			m    Meta
			want error
		}{{Meta{Position: p}, proven}, {Meta{}, bare}} {
			if err := store(t, s, "h/a", c.m); !errors.Is(err, c.want) || c.want == nil && err != nil {
				t.Errorf("%s, %q: %v", what, c.m.Position, err)
			}
		}
	}
	for _, sel := range []Selection{{Keys: []Key{parsed(t, "h/a")}}, {Tags: []string{"t"}}, {Prefixes: []key.Prefix{{Host: "h"}}}} {
		sel.Position = p
		drops(t, s, sel)
		try("with a position", nil, ErrUnsettled)
		sel.Position = nil
		drops(t, s, sel)
		sel.Position = p
		drops(t, s, sel)
		try("with one, and without just before", ErrUnsettled, ErrUnsettled)
		clock.forward(settleFor)
		try("settled", nil, nil)
	}
	drops(t, s, Selection{All: true, Position: p})
	try("all", ErrUnsettled, ErrUnsettled) // what was invalidated before it is not remembered
}

// TestSettleCostsNothing: without it, an invalidation by key writes nothing to the inventory.
func TestSettleCostsNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := settling(t, dir, 0, newBootClock())
	if err := store(t, s, "h/a", Meta{}); err != nil {
		t.Fatal(err)
	}
	s.keep.stop() // it would write
	defer s.keep.start()
	path, err := filepath.EvalSymlinks(filepath.Join(dir, "cache/current"))
	if err != nil || strings.Contains(path, "settle") {
		t.Fatal(path, err)
	}
	before, err := os.ReadFile(path + "/inventory.db-wal")
	if err != nil {
		t.Fatal(err)
	}
	drops(t, s, Selection{Keys: []Key{parsed(t, "h/a")}})
	if after, err := os.ReadFile(path + "/inventory.db-wal"); err != nil || string(after) != string(before) {
		t.Errorf("the inventory was written: %v", err)
	}
}
