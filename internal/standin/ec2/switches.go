package ec2

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

// Switch is one of the stand-in's answers that somebody may change while it runs: an unconfirmed fact, or Throttle. What
// is set lasts until the program ends.
type Switch struct {
	Name, About string // About says what on means, in one sentence
	On          func() bool
	Set         func(bool)
}

// Switches are all of them, in the order in which a person would look for them.
func (s *Server) Switches() []Switch {
	u := &s.cfg.Unconfirmed
	return []Switch{
		s.newSwitch("Throttle", "Requests are limited to the rates that AWS documents.", &s.cfg.Throttle),
		s.newSwitch("AllRoutesLost", "Any disassociation deletes every manual route, not only those through its subnet.", &u.AllRoutesLost),
		s.newSwitch("ConnectionsCut", "A disassociation ends its subnet's connections even while other networks remain.", &u.ConnectionsCut),
		s.newSwitch("RoutesWhileAssociating", "A route may be made while the first association is still on its way.", &u.RoutesWhileAssociating),
		s.newSwitch("AssociationExists", "A second association of a subnet is refused as ClientVpnEndpointAssociationExists.", &u.AssociationExists),
		s.newSwitch("AssociateWhileLeaving", "A subnet may be associated again while it is still disassociating.", &u.AssociateWhileLeaving),
		s.newSwitch("TokensOutlive", "A client token answers with its old association after that is gone.", &u.TokensOutlive),
		s.newSwitch("SharedSubnets", "A subnet shared by another account may be associated.", &u.SharedSubnets),
		s.newSwitch("GroupsForgotten", "The endpoint forgets its VPC and security groups with its last association.", &u.GroupsForgotten),
		s.newSwitch("GroupsWhileClosed", "Security groups may be applied while nothing is associated.", &u.GroupsWhileClosed),
		s.newSwitch("RoutesAreFree", "Routes on their way do not count among ten concurrent operations.", &u.RoutesAreFree),
		s.newSwitch("OperationNotPermitted", "Too many concurrent associations are refused as OperationNotPermitted.", &u.OperationNotPermitted),
		s.newSwitch("DefaultRouteNotFound", "Deleting an automatic route is refused as InvalidClientVpnRouteNotFound.", &u.DefaultRouteNotFound),
		s.newSwitch("EndpointsByTag", "Endpoints may be filtered by their tags.", &u.EndpointsByTag),
		s.newSwitch("NamesFederatedUsers", "Connections name federated users, who may be terminated by name.", &u.NamesFederatedUsers),
		s.newSwitch("AssociatingIsFree", "An association is billed from associated on, not from the call.", &u.AssociatingIsFree),
		s.newSwitch("DisassociatingIsBilled", "An association is billed until it is gone, not until the call that ended it.", &u.DisassociatingIsBilled),
	}
}

// newSwitch flips value, which belongs to s.cfg and is guarded by s.mu from New on.
func (s *Server) newSwitch(name, about string, value *bool) Switch {
	return Switch{Name: name, About: about,
		On: func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return *value
		},
		Set: func(on bool) {
			s.mu.Lock()
			defer s.mu.Unlock()
			*value = on
		}}
}
