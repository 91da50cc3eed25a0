package latch

import "time"

// overdueAfter is how long after its absolute maximum an opening may have associations before that is told: the beats had
// their turn by then, and so had the dead-man's switch.
const overdueAfter = 5 * time.Minute

// Tally is one endpoint in numbers, as a beat left it. It is made of what the beat's passes had in hand; nobody is asked
// for it.
type Tally struct {
	Endpoint EndpointID
	// Err is why the endpoint could not be kept by the last pass; nil when it was.
	Err error
	// Unknown: no pass of the beat had both EC2's answer and the record, so that the numbers are zero and mean nothing.
	Unknown bool
	// Held counts the associations that are there or on their way, which is what AWS charges for by the hour, whoever made
	// them. One that is leaving is not counted; whether it is billed until it is gone, AWS does not document.
	Held int
	// Leases counts the leases that live, Connections the active client connections.
	Leases, Connections int
	// Stuck is the phase that takes longer than any before it; empty when none does. See Progress.
	Stuck Phase
	// Overdue: something is associated though the opening should have ended minutes ago by its absolute maximum. Not for an
	// endpoint that is only observed.
	Overdue bool
	// Lost counts the messages that this beat gave up.
	Lost int
}

// tally is what the pass knows at its end.
func (t *turn) tally(err error) Tally {
	y := Tally{Endpoint: t.id, Err: err, Lost: t.lost, Unknown: err != nil && t.record.Version == 0}
	if y.Unknown {
		return y
	}
	now := time.Now()
	o, strays := own(t.look, t.record)
	o = complete(o, t.record)
	y.Held, y.Leases, y.Connections = len(holding(o))+len(strays), len(t.record.Live(now)), active(o)
	if p := progress(o, t.record, t.policy, now); p != nil && p.Stuck {
		y.Stuck = p.Phase
	}
	if opening := t.record.Opening; opening != nil && !t.policy.Observe {
		y.Overdue = y.Held > 0 && now.After(opening.end(t.policy).Add(overdueAfter))
	}
	return y
}

// after is the tally of a later pass, when was is that of the beat's passes before it. Where the later one came to
// nothing, what was known before is the newest there is.
func (y Tally) after(was Tally) Tally {
	if y.Unknown && was.Endpoint != "" && !was.Unknown {
		was.Err, was.Lost = y.Err, was.Lost+y.Lost
		return was
	}
	y.Lost += was.Lost
	return y
}
