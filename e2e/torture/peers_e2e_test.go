//go:build e2e || soak

package torture_test

import (
	"os"
	"slices"
	"testing"

	"github.com/cachesrv/cachesrv/e2e/program"
	"github.com/cachesrv/cachesrv/e2e/torture"
)

// TestPeers: under the same load, the same judge finds what caches of other makes do when a render that has begun before an
// invalidation ends after it: they store it. If it found nothing, it would have found nothing with ours either.
func TestPeers(t *testing.T) {
	tabulate(t)
	t.Run("each", func(t *testing.T) {
		for _, name := range torture.Makes() {
			if !soaking && !slices.Contains([]string{"nginx", "varnish"}, name) {
				continue
			}
			t.Run(name, func(t *testing.T) {
				if !soaking {
					t.Parallel()
				}
				s := torture.PeerSetup{Make: name, Dir: t.TempDir(), Listen: program.FreeAddress(t)}
				s.Load.Seed, s.Load.Duration, s.Load.Pause = *seed, duration, httpPause
				if *verbose {
					s.Log = os.Stderr
				}
				r := held(t, closing(t)(s.Start(t.Context())).Config)
				if r.StaleVersions() < 0.5 {
					t.Errorf("only %.2f %% of the commits were seen stale: is the judge blind?", r.StaleVersions())
				}
				torn := r.Torn > 0 && name != "squid" // which has it
				if r.Hits == 0 || r.Commits == 0 || torn || r.Failures > 0 {
					t.Errorf("it was not measured well: %v", r.Verdict())
				}
			})
		}
	})
}
