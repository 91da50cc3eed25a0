package latch

import (
	"cmp"
	"slices"
	"time"
)

// CauseCode names what holds an endpoint open, what will close it, or what keeps it closed. The list is closed, and
// every code has its sentence in every language of the catalogue.
type CauseCode string

// The codes. Parameters that a sentence may use are those of Cause.
const (
	// These hold it open.
	CauseLease   CauseCode = "lease"   // Who holds a lease until At
	CauseAdopted CauseCode = "adopted" // somebody opened it outside Nightlatch, which counts as a lease until At
	CauseByHand  CauseCode = "byhand"  // somebody opened it outside Nightlatch, and policy says to leave it
	CauseTraffic CauseCode = "traffic" // it is in use, which holds it until At at most
	// Who opened it outside hours, orders and rules, until At.
	CauseBreakGlass CauseCode = "breakglass"
	// These close it at At, whatever holds it then.
	CauseIdle   CauseCode = "idle"   // no lease and no traffic is left then
	CauseUnused CauseCode = "unused" // unless somebody connects before
	CauseMax    CauseCode = "max"    // the absolute maximum
	CauseHours  CauseCode = "hours"  // the hours in which it may be open end
	// The last break-glass lease ends, and an order or the hours let nothing else live.
	CauseBreakGlassEnd CauseCode = "breakglass.end"
	// These keep it closed, or nobody new on it, until At.
	CauseHeld   CauseCode = "held"   // by the order of Who, an operator; Message is why
	CausePaused CauseCode = "paused" // as held, but who has a lease keeps it
	CauseBefore CauseCode = "before" // the hours in which one may open or join begin
	// And beside those:
	CauseQueued  CauseCode = "queued"  // it closes, and opens again after that: Who holds a lease until At
	CauseSwitch  CauseCode = "switch"  // the dead-man's switch fires, should it still be open
	CauseObserve CauseCode = "observe" // Nightlatch decides and changes nothing
)

// CauseCodes is the closed list, in the order above.
var CauseCodes = []CauseCode{CauseLease, CauseAdopted, CauseByHand, CauseTraffic, CauseBreakGlass, CauseIdle, CauseUnused, CauseMax, CauseHours,
	CauseBreakGlassEnd, CauseHeld, CausePaused, CauseBefore, CauseQueued, CauseSwitch, CauseObserve}

// Cause is a code with its parameters; which are set depends on the code.
type Cause struct {
	Code    CauseCode `json:"code"`
	At      time.Time `json:"at,omitzero"`
	Who     string    `json:"who,omitempty"`
	Message string    `json:"message,omitempty"`
}

// closes is true for what ends an opening at its time.
func (c CauseCode) closes() bool {
	return c == CauseIdle || c == CauseUnused || c == CauseMax || c == CauseHours || c == CauseBreakGlassEnd
}

// Closing is the first of the causes that closes the endpoint if nothing changes until then; false when none does.
func Closing(causes []Cause) (Cause, bool) {
	i := slices.IndexFunc(causes, func(c Cause) bool { return c.Code.closes() })
	if i < 0 {
		return Cause{}, false
	}
	return causes[i], true
}

// Why lists what holds the endpoint open or closed and what will change that, in the order of their times; what has
// none comes first. An endpoint that is closing, or that nobody wants, has little to list: Plan's reason says why. Why
// is pure, as Plan is, and agrees with it: Closing of the list is when Plan will close, if nothing changes until then.
func Why(o Observation, r Record, p Policy, now time.Time) []Cause {
	o, _ = own(o, r)
	o = complete(o, r)
	var all []Cause
	add := func(code CauseCode, at time.Time) { all = append(all, Cause{Code: code, At: at}) }
	want, reason := wanted(o, r, p, now)
	if p.Observe {
		add(CauseObserve, time.Time{})
	}
	if h := r.held(now); h != nil {
		c := Cause{Code: CauseHeld, At: h.Until, Who: cmp.Or(h.Name, string(h.By)), Message: h.Why}
		if h.Pause {
			c.Code = CausePaused
		}
		all = append(all, c)
	}
	if may, _, next := p.Hours.May(now); !may {
		add(CauseBefore, next)
	}
	live := r.Live(now)
	for _, l := range live {
		c := Cause{Code: CauseLease, At: l.Until, Who: cmp.Or(l.Name, string(l.Subject))}
		switch {
		case !want:
			c.Code = CauseQueued
		case l.Subject == ByHandSubject:
			c = Cause{Code: CauseAdopted, At: l.Until}
		case l.BreakGlass:
			c.Code = CauseBreakGlass
		}
		all = append(all, c)
	}
	switch {
	case reason.Code == OpenByHand:
		add(CauseByHand, time.Time{})
	case want:
		all = append(all, endings(o, r, p, live, now)...)
	}
	if r.Opening != nil {
		for _, k := range r.Opening.Associations {
			if k.Armed && !k.Over {
				add(CauseSwitch, DeadmanAt(*r.Opening, p))
				break // all of an opening fire at one time
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Cause) int { return a.At.Compare(b.At) })
	return all
}

// endings are what will close an opening that is wanted, and the traffic that may put it off.
func endings(o Observation, r Record, p Policy, live []Lease, now time.Time) []Cause {
	opening := *r.Opening
	end := opening.end(p)
	all := []Cause{{Code: CauseMax, At: end}}
	if at := bar(r, p, now); !at.IsZero() {
		code := CauseHours
		if at.Equal(r.glass(now)) {
			code = CauseBreakGlassEnd
		}
		all = append(all, Cause{Code: code, At: at})
		end = earlier(end, at)
	}
	idle := opening.LeaseEnded
	if len(live) > 0 {
		idle = live[0].Until
	} else if idle.IsZero() {
		idle = now
	}
	// Traffic counts from the last lease's end, but not for what must have a lease.
	if quiet := opening.TrafficAt.Add(p.IdleAfter); !opening.TrafficAt.IsZero() && now.Before(quiet) && !(opening.Adopted && p.ByHand == Close) {
		most := idle.Add(p.TrafficMax)
		all = append(all, Cause{Code: CauseTraffic, At: earlier(most, end)})
		if until := earlier(quiet, most); until.After(idle) {
			idle = until
		}
	}
	all = append(all, Cause{Code: CauseIdle, At: idle})
	if at := lapse(r, p, live, now); !at.IsZero() && active(o) == 0 {
		all = append(all, Cause{Code: CauseUnused, At: at})
	}
	return all
}

// lapse is when the leases, the longest first, will lapse because nobody connects; zero when they end before. Whoever
// asks later gives all of them time, for as long as their own lease lives.
func lapse(r Record, p Policy, live []Lease, now time.Time) time.Time {
	for n := len(live); n > 0; n-- {
		r.Leases = live[:n]
		at, first := unusedAt(r, p), live[n-1].Until
		switch {
		case at.IsZero():
			return at
		case at.Before(now):
			at = now
		}
		if at.Before(first) {
			return at
		}
		now = first
	}
	return time.Time{}
}
