//go:build !linux

package torture

import "syscall"

// attributes are none here: what a test program that dies leaves behind must be ended by hand.
func attributes() *syscall.SysProcAttr { return nil }
