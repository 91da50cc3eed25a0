package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestStoreOverDynalite runs the store's conformance suites, about endpoints and about people, over a DynamoDB that nobody
// here wrote. By themselves they are skipped where none is named.
func TestStoreOverDynalite(t *testing.T) {
	t.Parallel()
	node := tool(t, "node", "Debian: apt-get install nodejs")
	if _, err := os.Stat("node_modules/dynalite"); err != nil {
		missing(t, "no node_modules/dynalite (npm ci in e2e)")
	}
	emulator := exec.CommandContext(t.Context(), node, "node/dynamodb.mjs")
	emulator.Stderr = os.Stderr
	in, err := emulator.StdinPipe()
	must(t, err, "its standard input")
	out, err := emulator.StdoutPipe()
	must(t, err, "its standard output")
	must(t, emulator.Start(), "start the emulator")
	defer func() {
		in.Close()
		emulator.Wait()
	}()
	port, err := bufio.NewReader(out).ReadString('\n')
	must(t, err, "read its port")
	c := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run=^Test(Store|People)OverAnEmulator$", "./internal/store")
	c.Dir = ".."
	c.Env = append(os.Environ(), "NIGHTLATCH_DYNAMODB_URL=http://127.0.0.1:"+strings.TrimSpace(port))
	said, err := c.CombinedOutput()
	for _, suite := range []string{"TestStoreOverAnEmulator", "TestPeopleOverAnEmulator"} {
		if err != nil || !bytes.Contains(said, []byte("--- PASS: "+suite)) {
			t.Errorf("%s: %v\n%s", suite, err, said)
		}
	}
}
