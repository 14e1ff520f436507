//go:build e2e && soak

package index

const (
	soaking     = true
	rounds      = 200
	randomKills = 200
	killsAt     = 10
)
