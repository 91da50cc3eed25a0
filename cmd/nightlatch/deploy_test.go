//go:build !lambda

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/standin/cloudformation"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

// deployed is an account with a stack, beside the endpoint that it is for. The stack's resources are not made by it: the
// table and the schedule group are there under the names that it gives them.
type deployed struct {
	t      *testing.T
	ec2    *ec2.Server
	config string // nightlatch.yaml
}

// invented makes nothing, and says of it what the outputs are made of.
type invented struct{}

func (invented) Create(_ context.Context, r cloudformation.Resource) (cloudformation.Physical, error) {
	ref := r.GeneratedName(64)
	for _, name := range []string{"TableName", "Name"} {
		if r.Properties.Has(name) {
			ref = r.Properties.String(name)
			break
		}
	}
	if r.Type == "AWS::DynamoDB::Table" { // the one that there is
		ref = demoTable
	}
	p := cloudformation.Physical{Ref: ref, Attributes: map[string]string{"Arn": "arn:aws:lambda:" + demoRegion + ":" + demoAccount + ":" + ref}}
	switch r.Type {
	case "AWS::IAM::Role":
		p.Attributes["Arn"] = "arn:aws:iam::" + demoAccount + ":role/" + ref
	case "AWS::SQS::Queue":
		p.Attributes["Arn"] = "arn:aws:sqs:" + demoRegion + ":" + demoAccount + ":" + ref
	}
	for _, name := range []string{"QueueName", "CanonicalHostedZoneID", "DNSName", "LoadBalancerFullName", "TargetGroupFullName", "ClientSecret"} {
		p.Attributes[name] = ref
	}
	return p, nil
}

func (i invented) Update(ctx context.Context, old cloudformation.Physical, _ cloudformation.Resource) (cloudformation.Physical, error) {
	return old, nil
}

func (invented) Delete(context.Context, cloudformation.Physical, cloudformation.Resource) error {
	return nil
}

const deployedSettings = `region: us-east-1
endpoints:
  - {name: office, id: ` + demoEndpoint + `, subnets: [subnet-0c0ffee0000000001], look_every: 200ms}
deploy:
  domain: vpn.example.com
  hosted_zone: Z0123456789ABC
  load_balancer: {vpc: vpc-0a, subnets: [subnet-0c, subnet-0d]}
  user_pool: {prefix: example-vpn}
  bucket: mine
`

func newDeployed(t *testing.T) *deployed {
	t.Helper()
	d := &deployed{t: t, config: filepath.Join(t.TempDir(), "nightlatch.yaml")}
	log, key := slog.New(slog.DiscardHandler), accessKey("alice")
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	d.ec2, err = ec2.New(ec2.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log, AssociateTakes: 20 * time.Millisecond, DisassociateTakes: 20 * time.Millisecond,
		Endpoints: []ec2.Endpoint{{ID: demoEndpoint, VpcID: "vpc-0a", ClientCIDR: "172.20.0.0/16", Subnets: demoSubnets}}})
	must(err)
	tables, err := dynamodb.New(dynamodb.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log, Tables: []dynamodb.Table{{Name: demoTable, Partition: "pk", Sort: "sk"}}})
	must(err)
	schedules, err := scheduler.New(scheduler.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log, Groups: []string{demoGroup}})
	must(err)
	tokens, err := sts.New(sts.Config{Region: demoRegion, Log: log, Keys: []sts.Key{{Credentials: key, ARN: "arn:aws:iam::" + demoAccount + ":role/Operator", Session: "alice"}}})
	must(err)
	stacks, err := cloudformation.New(cloudformation.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log, Provisioner: invented{}})
	must(err)
	others := gateway(map[string]http.Handler{hostEC2: d.ec2.Handler(), hostDynamoDB: tables.Handler(), hostScheduler: schedules.Handler(), hostSTS: tokens.Handler()})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch signedFor := r.Header.Get("Authorization"); {
		case strings.Contains(signedFor, "/cloudformation/"):
			stacks.Handler().ServeHTTP(w, r)
		case strings.Contains(signedFor, "/s3/") && r.Method == http.MethodHead && strings.Count(r.URL.Path, "/") > 1:
			w.WriteHeader(http.StatusNotFound)
		case strings.Contains(signedFor, "/s3/"):
			_, _ = io.Copy(io.Discard, r.Body) // a bucket that takes everything
		default:
			others.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_ACCESS_KEY_ID", key.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", key.SecretAccessKey)
	d.write(deployedSettings)
	return d
}

func (d *deployed) write(settings string) {
	d.t.Helper()
	settings = strings.Replace(settings, "subnet-0c0ffee0000000001", demoSubnets[0].ID, 1)
	if err := os.WriteFile(d.config, []byte(settings), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *deployed) parsed() *config.Config {
	d.t.Helper()
	c, err := readConfig(d.config, func(string) string { return "" })
	if err != nil {
		d.t.Fatal(err)
	}
	return c
}

// deploy makes the stack.
func (d *deployed) deploy() {
	d.t.Helper()
	cfg, err := operatorAWS(d.t.Context(), demoRegion)
	if err != nil {
		d.t.Fatal(err)
	}
	driver, err := deploy.New(deploy.Config{AWS: cfg, Settings: d.parsed(), Say: func(string) {}, Every: 5 * time.Millisecond})
	if err == nil {
		_, err = driver.Apply(d.t.Context(), deploy.Order{Program: &deploy.Program{Zip: []byte("x"), SHA256: "0a"}, Show: func(*deploy.Changes) {}, Agree: func() error { return nil }})
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

// run is a command line.
func (d *deployed) run(args ...string) (stdout string, exit int, stderr string) {
	d.t.Helper()
	var out, talk bytes.Buffer
	err := command(d.t.Context(), append(args, "--config", d.config), func(string) string { return "" }, &out, &talk)
	exit = report(err, &talk)
	return out.String(), exit, talk.String()
}

// What the configuration leaves to the stack, a command line reads from it.
func TestTheStackSaysTheRest(t *testing.T) {
	d := newDeployed(t)
	if _, exit, said := d.run("status"); exit != exitFailed || !strings.Contains(said, "there is no such stack: nightlatch in us-east-1") || !strings.Contains(said, "hint: nightlatch deploy apply makes it") {
		t.Errorf("no stack: exit code %d, %s", exit, said)
	}
	if _, exit, said := d.run("deploy", "status"); exit != exitFailed || !strings.Contains(said, "nightlatch in us-east-1") {
		t.Errorf("no stack: exit code %d, %s", exit, said)
	}
	d.deploy()
	if out, exit, said := d.run("status"); exit != exitDone || !strings.Contains(out, "office") {
		t.Errorf("exit code %d, %s%s", exit, out, said)
	}
	if _, exit, said := d.run("open", "office"); exit != exitDone {
		t.Errorf("exit code %d, %s", exit, said)
	}
	out, exit, said := d.run("deploy", "status")
	for _, want := range []string{"nightlatch in us-east-1: CREATE_COMPLETE", "https://vpn.example.com/", "Sign-in is not set up yet", "--saml-metadata"} {
		if exit != exitDone || !strings.Contains(out, want) {
			t.Errorf("exit code %d, no %q: %s%s", exit, want, out, said)
		}
	}
	out, exit, said = d.run("deploy", "status", "--json")
	var s deployStatusJSON
	if err := json.Unmarshal([]byte(out), &s); err != nil || exit != exitDone || s.SignIn != "pending" || s.Program != "0a" || !s.Protected || s.Outputs[deploy.OutputTableName] != "nightlatch" {
		t.Errorf("exit code %d, %v, %+v, %s", exit, err, s, said)
	}
}

func (d *deployed) destroy(force bool) (stdout string, stderr string, err error) {
	var out, talk bytes.Buffer
	x := &deployer{env: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &out, stderr: &talk, path: d.config, yes: true, force: force, every: 10 * time.Millisecond}
	err = deployError(x.destroy(d.t.Context()))
	return out.String(), talk.String(), err
}

func (d *deployed) associations() int {
	n := 0
	for _, e := range d.ec2.Snapshot().Endpoints {
		for _, a := range e.Associations {
			if a.Ended.IsZero() {
				n++
			}
		}
	}
	return n
}

// Nothing is deleted before everything is closed.
func TestDestroyClosesFirst(t *testing.T) {
	d := newDeployed(t)
	d.deploy()
	if _, exit, said := d.run("open", "office"); exit != exitDone {
		t.Fatalf("exit code %d, %s", exit, said)
	}
	refused := func(what, want string, force bool) {
		t.Helper()
		out, said, err := d.destroy(force)
		if err == nil || endingOf(err).exit != exitRefused || !strings.Contains(err.Error(), want) || out != "" {
			t.Errorf("%s: got %v, want %q\n%s%s", what, err, want, out, said)
		}
		if s, exit, _ := d.run("deploy", "status"); exit != exitDone || !strings.Contains(s, "CREATE_COMPLETE") {
			t.Fatalf("%s: refused, and the stack is gone: %s", what, s)
		}
	}
	refused("somebody has a lease", "office is in use: 1 have a lease", false)
	d.write(strings.Replace(deployedSettings, "look_every", "mode: observe, look_every", 1))
	refused("it is only observed", "office is open, and Nightlatch only observes it", false)
	d.write(strings.Replace(deployedSettings, "vpc: vpc-0a", "deletion_protection: true, vpc: vpc-0a", 1))
	refused("the load balancer is protected", "protected against deletion", true)
	d.write(deployedSettings)

	// A switch that belongs to nothing that the configuration knows.
	cfg, err := operatorAWS(t.Context(), demoRegion)
	if err != nil {
		t.Fatal(err)
	}
	c, err := completed(t.Context(), d.parsed(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	_, switches, err := connect(c.Endpoints, cfg, false, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	const other = latch.AssociationID("cvpn-assoc-0ther00000000000")
	if err := switches.Arm(t.Context(), demoEndpoint, other, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if d.associations() == 0 {
		t.Fatal("nothing is open, so that nothing can be closed")
	}
	refused("a switch is armed", "holds dead-man's switches", true)
	if d.associations() != 0 {
		t.Error("it was forced, and office is not closed")
	}
	if err := switches.Disarm(t.Context(), demoEndpoint, other); err != nil {
		t.Fatal(err)
	}
	out, said, err := d.destroy(false)
	if err != nil || !strings.Contains(out, "nightlatch in us-east-1 is deleted") || !strings.Contains(out, "Table stays: nightlatch") {
		t.Errorf("got %v, %s\n%s", err, out, said)
	}
	if _, said, err := d.destroy(false); err != nil || !strings.Contains(said, "there is no such stack") {
		t.Errorf("once more: %v, %s", err, said)
	}
}

// An endpoint that EC2 does not show may be open.
func TestDestroyNeedsToSee(t *testing.T) {
	d := newDeployed(t)
	d.deploy()
	t.Setenv("AWS_ENDPOINT_URL_EC2", "http://127.0.0.1:1")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var out, talk bytes.Buffer
	x := &deployer{env: func(string) string { return "" }, stdin: strings.NewReader(""), stdout: &out, stderr: &talk, path: d.config, yes: true, force: true, every: 10 * time.Millisecond}
	if err := x.destroy(ctx); err == nil || !strings.Contains(err.Error(), "whether it is closed cannot be seen, and nothing is deleted") {
		t.Errorf("got %v", err)
	}
	if s, exit, _ := d.run("deploy", "status"); exit != exitDone || !strings.Contains(s, "CREATE_COMPLETE") {
		t.Errorf("the stack is gone: %s", s)
	}
}

func TestAsking(t *testing.T) {
	for answer, agreed := range map[string]bool{"yes\n": true, "yes": true, "y\n": false, "\n": false, "": false} {
		x := &deployer{stdin: strings.NewReader(answer), stderr: io.Discard}
		if err := x.ask(t.Context(), "?", "yes"); (err == nil) != agreed || err != nil && endingOf(err).exit != exitRefused {
			t.Errorf("%q: %v", answer, err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r, w := io.Pipe()
	defer w.Close()
	x := &deployer{stdin: r, stderr: io.Discard}
	if err := x.ask(ctx, "?", "yes"); err == nil || endingOf(err).exit != exitRefused {
		t.Errorf("Ctrl-C: %v", err)
	}
}

// Every way in which a deployment can end has its exit code and a hint that leads on.
func TestDeployErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		exit int
		hint string
	}{
		{fmt.Errorf("%w: x", deploy.ErrNoStack), exitFailed, "deploy apply makes it"},
		{fmt.Errorf("%w: x", deploy.ErrBusy), exitAWS, "deploy apply follows it"},
		{fmt.Errorf("%w: %w", deploy.ErrStopped, context.Canceled), exitFailed, "same command follows it again"},
		{fmt.Errorf("%w: x", deploy.ErrReplaces), exitRefused, "--replace"},
		{fmt.Errorf("%w: x", deploy.ErrParameter), exitUsage, ""},
		{fmt.Errorf("%w: x", deploy.ErrState), exitFailed, "deploy status"},
		{fmt.Errorf("%w: x", deploy.ErrNoToolchain), exitFailed, "--zip FILE"},
		{&deploy.Failed{Stack: "nightlatch", Status: "ROLLBACK_COMPLETE", Hint: "do this"}, exitFailed, "do this"},
		{errors.New("other"), exitFailed, ""},
	} {
		e := endingOf(deployError(tt.err))
		if e.exit != tt.exit || !strings.Contains(e.hint, tt.hint) || tt.hint == "" && e.hint != "" {
			t.Errorf("%v: got exit code %d and the hint %q, want %d and %q", tt.err, e.exit, e.hint, tt.exit, tt.hint)
		}
	}
}
