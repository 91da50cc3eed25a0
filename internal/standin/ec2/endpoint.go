package ec2

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

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

type associatedXML struct {
	ID   string `xml:"networkId"`
	Type string `xml:"networkType"`
}

type authenticationXML struct {
	Type         string `xml:"type"`
	SAMLProvider string `xml:"federatedAuthentication>samlProviderArn"`
}

type gatewayXML struct {
	ID           string      `xml:"transitGatewayId"`
	AttachmentID string      `xml:"transitGatewayAttachmentId"`
	Zones        set[string] `xml:"availabilityZoneSet"`
	ZoneIDs      set[string] `xml:"availabilityZoneIdSet"`
}

// endpointXML spells its names as the service model does, capitals in the middle of it included.
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
	Log            struct {
		Enabled bool   `xml:"Enabled"`
		Group   string `xml:"CloudwatchLogGroup,omitempty"`
		Stream  string `xml:"CloudwatchLogStream,omitempty"`
	} `xml:"connectionLogOptions"`
	Tags           set[tagXML] `xml:"tagSet"`
	SecurityGroups set[string] `xml:"securityGroupIdSet"`
	VpcID          string      `xml:"vpcId,omitempty"`
	PortalURL      string      `xml:"selfServicePortalUrl,omitempty"`
	ConnectOptions struct {
		Enabled   bool   `xml:"enabled"`
		LambdaARN string `xml:"lambdaFunctionArn,omitempty"`
		Status    string `xml:"status>code"`
	} `xml:"clientConnectOptions"`
	SessionHours int `xml:"sessionTimeoutHours"`
	Banner       struct {
		Enabled bool   `xml:"enabled"`
		Text    string `xml:"bannerText,omitempty"`
	} `xml:"clientLoginBannerOptions"`
	Enforced       bool        `xml:"clientRouteEnforcementOptions>enforced"`
	Disconnect     bool        `xml:"disconnectOnSessionTimeout"`
	EndpointIPs    string      `xml:"endpointIpAddressType"`
	TrafficIPs     string      `xml:"trafficIpAddressType"`
	TransitGateway *gatewayXML `xml:"transitGatewayConfiguration"`
}

func (v endpointXML) field(name string) []string {
	switch name {
	case "endpoint-id":
		return []string{v.ID}
	case "transport-protocol":
		return []string{v.Transport}
	}
	return nil
}

// dnsName is what clients put a random label in front of.
func (s *Server) dnsName(e *endpoint) string {
	return e.ID + ".prod.clientvpn." + s.cfg.Region + ".amazonaws.com"
}

func (s *Server) view(e *endpoint, now time.Time) endpointXML {
	cur := e.Settings
	v := endpointXML{
		ID:             e.ID,
		Description:    cur.Description,
		Status:         statusXML{Code: e.status(now)},
		CreationTime:   e.Created.Format("2006-01-02T15:04:05"),
		DNSName:        "*." + s.dnsName(e),
		ClientCIDR:     e.ClientCIDR,
		DNSServers:     set[string]{cur.DNSServers},
		SplitTunnel:    cur.SplitTunnel,
		VPNProtocol:    "openvpn",
		Transport:      "udp",
		VPNPort:        cur.Port,
		CertificateARN: cur.CertificateARN,
		SecurityGroups: set[string]{cur.Groups},
		VpcID:          cur.VpcID,
		Tags:           set[tagXML]{s.tags(e.ID)},
		SessionHours:   cur.SessionHours,
		Enforced:       cur.Enforced,
		Disconnect:     cur.DisconnectOnTimeout,
		EndpointIPs:    "ipv4",
		TrafficIPs:     "ipv4",
	}
	v.Log.Enabled, v.Log.Group, v.Log.Stream = cur.Logs, cur.LogGroup, cur.LogStream
	v.ConnectOptions.Enabled, v.ConnectOptions.LambdaARN, v.ConnectOptions.Status = cur.Connect, cur.ConnectLambdaARN, "applied"
	v.Banner.Enabled, v.Banner.Text = cur.BannerOn, cur.Banner
	if cur.Portal {
		v.PortalURL = "https://self-service.clientvpn.amazonaws.com/endpoints/" + e.ID
	}
	v.Authentication.Items = append(v.Authentication.Items, authenticationXML{"federated-authentication", e.SAMLProviderARN})
	for _, a := range e.reported(now) {
		if a.served(now) && a.Subnet != "" { // the only networkType is vpc
			v.TargetNetworks.Items = append(v.TargetNetworks.Items, associatedXML{a.Subnet, "vpc"})
		}
	}
	if g := e.TransitGateway; g != nil {
		v.TransitGateway = &gatewayXML{ID: g.ID, AttachmentID: g.AttachmentID}
		for _, z := range g.Zones {
			v.TransitGateway.Zones.Items = append(v.TransitGateway.Zones.Items, z.Name)
			v.TransitGateway.ZoneIDs.Items = append(v.TransitGateway.ZoneIDs.Items, z.ID)
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
	field := endpointXML.field
	if s.cfg.Unconfirmed.EndpointsByTag {
		field = func(v endpointXML, name string) []string {
			if out := byTag(v.Tags.Items, name); out != nil {
				return out
			}
			return v.field(name)
		}
	}
	return describe(p, views, field, func(page []endpointXML, next string) result {
		return &struct {
			reply
			Items set[endpointXML] `xml:"clientVpnEndpoint"`
			Next  string           `xml:"nextToken,omitempty"`
		}{Items: set[endpointXML]{page}, Next: next}
	})
}

// modifyEndpoint changes what the request names, all of it or nothing. Groups and DNS servers are replaced as a whole.
func (s *Server) modifyEndpoint(p params, now time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	next := *e.Settings
	if f := next.set(p); f != nil {
		return nil, f
	}
	groups, vpc := p.list("SecurityGroupId"), p["VpcId"]
	switch {
	case names(p, "TransitGatewayConfiguration."):
		// "This option is currently not supported" (ModifyClientVpnEndpoint).
		return nil, refuse("UnsupportedOperation", "TransitGatewayConfiguration is currently not supported")
	case names(p, "DevicePostureOptions.") || names(p, "ConnectionLogOptions.IncludeAuthorizationPolicyContext"):
		return nil, refuse("UnsupportedOperation", "This stand-in for EC2 has no device posture and no policy context in connection logs")
	case len(groups) > 0 && vpc == "":
		return nil, refuse("InvalidParameterValue", "Security Groups cannot be modified without specifying Vpc Id")
	case vpc != "":
		if f := s.applicable(e, vpc, groups); f != nil {
			return nil, f
		}
		if vpc != next.VpcID {
			if len(e.reported(now)) > 0 {
				return nil, refuse("InvalidParameterValue", "Endpoint %s has associations in %s; disassociate them before you change its VPC", e.ID, next.VpcID)
			}
			next.VpcID, next.Groups = vpc, []string{s.state.defaultGroup(vpc)}
		}
		if len(groups) > 0 {
			next.Groups = groups
		}
	}
	if len(p) == len([]string{"Action", "Version", "ClientVpnEndpointId"}) {
		return nil, refuse("InvalidParameterCombination", "The request names nothing to modify")
	}
	if len(groups) > 0 {
		if f := s.crowded(e, false, now); f != nil {
			return nil, f
		}
	}
	// "Modifying the DNS server resets existing client connections."
	if !slices.Equal(next.DNSServers, e.Settings.DNSServers) {
		for _, c := range e.Connections {
			if c.active() {
				c.Ended = now
			}
		}
	}
	*e.Settings = next
	e.Forget = time.Time{} // what somebody sets stays
	return &done{Return: true}, nil
}

func names(p params, prefix string) bool {
	return slices.ContainsFunc(slices.Collect(maps.Keys(p)), func(name string) bool { return strings.HasPrefix(name, prefix) })
}

// set reads the simple settings from p, whose types have been checked.
func (v *settings) set(p params) *fault {
	for name, to := range map[string]*string{"ServerCertificateArn": &v.CertificateARN, "Description": &v.Description,
		"ConnectionLogOptions.CloudwatchLogGroup": &v.LogGroup, "ConnectionLogOptions.CloudwatchLogStream": &v.LogStream,
		"ClientConnectOptions.LambdaFunctionArn": &v.ConnectLambdaARN, "ClientLoginBannerOptions.BannerText": &v.Banner} {
		if given, ok := p[name]; ok {
			*to = given
		}
	}
	for name, to := range map[string]*bool{"SplitTunnel": &v.SplitTunnel, "DisconnectOnSessionTimeout": &v.DisconnectOnTimeout,
		"ConnectionLogOptions.Enabled": &v.Logs, "ClientConnectOptions.Enabled": &v.Connect, "ClientLoginBannerOptions.Enabled": &v.BannerOn,
		"ClientRouteEnforcementOptions.Enforced": &v.Enforced} {
		if given, ok := p[name]; ok {
			*to = given == "true"
		}
	}
	for _, number := range []struct {
		name    string
		to      *int
		allowed []int
	}{{"SessionTimeoutHours", &v.SessionHours, []int{8, 10, 12, 24}}, {"VpnPort", &v.Port, []int{443, 1194}}} {
		given, ok := p[number.name]
		if !ok {
			continue
		}
		n, _ := strconv.Atoi(given) // checked before
		if !slices.Contains(number.allowed, n) {
			return refuse("InvalidParameterValue", "Value (%s) for parameter %s is invalid. Valid values: %v", given, number.name, number.allowed)
		}
		*number.to = n
	}
	switch given, ok := p["SelfServicePortal"]; {
	case ok && given != "enabled" && given != "disabled":
		return refuse("InvalidParameterValue", "Value (%s) for parameter SelfServicePortal is invalid. Valid values: enabled, disabled", given)
	case ok:
		v.Portal = given == "enabled"
	}
	servers := p.list("DnsServers.CustomDnsServers")
	for _, address := range servers {
		if _, err := netip.ParseAddr(address); err != nil {
			return refuse("InvalidParameterValue", "Value (%s) for parameter DnsServers is invalid. This is not an IP address.", address)
		}
	}
	switch {
	case len(servers) > 2:
		return refuse("InvalidParameterValue", "A Client VPN endpoint can have up to two DNS servers")
	case p["DnsServers.Enabled"] == "false" && len(servers) > 0:
		return refuse("InvalidParameterCombination", "DNS servers cannot be given and disabled together")
	case p["DnsServers.Enabled"] == "false":
		v.DNSServers = nil
	case len(servers) > 0:
		v.DNSServers = servers
	case p["DnsServers.Enabled"] == "true" && len(v.DNSServers) == 0:
		return refuse("MissingParameter", "The request must contain the parameter DnsServers.CustomDnsServers")
	}
	switch {
	case v.Logs && v.LogGroup == "":
		return refuse("MissingParameter", "The request must contain the parameter ConnectionLogOptions.CloudwatchLogGroup")
	case v.Connect && v.ConnectLambdaARN == "":
		return refuse("MissingParameter", "The request must contain the parameter ClientConnectOptions.LambdaFunctionArn")
	case v.BannerOn && v.Banner == "":
		return refuse("MissingParameter", "The request must contain the parameter ClientLoginBannerOptions.BannerText")
	}
	return nil
}

// export writes the OpenVPN profile of an endpoint with federated authentication, as the Administrator Guide shows it
// ("Export the client configuration file"). auth-federate is AWS's own directive. The endpoint's name stands there
// without "*.": remote-random-hostname makes the client put a label in front of it.
func (s *Server) export(p params, _ time.Time) (result, *fault) {
	e, f := s.endpoint(p["ClientVpnEndpointId"])
	if f != nil {
		return nil, f
	}
	return &struct {
		reply
		Profile string `xml:"clientConfiguration"`
	}{Profile: fmt.Sprintf(`client
dev tun
proto udp
remote %s %d
remote-random-hostname
resolv-retry infinite
nobind
remote-cert-tls server
cipher AES-256-GCM
verb 3

<ca>
%s
</ca>

auth-user-pass
auth-federate
auth-retry interact
auth-nocache
reneg-sec 0
`, s.dnsName(e), e.Settings.Port, strings.TrimSpace(e.CA))}, nil
}
