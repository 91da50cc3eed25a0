package clientvpn

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// api is the part of EC2 that is called, as functions. Were *ec2.Client itself put into an interface, as the SDK's
// paginators want it, the linker would keep all of its methods (html/template looks methods up by name, so any may be
// called): eight hundred operations, 25 MB of the function's binary.
type api struct {
	associate      operation[ec2.AssociateClientVpnTargetNetworkInput, ec2.AssociateClientVpnTargetNetworkOutput]
	disassociate   operation[ec2.DisassociateClientVpnTargetNetworkInput, ec2.DisassociateClientVpnTargetNetworkOutput]
	createRoute    operation[ec2.CreateClientVpnRouteInput, ec2.CreateClientVpnRouteOutput]
	applyGroups    operation[ec2.ApplySecurityGroupsToClientVpnTargetNetworkInput, ec2.ApplySecurityGroupsToClientVpnTargetNetworkOutput]
	endpoints      operation[ec2.DescribeClientVpnEndpointsInput, ec2.DescribeClientVpnEndpointsOutput]
	targetNetworks operation[ec2.DescribeClientVpnTargetNetworksInput, ec2.DescribeClientVpnTargetNetworksOutput]
	routes         operation[ec2.DescribeClientVpnRoutesInput, ec2.DescribeClientVpnRoutesOutput]
	connections    operation[ec2.DescribeClientVpnConnectionsInput, ec2.DescribeClientVpnConnectionsOutput]
}

type operation[I, O any] func(context.Context, *I, ...func(*ec2.Options)) (*O, error)

func newAPI(c *ec2.Client) *api {
	return &api{c.AssociateClientVpnTargetNetwork, c.DisassociateClientVpnTargetNetwork, c.CreateClientVpnRoute, c.ApplySecurityGroupsToClientVpnTargetNetwork,
		c.DescribeClientVpnEndpoints,
		c.DescribeClientVpnTargetNetworks, c.DescribeClientVpnRoutes, c.DescribeClientVpnConnections}
}

// The four methods below are what the SDK's paginators call.

func (a *api) DescribeClientVpnEndpoints(ctx context.Context, in *ec2.DescribeClientVpnEndpointsInput, o ...func(*ec2.Options)) (*ec2.DescribeClientVpnEndpointsOutput, error) {
	return a.endpoints(ctx, in, o...)
}

func (a *api) DescribeClientVpnTargetNetworks(ctx context.Context, in *ec2.DescribeClientVpnTargetNetworksInput, o ...func(*ec2.Options)) (*ec2.DescribeClientVpnTargetNetworksOutput, error) {
	return a.targetNetworks(ctx, in, o...)
}

func (a *api) DescribeClientVpnRoutes(ctx context.Context, in *ec2.DescribeClientVpnRoutesInput, o ...func(*ec2.Options)) (*ec2.DescribeClientVpnRoutesOutput, error) {
	return a.routes(ctx, in, o...)
}

func (a *api) DescribeClientVpnConnections(ctx context.Context, in *ec2.DescribeClientVpnConnectionsInput, o ...func(*ec2.Options)) (*ec2.DescribeClientVpnConnectionsOutput, error) {
	return a.connections(ctx, in, o...)
}
