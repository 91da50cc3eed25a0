//go:build !lambda

package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// sabotages are the hops that can be broken, in the order in which a journey meets them.
var sabotages = []string{"alb", "cognito", "identity-center", "directory", "lambda", "key-server", "dynamodb", "ec2", "scheduler", "association", "beat"}

var sabotageAbout = map[string]string{
	"alb":             "the load balancer answers 503",
	"cognito":         "the user pool answers 503",
	"identity-center": "Identity Center answers 503",
	"directory":       "the directory drops every connection",
	"lambda":          "Lambda refuses to invoke the function",
	"key-server":      "the load balancer's public keys cannot be had",
	"dynamodb":        "DynamoDB answers 500",
	"ec2":             "EC2 answers 503",
	"scheduler":       "EventBridge Scheduler's API answers 500, so no dead-man's switch can be made",
	"association":     "every association ends in association-failed",
	"beat":            "the schedule's calls of the beat function fail",
}

// faults are the breakages that are switched on.
type faults struct {
	mu sync.Mutex // guards on
	on map[string]bool
}

func newFaults(first string) *faults {
	f := &faults{on: map[string]bool{}}
	if first != "" {
		f.on[first] = true
	}
	return f
}

func (f *faults) broken(name string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.on[name]
}

func (f *faults) set(name string, on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.on[name] = on
}

func (w *world) consoleBreaks() []switches.Switch {
	var out []switches.Switch
	for _, name := range sabotages {
		out = append(out, switches.Switch{Name: name, About: sabotageAbout[name],
			On: func() bool { return w.broken(name) }, Set: func(on bool) { w.set(name, on) }})
	}
	return out
}

// unconfirmed are the stand-ins' switches for what AWS's documents leave open.
func (w *world) unconfirmed() []switches.Switch {
	var out []switches.Switch
	for _, s := range w.ec2.Switches() {
		out = append(out, switches.Switch{Name: "ec2." + s.Name, About: s.About, On: s.On, Set: s.Set})
	}
	return out
}

// setUnconfirmed switches on what --unconfirmed names; "all" is every one of them.
func (w *world) setUnconfirmed() error {
	switches := w.unconfirmed()
	for _, name := range w.o.unconfirmed {
		found := false
		for _, s := range switches {
			// Throttle is no question: it is on unless somebody switches it off in the console.
			if s.Name == name || (name == "all" && s.Name != "ec2.Throttle") {
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
	rw.Header().Set("Content-Type", "text/xml;charset=UTF-8")
	rw.WriteHeader(http.StatusServiceUnavailable)
	io.WriteString(rw, `<?xml version="1.0" encoding="UTF-8"?>`+"\n"+
		`<Response><Errors><Error><Code>Unavailable</Code><Message>The server is overloaded and can't handle the request.</Message></Error></Errors><RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>`)
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

// gateway serves the services that command lines call at one address, told apart by what their protocols look like.
func gateway(services map[string]http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_"):
			services[hostDynamoDB].ServeHTTP(rw, r)
		case strings.HasPrefix(r.URL.Path, "/schedule"):
			services[hostScheduler].ServeHTTP(rw, r)
		case strings.Contains(r.URL.Path, "/.well-known/"):
			services[hostIDP].ServeHTTP(rw, r) // an OIDC client's discovery and keys
		case strings.HasPrefix(r.URL.Path, "/2015-03-31/"):
			services[hostLambda].ServeHTTP(rw, r)
		default:
			services[hostEC2].ServeHTTP(rw, r)
		}
	})
}
