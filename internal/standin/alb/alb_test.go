package alb

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	host        = "vpn.localhost:8443"
	issuer      = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_pool"
	functionARN = "arn:aws:lambda:us-east-1:111122223333:function:nightlatch-front"
)

var caller = sigv4.Credentials{AccessKeyID: "AKIDALB", SecretAccessKey: "secret-of-the-load-balancer"}

// idp is a small OpenID provider: it knows one client, codes are good once, access tokens live ten minutes.
type idp struct {
	mu       sync.Mutex
	codes    map[string]bool // unspent
	refusals int             // refresh tokens refused so far
	calls    int             // token requests

	sub       string
	claims    map[string]any
	noRefresh bool                 // gives no refresh token
	revoked   bool                 // refuses refresh tokens
	tokens    func(map[string]any) // edits a token answer
	userInfo  http.HandlerFunc     // replaces the endpoint
	accessLen int
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	answer := func(status int, v any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/oauth2/token":
		p.calls++
		if id, secret, _ := r.BasicAuth(); id != "client-1" || secret != "client-secret" {
			answer(401, map[string]string{"error": "invalid_client"})
			return
		}
		switch r.PostFormValue("grant_type") {
		case "authorization_code":
			code := r.PostFormValue("code")
			if !p.codes[code] || r.PostFormValue("redirect_uri") == "" {
				answer(400, map[string]string{"error": "invalid_grant"})
				return
			}
			delete(p.codes, code)
		case "refresh_token":
			if p.revoked || r.PostFormValue("refresh_token") != "refresh-1" {
				p.refusals++
				answer(400, map[string]string{"error": "invalid_grant"})
				return
			}
		default:
			answer(400, map[string]string{"error": "unsupported_grant_type"})
			return
		}
		id, _ := json.Marshal(map[string]any{"iss": issuer, "aud": "client-1", "sub": p.sub, "exp": time.Now().Add(time.Hour).Unix()})
		t := map[string]any{
			"access_token": fmt.Sprintf("access-%d", p.calls) + strings.Repeat("a", p.accessLen), "token_type": "Bearer", "expires_in": 600,
			"id_token": "e30." + base64.RawURLEncoding.EncodeToString(id) + ".c2ln", "refresh_token": "refresh-1",
		}
		if p.noRefresh {
			delete(t, "refresh_token")
		}
		if p.tokens != nil {
			p.tokens(t)
		}
		answer(200, t)
	case "/oauth2/userInfo":
		if p.userInfo != nil {
			p.userInfo(w, r)
			return
		}
		if !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer access-") {
			answer(401, map[string]string{"error": "invalid_token"})
			return
		}
		claims := maps.Clone(p.claims)
		claims["sub"] = p.sub
		answer(200, claims)
	default:
		http.NotFound(w, r)
	}
}

func (p *idp) code() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	code := fmt.Sprintf("code-%d-%d", len(p.codes), p.calls)
	p.codes[code] = true
	return code
}

// fn is the Lambda service with one function in it.
type fn struct {
	mu     sync.Mutex
	events [][]byte
	path   string
	answer func(w http.ResponseWriter) // replaces the ordinary answer
}

func (f *fn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, _ := io.ReadAll(r.Body)
	v := sigv4.Verifier{Service: "lambda", Region: "us-east-1", Lookup: func(id string) (sigv4.Credentials, bool) { return caller, id == caller.AccessKeyID }}
	if _, err := v.Verify(r, body); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	f.path = r.URL.EscapedPath()
	f.events = append(f.events, body)
	if f.answer != nil {
		f.answer(w)
		return
	}
	io.WriteString(w, `{"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":false,"headers":{"Content-Type":"text/plain"},"multiValueHeaders":{"content-type":["text/plain"],"set-cookie":["a=1","b=2"]},"body":"hello"}`)
}

func (f *fn) last(t *testing.T) map[string]any {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.events) == 0 {
		t.Fatal("the function was not invoked")
	}
	var e map[string]any
	if err := json.Unmarshal(f.events[len(f.events)-1], &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// headers of the last event, in multi-value mode.
func (f *fn) headers(t *testing.T) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for name, values := range f.last(t)["multiValueHeaders"].(map[string]any) {
		for _, v := range values.([]any) {
			out[name] = append(out[name], v.(string))
		}
	}
	return out
}

// world is a load balancer with its neighbours, joined in memory so that it runs in a synctest bubble.
type world struct {
	*Server
	idp *idp
	fn  *fn
	log *bytes.Buffer
	c   Config

	silent string // a path that gets no answer in time
}

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if w.silent != "" && strings.HasPrefix(r.URL.Path, w.silent) {
		return nil, os.ErrDeadlineExceeded
	}
	rec := httptest.NewRecorder()
	in := r.Clone(r.Context())
	in.RequestURI, in.Host = r.URL.RequestURI(), r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	switch r.URL.Host {
	case "cognito.localhost":
		w.idp.ServeHTTP(rec, in)
	case "lambda.us-east-1.amazonaws.com":
		w.fn.ServeHTTP(rec, in)
	default:
		return nil, fmt.Errorf("no such host: %s", r.URL.Host)
	}
	if err := r.Context().Err(); err != nil { // the caller went away meanwhile
		return nil, err
	}
	return rec.Result(), nil
}

func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{
		idp: &idp{codes: map[string]bool{}, sub: "9f0c-sub", claims: map[string]any{"email": "alice@corp.example", "email_verified": "false", "username": "IdentityCenter_alice"}},
		fn:  &fn{}, log: &bytes.Buffer{},
	}
	w.c = Config{
		Region: "us-east-1", AccountID: "111122223333", Name: "nightlatch",
		AuthorizationEndpoint: "https://cognito.localhost/oauth2/authorize", TokenEndpoint: "https://cognito.localhost/oauth2/token",
		UserInfoEndpoint: "https://cognito.localhost/oauth2/userInfo", Issuer: issuer, ClientID: "client-1", ClientSecret: "client-secret",
		ExtraParams: map[string]string{"identity_provider": "IdentityCenter"}, SessionTimeout: time.Hour,
		LambdaURL: "https://lambda.us-east-1.amazonaws.com", FunctionARN: functionARN, Caller: caller, MultiValueHeaders: true,
		Client: &http.Client{Transport: w}, Log: slog.New(slog.NewTextHandler(w.log, nil)),
	}
	if edit != nil {
		edit(&w.c)
	}
	var err error
	if w.Server, err = New(w.c); err != nil {
		t.Fatal(err)
	}
	return w
}

// browser keeps cookies by name, which is all that one host needs.
type browser struct {
	t       *testing.T
	h       http.Handler
	cookies map[string]string
}

func (w *world) browser(t *testing.T) *browser {
	return &browser{t, w.Handler(), map[string]string{}}
}

func (b *browser) do(method, target string, body string, header http.Header) *http.Response {
	b.t.Helper()
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = host
	maps.Copy(r.Header, header)
	var pairs []string
	for _, name := range slices.Sorted(maps.Keys(b.cookies)) {
		pairs = append(pairs, name+"="+b.cookies[name])
	}
	if len(pairs) > 0 {
		r.Header.Set("Cookie", strings.Join(pairs, "; "))
	}
	rec := httptest.NewRecorder()
	b.h.ServeHTTP(rec, r)
	resp := rec.Result()
	for _, c := range resp.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	return resp
}

func (b *browser) get(target string) *http.Response {
	b.t.Helper()
	return b.do("GET", target, "", nil)
}

// authorize asks for a page and returns the query of the authorization request it is sent to.
func (b *browser) authorize(target string) url.Values {
	b.t.Helper()
	resp := b.get(target)
	u, err := resp.Location()
	if resp.StatusCode != 302 || err != nil || !strings.HasPrefix(u.String(), "https://cognito.localhost/oauth2/authorize?") {
		b.t.Fatalf("GET %s: got %d to %v, want 302 to the authorization endpoint", target, resp.StatusCode, u)
	}
	return u.Query()
}

func (b *browser) callback(q url.Values) *http.Response {
	b.t.Helper()
	return b.get(callbackPath + "?" + q.Encode())
}

func (w *world) signIn(t *testing.T) *browser {
	t.Helper()
	b := w.browser(t)
	q := b.authorize("/")
	if resp := b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]}); resp.StatusCode != 302 {
		t.Fatalf("callback: got %d, want 302\n%s", resp.StatusCode, w.log)
	}
	return b
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRules(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.Rules = []Rule{
			{Path: "/signed-out", Status: 200, ContentType: "text/html", Body: "<p>bye"},
			{Path: "/static/*.txt", Status: 404, Body: "none"},
			{Path: "/v?/*", Status: 503},
		}
	})
	for name, tc := range map[string]struct {
		path   string
		status int
	}{
		"an exact path answers without a session":  {"/signed-out", 200},
		"the query is not part of the match":       {"/signed-out?x=1", 200},
		"a longer path is not the exact one":       {"/signed-out/", 302},
		"case matters":                             {"/Signed-out", 302},
		"a star spans slashes":                     {"/static/a/b.txt", 404},
		"a star may match nothing":                 {"/static/.txt", 404},
		"what follows the star must fit":           {"/static/a.txt2", 302},
		"a question mark is exactly one character": {"/v1/x", 503},
		"…and not two":                             {"/v12/x", 302},
		"everything else meets the default rule":   {"/", 302},
	} {
		t.Run(name, func(t *testing.T) {
			resp := w.browser(t).get(tc.path)
			if resp.StatusCode != tc.status {
				t.Errorf("GET %s: got %d, want %d", tc.path, resp.StatusCode, tc.status)
			}
			if got := resp.Header.Get("Server"); got != "awselb/2.0" {
				t.Errorf("Server is %q, want awselb/2.0 on the load balancer's own answers", got)
			}
		})
	}
	if resp := w.browser(t).get("/signed-out"); text(t, resp) != "<p>bye" || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("fixed response: got %v", resp)
	}
	if len(w.fn.events) != 0 {
		t.Error("a fixed response reached the function")
	}
}

func TestLimits(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signIn(t)
	for name, tc := range map[string]struct {
		method, path string
		header       http.Header
		status       int
	}{
		"a request line over 16 K":            {"GET", "/?" + strings.Repeat("x", 16<<10), nil, 400},
		"a header over 16 K":                  {"GET", "/", http.Header{"X-Big": {strings.Repeat("x", 16<<10)}}, 400},
		"headers over 64 K together":          {"GET", "/", http.Header{"X-Big": slices.Repeat([]string{strings.Repeat("x", 13<<10)}, 5)}, 400},
		"a request line just under 16 K":      {"GET", "/?" + strings.Repeat("x", 16<<10-20), nil, 200},
		"a header just under 16 K":            {"GET", "/", http.Header{"X-Big": {strings.Repeat("x", 16<<10-10)}}, 200},
		"headers just under 64 K together":    {"GET", "/", http.Header{"X-Big": slices.Repeat([]string{strings.Repeat("x", 12<<10)}, 5)}, 200},
		"31 addresses in X-Forwarded-For":     {"GET", "/", http.Header{"X-Forwarded-For": {strings.Repeat("10.0.0.1, ", 15) + "10.0.0.1", strings.Repeat("10.0.0.1, ", 14) + "10.0.0.1"}}, 463},
		"30 addresses in X-Forwarded-For":     {"GET", "/", http.Header{"X-Forwarded-For": {strings.Repeat("10.0.0.1, ", 29) + "10.0.0.1"}}, 200},
		"TRACE":                               {"TRACE", "/", nil, 405},
		"a WebSocket upgrade":                 {"GET", "/", http.Header{"Connection": {"keep-alive, Upgrade"}, "Upgrade": {"websocket"}}, 400},
		"a header that is not UTF-8":          {"GET", "/", http.Header{"X-Name": {"\xff\xfe"}}, 400},
		"a path that is not UTF-8":            {"GET", "/\xff", nil, 400},
		"Korean, as UTF-8, is fine":           {"GET", "/", http.Header{"X-Name": {"김"}}, 200},
		"percent-encoded anything is no harm": {"GET", "/%FF?a=%FF", nil, 200},
	} {
		t.Run(name, func(t *testing.T) {
			path := tc.path
			if path == "/\xff" { // httptest would refuse to parse it
				path = "/"
			}
			r := httptest.NewRequest(tc.method, path, nil)
			if path != tc.path {
				r.RequestURI = tc.path
			}
			r.Host = host
			maps.Copy(r.Header, tc.header)
			r.Header.Set("Cookie", "AWSELBAuthSessionCookie-0="+b.cookies["AWSELBAuthSessionCookie-0"])
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, r)
			if rec.Code != tc.status {
				t.Errorf("got %d, want %d\n%s", rec.Code, tc.status, w.log)
			}
		})
	}
	for name, tc := range map[string]struct {
		size, status int
	}{"a body of 1 MB passes": {1 << 20, 200}, "one byte more is too large": {1<<20 + 1, 413}} {
		t.Run(name, func(t *testing.T) {
			if got := b.do("POST", "/", strings.Repeat("x", tc.size), http.Header{"Content-Type": {"text/plain"}}).StatusCode; got != tc.status {
				t.Errorf("got %d, want %d", got, tc.status)
			}
		})
	}
}

func TestCallbackIsTheLoadBalancersWhateverTheRulesSay(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Rules = []Rule{{Path: "/oauth2/*", Status: 200}} })
	if got := w.browser(t).get(callbackPath).StatusCode; got != 401 {
		t.Errorf("got %d, want 401 for a callback without a state", got)
	}
}

func TestErrorPageIsTheLoadBalancers(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.OnUnauthenticated = Deny })
	resp := w.browser(t).get("/")
	want := "<html>\r\n<head><title>401 Authorization Required</title></head>\r\n<body>\r\n<center><h1>401 Authorization Required</h1></center>\r\n</body>\r\n</html>\r\n"
	if got := text(t, resp); got != want || resp.Header.Get("Content-Type") != "text/html" {
		t.Errorf("got %q (%s), want %q", got, resp.Header.Get("Content-Type"), want)
	}
}

func TestConfigFaultsAreToldTogether(t *testing.T) {
	_, err := New(Config{SessionTimeout: 8 * 24 * time.Hour, IdleTimeout: 4001 * time.Second, OnUnauthenticated: "perhaps", Rules: []Rule{{Path: "/x", Status: 302, ContentType: "image/png", Body: strings.Repeat("한", 1025)}}})
	if err == nil {
		t.Fatal("got no error for an empty configuration")
	}
	for _, want := range []string{"Region is empty", "TokenEndpoint", "7 days", "IdleTimeout 1h6m41s is not", "perhaps", "status 302", "image/png", "1025 characters", "Log is nil"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q:\n%v", want, err)
		}
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "alb.json")
	keep := func(c *Config) { c.StateFile = file }
	before := newWorld(t, keep)
	b := before.signIn(t)
	if err := before.RotateKey(); err != nil {
		t.Fatal(err)
	}
	after := newWorld(t, keep)
	if before.ARN() != after.ARN() || before.TargetGroupARN() != after.TargetGroupARN() {
		t.Errorf("the ARN changed from %s to %s", before.ARN(), after.ARN())
	}
	b.h = after.Handler()
	if got := b.get("/").StatusCode; got != 200 {
		t.Errorf("with a session from before the restart: got %d, want 200", got)
	}
	for _, k := range before.keys {
		if _, ok := after.key(k.saved.ID); !ok {
			t.Errorf("signing key %s was lost", k.saved.ID)
		}
	}
}

func TestLogsHoldNoSecrets(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser(t)
	state := b.authorize("/private?token=query-secret").Get("state")
	code := w.idp.code()
	b.callback(url.Values{"code": {code}, "state": {state}})
	b.callback(url.Values{"code": {code}, "state": {state}})
	b.get("/")
	w.fn.answer = func(rw http.ResponseWriter) { io.WriteString(rw, `{"oops":"answer-secret"}`) }
	b.get("/")
	logged := w.log.String()
	for _, secret := range []string{code, state, "client-secret", "access-1", "refresh-1", "query-secret", "answer-secret", caller.SecretAccessKey, b.cookies["AWSELBAuthSessionCookie-0"]} {
		if strings.Contains(logged, secret) {
			t.Errorf("the log holds %q:\n%s", secret, logged)
		}
	}
	if !strings.Contains(logged, "to=alb") || !strings.Contains(logged, "why=LambdaInvalidResponse") {
		t.Errorf("the log lacks the hop or the refusal:\n%s", logged)
	}
}
