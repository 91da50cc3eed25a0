package deploy

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"go.yaml.in/yaml/v3"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
)

var (
	// ErrNoStack: there is no stack of that name.
	ErrNoStack = errors.New("there is no such stack")
	// ErrBusy: CloudFormation is changing the stack.
	ErrBusy = errors.New("the stack is being changed")
	// ErrStopped: nobody looks on any more, and CloudFormation goes on by itself.
	ErrStopped = errors.New("stopped looking; CloudFormation goes on by itself")
	// ErrReplaces: the change would replace what must not be replaced by accident.
	ErrReplaces = errors.New("refused")
	// ErrState: the stack is in a state from which nothing leads on.
	ErrState = errors.New("the stack cannot be changed")
	// ErrParameter: something was told that the configuration has no place for, or not told that it needs.
	ErrParameter = errors.New("not with this configuration")
)

// Config is what a Driver is made of. AWS, Settings and Say are required.
type Config struct {
	AWS      aws.Config // whoever deploys
	Settings *config.Config
	// Say tells a person what is being done, a line at a time.
	Say func(line string)
	// Tell is given each event of the stack once, in its order; nil: nobody looks.
	Tell func(Event)
	// Every is the pause between two looks at a stack that changes; 0: 3 s.
	Every time.Duration
}

// Driver deploys one stack. It keeps nothing between calls: what it needs to know it reads from CloudFormation.
type Driver struct {
	c     Config
	stack string

	stacks    *cloudformation.Client
	objects   *s3.Client
	balancers *elasticloadbalancingv2.Client
	schedules *scheduler.Client
	callers   *sts.Client
}

const (
	lookEvery = 3 * time.Second
	// quiet is how long a stack may look as if an order had not arrived.
	quiet = time.Minute
	// patience is how long AWS may be unreachable while somebody looks on.
	patience = 10 * time.Minute
	// settingUp is how long a change set may take until it is there.
	settingUp = 10 * time.Minute
	// inlineMost is the longest template that is sent as it is, in bytes ("CloudFormation quotas"); templateMost through a bucket.
	inlineMost   = 51_200
	templateMost = 1 << 20
	// tidyWithin bounds what is put in order after somebody has stopped.
	tidyWithin = 30 * time.Second
)

// New checks c and asks AWS nothing.
func New(c Config) (*Driver, error) {
	if c.Settings == nil || c.Say == nil || c.AWS.Credentials == nil {
		return nil, errors.New("deploy: AWS, Settings and Say are required")
	}
	if c.Settings.Deploy == nil {
		return nil, errors.New("the configuration has no deploy section")
	}
	c.AWS.Region = c.Settings.Region
	c.Every = cmp.Or(c.Every, lookEvery)
	if c.Tell == nil {
		c.Tell = func(Event) {}
	}
	return &Driver{c: c, stack: c.Settings.Deploy.Stack,
		stacks:    cloudformation.NewFromConfig(c.AWS, func(o *cloudformation.Options) { o.Retryer = patient() }),
		objects:   s3.NewFromConfig(c.AWS, func(o *s3.Options) { o.Retryer = patient(); o.UsePathStyle = c.AWS.BaseEndpoint != nil }),
		balancers: elasticloadbalancingv2.NewFromConfig(c.AWS),
		schedules: scheduler.NewFromConfig(c.AWS),
		callers:   sts.NewFromConfig(c.AWS),
	}, nil
}

func patient() aws.Retryer {
	return retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = 5, 5*time.Second })
}

var (
	cfnErrors = awserr.Service{Name: "cloudformation", Kinds: map[string]error{"ChangeSetNotFound": latch.ErrNotFound, "OperationInProgressException": latch.ErrConflict}}
	s3Errors  = awserr.Service{Name: "s3", Kinds: map[string]error{"NoSuchBucket": latch.ErrNotFound, "NotFound": latch.ErrNotFound, "NoSuchKey": latch.ErrNotFound}}
	elbErrors = awserr.Service{Name: "elasticloadbalancing", Kinds: map[string]error{"ListenerNotFound": latch.ErrNotFound}}
	stsErrors = awserr.Service{Name: "sts"}
	// scheduler's codes are those that package deadman has too.
	schedulerErrors = awserr.Service{Name: "scheduler", Kinds: map[string]error{"ResourceNotFoundException": latch.ErrNotFound}}
)

// place says which stack is meant, for messages.
func (d *Driver) place() string { return d.stack + " in " + d.c.AWS.Region }

// account is the account that the credentials are of.
func (d *Driver) account(ctx context.Context) (string, error) {
	out, err := d.callers.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("which account this is: %w", stsErrors.Translate(err))
	}
	return aws.ToString(out.Account), nil
}

// Stack is a stack as CloudFormation describes it.
type Stack struct {
	Name, ID, Status, Reason string
	Created, Updated         time.Time // Updated is zero where it never was
	Protected                bool      // against deletion
	Outputs                  map[string]string

	parameters map[string]string
}

// InProgress reports whether CloudFormation is at work on it. A stack that has only ever had change sets is at rest.
func (s *Stack) InProgress() bool {
	return strings.HasSuffix(s.Status, "_IN_PROGRESS") && s.Status != string(types.StackStatusReviewInProgress)
}

// Good reports whether the last operation ended as it should.
func (s *Stack) Good() bool {
	return strings.HasSuffix(s.Status, "_COMPLETE") && !strings.Contains(s.Status, "ROLLBACK")
}

// SignIn is "pending" until there is an identity provider, then "ready"; empty where the stack does not say.
func (s *Stack) SignIn() string { return s.Outputs[OutputSignIn] }

// Stack describes the stack. ErrNoStack when there is none.
func (d *Driver) Stack(ctx context.Context) (*Stack, error) { return d.describe(ctx, d.stack) }

// describe finds a stack by its name, or by its id, which finds deleted ones too.
func (d *Driver) describe(ctx context.Context, name string) (*Stack, error) {
	out, err := d.stacks.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	// CloudFormation has no code of its own for this: ValidationError is every mistake's.
	if awserr.Code(err) == "ValidationError" && strings.Contains(err.Error(), "does not exist") || err == nil && len(out.Stacks) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoStack, d.place())
	}
	if err != nil {
		return nil, fmt.Errorf("stack %s: %w", d.place(), cfnErrors.Translate(err))
	}
	x := out.Stacks[0]
	s := &Stack{Name: aws.ToString(x.StackName), ID: aws.ToString(x.StackId), Status: string(x.StackStatus), Reason: aws.ToString(x.StackStatusReason), Created: aws.ToTime(x.CreationTime),
		Updated: aws.ToTime(x.LastUpdatedTime), Protected: aws.ToBool(x.EnableTerminationProtection), Outputs: map[string]string{}, parameters: map[string]string{}}
	for _, o := range x.Outputs {
		s.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	for _, p := range x.Parameters {
		s.parameters[aws.ToString(p.ParameterKey)] = aws.ToString(p.ParameterValue)
	}
	return s, nil
}

// Outputs reads what a deployed stack says of itself. The error says which stack was asked for, and where.
func Outputs(ctx context.Context, cfg aws.Config, settings *config.Config) (map[string]string, error) {
	d, err := New(Config{AWS: cfg, Settings: settings, Say: func(string) {}})
	if err != nil {
		return nil, err
	}
	s, err := d.Stack(ctx)
	if err != nil {
		return nil, err
	}
	if s.Outputs[OutputTableName] == "" {
		return nil, fmt.Errorf("%w: stack %s is %s and has no outputs", ErrState, d.place(), s.Status)
	}
	return s.Outputs, nil
}

// Wishes are what a deployment is told beside the configuration. What is empty stays as the stack has it.
type Wishes struct {
	SAML         SAML
	WebhookURL   secret.String
	ClientSecret secret.String
}

// Change is what a change set does to one resource.
type Change struct {
	Action   string   `json:"action"` // Add, Modify, Remove, Import or Dynamic, CloudFormation's words
	ID       string   `json:"id"`
	Type     string   `json:"type"`
	Physical string   `json:"physicalId,omitempty"`
	Replaces string   `json:"replacement,omitempty"` // True, Conditional or nothing
	Why      []string `json:"because,omitempty"`     // what of it changes
	Keeps    bool     `json:"retained,omitempty"`    // what is replaced or removed stays in the account
	Cost     string   `json:"cost,omitempty"`        // what replacing or removing it would cost, where that is much
}

// Changes are a change set's. None: the stack is as the configuration wants it.
type Changes struct {
	Stack   string   `json:"stack"`
	Region  string   `json:"region"`
	Create  bool     `json:"create"` // the stack is made
	Changes []Change `json:"changes"`

	id, stackID string
	review      bool // the stack is there for the change set alone
	upload      bool
}

// Costly are the changes that replace or remove what must not be by accident.
func (c *Changes) Costly() []Change {
	var out []Change
	for _, x := range c.Changes {
		if x.Cost != "" {
			out = append(out, x)
		}
	}
	return out
}

// costs says what replacing or removing a resource costs.
var costs = map[string]string{
	"UserPool":       "it gets another id: the ACS URL's audience in Identity Center must be entered anew, and nobody can sign in until then",
	"UserPoolDomain": "a user pool keeps its domain: this is refused; put deploy.user_pool.prefix back as it was",
	"UserPoolClient": "everybody is signed out, and has to sign in anew",
	"Table":          "the audit, people's leases and the routes that were learned are in the old one; endpoints that are open are adopted as opened by hand",
	"LoadBalancer":   "it gets another address: the page is not reached until DNS has followed, and everybody has to sign in anew",
	"ScheduleGroup":  "the dead-man's switches in it go with it: an endpoint that is open now is not closed by them any more",
	"DeadmanRole":    "the dead-man's switches that are armed act as the old one, and would not fire",
}

// Plan makes a change set, reads it and deletes it again; it uploads nothing, unless the template is too long to be sent
// without. A stack that only the change set made is deleted too.
func (d *Driver) Plan(ctx context.Context, p *Program, w Wishes) (*Changes, error) {
	s, err := d.at(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case s != nil && s.InProgress():
		return nil, fmt.Errorf("%w: %s is %s", ErrBusy, d.place(), s.Status)
	case s != nil && s.Status == string(types.StackStatusRollbackComplete):
		return nil, fmt.Errorf("%w: the first creation of %s failed and was rolled back; nightlatch deploy apply deletes what is left and begins anew", ErrState, d.place())
	}
	ch, err := d.propose(ctx, s, p, w)
	if ch != nil {
		err = errors.Join(err, d.discard(ctx, ch))
	}
	return ch, err
}

// at is the stack as it is, nil where there is none.
func (d *Driver) at(ctx context.Context) (*Stack, error) {
	s, err := d.Stack(ctx)
	if errors.Is(err, ErrNoStack) {
		return nil, nil
	}
	return s, err
}

// templateFile is a template as far as the driver has to know it.
type templateFile struct {
	Parameters map[string]struct {
		Default *string `yaml:"Default"`
	} `yaml:"Parameters"`
	Resources map[string]struct {
		Type string `yaml:"Type"`
	} `yaml:"Resources"`
}

// propose makes a change set and waits until CloudFormation has worked out what it changes. With an error there is none,
// unless it is returned too.
func (d *Driver) propose(ctx context.Context, s *Stack, p *Program, w Wishes) (*Changes, error) {
	if s != nil {
		if err := d.changeable(s); err != nil {
			return nil, err
		}
	}
	body, err := Render(d.c.Settings)
	if err != nil {
		return nil, err
	}
	var t templateFile
	if err := yaml.Unmarshal(body, &t); err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	if len(body) > templateMost {
		return nil, fmt.Errorf("the template has %d bytes, and CloudFormation takes %d", len(body), templateMost)
	}
	bucket, err := d.bucket(ctx)
	if err != nil {
		return nil, err
	}
	parameters, err := d.parameters(ctx, s, t, bucket.name, p, w)
	if err != nil {
		return nil, err
	}
	ch := &Changes{Stack: d.stack, Region: d.c.AWS.Region, Create: s == nil || s.Status == string(types.StackStatusReviewInProgress), Changes: []Change{}}
	in := &cloudformation.CreateChangeSetInput{StackName: &d.stack, ChangeSetName: new("nightlatch-" + strings.ToLower(rand.Text())), ChangeSetType: types.ChangeSetTypeUpdate,
		Description: new("by nightlatch deploy"), Parameters: parameters, Capabilities: []types.Capability{types.CapabilityCapabilityIam}, ClientToken: new(rand.Text())}
	if ch.Create {
		in.ChangeSetType = types.ChangeSetTypeCreate
	}
	for _, k := range sorted(d.c.Settings.Deploy.Tags) {
		in.Tags = append(in.Tags, types.Tag{Key: &k, Value: new(d.c.Settings.Deploy.Tags[k])})
	}
	if len(body) <= inlineMost {
		in.TemplateBody = new(string(body))
	} else {
		d.c.Say(fmt.Sprintf("the template has %d bytes, more than can be sent directly: it goes through the bucket %s", len(body), bucket.name))
		if in.TemplateURL, err = d.putTemplate(ctx, bucket, body); err != nil {
			return nil, err
		}
	}
	made, err := d.stacks.CreateChangeSet(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("change set for %s: %w", d.place(), cfnErrors.Translate(err))
	}
	ch.id, ch.stackID, ch.review = aws.ToString(made.Id), aws.ToString(made.StackId), ch.Create
	if err := d.read(ctx, ch); err != nil {
		return nil, errors.Join(err, d.discard(ctx, ch))
	}
	return ch, nil
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// changeable says why a stack at rest cannot be changed, and what leads on.
func (d *Driver) changeable(s *Stack) error {
	switch types.StackStatus(s.Status) {
	case types.StackStatusUpdateRollbackFailed:
		return fmt.Errorf("%w: %s is %s: an update failed, and so did taking it back: %s. CloudFormation's events name the resource; repair that, then: "+
			"aws cloudformation continue-update-rollback --stack-name %s --region %s, and apply again", ErrState, d.place(), s.Status, s.Reason, d.stack, d.c.AWS.Region)
	case types.StackStatusCreateFailed, types.StackStatusRollbackFailed, types.StackStatusDeleteFailed:
		return fmt.Errorf("%w: %s is %s: %s. Such a stack can only be deleted: nightlatch deploy destroy", ErrState, d.place(), s.Status, s.Reason)
	}
	return nil
}

// parameters are the template's. What a person must tell each time would be forgotten, so what is not told now stays as it
// was; what the configuration says is as it says.
func (d *Driver) parameters(ctx context.Context, s *Stack, t templateFile, bucket string, p *Program, w Wishes) ([]types.Parameter, error) {
	settings := d.c.Settings
	value := map[string]string{
		ParameterCodeBucket: bucket, ParameterCodeKey: p.Key(), ParameterPermissionsBoundary: settings.Deploy.PermissionsBoundary, ParameterRolePath: settings.Deploy.RolePath,
		ParameterAlarmTopic: settings.Deploy.AlarmTopic, ParameterReservedConcurrency: "",
	}
	if n := settings.Deploy.ReservedConcurrency; n > 0 {
		value[ParameterReservedConcurrency] = fmt.Sprint(n)
	}
	declared := func(name string) bool { _, ok := t.Parameters[name]; return ok }
	if w.SAML.URL != "" || len(w.SAML.Parts) > 0 {
		if !declared(ParameterSAMLMetadataURL) {
			return nil, fmt.Errorf("%w: --saml-metadata is for a user pool that the stack makes; here people sign in elsewhere (deploy.user_pool.id, or signin.oidc.issuer)", ErrParameter)
		}
		value[ParameterSAMLMetadataURL] = w.SAML.URL
		for i := range MetadataPieces {
			value[metadataPiece(i)] = ""
			if i < len(w.SAML.Parts) {
				value[metadataPiece(i)] = w.SAML.Parts[i]
			}
		}
	}
	for name, wish := range map[string]struct {
		text     secret.String
		variable string
		section  string
	}{
		ParameterWebhookURL:       {w.WebhookURL, "NIGHTLATCH_WEBHOOK_URL", "notify"},
		ParameterOIDCClientSecret: {w.ClientSecret, "NIGHTLATCH_OIDC_CLIENT_SECRET", "signin.oidc.issuer"},
	} {
		if wish.text.Empty() {
			continue
		}
		if !declared(name) {
			return nil, fmt.Errorf("%w: %s is set, and the configuration has no %s: add it, or unset the variable", ErrParameter, wish.variable, wish.section)
		}
		value[name] = wish.text.Reveal()
	}
	if declared(ParameterLoadBalancerDNSName) {
		dns, zone, err := d.loadBalancer(ctx, settings.Deploy.LoadBalancer.Listener)
		if err != nil {
			return nil, err
		}
		value[ParameterLoadBalancerDNSName], value[ParameterLoadBalancerZoneID] = dns, zone
	}
	var out []types.Parameter
	for _, name := range sorted(t.Parameters) {
		text, told := value[name]
		had := false
		if s != nil && s.Status != string(types.StackStatusReviewInProgress) {
			_, had = s.parameters[name]
		}
		switch {
		case told:
			out = append(out, types.Parameter{ParameterKey: &name, ParameterValue: &text})
		case had:
			out = append(out, types.Parameter{ParameterKey: &name, UsePreviousValue: new(true)})
		case t.Parameters[name].Default == nil:
			if name == ParameterWebhookURL {
				return nil, fmt.Errorf("%w: the configuration has notify: put the webhook's address into NIGHTLATCH_WEBHOOK_URL", ErrParameter)
			}
			return nil, fmt.Errorf("the template has a parameter %s that nobody knows", name)
		}
	}
	for _, name := range []string{ParameterCodeBucket, ParameterCodeKey} {
		if !declared(name) {
			return nil, fmt.Errorf("the template has no parameter %s", name)
		}
	}
	return out, nil
}

// metadataPiece is the parameter of the i-th piece, from 0.
func metadataPiece(i int) string { return fmt.Sprint(ParameterSAMLMetadata, i+1) }

// Protected reports whether the stack's own load balancer is protected against deletion at AWS, whatever the file says. What
// cannot be seen is not reported: CloudFormation says it then.
func (d *Driver) Protected(ctx context.Context, s *Stack) bool {
	arn := s.Outputs[OutputLoadBalancerARN]
	if arn == "" || d.c.Settings.Deploy.LoadBalancer.Listener != "" {
		return false
	}
	got, err := d.balancers.DescribeLoadBalancerAttributes(ctx, &elasticloadbalancingv2.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &arn},
		func(o *elasticloadbalancingv2.Options) { o.RetryMaxAttempts = 1 })
	if err != nil {
		return false
	}
	return slices.ContainsFunc(got.Attributes, func(a elbtypes.LoadBalancerAttribute) bool {
		return aws.ToString(a.Key) == "deletion_protection.enabled" && aws.ToString(a.Value) == "true"
	})
}

// loadBalancer looks up what an alias to the load balancer of a listener is made of.
func (d *Driver) loadBalancer(ctx context.Context, listener string) (dns, zone string, err error) {
	l, err := d.balancers.DescribeListeners(ctx, &elasticloadbalancingv2.DescribeListenersInput{ListenerArns: []string{listener}})
	if err == nil && len(l.Listeners) != 1 {
		err = errors.New("it is not there")
	}
	if err != nil {
		return "", "", fmt.Errorf("deploy.load_balancer.listener: %w", elbErrors.Translate(err))
	}
	if p := l.Listeners[0].Protocol; p != "HTTPS" {
		return "", "", fmt.Errorf("deploy.load_balancer.listener: its protocol is %s, and a listener that signs people in is HTTPS", p)
	}
	b, err := d.balancers.DescribeLoadBalancers(ctx, &elasticloadbalancingv2.DescribeLoadBalancersInput{LoadBalancerArns: []string{aws.ToString(l.Listeners[0].LoadBalancerArn)}})
	if err == nil && len(b.LoadBalancers) != 1 {
		err = errors.New("its load balancer is not there")
	}
	if err != nil {
		return "", "", fmt.Errorf("deploy.load_balancer.listener: %w", elbErrors.Translate(err))
	}
	return aws.ToString(b.LoadBalancers[0].DNSName), aws.ToString(b.LoadBalancers[0].CanonicalHostedZoneId), nil
}

// read waits for a change set and reads it. What CloudFormation calls a failure may be that there is nothing to change,
// which it says in words only; the SDK's waiter does not tell the two apart.
func (d *Driver) read(ctx context.Context, ch *Changes) error {
	began := time.Now()
	for {
		out, err := d.stacks.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &ch.id, StackName: &ch.stackID})
		if err != nil {
			return fmt.Errorf("change set for %s: %w", d.place(), cfnErrors.Translate(err))
		}
		switch out.Status {
		case types.ChangeSetStatusFailed:
			reason := aws.ToString(out.StatusReason)
			if strings.Contains(reason, "didn't contain changes") || strings.Contains(reason, "No updates are to be performed") {
				return nil
			}
			return fmt.Errorf("CloudFormation cannot work out the change of %s: %s", d.place(), reason)
		case types.ChangeSetStatusCreateComplete:
			for {
				for _, x := range out.Changes {
					if x.ResourceChange != nil {
						ch.Changes = append(ch.Changes, change(x.ResourceChange))
					}
				}
				if aws.ToString(out.NextToken) == "" {
					// Nothing but outputs or tags may have changed: then there is something to do, and no resource of it.
					ch.upload = true
					return nil
				}
				out, err = d.stacks.DescribeChangeSet(ctx, &cloudformation.DescribeChangeSetInput{ChangeSetName: &ch.id, StackName: &ch.stackID, NextToken: out.NextToken})
				if err != nil {
					return fmt.Errorf("change set for %s: %w", d.place(), cfnErrors.Translate(err))
				}
			}
		}
		if time.Since(began) > settingUp {
			return fmt.Errorf("change set for %s: it is %s for %v", d.place(), out.Status, settingUp)
		}
		if err := pause(ctx, min(d.c.Every, time.Second)); err != nil {
			return err
		}
	}
}

// Nothing reports whether there is nothing to do at all.
func (c *Changes) Nothing() bool { return !c.upload }

func change(x *types.ResourceChange) Change {
	out := Change{Action: string(x.Action), ID: aws.ToString(x.LogicalResourceId), Type: aws.ToString(x.ResourceType), Physical: aws.ToString(x.PhysicalResourceId)}
	if x.Replacement != types.ReplacementFalse {
		out.Replaces = string(x.Replacement)
	}
	out.Keeps = strings.HasSuffix(string(x.PolicyAction), "Retain")
	for _, d := range x.Details {
		if d.Target == nil {
			continue
		}
		why := string(d.Target.Attribute)
		if n := aws.ToString(d.Target.Name); n != "" {
			why = n
		}
		if !slices.Contains(out.Why, why) {
			out.Why = append(out.Why, why)
		}
	}
	if out.Replaces != "" || x.Action == types.ChangeActionRemove {
		out.Cost = costs[out.ID]
	}
	return out
}

func pause(ctx context.Context, length time.Duration) error {
	t := time.NewTimer(length)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// discard deletes a change set, and the stack that was made for it alone if no other change set is there. It does so
// also for somebody who has stopped.
func (d *Driver) discard(ctx context.Context, ch *Changes) error {
	if ch.id == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tidyWithin)
	defer cancel()
	_, err := d.stacks.DeleteChangeSet(ctx, &cloudformation.DeleteChangeSetInput{ChangeSetName: &ch.id, StackName: &ch.stackID})
	if err != nil {
		return fmt.Errorf("a change set is left behind, which does no harm: %w", cfnErrors.Translate(err))
	}
	if !ch.review {
		return nil
	}
	others, err := d.stacks.ListChangeSets(ctx, &cloudformation.ListChangeSetsInput{StackName: &ch.stackID})
	if err == nil && slices.ContainsFunc(others.Summaries, func(s types.ChangeSetSummary) bool { return aws.ToString(s.ChangeSetId) != ch.id }) {
		return nil // somebody else's
	}
	if err == nil {
		_, err = d.stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &ch.stackID})
	}
	if err != nil {
		return fmt.Errorf("an empty stack is left behind, in which the next apply goes on: %w", cfnErrors.Translate(err))
	}
	return nil
}

// Order is what Apply is to do. Program, Show and Agree are required.
type Order struct {
	Program *Program
	Wishes  Wishes
	Replace bool // also what must not be replaced or removed by accident
	// Show is given the changes before anything is done; Agree returns why they are not to be made, nil if they are.
	Show  func(*Changes)
	Agree func() error
}

// Apply brings the stack to where the configuration wants it, and returns when it is there. It may be called again at any
// time: what CloudFormation is doing is followed first, and what is there is no change. What it returns as an error: a
// *Failed for an operation that did not succeed, ErrReplaces, ErrState, ErrParameter, ErrStopped, Agree's own, and AWS's.
func (d *Driver) Apply(ctx context.Context, o Order) (*Stack, error) {
	for {
		s, err := d.at(ctx)
		if err != nil {
			return nil, err
		}
		if s != nil && s.InProgress() {
			d.c.Say(fmt.Sprintf("CloudFormation is at work on %s already (%s): following that first", d.place(), s.Status))
			if _, err := d.follow(ctx, s.ID, ""); err != nil {
				return nil, err
			}
			continue
		}
		if s != nil && s.Status == string(types.StackStatusRollbackComplete) {
			d.c.Say(fmt.Sprintf("the first creation of %s failed and was rolled back: such a stack can only be deleted, and holds nothing; deleting it", d.place()))
			if err := d.delete(ctx, s); err != nil {
				return nil, err
			}
			continue
		}
		return d.apply(ctx, s, o)
	}
}

func (d *Driver) apply(ctx context.Context, s *Stack, o Order) (*Stack, error) {
	ch, err := d.propose(ctx, s, o.Program, o.Wishes)
	if err != nil {
		return nil, err
	}
	o.Show(ch)
	if ch.Nothing() {
		if err := d.discard(ctx, ch); err != nil {
			d.c.Say(err.Error())
		}
		return d.finished(ctx, s)
	}
	err = nil
	if costly := ch.Costly(); len(costly) > 0 && !o.Replace {
		var ids []string
		for _, c := range costly {
			ids = append(ids, c.ID)
		}
		err = fmt.Errorf("%w: it would replace or remove %s", ErrReplaces, strings.Join(ids, ", "))
	}
	// The pool has one prefix domain, and CloudFormation makes the new one before it deletes the old.
	if slices.ContainsFunc(ch.Changes, func(c Change) bool { return c.ID == "UserPoolDomain" && c.Replaces != "" }) {
		err = fmt.Errorf("%w: a user pool keeps its domain: put deploy.user_pool.prefix back as it was", ErrState)
	}
	if err == nil {
		err = o.Agree()
	}
	if err == nil {
		err = d.upload(ctx, o.Program)
	}
	last := ""
	if err == nil {
		last, err = d.lastEvent(ctx, ch.stackID)
	}
	if err != nil {
		return nil, errors.Join(err, d.discard(ctx, ch))
	}
	_, err = d.stacks.ExecuteChangeSet(ctx, &cloudformation.ExecuteChangeSetInput{ChangeSetName: &ch.id, StackName: &ch.stackID, ClientRequestToken: new(rand.Text())})
	if err != nil {
		return nil, fmt.Errorf("change of %s: %w", d.place(), cfnErrors.Translate(err))
	}
	s, err = d.follow(ctx, ch.stackID, last)
	if err != nil {
		return nil, err
	}
	return d.finished(ctx, s)
}

// finished protects a stack against deletion by any other means than ours.
func (d *Driver) finished(ctx context.Context, s *Stack) (*Stack, error) {
	if s == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoStack, d.place())
	}
	if !s.Protected {
		if err := d.protect(ctx, s.ID, true); err != nil {
			return s, err
		}
		s.Protected = true
	}
	return s, nil
}

func (d *Driver) protect(ctx context.Context, id string, on bool) error {
	_, err := d.stacks.UpdateTerminationProtection(ctx, &cloudformation.UpdateTerminationProtectionInput{StackName: &id, EnableTerminationProtection: &on})
	if err != nil {
		return fmt.Errorf("termination protection of %s: %w", d.place(), cfnErrors.Translate(err))
	}
	return nil
}

// Destroy deletes the stack, whatever protects it, and returns what of it stays in the account. It asks nobody, and knows
// nothing of endpoints that are open.
func (d *Driver) Destroy(ctx context.Context) ([]Kept, error) {
	s, err := d.Stack(ctx)
	if err != nil {
		return nil, err
	}
	if s.InProgress() {
		d.c.Say(fmt.Sprintf("CloudFormation is at work on %s already (%s): following that first", d.place(), s.Status))
		_, err := d.follow(ctx, s.ID, "")
		if failed, ok := errors.AsType[*Failed](err); err != nil && (!ok || failed.Status == string(types.StackStatusDeleteFailed)) {
			return nil, err
		}
		if s, err = d.describe(ctx, s.ID); err != nil {
			return nil, err
		}
	}
	if s.Status != string(types.StackStatusDeleteComplete) {
		if s.Protected {
			if err := d.protect(ctx, s.ID, false); err != nil {
				return nil, err
			}
		}
		if err := d.delete(ctx, s); err != nil {
			return nil, err
		}
	}
	return d.kept(ctx, s.ID)
}

func (d *Driver) delete(ctx context.Context, s *Stack) error {
	last, err := d.lastEvent(ctx, s.ID)
	if err != nil {
		return err
	}
	if _, err := d.stacks.DeleteStack(ctx, &cloudformation.DeleteStackInput{StackName: &s.ID, ClientRequestToken: new(rand.Text())}); err != nil {
		return fmt.Errorf("deleting %s: %w", d.place(), cfnErrors.Translate(err))
	}
	_, err = d.follow(ctx, s.ID, last)
	return err
}

// Switches are the dead-man's switches that are in the stack's schedule group, by name; none where there is no group.
func (d *Driver) Switches(ctx context.Context, group string) ([]string, error) {
	var out []string
	for pages := scheduler.NewListSchedulesPaginator(d.schedules, &scheduler.ListSchedulesInput{GroupName: &group, NamePrefix: new("nightlatch-cvpn-assoc-")}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err := schedulerErrors.Translate(err); errors.Is(err, latch.ErrNotFound) {
			return nil, nil
		} else if err != nil {
			return nil, fmt.Errorf("schedules in %s: %w", group, err)
		}
		for _, s := range page.Schedules {
			out = append(out, aws.ToString(s.Name))
		}
	}
	return out, nil
}
