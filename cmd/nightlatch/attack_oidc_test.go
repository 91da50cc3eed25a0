//go:build !lambda

package main

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const sessionCookieName = "__Host-nightlatch-session"

// sessionOf is the value of the session's cookie in b's browser; empty without one.
func sessionOf(t *testing.T, b *tourist) string {
	t.Helper()
	site, err := url.Parse(b.info.URL)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.browser.Jar.Cookies(site) {
		if c.Name == sessionCookieName {
			return c.Value
		}
	}
	return ""
}

// toAnswer leads a browser that has Identity Center's session to the address at which the issuer sends it back to us.
func (g *gate) toAnswer(t *testing.T, b *tourist) *url.URL {
	t.Helper()
	g.toAssertion(t, b)
	walk(t, b.assertion)
	to, err := b.page.Location()
	if err != nil || to.Path != "/oauth2/callback" {
		t.Fatalf("the issuer sends to %v, %v", to, err)
	}
	return to
}

// turnedAway: an answer of the issuer's was not taken, and nobody is signed in by it.
func (g *gate) turnedAway(t *testing.T, b *tourist, to *url.URL, words ...string) {
	t.Helper()
	g.since = len(g.logText(t))
	if err := b.send(http.MethodGet, to.String(), "", nil); err != nil {
		t.Fatal(err)
	}
	if b.page.StatusCode < 400 || b.page.StatusCode >= 500 {
		t.Errorf("answered %s, want a refusal", b.page.Status)
	}
	if s := sessionOf(t, b); s != "" {
		t.Error("a session was begun")
	}
	with(t, b, http.MethodGet, at(b, "/api/v1/endpoints/office"), "", "", nil)
	answered(t, b, http.StatusUnauthorized, "signed-out")
	g.told(t, append([]string{`"request_id"`, `"problem":"sign-in-`}, words...)...)
}

func edited(u *url.URL, edit func(url.Values)) *url.URL {
	other := *u
	q := u.Query()
	edit(q)
	other.RawQuery = q.Encode()
	return &other
}

// oidcSignIn is what is tried at the sign-in that the function does itself.
var oidcSignIn = []attack{
	{"a callback without a state, with an altered one or with two", "a code, and no sign-in that was begun; wants it taken all the same", func(t *testing.T, g *gate) {
		for _, edit := range []func(url.Values){
			func(q url.Values) { q.Del("state") },
			func(q url.Values) { q.Set("state", "") },
			func(q url.Values) { q.Set("state", q.Get("state")+"x") },
			func(q url.Values) { q.Set("state", strings.ToLower(q.Get("state"))) },
			func(q url.Values) { q.Add("state", q.Get("state")) },
			func(q url.Values) { q.Add("code", q.Get("code")) },
			func(q url.Values) { q.Del("code") },
		} {
			b := g.again(t, g.alice)
			g.turnedAway(t, b, edited(g.toAnswer(t, b), edit))
		}
	}},
	{"a state of another sign-in, or of another browser", "their own sign-in's state, and a victim's code; wants the one taken for the other", func(t *testing.T, g *gate) {
		mallory, victim := g.again(t, g.bob), g.again(t, g.alice)
		theirs, own := g.toAnswer(t, mallory), g.toAnswer(t, victim)
		g.turnedAway(t, victim, edited(own, func(q url.Values) { q.Set("state", theirs.Query().Get("state")) }))
	}},
	{"a sign-in that another browser began", "a sign-in of their own, short of its last redirect, and a victim who follows that; wants them signed in as the attacker", func(t *testing.T, g *gate) {
		mallory, victim := g.again(t, g.bob), g.browser(t, "alice")
		to := g.toAnswer(t, mallory)
		walk(t, victim.arrive)
		g.turnedAway(t, victim, to)
	}},
	{"a code injected into another browser's sign-in", "a code of their own; puts it into the answer that a victim's browser waits for", func(t *testing.T, g *gate) {
		mallory, victim := g.again(t, g.bob), g.again(t, g.alice)
		theirs, own := g.toAnswer(t, mallory), g.toAnswer(t, victim)
		g.turnedAway(t, victim, edited(own, func(q url.Values) { q.Set("code", theirs.Query().Get("code")) }))
	}},
	{"an answer used twice", "the address of a sign-in's last step, out of a history; wants a session by it", func(t *testing.T, g *gate) {
		b := g.again(t, g.alice)
		to := g.toAnswer(t, b)
		walk(t, b.callback)
		first := sessionOf(t, b)
		g.since = len(g.logText(t))
		if err := b.send(http.MethodGet, to.String(), "", nil); err != nil {
			t.Fatal(err)
		}
		if b.page.StatusCode < 400 {
			t.Errorf("answered %s, want a refusal", b.page.Status)
		}
		if sessionOf(t, b) != first {
			t.Error("the session is another one")
		}
		g.told(t, `"not done"`, `"problem":"sign-in-lost"`)
		g.turnedAway(t, g.browser(t, "bob"), to)
	}},
	{"another issuer's word in the answer", "an issuer of their own, which our client might also know; wants its answer taken for ours", func(t *testing.T, g *gate) {
		b := g.again(t, g.alice)
		g.turnedAway(t, b, edited(g.toAnswer(t, b), func(q url.Values) { q.Set("iss", "https://evil.example") }))
	}},
	{"session fixation", "a session of their own, planted in a victim's browser before they sign in; wants it to become the victim's", func(t *testing.T, g *gate) {
		mallory := g.again(t, g.bob)
		g.toAnswer(t, mallory)
		walk(t, mallory.callback)
		victim := g.again(t, g.alice)
		to := g.toAnswer(t, victim)
		site, err := url.Parse(victim.info.URL)
		if err != nil {
			t.Fatal(err)
		}
		planted := sessionOf(t, mallory)
		victim.browser.Jar.SetCookies(site, []*http.Cookie{{Name: sessionCookieName, Value: planted, Path: "/", Secure: true}})
		if err := victim.send(http.MethodGet, to.String(), "", nil); err != nil {
			t.Fatal(err)
		}
		if s := sessionOf(t, victim); s == "" || s == planted {
			t.Error("the victim has the session that was planted, or none")
		}
		with(t, mallory, http.MethodGet, at(mallory, "/api/v1/endpoints/office"), "", "", nil)
		answered(t, mallory, http.StatusUnauthorized, "signed-out")
		g.told(t, `"signed in"`)
	}},
	{"cookie tossing from a sibling site", "a site beside ours under one domain, which can set cookies for it; wants theirs taken for the session", func(t *testing.T, g *gate) {
		good := sessionOf(t, g.alice)
		b := g.browser(t, "mallory")
		for _, cookie := range []string{"nightlatch-session=" + good, "__Secure-nightlatch-session=" + good, "__host-nightlatch-session=" + good,
			"\u2000" + sessionCookieName + "=" + good, sessionCookieName + "=" + strings.Repeat("A", len(good)) + "; " + sessionCookieName + "=" + good, sessionCookieName + "=" + good + "; " + sessionCookieName + "=" + good} {
			g.since = len(g.logText(t))
			with(t, b, http.MethodGet, at(b, "/api/v1/endpoints/office"), "", "", http.Header{"Cookie": {cookie}})
			if answered(t, b, http.StatusUnauthorized, "signed-out"); t.Failed() {
				t.Fatalf("%q", cookie)
			}
			g.told(t, `"refused"`, `"signed-out"`)
		}
		with(t, b, http.MethodGet, at(b, "/api/v1/endpoints/office"), "", "", http.Header{"Cookie": {sessionCookieName + "=" + good}})
		answered(t, b, http.StatusOK) // the same, alone: what was refused was the company it came in
	}},
	{"what the table holds of a session", "a copy of the table, or an operator's list of sessions; wants a session by it", func(t *testing.T, g *gate) {
		var list struct{ Sessions []struct{ ID, Name string } }
		if err := json.Unmarshal([]byte(g.cli(t, "session", "list", "--json")), &list); err != nil || len(list.Sessions) == 0 {
			t.Fatalf("no session is listed (%v)", err)
		}
		b := g.browser(t, "mallory")
		b.browser.Transport = b.browser.Transport.(noting).RoundTripper // what is sent here is no secret
		for _, s := range list.Sessions {
			with(t, b, http.MethodGet, at(b, "/api/v1/endpoints/office"), "", "", http.Header{"Cookie": {sessionCookieName + "=" + s.ID}})
			answered(t, b, http.StatusUnauthorized, "signed-out")
		}
		g.told(t, `"refused"`, `"signed-out"`)
	}},
	{"a session after its end", "a copy of a cookie, after its person signed out or an operator ended the session; wants in by it", func(t *testing.T, g *gate) {
		for name, end := range map[string]func(*tourist){
			"signed out": func(b *tourist) {
				walk(t, func() (string, error) { return "", b.visit(http.MethodGet, at(b, "/endpoints/office?look"), "", nil) })
				page, err := b.page.html()
				if err != nil {
					t.Fatal(err)
				}
				token := page.Find("form[action='/sign-out'] input[name='token']").AttrOr("value", "")
				walk(t, func() (string, error) {
					return "", b.send(http.MethodPost, at(b, "/sign-out"), asForm, strings.NewReader(url.Values{"token": {token}}.Encode()))
				})
			},
			"revoked": func(b *tourist) {
				var list struct{ Sessions []struct{ ID string } } // the newest first
				if err := json.Unmarshal([]byte(g.cli(t, "session", "list", "--json")), &list); err != nil {
					t.Fatal(err)
				}
				g.cli(t, "session", "revoke", list.Sessions[0].ID)
			},
		} {
			b := g.again(t, g.bob)
			g.toAnswer(t, b)
			walk(t, b.callback)
			stolen := http.Header{"Cookie": {g.cookies(t, b)}}
			thief := g.browser(t, "mallory")
			with(t, thief, http.MethodGet, at(thief, "/api/v1/endpoints/office"), "", "", stolen)
			answered(t, thief, http.StatusOK)
			end(b)
			g.since = len(g.logText(t))
			with(t, thief, http.MethodGet, at(thief, "/api/v1/endpoints/office"), "", "", stolen)
			if answered(t, thief, http.StatusUnauthorized, "signed-out"); t.Failed() {
				t.Fatal(name)
			}
			g.told(t, `"refused"`, `"signed-out"`)
		}
	}},
}

// wouldBeOperators is what somebody tries who would like to be one, or is one and would like more. It ends with bob blocked.
var wouldBeOperators = []attack{
	{"administration by an employee", "an account without rights to administer; posts what the administrators' page would", func(t *testing.T, g *gate) {
		with(t, g.alice, http.MethodGet, at(g.alice, "/endpoints/office?look"), "", "", nil)
		page, err := g.alice.page.html()
		if err != nil {
			t.Fatal(err)
		}
		token := page.Find("input[name='token']").AttrOr("value", "")
		for action, form := range map[string]url.Values{
			"end": {"whose": {"somebody"}}, "extend": {"whose": {"somebody"}, "for": {"1m"}}, "pause": {"for": {"1h"}, "reason": {"x"}},
			"close": {"for": {"1h"}}, "release": {}, "break-glass": {"for": {"1m"}, "reason": {"x"}},
		} {
			form.Set("token", token)
			with(t, g.alice, http.MethodPost, at(g.alice, "/admin/endpoints/office/"+action), asForm, form.Encode(), nil)
			answered(t, g.alice, http.StatusForbidden)
		}
		for _, path := range []string{"/admin", "/admin/audit", "/admin/endpoints/office"} {
			with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", nil)
			answered(t, g.alice, http.StatusForbidden)
			if strings.Contains(string(g.alice.page.body), "bob@") {
				t.Errorf("%s names bob to alice", path)
			}
		}
		g.told(t, `"msg":"audit"`, `"break-glass.refused"`)
	}},
	{"an operator who approves themselves", "the right to administer, and a lease of their own; extends it as if it were another's", func(t *testing.T, g *gate) {
		olivia := g.browser(t, demoOperatorName)
		g.signIn(t, olivia)
		post := func(path string, form url.Values) {
			t.Helper()
			with(t, olivia, http.MethodGet, at(olivia, "/endpoints/office?look"), "", "", nil)
			page, err := olivia.page.html()
			if err != nil {
				t.Fatal(err)
			}
			form.Set("token", page.Find("input[name='token']").AttrOr("value", ""))
			with(t, olivia, http.MethodPost, at(olivia, path), asForm, form.Encode(), nil)
		}
		g.since = len(g.logText(t))
		post("/endpoints/office/open", url.Values{"for": {"1m0s"}, "reason": {"my own"}})
		answered(t, olivia, http.StatusSeeOther)
		var audit []struct{ Action, Subject, Why string }
		if err := json.Unmarshal([]byte(g.cli(t, "audit", "export", "--format", "json")), &audit); err != nil {
			t.Fatal(err)
		}
		own := ""
		for _, e := range audit {
			if e.Action == "open" && e.Why == "my own" {
				own = e.Subject
			}
		}
		if own == "" {
			t.Fatal("the audit does not say who olivia is")
		}
		for _, action := range []string{"extend", "end"} {
			post("/admin/endpoints/office/"+action, url.Values{"whose": {own}, "for": {"5m0s"}})
			answered(t, olivia, http.StatusBadRequest, "own")
		}
		post("/endpoints/office/done", url.Values{})
		answered(t, olivia, http.StatusSeeOther)
		g.told(t, `"msg":"audit"`, `"done"`)
	}},
	{"changes by the hundred", "an account, and a script that presses every button as fast as it can", func(t *testing.T, g *gate) {
		refused := 0
		for range 30 {
			with(t, g.carol, http.MethodPost, at(g.carol, "/api/v1/endpoints/office/extend"), asJSON, `{"for":"1m"}`, nil)
			if g.carol.page.StatusCode == http.StatusTooManyRequests {
				refused++
				if g.carol.page.Header.Get("Retry-After") == "" {
					t.Error("nobody says when to come again")
				}
			}
		}
		if refused < 15 {
			t.Errorf("%d of 30 changes were refused, want all but ten and one every six seconds", refused)
		}
		g.told(t, `"not done"`, `"too-many"`)
	}},
	{"somebody who is blocked", "a session, and a block since a moment ago; wants to go on", func(t *testing.T, g *gate) {
		with(t, g.bob, http.MethodGet, at(g.bob, "/api/v1/endpoints/office"), "", "", nil)
		answered(t, g.bob, http.StatusOK)
		subject := ""
		for line := range strings.Lines(g.logText(t)) {
			var l struct {
				Message string `json:"msg"`
				Audit   struct{ Subject, Name string }
			}
			if i := strings.IndexByte(line, '{'); i >= 0 && json.Unmarshal([]byte(line[i:]), &l) == nil && l.Message == "audit" && l.Audit.Name == "bob@corp.example" {
				subject = l.Audit.Subject
			}
		}
		if subject == "" {
			t.Fatal("the log names no bob")
		}
		g.cli(t, "access", "block", subject, "--reason", "the test")
		g.since = len(g.logText(t))
		for _, path := range []string{"/", "/endpoints/office", "/api/v1/endpoints", "/admin"} {
			with(t, g.bob, http.MethodGet, at(g.bob, path), "", "", nil)
			answered(t, g.bob, http.StatusForbidden, "blocked")
		}
		for _, path := range []string{"/api/v1/endpoints/office/open", "/api/v1/endpoints/office/done"} {
			with(t, g.bob, http.MethodPost, at(g.bob, path), asJSON, "{}", nil)
			if g.bob.page.StatusCode != http.StatusTooManyRequests { // he has made many
				answered(t, g.bob, http.StatusForbidden, "blocked")
			}
		}
		g.told(t, `"refused"`, "blocked")
	}},
}

// TestLyingIssuer: an issuer whose tokens are not what they should be signs nobody in, and is named in the log.
func TestLyingIssuer(t *testing.T) {
	t.Parallel()
	idp, ca := newIssuer(t)
	o := options(t, t.TempDir())
	o.front = frontOptions{name: frontHTTPAPI, issuer: idp.url, clientID: "client-1", ca: ca, secret: idp.secret}
	d := start(t, o, newSecrets())
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public := publicKey(t, &idp.key.PublicKey)
	by := func(method jwt.SigningMethod, key any) lie {
		return func(_ *issuer, c jwt.MapClaims) string {
			token := jwt.NewWithClaims(method, c)
			token.Header["kid"] = "key-1"
			signed, err := token.SignedString(key)
			if err != nil {
				panic(err)
			}
			return signed
		}
	}
	but := func(name string, value any) lie {
		return func(i *issuer, c jwt.MapClaims) string {
			if c[name] = value; value == nil {
				delete(c, name)
			}
			return i.signed(c)
		}
	}
	for name, c := range map[string]struct {
		lie  lie
		logs string
	}{
		"a nonce of another sign-in":          {but("nonce", "another"), "the nonce is not this sign-in's"},
		"no nonce":                            {but("nonce", nil), "the nonce is not this sign-in's"},
		"another audience":                    {but("aud", "client-2"), "expected audience"},
		"several audiences, and none of ours": {but("aud", []string{"client-2", "client-3"}), "expected audience"},
		"several audiences, for another party": {func(i *issuer, c jwt.MapClaims) string {
			c["aud"], c["azp"] = []string{"client-1", "client-2"}, "client-2"
			return i.signed(c)
		}, "azp is another client"},
		"another issuer":                  {but("iss", "https://evil.example"), "issued by a different provider"},
		"expired":                         {but("exp", time.Now().Add(-time.Hour).Unix()), "token is expired"},
		"without an end":                  {but("exp", nil), "expired"},
		"alg none":                        {by(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), "unexpected signature algorithm"},
		"alg HS256, with the public key":  {by(jwt.SigningMethodHS256, public), "unexpected signature algorithm"},
		"another key by the same id":      {by(jwt.SigningMethodRS256, other), "failed to verify"},
		"an access token in its place":    {but("token_use", "access"), "token_use"},
		"nobody":                          {but("sub", ""), "sub is not usable"},
		"an operator's subject":           {but("sub", "arn:aws:iam::111122223333:user/operator"), "sub is not usable"},
		"a subject in lines":              {but("sub", "kim-1\nmallory"), "sub is not usable"},
		"a subject of a thousand letters": {but("sub", strings.Repeat("k", 1000)), "sub is not usable"},
		"oversize claims":                 {but("name", strings.Repeat("k", 2<<20)), ""},
		"no token at all":                 {func(*issuer, jwt.MapClaims) string { return "" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			idp.mu.Lock()
			idp.lie = c.lie
			idp.mu.Unlock()
			b := d.browser(t, "kim")
			to := d.toCallback(t, b, ca)
			skip := len(d.logText(t))
			if err := b.send(http.MethodGet, to.String(), "", nil); err != nil {
				t.Fatal(err)
			}
			if b.page.StatusCode < 400 || sessionOf(t, b) != "" {
				t.Errorf("answered %s, with a session: %v; want a refusal", b.page.Status, sessionOf(t, b) != "")
			}
			with(t, b, http.MethodGet, at(b, "/api/v1/endpoints/office"), "", "", nil)
			answered(t, b, http.StatusUnauthorized, "signed-out")
			d.told(t, skip, `"request_id"`, c.logs)
		})
	}
	idp.mu.Lock()
	idp.lie = nil
	idp.mu.Unlock()
	kim := d.browser(t, "kim")
	if err := kim.visit(http.MethodGet, d.toCallback(t, kim, ca).String(), "", nil); err != nil {
		t.Fatal(err)
	}
	answered(t, kim, http.StatusOK, "Kim") // the same, honest: what was refused were the lies
	d.stop(t)
}
