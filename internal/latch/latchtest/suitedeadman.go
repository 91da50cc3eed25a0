package latchtest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// A DeadmanBench is one latch.Deadman under test and the associations that its switches end.
type DeadmanBench struct {
	Deadman      latch.Deadman
	Endpoint     latch.EndpointID
	Associations []latch.AssociationID // two, associated
	// Ended says whether the association is being disassociated or gone.
	Ended func(latch.AssociationID) bool
}

// deadmanPrecision is how late a switch may fire: one minute for EventBridge Scheduler's precision ("Schedule types",
// EventBridge Scheduler User Guide), one for a start at the next full minute.
const deadmanPrecision = 2 * time.Minute

// TestDeadman is what every latch.Deadman keeps. Each case runs in a bubble of its own, in which newDeadman makes a
// new world; an adapter's HTTP therefore has to stay inside the process.
func TestDeadman(t *testing.T, newDeadman func(t *testing.T) DeadmanBench) {
	const ahead = 30 * time.Minute
	for name, test := range map[string]func(*testing.T, DeadmanBench){
		"an armed switch ends its association and no other, at its time": func(t *testing.T, b DeadmanBench) {
			b.arm(t, 0, time.Now().Add(ahead))
			b.arm(t, 1, time.Now().Add(2*ahead))
			time.Sleep(ahead - time.Second)
			b.want(t, "before its time", false, false)
			time.Sleep(time.Second + deadmanPrecision)
			b.want(t, "after its time", true, false)
			time.Sleep(ahead)
			b.want(t, "after the other's time", true, true)
		},
		"a switch that exists is not moved": func(t *testing.T, b DeadmanBench) {
			at := time.Now().Add(ahead)
			b.arm(t, 0, at)
			b.arm(t, 0, at.Add(ahead))
			time.Sleep(ahead + deadmanPrecision)
			b.want(t, "after the first time", true, false)
		},
		"a disarmed switch does not fire": func(t *testing.T, b DeadmanBench) {
			b.arm(t, 0, time.Now().Add(ahead))
			b.disarm(t, 0)
			b.disarm(t, 0)
			time.Sleep(ahead + deadmanPrecision)
			b.want(t, "after its time", false, false)
		},
		"a switch that never was, or has fired, is disarmed already": func(t *testing.T, b DeadmanBench) {
			b.disarm(t, 1)
			b.arm(t, 0, time.Now().Add(ahead))
			time.Sleep(ahead + deadmanPrecision)
			b.disarm(t, 0)
		},
		"a switch for a time that has passed fires at once": func(t *testing.T, b DeadmanBench) {
			b.arm(t, 0, time.Now().Add(-ahead))
			time.Sleep(deadmanPrecision + time.Minute)
			b.want(t, "soon after", true, false)
		},
		"a caller who gave up gets no answer": func(t *testing.T, b DeadmanBench) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			wantGivenUp(t, "arm", b.Deadman.Arm(ctx, b.Endpoint, b.Associations[0], time.Now().Add(ahead)))
			wantGivenUp(t, "disarm", b.Deadman.Disarm(ctx, b.Endpoint, b.Associations[0]))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, newDeadman(t)) })
		})
	}
}

func (b DeadmanBench) arm(t *testing.T, i int, at time.Time) {
	t.Helper()
	if err := b.Deadman.Arm(t.Context(), b.Endpoint, b.Associations[i], at); err != nil {
		t.Fatalf("arm %s: %v", b.Associations[i], err)
	}
}

func (b DeadmanBench) disarm(t *testing.T, i int) {
	t.Helper()
	if err := b.Deadman.Disarm(t.Context(), b.Endpoint, b.Associations[i]); err != nil {
		t.Fatalf("disarm %s: %v", b.Associations[i], err)
	}
}

func (b DeadmanBench) want(t *testing.T, when string, ended ...bool) {
	t.Helper()
	for i, want := range ended {
		if got := b.Ended(b.Associations[i]); got != want {
			t.Errorf("%s: association %d ended: got %v, want %v", when, i, got, want)
		}
	}
}
