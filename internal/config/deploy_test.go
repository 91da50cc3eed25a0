package config_test

import (
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/config"
)

const (
	oneEndpoint = `region: eu-central-1
endpoints:
  - {name: office, id: cvpn-endpoint-0a, subnets: [subnet-0a]}
`
	balanced = oneEndpoint + `deploy:
  domain: vpn.example.com
  hosted_zone: Z0123456789ABC
  load_balancer: {vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}
  user_pool: {prefix: example-vpn}
`
	gateway = oneEndpoint + `deploy:
  front: httpapi
  domain: vpn.example.com
  hosted_zone: Z0123456789ABC
  user_pool: {prefix: example-vpn}
`
)

// variables are an environment.
func variables(of map[string]string) func(string) string {
	return func(name string) string { return of[name] }
}

func TestADeployment(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(balanced))
	if err != nil {
		t.Fatal(err)
	}
	d := c.Deploy
	if d.Stack != "nightlatch" || d.Front != config.FrontALB || d.Architecture != "arm64" || d.RolePath != "/" || d.LogDays != 90 || d.LoadBalancer.Priority != 100 ||
		d.LoadBalancer.Allow[0].String() != "0.0.0.0/0" || d.UserPool.Domain != "example-vpn.auth.eu-central-1.amazoncognito.com" || d.UserPool.Provider != "IdentityCenter" {
		t.Errorf("got %+v", d)
	}
	err = c.Complete()
	if err == nil {
		t.Fatal("nothing is missing, though only the stack knows the table, the switches' role and the load balancer")
	}
	for _, want := range []string{"table", "deadman.group", "deadman.role_arn", "signin.alb.arn", "signin.alb.client_id", "signin.alb.issuer", "signin.alb.logout_url"} {
		if !strings.Contains(err.Error(), want+" is missing: the deployment sets "+config.Variable(want)) {
			t.Errorf("nothing is said of %s: %v", want, err)
		}
	}
}

func TestVariablesOverrideTheFile(t *testing.T) {
	env := map[string]string{
		"NIGHTLATCH_TABLE": "nightlatch-7", "NIGHTLATCH_DEADMAN_GROUP": "nightlatch", "NIGHTLATCH_DEADMAN_ROLE_ARN": "arn:aws:iam::111122223333:role/x/deadman",
		"NIGHTLATCH_SIGNIN_OIDC_ISSUER": "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_A", "NIGHTLATCH_SIGNIN_OIDC_CLIENT_ID": "4abc",
		"NIGHTLATCH_SIGNIN_OIDC_REDIRECT_URL": "https://vpn.example.com/oauth2/callback", "NIGHTLATCH_SIGNIN_OIDC_LOGOUT_URL": "https://login.example.com/logout?client_id=4abc",
		"NIGHTLATCH_SIGNIN_OIDC_SIGN_IN_ORIGINS": "https://a.example.com, https://b.example.com", "NIGHTLATCH_SIGNIN_OIDC_AUTHORIZE_PARAMS": "identity_provider=IdentityCenter, lang=ko", "NIGHTLATCH_BEAT_FOR": "40s", "NIGHTLATCH_AUDIT_KEEP_DAYS": "7",
	}
	file := strings.Replace(gateway, "deploy:", "signin: {oidc: {session: 8h}}\ndeploy:", 1)
	c, err := config.Parse("nightlatch.yaml", []byte(file), variables(nil), variables(env))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); err != nil {
		t.Errorf("everything was told, and: %v", err)
	}
	if c.Table != "nightlatch-7" || c.OIDC.Session.Hours() != 8 || c.OIDC.ClientID != "4abc" || len(c.OIDC.SignInOrigins) != 2 || c.OIDC.SignInOrigins[1] != "https://b.example.com" || c.OIDC.AuthorizeParams["identity_provider"] != "IdentityCenter" || c.OIDC.AuthorizeParams["lang"] != "ko" ||
		c.BeatFor.Seconds() != 40 || c.KeepAudit.Hours() != 7*24 || c.Endpoints[0].Deadman.RoleARN != env["NIGHTLATCH_DEADMAN_ROLE_ARN"] || c.Issuer() {
		t.Errorf("got %+v, %+v", c, c.OIDC)
	}
	for name, value := range map[string]string{"NIGHTLATCH_BEAT_FOR": "soon", "NIGHTLATCH_DEADMAN_ROLE_ARN": "deadman", "NIGHTLATCH_AUDIT_KEEP_DAYS": "0"} {
		if _, err := config.Parse("nightlatch.yaml", []byte(file), variables(map[string]string{name: value}), variables(env)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s=%s: %v does not name the variable", name, value, err)
		}
	}
}

// TestElsewhereBesideADeployment: what passes here must pass with what the stack tells the functions.
func TestElsewhereBesideADeployment(t *testing.T) {
	file := strings.Replace(balanced, "deploy:", `  - {name: frankfurt, id: cvpn-endpoint-0b, region: us-east-1, subnets: [subnet-0b]}
  - {name: partner, id: cvpn-endpoint-0c, role_arn: "arn:aws:iam::444455556666:role/x", deadman: {role_arn: "arn:aws:iam::444455556666:role/y"}, subnets: [subnet-0e]}
deploy:`, 1)
	if _, err := config.Parse("nightlatch.yaml", []byte(file)); err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("nightlatch.yaml", []byte(file), variables(map[string]string{"NIGHTLATCH_SIGNIN_PENDING": "true", "NIGHTLATCH_TABLE": "nightlatch",
		"NIGHTLATCH_DEADMAN_GROUP": "nightlatch", "NIGHTLATCH_DEADMAN_ROLE_ARN": "arn:aws:iam::111122223333:role/deadman",
		"NIGHTLATCH_DEADMAN_DEAD_LETTER_ARN": "arn:aws:sqs:eu-central-1:111122223333:dead"}))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []config.Deadman{
		{Group: "nightlatch", RoleARN: "arn:aws:iam::111122223333:role/deadman", DeadLetterARN: "arn:aws:sqs:eu-central-1:111122223333:dead"},
		{Group: "nightlatch", RoleARN: "arn:aws:iam::111122223333:role/deadman"},
		{Group: "nightlatch", RoleARN: "arn:aws:iam::444455556666:role/y"},
	} {
		if got := c.Endpoints[i].Deadman; got != want {
			t.Errorf("%s: got %+v, want %+v", c.Endpoints[i].Name, got, want)
		}
	}
}

func TestWithoutAnIdentityProvider(t *testing.T) {
	env := variables(map[string]string{"NIGHTLATCH_SIGNIN_PENDING": "true", "NIGHTLATCH_TABLE": "nightlatch", "NIGHTLATCH_DEADMAN_GROUP": "nightlatch",
		"NIGHTLATCH_DEADMAN_ROLE_ARN": "arn:aws:iam::111122223333:role/deadman"})
	for _, file := range []string{balanced, gateway} {
		c, err := config.Parse("nightlatch.yaml", []byte(file), env)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Complete(); err != nil || !c.SignInPending {
			t.Errorf("got %v, pending %v", err, c.SignInPending)
		}
	}
	if _, err := config.Parse("nightlatch.yaml", []byte(good), env); err == nil || !strings.Contains(err.Error(), "NIGHTLATCH_SIGNIN_PENDING, for signin.pending: is for a deployment") {
		t.Errorf("a deployment by hand was left without a sign-in: %v", err)
	}
}

func TestAnIssuerOfOnesOwn(t *testing.T) {
	file := strings.Replace(gateway, "  user_pool: {prefix: example-vpn}\n", "signin: {oidc: {issuer: https://login.example.com/realms/corp, client_id: nightlatch}}\n", 1)
	c, err := config.Parse("nightlatch.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Complete(); !c.Issuer() || err == nil || strings.Contains(err.Error(), "client_id") || !strings.Contains(err.Error(), "redirect_url") {
		t.Errorf("got %v, %v", c.Issuer(), err)
	}
}

func TestFaultsOfADeployment(t *testing.T) {
	for _, tt := range []struct{ file, from, to, want string }{
		{balanced, "vpn.example.com", "VPN.example.com", `5: deploy.domain: "VPN.example.com" is not the page's host name in lower case`},
		{balanced, "  hosted_zone: Z0123456789ABC\n", "", "deploy.hosted_zone: is missing"},
		{balanced, "domain:", "front: nlb\n  domain:", `deploy.front: "nlb" is neither alb`},
		{balanced, "domain:", "stack: Night_Latch\n  domain:", "deploy.stack: "},
		{balanced, "domain:", "certificate: arn:aws:acm:us-east-1:111122223333:certificate/0a\n  domain:", "deploy.certificate: is of us-east-1, and the front is in eu-central-1"},
		{balanced, "domain:", "architecture: x86_64\n  domain:", "neither arm64 nor amd64"},
		{balanced, "domain:", "log_days: 100\n  domain:", "deploy.log_days: 100 is not among"},
		{balanced, "domain:", "reserved_concurrency: 0\n  domain:", "leave it out for no limit"},
		{balanced, "domain:", "role_path: nightlatch\n  domain:", "deploy.role_path: "},
		{balanced, "domain:", "permissions_boundary: boundary\n  domain:", "deploy.permissions_boundary: "},
		{balanced, "domain:", "tags: {aws:x: y}\n  domain:", "deploy.tags.aws:x: is not a tag"},
		{balanced, "domain:", "bucket: My_Bucket\n  domain:", "deploy.bucket: "},
		{balanced, "domain:", "alarm_topic: alarms\n  domain:", "deploy.alarm_topic: "},
		{balanced, "domain:", "sign_in_origins: [example.awsapps.com]\n  domain:", "deploy.sign_in_origins.0: "},
		{balanced, "deploy:", "table: mine\ndeploy:", "table: is the stack's to tell"},
		{balanced, "deploy:", "deadman: {group: mine}\ndeploy:", "deadman.group: is the stack's to tell"},
		{balanced, "subnets: [subnet-0a]", "deadman: {group: mine}, subnets: [subnet-0a]", "endpoints.0.deadman.group: is the stack's"},
		{balanced, "subnets: [subnet-0a]", "role_arn: arn:aws:iam::444455556666:role/x, subnets: [subnet-0a]", "endpoints.0.deadman.role_arn: is missing: the role in account 444455556666"},
		{balanced, "{prefix: example-vpn}", "{prefix: x, provider: Identity_}", "deploy.user_pool.provider: "},
		{balanced, "vpn.example.com", strings.Repeat("vpn.", 16) + "com", "deploy.domain: "},
		{balanced, "subnet-0c, ", "", "deploy.load_balancer.subnets: names 1: a load balancer is in two zones or more"},
		{balanced, "vpc: vpc-0a, ", "", "deploy.load_balancer.vpc: is missing"},
		{balanced, "{vpc:", "{allow: [10.0.0.1/8], vpc:", "deploy.load_balancer.allow.0: "},
		{balanced, "{vpc:", "{allow: [], vpc:", "deploy.load_balancer.allow: lets nobody in"},
		{balanced, "{vpc:", "{access_logs: A, vpc:", "deploy.load_balancer.access_logs: "},
		{balanced, "{vpc:", "{listener: arn:aws:elasticloadbalancing:eu-central-1:111122223333:listener/app/a/0/1, vpc:", "names a load balancer that exists"},
		{balanced, "{vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}", "{listener: arn:aws:elasticloadbalancing:eu-central-1:111122223333:loadbalancer/app/a/0}", "deploy.load_balancer.listener: "},
		{balanced, "{vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}", "{priority: 50000}", "deploy.load_balancer.priority: 50000"},
		{balanced, "{prefix: example-vpn}", "{prefix: cognito-vpn}", `holds "cognito", which Cognito keeps to itself`},
		{balanced, "{prefix: example-vpn}", "{id: us-east-1_A, domain: login.example.com}", `"us-east-1_A" is not of eu-central-1`},
		{balanced, "{prefix: example-vpn}", "{id: eu-central-1_A, prefix: x}", "deploy.user_pool.prefix: is for a pool that is made"},
		{balanced, "{prefix: example-vpn}", "{id: eu-central-1_A}", "deploy.user_pool.domain: is missing"},
		{balanced, "{prefix: example-vpn}", "{prefix: x, domain: y}", "deploy.user_pool.domain: is that of an existing pool"},
		{balanced, "  user_pool: {prefix: example-vpn}\n", "", "deploy.user_pool: is missing"},
		{balanced, "user_pool:", "userpool:", `unknown key "userpool": did you mean "user_pool"?`},
		{balanced, "deploy:", "signin: {oidc: {session: 8h}}\ndeploy:", "signin.oidc: is for deploy.front: httpapi"},
		{gateway, "deploy:", "signin: {alb: {groups_claim: x}}\ndeploy:", "signin.alb: is for deploy.front: alb"},
		{gateway, "user_pool:", "load_balancer: {vpc: vpc-0a}\n  user_pool:", "deploy.load_balancer: is for front: alb"},
		{gateway, "deploy:", "signin: {oidc: {issuer: https://login.example.com/x, client_id: a}}\ndeploy:", "deploy.user_pool: is not needed"},
		{gateway, "deploy:", "signin: {oidc: {session: 80h}}\ndeploy:", "signin.oidc.session: "},
	} {
		if !strings.Contains(tt.file, tt.from) {
			t.Fatalf("%q is not in the file", tt.from)
		}
		if _, err := config.Parse("nightlatch.yaml", []byte(strings.Replace(tt.file, tt.from, tt.to, 1))); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v\nwant %s", tt.to, err, tt.want)
		}
	}
}

// What the stack says is put over the same file, and over what was told before.
func TestWith(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(balanced), variables(map[string]string{"NIGHTLATCH_TABLE": "one", "NIGHTLATCH_BEAT_FOR": "40s"}))
	if err != nil {
		t.Fatal(err)
	}
	if string(c.File()) != balanced {
		t.Errorf("got the file %q", c.File())
	}
	c, err = c.With(variables(map[string]string{"NIGHTLATCH_TABLE": "two", "NIGHTLATCH_DEADMAN_GROUP": "nightlatch"}))
	if err != nil || c.Table != "two" || c.BeatFor.Seconds() != 40 || c.Endpoints[0].Deadman.Group != "nightlatch" || string(c.File()) != balanced {
		t.Errorf("got %+v, %v", c, err)
	}
}
