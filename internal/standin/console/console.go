// Package console is the demo's own page: it shows the chain live and lets the viewer play in it. It is the one part
// of the demo that has no counterpart in production, and says so; nothing in the chain knows of it.
//
// The page is rendered by the server and works without JavaScript; with it, a small script asks for the state each
// second. The same state and acts are an API for scripts, JSON both ways:
//
//	GET    /api/state                    all that the page shows: now, site, chain, endpoints, bill, schedules,
//	                                     accounts, authenticator, breaks, messages
//	GET    /api/hops?after=SEQ           {"last": seq, "hops": [...]}: messages since, oldest first, of the last 500
//	POST   /api/clients                  {"endpoint": "cvpn-endpoint-…", "user": "alice"} -> 201 {"id": "…"}
//	POST   /api/clients/{id}/traffic     {"ingress": bytes, "egress": bytes} -> 204; ingress is from the client
//	DELETE /api/clients/{id}             -> 204
//	GET    /api/authenticator            [{"issuer", "account", "code", "next", "secondsLeft"}]
//	POST   /api/authenticator            {"uri": "otpauth://totp/…"} or {"key": "BASE32", "account": "alice"} -> 201
//	DELETE /api/authenticator/{account}  -> 204
//	GET    /api/breaks/{name}            {"name", "about", "on"}
//	POST   /api/breaks/{name}            {"on": true} -> 200, as GET
//	POST   /api/chores/{name}            {} -> 204
//	POST   /api/webhook                  {"text": "…"} -> 204: an incoming webhook, as Slack has; the page shows what came
//	GET    /api/hops/{name}/last         {"name", "label", "at", "text"}: the last message at a hop, decoded
//
// A failure is {"error": "a sentence that says what to do"}.
//
// There is no sign-in: whoever reaches loopback may read the demo's made-up passwords. Three things keep other web sites
// out of it: the Host header must be the console's (DNS rebinding), a cross-origin change is refused, and no answer may
// be read or framed by another origin.
package console

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

const (
	// bodyMax is plenty for an enrolment link, the longest thing that is sent here.
	bodyMax = 16 << 10
	// bytesMax bounds one burst of traffic, so that no counter overflows: a tebibyte.
	bytesMax = 1 << 40
)

// Config is what a Console works with.
type Config struct {
	SiteURL  string    // the product's page
	Front    string    // the hop that serves it: "httpapi", or "alb", which is the default
	Accounts []Account // who can sign in there

	Endpoints func() []Endpoint
	Bill      func() Bill
	Schedules func() []Schedule

	// The three acts of a VPN client. Their errors are shown to the person who plays it.
	Connect    func(endpointID, user string) (connectionID string, err error)
	Send       func(connectionID string, ingress, egress uint64) error
	Disconnect func(connectionID string) error

	// Breaks are switches that break something while they are on.
	Breaks []switches.Switch
	// Unconfirmed are the facts that AWS's documents leave open: on is the other way. They are switched as breaks are.
	Unconfirmed []switches.Switch
	// Chores are what an administrator does now and then, a button each.
	Chores []Chore
	// Decoded is the last exchange of a hop in words, without its secrets; empty: nothing was heard, and the page shows
	// what the hop logged. nil: nothing is heard anywhere.
	Decoded func(hop string) string
	// Deaf says whether the webhook is out of order; nil: never.
	Deaf  func() bool
	Phone *switches.Clock // the pocket authenticator's; nil: a right one
	Ring  *Ring           // that the stand-ins log to; nil: an empty one
	// Hosts are the Host headers that are answered: "console.localhost:8446", "127.0.0.1:8446".
	Hosts     []string
	StateFile string // keeps the pocket authenticator's keys; empty: memory only
	Log       *slog.Logger
}

// Account is somebody of the demo's directory; About says what is wrong with an unhappy one.
type Account struct {
	Username string `json:"username"`
	Password string `json:"password"`
	About    string `json:"about"`
}

// Endpoint is a Client VPN endpoint as EC2 has it.
type Endpoint struct {
	ID           string        `json:"id"`
	Description  string        `json:"description"`
	Status       string        `json:"status"`
	Associations []Association `json:"associations"`
	Routes       []Route       `json:"routes"`
	Connections  []Connection  `json:"connections"`
}

// Association is a target network's, also one that ended lately.
type Association struct {
	ID       string    `json:"id"`
	SubnetID string    `json:"subnetId"`
	Status   string    `json:"status"`
	Message  string    `json:"message"`
	Since    time.Time `json:"since"`
	Ended    time.Time `json:"ended,omitzero"`
}

// Route is one row of an endpoint's route table.
type Route struct {
	Destination string `json:"destination"`
	SubnetID    string `json:"subnetId"`
	Origin      string `json:"origin"`
	Status      string `json:"status"`
	Description string `json:"description"`
}

// Connection is a client's. Ingress is from the client into the VPC.
type Connection struct {
	ID           string    `json:"id"`
	User         string    `json:"user"`
	Status       string    `json:"status"`
	Since        time.Time `json:"since"`
	IngressBytes uint64    `json:"ingressBytes"`
	EgressBytes  uint64    `json:"egressBytes"`
}

// Bill is the time that AWS would have billed, summed over all associations and all connections. In the rounded sums
// every hour that was started counts in full; zero means that the caller did not compute them.
type Bill struct {
	Associations, Connections               time.Duration
	AssociationsRounded, ConnectionsRounded time.Duration
}

// Schedule is one of EventBridge Scheduler's.
type Schedule struct {
	Name       string    `json:"name"`
	Expression string    `json:"expression"`
	Target     string    `json:"target"`
	Next       time.Time `json:"next,omitzero"`
}

// Chore is one thing that an administrator does. Do's error is told to the person as it is.
type Chore struct {
	Name, About string
	Do          func(context.Context) error
}

//go:embed assets
var assets embed.FS

// Console is the page and its API. It starts nothing of its own.
type Console struct {
	c    Config
	keys *authenticator
	page *template.Template
	mail mailbox
	// css and js carry a hash of their content in their paths, so that a browser may keep them and never mixes versions.
	files   map[string]file
	css, js string
}

type file struct {
	kind string
	body []byte
}

// New checks the configuration and reads the state file.
func New(c Config) (*Console, error) {
	switch {
	case c.Endpoints == nil || c.Bill == nil || c.Schedules == nil || c.Connect == nil || c.Send == nil || c.Disconnect == nil:
		return nil, errors.New("console: Endpoints, Bill, Schedules, Connect, Send and Disconnect are required")
	case c.Log == nil:
		return nil, errors.New("console: Log is required")
	case len(c.Hosts) == 0:
		return nil, errors.New("console: Hosts is empty: no request could be answered")
	}
	for _, b := range slices.Concat(c.Breaks, c.Unconfirmed) {
		if b.Name == "" || b.On == nil || b.Set == nil {
			return nil, fmt.Errorf("console: break %q needs a name, On and Set", b.Name)
		}
	}
	c.Front = cmp.Or(c.Front, "alb")
	if passes[c.Front] == "" {
		return nil, fmt.Errorf("console: Front %q is neither alb nor httpapi", c.Front)
	}
	if c.Deaf == nil {
		c.Deaf = func() bool { return false }
	}
	if c.Phone == nil {
		c.Phone = &switches.Clock{}
	}
	if c.Ring == nil {
		c.Ring = NewRing()
	}
	s := &Console{c: c, files: map[string]file{}}
	var err error
	if s.keys, err = openAuthenticator(c.StateFile); err != nil {
		return nil, err
	}
	if s.page, err = template.New("console.html").Funcs(template.FuncMap{"blank": func() blanks { return blanks{} }}).ParseFS(assets, "assets/*.html"); err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	if s.css, err = s.asset("console.css", "text/css; charset=utf-8"); err != nil {
		return nil, err
	}
	s.js, err = s.asset("console.js", "text/javascript; charset=utf-8")
	return s, err
}

func (s *Console) asset(name, kind string) (string, error) {
	body, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return "", fmt.Errorf("console: %w", err)
	}
	sum := sha256.Sum256(body)
	base, ext, _ := strings.Cut(name, ".")
	name = base + "-" + hex.EncodeToString(sum[:6]) + "." + ext
	s.files[name] = file{kind, body}
	return "/assets/" + name, nil
}

// Handler serves the page and the API.
func (s *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /assets/{name}", s.serveAsset)
	mux.HandleFunc("POST /act/{what}", s.form)

	mux.HandleFunc("GET /api/state", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, http.StatusOK, s.state(time.Now())) })
	mux.HandleFunc("GET /api/hops", s.hops)
	mux.HandleFunc("GET /api/hops/{name}/last", s.getLast)
	mux.HandleFunc("GET /hops/{name}", s.showLast)
	mux.HandleFunc("GET /api/authenticator", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, s.keys.codes(s.c.Phone.Now()))
	})
	mux.HandleFunc("GET /api/breaks/{name}", s.getBreak)
	for pattern, do := range map[string]func(*http.Request) (int, any, error){
		"POST /api/clients":                   s.postClient,
		"POST /api/clients/{id}/traffic":      s.postTraffic,
		"DELETE /api/clients/{id}":            s.deleteClient,
		"POST /api/authenticator":             s.postKey,
		"DELETE /api/authenticator/{account}": s.deleteKey,
		"POST /api/breaks/{name}":             s.postBreak,
		"POST /api/chores/{name}":             s.postChore,
		"POST /api/webhook":                   s.postWebhook,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			status, answer, err := do(r)
			if err != nil {
				s.failJSON(w, r, err)
				return
			}
			if answer == nil {
				w.WriteHeader(status)
				return
			}
			writeJSON(w, status, answer)
		})
	}
	return s.guard(mux)
}

// guard is what every request passes: the headers that shut other origins out, whose host it is, whose page sent it.
func (s *Console) guard(mux *http.ServeMux) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		if !s.ours(r.Host) {
			s.fail(w, r, &fault{http.StatusMisdirectedRequest, fmt.Sprintf("%q is not this console's address: open http://%s/", r.Host, s.c.Hosts[0])})
			return
		}
		if err := cross.Check(r); err != nil {
			s.fail(w, r, &fault{http.StatusForbidden, "another web site's page sent this: act on the console's own page"})
			return
		}
		if _, pattern := mux.Handler(r); pattern == "" {
			// The mux decides between 404 and 405 and says what is allowed; the sentence is ours.
			d := &discard{ResponseWriter: w}
			mux.ServeHTTP(d, r)
			if d.status >= 400 {
				s.fail(w, r, &fault{d.status, fmt.Sprintf("there is no %s %s here; the console's page is /", r.Method, r.URL.Path)})
				return
			}
			w.WriteHeader(d.status)
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, bodyMax)
		mux.ServeHTTP(w, r)
	})
}

func (s *Console) ours(host string) bool {
	for _, h := range s.c.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

type discard struct {
	http.ResponseWriter
	status int
}

func (d *discard) WriteHeader(status int)      { d.status = status }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }

func (s *Console) serveAsset(w http.ResponseWriter, r *http.Request) {
	f, ok := s.files[r.PathValue("name")]
	if !ok {
		s.fail(w, r, &fault{http.StatusNotFound, "there is no such file; reload the page"})
		return
	}
	w.Header().Set("Content-Type", f.kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Write(f.body)
}

// fault is an answer other than success, in words for who asked.
type fault struct {
	status int
	say    string
}

func (f *fault) Error() string { return f.say }

// fail answers an error in the form that was asked for, and tells the log.
func (s *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if strings.HasPrefix(r.URL.Path, "/api/") {
		s.failJSON(w, r, err)
		return
	}
	f := s.judge(r, err)
	http.Error(w, f.say, f.status)
}

func (s *Console) failJSON(w http.ResponseWriter, r *http.Request, err error) {
	f := s.judge(r, err)
	writeJSON(w, f.status, map[string]string{"error": f.say})
}

func (s *Console) judge(r *http.Request, err error) *fault {
	f, ok := errors.AsType[*fault](err)
	if tooLarge, large := errors.AsType[*http.MaxBytesError](err); large {
		f = &fault{http.StatusRequestEntityTooLarge, fmt.Sprintf("the request is larger than %d bytes: send less", tooLarge.Limit)}
	} else if store, broken := errors.AsType[*storeError](err); broken {
		f = &fault{http.StatusInternalServerError, "the key could not be kept: " + store.Error()}
	} else if !ok {
		f = &fault{http.StatusBadRequest, err.Error()}
	}
	s.c.Log.Warn("refused", "to", "console", "what", r.Method+" "+r.URL.Path, "status", f.status, "why", f.say)
	return f
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		http.Error(w, `{"error":"the answer could not be written"}`, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// readJSON decodes the one object in the body. A type other than JSON is refused, because it is what a page of another
// origin could send without asking first (CORS, "simple request").
func readJSON(r *http.Request, into any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return &fault{http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json"}
	}
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil {
		if _, more := d.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("text after the object")
		}
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return err
	}
	if err != nil {
		return &fault{http.StatusBadRequest, "this is not the JSON that is wanted here: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	return nil
}

func (s *Console) hops(w http.ResponseWriter, r *http.Request) {
	var after uint64
	if text := r.URL.Query().Get("after"); text != "" {
		var err error
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			s.failJSON(w, r, &fault{http.StatusBadRequest, fmt.Sprintf("after=%q is not a number: give the last one that you have seen", text)})
			return
		}
	}
	hops, last := s.c.Ring.after(after)
	writeJSON(w, http.StatusOK, struct {
		Last uint64 `json:"last"`
		Hops []Hop  `json:"hops"`
	}{last, hops})
}
