// Package scheduler is a stand-in for Amazon EventBridge Scheduler: the few operations Nightlatch and its deployment
// call, each whole, over the real protocol (REST JSON, Signature Version 4), and schedules that really fire.
//
// Spoken: CreateScheduleGroup, GetScheduleGroup, DeleteScheduleGroup, CreateSchedule, GetSchedule, UpdateSchedule,
// DeleteSchedule and ListSchedules; at() and rate() expressions; two targets, a Lambda function and EC2's own
// DisassociateClientVpnTargetNetwork. Anything else is refused with ValidationException or UnknownOperationException
// and a message that says so: cron(), flexible windows, keys and tags are not offered.
//
// A schedule waits, fires on the minute grid, and is delivered until the target takes it or the retry policy ends:
//
//	waiting ──due──▶ delivering ──taken, refused or given up──▶ waiting (rate) · completed (at, or past EndDate)
//	                   ▲      │                                                   └─ ActionAfterCompletion: deleted
//	                   └─busy─┘                     given up: a message to the dead-letter queue, if there is one
//
// Sources: "EventBridge Scheduler User Guide" (schedule types, context attributes) and its API Reference.
package scheduler

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

const (
	defaultGroup = "default" // exists in every account and cannot be deleted
	requestBytes = 1 << 20
	maxGroups    = 500 // "Quotas for Amazon EventBridge Scheduler"; that of schedules, ten million, is QuotaReached
)

// Config is what a Server needs. Log and Credentials are required; an empty StateFile keeps everything in memory.
type Config struct {
	Region, AccountID string
	// Credentials finds the secret of an access key that calls the stand-in.
	Credentials func(accessKeyID string) (sigv4.Credentials, bool)
	// Authorize is IAM: whether a key may do an action, "scheduler:CreateSchedule", to a resource. The error's text goes to
	// the caller. nil: every key may do everything.
	Authorize func(accessKeyID, action, resource string, context map[string]string) error
	// EC2URL and LambdaURL are the base URLs that targets are called at.
	EC2URL, LambdaURL string
	// Assume gives the credentials of a role, as its trust policy lets the service scheduler.amazonaws.com have them on
	// behalf of the source, a schedule group. It is asked when a schedule is made or changed and at each delivery. nil: all
	// roles are the one whose credentials Caller is.
	Assume func(roleARN, sourceARN string) (sigv4.Credentials, error)
	Caller sigv4.Credentials
	// DeadLetter takes the message of a delivery that was given up, for the queue that the schedule names. nil: the log
	// has it alone.
	DeadLetter func(ctx context.Context, queueARN string, message DeadLetter) error
	Client     *http.Client // nil: one with its defaults
	// Minute is how long a minute of a schedule lasts: the grid everything fires on, the unit of rate() and, a
	// sixtieth of it, of the retry policy. 0 is 60 s, as at AWS. Times in at() are never scaled.
	Minute time.Duration
	// Groups and Schedules are what a deployment would have made. Groups are made where missing, Schedules anew at
	// every start, since a deployment may have changed them.
	Groups    []string
	Schedules []Schedule
	StateFile string
	// Throttle and QuotaReached are the server's to change once it is made; see Switches and Faults.
	Throttle, QuotaReached bool
	Unconfirmed            Unconfirmed
	Log                    *slog.Logger
}

// Schedule is one of Config.Schedules. An empty Group is the default group, an empty Input the default event, an empty
// DeadLetterARN no queue. Nil retries, and a MaximumEventAge of 0 seconds, are the service's own.
type Schedule struct {
	Group, Name, Expression, TargetARN, RoleARN, Input string
	DeadLetterARN                                      string
	MaximumRetryAttempts                               *int
	MaximumEventAge                                    int // in seconds
}

// Server is the stand-in. Its methods may be called from several goroutines; Run at most once at a time.
type Server struct {
	cfg      Config
	verifier sigv4.Verifier
	file     *statefile.File
	client   *http.Client
	wake     chan struct{} // tells Run that a schedule changed; holds one

	mu        sync.Mutex // guards what follows, every schedule in it, and what Switches and Faults flip in cfg
	groups    map[string]group
	schedules map[string]*schedule // by path()
	deleted   map[string]string    // the paths of deleted schedules, by the tokens of their deletions

	throttled, lost switches.Picker
}

type group struct {
	Created time.Time `json:"created"`
	Token   string    `json:"clientToken,omitempty"`
	Gone    time.Time `json:"gone,omitzero"` // when it, DELETING, is gone with its schedules
}

// schedule is one schedule, as the state file holds it.
type schedule struct {
	Group  string        `json:"group"`
	Name   string        `json:"name"`
	Wish   scheduleInput `json:"wish"` // as asked for, with the defaults filled in; never changed
	Made   time.Time     `json:"made"`
	Edited time.Time     `json:"edited,omitzero"` // by UpdateSchedule, which makes a new one in its place
	Next   time.Time     `json:"next"`            // when it is due, on the grid
	Ended  bool          `json:"ended,omitempty"`
	Gone   time.Time     `json:"gone,omitzero"` // when it, ended, is deleted
	Last   *Outcome      `json:"last,omitempty"`
	timing timing        // Wish's expression, parsed
	stop   func()        // cancels the delivery under way; nil when there is none
}

func path(group, name string) string { return group + "/" + name }

func (sc *schedule) path() string { return path(sc.Group, sc.Name) }

type state struct {
	Groups    map[string]group `json:"groups"`
	Schedules []*schedule      `json:"schedules"`
}

// New loads the state file; a file that is not ours is an error and stays as it is. Nothing fires before Run.
func New(cfg Config) (*Server, error) {
	if cfg.Log == nil || cfg.Credentials == nil {
		return nil, errors.New("scheduler: Config.Log and Config.Credentials are required")
	}
	if cfg.Minute == 0 {
		cfg.Minute = time.Minute
	}
	s := &Server{
		cfg:       cfg,
		verifier:  sigv4.Verifier{Service: "scheduler", Region: cfg.Region, Lookup: cfg.Credentials},
		file:      statefile.New(cfg.StateFile, "scheduler"),
		client:    cfg.Client,
		wake:      make(chan struct{}, 1),
		groups:    map[string]group{},
		schedules: map[string]*schedule{},
		deleted:   map[string]string{},
	}
	if s.client == nil {
		s.client = &http.Client{}
	}
	var saved state
	if _, err := s.file.Load(&saved); err != nil {
		return nil, err
	}
	maps.Copy(s.groups, saved.Groups)
	for _, sc := range saved.Schedules {
		t, err := sc.Wish.timing()
		if err != nil {
			return nil, fmt.Errorf("state file %s: schedule %s: %w", cfg.StateFile, sc.path(), err)
		}
		sc.timing = t
		s.schedules[sc.path()] = sc
	}
	for _, name := range append([]string{defaultGroup}, cfg.Groups...) {
		if _, ok := s.groups[name]; ok {
			continue
		}
		if _, err := s.createGroup(name, groupInput{}); err != nil {
			return nil, fmt.Errorf("scheduler: group %s: %w", name, err)
		}
	}
	for _, f := range cfg.Schedules {
		in := scheduleInput{GroupName: f.Group, ScheduleExpression: f.Expression, FlexibleTimeWindow: &window{Mode: "OFF"},
			Target: &target{Arn: f.TargetARN, RoleArn: f.RoleARN, Input: f.Input, RetryPolicy: &retryPolicy{MaximumRetryAttempts: f.MaximumRetryAttempts}}}
		if f.DeadLetterARN != "" {
			in.Target.DeadLetterConfig = &deadLetterConfig{f.DeadLetterARN}
		}
		if f.MaximumEventAge != 0 {
			in.Target.RetryPolicy.MaximumEventAgeInSeconds = new(f.MaximumEventAge)
		}
		defaults(&in.GroupName, defaultGroup)
		delete(s.schedules, path(in.GroupName, f.Name))
		if _, err := s.createSchedule(f.Name, in); err != nil {
			return nil, fmt.Errorf("scheduler: schedule %s: %w", f.Name, err)
		}
	}
	return s, nil
}

// save writes the state; the caller holds mu. When it does not succeed, undo takes the change back.
func (s *Server) save(undo func()) error {
	if err := s.file.Save(state{s.groups, s.sorted()}); err != nil {
		undo()
		s.cfg.Log.Error("state not saved", "from", "scheduler", "err", err)
		return &apiError{http.StatusInternalServerError, "InternalServerException", "the stand-in could not save its state file"}
	}
	return nil
}

// sorted is all schedules in the order of their paths; the caller holds mu.
func (s *Server) sorted() []*schedule {
	out := make([]*schedule, 0, len(s.schedules))
	for _, key := range slices.Sorted(maps.Keys(s.schedules)) {
		out = append(out, s.schedules[key])
	}
	return out
}

// poke tells Run to look again.
func (s *Server) poke() {
	select {
	case s.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// apiError is an answer that is not the one hoped for.
type apiError struct {
	status       int
	typ, message string
}

func (e *apiError) Error() string { return e.typ + ": " + e.message }

func invalid(format string, args ...any) error {
	return &apiError{http.StatusBadRequest, "ValidationException", fmt.Sprintf(format, args...)}
}

func missing(what, name string) error {
	return &apiError{http.StatusNotFound, "ResourceNotFoundException", fmt.Sprintf("%s %s does not exist.", what, name)}
}

func conflict(what, name string) error {
	return &apiError{http.StatusConflict, "ConflictException", fmt.Sprintf("%s %s already exists.", what, name)}
}

func busy(what, name, doing string) error {
	return &apiError{http.StatusConflict, "ConflictException", fmt.Sprintf("%s %s is being %s.", what, name, doing)}
}

func quota(what string) error {
	return &apiError{http.StatusPaymentRequired, "ServiceQuotaExceededException", "The request exceeds the quota of " + what + "."}
}

// Handler speaks EventBridge Scheduler's protocol on any host.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	// action is what IAM calls it, and parameters are those that the query string may have.
	handle := func(pattern, action string, do func(r *http.Request, body []byte) (any, error), parameters ...string) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.serve(w, r, func(key string, body []byte) (any, error) {
				if err := s.unauthorized(key, action, r, body); err != nil {
					return nil, err
				}
				for name, values := range r.URL.Query() {
					if len(values) != 1 || !slices.Contains(parameters, name) {
						return nil, invalid("the stand-in does not support the query parameter %s, or not more than once", name)
					}
				}
				return do(r, body)
			})
		})
	}
	handle("POST /schedule-groups/{name}", "CreateScheduleGroup", func(r *http.Request, body []byte) (any, error) {
		in, err := decode[groupInput](body)
		if err != nil {
			return nil, err
		}
		return s.createGroup(r.PathValue("name"), in)
	})
	handle("GET /schedule-groups/{name}", "GetScheduleGroup", func(r *http.Request, _ []byte) (any, error) {
		return s.getGroup(r.PathValue("name"))
	})
	handle("DELETE /schedule-groups/{name}", "DeleteScheduleGroup", func(r *http.Request, _ []byte) (any, error) {
		return s.deleteGroup(r.PathValue("name"), r.URL.Query())
	}, "clientToken")
	handle("POST /schedules/{name}", "CreateSchedule", func(r *http.Request, body []byte) (any, error) {
		in, err := decode[scheduleInput](body)
		if err != nil {
			return nil, err
		}
		return s.createSchedule(r.PathValue("name"), in)
	})
	handle("PUT /schedules/{name}", "UpdateSchedule", func(r *http.Request, body []byte) (any, error) {
		in, err := decode[scheduleInput](body)
		if err != nil {
			return nil, err
		}
		return s.updateSchedule(r.PathValue("name"), in)
	})
	handle("GET /schedules/{name}", "GetSchedule", func(r *http.Request, _ []byte) (any, error) {
		return s.getSchedule(r.PathValue("name"), r.URL.Query())
	}, "groupName")
	handle("DELETE /schedules/{name}", "DeleteSchedule", func(r *http.Request, _ []byte) (any, error) {
		return s.deleteSchedule(r.PathValue("name"), r.URL.Query())
	}, "groupName", "clientToken")
	handle("GET /schedules", "ListSchedules", func(r *http.Request, _ []byte) (any, error) {
		return s.listSchedules(r.URL.Query())
	}, "ScheduleGroup", "NamePrefix", "State", "MaxResults", "NextToken")
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.serve(w, r, func(string, []byte) (any, error) {
			return nil, &apiError{http.StatusNotFound, "UnknownOperationException", "the stand-in does not know this operation"}
		})
	})
	return mux
}

// serve checks the signature, lets do answer the key that signed, and writes the answer.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, do func(key string, body []byte) (any, error)) {
	began := time.Now()
	what := r.Method + " " + r.URL.Path
	out, err := func() (any, error) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, requestBytes))
		if err != nil {
			return nil, invalid("the request is cut short or too long")
		}
		key, err := s.verifier.Verify(r, body)
		if err != nil {
			return nil, unsigned(err)
		}
		request := r.Method + " " + r.URL.RequestURI()
		if s.throttles(request, body) {
			return nil, &apiError{http.StatusTooManyRequests, "ThrottlingException", "Rate exceeded"}
		}
		out, err := do(key, body)
		if err == nil && r.Method != http.MethodGet && s.loses(request, body) {
			return nil, &apiError{http.StatusInternalServerError, "InternalServerException", "Unexpected error encountered while processing the request."}
		}
		return out, err
	}()
	status := http.StatusOK
	if err != nil {
		e, ok := errors.AsType[*apiError](err)
		if !ok {
			e = &apiError{http.StatusInternalServerError, "InternalServerException", err.Error()}
		}
		status, out = e.status, map[string]string{"Message": e.message}
		w.Header().Set("X-Amzn-Errortype", e.typ)
		s.cfg.Log.Warn("refused", "to", "scheduler", "what", what, "why", e.Error())
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Requestid", id())
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(out) // the caller is gone; nothing is left to tell it
	s.cfg.Log.Info("hop", "to", "scheduler", "what", what, "status", status, "took", time.Since(began))
}

func (s *Server) throttles(request string, body []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Throttle && s.throttled.Pick(3, request, body)
}

func (s *Server) loses(request string, body []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg.Unconfirmed.AnswersLost && s.lost.Pick(3, request, body)
}

// unsigned spells a refused signature as services with a REST protocol do.
func unsigned(err error) error {
	e, _ := errors.AsType[*sigv4.Error](err)
	typ := map[sigv4.Code]string{
		sigv4.MissingAuthenticationToken: "MissingAuthenticationTokenException",
		sigv4.IncompleteSignature:        "IncompleteSignatureException",
		sigv4.UnrecognizedClient:         "UnrecognizedClientException",
	}[e.Code]
	if typ == "" {
		typ = "InvalidSignatureException"
	}
	return &apiError{http.StatusForbidden, typ, e.Message}
}

// decode reads a body strictly: a member that In does not have, at any depth, is refused.
func decode[In any](body []byte) (in In, err error) {
	var given map[string]json.RawMessage
	if err := json.Unmarshal(body, &given); err != nil {
		return in, &apiError{http.StatusBadRequest, "SerializationException", "the body is not a JSON object"}
	}
	for name := range given { // encoding/json alone would take "target" for "Target"
		if _, ok := reflect.TypeFor[In]().FieldByName(name); !ok {
			return in, invalid("the stand-in does not support the member %s", name)
		}
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		if field, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			return in, invalid("the stand-in does not support the member %s", field)
		}
		return in, &apiError{http.StatusBadRequest, "SerializationException", err.Error()}
	}
	return in, nil
}

type groupInput struct{ ClientToken string }

func (s *Server) createGroup(name string, in groupInput) (any, error) {
	if err := errors.Join(checkName("name", name), checkToken(in.ClientToken)); err != nil {
		return nil, err
	}
	out := map[string]string{"ScheduleGroupArn": s.groupARN(name)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if g, ok := s.groups[name]; ok {
		if in.ClientToken != "" && in.ClientToken == g.Token { // the same request once more
			return out, nil
		}
		return nil, conflict("Schedule group", name)
	}
	if s.cfg.QuotaReached || len(s.groups) >= maxGroups {
		return nil, quota("schedule groups")
	}
	s.groups[name] = group{Created: now(), Token: in.ClientToken}
	return out, s.save(func() { delete(s.groups, name) })
}

func (s *Server) getGroup(name string) (any, error) {
	if err := checkName("name", name); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[name]
	if !ok {
		return nil, missing("Schedule group", name)
	}
	state := "ACTIVE"
	if !g.Gone.IsZero() {
		state = "DELETING"
	}
	return map[string]any{"Arn": s.groupARN(name), "Name": name, "State": state, "CreationDate": epoch(g.Created), "LastModificationDate": epoch(g.Created)}, nil
}

// deleteGroup deletes a group and its schedules, at once unless Unconfirmed.GroupsLinger.
func (s *Server) deleteGroup(name string, q url.Values) (any, error) {
	if err := errors.Join(checkName("name", name), checkToken(q.Get("clientToken"))); err != nil {
		return nil, err
	}
	if name == defaultGroup {
		return nil, invalid("The default schedule group cannot be deleted.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	g, ok := s.groups[name]
	if !ok {
		return nil, missing("Schedule group", name)
	}
	if !g.Gone.IsZero() {
		return nil, busy("Schedule group", name, "deleted")
	}
	before := maps.Clone(s.schedules)
	if s.cfg.Unconfirmed.GroupsLinger {
		s.groups[name] = group{g.Created, g.Token, now().Add(s.cfg.Minute)}
	} else {
		s.dropGroup(name)
	}
	if err := s.save(func() { s.groups[name], s.schedules = g, before }); err != nil {
		return nil, err
	}
	s.stopDropped(before)
	s.poke()
	return struct{}{}, nil
}

// dropGroup takes a group and its schedules away; the caller holds mu, saves, and calls stopDropped.
func (s *Server) dropGroup(name string) {
	delete(s.groups, name)
	maps.DeleteFunc(s.schedules, func(_ string, sc *schedule) bool { return sc.Group == name })
}

// stopDropped ends the deliveries of the schedules that were there before and are no more; the caller holds mu.
func (s *Server) stopDropped(before map[string]*schedule) {
	for key, sc := range before {
		if s.schedules[key] == nil && sc.stop != nil {
			sc.stop()
		}
	}
}

// scheduleInput is CreateSchedule's body. With its defaults filled in, it is also what the state file keeps.
type scheduleInput struct {
	ActionAfterCompletion      string   `json:",omitempty"`
	ClientToken                string   `json:",omitempty"`
	Description                string   `json:",omitempty"`
	EndDate                    *float64 `json:",omitempty"` // seconds since 1970
	FlexibleTimeWindow         *window
	GroupName                  string
	ScheduleExpression         string
	ScheduleExpressionTimezone string
	StartDate                  *float64 `json:",omitempty"`
	State                      string
	Target                     *target
}

type window struct {
	Mode                   string
	MaximumWindowInMinutes *int `json:",omitempty"`
}

type target struct {
	Arn, RoleArn     string
	Input            string            `json:",omitempty"`
	RetryPolicy      *retryPolicy      `json:",omitempty"`
	DeadLetterConfig *deadLetterConfig `json:",omitempty"`
}

// deadLetterConfig names a standard queue; without Arn, which the service does not require, there is none.
type deadLetterConfig struct {
	Arn string `json:",omitempty"`
}

type retryPolicy struct{ MaximumEventAgeInSeconds, MaximumRetryAttempts *int }

// draft is a schedule as CreateSchedule or UpdateSchedule asks for it; it is in no table yet.
func (s *Server) draft(name string, in scheduleInput) (*schedule, error) {
	defaults(&in.GroupName, defaultGroup)
	t, err := s.check(name, &in)
	if err != nil {
		return nil, err
	}
	if _, err := s.assume(in.Target.RoleArn, in.GroupName); err != nil {
		s.cfg.Log.Warn("role not assumed", "from", "scheduler", "role", in.Target.RoleArn, "why", err)
		return nil, invalid("The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
	}
	return &schedule{Group: in.GroupName, Name: name, Wish: in, Made: now(), timing: t}, nil
}

func (s *Server) createSchedule(name string, in scheduleInput) (any, error) {
	sc, err := s.draft(name, in)
	if err != nil {
		return nil, err
	}
	out := map[string]string{"ScheduleArn": s.arn(sc)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(sc.Group); err != nil {
		return nil, err
	}
	if there := s.schedules[sc.path()]; there != nil {
		if sc.repeats(there) {
			return out, nil
		}
		return nil, conflict("Schedule", name)
	}
	if s.cfg.QuotaReached {
		return nil, quota("schedules")
	}
	if err := s.begin(sc); err != nil {
		return nil, err
	}
	s.schedules[sc.path()] = sc
	if err := s.save(func() { delete(s.schedules, sc.path()) }); err != nil {
		return nil, err
	}
	s.poke()
	return out, nil
}

// updateSchedule replaces all of a schedule but its name, its group and its age. A delivery of the old one under way is
// not tried again.
func (s *Server) updateSchedule(name string, in scheduleInput) (any, error) {
	sc, err := s.draft(name, in)
	if err != nil {
		return nil, err
	}
	out := map[string]string{"ScheduleArn": s.arn(sc)}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(sc.Group); err != nil {
		return nil, err
	}
	old, err := s.find(sc.Group, name)
	if err != nil {
		return nil, err
	}
	if sc.repeats(old) {
		return out, nil
	}
	if old.stop != nil && s.cfg.Unconfirmed.BusyWhileFiring {
		return nil, busy("Schedule", name, "delivered")
	}
	if err := s.begin(sc); err != nil {
		return nil, err
	}
	sc.Made, sc.Edited, sc.Last = old.Made, now(), old.Last
	s.schedules[sc.path()] = sc
	if err := s.save(func() { s.schedules[sc.path()] = old }); err != nil {
		return nil, err
	}
	if old.stop != nil {
		old.stop()
	}
	s.poke()
	return out, nil
}

// open wants a group that schedules can be put into; the caller holds mu.
func (s *Server) open(group string) error {
	g, ok := s.groups[group]
	if !ok {
		return missing("Schedule group", group)
	}
	if !g.Gone.IsZero() {
		return busy("Schedule group", group, "deleted")
	}
	return nil
}

// repeats says whether sc is asked for by the same request that made there: same token, same everything.
func (sc *schedule) repeats(there *schedule) bool {
	return sc.Wish.ClientToken != "" && reflect.DeepEqual(there.Wish, sc.Wish)
}

// begin sets when a new schedule is due; the caller holds mu.
func (s *Server) begin(sc *schedule) error {
	now := time.Now()
	sc.Next = s.first(sc, now)
	if sc.timing.every > 0 || sc.timing.at.After(now) {
		return nil
	}
	if s.cfg.Unconfirmed.PastRefused {
		return invalid("The time of the schedule expression %s has passed.", sc.Wish.ScheduleExpression)
	}
	sc.Ended = s.cfg.Unconfirmed.PastNeverFires
	return nil
}

// find looks a schedule up; the caller holds mu.
func (s *Server) find(group, name string) (*schedule, error) {
	defaults(&group, defaultGroup)
	if sc := s.schedules[path(group, name)]; sc != nil {
		return sc, nil
	}
	return nil, missing("Schedule", name)
}

func (s *Server) getSchedule(name string, q url.Values) (any, error) {
	if err := checkKey(name, q); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sc, err := s.find(q.Get("groupName"), name)
	if err != nil {
		return nil, err
	}
	out := map[string]any{
		"Arn": s.arn(sc), "Name": sc.Name, "GroupName": sc.Group, "State": sc.Wish.State, "Target": sc.Wish.Target, "FlexibleTimeWindow": sc.Wish.FlexibleTimeWindow,
		"ScheduleExpression": sc.Wish.ScheduleExpression, "ScheduleExpressionTimezone": sc.Wish.ScheduleExpressionTimezone,
		"ActionAfterCompletion": sc.Wish.ActionAfterCompletion, "CreationDate": epoch(sc.Made), "LastModificationDate": epoch(sc.modified()),
	}
	if sc.Wish.Description != "" {
		out["Description"] = sc.Wish.Description
	}
	if sc.Wish.StartDate != nil {
		out["StartDate"] = sc.Wish.StartDate
	}
	if sc.Wish.EndDate != nil {
		out["EndDate"] = sc.Wish.EndDate
	}
	return out, nil
}

// deleteSchedule also ends a delivery under way: its retries, that is; what the target has taken stays done.
func (s *Server) deleteSchedule(name string, q url.Values) (any, error) {
	token := q.Get("clientToken")
	if err := errors.Join(checkKey(name, q), checkToken(token)); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	sc, err := s.find(q.Get("groupName"), name)
	if err != nil {
		if s.cfg.Unconfirmed.DeletesRemembered && token != "" && s.deleted[token] == path(cmp.Or(q.Get("groupName"), defaultGroup), name) {
			return struct{}{}, nil
		}
		return nil, err
	}
	if sc.stop != nil && s.cfg.Unconfirmed.BusyWhileFiring {
		return nil, busy("Schedule", name, "delivered")
	}
	delete(s.schedules, sc.path())
	if err := s.save(func() { s.schedules[sc.path()] = sc }); err != nil {
		return nil, err
	}
	if sc.stop != nil {
		sc.stop()
	}
	if len(s.deleted) >= deletedMost {
		clear(s.deleted)
	}
	s.deleted[token] = sc.path()
	return struct{}{}, nil
}

const deletedMost = 1000 // tokens of deletions beyond this many are forgotten

// modified is when a schedule was last made what it is.
func (sc *schedule) modified() time.Time {
	if sc.Edited.IsZero() {
		return sc.Made
	}
	return sc.Edited
}

func (s *Server) listSchedules(q url.Values) (any, error) {
	limit := 100
	if q.Has("MaxResults") {
		n, err := strconv.Atoi(q.Get("MaxResults"))
		if err != nil || n < 1 || n > 100 {
			return nil, invalid("1 validation error detected: Value '%s' at 'maxResults' failed to satisfy constraint: Member must be between 1 and 100", q.Get("MaxResults"))
		}
		limit = n
	}
	if state := q.Get("State"); q.Has("State") && state != "ENABLED" && state != "DISABLED" {
		return nil, invalid("1 validation error detected: Value '%s' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED]", state)
	}
	for _, member := range []string{"ScheduleGroup", "NamePrefix"} {
		if q.Has(member) {
			if err := checkName(member, q.Get(member)); err != nil {
				return nil, err
			}
		}
	}
	after, err := base64.RawURLEncoding.DecodeString(q.Get("NextToken"))
	if err != nil {
		return nil, invalid("Invalid NextToken.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.groups[q.Get("ScheduleGroup")]; q.Has("ScheduleGroup") && !ok {
		return nil, missing("Schedule group", q.Get("ScheduleGroup"))
	}
	list := []any{}
	last := ""
	for _, sc := range s.sorted() {
		if q.Has("ScheduleGroup") && sc.Group != q.Get("ScheduleGroup") || q.Has("State") && sc.Wish.State != q.Get("State") ||
			!strings.HasPrefix(sc.Name, q.Get("NamePrefix")) || sc.path() <= string(after) {
			continue
		}
		if len(list) == limit {
			return map[string]any{"Schedules": list, "NextToken": base64.RawURLEncoding.EncodeToString([]byte(last))}, nil
		}
		last = sc.path()
		list = append(list, map[string]any{"Arn": s.arn(sc), "Name": sc.Name, "GroupName": sc.Group, "State": sc.Wish.State,
			"CreationDate": epoch(sc.Made), "LastModificationDate": epoch(sc.modified()), "Target": map[string]string{"Arn": sc.Wish.Target.Arn}})
	}
	return map[string]any{"Schedules": list}, nil
}

var (
	names     = regexp.MustCompile(`^[0-9a-zA-Z-_.]{1,64}$`)
	tokens    = regexp.MustCompile(`^[a-zA-Z0-9-_]{1,64}$`)
	roles     = regexp.MustCompile(`^arn:aws:iam::(\d{12}):role/[\w+=,.@/-]+$`)
	queues    = regexp.MustCompile(`^arn:aws(-[a-z]+)?:sqs:[a-z0-9-]+:\d{12}:[a-zA-Z0-9_-]+$`) // FIFO queues, which end in .fifo, are none
	functions = regexp.MustCompile(`^arn:aws:lambda:([a-z0-9-]+):(\d{12}):function:[a-zA-Z0-9-_]{1,64}(:[a-zA-Z0-9-_]+|:\$LATEST)?$`)
)

const startAgo = 5 * time.Minute

func checkName(member, name string) error {
	if !names.MatchString(name) {
		return invalid("1 validation error detected: Value '%s' at '%s' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[0-9a-zA-Z-_.]+$ and have length between 1 and 64", name, member)
	}
	return nil
}

// checkKey checks what names one schedule.
func checkKey(name string, q url.Values) error {
	if !q.Has("groupName") {
		return checkName("name", name)
	}
	return errors.Join(checkName("name", name), checkName("groupName", q.Get("groupName")))
}

// checkToken checks a ClientToken; an empty one is none.
func checkToken(token string) error {
	if token != "" && !tokens.MatchString(token) {
		return invalid("1 validation error detected: Value '%s' at 'clientToken' failed to satisfy constraint: Member must satisfy regular expression pattern: ^[a-zA-Z0-9-_]+$ and have length between 1 and 64", token)
	}
	return nil
}

// check fills in the defaults of a schedule and refuses what EventBridge Scheduler refuses, and what is not offered.
func (s *Server) check(name string, in *scheduleInput) (timing, error) {
	if err := checkName("name", name); err != nil {
		return timing{}, err
	}
	if err := checkName("groupName", in.GroupName); err != nil {
		return timing{}, err
	}
	defaults(&in.State, "ENABLED")
	defaults(&in.ActionAfterCompletion, "NONE")
	defaults(&in.ScheduleExpressionTimezone, "UTC")
	required := func(member string) error {
		return invalid("1 validation error detected: Value null at '%s' failed to satisfy constraint: Member must not be null", member)
	}
	switch {
	case in.ScheduleExpression == "":
		return timing{}, required("scheduleExpression")
	case in.FlexibleTimeWindow == nil:
		return timing{}, required("flexibleTimeWindow")
	case in.Target == nil:
		return timing{}, required("target")
	case in.Target.Arn == "":
		return timing{}, required("target.arn")
	case in.Target.RoleArn == "":
		return timing{}, required("target.roleArn")
	case in.FlexibleTimeWindow.Mode != "OFF" || in.FlexibleTimeWindow.MaximumWindowInMinutes != nil:
		return timing{}, invalid("the stand-in offers FlexibleTimeWindow with Mode OFF and without a window only")
	case in.State != "ENABLED" && in.State != "DISABLED":
		return timing{}, invalid("1 validation error detected: Value '%s' at 'state' failed to satisfy constraint: Member must satisfy enum value set: [ENABLED, DISABLED]", in.State)
	case in.ActionAfterCompletion != "NONE" && in.ActionAfterCompletion != "DELETE":
		return timing{}, invalid("1 validation error detected: Value '%s' at 'actionAfterCompletion' failed to satisfy constraint: Member must satisfy enum value set: [NONE, DELETE]", in.ActionAfterCompletion)
	case len(in.Description) > 512:
		return timing{}, invalid("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 512")
	}
	if err := checkToken(in.ClientToken); err != nil {
		return timing{}, err
	}
	t, err := in.timing()
	if err != nil {
		return timing{}, err
	}
	start, end := instant(in.StartDate), instant(in.EndDate)
	if t.every > 0 && !start.IsZero() && time.Since(start) > startAgo {
		return timing{}, invalid("The StartDate you specify cannot be earlier than 5 minutes ago.")
	}
	if t.every > 0 && !end.IsZero() && (!end.After(time.Now()) || end.Before(start)) {
		return timing{}, invalid("The EndDate must be in the future and after the StartDate.")
	}
	return t, s.checkTarget(in.Target)
}

func (s *Server) checkTarget(t *target) error {
	if m := roles.FindStringSubmatch(t.RoleArn); m == nil || m[1] != s.cfg.AccountID {
		return invalid("the RoleArn %s is not a role of account %s", t.RoleArn, s.cfg.AccountID)
	}
	if d := t.DeadLetterConfig; d != nil && d.Arn != "" && !queues.MatchString(d.Arn) {
		return invalid("1 validation error detected: Value '%s' at 'target.deadLetterConfig.arn' failed to satisfy constraint: Member must satisfy regular expression pattern: ^arn:aws(-[a-z]+)?:sqs:[a-z0-9\\-]+:\\d{12}:[a-zA-Z0-9\\-_]+$", d.Arn)
	}
	if t.RetryPolicy == nil {
		t.RetryPolicy = &retryPolicy{}
	}
	p := t.RetryPolicy
	if p.MaximumEventAgeInSeconds == nil {
		p.MaximumEventAgeInSeconds = new(86400)
	}
	if p.MaximumRetryAttempts == nil {
		p.MaximumRetryAttempts = new(185)
	}
	if n := *p.MaximumEventAgeInSeconds; n < 60 || n > 86400 {
		return invalid("1 validation error detected: Value '%d' at 'target.retryPolicy.maximumEventAgeInSeconds' failed to satisfy constraint: Member must be between 60 and 86400", n)
	}
	if n := *p.MaximumRetryAttempts; n < 0 || n > 185 {
		return invalid("1 validation error detected: Value '%d' at 'target.retryPolicy.maximumRetryAttempts' failed to satisfy constraint: Member must be between 0 and 185", n)
	}
	if t.Arn == disassociateARN {
		_, err := disassociateInput(t.Input)
		return err
	}
	m := functions.FindStringSubmatch(t.Arn)
	if m == nil {
		return invalid("Provided Arn is not in correct format, or the stand-in does not offer this target: %s", t.Arn)
	}
	if m[1] != s.cfg.Region || m[2] != s.cfg.AccountID {
		return invalid("the function %s is not in Region %s of account %s", t.Arn, s.cfg.Region, s.cfg.AccountID)
	}
	if t.Input != "" && !json.Valid([]byte(t.Input)) {
		return invalid("Target.Input for a Lambda function must be well-formed JSON.")
	}
	return nil
}

func defaults(member *string, value string) {
	if *member == "" {
		*member = value
	}
}

func (s *Server) arn(sc *schedule) string {
	return fmt.Sprintf("arn:aws:scheduler:%s:%s:schedule/%s/%s", s.cfg.Region, s.cfg.AccountID, sc.Group, sc.Name)
}

func (s *Server) groupARN(name string) string {
	return fmt.Sprintf("arn:aws:scheduler:%s:%s:schedule-group/%s", s.cfg.Region, s.cfg.AccountID, name)
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

// epoch is how times travel in REST JSON: seconds since 1970, with a fraction.
func epoch(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func instant(seconds *float64) time.Time {
	if seconds == nil {
		return time.Time{}
	}
	return time.UnixMilli(int64(*seconds * 1000)).UTC()
}

// id is a random UUID.
func id() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // crypto/rand no longer fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Scheduled is one schedule as a person wants to see it.
type Scheduled struct {
	Group      string    `json:"group"`
	Name       string    `json:"name"`
	Expression string    `json:"expression"`
	Timezone   string    `json:"timezone"`
	State      string    `json:"state"`
	Target     string    `json:"target"`
	Input      string    `json:"input,omitempty"`
	Next       time.Time `json:"next,omitzero"` // zero when it fires no more
	Delivering bool      `json:"delivering,omitempty"`
	Last       *Outcome  `json:"last,omitempty"`
}

// Outcome is how the last delivery ended.
type Outcome struct {
	Due      time.Time `json:"due"`
	At       time.Time `json:"at"`
	Attempts int       `json:"attempts"`
	Status   int       `json:"status,omitempty"` // HTTP; 0 when nobody answered
	Error    string    `json:"error,omitempty"`
}

// Snapshot is all schedules, by group and name.
func (s *Server) Snapshot() []Scheduled {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := []Scheduled{}
	for _, sc := range s.sorted() {
		v := Scheduled{Group: sc.Group, Name: sc.Name, Expression: sc.Wish.ScheduleExpression, Timezone: sc.Wish.ScheduleExpressionTimezone, State: sc.Wish.State,
			Target: sc.Wish.Target.Arn, Input: sc.Wish.Target.Input, Delivering: sc.stop != nil}
		if !sc.Ended && sc.Wish.State == "ENABLED" {
			v.Next = sc.Next
		}
		if sc.Last != nil {
			v.Last = new(*sc.Last)
		}
		out = append(out, v)
	}
	return out
}
