package clientvpn

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/latch"
)

var operations = []string{"ApplySecurityGroupsToClientVpnTargetNetwork", "AssociateClientVpnTargetNetwork", "CreateClientVpnRoute",
	"DescribeClientVpnConnections", "DescribeClientVpnEndpoints", "DescribeClientVpnRoutes", "DescribeClientVpnTargetNetworks", "DisassociateClientVpnTargetNetwork"}

// permissive is healthy, with groups, and says of each change that it would make it.
func permissive() map[string]func(url.Values) answer {
	all := healthy()
	all["DescribeClientVpnEndpoints"] = say("DescribeClientVpnEndpoints", `<clientVpnEndpoint><item><clientVpnEndpointId>`+string(endpoint)+
		`</clientVpnEndpointId><status><code>available</code></status><vpcId>vpc-0a</vpcId><securityGroupIdSet><item>sg-0a</item></securityGroupIdSet></item></clientVpnEndpoint>`)
	for _, o := range operations {
		if !strings.HasPrefix(o, "Describe") {
			all[o] = func(url.Values) answer {
				return fault(http.StatusPreconditionFailed, "DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
			}
		}
	}
	return all
}

func TestProbeChangesNothing(t *testing.T) {
	v, e := open(t, permissive())
	o, answers := v.Probe(t.Context(), endpoint, "subnet-a")
	if got := slices.Sorted(maps.Keys(answers)); !slices.Equal(got, operations) {
		t.Errorf("asked for %v, want %v", got, operations)
	}
	for operation, err := range answers {
		if err != nil {
			t.Errorf("%s: %v", operation, err)
		}
	}
	if o.Status != latch.Available || o.VPC != "vpc-0a" || !slices.Equal(o.Groups, []latch.GroupID{"sg-0a"}) {
		t.Errorf("it read %+v", o)
	}
	for i, action := range e.actions {
		form := e.forms[i]
		if !strings.HasPrefix(action, "Describe") && form.Get("DryRun") != "true" {
			t.Errorf("%s was asked for without DryRun", action)
		}
		if action == "DisassociateClientVpnTargetNetwork" && form.Get("AssociationId") != "cvpn-assoc-1" {
			t.Errorf("asked to end %s, want the association that is there", form.Get("AssociationId"))
		}
	}
	if len(e.actions) != len(operations) {
		t.Errorf("%d calls, want each once", len(e.actions))
	}
}

func TestProbeFindsWhatIsNotAllowed(t *testing.T) {
	for _, no := range operations {
		t.Run(no, func(t *testing.T) {
			v, e := open(t, permissive())
			e.answers[no] = func(url.Values) answer {
				return fault(http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation.")
			}
			_, answers := v.Probe(t.Context(), endpoint, "subnet-a")
			for operation, err := range answers {
				f, _ := errors.AsType[*latch.Fault](err)
				// Without the endpoint there are no groups to ask for, which is said so.
				without := no == "DescribeClientVpnEndpoints" && operation == "ApplySecurityGroupsToClientVpnTargetNetwork"
				switch {
				case operation == no && (f == nil || f.Code != "UnauthorizedOperation" || !errors.Is(err, latch.ErrRefused)):
					t.Errorf("%s: %v, want EC2's refusal", operation, err)
				case without && !errors.Is(err, latch.ErrNotReady):
					t.Errorf("%s: %v, want it not asked for", operation, err)
				case operation != no && !without && err != nil:
					t.Errorf("%s: %v", operation, err)
				}
			}
		})
	}
}

func TestProbeOfWhatIsNotThere(t *testing.T) {
	v, e := open(t, permissive())
	e.answers["DescribeClientVpnTargetNetworks"] = say("DescribeClientVpnTargetNetworks", `<clientVpnTargetNetworks/>`)
	e.answers["DisassociateClientVpnTargetNetwork"] = func(form url.Values) answer {
		return fault(http.StatusBadRequest, "InvalidClientVpnAssociationIdNotFound", "Association "+form.Get("AssociationId")+" does not exist")
	}
	e.answers["AssociateClientVpnTargetNetwork"] = say("AssociateClientVpnTargetNetwork", `<associationId>cvpn-assoc-2</associationId>`)
	_, answers := v.Probe(t.Context(), endpoint, "subnet-a")
	if err := answers["DisassociateClientVpnTargetNetwork"]; !errors.Is(err, latch.ErrNotFound) || !strings.Contains(err.Error(), noAssociation) {
		t.Errorf("nothing is associated: %v, want EC2's not found", err)
	}
	if err := answers["AssociateClientVpnTargetNetwork"]; err == nil || !strings.Contains(err.Error(), "asked not to") {
		t.Errorf("EC2 forgets DryRun: %v, want it said", err)
	}
}
