package survey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// wire answers as the services do, in their wire formats, with what a test wrote down by operation: that of a target
// header or of an Action, else method and path. An answer that begins with a number is an error's status.
type wire struct {
	t       *testing.T
	answers map[string][]string // one after another; the last one stays
	mu      sync.Mutex
	asked   map[string][]string // bodies, queries and signatures
}

func newWire(t *testing.T, answers map[string][]string) (*wire, *Account) {
	w := &wire{t: t, answers: answers, asked: map[string][]string{}}
	s := httptest.NewServer(w)
	t.Cleanup(s.Close)
	return w, New(aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAX", "secret", ""), BaseEndpoint: &s.URL})
}

func (w *wire) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIAX/") {
		w.t.Errorf("%s %s is not signed", r.Method, r.URL)
	}
	form, _ := url.ParseQuery(string(raw))
	target := r.Header.Get("X-Amz-Target")
	name, kind := r.Method+" "+r.URL.Path, "application/json"
	switch {
	case target != "":
		name, kind = target[strings.LastIndex(target, ".")+1:], "application/x-amz-json-1.1"
		if strings.HasPrefix(target, "DynamoDB") || strings.HasPrefix(target, "AmazonSQS") {
			kind = "application/x-amz-json-1.0"
		}
	case form.Get("Action") != "":
		name, kind = form.Get("Action"), "text/xml"
	}
	w.mu.Lock()
	w.asked[name] = append(w.asked[name], string(raw)+r.URL.RawQuery+r.Header.Get("Authorization"))
	answers := w.answers[name]
	n := min(len(w.asked[name]), len(answers)) - 1
	w.mu.Unlock()
	if n < 0 {
		w.t.Errorf("%s is not expected", name)
		rw.WriteHeader(http.StatusNotImplemented)
		return
	}
	body, status := answers[n], http.StatusOK
	if strings.HasPrefix(body, "4") {
		_, _ = fmt.Sscan(body[:3], &status)
		body = body[4:]
	}
	if strings.HasPrefix(body, "<") {
		kind = "text/xml"
	}
	rw.Header().Set("Content-Type", kind)
	rw.WriteHeader(status)
	_, _ = io.WriteString(rw, body)
}

func one(answer string) []string { return []string{answer} }

// TestLookups: each lookup reads what its services answer.
func TestLookups(t *testing.T) {
	until := time.Date(2027, 3, 4, 5, 6, 7, 0, time.UTC)
	for name, tt := range map[string]struct {
		answers map[string][]string
		call    func(*Account) (any, error)
		want    any
	}{
		"endpoints, of two pages": {map[string][]string{"DescribeClientVpnEndpoints": {
			`<DescribeClientVpnEndpointsResponse><clientVpnEndpoint><item><clientVpnEndpointId>cvpn-endpoint-1</clientVpnEndpointId><description>d</description><status><code>available</code></status>
			<vpcId>vpc-1</vpcId><securityGroupIdSet><item>sg-1</item></securityGroupIdSet><clientCidrBlock>172.20.0.0/16</clientCidrBlock><selfServicePortalUrl>https://s</selfServicePortalUrl>
			<tagSet><item><key>Name</key><value>Office</value></item></tagSet></item></clientVpnEndpoint><nextToken>more</nextToken></DescribeClientVpnEndpointsResponse>`,
			`<DescribeClientVpnEndpointsResponse><clientVpnEndpoint><item><clientVpnEndpointId>cvpn-endpoint-2</clientVpnEndpointId><status><code>pending</code><message>m</message></status>
			<transitGatewayConfiguration><transitGatewayId>tgw-1</transitGatewayId></transitGatewayConfiguration></item></clientVpnEndpoint></DescribeClientVpnEndpointsResponse>`}},
			func(a *Account) (any, error) { return a.Endpoints(t.Context()) },
			[]Endpoint{{ID: "cvpn-endpoint-1", Name: "Office", Description: "d", Status: "available", VPC: "vpc-1", SecurityGroups: []string{"sg-1"}, ClientCIDR: "172.20.0.0/16", SelfServiceURL: "https://s"},
				{ID: "cvpn-endpoint-2", Status: "pending", StatusMessage: "m", TransitGateway: "tgw-1"}}},
		"associations": {map[string][]string{"DescribeClientVpnTargetNetworks": one(`<R><clientVpnTargetNetworks><item><associationId>cvpn-assoc-1</associationId><vpcId>vpc-1</vpcId>
			<targetNetworkId>subnet-1</targetNetworkId><status><code>associated</code></status><securityGroups><item>sg-1</item></securityGroups></item></clientVpnTargetNetworks></R>`)},
			func(a *Account) (any, error) { return a.Associations(t.Context(), "cvpn-endpoint-1") },
			[]Association{{ID: "cvpn-assoc-1", Subnet: "subnet-1", VPC: "vpc-1", Status: "associated", SecurityGroups: []string{"sg-1"}}}},
		"routes": {map[string][]string{"DescribeClientVpnRoutes": one(`<R><routes><item><destinationCidr>10.0.0.0/16</destinationCidr><targetSubnet>subnet-1</targetSubnet><origin>associate</origin>
			<status><code>active</code></status></item><item><destinationCidr>10.9.0.0/16</destinationCidr><targetSubnet>subnet-1</targetSubnet><origin>add-route</origin><description>x</description></item></routes></R>`)},
			func(a *Account) (any, error) { return a.Routes(t.Context(), "cvpn-endpoint-1") },
			[]Route{{Destination: "10.0.0.0/16", Subnet: "subnet-1", Status: "active"}, {Destination: "10.9.0.0/16", Subnet: "subnet-1", Description: "x", Added: true}}},
		"authorization rules": {map[string][]string{"DescribeClientVpnAuthorizationRules": one(`<R><authorizationRule><item><groupId>S-1</groupId><accessAll>false</accessAll><destinationCidr>10.0.0.0/16</destinationCidr>
			<status><code>active</code></status></item></authorizationRule></R>`)},
			func(a *Account) (any, error) { return a.Rules(t.Context(), "cvpn-endpoint-1") },
			[]Rule{{Destination: "10.0.0.0/16", Group: "S-1", Status: "active"}}},
		"subnets, by zone and room": {map[string][]string{"DescribeSubnets": one(`<R><subnetSet>
			<item><subnetId>subnet-2</subnetId><vpcId>vpc-1</vpcId><availabilityZone>us-east-1b</availabilityZone><cidrBlock>10.0.2.0/24</cidrBlock><availableIpAddressCount>9</availableIpAddressCount></item>
			<item><subnetId>subnet-1</subnetId><availabilityZone>us-east-1a</availabilityZone><availableIpAddressCount>1</availableIpAddressCount></item>
			<item><subnetId>subnet-3</subnetId><availabilityZone>us-east-1a</availabilityZone><availableIpAddressCount>2</availableIpAddressCount></item></subnetSet></R>`)},
			func(a *Account) (any, error) { return a.Subnets(t.Context(), "vpc-1") },
			[]Subnet{{ID: "subnet-3", Zone: "us-east-1a", Free: 2}, {ID: "subnet-1", Zone: "us-east-1a", Free: 1}, {ID: "subnet-2", VPC: "vpc-1", Zone: "us-east-1b", CIDR: "10.0.2.0/24", Free: 9}}},
		"public subnets": {map[string][]string{"DescribeRouteTables": one(`<R><routeTableSet>
			<item><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><gatewayId>igw-1</gatewayId><state>active</state></item></routeSet>
			<associationSet><item><main>true</main></item><item><subnetId>subnet-1</subnetId></item></associationSet></item>
			<item><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><natGatewayId>nat-1</natGatewayId></item></routeSet><associationSet><item><subnetId>subnet-2</subnetId></item></associationSet></item>
			<item><routeSet><item><destinationCidrBlock>0.0.0.0/0</destinationCidrBlock><gatewayId>igw-2</gatewayId><state>blackhole</state></item></routeSet><associationSet><item><subnetId>subnet-4</subnetId></item></associationSet></item>
			</routeTableSet></R>`)},
			func(a *Account) (any, error) {
				s := []Subnet{{ID: "subnet-1"}, {ID: "subnet-2"}, {ID: "subnet-3"}, {ID: "subnet-4"}} // 3 has the main table
				err := a.Public(t.Context(), "vpc-1", s)
				return []bool{s[0].Public, s[1].Public, s[2].Public, s[3].Public}, err
			}, []bool{true, false, true, false}},
		"identity": {map[string][]string{"GetCallerIdentity": one(`<R><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/kim</Arn><Account>1</Account></GetCallerIdentityResult></R>`)},
			func(a *Account) (any, error) {
				id, err := a.Identity(t.Context())
				if !id.ClockRead || id.Ahead.Abs() > time.Minute {
					t.Errorf("the clock is %v ahead (read: %v)", id.Ahead, id.ClockRead)
				}
				id.Ahead = 0
				return id, err
			}, Identity{Account: "1", ARN: "arn:aws:iam::1:user/kim", ClockRead: true}},
		"stack": {map[string][]string{
			"DescribeStacks": one(`<R><DescribeStacksResult><Stacks><member><StackName>n</StackName><CreationTime>2026-01-01T00:00:00Z</CreationTime><StackStatus>CREATE_COMPLETE</StackStatus>
				<Outputs><member><OutputKey>Url</OutputKey><OutputValue>u</OutputValue></member></Outputs></member></Stacks></DescribeStacksResult></R>`),
			"ListStackResources": {
				`<R><ListStackResourcesResult><StackResourceSummaries><member><LogicalResourceId>A</LogicalResourceId><PhysicalResourceId>a</PhysicalResourceId></member></StackResourceSummaries><NextToken>t</NextToken></ListStackResourcesResult></R>`,
				`<R><ListStackResourcesResult><StackResourceSummaries><member><LogicalResourceId>B</LogicalResourceId><PhysicalResourceId>b</PhysicalResourceId></member></StackResourceSummaries></ListStackResourcesResult></R>`}},
			func(a *Account) (any, error) { return a.Stack(t.Context(), "n") },
			Stack{Name: "n", Status: "CREATE_COMPLETE", Outputs: map[string]string{"Url": "u"}, Resources: map[string]string{"A": "a", "B": "b"}}},
		"simulation": {map[string][]string{"SimulatePrincipalPolicy": one(`<R><SimulatePrincipalPolicyResult><IsTruncated>false</IsTruncated><EvaluationResults>
			<member><EvalActionName>a:One</EvalActionName><EvalResourceName>*</EvalResourceName><EvalDecision>allowed</EvalDecision><OrganizationsDecisionDetail><AllowedByOrganizations>false</AllowedByOrganizations></OrganizationsDecisionDetail></member>
			<member><EvalActionName>a:Two</EvalActionName><EvalResourceName>r</EvalResourceName><EvalDecision>implicitDeny</EvalDecision><ResourceSpecificResults>
			<member><EvalResourceName>r1</EvalResourceName><EvalResourceDecision>allowed</EvalResourceDecision></member>
			<member><EvalResourceName>r2</EvalResourceName><EvalResourceDecision>explicitDeny</EvalResourceDecision><MissingContextValues><member>aws:x</member></MissingContextValues>
			<PermissionsBoundaryDecisionDetail><AllowedByPermissionsBoundary>false</AllowedByPermissionsBoundary></PermissionsBoundaryDecisionDetail></member></ResourceSpecificResults></member>
			</EvaluationResults></SimulatePrincipalPolicyResult></R>`)},
			func(a *Account) (any, error) {
				return a.Simulate(t.Context(), "role", []string{"a:One", "a:Two"}, []string{"r1", "r2"}, map[string]string{"k": "v"})
			},
			[]Decision{{Action: "a:One", Resource: "*", Allowed: true, Organization: true}, {Action: "a:Two", Resource: "r1", Allowed: true},
				{Action: "a:Two", Resource: "r2", Explicit: true, Missing: []string{"aws:x"}, Boundary: true}}},
		"zones": {map[string][]string{"GET /2013-04-01/hostedzone": {
			`<ListHostedZonesResponse><HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name><CallerReference>x</CallerReference></HostedZone></HostedZones><IsTruncated>true</IsTruncated><NextMarker>Z2</NextMarker></ListHostedZonesResponse>`,
			`<ListHostedZonesResponse><HostedZones><HostedZone><Id>/hostedzone/Z2</Id><Name>corp.</Name><Config><PrivateZone>true</PrivateZone></Config></HostedZone></HostedZones><IsTruncated>false</IsTruncated></ListHostedZonesResponse>`}},
			func(a *Account) (any, error) { return a.Zones(t.Context()) }, []Zone{{ID: "Z1", Name: "example.com"}}},
		"zone": {map[string][]string{"GET /2013-04-01/hostedzone/Z1": one(`<GetHostedZoneResponse><HostedZone><Id>/hostedzone/Z1</Id><Name>example.com.</Name></HostedZone>
			<DelegationSet><NameServers><NameServer>ns-1</NameServer></NameServers></DelegationSet></GetHostedZoneResponse>`)},
			func(a *Account) (any, error) { return a.Zone(t.Context(), "Z1") }, Zone{ID: "Z1", Name: "example.com", NameServers: []string{"ns-1"}}},
		"certificates": {map[string][]string{"ListCertificates": one(fmt.Sprintf(`{"CertificateSummaryList":[{"CertificateArn":"c","DomainName":"b.example","SubjectAlternativeNameSummaries":["b.example","a.example"],
			"Status":"ISSUED","Type":"IMPORTED","RenewalEligibility":"INELIGIBLE","NotAfter":%d}]}`, until.Unix()))},
			func(a *Account) (any, error) { return a.Certificates(t.Context()) },
			[]Certificate{{ARN: "c", Names: []string{"a.example", "b.example"}, Status: "ISSUED", Until: until, Imported: true}}},
		"certificate": {map[string][]string{"DescribeCertificate": one(fmt.Sprintf(`{"Certificate":{"DomainName":"b.example","Status":"ISSUED","RenewalEligibility":"ELIGIBLE","NotAfter":%d,
			"RenewalSummary":{"RenewalStatus":"FAILED","RenewalStatusReason":"CAA_ERROR"}}}`, until.Unix()))},
			func(a *Account) (any, error) { return a.Certificate(t.Context(), "c") },
			Certificate{ARN: "c", Names: []string{"b.example"}, Status: "ISSUED", Until: until, Renewable: true, RenewalFail: "CAA_ERROR"}},
		"function": {map[string][]string{
			"GET /2015-03-31/functions/f/configuration": one(`{"State":"Active","LastUpdateStatus":"Successful","Runtime":"provided.al2023","Architectures":["arm64"],"Role":"r","Timeout":60,"MemorySize":256,
				"Environment":{"Variables":{"NIGHTLATCH_SIGNIN_ALB_ARN":"b","NIGHTLATCH_OIDC_CLIENT_SECRET":"s"}}}`),
			"GET /2019-09-25/functions/f/event-invoke-config": one(`{"MaximumRetryAttempts":0,"MaximumEventAgeInSeconds":60}`)},
			func(a *Account) (any, error) { return a.Function(t.Context(), "f") },
			Function{Name: "f", State: "Active", Update: "Successful", Runtime: "provided.al2023", Architecture: "arm64", Role: "r", TimeoutSeconds: 60, MemoryMB: 256,
				Variables: map[string]string{"NIGHTLATCH_SIGNIN_ALB_ARN": "b"}, EventAge: time.Minute}},
		"a function about whose events nothing is set": {map[string][]string{
			"GET /2015-03-31/functions/f/configuration":       one(`{"State":"Active","LastUpdateStatus":"Successful"}`),
			"GET /2019-09-25/functions/f/event-invoke-config": one(`404 {"__type":"ResourceNotFoundException"}`)},
			func(a *Account) (any, error) { return a.Function(t.Context(), "f") }, Function{Name: "f", State: "Active", Update: "Successful", Retries: -1}},
		"an answer": {map[string][]string{"POST /2015-03-31/functions/f/invocations": one(`{"checks":[]}`)},
			func(a *Account) (any, error) {
				raw, failure, err := a.Invoke(t.Context(), "f", []byte(`{}`))
				return string(raw) + failure, err
			}, `{"checks":[]}`},
		"provider": {map[string][]string{"DescribeIdentityProvider": one(`{"IdentityProvider":{"ProviderType":"SAML","ProviderDetails":{"MetadataURL":"u","IDPInit":"true"},"AttributeMapping":{"email":"Email"}}}`)},
			func(a *Account) (any, error) { return a.Provider(t.Context(), "us-east-1_P", "IdentityCenter") },
			Provider{Type: "SAML", MetadataURL: "u", Init: true, Mapping: map[string]string{"email": "Email"}}},
		"client": {map[string][]string{"DescribeUserPoolClient": one(`{"UserPoolClient":{"ClientSecret":"s","CallbackURLs":["c"],"LogoutURLs":["l"],"AllowedOAuthFlows":["code"],"AllowedOAuthScopes":["openid"],
			"AllowedOAuthFlowsUserPoolClient":true,"SupportedIdentityProviders":["I"],"AccessTokenValidity":15,"RefreshTokenValidity":12,"TokenValidityUnits":{"AccessToken":"minutes","RefreshToken":"hours"}}}`)},
			func(a *Account) (any, error) { return a.Client(t.Context(), "us-east-1_P", "4abc") },
			Client{Callbacks: []string{"c"}, SignOuts: []string{"l"}, Flows: []string{"code"}, Scopes: []string{"openid"}, Providers: []string{"I"}, OAuth: true, Secret: true, Access: 15 * time.Minute, Refresh: 12 * time.Hour}},
		"client without units": {map[string][]string{"DescribeUserPoolClient": one(`{"UserPoolClient":{"AccessTokenValidity":2,"RefreshTokenValidity":3}}`)},
			func(a *Account) (any, error) { return a.Client(t.Context(), "us-east-1_P", "4abc") }, Client{Access: 2 * time.Hour, Refresh: 72 * time.Hour}},
		"load balancer": {map[string][]string{
			"DescribeLoadBalancers": one(`<R><DescribeLoadBalancersResult><LoadBalancers><member><DNSName>Night-1.elb.example</DNSName><Scheme>internal</Scheme><State><Code>active</Code></State>
				<AvailabilityZones><member><ZoneName>a</ZoneName></member></AvailabilityZones></member></LoadBalancers></DescribeLoadBalancersResult></R>`),
			"DescribeLoadBalancerAttributes": one(`<R><DescribeLoadBalancerAttributesResult><Attributes><member><Key>k</Key><Value>v</Value></member></Attributes></DescribeLoadBalancerAttributesResult></R>`)},
			func(a *Account) (any, error) { return a.Balancer(t.Context(), "b") },
			Balancer{ARN: "b", DNSName: "night-1.elb.example", State: "active", Internal: true, Zones: 1, Attributes: map[string]string{"k": "v"}}},
		"rules, in the order in which they are tried": {map[string][]string{"DescribeRules": {
			`<R><DescribeRulesResult><Rules><member><RuleArn>d</RuleArn><Priority>default</Priority><Actions><member><Type>fixed-response</Type><FixedResponseConfig><StatusCode>404</StatusCode></FixedResponseConfig></member></Actions></member>
			<member><RuleArn>b</RuleArn><Priority>20</Priority><Conditions><member><Field>host-header</Field><HostHeaderConfig><Values><member>h</member></Values></HostHeaderConfig></member></Conditions>
			<Actions><member><Type>forward</Type><Order>2</Order><TargetGroupArn>g</TargetGroupArn></member><member><Type>authenticate-cognito</Type><Order>1</Order>
			<AuthenticateCognitoConfig><UserPoolArn>p</UserPoolArn><UserPoolClientId>c</UserPoolClientId><OnUnauthenticatedRequest>authenticate</OnUnauthenticatedRequest><SessionTimeout>60</SessionTimeout><Scope>openid</Scope></AuthenticateCognitoConfig></member></Actions></member>
			</Rules><NextMarker>m</NextMarker></DescribeRulesResult></R>`,
			`<R><DescribeRulesResult><Rules><member><RuleArn>a</RuleArn><Priority>3</Priority><Conditions><member><Field>path-pattern</Field><Values><member>/x</member></Values></member></Conditions>
			<Actions><member><Type>forward</Type><ForwardConfig><TargetGroups><member><TargetGroupArn>g1</TargetGroupArn></member><member><TargetGroupArn>g2</TargetGroupArn></member></TargetGroups></ForwardConfig></member></Actions></member></Rules></DescribeRulesResult></R>`}},
			func(a *Account) (any, error) { return a.ListenerRules(t.Context(), "l") },
			[]ListenerRule{{ARN: "a", Priority: 3, Paths: []string{"/x"}, Actions: []Action{{Type: "forward", TargetGroups: []string{"g1", "g2"}}}},
				{ARN: "b", Priority: 20, Hosts: []string{"h"}, Actions: []Action{{Type: "authenticate-cognito", PoolARN: "p", ClientID: "c", Unauthenticated: "authenticate", SessionTimeout: time.Minute, Scope: "openid"},
					{Type: "forward", TargetGroups: []string{"g"}}}},
				{ARN: "d", Actions: []Action{{Type: "fixed-response", Status: "404"}}}}},
		"target group": {map[string][]string{
			"DescribeTargetGroupAttributes": one(`<R><DescribeTargetGroupAttributesResult><Attributes><member><Key>k</Key><Value>v</Value></member></Attributes></DescribeTargetGroupAttributesResult></R>`),
			"DescribeTargetHealth":          one(`<R><DescribeTargetHealthResult><TargetHealthDescriptions><member><Target><Id>f</Id></Target></member></TargetHealthDescriptions></DescribeTargetHealthResult></R>`)},
			func(a *Account) (any, error) { return a.TargetGroup(t.Context(), "g") }, TargetGroup{Attributes: map[string]string{"k": "v"}, Targets: []string{"f"}}},
		"table": {map[string][]string{
			"DescribeTable":             one(`{"Table":{"TableStatus":"ACTIVE","KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"RANGE"}],"AttributeDefinitions":[{"AttributeName":"sk","AttributeType":"S"},{"AttributeName":"pk","AttributeType":"S"}],"DeletionProtectionEnabled":true}}`),
			"DescribeTimeToLive":        one(`{"TimeToLiveDescription":{"TimeToLiveStatus":"ENABLED","AttributeName":"expires"}}`),
			"DescribeContinuousBackups": one(`{"ContinuousBackupsDescription":{"ContinuousBackupsStatus":"ENABLED","PointInTimeRecoveryDescription":{"PointInTimeRecoveryStatus":"ENABLED"}}}`)},
			func(a *Account) (any, error) { return a.Table(t.Context(), "table") },
			Table{Status: "ACTIVE", Keys: []string{"pk HASH S", "sk RANGE S"}, Expires: "expires", Recovery: true, Protect: true}},
		"schedule": {map[string][]string{"GET /schedules/s": one(`{"GroupName":"g","ScheduleExpression":"rate(1 minute)","State":"ENABLED","Target":{"Arn":"f","RoleArn":"r","Input":"{}"}}`)},
			func(a *Account) (any, error) { return a.Schedule(t.Context(), "g", "s") },
			Schedule{Name: "s", Group: "g", Expression: "rate(1 minute)", Target: "f", Role: "r", Input: "{}", Enabled: true}},
		"schedules": {map[string][]string{"GET /schedule-groups/g": one(`{"Name":"g"}`), "GET /schedules": {`{"Schedules":[{"Name":"a"}],"NextToken":"n"}`, `{"Schedules":[{"Name":"b"}]}`}},
			func(a *Account) (any, error) { return a.Schedules(t.Context(), "g") }, []string{"a", "b"}},
		"queue": {map[string][]string{"GetQueueAttributes": one(`{"Attributes":{"ApproximateNumberOfMessages":"3"}}`)},
			func(a *Account) (any, error) { return a.QueueLength(t.Context(), "https://sqs/1/q") }, 3},
		"alarms": {map[string][]string{"DescribeAlarms": one(`<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><DescribeAlarmsResult><MetricAlarms><member><AlarmName>a</AlarmName>
			<StateValue>ALARM</StateValue><StateReason>r</StateReason></member></MetricAlarms></DescribeAlarmsResult></DescribeAlarmsResponse>`)},
			func(a *Account) (any, error) { return a.Alarms(t.Context(), []string{"a", "b"}) }, []Alarm{{Name: "a", State: "ALARM", Reason: "r"}}},
		"domain of an API": {map[string][]string{"GET /v2/domainnames/vpn.example.com": one(`{"domainNameConfigurations":[{"domainNameStatus":"AVAILABLE","certificateArn":"c","apiGatewayDomainName":"D-1.example"}]}`),
			"GET /v2/domainnames/vpn.example.com/apimappings": one(`{"items":[{"apiId":"a1"}]}`)},
			func(a *Account) (any, error) { return a.APIDomain(t.Context(), "vpn.example.com") }, APIDomain{Status: "AVAILABLE", Certificate: "c", Target: "d-1.example", APIs: []string{"a1"}}},
		"prices": {map[string][]string{"GetProducts": {products(t, "APN1-ClientVPN-ConnectionHours", "0.05", "next"), products(t, "APN1-ClientVPN-EndpointHours", "0.1500000000", "")}},
			func(a *Account) (any, error) {
				return a.Prices(t.Context(), "AmazonVPC", map[string]string{"operation": "ClientVPNEndpoints"}, "ClientVPN-EndpointHours")
			}, map[string]Price{"ClientVPN-EndpointHours": {Amount: 0.15, Currency: "USD", Unit: "Hrs"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w, a := newWire(t, tt.answers)
			got, err := tt.call(a)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %+v (%v)\nwant %+v", got, err, tt.want)
			}
			for op, answers := range tt.answers {
				if len(w.asked[op]) != len(answers) {
					t.Errorf("%s was called %d times, want %d", op, len(w.asked[op]), len(answers))
				}
			}
		})
	}
}

// TestAsks: what is asked is about what was named, and prices are asked where they are told.
func TestAsks(t *testing.T) {
	w, a := newWire(t, map[string][]string{"GET /schedules/s": one(`{}`), "DescribeSubnets": one(`<R/>`), "GetProducts": one(`{"PriceList":[]}`),
		"SimulatePrincipalPolicy": one(`<R><SimulatePrincipalPolicyResult/></R>`)})
	_, err1 := a.Schedule(t.Context(), "g", "s")
	_, err2 := a.Subnets(t.Context(), "vpc-1")
	_, err3 := a.Subnets(t.Context(), "", "subnet-1")
	_, err4 := a.In("ap-northeast-2").Prices(t.Context(), "AmazonVPC", map[string]string{"operation": "x"})
	_, err5 := a.In("cn-north-1").Prices(t.Context(), "AmazonVPC", nil)
	_, err6 := a.Simulate(t.Context(), "role", []string{"iam:PassRole"}, []string{"r"}, map[string]string{"iam:PassedToService": "scheduler.amazonaws.com"})
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		op    string
		n     int
		wants []string
		not   string
	}{
		{"GET /schedules/s", 0, []string{"groupName=g"}, "x"},
		{"DescribeSubnets", 0, []string{"Filter.1.Name=vpc-id", "Filter.1.Value.1=vpc-1"}, "SubnetId"},
		{"DescribeSubnets", 1, []string{"SubnetId.1=subnet-1"}, "Filter"},
		{"GetProducts", 0, []string{`"Value":"ap-northeast-2"`, `"Field":"operation"`, "/us-east-1/pricing/"}, "cn-"},
		{"GetProducts", 1, []string{`"Value":"cn-north-1"`, "/cn-northwest-1/pricing/"}, "us-east-1"},
		{"SimulatePrincipalPolicy", 0, []string{"ContextKeyName=iam%3APassedToService", "scheduler.amazonaws.com"}, "Marker"},
	} {
		got := w.asked[tt.op][tt.n]
		for _, want := range tt.wants {
			if !strings.Contains(got, want) {
				t.Errorf("%s asks %s, without %s", tt.op, got, want)
			}
		}
		if tt.not != "x" && strings.Contains(got, tt.not) {
			t.Errorf("%s asks %s, with %s", tt.op, got, tt.not)
		}
	}
}

// products is an answer of the Price List with one product.
func products(t *testing.T, usage, usd, next string) string {
	t.Helper()
	product := map[string]any{"product": map[string]any{"attributes": map[string]string{"usagetype": usage}},
		"terms": map[string]any{"OnDemand": map[string]any{"X.Y": map[string]any{"priceDimensions": map[string]any{"X.Y.Z": map[string]any{
			"unit": "Hrs", "beginRange": "0", "pricePerUnit": map[string]string{"USD": usd}}}}}}}
	raw, err := json.Marshal(product)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := json.Marshal(map[string]any{"PriceList": []string{string(raw)}, "NextToken": next})
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestErrors: what is not there, what one may not, and what says nothing are told apart, by each protocol.
func TestErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		op, answer string
		call       func(*Account) error
		missing    bool
		denied     bool
	}{
		"EC2, not there":            {"DescribeClientVpnEndpoints", `400 <Response><Errors><Error><Code>InvalidClientVpnEndpointId.NotFound</Code><Message>m</Message></Error></Errors></Response>`, func(a *Account) error { _, err := a.Endpoints(t.Context(), "x"); return err }, true, false},
		"EC2, may not":              {"DescribeSubnets", `403 <Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>m</Message></Error></Errors></Response>`, func(a *Account) error { _, err := a.Subnets(t.Context(), "x"); return err }, false, true},
		"CloudFormation, not there": {"DescribeStacks", `400 <ErrorResponse><Error><Code>ValidationError</Code><Message>Stack with id n does not exist</Message></Error></ErrorResponse>`, func(a *Account) error { _, err := a.Stack(t.Context(), "n"); return err }, true, false},
		"CloudFormation, may not":   {"DescribeStacks", `403 <ErrorResponse><Error><Code>AccessDenied</Code><Message>m</Message></Error></ErrorResponse>`, func(a *Account) error { _, err := a.Stack(t.Context(), "n"); return err }, false, true},
		"DynamoDB, not there":       {"DescribeTable", `400 {"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException"}`, func(a *Account) error { _, err := a.Table(t.Context(), "t"); return err }, true, false},
		"SQS, not there":            {"GetQueueAttributes", `400 {"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"m"}`, func(a *Account) error { _, err := a.QueueLength(t.Context(), "q"); return err }, true, false},
		"CloudWatch, may not":       {"DescribeAlarms", `403 <ErrorResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><Error><Code>AccessDenied</Code><Message>m</Message></Error></ErrorResponse>`, func(a *Account) error { _, err := a.Alarms(t.Context(), []string{"a"}); return err }, false, true},
		"API Gateway, not there":    {"GET /v2/domainnames/d", `404 {"__type":"NotFoundException","message":"m"}`, func(a *Account) error { _, err := a.APIDomain(t.Context(), "d"); return err }, true, false},
		"no load balancer":          {"DescribeLoadBalancers", `<R><DescribeLoadBalancersResult><LoadBalancers></LoadBalancers></DescribeLoadBalancersResult></R>`, func(a *Account) error { _, err := a.Balancer(t.Context(), "b"); return err }, true, false},
		"Lambda, half":              {"GET /2019-09-25/functions/f/event-invoke-config", `403 {"__type":"AccessDeniedException"}`, func(a *Account) error { _, err := a.Function(t.Context(), "f"); return err }, false, true},
		"a proxy's page":            {"GetQueueAttributes", `403 <html>no</html>`, func(a *Account) error { _, err := a.QueueLength(t.Context(), "q"); return err }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			_, a := newWire(t, map[string][]string{"GET /2015-03-31/functions/f/configuration": one(`{}`), tt.op: one(tt.answer)})
			err := tt.call(a)
			if err == nil || errors.Is(err, latch.ErrNotFound) != tt.missing || Denied(err) != tt.denied {
				t.Errorf("%v: not there %v, denied %v", err, errors.Is(err, latch.ErrNotFound), Denied(err))
			}
		})
	}
}

func TestCovers(t *testing.T) {
	c := Certificate{Names: []string{"*.example.com", "example.org"}}
	for domain, want := range map[string]bool{"vpn.example.com": true, "a.vpn.example.com": false, "example.com": false, "Example.org": true, "vpn.example.org": false, "localhost": false} {
		if c.Covers(domain) != want {
			t.Errorf("%s: %v, want %v", domain, !want, want)
		}
	}
}
