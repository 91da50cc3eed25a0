// Package cloudformation is a stand-in for AWS CloudFormation: an engine that reads a template strictly, resolves its
// functions and has a Provisioner make its resources in the right order, and a server that speaks the Query protocol of API
// version 2010-05-15 with Signature Version 4, with change sets, stacks, events and rollbacks. Without a provisioner it makes
// nothing and only says so. It proves what a client of CloudFormation does and says, and nothing about AWS's resources.
//
//	CreateChangeSet            ExecuteChangeSet
//	───────▶ REVIEW_IN_PROGRESS ───────▶ CREATE_IN_PROGRESS ──▶ CREATE_COMPLETE ──▶ UPDATE_IN_PROGRESS ──▶ UPDATE_COMPLETE
//	                                             │ a failure             ▲                    │ a failure
//	                                             ▼                       └─ CLEANUP ◀─────────┴─▶ UPDATE_ROLLBACK_COMPLETE
//	                                     ROLLBACK_COMPLETE: only DeleteStack helps
//
// Resources take the time that Config says, side by side where they do not need each other. Everything is worked out when
// somebody asks, with the times at which it would have happened: nothing runs in the background.
//
// Sources: the CloudFormation API Reference (actions and data types) and its model for limits and error codes; the User
// Guide for templates ("Template reference", "Understand CloudFormation quotas"), statuses ("Stack status codes") and change
// sets ("Example change sets"); resource type schemas for properties. Error texts are AWS's where people have reported them;
// a client should rely on codes and statuses. What AWS leaves open is a switch in Unconfirmed.
package cloudformation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// The verbs that Config's functions are asked about.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Config says what the stand-in knows and how fast it is. Region, AccountID, Credentials and Log are required. Its functions
// and its provisioner are called while the stand-in is locked, so they must not call it.
type Config struct {
	Region, AccountID string
	// Credentials finds an access key's secret.
	Credentials func(accessKeyID string) (sigv4.Credentials, bool)
	// Provisioner makes the resources; nil makes none and invents their names and attributes.
	Provisioner Provisioner
	// Fetch reads a template at an address in Amazon S3; nil refuses TemplateURL.
	Fetch func(ctx context.Context, url string) ([]byte, error)
	// Takes is how long a verb lasts at a resource, asked when it begins; nil: 5 ms.
	Takes func(logicalID, verb string) time.Duration
	// ChangeSetTakes is from CREATE_PENDING to CREATE_COMPLETE; 0: 5 ms.
	ChangeSetTakes time.Duration
	// Fail makes a verb fail at a resource when its time is over, with the error's text as the reason; nil fails none. The
	// provisioner is then not asked. A replacement is a create and, later, a delete; what takes an update back is an update.
	Fail func(logicalID, verb string) error
	// PageSize is how many events, changes or resources an answer has at most; 0: 100.
	PageSize int

	Unconfirmed Unconfirmed
	Log         *slog.Logger
}

// Unconfirmed holds questions to which AWS's documents give no clear answer. A client should do well under either.
type Unconfirmed struct {
	// QuietAttributes: a resource that uses an attribute of one that changes in place is not among the changes, instead
	// of being one whose evaluation is dynamic, and perhaps a replacement.
	QuietAttributes bool
	// UnusedParameters: a parameter's new value that changes no resource and no output makes a change set without
	// changes that can be executed, instead of one that failed because there were none.
	UnusedParameters bool
	// OutputsAlone: so does a change of outputs alone; off, such a change set is FAILED too.
	OutputsAlone bool
}

// Server is the stand-in. Its methods may be called from several goroutines.
type Server struct {
	cfg  Config // but for Unconfirmed, which mu guards, nothing changes
	auth sigv4.Verifier

	mu     sync.Mutex // guards all below
	stacks []*stack   // deleted ones too, which are known by their id alone
	serial int        // of events and changes of a physical resource
	paused time.Time
}

// New checks c and starts nothing.
func New(c Config) (*Server, error) {
	if c.Region == "" || c.AccountID == "" || c.Credentials == nil || c.Log == nil {
		return nil, errors.New("cloudformation: Region, AccountID, Credentials and Log are required")
	}
	if c.Provisioner == nil {
		c.Provisioner = plain{c.Region, c.AccountID}
	}
	if c.Takes == nil {
		c.Takes = func(string, string) time.Duration { return 5 * time.Millisecond }
	}
	if c.ChangeSetTakes == 0 {
		c.ChangeSetTakes = 5 * time.Millisecond
	}
	if c.PageSize == 0 {
		c.PageSize = 100
	}
	return &Server{cfg: c, auth: sigv4.Verifier{Service: "cloudformation", Region: c.Region, Lookup: c.Credentials}}, nil
}

// Adopt makes known a stack that Deploy has made of a template, as if a change set had made it: for whoever reads its
// outputs and resources.
func (s *Server) Adopt(e Environment, body []byte, parameters map[string]string, d *Deployment) error {
	t, err := Parse(body)
	if err != nil {
		return err
	}
	args, err := t.arguments(parameters)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now().UTC()
	st := &stack{name: e.StackName, id: e.StackID, created: now, current: &revision{template: t, body: string(body), parameters: args}}
	for _, r := range d.order {
		made := &row{logical: r.LogicalID, kind: r.Type, physical: d.Resources[r.LogicalID], exists: true, values: r.Properties.values, token: r.token}
		st.rows = append(st.rows, made)
		s.rowIs(st, made, now, "CREATE_COMPLETE", "")
	}
	for _, key := range slices.Sorted(maps.Keys(d.Outputs)) {
		st.outputs = append(st.outputs, stackOutput{key, d.Outputs[key], ""})
	}
	s.is(st, now, "CREATE_COMPLETE", "")
	s.stacks = append(s.stacks, st)
	return nil
}

// Handler answers the Query protocol at "/".
func (s *Server) Handler() http.Handler { return http.HandlerFunc(s.serve) }

// Switches are the unconfirmed facts.
func (s *Server) Switches() []switches.Switch {
	u := &s.cfg.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "QuietAttributes", "Who uses an attribute of what changes in place is not among the changes.", &u.QuietAttributes),
		switches.Bool(&s.mu, "UnusedParameters", "A parameter that nothing uses can be changed alone.", &u.UnusedParameters),
		switches.Bool(&s.mu, "OutputsAlone", "Outputs can be changed alone.", &u.OutputsAlone),
	}
}

// Pause stops all stacks where they are, until Resume: what is in progress stays so, however often somebody asks.
func (s *Server) Pause() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused.IsZero() {
		s.settle(context.Background(), time.Now().UTC())
		s.paused = time.Now().UTC()
	}
}

// Resume goes on where Pause stopped.
func (s *Server) Resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.paused.IsZero() {
		return
	}
	slept := time.Now().UTC().Sub(s.paused)
	s.paused = time.Time{}
	for _, st := range s.stacks {
		for _, c := range st.sets {
			c.ready = c.ready.Add(slept)
			c.begins = c.begins.Add(slept)
		}
		if st.op != nil {
			st.op.at = st.op.at.Add(slept)
			for _, t := range st.op.tasks {
				t.due = t.due.Add(slept)
			}
		}
	}
}

// settle carries everything on to now. The caller holds s.mu.
func (s *Server) settle(ctx context.Context, now time.Time) {
	if !s.paused.IsZero() {
		return
	}
	for _, st := range s.stacks {
		for _, c := range st.sets {
			c.settle(now)
		}
		if st.op != nil {
			s.carryOn(context.WithoutCancel(ctx), st, now)
		}
	}
}

// revision is one version of a stack: a template with its parameters.
type revision struct {
	template     *Template
	body         string
	parameters   map[string]string
	tags         map[string]string
	capabilities []string
}

// stack is a stack, with all that ever happened to it.
type stack struct {
	name, id                  string
	status, reason            string
	created, updated, deleted time.Time
	current                   *revision // nil until a change set has been executed
	outputs                   []stackOutput
	rows                      []*row // of resources, in the order in which they came
	events                    []event
	sets                      []*changeSet
	ran                       string // the id of the change set that was executed last
	protected                 bool
	onFailure                 string     // DO_NOTHING, ROLLBACK or DELETE
	op                        *operation // nil when nothing is in progress
}

// row is a resource of a stack.
type row struct {
	logical, kind                 string
	physical                      Physical
	exists                        bool
	values                        map[string]any
	tags                          map[string]string
	needs                         []string
	metadata                      any
	deletionPolicy, replacePolicy string
	token                         string
	status, reason                string
	at                            time.Time
}

func (r *row) resource(st *stack) Resource {
	return Resource{r.logical, r.kind, newProperties("/Resources/"+r.logical+"/Properties", r.values), st.name, maps.Clone(r.tags), r.token}
}

func (st *stack) row(logical string) *row {
	i := slices.IndexFunc(st.rows, func(r *row) bool { return r.logical == logical })
	if i < 0 {
		return nil
	}
	return st.rows[i]
}

func (st *stack) live(logical string) *row {
	if r := st.row(logical); r != nil && r.exists {
		return r
	}
	return nil
}

func (st *stack) physical(logical string) (Physical, bool) {
	if r := st.live(logical); r != nil {
		return r.physical, true
	}
	return Physical{}, false
}

// event is one line of a stack's history.
type event struct {
	serial                                   int
	id, logical, physical, kind, status, why string
	at                                       time.Time
}

const stackType = "AWS::CloudFormation::Stack"

func (s *Server) event(st *stack, at time.Time, logical, physical, kind, status, why string) {
	s.serial++
	st.events = append(st.events, event{s.serial, newUUID(), logical, physical, kind, status, why, at})
}

func (s *Server) is(st *stack, at time.Time, status, why string) {
	st.status, st.reason = status, why
	s.event(st, at, st.name, st.id, stackType, status, why)
}

func (s *Server) rowIs(st *stack, r *row, at time.Time, status, why string) {
	r.status, r.reason, r.at = status, why, at
	s.event(st, at, r.logical, r.physical.Ref, r.kind, status, why)
}

func (s *Server) environment(st *stack) Environment {
	return Environment{Region: s.cfg.Region, AccountID: s.cfg.AccountID, StackName: st.name, StackID: st.id}
}

func (s *Server) arn(kind, name string) string {
	return fmt.Sprintf("arn:aws:cloudformation:%s:%s:%s/%s/%s", s.cfg.Region, s.cfg.AccountID, kind, name, newUUID())
}
