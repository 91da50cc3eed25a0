package latch_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// noon is now in every table.
var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// scene is an observation and a record that fit together; cases change it.
type scene struct {
	o latch.Observation
	r latch.Record
	p latch.Policy
}

const (
	assocA latch.AssociationID = "cvpn-assoc-a"
	assocB latch.AssociationID = "cvpn-assoc-b"
)

// off is an endpoint that nobody wants.
func off() *scene {
	return &scene{o: latch.Observation{At: noon, Endpoint: office, Status: latch.PendingAssociate}, p: policy()}
}

// wished adds Kim's lease, an hour old and an hour long still, and its opening.
func wished() *scene {
	s := off()
	since := noon.Add(-time.Hour)
	s.r.Version = 1
	s.r.Leases = []latch.Lease{{Subject: "kim", Name: "Kim", Since: since, Asked: since, Until: noon.Add(time.Hour)}}
	s.r.Opening = &latch.Opening{ID: "O", Since: since, End: since.Add(s.p.AbsoluteMax), Subnets: s.p.Subnets, Associations: map[latch.AssociationID]latch.Kept{}}
	return s
}

// open has subnet A associated, armed and restored, with Kim's client on it.
func open() *scene {
	s := wished()
	s.associate(assocA, subnetA, latch.Associated)
	s.r.Opening.ReadyAt, s.r.Opening.ConnectedAt = noon.Add(-50*time.Minute), noon.Add(-50*time.Minute)
	s.o.Connections = []latch.Connection{{ID: "c", Status: latch.Active, Bytes: 1 << 20}}
	s.r.Opening.Marks, s.r.Opening.MarkedAt = map[latch.ConnectionID]uint64{"c": 1 << 20}, noon.Add(-time.Minute)
	return s
}

func (s *scene) associate(id latch.AssociationID, subnet latch.SubnetID, status latch.Status) {
	s.o.Associations = append(s.o.Associations, latch.Association{ID: id, Subnet: subnet, Status: status})
	seen := noon.Add(-time.Minute)
	k := latch.Kept{Subnet: subnet, Status: status, Armed: true, MadeAt: seen, SeenAt: seen}
	if status == latch.Associated {
		s.o.Status, k.Restored = latch.Available, true
		s.o.Routes = append(s.o.Routes,
			latch.Route{Destination: "10.0.0.0/16", Subnet: subnet, Origin: latch.OriginAssociate, Status: latch.Active},
			latch.Route{Destination: "10.9.0.0/16", Subnet: subnet, Origin: latch.OriginAddRoute, Status: latch.Active})
	}
	if s.r.Opening != nil {
		s.r.Opening.Associations[id] = k
	}
}

// kept changes what is remembered of an association.
func (s *scene) kept(id latch.AssociationID, change func(*latch.Kept)) {
	k := s.r.Opening.Associations[id]
	change(&k)
	s.r.Opening.Associations[id] = k
}

func (s *scene) without(destination string) {
	s.o.Routes = slices.DeleteFunc(s.o.Routes, func(r latch.Route) bool { return r.Destination == destination })
}

func (s *scene) byHand(destination string, subnet latch.SubnetID) {
	s.o.Routes = append(s.o.Routes, latch.Route{Destination: destination, Subnet: subnet, Origin: latch.OriginAddRoute, Status: latch.Active})
}

// noLease ends Kim's lease so long ago.
func (s *scene) noLease(ago time.Duration) { s.r.Leases, s.r.Opening.LeaseEnded = nil, noon.Add(-ago) }

func TestPlan(t *testing.T) {
	told := map[latch.Code]bool{}
	for name, tt := range map[string]struct {
		scene  func() *scene
		change func(*scene)
		state  latch.State
		code   latch.Code
		steps  string
	}{
		"associated and restored, with other security groups than the last time: apply those": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associated)
			s.o.VPC, s.o.Groups, s.r.Groups = "vpc-1", []latch.GroupID{"sg-default"}, []latch.GroupID{"sg-1", "sg-2"}
		}, latch.StateOpening, latch.OpeningGroups, "security groups sg-1, sg-2"},
		"the declared security groups come before what was learned": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associated)
			s.o.VPC, s.o.Groups, s.r.Groups, s.p.Groups = "vpc-1", []latch.GroupID{"sg-1"}, []latch.GroupID{"sg-1"}, []latch.GroupID{"sg-9"}
		}, latch.StateOpening, latch.OpeningGroups, "security groups sg-9"},
		"the declared security groups in another order: nothing": {open, func(s *scene) {
			s.o.VPC, s.o.Groups, s.p.Groups = "vpc-1", []latch.GroupID{"sg-2", "sg-1"}, []latch.GroupID{"sg-1", "sg-2"}
		}, latch.StateOpen, latch.OpenLease, ""},
		"somebody took a declared security group away: degraded, and put back": {open, func(s *scene) {
			s.o.VPC, s.o.Groups, s.p.Groups = "vpc-1", []latch.GroupID{"sg-1"}, []latch.GroupID{"sg-1", "sg-2"}
		}, latch.StateDegraded, latch.DegradedGroups, "security groups sg-1, sg-2"},
		"somebody changed undeclared security groups while it is open: theirs to change": {open, func(s *scene) {
			s.o.VPC, s.o.Groups, s.r.Groups, s.r.Opening.Grouped = "vpc-1", []latch.GroupID{"sg-3"}, []latch.GroupID{"sg-1"}, true
		}, latch.StateOpen, latch.OpenLease, ""},
		"still associating: security groups are applied already": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associating)
			s.o.VPC, s.r.Groups = "vpc-1", []latch.GroupID{"sg-1"}
		}, latch.StateOpening, latch.OpeningAssociating, "security groups sg-1, route 10.9.0.0/16 via subnet-a"},
		"nobody wants it and nobody may: it says from when": {off, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 13 * 60, 14 * 60}}}
		}, latch.StateOff, latch.OffHours, ""},
		"the hours ended: close": {open, func(s *scene) {
			s.noLease(0)
			s.p.Hours = &latch.Hours{Location: time.UTC, Close: true, Windows: []latch.Window{{daily, 8 * 60, 12 * 60}}}
		}, latch.StateClosing, latch.ClosingHours, "disassociate cvpn-assoc-a"},
		"the hours ended under a lease, and do not close: nothing": {open, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 8 * 60, 12 * 60}}}
		}, latch.StateOpen, latch.OpenLease, ""},
		"an operator keeps it closed: it says until when": {off, func(s *scene) {
			s.r.Hold = &latch.Hold{By: "op", Why: "works on the network", Until: noon.Add(time.Hour)}
		}, latch.StateOff, latch.OffHeld, ""},
		"an operator's order is over: nothing": {off, func(s *scene) {
			s.r.Hold = &latch.Hold{By: "op", Until: noon}
		}, latch.StateOff, latch.OffIdle, ""},
		"an operator closes it: disassociate": {open, func(s *scene) {
			s.noLease(0)
			s.r.Hold = &latch.Hold{By: "op", Until: noon.Add(time.Hour)}
		}, latch.StateClosing, latch.ClosingHeld, "disassociate cvpn-assoc-a"},
		"somebody ended it outside: what is left goes too": {open, func(s *scene) {
			s.noLease(0)
			s.o.Associations[0].Status = latch.Disassociating
		}, latch.StateClosing, latch.ClosingOutside, ""},
		"only observed, and the lease ended: it says what would happen": {open, func(s *scene) {
			s.noLease(time.Hour)
			s.p.Observe = true
			s.kept(assocA, func(k *latch.Kept) { k.Armed = false })
		}, latch.StateOpen, latch.OpenWould, "disassociate cvpn-assoc-a"},
		"only observed, and somebody needs it: open without a switch": {open, func(s *scene) {
			s.p.Observe = true
			s.kept(assocA, func(k *latch.Kept) { k.Armed = false })
		}, latch.StateOpen, latch.OpenLease, "arm cvpn-assoc-a 23:02"},
		"nobody wants it: nothing": {off, nil, latch.StateOff, latch.OffIdle, ""},
		"a wish: associate the first subnet": {wished, nil, latch.StateOpening, latch.OpeningAssociating,
			"associate subnet-a O-subnet-a-0"},
		"a wish, and policy wants all: associate every subnet": {wished, func(s *scene) { s.p.All = true },
			latch.StateOpening, latch.OpeningAssociating, "associate subnet-a O-subnet-a-0, associate subnet-b O-subnet-b-0"},
		"associating: routes are tried already": {wished, func(s *scene) { s.associate(assocA, subnetA, latch.Associating) },
			latch.StateOpening, latch.OpeningAssociating, "route 10.9.0.0/16 via subnet-a"},
		"EC2 answered for an association and does not list it yet: it counts": {wished, func(s *scene) {
			s.r.Opening.Associations[assocA] = latch.Kept{Subnet: subnetA, Status: latch.Associating, Armed: true, MadeAt: noon.Add(-9 * time.Second)}
		}, latch.StateOpening, latch.OpeningAssociating, "route 10.9.0.0/16 via subnet-a"},
		"an association without a switch: the switch comes first": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associating)
			s.kept(assocA, func(k *latch.Kept) { k.Armed = false })
		}, latch.StateOpening, latch.OpeningAssociating, "arm cvpn-assoc-a 23:02, route 10.9.0.0/16 via subnet-a"},
		"associated, routes missing: restore them": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associated)
			s.kept(assocA, func(k *latch.Kept) { k.Restored = false })
			s.without("10.9.0.0/16")
		}, latch.StateOpening, latch.OpeningRoutes, "route 10.9.0.0/16 via subnet-a"},
		"a route between clients is made once, not for each subnet": {open, func(s *scene) {
			s.p.All = true
			s.associate(assocB, subnetB, latch.Associated)
			s.p.Routes = append(s.p.Routes, latch.Route{Destination: "10.200.0.0/22", Subnet: latch.Local})
		}, latch.StateDegraded, latch.DegradedRoutes, "route 10.200.0.0/22 via local"},
		"everything is there but the switch: not ready": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associated)
			s.kept(assocA, func(k *latch.Kept) { k.Armed = false })
		}, latch.StateOpening, latch.OpeningSwitch, "arm cvpn-assoc-a 23:02"},
		"the association failed and is not cleared: clear it, and try the next subnet": {wished, func(s *scene) {
			s.associate(assocA, subnetA, latch.AssociationFailed)
			s.kept(assocA, func(k *latch.Kept) { k.Over = true })
			s.r.Failure = &latch.Failure{Why: "no free address"}
		}, latch.StateOpening, latch.OpeningRetry, "disassociate cvpn-assoc-a, associate subnet-b O-subnet-b-0"},
		"both subnets failed once: the first again, with a new token": {wished, func(s *scene) {
			s.r.Opening.Associations[assocA] = latch.Kept{Subnet: subnetA, Over: true}
			s.r.Opening.Associations[assocB] = latch.Kept{Subnet: subnetB, Over: true}
			s.r.Failure = &latch.Failure{Why: "no free address"}
		}, latch.StateOpening, latch.OpeningRetry, "associate subnet-a O-subnet-a-1"},
		"a lease lives: open": {open, nil, latch.StateOpen, latch.OpenLease, ""},
		"no lease, but traffic: open": {open, func(s *scene) {
			s.noLease(10 * time.Minute)
			s.r.Opening.TrafficAt = noon.Add(-time.Minute)
		}, latch.StateOpen, latch.OpenTraffic, ""},
		"the lease has just ended and nobody looked yet, with traffic: open": {open, func(s *scene) {
			s.r.Leases[0].Until = noon
			s.r.Opening.TrafficAt = noon.Add(-time.Minute)
		}, latch.StateOpen, latch.OpenTraffic, ""},
		"opened by hand, and policy says warn: left alone": {off, func(s *scene) {
			s.p.ByHand = latch.Warn
			s.associate(assocA, subnetA, latch.Associated)
		}, latch.StateOpen, latch.OpenByHand, ""},
		"a declared route went missing: it comes back": {open, func(s *scene) { s.without("10.9.0.0/16") },
			latch.StateDegraded, latch.DegradedRoutes, "route 10.9.0.0/16 via subnet-a"},
		"a learned route went missing: that was somebody's wish": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: "192.168.7.0/24", Subnet: subnetA}}
		}, latch.StateDegraded, latch.DegradedRoutes, ""},
		"one of all subnets went missing": {open, func(s *scene) { s.p.All = true },
			latch.StateDegraded, latch.DegradedAssociation, "associate subnet-b O-subnet-b-0"},
		"one of all is being disassociated: its subnet waits": {open, func(s *scene) {
			s.p.All = true
			s.associate(assocB, subnetB, latch.Disassociating)
		}, latch.StateDegraded, latch.DegradedAssociation, ""},
		"two of two are associated, but one is not among policy's subnets: one is missing": {open, func(s *scene) {
			s.p.All, s.p.Subnets = true, []latch.SubnetID{subnetA, "subnet-c"}
			s.associate(assocB, subnetB, latch.Associated)
		}, latch.StateDegraded, latch.DegradedAssociation, "associate subnet-c O-subnet-c-0"},
		"one of all failed before it was ever ready: people may work over the other": {open, func(s *scene) {
			s.p.All, s.r.Opening.ReadyAt = true, time.Time{}
			s.r.Opening.Associations[assocB] = latch.Kept{Subnet: subnetB, Over: true}
			s.r.Failure = &latch.Failure{Why: "no free address"}
		}, latch.StateDegraded, latch.DegradedAssociation, "associate subnet-b O-subnet-b-1"},
		"the last one is done: close, though their own client is connected": {open, func(s *scene) {
			s.noLease(0)
			s.r.Opening.Done = true
			s.r.Opening.TrafficAt = noon.Add(-time.Minute)
		}, latch.StateClosing, latch.ClosingDone, "disassociate cvpn-assoc-a"},
		"the last one is done, and somebody else works without a lease: open": {open, func(s *scene) {
			s.noLease(0)
			s.r.Opening.Done = true
			s.r.Opening.TrafficAt = noon.Add(-time.Minute)
			s.o.Connections = append(s.o.Connections, latch.Connection{ID: "d", Status: latch.Active})
		}, latch.StateOpen, latch.OpenTraffic, ""},
		"the other's connection has ended: it does not count": {open, func(s *scene) {
			s.noLease(0)
			s.r.Opening.Done = true
			s.r.Opening.TrafficAt = noon.Add(-time.Minute)
			s.o.Connections = append(s.o.Connections, latch.Connection{ID: "d", Status: "terminated"})
		}, latch.StateClosing, latch.ClosingDone, "disassociate cvpn-assoc-a"},
		"the lease ended without traffic: close": {open, func(s *scene) { s.noLease(0) },
			latch.StateClosing, latch.ClosingLease, "disassociate cvpn-assoc-a"},
		"idle since the lease ended: close": {open, func(s *scene) {
			s.noLease(30 * time.Minute)
			s.r.Opening.TrafficAt = noon.Add(-16 * time.Minute)
		}, latch.StateClosing, latch.ClosingIdle, "disassociate cvpn-assoc-a"},
		"traffic alone for an hour: close": {open, func(s *scene) {
			s.noLease(time.Hour)
			s.r.Opening.TrafficAt = noon.Add(-time.Minute)
		}, latch.StateClosing, latch.ClosingIdle, "disassociate cvpn-assoc-a"},
		"nobody came: close": {open, func(s *scene) {
			s.noLease(0)
			s.r.Opening.ClosingFor = latch.ClosingUnused
		}, latch.StateClosing, latch.ClosingUnused, "disassociate cvpn-assoc-a"},
		"the absolute maximum, whatever anybody wishes: close": {open, func(s *scene) { s.r.Opening.Since = noon.Add(-12 * time.Hour); s.r.Leases = nil },
			latch.StateClosing, latch.ClosingMax, "disassociate cvpn-assoc-a"},
		"an operator has paused it, off": {off, func(s *scene) {
			s.r.Hold = &latch.Hold{Pause: true, Until: noon.Add(time.Hour)}
		}, latch.StateOff, latch.OffPaused, ""},
		"an operator has paused it, open: leases live": {open, func(s *scene) {
			s.r.Hold = &latch.Hold{Pause: true, Until: noon.Add(time.Hour)}
		}, latch.StateOpen, latch.OpenPaused, ""},
		"an operator has paused it, and the last lease ended: close": {open, func(s *scene) {
			s.noLease(0)
			s.r.Hold = &latch.Hold{Pause: true, Until: noon.Add(time.Hour)}
		}, latch.StateClosing, latch.ClosingLease, "disassociate cvpn-assoc-a"},
		"a break-glass lease under an order: open": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass = true
			s.r.Hold = &latch.Hold{Until: noon.Add(time.Hour)}
		}, latch.StateOpen, latch.OpenBreakGlass, ""},
		"a break-glass lease after the hours: open": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass = true
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 8 * 60, 11 * 60}}, Close: true}
		}, latch.StateOpen, latch.OpenBreakGlass, ""},
		"a break-glass lease that has ended under an order: close": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass, s.r.Leases[0].Until = true, noon
			s.r.Opening.TrafficAt = noon
			s.r.Hold = &latch.Hold{Until: noon.Add(time.Hour)}
		}, latch.StateClosing, latch.ClosingHeld, "disassociate cvpn-assoc-a"},
		"opened by hand, and policy says close": {open, func(s *scene) {
			s.noLease(0)
			s.p.ByHand, s.r.Opening.Adopted = latch.Close, true
		}, latch.StateClosing, latch.ClosingByHand, "disassociate cvpn-assoc-a"},
		"the switch could not be made: close": {open, func(s *scene) {
			s.noLease(0)
			s.r.Opening.ClosingFor = latch.ClosingSwitch
		}, latch.StateClosing, latch.ClosingSwitch, "disassociate cvpn-assoc-a"},
		"a wish after the decision to close: the decision stands, the wish waits": {open, func(s *scene) {
			s.r.Opening.ClosingFor = latch.ClosingLease
		}, latch.StateClosing, latch.OpeningQueued, "disassociate cvpn-assoc-a"},
		"it leaves with a wish: queued, and nothing is associated": {open, func(s *scene) {
			s.o.Associations[0].Status = latch.Disassociating
		}, latch.StateClosing, latch.OpeningQueued, ""},
		"all of it is gone, and the wish waits for the next look: queued, not off": {open, func(s *scene) {
			s.r.Opening.ClosingFor, s.o.Associations = latch.ClosingLease, nil
		}, latch.StateClosing, latch.OpeningQueued, ""},
		"the endpoint is being deleted: nothing can be done": {open, func(s *scene) { s.o.Status = "deleting" },
			latch.StateUnusable, latch.UnusableStatus, ""},
		"an association of an opening that is over seems to hold: end it again": {off, func(s *scene) {
			s.associate(assocA, subnetA, latch.Associated)
			s.r.Ended = []latch.AssociationID{assocA}
		}, latch.StateOff, latch.OffIdle, "disassociate cvpn-assoc-a"},
		"switches of associations that are gone: remove them": {open, func(s *scene) {
			s.r.Disarm = []latch.AssociationID{"cvpn-assoc-old"}
			s.r.Opening.Associations[assocB] = latch.Kept{Subnet: subnetB, Over: true, Armed: true}
		}, latch.StateOpen, latch.OpenLease, "disarm cvpn-assoc-old, disarm cvpn-assoc-b"},
		"the switch of one that failed but is listed still: it stays": {open, func(s *scene) {
			s.associate(assocB, subnetB, latch.AssociationFailed)
			s.kept(assocB, func(k *latch.Kept) { k.Over = true })
		}, latch.StateOpen, latch.OpenLease, "disassociate cvpn-assoc-b"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.scene()
			if tt.change != nil {
				tt.change(s)
			}
			before := fmt.Sprintf("%+v", s.r.Opening)
			d := latch.Plan(s.o, s.r, s.p, noon)
			told[d.Reason.Code] = true
			if d.State != tt.state || d.Reason.Code != tt.code {
				t.Errorf("got %s (%s), want %s (%s)", d.State, d.Reason.Code, tt.state, tt.code)
			}
			if got := written(d.Steps); got != tt.steps {
				t.Errorf("steps:\n got %q\nwant %q", got, tt.steps)
			}
			if after := fmt.Sprintf("%+v", s.r.Opening); after != before {
				t.Errorf("Plan changed the record")
			}
			busy := tt.state == latch.StateOpening || tt.state == latch.StateClosing || tt.state == latch.StateDegraded
			if busy && !d.NextLook.Equal(noon.Add(s.p.LookEvery)) {
				t.Errorf("the next look is at %v, want it in %v: something changes", d.NextLook, s.p.LookEvery)
			}
		})
	}
	for _, c := range latch.Codes {
		if !told[c] {
			t.Errorf("no case has the reason %s", c)
		}
	}
}

func written(steps []latch.Step) string {
	var out []string
	for _, s := range steps {
		text := s.String()
		switch s.Kind {
		case latch.StepAssociate:
			text += " " + s.Token
		case latch.StepArm:
			text += " " + s.At.Format("15:04")
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

func TestRemember(t *testing.T) {
	learned := func(ds ...string) func(*testing.T, latch.Record) {
		return func(t *testing.T, r latch.Record) {
			t.Helper()
			var got []string
			for _, l := range r.Learned {
				got = append(got, l.Destination+" via "+string(l.Subnet))
			}
			if !slices.Equal(got, ds) {
				t.Errorf("learned are %v, want %v", got, ds)
			}
		}
	}
	traffic := func(want bool) func(*testing.T, latch.Record) {
		return func(t *testing.T, r latch.Record) {
			t.Helper()
			if got := r.Opening.TrafficAt.Equal(noon); got != want {
				t.Errorf("traffic is %v, want %v", got, want)
			}
		}
	}
	until := func(want time.Time) func(*testing.T, latch.Record) {
		return func(t *testing.T, r latch.Record) {
			t.Helper()
			if len(r.Leases) != 1 || !r.Leases[0].Until.Equal(want) {
				t.Errorf("leases are %+v, want one until %v", r.Leases, want)
			}
		}
	}
	lives := func(t *testing.T, r latch.Record) {
		t.Helper()
		if r.Opening == nil || r.Opening.ID != "O" {
			t.Errorf("the opening is over: %+v", r.Opening)
		}
	}
	over := func(t *testing.T, r latch.Record) {
		t.Helper()
		if r.Opening != nil {
			t.Errorf("the opening is not over: %+v", r.Opening)
		}
	}
	const x, via = "192.168.7.0/24", " via subnet-a"
	known := []latch.Learned{{Destination: x, Subnet: subnetA}}
	long := noon.Add(-2 * time.Minute)
	for name, tt := range map[string]struct {
		scene   func() *scene
		change  func(*scene)
		want    func(*testing.T, latch.Record)
		entries string
	}{
		"a route added by hand is learned": {open, func(s *scene) { s.byHand(x, subnetA) }, learned(x + via), "route.learn"},
		"before the opening was ready nothing is learned": {open, func(s *scene) {
			s.byHand(x, subnetA)
			s.r.Opening.ReadyAt = time.Time{}
			s.without("10.9.0.0/16")
		}, learned(), ""},
		"while another association ends, a route is learned all the same": {open, func(s *scene) {
			s.associate(assocB, subnetB, latch.Disassociating)
			s.byHand(x, subnetA)
		}, learned(x + via), "route.learn"},
		"a declared route is not learned": {open, nil, learned(), ""},
		"nor one that policy has stopped declaring": {open, func(s *scene) {
			s.r.Opening.Declared, s.p.Routes = []latch.Route{{Destination: "10.9.0.0/16"}}, nil
		}, learned(), ""},
		"nor one that fails": {open, func(s *scene) {
			s.byHand(x, subnetA)
			s.o.Routes[len(s.o.Routes)-1].Status = latch.Failed
		}, learned(), ""},
		"the same block in another spelling is the same route": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: "192.168.7.1/24", Subnet: subnetA}}
			s.byHand(x, subnetA)
		}, learned("192.168.7.1/24" + via), ""},
		"missing in one look: kept": {open, func(s *scene) { s.r.Learned = known }, learned(x + via), ""},
		"missing in two looks of the same moment: kept, both may be late": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: noon.Add(-time.Second)}}
		}, learned(x + via), ""},
		"missing for longer than reports are late: forgotten": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
		}, learned(), "route.forget"},
		"a local route missing in one look, on two associations: kept": {open, func(s *scene) {
			s.associate(assocB, subnetB, latch.Associated)
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: latch.Local}}
		}, learned(x + " via local"), ""},
		"missing while the restore runs: kept": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
			s.kept(assocA, func(k *latch.Kept) { k.Restored = false })
		}, learned(x + via), ""},
		"missing when another association ended: kept, AWS may have taken it": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
			s.associate(assocB, subnetB, latch.Disassociating)
		}, learned(x + via), ""},
		"missing when an association ended that nobody knew: kept, AWS may have taken it": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
			s.associate("cvpn-assoc-unseen", subnetB, latch.Disassociated)
			delete(s.r.Opening.Associations, "cvpn-assoc-unseen")
		}, learned(x + via), ""},
		"missing with a declared one: kept, nobody's wish took that away": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
			s.o.Routes = slices.DeleteFunc(s.o.Routes, func(r latch.Route) bool { return r.Origin == latch.OriginAddRoute })
		}, learned(x + via), ""},
		"missing in a report that misses an association too: kept, the report is odd": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
			s.r.Opening.Associations[assocB] = latch.Kept{Subnet: subnetB, Status: latch.Associated, SeenAt: noon.Add(-time.Second)}
		}, learned(x + via), ""},
		"missing when its own association leaves: kept": {open, func(s *scene) {
			s.r.Learned = []latch.Learned{{Destination: x, Subnet: subnetA, MissingSince: long}}
			s.o.Associations[0].Status = latch.Disassociating
		}, learned(x + via), "close"},

		"everything is there at last, and it is closing already: never ready": {open, func(s *scene) {
			s.noLease(0)
			s.r.Opening.ReadyAt, s.r.Opening.UpAt, s.r.Opening.ClosingFor = time.Time{}, noon.Add(-time.Minute), latch.ClosingDone
		}, func(t *testing.T, r latch.Record) {
			if !r.Opening.ReadyAt.IsZero() || len(r.Past) != 0 {
				t.Errorf("ready at %v, and phases took %v", r.Opening.ReadyAt, r.Past)
			}
		}, ""},

		"complete while another association ends: not restored yet, its end may take routes": {open, func(s *scene) {
			s.associate(assocB, subnetB, latch.Disassociating)
			s.kept(assocA, func(k *latch.Kept) { k.Restored = false })
		}, func(t *testing.T, r latch.Record) {
			if r.Opening.Associations[assocA].Restored {
				t.Error("restored")
			}
		}, ""},

		"bytes up to the floor are keep-alives": {open, func(s *scene) { s.o.Connections[0].Bytes += s.p.IdleFloor - 1 }, traffic(false), ""},
		"bytes from the floor on are traffic":   {open, func(s *scene) { s.o.Connections[0].Bytes += s.p.IdleFloor }, traffic(true), ""},
		"bytes of a connection that ended are not": {open, func(s *scene) {
			s.o.Connections[0].Bytes += 1 << 20
			s.o.Connections[0].Status = "terminated"
		}, traffic(false), ""},
		"bytes below the mark are a counter that began anew": {open, func(s *scene) { s.o.Connections[0].Bytes = 100 }, traffic(false), ""},
		"two connections below the floor do not add up": {open, func(s *scene) {
			s.o.Connections[0].Bytes += s.p.IdleFloor - 1
			s.o.Connections = append(s.o.Connections, latch.Connection{ID: "d", Status: latch.Active, Bytes: s.p.IdleFloor - 1})
		}, traffic(false), ""},

		"a lease ends at its time": {open, func(s *scene) { s.r.Leases[0].Until = noon }, func(t *testing.T, r latch.Record) {
			if len(r.Leases) != 0 || !r.Opening.LeaseEnded.Equal(noon) || r.Opening.ClosingFor != latch.ClosingLease {
				t.Errorf("got %+v, %+v", r.Leases, r.Opening)
			}
		}, "lease.end close"},
		"a lease past the opening's end is cut to it": {open, func(s *scene) { s.r.Leases[0].Until = noon.Add(11*time.Hour + time.Minute) },
			until(noon.Add(11 * time.Hour)), "lease.clip"},
		"a lease longer than a shorter policy is cut": {open, func(s *scene) { s.r.Leases[0].Until, s.p.LeaseMax = noon.Add(5*time.Hour), 4*time.Hour },
			until(noon.Add(3 * time.Hour)), "lease.clip"},
		"a lease that waits for the next opening is not": {open, func(s *scene) {
			s.r.Opening.ClosingFor = latch.ClosingLease
			s.r.Leases[0].Asked, s.r.Leases[0].Until = noon, noon.Add(12*time.Hour)
		}, until(noon.Add(12 * time.Hour)), ""},
		"the hours begin in two seconds, by this clock: whom a faster one let in already stays": {wished, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.FixedZone("", -2), Close: true, Windows: []latch.Window{{daily, 12 * 60, 18 * 60}}}
		}, until(noon.Add(time.Hour)), ""},
		"the hours begin in ten seconds: the lease lapses": {wished, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.FixedZone("", -10), Close: true, Windows: []latch.Window{{daily, 12 * 60, 18 * 60}}}
		}, func(t *testing.T, r latch.Record) {
			if len(r.Leases) != 0 || r.Opening.ClosingFor != latch.ClosingHours {
				t.Errorf("got %+v, closing for %q", r.Leases, r.Opening.ClosingFor)
			}
		}, "lease.lapse"},
		"nobody came within the grace: the leases lapse": {open, func(s *scene) {
			s.r.Opening.ConnectedAt, s.o.Connections = time.Time{}, nil
		}, func(t *testing.T, r latch.Record) {
			if len(r.Leases) != 0 || r.Opening.ClosingFor != latch.ClosingUnused {
				t.Errorf("got %+v, closing for %q", r.Leases, r.Opening.ClosingFor)
			}
		}, "lease.lapse close"},
		"nobody came, but somebody asked again since: they stay": {open, func(s *scene) {
			s.r.Opening.ConnectedAt, s.o.Connections, s.r.Leases[0].Asked = time.Time{}, nil, noon.Add(-19*time.Minute)
		}, until(noon.Add(time.Hour)), ""},
		"a wish that waits does not lapse": {open, func(s *scene) {
			s.r.Opening.ConnectedAt, s.o.Connections = time.Time{}, nil
			s.r.Opening.ClosingFor = latch.ClosingDone
		}, until(noon.Add(time.Hour)), ""},

		"a report without the association, a moment after one with it: it is late": {open, func(s *scene) { s.o.Associations = nil }, lives, ""},
		"reports without it for longer than they are late: it is gone, and the wish opens anew": {open, func(s *scene) {
			s.o.Associations = nil
			s.kept(assocA, func(k *latch.Kept) { k.SeenAt = long })
		}, func(t *testing.T, r latch.Record) {
			if r.Opening == nil || r.Opening.ID != "" || !slices.Equal(r.Ended, []latch.AssociationID{assocA}) || !slices.Equal(r.Disarm, r.Ended) {
				t.Errorf("got %+v, ended %v, disarm %v", r.Opening, r.Ended, r.Disarm)
			}
		}, "closed"},
		"closing, and a report without what was leaving: over": {open, func(s *scene) {
			s.noLease(time.Minute)
			s.r.Opening.ClosingFor, s.o.Associations = latch.ClosingLease, nil
			s.kept(assocA, func(k *latch.Kept) { k.Status = latch.Disassociating })
		}, over, "closed"},
		"the same, from a process whose clock is a second behind: not yet": {open, func(s *scene) {
			s.noLease(time.Minute)
			s.r.Opening.ClosingFor, s.o.Associations = latch.ClosingLease, nil
			s.kept(assocA, func(k *latch.Kept) { k.Status, k.SeenAt = latch.Disassociating, noon.Add(time.Second) })
		}, lives, ""},
		"the wish was withdrawn a moment ago: an association may yet appear": {wished, func(s *scene) { s.noLease(20 * time.Second) }, lives, ""},
		"the wish was withdrawn long ago: over":                              {wished, func(s *scene) { s.noLease(2 * time.Minute) }, over, "closed"},
		"what was opened by hand leaves by hand: its lease goes with it": {open, func(s *scene) {
			s.r.Leases[0].Subject, s.r.Opening.Adopted = latch.ByHandSubject, true
			s.o.Associations[0].Status = latch.Disassociating
		}, func(t *testing.T, r latch.Record) {
			if len(r.Leases) != 0 {
				t.Errorf("leases are %v", r.Leases)
			}
		}, "close"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.scene()
			if tt.change != nil {
				tt.change(s)
			}
			before := s.r.Clone()
			r, entries := latch.Remember(s.o, s.r, s.p, noon)
			tt.want(t, r)
			var actions []string
			for _, e := range entries {
				actions = append(actions, e.Action)
			}
			if got := strings.Join(actions, " "); got != tt.entries {
				t.Errorf("the journal has %q, want %q", got, tt.entries)
			}
			if s.r.Opening != nil && !maps.Equal(before.Opening.Associations, s.r.Opening.Associations) {
				t.Error("Remember changed the record it was given")
			}
		})
	}
}
