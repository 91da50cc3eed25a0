//go:build !lambda

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/doctor"
	"github.com/nightlatch/nightlatch/internal/inside"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/survey"
)

// TestChecksInWords: a line for each check, what to do about it beneath, and how many there are of each kind.
func TestChecksInWords(t *testing.T) {
	var b strings.Builder
	writeChecks(&b, []doctor.Check{
		{Name: "clock", Result: doctor.OK, Detail: "within 30s of AWS's", Fix: "nothing"},
		{Name: "configuration", Result: doctor.Failure, Detail: "nightlatch.yaml:1: no\nnightlatch.yaml:2: no", Fix: "correct it"},
		{Name: "cost", Result: doctor.Warning, Detail: "too much"},
		{Name: "zone", Result: doctor.NotChecked, Detail: "your credentials may not", Fix: "have somebody"},
		{Name: "table", Result: doctor.NotChecked, Detail: "the stack could not be read"},
	})
	const want = `✓ clock          within 30s of AWS's
✗ configuration  nightlatch.yaml:1: no
    nightlatch.yaml:2: no
    fix: correct it
! cost           too much
– zone           your credentials may not
    fix: have somebody
– table          the stack could not be read

1 ok, 1 warning, 1 failure, 2 not checked
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", &b, want)
	}
}

// TestGatewayOfOthers: what the demo has no part for says so, in the form that its clients read; what is signed for a service
// goes nowhere else, whatever it looks like.
func TestGatewayOfOthers(t *testing.T) {
	asked := ""
	services := map[string]http.Handler{}
	for _, host := range []string{hostEC2, hostDynamoDB, hostScheduler, hostIDP, hostLambda} {
		services[host] = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = host })
	}
	server := httptest.NewServer(gateway(services))
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", accessKey("alice").AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", accessKey("alice").SecretAccessKey)
	cfg, err := operatorAWS(t.Context(), demoRegion)
	if err != nil {
		t.Fatal(err)
	}
	a := survey.New(cfg)
	for service, call := range map[string]func(context.Context) error{
		"cognito-idp":          func(ctx context.Context) error { _, err := a.Provider(ctx, "us-east-1_Pool", "x"); return err },
		"elasticloadbalancing": func(ctx context.Context) error { _, err := a.ListenerRules(ctx, "x"); return err },
		"route53":              func(ctx context.Context) error { _, err := a.Zone(ctx, "Z0"); return err },
		"acm": func(ctx context.Context) error {
			_, err := a.Certificate(ctx, "arn:aws:acm:us-east-1:1:certificate/1")
			return err
		},
		"sqs":        func(ctx context.Context) error { _, err := a.QueueLength(ctx, server.URL+"/q"); return err },
		"monitoring": func(ctx context.Context) error { _, err := a.Alarms(ctx, []string{"x"}); return err },
		"apigateway": func(ctx context.Context) error { _, err := a.APIDomain(ctx, demoSite); return err },
		"iam": func(ctx context.Context) error {
			_, err := a.Simulate(ctx, "arn:x", []string{"a:b"}, []string{"*"}, nil)
			return err
		},
		"pricing":        func(ctx context.Context) error { _, err := a.Prices(ctx, "AmazonVPC", nil, "x"); return err },
		"cloudformation": func(ctx context.Context) error { _, err := a.Stack(ctx, "x"); return err }, // of which there is none here
	} {
		asked = ""
		if err := call(t.Context()); err == nil || !strings.Contains(err.Error(), "the demo has nothing that stands in for "+service) || asked != "" {
			t.Errorf("%s: got %v, and %q was asked", service, err, asked)
		}
	}
	r := httptest.NewRequest(http.MethodPut, "/2015-03-31/key", nil)
	sigv4.Sign(r, nil, accessKey("alice"), "s3", demoRegion, time.Now())
	answer := httptest.NewRecorder()
	gateway(services).ServeHTTP(answer, r)
	const want = "<Error><Code>NotImplemented</Code><Message>the demo has nothing that stands in for s3</Message></Error>"
	if answer.Code != http.StatusNotImplemented || answer.Body.String() != want || asked != "" {
		t.Errorf("S3: got %d %s, want %s", answer.Code, answer.Body, want)
	}
	for name, tt := range map[string]struct {
		path   string
		header http.Header
		want   string
	}{
		"unsigned":               {"/", nil, hostEC2},
		"unsigned, for a table":  {"/", http.Header{"X-Amz-Target": {"DynamoDB_20120810.GetItem"}}, hostDynamoDB},
		"unsigned, a schedule":   {"/schedules/x", nil, hostScheduler},
		"unsigned, a function":   {"/2015-03-31/functions/x", nil, hostLambda},
		"unsigned, an issuer":    {"/pool/.well-known/jwks.json", nil, hostIDP},
		"signed for EC2":         {"/schedules/x", http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0"}}, hostEC2},
		"a scope that is none":   {"/", http.Header{"Authorization": {"AWS4-HMAC-SHA256 Credential=AKID/ec2"}}, hostEC2},
		"another way of signing": {"/", http.Header{"Authorization": {"Bearer x"}}, hostEC2},
	} {
		r := httptest.NewRequest(http.MethodPost, tt.path, nil)
		r.Header = tt.header.Clone()
		if r.Header == nil {
			r.Header = http.Header{}
		}
		asked = ""
		gateway(services).ServeHTTP(httptest.NewRecorder(), r)
		if asked != tt.want {
			t.Errorf("%s: %q was asked, want %q", name, asked, tt.want)
		}
	}
}

// TestDoctorInTheDemo: the role that the template gives to the functions lets them make everything that they look for, and the
// doctor finds nothing amiss from inside; and what Scheduler gives up is in the log with its reason.
func TestDoctorInTheDemo(t *testing.T) {
	t.Parallel()
	o := options(t, t.TempDir())
	o.template, o.minute = rendered, time.Second
	if err := o.check(false, true); err != nil {
		t.Fatal(err)
	}
	d := start(t, o, newSecrets())
	b := d.browser(t, "alice")
	raw, err := b.aws("lambda", http.MethodPost, "/2015-03-31/functions/nightlatch-beat/invocations", asJSON, []byte(`{"source":"nightlatch.doctor"}`))
	var report inside.Report
	if err == nil {
		err = json.Unmarshal(raw, &report)
	}
	if err != nil || len(report.Checks) < 10 {
		t.Fatalf("got %s, %v", raw, err)
	}
	for _, c := range report.Checks {
		if c.Result == inside.Failure {
			t.Errorf("%s: %s\nfix: %s", c.Name, c.Detail, c.Fix)
		}
	}
	rules, err := b.aws("ec2", http.MethodPost, "/", asForm, []byte("Action=DescribeClientVpnAuthorizationRules&Version=2016-11-15&ClientVpnEndpointId="+demoEndpoint))
	if err != nil || !strings.Contains(string(rules), "<code>active</code>") {
		t.Errorf("got the authorization rules %s, %v", rules, err)
	}
	// A switch for an association that never was.
	const orphan = "cvpn-assoc-0d3a11c0ffee00009"
	text := fmt.Sprintf(`{"GroupName":%q,"FlexibleTimeWindow":{"Mode":"OFF"},"ScheduleExpression":%q,"Target":{"Arn":"arn:aws:scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork",
		"RoleArn":"arn:aws:iam::%s:role/nightlatch-DeadmanRole","Input":%q,"DeadLetterConfig":{"Arn":%q},"RetryPolicy":{"MaximumRetryAttempts":0}}}`,
		demoGroup, time.Now().UTC().Add(time.Second).Format("at(2006-01-02T15:04:05)"), demoAccount, `{"ClientVpnEndpointId":"`+demoEndpoint+`","AssociationId":"`+orphan+`"}`, demoQueue)
	if _, err := b.aws("scheduler", http.MethodPost, "/schedules/nightlatch-"+orphan, asJSON, []byte(text)); err != nil {
		t.Fatal(err)
	}
	d.told(t, 0, `"msg":"dead letter"`, `"level":"WARN"`, `"queue":"`+demoQueue+`"`, "nightlatch-"+orphan, "does not exist at endpoint")
	d.stop(t)
}
