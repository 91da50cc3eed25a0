// Package survey reads what an AWS account holds, as far as Nightlatch is about it: Client VPN endpoints, networks, zones,
// certificates, and the pieces of a deployment. It only looks. Draft makes a first nightlatch.yaml of what was seen.
//
// It is for an operator's command line. A method makes the calls that its name promises and remembers nothing; where an
// answer has pages it reads them all. Errors are latch's kinds, with AWS's words in them: latch.ErrNotFound for what is
// not there, and what Denied knows for what the credentials may not.
package survey

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Account is one AWS account in one Region, seen with somebody's credentials. It is safe for concurrent use.
type Account struct{ cfg aws.Config }

// New makes no call. Of cfg, Region, Credentials, HTTPClient and BaseEndpoint are used.
func New(cfg aws.Config) *Account {
	cfg = cfg.Copy()
	cfg.Retryer = func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = 2 * time.Second }) // a person waits
	}
	return &Account{cfg}
}

// Region is where the account is seen.
func (a *Account) Region() string { return a.cfg.Region }

// In is the same account in another Region.
func (a *Account) In(region string) *Account {
	cfg := a.cfg.Copy()
	cfg.Region = region
	return &Account{cfg}
}

// missing are the codes that say that a thing is not there (the services' API References; botocore's models).
var missing = []string{
	"InvalidClientVpnEndpointId.NotFound", "InvalidSubnetID.NotFound", "InvalidVpcID.NotFound", "InvalidVpcId.NotFound", // EC2
	"ResourceNotFoundException",                                       // Lambda, DynamoDB, Scheduler, Cognito, ACM
	"LoadBalancerNotFound", "ListenerNotFound", "TargetGroupNotFound", // Elastic Load Balancing
	"NoSuchEntity", "NoSuchHostedZone", "HostedZoneNotFound", // IAM, Route 53
	"QueueDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue", // SQS
	"NotFoundException", // API Gateway
}

var kinds = func() map[string]error {
	all := map[string]error{}
	for _, code := range missing {
		all[code] = latch.ErrNotFound
	}
	return all
}()

// failed translates what a service answered; nil stays nil.
func failed(service string, err error) error {
	return awserr.Service{Name: service, Kinds: kinds}.Translate(err)
}

// Denied reports whether err says that the credentials may not make the call, which is no news about what it asks for.
func Denied(err error) bool {
	f, ok := errors.AsType[*latch.Fault](err)
	return ok && slices.Contains([]string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation", "NotAuthorizedException", "UnauthorizedException",
		"AuthorizationError"}, f.Code)
}

// all reads every page. It takes a call and no client: a client in an interface, as the SDK's paginators want it, would
// have the linker keep each of its operations, of which EC2 alone has eight hundred.
func all[T any](page func(token *string) ([]T, *string, error)) ([]T, error) {
	var out []T
	for token := (*string)(nil); ; {
		more, next, err := page(token)
		if err != nil {
			return nil, err
		}
		out = append(out, more...)
		if aws.ToString(next) == "" || aws.ToString(next) == aws.ToString(token) {
			return out, nil
		}
		token = next
	}
}

// Identity is whose credentials they are, and what time AWS has.
type Identity struct {
	Account, ARN string
	// Ahead is by how much this machine's clock is ahead of AWS's, of which the answer's Date header tells the second.
	Ahead     time.Duration
	ClockRead bool // the answer had a date
}

// Identity asks STS. It needs no permission.
func (a *Account) Identity(ctx context.Context) (Identity, error) {
	out, err := sts.NewFromConfig(a.cfg).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return Identity{}, failed("sts", err)
	}
	id := Identity{Account: aws.ToString(out.Account), ARN: aws.ToString(out.Arn)}
	server, ok1 := awsmiddleware.GetServerTime(out.ResultMetadata)
	here, ok2 := awsmiddleware.GetResponseAt(out.ResultMetadata)
	if id.ClockRead = ok1 && ok2 && !server.IsZero(); id.ClockRead {
		id.Ahead = here.Sub(server)
	}
	return id, nil
}

// Stack is a CloudFormation stack.
type Stack struct {
	Name, Status, Reason string
	Outputs              map[string]string
	Resources            map[string]string // physical ids by logical ones
}

// Stack reads a stack and what it consists of.
func (a *Account) Stack(ctx context.Context, name string) (Stack, error) {
	c := cloudformation.NewFromConfig(a.cfg)
	out, err := c.DescribeStacks(ctx, &cloudformation.DescribeStacksInput{StackName: &name})
	if err != nil {
		// The one fault that a well-formed name can have: "Stack with id NAME does not exist".
		if f := failed("cloudformation", err); awserr.Code(err) == "ValidationError" {
			return Stack{}, fmt.Errorf("%w: %w", latch.ErrNotFound, f)
		}
		return Stack{}, failed("cloudformation", err)
	}
	if len(out.Stacks) != 1 {
		return Stack{}, fmt.Errorf("%w: stack %s", latch.ErrNotFound, name)
	}
	s := out.Stacks[0]
	stack := Stack{Name: aws.ToString(s.StackName), Status: string(s.StackStatus), Reason: aws.ToString(s.StackStatusReason), Outputs: map[string]string{}, Resources: map[string]string{}}
	for _, o := range s.Outputs {
		stack.Outputs[aws.ToString(o.OutputKey)] = aws.ToString(o.OutputValue)
	}
	_, err = all(func(token *string) ([]struct{}, *string, error) {
		out, err := c.ListStackResources(ctx, &cloudformation.ListStackResourcesInput{StackName: &name, NextToken: token})
		if err != nil {
			return nil, nil, failed("cloudformation", err)
		}
		for _, r := range out.StackResourceSummaries {
			stack.Resources[aws.ToString(r.LogicalResourceId)] = aws.ToString(r.PhysicalResourceId)
		}
		return nil, out.NextToken, nil
	})
	return stack, err
}

// Decision is what IAM's simulation says of one action on one resource.
type Decision struct {
	Action, Resource string
	Allowed          bool
	// Explicit: a statement denies it; else none allows it.
	Explicit bool
	// Missing are condition keys that the simulation was not told the values of; a decision with them is none.
	Missing []string
	// Organization: the account's organization keeps it away (service control policies).
	Organization bool
	// Boundary: the role's permissions boundary keeps it away.
	Boundary bool
}

// Simulate asks IAM what a role may, each action on each resource; "*" is any. Conditions holds values of condition keys
// that are strings.
func (a *Account) Simulate(ctx context.Context, roleARN string, actions, resources []string, conditions map[string]string) ([]Decision, error) {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &roleARN, ActionNames: actions, ResourceArns: resources}
	for _, key := range slices.Sorted(maps.Keys(conditions)) {
		in.ContextEntries = append(in.ContextEntries, types.ContextEntry{ContextKeyName: new(key), ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{conditions[key]}})
	}
	c := iam.NewFromConfig(a.cfg)
	return all(func(token *string) ([]Decision, *string, error) {
		in.Marker = token
		out, err := c.SimulatePrincipalPolicy(ctx, in)
		if err != nil {
			return nil, nil, failed("iam", err)
		}
		var some []Decision
		for _, r := range out.EvaluationResults {
			d := Decision{Action: aws.ToString(r.EvalActionName), Resource: aws.ToString(r.EvalResourceName), Missing: r.MissingContextValues}
			d.decide(string(r.EvalDecision))
			d.Organization = r.OrganizationsDecisionDetail != nil && !r.OrganizationsDecisionDetail.AllowedByOrganizations
			d.Boundary = r.PermissionsBoundaryDecisionDetail != nil && !r.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary
			if len(r.ResourceSpecificResults) == 0 {
				some = append(some, d)
			}
			for _, s := range r.ResourceSpecificResults {
				d := d
				d.Resource, d.Missing = aws.ToString(s.EvalResourceName), s.MissingContextValues
				d.decide(string(s.EvalResourceDecision))
				if s.PermissionsBoundaryDecisionDetail != nil {
					d.Boundary = !s.PermissionsBoundaryDecisionDetail.AllowedByPermissionsBoundary
				}
				some = append(some, d)
			}
		}
		return some, out.Marker, nil // there while IsTruncated
	})
}

func (d *Decision) decide(word string) {
	d.Allowed, d.Explicit = word == "allowed", word == "explicitDeny"
}

// host is a service's in the account's Region, for the calls that no SDK module is brought for.
func (a *Account) host(service string) string {
	if a.cfg.BaseEndpoint != nil {
		return strings.TrimSuffix(*a.cfg.BaseEndpoint, "/")
	}
	suffix := "amazonaws.com"
	if strings.HasPrefix(a.cfg.Region, "cn-") {
		suffix += ".cn"
	}
	return (&url.URL{Scheme: "https", Host: service + "." + a.cfg.Region + "." + suffix}).String()
}
