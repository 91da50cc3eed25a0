// Package config reads nightlatch.yaml, and the cases that its access rules are tested with. It is strict: every unknown
// key, wrong type and missing value is reported, all at once, each with its line and, where a key looks misspelt, with the
// one that was probably meant.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Config is a checked configuration.
type Config struct {
	Region string // of the functions, the table and the load balancer
	Table  string // the DynamoDB table
	// ALB and OIDC are the two fronts, of which one is nil.
	ALB  *ALB
	OIDC *OIDC
	// BeatFor is how long one beat may go on looking; shorter than the schedule's minute and the function's time-out.
	BeatFor time.Duration
	// Notify says how people are told who have no page open; nil: they are not.
	Notify *Notify
	// Access are the rules of who may do what; nil: the default rule. Contact is whom a person may ask who is refused.
	Access  *access.Rules
	Contact string
	// KeepAudit is how long audit entries are kept; 0 is for ever.
	KeepAudit time.Duration
	Endpoints []Endpoint
	// Deploy is the deployment's section; nil where AWS's pieces are made by other means.
	Deploy *Deploy
	// SignInPending: the front is up, and nobody can sign in yet, because the identity provider is not known.
	SignInPending bool

	ownIssuer bool
	missing   []string // keys that the deployment will tell

	name      string
	raw       []byte
	variables []func(string) string
}

// File is the file as it was read. It is not to be changed.
func (c *Config) File() []byte { return c.raw }

// With is the same file with further variables, over what it and the earlier ones say.
func (c *Config) With(variables ...func(string) string) (*Config, error) {
	return Parse(c.name, c.raw, append(variables, c.variables...)...)
}

// Notify is a webhook's format, its messages' language, and the address of the page that they lead to. The webhook's own
// address is a secret, and stands in the environment.
type Notify struct{ Format, Language, Page string }

// ALB is the front that lets the load balancer sign people in.
type ALB struct {
	ARN, ClientID, Issuer string
	// LogoutURL ends the user pool's session: https://DOMAIN/logout?client_id=…&logout_uri=….
	LogoutURL string
	// SignInOrigins are the origins whose pages lead here at the end of a sign-in.
	SignInOrigins []string
	// GroupsClaim is the claim of the load balancer's token that holds a person's groups.
	GroupsClaim string
	// SessionCookie is the name of the load balancer's cookies, without the number behind it.
	SessionCookie string
}

// OIDC is the front that signs people in itself, at an OpenID Connect issuer. The client's secret stands in the environment.
type OIDC struct {
	Issuer, ClientID string
	// RedirectURL is where the issuer sends browsers back to: https://HOST/oauth2/callback.
	RedirectURL string
	// LogoutURL ends the issuer's session, whole; empty: as the issuer announces it.
	LogoutURL       string
	Scopes          []string
	AuthorizeParams map[string]string
	GroupsClaim     string
	Session         time.Duration
	// SignInOrigins are the origins whose pages lead here at the end of a sign-in.
	SignInOrigins []string
}

// Deadman says in which group the one-shot schedules are made and which role they act as. Both are in the endpoint's
// account, the group in its Region too: a schedule calls EC2 there and nowhere else ("Using universal targets",
// EventBridge Scheduler User Guide). DeadLetterARN is the queue that learns of switches that could not fire; empty: none.
type Deadman struct{ Group, RoleARN, DeadLetterARN string }

// Endpoint is one Client VPN endpoint and its policy.
type Endpoint struct {
	Name, Title string // Name is for URLs and commands, Title for people
	ID          latch.EndpointID
	Region      string
	// RoleARN is the role that is assumed for every call that concerns the endpoint, with ExternalID if its trust policy
	// asks for one; empty: the functions' own role does it.
	RoleARN, ExternalID string
	Deadman             Deadman
	Policy              latch.Policy
	Location            *time.Location
	SelfServiceURL      string
}

// The types below are the file's shape; their names are what the YAML decoder's messages mention.

type file struct {
	Region    string         `yaml:"region"`
	Table     string         `yaml:"table"`
	Rehearsal bool           `yaml:"rehearsal"`
	SignIn    signIn         `yaml:"signin"`
	Deadman   deadman        `yaml:"deadman"`
	Beat      beat           `yaml:"beat"`
	Notify    *notify        `yaml:"notify"`
	Audit     *audit         `yaml:"audit"`
	Access    *accessRules   `yaml:"access"`
	Endpoints []endpoint     `yaml:"endpoints"`
	Deploy    *deploySection `yaml:"deploy"`
}

type signIn struct {
	ALB     *alb  `yaml:"alb"`
	OIDC    *oidc `yaml:"oidc"`
	Pending bool  `yaml:"pending"`
}

type oidc struct {
	Issuer          string            `yaml:"issuer"`
	ClientID        string            `yaml:"client_id"`
	RedirectURL     string            `yaml:"redirect_url"`
	LogoutURL       string            `yaml:"logout_url"`
	Scopes          []string          `yaml:"scopes"`
	AuthorizeParams map[string]string `yaml:"authorize_params"`
	GroupsClaim     string            `yaml:"groups_claim"`
	Session         duration          `yaml:"session"`
	SignInOrigins   []string          `yaml:"sign_in_origins"`
}

type alb struct {
	ARN           string   `yaml:"arn"`
	ClientID      string   `yaml:"client_id"`
	Issuer        string   `yaml:"issuer"`
	LogoutURL     string   `yaml:"logout_url"`
	SignInOrigins []string `yaml:"sign_in_origins"`
	GroupsClaim   string   `yaml:"groups_claim"`
	SessionCookie string   `yaml:"session_cookie"`
}

type deadman struct {
	Group         string `yaml:"group"`
	RoleARN       string `yaml:"role_arn"`
	DeadLetterARN string `yaml:"dead_letter_arn"`
}

type notify struct {
	Format   string `yaml:"format"`
	Language string `yaml:"language"`
	Page     string `yaml:"page"`
}

// audit: days, because nobody keeps records by the hour, and a length of time has no unit beyond it.
type audit struct {
	KeepDays *int `yaml:"keep_days"`
}

type beat struct {
	For duration `yaml:"for"`
}

type endpoint struct {
	Name           string     `yaml:"name"`
	Title          string     `yaml:"title"`
	ID             string     `yaml:"id"`
	Region         string     `yaml:"region"`
	RoleARN        string     `yaml:"role_arn"`
	ExternalID     string     `yaml:"external_id"`
	Deadman        deadman    `yaml:"deadman"`
	Subnets        []string   `yaml:"subnets"`
	Associate      string     `yaml:"associate"`
	Routes         []route    `yaml:"routes"`
	SecurityGroups []string   `yaml:"security_groups"`
	Lease          lease      `yaml:"lease"`
	Idle           idle       `yaml:"idle"`
	UnusedAfter    duration   `yaml:"unused_after"`
	AbsoluteMax    duration   `yaml:"absolute_max"`
	LookEvery      duration   `yaml:"look_every"`
	Hours          *hours     `yaml:"hours"`
	Typical        typical    `yaml:"typical"`
	Warn           []duration `yaml:"warn"`
	Mode           string     `yaml:"mode"`
	ByHand         string     `yaml:"by_hand"`
	OnVisit        string     `yaml:"on_visit"`
	TimeZone       string     `yaml:"time_zone"`
	SelfServiceURL string     `yaml:"self_service_url"`
}

// typical is how long phases take, "4m-10m", before the endpoint has a past of its own.
type typical struct {
	Associate string `yaml:"associate"`
	Routes    string `yaml:"routes"`
	Close     string `yaml:"close"`
}

type hours struct {
	Windows []window `yaml:"windows"`
	Close   bool     `yaml:"close"`
}

type window struct {
	Days string `yaml:"days"`
	From string `yaml:"from"`
	To   string `yaml:"to"`
}

type route struct {
	Destination string `yaml:"destination"`
	Subnet      string `yaml:"subnet"`
	Description string `yaml:"description"`
}

type lease struct {
	Default duration   `yaml:"default"`
	Choices []duration `yaml:"choices"`
	Reason  string     `yaml:"reason"`
	Max     duration   `yaml:"max"`
}

type idle struct {
	After  duration `yaml:"after"`
	Floor  *uint64  `yaml:"floor"`
	Window duration `yaml:"window"`
	Max    duration `yaml:"max"`
}

// duration is written as Go writes them: 90s, 15m, 1h30m.
type duration time.Duration

func (d *duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil {
		// A TypeError lets the decoder go on and report the other faults too.
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is not a length of time: write 90s, 15m or 1h30m", n.Line, n.Value)}}
	}
	*d = duration(v)
	return nil
}

// Parse checks raw, which name is given to in messages. Variables, of which the first that has a value counts, override
// the file's keys as Variable names them. The error joins every fault that was found.
func Parse(name string, raw []byte, variables ...func(string) string) (*Config, error) {
	var f file
	c, err := decode(name, raw, &f)
	if err != nil {
		return nil, err
	}
	c.override(&f, func(name string) string {
		for _, v := range variables {
			if text := v(name); text != "" {
				return text
			}
		}
		return ""
	})
	c.deployed = f.Deploy != nil
	out := c.config(f)
	out.missing = c.missing
	out.name, out.raw, out.variables = name, raw, variables
	return out, errors.Join(c.faults...)
}

// decode reads raw into a file's shape, as strictly as YAML can be read, and returns what further faults are told with.
func decode(name string, raw []byte, into any) (*checker, error) {
	dec := yaml.NewDecoder(bytes.NewReader(raw))
	dec.KnownFields(true)
	err := dec.Decode(into)
	if errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: is empty", name)
	}
	if bad, ok := errors.AsType[*yaml.TypeError](err); ok {
		var faults []error
		for _, e := range bad.Errors {
			faults = append(faults, fmt.Errorf("%s:%s", name, plain(e)))
		}
		return nil, errors.Join(faults...)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %s", name, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: has a second document after \"---\"; only one is read", name)
	}
	c := &checker{name: name, told: map[string]bool{}}
	c.lines, c.empty = lines(raw)
	return c, nil
}

var unknownField = formOf(`^line (\d+): field (\S+) not found in type config\.(\w+)$`, 0)

// plain turns the decoder's message into one that names the key that was probably meant.
func plain(e string) string {
	m := unknownField.FindStringSubmatch(e)
	if m == nil {
		line, what, _ := strings.Cut(strings.TrimPrefix(e, "line "), ": ")
		return line + ": " + strings.ReplaceAll(what, "!!", "")
	}
	var keys []string
	for _, t := range []any{file{}, signIn{}, alb{}, oidc{}, deadman{}, beat{}, notify{}, audit{}, endpoint{}, typical{}, hours{}, window{}, route{}, lease{}, idle{},
		deploySection{}, loadBalancer{}, userPool{}, accessRules{}, accessRule{}, accessHours{}, casesFile{}, accessCase{}} {
		if rt := reflect.TypeOf(t); rt.Name() == m[3] {
			for i := range rt.NumField() {
				keys = append(keys, rt.Field(i).Tag.Get("yaml"))
			}
		}
	}
	if near := nearest(m[2], keys); distance(near, m[2]) <= 2 {
		return fmt.Sprintf("%s: unknown key %q: did you mean %q?", m[1], m[2], near)
	}
	return fmt.Sprintf("%s: unknown key %q: here belong %s", m[1], m[2], strings.Join(keys, ", "))
}

// nearest is the one of some names that is most like another.
func nearest(name string, known []string) string {
	return slices.MinFunc(known, func(a, b string) int { return cmp.Compare(distance(a, name), distance(b, name)) })
}

// distance counts the single-character changes between two keys (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// lines maps each dotted path of the file, "endpoints.0.subnets", to its line. Empty are those without a value.
func lines(raw []byte) (out map[string]int, empty []string) {
	out = map[string]int{}
	var doc yaml.Node
	if yaml.Unmarshal(raw, &doc) != nil || len(doc.Content) == 0 {
		return out, nil
	}
	var walk func(path string, n *yaml.Node)
	walk = func(path string, n *yaml.Node) {
		switch n.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(n.Content); i += 2 {
				p := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
				out[p] = n.Content[i].Line
				walk(p, n.Content[i+1])
			}
		case yaml.SequenceNode:
			for i, x := range n.Content {
				p := fmt.Sprintf("%s.%d", path, i)
				out[p] = x.Line
				walk(p, x)
			}
		case yaml.ScalarNode:
			if n.Tag == "!!null" {
				empty = append(empty, path)
			}
		}
	}
	walk("", doc.Content[0])
	return out, empty
}

type checker struct {
	name     string
	lines    map[string]int
	empty    []string
	told     map[string]bool // paths that a variable has set
	deployed bool            // there is a deploy section, and a stack that will tell what is missing
	missing  []string
	faults   []error
}

// fault reports what is wrong at a path; a path that is not in the file is reported at its nearest parent.
func (c *checker) fault(path, format string, args ...any) {
	if c.told[path] {
		c.faults = append(c.faults, fmt.Errorf("%s, for %s: %s", Variable(path), path, fmt.Sprintf(format, args...)))
		return
	}
	line := 1
	for p := path; p != ""; {
		if l, ok := c.lines[p]; ok {
			line = l
			break
		}
		i := strings.LastIndex(p, ".")
		p = p[:max(i, 0)]
	}
	c.faults = append(c.faults, fmt.Errorf("%s:%d: %s: %s", c.name, line, path, fmt.Sprintf(format, args...)))
}

// require reports whether v has the form; what says which form it is.
func (c *checker) require(path, v string, form interface{ MatchString(string) bool }, what string) {
	if v == "" {
		c.fault(path, "is missing: %s", what)
	} else if !form.MatchString(v) {
		c.fault(path, "%q is not %s", v, what)
	}
}

// needed is require for what a deployment tells.
func (c *checker) needed(path, v string, form form, what string) {
	if v == "" && c.deployed {
		c.missing = append(c.missing, path)
		return
	}
	c.require(path, v, form, what)
}

var (
	regionForm   = formOf(`^[a-z]{2}(-[a-z]+)+-\d$`, 0)
	tableForm    = formOf(`^[a-zA-Z0-9_.-]{3,}$`, 255)
	albForm      = formOf(`^arn:aws[a-z-]*:elasticloadbalancing:[a-z0-9-]+:\d{12}:loadbalancer/app/[^/]+/[0-9a-f]+$`, 0)
	clientForm   = formOf(`^[\w+]+$`, 128)
	issuerForm   = formOf(`^https://[^\s?#]+[^\s?#/]$`, 0)
	oidcForm     = formOf(`^https://[^\s?#]+$`, 0)
	wordForm     = formOf(`^\S+$`, 0)
	redirectForm = formOf(`^https://[^\s/?#@]+/oauth2/callback$`, 0)
	urlForm      = formOf(`^https://[^\s/]+/\S*$`, 0)
	cookieForm   = formOf(`^[\w-]+$`, 64)
	groupForm    = formOf(`^[0-9a-zA-Z_.-]+$`, 64)
	roleForm     = formOf(`^arn:aws[a-z-]*:iam::(\d{12}):role/.+$`, 0)
	externalForm = formOf(`^[\w+=,.@:/-]{2,}$`, 0) // AssumeRole's (STS API Reference)
	claimForm    = formOf(`^[!-~]+$`, 128)
	nameForm     = formOf(`^[a-z0-9][a-z0-9-]*$`, 63)
	endpointForm = formOf(`^cvpn-endpoint-[0-9a-f]+$`, 0)
	sgForm       = formOf(`^sg-[0-9a-f]+$`, 0)
	subnetForm   = formOf(`^subnet-[0-9a-f]+$`, 0)
)

// form is how a value is written: an expression that is compiled when it is first asked, because each start of a function
// would pay for all of them, and how many bytes the value has at most; 0: any number. The expression could count them
// itself, as {1,128} does, but is then compiled into a hundred copies of what it counts.
type form struct {
	expression func() *regexp.Regexp
	most       int
}

func formOf(expression string, most int) form {
	return form{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) }), most}
}

func (f form) MatchString(s string) bool {
	return (f.most == 0 || len(s) <= f.most) && f.expression().MatchString(s)
}

// FindStringSubmatch is regexp's, of a value of any length.
func (f form) FindStringSubmatch(s string) []string { return f.expression().FindStringSubmatch(s) }

// keepDaysMost is a hundred years: more is a slip of the finger.
const keepDaysMost = 36500

// idleLeast is the shortest absence of traffic that may count as idle. EC2's byte counters may be minutes old.
const idleLeast = 15 * time.Minute

func (c *checker) config(f file) *Config {
	out := &Config{Region: f.Region, Table: f.Table, BeatFor: time.Duration(f.Beat.For)}
	c.require("region", f.Region, regionForm, "an AWS Region, like eu-central-1")
	if f.Deploy != nil {
		out.Deploy, out.ownIssuer = c.deploy(f), c.ownIssuer(f)
	}
	if c.deployed {
		for path, text := range map[string]string{"table": f.Table, "deadman.group": f.Deadman.Group, "deadman.role_arn": f.Deadman.RoleARN, "deadman.dead_letter_arn": f.Deadman.DeadLetterARN} {
			if text != "" && !c.told[path] {
				c.fault(path, "is the stack's to tell: leave it out beside deploy")
			}
		}
	}
	c.needed("table", f.Table, tableForm, "a DynamoDB table's name")
	c.signIn(f, out)
	c.needed("deadman.group", f.Deadman.Group, groupForm, "the schedule group's name")
	c.needed("deadman.role_arn", f.Deadman.RoleARN, roleForm, "the ARN of the role that the schedules act as")
	if out.BeatFor == 0 {
		out.BeatFor = 50 * time.Second
	}
	if out.BeatFor < 0 {
		c.fault("beat.for", "must be longer than nothing")
	}
	if f.Deadman.DeadLetterARN != "" {
		c.require("deadman.dead_letter_arn", f.Deadman.DeadLetterARN, queueForm, deadLetterWords)
	}
	if n := f.Notify; n != nil {
		out.Notify = &Notify{cmp.Or(n.Format, "slack"), cmp.Or(n.Language, "en"), n.Page}
		if !slices.Contains([]string{"slack", "json"}, out.Notify.Format) {
			c.fault("notify.format", "%q is neither slack nor json", n.Format)
		}
		if !slices.Contains([]string{"en", "ko", "ja"}, out.Notify.Language) {
			c.fault("notify.language", "%q is none of en, ko, ja", n.Language)
		}
		c.require("notify.page", n.Page, urlForm, "the address of the page, https://vpn.example.com/")
	}
	if f.Audit != nil {
		switch d := f.Audit.KeepDays; {
		case d == nil:
			c.fault("audit.keep_days", "is missing: for how many days audit entries are kept; leave out audit to keep them for ever")
		case *d < 1 || *d > keepDaysMost:
			c.fault("audit.keep_days", "%d is not between 1 and %d; leave out audit to keep entries for ever", *d, keepDaysMost)
		default:
			out.KeepAudit = time.Duration(*d) * 24 * time.Hour
		}
	}
	if len(f.Endpoints) == 0 {
		c.fault("endpoints", "is missing: name at least one Client VPN endpoint")
	}
	names, ids := map[string]bool{}, map[string]bool{}
	for i, e := range f.Endpoints {
		path := fmt.Sprintf("endpoints.%d", i)
		if names[e.Name] || ids[e.ID] {
			c.fault(path, "%s (%s) is configured twice", e.Name, e.ID)
		}
		names[e.Name], ids[e.ID] = true, true
		made := c.endpoint(path, e)
		c.place(path, f, e, &made)
		if !f.Rehearsal && made.Policy.IdleAfter < idleLeast {
			c.fault(path+".idle.after", "is shorter than %v: how fresh AWS's traffic counters are is not documented, and people at work would be cut off (rehearsal: true allows it)", idleLeast)
		}
		out.Endpoints = append(out.Endpoints, made)
	}
	if out.Access = c.access(f.Access, out.Endpoints); f.Access != nil {
		out.Contact = f.Access.Contact
	}
	return out
}

func (c *checker) signIn(f file, out *Config) {
	in := f.SignIn
	if in.Pending {
		if out.SignInPending = true; !c.deployed {
			c.fault("signin.pending", "is for a deployment that has no identity provider yet: leave it out")
		}
		return
	}
	if c.deployed {
		switch {
		case out.Deploy.Front == FrontALB && in.OIDC != nil:
			c.fault("signin.oidc", "is for deploy.front: httpapi: behind a load balancer that signs people in write alb, or nothing")
			return
		case out.Deploy.Front == FrontHTTPAPI && in.ALB != nil:
			c.fault("signin.alb", "is for deploy.front: alb: behind an HTTP API write oidc, or nothing")
			return
		case out.Deploy.Front == FrontALB && in.ALB == nil:
			in.ALB = &alb{}
		case out.Deploy.Front == FrontHTTPAPI && in.OIDC == nil:
			in.OIDC = &oidc{}
		}
	}
	switch {
	case in.ALB == nil && in.OIDC == nil:
		c.fault("signin", "is missing: name a load balancer that signs people in (alb), or an issuer at which Nightlatch does (oidc)")
	case in.ALB != nil && in.OIDC != nil:
		c.fault("signin", "names both alb and oidc: a function has one front")
	case in.ALB != nil:
		out.ALB = c.alb(*in.ALB)
	default:
		out.OIDC = c.oidc(*in.OIDC)
	}
}

func (c *checker) alb(a alb) *ALB {
	c.needed("signin.alb.arn", a.ARN, albForm, "the load balancer's full ARN, arn:aws:elasticloadbalancing:…:loadbalancer/app/…")
	c.needed("signin.alb.client_id", a.ClientID, clientForm, "the Cognito app client's id")
	c.needed("signin.alb.issuer", a.Issuer, issuerForm, "the user pool's issuer, https://cognito-idp.REGION.amazonaws.com/POOL")
	c.needed("signin.alb.logout_url", a.LogoutURL, urlForm, "an https URL, https://DOMAIN/logout?client_id=…&logout_uri=…, which ends the user pool's session")
	c.origins("signin.alb.sign_in_origins", a.SignInOrigins)
	claim := cmp.Or(a.GroupsClaim, defaultGroupsClaim)
	c.groupsClaim("signin.alb.groups_claim", claim)
	cookie := cmp.Or(a.SessionCookie, defaultSessionCookie)
	c.require("signin.alb.session_cookie", cookie, cookieForm, "the name of the load balancer's cookies, without the number behind it")
	return &ALB{a.ARN, a.ClientID, a.Issuer, a.LogoutURL, a.SignInOrigins, claim, cookie}
}

// defaultSessionCookie is the load balancer's own default ("Authenticate users using an Application Load Balancer").
const defaultSessionCookie = "AWSELBAuthSessionCookie"

const (
	callbackPath = "/oauth2/callback"
	// sessionDefault and sessionMost: a working day.
	sessionDefault = 10 * time.Hour
	sessionMost    = 12 * time.Hour
)

// ownParams are what a sign-in is proved by; nobody else may set them.
var ownParams = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "request", "request_uri"}

func (c *checker) oidc(o oidc) *OIDC {
	out := &OIDC{o.Issuer, o.ClientID, o.RedirectURL, o.LogoutURL, o.Scopes, o.AuthorizeParams, o.GroupsClaim, cmp.Or(time.Duration(o.Session), sessionDefault), o.SignInOrigins}
	c.needed("signin.oidc.issuer", o.Issuer, oidcForm, "the issuer, https://…, exactly as in the tokens that it signs")
	c.needed("signin.oidc.client_id", o.ClientID, wordForm, "the client's id at the issuer")
	c.needed("signin.oidc.redirect_url", o.RedirectURL, redirectForm, "the page's host with "+callbackPath+", https://vpn.example.com"+callbackPath+", as it is registered at the issuer")
	if o.LogoutURL != "" {
		c.require("signin.oidc.logout_url", o.LogoutURL, urlForm, "an https URL, which ends the issuer's session")
	} else if strings.HasPrefix(o.Issuer, "https://cognito-idp.") {
		// "Logout endpoint", Amazon Cognito Developer Guide: logout_uri, where the standard has post_logout_redirect_uri.
		c.fault("signin.oidc.logout_url", "is missing: Cognito is not told in the standard's words where to lead back to: https://DOMAIN/logout?client_id=…&logout_uri=https%%3A%%2F%%2FHOST%%2Fsigned-out")
	}
	if o.Scopes == nil {
		out.Scopes = []string{"openid", "email", "profile"}
	} else if !slices.Contains(o.Scopes, "openid") {
		c.fault("signin.oidc.scopes", "openid must be among them: without it nobody is named")
	}
	for _, name := range slices.Sorted(maps.Keys(o.AuthorizeParams)) {
		if slices.Contains(ownParams, name) {
			c.fault("signin.oidc.authorize_params."+name, "is Nightlatch's own: the sign-in is proved by it")
		}
	}
	if o.GroupsClaim != "" {
		c.groupsClaim("signin.oidc.groups_claim", o.GroupsClaim)
	}
	if out.Session < time.Minute || out.Session > sessionMost {
		c.fault("signin.oidc.session", "%v is not between a minute and %v, a working day", out.Session, sessionMost)
	}
	c.origins("signin.oidc.sign_in_origins", o.SignInOrigins)
	return out
}

func (c *checker) origins(path string, origins []string) {
	for i, o := range origins {
		if u, err := url.Parse(o); err != nil || !httpsURL(o) || u.Path != "" || u.RawQuery != "" {
			c.fault(fmt.Sprintf("%s.%d", path, i), "%q is not an origin, like https://example.awsapps.com", o)
		}
	}
}

func (c *checker) endpoint(path string, e endpoint) Endpoint {
	c.require(path+".name", e.Name, nameForm, "a short name of a-z, 0-9 and -, used in addresses and commands")
	c.require(path+".id", e.ID, endpointForm, "a Client VPN endpoint's id, cvpn-endpoint-…")
	p := latch.DefaultPolicy()
	for i, s := range e.Subnets {
		c.require(fmt.Sprintf("%s.subnets.%d", path, i), s, subnetForm, "a subnet's id, subnet-…")
		p.Subnets = append(p.Subnets, latch.SubnetID(s))
	}
	switch e.Associate {
	case "", "one":
	case "all":
		p.All = true
	default:
		c.fault(path+".associate", "%q is neither one nor all", e.Associate)
	}
	for i, r := range e.Routes {
		if d, err := netip.ParsePrefix(r.Destination); err != nil || d != d.Masked() {
			c.fault(fmt.Sprintf("%s.routes.%d.destination", path, i), "%q is not a CIDR block with its host bits off, like 10.1.0.0/16", r.Destination)
		}
		p.Routes = append(p.Routes, latch.Route{Destination: r.Destination, Subnet: latch.SubnetID(r.Subnet), Description: r.Description})
	}
	for i, g := range e.SecurityGroups {
		c.require(fmt.Sprintf("%s.security_groups.%d", path, i), g, sgForm, "a security group's id, sg-…")
		p.Groups = append(p.Groups, latch.GroupID(g))
	}
	set := func(into *time.Duration, d duration) {
		if d != 0 {
			*into = time.Duration(d)
		}
	}
	set(&p.LeaseDefault, e.Lease.Default)
	set(&p.LeaseMax, e.Lease.Max)
	set(&p.IdleAfter, e.Idle.After)
	set(&p.IdleWindow, e.Idle.Window)
	set(&p.TrafficMax, e.Idle.Max)
	set(&p.UnusedAfter, e.UnusedAfter)
	set(&p.AbsoluteMax, e.AbsoluteMax)
	set(&p.LookEvery, e.LookEvery)
	if e.Idle.Floor != nil {
		p.IdleFloor = *e.Idle.Floor
	}
	if e.Warn != nil {
		p.Warn = nil
		for _, w := range e.Warn {
			p.Warn = append(p.Warn, time.Duration(w))
		}
	}
	if len(e.Lease.Choices) > 0 {
		p.LeaseChoices = nil
		for _, d := range e.Lease.Choices {
			p.LeaseChoices = append(p.LeaseChoices, time.Duration(d))
		}
	}
	switch e.Lease.Reason {
	case "", "optional":
	case "required":
		p.ReasonRequired = true
	default:
		c.fault(path+".lease.reason", "%q is neither optional nor required", e.Lease.Reason)
	}
	switch e.Mode {
	case "", "act":
	case "observe":
		p.Observe = true
	default:
		c.fault(path+".mode", "%q is neither act nor observe", e.Mode)
	}
	p.ByHand = cmp.Or(latch.ByHand(e.ByHand), p.ByHand)
	p.OnVisit = cmp.Or(latch.OnVisit(e.OnVisit), p.OnVisit)
	loc, err := time.LoadLocation(cmp.Or(e.TimeZone, "UTC"))
	if err != nil || e.TimeZone == "Local" {
		c.fault(path+".time_zone", "%q is not a time zone, like Asia/Seoul", e.TimeZone)
		loc = time.UTC
	}
	p.Typical = map[latch.Phase]latch.Range{}
	for phase, s := range map[latch.Phase]string{latch.PhaseAssociate: e.Typical.Associate, latch.PhaseRoutes: e.Typical.Routes, latch.PhaseClose: e.Typical.Close} {
		if s == "" {
			continue
		}
		first, last, _ := strings.Cut(s, "-")
		from, err1 := time.ParseDuration(first)
		to, err2 := time.ParseDuration(last)
		if err1 != nil || err2 != nil {
			c.fault(path+".typical."+string(phase), "%q is not from a time to another, like 4m-10m", s)
			continue
		}
		p.Typical[phase] = latch.Range{From: from, To: to}
	}
	if e.Hours != nil {
		p.Hours = c.hours(path+".hours", *e.Hours, loc)
	}
	for _, err := range p.Check() {
		key, what, _ := strings.Cut(err.Error(), ": ")
		c.fault(path+"."+key, "%s", what)
	}
	if e.SelfServiceURL != "" && !httpsURL(e.SelfServiceURL) {
		c.fault(path+".self_service_url", "%q is not an https URL", e.SelfServiceURL)
	}
	return Endpoint{Name: e.Name, Title: cmp.Or(e.Title, e.Name), ID: latch.EndpointID(e.ID), Policy: p, Location: loc, SelfServiceURL: e.SelfServiceURL}
}

// place fills in where the endpoint is and who acts there, which is as at the top of the file unless it says otherwise.
func (c *checker) place(path string, f file, e endpoint, into *Endpoint) {
	into.Region, into.RoleARN, into.ExternalID = cmp.Or(e.Region, f.Region), e.RoleARN, e.ExternalID
	into.Deadman = Deadman{cmp.Or(e.Deadman.Group, f.Deadman.Group), cmp.Or(e.Deadman.RoleARN, f.Deadman.RoleARN), e.Deadman.DeadLetterARN}
	if e.Region != "" {
		c.require(path+".region", e.Region, regionForm, "an AWS Region, like eu-central-1")
	}
	if e.RoleARN != "" {
		c.require(path+".role_arn", e.RoleARN, roleForm, "the ARN of a role in the endpoint's account that the functions' role may assume")
	}
	if e.ExternalID != "" {
		c.require(path+".external_id", e.ExternalID, externalForm, "an external id: two or more letters, digits or + = , . @ : / _ -")
		if e.RoleARN == "" {
			c.fault(path+".external_id", "is for assuming a role: name that in role_arn")
		}
	}
	if e.Deadman.Group != "" {
		c.require(path+".deadman.group", e.Deadman.Group, groupForm, "the schedule group's name")
	}
	if e.Deadman.RoleARN != "" {
		c.require(path+".deadman.role_arn", e.Deadman.RoleARN, roleForm, "the ARN of the role that the schedules act as")
	}
	if e.Deadman.DeadLetterARN != "" {
		c.require(path+".deadman.dead_letter_arn", e.Deadman.DeadLetterARN, queueForm, deadLetterWords)
	}
	// The dead-man's switch must be where the endpoint is, and what it needs there does not come with the top level's.
	home, own := account(f.Deadman.RoleARN), account(into.Deadman.RoleARN)
	at := cmp.Or(account(e.RoleARN), home)
	if at == home && into.Region == f.Region { // a queue elsewhere is another one
		into.Deadman.DeadLetterARN = cmp.Or(e.Deadman.DeadLetterARN, f.Deadman.DeadLetterARN)
	}
	if c.deployed { // the stack's are told later, and what another place needs is rendered for it
		into.Deadman.Group = cmp.Or(e.Deadman.Group, f.Deadman.Group)
		if e.Deadman.Group != "" && e.RoleARN == "" && into.Region == f.Region {
			c.fault(path+".deadman.group", "is the stack's, for an endpoint that is where the deployment is: leave it out")
		}
		if e.Deadman.RoleARN != "" && e.RoleARN == "" {
			c.fault(path+".deadman.role_arn", "is the stack's, for an endpoint of the deployment's account: leave it out")
		}
		if e.RoleARN != "" && e.Deadman.RoleARN == "" {
			c.fault(path+".deadman.role_arn", "is missing: the role in account %s that the endpoint's dead-man's switches act as; nightlatch deploy template --endpoint %s makes it", account(e.RoleARN), e.Name)
			return
		}
	}
	if home != "" && !c.deployed && e.Deadman.Group == "" && (at != home || into.Region != f.Region) {
		c.fault(path+".deadman.group", "is missing: the endpoint's dead-man's switches are schedules in %s of account %s: name a schedule group that exists there", into.Region, at)
	}
	if own != "" && own != at {
		c.fault(path+".deadman.role_arn", "needs a role of account %s, in which the endpoint's dead-man's switches are made: one that trusts scheduler.amazonaws.com and may call "+
			"ec2:DisassociateClientVpnTargetNetwork; %s is of account %s", at, into.Deadman.RoleARN, own)
	}
}

// queueForm is DeadLetterConfig's (EventBridge Scheduler API Reference); no FIFO queue is of it.
var queueForm = regexp.MustCompile(`^arn:aws(-[a-z]+)?:sqs:[a-z0-9-]+:\d{12}:[a-zA-Z0-9_-]+$`)

const deadLetterWords = "the ARN of a standard SQS queue, for dead-man's switches that could not fire"

// account is the account of a role, empty when the ARN is not a role's.
func account(roleARN string) string {
	if m := roleForm.FindStringSubmatch(roleARN); m != nil {
		return m[1]
	}
	return ""
}

func (c *checker) hours(path string, h hours, loc *time.Location) *latch.Hours {
	out := &latch.Hours{Location: loc, Close: h.Close}
	for i, w := range h.Windows {
		at := fmt.Sprintf("%s.windows.%d", path, i)
		days, ok := weekdays(w.Days)
		if !ok {
			c.fault(at+".days", "%q is not a list of days: write mon-fri, or mon,wed,sat", w.Days)
		}
		from, okFrom := clock(w.From)
		to, okTo := clock(w.To)
		if !okFrom {
			c.fault(at+".from", "%q is not a time of day: write 08:00, in quotes", w.From)
		}
		if !okTo {
			c.fault(at+".to", "%q is not a time of day: write 19:00, or 24:00, in quotes", w.To)
		}
		if ok && okFrom && okTo {
			out.Windows = append(out.Windows, latch.Window{Days: days, From: from, To: to})
		}
	}
	if len(h.Windows) > 0 && len(out.Windows) == 0 { // told already
		return nil
	}
	return out
}

var dayNames = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// weekdays reads "mon-fri" or "mon,wed,sat"; a span may go over the end of the week.
func weekdays(s string) (days []time.Weekday, ok bool) {
	day := func(name string) int { return slices.Index(dayNames, strings.ToLower(strings.TrimSpace(name))) }
	for part := range strings.SplitSeq(s, ",") {
		first, last, span := strings.Cut(part, "-")
		from, to := day(first), day(first)
		if span {
			to = day(last)
		}
		if from < 0 || to < 0 {
			return nil, false
		}
		for d := from; ; d = (d + 1) % 7 {
			if !slices.Contains(days, time.Weekday(d)) {
				days = append(days, time.Weekday(d))
			}
			if d == to {
				break
			}
		}
	}
	return days, true
}

var clockForm = formOf(`^([01]\d|2[0-4]):([0-5]\d)$`, 0)

// clock reads "08:30" as minutes after midnight.
func clock(s string) (int, bool) {
	m := clockForm.FindStringSubmatch(s)
	if m == nil {
		return 0, false
	}
	h, _ := strconv.Atoi(m[1])
	min, _ := strconv.Atoi(m[2])
	return h*60 + min, h*60+min <= 24*60
}

func httpsURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != ""
}
