//go:build e2e || soak

package linear

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/e2e/pgtest"
	"github.com/cachesrv/cachesrv/e2e/torture"
)

var seedFlag = flag.Uint64("seed", 0, "of the runs' choices; 0: each chooses and prints its own")

func TestMain(m *testing.M) {
	defer func() { _ = os.RemoveAll(programs()) }()
	pgtest.Main(m)
}

// programs is the folder of the built application.
var programs = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "linear-programs-")
	if err != nil {
		panic(err) // a test binary that can't have a temporary folder
	}
	return dir
})

// program is e2e/torture's application, with the points and controls of cache/fault, which do nothing unless asked.
var program = sync.OnceValues(func() (string, error) {
	path := filepath.Join(programs(), "app")
	c := exec.Command("go", "build", "-o", path, "-tags", "cachesrv_fault", "../torture/app")
	c.Stderr = os.Stderr
	return path, c.Run()
})

var databases = []struct {
	name string
	open func(t *testing.T) (dsn string)
}{
	{"sqlite", func(*testing.T) string { return "" }},
	{"postgres", func(t *testing.T) string { return pgtest.Start(t) }},
}

// start starts the application and a recorder of it.
func start(t *testing.T, s torture.Setup, armed []string) *recorder {
	t.Helper()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	var err error
	if s.App, err = program(); err != nil {
		t.Fatal(err)
	}
	s.Dir = t.TempDir()
	s.Load = torture.Load{Pages: 6, Size: 2000, Seed: seed}
	c := s.Config()
	if err := c.Target.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Target.Kill(); err != nil {
			t.Error(err)
		}
	})
	r, err := newRecorder(t.Context(), c, seed, armed)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A tally sums up rounds.
type tally struct {
	rounds, operations, reads, partitions, notAtomic, undecided int
	recording, checking                                         time.Duration
}

func (s *tally) log(t *testing.T, r *recorder) {
	t.Helper()
	t.Logf("%d operations, %d of them reads, in %d partitions of %d rounds; %d kills, %d requests without an answer; recorded in %.1f s, checked in %.2f s",
		s.operations, s.reads, s.partitions, s.rounds, r.kills, r.errs.Load(), s.recording.Seconds(), s.checking.Seconds())
	if soaking {
		t.Logf("%d partitions are not atomic, %d undecided", s.notAtomic, s.undecided)
	}
}

// checkTimeout bounds the check of one page's history, atomicTimeout that for information only.
const (
	checkTimeout  = time.Minute
	atomicTimeout = time.Second
)

// check records a round and checks each page's history. It returns those that the model rejects.
func (s *tally) check(t *testing.T, r *recorder, duration time.Duration) (rejected []int, of *round) {
	t.Helper()
	began := time.Now()
	of, err := r.round(t.Context(), duration)
	if err != nil {
		t.Fatal(err)
	}
	s.recording += time.Since(began)
	s.rounds++
	s.reads += of.answers
	began = time.Now()
	for p, history := range of.history {
		s.partitions++
		s.operations += len(history)
		switch porcupine.CheckOperationsTimeout(regularRegister(of.first[p]), history, checkTimeout) {
		case porcupine.Illegal:
			rejected = append(rejected, p)
		case porcupine.Unknown:
			t.Errorf("page %d: %d operations could not be judged within %v", p, len(history), checkTimeout)
		}
	}
	s.checking += time.Since(began)
	for p, history := range of.history {
		if !soaking {
			break
		}
		switch porcupine.CheckOperationsTimeout(atomicRegister(of.first[p]), history, atomicTimeout) {
		case porcupine.Illegal:
			s.notAtomic++
		case porcupine.Unknown:
			s.undecided++
		}
	}
	return rejected, of
}

// show writes what porcupine makes of a history that was rejected, to a file in the folder; empty: one that stays when
// the test has ended.
func show(t *testing.T, dir string, of *round, p int) {
	t.Helper()
	model := regularRegister(of.first[p])
	_, info := porcupine.CheckOperationsVerbose(model, of.history[p], checkTimeout)
	f, err := os.CreateTemp(dir, "linear-*.html")
	if err != nil {
		t.Error(err)
		return
	}
	if err := errors.Join(porcupine.Visualize(model, info, f), f.Close()); err != nil {
		t.Error(err)
	}
	t.Logf("page %d: open %s in a browser", p, f.Name())
}

// hold holds rounds for a time, and fails the test if a history is rejected.
func hold(t *testing.T, r *recorder, length time.Duration) {
	t.Helper()
	var s tally
	for end := time.Now().Add(length); time.Now().Before(end) && !t.Failed(); {
		rejected, of := s.check(t, r, min(length, roundLength))
		for _, p := range rejected {
			t.Errorf("page %d: stale, or a phantom: its %d operations fit no order (seed %d)", p, len(of.history[p]), r.Load.Seed)
			show(t, "", of, p)
		}
	}
	s.log(t, r)
	if s.reads == 0 {
		t.Error("nothing was read")
	}
}

// TestKilled: one application, killed again and again.
func TestKilled(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, torture.Setup{DB: db.open(t), Means: "each", Render: 4 * time.Millisecond}, torture.PointsOf("each"))
			hold(t, r, killedLength)
			if r.kills < 2 {
				t.Errorf("only %d kills", r.kills)
			}
		})
	}
}

// TestTwoInstances: two on one folder and one database. What one drops, the other may be filling.
func TestTwoInstances(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, torture.Setup{DB: db.open(t), Means: "each", Render: 4 * time.Millisecond, Instances: 2}, nil)
			hold(t, r, peacefulLength)
			if n := r.errs.Load(); n > 0 {
				t.Errorf("%d requests had no answer, although nobody was killed", n)
			}
		})
	}
}

// TestControls: applications that were built wrong are rejected.
func TestControls(t *testing.T) {
	for _, control := range []string{fault.UnlinkBeforeSeen, fault.ClaimAfterRead} {
		for _, db := range databases {
			t.Run(control+"/"+db.name, func(t *testing.T) {
				t.Parallel()
				r := start(t, torture.Setup{DB: db.open(t), Means: "key", Render: 4 * time.Millisecond, Control: control}, nil)
				const bound = 40
				var s tally
				for range bound {
					if rejected, of := s.check(t, r, time.Second/2); len(rejected) > 0 {
						s.log(t, r)
						t.Logf("rejected: %d of %d pages, in round %d", len(rejected), len(of.history), s.rounds)
						show(t, t.TempDir(), of, rejected[0])
						return
					}
				}
				s.log(t, r)
				t.Errorf("not rejected within %d rounds", bound)
			})
		}
	}
}
