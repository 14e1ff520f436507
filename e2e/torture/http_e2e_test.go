//go:build e2e || soak

package torture_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cachesrv/cachesrv/cache/fault"
	"github.com/cachesrv/cachesrv/e2e/program"
	"github.com/cachesrv/cachesrv/e2e/torture"
)

// startProxy starts what the set-up says. All of it is gone when the test has ended.
func startProxy(t *testing.T, s torture.ProxySetup) *torture.Proxied {
	t.Helper()
	built := index
	if s.Control != "" {
		built = breakableIndex
	}
	var err error
	if s.Program, err = built(); err != nil {
		t.Fatal(err)
	}
	s.Dir, s.Listen, s.Admin, s.At = t.TempDir(), program.FreeAddress(t), program.FreeAddress(t), program.FreeAddress(t)
	s.Load.Seed = *seed
	if s.Load.Duration == 0 {
		s.Load.Duration, s.Load.Pause = duration, httpPause
	}
	if *verbose && s.Log == nil {
		s.Log = os.Stderr
	}
	return closing(t)(s.Start(t.Context()))
}

// closing takes what a Start returns, and has it closed.
func closing(t *testing.T) func(*torture.Proxied, error) *torture.Proxied {
	return func(p *torture.Proxied, err error) *torture.Proxied {
		t.Helper()
		t.Cleanup(func() {
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
}

// httpPause makes for the load under which peers were measured.
const httpPause = 2 * time.Millisecond

// table collects one row of each run over HTTP.
var table struct {
	sync.Mutex
	rows []*torture.Report
}

// tabulate shows the rows of the runs of a test, when it ends.
func tabulate(t *testing.T) {
	table.Lock()
	table.rows = nil
	table.Unlock()
	t.Cleanup(func() {
		var b strings.Builder
		table.Lock()
		defer table.Unlock()
		if err := torture.WriteTable(&b, table.rows); err != nil {
			t.Error(err)
		}
		fmt.Print(b.String())
	})
}

// held holds a run, and enters it in the table.
func held(t *testing.T, c torture.Config) *torture.Report {
	t.Helper()
	r := run(t, c)
	table.Lock()
	defer table.Unlock()
	table.rows = append(table.rows, r)
	return r
}

// faultless holds a run that must find nothing wrong and must have met every way of asking. Then the target stops.
func faultless(t *testing.T, p *torture.Proxied) *torture.Report {
	t.Helper()
	r := held(t, p.Config)
	if err := r.Verdict(); err != nil {
		t.Error(err)
	}
	for what, n := range map[string]int64{
		"files read": r.Files, "304s": r.NotModified, "206s": r.Parts, "encoded answers": r.Encoded, "HEADs that could be judged": r.Heads - r.Unjudged, "misses": r.Misses,
	} {
		if n == 0 {
			t.Errorf("the run had no %s", what)
		}
	}
	if err := p.Proxy.Stop(context.WithoutCancel(t.Context())); err != nil {
		t.Error(err)
	}
	return r
}

// fronts are what readers go through: nothing, and real servers.
var fronts = []string{"", "nginx", "caddy"}

// TestProxy: a proxy invalidated over HTTP in every way, alone and with a real server before it that serves its files:
// 0 stale, 0 torn, 0 survivors, no orphan, check clean, and nearly all hits.
func TestProxy(t *testing.T) {
	tabulate(t)
	t.Run("each", func(t *testing.T) {
		for _, front := range fronts {
			for _, means := range []string{torture.ByPurge, torture.ByTags, torture.BySoft, torture.ByAPI, torture.ByRemoval} {
				if !soaking && front != "" && means != torture.ByPurge && means != torture.ByRemoval {
					continue
				}
				t.Run(front+"/"+means, func(t *testing.T) {
					if !soaking {
						t.Parallel()
					}
					r := faultless(t, startProxy(t, torture.ProxySetup{Front: front, Means: means}))
					if soaking && r.HitRatio() < 0.95 {
						t.Errorf("the hit ratio is %.3f at %.0f reads/s: with fewer than 5,000, is the machine busy?", r.HitRatio(), float64(r.Reads)/r.Seconds)
					}
				})
			}
		}
	})
}

// restless holds a run during which something happens to the proxy.
func restless(t *testing.T, p *torture.Proxied, f torture.Fault) *torture.Report {
	t.Helper()
	p.Fault = f
	return faultless(t, p)
}

// TestProxyFaults: what happens to a proxy in service makes no page stale, while readers read, also the files that another
// server goes on serving while the proxy is dead.
func TestProxyFaults(t *testing.T) {
	tabulate(t)
	t.Run("each", func(t *testing.T) {
		for _, front := range fronts {
			if !soaking && front == "caddy" {
				continue
			}
			t.Run("kill/"+front, func(t *testing.T) { killedProxy(t, front) })
			t.Run("fence/"+front, func(t *testing.T) { fencedProxy(t, front) })
			t.Run("reload/"+front, func(t *testing.T) { reloadedProxy(t, front) })
		}
	})
}

func killedProxy(t *testing.T, front string) {
	if !soaking {
		t.Parallel()
	}
	p := startProxy(t, torture.ProxySetup{Front: front, Means: torture.ByPurge, Patience: 20 * time.Second})
	r := restless(t, p, torture.CrashUnderCommits{})
	if r.Kills == 0 || r.Unsettled > 0 || p.Over.Repeats() == 0 {
		t.Errorf("%d kills, %d commits that were never invalidated, %d invalidations repeated", r.Kills, r.Unsettled, p.Over.Repeats())
	}
}

// nothingFails is for what no client may notice.
func nothingFails(t *testing.T, r *torture.Report) {
	t.Helper()
	if r.Excused > 0 || r.Unsettled > 0 {
		t.Errorf("%d requests and %d commits failed", r.Excused, r.Unsettled)
	}
}

func fencedProxy(t *testing.T, front string) {
	if !soaking {
		t.Parallel()
	}
	p := startProxy(t, torture.ProxySetup{Front: front, Means: torture.ByPurge})
	f := &torture.Fencer{By: p.Commit, Plain: p.Origin, Proxy: p.Proxy}
	p.Commit = f.Committer()
	nothingFails(t, restless(t, p, f))
	if f.Fences == 0 || f.Behind == 0 {
		t.Errorf("%d fences, and %d pages had changed behind them", f.Fences, f.Behind)
	}
}

func reloadedProxy(t *testing.T, front string) {
	if !soaking {
		t.Parallel()
	}
	file, log := filepath.Join(t.TempDir(), "config.yaml"), new(program.Log)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, torture.ProxySetup{Front: front, Means: torture.ByPurge, Flags: []string{"--config", file}, Log: log})
	h := &torture.Hangups{Proxy: p.Proxy, File: file}
	nothingFails(t, restless(t, p, h))
	if taken := strings.Count(log.String(), "took new settings on"); taken == 0 || taken < h.Sent/2 {
		t.Errorf("of %d new settings %d were taken on:\n%.3000s", h.Sent, taken, log)
	}
}

// TestProxyControls: the proxy, built wrong, is caught in that; and so is a server before it that keeps files open.
func TestProxyControls(t *testing.T) {
	hot := torture.Load{Duration: 30 * time.Second, Pages: 8, Rate: 400, Pause: 2 * time.Millisecond, Silence: 10 * time.Millisecond}
	keepsOpen := func(conf string) string {
		return strings.Replace(conf, "open_file_cache off;", "open_file_cache max=1000 inactive=1m; open_file_cache_valid 1m;", 1)
	}
	for name, s := range map[string]torture.ProxySetup{
		"tags unchecked":         {Means: torture.ByTags, Control: fault.TagsUnchecked},
		"page before claim":      {Means: torture.ByPurge, Control: fault.PageBeforeClaim, Render: 2 * time.Millisecond},
		"nginx keeps files open": {Means: torture.ByPurge, Front: "nginx", Spoil: keepsOpen},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Load = hot
			p := startProxy(t, s)
			p.UntilViolated = true
			if r := run(t, p.Config); r.Stale == 0 {
				t.Errorf("it was not caught within %.0f s (seed %d)", r.Seconds, r.Seed)
			}
		})
	}
}
