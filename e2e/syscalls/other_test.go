//go:build (e2e || soak) && !(linux && amd64)

package syscalls

import "testing"

// TestEveryCall says that it can't. A test that skips is taken for one that passed.
func TestEveryCall(t *testing.T) {
	t.Fatal("the tracer knows the registers of Linux on amd64 only: run this test there")
}
