package survey

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/acm"
	acmtypes "github.com/aws/aws-sdk-go-v2/service/acm/types"
	"github.com/aws/aws-sdk-go-v2/service/cognitoidentityprovider"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/pricing"
	pricingtypes "github.com/aws/aws-sdk-go-v2/service/pricing/types"
	"github.com/aws/aws-sdk-go-v2/service/route53"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Zone is a Route 53 hosted zone.
type Zone struct {
	ID, Name    string // the name without its last dot
	Private     bool
	NameServers []string // only of Zone
}

// Zones lists the account's public hosted zones.
func (a *Account) Zones(ctx context.Context) ([]Zone, error) {
	c := route53.NewFromConfig(a.cfg)
	zones, err := all(func(token *string) ([]Zone, *string, error) {
		out, err := c.ListHostedZones(ctx, &route53.ListHostedZonesInput{Marker: token})
		if err != nil {
			return nil, nil, failed("route53", err)
		}
		var some []Zone
		for _, z := range out.HostedZones {
			some = append(some, Zone{ID: zoneID(aws.ToString(z.Id)), Name: strings.TrimSuffix(aws.ToString(z.Name), "."), Private: z.Config != nil && z.Config.PrivateZone})
		}
		return some, out.NextMarker, nil // there while IsTruncated
	})
	return slices.DeleteFunc(zones, func(z Zone) bool { return z.Private }), err
}

// Zone reads one, with the name servers that AWS gave it.
func (a *Account) Zone(ctx context.Context, id string) (Zone, error) {
	out, err := route53.NewFromConfig(a.cfg).GetHostedZone(ctx, &route53.GetHostedZoneInput{Id: &id})
	if err != nil {
		return Zone{}, failed("route53", err)
	}
	z := Zone{ID: id}
	if h := out.HostedZone; h != nil {
		z.Name, z.Private = strings.TrimSuffix(aws.ToString(h.Name), "."), h.Config != nil && h.Config.PrivateZone
	}
	if out.DelegationSet != nil {
		z.NameServers = out.DelegationSet.NameServers
	}
	return z, nil
}

// zoneID is without the "/hostedzone/" that Route 53's answers put before it.
func zoneID(id string) string { return id[strings.LastIndex(id, "/")+1:] }

// Certificate is one of ACM's.
type Certificate struct {
	ARN         string
	Names       []string
	Status      string // ISSUED, PENDING_VALIDATION, EXPIRED, …
	Failure     string
	Until       time.Time
	Imported    bool
	Renewable   bool   // ACM renews it
	RenewalFail string // why a renewal did not succeed
}

// Covers reports whether a name is among the certificate's, a wildcard standing for one label (RFC 6125).
func (c Certificate) Covers(domain string) bool {
	_, parent, _ := strings.Cut(domain, ".")
	return slices.ContainsFunc(c.Names, func(n string) bool {
		return strings.EqualFold(n, domain) || parent != "" && strings.EqualFold(n, "*."+parent)
	})
}

// Certificates lists the issued ones, of every type of key.
func (a *Account) Certificates(ctx context.Context) ([]Certificate, error) {
	c := acm.NewFromConfig(a.cfg)
	return all(func(token *string) ([]Certificate, *string, error) {
		out, err := c.ListCertificates(ctx, &acm.ListCertificatesInput{
			NextToken: token, CertificateStatuses: []acmtypes.CertificateStatus{acmtypes.CertificateStatusIssued},
			// Without it only RSA 1024 and 2048 are listed (Filters, ACM API Reference).
			Includes: &acmtypes.Filters{KeyTypes: acmtypes.KeyAlgorithm("").Values()},
		})
		if err != nil {
			return nil, nil, failed("acm", err)
		}
		var some []Certificate
		for _, s := range out.CertificateSummaryList {
			names := append([]string{aws.ToString(s.DomainName)}, s.SubjectAlternativeNameSummaries...)
			slices.Sort(names)
			some = append(some, Certificate{ARN: aws.ToString(s.CertificateArn), Names: slices.Compact(names), Status: string(s.Status), Until: aws.ToTime(s.NotAfter),
				Imported: s.Type == acmtypes.CertificateTypeImported, Renewable: s.RenewalEligibility == acmtypes.RenewalEligibilityEligible})
		}
		return some, out.NextToken, nil
	})
}

// Certificate reads one.
func (a *Account) Certificate(ctx context.Context, arn string) (Certificate, error) {
	out, err := acm.NewFromConfig(a.cfg).DescribeCertificate(ctx, &acm.DescribeCertificateInput{CertificateArn: &arn})
	if err != nil || out.Certificate == nil {
		return Certificate{}, failed("acm", err)
	}
	d := out.Certificate
	c := Certificate{ARN: arn, Names: append([]string{aws.ToString(d.DomainName)}, d.SubjectAlternativeNames...), Status: string(d.Status), Failure: string(d.FailureReason),
		Until: aws.ToTime(d.NotAfter), Imported: d.Type == acmtypes.CertificateTypeImported, Renewable: d.RenewalEligibility == acmtypes.RenewalEligibilityEligible}
	if r := d.RenewalSummary; r != nil && r.RenewalStatus == acmtypes.RenewalStatusFailed {
		c.RenewalFail = cmp.Or(string(r.RenewalStatusReason), "failed")
	}
	return c, nil
}

// Function is a Lambda function.
type Function struct {
	Name, State, Update, Reason, Runtime, Architecture string
	Role                                               string // ARN
	TimeoutSeconds, MemoryMB                           int
	Variables                                          map[string]string // of its environment those about signing in, which hold no secret
	// Retries and EventAge are of events that nobody waits for; Retries is -1 where nothing is set, and AWS retries twice.
	Retries  int
	EventAge time.Duration
}

// Function reads one.
func (a *Account) Function(ctx context.Context, name string) (Function, error) {
	c := lambda.NewFromConfig(a.cfg)
	out, err := c.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &name})
	if err != nil {
		return Function{}, failed("lambda", err)
	}
	f := Function{Name: name, State: string(out.State), Update: string(out.LastUpdateStatus), Runtime: string(out.Runtime), Role: aws.ToString(out.Role),
		Reason:         cmp.Or(aws.ToString(out.StateReason), aws.ToString(out.LastUpdateStatusReason)),
		TimeoutSeconds: int(aws.ToInt32(out.Timeout)), MemoryMB: int(aws.ToInt32(out.MemorySize)), Retries: -1}
	if len(out.Architectures) > 0 {
		f.Architecture = string(out.Architectures[0])
	}
	if out.Environment != nil {
		f.Variables = maps.Clone(out.Environment.Variables)
		maps.DeleteFunc(f.Variables, func(name, _ string) bool { return !strings.HasPrefix(name, "NIGHTLATCH_SIGNIN_") })
	}
	set, err := c.GetFunctionEventInvokeConfig(ctx, &lambda.GetFunctionEventInvokeConfigInput{FunctionName: &name})
	switch err = failed("lambda", err); {
	case errors.Is(err, latch.ErrNotFound):
		return f, nil
	case err != nil:
		return f, err
	}
	if set.MaximumRetryAttempts != nil {
		f.Retries = int(*set.MaximumRetryAttempts)
	}
	f.EventAge = time.Duration(aws.ToInt32(set.MaximumEventAgeInSeconds)) * time.Second
	return f, nil
}

// Invoke has a function answer an event. Failed is Lambda's word for a function that did not: "Unhandled", and then the
// answer says why.
func (a *Account) Invoke(ctx context.Context, function string, event []byte) (answer []byte, failure string, err error) {
	out, err := lambda.NewFromConfig(a.cfg).Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: event})
	if err != nil {
		return nil, "", failed("lambda", err)
	}
	return out.Payload, aws.ToString(out.FunctionError), nil
}

// Provider is a user pool's identity provider.
type Provider struct {
	Type string
	// MetadataURL or Metadata, the document itself, is how the pool knows the other side.
	MetadataURL, Metadata string
	// Init: sign-ins that begin at the identity provider are taken.
	Init    bool
	Mapping map[string]string // the provider's attributes by the pool's
}

// Provider reads a user pool's identity provider by name.
func (a *Account) Provider(ctx context.Context, pool, name string) (Provider, error) {
	out, err := cognitoidentityprovider.NewFromConfig(a.cfg).DescribeIdentityProvider(ctx,
		&cognitoidentityprovider.DescribeIdentityProviderInput{UserPoolId: &pool, ProviderName: &name})
	if err != nil || out.IdentityProvider == nil {
		return Provider{}, failed("cognito-idp", err)
	}
	p := out.IdentityProvider
	return Provider{Type: string(p.ProviderType), MetadataURL: p.ProviderDetails["MetadataURL"], Metadata: p.ProviderDetails["MetadataFile"],
		Init: p.ProviderDetails["IDPInit"] == "true", Mapping: p.AttributeMapping}, nil
}

// Client is a user pool's app client.
type Client struct {
	Callbacks, SignOuts, Flows, Scopes, Providers []string
	OAuth, Secret                                 bool // the OAuth settings count; it has a secret
	Access, Refresh                               time.Duration
}

// Client reads an app client.
func (a *Account) Client(ctx context.Context, pool, id string) (Client, error) {
	out, err := cognitoidentityprovider.NewFromConfig(a.cfg).DescribeUserPoolClient(ctx,
		&cognitoidentityprovider.DescribeUserPoolClientInput{UserPoolId: &pool, ClientId: &id})
	if err != nil || out.UserPoolClient == nil {
		return Client{}, failed("cognito-idp", err)
	}
	x := out.UserPoolClient
	c := Client{Callbacks: x.CallbackURLs, SignOuts: x.LogoutURLs, Scopes: x.AllowedOAuthScopes, Providers: x.SupportedIdentityProviders,
		OAuth: aws.ToBool(x.AllowedOAuthFlowsUserPoolClient), Secret: aws.ToString(x.ClientSecret) != ""}
	for _, f := range x.AllowedOAuthFlows {
		c.Flows = append(c.Flows, string(f))
	}
	// Without units, an access token's validity is in hours and a refresh token's in days (UserPoolClientType, API Reference).
	access, refresh := "hours", "days"
	if u := x.TokenValidityUnits; u != nil {
		access, refresh = cmp.Or(string(u.AccessToken), access), cmp.Or(string(u.RefreshToken), refresh)
	}
	unit := map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour}
	c.Access, c.Refresh = time.Duration(aws.ToInt32(x.AccessTokenValidity))*unit[access], time.Duration(x.RefreshTokenValidity)*unit[refresh]
	return c, nil
}

// Balancer is an application load balancer.
type Balancer struct {
	ARN, DNSName, State string
	Internal            bool
	Zones               int
	Attributes          map[string]string
}

// Balancer reads one.
func (a *Account) Balancer(ctx context.Context, arn string) (Balancer, error) {
	c := elb.NewFromConfig(a.cfg)
	out, err := c.DescribeLoadBalancers(ctx, &elb.DescribeLoadBalancersInput{LoadBalancerArns: []string{arn}})
	if err != nil {
		return Balancer{}, failed("elasticloadbalancing", err)
	}
	if len(out.LoadBalancers) != 1 {
		return Balancer{}, latch.ErrNotFound
	}
	l := out.LoadBalancers[0]
	b := Balancer{ARN: arn, DNSName: strings.ToLower(aws.ToString(l.DNSName)), Internal: l.Scheme == elbtypes.LoadBalancerSchemeEnumInternal, Zones: len(l.AvailabilityZones), Attributes: map[string]string{}}
	if l.State != nil {
		b.State = string(l.State.Code)
	}
	set, err := c.DescribeLoadBalancerAttributes(ctx, &elb.DescribeLoadBalancerAttributesInput{LoadBalancerArn: &arn})
	if err != nil {
		return b, failed("elasticloadbalancing", err)
	}
	for _, x := range set.Attributes {
		b.Attributes[aws.ToString(x.Key)] = aws.ToString(x.Value)
	}
	return b, nil
}

// ListenerRule is one of a listener's; Priority is 0 of the default one, which comes last.
type ListenerRule struct {
	ARN      string
	Priority int
	Hosts    []string // of a host-header condition
	Paths    []string // of a path-pattern condition
	Actions  []Action
}

// Action is what a rule does, in the order of its actions.
type Action struct {
	Type                 string // forward, authenticate-cognito, fixed-response, …
	TargetGroups         []string
	Status               string // of a fixed response
	PoolARN, ClientID    string // of authenticate-cognito
	Unauthenticated      string // authenticate, deny or allow
	SessionTimeout       time.Duration
	Scope, SessionCookie string
}

// ListenerRules lists a listener's in the order in which the load balancer tries them.
func (a *Account) ListenerRules(ctx context.Context, listener string) ([]ListenerRule, error) {
	c := elb.NewFromConfig(a.cfg)
	rules, err := all(func(token *string) ([]ListenerRule, *string, error) {
		out, err := c.DescribeRules(ctx, &elb.DescribeRulesInput{ListenerArn: &listener, Marker: token})
		if err != nil {
			return nil, nil, failed("elasticloadbalancing", err)
		}
		var some []ListenerRule
		for _, r := range out.Rules {
			made := ListenerRule{ARN: aws.ToString(r.RuleArn)}
			made.Priority, _ = strconv.Atoi(aws.ToString(r.Priority)) // "default" is no number
			for _, c := range r.Conditions {
				// A condition's values are in its own configuration, or in the older list.
				switch aws.ToString(c.Field) {
				case "host-header":
					if made.Hosts = c.Values; c.HostHeaderConfig != nil && len(c.HostHeaderConfig.Values) > 0 {
						made.Hosts = c.HostHeaderConfig.Values
					}
				case "path-pattern":
					if made.Paths = c.Values; c.PathPatternConfig != nil && len(c.PathPatternConfig.Values) > 0 {
						made.Paths = c.PathPatternConfig.Values
					}
				}
			}
			slices.SortStableFunc(r.Actions, func(x, y elbtypes.Action) int { return int(aws.ToInt32(x.Order) - aws.ToInt32(y.Order)) })
			for _, x := range r.Actions {
				made.Actions = append(made.Actions, action(x))
			}
			some = append(some, made)
		}
		return some, out.NextMarker, nil
	})
	slices.SortStableFunc(rules, func(x, y ListenerRule) int {
		last := func(r ListenerRule) int {
			if r.Priority == 0 {
				return 1
			}
			return 0
		}
		return cmp.Or(last(x)-last(y), x.Priority-y.Priority)
	})
	return rules, err
}

func action(x elbtypes.Action) Action {
	out := Action{Type: string(x.Type)}
	if arn := aws.ToString(x.TargetGroupArn); arn != "" {
		out.TargetGroups = []string{arn}
	}
	if x.ForwardConfig != nil && len(x.ForwardConfig.TargetGroups) > 0 {
		out.TargetGroups = nil
		for _, g := range x.ForwardConfig.TargetGroups {
			out.TargetGroups = append(out.TargetGroups, aws.ToString(g.TargetGroupArn))
		}
	}
	if x.FixedResponseConfig != nil {
		out.Status = aws.ToString(x.FixedResponseConfig.StatusCode)
	}
	if c := x.AuthenticateCognitoConfig; c != nil {
		out.PoolARN, out.ClientID, out.Unauthenticated = aws.ToString(c.UserPoolArn), aws.ToString(c.UserPoolClientId), string(c.OnUnauthenticatedRequest)
		out.SessionTimeout, out.Scope, out.SessionCookie = time.Duration(aws.ToInt64(c.SessionTimeout))*time.Second, aws.ToString(c.Scope), aws.ToString(c.SessionCookieName)
	}
	return out
}

// TargetGroup is a target group's attributes, and the ids of its targets: of a Lambda one, the function's ARN.
type TargetGroup struct {
	Attributes map[string]string
	Targets    []string
}

// TargetGroup reads one.
func (a *Account) TargetGroup(ctx context.Context, arn string) (TargetGroup, error) {
	c := elb.NewFromConfig(a.cfg)
	set, err := c.DescribeTargetGroupAttributes(ctx, &elb.DescribeTargetGroupAttributesInput{TargetGroupArn: &arn})
	if err != nil {
		return TargetGroup{}, failed("elasticloadbalancing", err)
	}
	g := TargetGroup{Attributes: map[string]string{}}
	for _, x := range set.Attributes {
		g.Attributes[aws.ToString(x.Key)] = aws.ToString(x.Value)
	}
	health, err := c.DescribeTargetHealth(ctx, &elb.DescribeTargetHealthInput{TargetGroupArn: &arn})
	if err != nil {
		return g, failed("elasticloadbalancing", err)
	}
	for _, d := range health.TargetHealthDescriptions {
		if d.Target != nil {
			g.Targets = append(g.Targets, aws.ToString(d.Target.Id))
		}
	}
	return g, nil
}

// Table is a DynamoDB table.
type Table struct {
	Status string
	Keys   []string // "pk HASH S" each
	// Expires is the attribute by which items expire, empty where none do. Recovery: it can be restored as it was at any
	// second of the last weeks.
	Expires  string
	Recovery bool
	Protect  bool // it cannot be deleted by accident
}

// Table reads one.
func (a *Account) Table(ctx context.Context, name string) (Table, error) {
	c := dynamodb.NewFromConfig(a.cfg)
	out, err := c.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil || out.Table == nil {
		return Table{}, failed("dynamodb", err)
	}
	t := Table{Status: string(out.Table.TableStatus), Protect: aws.ToBool(out.Table.DeletionProtectionEnabled)}
	for _, k := range out.Table.KeySchema {
		kind := ""
		for _, d := range out.Table.AttributeDefinitions {
			if aws.ToString(d.AttributeName) == aws.ToString(k.AttributeName) {
				kind = string(d.AttributeType)
			}
		}
		t.Keys = append(t.Keys, strings.Join([]string{aws.ToString(k.AttributeName), string(k.KeyType), kind}, " "))
	}
	live, err := c.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil {
		return t, failed("dynamodb", err)
	}
	if d := live.TimeToLiveDescription; d != nil && (d.TimeToLiveStatus == dynamodbtypes.TimeToLiveStatusEnabled || d.TimeToLiveStatus == dynamodbtypes.TimeToLiveStatusEnabling) {
		t.Expires = aws.ToString(d.AttributeName)
	}
	back, err := c.DescribeContinuousBackups(ctx, &dynamodb.DescribeContinuousBackupsInput{TableName: &name})
	if err != nil {
		return t, failed("dynamodb", err)
	}
	if d := back.ContinuousBackupsDescription; d != nil && d.PointInTimeRecoveryDescription != nil {
		t.Recovery = d.PointInTimeRecoveryDescription.PointInTimeRecoveryStatus == dynamodbtypes.PointInTimeRecoveryStatusEnabled
	}
	return t, nil
}

// Schedule is one of EventBridge Scheduler's.
type Schedule struct {
	Name, Group, Expression, Target, Role, Input string
	Enabled                                      bool
}

// Schedule reads one; an empty group is the default one.
func (a *Account) Schedule(ctx context.Context, group, name string) (Schedule, error) {
	in := &scheduler.GetScheduleInput{Name: &name}
	if group != "" {
		in.GroupName = &group
	}
	out, err := scheduler.NewFromConfig(a.cfg).GetSchedule(ctx, in)
	if err != nil {
		return Schedule{}, failed("scheduler", err)
	}
	s := Schedule{Name: name, Group: aws.ToString(out.GroupName), Expression: aws.ToString(out.ScheduleExpression), Enabled: out.State == "ENABLED"}
	if out.Target != nil {
		s.Target, s.Role, s.Input = aws.ToString(out.Target.Arn), aws.ToString(out.Target.RoleArn), aws.ToString(out.Target.Input)
	}
	return s, nil
}

// Schedules lists the names of a group's schedules. It is latch.ErrNotFound that there is no such group.
func (a *Account) Schedules(ctx context.Context, group string) ([]string, error) {
	c := scheduler.NewFromConfig(a.cfg)
	if _, err := c.GetScheduleGroup(ctx, &scheduler.GetScheduleGroupInput{Name: &group}); err != nil {
		return nil, failed("scheduler", err)
	}
	return all(func(token *string) ([]string, *string, error) {
		out, err := c.ListSchedules(ctx, &scheduler.ListSchedulesInput{GroupName: &group, NextToken: token})
		if err != nil {
			return nil, nil, failed("scheduler", err)
		}
		var some []string
		for _, s := range out.Schedules {
			some = append(some, aws.ToString(s.Name))
		}
		return some, out.NextToken, nil
	})
}

// Price is what one unit costs, and in which currency.
type Price struct {
	Amount   float64
	Currency string
	Unit     string // "Hrs"
}

// Prices reads the Price List: the on-demand price of the Region's products of a service that have these attributes, by
// the end of their usage type behind its last Region mark, "ClientVPN-EndpointHours" for "APN1-ClientVPN-EndpointHours".
// The API is in few Regions and knows all.
func (a *Account) Prices(ctx context.Context, service string, attributes map[string]string, usages ...string) (map[string]Price, error) {
	cfg := a.cfg.Copy()
	cfg.Region = "us-east-1"
	if strings.HasPrefix(a.cfg.Region, "cn-") {
		cfg.Region = "cn-northwest-1"
	}
	c := pricing.NewFromConfig(cfg)
	filters := []pricingtypes.Filter{{Type: pricingtypes.FilterTypeTermMatch, Field: new("regionCode"), Value: new(a.cfg.Region)}}
	for k, v := range attributes {
		filters = append(filters, pricingtypes.Filter{Type: pricingtypes.FilterTypeTermMatch, Field: new(k), Value: new(v)})
	}
	list, err := all(func(token *string) ([]string, *string, error) {
		out, err := c.GetProducts(ctx, &pricing.GetProductsInput{ServiceCode: &service, Filters: filters, NextToken: token})
		if err != nil {
			return nil, nil, failed("pricing", err)
		}
		return out.PriceList, out.NextToken, nil
	})
	if err != nil {
		return nil, err
	}
	prices := map[string]Price{}
	for _, raw := range list {
		usage, p, ok := price(raw)
		if i := slices.IndexFunc(usages, func(u string) bool { return usage == u || strings.HasSuffix(usage, "-"+u) }); ok && i >= 0 {
			prices[usages[i]] = p
		}
	}
	return prices, nil
}

// price reads one product of the Price List, of which only what is needed is written down here.
func price(raw string) (usage string, p Price, ok bool) {
	var x struct {
		Product struct {
			Attributes map[string]string `json:"attributes"`
		} `json:"product"`
		Terms struct {
			OnDemand map[string]struct {
				Dimensions map[string]struct {
					Unit  string            `json:"unit"`
					Begin string            `json:"beginRange"`
					Price map[string]string `json:"pricePerUnit"`
				} `json:"priceDimensions"`
			} `json:"OnDemand"`
		} `json:"terms"`
	}
	if json.Unmarshal([]byte(raw), &x) != nil {
		return "", Price{}, false
	}
	for _, t := range x.Terms.OnDemand {
		for _, d := range t.Dimensions {
			for currency, text := range d.Price {
				if amount, err := strconv.ParseFloat(text, 64); err == nil && (d.Begin == "" || d.Begin == "0") {
					return x.Product.Attributes["usagetype"], Price{amount, currency, d.Unit}, true
				}
			}
		}
	}
	return "", Price{}, false
}
