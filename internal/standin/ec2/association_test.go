package ec2_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsec2 "github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/standin/ec2"
)

// withGroups names six groups of vpc-1, and one of vpc-2.
func withGroups(c *ec2.Config) {
	e := &c.Endpoints[0]
	e.SecurityGroupIDs = []string{"sg-1"}
	for i := range 6 {
		e.SecurityGroups = append(e.SecurityGroups, ec2.SecurityGroup{ID: fmt.Sprintf("sg-%d", i+1), Name: fmt.Sprint("clients-", i+1)})
	}
	e.SecurityGroups = append(e.SecurityGroups, ec2.SecurityGroup{ID: "sg-far", Name: "far", VpcID: "vpc-2"})
}

func (g rig) groups() string {
	g.Helper()
	e := g.described()
	n, err := g.aws.DescribeClientVpnTargetNetworks(g.Context(), &awsec2.DescribeClientVpnTargetNetworksInput{ClientVpnEndpointId: new(id)})
	if err != nil {
		g.Fatal(err)
	}
	for _, x := range n.ClientVpnTargetNetworks {
		if !slices.Equal(x.SecurityGroups, e.SecurityGroupIds) {
			g.Errorf("association %s has %v, its endpoint %v", *x.AssociationId, x.SecurityGroups, e.SecurityGroupIds)
		}
	}
	return aws.ToString(e.VpcId) + " " + strings.Join(e.SecurityGroupIds, ",")
}

func (g rig) apply(vpc string, groups ...string) error {
	_, err := g.aws.ApplySecurityGroupsToClientVpnTargetNetwork(g.Context(), &awsec2.ApplySecurityGroupsToClientVpnTargetNetworkInput{
		ClientVpnEndpointId: new(id), VpcId: &vpc, SecurityGroupIds: groups})
	return err
}

func TestSecurityGroups(t *testing.T) {
	bubble(t, withGroups, func(t *testing.T, g rig) {
		g.refused("while nothing is associated", g.apply("vpc-1", "sg-2"), "InvalidClientVpnActiveAssociationNotFound")
		a := g.associate(subnetA)
		g.refused("another VPC's group", g.apply("vpc-1", "sg-far"), "InvalidGroup.NotFound")
		g.refused("another VPC", g.apply("vpc-2", "sg-far"), "InvalidParameterValue")
		g.refused("no such VPC", g.apply("vpc-9", "sg-1"), "InvalidVpcID.NotFound")
		g.refused("no such group", g.apply("vpc-1", "sg-9"), "InvalidGroup.NotFound")
		g.refused("six", g.apply("vpc-1", "sg-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"), "InvalidParameterValue")
		g.refused("one twice", g.apply("vpc-1", "sg-1", "sg-1"), "InvalidParameterValue")
		if got := g.groups(); got != "vpc-1 sg-1" {
			t.Errorf("refused calls changed the groups: %s", got)
		}
		g.refused("five", g.apply("vpc-1", "sg-2", "sg-3", "sg-4", "sg-5", "sg-6"), "<nil>")
		if got := g.groups(); got != "vpc-1 sg-2,sg-3,sg-4,sg-5,sg-6" {
			t.Errorf("the groups are %s: the call replaces them", got)
		}
		g.disassociate(a)
		time.Sleep(2 * minute)
		if got := g.groups(); got != "vpc-1 sg-2,sg-3,sg-4,sg-5,sg-6" {
			t.Errorf("closed, the groups are %s", got)
		}
	})
	bubble(t, func(c *ec2.Config) {
		withGroups(c)
		c.Unconfirmed.GroupsForgotten, c.Unconfirmed.GroupsWhileClosed = true, true
	}, func(t *testing.T, g rig) {
		g.refused("while nothing is associated, the other way", g.apply("vpc-1", "sg-2"), "<nil>")
		a := g.associate(subnetA)
		g.disassociate(a)
		if got := g.groups(); got != "vpc-1 sg-2" {
			t.Errorf("while it leaves, the groups are %s", got)
		}
		time.Sleep(2 * minute)
		if got := g.groups(); got != " " {
			t.Errorf("closed, the endpoint still has %s", got)
		}
		g.associate(subnetA)
		got := g.groups()
		if !regexp.MustCompile(`^vpc-1 sg-0[0-9a-f]{16}$`).MatchString(got) {
			t.Errorf("open again, the groups are %s, want the VPC's default one", got)
		}
		out, err := g.aws.DescribeSecurityGroups(t.Context(), &awsec2.DescribeSecurityGroupsInput{GroupIds: []string{strings.TrimPrefix(got, "vpc-1 ")}})
		if err != nil || *out.SecurityGroups[0].GroupName != "default" {
			t.Errorf("the default group: %+v, %v", out, err)
		}
	})
}

// An endpoint at a transit gateway goes by zones: no subnets, no groups, routes without a target.
func TestTransitGateway(t *testing.T) {
	bubble(t, func(c *ec2.Config) {
		c.Endpoints = []ec2.Endpoint{{ID: id, ClientCIDR: "10.100.0.0/22", TransitGateway: &ec2.TransitGateway{ID: "tgw-1", Pending: true,
			Zones: []ec2.Zone{{Name: "us-east-1a", ID: "use1-az1"}, {Name: "us-east-1b", ID: "use1-az2"}}}}}
	}, func(t *testing.T, g rig) {
		associate := func(in awsec2.AssociateClientVpnTargetNetworkInput) error {
			in.ClientVpnEndpointId = new(id)
			_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &in)
			return err
		}
		if got := g.described().Status.Code; got != types.ClientVpnEndpointStatusCodePending {
			t.Errorf("before the attachment is accepted the endpoint is %s", got)
		}
		g.refused("pending", associate(awsec2.AssociateClientVpnTargetNetworkInput{AvailabilityZone: new("us-east-1a")}), "IncorrectState")
		if err := g.AcceptAttachment(id); err != nil {
			t.Fatal(err)
		}
		if got := g.described().Status.Code; got != types.ClientVpnEndpointStatusCodePendingAssociate {
			t.Errorf("once it is accepted the endpoint is %s", got)
		}
		g.refused("a subnet", associate(awsec2.AssociateClientVpnTargetNetworkInput{SubnetId: new(subnetA)}), "InvalidParameterCombination")
		g.refused("nothing", associate(awsec2.AssociateClientVpnTargetNetworkInput{}), "MissingParameter")
		g.refused("both names", associate(awsec2.AssociateClientVpnTargetNetworkInput{AvailabilityZone: new("us-east-1a"), AvailabilityZoneId: new("use1-az1")}), "InvalidParameterCombination")
		g.refused("another zone", associate(awsec2.AssociateClientVpnTargetNetworkInput{AvailabilityZone: new("us-east-1z")}), "InvalidParameterValue")
		g.refused("a zone", associate(awsec2.AssociateClientVpnTargetNetworkInput{AvailabilityZone: new("us-east-1a")}), "<nil>")
		g.refused("the same by its id", associate(awsec2.AssociateClientVpnTargetNetworkInput{AvailabilityZoneId: new("use1-az1")}), "InvalidClientVpnDuplicateAssociationException")
		g.refused("another by its id", associate(awsec2.AssociateClientVpnTargetNetworkInput{AvailabilityZoneId: new("use1-az2")}), "<nil>")
		route := func(subnet *string) error {
			_, err := g.aws.CreateClientVpnRoute(t.Context(), &awsec2.CreateClientVpnRouteInput{ClientVpnEndpointId: new(id), DestinationCidrBlock: new("0.0.0.0/0"), TargetVpcSubnetId: subnet})
			return err
		}
		g.refused("a route too early", route(nil), "InvalidClientVpnActiveAssociationNotFound")
		time.Sleep(5 * minute)
		g.refused("a route through a subnet", route(new(subnetA)), "InvalidParameterCombination")
		g.refused("a route", route(nil), "<nil>")
		g.refused("a route that exists", route(nil), "InvalidClientVpnDuplicateRoute")
		g.refused("groups", g.apply("vpc-1", "sg-1"), "InvalidParameterCombination")
		if _, err := g.Connect(id, "alice"); err != nil {
			t.Error(err)
		}
		e := g.described()
		if gw := e.TransitGatewayConfiguration; e.Status.Code != "available" || e.VpcId != nil || *gw.TransitGatewayId != "tgw-1" ||
			!slices.Equal(gw.AvailabilityZones, []string{"us-east-1a", "us-east-1b"}) || !slices.Equal(gw.AvailabilityZoneIds, []string{"use1-az1", "use1-az2"}) {
			t.Errorf("the endpoint is %s", asJSON(t, e))
		}
		n, err := g.aws.DescribeClientVpnTargetNetworks(t.Context(), &awsec2.DescribeClientVpnTargetNetworksInput{ClientVpnEndpointId: new(id)})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"us-east-1a use1-az1", "us-east-1b use1-az2"} {
			x := n.ClientVpnTargetNetworks[i]
			if got := x.AvailabilityZones[0] + " " + x.AvailabilityZoneIds[0]; got != want || x.TargetNetworkId != nil || len(x.SecurityGroups) > 0 {
				t.Errorf("association %d is %s, want %s", i, asJSON(t, x), want)
			}
		}
		r, err := g.aws.DescribeClientVpnRoutes(t.Context(), &awsec2.DescribeClientVpnRoutesInput{ClientVpnEndpointId: new(id)})
		if err != nil || len(r.Routes) != 1 || r.Routes[0].TargetSubnet != nil || *r.Routes[0].TransitGatewayAttachmentId != *e.TransitGatewayConfiguration.TransitGatewayAttachmentId {
			t.Errorf("routes %s, %v; want the one made by hand, without a subnet", asJSON(t, r.Routes), err)
		}
		g.disassociate(*n.ClientVpnTargetNetworks[0].AssociationId)
		if r, err := g.aws.DescribeClientVpnRoutes(t.Context(), &awsec2.DescribeClientVpnRoutesInput{ClientVpnEndpointId: new(id)}); err != nil || r.Routes[0].Status.Code != "creating" {
			t.Errorf("a route went with one of two zones: %v", err)
		}
		g.refused("deleting it", g.deleteRoute("0.0.0.0/0", nil), "<nil>")
	})
}

// Ten changes of one endpoint at once, and what the eleventh is told.
func TestConcurrentOperations(t *testing.T) {
	many := func(c *ec2.Config) {
		for i := range 11 {
			c.Endpoints[0].Subnets = append(c.Endpoints[0].Subnets, ec2.Subnet{ID: fmt.Sprint("subnet-z", i), AvailabilityZone: fmt.Sprint("z", i), CIDR: fmt.Sprintf("10.0.%d.0/24", 100+i)})
		}
	}
	associate := func(g rig, i int) error {
		_, err := g.aws.AssociateClientVpnTargetNetwork(g.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(fmt.Sprint("subnet-z", i))})
		return err
	}
	for notPermitted, want := range map[bool]string{false: "ConcurrentMutationLimitExceeded", true: "OperationNotPermitted"} {
		bubble(t, func(c *ec2.Config) { many(c); c.Unconfirmed.OperationNotPermitted = notPermitted }, func(t *testing.T, g rig) {
			for i := range 10 {
				g.refused(fmt.Sprint("association ", i), associate(g, i), "<nil>")
			}
			g.refused("the eleventh", associate(g, 10), want)
			time.Sleep(5 * minute)
			g.refused("the eleventh, later", associate(g, 10), "<nil>")
		})
	}
	for free, want := range map[bool]string{false: "ConcurrentMutationLimitExceeded", true: "<nil>"} {
		bubble(t, func(c *ec2.Config) { many(c); c.Unconfirmed.RoutesAreFree = free }, func(t *testing.T, g rig) {
			g.refused("associate", associate(g, 0), "<nil>")
			time.Sleep(6 * minute)
			for i := range 10 {
				g.refused(fmt.Sprint("route ", i), g.createRoute(fmt.Sprintf("172.16.%d.0/24", i), "subnet-z0"), "<nil>")
			}
			g.refused("the eleventh route", g.createRoute("192.168.0.0/16", "subnet-z0"), want)
			g.refused("an association beside ten routes", associate(g, 1), want)
			time.Sleep(minute)
			g.refused("a route, later", g.createRoute("192.168.1.0/24", "subnet-z0"), "<nil>")
			time.Sleep(5 * minute)
			for i := range 10 {
				g.refused(fmt.Sprint("deletion ", i), g.deleteRoute(fmt.Sprintf("172.16.%d.0/24", i), new("subnet-z0")), "<nil>")
			}
			g.refused("an eleventh deletion", g.deleteRoute("192.168.1.0/24", new("subnet-z0")), want)
		})
	}
}

func TestNetworkAnswers(t *testing.T) {
	for other, want := range map[bool]string{false: "InvalidClientVpnSubnetId.DifferentAccount", true: "<nil>"} {
		c := config()
		c.Endpoints[0].Subnets = append(c.Endpoints[0].Subnets, ec2.Subnet{ID: "subnet-shared", OwnerID: "999988887777", AvailabilityZone: "z", CIDR: "10.0.9.0/24"},
			ec2.Subnet{ID: "subnet-small", AvailabilityZone: "y", CIDR: "10.0.10.0/28"})
		c.Unconfirmed.SharedSubnets = other
		g := newRig(t, c)
		_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new("subnet-shared")})
		g.refused(fmt.Sprint("a shared subnet, switch ", other), err, want)
		_, err = g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new("subnet-small")})
		g.refused("a subnet that is too small", err, "InvalidParameterValue")
	}
	for again, want := range map[bool]string{false: "InvalidClientVpnDuplicateAssociationException", true: "<nil>"} {
		bubble(t, func(c *ec2.Config) { c.Unconfirmed.AssociateWhileLeaving = again }, func(t *testing.T, g rig) {
			g.disassociate(g.associate(subnetA))
			_, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA)})
			g.refused(fmt.Sprint("a subnet that is leaving, switch ", again), err, want)
		})
	}
	for outlive, want := range map[bool]string{false: "associating", true: "disassociated"} {
		bubble(t, func(c *ec2.Config) { c.Unconfirmed.TokensOutlive = outlive }, func(t *testing.T, g rig) {
			in := &awsec2.AssociateClientVpnTargetNetworkInput{ClientVpnEndpointId: new(id), SubnetId: new(subnetA), ClientToken: new("200")}
			out, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), in)
			if err != nil {
				t.Fatal(err)
			}
			g.disassociate(*out.AssociationId)
			time.Sleep(2 * minute)
			if out, err := g.aws.AssociateClientVpnTargetNetwork(t.Context(), in); err != nil || string(out.Status.Code) != want {
				t.Errorf("an old token, switch %v: %v %v, want %s", outlive, out, err, want)
			}
		})
	}
}
