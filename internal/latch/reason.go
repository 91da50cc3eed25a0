package latch

import "time"

// Code names why the endpoint is as it is, or why a request was answered as it was. The list is closed: the page, the
// audit and the log show nothing else, and every code has its sentence in every language of the catalogue.
type Code string

// The codes. Parameters that a sentence may use are those of Reason.
const (
	// The endpoint is off.
	OffIdle  Code = "off"       // nobody wants it
	OffHours Code = "off.hours" // nobody may open it before Until
	OffHeld  Code = "off.held"  // an operator keeps it closed until Until; Message is why
	// An operator lets nobody open it until Until; Message is why.
	OffPaused Code = "off.paused"
	// It is opening.
	OpeningAssociating Code = "opening.associating" // AWS connects the network
	OpeningRoutes      Code = "opening.routes"      // routes are being restored: Done of Total
	OpeningGroups      Code = "opening.groups"      // security groups are being applied
	OpeningSwitch      Code = "opening.switch"      // the dead-man's switch is not armed yet
	OpeningRetry       Code = "opening.retry"       // AWS failed to associate; tried again
	OpeningQueued      Code = "opening.queued"      // it is still closing; it will open again right after
	// It is open.
	OpenLease   Code = "open.lease"   // a lease lives until Until
	OpenTraffic Code = "open.traffic" // no lease, but traffic, until Until at most
	OpenWould   Code = "open.would"   // only observed: it would be closed now
	OpenByHand  Code = "open.byhand"  // somebody opened it outside Nightlatch, and policy says to leave it
	OpenPaused  Code = "open.paused"  // a lease lives until Until, and an operator lets nobody join or extend; Message is why
	// Somebody opened it outside hours, orders and rules, until Until.
	OpenBreakGlass Code = "open.breakglass"
	// Open, but not as it should be.
	DegradedRoutes      Code = "degraded.routes"      // routes are missing: Done of Total
	DegradedGroups      Code = "degraded.groups"      // the security groups are not the declared ones
	DegradedAssociation Code = "degraded.association" // a subnet is missing
	// It is closing.
	ClosingDone    Code = "closing.done"    // the last person said so
	ClosingLease   Code = "closing.lease"   // the last lease ended
	ClosingIdle    Code = "closing.idle"    // no lease and no traffic
	ClosingUnused  Code = "closing.unused"  // nobody connected
	ClosingMax     Code = "closing.max"     // the absolute maximum
	ClosingHours   Code = "closing.hours"   // the hours in which it may be open ended
	ClosingHeld    Code = "closing.held"    // an operator closes it
	ClosingOutside Code = "closing.outside" // somebody ended it outside Nightlatch
	ClosingByHand  Code = "closing.byhand"  // opened outside Nightlatch, and policy says to close
	ClosingSwitch  Code = "closing.switch"  // the dead-man's switch could not be made
	// It cannot be used: EC2 says Status.
	UnusableStatus Code = "unusable"
)

// Codes is the closed list, in the order above.
var Codes = []Code{
	OffIdle, OffHours, OffHeld, OffPaused, OpeningAssociating, OpeningRoutes, OpeningGroups, OpeningSwitch, OpeningRetry, OpeningQueued, OpenLease, OpenTraffic, OpenWould, OpenByHand, OpenPaused, OpenBreakGlass,
	DegradedRoutes, DegradedGroups, DegradedAssociation, ClosingDone, ClosingLease, ClosingIdle, ClosingUnused, ClosingMax, ClosingHours, ClosingHeld, ClosingOutside, ClosingByHand, ClosingSwitch, UnusableStatus,
}

// Reason is a code with its parameters; which are set depends on the code.
type Reason struct {
	Code    Code      `json:"code"`
	Until   time.Time `json:"until,omitzero"`
	Done    int       `json:"done,omitempty"`
	Total   int       `json:"total,omitempty"`
	Status  Status    `json:"status,omitempty"`
	Message string    `json:"message,omitempty"` // AWS's own words, or an operator's
}

// State is what an endpoint is doing, computed from an observation.
type State string

// The states. Unusable is an endpoint that EC2 reports as pending, deleting or deleted.
const (
	StateOff      State = "off"
	StateOpening  State = "opening"
	StateOpen     State = "open"
	StateDegraded State = "degraded"
	StateClosing  State = "closing"
	StateUnusable State = "unusable"
)
