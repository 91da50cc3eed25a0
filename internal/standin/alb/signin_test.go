package alb

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestSignInRequestAndReturn(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser(t)
	q := b.authorize("/endpoints/dev?lang=ko&x=%2F")
	for name, want := range map[string]string{
		"client_id": "client-1", "redirect_uri": "https://" + host + "/oauth2/idpresponse", "response_type": "code", "scope": "openid", "identity_provider": "IdentityCenter",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if strings.Contains(q.Get("state"), "endpoints") || len(q.Get("state")) < 40 {
		t.Errorf("state %q is not opaque", q.Get("state"))
	}
	if n := b.cookies[nonceCookie]; len(n) != 16 {
		t.Errorf("nonce cookie %q, want 16 characters", n)
	}
	resp := b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]})
	if got, want := resp.Header.Get("Location"), "https://"+host+"/endpoints/dev?lang=ko&x=%2F"; resp.StatusCode != 302 || got != want {
		t.Errorf("callback: got %d to %q, want 302 to %q", resp.StatusCode, got, want)
	}
	for _, c := range resp.Cookies() {
		if !c.Secure || !c.HttpOnly || c.Path != "/" {
			t.Errorf("cookie %s: Secure %v, HttpOnly %v, Path %q", c.Name, c.Secure, c.HttpOnly, c.Path)
		}
		if strings.HasPrefix(c.Name, "AWSELBAuthSessionCookie-") {
			if d := time.Until(c.Expires); d < 7*24*time.Hour-time.Minute || d > 7*24*time.Hour {
				t.Errorf("cookie %s expires in %v, want 7 days whatever SessionTimeout is", c.Name, d)
			}
		}
	}
	if got := b.get("/").StatusCode; got != 200 {
		t.Errorf("with the session: got %d, want 200", got)
	}
}

func TestPostThatMeetsNoSessionComesBackAsGet(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser(t)
	resp := b.do("POST", "/api/v1/endpoints/dev/open", "for=2h", nil)
	u, _ := resp.Location()
	if resp.StatusCode != 302 {
		t.Fatalf("got %d, want 302", resp.StatusCode)
	}
	resp = b.callback(url.Values{"code": {w.idp.code()}, "state": {u.Query().Get("state")}})
	if got := resp.Header.Get("Location"); got != "https://"+host+"/api/v1/endpoints/dev/open" {
		t.Errorf("back to %q", got)
	}
}

func TestPostAfterTheSessionIsOverComesBackAsGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		b := w.signIn(t)
		time.Sleep(time.Hour)
		resp := b.do("POST", "/open?x=1", "for=2h", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}})
		u, err := resp.Location()
		if resp.StatusCode != 302 || err != nil { // 302, not 307: browsers go on with GET
			t.Fatalf("got %d to %v, want 302", resp.StatusCode, u)
		}
		resp = b.callback(url.Values{"code": {w.idp.code()}, "state": {u.Query().Get("state")}})
		back := resp.Header.Get("Location")
		if resp.StatusCode != 302 || back != "https://"+host+"/open?x=1" {
			t.Fatalf("callback: got %d to %q, want 302 to where it began", resp.StatusCode, back)
		}
		b.get(strings.TrimPrefix(back, "https://"+host))
		if e := w.fn.last(t); len(w.fn.events) != 1 || e["httpMethod"] != "GET" || e["body"] != "" {
			t.Errorf("%d events, the last %v with body %q; want one GET, and the form lost", len(w.fn.events), e["httpMethod"], e["body"])
		}
	})
}

func TestOriginalPathCannotNameAnotherHost(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser(t)
	r := httptest.NewRequest("GET", "https://"+host+"//evil.example/x", nil)
	rec := httptest.NewRecorder()
	b.h.ServeHTTP(rec, r)
	u, _ := rec.Result().Location()
	b.cookies[nonceCookie] = rec.Result().Cookies()[0].Value
	resp := b.callback(url.Values{"code": {w.idp.code()}, "state": {u.Query().Get("state")}})
	if back, err := resp.Location(); err != nil || back.Host != host {
		t.Errorf("sent back to %v: an open redirect", back)
	}
}

// Each attack or mishap starts from a browser with one sign-in under way and a code nobody has spent.
func TestCallbackRefuses(t *testing.T) {
	for name, tc := range map[string]struct {
		act    func(w *world, b *browser, q url.Values) *http.Response
		status int
		why    string
		spent  bool // the token endpoint was asked
	}{
		"no state": {func(w *world, b *browser, q url.Values) *http.Response {
			q.Del("state")
			return b.callback(q)
		}, 401, "AuthMissingStateParam", false},
		"an altered state": {func(w *world, b *browser, q url.Values) *http.Response {
			s := []byte(q.Get("state"))
			s[20] ^= 1
			q.Set("state", string(s))
			return b.callback(q)
		}, 401, "AuthInvalidStateParam", false},
		"a state of another load balancer": {func(w *world, b *browser, q url.Values) *http.Response {
			other := newWorld(b.t, nil).browser(b.t)
			q["state"] = other.authorize("/")["state"]
			return b.callback(q)
		}, 401, "AuthInvalidStateParam", false},
		"a session cookie played as a state": {func(w *world, b *browser, q url.Values) *http.Response {
			q.Set("state", w.signIn(b.t).cookies["AWSELBAuthSessionCookie-0"])
			w.idp.calls = 0
			return b.callback(q)
		}, 401, "AuthInvalidStateParam", false},
		"no nonce cookie": {func(w *world, b *browser, q url.Values) *http.Response {
			clear(b.cookies)
			return b.callback(q)
		}, 401, "AuthMissingAWSALBAuthNonce", false},
		"a foreign state: another browser's sign-in": {func(w *world, b *browser, q url.Values) *http.Response {
			attacker := w.browser(b.t)
			q["state"] = attacker.authorize("/")["state"]
			return b.callback(q)
		}, 401, "AuthInvalidAWSALBAuthNonce", false},
		"a sign-in begun at another host name": {func(w *world, b *browser, q url.Values) *http.Response {
			r := httptest.NewRequest("GET", callbackPath+"?"+q.Encode(), nil)
			r.Host = "other.localhost:8443"
			r.Header.Set("Cookie", nonceCookie+"="+b.cookies[nonceCookie])
			rec := httptest.NewRecorder()
			b.h.ServeHTTP(rec, r)
			return rec.Result()
		}, 401, "AuthInvalidStateParam", false},
		"HTTP/1.0 without a host": {func(w *world, b *browser, q url.Values) *http.Response {
			r := httptest.NewRequest("GET", callbackPath+"?"+q.Encode(), nil)
			r.Host, r.Proto = "", "HTTP/1.0"
			r.Header.Set("Cookie", nonceCookie+"="+b.cookies[nonceCookie])
			rec := httptest.NewRecorder()
			b.h.ServeHTTP(rec, r)
			return rec.Result()
		}, 401, "AuthMissingHostHeader", false},
		"no code": {func(w *world, b *browser, q url.Values) *http.Response {
			q.Del("code")
			return b.callback(q)
		}, 401, "AuthMissingCodeParam", false},
		"the IdP denied access": {func(w *world, b *browser, q url.Values) *http.Response {
			q.Del("code")
			q.Set("error", "access_denied")
			return b.callback(q)
		}, 401, "IdPDeniedAccess", false},
		"the IdP returned another error": {func(w *world, b *browser, q url.Values) *http.Response {
			q.Del("code")
			q.Set("error", "invalid_request")
			return b.callback(q)
		}, 561, "IdPReturnedError", false},
		"a code the IdP does not know": {func(w *world, b *browser, q url.Values) *http.Response {
			q.Set("code", "made-up")
			return b.callback(q)
		}, 561, "AuthInvalidGrantError", true},
		"the callback replayed with its cookie": {func(w *world, b *browser, q url.Values) *http.Response {
			nonce := b.cookies[nonceCookie]
			b.callback(q)
			b.cookies = map[string]string{nonceCookie: nonce}
			w.idp.calls = 0
			q.Set("code", w.idp.code())
			return b.callback(q)
		}, 401, "AuthInvalidStateParam", false},
		"the callback reloaded after the sign-in": {func(w *world, b *browser, q url.Values) *http.Response {
			b.callback(q)
			w.idp.calls = 0
			return b.callback(q)
		}, 401, "AuthInvalidStateParam", false},
		"a token endpoint that is away": {func(w *world, b *browser, q url.Values) *http.Response {
			w.Server.c.TokenEndpoint = "https://nowhere.localhost/token"
			return b.callback(q)
		}, 500, "AuthTokenEpRequestFailed", false},
		"a token endpoint that does not answer in time": {func(w *world, b *browser, q url.Values) *http.Response {
			w.silent = "/oauth2/token"
			return b.callback(q)
		}, 500, "AuthTokenEpRequestTimeout", false},
		"a userInfo endpoint that does not answer in time": {func(w *world, b *browser, q url.Values) *http.Response {
			w.silent = "/oauth2/userInfo"
			return b.callback(q)
		}, 500, "AuthUserinfoEpRequestTimeout", true},
		"a session of more than 16 KB": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.tokens = func(tok map[string]any) { tok["refresh_token"] = noise(15 << 10) }
			return b.callback(q)
		}, 500, "AuthUserinfoResponseSizeExceeded", true},
		"a wrong client secret": {func(w *world, b *browser, q url.Values) *http.Response {
			w.Server.c.ClientSecret = "old"
			return b.callback(q)
		}, 561, "AuthInvalidTokenResponse", true},
		"an access token that is missing": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.tokens = func(t map[string]any) { delete(t, "access_token") }
			return b.callback(q)
		}, 500, "AuthInvalidTokenResponse", true},
		"a scope that yields no ID token": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.tokens = func(t map[string]any) { delete(t, "id_token") }
			return b.callback(q)
		}, 401, "AuthInvalidIdToken", true},
		"an ID token of another issuer": {func(w *world, b *browser, q url.Values) *http.Response {
			w.Server.c.Issuer = "https://other.example"
			return b.callback(q)
		}, 401, "AuthInvalidIdToken", true},
		"a userInfo endpoint that fails": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.userInfo = func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(503) }
			return b.callback(q)
		}, 500, "AuthUserinfoEpRequestFailed", true},
		"a userInfo endpoint that refuses": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.userInfo = func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(401) }
			return b.callback(q)
		}, 561, "AuthInvalidUserinfoResponse", true},
		"claims about somebody else": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.userInfo = func(rw http.ResponseWriter, r *http.Request) { io.WriteString(rw, `{"sub":"mallory"}`) }
			return b.callback(q)
		}, 500, "AuthInvalidUserinfoResponse", true},
		"claims and access token over 11 KB": {func(w *world, b *browser, q url.Values) *http.Response {
			w.idp.accessLen = 11 << 10
			return b.callback(q)
		}, 500, "AuthUserinfoResponseSizeExceeded", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			b := w.browser(t)
			q := url.Values{"state": b.authorize("/")["state"], "code": {w.idp.code()}}
			resp := tc.act(w, b, q)
			if resp.StatusCode != tc.status {
				t.Errorf("got %d, want %d\n%s", resp.StatusCode, tc.status, w.log)
			}
			if !strings.Contains(w.log.String(), "why="+tc.why) {
				t.Errorf("the log does not say %s:\n%s", tc.why, w.log)
			}
			if got := w.idp.calls > 0; got != tc.spent {
				t.Errorf("token endpoint asked: %v, want %v: a code must not be spent on a refused callback", got, tc.spent)
			}
			for _, c := range resp.Cookies() {
				if strings.HasPrefix(c.Name, "AWSELBAuthSessionCookie") {
					t.Errorf("a refused callback set %s", c.Name)
				}
			}
		})
	}
}

func TestClaimsAndAccessTokenMayHave11KB(t *testing.T) {
	for size, status := range map[int]int{11 << 10: 302, 11<<10 + 1: 500} {
		w := newWorld(t, nil)
		w.idp.userInfo = func(rw http.ResponseWriter, r *http.Request) {
			claims := `{"sub":"9f0c-sub","email":"%s"}`
			io.WriteString(rw, fmt.Sprintf(claims, strings.Repeat("a", size-len("access-1")-len(claims)+len("%s"))))
		}
		b := w.browser(t)
		if got := b.callback(url.Values{"code": {w.idp.code()}, "state": b.authorize("/")["state"]}).StatusCode; got != status {
			t.Errorf("%d bytes: got %d, want %d\n%s", size, got, status, w.log)
		}
	}
}

func TestTwoTabsBothSignIn(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser(t)
	one, two := b.authorize("/one"), b.authorize("/two")
	for path, q := range map[string]url.Values{"/one": one, "/two": two} {
		resp := b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]})
		if got := resp.Header.Get("Location"); got != "https://"+host+path {
			t.Errorf("tab %s: got %d to %q\n%s", path, resp.StatusCode, got, w.log)
		}
	}
}

func TestPollingDoesNotSpoilASignIn(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser(t)
	q := b.authorize("/")
	for range 20 { // a page left open, whose session is over, asks on
		b.authorize("/api/v1/endpoints")
	}
	if got := b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]}).StatusCode; got != 302 {
		t.Errorf("got %d, want 302\n%s", got, w.log)
	}
}

func TestFifteenMinutesToSignIn(t *testing.T) {
	for name, tc := range map[string]struct {
		after  time.Duration
		status int
	}{"just in time": {15 * time.Minute, 302}, "a second late": {15*time.Minute + time.Second, 401}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				b := w.browser(t)
				q := b.authorize("/")
				time.Sleep(tc.after)
				if got := b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]}).StatusCode; got != tc.status {
					t.Errorf("got %d, want %d", got, tc.status)
				}
			})
		})
	}
}

func TestSessionCondition(t *testing.T) {
	now := time.Date(2026, 10, 1, 9, 0, 0, 0, time.UTC)
	in := func(d time.Duration) time.Time { return now.Add(d) }
	for name, tc := range map[string]struct {
		s    session
		want condition
	}{
		"everything valid":                                  {session{Ends: in(time.Hour), AccessEnds: in(1), Refresh: "r"}, live},
		"access token over, with a refresh token":           {session{Ends: in(time.Hour), AccessEnds: now, Refresh: "r"}, stale},
		"access token over, no refresh token":               {session{Ends: in(time.Hour), AccessEnds: now}, live},
		"access token without an end":                       {session{Ends: in(time.Hour), Refresh: "r"}, live},
		"session over, although the access token is not":    {session{Ends: now, AccessEnds: in(time.Hour), Refresh: "r"}, over},
		"session over and access token over: no refreshing": {session{Ends: now, AccessEnds: now, Refresh: "r"}, over},
	} {
		if got := tc.s.at(now); got != tc.want {
			t.Errorf("%s: got %d, want %d", name, got, tc.want)
		}
	}
}

func TestSessionLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil) // session one hour, access token ten minutes
		b := w.signIn(t)
		access := func() string { return w.fn.headers(t)["x-amzn-oidc-accesstoken"][0] }
		b.get("/")
		first := access()
		time.Sleep(9 * time.Minute)
		if b.get("/"); access() != first {
			t.Error("refreshed while the access token was good")
		}
		w.idp.claims["email"] = "alice.kim@corp.example"
		time.Sleep(time.Minute)
		if resp := b.get("/"); resp.StatusCode != 200 || access() == first || len(resp.Cookies()) == 0 {
			t.Errorf("access token over: got %d, access token %q, want 200 with a new one and its cookie", resp.StatusCode, access())
		}
		if claims := claimsOf(t, w.fn.headers(t)["x-amzn-oidc-data"][0]); claims["email"] != "alice.kim@corp.example" {
			t.Errorf("claims were not refreshed: %v", claims)
		}
		calls := w.idp.calls
		if b.get("/"); w.idp.calls != calls {
			t.Error("refreshed again with the refreshed cookie")
		}
		// Refreshing must not prolong the session: it ends an hour after the sign-in.
		for range 4 {
			time.Sleep(11 * time.Minute)
			if got := b.get("/").StatusCode; got != 200 {
				t.Fatalf("inside the session: got %d, want 200", got)
			}
		}
		time.Sleep(6 * time.Minute)
		calls = w.idp.calls
		if b.authorize("/"); w.idp.calls != calls {
			t.Error("a session that is over was refreshed")
		}
	})
}

func TestSessionTimeoutAndAccessToken(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout   time.Duration // the access token lives ten minutes
		noRefresh bool
		after     time.Duration
		status    int
		refreshes int
	}{
		"the access token lives longer: the session ends with its timeout":                {5 * time.Minute, false, 5 * time.Minute, 302, 0},
		"… and a moment earlier it is good":                                               {5 * time.Minute, false, 5*time.Minute - time.Second, 200, 0},
		"the access token is over: it is refreshed":                                       {time.Hour, false, 10 * time.Minute, 200, 1},
		"the access token is over, there is no refresh token: the session goes on":        {time.Hour, true, 59 * time.Minute, 200, 0},
		"… until its timeout":                                                             {time.Hour, true, time.Hour, 302, 0},
		"both are over, although the refresh token is good: the session is over for good": {time.Hour, false, time.Hour, 302, 0},
	} {
		t.Run(name, func(t *testing.T) {
			for _, mode := range []OnUnauthenticated{Authenticate, Deny} { // deny redirects a session that is over
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, func(c *Config) { c.SessionTimeout, c.OnUnauthenticated = tc.timeout, Authenticate })
					w.idp.noRefresh = tc.noRefresh
					b := w.signIn(t)
					w.Server.c.OnUnauthenticated = mode
					before := w.idp.calls
					time.Sleep(tc.after)
					if got := b.get("/").StatusCode; got != tc.status || w.idp.calls-before != tc.refreshes {
						t.Errorf("%s: got %d after %d refreshes, want %d after %d\n%s", mode, got, w.idp.calls-before, tc.status, tc.refreshes, w.log)
					}
				})
			}
		})
	}
}

func TestAllowForwardsTheClaimsOfASession(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signIn(t)
	w.Server.c.OnUnauthenticated = Allow
	b.get("/")
	if claims := claimsOf(t, w.fn.headers(t)["x-amzn-oidc-data"][0]); claims["sub"] != "9f0c-sub" {
		t.Errorf("got %v, want the person's claims", claims)
	}
}

func TestSessionCookiesOfCORSRequestsHaveSameSiteNone(t *testing.T) {
	for origin, want := range map[string]http.SameSite{"": 0, "https://elsewhere.example": http.SameSiteNoneMode} {
		w := newWorld(t, nil)
		b := w.browser(t)
		q := url.Values{"code": {w.idp.code()}, "state": b.authorize("/")["state"]}
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		resp := b.do("GET", callbackPath+"?"+q.Encode(), "", header)
		for _, c := range resp.Cookies() {
			if c.SameSite != want || !c.Secure {
				t.Errorf("Origin %q: cookie %s has SameSite %d and Secure %v, want %d and true", origin, c.Name, c.SameSite, c.Secure, want)
			}
		}
	}
}

// A state that says what a session says must not be one, nor the other way around.
func TestSealedValuesServeOnePurpose(t *testing.T) {
	w := newWorld(t, nil)
	for made, played := range map[string]string{"state": "session", "session": "state"} {
		sealed, err := w.seal(made, session{Claims: json.RawMessage(`{"sub":"x"}`), Ends: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := encoding(made).DecodeString(sealed)
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := w.open(made, sealed, &v); err != nil {
			t.Errorf("a %s does not open: %v", made, err)
		}
		if w.open(played, encoding(played).EncodeToString(raw), &v) == nil {
			t.Errorf("a %s opens as a %s", made, played)
		}
	}
}

func TestRefreshRefusedMeansSignInAgain(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   OnUnauthenticated
		status int
	}{
		"authenticate": {Authenticate, 302},
		"deny redirects too: the session is over, not missing": {Deny, 302},
		"allow forwards without claims":                        {Allow, 200},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, nil)
				b := w.signIn(t)
				w.Server.c.OnUnauthenticated = tc.mode
				w.idp.revoked = true
				time.Sleep(10 * time.Minute)
				if got := b.get("/").StatusCode; got != tc.status || w.idp.refusals != 1 {
					t.Errorf("got %d after %d refused refreshes, want %d after 1", got, w.idp.refusals, tc.status)
				}
				if tc.mode == Allow {
					if _, ok := w.fn.headers(t)["x-amzn-oidc-data"]; ok {
						t.Error("claims of a dead session were forwarded")
					}
				}
			})
		})
	}
}

func TestWithoutASession(t *testing.T) {
	for name, tc := range map[string]struct {
		mode   OnUnauthenticated
		status int
	}{"authenticate redirects": {Authenticate, 302}, "deny is 401": {Deny, 401}, "allow forwards": {Allow, 200}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *Config) { c.OnUnauthenticated = tc.mode })
			if got := w.browser(t).get("/").StatusCode; got != tc.status {
				t.Errorf("got %d, want %d", got, tc.status)
			}
		})
	}
	t.Run("HTTP/1.0 without Host cannot be redirected", func(t *testing.T) {
		w := newWorld(t, nil)
		r := httptest.NewRequest("GET", "/", nil)
		r.Host, r.Proto = "", "HTTP/1.0"
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, r)
		if rec.Code != 401 || !strings.Contains(w.log.String(), "why=AuthMissingHostHeader") {
			t.Errorf("got %d, want 401\n%s", rec.Code, w.log)
		}
	})
}

func TestSessionCookieIsNotTrustedUnlessOurs(t *testing.T) {
	const name = "AWSELBAuthSessionCookie-0"
	for what, alter := range map[string]func(w *world, v string) string{
		"one bit changed":                func(w *world, v string) string { return v[:30] + string(v[30]^1) + v[31:] },
		"cut short":                      func(w *world, v string) string { return v[:len(v)-8] },
		"not base64":                     func(w *world, v string) string { return "!!" },
		"another load balancer's":        func(w *world, v string) string { return newWorld(t, nil).signIn(t).cookies[name] },
		"a state played as a session":    func(w *world, v string) string { return w.browser(t).authorize("/").Get("state") },
		"URL-encoded, as AWS warns of":   func(w *world, v string) string { return url.QueryEscape(v) },
		"plain JSON instead of a cipher": func(w *world, v string) string { return "eyJjbGFpbXMiOnt9fQ" },
	} {
		t.Run(what, func(t *testing.T) {
			for mode, status := range map[string]int{"redirect": 302, "reject": 401, "deny": 401, "allow": 200} {
				w := newWorld(t, nil)
				b := w.signIn(t)
				b.cookies[name] = alter(w, b.cookies[name])
				w.Server.c.Unconfirmed.RejectInvalidCookie = mode == "reject"
				switch mode {
				case "deny":
					w.Server.c.OnUnauthenticated = Deny
				case "allow":
					w.Server.c.OnUnauthenticated = Allow
				}
				if got := b.get("/").StatusCode; got != status {
					t.Errorf("%s: got %d, want %d", mode, got, status)
				}
				if mode == "allow" {
					if _, ok := w.fn.headers(t)["x-amzn-oidc-data"]; ok {
						t.Error("claims of an altered cookie were forwarded")
					}
				} else if len(w.fn.events) > 0 || !strings.Contains(w.log.String(), "AuthInvalidCookie") {
					t.Errorf("%s: %d invocations, want none and AuthInvalidCookie in the log\n%s", mode, len(w.fn.events), w.log)
				}
			}
		})
	}
}

// noise is as incompressible as base64 gets.
func noise(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	b := make([]byte, n)
	for i := range b {
		b[i] = letters[rand.IntN(len(letters))]
	}
	return string(b)
}

func TestLargeSessionIsShardedAndShrinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		// The most that AWS allows, with a long refresh token besides.
		w.idp.tokens = func(tok map[string]any) {
			tok["access_token"], tok["refresh_token"] = "access-"+noise(10<<10), noise(1800)
		}
		b := w.signIn(t)
		shards := func() (names []string) {
			for name, v := range b.cookies {
				if strings.HasPrefix(name, "AWSELBAuthSessionCookie-") {
					names = append(names, name)
					if n := len(name) + 1 + len(v); n > 4096 {
						t.Errorf("%s has %d bytes, more than browsers keep", name, n)
					}
				}
			}
			slices.Sort(names)
			return names
		}
		if got := shards(); len(got) != 4 {
			t.Errorf("shards %v, want -0 to -3", got)
		}
		if got := b.get("/").StatusCode; got != 200 {
			t.Fatalf("with a sharded session: got %d, want 200", got)
		}
		for _, name := range shards() {
			without := &browser{t, b.h, maps.Clone(b.cookies)}
			delete(without.cookies, name)
			if got := without.get("/").StatusCode; got != 302 {
				t.Errorf("without %s: got %d, want 302", name, got)
			}
		}
		w.idp.tokens = nil
		w.idp.revoked = false
		time.Sleep(10 * time.Minute)
		// The fake knows one refresh token only, so the refresh fails and a new, small session takes over.
		q := b.authorize("/")
		b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]})
		if got := shards(); len(got) != 1 {
			t.Errorf("shards %v after a smaller session, want only -0: leftovers would spoil the next request", got)
		}
		if got := b.get("/").StatusCode; got != 200 {
			t.Errorf("with the smaller session: got %d, want 200", got)
		}
	})
}

func newTLSFront(t *testing.T, s interface{ Handler() http.Handler }) *httptest.Server {
	front := httptest.NewUnstartedServer(s.Handler())
	front.EnableHTTP2 = true
	front.StartTLS()
	t.Cleanup(front.Close)
	return front
}

// Everything over real TLS connections, with a cookie jar nobody here wrote.
func TestOverTLS(t *testing.T) {
	w := newWorld(t, nil)
	idp, lambda := httptest.NewTLSServer(w.idp), httptest.NewTLSServer(w.fn)
	defer idp.Close()
	defer lambda.Close()
	c := w.c
	c.AuthorizationEndpoint, c.TokenEndpoint, c.UserInfoEndpoint, c.LambdaURL = idp.URL+"/oauth2/authorize", idp.URL+"/oauth2/token", idp.URL+"/oauth2/userInfo", lambda.URL
	c.Client = idp.Client() // httptest's servers share one certificate
	s, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	front := newTLSFront(t, s)
	jar, _ := cookiejar.New(nil)
	client := front.Client()
	client.Jar = jar
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

	get := func(u string) *http.Response {
		t.Helper()
		resp, err := client.Get(u)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	u, err := get(front.URL + "/page?x=1").Location()
	if err != nil || !strings.HasPrefix(u.String(), idp.URL) {
		t.Fatalf("redirected to %v, %v", u, err)
	}
	q := url.Values{"state": u.Query()["state"], "code": {w.idp.code()}}
	resp := get(u.Query().Get("redirect_uri") + "?" + q.Encode())
	if got := resp.Header.Get("Location"); got != front.URL+"/page?x=1" {
		t.Fatalf("after the sign-in: %d to %q\n%s", resp.StatusCode, got, w.log)
	}
	resp = get(resp.Header.Get("Location"))
	if resp.StatusCode != 200 || text(t, resp) != "hello" {
		t.Fatalf("the page: %d\n%s", resp.StatusCode, w.log)
	}
	if got := resp.Header.Values("Set-Cookie"); !slices.Equal(got, []string{"a=1", "b=2"}) {
		t.Errorf("Set-Cookie: got %v, want both of the function's", got)
	}
	h := w.fn.headers(t)
	port := strings.TrimPrefix(front.URL, "https://127.0.0.1:")
	for name, want := range map[string]string{"x-forwarded-proto": "https", "x-forwarded-port": port, "x-forwarded-for": "127.0.0.1", "host": "127.0.0.1:" + port, "x-amzn-oidc-identity": "9f0c-sub"} {
		if got := h[name]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if want := "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A111122223333%3Afunction%3Anightlatch-front/invocations"; w.fn.path != want {
		t.Errorf("invoked %s, want %s", w.fn.path, want)
	}
}

func claimsOf(t *testing.T, token string) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(segment(t, token, 1), &claims); err != nil {
		t.Fatal(fmt.Errorf("payload: %w", err))
	}
	return claims
}
