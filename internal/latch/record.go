package latch

import (
	"fmt"
	"maps"
	"slices"
	"time"
)

// Record is all that is stored about an endpoint beside its audit: wishes, times, and the routes to restore. What
// state the endpoint is in is not in here.
type Record struct {
	// Version counts the saves; Save is refused unless it is still the stored one.
	Version int64 `json:"version"`
	// WriteID is new with every save, so that a writer whose answer was lost recognises its own write.
	WriteID string  `json:"writeId,omitempty"`
	Leases  []Lease `json:"leases,omitempty"`
	// Opening is set from the first wish until nothing is associated any more.
	Opening *Opening `json:"opening,omitempty"`
	// Hold keeps the endpoint closed for a time, by an operator's order; nil without one.
	Hold *Hold `json:"hold,omitempty"`
	// Learned are routes that people added while an opening was ready; they are restored at the next.
	Learned []Learned `json:"learned,omitempty"`
	// Groups are the security groups that the last opening had, in order: the next one gets them unless policy declares
	// some. Whether an endpoint keeps its groups while nothing is associated is not documented.
	Groups []GroupID `json:"groups,omitempty"`
	// Past is how long each phase took, the latest last.
	Past map[Phase][]time.Duration `json:"past,omitempty"`
	// Ended are the associations that the last opening had, and those that came and went unseen in this one: a late report
	// of one of them is not an opening by hand.
	Ended []AssociationID `json:"ended,omitempty"`
	// Disarm are the switches to remove of associations that are gone.
	Disarm []AssociationID `json:"disarm,omitempty"`
	// LookedAt is when the newest observation was made that this record remembers; an older one is not folded in.
	LookedAt time.Time `json:"lookedAt,omitzero"`
	// Failure is why the last attempt to open did not succeed; nil when it did.
	Failure *Failure `json:"failure,omitempty"`
	// Outbox are messages that are not sent yet, DeadLetters the latest that never were.
	Outbox      []Notice `json:"outbox,omitempty"`
	DeadLetters []Notice `json:"deadLetters,omitempty"`
	// Journal holds what the latch found or decided and the audit does not have yet: saved with the change itself, so
	// that a process which dies between the two loses nothing.
	Journal []Entry `json:"journal,omitempty"`
}

// journalMax bounds the journal while the audit cannot be written; the oldest entries go first.
const journalMax = 200

// note adds entries to the journal, and returns how many old ones had to go.
func (r *Record) note(entries ...Entry) int {
	r.Journal = append(r.Journal, entries...)
	lost := max(0, len(r.Journal)-journalMax)
	r.Journal = slices.Delete(r.Journal, 0, lost)
	return lost
}

// Lease is one person's wish that the endpoint be open.
type Lease struct {
	Subject Subject   `json:"subject"`
	Name    string    `json:"name,omitempty"`
	Why     string    `json:"why,omitempty"`
	Since   time.Time `json:"since"` // when the person got it
	Asked   time.Time `json:"asked"` // when the person last asked for it
	Until   time.Time `json:"until"`
	// BreakGlass: it was asked for outside hours, orders and rules, none of which end it or what lives beside it. A new
	// order to close does.
	BreakGlass bool `json:"breakGlass,omitempty"`
}

// Hold is an operator's order that the endpoint be closed, or paused. It always has an end.
type Hold struct {
	By    Subject   `json:"by"`
	Name  string    `json:"name,omitempty"`
	Why   string    `json:"why,omitempty"`
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
	// Pause: who has a lease keeps it, and nobody may open, join or extend.
	Pause bool `json:"pause,omitempty"`
}

// code is what an order means for who wants to open.
func (h Hold) code() Code {
	if h.Pause {
		return OffPaused
	}
	return OffHeld
}

// held returns the order that is in force at now, of either kind, or nil.
func (r Record) held(now time.Time) *Hold {
	if r.Hold != nil && now.Before(r.Hold.Until) {
		return r.Hold
	}
	return nil
}

// glass is when the last break-glass lease ends that lives at now; zero when none does.
func (r Record) glass(now time.Time) (end time.Time) {
	for _, l := range r.Live(now) {
		if l.BreakGlass && l.Until.After(end) {
			end = l.Until
		}
	}
	return end
}

// HeldError says until when an operator keeps the endpoint closed or paused, and why.
type HeldError struct{ Hold Hold }

func (e *HeldError) Error() string {
	if e.Hold.Pause {
		return fmt.Sprintf("an operator lets nobody open, join or extend until %s: %s", e.Hold.Until.UTC().Format(time.RFC3339), e.Hold.Why)
	}
	return fmt.Sprintf("%s until %s: %s", ErrHeld, e.Hold.Until.UTC().Format(time.RFC3339), e.Hold.Why)
}

// Unwrap makes it an ErrHeld.
func (e *HeldError) Unwrap() error { return ErrHeld }

// ByHandSubject holds the lease of an opening that nobody made through Nightlatch.
const ByHandSubject Subject = "opened-by-hand"

// Opening is one time of being open, from the wish to the last association's end.
type Opening struct {
	ID    string    `json:"id"` // part of every ClientToken of this opening
	Since time.Time `json:"since"`
	// End is the absolute maximum: the shortest that policy has had since the opening began. The switches are armed for
	// it, so a policy that grows longer meanwhile counts from the next opening on.
	End time.Time `json:"end,omitzero"`
	// UpAt is when the first association was seen associated, ClosingAt when closing began with something to end, and
	// Stuck which phases have been reported to take longer than any before; see Progress.
	UpAt      time.Time `json:"upAt,omitzero"`
	ClosingAt time.Time `json:"closingAt,omitzero"`
	Stuck     []Phase   `json:"stuck,omitempty"`
	// ReadyAt is when every association and every route was first active; zero until then.
	ReadyAt time.Time `json:"readyAt,omitzero"`
	// Associations are all that this opening has had, those that failed or are gone included.
	Associations map[AssociationID]Kept `json:"associations,omitempty"`
	// Adopted is true when somebody opened the endpoint outside Nightlatch.
	Adopted bool `json:"adopted,omitempty"`
	// Declared are the routes that policy has declared since the opening began: one of them that it declares no longer
	// was not added by hand.
	Declared []Route `json:"declared,omitempty"`
	// Subnets and All are policy's when it was last looked which routes are restored.
	Subnets []SubnetID `json:"subnets,omitempty"`
	All     bool       `json:"all,omitempty"`
	// Grouped: the wanted security groups have been on the target networks. Others that appear afterwards are somebody's
	// wish; OtherGroups and OtherSince are what is reported instead, and since when.
	Grouped     bool      `json:"grouped,omitempty"`
	OtherGroups []GroupID `json:"otherGroups,omitempty"`
	OtherSince  time.Time `json:"otherSince,omitzero"`
	// LeaseEnded is when the last lease ended; zero while one lives.
	LeaseEnded time.Time `json:"leaseEnded,omitzero"`
	// ConnectedAt is when the first connection was seen; zero until then.
	ConnectedAt time.Time `json:"connectedAt,omitzero"`
	// TrafficAt is when traffic above the floor was last seen; zero until then.
	TrafficAt time.Time `json:"trafficAt,omitzero"`
	// Marks and MarkedAt are the byte counters that traffic is measured from.
	Marks    map[ConnectionID]uint64 `json:"marks,omitempty"`
	MarkedAt time.Time               `json:"markedAt,omitzero"`
	// Done: the last lease was given up, and nobody has looked yet whether somebody else is working.
	Done bool `json:"done,omitempty"`
	// EndsAt is the end that warnings are about, Warned the smallest distance that needs no more warning for it; Overtime:
	// people were told that traffic alone keeps it open.
	EndsAt   time.Time     `json:"endsAt,omitzero"`
	Warned   time.Duration `json:"warned,omitempty"`
	Overtime bool          `json:"overtime,omitempty"`
	// Would is why an endpoint that is only observed would be closed now; empty while it would not.
	Would Code `json:"would,omitempty"`
	// ClosingFor is why the latch decided to close; empty while it keeps the endpoint open. The decision is saved
	// before the first association is ended, and is final: a wish that is saved later waits for the next opening, one
	// that was saved earlier has made the save of the decision fail.
	ClosingFor Code `json:"closingFor,omitempty"`
}

// Kept is what the latch remembers of one association.
type Kept struct {
	Subnet SubnetID `json:"subnet"`
	// Armed: it has a dead-man's switch.
	Armed bool `json:"armed,omitempty"`
	// Status is what EC2 last said of it.
	Status Status `json:"status,omitempty"`
	// MadeAt is when EC2 answered for it, SeenAt when a report last had it; zero if none ever did.
	MadeAt time.Time `json:"madeAt,omitzero"`
	SeenAt time.Time `json:"seenAt,omitzero"`
	// Restored: every wanted route has been active on it, and no association ended since. Routes are forgotten on
	// these only.
	Restored bool `json:"restored,omitempty"`
	// Over: it failed, or is gone.
	Over bool `json:"over,omitempty"`
}

// Learned is a route that the latch restores though nobody declared it.
type Learned struct {
	Destination string   `json:"destination"`
	Subnet      SubnetID `json:"subnet"`
	Description string   `json:"description,omitempty"`
	// MissingSince is when a look first did not find it; it is forgotten when a later one, no longer late, does not
	// find it either.
	MissingSince time.Time `json:"missingSince,omitzero"`
}

// Failure is an attempt that AWS refused or that went wrong, kept for the people who ask why.
type Failure struct {
	At   time.Time `json:"at"`
	Step string    `json:"step"` // "associate subnet-a"
	Why  string    `json:"why"`  // AWS's own words
}

// LeaseOf returns the subject's lease, or false.
func (r Record) LeaseOf(s Subject) (Lease, bool) {
	i := slices.IndexFunc(r.Leases, func(l Lease) bool { return l.Subject == s })
	if i < 0 {
		return Lease{}, false
	}
	return r.Leases[i], true
}

// Live returns the leases that have not ended at now, the longest first.
func (r Record) Live(now time.Time) []Lease {
	live := slices.DeleteFunc(slices.Clone(r.Leases), func(l Lease) bool { return !l.Until.After(now) })
	slices.SortStableFunc(live, func(a, b Lease) int { return b.Until.Compare(a.Until) })
	return live
}

// Clone returns a copy that shares nothing with r.
func (r Record) Clone() Record {
	c := r
	c.Leases = slices.Clone(r.Leases)
	c.Learned, c.Groups = slices.Clone(r.Learned), slices.Clone(r.Groups)
	c.Ended, c.Disarm, c.Journal = slices.Clone(r.Ended), slices.Clone(r.Disarm), slices.Clone(r.Journal)
	c.Outbox, c.DeadLetters = slices.Clone(r.Outbox), slices.Clone(r.DeadLetters)
	c.Past = maps.Clone(r.Past)
	for phase, past := range c.Past {
		c.Past[phase] = slices.Clone(past)
	}
	if r.Opening != nil {
		o := *r.Opening
		o.Associations, o.Marks, o.Declared = maps.Clone(o.Associations), maps.Clone(o.Marks), slices.Clone(o.Declared)
		o.OtherGroups, o.Stuck, o.Subnets = slices.Clone(o.OtherGroups), slices.Clone(o.Stuck), slices.Clone(o.Subnets)
		c.Opening = &o
	}
	if r.Hold != nil {
		h := *r.Hold
		c.Hold = &h
	}
	if r.Failure != nil {
		f := *r.Failure
		c.Failure = &f
	}
	return c
}
