package identitycenter

import (
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// Unconfirmed holds the questions to which AWS's documents give no answer, or two. Zero values are the likelier or the
// more awkward answer; a service provider and a browser should do well under either.
type Unconfirmed struct {
	// ForceAuthnIgnored: a live session answers a request with ForceAuthn, too. The User Guide does not mention ForceAuthn.
	ForceAuthnIgnored bool
	// RequestsRepeat: an AuthnRequest may be used as often as somebody likes within its time, instead of once. SAML asks
	// service providers to refuse replayed answers; of identity providers it asks nothing, and AWS says nothing.
	RequestsRepeat bool
	// SessionsOutlive: a session goes on after its account was disabled in Active Directory, until its time is over, instead
	// of ending with the next sync. "Session management is not supported for an Active Directory identity source" (User
	// Guide, 2023) leaves open what else ends one; being assigned no longer ends access either way.
	SessionsOutlive bool
	// ContextAware is the other prompt mode: on a browser that a person called trusted no code is asked for. Today's User
	// Guide calls always-on the default, older editions context-aware, and instances keep what they were made with.
	ContextAware bool
	// WithoutDevice: who has no authenticator yet signs in by password alone, which is "Allow them to sign in". Today's User
	// Guide calls registration at sign-in the default, that of 2023 this.
	WithoutDevice bool
	// GuessesUnlimited: wrong codes lock nobody out. AWS documents no limit.
	GuessesUnlimited bool
	// LogoutIgnored: a LogoutRequest is taken, and the session goes on. The metadata lists the endpoint; whether it works
	// for a customer managed application nobody has shown.
	LogoutIgnored bool
}

// Switches are the unconfirmed facts, in the order in which a sign-in meets them.
func (s *Server) Switches() []switches.Switch {
	u := &s.cfg.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "ForceAuthnIgnored", "A live session answers a request that asks for a fresh sign-in (ForceAuthn).", &u.ForceAuthnIgnored),
		switches.Bool(&s.mu, "RequestsRepeat", "An AuthnRequest may be used again within its time.", &u.RequestsRepeat),
		switches.Bool(&s.mu, "SessionsOutlive", "A session goes on after its account was disabled in Active Directory.", &u.SessionsOutlive),
		switches.Bool(&s.mu, "ContextAware", "A browser that somebody called trusted is not asked for a code.", &u.ContextAware),
		switches.Bool(&s.mu, "WithoutDevice", "Who has no authenticator yet signs in by password alone.", &u.WithoutDevice),
		switches.Bool(&s.mu, "GuessesUnlimited", "Wrong codes lock nobody out.", &u.GuessesUnlimited),
		switches.Bool(&s.mu, "LogoutIgnored", "A LogoutRequest does not end the session.", &u.LogoutIgnored),
	}
}

// now is the time by Identity Center's own clock. What it stamps and what it compares with that is by this clock; how
// long something took, when the next sync is due, and what imitates the directory (see stranger) is not.
func (s *Server) now() time.Time {
	if s.cfg.Clock == nil {
		return time.Now()
	}
	return s.cfg.Clock.Now()
}
