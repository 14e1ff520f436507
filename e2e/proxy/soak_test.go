//go:build e2e && soak

package proxy

const (
	queries   = 1_000_000
	followers = 10_000
)
