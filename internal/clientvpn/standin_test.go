package clientvpn_test

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/nightlatch/nightlatch/internal/clientvpn"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// The adapter and the real SDK against the stand-in's wire, under the same suite as the fake, each way that AWS's
// documents leave open.
func TestVPNOverTheWire(t *testing.T) {
	const endpoint = "cvpn-endpoint-0123456789abcdef0"
	key := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	for name, u := range map[string]ec2.Unconfirmed{
		"likelier": {},
		"other":    {AssociationExists: true, NamesFederatedUsers: true, ConnectionsCut: true},
	} {
		t.Run(name, func(t *testing.T) {
			latchtest.TestVPN(t, func(t *testing.T) latchtest.VPNBench {
				s, err := ec2.New(ec2.Config{
					Region: "us-east-1", AccountID: "111122223333",
					Credentials:    func(id string) (sigv4.Credentials, bool) { return key, id == key.AccessKeyID },
					AssociateTakes: latchtest.AssociateTakes, DisassociateTakes: latchtest.DisassociateTakes, RouteTakes: latchtest.RouteTakes,
					Endpoints: []ec2.Endpoint{{ID: endpoint, VpcID: "vpc-0a", ClientCIDR: "10.200.0.0/22", SecurityGroups: []ec2.SecurityGroup{{ID: "sg-0a", Name: "a"}, {ID: "sg-0b", Name: "b"}}, Subnets: []ec2.Subnet{
						{ID: "subnet-0a", AvailabilityZone: "us-east-1a", AvailabilityZoneID: "use1-az1", CIDR: "10.0.1.0/24"},
						{ID: "subnet-0b", AvailabilityZone: "us-east-1b", AvailabilityZoneID: "use1-az2", CIDR: "10.0.2.0/24"},
					}}},
					Throttle: true, Unconfirmed: u, Log: slog.New(slog.DiscardHandler),
				})
				if err != nil {
					t.Fatal(err)
				}
				v, err := clientvpn.New(clientvpn.Config{Log: slog.New(slog.DiscardHandler), AWS: aws.Config{
					Region:      "us-east-1",
					Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
					HTTPClient:  latchtest.InProcess{Handler: s.Handler()},
				}})
				if err != nil {
					t.Fatal(err)
				}
				must := func(err error) {
					t.Helper()
					if err != nil {
						t.Fatal(err)
					}
				}
				return latchtest.VPNBench{
					VPN: v, Groups: []latch.GroupID{"sg-0a", "sg-0b"}, Endpoint: endpoint, Subnets: []latch.SubnetID{"subnet-0a", "subnet-0b"}, FailNext: s.FailNextAssociations,
					Connect: func(user string) latch.ConnectionID {
						c, err := s.Connect(endpoint, user)
						must(err)
						return latch.ConnectionID(c)
					},
					Send:       func(c latch.ConnectionID, bytes uint64) { must(s.Send(string(c), bytes/3, bytes-bytes/3)) },
					Disconnect: func(c latch.ConnectionID) { must(s.Disconnect(string(c))) },
				}
			})
		})
	}
}

// The stand-in refuses what IAM would, and knows DryRun.
func TestProbeOverTheWire(t *testing.T) {
	const endpoint, no = "cvpn-endpoint-0123456789abcdef0", "CreateClientVpnRoute"
	key := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	s, err := ec2.New(ec2.Config{
		Region: "us-east-1", AccountID: "111122223333", Credentials: func(id string) (sigv4.Credentials, bool) { return key, id == key.AccessKeyID },
		Authorize: func(_, action, resource string, _ map[string]string) error {
			if action == "ec2:"+no {
				return fmt.Errorf("User: somebody is not authorized to perform: %s on resource: %s", action, resource)
			}
			return nil
		}, Throttle: true, Log: slog.New(slog.DiscardHandler),
		Endpoints: []ec2.Endpoint{{ID: endpoint, VpcID: "vpc-0a", ClientCIDR: "10.200.0.0/22", SecurityGroups: []ec2.SecurityGroup{{ID: "sg-0a", Name: "a"}},
			Subnets: []ec2.Subnet{{ID: "subnet-0a", AvailabilityZone: "us-east-1a", AvailabilityZoneID: "use1-az1", CIDR: "10.0.1.0/24"}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	v, err := clientvpn.New(clientvpn.Config{Log: slog.New(slog.DiscardHandler), AWS: aws.Config{
		Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""), HTTPClient: latchtest.InProcess{Handler: s.Handler()},
	}})
	if err != nil {
		t.Fatal(err)
	}
	o, answers := v.Probe(t.Context(), endpoint, "subnet-0a")
	for operation, err := range answers {
		if f, ok := errors.AsType[*latch.Fault](err); ok != (operation == no) || ok && f.Code != "UnauthorizedOperation" {
			t.Errorf("%s: %v", operation, err)
		}
	}
	if len(answers) != 8 || o.Status != latch.PendingAssociate {
		t.Errorf("%d operations asked for, the endpoint is %q", len(answers), o.Status)
	}
	if now, err := v.Observe(t.Context(), endpoint); err != nil || len(now.Associations) > 0 || len(now.Routes) > 0 {
		t.Errorf("the probe left %+v (%v)", now, err)
	}
	_, answers = v.Probe(t.Context(), "cvpn-endpoint-0fedcba9876543210", "subnet-0a")
	if err := answers["DescribeClientVpnEndpoints"]; !errors.Is(err, latch.ErrNotFound) {
		t.Errorf("an endpoint that is not there: %v", err)
	}
}
