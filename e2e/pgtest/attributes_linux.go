package pgtest

import "syscall"

// attributes make a child run as identity, and end with the thread that started it however that ends.
func attributes(i *identity) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{
		Setpgid:   true,            // a terminal's ^C is for the tests, which then stop the server
		Pdeathsig: syscall.SIGQUIT, // immediate shutdown
	}
	if i != nil {
		a.Credential = &syscall.Credential{Uid: i.uid, Gid: i.gid}
	}
	return a
}
