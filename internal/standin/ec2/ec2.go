// Package ec2 is a stand-in for the part of Amazon EC2 that keeps Client VPN endpoints: the Query protocol of API
// version 2016-11-15 with Signature Version 4, the calls that open and close an endpoint, and the minutes that AWS
// takes to carry them out. It is not an EC2: an action it does not know is answered with InvalidAction.
//
// An association and what hangs on it:
//
//	Associate            AssociateTakes              RouteTakes
//	────────▶ associating ───────────▶ associated ─────────────▶ the VPC's route is active
//	               │                        │
//	               └─▶ association-failed   │ Disassociate       DisassociateTakes
//	                        └───────────────┴────────▶ disassociating ───────────▶ gone, and its routes with it
//
// The endpoint is available from its first association's associated until its last one is gone, and pending-associate
// otherwise. Every state is computed from stored times when somebody looks: nothing runs in the background.
//
// Sources: the EC2 API Reference (actions, data types, "Error codes for the Amazon EC2 API"), its examples for formats,
// and the Client VPN Administrator Guide. What AWS leaves open is a switch in Unconfirmed.
package ec2

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

// Config says what the stand-in knows and how fast it is. AWS takes 4 to 10 minutes to associate and a minute or two
// for a route; zero durations happen at once.
type Config struct {
	Region, AccountID string
	// Credentials finds an access key's secret; required.
	Credentials func(accessKeyID string) (sigv4.Credentials, bool)

	AssociateTakes, DisassociateTakes, RouteTakes time.Duration

	// Endpoints are the fixtures used when there is no state yet.
	Endpoints []Endpoint
	// Throttle holds callers to the request rates that AWS documents (see throttle.go).
	Throttle    bool
	Unconfirmed Unconfirmed

	StateFile string
	Log       *slog.Logger
}

// Endpoint is a Client VPN endpoint as somebody created it. ID, VpcID, ClientCIDR and Subnets are required.
type Endpoint struct {
	ID, Description, VpcID, ClientCIDR string
	VpcCIDR                            string   // "" means the /16 around the first subnet
	SecurityGroupIDs                   []string // none means one default group
	ServerCertificateARN               string   // "" means a made-up one of the account
	SAMLProviderARN                    string   // likewise; the endpoint authenticates by federation
	Subnets                            []Subnet // every subnet of the VPC that a caller may name
}

// Subnet is a subnet that may become a target network.
type Subnet struct {
	ID, AvailabilityZone, AvailabilityZoneID, CIDR string
	VpcID                                          string `json:",omitempty"` // "" means the endpoint's
}

// Unconfirmed holds the questions to which AWS's documents give no answer, or two. Zero values are the likelier or the
// more awkward answer; a client should do well under either.
type Unconfirmed struct {
	// AllRoutesLost: any disassociation deletes every manual route, as the guide's sentence can be read; otherwise only
	// those through its subnet, and those to "local" with the last association.
	AllRoutesLost bool
	// ConnectionsCut: a disassociation ends the connections through its subnet even while other networks remain.
	ConnectionsCut bool
	// RoutesWhileAssociating: CreateClientVpnRoute is accepted for a subnet whose association is still the first and
	// associating, as some scripts rely on, instead of InvalidClientVpnActiveAssociationNotFound.
	RoutesWhileAssociating bool
	// AssociationExists answers a second association of a subnet with ClientVpnEndpointAssociationExists. EC2's list of
	// errors has this code and InvalidClientVpnDuplicateAssociationException with the same meaning.
	AssociationExists bool
	// NamesFederatedUsers reports Username and CommonName of federated users; the data type promises them only for
	// Active Directory and certificates.
	NamesFederatedUsers bool
	// AssociatingIsFree bills an association from associated on, instead of from the call.
	AssociatingIsFree bool
	// DisassociatingIsBilled bills an association until it is gone, instead of until the call that ended it.
	DisassociatingIsBilled bool
}

// Server is the stand-in. Its methods may be called from several goroutines.
type Server struct {
	cfg  Config
	file *statefile.File
	auth sigv4.Verifier

	mu      sync.Mutex // guards all below
	state   state
	buckets map[string]*bucket
	fail    int // associations still to fail; a mischief of the console, not kept across restarts
}

// New checks c, reads the state file or starts from the fixtures, and starts nothing.
func New(c Config) (*Server, error) {
	if c.Log == nil || c.Credentials == nil || c.Region == "" || c.AccountID == "" {
		return nil, errors.New("ec2: Region, AccountID, Credentials and Log are required")
	}
	s := &Server{
		cfg:  c,
		file: statefile.New(c.StateFile, "ec2"),
		// RequestExpired, in EC2's list of errors, begins at 15 minutes.
		auth:    sigv4.Verifier{Service: "ec2", Region: c.Region, Lookup: c.Credentials, Skew: 15 * time.Minute},
		buckets: map[string]*bucket{},
	}
	found, err := s.file.Load(&s.state)
	if err != nil {
		return nil, fmt.Errorf("ec2: %w", err)
	}
	if found {
		return s, nil
	}
	now := time.Now().UTC()
	for _, e := range c.Endpoints {
		made, err := newEndpoint(e, c, now)
		if err != nil {
			return nil, fmt.Errorf("ec2: endpoint %q: %w", e.ID, err)
		}
		s.state.Endpoints = append(s.state.Endpoints, made)
	}
	return s, s.file.Save(s.state)
}

func newEndpoint(e Endpoint, c Config, now time.Time) (*endpoint, error) {
	if e.ID == "" || e.VpcID == "" || len(e.Subnets) == 0 {
		return nil, errors.New("ID, VpcID and Subnets are required")
	}
	if _, err := netip.ParsePrefix(e.ClientCIDR); err != nil {
		return nil, err
	}
	e.Subnets = slices.Clone(e.Subnets)
	for i, sub := range e.Subnets {
		cidr, err := netip.ParsePrefix(sub.CIDR)
		if err != nil {
			return nil, fmt.Errorf("subnet %q: %w", sub.ID, err)
		}
		if i == 0 && e.VpcCIDR == "" {
			e.VpcCIDR = netip.PrefixFrom(cidr.Addr(), min(16, cidr.Bits())).Masked().String()
		}
		e.Subnets[i].VpcID = cmp.Or(sub.VpcID, e.VpcID)
	}
	if len(e.SecurityGroupIDs) == 0 {
		e.SecurityGroupIDs = []string{newID("sg")}
	}
	e.ServerCertificateARN = cmp.Or(e.ServerCertificateARN,
		fmt.Sprintf("arn:aws:acm:%s:%s:certificate/%s", c.Region, c.AccountID, newUUID()))
	e.SAMLProviderARN = cmp.Or(e.SAMLProviderARN, fmt.Sprintf("arn:aws:iam::%s:saml-provider/client-vpn", c.AccountID))
	return &endpoint{Endpoint: e, Created: now}, nil
}

// Handler answers the EC2 Query protocol at "/".
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }
