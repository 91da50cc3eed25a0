package deadman_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ec2sdk "github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/nightlatch/nightlatch/internal/deadman"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	endpoint    latch.EndpointID    = "cvpn-endpoint-0123456789abcdef0"
	association latch.AssociationID = "cvpn-assoc-0123456789abcdef0"
	group                           = "nightlatch"
	role                            = "arn:aws:iam::111122223333:role/nightlatch-deadman"
)

var key = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

func config(client aws.HTTPClient) aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, ""),
		HTTPClient:  client,
	}
}

func over(t *testing.T, client aws.HTTPClient) *deadman.Deadman {
	t.Helper()
	d, err := deadman.New(deadman.Config{AWS: config(client), Group: group, RoleARN: role})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// cloud is two stand-ins: the scheduler that fires, and the EC2 that it calls.
type cloud struct {
	*testing.T
	ec2     *ec2.Server
	client  *ec2sdk.Client
	config  scheduler.Config
	clock   *scheduler.Server
	stop    context.CancelFunc
	running sync.WaitGroup

	mu sync.Mutex // guards wire
	// wire is what the scheduler calls EC2 through.
	wire roundTripper
}

func newAWS(t *testing.T, changes ...func(*ec2.Config, *scheduler.Config)) *cloud {
	lookup := func(id string) (sigv4.Credentials, bool) { return key, id == key.AccessKeyID }
	log := slog.New(slog.DiscardHandler)
	vpn := ec2.Config{
		Region: "us-east-1", AccountID: "111122223333", Credentials: lookup, Log: log,
		Endpoints: []ec2.Endpoint{{ID: string(endpoint), VpcID: "vpc-0a", ClientCIDR: "10.200.0.0/22", Subnets: []ec2.Subnet{
			{ID: "subnet-0a", AvailabilityZone: "us-east-1a", AvailabilityZoneID: "use1-az1", CIDR: "10.0.1.0/24"},
			{ID: "subnet-0b", AvailabilityZone: "us-east-1b", AvailabilityZoneID: "use1-az2", CIDR: "10.0.2.0/24"},
		}}},
	}
	a := &cloud{T: t}
	a.config = scheduler.Config{
		Region: "us-east-1", AccountID: "111122223333", Credentials: lookup, Log: log,
		EC2URL: "https://ec2.us-east-1.amazonaws.com", Caller: key, Groups: []string{group}, StateFile: filepath.Join(t.TempDir(), "scheduler.json"),
		Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			a.mu.Lock()
			defer a.mu.Unlock()
			return a.wire(r)
		})},
	}
	for _, change := range changes {
		change(&vpn, &a.config)
	}
	var err error
	if a.ec2, err = ec2.New(vpn); err != nil {
		t.Fatal(err)
	}
	wire := latchtest.InProcess{Handler: a.ec2.Handler()}
	a.client, a.wire = ec2sdk.NewFromConfig(config(wire)), wire.RoundTrip
	a.start()
	t.Cleanup(a.end)
	return a
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// through puts something between the scheduler and EC2.
func (a *cloud) through(f func(wire roundTripper, r *http.Request) (*http.Response, error)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	wire := a.wire
	a.wire = func(r *http.Request) (*http.Response, error) { return f(wire, r) }
}

func (a *cloud) start() {
	a.Helper()
	var err error
	if a.clock, err = scheduler.New(a.config); err != nil {
		a.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	a.running.Go(func() {
		if err := a.clock.Run(ctx); err != nil {
			a.Errorf("run: %v", err)
		}
	})
}

func (a *cloud) end() {
	a.stop()
	a.running.Wait()
}

func (a *cloud) switches() *deadman.Deadman {
	a.Helper()
	return over(a.T, latchtest.InProcess{Handler: a.clock.Handler()})
}

func (a *cloud) associate(subnet string) latch.AssociationID {
	a.Helper()
	out, err := a.client.AssociateClientVpnTargetNetwork(a.Context(), &ec2sdk.AssociateClientVpnTargetNetworkInput{
		ClientVpnEndpointId: new(string(endpoint)), SubnetId: new(subnet),
	})
	if err != nil {
		a.Fatal(err)
	}
	return latch.AssociationID(*out.AssociationId)
}

func (a *cloud) ended(id latch.AssociationID) bool {
	for _, x := range a.ec2.Snapshot().Endpoints[0].Associations {
		if x.ID == string(id) {
			return !x.Ended.IsZero()
		}
	}
	return true
}

// The adapter and the real SDK against the stand-ins, under the same suite as the fake.
func TestDeadmanOverTheWire(t *testing.T) {
	latchtest.TestDeadman(t, func(t *testing.T) latchtest.DeadmanBench {
		a := newAWS(t)
		b := latchtest.DeadmanBench{Deadman: a.switches(), Endpoint: endpoint, Ended: a.ended}
		for _, subnet := range []string{"subnet-0a", "subnet-0b"} {
			b.Associations = append(b.Associations, a.associate(subnet))
		}
		return b
	})
}

// A schedule fires at least once, and late where it must: it ends the association that it was made for and no other,
// and then it is gone.
func TestASwitchThatFiresLateOrTwice(t *testing.T) {
	const ahead = 30 * time.Minute
	for name, test := range map[string]func(*testing.T, *cloud, latch.AssociationID){
		"the scheduler was down at its time: it fires as soon as it is back": func(t *testing.T, a *cloud, id latch.AssociationID) {
			a.end()
			time.Sleep(ahead + time.Hour)
			if a.ended(id) {
				t.Fatal("the test wants it open still")
			}
			a.start()
			time.Sleep(time.Second)
			if !a.ended(id) {
				t.Error("the meter runs on")
			}
		},
		"EC2 throttles for an hour: it is tried until EC2 takes it": func(t *testing.T, a *cloud, id latch.AssociationID) {
			until := time.Now().Add(ahead + time.Hour)
			a.through(func(wire roundTripper, r *http.Request) (*http.Response, error) {
				if time.Now().Before(until) {
					w := httptest.NewRecorder()
					w.WriteHeader(http.StatusServiceUnavailable)
					io.WriteString(w, "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>Request limit exceeded.</Message></Error></Errors></Response>")
					return w.Result(), nil
				}
				return wire(r)
			})
			time.Sleep(time.Until(until))
			if a.ended(id) {
				t.Fatal("the test wants it open still")
			}
			time.Sleep(2 * time.Minute)
			if !a.ended(id) {
				t.Error("the meter runs on")
			}
		},
		"EC2's answer is lost: it fires twice, and the next association on the subnet stays": func(t *testing.T, a *cloud, id latch.AssociationID) {
			fired, next := 0, latch.AssociationID("")
			a.through(func(wire roundTripper, r *http.Request) (*http.Response, error) {
				answer, err := wire(r)
				if fired++; fired > 1 || err != nil {
					return answer, err
				}
				next = a.associate("subnet-0a") // somebody opens again between the two
				return nil, errors.New("connection reset by peer")
			})
			time.Sleep(ahead + 5*time.Minute)
			a.mu.Lock()
			defer a.mu.Unlock()
			if fired < 2 || !a.ended(id) {
				t.Fatalf("fired %d times, ended %v; the test wants it twice", fired, a.ended(id))
			}
			if next == "" || a.ended(next) {
				t.Errorf("the next association %q is ended with the old one's switch", next)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAWS(t)
				id := a.associate("subnet-0a")
				if err := a.switches().Arm(t.Context(), endpoint, id, time.Now().Add(ahead)); err != nil {
					t.Fatal(err)
				}
				test(t, a, id)
				time.Sleep(5 * time.Minute)
				w := httptest.NewRecorder()
				r := httptest.NewRequest(http.MethodGet, "/schedules?ScheduleGroup="+group, nil)
				sigv4.Sign(r, nil, key, "scheduler", "us-east-1", time.Now())
				a.clock.Handler().ServeHTTP(w, r)
				if body := w.Body.String(); w.Code != http.StatusOK || strings.Contains(body, string(id)) {
					t.Errorf("the schedule is left: %d %s", w.Code, body)
				}
			})
		})
	}
}

// request is what reached Scheduler.
type request struct{ method, path, body string }

// says answers every request the same way and remembers it.
func says(status int, code, body string, seen *[]request) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		*seen = append(*seen, request{r.Method, r.URL.Path, string(raw)})
		w.Header().Set("Content-Type", "application/json")
		if code != "" {
			w.Header().Set("X-Amzn-ErrorType", code)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

func TestSchedule(t *testing.T) {
	for name, test := range map[string]struct {
		ahead time.Duration
		want  string
	}{
		"a time of whole seconds":           {time.Hour, "at(2000-01-01T01:00:00)"},
		"a fraction is rounded up":          {time.Hour + time.Nanosecond, "at(2000-01-01T01:00:01)"},
		"a time too near is moved a little": {time.Second, "at(2000-01-01T00:01:00)"},
		"a time that has passed fires soon": {-time.Hour, "at(2000-01-01T00:01:00)"},
		"a time of tomorrow keeps its date": {36 * time.Hour, "at(2000-01-02T12:00:00)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen []request
				d := over(t, latchtest.InProcess{Handler: says(200, "", `{"ScheduleArn":"arn"}`, &seen)})
				// Written in another zone: the schedule is in UTC.
				at := time.Now().Add(test.ahead).In(time.FixedZone("KST", 9*60*60))
				if err := d.Arm(t.Context(), endpoint, association, at); err != nil {
					t.Fatal(err)
				}
				if len(seen) != 1 || seen[0].method != "POST" || seen[0].path != "/schedules/nightlatch-"+string(association) {
					t.Fatalf("got %+v", seen)
				}
				var body map[string]any
				if err := json.NewDecoder(bytes.NewBufferString(seen[0].body)).Decode(&body); err != nil {
					t.Fatal(err)
				}
				if body["ClientToken"] == "" || body["Description"] == "" {
					t.Errorf("got %v", body)
				}
				delete(body, "ClientToken")
				delete(body, "Description")
				got, err := json.Marshal(body)
				if err != nil {
					t.Fatal(err)
				}
				want := `{"ActionAfterCompletion":"DELETE","FlexibleTimeWindow":{"Mode":"OFF"},"GroupName":"nightlatch","ScheduleExpression":"` + test.want +
					`","ScheduleExpressionTimezone":"UTC","Target":{"Arn":"arn:aws:scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork",` +
					`"Input":"{\"AssociationId\":\"` + string(association) + `\",\"ClientVpnEndpointId\":\"` + string(endpoint) + `\"}",` +
					`"RetryPolicy":{"MaximumEventAgeInSeconds":86400,"MaximumRetryAttempts":185},"RoleArn":"` + role + `"}}`
				if string(got) != want {
					t.Errorf("\n got %s\nwant %s", got, want)
				}
			})
		})
	}
}

// TestDeadLetters: the queue goes into the schedule, and what is none is refused before anything is made.
func TestDeadLetters(t *testing.T) {
	var seen []request
	c := deadman.Config{AWS: config(latchtest.InProcess{Handler: says(200, "", `{"ScheduleArn":"arn"}`, &seen)}), Group: group, RoleARN: role,
		DeadLetterARN: "arn:aws:sqs:us-east-1:111122223333:dead"}
	d, err := deadman.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Arm(t.Context(), endpoint, association, time.Now()); err != nil {
		t.Fatal(err)
	}
	if want := `"DeadLetterConfig":{"Arn":"arn:aws:sqs:us-east-1:111122223333:dead"}`; !strings.Contains(seen[0].body, want) {
		t.Errorf("got %s, want %s in it", seen[0].body, want)
	}
	for _, arn := range []string{"dead", "arn:aws:sns:us-east-1:111122223333:dead", "arn:aws:sqs:us-east-1:111122223333:dead.fifo"} {
		c.DeadLetterARN = arn
		if _, err := deadman.New(c); err == nil || !strings.Contains(err.Error(), "standard SQS queue") {
			t.Errorf("%s: got %v, want that it is no such queue", arn, err)
		}
	}
}

func TestPartition(t *testing.T) {
	var seen []request
	d, err := deadman.New(deadman.Config{
		AWS: config(latchtest.InProcess{Handler: says(200, "", `{"ScheduleArn":"arn"}`, &seen)}), Group: group,
		RoleARN: "arn:aws-us-gov:iam::111122223333:role/path/nightlatch",
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Arm(t.Context(), endpoint, association, time.Now()); err != nil {
		t.Fatal(err)
	}
	if want := `"arn:aws-us-gov:scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork"`; !strings.Contains(seen[0].body, want) {
		t.Errorf("got %s, want %s in it", seen[0].body, want)
	}
}

// The one translation of Scheduler's codes, for both methods; nil is success.
func TestErrors(t *testing.T) {
	for code, want := range map[string]struct {
		status      int
		arm, disarm error
	}{
		"ConflictException":             {409, latch.ErrBusy, latch.ErrBusy}, // for a create: also for the look that follows it
		"ResourceNotFoundException":     {404, latch.ErrRefused, nil},
		"ThrottlingException":           {429, latch.ErrBusy, latch.ErrBusy},
		"TooManyRequestsException":      {429, latch.ErrBusy, latch.ErrBusy},
		"InternalServerException":       {500, latch.ErrUnavailable, latch.ErrUnavailable},
		"InternalFailure":               {500, latch.ErrUnavailable, latch.ErrUnavailable},
		"ServiceUnavailable":            {503, latch.ErrUnavailable, latch.ErrUnavailable},
		"RequestTimeoutException":       {408, latch.ErrUnavailable, latch.ErrUnavailable},
		"SomethingNewAndBroken":         {503, latch.ErrUnavailable, latch.ErrUnavailable},
		"ServiceQuotaExceededException": {402, latch.ErrRefused, latch.ErrRefused},
		"ValidationException":           {400, latch.ErrRefused, latch.ErrRefused},
		"AccessDeniedException":         {403, latch.ErrRefused, latch.ErrRefused},
		"UnrecognizedClientException":   {403, latch.ErrRefused, latch.ErrRefused},
		"InvalidSignatureException":     {403, latch.ErrRefused, latch.ErrRefused},
		"ExpiredTokenException":         {403, latch.ErrRefused, latch.ErrRefused},
		"OptInRequired":                 {403, latch.ErrRefused, latch.ErrRefused},
		"SomethingNew":                  {400, latch.ErrRefused, latch.ErrRefused},
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var seen []request
				d := over(t, latchtest.InProcess{Handler: says(want.status, code, `{"Message":"AWS's own words"}`, &seen)})
				for method, test := range map[string]struct{ got, want error }{
					"arm":    {d.Arm(t.Context(), endpoint, association, time.Now()), want.arm},
					"disarm": {d.Disarm(t.Context(), endpoint, association), want.disarm},
				} {
					f, ok := errors.AsType[*latch.Fault](test.got)
					switch {
					case !errors.Is(test.got, test.want):
						t.Errorf("%s: got %v, want %v", method, test.got, test.want)
					case test.want != nil && (!ok || *f != latch.Fault{Service: "scheduler", Code: code, Message: "AWS's own words"}):
						t.Errorf("%s: got %v, want AWS's words in the chain", method, test.got)
					}
				}
			})
		})
	}
}

// TestAConflictIsASwitchOnlyIfOneIsThere: Scheduler answers with a conflict also when something else is being changed.
func TestAConflictIsASwitchOnlyIfOneIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		answer string
		want   error
	}{
		"it is there":           {200, `{"Name":"nightlatch-x","State":"ENABLED"}`, nil},
		"it is there, disabled": {200, `{"Name":"nightlatch-x","State":"DISABLED"}`, latch.ErrRefused},
		"it is not there":       {404, `{"Message":"Schedule nightlatch-x does not exist."}`, latch.ErrBusy},
		"nobody may look":       {403, `{"Message":"not authorized"}`, latch.ErrRefused},
		"nobody can say":        {500, `{"Message":"fault"}`, latch.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := over(t, latchtest.InProcess{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "application/json")
					if r.Method == http.MethodGet {
						w.Header().Set("X-Amzn-ErrorType", map[int]string{403: "AccessDeniedException", 404: "ResourceNotFoundException", 500: "InternalServerException"}[tt.status])
						w.WriteHeader(tt.status)
						io.WriteString(w, tt.answer)
						return
					}
					w.Header().Set("X-Amzn-ErrorType", "ConflictException")
					w.WriteHeader(http.StatusConflict)
					io.WriteString(w, `{"Message":"conflict"}`)
				})})
				if err := d.Arm(t.Context(), endpoint, association, time.Now()); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
			})
		})
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestNoAnswer(t *testing.T) {
	for name, client := range map[string]aws.HTTPClient{
		"nobody there": doer(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }),
		"silence":      doer(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }),
		"a proxy's page": latchtest.InProcess{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "<html>Forbidden</html>", http.StatusForbidden)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := over(t, client).Disarm(t.Context(), endpoint, association)
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, latch.ErrUnavailable) || !ok || f.Service != "scheduler" || f.Message == "" {
					t.Errorf("got %v, want %v with a fault", err, latch.ErrUnavailable)
				}
				if took := time.Since(began); took > 10*time.Second {
					t.Errorf("took %v; a request must not hang", took)
				}
			})
		})
	}
}

func TestNewChecks(t *testing.T) {
	for name, spoil := range map[string]func(*deadman.Config){
		"Region":      func(c *deadman.Config) { c.AWS.Region = "" },
		"Credentials": func(c *deadman.Config) { c.AWS.Credentials = nil },
		"Group":       func(c *deadman.Config) { c.Group = "" },
		"RoleARN":     func(c *deadman.Config) { c.RoleARN = "nightlatch-deadman" },
	} {
		c := deadman.Config{AWS: config(nil), Group: group, RoleARN: role}
		spoil(&c)
		if _, err := deadman.New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}
