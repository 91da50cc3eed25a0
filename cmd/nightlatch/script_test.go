//go:build !lambda

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
	"github.com/nightlatch/nightlatch/internal/store"
)

// TestScripts runs testdata/script, which specifies the command line: each script is a shell of operators before an
// account of its own, whose EC2, DynamoDB, Scheduler and STS are stand-ins in this process. Beside testscript's commands
// there are those of scriptCommands.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error { return newAccount(e) },
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "as": as, "beat": beat, "aws": awsIs, "connect": connectClient, "policy": setPolicy, "gone": gone, "front": setFront, "signedin": signedIn, "audited": audited,
		},
	})
}

const labEndpoint = "cvpn-endpoint-0d3a11c0ffee00002" // beside demoEndpoint, which is office

// account is what a script stands before.
type account struct {
	ec2 *ec2.Server
	url string
	dir string

	mu       sync.Mutex // guards all below
	down     map[string]bool
	forbids  string              // an EC2 action that nobody may call
	lab      string              // its id in the configuration
	oidc     bool                // the front signs people in itself
	policies map[string][]string // lines of configuration by endpoint
}

type accountKey struct{}

func accountOf(ts *testscript.TestScript) *account { return ts.Value(accountKey{}).(*account) }

// operators are people with AWS credentials: alice has assumed a role, in whose ARN the session's name is the person's, and
// bob is an IAM user.
var operators = []string{"alice", "bob"}

func accessKey(name string) sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: "AKIA" + strings.ToUpper(name), SecretAccessKey: "secret of " + name}
}

func knownKey(id string) (sigv4.Credentials, bool) {
	for _, name := range operators {
		if key := accessKey(name); key.AccessKeyID == id {
			return key, true
		}
	}
	return sigv4.Credentials{}, false
}

func newAccount(e *testscript.Env) error {
	a := &account{dir: e.WorkDir, lab: labEndpoint, down: map[string]bool{}, policies: map[string][]string{}}
	log := slog.New(slog.DiscardHandler)
	var err error
	if a.ec2, err = ec2.New(ec2.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log, Throttle: true,
		AssociateTakes: time.Second, DisassociateTakes: 500 * time.Millisecond, RouteTakes: 100 * time.Millisecond,
		Authorize: func(_, action, resource string, _ map[string]string) error {
			a.mu.Lock()
			defer a.mu.Unlock()
			if action == "ec2:"+a.forbids {
				return fmt.Errorf("User: somebody is not authorized to perform: %s on resource: %s", action, resource)
			}
			return nil
		},
		Endpoints: []ec2.Endpoint{
			{ID: demoEndpoint, VpcID: "vpc-0a", ClientCIDR: "172.20.0.0/16", Subnets: demoSubnets},
			{ID: labEndpoint, VpcID: "vpc-0b", ClientCIDR: "172.21.0.0/16",
				Subnets: []ec2.Subnet{{ID: "subnet-0b", AvailabilityZone: "us-east-1a", AvailabilityZoneID: "use1-az1", CIDR: "10.1.1.0/24"}}},
		}}); err != nil {
		return err
	}
	tables, err := dynamodb.New(dynamodb.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log,
		Tables: []dynamodb.Table{{Name: demoTable, Partition: "pk", Sort: "sk"}}})
	if err != nil {
		return err
	}
	schedules, err := scheduler.New(scheduler.Config{Region: demoRegion, AccountID: demoAccount, Credentials: knownKey, Log: log, Groups: []string{demoGroup}})
	if err != nil {
		return err
	}
	tokens, err := sts.New(sts.Config{Region: demoRegion, Log: log, Keys: []sts.Key{
		{Credentials: accessKey("alice"), ARN: "arn:aws:iam::" + demoAccount + ":role/Operator", Session: "alice"},
		{Credentials: accessKey("bob"), ARN: "arn:aws:iam::" + demoAccount + ":user/staff/bob"},
	}})
	if err != nil {
		return err
	}
	services := gateway(map[string]http.Handler{
		hostEC2:       a.breakable("ec2", unavailableEC2, a.ec2.Handler()),
		hostDynamoDB:  a.breakable("dynamodb", unavailableDynamoDB, tables.Handler()),
		hostScheduler: a.breakable("scheduler", unavailableREST, schedules.Handler()),
		hostSTS:       a.breakable("sts", unavailableEC2, tokens.Handler()),
	})
	server := httptest.NewServer(services)
	e.Defer(server.Close)
	a.url = server.URL
	e.Values[accountKey{}] = a
	e.Setenv("AWS_ENDPOINT_URL", a.url)
	e.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	e.Setenv("AWS_ACCESS_KEY_ID", accessKey("alice").AccessKeyID)
	e.Setenv("AWS_SECRET_ACCESS_KEY", accessKey("alice").SecretAccessKey)
	return a.configure()
}

func (a *account) breakable(name string, unavailable func(http.ResponseWriter), h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		down := a.down[name]
		a.mu.Unlock()
		if down {
			unavailable(rw)
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// configure writes nightlatch.yaml.
func (a *account) configure() error {
	// A day on which nobody can be running this.
	elsewhere := strings.ToLower(time.Now().UTC().AddDate(0, 0, 3).Format("Mon"))
	front := fmt.Sprintf(`  alb:
    arn: arn:aws:elasticloadbalancing:%s:%s:loadbalancer/app/nightlatch/0123456789abcdef
    client_id: 4abc
    issuer: https://cognito-idp.%s.amazonaws.com/pool
    logout_url: https://vpn.example.com/logout
`, demoRegion, demoAccount, demoRegion)
	if a.oidc {
		front = `  oidc:
    issuer: https://login.example.com/corp
    client_id: nightlatch
    redirect_url: https://vpn.example.com/oauth2/callback
`
	}
	var b strings.Builder
	fmt.Fprintf(&b, `region: %s
table: %s
signin:
%sdeadman:
  group: %s
  role_arn: %s
endpoints:
`, demoRegion, demoTable, front, demoGroup, "arn:aws:iam::"+demoAccount+":role/nightlatch-deadman")
	for name, more := range map[string]string{
		"office": "    title: Office network\n    id: " + demoEndpoint + "\n    subnets: [" + demoSubnets[0].ID + ", " + demoSubnets[1].ID + "]\n    routes:\n      - {destination: 10.20.0.0/16}\n",
		"lab":    "    id: " + a.lab + "\n    subnets: [subnet-0b]\n",
	} {
		fmt.Fprintf(&b, "  - name: %s\n%s    look_every: 200ms\n", name, more)
		for _, line := range a.policies[name] {
			fmt.Fprintf(&b, "    %s\n", strings.ReplaceAll(line, "ANOTHER-DAY", elsewhere))
		}
	}
	return os.WriteFile(filepath.Join(a.dir, "nightlatch.yaml"), []byte(b.String()), 0o600)
}

// exits CODE COMMAND…: the command ends with that exit code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		got = failed.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// as NAME: from here on, somebody else's credentials; "as nobody" has none.
func as(ts *testscript.TestScript, _ bool, args []string) {
	key := accessKey(args[0])
	if args[0] == "nobody" {
		key = sigv4.Credentials{}
	}
	ts.Setenv("AWS_ACCESS_KEY_ID", key.AccessKeyID)
	ts.Setenv("AWS_SECRET_ACCESS_KEY", key.SecretAccessKey)
}

// beat ENDPOINT STATE: the beat function keeps the endpoint until it is so. It looks as it does at one in transition.
func beat(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	raw, err := os.ReadFile(filepath.Join(a.dir, "nightlatch.yaml"))
	ts.Check(err)
	c, err := config.Parse("nightlatch.yaml", raw)
	ts.Check(err)
	e, err := c.Endpoint(args[0])
	ts.Check(err)
	key := accessKey("bob")
	cfg, err := awsConfig(func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey}[name]
	}, c.Region, &http.Client{Timeout: 10 * time.Second})
	ts.Check(err)
	cfg.BaseEndpoint = &a.url
	keeper, err := newKeeper(c, cfg, true, nil, slog.New(slog.DiscardHandler))
	ts.Check(err)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	every := time.NewTicker(200 * time.Millisecond)
	defer every.Stop()
	for {
		d, err := keeper.Reconcile(ctx, e.ID)
		if err == nil && d.State == latch.State(args[1]) {
			return
		}
		select {
		case <-ctx.Done():
			ts.Fatalf("%s is %s (%s), want %s; %v", e.Name, d.State, d.Reason.Code, args[1], err)
		case <-every.C:
		}
	}
}

// aws SERVICE down|up, or aws forbids ACTION.
func awsIs(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	a.mu.Lock()
	defer a.mu.Unlock()
	if args[0] == "forbids" {
		a.forbids = args[1]
		return
	}
	a.down[args[0]] = args[1] == "down"
}

// connectClient is connect USER: a VPN client connects to office, and works.
func connectClient(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	c, err := a.ec2.Connect(demoEndpoint, args[0])
	ts.Check(err)
	ts.Check(a.ec2.Send(c, 1<<20, 1<<20))
}

// policy ENDPOINT LINE: a further line of the endpoint's configuration, in which ANOTHER-DAY is not today.
func setPolicy(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	a.policies[args[0]] = append(a.policies[args[0]], strings.Join(args[1:], " "))
	ts.Check(a.configure())
}

// gone: the configuration's lab is an endpoint that AWS does not know.
func gone(ts *testscript.TestScript, _ bool, _ []string) {
	a := accountOf(ts)
	a.lab = "cvpn-endpoint-0d3a11c0ffee00009"
	ts.Check(a.configure())
}

// front oidc: the configuration's front signs people in itself.
func setFront(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	a.oidc = args[0] == "oidc"
	ts.Check(a.configure())
}

// people is the account's table, by bob's hand.
func (a *account) people(ts *testscript.TestScript) *store.Store {
	key := accessKey("bob")
	cfg, err := awsConfig(func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey}[name]
	}, demoRegion, &http.Client{Timeout: 10 * time.Second})
	ts.Check(err)
	cfg.BaseEndpoint = &a.url
	people, err := store.New(store.Config{AWS: cfg, Table: demoTable})
	ts.Check(err)
	return people
}

// signedin SUBJECT ID NAME: somebody has signed in; the session's id begins with ID.
func signedIn(ts *testscript.TestScript, _ bool, args []string) {
	now := time.Now().UTC()
	ts.Check(accountOf(ts).people(ts).SaveSession(context.Background(), access.Session{ID: args[1] + strings.Repeat("0", 64-len(args[1])), Subject: latch.Subject(args[0]),
		Issuer: "https://login.example.com/corp", Name: args[2], Email: strings.ToLower(args[2]) + "@corp.example", Since: now, Until: now.Add(10 * time.Hour), Source: "192.0.2.7"}))
}

// audited FILE: the entries about no endpoint, a line each.
func audited(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	entries, err := a.people(ts).Entries(context.Background(), "", 100)
	ts.Check(err)
	var b strings.Builder
	for _, e := range entries {
		fmt.Fprintln(&b, e.Action, e.Subject, e.Before, e.After, e.Why)
	}
	ts.Check(os.WriteFile(filepath.Join(a.dir, args[0]), []byte(b.String()), 0o600))
}
