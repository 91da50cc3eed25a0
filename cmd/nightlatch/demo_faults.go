//go:build !lambda

package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// fault is something that can be broken.
type fault struct {
	name, about string
	blame       string        // the hop at which the tour then ends; empty: the journey takes longer, and ends well
	ahead       time.Duration // how wrong a clock is
	front       string        // the one front that has it; empty: both
}

// sabotages are in the order in which a journey meets them.
var sabotages = []fault{
	{name: "alb", about: "the load balancer answers 503", blame: "alb", front: frontALB},
	{name: "httpapi", about: "the HTTP API answers 503", blame: "httpapi", front: frontHTTPAPI},
	{name: "cognito", about: "the user pool answers 503", blame: "cognito"},
	{name: "issuer-keys", about: "the user pool's OpenID configuration and public keys cannot be had", blame: "cognito", front: frontHTTPAPI},
	{name: "identity-center", about: "Identity Center answers 503", blame: "identity-center"},
	{name: "directory", about: "the directory drops every connection", blame: "directory"},
	{name: "lambda", about: "Lambda refuses to invoke the function", blame: "lambda"},
	{name: "key-server", about: "the load balancer's public keys cannot be had", blame: "key-server", front: frontALB},
	{name: "dynamodb", about: "DynamoDB answers 500", blame: "dynamodb"},
	{name: "ec2", about: "EC2 answers 503", blame: "ec2"},
	{name: "throttle", about: "another program uses up EC2's request rate: every other request is refused"},
	{name: "scheduler", about: "EventBridge Scheduler's API answers 500, so no dead-man's switch can be made", blame: "scheduler"},
	{name: "association", about: "every association ends in association-failed", blame: "association"},
	{name: "beat", about: "the schedule's calls of the beat function fail", blame: "beat"},
	{name: "webhook", about: "the webhook that tells people answers 503", blame: "webhook"},
	{name: "clock-cognito", about: "the user pool's clock is three minutes slow", blame: "cognito", ahead: -3 * time.Minute},
	{name: "clock-alb", about: "the load balancer's clock is ten minutes slow", blame: "lambda", ahead: -10 * time.Minute, front: frontALB},
	{name: "clock-identity-center", about: "Identity Center's clock is five minutes fast", blame: "identity-center", ahead: 5 * time.Minute},
	{name: "clock-phone", about: "the pocket authenticator's clock is five minutes slow", blame: "identity-center", ahead: -5 * time.Minute},
}

// sabotagesAt are those of one front's chain.
func sabotagesAt(front string) []fault {
	return slices.DeleteFunc(slices.Clone(sabotages), func(f fault) bool { return f.front != "" && f.front != front })
}

func namesOf(faults []fault) []string {
	var names []string
	for _, f := range faults {
		names = append(names, f.name)
	}
	return names
}

// faults are the breakages that are switched on.
type faults struct {
	mu     sync.Mutex // guards on and asked
	on     map[string]bool
	asked  map[string]int // requests of EC2, by action: each has a bucket of its own
	clocks map[string]*switches.Clock
}

func newFaults(first string) *faults {
	f := &faults{on: map[string]bool{}, asked: map[string]int{}, clocks: map[string]*switches.Clock{}}
	for _, s := range sabotages {
		if s.ahead != 0 {
			f.clocks[s.name] = &switches.Clock{}
		}
		if s.name == first {
			f.set(s, true)
		}
	}
	return f
}

func (f *faults) broken(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.on[name]
}

func (f *faults) set(s fault, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on[s.name] = on
	if c := f.clocks[s.name]; c != nil && on {
		c.Put(s.ahead)
	} else if c != nil {
		c.Put(0)
	}
}

func (w *world) consoleBreaks() []switches.Switch {
	var out []switches.Switch
	for _, s := range sabotagesAt(w.o.front.name) {
		out = append(out, switches.Switch{Name: s.name, About: s.about,
			On: func() bool { return w.broken(s.name) }, Set: func(on bool) { w.set(s, on) }})
	}
	for _, s := range w.scheduler.Faults() {
		out = append(out, switches.Switch{Name: "scheduler." + s.Name, About: s.About, On: s.On, Set: s.Set})
	}
	for _, s := range w.dynamodb.Faults() {
		out = append(out, switches.Switch{Name: "dynamodb." + s.Name, About: s.About, On: s.On, Set: s.Set})
	}
	return out
}

// unconfirmed are the stand-ins' switches for what AWS's documents leave open.
func (w *world) unconfirmed() []switches.Switch {
	var out []switches.Switch
	type standin struct {
		name     string
		switches []switches.Switch
	}
	all := []standin{{"cognito", w.pool.Switches()}, {"identity-center", w.idc.Switches()}}
	if w.alb != nil {
		all = slices.Insert(all, 0, standin{frontALB, w.alb.Switches()})
	} else {
		all = slices.Insert(all, 0, standin{frontHTTPAPI, w.httpapi.Switches()})
	}
	if w.directory != nil {
		all = append(all, standin{"directory", w.directory.Switches()})
	}
	all = append(all, standin{"lambda", w.lambda.Switches()}, standin{"ec2", w.ec2.Switches()}, standin{"dynamodb", w.dynamodb.Switches()}, standin{"scheduler", w.scheduler.Switches()})
	for _, standin := range all {
		for _, s := range standin.switches {
			out = append(out, switches.Switch{Name: standin.name + "." + s.Name, About: s.About, On: s.On, Set: s.Set})
		}
	}
	return out
}

// setUnconfirmed switches on what --unconfirmed names; "all" is every one of them.
func (w *world) setUnconfirmed() error {
	switches := w.unconfirmed()
	for _, name := range w.o.unconfirmed {
		found := false
		for _, s := range switches {
			// Throttling is no question but trouble: EC2's is on unless somebody switches it off, the others' the other way round.
			if s.Name == name || (name == "all" && !strings.HasSuffix(s.Name, ".Throttle")) {
				s.Set(true)
				found = true
			}
		}
		if !found {
			var names []string
			for _, s := range switches {
				names = append(names, s.Name)
			}
			return fmt.Errorf("--unconfirmed %s: choose all, or of %s", name, strings.Join(names, ", "))
		}
	}
	return nil
}

// breakable answers for h while name is broken.
func (w *world) breakable(name string, broken func(http.ResponseWriter), h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if w.broken(name) {
			w.log.Warn("refused", "to", name, "why", "broken on purpose")
			broken(rw)
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// signInBroken breaks Identity Center's pages. The metadata stays: Cognito reads it every few hours, and would be the
// hop that fails.
func (w *world) signInBroken(h http.Handler) http.Handler {
	broken := w.breakable("identity-center", unavailablePlain, h)
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/saml/metadata/") {
			h.ServeHTTP(rw, r)
			return
		}
		broken.ServeHTTP(rw, r)
	})
}

// throttled lets every other request through while another program is said to use EC2's request rate up.
func (w *world) throttled(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, 1<<20))
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		form, _ := url.ParseQuery(string(body)) // what cannot be read is the stand-in's to refuse
		w.faults.mu.Lock()
		refuse := w.on["throttle"] && w.asked[form.Get("Action")]%2 == 0
		w.asked[form.Get("Action")]++
		w.faults.mu.Unlock()
		if refuse {
			w.log.Warn("refused", "to", "ec2", "why", "RequestLimitExceeded, on purpose")
			refusedEC2(rw, "RequestLimitExceeded", "Request limit exceeded.")
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// failing lets every association fail while that is switched on.
func (w *world) failing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n := 0
		if w.broken("association") {
			n = 1
		}
		w.ec2.FailNextAssociations(n)
		h.ServeHTTP(rw, r)
	})
}

// beatless refuses asynchronous invocations, which only the beat's schedule makes.
func (w *world) beatless(h http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Amz-Invocation-Type") == "Event" && w.broken("beat") {
			unavailableREST(rw)
			return
		}
		h.ServeHTTP(rw, r)
	})
}

// Each service has a shape of its own for "not now".

func unavailablePlain(rw http.ResponseWriter) {
	http.Error(rw, "503 Service Temporarily Unavailable", http.StatusServiceUnavailable)
}

func unavailableEC2(rw http.ResponseWriter) {
	refusedEC2(rw, "Unavailable", "The server is overloaded and can't handle the request.")
}

func refusedEC2(rw http.ResponseWriter, code, message string) {
	rw.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	rw.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintf(rw, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Response><Errors><Error><Code>%s</Code><Message>%s</Message></Error></Errors>"+
		"<RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>", code, message)
}

func unavailableDynamoDB(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
	rw.WriteHeader(http.StatusInternalServerError)
	io.WriteString(rw, `{"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"The request processing has failed because of an unknown error, exception or failure."}`)
}

func unavailableREST(rw http.ResponseWriter) {
	rw.Header().Set("Content-Type", "application/json")
	rw.Header().Set("X-Amzn-Errortype", "InternalServerException")
	rw.WriteHeader(http.StatusInternalServerError)
	io.WriteString(rw, `{"Message":"Unexpected error encountered while processing the request."}`)
}

// breakableListener drops connections while the directory is broken.
type breakableListener struct {
	net.Listener
	faults *faults
}

func (l *breakableListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil || !l.faults.broken("directory") {
			return c, err
		}
		c.Close()
	}
}

// byHost serves AWS's names at one address.
func byHost(services map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if h, ok := services[host]; ok {
			h.ServeHTTP(rw, r)
			return
		}
		http.Error(rw, fmt.Sprintf("nobody stands in for %q here", host), http.StatusMisdirectedRequest)
	})
}

// gateway serves the services that command lines call at one address. What is signed says for which service it is; the rest
// is told apart by what the protocols look like.
func gateway(services map[string]http.Handler) http.Handler {
	hosts := map[string]string{"ec2": hostEC2, "dynamodb": hostDynamoDB, "scheduler": hostScheduler, "sts": hostSTS, "lambda": hostLambda, "cloudformation": hostStacks}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		host := hostEC2
		if service, signed := signedFor(r); signed {
			if host = hosts[service]; services[host] == nil {
				nothingStandsIn(rw, r, service)
				return
			}
		} else {
			switch {
			case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_"):
				host = hostDynamoDB
			case strings.HasPrefix(r.URL.Path, "/schedule"):
				host = hostScheduler
			case strings.Contains(r.URL.Path, "/.well-known/"):
				host = hostIDP // an OIDC client's discovery and keys
			case strings.HasPrefix(r.URL.Path, "/2015-03-31/"):
				host = hostLambda
			}
		}
		services[host].ServeHTTP(rw, r)
	})
}

// signedFor is the service in the credential scope of a signature: KEY/date/region/SERVICE/aws4_request ("Elements of an
// AWS API request signature", IAM User Guide).
func signedFor(r *http.Request) (string, bool) {
	_, rest, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	credential, _, _ := strings.Cut(rest, ",")
	scope := strings.Split(strings.TrimSpace(credential), "/")
	if len(scope) != 5 || scope[4] != "aws4_request" {
		return "", false
	}
	return scope[3], true
}

// nothingStandsIn answers for a service that the demo has no part for, in the form in which its clients read errors; they
// do not try again after a 501.
func nothingStandsIn(rw http.ResponseWriter, r *http.Request, service string) {
	const code = "NotImplemented"
	message := fmt.Sprintf("the demo has nothing that stands in for %s", service)
	var words strings.Builder
	_ = xml.EscapeText(&words, []byte(message)) // a builder takes everything
	body := fmt.Sprintf("<Code>%s</Code><Message>%s</Message>", code, &words)
	contentType := "text/xml"
	switch {
	case service == "s3":
		body = "<Error>" + body + "</Error>"
	case service == "route53", strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded"):
		body = "<ErrorResponse><Error>" + body + "</Error></ErrorResponse>"
	default:
		contentType = "application/json"
		rw.Header().Set("X-Amzn-Errortype", code)
		text, _ := json.Marshal(map[string]string{"__type": code, "message": message}) // strings only
		body = string(text)
	}
	rw.Header().Set("Content-Type", contentType)
	rw.WriteHeader(http.StatusNotImplemented)
	io.WriteString(rw, body)
}
