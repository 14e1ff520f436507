//go:build soak

package torture_test

import "time"

// The standard load, for as long as peers were measured twice over.
const (
	soaking   = true
	duration  = time.Minute
	killsEach = 100 // of each database

	indexDuration = time.Minute
	indexKills    = 50
)
