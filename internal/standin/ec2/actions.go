package ec2

import (
	"net/netip"
	"slices"
	"strconv"
	"time"
)

// action is one call: the parameters it knows, those it needs, and what it does while s.mu is held.
type action struct {
	params   map[string]kind
	required []string
	changes  bool // the state is to be saved
	run      func(*Server, params, time.Time) (result, *fault)
}

// actions are all that the stand-in knows, with their request parameters (EC2 API Reference). To add one, add it here.
var actions = map[string]action{
	"DescribeClientVpnEndpoints": {
		params: map[string]kind{"ClientVpnEndpointId": list, "Filter": filters, "MaxResults": count, "NextToken": text, "DryRun": boolean},
		run:    (*Server).describeEndpoints,
	},
	"DescribeClientVpnTargetNetworks": {
		params: map[string]kind{"ClientVpnEndpointId": text, "AssociationIds": list, "Filter": filters, "MaxResults": count,
			"NextToken": text, "DryRun": boolean},
		required: []string{"ClientVpnEndpointId"},
		run:      (*Server).describeTargetNetworks,
	},
	"DescribeClientVpnRoutes": {
		params:   map[string]kind{"ClientVpnEndpointId": text, "Filter": filters, "MaxResults": count, "NextToken": text, "DryRun": boolean},
		required: []string{"ClientVpnEndpointId"},
		run:      (*Server).describeRoutes,
	},
	"DescribeClientVpnConnections": {
		params:   map[string]kind{"ClientVpnEndpointId": text, "Filter": filters, "MaxResults": count, "NextToken": text, "DryRun": boolean},
		required: []string{"ClientVpnEndpointId"},
		run:      (*Server).describeConnections,
	},
	"AssociateClientVpnTargetNetwork": {
		params: map[string]kind{"ClientVpnEndpointId": text, "SubnetId": text, "ClientToken": text, "AvailabilityZone": text,
			"AvailabilityZoneId": text, "DryRun": boolean},
		required: []string{"ClientVpnEndpointId"},
		changes:  true,
		run:      (*Server).associate,
	},
	"DisassociateClientVpnTargetNetwork": {
		params:   map[string]kind{"ClientVpnEndpointId": text, "AssociationId": text, "DryRun": boolean},
		required: []string{"AssociationId", "ClientVpnEndpointId"},
		changes:  true,
		run:      (*Server).disassociate,
	},
	"CreateClientVpnRoute": {
		params: map[string]kind{"ClientVpnEndpointId": text, "DestinationCidrBlock": text, "TargetVpcSubnetId": text,
			"Description": text, "ClientToken": text, "DryRun": boolean},
		required: []string{"ClientVpnEndpointId", "DestinationCidrBlock"},
		changes:  true,
		run:      (*Server).createRoute,
	},
}

// routesPerAssociation is the quota of routes ("AWS Client VPN quotas", Administrator Guide).
const routesPerAssociation = 100

type statusXML struct {
	Code    string `xml:"code"`
	Message string `xml:"message,omitempty"`
}

func (s *Server) endpoint(id string) (*endpoint, *fault) {
	for _, e := range s.state.Endpoints {
		if e.ID == id {
			return e, nil
		}
	}
	return nil, refuse("InvalidClientVpnEndpointId.NotFound", "Endpoint %s does not exist", id)
}

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
	if p["AvailabilityZone"] != "" || p["AvailabilityZoneId"] != "" {
		return nil, refuse("InvalidParameterCombination", "AvailabilityZone and AvailabilityZoneId are for endpoints with a transit gateway; %s is in a VPC. Give a SubnetId.", e.ID)
	}
	id := p["SubnetId"]
	if id == "" {
		return nil, refuse("MissingParameter", "The request must contain the parameter SubnetId")
	}
	// A token belongs to the account, so it is looked for at every endpoint. It is free again when its association is
	// gone: whether AWS would then answer with the old one is not documented.
	if token := p["ClientToken"]; token != "" {
		for _, other := range s.state.Endpoints {
			for _, a := range other.reported(now) {
				if a.Token != token {
					continue
				}
				if other != e || a.Subnet != id {
					return nil, refuse("IdempotentParameterMismatch", "The client token was used with other parameters before.")
				}
				return newAssociationResult(a, now), nil
			}
		}
	}
	at := slices.IndexFunc(e.Subnets, func(sub Subnet) bool { return sub.ID == id && sub.VpcID == e.VpcID })
	if at < 0 {
		return nil, refuse("InvalidClientVpnSubnetId.NotFound", "Subnet %s does not exist in %s, the VPC of endpoint %s", id, e.VpcID, e.ID)
	}
	subnet := e.Subnets[at]
	if overlap(subnet.CIDR, e.ClientCIDR) {
		return nil, refuse("InvalidClientVpnSubnetId.OverlappingCidr", "The CIDR %s of %s overlaps with the client CIDR %s", subnet.CIDR, id, e.ClientCIDR)
	}
	for _, a := range e.reported(now) {
		if a.Subnet == id {
			code := "InvalidClientVpnDuplicateAssociationException"
			if s.cfg.Unconfirmed.AssociationExists {
				code = "ClientVpnEndpointAssociationExists"
			}
			state, _ := a.status(now)
			return nil, refuse(code, "Subnet %s is already associated with endpoint %s: %s is %s", id, e.ID, a.ID, state)
		}
	}
	for _, a := range e.reported(now) {
		i := slices.IndexFunc(e.Subnets, func(sub Subnet) bool { return sub.ID == a.Subnet })
		if i >= 0 && e.Subnets[i].AvailabilityZone == subnet.AvailabilityZone {
			return nil, refuse("InvalidClientVpnSubnetId.DuplicateAz", "Subnet %s of Availability Zone %s is already associated with endpoint %s", a.Subnet, subnet.AvailabilityZone, e.ID)
		}
	}
	a := &association{ID: newID("cvpn-assoc"), Subnet: id, Token: p["ClientToken"], Since: now, Ready: now.Add(s.cfg.AssociateTakes)}
	a.RouteActive = a.Ready.Add(s.cfg.RouteTakes)
	if s.fail > 0 {
		s.fail--
		a.Failure = "The association failed because of an internal error in Availability Zone " + subnet.AvailabilityZone + ". Disassociate it and try again."
	}
	e.Associations = append(e.Associations, a)
	// AWS answers with "associating" even where it is quick.
	return &associationResult{AssociationID: a.ID, Status: statusXML{Code: "associating"}}, nil
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
			e.disassociate(a, now, s.cfg.DisassociateTakes, s.cfg.Unconfirmed)
		}
		return &associationResult{AssociationID: a.ID, Status: statusXML{Code: "disassociating"}}, nil
	}
	return nil, refuse("InvalidClientVpnAssociationIdNotFound", "Association %s does not exist at endpoint %s", p["AssociationId"], e.ID)
}

type routeResult struct {
	reply
	Status statusXML `xml:"status"`
}

func (s *Server) createRoute(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	subnet, destination := p["TargetVpcSubnetId"], p["DestinationCidrBlock"]
	if subnet == "" {
		return nil, refuse("MissingParameter", "The request must contain the parameter TargetVpcSubnetId")
	}
	cidr, err := netip.ParsePrefix(destination)
	if err != nil || !cidr.Addr().Is4() || cidr != cidr.Masked() {
		return nil, refuse("InvalidParameterValue", "Value (%s) for parameter destinationCidrBlock is invalid. This is not a valid CIDR block.", destination)
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
	if subnet != local {
		a := e.target(subnet, now)
		if a == nil {
			return nil, refuse("InvalidClientVpnSubnetId.NotFound", "Subnet %s is not a target network of endpoint %s", subnet, e.ID)
		}
		if a.Ready.After(ready) { // nothing flows before the association is there
			ready = a.Ready
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
	// The automatic route of an association that is still to come is taken as well.
	if subnet != local && destination == e.VpcCIDR {
		return nil, refuse("InvalidClientVpnDuplicateRoute", "Route already exists")
	}
	if through >= routesPerAssociation {
		return nil, refuse("ClientVpnRouteLimitExceeded", "Endpoint %s has reached the limit of %d routes through %s", e.ID, routesPerAssociation, subnet)
	}
	e.Routes = append(e.Routes, &route{Destination: destination, Subnet: subnet, Description: p["Description"],
		Token: p["ClientToken"], Active: ready.Add(s.cfg.RouteTakes)})
	return &routeResult{Status: statusXML{Code: "creating"}}, nil
}

type associatedXML struct {
	ID   string `xml:"networkId"`
	Type string `xml:"networkType"`
}

type authenticationXML struct {
	Type         string `xml:"type"`
	SAMLProvider string `xml:"federatedAuthentication>samlProviderArn"`
}

type endpointXML struct {
	ID             string                 `xml:"clientVpnEndpointId"`
	Description    string                 `xml:"description,omitempty"`
	Status         statusXML              `xml:"status"`
	CreationTime   string                 `xml:"creationTime"`
	DNSName        string                 `xml:"dnsName"`
	ClientCIDR     string                 `xml:"clientCidrBlock"`
	DNSServers     set[string]            `xml:"dnsServer"`
	SplitTunnel    bool                   `xml:"splitTunnel"`
	VPNProtocol    string                 `xml:"vpnProtocol"`
	Transport      string                 `xml:"transportProtocol"`
	VPNPort        int                    `xml:"vpnPort"`
	TargetNetworks set[associatedXML]     `xml:"associatedTargetNetwork"`
	CertificateARN string                 `xml:"serverCertificateArn"`
	Authentication set[authenticationXML] `xml:"authenticationOptions"`
	LogEnabled     bool                   `xml:"connectionLogOptions>Enabled"` // capital in EC2's model too
	Tags           set[struct{}]          `xml:"tagSet"`
	SecurityGroups set[string]            `xml:"securityGroupIdSet"`
	VpcID          string                 `xml:"vpcId"`
	PortalURL      string                 `xml:"selfServicePortalUrl"`
	ConnectOptions struct {
		Enabled bool   `xml:"enabled"`
		Status  string `xml:"status>code"`
	} `xml:"clientConnectOptions"`
	SessionHours int    `xml:"sessionTimeoutHours"`
	Banner       bool   `xml:"clientLoginBannerOptions>enabled"`
	Enforced     bool   `xml:"clientRouteEnforcementOptions>enforced"`
	Disconnect   bool   `xml:"disconnectOnSessionTimeout"`
	EndpointIPs  string `xml:"endpointIpAddressType"`
	TrafficIPs   string `xml:"trafficIpAddressType"`
}

func (s *Server) view(e *endpoint, now time.Time) endpointXML {
	v := endpointXML{
		ID:             e.ID,
		Description:    e.Description,
		Status:         statusXML{Code: e.status(now)},
		CreationTime:   e.Created.Format("2006-01-02T15:04:05"),
		DNSName:        "*." + e.ID + ".prod.clientvpn." + s.cfg.Region + ".amazonaws.com",
		ClientCIDR:     e.ClientCIDR,
		SplitTunnel:    true,
		VPNProtocol:    "openvpn",
		Transport:      "udp",
		VPNPort:        443,
		CertificateARN: e.ServerCertificateARN,
		SecurityGroups: set[string]{e.SecurityGroupIDs},
		VpcID:          e.VpcID,
		PortalURL:      "https://self-service.clientvpn.amazonaws.com/endpoints/" + e.ID,
		SessionHours:   24,
		Disconnect:     true,
		EndpointIPs:    "ipv4",
		TrafficIPs:     "ipv4",
	}
	v.ConnectOptions.Status = "applied"
	v.Authentication.Items = append(v.Authentication.Items, authenticationXML{"federated-authentication", e.SAMLProviderARN})
	for _, a := range e.reported(now) {
		if a.served(now) {
			v.TargetNetworks.Items = append(v.TargetNetworks.Items, associatedXML{a.Subnet, "vpc"})
		}
	}
	return v
}

func (s *Server) describeEndpoints(p params, now time.Time) (result, *fault) {
	all := s.state.Endpoints
	if ids := p.list("ClientVpnEndpointId"); len(ids) > 0 {
		all = nil
		for _, id := range ids {
			e, f := s.endpoint(id)
			if f != nil {
				return nil, f
			}
			if !slices.Contains(all, e) {
				all = append(all, e)
			}
		}
	}
	views := make([]endpointXML, len(all))
	for i, e := range all {
		views[i] = s.view(e, now)
	}
	return describe(p, views, map[string]func(endpointXML) string{
		"endpoint-id":        func(v endpointXML) string { return v.ID },
		"transport-protocol": func(v endpointXML) string { return v.Transport },
	}, func(page []endpointXML, next string) result {
		return &struct {
			reply
			Items set[endpointXML] `xml:"clientVpnEndpoint"`
			Next  string           `xml:"nextToken,omitempty"`
		}{Items: set[endpointXML]{page}, Next: next}
	})
}

// describe is what all describes end with: the filters, then one page.
func describe[T any](p params, items []T, of map[string]func(T) string, wrap func([]T, string) result) (result, *fault) {
	items, f := filter(p, items, of)
	if f != nil {
		return nil, f
	}
	items, next, f := page(p, items)
	if f != nil {
		return nil, f
	}
	return wrap(items, next), nil
}

type networkXML struct {
	AssociationID string      `xml:"associationId"`
	VpcID         string      `xml:"vpcId"`
	Subnet        string      `xml:"targetNetworkId"`
	EndpointID    string      `xml:"clientVpnEndpointId"`
	Status        statusXML   `xml:"status"`
	Groups        set[string] `xml:"securityGroups"`
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
		if len(ids) == 0 || slices.Contains(ids, a.ID) {
			code, message := a.status(now)
			views = append(views, networkXML{a.ID, e.VpcID, a.Subnet, e.ID, statusXML{code, message}, set[string]{e.SecurityGroupIDs}})
		}
	}
	return describe(p, views, map[string]func(networkXML) string{
		"association-id":    func(v networkXML) string { return v.AssociationID },
		"target-network-id": func(v networkXML) string { return v.Subnet },
		"vpc-id":            func(v networkXML) string { return v.VpcID },
	}, func(page []networkXML, next string) result {
		return &struct {
			reply
			Items set[networkXML] `xml:"clientVpnTargetNetworks"`
			Next  string          `xml:"nextToken,omitempty"`
		}{Items: set[networkXML]{page}, Next: next}
	})
}

type routeXML struct {
	EndpointID  string    `xml:"clientVpnEndpointId"`
	Destination string    `xml:"destinationCidr"`
	Subnet      string    `xml:"targetSubnet"`
	Type        string    `xml:"type"`
	Origin      string    `xml:"origin"`
	Status      statusXML `xml:"status"`
	Description string    `xml:"description,omitempty"`
}

func (s *Server) describeRoutes(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	var views []routeXML
	for _, r := range e.routes(now) {
		views = append(views, routeXML{e.ID, r.Destination, r.Subnet, "Nat", r.Origin, statusXML{Code: r.Status}, r.Description})
	}
	return describe(p, views, map[string]func(routeXML) string{
		"destination-cidr": func(v routeXML) string { return v.Destination },
		"origin":           func(v routeXML) string { return v.Origin },
		"target-subnet":    func(v routeXML) string { return v.Subnet },
	}, func(page []routeXML, next string) result {
		return &struct {
			reply
			Items set[routeXML] `xml:"routes"`
			Next  string        `xml:"nextToken,omitempty"`
		}{Items: set[routeXML]{page}, Next: next}
	})
}

// connectionXML has strings where one would expect numbers and times: so has EC2.
type connectionXML struct {
	EndpointID     string      `xml:"clientVpnEndpointId"`
	Timestamp      string      `xml:"timestamp"`
	ID             string      `xml:"connectionId"`
	Username       string      `xml:"username,omitempty"`
	Established    string      `xml:"connectionEstablishedTime"`
	IngressBytes   string      `xml:"ingressBytes"`
	EgressBytes    string      `xml:"egressBytes"`
	IngressPackets string      `xml:"ingressPackets"`
	EgressPackets  string      `xml:"egressPackets"`
	ClientIP       string      `xml:"clientIp"`
	CommonName     string      `xml:"commonName,omitempty"`
	Status         statusXML   `xml:"status"`
	Ended          string      `xml:"connectionEndTime,omitempty"`
	Postures       set[string] `xml:"postureComplianceStatusSet"`
}

func (s *Server) describeConnections(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	const stamp = "2006-01-02 15:04:05" // UTC, as in the API Reference's example
	packets := func(bytes uint64) string { return strconv.FormatUint((bytes+1399)/1400, 10) }
	var views []connectionXML
	for _, c := range e.Connections {
		v := connectionXML{
			EndpointID:     e.ID,
			Timestamp:      now.Format(stamp),
			ID:             c.ID,
			Established:    c.Since.Format(stamp),
			IngressBytes:   strconv.FormatUint(c.Ingress, 10),
			EgressBytes:    strconv.FormatUint(c.Egress, 10),
			IngressPackets: packets(c.Ingress),
			EgressPackets:  packets(c.Egress),
			ClientIP:       c.ClientIP,
			Status:         statusXML{Code: "active"},
		}
		if !c.active() {
			v.Status.Code = "terminated"
			v.Ended = c.Ended.Format(stamp)
			v.Timestamp = v.Ended
		}
		if s.cfg.Unconfirmed.NamesFederatedUsers {
			v.Username, v.CommonName = c.User, c.User
		}
		views = append(views, v)
	}
	return describe(p, views, map[string]func(connectionXML) string{
		"connection-id": func(v connectionXML) string { return v.ID },
		"username":      func(v connectionXML) string { return v.Username },
	}, func(page []connectionXML, next string) result {
		return &struct {
			reply
			Items set[connectionXML] `xml:"connections"`
			Next  string             `xml:"nextToken,omitempty"`
		}{Items: set[connectionXML]{page}, Next: next}
	})
}
