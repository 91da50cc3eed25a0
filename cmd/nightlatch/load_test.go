//go:build !lambda

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/lambdahost"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
	"github.com/nightlatch/nightlatch/internal/standin/alb"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/store"
)

// The load figures. All of them run the product's own code, adapters and AWS SDK included, against the stand-ins' own
// handlers, in one process and without sockets:
//
//	go test -bench Load -run '^$' ./cmd/nightlatch
//
// prints them; the tests hold smaller ones to the same bounds.

// rig is the chain behind the load balancer's address, or less of it.
type rig struct {
	testing.TB
	config *config.Config
	client *http.Client // reaches AWS, and counts
	pause  func()       // how long each call takes, beside the work; nil is nothing
	env    func(string) string
	ec2    *ec2.Server
	alb    http.Handler
	log    *slog.Logger

	mu       sync.Mutex // guards what follows
	calls    map[string]int
	refused  int                                                   // EC2's throttling
	fronts   []func(context.Context, json.RawMessage) (any, error) // warm instances of the front function
	made     int                                                   // instances of it
	handlers map[string]http.Handler
}

// newRig makes so many endpoints of two subnets each.
func newRig(tb testing.TB, endpoints int, associate time.Duration) *rig {
	tb.Helper()
	key := sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	lookup := func(id string) (sigv4.Credentials, bool) { return key, id == key.AccessKeyID }
	g := &rig{TB: tb, calls: map[string]int{}, log: slog.New(slog.DiscardHandler)}
	g.client = &http.Client{Transport: g}
	g.env = func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": key.AccessKeyID, "AWS_SECRET_ACCESS_KEY": key.SecretAccessKey}[name]
	}
	g.config = &config.Config{Region: demoRegion, Table: demoTable, BeatFor: 50 * time.Second,
		ALB: &config.ALB{ClientID: "load", Issuer: "https://" + hostIDP + "/load", LogoutURL: "https://idp.localhost/logout", SignInOrigins: []string{"https://idp.localhost"}, SessionCookie: "AWSELBAuthSessionCookie"}}
	var cloud []ec2.Endpoint
	for i := range endpoints {
		e := config.Endpoint{Region: demoRegion, Deadman: config.Deadman{Group: demoGroup, RoleARN: "arn:aws:iam::" + demoAccount + ":role/nightlatch-deadman"}, Name: fmt.Sprint("e", i), ID: latch.EndpointID(fmt.Sprintf("cvpn-endpoint-%017x", i+1)), Policy: latch.DefaultPolicy()}
		c := ec2.Endpoint{ID: string(e.ID), VpcID: fmt.Sprintf("vpc-%017x", i+1), ClientCIDR: "10.200.0.0/22"}
		for z, zone := range []string{"a", "b"} {
			s := ec2.Subnet{ID: fmt.Sprintf("subnet-%016x%s", i+1, zone), AvailabilityZone: demoRegion + zone, AvailabilityZoneID: fmt.Sprint("use1-az", z+1), CIDR: fmt.Sprintf("10.0.%d.0/24", z+1)}
			c.Subnets = append(c.Subnets, s)
			e.Policy.Subnets = append(e.Policy.Subnets, latch.SubnetID(s.ID))
		}
		e.Policy.Routes = []latch.Route{{Destination: "10.20.0.0/16"}}
		g.config.Endpoints, cloud = append(g.config.Endpoints, e), append(cloud, c)
	}
	var err error
	must := func(e error) {
		tb.Helper()
		if e != nil {
			tb.Fatal(e)
		}
	}
	g.ec2, err = ec2.New(ec2.Config{Region: demoRegion, AccountID: demoAccount, Credentials: lookup, Endpoints: cloud, Throttle: true, Log: g.log,
		AssociateTakes: associate, DisassociateTakes: associate, RouteTakes: associate / 4})
	must(err)
	tables, err := dynamodb.New(dynamodb.Config{Region: demoRegion, AccountID: demoAccount, Credentials: lookup, Log: g.log,
		Tables: []dynamodb.Table{{Name: demoTable, Partition: "pk", Sort: "sk"}}})
	must(err)
	clock, err := scheduler.New(scheduler.Config{Region: demoRegion, AccountID: demoAccount, Credentials: lookup, Log: g.log, Groups: []string{demoGroup},
		EC2URL: "https://" + hostEC2, Caller: key, Client: g.client})
	must(err)
	balancer, err := alb.New(alb.Config{
		Region: demoRegion, AccountID: demoAccount, Name: "load", AuthorizationEndpoint: "https://idp.localhost/authorize",
		TokenEndpoint: "https://idp.localhost/token", UserInfoEndpoint: "https://idp.localhost/userinfo",
		Issuer: g.config.ALB.Issuer, ClientID: g.config.ALB.ClientID, ClientSecret: "secret", LambdaURL: "https://" + hostLambda,
		FunctionARN: "arn:aws:lambda:" + demoRegion + ":" + demoAccount + ":function:nightlatch", Caller: key, MultiValueHeaders: true, Client: g.client, Log: g.log,
	})
	must(err)
	g.alb, g.config.ALB.ARN = balancer.Handler(), balancer.ARN()
	g.handlers = map[string]http.Handler{hostEC2: g.ec2.Handler(), hostDynamoDB: tables.Handler(), hostScheduler: clock.Handler(),
		hostKeys: balancer.KeyHandler(), hostLambda: http.HandlerFunc(g.invoke), "idp.localhost": http.HandlerFunc(g.idp)}
	return g
}

// RoundTrip carries a request to a stand-in: written out and read again, so that what is signed is what went over.
func (g *rig) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := context.Cause(r.Context()); err != nil {
		return nil, err
	}
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		return nil, err
	}
	what := ""
	if body := wire.Bytes(); r.URL.Host == hostEC2 {
		_, after, _ := bytes.Cut(body, []byte("Action="))
		action, _, _ := bytes.Cut(after, []byte("&"))
		what = "ec2 " + string(action)
	} else if r.URL.Host == hostDynamoDB {
		what = "dynamodb " + r.Header.Get("X-Amz-Target")[len("DynamoDB_20120810."):]
	}
	received, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return nil, err
	}
	if g.pause != nil {
		g.pause()
	}
	h := g.handlers[r.URL.Host]
	if h == nil {
		return nil, fmt.Errorf("nobody answers for %s", r.URL.Host)
	}
	received.RemoteAddr = "127.0.0.1:50000"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, received.WithContext(r.Context()))
	g.mu.Lock()
	g.calls[what]++
	if r.URL.Host == hostEC2 && w.Code == http.StatusServiceUnavailable {
		g.refused++
	}
	g.mu.Unlock()
	answer := w.Result()
	answer.Request = r
	return answer, nil
}

// count sums the calls whose names begin so, since the last reset.
func (g *rig) count(prefix string) (n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for what, made := range g.calls {
		if strings.HasPrefix(what, prefix) {
			n += made
		}
	}
	return n
}

func (g *rig) reset() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.calls)
	g.refused = 0
}

func (g *rig) list() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, what := range slices.Sorted(maps.Keys(g.calls)) {
		if what != "" {
			all = append(all, fmt.Sprintf("%s %d", what, g.calls[what]))
		}
	}
	return strings.Join(all, ", ")
}

func (g *rig) keeper() *latch.Keeper {
	g.Helper()
	cfg, err := awsConfig(g.env, g.config.Region, g.client)
	if err != nil {
		g.Fatal(err)
	}
	k, err := newKeeper(g.config, cfg, true, nil, g.log)
	if err != nil {
		g.Fatal(err)
	}
	return k
}

func (g *rig) people() *store.Store {
	g.Helper()
	cfg, err := awsConfig(g.env, g.config.Region, g.client)
	if err != nil {
		g.Fatal(err)
	}
	s, err := store.New(store.Config{AWS: cfg, Table: g.config.Table})
	if err != nil {
		g.Fatal(err)
	}
	return s
}

// invoke is Lambda: an event that finds no warm instance gets a new one, and no instance has two events at once.
func (g *rig) invoke(w http.ResponseWriter, r *http.Request) {
	event, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	g.mu.Lock()
	var front func(context.Context, json.RawMessage) (any, error)
	if n := len(g.fronts); n > 0 {
		front, g.fronts = g.fronts[n-1], g.fronts[:n-1]
	} else {
		g.made++
	}
	g.mu.Unlock()
	if front == nil {
		pages, err := newFront(g.config, g.keeper(), g.people(), secret.String{}, g.client, nil, g.log)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		front = lambdahost.ALB(pages, g.log)
	}
	// The longest that the load balancer waits: it is the product that is measured, not the processors of this machine.
	ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
	defer cancel()
	answer, err := front(ctx, event)
	g.mu.Lock()
	g.fronts = append(g.fronts, front)
	g.mu.Unlock()
	if err != nil {
		w.Header().Set("X-Amz-Function-Error", "Unhandled")
		answer = map[string]string{"errorMessage": err.Error()}
	}
	json.NewEncoder(w).Encode(answer)
}

// idp signs everybody in: a code is the person's name.
func (g *rig) idp(w http.ResponseWriter, r *http.Request) {
	var answer any
	switch r.URL.Path {
	case "/token":
		name := r.PostFormValue("code")
		id, _ := json.Marshal(map[string]any{"iss": g.config.ALB.Issuer, "aud": g.config.ALB.ClientID, "sub": name, "exp": time.Now().Add(time.Hour).Unix()})
		answer = map[string]any{"access_token": name, "token_type": "Bearer", "expires_in": 3600, "id_token": "e30." + base64.RawURLEncoding.EncodeToString(id) + ".c2ln"}
	case "/userinfo":
		name := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		answer = map[string]string{"sub": name, "username": name}
	}
	json.NewEncoder(w).Encode(answer)
}

// browse sends one request of a browser to the load balancer.
func (g *rig) browse(method, path, body string, cookies []*http.Cookie) *http.Response {
	r := httptest.NewRequest(method, "https://vpn.localhost"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := httptest.NewRecorder()
	g.alb.ServeHTTP(w, r)
	return w.Result()
}

// signIn takes a person through the load balancer's sign-in, and returns their session.
func (g *rig) signIn(name string) []*http.Cookie {
	g.Helper()
	nonce := g.browse(http.MethodGet, "/", "", nil)
	to, err := nonce.Location()
	if err != nil {
		g.Fatal(err)
	}
	done := g.browse(http.MethodGet, "/oauth2/idpresponse?"+url.Values{"code": {name}, "state": {to.Query().Get("state")}}.Encode(), "", nonce.Cookies())
	if done.StatusCode != http.StatusFound {
		g.Fatalf("%s cannot sign in: %s", name, done.Status)
	}
	return done.Cookies()
}

// replied is what the API answers.
type replied struct {
	State latch.State `json:"state"`
	Mine  *struct {
		Until time.Time `json:"until"`
	} `json:"mine"`
	Failed bool   `json:"-"`
	Status int    `json:"-"`
	Body   string `json:"-"`
}

func (g *rig) ask(method, path, body string, session []*http.Cookie) (t replied) {
	res := g.browse(method, path, body, session)
	raw, err := io.ReadAll(res.Body)
	if err == nil {
		json.Unmarshal(raw, &t)
	}
	t.Status, t.Body, t.Failed = res.StatusCode, string(raw), res.StatusCode >= 400
	return t
}

// crowdOf lets so many people press the button in the same moment, each through the load balancer and a function instance
// of their own, and compares what they were replied with the truth.
func crowdOf(g *rig, people int) (slowest time.Duration, failed int) {
	g.Helper()
	path := "/api/v1/endpoints/" + g.config.Endpoints[0].Name
	sessions := make([][]*http.Cookie, people)
	for i := range sessions {
		sessions[i] = g.signIn(fmt.Sprint("person-", i))
	}
	g.reset()
	answers, took := make([]replied, people), make([]time.Duration, people)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range people {
		all.Go(func() {
			<-start
			began := time.Now()
			answers[i] = g.ask(http.MethodPost, path+"/open", `{"for": "1h"}`, sessions[i])
			took[i] = time.Since(began)
		})
	}
	close(start)
	all.Wait()

	snap := g.ec2.Snapshot()
	on := 0
	for _, a := range snap.Endpoints[0].Associations {
		if a.Ended.IsZero() {
			on++
		}
	}
	if on != 1 || len(snap.Endpoints[0].Associations) != 1 {
		g.Errorf("%d people opened, and EC2 has %d associations and had %d: want one", people, on, len(snap.Endpoints[0].Associations))
	}
	for i, a := range answers {
		slowest = max(slowest, took[i])
		mine := g.ask(http.MethodGet, path, "", sessions[i])
		switch {
		case a.Failed:
			if failed++; mine.Mine != nil {
				g.Errorf("person %d was replied %d, and has a lease: %s", i, a.Status, a.Body)
			}
			if failed == 1 {
				g.Logf("one of those who were replied no: %d %s", a.Status, a.Body)
			}
		case a.Mine == nil || mine.Mine == nil || a.State != latch.StateOpening && a.State != latch.StateOpen:
			g.Errorf("person %d was replied %d %s with lease %v, and has %v", i, a.Status, a.State, a.Mine, mine.Mine)
		}
	}
	return slowest, failed
}

// BenchmarkLoadCrowd: 1,000 people press the button in the same second.
func BenchmarkLoadCrowd(b *testing.B) {
	const people = 1000
	for b.Loop() {
		g := newRig(b, 1, time.Minute)
		slowest, failed := crowdOf(g, people)
		b.ReportMetric(float64(failed), "replied-no")
		b.ReportMetric(slowest.Seconds(), "s/slowest")
		b.ReportMetric(float64(g.made), "instances")
		b.ReportMetric(float64(g.count("ec2 AssociateClientVpn")), "associate-calls")
		b.ReportMetric(float64(g.count("ec2 ")), "ec2-calls")
		b.ReportMetric(float64(g.count("dynamodb Put"))/people, "writes/person")
		b.ReportMetric(float64(g.refused), "throttled")
	}
}

func TestLoadCrowd(t *testing.T) {
	const people = 40
	g := newRig(t, 1, time.Minute)
	slowest, failed := crowdOf(g, people)
	t.Logf("%d people, the slowest in %v: %s", people, slowest, g.list())
	if failed > 0 {
		t.Errorf("%d of %d were replied no", failed, people)
	}
	if n := g.count("ec2 Describe"); n > 12*4 { // one look in each second that it lasts, on a slow machine
		t.Errorf("%d describes for %d people in the same moment, want one look of four", n, people)
	}
}

// watch lets so many people look at one endpoint in the same moment.
func watch(g *rig, sessions [][]*http.Cookie) {
	g.Helper()
	var all sync.WaitGroup
	for _, s := range sessions {
		all.Go(func() {
			if seen := g.ask(http.MethodGet, "/api/v1/endpoints/"+g.config.Endpoints[0].Name, "", s); seen.Failed || seen.State == "" {
				g.Errorf("somebody who looks is replied %d %s", seen.Status, seen.Body)
			}
		})
	}
	all.Wait()
}

// BenchmarkLoadWatchers: what so many people cost who look in the same moment.
func BenchmarkLoadWatchers(b *testing.B) {
	for _, people := range []int{10, 100, 1000} {
		b.Run(fmt.Sprint(people), func(b *testing.B) {
			g := newRig(b, 1, time.Minute)
			var sessions [][]*http.Cookie
			for i := range people {
				sessions = append(sessions, g.signIn(fmt.Sprint("person-", i)))
			}
			b.ResetTimer()
			began := time.Now()
			for b.Loop() {
				watch(g, sessions)
			}
			looks := 1 + time.Since(began)/(5*time.Second) // the last look is refreshed every five seconds
			b.ReportMetric(float64(g.count("ec2 "))/float64(looks), "ec2-calls/5s")
			b.ReportMetric(float64(g.count("ec2 A")+g.count("ec2 C")), "ec2-writes")
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*people), "µs/look")
		})
	}
}

// TestLoadWatchers: half a minute of pages that ask every two seconds costs EC2 the same for ten people and for forty.
func TestLoadWatchers(t *testing.T) {
	calls := map[int]int{}
	for _, people := range []int{10, 40} {
		synctest.Test(t, func(t *testing.T) {
			g := newRig(t, 1, time.Minute)
			var sessions [][]*http.Cookie
			for i := range people {
				sessions = append(sessions, g.signIn(fmt.Sprint("person-", i)))
			}
			g.reset()
			for range 15 {
				watch(g, sessions)
				time.Sleep(2 * time.Second)
			}
			calls[people] = g.count("ec2 ")
			t.Logf("%d people for half a minute: %s", people, g.list())
		})
	}
	if calls[10] != calls[40] || calls[40] > 4*30/5 {
		t.Errorf("EC2 calls in half a minute are %v, want the same for any number of people, and four each five seconds at most", calls)
	}
}

// many opens every endpoint, as on a Monday morning, and keeps them for one beat. It says how long that took.
func many(g *rig) time.Duration {
	g.Helper()
	k := g.keeper()
	var all sync.WaitGroup
	slots := make(chan struct{}, 8)
	for _, e := range g.config.Endpoints {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if _, err := k.Open(g.Context(), e.ID, latch.Request{Who: latch.Principal{Subject: "kim"}}); err != nil {
				g.Errorf("%s: %v", e.Name, err)
			}
		})
	}
	all.Wait()
	return oneBeat(g) // another function's
}

// oneBeat makes one, as Lambda does each minute, and says how long it took.
func oneBeat(g *rig) time.Duration {
	g.Helper()
	ctx, cancel := context.WithTimeout(g.Context(), time.Minute)
	defer cancel()
	k, began := g.keeper(), time.Now()
	if err := k.Beat(ctx, g.config.BeatFor); err != nil {
		g.Errorf("beat: %v", err)
	}
	return time.Since(began)
}

// ready counts the endpoints that the page shows as open.
func ready(g *rig) (n int) {
	g.Helper()
	k := g.keeper()
	for _, e := range g.config.Endpoints {
		v, err := k.View(g.Context(), e.ID, latch.Principal{Subject: "kim"})
		if err != nil {
			g.Error(err)
		}
		if v.State == latch.StateOpen {
			n++
		}
	}
	return n
}

// BenchmarkLoadBeat: one beat keeps fifty endpoints, all of them just opened; the next finds them open.
func BenchmarkLoadBeat(b *testing.B) {
	for b.Loop() {
		g := newRig(b, 50, 8*time.Second)
		b.ReportMetric(many(g).Seconds(), "s/opening")
		b.ReportMetric(float64(g.count("ec2 ")), "ec2-calls/opening")
		b.ReportMetric(float64(g.refused), "throttled/opening")
		b.ReportMetric(float64(ready(g)), "ready")
		g.reset()
		b.ReportMetric(oneBeat(g).Seconds(), "s/open")
		b.ReportMetric(float64(g.count("ec2 ")), "ec2-calls/open")
		b.ReportMetric(float64(g.refused), "throttled/open")
	}
}

// TestLoadBeat: EC2 takes twenty seconds for each of fifty endpoints, and every call a twentieth of a second.
func TestLoadBeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newRig(t, 50, 20*time.Second)
		g.pause = func() { time.Sleep(50 * time.Millisecond) }
		took := many(g)
		t.Logf("opening 50 endpoints: a beat of %v, %s", took, g.list())
		if took > time.Minute {
			t.Errorf("the beat took %v, longer than the function has", took)
		}
		if g.refused > 0 {
			t.Errorf("EC2 refused %d calls: want all within its buckets", g.refused)
		}
		time.Sleep(10 * time.Second)
		oneBeat(g)
		if n := ready(g); n != 50 {
			t.Errorf("%d of 50 are ready after the second beat", n)
		}
		time.Sleep(time.Minute)
		g.reset()
		took = oneBeat(g)
		t.Logf("keeping 50 open endpoints: a beat of %v, %s", took, g.list())
		if g.refused > 0 || took > 15*time.Second || g.count("ec2 ") > 50*4 {
			t.Errorf("a beat over 50 open endpoints took %v and %d calls, %d of them refused; want one look at each", took, g.count("ec2 "), g.refused)
		}
	})
}
