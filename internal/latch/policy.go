package latch

import (
	"fmt"
	"slices"
	"time"
)

// Policy is what an organisation decided about one endpoint. Durations are wall time.
type Policy struct {
	// Subnets are those that may be associated, in order of preference; all must lie in one VPC, each in another
	// Availability Zone.
	Subnets []SubnetID
	// All associates every subnet (each is billed); otherwise the first that works.
	All bool
	// Routes are declared: present on every associated subnet whenever the endpoint is open. A route whose Subnet is
	// set is wanted on that subnet only.
	Routes []Route
	// Groups are the declared security groups of the target networks, at most five. Without any, those that an opening
	// had are what the next one gets.
	Groups []GroupID

	LeaseDefault time.Duration   // a lease's length when nobody says
	LeaseChoices []time.Duration // what the page offers, shortest first
	LeaseMax     time.Duration   // the longest lease one request may ask for

	// ReasonRequired: nobody gets a lease without saying why.
	ReasonRequired bool
	// Observe: decide, and say so, but change nothing at AWS.
	Observe bool

	// IdleAfter is how long traffic must have been absent before the endpoint counts as idle.
	IdleAfter time.Duration
	// IdleFloor is how many bytes a connection must move within IdleWindow to count as traffic: more than keep-alives do.
	IdleFloor  uint64
	IdleWindow time.Duration
	// TrafficMax is how long traffic alone may keep the endpoint open after the last lease ended.
	TrafficMax time.Duration
	// UnusedAfter is how long after ready the first connection may take; then leases lapse.
	UnusedAfter time.Duration
	// AbsoluteMax is the longest an opening lasts, whatever anybody wishes. The dead-man's switch fires
	// DeadmanSlack later.
	AbsoluteMax time.Duration

	// LookEvery is how soon a change in progress is looked at again.
	LookEvery time.Duration

	// Hours are when one may open; nil is always.
	Hours *Hours

	// Warn are how long before its end people are told, on the page and by message; none: never.
	Warn []time.Duration
	// Typical is how long phases take before this endpoint has a past of its own; a phase that is missing takes what
	// people report of AWS.
	Typical map[Phase]Range

	ByHand  ByHand
	OnVisit OnVisit
}

// DeadmanSlack is how long after the absolute maximum the dead-man's switch fires: long enough for the latch to have
// closed by itself, short enough to cost nothing.
const DeadmanSlack = 2 * time.Minute

// groupsMax is how many security groups a target network takes (ApplySecurityGroupsToClientVpnTargetNetwork, EC2 API
// Reference).
const groupsMax = 5

// ByHand is what happens to an association that Nightlatch did not make.
type ByHand string

// Adopt gives it a default lease, Warn leaves it and says so, Close ends it.
const (
	Adopt ByHand = "adopt"
	Warn  ByHand = "warn"
	Close ByHand = "close"
)

// OnVisit is what visiting the page does. VisitOpens counts down and then opens, as the founding design did.
type OnVisit string

// VisitLooks is the default.
const (
	VisitLooks OnVisit = "look"
	VisitOpens OnVisit = "open"
)

// DefaultPolicy is what an endpoint gets when its configuration names subnets and nothing else.
func DefaultPolicy() Policy {
	return Policy{
		LeaseDefault: 2 * time.Hour,
		LeaseChoices: []time.Duration{time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour},
		LeaseMax:     12 * time.Hour,
		IdleAfter:    15 * time.Minute,
		IdleFloor:    64 << 10,
		IdleWindow:   5 * time.Minute,
		TrafficMax:   time.Hour,
		UnusedAfter:  20 * time.Minute,
		AbsoluteMax:  12 * time.Hour,
		LookEvery:    10 * time.Second,
		Warn:         []time.Duration{15 * time.Minute, 5 * time.Minute},
		ByHand:       Adopt,
		OnVisit:      VisitLooks,
	}
}

// Check returns every fault of the policy, each a sentence that begins with the setting's configuration key.
func (p Policy) Check() []error {
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(len(p.Subnets) > 0, "subnets: name at least one subnet to associate")
	seen := map[SubnetID]bool{}
	for _, s := range p.Subnets {
		fault(!seen[s], "subnets: %s is named twice", s)
		seen[s] = true
	}
	for _, r := range p.Routes {
		fault(r.Subnet == "" || r.Subnet == Local || seen[r.Subnet], "routes: %s targets %s, which is not among the subnets", r.Destination, r.Subnet)
	}
	fault(len(p.Groups) <= groupsMax, "security_groups: %d are named, and a target network takes at most %d", len(p.Groups), groupsMax)
	for i, g := range p.Groups {
		fault(!slices.Contains(p.Groups[:i], g), "security_groups: %s is named twice", g)
	}
	for _, w := range p.Warn {
		fault(w > 0, "warn: %v is not before the end", w)
	}
	faults = append(faults, p.Hours.check()...)
	for _, phase := range Phases {
		r := p.typical(phase)
		fault(r.From >= 0 && r.To > 0 && r.From <= r.To, "typical.%s: %v to %v is not from a shorter time to a longer", phase, r.From, r.To)
	}
	for _, d := range []struct {
		key string
		d   time.Duration
	}{
		{"lease.default", p.LeaseDefault}, {"lease.max", p.LeaseMax}, {"idle.after", p.IdleAfter}, {"idle.window", p.IdleWindow},
		{"idle.max", p.TrafficMax}, {"unused_after", p.UnusedAfter}, {"absolute_max", p.AbsoluteMax},
		{"look_every", p.LookEvery},
	} {
		fault(d.d > 0, "%s: must be longer than nothing", d.key)
	}
	fault(p.LeaseDefault <= p.LeaseMax, "lease.default: %v is longer than lease.max (%v)", p.LeaseDefault, p.LeaseMax)
	fault(p.LeaseMax <= p.AbsoluteMax, "lease.max: %v is longer than absolute_max (%v)", p.LeaseMax, p.AbsoluteMax)
	fault(len(p.LeaseChoices) > 0, "lease.choices: offer at least one")
	fault(slices.IsSorted(p.LeaseChoices), "lease.choices: list the shortest first")
	for _, c := range p.LeaseChoices {
		fault(c > 0 && c <= p.LeaseMax, "lease.choices: %v is not between nothing and lease.max (%v)", c, p.LeaseMax)
	}
	fault(!p.ReasonRequired || p.OnVisit != VisitOpens, "on_visit: a visit that opens gives no reason, and lease.reason wants one")
	fault(slices.Contains([]ByHand{Adopt, Warn, Close}, p.ByHand), "by_hand: %q is none of adopt, warn, close", p.ByHand)
	fault(slices.Contains([]OnVisit{VisitLooks, VisitOpens}, p.OnVisit), "on_visit: %q is none of look, open", p.OnVisit)
	return faults
}
