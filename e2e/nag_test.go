package e2e

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSecurityLinter has cdk-nag read every template that is kept as a golden file. A finding is a failure unless nag.json
// says why it is none, for that rule, that resource and that template; so is an exception that no finding is left for.
func TestSecurityLinter(t *testing.T) {
	t.Parallel()
	node := tool(t, "node", "Debian: apt-get install nodejs")
	if _, err := os.Stat("node_modules/cdk-nag"); err != nil {
		missing(t, "no node_modules/cdk-nag (npm ci in e2e)")
	}
	type key struct{ rule, resource, template string }
	var exceptions []struct {
		Rule, Resource, Reason string
		Templates              []string
	}
	raw, err := os.ReadFile("nag.json")
	must(t, err, "read the exceptions")
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	must(t, d.Decode(&exceptions), "read the exceptions")
	excepted := map[key]bool{} // and whether a finding was there
	for _, e := range exceptions {
		if len(strings.Fields(e.Reason)) < 5 || len(e.Templates) == 0 {
			t.Errorf("nag.json: %s of %s needs a reason in words, and the templates that it is about", e.Rule, e.Resource)
		}
		for _, name := range e.Templates {
			k := key{e.Rule, e.Resource, name}
			if _, twice := excepted[k]; twice {
				t.Errorf("nag.json: %v is excepted twice", k)
			}
			excepted[k] = false
		}
	}

	templates, err := filepath.Glob("../internal/deploy/testdata/*.template.yaml")
	if err != nil || len(templates) < 2 {
		t.Fatalf("templates %v, %v: want one for each front at least", templates, err)
	}
	c := exec.CommandContext(t.Context(), node, append([]string{"node/nag.mjs"}, templates...)...)
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	must(t, err, "cdk-nag: %s", said.Bytes())
	var findings []struct{ Template, Rule, Resource, Why string }
	must(t, json.Unmarshal(out, &findings), "read %s", out)
	seen := map[string]bool{}
	for _, f := range findings {
		k := key{f.Rule, f.Resource, f.Template}
		if _, ok := excepted[k]; !ok || strings.HasPrefix(f.Why, "Rule threw an error") { // of a rule that could not look, nothing is known
			t.Errorf("%s: %s: %s: %s", f.Template, f.Resource, f.Rule, f.Why)
		}
		excepted[k] = true
		seen[f.Template] = true
	}
	// Each has findings, the Resource "*" of a role at least; one without was not read. What another Region of the same
	// account needs has no role.
	for _, path := range templates {
		if name := strings.TrimSuffix(filepath.Base(path), ".template.yaml"); !seen[name] && name != "place-virginia" {
			t.Errorf("%s: no findings at all", name)
		}
	}
	var stale []string
	for k, found := range excepted {
		if !found {
			stale = append(stale, k.template+": "+k.resource+": "+k.rule)
		}
	}
	slices.Sort(stale)
	for _, s := range stale {
		t.Errorf("in nag.json, and found no more: %s", s)
	}
}
