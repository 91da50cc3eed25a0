package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/e2e/browser"
)

// folder is for a peer's files, which others than the test's user may have to read.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "nightlatch-e2e-")
	must(t, err, "make a folder")
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755), "open the folder")
	return dir
}

// certificate makes a key and a self-signed certificate for host, as name.key and name.crt, and returns the path of the
// latter.
func certificate(t *testing.T, dir, name, host string) string {
	t.Helper()
	key, crt := filepath.Join(dir, name+".key"), filepath.Join(dir, name+".crt")
	out, err := exec.CommandContext(t.Context(), tool(t, "openssl", "Debian: apt-get install openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
		"-subj", "/CN="+host, "-addext", "subjectAltName=DNS:"+host, "-keyout", key, "-out", crt).CombinedOutput()
	must(t, err, "openssl: %s", out)
	must(t, os.Chmod(key, 0o644), "let a peer read the key")
	return crt
}

// lastPort is the last that freePort gave.
var lastPort atomic.Int32

// freePort is a port for a peer that cannot choose one itself. Nobody gets it by chance meanwhile: the system gives
// ports from 32768 on to those who do not mind.
func freePort(t *testing.T) int {
	t.Helper()
	lastPort.CompareAndSwap(0, int32(11000+os.Getpid()%7000))
	for range 1000 {
		port := int(lastPort.Add(1))
		if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			ln.Close()
			return port
		}
	}
	t.Fatal("no free port")
	return 0
}

// serve runs a peer until the test is over. The peer listens on the port when serve returns.
func serve(t *testing.T, port int, c *exec.Cmd) {
	t.Helper()
	said, err := os.Create(filepath.Join(t.TempDir(), "said"))
	must(t, err, "make a file for what it says")
	defer said.Close()
	c.Stdout, c.Stderr = said, said
	must(t, c.Start(), "start %s", c.Path)
	ended := make(chan struct{})
	var why error // set before ended is closed
	go func() {
		defer close(ended)
		why = c.Wait()
	}()
	t.Cleanup(func() {
		c.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Errorf("%s still runs 10s after SIGTERM; killed", c.Path)
			c.Process.Kill()
			<-ended
		}
		if raw, err := os.ReadFile(said.Name()); t.Failed() && err == nil {
			t.Logf("%s said:\n%s", c.Path, raw[max(0, len(raw)-8000):])
		}
	})
	eventually(t, browser.Patience, func() (bool, string) {
		select {
		case <-ended:
			t.Fatalf("%s ended: %v", c.Path, why)
		default:
		}
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return false, err.Error()
		}
		conn.Close()
		return true, ""
	})
}
