package scheduler

import "github.com/nightlatch/nightlatch/internal/standin/switches"

// Unconfirmed holds what AWS's documents leave open, or leave to the service. Zero values are the likelier answer; a
// client should do well under either.
type Unconfirmed struct {
	// FiresTwice: every delivery that the target took is made once more. "What is Amazon EventBridge Scheduler?" promises
	// delivery at least once.
	FiresTwice bool
	// FiresLate: schedules fire at the end of their minute instead of its beginning. "Schedule types" promises a precision
	// of 60 seconds.
	FiresLate bool
	// Lingers: a schedule with ActionAfterCompletion DELETE stays for a minute after its last delivery, instead of going
	// with it; it fires no more. "Automatically delete schedules upon completion", AWS Compute Blog, says "shortly after".
	Lingers bool
	// PastRefused: CreateSchedule and UpdateSchedule refuse an at() whose time has passed, as some people say they do,
	// instead of firing at once. The documents say nothing.
	PastRefused bool
	// PastNeverFires: an at() whose time has passed is accepted and kept, and never fires. The documents say nothing.
	PastNeverFires bool
	// DeletesRemembered: DeleteSchedule with the ClientToken of one that succeeded succeeds again, as "ensure the
	// idempotency of the request" can be read, instead of ResourceNotFoundException.
	DeletesRemembered bool
	// BusyWhileFiring: a schedule that is being delivered can neither be updated nor deleted: ConflictException, whose
	// sentence in the API Reference is that this "can cause an inconsistent state".
	BusyWhileFiring bool
	// GroupsLinger: a deleted group is DELETING for a minute, in which its schedules go on firing, as DeleteScheduleGroup
	// says they may, and nothing can be made in it: ConflictException, of which it says nothing.
	GroupsLinger bool
	// AnswersLost: every third change is made and yet answered with InternalServerException. Whether what was answered so
	// has happened, the API Reference does not say.
	AnswersLost bool
	// RefusalsRetried: a call that the role has no permission for is an error worth retrying, until the retry policy ends.
	// "Retrieve the dead-letter event" knows retryable and permanent errors and does not say which is which; EventBridge's
	// rules, the older service, do not retry it ("Event retry policy and using dead-letter queues").
	RefusalsRetried bool
}

// Switches are Throttle and the unconfirmed facts. A client that repeats a refused request, as every SDK does, gets
// through under all of them but BusyWhileFiring and GroupsLinger, which take longer.
func (s *Server) Switches() []switches.Switch {
	u := &s.cfg.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "Throttle", "Every third request is refused once as ThrottlingException.", &s.cfg.Throttle),
		switches.Bool(&s.mu, "FiresTwice", "Every delivery is made twice.", &u.FiresTwice),
		switches.Bool(&s.mu, "FiresLate", "Schedules fire at the end of their minute, not at its beginning.", &u.FiresLate),
		switches.Bool(&s.mu, "Lingers", "A schedule that deletes itself stays for a minute after it fired.", &u.Lingers),
		switches.Bool(&s.mu, "PastRefused", "A schedule for a time that has passed is refused.", &u.PastRefused),
		switches.Bool(&s.mu, "PastNeverFires", "A schedule for a time that has passed is kept and never fires.", &u.PastNeverFires),
		switches.Bool(&s.mu, "DeletesRemembered", "A deletion repeated with its token succeeds again.", &u.DeletesRemembered),
		switches.Bool(&s.mu, "BusyWhileFiring", "A schedule that is being delivered can be neither changed nor deleted.", &u.BusyWhileFiring),
		switches.Bool(&s.mu, "GroupsLinger", "A deleted group takes a minute, in which its schedules fire and no new one is made.", &u.GroupsLinger),
		switches.Bool(&s.mu, "AnswersLost", "Every third change is made and answered InternalServerException all the same.", &u.AnswersLost),
		switches.Bool(&s.mu, "RefusalsRetried", "A target's call that the role may not make is retried until the policy ends.", &u.RefusalsRetried),
	}
}

// Faults are what no SDK repeats away. None is an unconfirmed fact.
func (s *Server) Faults() []switches.Switch {
	return []switches.Switch{
		switches.Bool(&s.mu, "QuotaReached", "No schedule and no group can be made any more: ServiceQuotaExceededException.", &s.cfg.QuotaReached),
	}
}
