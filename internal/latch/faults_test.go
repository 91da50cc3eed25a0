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

// once is a fault that strikes the next call of one name after it was armed.
type once struct {
	call string
	err  error
	set  atomic.Bool
}

func (f *once) strike(call string) error {
	if call == f.call && f.set.CompareAndSwap(true, false) {
		return f.err
	}
	return nil
}

func TestOneLateReportCutsNobodyOff(t *testing.T) {
	var lag atomic.Int64
	for name, all := range map[string]bool{"one subnet": false, "all subnets": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.policy.All = all
				w.vpn.Lag = func() time.Duration { return time.Duration(lag.Swap(0)) }
			}, func(w *world) {
				w.open(kim, 4*time.Hour)
				w.ready()
				c, _ := w.vpn.Connect(office, "kim")
				w.vpn.AddRouteByHand(office, latch.Route{Destination: "192.168.7.0/24", Subnet: subnetA})
				time.Sleep(2 * time.Minute)
				before := w.held()
				for range 5 {
					// A replica that has heard of nothing yet.
					lag.Store(int64(24 * time.Hour))
					time.Sleep(2*time.Minute + 7*time.Second)
					w.vpn.Send(c, 1<<20)
				}
				if held := w.held(); !slices.Equal(held, before) || !w.vpn.Send(c, 1) {
					t.Fatalf("held is %v, was %v: a late report cut somebody off", held, before)
				}
				if n := len(w.record().Learned); n != 1 {
					t.Errorf("%d routes are learned, want 1: a late report removes nothing", n)
				}
				w.want(latch.StateOpen, latch.OpenLease)
				if n := len(w.switches.Armed()); n != len(before) {
					t.Errorf("%d switches for %d associations", n, len(before))
				}
			})
		})
	}
}

func TestALostAnswerIsNotAnOpeningByHand(t *testing.T) {
	lost := &once{call: "Associate", err: latch.ErrUnavailable}
	lost.set.Store(true)
	inWorld(t, func(w *world) {
		w.vpn.Lose = lost.strike
		w.vpn.Lag = func() time.Duration { return 8 * time.Second }
	}, func(w *world) {
		time.Sleep(58 * time.Second) // the beat comes while the reports are still without it
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrUnavailable) {
			t.Fatalf("Open answers %v, want ErrUnavailable", err)
		}
		time.Sleep(3 * time.Minute)
		if held := w.held(); len(held) != 0 {
			t.Fatalf("%v is billed though the person was told it failed: %+v", held, w.record())
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOff, latch.OffIdle)
	})
}

func TestAnAnswerThatComesTooLateForItsCaller(t *testing.T) {
	inWorld(t, func(w *world) {
		w.vpn.Fail = func(call string) error {
			if call == "Associate" {
				time.Sleep(30 * time.Second)
			}
			return nil
		}
	}, func(w *world) {
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second)
		defer cancel()
		if _, err := w.keeper.Open(ctx, office, latch.Request{Who: kim}); err == nil {
			t.Fatal("Open answers nil after its caller gave up")
		}
		if live := w.record().Live(time.Now()); len(live) != 0 {
			t.Errorf("the wish %v stays, and opens it later though the person was told it failed", live)
		}
	})
}

// killed is a process that Lambda ends at a time: no call of it comes through afterwards.
type killed struct {
	latch.VPN
	latch.Store
	at time.Time
}

func (k killed) Associate(ctx context.Context, id latch.EndpointID, s latch.SubnetID, token string) (latch.Association, error) {
	<-ctx.Done() // EC2 does not answer
	return latch.Association{}, errors.Join(latch.ErrUnavailable, context.Cause(ctx))
}

func (k killed) Save(ctx context.Context, id latch.EndpointID, r latch.Record) (latch.Record, error) {
	if !time.Now().Before(k.at) {
		return latch.Record{}, latch.ErrUnavailable
	}
	return k.Store.Save(ctx, id, r)
}

func TestARequestEndsInTimeToTakeItsWishBack(t *testing.T) {
	inWorld(t, func(w *world) {
		w.through = func(c *latch.Config) {
			k := killed{c.VPN, c.Store, time.Now().Add(15 * time.Second)}
			c.VPN, c.Store = k, k
		}
	}, func(w *world) {
		time.Sleep(5 * time.Second)
		ctx, cancel := context.WithTimeout(w.Context(), 10*time.Second) // the function's time-out
		defer cancel()
		if _, err := w.keeper.Open(ctx, office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrUnavailable) {
			t.Errorf("Open answers %v, want ErrUnavailable", err)
		}
		if live := w.record().Live(time.Now()); len(live) != 0 {
			t.Errorf("the wish %v stays though the person was told it failed: the process was ended before it could take it back", live)
		}
	})
}

func TestALostAnswerOfTheStoreLeavesNoWish(t *testing.T) {
	lost := &once{call: "Save", err: latch.ErrUnavailable}
	inWorld(t, func(w *world) { w.store.Lose = lost.strike }, func(w *world) {
		time.Sleep(10 * time.Second)
		lost.set.Store(true)
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); err == nil {
			t.Fatal("want the store's fault")
		}
		time.Sleep(2 * time.Minute)
		if held := w.held(); len(held) != 0 {
			t.Errorf("%v opened though the person was told it failed", held)
		}
	})
}

func TestALostAnswerOfTheStoreIsNoFailureOfTheSwitch(t *testing.T) {
	lost := &once{call: "Save", err: latch.ErrUnavailable}
	inWorld(t, func(w *world) {
		w.store.Lose = lost.strike
		w.switches.Lose = func(call string) error { lost.set.Store(call == "Arm"); return nil }
	}, func(w *world) {
		time.Sleep(10 * time.Second) // a beat in the same instant would ask too
		w.open(kim, 2*time.Hour)
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		if n := w.vpn.Calls("Associate"); n != 1 {
			t.Errorf("%d calls of Associate, want 1", n)
		}
	})
}

func TestASwitchThatFailsEndsNoOtherAssociation(t *testing.T) {
	var down atomic.Bool
	inWorld(t, func(w *world) {
		w.policy.All = true
		w.vpn.FailSubnet(subnetB, true)
		w.switches.Fail = failing("Arm", &down, latch.ErrBusy)
	}, func(w *world) {
		w.open(kim, 4*time.Hour)
		time.Sleep(6 * time.Minute)
		// One subnet carries people; the other failed, and is tried again.
		w.want(latch.StateDegraded, latch.DegradedAssociation)
		c, err := w.vpn.Connect(office, "kim")
		if err != nil {
			t.Fatal(err)
		}
		down.Store(true)
		w.vpn.FailSubnet(subnetB, false)
		for range 10 {
			time.Sleep(time.Minute)
			if !w.vpn.Send(c, 1<<20) {
				t.Fatal("a throttled scheduler cut somebody off")
			}
		}
		if held := w.held(); !slices.ContainsFunc(held, func(a latch.Association) bool { return a.Subnet == subnetA }) {
			t.Fatalf("held is %v, want %s to stay", held, subnetA)
		}
		down.Store(false)
		time.Sleep(15 * time.Minute)
		w.vpn.Send(c, 1<<20)
		w.want(latch.StateOpen, latch.OpenLease)
	})
}

func TestASwitchWhoseAnswerIsLostIsNotLeftBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		w.switches.Lose = func(call string) error {
			if call == "Arm" {
				return latch.ErrUnavailable
			}
			return nil
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second) // no beat shall come between
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); err == nil {
			t.Fatal("want the scheduler's fault")
		}
		time.Sleep(10 * time.Minute)
		if n := len(w.switches.Armed()); n != 0 {
			t.Errorf("%d switches are left of an opening that is over", n)
		}
		w.want(latch.StateOff, latch.OffIdle)
	})
}

func TestWhatWasOpenedByHandMayBeClosedByHand(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		a, err := w.vpn.AssociateByHand(office, subnetA)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(6 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		w.vpn.DisassociateByHand(office, a.ID)
		time.Sleep(10 * time.Minute)
		if held := w.held(); len(held) != 0 {
			t.Fatalf("Nightlatch opened %v again, for nobody", held)
		}
		w.want(latch.StateOff, latch.OffIdle)
	})
}

func TestClosedByHandUnderALeaseItOpensAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 4*time.Hour)
		time.Sleep(2 * time.Minute)
		w.vpn.DisassociateByHand(office, w.held()[0].ID) // in the middle of the opening
		time.Sleep(time.Minute)
		w.want(latch.StateClosing, latch.OpeningQueued)
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		r := w.record()
		if len(r.Opening.Associations) != 1 || !w.view(kim).Mine.Until.Equal(r.Leases[0].Until) {
			t.Errorf("the record is %+v", r)
		}
	})
}

func TestTheQueueHasAMaximumOfItsOwn(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
	}, func(w *world) {
		w.open(kim, 3*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		w.vpn.Send(c, 1<<20)
		time.Sleep(2*time.Hour + 40*time.Minute)
		w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(30 * time.Second)
		for _, who := range []latch.Principal{kim, lee} {
			v := w.open(who, 2*time.Hour)
			if v.Reason.Code != latch.OpeningQueued || v.Clipped || time.Until(v.Mine.Until).Round(time.Second) != 2*time.Hour {
				t.Fatalf("%s asks for 2 h in the queue: %s until %v, clipped %v; want the next opening's maximum to count", who.Name, v.Reason.Code, v.Mine.Until, v.Clipped)
			}
			time.Sleep(time.Minute)
		}
		v, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: lee, For: time.Hour})
		if err != nil || time.Until(v.Mine.Until).Round(time.Second) != 3*time.Hour-time.Minute && !v.Clipped {
			t.Errorf("extend in the queue: %v until %v", err, v.Mine.Until)
		}
		w.ready()
		until := w.record().Live(time.Now())[0].Until
		if c, err = w.vpn.Connect(office, "lee"); err != nil {
			t.Fatal(err)
		}
		for time.Until(until) > time.Minute {
			time.Sleep(time.Minute)
			if !w.vpn.Send(c, 1<<20) {
				t.Fatalf("cut off at %v under a lease until %v", time.Now(), until)
			}
		}
	})
}

// Between the decision to close and EC2's answer somebody may ask to open. They are told that it closes, never that it
// is open.
func TestTheDecisionToCloseStands(t *testing.T) {
	inWorld(t, func(w *world) {
		w.vpn.Fail = func(call string) error {
			if call == "Disassociate" {
				time.Sleep(8 * time.Second)
			}
			return nil
		}
	}, func(w *world) {
		w.open(kim, 2*time.Hour)
		w.ready()
		var wg sync.WaitGroup
		wg.Go(func() { w.keeper.Done(w.Context(), office, latch.Request{Who: kim}) })
		time.Sleep(3 * time.Second)
		if v := w.open(lee, time.Hour); v.State != latch.StateClosing || v.Reason.Code != latch.OpeningQueued {
			t.Errorf("opened while EC2 is about to disassociate: %s %s, want closing and queued", v.State, v.Reason.Code)
		}
		wg.Wait()
		time.Sleep(12 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
	})
}

func TestALongerPolicyDoesNotOutliveTheSwitch(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
	}, func(w *world) {
		began := time.Now()
		w.open(kim, 2*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		w.vpn.Send(c, 1<<20)
		w.end()
		w.policy.AbsoluteMax, w.policy.LeaseMax = 12*time.Hour, 12*time.Hour
		w.start()
		v, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: 4 * time.Hour})
		if err != nil || !v.Clipped || !v.Mine.Until.Equal(began.Add(3*time.Hour)) {
			t.Errorf("extended past the switch: %v until %v clipped %v, want %v: the switch was armed and does not move", err, v.Mine.Until, v.Clipped, began.Add(3*time.Hour))
		}
	})
}

func TestAShorterPolicyCountsAtOnce(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		began := time.Now()
		w.open(kim, 8*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		w.vpn.Send(c, 1<<20)
		w.end()
		w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
		w.start()
		time.Sleep(2 * time.Minute)
		if v := w.view(kim); !v.Mine.Until.Equal(began.Add(3 * time.Hour)) {
			t.Errorf("the lease lives until %v, want %v", v.Mine.Until, began.Add(3*time.Hour))
		}
		time.Sleep(time.Until(began.Add(3*time.Hour + 70*time.Second)))
		if len(w.held()) != 0 {
			t.Fatal("open past the maximum")
		}
		time.Sleep(15 * time.Minute)
		w.want(latch.StateOff, latch.OffIdle)
	})
}

// TestAShorterPolicyCountsForTheWholeOpening: a switch that was made meanwhile does not move when the policy is longer
// again, so the leases end before it fires.
func TestAShorterPolicyCountsForTheWholeOpening(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		began := time.Now()
		w.open(kim, 8*time.Hour)
		w.ready()
		long := w.policy
		w.end()
		w.policy.AbsoluteMax, w.policy.LeaseMax, w.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
		w.start()
		w.vpn.DisassociateByHand(office, w.held()[0].ID) // and the next one gets a switch for the shorter time
		w.vpn.AssociateByHand(office, subnetB)
		time.Sleep(10 * time.Minute)
		w.end()
		w.policy = long
		w.start()
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: 2 * time.Hour}); err != nil && !errors.Is(err, latch.ErrTooLong) {
			t.Fatal(err)
		}
		c, err := w.vpn.Connect(office, "kim")
		if err != nil {
			t.Fatal(err)
		}
		for until := w.view(kim).Mine.Until; time.Until(until) > time.Second; {
			if time.Sleep(time.Minute); time.Now().Before(until) && !w.vpn.Send(c, 1<<20) {
				t.Fatalf("cut off %v after the beginning, under a lease until %v after it", time.Since(began), until.Sub(began))
			}
		}
	})
}

func TestARenamedSubnetKeepsItsRoutes(t *testing.T) {
	for name, all := range map[string]bool{"one subnet": false, "all subnets": true} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.policy.All, w.policy.Subnets = all, []latch.SubnetID{subnetA} }, func(w *world) {
				w.open(kim, 2*time.Hour)
				w.ready()
				w.vpn.AddRouteByHand(office, latch.Route{Destination: "192.168.7.0/24", Subnet: subnetA})
				time.Sleep(2 * time.Minute)
				w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
				time.Sleep(10 * time.Minute)
				w.end()
				w.policy.Subnets = []latch.SubnetID{subnetB}
				w.start()
				w.open(kim, 2*time.Hour)
				w.ready()
				if !hasRoute(w, "192.168.7.0/24", subnetB) {
					t.Errorf("the route did not move with its subnet: %v", w.vpn.Now(office).Routes)
				}
			})
		})
	}
}

// In AWS's words the end of one association may take the routes of all.
func TestRoutesSurviveTheEndOfAnotherSubnet(t *testing.T) {
	for name, takes := range map[string]time.Duration{"it takes minutes": 3 * time.Minute, "it is done at once": 0} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.policy.All, w.vpn.LoseAllRoutes, w.vpn.DisassociateTakes = true, true, takes
			}, func(w *world) {
				w.open(kim, 4*time.Hour)
				w.ready()
				c, _ := w.vpn.Connect(office, "kim")
				w.vpn.Send(c, 1<<20)
				w.vpn.AddRouteByHand(office, latch.Route{Destination: "192.168.7.0/24", Subnet: subnetA})
				time.Sleep(2 * time.Minute)
				i := slices.IndexFunc(w.held(), func(a latch.Association) bool { return a.Subnet == subnetB })
				w.vpn.DisassociateByHand(office, w.held()[i].ID)
				time.Sleep(15 * time.Minute)
				w.want(latch.StateOpen, latch.OpenLease)
				if !hasRoute(w, "192.168.7.0/24", subnetA) || len(w.record().Learned) != 1 {
					t.Errorf("routes are %v, learned %v: AWS removed it, nobody's hand", w.vpn.Now(office).Routes, w.record().Learned)
				}
			})
		})
	}
}

func TestAMissingDeclaredRouteIsDegradedNotOpening(t *testing.T) {
	var refusing atomic.Bool
	inWorld(t, func(w *world) { w.vpn.Fail = failing("CreateRoute", &refusing, latch.ErrRefused) }, func(w *world) {
		w.open(kim, 4*time.Hour)
		w.ready()
		time.Sleep(time.Minute)
		refusing.Store(true)
		w.vpn.DeleteRouteByHand(office, "10.9.0.0/16", subnetA)
		time.Sleep(2 * time.Minute)
		w.want(latch.StateDegraded, latch.DegradedRoutes)
		if f := w.view(kim).Failure; f == nil || !strings.Contains(f.Step, "10.9.0.0/16") {
			t.Errorf("failure is %+v, want AWS's refusal of the route", f)
		}
		refusing.Store(false)
		time.Sleep(2 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
		if f := w.view(kim).Failure; f != nil {
			t.Errorf("failure is %+v after it was made good", f)
		}
	})
}

func TestReopenWhileEC2StillDisassociatesWhatItNoLongerReports(t *testing.T) {
	var early atomic.Bool
	inWorld(t, func(w *world) { w.vpn.Fail = failing("Associate", &early, latch.ErrTooEarly) }, func(w *world) {
		early.Store(true)
		if v := w.open(kim, 2*time.Hour); v.State != latch.StateOpening {
			t.Errorf("state is %s, want opening: it is queued, not refused", v.State)
		}
		time.Sleep(2 * time.Minute)
		early.Store(false)
		time.Sleep(6 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
	})
}

func TestATokenThatWasUsedUp(t *testing.T) {
	lost := &once{call: "Associate", err: latch.ErrUnavailable}
	inWorld(t, func(w *world) { w.vpn.Lose, w.vpn.DisassociateTakes = lost.strike, 0 }, func(w *world) {
		w.vpn.FailNext(1)
		w.open(kim, 4*time.Hour)
		lost.set.Store(true)
		for range 1200 {
			if !lost.set.Load() {
				break
			}
			time.Sleep(time.Second)
		}
		for _, a := range w.held() {
			w.vpn.DisassociateByHand(office, a.ID)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOpen, latch.OpenLease)
	})
}

func TestYesterdaysFailureIsNotTodays(t *testing.T) {
	var refusing atomic.Bool
	refusing.Store(true)
	inWorld(t, func(w *world) { w.vpn.Fail = failing("Associate", &refusing, latch.ErrRefused) }, func(w *world) {
		w.keeper.Open(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(10 * time.Minute)
		if w.view(kim).Failure == nil {
			t.Error("nobody can ask why it did not open")
		}
		refusing.Store(false)
		if v := w.open(kim, time.Hour); v.Failure != nil || v.State != latch.StateOpening {
			t.Errorf("a new opening shows %+v", v.Failure)
		}
	})
}

func TestAHiccupOfTheStoreDoesNotSayClosing(t *testing.T) {
	var n atomic.Int64 // Saves until one fails
	inWorld(t, func(w *world) {
		w.store.Fail = func(call string) error {
			if call == "Save" && n.Add(-1) == 0 {
				return latch.ErrUnavailable
			}
			return nil
		}
	}, func(w *world) {
		w.open(kim, 2*time.Hour)
		w.ready()
		time.Sleep(75 * time.Second)
		n.Store(2)
		if v := w.open(lee, time.Hour); v.State != latch.StateOpen || v.Mine.Until.IsZero() {
			t.Errorf("Lee is told %s (%s), lease %v; want open", v.State, v.Reason.Code, v.Mine)
		}
	})
}

func TestTrafficAfterTheLeaseIsNotShownAsClosing(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		end := w.record().Leases[0].Until
		for time.Now().Before(end.Add(3 * time.Minute)) {
			time.Sleep(7 * time.Second)
			w.vpn.Send(c, 1<<17)
			if v := w.view(kim); v.State != latch.StateOpen {
				t.Fatalf("%v after the lease's end the page says %s", time.Since(end), v.State)
			}
		}
	})
}

func TestReadyIsKnownInTime(t *testing.T) {
	for offset := time.Duration(0); offset < time.Minute; offset += 7 * time.Second {
		for _, failing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v failing=%v", offset, failing), func(t *testing.T) {
				most := 15 * time.Second
				if failing {
					most += 10 * time.Second // one look more
				}
				var minute atomic.Int64
				inWorld(t, func(w *world) {
					w.vpn.AssociateTakes, w.vpn.RouteTakes = w.vpn.AssociateTakes+offset, 12*time.Second
					w.vpn.Fail = func(call string) error {
						time.Sleep(200 * time.Millisecond)
						if m := time.Now().Unix() / 60; failing && call == "Observe" && minute.Swap(m) != m {
							return latch.ErrBusy // the first look of each minute
						}
						return nil
					}
				}, func(w *world) {
					time.Sleep(3 * time.Second)
					w.open(kim, 4*time.Hour)
					time.Sleep(4 * time.Minute)
					for !hasRoute(w, "10.9.0.0/16", subnetA) || w.vpn.Now(office).Routes[1].Status != latch.Active {
						time.Sleep(time.Second)
					}
					truth := time.Now()
					for w.record().Opening.ReadyAt.IsZero() && time.Since(truth) < time.Hour {
						time.Sleep(time.Second)
					}
					if took := time.Since(truth); took > most {
						t.Errorf("known %v after AWS's last route, want at most %v", took, most)
					}
				})
			})
		}
	}
}

func TestABeat(t *testing.T) {
	many := func(w *world) {
		w.policy.All = true
		for i := range 60 {
			w.policy.Routes = append(w.policy.Routes, latch.Route{Destination: fmt.Sprintf("172.16.%d.0/24", i)})
		}
	}
	beat := func(t *testing.T, change func(*world), f func(w *world)) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if change != nil {
				change(w)
			}
			w.start()
			w.end()
			f(w)
		})
	}
	t.Run("returns at once when nothing changes", func(t *testing.T) {
		beat(t, nil, func(w *world) {
			began := time.Now()
			if err := w.keeper.Beat(w.Context(), 50*time.Second); err != nil || time.Since(began) > time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	})
	t.Run("keeps to its length, and routes to EC2's bucket", func(t *testing.T) {
		var mu sync.Mutex
		var made []time.Time
		beat(t, func(w *world) {
			many(w)
			w.vpn.Fail = func(call string) error {
				if call == "CreateRoute" {
					mu.Lock()
					defer mu.Unlock()
					made = append(made, time.Now())
				}
				return nil
			}
		}, func(w *world) {
			w.open(kim, 4*time.Hour)
			for range 9 {
				began := time.Now()
				w.keeper.Beat(w.Context(), 50*time.Second)
				if took := time.Since(began); took > 60*time.Second {
					t.Errorf("a beat of 50 s took %v", took)
				}
				time.Sleep(time.Until(began.Add(time.Minute)))
			}
			w.want(latch.StateOpen, latch.OpenLease)
			for i := range made {
				for j := i; j < len(made); j++ {
					if most := 5 + 2*made[j].Sub(made[i]).Seconds(); float64(j-i+1) > most+0.01 {
						t.Fatalf("%d routes within %v: EC2's bucket holds 5 and gets 2 a second", j-i+1, made[j].Sub(made[i]))
					}
				}
			}
		})
	})
	t.Run("ends with its context", func(t *testing.T) {
		beat(t, many, func(w *world) {
			w.open(kim, 4*time.Hour)
			ctx, cancel := context.WithTimeout(w.Context(), 7*time.Second)
			defer cancel()
			began := time.Now()
			if err := w.keeper.Beat(ctx, 50*time.Second); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > 8*time.Second {
				t.Errorf("%v after %v, want the context's end", err, time.Since(began))
			}
		})
	})
	t.Run("a request does not wait for routes", func(t *testing.T) {
		beat(t, many, func(w *world) {
			w.open(kim, 4*time.Hour)
			time.Sleep(5 * time.Minute)
			began := time.Now()
			if v := w.open(lee, time.Hour); time.Since(began) > time.Second || v.State != latch.StateOpening {
				t.Errorf("Lee waited %v for %s", time.Since(began), v.State)
			}
		})
	})
}

func TestACrowdInTheSameSecond(t *testing.T) {
	inWorld(t, func(w *world) {
		w.store.Fail = func(call string) error { time.Sleep(3 * time.Millisecond); return nil }
		w.vpn.Fail = func(call string) error { time.Sleep(100 * time.Millisecond); return nil }
	}, func(w *world) {
		time.Sleep(20 * time.Second) // no beat shall come between
		looks := w.vpn.Calls("Observe")
		const people = 200
		var wg sync.WaitGroup
		var failed atomic.Int64
		for i := range people {
			wg.Go(func() {
				// Each has an instance of the function of their own.
				own, err := latch.New(latch.Config{VPN: w.vpn, Store: w.store, Deadman: w.switches, Log: slog.New(slog.DiscardHandler),
					Endpoints: map[latch.EndpointID]latch.Policy{office: w.policy}})
				if err != nil {
					panic(err)
				}
				who := latch.Principal{Subject: latch.Subject(fmt.Sprint("p", i))}
				if v, err := own.Open(w.Context(), office, latch.Request{Who: who}); err != nil || v.State != latch.StateOpening {
					failed.Add(1)
				}
			})
		}
		wg.Wait()
		if n := failed.Load(); n != 0 {
			t.Errorf("%d of 200 were not told that it is opening", n)
		}
		if len(w.held()) != 1 || len(w.record().Live(time.Now())) != people {
			t.Errorf("held %v for %d leases, want one for 200", w.held(), len(w.record().Live(time.Now())))
		}
		if n := w.vpn.Calls("Observe") - looks; n > 3 {
			t.Errorf("%d looks at EC2 for %d people in the same second, want one, or another a second later", n, people)
		}
		if n := w.vpn.Calls("Associate"); n > 50 {
			t.Errorf("%d calls of Associate, which EC2's bucket would refuse", n)
		}
	})
}

func TestALateReportAfterClosingIsNotAnOpening(t *testing.T) {
	var then atomic.Int64 // the moment that the next report shows
	inWorld(t, func(w *world) {
		w.vpn.Lag = func() time.Duration {
			if at := then.Swap(0); at != 0 {
				return time.Since(time.Unix(at, 0))
			}
			return 0
		}
		w.vpn.DisassociateTakes = 20 * time.Second
	}, func(w *world) {
		w.open(kim, 4*time.Hour)
		w.ready()
		before := time.Now().Add(-time.Second)
		w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
		time.Sleep(85 * time.Second)
		if w.record().Opening != nil {
			t.Fatal("the test wants the opening to be over")
		}
		calls := w.vpn.Calls("Disassociate")
		then.Store(before.Unix()) // it seems to hold still
		time.Sleep(70 * time.Second)
		if r := w.record(); r.Opening != nil || len(r.Leases) != 0 {
			t.Errorf("adopted a ghost: %+v", r)
		}
		if w.vpn.Calls("Disassociate") == calls {
			t.Error("what seems to hold is not ended again")
		}
	})
}

// Two keepers in two processes, each with its own store of what it has seen of the other: only the record.
func TestTwoKeepersAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		w.vpn.Fail = func(call string) error { time.Sleep(time.Second); return nil }
		w.store.Fail = func(call string) error { time.Sleep(5 * time.Millisecond); return nil }
	}, func(w *world) {
		other, err := latch.New(latch.Config{VPN: w.vpn, Store: w.store, Deadman: w.switches, Log: slog.New(slog.DiscardHandler),
			Endpoints: map[latch.EndpointID]latch.Policy{office: w.policy}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		defer wg.Wait()
		stop := make(chan struct{})
		defer close(stop)
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Second):
					other.Reconcile(w.Context(), office)
				}
			}
		})
		w.open(kim, time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		end := w.record().Leases[0].Until
		for time.Until(end) > 10*time.Second {
			time.Sleep(10 * time.Second)
			if !w.vpn.Send(c, 10) {
				t.Fatal("cut off under a lease")
			}
		}
		time.Sleep(10 * time.Minute)
		if n, m := w.vpn.Calls("Associate"), w.vpn.Calls("Disassociate"); n != 1 || m > 4 {
			t.Errorf("%d calls of Associate and %d of Disassociate, want 1 and few", n, m)
		}
		w.want(latch.StateOff, latch.OffIdle)
		if n := len(w.switches.Armed()); n != 0 {
			t.Errorf("%d switches are left", n)
		}
	})
}

// TestNothingThatTheLatchDidIsMissingFromTheAudit: what it found is saved with the change itself, so that an audit which
// cannot be written for a while, or a process that dies before it writes, costs no entry.
func TestNothingThatTheLatchDidIsMissingFromTheAudit(t *testing.T) {
	var down atomic.Bool
	inWorld(t, func(w *world) { w.store.Fail = failing("Append", &down, latch.ErrUnavailable) }, func(w *world) {
		w.open(kim, time.Hour)
		down.Store(true)
		w.ready()
		time.Sleep(2 * time.Hour) // nobody came: leases lapse, and it closes all the same
		w.want(latch.StateOff, latch.OffIdle)
		if n := len(w.record().Journal); n == 0 {
			t.Fatal("the record keeps nothing for an audit that cannot be written")
		}
		down.Store(false)
		time.Sleep(2 * time.Minute)
		if left := w.record().Journal; len(left) != 0 {
			t.Errorf("%d entries wait still: %+v", len(left), left)
		}
		entries, err := w.keeper.Entries(w.Context(), office, 100)
		if err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, e := range entries {
			count[e.Action]++
		}
		for _, action := range []string{"ready", "lease.lapse", "close", "closed"} {
			if count[action] != 1 {
				t.Errorf("the audit has %d entries %q, want 1: %v", count[action], action, count)
			}
		}
	})
}

func TestAQueuedOpeningWaitsForTheAudit(t *testing.T) {
	var down atomic.Bool
	inWorld(t, func(w *world) { w.store.Fail = failing("Append", &down, latch.ErrUnavailable) }, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		w.open(lee, 2*time.Hour)
		w.want(latch.StateClosing, latch.OpeningQueued)
		down.Store(true)
		time.Sleep(5 * time.Minute)
		if held := w.held(); len(held) != 0 {
			t.Fatalf("%v was associated, and the audit does not know that the last opening is over", held)
		}
		down.Store(false)
		w.ready()
	})
}

// TestALookFromTheFutureIsNotThePresent: a process whose clock is two minutes ahead has looked. Nobody opens on the
// strength of what it saw, nor is it shown as the present, until the others' clocks have come so far.
func TestALookFromTheFutureIsNotThePresent(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ahead := &world{T: w.T, vpn: w.vpn, store: w.store, switches: w.switches, policy: w.policy}
		ahead.through = func(c *latch.Config) {
			c.Store = latchtest.Clock{Off: func() time.Duration { return 2 * time.Minute }}.Store(c.Store)
		}
		ahead.start()
		time.Sleep(20 * time.Second)
		ahead.view(lee)
		ahead.end()
		if v := w.open(kim, time.Hour); v.State != latch.StateOpening {
			t.Fatalf("Kim is told %s", v.State)
		}
		first := w.held()[0].ID
		for range 10 {
			time.Sleep(time.Second)
			w.open(lee, time.Hour)
			if v := w.view(lee); v.State != latch.StateOpening && !v.Stale {
				t.Fatalf("Lee is shown %s as the present", v.State)
			}
		}
		time.Sleep(2 * time.Minute)
		if on := w.held(); len(on) != 1 || on[0].ID != first || w.vpn.Calls("Disassociate") != 0 {
			t.Errorf("held is %v after %d calls of Disassociate: want %s untouched", on, w.vpn.Calls("Disassociate"), first)
		}
		w.ready()
	})
}

// decided fails when something that holds is ended before the decision to close is saved: a wish that is saved in
// between would be cut off.
type decided struct {
	latch.VPN
	w *world
}

func (d decided) Disassociate(ctx context.Context, id latch.EndpointID, a latch.AssociationID) error {
	if r := d.w.store.Now(id); r.Opening != nil && r.Opening.ClosingFor == "" {
		d.w.Errorf("%s is ended at %s, and no decision to close is saved: %+v", a, time.Now().Format(time.TimeOnly), r)
	}
	return d.VPN.Disassociate(ctx, id, a)
}

func TestTheDecisionIsSavedBeforeAnythingEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		slow string
		then func(w *world, slow *atomic.Bool)
	}{
		"a lease ends while the look is saved": {"Save", func(w *world, slow *atomic.Bool) {
			time.Sleep(time.Until(w.record().Leases[0].Until.Add(-80 * time.Millisecond)))
			slow.Store(true)
			w.keeper.Reconcile(w.Context(), office)
		}},
		"the last one is done while another pass writes to the audit": {"Append", func(w *world, slow *atomic.Bool) {
			w.open(lee, time.Second)
			time.Sleep(2 * time.Second)
			slow.Store(true)
			var done sync.WaitGroup
			done.Go(func() { w.keeper.Reconcile(w.Context(), office) }) // which notes the end of Lee's lease
			done.Go(func() {
				time.Sleep(70 * time.Millisecond) // the pass is at its entry
				w.keeper.Done(w.Context(), office, latch.Request{Who: kim})
			})
			done.Wait()
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var slow atomic.Bool
			inWorld(t, func(w *world) {
				w.through = func(c *latch.Config) { c.VPN = decided{c.VPN, w} }
				w.vpn.Fail = func(call string) error {
					if call == "Observe" {
						time.Sleep(60 * time.Millisecond)
					}
					return nil
				}
				w.store.Fail = func(call string) error {
					if call == tt.slow && slow.CompareAndSwap(true, false) {
						time.Sleep(50 * time.Millisecond)
					}
					return nil
				}
			}, func(w *world) {
				time.Sleep(17 * time.Second) // no beat shall come between
				w.open(kim, time.Hour)
				w.ready()
				w.vpn.Connect(office, "kim")
				time.Sleep(2 * time.Minute)
				tt.then(w, &slow)
				time.Sleep(5 * time.Minute)
				if on := w.held(); len(on) != 0 {
					t.Errorf("held is %v, want it closed", on)
				}
			})
		})
	}
}

// TestAPolicyThatWantsFewerSubnetsKeepsTheirRoutes: the one that is left takes over the routes that people added on the
// other; that it lacks them is nobody's wish.
func TestAPolicyThatWantsFewerSubnetsKeepsTheirRoutes(t *testing.T) {
	const x = "192.168.7.0/24"
	for name, change := range map[string]func(*latch.Policy){
		"one instead of all":     func(p *latch.Policy) { p.All = false },
		"the other is not named": func(p *latch.Policy) { p.Subnets = []latch.SubnetID{subnetA} },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.policy.All = true }, func(w *world) {
				w.open(kim, 4*time.Hour)
				w.ready()
				w.vpn.Connect(office, "kim")
				w.vpn.AddRouteByHand(office, latch.Route{Destination: x, Subnet: subnetB})
				time.Sleep(2 * time.Minute)
				w.end()
				i := slices.IndexFunc(w.held(), func(a latch.Association) bool { return a.Subnet == subnetB })
				w.vpn.DisassociateByHand(office, w.held()[i].ID)
				time.Sleep(5 * time.Minute)
				w.start() // and sees what is left, and restores it
				time.Sleep(30 * time.Second)
				w.end()
				change(&w.policy)
				w.start()
				time.Sleep(5 * time.Minute)
				if !hasRoute(w, x, subnetA) || len(w.record().Learned) != 1 {
					t.Errorf("learned are %v, routes %v: want %s on the subnet that is left", w.record().Learned, w.vpn.Now(office).Routes, x)
				}
			})
		})
	}
}

// TestDoneWhileEC2Associates: what was asked for is ended when EC2 answers, and nothing more is asked for.
func TestDoneWhileEC2Associates(t *testing.T) {
	inWorld(t, func(w *world) {
		w.policy.All = true
		w.vpn.Fail = func(call string) error {
			if call == "Associate" {
				time.Sleep(5 * time.Second)
			}
			return nil
		}
	}, func(w *world) {
		time.Sleep(10 * time.Second) // no beat shall come between
		var opening sync.WaitGroup
		opening.Go(func() { w.keeper.Open(w.Context(), office, latch.Request{Who: kim}) })
		time.Sleep(2 * time.Second)
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		opening.Wait()
		if on := w.held(); len(on) != 0 || w.vpn.Calls("Associate") != 1 {
			t.Errorf("%v is held after %d calls of Associate: the wish ended while EC2 was at the first", on, w.vpn.Calls("Associate"))
		}
		time.Sleep(5 * time.Minute)
		w.want(latch.StateOff, latch.OffIdle)
	})
}
