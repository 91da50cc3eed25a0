package deploy_test

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/latch"
)

var update = flag.Bool("update", false, "write the golden files anew")

// shapes are the configurations in testdata: each front, and each thing that may exist already.
var shapes = []string{"alb", "httpapi", "existing", "issuer"}

func configuration(t *testing.T, shape string) *config.Config {
	t.Helper()
	file := filepath.Join("testdata", shape+".yaml")
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(file, raw)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func render(t *testing.T, c *config.Config) []byte {
	t.Helper()
	out, err := deploy.Render(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// document is a template as data. Intrinsic functions are their arguments: !Ref X is "X".
type document struct {
	Parameters map[string]struct {
		Default *string `yaml:"Default"`
	} `yaml:"Parameters"`
	Resources map[string]struct {
		Type           string         `yaml:"Type"`
		DeletionPolicy string         `yaml:"DeletionPolicy"`
		Properties     map[string]any `yaml:"Properties"`
	} `yaml:"Resources"`
}

func parse(t *testing.T, raw []byte) document {
	t.Helper()
	var d document
	if err := yaml.Unmarshal(raw, &d); err != nil {
		t.Fatal(err)
	}
	if len(d.Resources) < 20 {
		t.Fatalf("only %d resources were read", len(d.Resources))
	}
	return d
}

func TestTheRenderedTemplate(t *testing.T) {
	for _, shape := range shapes {
		got := render(t, configuration(t, shape))
		golden := filepath.Join("testdata", shape+".template.yaml")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what is rendered now: look at the difference after go test ./internal/deploy -run TestTheRenderedTemplate -update", golden)
		}
		if len(got) > 51_200 {
			t.Errorf("%s: %d bytes, and CloudFormation takes 51,200 without a bucket", shape, len(got))
		}
	}
}

// sdkInput names an operation by the type of what it is asked with.
var sdkInput = regexp.MustCompile(`\b(ec2|dynamodb|scheduler|sts)\.(\w+)Input\b`)

// The functions' role may make the calls that the functions' code makes, and no others.
func TestTheRoleMayWhatTheCodeCalls(t *testing.T) {
	called := map[string]bool{}
	for _, pkg := range []string{"clientvpn", "store", "deadman", "role"} {
		files, err := filepath.Glob(filepath.Join("..", pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("internal/%s: no files, %v", pkg, err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range sdkInput.FindAllSubmatch(src, -1) {
				called[string(m[1])+":"+string(m[2])] = true
			}
		}
	}
	allowed := map[string]bool{}
	for _, s := range deploy.FunctionStatements(configuration(t, "existing")) {
		for _, a := range s.Actions {
			allowed[a] = true
		}
	}
	// CreateSchedule hands over the switch's role; Lambda itself writes the log.
	for _, beside := range []string{"iam:PassRole", "logs:CreateLogStream", "logs:PutLogEvents"} {
		if !allowed[beside] {
			t.Errorf("%s is not allowed", beside)
		}
		delete(allowed, beside)
	}
	if !maps.Equal(called, allowed) {
		t.Errorf("the code calls %v\nthe role may  %v", slices.Sorted(maps.Keys(called)), slices.Sorted(maps.Keys(allowed)))
	}
}

// Only one call knows no resources; everything else is on what the configuration names.
func TestStatementsNameTheirResources(t *testing.T) {
	for _, shape := range shapes {
		c := configuration(t, shape)
		for _, s := range slices.Concat(deploy.FunctionStatements(c), deploy.DeadmanStatements(c)) {
			for _, a := range s.Actions {
				if strings.Contains(a, "*") {
					t.Errorf("%s: %s allows %s", shape, s.Sid, a)
				}
			}
			if len(s.Resources) == 0 {
				t.Errorf("%s: %s names no resource", shape, s.Sid)
			}
			for _, r := range s.Resources {
				if r == "*" && !slices.Equal(s.Actions, []string{"ec2:DescribeClientVpnEndpoints"}) {
					t.Errorf("%s: %v on everything", shape, s.Actions)
				}
				if strings.HasSuffix(r, "/*") && !strings.HasSuffix(r, ":security-group/*") && !strings.HasSuffix(r, ":vpc/*") {
					t.Errorf("%s: %v on %s", shape, s.Actions, r)
				}
			}
		}
	}
	if got := fmt.Sprint(deploy.FunctionStatements(configuration(t, "existing"))); strings.Contains(got, "cvpn-endpoint-0123456789abcdef1") || !strings.Contains(got, "[sts:AssumeRole] [arn:aws:iam::444455556666:role/nightlatch]") {
		t.Errorf("another account's endpoint is that account's role's affair: %s", got)
	}
}

func TestWhoIsLetThrough(t *testing.T) {
	for _, shape := range shapes {
		d := parse(t, render(t, configuration(t, shape)))
		for id, r := range d.Resources {
			text := fmt.Sprint(r.Properties)
			switch r.Type {
			case "AWS::ElasticLoadBalancingV2::Listener":
				if strings.Contains(text, "forward") {
					t.Errorf("%s: %s forwards for every name", shape, id)
				}
				if r.Properties["Protocol"] == "HTTPS" && r.Properties["SslPolicy"] != "ELBSecurityPolicy-TLS13-1-2-2021-06" {
					t.Errorf("%s: %s has TLS as %v", shape, id, r.Properties["SslPolicy"])
				}
			case "AWS::ElasticLoadBalancingV2::ListenerRule":
				if id != "FrontRule" && strings.Contains(text, "forward") {
					t.Errorf("%s: %s forwards too", shape, id)
				}
				if !strings.Contains(text, "host-header") || !strings.Contains(text, "vpn.example.com") {
					t.Errorf("%s: %s is for every host", shape, id)
				}
			case "AWS::ElasticLoadBalancingV2::TargetGroup":
				if !strings.Contains(text, "lambda.multi_value_headers.enabled Value:true") {
					t.Errorf("%s: %s has one value a header", shape, id)
				}
			case "AWS::Lambda::Permission":
				// An API's ARN names account and API; a target group's is a pattern.
				if r.Properties["SourceArn"] == nil || r.Properties["SourceAccount"] != "AWS::AccountId" && !strings.Contains(text, "${AWS::AccountId}:${Api}/") {
					t.Errorf("%s: %s lets everybody's front in", shape, id)
				}
			case "AWS::Cognito::UserPoolClient":
				if r.Properties["GenerateSecret"] != true || strings.Contains(text, "aws.cognito.signin.user.admin") {
					t.Errorf("%s: %s: %s", shape, id, text)
				}
			case "AWS::Lambda::Function":
				if r.Properties["Runtime"] != "provided.al2023" || r.Properties["Timeout"] != 60 || r.Properties["LoggingConfig"] == nil {
					t.Errorf("%s: %s: %s", shape, id, text)
				}
			case "AWS::Logs::LogGroup":
				if r.Properties["RetentionInDays"] != 90 {
					t.Errorf("%s: %s is kept for ever", shape, id)
				}
			case "AWS::DynamoDB::Table":
				if !strings.HasPrefix(r.DeletionPolicy, "Retain") {
					t.Errorf("%s: %s goes with the stack, and the audit with it", shape, id)
				}
			}
		}
		if rule, ok := d.Resources["FrontRule"]; ok {
			actions := fmt.Sprint(rule.Properties["Actions"])
			if auth, forward := strings.Index(actions, "authenticate-cognito"), strings.Index(actions, "Type:forward"); auth < 0 || forward < auth || strings.Count(actions, "Type:forward") != 1 {
				t.Errorf("%s: the front's rule does not authenticate before it forwards: %s", shape, actions)
			}
		}
	}
}

func TestWhatIsThereAlreadyIsNotMade(t *testing.T) {
	for shape, absent := range map[string][]string{
		"existing": {"UserPool", "UserPoolDomain", "IdentityProvider", "LoadBalancer", "HttpsListener", "HttpListener", "LoadBalancerSecurityGroup", "Certificate"},
		"issuer":   {"UserPool", "UserPoolClient", "LoadBalancer", "TargetGroup"},
		"httpapi":  {"LoadBalancer", "FrontRule", "TargetGroup"},
		"alb":      {"Api", "ListenerCertificate"},
	} {
		d := parse(t, render(t, configuration(t, shape)))
		for _, id := range absent {
			if _, ok := d.Resources[id]; ok {
				t.Errorf("%s makes %s", shape, id)
			}
		}
	}
	d := parse(t, render(t, configuration(t, "existing")))
	if got := fmt.Sprint(d.Resources["FrontFunction"].Properties["Environment"]); !strings.Contains(got, "NIGHTLATCH_SIGNIN_ALB_ARN:arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/shared/0123456789abcdef ") ||
		!strings.Contains(got, "SESSION_COOKIE:AWSELBAuthSessionCookie-nightlatch") {
		t.Errorf("the existing listener's load balancer signs, under a cookie of ours: %s", got)
	}
}

// What another Region or account needs is a template of its own.
func TestPlaces(t *testing.T) {
	c := configuration(t, "existing")
	for _, name := range []string{"partner", "virginia"} {
		got, err := deploy.RenderPlace(c, name)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "place-"+name+".template.yaml")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what is rendered now (%v): look at the difference after go test ./internal/deploy -run TestPlaces -update", golden, err)
		}
	}
	for name, want := range map[string]string{"office": "is where the deployment is", "elsewhere": "there is no endpoint"} {
		if _, err := deploy.RenderPlace(c, name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", name, err, want)
		}
	}
	c.Endpoints[0].RoleARN, c.Endpoints[0].Deadman.Group = c.Endpoints[1].RoleARN, "another"
	if _, err := deploy.RenderPlace(c, "partner"); err == nil || !strings.Contains(err.Error(), "name two schedule groups") {
		t.Errorf("got %v", err)
	}
}

func TestLimitsAreToldBeforeAWSDoes(t *testing.T) {
	c := configuration(t, "alb")
	for i := range 80 {
		e := c.Endpoints[0]
		e.ID = latch.EndpointID(fmt.Sprintf("cvpn-endpoint-%017x", i))
		e.Policy.Subnets = []latch.SubnetID{latch.SubnetID(fmt.Sprintf("subnet-%017x", i))}
		c.Endpoints = append(c.Endpoints, e)
	}
	if _, err := deploy.Render(c); err == nil || !strings.Contains(err.Error(), "81 endpoints need a policy of about") {
		t.Errorf("got %v", err)
	}
	c.Endpoints = c.Endpoints[:50]
	if _, err := deploy.Render(c); err != nil {
		t.Errorf("fifty endpoints, which one beat keeps, do not fit: %v", err)
	}
	c.Deploy = nil
	if _, err := deploy.Render(c); err == nil || !strings.Contains(err.Error(), "no deploy section") {
		t.Errorf("got %v", err)
	}
}
