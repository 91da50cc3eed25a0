package inside_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/inside"
	"github.com/nightlatch/nightlatch/internal/latch"
)

func no(service, code string) error {
	return fmt.Errorf("%w: %w", latch.ErrRefused, &latch.Fault{Service: service, Code: code, Message: "no"})
}

func well(context.Context) error { return nil }

// healthy is a deployment of which everything answers.
func healthy() inside.Config {
	return inside.Config{
		About: "1 endpoint", Skew: func() (time.Duration, bool) { return -time.Second, true }, KeyServer: well, Webhook: true,
		Table: func(context.Context) map[string]error { return map[string]error{"GetItem": nil, "PutItem": nil} },
		Endpoints: []inside.Endpoint{{Name: "office", Group: "nightlatch", Assume: well, Switch: well, Calls: func(context.Context) (latch.Observation, map[string]error) {
			return latch.Observation{Status: latch.Available}, map[string]error{"DescribeClientVpnEndpoints": nil, "DisassociateClientVpnTargetNetwork": nil}
		}}},
	}
}

// calls puts another answer of EC2's into c.
func calls(c *inside.Config, o latch.Observation, operation string, err error) {
	c.Endpoints[0].Calls = func(context.Context) (latch.Observation, map[string]error) {
		all := map[string]error{"DescribeClientVpnEndpoints": nil, "DisassociateClientVpnTargetNetwork": nil}
		all[operation] = err
		return o, all
	}
}

func TestLook(t *testing.T) {
	names := []string{"configuration and build", "clock", "table: dynamodb:GetItem", "table: dynamodb:PutItem", "sign-in: the load balancer's keys", "office: sts:AssumeRole",
		"office: endpoint", "office: ec2:DescribeClientVpnEndpoints", "office: ec2:DisassociateClientVpnTargetNetwork", "office: scheduler:GetSchedule", "webhook"}
	available := latch.Observation{Status: latch.Available}
	for name, tt := range map[string]struct {
		change func(*inside.Config)
		check  string // the only one that is not ok
		result inside.Result
		words  string // of its detail or fix
	}{
		"all is well":          {},
		"the clock is unknown": {func(c *inside.Config) { c.Skew = func() (time.Duration, bool) { return 0, false } }, "clock", inside.NotChecked, "nothing"},
		"the clock is off":     {func(c *inside.Config) { c.Skew = func() (time.Duration, bool) { return 61 * time.Second, true } }, "clock", inside.Warning, "1m1s ahead of"},
		"the clock is wrong":   {func(c *inside.Config) { c.Skew = func() (time.Duration, bool) { return -6 * time.Minute, true } }, "clock", inside.Failure, "6m0s behind"},
		"the table may not be written": {func(c *inside.Config) {
			c.Table = func(context.Context) map[string]error {
				return map[string]error{"GetItem": nil, "PutItem": no("dynamodb", "AccessDeniedException")}
			}
		}, "table: dynamodb:PutItem", inside.Failure, "nightlatch deploy apply"},
		"the table is not there": {func(c *inside.Config) {
			c.Table = func(context.Context) map[string]error {
				return map[string]error{"GetItem": no("dynamodb", "ResourceNotFoundException"), "PutItem": nil}
			}
		}, "table: dynamodb:GetItem", inside.Failure, "no such table"},
		"the table does not answer": {func(c *inside.Config) {
			c.Table = func(context.Context) map[string]error {
				return map[string]error{"GetItem": errors.New("timeout"), "PutItem": nil}
			}
		}, "table: dynamodb:GetItem", inside.NotChecked, "timeout"},
		"no key server": {func(c *inside.Config) { c.KeyServer = func(context.Context) error { return errors.New("status 500") } }, "sign-in: the load balancer's keys", inside.Failure, "status 500"},
		"the role may not be assumed": {func(c *inside.Config) {
			c.Endpoints[0].Assume = func(context.Context) error { return no("sts", "AccessDenied") }
		}, "office: sts:AssumeRole", inside.Failure, "trust policy"},
		"a call of a role that may not be assumed": {func(c *inside.Config) {
			calls(c, available, "DisassociateClientVpnTargetNetwork", no("sts", "AccessDenied"))
		}, "office: ec2:DisassociateClientVpnTargetNetwork", inside.NotChecked, "could not be made"},
		"EC2 says no": {func(c *inside.Config) {
			calls(c, available, "DisassociateClientVpnTargetNetwork", no("ec2", "UnauthorizedOperation"))
		}, "office: ec2:DisassociateClientVpnTargetNetwork", inside.Failure, "nightlatch deploy apply"},
		"EC2 says something else": {func(c *inside.Config) {
			calls(c, available, "DisassociateClientVpnTargetNetwork", no("ec2", "InvalidClientVpnAssociationIdNotFound"))
		}, "office: ec2:DisassociateClientVpnTargetNetwork", inside.NotChecked, "InvalidClientVpnAssociationIdNotFound"},
		"no such endpoint": {func(c *inside.Config) {
			calls(c, latch.Observation{}, "DescribeClientVpnEndpoints", fmt.Errorf("%w: no", latch.ErrNotFound))
		}, "office: endpoint", inside.Failure, "this Region and account"},
		"an endpoint of another kind": {func(c *inside.Config) {
			calls(c, latch.Observation{}, "DescribeClientVpnEndpoints", fmt.Errorf("%w: transit gateway", latch.ErrNotReady))
		}, "office: endpoint", inside.Failure, "transit gateway"},
		"an endpoint that is leaving": {func(c *inside.Config) {
			calls(c, latch.Observation{Status: "deleting"}, "DescribeClientVpnEndpoints", nil)
		}, "office: endpoint", inside.Failure, "deleting"},
		"no schedule group": {func(c *inside.Config) {
			c.Endpoints[0].Switch = func(context.Context) error { return fmt.Errorf("%w: no", latch.ErrNotFound) }
		}, "office: scheduler:GetSchedule", inside.Failure, "create-schedule-group --name nightlatch"},
		"schedules may not be read": {func(c *inside.Config) {
			c.Endpoints[0].Switch = func(context.Context) error { return no("scheduler", "AccessDeniedException") }
		}, "office: scheduler:GetSchedule", inside.Failure, "nightlatch deploy apply"},
		"nobody is told": {func(c *inside.Config) { c.Webhook = false }, "webhook", inside.NotChecked, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			c := healthy()
			if tt.change != nil {
				tt.change(&c)
			}
			var got []string
			for _, k := range inside.Look(t.Context(), c).Checks {
				got = append(got, k.Name)
				want := inside.OK
				if k.Name == tt.check {
					want = tt.result
					if !strings.Contains(k.Detail+"\n"+k.Fix, tt.words) {
						t.Errorf("%s: %+v does not say %q", k.Name, k, tt.words)
					}
					if k.Result == inside.Failure && (k.Fix == "" || k.Detail == "") {
						t.Errorf("%s: %+v: a failure needs its fix", k.Name, k)
					}
				}
				if k.Result != want {
					t.Errorf("%+v, want %s", k, want)
				}
			}
			if strings.Join(got, "\n") != strings.Join(names, "\n") {
				t.Errorf("the checks are %q, want %q: a failure hides no other", got, names)
			}
		})
	}
}

func TestSignInOtherwise(t *testing.T) {
	c := healthy()
	c.KeyServer, c.Issuer = nil, func(context.Context) error { return errors.New("away") }
	find := func(name string) inside.Check {
		t.Helper()
		for _, k := range inside.Look(t.Context(), c).Checks {
			if k.Name == name {
				return k
			}
		}
		t.Fatalf("no check %s", name)
		return inside.Check{}
	}
	if k := find("sign-in: the issuer"); k.Result != inside.Failure || k.Detail != "away" {
		t.Errorf("%+v", k)
	}
	c.Issuer = nil
	if k := find("sign-in"); k.Result != inside.NotChecked || !strings.Contains(k.Fix, "--saml-metadata") {
		t.Errorf("%+v", k)
	}
}

// Whoever asks waits thirty seconds.
func TestLookEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		c := healthy()
		c.KeyServer, c.Endpoints[0].Switch, c.Endpoints[0].Assume = stuck, stuck, stuck
		for range 9 {
			c.Endpoints = append(c.Endpoints, c.Endpoints[0])
		}
		began := time.Now()
		r := inside.Look(t.Context(), c)
		if took := time.Since(began); took > 30*time.Second || len(r.Checks) != 6+10*5 {
			t.Errorf("%d checks after %v", len(r.Checks), took)
		}
	})
}

func TestReportInJSON(t *testing.T) {
	raw, err := json.Marshal(inside.Report{Checks: []inside.Check{{Name: "clock", Result: inside.NotChecked, Detail: "d", Fix: "f"}, {Name: "webhook", Result: inside.OK}}})
	const want = `{"checks":[{"name":"clock","result":"not checked","detail":"d","fix":"f"},{"name":"webhook","result":"ok"}]}`
	if err != nil || string(raw) != want {
		t.Errorf("%s (%v), want %s", raw, err, want)
	}
}

type answers func(*http.Request) (*http.Response, error)

func (f answers) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var took, off time.Duration
		date := true
		c := &inside.Clock{Client: answers(func(*http.Request) (*http.Response, error) {
			if off == 0 {
				return nil, errors.New("no answer")
			}
			time.Sleep(took / 2)
			h := http.Header{}
			if date {
				h.Set("Date", time.Now().Add(-off).UTC().Format(http.TimeFormat))
			}
			time.Sleep(took / 2)
			return &http.Response{StatusCode: 403, Header: h}, nil
		})}
		ask := func() { c.Do(&http.Request{}) }
		ask()
		date, off = false, time.Hour
		ask()
		if _, known := c.Skew(); known {
			t.Error("it knows the time from nobody")
		}
		date, took, off = true, 8*time.Second, 20*time.Second
		ask()
		took, off = 100*time.Millisecond, 2*time.Minute
		ask()
		took, off = 10*time.Second, 10*time.Second
		ask()
		if got, known := c.Skew(); !known || (got-2*time.Minute).Abs() > time.Second {
			t.Errorf("%v ahead (%t), want what the quickest answer says: 2m", got, known)
		}
		took, off = 50*time.Millisecond, -3*time.Minute
		ask()
		if got, _ := c.Skew(); (got + 3*time.Minute).Abs() > time.Second {
			t.Errorf("%v ahead, want 3m behind", got)
		}
	})
}
