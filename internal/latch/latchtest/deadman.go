package latchtest

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Deadman is a latch.Deadman in memory. With a VPN its switches fire: the association ends at the time it was armed
// for, whoever looks later. The zero value has no VPN and only remembers.
type Deadman struct {
	VPN *VPN
	// Fail is asked before a call has any effect, Lose after it had. Both get the method's name, "Arm", and may sleep;
	// no lock is held. Set them before the first call.
	Fail, Lose func(call string) error

	mu    sync.Mutex
	calls map[string]int
	armed map[latch.AssociationID]time.Time
}

// Arm implements latch.Deadman.
func (d *Deadman) Arm(ctx context.Context, id latch.EndpointID, association latch.AssociationID, at time.Time) error {
	return d.call(ctx, "Arm", func() error {
		if _, ok := d.armed[association]; ok {
			return nil
		}
		if now := time.Now(); at.Before(now) {
			at = now // a switch whose time has passed fires at once
		}
		keep(&d.armed, association, at)
		if d.VPN != nil {
			d.VPN.endAt(id, association, at)
		}
		return nil
	})
}

// Disarm implements latch.Deadman.
func (d *Deadman) Disarm(ctx context.Context, id latch.EndpointID, association latch.AssociationID) error {
	return d.call(ctx, "Disarm", func() error {
		delete(d.armed, association)
		if d.VPN != nil {
			d.VPN.endAt(id, association, time.Time{})
		}
		return nil
	})
}

// Armed are the switches that exist now and have not fired.
func (d *Deadman) Armed() map[latch.AssociationID]time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sweep()
	return maps.Clone(d.armed)
}

// Calls says how often a method was called, also when the call failed.
func (d *Deadman) Calls(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls[name]
}

// sweep forgets the switches that have fired: a schedule deletes itself. The lock is held.
func (d *Deadman) sweep() {
	now := time.Now()
	maps.DeleteFunc(d.armed, func(_ latch.AssociationID, at time.Time) bool { return !at.After(now) })
}

func (d *Deadman) call(ctx context.Context, name string, do func() error) error {
	d.mu.Lock()
	keep(&d.calls, name, d.calls[name]+1)
	d.mu.Unlock()
	return guard(ctx, name, d.Fail, d.Lose, func() error {
		d.mu.Lock() // before the VPN's lock, never after
		defer d.mu.Unlock()
		d.sweep()
		return do()
	})
}
