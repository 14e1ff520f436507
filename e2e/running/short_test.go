//go:build e2e && !soak

package running

import "time"

const (
	restarts = 3               // under load
	reloads  = 12              // under load
	kills    = 5               // under a race of purges and fills
	racing   = 2 * time.Second // of instances, and of fences
)
