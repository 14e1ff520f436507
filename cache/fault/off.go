//go:build !cachesrv_fault

package fault

// Point does nothing in this build.
func Point(string) {}

// Broken is false in this build.
func Broken(string) bool { return false }
