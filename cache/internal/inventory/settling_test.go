package inventory

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"
)

// TestNamesAreBounded: what has settled is forgotten; where more is invalidated than is kept, everything settles.
func TestNamesAreBounded(t *testing.T) {
	path, now := filepath.Join(t.TempDir(), "inventory.db"), time.Hour
	if err := Create(path, First{}); err != nil {
		t.Fatal(err)
	}
	db, err := Open(path, time.Second, Settling{For: time.Minute, Clock: func() time.Duration { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.maxNames = 100
	notify := func(from, to int) {
		t.Helper()
		var names []string
		for i := range to - from {
			names = append(names, fmt.Sprint("t", from+i))
		}
		if err := db.Notify(t.Context(), Notice{Names: names}); err != nil {
			t.Fatal(err)
		}
	}
	publishes := func(want Verdict, names ...string) {
		t.Helper()
		r := &Row{File: "f", Claim: "c", Key: "k"}
		f := &Fill{Claimed: now, Names: names, Concerns: func(*Invalidation) bool { return false }}
		if _, v, left, err := db.Publish(t.Context(), r, "", f); v != want || err != nil || (left > 0) != (want == Unsettled) {
			t.Errorf("%q: %d, %s, %v", names, v, left, err)
		}
	}
	for i := range 100 {
		notify(i, i+1)
	}
	publishes(Unsettled, "t0")
	publishes(Clear, "t100", Everything)
	now += time.Minute
	publishes(Clear, "t0")
	for i := range 50 {
		notify(i, i+1)
	}
	publishes(Clear, "t60", Everything) // the old ones gave way
	for i := range 70 {
		notify(200+i, 201+i)
	}
	publishes(Unsettled, "t0", Everything) // all of these are held back
	publishes(Unsettled, Everything)
	now += time.Minute
	notify(0, 101)
	publishes(Unsettled, "other", Everything)
}
