//go:build !lambda

package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// The load balancer's front. Its word is a token in a header, so most of these put a header before the function that
// nobody may believe.

// albControl shows that the forger's tokens are as good as the load balancer's, so that each that is refused is refused
// for what was changed of it.
func albControl(t *testing.T, g *gate) {
	r := opens(map[string][]string{"x-amzn-oidc-data": {g.forger.token(t, nil)}})
	r.body = `{"for":"x"}` // signed in, and asking for nothing that can be had
	g.straight(t, r).want(t, http.StatusBadRequest, "urn:nightlatch:problem:bad-request")
	g.told(t, `"not done"`, `"subject":"mallory"`)
}

// albForgeries are tokens sent straight to the function by somebody who may invoke it, with a request that would open the
// endpoint. Each is what our load balancer would send in all but what it is called by.
func albForgeries() []attack {
	var attacks []attack
	one := func(t *testing.T, f *forger, change func(*token)) []string { return []string{f.token(t, change)} }
	for _, c := range []struct {
		name, has string
		log       string // what the operator reads; beside "refused"
		tokens    func(*testing.T, *forger) []string
	}{
		{"ALBeast: a valid token of another load balancer in the Region", "a load balancer of their own, with our issuer and client set in its rule, and the right to invoke; wants in as mallory", "signer is not the configured one",
			func(t *testing.T, f *forger) []string {
				own := func(arn string) string {
					return f.token(t, func(x *token) {
						x.header["kid"], x.header["signer"], x.sign = f.other.kid, arn, es256(f.other.key)
					})
				}
				return []string{
					own("arn:aws:elasticloadbalancing:us-east-1:999999999999:loadbalancer/app/evil/0123456789abcdef"),
					own(strings.Replace(f.alb.ARN, demoAccount, "999999999999", 1)), // of our name and id, in their account
					own(f.alb.ARN[:len(f.alb.ARN)-16] + "0123456789abcdef"),         // of our name, in our account
				}
			}},
		{"a signer that is nearly ours", "a token whose signer resembles our load balancer, and wants the comparison to be a loose one", "signer is not the configured one",
			func(t *testing.T, f *forger) (all []string) {
				for _, signer := range []any{strings.ToUpper(f.alb.ARN), f.alb.ARN + " ", f.alb.ARN + "0", f.alb.ARN[:len(f.alb.ARN)-1], f.alb.ARN + "\x00", "", nil, []string{f.alb.ARN}, true} {
					all = append(all, f.token(t, func(x *token) { x.header["signer"] = signer }))
				}
				return append(all, f.token(t, func(x *token) { delete(x.header, "signer"); x.payload["signer"] = f.alb.ARN }))
			}},
		{"a token signed with a key of the attacker's own", "no key that the key server knows; wants it not to be asked", "the key server knows no key",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) {
					x.header["kid"], x.sign = "11111111-2222-4333-8444-555555555555", es256(f.other.key)
				})
			}},
		{"a signature that is not our load balancer's", "our key's id and a signature of their own, of zeros, or of another text", "the signature does not match",
			func(t *testing.T, f *forger) []string {
				genuine := strings.Split(f.token(t, nil), ".")
				genuine[1] = base64.URLEncoding.EncodeToString([]byte(`{"sub":"mallory"}`))
				return []string{
					f.token(t, func(x *token) { x.sign = es256(f.other.key) }),
					f.token(t, func(x *token) { x.sign = func(string) []byte { return make([]byte, 64) } }),
					strings.Join(genuine, "."),
				}
			}},
		{"alg none", "a token without a signature, and wants it to need none", "alg is not the configured one",
			func(t *testing.T, f *forger) (all []string) {
				for _, alg := range []any{"none", "None", "NONE", "", nil} {
					for _, signature := range [][]byte{[]byte("x"), make([]byte, 64)} { // without one it is no token: see below
						all = append(all, f.token(t, func(x *token) { x.header["alg"], x.sign = alg, func(string) []byte { return signature } }))
					}
				}
				return all
			}},
		{"alg HS256, with the public key as the secret", "our public key, which anybody can fetch, and wants it to be taken for a shared secret", "alg is not the configured one",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) { x.header["alg"], x.sign = "HS256", hs256(publicKey(t, &f.key.PublicKey)) })
			}},
		{"alg RS256", "an RSA key that the key server serves, and wants the token to choose the algorithm", "alg is not the configured one",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) { x.header["alg"], x.header["kid"], x.sign = "RS256", f.rsa.kid, rs256(f.rsa.key) })
			}},
		{"a signature in DER", "a signature in another form than the one that is specified, and wants two forms of one token", "bytes instead of 64",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) { x.sign = inDER(f.key) })
			}},
		{"expired in the header only", "a token of an hour ago, whose payload says nothing of its end or something else; wants in for ever", "header: expired",
			func(t *testing.T, f *forger) []string {
				old := time.Now().Add(-time.Hour).Unix()
				return []string{
					f.token(t, func(x *token) { x.header["exp"] = old; delete(x.payload, "exp") }),
					f.token(t, func(x *token) { x.header["exp"] = old }),
					f.token(t, func(x *token) { x.header["exp"], x.payload["exp"] = old, old }), // caught on its way, and sent again
				}
			}},
		{"expired in the payload only", "a token whose header was renewed, and its claims were not", "payload: expired",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) { x.payload["exp"] = time.Now().Add(-time.Hour).Unix() })
			}},
		{"a token without an end, or with one far ahead", "a load balancer that mints tokens for a year, as ours does not", "exp",
			func(t *testing.T, f *forger) (all []string) {
				for _, exp := range []any{time.Now().AddDate(1, 0, 0).Unix(), nil, "9999999999", 1e300, true, -1} {
					all = append(all, f.token(t, func(x *token) { x.header["exp"] = exp }))
				}
				return append(all, f.token(t, func(x *token) { delete(x.header, "exp") }))
			}},
		{"a token for another client", "an account in our pool, signed in for another application of it; wants it to be good here", "client is not the configured one",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) { x.header["client"] = "another-application" })
			}},
		{"a token of another issuer", "a pool of their own behind our load balancer's other rule; wants its people to be ours", "iss is not the configured one",
			func(t *testing.T, f *forger) []string {
				const theirs = "https://cognito-idp.us-east-1.amazonaws.com/us-east-1_Evil"
				return []string{
					f.token(t, func(x *token) { x.header["iss"], x.payload["iss"] = theirs, theirs }),
					f.token(t, func(x *token) { x.payload["iss"] = theirs }),
					f.token(t, func(x *token) { x.header["iss"] = f.alb.Issuer + "/" }),
				}
			}},
		{"more than a token, or less", "two segments, four, an empty one where the signature should be, and text after the last; wants two readers to read two things", "segment",
			func(t *testing.T, f *forger) []string {
				p := strings.Split(f.token(t, nil), ".")
				unsigned := f.token(t, func(x *token) { x.header["alg"], x.sign = "none", func(string) []byte { return nil } })
				return []string{unsigned, p[0] + "." + p[1], p[0] + "." + p[1] + "." + p[2] + "." + p[2], ".." + p[2], p[0] + ".." + p[2], "...", strings.Join(p, ".") + "!", strings.Replace(strings.Join(p, "."), ".", "=.", 1) + "="}
			}},
		{"a name twice in the header", "a header that says of itself two things, each of which some reader believes", "a name occurs twice",
			func(t *testing.T, f *forger) (all []string) {
				for _, second := range []string{`"signer":"arn:aws:elasticloadbalancing:us-east-1:999999999999:loadbalancer/app/evil/0123456789abcdef"`, `"alg":"none"`, `"\u0061lg":"none"`} {
					all = append(all, f.token(t, func(x *token) {
						h, err := json.Marshal(x.header)
						if err != nil {
							t.Fatal(err)
						}
						x.headerText = "{" + second + "," + string(h[1:])
					}))
				}
				return all
			}},
		{"a header that must be understood and is not", "an extension that would change what the token says (RFC 7515, crit)", "header: crit",
			func(t *testing.T, f *forger) []string {
				return one(t, f, func(x *token) { x.header["crit"] = []string{"b64"}; x.header["b64"] = false })
			}},
		{"an oversize token", "a token beyond the 16 KB that a load balancer forwards; wants the function busy", "more than a load balancer forwards",
			func(t *testing.T, f *forger) []string {
				return []string{f.token(t, func(x *token) { x.payload["name"] = strings.Repeat("x", 16<<10) }), strings.Repeat(".", 20<<10), strings.Repeat("A", 60<<10)}
			}},
		{"a subject that is nobody's, an operator's, endless or in lines", "a pool that lets people choose their subjects; wants to break a key, a log or a table, or to be an operator", "sub is not usable",
			func(t *testing.T, f *forger) (all []string) {
				for _, sub := range []any{"", nil, 7, []string{"alice"}, strings.Repeat("x", 10<<10), "alice\n{\"msg\":\"forged\"}", "\x1b[2Jalice", demoOperator, string(latch.ByHandSubject)} {
					all = append(all, f.token(t, func(x *token) { x.payload["sub"] = sub }))
				}
				return all
			}},
	} {
		attacks = append(attacks, attack{c.name, c.has, func(t *testing.T, g *gate) {
			for _, token := range c.tokens(t, g.forger) {
				g.since = len(g.logText(t))
				g.straight(t, opens(map[string][]string{"x-amzn-oidc-data": {token}})).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:sign-in-refused")
				g.told(t, `"refused"`, c.log)
				if strings.Contains(g.logText(t)[g.since:], token[:min(len(token), 40)]) {
					t.Error("the log holds the token")
				}
			}
			g.wholeLines(t)
		}})
	}
	return append(attacks,
		attack{"the header twice", "a good token of their own and another's, and wants each of two readers to take another one", func(t *testing.T, g *gate) {
			mine, theirs := g.forger.token(t, nil), g.forger.token(t, func(x *token) { x.payload["sub"] = "another" })
			for _, h := range []map[string][]string{
				{"x-amzn-oidc-data": {mine, mine}}, {"x-amzn-oidc-data": {mine, theirs}}, {"x-amzn-oidc-data": {mine}, "X-Amzn-Oidc-Data": {theirs}}, {"x-amzn-oidc-data": {"", mine}},
			} {
				g.since = len(g.logText(t))
				g.straight(t, opens(h)).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:sign-in-refused")
				g.told(t, `"refused"`, "2 tokens")
			}
			g.straight(t, opens(map[string][]string{"x-amzn-oidc-data": {mine + "," + theirs}})).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:sign-in-refused")
		}},
		attack{"the plain headers without the signed one", "the right to invoke the function, and what nobody signs", func(t *testing.T, g *gate) {
			token := g.forger.token(t, nil)
			for _, h := range []map[string][]string{
				nil, {"x-amzn-oidc-identity": {"alice"}, "x-amzn-oidc-accesstoken": {token}}, {"x_amzn_oidc_data": {token}}, {"x-amzn-oidc-data-": {token}},
				{"authorization": {"Bearer " + token}}, {"cookie": {"x-amzn-oidc-data=" + token}}, {"x-forwarded-user": {"alice"}, "remote-user": {"alice"}},
			} {
				g.since = len(g.logText(t))
				g.straight(t, opens(h)).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:signed-out")
				g.told(t, `"refused"`, `"signed-out"`)
			}
		}},
		attack{"an event that is no load balancer's", "the right to invoke the function, and events of other services; wants one of them to be trusted in another way", func(t *testing.T, g *gate) {
			token := g.forger.token(t, nil)
			for name, event := range map[string]map[string]any{
				"an HTTP API's": {"version": "2.0", "routeKey": "$default", "rawPath": "/api/v1/endpoints/office/open", "rawQueryString": "", "cookies": []string{"__Host-nightlatch-session=AAAAAAAAAAAAAAAAAAAAAAAAAA"},
					"headers": map[string]string{"host": "vpn.localhost", "content-type": asJSON, "x-amzn-oidc-data": token}, "body": `{"for":"1m"}`, "isBase64Encoded": false,
					"requestContext": map[string]any{"accountId": demoAccount, "apiId": "api", "domainName": "vpn.localhost", "stage": "$default", "requestId": "r", "authorizer": map[string]any{"jwt": map[string]any{"claims": map[string]string{"sub": "mallory"}}},
						"http": map[string]string{"method": "POST", "path": "/api/v1/endpoints/office/open", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "x"}}},
				"a REST API's": {"resource": "/{proxy+}", "path": "/api/v1/endpoints/office/open", "httpMethod": "POST", "headers": map[string]string{"Host": "vpn.localhost", "x-amzn-oidc-data": token}, "body": `{"for":"1m"}`,
					"requestContext": map[string]any{"stage": "prod", "authorizer": map[string]string{"principalId": "mallory"}}},
				"a schedule's": {"source": "nightlatch.beat"},
				"nothing's":    {},
			} {
				g.since = len(g.logText(t))
				if r := g.invoke(t, event); r.status != 0 || !strings.Contains(r.fault, "not a load balancer event") {
					t.Errorf("%s: answered %+v, want an error that says what it is not", name, r)
				}
				g.told(t, "not a load balancer event")
			}
		}},
		attack{"a key id that leads elsewhere", "a key on another path or host, and wants the id to lead there", func(t *testing.T, g *gate) {
			before := g.keys.fetches()
			for _, kid := range []any{"../" + g.forger.other.kid, "..%2f" + g.forger.other.kid, g.forger.other.kid + "/../x", g.forger.other.kid + "?x=", g.forger.other.kid + "#", "/" + g.forger.other.kid, "https://evil.example/" + g.forger.other.kid,
				"@evil.example/" + g.forger.other.kid, g.forger.other.kid + "\n", strings.ToUpper(g.forger.kid), "{" + g.forger.kid + "}", "", nil, 7, []string{g.forger.kid}} {
				g.since = len(g.logText(t))
				token := g.forger.token(t, func(x *token) { x.header["kid"], x.sign = kid, es256(g.forger.other.key) })
				g.straight(t, opens(map[string][]string{"x-amzn-oidc-data": {token}})).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:sign-in-refused")
				g.told(t, `"refused"`, "kid is not a lower-case UUID")
			}
			if n := g.keys.fetches(); n != before {
				t.Errorf("the key server was asked %d times, want never", n-before)
			}
		}},
	)
}

// albKeyServer lets the key server misbehave for one key id, or go away.
var albKeyServer = []attack{
	lying("the key server answers with a page", "not a PEM public key", func(*testing.T, *gate) http.HandlerFunc {
		return serving([]byte("<!doctype html><title>Sign in to the wireless network</title>"))
	}),
	lying("the key server answers with an RSA key", "where ES256 needs P-256", func(t *testing.T, g *gate) http.HandlerFunc {
		return serving(publicKey(t, &g.forger.rsa.key.PublicKey))
	}),
	lying("the key server answers without end", "more than 8192 bytes", func(t *testing.T, g *gate) http.HandlerFunc {
		air := bytes.Repeat([]byte("\n"), 32<<10)
		return func(rw http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := rw.Write(air); err != nil {
					return
				}
			}
		}
	}),
	lying("the key server leads to the attacker's key", "status 302", func(t *testing.T, g *gate) http.HandlerFunc {
		return func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "/"+g.forger.other.kid, http.StatusFound)
		}
	}),
	lying("the key server does not answer", "deadline exceeded", func(t *testing.T, g *gate) http.HandlerFunc {
		return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	}),
	{"the key server is gone while keys change", "a way to make AWS's key server unreachable, and wants what cannot be checked to be believed", func(t *testing.T, g *gate) {
		if err := g.alb.RotateKey(); err != nil {
			t.Fatal(err)
		}
		server := sabotages[slices.IndexFunc(sabotages, func(f fault) bool { return f.name == "key-server" })]
		g.set(server, true)
		for _, c := range []struct{ method, path, body string }{{http.MethodGet, "/api/v1/endpoints/office", ""}, {http.MethodPost, "/api/v1/endpoints/office/open", `{"for":"1m"}`}} {
			with(t, g.alice, c.method, at(g.alice, c.path), asJSON, c.body, nil)
			answered(t, g.alice, http.StatusServiceUnavailable, "urn:nightlatch:problem:sign-in-unavailable")
			if g.alice.page.Header.Get("Retry-After") == "" {
				t.Error("the answer does not say when to try again")
			}
		}
		g.told(t, `"failed"`, "key server gave no usable answer")
		g.told(t, `"_aws"`, `"SignInErrors":1`)
		g.set(server, false)
		for late := time.Now().Add(15 * time.Second); ; <-time.After(250 * time.Millisecond) {
			with(t, g.alice, http.MethodGet, at(g.alice, "/api/v1/endpoints/office"), "", "", nil)
			if g.alice.page.StatusCode == http.StatusOK {
				return
			}
			if time.Now().After(late) {
				t.Fatalf("15 s after it is back: %s", g.alice.page.says())
			}
		}
	}},
}

// lying sends a token of a key id for which the key server says something. Whatever that is, the token is the attacker's.
func lying(name, log string, says func(*testing.T, *gate) http.HandlerFunc) attack {
	return attack{name, "a way to make AWS's key server answer as they like for one key id, short of serving their key, and wants in or the function stuck", func(t *testing.T, g *gate) {
		kid := g.keys.publish(says(t, g))
		token := g.forger.token(t, func(x *token) { x.header["kid"], x.sign = kid, es256(g.forger.other.key) })
		began, before := time.Now(), g.keys.fetches()
		g.straight(t, opens(map[string][]string{"x-amzn-oidc-data": {token}})).want(t, http.StatusServiceUnavailable, "urn:nightlatch:problem:sign-in-unavailable")
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %v, want an end after 3 s", took)
		}
		if n := g.keys.fetches() - before; n != 1 {
			t.Errorf("the key server was asked %d times, want once and nothing that it led to", n)
		}
		g.told(t, `"no key"`, kid, log)
		g.told(t, `"failed"`, "sign-in-unavailable")
	}}
}

// albSignIn is what is tried on the way through the load balancer, the pool and Identity Center, all of which AWS runs:
// here their stand-ins show that the chain is put together in a way that holds.
var albSignIn = []attack{
	{"x-amzn-oidc-* sent by the client", "a browser, with a session or without, and headers that only the load balancer may send", func(t *testing.T, g *gate) {
		token := g.forger.token(t, nil)
		forged := http.Header{"X-Amzn-Oidc-Data": {token}, "X-Amzn-Oidc-Identity": {"mallory"}, "X-Amzn-Oidc-Accesstoken": {"mallory"}, "x_amzn_oidc_data": {token}, "X_AMZN_OIDC_DATA": {token}, "x-amzn-oidc_data": {token}}
		b := g.browser(t, "alice")
		with(t, b, http.MethodGet, b.info.URL, "", "", forged)
		sentToSignIn(t, b)
		with(t, g.alice, http.MethodGet, g.alice.info.URL, "", "", forged)
		answered(t, g.alice, http.StatusOK, "alice@corp.example")
		if strings.Contains(string(g.alice.page.body), "mallory") {
			t.Error("with a session: the page knows mallory")
		}
		g.told(t, `"hop"`, `"alb"`, "redirected to sign in")
	}},
	{"a Connection header that names the load balancer's token", "a session, and wants the token dropped on the way, as a hop's own", func(t *testing.T, g *gate) {
		answer := g.raw(t, "GET /api/v1/endpoints/office HTTP/1.1\nHost: "+strings.TrimPrefix(at(g.alice, ""), "https://")+"\nCookie: "+g.cookies(t, g.alice)+"\nConnection: close, X-Amzn-Oidc-Data, X-Forwarded-For\n\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
			t.Errorf("answered %s", answer)
		}
		g.told(t, `"hop"`, `"alb"`, `"status":200`)
	}},
	{"a made-up session cookie", "the cookie's name, and no key that it is encrypted with", func(t *testing.T, g *gate) {
		real := regexp.MustCompile(`AWSELBAuthSessionCookie-0=([^;]+)`).FindStringSubmatch(g.cookies(t, g.alice))[1]
		for _, value := range []string{"x", strings.Repeat("A", len(real)), real[:len(real)-8] + "AAAAAAAA", "A" + real[1:], real + real} {
			b := g.browser(t, "alice")
			with(t, b, http.MethodGet, b.info.URL, "", "", http.Header{"Cookie": {"AWSELBAuthSessionCookie-0=" + value}})
			sentToSignIn(t, b)
			g.outside(t, b)
		}
		g.told(t, `"refused"`, `"alb"`, "AuthInvalidCookie")
	}},
	{"a sign-in that another browser began", "a sign-in of their own, short of its last redirect, and a victim who follows that; wants them signed in as the attacker", func(t *testing.T, g *gate) {
		mallory, victim := g.again(t, g.alice), g.browser(t, "bob")
		g.toAssertion(t, mallory)
		walk(t, mallory.assertion)
		to, err := mallory.page.Location()
		if err != nil {
			t.Fatal(err)
		}
		walk(t, victim.arrive)
		if err := victim.send(http.MethodGet, to.String(), "", nil); err != nil {
			t.Fatal(err)
		}
		answered(t, victim, http.StatusUnauthorized, "401 Authorization Required")
		if slices.ContainsFunc(victim.page.Cookies(), func(c *http.Cookie) bool { return strings.HasPrefix(c.Name, "AWSELBAuthSession") }) {
			t.Error("the victim was signed in as somebody else")
		}
		g.told(t, `"refused"`, "AuthInvalidAWSALBAuthNonce")
		g.outside(t, victim)
	}},
	{"a state that is missing, altered or another's", "the callback's address and a code; wants a sign-in that no browser of ours began", func(t *testing.T, g *gate) {
		b := g.again(t, g.alice)
		g.toAssertion(t, b)
		walk(t, b.assertion)
		to, err := b.page.Location()
		if err != nil {
			t.Fatal(err)
		}
		code, state := to.Query().Get("code"), to.Query().Get("state")
		for query, why := range map[string]string{
			"code=" + code:             "AuthMissingStateParam",
			"code=" + code + "&state=": "AuthMissingStateParam",
			"code=" + code + "&state=" + state[:20] + "AAAA":      "AuthInvalidStateParam",
			"state=" + url.QueryEscape(state):                     "AuthMissingCodeParam",
			"error=access_denied&state=" + url.QueryEscape(state): "IdPDeniedAccess",
		} {
			g.since = len(g.logText(t))
			if err := b.send(http.MethodGet, at(b, "/oauth2/idpresponse?"+query), "", nil); err != nil {
				t.Fatal(err)
			}
			answered(t, b, http.StatusUnauthorized, "401 Authorization Required")
			g.told(t, `"refused"`, `"alb"`, why)
		}
		g.outside(t, b)
	}},
	{"an authorization code used twice", "a callback's address from somebody's history, or a log that it stood in", func(t *testing.T, g *gate) {
		b := g.again(t, g.alice)
		g.toAssertion(t, b)
		walk(t, b.assertion)
		to, err := b.page.Location()
		if err != nil {
			t.Fatal(err)
		}
		walk(t, b.callback)
		if err := b.send(http.MethodGet, to.String(), "", nil); err != nil {
			t.Fatal(err)
		}
		answered(t, b, http.StatusUnauthorized, "401 Authorization Required")
		g.told(t, `"refused"`, "the state was used before")

		var pool struct {
			Data struct{ ClientID, ClientSecret string }
		}
		g.read(t, "cognito.state.json", &pool)
		form := url.Values{"grant_type": {"authorization_code"}, "code": {to.Query().Get("code")}, "redirect_uri": {at(b, "/oauth2/idpresponse")},
			"client_id": {pool.Data.ClientID}, "client_secret": {pool.Data.ClientSecret}}
		if err := b.send(http.MethodPost, g.url("https", "cognito.localhost", "cognito")+"/oauth2/token", asForm, strings.NewReader(form.Encode())); err != nil {
			t.Fatal(err)
		}
		answered(t, b, http.StatusBadRequest, `"invalid_grant"`)
		g.told(t, `"refused"`, "the code was used before")
	}},
	{"a foreign redirect URI", "a link to the pool's sign-in that leads to a site of theirs with the code; or a name of theirs for our load balancer", func(t *testing.T, g *gate) {
		b := g.browser(t, "alice")
		walk(t, b.arrive)
		to, err := b.page.Location()
		if err != nil {
			t.Fatal(err)
		}
		for _, foreign := range []string{"https://evil.example/", at(b, "/oauth2/idpresponse") + "/../x", at(b, "/oauth2/idpresponse") + "@evil.example", strings.ToUpper(at(b, "/oauth2/idpresponse"))} {
			q := to.Query()
			q.Set("redirect_uri", foreign)
			to.RawQuery = q.Encode()
			g.since = len(g.logText(t))
			if err := b.send(http.MethodGet, to.String(), "", nil); err != nil {
				t.Fatal(err)
			}
			answered(t, b, http.StatusBadRequest, "redirect_mismatch", "You have not been sent there")
			g.told(t, `"refused"`, "redirect_uri is not registered")
		}
		// The load balancer makes the redirect URI of the Host that it was asked by.
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.info.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "evil.example"
		resp, err := b.browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		b.page = &page{Response: resp}
		if err := b.follow(); err != nil {
			t.Fatal(err)
		}
		answered(t, b, http.StatusBadRequest, "redirect_mismatch")
		g.outside(t, b)
	}},
	{"an altered SAML response", "a signed response of their own, and wants another person in it", func(t *testing.T, g *gate) {
		signature, assertion := regexp.MustCompile(`(?s)<ds:Signature.*?</ds:Signature>`), regexp.MustCompile(`(?s)<saml:Assertion.*</saml:Assertion>`)
		bob := func(raw []byte) []byte { return bytes.ReplaceAll(raw, []byte("alice@"), []byte("bob@")) }
		for name, alter := range map[string]func([]byte) []byte{
			"another person":   bob,
			"a comment inside": func(raw []byte) []byte { return bytes.ReplaceAll(raw, []byte("alice@"), []byte("al<!---->ice@")) },
			"an entity": func(raw []byte) []byte {
				return append([]byte(`<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`), bytes.ReplaceAll(raw, []byte("alice@"), []byte("&e;@"))...)
			},
			"no signature":                 func(raw []byte) []byte { return signature.ReplaceAll(raw, nil) },
			"no signature, another person": func(raw []byte) []byte { return bob(signature.ReplaceAll(raw, nil)) },
			"two assertions": func(raw []byte) []byte {
				return assertion.ReplaceAllFunc(raw, func(a []byte) []byte { return append(bob(a), a...) })
			},
			"one wrapped in another": func(raw []byte) []byte {
				return assertion.ReplaceAllFunc(raw, func(a []byte) []byte {
					return bytes.Replace(bob(a), []byte("</saml:Assertion>"), append(slices.Clone(a), "</saml:Assertion>"...), 1)
				})
			},
		} {
			b := g.again(t, g.alice)
			response, relay := g.toAssertion(t, b)
			raw, err := base64.StdEncoding.DecodeString(response)
			if err != nil {
				t.Fatal(err)
			}
			altered := alter(slices.Clone(raw))
			if bytes.Equal(altered, raw) {
				t.Fatalf("%s: nothing was altered", name)
			}
			g.sendSAML(t, b, base64.StdEncoding.EncodeToString(altered), relay)
			to, err := b.page.Location()
			if err != nil || to.Query().Get("error") != "server_error" || to.Query().Has("code") {
				t.Fatalf("%s: not sent back with an error: %s", name, b.page.says())
			}
			if err := b.follow(); err != nil {
				t.Fatal(err)
			}
			answered(t, b, 561, "561 Authentication Error")
			g.outside(t, b)
		}
		g.told(t, `"refused"`, `"cognito"`, "Invalid SAML response received")
		g.told(t, `"refused"`, `"alb"`, "IdPReturnedError")
	}},
	{"a replayed SAML response", "a response that was used, or is another sign-in's, and wants to use it", func(t *testing.T, g *gate) {
		b := g.again(t, g.alice)
		response, relay := g.toAssertion(t, b)
		walk(t, b.assertion)
		g.since = len(g.logText(t))
		g.sendSAML(t, b, response, relay)
		answered(t, b, http.StatusBadRequest, "Invalid samlResponse or relayState", "Open the application itself")
		g.told(t, `"refused"`, "Invalid samlResponse or relayState")

		// An unused one, with the relay state of another sign-in of the same browser, and of another browser's.
		c := g.again(t, g.alice)
		response, _ = g.toAssertion(t, c)
		_, second := g.toAssertion(t, c)
		_, foreign := g.toAssertion(t, g.again(t, g.alice))
		for relay, why := range map[string]string{second: "does not answer the request that was sent", foreign: "Invalid samlResponse or relayState"} {
			g.since = len(g.logText(t))
			g.sendSAML(t, c, response, relay)
			if to, err := c.page.Location(); err == nil && to.Query().Has("code") {
				t.Error("a response was accepted with another sign-in's relay state")
			}
			g.told(t, `"refused"`, why)
		}
		g.outside(t, c)
	}},
}

// sendSAML posts a response to the pool.
func (g *gate) sendSAML(t *testing.T, b *tourist, response, relay string) {
	t.Helper()
	form := url.Values{"SAMLResponse": {response}, "RelayState": {relay}}
	if err := b.send(http.MethodPost, g.url("https", "cognito.localhost", "cognito")+"/saml2/idpresponse", asForm, strings.NewReader(form.Encode())); err != nil {
		t.Fatal(err)
	}
}

// albRules are people whom the load balancer signs in, whose groups are not what they look like.
var albRules = []attack{
	{"a twin of a group", "a group of their own, whose name or identifier resembles one that may open; wants the comparison to be a loose one", func(t *testing.T, g *gate) {
		sid := strings.TrimPrefix(g.forger.staff, demoDomain+"//")
		wide := strings.Replace(sid, "1", "１", 1)
		for i, groups := range []any{strings.ToLower(sid), sid + "0", sid[:len(sid)-1], sid + "-1", "S-1-5-21", wide, sid + "\u200b", "\u00a0" + sid, "vpn-users", groupUsers, "VPN USERS", "CN=" + sid, sid + "//" + sid + "x", "//", `"` + sid, []string{strings.ToLower(sid)}, []any{[]string{sid}}, nil, ""} {
			g.notAMember(t, fmt.Sprint("mallory-of-a-twin-", i), groups)
		}
		g.told(t, `"refused"`, `"forbidden"`)
	}},
	{"a group list that was cut", "so many groups that their list fills an attribute; wants what cannot be seen of it to be taken for what is wanted, or not to be there", func(t *testing.T, g *gate) {
		list := func(length int) string {
			s := "[" + g.forger.staff
			for len(s) < length-100 {
				s += ", " + strings.Repeat("x", 40)
			}
			return s + ", " + strings.Repeat("y", length-len(s)-3) + "]"
		}
		whole := g.forger.of(t, map[string]any{"sub": "member-of-much", groupsClaim: list(2047)})
		g.straight(t, request{method: http.MethodGet, path: "/api/v1/endpoints/office", header: whole}).want(t, http.StatusOK)
		for i, groups := range []any{list(2048), list(2049), list(8000), strings.TrimSuffix(list(500), "]"), list(2048)[:2047], map[string]bool{g.forger.staff: true}, 7, true, []any{g.forger.staff, 7}, slices.Repeat([]string{"x"}, 1001), []string{g.forger.staff, strings.Repeat("x", 300)}, "[" + g.forger.staff + "\n]"} {
			g.notAMember(t, fmt.Sprint("mallory-of-a-cut-", i), groups)
		}
		g.told(t, `"refused"`, "denied.groups")
	}},
}

// notAMember: whoever the load balancer signs these groups for may neither see nor open.
func (g *gate) notAMember(t *testing.T, sub string, groups any) {
	t.Helper()
	header := g.forger.of(t, map[string]any{"sub": sub, groupsClaim: groups})
	g.straight(t, request{method: http.MethodGet, path: "/api/v1/endpoints/office", header: header}).want(t, http.StatusForbidden, "urn:nightlatch:problem:forbidden", "it@corp.example")
	g.straight(t, opens(header)).want(t, http.StatusForbidden, "urn:nightlatch:problem:forbidden")
	g.told(t, `"msg":"audit"`, `"subject":"`+sub+`"`, `"action":"open.refused"`)
}

// albLast are those on the function and the demo that need the load balancer's word, or use up what others need.
var albLast = []attack{
	{"markup in a name", "an account whose name is a script, or turns text around; wants it run in an administrator's browser", func(t *testing.T, g *gate) {
		const script = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
		r := g.straight(t, request{method: http.MethodGet, path: "/", header: g.forger.of(t, map[string]any{"sub": "mallory", "name": script + "\x1b[2J\u202e", "email": script})})
		r.want(t, http.StatusOK, "&lt;script&gt;")
		if strings.Contains(r.body, "<script>alert") || strings.Contains(r.body, "<img") || strings.ContainsFunc(r.body, func(c rune) bool { return c != '\n' && obeyed(c) }) {
			t.Errorf("the page holds the name as it is: %s", r.body)
		}
		g.straight(t, request{method: http.MethodGet, path: "/", header: g.forger.of(t, map[string]any{"name": strings.Repeat("가", 3000)})}).want(t, http.StatusOK, strings.Repeat("가", 100)+"…")
		with(t, g.alice, http.MethodGet, at(g.alice, "/endpoints/"+url.PathEscape(script)), "", "", nil)
		answered(t, g.alice, http.StatusNotFound)
		if strings.Contains(string(g.alice.page.body), "<script>alert") {
			t.Error("the page repeats the path as it is")
		}
		g.told(t, `"not done"`, "no-such-endpoint")
	}},
	{"a request beyond the load balancer's limits", "an account, a body of a megabyte and headers without end; wants the function to read them", func(t *testing.T, g *gate) {
		with(t, g.bob, http.MethodPost, at(g.bob, "/api/v1/endpoints/office/open"), asJSON, strings.Repeat(" ", 1<<20+1), nil)
		answered(t, g.bob, http.StatusRequestEntityTooLarge, "413 Request Entity Too Large")
		with(t, g.bob, http.MethodGet, at(g.bob, "/"), "", "", http.Header{"X-Big": slices.Repeat([]string{strings.Repeat("x", 13<<10)}, 5)})
		answered(t, g.bob, http.StatusBadRequest)
		if n := g.invocations(t); n > 0 {
			t.Errorf("%d invocations of the function, want none", n)
		}
		g.told(t, `"refused"`, `"alb"`, "more than 1 MB")
		g.told(t, `"refused"`, `"alb"`, "HeadersTooLong")
	}},
	{"the demo's console by another site or name", "a page that the demo's owner visits, or a name of theirs that leads to 127.0.0.1", func(t *testing.T, g *gate) {
		for _, path := range []string{"act/break", "api/breaks/alb", "api/clients"} {
			with(t, g.alice, http.MethodPost, g.info.ConsoleURL+path, asForm, "name=alb&on=true", http.Header{"Origin": {"https://evil.example"}})
			answered(t, g.alice, http.StatusForbidden, "another web site")
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, g.info.ConsoleURL+"api/state", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "rebound.example"
		resp, err := g.alice.browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("answered %s", resp.Status)
		}
		g.told(t, `"refused"`, `"console"`)
	}},
	{"invented key ids by the hundred", "the right to invoke the function, and wants the key server flooded, or good keys pushed out", func(t *testing.T, g *gate) {
		before := g.keys.fetches()
		refused := map[int]int{}
		for i := range 100 {
			kid := fmt.Sprintf("00000000-0000-4000-8000-%012d", i)
			refused[g.straight(t, opens(map[string][]string{"x-amzn-oidc-data": {g.forger.token(t, func(x *token) { x.header["kid"], x.sign = kid, es256(g.forger.other.key) })}})).status]++
		}
		if n := g.keys.fetches() - before; n > 10 {
			t.Errorf("the key server was asked %d times, want at most 10 a minute", n)
		}
		if refused[http.StatusUnauthorized]+refused[http.StatusServiceUnavailable] != 100 {
			t.Errorf("answered %v, want 401 and 503 alone", refused)
		}
		g.told(t, `"failed"`, "unknown keys in a minute")
	}},
	{"slow headers and slow bodies", "a hundred connections, an account, and all day; wants nobody else to be served", func(t *testing.T, g *gate) {
		host := strings.TrimPrefix(at(g.bob, ""), "https://")
		body := "POST /api/v1/endpoints/office/open HTTP/1.1\r\nHost: " + host + "\r\nCookie: " + g.cookies(t, g.bob) + "\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n{"
		cut := make(chan struct{}, 100)
		for i := range 100 {
			c := g.dial(t)
			defer c.Close()
			half := body
			if i%2 == 0 {
				half = body[:60]
			}
			if _, err := io.WriteString(c, half); err != nil {
				t.Fatal(err)
			}
			go func() {
				io.Copy(io.Discard, c)
				cut <- struct{}{}
			}()
		}
		g.since = len(g.logText(t))
		for range 3 {
			began := time.Now()
			g.seen(t, g.alice)
			if took := time.Since(began); took > 5*time.Second { // a slow machine's
				t.Errorf("alice waited %v", took)
			}
		}
		if n := g.invocations(t); n > 3 {
			t.Errorf("%d invocations of the function, want alice's 3: a request that is not whole is nobody's business yet", n)
		}
		late := time.After(20 * time.Second)
		for n := range 100 {
			select {
			case <-cut:
			case <-late:
				t.Fatalf("%d of 100 connections were cut in 20 s", n)
			}
		}
		g.told(t, `"refused"`, `"alb"`, "RequestTimeout")
	}},
}

// albWhileOpen is what is tried by people whom the load balancer signs in, while alice has the endpoint open.
var albWhileOpen = []attack{
	{"a twin of a person, by case, by Unicode or by what is shown", "an account whose subject, name or address resembles alice's; wants to be taken for her", func(t *testing.T, g *gate) {
		wide := strings.Map(func(r rune) rune {
			if r >= '0' && r <= '9' {
				return r - '0' + '０'
			}
			return r
		}, g.subject)
		for _, claims := range []map[string]any{
			{"sub": strings.ToUpper(g.subject)}, {"sub": wide}, {"sub": g.subject + "\u200b"}, {"sub": g.subject + " "}, {"sub": " " + g.subject}, {"sub": g.subject + "@corp.example"}, {"sub": "\ufeff" + g.subject}, {"sub": strings.Replace(g.subject, "-", "‐", 1)},
			{"sub": strings.Replace(g.subject, "a", "а", 1) + "\u0301"}, {"sub": "mallory", "username": g.subject, "preferred_username": g.subject, "cognito:username": g.subject},
		} {
			claims["email"], claims["name"], claims["email_verified"] = "alice@corp.example", "alice@corp.example", "true"
			if !access.IsSubject(latch.Subject(claims["sub"].(string))) {
				g.straight(t, request{method: http.MethodGet, path: "/api/v1/endpoints/office", header: g.forger.of(t, claims)}).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:sign-in-refused")
				continue
			}
			g.stranger(t, claims)
		}
	}},
	{"a name with more than one at sign", "an account whose address ends in our domain and in theirs; wants a rule that looks for ours", func(t *testing.T, g *gate) {
		for i, email := range []string{"alice@corp.example@evil.example", "mallory@evil.example@corp.example", `"alice@corp.example"@evil.example`, "alice@corp.example\x00@evil.example", "alice@corp.example, mallory@evil.example", "@", "alice@corp.example\n@evil.example"} {
			g.stranger(t, map[string]any{"sub": fmt.Sprint("mallory-", i), "email": email, "username": email, "email_verified": true})
		}
	}},
}

// stranger: whoever the load balancer signs these claims for has nothing of alice's.
func (g *gate) stranger(t *testing.T, claims map[string]any) {
	t.Helper()
	header := g.forger.of(t, claims)
	var h held
	r := g.straight(t, request{method: http.MethodGet, path: "/api/v1/endpoints/office", header: header})
	if err := json.Unmarshal([]byte(r.body), &h); err != nil || r.status != http.StatusOK || h.Mine != nil || h.Others != 1 {
		t.Errorf("%v: sees %d %s (%v), want a lease of somebody else's", claims, r.status, r.body, err)
	}
	for action, body := range map[string]string{"done": "", "extend": `{"for":"1m"}`} {
		g.straight(t, request{method: http.MethodPost, path: "/api/v1/endpoints/office/" + action, body: body, header: header}).want(t, http.StatusConflict, "urn:nightlatch:problem:no-lease")
	}
	g.told(t, `"not done"`, "no-lease")
}
