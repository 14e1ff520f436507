//go:build linux && amd64 && e2e && !soak

package syscalls

// A sample, small enough for every change.
const (
	sampled    = 8 // cases of each operation
	recordings = 3 // of each operation
	ownSeed    = 1 // the same cases each time: a case that nobody has run yet is for the full form to find
)
