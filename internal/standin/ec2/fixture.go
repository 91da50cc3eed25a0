package ec2

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"net/netip"
	"slices"
	"time"
)

// Endpoint is a Client VPN endpoint as somebody created it. ID and ClientCIDR are required, and either VpcID and Subnets
// or TransitGateway.
type Endpoint struct {
	ID, Description, VpcID, ClientCIDR string
	VpcCIDR                            string   // "" means the /16 around the first subnet
	SecurityGroupIDs                   []string // those applied; none means the VPC's default group
	ServerCertificateARN               string   // "" means a made-up one of the account
	SAMLProviderARN                    string   // likewise; the endpoint authenticates by federation
	Subnets                            []Subnet // every subnet that a caller may name, also those of other VPCs

	SecurityGroups     []SecurityGroup     `json:",omitempty"` // likewise; each VPC's default group need not be named
	AuthorizationRules []AuthorizationRule `json:",omitempty"`
	TransitGateway     *TransitGateway     `json:",omitempty"` // the endpoint is in no VPC
	Tags               map[string]string   `json:",omitempty"`
	CA                 string              `json:",omitempty"` // PEM, for the clients' profile; "" means a made-up one
}

// Subnet is a subnet that may become a target network.
type Subnet struct {
	ID, AvailabilityZone, AvailabilityZoneID, CIDR string
	VpcID                                          string            `json:",omitempty"` // "" means the endpoint's
	OwnerID                                        string            `json:",omitempty"` // "" means the account; another one shares it
	Tags                                           map[string]string `json:",omitempty"`
}

// SecurityGroup is a group that may be applied to an endpoint. Its rules are EC2's first ones: everything may leave.
type SecurityGroup struct {
	ID, Name, Description string
	VpcID                 string            `json:",omitempty"` // "" means the endpoint's
	Tags                  map[string]string `json:",omitempty"`
}

// AuthorizationRule lets clients of a group, or everybody when GroupID is "", into a network.
type AuthorizationRule struct {
	DestinationCIDR      string
	GroupID, Description string `json:",omitempty"`
}

// TransitGateway is what an endpoint without a VPC is attached to. Pending means that the gateway's owner has not
// accepted the attachment yet; Server.AcceptAttachment does.
type TransitGateway struct {
	ID, AttachmentID string // "" for the attachment means a made-up one
	Zones            []Zone
	Pending          bool `json:",omitempty"`
}

// Zone is an Availability Zone by both of its names, for example us-east-1a and use1-az1.
type Zone struct{ Name, ID string }

// settings are what ModifyClientVpnEndpoint and its like change; the fixture beneath stays as it was created.
type settings struct {
	Description, VpcID, CertificateARN    string
	Groups                                []string
	SplitTunnel, Portal, Enforced         bool
	DisconnectOnTimeout                   bool
	SessionHours, Port                    int
	DNSServers                            []string `json:",omitempty"`
	LogGroup, LogStream, ConnectLambdaARN string   `json:",omitempty"`
	Banner                                string   `json:",omitempty"`
	Logs, Connect, BannerOn               bool
	Accepted                              bool // the transit gateway's attachment
}

func newEndpoint(e Endpoint, c Config, now time.Time) (*endpoint, error) {
	switch {
	case e.ID == "":
		return nil, errors.New("ID is required")
	case e.TransitGateway == nil && (e.VpcID == "" || len(e.Subnets) == 0):
		return nil, errors.New("VpcID and Subnets are required, or a TransitGateway")
	case e.TransitGateway != nil && (e.VpcID != "" || len(e.Subnets) > 0 || e.TransitGateway.ID == "" || len(e.TransitGateway.Zones) == 0):
		return nil, errors.New("an endpoint with a TransitGateway has its ID and Zones, and no VpcID and no Subnets")
	}
	if _, err := netip.ParsePrefix(e.ClientCIDR); err != nil {
		return nil, err
	}
	for _, sub := range e.Subnets {
		if _, err := netip.ParsePrefix(sub.CIDR); err != nil {
			return nil, fmt.Errorf("subnet %q: %w", sub.ID, err)
		}
	}
	for _, r := range e.AuthorizationRules {
		if _, err := netip.ParsePrefix(r.DestinationCIDR); err != nil {
			return nil, fmt.Errorf("authorization rule: %w", err)
		}
	}
	e.Subnets, e.SecurityGroups = slices.Clone(e.Subnets), slices.Clone(e.SecurityGroups)
	return &endpoint{Endpoint: e, Created: now}, nil
}

// complete adds what fixtures may leave out and what an older state file does not have. It changes nothing that is
// there, so that it may be called at every start.
func (s *state) complete(c Config, now time.Time) error {
	for _, e := range s.Endpoints {
		if err := e.complete(c, now); err != nil {
			return fmt.Errorf("endpoint %q: %w", e.ID, err)
		}
	}
	for _, e := range s.Endpoints {
		for _, sub := range e.Subnets {
			s.defaultGroup(sub.VpcID)
		}
		if e.TransitGateway == nil && len(e.Settings.Groups) == 0 && e.Settings.VpcID != "" {
			e.Settings.Groups = []string{s.defaultGroup(e.Settings.VpcID)}
		}
	}
	if s.Tags != nil {
		return nil
	}
	s.Tags = map[string]map[string]string{}
	keep := func(id string, tags map[string]string) {
		if len(tags) > 0 && s.Tags[id] == nil {
			s.Tags[id] = maps.Clone(tags)
		}
	}
	for _, e := range s.Endpoints {
		keep(e.ID, e.Tags)
		for _, sub := range e.Subnets {
			keep(sub.ID, sub.Tags)
		}
		for _, g := range e.SecurityGroups {
			keep(g.ID, g.Tags)
		}
	}
	return nil
}

func (e *endpoint) complete(c Config, now time.Time) error {
	for i, sub := range e.Subnets {
		e.Subnets[i].VpcID = cmp.Or(sub.VpcID, e.VpcID)
		e.Subnets[i].OwnerID = cmp.Or(sub.OwnerID, c.AccountID)
	}
	if e.VpcCIDR == "" && len(e.Subnets) > 0 {
		e.VpcCIDR = around(e.Subnets[0].CIDR)
	}
	e.ServerCertificateARN = cmp.Or(e.ServerCertificateARN,
		fmt.Sprintf("arn:aws:acm:%s:%s:certificate/%s", c.Region, c.AccountID, newUUID()))
	e.SAMLProviderARN = cmp.Or(e.SAMLProviderARN, fmt.Sprintf("arn:aws:iam::%s:saml-provider/client-vpn", c.AccountID))
	if e.TransitGateway != nil && e.TransitGateway.AttachmentID == "" {
		gateway := *e.TransitGateway
		gateway.AttachmentID = newID("tgw-attach")
		e.TransitGateway = &gateway
	}
	for i, g := range e.SecurityGroups {
		e.SecurityGroups[i].VpcID = cmp.Or(g.VpcID, e.VpcID)
	}
	for _, id := range e.SecurityGroupIDs {
		if !slices.ContainsFunc(e.SecurityGroups, func(g SecurityGroup) bool { return g.ID == id }) {
			e.SecurityGroups = append(e.SecurityGroups, SecurityGroup{ID: id, Name: id, Description: "applied to " + e.ID, VpcID: e.VpcID})
		}
	}
	if e.Settings == nil {
		e.Settings = &settings{Description: e.Description, VpcID: e.VpcID, CertificateARN: e.ServerCertificateARN, Groups: e.SecurityGroupIDs,
			SplitTunnel: true, Portal: true, DisconnectOnTimeout: true, SessionHours: 24, Port: 443,
			Accepted: e.TransitGateway != nil && !e.TransitGateway.Pending}
	}
	if e.CA == "" {
		made, err := newCA(e.ID, now)
		if err != nil {
			return err
		}
		e.CA = made
	}
	return nil
}

// around is the VPC that one of its subnets suggests: VPCs are a /16 at most.
func around(subnet string) string {
	cidr, err := netip.ParsePrefix(subnet)
	if err != nil {
		return ""
	}
	return netip.PrefixFrom(cidr.Addr(), min(16, cidr.Bits())).Masked().String()
}

// vpcCIDR is where the automatic route of an association in vpc leads.
func (e *endpoint) vpcCIDR(vpc string) string {
	if vpc == e.VpcID {
		return e.VpcCIDR
	}
	for _, sub := range e.Subnets {
		if sub.VpcID == vpc {
			return around(sub.CIDR)
		}
	}
	return ""
}

// newCA makes a certificate for <ca> in the clients' profile. Its key is thrown away: nothing here speaks OpenVPN.
func newCA(name string, now time.Time) (string, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of " + name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(10, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), nil
}
