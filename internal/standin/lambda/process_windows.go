package lambda

import (
	"os"
	"syscall"
)

// attributes puts a child into a process group of its own, so that Ctrl-C in the demo's console reaches the demo only.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

// signalGroup ends a child. There is no asking: a process without a window gets no message that it could heed.
func signalGroup(pid int, force bool) {
	if p, err := os.FindProcess(pid); err == nil {
		p.Kill()
	}
}

// freeze and thaw do nothing: no call of Windows stops a whole process.
func freeze(pid int) {}
func thaw(pid int)   {}
