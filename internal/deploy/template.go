package deploy

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"text/template"

	"github.com/nightlatch/nightlatch/internal/config"
)

var (
	//go:embed template.yaml
	templateText string
	//go:embed parts.yaml
	partsText string
	//go:embed dashboard.json
	dashboardText string
)

// The template's parameters, as CreateChangeSet names them.
const (
	ParameterCodeBucket          = "CodeBucket"
	ParameterCodeKey             = "CodeKey"
	ParameterSAMLMetadataURL     = "SamlMetadataUrl"
	ParameterSAMLMetadata        = "SamlMetadata" // with a number from 1 to MetadataPieces behind it
	ParameterOIDCClientSecret    = "OidcClientSecret"
	ParameterWebhookURL          = "WebhookUrl"
	ParameterLoadBalancerDNSName = "LoadBalancerDnsName"
	ParameterLoadBalancerZoneID  = "LoadBalancerZoneId"
	ParameterReservedConcurrency = "ReservedConcurrency"
	ParameterPermissionsBoundary = "PermissionsBoundary"
	ParameterRolePath            = "RolePath"
	ParameterAlarmTopic          = "AlarmTopicArn"
)

// The template's outputs.
const (
	OutputURL               = "Url"
	OutputStartURL          = "StartUrl"
	OutputACSURL            = "AcsUrl"
	OutputSAMLAudience      = "SamlAudience"
	OutputProviderName      = "ProviderName"
	OutputUserPoolID        = "UserPoolId"
	OutputUserPoolDomain    = "UserPoolDomain"
	OutputIssuer            = "Issuer"
	OutputUserPoolClientID  = "UserPoolClientId"
	OutputSignIn            = "SignIn" // SignInReady or SignInPending
	OutputTableName         = "TableName"
	OutputDeadmanGroup      = "DeadmanGroup"
	OutputDeadmanRoleARN    = "DeadmanRoleArn"
	OutputDeadLetterARN     = "DeadLetterArn"
	OutputFrontFunctionName = "FrontFunctionName"
	OutputBeatFunctionName  = "BeatFunctionName"
	OutputFunctionRoleARN   = "FunctionRoleArn"
	OutputLoadBalancerARN   = "LoadBalancerArn"
	OutputListenerARN       = "ListenerArn"
	OutputTargetGroupARN    = "TargetGroupArn"
	OutputAPIID             = "ApiId"
	OutputCodeKey           = "CodeKey"

	SignInReady   = "ready"
	SignInPending = "pending"
)

const (
	// MetadataPieces times pieceSize is the longest SAML metadata that the template takes as a text.
	MetadataPieces = 4
	pieceSize      = 4096 // a parameter's value ("CloudFormation quotas")
	// policySize is what a role's inline policies may have together, white space not counted ("IAM and AWS STS quotas").
	policySize = 10_240
)

// view is what the template sees.
type view struct {
	*config.Deploy
	MadePool, OwnIssuer    bool // neither: an existing pool
	Notify                 bool
	Function, Deadman      []Statement
	Beat                   []Statement
	ScheduleGroups         []scheduleGroup
	LogFormat              string
	Architecture           string // as Lambda names it
	Prefix, PoolID         string
	PoolDomain, Provider   string
	Callback, SignedOut    string
	Scope                  string
	Scopes                 []string
	Logout, SignInOrigins  string
	SessionCookie          string
	Listener               string
	ListenerLoadBalancer   string
	ListenerFullName       string
	VPC                    string
	Subnets, Allow         []string
	Internal               bool
	DeletionProtection     bool
	LogBucket, LogPath     string
	Priority               int
	TargetGroup            string
	Pieces                 []int
	Pending, SignedOutPage string
	Dashboard              string
	Queries                []query
}

type scheduleGroup struct{ Region, Name string }

type query struct{ ID, Name, Text string }

// queries are for CloudWatch Logs Insights, over both functions' logs.
var queries = []query{
	{"QueryAudit", "audit", `fields @timestamp, audit.subject, audit.name, audit.action, audit.endpoint, audit.code, audit.why
| filter ispresent(audit.action)
| sort @timestamp desc
| limit 200`},
	{"QueryErrors", "errors", `fields @timestamp, level, msg, err, request_id
| filter level in ["ERROR", "WARN"]
| sort @timestamp desc
| limit 200`},
	{"QueryOpen", "what is open", `fields @timestamp, Open, AssociatedSubnets, Leases, Connections
| filter Open > 0
| stats max(Open), max(AssociatedSubnets), max(Leases), max(Connections) by bin(15m)`},
	{"QueryColdStarts", "cold starts", `filter @type = "REPORT" and ispresent(@initDuration)
| stats count(), pct(@initDuration, 50), pct(@initDuration, 95), pct(@duration, 50), max(@maxMemoryUsed / 1000000) by @log`},
}

const (
	// sharedCookie is for rules on a load balancer that other applications have rules on: each needs a name of its own
	// ("Authenticate users using an Application Load Balancer").
	sharedCookie = "AWSELBAuthSessionCookie-"
	ownCookie    = "AWSELBAuthSessionCookie"

	// pendingText and signedOutPage are said by the load balancer, which takes 1,024 characters (FixedResponseActionConfig).
	pendingText   = "Nightlatch is not finished yet: sign-in has no identity provider. Whoever deploys it goes on with: nightlatch deploy apply --saml-metadata URL"
	signedOutPage = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Signed out</title>` +
		`<body style="font:1.1rem/1.6 system-ui,sans-serif;max-width:30rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark"><h1>You are signed out</h1>` +
		`<p lang="ko">로그아웃했습니다.</p><p lang="ja">サインアウトしました。</p>` +
		`<p>The VPN keeps running for as long as somebody needs it.</p><p><a href="/">Sign in again</a></p></body></html>`
)

// Render makes the CloudFormation template for a configuration that has a deploy section. Its structure follows the
// configuration; what a deployment may be told anew each time are parameters, with the configuration's values as their
// defaults where it has some. An error says which of CloudFormation's or IAM's limits the configuration would break.
func Render(c *config.Config) ([]byte, error) {
	d := c.Deploy
	if d == nil {
		return nil, errors.New("the configuration has no deploy section: nightlatch init writes one")
	}
	v := view{
		Deploy: d, Notify: c.Notify != nil, LogFormat: "Text",
		MadePool: !c.Issuer() && d.UserPool.ID == "", OwnIssuer: c.Issuer(),
		Function: FunctionStatements(c), Deadman: DeadmanStatements(c), Beat: beatStatements(),
		Architecture: map[string]string{"arm64": "arm64", "amd64": "x86_64"}[d.Architecture],
		Prefix:       d.UserPool.Prefix, PoolID: d.UserPool.ID, PoolDomain: d.UserPool.Domain, Provider: d.UserPool.Provider,
		Callback: "https://" + d.Domain + "/oauth2/idpresponse", SignedOut: "https://" + d.Domain + "/signed-out", Scope: "openid", Scopes: []string{"openid"},
		SessionCookie: ownCookie, VPC: d.LoadBalancer.VPC, Subnets: d.LoadBalancer.Subnets, Internal: d.LoadBalancer.Internal,
		DeletionProtection: d.LoadBalancer.DeletionProtection, LogBucket: d.LoadBalancer.LogBucket, LogPath: d.LoadBalancer.LogPath,
		Listener: d.LoadBalancer.Listener, Priority: d.LoadBalancer.Priority, Pending: pendingText, SignedOutPage: signedOutPage, Queries: queries,
	}
	for i := range MetadataPieces {
		v.Pieces = append(v.Pieces, i+1)
	}
	for _, e := range c.Endpoints {
		if e.RoleARN == "" {
			g := scheduleGroup{e.Region, switchGroup(c, e)}
			if !slices.Contains(v.ScheduleGroups, g) {
				v.ScheduleGroups = append(v.ScheduleGroups, g)
			}
		}
	}
	if home := (scheduleGroup{c.Region, d.Stack}); !slices.Contains(v.ScheduleGroups, home) {
		v.ScheduleGroups = append(v.ScheduleGroups, home)
	}
	if d.Front == config.FrontHTTPAPI {
		v.Callback, v.Scopes = "https://"+d.Domain+"/oauth2/callback", []string{"openid", "email", "profile"}
	}
	if prefix, ok := strings.CutSuffix(d.UserPool.Domain, ".auth."+c.Region+".amazoncognito.com"); ok && v.PoolID != "" {
		v.Prefix = prefix
	} else if v.PoolID != "" {
		v.Prefix = d.UserPool.Domain
	}
	origins := append([]string{"https://" + v.PoolDomain}, d.SignInOrigins...)
	v.SignInOrigins = strings.Join(origins, ",")
	// ${UserPoolClient} is for Fn::Sub.
	v.Logout = "https://" + v.PoolDomain + "/logout?client_id=${UserPoolClient}&logout_uri=" + url.QueryEscape(v.SignedOut)
	if v.Listener != "" {
		v.SessionCookie = sharedCookie + d.Stack
		arn, full, _ := strings.Cut(v.Listener, ":listener/")
		full = full[:strings.LastIndex(full, "/")]
		v.ListenerLoadBalancer, v.ListenerFullName = arn+":loadbalancer/"+full, full
	}
	// A target group is of one load balancer, and CloudFormation makes the new one first: with another load balancer it
	// needs another name. CloudFormation names the load balancer itself.
	sum := sha256.Sum256(fmt.Append(nil, v.Listener, v.Internal, v.VPC))
	v.TargetGroup = fmt.Sprintf("%s-%x", d.Stack, sum[:4])
	for _, p := range d.LoadBalancer.Allow {
		v.Allow = append(v.Allow, cidr(p))
	}
	var err error
	if v.Dashboard, err = dashboard(c); err != nil {
		return nil, err
	}
	if size := policyLength(v.Function); size > policySize {
		return nil, fmt.Errorf("%d endpoints need a policy of about %d characters, and a role takes %d: put some of them into another deployment", len(c.Endpoints), size, policySize)
	}
	return execute("template.yaml", templateText, v)
}

// execute renders a template with the parts that they all share.
func execute(name, text string, view any) ([]byte, error) {
	t, err := template.New(name).Funcs(template.FuncMap{"json": quote, "resource": resource, "next": func(i int) int { return i + 1 }}).Parse(text)
	if err == nil {
		t, err = t.Parse(partsText)
	}
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, view); err != nil {
		return nil, err
	}
	return tidy(b.Bytes()), nil
}

// tidy drops the first lines, which are about the template's own source, and lines that a branch not taken left empty.
func tidy(raw []byte) []byte {
	var out []string
	for line := range strings.Lines(string(raw)) {
		blank := strings.TrimSpace(line) == ""
		if blank && (len(out) == 0 || out[len(out)-1] == "\n") || len(out) == 0 && strings.HasPrefix(line, "#") {
			continue
		}
		out = append(out, strings.TrimRight(line, " \n")+"\n")
	}
	return []byte("# Rendered by \"nightlatch deploy template\" from nightlatch.yaml.\n" + strings.TrimRight(strings.Join(out, ""), "\n") + "\n")
}

// quote writes a value as JSON, which is YAML that needs no thought about quotes.
func quote(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSpace(b.String()), err
}

// resource writes one resource of a statement.
func resource(r string) (string, error) {
	text, err := quote(r)
	if err == nil && strings.Contains(r, "${") {
		text = "!Sub " + text
	}
	return text, err
}

// cidr is a block as a security group's rule names it.
func cidr(p netip.Prefix) string {
	if p.Addr().Is6() {
		return fmt.Sprintf("CidrIpv6: %q", p)
	}
	return fmt.Sprintf("CidrIp: %q", p)
}

// switchGroup is the schedule group of an endpoint's dead-man's switches; the stack makes that of its own Region.
func switchGroup(c *config.Config, e config.Endpoint) string {
	return cmp.Or(e.Deadman.Group, c.Deploy.Stack)
}

// dashboard is the dashboard's body, with ${…} for Fn::Sub.
func dashboard(c *config.Config) (string, error) {
	var compact bytes.Buffer
	if err := json.Compact(&compact, []byte(strings.ReplaceAll(dashboardText, "STACK", c.Deploy.Stack))); err != nil {
		return "", fmt.Errorf("dashboard.json: %w", err)
	}
	return compact.String(), nil
}
