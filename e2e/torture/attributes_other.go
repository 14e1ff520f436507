//go:build !linux

package torture

import "syscall"

// attributes are none here: of what a test program that dies leaves behind, our test programs end as their standard input
// is closed, and an index must be ended by hand.
func attributes(syscall.Signal) *syscall.SysProcAttr { return nil }
