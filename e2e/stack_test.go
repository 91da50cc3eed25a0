package e2e

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// moto is what the emulator's Python must have; internal/check asks for the same.
const moto = "import moto.moto_server.werkzeug_app, boto3, yaml"

const stackRegion = "eu-central-1"

// emulator is an AWS of the test's own, and somebody who asks it; moto/emulator.py says what of it is true.
type emulator struct {
	url       string
	questions *json.Encoder
	answers   *json.Decoder
}

// motoPython is a Python that has moto, or the end of the test.
func motoPython(t *testing.T) string {
	t.Helper()
	python := tool(t, "python3", "Debian: apt-get install python3")
	if err := exec.CommandContext(t.Context(), python, "-c", moto).Run(); err != nil {
		missing(t, "no moto for %s (pip install 'moto[server,all]')", python)
	}
	return python
}

func startEmulator(t *testing.T, python string) *emulator {
	t.Helper()
	port := freePort(t)
	e := &emulator{url: fmt.Sprintf("http://127.0.0.1:%d", port)}
	env := append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "NO_PROXY=127.0.0.1", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	aws := exec.Command(python, "moto/emulator.py", fmt.Sprint(port))
	aws.Env = env
	serve(t, port, aws)

	asking := exec.Command(python, "moto/ask.py", e.url, stackRegion)
	asking.Env = env
	asking.Stderr = os.Stderr
	in, err := asking.StdinPipe()
	must(t, err, "its standard input")
	out, err := asking.StdoutPipe()
	must(t, err, "its standard output")
	must(t, asking.Start(), "start %s", asking.Path)
	t.Cleanup(func() {
		in.Close()
		asking.Wait()
	})
	e.questions, e.answers = json.NewEncoder(in), json.NewDecoder(out)
	return e
}

// question is one call by boto3. Its answer is decoded into into; where that is nil, it must not be an error.
type question struct {
	service, method string
	parameters      map[string]any
	into            any
}

// ask has the questions answered in their order.
func (e *emulator) ask(t *testing.T, questions ...question) {
	t.Helper()
	var asked [][]any
	for _, q := range questions {
		if q.parameters == nil {
			q.parameters = map[string]any{}
		}
		asked = append(asked, []any{q.service, q.method, q.parameters})
	}
	must(t, e.questions.Encode(asked), "ask")
	var answers []json.RawMessage
	must(t, e.answers.Decode(&answers), "read the answers")
	for i, q := range questions {
		var fault struct{ Error string }
		must(t, json.Unmarshal(answers[i], &fault), "read %s", answers[i])
		if q.into == nil && fault.Error != "" {
			t.Fatalf("%s %s: %s", q.service, q.method, fault.Error)
		}
		if q.into != nil {
			must(t, json.Unmarshal(answers[i], q.into), "read the answer to %s: %s", q.method, answers[i])
		}
	}
}

// deployment is one nightlatch.yaml and who deploys it.
type deployment struct {
	*emulator
	dir string
}

// nightlatch runs the binary, as somebody with keys in the environment, and returns what it prints.
func (d *deployment) nightlatch(t *testing.T, args ...string) (string, error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), program, append(args, "--config", filepath.Join(d.dir, "nightlatch.yaml"))...)
	c.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+d.url, "AWS_ACCESS_KEY_ID=somebody", "AWS_SECRET_ACCESS_KEY=somebody", "AWS_REGION="+stackRegion, "NO_PROXY=127.0.0.1",
		"AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_EC2_METADATA_DISABLED=true")
	var said bytes.Buffer
	c.Stderr = &said
	out, err := c.Output()
	if err != nil {
		err = fmt.Errorf("nightlatch %s: %w\n%s", strings.Join(args, " "), err, said.Bytes())
	}
	return string(out), err
}

// outputs are the deployed stack's.
func (d *deployment) outputs(t *testing.T) map[string]string {
	t.Helper()
	raw, err := d.nightlatch(t, "deploy", "status", "--json")
	must(t, err, "status")
	var status struct {
		Status                string
		TerminationProtection bool
		Outputs               map[string]string
	}
	must(t, json.Unmarshal([]byte(raw), &status), "read %s", raw)
	if !strings.HasSuffix(status.Status, "E_COMPLETE") || !status.TerminationProtection {
		t.Errorf("the stack is %s, protected: %v", status.Status, status.TerminationProtection)
	}
	return status.Outputs
}

// TestStackOnEmulator deploys with both fronts: the stack is made, gets its identity provider, is changed and is taken
// down, and in between the services are asked what there is.
func TestStackOnEmulator(t *testing.T) {
	t.Parallel()
	python := motoPython(t)
	metadata, zip := samlMetadata(t), functionsPackage(t)
	for _, front := range []string{"alb", "httpapi"} {
		t.Run(front, func(t *testing.T) {
			t.Parallel()
			d := &deployment{startEmulator(t, python), t.TempDir()}
			g := d.prepare(t)
			settings := map[string]any{"front": front, "user_pool": map[string]any{"prefix": "example-vpn"}}
			if front == "alb" {
				settings["load_balancer"] = map[string]any{"vpc": g.vpc, "subnets": g.subnets, "allow": []string{"192.0.2.0/24", "2001:db8::/32"}}
			}
			d.configure(t, g, settings)
			apply := []string{"deploy", "apply", "--yes", "--zip", zip}

			if front == "httpapi" { // something of a resource's name is there already
				d.ask(t, question{"logs", "create_log_group", map[string]any{"logGroupName": "/nightlatch/nightlatch/beat"}, nil})
				if _, err := d.nightlatch(t, apply...); err == nil || !strings.Contains(err.Error(), "ROLLBACK_COMPLETE: BeatLogGroup (AWS::Logs::LogGroup): The specified log group already exists") {
					t.Errorf("a log group that is there: %v", err)
				}
				d.ask(t, question{"logs", "delete_log_group", map[string]any{"logGroupName": "/nightlatch/nightlatch/beat"}, nil})
			}
			said, err := d.nightlatch(t, apply...)
			must(t, err, "apply")
			out := d.outputs(t)
			if out["SignIn"] != "pending" || !strings.Contains(said, out["AcsUrl"]) || !strings.Contains(said, out["SamlAudience"]) {
				t.Errorf("sign-in is %q; what is told to be entered in Identity Center:\n%s", out["SignIn"], said)
			}
			d.look(t, front, out, g.endpoint, "")

			_, err = d.nightlatch(t, append(apply, "--saml-metadata", metadata)...)
			must(t, err, "apply with metadata")
			if out = d.outputs(t); out["SignIn"] != "ready" {
				t.Errorf("sign-in is %q with metadata", out["SignIn"])
			}
			d.look(t, front, out, g.endpoint, metadata)

			if said, err := d.nightlatch(t, "deploy", "plan", "--zip", zip); err != nil || !strings.Contains(said, "nothing to change") {
				t.Errorf("a plan of the same: %v\n%s", err, said)
			}

			d.ask(t, question{"ec2", "associate_client_vpn_target_network", map[string]any{"ClientVpnEndpointId": g.endpoint, "SubnetId": "subnet-0123456789abcdef0"}, nil})
			said, err = d.nightlatch(t, "deploy", "destroy", "--yes")
			must(t, err, "destroy")
			if !strings.Contains(said, "Table stays: "+out["TableName"]) {
				t.Errorf("destroy says:\n%s", said)
			}
			d.nothingStays(t, g.endpoint, out)
		})
	}
	t.Run("existing", func(t *testing.T) {
		t.Parallel()
		existing(t, python, zip)
	})
}

// existing deploys to a load balancer and a user pool that others have too, which are afterwards as they were.
func existing(t *testing.T, python, zip string) {
	d := &deployment{startEmulator(t, python), t.TempDir()}
	g := d.prepare(t)
	var (
		certificates [2]struct{ CertificateArn string }
		pool         struct{ UserPool struct{ ID, Arn string } }
		balancer     struct {
			LoadBalancers []struct{ LoadBalancerArn, DNSName string }
		}
		listener struct {
			Listeners []struct{ ListenerArn string }
		}
	)
	d.ask(t,
		question{"acm", "request_certificate", map[string]any{"DomainName": "www.example.com"}, &certificates[0]},
		question{"acm", "request_certificate", map[string]any{"DomainName": "vpn.example.com"}, &certificates[1]},
		question{"cognito-idp", "create_user_pool", map[string]any{"PoolName": "people"}, &pool},
		question{"elbv2", "create_load_balancer", map[string]any{"Name": "shared", "Subnets": g.subnets}, &balancer})
	shared := balancer.LoadBalancers[0]
	notFound := map[string]any{"Type": "fixed-response", "FixedResponseConfig": map[string]any{"StatusCode": "404"}}
	d.ask(t,
		question{"cognito-idp", "create_user_pool_domain", map[string]any{"Domain": "people", "UserPoolId": pool.UserPool.ID}, nil},
		question{"cognito-idp", "create_identity_provider", map[string]any{"UserPoolId": pool.UserPool.ID, "ProviderName": "Corp", "ProviderType": "SAML",
			"ProviderDetails": map[string]any{"MetadataURL": "https://corp.example.com/metadata"}}, nil},
		question{"elbv2", "create_listener", map[string]any{"LoadBalancerArn": shared.LoadBalancerArn, "Port": 443, "Protocol": "HTTPS",
			"Certificates": []any{map[string]any{"CertificateArn": certificates[0].CertificateArn}}, "DefaultActions": []any{notFound}}, &listener})
	arn := listener.Listeners[0].ListenerArn
	d.ask(t, question{"elbv2", "add_listener_certificates", map[string]any{"ListenerArn": arn, "Certificates": []any{map[string]any{"CertificateArn": certificates[1].CertificateArn}}}, nil})
	d.configure(t, g, map[string]any{"certificate": certificates[1].CertificateArn, "load_balancer": map[string]any{"listener": arn, "priority": 7},
		"user_pool": map[string]any{"id": pool.UserPool.ID, "domain": "people.auth." + stackRegion + ".amazoncognito.com", "provider": "Corp"}})
	_, err := d.nightlatch(t, "deploy", "apply", "--yes", "--zip", zip)
	must(t, err, "apply")
	out := d.outputs(t)

	look := func() string {
		var (
			rules struct {
				Rules []struct {
					Priority string
					Actions  []struct {
						Type                      string
						AuthenticateCognitoConfig struct{ UserPoolArn, UserPoolClientID, UserPoolDomain, SessionCookieName string }
					}
				}
			}
			served struct {
				Certificates []struct{ CertificateArn string }
			}
			clients struct{ UserPoolClients []struct{ ClientName string } }
			records struct {
				ResourceRecordSets []struct {
					Type        string
					AliasTarget struct{ DNSName string }
				}
			}
			alias string
		)
		d.ask(t,
			question{"elbv2", "describe_rules", map[string]any{"ListenerArn": arn}, &rules},
			question{"elbv2", "describe_listener_certificates", map[string]any{"ListenerArn": arn}, &served},
			question{"cognito-idp", "list_user_pool_clients", map[string]any{"UserPoolId": pool.UserPool.ID}, &clients},
			question{"route53", "list_resource_record_sets", map[string]any{"HostedZoneId": g.zone}, &records})
		for _, r := range records.ResourceRecordSets {
			if r.Type == "A" {
				alias = strings.TrimSuffix(r.AliasTarget.DNSName, ".")
			}
		}
		return spaced(rules.Rules, served.Certificates, clients.UserPoolClients, alias)
	}
	want := fmt.Sprintf("[{7 [{fixed-response {   }}]} {8 [{authenticate-cognito {%s %s people AWSELBAuthSessionCookie-nightlatch}} {forward {   }}]} {default [{fixed-response {   }}]}] [{%s} {%s}] [{nightlatch}] %s",
		pool.UserPool.Arn, out["UserPoolClientId"], certificates[0].CertificateArn, certificates[1].CertificateArn, shared.DNSName)
	if got := look(); got != want || out["SignIn"] != "ready" {
		t.Errorf("beside others there is\n\t%s\nwant\n\t%s\nand sign-in is %s", got, want, out["SignIn"])
	}
	_, err = d.nightlatch(t, "deploy", "destroy", "--yes")
	must(t, err, "destroy")
	if got := look(); got != fmt.Sprintf("[{default [{fixed-response {   }}]}] [{%s} {%s}] [] ", certificates[0].CertificateArn, certificates[1].CertificateArn) {
		t.Errorf("of others there is left\n\t%s", got)
	}
}

// functionsPackage builds the functions' program and returns the zip's path. Whose configuration it was made with does not
// matter to those who are given it.
func functionsPackage(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	settings, out := filepath.Join(dir, "nightlatch.yaml"), filepath.Join(dir, "nightlatch.zip")
	must(t, os.WriteFile(settings, fmt.Appendf(nil, `{region: %s, endpoints: [{name: office, id: cvpn-endpoint-0123456789abcdef0, subnets: [subnet-0123456789abcdef0]}],
  deploy: {front: httpapi, architecture: %s, domain: vpn.example.com, hosted_zone: Z0123456789ABC, user_pool: {prefix: example-vpn}}}`, stackRegion, runtime.GOARCH), 0o600), "write a configuration")
	c := exec.CommandContext(t.Context(), program, "deploy", "package", "--config", settings, "--out", out)
	c.Dir = ".." // the checkout
	said, err := c.CombinedOutput()
	must(t, err, "package: %s", said)
	return out
}

// ground is what a deployment finds in an account.
type ground struct {
	zone, vpc, endpoint string
	subnets             [2]string
}

// prepare makes it.
func (d *deployment) prepare(t *testing.T) ground {
	t.Helper()
	var (
		zone     struct{ HostedZone struct{ ID string } }
		vpc      struct{ Vpc struct{ VpcID string } }
		endpoint struct{ ClientVpnEndpointID string }
	)
	d.ask(t,
		question{"route53", "create_hosted_zone", map[string]any{"Name": "example.com", "CallerReference": "once"}, &zone},
		question{"ec2", "create_vpc", map[string]any{"CidrBlock": "10.9.0.0/16"}, &vpc},
		question{"ec2", "create_client_vpn_endpoint", map[string]any{"ClientCidrBlock": "10.8.0.0/22", "ServerCertificateArn": "arn:aws:acm:eu-central-1:111122223333:certificate/server",
			"AuthenticationOptions": []any{}, "ConnectionLogOptions": map[string]any{"Enabled": false}}, &endpoint})
	g := ground{zone: filepath.Base(zone.HostedZone.ID), vpc: vpc.Vpc.VpcID, endpoint: endpoint.ClientVpnEndpointID}
	for i := range g.subnets {
		var subnet struct{ Subnet struct{ SubnetID string } }
		d.ask(t, question{"ec2", "create_subnet", map[string]any{"VpcId": g.vpc, "CidrBlock": fmt.Sprintf("10.9.%d.0/24", i), "AvailabilityZone": stackRegion + string(rune('a'+i))}, &subnet})
		g.subnets[i] = subnet.Subnet.SubnetID
	}
	return g
}

// configure writes nightlatch.yaml.
func (d *deployment) configure(t *testing.T, g ground, more map[string]any) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"region": stackRegion,
		"deploy":    merged(map[string]any{"domain": "vpn.example.com", "hosted_zone": g.zone, "architecture": runtime.GOARCH, "groups": true}, more),
		"endpoints": []any{map[string]any{"name": "office", "id": g.endpoint, "subnets": []string{"subnet-0123456789abcdef0"}}}})
	must(t, err, "write the configuration")
	must(t, os.WriteFile(filepath.Join(d.dir, "nightlatch.yaml"), raw, 0o600), "write nightlatch.yaml") // JSON is YAML
}

// samlMetadata writes an identity provider's metadata with two certificates, which is more than one parameter of a
// template holds, and returns its path.
func samlMetadata(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	var keys strings.Builder
	for _, name := range []string{"old", "new"} {
		raw, err := os.ReadFile(certificate(t, dir, name, "portal.example.com"))
		must(t, err, "read the certificate")
		block, _ := pem.Decode(raw)
		fmt.Fprintf(&keys, `<KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>%s</X509Certificate></X509Data></KeyInfo></KeyDescriptor>`,
			base64.StdEncoding.EncodeToString(block.Bytes))
	}
	text := `<?xml version="1.0" encoding="UTF-8"?><EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://portal.example.com/saml/metadata/1">` +
		`<!--` + strings.Repeat(" A comment, so that it is long enough to be cut into pieces. ", 40) + `-->` +
		`<IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol" WantAuthnRequestsSigned="false">` + keys.String() +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://portal.example.com/saml/assertion/1"/>` +
		`<SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://portal.example.com/saml/assertion/1"/>` +
		`</IDPSSODescriptor></EntityDescriptor>`
	path := filepath.Join(dir, "metadata.xml")
	must(t, os.WriteFile(path, []byte(text), 0o644), "write the metadata")
	return path
}

// look asks the services what the stack has made. Without metadata nobody can sign in yet.
func (d *deployment) look(t *testing.T, front string, out map[string]string, endpoint, metadata string) {
	t.Helper()
	same := func(what string, got, want any) {
		t.Helper()
		g, w := fmt.Sprint(got), fmt.Sprint(want)
		if g != w {
			t.Errorf("%s is\n\t%s\nwant\n\t%s", what, g, w)
		}
	}
	var (
		table struct {
			Table struct {
				KeySchema            []struct{ AttributeName, KeyType string }
				AttributeDefinitions []struct{ AttributeName, AttributeType string }
				BillingModeSummary   struct{ BillingMode string }
			}
		}
		expiry struct {
			TimeToLiveDescription struct{ TimeToLiveStatus, AttributeName string }
		}
		backups struct {
			ContinuousBackupsDescription struct {
				PointInTimeRecoveryDescription struct{ PointInTimeRecoveryStatus string }
			}
		}
		functions [2]struct {
			Runtime, Handler, Role, FunctionArn string
			Timeout, MemorySize                 int
			Architectures                       []string
			Environment                         struct{ Variables map[string]string }
		}
		invoked struct{ MaximumRetryAttempts, MaximumEventAgeInSeconds int }
		grants  struct{ Policy string }
		allowed struct {
			PolicyDocument struct {
				Statement []struct {
					Effect           string
					Action, Resource []string
				}
			}
		}
		schedule struct {
			ScheduleExpression, State string
			Target                    struct {
				Arn, Input string
			}
		}
		records struct {
			ResourceRecordSets []struct {
				Name, Type  string
				AliasTarget struct{ DNSName string }
			}
		}
		groups struct {
			LogGroups []struct {
				LogGroupName    string
				RetentionInDays int
			}
		}
		queries struct{ QueryDefinitions []any }
		alarms  struct{ MetricAlarms []any }
		queue   struct{ Attributes struct{ Policy string } }
	)
	role := out["FunctionRoleArn"][strings.LastIndex(out["FunctionRoleArn"], "/")+1:]
	zone := map[string]any{"HostedZoneId": d.zone(t)}
	d.ask(t,
		question{"dynamodb", "describe_table", map[string]any{"TableName": out["TableName"]}, &table},
		question{"dynamodb", "describe_time_to_live", map[string]any{"TableName": out["TableName"]}, &expiry},
		question{"dynamodb", "describe_continuous_backups", map[string]any{"TableName": out["TableName"]}, &backups},
		question{"lambda", "get_function_configuration", map[string]any{"FunctionName": out["FrontFunctionName"]}, &functions[0]},
		question{"lambda", "get_function_configuration", map[string]any{"FunctionName": out["BeatFunctionName"]}, &functions[1]},
		question{"lambda", "get_function_event_invoke_config", map[string]any{"FunctionName": out["BeatFunctionName"]}, &invoked},
		question{"lambda", "get_policy", map[string]any{"FunctionName": out["FrontFunctionName"]}, &grants},
		question{"iam", "get_role_policy", map[string]any{"RoleName": role, "PolicyName": "nightlatch"}, &allowed},
		question{"scheduler", "get_schedule", map[string]any{"GroupName": "nightlatch", "Name": "nightlatch-beat"}, &schedule},
		question{"route53", "list_resource_record_sets", zone, &records},
		question{"logs", "describe_log_groups", nil, &groups},
		question{"logs", "describe_query_definitions", nil, &queries},
		question{"cloudwatch", "describe_alarms", nil, &alarms},
		question{"cloudwatch", "get_dashboard", map[string]any{"DashboardName": "nightlatch"}, nil},
		question{"sqs", "get_queue_attributes", map[string]any{"QueueUrl": "https://sqs." + stackRegion + ".amazonaws.com/111122223333/" + filepath.Base(strings.ReplaceAll(out["DeadLetterArn"], ":", "/")),
			"AttributeNames": []string{"Policy"}}, &queue})

	same("the table's key", table.Table.KeySchema, "[{pk HASH} {sk RANGE}]")
	same("its billing", table.Table.BillingModeSummary.BillingMode, "PAY_PER_REQUEST")
	same("what expires", expiry.TimeToLiveDescription, "{ENABLED expires}")
	same("its backups", backups.ContinuousBackupsDescription.PointInTimeRecoveryDescription, "{ENABLED}")
	architecture := map[string]string{"amd64": "x86_64"}[runtime.GOARCH]
	for i, handler := range []string{"front", "beat"} {
		f := functions[i]
		same(handler, spaced(f.Runtime, f.Handler, f.Timeout, f.Role), spaced("provided.al2023", handler, 60, out["FunctionRoleArn"]))
		if architecture != "" {
			same("its architecture", f.Architectures, []string{architecture})
		}
		v := f.Environment.Variables
		same("its variables about the deployment", []string{v["NIGHTLATCH_TABLE"], v["NIGHTLATCH_DEADMAN_GROUP"], v["NIGHTLATCH_DEADMAN_ROLE_ARN"], v["NIGHTLATCH_DEADMAN_DEAD_LETTER_ARN"], v["NIGHTLATCH_SIGNIN_PENDING"]},
			[]string{out["TableName"], out["DeadmanGroup"], out["DeadmanRoleArn"], out["DeadLetterArn"], fmt.Sprint(metadata == "")})
		prefix := map[string]string{"alb": "NIGHTLATCH_SIGNIN_ALB_", "httpapi": "NIGHTLATCH_SIGNIN_OIDC_"}[front]
		same("its variables about the sign-in", []string{v[prefix+"ISSUER"], v[prefix+"CLIENT_ID"]}, []string{out["Issuer"], out["UserPoolClientId"]})
	}
	same("what is tried again", invoked, "{0 60}")
	same("who may invoke the front", strings.Contains(grants.Policy, map[string]string{"alb": ":targetgroup/nightlatch-", "httpapi": ":" + out["ApiId"] + "/*"}[front]), true)
	for _, s := range allowed.PolicyDocument.Statement {
		if s.Effect != "Allow" || slices.Contains(s.Resource, "*") && !slices.Equal(s.Action, []string{"ec2:DescribeClientVpnEndpoints"}) {
			t.Errorf("the functions' role: %+v", s)
		}
		if slices.Contains(s.Action, "ec2:DisassociateClientVpnTargetNetwork") {
			same("whose endpoints they may close", s.Resource, "[arn:aws:ec2:"+stackRegion+":111122223333:client-vpn-endpoint/"+endpoint+"]")
		}
	}
	same("the beat", schedule, fmt.Sprintf(`{rate(1 minute) ENABLED {%s {"source":"nightlatch.beat"}}}`, functions[1].FunctionArn))
	same("the queue's policy has TLS", strings.Contains(queue.Attributes.Policy, "aws:SecureTransport"), true)
	same("log groups", groups.LogGroups, "[{/nightlatch/nightlatch/beat 90} {/nightlatch/nightlatch/front 90}]")
	same("saved queries, alarms", spaced(len(queries.QueryDefinitions), len(alarms.MetricAlarms)), "4 7")
	alias := ""
	for _, r := range records.ResourceRecordSets {
		if r.Name == "vpn.example.com." && r.Type == "A" {
			alias = r.AliasTarget.DNSName
		}
	}
	if alias == "" {
		t.Errorf("no alias among %+v", records.ResourceRecordSets)
	}
	d.lookAtSignIn(t, front, out, metadata, same)
	if front == "alb" {
		d.lookAtLoadBalancer(t, out, functions[0].FunctionArn, alias, metadata, same)
	} else {
		d.lookAtAPI(t, out, functions[0].FunctionArn, same)
	}
}

func (d *deployment) zone(t *testing.T) string {
	t.Helper()
	var zones struct{ HostedZones []struct{ ID string } }
	d.ask(t, question{"route53", "list_hosted_zones", nil, &zones})
	return filepath.Base(zones.HostedZones[0].ID)
}

func (d *deployment) lookAtSignIn(t *testing.T, front string, out map[string]string, metadata string, same func(string, any, any)) {
	t.Helper()
	var (
		domain struct {
			DomainDescription struct{ UserPoolID string }
		}
		providers struct {
			Providers []struct{ ProviderName string }
		}
		clients  struct{ UserPoolClients []struct{ ClientID string } }
		provider struct {
			IdentityProvider struct {
				ProviderType     string
				ProviderDetails  map[string]string
				AttributeMapping map[string]string
			}
		}
		client struct {
			UserPoolClient struct {
				ClientSecret                                                                                string
				CallbackURLs, LogoutURLs, AllowedOAuthFlows, AllowedOAuthScopes, SupportedIdentityProviders []string
			}
		}
	)
	pool := map[string]any{"UserPoolId": out["UserPoolId"]}
	d.ask(t,
		question{"cognito-idp", "describe_user_pool_domain", map[string]any{"Domain": "example-vpn"}, &domain},
		question{"cognito-idp", "list_identity_providers", pool, &providers},
		question{"cognito-idp", "list_user_pool_clients", pool, &clients})
	same("the pool of the domain", domain.DomainDescription.UserPoolID, out["UserPoolId"])
	if metadata == "" {
		same("providers and clients before there is metadata", spaced(providers, clients), "{[]} {[]}")
		return
	}
	d.ask(t,
		question{"cognito-idp", "describe_identity_provider", merged(pool, map[string]any{"ProviderName": out["ProviderName"]}), &provider},
		question{"cognito-idp", "describe_user_pool_client", merged(pool, map[string]any{"ClientId": out["UserPoolClientId"]}), &client})
	raw, err := os.ReadFile(metadata)
	must(t, err, "read the metadata")
	same("the provider", provider.IdentityProvider.ProviderType+" "+fmt.Sprint(provider.IdentityProvider.AttributeMapping), "SAML map[custom:groups:Groups email:Email]")
	same("its metadata", provider.IdentityProvider.ProviderDetails["MetadataFile"], string(raw))
	c := client.UserPoolClient
	if c.ClientSecret == "" {
		t.Error("the client has no secret")
	}
	callback, scopes := "https://vpn.example.com/oauth2/idpresponse", "[openid]"
	if front == "httpapi" {
		callback, scopes = "https://vpn.example.com/oauth2/callback", "[openid email profile]"
		var f struct {
			Environment struct{ Variables map[string]string }
		}
		d.ask(t, question{"lambda", "get_function_configuration", map[string]any{"FunctionName": out["FrontFunctionName"]}, &f})
		same("the secret that the front has", f.Environment.Variables["NIGHTLATCH_OIDC_CLIENT_SECRET"], c.ClientSecret)
	}
	same("the client", spaced(c.CallbackURLs, c.LogoutURLs, c.AllowedOAuthFlows, c.AllowedOAuthScopes, c.SupportedIdentityProviders),
		fmt.Sprintf("[%s] [https://vpn.example.com/signed-out] [code] %s [IdentityCenter]", callback, scopes))
}

func merged(a, b map[string]any) map[string]any {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (d *deployment) lookAtLoadBalancer(t *testing.T, out map[string]string, function, alias, metadata string, same func(string, any, any)) {
	t.Helper()
	type action struct {
		Type                string
		Order               int
		TargetGroupArn      string
		FixedResponseConfig struct{ StatusCode string }
		RedirectConfig      struct{ Protocol, Port, StatusCode string }
		Cognito             struct {
			UserPoolArn, UserPoolClientID, UserPoolDomain, SessionCookieName, Scope, OnUnauthenticatedRequest string
			SessionTimeout                                                                                    int
			AuthenticationRequestExtraParams                                                                  map[string]string
		} `json:"AuthenticateCognitoConfig"`
	}
	var (
		balancers struct {
			LoadBalancers []struct {
				DNSName, Scheme string
				SecurityGroups  []string
			}
		}
		attributes, target struct{ Attributes []struct{ Key, Value string } }
		listeners          struct {
			Listeners []struct {
				Port                int
				Protocol, SslPolicy string
				DefaultActions      []action
			}
		}
		rules struct {
			Rules []struct {
				Priority   string
				Conditions []struct {
					HostHeaderConfig, PathPatternConfig struct{ Values []string }
				}
				Actions []action
			}
		}
		health struct {
			TargetHealthDescriptions []struct{ Target struct{ ID string } }
		}
		pool struct{ UserPool struct{ Arn string } }
	)
	balancer, group := map[string]any{"LoadBalancerArn": out["LoadBalancerArn"]}, map[string]any{"TargetGroupArn": out["TargetGroupArn"]}
	d.ask(t,
		question{"elbv2", "describe_load_balancers", nil, &balancers},
		question{"elbv2", "describe_load_balancer_attributes", balancer, &attributes},
		question{"elbv2", "describe_listeners", balancer, &listeners},
		question{"elbv2", "describe_rules", map[string]any{"ListenerArn": out["ListenerArn"]}, &rules},
		question{"elbv2", "describe_target_group_attributes", group, &target},
		question{"elbv2", "describe_target_health", group, &health},
		question{"cognito-idp", "describe_user_pool", map[string]any{"UserPoolId": out["UserPoolId"]}, &pool})
	same("the alias", strings.TrimSuffix(alias, "."), balancers.LoadBalancers[0].DNSName)
	for _, want := range []string{"{routing.http.drop_invalid_header_fields.enabled true}", "{routing.http.desync_mitigation_mode strictest}", "{routing.http.xff_header_processing.mode append}"} {
		same("the load balancer has "+want, strings.Contains(fmt.Sprint(attributes.Attributes), want), true)
	}
	same("the target group has every value of a header", strings.Contains(fmt.Sprint(target.Attributes), "{lambda.multi_value_headers.enabled true}"), true)
	same("the target", health.TargetHealthDescriptions, "[{{"+function+"}}]")
	for _, l := range listeners.Listeners {
		a := l.DefaultActions[0]
		same("a listener", spaced(l.Port, l.Protocol, a.Type, a.FixedResponseConfig, a.RedirectConfig, len(l.DefaultActions)), map[int]string{
			80: "80 HTTP redirect {} {HTTPS 443 HTTP_301} 1", 443: "443 HTTPS fixed-response {404} {  } 1"}[l.Port])
		if l.Protocol == "HTTPS" {
			same("its TLS", l.SslPolicy, "ELBSecurityPolicy-TLS13-1-2-2021-06")
		}
	}
	var order []string
	for _, r := range rules.Rules {
		order = append(order, r.Priority)
	}
	same("the rules' order", order, "[100 101 default]")
	signedOut, frontRule := rules.Rules[0], rules.Rules[1]
	same("the first rule", spaced(signedOut.Conditions, signedOut.Actions[0].Type, signedOut.Actions[0].FixedResponseConfig), "[{{[vpn.example.com]} {[]}} {{[]} {[/signed-out]}}] fixed-response {200}")
	same("the second is about", frontRule.Conditions, "[{{[vpn.example.com]} {[]}}]")
	if metadata == "" {
		same("its answer before there is metadata", spaced(len(frontRule.Actions), frontRule.Actions[0].Type, frontRule.Actions[0].FixedResponseConfig), "1 fixed-response {503}")
		return
	}
	a := frontRule.Actions
	same("its actions", spaced(len(a), a[0].Order, a[0].Type, a[len(a)-1].Order, a[len(a)-1].Type, a[len(a)-1].TargetGroupArn), "2 1 authenticate-cognito 2 forward "+out["TargetGroupArn"])
	same("whom it asks", a[0].Cognito, fmt.Sprintf("{%s %s example-vpn AWSELBAuthSessionCookie openid authenticate 28800 map[identity_provider:IdentityCenter]}", pool.UserPool.Arn, out["UserPoolClientId"]))

	var groups struct {
		SecurityGroups []struct {
			IPPermissions, IPPermissionsEgress []struct {
				FromPort   int
				IPRanges   []struct{ CidrIP string }
				Ipv6Ranges []struct{ CidrIpv6 string }
			}
		}
	}
	d.ask(t, question{"ec2", "describe_security_groups", map[string]any{"GroupIds": balancers.LoadBalancers[0].SecurityGroups}, &groups})
	g := groups.SecurityGroups[0]
	var in []string
	for _, p := range g.IPPermissions {
		in = append(in, spaced(p.FromPort, p.IPRanges, p.Ipv6Ranges))
	}
	slices.Sort(in)
	same("who may come", in, "[443 [{192.0.2.0/24}] [{2001:db8::/32}] 80 [{192.0.2.0/24}] [{2001:db8::/32}]]")
	same("where it goes", g.IPPermissionsEgress, "[{443 [{0.0.0.0/0}] []}]")
}

func (d *deployment) lookAtAPI(t *testing.T, out map[string]string, function string, same func(string, any, any)) {
	t.Helper()
	var (
		api struct {
			ProtocolType              string
			DisableExecuteApiEndpoint bool
		}
		integrations struct {
			Items []struct{ IntegrationID, IntegrationURI, PayloadFormatVersion string }
		}
		routes struct {
			Items []struct{ RouteKey, Target string }
		}
		stage struct {
			AutoDeploy           bool
			DefaultRouteSettings struct{ ThrottlingRateLimit, ThrottlingBurstLimit float64 }
		}
		domain struct {
			DomainNameConfigurations []struct{ CertificateArn string }
		}
		mappings struct {
			Items []struct{ ApiID, Stage string }
		}
	)
	id := map[string]any{"ApiId": out["ApiId"]}
	name := map[string]any{"DomainName": "vpn.example.com"}
	d.ask(t,
		question{"apigatewayv2", "get_api", id, &api},
		question{"apigatewayv2", "get_integrations", id, &integrations},
		question{"apigatewayv2", "get_routes", id, &routes},
		question{"apigatewayv2", "get_stage", merged(id, map[string]any{"StageName": "$default"}), &stage},
		question{"apigatewayv2", "get_domain_name", name, &domain},
		question{"apigatewayv2", "get_api_mappings", name, &mappings})
	same("the API", api, "{HTTP true}")
	same("its integration", spaced(integrations.Items[0].IntegrationURI, integrations.Items[0].PayloadFormatVersion), function+" 2.0")
	same("its routes", routes.Items, "[{$default integrations/"+integrations.Items[0].IntegrationID+"}]")
	same("its stage", stage, "{true {100 500}}")
	same("its name's certificate", strings.Contains(fmt.Sprint(domain), "arn:aws:acm:"), true)
	same("its name", mappings.Items, "[{"+out["ApiId"]+" $default}]")
}

// spaced prints values with a space between any two.
func spaced(values ...any) string { return strings.TrimSuffix(fmt.Sprintln(values...), "\n") }

// nothingStays: the account has what it had before, and the table.
func (d *deployment) nothingStays(t *testing.T, endpoint string, out map[string]string) {
	t.Helper()
	left := map[string]*map[string][]any{}
	var questions []question
	for _, q := range [][2]string{{"lambda", "list_functions"}, {"elbv2", "describe_load_balancers"}, {"elbv2", "describe_target_groups"}, {"iam", "list_roles"}, {"sqs", "list_queues"},
		{"scheduler", "list_schedules"}, {"cloudwatch", "list_dashboards"}, {"acm", "list_certificates"}, {"apigatewayv2", "get_apis"}, {"apigatewayv2", "get_domain_names"},
		{"logs", "describe_log_groups"}, {"logs", "describe_query_definitions"}, {"s3", "list_buckets"}} {
		left[q[1]] = &map[string][]any{}
		questions = append(questions, question{q[0], q[1], nil, &anyLists{left[q[1]]}})
	}
	var (
		pools    struct{ UserPools []any }
		alarms   struct{ MetricAlarms []any }
		tables   struct{ TableNames []string }
		groups   struct{ ScheduleGroups []struct{ Name string } }
		security struct{ SecurityGroups []struct{ GroupName string } }
		networks struct{ ClientVpnTargetNetworks []any }
		records  struct {
			ResourceRecordSets []struct{ Type string }
		}
	)
	zone := map[string]any{"HostedZoneId": d.zone(t)}
	d.ask(t, append(questions,
		question{"cognito-idp", "list_user_pools", map[string]any{"MaxResults": 10}, &pools},
		question{"cloudwatch", "describe_alarms", nil, &alarms},
		question{"dynamodb", "list_tables", nil, &tables},
		question{"scheduler", "list_schedule_groups", nil, &groups},
		question{"ec2", "describe_security_groups", nil, &security},
		question{"ec2", "describe_client_vpn_target_networks", map[string]any{"ClientVpnEndpointId": endpoint}, &networks},
		question{"route53", "list_resource_record_sets", zone, &records})...)
	for method, lists := range left {
		for what, list := range *lists {
			if len(list) > 0 {
				t.Errorf("%s: %s are left: %v", method, what, list)
			}
		}
	}
	if len(pools.UserPools)+len(alarms.MetricAlarms)+len(networks.ClientVpnTargetNetworks) > 0 {
		t.Errorf("left: %v %v %v", pools, alarms, networks)
	}
	if !slices.Equal(tables.TableNames, []string{out["TableName"]}) {
		t.Errorf("tables: %v, want the one with the audit", tables.TableNames)
	}
	for _, g := range groups.ScheduleGroups {
		if g.Name != "default" {
			t.Errorf("the schedule group %s is left", g.Name)
		}
	}
	for _, g := range security.SecurityGroups {
		if g.GroupName != "default" {
			t.Errorf("the security group %s is left", g.GroupName)
		}
	}
	for _, r := range records.ResourceRecordSets {
		if r.Type == "A" {
			t.Error("the alias is left")
		}
	}
}

// anyLists are the lists in an answer, by name.
type anyLists struct{ into *map[string][]any }

func (a *anyLists) UnmarshalJSON(raw []byte) error {
	var all map[string]any
	if err := json.Unmarshal(raw, &all); err != nil {
		return err
	}
	for k, v := range all {
		if list, ok := v.([]any); ok {
			(*a.into)[k] = list
		}
	}
	return nil
}
