package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"unsafe"
)

// offlineVerb is the argument with which check starts itself again inside a network namespace.
const offlineVerb = "offline-exec"

// offlineCommand returns a command that runs args where nothing but loopback exists: a new network namespace, which an
// ordinary user may make inside a new user namespace. The error says why this system does not let us.
func offlineCommand(ctx context.Context, args []string) (*exec.Cmd, error) {
	wrap := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(ctx, "/proc/self/exe", append([]string{offlineVerb}, args...)...)
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
			// The person stays who they are, so that tests of file permissions mean something; of root's powers only the one
			// to switch loopback on comes along (CAP_NET_ADMIN, capabilities(7)).
			c.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
			c.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
			c.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
			c.SysProcAttr.AmbientCaps = []uintptr{12}
		}
		return c
	}
	if out, err := wrap("go", "version").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("this system lets us make no network namespace: %w %s", err, out)
	}
	return wrap(args...), nil
}

// offlineExec switches loopback on and becomes args. It returns only by ending the process.
func offlineExec(args []string) {
	err := loopbackUp()
	if err == nil {
		var path string
		if path, err = exec.LookPath(args[0]); err == nil {
			err = syscall.Exec(path, args, os.Environ())
		}
	}
	fmt.Fprintln(os.Stderr, offlineVerb+":", err)
	os.Exit(1)
}

// loopbackUp sets IFF_UP on lo, which is down in a new namespace (netdevice(7)).
func loopbackUp() error {
	s, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer syscall.Close(s)
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_UP | syscall.IFF_RUNNING}
	copy(request.name[:], "lo")
	if _, _, code := syscall.Syscall(syscall.SYS_IOCTL, uintptr(s), syscall.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&request))); code != 0 {
		return fmt.Errorf("switch loopback on: %w", code)
	}
	return nil
}
