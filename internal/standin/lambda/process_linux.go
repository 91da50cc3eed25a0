package lambda

import "syscall"

// attributes puts a child into a process group of its own, so that Ctrl-C in the demo's terminal reaches the demo and not
// the functions, and has the kernel end it should the demo itself be killed.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
