package deploy_test

import (
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
)

func TestConsoleSteps(t *testing.T) {
	outputs := map[string]string{deploy.OutputStartURL: "https://vpn.example.com/", deploy.OutputACSURL: "https://example-vpn.auth.eu-central-1.amazoncognito.com/saml2/idpresponse",
		deploy.OutputSAMLAudience: "urn:amazon:cognito:sp:eu-central-1_AbCdEfGhI"}
	for text, groups := range map[string]bool{settings: false, settings + "  groups: true\n  stack: second\n": true} {
		c, err := config.Parse("nightlatch.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got := deploy.ConsoleSteps(c, outputs)
		for _, want := range []string{outputs[deploy.OutputStartURL], outputs[deploy.OutputACSURL], outputs[deploy.OutputSAMLAudience],
			"${user:subject}", "persistent", "${user:email}", "always-on", "deploy apply --saml-metadata"} {
			if !strings.Contains(got, want) {
				t.Errorf("nothing says %q:\n%s", want, got)
			}
		}
		if strings.Contains(got, "${user:groups}") != groups || strings.Contains(got, "Nightlatch (second)") != groups {
			t.Errorf("groups %v:\n%s", groups, got)
		}
		for line := range strings.Lines(got) {
			if len(line) > 131 {
				t.Errorf("a line of %d characters: %s", len(line), line)
			}
		}
	}
}
