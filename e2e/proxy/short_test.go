//go:build e2e && !soak

package proxy

// A sample, small enough for every change.
const (
	queries   = 20_000 // distinct query strings
	followers = 10_000 // concurrent requests for one page
)
