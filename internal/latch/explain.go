package latch

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// entriesShown is how many of the newest audit entries an explanation has.
const entriesShown = 10

// Explanation is all that an operator may ask about an endpoint, other people's names and reasons included. It is no
// person's view: pages show View.
type Explanation struct {
	Endpoint   EndpointID
	ObservedAt time.Time // when EC2 was last looked at
	// Stale is true when EC2 could not be asked just now and all this is as it was then; Unanswered says why.
	Stale       bool
	Unanswered  error
	Decision    Decision // what the next pass would do if nothing changed
	Leases      []Lease  // those that live, the longest first
	Hold        *Hold    // in force; nil without one
	Causes      []Cause
	Differences []Difference
	Failure     *Failure
	Past        []Past   // of the phases that have been gone through, in order
	Entries     []Entry  // of the audit, the newest first
	DeadLetters []Notice // messages that could not be sent, the newest last
}

// Past is how long a phase has taken at an endpoint.
type Past struct {
	Phase   Phase
	Samples int
	// Half, Most and All: half of all such phases took no longer, nine in ten, all.
	Half, Most, All time.Duration
}

// Explain tells everything about an endpoint. As View, it changes nothing at AWS, and refreshes the last look as seldom.
func (k *Keeper) Explain(ctx context.Context, id EndpointID) (Explanation, error) {
	p, err := k.policy(id)
	if err != nil {
		return Explanation{}, err
	}
	look, mine, cause, err := k.look(ctx, id)
	if err != nil {
		return Explanation{}, err
	}
	if mine {
		k.saveLook(ctx, look)
	}
	r, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return Explanation{}, fmt.Errorf("wishes: %w", err)
	}
	entries, err := k.c.Store.Entries(ctx, id, entriesShown)
	if err != nil {
		return Explanation{}, fmt.Errorf("audit: %w", err)
	}
	now := time.Now()
	e := Explanation{Endpoint: id, ObservedAt: look.At, Stale: cause != nil, Unanswered: cause, Decision: Plan(look, r, p, now),
		Leases: r.Live(now), Hold: r.held(now), Causes: Why(look, r, p, now), Differences: Drift(look, r, p), Failure: r.Failure, Entries: entries, DeadLetters: r.DeadLetters}
	for _, phase := range Phases {
		if past := slices.Sorted(slices.Values(r.Past[phase])); len(past) > 0 {
			e.Past = append(e.Past, Past{phase, len(past), quantile(past, 50), quantile(past, 90), past[len(past)-1]})
		}
	}
	return e, nil
}
