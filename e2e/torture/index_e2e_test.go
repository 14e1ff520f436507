//go:build e2e || soak

package torture_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/e2e/pgtest"
	"github.com/cachesrv/cachesrv/e2e/torture"
)

// index is the program as anybody would build it; breakableIndex has the points and controls of cache/fault.
var (
	index          = sync.OnceValues(func() (string, error) { return build("cachesrv", "../../cmd/cachesrv") })
	breakableIndex = sync.OnceValues(func() (string, error) {
		return build("cachesrv-breakable", "../../cmd/cachesrv", "-tags", "cachesrv_fault")
	})
)

// startIndex starts what the set-up says. The index is gone when the test has ended.
func startIndex(t *testing.T, s torture.IndexSetup, program func() (string, error)) torture.Config {
	t.Helper()
	var err error
	if s.Program, err = program(); err != nil {
		t.Fatal(err)
	}
	if *verbose {
		s.Log = os.Stderr
	}
	s.Dir = indexFolder(t)
	s.Load.Seed = *seed
	c, err := s.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killAtEnd(t, c.Target)
	return c
}

// indexFolder is a new folder, in memory where there is such a thing, but for long runs: on a disk, an upload waits for a
// dozen fsyncs, and a short run would see few.
func indexFolder(t *testing.T) string {
	t.Helper()
	if soaking {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("/dev/shm", "index-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// TestIndex: uploads to a package index against readers of all its pages: 0 stale, 0 torn, 0 survivors, no orphan, check
// clean. With the serial's header left out, its pages are read from their files, too.
func TestIndex(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) { standardIndex(t, torture.IndexSetup{DB: db.open(t)}) })
	}
	t.Run("sqlite/files", func(t *testing.T) { standardIndex(t, torture.IndexSetup{NoSerial: true}) })
	t.Run("postgres/instances", func(t *testing.T) {
		standardIndex(t, torture.IndexSetup{DB: pgtest.Start(t), Instances: 2})
	})
}

func standardIndex(t *testing.T, s torture.IndexSetup) {
	t.Helper()
	if !soaking {
		t.Parallel()
	}
	s.Load.Duration = indexDuration
	r := sound(t, startIndex(t, s, index))
	if rate := float64(r.Commits) / r.Seconds; soaking && rate < 5 { // how many there can be, the disk decides
		t.Errorf("%.0f uploads/s are too few; is the machine busy?", rate)
	}
}

// TestIndexControls: the index, built wrong in a way that uploads can meet, is caught.
func TestIndexControls(t *testing.T) {
	hot := torture.Load{Rate: 400, Committers: 8, Pause: time.Millisecond}
	for _, control := range []string{fault.TagsUnchecked, fault.UnlinkBeforeSeen, fault.ClaimAfterRead} {
		for _, db := range databases {
			t.Run(control+"/"+db.name, func(t *testing.T) {
				t.Parallel()
				s := torture.IndexSetup{DB: db.open(t), Control: control, Load: hot, Projects: 2}
				s.Load.Duration, s.Load.Silence = 30*time.Second, 10*time.Millisecond
				c := startIndex(t, s, breakableIndex)
				c.UntilViolated = true
				if r := run(t, c); r.Stale == 0 {
					t.Errorf("%s was not caught within %.0f s (seed %d)", control, r.Seconds, r.Seed)
				}
			})
		}
	}
}

// TestIndexKills: the index is killed at random under load. After each restart every page agrees with the database.
func TestIndexKills(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			c := startIndex(t, torture.IndexSetup{DB: db.open(t), Load: torture.Load{Duration: patience, Silence: 100 * time.Millisecond}}, index)
			c.Fault = torture.KillAtRandom{Kills: indexKills}
			killed(t, c, indexKills)
		})
	}
}
