//go:build linux && amd64 && soak

package syscalls

// Every case.
const (
	sampled    = 0
	recordings = 6
	ownSeed    = 0 // a new one
)
