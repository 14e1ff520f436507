//go:build soak

package torture_test

import (
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/e2e/torture"
)

// The standard load, for as long as peers were measured twice over.
const (
	soaking   = true
	duration  = time.Minute
	killsEach = 500           // of each database
	patience  = 3 * time.Hour // with runs that end by themselves

	indexDuration = time.Minute
	indexKills    = 50
)

// Many reads in one run: what is wrong once in a million is found too. Readers that hardly pause share a page's short life
// with more fills than those of the standard load.
const (
	manyReads = 10_000_000
)

// TestManyReads: one run of manyReads, invalidated by key, tag and prefix in turn: 0 stale, 0 torn, 0 survivors.
func TestManyReads(t *testing.T) {
	c := start(t, torture.Setup{DB: databases[0].open(t), Means: "each", Load: torture.Load{
		Reads: manyReads, Duration: patience, Readers: 64, Pause: time.Millisecond,
	}}, right)
	if r := sound(t, c); r.Reads < manyReads {
		t.Errorf("only %d reads within %s", r.Reads, patience)
	}
}
