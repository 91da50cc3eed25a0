package clientvpn

import (
	"context"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	// may is what EC2 answers to a call with DryRun that it would have let through ("Common query parameters", EC2 API
	// Reference); one that the caller may not make is UnauthorizedOperation.
	may = "DryRunOperation"
	// nowhere is a network that nobody has (RFC 5737), for a route that is not made.
	nowhere = "192.0.2.0/24"
	// noAssociation has the form of an association's id and is none.
	noAssociation = "cvpn-assoc-00000000000000000"
)

// Probe asks EC2 for every operation that this package calls, by its name in EC2's API, and changes nothing: it reads what
// can be read, and asks for the rest with DryRun. Nil is a call that EC2 answers, or would have let through; an error is what
// EC2 says instead. The observation is what could be read.
//
// EC2 does not document whether it looks at a call's parameters before it looks at who calls. Where it can, Probe names
// what is there. Where nothing is associated, EC2 may not know the association that is asked for: then its error is
// latch.ErrNotFound, and nobody knows whether the call is allowed.
func (v *VPN) Probe(ctx context.Context, id latch.EndpointID, subnet latch.SubnetID) (latch.Observation, map[string]error) {
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex // guards answers
		answers  = map[string]error{}
		o        = latch.Observation{Endpoint: id}
		networks []types.TargetNetwork
	)
	ask := func(operation string, call func(context.Context) error) {
		wg.Go(func() {
			err := v.do(ctx, operation, call)
			mu.Lock()
			defer mu.Unlock()
			answers[operation] = err
		})
	}
	ask("DescribeClientVpnConnections", func(ctx context.Context) error { _, err := v.connections(ctx, id); return err })
	ask("DescribeClientVpnRoutes", func(ctx context.Context) error { _, err := v.routes(ctx, id); return err })
	ask("DescribeClientVpnTargetNetworks", func(ctx context.Context) (err error) { networks, err = v.networks(ctx, id); return err })
	ask("DescribeClientVpnEndpoints", func(ctx context.Context) error {
		e, err := v.endpoint(ctx, id)
		if err == nil {
			describe(&o, e, nil)
		}
		return err
	})
	wg.Wait()
	association := noAssociation
	for _, n := range networks {
		if n.Status != nil && n.AssociationId != nil && (n.Status.Code == types.AssociationStatusCodeAssociated || n.Status.Code == types.AssociationStatusCodeAssociating) {
			association = *n.AssociationId
		}
	}
	dry := func(operation string, call func(context.Context) error) {
		ask(operation, func(ctx context.Context) error {
			err := call(ctx)
			if awserr.Code(err) == may {
				return nil
			}
			if err == nil {
				return fmt.Errorf("%w: EC2 says that it made the call, though it was asked not to", latch.ErrNotReady)
			}
			return err
		})
	}
	endpoint, dryRun := new(string(id)), new(true)
	dry("AssociateClientVpnTargetNetwork", func(ctx context.Context) error {
		_, err := v.client.associate(ctx, &ec2.AssociateClientVpnTargetNetworkInput{DryRun: dryRun, ClientVpnEndpointId: endpoint, SubnetId: new(string(subnet))})
		return err
	})
	dry("DisassociateClientVpnTargetNetwork", func(ctx context.Context) error {
		_, err := v.client.disassociate(ctx, &ec2.DisassociateClientVpnTargetNetworkInput{DryRun: dryRun, ClientVpnEndpointId: endpoint, AssociationId: &association})
		return err
	})
	dry("CreateClientVpnRoute", func(ctx context.Context) error {
		_, err := v.client.createRoute(ctx, &ec2.CreateClientVpnRouteInput{DryRun: dryRun, ClientVpnEndpointId: endpoint, DestinationCidrBlock: new(nowhere), TargetVpcSubnetId: new(string(subnet))})
		return err
	})
	dry("ApplySecurityGroupsToClientVpnTargetNetwork", func(ctx context.Context) error {
		if o.VPC == "" || len(o.Groups) == 0 {
			return fmt.Errorf("%w: the endpoint has no VPC and no security groups yet that could be asked for", latch.ErrNotReady)
		}
		in := &ec2.ApplySecurityGroupsToClientVpnTargetNetworkInput{DryRun: dryRun, ClientVpnEndpointId: endpoint, VpcId: new(string(o.VPC))}
		for _, g := range o.Groups {
			in.SecurityGroupIds = append(in.SecurityGroupIds, string(g))
		}
		_, err := v.client.applyGroups(ctx, in)
		return err
	})
	wg.Wait()
	return o, answers
}
