// Package clientvpn is latch.VPN over Amazon EC2: it hides paging, retries, throttling and EC2's error codes behind
// five methods. It decides nothing and keeps nothing between calls.
//
// What it does not serve: endpoints that are attached to a transit gateway. They are associated by Availability Zone
// instead of subnet, and are answered with latch.ErrNotReady.
package clientvpn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"golang.org/x/sync/errgroup"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	// patience bounds one method with all its pages and retries, when the caller's context does not end sooner.
	patience = 20 * time.Second
	// attempts and maxBackoff are few and short: whoever calls looks again in seconds, and a request of a person
	// must not hang.
	attempts   = 3
	maxBackoff = time.Second
	// pageSize is the largest that the Describe calls take.
	pageSize = 1000
	// maxToken is the longest ClientToken, in ASCII characters ("Ensuring idempotency", EC2 Developer Guide).
	maxToken = 64
)

// Config is what New needs; AWS and Log are required.
type Config struct {
	AWS aws.Config // at least Region and Credentials; nothing is read from the environment
	// Crowded: so many endpoints are observed at once that their calls are in each other's way, and nobody waits for them.
	Crowded bool
	Log     *slog.Logger
}

// VPN implements latch.VPN.
type VPN struct {
	client   *api
	log      *slog.Logger
	together int // how many reads of one observation at once, as errgroup.SetLimit takes it
}

// New checks c and makes no call.
func New(c Config) (*VPN, error) {
	if c.AWS.Region == "" || c.AWS.Credentials == nil || c.Log == nil {
		return nil, errors.New("clientvpn: Region, Credentials and Log are required")
	}
	v := &VPN{newAPI(ec2.NewFromConfig(c.AWS), c.retryer), c.Log, -1}
	if c.Crowded { // an endpoint that is refused one read should not have spent another
		v.together = 1
	}
	return v, nil
}

// retryer is that of one operation. It is the SDK's standard one where a person waits: a call that is throttled is tried
// again within a second or two, or fails and says so. A few endpoints have it too: they are throttled because of other
// programs, which their own being slow does not help.
//
// In a crowd it is the SDK's adaptive one, which makes calls wait for each other at the pace that EC2 has shown to
// accept. In an account that leaves each action five calls a second, a beat of fifty endpoints then loses none of them,
// in 16 s, where three tries each lose 37, in 12 s and with twenty times the refusals (BenchmarkCrowdedAccount). Its
// price is that the first throttle leaves an action with a call in two seconds, which grows from there, and that it
// remembers for as long as the process lives: AWS advises it for work that can wait ("Retry behavior", AWS SDKs and
// Tools Reference Guide). The method's patience bounds that too.
func (c Config) retryer() aws.Retryer {
	standard := func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = attempts, maxBackoff }
	if !c.Crowded {
		return retry.NewStandard(standard)
	}
	return retry.NewAdaptiveMode(func(a *retry.AdaptiveModeOptions) { a.StandardOptions = append(a.StandardOptions, standard) })
}

// Observe implements latch.VPN. EC2 has no call that shows an endpoint at one instant, so what depends is read before
// what it depends on: connections and routes, at the same time because somebody waits, and then associations and the
// endpoint. If somebody disassociates between the two, the result shows routes and connections of an association that is
// leaving, which nobody acts on. The other way round it would show an associated subnet whose routes are lost and whose
// users are gone: routes would be forgotten and the endpoint closed for idleness on the strength of a picture that was
// never true.
//
// At is the time before the first read: an observation is never younger than it says.
func (v *VPN) Observe(ctx context.Context, id latch.EndpointID) (latch.Observation, error) {
	o := latch.Observation{At: time.Now(), Endpoint: id}
	err := v.do(ctx, "observe "+string(id), func(ctx context.Context) error {
		first, on := errgroup.WithContext(ctx)
		first.SetLimit(v.together)
		first.Go(func() (err error) { o.Connections, err = v.connections(on, id); return err })
		first.Go(func() (err error) { o.Routes, err = v.routes(on, id); return err })
		if err := first.Wait(); err != nil {
			return err
		}
		var networks []types.TargetNetwork
		var itself *types.ClientVpnEndpoint
		then, on := errgroup.WithContext(ctx)
		then.SetLimit(v.together)
		then.Go(func() (err error) { networks, err = v.networks(on, id); return err })
		then.Go(func() (err error) { itself, err = v.endpoint(on, id); return err })
		if err := then.Wait(); err != nil {
			return err
		}
		for _, n := range networks {
			o.Associations = append(o.Associations, association(aws.ToString(n.AssociationId), aws.ToString(n.TargetNetworkId), n.Status))
		}
		describe(&o, itself, networks)
		return nil
	})
	if err != nil {
		return latch.Observation{}, err
	}
	return o, nil
}

func (v *VPN) connections(ctx context.Context, id latch.EndpointID) (all []latch.Connection, err error) {
	pages := ec2.NewDescribeClientVpnConnectionsPaginator(v.client, &ec2.DescribeClientVpnConnectionsInput{
		ClientVpnEndpointId: new(string(id)), MaxResults: new(int32(pageSize)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range page.Connections {
			made, err := connection(c)
			if err != nil {
				return nil, err
			}
			all = append(all, made)
		}
	}
	return all, nil
}

// connection adds the byte counters, which EC2 reports as strings. One that cannot be read makes the whole
// observation fail: taken for zero it would cut off somebody who works.
func connection(c types.ClientVpnConnection) (latch.Connection, error) {
	made := latch.Connection{ID: latch.ConnectionID(aws.ToString(c.ConnectionId)), User: aws.ToString(c.Username)}
	if c.Status != nil {
		made.Status = latch.Status(c.Status.Code)
	}
	for _, counter := range []*string{c.IngressBytes, c.EgressBytes} {
		if aws.ToString(counter) == "" {
			continue // not yet counted
		}
		n, err := strconv.ParseUint(*counter, 10, 64)
		if err != nil {
			return latch.Connection{}, &latch.Fault{Service: service.Name, Message: fmt.Sprintf("connection %s reports %q bytes", made.ID, *counter)}
		}
		made.Bytes += n
	}
	return made, nil
}

func (v *VPN) routes(ctx context.Context, id latch.EndpointID) (all []latch.Route, err error) {
	pages := ec2.NewDescribeClientVpnRoutesPaginator(v.client, &ec2.DescribeClientVpnRoutesInput{
		ClientVpnEndpointId: new(string(id)), MaxResults: new(int32(pageSize)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Routes {
			made := latch.Route{
				Destination: aws.ToString(r.DestinationCidr),
				Subnet:      latch.SubnetID(aws.ToString(r.TargetSubnet)),
				Origin:      aws.ToString(r.Origin),
				Description: aws.ToString(r.Description),
			}
			if r.Status != nil {
				made.Status, made.Message = latch.Status(r.Status.Code), aws.ToString(r.Status.Message)
			}
			all = append(all, made)
		}
	}
	return all, nil
}

// networks filters nothing at EC2: its filters have been seen to be ignored, and the list is short.
func (v *VPN) networks(ctx context.Context, id latch.EndpointID) (all []types.TargetNetwork, err error) {
	pages := ec2.NewDescribeClientVpnTargetNetworksPaginator(v.client, &ec2.DescribeClientVpnTargetNetworksInput{
		ClientVpnEndpointId: new(string(id)), MaxResults: new(int32(pageSize)),
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, page.ClientVpnTargetNetworks...)
	}
	return all, nil
}

func association(id, subnet string, s *types.AssociationStatus) latch.Association {
	a := latch.Association{ID: latch.AssociationID(id), Subnet: latch.SubnetID(subnet)}
	if s != nil {
		a.Status, a.Message = latch.Status(s.Code), aws.ToString(s.Message)
	}
	return a
}

// endpoint is EC2's description of the endpoint itself.
func (v *VPN) endpoint(ctx context.Context, id latch.EndpointID) (*types.ClientVpnEndpoint, error) {
	// No MaxResults: EC2's Describe calls refuse it beside ids.
	pages := ec2.NewDescribeClientVpnEndpointsPaginator(v.client, &ec2.DescribeClientVpnEndpointsInput{
		ClientVpnEndpointIds: []string{string(id)},
	})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, e := range page.ClientVpnEndpoints {
			if aws.ToString(e.ClientVpnEndpointId) != string(id) {
				continue
			}
			if t := e.TransitGatewayConfiguration; t != nil {
				return nil, fmt.Errorf("%w: it is attached to transit gateway %s, and Nightlatch opens endpoints whose target networks are subnets of a VPC",
					latch.ErrNotReady, aws.ToString(t.TransitGatewayId))
			}
			if e.Status != nil {
				return &e, nil
			}
		}
	}
	return nil, &latch.Fault{Service: service.Name, Message: "the endpoint is not in the answer to DescribeClientVpnEndpoints"}
}

// describe adds the endpoint's own part to o, and the security groups: those of the target networks, which are what counts
// while there are any, else the endpoint's.
func describe(o *latch.Observation, e *types.ClientVpnEndpoint, networks []types.TargetNetwork) {
	o.Status, o.StatusMessage = latch.Status(e.Status.Code), aws.ToString(e.Status.Message)
	vpc, groups := e.VpcId, e.SecurityGroupIds
	for _, n := range networks {
		if n.Status != nil && n.Status.Code == types.AssociationStatusCodeAssociated && len(n.SecurityGroups) > 0 {
			vpc, groups = n.VpcId, n.SecurityGroups
		}
	}
	o.VPC = latch.VPCID(aws.ToString(vpc))
	for _, g := range groups {
		o.Groups = append(o.Groups, latch.GroupID(g))
	}
}

// Associate implements latch.VPN. The caller's token must be new for each opening: EC2 answers a token that it knows
// with the association that it made then, also when that one has ended since.
func (v *VPN) Associate(ctx context.Context, id latch.EndpointID, subnet latch.SubnetID, token string) (made latch.Association, err error) {
	// Without a token the SDK would make one up for each call, and a repeated call would be a second one.
	if token == "" || len(token) > maxToken {
		return made, fmt.Errorf("associate %s: %w: a client token has 1 to %d characters, this one %d", subnet, latch.ErrBadRequest, maxToken, len(token))
	}
	err = v.do(ctx, "associate "+string(subnet), func(ctx context.Context) error {
		out, err := v.client.associate(ctx, &ec2.AssociateClientVpnTargetNetworkInput{
			ClientVpnEndpointId: new(string(id)), SubnetId: new(string(subnet)), ClientToken: new(token),
		})
		if err == nil {
			made = association(aws.ToString(out.AssociationId), string(subnet), out.Status)
			return nil
		}
		if code := awserr.Code(err); !isDuplicateAssociation(code) && code != duplicateZone {
			return err
		}
		made, err = v.join(ctx, id, subnet, err)
		return err
	})
	return made, err
}

// join finds the association that EC2 would not make again. The zone's error counts too: of two checks that both
// apply, nobody says which EC2 makes first.
func (v *VPN) join(ctx context.Context, id latch.EndpointID, subnet latch.SubnetID, refusal error) (latch.Association, error) {
	networks, err := v.networks(ctx, id)
	if err != nil {
		return latch.Association{}, err
	}
	for _, n := range networks {
		a := association(aws.ToString(n.AssociationId), aws.ToString(n.TargetNetworkId), n.Status)
		if a.Subnet != subnet || a.Status == latch.Disassociated {
			continue
		}
		if a.Status == latch.Disassociating {
			return latch.Association{}, service.As(latch.ErrTooEarly, refusal)
		}
		return a, nil
	}
	if awserr.Code(refusal) == duplicateZone {
		return latch.Association{}, refusal // another subnet of the zone
	}
	// Just made by somebody else and not yet listed, or just gone: EC2's reads are eventually consistent.
	return latch.Association{}, service.As(latch.ErrTooEarly, refusal)
}

// Disassociate implements latch.VPN.
func (v *VPN) Disassociate(ctx context.Context, id latch.EndpointID, association latch.AssociationID) error {
	return v.do(ctx, "disassociate "+string(association), func(ctx context.Context) error {
		_, err := v.client.disassociate(ctx, &ec2.DisassociateClientVpnTargetNetworkInput{
			ClientVpnEndpointId: new(string(id)), AssociationId: new(string(association)),
		})
		if awserr.Code(err) == associationNotFound {
			return nil
		}
		return err
	})
}

// CreateRoute implements latch.VPN. It leaves the ClientToken to the SDK, a new one for each call that covers the
// SDK's own retries. A token computed from the route would come again after the next opening, when the route is lost,
// and EC2 may answer it with yesterday's success. Between calls, destination and subnet are the key: EC2 refuses the
// second, and that is success.
func (v *VPN) CreateRoute(ctx context.Context, id latch.EndpointID, r latch.Route) error {
	in := &ec2.CreateClientVpnRouteInput{
		ClientVpnEndpointId: new(string(id)), DestinationCidrBlock: new(r.Destination), TargetVpcSubnetId: new(string(r.Subnet)),
	}
	if r.Description != "" {
		in.Description = new(r.Description)
	}
	return v.do(ctx, fmt.Sprintf("create route %s over %s", r.Destination, r.Subnet), func(ctx context.Context) error {
		_, err := v.client.createRoute(ctx, in)
		if isDuplicateRoute(awserr.Code(err)) {
			return nil
		}
		return err
	})
}

// ApplyGroups implements latch.VPN. EC2 has no token for it, and needs none: the set replaces whatever is there.
func (v *VPN) ApplyGroups(ctx context.Context, id latch.EndpointID, vpc latch.VPCID, groups []latch.GroupID) error {
	in := &ec2.ApplySecurityGroupsToClientVpnTargetNetworkInput{ClientVpnEndpointId: new(string(id)), VpcId: new(string(vpc))}
	for _, g := range groups {
		in.SecurityGroupIds = append(in.SecurityGroupIds, string(g))
	}
	return v.do(ctx, "apply security groups", func(ctx context.Context) error {
		_, err := v.client.applyGroups(ctx, in)
		return err
	})
}

// do is the frame of every method: its patience, its translated error, its line in the log.
func (v *VPN) do(ctx context.Context, what string, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	began := time.Now()
	err := call(ctx)
	if !errors.Is(err, latch.ErrNotReady) { // our own finding, no answer of EC2's
		err = service.Translate(err)
	}
	v.log.DebugContext(ctx, "ec2", "what", what, "took", time.Since(began), "err", err)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
