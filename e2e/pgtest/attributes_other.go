//go:build !linux

package pgtest

import "syscall"

// attributes make a child run as identity. Only Linux ends it when the program dies without a goodbye.
func attributes(i *identity) *syscall.SysProcAttr {
	a := &syscall.SysProcAttr{Setpgid: true}
	if i != nil {
		a.Credential = &syscall.Credential{Uid: i.uid, Gid: i.gid}
	}
	return a
}
