package latch_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// seed gives the endpoint a past.
func (w *world) seed(past map[latch.Phase][]time.Duration) {
	w.Helper()
	r := w.record()
	r.Past = past
	if _, err := w.store.Save(w.Context(), office, r); err != nil {
		w.Fatal(err)
	}
}

// minutes are lengths of time.
func minutes(all ...int) (out []time.Duration) {
	for _, m := range all {
		out = append(out, time.Duration(m)*time.Minute)
	}
	return out
}

func TestHowMuchLonger(t *testing.T) {
	ten := minutes(4, 4, 5, 5, 5, 6, 6, 6, 7, 12)
	routes := minutes(1, 1, 1, 1, 1)
	type progress struct {
		from, to    time.Duration
		samples     int
		slow, stuck bool
	}
	for name, tt := range map[string]struct {
		past  []time.Duration
		taken time.Duration
		want  progress
	}{
		"no past: the typical range": {nil, 0, progress{5 * time.Minute, 11 * time.Minute, 0, false, false}},
		"four are no past":           {minutes(1, 1, 1, 1), 3 * time.Minute, progress{2 * time.Minute, 8 * time.Minute, 0, false, false}},
		"five are":                   {minutes(4, 5, 5, 5, 6), 0, progress{6 * time.Minute, 7 * time.Minute, 5, false, false}},
		"half end within the one, nine in ten in the other": {ten, 0, progress{6 * time.Minute, 8 * time.Minute, 10, false, false}},
		"having taken five, the shorter ones count no more": {ten, 5 * time.Minute, progress{2 * time.Minute, 8 * time.Minute, 10, false, false}},
		"past nine in ten: slower than usual":               {ten, 8 * time.Minute, progress{5 * time.Minute, 5 * time.Minute, 10, true, false}},
		"past the longest: stuck":                           {ten, 13 * time.Minute, progress{0, 0, 10, true, true}},
		"no past, past the typical range: slow":             {nil, 11 * time.Minute, progress{time.Minute, time.Minute, 0, true, false}},
		"no past, and three times as long: stuck":           {nil, 31 * time.Minute, progress{0, 0, 0, true, true}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.vpn.AssociateTakes = 2 * time.Hour }, func(w *world) {
				w.seed(map[latch.Phase][]time.Duration{latch.PhaseAssociate: tt.past, latch.PhaseRoutes: routes})
				time.Sleep(10 * time.Second) // between two beats
				w.open(kim, 4*time.Hour)
				time.Sleep(tt.taken)
				p := w.view(kim).Progress
				if p == nil || p.Phase != latch.PhaseAssociate {
					t.Fatalf("progress is %+v, want the association's", p)
				}
				if got := (progress{p.Left.From.Round(time.Second), p.Left.To.Round(time.Second), p.Samples, p.Slow, p.Stuck}); got != tt.want {
					t.Errorf("after %v: %+v, want %+v", tt.taken, got, tt.want)
				}
			})
		})
	}
}

// TestThePastIsRemembered: each phase's length is known within a look of what it was, and the latest fifty are kept.
func TestThePastIsRemembered(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for range 60 {
			w.open(kim, time.Hour)
			w.ready()
			if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Minute)
			w.want(latch.StateOff, latch.OffIdle)
		}
		past := w.record().Past
		for phase, took := range map[latch.Phase]time.Duration{
			latch.PhaseAssociate: w.vpn.AssociateTakes, latch.PhaseRoutes: w.vpn.RouteTakes, latch.PhaseClose: w.vpn.DisassociateTakes,
		} {
			if len(past[phase]) != 50 {
				t.Errorf("%s: %d lengths are kept, want 50", phase, len(past[phase]))
			}
			for _, d := range past[phase] {
				if d < took-time.Second || d > took+21*time.Second {
					t.Fatalf("%s took %v, and %v is remembered: %v", phase, took, d, past[phase])
				}
			}
		}
		w.open(kim, time.Hour)
		p := w.view(kim).Progress
		if p == nil || p.Samples != 50 || p.Left.From < 4*time.Minute || p.Left.To > 5*time.Minute+30*time.Second {
			t.Errorf("having opened sixty times in about four minutes, the next is estimated as %+v", p)
		}
		w.ready()
		if p := w.view(kim).Progress; p != nil {
			t.Errorf("it is ready, and the page estimates %+v", p)
		}
	})
}

// TestStuckIsToldOnce: an association that takes longer than any before raises the alarm, once.
func TestStuckIsToldOnce(t *testing.T) {
	inWorld(t, func(w *world) { w.vpn.AssociateTakes = 2 * time.Hour }, func(w *world) {
		w.seed(map[latch.Phase][]time.Duration{latch.PhaseAssociate: minutes(4, 5, 5, 6, 7)})
		w.open(kim, 8*time.Hour)
		told := func() int {
			entries, err := w.keeper.Entries(w.Context(), office, 1000)
			if err != nil {
				t.Fatal(err)
			}
			return len(slices.DeleteFunc(entries, func(e latch.Entry) bool { return e.Action != "stuck" }))
		}
		time.Sleep(6 * time.Minute)
		if n := told(); n != 0 {
			t.Errorf("%d alarms within the longest time that it ever took", n)
		}
		time.Sleep(time.Hour)
		if n := told(); n != 1 {
			t.Errorf("%d alarms, want one", n)
		}
	})
}
