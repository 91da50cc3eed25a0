package clientvpn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

const endpoint latch.EndpointID = "cvpn-endpoint-0123456789abcdef0"

// answer is what the fake EC2 says to one call.
type answer struct {
	status int
	body   string
}

// canned answers each action by its function and remembers the calls. It checks nothing: that is the stand-in's part.
type canned struct {
	mu      sync.Mutex
	actions []string
	forms   []url.Values
	answers map[string]func(form url.Values) answer
}

func (e *canned) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	action := r.PostForm.Get("Action")
	e.mu.Lock()
	e.actions, e.forms = append(e.actions, action), append(e.forms, r.PostForm)
	reply, ok := e.answers[action]
	e.mu.Unlock()
	a := fault(http.StatusBadRequest, "InvalidAction", action)
	if ok {
		a = reply(r.PostForm)
	}
	w.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

func fault(status int, code, message string) answer {
	return answer{status, `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>` + code + `</Code><Message>` + message +
		`</Message></Error></Errors><RequestID>ea966190-f9aa-478e-9ede-example</RequestID></Response>`}
}

// say answers an action with the same body each time.
func say(action, inner string) func(url.Values) answer {
	return func(url.Values) answer {
		return answer{http.StatusOK, fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?><%[1]sResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><requestId>r</requestId>%[2]s</%[1]sResponse>`, action, inner)}
	}
}

// healthy is an endpoint that is open on one subnet, with a user.
func healthy() map[string]func(url.Values) answer {
	return map[string]func(url.Values) answer{
		"DescribeClientVpnEndpoints": say("DescribeClientVpnEndpoints", `<clientVpnEndpoint><item><clientVpnEndpointId>`+string(endpoint)+
			`</clientVpnEndpointId><status><code>available</code><message>fine</message></status></item></clientVpnEndpoint>`),
		"DescribeClientVpnTargetNetworks": say("DescribeClientVpnTargetNetworks", `<clientVpnTargetNetworks><item><associationId>cvpn-assoc-1</associationId>`+
			`<targetNetworkId>subnet-a</targetNetworkId><status><code>associated</code></status></item></clientVpnTargetNetworks>`),
		"DescribeClientVpnRoutes": say("DescribeClientVpnRoutes", `<routes><item><destinationCidr>10.0.0.0/16</destinationCidr><targetSubnet>subnet-a</targetSubnet>`+
			`<origin>associate</origin><status><code>active</code></status><description>Default Route</description></item></routes>`),
		"DescribeClientVpnConnections": say("DescribeClientVpnConnections", `<connections>`+
			`<item><connectionId>cvpn-connection-1</connectionId><username>alice</username><ingressBytes>4294967296</ingressBytes><egressBytes>1</egressBytes><status><code>active</code></status></item>`+
			`<item><connectionId>cvpn-connection-2</connectionId><status><code>terminated</code></status></item></connections>`),
	}
}

func open(t *testing.T, answers map[string]func(url.Values) answer) (*VPN, *canned) {
	t.Helper()
	e := &canned{answers: answers}
	v, err := New(Config{AWS: config(e), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return v, e
}

func config(h http.Handler) aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", ""),
		HTTPClient:  latchtest.InProcess{Handler: h},
	}
}

func TestObserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, e := open(t, healthy())
		got, err := v.Observe(t.Context(), endpoint)
		if err != nil {
			t.Fatal(err)
		}
		want := latch.Observation{
			At: time.Now(), Endpoint: endpoint, Status: latch.Available, StatusMessage: "fine",
			Associations: []latch.Association{{ID: "cvpn-assoc-1", Subnet: "subnet-a", Status: latch.Associated}},
			Routes:       []latch.Route{{Destination: "10.0.0.0/16", Subnet: "subnet-a", Origin: latch.OriginAssociate, Status: latch.Active, Description: "Default Route"}},
			Connections: []latch.Connection{
				{ID: "cvpn-connection-1", User: "alice", Status: latch.Active, Bytes: 1<<32 + 1},
				{ID: "cvpn-connection-2", Status: "terminated"},
			},
		}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			t.Errorf("\n got %s\nwant %s", g, w)
		}
		if len(e.actions) != 4 {
			t.Fatalf("read %v", e.actions)
		}
		slices.Sort(e.actions[:2]) // these two at once, and then the other two
		slices.Sort(e.actions[2:])
		order := []string{"DescribeClientVpnConnections", "DescribeClientVpnRoutes", "DescribeClientVpnEndpoints", "DescribeClientVpnTargetNetworks"}
		if !slices.Equal(e.actions, order) {
			t.Errorf("read in the order %v, want %v: else a disassociation between two reads looks like lost routes", e.actions, order)
		}
	})
}

func TestObserveReadsEveryPage(t *testing.T) {
	answers := healthy()
	answers["DescribeClientVpnRoutes"] = func(form url.Values) answer {
		page := form.Get("NextToken")
		next := map[string]string{"": "p2", "p2": "p3"}[page]
		return say("DescribeClientVpnRoutes", `<routes><item><destinationCidr>10.9.0.0/16</destinationCidr><description>`+page+
			`</description></item></routes><nextToken>`+next+`</nextToken>`)(form)
	}
	v, _ := open(t, answers)
	o, err := v.Observe(t.Context(), endpoint)
	if err != nil {
		t.Fatal(err)
	}
	var pages []string
	for _, r := range o.Routes {
		pages = append(pages, r.Description)
	}
	if want := []string{"", "p2", "p3"}; !slices.Equal(pages, want) {
		t.Errorf("got pages %q, want %q: a route not seen is a route forgotten", pages, want)
	}
}

func TestObserveRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		action, body string
		want         error
		says         string
	}{
		"an endpoint at a transit gateway": {
			"DescribeClientVpnEndpoints", `<clientVpnEndpoint><item><clientVpnEndpointId>` + string(endpoint) + `</clientVpnEndpointId><status><code>pending</code></status>` +
				`<transitGatewayConfiguration><transitGatewayId>tgw-1</transitGatewayId></transitGatewayConfiguration></item></clientVpnEndpoint>`,
			latch.ErrNotReady, "tgw-1",
		},
		"an answer about another endpoint": {
			"DescribeClientVpnEndpoints", `<clientVpnEndpoint><item><clientVpnEndpointId>cvpn-endpoint-9</clientVpnEndpointId><status><code>available</code></status></item></clientVpnEndpoint>`,
			latch.ErrUnavailable, "not in the answer",
		},
		"a byte counter that is none": {
			"DescribeClientVpnConnections", `<connections><item><connectionId>cvpn-connection-1</connectionId><ingressBytes>many</ingressBytes><status><code>active</code></status></item></connections>`,
			latch.ErrUnavailable, `connection cvpn-connection-1 reports "many" bytes`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			answers := healthy()
			answers[test.action] = say(test.action, test.body)
			v, _ := open(t, answers)
			o, err := v.Observe(t.Context(), endpoint)
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got %v, want %v with %q", err, test.want, test.says)
			}
			if o.Endpoint != "" {
				t.Errorf("got %+v beside the error; half a picture is none", o)
			}
		})
	}
}

// The one translation of EC2's codes.
func TestErrors(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		kind   error
	}{
		"RequestLimitExceeded":                      {503, latch.ErrBusy},
		"Throttling":                                {400, latch.ErrBusy},
		"ThrottlingException":                       {400, latch.ErrBusy},
		"EC2ThrottledException":                     {503, latch.ErrBusy},
		"TooManyRequestsException":                  {429, latch.ErrBusy},
		"ConcurrentMutationLimitExceeded":           {400, latch.ErrBusy},
		"OperationNotPermitted":                     {400, latch.ErrBusy},
		"RequestThrottled":                          {400, latch.ErrBusy},
		"InvalidClientVpnEndpointId.NotFound":       {400, latch.ErrNotFound},
		"InvalidClientVpnSubnetId.NotFound":         {400, latch.ErrNotFound},
		"InvalidSubnetID.NotFound":                  {400, latch.ErrNotFound},
		"InvalidVpcID.NotFound":                     {400, latch.ErrNotFound},
		"InvalidGroup.NotFound":                     {400, latch.ErrNotFound},
		"InvalidSecurityGroupID.NotFound":           {400, latch.ErrNotFound},
		"InvalidClientVpnAssociationIdNotFound":     {400, latch.ErrNotFound},
		"InvalidClientVpnActiveAssociationNotFound": {400, latch.ErrTooEarly},
		"IncorrectState":                            {400, latch.ErrTooEarly},
		"UnauthorizedOperation":                     {403, latch.ErrRefused},
		"AuthFailure":                               {401, latch.ErrRefused},
		"RequestExpired":                            {400, latch.ErrRefused},
		"OptInRequired":                             {401, latch.ErrRefused},
		"Blocked":                                   {403, latch.ErrRefused},
		"InvalidParameterValue":                     {400, latch.ErrRefused},
		"IdempotentParameterMismatch":               {400, latch.ErrRefused},
		"InvalidClientVpnSubnetId.DifferentAccount": {400, latch.ErrRefused},
		"InvalidClientVpnSubnetId.OverlappingCidr":  {400, latch.ErrRefused},
		"InvalidClientVpnSubnetId.DuplicateAz":      {400, latch.ErrRefused},
		"InsufficientFreeAddressesInSubnet":         {400, latch.ErrRefused},
		"ResourceLimitExceeded":                     {400, latch.ErrRefused},
		"MissingParameter":                          {400, latch.ErrRefused},
		"InvalidPaginationToken":                    {400, latch.ErrRefused},
		"PendingVerification":                       {400, latch.ErrRefused},
		"ClientVpnRouteLimitExceeded":               {400, latch.ErrRefused},
		"InternalError":                             {500, latch.ErrUnavailable},
		"InternalFailure":                           {500, latch.ErrUnavailable},
		"ServerInternal":                            {500, latch.ErrUnavailable},
		"ServiceUnavailable":                        {503, latch.ErrUnavailable},
		"Unavailable":                               {503, latch.ErrUnavailable},
		"RequestTimeout":                            {400, latch.ErrUnavailable},
		"SomethingNew":                              {400, latch.ErrRefused},
		"SomethingNewAndBroken":                     {502, latch.ErrUnavailable},
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v, _ := open(t, map[string]func(url.Values) answer{
					"CreateClientVpnRoute": func(url.Values) answer { return fault(want.status, code, "AWS's own words") },
				})
				err := v.CreateRoute(t.Context(), endpoint, latch.Route{Destination: "10.9.0.0/16", Subnet: "subnet-a"})
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, want.kind) || !ok || *f != (latch.Fault{Service: "ec2", Code: code, Message: "AWS's own words"}) {
					t.Errorf("got %v, want %v with the fault in the chain", err, want.kind)
				}
				text := "create route 10.9.0.0/16 over subnet-a: " + want.kind.Error() + ": ec2: " + code + ": AWS's own words (request ea966190-f9aa-478e-9ede-example)"
				if err.Error() != text {
					t.Errorf("got text %q\nwant %q", err, text)
				}
				for _, other := range []error{latch.ErrBusy, latch.ErrNotFound, latch.ErrTooEarly, latch.ErrRefused, latch.ErrUnavailable} {
					if other != want.kind && errors.Is(err, other) {
						t.Errorf("%v is also %v", err, other)
					}
				}
			})
		})
	}
}

func TestNoAnswer(t *testing.T) {
	for name, client := range map[string]aws.HTTPClient{
		"nobody there": doer(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }),
		"a proxy's page": latchtest.InProcess{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "<html>Forbidden</html>", http.StatusForbidden)
		})},
		"silence": doer(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := config(nil)
				c.HTTPClient = client
				v, err := New(Config{AWS: c, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err = v.Observe(t.Context(), endpoint)
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, latch.ErrUnavailable) || !ok || f.Service != "ec2" || f.Message == "" {
					t.Errorf("got %v, want %v with a fault", err, latch.ErrUnavailable)
				}
				if took := time.Since(began); took > patience {
					t.Errorf("took %v, a request must not hang longer than %v", took, patience)
				}
			})
		})
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestCallsAreTriedAFewTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v, e := open(t, map[string]func(url.Values) answer{
			"AssociateClientVpnTargetNetwork": func(url.Values) answer { return fault(500, "InternalError", "try again") },
		})
		if _, err := v.Associate(t.Context(), endpoint, "subnet-a", "token"); !errors.Is(err, latch.ErrUnavailable) {
			t.Errorf("got %v, want %v", err, latch.ErrUnavailable)
		}
		if len(e.forms) != attempts {
			t.Errorf("got %d attempts, want %d", len(e.forms), attempts)
		}
		for _, f := range e.forms {
			if f.Get("ClientToken") != "token" {
				t.Errorf("got token %q in a retry, want the caller's: else one wish is two associations", f.Get("ClientToken"))
			}
		}
	})
}

// busy accepts one call of an action in each interval, because other programs of the account use the rest, and counts
// those that it refuses.
type busy struct {
	every time.Duration

	mu       sync.Mutex // guards the rest
	accepted map[string]time.Time
	refused  int
}

func (c *busy) accepts(action string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.accepted[action]) >= c.every {
		c.accepted[action] = now
		return true
	}
	c.refused++
	return false
}

func (c *busy) before(answers map[string]func(url.Values) answer) map[string]func(url.Values) answer {
	c.accepted = map[string]time.Time{}
	for action, say := range answers {
		answers[action] = func(form url.Values) answer {
			if !c.accepts(action) {
				return fault(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded.")
			}
			return say(form)
		}
	}
	return answers
}

// observeAll is a beat's way through many endpoints: how many could not be observed.
func observeAll(ctx context.Context, v *VPN, endpoints, wide int) (failed int) {
	var mu sync.Mutex // guards failed
	var all sync.WaitGroup
	slots := make(chan struct{}, wide)
	for range endpoints {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if _, err := v.Observe(ctx, endpoint); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed++
			}
		})
	}
	all.Wait()
	return failed
}

func TestWhoIsThrottled(t *testing.T) {
	t.Run("a few, or somebody waits: three tries, two seconds, and an answer", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			v, e := open(t, (&busy{every: time.Hour}).before(healthy()))
			began := time.Now()
			if failed := observeAll(t.Context(), v, 5, 5); failed < 4 {
				t.Errorf("%d of 5 failed, though of each action one was let through", failed)
			}
			if took := time.Since(began); took > attempts*maxBackoff {
				t.Errorf("took %v, want at most %v: a person waits", took, attempts*maxBackoff)
			}
			if most := 5 * 4 * attempts; len(e.actions) > most {
				t.Errorf("got %d calls, want %d at most", len(e.actions), most)
			}
		})
	})
	// Not in a bubble: the SDK's limiter rounds short waits down to nothing, with which a bubble's clock stands still.
	t.Run("a crowd: all get through, one after the other", func(t *testing.T) {
		t.Parallel()
		c := &busy{every: 100 * time.Millisecond}
		e := &canned{answers: c.before(healthy())}
		v, err := New(Config{AWS: config(e), Crowded: true, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if failed := observeAll(t.Context(), v, 5, 5); failed != 0 || c.refused == 0 {
			t.Errorf("%d of 5 failed after %d refusals, want none after some", failed, c.refused)
		}
	})
}

// BenchmarkCrowdedAccount is a beat of fifty endpoints, eight at a time, in an account that leaves each of EC2's actions
// five calls a second.
func BenchmarkCrowdedAccount(b *testing.B) {
	for _, crowd := range []bool{false, true} {
		b.Run(fmt.Sprintf("crowded=%v", crowd), func(b *testing.B) {
			failed, refused := 0, 0
			for b.Loop() {
				c := &busy{every: 200 * time.Millisecond}
				v, err := New(Config{AWS: config(&canned{answers: c.before(healthy())}), Crowded: crowd, Log: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				failed += observeAll(b.Context(), v, 50, 8)
				refused += c.refused
			}
			b.ReportMetric(float64(failed)/float64(b.N), "failed/op")
			b.ReportMetric(float64(refused)/float64(b.N), "refused/op")
		})
	}
}

func TestDuplicates(t *testing.T) {
	listed := func(subnet, status string) string {
		return `<clientVpnTargetNetworks><item><associationId>cvpn-assoc-0</associationId><targetNetworkId>subnet-a</targetNetworkId><status><code>disassociated</code></status></item>` +
			`<item><associationId>cvpn-assoc-1</associationId><targetNetworkId>` + subnet + `</targetNetworkId><status><code>` + status + `</code></status></item></clientVpnTargetNetworks>`
	}
	for name, test := range map[string]struct {
		code, listed string
		want         latch.AssociationID
		kind         error
	}{
		"associated already":                            {"InvalidClientVpnDuplicateAssociationException", listed("subnet-a", "associated"), "cvpn-assoc-1", nil},
		"the code without its suffix":                   {"InvalidClientVpnDuplicateAssociation", listed("subnet-a", "associating"), "cvpn-assoc-1", nil},
		"the other code for it":                         {"ClientVpnEndpointAssociationExists", listed("subnet-a", "associated"), "cvpn-assoc-1", nil},
		"a failed one, which the latch clears":          {"InvalidClientVpnDuplicateAssociationException", listed("subnet-a", "association-failed"), "cvpn-assoc-1", nil},
		"one that is leaving":                           {"InvalidClientVpnDuplicateAssociationException", listed("subnet-a", "disassociating"), "", latch.ErrTooEarly},
		"one that is not listed yet":                    {"InvalidClientVpnDuplicateAssociationException", listed("subnet-b", "associated"), "", latch.ErrTooEarly},
		"the zone is taken by this very subnet":         {"InvalidClientVpnSubnetId.DuplicateAz", listed("subnet-a", "associated"), "cvpn-assoc-1", nil},
		"the zone is taken by another subnet":           {"InvalidClientVpnSubnetId.DuplicateAz", listed("subnet-b", "associated"), "", latch.ErrRefused},
		"the zone is taken by this subnet that leaves":  {"InvalidClientVpnSubnetId.DuplicateAz", listed("subnet-a", "disassociating"), "", latch.ErrTooEarly},
		"a mismatch of tokens is refused and not found": {"IdempotentParameterMismatch", listed("subnet-a", "associated"), "", latch.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			answers := healthy()
			answers["AssociateClientVpnTargetNetwork"] = func(url.Values) answer { return fault(400, test.code, "no") }
			answers["DescribeClientVpnTargetNetworks"] = say("DescribeClientVpnTargetNetworks", test.listed)
			v, _ := open(t, answers)
			a, err := v.Associate(t.Context(), endpoint, "subnet-a", "token")
			if a.ID != test.want || !errors.Is(err, test.kind) {
				t.Errorf("got %+v, %v, want %q, %v", a, err, test.want, test.kind)
			}
			if f, ok := errors.AsType[*latch.Fault](err); test.kind != nil && (!ok || f.Code != test.code) {
				t.Errorf("got %v, want EC2's code %s in the chain", err, test.code)
			}
		})
	}
}

func TestCreateRouteHasAFreshToken(t *testing.T) {
	v, e := open(t, map[string]func(url.Values) answer{
		"CreateClientVpnRoute": say("CreateClientVpnRoute", `<status><code>creating</code></status>`),
	})
	for range 2 {
		if err := v.CreateRoute(t.Context(), endpoint, latch.Route{Destination: "10.9.0.0/16", Subnet: "subnet-a"}); err != nil {
			t.Fatal(err)
		}
	}
	first, second := e.forms[0].Get("ClientToken"), e.forms[1].Get("ClientToken")
	if first == "" || first == second {
		t.Errorf("got tokens %q and %q: a token of yesterday's opening may be answered with yesterday's route", first, second)
	}
	if e.forms[0].Has("Description") {
		t.Error("a route without a description is sent without one")
	}
}

func TestNewChecks(t *testing.T) {
	whole := Config{AWS: config(nil), Log: slog.New(slog.DiscardHandler)}
	for name, spoil := range map[string]func(*Config){
		"Region":      func(c *Config) { c.AWS.Region = "" },
		"Credentials": func(c *Config) { c.AWS.Credentials = nil },
		"Log":         func(c *Config) { c.Log = nil },
	} {
		c := whole
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}

// The suite's "gave up" cases end before the call; this one ends during it.
func TestCallerGivesUpMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		c := config(nil)
		c.HTTPClient = doer(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() })
		v, err := New(Config{AWS: c, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err = v.Disassociate(ctx, endpoint, "cvpn-assoc-1")
		if !errors.Is(err, latch.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("got %v after %v, want %v at the deadline", err, time.Since(began), latch.ErrUnavailable)
		}
	})
}
