//go:build unix && !linux

package lambda

import "syscall"

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// host belongs to a test for Linux, whose kernel ends a dead parent's children.
func host() {}

// populate is Linux's alone, as is the limit that its test is about.
const populate = 0
