//go:build linux && amd64 && e2e && !soak

package syscalls

// A sample, small enough for every change.
const (
	sampled    = 8 // cases of each operation
	recordings = 3 // of each operation
)
