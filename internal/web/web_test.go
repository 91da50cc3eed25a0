package web

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

const (
	origin    = "https://vpn.localhost:8443"
	formToken = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

var (
	_ Keeper = (*latch.Keeper)(nil)
	_ Admin  = (*latch.Keeper)(nil)
)

// fake is a Keeper that answers what it is told to and remembers what it was asked to change.
type fake struct {
	view   latch.View
	err    error // of Open, Extend and Done
	viewed error // of View
	asked  []latch.Request
	verbs  []string
}

func (f *fake) View(_ context.Context, id latch.EndpointID, _ latch.Principal) (latch.View, error) {
	v := f.view
	v.Endpoint = id
	return v, f.viewed
}

func (f *fake) change(verb string, r latch.Request) (latch.View, error) {
	f.asked, f.verbs = append(f.asked, r), append(f.verbs, verb)
	return f.view, f.err
}

func (f *fake) Open(_ context.Context, _ latch.EndpointID, r latch.Request) (latch.View, error) {
	return f.change("open", r)
}

func (f *fake) Extend(_ context.Context, _ latch.EndpointID, r latch.Request) (latch.View, error) {
	return f.change("extend", r)
}

func (f *fake) Done(_ context.Context, _ latch.EndpointID, r latch.Request) (latch.View, error) {
	return f.change("done", r)
}

var alice = latch.Principal{Subject: "sub-alice", Issuer: "https://issuer.example", Name: "alice@corp.example"}

func seoul(t testing.TB) *time.Location {
	l, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testConfig(t testing.TB, k Keeper) Config {
	return Config{
		Keeper:       k,
		Admin:        &fakeAdmin{},
		People:       &fakePeople{},
		Audit:        func(context.Context, latch.Entry) error { return nil },
		Authenticate: func(*http.Request) (access.Identity, error) { return access.Identity{Principal: alice}, nil },
		Endpoints: []Endpoint{{Name: "seoul", ID: "cvpn-endpoint-0aa", Title: "서울 VPN", Location: seoul(t), Policy: latch.DefaultPolicy(),
			SelfServiceURL: "https://self-service.clientvpn.amazonaws.com/endpoints/cvpn-endpoint-0aa"}},
		SignInOrigins: []string{"https://cognito.localhost:8444", "https://identity-center.localhost:8445"},
		SessionCookie: "AWSELBAuthSessionCookie",
		LogoutURL:     "https://cognito.localhost:8444/logout?client_id=abc&logout_uri=https%3A%2F%2Fvpn.localhost%3A8443%2Fbye",
		RequestID:     func(context.Context) string { return "REQ-1" },
		Log:           slog.New(slog.DiscardHandler),
	}
}

func newHandler(t testing.TB, k Keeper, change ...func(*Config)) http.Handler {
	t.Helper()
	c := testConfig(t, k)
	for _, f := range change {
		f(&c)
	}
	h, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// fakePeople remembers what it is told, and refuses what it is told to.
type fakePeople struct {
	access.Store // what the pages do not use panics
	block        *access.Block
	refusals     []access.Refusal
	blocks       []access.Block
	wait         time.Duration
	spent        int
	down         map[string]bool // methods that fail
}

var errDown = fmt.Errorf("%w: %w", latch.ErrBusy, &latch.Fault{Service: "dynamodb", Code: "ProvisionedThroughputExceededException", Message: "slow down"})

func (f *fakePeople) fails(method string) error {
	if f.down[method] {
		return errDown
	}
	return nil
}

func (f *fakePeople) Blocked(context.Context, latch.Subject) (*access.Block, error) {
	return f.block, f.fails("Blocked")
}

func (f *fakePeople) Blocks(context.Context) ([]access.Block, error) {
	return f.blocks, f.fails("Blocks")
}

func (f *fakePeople) SaveRefusal(_ context.Context, r access.Refusal) error {
	f.refusals = append(f.refusals, r)
	return f.fails("SaveRefusal")
}

func (f *fakePeople) Refusals(_ context.Context, limit int) ([]access.Refusal, error) {
	return f.refusals[:min(limit, len(f.refusals))], f.fails("Refusals")
}

func (f *fakePeople) Spend(context.Context, latch.Subject, time.Time, time.Duration, int) (time.Duration, error) {
	f.spent++
	return f.wait, f.fails("Spend")
}

// fakeAdmin answers what it is told to and remembers what it was asked to change.
type fakeAdmin struct {
	said    latch.Explanation
	entries []latch.Entry
	err     error
	did     []string
	asked   latch.Request
}

func (f *fakeAdmin) Explain(_ context.Context, id latch.EndpointID) (latch.Explanation, error) {
	return f.said, nil
}

func (f *fakeAdmin) Entries(_ context.Context, id latch.EndpointID, limit int) ([]latch.Entry, error) {
	var all []latch.Entry
	for _, e := range f.entries {
		if e.Endpoint == id && len(all) < limit {
			all = append(all, e)
		}
	}
	return all, nil
}

func (f *fakeAdmin) do(what string, q latch.Request) (latch.View, error) {
	f.did, f.asked = append(f.did, what), q
	return latch.View{}, f.err
}

func (f *fakeAdmin) EndFor(_ context.Context, _ latch.EndpointID, q latch.Request, whose latch.Subject) (latch.View, error) {
	return f.do("end "+string(whose), q)
}

func (f *fakeAdmin) ExtendFor(_ context.Context, _ latch.EndpointID, q latch.Request, whose latch.Subject) (latch.View, error) {
	return f.do("extend "+string(whose), q)
}

func (f *fakeAdmin) Pause(_ context.Context, _ latch.EndpointID, q latch.Request) (latch.View, error) {
	return f.do("pause", q)
}

func (f *fakeAdmin) Close(_ context.Context, _ latch.EndpointID, q latch.Request) (latch.View, error) {
	return f.do("close", q)
}

func (f *fakeAdmin) Release(_ context.Context, _ latch.EndpointID, q latch.Request) (latch.View, error) {
	return f.do("release", q)
}

// rules puts decisions into a handler in place of a rule set's. What it does not know is the default rule's.
func rules(t testing.TB, h http.Handler, by map[access.Action]access.Decision) http.Handler {
	t.Helper()
	inner := h.(*handler)
	inner.decide = func(q access.Request) access.Decision {
		if d, ok := by[q.Action]; ok {
			return d
		}
		return (*access.Rules)(nil).Decide(q)
	}
	return h
}

// send makes a request as a browser of our own origin does, or what the "Name: value" lines say instead; a line
// without a value removes a header.
func send(h http.Handler, method, path, body string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, origin+path, strings.NewReader(body))
	r.RemoteAddr = "198.51.100.7:4711"
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method == "POST" {
		r.Header.Set("Origin", origin)
		if strings.HasPrefix(path, "/api/") {
			r.Header.Set("Content-Type", "application/json")
		} else {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
	}
	r.Header.Set("Cookie", formCookie+"="+formToken)
	for _, l := range header {
		name, value, _ := strings.Cut(l, ":")
		if value = strings.TrimSpace(value); value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func fields(kv ...string) string {
	v := url.Values{"token": {formToken}}
	for i := 0; i < len(kv); i += 2 {
		v.Set(kv[i], kv[i+1])
	}
	return v.Encode()
}

func decodeDoc(t *testing.T, w *httptest.ResponseRecorder) document {
	t.Helper()
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, want a problem document (RFC 9457); body %s", got, w.Body)
	}
	var d document
	if err := json.Unmarshal(w.Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.Status != w.Code || d.Title == "" || d.Detail == "" || d.RequestID != "REQ-1" {
		t.Errorf("incomplete problem document: %+v", d)
	}
	return d
}

var (
	t0   = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	open = latch.View{State: latch.StateOpen, Reason: latch.Reason{Code: latch.OpenLease, Until: t0.Add(time.Hour)},
		Associations: []latch.Association{{ID: "cvpn-assoc-1", Subnet: "subnet-a", Status: latch.Associated}},
		Until:        t0.Add(time.Hour), Since: t0.Add(-time.Hour), ReadyAt: t0.Add(-50 * time.Minute), ObservedAt: t0, LookAgain: 30 * time.Second}
	opening = latch.View{State: latch.StateOpening, Reason: latch.Reason{Code: latch.OpeningAssociating}, Since: t0,
		Associations: []latch.Association{{ID: "cvpn-assoc-1", Subnet: "subnet-a", Status: latch.Associating}}, LookAgain: 5 * time.Second}
	off = latch.View{State: latch.StateOff, Reason: latch.Reason{Code: latch.OffIdle}, ObservedAt: t0, LookAgain: time.Minute}
)

func TestAPIAnswers(t *testing.T) {
	fault := &latch.Fault{Service: "ec2", Code: "InsufficientFreeAddresses", Message: "not enough free addresses in subnet-a"}
	const base = "/api/v1/endpoints/seoul"
	type want struct {
		status int
		verbs  string // what the Keeper was asked to change
		parts  []string
	}
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		view               latch.View
		err                error
		want               want
	}{
		"looking at one that is off":           {"GET", base, "", nil, off, nil, want{200, "", []string{`"state":"off"`, `"code":"off"`, `"associations":[]`, `"pollAfterMs":60000`, `"text":"Nobody needs it at the moment."`}}},
		"looking at one that is open":          {"GET", base, "", nil, open, nil, want{200, "", []string{`"state":"open"`, `"id":"cvpn-assoc-1","subnetId":"subnet-a","status":"associated"`, `"until":"2026-11-22T10:00:00Z"`, `"readyAt"`}}},
		"the list":                             {"GET", "/api/v1/endpoints", "", nil, open, nil, want{200, "", []string{`{"endpoints":[{"endpoint":"seoul"`}}},
		"opening one that was off":             {"POST", base + "/open", `{"for":"1h","reason":"deploy"}`, nil, opening, nil, want{202, "open", []string{`"cvpn-assoc-1"`, `"associating"`}}},
		"joining one that is open":             {"POST", base + "/open", `{}`, nil, open, nil, want{200, "open", nil}},
		"opening without any body":             {"POST", base + "/open", ``, nil, open, nil, want{200, "open", nil}},
		"content type with a charset":          {"POST", base + "/open", `{}`, []string{"Content-Type: application/json; charset=utf-8"}, open, nil, want{200, "open", nil}},
		"a script that sends no browser hints": {"POST", base + "/open", `{}`, []string{"Sec-Fetch-Site:", "Origin:", "Cookie:"}, open, nil, want{200, "open", nil}},
		"extending":                            {"POST", base + "/extend", `{"for":"30m"}`, nil, open, nil, want{200, "extend", nil}},
		"done":                                 {"POST", base + "/done", `{}`, nil, off, nil, want{200, "done", nil}},

		"a length that is none":           {"POST", base + "/open", `{"for":"tomorrow"}`, nil, off, nil, want{400, "", []string{"such as 30m or 2h, at most 12 hours"}}},
		"a negative length":               {"POST", base + "/open", `{"for":"-1h"}`, nil, off, nil, want{400, "", []string{"at most 12 hours"}}},
		"a length too short to be seen":   {"POST", base + "/open", `{"for":"1ns"}`, nil, off, nil, want{400, "", []string{"at most 12 hours"}}},
		"a length as a number":            {"POST", base + "/open", `{"for":3600}`, nil, off, nil, want{400, "", []string{"with strings as values"}}},
		"a length beyond the policy":      {"POST", base + "/open", `{"for":"99h"}`, nil, off, fmt.Errorf("%w: at most 12h0m0s at a time", latch.ErrTooLong), want{400, "open", []string{"At most 12 hours at a time"}}},
		"a reason of two lines":           {"POST", base + "/open", `{"reason":"a\nb"}`, nil, off, nil, want{400, "", []string{"one line of at most 200"}}},
		"a reason without end":            {"POST", base + "/open", `{"reason":"` + strings.Repeat("가", 201) + `"}`, nil, off, nil, want{400, "", []string{"one line of at most 200"}}},
		"an unknown key":                  {"POST", base + "/open", `{"fro":"1h"}`, nil, off, nil, want{400, "", []string{"“fro” is not known here", `\"for\"`}}},
		"a key in capitals":               {"POST", base + "/open", `{"For":"1h"}`, nil, off, nil, want{400, "", []string{"“For” is not known here"}}},
		"a key twice":                     {"POST", base + "/open", `{"for":"1h","for":"2h"}`, nil, off, nil, want{400, "", []string{"there twice"}}},
		"a reason where none belongs":     {"POST", base + "/extend", `{"reason":"x"}`, nil, off, nil, want{400, "", []string{"“reason” is not known here"}}},
		"anything with done":              {"POST", base + "/done", `{"for":"1h"}`, nil, off, nil, want{400, "", []string{"“for” is not known here"}}},
		"a list":                          {"POST", base + "/open", `[]`, nil, off, nil, want{400, "", nil}},
		"half a body":                     {"POST", base + "/open", `{"for":"1h"`, nil, off, nil, want{400, "", nil}},
		"two bodies":                      {"POST", base + "/open", `{}{}`, nil, off, nil, want{400, "", nil}},
		"null":                            {"POST", base + "/open", `null`, nil, off, nil, want{400, "", nil}},
		"a body of 65 KB":                 {"POST", base + "/open", `{"reason":"` + strings.Repeat("x", 65<<10) + `"}`, nil, off, nil, want{413, "", []string{"64 KB"}}},
		"a form sent to the API":          {"POST", base + "/open", fields(), []string{"Content-Type: application/x-www-form-urlencoded"}, off, nil, want{415, "", []string{"application/json"}}},
		"no content type":                 {"POST", base + "/done", "", []string{"Content-Type:"}, off, nil, want{415, "", []string{"also with an empty body"}}},
		"an endpoint that nobody named":   {"GET", "/api/v1/endpoints/busan", "", nil, off, nil, want{404, "", []string{`"endpoints":["seoul"]`, "These exist: seoul."}}},
		"opening one that nobody named":   {"POST", "/api/v1/endpoints/busan/open", "{}", nil, off, nil, want{404, "", []string{"seoul"}}},
		"a path that is not there":        {"GET", "/api/v2/endpoints", "", nil, off, nil, want{404, "", nil}},
		"GET where only POST acts":        {"GET", base + "/open", "", nil, off, nil, want{405, "", []string{"POST"}}},
		"DELETE":                          {"DELETE", base, "", nil, off, nil, want{405, "", []string{"GET"}}},
		"from another site":               {"POST", base + "/open", `{}`, []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, off, nil, want{403, "", []string{"another site"}}},
		"from a sibling site":             {"POST", base + "/open", `{}`, []string{"Sec-Fetch-Site: same-site", "Origin: https://cognito.localhost:8444"}, off, nil, want{403, "", nil}},
		"from an old browser elsewhere":   {"POST", base + "/open", `{}`, []string{"Sec-Fetch-Site:", "Origin: https://evil.example"}, off, nil, want{403, "", nil}},
		"from a sandboxed frame":          {"POST", base + "/open", `{}`, []string{"Sec-Fetch-Site:", "Origin: null"}, off, nil, want{403, "", nil}},
		"done by who holds no lease":      {"POST", base + "/done", `{}`, nil, off, latch.ErrNoLease, want{409, "done", []string{`"state":"off"`, "It is: off."}}},
		"an endpoint being deleted":       {"POST", base + "/open", `{}`, nil, latch.View{State: latch.StateUnusable, Reason: latch.Reason{Code: latch.UnusableStatus, Status: "deleting"}}, fmt.Errorf("%w: AWS reports it as deleting", latch.ErrNotReady), want{409, "open", []string{`"state":"unusable"`, `"awsStatus":"deleting"`, "not usable (deleting)"}}},
		"AWS refuses":                     {"POST", base + "/open", `{}`, nil, off, fmt.Errorf("associate subnet-a: %w: %w", latch.ErrRefused, fault), want{502, "open", []string{`"aws":{"service":"ec2","code":"InsufficientFreeAddresses","message":"not enough free addresses in subnet-a"}`, "REQ-1"}}},
		"AWS throttles":                   {"POST", base + "/open", `{}`, nil, off, fmt.Errorf("%w: %w", latch.ErrBusy, &latch.Fault{Service: "ec2", Code: "RequestLimitExceeded", Message: "Request limit exceeded."}), want{503, "open", []string{"RequestLimitExceeded"}}},
		"the store does not answer":       {"POST", base + "/open", `{}`, nil, off, fmt.Errorf("audit: %w: %w", latch.ErrUnavailable, &latch.Fault{Service: "dynamodb", Message: "no answer"}), want{503, "open", []string{`"service":"dynamodb"`}}},
		"something nobody thought of":     {"POST", base + "/open", `{}`, nil, off, errors.New("secret detail of the inside"), want{500, "open", []string{"Something went wrong", "REQ-1"}}},
		"Korean, as the browser asked":    {"GET", base, "", []string{"Accept-Language: ko-KR,ko;q=0.9,en;q=0.8"}, off, nil, want{200, "", []string{"지금은 사용하는 사람이 없습니다."}}},
		"Japanese, as the cookie says":    {"GET", base, "", []string{"Accept-Language: ko", "Cookie: " + langCookie + "=ja"}, off, nil, want{200, "", []string{"現在、利用者はいません。"}}},
		"a language nobody translated to": {"GET", base, "", []string{"Accept-Language: fi, xx-nonsense-;q=zzz"}, off, nil, want{200, "", []string{"Nobody needs it"}}},
	} {
		t.Run(name, func(t *testing.T) {
			k := &fake{view: tt.view, err: tt.err}
			w := send(newHandler(t, k), tt.method, tt.path, tt.body, tt.header...)
			if w.Code != tt.want.status {
				t.Fatalf("got %d, want %d; body %s", w.Code, tt.want.status, w.Body)
			}
			if got := strings.Join(k.verbs, " "); got != tt.want.verbs {
				t.Errorf("the Keeper was asked to %q, want %q", got, tt.want.verbs)
			}
			if w.Code >= 400 {
				decodeDoc(t, w)
				if strings.Contains(w.Body.String(), "inside") {
					t.Errorf("people are shown the cause: %s", w.Body)
				}
			} else if w.Header().Get("Content-Type") != "application/json" {
				t.Errorf("content type %q", w.Header().Get("Content-Type"))
			}
			if w.Code == 503 && w.Header().Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			if w.Code == 405 && w.Header().Get("Allow") == "" {
				t.Error("405 without Allow (RFC 9110 section 15.5.6)")
			}
			for _, part := range tt.want.parts {
				if !strings.Contains(w.Body.String(), part) {
					t.Errorf("the answer lacks %q: %s", part, w.Body)
				}
			}
		})
	}
}

func TestRequestReachesTheKeeperWhole(t *testing.T) {
	k := &fake{view: open}
	h := newHandler(t, k)
	send(h, "POST", "/api/v1/endpoints/seoul/open", `{"for":"90m","reason":" deploy 2.1 "}`)
	send(h, "POST", "/endpoints/seoul/open", fields("for", "1h30m0s", "reason", "deploy 2.1"))
	want := latch.Request{Who: alice, For: 90 * time.Minute, Why: "deploy 2.1", Source: "198.51.100.7", ID: "REQ-1"}
	if len(k.asked) != 2 || k.asked[0] != want || k.asked[1] != want {
		t.Errorf("got %+v, want twice %+v", k.asked, want)
	}
}

func TestNobodyUnknownGetsIn(t *testing.T) {
	for name, tt := range map[string]struct {
		who    latch.Principal
		err    error
		status int
	}{
		"no token":                      {err: signin.ErrNoToken, status: 401},
		"a refused token":               {err: fmt.Errorf("%w: expired", signin.ErrToken), status: 401},
		"the key server is away":        {err: fmt.Errorf("%w: timeout", signin.ErrKeyServer), status: 503},
		"not allowed":                   {err: fmt.Errorf("%w: not in the group", ErrForbidden), status: 403},
		"an error nobody thought of":    {err: errors.New("x"), status: 500},
		"no error and nobody either":    {status: 500},
		"somebody and an error as well": {who: alice, err: signin.ErrToken, status: 401},
	} {
		t.Run(name, func(t *testing.T) {
			for _, q := range [][3]string{
				{"GET", "/", ""}, {"GET", "/endpoints/seoul", ""}, {"GET", "/endpoints/busan", ""}, {"GET", "/endpoints/seoul/open", ""},
				{"GET", "/api/v1/endpoints", ""}, {"GET", "/api/v1/endpoints/seoul", ""}, {"GET", "/api/v1/endpoints/busan", ""},
				{"POST", "/endpoints/seoul/open", fields()}, {"POST", "/api/v1/endpoints/seoul/open", "{}"},
				{"POST", "/endpoints/seoul/done", fields()}, {"POST", "/api/v1/endpoints/seoul/extend", "{}"},
				{"GET", "/admin", ""}, {"GET", "/admin/audit?endpoint=seoul", ""}, {"GET", "/admin/endpoints/seoul", ""}, {"GET", "/admin/endpoints/busan", ""},
				{"POST", "/admin/endpoints/seoul/close", fields("for", "1h")}, {"POST", "/admin/endpoints/seoul/end", fields("whose", "x")},
			} {
				k := &fake{view: open}
				h := newHandler(t, k, func(c *Config) {
					c.Authenticate = func(*http.Request) (access.Identity, error) { return access.Identity{Principal: tt.who}, tt.err }
				})
				w := send(h, q[0], q[1], q[2])
				if w.Code != tt.status {
					t.Errorf("%s %s: got %d, want %d", q[0], q[1], w.Code, tt.status)
				}
				if len(k.verbs) > 0 {
					t.Errorf("%s %s reached the Keeper", q[0], q[1])
				}
				for _, secret := range []string{"cvpn-", "서울", "alice"} {
					if strings.Contains(w.Body.String(), secret) {
						t.Errorf("%s %s tells a stranger %q:\n%s", q[0], q[1], secret, w.Body)
					}
				}
			}
		})
	}
}

func TestForms(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		err                error
		status             int
		verbs              string
		location           string
	}{
		"open":                                  {"POST", "/endpoints/seoul/open", fields("for", "1h0m0s"), nil, nil, 303, "open", "/endpoints/seoul?look"},
		"extend":                                {"POST", "/endpoints/seoul/extend", fields("for", "1h0m0s"), nil, nil, 303, "extend", "/endpoints/seoul?look"},
		"done":                                  {"POST", "/endpoints/seoul/done", fields(), nil, nil, 303, "done", "/endpoints/seoul?look"},
		"GET of open, as after an expired POST": {"GET", "/endpoints/seoul/open", "", nil, nil, 303, "", "/endpoints/seoul?look&intent=open"},
		"GET of extend":                         {"GET", "/endpoints/seoul/extend?for=1h", "", nil, nil, 303, "", "/endpoints/seoul?look&intent=extend"},
		"GET of done":                           {"GET", "/endpoints/seoul/done", "", nil, nil, 303, "", "/endpoints/seoul?look&intent=done"},
		"GET of sign-out":                       {"GET", "/sign-out", "", nil, nil, 303, "", "/"},
		"from another site":                     {"POST", "/endpoints/seoul/open", fields(), []string{"Sec-Fetch-Site: cross-site", "Origin: https://evil.example"}, nil, 403, "", ""},
		"from a sibling site":                   {"POST", "/endpoints/seoul/open", fields(), []string{"Sec-Fetch-Site: same-site"}, nil, 403, "", ""},
		"without a token":                       {"POST", "/endpoints/seoul/open", "for=1h", nil, nil, 403, "", ""},
		"with another token":                    {"POST", "/endpoints/seoul/open", "token=ZYXWVUTSRQPONMLKJIHGFEDCBA", nil, nil, 403, "", ""},
		"with the token in the query":           {"POST", "/endpoints/seoul/open?token=" + formToken, "for=1h", nil, nil, 403, "", ""},
		"without the cookie":                    {"POST", "/endpoints/seoul/open", fields(), []string{"Cookie:"}, nil, 403, "", ""},
		"with two cookies":                      {"POST", "/endpoints/seoul/open", "token=BBBBBBBBBBBBBBBBBBBBBBBBBB", []string{"Cookie: " + formCookie + "=BBBBBBBBBBBBBBBBBBBBBBBBBB; " + formCookie + "=" + formToken}, nil, 403, "", ""},
		"with an empty cookie and token":        {"POST", "/endpoints/seoul/open", "token=", []string{"Cookie: " + formCookie + "="}, nil, 403, "", ""},
		"with a token of an attacker's form":    {"POST", "/endpoints/seoul/open", "token=a", []string{"Cookie: " + formCookie + "=a"}, nil, 403, "", ""},
		"no browser hints, but the token":       {"POST", "/endpoints/seoul/open", fields(), []string{"Sec-Fetch-Site:", "Origin:"}, nil, 303, "open", "/endpoints/seoul?look"},
		"JSON sent to the page":                 {"POST", "/endpoints/seoul/open", "{}", []string{"Content-Type: application/json"}, nil, 415, "", ""},
		"a form of 65 KB":                       {"POST", "/endpoints/seoul/open", fields("reason", strings.Repeat("x", 65<<10)), nil, nil, 413, "", ""},
		"a broken form":                         {"POST", "/endpoints/seoul/open", "token=%zz", nil, nil, 400, "", ""},
		"an altered length":                     {"POST", "/endpoints/seoul/open", fields("for", "for ever"), nil, nil, 400, "", ""},
		"an unknown endpoint":                   {"POST", "/endpoints/busan/open", fields(), nil, nil, 404, "", ""},
		"an unknown verb":                       {"POST", "/endpoints/seoul/close", fields(), nil, nil, 404, "", ""},
		"POST of the page":                      {"POST", "/endpoints/seoul", fields(), nil, nil, 405, "", ""},
		"AWS refuses":                           {"POST", "/endpoints/seoul/open", fields(), nil, latch.ErrRefused, 502, "open", ""},
		"no open redirect by the path":          {"GET", "//evil.example/endpoints/../open", "", nil, nil, 404, "", ""},
		"no open redirect by a parameter":       {"GET", "/endpoints/seoul/open?next=https://evil.example&look=//evil", "", nil, nil, 303, "", "/endpoints/seoul?look&intent=open"},
	} {
		t.Run(name, func(t *testing.T) {
			k := &fake{view: open, err: tt.err}
			w := send(newHandler(t, k), tt.method, tt.path, tt.body, tt.header...)
			if w.Code != tt.status {
				t.Fatalf("got %d, want %d\n%s", w.Code, tt.status, w.Body)
			}
			if got := strings.Join(k.verbs, " "); got != tt.verbs {
				t.Errorf("the Keeper was asked to %q, want %q", got, tt.verbs)
			}
			if got := w.Header().Get("Location"); got != tt.location {
				t.Errorf("leads to %q, want %q", got, tt.location)
			}
		})
	}
}

func TestClippedLeadsBackWithANote(t *testing.T) {
	v := open
	v.Clipped = true
	v.Mine = latch.Lease{Subject: alice.Subject, Since: t0, Until: t0.Add(time.Hour)}
	h := newHandler(t, &fake{view: v})
	to := send(h, "POST", "/endpoints/seoul/open", fields()).Header().Get("Location")
	if body := send(h, "GET", to, "").Body.String(); !strings.Contains(body, "You got less time than you asked for") {
		t.Errorf("%s does not say that the time was cut", to)
	}
}

func TestSignOut(t *testing.T) {
	h := newHandler(t, &fake{view: off}, func(c *Config) {
		c.Authenticate = func(*http.Request) (access.Identity, error) { return access.Identity{}, signin.ErrToken }
	})
	w := send(h, "POST", "/sign-out", fields())
	if w.Code != 303 || !strings.HasPrefix(w.Header().Get("Location"), "https://cognito.localhost:8444/logout?") {
		t.Errorf("got %d to %q, want 303 to the user pool's logout, also when the token is refused", w.Code, w.Header().Get("Location"))
	}
	gone := map[string]bool{}
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 && c.Secure && c.Path == "/" && c.Domain == "" {
			gone[c.Name] = true
		}
	}
	for i := range 4 {
		if name := fmt.Sprintf("AWSELBAuthSessionCookie-%d", i); !gone[name] {
			t.Errorf("%s is not expired; with it the load balancer goes on to sign the person in", name)
		}
	}
	for name, header := range map[string][]string{
		"another site": {"Sec-Fetch-Site: cross-site"}, "no cookie": {"Cookie:"},
	} {
		if w := send(h, "POST", "/sign-out", fields(), header...); w.Code != 403 || strings.Contains(fmt.Sprint(w.Header()["Set-Cookie"]), "AWSELBAuthSessionCookie") {
			t.Errorf("%s: got %d, want 403 and nobody signed out", name, w.Code)
		}
	}
}

// TestEveryErrorHasAnAnswer reads latch's own source, so that an error added there fails here until the table has it.
func TestEveryErrorHasAnAnswer(t *testing.T) {
	known := map[string]error{
		"ErrBusy": latch.ErrBusy, "ErrNotFound": latch.ErrNotFound, "ErrRefused": latch.ErrRefused, "ErrUnavailable": latch.ErrUnavailable,
		"ErrTooEarly": latch.ErrTooEarly, "ErrConflict": latch.ErrConflict, "ErrNotReady": latch.ErrNotReady, "ErrNoLease": latch.ErrNoLease,
		"ErrTooLong": latch.ErrTooLong, "ErrBadRequest": latch.ErrBadRequest, "ErrHours": latch.ErrHours,
		"ErrReason": latch.ErrReason, "ErrObserving": latch.ErrObserving, "ErrHeld": latch.ErrHeld, "ErrOwn": latch.ErrOwn,
		"ErrNoToken": signin.ErrNoToken, "ErrToken": signin.ErrToken, "ErrKeyServer": signin.ErrKeyServer,
		"ErrNoSession": signin.ErrNoSession, "ErrFlow": signin.ErrFlow, "ErrIssuer": signin.ErrIssuer,
	}
	found := 0
	for _, dir := range []string{"../latch", "../signin"} {
		for name := range sentinels(t, dir) {
			found++
			err := known[name]
			if err == nil {
				t.Errorf("%s has %s, which this test and the table do not know", dir, name)
				continue
			}
			if p := problemOf(fmt.Errorf("while testing: %w", err)); p.err != err {
				t.Errorf("%s has no line of its own in the table; got %s", name, p.slug)
			}
		}
	}
	if found != len(known) {
		t.Errorf("%d sentinels in the sources, the test knows %d", found, len(known))
	}
	if p := problemOf(errors.New("?")); p.status != 500 || p.err != nil {
		t.Errorf("an unlisted error is answered %d %s", p.status, p.slug)
	}
	for _, p := range table {
		if (p.status == 503) != (p.retry > 0) && p.status != 409 && p.status != 429 {
			t.Errorf("%s: status %d with retry %v; 503 says when to come back", p.slug, p.status, p.retry)
		}
	}
}

// sentinels finds the package-level variables of dir that begin with Err.
func sentinels(t *testing.T, dir string) map[string]bool {
	t.Helper()
	names := map[string]bool{}
	for _, f := range parseDir(t, dir) {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(n.Name, "Err") {
						names[n.Name] = true
					}
				}
			}
		}
	}
	return names
}

func TestWatchersGet304(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fake{view: open}
		h := newHandler(t, k)
		const path = "/api/v1/endpoints/seoul"
		first := send(h, "GET", path, "")
		tag := first.Header().Get("ETag")
		time.Sleep(10 * time.Second)
		k.view.ObservedAt = k.view.ObservedAt.Add(10 * time.Second)
		if w := send(h, "GET", path, "", "If-None-Match: "+tag); w.Code != 304 || w.Body.Len() > 0 {
			t.Errorf("got %d, want 304: only the time of the look differs", w.Code)
		}
		if w := send(h, "GET", path, "", `If-None-Match: "x", `+tag); w.Code != 304 {
			t.Errorf("got %d, want 304 for a list that names it", w.Code)
		}
		if w := send(h, "GET", path, "", "If-None-Match: "+tag, "Accept-Language: ja"); w.Code != 200 {
			t.Errorf("got %d, want 200: the words are others", w.Code)
		}
		if page := send(h, "GET", "/endpoints/seoul", "").Body.String(); !strings.Contains(page, `data-tag="`+strings.ReplaceAll(tag, `"`, "&#34;")+`"`) {
			t.Error("the page does not carry the API's tag, so its first poll would fetch everything again")
		}
		k.view.Others = 2
		if w := send(h, "GET", path, "", "If-None-Match: "+tag); w.Code != 200 || w.Header().Get("ETag") == tag {
			t.Errorf("got %d, want 200 and another tag: somebody joined", w.Code)
		}
		if len(k.verbs) > 0 {
			t.Error("looking changed something")
		}
	})
}

func TestHeaders(t *testing.T) {
	h := newHandler(t, &fake{view: off})
	for _, path := range []string{"/", "/endpoints/seoul", "/endpoints/none", "/nowhere", "/api/v1/endpoints", "/api/v1/endpoints/none", "/endpoints/seoul/open",
		"/admin", "/admin/audit", "/admin/endpoints/seoul", "/admin/endpoints/none", "/admin/endpoints/seoul/close"} {
		w := send(h, "GET", path, "")
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin", "X-Request-Id": "REQ-1",
			"Strict-Transport-Security": "max-age=31536000",
			"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; " +
				"form-action 'self' https://cognito.localhost:8444 https://identity-center.localhost:8445; frame-ancestors 'none'; base-uri 'none'",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	body := send(h, "GET", "/", "").Body.String()
	for _, path := range regexp.MustCompile(`/static/[a-z0-9.]+`).FindAllString(body, -1) {
		w := send(h, "GET", path, "")
		if w.Code != 200 || !strings.Contains(w.Header().Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d, Cache-Control %q", path, w.Code, w.Header().Get("Cache-Control"))
		}
	}
	if w := send(h, "GET", "/", "", "Cookie:"); len(w.Result().Cookies()) != 1 {
		t.Errorf("a browser without the form cookie got %v", w.Result().Cookies())
	} else if c := w.Result().Cookies()[0]; !strings.HasPrefix(c.Name, "__Host-") || !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("the form cookie is %+v", c)
	} else if !strings.Contains(w.Body.String(), c.Value) {
		t.Error("the forms do not carry the new cookie's token")
	}
}

func TestLanguages(t *testing.T) {
	h := newHandler(t, &fake{view: off})
	for name, tt := range map[string]struct{ path, accept, cookie, want, sets string }{
		"nothing asked":                     {"/", "", "", "en", ""},
		"the browser's":                     {"/", "ja,en;q=0.5", "", "ja", ""},
		"a region of it":                    {"/", "ko-KR", "", "ko", ""},
		"the better of two":                 {"/", "fr, ja;q=0.4, ko;q=0.6", "", "ko", ""},
		"the cookie before the browser":     {"/", "ja", "ko", "ko", ""},
		"the address before the cookie":     {"/?lang=en", "ja", "ko", "en", "en"},
		"an unknown one in the address":     {"/?lang=xx", "ja", "", "ja", ""},
		"nonsense in the cookie":            {"/", "ja", "../../etc", "ja", ""},
		"a header without end":              {"/", strings.Repeat("ja,", 5000), "", "en", ""},
		"a header that is no list of those": {"/", "😀;q=nan", "", "en", ""},
	} {
		t.Run(name, func(t *testing.T) {
			header := []string{"Accept-Language: " + tt.accept}
			if tt.cookie != "" {
				header = append(header, "Cookie: "+langCookie+"="+tt.cookie)
			}
			w := send(h, "GET", tt.path, "", header...)
			if got := w.Header().Get("Content-Language"); got != tt.want || !strings.Contains(w.Body.String(), `<html lang="`+tt.want+`">`) {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			sets := ""
			for _, c := range w.Result().Cookies() {
				if c.Name == langCookie {
					sets = c.Value
				}
			}
			if sets != tt.sets {
				t.Errorf("remembers %q, want %q", sets, tt.sets)
			}
		})
	}
}

func TestOnVisit(t *testing.T) {
	person := []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"}
	mine := off
	mine.Mine = latch.Lease{Subject: alice.Subject, Until: t0.Add(10000 * time.Hour)}
	stale := off
	stale.Stale = true
	for name, tt := range map[string]struct {
		path   string
		view   latch.View
		policy latch.OnVisit
		header []string
		want   bool
	}{
		"a person follows a link":                      {"/", off, latch.VisitOpens, person, true},
		"a person at the endpoint's own address":       {"/endpoints/seoul", off, latch.VisitOpens, person, true},
		"a person comes back from the sign-in":         {"/", off, latch.VisitOpens, []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site", "Referer: https://identity-center.localhost:8445/"}, true},
		"but the policy is to look":                    {"/", off, latch.VisitLooks, person, false},
		"but it is open":                               {"/", open, latch.VisitOpens, person, false},
		"but it is opening":                            {"/", opening, latch.VisitOpens, person, false},
		"but they hold a lease":                        {"/", mine, latch.VisitOpens, person, false},
		"but nobody knows how it is":                   {"/", stale, latch.VisitOpens, person, false},
		"after a form, a cancel, a change of language": {"/endpoints/seoul?look", off, latch.VisitOpens, person, false},
		"a restored tab or a script's navigation":      {"/", off, latch.VisitOpens, person[:2], false},
		"prefetched":                                   {"/", off, latch.VisitOpens, append(slices.Clone(person), "Sec-Purpose: prefetch"), false},
		"prerendered":                                  {"/", off, latch.VisitOpens, append(slices.Clone(person), "Sec-Purpose: prefetch;prerender"), false},
		"prefetched by an older browser":               {"/", off, latch.VisitOpens, append(slices.Clone(person), "Purpose: prefetch"), false},
		"in a frame":                                   {"/", off, latch.VisitOpens, []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-User: ?1"}, false},
		"fetched by a script":                          {"/", off, latch.VisitOpens, []string{"Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"}, false},
		"a preview that sends no hints":                {"/", off, latch.VisitOpens, []string{"Sec-Fetch-Site:"}, false},
		"a redirect from another site, no person":      {"/", off, latch.VisitOpens, []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Referer: https://evil.example/"}, false},
		"a site that is named like the sign-in's":      {"/", off, latch.VisitOpens, []string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Referer: https://identity-center.localhost:8445.evil.example/"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			k := &fake{view: tt.view}
			h := newHandler(t, k, func(c *Config) { c.Endpoints[0].Policy.OnVisit = tt.policy })
			w := send(h, "GET", tt.path, "", tt.header...)
			if got := strings.Contains(w.Body.String(), `id="countdown"`); got != tt.want {
				t.Errorf("counts down: %v, want %v", got, tt.want)
			}
			if len(k.verbs) > 0 {
				t.Error("a GET opened it; only the POST after the countdown may")
			}
		})
	}
}

func TestSeveralEndpoints(t *testing.T) {
	two := func(c *Config) {
		c.Endpoints = append(c.Endpoints, Endpoint{Name: "tokyo", ID: "cvpn-endpoint-0bb", Policy: latch.DefaultPolicy()})
	}
	h := newHandler(t, &fake{view: open}, two)
	body := send(h, "GET", "/", "").Body.String()
	for _, want := range []string{`href="/endpoints/seoul"`, `href="/endpoints/tokyo"`, "VPN is ready"} {
		if !strings.Contains(body, want) {
			t.Errorf("the list lacks %s", want)
		}
	}
	h = newHandler(t, &failing{fake{view: open}, "cvpn-endpoint-0bb"}, two)
	if w := send(h, "GET", "/", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "Cannot be shown now") || !strings.Contains(w.Body.String(), "VPN is ready") {
		t.Errorf("got %d: one endpoint that cannot be looked at hides the other\n%s", w.Code, w.Body)
	}
	var all struct{ Endpoints []Status }
	w := send(h, "GET", "/api/v1/endpoints", "")
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || len(all.Endpoints) != 2 || all.Endpoints[1].Problem == nil || all.Endpoints[1].Problem.Status != 502 || all.Endpoints[0].Problem != nil {
		t.Errorf("got %v %s", err, w.Body)
	}
}

type failing struct {
	fake
	id latch.EndpointID
}

func (f *failing) View(ctx context.Context, id latch.EndpointID, p latch.Principal) (latch.View, error) {
	if id == f.id {
		return latch.View{}, latch.ErrNotFound
	}
	return f.fake.View(ctx, id, p)
}

func TestConfigurationFaults(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"required":                func(c *Config) { c.Authenticate = nil },
		"People":                  func(c *Config) { c.People = nil },
		"Admin":                   func(c *Config) { c.Admin = nil },
		"Audit":                   func(c *Config) { c.Audit = nil },
		"at least one":            func(c *Config) { c.Endpoints = nil },
		"not a name":              func(c *Config) { c.Endpoints[0].Name = "Seoul/../x" },
		"named twice":             func(c *Config) { c.Endpoints = append(c.Endpoints, c.Endpoints[0]) },
		"lease.choices":           func(c *Config) { c.Endpoints[0].Policy.LeaseChoices = nil },
		"self_service_url":        func(c *Config) { c.Endpoints[0].SelfServiceURL = "javascript:alert(1)" },
		"logout_url":              func(c *Config) { c.LogoutURL = "" },
		"session_cookie":          func(c *Config) { c.SessionCookie = "" },
		"sign_in_origins: \"http": func(c *Config) { c.SignInOrigins = []string{"https://a.example/path"} },
		"sign_in_origins: \"*":    func(c *Config) { c.SignInOrigins = []string{"*"} },
		"sign_in_origins":         func(c *Config) { c.SignInOrigins = []string{"https://a.example; script-src *"} },
	} {
		c := testConfig(t, &fake{})
		change(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error that says %s", err, want)
		}
	}
}

func TestLogSaysWhatPeopleAreNotTold(t *testing.T) {
	var log bytes.Buffer
	k := &fake{view: off, err: fmt.Errorf("audit: %w", errors.New("secret inside"))}
	h := newHandler(t, k, func(c *Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) })
	w := send(h, "POST", "/endpoints/seoul/open", fields("reason", "why"), "X-Amzn-Oidc-Data: TOKEN-TEXT")
	if w.Code != 500 || strings.Contains(w.Body.String(), "secret inside") {
		t.Errorf("got %d\n%s", w.Code, w.Body)
	}
	for _, want := range []string{"secret inside", `"level":"ERROR"`, "REQ-1", "sub-alice"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %s:\n%s", want, log.String())
		}
	}
	for _, secret := range []string{formToken, "TOKEN-TEXT"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log has %s:\n%s", secret, log.String())
		}
	}
}

func parseDir(t *testing.T, dir string) []*ast.File {
	t.Helper()
	fset := token.NewFileSet()
	//lint:ignore SA1019 ParseDir's successor loads and type-checks packages; names are all that is needed.
	pkgs, err := parser.ParseDir(fset, dir, func(f fsInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, p := range pkgs {
		files = append(files, slices.Collect(maps.Values(p.Files))...)
	}
	return files
}

func TestTimesInWords(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 40, 0, 0, time.UTC)
	kst := seoul(t)
	brazil := time.FixedZone("-03", -3*3600)
	for _, tt := range []struct {
		l    lang
		loc  *time.Location
		now  time.Time
		want string
	}{
		{en, kst, at.Add(-time.Hour), "18:40 KST"},
		{ko, kst, at.Add(-24 * time.Hour), "11월 22일(일) 18:40 KST"},
		{ja, kst, at.Add(-24 * time.Hour), "11月22日(日) 18:40 KST"},
		{en, time.UTC, at.Add(-24 * time.Hour), "Sun 22 Nov 09:40 UTC"},
		{en, brazil, at, "06:40 UTC-03"},
	} {
		if got := clock(tt.l, at, tt.loc, tt.now); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
	for want, got := range map[string]string{
		"in 52 minutes": relative(en, at.Add(51*time.Minute+time.Second), at), "1 minute ago": relative(en, at.Add(-100*time.Second), at),
		"52분 후": relative(ko, at.Add(52*time.Minute), at), "3 分前": relative(ja, at.Add(-3*time.Minute), at),
		"in 3 hours": relative(en, at.Add(3*time.Hour), at), "20 seconds ago": relative(en, at.Add(-21*time.Second), at),
		"1 hour": lengthOf(en, time.Hour), "1 hour 30 minutes": lengthOf(en, 90*time.Minute), "1시간 30분": lengthOf(ko, 90*time.Minute),
		"1時間30分": lengthOf(ja, 90*time.Minute), "45 seconds": lengthOf(en, 45*time.Second),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestNoParameterIsLeft: whatever a cause or a difference is told with, its sentence says.
func TestNoParameterIsLeft(t *testing.T) {
	at := time.Date(2026, 11, 22, 9, 40, 0, 0, time.UTC)
	for l := range langs {
		for _, c := range latch.CauseCodes {
			said := causeText(l, latch.Cause{Code: c, At: at, Who: "Kim", Message: "works"}, time.UTC, at)
			if strings.ContainsAny(said, "{}") || c == latch.CauseHeld && !strings.HasSuffix(said, "works") {
				t.Errorf("%v: cause %s: %q", l, c, said)
			}
		}
		for _, c := range latch.DifferenceCodes {
			said := differenceText(l, latch.Difference{Code: c, Association: "cvpn-assoc-a", Subnet: "subnet-a", Destination: "10.9.0.0/16", Group: "sg-a", Status: latch.Failed, Message: "no way"})
			if strings.ContainsAny(said, "{}") || !strings.Contains(said, "subnet-a") && !strings.Contains(said, "sg-a") {
				t.Errorf("%v: difference %s: %q", l, c, said)
			}
		}
	}
	if got := causeText(en, latch.Cause{Code: latch.CauseHeld, At: at, Who: "Kim"}, time.UTC, at); got != "Kim keeps it off until 09:40 UTC." {
		t.Errorf("without a reason: %q", got)
	}
}

// TestCatalogue reads every text{…} of the package: each language has the same parameters, and Korean has no particle
// after a parameter, because which one is right depends on what is filled in.
func TestCatalogue(t *testing.T) {
	for _, f := range checkCatalogue() {
		t.Error(f)
	}
	param := regexp.MustCompile(`\{[a-z]+\}`)
	particle := regexp.MustCompile(`\}(이|가|은|는|을|를|와|과)([ .,]|$)`)
	params := func(s string) string {
		if one, many, two := strings.Cut(s, "|"); two {
			if strings.Contains(one, "{n}") {
				t.Errorf("%q: the form for one does not need the number", s)
			}
			s = many
		}
		p := param.FindAllString(s, -1)
		slices.Sort(p)
		return strings.Join(slices.Compact(p), " ")
	}
	seen := 0
	for _, f := range parseDir(t, ".") {
		ast.Inspect(f, func(n ast.Node) bool {
			lit, ok := n.(*ast.CompositeLit)
			if !ok || len(lit.Elts) != 3 {
				return true
			}
			var s [3]string
			for i, e := range lit.Elts {
				b, ok := e.(*ast.BasicLit)
				if !ok || b.Kind != token.STRING {
					return true
				}
				s[i] = strings.Trim(b.Value, "\"`")
			}
			if s[0] == "English" { // the languages' own names
				return true
			}
			seen++
			if params(s[0]) != params(s[1]) || params(s[0]) != params(s[2]) {
				t.Errorf("parameters differ: %q", s)
			}
			if particle.MatchString(s[1]) {
				t.Errorf("Korean particle after a parameter: %q", s[1])
			}
			if strings.Contains(s[1]+s[2], "|") {
				t.Errorf("Korean and Japanese have one form: %q", s)
			}
			return true
		})
	}
	if seen < 100 {
		t.Errorf("only %d texts found; the test does not see the catalogue any more", seen)
	}
	if n := reflect.TypeFor[text]().NumField(); n != int(langs) {
		t.Errorf("text has %d languages, want %d", n, langs)
	}
}
