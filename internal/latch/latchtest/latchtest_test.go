package latchtest_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

const (
	endpoint latch.EndpointID = "cvpn-endpoint-0123456789abcdef0"
	subnetA  latch.SubnetID   = "subnet-0a"
	subnetB  latch.SubnetID   = "subnet-0b"
)

func newVPN() *latchtest.VPN {
	v := latchtest.NewVPN(endpoint, subnetA, subnetB)
	v.AssociateTakes, v.DisassociateTakes, v.RouteTakes = latchtest.AssociateTakes, latchtest.DisassociateTakes, latchtest.RouteTakes
	return v
}

func TestVPN(t *testing.T) {
	latchtest.TestVPN(t, func(t *testing.T) latchtest.VPNBench {
		v := newVPN()
		return latchtest.VPNBench{
			VPN: v, Groups: []latch.GroupID{"sg-0a", "sg-0b"}, Endpoint: endpoint, Subnets: []latch.SubnetID{subnetA, subnetB}, FailNext: v.FailNext,
			Connect: func(user string) latch.ConnectionID {
				c, err := v.Connect(endpoint, user)
				if err != nil {
					t.Fatalf("connect: %v", err)
				}
				return c
			},
			Send:       func(c latch.ConnectionID, bytes uint64) { v.Send(c, bytes) },
			Disconnect: func(c latch.ConnectionID) { v.Disconnect(c) },
		}
	})
}

func TestStore(t *testing.T) {
	latchtest.TestStore(t, func(t *testing.T) latch.Store { return new(latchtest.Store) })
}

func TestDeadman(t *testing.T) {
	latchtest.TestDeadman(t, func(t *testing.T) latchtest.DeadmanBench {
		v := newVPN()
		b := latchtest.DeadmanBench{Deadman: &latchtest.Deadman{VPN: v}, Endpoint: endpoint}
		for _, s := range []latch.SubnetID{subnetA, subnetB} {
			a, err := v.AssociateByHand(endpoint, s)
			if err != nil {
				t.Fatalf("associate: %v", err)
			}
			b.Associations = append(b.Associations, a.ID)
		}
		b.Ended = func(id latch.AssociationID) bool {
			return !slices.ContainsFunc(v.Now(endpoint).Associations, func(a latch.Association) bool {
				return a.ID == id && a.Status != latch.Disassociating && a.Status != latch.Disassociated
			})
		}
		return b
	})
}

// The parts of the fakes that no real adapter has.
func TestHands(t *testing.T) {
	boom := errors.New("boom")
	for name, test := range map[string]func(*testing.T){
		"a call that fails has no effect and is counted": func(t *testing.T) {
			v := newVPN()
			v.Fail = func(call string) error {
				if call == "Associate" {
					return boom
				}
				return nil
			}
			if _, err := v.Associate(t.Context(), endpoint, subnetA, "one"); !errors.Is(err, boom) {
				t.Errorf("got %v, want %v", err, boom)
			}
			if n, o := v.Calls("Associate"), v.Now(endpoint); n != 1 || len(o.Associations) != 0 {
				t.Errorf("got %d calls, %+v", n, o)
			}
		},
		"a call whose answer is lost had its effect": func(t *testing.T) {
			s := new(latchtest.Store)
			s.Lose = func(call string) error {
				if call == "Save" {
					return boom
				}
				return nil
			}
			if _, err := s.Save(t.Context(), endpoint, latch.Record{}); !errors.Is(err, boom) {
				t.Errorf("got %v, want %v", err, boom)
			}
			if r, err := s.Load(t.Context(), endpoint); err != nil || r.Version != 1 {
				t.Errorf("got version %d, %v, want 1", r.Version, err)
			}
		},
		"routes come and go by hand, but not the automatic one": func(t *testing.T) {
			v := newVPN()
			if _, err := v.AssociateByHand(endpoint, subnetA); err != nil {
				t.Fatal(err)
			}
			time.Sleep(latchtest.AssociateTakes)
			if err := v.AddRouteByHand(endpoint, latch.Route{Destination: "10.9.0.0/16", Subnet: subnetA}); err != nil {
				t.Fatal(err)
			}
			if v.DeleteRouteByHand(endpoint, latchtest.AutomaticRoute, subnetA) || !v.DeleteRouteByHand(endpoint, "10.9.0.0/16", subnetA) {
				t.Error("want the added route deleted and the automatic one kept")
			}
			if n := v.Calls("CreateRoute") + v.Calls("Associate"); n != 0 {
				t.Errorf("hands are not counted: got %d", n)
			}
		},
		"an association's end may take every added route": func(t *testing.T) {
			v := newVPN()
			v.LoseAllRoutes = true
			var ids []latch.AssociationID
			for _, s := range []latch.SubnetID{subnetA, subnetB} {
				a, err := v.AssociateByHand(endpoint, s)
				if err != nil {
					t.Fatal(err)
				}
				ids = append(ids, a.ID)
			}
			time.Sleep(latchtest.AssociateTakes)
			if err := v.AddRouteByHand(endpoint, latch.Route{Destination: "10.9.0.0/16", Subnet: subnetB}); err != nil {
				t.Fatal(err)
			}
			v.DisassociateByHand(endpoint, ids[0])
			if rs := v.Now(endpoint).Routes; len(rs) != 1 || rs[0].Origin != latch.OriginAssociate || rs[0].Subnet != subnetB {
				t.Errorf("got %+v, want the automatic route of %s only", rs, subnetB)
			}
		},
		"billed is from the call that made an association to the call that ended it": func(t *testing.T) {
			v := newVPN()
			a, err := v.AssociateByHand(endpoint, subnetA)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Hour)
			v.DisassociateByHand(endpoint, a.ID)
			time.Sleep(time.Hour)
			if got := v.Billed(endpoint); got != time.Hour {
				t.Errorf("got %v, want 1h", got)
			}
		},
		"a switch that fired is not armed any more, and ended the association when it was due": func(t *testing.T) {
			v := newVPN()
			d := &latchtest.Deadman{VPN: v}
			a, err := v.AssociateByHand(endpoint, subnetA)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Arm(t.Context(), endpoint, a.ID, time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
			if n := len(d.Armed()); n != 1 {
				t.Errorf("got %d armed, want 1", n)
			}
			time.Sleep(3 * time.Hour)
			if n, billed := len(d.Armed()), v.Billed(endpoint); n != 0 || billed != time.Hour {
				t.Errorf("got %d armed and %v billed, want none and 1h", n, billed)
			}
		},
		"a failing subnet fails until it is well": func(t *testing.T) {
			v := newVPN()
			v.FailSubnet(subnetA, true)
			a, err := v.AssociateByHand(endpoint, subnetA)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(latchtest.AssociateTakes)
			if s := v.Now(endpoint).Associations[0].Status; s != latch.AssociationFailed {
				t.Errorf("got %s, want %s", s, latch.AssociationFailed)
			}
			v.FailSubnet(subnetA, false)
			v.DisassociateByHand(endpoint, a.ID)
			time.Sleep(latchtest.DisassociateTakes)
			if _, err := v.AssociateByHand(endpoint, subnetA); err != nil {
				t.Fatal(err)
			}
			time.Sleep(latchtest.AssociateTakes)
			if s := v.Now(endpoint).Status; s != latch.Available {
				t.Errorf("got %s, want %s", s, latch.Available)
			}
		},
		"a status that associations do not explain": func(t *testing.T) {
			v := newVPN()
			v.SetStatus(endpoint, "deleting", "somebody deletes it")
			if o := v.Now(endpoint); o.Status != "deleting" || o.StatusMessage == "" {
				t.Errorf("got %s %q", o.Status, o.StatusMessage)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
	}
}
