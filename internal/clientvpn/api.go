package clientvpn

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// newAPI gives each operation a retryer of its own, because EC2 keeps a bucket of requests for each ("Request throttling
// for the Amazon EC2 API", EC2 Developer Guide): routes that come too fast must not hold up a disassociation.
func newAPI(c *ec2.Client, retryer func() aws.Retryer) *api {
	return &api{
		associate:      with(retryer(), c.AssociateClientVpnTargetNetwork),
		disassociate:   with(retryer(), c.DisassociateClientVpnTargetNetwork),
		createRoute:    with(retryer(), c.CreateClientVpnRoute),
		applyGroups:    with(retryer(), c.ApplySecurityGroupsToClientVpnTargetNetwork),
		endpoints:      with(retryer(), c.DescribeClientVpnEndpoints),
		targetNetworks: with(retryer(), c.DescribeClientVpnTargetNetworks),
		routes:         with(retryer(), c.DescribeClientVpnRoutes),
		connections:    with(retryer(), c.DescribeClientVpnConnections),
	}
}

func with[I, O any](r aws.Retryer, call operation[I, O]) operation[I, O] {
	return func(ctx context.Context, in *I, o ...func(*ec2.Options)) (*O, error) {
		return call(ctx, in, append(o, func(o *ec2.Options) { o.Retryer = r })...)
	}
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
