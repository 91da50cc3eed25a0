//go:build !lambda

package main

import (
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

// threePlaces is a configuration with endpoints at home, which are a crowd, one in another Region, one in another
// account, and one in an account that lets nobody in.
const threePlaces = `region: us-east-1
table: nightlatch
signin:
  alb:
    arn: arn:aws:elasticloadbalancing:us-east-1:111122223333:loadbalancer/app/nightlatch/0123456789abcdef
    client_id: 4abc
    issuer: https://cognito-idp.us-east-1.amazonaws.com/us-east-1_AbCdEfGhI
    logout_url: https://vpn.auth.us-east-1.amazoncognito.com/logout?client_id=4abc
deadman: {group: nightlatch, role_arn: "arn:aws:iam::111122223333:role/nightlatch-deadman"}
endpoints:
  - {name: home, id: cvpn-endpoint-0a, subnets: [subnet-0a]}
  - {name: spare-1, id: cvpn-endpoint-0e, subnets: [subnet-0a]}
  - {name: spare-2, id: cvpn-endpoint-0f, subnets: [subnet-0a]}
  - {name: spare-3, id: cvpn-endpoint-10, subnets: [subnet-0a]}
  - {name: frankfurt, id: cvpn-endpoint-0b, subnets: [subnet-0b], region: eu-central-1, deadman: {group: nightlatch-eu}}
  - name: partner
    id: cvpn-endpoint-0c
    subnets: [subnet-0c]
    role_arn: arn:aws:iam::444455556666:role/spoke
    external_id: agreed
    deadman: {group: nightlatch-partner, role_arn: "arn:aws:iam::444455556666:role/nightlatch-deadman"}
  - name: lost
    id: cvpn-endpoint-0d
    subnets: [subnet-0d]
    role_arn: arn:aws:iam::777788889999:role/spoke
    deadman: {group: nightlatch, role_arn: "arn:aws:iam::777788889999:role/nightlatch-deadman"}
`

// site is EC2 and Scheduler of one Region in one account, with an endpoint that the test opens and others that it does not.
type site struct {
	region, account, endpoint string
	others                    []string
	ec2                       *ec2.Server
	scheduler                 *scheduler.Server
	agent                     string // of EC2's last caller
}

// holds is what is not gone there: subnets that are associated, and switches that are armed, by group.
func (s *site) holds() string {
	var out []string
	for _, e := range s.ec2.Snapshot().Endpoints {
		for _, a := range e.Associations {
			if a.Ended.IsZero() {
				out = append(out, e.ID+" "+a.SubnetID)
			}
		}
	}
	for _, x := range s.scheduler.Snapshot() {
		out = append(out, x.Group)
	}
	return strings.Join(out, ", ")
}

// cloud is AWS as far as threePlaces reaches: who signs a request decides in which account it acts, and the host in which
// Region.
type cloud struct {
	sites map[string]*site // by the endpoint's name
	sts   *sts.Server
	table http.Handler

	mu    sync.Mutex // guards roles, and the sites' agents
	roles int        // that were to be assumed so far
}

var functionKey = sigv4.Credentials{AccessKeyID: "ASIAFUNCTION", SecretAccessKey: "function-secret", SessionToken: "function-token"}

func newCloud(t *testing.T) *cloud {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	log := slog.New(slog.DiscardHandler)
	const ours = "arn:aws:iam::111122223333:role/nightlatch"
	w := &cloud{sites: map[string]*site{
		"home":      {region: "us-east-1", account: "111122223333", endpoint: "cvpn-endpoint-0a", others: []string{"cvpn-endpoint-0e", "cvpn-endpoint-0f", "cvpn-endpoint-10"}},
		"frankfurt": {region: "eu-central-1", account: "111122223333", endpoint: "cvpn-endpoint-0b"},
		"partner":   {region: "us-east-1", account: "444455556666", endpoint: "cvpn-endpoint-0c"},
	}}
	var err error
	w.sts, err = sts.New(sts.Config{Region: "us-east-1", Log: log,
		Keys:  []sts.Key{{Credentials: functionKey, ARN: ours, Session: "beat"}},
		Roles: []sts.Role{{ARN: "arn:aws:iam::444455556666:role/spoke", Trusts: []string{ours}, ExternalID: "agreed"}}})
	must(err)
	home := func(id string) (sigv4.Credentials, bool) { return functionKey, id == functionKey.AccessKeyID }
	away := func(id string) (sigv4.Credentials, bool) {
		c, ok := w.sts.Lookup(id)
		return c, ok && id != functionKey.AccessKeyID
	}
	tables, err := dynamodb.New(dynamodb.Config{Region: "us-east-1", AccountID: "111122223333", Credentials: home, Log: log,
		Tables: []dynamodb.Table{{Name: "nightlatch", Partition: "pk", Sort: "sk"}}})
	must(err)
	w.table = tables.Handler()
	for name, s := range w.sites {
		lookup, group := home, map[string]string{"home": "nightlatch", "frankfurt": "nightlatch-eu", "partner": "nightlatch-partner"}[name]
		if s.account != "111122223333" {
			lookup = away
		}
		var endpoints []ec2.Endpoint
		for _, id := range append(s.others, s.endpoint) {
			endpoints = append(endpoints, ec2.Endpoint{ID: id, VpcID: "vpc-0a", ClientCIDR: "10.200.0.0/22", Subnets: []ec2.Subnet{
				{ID: "subnet-" + strings.TrimPrefix(s.endpoint, "cvpn-endpoint-"), AvailabilityZone: s.region + "a", CIDR: "10.0.1.0/24"}}})
		}
		s.ec2, err = ec2.New(ec2.Config{Region: s.region, AccountID: s.account, Credentials: lookup, Throttle: true, Log: log,
			AssociateTakes: 5 * time.Minute, DisassociateTakes: 2 * time.Minute, RouteTakes: time.Minute,
			Endpoints: endpoints})
		must(err)
		s.scheduler, err = scheduler.New(scheduler.Config{Region: s.region, AccountID: s.account, Credentials: lookup, Log: log, Groups: []string{group}})
		must(err)
	}
	return w
}

func (w *cloud) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	var h http.Handler
	_, own := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential="+functionKey.AccessKeyID+"/")
	w.mu.Lock()
	for _, s := range w.sites {
		switch {
		case own != (s.account == "111122223333"):
		case r.Host == "ec2."+s.region+".amazonaws.com":
			h, s.agent = s.ec2.Handler(), r.UserAgent()
		case r.Host == "scheduler."+s.region+".amazonaws.com":
			h = s.scheduler.Handler()
		}
	}
	switch r.Host {
	case "dynamodb.us-east-1.amazonaws.com":
		h = w.table
	case "sts.us-east-1.amazonaws.com":
		h = w.sts.Handler()
		w.roles++
	}
	w.mu.Unlock()
	if h == nil {
		http.Error(rw, "nobody stands in for "+r.Host+" here", http.StatusMisdirectedRequest)
		return
	}
	h.ServeHTTP(rw, r)
}

// TestEndpointsInSeveralPlaces: one function keeps endpoints of several Regions and accounts, each call and each switch
// goes where its endpoint is, and an account that lets nobody in costs the others nothing.
func TestEndpointsInSeveralPlaces(t *testing.T) {
	// The SDK tells AWS how it retries, among the features "m/" of its User-Agent: E is standard, F adaptive.
	for handler, retries := range map[string]map[string]string{
		handlerFront: {"home": "E", "frankfurt": "E", "partner": "E"},
		handlerBeat:  {"home": "F", "frankfurt": "E", "partner": "E"},
	} {
		t.Run(handler, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := config.Parse("nightlatch.yaml", []byte(threePlaces))
				if err != nil {
					t.Fatal(err)
				}
				w := newCloud(t)
				env := map[string]string{"AWS_ACCESS_KEY_ID": functionKey.AccessKeyID,
					"AWS_SECRET_ACCESS_KEY": functionKey.SecretAccessKey, "AWS_SESSION_TOKEN": functionKey.SessionToken}
				cfg, err := awsConfig(func(name string) string { return env[name] }, c.Region, &http.Client{Transport: latchtest.InProcess{Handler: w}})
				if err != nil {
					t.Fatal(err)
				}
				keeper, err := newKeeper(c, cfg, handler == handlerBeat, nil, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Fatal(err)
				}
				alice := latch.Request{Who: latch.Principal{Subject: "alice"}}
				names := []string{"home", "frankfurt", "partner"}
				holds := func(when string, want map[string]string) {
					t.Helper()
					for _, name := range names {
						if got := w.sites[name].holds(); got != want[name] {
							t.Errorf("%s, %s: AWS holds %q, want %q", when, name, got, want[name])
						}
					}
				}
				// refused is STS's own answer about the account that lets nobody in.
				refused := func(what string, err error) {
					t.Helper()
					f, ok := errors.AsType[*latch.Fault](err)
					if !errors.Is(err, latch.ErrRefused) || !ok || f.Service != "sts" || f.Code != "AccessDenied" ||
						!strings.HasSuffix(f.Message, "is not authorized to perform: sts:AssumeRole on resource: arn:aws:iam::777788889999:role/spoke") {
						t.Errorf("%s: got %v, want STS's refusal", what, err)
					}
				}
				for _, name := range names {
					if _, err := keeper.Open(t.Context(), latch.EndpointID(w.sites[name].endpoint), alice); err != nil {
						t.Errorf("open %s: %v", name, err)
					}
				}
				_, err = keeper.Open(t.Context(), "cvpn-endpoint-0d", alice)
				refused("open", err)
				opened := map[string]string{"home": "cvpn-endpoint-0a subnet-0a, nightlatch", "frankfurt": "cvpn-endpoint-0b subnet-0b, nightlatch-eu",
					"partner": "cvpn-endpoint-0c subnet-0c, nightlatch-partner"}
				holds("opened", opened)

				time.Sleep(10 * time.Minute)
				for _, name := range names {
					agent := w.sites[name].agent
					if _, features, _ := strings.Cut(agent, " m/"); !slices.Contains(strings.Split(features, ","), retries[name]) {
						t.Errorf("EC2's client at %s says %q, want feature %s: a crowd of the beat's can wait, people cannot", name, agent, retries[name])
					}
				}
				before := w.roles
				refused("beat", keeper.Beat(t.Context(), c.BeatFor))
				for _, name := range names {
					if v, err := keeper.View(t.Context(), latch.EndpointID(w.sites[name].endpoint), alice.Who); err != nil || v.State != latch.StateOpen || v.ReadyAt.IsZero() {
						t.Errorf("%s is %s, ready at %v, %v, want it open and the beat to have kept it", name, v.State, v.ReadyAt, err)
					}
				}
				if asked := w.roles - before; asked == 0 || asked > 10 {
					t.Errorf("a beat asked STS %d times, want a few about the one role that it may not assume", asked)
				}

				for _, name := range names {
					if _, err := keeper.Done(t.Context(), latch.EndpointID(w.sites[name].endpoint), alice); err != nil {
						t.Errorf("done at %s: %v", name, err)
					}
				}
				time.Sleep(10 * time.Minute)
				refused("beat", keeper.Beat(t.Context(), c.BeatFor))
				holds("closed", map[string]string{})
			})
		})
	}
}

func TestAnEndpointThatIsNotConfigured(t *testing.T) {
	v, d, ctx := vpns{}, deadmen{}, t.Context()
	_, observe := v.Observe(ctx, "cvpn-endpoint-0e")
	_, associate := v.Associate(ctx, "cvpn-endpoint-0e", "subnet-0a", "token")
	for what, err := range map[string]error{
		"observe": observe, "associate": associate, "disassociate": v.Disassociate(ctx, "cvpn-endpoint-0e", "cvpn-assoc-0a"),
		"route": v.CreateRoute(ctx, "cvpn-endpoint-0e", latch.Route{}), "groups": v.ApplyGroups(ctx, "cvpn-endpoint-0e", "vpc-0a", nil),
		"arm": d.Arm(ctx, "cvpn-endpoint-0e", "cvpn-assoc-0a", time.Now()), "disarm": d.Disarm(ctx, "cvpn-endpoint-0e", "cvpn-assoc-0a"),
	} {
		if !errors.Is(err, latch.ErrNotFound) {
			t.Errorf("%s: got %v, want %v", what, err, latch.ErrNotFound)
		}
	}
}
