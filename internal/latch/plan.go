package latch

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Step is one call to make. Every kind is safe to repeat.
type Step struct {
	Kind        StepKind
	Subnet      SubnetID      // StepAssociate
	Token       string        // StepAssociate: EC2's ClientToken
	Association AssociationID // StepDisassociate, StepArm, StepDisarm
	At          time.Time     // StepArm: when the switch fires
	Route       Route         // StepRoute
}

// StepKind names a call.
type StepKind string

// The calls that a plan may ask for.
const (
	StepAssociate    StepKind = "associate"
	StepArm          StepKind = "arm"
	StepRoute        StepKind = "route"
	StepDisassociate StepKind = "disassociate"
	StepDisarm       StepKind = "disarm"
)

func (s Step) String() string {
	switch s.Kind {
	case StepAssociate:
		return "associate " + string(s.Subnet)
	case StepRoute:
		return fmt.Sprintf("route %s via %s", s.Route.Destination, s.Route.Subnet)
	default:
		return string(s.Kind) + " " + string(s.Association)
	}
}

// Decision is what Plan makes of an observation.
type Decision struct {
	State  State
	Reason Reason
	Steps  []Step // in the order in which to take them
	// NextLook is when something may change that nobody announces: a lease's end, or an AWS operation in progress.
	// Zero when only a wish can change anything.
	NextLook time.Time
	// Done and Total count the routes that are active and wanted on the associations at hand.
	Done, Total int
}

// Remember folds an observation into the record: ended leases, traffic, what was restored, which routes people added
// or removed. It returns the new record and an audit entry for each change worth one. It is pure; an opening that it
// begins has no ID yet.
func Remember(o Observation, r Record, p Policy, now time.Time) (Record, []Entry) {
	o, _ = current(o, r)
	m := &memory{o: o, p: p, now: now, r: r.Clone()}
	m.openings()
	if m.r.Opening != nil {
		m.associations()
		m.traffic()
		m.leases()
		m.routes()
		m.verdict()
	} else {
		m.leases()
	}
	if m.r.Opening != nil {
		m.r.LookedAt = o.At
	}
	return m.r, m.entries
}

// current takes out of an observation what belongs to an opening that is over: a late report of an association that
// was gone already. Those that seem to hold are returned apart, to be ended again.
func current(o Observation, r Record) (Observation, []AssociationID) {
	var strays []AssociationID
	var rest []Association
	for _, a := range o.Associations {
		switch {
		case !slices.Contains(r.Ended, a.ID):
			rest = append(rest, a)
		case holds(a):
			strays = append(strays, a.ID)
		}
	}
	o.Associations = rest
	return o, strays
}

// memory is one run of Remember.
type memory struct {
	o       Observation
	p       Policy
	now     time.Time
	r       Record
	entries []Entry
}

func (m *memory) note(action, why, before, after string) {
	m.entries = append(m.entries, Entry{At: m.now, Endpoint: m.o.Endpoint, Action: action, Why: why, Before: before, After: after})
}

// openings begins and ends openings by what EC2 reports.
func (m *memory) openings() {
	var unknown []Association
	for _, a := range m.o.Associations {
		if holds(a) {
			unknown = append(unknown, a)
		}
	}
	switch o := m.r.Opening; {
	case o == nil && len(unknown) > 0 && m.p.ByHand != Warn:
		m.r.Opening = &Opening{Since: m.now, Adopted: true}
		if m.p.ByHand == Adopt {
			m.r.Leases = append(m.r.Leases, Lease{Subject: ByHandSubject, Since: m.now, Asked: m.now, Until: m.now.Add(m.p.LeaseDefault)})
		}
		m.note("adopt", string(m.p.ByHand), string(StateOff), string(unknown[0].ID))
	case o == nil && len(m.r.Live(m.now)) > 0:
		// A wish that waited for a closing to finish.
		m.r.Opening = &Opening{Since: m.now}
	case o != nil && m.over():
		m.note("closed", string(o.ClosingFor), "", "")
		m.r.Ended = slices.Sorted(maps.Keys(o.Associations))
		for _, id := range m.r.Ended {
			if o.Associations[id].Armed {
				m.r.Disarm = append(m.r.Disarm, id)
			}
		}
		m.r.Opening = nil
		if len(m.r.Live(m.now)) > 0 {
			m.r.Opening = &Opening{Since: m.now}
		}
	}
}

// over is true when nothing of the opening is left. One that waits for its first association, or for the next try
// after a failed one, is not over while somebody wants it.
func (m *memory) over() bool {
	o := m.r.Opening
	if len(present(m.o)) > 0 {
		return false
	}
	ended := false
	for _, k := range o.Associations {
		switch {
		case k.Over:
		case m.gone(k):
			ended = true
		case !k.SeenAt.IsZero() || m.now.Sub(o.Since) < time.Hour:
			// EC2 has answered for it and does not list it yet. Reports lag by seconds; what was not listed in an hour
			// does not exist.
			return false
		}
	}
	return ended || o.ClosingFor != "" || len(m.r.Live(m.now)) == 0
}

// goneAfter is how much newer than the last report of an association a report without it must be to mean that it is
// gone: two processes look at the same time, and their clocks differ.
const goneAfter = 3 * time.Second

// gone is for an association that the observation does not list.
func (m *memory) gone(k Kept) bool {
	return !k.SeenAt.IsZero() && m.o.At.Sub(k.SeenAt) > goneAfter
}

func (m *memory) associations() {
	o := m.r.Opening
	listed := map[AssociationID]bool{}
	for _, a := range m.o.Associations {
		if a.Status == Disassociated {
			continue
		}
		listed[a.ID] = true
		k := o.Associations[a.ID]
		k.Subnet = a.Subnet
		if m.o.At.After(k.SeenAt) {
			k.SeenAt = m.o.At
		}
		if a.Status == AssociationFailed && !k.Over {
			k.Over = true
			m.r.Failure = &Failure{At: m.now, Step: "associate " + string(a.Subnet), Why: cmp.Or(a.Message, "AWS gave no reason")}
			m.note("association.failed", a.Message, string(a.Subnet), string(a.ID))
		}
		o.keep(a.ID, k)
	}
	for id, k := range o.Associations {
		if !listed[id] && !k.Over && m.gone(k) {
			k.Over = true
			o.Associations[id] = k
		}
	}
}

func (o *Opening) keep(id AssociationID, k Kept) {
	if o.Associations == nil {
		o.Associations = map[AssociationID]Kept{}
	}
	o.Associations[id] = k
}

// traffic measures bytes on active connections against the floor that keep-alives stay under. A connection that ended
// an hour ago is still reported, and does not count.
func (m *memory) traffic() {
	o := m.r.Opening
	counters := map[ConnectionID]uint64{}
	moved := false
	for _, c := range m.o.Connections {
		if c.Status != Active {
			continue
		}
		counters[c.ID] = c.Bytes
		// A counter below its mark belongs to a connection that began anew.
		if before := o.Marks[c.ID]; c.Bytes >= before && c.Bytes-before >= m.p.IdleFloor {
			moved = true
		}
	}
	if len(counters) > 0 && o.ConnectedAt.IsZero() {
		o.ConnectedAt = m.now
	}
	if moved {
		o.TrafficAt = m.now
	}
	if moved || m.now.Sub(o.MarkedAt) >= m.p.IdleWindow {
		o.Marks, o.MarkedAt = counters, m.now
		return
	}
	// Within the window new connections get a mark and old ones keep theirs.
	for id := range o.Marks {
		if _, active := counters[id]; !active {
			delete(o.Marks, id)
		}
	}
	for id := range counters {
		if _, marked := o.Marks[id]; !marked {
			if o.Marks == nil {
				o.Marks = map[ConnectionID]uint64{}
			}
			o.Marks[id] = 0
		}
	}
}

// leases drops those that ended, and lets all lapse when nobody came.
func (m *memory) leases() {
	for _, l := range m.r.Leases {
		if !l.Until.After(m.now) {
			m.note("lease.end", "", l.Until.UTC().Format(time.RFC3339), string(l.Subject))
		}
	}
	m.r.Leases = m.r.Live(m.now)
	o := m.r.Opening
	if o == nil {
		return
	}
	if at := unusedAt(m.r, m.p); len(m.r.Leases) > 0 && !at.IsZero() && !m.now.Before(at) {
		m.note("lease.lapse", string(ClosingUnused), fmt.Sprint(len(m.r.Leases)), "0")
		m.r.Leases, o.ClosingFor = nil, ClosingUnused
	}
	if o.SwitchFailed && len(m.r.Leases) > 0 {
		m.note("lease.lapse", string(ClosingSwitch), fmt.Sprint(len(m.r.Leases)), "0")
		m.r.Leases, o.ClosingFor = nil, ClosingSwitch
	}
	switch {
	case len(m.r.Leases) > 0:
		o.LeaseEnded = time.Time{}
	case o.LeaseEnded.IsZero():
		o.LeaseEnded = m.now
	}
}

// unusedAt is when the leases lapse because nobody connected; zero when somebody did, or while it is not ready.
func unusedAt(r Record, p Policy) time.Time {
	o := r.Opening
	if o == nil || o.ReadyAt.IsZero() || !o.ConnectedAt.IsZero() {
		return time.Time{}
	}
	from := o.ReadyAt
	for _, l := range r.Leases {
		if l.Asked.After(from) {
			from = l.Asked
		}
	}
	return from.Add(p.UnusedAfter)
}

// routes learns what people added and forgets what they removed, on associations that were completely restored; and
// notes which associations are so now.
func (m *memory) routes() {
	o := m.r.Opening
	for _, a := range m.o.Associations {
		k, known := o.Associations[a.ID]
		if !known || k.Over || a.Status != Associated {
			continue
		}
		if k.Restored {
			// Before the opening was ready, somebody's missing route may be one that is still to be restored.
			if !o.ReadyAt.IsZero() {
				m.learn(a.Subnet)
				m.forget(a.Subnet)
			}
		} else if done, total := progress(m.o, m.r, m.p, a.Subnet); done == total {
			k.Restored = true
			o.Associations[a.ID] = k
		}
	}
	for _, x := range m.o.Routes {
		if x.Status == Failed {
			m.r.Failure = &Failure{At: m.now, Step: "route " + x.Destination, Why: cmp.Or(x.Message, "AWS gave no reason")}
		}
	}
	if d := assess(m.o, m.r, m.p); o.ReadyAt.IsZero() && d.ready {
		o.ReadyAt, m.r.Failure = m.now, nil
		m.note("ready", "", "", "")
	}
}

func (m *memory) learn(subnet SubnetID) {
	wanted := wantedRoutes(m.o, m.r, m.p, subnet)
	for _, r := range m.o.Routes {
		if r.Origin != OriginAddRoute || !belongs(r, subnet) || (r.Status != Active && r.Status != Creating) {
			continue
		}
		if slices.ContainsFunc(wanted, func(w wantedRoute) bool { return sameRoute(w.Route, r) }) {
			continue
		}
		m.r.Learned = append(m.r.Learned, Learned{Destination: r.Destination, Subnet: r.Subnet, Description: r.Description})
		m.note("route.learn", "", "", r.Destination+" via "+string(r.Subnet))
	}
}

func (m *memory) forget(subnet SubnetID) {
	gone := map[int]bool{}
	for _, w := range wantedRoutes(m.o, m.r, m.p, subnet) {
		if w.learned < 0 {
			continue
		}
		l := &m.r.Learned[w.learned]
		if _, found := reported(m.o, w.Route); found {
			l.Missing = 0
			continue
		}
		// One report without it may be a late one; two are somebody's wish.
		if l.Missing++; l.Missing >= 2 {
			gone[w.learned] = true
			m.note("route.forget", "missing in two looks", l.Destination+" via "+string(l.Subnet), "")
		}
	}
	var kept []Learned
	for i, l := range m.r.Learned {
		if !gone[i] {
			kept = append(kept, l)
		}
	}
	m.r.Learned = kept
}

// verdict stores why it closes, so that the reason outlives the lease that ended.
func (m *memory) verdict() {
	o := m.r.Opening
	want, reason := wanted(m.o, m.r, m.p, m.now)
	code := reason.Code
	if want {
		code = ""
	}
	if o.ClosingFor != code {
		if code != "" && len(holding(m.o)) > 0 {
			m.note("close", string(code), "", "")
		}
		o.ClosingFor = code
	}
}

// wanted says whether the endpoint shall be open at now, and why or why not.
func wanted(obs Observation, r Record, p Policy, now time.Time) (bool, Reason) {
	o := r.Opening
	if o == nil {
		if p.ByHand == Warn && len(holding(obs)) > 0 {
			return true, Reason{Code: OpenByHand}
		}
		return false, Reason{Code: OffIdle}
	}
	end := o.Since.Add(p.AbsoluteMax)
	if !now.Before(end) {
		return false, Reason{Code: ClosingMax}
	}
	if o.SwitchFailed {
		return false, Reason{Code: ClosingSwitch}
	}
	if live := r.Live(now); len(live) > 0 {
		return true, Reason{Code: OpenLease, Until: earlier(live[0].Until, end)}
	}
	if o.Adopted && p.ByHand == Close {
		return false, Reason{Code: ClosingByHand}
	}
	// The last person said "I'm done": their own client may still be chattering, so one connection does not keep it
	// open. Two mean that somebody without a lease is working.
	if o.ClosingFor == ClosingDone && active(obs) < 2 {
		return false, Reason{Code: ClosingDone}
	}
	if !o.TrafficAt.IsZero() {
		until := earlier(o.TrafficAt.Add(p.IdleAfter), earlier(end, o.LeaseEnded.Add(p.TrafficMax)))
		if now.Before(until) {
			return true, Reason{Code: OpenTraffic, Until: until}
		}
	}
	code := o.ClosingFor
	if code == "" {
		code = ClosingLease
		if o.TrafficAt.After(o.LeaseEnded) {
			code = ClosingIdle
		}
	}
	return false, Reason{Code: code}
}

// Plan decides. It is pure: no clock, no I/O; the record is one that Remember made from the same observation.
func Plan(o Observation, r Record, p Policy, now time.Time) Decision {
	var d Decision
	o, strays := current(o, r)
	want, reason := wanted(o, r, p, now)
	a := assess(o, r, p)
	d.State, d.Reason = a.state(o, r, want, reason)
	d.Done, d.Total = a.done, a.total
	if d.State == StateUnusable {
		return d
	}
	switch {
	case want && r.Opening != nil:
		d.Steps = opening(o, r, p)
	case r.Opening != nil:
		for _, x := range present(o) {
			if x.Status != Disassociating {
				d.Steps = append(d.Steps, Step{Kind: StepDisassociate, Association: x.ID})
			}
		}
	}
	for _, id := range strays {
		d.Steps = append(d.Steps, Step{Kind: StepDisassociate, Association: id})
	}
	d.Steps = append(d.Steps, disarms(o, r)...)
	d.NextLook = nextLook(d, r, p, now)
	return d
}

// opening lists the steps towards ready. The switch comes before anything else, so that nothing is billed without one
// for longer than it takes to make it.
func opening(o Observation, r Record, p Policy) []Step {
	var steps []Step
	for _, a := range holding(o) {
		if k := r.Opening.Associations[a.ID]; !k.Armed {
			steps = append(steps, Step{Kind: StepArm, Association: a.ID, At: DeadmanAt(*r.Opening, p)})
		}
	}
	for _, a := range o.Associations {
		if a.Status == AssociationFailed {
			steps = append(steps, Step{Kind: StepDisassociate, Association: a.ID})
		}
	}
	for _, s := range toAssociate(o, r, p) {
		steps = append(steps, Step{Kind: StepAssociate, Subnet: s, Token: token(*r.Opening, s)})
	}
	for _, a := range holding(o) {
		k := r.Opening.Associations[a.ID]
		for _, w := range wantedRoutes(o, r, p, a.Subnet) {
			// A learned route that is missing after the restore was removed by somebody: see forget.
			if _, found := reported(o, w.Route); !found && (!k.Restored || w.learned < 0) {
				steps = append(steps, Step{Kind: StepRoute, Route: w.Route})
			}
		}
	}
	return steps
}

// DeadmanAt is when the switch of an opening's associations fires. It never moves.
func DeadmanAt(o Opening, p Policy) time.Time { return o.Since.Add(p.AbsoluteMax + DeadmanSlack) }

// toAssociate picks the subnets to associate now: all that are missing, or the next to try when one is enough. A
// subnet whose association is still disassociating waits: whether EC2 accepts it earlier is not documented.
func toAssociate(o Observation, r Record, p Policy) []SubnetID {
	busy := map[SubnetID]bool{}
	for _, a := range present(o) {
		busy[a.Subnet] = true
	}
	held := len(holding(o))
	// What is going away goes first, whole: then the opening that follows has a maximum of its own.
	if held == 0 && len(leaving(o, r)) > 0 {
		return nil
	}
	var free []SubnetID
	for _, s := range p.Subnets {
		if !busy[s] {
			free = append(free, s)
		}
	}
	if p.All {
		return free
	}
	if len(free) == 0 || held > 0 {
		return nil
	}
	return []SubnetID{slices.MinFunc(free, func(a, b SubnetID) int { return cmp.Compare(tries(*r.Opening, a), tries(*r.Opening, b)) })}
}

// leaving are the associations that end because the endpoint closed, not because they failed.
func leaving(o Observation, r Record) []Association {
	return filter(o, func(a Association) bool {
		return a.Status == Disassociating && (r.Opening == nil || !r.Opening.Associations[a.ID].Over)
	})
}

// tries counts the associations of a subnet that this opening has used up.
func tries(o Opening, s SubnetID) int {
	n := 0
	for _, k := range o.Associations {
		if k.Subnet == s && k.Over {
			n++
		}
	}
	return n
}

// token is new for every association that is wanted and the same for every repetition of one wish. EC2 says not to
// reuse a token for another request.
func token(o Opening, s SubnetID) string { return fmt.Sprintf("%s-%s-%d", o.ID, s, tries(o, s)) }

// disarms lists the switches of associations that are over.
func disarms(o Observation, r Record) []Step {
	var steps []Step
	for _, id := range r.Disarm {
		steps = append(steps, Step{Kind: StepDisarm, Association: id})
	}
	if r.Opening == nil {
		return steps
	}
	for _, id := range slices.Sorted(maps.Keys(r.Opening.Associations)) {
		listed := slices.ContainsFunc(present(o), func(a Association) bool { return a.ID == id })
		if k := r.Opening.Associations[id]; k.Armed && k.Over && !listed {
			steps = append(steps, Step{Kind: StepDisarm, Association: id})
		}
	}
	return steps
}

func nextLook(d Decision, r Record, p Policy, now time.Time) time.Time {
	switch d.State {
	case StateOff:
		return time.Time{}
	case StateOpening, StateClosing, StateDegraded:
		return now.Add(p.LookEvery)
	}
	next := now.Add(time.Minute)
	if r.Opening == nil {
		return next
	}
	for _, l := range r.Leases {
		next = earlier(next, l.Until)
	}
	if at := unusedAt(r, p); !at.IsZero() {
		next = earlier(next, at)
	}
	if !d.Reason.Until.IsZero() {
		next = earlier(next, d.Reason.Until)
	}
	if next.Before(now) {
		return now
	}
	return next
}

// assessment is how far the wanted opening has come.
type assessment struct {
	ready       bool // everything wanted is associated, restored and armed
	served      bool // at least one association carries every route
	done, total int  // wanted routes on the associations at hand
	unarmed     bool
	missing     bool // a wanted subnet has no association
}

func assess(o Observation, r Record, p Policy) assessment {
	var a assessment
	if r.Opening == nil {
		return a
	}
	complete := 0
	for _, x := range holding(o) {
		k := r.Opening.Associations[x.ID]
		done, total := progress(o, r, p, x.Subnet)
		a.done, a.total = a.done+done, a.total+total
		a.unarmed = a.unarmed || !k.Armed
		if x.Status == Associated && done == total {
			complete++
		}
	}
	need := 1
	if p.All {
		need = len(p.Subnets)
	}
	a.served = complete > 0
	a.missing = len(holding(o)) < need
	a.ready = complete >= need && complete == len(holding(o)) && !a.unarmed
	return a
}

// state names what the endpoint is doing, and why.
func (a assessment) state(o Observation, r Record, want bool, why Reason) (State, Reason) {
	held, there := len(holding(o)), len(present(o))
	switch {
	case o.Status != PendingAssociate && o.Status != Available:
		return StateUnusable, Reason{Code: UnusableStatus, Status: o.Status, Message: o.StatusMessage}
	case !want && there == 0:
		return StateOff, Reason{Code: OffIdle}
	case !want && r.Opening == nil && held > 0:
		return StateClosing, Reason{Code: ClosingLease}
	case !want && len(r.Leases) > 0:
		// Past the absolute maximum with a new wish: it closes first and opens again right after.
		return StateClosing, Reason{Code: OpeningQueued}
	case !want:
		code := why.Code
		if code == OffIdle {
			code = ClosingLease
		}
		return StateClosing, Reason{Code: code}
	case why.Code == OpenByHand:
		return StateOpen, why
	case held == 0 && len(leaving(o, r)) > 0:
		return StateClosing, Reason{Code: OpeningQueued}
	}
	readyBefore := !r.Opening.ReadyAt.IsZero()
	switch {
	case a.ready, readyBefore && !a.missing && a.done == a.total && a.served:
		return StateOpen, why
	case readyBefore && a.served && a.done < a.total:
		return StateDegraded, Reason{Code: DegradedRoutes, Done: a.done, Total: a.total, Until: why.Until}
	case readyBefore && a.served:
		return StateDegraded, Reason{Code: DegradedAssociation, Until: why.Until}
	case held == 0 && r.Failure != nil:
		return StateOpening, Reason{Code: OpeningRetry, Message: r.Failure.Why, Until: why.Until}
	case a.served && a.unarmed:
		return StateOpening, Reason{Code: OpeningSwitch, Until: why.Until}
	case slices.ContainsFunc(o.Associations, func(x Association) bool { return x.Status == Associated }):
		return StateOpening, Reason{Code: OpeningRoutes, Done: a.done, Total: a.total, Until: why.Until}
	}
	return StateOpening, Reason{Code: OpeningAssociating, Until: why.Until}
}

// wantedRoute is a route that an associated subnet shall have; learned is its index in Record.Learned, or -1.
type wantedRoute struct {
	Route
	learned int
}

// wantedRoutes are the declared and the learned routes of one subnet, without those that AWS makes by itself. Where
// one subnet stands in for another, it takes that one's learned routes over.
func wantedRoutes(o Observation, r Record, p Policy, subnet SubnetID) []wantedRoute {
	var out []wantedRoute
	add := func(dest, description string, to SubnetID, learned int) {
		w := Route{Destination: dest, Subnet: to, Description: description}
		if have, found := reported(o, w); found && have.Origin == OriginAssociate {
			return
		}
		if !slices.ContainsFunc(out, func(x wantedRoute) bool { return sameRoute(x.Route, w) }) {
			out = append(out, wantedRoute{w, learned})
		}
	}
	for _, d := range p.Routes {
		switch d.Subnet {
		case "", subnet:
			add(d.Destination, d.Description, subnet, -1)
		case Local:
			add(d.Destination, d.Description, Local, -1)
		}
	}
	for i, l := range r.Learned {
		switch {
		case l.Subnet == subnet, l.Subnet == Local:
			add(l.Destination, l.Description, l.Subnet, i)
		case !p.All:
			add(l.Destination, l.Description, subnet, i)
		}
	}
	return out
}

// progress counts the routes that are active, of all that a subnet shall have and that AWS makes for it.
func progress(o Observation, r Record, p Policy, subnet SubnetID) (done, total int) {
	for _, w := range wantedRoutes(o, r, p, subnet) {
		total++
		if have, found := reported(o, w.Route); found && have.Status == Active {
			done++
		}
	}
	for _, x := range o.Routes {
		if x.Origin == OriginAssociate && x.Subnet == subnet {
			total++
			if x.Status == Active {
				done++
			}
		}
	}
	return done, total
}

func reported(o Observation, r Route) (Route, bool) {
	i := slices.IndexFunc(o.Routes, func(x Route) bool { return sameRoute(x, r) && x.Status != "deleting" })
	if i < 0 {
		return Route{}, false
	}
	return o.Routes[i], true
}

func sameRoute(a, b Route) bool {
	return a.Subnet == b.Subnet && prefix(a.Destination) == prefix(b.Destination)
}

// prefix is the CIDR block as AWS writes it, host bits off; other text stays as it is.
func prefix(s string) string {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked().String()
	}
	return s
}

// belongs is true for a route of the subnet, and for a local one, which belongs to all.
func belongs(r Route, subnet SubnetID) bool { return r.Subnet == subnet || r.Subnet == Local }

// present are the associations that exist in any way.
func present(o Observation) []Association {
	return filter(o, func(a Association) bool { return a.Status != Disassociated })
}

func holding(o Observation) []Association { return filter(o, holds) }

func filter(o Observation, keep func(Association) bool) []Association {
	var out []Association
	for _, a := range o.Associations {
		if keep(a) {
			out = append(out, a)
		}
	}
	return out
}

func holds(a Association) bool { return a.Status == Associating || a.Status == Associated }

func active(o Observation) int {
	n := 0
	for _, c := range o.Connections {
		if c.Status == Active {
			n++
		}
	}
	return n
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
