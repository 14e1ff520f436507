package cache

import (
	"context"
	"errors"
	"testing"

	"github.com/cachesrv/cachesrv/cache/key"
)

// wantStored tells which answers are stored, by what they say that their source contains.
func wantStored(t *testing.T, s *Store, what string, want map[string]bool) {
	t.Helper()
	for text, stored := range want {
		err := store(t, s, "h/a", Meta{Position: pos(t, text)})
		if stored && err != nil || !stored && !errors.Is(err, ErrBehind) {
			t.Errorf("%s, %q: %v", what, text, err)
		}
	}
}

// TestChangeWithoutPosition: where positions are in use, an invalidation that names none makes unknown what is required, whatever
// it names and whichever process makes it; and one that names a source again, what is required of that.
func TestChangeWithoutPosition(t *testing.T) {
	t.Parallel()
	for name, sel := range map[string]Selection{
		"key": {Keys: []Key{parsed(t, "h/x")}}, "soft": {Keys: []Key{parsed(t, "h/x")}, Soft: true}, "tag": {Tags: []string{"x"}},
		"prefix": {Prefixes: []key.Prefix{{Host: "g"}}}, "all": {All: true}, "soft all": {All: true, Soft: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, other := settling(t, dir, 0, newBootClock()), settling(t, dir, 0, newBootClock())
			drops(t, other, sel)
			wantStored(t, s, "nothing was ever required", map[string]bool{"m=1@0/1": true})
			drops(t, s, Selection{Keys: []Key{parsed(t, "h/a")}, Position: pos(t, "m=1@0/5;n=1@0/5")})
			sel.NoChange = true
			drops(t, other, sel)
			sel.NoChange, sel.DryRun = false, true
			drops(t, other, sel)
			wantStored(t, s, "nothing has changed", map[string]bool{"m=1@0/4": false, "m=1@0/5;n=1@0/5": true})
			sel.DryRun = false
			drops(t, other, sel)
			wantStored(t, s, "nobody knows", map[string]bool{"m=1@0/9;n=1@0/9": false, "m=1@0/5": false, "": true})
			drops(t, s, Selection{Keys: []Key{parsed(t, "h/x")}, Position: pos(t, "m=1@0/2")}) // it comes late
			wantStored(t, s, "m is known again", map[string]bool{"m=1@0/9;n=1@0/9": false, "m=1@0/4": false, "m=1@0/5": true})
		})
	}
}

// TestPositionUnknown: a position that can't be read tells that positions are in use.
func TestPositionUnknown(t *testing.T) {
	t.Parallel()
	for _, sel := range []Selection{{Keys: []Key{parsed(t, "h/x")}}, {All: true}} {
		s := settling(t, t.TempDir(), 0, newBootClock())
		sel.PositionUnknown = true
		drops(t, s, sel)
		wantStored(t, s, "it could not be read", map[string]bool{"m=1@0/9": false, "": true})
	}
}

// TestPositionsInUseIsCarriedOver: the next generation is one in which positions are in use, if the last was.
func TestPositionsInUseIsCarriedOver(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := settling(t, dir, 0, newBootClock())
	drops(t, s, Selection{Keys: []Key{parsed(t, "h/a")}, Position: pos(t, "m=1@0/5")})
	drops(t, s, Selection{All: true, NoChange: true})
	wantStored(t, s, "carried over", map[string]bool{"m=1@0/4": false, "m=1@0/5": true})
	drops(t, settling(t, dir, 0, newBootClock()), Selection{Keys: []Key{parsed(t, "h/x")}})
	wantStored(t, s, "nobody knows", map[string]bool{"m=1@0/9": false})
}

// TestRetiredBehindALoss: another process retires the generation between two steps of an invalidation without a position; the
// next one hears of it all the same.
func TestRetiredBehindALoss(t *testing.T) {
	t.Parallel()
	sel := Selection{Keys: []Key{parsed(t, "h/x")}}
	for name, step := range map[string]func(s *Store, old, unmarked *generation) error{
		"looked for the mark": func(s *Store, _, unmarked *generation) error {
			g, err := s.current(context.Background())
			if err == nil {
				g, err = s.require(context.Background(), g, unmarked, sel)
				g.drop()
			}
			return err
		},
		"looked for the generation": func(s *Store, old, _ *generation) error {
			old.acquire()
			g, err := s.require(context.Background(), old, nil, sel)
			g.drop()
			return err
		},
		"was to retire it": func(s *Store, old, _ *generation) error {
			return s.retireGeneration(context.Background(), old, retirement{reason: "test", after: &Selection{All: true}})
		},
		"failed": func(s *Store, old, _ *generation) error {
			return s.failClosed(context.Background(), old, errors.New("test"), &sel)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, other := settling(t, dir, 0, newBootClock()), settling(t, dir, 0, newBootClock())
			g, err := s.current(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer g.drop()
			drops(t, other, Selection{Keys: []Key{parsed(t, "h/a")}, Position: pos(t, "m=1@0/5")})
			drops(t, other, Selection{All: true, NoChange: true})
			if err := step(s, g, s.unmarked(sel)); err != nil {
				t.Fatal(err)
			}
			wantStored(t, other, "nobody knows", map[string]bool{"m=1@0/9": false})
		})
	}
}

// TestSettleTurnedOff: what was invalidated without a position settles no more, so nobody knows what is required.
func TestSettleTurnedOff(t *testing.T) {
	t.Parallel()
	dir, clock := t.TempDir(), newBootClock()
	s := settling(t, dir, settleFor, clock)
	clock.forward(settleFor)
	drops(t, s, Selection{Keys: []Key{parsed(t, "h/a")}, Position: pos(t, "m=1@0/5")})
	drops(t, s, Selection{Keys: []Key{parsed(t, "h/x")}})
	wantStored(t, s, "the time decides", map[string]bool{"m=1@0/4": false, "m=1@0/5": true})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantStored(t, settling(t, dir, -1, clock), "turned off", map[string]bool{"m=1@0/9": false})
}

// TestIncarnationsThatComeBack: within an incarnation what is required never moves back, over others of the same source, losses
// and retirements.
func TestIncarnationsThatComeBack(t *testing.T) {
	t.Parallel()
	s := settling(t, t.TempDir(), 0, newBootClock())
	require := func(text string) {
		t.Helper()
		drops(t, s, Selection{Keys: []Key{parsed(t, "h/x")}, Position: pos(t, text)})
	}
	require("m=1@0/9")
	require("m=2@0/1")
	wantStored(t, s, "the primary as it is now", map[string]bool{"m=1@0/9": false, "m=2@0/1": true})
	drops(t, s, Selection{All: true, NoChange: true})
	require("m=1@0/5")
	wantStored(t, s, "back", map[string]bool{"m=1@0/8": false, "m=1@0/9": true, "m=2@0/9": false})
	drops(t, s, Selection{Tags: []string{"x"}})
	drops(t, s, Selection{All: true})
	require("m=2@0/0")
	wantStored(t, s, "the other, after a loss", map[string]bool{"m=2@0/0": false, "m=2@0/1": true})
}
