//go:build !lambda

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/config"
)

// TestMistypedCommands: whoever mistypes is told what to do, and a script is told by the exit code.
func TestMistypedCommands(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for line, say := range map[string]string{
		"demoo":                         `Did you mean this?`,
		"demo now":                      `unknown command "now"`,
		"demo --prot 1":                 `nightlatch demo --help`,
		"demo --associate-takes 5":      `nightlatch demo --help`,
		"demo --port 70000":             `between 1 and 65530`,
		"demo --port -1":                `between 1 and 65530`,
		"demo --associate-takes -1s":    `must not be negative`,
		"demo --on-visit maybe":         `choose look or open`,
		"demo --sabotage everything":    `choose one of alb, cognito`,
		"demo --dir " + file:            `with --dir`,
		"demo --saml-metadata metadata": `the URL of a SAML metadata document`,
		"demo --saml-metadata http://idp.example/metadata":         `want https`,
		"demo --tour --saml-metadata https://idp.example/metadata": `leave out --saml-metadata`,
		"config chek":                   `unknown command "chek"`,
		"config check " + dir:           `nightlatch config check FILE`,
		"config check " + file:          `is empty`,
		"config check " + file + "none": `nightlatch config check FILE`,
	} {
		var out bytes.Buffer
		err := run(t.Context(), strings.Fields(line), func(string) string { return "" }, &out, &out)
		if err == nil || !strings.Contains(err.Error(), say) {
			t.Errorf("nightlatch %s: %v, want an error that says %q", line, err, say)
		}
	}
}

// TestTheReadmesConfiguration: whoever copies it has no fault in it.
func TestTheReadmesConfiguration(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok1 := strings.Cut(string(raw), "```yaml\n")
	yaml, _, ok2 := strings.Cut(rest, "```\n")
	if !ok1 || !ok2 {
		t.Fatal("README.md holds no configuration")
	}
	alb, oidc, _ := strings.Cut(yaml, "  # oidc:")
	oidc, others, ok := strings.Cut(oidc, "\ndeadman:")
	if !ok {
		t.Fatal("README.md shows no other front")
	}
	head, _, _ := strings.Cut(alb, "  alb:\n")
	other := head + "  oidc:" + strings.ReplaceAll(strings.ReplaceAll(oidc, "\n  # ", "\n  "), "logout_url: https://…", "logout_url: https://login.example.com/logout") + "\ndeadman:" + others
	for front, text := range map[string]string{"alb": yaml, "oidc": other} {
		if _, err := config.Parse("README.md", []byte(text)); err != nil {
			t.Errorf("%s: %v", front, err)
		}
	}
}
