package latch_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// counted is a beat of a keeper that no other beat disturbs.
func counted(w *world) (latch.Tally, error) {
	w.Helper()
	all, err := w.keeper.TalliedBeat(w.Context(), time.Second)
	if len(all) != 1 || all[0].Endpoint != office {
		w.Fatalf("the beat tallies %+v, want the one endpoint", all)
	}
	return all[0], err
}

// alone is a world without a beat but those that f makes.
func alone(t *testing.T, change func(*world), f func(w *world)) {
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

func TestABeatTellsWhatItFound(t *testing.T) {
	alone(t, nil, func(w *world) {
		want := func(when string, want latch.Tally) {
			t.Helper()
			want.Endpoint = office
			looks := w.vpn.Calls("Observe")
			got, err := counted(w)
			if got != want || err != nil {
				t.Errorf("%s: %+v (%v), want %+v", when, got, err, want)
			}
			if n := w.vpn.Calls("Observe") - looks; n > 2 { // its begin and, while something changes, its end
				t.Errorf("%s: %d looks in one short beat: tallying must not cost one", when, n)
			}
		}
		want("nobody wants it", latch.Tally{})
		w.open(kim, time.Hour)
		want("opening", latch.Tally{Held: 1, Leases: 1})
		w.open(lee, 2*time.Hour)
		time.Sleep(6 * time.Minute)
		want("nearly open", latch.Tally{Held: 1, Leases: 2})
		if _, err := w.vpn.Connect(office, "kim"); err != nil {
			t.Fatal(err)
		}
		want("open", latch.Tally{Held: 1, Leases: 2, Connections: 1})
		for _, who := range []latch.Principal{kim, lee} {
			if _, err := w.keeper.Close(w.Context(), office, latch.Request{Who: who, For: time.Hour, Why: "works"}); err != nil {
				t.Fatal(err)
			}
		}
		got, err := counted(w)
		if err != nil || got.Held != 0 || got.Leases != 0 {
			t.Errorf("closing: %+v (%v), want nothing held", got, err)
		}
	})
}

func TestABeatTellsWhatIsStuck(t *testing.T) {
	alone(t, func(w *world) { w.vpn.AssociateTakes = 5 * time.Hour }, func(w *world) {
		w.open(kim, 4*time.Hour)
		if got, err := counted(w); err != nil || got.Stuck != "" {
			t.Errorf("just begun: %+v (%v), want nothing stuck", got, err)
		}
		time.Sleep(11 * time.Minute)
		if got, err := counted(w); err != nil || got.Stuck != "" {
			t.Errorf("slow: %+v (%v), want nothing stuck yet", got, err)
		}
		time.Sleep(20 * time.Minute) // three times the longest that is typical
		if got, err := counted(w); err != nil || got.Stuck != latch.PhaseAssociate {
			t.Errorf("half an hour later: %+v (%v), want the association stuck", got, err)
		}
	})
}

// Somebody's disassociation that EC2 refuses again and again is the case that costs money.
func TestABeatTellsWhatIsOpenPastItsMaximum(t *testing.T) {
	var refuse atomic.Bool
	refuse.Store(true)
	for name, observe := range map[string]bool{"kept": false, "observed only": true} {
		t.Run(name, func(t *testing.T) {
			alone(t, func(w *world) {
				w.policy.Observe = observe
				w.vpn.Fail = failing("Disassociate", &refuse, latch.ErrRefused)
				w.switches.Fail = failing("Arm", &refuse, latch.ErrRefused)
			}, func(w *world) {
				if _, err := w.vpn.Associate(w.Context(), office, subnetA, "by-hand"); err != nil {
					t.Fatal(err)
				}
				if got, _ := counted(w); got.Held != 1 || got.Overdue {
					t.Errorf("opened by hand: %+v", got)
				}
				time.Sleep(w.policy.AbsoluteMax + 4*time.Minute)
				if got, _ := counted(w); got.Held != 1 || got.Overdue {
					t.Errorf("4 minutes past the maximum: %+v, want one that has its time still", got)
				}
				time.Sleep(2 * time.Minute)
				got, err := counted(w)
				if got.Held != 1 || got.Overdue == observe {
					t.Errorf("6 minutes past the maximum: %+v", got)
				}
				if !observe && (!errors.Is(err, latch.ErrRefused) || !errors.Is(got.Err, latch.ErrRefused)) {
					t.Errorf("the beat's error is %v, the tally's %v: want EC2's refusal in both", err, got.Err)
				}
			})
		})
	}
}

func TestABeatThatKnowsNothingSaysSo(t *testing.T) {
	var down atomic.Bool
	alone(t, func(w *world) { w.vpn.Fail = failing("Observe", &down, latch.ErrUnavailable) }, func(w *world) {
		w.open(kim, time.Hour)
		down.Store(true)
		got, err := counted(w)
		if !got.Unknown || !errors.Is(got.Err, latch.ErrUnavailable) || err == nil || got.Held != 0 {
			t.Errorf("EC2 is away: %+v (%v), want an endpoint of which nothing is known", got, err)
		}
		// A beat that begins well and ends badly knows what it knew.
		down.Store(false)
		go func() { time.Sleep(5 * time.Second); down.Store(true) }()
		all, err := w.keeper.TalliedBeat(w.Context(), 50*time.Second)
		if len(all) != 1 || all[0].Unknown || all[0].Held != 1 || all[0].Err == nil || err == nil {
			t.Errorf("EC2 goes away: %+v (%v), want what the first look found, and the fault", all, err)
		}
	})
}

func TestABeatCountsTheMessagesItGaveUp(t *testing.T) {
	c := &channel{fail: -1, with: latch.Never(errors.New("no such channel"))}
	alone(t, func(w *world) { c.listen(w) }, func(w *world) {
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim, For: time.Hour, Why: "fire", BreakGlass: true}); err != nil {
			t.Fatal(err)
		}
		all, err := w.keeper.TalliedBeat(w.Context(), 50*time.Second)
		if err != nil || len(all) != 1 || all[0].Lost != 1 {
			t.Errorf("the beat tallies %+v (%v), want one message lost", all, err)
		}
		if n := len(w.record().DeadLetters); n != 1 {
			t.Errorf("%d dead letters, want 1", n)
		}
		if got, _ := counted(w); got.Lost != 0 {
			t.Errorf("the next beat tallies %+v, want no loss told twice", got)
		}
	})
}
