package torture

import "syscall"

// attributes make a child end with the thread that started it, however that ends: a test program that dies leaves no
// server behind.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
