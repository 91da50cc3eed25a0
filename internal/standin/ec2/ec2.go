// Package ec2 is a stand-in for the part of Amazon EC2 that keeps Client VPN endpoints: the Query protocol of API
// version 2016-11-15 with Signature Version 4, the calls that open and close an endpoint, and the minutes that AWS
// takes to carry them out. It is not an EC2: an action it does not know is answered with InvalidAction.
//
// An association and what hangs on it:
//
//	Associate            AssociateTakes              RouteTakes
//	────────▶ associating ───────────▶ associated ─────────────▶ the VPC's route is active
//	               │                        │
//	               └─▶ association-failed   │ Disassociate       DisassociateTakes
//	                        └───────────────┴────────▶ disassociating ───────────▶ gone, and its routes with it
//
// The endpoint is available from its first association's associated until its last one is gone, and pending-associate
// otherwise; one at a transit gateway is pending until its attachment is accepted. Every state is computed from stored
// times when somebody looks: nothing runs in the background.
//
// Sources: the EC2 API Reference (actions, data types, "Error codes for the Amazon EC2 API"), its examples for formats,
// and the Client VPN Administrator Guide. What AWS leaves open is a switch in Unconfirmed.
package ec2

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

// Config says what the stand-in knows and how fast it is. AWS takes 4 to 10 minutes to associate and a minute or two
// for a route; zero durations happen at once.
type Config struct {
	Region, AccountID string
	// Credentials finds an access key's secret; required.
	Credentials func(accessKeyID string) (sigv4.Credentials, bool)

	// Authorize is IAM: whether a key may do an action, "ec2:DescribeClientVpnRoutes", to a resource, with the condition
	// keys that EC2 provides about it. An action that needs several resources is asked about for each. The error's text
	// goes to the caller. nil: every key may do everything.
	Authorize func(accessKeyID, action, resource string, context map[string]string) error

	AssociateTakes, DisassociateTakes, RouteTakes time.Duration
	TerminateTakes                                time.Duration // from terminating to terminated

	// Endpoints are the fixtures used when there is no state yet.
	Endpoints []Endpoint
	// Throttle holds callers to the request rates that AWS documents (see throttle.go). It and Unconfirmed can be
	// changed at run time, by Server.Switches.
	Throttle    bool
	Unconfirmed Unconfirmed

	StateFile string
	Log       *slog.Logger
}

// Server is the stand-in. Its methods may be called from several goroutines.
type Server struct {
	cfg  Config // but for Throttle and Unconfirmed, which mu guards, nothing changes
	file *statefile.File
	auth sigv4.Verifier

	mu      sync.Mutex // guards all below
	state   state
	buckets map[string]*bucket
	fail    int // associations still to fail; a mischief of the console, not kept across restarts
}

// New checks c, reads the state file or starts from the fixtures, and starts nothing.
func New(c Config) (*Server, error) {
	if c.Log == nil || c.Credentials == nil || c.Region == "" || c.AccountID == "" {
		return nil, errors.New("ec2: Region, AccountID, Credentials and Log are required")
	}
	s := &Server{
		cfg:  c,
		file: statefile.New(c.StateFile, "ec2"),
		// RequestExpired, in EC2's list of errors, begins at 15 minutes.
		auth:    sigv4.Verifier{Service: "ec2", Region: c.Region, Lookup: c.Credentials, Skew: 15 * time.Minute},
		buckets: map[string]*bucket{},
	}
	found, err := s.file.Load(&s.state)
	if err != nil {
		return nil, fmt.Errorf("ec2: %w", err)
	}
	if found && len(s.state.Endpoints) == 0 && len(c.Endpoints) > 0 {
		return nil, fmt.Errorf("ec2: state file %s holds no endpoint: nothing was changed; move the file away to start afresh", c.StateFile)
	}
	now := time.Now().UTC()
	if !found {
		for _, e := range c.Endpoints {
			made, err := newEndpoint(e, c, now)
			if err != nil {
				return nil, fmt.Errorf("ec2: endpoint %q: %w", e.ID, err)
			}
			s.state.Endpoints = append(s.state.Endpoints, made)
		}
	}
	if err := s.state.complete(c, now); err != nil {
		return nil, fmt.Errorf("ec2: %w", err)
	}
	return s, s.file.Save(s.state)
}

// Handler answers the EC2 Query protocol at "/".
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }
