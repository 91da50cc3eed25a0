package httpapi

import "github.com/nightlatch/nightlatch/internal/standin/switches"

// Unconfirmed holds the questions to which AWS's documents give no answer, or two. Zero values are the likelier or the
// more awkward answer; browsers and functions should do well under either.
type Unconfirmed struct {
	// LongHeadersAre400 answers 400 to a request line and headers over the quota. The page on quotas has no status.
	LongHeadersAre400 bool
	// OddMethodsPass: a request whose method no route can name (PROPFIND, TRACE) takes the $default route, which "acts as a
	// catch-all for requests that don't match any other routes".
	OddMethodsPass bool
	// PathsEncoded: rawPath is what the client sent, as its name says. People's captures show it decoded, and so do the
	// tests of AWS's Lambda Test Tool.
	PathsEncoded bool
	// HeadersSpaced: the values of a header that came several times are joined by a comma and a space. The guide has "combined
	// with commas", and an example without a space; AWS's Lambda Test Tool puts one.
	HeadersSpaced bool
	// ForwardedReplaced: X-Forwarded-For holds the connection's address alone, whatever the client sent in it. Seen behind a
	// content network (aws-powertools/powertools-lambda-python#7288), while REST APIs are seen to append.
	ForwardedReplaced bool
	// SourceHasPort: requestContext.http.sourceIp is an address with a port. Seen where clients bring certificates
	// (aws-powertools/powertools-lambda-python#7288); the guide says "IP".
	SourceHasPort bool
	// FormsAreText: the body of an HTML form goes into the event as it is, and not as base64, which people see.
	FormsAreText bool
	// TimeoutsAre504 answers 504 to a function that takes longer than the integration may. AWS has that for HTTP APIs on
	// re:Post; people see 503 (serverless/serverless#11222, cortexlabs/cortex#1225).
	TimeoutsAre504 bool
	// BusyIs503 answers 503 where Lambda has no instance free, and not 500 as to every other error of Lambda's.
	BusyIs503 bool
}

// Switches are the unconfirmed facts, in the order in which a request would meet them.
func (s *Server) Switches() []switches.Switch {
	u := &s.c.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "LongHeadersAre400", "A request line and headers over 10,240 bytes are answered 400, not 431.", &u.LongHeadersAre400),
		switches.Bool(&s.mu, "OddMethodsPass", "A request with a method that no route can name reaches the function.", &u.OddMethodsPass),
		switches.Bool(&s.mu, "PathsEncoded", "The event's rawPath is as the client sent it, not decoded.", &u.PathsEncoded),
		switches.Bool(&s.mu, "HeadersSpaced", "The values of a repeated header are joined by a comma and a space.", &u.HeadersSpaced),
		switches.Bool(&s.mu, "ForwardedReplaced", "X-Forwarded-For holds the client’s address alone, not what the client sent before it.", &u.ForwardedReplaced),
		switches.Bool(&s.mu, "SourceHasPort", "The event’s sourceIp has a port.", &u.SourceHasPort),
		switches.Bool(&s.mu, "FormsAreText", "The body of a form is in the event as text, not as base64.", &u.FormsAreText),
		switches.Bool(&s.mu, "TimeoutsAre504", "A function that takes too long is answered with 504, not with 503.", &u.TimeoutsAre504),
		switches.Bool(&s.mu, "BusyIs503", "Where Lambda has no instance free the answer is 503, not 500.", &u.BusyIs503),
	}
}

// unconfirmed is what the switches say now.
func (s *Server) unconfirmed() Unconfirmed {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.c.Unconfirmed
}
