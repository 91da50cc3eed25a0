package deploy

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Event is one thing that CloudFormation did to a resource, or to the stack itself.
type Event struct {
	At     time.Time `json:"at"`
	ID     string    `json:"id"` // logical
	Type   string    `json:"type"`
	Status string    `json:"status"`
	Reason string    `json:"reason,omitempty"`

	event, physical string
	whole           bool // of the stack itself
}

// Failed is how an operation ended that did not succeed.
type Failed struct {
	Stack, Region, Status string
	Cause                 *Event  // the first failure that is no consequence of another; nil where the events name none
	Left                  []Event // what could not be deleted
	Hint                  string  // what to do about it, where the cause is a known one
}

// Error has CloudFormation's words of the cause.
func (f *Failed) Error() string {
	text := fmt.Sprintf("%s in %s is %s", f.Stack, f.Region, f.Status)
	if len(f.Left) > 0 {
		text += ": these could not be deleted:"
		for _, e := range f.Left {
			text += fmt.Sprintf("\n  %s (%s) %s: %s", e.ID, e.Type, e.physical, e.Reason)
		}
		return text
	}
	if f.Cause != nil {
		text += fmt.Sprintf(": %s (%s): %s", f.Cause.ID, f.Cause.Type, f.Cause.Reason)
	}
	return text
}

// Kept is a resource that a deleted stack left in the account, as its template says.
type Kept struct{ ID, Type, Physical string }

// events reads the stack's events, the newest first, page by page, until enough says so of one of them; that one is not
// included.
func (d *Driver) events(ctx context.Context, id string, enough func(page []Event) bool) ([]Event, error) {
	var out []Event
	in := &cloudformation.DescribeStackEventsInput{StackName: &id}
	for {
		page, err := d.stacks.DescribeStackEvents(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("events of %s: %w", d.place(), cfnErrors.Translate(err))
		}
		var these []Event
		for _, e := range page.StackEvents {
			these = append(these, Event{At: aws.ToTime(e.Timestamp), ID: aws.ToString(e.LogicalResourceId), Type: aws.ToString(e.ResourceType), Status: string(e.ResourceStatus),
				Reason: aws.ToString(e.ResourceStatusReason), event: aws.ToString(e.EventId), physical: aws.ToString(e.PhysicalResourceId),
				whole: aws.ToString(e.PhysicalResourceId) == aws.ToString(e.StackId)})
		}
		out = append(out, these...)
		if aws.ToString(page.NextToken) == "" || enough(these) {
			return out, nil
		}
		in.NextToken = page.NextToken
	}
}

// lastEvent is the id of the newest event, empty where there is none.
func (d *Driver) lastEvent(ctx context.Context, id string) (string, error) {
	all, err := d.events(ctx, id, func([]Event) bool { return true })
	if err != nil || len(all) == 0 {
		return "", err
	}
	return all[0].event, nil
}

// begins reports whether the event is the first of an operation.
func (e Event) begins() bool {
	switch types.ResourceStatus(e.Status) {
	case types.ResourceStatusCreateInProgress, types.ResourceStatusUpdateInProgress, types.ResourceStatusDeleteInProgress, types.ResourceStatusImportInProgress:
		return e.whole
	}
	return false
}

// since are the events after the one with this id, the oldest first; without an id, those of the last operation.
func (d *Driver) since(ctx context.Context, id, last string) ([]Event, error) {
	end := func(e Event) bool { return e.event == last }
	if last == "" {
		end = Event.begins
	}
	all, err := d.events(ctx, id, func(page []Event) bool { return slices.ContainsFunc(page, end) })
	if err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(all, end); i >= 0 {
		if last == "" {
			i++ // an operation's first event belongs to it
		}
		all = all[:i]
	}
	slices.Reverse(all)
	return all, nil
}

// follow tells the events after the one with the id last, each once, until the operation has ended; without an id, from
// the beginning of the operation that is under way. It returns the stack, or a *Failed if the operation did not succeed.
// Somebody who stops is told so by ErrStopped.
func (d *Driver) follow(ctx context.Context, id, last string) (*Stack, error) {
	var (
		told     = map[string]bool{}
		all      []Event
		began    = time.Now()
		trouble  time.Time // since when AWS cannot be asked
		waited   bool
		silenced bool
	)
	for {
		// The status first: an end that it tells of has its events by then, mostly.
		s, err := d.describe(ctx, id)
		if errors.Is(err, ErrNoStack) { // where a deleted stack is not known by its id either
			s, err = &Stack{Name: d.stack, ID: id, Status: string(types.StackStatusDeleteComplete)}, nil
		}
		var now []Event
		if err == nil && !(s.Status == string(types.StackStatusDeleteComplete) && s.Created.IsZero()) {
			now, err = d.since(ctx, id, last)
		}
		switch {
		case ctx.Err() != nil:
			return nil, fmt.Errorf("%w (%s): %w", ErrStopped, d.place(), ctx.Err())
		case err != nil && !passing(err):
			return nil, fmt.Errorf("nothing can be seen of %s any more, and CloudFormation goes on: %w", d.place(), err)
		case err != nil:
			if trouble.IsZero() {
				trouble = time.Now()
			}
			if time.Since(trouble) > patience {
				return nil, fmt.Errorf("nothing can be seen of %s any more, and CloudFormation goes on: %w", d.place(), err)
			}
			if !silenced {
				d.c.Say(fmt.Sprintf("AWS cannot be asked now, trying again: %v", err))
				silenced = true
			}
		default:
			trouble, silenced = time.Time{}, false
			for _, e := range now {
				if told[e.event] {
					continue
				}
				told[e.event] = true
				all = append(all, e)
				d.c.Tell(e)
			}
			// A stack looks as it did until the order has arrived, so the end is believed when an event tells of one too.
			ended := slices.ContainsFunc(all, func(e Event) bool { return e.whole && !strings.HasSuffix(e.Status, "_IN_PROGRESS") })
			if !s.InProgress() && s.Status != string(types.StackStatusReviewInProgress) && (ended || time.Since(began) > quiet || s.Created.IsZero()) {
				return s, d.verdict(s, all)
			}
			if w := certificateWaits(all); w != "" && !waited {
				waited = true
				d.c.Say(w)
			}
		}
		if err := pause(ctx, d.c.Every); err != nil {
			return nil, fmt.Errorf("%w (%s): %w", ErrStopped, d.place(), err)
		}
	}
}

// passing errors are not the end of looking on.
func passing(err error) bool {
	return errors.Is(err, latch.ErrBusy) || errors.Is(err, latch.ErrUnavailable)
}

func (d *Driver) verdict(s *Stack, all []Event) error {
	if s.Good() {
		return nil
	}
	f := &Failed{Stack: d.stack, Region: d.c.AWS.Region, Status: s.Status, Cause: firstCause(all)}
	if s.Status == string(types.StackStatusDeleteFailed) {
		last := map[string]Event{}
		for _, e := range all {
			last[e.ID] = e
		}
		for _, id := range sorted(last) {
			if e := last[id]; !e.whole && e.Status == string(types.ResourceStatusDeleteFailed) {
				f.Left = append(f.Left, e)
			}
		}
	}
	if f.Cause != nil {
		f.Hint = hintFor(*f.Cause)
	}
	return f
}

var cancelled = regexp.MustCompile(`(?i)^resource (creation|update|deletion) cancelled`)

// firstCause is the oldest failure of a resource that CloudFormation did not merely cancel because of another.
func firstCause(all []Event) *Event {
	for _, e := range all {
		if !e.whole && strings.HasSuffix(e.Status, "_FAILED") && !cancelled.MatchString(e.Reason) {
			return &e
		}
	}
	for _, e := range all { // nothing of a resource's: what CloudFormation itself says
		if e.whole && e.Reason != "" && (strings.HasSuffix(e.Status, "_FAILED") || strings.Contains(e.Status, "ROLLBACK")) {
			return &e
		}
	}
	return nil
}

// hints say what to do about failures that people meet. They go by words that AWS may change; the reason itself is
// always shown.
var hints = []struct {
	kind   string // of the resource; empty: any
	reason *regexp.Regexp
	hint   string
}{
	{"AWS::CertificateManager::Certificate", nil, "the certificate is issued once its record is seen in public DNS: is deploy.hosted_zone the zone that the domain's parent delegates to? " +
		"nightlatch doctor looks; or name a certificate that exists in deploy.certificate"},
	{"AWS::Cognito::UserPoolDomain", regexp.MustCompile(`(?i)already|not available|exists`), "another user pool has this prefix, perhaps in another account: choose another deploy.user_pool.prefix"},
	{"AWS::Cognito::UserPoolIdentityProvider", nil, "Cognito does not take the SAML metadata: give that of the Identity Center application with --saml-metadata"},
	{"AWS::Route53::RecordSet", regexp.MustCompile(`(?i)already exists`), "the domain has a record that somebody else made: delete it in Route 53, or choose another deploy.domain"},
	{"AWS::Lambda::Function", regexp.MustCompile(`UnreservedConcurrentExecution`), "the account has too little concurrency left to reserve any: leave out deploy.reserved_concurrency, or have the account's quota raised"},
	{"AWS::ElasticLoadBalancingV2::ListenerRule", regexp.MustCompile(`(?i)priority`), "the listener has a rule of this priority: choose another deploy.load_balancer.priority, with the next one free too"},
	{"AWS::ElasticLoadBalancingV2::LoadBalancer", regexp.MustCompile(`(?i)access denied for bucket`), "the access logs' bucket does not let Elastic Load Balancing write: " +
		`its policy has to, as "Enable access logs for your Application Load Balancer" says`},
	{"", regexp.MustCompile(`(?i)deletion ?protection|protected from deletion`), "it is protected against deletion: take the protection away, of the load balancer in EC2's console under its attributes, and try again"},
	{"", regexp.MustCompile(`(?i)is not authorized to perform|AccessDenied|UnauthorizedOperation|not authorized`), "whoever deploys needs the permission that AWS names; a permissions boundary or an organization's policy may take it away too"},
	{"", regexp.MustCompile(`(?i)LimitExceeded|quota|limit .*(exceeded|reached)|(exceeded|reached) .*limit`), "a quota of the account is used up: have it raised in Service Quotas, or delete what nobody needs"},
	{"", regexp.MustCompile(`(?i)already exists`), "something of this name is there, perhaps from a deployment that was deleted: delete it, or choose another deploy.stack"},
	{"", regexp.MustCompile(`NoSuchKey|NoSuchBucket`), "the program is not in the bucket: nightlatch deploy apply uploads it anew"},
}

func hintFor(e Event) string {
	for _, h := range hints {
		if (h.kind == "" || h.kind == e.Type) && (h.reason == nil || h.reason.MatchString(e.Reason)) {
			return h.hint
		}
	}
	return ""
}

// certificateSoon is by when a certificate is mostly issued.
const certificateSoon = 5 * time.Minute

// certificateWaits says what a certificate may be waiting for, once it has taken long. CloudFormation waits for hours.
func certificateWaits(all []Event) string {
	var since time.Time
	for _, e := range all {
		if e.Type != "AWS::CertificateManager::Certificate" {
			continue
		}
		switch {
		case e.Status != string(types.ResourceStatusCreateInProgress):
			since = time.Time{}
		case since.IsZero():
			since = e.At
		}
	}
	if since.IsZero() || time.Since(since) < certificateSoon {
		return ""
	}
	return "the certificate is not issued yet: its record is in deploy.hosted_zone, and AWS looks for it in public DNS. Does the domain's parent delegate to that zone's name servers? " +
		"CloudFormation goes on as soon as it is seen"
}

// LastFailure is why the last operation of a stack did not succeed; nil where it did, or is still under way.
func (d *Driver) LastFailure(ctx context.Context, s *Stack) (*Failed, error) {
	if s.InProgress() || s.Good() || s.Status == string(types.StackStatusReviewInProgress) {
		return nil, nil
	}
	all, err := d.since(ctx, s.ID, "")
	if err != nil {
		return nil, err
	}
	f, _ := errors.AsType[*Failed](d.verdict(s, all))
	return f, nil
}

// kept are what is in the account still because the template says so, also of what was replaced long ago.
func (d *Driver) kept(ctx context.Context, id string) ([]Kept, error) {
	all, err := d.events(ctx, id, func([]Event) bool { return false })
	if awserr.Code(err) == "ValidationError" { // a deleted stack that is not known by its id either
		return nil, nil
	}
	var out []Kept
	for _, e := range slices.Backward(all) {
		k := Kept{e.ID, e.Type, e.physical}
		if e.Status == string(types.ResourceStatusDeleteSkipped) && !slices.Contains(out, k) {
			out = append(out, k)
		}
	}
	return out, err
}
