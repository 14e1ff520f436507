//go:build e2e && !soak

package index

// A sample, small enough for every change.
const (
	soaking     = false
	rounds      = 10 // of publishing and installing, on each database
	randomKills = 10 // on each database
	killsAt     = 1  // each point, on each database
)
