package ec2

import (
	"fmt"
	"time"
)

// Snapshot is everything at one moment, for the console: also what EC2 does not report, such as the bill.
type Snapshot struct {
	At                   time.Time          `json:"at"`
	Endpoints            []EndpointSnapshot `json:"endpoints"`
	AssociationSeconds   float64            `json:"associationSeconds"` // billed so far, all endpoints
	ConnectionSeconds    float64            `json:"connectionSeconds"`
	FailNextAssociations int                `json:"failNextAssociations"`
}

// EndpointSnapshot is one endpoint. Associations include those that are gone, up to the last fifty; connections those
// that ended within the hour. The totals include what is no longer listed.
type EndpointSnapshot struct {
	ID                 string                `json:"id"`
	Description        string                `json:"description,omitempty"`
	Status             string                `json:"status"`
	Associations       []AssociationSnapshot `json:"associations"`
	Routes             []RouteSnapshot       `json:"routes"`
	Connections        []ConnectionSnapshot  `json:"connections"`
	AssociationSeconds float64               `json:"associationSeconds"`
	ConnectionSeconds  float64               `json:"connectionSeconds"`
}

// AssociationSnapshot is one association. Since is the call that began it, Ended the call that ended it.
type AssociationSnapshot struct {
	ID               string    `json:"id"`
	SubnetID         string    `json:"subnetId"`
	AvailabilityZone string    `json:"availabilityZone,omitempty"`
	Status           string    `json:"status"`
	Message          string    `json:"message,omitempty"`
	Since            time.Time `json:"since"`
	Ended            time.Time `json:"ended,omitzero"`
	BilledSeconds    float64   `json:"billedSeconds"`
}

// RouteSnapshot is one route.
type RouteSnapshot struct {
	Destination string `json:"destination"`
	SubnetID    string `json:"subnetId"`
	Origin      string `json:"origin"`
	Status      string `json:"status"`
	Description string `json:"description,omitempty"`
}

// ConnectionSnapshot is one client connection, with the user whom EC2 does not name.
type ConnectionSnapshot struct {
	ID            string    `json:"id"`
	User          string    `json:"user"`
	ClientIP      string    `json:"clientIp"`
	Status        string    `json:"status"`
	Since         time.Time `json:"since"`
	Ended         time.Time `json:"ended,omitzero"`
	IngressBytes  uint64    `json:"ingressBytes"`
	EgressBytes   uint64    `json:"egressBytes"`
	BilledSeconds float64   `json:"billedSeconds"`
}

// Snapshot shows the present state. Nobody is billed for looking.
func (s *Server) Snapshot() Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	s.settle(now)
	snap := Snapshot{At: now, Endpoints: []EndpointSnapshot{}, FailNextAssociations: s.fail}
	for _, e := range s.state.Endpoints {
		v := EndpointSnapshot{ID: e.ID, Description: e.Settings.Description, Status: e.status(now),
			Associations: []AssociationSnapshot{}, Routes: []RouteSnapshot{}, Connections: []ConnectionSnapshot{},
			AssociationSeconds: e.PastAssociationSeconds, ConnectionSeconds: e.PastConnectionSeconds}
		for _, a := range e.Associations {
			code, message := a.status(now)
			av := AssociationSnapshot{ID: a.ID, SubnetID: a.Subnet, AvailabilityZone: a.Zone.Name, Status: code, Message: message, Since: a.Since, Ended: a.Requested,
				BilledSeconds: a.billed(now, s.cfg.Unconfirmed).Seconds()}
			if sub, ok := e.subnet(a.Subnet); ok {
				av.AvailabilityZone = sub.AvailabilityZone
			}
			v.Associations = append(v.Associations, av)
			v.AssociationSeconds += av.BilledSeconds
		}
		for _, r := range e.routes(now) {
			v.Routes = append(v.Routes, RouteSnapshot{r.Destination, r.Subnet, r.Origin, r.Status, r.Description})
		}
		for _, c := range e.Connections {
			cv := ConnectionSnapshot{ID: c.ID, User: c.User, ClientIP: c.ClientIP, Status: c.status(now), Since: c.Since, Ended: c.Ended,
				IngressBytes: c.Ingress, EgressBytes: c.Egress, BilledSeconds: c.lasted(now).Seconds()}
			v.Connections = append(v.Connections, cv)
			v.ConnectionSeconds += cv.BilledSeconds
		}
		snap.Endpoints = append(snap.Endpoints, v)
		snap.AssociationSeconds += v.AssociationSeconds
		snap.ConnectionSeconds += v.ConnectionSeconds
	}
	return snap
}

// Connect plays a VPN client that user starts, and returns its connection's id. An error is fit for the person who
// plays it.
func (s *Server) Connect(endpointID, user string) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	s.settle(now)
	e, f := s.endpoint(endpointID)
	if f != nil {
		return "", fmt.Errorf("%s: %s", f.code, f.message)
	}
	// Clients find a network by DNS round robin ("Troubleshooting AWS Client VPN"); here the least used one is next.
	var best *association
	load := map[string]int{}
	for _, c := range e.Connections {
		if c.active() {
			load[c.Subnet]++
		}
	}
	for _, a := range e.Associations {
		if a.is(now, "associated") && (best == nil || load[a.target()] < load[best.target()]) {
			best = a
		}
	}
	if best == nil {
		return "", fmt.Errorf("endpoint %s accepts no connections: no target network is associated. Open it first", e.ID)
	}
	ip, err := e.clientIP(now)
	if err != nil {
		return "", fmt.Errorf("endpoint %s: %w", e.ID, err)
	}
	c := &connection{ID: newID("cvpn-connection"), User: user, Subnet: best.target(), ClientIP: ip, Since: now}
	e.Connections = append(e.Connections, c)
	return c.ID, s.file.Save(s.state)
}

// Send counts traffic: ingress from the client into the VPC, egress to the client, both in bytes.
func (s *Server) Send(connectionID string, ingress, egress uint64) error {
	return s.withActive(connectionID, func(c *connection, _ time.Time) { c.Ingress, c.Egress = c.Ingress+ingress, c.Egress+egress })
}

// Disconnect ends a connection, as its client would.
func (s *Server) Disconnect(connectionID string) error {
	return s.withActive(connectionID, func(c *connection, now time.Time) { c.Ended = now })
}

func (s *Server) withActive(id string, do func(*connection, time.Time)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	s.settle(now)
	for _, e := range s.state.Endpoints {
		for _, c := range e.Connections {
			if c.ID != id {
				continue
			}
			if !c.active() {
				return fmt.Errorf("connection %s ended at %s", id, c.Ended.Format(time.TimeOnly))
			}
			do(c, now)
			return s.file.Save(s.state)
		}
	}
	return fmt.Errorf("no connection %s", id)
}

// AcceptAttachment accepts the attachment of an endpoint's transit gateway, as the gateway's owner would.
func (s *Server) AcceptAttachment(endpointID string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e, f := s.endpoint(endpointID)
	if f != nil {
		return fmt.Errorf("%s: %s", f.code, f.message)
	}
	if e.TransitGateway == nil {
		return fmt.Errorf("endpoint %s is in a VPC and has no attachment", e.ID)
	}
	e.Settings.Accepted = true
	return s.file.Save(s.state)
}

// FailNextAssociations makes the next n associations end in association-failed; 0 makes them succeed again.
func (s *Server) FailNextAssociations(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = max(0, n)
}
