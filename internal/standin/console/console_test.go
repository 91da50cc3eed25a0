package console_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/console"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

const (
	host     = "console.localhost:8446"
	endpoint = "cvpn-endpoint-0123456789abcdef0"
	base32   = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // "12345678901234567890", the key of RFC 6238's examples
)

// world is a console over a chain of one endpoint and whatever clients were played.
type world struct {
	*testing.T
	console *console.Console
	config  console.Config
	ring    *console.Ring
	log     strings.Builder
	open    bool
	broken  bool
	conns   []console.Connection
}

func newWorld(t *testing.T, change func(*console.Config)) *world {
	t.Helper()
	w := &world{T: t, ring: console.NewRing(), open: true}
	w.config = console.Config{
		SiteURL: "https://vpn.localhost:8443/",
		Accounts: []console.Account{{Username: "alice", Password: "pass-of-alice"},
			{Username: "dave", Password: "pass-of-dave", About: "account is disabled"}},
		Endpoints: func() []console.Endpoint {
			e := console.Endpoint{ID: endpoint, Description: "office <1>", Status: "pending-associate", Connections: w.conns}
			if w.open {
				e.Status = "available"
				e.Associations = []console.Association{{ID: "cvpn-assoc-1", SubnetID: "subnet-a", Status: "associated", Since: time.Now().Add(-6 * time.Minute)}}
				e.Routes = []console.Route{{Destination: "10.0.0.0/16", SubnetID: "subnet-a", Origin: "associate", Status: "active"}}
			}
			return []console.Endpoint{e}
		},
		Bill: func() console.Bill { return console.Bill{Associations: 90 * time.Minute, Connections: 6 * time.Minute} },
		Schedules: func() []console.Schedule {
			return []console.Schedule{
				{Name: "deadman-1", Expression: "at(2026-05-01T12:00:00)", Target: "arn:aws:scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork", Next: time.Now().Add(time.Hour)},
				{Name: "beat", Expression: "rate(1 minutes)", Target: "arn:aws:lambda:us-east-1:111122223333:function:nightlatch-beat", Next: time.Now().Add(time.Minute)}}
		},
		Connect: func(e, user string) (string, error) {
			if e != endpoint {
				return "", fmt.Errorf("no endpoint %s", e)
			}
			if !w.open {
				return "", errors.New("endpoint accepts no connections: open it first")
			}
			id := fmt.Sprintf("cvpn-connection-%d", len(w.conns)+1)
			w.conns = append(w.conns, console.Connection{ID: id, User: user, Status: "active", Since: time.Now()})
			return id, nil
		},
		Send: func(id string, in, out uint64) error {
			return w.with(id, func(c *console.Connection) { c.IngressBytes += in; c.EgressBytes += out })
		},
		Disconnect: func(id string) error { return w.with(id, func(c *console.Connection) { c.Status = "terminated" }) },
		Breaks: []switches.Switch{{Name: "fail-association", About: "The next association fails.",
			On: func() bool { return w.broken }, Set: func(on bool) { w.broken = on }}},
		Ring:  w.ring,
		Hosts: []string{host, "127.0.0.1:8446"},
		Log:   slog.New(slog.NewMultiHandler(w.ring, slog.NewTextHandler(&w.log, nil))),
	}
	if change != nil {
		change(&w.config)
	}
	var err error
	if w.console, err = console.New(w.config); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) with(id string, do func(*console.Connection)) error {
	for i := range w.conns {
		if w.conns[i].ID == id && w.conns[i].Status == "active" {
			do(&w.conns[i])
			return nil
		}
	}
	return fmt.Errorf("no connection %s", id)
}

// do sends a request as a script would; header is "Name: value" pairs.
func (w *world) do(method, path, body string, header ...string) *httptest.ResponseRecorder {
	w.Helper()
	r := httptest.NewRequestWithContext(w.Context(), method, "http://"+host+path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	w.console.Handler().ServeHTTP(rec, r)
	return rec
}

func (w *world) json(method, path, body string, into any) {
	w.Helper()
	rec := w.do(method, path, body)
	if rec.Code/100 != 2 {
		w.Fatalf("%s %s: %d %s, want a success", method, path, rec.Code, rec.Body)
	}
	if err := json.Unmarshal(rec.Body.Bytes(), into); err != nil {
		w.Fatalf("%s %s: %v in %s", method, path, err, rec.Body)
	}
}

func TestRefusals(t *testing.T) {
	for name, c := range map[string]struct {
		method, path, body string
		header             []string
		want               int
		say                string // part of the sentence
	}{
		"a rebound name":                       {"GET", "/api/state", "", []string{"Host: evil.example:8446"}, 421, "not this console's address"},
		"a rebound name on the page":           {"GET", "/", "", []string{"Host: console.localhost.evil.example"}, 421, "open http://" + host},
		"our name on another port":             {"GET", "/", "", []string{"Host: console.localhost:1"}, 421, "open http://"},
		"another site's script":                {"POST", "/api/breaks/fail-association", `{"on":true}`, []string{"Sec-Fetch-Site: cross-site"}, 403, "another web site"},
		"a sibling's form":                     {"POST", "/act/connect", "endpoint=x", []string{"Sec-Fetch-Site: same-site", "Content-Type: application/x-www-form-urlencoded"}, 403, "another web site"},
		"an old browser's foreign origin":      {"DELETE", "/api/authenticator/alice", "", []string{"Origin: https://evil.example"}, 403, "another web site"},
		"a form posted to the API":             {"POST", "/api/clients", "endpoint=x", []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "application/json"},
		"text posted to the API":               {"POST", "/api/clients", "{}", []string{"Content-Type: text/plain"}, 415, "application/json"},
		"a body that is no JSON":               {"POST", "/api/clients", "{", nil, 400, "not the JSON"},
		"two objects":                          {"POST", "/api/clients", `{"endpoint":"e","user":"u"}{}`, nil, 400, "after the object"},
		"an unknown key":                       {"POST", "/api/clients", `{"endpoint":"e","user":"u","admin":true}`, nil, 400, `unknown field "admin"`},
		"a body beyond the limit":              {"POST", "/api/clients", `{"user":"` + strings.Repeat("x", 17<<10) + `"}`, nil, 413, "send less"},
		"a form beyond the limit":              {"POST", "/act/enrol", "key=" + strings.Repeat("x", 17<<10), []string{"Content-Type: application/x-www-form-urlencoded"}, 413, "send less"},
		"a client of no endpoint":              {"POST", "/api/clients", `{"user":"alice"}`, nil, 400, "endpoint is missing"},
		"a client of nobody":                   {"POST", "/api/clients", `{"endpoint":"` + endpoint + `","user":" "}`, nil, 400, "user is missing"},
		"a user with a line break":             {"POST", "/api/clients", `{"endpoint":"` + endpoint + `","user":"a\nb"}`, nil, 400, "plain text"},
		"an endpoint that EC2 does not know":   {"POST", "/api/clients", `{"endpoint":"cvpn-endpoint-2","user":"alice"}`, nil, 409, "no endpoint cvpn-endpoint-2"},
		"no traffic":                           {"POST", "/api/clients/c/traffic", `{}`, nil, 400, "nothing to send"},
		"traffic that would overflow":          {"POST", "/api/clients/c/traffic", `{"ingress":18446744073709551615}`, nil, 400, "at most"},
		"negative traffic":                     {"POST", "/api/clients/c/traffic", `{"ingress":-1}`, nil, 400, "not the JSON"},
		"traffic of no connection":             {"POST", "/api/clients/c/traffic", `{"ingress":1}`, nil, 409, "no connection c"},
		"disconnecting nobody":                 {"DELETE", "/api/clients/c", "", nil, 409, "no connection c"},
		"a switch that does not exist":         {"POST", "/api/breaks/nothing", `{"on":true}`, nil, 404, "no switch"},
		"a switch set neither way":             {"POST", "/api/breaks/fail-association", `{}`, nil, 400, "which way"},
		"looking at a switch there is not":     {"GET", "/api/breaks/nothing", "", nil, 404, "no switch"},
		"removing an account that is not held": {"DELETE", "/api/authenticator/zoe", "", nil, 404, `no account "zoe"`},
		"a link with an account beside it":     {"POST", "/api/authenticator", `{"uri":"otpauth://totp/a?secret=` + base32 + `","account":"b"}`, nil, 400, "leave account out"},
		"hops after a word":                    {"GET", "/api/hops?after=now", "", nil, 400, "not a number"},
		"a call that does not exist":           {"GET", "/api/everything", "", nil, 404, "there is no GET /api/everything"},
		"a method that does not exist":         {"PUT", "/api/clients", "{}", nil, 405, "there is no PUT"},
		"a page that does not exist":           {"GET", "/admin", "", nil, 404, "there is no GET /admin"},
		"a form that does not exist":           {"POST", "/act/reboot", "a=b", []string{"Content-Type: application/x-www-form-urlencoded", "Accept: application/json"}, 404, "no act"},
		"a file that does not exist":           {"GET", "/assets/console.js", "", nil, 404, "reload"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			rec := w.do(c.method, c.path, c.body, c.header...)
			if rec.Code != c.want || !strings.Contains(rec.Body.String(), strings.ReplaceAll(c.say, `"`, quoteIn(rec))) {
				t.Errorf("got %d %s, want %d with %q", rec.Code, rec.Body, c.want, c.say)
			}
			if isAPI := strings.HasPrefix(c.path, "/api/"); isAPI {
				var e struct{ Error string }
				if err := json.Unmarshal(rec.Body.Bytes(), &e); err != nil || e.Error == "" {
					t.Errorf("got %s, want an error as JSON (%v)", rec.Body, err)
				}
			}
			if w.broken || len(w.conns) > 0 {
				t.Error("a refused request changed the chain")
			}
			if !strings.Contains(w.log.String(), "msg=refused") {
				t.Errorf("the operator's log says nothing of it: %s", &w.log)
			}
		})
	}
}

// quoteIn is a quotation mark as the answer writes it.
func quoteIn(rec *httptest.ResponseRecorder) string {
	if rec.Header().Get("Content-Type") == "application/json" {
		return `\"`
	}
	return `"`
}

func TestAnswersAreShutToOtherOrigins(t *testing.T) {
	w := newWorld(t, nil)
	for _, path := range []string{"/", "/api/state", "/api/nothing"} {
		h := w.do("GET", path, "").Header()
		csp := h.Get("Content-Security-Policy")
		if !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") || strings.Contains(csp, "unsafe") {
			t.Errorf("%s: Content-Security-Policy is %q", path, csp)
		}
		if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Cross-Origin-Resource-Policy") != "same-origin" || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: another origin might read it: %v", path, h)
		}
		if h.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: passwords and codes may be cached: %q", path, h.Get("Cache-Control"))
		}
	}
}

func TestPlayAClientThroughTheAPI(t *testing.T) {
	w := newWorld(t, nil)
	var made struct{ ID string }
	w.json("POST", "/api/clients", `{"endpoint":"`+endpoint+`","user":"alice"}`, &made)
	if rec := w.do("POST", "/api/clients/"+made.ID+"/traffic", `{"ingress":1000,"egress":2500000}`); rec.Code != http.StatusNoContent {
		t.Fatalf("traffic: %d %s, want 204", rec.Code, rec.Body)
	}
	var s struct {
		Endpoints []struct {
			Mark, Sentence string
			Connections    []struct {
				ID, User, Traffic         string
				Active                    bool
				IngressBytes, EgressBytes uint64
			}
		}
		Bill struct {
			Dollars, DollarsAnHourNow float64
			UpperDollars              *float64
			Total                     string
		}
	}
	w.json("GET", "/api/state", "", &s)
	e := s.Endpoints[0]
	if len(e.Connections) != 1 || e.Connections[0].ID != made.ID || e.Connections[0].EgressBytes != 2500000 || !e.Connections[0].Active || e.Connections[0].Traffic != "1.0 kB sent, 2.5 MB received" {
		t.Errorf("connections are %+v, want alice's with its traffic", e.Connections)
	}
	if e.Mark != "good" || !strings.HasPrefix(e.Sentence, "On: 1 subnet") {
		t.Errorf("the endpoint is %q, %q, want it on", e.Mark, e.Sentence)
	}
	// 1.5 h × $0.10 + 0.1 h × $0.05; now one association and one connection.
	if s.Bill.Total != "$0.1550" || fmt.Sprintf("%.4f", s.Bill.DollarsAnHourNow) != "0.1500" || s.Bill.UpperDollars != nil {
		t.Errorf("the bill is %+v, want $0.1550, $0.15 an hour now, and no upper bound that nobody computed", s.Bill)
	}
	if rec := w.do("DELETE", "/api/clients/"+made.ID, ""); rec.Code != http.StatusNoContent {
		t.Fatalf("disconnect: %d %s, want 204", rec.Code, rec.Body)
	}
	if w.conns[0].Status != "terminated" {
		t.Error("the connection was not ended")
	}
}

func TestBillReadings(t *testing.T) {
	w := newWorld(t, func(c *console.Config) {
		c.Bill = func() console.Bill {
			return console.Bill{Associations: time.Minute, Connections: time.Second, AssociationsRounded: 2 * time.Hour, ConnectionsRounded: time.Hour}
		}
	})
	page := w.do("GET", "/", "").Body.String()
	for _, want := range []string{"$0.0017", "$0.2500</span>, if every started hour counted in full", "unconfirmed", "$73.00 a month"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestBreaks(t *testing.T) {
	w := newWorld(t, nil)
	var b struct {
		Name string
		On   bool
	}
	w.json("POST", "/api/breaks/fail-association", `{"on":true}`, &b)
	if !b.On || !w.broken {
		t.Errorf("switching on answered %+v and left it %v", b, w.broken)
	}
	w.json("GET", "/api/breaks/fail-association", "", &b)
	if !b.On {
		t.Error("looking says off while it is on")
	}
	w.json("POST", "/api/breaks/fail-association", `{"on":false}`, &b)
	if b.On || w.broken {
		t.Errorf("switching off answered %+v and left it %v", b, w.broken)
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := newWorld(t, nil).config
	for name, change := range map[string]func(*console.Config){
		"no hosts":               func(c *console.Config) { c.Hosts = nil },
		"no log":                 func(c *console.Config) { c.Log = nil },
		"no bill":                func(c *console.Config) { c.Bill = nil },
		"a break without Set":    func(c *console.Config) { c.Breaks = []switches.Switch{{Name: "x", On: func() bool { return false }}} },
		"a state file elsewhere": func(c *console.Config) { c.StateFile = t.TempDir() },
	} {
		t.Run(name, func(t *testing.T) {
			c := good
			change(&c)
			if _, err := console.New(c); err == nil {
				t.Error("New took it")
			}
		})
	}
	good.Ring = nil
	if _, err := console.New(good); err != nil {
		t.Errorf("without a ring: %v", err)
	}
}

func TestSecretsStayOutOfTheLog(t *testing.T) {
	w := newWorld(t, func(c *console.Config) { c.StateFile = filepath.Join(t.TempDir(), "console.json") })
	w.do("POST", "/api/authenticator", `{"key":"`+base32+`","account":"alice"}`)
	w.do("POST", "/api/authenticator", `{"key":"`+base32+`!","account":"alice"}`)
	w.do("POST", "/api/authenticator", `{"uri":"otpauth://hotp/alice?secret=`+base32+`"}`)
	w.do("GET", "/", "")
	page, _ := io.ReadAll(w.do("GET", "/api/state", "").Body)
	for where, text := range map[string]string{"log": w.log.String(), "state": string(page)} {
		if strings.Contains(text, base32) {
			t.Errorf("the %s holds an authenticator's key", where)
		}
	}
	if strings.Contains(w.log.String(), "pass-of-") {
		t.Error("the log holds a password")
	}
}

func TestWebhook(t *testing.T) {
	deaf := false
	w := newWorld(t, func(c *console.Config) { c.Deaf = func() bool { return deaf } })
	for range 12 {
		if rec := w.do("POST", "/api/webhook", `{"text":"ready"}`); rec.Code != http.StatusNoContent {
			t.Fatalf("a message: %d %s", rec.Code, rec.Body)
		}
	}
	if rec := w.do("POST", "/api/webhook", `{"text":""}`); rec.Code != http.StatusBadRequest {
		t.Errorf("an empty message: %d", rec.Code)
	}
	deaf = true
	if rec := w.do("POST", "/api/webhook", `{"text":"lost"}`); rec.Code != http.StatusServiceUnavailable {
		t.Errorf("out of order: %d", rec.Code)
	}
	var s struct{ Mail []struct{ Text string } }
	w.json("GET", "/api/state", "", &s)
	if len(s.Mail) != 10 || s.Mail[0].Text != "ready" {
		t.Errorf("shown are %+v, want the last ten", s.Mail)
	}
}
