package latch_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

// cycle ends the opening and begins another.
func (w *world) cycle() {
	w.Helper()
	if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
		w.Fatal(err)
	}
	time.Sleep(10 * time.Minute)
	w.want(latch.StateOff, latch.OffIdle)
	w.open(kim, time.Hour)
	w.ready()
}

func TestSecurityGroupsComeBack(t *testing.T) {
	one, two := latch.GroupID("sg-1"), latch.GroupID("sg-2")
	for name, forgets := range map[string]bool{"EC2 keeps them": false, "EC2 forgets them": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.vpn.ForgetGroups = forgets }, func(w *world) {
				w.open(kim, time.Hour)
				w.ready()
				time.Sleep(time.Minute)
				if got := w.record().Groups; !slices.Equal(got, []latch.GroupID{latchtest.DefaultGroup}) {
					t.Fatalf("learned are %v, want the VPC's default group", got)
				}
				if err := w.vpn.ApplyGroupsByHand(office, two, one); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute)
				if got := w.record().Groups; !slices.Equal(got, []latch.GroupID{one, two}) {
					t.Fatalf("learned are %v, want what somebody applied", got)
				}
				calls := w.vpn.Calls("ApplyGroups")
				w.cycle()
				if got := w.vpn.Now(office).Groups; !slices.Contains(got, one) || !slices.Contains(got, two) {
					t.Errorf("the next opening has %v, want what the last one had", got)
				}
				if forgets != (w.vpn.Calls("ApplyGroups") > calls) {
					t.Errorf("%d calls to apply groups, want one only where EC2 forgot them", w.vpn.Calls("ApplyGroups")-calls)
				}
			})
		})
	}
}

func TestDeclaredSecurityGroupsArePutBack(t *testing.T) {
	inWorld(t, func(w *world) { w.policy.Groups = []latch.GroupID{"sg-9"} }, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		if err := w.vpn.ApplyGroupsByHand(office, "sg-1"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if got := w.vpn.Now(office).Groups; !slices.Equal(got, []latch.GroupID{"sg-9"}) {
			t.Errorf("groups are %v, want the declared one", got)
		}
		if len(w.record().Groups) != 0 {
			t.Errorf("learned are %v though policy declares them", w.record().Groups)
		}
	})
}

// TestOneLateReportTeachesNoSecurityGroups: a report from before somebody changed them says the old ones.
func TestOneLateReportTeachesNoSecurityGroups(t *testing.T) {
	var lag atomic.Int64
	inWorld(t, func(w *world) {
		w.vpn.Lag = func() time.Duration { return time.Duration(lag.Swap(0)) }
	}, func(w *world) {
		w.open(kim, 4*time.Hour)
		w.ready()
		w.vpn.Connect(office, "kim")
		time.Sleep(10 * time.Minute)
		w.vpn.ApplyGroupsByHand(office, "sg-1")
		changed := time.Now()
		time.Sleep(5 * time.Minute)
		for range 5 {
			time.Sleep(3*time.Minute + 7*time.Second)
			lag.Store(int64(time.Since(changed) + time.Minute))
			w.keeper.Reconcile(w.Context(), office)
			if got := w.record().Groups; !slices.Equal(got, []latch.GroupID{"sg-1"}) {
				t.Fatalf("learned are %v, want sg-1", got)
			}
		}
	})
}

// TestSecurityGroupsThatCannotBeApplied: EC2's refusal is told, people are not cut off, and it is tried again.
func TestSecurityGroupsThatCannotBeApplied(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	inWorld(t, func(w *world) {
		w.policy.Groups = []latch.GroupID{"sg-9"}
		w.vpn.Fail = failing("ApplyGroups", &refuse, latch.ErrRefused)
	}, func(w *world) {
		w.open(kim, time.Hour)
		time.Sleep(10 * time.Minute)
		r := w.record()
		if r.Opening == nil || r.Failure == nil || r.Failure.Step != "security groups sg-9" {
			t.Fatalf("the record says %+v, want an opening and EC2's refusal", r.Failure)
		}
		if v := w.view(kim); v.State == latch.StateOpen {
			t.Errorf("it is shown as %s though its security groups are not the declared ones", v.State)
		}
		refuse.Store(false)
		w.ready()
	})
}
