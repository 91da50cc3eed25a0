//go:build !lambda

package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// templateOf is the template that a demo with a front boots from.
func templateOf(t *testing.T, front string) string {
	t.Helper()
	o := options(t, t.TempDir())
	o.front.name, o.template = front, rendered
	if err := o.check(false, true); err != nil {
		t.Fatal(err)
	}
	w, err := newWorld(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	for _, ln := range w.listeners {
		ln.Close()
	}
	w.sink.Close()
	raw, err := os.ReadFile(filepath.Join(w.function, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestABrokenTemplate: what is wrong in a template breaks the tour where it would be missed on AWS, or the demo does not
// start and says why.
func TestABrokenTemplate(t *testing.T) {
	t.Parallel()
	templates := map[string]string{frontALB: templateOf(t, frontALB), frontHTTPAPI: templateOf(t, frontHTTPAPI)}
	for name, tt := range map[string]struct {
		front, from, to string
		blame           string // the hop that fails; empty: the demo does not start
		why             string
	}{
		"a wrong callback":                        {frontALB, `["https://vpn.localhost/oauth2/idpresponse"]`, `["https://vpn.localhost/oauth2/idresponse"]`, "cognito", "redirect_mismatch"},
		"a wrong callback of the function's":      {frontHTTPAPI, `["https://vpn.localhost/oauth2/callback"]`, `["https://vpn.localhost/callback"]`, "cognito", "redirect_mismatch"},
		"no permission to associate":              {frontALB, `"ec2:AssociateClientVpnTargetNetwork",`, ``, "ec2", "UnauthorizedOperation"},
		"no permission for the subnets":           {frontHTTPAPI, `:subnet/subnet-`, `:subnet/subnet-f`, "ec2", "UnauthorizedOperation"},
		"no permission for the table":             {frontALB, `"dynamodb:GetItem",`, ``, "dynamodb", "dynamodb"},
		"no permission to arm a switch":           {frontALB, `"scheduler:CreateSchedule",`, ``, "scheduler", "AccessDeniedException"},
		"no permission to pass the switch's role": {frontALB, `iam:PassRole`, `iam:GetRole`, "scheduler", "AccessDeniedException"},
		"the front may not invoke the function":   {frontALB, `:targetgroup/nightlatch-`, `:targetgroup/nightlatche-`, "lambda", "502"},
		"the API may not invoke the function":     {frontHTTPAPI, `:${Api}/*`, `:${Api}x/*`, "lambda", "500"},
		"the header mode forgotten":               {frontALB, `multi_value_headers.enabled, Value: "true"`, `multi_value_headers.enabled, Value: "false"`, "alb", "still signed in"},
		"the signer not told":                     {frontALB, `NIGHTLATCH_SIGNIN_ALB_ARN`, `NIGHTLATCH_SIGNIN_ALB_ARNE`, "lambda", "502"},
		"the beat's role trusts another group":    {frontALB, `:schedule-group/nightlatch"`, `:schedule-group/default"`, "", "must allow AWS EventBridge Scheduler to assume the role"},
		"a property that does not exist":          {frontALB, `HealthCheckEnabled`, `HealthChecks`, "", "Encountered unsupported property HealthChecks"},
		"a client without a secret":               {frontALB, `GenerateSecret: true`, `GenerateSecret: false`, "", "GenerateSecret is not true"},
		"events of the old format":                {frontHTTPAPI, `PayloadFormatVersion: "2.0"`, `PayloadFormatVersion: "1.0"`, "", "payload format version 2.0"},
		"the sign-out behind the sign-in":         {frontALB, `Priority: 101`, `Priority: 99`, "", "SignedOutRule comes after the rule that forwards everything"},
		"two rules of one priority":               {frontALB, `Priority: 101`, `Priority: 100`, "", "AWS takes each once"},
		"a rule that forwards one page":           {frontALB, "[\"vpn.localhost\"]}}\n      Actions: !If", "[\"vpn.localhost\"]}}\n        - {Field: path-pattern, PathPatternConfig: {Values: [/]}}\n      Actions: !If", "", "the rule leads only / to the function"},
		"an attribute that the pool lacks":        {frontALB, `{Name: groups, AttributeDataType`, `{Name: teams, AttributeDataType`, "", "custom:groups is mapped, and the pool's Schema does not have it"},
		"groups that never change":                {frontALB, `AttributeDataType: String, Mutable: true`, `AttributeDataType: String, Mutable: false`, "", "the attribute groups does not say that it is a String and Mutable"},
		"a name that leads nowhere":               {frontALB, `GetAtt LoadBalancer.DNSName`, `GetAtt LoadBalancer.LoadBalancerFullName`, "", "vpn.localhost does not lead to the front"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(templates[tt.front], tt.from) {
				t.Fatalf("%s is not in the template", tt.from)
			}
			file := filepath.Join(t.TempDir(), "template.yaml")
			if err := os.WriteFile(file, []byte(strings.ReplaceAll(templates[tt.front], tt.from, tt.to)), 0o600); err != nil {
				t.Fatal(err)
			}
			o := options(t, "")
			var out bytes.Buffer
			o.tour, o.front.name, o.stdout, o.template = true, tt.front, &out, file
			if err := o.check(false, true); err != nil {
				t.Fatal(err)
			}
			err := demoTour(t.Context(), o)
			hop, _ := errors.AsType[*errHop](err)
			switch {
			case err == nil || !strings.Contains(err.Error(), tt.why):
				t.Errorf("got %v, want an error with %q\n%s", err, tt.why, out.String())
			case tt.blame == "" && hop != nil, tt.blame != "" && (hop == nil || hop.hop != tt.blame):
				t.Errorf("got %v, want hop %q to fail\n%s", err, tt.blame, out.String())
			}
		})
	}
}
