//go:build e2e && !soak

package linear

import "time"

// A sample, small enough for every change.
const (
	soaking        = false
	roundLength    = 4 * time.Second
	killedLength   = 4 * time.Second
	peacefulLength = 2 * time.Second
)
