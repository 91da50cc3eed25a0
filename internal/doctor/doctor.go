// Package doctor says whether everything of a deployment is in place: it looks, from outside with an operator's
// credentials and from inside through the function, and changes nothing. Each check ends ok, as a warning, as a failure, or
// not checked, which is what it is when a permission is missing, AWS does not answer, or an earlier check it stands on
// failed. No check hides another.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/survey"
)

// Result is how a check ended.
type Result string

// The results.
const (
	OK         Result = "ok"
	Warning    Result = "warning"
	Failure    Result = "failure"
	NotChecked Result = "not checked"
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"`
	Result Result `json:"result"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"` // what to do about it
}

// Account is what is looked up; survey.Account has it.
type Account interface {
	Region() string
	Identity(context.Context) (survey.Identity, error)
	Stack(ctx context.Context, name string) (survey.Stack, error)
	Endpoints(ctx context.Context, ids ...string) ([]survey.Endpoint, error)
	Associations(ctx context.Context, endpoint string) ([]survey.Association, error)
	Rules(ctx context.Context, endpoint string) ([]survey.Rule, error)
	Subnets(ctx context.Context, vpc string, ids ...string) ([]survey.Subnet, error)
	Simulate(ctx context.Context, role string, actions, resources []string, conditions map[string]string) ([]survey.Decision, error)
	Invoke(ctx context.Context, function string, event []byte) ([]byte, string, error)
	Function(ctx context.Context, name string) (survey.Function, error)
	Provider(ctx context.Context, pool, name string) (survey.Provider, error)
	Client(ctx context.Context, pool, id string) (survey.Client, error)
	Balancer(ctx context.Context, arn string) (survey.Balancer, error)
	ListenerRules(ctx context.Context, listener string) ([]survey.ListenerRule, error)
	TargetGroup(ctx context.Context, arn string) (survey.TargetGroup, error)
	APIDomain(ctx context.Context, domain string) (survey.APIDomain, error)
	Zone(ctx context.Context, id string) (survey.Zone, error)
	Certificate(ctx context.Context, arn string) (survey.Certificate, error)
	Table(ctx context.Context, name string) (survey.Table, error)
	Schedule(ctx context.Context, group, name string) (survey.Schedule, error)
	Schedules(ctx context.Context, group string) ([]string, error)
	QueueLength(ctx context.Context, queueURL string) (int, error)
	Alarms(ctx context.Context, names []string) ([]survey.Alarm, error)
	Prices(ctx context.Context, service string, attributes map[string]string, usages ...string) (map[string]survey.Price, error)
}

// Resolver is the part of net.Resolver that is asked.
type Resolver interface {
	LookupNS(ctx context.Context, name string) ([]*net.NS, error)
	LookupHost(ctx context.Context, name string) ([]string, error)
}

// Call is what the functions' role must be allowed: each action on each resource. A resource is "*" or an ARN, in which
// ${AWS::Partition}, ${AWS::Region}, ${AWS::AccountId} and ${LogicalId.Arn} stand for what the stack has there.
type Call struct {
	Actions, Resources []string
	Conditions         map[string]string // values of condition keys
}

// Metadata is what an identity provider's SAML metadata says that matters later.
type Metadata struct {
	Until    time.Time // the last of its certificates ends, or the document does; zero: unknown
	Warnings []string
}

// Config is what Run needs.
type Config struct {
	// File is the configuration, or Fault says what is wrong with it.
	File  *config.Config
	Fault error
	// Account is the functions' account in the configuration's Region, or NoAccount says why there is none.
	Account   Account
	NoAccount error
	// Elsewhere is where an endpoint is, with the role that is assumed there; nil: where everything is.
	Elsewhere func(config.Endpoint) (Account, error)
	// Calls are those that the functions make; nil: their permissions are not checked.
	Calls func(*config.Config) []Call
	// Metadata checks an identity provider's metadata; nil: it is not checked.
	Metadata func(raw []byte, now time.Time) (Metadata, error)
	Resolver Resolver
	// Page is asked for the page and for metadata. It follows no redirects.
	Page *http.Client
	// Within bounds each group of lookups; 0: 20 seconds.
	Within time.Duration
}

const (
	within = 20 * time.Second
	// insideWithin is the beat function's time-out with something for the cold start.
	insideWithin = 75 * time.Second
)

// Run makes every check and returns them in a fixed order. It takes as long as the slowest group, at most some two minutes.
func Run(ctx context.Context, c Config) []Check {
	if c.Within == 0 {
		c.Within = within
	}
	x := &examination{Config: c}
	var checks []Check
	first := func(f func(context.Context) []Check) {
		ctx, cancel := context.WithTimeout(ctx, c.Within)
		defer cancel()
		checks = append(checks, f(ctx)...)
	}
	first(x.credentials)
	first(x.configuration)
	first(x.stackChecks)

	var groups []func(context.Context) []Check
	if c.File != nil {
		for _, e := range c.File.Endpoints {
			groups = append(groups, func(ctx context.Context) []Check { return x.endpoint(ctx, e) })
		}
	}
	inside := func(context.Context) []Check { return x.inside(ctx) } // it has a bound of its own
	groups = append(groups, x.functions, x.permissions, inside, x.provider, x.client, x.front, x.zone, x.address, x.certificate, x.page, x.table, x.beat, x.switches, x.deadLetters, x.alarms, x.cost)
	results := make([][]Check, len(groups))
	var all sync.WaitGroup
	for i, g := range groups {
		all.Go(func() {
			bounded, cancel := context.WithTimeout(ctx, c.Within)
			defer cancel()
			results[i] = g(bounded)
		})
	}
	all.Wait()
	for _, r := range results {
		checks = append(checks, r...)
	}
	return checks
}

// Worst is the gravest result among them: a failure, else a warning, else ok.
func Worst(checks []Check) Result {
	for _, r := range []Result{Failure, Warning} {
		if slices.ContainsFunc(checks, func(c Check) bool { return c.Result == r }) {
			return r
		}
	}
	return OK
}

// examination is one run. What the first checks find is written before the others start.
type examination struct {
	Config
	identity survey.Identity
	stack    *survey.Stack // nil: not there, or not to be read
	noStack  string        // why
}

func check(name string, r Result, fix, format string, args ...any) Check {
	return Check{Name: name, Result: r, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

func ok(name, format string, args ...any) Check { return check(name, OK, "", format, args...) }

func notChecked(name, format string, args ...any) Check {
	return check(name, NotChecked, "", format, args...)
}

// unread is the check of something that could not be looked up. What AWS says is not there is a failure; else nothing is
// known of it.
func unread(name, what string, err error, fix string) Check {
	switch {
	case survey.Denied(err):
		return check(name, NotChecked, "allow it to your credentials, or have somebody run this who may", "your credentials may not read %s: %v", what, err)
	case errors.Is(err, latch.ErrNotFound):
		return check(name, Failure, fix, "%s is not there: %v", what, err)
	case errors.Is(err, context.DeadlineExceeded):
		return notChecked(name, "%s: AWS did not answer in time", what)
	}
	return notChecked(name, "%s could not be read: %v", what, err)
}

// needs are the checks of names that cannot be made without account, configuration, or stack; nil: all are there.
func (x *examination) needs(stack bool, names ...string) (out []Check) {
	why := ""
	switch {
	case x.File == nil:
		why = "the configuration has faults"
	case x.Account == nil && x.NoAccount == nil:
		why = "AWS does not say whose the credentials are"
	case x.Account == nil:
		why = "there are no AWS credentials"
	case stack && x.stack == nil:
		why = x.noStack
	}
	if why == "" {
		return nil
	}
	for _, n := range names {
		out = append(out, notChecked(n, "%s", why))
	}
	return out
}

// unknown says why something of the stack's is not known.
func (x *examination) unknown() string {
	if x.stack == nil {
		return x.noStack
	}
	return "the stack does not say which it is"
}

// output is the stack's, or empty.
func (x *examination) output(name string) string {
	if x.stack == nil {
		return ""
	}
	return x.stack.Outputs[name]
}

// resource is the physical id of one of the stack's, or empty.
func (x *examination) resource(logical string) string {
	if x.stack == nil {
		return ""
	}
	return x.stack.Resources[logical]
}

// pending: the identity provider is not known yet, and nobody can sign in.
func (x *examination) pending() bool {
	return x.File.SignInPending || x.output("SignIn") == "pending"
}

func (x *examination) deploy() *config.Deploy { return x.File.Deploy }

const (
	// clockWarn is what people would notice in times that they are shown, clockMost what AWS refuses signatures at
	// ("Signature Version 4", IAM User Guide: five minutes).
	clockWarn = 30 * time.Second
	clockMost = 5 * time.Minute
)

func (x *examination) credentials(ctx context.Context) []Check {
	const name, clock = "credentials", "clock"
	fix := "sign in again (aws sso login), or choose other credentials with AWS_PROFILE"
	if x.Account == nil {
		return []Check{check(name, Failure, fix, "there are none: %v", x.NoAccount), notChecked(clock, "there are no AWS credentials")}
	}
	id, err := x.Account.Identity(ctx)
	if err != nil {
		x.Account = nil
		if errors.Is(err, latch.ErrUnavailable) {
			fix = "look whether this machine reaches AWS, and whether the Region is right"
		}
		return []Check{check(name, Failure, fix, "STS does not say whose they are: %v", err), notChecked(clock, "STS has not answered")}
	}
	x.identity = id
	out := []Check{ok(name, "%s in account %s, Region %s", id.ARN, id.Account, x.Account.Region())}
	ahead := id.Ahead.Abs().Round(time.Second)
	set := "have the clock set by NTP"
	switch {
	case !id.ClockRead:
		out = append(out, notChecked(clock, "AWS's answer has no date"))
	case ahead >= clockMost:
		out = append(out, check(clock, Failure, set, "this machine's is %v off AWS's; AWS refuses what is signed five minutes off, and so do authenticator apps", ahead))
	case ahead >= clockWarn:
		out = append(out, check(clock, Warning, set, "this machine's is %v off AWS's", ahead))
	default:
		out = append(out, ok(clock, "within %v of AWS's", clockWarn))
	}
	return out
}

func (x *examination) configuration(context.Context) []Check {
	const name = "configuration"
	if x.File == nil {
		return []Check{check(name, Failure, "correct it; nightlatch config check says whether it is good", "%s", strings.TrimPrefix(x.Fault.Error(), "the configuration has faults:\n"))}
	}
	c := x.File
	front := "no deploy section"
	if d := c.Deploy; d != nil {
		front = "front " + d.Front + " at " + d.Domain
	}
	return []Check{ok(name, "%s, %s", count(len(c.Endpoints), "endpoint"), front)}
}

// outputs that every stack has.
var outputs = []string{"Url", "TableName", "DeadmanGroup", "DeadmanRoleArn", "FrontFunctionName", "BeatFunctionName", "FunctionRoleArn"}

func (x *examination) stackChecks(ctx context.Context) []Check {
	const name, signIn = "stack", "sign-in"
	if out := x.needs(false, name); out != nil {
		x.noStack = out[0].Detail
		return out
	}
	d := x.deploy()
	if d == nil {
		x.noStack = "the configuration has no deploy section, which says where Nightlatch's pieces are"
		return []Check{notChecked(name, "%s", x.noStack)}
	}
	s, err := x.Account.Stack(ctx, d.Stack)
	if err != nil {
		x.noStack = "the stack could not be read"
		return []Check{unread(name, "stack "+d.Stack, err, "nightlatch deploy apply makes it")}
	}
	if s.Status == "REVIEW_IN_PROGRESS" { // nothing of it is there, and nothing is under way
		x.noStack = "the stack has not been made"
		return []Check{check(name, Failure, "nightlatch deploy apply goes on", "a change set for %s was made and never executed: %s", s.Name, s.Status)}
	}
	x.stack = &s
	var out []Check
	status := s.Status
	if s.Reason != "" {
		status += " (" + s.Reason + ")"
	}
	missing := slices.DeleteFunc(slices.Clone(outputs), func(o string) bool { return s.Outputs[o] != "" })
	again := "nightlatch deploy apply"
	switch {
	case strings.HasSuffix(s.Status, "_IN_PROGRESS"):
		out = append(out, check(name, Warning, "nightlatch deploy status; look again when it is done", "%s is changing: %s", s.Name, status))
	case s.Status == "UPDATE_ROLLBACK_COMPLETE":
		out = append(out, check(name, Warning, again+", and read why the last one was undone", "%s is as it was before an update that failed: %s", s.Name, status))
	case strings.HasSuffix(s.Status, "FAILED") || strings.HasPrefix(s.Status, "ROLLBACK_") || strings.HasPrefix(s.Status, "DELETE_"):
		out = append(out, check(name, Failure, again, "%s is %s", s.Name, status))
	case len(missing) > 0:
		out = append(out, check(name, Failure, again, "%s does not say %s: it is of another version, or another's", s.Name, strings.Join(missing, ", ")))
	default:
		out = append(out, ok(name, "%s is %s", s.Name, s.Status))
	}
	if x.pending() {
		out = append(out, check(signIn, Warning, "enter in Identity Center's console what nightlatch deploy status prints, then nightlatch deploy apply --saml-metadata URL",
			"nobody can sign in: Nightlatch does not know the identity provider yet"))
	}
	return out
}

// arn makes one of this account and Region.
func (x *examination) arn(service, rest string) string {
	return fmt.Sprintf("arn:%s:%s:%s:%s:%s", x.partition(), service, x.File.Region, x.identity.Account, rest)
}

// partition is that of the credentials' ARN: aws, aws-cn, aws-us-gov.
func (x *examination) partition() string {
	if parts := strings.SplitN(x.identity.ARN, ":", 3); len(parts) == 3 && parts[1] != "" {
		return parts[1]
	}
	return "aws"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
