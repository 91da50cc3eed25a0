package ec2

import (
	"net/http"
	"strings"
	"time"
)

// bucket is a token bucket. EC2 keeps one for each action in each account and Region.
type bucket struct {
	tokens float64
	at     time.Time
}

// unfiltered marks the bucket of a describe without filters and pages.
const unfiltered = " unfiltered"

// limits are a bucket's size and its refill in tokens a second ("Request throttling for the Amazon EC2 API", EC2
// Developer Guide, the tables of request token buckets).
func limits(action string) (size, refill float64) {
	switch {
	case strings.HasSuffix(action, unfiltered):
		return 50, 10
	case strings.HasPrefix(action, "Describe"):
		return 100, 20
	}
	switch action {
	case "CreateClientVpnRoute", "DeleteClientVpnRoute":
		return 5, 2
	case "CreateTags", "DeleteTags":
		return 100, 10
	}
	return 50, 5 // the rest of what changes something, and exports, which the page does not class
}

// throttled takes a token, or says that there is none. The caller holds s.mu.
func (s *Server) throttled(action string, p params, now time.Time) *fault {
	if !s.cfg.Throttle {
		return nil
	}
	// Of the page's list of actions that pay more without filters and pages, this is the one served here.
	if action == "DescribeSecurityGroups" && p["MaxResults"] == "" && len(p.numbers("Filter")) == 0 {
		action += unfiltered
	}
	size, refill := limits(action)
	b := s.buckets[action]
	if b == nil {
		b = &bucket{size, now}
		s.buckets[action] = b
	}
	b.tokens = min(size, b.tokens+refill*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens < 1 {
		return &fault{http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."}
	}
	b.tokens--
	return nil
}

// concurrent is how many changes of one endpoint AWS carries out at once ("AWS Client VPN quotas").
const concurrent = 10

// crowded refuses one more change of e. The words are those that people report for routes.
func (s *Server) crowded(e *endpoint, forRoute bool, now time.Time) *fault {
	u := s.cfg.Unconfirmed
	if forRoute && u.RoutesAreFree || e.underway(now, !u.RoutesAreFree) < concurrent {
		return nil
	}
	code := "ConcurrentMutationLimitExceeded"
	if u.OperationNotPermitted && !forRoute {
		code = "OperationNotPermitted"
	}
	return refuse(code, "Cannot initiate another change for this endpoint at this time. Please try again later.")
}
