package latch

import "time"

// View is an endpoint as one person sees it. It is computed from the last observation and the stored wishes.
type View struct {
	Endpoint     EndpointID
	State        State
	Reason       Reason
	Associations []Association // those that are there or on their way
	// ObservedAt is when EC2 was last looked at; zero if it never was.
	ObservedAt time.Time
	// Stale is true when EC2 could not be asked just now and the view is the last known one; Cause says why.
	Stale bool
	Cause error
	// Until is when the endpoint will close if nothing changes; zero when off.
	Until time.Time
	// Observed: Nightlatch decides about this endpoint and changes nothing.
	Observed bool
	// OpenFrom is when one may open or join again; zero when one may now.
	OpenFrom time.Time
	// Hold is the operator's order that is in force; nil without one. Its Why is meant for everybody.
	Hold *Hold
	// Soon: it ends within the longest of the distances at which policy warns.
	Soon bool
	// Mine is the asking person's live lease; zero when there is none. Others counts other people's.
	Mine   Lease
	Others int
	// Since is when the present opening began, ReadyAt when it was ready; zero when it is not.
	Since, ReadyAt time.Time
	// ExtendUntil is how far the asking person could extend now: the longest lease, and the absolute maximum; not at all
	// under an operator's order, nor outside the hours when the lease is one of break-glass. Zero when off.
	ExtendUntil time.Time
	// Clipped is true when the answered request asked for more than the maximum leaves.
	Clipped bool
	// Steps are the stages of opening, in order; all done when open.
	Steps []Stage
	// Progress is how long what is under way takes; nil when nothing is.
	Progress *Progress
	// Usual is how long opening takes, as Progress.Left says it, for somebody who thinks about it; zero unless it is off.
	Usual Range
	// Connections counts the active client connections.
	Connections int
	// Failure is why the last attempt to open did not succeed; nil when it did or there was none.
	Failure *Failure
	// LookAgain is how long a watching page should wait before it asks again.
	LookAgain time.Duration
}

// Stage is one step of opening, as the page lists them.
type Stage struct {
	Name  StageName
	Done  bool
	Ready int // of Total, where there is something to count
	Total int
}

// StageName is one of the closed list of stages.
type StageName string

// The stages of opening, in order.
const (
	StageAccepted  StageName = "accepted"
	StageAssociate StageName = "associate"
	StageRoutes    StageName = "routes"
	StageReady     StageName = "ready"
)

// Stages is the list of stage names in order.
var Stages = []StageName{StageAccepted, StageAssociate, StageRoutes, StageReady}

// Request is what a person asks of an endpoint.
type Request struct {
	Who    Principal
	For    time.Duration // how long; 0 means the policy's default. Ignored by Done
	Why    string
	Source string // client address, for the audit
	ID     string // request id, for the audit
	// BreakGlass opens outside hours, orders and rules. It needs For and Why, and everybody whom notices reach is told.
	BreakGlass bool
	// Longest and ReasonRequired are what the access rules add to the policy's own: the longest lease, 0 for no other
	// than LeaseMax, and that nobody gets one without saying why.
	Longest        time.Duration
	ReasonRequired bool
}
