//go:build e2e && soak

package running

import "time"

const (
	restarts = 50
	reloads  = 500
	kills    = 100
	racing   = time.Minute
)
