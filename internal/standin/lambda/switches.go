package lambda

import "github.com/nightlatch/nightlatch/internal/standin/switches"

// Unconfirmed holds what AWS's documents leave open, or leave to the service. Zero values are the likelier answer; a
// function and its callers should do well under either.
type Unconfirmed struct {
	// EventsTwice: every asynchronous event is queued twice. "How Lambda handles errors and retries with asynchronous
	// invocation" says that a function may receive one multiple times, because the queue is eventually consistent.
	EventsTwice bool
	// NeverWarm: an instance is dropped before the next event, which so has a cold start. How long a free instance is kept
	// is Lambda's to decide ("Understanding the Lambda execution environment lifecycle").
	NeverWarm bool
	// HandledErrors: X-Amz-Function-Error is Handled for an error that the function itself reported, as the API Reference
	// once defined the word and some people still see, instead of Unhandled, as the examples of the developer guide have.
	HandledErrors bool
}

// Switches are the unconfirmed facts.
func (s *Server) Switches() []switches.Switch {
	u := &s.c.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "EventsTwice", "Every asynchronous event is delivered twice.", &u.EventsTwice),
		switches.Bool(&s.mu, "NeverWarm", "No instance serves a second event: every call is a cold start.", &u.NeverWarm),
		switches.Bool(&s.mu, "HandledErrors", "An error that a function reports itself is called Handled, not Unhandled.", &u.HandledErrors),
	}
}
