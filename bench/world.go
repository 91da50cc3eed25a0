package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/alb"
	"github.com/nightlatch/nightlatch/internal/standin/certs"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/proxy"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// The account that the stand-ins play.
const (
	region      = "eu-central-1"
	account     = "111122223333"
	table       = "nightlatch"
	group       = "nightlatch"
	endpointID  = "cvpn-endpoint-0123456789abcdef0"
	subnetID    = "subnet-0123456789abcdef0"
	functionARN = "arn:aws:lambda:" + region + ":" + account + ":function:bench"

	hostEC2       = "ec2." + region + ".amazonaws.com"
	hostDynamoDB  = "dynamodb." + region + ".amazonaws.com"
	hostScheduler = "scheduler." + region + ".amazonaws.com"
	hostKeys      = "public-keys.auth.elb." + region + ".amazonaws.com"
	hostLambda    = "lambda." + region + ".amazonaws.com"
	hostIDP       = "idp.localhost"
	issuer        = "https://cognito-idp." + region + ".amazonaws.com/" + region + "_Bench0000"
)

var (
	role  = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}
	hosts = []string{hostEC2, hostDynamoDB, hostScheduler, hostKeys}
)

// world is AWS as the functions see it, at two addresses: plain, and over TLS by its own names through a proxy.
type world struct {
	dir      string // of the configuration and the certificates
	balancer *alb.Server
	session  []*http.Cookie
	log      *slog.Logger
	state    atomic.Pointer[map[string]http.Handler] // EC2, DynamoDB and the scheduler, as new
	calls    atomic.Int64
	event    []byte // the last that the load balancer sent
	plain    string // host:port
	tunnel   string // of the proxy, a URL
	bundle   string // file of CA certificates: this system's, and the one of the stand-ins
	roots    int    // in it
	closers  []func() error
}

// newWorld starts the stand-ins. Those with a state are as new after each reset.
func newWorld(dir string) (_ *world, err error) {
	w := &world{dir: dir, log: slog.New(slog.DiscardHandler)}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	if err := w.reset(); err != nil {
		return nil, err
	}
	if w.balancer, err = alb.New(alb.Config{
		Region: region, AccountID: account, Name: "bench", AuthorizationEndpoint: "https://" + hostIDP + "/authorize", TokenEndpoint: "https://" + hostIDP + "/token",
		UserInfoEndpoint: "https://" + hostIDP + "/userinfo", Issuer: issuer, ClientID: "bench", ClientSecret: "secret", LambdaURL: "https://" + hostLambda,
		FunctionARN: functionARN, Caller: role, MultiValueHeaders: true, Client: &http.Client{Transport: w}, Log: w.log,
	}); err != nil {
		return nil, err
	}
	if err := w.signIn(); err != nil {
		return nil, err
	}

	authority, err := certs.New("", hosts)
	if err != nil {
		return nil, err
	}
	names, err := authority.Server(hosts...)
	if err != nil {
		return nil, err
	}
	if err := w.trust(authority); err != nil {
		return nil, err
	}
	if w.plain, err = w.serve(w, nil); err != nil {
		return nil, err
	}
	named, err := w.serve(w, names)
	if err != nil {
		return nil, err
	}
	routes := map[string]string{}
	for _, h := range hosts {
		routes[h+":443"] = named
	}
	p, err := proxy.New(proxy.Config{Routes: routes, Log: w.log})
	if err != nil {
		return nil, err
	}
	at, err := w.serve(p.Handler(), nil)
	w.tunnel = "http://" + at
	w.closers = append(w.closers, p.Close)
	return w, err
}

func (w *world) serve(h http.Handler, c *tls.Config) (address string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	address = ln.Addr().String()
	if c != nil {
		ln = tls.NewListener(ln, c)
	}
	// The functions' processes are killed with connections open, which is nobody's fault.
	s := &http.Server{Handler: h, ReadHeaderTimeout: patience, ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelWarn)}
	w.closers = append(w.closers, s.Close)
	go s.Serve(ln)
	return address, nil
}

func (w *world) close() {
	for _, c := range w.closers {
		c()
	}
}

// reset makes EC2, DynamoDB and the scheduler as new: the endpoint is pending-associate, and nobody has a lease.
func (w *world) reset() error {
	lookup := func(id string) (sigv4.Credentials, bool) { return role, id == role.AccessKeyID }
	cloud, err := ec2.New(ec2.Config{Region: region, AccountID: account, Credentials: lookup, AssociateTakes: time.Minute, DisassociateTakes: time.Minute, RouteTakes: time.Minute, Log: w.log,
		Endpoints: []ec2.Endpoint{{ID: endpointID, VpcID: "vpc-0123456789abcdef0", ClientCIDR: "10.200.0.0/22",
			Subnets: []ec2.Subnet{{ID: subnetID, AvailabilityZone: region + "a", AvailabilityZoneID: "euc1-az2", CIDR: "10.0.1.0/24"}}}}})
	if err != nil {
		return err
	}
	tables, err := dynamodb.New(dynamodb.Config{Region: region, AccountID: account, Credentials: lookup, Log: w.log, Tables: []dynamodb.Table{{Name: table, Partition: "pk", Sort: "sk"}}})
	if err != nil {
		return err
	}
	schedules, err := scheduler.New(scheduler.Config{Region: region, AccountID: account, Credentials: lookup, Log: w.log, Groups: []string{group}, EC2URL: "https://" + hostEC2, Caller: role})
	if err != nil {
		return err
	}
	w.state.Store(&map[string]http.Handler{hostEC2: cloud.Handler(), hostDynamoDB: tables.Handler(), hostScheduler: schedules.Handler()})
	return nil
}

// ServeHTTP is AWS. What asks for no name of AWS's has been given the plain address as EC2's.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	w.calls.Add(1)
	if r.Host == hostKeys {
		w.balancer.KeyHandler().ServeHTTP(rw, r)
		return
	}
	services := *w.state.Load()
	h := services[r.Host]
	if h == nil {
		h = services[hostEC2]
	}
	h.ServeHTTP(rw, r)
}

// config writes the functions' configuration.
func (w *world) config() error {
	text := fmt.Sprintf(`region: %s
table: %s
signin:
  alb:
    arn: %s
    client_id: bench
    issuer: %s
    logout_url: https://%s/logout?client_id=bench&logout_uri=https%%3A%%2F%%2Fvpn.example.com%%2Fsigned-out
    sign_in_origins: [https://%s]
deadman:
  group: %s
  role_arn: arn:aws:iam::%s:role/nightlatch-deadman
endpoints:
  - name: office
    title: Office network
    id: %s
    subnets: [%s]
    routes:
      - {destination: 10.20.0.0/16, description: data centre}
`, region, table, w.balancer.ARN(), issuer, hostIDP, hostIDP, group, account, endpointID, subnetID)
	return os.WriteFile(filepath.Join(w.dir, "nightlatch.yaml"), []byte(text), 0o600)
}

// systemRoots are where systems keep the certificates that they trust; the first is that of Lambda's provided.al2023.
var systemRoots = []string{"/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/ca-bundle.pem", "/etc/ssl/cert.pem"}

// trust writes the certificates that the functions trust: as many as in Lambda, where the system has them, because
// reading them is part of every start.
func (w *world) trust(a *certs.Authority) error {
	w.bundle = filepath.Join(w.dir, "ca.pem")
	if err := a.WriteFile(w.bundle); err != nil {
		return err
	}
	ours, err := os.ReadFile(w.bundle)
	if err != nil {
		return err
	}
	for _, name := range systemRoots {
		if theirs, err := os.ReadFile(name); err == nil {
			ours = append(append(theirs, '\n'), ours...)
			break
		}
	}
	w.roots = bytes.Count(ours, []byte("-----BEGIN CERTIFICATE-----"))
	return os.WriteFile(w.bundle, ours, 0o600)
}

// browse sends one request of a browser to the load balancer.
func (w *world) browse(method, path, body string, cookies []*http.Cookie) *http.Response {
	r := httptest.NewRequest(method, "https://vpn.example.com"+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	// A browser's own, which take their part in the event's size.
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36")
	r.Header.Set("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en-GB,en;q=0.9")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	rec := httptest.NewRecorder()
	w.balancer.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

// signIn takes somebody through the load balancer's sign-in.
func (w *world) signIn() error {
	begun := w.browse(http.MethodGet, "/", "", nil)
	to, err := begun.Location()
	if err != nil {
		return err
	}
	done := w.browse(http.MethodGet, "/oauth2/idpresponse?"+url.Values{"code": {"kim"}, "state": {to.Query().Get("state")}}.Encode(), "", begun.Cookies())
	w.session = done.Cookies()
	if done.StatusCode != http.StatusFound || len(w.session) == 0 {
		return fmt.Errorf("the load balancer's sign-in: %s", done.Status)
	}
	return nil
}

// request makes the event that the load balancer sends for a signed-in person's request, with a token of this minute.
func (w *world) request(method, path, body string) ([]byte, error) {
	w.event = nil
	if res := w.browse(method, path, body, w.session); w.event == nil {
		return nil, fmt.Errorf("%s %s: the load balancer answers %s by itself", method, path, res.Status)
	}
	return w.event, nil
}

// RoundTrip is what the load balancer calls: Lambda, which keeps the event, and an issuer that signs everybody in.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	body := []byte{}
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	var answer any
	switch r.URL.Host + r.URL.Path {
	case hostIDP + "/token":
		id, err := json.Marshal(map[string]any{"iss": issuer, "aud": "bench", "sub": "kim", "exp": time.Now().Add(time.Hour).Unix()})
		if err != nil {
			return nil, err
		}
		answer = map[string]any{"access_token": "kim", "token_type": "Bearer", "expires_in": 3600, "id_token": "e30." + base64.RawURLEncoding.EncodeToString(id) + ".c2ln"}
	case hostIDP + "/userinfo":
		answer = map[string]string{"sub": "kim", "username": "kim", "email": "kim@example.com"}
	default:
		w.event = body
		answer = map[string]any{"statusCode": 200, "statusDescription": "200 OK", "multiValueHeaders": map[string][]string{}, "body": ""}
	}
	raw, err := json.Marshal(answer)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(raw)), Request: r}, nil
}

// answeredBy checks what a function answered: nobody is interested in how fast it says no.
func answeredBy(raw []byte, status int, holds string) error {
	var a struct {
		StatusCode int    `json:"statusCode"`
		Body       string `json:"body"`
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		return fmt.Errorf("the answer %.200q: %w", raw, err)
	}
	if a.StatusCode != status || !strings.Contains(cmp.Or(a.Body, string(raw)), holds) {
		return fmt.Errorf("the answer is %d %.300s, want %d and %q in it", a.StatusCode, cmp.Or(a.Body, string(raw)), status, holds)
	}
	return nil
}

// python finds an interpreter that has boto3. PATH's may be a launcher, which would be measured too, so it is asked for
// the program that it is.
func python(ctx context.Context, name string) (path, version string, err error) {
	names := []string{name}
	if name == "" {
		names = []string{"python3", "/usr/bin/python3"}
	}
	for _, n := range names {
		out, e := command(ctx, "", n, "-c", "import sys, platform, boto3; print(sys.executable); print('Python', platform.python_version(), 'with boto3', boto3.__version__)")
		if e == nil {
			path, version, _ = strings.Cut(strings.TrimSpace(out), "\n")
			return path, version, nil
		}
		err = errors.Join(err, e)
	}
	return "", "", err
}
