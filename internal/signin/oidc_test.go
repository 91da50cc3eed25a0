package signin

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/access/accesstest"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
)

const (
	opIssuer   = "https://issuer.example/realm"
	opClient   = "nightlatch-client"
	opSecret   = "canary-client-secret"
	opCallback = "https://vpn.example/oauth2/callback"
	opSubject  = "8d6c7b5a-0000-4000-8000-1234567890ab"
)

var opKey, otherKey = sync.OnceValue(newRSA), sync.OnceValue(newRSA)

func newRSA() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
}

// op is an OpenID Connect issuer, of the standard library alone and with nothing of what it is to test. What it does
// wrong, a test tells it to.
type op struct {
	t     testing.TB
	meta  map[string]any
	codes map[string]grant
	// token makes the ID token of a grant; claims are what it would hold.
	token func(claims map[string]any) string
	// answer, if set, is what a path is answered with; it gets the path. A false is as usual.
	answer func(r *http.Request) (*http.Response, error, bool)

	mu    sync.Mutex
	asked []string // paths
	said  []string // what must not be in any log or error: codes, tokens, verifiers
}

type grant struct{ nonce, challenge, redirect string }

func newOP(t testing.TB) *op {
	p := &op{t: t, codes: map[string]grant{}, meta: map[string]any{
		"issuer": opIssuer, "authorization_endpoint": opIssuer + "/authorize?tenant=1", "token_endpoint": opIssuer + "/token", "jwks_uri": opIssuer + "/keys",
		"end_session_endpoint": opIssuer + "/logout?a=b", "id_token_signing_alg_values_supported": []string{"RS256"},
	}}
	p.token = func(claims map[string]any) string { return rs256(opKey(), "k1", claims) }
	return p
}

func (p *op) secrets(s ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.said = append(p.said, s...)
}

func (p *op) RoundTrip(r *http.Request) (*http.Response, error) {
	p.mu.Lock()
	p.asked = append(p.asked, strings.TrimPrefix(r.URL.String(), opIssuer))
	p.mu.Unlock()
	if p.answer != nil {
		if response, err, done := p.answer(r); done {
			return response, err
		}
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	switch r.Method + " " + r.URL.String() {
	case "GET " + opIssuer + "/.well-known/openid-configuration":
		return says(200, p.meta), nil
	case "GET " + opIssuer + "/keys":
		return says(200, map[string]any{"keys": []any{
			map[string]string{"kty": "RSA", "use": "sig", "kid": "k1", "n": b64(opKey().N.Bytes()), "e": b64(big.NewInt(int64(opKey().E)).Bytes())},
			// A careless issuer, whose key set would let its readers verify what is signed with a shared secret.
			map[string]string{"kty": "oct", "kid": "shared", "k": b64([]byte("0123456789abcdef0123456789abcdef"))},
		}}), nil
	case "POST " + opIssuer + "/token":
		return p.exchange(r), nil
	}
	return nil, fmt.Errorf("nobody at %s %s", r.Method, r.URL)
}

func (p *op) exchange(r *http.Request) *http.Response {
	if err := r.ParseForm(); err != nil {
		p.t.Error(err)
	}
	if id, password, ok := r.BasicAuth(); !ok || id != opClient || password != opSecret {
		return says(401, map[string]string{"error": "invalid_client", "error_description": "canary " + password})
	}
	p.mu.Lock()
	g, ok := p.codes[r.PostForm.Get("code")]
	delete(p.codes, r.PostForm.Get("code"))
	p.mu.Unlock()
	p.secrets(r.PostForm.Get("code_verifier"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || b64(sum[:]) != g.challenge || r.PostForm.Get("redirect_uri") != g.redirect || r.PostForm.Get("grant_type") != "authorization_code" {
		return says(400, map[string]string{"error": "invalid_grant", "error_description": "code " + r.PostForm.Get("code")})
	}
	now := time.Now().Unix()
	token := p.token(map[string]any{"iss": opIssuer, "sub": opSubject, "aud": opClient, "iat": now, "exp": now + 300, "nonce": g.nonce,
		"email": "lee@corp.example", "name": "이하나\x1b[31m", "groups": []string{"S-1-5-21-1-2-3-512"}})
	p.secrets(token, "canary-access-token")
	return says(200, map[string]any{"access_token": "canary-access-token", "token_type": "Bearer", "expires_in": 300, "id_token": token})
}

// authorize signs the person in and returns the query that brings the browser back.
func (p *op) authorize(location string) url.Values {
	u, err := url.Parse(location)
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	for name, want := range map[string]string{"response_type": "code", "client_id": opClient, "redirect_uri": opCallback, "scope": "openid email",
		"code_challenge_method": "S256", "tenant": "1", "identity_provider": "IdentityCenter"} {
		if q.Get(name) != want {
			p.t.Errorf("asked with %s=%q, want %q", name, q.Get(name), want)
		}
	}
	code := "canary-code-" + rand.Text()
	p.secrets(code, q.Get("state"), q.Get("nonce"))
	p.mu.Lock()
	p.codes[code] = grant{q.Get("nonce"), q.Get("code_challenge"), q.Get("redirect_uri")}
	p.mu.Unlock()
	return url.Values{"code": {code}, "state": {q.Get("state")}}
}

func says(status int, v any) *http.Response {
	raw, ok := v.(string)
	if !ok {
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		raw = string(b)
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status), Header: http.Header{"Content-Type": {"text/plain"}, "Location": {"https://elsewhere.example/x"}}, Body: io.NopCloser(strings.NewReader(raw))}
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jws(header, payload any, sign func(text string) []byte) string {
	part := func(v any) string {
		if raw, ok := v.(string); ok {
			return b64([]byte(raw))
		}
		b, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		return b64(b)
	}
	text := part(header) + "." + part(payload)
	return text + "." + b64(sign(text))
}

func rs256(key *rsa.PrivateKey, kid string, payload any) string {
	return jws(map[string]string{"alg": "RS256", "kid": kid}, payload, func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		signature, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, sum[:])
		if err != nil {
			panic(err)
		}
		return signature
	})
}

func hs256(kid string, key []byte, payload any) string {
	return jws(map[string]string{"alg": "HS256", "kid": kid}, payload, func(text string) []byte {
		m := hmac.New(sha256.New, key)
		m.Write([]byte(text))
		return m.Sum(nil)
	})
}

// bench is an OIDC with everything around it.
type bench struct {
	*OIDC
	t      testing.TB
	op     *op
	store  *accesstest.Store
	log    *bytes.Buffer
	mu     sync.Mutex
	audit  []latch.Entry
	closed error // what the audit answers
}

func newBench(t testing.TB, change ...func(*OIDCConfig)) *bench {
	t.Helper()
	b := &bench{t: t, op: newOP(t), store: &accesstest.Store{}, log: &bytes.Buffer{}}
	c := OIDCConfig{Issuer: opIssuer, ClientID: opClient, ClientSecret: secret.New(opSecret), RedirectURL: opCallback, Scopes: []string{"openid", "email"},
		AuthorizeParams: map[string]string{"identity_provider": "IdentityCenter"}, GroupsClaim: "groups", Session: 10 * time.Hour, Store: b.store,
		Append: func(_ context.Context, e latch.Entry) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.audit = append(b.audit, e)
			return b.closed
		},
		RequestID: func(context.Context) string { return "r-1" },
		Client:    &http.Client{Transport: b.op}, Log: slog.New(slog.NewJSONHandler(b.log, nil))}
	for _, f := range change {
		f(&c)
	}
	var err error
	if b.OIDC, err = NewOIDC(c); err != nil {
		t.Fatal(err)
	}
	return b
}

// browser keeps cookies as browsers do, as far as it matters here.
type browser struct {
	t       testing.TB
	cookies map[string]string
	extra   string // a Cookie header that somebody smuggled in
}

func newBrowser(t testing.TB) *browser { return &browser{t: t, cookies: map[string]string{}} }

func (b *browser) get(target string) *http.Request {
	r := httptest.NewRequest("GET", target, nil)
	r.RemoteAddr = "192.0.2.7:40000"
	for _, name := range slices.Sorted(maps.Keys(b.cookies)) {
		r.AddCookie(&http.Cookie{Name: name, Value: b.cookies[name]})
	}
	if b.extra != "" {
		r.Header.Add("Cookie", b.extra)
	}
	return r
}

// take keeps the cookies of an answer, each of which must be one that no other host can read or plant.
func (b *browser) take(w *httptest.ResponseRecorder) {
	b.t.Helper()
	for _, line := range w.Result().Header.Values("Set-Cookie") {
		c, err := http.ParseSetCookie(line)
		if err != nil {
			b.t.Fatal(err)
		}
		if !strings.HasPrefix(c.Name, "__Host-") || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.MaxAge == 0 {
			b.t.Errorf("cookie %s, want __Host-, Path=/, Secure, HttpOnly, SameSite=Lax and an end", line)
		}
		if len(c.Name)+len(c.Value) > 1000 {
			b.t.Errorf("a cookie of %d bytes", len(c.Name)+len(c.Value))
		}
		if delete(b.cookies, c.Name); c.MaxAge > 0 {
			b.cookies[c.Name] = c.Value
		}
	}
}

// begin sends the browser to the issuer.
func (b *bench) begin(br *browser, next string) (location string, err error) {
	w := httptest.NewRecorder()
	err = b.Begin(w, br.get("https://vpn.example/sign-in"), next)
	br.take(w)
	return w.Result().Header.Get("Location"), err
}

// finish brings an answer back.
func (b *bench) finish(br *browser, answer string) (string, error) {
	w := httptest.NewRecorder()
	next, err := b.Finish(w, br.get(opCallback+"?"+answer))
	br.take(w)
	return next, err
}

// signIn is the whole journey.
func (b *bench) signIn(br *browser, next string) (string, error) {
	b.t.Helper()
	location, err := b.begin(br, next)
	if err != nil {
		return "", err
	}
	return b.finish(br, b.op.authorize(location).Encode())
}

func (b *bench) sessions() []access.Session {
	b.t.Helper()
	all, err := b.store.Sessions(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// quiet says that no secret of the journey is in the log or in err.
func (b *bench) quiet(err error) {
	b.t.Helper()
	text := b.log.String() + fmt.Sprint(err)
	for _, s := range append([]string{opSecret, "canary"}, b.op.said...) {
		if s != "" && strings.Contains(text, s) {
			b.t.Errorf("%q is told: %s", s, text)
		}
	}
}

func TestSigningIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		if _, err := b.Authenticate(br.get("/")); !errors.Is(err, ErrNoSession) || b.store.Calls("Session") != 0 {
			t.Errorf("before: got %v and %d reads, want %v and none: nobody sent a cookie", err, b.store.Calls("Session"), ErrNoSession)
		}
		next, err := b.signIn(br, "/endpoints/office?look")
		if err != nil || next != "/endpoints/office?look" {
			t.Fatalf("got %q, %v", next, err)
		}
		value := br.cookies[sessionCookie]
		if len(br.cookies) != 1 || len(value) < 26 {
			t.Errorf("got cookies %v, want the session's alone, of 130 random bits", br.cookies)
		}
		sum := sha256.Sum256([]byte(value))
		now := time.Now().UTC()
		want := access.Session{ID: hex.EncodeToString(sum[:]), Subject: opSubject, Issuer: opIssuer, Name: "이하나[31m", Email: "lee@corp.example",
			Groups: []string{"S-1-5-21-1-2-3-512"}, GroupsClaim: "groups", Since: now, Until: now.Add(10 * time.Hour), Source: "192.0.2.7"}
		if all := b.sessions(); len(all) != 1 || !reflect.DeepEqual(all[0], want) {
			t.Errorf("stored\n%+v, want\n%+v", all, want)
		}
		who, err := b.Authenticate(br.get("/"))
		if wantID := (access.Identity{Principal: latch.Principal{Subject: opSubject, Issuer: opIssuer, Name: want.Name, Email: want.Email}, Groups: want.Groups, Session: want.ID}); err != nil || !reflect.DeepEqual(who, wantID) {
			t.Errorf("got %+v, %v, want %+v", who, err, wantID)
		}
		b.op.answer = func(*http.Request) (*http.Response, error, bool) {
			t.Error("a session that exists needs no issuer")
			return nil, io.EOF, true
		}
		if _, err := b.Authenticate(br.get("/")); err != nil {
			t.Errorf("again: %v", err)
		}
		if len(b.audit) != 1 || b.audit[0].Action != "session.start" || b.audit[0].Subject != opSubject || b.audit[0].Endpoint != "" || b.audit[0].Source != "192.0.2.7" ||
			b.audit[0].Request != "r-1" || b.audit[0].After != want.ID {
			t.Errorf("got audit %+v", b.audit)
		}
		b.quiet(nil)
		if raw, err := json.Marshal(b.sessions()); err != nil || strings.Contains(string(raw), value) || strings.Contains(string(raw), "canary") {
			t.Errorf("stored %s, %v: neither the cookie's value nor a token may be", raw, err)
		}
	})
}

// What each of these does to a sign-in, nobody is signed in by.
func TestNoSignIn(t *testing.T) {
	// tampered is a journey whose answer or whose browser is changed before it comes back.
	type journey struct {
		*bench
		browser *browser
		answer  url.Values
	}
	claim := func(name string, value any) func(*journey) {
		return func(j *journey) {
			was := j.op.token
			j.op.token = func(claims map[string]any) string {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
				return was(claims)
			}
		}
	}
	token := func(make func(claims map[string]any) string) func(*journey) {
		return func(j *journey) { j.op.token = make }
	}
	status := func(path string, response func(r *http.Request) (*http.Response, error)) func(*journey) {
		return func(j *journey) {
			j.known.Store(nil)
			j.op.answer = func(r *http.Request) (*http.Response, error, bool) {
				if !strings.HasSuffix(r.URL.Path, path) {
					return nil, nil, false
				}
				answer, err := response(r)
				return answer, err, true
			}
		}
	}
	const discovery, tokens, keys = "/openid-configuration", "/token", "/keys"
	publicDER, err := x509.MarshalPKIXPublicKey(opKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	publicKey := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicDER})
	raw := func(text string) func(*journey) {
		return token(func(claims map[string]any) string {
			return rs256(opKey(), "k1", fmt.Sprintf(text, opIssuer, claims["nonce"], opClient, claims["exp"]))
		})
	}
	for name, tt := range map[string]struct {
		change func(*journey)
		want   error
	}{
		// state
		"no state":         {func(j *journey) { j.answer.Del("state") }, ErrFlow},
		"somebody's state": {func(j *journey) { j.answer.Set("state", rand.Text()) }, ErrFlow},
		"a state that begins alike": {func(j *journey) {
			j.answer.Set("state", j.answer.Get("state")[:flowNameBytes]+rand.Text()[flowNameBytes:])
		}, ErrFlow},
		"a state of another alphabet": {func(j *journey) { j.answer.Set("state", strings.Repeat("=", 26)) }, ErrFlow},
		"an answer to nothing":        {func(j *journey) { clear(j.browser.cookies) }, ErrFlow},
		"another browser's answer":    {func(j *journey) { j.browser.cookies = begun(j.bench) }, ErrFlow},
		"a flow's cookie twice":       {func(j *journey) { j.browser.extra = cookieOf(j.browser, flowCookie) }, ErrFlow},
		"a flow's cookie of another's make": {func(j *journey) {
			for n := range j.browser.cookies {
				j.browser.cookies[n] = "x"
			}
		}, ErrFlow},
		"a query too long": {func(j *journey) { j.answer.Set("x", strings.Repeat("x", maxQuery)) }, ErrFlow},

		// The attacker's code in the victim's browser: the verifier and the nonce are the victim's.
		"a code of another's sign-in": {func(j *journey) {
			location, err := j.begin(newBrowser(j.t), "/")
			if err != nil {
				j.t.Fatal(err)
			}
			j.answer.Set("code", j.op.authorize(location).Get("code"))
		}, ErrFlow},
		// The same at an issuer that does not check PKCE.
		"a code of another's sign-in, without PKCE": {func(j *journey) {
			location, err := j.begin(newBrowser(j.t), "/")
			if err != nil {
				j.t.Fatal(err)
			}
			code := j.op.authorize(location).Get("code")
			theirs := j.op.codes[code]
			theirs.challenge = j.op.codes[j.answer.Get("code")].challenge
			j.op.codes[code] = theirs
			j.answer.Set("code", code)
		}, ErrToken},
		"a code that was used":        {func(j *journey) { delete(j.op.codes, j.answer.Get("code")) }, ErrFlow},
		"neither a code nor an error": {func(j *journey) { j.answer.Del("code") }, ErrToken},
		"the state twice":             {func(j *journey) { j.answer.Add("state", j.answer.Get("state")) }, ErrFlow},
		"the code twice":              {func(j *journey) { j.answer.Add("code", j.answer.Get("code")) }, ErrFlow},
		"the issuer's name twice":     {func(j *journey) { j.answer["iss"] = []string{opIssuer, opIssuer} }, ErrFlow},
		"another issuer's answer":     {func(j *journey) { j.answer.Set("iss", "https://issuer.example/other") }, ErrToken},
		"an issuer without a name":    {func(j *journey) { j.answer.Set("iss", "") }, ErrToken},
		"an issuer that would say its name, and does not": {func(j *journey) {
			j.known.Store(nil)
			j.op.meta["authorization_response_iss_parameter_supported"] = true
		}, ErrToken},
		"the issuer's no": {func(j *journey) {
			j.answer.Del("code")
			j.answer.Set("error", "access_denied")
			j.answer.Set("error_description", "not assigned\r\nforged line")
		}, ErrToken},
		"an error beside a code":      {func(j *journey) { j.answer.Set("error", "access_denied") }, ErrToken},
		"an issuer in trouble":        {func(j *journey) { j.answer.Set("error", "temporarily_unavailable") }, ErrIssuer},
		"an error of nobody's making": {func(j *journey) { j.answer.Set("error", "canary\" err=\"") }, ErrToken},

		// The ID token
		"another nonce":                             {claim("nonce", rand.Text()), ErrToken},
		"no nonce":                                  {claim("nonce", nil), ErrToken},
		"an empty nonce":                            {claim("nonce", ""), ErrToken},
		"another audience":                          {claim("aud", "another-client"), ErrToken},
		"no audience":                               {claim("aud", nil), ErrToken},
		"several audiences and nobody who asked":    {claim("aud", []string{opClient, "another-client"}), ErrToken},
		"another who asked":                         {claim("azp", "another-client"), ErrToken},
		"a client's name in capitals":               {claim("aud", strings.ToUpper(opClient)), ErrToken},
		"another issuer":                            {claim("iss", "https://issuer.example/other"), ErrToken},
		"the issuer with a slash":                   {claim("iss", opIssuer+"/"), ErrToken},
		"no issuer":                                 {claim("iss", nil), ErrToken},
		"expired":                                   {claim("exp", time.Date(1999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()), ErrToken},
		"without an end":                            {claim("exp", nil), ErrToken},
		"not yet good":                              {claim("nbf", time.Date(2000, 1, 1, 0, 6, 0, 0, time.UTC).Unix()), ErrToken},
		"an access token":                           {claim("token_use", "access"), ErrToken},
		"no subject":                                {claim("sub", nil), ErrToken},
		"a subject that is a number":                {claim("sub", 7), ErrToken},
		"a subject with a line break":               {claim("sub", "lee\nkim"), ErrToken},
		"a subject that is no text":                 {raw(`{"iss":%q,"nonce":%q,"aud":%q,"exp":%d,"sub":"lee` + "\xff" + `"}`), ErrToken},
		"a subject too long":                        {claim("sub", strings.Repeat("x", 255+1)), ErrToken},
		"a second subject in capitals":              {claim("SUB", "admin"), ErrToken},
		"a second audience, with a Kelvin of its s": {claim("ſub", "admin"), ErrToken},
		"a subject twice":                           {raw(`{"iss":%q,"nonce":%q,"aud":%q,"exp":%d,"sub":"lee","sub":"admin"}`), ErrToken},
		"claims without end":                        {claim("groups", strings.Repeat("x", maxIDToken)), ErrToken},
		"alg none":                                  {token(func(c map[string]any) string { return jws(`{"alg":"none"}`, c, func(string) []byte { return nil }) }), ErrToken},
		"alg none, by another spelling":             {token(func(c map[string]any) string { return jws(`{"alg":"nOnE"}`, c, func(string) []byte { return nil }) }), ErrToken},
		"no algorithm":                              {token(func(c map[string]any) string { return jws(`{}`, c, func(string) []byte { return nil }) }), ErrToken},
		"HS256 with the public key":                 {token(func(c map[string]any) string { return hs256("k1", publicKey, c) }), ErrToken},
		"HS256 with the client's secret":            {token(func(c map[string]any) string { return hs256("k1", []byte(opSecret), c) }), ErrToken},
		"HS256 with a secret of the key set":        {token(func(c map[string]any) string { return hs256("shared", []byte("0123456789abcdef0123456789abcdef"), c) }), ErrToken},
		"another's key":                             {token(func(c map[string]any) string { return rs256(otherKey(), "k1", c) }), ErrToken},
		"another's key by another name":             {token(func(c map[string]any) string { return rs256(otherKey(), "k2", c) }), ErrToken},
		"a key that the token brings along": {token(func(c map[string]any) string {
			return jws(map[string]any{"alg": "RS256", "jwk": map[string]string{"kty": "RSA", "n": b64(otherKey().N.Bytes()), "e": "AQAB"}}, c, func(text string) []byte {
				sum := sha256.Sum256([]byte(text))
				signature, err := rsa.SignPKCS1v15(nil, otherKey(), crypto.SHA256, sum[:])
				if err != nil {
					panic(err)
				}
				return signature
			})
		}), ErrToken},
		"no signature": {token(func(c map[string]any) string { t := rs256(opKey(), "k1", c); return t[:strings.LastIndex(t, ".")+1] }), ErrToken},
		"claims exchanged": {token(func(c map[string]any) string {
			good := strings.Split(rs256(opKey(), "k1", c), ".")
			c["sub"] = "admin"
			return good[0] + "." + strings.Split(rs256(opKey(), "k1", c), ".")[1] + "." + good[2]
		}), ErrToken},
		"JSON's other form": {token(func(c map[string]any) string {
			p := strings.Split(rs256(opKey(), "k1", c), ".")
			return fmt.Sprintf(`{"payload":%q,"protected":%q,"signature":%q}`, p[1], p[0], p[2])
		}), ErrToken},
		"no ID token": {token(func(map[string]any) string { return "" }), ErrToken},
		"no JWT":      {token(func(map[string]any) string { return "a.b.c" }), ErrToken},
		"not an algorithm that the issuer announces": {func(j *journey) {
			j.known.Store(nil)
			j.op.meta["id_token_signing_alg_values_supported"] = []string{"ES256"}
		}, ErrToken},

		// The issuer
		"an issuer that is down":                 {status(discovery, func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }), ErrIssuer},
		"an issuer in trouble with its metadata": {status(discovery, func(*http.Request) (*http.Response, error) { return says(503, "canary"), nil }), ErrIssuer},
		"an issuer that says nothing":            {status(discovery, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }), ErrIssuer},
		"an issuer that leads elsewhere":         {status(discovery, func(*http.Request) (*http.Response, error) { return says(302, ""), nil }), ErrIssuer},
		"a sign-in page instead of metadata":     {status(discovery, func(*http.Request) (*http.Response, error) { return says(200, "<html>canary"), nil }), ErrIssuer},
		"metadata without end":                   {func(j *journey) { j.known.Store(nil); j.op.meta["x"] = strings.Repeat("x", maxAnswer) }, ErrIssuer},
		"another's metadata":                     {func(j *journey) { j.known.Store(nil); j.op.meta["issuer"] = "https://issuer.example/other" }, ErrIssuer},
		"metadata in the clear":                  {func(j *journey) { j.known.Store(nil); j.op.meta["token_endpoint"] = "http://issuer.example/token" }, ErrIssuer},
		"metadata without keys":                  {func(j *journey) { j.known.Store(nil); delete(j.op.meta, "jwks_uri") }, ErrIssuer},
		"an issuer that signs with shared secrets": {func(j *journey) {
			j.known.Store(nil)
			j.op.meta["id_token_signing_alg_values_supported"] = []string{"HS256", "none"}
		}, ErrIssuer},
		"an issuer that takes certificates only": {func(j *journey) {
			j.known.Store(nil)
			j.op.meta["token_endpoint_auth_methods_supported"] = []string{"tls_client_auth"}
		}, ErrIssuer},
		"a token endpoint that is down":          {status(tokens, func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }), ErrIssuer},
		"a token endpoint in trouble":            {status(tokens, func(*http.Request) (*http.Response, error) { return says(500, `{"error":"canary"}`), nil }), ErrIssuer},
		"a token endpoint that leads elsewhere":  {status(tokens, func(*http.Request) (*http.Response, error) { return says(307, ""), nil }), ErrIssuer},
		"a token endpoint that says nothing":     {status(tokens, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }), ErrIssuer},
		"a token endpoint with something else":   {status(tokens, func(*http.Request) (*http.Response, error) { return says(200, `["canary"]`), nil }), ErrIssuer},
		"a client that the issuer does not know": {status(tokens, func(*http.Request) (*http.Response, error) { return says(401, `{"error":"invalid_client"}`), nil }), ErrIssuer},
		"an answer that repeats what it was sent": {status(tokens, func(r *http.Request) (*http.Response, error) {
			raw, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			return says(400, map[string]string{"error": string(raw) + opSecret, "error_description": string(raw)}), nil
		}), ErrIssuer},
		"keys that cannot be had":        {status(keys, func(*http.Request) (*http.Response, error) { return says(500, "canary"), nil }), ErrIssuer},
		"a sign-in page instead of keys": {status(keys, func(*http.Request) (*http.Response, error) { return says(200, "<html>canary"), nil }), ErrIssuer},
		"keys that lead elsewhere":       {status(keys, func(*http.Request) (*http.Response, error) { return says(302, ""), nil }), ErrIssuer},
		"keys that never come":           {status(keys, func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }), ErrIssuer},

		// Ourselves
		"an audit that cannot be written": {func(j *journey) { j.closed = latch.ErrUnavailable }, latch.ErrUnavailable},
		"a store that cannot be written":  {func(j *journey) { j.store.Fail = func(call string) error { return only(call, "SaveSession") } }, latch.ErrUnavailable},
		"a session before that cannot be ended": {func(j *journey) {
			j.browser.cookies[sessionCookie] = rand.Text()
			j.store.Fail = func(call string) error { return only(call, "EndSession") }
		}, latch.ErrUnavailable},
		"ten minutes later": {func(*journey) { time.Sleep(flowLife) }, ErrFlow},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := &journey{bench: newBench(t), browser: newBrowser(t)}
				location, err := j.begin(j.browser, "/")
				if err != nil {
					t.Fatal(err)
				}
				j.answer = j.op.authorize(location)
				tt.change(j)
				before := time.Now()
				_, err = j.finish(j.browser, j.answer.Encode())
				if !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				if took := time.Since(before); took > 3*callTimeout {
					t.Errorf("took %v", took)
				}
				// Up to the exchange a refused answer is the browser's; what comes after is the issuer's or the store's.
				exchanged := slices.Contains(j.op.asked, "/token")
				if broken := errors.Is(tt.want, ErrIssuer) || !errors.Is(tt.want, ErrFlow) && exchanged; Broken(err) != broken {
					t.Errorf("Broken(%v) = %t, want %t", err, Broken(err), broken)
				}
				j.store.Fail = nil
				if all := j.sessions(); len(all) != 0 {
					t.Errorf("somebody is signed in: %+v", all)
				}
				if _, ok := j.browser.cookies[sessionCookie]; ok && name != "a session before that cannot be ended" {
					t.Error("the browser has a session's cookie")
				}
				if err != nil && strings.ContainsAny(err.Error(), "\r\n") {
					t.Errorf("an error of several lines: %q", err)
				}
				j.quiet(err)
			})
		})
	}
}

func only(call, name string) error {
	if call != name {
		return nil
	}
	return latch.ErrUnavailable
}

// begun are the cookies of another browser with a sign-in under way.
func begun(b *bench) map[string]string {
	br := newBrowser(b.t)
	if _, err := b.begin(br, "/"); err != nil {
		b.t.Fatal(err)
	}
	return br.cookies
}

func cookieOf(br *browser, prefix string) string {
	for name, value := range br.cookies {
		if strings.HasPrefix(name, prefix) {
			return name + "=" + value
		}
	}
	return ""
}

// An answer counts once: the second time the browser has no flow any more, and whoever copied its cookies has a code that
// the issuer does not take again.
func TestAnAnswerCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		location, err := b.begin(br, "/")
		if err != nil {
			t.Fatal(err)
		}
		thief := newBrowser(t)
		thief.cookies = maps.Clone(br.cookies)
		answer := b.op.authorize(location).Encode()
		if _, err := b.finish(br, answer); err != nil {
			t.Fatal(err)
		}
		mine := br.cookies[sessionCookie]
		for name, other := range map[string]*browser{"the same browser": br, "a copy of it": thief} {
			_, err := b.finish(other, answer)
			if !errors.Is(err, ErrFlow) {
				t.Errorf("%s: got %v, want %v", name, err, ErrFlow)
			}
			b.quiet(err)
		}
		if all := b.sessions(); len(all) != 1 || br.cookies[sessionCookie] != mine || thief.cookies[sessionCookie] != "" {
			t.Errorf("got sessions %+v and a thief with %v", all, thief.cookies)
		}
	})
}

// Session fixation: whatever the browser has as a session's cookie before, the one after is new, and that before is over.
func TestEachSignInIsANewSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, victim, attacker := newBench(t), newBrowser(t), newBrowser(t)
		if _, err := b.signIn(attacker, "/"); err != nil {
			t.Fatal(err)
		}
		planted := attacker.cookies[sessionCookie]
		victim.cookies[sessionCookie] = planted
		if _, err := b.signIn(victim, "/"); err != nil {
			t.Fatal(err)
		}
		first := victim.cookies[sessionCookie]
		if _, err := b.signIn(victim, "/"); err != nil {
			t.Fatal(err)
		}
		second := victim.cookies[sessionCookie]
		if first == planted || second == first {
			t.Errorf("got %q after %q after %q, want a new one each time", second, first, planted)
		}
		for name, value := range map[string]string{"the planted one": planted, "the first": first} {
			old := newBrowser(t)
			old.cookies[sessionCookie] = value
			if _, err := b.Authenticate(old.get("/")); !errors.Is(err, ErrNoSession) {
				t.Errorf("%s: got %v, want %v", name, err, ErrNoSession)
			}
		}
		if all := b.sessions(); len(all) != 1 {
			t.Errorf("got %d sessions, want 1", len(all))
		}
	})
}

// A browser restores its tabs in the morning: each begins before any ends, and each ends where it began.
func TestManyTabsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		const tabs = 20
		var answers []string
		cookies := map[string]string{}
		for i := range tabs {
			tab := newBrowser(t) // none of them has seen the others' cookies when it asks
			location, err := b.begin(tab, fmt.Sprintf("/endpoints/e%d", i))
			if err != nil {
				t.Fatal(err)
			}
			maps.Copy(cookies, tab.cookies)
			answers = append(answers, b.op.authorize(location).Encode())
		}
		br.cookies = cookies
		size := 0
		for _, c := range br.get("/").Cookies() {
			size += len(c.Name) + len(c.Value) + len("=; ")
		}
		if size > 6<<10 {
			t.Errorf("%d tabs send %d bytes of cookies, of the 10,240 that an HTTP API takes", tabs, size)
		}
		for _, i := range []int{19, 0, 7, 1, 18, 2, 17, 3, 16, 4, 15, 5, 14, 6, 13, 8, 12, 9, 11, 10} {
			if next, err := b.finish(br, answers[i]); err != nil || next != fmt.Sprintf("/endpoints/e%d", i) {
				t.Errorf("tab %d: got %q, %v", i, next, err)
			}
		}
		if len(br.cookies) != 1 || len(b.sessions()) != 1 {
			t.Errorf("got cookies %v and %d sessions, want one of each", br.cookies, len(b.sessions()))
		}
	})
}

// Sign-ins that are begun and never ended leave no more than a few cookies behind, and it is the oldest that go.
func TestFlowsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		br.cookies[flowCookie+"ABCDEFGH"] = "rubbish"
		br.cookies["other"] = "kept"
		var answers []string
		for range 3 * maxFlows {
			location, err := b.begin(br, "/")
			if err != nil {
				t.Fatal(err)
			}
			answers = append(answers, b.op.authorize(location).Encode())
			time.Sleep(time.Second)
		}
		if len(br.cookies) != maxFlows+1 || br.cookies["other"] != "kept" || br.cookies[flowCookie+"ABCDEFGH"] != "" {
			t.Errorf("got %d cookies, want %d flows, and the other one", len(br.cookies), maxFlows)
		}
		for i, answer := range answers {
			_, err := b.finish(br, answer)
			if late := i >= len(answers)-maxFlows; late && err != nil || !late && !errors.Is(err, ErrFlow) {
				t.Errorf("flow %d of %d: got %v", i, len(answers), err)
			}
		}
		if _, err := b.begin(br, "/"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(flowLife)
		if _, err := b.begin(br, "/"); err != nil {
			t.Fatal(err)
		}
		if flows := len(br.cookies) - 2; flows != 1 { // beside the session's and the other
			t.Errorf("got %d flows, want those gone that are over", flows)
		}
	})
}

func TestWhoHasNoSession(t *testing.T) {
	signedIn := func(t *testing.T) (*bench, *browser) {
		b, br := newBench(t), newBrowser(t)
		if _, err := b.signIn(br, "/"); err != nil {
			t.Fatal(err)
		}
		return b, br
	}
	for name, tt := range map[string]struct {
		change func(*bench, *browser)
		want   error
		reads  int
	}{
		"a cookie of nobody's session":            {func(_ *bench, br *browser) { br.cookies[sessionCookie] = rand.Text() }, ErrNoSession, 1},
		"a cookie that is none of ours":           {func(_ *bench, br *browser) { br.cookies[sessionCookie] += "A" }, ErrNoSession, 0},
		"an empty cookie":                         {func(_ *bench, br *browser) { br.cookies[sessionCookie] = "" }, ErrNoSession, 0},
		"the stored id instead of the cookie":     {func(b *bench, br *browser) { br.cookies[sessionCookie] = b.sessions()[0].ID }, ErrNoSession, 0},
		"a second cookie, tossed in by a sibling": {func(_ *bench, br *browser) { br.extra = sessionCookie + "=" + rand.Text() }, ErrNoSession, 0},
		"a second cookie that is none of ours":    {func(_ *bench, br *browser) { br.extra = sessionCookie + "=x" }, ErrNoSession, 0},
		"a cookie of another name": {func(_ *bench, br *browser) {
			br.cookies = map[string]string{"nightlatch-session": br.cookies[sessionCookie]}
		}, ErrNoSession, 0},
		"a session that was revoked":                 {func(b *bench, _ *browser) { b.must(b.store.EndSession(b.t.Context(), b.sessions()[0].ID)) }, ErrNoSession, 1},
		"a nanosecond before its end":                {func(*bench, *browser) { time.Sleep(10*time.Hour - time.Nanosecond) }, nil, 1},
		"at its end":                                 {func(*bench, *browser) { time.Sleep(10 * time.Hour) }, ErrNoSession, 1},
		"a session that is longer than is allowed":   {func(b *bench, _ *browser) { b.c.Session = time.Hour; time.Sleep(time.Hour) }, ErrNoSession, 1},
		"a session of another issuer":                {func(b *bench, _ *browser) { b.c.Issuer = "https://issuer.example/other" }, ErrNoSession, 1},
		"a store that is down, so that nobody is in": {func(b *bench, _ *browser) { b.store.Fail = func(string) error { return latch.ErrUnavailable } }, latch.ErrUnavailable, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, br := signedIn(t)
				tt.change(b, br)
				who, err := b.Authenticate(br.get("/"))
				if !errors.Is(err, tt.want) || err != nil && !reflect.DeepEqual(who, access.Identity{}) {
					t.Errorf("got %+v, %v, want %v", who, err, tt.want)
				}
				if n := b.store.Calls("Session"); n != tt.reads {
					t.Errorf("%d reads, want %d", n, tt.reads)
				}
				b.quiet(err)
			})
		})
	}
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func TestSigningOut(t *testing.T) {
	const own = "https://vpn.example/signed-out"
	announced := opIssuer + "/logout?a=b&client_id=" + opClient + "&post_logout_redirect_uri=" + url.QueryEscape(own)
	for name, tt := range map[string]struct {
		change func(*bench, *browser)
		to     string
		err    error
	}{
		"at the place that the issuer announces": {func(*bench, *browser) {}, announced, nil},
		"at the configured place":                {func(b *bench, _ *browser) { b.c.LogoutURL = "https://issuer.example/bye?x=y" }, "https://issuer.example/bye?x=y", nil},
		"at an issuer that has no such place":    {func(b *bench, _ *browser) { b.known.Store(nil); delete(b.op.meta, "end_session_endpoint") }, own, nil},
		"at a place in the clear": {func(b *bench, _ *browser) {
			b.known.Store(nil)
			b.op.meta["end_session_endpoint"] = "http://issuer.example/logout"
		}, own, nil},
		"at an issuer that is down": {func(b *bench, _ *browser) {
			b.known.Store(nil)
			b.op.answer = func(*http.Request) (*http.Response, error, bool) { return nil, io.EOF, true }
		}, own, nil},
		"when the session has ended": {func(*bench, *browser) { time.Sleep(11 * time.Hour) }, announced, nil},
		"without a session":          {func(_ *bench, br *browser) { delete(br.cookies, sessionCookie) }, announced, nil},
		"without an audit":           {func(b *bench, _ *browser) { b.closed = latch.ErrUnavailable }, announced, nil},
		"without a store": {func(b *bench, _ *browser) {
			b.store.Fail = func(call string) error { return only(call, "EndSession") }
		}, "", latch.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, br := newBench(t), newBrowser(t)
				if _, err := b.signIn(br, "/"); err != nil {
					t.Fatal(err)
				}
				if _, err := b.begin(br, "/"); err != nil { // a sign-in under way elsewhere
					t.Fatal(err)
				}
				br.cookies["other"] = "kept"
				before := newBrowser(t)
				before.cookies = maps.Clone(br.cookies)
				tt.change(b, br)
				w := httptest.NewRecorder()
				to, err := b.End(w, br.get("https://vpn.example/sign-out"))
				br.take(w)
				if to != tt.to || !errors.Is(err, tt.err) {
					t.Errorf("got %q, %v, want %q, %v", to, err, tt.to, tt.err)
				}
				if delete(br.cookies, "other"); len(br.cookies) != 0 {
					t.Errorf("cookies %v are left", br.cookies)
				}
				if name == "without a session" {
					return
				}
				b.store.Fail = nil
				if _, err := b.Authenticate(before.get("/")); tt.err == nil && !errors.Is(err, ErrNoSession) {
					t.Errorf("whoever has a copy of the cookie: got %v, want %v at once", err, ErrNoSession)
				}
				if last := b.audit[len(b.audit)-1]; name == "at the configured place" && (last.Action != "session.end" || last.Subject != opSubject || last.After != b.audit[0].After) {
					t.Errorf("got audit %+v", b.audit)
				}
				b.quiet(err)
			})
		})
	}
}

// The issuer is asked when somebody signs in, once for all who do, and again when it did not answer.
func TestWhenTheIssuerIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if len(b.op.asked) != 0 {
			t.Errorf("asked %v before anybody signs in", b.op.asked)
		}
		slow := func(*http.Request) (*http.Response, error, bool) {
			time.Sleep(time.Second)
			return nil, nil, false
		}
		b.op.answer = func(*http.Request) (*http.Response, error, bool) { return nil, io.EOF, true }
		if _, err := b.begin(newBrowser(t), "/"); !errors.Is(err, ErrIssuer) {
			t.Errorf("got %v, want %v", err, ErrIssuer)
		}
		b.op.answer, b.op.asked = slow, nil
		// The first one's browser goes away in the middle; the others must not notice.
		first, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				r := newBrowser(t).get("/sign-in")
				if i == 0 {
					r = r.WithContext(first)
				} else {
					time.Sleep(time.Microsecond)
				}
				if err := b.Begin(httptest.NewRecorder(), r, "/"); err != nil {
					t.Errorf("sign-in %d: %v", i, err)
				}
			})
		}
		time.Sleep(time.Millisecond)
		cancel()
		wg.Wait()
		if !slices.Equal(b.op.asked, []string{"/.well-known/openid-configuration"}) {
			t.Errorf("asked %v for 50 sign-ins at once, want once", b.op.asked)
		}
		b.op.answer, b.op.asked = nil, nil
		for range 2 {
			if _, err := b.signIn(newBrowser(t), "/"); err != nil {
				t.Fatal(err)
			}
		}
		if want := []string{"/token", "/keys", "/token"}; !slices.Equal(b.op.asked, want) {
			t.Errorf("asked %v, want %v: keys are kept", b.op.asked, want)
		}
		time.Sleep(issuerLife)
		b.op.asked = nil
		if _, err := b.signIn(newBrowser(t), "/"); err != nil {
			t.Fatal(err)
		}
		if want := []string{"/.well-known/openid-configuration", "/token", "/keys"}; !slices.Equal(b.op.asked, want) {
			t.Errorf("an hour later: asked %v, want %v: a key may have been taken back", b.op.asked, want)
		}
	})
}

// How the client shows who it is, by what the issuer announces (OpenID Connect Core 1.0 section 9).
func TestTheClientShowsWhoItIs(t *testing.T) {
	for name, tt := range map[string]struct {
		methods         any
		secret          string
		id, key, posted string
	}{
		"by default":         {nil, "s:c", opClient, "s%3Ac", ""},
		"by header or form":  {[]string{"client_secret_post", "client_secret_basic"}, "s:c", opClient, "s%3Ac", ""},
		"by form":            {[]string{"client_secret_post"}, "s:c", "", "", "client_id=" + opClient + "&client_secret=s%3Ac"},
		"as a public client": {[]string{"none"}, "", "", "", "client_id=" + opClient},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, func(c *OIDCConfig) { c.ClientSecret = secret.New(tt.secret) })
				if tt.methods != nil {
					b.op.meta["token_endpoint_auth_methods_supported"] = tt.methods
				}
				asked := 0
				b.op.answer = func(r *http.Request) (*http.Response, error, bool) {
					if !strings.HasSuffix(r.URL.Path, "/token") {
						return nil, nil, false
					}
					asked++
					if err := r.ParseForm(); err != nil {
						t.Error(err)
					}
					id, key, _ := r.BasicAuth()
					form := url.Values{}
					for _, field := range []string{"client_id", "client_secret"} {
						if v := r.PostForm.Get(field); v != "" {
							form.Set(field, v)
						}
					}
					if id != tt.id || key != tt.key || form.Encode() != tt.posted {
						t.Errorf("got %q, %q and %q, want %q, %q and %q", id, key, form.Encode(), tt.id, tt.key, tt.posted)
					}
					return says(400, `{"error":"invalid_grant"}`), nil, true
				}
				if _, err := b.signIn(newBrowser(t), "/"); !errors.Is(err, ErrFlow) || asked != 1 {
					t.Errorf("got %v and %d tries, want one: a second would spend the code twice", err, asked)
				}
			})
		})
	}
}

func TestWhoSomebodyIs(t *testing.T) {
	for name, tt := range map[string]struct {
		claims map[string]any // nil: taken away
		groups string         // the configured claim
		want   access.Session
	}{
		"by name":                       {nil, "groups", access.Session{Name: "이하나[31m", Groups: []string{"S-1-5-21-1-2-3-512"}}},
		"by the parts of a name":        {map[string]any{"name": nil, "given_name": "Hana", "family_name": "Lee"}, "", access.Session{Name: "Hana Lee"}},
		"by e-mail":                     {map[string]any{"name": nil}, "", access.Session{Name: "lee@corp.example"}},
		"by what they signed in with":   {map[string]any{"name": nil, "email": nil, "preferred_username": "lee"}, "", access.Session{Name: "lee"}},
		"as Cognito calls them":         {map[string]any{"name": nil, "email": nil, "cognito:username": "IdentityCenter_lee"}, "", access.Session{Name: "IdentityCenter_lee"}},
		"with a name that is no text":   {map[string]any{"name": 7}, "", access.Session{Name: "lee@corp.example"}},
		"without groups":                {nil, "", access.Session{Name: "이하나[31m"}},
		"with groups that are no list":  {map[string]any{"groups": map[string]int{}}, "groups", access.Session{Name: "이하나[31m", GroupsCut: true}},
		"with groups that are too many": {map[string]any{"groups": nil, "_claim_names": map[string]string{"groups": "src1"}, "_claim_sources": map[string]any{"src1": map[string]string{"endpoint": "https://graph.example/groups"}}}, "groups", access.Session{Name: "이하나[31m", GroupsCut: true}},
		"for us and for another":        {map[string]any{"aud": []string{"another-client", opClient}, "azp": opClient}, "", access.Session{Name: "이하나[31m"}},
		"by an ID token of Cognito's":   {map[string]any{"token_use": "id"}, "", access.Session{Name: "이하나[31m"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, func(c *OIDCConfig) { c.GroupsClaim = tt.groups })
				was := b.op.token
				b.op.token = func(claims map[string]any) string {
					for name, value := range tt.claims {
						if claims[name] = value; value == nil {
							delete(claims, name)
						}
					}
					return was(claims)
				}
				if _, err := b.signIn(newBrowser(t), "/"); err != nil {
					t.Fatal(err)
				}
				s := b.sessions()[0]
				if s.Subject != opSubject || s.Name != tt.want.Name || !slices.Equal(s.Groups, tt.want.Groups) || s.GroupsCut != tt.want.GroupsCut {
					t.Errorf("got %+v, want %+v", s, tt.want)
				}
			})
		})
	}
}

// Nobody is sent to where others can listen.
func TestNobodyIsSentIntoTheClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		b.op.meta["authorization_endpoint"] = "http://issuer.example/authorize"
		if location, err := b.begin(br, "/"); !errors.Is(err, ErrIssuer) || location != "" || len(br.cookies) != 0 {
			t.Errorf("sent to %q: %v", location, err)
		}
	})
}

// An answer is a navigation. What others do with its address does not use it up.
func TestAnAnswerIsAGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		location, err := b.begin(br, "/")
		if err != nil {
			t.Fatal(err)
		}
		answer := b.op.authorize(location).Encode()
		for _, method := range []string{"HEAD", "POST"} {
			r := br.get(opCallback + "?" + answer)
			r.Method = method
			w := httptest.NewRecorder()
			if _, err := b.Finish(w, r); !errors.Is(err, ErrFlow) || len(w.Result().Cookies()) != 0 {
				t.Errorf("%s: got %v, %v", method, err, w.Result().Cookies())
			}
		}
		if _, err := b.finish(br, answer); err != nil {
			t.Errorf("the answer itself: %v", err)
		}
	})
}

func TestTheIssuersOwnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, br := newBench(t), newBrowser(t)
		b.op.meta["authorization_response_iss_parameter_supported"] = true
		delete(b.op.meta, "id_token_signing_alg_values_supported") // RS256 goes without saying
		location, err := b.begin(br, "/")
		if err != nil {
			t.Fatal(err)
		}
		answer := b.op.authorize(location)
		answer.Set("iss", opIssuer)
		answer.Set("session_state", "what others may add")
		if _, err := b.finish(br, answer.Encode()); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestOIDCConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*OIDCConfig)
		want   string // part of the error; empty: good
	}{
		"a public client":             {func(c *OIDCConfig) { c.ClientSecret = secret.String{} }, ""},
		"an issuer with a slash":      {func(c *OIDCConfig) { c.Issuer += "/" }, ""},
		"no issuer":                   {func(c *OIDCConfig) { c.Issuer = "" }, "oidc.issuer"},
		"an issuer in the clear":      {func(c *OIDCConfig) { c.Issuer = "http://issuer.example" }, "oidc.issuer"},
		"an issuer with a query":      {func(c *OIDCConfig) { c.Issuer += "?x" }, "oidc.issuer"},
		"no client":                   {func(c *OIDCConfig) { c.ClientID = "" }, "oidc.client_id"},
		"a callback in the clear":     {func(c *OIDCConfig) { c.RedirectURL = "http://vpn.example/oauth2/callback" }, "oidc.redirect_url"},
		"a way out in the clear":      {func(c *OIDCConfig) { c.LogoutURL = "http://issuer.example/logout" }, "oidc.logout_url"},
		"not OpenID Connect":          {func(c *OIDCConfig) { c.Scopes = []string{"email"} }, "openid"},
		"no session":                  {func(c *OIDCConfig) { c.Session = 0 }, "oidc.session"},
		"more than a working day":     {func(c *OIDCConfig) { c.Session = SessionMost + 1 }, "oidc.session"},
		"a state of one's own":        {func(c *OIDCConfig) { c.AuthorizeParams = map[string]string{"state": "x"} }, "state is Nightlatch's own"},
		"nowhere to keep sessions":    {func(c *OIDCConfig) { c.Store = nil }, "required"},
		"nowhere to write the audit":  {func(c *OIDCConfig) { c.Append = nil }, "required"},
		"nobody to carry a request":   {func(c *OIDCConfig) { c.Client = nil }, "required"},
		"nowhere to say what is done": {func(c *OIDCConfig) { c.Log = nil }, "required"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newBench(t).c
			tt.change(&c)
			if _, err := NewOIDC(c); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// onThisHost says whether a browser that is sent from our page to s stays with us: as the WHATWG URL Standard reads it, with
// tabs and line breaks gone and backslashes as slashes, and as net/url does.
func onThisHost(s string) bool {
	read := strings.ReplaceAll(strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(strings.TrimFunc(s, func(r rune) bool { return r <= ' ' })), `\`, "/")
	if !strings.HasPrefix(read, "/") || strings.HasPrefix(read, "//") {
		return false
	}
	u, err := url.Parse(s)
	return err != nil || u.Host == "" && u.Scheme == ""
}

// FuzzNext: wherever somebody's link leads to the sign-in, it does not lead away after it.
func FuzzNext(f *testing.F) {
	for _, next := range []string{"", "/", "/endpoints/office?look", "//evil.example", `/\evil.example`, "/\t/evil.example", "https://evil.example", "javascript:alert(1)", "/%2f/evil.example",
		"/.//evil.example", " //evil.example", "/x\r\nSet-Cookie: a=b", "/" + strings.Repeat("x", maxNext), "/한국"} {
		f.Add(next)
	}
	b := newBench(f)
	f.Fuzz(func(t *testing.T, next string) {
		br := newBrowser(t)
		if _, err := b.begin(br, next); err != nil {
			t.Fatal(err)
		}
		if len(br.cookies) != 1 {
			t.Fatalf("got cookies %v", br.cookies)
		}
		for _, value := range br.cookies {
			flow, ok := parseFlow(value)
			if !ok || !onThisHost(flow.next) || len(flow.next) > maxNext {
				t.Errorf("%q becomes %q (%v), want a path of ours", next, flow.next, ok)
			}
			if flow.next != next && flow.next != "/" {
				t.Errorf("%q becomes %q, want it as it is or nothing", next, flow.next)
			}
		}
	})
}

// FuzzSignInCookie: whatever a flow's cookie holds, it is what we write or nothing, and nobody is signed in by it whose state
// and verifier are not those of the answer.
func FuzzSignInCookie(f *testing.F) {
	good := flow{"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "234567ABCDEFGHIJKLMNOPQRST", strings.Repeat("v", 43), time.Unix(1_764_000_000, 0), "/endpoints/office?look"}
	f.Add(good.String())
	f.Add("")
	f.Add("....")
	f.Add(good.String() + ".")
	f.Add(strings.Replace(good.String(), "1764000000", "-1764000000", 1))
	f.Add(strings.Replace(good.String(), "1764000000", "999999999999", 1))
	f.Add(good.state + "." + good.nonce + "." + good.verifier + ".1764000000." + b64([]byte("//evil.example")))
	f.Add(good.state + "." + good.nonce + "." + good.verifier + ".1764000000.Lx")
	b := newBench(f)
	now := time.Unix(1_764_000_001, 0)
	f.Fuzz(func(t *testing.T, value string) {
		read, ok := parseFlow(value)
		if ok && read.String() != value {
			t.Errorf("%q was read as %q", value, read.String())
		}
		if ok && !onThisHost(read.next) {
			t.Errorf("leads to %q", read.next)
		}
		r := httptest.NewRequest("GET", opCallback+"?code=x&state="+good.state, nil)
		r.Header.Set("Cookie", good.cookieName()+"="+value)
		w := httptest.NewRecorder()
		_, found, err := answered(w, r, now)
		if err != nil && !errors.Is(err, ErrFlow) {
			t.Errorf("got %v", err)
		}
		if err == nil && (found.state != good.state || !found.live(now)) {
			t.Errorf("taken: %q", value)
		}
		if _, err := b.Finish(httptest.NewRecorder(), r); err == nil {
			t.Errorf("signed in by %q", value)
		}
	})
}
