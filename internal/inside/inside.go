// Package inside is what Nightlatch finds out about its own deployment from where it runs: with the function's role, clock
// and network. It changes nothing at AWS, and tells no secret: whoever may invoke the function may read the report.
//
// What only somebody outside can see, such as the load balancer's rules or the role's whole policy, is not its business.
// What it cannot decide it says so, and guesses nothing.
package inside

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Result is how a check ended.
type Result string

// The results.
const (
	OK         Result = "ok"
	Warning    Result = "warning"
	Failure    Result = "failure"
	NotChecked Result = "not checked" // the detail says why
)

// Check is one thing that was looked at.
type Check struct {
	Name   string `json:"name"` // "office: ec2:AssociateClientVpnTargetNetwork"; the same in every report
	Result Result `json:"result"`
	Detail string `json:"detail,omitempty"`
	Fix    string `json:"fix,omitempty"` // what to do; empty when there is nothing to
}

// Report is the answer to the doctor's event.
type Report struct {
	Checks []Check `json:"checks"`
}

// Config is what there is to look at. Each function asks somebody, and must end with its context.
type Config struct {
	// About says what runs: the configuration and the build, in one line.
	About string
	// Skew is how far the clock is ahead of AWS's, by the answers to everything else; false when there were none.
	Skew      func() (time.Duration, bool)
	Endpoints []Endpoint
	// Table has for each of DynamoDB's operations nil when the role may call it.
	Table func(context.Context) map[string]error
	// KeyServer asks the load balancer's key server, Issuer the issuer that people sign in at. Of the two, one is nil; both
	// are while there is no sign-in yet.
	KeyServer, Issuer func(context.Context) error
	// Webhook: people are told by one, and its address is set.
	Webhook bool
}

// Endpoint is one Client VPN endpoint and the ways to it.
type Endpoint struct {
	Name   string
	Group  string                      // of the dead-man's switches
	Assume func(context.Context) error // assumes the endpoint's role; nil where the function's own does everything
	// Calls asks EC2; it has for each of its operations nil when the role may call it, and what could be read.
	Calls  func(context.Context) (latch.Observation, map[string]error)
	Switch func(context.Context) error // looks for a dead-man's switch that is not there
}

// within bounds all of a report. Lambda's callers wait longer than that.
const within = 25 * time.Second

const (
	// skewed is the skew that is told, tooLate the one with which most services take no signature any more ("AWS Signature
	// Version 4 for API requests", IAM User Guide).
	skewed  = time.Minute
	tooLate = 5 * time.Minute
	// maxDetail is the longest detail, in characters.
	maxDetail = 500
	byPolicy  = "let the role do it: nightlatch deploy apply gives the functions' role what it needs; a role of your own needs it in its policy"
)

// Look makes a report. Everything is asked at the same time, and what one check comes to hides no other.
func Look(ctx context.Context, c Config) Report {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	looks := []func() []Check{
		func() []Check { return c.table(ctx) },
		func() []Check { return []Check{c.signIn(ctx)} },
	}
	for _, e := range c.Endpoints {
		looks = append(looks, func() []Check { return e.look(ctx) })
	}
	found := make([][]Check, len(looks))
	var wg sync.WaitGroup
	for i, look := range looks {
		wg.Go(func() { found[i] = look() })
	}
	wg.Wait()
	checks := []Check{{Name: "configuration and build", Result: OK, Detail: c.About}, c.clock()}
	checks = append(append(checks, slices.Concat(found...)...), c.webhook())
	for i := range checks {
		// EC2 adds to a refusal a coded message of a kilobyte and more, of which nobody can read anything.
		if d := []rune(checks[i].Detail); len(d) > maxDetail {
			checks[i].Detail = string(d[:maxDetail]) + "…"
		}
	}
	return Report{checks}
}

func (c Config) clock() Check {
	k := Check{Name: "clock"}
	skew, known := c.Skew()
	switch off := skew.Abs().Round(time.Second); {
	case !known:
		k.Result, k.Detail = NotChecked, "AWS answered nothing that says what time it is"
	case off > tooLate:
		k.Result = Failure
	case off > skewed:
		k.Result = Warning
	default:
		k.Result = OK
	}
	if known {
		way := "ahead of"
		if skew < 0 {
			way = "behind"
		}
		k.Detail = fmt.Sprintf("%v %s AWS's", skew.Abs().Round(time.Second), way)
		if k.Result != OK {
			k.Fix = "set the clock of the machine that this runs on; Lambda's own needs no care, so that this is another machine or a fault of AWS's"
		}
	}
	return k
}

func (c Config) table(ctx context.Context) (checks []Check) {
	answers := c.Table(ctx)
	for _, operation := range slices.Sorted(maps.Keys(answers)) {
		checks = append(checks, permission("table: dynamodb:"+operation, "dynamodb", answers[operation]))
	}
	return checks
}

func (c Config) signIn(ctx context.Context) Check {
	switch {
	case c.KeyServer != nil:
		return reached("sign-in: the load balancer's keys", c.KeyServer(ctx))
	case c.Issuer != nil:
		return reached("sign-in: the issuer", c.Issuer(ctx))
	}
	return Check{"sign-in", NotChecked, "there is no identity provider yet", "finish the deployment: nightlatch deploy apply --saml-metadata"}
}

func reached(name string, err error) Check {
	if err != nil {
		return Check{name, Failure, err.Error(), "nobody can sign in without it: see to its address in the configuration, and that the function reaches the internet (in a VPC: by a NAT gateway)"}
	}
	return Check{Name: name, Result: OK, Detail: "it answers"}
}

func (c Config) webhook() Check {
	if !c.Webhook {
		return Check{Name: "webhook", Result: NotChecked, Detail: "none is configured: nobody is told who has no page open"}
	}
	return Check{Name: "webhook", Result: OK, Detail: "its address is set; nothing was sent to it"}
}

func (e Endpoint) look(ctx context.Context) []Check {
	var (
		wg       sync.WaitGroup
		o        latch.Observation
		answers  map[string]error
		switches error
		checks   []Check
	)
	if e.Assume != nil {
		// First, and alone: without it nothing else is known, and once it is known the others say so.
		checks = append(checks, permission(e.Name+": sts:AssumeRole", "sts", e.Assume(ctx)))
	}
	wg.Go(func() { o, answers = e.Calls(ctx) })
	wg.Go(func() { switches = e.Switch(ctx) })
	wg.Wait()
	checks = append(checks, e.exists(o, answers["DescribeClientVpnEndpoints"]))
	for _, operation := range slices.Sorted(maps.Keys(answers)) {
		err := answers[operation]
		if operation == "DescribeClientVpnEndpoints" && (errors.Is(err, latch.ErrNotFound) || errors.Is(err, latch.ErrNotReady)) {
			err = nil // it may be asked: that the endpoint is not there, or not one of ours, is the check above
		}
		checks = append(checks, permission(e.Name+": ec2:"+operation, "ec2", err))
	}
	armed := permission(e.Name+": scheduler:GetSchedule", "scheduler", switches)
	switch {
	case errors.Is(switches, latch.ErrNotFound):
		armed.Result, armed.Fix = Failure, "without the group no dead-man's switch can be made, and so nothing is opened: make it (aws scheduler create-schedule-group --name "+e.Group+"), or deploy again"
	case armed.Result == OK:
		armed.Detail = "whether switches can be made and deleted is not known before one is"
	}
	return append(checks, armed)
}

// exists judges the endpoint by what DescribeClientVpnEndpoints came to.
func (e Endpoint) exists(o latch.Observation, err error) Check {
	k := Check{Name: e.Name + ": endpoint"}
	switch usable := o.Status == latch.PendingAssociate || o.Status == latch.Available; {
	case errors.Is(err, latch.ErrNotFound):
		k.Result, k.Detail, k.Fix = Failure, err.Error(), "put the id of an endpoint of this Region and account into the configuration"
	case errors.Is(err, latch.ErrNotReady):
		k.Result, k.Detail, k.Fix = Failure, err.Error(), "name an endpoint whose target networks are subnets of a VPC"
	case err != nil:
		k.Result, k.Detail = NotChecked, err.Error()
	case !usable:
		k.Result, k.Detail, k.Fix = Failure, strings.TrimSpace(fmt.Sprintf("AWS reports it as %s %s", o.Status, o.StatusMessage)), "name an endpoint that is not being deleted"
	default:
		k.Result, k.Detail = OK, "AWS reports it as "+string(o.Status)
	}
	return k
}

// denied are the codes of the services that we call for what a caller may not do ("Common errors" of each API Reference).
var denied = []string{"UnauthorizedOperation", "AccessDeniedException", "AccessDenied"}

// permission judges what an operation of the service was answered with.
func permission(name, service string, err error) Check {
	if err == nil {
		return Check{Name: name, Result: OK}
	}
	k := Check{Name: name, Result: NotChecked, Detail: err.Error()}
	fault, _ := errors.AsType[*latch.Fault](err)
	switch {
	case fault == nil:
	case fault.Service != service: // another's answer came first
		k.Detail = "the call could not be made: " + k.Detail
	case service == "sts" && slices.Contains(denied, fault.Code):
		k.Result, k.Fix = Failure, "let the functions' role assume it (sts:AssumeRole), and let the role's trust policy say so, with its external id if it asks for one"
	case slices.Contains(denied, fault.Code):
		k.Result, k.Fix = Failure, byPolicy
	case service == "dynamodb" && fault.Code == "ResourceNotFoundException":
		k.Result, k.Fix = Failure, "there is no such table in the functions' Region and account: see to its name in the configuration, or deploy again"
	}
	return k
}
