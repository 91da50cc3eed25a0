//go:build !lambda

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/standin/alb"
	"github.com/nightlatch/nightlatch/internal/standin/certs"
	"github.com/nightlatch/nightlatch/internal/standin/cognito"
	"github.com/nightlatch/nightlatch/internal/standin/console"
	"github.com/nightlatch/nightlatch/internal/standin/directory"
	"github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/httpapi"
	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
	"github.com/nightlatch/nightlatch/internal/standin/lambda"
	"github.com/nightlatch/nightlatch/internal/standin/proxy"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/wiretap"
)

// The demo's account.
const (
	demoRegion   = "us-east-1"
	demoAccount  = "111122223333"
	demoTable    = "nightlatch"
	demoGroup    = "nightlatch"
	demoQueue    = "arn:aws:sqs:" + demoRegion + ":" + demoAccount + ":nightlatch-dead-letters"
	demoOperator = "arn:aws:iam::" + demoAccount + ":user/operator"
	demoEndpoint = "cvpn-endpoint-0d3a11c0ffee00001"
	demoVPC      = "vpc-0d3a11c0ffee00001"
	demoDomain   = "corp.example"
	serviceName  = "svc-identity-center"
	// The directory's groups that matter, the one of its people who is in both, and what they are called on their way.
	groupUsers, groupOperators = "VPN Users", "VPN Operators"
	demoOperatorName           = "olivia"
	groupsAttribute            = "Groups"        // in assertions
	groupsClaim                = "custom:groups" // in the user pool
	// routeTakes and disassociateTakes keep the proportions that AWS's users report, at the demo's pace.
	routeTakes        = time.Second
	disassociateTakes = 8 * time.Second
)

var demoSubnets = []ec2.Subnet{
	{ID: "subnet-0d3a11c0ffee0000a", AvailabilityZone: "us-east-1a", AvailabilityZoneID: "use1-az1", CIDR: "10.0.1.0/24"},
	{ID: "subnet-0d3a11c0ffee0000b", AvailabilityZone: "us-east-1b", AvailabilityZoneID: "use1-az2", CIDR: "10.0.2.0/24"},
}

// The hosts that AWS's services have, and that the functions reach through the proxy.
const (
	hostEC2       = "ec2." + demoRegion + ".amazonaws.com"
	hostDynamoDB  = "dynamodb." + demoRegion + ".amazonaws.com"
	hostScheduler = "scheduler." + demoRegion + ".amazonaws.com"
	hostSTS       = "sts." + demoRegion + ".amazonaws.com"
	hostLambda    = "lambda." + demoRegion + ".amazonaws.com"
	hostKeys      = "public-keys.auth.elb." + demoRegion + ".amazonaws.com"
	hostIDP       = "cognito-idp." + demoRegion + ".amazonaws.com"
)

// hostStacks is for command lines alone: no function asks CloudFormation, and the proxy leads none there.
const hostStacks = "cloudformation." + demoRegion + ".amazonaws.com"

var awsHosts = []string{hostEC2, hostDynamoDB, hostScheduler, hostSTS, hostLambda, hostKeys, hostIDP}

// ports are what the demo listens on, in the order of their numbers from --port on.
func (w *world) ports() []string {
	return []string{w.o.front.name, "cognito", "identity-center", "console", "aws", "directory"}
}

// stateFiles are all that a run leaves in the folder, with the kind that each must be of.
var stateFiles = []string{"demo", "certs", "directory", "identity-center", "cognito", "alb", "ec2", "dynamodb", "scheduler", "console"}

// demoState is what the demo itself keeps: keys and passwords, so that a second run knows the same ones.
type demoState struct {
	AccessKeyID     string            `json:"accessKeyId"`
	SecretAccessKey string            `json:"secretAccessKey"`
	ServicePassword string            `json:"servicePassword"`
	Passwords       map[string]string `json:"passwords"`
}

// person is somebody in the demo's directory. Trouble is what a sign-in ends in; empty for those who may come in.
type person struct {
	directory.User
	trouble string
}

func people() []person {
	return []person{
		{User: directory.User{Username: "alice", GivenName: "Alice", Surname: "Kim"}},
		{User: directory.User{Username: "bob", GivenName: "Bob", Surname: "Tanaka"}},
		{User: directory.User{Username: "carol", GivenName: "Carol", Surname: "Meyer"}},
		{User: directory.User{Username: demoOperatorName, GivenName: "Olivia", Surname: "Costa"}},
		{User: directory.User{Username: "dave", GivenName: "Dave", Surname: "Lee", Disabled: true}, trouble: "the account is disabled"},
		{User: directory.User{Username: "erin", GivenName: "Erin", Surname: "Novak"}, trouble: "not in the group VPN Users: Identity Center says no"},
		{User: directory.User{Username: "frank", GivenName: "Frank", Surname: "Silva", PasswordExpired: true}, trouble: "the password has expired"},
		{User: directory.User{Username: "grace", GivenName: "Grace", Surname: "Park", MustChange: true}, trouble: "must change the password first"},
	}
}

// world is the chain while it runs.
type world struct {
	o     demoOptions
	info  demoInfo
	state demoState
	log   *slog.Logger
	sink  *logFile // demo.log
	ring  *console.Ring
	tap   wiretap.Tap
	ca    *certs.Authority
	sites *tls.Config // the certificate of every site under .localhost
	*faults
	iam       *authority
	listeners map[string]net.Listener
	servers   []server
	runs      []func(context.Context) error
	function  string // folder of the functions' program and configuration

	alb       *alb.Server     // nil with another front
	httpapi   *httpapi.Server // nil with another front
	pool      *cognito.Server
	lambda    *lambda.Server
	ec2       *ec2.Server
	dynamodb  *dynamodb.Server
	directory *directory.Server // nil with a real one
	real      *realDirectory    // nil with the stand-in
	idc       *identitycenter.Server
	scheduler *scheduler.Server
}

type server struct {
	name    string
	ln      net.Listener
	handler http.Handler
}

// newWorld checks the folder before it touches anything in it, takes the ports, builds the functions' program and
// every stand-in, and starts nothing.
func newWorld(ctx context.Context, o demoOptions) (*world, error) {
	o.front.name = cmp.Or(o.front.name, frontALB)
	w := &world{o: o, listeners: map[string]net.Listener{}, ring: console.NewRing(), function: filepath.Join(o.dir, "function")}
	w.faults = newFaults(o.sabotage)
	before, err := w.checkFolder()
	if err != nil {
		return nil, err
	}
	if o.directory.url != "" {
		var err error
		if w.real, err = o.directory.open(ctx); err != nil {
			return nil, err
		}
	}
	if err := w.listen(); err != nil {
		return nil, err
	}
	if err := w.prepare(ctx); err != nil {
		for _, ln := range w.listeners {
			ln.Close()
		}
		// One stand-in may refuse its file after another has written its own: the folder is left as it was found.
		return nil, errors.Join(err, putBack(before))
	}
	return w, nil
}

func (w *world) file(kind string) string { return filepath.Join(w.o.dir, kind+".state.json") }

// listen takes the ports, all or none.
func (w *world) listen() error {
	for i, name := range w.ports() {
		port := w.o.port
		if port != 0 {
			port += i
		}
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			for _, other := range w.listeners {
				other.Close()
			}
			other := w.o.port + 1000
			if other > maxPort {
				other = w.o.port - 1000
			}
			return fmt.Errorf("port %d, which %s wants, cannot be had (%w): stop what uses it, or move all six ports with --port, for example --port %d",
				port, name, err, other)
		}
		w.listeners[name] = ln
	}
	return nil
}

func (w *world) port(name string) int { return w.listeners[name].Addr().(*net.TCPAddr).Port }

func (w *world) url(scheme, host, name string) string {
	return fmt.Sprintf("%s://%s:%d", scheme, host, w.port(name))
}

func (w *world) prepare(ctx context.Context) error {
	if err := os.Remove(filepath.Join(w.o.dir, "demo.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.sink = &logFile{}
	w.log = slog.New(slog.NewMultiHandler(w.ring, slog.NewJSONHandler(w.sink, nil)))

	if err := os.MkdirAll(w.function, 0o700); err != nil {
		return err
	}
	// The program is compiled while the stand-ins are made.
	var program string
	var buildErr error
	var building sync.WaitGroup
	building.Go(func() { program, buildErr = w.build(ctx) })
	err := w.standins(ctx, &program, &building)
	building.Wait()
	if err := errors.Join(buildErr, err); err != nil {
		return err
	}
	return w.sink.open(filepath.Join(w.o.dir, "demo.log"))
}

// standins makes the chain, from the far end to the near one.
func (w *world) standins(ctx context.Context, program *string, building *sync.WaitGroup) error {
	if err := w.loadState(); err != nil {
		return err
	}
	hosts := append([]string{"localhost"}, awsHosts...)
	var err error
	if w.ca, err = certs.New(w.file("certs"), hosts); err != nil {
		return err
	}
	caFile := filepath.Join(w.o.dir, "ca.pem")
	if err := w.ca.WriteFile(caFile); err != nil {
		return err
	}
	w.sites, err = w.ca.Server("vpn.localhost", "cognito.localhost", "identity-center.localhost", "directory.localhost")
	if err != nil {
		return err
	}
	names, err := w.ca.Server(awsHosts...)
	if err != nil {
		return err
	}
	vpnURL, awsURL := w.url("https", demoSite, w.o.front.name), w.url("http", "127.0.0.1", "aws")
	poolURL, idcURL := w.url("https", "cognito.localhost", "cognito"), w.url("https", "identity-center.localhost", "identity-center")
	site := w.client(w.ca.Pool())

	// Directory, and what the configuration says of its groups; then what the template says of everything else.
	idc, err := w.source()
	if err != nil {
		return err
	}
	file, err := w.nightlatchYAML(w.deploySection(idcURL))
	if err != nil {
		return err
	}
	template, err := w.readTemplate(file)
	if err != nil {
		return err
	}
	parameters := map[string]string{deploy.ParameterCodeBucket: "demo", deploy.ParameterCodeKey: "demo.zip", deploy.ParameterWebhookURL: w.url("http", "127.0.0.1", "console") + "/api/webhook"}
	if w.o.front.issuer == "" {
		parameters[deploy.ParameterSAMLMetadataURL] = cmp.Or(w.o.samlMetadata, idcURL+"/") // its own, once there is a pool that it is for
	} else {
		parameters[deploy.ParameterOIDCClientSecret] = w.o.front.secret
	}
	plan, err := w.blueprint(ctx, template, identities{}, parameters)
	if err != nil {
		return err
	}

	operator := sigv4.Credentials{AccessKeyID: w.state.AccessKeyID, SecretAccessKey: w.state.SecretAccessKey}
	role := newSession()
	if w.iam, err = newAuthority(w.o.front.name, operator, role, plan.functionRole, plan.roles, w.log); err != nil {
		return err
	}
	tokens, lookup := w.iam.tokens, w.iam.tokens.Lookup

	// Cognito, Identity Center.
	provider := site
	if w.o.samlMetadata != "" { // which may be anywhere, with a certificate that this system trusts
		provider = http.DefaultClient
	}
	pool := plan.pool
	if w.o.front.issuer != "" { // nobody signs in at it
		pool = cognito.Config{ProviderName: "IdentityCenter", CallbackURLs: []string{vpnURL + "/"}}
	}
	pool.Region, pool.AccountID, pool.BaseURL, pool.MetadataURL = demoRegion, demoAccount, poolURL, ""
	pool.Clock, pool.Client, pool.StateFile, pool.Log = w.clocks["clock-cognito"], provider, w.file("cognito"), w.log
	if w.pool, err = cognito.New(pool); err != nil {
		return err
	}
	idc.Clock = w.clocks["clock-identity-center"]
	idc.BaseURL, idc.SyncEvery, idc.StateFile, idc.Log = idcURL, w.o.minute, w.file("identity-center"), w.log
	app := &idc.Application
	app.Name, app.ACSURL, app.Audience, app.StartURL = "Nightlatch", w.pool.ACSURL(), w.pool.Audience(), vpnURL+"/"
	if w.idc, err = identitycenter.New(idc); err != nil {
		return err
	}
	if w.o.front.issuer == "" {
		parameters[deploy.ParameterSAMLMetadataURL] = cmp.Or(w.o.samlMetadata, w.idc.MetadataURL())
	}

	// The front, and then everything that knows it by its name.
	signIn, err := w.makeFront(plan, vpnURL, poolURL, awsURL, site, w.signInOrigins(poolURL, idcURL))
	if err != nil {
		return err
	}
	known := identities{pool: w.pool.PoolID(), client: w.pool.ClientID(), secret: w.pool.ClientSecret()}
	if w.alb != nil {
		known.loadBalancer, known.targetGroup = w.alb.ARN(), w.alb.TargetGroupARN()
	}
	if plan, err = w.blueprint(ctx, template, known, parameters); err != nil {
		return err
	}
	w.pool.SetMetadataURL(plan.pool.MetadataURL)
	if err := w.iam.permit(plan.permissions); err != nil {
		return err
	}

	// EC2, DynamoDB, Lambda, Scheduler.
	if w.ec2, err = ec2.New(ec2.Config{
		Region: demoRegion, AccountID: demoAccount, Credentials: lookup, Authorize: w.iam.authorize,
		AssociateTakes: w.o.associate, DisassociateTakes: min(disassociateTakes, max(w.o.associate, time.Second)), RouteTakes: routeTakes,
		Endpoints: []ec2.Endpoint{{ID: demoEndpoint, Description: "Office network", VpcID: demoVPC, ClientCIDR: "172.20.0.0/16", Subnets: demoSubnets,
			AuthorizationRules: []ec2.AuthorizationRule{{DestinationCIDR: "10.0.0.0/8", Description: "Office network"}}}},
		Throttle: true, StateFile: w.file("ec2"), Log: w.log,
	}); err != nil {
		return err
	}
	w.dynamodb, err = dynamodb.New(dynamodb.Config{Region: demoRegion, AccountID: demoAccount, Credentials: lookup, Authorize: w.iam.authorize,
		Tables: []dynamodb.Table{plan.table}, StateFile: w.file("dynamodb"), Log: w.log})
	if err != nil {
		return err
	}
	w.lambda, err = w.functions(plan, program, building, role, caFile)
	if err != nil {
		return err
	}
	if w.scheduler, err = scheduler.New(scheduler.Config{
		Region: demoRegion, AccountID: demoAccount, Credentials: lookup, Authorize: w.iam.authorize, EC2URL: awsURL, LambdaURL: awsURL, Assume: w.iam.assume, Minute: w.o.minute,
		Groups: plan.groups, Schedules: plan.schedules, StateFile: w.file("scheduler"), Log: w.log, DeadLetter: w.deadLetter,
	}); err != nil {
		return err
	}
	if err := w.setUnconfirmed(); err != nil {
		return err
	}
	// Command lines read what only the stack knows from the file; a deployment's read the stack's outputs.
	if w.o.template == "" {
		if file, err = w.nightlatchYAML(w.toldSection(plan, signIn)); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(w.function, "nightlatch.yaml"), file, 0o600); err != nil {
		return err
	}

	// AWS at two addresses: by name for the functions, through the proxy; and plain for command lines.
	services := map[string]http.Handler{
		hostEC2:       w.tap.Hear("ec2", w.breakable("ec2", unavailableEC2, w.throttled(w.failing(w.ec2.Handler())))),
		hostDynamoDB:  w.tap.Hear("dynamodb", w.breakable("dynamodb", unavailableDynamoDB, w.dynamodb.Handler())),
		hostScheduler: w.tap.Hear("scheduler", w.breakable("scheduler", unavailableREST, w.scheduler.Handler())),
		hostSTS:       w.tap.Hear("sts", tokens.Handler()),
		hostLambda:    w.tap.Hear("lambda", w.breakable("lambda", unavailableREST, w.beatless(w.lambda.Handler()))),
		hostIDP:       w.tap.Hear("cognito-idp", w.breakable("cognito", unavailablePlain, w.breakable("issuer-keys", unavailablePlain, w.pool.IDPHandler()))),
	}
	if w.alb != nil {
		services[hostKeys] = w.tap.Hear("alb-keys", w.breakable("key-server", unavailablePlain, w.alb.KeyHandler()))
	}
	named, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	routes, err := w.waysOut()
	if err != nil {
		return err
	}
	for host := range services {
		routes[host+":443"] = named.Addr().String()
	}
	tunnel, err := proxy.New(proxy.Config{Routes: routes, Log: w.log})
	if err != nil {
		return err
	}
	w.runs = append(w.runs, func(ctx context.Context) error { <-ctx.Done(); return tunnel.Close() })

	cons, err := w.console(vpnURL)
	if err != nil {
		return err
	}
	stacks, err := w.stacks(plan, template, parameters)
	if err != nil {
		return err
	}
	forCommandLines := maps.Clone(services)
	forCommandLines[hostStacks] = stacks.Handler()
	w.serve("aws", w.listeners["aws"], gateway(forCommandLines))
	w.serve("aws by name", tls.NewListener(named, names), byHost(services))
	w.serve("proxy", w.listeners["proxy"], tunnel.Handler())
	w.serve("cognito", tls.NewListener(w.listeners["cognito"], w.sites), w.tap.Hear("cognito", w.breakable("cognito", unavailablePlain, w.pool.Handler())))
	w.serve("identity-center", tls.NewListener(w.listeners["identity-center"], w.sites), w.tap.Hear("identity-center", w.signInBroken(w.idc.Handler())))
	w.serve(w.o.front.name, tls.NewListener(w.listeners[w.o.front.name], w.sites), w.frontHandler())
	w.serve("console", w.listeners["console"], cons.Handler())
	w.runs = append(w.runs, w.serveDirectory, w.idc.Run, w.lambda.Run, w.scheduler.Run)

	w.info = demoInfo{URL: vpnURL + "/", Front: w.o.front.name, CAFile: caFile, EndpointID: demoEndpoint, ConsoleURL: w.url("http", "console.localhost", "console") + "/",
		AWS: demoAWS{EndpointURL: awsURL, Region: demoRegion, AccessKeyID: operator.AccessKeyID, SecretAccessKey: operator.SecretAccessKey}}
	for _, s := range demoSubnets {
		w.info.SubnetIDs = append(w.info.SubnetIDs, s.ID)
	}
	switch {
	case w.o.samlMetadata != "":
		w.info.SAML = &demoSAML{ACSURL: w.pool.ACSURL(), Audience: w.pool.Audience()}
	case w.o.front.issuer != "":
		callback, signedOut := w.callbacks(vpnURL)
		w.info.OIDC = &demoOIDC{RedirectURL: callback, LogoutRedirectURL: signedOut}
	default:
		_, _, w.info.Users = w.known()
	}
	if w.groupsSent() {
		w.info.Operator = demoOperatorName
	}
	return nil
}

// loadState reads the demo's own state, or makes it.
func (w *world) loadState() error {
	f := statefile.New(w.file("demo"), "demo")
	found, err := f.Load(&w.state)
	if err != nil {
		return err
	}
	if found {
		if w.state.AccessKeyID == "" || w.state.SecretAccessKey == "" || w.state.ServicePassword == "" || len(w.state.Passwords) == 0 {
			return fmt.Errorf("state file %s lacks keys or passwords: nothing was changed; move the whole folder away to start afresh, or choose another with --dir", w.file("demo"))
		}
	} else {
		w.state = demoState{AccessKeyID: "AKIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text()[:14], ServicePassword: rand.Text(), Passwords: map[string]string{}}
	}
	for _, p := range people() {
		if w.state.Passwords[p.Username] == "" { // in a folder of before they came, too
			// Sixty bits, in groups that a person can copy from one screen to another.
			t := strings.ToLower(rand.Text())
			w.state.Passwords[p.Username], found = t[:4]+"-"+t[4:8]+"-"+t[8:12], false
		}
	}
	if found {
		return nil
	}
	return f.Save(w.state)
}

func (w *world) users() []directory.User {
	var users []directory.User
	for _, p := range people() {
		u := p.User
		u.Email, u.Password = u.Username+"@"+demoDomain, w.state.Passwords[u.Username]
		users = append(users, u)
	}
	return users
}

// functions makes Lambda with the front and the beat. Their program may still be compiling.
func (w *world) functions(plan *blueprint, program *string, building *sync.WaitGroup, role sigv4.Credentials, caFile string) (*lambda.Server, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w.listeners["proxy"] = ln
	if caFile, err = w.trust(caFile); err != nil {
		return nil, err
	}
	building.Wait()
	if *program == "" {
		return nil, errors.New("the functions' program could not be built")
	}
	for i := range plan.functions {
		f := &plan.functions[i]
		f.Bootstrap, f.Dir = *program, w.function
		// Without a reserved concurrency AWS has as many instances as an account may have; this machine has not.
		f.Instances = cmp.Or(f.Instances, map[string]int{handlerFront: 8}[f.Handler], 1)
		maps.Copy(f.Env, map[string]string{
			"AWS_ACCESS_KEY_ID": role.AccessKeyID, "AWS_SECRET_ACCESS_KEY": role.SecretAccessKey, "AWS_SESSION_TOKEN": role.SessionToken,
			"HTTPS_PROXY": "http://" + ln.Addr().String(), "SSL_CERT_FILE": caFile,
		})
	}
	return lambda.New(lambda.Config{
		Region: demoRegion, AccountID: demoAccount, Credentials: w.iam.lookup, Authorize: w.iam.authorize, Minute: w.o.minute, Log: w.log, Output: w.sink,
		Functions: plan.functions,
	})
}

func (w *world) console(vpnURL string) (*console.Console, error) {
	var accounts []console.Account
	all, about, _ := w.known()
	for _, u := range all {
		accounts = append(accounts, console.Account{Username: u.Username, Password: u.Password, About: about[u.Username]})
	}
	port := w.port("console")
	return console.New(console.Config{
		SiteURL: vpnURL + "/", Front: w.o.front.name, Accounts: accounts, Endpoints: w.consoleEndpoints, Bill: w.consoleBill, Schedules: w.consoleSchedules,
		Connect: w.ec2.Connect, Send: w.ec2.Send, Disconnect: w.ec2.Disconnect, Breaks: append(w.consoleBreaks(), w.accountSwitches()...), Chores: w.chores(), Unconfirmed: w.unconfirmed(),
		Hosts: []string{fmt.Sprintf("console.localhost:%d", port), fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("localhost:%d", port)},
		Ring:  w.ring, Decoded: w.tap.Last, Deaf: func() bool { return w.broken("webhook") }, Phone: w.clocks["clock-phone"], StateFile: w.file("console"), Log: w.log,
	})
}

// deadLetter is the queue: the log keeps what came to it. The message's body is not kept, which would be a call's input.
func (w *world) deadLetter(_ context.Context, queue string, m scheduler.DeadLetter) error {
	a := m.Attributes
	_, schedule, _ := strings.Cut(a["SCHEDULE_ARN"], ":schedule/")
	w.log.Warn("dead letter", "from", "sqs", "queue", queue, "schedule", schedule, "code", a["ERROR_CODE"], "why", a["ERROR_MESSAGE"])
	return nil
}

// client reaches the demo's sites, whose names need not resolve on this system.
func (w *world) client(roots *x509.CertPool) *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	t.Proxy = nil
	t.DialContext = dialLocalhost
	return &http.Client{Transport: t}
}

// signInOrigins are whose pages lead to the product's at the end of a sign-in.
func (w *world) signInOrigins(pool, identityCenter string) []string {
	if w.o.samlMetadata == "" {
		return []string{pool, identityCenter}
	}
	u, err := url.Parse(w.o.samlMetadata)
	if err != nil || u.Scheme != "https" { // a page without TLS gets no say in what the product's pages do
		return []string{pool}
	}
	return []string{pool, u.Scheme + "://" + u.Host}
}

// dialLocalhost dials loopback for every name under .localhost (RFC 6761 section 6.3), and nothing that is not loopback.
func dialLocalhost(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		host = "127.0.0.1"
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return nil, fmt.Errorf("%s is not on this machine", addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, network, net.JoinHostPort(host, port))
}

func (w *world) serve(name string, ln net.Listener, h http.Handler) {
	w.servers = append(w.servers, server{name, ln, h})
}

// run serves until use returns or ctx ends, then stops everything within stopWithin.
func (w *world) run(ctx context.Context, use func(*world) error) error {
	defer w.sink.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, s := range w.servers {
		h := &http.Server{Handler: s.handler, ReadHeaderTimeout: cmp.Or(w.o.patience, 10*time.Second), ReadTimeout: time.Minute, MaxHeaderBytes: 128 << 10, ErrorLog: slog.NewLogLogger(w.log.Handler(), slog.LevelWarn)}
		running.Go(func() {
			if err := h.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("%s: %w", s.name, err))
			}
		})
		running.Go(func() {
			<-ctx.Done()
			// What is under way may finish; what hangs is cut.
			grace, done := context.WithTimeout(context.WithoutCancel(ctx), stopWithin/4)
			defer done()
			if h.Shutdown(grace) != nil {
				h.Close()
			}
		})
	}
	for _, r := range w.runs {
		running.Go(func() {
			if err := r(ctx); err != nil && ctx.Err() == nil {
				cancel(err)
			}
		})
	}
	err := w.answers(ctx)
	if err == nil {
		err = w.firstSync(ctx)
	}
	if err == nil {
		err = w.info.write(w.o.dir)
	}
	if err == nil {
		err = use(w)
	}
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	cancel(nil)
	stopped := make(chan struct{})
	go func() { running.Wait(); close(stopped) }()
	select {
	case <-stopped:
	case <-time.After(stopWithin):
		err = errors.Join(err, fmt.Errorf("not everything stopped within %v", stopWithin))
	}
	os.Remove(filepath.Join(w.o.dir, "demo.json"))
	return err
}

// answers waits until every port answers.
func (w *world) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, name := range w.ports() {
		for {
			c, err := dialLocalhost(ctx, "tcp", w.listeners[name].Addr().String())
			if err == nil {
				c.Close()
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("%s does not answer: %w", name, err)
			}
		}
	}
	return nil
}
