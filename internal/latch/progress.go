package latch

import (
	"slices"
	"time"
)

// Phase is a part of opening or closing that takes AWS's time.
type Phase string

// The phases, in order.
const (
	PhaseAssociate Phase = "associate" // from EC2's answer to the association until it is associated
	PhaseRoutes    Phase = "routes"    // from then until everything is restored and checked
	PhaseClose     Phase = "close"     // from the decision until nothing is associated any more
)

// Phases is the list of phases in order.
var Phases = []Phase{PhaseAssociate, PhaseRoutes, PhaseClose}

// Range is between two lengths of time.
type Range struct{ From, To time.Duration }

// typical is how long phases take as people report it; AWS gives no figure.
func typical() map[Phase]Range {
	return map[Phase]Range{
		PhaseAssociate: {4 * time.Minute, 10 * time.Minute},
		PhaseRoutes:    {30 * time.Second, 2 * time.Minute},
		PhaseClose:     {2 * time.Minute, 10 * time.Minute},
	}
}

const (
	// pastMax is how many past lengths of each phase are kept, the latest.
	pastMax = 50
	// pastMin is how many are needed before they say more than what is typical.
	pastMin = 5
)

// Progress is how a phase under way compares with those of the past, at this endpoint.
type Progress struct {
	Phase Phase
	Since time.Time
	// Left is how much longer it takes, given that it has already taken so long: half of all such phases end within it,
	// and nine in ten do. Below five past phases it is the typical range instead. Zero when it is Stuck.
	Left Range
	// Samples is how many past phases that rests on; 0 below five.
	Samples int
	// Slow: it has already taken longer than nine in ten. Stuck: longer than any; somebody should look.
	Slow, Stuck bool
}

// estimate compares a phase that began at since with past ones.
func estimate(phase Phase, since, now time.Time, past []time.Duration, usual Range) Progress {
	p := Progress{Phase: phase, Since: since}
	taken := max(now.Sub(since), 0)
	if len(past) < pastMin {
		p.Slow, p.Stuck = taken > usual.To, taken > 3*usual.To
		if !p.Slow {
			p.Left = Range{max(usual.From-taken, 0), usual.To - taken}
		}
		return p
	}
	past = slices.Sorted(slices.Values(past))
	p.Samples = len(past)
	p.Slow = taken > quantile(past, 90)
	i, _ := slices.BinarySearch(past, taken+1)
	longer := past[i:]
	if len(longer) == 0 {
		p.Stuck = true
		return p
	}
	p.Left = Range{quantile(longer, 50) - taken, quantile(longer, 90) - taken}
	return p
}

// quantile is the smallest of the sorted lengths that so many in a hundred do not exceed.
func quantile(lengths []time.Duration, hundredths int) time.Duration {
	return lengths[(len(lengths)*hundredths+99)/100-1]
}

// took remembers how long a phase took.
func (r *Record) took(phase Phase, d time.Duration) {
	if d < 0 {
		return // a clock was set back
	}
	past := append(r.Past[phase], d.Round(time.Second))
	if r.Past == nil {
		r.Past = map[Phase][]time.Duration{}
	}
	r.Past[phase] = past[max(0, len(past)-pastMax):]
}

// underway is the phase of the opening that waits for AWS now; false when none does.
func underway(o Observation, r Record) (phase Phase, since time.Time, ok bool) {
	opening := r.Opening
	switch {
	case opening == nil:
		return "", time.Time{}, false
	case opening.ClosingFor != "":
		return PhaseClose, opening.ClosingAt, len(present(o)) > 0 && !opening.ClosingAt.IsZero()
	case !opening.ReadyAt.IsZero():
		return "", time.Time{}, false
	case !opening.UpAt.IsZero():
		return PhaseRoutes, opening.UpAt, true
	}
	for _, a := range holding(o) {
		if made := opening.Associations[a.ID].MadeAt; a.Status == Associating && !made.IsZero() && (since.IsZero() || made.After(since)) {
			since = made // after a fail-over it is the last one that counts
		}
	}
	return PhaseAssociate, since, !since.IsZero()
}

// progress estimates how much longer the opening or the closing takes; nil when nothing is under way.
func progress(o Observation, r Record, p Policy, now time.Time) *Progress {
	phase, since, ok := underway(o, r)
	if !ok {
		return nil
	}
	est := estimate(phase, since, now, r.Past[phase], p.typical(phase))
	if phase == PhaseAssociate && !est.Stuck {
		// What people wait for is the end of the next phase.
		next := estimate(PhaseRoutes, now, now, r.Past[PhaseRoutes], p.typical(PhaseRoutes)).Left
		est.Left.From, est.Left.To = est.Left.From+next.From, est.Left.To+next.To
	}
	return &est
}

// usual is how long an opening would take.
func usual(r Record, p Policy, now time.Time) (all Range) {
	for _, phase := range []Phase{PhaseAssociate, PhaseRoutes} {
		left := estimate(phase, now, now, r.Past[phase], p.typical(phase)).Left
		all.From, all.To = all.From+left.From, all.To+left.To
	}
	return all
}

func (p Policy) typical(phase Phase) Range {
	if r, ok := p.Typical[phase]; ok {
		return r
	}
	return typical()[phase]
}

// underwayCode is what was decided when a phase is under way.
var underwayCode = map[Phase]Code{PhaseAssociate: OpeningAssociating, PhaseRoutes: OpeningRoutes}

// lengths remembers how long the phases took that have just ended, and raises the alarm, once, for one that takes
// longer than any before it.
func (m *memory) lengths() {
	o := m.r.Opening
	if o.ClosingFor != "" && o.ClosingAt.IsZero() && len(present(m.o)) > 0 {
		o.ClosingAt = m.now
	}
	phase, since, ok := underway(m.o, m.r)
	if !ok || slices.Contains(o.Stuck, phase) {
		return
	}
	if estimate(phase, since, m.now, m.r.Past[phase], m.p.typical(phase)).Stuck {
		o.Stuck = append(o.Stuck, phase)
		m.tell(Notice{Kind: NoticeStuck, Phase: phase})
		m.note("stuck", underwayCode[phase], string(phase), "", m.now.Sub(since).Round(time.Second).String())
	}
}
