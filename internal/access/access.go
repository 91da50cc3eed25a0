// Package access decides who may do what. Like latch it is domain: it reads nothing and calls nobody, and decides by what
// it is told.
package access

import (
	"context"
	"regexp"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Identity is whom a front has authenticated.
type Identity struct {
	latch.Principal
	// Groups are as the issuer sent them: Identity Center sends an Active Directory's as SIDs ("S-1-5-21-…").
	Groups []string
	// GroupsCut: the list is not whole, or not to be read. It proves no membership, and excludes none.
	GroupsCut bool
	// Session is the session's id in the store, a hash, where Nightlatch keeps sessions; empty where a load balancer does.
	Session string
}

const subjectMax = 255

var subjectForm = regexp.MustCompile(`^[!-~]+$`)

// IsSubject says whether text can identify a person: at most 255 characters of ASCII (OpenID Connect Core 1.0 section 2,
// "sub"), none of them a space or a control character: two subjects that look alike are the same.
func IsSubject(s latch.Subject) bool {
	return len(s) <= subjectMax && subjectForm.MatchString(string(s))
}

// Session is a signed-in browser. The cookie holds a random value; only its hash is stored.
type Session struct {
	ID        string        `json:"id"` // SHA-256 of the cookie's value, in hexadecimal
	Subject   latch.Subject `json:"subject"`
	Issuer    string        `json:"issuer"`
	Name      string        `json:"name,omitempty"`
	Email     string        `json:"email,omitempty"`
	Groups    []string      `json:"groups,omitempty"`
	GroupsCut bool          `json:"groupsCut,omitempty"`
	// GroupsClaim is where the groups were looked for; empty: nowhere.
	GroupsClaim string    `json:"groupsClaim,omitempty"`
	Since       time.Time `json:"since"`
	Until       time.Time `json:"until"`
	Source      string    `json:"source,omitempty"` // client address at the sign-in, as the trusted hop gave it
}

// Block keeps a person out on every front from their next request on, whatever the rules say.
type Block struct {
	Subject latch.Subject `json:"subject"`
	By      latch.Subject `json:"by"`
	Why     string        `json:"why,omitempty"`
	Since   time.Time     `json:"since"`
	Until   time.Time     `json:"until,omitzero"` // zero: until it is taken back
}

// Refusal is the latest time that somebody was told no, kept so that whoever can change it sees whom it met.
type Refusal struct {
	Subject  latch.Subject    `json:"subject"`
	Name     string           `json:"name,omitempty"`
	Endpoint latch.EndpointID `json:"endpoint,omitempty"`
	Action   Action           `json:"action"`
	Code     Code             `json:"code"`
	Rule     string           `json:"rule,omitempty"` // that decided; empty when none matched
	At       time.Time        `json:"at"`
	Source   string           `json:"source,omitempty"`
	Request  string           `json:"requestId,omitempty"`
}

// Action is what somebody wants to do to an endpoint. The list is closed.
type Action string

// The actions that rules speak of. Ending one's own lease needs no permission. Administer is the administrators' page:
// extending for others, pausing, closing, opening outside the rules, the audit.
const (
	See        Action = "see"
	Open       Action = "open"
	Extend     Action = "extend"
	EndOthers  Action = "end-others"
	Administer Action = "administer"
)

// Actions is the closed list, in the order of the reference.
var Actions = []Action{See, Open, Extend, EndOthers, Administer}

// Code says why somebody may or may not. The list is closed, and every front has a sentence for each in every language.
type Code string

// Store keeps what is known of people beside their leases. Errors are latch's kinds.
type Store interface {
	// SaveSession stores a new session; latch.ErrConflict if the id is taken. It is dropped some time after its end.
	SaveSession(ctx context.Context, s Session) error
	// Session returns a session that has not ended; latch.ErrNotFound otherwise. The read is strongly consistent.
	Session(ctx context.Context, id string) (Session, error)
	// EndSession removes a session; a missing one is not an error.
	EndSession(ctx context.Context, id string) error
	// Sessions returns the sessions that live, the newest first.
	Sessions(ctx context.Context) ([]Session, error)

	// Blocked returns the block that is in force for a subject, or nil. The read is strongly consistent.
	Blocked(ctx context.Context, who latch.Subject) (*Block, error)
	// SaveBlock stores or replaces a subject's block; Unblock removes it, latch.ErrNotFound when there is none.
	SaveBlock(ctx context.Context, b Block) error
	Unblock(ctx context.Context, who latch.Subject) error
	// Blocks returns those in force, the newest first.
	Blocks(ctx context.Context) ([]Block, error)

	// SaveRefusal keeps the latest refusal of a subject, endpoint and action; Refusals returns them, newest first, at most
	// limit. They are dropped after a month.
	SaveRefusal(ctx context.Context, r Refusal) error
	Refusals(ctx context.Context, limit int) ([]Refusal, error)

	// Spend takes one of a subject's changes, of which it gets burst at once and one more in every. It returns zero, or how
	// long to wait for the next, whoever of any number of instances asks (generic cell rate algorithm, ITU-T I.371).
	Spend(ctx context.Context, who latch.Subject, now time.Time, every time.Duration, burst int) (time.Duration, error)
}
