//go:build unix

package lambda

import "syscall"

// signalGroup asks, or forces, a child and what it started to end.
func signalGroup(pid int, force bool) {
	if force {
		toGroup(pid, syscall.SIGKILL)
	} else {
		toGroup(pid, syscall.SIGTERM)
	}
}

// freeze stops a child and what it started; thaw lets them go on.
func freeze(pid int) { toGroup(pid, syscall.SIGSTOP) }
func thaw(pid int)   { toGroup(pid, syscall.SIGCONT) }

func toGroup(pid int, sig syscall.Signal) {
	if pid > 1 { // -1 would be everybody, 0 our own group
		syscall.Kill(-pid, sig)
	}
}
