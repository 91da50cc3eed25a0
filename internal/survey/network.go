package survey

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Endpoint is a Client VPN endpoint.
type Endpoint struct {
	ID, Name, Description string // Name is the tag's
	Status, StatusMessage string
	VPC                   string // empty where none is set
	SecurityGroups        []string
	ClientCIDR            string
	// TransitGateway is the gateway of an endpoint that is attached to one and has no subnets; Nightlatch cannot keep it.
	TransitGateway string
	SelfServiceURL string
}

// Endpoints lists the Region's; with ids, only those, and it is latch.ErrNotFound that one of them is not there.
func (a *Account) Endpoints(ctx context.Context, ids ...string) ([]Endpoint, error) {
	c := ec2.NewFromConfig(a.cfg)
	return all(func(token *string) ([]Endpoint, *string, error) {
		out, err := c.DescribeClientVpnEndpoints(ctx, &ec2.DescribeClientVpnEndpointsInput{ClientVpnEndpointIds: ids, NextToken: token})
		if err != nil {
			return nil, nil, failed("ec2", err)
		}
		var some []Endpoint
		for _, e := range out.ClientVpnEndpoints {
			made := Endpoint{
				ID: aws.ToString(e.ClientVpnEndpointId), Name: name(e.Tags), Description: aws.ToString(e.Description), VPC: aws.ToString(e.VpcId),
				SecurityGroups: e.SecurityGroupIds, ClientCIDR: aws.ToString(e.ClientCidrBlock), SelfServiceURL: aws.ToString(e.SelfServicePortalUrl),
			}
			if e.Status != nil {
				made.Status, made.StatusMessage = string(e.Status.Code), aws.ToString(e.Status.Message)
			}
			if t := e.TransitGatewayConfiguration; t != nil {
				made.TransitGateway = aws.ToString(t.TransitGatewayId)
			}
			some = append(some, made)
		}
		return some, out.NextToken, nil
	})
}

// Association is a subnet's with an endpoint. Those that are gone may still be listed.
type Association struct {
	ID, Subnet, VPC, Status string
	SecurityGroups          []string
}

// Associations lists an endpoint's.
func (a *Account) Associations(ctx context.Context, endpoint string) ([]Association, error) {
	c := ec2.NewFromConfig(a.cfg)
	return all(func(token *string) ([]Association, *string, error) {
		out, err := c.DescribeClientVpnTargetNetworks(ctx, &ec2.DescribeClientVpnTargetNetworksInput{ClientVpnEndpointId: &endpoint, NextToken: token})
		if err != nil {
			return nil, nil, failed("ec2", err)
		}
		var some []Association
		for _, n := range out.ClientVpnTargetNetworks {
			made := Association{ID: aws.ToString(n.AssociationId), Subnet: aws.ToString(n.TargetNetworkId), VPC: aws.ToString(n.VpcId), SecurityGroups: n.SecurityGroups}
			if n.Status != nil {
				made.Status = string(n.Status.Code)
			}
			some = append(some, made)
		}
		return some, out.NextToken, nil
	})
}

// Route is one of an endpoint's.
type Route struct {
	Destination, Subnet, Description, Status string
	// Added: somebody added it; else AWS made it with the association, and will again.
	Added bool
}

// Routes lists an endpoint's, of which there are none while nothing is associated.
func (a *Account) Routes(ctx context.Context, endpoint string) ([]Route, error) {
	c := ec2.NewFromConfig(a.cfg)
	return all(func(token *string) ([]Route, *string, error) {
		out, err := c.DescribeClientVpnRoutes(ctx, &ec2.DescribeClientVpnRoutesInput{ClientVpnEndpointId: &endpoint, NextToken: token})
		if err != nil {
			return nil, nil, failed("ec2", err)
		}
		var some []Route
		for _, r := range out.Routes {
			made := Route{Destination: aws.ToString(r.DestinationCidr), Subnet: aws.ToString(r.TargetSubnet), Description: aws.ToString(r.Description), Added: aws.ToString(r.Origin) == "add-route"}
			if r.Status != nil {
				made.Status = string(r.Status.Code)
			}
			some = append(some, made)
		}
		return some, out.NextToken, nil
	})
}

// Rule is an authorization rule: who may reach what through an endpoint.
type Rule struct {
	Destination, Group, Status string
	Everybody                  bool
}

// Rules lists an endpoint's.
func (a *Account) Rules(ctx context.Context, endpoint string) ([]Rule, error) {
	c := ec2.NewFromConfig(a.cfg)
	return all(func(token *string) ([]Rule, *string, error) {
		out, err := c.DescribeClientVpnAuthorizationRules(ctx, &ec2.DescribeClientVpnAuthorizationRulesInput{ClientVpnEndpointId: &endpoint, NextToken: token})
		if err != nil {
			return nil, nil, failed("ec2", err)
		}
		var some []Rule
		for _, r := range out.AuthorizationRules {
			made := Rule{Destination: aws.ToString(r.DestinationCidr), Group: aws.ToString(r.GroupId), Everybody: aws.ToBool(r.AccessAll)}
			if r.Status != nil {
				made.Status = string(r.Status.Code)
			}
			some = append(some, made)
		}
		return some, out.NextToken, nil
	})
}

// Subnet is one of a VPC's.
type Subnet struct {
	ID, Name, VPC, Zone, CIDR string
	Free                      int // addresses
	// Public: its route table leads to an internet gateway. Only Subnets says so.
	Public bool
}

// What Client VPN asks of a subnet: a block of at least /27, and at least 20 free addresses at all times ("Client VPN
// target network requirements", AWS Client VPN Administrator Guide). A load balancer asks for /27 and 8 ("Subnets for your
// load balancer", User Guide for Application Load Balancers).
const (
	leastBits        = 27
	FreeForVPN       = 20
	freeForBalancer  = 8
	balancerSubnets  = 2
	subnetsPerFilter = 200
)

// Wide reports whether the block is large enough for Client VPN and for a load balancer.
func (s Subnet) Wide() bool {
	p, err := netip.ParsePrefix(s.CIDR)
	return err == nil && p.Bits() <= leastBits
}

// Overlaps reports whether the block overlaps another, as a client's range may not.
func (s Subnet) Overlaps(cidr string) bool {
	p, err1 := netip.ParsePrefix(s.CIDR)
	q, err2 := netip.ParsePrefix(cidr)
	return err1 == nil && err2 == nil && p.Overlaps(q)
}

// Subnets lists a VPC's, by zone and then by the number of free addresses, the most first. With ids it is those, and
// latch.ErrNotFound that one of them is not there.
func (a *Account) Subnets(ctx context.Context, vpc string, ids ...string) ([]Subnet, error) {
	c := ec2.NewFromConfig(a.cfg)
	in := ec2.DescribeSubnetsInput{SubnetIds: ids}
	if len(ids) == 0 {
		in.Filters = filter("vpc-id", vpc)
	}
	subnets, err := all(func(token *string) ([]Subnet, *string, error) {
		page := in
		page.NextToken = token
		out, err := c.DescribeSubnets(ctx, &page)
		if err != nil {
			return nil, nil, failed("ec2", err)
		}
		var some []Subnet
		for _, s := range out.Subnets {
			some = append(some, Subnet{
				ID: aws.ToString(s.SubnetId), Name: name(s.Tags), VPC: aws.ToString(s.VpcId), Zone: aws.ToString(s.AvailabilityZone), CIDR: aws.ToString(s.CidrBlock),
				Free: int(aws.ToInt32(s.AvailableIpAddressCount)),
			})
		}
		return some, out.NextToken, nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(subnets, func(x, y Subnet) int {
		return cmp.Or(strings.Compare(x.Zone, y.Zone), y.Free-x.Free, strings.Compare(x.ID, y.ID))
	})
	return subnets, nil
}

// Public marks the subnets of a VPC whose route table leads to an internet gateway: its own, or the VPC's main one ("Route
// tables", Amazon VPC User Guide).
func (a *Account) Public(ctx context.Context, vpc string, subnets []Subnet) error {
	c := ec2.NewFromConfig(a.cfg)
	own, main := map[string]bool{}, false
	_, err := all(func(token *string) ([]struct{}, *string, error) {
		out, err := c.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filter("vpc-id", vpc), NextToken: token})
		if err != nil {
			return nil, nil, failed("ec2", err)
		}
		for _, t := range out.RouteTables {
			open := slices.ContainsFunc(t.Routes, func(r types.Route) bool {
				return strings.HasPrefix(aws.ToString(r.GatewayId), "igw-") && r.State != types.RouteStateBlackhole && aws.ToString(r.DestinationCidrBlock) == "0.0.0.0/0"
			})
			for _, x := range t.Associations {
				if id := aws.ToString(x.SubnetId); id != "" {
					own[id] = open
				} else if aws.ToBool(x.Main) {
					main = open
				}
			}
		}
		return nil, out.NextToken, nil
	})
	for i := range subnets {
		open, has := own[subnets[i].ID]
		subnets[i].Public = open || !has && main
	}
	return err
}

func filter(key string, values ...string) []types.Filter {
	return []types.Filter{{Name: &key, Values: values}}
}

func name(tags []types.Tag) string {
	for _, t := range tags {
		if aws.ToString(t.Key) == "Name" {
			return aws.ToString(t.Value)
		}
	}
	return ""
}
