//go:build linux && amd64 && soak

package syscalls

// Every case.
const (
	sampled    = 0
	recordings = 6
)
