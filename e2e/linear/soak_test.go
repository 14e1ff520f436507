//go:build soak

package linear

import "time"

// Ten minutes in all, both databases at once.
const (
	soaking        = true
	roundLength    = 10 * time.Second
	killedLength   = 7 * time.Minute
	peacefulLength = 3 * time.Minute
)
