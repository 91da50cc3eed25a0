// Package httpapi stands in for an API Gateway HTTP API with a custom domain: the $default route of the $default stage,
// integrated with a Lambda function by payload format version 2.0.
//
//	browser ─▶ domain ─▶ limits ─▶ throttle ─▶ body ─▶ event ─▶ Lambda Invoke API
//	                                                                │
//	browser ◀── status, headers, one Set-Cookie for each cookie ◀── answer
//
// It signs nobody in: it has no authorizer, and passes on whatever a client sends, so that all that is said of a client
// by API Gateway itself stands in the event's requestContext. Nor is it a proxy: the only target is a Lambda function.
// It has no state. What AWS's documents leave open and a function or a client can notice is in Unconfirmed; what else is
// not documented is marked "undocumented" where it is decided.
//
// Sources: "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway", "Quotas for configuring and running an
// HTTP API in API Gateway" and "Troubleshooting issues with HTTP API Lambda integrations" in the API Gateway Developer
// Guide. Beyond them: events and answers that people captured at real HTTP APIs (hotsock/voker, vokerhttp/testdata, of July
// 2026; aws/aws-lambda-go, events/testdata), and what AWS's own Lambda Test Tool was compared with real ones for
// (aws/aws-lambda-dotnet, Tools/LambdaTestTool-v2).
package httpapi

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// Config is the API, its domain and its integration. Fields without a stated default are required.
type Config struct {
	Region, AccountID string
	APIID             string // ten lower-case letters and digits
	Domain            string // the custom domain's name, as clients ask for it by TLS and Host; without a port

	LambdaURL   string // base URL of the Lambda API
	FunctionARN string
	Caller      sigv4.Credentials // what Invoke calls are signed with

	// IntegrationTimeout is how long the function may take, 50 ms to 30 s, which is the default.
	IntegrationTimeout time.Duration
	// BodyTimeout is how long a client may take to send a whole body, 1 s at least. AWS documents no such limit; here it is
	// 30 s by default.
	BodyTimeout time.Duration
	// RateLimit is the stage's throttlingRateLimit, requests a second, and BurstLimit its throttlingBurstLimit; zero: none.
	RateLimit  float64
	BurstLimit int

	Unconfirmed Unconfirmed
	Client      *http.Client // for Lambda; redirects are not followed
	Log         *slog.Logger
}

// Quotas, in bytes. The second of the function's is Lambda's own, which it enforces itself.
const (
	maxHeaders = 10240    // "Total combined size of request line and header values"
	maxBody    = 10 << 20 // "Payload size", 10 MB
	maxTimeout = 30 * time.Second
)

// stage and route are those that an API without others has.
const stage, route = "$default", "$default"

// Server is the API. Its handler may be called from several goroutines.
type Server struct {
	c      Config
	client *http.Client

	mu     sync.Mutex // guards c.Unconfirmed and what follows
	tokens float64    // of the throttle's bucket
	filled time.Time  // when tokens was right
}

// New checks c. It starts nothing.
func New(c Config) (*Server, error) {
	c.IntegrationTimeout = cmp.Or(c.IntegrationTimeout, maxTimeout)
	c.BodyTimeout = cmp.Or(c.BodyTimeout, maxTimeout)
	if err := c.check(); err != nil {
		return nil, err
	}
	client := http.Client{}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Server{c: c, client: &client, tokens: float64(c.BurstLimit), filled: time.Now()}, nil
}

var (
	apiForm    = regexp.MustCompile(`^[a-z0-9]{10}$`)
	domainForm = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+$`)
)

func (c Config) check() error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("httpapi: "+format, args...))
	}
	for _, f := range []struct{ name, value string }{
		{"Region", c.Region}, {"AccountID", c.AccountID}, {"FunctionARN", c.FunctionARN}, {"Caller.AccessKeyID", c.Caller.AccessKeyID},
	} {
		if f.value == "" {
			fault("%s is empty", f.name)
		}
	}
	if !apiForm.MatchString(c.APIID) {
		fault("APIID %q is not ten lower-case letters and digits", c.APIID)
	}
	if !domainForm.MatchString(c.Domain) {
		fault("Domain %q is not a domain name in lower case, without a port", c.Domain)
	}
	if u, err := url.Parse(c.LambdaURL); err != nil || u.Host == "" {
		fault("LambdaURL %q is not a URL with a host", c.LambdaURL)
	}
	if c.IntegrationTimeout < 50*time.Millisecond || c.IntegrationTimeout > maxTimeout {
		fault("IntegrationTimeout %v is not between 50 milliseconds and 30 seconds", c.IntegrationTimeout)
	}
	if c.BodyTimeout < time.Second {
		fault("BodyTimeout %v is less than a second", c.BodyTimeout)
	}
	if c.RateLimit < 0 || c.BurstLimit < 0 || (c.RateLimit == 0) != (c.BurstLimit == 0) {
		fault("RateLimit %v and BurstLimit %d: both, or neither", c.RateLimit, c.BurstLimit)
	}
	if c.Log == nil {
		fault("Log is nil")
	}
	return errors.Join(faults...)
}

// Handler is the domain's HTTPS listener. The time-out of bodies needs a ResponseWriter with SetReadDeadline, as
// net/http's is; one around it needs Unwrap.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began, id := time.Now(), requestID()
		a := s.answer(w, r, id, began)
		a.header.Set("Apigw-Requestid", id)
		a.write(w)
		// The path without its query: at a callback that would be an authorization code.
		what := r.Method + " " + r.URL.Path
		if a.why != "" {
			s.c.Log.Warn("refused", "to", "httpapi", "what", what, "why", a.why, "detail", a.detail)
		}
		s.c.Log.Info("hop", "to", "httpapi", "what", what, "status", a.status, "took", time.Since(began), "detail", a.detail)
	})
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, id string, now time.Time) answer {
	u := s.unconfirmed()
	if a, ok := s.admitted(r, u, now); !ok {
		return a
	}
	body, a, ok := s.body(w, r)
	if !ok {
		return a
	}
	e, err := s.event(r, body, id, now, u)
	if err != nil {
		return refuse(http.StatusBadRequest, "BadRequest", err.Error())
	}
	return s.invoke(r.Context(), e, u)
}

// admitted refuses what never reaches a route. Requests that net/http itself refuses (no Host in HTTP/1.1, malformed
// lines, an unknown Transfer-Encoding) never come this far.
func (s *Server) admitted(r *http.Request, u Unconfirmed, now time.Time) (answer, bool) {
	total := len(r.Method) + 1 + len(r.RequestURI) + 1 + len(r.Proto) + len(r.Host)
	for _, values := range r.Header {
		for _, v := range values {
			total += len(v)
		}
	}
	if total > maxHeaders {
		status := http.StatusRequestHeaderFieldsTooLarge
		if u.LongHeadersAre400 {
			status = http.StatusBadRequest
		}
		return refuse(status, "HeadersTooLong", fmt.Sprintf("request line and header values of %d bytes", total)), false
	}
	// API Gateway finds the API by these names, and answers 403 to one that no API has.
	if name := (&url.URL{Host: r.Host}).Hostname(); !strings.EqualFold(name, s.c.Domain) {
		return refuse(http.StatusForbidden, "Forbidden", "no API has the domain "+strconv.Quote(clip(name))), false
	}
	if r.TLS != nil && !strings.EqualFold(r.TLS.ServerName, s.c.Domain) {
		return refuse(http.StatusForbidden, "Forbidden", "the connection was made to another name than the request's"), false
	}
	if httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return refuse(http.StatusBadRequest, "BadRequest", "an HTTP API does not upgrade a connection"), false // undocumented
	}
	if !u.OddMethodsPass && !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}, r.Method) {
		return refuse(http.StatusNotFound, "NotFound", "no route can name the method "+strconv.Quote(clip(r.Method))), false
	}
	if !s.spend(now) {
		return refuse(http.StatusTooManyRequests, "TooManyRequests", "the stage's throttle is used up"), false
	}
	return answer{}, true
}

// spend takes a token of the stage's bucket ("Throttle requests to your HTTP APIs": the token bucket algorithm).
func (s *Server) spend(now time.Time) bool {
	if s.c.RateLimit == 0 {
		return true
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = min(float64(s.c.BurstLimit), s.tokens+now.Sub(s.filled).Seconds()*s.c.RateLimit)
	s.filled = now
	if s.tokens < 1 {
		return false
	}
	s.tokens--
	return true
}

// body reads all of it, before anybody is invoked: a slow client costs the function nothing.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, answer, bool) {
	connection := http.NewResponseController(w)
	// By the right clock, and without a deadline where there is no connection: in tests that call the handler.
	connection.SetReadDeadline(time.Now().Add(s.c.BodyTimeout))
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		// net/http closes the connection, of which nothing more can be read.
		return nil, refuse(http.StatusRequestTimeout, "RequestTimeout", "the body did not come in time"), false
	}
	connection.SetReadDeadline(time.Time{}) // from here on it is the function that takes its time
	switch {
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "BadRequest", "the request's body broke off"), false
	case len(body) > maxBody:
		return nil, refuse(http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "the request's body has more than 10 MB"), false
	}
	return body, answer{}, true
}

// requestID looks as API Gateway's: eleven bytes in base64.
func requestID() string {
	b := make([]byte, 11)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return base64.URLEncoding.EncodeToString(b)
}

// answer is a response not yet written, with what the log says about it.
type answer struct {
	status int
	header http.Header
	body   []byte
	detail string
	why    string // our word for what was wrong; empty if nothing was
}

// refuse is an answer of API Gateway's own.
func refuse(status int, why, detail string) answer {
	said, err := json.Marshal(map[string]string{"message": http.StatusText(status)})
	if err != nil {
		panic(err) // a map of strings
	}
	return answer{status: status, header: http.Header{"Content-Type": {"application/json"}}, body: said, detail: detail, why: why}
}

func (a answer) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), a.header)
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

func clip(s string) string { return s[:min(len(s), 64)] }
