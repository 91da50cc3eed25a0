package ec2

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

const (
	// reportedFor is how long DescribeClientVpnConnections goes on showing a connection that ended.
	reportedFor = 60 * time.Minute
	// remembered is how many ended associations an endpoint keeps for the console; older ones live on in the totals.
	remembered = 50
	// local is the target of client-to-client routes.
	local = "local"
)

// state is what the state file holds. Times decide everything; no status is stored.
type state struct {
	Endpoints     []*endpoint
	DefaultGroups []SecurityGroup              `json:",omitempty"` // of the VPCs for which the fixtures name none
	Tags          map[string]map[string]string `json:",omitempty"` // of endpoints, subnets and groups, by their ids
}

type endpoint struct {
	Endpoint
	Settings     *settings
	Created      time.Time
	Associations []*association `json:",omitempty"`
	Routes       []*route       `json:",omitempty"` // made by hand; the automatic ones follow from the associations
	Connections  []*connection  `json:",omitempty"`
	Forget       time.Time      `json:",omitzero"` // when VPC and groups go, see Unconfirmed.GroupsForgotten
	// Seconds billed for what is no longer in the lists above.
	PastAssociationSeconds, PastConnectionSeconds float64
}

type association struct {
	ID, Subnet  string
	Zone        Zone   `json:",omitzero"`  // of one at a transit gateway, which has no subnet
	Destination string `json:",omitempty"` // of the automatic route; none at a transit gateway
	Token       string `json:",omitempty"` // the ClientToken that made it
	Since       time.Time
	Ready       time.Time // when associating ends, well or badly
	RouteActive time.Time // when the automatic route becomes active
	Failure     string    `json:",omitempty"` // why it fails at Ready
	Requested   time.Time `json:",omitzero"`  // when somebody disassociated it
	Gone        time.Time `json:",omitzero"`  // when that is done
}

type route struct {
	Destination, Subnet, Description string
	Token                            string `json:",omitempty"`
	Active                           time.Time
	Deleted                          bool      `json:",omitempty"` // by DeleteClientVpnRoute
	Gone                             time.Time `json:",omitzero"`  // when it, or the association it depends on, is gone
}

type connection struct {
	ID, User, Subnet, ClientIP string // Subnet is the association's target
	Since                      time.Time
	Ended                      time.Time `json:",omitzero"` // to come while it is terminating
	Ingress, Egress            uint64    // bytes
}

// target is what routes and clients go through: a subnet, or a zone of a transit gateway's endpoint.
func (a *association) target() string { return cmp.Or(a.Subnet, a.Zone.Name) }

// status is one of AssociationStatus' codes, and why.
func (a *association) status(now time.Time) (code, message string) {
	switch {
	case !a.Requested.IsZero() && !now.Before(a.Gone):
		return "disassociated", ""
	case !a.Requested.IsZero():
		return "disassociating", ""
	case now.Before(a.Ready):
		return "associating", ""
	case a.Failure != "":
		return "association-failed", a.Failure
	}
	return "associated", ""
}

func (a *association) is(now time.Time, codes ...string) bool {
	code, _ := a.status(now)
	return slices.Contains(codes, code)
}

// exists says whether EC2 would still report it.
func (a *association) exists(now time.Time) bool { return !a.is(now, "disassociated") }

// served says whether the association ever was associated, so that it still holds the endpoint open while it leaves.
func (a *association) served(now time.Time) bool {
	return a.is(now, "associated") ||
		a.is(now, "disassociating") && a.Failure == "" && !a.Requested.Before(a.Ready)
}

// billed is how long the association has been paid for. One that failed costs nothing: pricing says "billing starts
// once the subnet association is made".
func (a *association) billed(now time.Time, u Unconfirmed) time.Duration {
	if a.Failure != "" {
		return 0
	}
	from, to := a.Since, now
	if u.AssociatingIsFree {
		from = a.Ready
	}
	end := a.Requested
	if u.DisassociatingIsBilled {
		end = a.Gone
	}
	if !end.IsZero() && end.Before(now) {
		to = end
	}
	return max(0, to.Sub(from))
}

func (r *route) status(now time.Time) string {
	switch {
	case !r.Gone.IsZero():
		return "deleting"
	case now.Before(r.Active):
		return "creating"
	}
	return "active"
}

func (c *connection) active() bool { return c.Ended.IsZero() }

// status is one of ClientVpnConnectionStatus' codes; failed-to-terminate does not happen here.
func (c *connection) status(now time.Time) string {
	switch {
	case c.active():
		return "active"
	case now.Before(c.Ended):
		return "terminating"
	}
	return "terminated"
}

func (c *connection) lasted(now time.Time) time.Duration {
	if c.active() || now.Before(c.Ended) {
		return now.Sub(c.Since)
	}
	return c.Ended.Sub(c.Since)
}

// status is one of ClientVpnEndpointStatus' codes.
func (e *endpoint) status(now time.Time) string {
	if slices.ContainsFunc(e.Associations, func(a *association) bool { return a.served(now) }) {
		return "available"
	}
	if e.TransitGateway != nil && !e.Settings.Accepted {
		return "pending"
	}
	return "pending-associate"
}

// reported are the associations that EC2 still shows.
func (e *endpoint) reported(now time.Time) []*association {
	return slices.DeleteFunc(slices.Clone(e.Associations), func(a *association) bool { return !a.exists(now) })
}

// target finds the subnet's association that can carry routes and clients.
func (e *endpoint) target(subnet string, now time.Time) *association {
	for _, a := range e.Associations {
		if a.target() == subnet && a.is(now, "associating", "associated") {
			return a
		}
	}
	return nil
}

func (e *endpoint) hasAssociated(now time.Time) bool {
	return slices.ContainsFunc(e.Associations, func(a *association) bool { return a.is(now, "associated") })
}

// routes are the automatic route of each association and those made by hand.
func (e *endpoint) routes(now time.Time) []routeView {
	var out []routeView
	for _, a := range e.Associations {
		if a.served(now) && a.Subnet != "" {
			r := route{Destination: cmp.Or(a.Destination, e.VpcCIDR), Subnet: a.Subnet, Description: "Default Route", Active: a.RouteActive, Gone: a.Gone}
			out = append(out, routeView{r, "associate", r.status(now)})
		}
	}
	for _, r := range e.Routes {
		if r.Gone.IsZero() || now.Before(r.Gone) {
			out = append(out, routeView{*r, "add-route", r.status(now)})
		}
	}
	return out
}

type routeView struct {
	route
	Origin, Status string
}

// disassociate ends a: its routes with it and, when it is the last, everybody's connections at once.
func (e *endpoint) disassociate(a *association, now time.Time, takes time.Duration, u Unconfirmed) {
	a.Requested, a.Gone = now, now.Add(takes)
	last := !slices.ContainsFunc(e.Associations, func(o *association) bool { return o.is(now, "associating", "associated") })
	for _, r := range e.Routes {
		if r.Gone.IsZero() && (a.Subnet != "" && r.Subnet == a.Subnet || last || u.AllRoutesLost) {
			r.Gone = a.Gone
		}
	}
	if last && u.GroupsForgotten {
		e.Forget = a.Gone
	}
	// The last network's clients go; another network takes those of one among several, unless the switch says no.
	served := e.hasAssociated(now)
	for _, c := range e.Connections {
		if c.active() && (!served || u.ConnectionsCut && c.Subnet == a.target()) {
			c.Ended = now
		}
	}
}

// settle forgets what is over, and keeps its cost.
func (e *endpoint) settle(now time.Time, u Unconfirmed) {
	ended := 0
	for _, a := range e.Associations {
		if !a.exists(now) {
			ended++
		}
	}
	e.Associations = slices.DeleteFunc(e.Associations, func(a *association) bool {
		if ended <= remembered || a.exists(now) {
			return false
		}
		ended--
		e.PastAssociationSeconds += a.billed(now, u).Seconds()
		return true
	})
	if !e.Forget.IsZero() && !now.Before(e.Forget) {
		if len(e.reported(now)) == 0 {
			e.Settings.Groups, e.Settings.VpcID = nil, ""
		}
		e.Forget = time.Time{}
	}
	e.Routes = slices.DeleteFunc(e.Routes, func(r *route) bool { return !r.Gone.IsZero() && !now.Before(r.Gone) })
	longest := time.Duration(e.Settings.SessionHours) * time.Hour
	for _, c := range e.Connections {
		// A federated user has to sign in again after the longest session, so that the connection ends in any case;
		// DisconnectOnSessionTimeout only decides who begins the next one.
		if c.active() && now.Sub(c.Since) >= longest {
			c.Ended = c.Since.Add(longest)
		}
	}
	e.Connections = slices.DeleteFunc(e.Connections, func(c *connection) bool {
		if c.active() || now.Sub(c.Ended) < reportedFor {
			return false
		}
		e.PastConnectionSeconds += c.lasted(now).Seconds()
		return true
	})
}

// underway counts the changes of the endpoint that AWS is still carrying out.
func (e *endpoint) underway(now time.Time, routes bool) int {
	n := 0
	for _, a := range e.Associations {
		if a.is(now, "associating", "disassociating") {
			n++
		}
	}
	for _, r := range e.Routes {
		// A route that goes with its association is part of that one's change.
		if routes && (r.status(now) == "creating" || r.Deleted && now.Before(r.Gone)) {
			n++
		}
	}
	return n
}

// clientIP picks the lowest address of the client range that no connection holds. AWS keeps the first ones for
// itself.
func (e *endpoint) clientIP(now time.Time) (string, error) {
	prefix, err := netip.ParsePrefix(e.ClientCIDR)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, c := range e.Connections {
		taken[c.ClientIP] = taken[c.ClientIP] || c.status(now) != "terminated"
	}
	for ip := prefix.Masked().Addr().Next().Next(); prefix.Contains(ip); ip = ip.Next() {
		if !taken[ip.String()] {
			return ip.String(), nil
		}
	}
	return "", fmt.Errorf("no free address in %s", prefix)
}

// newID makes an id in EC2's long form: a prefix, a zero and 16 hexadecimal digits.
func newID(prefix string) string {
	var b [8]byte
	rand.Read(b[:])
	return prefix + "-0" + hex.EncodeToString(b[:])
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
