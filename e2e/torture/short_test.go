//go:build e2e && !soak

package torture_test

import "time"

// A sample of each torture, small enough for every change.
const (
	soaking   = false
	duration  = 4 * time.Second
	killsEach = 10               // of each database
	patience  = 10 * time.Minute // with runs that end by themselves

	indexDuration = 6 * time.Second
	indexKills    = 3
)
