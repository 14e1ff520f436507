//go:build e2e || soak

package torture_test

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/e2e/pgtest"
	"github.com/cachesrv/cachesrv/e2e/torture"
)

var (
	seed    = flag.Uint64("seed", 0, "of the runs' choices; 0: each chooses and prints its own")
	verbose = flag.Bool("app.log", false, "show what the applications log")
	race    = flag.Bool("app.race", false, "build the applications with -race; a race fails their test at its stop")
)

func TestMain(m *testing.M) {
	defer func() { _ = os.RemoveAll(programs()) }()
	pgtest.Main(m)
}

// programs is the folder of the built test programs.
var programs = sync.OnceValue(func() string {
	dir, err := os.MkdirTemp("", "torture-programs-")
	if err != nil {
		panic(err) // a test binary that can't have a temporary folder
	}
	return dir
})

// right is the test program as anybody would build it; breakable has the points and controls of cache/fault.
var (
	right     = sync.OnceValues(func() (string, error) { return build("right", "./app") })
	breakable = sync.OnceValues(func() (string, error) { return build("breakable", "./app", "-tags", "cachesrv_fault") })
)

// build builds a command's package, and returns the path of the program.
func build(name, pkg string, flags ...string) (string, error) {
	path := filepath.Join(programs(), name)
	if *race {
		flags = append(flags, "-race")
	}
	c := exec.Command("go", append(append([]string{"build", "-o", path}, flags...), pkg)...)
	c.Stderr = os.Stderr
	return path, c.Run()
}

// databases lists the set-ups that are tortured: a function returns the --db of a fresh database.
var databases = []struct {
	name string
	open func(t *testing.T) (dsn string)
}{
	{"postgres", func(t *testing.T) string { return pgtest.Start(t) }},
	{"sqlite", func(*testing.T) string { return "" }},
}

// start starts what the set-up says and returns the run's Config. The application is gone when the test has ended.
func start(t *testing.T, s torture.Setup, program func() (string, error)) torture.Config {
	t.Helper()
	var err error
	if s.App, err = program(); err != nil {
		t.Fatal(err)
	}
	if *verbose {
		s.Log = os.Stderr
	}
	s.Dir = t.TempDir()
	s.Load.Seed = *seed
	c := s.Config()
	if err := c.Target.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	killAtEnd(t, c.Target)
	return c
}

func killAtEnd(t *testing.T, target torture.Target) {
	t.Cleanup(func() {
		if err := target.Kill(); err != nil {
			t.Error(err)
		}
	})
}

// run holds the run and shows its report.
func run(t *testing.T, c torture.Config) *torture.Report {
	t.Helper()
	r, err := torture.Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if _, err := r.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	t.Log(b.String())
	return r
}

// TestStandardLoad: 0 stale, 0 torn, 0 survivors, no orphan, check clean, by every means of invalidation.
func TestStandardLoad(t *testing.T) {
	for _, db := range databases {
		for _, means := range []string{"key", "tag", "prefix", "rm"} {
			t.Run(db.name+"/"+means, func(t *testing.T) { standard(t, torture.Setup{DB: db.open(t), Means: means}) })
		}
	}
}

// TestTwoInstances: the same, with two instances on one folder and one database. What one invalidates, the other may be
// filling, or have in memory.
func TestTwoInstances(t *testing.T) {
	for _, db := range databases {
		for _, means := range []string{"each", "rm"} {
			t.Run(db.name+"/"+means, func(t *testing.T) {
				standard(t, torture.Setup{DB: db.open(t), Means: means, Instances: 2})
			})
		}
	}
}

// standard holds one run of the standard load.
func standard(t *testing.T, s torture.Setup) {
	t.Helper()
	if !soaking {
		t.Parallel()
	}
	s.Load.Duration = duration
	c := start(t, s, right)
	r := sound(t, c)
	if soaking {
		if r.HitRatio() < 0.9 {
			t.Errorf("the hit ratio is %.3f", r.HitRatio())
		}
		if rate := float64(r.Commits) / r.Seconds; rate < 0.5*c.Load.Rate {
			t.Errorf("%.0f commits/s are not the standard load; is the machine busy?", rate)
		}
	}
}

// sound holds a run that must find nothing wrong, and must have met everything that can be. Then the target stops.
func sound(t *testing.T, c torture.Config) *torture.Report {
	t.Helper()
	r := run(t, c)
	if err := r.Verdict(); err != nil {
		t.Error(err)
	}
	for what, n := range map[string]int64{
		"files read": r.Files, "304s": r.NotModified, "HEADs": r.Heads, "misses": r.Misses,
	} {
		if n == 0 {
			t.Errorf("the run had no %s", what)
		}
	}
	if err := c.Target.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	return r
}

// TestControls: the application, built wrong in each way, is caught in that. Each has the load that shows it soonest.
func TestControls(t *testing.T) {
	// Few pages that are always being rendered and always being committed.
	hot := torture.Load{Pages: 8, Rate: 400, Pause: 2 * time.Millisecond}
	// Even fewer: an invalidation is likely to meet the moment of publication.
	short := torture.Load{Pages: 4, Rate: 400, Committers: 8, Pause: time.Millisecond}
	isStale := func(r *torture.Report) bool { return r.Stale > 0 }
	isTorn := func(r *torture.Report) bool { return r.Torn > 0 }
	tests := []struct {
		control string
		means   string
		load    torture.Load
		render  time.Duration
		caught  func(*torture.Report) bool
		// instances is 2 where the wrong can happen between two only: within one, requests for a page are collapsed.
		instances int
	}{
		{fault.ClaimAfterRead, "key", hot, 0, isStale, 1},
		{fault.PublishByRename, "rm", short, 0, isTorn, 2},
		{fault.TagsUnchecked, "tag", hot, 0, isStale, 1},
		{fault.KeepTwins, "rm", hot, 0, isStale, 1},
		{fault.PageBeforeClaim, "key", short, 2 * time.Millisecond, isStale, 1},
		{fault.UnlinkBeforeSeen, "key", short, time.Millisecond, isStale, 1},
	}
	for _, tt := range tests {
		for _, db := range databases {
			t.Run(tt.control+"/"+db.name, func(t *testing.T) {
				t.Parallel()
				tt.load.Duration, tt.load.Silence = 30*time.Second, 10*time.Millisecond
				c := start(t, torture.Setup{
					DB: db.open(t), Means: tt.means, Control: tt.control, Load: tt.load, Render: tt.render, Instances: tt.instances,
				}, breakable)
				c.UntilViolated = true
				r := run(t, c)
				if r.Verdict() == nil || !tt.caught(r) {
					t.Errorf("%s was not caught within %.0f s (seed %d)", tt.control, r.Seconds, r.Seed)
				}
			})
		}
	}
}

// kills is the load under which the application is killed. Its renders are short, as every page is rendered again
// after each kill.
var kills = torture.Setup{
	Means:  "each",
	Render: 5 * time.Millisecond,
	Load:   torture.Load{Duration: patience, Silence: 100 * time.Millisecond},
}

// TestKills: the application kills itself between COMMIT and hook, in mid-render, mid-publish and mid-invalidation, and
// is killed at random. After each restart every page agrees with the database and can be cached again.
func TestKills(t *testing.T) {
	atRandom := killsEach / 5
	for _, db := range databases {
		t.Run(db.name+"/points", func(t *testing.T) {
			t.Parallel()
			s := kills
			s.DB = db.open(t)
			c := start(t, s, breakable)
			c.Fault = &torture.KillAtPoints{
				Application: c.Target.(*torture.Application), Points: torture.PointsOf(s.Means), Kills: killsEach - atRandom, Patience: 30 * time.Second,
			}
			killed(t, c, killsEach-atRandom)
		})
		t.Run(db.name+"/random", func(t *testing.T) {
			t.Parallel()
			s := kills
			s.DB = db.open(t)
			c := start(t, s, right)
			c.Fault = torture.KillAtRandom{Kills: atRandom}
			killed(t, c, atRandom)
		})
	}
}

func killed(t *testing.T, c torture.Config, times int) {
	t.Helper()
	r := run(t, c)
	if err := r.Verdict(); err != nil {
		t.Error(err)
	}
	if r.Kills != int64(times) || r.Verified != int64((times+1)*c.Load.Pages) {
		t.Errorf("%d of %d kills, %d pages verified", r.Kills, times, r.Verified)
	}
}

// TestKillsControl: were the invalidations not recorded in the transaction, a kill between COMMIT and hook would be
// found. It also shows that pages outlive a kill; else the kills would prove little.
func TestKillsControl(t *testing.T) {
	for _, db := range databases {
		t.Run(db.name, func(t *testing.T) {
			t.Parallel()
			s := kills
			s.DB = db.open(t)
			c := start(t, s, breakable)
			c.UntilViolated = true
			c.Fault = &torture.KillAtPoints{
				Application: c.Target.(*torture.Application),
				Points:      []string{fault.CommitDone},
				Kills:       20,
				Crashed:     func(ctx context.Context) error { return forgetOutbox(ctx, c.Source.(torture.Database)) },
			}
			if r := run(t, c); r.Stale+r.Survivors == 0 {
				t.Errorf("%d kills without the outbox left no page old", r.Kills)
			}
		})
	}
}

// forgetOutbox has the recorded invalidations name nothing.
func forgetOutbox(ctx context.Context, of torture.Database) error {
	db, err := of.Open()
	if err != nil {
		return err
	}
	set := "update cachesrv_invalidation set keys = '[]', tags = '[]', prefixes = '[]'"
	if of.IsPostgres() {
		set = "update cachesrv.invalidation set keys = '{}', tags = '{}', prefixes = '{}'"
	}
	_, err = db.ExecContext(ctx, set)
	return errors.Join(err, db.Close())
}
