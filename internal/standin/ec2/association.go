package ec2

import (
	"net/netip"
	"slices"
	"time"
)

type associationResult struct {
	reply
	AssociationID string    `xml:"associationId"`
	Status        statusXML `xml:"status"`
}

func newAssociationResult(a *association, now time.Time) *associationResult {
	code, message := a.status(now)
	return &associationResult{AssociationID: a.ID, Status: statusXML{code, message}}
}

func (s *Server) associate(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	subnet, zone, f := e.asked(p)
	if f != nil {
		return nil, f
	}
	a := &association{ID: newID("cvpn-assoc"), Subnet: subnet, Zone: zone, Token: p["ClientToken"], Since: now, Ready: now.Add(s.cfg.AssociateTakes)}
	a.RouteActive = a.Ready.Add(s.cfg.RouteTakes)
	if before, f := s.sameToken(e, a, now); before != nil || f != nil {
		return before, f
	}
	if e.status(now) == "pending" {
		return nil, refuse("IncorrectState", "Endpoint %s is pending: the attachment of its transit gateway %s has not been accepted", e.ID, e.TransitGateway.ID)
	}
	if e.TransitGateway == nil {
		sub, f := s.associable(e, subnet)
		if f != nil {
			return nil, f
		}
		zone = Zone{sub.AvailabilityZone, sub.AvailabilityZoneID}
		a.Destination = e.vpcCIDR(sub.VpcID)
	}
	for _, o := range e.reported(now) {
		if s.cfg.Unconfirmed.AssociateWhileLeaving && o.is(now, "disassociating") {
			continue
		}
		if o.target() == a.target() {
			code := "InvalidClientVpnDuplicateAssociationException"
			if s.cfg.Unconfirmed.AssociationExists {
				code = "ClientVpnEndpointAssociationExists"
			}
			state, _ := o.status(now)
			return nil, refuse(code, "%s is already associated with endpoint %s: %s is %s", a.target(), e.ID, o.ID, state)
		}
	}
	for _, o := range e.reported(now) {
		if taken, ok := e.subnet(o.Subnet); ok && taken.AvailabilityZone == zone.Name && !(s.cfg.Unconfirmed.AssociateWhileLeaving && o.is(now, "disassociating")) {
			return nil, refuse("InvalidClientVpnSubnetId.DuplicateAz", "Subnet %s of Availability Zone %s is already associated with endpoint %s", o.Subnet, zone.Name, e.ID)
		}
	}
	if f := s.crowded(e, false, now); f != nil {
		return nil, f
	}
	if s.fail > 0 {
		s.fail--
		a.Failure = "The association failed because of an internal error in Availability Zone " + zone.Name + ". Disassociate it and try again."
	}
	if sub, ok := e.subnet(subnet); ok && e.Settings.VpcID == "" {
		e.Settings.VpcID, e.Settings.Groups = sub.VpcID, []string{s.state.defaultGroup(sub.VpcID)}
	}
	e.Associations = append(e.Associations, a)
	// AWS answers with "associating" even where it is quick.
	return &associationResult{AssociationID: a.ID, Status: statusXML{Code: "associating"}}, nil
}

// asked is what an Associate wants: a subnet at an endpoint in a VPC, a zone at one with a transit gateway, by either of
// its names but not by both.
func (e *endpoint) asked(p params) (subnet string, zone Zone, f *fault) {
	subnet, name, id := p["SubnetId"], p["AvailabilityZone"], p["AvailabilityZoneId"]
	switch {
	case e.TransitGateway == nil && (name != "" || id != ""):
		return "", zone, refuse("InvalidParameterCombination", "AvailabilityZone and AvailabilityZoneId are for endpoints with a transit gateway; %s is in a VPC. Give a SubnetId.", e.ID)
	case e.TransitGateway == nil && subnet == "":
		return "", zone, refuse("MissingParameter", "The request must contain the parameter SubnetId")
	case e.TransitGateway == nil:
		return subnet, zone, nil
	case subnet != "":
		return "", zone, refuse("InvalidParameterCombination", "SubnetId is for endpoints in a VPC; %s is at a transit gateway. Give an AvailabilityZone.", e.ID)
	case name != "" && id != "":
		return "", zone, refuse("InvalidParameterCombination", "AvailabilityZone and AvailabilityZoneId cannot be specified together")
	case name == "" && id == "":
		return "", zone, refuse("MissingParameter", "The request must contain the parameter AvailabilityZone or AvailabilityZoneId")
	}
	for _, z := range e.TransitGateway.Zones {
		if name != "" && z.Name == name || id != "" && z.ID == id {
			return "", z, nil
		}
	}
	return "", zone, refuse("InvalidParameterValue", "AZ %s is not currently supported", name+id)
}

// sameToken finds what the request's client token made before. A token belongs to the account, so it is looked for at
// every endpoint.
func (s *Server) sameToken(e *endpoint, asked *association, now time.Time) (result, *fault) {
	if asked.Token == "" {
		return nil, nil
	}
	for _, other := range s.state.Endpoints {
		for _, a := range other.Associations {
			if a.Token != asked.Token || !a.exists(now) && !s.cfg.Unconfirmed.TokensOutlive {
				continue
			}
			if other != e || a.target() != asked.target() {
				return nil, refuse("IdempotentParameterMismatch", "The client token was used with other parameters before.")
			}
			return newAssociationResult(a, now), nil
		}
	}
	return nil, nil
}

// associable finds a subnet that may become e's target network ("Target network requirements", Administrator Guide).
func (s *Server) associable(e *endpoint, id string) (Subnet, *fault) {
	sub, ok := e.subnet(id)
	if !ok || e.Settings.VpcID != "" && sub.VpcID != e.Settings.VpcID {
		return sub, refuse("InvalidClientVpnSubnetId.NotFound", "Subnet %s does not exist in %s, the VPC of endpoint %s", id, e.Settings.VpcID, e.ID)
	}
	if sub.OwnerID != s.cfg.AccountID && !s.cfg.Unconfirmed.SharedSubnets {
		return sub, refuse("InvalidClientVpnSubnetId.DifferentAccount", "Subnet %s belongs to account %s", id, sub.OwnerID)
	}
	cidr, err := netip.ParsePrefix(sub.CIDR)
	if err != nil || cidr.Bits() > 27 {
		return sub, refuse("InvalidParameterValue", "Subnet %s with the CIDR %s is too small: a target network needs at least a /27", id, sub.CIDR)
	}
	if overlap(sub.CIDR, e.ClientCIDR) {
		return sub, refuse("InvalidClientVpnSubnetId.OverlappingCidr", "The CIDR %s of %s overlaps with the client CIDR %s", sub.CIDR, id, e.ClientCIDR)
	}
	return sub, nil
}

func (e *endpoint) subnet(id string) (Subnet, bool) {
	i := slices.IndexFunc(e.Subnets, func(sub Subnet) bool { return sub.ID == id })
	if i < 0 {
		return Subnet{}, false
	}
	return e.Subnets[i], true
}

func overlap(a, b string) bool {
	pa, errA := netip.ParsePrefix(a)
	pb, errB := netip.ParsePrefix(b)
	return errA == nil && errB == nil && pa.Overlaps(pb)
}

func (s *Server) disassociate(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	for _, a := range e.reported(now) {
		if a.ID != p["AssociationId"] {
			continue
		}
		if a.Requested.IsZero() { // a second call while it is going changes nothing and is no error
			// Ending one that is on its way is no change more.
			if f := s.crowded(e, false, now); f != nil && !a.is(now, "associating") {
				return nil, f
			}
			e.disassociate(a, now, s.cfg.DisassociateTakes, s.cfg.Unconfirmed)
		}
		return &associationResult{AssociationID: a.ID, Status: statusXML{Code: "disassociating"}}, nil
	}
	return nil, refuse("InvalidClientVpnAssociationIdNotFound", "Association %s does not exist at endpoint %s", p["AssociationId"], e.ID)
}

type networkXML struct {
	AssociationID string       `xml:"associationId"`
	VpcID         string       `xml:"vpcId,omitempty"`
	Subnet        string       `xml:"targetNetworkId,omitempty"` // none at a transit gateway: the data type knows subnets only
	EndpointID    string       `xml:"clientVpnEndpointId"`
	Status        statusXML    `xml:"status"`
	Groups        set[string]  `xml:"securityGroups"`
	Zones         *set[string] `xml:"availabilityZoneSet"` // "if the endpoint uses a transit gateway"
	ZoneIDs       *set[string] `xml:"availabilityZoneIdSet"`
}

func (v networkXML) field(name string) []string {
	switch name {
	case "association-id":
		return []string{v.AssociationID}
	case "target-network-id":
		return []string{v.Subnet}
	case "vpc-id":
		return []string{v.VpcID}
	}
	return nil
}

func (s *Server) describeTargetNetworks(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	associations := e.reported(now)
	ids := p.list("AssociationIds")
	for _, id := range ids {
		if !slices.ContainsFunc(associations, func(a *association) bool { return a.ID == id }) {
			return nil, refuse("InvalidClientVpnAssociationIdNotFound", "Association %s does not exist at endpoint %s", id, e.ID)
		}
	}
	var views []networkXML
	for _, a := range associations {
		if len(ids) > 0 && !slices.Contains(ids, a.ID) {
			continue
		}
		code, message := a.status(now)
		v := networkXML{AssociationID: a.ID, VpcID: e.Settings.VpcID, Subnet: a.Subnet, EndpointID: e.ID,
			Status: statusXML{code, message}, Groups: set[string]{e.Settings.Groups}}
		if e.TransitGateway != nil {
			v.Zones, v.ZoneIDs = &set[string]{[]string{a.Zone.Name}}, &set[string]{[]string{a.Zone.ID}}
		}
		views = append(views, v)
	}
	return describe(p, views, networkXML.field, func(page []networkXML, next string) result {
		return &struct {
			reply
			Items set[networkXML] `xml:"clientVpnTargetNetworks"`
			Next  string          `xml:"nextToken,omitempty"`
		}{Items: set[networkXML]{page}, Next: next}
	})
}

// applyGroups replaces the groups of all of e's associations: the call names none of them.
func (s *Server) applyGroups(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	vpc, groups := p["VpcId"], p.list("SecurityGroupId")
	if f := s.applicable(e, vpc, groups); f != nil {
		return nil, f
	}
	if len(e.reported(now)) == 0 && !s.cfg.Unconfirmed.GroupsWhileClosed {
		return nil, refuse("InvalidClientVpnActiveAssociationNotFound", "Endpoint %s has no association to which security groups could be applied", e.ID)
	}
	if vpc != e.Settings.VpcID {
		return nil, refuse("InvalidParameterValue", "Endpoint %s is in %s, not in %s", e.ID, e.Settings.VpcID, vpc)
	}
	if f := s.crowded(e, false, now); f != nil {
		return nil, f
	}
	e.Settings.Groups = groups
	return &struct {
		reply
		Groups set[string] `xml:"securityGroupIds"`
	}{Groups: set[string]{groups}}, nil
}

// maxGroups is how many security groups an endpoint has at most.
const maxGroups = 5

// applicable refuses groups that cannot be e's in vpc.
func (s *Server) applicable(e *endpoint, vpc string, groups []string) *fault {
	if e.TransitGateway != nil {
		return refuse("InvalidParameterCombination", "Endpoint %s is at a transit gateway: it has no VPC and no security groups", e.ID)
	}
	if !s.state.hasVpc(vpc) {
		return refuse("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", vpc)
	}
	if len(groups) > maxGroups {
		return refuse("InvalidParameterValue", "At most %d security groups can be applied to endpoint %s; the request has %d", maxGroups, e.ID, len(groups))
	}
	for i, id := range groups {
		g, ok := s.state.group(id)
		// "You can't specify a security group that is in a different VPC": the same code (EC2's list of errors).
		if !ok || g.VpcID != vpc {
			return refuse("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, vpc)
		}
		if slices.Contains(groups[:i], id) {
			return refuse("InvalidParameterValue", "The security group '%s' is given twice", id)
		}
	}
	return nil
}
