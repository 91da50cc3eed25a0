//go:build !lambda

package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/standin/alb"
	"github.com/nightlatch/nightlatch/internal/standin/cloudformation"
	"github.com/nightlatch/nightlatch/internal/standin/cognito"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/httpapi"
	"github.com/nightlatch/nightlatch/internal/standin/iam"
	"github.com/nightlatch/nightlatch/internal/standin/lambda"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
)

// The demo is a deployment: the stand-ins are made as the CloudFormation template says that is rendered for the demo's own
// configuration, or that --template names. What the stand-ins have no part for, a hosted zone or an alarm, is read all the
// same, so that nothing in a template goes unseen.

const (
	demoStack   = "nightlatch"
	demoStackID = "arn:aws:cloudformation:" + demoRegion + ":" + demoAccount + ":stack/" + demoStack + "/0d3a11c0-ffee-4000-8000-000000000001"
	demoSite    = "vpn.localhost"
	demoPrefix  = "nightlatch-demo"
	demoZone    = "Z0DEMO0000000"
	// rendered is what --template without a file means.
	rendered = "rendered"
)

// deploySection is the demo's deploy section of nightlatch.yaml.
func (w *world) deploySection(idc string) string {
	var b strings.Builder
	if f := w.o.front; f.issuer != "" {
		u, err := url.Parse(f.issuer)
		if err != nil {
			return "" // it was checked
		}
		fmt.Fprintf(&b, "signin: {oidc: {issuer: %q, client_id: %q, sign_in_origins: [%q]}}\n", f.issuer, f.clientID, "https://"+u.Host)
	}
	fmt.Fprintf(&b, "deploy:\n  stack: %s\n  front: %s\n  domain: %s\n  hosted_zone: %s\n", demoStack, w.o.front.name, demoSite, demoZone)
	if w.o.front.name == frontALB {
		fmt.Fprintf(&b, "  load_balancer: {vpc: %s, subnets: [%s, %s]}\n", demoVPC, demoSubnets[0].ID, demoSubnets[1].ID)
	}
	if w.o.front.issuer == "" {
		fmt.Fprintf(&b, "  user_pool: {prefix: %s}\n  groups: %t\n  sign_in_origins: [%s]\n", demoPrefix, w.groupsSent(), strings.Join(w.signInOrigins("", idc)[1:], ", "))
	}
	return b.String()
}

// readTemplate renders the template, or reads the one that was named, and gives its addresses the demo's ports.
func (w *world) readTemplate(file []byte) ([]byte, error) {
	c, err := config.Parse("the demo's nightlatch.yaml", file)
	if err != nil {
		return nil, err
	}
	raw, err := deploy.Render(c)
	if err != nil {
		return nil, err
	}
	if f := w.o.template; f != "" && f != rendered {
		if raw, err = os.ReadFile(f); err != nil {
			return nil, fmt.Errorf("--template: %w", err)
		}
	}
	// For whoever wants to change it and start with --template FILE.
	if err := os.WriteFile(filepath.Join(w.function, "template.yaml"), raw, 0o600); err != nil {
		return nil, err
	}
	site, pool := w.url("https", demoSite, w.o.front.name), w.url("https", "cognito.localhost", "cognito")
	for from, to := range map[string]string{
		"https://" + demoSite + "/":                                            site + "/",
		url.QueryEscape("https://" + demoSite + "/"):                           url.QueryEscape(site + "/"),
		"https://" + demoPrefix + ".auth." + demoRegion + ".amazoncognito.com": pool,
	} {
		raw = bytes.ReplaceAll(raw, []byte(from), []byte(to))
	}
	return raw, nil
}

// demoEnvironment is where the demo's stack is.
var demoEnvironment = cloudformation.Environment{Region: demoRegion, AccountID: demoAccount, StackName: demoStack, StackID: demoStackID}

// stacks is CloudFormation with the demo's stack, for command lines that read its outputs.
func (w *world) stacks(plan *blueprint, template []byte, parameters map[string]string) (*cloudformation.Server, error) {
	s, err := cloudformation.New(cloudformation.Config{Region: demoRegion, AccountID: demoAccount, Credentials: w.iam.tokens.Lookup, Log: w.log})
	if err != nil {
		return nil, err
	}
	return s, s.Adopt(demoEnvironment, template, parameters, plan.stack)
}

// identities are names that resources have of themselves, before anything is made of them.
type identities struct{ pool, client, secret, loadBalancer, targetGroup string }

// blueprint is what the template makes of the stand-ins: parts of their configurations.
type blueprint struct {
	pool         cognito.Config
	alb          alb.Config
	api          httpapi.Config
	table        dynamodb.Table
	functions    []lambda.Function
	groups       []string
	schedules    []scheduler.Schedule
	roles        []iam.Role
	permissions  []iam.Permission
	functionRole string // ARN
	stack        *cloudformation.Deployment
}

// blueprint resolves the template with what is known of the identities, and reads every resource.
func (w *world) blueprint(ctx context.Context, raw []byte, known identities, parameters map[string]string) (*blueprint, error) {
	t, err := cloudformation.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	b := &builder{known: known, blueprint: &blueprint{}, front: w.o.front.name, others: map[string]int{}}
	d, err := t.Deploy(ctx, demoEnvironment, parameters, nil, b)
	if err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	if err := b.whole(); err != nil {
		return nil, fmt.Errorf("the template: %w", err)
	}
	b.stack = d
	return b.blueprint, nil
}

// builder is the provisioner: it makes a blueprint and nothing else.
type builder struct {
	*blueprint
	known       identities
	front       string
	attributes  []string       // custom ones of the user pool
	forwards    int            // priority of the rule that leads everything to the function; 0: there is none
	others      map[string]int // priorities of the rules for one path, by their names
	certificate string         // ARN of the one that is made
	domain      string         // that it is for
	ingress     bool           // the security group lets this machine in by HTTPS
	listening   bool           // there is an HTTPS listener, or a domain of the API, with the certificate
	named       bool           // the page's name leads to the front
}

func (b *builder) Update(context.Context, cloudformation.Physical, cloudformation.Resource) (cloudformation.Physical, error) {
	return cloudformation.Physical{}, errors.New("the demo's stack is made once and not changed")
}

func (b *builder) Delete(context.Context, cloudformation.Physical, cloudformation.Resource) error {
	return nil
}

// Create reads a resource, and answers as AWS would.
func (b *builder) Create(_ context.Context, r cloudformation.Resource) (cloudformation.Physical, error) {
	make, ok := map[string]func(cloudformation.Resource, *cloudformation.Properties) (cloudformation.Physical, error){
		"AWS::DynamoDB::Table":                      b.makeTable,
		"AWS::Logs::LogGroup":                       b.makeLogGroup,
		"AWS::Logs::QueryDefinition":                watched,
		"AWS::CloudWatch::Alarm":                    watched,
		"AWS::CloudWatch::Dashboard":                watched,
		"AWS::SQS::Queue":                           b.makeQueue,
		"AWS::SQS::QueuePolicy":                     watched,
		"AWS::Scheduler::ScheduleGroup":             b.makeScheduleGroup,
		"AWS::Scheduler::Schedule":                  b.makeSchedule,
		"AWS::IAM::Role":                            b.makeRole,
		"AWS::Lambda::Function":                     b.makeFunction,
		"AWS::Lambda::EventInvokeConfig":            b.makeInvokeConfig,
		"AWS::Lambda::Permission":                   b.makePermission,
		"AWS::Cognito::UserPool":                    b.makePool,
		"AWS::Cognito::UserPoolDomain":              b.makePoolDomain,
		"AWS::Cognito::UserPoolIdentityProvider":    b.makeProvider,
		"AWS::Cognito::UserPoolClient":              b.makeClient,
		"AWS::CertificateManager::Certificate":      b.makeCertificate,
		"AWS::Route53::RecordSet":                   b.makeRecord,
		"AWS::EC2::SecurityGroup":                   b.makeSecurityGroup,
		"AWS::ElasticLoadBalancingV2::LoadBalancer": b.makeLoadBalancer,
		"AWS::ElasticLoadBalancingV2::Listener":     b.makeListener,
		"AWS::ElasticLoadBalancingV2::ListenerRule": b.makeRule,
		"AWS::ElasticLoadBalancingV2::TargetGroup":  b.makeTargetGroup,
		"AWS::ApiGatewayV2::Api":                    b.makeAPI,
		"AWS::ApiGatewayV2::Integration":            b.makeIntegration,
		"AWS::ApiGatewayV2::Route":                  b.makeRoute,
		"AWS::ApiGatewayV2::Stage":                  b.makeStage,
		"AWS::ApiGatewayV2::DomainName":             b.makeAPIDomain,
		"AWS::ApiGatewayV2::ApiMapping":             b.makeMapping,
	}[r.Type]
	if !ok {
		return cloudformation.Physical{}, fmt.Errorf("the demo has nothing that stands in for %s", r.Type)
	}
	made, err := make(r, r.Properties)
	return made, errors.Join(err, r.Properties.Err())
}

// The rest is a method for each type, in the order of the table. What is read and dropped has no part in the demo.

type (
	resource   = cloudformation.Resource
	properties = cloudformation.Properties
	physical   = cloudformation.Physical
)

func ref(name string) physical { return physical{Ref: name} }

// all is &&, for what must be read either way: a property that nobody has read is one that nobody has heard of.
func all(conditions ...bool) bool { return !slices.Contains(conditions, false) }

func (b *builder) makeTable(r resource, p *properties) (physical, error) {
	b.table = dynamodb.Table{Name: cmp.Or(p.String("TableName"), demoTable)}
	for _, k := range p.Objects("KeySchema") {
		switch name := k.String("AttributeName"); k.String("KeyType") {
		case "HASH":
			b.table.Partition = name
		case "RANGE":
			b.table.Sort = name
		}
	}
	for _, a := range p.Objects("AttributeDefinitions") {
		if name := a.String("AttributeName"); a.String("AttributeType") != "S" {
			return physical{}, fmt.Errorf("the key %s is no string", name)
		}
	}
	if ttl := p.Object("TimeToLiveSpecification"); !all(ttl.String("AttributeName") == "expires", ttl.Bool("Enabled", false)) {
		return physical{}, errors.New("what should expire would not: the attribute is expires")
	}
	p.Any("BillingMode")
	p.Any("PointInTimeRecoverySpecification")
	p.Any("SSESpecification")
	return physical{Ref: b.table.Name, Attributes: map[string]string{"Arn": "arn:aws:dynamodb:" + demoRegion + ":" + demoAccount + ":table/" + b.table.Name}}, nil
}

func (b *builder) makeLogGroup(r resource, p *properties) (physical, error) {
	name := p.String("LogGroupName")
	if p.Int("RetentionInDays", 0) == 0 {
		return physical{}, errors.New("the log would be kept for ever")
	}
	return physical{Ref: name, Attributes: map[string]string{"Arn": "arn:aws:logs:" + demoRegion + ":" + demoAccount + ":log-group:" + name + ":*"}}, nil
}

// watched is what only people and CloudWatch look at.
func watched(r resource, p *properties) (physical, error) {
	for _, name := range p.Names() {
		p.Any(name)
	}
	return physical{Ref: r.LogicalID, Attributes: map[string]string{"Arn": "arn:aws:cloudwatch:" + demoRegion + ":" + demoAccount + ":alarm:" + r.LogicalID}}, nil
}

func (b *builder) makeQueue(r resource, p *properties) (physical, error) {
	p.Any("SqsManagedSseEnabled")
	p.Any("MessageRetentionPeriod")
	return physical{Ref: demoQueue, Attributes: map[string]string{"Arn": demoQueue, "QueueName": demoQueue[strings.LastIndex(demoQueue, ":")+1:]}}, nil
}

func (b *builder) makeScheduleGroup(r resource, p *properties) (physical, error) {
	b.groups = append(b.groups, p.String("Name"))
	return ref(p.String("Name")), nil
}

func (b *builder) makeSchedule(r resource, p *properties) (physical, error) {
	p.Any("Description")
	if p.Object("FlexibleTimeWindow").String("Mode") != "OFF" {
		return physical{}, errors.New("a beat must be on time: FlexibleTimeWindow is not OFF")
	}
	t := p.Object("Target")
	retry := t.Object("RetryPolicy")
	b.schedules = append(b.schedules, scheduler.Schedule{
		Group: p.String("GroupName"), Name: p.String("Name"), Expression: p.String("ScheduleExpression"),
		TargetARN: t.String("Arn"), RoleARN: t.String("RoleArn"), Input: t.String("Input"), DeadLetterARN: t.Object("DeadLetterConfig").String("Arn"),
		MaximumRetryAttempts: new(retry.Int("MaximumRetryAttempts", 185)), MaximumEventAge: retry.Int("MaximumEventAgeInSeconds", 86400),
	})
	return ref(p.String("Name")), nil
}

func (b *builder) makeRole(r resource, p *properties) (physical, error) {
	p.Any("Description")
	name := cmp.Or(p.String("RoleName"), demoStack+"-"+r.LogicalID)
	role := iam.Role{ARN: "arn:aws:iam::" + demoAccount + ":role" + cmp.Or(p.String("Path"), "/") + name, Policies: map[string]string{}}
	if p.Has("PermissionsBoundary") {
		return physical{}, errors.New("the demo knows no permissions boundary by its ARN")
	}
	trust, err := json.Marshal(p.Any("AssumeRolePolicyDocument"))
	role.Trust = string(trust)
	for _, policy := range p.Objects("Policies") {
		document, err := json.Marshal(policy.Any("PolicyDocument"))
		if err != nil {
			return physical{}, err
		}
		role.Policies[policy.String("PolicyName")] = string(document)
	}
	b.roles = append(b.roles, role)
	return physical{Ref: name, Attributes: map[string]string{"Arn": role.ARN}}, err
}

// functionNames are what CloudFormation names functions here, where it would add random letters.
var functionNames = map[string]string{"FrontFunction": "nightlatch", "BeatFunction": "nightlatch-beat"}

func functionARN(name string) string {
	return "arn:aws:lambda:" + demoRegion + ":" + demoAccount + ":function:" + name
}

func (b *builder) makeFunction(r resource, p *properties) (physical, error) {
	p.Any("Description")
	p.Any("Code") // the demo's own
	logging := p.Object("LoggingConfig")
	if logging.String("LogGroup") == "" {
		return physical{}, errors.New("the log would go to a group that Lambda makes and keeps for ever")
	}
	logging.Any("LogFormat")
	if !all(p.String("Runtime") == "provided.al2023", slices.Contains([]string{"arm64", "x86_64"}, strings.Join(p.Strings("Architectures"), " "))) {
		return physical{}, errors.New("the functions' program is a bootstrap for provided.al2023")
	}
	f := lambda.Function{Name: cmp.Or(functionNames[r.LogicalID], r.LogicalID), Handler: p.String("Handler"), Timeout: time.Duration(p.Int("Timeout", 3)) * time.Second,
		MemoryMB: p.Int("MemorySize", 128), Instances: p.Int("ReservedConcurrentExecutions", 0), Env: p.Object("Environment").Texts("Variables")}
	b.functionRole = p.String("Role")
	b.functions = append(b.functions, f)
	return physical{Ref: f.Name, Attributes: map[string]string{"Arn": functionARN(f.Name)}}, nil
}

func (b *builder) makeInvokeConfig(r resource, p *properties) (physical, error) {
	i := slices.IndexFunc(b.functions, func(f lambda.Function) bool { return f.Name == p.String("FunctionName") })
	if i < 0 || p.String("Qualifier") != "$LATEST" {
		return physical{}, fmt.Errorf("there is no function %s:%s", p.String("FunctionName"), p.String("Qualifier"))
	}
	b.functions[i].MaximumRetryAttempts = new(p.Int("MaximumRetryAttempts", 2))
	b.functions[i].MaximumEventAge = time.Duration(p.Int("MaximumEventAgeInSeconds", 0)) * time.Second
	return ref(r.LogicalID), nil
}

func (b *builder) makePermission(r resource, p *properties) (physical, error) {
	b.permissions = append(b.permissions, iam.Permission{Function: p.String("FunctionName"), Action: p.String("Action"), Principal: p.String("Principal"),
		SourceARN: p.String("SourceArn"), SourceAccount: p.String("SourceAccount")})
	return ref(r.LogicalID), nil
}

func (b *builder) makePool(r resource, p *properties) (physical, error) {
	for _, name := range []string{"UserPoolName", "UserPoolTier", "AccountRecoverySetting", "MfaConfiguration", "Policies"} {
		p.Any(name)
	}
	for _, a := range p.Objects("Schema") {
		kind, changes, length := a.String("AttributeDataType"), a.Bool("Mutable", false), a.Object("StringAttributeConstraints")
		length.Any("MinLength")
		length.Any("MaxLength")
		name := a.String("Name")
		if !all(kind == "String", changes) {
			return physical{}, fmt.Errorf("the attribute %s does not say that it is a String and Mutable, as one that each sign-in writes must be", name)
		}
		b.attributes = append(b.attributes, "custom:"+name)
	}
	if !p.Object("AdminCreateUserConfig").Bool("AllowAdminCreateUserOnly", false) {
		return physical{}, errors.New("anybody could sign up by themselves: AllowAdminCreateUserOnly is not true")
	}
	id := cmp.Or(b.known.pool, demoRegion+"_DEMO00000")
	return physical{Ref: id, Attributes: map[string]string{"Arn": "arn:aws:cognito-idp:" + demoRegion + ":" + demoAccount + ":userpool/" + id}}, nil
}

func (b *builder) makePoolDomain(r resource, p *properties) (physical, error) {
	p.Any("UserPoolId")
	p.Any("ManagedLoginVersion")
	return ref(p.String("Domain")), nil
}

func (b *builder) makeProvider(r resource, p *properties) (physical, error) {
	p.Any("UserPoolId")
	details := p.Object("ProviderDetails")
	if !all(p.String("ProviderType") == "SAML", details.String("MetadataURL") != "") {
		return physical{}, errors.New("the demo's provider is a SAML one with a metadata address")
	}
	b.pool.ProviderName, b.pool.AttributeMapping, b.pool.MetadataURL = p.String("ProviderName"), p.Texts("AttributeMapping"), details.String("MetadataURL")
	for attribute := range b.pool.AttributeMapping {
		if strings.HasPrefix(attribute, "custom:") && !slices.Contains(b.attributes, attribute) {
			return physical{}, fmt.Errorf("%s is mapped, and the pool's Schema does not have it", attribute)
		}
	}
	return ref(b.pool.ProviderName), nil
}

// minutes and hours are what TokenValidityUnits knows; the default of each token is another (CreateUserPoolClient).
var tokenUnits = map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": 24 * time.Hour}

func (b *builder) makeClient(r resource, p *properties) (physical, error) {
	for _, name := range []string{"UserPoolId", "ClientName", "PreventUserExistenceErrors", "EnableTokenRevocation", "IdTokenValidity"} {
		p.Any(name)
	}
	units := p.Object("TokenValidityUnits")
	units.Any("IdToken")
	b.pool.AccessTokenValidity = time.Duration(p.Int("AccessTokenValidity", 1)) * tokenUnits[cmp.Or(units.String("AccessToken"), "hours")]
	b.pool.RefreshTokenValidity = time.Duration(p.Int("RefreshTokenValidity", 30)) * tokenUnits[cmp.Or(units.String("RefreshToken"), "days")]
	b.pool.CallbackURLs, b.pool.LogoutURLs, b.pool.Scopes = p.Strings("CallbackURLs"), p.Strings("LogoutURLs"), p.Strings("AllowedOAuthScopes")
	var faults []error
	for _, f := range []struct {
		good bool
		what string
	}{
		{p.Bool("GenerateSecret", false), "a load balancer takes no client without a secret: GenerateSecret is not true"},
		{all(p.Bool("AllowedOAuthFlowsUserPoolClient", false), slices.Equal(p.Strings("AllowedOAuthFlows"), []string{"code"})), "the client may not use the code flow"},
		{slices.Equal(p.Strings("SupportedIdentityProviders"), []string{b.pool.ProviderName}), "the client's providers are not the one that there is"},
		{slices.Equal(p.Strings("ExplicitAuthFlows"), []string{"ALLOW_REFRESH_TOKEN_AUTH"}), "the client allows more than refreshing: ExplicitAuthFlows"},
	} {
		if !f.good {
			faults = append(faults, errors.New(f.what))
		}
	}
	// What is mapped must be writable, and what the function should see readable. Left out, both are the standard
	// attributes ("CreateUserPoolClient", Amazon Cognito API Reference).
	read, write := p.Strings("ReadAttributes"), p.Strings("WriteAttributes")
	for attribute := range b.pool.AttributeMapping {
		standard := !strings.HasPrefix(attribute, "custom:")
		if (read == nil && !standard) || (read != nil && !slices.Contains(read, attribute)) || (write == nil && !standard) || (write != nil && !slices.Contains(write, attribute)) {
			faults = append(faults, fmt.Errorf("%s is mapped, and the client may not read and write it", attribute))
		}
	}
	return physical{Ref: cmp.Or(b.known.client, "demoClient"), Attributes: map[string]string{"ClientSecret": b.known.secret}}, errors.Join(faults...)
}

func (b *builder) makeCertificate(r resource, p *properties) (physical, error) {
	b.domain, b.certificate = p.String("DomainName"), "arn:aws:acm:"+demoRegion+":"+demoAccount+":certificate/0d3a11c0-ffee-4000-8000-000000000001"
	options := p.Objects("DomainValidationOptions")
	if p.String("ValidationMethod") != "DNS" || len(options) != 1 || !all(options[0].String("HostedZoneId") == demoZone, options[0].String("DomainName") == b.domain) {
		return physical{}, errors.New("nobody would validate the certificate: it is not validated by DNS in the domain's zone")
	}
	return ref(b.certificate), nil
}

// The names that AWS gives to a load balancer and to an API's domain.
const (
	balancerDNS, balancerZone = "nightlatch-1234567890." + demoRegion + ".elb.amazonaws.com", "Z35SXDOTRQ7X7K"
	apiDNS, apiZone           = "d-0d3a11c0ff.execute-api." + demoRegion + ".amazonaws.com", "Z1UJRXOUMOOFQ8"
)

func (b *builder) makeRecord(r resource, p *properties) (physical, error) {
	to := p.Object("AliasTarget")
	to.Any("EvaluateTargetHealth")
	dns, zone := balancerDNS, balancerZone
	if b.front == frontHTTPAPI {
		dns, zone = apiDNS, apiZone
	}
	b.named = all(p.String("Name") == demoSite, p.String("Type") == "A", p.String("HostedZoneId") == demoZone, to.String("DNSName") == dns, to.String("HostedZoneId") == zone)
	return ref(p.String("Name")), nil
}

func (b *builder) makeSecurityGroup(r resource, p *properties) (physical, error) {
	p.Any("GroupDescription")
	p.Any("VpcId")
	out := false
	for _, e := range p.Objects("SecurityGroupEgress") {
		e.Any("Description")
		to, https := e.String("CidrIp"), isHTTPS(e)
		out = out || https && to == "0.0.0.0/0"
	}
	for _, i := range p.Objects("SecurityGroupIngress") {
		i.Any("Description")
		from, err := netip.ParsePrefix(cmp.Or(i.String("CidrIp"), i.String("CidrIpv6")))
		if err != nil {
			return physical{}, err
		}
		https := isHTTPS(i)
		b.ingress = b.ingress || https && from.Contains(netip.MustParseAddr("127.0.0.1"))
	}
	if !out {
		return physical{}, errors.New("the load balancer could not reach the user pool: the security group lets no HTTPS out")
	}
	return ref("sg-0d3a11c0ffee00001"), nil
}

// isHTTPS reports whether a security group's rule is about port 443.
func isHTTPS(p *properties) bool {
	protocol, from, to := p.String("IpProtocol"), p.Int("FromPort", 0), p.Int("ToPort", 0)
	return protocol == "tcp" && from <= 443 && to >= 443
}

func (b *builder) makeLoadBalancer(r resource, p *properties) (physical, error) {
	for _, name := range []string{"Scheme", "IpAddressType", "SecurityGroups"} {
		p.Any(name)
	}
	if len(p.Strings("Subnets")) < 2 {
		return physical{}, errors.New("a load balancer is in two zones or more")
	}
	b.alb.Name = cmp.Or(p.String("Name"), demoStack)
	for _, a := range p.Objects("LoadBalancerAttributes") {
		if key, value := a.String("Key"), a.String("Value"); key == "routing.http.drop_invalid_header_fields.enabled" {
			b.alb.DropInvalidHeaderFields = value == "true"
		}
	}
	arn := cmp.Or(b.known.loadBalancer, "arn:aws:elasticloadbalancing:"+demoRegion+":"+demoAccount+":loadbalancer/app/"+b.alb.Name+"/0000000000000000")
	_, full, _ := strings.Cut(arn, ":loadbalancer/")
	return physical{Ref: arn, Attributes: map[string]string{"DNSName": balancerDNS, "CanonicalHostedZoneID": balancerZone, "LoadBalancerFullName": full}}, nil
}

func (b *builder) makeListener(r resource, p *properties) (physical, error) {
	p.Any("LoadBalancerArn")
	p.Any("SslPolicy")
	secure := all(p.String("Protocol") == "HTTPS", p.Int("Port", 0) == 443)
	for _, c := range p.Objects("Certificates") {
		b.listening = all(secure, c.String("CertificateArn") == b.certificate, b.domain == demoSite)
	}
	for _, a := range p.Objects("DefaultActions") {
		kind := a.String("Type")
		a.Any("FixedResponseConfig")
		a.Any("RedirectConfig")
		if kind != "fixed-response" && kind != "redirect" {
			return physical{}, fmt.Errorf("the default action is %s: it would serve every name that leads here", kind)
		}
	}
	return ref("arn:aws:elasticloadbalancing:" + demoRegion + ":" + demoAccount + ":listener/app/" + b.alb.Name + "/0000000000000000/" + fmt.Sprintf("%016x", p.Int("Port", 0))), nil
}

func (b *builder) makeRule(r resource, p *properties) (physical, error) {
	p.Any("ListenerArn")
	priority := p.Int("Priority", 0)
	path := "*"
	host := false
	for _, c := range p.Objects("Conditions") {
		switch field := c.String("Field"); field {
		case "host-header":
			host = slices.Equal(c.Object("HostHeaderConfig").Strings("Values"), []string{demoSite})
		case "path-pattern":
			path = strings.Join(c.Object("PathPatternConfig").Strings("Values"), " ")
		default:
			return physical{}, fmt.Errorf("the demo's load balancer knows no condition %s", field)
		}
	}
	if !host {
		return physical{}, errors.New("the rule is for other hosts than " + demoSite)
	}
	actions := p.Objects("Actions")
	slices.SortStableFunc(actions, func(a, b *properties) int { return cmp.Compare(a.Int("Order", 1), b.Int("Order", 1)) })
	for _, a := range actions {
		var err error
		switch kind := a.String("Type"); kind {
		case "fixed-response":
			if path != "*" {
				b.others[r.LogicalID] = priority
			}
			f := a.Object("FixedResponseConfig")
			b.alb.Rules = append(b.alb.Rules, alb.Rule{Path: path, Status: f.Int("StatusCode", 0), ContentType: f.String("ContentType"), Body: f.String("MessageBody")})
		case "authenticate-cognito":
			err = b.authenticate(a.Object("AuthenticateCognitoConfig"))
		case "forward":
			if b.alb.SessionTimeout == 0 {
				err = errors.New("the rule forwards without having authenticated")
			}
			b.alb.TargetGroupARN, b.forwards = a.String("TargetGroupArn"), priority
			if path != "*" {
				err = errors.New("the rule leads only " + path + " to the function")
			}
		default:
			err = fmt.Errorf("the demo's load balancer knows no action %s", kind)
		}
		if err != nil {
			return physical{}, err
		}
	}
	return ref(r.LogicalID), nil
}

func (b *builder) authenticate(p *properties) error {
	if !all(p.String("UserPoolClientId") == cmp.Or(b.known.client, "demoClient"), p.String("UserPoolDomain") == demoPrefix, strings.HasSuffix(p.String("UserPoolArn"), "/"+cmp.Or(b.known.pool, demoRegion+"_DEMO00000"))) {
		return errors.New("the rule authenticates with another pool, domain or client than the stack's")
	}
	b.alb.Scope, b.alb.SessionCookieName = p.String("Scope"), p.String("SessionCookieName")
	b.alb.SessionTimeout = time.Duration(p.Int("SessionTimeout", 604800)) * time.Second
	b.alb.ExtraParams, b.alb.OnUnauthenticated = p.Texts("AuthenticationRequestExtraParams"), alb.OnUnauthenticated(p.String("OnUnauthenticatedRequest"))
	return nil
}

func (b *builder) makeTargetGroup(r resource, p *properties) (physical, error) {
	p.Any("HealthCheckEnabled")
	for _, t := range p.Objects("Targets") {
		b.alb.FunctionARN = t.String("Id")
	}
	if !all(p.String("TargetType") == "lambda", b.alb.FunctionARN != "") {
		return physical{}, errors.New("the target group has no function")
	}
	for _, a := range p.Objects("TargetGroupAttributes") {
		if key := a.String("Key"); key != "lambda.multi_value_headers.enabled" {
			return physical{}, fmt.Errorf("the demo's load balancer knows no attribute %s", key)
		}
		b.alb.MultiValueHeaders = a.String("Value") == "true"
	}
	b.alb.TargetGroupName = p.String("Name")
	arn := cmp.Or(b.known.targetGroup, "arn:aws:elasticloadbalancing:"+demoRegion+":"+demoAccount+":targetgroup/"+p.String("Name")+"/0000000000000000")
	return physical{Ref: arn, Attributes: map[string]string{"TargetGroupFullName": arn[strings.LastIndex(arn, ":")+1:]}}, nil
}

func (b *builder) makeAPI(r resource, p *properties) (physical, error) {
	p.Any("Name")
	if !all(p.String("ProtocolType") == "HTTP", p.Bool("DisableExecuteApiEndpoint", false)) {
		return physical{}, errors.New("the API is not an HTTP API under its own name alone")
	}
	b.api.APIID = demoAPI
	return ref(demoAPI), nil
}

func (b *builder) makeIntegration(r resource, p *properties) (physical, error) {
	p.Any("ApiId")
	b.api.FunctionARN, b.api.IntegrationTimeout = p.String("IntegrationUri"), time.Duration(p.Int("TimeoutInMillis", 30000))*time.Millisecond
	if !all(p.String("IntegrationType") == "AWS_PROXY", p.String("PayloadFormatVersion") == "2.0") {
		return physical{}, errors.New("the function wants payload format version 2.0 of a proxy integration")
	}
	return ref("0d3a11c"), nil
}

func (b *builder) makeRoute(r resource, p *properties) (physical, error) {
	p.Any("ApiId")
	if !all(p.String("RouteKey") == "$default", p.String("Target") == "integrations/0d3a11c", p.String("AuthorizationType") == "NONE") {
		return physical{}, errors.New("the route is not one that leads everything to the function")
	}
	return ref("0d3a11d"), nil
}

func (b *builder) makeStage(r resource, p *properties) (physical, error) {
	p.Any("ApiId")
	settings := p.Object("DefaultRouteSettings")
	b.api.RateLimit, b.api.BurstLimit = float64(settings.Int("ThrottlingRateLimit", 0)), settings.Int("ThrottlingBurstLimit", 0)
	if !all(p.String("StageName") == "$default", p.Bool("AutoDeploy", false)) {
		return physical{}, errors.New("the stage is not $default, or is not deployed")
	}
	return ref("$default"), nil
}

func (b *builder) makeAPIDomain(r resource, p *properties) (physical, error) {
	b.api.Domain = p.String("DomainName")
	for _, c := range p.Objects("DomainNameConfigurations") {
		b.listening = all(c.String("CertificateArn") == b.certificate, c.String("EndpointType") == "REGIONAL", c.String("SecurityPolicy") == "TLS_1_2", b.domain == demoSite)
	}
	b.ingress = true
	return physical{Ref: b.api.Domain, Attributes: map[string]string{"RegionalDomainName": apiDNS, "RegionalHostedZoneId": apiZone}}, nil
}

func (b *builder) makeMapping(r resource, p *properties) (physical, error) {
	if !all(p.String("ApiId") == demoAPI, p.String("DomainName") == demoSite, p.String("Stage") == "$default") {
		return physical{}, errors.New("the mapping is not of the page's name to the API's stage")
	}
	return ref("0d3a11e"), nil
}

// whole says what is missing once every resource was read.
func (b *builder) whole() error {
	var faults []error
	for _, f := range []struct {
		good bool
		what string
	}{
		{b.table.Partition != "" && b.table.Sort != "", "there is no table with a partition and a sort key"},
		{len(b.functions) == 2, "there are not two functions, front and beat"},
		{b.listening, "nothing listens with a certificate for " + demoSite},
		{b.ingress, "no security group lets this machine in by HTTPS"},
		{b.named, demoSite + " does not lead to the front"},
		{b.front == frontHTTPAPI || b.alb.TargetGroupARN != "", "no rule forwards to the function: is there an identity provider?"},
	} {
		if !f.good {
			faults = append(faults, errors.New(f.what))
		}
	}
	// The rule with the lowest priority is tried first ("Listener rules", User Guide for Application Load Balancers).
	for _, name := range slices.Sorted(maps.Keys(b.others)) {
		switch at := b.others[name]; {
		case b.forwards == 0:
		case at > b.forwards:
			faults = append(faults, fmt.Errorf("%s comes after the rule that forwards everything: nobody would ever get its answer", name))
		case at == b.forwards:
			faults = append(faults, fmt.Errorf("%s has the priority of the rule that forwards: AWS takes each once", name))
		}
	}
	return errors.Join(faults...)
}
