//go:build unix && !linux

package lambda

import "syscall"

// attributes puts a child into a process group of its own, so that Ctrl-C in the demo's terminal reaches the demo and not
// the functions. Should the demo itself be killed, a child ends when its next call of the Runtime API finds nobody.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// signalGroup asks, or forces, a child and what it started to end.
func signalGroup(pid int, force bool) {
	sig := syscall.SIGTERM
	if force {
		sig = syscall.SIGKILL
	}
	if pid > 1 { // -1 would be everybody, 0 our own group
		syscall.Kill(-pid, sig)
	}
}
