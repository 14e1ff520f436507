package torture

import "syscall"

// attributes make a child end, by a signal, with the thread that started it, however that ends: a test program that dies leaves no
// server behind.
func attributes(last syscall.Signal) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: last}
}
