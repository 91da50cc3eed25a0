package ec2

import "github.com/nightlatch/nightlatch/internal/standin/switches"

// Unconfirmed holds the questions to which AWS's documents give no answer, or two. Zero values are the likelier or the
// more awkward answer; a client should do well under either.
type Unconfirmed struct {
	// AllRoutesLost: any disassociation deletes every manual route, as the guide's sentence can be read; otherwise only
	// those through its subnet, and those without one ("local", a transit gateway's) with the last association.
	AllRoutesLost bool
	// ConnectionsCut: a disassociation ends the connections through its subnet even while other networks remain.
	ConnectionsCut bool
	// RoutesWhileAssociating: CreateClientVpnRoute is accepted for a subnet whose association is still the first and
	// associating, as some scripts rely on, instead of InvalidClientVpnActiveAssociationNotFound.
	RoutesWhileAssociating bool
	// AssociationExists answers a second association of a subnet with ClientVpnEndpointAssociationExists. EC2's list of
	// errors has this code and InvalidClientVpnDuplicateAssociationException with the same meaning.
	AssociationExists bool
	// AssociateWhileLeaving: a subnet may be associated again while its last association is disassociating, instead of
	// being a duplicate until it is gone.
	AssociateWhileLeaving bool
	// TokensOutlive: a ClientToken goes on answering with its association after that is gone, instead of making a new one.
	TokensOutlive bool
	// SharedSubnets: a subnet that another account shares may be associated, as some people report, instead of
	// InvalidClientVpnSubnetId.DifferentAccount, which is in EC2's list of errors.
	SharedSubnets bool
	// GroupsForgotten: with the last association the endpoint forgets its VPC and its security groups, as if it had been
	// made without them; the next association brings the VPC's default group.
	GroupsForgotten bool
	// GroupsWhileClosed: ApplySecurityGroupsToClientVpnTargetNetwork is accepted while nothing is associated, because the
	// groups are the endpoint's, instead of InvalidClientVpnActiveAssociationNotFound.
	GroupsWhileClosed bool
	// RoutesAreFree: routes on their way are none of an endpoint's ten concurrent operations. The quota page of today
	// counts associations and security groups; an older one counted routes, and people met the limit with 21 of them.
	RoutesAreFree bool
	// OperationNotPermitted is the code for the eleventh concurrent operation that is not about a route, as
	// CreateClientVpnEndpoint has it; for routes ConcurrentMutationLimitExceeded is reported by many.
	OperationNotPermitted bool
	// DefaultRouteNotFound: DeleteClientVpnRoute does not know an automatic route at all, instead of OperationNotPermitted.
	DefaultRouteNotFound bool
	// EndpointsByTag: DescribeClientVpnEndpoints has the filters tag:<key> and tag-key, as some programs rely on. The
	// API Reference lists two others only.
	EndpointsByTag bool
	// NamesFederatedUsers reports Username and CommonName of federated users, and terminates by Username; the data type
	// promises them only for Active Directory and certificates.
	NamesFederatedUsers bool
	// AssociatingIsFree bills an association from associated on, instead of from the call.
	AssociatingIsFree bool
	// DisassociatingIsBilled bills an association until it is gone, instead of until the call that ended it.
	DisassociatingIsBilled bool
}

// Switches are Throttle and the unconfirmed facts, in the order in which a person would look for them.
func (s *Server) Switches() []switches.Switch {
	u := &s.cfg.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "Throttle", "Requests are limited to the rates that AWS documents.", &s.cfg.Throttle),
		switches.Bool(&s.mu, "AllRoutesLost", "Any disassociation deletes every manual route, not only those through its subnet.", &u.AllRoutesLost),
		switches.Bool(&s.mu, "ConnectionsCut", "A disassociation ends its subnet's connections even while other networks remain.", &u.ConnectionsCut),
		switches.Bool(&s.mu, "RoutesWhileAssociating", "A route may be made while the first association is still on its way.", &u.RoutesWhileAssociating),
		switches.Bool(&s.mu, "AssociationExists", "A second association of a subnet is refused as ClientVpnEndpointAssociationExists.", &u.AssociationExists),
		switches.Bool(&s.mu, "AssociateWhileLeaving", "A subnet may be associated again while it is still disassociating.", &u.AssociateWhileLeaving),
		switches.Bool(&s.mu, "TokensOutlive", "A client token answers with its old association after that is gone.", &u.TokensOutlive),
		switches.Bool(&s.mu, "SharedSubnets", "A subnet shared by another account may be associated.", &u.SharedSubnets),
		switches.Bool(&s.mu, "GroupsForgotten", "The endpoint forgets its VPC and security groups with its last association.", &u.GroupsForgotten),
		switches.Bool(&s.mu, "GroupsWhileClosed", "Security groups may be applied while nothing is associated.", &u.GroupsWhileClosed),
		switches.Bool(&s.mu, "RoutesAreFree", "Routes on their way do not count among ten concurrent operations.", &u.RoutesAreFree),
		switches.Bool(&s.mu, "OperationNotPermitted", "Too many concurrent associations are refused as OperationNotPermitted.", &u.OperationNotPermitted),
		switches.Bool(&s.mu, "DefaultRouteNotFound", "Deleting an automatic route is refused as InvalidClientVpnRouteNotFound.", &u.DefaultRouteNotFound),
		switches.Bool(&s.mu, "EndpointsByTag", "Endpoints may be filtered by their tags.", &u.EndpointsByTag),
		switches.Bool(&s.mu, "NamesFederatedUsers", "Connections name federated users, who may be terminated by name.", &u.NamesFederatedUsers),
		switches.Bool(&s.mu, "AssociatingIsFree", "An association is billed from associated on, not from the call.", &u.AssociatingIsFree),
		switches.Bool(&s.mu, "DisassociatingIsBilled", "An association is billed until it is gone, not until the call that ended it.", &u.DisassociatingIsBilled),
	}
}
