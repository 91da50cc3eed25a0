package latchtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// How long the world behind a bench takes. The suites wait for these and a little more.
const (
	AssociateTakes    = 20 * time.Second
	DisassociateTakes = 10 * time.Second
	RouteTakes        = 5 * time.Second
)

// A VPNBench is one latch.VPN under test with the hands that a test needs on the world behind it.
type VPNBench struct {
	VPN      latch.VPN
	Endpoint latch.EndpointID // exists and is off
	Subnets  []latch.SubnetID // at least two, each in another Availability Zone
	Groups   []latch.GroupID  // two that exist, beside the VPC's default group

	FailNext   func(n int) // the next n associations end in association-failed
	Connect    func(user string) latch.ConnectionID
	Send       func(c latch.ConnectionID, bytes uint64)
	Disconnect func(c latch.ConnectionID)
}

// TestVPN is what every latch.VPN keeps. Each case runs in a bubble of its own, in which newVPN makes a new world;
// an adapter's HTTP therefore has to stay inside the process.
func TestVPN(t *testing.T, newVPN func(t *testing.T) VPNBench) {
	for name, test := range map[string]func(*testing.T, VPNBench){
		"an endpoint that nobody opened is off": func(t *testing.T, b VPNBench) {
			o := b.observe(t)
			if o.Endpoint != b.Endpoint || o.Status != latch.PendingAssociate {
				t.Errorf("got %s %s, want %s %s", o.Endpoint, o.Status, b.Endpoint, latch.PendingAssociate)
			}
			if len(o.Associations)+len(o.Routes)+len(o.Connections) != 0 {
				t.Errorf("an endpoint that is off has nothing: got %+v", o)
			}
			if age := time.Since(o.At); age < 0 || age > time.Second {
				t.Errorf("the observation is %v old; decisions need to know when it was made", age)
			}
		},
		"an endpoint that does not exist is not found, by every method": func(t *testing.T, b VPNBench) {
			const id = "cvpn-endpoint-0fffffffffffffff0"
			_, err := b.VPN.Observe(t.Context(), id)
			wantFault(t, "observe", err, latch.ErrNotFound)
			_, err = b.VPN.Associate(t.Context(), id, b.Subnets[0], "a")
			wantFault(t, "associate", err, latch.ErrNotFound)
			err = b.VPN.CreateRoute(t.Context(), id, latch.Route{Destination: "10.9.0.0/16", Subnet: b.Subnets[0]})
			wantFault(t, "create route", err, latch.ErrNotFound)
			wantFault(t, "disassociate", b.VPN.Disassociate(t.Context(), id, "cvpn-assoc-0fffffffffffffff0"), latch.ErrNotFound)
		},
		"an association takes its time, and then the endpoint is available with the automatic route": func(t *testing.T, b VPNBench) {
			a := b.associate(t, b.Subnets[0], "one")
			if a.Subnet != b.Subnets[0] || a.Status != latch.Associating {
				t.Errorf("got %+v, want an association of %s that is %s", a, b.Subnets[0], latch.Associating)
			}
			o := b.observe(t)
			if o.Status != latch.PendingAssociate || b.status(o, a.ID) != latch.Associating {
				t.Errorf("at once: got endpoint %s, association %s; nothing can be ready yet", o.Status, b.status(o, a.ID))
			}
			time.Sleep(AssociateTakes + RouteTakes + time.Second)
			o = b.observe(t)
			if o.Status != latch.Available || b.status(o, a.ID) != latch.Associated {
				t.Errorf("later: got endpoint %s, association %s", o.Status, b.status(o, a.ID))
			}
			if len(o.Routes) != 1 || o.Routes[0].Origin != latch.OriginAssociate || o.Routes[0].Status != latch.Active || o.Routes[0].Subnet != b.Subnets[0] {
				t.Errorf("want one active automatic route on %s, got %+v", b.Subnets[0], o.Routes)
			}
		},
		"associating what is associated joins it": func(t *testing.T, b VPNBench) {
			first := b.associate(t, b.Subnets[0], "one")
			if again := b.associate(t, b.Subnets[0], "two"); again.ID != first.ID || again.Subnet != b.Subnets[0] {
				t.Errorf("while associating: got %+v, want %s: two callers at once must do no harm", again, first.ID)
			}
			time.Sleep(AssociateTakes + time.Second)
			if again := b.associate(t, b.Subnets[0], "three"); again.ID != first.ID || again.Status != latch.Associated {
				t.Errorf("when associated: got %+v, want %s", again, first.ID)
			}
		},
		"the same token is one association": func(t *testing.T, b VPNBench) {
			first := b.associate(t, b.Subnets[0], "one")
			if again := b.associate(t, b.Subnets[0], "one"); again.ID != first.ID {
				t.Errorf("got %s, want %s: a call whose answer was lost is repeated", again.ID, first.ID)
			}
			if n := len(b.observe(t).Associations); n != 1 {
				t.Errorf("got %d associations, each billed; want 1", n)
			}
		},
		"a token for one subnet does not serve another": func(t *testing.T, b VPNBench) {
			b.associate(t, b.Subnets[0], "one")
			_, err := b.VPN.Associate(t.Context(), b.Endpoint, b.Subnets[1], "one")
			wantFault(t, "associate", err, latch.ErrRefused)
		},
		"a token is 1 to 64 characters": func(t *testing.T, b VPNBench) {
			for _, token := range []string{"", "0123456789012345678901234567890123456789012345678901234567890123x"} {
				if _, err := b.VPN.Associate(t.Context(), b.Endpoint, b.Subnets[0], token); !errors.Is(err, latch.ErrBadRequest) {
					t.Errorf("token of %d: got %v, want %v", len(token), err, latch.ErrBadRequest)
				}
			}
		},
		"a subnet that does not exist is not found": func(t *testing.T, b VPNBench) {
			_, err := b.VPN.Associate(t.Context(), b.Endpoint, "subnet-0fffffffffffffff0", "one")
			wantFault(t, "associate", err, latch.ErrNotFound)
		},
		"security groups: the VPC's own at first, then those that were applied, and these are still there after the next look": func(t *testing.T, b VPNBench) {
			o := b.observe(t)
			if o.VPC == "" {
				t.Fatal("the endpoint belongs to no VPC")
			}
			wantFault(t, "apply while it is off", b.VPN.ApplyGroups(t.Context(), b.Endpoint, o.VPC, b.Groups), latch.ErrTooEarly)
			b.associate(t, b.Subnets[0], "one")
			time.Sleep(AssociateTakes + time.Second)
			if o = b.observe(t); len(o.Groups) != 1 || slices.Contains(b.Groups, o.Groups[0]) {
				t.Errorf("groups are %v, want the VPC's default group", o.Groups)
			}
			for range 2 { // repeated, it changes nothing
				if err := b.VPN.ApplyGroups(t.Context(), b.Endpoint, o.VPC, b.Groups); err != nil {
					t.Fatalf("apply: %v", err)
				}
				got := b.observe(t).Groups
				slices.Sort(got)
				if !slices.Equal(got, b.Groups) {
					t.Errorf("groups are %v, want %v", got, b.Groups)
				}
			}
			wantFault(t, "a VPC that does not exist", b.VPN.ApplyGroups(t.Context(), b.Endpoint, "vpc-0fffffffffffffff0", b.Groups), latch.ErrNotFound)
		},
		"a failed association says so, is not available, and can be cleared and tried again": func(t *testing.T, b VPNBench) {
			b.FailNext(1)
			failed := b.associate(t, b.Subnets[0], "one")
			time.Sleep(AssociateTakes + time.Second)
			o := b.observe(t)
			if b.status(o, failed.ID) != latch.AssociationFailed || o.Status != latch.PendingAssociate {
				t.Fatalf("got endpoint %s, association %s, want %s", o.Status, b.status(o, failed.ID), latch.AssociationFailed)
			}
			if i := b.index(o, failed.ID); o.Associations[i].Message == "" {
				t.Error("a failed association carries AWS's words: people ask why")
			}
			b.disassociate(t, failed.ID)
			time.Sleep(DisassociateTakes + time.Second)
			again := b.associate(t, b.Subnets[0], "two")
			time.Sleep(AssociateTakes + time.Second)
			if o := b.observe(t); b.status(o, again.ID) != latch.Associated {
				t.Errorf("the second try: got %s, want %s", b.status(o, again.ID), latch.Associated)
			}
		},
		"disassociating takes its time, and takes routes and connections with it": func(t *testing.T, b VPNBench) {
			a := b.ready(t, b.Subnets[0], "one")
			b.createRoute(t, latch.Route{Destination: "10.9.0.0/16", Subnet: b.Subnets[0]})
			c := b.Connect("alice")
			b.disassociate(t, a.ID)
			if o := b.observe(t); b.status(o, a.ID) != latch.Disassociating {
				t.Errorf("at once: got %s, want %s", b.status(o, a.ID), latch.Disassociating)
			}
			time.Sleep(DisassociateTakes + time.Second)
			o := b.observe(t)
			if s := b.status(o, a.ID); s != "" && s != latch.Disassociated || o.Status != latch.PendingAssociate {
				t.Errorf("later: got endpoint %s, association %q, want off", o.Status, s)
			}
			if len(o.Routes) != 0 {
				t.Errorf("routes are lost with the association: got %+v", o.Routes)
			}
			for _, left := range o.Connections {
				if left.ID == c && left.Status == latch.Active {
					t.Error("connections end with the last association")
				}
			}
		},
		"disassociating what is gone, or never was, is done": func(t *testing.T, b VPNBench) {
			a := b.ready(t, b.Subnets[0], "one")
			b.disassociate(t, a.ID)
			b.disassociate(t, a.ID)
			time.Sleep(DisassociateTakes + time.Second)
			b.disassociate(t, a.ID)
			b.disassociate(t, "cvpn-assoc-0fffffffffffffff0")
		},
		"associating while the subnet is being disassociated is too early, and a new association later": func(t *testing.T, b VPNBench) {
			a := b.ready(t, b.Subnets[0], "one")
			b.disassociate(t, a.ID)
			_, err := b.VPN.Associate(t.Context(), b.Endpoint, b.Subnets[0], "two")
			if !errors.Is(err, latch.ErrTooEarly) {
				t.Errorf("got %v, want %v: joining what is ending would leave nothing", err, latch.ErrTooEarly)
			}
			time.Sleep(DisassociateTakes + time.Second)
			if again := b.ready(t, b.Subnets[0], "three"); again.ID == a.ID {
				t.Errorf("got %s again; each opening has associations of its own", a.ID)
			}
		},
		"a route before its association is too early": func(t *testing.T, b VPNBench) {
			r := latch.Route{Destination: "10.9.0.0/16", Subnet: b.Subnets[0]}
			wantFault(t, "off", b.VPN.CreateRoute(t.Context(), b.Endpoint, r), latch.ErrTooEarly)
			b.associate(t, b.Subnets[0], "one")
			wantFault(t, "associating", b.VPN.CreateRoute(t.Context(), b.Endpoint, r), latch.ErrTooEarly)
		},
		"a route takes its time, keeps its description, and is made once": func(t *testing.T, b VPNBench) {
			b.ready(t, b.Subnets[0], "one")
			want := latch.Route{Destination: "10.9.0.0/16", Subnet: b.Subnets[0], Description: "data center & co. + 1"}
			b.createRoute(t, want)
			b.createRoute(t, want)
			r := b.route(t, want.Destination, want.Subnet)
			if r.Status != latch.Creating || r.Origin != latch.OriginAddRoute || r.Description != want.Description {
				t.Errorf("at once: got %+v", r)
			}
			time.Sleep(RouteTakes + time.Second)
			b.createRoute(t, want)
			if r := b.route(t, want.Destination, want.Subnet); r.Status != latch.Active {
				t.Errorf("later: got %+v, want it active", r)
			}
			if n := len(b.observe(t).Routes); n != 2 {
				t.Errorf("got %d routes, want the automatic one and one more", n)
			}
		},
		"the automatic route exists already": func(t *testing.T, b VPNBench) {
			b.ready(t, b.Subnets[0], "one")
			r := b.observe(t).Routes[0]
			b.createRoute(t, latch.Route{Destination: r.Destination, Subnet: r.Subnet})
		},
		"a route between clients targets no subnet": func(t *testing.T, b VPNBench) {
			b.ready(t, b.Subnets[0], "one")
			b.createRoute(t, latch.Route{Destination: "10.200.0.0/22", Subnet: latch.Local})
			b.route(t, "10.200.0.0/22", latch.Local)
		},
		"more routes than a page are all seen": func(t *testing.T, b VPNBench) {
			b.ready(t, b.Subnets[0], "one")
			const n = 40
			for i := range n {
				b.createRoute(t, latch.Route{Destination: fmt.Sprintf("10.9.%d.0/24", i), Subnet: b.Subnets[0]})
				time.Sleep(time.Second) // CreateClientVpnRoute has a small throttle bucket
			}
			if got := len(b.observe(t).Routes); got != n+1 {
				t.Errorf("got %d routes, want %d: a route not seen is a route forgotten", got, n+1)
			}
		},
		"two subnets are two associations, and one may end without the other": func(t *testing.T, b VPNBench) {
			first, second := b.ready(t, b.Subnets[0], "one"), b.ready(t, b.Subnets[1], "two")
			b.createRoute(t, latch.Route{Destination: "10.9.0.0/16", Subnet: b.Subnets[1]})
			c := b.Connect("alice")
			b.disassociate(t, first.ID)
			time.Sleep(DisassociateTakes + time.Second)
			o := b.observe(t)
			if o.Status != latch.Available || b.status(o, second.ID) != latch.Associated {
				t.Errorf("got endpoint %s, second association %s", o.Status, b.status(o, second.ID))
			}
			b.route(t, "10.9.0.0/16", b.Subnets[1])
			if !slices.ContainsFunc(o.Connections, func(x latch.Connection) bool { return x.ID == c }) {
				t.Errorf("connection %s is no longer reported", c)
			}
		},
		"a connection counts both directions and is not active once it ended": func(t *testing.T, b VPNBench) {
			b.ready(t, b.Subnets[0], "one")
			c := b.Connect("alice")
			b.Send(c, 1000)
			b.Send(c, 3<<30) // more than 32 bits hold
			want := latch.Connection{ID: c, Status: latch.Active, Bytes: 1000 + 3<<30}
			got := b.observe(t).Connections
			if len(got) != 1 || got[0].ID != want.ID || got[0].Status != want.Status || got[0].Bytes != want.Bytes {
				t.Errorf("got %+v, want %+v", got, want)
			}
			b.Disconnect(c)
			for _, got := range b.observe(t).Connections {
				if got.Status == latch.Active {
					t.Errorf("got %+v after it ended", got)
				}
			}
			time.Sleep(connectionsLinger + time.Minute)
			if got := b.observe(t).Connections; len(got) != 0 {
				t.Errorf("an hour later: got %+v, want none", got)
			}
		},
		"a caller who gave up gets no answer": func(t *testing.T, b VPNBench) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := b.VPN.Observe(ctx, b.Endpoint)
			wantGivenUp(t, "observe", err)
			_, err = b.VPN.Associate(ctx, b.Endpoint, b.Subnets[0], "one")
			wantGivenUp(t, "associate", err)
			wantGivenUp(t, "disassociate", b.VPN.Disassociate(ctx, b.Endpoint, "cvpn-assoc-0fffffffffffffff0"))
			wantGivenUp(t, "create route", b.VPN.CreateRoute(ctx, b.Endpoint, latch.Route{Destination: "10.9.0.0/16", Subnet: b.Subnets[0]}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newVPN(t)) })
		})
	}
}

func (b VPNBench) observe(t *testing.T) latch.Observation {
	t.Helper()
	o, err := b.VPN.Observe(t.Context(), b.Endpoint)
	if err != nil {
		t.Fatalf("observe: %v", err)
	}
	return o
}

func (b VPNBench) associate(t *testing.T, subnet latch.SubnetID, token string) latch.Association {
	t.Helper()
	a, err := b.VPN.Associate(t.Context(), b.Endpoint, subnet, token)
	if err != nil {
		t.Fatalf("associate %s: %v", subnet, err)
	}
	return a
}

// ready associates and waits until that is done.
func (b VPNBench) ready(t *testing.T, subnet latch.SubnetID, token string) latch.Association {
	t.Helper()
	a := b.associate(t, subnet, token)
	time.Sleep(AssociateTakes + RouteTakes + time.Second)
	return a
}

func (b VPNBench) disassociate(t *testing.T, id latch.AssociationID) {
	t.Helper()
	if err := b.VPN.Disassociate(t.Context(), b.Endpoint, id); err != nil {
		t.Fatalf("disassociate %s: %v", id, err)
	}
}

func (b VPNBench) createRoute(t *testing.T, r latch.Route) {
	t.Helper()
	if err := b.VPN.CreateRoute(t.Context(), b.Endpoint, r); err != nil {
		t.Fatalf("create route %s: %v", r.Destination, err)
	}
}

func (b VPNBench) route(t *testing.T, destination string, subnet latch.SubnetID) latch.Route {
	t.Helper()
	o := b.observe(t)
	for _, r := range o.Routes {
		if r.Destination == destination && r.Subnet == subnet {
			return r
		}
	}
	t.Fatalf("no route %s over %s, got %+v", destination, subnet, o.Routes)
	return latch.Route{}
}

func (b VPNBench) index(o latch.Observation, id latch.AssociationID) int {
	return slices.IndexFunc(o.Associations, func(a latch.Association) bool { return a.ID == id })
}

// status is the association's, or empty when it is not listed.
func (b VPNBench) status(o latch.Observation, id latch.AssociationID) latch.Status {
	if i := b.index(o, id); i >= 0 {
		return o.Associations[i].Status
	}
	return ""
}

func wantFault(t *testing.T, what string, err, kind error) {
	t.Helper()
	fault, ok := errors.AsType[*latch.Fault](err)
	if !errors.Is(err, kind) || !ok || fault.Service != "ec2" || fault.Code == "" {
		t.Errorf("%s: got %v, want %v with EC2's own code and words", what, err, kind)
	}
}

func wantGivenUp(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, latch.ErrUnavailable) || !errors.Is(err, context.Canceled) {
		t.Errorf("%s: got %v, want %v and %v", what, err, latch.ErrUnavailable, context.Canceled)
	}
}
