// Package latch decides when an AWS Client VPN endpoint is open, and makes it so.
//
// It is the domain and nothing else: no AWS SDK, no HTTP, the standard library only. What EC2 reports comes in as an
// Observation, what people want as a Record of leases; Plan answers with the steps to take, and Keeper takes them.
// Whether an endpoint is off, opening, open or closing is computed from what EC2 reports and is never stored.
//
//	           a lease                          every association and every route active
//	┌─────┐ ───────────▶ ┌─────────┐ ─────────────────────────────▶ ┌──────┐ ◀──▶ ┌──────────┐
//	│ off │              │ opening │                                │ open │      │ degraded │
//	└─────┘ ◀─────────── ┌─────────┐ ◀───────────────────────────── └──────┘      └──────────┘
//	      nothing is     │ closing │   no lease and no traffic, nobody came, absolute maximum
//	      associated     └─────────┘
package latch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// The identifiers are types of their own so that a swap does not compile.
type (
	// EndpointID is a Client VPN endpoint's id, "cvpn-endpoint-…".
	EndpointID string
	// SubnetID is a subnet's id, "subnet-…", or Local as a route's target.
	SubnetID string
	// AssociationID is a target network association's id, "cvpn-assoc-…". Each opening gets new ones.
	AssociationID string
	// VPCID is a VPC's id, "vpc-…", and GroupID that of one of its security groups, "sg-…".
	VPCID   string
	GroupID string
	// ConnectionID is a client connection's id, "cvpn-connection-…".
	ConnectionID string
	// Subject is the stable identifier that the issuer gave a person (OIDC Core 1.0 section 2, "sub"). It decides;
	// names and e-mail addresses are for display only.
	Subject string
)

// Local is the target of client-to-client routes: it belongs to no subnet (CreateClientVpnRoute, EC2 API Reference).
const Local SubnetID = "local"

// Status is a state code as EC2 spells it. The constants are those that decisions depend on; any other code is
// carried through for people to read.
type Status string

// State codes of endpoints, associations, routes and connections (data types of the EC2 API Reference:
// ClientVpnEndpointStatus, AssociationStatus, ClientVpnRouteStatus, ClientVpnConnectionStatus).
const (
	PendingAssociate  Status = "pending-associate"
	Available         Status = "available"
	Associating       Status = "associating"
	Associated        Status = "associated"
	AssociationFailed Status = "association-failed"
	Disassociating    Status = "disassociating"
	Disassociated     Status = "disassociated"
	Creating          Status = "creating"
	Active            Status = "active"
	Failed            Status = "failed"
)

// Observation is what EC2 reported about one endpoint at one time. All of it is AWS's truth; none of it is ours.
type Observation struct {
	At            time.Time     `json:"at"`
	Endpoint      EndpointID    `json:"endpoint"`
	Status        Status        `json:"status"`
	StatusMessage string        `json:"statusMessage,omitempty"`
	Associations  []Association `json:"associations,omitempty"`
	Routes        []Route       `json:"routes,omitempty"`
	Connections   []Connection  `json:"connections,omitempty"`
	// VPC and Groups are those of the target networks, or of the endpoint while there are none: which VPC it belongs
	// to, and the security groups of its network interfaces. Empty when EC2 reports none.
	VPC    VPCID     `json:"vpc,omitempty"`
	Groups []GroupID `json:"groups,omitempty"`
}

// Association is a target network association: a subnet that is, was or shall be billed.
type Association struct {
	ID      AssociationID `json:"id"`
	Subnet  SubnetID      `json:"subnet"`
	Status  Status        `json:"status"`
	Message string        `json:"message,omitempty"`
}

// Origins of a route, as EC2 reports them.
const (
	OriginAssociate = "associate" // made by AWS with the association
	OriginAddRoute  = "add-route" // made by somebody's CreateClientVpnRoute; lost on disassociation
)

// Route is an entry of the endpoint's route table.
type Route struct {
	Destination string   `json:"destination"` // CIDR block
	Subnet      SubnetID `json:"subnet"`      // target subnet, or Local
	Origin      string   `json:"origin,omitempty"`
	Status      Status   `json:"status,omitempty"`
	Message     string   `json:"message,omitempty"`
	Description string   `json:"description,omitempty"`
}

// Connection is a client connection. EC2 goes on reporting it for an hour after it ended; only Status Active counts.
type Connection struct {
	ID     ConnectionID `json:"id"`
	User   string       `json:"user,omitempty"` // known for Active Directory authentication only
	Status Status       `json:"status"`
	Bytes  uint64       `json:"bytes"` // both directions, since the connection began
}

// VPN is what the latch needs of EC2. Errors are one of this package's kinds, with AWS's own words in the chain.
// Every method is safe to repeat.
type VPN interface {
	// Observe reads the whole endpoint.
	Observe(ctx context.Context, id EndpointID) (Observation, error)
	// Associate asks for one subnet. The token makes a repeated call one association (EC2's ClientToken, at most 64
	// ASCII characters); a subnet that is already associated is not an error.
	Associate(ctx context.Context, id EndpointID, subnet SubnetID, token string) (Association, error)
	// Disassociate ends an association. One that no longer exists is not an error.
	Disassociate(ctx context.Context, id EndpointID, association AssociationID) error
	// CreateRoute adds a route. One that exists already is not an error; ErrTooEarly asks for a later try.
	CreateRoute(ctx context.Context, id EndpointID, r Route) error
	// ApplyGroups replaces the security groups of all target networks. ErrTooEarly asks for a later try.
	ApplyGroups(ctx context.Context, id EndpointID, vpc VPCID, groups []GroupID) error
}

// Deadman is the switch outside Nightlatch that ends an association when Nightlatch does not.
type Deadman interface {
	// Arm makes the switch for one association; one that exists already is not an error and is not moved.
	Arm(ctx context.Context, id EndpointID, association AssociationID, at time.Time) error
	// Disarm removes the switch of an association that is gone; a missing one is not an error.
	Disarm(ctx context.Context, id EndpointID, association AssociationID) error
}

// Store keeps wishes, the last look and the journal. Every write is conditional: two writers never overwrite each
// other, and each learns which of them came second.
type Store interface {
	// Load returns the record, or a zero Record with Version 0 when there is none yet.
	Load(ctx context.Context, id EndpointID) (Record, error)
	// Save writes r if the stored version is still r.Version, and returns it with the version raised; ErrConflict if
	// somebody else was first.
	Save(ctx context.Context, id EndpointID, r Record) (Record, error)
	// Look returns the last observation, or a zero one. It is for people who look; it never justifies a write to EC2.
	Look(ctx context.Context, id EndpointID) (Observation, error)
	// SaveLook stores o unless a newer one is there, which is not an error.
	SaveLook(ctx context.Context, o Observation) error
	// ClaimLook makes one caller the one who refreshes the last look: true at most once in every, whoever asks.
	ClaimLook(ctx context.Context, id EndpointID, now time.Time, every time.Duration) (bool, error)
	// Append adds an entry to the audit. It is never overwritten. One without an endpoint is about people: sessions, blocks.
	Append(ctx context.Context, e Entry) error
	// Entries returns the newest entries of an endpoint, or of none ("", which is not all), newest first, at most limit.
	Entries(ctx context.Context, id EndpointID, limit int) ([]Entry, error)
}

// The kinds of error that adapters translate AWS's answers to. Match with errors.Is; the chain holds AWS's own words.
var (
	ErrBusy        = errors.New("throttled")                     // slow down and try again
	ErrNotFound    = errors.New("not found")                     // no such endpoint, subnet or association
	ErrRefused     = errors.New("refused")                       // AWS understood and said no; trying again changes nothing
	ErrUnavailable = errors.New("unavailable")                   // no answer, or a fault on the other side
	ErrTooEarly    = errors.New("too early")                     // not possible in the present state; later it is
	ErrConflict    = errors.New("somebody else wrote first")     // a conditional write lost
	ErrNotReady    = errors.New("the endpoint cannot be used")   // a state in which nobody can open it
	ErrNoLease     = errors.New("you hold no lease")             // extend and done need one
	ErrTooLong     = errors.New("longer than the policy allows") // a lease's length
	ErrBadRequest  = errors.New("not a valid request")
	ErrReason      = errors.New("a reason is required")                          // policy wants one for every lease
	ErrObserving   = errors.New("the endpoint is only observed")                 // policy lets nobody change it here
	ErrHeld        = errors.New("an operator has closed it and keeps it closed") // or has paused it; the chain holds a *HeldError
	// ErrOwn is for an operator who treats their own lease as somebody else's, which no rule would bind.
	ErrOwn = fmt.Errorf("%w: the lease is your own: extend or end it as everybody does", ErrBadRequest)
)

// Fault is an answer of AWS that is not the one hoped for: which service, its code and its message, for people to
// read. It is in the chain of the errors that adapters return, beside one of the kinds above.
type Fault struct {
	Service string // "ec2", "dynamodb", "scheduler", "sts"
	Code    string // as AWS spells it; empty when there was no answer at all
	Message string
}

func (f *Fault) Error() string {
	if f.Code == "" {
		return f.Service + ": " + f.Message
	}
	return f.Service + ": " + f.Code + ": " + f.Message
}

// Principal is a person who has been authenticated, by whichever front.
type Principal struct {
	Subject Subject `json:"subject"`
	Issuer  string  `json:"issuer,omitempty"`
	Name    string  `json:"name,omitempty"` // for display: a name, else an e-mail address, else a user name
	Email   string  `json:"email,omitempty"`
}

// Entry is one line of the audit: who did or wished what, and what the latch did about it.
type Entry struct {
	At       time.Time  `json:"at"`
	ID       string     `json:"id"` // unique; orders entries of the same instant
	Endpoint EndpointID `json:"endpoint"`
	Subject  Subject    `json:"subject,omitempty"` // empty: the latch itself
	Issuer   string     `json:"issuer,omitempty"`  // who vouches for the subject
	Name     string     `json:"name,omitempty"`
	Action   string     `json:"action"`          // "open", "break-glass", "extend", "done", "route.learn", …
	Whose    Subject    `json:"whose,omitempty"` // the lease's holder, where that is not Subject
	Code     Code       `json:"code,omitempty"`  // what was decided about being open; empty where nothing was
	Why      string     `json:"why,omitempty"`
	Before   string     `json:"before,omitempty"`
	After    string     `json:"after,omitempty"`
	Source   string     `json:"source,omitempty"`    // client address as the trusted hop gave it
	Request  string     `json:"requestId,omitempty"` // request id
}

// LogValue is the entry for a log: what is set of it, under its names in JSON.
func (e Entry) LogValue() slog.Value {
	attrs := []slog.Attr{slog.Time("at", e.At), slog.String("id", e.ID)}
	for _, a := range []slog.Attr{
		slog.String("endpoint", string(e.Endpoint)), slog.String("subject", string(e.Subject)), slog.String("issuer", e.Issuer), slog.String("name", e.Name),
		slog.String("action", e.Action), slog.String("whose", string(e.Whose)), slog.String("code", string(e.Code)), slog.String("why", e.Why),
		slog.String("before", e.Before), slog.String("after", e.After), slog.String("source", e.Source), slog.String("requestId", e.Request),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	return slog.GroupValue(attrs...)
}
