package latch_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// TestWithoutASwitchNoSecondSubnetIsAssociated: where policy wants all subnets, the first switch that cannot be made is
// reason enough. Each association that is made all the same costs an hour.
func TestWithoutASwitchNoSecondSubnetIsAssociated(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.All = true
		w.switches.Fail = func(call string) error {
			if call == "Arm" {
				return latch.ErrRefused
			}
			return nil
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second) // no beat shall come between
		_, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim})
		if !errors.Is(err, latch.ErrRefused) || !strings.Contains(err.Error(), "dead-man's switch") {
			t.Errorf("Open answers %v, want the refusal, and of what", err)
		}
		time.Sleep(10 * time.Minute)
		if n := w.vpn.Calls("Associate"); n != 1 {
			t.Errorf("%d calls of Associate, want none after the first switch was refused", n)
		}
		w.want(latch.StateOff, latch.OffIdle)
	})
}

// TestASwitchThatFailsTakesNoQueuedWish: a wish that came after the decision to close waits for the next opening, and is
// none of this one's.
func TestASwitchThatFailsTakesNoQueuedWish(t *testing.T) {
	var refuse atomic.Bool
	inWorld(t, func(w *world) {
		w.switches.Fail = func(call string) error {
			if call == "Arm" && refuse.Swap(false) {
				time.Sleep(5 * time.Second)
				return latch.ErrUnavailable
			}
			return nil
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		refuse.Store(true)
		var opening sync.WaitGroup
		opening.Go(func() { w.keeper.Open(w.Context(), office, latch.Request{Who: kim}) })
		time.Sleep(time.Second)
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		if v := w.open(lee, time.Hour); v.Reason.Code != latch.OpeningQueued {
			t.Fatalf("Lee is told %s, want queued", v.Reason.Code)
		}
		opening.Wait()
		if _, waits := w.record().LeaseOf(lee.Subject); !waits {
			t.Error("Lee was told that it opens again, and their wish is gone")
		}
		w.ready()
	})
}

// TestASwitchThatNobodyRemembersIsRemoved: the store did not take the new association, the scheduler's answer was lost,
// and EC2 never reports what was ended at once.
func TestASwitchThatNobodyRemembersIsRemoved(t *testing.T) {
	var saves, armed atomic.Int64
	inWorld(t, func(w *world) {
		w.vpn.DisassociateTakes = 0
		w.store.Fail = func(call string) error {
			if call == "Save" && saves.Add(-1) == 0 {
				return latch.ErrUnavailable
			}
			return nil
		}
		w.switches.Lose = func(call string) error {
			if call == "Arm" && armed.Add(1) == 1 {
				return latch.ErrUnavailable
			}
			return nil
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		saves.Store(3) // the wish, the look, the association
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); err == nil {
			t.Fatal("want the scheduler's fault")
		}
		if len(w.held()) > 0 || len(w.switches.Armed()) != 1 {
			t.Fatalf("the test wants a switch without an association: %v, %v", w.held(), w.switches.Armed())
		}
		time.Sleep(5 * time.Minute)
		if left := w.switches.Armed(); len(left) != 0 {
			t.Errorf("switches are left: %v", left)
		}
	})
}

// TestASwitchThatFiresLateOrTwice: it names its association, so whenever it fires it ends that one and nothing else.
func TestASwitchThatFiresLateOrTwice(t *testing.T) {
	var first latch.AssociationID
	var fires time.Time
	var stuck atomic.Bool
	fire := func(w *world) { w.vpn.DisassociateByHand(office, first) } // the schedule's own call
	for name, f := range map[string]func(*testing.T, *world){
		"late, and Nightlatch is gone: the meter stops then, and who comes back finds it off": func(t *testing.T, w *world) {
			w.end()
			time.Sleep(time.Until(fires.Add(20 * time.Minute)))
			if len(w.held()) != 1 {
				t.Fatal("the test wants it open still")
			}
			fire(w)
			if on := w.held(); len(on) != 0 {
				t.Fatalf("%v is still billed", on)
			}
			w.start()
			time.Sleep(10 * time.Minute)
			w.want(latch.StateOff, latch.OffIdle)
			if r := w.record(); r.Opening != nil || len(r.Disarm) > 0 {
				t.Errorf("the record keeps %+v", r)
			}
		},
		"late, when Nightlatch has closed and somebody has opened again: theirs stays": func(t *testing.T, w *world) {
			w.cycle()
			second := w.held()[0]
			fire(w)
			time.Sleep(5 * time.Minute)
			w.want(latch.StateOpen, latch.OpenLease)
			if on := w.held(); len(on) != 1 || on[0].ID != second.ID {
				t.Errorf("held is %v, want %s untouched", on, second.ID)
			}
		},
		"twice, the second time into the next opening: that one stays": func(t *testing.T, w *world) {
			w.end()
			time.Sleep(time.Until(fires))
			fire(w)
			w.start()
			time.Sleep(10 * time.Minute)
			w.open(lee, time.Hour)
			fire(w)
			w.ready()
			fire(w)
			time.Sleep(5 * time.Minute)
			w.want(latch.StateOpen, latch.OpenLease)
			if n := w.vpn.Calls("Associate"); n != 2 {
				t.Errorf("%d calls of Associate, want one for each opening", n)
			}
		},
		"late, while Nightlatch cannot end it: what one does not, the other does": func(t *testing.T, w *world) {
			stuck.Store(true)
			defer stuck.Store(false)
			time.Sleep(time.Until(fires))
			if len(w.held()) != 1 {
				t.Fatal("the test wants it open still")
			}
			fire(w)
			time.Sleep(10 * time.Minute)
			w.want(latch.StateOff, latch.OffIdle)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
				w.switches.VPN = nil // it fires when the test says so
				w.vpn.Fail = failing("Disassociate", &stuck, latch.ErrUnavailable)
			}, func(w *world) {
				time.Sleep(10 * time.Second) // no beat shall come between
				w.open(kim, 3*time.Hour)
				first = w.held()[0].ID
				fires = w.switches.Armed()[first]
				if until := time.Until(fires); until != 3*time.Hour+latch.DeadmanSlack {
					t.Fatalf("the switch fires in %v, want the absolute maximum and its slack", until)
				}
				w.ready()
				w.vpn.Connect(office, "kim")
				f(t, w)
			})
		})
	}
}

// TestEverySubnetHasASwitchOfItsOwn: with the function gone, each association is ended.
func TestEverySubnetHasASwitchOfItsOwn(t *testing.T) {
	inWorld(t, func(w *world) { w.policy.All = true }, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		armed := w.switches.Armed()
		w.end()
		for _, a := range w.held() {
			if armed[a.ID].IsZero() {
				t.Errorf("%s has no switch", a.ID)
			}
		}
		time.Sleep(w.policy.AbsoluteMax + latch.DeadmanSlack)
		if on := w.held(); len(on) != 0 {
			t.Errorf("nobody stopped the meter: %v", on)
		}
	})
}

// calls notes the order in which the keeper calls EC2 and the scheduler.
type calls struct {
	latch.VPN
	latch.Deadman
	made *[]string
}

func (c calls) Associate(ctx context.Context, id latch.EndpointID, s latch.SubnetID, token string) (latch.Association, error) {
	a, err := c.VPN.Associate(ctx, id, s, token)
	*c.made = append(*c.made, "associate "+string(a.ID))
	return a, err
}

func (c calls) CreateRoute(ctx context.Context, id latch.EndpointID, r latch.Route) error {
	*c.made = append(*c.made, "route")
	return c.VPN.CreateRoute(ctx, id, r)
}

func (c calls) Arm(ctx context.Context, id latch.EndpointID, a latch.AssociationID, at time.Time) error {
	*c.made = append(*c.made, "arm "+string(a))
	return c.Deadman.Arm(ctx, id, a, at)
}

// TestTheSwitchIsMadeAtOnce: nothing comes between an association and its switch, so that a process which dies has left
// as little without one as can be.
func TestTheSwitchIsMadeAtOnce(t *testing.T) {
	var made []string
	inWorld(t, func(w *world) {
		w.policy.All = true
		w.through = func(c *latch.Config) {
			all := calls{c.VPN, c.Deadman, &made}
			c.VPN, c.Deadman = all, all
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		w.open(kim, time.Hour)
		on := w.held()
		if len(on) != 2 || len(made) < 4 {
			t.Fatalf("%v are held after %v", on, made)
		}
		want := []string{"associate " + string(on[0].ID), "arm " + string(on[0].ID), "associate " + string(on[1].ID), "arm " + string(on[1].ID)}
		if !slices.Equal(made[:4], want) {
			t.Errorf("the calls were %v, want %v", made[:4], want)
		}
	})
}

// TestOpenedByHandWithoutASwitch: people work over it, so it is not ended; but it is never called ready, and the switch
// is tried until it is made.
func TestOpenedByHandWithoutASwitch(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	inWorld(t, func(w *world) { w.switches.Fail = failing("Arm", &refuse, latch.ErrRefused) }, func(w *world) {
		if _, err := w.vpn.AssociateByHand(office, subnetA); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * time.Minute)
		w.want(latch.StateOpening, latch.OpeningSwitch)
		if len(w.held()) != 1 {
			t.Error("it was ended under people who opened it by hand")
		}
		refuse.Store(false)
		time.Sleep(time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		if n := len(w.switches.Armed()); n != 1 {
			t.Errorf("%d switches, want 1", n)
		}
	})
}

// TestARefusedSwitchOfAProcessThatDied: it had associated and not come to the switch, which is refused to the next one.
// Nobody works over it yet, so it is ended as if the first had heard the refusal.
func TestARefusedSwitchOfAProcessThatDied(t *testing.T) {
	var refuse atomic.Bool
	inWorld(t, func(w *world) { w.switches.Fail = failing("Arm", &refuse, latch.ErrRefused) }, func(w *world) {
		time.Sleep(10 * time.Second)
		w.open(kim, 4*time.Hour)
		w.end()
		a := w.held()[0].ID
		r := w.record()
		k := r.Opening.Associations[a]
		k.Armed = false
		r.Opening.Associations[a] = k
		if _, err := w.store.Save(w.Context(), office, r); err != nil {
			t.Fatal(err)
		}
		if err := w.switches.Disarm(w.Context(), office, a); err != nil {
			t.Fatal(err)
		}
		refuse.Store(true)
		w.start()
		time.Sleep(15 * time.Minute)
		if on := w.held(); len(on) != 0 {
			t.Errorf("%v is billed, and has no switch: %+v", on, w.record())
		}
		if n := w.vpn.Calls("Associate"); n != 1 {
			t.Errorf("%d calls of Associate, want no second try behind the person's back", n)
		}
		if f := w.view(kim).Failure; f == nil || !strings.Contains(f.Why, "dead-man's switch") {
			t.Errorf("whoever asks why hears %+v", f)
		}
	})
}

// TestASwitchThatComesTooLate is made while its association has ended, by a process that was slow: it goes again.
func TestASwitchThatComesTooLate(t *testing.T) {
	var slow atomic.Bool
	inWorld(t, func(w *world) {
		w.switches.Fail = func(call string) error {
			if call == "Arm" && slow.Swap(false) {
				time.Sleep(15 * time.Minute)
			}
			return nil
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second)
		slow.Store(true)
		var opening sync.WaitGroup
		opening.Go(func() { w.open(kim, 2*time.Hour) })
		time.Sleep(7 * time.Minute)
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		opening.Wait()
		time.Sleep(3 * time.Minute)
		if on, armed := w.held(), w.switches.Armed(); len(on) > 0 || len(armed) > 0 {
			t.Errorf("%v is on, and %v are armed", on, armed)
		}
	})
}
