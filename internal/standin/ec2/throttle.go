package ec2

import (
	"strings"
	"time"
)

// bucket is a token bucket. EC2 keeps one for each action in each account and Region.
type bucket struct {
	tokens float64
	at     time.Time
}

// limits are an action's bucket size and its refill in tokens a second ("Request throttling for the Amazon EC2 API",
// EC2 Developer Guide): most describes, one small bucket for routes and rules, the rest of what changes something.
func limits(action string) (size, refill float64) {
	switch {
	case strings.HasPrefix(action, "Describe"):
		return 100, 20
	case action == "CreateClientVpnRoute":
		return 5, 2
	}
	return 50, 5
}

// throttled takes a token, or says that there is none. The caller holds s.mu.
func (s *Server) throttled(action string, now time.Time) *fault {
	if !s.cfg.Throttle {
		return nil
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
		return &fault{503, "RequestLimitExceeded", "Request limit exceeded."}
	}
	b.tokens--
	return nil
}
