package ec2

import (
	"net/netip"
	"slices"
	"time"
)

// routesPerAssociation is the quota of routes ("AWS Client VPN quotas", Administrator Guide).
const routesPerAssociation = 100

type routeResult struct {
	reply
	Status statusXML `xml:"status"`
}

// through reads a route's target. At a transit gateway a route has none, or "local".
func (e *endpoint) through(p params) (string, *fault) {
	subnet := p["TargetVpcSubnetId"]
	if e.TransitGateway != nil && subnet != "" && subnet != local {
		return "", refuse("InvalidParameterCombination", "Endpoint %s is at a transit gateway: its routes have no TargetVpcSubnetId", e.ID)
	}
	return subnet, nil
}

func (s *Server) createRoute(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	subnet, f := e.through(p)
	if f != nil {
		return nil, f
	}
	if subnet == "" && e.TransitGateway == nil {
		return nil, refuse("MissingParameter", "The request must contain the parameter TargetVpcSubnetId")
	}
	destination, f := destination(p)
	if f != nil {
		return nil, f
	}
	if token := p["ClientToken"]; token != "" {
		for _, other := range s.state.Endpoints {
			for _, r := range other.Routes {
				if r.Token != token || !r.Gone.IsZero() {
					continue
				}
				if other != e || r.Subnet != subnet || r.Destination != destination || r.Description != p["Description"] {
					return nil, refuse("IdempotentParameterMismatch", "The client token was used with other parameters before.")
				}
				return &routeResult{Status: statusXML{Code: r.status(now)}}, nil
			}
		}
	}
	early := s.cfg.Unconfirmed.RoutesWhileAssociating && e.target(subnet, now) != nil
	if !e.hasAssociated(now) && !early {
		return nil, refuse("InvalidClientVpnActiveAssociationNotFound", "Endpoint %s has no active association; a route needs one", e.ID)
	}
	ready := now
	if subnet != local && e.TransitGateway == nil {
		a := e.target(subnet, now)
		if a == nil {
			return nil, refuse("InvalidClientVpnSubnetId.NotFound", "Subnet %s is not a target network of endpoint %s", subnet, e.ID)
		}
		if a.Ready.After(ready) { // nothing flows before the association is there
			ready = a.Ready
		}
		// The automatic route of an association that is still to come is taken as well.
		if destination == e.vpcCIDR(e.Settings.VpcID) {
			return nil, refuse("InvalidClientVpnDuplicateRoute", "Route already exists")
		}
	}
	through := 0
	for _, r := range e.routes(now) {
		if r.Subnet != subnet {
			continue
		}
		through++
		if r.Destination == destination {
			return nil, refuse("InvalidClientVpnDuplicateRoute", "Route already exists")
		}
	}
	if through >= routesPerAssociation {
		return nil, refuse("ClientVpnRouteLimitExceeded", "Endpoint %s has reached the limit of %d routes through %s", e.ID, routesPerAssociation, subnet)
	}
	if f := s.crowded(e, true, now); f != nil {
		return nil, f
	}
	e.Routes = append(e.Routes, &route{Destination: destination, Subnet: subnet, Description: p["Description"],
		Token: p["ClientToken"], Active: ready.Add(s.cfg.RouteTakes)})
	return &routeResult{Status: statusXML{Code: "creating"}}, nil
}

func destination(p params) (string, *fault) {
	given := p["DestinationCidrBlock"]
	cidr, err := netip.ParsePrefix(given)
	if err != nil || !cidr.Addr().Is4() || cidr != cidr.Masked() {
		return "", refuse("InvalidParameterValue", "Value (%s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", given)
	}
	return given, nil
}

// deleteRoute deletes a route that was made by hand. Without a subnet, which the model does not require, the destination
// has to say which one is meant.
func (s *Server) deleteRoute(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	subnet, f := e.through(p)
	if f != nil {
		return nil, f
	}
	destination, f := destination(p)
	if f != nil {
		return nil, f
	}
	found := slices.DeleteFunc(e.routes(now), func(r routeView) bool {
		return r.Destination != destination || r.Subnet != subnet && (subnet != "" || e.TransitGateway != nil)
	})
	unknown := refuse("InvalidClientVpnRouteNotFound", "Route %s does not exist at endpoint %s", destination, e.ID)
	if len(found) == 0 {
		return nil, unknown
	}
	// A subnet that is associated again while it leaves has its automatic route twice.
	if slices.ContainsFunc(found, func(r routeView) bool { return r.Subnet != found[0].Subnet }) {
		return nil, refuse("MissingParameter", "The request must contain the parameter TargetVpcSubnetId: several routes lead to %s", destination)
	}
	if found[0].Origin == "associate" {
		if s.cfg.Unconfirmed.DefaultRouteNotFound {
			return nil, unknown
		}
		return nil, refuse("OperationNotPermitted", "You cannot delete routes that were automatically added when associating a subnet. To remove routes that have been automatically added, disassociate the target subnet from the Client VPN endpoint.")
	}
	for _, r := range e.Routes {
		if r.Destination != destination || r.Subnet != found[0].Subnet || !r.Gone.IsZero() {
			continue // one that is going already goes in its own time
		}
		if f := s.crowded(e, true, now); f != nil && r.status(now) == "active" {
			return nil, f
		}
		r.Deleted, r.Gone = true, now.Add(s.cfg.RouteTakes)
	}
	return &routeResult{Status: statusXML{Code: "deleting"}}, nil
}

type routeXML struct {
	EndpointID   string    `xml:"clientVpnEndpointId"`
	Destination  string    `xml:"destinationCidr"`
	Subnet       string    `xml:"targetSubnet,omitempty"`
	Type         string    `xml:"type,omitempty"`
	Origin       string    `xml:"origin"`
	Status       statusXML `xml:"status"`
	Description  string    `xml:"description,omitempty"`
	AttachmentID string    `xml:"transitGatewayAttachmentId,omitempty"`
}

func (v routeXML) field(name string) []string {
	switch name {
	case "destination-cidr":
		return []string{v.Destination}
	case "origin":
		return []string{v.Origin}
	case "target-subnet":
		return []string{v.Subnet}
	}
	return nil
}

func (s *Server) describeRoutes(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	var views []routeXML
	for _, r := range e.routes(now) {
		v := routeXML{EndpointID: e.ID, Destination: r.Destination, Subnet: r.Subnet, Type: "Nat", Origin: r.Origin,
			Status: statusXML{Code: r.Status}, Description: r.Description}
		if e.TransitGateway != nil {
			v.Type = "" // AWS's word for it is not known; nothing is translated there
			if r.Subnet == "" {
				v.AttachmentID = e.TransitGateway.AttachmentID
			}
		}
		views = append(views, v)
	}
	return describe(p, views, routeXML.field, func(page []routeXML, next string) result {
		return &struct {
			reply
			Items set[routeXML] `xml:"routes"`
			Next  string        `xml:"nextToken,omitempty"`
		}{Items: set[routeXML]{page}, Next: next}
	})
}

// ruleXML is an authorization rule. The group of a rule for everybody is there and empty, as in the API's examples.
type ruleXML struct {
	EndpointID  string    `xml:"clientVpnEndpointId"`
	Description string    `xml:"description,omitempty"`
	GroupID     string    `xml:"groupId"`
	AccessAll   bool      `xml:"accessAll"`
	Destination string    `xml:"destinationCidr"`
	Status      statusXML `xml:"status"`
}

func (v ruleXML) field(name string) []string {
	switch name {
	case "description":
		return []string{v.Description}
	case "destination-cidr":
		return []string{v.Destination}
	case "group-id":
		return []string{v.GroupID}
	}
	return nil
}

// describeRules shows the fixture's rules: they belong to the endpoint, and no association changes them.
func (s *Server) describeRules(p params, _ time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	var views []ruleXML
	for _, r := range e.AuthorizationRules {
		views = append(views, ruleXML{e.ID, r.Description, r.GroupID, r.GroupID == "", r.DestinationCIDR, statusXML{Code: "active"}})
	}
	return describe(p, views, ruleXML.field, func(page []ruleXML, next string) result {
		return &struct {
			reply
			Items set[ruleXML] `xml:"authorizationRule"`
			Next  string       `xml:"nextToken,omitempty"`
		}{Items: set[ruleXML]{page}, Next: next}
	})
}
