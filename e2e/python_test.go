package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/e2e/demo"
)

// python is Debian's, which has Debian's packages; another one in PATH does not know them.
const python = "/usr/bin/python3"

// TestFoundingFunction makes the calls that the founding function made, with boto3 as it did.
func TestFoundingFunction(t *testing.T) {
	t.Parallel()
	if err := exec.Command(python, "-c", "import boto3").Run(); err != nil {
		missing(t, "no boto3 for %s (Debian: apt-get install python3-boto3)", python)
	}
	// Long enough that the second call, another Python, comes while it is still associating.
	d := start(t, "--associate-takes", "25s", "--scheduler-minute", "3s")
	type answer struct {
		StatusCode          int
		Status, Association string
		Error               string
	}
	call := func() (a answer) {
		t.Helper()
		raw, err := founding(t, d)
		must(t, err, "call")
		must(t, json.Unmarshal(raw, &a), "read %q", raw)
		return a
	}
	first := call()
	if first.StatusCode != 200 || first.Status != "associating" || !strings.HasPrefix(first.Association, "cvpn-assoc-") {
		t.Errorf("the first call: %+v, want 200 and an association that begins", first)
	}
	// The endpoint is pending-associate until the association is there: the founding function runs into EC2's refusal.
	if again := call(); again.StatusCode != 500 || !strings.Contains(again.Error, "InvalidClientVpnDuplicateAssociationException") {
		t.Errorf("at once again: %+v, want 500 with InvalidClientVpnDuplicateAssociationException", again)
	}
	until(t, "associated", func() string { return strings.Join(associations(t, d), " ") })
	if late := call(); late.StatusCode != 400 || late.Status != "available" {
		t.Errorf("while it is on: %+v, want 400 and available", late)
	}
}

func founding(t *testing.T, d *demo.Demo) ([]byte, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), python, "python/founding.py", filepath.Join(d.Dir, "demo.json"))
	c.Env = append(os.Environ(), "NO_PROXY=127.0.0.1", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	var said bytes.Buffer
	c.Stderr = &said
	raw, err := c.Output()
	if err != nil {
		t.Logf("%s", said.Bytes())
	}
	return raw, err
}

// TestPythonRuntime makes sure that the Lambda stand-in's test of a handler in another language runs: by itself it is
// skipped where there is no Python, and here there is.
func TestPythonRuntime(t *testing.T) {
	t.Parallel()
	tool(t, "python3", "Debian: apt-get install python3")
	c := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-v", "-run=^TestAForeignRuntime$", "./internal/standin/lambda")
	c.Dir = ".."
	out, err := c.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: TestAForeignRuntime")) {
		t.Errorf("%v\n%s", err, out)
	}
}
