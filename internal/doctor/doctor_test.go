package doctor

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/survey"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	number   = "111122223333"
	balancer = "arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/nightlatch/0123456789abcdef"
	listener = "arn:aws:elasticloadbalancing:us-east-1:111122223333:listener/app/nightlatch/0123456789abcdef/fedcba9876543210"
	front    = "arn:aws:lambda:us-east-1:111122223333:function:nightlatch-front"
	beat     = "arn:aws:lambda:us-east-1:111122223333:function:nightlatch-beat"
	group    = "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/nightlatch/1"
	role     = "arn:aws:iam::111122223333:role/nightlatch/FunctionRole"
)

const poolIssuer = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Pool"

const albFile = `region: us-east-1
deploy:
  domain: vpn.example.com
  hosted_zone: Z0123456789ABC
  load_balancer: {vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}
  user_pool: {prefix: example-vpn}
  groups: true
  alarm_topic: arn:aws:sns:us-east-1:111122223333:alarms
endpoints:
  - name: office
    id: cvpn-endpoint-0a
    subnets: [subnet-0a, subnet-0b]
`

const httpFile = `region: us-east-1
deploy:
  front: httpapi
  domain: vpn.example.com
  hosted_zone: Z0123456789ABC
  user_pool: {prefix: example-vpn}
endpoints:
  - name: office
    id: cvpn-endpoint-0a
    subnets: [subnet-0a, subnet-0b]
`

// world is an account in which everything is in place, until a test breaks it.
type world struct {
	file        string
	fault       error
	nobody      error
	calls       []Call
	metadata    func([]byte, time.Time) (Metadata, error)
	fail        map[string]error // by method
	identity    survey.Identity
	stack       survey.Stack
	endpoints   []survey.Endpoint
	assoc       []survey.Association
	rules       []survey.Rule
	subnets     []survey.Subnet
	decisions   func(actions, resources []string) []survey.Decision
	answer      string
	answerFault string
	functions   map[string]survey.Function
	provider    survey.Provider
	client      survey.Client
	balancer    survey.Balancer
	listener    []survey.ListenerRule
	group       survey.TargetGroup
	api         survey.APIDomain
	zone        survey.Zone
	certificate survey.Certificate
	table       survey.Table
	schedule    survey.Schedule
	schedules   []string
	letters     int
	alarms      []survey.Alarm
	prices      map[string]survey.Price
	ns          []string
	hosts       map[string][]string
	page        func(*http.Request) (*http.Response, error)
}

func reply(code int, location, body string) func(*http.Request) (*http.Response, error) {
	return func(r *http.Request) (*http.Response, error) {
		h := http.Header{}
		if location != "" {
			h.Set("Location", location)
		}
		return &http.Response{StatusCode: code, Status: fmt.Sprint(code, " ", http.StatusText(code)), Header: h, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	}
}

func whole() *world {
	w := &world{
		file: albFile, fail: map[string]error{},
		identity: survey.Identity{Account: number, ARN: "arn:aws:iam::111122223333:user/kim", ClockRead: true},
		stack: survey.Stack{Name: "nightlatch", Status: "CREATE_COMPLETE",
			Outputs: map[string]string{"Url": "https://vpn.example.com/", "TableName": "nightlatch-T", "DeadmanGroup": "nightlatch", "DeadmanRoleArn": "arn:aws:iam::111122223333:role/Deadman",
				"DeadLetterArn": "arn:aws:sqs:us-east-1:111122223333:dead", "FrontFunctionName": "nightlatch-front", "BeatFunctionName": "nightlatch-beat", "FunctionRoleArn": role,
				"UserPoolId": "us-east-1_Pool", "UserPoolClientId": "4abc", "UserPoolDomain": "example-vpn.auth.us-east-1.amazoncognito.com", "ProviderName": "IdentityCenter", "Issuer": poolIssuer, "SignIn": "ready"},
			Resources: map[string]string{"HttpsListener": listener, "FrontRule": "rule-front", "SignedOutRule": "rule-out", "TargetGroup": group, "Certificate": "arn:aws:acm:us-east-1:111122223333:certificate/1",
				"BeatSchedule": "nightlatch-beat", "DeadLetterQueue": "https://sqs.us-east-1.amazonaws.com/111122223333/dead", "StuckAlarm": "nightlatch-stuck", "BeatMissingAlarm": "nightlatch-beat-missing",
				"FrontLogGroup": "/nightlatch/nightlatch/front", "BeatLogGroup": "/nightlatch/nightlatch/beat", "Api": "a1b2"}},
		endpoints: []survey.Endpoint{{ID: "cvpn-endpoint-0a", Status: "available", VPC: "vpc-0a", ClientCIDR: "172.20.0.0/16"}},
		assoc:     []survey.Association{{ID: "cvpn-assoc-0a", Subnet: "subnet-0a", Status: "associated"}},
		rules:     []survey.Rule{{Destination: "10.0.0.0/16", Status: "active"}},
		subnets: []survey.Subnet{{ID: "subnet-0a", VPC: "vpc-0a", Zone: "us-east-1a", CIDR: "10.0.1.0/24", Free: 200},
			{ID: "subnet-0b", VPC: "vpc-0a", Zone: "us-east-1b", CIDR: "10.0.2.0/24", Free: 200}},
		calls: []Call{{Actions: []string{"ec2:DescribeClientVpnEndpoints"}, Resources: []string{"*"}}, {Actions: []string{"dynamodb:GetItem"}, Resources: []string{"${Table.Arn}"}},
			{Actions: []string{"ec2:AssociateClientVpnTargetNetwork"}, Resources: []string{"arn:${AWS::Partition}:ec2:*:*:subnet/subnet-0a"}},
			{Actions: []string{"iam:PassRole"}, Resources: []string{"${DeadmanRole.Arn}"}, Conditions: map[string]string{"iam:PassedToService": "scheduler.amazonaws.com"}}},
		decisions: func(actions, resources []string) (all []survey.Decision) {
			for _, a := range actions {
				for _, r := range resources {
					all = append(all, survey.Decision{Action: a, Resource: r, Allowed: true})
				}
			}
			return all
		},
		answer: `{"checks":[{"name":"table","result":"ok","detail":"read and written"}]}`,
		functions: map[string]survey.Function{
			"nightlatch-front": {State: "Active", Update: "Successful", Runtime: "provided.al2023", Architecture: "arm64", Role: role, EventAge: time.Minute,
				Variables: map[string]string{"NIGHTLATCH_SIGNIN_ALB_ARN": balancer, "NIGHTLATCH_SIGNIN_ALB_CLIENT_ID": "4abc", "NIGHTLATCH_SIGNIN_ALB_ISSUER": poolIssuer,
					"NIGHTLATCH_SIGNIN_OIDC_REDIRECT_URL": "https://vpn.example.com/oauth2/callback", "NIGHTLATCH_SIGNIN_OIDC_CLIENT_ID": "4abc", "NIGHTLATCH_SIGNIN_OIDC_ISSUER": poolIssuer}},
			"nightlatch-beat": {State: "Active", Update: "Successful", Runtime: "provided.al2023", Architecture: "arm64", Role: role, EventAge: time.Minute},
		},
		metadata: func(raw []byte, now time.Time) (Metadata, error) {
			if string(raw) != "metadata" {
				return Metadata{}, errors.New("the SAML metadata is not to be read")
			}
			return Metadata{Until: now.Add(1000 * 24 * time.Hour)}, nil
		},
		provider: survey.Provider{Type: "SAML", Metadata: "metadata", Mapping: map[string]string{"email": "Email", "custom:groups": "Groups"}},
		client: survey.Client{Callbacks: []string{"https://vpn.example.com/oauth2/idpresponse"}, SignOuts: []string{"https://vpn.example.com/signed-out"}, Flows: []string{"code"},
			Scopes: []string{"openid"}, Providers: []string{"IdentityCenter"}, OAuth: true, Secret: true, Access: 15 * time.Minute, Refresh: 12 * time.Hour},
		balancer: survey.Balancer{ARN: balancer, DNSName: "nightlatch-1.elb.example", State: "active", Zones: 2,
			Attributes: map[string]string{"routing.http.drop_invalid_header_fields.enabled": "true", "routing.http.desync_mitigation_mode": "strictest"}},
		listener: []survey.ListenerRule{
			{ARN: "rule-out", Priority: 100, Hosts: []string{"vpn.example.com"}, Paths: []string{"/signed-out"}, Actions: []survey.Action{{Type: "fixed-response", Status: "200"}}},
			{ARN: "rule-front", Priority: 101, Hosts: []string{"vpn.example.com"}, Actions: []survey.Action{
				{Type: "authenticate-cognito", ClientID: "4abc", PoolARN: "arn:aws:cognito-idp:us-east-1:111122223333:userpool/us-east-1_Pool", Unauthenticated: "authenticate"},
				{Type: "forward", TargetGroups: []string{group}}}},
			{ARN: "default", Actions: []survey.Action{{Type: "fixed-response", Status: "404"}}},
		},
		group:       survey.TargetGroup{Attributes: map[string]string{"lambda.multi_value_headers.enabled": "true"}, Targets: []string{front}},
		api:         survey.APIDomain{Status: "AVAILABLE", Target: "d-1.execute-api.example", APIs: []string{"a1b2"}},
		zone:        survey.Zone{ID: "Z0123456789ABC", Name: "example.com", NameServers: []string{"ns-1.awsdns-01.com", "ns-2.awsdns-02.org"}},
		certificate: survey.Certificate{Names: []string{"*.example.com"}, Status: "ISSUED", Until: time.Now().Add(300 * 24 * time.Hour), Renewable: true},
		table:       survey.Table{Status: "ACTIVE", Keys: []string{"pk HASH S", "sk RANGE S"}, Expires: "expires", Recovery: true},
		schedule:    survey.Schedule{Expression: "rate(1 minute)", Target: beat, Role: "arn:aws:iam::111122223333:role/Beat", Enabled: true},
		schedules:   []string{"nightlatch-beat", "nightlatch-cvpn-assoc-0a"},
		alarms:      []survey.Alarm{{Name: "nightlatch-stuck", State: "OK"}, {Name: "nightlatch-beat-missing", State: "OK"}},
		prices:      map[string]survey.Price{vpnHours: {Amount: 0.10, Currency: "USD"}, balancerHours: {Amount: 0.0225, Currency: "USD"}},
		ns:          []string{"NS-1.awsdns-01.com.", "ns-2.awsdns-02.org."},
		hosts: map[string][]string{"vpn.example.com": {"192.0.2.1", "192.0.2.2"}, "nightlatch-1.elb.example": {"192.0.2.2", "192.0.2.3"},
			"d-1.execute-api.example": {"192.0.2.1"}},
	}
	w.page = reply(302, "https://example-vpn.auth.us-east-1.amazoncognito.com/oauth2/authorize?x=y", "")
	return w
}

func (w *world) api2() { // the other front
	w.file = httpFile
	w.client.Callbacks = []string{"https://vpn.example.com/oauth2/callback"}
	w.page = reply(303, "/oauth2/sign-in", "")
	w.balancer = survey.Balancer{}
}

func (w *world) shared() { // with a load balancer of people's own
	w.file = strings.Replace(albFile, "{vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}", "{listener: "+listener+"}", 1)
	delete(w.stack.Resources, "HttpsListener")
}

func (w *world) Region() string { return "us-east-1" }

func (w *world) Identity(context.Context) (survey.Identity, error) {
	return w.identity, w.fail["Identity"]
}
func (w *world) Stack(context.Context, string) (survey.Stack, error) { return w.stack, w.fail["Stack"] }
func (w *world) Endpoints(context.Context, ...string) ([]survey.Endpoint, error) {
	return w.endpoints, w.fail["Endpoints"]
}
func (w *world) Associations(context.Context, string) ([]survey.Association, error) {
	return w.assoc, w.fail["Associations"]
}
func (w *world) Rules(context.Context, string) ([]survey.Rule, error) {
	return w.rules, w.fail["Rules"]
}
func (w *world) Subnets(context.Context, string, ...string) ([]survey.Subnet, error) {
	return w.subnets, w.fail["Subnets"]
}
func (w *world) Simulate(_ context.Context, _ string, actions, resources []string, _ map[string]string) ([]survey.Decision, error) {
	if len(resources) == 0 {
		return nil, errors.New("no resource is any resource") // as IAM has it
	}
	return w.decisions(actions, resources), w.fail["Simulate"]
}
func (w *world) Invoke(_ context.Context, _ string, event []byte) ([]byte, string, error) {
	if string(event) != `{"source":"nightlatch.doctor"}` {
		return nil, "", errors.New("another event")
	}
	return []byte(w.answer), w.answerFault, w.fail["Invoke"]
}
func (w *world) Function(_ context.Context, name string) (survey.Function, error) {
	return w.functions[name], w.fail["Function"]
}
func (w *world) Provider(context.Context, string, string) (survey.Provider, error) {
	return w.provider, w.fail["Provider"]
}
func (w *world) Client(context.Context, string, string) (survey.Client, error) {
	return w.client, w.fail["Client"]
}
func (w *world) Balancer(context.Context, string) (survey.Balancer, error) {
	return w.balancer, w.fail["Balancer"]
}
func (w *world) ListenerRules(context.Context, string) ([]survey.ListenerRule, error) {
	return w.listener, w.fail["ListenerRules"]
}
func (w *world) TargetGroup(context.Context, string) (survey.TargetGroup, error) {
	return w.group, w.fail["TargetGroup"]
}
func (w *world) APIDomain(context.Context, string) (survey.APIDomain, error) {
	return w.api, w.fail["APIDomain"]
}
func (w *world) Zone(context.Context, string) (survey.Zone, error) { return w.zone, w.fail["Zone"] }
func (w *world) Certificate(context.Context, string) (survey.Certificate, error) {
	return w.certificate, w.fail["Certificate"]
}
func (w *world) Table(context.Context, string) (survey.Table, error) { return w.table, w.fail["Table"] }
func (w *world) Schedule(context.Context, string, string) (survey.Schedule, error) {
	return w.schedule, w.fail["Schedule"]
}
func (w *world) Schedules(context.Context, string) ([]string, error) {
	return w.schedules, w.fail["Schedules"]
}
func (w *world) QueueLength(context.Context, string) (int, error) {
	return w.letters, w.fail["QueueLength"]
}
func (w *world) Alarms(context.Context, []string) ([]survey.Alarm, error) {
	return w.alarms, w.fail["Alarms"]
}
func (w *world) Prices(_ context.Context, _ string, _ map[string]string, usages ...string) (map[string]survey.Price, error) {
	out := maps.Clone(w.prices)
	maps.DeleteFunc(out, func(k string, _ survey.Price) bool { return !slices.Contains(usages, k) })
	return out, w.fail["Prices"]
}

func (w *world) LookupNS(context.Context, string) (all []*net.NS, err error) {
	for _, n := range w.ns {
		all = append(all, &net.NS{Host: n})
	}
	return all, w.fail["NS"]
}
func (w *world) LookupHost(_ context.Context, name string) ([]string, error) {
	if a := w.hosts[name]; a != nil {
		return a, nil
	}
	return nil, errors.New("no such host")
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) { return w.page(r) }

func (w *world) run(t *testing.T) []Check {
	t.Helper()
	c := Config{Account: w, Resolver: w, Metadata: w.metadata, Page: &http.Client{Transport: w, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if w.calls != nil {
		c.Calls = func(*config.Config) []Call { return w.calls }
	}
	if w.nobody != nil {
		c.Account, c.NoAccount = nil, w.nobody
	}
	if c.Fault = w.fault; w.fault == nil {
		var err error
		if c.File, err = config.Parse("nightlatch.yaml", []byte(w.file)); err != nil {
			t.Fatal(err)
		}
	}
	return Run(t.Context(), c)
}

var (
	errDenied = fmt.Errorf("%w: %w", latch.ErrRefused, &latch.Fault{Service: "x", Code: "AccessDenied", Message: "no"})
	errGone   = fmt.Errorf("%w: gone", latch.ErrNotFound)
	silent    = context.DeadlineExceeded
)

func days(n int) time.Time { return time.Now().Add(time.Duration(n) * 24 * time.Hour) }

// TestChecks provokes each check to each of its results.
func TestChecks(t *testing.T) {
	type row struct {
		breaks func(*world)
		want   Result
		says   string // in the detail or the fix
	}
	for name, rows := range map[string]map[string]row{
		"credentials": {
			"there":     {func(*world) {}, OK, "user/kim in account 111122223333"},
			"none":      {func(w *world) { w.nobody = errors.New("no AWS credentials") }, Failure, "aws sso login"},
			"not taken": {func(w *world) { w.fail["Identity"] = errDenied }, Failure, "STS"},
			"not asked": {func(w *world) { w.fail["Identity"] = silent }, Failure, "AWS_PROFILE"},
		},
		"clock": {
			"right":     {func(*world) {}, OK, ""},
			"late":      {func(w *world) { w.identity.Ahead = -2 * time.Minute }, Warning, "2m0s off"},
			"far off":   {func(w *world) { w.identity.Ahead = 6 * time.Minute }, Failure, "NTP"},
			"not known": {func(w *world) { w.identity.ClockRead = false }, NotChecked, "no date"},
			"nobody":    {func(w *world) { w.nobody = errors.New("none") }, NotChecked, "no AWS credentials"},
		},
		"configuration": {
			"good":   {func(*world) {}, OK, "front alb at vpn.example.com"},
			"faults": {func(w *world) { w.fault = errors.New("nightlatch.yaml:3: no") }, Failure, "nightlatch config check"},
		},
		"stack": {
			"there":          {func(*world) {}, OK, "CREATE_COMPLETE"},
			"not there":      {func(w *world) { w.fail["Stack"] = errGone }, Failure, "nightlatch deploy apply makes it"},
			"not to be read": {func(w *world) { w.fail["Stack"] = errDenied }, NotChecked, "may not read"},
			"changing":       {func(w *world) { w.stack.Status = "UPDATE_IN_PROGRESS" }, Warning, "is changing"},
			"only planned":   {func(w *world) { w.stack.Status = "REVIEW_IN_PROGRESS" }, Failure, "never executed: REVIEW_IN_PROGRESS\nnightlatch deploy apply goes on"},
			"undone":         {func(w *world) { w.stack.Status, w.stack.Reason = "UPDATE_ROLLBACK_COMPLETE", "why" }, Warning, "(why)"},
			"failed":         {func(w *world) { w.stack.Status = "ROLLBACK_COMPLETE" }, Failure, "ROLLBACK_COMPLETE"},
			"half deleted":   {func(w *world) { w.stack.Status = "DELETE_FAILED" }, Failure, "DELETE_FAILED"},
			"another's":      {func(w *world) { delete(w.stack.Outputs, "TableName") }, Failure, "does not say TableName"},
			"no section":     {func(w *world) { w.file = otherFile }, NotChecked, "no deploy section"},
		},
		"sign-in": {
			"pending": {func(w *world) { w.stack.Outputs["SignIn"] = "pending" }, Warning, "--saml-metadata"},
		},
		"endpoint office": {
			"open":            {func(*world) {}, OK, "available"},
			"off":             {func(w *world) { w.endpoints[0].Status = "pending-associate" }, OK, "off"},
			"not there":       {func(w *world) { w.fail["Endpoints"] = errGone }, Failure, "nightlatch init"},
			"not listed":      {func(w *world) { w.endpoints = nil }, Failure, "is not there"},
			"not to be read":  {func(w *world) { w.fail["Endpoints"] = errDenied }, NotChecked, "may not"},
			"transit gateway": {func(w *world) { w.endpoints[0].TransitGateway = "tgw-1" }, Failure, "transit gateway"},
			"waiting for one": {func(w *world) { w.endpoints[0].Status = "pending" }, Failure, "transit gateway"},
			"deleted":         {func(w *world) { w.endpoints[0].Status = "deleting" }, Failure, "is deleting"},
			"new to us":       {func(w *world) { w.endpoints[0].Status = "resting" }, Warning, "resting"},
		},
		"subnets office": {
			"good":           {func(*world) {}, OK, "each in a zone of its own"},
			"one":            {func(w *world) { w.subnets = w.subnets[:1] }, OK, "a second one"},
			"few addresses":  {func(w *world) { w.subnets[1].Free = 19 }, Warning, "19 free addresses"},
			"one zone":       {func(w *world) { w.subnets[1].Zone = "us-east-1a" }, Failure, "one a zone"},
			"another VPC":    {func(w *world) { w.subnets[1].VPC = "vpc-0b" }, Failure, "vpc-0b"},
			"two VPCs":       {func(w *world) { w.endpoints[0].VPC, w.subnets[1].VPC = "", "vpc-0b" }, Failure, "different VPCs"},
			"small":          {func(w *world) { w.subnets[1].CIDR = "10.0.2.0/28" }, Failure, "/27"},
			"clients' range": {func(w *world) { w.subnets[1].CIDR = "172.20.1.0/24" }, Failure, "overlaps"},
			"not there":      {func(w *world) { w.fail["Subnets"] = errGone }, Failure, "not there"},
			"silence":        {func(w *world) { w.fail["Subnets"] = silent }, NotChecked, "in time"},
			"no endpoint":    {func(w *world) { w.fail["Endpoints"] = errGone }, NotChecked, "endpoint could not be read"},
		},
		"authorization office": {
			"rules":          {func(*world) {}, OK, "1 active rule"},
			"none":           {func(w *world) { w.rules = nil }, Warning, "reach nothing"},
			"failed":         {func(w *world) { w.rules[0].Status = "failed" }, Warning, "10.0.0.0/16 have failed"},
			"not to be read": {func(w *world) { w.fail["Rules"] = errDenied }, NotChecked, "may not"},
		},
		"front function": {
			"active": {func(*world) {}, OK, "provided.al2023, arm64"},
			"asleep": {func(w *world) { w.change("nightlatch-front", func(f *survey.Function) { f.State = "Inactive" }) }, OK, ""},
			"failed": {func(w *world) {
				w.change("nightlatch-front", func(f *survey.Function) { f.State, f.Reason = "Failed", "image" })
			}, Failure, "image"},
			"another's role":    {func(w *world) { w.change("nightlatch-front", func(f *survey.Function) { f.Role = "arn:x" }) }, Failure, "acts as arn:x"},
			"not told":          {func(w *world) { delete(w.stack.Outputs, "FrontFunctionName") }, NotChecked, "its name"},
			"being changed":     {func(w *world) { w.change("nightlatch-front", func(f *survey.Function) { f.Update = "InProgress" }) }, Warning, "InProgress"},
			"another runtime":   {func(w *world) { w.change("nightlatch-front", func(f *survey.Function) { f.Runtime = "python3.13" }) }, Warning, "python3.13"},
			"another processor": {func(w *world) { w.change("nightlatch-front", func(f *survey.Function) { f.Architecture = "x86_64" }) }, Warning, "x86_64"},
			"not there":         {func(w *world) { w.fail["Function"] = errGone }, Failure, "deploy apply"},
			"no stack":          {func(w *world) { w.fail["Stack"] = errGone }, NotChecked, "stack could not be read"},
		},
		"beat function": {
			"active":   {func(*world) {}, OK, ""},
			"repeats":  {func(w *world) { w.change("nightlatch-beat", func(f *survey.Function) { f.Retries = -1 }) }, Warning, "repeats"},
			"old news": {func(w *world) { w.change("nightlatch-beat", func(f *survey.Function) { f.EventAge = 6 * time.Hour }) }, Warning, "6h0m0s"},
		},
		"permissions": {
			"all":        {func(*world) {}, OK, "4 permissions"},
			"one is not": {func(w *world) { w.decide("iam:PassRole", survey.Decision{}) }, Failure, "iam:PassRole on arn:aws:iam::111122223333:role/Deadman"},
			"denied":     {func(w *world) { w.decide("dynamodb:GetItem", survey.Decision{Explicit: true}) }, Failure, "dynamodb:GetItem on arn:aws:dynamodb:us-east-1:111122223333:table/nightlatch-T (a statement denies it)"},
			"boundary":   {func(w *world) { w.decide("dynamodb:GetItem", survey.Decision{Boundary: true}) }, Failure, "boundary"},
			"organization": {func(w *world) {
				w.decide("ec2:AssociateClientVpnTargetNetwork", survey.Decision{Allowed: true, Organization: true})
			}, Failure, "arn:aws:ec2:us-east-1:111122223333:subnet/subnet-0a (the organization"},
			"who knows":     {func(w *world) { w.decide("dynamodb:GetItem", survey.Decision{Missing: []string{"aws:SourceVpc"}}) }, NotChecked, "aws:SourceVpc"},
			"unknown thing": {func(w *world) { w.calls[1].Resources = []string{"${Nothing.Arn}"} }, NotChecked, "3 of 4 are allowed; not decided: dynamodb:GetItem on ${Nothing.Arn}"},
			"unknown things": {func(w *world) {
				for i := range w.calls {
					w.calls[i].Resources = []string{"${Nothing.Arn}"}
				}
			}, NotChecked, "0 of 4 are allowed"},
			"may not ask": {func(w *world) { w.fail["Simulate"] = errDenied }, NotChecked, "may not"},
			"no log group": {func(w *world) {
				w.calls[1].Resources = []string{"${FrontLogGroup.Arn}"}
				delete(w.stack.Resources, "FrontLogGroup")
			}, NotChecked, "FrontLogGroup"},
			"log group": {func(w *world) {
				w.calls[1].Resources = []string{"${FrontLogGroup.Arn}"}
				w.decide("dynamodb:GetItem", survey.Decision{})
			}, Failure, "arn:aws:logs:us-east-1:111122223333:log-group:/nightlatch/nightlatch/front:log-stream:0"},
			"no role":  {func(w *world) { delete(w.stack.Outputs, "FunctionRoleArn") }, NotChecked, "not known"},
			"no calls": {func(w *world) { w.calls = nil }, NotChecked, "not known"},
		},
		"inside": {
			"fails":    {func(w *world) { w.answer, w.answerFault = `{"errorMessage":"boom"}`, "Unhandled" }, Failure, "(Unhandled): boom"},
			"not told": {func(w *world) { delete(w.stack.Outputs, "BeatFunctionName") }, NotChecked, "beat function's name"},
			"crashes":  {func(w *world) { w.answer, w.answerFault = "no JSON", "Unhandled" }, Failure, "no JSON"},
			"old":      {func(w *world) { w.answer = "null" }, Warning, "another version"},
			"may not":  {func(w *world) { w.fail["Invoke"] = errDenied }, NotChecked, "may not"},
			"no stack": {func(w *world) { w.fail["Stack"] = errGone }, NotChecked, "stack"},
		},
		"inside: table": {
			"answers":     {func(*world) {}, OK, "read and written"},
			"complains":   {func(w *world) { w.answer = `{"checks":[{"name":"table","result":"failure","detail":"no","fix":"f"}]}` }, Failure, "f"},
			"says nought": {func(w *world) { w.answer = `{"checks":[{"name":"table","result":"great"}]}` }, NotChecked, ""},
		},
		"identity provider": {
			"good": {func(*world) {}, OK, "good until"},
			"by address": {func(w *world) {
				w.provider.Metadata, w.provider.MetadataURL = "", "https://portal.example/md"
				w.page = reply(200, "", "metadata")
			}, OK, ""},
			"address gone": {func(w *world) { w.provider.MetadataURL = "https://portal.example/md"; w.page = reply(404, "", "") }, Warning, "404"},
			"in the clear": {func(w *world) { w.provider.MetadataURL = "http://portal.example/md" }, Warning, "not https"},
			"bad":          {func(w *world) { w.provider.Metadata = "x" }, Failure, "not to be read"},
			"ends soon": {func(w *world) {
				w.metadata = func([]byte, time.Time) (Metadata, error) { return Metadata{Until: days(20)}, nil }
			}, Warning, "nobody can sign in"},
			"told": {func(w *world) {
				w.metadata = func([]byte, time.Time) (Metadata, error) { return Metadata{Warnings: []string{"hm"}}, nil }
			}, Warning, "hm"},
			"no e-mail":     {func(w *world) { delete(w.provider.Mapping, "email") }, Warning, "email"},
			"no groups":     {func(w *world) { delete(w.provider.Mapping, "custom:groups") }, Warning, "custom:groups"},
			"unasked":       {func(w *world) { w.provider.Init = true }, Warning, "nobody here asked for"},
			"OpenID":        {func(w *world) { w.provider.Type = "OIDC" }, Warning, "OIDC"},
			"gone":          {func(w *world) { w.fail["Provider"] = errGone }, Failure, "--saml-metadata"},
			"not yet":       {func(w *world) { w.stack.Outputs["SignIn"] = "pending" }, NotChecked, "not set up yet"},
			"not told":      {func(w *world) { delete(w.stack.Outputs, "ProviderName") }, NotChecked, "does not say"},
			"not looked at": {func(w *world) { w.metadata = nil }, NotChecked, "not looked at"},
		},
		"issuer": {
			"good":        {func(w *world) { w.own(reply(200, "", `{"issuer":"https://login.example.com/corp"}`)) }, OK, "https://login.example.com/corp"},
			"another":     {func(w *world) { w.own(reply(200, "", `{"issuer":"https://login.example.com/x"}`)) }, Failure, "calls itself https://login.example.com/x"},
			"no issuer":   {func(w *world) { w.own(reply(200, "", `hello`)) }, Failure, "calls itself nobody"},
			"unreachable": {func(w *world) { w.own(reply(500, "", "")) }, Warning, "500"},
		},
		"app client": {
			"good":         {func(*world) {}, OK, "openid"},
			"HTTP API":     {func(w *world) { w.api2() }, OK, "/oauth2/callback"},
			"callback":     {func(w *world) { w.client.Callbacks[0] = "https://VPN.example.com/oauth2/idpresponse" }, Failure, "letter by letter"},
			"sign-out":     {func(w *world) { w.client.SignOuts = nil }, Failure, "/signed-out"},
			"no code":      {func(w *world) { w.client.Flows = []string{"implicit"} }, Failure, "no code flow"},
			"not OAuth":    {func(w *world) { w.client.OAuth = false }, Failure, "no code flow"},
			"no secret":    {func(w *world) { w.client.Secret = false }, Failure, "no secret"},
			"no openid":    {func(w *world) { w.client.Scopes = []string{"email"} }, Failure, "openid"},
			"self-service": {func(w *world) { w.client.Scopes = append(w.client.Scopes, selfService) }, Failure, "write their own groups"},
			"provider":     {func(w *world) { w.client.Providers = nil }, Failure, "IdentityCenter"},
			"implicit":     {func(w *world) { w.client.Flows = append(w.client.Flows, "implicit") }, Warning, "implicit"},
			"own people":   {func(w *world) { w.client.Providers = append(w.client.Providers, "COGNITO") }, Warning, "pool's own"},
			"too long":     {func(w *world) { w.client.Refresh = 30 * 24 * time.Hour }, Warning, "720h"},
			"access":       {func(w *world) { w.client.Access = 24 * time.Hour }, Warning, "24h"},
			"gone":         {func(w *world) { w.fail["Client"] = errGone }, Failure, "deploy apply"},
			"not told":     {func(w *world) { delete(w.stack.Outputs, "UserPoolClientId") }, NotChecked, "does not say"},
			"not yet":      {func(w *world) { w.stack.Outputs["SignIn"] = "pending" }, NotChecked, "identity provider"},
		},
		"listener": {
			"not told":     {func(w *world) { delete(w.stack.Resources, "FrontRule") }, NotChecked, "does not say"},
			"good":         {func(*world) {}, OK, "sign in before"},
			"pending":      {func(w *world) { w.pending("503") }, OK, "503"},
			"pending open": {func(w *world) { w.stack.Outputs["SignIn"] = "pending" }, Failure, "does not"},
			"rule gone":    {func(w *world) { w.listener = w.listener[2:] }, Failure, "gone"},
			"open door": {func(w *world) {
				w.listener[2].Actions = []survey.Action{{Type: "forward", TargetGroups: []string{group}}}
			}, Failure, "the default rule forwards"},
			"side door": {func(w *world) {
				w.listener[0].Actions = []survey.Action{{Type: "forward", TargetGroups: []string{"x", group}}}
			}, Failure, "rule 100 forwards"},
			"no sign-in":  {func(w *world) { w.listener[1].Actions = w.listener[1].Actions[1:] }, Failure, "does forward, and"},
			"other order": {func(w *world) { slices.Reverse(w.listener[1].Actions) }, Failure, "forward, then authenticate-cognito"},
			"lets by":     {func(w *world) { w.listener[1].Actions[0].Unauthenticated = "allow" }, Failure, "not signed in"},
			"elsewhere":   {func(w *world) { w.listener[1].Actions[1].TargetGroups = []string{"x"} }, Failure, "forwards to x"},
			"client":      {func(w *world) { w.listener[1].Actions[0].ClientID = "5abc" }, Failure, "5abc"},
			"pool":        {func(w *world) { w.listener[1].Actions[0].PoolARN = "x/y" }, Failure, "x/y"},
			"host":        {func(w *world) { w.listener[1].Hosts = []string{"other.example.com"} }, Failure, "other.example.com"},
			"sign-out":    {func(w *world) { w.listener[0], w.listener[1] = w.listener[1], w.listener[0] }, Warning, "signed in again"},
			"in the way": {func(w *world) {
				w.listener = slices.Insert(w.listener, 0, survey.ListenerRule{ARN: "o", Priority: 1, Hosts: []string{"*.Example.com"}})
			}, Warning, "rule 1 comes first"},
			"beside": {func(w *world) {
				w.listener = slices.Insert(w.listener, 0, survey.ListenerRule{ARN: "o", Priority: 1, Hosts: []string{"www.example.com"}})
			}, OK, ""},
			"may not":  {func(w *world) { w.fail["ListenerRules"] = errDenied }, NotChecked, "may not"},
			"no stack": {func(w *world) { w.fail["Stack"] = errGone }, NotChecked, "stack"},
		},
		"target group": {
			"not told":     {func(w *world) { delete(w.stack.Resources, "TargetGroup") }, NotChecked, "does not say"},
			"good":         {func(*world) {}, OK, "multi-value"},
			"one value":    {func(w *world) { w.group.Attributes = nil }, Failure, "lambda.multi_value_headers.enabled"},
			"other target": {func(w *world) { w.group.Targets = []string{"arn:x"} }, Failure, "arn:x"},
			"no target":    {func(w *world) { w.group.Targets = nil }, Failure, "but to nothing"},
			"gone":         {func(w *world) { w.fail["TargetGroup"] = errGone }, Failure, ""},
			"may not":      {func(w *world) { w.fail["TargetGroup"] = errDenied }, NotChecked, ""},
		},
		"load balancer": {
			"not told":   {func(w *world) { delete(w.stack.Resources, "HttpsListener") }, NotChecked, "does not say"},
			"shared":     {func(w *world) { w.shared(); w.balancer.Attributes = nil }, Warning, "the load balancer is yours"},
			"good":       {func(*world) {}, OK, "2 zones"},
			"making":     {func(w *world) { w.balancer.State = "provisioning" }, Warning, "provisioning"},
			"headers":    {func(w *world) { w.balancer.Attributes["routing.http.drop_invalid_header_fields.enabled"] = "false" }, Warning, "drop_invalid"},
			"desync":     {func(w *world) { w.balancer.Attributes["routing.http.desync_mitigation_mode"] = "monitor" }, Warning, "monitor"},
			"gone":       {func(w *world) { w.fail["Balancer"], w.balancer = errGone, survey.Balancer{} }, Failure, ""},
			"attributes": {func(w *world) { w.fail["Balancer"] = errDenied }, NotChecked, "the attributes of"},
		},
		"signer": {
			"not told": {func(w *world) { delete(w.stack.Outputs, "FrontFunctionName") }, NotChecked, "does not say"},
			"shared":   {func(w *world) { w.shared() }, OK, "no other"},
			"ours":     {func(*world) {}, OK, "no other"},
			"by the file": {func(w *world) {
				w.file += strings.ReplaceAll(otherFile[strings.Index(otherFile, "signin:"):strings.Index(otherFile, "deadman:")], "\t", "")
				w.change("nightlatch-front", func(f *survey.Function) { f.Variables = nil })
			}, OK, "no other"},
			"another client": {func(w *world) { w.functions["nightlatch-front"].Variables["NIGHTLATCH_SIGNIN_ALB_CLIENT_ID"] = "5abc" }, Failure, "believes 5abc"},
			"another issuer": {func(w *world) {
				w.functions["nightlatch-front"].Variables["NIGHTLATCH_SIGNIN_ALB_ISSUER"] = "https://x"
			}, Failure, "signin.alb.issuer"},
			"HTTP API": {func(w *world) { w.api2() }, OK, "issuer"},
			"other callback": {func(w *world) {
				w.api2()
				w.functions["nightlatch-front"].Variables["NIGHTLATCH_SIGNIN_OIDC_REDIRECT_URL"] = "https://x"
			}, Failure, "signin.oidc.redirect_url"},
			"other client": {func(w *world) {
				w.api2()
				w.functions["nightlatch-front"].Variables["NIGHTLATCH_SIGNIN_OIDC_CLIENT_ID"] = "x"
			}, Failure, "signin.oidc.client_id"},
			"other issuer": {func(w *world) {
				w.api2()
				w.functions["nightlatch-front"].Variables["NIGHTLATCH_SIGNIN_OIDC_ISSUER"] = "x"
			}, Failure, "signin.oidc.issuer"},
			"another": {func(w *world) { w.functions["nightlatch-front"].Variables["NIGHTLATCH_SIGNIN_ALB_ARN"] = "arn:x" }, Failure, "believes arn:x"},
			"none":    {func(w *world) { w.change("nightlatch-front", func(f *survey.Function) { f.Variables = nil }) }, Failure, "believes nobody"},
			"not yet": {func(w *world) { w.pending("503") }, NotChecked, "until people can sign in"},
			"may not": {func(w *world) { w.fail["Function"] = errDenied }, NotChecked, ""},
		},
		"http api": {
			"good":      {func(w *world) { w.api2() }, OK, "leads to a1b2"},
			"making":    {func(w *world) { w.api2(); w.api.Status = "UPDATING" }, Warning, "UPDATING"},
			"elsewhere": {func(w *world) { w.api2(); w.api.APIs = []string{"other"} }, Failure, "does not lead"},
			"gone":      {func(w *world) { w.api2(); w.api, w.fail["APIDomain"] = survey.APIDomain{}, errGone }, Failure, ""},
			"may not":   {func(w *world) { w.api2(); w.fail["APIDomain"] = errDenied }, NotChecked, "leads to"},
		},
		"zone": {
			"delegated":   {func(*world) {}, OK, "delegated"},
			"not at all":  {func(w *world) { w.ns, w.fail["NS"] = nil, errors.New("no such host") }, Failure, "ns-1.awsdns-01.com, ns-2.awsdns-02.org"},
			"to another":  {func(w *world) { w.ns = []string{"ns.registrar.example."} }, Failure, "ns.registrar.example"},
			"half":        {func(w *world) { w.ns = append(w.ns, "ns.registrar.example.") }, Warning, "too"},
			"private":     {func(w *world) { w.zone.Private = true }, Failure, "private"},
			"another's":   {func(w *world) { w.zone.Name = "example.org" }, Failure, "is not in example.org"},
			"gone":        {func(w *world) { w.fail["Zone"] = errGone }, Failure, "hosted_zone"},
			"may not":     {func(w *world) { w.fail["Zone"] = errDenied }, NotChecked, ""},
			"no section":  {func(w *world) { w.file = otherFile }, NotChecked, "deploy section"},
			"bare domain": {func(w *world) { w.zone.Name = "vpn.example.com" }, OK, ""},
		},
		"dns": {
			"good":       {func(*world) {}, OK, "leads to the front"},
			"HTTP API":   {func(w *world) { w.api2() }, OK, "leads to the front"},
			"no address": {func(w *world) { delete(w.hosts, "vpn.example.com") }, Failure, "no address"},
			"elsewhere":  {func(w *world) { w.hosts["vpn.example.com"] = []string{"198.51.100.9"} }, Warning, "198.51.100.9"},
			"who knows":  {func(w *world) { w.balancer, w.fail["Balancer"] = survey.Balancer{}, errDenied }, NotChecked, "not known"},
			"nobody":     {func(w *world) { w.nobody = errors.New("none") }, NotChecked, "has addresses"},
		},
		"certificate": {
			"not told": {func(w *world) { delete(w.stack.Resources, "Certificate") }, NotChecked, "does not say"},
			"named": {func(w *world) {
				delete(w.stack.Resources, "Certificate")
				w.file = strings.Replace(w.file, "  groups", "  certificate: arn:aws:acm:us-east-1:111122223333:certificate/2\n  groups", 1)
			}, OK, ""},
			"good":           {func(*world) {}, OK, "renews itself"},
			"imported":       {func(w *world) { w.certificate.Imported = true }, OK, "imported"},
			"waiting":        {func(w *world) { w.certificate.Status = "PENDING_VALIDATION" }, Failure, "waits for the proof"},
			"failed":         {func(w *world) { w.certificate.Status, w.certificate.Failure = "FAILED", "CAA_ERROR" }, Failure, "CAA_ERROR"},
			"another's":      {func(w *world) { w.certificate.Names = []string{"example.com", "*.a.example.com"} }, Failure, "*.a.example.com"},
			"ended":          {func(w *world) { w.certificate.Until = days(-1) }, Failure, "ended on"},
			"ends":           {func(w *world) { w.certificate.Until, w.certificate.Imported = days(29), true }, Warning, "does not renew itself"},
			"ends, renewing": {func(w *world) { w.certificate.Until = days(29) }, Warning, "should have renewed"},
			"not renewed":    {func(w *world) { w.certificate.RenewalFail = "CAA_ERROR" }, Warning, "CAA_ERROR"},
			"gone":           {func(w *world) { w.fail["Certificate"] = errGone }, Failure, "deploy.certificate"},
			"may not":        {func(w *world) { w.fail["Certificate"] = errDenied }, NotChecked, ""},
		},
		"page": {
			"not let in": {func(w *world) {
				w.page = func(*http.Request) (*http.Response, error) { return nil, errors.New("timeout") }
			}, Failure, "deploy.load_balancer.allow"},
			"good":      {func(*world) {}, OK, "leads to the sign-in"},
			"HTTP API":  {func(w *world) { w.api2() }, OK, "leads to the sign-in"},
			"pending":   {func(w *world) { w.pending("503"); w.page = reply(503, "", "") }, OK, "nobody can sign in yet"},
			"elsewhere": {func(w *world) { w.page = reply(302, "https://evil.example/", "") }, Failure, "evil.example"},
			"open":      {func(w *world) { w.page = reply(200, "", "hello") }, Failure, "not signed in"},
			"broken":    {func(w *world) { w.page = reply(502, "", "") }, Failure, "502"},
			"odd":       {func(w *world) { w.page = reply(404, "", "") }, Warning, "404"},
			"certificate": {func(w *world) {
				w.page = func(*http.Request) (*http.Response, error) { return nil, errors.New("x509: unknown authority") }
			}, Failure, "x509"},
			"faults": {func(w *world) { w.fault = errors.New("no") }, NotChecked, "configuration"},
		},
		"table": {
			"good":        {func(*world) {}, OK, "recovery"},
			"making":      {func(w *world) { w.table.Status = "CREATING" }, Failure, "CREATING"},
			"another's":   {func(w *world) { w.table.Keys = []string{"id HASH S"} }, Failure, "id HASH S"},
			"no expiry":   {func(w *world) { w.table.Expires = "ttl" }, Warning, "expires"},
			"no recovery": {func(w *world) { w.table.Recovery = false }, Warning, "point-in-time"},
			"gone":        {func(w *world) { w.fail["Table"], w.table = errGone, survey.Table{} }, Failure, ""},
			"not told":    {func(w *world) { delete(w.stack.Outputs, "TableName") }, NotChecked, "does not say which"},
			"half":        {func(w *world) { w.fail["Table"] = errDenied }, NotChecked, "what is set for"},
		},
		"beat schedule": {
			"good":     {func(*world) {}, OK, "each minute"},
			"disabled": {func(w *world) { w.schedule.Enabled = false }, Failure, "disabled"},
			"another":  {func(w *world) { w.schedule.Target = beat + "2" }, Failure, beat + "2"},
			"slow":     {func(w *world) { w.schedule.Expression = "rate(5 minutes)" }, Warning, "rate(5 minutes)"},
			"no role":  {func(w *world) { w.schedule.Role = "" }, Failure, "no role"},
			"gone":     {func(w *world) { w.fail["Schedule"] = errGone }, Failure, "nothing closes"},
			"not made": {func(w *world) { delete(w.stack.Resources, "BeatSchedule") }, Failure, "has none"},
			"may not":  {func(w *world) { w.fail["Schedule"] = errDenied }, NotChecked, ""},
		},
		"dead-man's switches": {
			"good":         {func(*world) {}, OK, "1 association, each with its switch"},
			"without":      {func(w *world) { w.schedules = nil }, Warning, "office is associated and nothing would stop it"},
			"left behind":  {func(w *world) { w.schedules = append(w.schedules, "nightlatch-cvpn-assoc-0b") }, Warning, "nightlatch-cvpn-assoc-0b: belongs to no association of the configured endpoints: one that is not in this file may be open\nlook first"},
			"gone already": {func(w *world) { w.schedules, w.assoc[0].Status = nil, "disassociated" }, OK, "0 associations"},
			"not told":     {func(w *world) { delete(w.stack.Outputs, "DeadmanGroup") }, NotChecked, "does not say which"},
			"no group":     {func(w *world) { w.fail["Schedules"] = errGone }, Failure, "nothing is opened"},
			"may not":      {func(w *world) { w.fail["Associations"] = errDenied }, NotChecked, ""},
			"no stack":     {func(w *world) { w.fail["Stack"] = errGone }, NotChecked, "stack"},
		},
		"dead letters": {
			"no queue": {func(w *world) { delete(w.stack.Resources, "DeadLetterQueue") }, NotChecked, "has no queue"},
			"none":     {func(*world) {}, OK, "none"},
			"some":     {func(w *world) { w.letters = 2 }, Warning, "about 2"},
			"may not":  {func(w *world) { w.fail["QueueLength"] = errDenied }, NotChecked, ""},
			"gone":     {func(w *world) { w.fail["QueueLength"] = errGone }, Failure, ""},
		},
		"alarms": {
			"not made": {func(w *world) { delete(w.stack.Resources, "StuckAlarm"); delete(w.stack.Resources, "BeatMissingAlarm") }, NotChecked, "has none"},
			"none":     {func(*world) {}, OK, "none of 2"},
			"on":       {func(w *world) { w.alarms[0].State, w.alarms[0].Reason = "ALARM", "why" }, Warning, "nightlatch-stuck (why)"},
			"missing":  {func(w *world) { w.alarms = w.alarms[:1] }, Warning, "1 of 2"},
			"may not":  {func(w *world) { w.fail["Alarms"] = errDenied }, NotChecked, ""},
			"untold":   {func(w *world) { w.api2() }, OK, "deploy.alarm_topic"},
		},
		"cost": {
			"dear balancer": {func(w *world) { w.prices[balancerHours] = survey.Price{Amount: 0.05, Currency: "USD"} }, OK, "the gate costs $43.80"},
			"far away":      {func(w *world) { w.file += "    region: ap-northeast-2\n    deadman: {group: g}\n"; w.prices = nil }, NotChecked, "pricing:GetProducts"},
			"one far away": {func(w *world) {
				w.file += "  - {name: lab, id: cvpn-endpoint-0b, region: ap-northeast-2, deadman: {group: g}, subnets: [subnet-0e]}\n"
				w.prices = nil
			}, NotChecked, "an hour in ap-northeast-2"},
			"in yuan": {func(w *world) {
				w.prices[vpnHours] = survey.Price{Amount: 0.7, Currency: "CNY"}
				w.file = strings.Replace(httpFile, "us-east-1", "cn-north-1", 1)
			}, OK, "CNY 511.00"},
			"worth it":     {func(*world) {}, OK, "$23.73 a month (a load balancer and 2 public addresses, before its traffic; of people who sign in, each beyond 50 costs $0.015 a month); leaving everything on costs $73.00 (the Price List API): open for 493 hours"},
			"from a table": {func(w *world) { w.fail["Prices"] = errDenied }, OK, "(prices of September 2026): open for 493 hours"},
			"nearly not":   {func(w *world) { w.prices[vpnHours] = survey.Price{Amount: 0.04, Currency: "USD"} }, Warning, "open for 137 hours"},
			"not at all":   {func(w *world) { w.prices[vpnHours] = survey.Price{Amount: 0.03, Currency: "USD"} }, Warning, "(the Price List API): it is not worth having"},
			"both subnets": {func(w *world) { w.file += "    associate: all\n" }, OK, "leaving everything on costs $146.00 (the Price List API): open for 611 hours"},
			"HTTP API":     {func(w *world) { w.api2() }, OK, "each hour off saves $0.10"},
			"shared": {func(w *world) {
				w.file = strings.Replace(albFile, "{vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}", "{listener: "+listener+"}", 1)
			}, OK, "there anyway"},
			"not known":     {func(w *world) { w.file = strings.ReplaceAll(albFile, "us-east-1", "ap-northeast-2"); w.prices = nil }, NotChecked, "ap-northeast-2"},
			"half known":    {func(w *world) { w.file = strings.ReplaceAll(albFile, "us-east-1", "us-east-2"); w.prices = nil }, NotChecked, "load balancer"},
			"another place": {func(w *world) { w.file += "    region: ap-northeast-1\n    deadman: {group: g}\n"; w.prices = nil }, OK, "$109.50"},
		},
	} {
		for what, r := range rows {
			t.Run(name+"/"+what, func(t *testing.T) {
				w := whole()
				r.breaks(w)
				checks := w.run(t)
				i := slices.IndexFunc(checks, func(c Check) bool { return c.Name == name })
				if i < 0 {
					t.Fatalf("no check %q among %v", name, checks)
				}
				c := checks[i]
				if c.Result != r.want || !strings.Contains(c.Detail+"\n"+c.Fix, r.says) {
					t.Errorf("got %s: %s\nfix: %s\nwant %s, with %q", c.Result, c.Detail, c.Fix, r.want, r.says)
				}
				for _, c := range checks {
					if c.Detail == "" && !strings.HasPrefix(c.Name, "inside: ") {
						t.Errorf("%s is %s without a word", c.Name, c.Result)
					}
				}
			})
		}
	}
}

const otherFile = `region: us-east-1
table: t-1
signin: {alb: {arn: ` + balancer + `, client_id: 4abc, issuer: "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Pool", logout_url: "https://x.example/logout"}}
deadman: {group: g, role_arn: "arn:aws:iam::111122223333:role/Deadman"}
endpoints:
  - {name: office, id: cvpn-endpoint-0a, subnets: [subnet-0a, subnet-0b]}
`

// own: people sign in at an issuer of their own.
func (w *world) own(answer func(*http.Request) (*http.Response, error)) {
	w.file = strings.Replace(httpFile, "  user_pool: {prefix: example-vpn}\n", "", 1) + "signin: {oidc: {issuer: https://login.example.com/corp, client_id: x, redirect_url: https://vpn.example.com/oauth2/callback}}\n"
	w.page = answer
}

func (w *world) change(name string, f func(*survey.Function)) {
	x := w.functions[name]
	f(&x)
	w.functions[name] = x
}

// pending: nobody can sign in yet, and the listener says so.
func (w *world) pending(status string) {
	w.stack.Outputs["SignIn"] = "pending"
	w.listener[1].Actions = []survey.Action{{Type: "fixed-response", Status: status}}
}

// decide has the simulation say something else of an action.
func (w *world) decide(action string, d survey.Decision) {
	before := w.decisions
	w.decisions = func(actions, resources []string) []survey.Decision {
		all := before(actions, resources)
		for i, x := range all {
			if x.Action == action {
				d.Action, d.Resource = x.Action, x.Resource
				all[i] = d
			}
		}
		return all
	}
}

// TestNothingHidesAnother: with any lookup refused, and with all of them, every check is still there.
func TestNothingHidesAnother(t *testing.T) {
	var names []string
	for _, c := range whole().run(t) {
		names = append(names, c.Name)
		if c.Result != OK {
			t.Errorf("in a world that is whole, %s is %s: %s", c.Name, c.Result, c.Detail)
		}
	}
	all := []string{"Identity", "Stack", "Endpoints", "Associations", "Rules", "Subnets", "Simulate", "Invoke", "Function", "Provider", "Client", "Balancer", "ListenerRules",
		"TargetGroup", "Zone", "Certificate", "Table", "Schedule", "Schedules", "QueueLength", "Alarms", "Prices"}
	for _, failing := range append([][]string{all, all[1:]}, func() (each [][]string) {
		for _, m := range all {
			each = append(each, []string{m})
		}
		return each
	}()...) {
		w := whole()
		for _, m := range failing {
			w.fail[m] = errDenied
		}
		var have []string
		for _, c := range w.run(t) {
			have = append(have, strings.Replace(c.Name, "inside: table", "inside", 1))
			if c.Result == Failure && c.Name != "credentials" {
				t.Errorf("with %v refused, %s is a failure: %s", failing, c.Name, c.Detail)
			}
		}
		want := slices.Clone(names)
		for i := range want {
			want[i] = strings.Replace(want[i], "inside: table", "inside", 1)
		}
		if !slices.Equal(have, want) {
			t.Errorf("with %v refused, there are %v, want %v", failing, have, want)
		}
	}
}

// slowly is an account in which one thing never answers.
type slowly struct{ *world }

func (slowly) Table(ctx context.Context, _ string) (survey.Table, error) {
	<-ctx.Done()
	return survey.Table{}, ctx.Err()
}

// TestSilence: what does not answer is given up, and the rest is there.
func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := whole()
		file, err := config.Parse("nightlatch.yaml", []byte(w.file))
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		checks := Run(t.Context(), Config{File: file, Account: slowly{w}, Resolver: w, Page: &http.Client{Transport: w}})
		if took := time.Since(begun); took != within {
			t.Errorf("it took %v, want %v", took, within)
		}
		for _, c := range checks {
			if c.Name == "table" && (c.Result != NotChecked || !strings.Contains(c.Detail, "in time")) {
				t.Errorf("table is %s: %s", c.Result, c.Detail)
			}
			if c.Name == "listener" && c.Result != OK {
				t.Errorf("listener is %s: %s", c.Result, c.Detail)
			}
		}
	})
}

// TestElsewhere: an endpoint in another account is looked at there, and one whose account is closed hides nothing.
func TestElsewhere(t *testing.T) {
	w, there := whole(), whole()
	there.endpoints[0].Status = "pending-associate"
	file, err := config.Parse("nightlatch.yaml", []byte(strings.Replace(w.file, "endpoints:\n", `endpoints:
  - name: lab
    id: cvpn-endpoint-0b
    region: eu-central-1
    role_arn: arn:aws:iam::444455556666:role/Nightlatch
    deadman: {group: lab, role_arn: "arn:aws:iam::444455556666:role/Deadman"}
    subnets: [subnet-0e]
`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	there.endpoints[0].ID = "cvpn-endpoint-0b"
	closed := errors.New("may not be assumed")
	for _, tt := range []struct {
		err  error
		want Result
		says string
	}{{nil, OK, "off"}, {closed, NotChecked, "may not be assumed"}} {
		checks := Run(t.Context(), Config{File: file, Account: w, Resolver: w, Page: &http.Client{Transport: w},
			Elsewhere: func(e config.Endpoint) (Account, error) {
				if e.RoleARN == "" {
					return w, nil
				}
				return there, tt.err
			}})
		switches := false
		for _, c := range checks {
			switch c.Name {
			case "endpoint lab":
				if c.Result != tt.want || !strings.Contains(c.Detail, tt.says) {
					t.Errorf("lab is %s: %s", c.Result, c.Detail)
				}
			case "dead-man's switches lab in eu-central-1":
				switches = true
			case "endpoint office":
				if c.Result != OK {
					t.Errorf("office is %s: %s", c.Result, c.Detail)
				}
			}
		}
		if !switches {
			t.Error("nothing is said of the switches there")
		}
	}
}

// TestOwnIssuer: where people sign in at an issuer of their own there is no user pool to look at.
func TestOwnIssuer(t *testing.T) {
	w := whole()
	w.own(reply(200, "", "{}"))
	for _, c := range w.run(t) {
		if c.Name == "app client" || c.Name == "identity provider" || c.Name == "cost" && strings.Contains(c.Detail, "who sign in") {
			t.Errorf("%s is %s: %s", c.Name, c.Result, c.Detail)
		}
	}
}

func TestWorst(t *testing.T) {
	for _, tt := range []struct {
		of   []Result
		want Result
	}{{nil, OK}, {[]Result{OK, NotChecked}, OK}, {[]Result{OK, Warning}, Warning}, {[]Result{Failure, Warning}, Failure}} {
		var checks []Check
		for _, r := range tt.of {
			checks = append(checks, Check{Result: r})
		}
		if got := Worst(checks); got != tt.want {
			t.Errorf("the worst of %v is %s, want %s", tt.of, got, tt.want)
		}
	}
}

func TestHostPatterns(t *testing.T) {
	for _, tt := range []struct {
		pattern string
		want    bool
	}{{"vpn.example.com", true}, {"VPN.example.com", true}, {"*.example.com", true}, {"*", true}, {"v?n.example.com", true}, {"*n*", true},
		{"example.com", false}, {"vpn.example.com.", false}, {"", false}, {"??", false}} {
		if got := matches(tt.pattern, "vpn.example.com"); got != tt.want {
			t.Errorf("%q: %v, want %v", tt.pattern, got, tt.want)
		}
	}
}

// TestJSON: what scripts read.
func TestJSON(t *testing.T) {
	w := whole()
	w.certificate.Until = time.Date(2099, 1, 2, 0, 0, 0, 0, time.UTC)
	w.metadata = func([]byte, time.Time) (Metadata, error) { return Metadata{Until: w.certificate.Until}, nil }
	w.rules, w.fail["Alarms"], w.schedule.Enabled = nil, errDenied, false
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(w.run(t)); err != nil {
		t.Fatal(err)
	}
	golden(t, "checks.json", b.Bytes())
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := cmp.Or(os.MkdirAll("testdata", 0o755), os.WriteFile(path, got, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what it should be (%v); go test -update writes it anew. Got:\n%s", path, err, got)
	}
}
