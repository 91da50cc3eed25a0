package cognito

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

func TestLogoutForms(t *testing.T) {
	w := newWorld(t, nil)
	id := w.srv.ClientID()
	again := url.Values{"client_id": {id}, "response_type": {"code"}, "scope": {"openid"}, "state": {"state-1"}, "redirect_uri": {callback}}
	with := func(v url.Values, add ...string) string {
		v = maps.Clone(v)
		for i := 0; i < len(add); i += 2 {
			v[add[i]] = append(slices.Clone(v[add[i]]), add[i+1])
		}
		return v.Encode()
	}
	const missing = "Required String parameter &#39;redirect_uri&#39; is not present"
	for name, c := range map[string]struct {
		query string
		to    string // where the browser goes, signed out
		page  string // or what the page says, signed in
	}{
		"client_id and logout_uri":                    {with(url.Values{"client_id": {id}}, "logout_uri", goodbye), goodbye, ""},
		"redirect_uri and what authorize wants":       {with(again), pool + "/login?" + again.Encode(), ""},
		"both, of which logout_uri counts":            {with(again, "logout_uri", goodbye), goodbye, ""},
		"both, of which logout_uri is not registered": {with(again, "logout_uri", goodbye+"/"), "", missing},
		"neither": {with(url.Values{"client_id": {id}}), "", missing},
		"OpenID Connect's post_logout_redirect_uri":      {with(url.Values{"client_id": {id}}, "post_logout_redirect_uri", goodbye), "", missing},
		"logout_uri in capitals":                         {with(url.Values{"client_id": {id}}, "logout_uri", strings.ToUpper(goodbye)), "", missing},
		"a callback URL as logout_uri":                   {with(url.Values{"client_id": {id}}, "logout_uri", callback), "", missing},
		"two logout_uris":                                {with(url.Values{"client_id": {id}}, "logout_uri", goodbye, "logout_uri", goodbye), "", "client_id"},
		"no client_id":                                   {"logout_uri=" + url.QueryEscape(goodbye), "", "client_id"},
		"another client's id with a registered sign-out": {with(url.Values{"client_id": {"other"}}, "logout_uri", goodbye), "", "client_id"},
	} {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			w.signIn(b, w.authorizeURL(nil))
			res := w.get(b, pool+"/logout?"+c.query)
			page := body(t, res)
			if got := res.Header.Get("Location"); got != c.to || w.signedIn(b) != (c.to == "") {
				t.Errorf("got location %q, signed in %v; want location %q, and signed out if there is one", got, w.signedIn(b), c.to)
			}
			if c.page != "" && (res.StatusCode != http.StatusBadRequest || !strings.Contains(page, c.page)) {
				t.Errorf("got %d %s, want 400 and a page that says %q", res.StatusCode, page, c.page)
			}
		})
	}
	b := w.browser()
	w.signIn(b, w.authorizeURL(nil))
	to := w.get(b, pool+"/logout?"+again.Encode()).Header.Get("Location")
	req, relay := w.begin(b, to) // on to the provider, for the app that asked
	w.code(w.answer(b, relay, w.idp.respond(t, req, nil)))
	foreign := maps.Clone(again)
	foreign.Set("redirect_uri", "https://evil.example/")
	to = w.get(b, pool+"/logout?"+foreign.Encode()).Header.Get("Location")
	if res := w.get(b, to); res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" || !strings.HasPrefix(to, pool+"/") {
		t.Errorf("a foreign redirect_uri: got %s, then %d to %q; want the pool's own page of refusal", to, res.StatusCode, res.Header.Get("Location"))
	}
}

func TestSessionCookie(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	req, relay := w.begin(b, w.authorizeURL(nil))
	res := w.answer(b, relay, w.idp.respond(t, req, nil))
	i := slices.IndexFunc(res.Cookies(), func(c *http.Cookie) bool { return c.Name == "cognito" })
	if i < 0 {
		t.Fatalf("got cookies %v, want cognito", res.Cookies())
	}
	if c := res.Cookies()[i]; c.MaxAge != 3600 || c.Path != "/" || c.Domain != "" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode {
		t.Errorf("got %v, want an hour, for this host alone, Secure, HttpOnly and SameSite=Lax", c)
	}
}

func TestTokenRequestsThatAreRefused(t *testing.T) {
	w := newWorld(t, nil)
	id, secret := w.srv.ClientID(), w.srv.ClientSecret()
	const asForm = "application/x-www-form-urlencoded"
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	for name, c := range map[string]struct {
		method, kind, authorization, body string
		status                            int
		want                              string
	}{
		"a refresh without its token":        {"POST", asForm, basic(id, secret), "grant_type=refresh_token", 400, `{"error":"invalid_request"}`},
		"a refresh token that is not one":    {"POST", asForm, basic(id, secret), "grant_type=refresh_token&refresh_token=x", 400, `{"error":"invalid_grant"}`},
		"a JSON body":                        {"POST", "application/json", basic(id, secret), `{"grant_type":"refresh_token"}`, 400, `{"error":"invalid_request"}`},
		"parameters in the URL only":         {"POST", asForm, basic(id, secret), "", 400, `{"error":"invalid_request"}`},
		"Basic with a wrong secret":          {"POST", asForm, basic(id, secret+"x"), "grant_type=refresh_token&refresh_token=x", 400, `{"error":"invalid_client"}`},
		"Basic with another client":          {"POST", asForm, basic("other", secret), "grant_type=refresh_token&refresh_token=x", 400, `{"error":"invalid_client"}`},
		"Basic that is not base64":           {"POST", asForm, "Basic ?", "grant_type=refresh_token&refresh_token=x", 400, `{"error":"invalid_client"}`},
		"Basic and another client_id":        {"POST", asForm, basic(id, secret), "grant_type=refresh_token&refresh_token=x&client_id=other", 400, `{"error":"invalid_client"}`},
		"Basic and the secret in the body":   {"POST", asForm, basic(id, secret), "grant_type=refresh_token&refresh_token=x&client_secret=" + secret, 400, `{"error":"invalid_client"}`},
		"nobody":                             {"POST", asForm, "", "grant_type=refresh_token&refresh_token=x", 400, `{"error":"invalid_client"}`},
		"GET, which would put codes in logs": {"GET", asForm, basic(id, secret), "", 405, "Method Not Allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			req := must(http.NewRequestWithContext(t.Context(), c.method, pool+"/oauth2/token?grant_type=refresh_token&refresh_token=x", strings.NewReader(c.body)))
			req.Header.Set("Content-Type", c.kind)
			if c.authorization != "" {
				req.Header.Set("Authorization", c.authorization)
			}
			res := must(w.RoundTrip(req))
			if got := strings.TrimSpace(body(t, res)); res.StatusCode != c.status || got != c.want {
				t.Errorf("got %d %s, want %d %s", res.StatusCode, got, c.status, c.want)
			}
			if kind := res.Header.Get("Content-Type"); c.status == 400 && kind != "application/json;charset=UTF-8" {
				t.Errorf("got content type %q, want application/json;charset=UTF-8", kind)
			}
		})
	}
	req := must(http.NewRequestWithContext(t.Context(), "POST", pool+"/oauth2/token", strings.NewReader(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {id}, "code": {w.signIn(w.browser(), w.authorizeURL(nil))}, "redirect_uri": {callback}, "resource": {"unknown"}}.Encode())))
	req.Header.Set("Content-Type", asForm+"; charset=UTF-8")
	req.Header.Set("Authorization", basic(id, secret))
	if res := must(w.RoundTrip(req)); res.StatusCode != http.StatusOK {
		t.Errorf("Basic, the same client_id in the body and a parameter that nobody knows: got %d %s, want 200", res.StatusCode, body(t, res))
	}
}

// The claims are Cognito's, no more and no fewer: an app that reads one more would not find it on AWS.
func TestTokens(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	w.signIn(b, w.authorizeURL(nil))
	_, tokens := w.redeem(w.code(w.get(b, w.authorizeURL(func(v url.Values) { v.Set("nonce", "nonce-1") }))))
	idToken, accessToken := tokens["id_token"].(string), tokens["access_token"].(string)
	id, access := claimsOf(t, idToken), claimsOf(t, accessToken)
	keys := func(m map[string]any) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }
	if got, want := keys(id), "at_hash aud auth_time cognito:groups cognito:username custom:groups email email_verified event_id exp iat identities iss jti nonce origin_jti sub token_use"; got != want {
		t.Errorf("ID token: got the claims %s, want %s", got, want)
	}
	if got, want := keys(access), "auth_time client_id cognito:groups event_id exp iat iss jti origin_jti scope sub token_use username version"; got != want {
		t.Errorf("access token: got the claims %s, want %s", got, want)
	}
	group := []any{w.srv.PoolID() + "_IdentityCenter"}
	for name, c := range map[string]map[string]any{"ID token": id, "access token": access} {
		if g, _ := json.Marshal(c["cognito:groups"]); c["iss"] != w.srv.Issuer() || string(g) != string(must(json.Marshal(group))) || c["exp"].(float64)-c["iat"].(float64) != 3600 {
			t.Errorf("%s: got %v, want the pool's issuer and group, and an hour", name, c)
		}
	}
	who := id["identities"].([]any)[0].(map[string]any)
	if id["aud"] != w.srv.ClientID() || who["userId"] != "alice@corp.example" || who["providerName"] != "IdentityCenter" || who["providerType"] != "SAML" ||
		who["issuer"] != w.idp.entityID() || who["primary"] != "true" || len(who["dateCreated"].(string)) != 13 {
		t.Errorf("got aud %v and identities %v, want the client and alice at Identity Center, all in strings", id["aud"], who)
	}

	// Each kind of token has its own key, and both are in the key set.
	var set struct {
		Keys []struct{ Kid, Kty, Alg, Use, N, E string }
	}
	if err := json.Unmarshal([]byte(body(t, w.get(b, w.srv.Issuer()+"/.well-known/jwks.json"))), &set); err != nil {
		t.Fatal(err)
	}
	kids := map[string]bool{}
	for _, k := range set.Keys {
		kids[k.Kid] = k.Kty == "RSA" && k.Alg == "RS256" && k.Use == "sig" && k.N != "" && k.E == "AQAB"
	}
	header := func(token string) map[string]any {
		h := map[string]any{}
		if err := json.Unmarshal(must(base64.RawURLEncoding.DecodeString(token[:strings.Index(token, ".")])), &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	a, i := header(accessToken), header(idToken)
	if a["kid"] == i["kid"] || !kids[a["kid"].(string)] || !kids[i["kid"].(string)] || len(set.Keys) != 2 || keys(a) != "alg kid" || keys(i) != "alg kid" {
		t.Errorf("got the headers %v and %v and %d keys, want two keys that the set has both of, and no typ", i, a, len(set.Keys))
	}
}

func TestDiscoveryDocument(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Scopes = []string{"openid"} }) // the document is the pool's, not the client's
	res := w.get(w.browser(), w.srv.Issuer()+"/.well-known/openid-configuration")
	want := `{"authorization_endpoint":"POOL/oauth2/authorize","end_session_endpoint":"POOL/logout","id_token_signing_alg_values_supported":["RS256"],` +
		`"issuer":"ISSUER","jwks_uri":"ISSUER/.well-known/jwks.json","response_types_supported":["code","token"],"revocation_endpoint":"POOL/oauth2/revoke",` +
		`"scopes_supported":["openid","email","phone","profile"],"subject_types_supported":["public"],"token_endpoint":"POOL/oauth2/token",` +
		`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"],"userinfo_endpoint":"POOL/oauth2/userInfo"}`
	want = strings.NewReplacer("POOL", pool, "ISSUER", w.srv.Issuer()).Replace(want)
	if got := strings.TrimSpace(body(t, res)); got != want {
		t.Errorf("got %s\nwant %s\nas people quote Cognito's, which does not mention PKCE", got, want)
	}
}

func TestUserInfoRefusalsInCognitosWords(t *testing.T) {
	w := newWorld(t, nil)
	_, tokens := w.redeem(w.signIn(w.browser(), w.authorizeURL(nil)))
	claims := jwt.MapClaims(claimsOf(t, tokens["access_token"].(string)))
	claims["scope"] = "aws.cognito.signin.user.admin" // as tokens of the user pool API have it
	const gone = "Access token is expired, disabled, or deleted, or the user has globally signed out."
	for name, c := range map[string]struct {
		authorization string
		status        int
		kind, words   string
	}{
		"no token":                 {"", 400, "invalid_request", "Bad OAuth2 request at UserInfo Endpoint"},
		"a token of somebody else": {"Bearer a.b.c", 401, "invalid_token", gone},
		"an ID token":              {"Bearer " + tokens["id_token"].(string), 401, "invalid_token", gone},
		"claims of an access token under the key of ID tokens": {"Bearer " + must(w.srv.idKey.sign(claims)), 401, "invalid_token", gone},
		"a token without openid":                               {"Bearer " + must(w.srv.accessKey.sign(claims)), 401, "invalid_token", "Access token does not contain openid scope"},
	} {
		t.Run(name, func(t *testing.T) {
			req := must(http.NewRequestWithContext(t.Context(), http.MethodGet, pool+"/oauth2/userInfo", nil))
			if c.authorization != "" {
				req.Header.Set("Authorization", c.authorization)
			}
			res := must(w.RoundTrip(req))
			var said map[string]string
			if err := json.Unmarshal([]byte(body(t, res)), &said); err != nil {
				t.Fatal(err)
			}
			header := `Bearer error="` + c.kind + `", error_description="` + c.words + `"`
			if res.StatusCode != c.status || res.Header.Get("WWW-Authenticate") != header || said["error"] != c.kind || said["error_description"] != c.words {
				t.Errorf("got %d %q %v, want %d %q and the same in JSON", res.StatusCode, res.Header.Get("WWW-Authenticate"), said, c.status, header)
			}
		})
	}
}

// A load balancer's redirect_uri has its host in lower case, whatever the DNS name in the template was.
func TestCallbacksAreComparedToTheLetter(t *testing.T) {
	const mixed = "https://Nightlatch-1234.us-east-1.elb.amazonaws.com/oauth2/idpresponse"
	w := newWorld(t, func(c *Config) { c.CallbackURLs = []string{mixed} })
	ask := func(to string) int {
		return w.get(w.browser(), w.authorizeURL(func(v url.Values) { v.Set("redirect_uri", to) })).StatusCode
	}
	if status := ask(strings.ToLower(mixed)); status != http.StatusBadRequest {
		t.Errorf("in lower case: got %d, want 400 redirect_mismatch", status)
	}
	if status := ask(mixed); status != http.StatusFound {
		t.Errorf("to the letter: got %d, want 302", status)
	}
}

func TestAddressesOnThisMachineMayBePlain(t *testing.T) {
	for address, plain := range map[string]bool{
		"http://localhost:8080/x": true, "http://vpn.localhost:8080/x": true, "http://127.0.0.1:8080/x": true, "http://[::1]:8080/x": true,
		"http://10.0.0.1/x": false, "http://vpn.example/x": false, "http://localhost.example/x": false, "ftp://localhost/x": false,
		"https://vpn.example/x": true,
	} {
		c := Config{Region: "us-east-1", AccountID: "1", BaseURL: pool, ProviderName: "IdentityCenter", MetadataURL: address, CallbackURLs: []string{address}, Scopes: []string{"openid"}}
		err := c.check()
		metadata, callback := err != nil && strings.Contains(err.Error(), "MetadataURL"), err != nil && strings.Contains(err.Error(), "callback")
		if metadata == plain || callback == plain {
			t.Errorf("%s: got %v, want it accepted: %v", address, err, plain)
		}
	}
}

// Pools of before each kind of token had its key go on, and their refresh tokens with them.
func TestStateFileWithOneKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cognito.json")
	st := freshPool()
	st.AccessKey = nil
	if err := statefile.New(file, name).Save(st); err != nil {
		t.Fatal(err)
	}
	kid := newWorld(t, func(c *Config) { c.StateFile = file }).srv.accessKey.kid
	w := newWorld(t, func(c *Config) { c.StateFile = file })
	_, tokens := w.redeem(w.signIn(w.browser(), w.authorizeURL(nil)))
	w2 := newWorld(t, func(c *Config) { c.StateFile = file })
	if w.srv.accessKey.kid != kid || w2.srv.PoolID() != st.PoolID || w2.srv.idKey.kid != w.srv.idKey.kid || w2.srv.accessKey.kid != w.srv.accessKey.kid || w.srv.accessKey.kid == w.srv.idKey.kid {
		t.Error("the pool or a key changed over a restart, or there is still one key only")
	}
	if status, _ := w2.userInfo(tokens["access_token"].(string)); status != 200 {
		t.Errorf("an access token from before the second start: got %d, want 200", status)
	}
	broken := filepath.Join(t.TempDir(), "cognito.json")
	st.PoolID = ""
	if err := statefile.New(broken, name).Save(st); err != nil {
		t.Fatal(err)
	}
	before := must(os.ReadFile(broken))
	if _, err := New(w.srv.cfg.at(broken)); err == nil || string(must(os.ReadFile(broken))) != string(before) {
		t.Errorf("half a pool without the second key: got %v, want it refused and the file untouched", err)
	}
}

func (c Config) at(file string) Config {
	c.StateFile = file
	return c
}
