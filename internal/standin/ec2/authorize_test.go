package ec2_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

// TestUnauthorized: every action asks about each of its resources, and any one refusal ends it, before anybody looks
// whether it would work, for a dry run as well.
func TestUnauthorized(t *testing.T) {
	const (
		arn      = "arn:aws:ec2:us-east-1:111122223333:"
		endpoint = arn + "client-vpn-endpoint/" + id
		subnet   = arn + "subnet/" + subnetA
	)
	type dry = *bool
	for name, tt := range map[string]struct {
		call  func(c *awsec2.Client, ctx context.Context, dry dry) error
		needs []string
	}{
		"DescribeClientVpnEndpoints": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.DescribeClientVpnEndpoints(ctx, &awsec2.DescribeClientVpnEndpointsInput{ClientVpnEndpointIds: []string{id}, DryRun: dry})
			return err
		}, []string{"*"}},
		"DescribeSubnets": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.DescribeSubnets(ctx, &awsec2.DescribeSubnetsInput{SubnetIds: []string{subnetA}, DryRun: dry})
			return err
		}, []string{"*"}},
		"DescribeTags": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.DescribeTags(ctx, &awsec2.DescribeTagsInput{DryRun: dry})
			return err
		}, []string{"*"}},
		"DescribeClientVpnTargetNetworks": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.DescribeClientVpnTargetNetworks(ctx, &awsec2.DescribeClientVpnTargetNetworksInput{ClientVpnEndpointId: new(id), DryRun: dry})
			return err
		}, []string{endpoint}},
		"ExportClientVpnClientConfiguration": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.ExportClientVpnClientConfiguration(ctx, &awsec2.ExportClientVpnClientConfigurationInput{ClientVpnEndpointId: new(id), DryRun: dry})
			return err
		}, []string{endpoint}},
		"AssociateClientVpnTargetNetwork": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.AssociateClientVpnTargetNetwork(ctx, &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA), DryRun: dry})
			return err
		}, []string{endpoint, subnet}},
		"DisassociateClientVpnTargetNetwork": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.DisassociateClientVpnTargetNetwork(ctx, &awsec2.DisassociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), AssociationId: new("cvpn-assoc-0"), DryRun: dry})
			return err
		}, []string{endpoint}},
		"CreateClientVpnRoute": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.CreateClientVpnRoute(ctx, &awsec2.CreateClientVpnRouteInput{ClientVpnEndpointId: new(id), DestinationCidrBlock: new("10.9.0.0/16"), TargetVpcSubnetId: new(subnetA), DryRun: dry})
			return err
		}, []string{endpoint, subnet}},
		"ApplySecurityGroupsToClientVpnTargetNetwork": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.ApplySecurityGroupsToClientVpnTargetNetwork(ctx, &awsec2.ApplySecurityGroupsToClientVpnTargetNetworkInput{
				ClientVpnEndpointId: new(id), VpcId: new("vpc-1"), SecurityGroupIds: []string{"sg-1", "sg-2"}, DryRun: dry})
			return err
		}, []string{endpoint, arn + "security-group/sg-1", arn + "security-group/sg-2", arn + "vpc/vpc-1"}},
		"CreateTags": {func(c *awsec2.Client, ctx context.Context, dry dry) error {
			_, err := c.CreateTags(ctx, &awsec2.CreateTagsInput{Resources: []string{id, subnetA}, Tags: []types.Tag{{Key: new("a"), Value: new("b")}}, DryRun: dry})
			return err
		}, []string{endpoint, subnet}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			var refused string
			c := config()
			c.Authorize = func(key, action, resource string, _ map[string]string) error {
				if key != role.AccessKeyID || action != "ec2:"+name {
					t.Errorf("asked whether %s may %s", key, action)
				}
				asked = append(asked, resource)
				if resource == refused {
					return errors.New("User: u is not authorized to perform: " + action + " on resource: " + resource)
				}
				return nil
			}
			g := newRig(t, c)
			if err := tt.call(g.aws, t.Context(), new(true)); !strings.HasPrefix(code(err), "DryRunOperation") {
				t.Errorf("a dry run with every permission: %v, want DryRunOperation", err)
			}
			if !slices.Equal(asked, tt.needs) {
				t.Errorf("asked about\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(tt.needs, "\n"))
			}
			for _, refused = range tt.needs {
				for _, dry := range []dry{nil, new(true)} {
					err := tt.call(g.aws, t.Context(), dry)
					if code(err) != "UnauthorizedOperation" || !strings.Contains(err.Error(), "You are not authorized to perform this operation. User: u is not authorized to perform: ec2:"+name+" on resource: "+refused) {
						t.Errorf("without %s: %v, want UnauthorizedOperation with who, what and on what", refused, err)
					}
				}
			}
			if n := len(g.Snapshot().Endpoints[0].Associations); n != 0 {
				t.Errorf("something was associated all the same")
			}
		})
	}
}

// TestConditionKeys: IAM learns about each resource what EC2 says of it, also of a subnet that another account shares.
func TestConditionKeys(t *testing.T) {
	got := map[string]map[string]string{}
	c := config()
	c.Endpoints[0].Tags = map[string]string{"team": "net"}
	c.Endpoints[0].Subnets[0].OwnerID = "999988887777"
	c.Endpoints[0].Subnets[0].AvailabilityZoneID = "use1-az1"
	c.Endpoints[0].SecurityGroups = []ec2.SecurityGroup{{ID: "sg-1", Name: "g"}}
	c.Endpoints[0].SAMLProviderARN, c.Endpoints[0].ServerCertificateARN = "arn:saml", "arn:cert"
	c.Authorize = func(_, _, resource string, context map[string]string) error {
		got[resource] = context
		return nil
	}
	g := newRig(t, c)
	_, _ = g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
	_, _ = g.aws.ApplySecurityGroupsToClientVpnTargetNetwork(t.Context(), &awsec2.ApplySecurityGroupsToClientVpnTargetNetworkInput{
		ClientVpnEndpointId: new(id), VpcId: new("vpc-1"), SecurityGroupIds: []string{"sg-1"}})
	for resource, want := range map[string]map[string]string{
		"arn:aws:ec2:us-east-1:111122223333:client-vpn-endpoint/" + id: {"aws:ResourceTag/team": "net", "ec2:ResourceTag/team": "net", "ec2:SamlProviderArn": "arn:saml", "ec2:ServerCertificateArn": "arn:cert"},
		"arn:aws:ec2:us-east-1:999988887777:subnet/" + subnetA: {"ec2:SubnetID": subnetA, "ec2:AvailabilityZone": "us-east-1a", "ec2:AvailabilityZoneId": "use1-az1",
			"ec2:Vpc": "arn:aws:ec2:us-east-1:999988887777:vpc/vpc-1"},
		"arn:aws:ec2:us-east-1:111122223333:security-group/sg-1": {"ec2:SecurityGroupID": "sg-1", "ec2:Vpc": "arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1"},
		"arn:aws:ec2:us-east-1:111122223333:vpc/vpc-1":           {"ec2:VpcID": "vpc-1"},
	} {
		want["ec2:Region"], want["aws:RequestedRegion"] = "us-east-1", "us-east-1"
		if !maps.Equal(got[resource], want) {
			t.Errorf("%s: got %v, want %v", resource, got[resource], want)
		}
	}
}
