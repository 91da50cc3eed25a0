//go:build !lambda

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/inside"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

// beatRig is the beat function over the cloud of several places, with a client that a test can put words into.
type beatRig struct {
	*testing.T
	cloud  *cloud
	keeper *latch.Keeper
	out    bytes.Buffer // the function's standard output
	handle func(event string) any
	err    error // of the last event
	// instead, if set, may answer a request itself.
	instead func(r *http.Request, form url.Values) *http.Response
	calls   map[string]int // to EC2, by action
}

func newBeatRig(t *testing.T, stack string) *beatRig {
	t.Helper()
	g := &beatRig{T: t, cloud: newCloud(t), calls: map[string]int{}}
	c, err := config.Parse("nightlatch.yaml", []byte(threePlaces))
	if err != nil {
		t.Fatal(err)
	}
	c.BeatFor = time.Second
	env := map[string]string{"AWS_ACCESS_KEY_ID": functionKey.AccessKeyID, "AWS_SECRET_ACCESS_KEY": functionKey.SecretAccessKey, "AWS_SESSION_TOKEN": functionKey.SessionToken, stackVariable: stack}
	getenv := func(name string) string { return env[name] }
	client := &http.Client{Transport: g}
	cfg, err := awsConfig(getenv, c.Region, client)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	if g.keeper, err = newKeeper(c, cfg, true, nil, log); err != nil {
		t.Fatal(err)
	}
	handler := beatHandler(c, g.keeper, newMetrics(c, getenv, &g.out, log), lookInside(c, cfg, client, log))
	g.handle = func(event string) any {
		var answer any
		answer, g.err = handler(t.Context(), json.RawMessage(event))
		return answer
	}
	return g
}

func (g *beatRig) RoundTrip(r *http.Request) (*http.Response, error) {
	var form url.Values
	if r.Body != nil {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		form, _ = url.ParseQuery(string(raw)) // EC2's and STS's; of others it is of no use
	}
	g.cloud.mu.Lock()
	if strings.HasPrefix(r.URL.Host, "ec2.") {
		g.calls[form.Get("Action")]++
	}
	instead := g.instead
	g.cloud.mu.Unlock()
	var answer *http.Response
	if instead != nil {
		answer = instead(r, form)
	}
	if answer == nil && r.URL.Host == hostKeys {
		answer = says(http.StatusNotFound, "")
	}
	if answer == nil {
		var err error
		if answer, err = (latchtest.InProcess{Handler: g.cloud}).RoundTrip(r); err != nil {
			return nil, err
		}
	}
	answer.Request = r
	if answer.Header.Get("Date") == "" {
		answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	return answer, nil
}

func says(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// emf is what the tests read of a line of metrics.
type emf struct {
	AWS struct {
		Timestamp         int64
		CloudWatchMetrics []struct {
			Namespace  string
			Dimensions [][]string
			Metrics    []struct{ Name, Unit string }
		}
	} `json:"_aws"`
	Stack                                                                                      string
	Beats, BeatErrors, Open, AssociatedSubnets, Leases, Connections                            *int
	OpenEndpoints, StuckEndpoints, OpenPastMaximumEndpoints, FailedEndpoints, UnknownEndpoints string
}

// valid is true for a line that CloudWatch would take.
func (l emf) valid() bool {
	return l.AWS.Timestamp > 0 && len(l.AWS.CloudWatchMetrics) == 1 && l.AWS.CloudWatchMetrics[0].Namespace == "Nightlatch" &&
		slices.Equal(l.AWS.CloudWatchMetrics[0].Dimensions[0], []string{"Stack"}) && l.Stack != "" && l.Beats != nil && l.BeatErrors != nil
}

func TestTheBeatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newBeatRig(t, "nightlatch")
		beat := func() emf {
			t.Helper()
			g.out.Reset()
			if answer := g.handle(`{"source":"nightlatch.beat"}`); answer != nil {
				t.Errorf("a beat answers %v", answer)
			}
			var line emf
			if err := json.Unmarshal(g.out.Bytes(), &line); err != nil || !line.valid() {
				t.Fatalf("no line of metrics, and nothing else, before the answer: %v\n%s", err, g.out.String())
			}
			return line
		}
		line := beat()
		if *line.Beats != 1 || *line.BeatErrors != 1 || line.Open != nil || line.FailedEndpoints != "lost" || line.UnknownEndpoints != "lost" || g.err == nil {
			t.Errorf("nothing is open, and one place lets nobody in: %s (%v)", g.out.String(), g.err)
		}
		if _, err := g.keeper.Open(t.Context(), "cvpn-endpoint-0a", latch.Request{Who: latch.Principal{Subject: "alice"}}); err != nil {
			t.Fatal(err)
		}
		clear(g.calls)
		line = beat()
		if *line.Open != 1 || *line.AssociatedSubnets != 1 || *line.Leases != 1 || line.Connections != nil || line.OpenEndpoints != "home" {
			t.Errorf("one is open: %s", g.out.String())
		}
		// Six endpoints looked at once, the one that opens perhaps a second time.
		if n := g.calls["DescribeClientVpnEndpoints"]; n < 6 || n > 7 {
			t.Errorf("a beat looked %d times: counting must not cost a look", n)
		}
	})
}

func TestWithoutAStackTheBeatDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newBeatRig(t, "")
		if g.handle(`{}`); g.out.Len() > 0 {
			t.Errorf("it writes %s", g.out.String())
		}
	})
}

const doctorEvent = `{"source":"nightlatch.doctor"}`

// look gives the doctor's event to the function, and returns its checks by name, as they come over the wire.
func (g *beatRig) look() map[string]inside.Check {
	g.Helper()
	raw, err := json.Marshal(g.handle(doctorEvent))
	if err != nil || g.err != nil {
		g.Fatal(err, g.err)
	}
	var report inside.Report
	if err := json.Unmarshal(raw, &report); err != nil {
		g.Fatal(err)
	}
	checks := map[string]inside.Check{}
	for _, k := range report.Checks {
		if _, twice := checks[k.Name]; twice {
			g.Errorf("two checks are called %s", k.Name)
		}
		checks[k.Name] = k
		for _, secret := range []string{functionKey.SecretAccessKey, functionKey.SessionToken, "agreed"} {
			if strings.Contains(fmt.Sprint(k), secret) {
				g.Errorf("%+v tells %q", k, secret)
			}
		}
	}
	return checks
}

func TestTheDoctorsEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newBeatRig(t, "nightlatch")
		if _, err := g.keeper.Open(t.Context(), "cvpn-endpoint-0a", latch.Request{Who: latch.Principal{Subject: "alice"}}); err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprint(g.cloud.sites["home"].holds(), g.cloud.sites["frankfurt"].holds(), g.cloud.sites["partner"].holds())
		usual := g.look()
		if after := fmt.Sprint(g.cloud.sites["home"].holds(), g.cloud.sites["frankfurt"].holds(), g.cloud.sites["partner"].holds()); after != before || g.out.Len() > 0 {
			t.Errorf("it left %s, before it was %s; it counted %q", after, before, g.out.String())
		}
		// What is not well in this cloud without anything being broken.
		expected := func(k inside.Check) inside.Result {
			switch {
			case k.Name == "lost: sts:AssumeRole":
				return inside.Failure
			case strings.HasPrefix(k.Name, "lost: "), k.Name == "webhook":
				return inside.NotChecked
			case strings.HasSuffix(k.Name, "ApplySecurityGroupsToClientVpnTargetNetwork") && k.Result == inside.NotChecked:
				return inside.NotChecked // an endpoint that never had groups
			}
			return inside.OK
		}
		for _, k := range usual {
			if k.Result != expected(k) {
				t.Errorf("%+v, want %s", k, expected(k))
			}
		}
		for _, name := range []string{"configuration and build", "clock", "table: dynamodb:PutItem", "sign-in: the load balancer's keys", "home: endpoint", "partner: sts:AssumeRole",
			"frankfurt: ec2:CreateClientVpnRoute", "partner: scheduler:GetSchedule", "lost: ec2:DescribeClientVpnRoutes", "webhook"} {
			if _, ok := usual[name]; !ok {
				t.Errorf("nobody checked %q; there are %q", name, slices.Sorted(maps.Keys(usual)))
			}
		}

		ec2 := func(status int, code string) *http.Response {
			return says(status, `<Response><Errors><Error><Code>`+code+`</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>`)
		}
		json := func(status int, code string) *http.Response {
			answer := says(status, `{"__type":"`+code+`","message":"no"}`)
			answer.Header.Set("X-Amzn-Errortype", code)
			return answer
		}
		for name, tt := range map[string]struct {
			instead func(r *http.Request, form url.Values) *http.Response
			result  inside.Result
			checks  []string
		}{
			"a call to EC2 that is not allowed": {func(r *http.Request, form url.Values) *http.Response {
				if form.Get("Action") == "AssociateClientVpnTargetNetwork" && r.URL.Host == "ec2.eu-central-1.amazonaws.com" {
					return ec2(403, "UnauthorizedOperation")
				}
				return nil
			}, inside.Failure, []string{"frankfurt: ec2:AssociateClientVpnTargetNetwork"}},
			"an endpoint that is gone": {func(r *http.Request, form url.Values) *http.Response {
				if form.Get("ClientVpnEndpointId.1") == "cvpn-endpoint-0b" {
					return ec2(400, "InvalidClientVpnEndpointId.NotFound")
				}
				return nil
			}, inside.Failure, []string{"frankfurt: endpoint"}},
			"an association that EC2 wants to know first": {func(r *http.Request, form url.Values) *http.Response {
				if form.Get("Action") == "DisassociateClientVpnTargetNetwork" && r.URL.Host == "ec2.eu-central-1.amazonaws.com" {
					return ec2(400, "InvalidClientVpnAssociationIdNotFound")
				}
				return nil
			}, inside.NotChecked, []string{"frankfurt: ec2:DisassociateClientVpnTargetNetwork"}},
			"a table that may not be written": {func(r *http.Request, _ url.Values) *http.Response {
				if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".PutItem") {
					return json(400, "AccessDeniedException")
				}
				return nil
			}, inside.Failure, []string{"table: dynamodb:PutItem"}},
			"switches that may not be read": {func(r *http.Request, _ url.Values) *http.Response {
				if r.URL.Host == "scheduler.eu-central-1.amazonaws.com" {
					return json(403, "AccessDeniedException")
				}
				return nil
			}, inside.Failure, []string{"frankfurt: scheduler:GetSchedule"}},
			"no key server": {func(r *http.Request, _ url.Values) *http.Response {
				if r.URL.Host == hostKeys {
					return says(http.StatusBadGateway, "")
				}
				return nil
			}, inside.Failure, []string{"sign-in: the load balancer's keys"}},
		} {
			g.instead = tt.instead
			for _, k := range g.look() {
				want := usual[k.Name].Result
				if slices.Contains(tt.checks, k.Name) {
					want = tt.result
				}
				// Without the endpoint there are no groups to ask for.
				if k.Result != want && !(name == "an endpoint that is gone" && k.Name == "frankfurt: ec2:ApplySecurityGroupsToClientVpnTargetNetwork") {
					t.Errorf("%s: %+v, want %s", name, k, want)
				}
			}
		}
		g.instead = nil
	})
}

// The front's events are people's: among them the doctor's is nobody's.
func TestTheFrontIsNoDoctor(t *testing.T) {
	front, err := functionOf(t, albFront, nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := front(t.Context(), json.RawMessage(doctorEvent)); err == nil {
		t.Errorf("the front answers the doctor's event: %v", answer)
	}
}
