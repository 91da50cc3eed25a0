package alb

import "github.com/nightlatch/nightlatch/internal/standin/switches"

// Unconfirmed holds the questions to which AWS's documents give no answer, or two. Zero values are the likelier or the
// more awkward answer; browsers and functions should do well under either.
type Unconfirmed struct {
	// TokensLiveTwoMinutes: an x-amzn-oidc-data token is good for two minutes instead of one. AWS documents no life; one
	// minute was seen, and 119 seconds.
	TokensLiveTwoMinutes bool
	// TokensUnpadded: the tokens' segments have no base64 padding, as RFC 7515 wants it. AWS said in 2019 that it would
	// drop the padding; the user guide, and tokens of 2026, still have it.
	TokensUnpadded bool
	// ExpiryInHeaderOnly: iss and exp stand in the tokens' header alone, as the user guide shows it. Tokens seen in the
	// open repeat them in the payload.
	ExpiryInHeaderOnly bool
	// OversizeIs401 answers 401 to claims that are too large. The page on authentication has 500, the page on
	// troubleshooting lists the case under 401.
	OversizeIs401 bool
	// RejectInvalidCookie answers 401 to a session cookie that does not decrypt, instead of asking the browser to sign in
	// again. AWS has AuthInvalidCookie among the reasons of its access log, and a sentence for it under 401 on re:Post
	// ("clear browser cookies and retry"), but does not say that every such cookie ends there.
	RejectInvalidCookie bool
	// ScriptableCookie leaves HttpOnly off the session cookies. AWS documents Secure only.
	ScriptableCookie bool
	// CookieSameSiteNone puts SameSite=None on every session cookie, so that browsers send it with requests that other
	// sites begin. AWS documents that for CORS requests, and nothing for the others.
	CookieSameSiteNone bool
	// NewNonces: every redirect to the IdP replaces the browser's nonce, so that of two sign-ins under way only the later
	// can finish. AWS does not document the cookie; browsers are seen to hold one beside a finished session.
	NewNonces bool
	// ReplaysReachIdP: a callback that comes again is not refused here; its code goes to the IdP, which refuses it, so that
	// the answer is 561 instead of 401. That a load balancer remembers what it has seen is documented nowhere.
	ReplaysReachIdP bool
	// InvokesTwice: the function is invoked twice for one request, and the second answer is used. That a load balancer, or
	// Lambda behind it, never repeats an invocation is documented nowhere.
	InvokesTwice bool
	// ShortAnswersPass: a function's answer may leave out statusDescription, isBase64Encoded and its headers, or name the
	// headers as the other mode does, which loses them. The user guide wants all but the first; people report that a
	// statusCode alone is enough (awsdocs/elb-application-load-balancers-user-guide#33).
	ShortAnswersPass bool
	// ServerOnAnswers: a function's answer goes out with "Server: awselb/2.0", as the load balancer's own answers do,
	// unless it brings a Server header. Seen in the open (glassechidna/serverlessish#4), and not documented.
	ServerOnAnswers bool
	// HeadersReversed: the values of a header that a function's answer repeats go out in reverse. The user guide says that
	// the order may change; people report this one.
	HeadersReversed bool
	// LongURIIs414 answers 414 to a request line over 16 KB. The page on troubleshooting has that, and 400 too.
	LongURIIs414 bool
	// NotUTF8Is502 answers 502 to a request that cannot become an event because it is not UTF-8. The page on access logs
	// has the reason, LambdaBadRequest, and no status.
	NotUTF8Is502 bool
}

// Switches are the unconfirmed facts, in the order in which a request would meet them.
func (s *Server) Switches() []switches.Switch {
	u := &s.c.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "LongURIIs414", "A request line over 16 KB is answered 414, not 400.", &u.LongURIIs414),
		switches.Bool(&s.mu, "RejectInvalidCookie", "A session cookie that does not decrypt is answered 401, not with a new sign-in.", &u.RejectInvalidCookie),
		switches.Bool(&s.mu, "NewNonces", "Every redirect to the IdP replaces the browser's nonce: of two sign-ins only the later can finish.", &u.NewNonces),
		switches.Bool(&s.mu, "ReplaysReachIdP", "A callback that comes again is refused by the IdP (561), not by the load balancer (401).", &u.ReplaysReachIdP),
		switches.Bool(&s.mu, "OversizeIs401", "Claims over 11 KB are answered 401, not 500.", &u.OversizeIs401),
		switches.Bool(&s.mu, "ScriptableCookie", "Session cookies lack HttpOnly: scripts of the site can read them.", &u.ScriptableCookie),
		switches.Bool(&s.mu, "CookieSameSiteNone", "Session cookies have SameSite=None: browsers send them with requests that other sites begin.", &u.CookieSameSiteNone),
		switches.Bool(&s.mu, "TokensLiveTwoMinutes", "The signed claims are good for two minutes, not for one.", &u.TokensLiveTwoMinutes),
		switches.Bool(&s.mu, "TokensUnpadded", "The signed claims have no base64 padding.", &u.TokensUnpadded),
		switches.Bool(&s.mu, "ExpiryInHeaderOnly", "The signed claims have iss and exp in their header only.", &u.ExpiryInHeaderOnly),
		switches.Bool(&s.mu, "NotUTF8Is502", "A request that is not UTF-8 is answered 502, not 400.", &u.NotUTF8Is502),
		switches.Bool(&s.mu, "InvokesTwice", "The function is invoked twice for one request, and its second answer is used.", &u.InvokesTwice),
		switches.Bool(&s.mu, "ShortAnswersPass", "A function's answer needs nothing but its statusCode.", &u.ShortAnswersPass),
		switches.Bool(&s.mu, "HeadersReversed", "The values of a repeated header of a function's answer go out in reverse.", &u.HeadersReversed),
		switches.Bool(&s.mu, "ServerOnAnswers", "A function's answer goes out with the load balancer's Server header.", &u.ServerOnAnswers),
	}
}

// unconfirmed is what the switches say now.
func (s *Server) unconfirmed() Unconfirmed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.Unconfirmed
}
