// Package latchtest holds in-memory fakes of what the latch stands on, EC2's Client VPN, the store and the dead-man's
// switch, and the conformance suites that the fakes and the real adapters pass alike. A fake that drifts from the
// real one fails the suite; a rule that only one of them keeps does not belong in it.
//
// The fakes lock themselves, start no goroutine and draw no random number: what they report is computed from what
// was done to them and time.Now, so a history in a testing/synctest bubble repeats exactly.
package latchtest

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// AutomaticRoute is the destination of the route that comes with an association: the VPC's own addresses.
const AutomaticRoute = "10.0.0.0/16"

// VPC is the one that every endpoint belongs to, and DefaultGroup its default security group.
const (
	VPC          latch.VPCID   = "vpc-0000000000000000a"
	DefaultGroup latch.GroupID = "sg-0000000000000000d"
)

// connectionsLinger is how long EC2 goes on reporting a connection after it ended (DescribeClientVpnConnections, EC2
// API Reference).
const connectionsLinger = time.Hour

// VPN is a latch.VPN in memory. The fields are set before the first call; everything else is guarded by a lock.
type VPN struct {
	// How long EC2 takes from the accepted call until the state it leads to. Zero is at once.
	AssociateTakes, DisassociateTakes, RouteTakes time.Duration
	// DisassociatedLingers is how long an association that has ended is still listed, as disassociated.
	DisassociatedLingers time.Duration
	// LoseAllRoutes makes the end of any association delete the routes people added on every subnet. AWS's wording
	// allows both readings ("Disassociate a target network", Client VPN Administrator Guide).
	LoseAllRoutes bool
	// ForgetGroups makes the end of the last association put the VPC's default group in the place of all others, as if
	// the endpoint had been made without any. Whether EC2 does so is not documented.
	ForgetGroups bool
	// Lag is asked at each report how old it is: what was done since is not in it, though At says now. EC2's reads are
	// eventually consistent ("Eventual consistency in the Amazon EC2 API", EC2 Developer Guide), so one report may be
	// older than the one before it. Nil is no lag; longer than a minute is not kept.
	Lag func() time.Duration

	// Fail is asked before a call has any effect, Lose after it had: an error that Lose returns is an answer lost on
	// the way. Both get the method's name, "Associate", and may sleep; no lock is held.
	Fail, Lose func(call string) error

	mu        sync.Mutex
	endpoints map[latch.EndpointID]*endpoint
	calls     map[string]int
	failNext  int                     // how many associations will yet fail
	failing   map[latch.SubnetID]bool // subnets on which every association fails
	serial    int                     // makes the ids
}

type endpoint struct {
	subnets      []latch.SubnetID
	status       latch.Status // set by SetStatus; empty: computed
	message      string
	associations []*association // also those long ended: tokens answer with them
	routes       []*route
	connections  []*connection
	groups       []groups // the last is what is there; the others are kept for reports that lag
}

// groups are the security groups from a time on.
type groups struct {
	ids   []latch.GroupID
	since time.Time
}

type association struct {
	id     latch.AssociationID
	subnet latch.SubnetID
	token  string
	since  time.Time
	fails  bool      // ends in association-failed instead of associated
	ended  time.Time // when the disassociation was asked for; zero while it was not
	endAt  time.Time // the dead-man's switch; zero when there is none
}

type route struct {
	latch.Route
	since time.Time
	gone  time.Time // zero while it is there; kept for reports that lag
}

type connection struct {
	latch.Connection
	since, ended time.Time
}

// remembered is how long a route that is gone is kept for reports that lag.
const remembered = time.Minute

// NewVPN returns a VPN with one endpoint, off.
func NewVPN(id latch.EndpointID, subnets ...latch.SubnetID) *VPN {
	v := &VPN{
		endpoints: map[latch.EndpointID]*endpoint{},
		calls:     map[string]int{},
		failing:   map[latch.SubnetID]bool{},
	}
	v.AddEndpoint(id, subnets...)
	return v
}

// AddEndpoint adds another endpoint, off.
func (v *VPN) AddEndpoint(id latch.EndpointID, subnets ...latch.SubnetID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.endpoints[id] = &endpoint{subnets: slices.Clone(subnets), groups: []groups{{ids: []latch.GroupID{DefaultGroup}}}}
}

// Observe implements latch.VPN.
func (v *VPN) Observe(ctx context.Context, id latch.EndpointID) (o latch.Observation, err error) {
	var lag time.Duration
	if v.Lag != nil {
		lag = v.Lag()
	}
	err = v.call(ctx, "Observe", id, func(e *endpoint, now time.Time) error {
		o = v.observe(id, e, now.Add(-lag))
		o.At = now
		return nil
	})
	if err != nil {
		return latch.Observation{}, err
	}
	return o, nil
}

// observe reports the world as it was at now.
func (v *VPN) observe(id latch.EndpointID, e *endpoint, now time.Time) latch.Observation {
	o := latch.Observation{At: now, Endpoint: id, Status: latch.PendingAssociate, VPC: VPC, Groups: e.groupsAt(now)}
	for _, a := range e.associations {
		if now.Before(a.since) {
			continue
		}
		status, listed := v.associationStatus(a, now)
		if !listed {
			continue
		}
		shown := latch.Association{ID: a.id, Subnet: a.subnet, Status: status}
		if status == latch.AssociationFailed {
			shown.Message = "the subnet has too few free addresses"
		}
		if status == latch.Associated {
			o.Status = latch.Available
		}
		o.Associations = append(o.Associations, shown)
	}
	if e.status != "" {
		o.Status, o.StatusMessage = e.status, e.message
	}
	for _, r := range e.routes {
		if now.Before(r.since) || !r.there(now) {
			continue
		}
		shown := r.Route
		shown.Status = v.routeStatus(e, r, now)
		o.Routes = append(o.Routes, shown)
	}
	for _, c := range e.connections {
		shown := c.Connection
		switch {
		case now.Before(c.since), !c.ended.IsZero() && !now.Before(c.ended.Add(connectionsLinger)):
			continue
		case now.Before(c.ended):
			shown.Status = latch.Active
		}
		o.Connections = append(o.Connections, shown)
	}
	return o
}

func (v *VPN) associationStatus(a *association, now time.Time) (_ latch.Status, listed bool) {
	switch {
	case !a.ended.IsZero() && !now.Before(a.ended) && now.Before(a.ended.Add(v.DisassociateTakes)):
		return latch.Disassociating, true
	case !a.ended.IsZero() && !now.Before(a.ended):
		return latch.Disassociated, now.Before(a.ended.Add(v.DisassociateTakes + v.DisassociatedLingers))
	case now.Before(a.since.Add(v.AssociateTakes)):
		return latch.Associating, true
	case a.fails:
		return latch.AssociationFailed, true
	default:
		return latch.Associated, true
	}
}

func (v *VPN) routeStatus(e *endpoint, r *route, now time.Time) latch.Status {
	if r.Origin == latch.OriginAssociate {
		// The automatic route becomes active with its association.
		if v.associated(e, r.Subnet, now) {
			return latch.Active
		}
		return latch.Creating
	}
	if now.Before(r.since.Add(v.RouteTakes)) {
		return latch.Creating
	}
	return latch.Active
}

// associated says whether the subnet is associated, or, for latch.Local, whether any is.
func (v *VPN) associated(e *endpoint, subnet latch.SubnetID, now time.Time) bool {
	return slices.ContainsFunc(e.associations, func(a *association) bool {
		status, _ := v.associationStatus(a, now)
		return status == latch.Associated && (a.subnet == subnet || subnet == latch.Local)
	})
}

// Associate implements latch.VPN.
func (v *VPN) Associate(ctx context.Context, id latch.EndpointID, subnet latch.SubnetID, token string) (made latch.Association, err error) {
	err = v.call(ctx, "Associate", id, func(e *endpoint, now time.Time) error {
		if token == "" || len(token) > 64 {
			return fmt.Errorf("%w: a client token has 1 to 64 characters, this one %d", latch.ErrBadRequest, len(token))
		}
		for _, a := range e.associations {
			if a.token != token {
				continue
			}
			if a.subnet != subnet {
				return refusal(latch.ErrRefused, "IdempotentParameterMismatch", "the token was used for "+string(a.subnet))
			}
			// Also when it has ended since: a token answers with what it once made.
			made.ID, made.Subnet = a.id, a.subnet
			made.Status, _ = v.associationStatus(a, now)
			return nil
		}
		made, err = v.associate(e, subnet, token, now)
		return err
	})
	if err != nil {
		return latch.Association{}, err
	}
	return made, nil
}

func (v *VPN) associate(e *endpoint, subnet latch.SubnetID, token string, now time.Time) (latch.Association, error) {
	if !slices.Contains(e.subnets, subnet) {
		return latch.Association{}, refusal(latch.ErrNotFound, "InvalidClientVpnSubnetId.NotFound", "no subnet "+string(subnet))
	}
	for _, a := range e.associations {
		if a.subnet != subnet {
			continue
		}
		switch status, _ := v.associationStatus(a, now); status {
		case latch.Disassociated:
		case latch.Disassociating:
			return latch.Association{}, refusal(latch.ErrTooEarly, "InvalidClientVpnDuplicateAssociationException", string(subnet)+" is still being disassociated")
		default:
			return latch.Association{ID: a.id, Subnet: subnet, Status: status}, nil
		}
	}
	a := &association{
		id: latch.AssociationID(v.id("cvpn-assoc")), subnet: subnet, token: token, since: now,
		fails: v.failNext > 0 || v.failing[subnet],
	}
	if v.failNext > 0 {
		v.failNext--
	}
	e.associations = append(e.associations, a)
	if !a.fails {
		e.routes = append(e.routes, &route{since: now, Route: latch.Route{Destination: AutomaticRoute, Subnet: subnet, Origin: latch.OriginAssociate}})
	}
	// EC2 answers "associating" even to the fastest.
	return latch.Association{ID: a.id, Subnet: subnet, Status: latch.Associating}, nil
}

// Disassociate implements latch.VPN.
func (v *VPN) Disassociate(ctx context.Context, id latch.EndpointID, association latch.AssociationID) error {
	return v.call(ctx, "Disassociate", id, func(e *endpoint, now time.Time) error {
		v.disassociate(e, association, now)
		return nil
	})
}

func (v *VPN) disassociate(e *endpoint, id latch.AssociationID, now time.Time) {
	i := slices.IndexFunc(e.associations, func(a *association) bool { return a.id == id && a.ended.IsZero() })
	if i < 0 {
		return
	}
	ending := e.associations[i]
	ending.ended, ending.endAt = now, time.Time{}
	last := !slices.ContainsFunc(e.associations, func(a *association) bool { return a.ended.IsZero() })
	for _, r := range e.routes {
		if r.gone.IsZero() && (last || r.Subnet == ending.subnet || v.LoseAllRoutes && r.Origin == latch.OriginAddRoute) {
			r.gone = now
		}
	}
	if last && v.ForgetGroups {
		e.groups = append(e.groups, groups{[]latch.GroupID{DefaultGroup}, now})
	}
	if last {
		for _, c := range e.connections {
			c.end(now)
		}
	}
}

// ApplyGroups implements latch.VPN.
func (v *VPN) ApplyGroups(ctx context.Context, id latch.EndpointID, vpc latch.VPCID, ids []latch.GroupID) error {
	return v.call(ctx, "ApplyGroups", id, func(e *endpoint, now time.Time) error { return v.applyGroups(e, vpc, ids, now) })
}

func (v *VPN) applyGroups(e *endpoint, vpc latch.VPCID, ids []latch.GroupID, now time.Time) error {
	if vpc != VPC {
		return refusal(latch.ErrNotFound, "InvalidVpcID.NotFound", "no VPC "+string(vpc))
	}
	if len(ids) == 0 || len(ids) > 5 {
		return fmt.Errorf("%w: 1 to 5 security groups, not %d", latch.ErrBadRequest, len(ids))
	}
	if !slices.ContainsFunc(e.associations, func(a *association) bool {
		s, _ := v.associationStatus(a, now)
		return s == latch.Associating || s == latch.Associated
	}) {
		return refusal(latch.ErrTooEarly, "InvalidClientVpnActiveAssociationNotFound", "nothing is associated")
	}
	e.groups = append(e.groups, groups{slices.Clone(ids), now})
	return nil
}

func (e *endpoint) groupsAt(now time.Time) []latch.GroupID {
	for _, g := range slices.Backward(e.groups) {
		if !now.Before(g.since) {
			return slices.Clone(g.ids)
		}
	}
	return slices.Clone(e.groups[0].ids)
}

// CreateRoute implements latch.VPN.
func (v *VPN) CreateRoute(ctx context.Context, id latch.EndpointID, r latch.Route) error {
	return v.call(ctx, "CreateRoute", id, func(e *endpoint, now time.Time) error { return v.createRoute(e, r, now) })
}

func (v *VPN) createRoute(e *endpoint, r latch.Route, now time.Time) error {
	if r.Subnet != latch.Local && !slices.Contains(e.subnets, r.Subnet) {
		return refusal(latch.ErrNotFound, "InvalidClientVpnSubnetId.NotFound", "no subnet "+string(r.Subnet))
	}
	if e.route(r.Destination, r.Subnet) >= 0 {
		return nil
	}
	if !v.associated(e, r.Subnet, now) {
		return refusal(latch.ErrTooEarly, "InvalidClientVpnActiveAssociationNotFound", "no active association of "+string(r.Subnet))
	}
	e.routes = append(e.routes, &route{since: now, Route: latch.Route{
		Destination: r.Destination, Subnet: r.Subnet, Description: r.Description, Origin: latch.OriginAddRoute,
	}})
	return nil
}

func (e *endpoint) route(destination string, subnet latch.SubnetID) int {
	return slices.IndexFunc(e.routes, func(r *route) bool {
		return r.Destination == destination && r.Subnet == subnet && r.gone.IsZero()
	})
}

func (r *route) there(now time.Time) bool { return r.gone.IsZero() || now.Before(r.gone) }

// call counts the call, asks Fail, does it under the lock, and asks Lose.
func (v *VPN) call(ctx context.Context, name string, id latch.EndpointID, do func(*endpoint, time.Time) error) error {
	v.mu.Lock()
	v.calls[name]++
	v.mu.Unlock()
	return guard(ctx, name, v.Fail, v.Lose, func() error {
		v.mu.Lock()
		defer v.mu.Unlock()
		e, ok := v.endpoints[id]
		if !ok {
			return refusal(latch.ErrNotFound, "InvalidClientVpnEndpointId.NotFound", "no endpoint "+string(id))
		}
		now := time.Now()
		v.settle(e, now)
		return do(e, now)
	})
}

// settle lets the dead-man's switches fire that are due, and drops what no report shows any more.
func (v *VPN) settle(e *endpoint, now time.Time) {
	e.routes = slices.DeleteFunc(e.routes, func(r *route) bool { return !r.there(now.Add(-remembered)) })
	var due []*association
	for _, a := range e.associations {
		if !a.endAt.IsZero() && !a.endAt.After(now) && a.ended.IsZero() {
			due = append(due, a)
		}
	}
	slices.SortStableFunc(due, func(a, b *association) int { return cmp.Or(a.endAt.Compare(b.endAt), cmp.Compare(a.id, b.id)) })
	for _, a := range due {
		v.disassociate(e, a.id, a.endAt)
	}
}

// endAt sets or, with the zero time, removes the time at which an association ends without anybody's call.
func (v *VPN) endAt(id latch.EndpointID, association latch.AssociationID, at time.Time) {
	v.byHand(id, func(e *endpoint, now time.Time) {
		for _, a := range e.associations {
			if a.id == association {
				a.endAt = at
			}
		}
	})
}

// Calls says how often a method was called, also when the call failed.
func (v *VPN) Calls(name string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.calls[name]
}

// Billed is how long the endpoint's associations have lasted, summed: from the call that made each to the call that
// ended it.
func (v *VPN) Billed(id latch.EndpointID) (sum time.Duration) {
	v.byHand(id, func(e *endpoint, now time.Time) {
		for _, a := range e.associations {
			end := a.ended
			if end.IsZero() {
				end = now
			}
			sum += end.Sub(a.since)
		}
	})
	return sum
}

// Now is what Observe would report, uncounted and unfailing: the truth, for a test's own eyes.
func (v *VPN) Now(id latch.EndpointID) (o latch.Observation) {
	v.byHand(id, func(e *endpoint, now time.Time) { o = v.observe(id, e, now) })
	return o
}

// FailNext lets the next n associations end in association-failed.
func (v *VPN) FailNext(n int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failNext = n
}

// FailSubnet lets every association of the subnet made from now on end in association-failed, or stops that.
func (v *VPN) FailSubnet(subnet latch.SubnetID, fails bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failing[subnet] = fails
}

// SetStatus makes the endpoint report a status that its associations do not explain, such as "deleting". The empty
// status ends that.
func (v *VPN) SetStatus(id latch.EndpointID, status latch.Status, message string) {
	v.byHand(id, func(e *endpoint, now time.Time) { e.status, e.message = status, message })
}

// AssociateByHand is somebody's call from outside Nightlatch. It is neither counted nor failed, as are the other
// hands.
func (v *VPN) AssociateByHand(id latch.EndpointID, subnet latch.SubnetID) (made latch.Association, err error) {
	v.byHand(id, func(e *endpoint, now time.Time) { made, err = v.associate(e, subnet, v.id("by-hand"), now) })
	return made, err
}

// DisassociateByHand ends an association from outside Nightlatch.
func (v *VPN) DisassociateByHand(id latch.EndpointID, association latch.AssociationID) {
	v.byHand(id, func(e *endpoint, now time.Time) { v.disassociate(e, association, now) })
}

// AddRouteByHand adds a route from outside Nightlatch.
func (v *VPN) AddRouteByHand(id latch.EndpointID, r latch.Route) (err error) {
	v.byHand(id, func(e *endpoint, now time.Time) { err = v.createRoute(e, r, now) })
	return err
}

// DeleteRouteByHand deletes a route from outside Nightlatch, and says whether there was one.
func (v *VPN) DeleteRouteByHand(id latch.EndpointID, destination string, subnet latch.SubnetID) (found bool) {
	v.byHand(id, func(e *endpoint, now time.Time) {
		if i := e.route(destination, subnet); i >= 0 && e.routes[i].Origin == latch.OriginAddRoute {
			e.routes[i].gone, found = now, true
		}
	})
	return found
}

// ApplyGroupsByHand changes the security groups from outside Nightlatch.
func (v *VPN) ApplyGroupsByHand(id latch.EndpointID, groups ...latch.GroupID) (err error) {
	v.byHand(id, func(e *endpoint, now time.Time) { err = v.applyGroups(e, VPC, groups, now) })
	return err
}

// Connect is a VPN client; it needs an endpoint that is available.
func (v *VPN) Connect(id latch.EndpointID, user string) (made latch.ConnectionID, err error) {
	v.byHand(id, func(e *endpoint, now time.Time) {
		if !v.associated(e, latch.Local, now) {
			err = fmt.Errorf("connect: %w", latch.ErrTooEarly)
			return
		}
		made = latch.ConnectionID(v.id("cvpn-connection"))
		e.connections = append(e.connections, &connection{since: now, Connection: latch.Connection{ID: made, User: user, Status: latch.Active}})
	})
	return made, err
}

// Send moves bytes over a connection, and says whether it was still there to move them.
func (v *VPN) Send(c latch.ConnectionID, bytes uint64) bool {
	return v.connection(c, func(c *connection, now time.Time) { c.Bytes += bytes })
}

// Disconnect ends a connection, and says whether it was still there to end.
func (v *VPN) Disconnect(c latch.ConnectionID) bool {
	return v.connection(c, func(c *connection, now time.Time) { c.end(now) })
}

func (v *VPN) connection(id latch.ConnectionID, do func(*connection, time.Time)) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	now := time.Now()
	for _, e := range v.endpoints {
		v.settle(e, now)
		for _, c := range e.connections {
			if c.ID == id && c.ended.IsZero() {
				do(c, now)
				return true
			}
		}
	}
	return false
}

func (c *connection) end(now time.Time) {
	if c.ended.IsZero() {
		c.ended, c.Status = now, "terminated"
	}
}

// byHand runs do on the settled endpoint under the lock. A test that names an endpoint it never made is wrong.
func (v *VPN) byHand(id latch.EndpointID, do func(*endpoint, time.Time)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	e, ok := v.endpoints[id]
	if !ok {
		panic("latchtest: no endpoint " + string(id))
	}
	now := time.Now()
	v.settle(e, now)
	do(e, now)
}

// id makes the next identifier. The lock is held.
func (v *VPN) id(kind string) string {
	v.serial++
	return fmt.Sprintf("%s-%017x", kind, v.serial)
}

// guard is the frame of every fake's call: a context that ended, Fail, the effect, Lose.
func guard(ctx context.Context, name string, fail, lose func(string) error, do func() error) error {
	if fail != nil {
		if err := fail(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w: %w", name, latch.ErrUnavailable, context.Cause(ctx))
	}
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if lose != nil {
		if err := lose(name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func refusal(kind error, code, message string) error {
	return fmt.Errorf("%w: %w", kind, &latch.Fault{Service: "ec2", Code: code, Message: message})
}
