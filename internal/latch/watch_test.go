package latch_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// watch stands beside a world and looks at every save and every call to EC2: whatever people, hands, faults and crashes
// do, each must be allowed at its moment. What only time makes true (off in the end, armed, learned) is looked at by
// steady and settled.
type watch struct {
	*world
	all *tally

	mu  sync.Mutex // guards all below; taken after the store's lock and before the others'
	log []string   // what was done, for whoever reads a failure
	// slip is how far a process's clock is off at most. late is set when calls take time or come from several processes
	// at once, so that one may rest on what was true when its pass began.
	slip time.Duration
	late bool
	// faulty is set while AWS fails, well is when it last stopped; hand is when somebody last made or ended an
	// association outside Nightlatch, groupsHand when they changed security groups; dead counts processes, changed is
	// when one last died, was replaced or got another policy.
	faulty                          bool
	dead                            int
	well, hand, groupsHand, changed time.Time
	byHand                          map[latch.AssociationID]bool
	stored                          map[latch.AssociationID]bool // associations that a record ever had
	asking                          map[latch.Subject]int        // requests under way that may end the person's lease
	// routes are destinations that a hand added and no hand removed, true once the latch knew them; removed are the others.
	routes  map[string]bool
	removed map[string]bool
	// since is when each connection began, worked when traffic above the floor last went over it, and sent when anything
	// did on any that is more than keep-alives.
	since, worked map[latch.ConnectionID]time.Time
	sent          time.Time
	loose         time.Time // since when nobody wants it open; zero while somebody does
	journal       map[string]latch.Entry
	heard         map[string]string // id of each request that was granted, and what was asked
	groups        []latch.GroupID   // what a hand last applied
	groupsKnown   bool              // the latch has learned them
}

func newWatch(w *world, all *tally) *watch {
	h := &watch{world: w, all: all, byHand: map[latch.AssociationID]bool{}, stored: map[latch.AssociationID]bool{}, asking: map[latch.Subject]int{}, routes: map[string]bool{}, removed: map[string]bool{},
		since: map[latch.ConnectionID]time.Time{}, worked: map[latch.ConnectionID]time.Time{}, journal: map[string]latch.Entry{}, heard: map[string]string{}}
	w.store.Saved = h.saved
	return h
}

func (h *watch) say(format string, args ...any) {
	text := time.Now().Format(time.TimeOnly) + " " + fmt.Sprintf(format, args...)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.log = append(h.log, text)
}

func (h *watch) wrong(format string, args ...any) {
	h.Helper()
	h.Errorf("%s: %s", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}

// calm: for so long nothing but people and clients has had a say.
func (h *watch) calm(d time.Duration) bool {
	return !h.faulty && h.dead == 0 && time.Since(h.well) >= d && time.Since(h.hand) >= d && time.Since(h.changed) >= d
}

// mayNot says whether hours that close were over for so long.
func (h *watch) mayNot(d time.Duration) bool {
	now, _, _ := h.policy.Hours.May(time.Now())
	then, _, _ := h.policy.Hours.May(time.Now().Add(-d))
	return !now && !then && h.policy.Hours.Close
}

// hoursEnd says whether hours that close are over, or may seem so to a process.
func (h *watch) hoursEnd() bool {
	now, _, _ := h.policy.Hours.May(time.Now())
	soon, _, _ := h.policy.Hours.May(time.Now().Add(5 * time.Second))
	return !(now && soon) && h.policy.Hours.Close
}

// inForce says whether an operator lets nobody open, and ordered whether they let nobody stay.
func inForce(r latch.Record, now time.Time) bool { return r.Hold != nil && now.Before(r.Hold.Until) }

func ordered(r latch.Record, now time.Time) bool { return inForce(r, now) && !r.Hold.Pause }

// glass says whether a break-glass lease surely lives, by the policy of now, in spite of the hours and of orders.
func (h *watch) glass(r latch.Record, now time.Time) bool {
	return slices.ContainsFunc(r.Leases, func(l latch.Lease) bool { return l.BreakGlass && h.until(l, r.Opening).After(now.Add(h.slip)) })
}

// maybeGlass says whether one may live yet, by some clock.
func (h *watch) maybeGlass(r latch.Record, now time.Time) bool {
	return slices.ContainsFunc(r.Leases, func(l latch.Lease) bool { return l.BreakGlass && l.Until.After(now.Add(-h.slip)) })
}

// newOrder says whether a save brings an order to close.
func newOrder(before, after latch.Record) bool {
	return after.Hold != nil && !after.Hold.Pause && (before.Hold == nil || !after.Hold.Since.Equal(before.Hold.Since))
}

// saved sees every save.
func (h *watch) saved(_ latch.EndpointID, before, after latch.Record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range after.Journal {
		h.journal[e.ID] = e
	}
	now, o := time.Now(), after.Opening
	if o != nil {
		for id := range o.Associations {
			h.stored[id] = true
		}
	}
	closes := o != nil && o.ClosingFor != "" && (before.Opening == nil || before.Opening.ClosingFor == "")
	h.leasesKept(before, after, now, closes)
	h.mayLease(before, after, now)
	if closes {
		h.all.count(string(o.ClosingFor))
		h.mayClose(before, after, now)
	}
	if o != nil && (before.Opening == nil || !before.Opening.Since.Equal(o.Since)) {
		h.all.count("openings")
		h.mayBegin(before, after, now)
	}
	for _, l := range before.Learned {
		if !h.removed[l.Destination] && !slices.ContainsFunc(after.Learned, func(x latch.Learned) bool { return x.Destination == l.Destination }) {
			h.wrong("route %s is forgotten, and no hand removed it", l.Destination)
		}
	}
	if !slices.Equal(before.Groups, after.Groups) && now.Sub(h.groupsHand) > 2*time.Minute && now.Sub(h.changed) > 3*time.Minute {
		if truth := h.vpn.Now(office); carries(truth) && !same(after.Groups, truth.Groups) {
			h.wrong("security groups %v are learned, and the target networks have had %v for minutes", after.Groups, truth.Groups)
		}
	}
	if o != nil && !o.ReadyAt.IsZero() && before.Opening != nil && before.Opening.ReadyAt.IsZero() && h.calm(3*time.Minute) {
		h.isReady(after)
	}
}

// until is how long a lease lives by the policy of now: one that became shorter counts at once.
func (h *watch) until(l latch.Lease, o *latch.Opening) time.Time {
	all := []time.Time{l.Until, l.Asked.Add(h.policy.LeaseMax)}
	if o != nil && o.ClosingFor == "" {
		for _, end := range []time.Time{o.End, o.Since.Add(h.policy.AbsoluteMax)} {
			if l.Asked.Before(end) {
				all = append(all, end)
			}
		}
	}
	return slices.MinFunc(all, time.Time.Compare)
}

// leasesKept: a lease is its holder's; nobody else's act and no fault ends or shortens it.
func (h *watch) leasesKept(before, after latch.Record, now time.Time, closes bool) {
	for _, l := range before.Leases {
		o, until := after.Opening, h.until(l, before.Opening)
		if !until.After(now.Add(h.slip)) || l.Subject == latch.ByHandSubject || h.asking[l.Subject] > 0 {
			continue
		}
		kept, there := after.LeaseOf(l.Subject)
		switch {
		case there && !kept.Until.Before(until):
		case !there && newOrder(before, after):
		case !there && !h.glass(before, now) && (ordered(after, now.Add(-h.slip)) || h.hoursEnd()):
		case !there && h.policy.Observe && o != nil && o.Would != "":
		case !there && closes && (o.ClosingFor == latch.ClosingUnused || o.ClosingFor == latch.ClosingSwitch):
		default:
			h.wrong("the lease of %s until %s became %+v\nbefore %+v\nafter %+v", l.Subject, l.Until.Format(time.TimeOnly), kept, before, after)
		}
	}
}

// mayLease: nobody gets a lease, or more of one, under an operator's order but by break-glass; and that begins with a
// request for it only.
func (h *watch) mayLease(before, after latch.Record, now time.Time) {
	for _, l := range after.Leases {
		was, had := before.LeaseOf(l.Subject)
		more := !had || l.Until.After(was.Until)
		if l.Subject == latch.ByHandSubject || !more && l.BreakGlass == was.BreakGlass {
			continue
		}
		switch {
		case l.BreakGlass && (l.Why != "break-glass" || !l.Asked.After(was.Asked)):
			h.wrong("the lease %+v became one of break-glass, %+v, and nobody asked for that", was, l)
		case !l.BreakGlass && more && inForce(before, now.Add(h.slip)):
			h.wrong("the lease %+v is given under the order %+v", l, *before.Hold)
		}
	}
}

// mayClose: what the decision to close says is so.
func (h *watch) mayClose(before, after latch.Record, now time.Time) {
	o := *after.Opening
	live := slices.DeleteFunc(slices.Clone(before.Leases), func(l latch.Lease) bool {
		return l.Subject == latch.ByHandSubject || h.asking[l.Subject] > 0 || !h.until(l, before.Opening).After(now.Add(h.slip))
	})
	var working []string // connections that every report shows by now
	for _, c := range h.vpn.Now(office).Connections {
		if c.Status == latch.Active && now.Sub(h.since[c.ID]) > lagMost+15*time.Second {
			working = append(working, fmt.Sprintf("%s since %s, traffic at %s", c.ID, h.since[c.ID].Format(time.TimeOnly), h.worked[c.ID].Format(time.TimeOnly)))
			at := h.worked[c.ID]
			busy := now.Sub(at) > lagMost+15*time.Second && now.Sub(at) < h.policy.IdleAfter-time.Minute-h.slip && now.Sub(o.LeaseEnded) < h.policy.TrafficMax-time.Minute-h.slip
			if busy && (o.ClosingFor == latch.ClosingLease || o.ClosingFor == latch.ClosingIdle) && now.Sub(h.changed) > 3*time.Minute {
				h.wrong("it closes for %s on somebody who works: %v", o.ClosingFor, working)
			}
		}
	}
	ok := false
	switch o.ClosingFor {
	case latch.ClosingLease, latch.ClosingIdle:
		ok = len(live) == 0
	case latch.ClosingDone:
		ok = len(live) == 0 && len(working) < 2
	case latch.ClosingUnused:
		ok = len(working) == 0
	case latch.ClosingMax:
		ok = !now.Add(h.slip+time.Second).Before(o.End) || !now.Add(h.slip+time.Second).Before(o.Since.Add(h.policy.AbsoluteMax))
	case latch.ClosingHours:
		ok = h.hoursEnd() && !h.glass(before, now)
	case latch.ClosingHeld:
		// An order ends what break-glass there is in the save that brings it.
		ok = (ordered(after, now.Add(-h.slip)) || ordered(before, now.Add(-h.slip))) && (newOrder(before, after) || !h.glass(before, now))
	case latch.ClosingOutside:
		ok = !h.calm(3*time.Minute) || !now.Before(o.End)
	case latch.ClosingByHand:
		ok = o.Adopted && h.policy.ByHand == latch.Close && len(live) == 0
	case latch.ClosingSwitch:
		ok = !h.calm(time.Minute)
	}
	if !ok {
		h.wrong("it closes for %s, and that is not so: leases %+v, working %v\n%+v", o.ClosingFor, live, working, o)
	}
}

// mayBegin: an opening begins with somebody's wish or with what a hand made; a wish never begins one under an order, nor
// when it came outside the hours.
func (h *watch) mayBegin(before, after latch.Record, now time.Time) {
	if after.Opening.Adopted {
		return
	}
	if len(after.Live(now.Add(-h.slip))) == 0 && len(before.Live(now.Add(-h.slip))) == 0 { // one may end in this very save
		h.wrong("an opening begins that nobody wants: %+v", after)
	}
	if ordered(before, now.Add(h.slip)) && now.Sub(before.Hold.Since) > time.Minute && !h.maybeGlass(after, now) {
		h.wrong("an opening begins under the order %+v", *before.Hold)
	}
	for _, l := range after.Leases {
		if may, _, _ := h.policy.Hours.May(l.Since); !may && h.slip == 0 && l.Subject != latch.ByHandSubject && !l.BreakGlass && l.Since.After(h.changed) {
			h.wrong("an opening begins for %s, who got the lease outside the hours, at %s", l.Subject, l.Since.Format(time.TimeOnly))
		}
	}
}

// isReady: "ready" is told when every association and every wanted route is active, each association has its switch, and
// the security groups are the wanted ones.
func (h *watch) isReady(r latch.Record) {
	truth, armed, p, found := h.vpn.Now(office), h.switches.Armed(), h.policy, 0
	for _, a := range truth.Associations {
		if a.Status != latch.Associating && a.Status != latch.Associated {
			continue
		}
		found++
		if a.Status != latch.Associated || armed[a.ID].IsZero() && !p.Observe {
			h.wrong("ready, and %s is %s with a switch at %v", a.ID, a.Status, armed[a.ID])
		}
		want := slices.Clone(p.Routes)
		for _, l := range r.Learned {
			if l.Subnet == a.Subnet && !h.removed[l.Destination] {
				want = append(want, latch.Route{Destination: l.Destination})
			}
		}
		for _, w := range want {
			if !slices.ContainsFunc(truth.Routes, func(x latch.Route) bool {
				return x.Destination == w.Destination && x.Subnet == a.Subnet && x.Status == latch.Active
			}) {
				h.wrong("ready, and %s lacks the route %s", a.Subnet, w.Destination)
			}
		}
	}
	if found == 0 || p.All && found < len(p.Subnets) {
		h.wrong("ready with %d associations: %+v\n%+v", found, *r.Opening, truth)
	}
	want := p.Groups
	if len(want) == 0 {
		want = r.Groups
	}
	if len(want) > 0 && !same(want, truth.Groups) && time.Since(h.groupsHand) > 3*time.Minute {
		h.wrong("ready with the security groups %v, want %v", truth.Groups, want)
	}
}

func same(a, b []latch.GroupID) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

func carries(o latch.Observation) bool {
	return slices.ContainsFunc(o.Associations, func(a latch.Association) bool { return a.Status == latch.Associated })
}

// watched is the VPN as a keeper under watch sees it.
type watched struct {
	latch.VPN
	h *watch
}

// acts is asked before each call that changes something at EC2.
func (v watched) acts(what string) (latch.Record, func()) {
	r := v.h.store.Now(office)
	v.h.mu.Lock()
	if v.h.policy.Observe {
		v.h.wrong("%s, though it is only observed", what)
	}
	return r, v.h.mu.Unlock
}

func (v watched) Associate(ctx context.Context, id latch.EndpointID, subnet latch.SubnetID, token string) (latch.Association, error) {
	h, written := v.h, v.h.store.Audit(office)
	r, unlock := v.acts("associate " + string(subnet))
	now := time.Now()
	if ordered(r, now.Add(h.slip)) && now.Sub(r.Hold.Since) > time.Minute && !h.maybeGlass(r, now) {
		h.wrong("%s is associated under the order %+v", subnet, *r.Hold)
	}
	if h.mayNot(time.Minute) && !h.maybeGlass(r, now) && now.Sub(h.changed) > time.Minute { // else a pass may be under way by the policy before
		h.wrong("%s is associated after the hours", subnet)
	}
	if h.maybeGlass(r, now) && (ordered(r, now) || h.mayNot(0)) {
		h.all.count("break-glass alone")
	}
	if !h.late {
		if o := r.Opening; o == nil || o.ClosingFor != "" || len(r.Live(now.Add(-h.slip))) == 0 && o.TrafficAt.IsZero() {
			h.wrong("%s is associated, and nobody wants it: %+v", subnet, r)
		}
		for _, e := range r.Journal {
			if !slices.ContainsFunc(written, func(w latch.Entry) bool { return w.ID == e.ID }) {
				h.wrong("%s is associated, and the audit lacks %+v", subnet, e)
			}
		}
	}
	if !h.policy.All {
		// One at a time; what a hand made is the hand's.
		for _, a := range h.vpn.Now(id).Associations {
			if (a.Status == latch.Associating || a.Status == latch.Associated) && a.Subnet != subnet && !h.byHand[a.ID] && h.calm(3*time.Minute) {
				h.wrong("%s is associated beside %s, and policy wants one", subnet, a.ID)
			}
		}
	}
	unlock()
	return v.VPN.Associate(ctx, id, subnet, token)
}

// Disassociate never ends what carries people before the decision to close is saved; mayClose judges that one.
func (v watched) Disassociate(ctx context.Context, id latch.EndpointID, a latch.AssociationID) error {
	h := v.h
	r, unlock := v.acts("disassociate " + string(a))
	k, known := kept(r, a)
	for _, x := range h.vpn.Now(id).Associations {
		if x.ID == a && x.Status == latch.Associated && (!known || k.Armed) && r.Opening != nil && r.Opening.ClosingFor == "" {
			h.wrong("%s is ended, and no decision to close is saved: leases %+v\n%+v", a, r.Leases, r.Opening)
		}
	}
	unlock()
	return v.VPN.Disassociate(ctx, id, a)
}

func (v watched) CreateRoute(ctx context.Context, id latch.EndpointID, r latch.Route) error {
	now, unlock := v.acts("create route " + r.Destination)
	if !slices.ContainsFunc(v.h.policy.Routes, func(d latch.Route) bool { return d.Destination == r.Destination }) &&
		!slices.ContainsFunc(now.Learned, func(l latch.Learned) bool { return l.Destination == r.Destination }) {
		v.h.wrong("route %s is made, and is neither declared nor learned", r.Destination)
	}
	unlock()
	return v.VPN.CreateRoute(ctx, id, r)
}

func (v watched) ApplyGroups(ctx context.Context, id latch.EndpointID, vpc latch.VPCID, groups []latch.GroupID) error {
	r, unlock := v.acts(fmt.Sprint("apply security groups ", groups))
	want := v.h.policy.Groups
	if len(want) == 0 {
		want = r.Groups
	}
	if !same(groups, want) && !v.h.late {
		v.h.wrong("security groups %v are applied, want %v", groups, want)
	}
	unlock()
	return v.VPN.ApplyGroups(ctx, id, vpc, groups)
}

// steady holds what is true at every moment, and what is true by now when nothing disturbs.
func (h *watch) steady() {
	h.Helper()
	truth, r, armed := h.vpn.Now(office), h.store.Now(office), h.switches.Armed()
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	var on []latch.Association
	leaving := false // a new lease waits for the end of the last opening
	for _, a := range truth.Associations {
		leaving = leaving || a.Status == latch.Disassociating
		if a.Status == latch.Associating || a.Status == latch.Associated {
			if slices.ContainsFunc(on, func(x latch.Association) bool { return x.Subnet == a.Subnet }) {
				h.wrong("two associations for %s", a.Subnet)
			}
			on = append(on, a)
		}
	}
	for d, known := range h.routes {
		switch is := knows(r, d); {
		case known && !is:
			h.wrong("route %s is forgotten, and no hand removed it", d)
		case is:
			h.routes[d] = true
		}
	}
	if len(h.groups) > 0 && same(r.Groups, h.groups) {
		h.groupsKnown = true
	} else if h.groupsKnown {
		h.wrong("security groups %v are learned, and the last hand applied %v", r.Groups, h.groups)
	}
	if !h.calm(3*time.Minute + h.slip) {
		h.loose = time.Time{}
		return
	}
	if h.policy.Observe {
		return
	}
	o, live := r.Opening, r.Live(now)
	ready := o != nil && !o.ReadyAt.IsZero() && o.ClosingFor == ""
	if ready && len(live) > 0 && now.Sub(live[0].Since) > 2*time.Minute && len(on) == 0 && !leaving {
		h.wrong("closed under the live lease of %s until %v: %+v\nEC2: %+v", live[0].Name, live[0].Until, *o, truth)
	}
	h.unwanted(r, on, now)
	if o == nil {
		return
	}
	for _, l := range r.Leases {
		if o.ClosingFor == "" && l.Asked.Before(o.End) && l.Until.After(o.End.Add(h.slip+time.Second)) {
			h.wrong("the lease of %s until %s outlives its opening, which ends at %s", l.Subject, l.Until.Format(time.TimeOnly), o.End.Format(time.TimeOnly))
		}
	}
	// Each has its switch, a minute after it was made.
	for _, a := range on {
		if k, ok := kept(r, a.ID); ok && o.ClosingFor == "" && now.Sub(k.MadeAt) > 2*time.Minute+h.slip && armed[a.ID].IsZero() {
			h.wrong("%s has no dead-man's switch: %+v", a.ID, k)
		}
		if at := armed[a.ID]; !at.IsZero() && (at.Before(o.End.Add(latch.DeadmanSlack-2*h.slip-time.Second)) || at.After(o.Since.Add(max(longest, h.policy.AbsoluteMax)+latch.DeadmanSlack+2*h.slip+time.Minute))) {
			h.wrong("the dead-man's switch of %s fires at %s, and the opening ends at %s", a.ID, at.Format(time.TimeOnly), o.End.Format(time.TimeOnly))
		}
	}
}

// unwanted: without a lease, and without traffic within the idle time, one beat is all that it may stay on.
func (h *watch) unwanted(r latch.Record, on []latch.Association, now time.Time) {
	o := r.Opening
	if o == nil && h.policy.ByHand == latch.Warn || len(on) == 0 {
		h.loose = time.Time{}
		return
	}
	// By the truth, not by the record: reports lag, and two sends within a window count together.
	busy := o != nil && now.Sub(h.sent) < h.policy.IdleAfter+h.policy.IdleWindow+lagMost+time.Minute+h.slip && now.Sub(o.LeaseEnded) < h.policy.TrafficMax+h.slip
	want := (len(r.Live(now)) > 0 || busy) && (!ordered(r, now) && !h.mayNot(0) || h.maybeGlass(r, now)) && (o == nil || now.Before(o.End.Add(h.slip)))
	switch {
	case want:
		h.loose = time.Time{}
	case h.loose.IsZero():
		h.loose = now
	case now.Sub(h.loose) > 2*time.Minute+h.slip:
		h.wrong("open since %s though nobody wants it: %+v\n%+v", h.loose.Format(time.TimeOnly), o, r.Leases)
	}
}

func knows(r latch.Record, d string) bool {
	return slices.ContainsFunc(r.Learned, func(l latch.Learned) bool { return l.Destination == d })
}

func kept(r latch.Record, id latch.AssociationID) (latch.Kept, bool) {
	if r.Opening == nil {
		return latch.Kept{}, false
	}
	k, ok := r.Opening.Associations[id]
	return k, ok
}

// settled holds what is true when everybody has gone home: it is off, nothing is left of it, and the audit has every
// entry once.
func (h *watch) settled() {
	h.Helper()
	r, armed := h.store.Now(office), h.switches.Armed()
	if on := h.held(); len(on) > 0 {
		h.wrong("everybody left, and EC2 still bills %v: %+v", on, r)
	}
	// One that no store took, when the scheduler's answer was lost too, fires for an association that is gone.
	maps.DeleteFunc(armed, func(id latch.AssociationID, _ time.Time) bool { return !h.stored[id] })
	if h.policy.Observe { // which changes nothing, at the scheduler neither
		armed, r.Disarm = nil, nil
	}
	if len(armed) > 0 {
		h.wrong("switches are left: %v", armed)
	}
	if r.Opening != nil || len(r.Leases) > 0 || len(r.Disarm) > 0 || len(r.Journal) > 0 {
		h.wrong("the record keeps %+v", r)
	}
	times, requests := map[string]int{}, map[string]int{}
	for _, e := range h.store.Audit(office) {
		times[e.ID]++
		requests[e.Request]++
	}
	for id, e := range h.journal {
		if times[id] != 1 {
			h.wrong("the audit has %d times what it should have once: %+v", times[id], e)
		}
	}
	for id, what := range h.heard {
		if requests[id] != 1 {
			h.wrong("the audit has %d entries of %q, which was granted", requests[id], what)
		}
	}
}

func (h *watch) story() string { return strings.Join(h.log, "\n") }
