package latchtest

import (
	"context"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// A Clock is that of one process, and may be wrong: Off says by how much it is ahead, each time it is asked. All
// goroutines of a bubble read the same clock, so a process whose clock is wrong is made the other way round: what it
// reads is shown to it by its own clock, and what it writes is kept as everybody else's clocks have it. Nobody can tell
// the difference, but by the time of day: hours are not moved. Off may change, as a clock that is set, while the process
// holds nothing that it has read.
type Clock struct{ Off func() time.Duration }

// Store is s as the process sees it.
func (c Clock) Store(s latch.Store) latch.Store { return clockedStore{s, c} }

// Deadman is d as the process sees it.
func (c Clock) Deadman(d latch.Deadman) latch.Deadman { return clockedDeadman{d, c} }

type clockedStore struct {
	latch.Store
	clock Clock
}

func (s clockedStore) Load(ctx context.Context, id latch.EndpointID) (latch.Record, error) {
	r, err := s.Store.Load(ctx, id)
	return replicate(r, -s.clock.Off()), err
}

func (s clockedStore) Save(ctx context.Context, id latch.EndpointID, r latch.Record) (latch.Record, error) {
	r, err := s.Store.Save(ctx, id, replicate(r, s.clock.Off()))
	return replicate(r, -s.clock.Off()), err
}

func (s clockedStore) Look(ctx context.Context, id latch.EndpointID) (latch.Observation, error) {
	o, err := s.Store.Look(ctx, id)
	return replicate(o, -s.clock.Off()), err
}

func (s clockedStore) SaveLook(ctx context.Context, o latch.Observation) error {
	return s.Store.SaveLook(ctx, replicate(o, s.clock.Off()))
}

func (s clockedStore) ClaimLook(ctx context.Context, id latch.EndpointID, now time.Time, every time.Duration) (bool, error) {
	return s.Store.ClaimLook(ctx, id, now.Add(s.clock.Off()), every)
}

func (s clockedStore) Append(ctx context.Context, e latch.Entry) error {
	return s.Store.Append(ctx, replicate(e, s.clock.Off()))
}

func (s clockedStore) Entries(ctx context.Context, id latch.EndpointID, limit int) ([]latch.Entry, error) {
	entries, err := s.Store.Entries(ctx, id, limit)
	return replicate(entries, -s.clock.Off()), err
}

type clockedDeadman struct {
	latch.Deadman
	clock Clock
}

func (d clockedDeadman) Arm(ctx context.Context, id latch.EndpointID, a latch.AssociationID, at time.Time) error {
	return d.Deadman.Arm(ctx, id, a, at.Add(d.clock.Off()))
}
