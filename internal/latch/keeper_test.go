package latch_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

const (
	office  latch.EndpointID = "cvpn-endpoint-0a1"
	subnetA latch.SubnetID   = "subnet-a"
	subnetB latch.SubnetID   = "subnet-b"
)

var (
	kim = latch.Principal{Subject: "kim", Name: "Kim"}
	lee = latch.Principal{Subject: "lee", Name: "Lee"}
)

// world is an endpoint with a keeper and a beat that comes every minute, in a bubble.
type world struct {
	*testing.T
	vpn      *latchtest.VPN
	store    *latchtest.Store
	switches *latchtest.Deadman
	policy   latch.Policy
	notify   func(context.Context, latch.Notice) error
	through  func(*latch.Config) // puts between the keeper and the fakes what a test wants there; nil is nothing
	phase    time.Duration       // how long after the full minute the beat comes
	keeper   *latch.Keeper
	stop     context.CancelFunc
	beats    sync.WaitGroup
}

func policy() latch.Policy {
	p := latch.DefaultPolicy()
	p.Subnets = []latch.SubnetID{subnetA, subnetB}
	p.Routes = []latch.Route{{Destination: "10.9.0.0/16", Description: "declared"}}
	return p
}

// inWorld runs f in a bubble with the beat going, and checks at the end that nothing is left running.
func inWorld(t *testing.T, change func(*world), f func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if change != nil {
			change(w)
		}
		w.start()
		defer w.end()
		f(w)
	})
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, vpn: latchtest.NewVPN(office, subnetA, subnetB), store: &latchtest.Store{}, policy: policy()}
	w.vpn.AssociateTakes, w.vpn.DisassociateTakes, w.vpn.RouteTakes = 4*time.Minute, 3*time.Minute, 10*time.Second
	w.switches = &latchtest.Deadman{VPN: w.vpn}
	return w
}

func (w *world) start() {
	w.Helper()
	c := latch.Config{VPN: w.vpn, Store: w.store, Deadman: w.switches, Notify: w.notify, Log: slog.New(slog.DiscardHandler),
		Endpoints: map[latch.EndpointID]latch.Policy{office: w.policy}}
	if w.through != nil {
		w.through(&c)
	}
	k, err := latch.New(c)
	if err != nil {
		w.Fatal(err)
	}
	w.keeper = k
	ctx, stop := context.WithCancel(w.Context())
	w.stop = stop
	w.beats.Go(func() {
		for ctx.Err() == nil {
			beat, cancel := context.WithTimeout(ctx, 58*time.Second)
			k.Beat(beat, 50*time.Second)
			cancel()
			rest := time.NewTimer(time.Until(time.Now().Add(-w.phase).Truncate(time.Minute).Add(time.Minute + w.phase)))
			select {
			case <-ctx.Done():
			case <-rest.C:
			}
			rest.Stop()
		}
	})
}

func (w *world) end() {
	w.stop()
	w.beats.Wait()
}

func (w *world) open(who latch.Principal, d time.Duration) latch.View {
	w.Helper()
	v, err := w.keeper.Open(w.Context(), office, latch.Request{Who: who, For: d})
	if err != nil {
		w.Fatalf("%s opens for %v: %v", who.Name, d, err)
	}
	return v
}

func (w *world) view(who latch.Principal) latch.View {
	w.Helper()
	v, err := w.keeper.View(w.Context(), office, who)
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *world) record() latch.Record {
	w.Helper()
	r, err := w.store.Load(w.Context(), office)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

func (w *world) want(state latch.State, code latch.Code) {
	w.Helper()
	if v := w.view(kim); v.State != state || v.Reason.Code != code {
		w.Fatalf("at %s: the page says %s (%s), want %s (%s)\n%+v\n%+v", time.Now().Format(time.TimeOnly), v.State, v.Reason.Code, state, code, v, w.vpn.Now(office))
	}
}

func (w *world) held() []latch.Association {
	var held []latch.Association
	for _, a := range w.vpn.Now(office).Associations {
		if a.Status == latch.Associating || a.Status == latch.Associated {
			held = append(held, a)
		}
	}
	return held
}

// ready waits, beat by beat, until the page says open.
func (w *world) ready() {
	w.Helper()
	for range 120 {
		if w.view(kim).State == latch.StateOpen {
			return
		}
		time.Sleep(10 * time.Second)
	}
	w.Fatalf("not open after twenty minutes: %+v", w.view(kim))
}

// failing lets one kind of call fail for as long as while is set.
func failing(call string, while *atomic.Bool, err error) func(string) error {
	return func(c string) error {
		if c == call && while.Load() {
			return err
		}
		return nil
	}
}

func TestAnOpeningFromWishToOff(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.want(latch.StateOff, latch.OffIdle)
		v := w.open(kim, time.Hour)
		if v.State != latch.StateOpening || len(v.Associations) != 1 || v.Associations[0].ID == "" || v.Associations[0].Status != latch.Associating {
			t.Fatalf("the answer to Open is %+v, want one associating association with its id", v)
		}
		if n := len(w.switches.Armed()); n != 1 {
			t.Fatalf("%d dead-man's switches right after the association, want 1", n)
		}
		began := time.Now()
		time.Sleep(2 * time.Minute)
		w.want(latch.StateOpening, latch.OpeningAssociating)

		// Ready is known at most 15 s after AWS's last route is active, with no page open.
		time.Sleep(4*time.Minute + 10*time.Second + 15*time.Second - time.Since(began) + 10*time.Second)
		r := w.record()
		if r.Opening == nil || r.Opening.ReadyAt.IsZero() {
			t.Fatalf("nobody noticed that it is ready: %+v", w.vpn.Now(office))
		}
		w.want(latch.StateOpen, latch.OpenLease)
		if !slices.ContainsFunc(w.vpn.Now(office).Routes, func(r latch.Route) bool { return r.Destination == "10.9.0.0/16" && r.Status == latch.Active }) {
			t.Fatal("the declared route is not there")
		}
		c, _ := w.vpn.Connect(office, "kim")
		w.vpn.Send(c, 1<<20)
		time.Sleep(time.Minute)
		w.vpn.Disconnect(c)

		time.Sleep(time.Until(began.Add(time.Hour + 70*time.Second)))
		if held := w.held(); len(held) != 0 {
			t.Fatalf("the lease ended more than a beat ago, and EC2 still has %v", held)
		}
		w.want(latch.StateClosing, latch.ClosingLease)
		time.Sleep(5 * time.Minute)
		w.want(latch.StateOff, latch.OffIdle)
		if n := len(w.switches.Armed()); n != 0 {
			t.Errorf("%d dead-man's switches are left after closing", n)
		}
		if r := w.record(); r.Opening != nil || len(r.Leases) != 0 {
			t.Errorf("the record still has %+v", r)
		}
	})
}

func TestTwoPeopleShareOneAssociation(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		time.Sleep(time.Second) // the beat at the start could make the same call with the same token
		w.open(kim, time.Hour)
		v := w.open(lee, 2*time.Hour)
		if v.Others != 1 || len(w.held()) != 1 || w.vpn.Calls("Associate") != 1 {
			t.Fatalf("Lee joined: others %d, held %v, %d calls of Associate; want 1, one, 1", v.Others, w.held(), w.vpn.Calls("Associate"))
		}
		w.ready()
		c, _ := w.vpn.Connect(office, "lee")
		w.vpn.Send(c, 1<<20)
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		v, err := w.keeper.Done(w.Context(), office, latch.Request{Who: lee})
		if err != nil || v.State != latch.StateClosing || v.Reason.Code != latch.ClosingDone {
			t.Fatalf("the last one is done: %v, %s %s; want it closing at once, though their own client is connected", err, v.State, v.Reason.Code)
		}
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: lee}); !errors.Is(err, latch.ErrNoLease) {
			t.Errorf("done twice: %v, want ErrNoLease", err)
		}
	})
}

func TestReopenWhileClosingIsQueued(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		first := w.held()[0].ID
		w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(time.Minute)
		v := w.open(kim, time.Hour)
		if v.State != latch.StateClosing || v.Reason.Code != latch.OpeningQueued {
			t.Fatalf("opened while closing: %s %s, want closing and queued", v.State, v.Reason.Code)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		r := w.record()
		if _, old := r.Opening.Associations[first]; old || len(r.Opening.Associations) != 1 {
			t.Errorf("the new opening remembers %v, want its own association only", r.Opening.Associations)
		}
	})
}

func TestNobodyComes(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 4*time.Hour)
		w.ready()
		time.Sleep(w.policy.UnusedAfter - time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		time.Sleep(2*time.Minute + 10*time.Second)
		w.want(latch.StateClosing, latch.ClosingUnused)
	})
}

func TestTrafficProlongsWithoutALeaseButNotForEver(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		end := w.record().Leases[0].Until
		c, _ := w.vpn.Connect(office, "kim")
		stop := make(chan struct{})
		var sending sync.WaitGroup
		sending.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Minute):
					w.vpn.Send(c, 1<<20)
				}
			}
		})
		time.Sleep(time.Until(end) + 30*time.Minute)
		w.want(latch.StateOpen, latch.OpenTraffic)
		time.Sleep(time.Until(end.Add(w.policy.TrafficMax)) + 70*time.Second)
		w.want(latch.StateClosing, latch.ClosingIdle)
		close(stop)
		sending.Wait()
	})
}

func TestKeepAlivesAreNotTraffic(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		end := w.record().Leases[0].Until
		c, _ := w.vpn.Connect(office, "kim")
		for time.Now().Before(end.Add(70 * time.Second)) {
			w.vpn.Send(c, 200) // OpenVPN pings
			time.Sleep(10 * time.Second)
		}
		w.want(latch.StateClosing, latch.ClosingLease)
	})
}

func TestTheAbsoluteMaximum(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
	}, func(w *world) {
		began := time.Now()
		w.open(kim, 2*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		w.vpn.Send(c, 1<<20)
		v, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: 2 * time.Hour})
		if err != nil || !v.Clipped || !v.Mine.Until.Equal(began.Add(3*time.Hour)) {
			t.Fatalf("extended past the maximum: %v, until %v, clipped %v; want it cut to %v, and saying so", err, v.Mine.Until, v.Clipped, began.Add(3*time.Hour))
		}
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: time.Hour}); !errors.Is(err, latch.ErrTooLong) {
			t.Errorf("nothing left to extend: %v, want ErrTooLong", err)
		}
		time.Sleep(time.Until(began.Add(3*time.Hour + 70*time.Second)))
		w.want(latch.StateClosing, latch.ClosingMax)
	})
}

func TestRoutesThatPeopleAddedComeBack(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 2*time.Hour)
		w.ready()
		added := latch.Route{Destination: "192.168.7.0/24", Subnet: subnetA, Description: "by hand"}
		if err := w.vpn.AddRouteByHand(office, added); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(10 * time.Minute)
		if n := len(w.vpn.Now(office).Routes); n != 0 {
			t.Fatalf("%d routes while off, want AWS to have lost them", n)
		}
		w.open(kim, 2*time.Hour)
		w.ready()
		if !hasRoute(w, added.Destination, subnetA) {
			t.Fatalf("the learned route did not come back: %v", w.vpn.Now(office).Routes)
		}

		// Gone together with a declared one, it comes back with it: what took that may have taken both.
		time.Sleep(time.Minute)
		w.vpn.DeleteRouteByHand(office, added.Destination, subnetA)
		w.vpn.DeleteRouteByHand(office, "10.9.0.0/16", subnetA)
		time.Sleep(3 * time.Minute)
		if !hasRoute(w, added.Destination, subnetA) || !hasRoute(w, "10.9.0.0/16", subnetA) {
			t.Errorf("routes are %v, want both back", w.vpn.Now(office).Routes)
		}

		// Taken away by hand, it stays away; a declared one comes back.
		w.vpn.DeleteRouteByHand(office, added.Destination, subnetA)
		time.Sleep(3 * time.Minute)
		w.vpn.DeleteRouteByHand(office, "10.9.0.0/16", subnetA)
		time.Sleep(3 * time.Minute)
		if hasRoute(w, added.Destination, subnetA) || !hasRoute(w, "10.9.0.0/16", subnetA) {
			t.Errorf("routes are %v, want the removed one gone and the declared one back", w.vpn.Now(office).Routes)
		}
		if n := len(w.record().Learned); n != 0 {
			t.Errorf("%d routes are still learned, want none", n)
		}
	})
}

// TestALookFromTheFuture is one that a process stored whose clock is an hour ahead: it is not shown as the present until
// then.
func TestALookFromTheFuture(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		time.Sleep(2 * time.Minute)
		o := w.vpn.Now(office)
		o.At, o.Status, o.Associations = time.Now().Add(time.Hour), latch.Available, []latch.Association{{ID: "cvpn-assoc-other", Subnet: subnetA, Status: latch.Associated}}
		if err := w.store.SaveLook(w.Context(), o); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		if v := w.view(kim); v.ObservedAt.After(time.Now()) || v.State != latch.StateOff {
			t.Errorf("shown as %s, seen at %v: want what EC2 says now", v.State, v.ObservedAt)
		}
	})
}

func hasRoute(w *world, destination string, subnet latch.SubnetID) bool {
	return slices.ContainsFunc(w.vpn.Now(office).Routes, func(r latch.Route) bool { return r.Destination == destination && r.Subnet == subnet })
}

func TestAThrottledRestoreForgetsNothing(t *testing.T) {
	var n atomic.Int64
	inWorld(t, func(w *world) {
		w.vpn.Fail = func(call string) error {
			if call == "CreateRoute" && n.Add(1)%3 != 0 {
				return latch.ErrBusy
			}
			return nil
		}
	}, func(w *world) {
		w.open(kim, 8*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		for _, d := range []string{"192.168.1.0/24", "192.168.2.0/24", "192.168.3.0/24"} {
			w.vpn.AddRouteByHand(office, latch.Route{Destination: d, Subnet: subnetA})
		}
		time.Sleep(2 * time.Minute)
		w.vpn.Disconnect(c)
		w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(10 * time.Minute)
		w.open(kim, 8*time.Hour)
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		for _, d := range []string{"192.168.1.0/24", "192.168.2.0/24", "192.168.3.0/24", "10.9.0.0/16"} {
			if !hasRoute(w, d, subnetA) {
				t.Errorf("%s was lost in a throttled restore", d)
			}
		}
	})
}

func TestAFailedAssociationFailsOverToTheNextZone(t *testing.T) {
	inWorld(t, func(w *world) { w.vpn.FailSubnet(subnetA, true) }, func(w *world) {
		w.open(kim, 2*time.Hour)
		time.Sleep(15 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		if held := w.held(); len(held) != 1 || held[0].Subnet != subnetB {
			t.Errorf("held is %v, want %s alone", held, subnetB)
		}
	})
}

// TestASubnetThatFailedComesLast: when the next one is throttled, the failed one is free again before it.
func TestASubnetThatFailedComesLast(t *testing.T) {
	var n atomic.Int64
	inWorld(t, func(w *world) {
		w.vpn.FailSubnet(subnetA, true)
		w.vpn.Fail = func(call string) error {
			if call == "Associate" && n.Add(1) > 1 && n.Load() < 30 {
				return latch.ErrBusy
			}
			return nil
		}
	}, func(w *world) {
		w.open(kim, 4*time.Hour)
		time.Sleep(20 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		for id, k := range w.record().Opening.Associations {
			if k.Subnet == subnetA && k.Over && len(w.record().Opening.Associations) > 2 {
				t.Errorf("%s was tried again before %s was tried at all: %s, %+v", subnetA, subnetB, id, w.record().Opening.Associations)
			}
		}
	})
}

func TestAllMeansEverySubnet(t *testing.T) {
	inWorld(t, func(w *world) { w.policy.All = true }, func(w *world) {
		w.open(kim, 2*time.Hour)
		w.ready()
		if len(w.held()) != 2 || !hasRoute(w, "10.9.0.0/16", subnetA) || !hasRoute(w, "10.9.0.0/16", subnetB) {
			t.Fatalf("open with %v and %v, want both subnets and the route on each", w.held(), w.vpn.Now(office).Routes)
		}
		if n := len(w.switches.Armed()); n != 2 {
			t.Errorf("%d switches, want one per association", n)
		}
	})
}

func TestOpenedByHand(t *testing.T) {
	for name, tt := range map[string]struct {
		policy latch.ByHand
		state  latch.State
		code   latch.Code
		armed  int
	}{
		"adopt: it gets a default lease and a switch": {latch.Adopt, latch.StateOpen, latch.OpenLease, 1},
		"warn: it is left alone and said":             {latch.Warn, latch.StateOpen, latch.OpenByHand, 0},
		"close: it is ended":                          {latch.Close, latch.StateOff, latch.OffIdle, 0},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.policy.ByHand = tt.policy }, func(w *world) {
				if _, err := w.vpn.AssociateByHand(office, subnetA); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Minute)
				w.want(tt.state, tt.code)
				if n := len(w.switches.Armed()); n != tt.armed {
					t.Errorf("%d switches, want %d", n, tt.armed)
				}
			})
		})
	}
}

func TestWithoutASwitchNothingStaysOn(t *testing.T) {
	refuse := errors.Join(latch.ErrRefused, &latch.Fault{Service: "scheduler", Code: "AccessDeniedException", Message: "not authorized to perform iam:PassRole"})
	inWorld(t, func(w *world) { w.switches.Fail = func(string) error { return refuse } }, func(w *world) {
		time.Sleep(10 * time.Second) // no beat shall come between
		_, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim})
		if !errors.Is(err, latch.ErrRefused) || !strings.Contains(err.Error(), "PassRole") {
			t.Fatalf("Open answers %v, want the scheduler's refusal in its own words", err)
		}
		if held := w.held(); len(held) != 0 {
			t.Fatalf("%v is billed without a dead-man's switch", held)
		}
		time.Sleep(10 * time.Minute)
		if n := w.vpn.Calls("Associate"); n != 1 {
			t.Errorf("%d calls of Associate, want no second try behind the person's back", n)
		}
		w.want(latch.StateOff, latch.OffIdle)
	})
}

func TestARefusedOpeningLeavesNoWishBehind(t *testing.T) {
	var refusing atomic.Bool
	refusing.Store(true)
	inWorld(t, func(w *world) { w.vpn.Fail = failing("Associate", &refusing, latch.ErrRefused) }, func(w *world) {
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrRefused) {
			t.Fatalf("Open answers %v, want ErrRefused", err)
		}
		refusing.Store(false)
		time.Sleep(5 * time.Minute)
		if len(w.held()) != 0 || w.record().Opening != nil {
			t.Errorf("it opened later though the person was told it failed: %+v", w.record())
		}
	})
}

func TestNoAuditNoOpening(t *testing.T) {
	inWorld(t, func(w *world) {
		w.store.Fail = func(call string) error {
			if call == "Append" {
				return latch.ErrUnavailable
			}
			return nil
		}
	}, func(w *world) {
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrUnavailable) {
			t.Errorf("Open answers %v without an audit, want a refusal", err)
		}
		time.Sleep(5 * time.Minute)
		if n := w.vpn.Calls("Associate"); n != 0 || len(w.record().Leases) != 0 {
			t.Errorf("%d calls of Associate and leases %v, and no audit entry of them", n, w.record().Leases)
		}
	})
}

func TestNoAuditNoOpeningButClosingGoesOn(t *testing.T) {
	var down atomic.Bool
	inWorld(t, func(w *world) { w.store.Fail = failing("Append", &down, latch.ErrUnavailable) }, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		down.Store(true)
		if v, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil || v.State != latch.StateClosing {
			t.Fatalf("done without an audit: %v %s, want it closing", err, v.State)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOff, latch.OffIdle)
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrUnavailable) {
			t.Errorf("open without an audit: %v, want a refusal", err)
		}
		if len(w.held()) != 0 {
			t.Error("it opened without an audit entry")
		}
	})
}

func TestAFailedCloseIsTriedUntilItSucceeds(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	inWorld(t, func(w *world) { w.vpn.Fail = failing("Disassociate", &down, latch.ErrUnavailable) }, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(20 * time.Minute)
		w.want(latch.StateClosing, latch.ClosingDone)
		if len(w.held()) != 1 {
			t.Fatal("the test wants the association to be still there")
		}
		down.Store(false)
		time.Sleep(70 * time.Second)
		if len(w.held()) != 0 {
			t.Error("EC2 is well again for more than a beat, and the endpoint is still open")
		}
	})
}

func TestTheSwitchFiresWhenNightlatchIsGone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
	}, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		w.end()
		time.Sleep(3*time.Hour + latch.DeadmanSlack)
		if held := w.held(); len(held) != 0 {
			t.Errorf("nobody stopped the meter: %v", held)
		}
	})
}

func TestLookingChangesNothing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for range 200 {
			w.view(kim)
			time.Sleep(time.Second)
		}
		if n := w.vpn.Calls("Associate") + w.vpn.Calls("CreateRoute") + w.vpn.Calls("Disassociate"); n != 0 {
			t.Errorf("%d writes to EC2 by people who only looked", n)
		}
		if n := w.vpn.Calls("Observe"); n > 200/5+8 {
			t.Errorf("%d looks at EC2 in 200 s, want at most one in five seconds and the beat's", n)
		}
	})
}

// TestACrowdThatLooksCostsOneLook: also the first time ever, when there is no last look yet.
func TestACrowdThatLooksCostsOneLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.vpn.Fail = func(string) error { time.Sleep(300 * time.Millisecond); return nil }
		k, err := latch.New(latch.Config{VPN: w.vpn, Store: w.store, Deadman: w.switches, Log: slog.New(slog.DiscardHandler),
			Endpoints: map[latch.EndpointID]latch.Policy{office: w.policy}})
		if err != nil {
			t.Fatal(err)
		}
		for round := range 2 {
			var all sync.WaitGroup
			for i := range 100 {
				all.Go(func() {
					v, err := k.View(t.Context(), office, latch.Principal{Subject: latch.Subject(fmt.Sprint("p", i))})
					if err != nil || v.State != latch.StateOff || v.Stale {
						t.Errorf("person %d sees %s, stale %v: %v", i, v.State, v.Stale, err)
					}
				})
			}
			all.Wait()
			if n := w.vpn.Calls("Observe"); n != round+1 {
				t.Errorf("%d looks at EC2 for %d times a hundred people, want one each time", n, round+1)
			}
			time.Sleep(time.Minute)
		}
	})
}

func TestNobodyIsShownAnOldStateAsThePresent(t *testing.T) {
	var down, slow atomic.Bool
	inWorld(t, func(w *world) {
		w.vpn.Fail = func(call string) error {
			if call == "Observe" && slow.Load() {
				time.Sleep(time.Second)
			}
			if call == "Observe" && down.Load() {
				return latch.ErrUnavailable
			}
			return nil
		}
	}, func(w *world) {
		both := func() (views [2]latch.View) {
			var wg sync.WaitGroup
			for i, who := range []latch.Principal{kim, lee} {
				wg.Go(func() { views[i] = w.view(who) })
			}
			wg.Wait()
			return views
		}
		w.view(kim)
		w.end() // no beat refreshes the look
		time.Sleep(time.Hour)
		slow.Store(true)
		for _, v := range both() {
			if v.Stale || time.Since(v.ObservedAt) > 5*time.Second {
				t.Errorf("two looked after an hour: one sees %v, stale %v; want what the other has just asked", v.ObservedAt, v.Stale)
			}
		}
		down.Store(true)
		time.Sleep(time.Minute)
		for _, v := range both() {
			if !v.Stale || v.Cause == nil {
				t.Errorf("EC2 is down for a minute: one sees %s as the present", v.State)
			}
		}
	})
}

func TestManyPeopleInTheSameSecond(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				who := latch.Principal{Subject: latch.Subject("p" + string(rune('A'+i)))}
				if v, err := w.keeper.Open(w.Context(), office, latch.Request{Who: who}); err != nil || v.State != latch.StateOpening {
					t.Errorf("person %d: %v %s, want it opening", i, err, v.State)
				}
			})
		}
		wg.Wait()
		if held := w.held(); len(held) != 1 {
			t.Errorf("%d associations, want one", len(held))
		}
		if n := len(w.record().Live(time.Now())); n != 50 {
			t.Errorf("%d leases, want one for each of 50", n)
		}
	})
}

func TestWhatCannotBeAsked(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for name, tt := range map[string]struct {
			id   latch.EndpointID
			d    time.Duration
			want error
		}{
			"an endpoint nobody configured": {"cvpn-endpoint-other", 0, latch.ErrNotFound},
			"longer than the policy":        {office, 13 * time.Hour, latch.ErrTooLong},
			"a negative time":               {office, -time.Hour, latch.ErrBadRequest},
		} {
			if _, err := w.keeper.Open(w.Context(), tt.id, latch.Request{Who: kim, For: tt.d}); !errors.Is(err, tt.want) {
				t.Errorf("%s: %v, want %v", name, err, tt.want)
			}
		}
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrNoLease) {
			t.Errorf("extend without a lease: %v, want ErrNoLease", err)
		}
		w.vpn.SetStatus(office, "deleting", "someone deletes it")
		time.Sleep(10 * time.Second)
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrNotReady) || !strings.Contains(err.Error(), "deleting") {
			t.Errorf("open an endpoint in deletion: %v, want ErrNotReady that says which state", err)
		}
	})
}

// slowly is EC2 that does something before the first answer.
type slowly struct {
	latch.VPN
	waited atomic.Bool
	wait   func()
}

func (s *slowly) Observe(ctx context.Context, id latch.EndpointID) (latch.Observation, error) {
	if s.waited.CompareAndSwap(false, true) {
		s.wait()
	}
	return s.VPN.Observe(ctx, id)
}

// Somebody who looks while somebody else opens is told of an opening, never of one that nobody wants: the record is read
// after EC2 has answered.
func TestWhoLooksWhileAnotherOpens(t *testing.T) {
	inWorld(t, func(w *world) {
		w.through = func(c *latch.Config) { c.VPN = &slowly{VPN: c.VPN, wait: func() { time.Sleep(3 * time.Second) }} }
	}, func(w *world) {
		var seen latch.View
		var looking sync.WaitGroup
		var failed error
		looking.Go(func() { seen, failed = w.keeper.View(w.Context(), office, lee) })
		time.Sleep(time.Second)
		w.open(kim, time.Hour)
		looking.Wait()
		if failed != nil || seen.State == latch.StateClosing {
			w.Errorf("lee is told %s (%s), %v, while kim opens", seen.State, seen.Reason.Code, failed)
		}
		time.Sleep(time.Minute)
		if v := w.view(lee); v.State != latch.StateOpening {
			w.Errorf("a minute later: %s", v.State)
		}
	})
}
