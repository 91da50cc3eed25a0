//go:build unix && !linux

package lambda

import "syscall"

// attributes puts a child into a process group of its own, so that Ctrl-C in the demo's terminal reaches the demo and not
// the functions. Should the demo itself be killed, a child ends when its next call of the Runtime API finds nobody, and a
// frozen one by the SIGHUP and SIGCONT that an orphaned process group is sent (POSIX, _exit).
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
