//go:build !lambda

package main

import (
	"bytes"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/standin/iam"
)

// TestAMissingPermission: a role that lacks what its task needs breaks the tour where that is missed, as it would at AWS.
func TestAMissingPermission(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		role, from, to string // what is changed in the policies of a role
		blame          string // the hop that fails; empty: the demo does not start
		why            string
	}{
		"the function may not read its table":         {demoFunction, `"dynamodb:GetItem", `, ``, "dynamodb", "dynamodb"},
		"the function may not use the subnets":        {demoFunction, "subnet/", "subnet/x", "ec2", "AWS"},
		"the function may not pass the switch's role": {demoFunction, demoRole, demoRole + "s", "scheduler", "AWS"},
		"the beat's role trusts another group":        {demoBeatRole, "schedule-group/nightlatch", "schedule-group/default", "", "must allow AWS EventBridge Scheduler to assume the role"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t, "")
			var out bytes.Buffer
			o.tour, o.front.name, o.stdout, o.roles = true, frontALB, &out, demoRoles()
			for i, r := range o.roles {
				if r.ARN == tt.role {
					o.roles[i] = iam.Role{ARN: r.ARN, Trust: strings.ReplaceAll(r.Trust, tt.from, tt.to), Policies: maps.Clone(r.Policies)}
					for name, p := range r.Policies {
						o.roles[i].Policies[name] = strings.ReplaceAll(p, tt.from, tt.to)
					}
				}
			}
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
