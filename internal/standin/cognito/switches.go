package cognito

import "github.com/nightlatch/nightlatch/internal/standin/switches"

// Unconfirmed holds the questions to which AWS's documents give no answer, or one that people contradict. Zero values
// are the likelier or the more awkward answer; an app should do well under either.
type Unconfirmed struct {
	// VerifiedIsBoolean: userInfo has email_verified and phone_number_verified as JSON booleans, as OpenID Connect Core
	// 5.1 wants them. The tokens that people show have strings, and no document says which.
	VerifiedIsBoolean bool
	// ListsAreJSON: a SAML attribute with several values becomes the text of a JSON array, as one report about Identity
	// Center in front of Cognito has it (grafana/grafana 92801), instead of "[a, b]" without quotes (oauth2-proxy 1765).
	ListsAreJSON bool
	// ListsAreEncoded: the values in such a list are form-encoded, "[VPN+Users, Engineering]", as "Specifying identity
	// provider attribute mappings" says. No report shows it: the values in those would not change by it.
	ListsAreEncoded bool
	// SignInPage: who comes without identity_provider gets the page /login with one button, as "The redirect and
	// authorization endpoint" says, instead of going to the only provider at once, as people have seen.
	SignInPage bool
	// AlwaysAsksProvider: identity_provider leads to the provider even while the pool's own session lives. The authorize
	// endpoint's page says that it "silently redirects" there, and nothing about the session.
	AlwaysAsksProvider bool
	// ReuseIsHarmless: the second use of a code is refused and no more. RFC 6749 section 4.1.2 would have the tokens of
	// the first use revoked; Cognito's documents do not say whether they are.
	ReuseIsHarmless bool
	// RefusedLogoutSignsOut: /logout with an address that is not registered shows its error and ends the session all the
	// same, as one report has it (streamlit 14601); AWS documents neither.
	RefusedLogoutSignsOut bool
	// NoSkew: an assertion must be valid by the pool's own clock, instead of with a minute's grace. Cognito's figure is
	// not documented.
	NoSkew bool
}

// Switches are the unconfirmed facts, in the order in which a person would look for them.
func (s *Server) Switches() []switches.Switch {
	u := &s.cfg.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "VerifiedIsBoolean", "userInfo says whether an e-mail address is verified by a JSON boolean, not a string.", &u.VerifiedIsBoolean),
		switches.Bool(&s.mu, "ListsAreJSON", "Attributes with several values are stored as a JSON array at the next sign-in, not as [a, b].", &u.ListsAreJSON),
		switches.Bool(&s.mu, "ListsAreEncoded", "The values of such lists are form-encoded at the next sign-in, so that a space becomes a plus sign.", &u.ListsAreEncoded),
		switches.Bool(&s.mu, "SignInPage", "Who comes without identity_provider gets a page with one button, not the provider at once.", &u.SignInPage),
		switches.Bool(&s.mu, "AlwaysAsksProvider", "identity_provider leads to the provider even while the pool's own session lives.", &u.AlwaysAsksProvider),
		switches.Bool(&s.mu, "ReuseIsHarmless", "The second use of an authorization code does not revoke what the first one gave.", &u.ReuseIsHarmless),
		switches.Bool(&s.mu, "RefusedLogoutSignsOut", "Signing out to an address that is not registered ends the session, although it shows an error.", &u.RefusedLogoutSignsOut),
		switches.Bool(&s.mu, "NoSkew", "An assertion must be valid by the pool's own clock, without a minute's grace.", &u.NoSkew),
	}
}

// unconfirmed returns the switches as they are now. Callers do not hold s.mu.
func (s *Server) unconfirmed() Unconfirmed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Unconfirmed
}
