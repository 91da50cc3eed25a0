package latch_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

var operator = latch.Principal{Subject: "arn:aws:sts::111122223333:assumed-role/Operator/op", Name: "op"}

func TestAnOperatorClosesIt(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, d := range []time.Duration{0, -time.Second, 25 * time.Hour} {
			if _, err := w.keeper.Close(w.Context(), office, latch.Request{Who: operator, For: d}); !errors.Is(err, latch.ErrBadRequest) {
				t.Errorf("closed for %v: %v, want an order that has an end", d, err)
			}
		}
		w.open(kim, 4*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		w.vpn.Send(c, 1<<20)
		v, err := w.keeper.Close(w.Context(), office, latch.Request{Who: operator, For: time.Hour, Why: "works on the network"})
		if err != nil || v.State != latch.StateClosing || v.Reason.Code != latch.ClosingHeld {
			t.Fatalf("close: %s (%s), %v", v.State, v.Reason.Code, err)
		}
		time.Sleep(10 * time.Minute)
		if held := w.held(); len(held) != 0 {
			t.Fatalf("%v is still associated", held)
		}
		w.want(latch.StateOff, latch.OffHeld)
		_, err = w.keeper.Open(w.Context(), office, latch.Request{Who: lee})
		held, ok := errors.AsType[*latch.HeldError](err)
		if !errors.Is(err, latch.ErrHeld) || !ok || held.Hold.Why != "works on the network" || held.Hold.Name != "op" || !strings.Contains(err.Error(), "works on") {
			t.Errorf("Lee opens: %v, want to hear who keeps it closed, why and until when", err)
		}
		if a, err := w.vpn.AssociateByHand(office, subnetA); err != nil {
			t.Fatal(err)
		} else if time.Sleep(10 * time.Minute); slices.ContainsFunc(w.held(), func(x latch.Association) bool { return x.ID == a.ID }) {
			t.Error("opened by hand under the order, it stays open")
		}
		time.Sleep(41 * time.Minute) // the order's hour is over
		w.want(latch.StateOff, latch.OffIdle)
		if len(w.held()) != 0 {
			t.Error("with the order's end it opened by itself")
		}
		w.open(lee, time.Hour)
		w.ready()
	})
}

func TestAnOrderIsTakenBack(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		if _, err := w.keeper.Release(w.Context(), office, latch.Request{Who: operator}); !errors.Is(err, latch.ErrNoLease) {
			t.Errorf("nothing to take back: %v", err)
		}
		if _, err := w.keeper.Close(w.Context(), office, latch.Request{Who: operator, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		if v, err := w.keeper.Release(w.Context(), office, latch.Request{Who: operator}); err != nil || v.Reason.Code != latch.OffIdle {
			t.Errorf("taken back: %s, %v", v.Reason.Code, err)
		}
		w.open(kim, time.Hour)
	})
}

func TestAReasonWherePolicyWantsOne(t *testing.T) {
	inWorld(t, func(w *world) { w.policy.ReasonRequired = true }, func(w *world) {
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrReason) {
			t.Fatalf("without a reason: %v", err)
		}
		if len(w.record().Leases) != 0 {
			t.Error("the refused wish left a lease")
		}
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim, Why: "month's end"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: time.Hour}); err != nil {
			t.Errorf("extend: %v; the reason is known", err)
		}
	})
}

// TestObserved: Nightlatch decides, says so once for each change of mind, and changes nothing at AWS.
func TestObserved(t *testing.T) {
	inWorld(t, func(w *world) { w.policy.Observe = true }, func(w *world) {
		for name, act := range map[string]func() error{
			"open":   func() error { _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); return err },
			"extend": func() error { _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim}); return err },
			"close": func() error {
				_, err := w.keeper.Close(w.Context(), office, latch.Request{Who: kim, For: 1})
				return err
			},
		} {
			if err := act(); !errors.Is(err, latch.ErrObserving) {
				t.Errorf("%s: %v", name, err)
			}
		}
		a, err := w.vpn.AssociateByHand(office, subnetA)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateDegraded, latch.DegradedRoutes) // the declared route is not there
		if err := w.vpn.AddRouteByHand(office, latch.Route{Destination: "10.9.0.0/16", Subnet: subnetA}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease) // as adopted: for as long as a lease by default
		c, _ := w.vpn.Connect(office, "kim")
		time.Sleep(4 * time.Hour)
		w.want(latch.StateOpen, latch.OpenWould)
		for range 30 {
			w.vpn.Send(c, 1<<20)
			time.Sleep(time.Minute)
		}
		w.vpn.Disconnect(c)
		time.Sleep(14 * time.Hour)
		w.want(latch.StateOpen, latch.OpenWould)
		if v := w.view(kim); !v.Observed || !slices.ContainsFunc(w.held(), func(x latch.Association) bool { return x.ID == a.ID }) {
			t.Errorf("observed %v, held %v: it must not be touched", v.Observed, w.held())
		}
		for _, call := range []string{"Associate", "Disassociate", "CreateRoute", "ApplyGroups"} {
			if n := w.vpn.Calls(call); n != 0 {
				t.Errorf("%d calls of %s, want none", n, call)
			}
		}
		if n := len(w.switches.Armed()); n != 0 {
			t.Errorf("%d dead-man's switches, want none", n)
		}
		entries, err := w.keeper.Entries(w.Context(), office, 100)
		if err != nil {
			t.Fatal(err)
		}
		would := 0
		for _, e := range entries {
			if e.Action == "would.close" {
				would++
			}
			if e.Action == "close" {
				t.Errorf("the audit says that it closed: %+v", e)
			}
		}
		if would == 0 || would > 3 {
			t.Errorf("%d entries of what it would do, want one for each change of mind", would)
		}
		w.vpn.DisassociateByHand(office, a.ID)
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOff, latch.OffIdle)
	})
}

// TestMoreClientsThanARecordHolds: a thousand clients are people at work, and the record stays small.
func TestMoreClientsThanARecordHolds(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		for range 1500 {
			w.vpn.Connect(office, "somebody")
		}
		time.Sleep(70 * time.Minute)
		w.want(latch.StateOpen, latch.OpenTraffic)
		if n := len(w.record().Opening.Marks); n > 1000 {
			t.Errorf("%d connections are kept in the record", n)
		}
		time.Sleep(2 * time.Hour)
		w.want(latch.StateOff, latch.OffIdle) // without a lease, traffic prolongs by an hour at most
	})
}

// TestAnOrdersEndIsTheSameForAll: whose clock says that an order is over may open, and no process whose clock is behind
// takes that back.
func TestAnOrdersEndIsTheSameForAll(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		if _, err := w.keeper.Close(w.Context(), office, latch.Request{Who: operator, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		w.open(kim, 2*time.Hour)
		behind := &world{T: w.T, vpn: w.vpn, store: w.store, switches: w.switches, policy: w.policy}
		behind.through = func(c *latch.Config) {
			c.Store = latchtest.Clock{Off: func() time.Duration { return -2 * time.Second }}.Store(c.Store)
		}
		behind.start()
		defer behind.end()
		if _, err := behind.keeper.Reconcile(w.Context(), office); err != nil {
			t.Fatal(err)
		}
		if _, has := w.record().LeaseOf(kim.Subject); !has {
			t.Error("Kim was let in, and their lease is gone")
		}
		w.ready()
	})
}

// TestWhatItWouldCloseForIsSaidOnce: as where it acts, the first reason stands.
func TestWhatItWouldCloseForIsSaidOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 4*time.Hour)
		w.ready()
		w.end()
		w.policy.Observe = true
		w.start()
		time.Sleep(time.Hour) // nobody comes
		var would []string
		for _, e := range w.store.Audit(office) {
			if e.Action == "would.close" {
				would = append(would, e.Why)
			}
		}
		if !slices.Equal(would, []string{string(latch.ClosingUnused)}) {
			t.Errorf("it would close for %v, want %s, once", would, latch.ClosingUnused)
		}
	})
}
