package cognito

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// client is an OpenID Connect client that nobody here wrote.
func (w *world) client() (context.Context, *oidc.Provider, oauth2.Config) {
	w.t.Helper()
	ctx := oidc.ClientContext(w.t.Context(), &http.Client{Transport: w})
	p, err := oidc.NewProvider(ctx, w.srv.Issuer())
	if err != nil {
		w.t.Fatal(err)
	}
	return ctx, p, oauth2.Config{ClientID: w.srv.ClientID(), ClientSecret: w.srv.ClientSecret(), Endpoint: p.Endpoint(), RedirectURL: callback, Scopes: []string{"openid"}}
}

// post calls an endpoint as the client with client_secret_post.
func (w *world) post(path string, v url.Values) (int, map[string]any) {
	w.t.Helper()
	if !v.Has("client_id") {
		v.Set("client_id", w.srv.ClientID())
		v.Set("client_secret", w.srv.ClientSecret())
	}
	res, err := (&http.Client{Transport: w}).PostForm(pool+path, v)
	if err != nil {
		w.t.Fatal(err)
	}
	out := map[string]any{}
	if text := body(w.t, res); text != "" {
		if err := json.Unmarshal([]byte(text), &out); err != nil {
			w.t.Fatalf("%s: not JSON: %s", path, text)
		}
	}
	if res.Header.Get("Cache-Control") != "no-store" {
		w.t.Errorf("%s: got Cache-Control %q, want no-store: tokens must not be cached", path, res.Header.Get("Cache-Control"))
	}
	return res.StatusCode, out
}

func (w *world) redeem(code string) (int, map[string]any) {
	return w.post("/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}})
}

func (w *world) userInfo(access string) (int, map[string]any) {
	w.t.Helper()
	req := must(http.NewRequestWithContext(w.t.Context(), http.MethodGet, pool+"/oauth2/userInfo", nil))
	req.Header.Set("Authorization", "Bearer "+access)
	res := must(w.RoundTrip(req))
	out := map[string]any{}
	if err := json.Unmarshal([]byte(body(w.t, res)), &out); err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, out
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	out := map[string]any{}
	if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestForeignClientSignsIn(t *testing.T) {
	w := newWorld(t, nil)
	for name, style := range map[string]oauth2.AuthStyle{"client_secret_basic": oauth2.AuthStyleInHeader, "client_secret_post": oauth2.AuthStyleInParams} {
		t.Run(name, func(t *testing.T) {
			ctx, provider, conf := w.client()
			conf.Endpoint.AuthStyle = style
			verifier := oauth2.GenerateVerifier()
			b := w.browser()
			code := w.signIn(b, conf.AuthCodeURL("state-1", oidc.Nonce("nonce-1"), oauth2.S256ChallengeOption(verifier)))
			token, err := conf.Exchange(ctx, code, oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			id, err := provider.Verifier(&oidc.Config{ClientID: conf.ClientID}).Verify(ctx, token.Extra("id_token").(string))
			if err != nil {
				t.Fatal(err)
			}
			if err := id.VerifyAccessToken(token.AccessToken); err != nil || id.Nonce != "nonce-1" {
				t.Errorf("got nonce %q, at_hash %v, want nonce-1 and a hash that fits", id.Nonce, err)
			}
			c := claimsOf(t, token.Extra("id_token").(string))
			if c["token_use"] != "id" || c["cognito:username"] != "IdentityCenter_alice@corp.example" || c["email"] != "alice@corp.example" ||
				c["email_verified"] != false || c["custom:groups"] != "[VPN Users, Engineering]" || c["origin_jti"] == nil || c["auth_time"] == nil {
				t.Errorf("got ID token %v, want Cognito's claims", c)
			}
			a := claimsOf(t, token.AccessToken)
			if _, aud := a["aud"]; aud || a["token_use"] != "access" || a["client_id"] != conf.ClientID || a["username"] != c["cognito:username"] ||
				a["scope"] != "openid" || a["version"] != 2.0 || a["jti"] == c["jti"] || a["origin_jti"] != c["origin_jti"] || a["sub"] != id.Subject {
				t.Errorf("got access token %v, want Cognito's claims and no aud", a)
			}
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil {
				t.Fatal(err)
			}
			var all map[string]any
			if err := info.Claims(&all); err != nil {
				t.Fatal(err)
			}
			for claim, value := range all {
				if _, ok := value.(string); !ok {
					t.Errorf("userInfo claim %s is a %T, want a string: Cognito has nothing else there", claim, value)
				}
			}
			if info.Subject != id.Subject || all["username"] != c["cognito:username"] || all["email_verified"] != "false" || !strings.Contains(all["identities"].(string), `"providerType":"SAML"`) {
				t.Errorf("got userInfo %v, want alice", all)
			}

			token.Expiry = time.Now().Add(-time.Minute) // makes the foreign client refresh
			fresh, err := conf.TokenSource(ctx, token).Token()
			if err != nil {
				t.Fatal(err)
			}
			again := claimsOf(t, fresh.Extra("id_token").(string))
			if fresh.AccessToken == token.AccessToken || again["sub"] != c["sub"] || again["auth_time"] != c["auth_time"] || again["origin_jti"] != c["origin_jti"] || again["jti"] == c["jti"] {
				t.Errorf("got refreshed claims %v, want new tokens of the same sign-in as %v", again, c)
			}
		})
	}
}

func TestCodesAreBound(t *testing.T) {
	w := newWorld(t, nil)
	verifier := oauth2.GenerateVerifier()
	withPKCE := func(v url.Values) {
		v.Set("code_challenge", oauth2.S256ChallengeFromVerifier(verifier))
		v.Set("code_challenge_method", "S256")
	}
	cases := map[string]struct {
		ask    func(url.Values)
		edit   func(url.Values)
		status int
		want   string
	}{
		"no code":                            {nil, func(v url.Values) { v.Del("code") }, 400, "invalid_request"},
		"a code that is not one":             {nil, func(v url.Values) { v.Set("code", newUUID()) }, 400, "invalid_grant"},
		"another redirect_uri":               {nil, func(v url.Values) { v.Set("redirect_uri", callback+"/") }, 400, "invalid_grant"},
		"no redirect_uri":                    {nil, func(v url.Values) { v.Del("redirect_uri") }, 400, "invalid_request"},
		"the challenge unanswered":           {withPKCE, nil, 400, "invalid_grant"},
		"another verifier":                   {withPKCE, func(v url.Values) { v.Set("code_verifier", oauth2.GenerateVerifier()) }, 400, "invalid_grant"},
		"the challenge itself as verifier":   {withPKCE, func(v url.Values) { v.Set("code_verifier", oauth2.S256ChallengeFromVerifier(verifier)) }, 400, "invalid_grant"},
		"a verifier where nothing was asked": {nil, func(v url.Values) { v.Set("code_verifier", verifier) }, 400, "invalid_grant"},
		"the right verifier":                 {withPKCE, func(v url.Values) { v.Set("code_verifier", verifier) }, 200, ""},
		"a wrong secret": {nil, func(v url.Values) {
			v.Set("client_id", w.srv.ClientID())
			v.Set("client_secret", "wrong")
		}, 400, "invalid_client"},
		"another client": {nil, func(v url.Values) {
			v.Set("client_id", "other")
			v.Set("client_secret", w.srv.ClientSecret())
		}, 400, "invalid_client"},
		"no secret":          {nil, func(v url.Values) { v.Set("client_id", w.srv.ClientID()) }, 400, "invalid_client"},
		"the code twice":     {nil, func(v url.Values) { v.Add("code", v.Get("code")) }, 400, "invalid_request"},
		"no grant type":      {nil, func(v url.Values) { v.Del("grant_type") }, 400, "invalid_request"},
		"the password grant": {nil, func(v url.Values) { v.Set("grant_type", "password") }, 400, "unsupported_grant_type"},
		"client credentials": {nil, func(v url.Values) { v.Set("grant_type", "client_credentials") }, 400, "unauthorized_client"},
		"a stranger's refresh": {nil, func(v url.Values) {
			v.Set("grant_type", "refresh_token")
			v.Set("refresh_token", newUUID()+".x")
		}, 400, "invalid_grant"},
	}
	b := w.browser()
	w.signIn(b, w.authorizeURL(nil)) // from here on the browser is signed in, and codes come without a provider
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			code := w.code(w.get(b, w.authorizeURL(c.ask)))
			v := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}}
			if c.edit != nil {
				c.edit(v)
			}
			status, out := w.post("/oauth2/token", v)
			if got, _ := out["error"].(string); status != c.status || got != c.want {
				t.Errorf("got %d %v, want %d %q", status, out, c.status, c.want)
			}
			if c.want == "" {
				return
			}
			if _, leak := out["access_token"]; leak {
				t.Error("refused, and yet there is a token")
			}
			if c.ask != nil { // whoever guessed at the verifier has spent the code
				status, _ := w.post("/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}})
				if status != 400 {
					t.Errorf("the right verifier after a wrong one: got %d, want 400", status)
				}
			}
		})
	}
}

func TestCodeUsedTwiceTakesItsTokensBack(t *testing.T) {
	w := newWorld(t, nil)
	code := w.signIn(w.browser(), w.authorizeURL(nil))
	status, first := w.redeem(code)
	if status != 200 {
		t.Fatalf("first use: got %d %v", status, first)
	}
	if status, info := w.userInfo(first["access_token"].(string)); status != 200 {
		t.Fatalf("userInfo: got %d %v", status, info)
	}
	if status, second := w.redeem(code); status != 400 || second["error"] != "invalid_grant" {
		t.Errorf("second use: got %d %v, want 400 invalid_grant", status, second)
	}
	if status, _ := w.userInfo(first["access_token"].(string)); status != 401 {
		t.Errorf("userInfo with what the first use gave: got %d, want 401: somebody has stolen the code", status)
	}
	if status, out := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"].(string)}}); status != 400 || out["error"] != "invalid_grant" {
		t.Errorf("refresh with what the first use gave: got %d %v, want 400 invalid_grant", status, out)
	}
}

func TestRevocation(t *testing.T) {
	w := newWorld(t, nil)
	_, tokens := w.redeem(w.signIn(w.browser(), w.authorizeURL(nil)))
	refresh := tokens["refresh_token"].(string)
	if status, out := w.post("/oauth2/revoke", url.Values{"token": {refresh}, "client_id": {w.srv.ClientID()}}); status != 401 || out["error"] != "invalid_client" {
		t.Errorf("without the secret: got %d %v, want 401 invalid_client", status, out)
	}
	if status, out := w.post("/oauth2/revoke", url.Values{"token": {tokens["access_token"].(string)}}); status != 400 || out["error"] != "unsupported_token_type" {
		t.Errorf("an access token: got %d %v, want 400 unsupported_token_type", status, out)
	}
	for range 2 { // the second time it is unknown, which is a success too
		if status, out := w.post("/oauth2/revoke", url.Values{"token": {refresh}}); status != 200 || len(out) != 0 {
			t.Errorf("got %d %v, want 200 and nothing", status, out)
		}
	}
	if status, _ := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); status != 400 {
		t.Errorf("refresh after revocation: got %d, want 400", status)
	}
	if status, _ := w.userInfo(tokens["access_token"].(string)); status != 401 {
		t.Errorf("userInfo after revocation: got %d, want 401", status)
	}
}

func TestEverythingExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.AccessTokenValidity, c.RefreshTokenValidity = 5*time.Minute, 2*time.Hour })
		b := w.browser()
		late := w.signIn(b, w.authorizeURL(nil))
		_, tokens := w.redeem(w.code(w.get(b, w.authorizeURL(nil))))
		access, refresh := tokens["access_token"].(string), tokens["refresh_token"].(string)
		if tokens["expires_in"] != 300.0 || tokens["token_type"] != "Bearer" {
			t.Errorf("got %v, want expires_in 300 and Bearer", tokens)
		}
		time.Sleep(5*time.Minute + time.Second)
		if status, _ := w.redeem(late); status != 400 {
			t.Errorf("a code of five minutes ago: got %d, want 400", status)
		}
		if status, _ := w.userInfo(access); status != 401 {
			t.Errorf("an access token of five minutes ago: got %d, want 401", status)
		}
		time.Sleep(50 * time.Minute)
		w.code(w.get(b, w.authorizeURL(nil))) // the session lives for an hour …
		time.Sleep(5 * time.Minute)
		w.begin(b, w.authorizeURL(nil)) // … which use does not prolong
		if status, out := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); status != 200 || out["refresh_token"] != nil {
			t.Errorf("refresh within its validity: got %d %v, want 200 without a new refresh token", status, out)
		}
		time.Sleep(time.Hour)
		if status, _ := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}); status != 400 {
			t.Errorf("refresh after its validity: got %d, want 400", status)
		}
	})
}

func TestAuthorizeRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	set := func(k, v string) func(url.Values) { return func(q url.Values) { q.Set(k, v) } }
	s256 := oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())
	cases := map[string]struct {
		edit func(url.Values)
		want string // error code at the app, or a word on the page where nothing may be sent to it
		page bool
	}{
		"a foreign redirect_uri":                 {set("redirect_uri", "https://evil.example/oauth2/idpresponse"), "redirect_mismatch", true},
		"a redirect_uri with something behind":   {set("redirect_uri", callback+"?x=1"), "redirect_mismatch", true},
		"a redirect_uri in capitals":             {set("redirect_uri", strings.ToUpper(callback)), "redirect_mismatch", true},
		"no redirect_uri":                        {func(q url.Values) { q.Del("redirect_uri") }, "redirect_mismatch", true},
		"two redirect_uris":                      {func(q url.Values) { q.Add("redirect_uri", "https://evil.example") }, "invalid_request", true},
		"another client":                         {set("client_id", "other"), "client_id", true},
		"a request of ten thousand bytes":        {set("state", strings.Repeat("x", 10_000)), "too long", true},
		"no response type":                       {func(q url.Values) { q.Del("response_type") }, "invalid_request", false},
		"the implicit grant":                     {set("response_type", "token"), "unauthorized_client", false},
		"an unknown scope":                       {set("scope", "openid aws.cognito.signin.user.admin"), "invalid_scope", false},
		"scopes without openid":                  {set("scope", "email"), "invalid_scope", false},
		"another provider":                       {set("identity_provider", "COGNITO"), "invalid_request", false},
		"an identifier that no provider has":     {set("idp_identifier", "x"), "invalid_request", false},
		"the state twice":                        {func(q url.Values) { q.Add("state", "2") }, "invalid_request", false},
		"PKCE plain":                             {func(q url.Values) { q.Set("code_challenge", s256); q.Set("code_challenge_method", "plain") }, "invalid_request", false},
		"PKCE without a method, which is plain":  {set("code_challenge", s256), "invalid_request", false},
		"PKCE without a challenge":               {set("code_challenge_method", "S256"), "invalid_request", false},
		"PKCE with something that is not a hash": {func(q url.Values) { q.Set("code_challenge", "short"); q.Set("code_challenge_method", "S256") }, "invalid_request", false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			res := w.get(w.browser(), w.authorizeURL(c.edit))
			if c.page {
				page := body(t, res)
				if res.StatusCode < 400 || res.Header.Get("Location") != "" || !strings.Contains(page, c.want) || !strings.Contains(page, `id="error"`) {
					t.Errorf("got %d, location %q, page %s; want an error page saying %q and no redirect", res.StatusCode, res.Header.Get("Location"), page, c.want)
				}
				return
			}
			to, err := res.Location()
			if err != nil || !strings.HasPrefix(to.String(), callback+"?") || to.Query().Get("error") != c.want || to.Query().Get("state") != "state-1" {
				t.Errorf("got %d to %v, want %s and the state at the app", res.StatusCode, to, c.want)
			}
		})
	}
}

func TestSilentSecondTimeAndLogout(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	first := w.signIn(b, w.authorizeURL(nil))
	second := w.code(w.get(b, w.authorizeURL(func(v url.Values) { v.Del("identity_provider") })))
	if first == second {
		t.Error("one code given twice")
	}
	for name, u := range map[string]string{
		"an unregistered address": "/logout?client_id=" + w.srv.ClientID() + "&logout_uri=https://evil.example/",
		"another client":          "/logout?client_id=other&logout_uri=" + url.QueryEscape(goodbye),
	} {
		if res := w.get(b, pool+u); res.StatusCode != 400 || res.Header.Get("Location") != "" || !w.signedIn(b) {
			t.Errorf("%s: got %d, location %q, want a page, and the session untouched", name, res.StatusCode, res.Header.Get("Location"))
		}
	}
	stolen := must(cookiejar.New(nil))
	home := must(url.Parse(pool))
	stolen.SetCookies(home, b.Jar.Cookies(home))
	res := w.get(b, pool+"/logout?client_id="+w.srv.ClientID()+"&logout_uri="+url.QueryEscape(goodbye))
	if res.Header.Get("Location") != goodbye || w.signedIn(b) {
		t.Errorf("got location %q, signed in %v, want %s and the cookie gone", res.Header.Get("Location"), w.signedIn(b), goodbye)
	}
	w.begin(b, w.authorizeURL(nil)) // goes to the provider again
	b.Jar = stolen
	w.begin(b, w.authorizeURL(nil)) // and so does a copy of the cookie
}

func TestCookies(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	res := w.get(b, w.authorizeURL(nil))
	if c := res.Header.Get("Set-Cookie"); !strings.HasPrefix(c, stateCookie+"=") || !strings.Contains(c, "HttpOnly; Secure; SameSite=None") {
		t.Errorf("got %q, want a Secure SameSite=None cookie: the response comes back as a cross-site POST", c)
	}
	_, relay := w.begin(b, w.authorizeURL(nil))
	req2, relay2 := w.begin(b, w.authorizeURL(nil))
	w.code(w.answer(b, relay2, w.idp.respond(t, req2, nil)))
	if res := w.answer(b, relay, "!"); must(res.Location()).Query().Get("error") != "server_error" {
		t.Errorf("an older tab of the same browser: got %d, want its request still known", res.StatusCode)
	}
	for _, c := range w.answer(b, "", "").Cookies() {
		t.Errorf("got cookie %s with a refusal", c.Name)
	}
}

func TestUserInfoRefusals(t *testing.T) {
	w := newWorld(t, nil)
	_, tokens := w.redeem(w.signIn(w.browser(), w.authorizeURL(nil)))
	access := tokens["access_token"].(string)
	header, rest, _ := strings.Cut(access, ".")
	payload, _, _ := strings.Cut(rest, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	for name, c := range map[string]struct {
		authorization string
		status        int
		want          string
	}{
		"no token":                {"", 400, "invalid_request"},
		"a basic password":        {"Basic YTpi", 400, "invalid_request"},
		"an ID token":             {"Bearer " + tokens["id_token"].(string), 401, "invalid_token"},
		"no signature":            {"Bearer " + header + "." + payload + ".", 401, "invalid_token"},
		"the algorithm none":      {"Bearer " + none + "." + payload + ".", 401, "invalid_token"},
		"an altered claim":        {"Bearer " + header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"token_use":"access"}`)) + "." + access[strings.LastIndex(access, ".")+1:], 401, "invalid_token"},
		"something else entirely": {"Bearer x", 401, "invalid_token"},
	} {
		t.Run(name, func(t *testing.T) {
			req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, pool+"/oauth2/userInfo?access_token="+access, nil))
			if c.authorization != "" {
				req.Header.Set("Authorization", c.authorization)
			}
			res := must(w.RoundTrip(req))
			if res.StatusCode != c.status || !strings.Contains(res.Header.Get("WWW-Authenticate"), c.want) {
				t.Errorf("got %d %q, want %d %s", res.StatusCode, res.Header.Get("WWW-Authenticate"), c.status, c.want)
			}
		})
	}
}

func TestScopesOpenAttributes(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	w.signIn(b, w.authorizeURL(nil))
	for scope, want := range map[string][2]bool{"openid": {true, true}, "openid email": {true, false}, "openid profile": {false, true}, "": {true, true}} {
		_, tokens := w.redeem(w.code(w.get(b, w.authorizeURL(func(v url.Values) { v.Set("scope", scope) }))))
		_, info := w.userInfo(tokens["access_token"].(string))
		if got := [2]bool{info["email"] != nil, info["custom:groups"] != nil}; got != want {
			t.Errorf("scope %q: got e-mail and groups %v, want %v", scope, got, want)
		}
	}
}

func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cognito.json")
	w := newWorld(t, func(c *Config) { c.StateFile = file })
	_, before := w.redeem(w.signIn(w.browser(), w.authorizeURL(nil)))
	old := w.srv
	w2 := newWorld(t, func(c *Config) { c.StateFile = file })
	if w2.srv.PoolID() != old.PoolID() || w2.srv.ClientID() != old.ClientID() || w2.srv.ClientSecret() != old.ClientSecret() {
		t.Error("the pool or its client changed over a restart")
	}
	for what, ok := range map[string]bool{
		"pool id":       regexp.MustCompile(`^us-east-1_[0-9A-Za-z]{9}$`).MatchString(old.PoolID()),
		"client id":     regexp.MustCompile(`^[0-9a-z]{26}$`).MatchString(old.ClientID()),
		"client secret": regexp.MustCompile(`^[0-9a-z]{51}$`).MatchString(old.ClientSecret()),
	} {
		if !ok {
			t.Errorf("the %s does not look like Cognito's", what)
		}
	}
	if status, info := w2.userInfo(before["access_token"].(string)); status != 200 {
		t.Errorf("an access token from before: got %d %v, want 200", status, info)
	}
	status, after := w2.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {before["refresh_token"].(string)}})
	if status != 200 {
		t.Errorf("a refresh token from before: got %d %v, want 200", status, after)
	}
	_, again := w2.redeem(w2.signIn(w2.browser(), w2.authorizeURL(nil)))
	if a, b := claimsOf(t, before["id_token"].(string))["sub"], claimsOf(t, again["id_token"].(string))["sub"]; a != b {
		t.Errorf("alice was %v and is now %v: a sub must never change", a, b)
	}
	raw := string(must(os.ReadFile(file)))
	if _, secret, _ := strings.Cut(before["refresh_token"].(string), "."); strings.Contains(raw, secret) {
		t.Error("the state file holds a refresh token in the clear")
	}
}

// A damaged or foreign file stops the start and stays as it was.
func TestStateFileThatIsNotOurs(t *testing.T) {
	for name, content := range map[string]string{
		"cut short":        `{"format": "nightlatch-demo", "kind": "cognito", "vers`,
		"another stand-in": `{"format": "nightlatch-demo", "kind": "ec2", "version": 1, "data": {}}`,
		"an empty pool":    `{"format": "nightlatch-demo", "kind": "cognito", "version": 1, "data": {}}`,
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "cognito.json")
			if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := New(Config{Region: "us-east-1", AccountID: "1", BaseURL: pool, ProviderName: "IdentityCenter", MetadataURL: "https://x/", CallbackURLs: []string{callback},
				StateFile: file, Log: slog.New(slog.DiscardHandler)})
			if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "move the file away") {
				t.Errorf("got %v, want the file's name and what to do", err)
			}
			if got := string(must(os.ReadFile(file))); got != content {
				t.Errorf("the file was changed to %q", got)
			}
		})
	}
}

func TestConfigIsChecked(t *testing.T) {
	_, err := New(Config{BaseURL: "cognito.localhost", ProviderName: "_x", MetadataURL: "file:///etc/passwd",
		AttributeMapping: map[string]string{"iss": "Issuer"}, CallbackURLs: []string{"http://vpn.example/cb"}, LogoutURLs: []string{"/bye"},
		Scopes: []string{"aws.cognito.signin.user.admin"}, AccessTokenValidity: 48 * time.Hour})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Region", "BaseURL", "ProviderName", "MetadataURL", `"iss"`, "http://vpn.example/cb", "/bye", "aws.cognito.signin.user.admin", "AccessTokenValidity", "Log"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s: all faults at once", err, want)
		}
	}
}

func TestPublicDocuments(t *testing.T) {
	w := newWorld(t, nil)
	get := func(path string) (int, string) {
		res := w.get(w.browser(), "https://"+keysHost+path)
		return res.StatusCode, body(t, res)
	}
	if status, text := get("/us-east-1_000000000/.well-known/jwks.json"); status != 404 || !strings.Contains(text, "does not exist") {
		t.Errorf("another pool's keys: got %d %s, want 404", status, text)
	}
	if status, text := get("/"); status != 400 || !strings.Contains(text, "UnknownOperationException") {
		t.Errorf("the user pool API: got %d %s, want UnknownOperationException", status, text)
	}
	if _, text := get("/" + w.srv.PoolID() + "/.well-known/jwks.json"); !strings.Contains(text, `"alg":"RS256"`) || strings.Contains(text, `"d"`) {
		t.Errorf("got keys %s, want a public RS256 key", text)
	}
}

func TestBodiesAreBounded(t *testing.T) {
	w := newWorld(t, nil)
	res := w.answer(w.browser(), "x", strings.Repeat("A", maxBody+1))
	if res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("a huge SAML response: got %d, want 413", res.StatusCode)
	}
	if status, out := w.post("/oauth2/token", url.Values{"code": {strings.Repeat("A", maxBody+1)}}); status != 400 || out["error"] != "invalid_request" {
		t.Errorf("a huge token request: got %d %v, want 400 invalid_request", status, out)
	}
}

// The log tells the operator every hop and every refusal, and nothing that opens a door.
func TestLogHoldsNoSecrets(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	req, relay := w.begin(b, w.authorizeURL(nil))
	response := w.idp.respond(t, req, nil)
	code := w.code(w.answer(b, relay, response))
	_, tokens := w.redeem(code)
	w.redeem(code)
	w.userInfo(tokens["access_token"].(string))
	w.post("/oauth2/token", url.Values{"client_id": {w.srv.ClientID()}, "client_secret": {"guessed-secret"}})
	text := w.log.String()
	secrets := []string{w.srv.ClientSecret(), code, relay, response[:40], "guessed-secret"}
	for _, k := range []string{"access_token", "id_token", "refresh_token"} {
		secrets = append(secrets, tokens[k].(string))
	}
	for _, c := range b.Jar.Cookies(must(url.Parse(pool))) {
		secrets = append(secrets, c.Value)
	}
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the log holds the secret %.12s…", secret)
		}
	}
	for _, want := range []string{`"what":"GET /oauth2/authorize","status":302`, `"what":"POST /saml2/idpresponse","status":302`, `"what":"POST /oauth2/token","status":400`, `"why":"the code was used before"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

func TestConcurrentUseOfOneCode(t *testing.T) {
	w := newWorld(t, nil)
	code := w.signIn(w.browser(), w.authorizeURL(nil))
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			if status, _ := w.redeem(code); status != 200 {
				errs <- errors.New("refused")
				return
			}
			errs <- nil
		}()
	}
	given := 0
	for range cap(errs) {
		if <-errs == nil {
			given++
		}
	}
	if given != 1 {
		t.Errorf("eight at once: %d got tokens, want exactly one", given)
	}
}
