package ec2_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

// bubble runs f with a fresh stand-in, changed by change, where minutes pass at once.
func bubble(t *testing.T, change func(*ec2.Config), f func(*testing.T, rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := config()
		if change != nil {
			change(&c)
		}
		f(t, newRig(t, c))
	})
}

func (g rig) refused(what string, err error, want string) {
	g.Helper()
	if code(err) != want {
		g.Errorf("%s: %v, want %s", what, err, want)
	}
}

func (g rig) described() types.ClientVpnEndpoint {
	g.Helper()
	out, err := g.aws.DescribeClientVpnEndpoints(g.Context(), &awsec2.DescribeClientVpnEndpointsInput{ClientVpnEndpointIds: []string{id}})
	if err != nil {
		g.Fatal(err)
	}
	return out.ClientVpnEndpoints[0]
}

func TestModifyEndpoint(t *testing.T) {
	for name, c := range map[string]struct{ form, want string }{
		"nothing":                          {"", "InvalidParameterCombination"},
		"nothing, and no dry run":          {"DryRun=false", "InvalidParameterCombination"},
		"groups without their VPC":         {"SecurityGroupId.1=sg-1", "InvalidParameterValue"},
		"nine hours":                       {"SessionTimeoutHours=9", "InvalidParameterValue"},
		"hours that are no number":         {"SessionTimeoutHours=eight", "InvalidParameterValue"},
		"another port":                     {"VpnPort=1195", "InvalidParameterValue"},
		"a portal neither on nor off":      {"SelfServicePortal=true", "InvalidParameterValue"},
		"a DNS server that is a name":      {"DnsServers.CustomDnsServers.1=ns.example", "InvalidParameterValue"},
		"three DNS servers":                {"DnsServers.CustomDnsServers.1=10.0.0.2&DnsServers.CustomDnsServers.2=10.0.0.3&DnsServers.CustomDnsServers.3=10.0.0.4", "InvalidParameterValue"},
		"logs to nowhere":                  {"ConnectionLogOptions.Enabled=true", "MissingParameter"},
		"a handler that is none":           {"ClientConnectOptions.Enabled=true", "MissingParameter"},
		"an empty banner":                  {"ClientLoginBannerOptions.Enabled=true", "MissingParameter"},
		"the transit gateway":              {"TransitGatewayConfiguration.TransitGatewayId=tgw-1", "UnsupportedOperation"},
		"what is here only in part":        {"DevicePostureOptions.Enabled=true", "UnsupportedOperation"},
		"the client range, which is fixed": {"ClientCidrBlock=10.0.0.0/22", "UnknownParameter"},
		"the VPC while associated":         {"VpcId=vpc-2", "InvalidParameterValue"},
		"a good one and a wrong one":       {"SplitTunnel=false&VpnPort=1", "InvalidParameterValue"},
		"a dry run":                        {"SplitTunnel=false&DryRun=true", "DryRunOperation"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config()
			withGroups(&cfg)
			g := newRig(t, cfg)
			g.associate(subnetA)
			before := asJSON(t, g.described())
			form, err := url.ParseQuery(c.form)
			if err != nil {
				t.Fatal(err)
			}
			form.Set("Action", "ModifyClientVpnEndpoint")
			form.Set("Version", "2016-11-15")
			form.Set("ClientVpnEndpointId", id)
			if got := g.post(form); got.code != c.want {
				t.Errorf("got %s, want %s", got.body, c.want)
			}
			if after := asJSON(t, g.described()); after != before {
				t.Errorf("a refused call changed the endpoint\nfrom %s\n  to %s", before, after)
			}
		})
	}
	var cfg ec2.Config
	bubble(t, func(c *ec2.Config) {
		withGroups(c)
		c.AssociateTakes = 0
		c.StateFile = filepath.Join(t.TempDir(), "ec2.json")
		cfg = *c
	}, func(t *testing.T, g rig) {
		modify := func(in awsec2.ModifyClientVpnEndpointInput) {
			t.Helper()
			in.ClientVpnEndpointId = new(id)
			if out, err := g.aws.ModifyClientVpnEndpoint(t.Context(), &in); err != nil || !*out.Return {
				t.Fatal(err)
			}
		}
		a := g.associate(subnetA)
		if _, err := g.Connect(id, "alice"); err != nil {
			t.Fatal(err)
		}
		modify(awsec2.ModifyClientVpnEndpointInput{SecurityGroupIds: []string{"sg-3", "sg-2"}, VpcId: new("vpc-1"), Description: new("new"),
			SplitTunnel: new(false), SessionTimeoutHours: new(int32(8)), VpnPort: new(int32(1194)), SelfServicePortal: types.SelfServicePortalDisabled,
			ServerCertificateArn: new("arn:cert"), DisconnectOnSessionTimeout: new(false),
			ClientConnectOptions:          &types.ClientConnectOptions{Enabled: new(true), LambdaFunctionArn: new("arn:lambda")},
			ClientLoginBannerOptions:      &types.ClientLoginBannerOptions{Enabled: new(true), BannerText: new("hello")},
			ClientRouteEnforcementOptions: &types.ClientRouteEnforcementOptions{Enforced: new(true)},
			ConnectionLogOptions:          &types.ConnectionLogOptions{Enabled: new(true), CloudwatchLogGroup: new("g"), CloudwatchLogStream: new("s")}})
		check := func(e types.ClientVpnEndpoint) {
			t.Helper()
			got := fmt.Sprintln(e.SecurityGroupIds, *e.Description, *e.SplitTunnel, *e.SessionTimeoutHours, *e.VpnPort, e.SelfServicePortalUrl, *e.ServerCertificateArn,
				*e.DisconnectOnSessionTimeout, *e.ClientConnectOptions.LambdaFunctionArn, *e.ClientLoginBannerOptions.BannerText,
				*e.ClientRouteEnforcementOptions.Enforced, *e.ConnectionLogOptions.Enabled, *e.ConnectionLogOptions.CloudwatchLogGroup)
			if want := "[sg-3 sg-2] new false 8 1194 <nil> arn:cert false arn:lambda hello true true g\n"; got != want {
				t.Errorf("the endpoint is\n%s, want\n%s", got, want)
			}
		}
		check(g.described())
		if got := g.Snapshot().Endpoints[0].Connections[0].Status; got != "active" {
			t.Errorf("a connection is %s after settings that do not concern it", got)
		}
		modify(awsec2.ModifyClientVpnEndpointInput{DnsServers: &types.DnsServersOptionsModifyStructure{Enabled: new(true), CustomDnsServers: []string{"10.0.0.2"}}})
		if got := g.Snapshot().Endpoints[0].Connections[0].Status; got != "terminated" {
			t.Errorf("a connection is %s after new DNS servers, which reset connections", got)
		}
		modify(awsec2.ModifyClientVpnEndpointInput{DnsServers: &types.DnsServersOptionsModifyStructure{Enabled: new(false)}})
		if got := g.described().DnsServers; len(got) > 0 {
			t.Errorf("disabled DNS servers are %v", got)
		}
		g.disassociate(a)
		time.Sleep(2 * minute)
		modify(awsec2.ModifyClientVpnEndpointInput{VpcId: new("vpc-2")})
		if got := g.groups(); !strings.HasPrefix(got, "vpc-2 sg-0") {
			t.Errorf("moved to another VPC the endpoint has %s, want that VPC's default group", got)
		}
		_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
		g.refused("a subnet of the old VPC", err, "InvalidClientVpnSubnetId.NotFound")
		g.associate("subnet-0far")
		modify(awsec2.ModifyClientVpnEndpointInput{SecurityGroupIds: []string{"sg-far"}, VpcId: new("vpc-2")})
		if got := g.groups(); got != "vpc-2 sg-far" {
			t.Errorf("the groups are %s", got)
		}
		if got, want := asJSON(t, newRig(t, cfg).described()), asJSON(t, g.described()); got != want {
			t.Errorf("after a restart the endpoint is\n%s, want\n%s", got, want)
		}
	})
}

func TestExport(t *testing.T) {
	g := newRig(t, config())
	out, err := g.aws.ExportClientVpnClientConfiguration(t.Context(), &awsec2.ExportClientVpnClientConfigurationInput{ClientVpnEndpointId: new(id)})
	if err != nil {
		t.Fatal(err)
	}
	profile := *out.ClientConfiguration
	name := strings.TrimPrefix(*g.described().DnsName, "*.")
	for _, want := range []string{"client\n", "\nremote " + name + " 443\n", "\nremote-random-hostname\n", "\nauth-federate\n", "\n</ca>\n"} {
		if !strings.Contains(profile, want) {
			t.Errorf("the profile lacks %q:\n%s", want, profile)
		}
	}
	_, rest, _ := strings.Cut(profile, "<ca>\n")
	block, _ := pem.Decode([]byte(rest))
	if block == nil {
		t.Fatalf("no certificate in\n%s", profile)
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err != nil || !cert.IsCA {
		t.Errorf("the certificate in <ca> is none of a CA: %v", err)
	}
	again, err := g.aws.ExportClientVpnClientConfiguration(t.Context(), &awsec2.ExportClientVpnClientConfigurationInput{ClientVpnEndpointId: new(id)})
	if err != nil || *again.ClientConfiguration != profile {
		t.Errorf("a second export differs: %v", err)
	}
}

// Every field of Unconfirmed, and Throttle, has a switch of its name that shows and sets it.
func TestSwitches(t *testing.T) {
	names := []string{"Throttle"}
	for f := range reflect.TypeFor[ec2.Unconfirmed]().Fields() {
		names = append(names, f.Name)
	}
	c := config()
	reflect.ValueOf(&c.Unconfirmed).Elem().FieldByName("AllRoutesLost").SetBool(true)
	switches := newRig(t, c).Switches()
	var got []string
	for i, s := range switches {
		got = append(got, s.Name)
		if s.About == "" || s.On() != (s.Name == "AllRoutesLost") {
			t.Errorf("%s is on: %v, about %q", s.Name, s.On(), s.About)
		}
		s.Set(!s.On())
		for j, o := range switches {
			if want := (o.Name == "AllRoutesLost") != (i == j); o.On() != want {
				t.Errorf("with %s set, %s is on: %v", s.Name, o.Name, o.On())
			}
		}
		s.Set(!s.On())
	}
	slices.Sort(names)
	slices.Sort(got)
	if !slices.Equal(got, names) {
		t.Errorf("switches %v\n    want %v", got, names)
	}
	// And it is the thing itself that changes.
	g := newRig(t, config())
	g.associate(subnetA)
	for _, s := range g.Switches() {
		if s.Name == "AssociationExists" {
			s.Set(true)
		}
	}
	_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
	g.refused("a duplicate after the switch", err, "ClientVpnEndpointAssociationExists")
}

// A state file of before endpoints had settings, groups and tags goes on as the endpoint was.
func TestOlderState(t *testing.T) {
	c := config()
	c.StateFile = filepath.Join(t.TempDir(), "ec2.json")
	older := `{"format": "nightlatch-demo", "kind": "ec2", "version": 1, "data": {"Endpoints": [{"ID": "` + id + `", "Description": "old",
		"VpcID": "vpc-1", "ClientCIDR": "10.100.0.0/22", "VpcCIDR": "10.7.0.0/16", "SecurityGroupIDs": ["sg-old"],
		"ServerCertificateARN": "arn:cert", "SAMLProviderARN": "arn:saml", "Subnets": [{"ID": "subnet-0a", "AvailabilityZone": "us-east-1a",
		"AvailabilityZoneID": "", "CIDR": "10.7.1.0/24", "VpcID": "vpc-1"}], "Created": "2026-01-02T03:04:05Z",
		"Associations": [{"ID": "cvpn-assoc-1", "Subnet": "subnet-0a", "Since": "2026-01-02T03:04:05Z", "Ready": "2026-01-02T03:05:05Z", "RouteActive": "2026-01-02T03:06:05Z"}],
		"PastAssociationSeconds": 7, "PastConnectionSeconds": 8}]}}`
	if err := os.WriteFile(c.StateFile, []byte(older), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"read", "read again"} {
		g := newRig(t, c)
		g.want(when, "available; subnet-0a associated; 10.7.0.0/16>subnet-0a associate active;")
		e := g.described()
		if got, want := fmt.Sprint(g.groups(), " ", *e.Description, " ", *e.SessionTimeoutHours, " ", *e.VpnPort, " ", *e.SplitTunnel), "vpc-1 sg-old old 24 443 true"; got != want {
			t.Errorf("%s: %s, want %s", when, got, want)
		}
		out, err := g.aws.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{Filters: filters("vpc-id", "vpc-1")})
		if err != nil || len(out.SecurityGroups) != 2 {
			t.Errorf("%s: groups %v, %v; want the applied one and the default one", when, out, err)
		}
	}
}
