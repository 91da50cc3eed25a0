// Package alb stands in for an Application Load Balancer: one HTTPS listener whose default rule is authenticate-cognito
// and then forward to a Lambda target group, and the Region's key server for the tokens it signs.
//
//	browser ─▶ limits ─▶ /oauth2/idpresponse ─▶ fixed-response rules ─▶ session cookie ─▶ Lambda Invoke API
//	                        │ code for tokens                              │ none, or over
//	                        ▼                                              ▼
//	                     session cookies, 302 to where it began         nonce cookie, 302 to the authorization endpoint
//
// It is not a proxy: the only target is a Lambda function. It keeps no sessions; as with AWS a session lives in the
// browser's cookie, encrypted, and ends when its own clock says so. Where AWS documents no behaviour, or two, there is
// a switch in Unconfirmed.
//
// Sources: "Authenticate users using an Application Load Balancer", "Use Lambda functions as targets of an Application
// Load Balancer", "Troubleshoot your Application Load Balancers" and "Access logs for your Application Load Balancer"
// in the ELB user guide.
package alb

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// OnUnauthenticated is what the default rule does with a request that carries no session.
type OnUnauthenticated string

// Authenticate is the default. Deny answers 401 to a request without a session, but still redirects one whose session
// is over. Allow forwards without claims.
const (
	Authenticate OnUnauthenticated = "authenticate"
	Deny         OnUnauthenticated = "deny"
	Allow        OnUnauthenticated = "allow"
)

// Config is the load balancer, its listener and its target group. Fields without a stated default are required.
type Config struct {
	Region, AccountID, Name string

	AuthorizationEndpoint, TokenEndpoint, UserInfoEndpoint string
	Issuer, ClientID, ClientSecret                         string

	Scope             string            // default "openid"
	ExtraParams       map[string]string // added to the authorization request; at most 10
	SessionCookieName string            // default "AWSELBAuthSessionCookie"
	SessionTimeout    time.Duration     // 1 s to 7 days, which is the default
	OnUnauthenticated OnUnauthenticated

	// IdleTimeout is idle_timeout.timeout_seconds, 1 s to 4000 s, by default 60 s: how long the client may send nothing of
	// a body that is due. The function may take longer to answer.
	IdleTimeout time.Duration
	// DropInvalidHeaderFields is routing.http.drop_invalid_header_fields.enabled: request headers whose names hold
	// anything but letters, digits and hyphens do not reach the target.
	DropInvalidHeaderFields bool

	Rules []Rule // fixed responses, tried in order before the default rule

	LambdaURL         string // base URL of the Lambda API
	FunctionARN       string
	Caller            sigv4.Credentials // what Invoke calls are signed with
	TargetGroupName   string            // default: Name
	TargetGroupARN    string            // default: made from TargetGroupName
	MultiValueHeaders bool              // lambda.multi_value_headers.enabled

	Unconfirmed Unconfirmed
	// Clock is the load balancer's own, for the tokens, sessions, sign-ins, cookies and dates that it makes and judges;
	// nil is right. Calls to Lambda are signed by the right time, because on AWS that hop is inside the service.
	Clock *switches.Clock

	Client    *http.Client // for the token and userInfo endpoints and Lambda; redirects are not followed
	StateFile string
	Log       *slog.Logger
}

// Rule is a listener rule with a path-pattern condition and a fixed-response action.
type Rule struct {
	Path        string // "*" stands for any characters, "?" for one; case matters; the query is not looked at
	Status      int    // 2XX, 4XX or 5XX
	ContentType string // default "text/plain"
	Body        string // at most 1024 characters
}

// Limits of the user guide's pages on quotas (in bytes), on authentication, and on a load balancer's attributes.
const (
	maxRequestLine     = 16 << 10
	maxHeaderField     = 16 << 10
	maxHeaders         = 64 << 10
	maxResponseHeaders = 32 << 10
	maxForwardedFor    = 30
	maxSession         = 7 * 24 * time.Hour
	maxIdle            = 4000 * time.Second
)

const callbackPath = "/oauth2/idpresponse"

// Server is the load balancer. Its handlers may be called from several goroutines.
type Server struct {
	c      Config
	client *http.Client
	file   *statefile.File
	cipher cipher.AEAD
	arn    string

	mu    sync.Mutex           // guards c.Unconfirmed and what follows
	state state                // as saved
	keys  []signingKey         // newest first; state.Keys parsed
	spent map[string]time.Time // ids of finished sign-ins, and when they may be forgotten
}

// state is what survives a restart: without it every session and every token would die with the process.
type state struct {
	LoadBalancerID string     `json:"loadBalancerId"` // 16 hexadecimal digits, as in an ARN
	TargetGroupID  string     `json:"targetGroupId"`
	CookieKey      []byte     `json:"cookieKey"` // AES-256
	Keys           []savedKey `json:"keys"`      // newest first
}

// New checks c and loads the load balancer's id and keys, or makes and saves them. It starts nothing.
func New(c Config) (*Server, error) {
	c.Scope = cmp.Or(c.Scope, "openid")
	c.SessionCookieName = cmp.Or(c.SessionCookieName, "AWSELBAuthSessionCookie")
	c.SessionTimeout = cmp.Or(c.SessionTimeout, maxSession)
	c.OnUnauthenticated = cmp.Or(c.OnUnauthenticated, Authenticate)
	c.IdleTimeout = cmp.Or(c.IdleTimeout, time.Minute)
	c.Clock = cmp.Or(c.Clock, new(switches.Clock))
	if err := c.check(); err != nil {
		return nil, err
	}
	client := http.Client{}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := &Server{c: c, client: &client, file: statefile.New(c.StateFile, "alb"), spent: map[string]time.Time{}}

	found, err := s.file.Load(&s.state)
	if err != nil {
		return nil, err
	}
	if !found {
		key, err := newSigningKey()
		if err != nil {
			return nil, fmt.Errorf("alb: %w", err)
		}
		s.state = state{LoadBalancerID: randomHex(8), TargetGroupID: randomHex(8), CookieKey: randomBytes(32), Keys: []savedKey{key.saved}}
		if err := s.file.Save(s.state); err != nil {
			return nil, err
		}
	}
	if err := s.adopt(); err != nil {
		return nil, fmt.Errorf("state file %s: %w: nothing was changed; move the file away to start afresh", c.StateFile, err)
	}
	s.arn = fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:loadbalancer/app/%s/%s", c.Region, c.AccountID, c.Name, s.state.LoadBalancerID)
	if c.TargetGroupARN == "" {
		s.c.TargetGroupARN = fmt.Sprintf("arn:aws:elasticloadbalancing:%s:%s:targetgroup/%s/%s", c.Region, c.AccountID, cmp.Or(c.TargetGroupName, c.Name), s.state.TargetGroupID)
	}
	return s, nil
}

// adopt makes working keys of the loaded state.
func (s *Server) adopt() error {
	if len(s.state.LoadBalancerID) != 16 || len(s.state.CookieKey) != 32 || len(s.state.Keys) == 0 {
		return errors.New("the load balancer's id or keys are missing")
	}
	block, err := aes.NewCipher(s.state.CookieKey)
	if err != nil {
		return fmt.Errorf("cookie key: %w", err)
	}
	if s.cipher, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return fmt.Errorf("cookie key: %w", err)
	}
	for _, saved := range s.state.Keys {
		key, err := saved.parse()
		if err != nil {
			return err
		}
		s.keys = append(s.keys, key)
	}
	return nil
}

func (c Config) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("alb: "+format, args...)) }
	for _, f := range []struct{ name, value string }{
		{"Region", c.Region}, {"AccountID", c.AccountID}, {"Name", c.Name}, {"Issuer", c.Issuer}, {"ClientID", c.ClientID},
		{"ClientSecret", c.ClientSecret}, {"FunctionARN", c.FunctionARN}, {"Caller.AccessKeyID", c.Caller.AccessKeyID},
	} {
		if f.value == "" {
			fault("%s is empty", f.name)
		}
	}
	for _, f := range []struct{ name, value string }{
		{"AuthorizationEndpoint", c.AuthorizationEndpoint}, {"TokenEndpoint", c.TokenEndpoint},
		{"UserInfoEndpoint", c.UserInfoEndpoint}, {"LambdaURL", c.LambdaURL},
	} {
		if u, err := url.Parse(f.value); err != nil || u.Host == "" {
			fault("%s %q is not a URL with a host", f.name, f.value)
		}
	}
	if c.SessionTimeout < time.Second || c.SessionTimeout > maxSession {
		fault("SessionTimeout %v is not between 1 second and 7 days", c.SessionTimeout)
	}
	if c.IdleTimeout < time.Second || c.IdleTimeout > maxIdle {
		fault("IdleTimeout %v is not between 1 and 4000 seconds", c.IdleTimeout)
	}
	if !slices.Contains([]OnUnauthenticated{Authenticate, Deny, Allow}, c.OnUnauthenticated) {
		fault("OnUnauthenticated %q is none of authenticate, deny, allow", c.OnUnauthenticated)
	}
	if len(c.ExtraParams) > 10 {
		fault("%d ExtraParams, at most 10 are possible", len(c.ExtraParams))
	}
	if c.Log == nil {
		fault("Log is nil")
	}
	for _, r := range c.Rules {
		if r.Path == "" || len(r.Path) > 128 {
			fault("rule %q: a path pattern has 1 to 128 characters", r.Path)
		}
		if class := r.Status / 100; class != 2 && class != 4 && class != 5 {
			fault("rule %s: status %d is none of 2XX, 4XX, 5XX", r.Path, r.Status)
		}
		if !slices.Contains([]string{"", "text/plain", "text/css", "text/html", "application/javascript", "application/json"}, r.ContentType) {
			fault("rule %s: content type %q is not possible in a fixed response", r.Path, r.ContentType)
		}
		if n := len([]rune(r.Body)); n > 1024 {
			fault("rule %s: the body has %d characters, at most 1024 are possible", r.Path, n)
		}
	}
	return errors.Join(faults...)
}

// ARN is the load balancer's, which the tokens name as their signer.
func (s *Server) ARN() string { return s.arn }

// TargetGroupARN is what events carry in requestContext.elb.
func (s *Server) TargetGroupARN() string { return s.c.TargetGroupARN }

// now is the time by the load balancer's own clock.
func (s *Server) now() time.Time { return s.c.Clock.Now() }

// Handler is the HTTPS listener. Behind a plain one it works too, but browsers do not return its Secure cookies. The
// idle time-out needs a ResponseWriter with SetReadDeadline, as net/http's is; one around it needs Unwrap.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		a := s.answer(r, idleReader{r.Body, http.NewResponseController(w), s.c.IdleTimeout})
		if a.header.Get("Date") == "" {
			a.header.Set("Date", s.now().UTC().Format(http.TimeFormat))
		}
		a.write(w)
		// The path without its query: at the callback that would be an authorization code.
		what := r.Method + " " + r.URL.Path
		if a.why != "" {
			s.c.Log.Warn("refused", "to", "alb", "what", what, "why", a.why, "detail", a.detail)
		}
		s.c.Log.Info("hop", "to", "alb", "what", what, "status", a.status, "took", time.Since(began), "detail", a.detail)
	})
}

func (s *Server) answer(r *http.Request, body io.Reader) answer {
	if a, ok := s.withinLimits(r); !ok {
		return a
	}
	if r.URL.Path == callbackPath { // the load balancer's own, whatever the rules say
		return s.callback(r)
	}
	for _, rule := range s.c.Rules {
		if matches(rule.Path, r.URL.EscapedPath()) {
			a := own(rule.Status, "fixed-response")
			a.header.Set("Content-Type", cmp.Or(rule.ContentType, "text/plain")+"; charset=utf-8")
			a.body = []byte(rule.Body)
			return a
		}
	}
	who, cookies, a, ok := s.authenticate(r)
	if ok {
		a = s.forward(r, body, who)
	}
	for _, c := range cookies {
		a.header.Add("Set-Cookie", c.String())
	}
	return a
}

// withinLimits refuses what a load balancer refuses before it looks at any rule. Requests that net/http itself refuses
// (no Host in HTTP/1.1, malformed lines, an unknown Transfer-Encoding) never come this far.
func (s *Server) withinLimits(r *http.Request) (answer, bool) {
	line := len(r.Method) + 1 + len(r.RequestURI) + 1 + len(r.Proto)
	if line > maxRequestLine {
		status := http.StatusBadRequest
		if s.unconfirmed().LongURIIs414 {
			status = http.StatusRequestURITooLong
		}
		return refuse(status, "RequestLineTooLong", fmt.Sprintf("request line of %d bytes", line)), false
	}
	total := line + len("Host: ") + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			field := len(name) + len(": ") + len(v)
			if total += field; field > maxHeaderField {
				return refuse(http.StatusBadRequest, "HeaderTooLong", fmt.Sprintf("header %s of %d bytes", strconv.Quote(clip(name)), field)), false
			}
		}
	}
	if total > maxHeaders {
		return refuse(http.StatusBadRequest, "HeadersTooLong", fmt.Sprintf("request headers of %d bytes", total)), false
	}
	if r.Method == http.MethodTrace {
		return refuse(http.StatusMethodNotAllowed, "MethodNotAllowed", "TRACE"), false
	}
	forwarded := 0
	for _, v := range r.Header.Values("X-Forwarded-For") {
		forwarded += strings.Count(v, ",") + 1
	}
	if forwarded > maxForwardedFor {
		return refuse(463, "ForwardedForTooLong", fmt.Sprintf("%d addresses in X-Forwarded-For", forwarded)), false
	}
	return answer{}, true
}

// idleReader reads a request's body and gives the client so long for the next byte of it. What the server's own
// ReadTimeout says of the whole request is overruled, and forgotten with the end of the body: from there on it is the
// function that takes its time.
type idleReader struct {
	io.Reader
	connection *http.ResponseController
	idle       time.Duration
}

func (r idleReader) Read(p []byte) (int, error) {
	// By the right clock, and without a deadline where there is no connection: in tests that call the handler.
	r.connection.SetReadDeadline(time.Now().Add(r.idle))
	n, err := r.Reader.Read(p)
	if err == io.EOF {
		r.connection.SetReadDeadline(time.Time{})
	}
	return n, err
}

// matches reports whether path fits the pattern: greedy, with one step back to the last "*".
func matches(pattern, path string) bool {
	star, mark, i, j := -1, 0, 0, 0
	for j < len(path) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && (pattern[i] == '?' || pattern[i] == path[j]):
			i, j = i+1, j+1
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// answer is a response not yet written, with what the log says about it.
type answer struct {
	status int
	header http.Header
	body   []byte
	detail string
	why    string // an error_reason code of the access log, or our word where AWS has none; empty if nothing was refused
}

// ownServer is the Server header of the load balancer's own answers.
const ownServer = "awselb/2.0"

// own is an answer of the load balancer's, not the target's.
func own(status int, detail string) answer {
	return answer{status: status, header: http.Header{"Server": {ownServer}}, detail: detail}
}

// refuse is the load balancer's plain error page.
func refuse(status int, why, detail string) answer {
	a := own(status, detail)
	a.why = why
	a.header.Set("Content-Type", "text/html")
	title := fmt.Sprintf("%d %s", status, phrase(status))
	var b bytes.Buffer
	for _, line := range []string{"<html>", "<head><title>" + title + "</title></head>", "<body>", "<center><h1>" + title + "</h1></center>", "</body>", "</html>"} {
		b.WriteString(line + "\r\n")
	}
	a.body = b.Bytes()
	return a
}

// phrase differs from net/http's where the load balancer's does.
func phrase(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "Authorization Required"
	case http.StatusMethodNotAllowed:
		return "Not Allowed"
	case http.StatusRequestTimeout:
		return "Request Time-out"
	case http.StatusRequestURITooLong:
		return "Request-URI Too Large"
	case 463:
		return "Too Many IP Addresses in X-Forwarded-For"
	case http.StatusGatewayTimeout:
		return "Gateway Time-out"
	case 561:
		return "Authentication Error"
	}
	return http.StatusText(status)
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	bodiless := a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if !bodiless {
		w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	if _, typed := a.header["Content-Type"]; !typed {
		w.Header()["Content-Type"] = nil // or net/http would guess one
	}
	w.WriteHeader(a.status)
	if !bodiless {
		w.Write(a.body) // an error here is the client's hanging up
	}
}

// clientIP is the address of the connection, without its port.
func clientIP(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

func clip(s string) string { return s[:min(len(s), 64)] }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return b
}

func randomHex(bytes int) string { return hex.EncodeToString(randomBytes(bytes)) }
