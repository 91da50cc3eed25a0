package ec2

import (
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
	Endpoints []*endpoint
}

type endpoint struct {
	Endpoint
	Created      time.Time
	Associations []*association `json:",omitempty"`
	Routes       []*route       `json:",omitempty"` // made by hand; the automatic ones follow from the associations
	Connections  []*connection  `json:",omitempty"`
	// Seconds billed for what is no longer in the lists above.
	PastAssociationSeconds, PastConnectionSeconds float64
}

type association struct {
	ID, Subnet  string
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
	Gone                             time.Time `json:",omitzero"` // when the association it depends on is gone
}

type connection struct {
	ID, User, Subnet, ClientIP string
	Since                      time.Time
	Ended                      time.Time `json:",omitzero"`
	Ingress, Egress            uint64    // bytes
}

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

func (c *connection) lasted(now time.Time) time.Duration {
	if c.active() {
		return now.Sub(c.Since)
	}
	return c.Ended.Sub(c.Since)
}

// status is one of ClientVpnEndpointStatus' codes.
func (e *endpoint) status(now time.Time) string {
	if slices.ContainsFunc(e.Associations, func(a *association) bool { return a.served(now) }) {
		return "available"
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
		if a.Subnet == subnet && a.is(now, "associating", "associated") {
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
		if a.served(now) {
			r := route{Destination: e.VpcCIDR, Subnet: a.Subnet, Description: "Default Route", Active: a.RouteActive, Gone: a.Gone}
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
		if r.Gone.IsZero() && (r.Subnet == a.Subnet || last || u.AllRoutesLost) {
			r.Gone = a.Gone
		}
	}
	// The last network's clients go; another network takes those of one among several, unless the switch says no.
	served := e.hasAssociated(now)
	for _, c := range e.Connections {
		if c.active() && (!served || u.ConnectionsCut && c.Subnet == a.Subnet) {
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
	e.Routes = slices.DeleteFunc(e.Routes, func(r *route) bool { return !r.Gone.IsZero() && !now.Before(r.Gone) })
	e.Connections = slices.DeleteFunc(e.Connections, func(c *connection) bool {
		if c.active() || now.Sub(c.Ended) < reportedFor {
			return false
		}
		e.PastConnectionSeconds += c.lasted(now).Seconds()
		return true
	})
}

// clientIP picks the lowest address of the client range that no active connection holds. AWS keeps the first ones for
// itself.
func (e *endpoint) clientIP() (string, error) {
	prefix, err := netip.ParsePrefix(e.ClientCIDR)
	if err != nil {
		return "", err
	}
	taken := map[string]bool{}
	for _, c := range e.Connections {
		taken[c.ClientIP] = taken[c.ClientIP] || c.active()
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
