package latch

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
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
	VPC         VPCID         // StepGroups
	Groups      []GroupID     // StepGroups
}

// StepKind names a call.
type StepKind string

// The calls that a plan may ask for.
const (
	StepAssociate    StepKind = "associate"
	StepArm          StepKind = "arm"
	StepRoute        StepKind = "route"
	StepGroups       StepKind = "security groups"
	StepDisassociate StepKind = "disassociate"
	StepDisarm       StepKind = "disarm"
)

func (s Step) String() string {
	switch s.Kind {
	case StepAssociate:
		return "associate " + string(s.Subnet)
	case StepRoute:
		return fmt.Sprintf("route %s via %s", s.Route.Destination, s.Route.Subnet)
	case StepGroups:
		return fmt.Sprintf("security groups %s", joined(s.Groups))
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
	reported, _ := own(o, r)
	m := &memory{o: complete(reported, r), listed: reported.Associations, p: p, now: now, r: r.Clone()}
	m.openings()
	if m.r.Opening != nil {
		m.r.Opening.End = m.r.Opening.end(p) // for good: a switch may be armed for it
		m.associations()
		m.traffic()
		m.leases()
		m.groups()
		m.routes()
		m.verdict()
		m.lengths()
		m.warnings()
	} else {
		m.leases()
	}
	if m.r.Opening != nil {
		m.r.LookedAt = o.At
	}
	return m.r, m.entries
}

const (
	// late is longer than EC2's reports lag behind what was done, and than a call that is under way takes. Within it,
	// what is not reported may still be there, or yet to come.
	late = time.Minute
	// skew is how far the clocks of two processes that look at the same time may differ.
	skew = 3 * time.Second
)

// own takes out of an observation what belongs to an opening that is over: a late report of an association that was
// gone already. Those that seem to hold are returned apart, to be ended again.
func own(o Observation, r Record) (Observation, []AssociationID) {
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

// complete adds to an observation the associations that it misses though they are there: EC2 has answered for them, or
// reported them so recently that this report may be a late one.
func complete(o Observation, r Record) Observation {
	if r.Opening == nil {
		return o
	}
	listed := o.Associations
	for _, id := range slices.Sorted(maps.Keys(r.Opening.Associations)) {
		k := r.Opening.Associations[id]
		if !k.Over && !r.Opening.gone(k, o.At) && !slices.ContainsFunc(listed, func(a Association) bool { return a.ID == id }) {
			o.Associations = append(slices.Clip(o.Associations), Association{ID: id, Subnet: k.Subnet, Status: k.Status})
		}
	}
	return o
}

// gone is for an association that a report of that time does not list. One that was leaving when last seen needs no
// second report.
func (o Opening) gone(k Kept, at time.Time) bool {
	if k.SeenAt.IsZero() {
		return at.Sub(k.MadeAt) > late
	}
	if k.Status == Disassociating || o.ClosingFor != "" {
		return at.Sub(k.SeenAt) > skew
	}
	return at.Sub(k.SeenAt) > late
}

// memory is one run of Remember.
type memory struct {
	o       Observation   // completed
	listed  []Association // as EC2 listed them
	p       Policy
	now     time.Time
	r       Record
	entries []Entry
	// unsettled: an association ended between the last look and this one, so routes may be about to vanish.
	unsettled bool
}

// note is for the audit; code is what was decided about being open, if anything was.
func (m *memory) note(action string, code Code, why, before, after string) {
	m.entries = append(m.entries, Entry{At: m.now, Endpoint: m.o.Endpoint, Action: action, Code: code, Why: why, Before: before, After: after})
}

// noteLease is for the audit of somebody's lease.
func (m *memory) noteLease(action string, code Code, l Lease) {
	m.note(action, code, "", l.Until.UTC().Format(time.RFC3339), "")
	m.entries[len(m.entries)-1].Whose = l.Subject
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
		m.begin()
		m.r.Opening.Adopted = true
		if m.p.ByHand == Adopt {
			m.r.Leases = append(m.r.Leases, Lease{Subject: ByHandSubject, Since: m.now, Asked: m.now, Until: m.now.Add(m.p.LeaseDefault)})
		}
		m.note("adopt", OpenByHand, string(m.p.ByHand), string(StateOff), string(unknown[0].ID))
	case o == nil && len(m.r.Live(m.now)) > 0 && m.may():
		// A wish that waited for a closing to finish.
		m.begin()
	case o != nil && m.over():
		m.note("closed", o.ClosingFor, string(o.ClosingFor), "", "")
		if !o.ReadyAt.IsZero() && !m.p.Observe {
			m.tell(Notice{Kind: NoticeClosed, Reason: o.ClosingFor})
		}
		if !o.ClosingAt.IsZero() {
			m.r.took(PhaseClose, m.now.Sub(o.ClosingAt))
		}
		// Also the switches that seemed not to be made: the answer may have been lost.
		m.r.Ended = slices.Sorted(maps.Keys(o.Associations))
		m.r.Disarm = append(m.r.Disarm, m.r.Ended...)
		m.r.Opening = nil
		m.r.dropLease(ByHandSubject)
		if len(m.r.Live(m.now)) > 0 && m.may() {
			m.begin()
		}
	}
}

// may is false while nobody's lease may live.
func (m *memory) may() bool { return barred(m.r, m.p, m.now) == "" }

// barred says why nobody's lease may live at now: an operator's order closes it, or the hours do. While a break-glass
// lease lives neither does, and who else has a lease then keeps it. Empty when leases may live.
func barred(r Record, p Policy, now time.Time) Code {
	switch h := r.held(now); {
	case !r.glass(now).IsZero():
		return ""
	case h != nil && !h.Pause:
		return ClosingHeld
	case p.Hours.over(now):
		return ClosingHours
	}
	return ""
}

// bar is when leases will be barred, if nothing changes until then; zero when they will not within a week, or are.
func bar(r Record, p Policy, now time.Time) time.Time {
	glass := r.glass(now)
	if glass.IsZero() {
		return p.Hours.end(now)
	}
	if barred(r, p, glass) != "" { // what it put off comes with its end
		return glass
	}
	return p.Hours.end(glass)
}

func (m *memory) begin() { m.r.Opening, m.r.Failure = newOpening(m.p, m.now), nil }

func newOpening(p Policy, now time.Time) *Opening {
	return &Opening{Since: now, End: now.Add(p.AbsoluteMax)}
}

// over is true when nothing of the opening is left. One that waits for its first association, or for the next try
// after a failed one, is not over while somebody wants it.
func (m *memory) over() bool {
	o := m.r.Opening
	if len(present(m.o)) > 0 {
		return false
	}
	for _, k := range o.Associations {
		if !k.Over {
			return true
		}
	}
	if len(m.r.Live(m.now)) > 0 {
		return o.ClosingFor != ""
	}
	// A call under way when the last wish ended may have made an association that nobody knows yet; it must not be
	// taken for an opening by hand.
	return !o.LeaseEnded.IsZero() && m.now.Sub(o.LeaseEnded) >= late
}

func (m *memory) associations() {
	o := m.r.Opening
	ended := false
	for _, a := range m.listed {
		k, known := o.Associations[a.ID]
		if !known && a.Status == Disassociated {
			// It came and went without a record of it, whoever made it, and may have taken routes with it.
			ended = true
			m.r.Ended, m.r.Disarm = append(m.r.Ended, a.ID), append(m.r.Disarm, a.ID)
			continue
		}
		if a.Status == Associated && k.Status == Associating && !k.MadeAt.IsZero() {
			m.r.took(PhaseAssociate, m.now.Sub(k.MadeAt))
		}
		if a.Status == Associated && o.UpAt.IsZero() && !o.Adopted {
			o.UpAt = m.now
		}
		ended = ended || a.Status != k.Status && (a.Status == Disassociating || a.Status == Disassociated)
		k.Subnet, k.Status = a.Subnet, a.Status
		if m.o.At.After(k.SeenAt) {
			k.SeenAt = m.o.At
		}
		if a.Status == AssociationFailed && !k.Over {
			k.Over = true
			m.r.Failure = &Failure{At: m.now, Step: "associate " + string(a.Subnet), Why: cmp.Or(a.Message, "AWS gave no reason")}
			m.tell(Notice{Kind: NoticeFailed, Words: cmp.Or(a.Message, "AWS gave no reason")})
			m.note("association.failed", OpeningRetry, a.Message, string(a.Subnet), string(a.ID))
		}
		o.keep(a.ID, k)
	}
	there := present(m.o)
	for id, k := range o.Associations {
		if slices.ContainsFunc(there, func(a Association) bool { return a.ID == id }) {
			continue
		}
		ended = ended || k.Status != Disassociated
		k.Over, k.Status = true, Disassociated
		o.Associations[id] = k
	}
	// AWS's words allow that the end of one association takes the added routes of all ("Disassociate a target
	// network", Client VPN Administrator Guide). What is missing from now on is to be restored, not to be forgotten.
	if ended || slices.ContainsFunc(there, func(a Association) bool { return a.Status == Disassociating }) {
		for id, k := range o.Associations {
			k.Restored = false
			o.Associations[id] = k
		}
	}
	m.unsettled = ended
}

func (o *Opening) keep(id AssociationID, k Kept) {
	if o.Associations == nil {
		o.Associations = map[AssociationID]Kept{}
	}
	o.Associations[id] = k
}

// marksMax is how many connections are measured one by one. DynamoDB takes items of 400 KB, and an endpoint has tens of
// thousands of connections at most ("Client VPN quotas").
const marksMax = 1000

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
		if len(counters) == marksMax {
			moved = true // so many clients are people at work; counting each would outgrow the record
			break
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

// leases ends those whose time is over, and lets all lapse when nobody came.
func (m *memory) leases() {
	o := m.r.Opening
	for i := range m.r.Leases {
		l := &m.r.Leases[i]
		// A maximum that policy made shorter counts for leases given before, and no lease outlives the opening that
		// serves it. One that was asked for too late for this opening is served by the next.
		most := l.Asked.Add(m.p.LeaseMax)
		if o != nil && o.ClosingFor == "" && l.Asked.Before(o.end(m.p)) {
			most = earlier(most, o.end(m.p))
		}
		if l.Until.After(most) {
			m.noteLease("lease.clip", OpenLease, *l)
			l.Until = most
		}
		if !l.Until.After(m.now) {
			m.noteLease("lease.end", ClosingLease, *l)
		}
	}
	m.r.Leases = m.r.Live(m.now)
	if n, why := len(m.r.Leases), barred(m.r, m.p, m.now); n > 0 && why != "" {
		m.note("lease.lapse", why, string(why), fmt.Sprint(n), "0")
		m.r.Leases = nil
		if o != nil {
			m.close(why)
		}
	}
	if o == nil {
		return
	}
	if leaving(m.o, m.r) {
		m.r.dropLease(ByHandSubject) // whoever opened it by hand closed it by hand
	}
	if at := unusedAt(m.r, m.p); o.ClosingFor == "" && len(m.r.Leases) > 0 && !at.IsZero() && !m.now.Before(at) {
		m.note("lease.lapse", ClosingUnused, string(ClosingUnused), fmt.Sprint(len(m.r.Leases)), "0")
		m.r.Leases = nil
		m.close(ClosingUnused)
	}
	switch {
	case len(m.r.Leases) > 0:
		o.LeaseEnded, o.Done = time.Time{}, false
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

// routes learns what people added, and forgets what they removed on associations that were completely restored; and
// notes which associations are so now.
func (m *memory) routes() {
	o := m.r.Opening
	for _, d := range m.p.Routes {
		d = Route{Destination: d.Destination, Subnet: d.Subnet}
		if !slices.Contains(o.Declared, d) {
			o.Declared = append(o.Declared, d)
		}
	}
	if o.All != m.p.All || !slices.Equal(o.Subnets, m.p.Subnets) {
		// With other subnets learned routes move, and are to be restored where they are wanted now.
		for id, k := range o.Associations {
			k.Restored = false
			o.Associations[id] = k
		}
		o.All, o.Subnets = m.p.All, slices.Clone(m.p.Subnets)
	}
	quiet := !m.unsettled && !slices.ContainsFunc(m.o.Associations, func(a Association) bool { return a.Status == Disassociating })
	var restored []SubnetID
	for _, a := range m.o.Associations {
		k, known := o.Associations[a.ID]
		if !known || k.Over || a.Status != Associated {
			continue
		}
		if done, total := routed(m.o, m.r, m.p, a.Subnet); !k.Restored && quiet && done == total {
			k.Restored = true
			o.Associations[a.ID] = k
		}
		// Before the opening was ready, somebody's missing route may be one that is still to be restored.
		if o.ReadyAt.IsZero() {
			continue
		}
		m.learn(a.Subnet)
		if k.Restored && m.lacksDeclared(a.Subnet) {
			// Nobody's wish takes a declared route away: what took it may have taken learned ones too.
			k.Restored = false
			o.Associations[a.ID] = k
		}
		if k.Restored {
			restored = append(restored, a.Subnet)
		}
	}
	// A report that misses an association says nothing about routes.
	if len(m.listed) == len(m.o.Associations) {
		m.forget(restored)
	}
	for _, x := range m.o.Routes {
		if x.Status == Failed {
			m.r.Failure = &Failure{At: m.now, Step: "route " + x.Destination, Why: cmp.Or(x.Message, "AWS gave no reason")}
		}
	}
	if o.ClosingFor == "" && assess(m.o, m.r, m.p).ready { // while it closes, a late report may show all of it
		m.r.Failure = nil
		if o.ReadyAt.IsZero() {
			o.ReadyAt = m.now
			if !o.UpAt.IsZero() {
				m.r.took(PhaseRoutes, m.now.Sub(o.UpAt))
			}
			m.note("ready", OpenLease, "", "", "")
			m.tell(Notice{Kind: NoticeReady})
		}
	}
}

// groups learns the security groups that an opening has when nobody declared any: those that are there when it is
// ready, and later others that stay. One report of others may be an old one.
func (m *memory) groups() {
	o := m.r.Opening
	if !carries(m.o) || len(m.o.Groups) == 0 {
		return
	}
	have := sorted(m.o.Groups)
	want := wantedGroups(m.r, m.p)
	if len(want) == 0 && o.ReadyAt.IsZero() {
		return
	}
	if slices.Equal(have, want) {
		o.Grouped, o.OtherGroups, o.OtherSince = true, nil, time.Time{}
		return
	}
	if len(m.p.Groups) > 0 || len(want) > 0 && !o.Grouped {
		return // to be applied
	}
	if len(want) > 0 && (!slices.Equal(have, o.OtherGroups) || m.o.At.Sub(o.OtherSince) < late) {
		if !slices.Equal(have, o.OtherGroups) {
			o.OtherGroups, o.OtherSince = have, m.o.At
		}
		return
	}
	m.note("groups.learn", "", "", joined(want), joined(have))
	m.r.Groups, o.Grouped, o.OtherGroups, o.OtherSince = have, true, nil, time.Time{}
}

// wantedGroups are the declared security groups, else those of the last opening; none if nothing is known yet.
func wantedGroups(r Record, p Policy) []GroupID {
	if len(p.Groups) > 0 {
		return sorted(p.Groups)
	}
	return r.Groups
}

// grouped is true unless the target networks lack the wanted groups, as far as this opening has to put them there.
func grouped(o Observation, r Record, p Policy) bool {
	want := wantedGroups(r, p)
	return len(want) == 0 || slices.Equal(sorted(o.Groups), want) || len(p.Groups) == 0 && r.Opening.Grouped
}

// carries is true when a target network is associated, so that it has security groups.
func carries(o Observation) bool {
	return slices.ContainsFunc(o.Associations, func(a Association) bool { return a.Status == Associated })
}

func sorted(groups []GroupID) []GroupID { return slices.Sorted(slices.Values(groups)) }

func joined(groups []GroupID) string {
	var all []string
	for _, g := range groups {
		all = append(all, string(g))
	}
	return strings.Join(all, ", ")
}

func (m *memory) learn(subnet SubnetID) {
	wanted := wantedRoutes(m.o, m.r, m.p, subnet)
	for _, r := range m.o.Routes {
		if r.Origin != OriginAddRoute || !belongs(r, subnet) || (r.Status != Active && r.Status != Creating) {
			continue
		}
		if slices.ContainsFunc(wanted, func(w wantedRoute) bool { return sameRoute(w.Route, r) }) ||
			slices.ContainsFunc(m.r.Opening.Declared, func(d Route) bool {
				return sameRoute(Route{Destination: d.Destination, Subnet: cmp.Or(d.Subnet, r.Subnet)}, r)
			}) {
			continue
		}
		m.r.Learned = append(m.r.Learned, Learned{Destination: r.Destination, Subnet: r.Subnet, Description: r.Description})
		m.note("route.learn", "", "", "", r.Destination+" via "+string(r.Subnet))
	}
}

// lacksDeclared is true when a declared route is not reported on the subnet.
func (m *memory) lacksDeclared(subnet SubnetID) bool {
	return slices.ContainsFunc(wantedRoutes(m.o, m.r, m.p, subnet), func(w wantedRoute) bool {
		_, there := reported(m.o, w.Route)
		return w.learned < 0 && !there
	})
}

// forget drops the learned routes that none of these subnets carries though all of them were completely restored.
func (m *memory) forget(subnets []SubnetID) {
	wanted, found := map[int]bool{}, map[int]bool{}
	for _, s := range subnets {
		for _, w := range wantedRoutes(m.o, m.r, m.p, s) {
			_, there := reported(m.o, w.Route)
			wanted[w.learned], found[w.learned] = true, found[w.learned] || there
		}
	}
	var kept []Learned
	for i, l := range m.r.Learned {
		switch {
		case !wanted[i]:
		case found[i]:
			l.MissingSince = time.Time{}
		case l.MissingSince.IsZero():
			// One report without it may be a late one; another, when that can no longer be, is somebody's wish.
			l.MissingSince = m.o.At
		case m.o.At.Sub(l.MissingSince) >= late:
			m.note("route.forget", "", "missing in two looks", l.Destination+" via "+string(l.Subnet), "")
			continue
		}
		kept = append(kept, l)
	}
	m.r.Learned = kept
}

// verdict stores why it closes, so that the reason outlives the lease that ended, and the decision stands.
func (m *memory) verdict() {
	o := m.r.Opening
	if o.Would != "" && !m.p.Observe {
		o.Done = false // said while it was only observed: whoever has worked on since is not cut off for it
	}
	want, reason := wanted(m.o, m.r, m.p, m.now)
	if !m.p.Observe {
		o.Done = false // else it stands, as the decision would have
	}
	if !want {
		m.close(reason.Code)
	} else {
		o.Would = ""
	}
}

func (m *memory) close(why Code) {
	if m.r.Opening.ClosingFor != "" {
		return
	}
	if m.p.Observe {
		if m.r.Opening.Would == "" {
			m.note("would.close", why, string(why), "", "")
			m.r.Opening.Would = why
		}
		return
	}
	m.r.Opening.ClosingFor = why
	if len(present(m.o)) > 0 {
		m.note("close", why, string(why), "", "")
	}
}

// wanted says whether the endpoint shall be open at now, and why or why not.
func wanted(obs Observation, r Record, p Policy, now time.Time) (bool, Reason) {
	o := r.Opening
	if o == nil {
		if p.ByHand == Warn && len(holding(obs)) > 0 {
			return true, Reason{Code: OpenByHand}
		}
		if h := r.held(now); h != nil {
			return false, Reason{Code: h.code(), Until: h.Until, Message: h.Why}
		}
		if may, _, next := p.Hours.May(now); !may {
			return false, Reason{Code: OffHours, Until: next}
		}
		return false, Reason{Code: OffIdle}
	}
	end := o.end(p)
	switch {
	case o.ClosingFor != "":
		return false, Reason{Code: o.ClosingFor}
	case !now.Before(end):
		return false, Reason{Code: ClosingMax}
	case barred(r, p, now) != "":
		return false, Reason{Code: barred(r, p, now)}
	case leaving(obs, r):
		// Somebody ended it outside Nightlatch. What is still wished waits until all of it is gone, so that the opening
		// that follows has a maximum of its own.
		return false, Reason{Code: ClosingOutside}
	}
	if at := bar(r, p, now); !at.IsZero() {
		end = earlier(end, at)
	}
	if live := r.Live(now); len(live) > 0 {
		why := Reason{Code: OpenLease, Until: earlier(live[0].Until, end)}
		if h := r.held(now); !r.glass(now).IsZero() {
			why.Code = OpenBreakGlass
		} else if h != nil {
			why.Code, why.Message = OpenPaused, h.Why
		}
		return true, why
	}
	if o.Adopted && p.ByHand == Close {
		return false, Reason{Code: ClosingByHand}
	}
	// The last person said "I'm done": their own client may still be chattering, so one connection does not keep it
	// open. Two mean that somebody without a lease is working.
	if o.Done && active(obs) < 2 {
		return false, Reason{Code: ClosingDone}
	}
	// Whoever only looks may find that the last lease has just ended before the beat has.
	ended := o.LeaseEnded
	if ended.IsZero() {
		ended = now
	}
	if !o.TrafficAt.IsZero() {
		until := earlier(o.TrafficAt.Add(p.IdleAfter), earlier(end, ended.Add(p.TrafficMax)))
		if now.Before(until) {
			return true, Reason{Code: OpenTraffic, Until: until}
		}
	}
	if o.TrafficAt.After(ended) {
		return false, Reason{Code: ClosingIdle}
	}
	return false, Reason{Code: ClosingLease}
}

// Plan decides. It is pure: no clock, no I/O; the record is one that Remember made from the same observation.
func Plan(o Observation, r Record, p Policy, now time.Time) Decision {
	var d Decision
	o, strays := own(o, r)
	o = complete(o, r)
	want, reason := wanted(o, r, p, now)
	a := assess(o, r, p)
	d.State, d.Reason = a.state(o, r, p, len(r.Live(now)), want, reason)
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
	if len(holding(o)) > 0 && o.VPC != "" && !grouped(o, r, p) {
		steps = append(steps, Step{Kind: StepGroups, VPC: o.VPC, Groups: wantedGroups(r, p)})
	}
	for _, a := range holding(o) {
		k := r.Opening.Associations[a.ID]
		for _, w := range wantedRoutes(o, r, p, a.Subnet) {
			// A learned route that is missing after the restore was removed by somebody: see forget.
			step := Step{Kind: StepRoute, Route: w.Route}
			if _, found := reported(o, w.Route); !found && (!k.Restored || w.learned < 0) && !slices.ContainsFunc(steps, func(s Step) bool { return s.Kind == StepRoute && s.Route == step.Route }) {
				steps = append(steps, step)
			}
		}
	}
	return steps
}

// end is the opening's absolute maximum. A policy that grew shorter counts at once, also when it grows longer again, and
// one that grew longer does not: the switches that were armed stay where they are.
func (o Opening) end(p Policy) time.Time {
	end := o.Since.Add(p.AbsoluteMax)
	if o.End.IsZero() {
		return end
	}
	return earlier(o.End, end)
}

// DeadmanAt is when the switch of an opening's associations fires. It never moves.
func DeadmanAt(o Opening, p Policy) time.Time { return o.end(p).Add(DeadmanSlack) }

// toAssociate picks the subnets to associate now: all that are missing, or the next to try when one is enough. A
// subnet whose association is still disassociating waits: whether EC2 accepts it earlier is not documented.
func toAssociate(o Observation, r Record, p Policy) []SubnetID {
	busy := map[SubnetID]bool{}
	for _, a := range present(o) {
		busy[a.Subnet] = true
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
	if len(free) == 0 || len(holding(o)) > 0 {
		return nil
	}
	return []SubnetID{slices.MinFunc(free, func(a, b SubnetID) int { return cmp.Compare(tries(*r.Opening, a), tries(*r.Opening, b)) })}
}

// leaving is true when nothing of the opening holds any more and something ends that did not fail.
func leaving(o Observation, r Record) bool {
	return len(holding(o)) == 0 && slices.ContainsFunc(o.Associations, func(a Association) bool {
		return a.Status == Disassociating && !r.Opening.Associations[a.ID].Over
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
	if d.State != StateOff && p.Observe {
		return now.Add(time.Minute)
	}
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
	if soon := now.Add(time.Second); next.Before(soon) {
		return soon // never in a spin
	}
	return next
}

// assessment is how far the wanted opening has come.
type assessment struct {
	ready       bool // everything wanted is associated, restored and armed
	served      bool // at least one association carries every route
	up          bool // at least one association is associated
	done, total int  // wanted routes on the associations at hand
	grouped     bool // the security groups are the wanted ones
	unarmed     bool
	missing     bool // a wanted subnet has no association
}

func assess(o Observation, r Record, p Policy) assessment {
	var a assessment
	if r.Opening == nil {
		return a
	}
	held := holding(o)
	complete := 0
	for _, x := range held {
		k := r.Opening.Associations[x.ID]
		done, total := routed(o, r, p, x.Subnet)
		a.done, a.total = a.done+done, a.total+total
		a.unarmed = a.unarmed || !k.Armed && !p.Observe
		a.up = a.up || x.Status == Associated
		if x.Status == Associated && done == total {
			complete++
		}
	}
	a.grouped = grouped(o, r, p)
	a.served = complete > 0
	a.missing = len(held) == 0
	if p.All {
		a.missing = slices.ContainsFunc(p.Subnets, func(s SubnetID) bool {
			return !slices.ContainsFunc(held, func(x Association) bool { return x.Subnet == s })
		})
	}
	a.ready = a.served && !a.missing && complete == len(held) && !a.unarmed && a.grouped
	return a
}

// state names what the endpoint is doing, and why; live counts the leases that have not ended.
func (a assessment) state(o Observation, r Record, p Policy, live int, want bool, why Reason) (State, Reason) {
	held, there := len(holding(o)), len(present(o))
	if p.Observe && !want && held > 0 {
		return StateOpen, Reason{Code: OpenWould}
	}
	switch {
	case o.Status != PendingAssociate && o.Status != Available:
		return StateUnusable, Reason{Code: UnusableStatus, Status: o.Status, Message: o.StatusMessage}
	case !want && live > 0 && r.Opening != nil:
		// A wish that came after the decision to close: it opens again right after.
		return StateClosing, Reason{Code: OpeningQueued}
	case !want && there == 0:
		if why.Code == OffHours || why.Code == OffHeld || why.Code == OffPaused {
			return StateOff, why
		}
		return StateOff, Reason{Code: OffIdle}
	case !want:
		code := why.Code
		if code == OffIdle || code == OffHours || code == OffHeld || code == OffPaused {
			code = ClosingLease
		}
		return StateClosing, Reason{Code: code}
	case why.Code == OpenByHand:
		return StateOpen, why
	}
	readyBefore := !r.Opening.ReadyAt.IsZero() || p.Observe && a.up // what it lacks there, nobody is about to add
	switch {
	case a.ready, readyBefore && !a.missing && a.done == a.total && a.served && a.grouped:
		return StateOpen, why
	case readyBefore && a.up && a.done < a.total:
		return StateDegraded, Reason{Code: DegradedRoutes, Done: a.done, Total: a.total, Until: why.Until}
	case readyBefore && a.up && !a.missing && !a.grouped:
		return StateDegraded, Reason{Code: DegradedGroups, Until: why.Until}
	case readyBefore && a.up, a.served && !a.unarmed && r.Failure != nil:
		// Before it was ever ready, too, people may work over the subnets that did not fail.
		return StateDegraded, Reason{Code: DegradedAssociation, Until: why.Until}
	case held == 0 && r.Failure != nil:
		return StateOpening, Reason{Code: OpeningRetry, Message: r.Failure.Why, Until: why.Until}
	case a.served && a.unarmed:
		return StateOpening, Reason{Code: OpeningSwitch, Until: why.Until}
	case a.served && !a.grouped:
		return StateOpening, Reason{Code: OpeningGroups, Until: why.Until}
	case a.up:
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
// one subnet stands in for another, it takes that one's learned routes over; all take over those of a subnet that
// policy names no longer.
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
		case !p.All, !slices.Contains(p.Subnets, l.Subnet):
			add(l.Destination, l.Description, subnet, i)
		}
	}
	return out
}

// routed counts the routes that are active, of all that a subnet shall have and that AWS makes for it.
func routed(o Observation, r Record, p Policy, subnet SubnetID) (done, total int) {
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

// sameRoute compares CIDR blocks as AWS does, host bits off; other text must be equal.
func sameRoute(a, b Route) bool {
	if a.Subnet != b.Subnet || a.Destination == b.Destination {
		return a.Subnet == b.Subnet
	}
	x, err := netip.ParsePrefix(a.Destination)
	if err != nil {
		return false
	}
	y, err := netip.ParsePrefix(b.Destination)
	return err == nil && x.Masked() == y.Masked()
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
