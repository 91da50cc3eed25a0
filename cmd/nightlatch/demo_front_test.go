//go:build !lambda

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/big"
	"net"
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

	"github.com/golang-jwt/jwt/v5"

	"github.com/nightlatch/nightlatch/internal/standin/certs"
)

func TestFrontFlags(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // what should be refused and is not must not run for ever
	for line, want := range map[string]string{
		"--front nginx":                                                                                               "choose alb or httpapi",
		"--front httpapi --sabotage key-server":                                                                       "nothing of the kind with --front httpapi; choose one of httpapi, cognito, issuer-keys",
		"--front httpapi --sabotage clock-alb":                                                                        "nothing of the kind with --front httpapi",
		"--sabotage httpapi":                                                                                          "nothing of the kind with --front alb; choose one of alb, cognito",
		"--sabotage nothing":                                                                                          "--sabotage nothing: choose one of alb, cognito",
		"--oidc-issuer https://idp.localhost:9443":                                                                    "--oidc-issuer is for --front httpapi",
		"--front httpapi --oidc-client-id x":                                                                          "name it with --oidc-issuer",
		"--front httpapi --oidc-ca x":                                                                                 "name it with --oidc-issuer",
		"--front httpapi --oidc-issuer https://127.0.0.1:1":                                                           "needs --oidc-client-id",
		"--front httpapi --oidc-client-id x --oidc-issuer http://127.0.0.1:1":                                         "want https and a name on this machine",
		"--front httpapi --oidc-client-id x --oidc-issuer https://login.example.com":                                  "want https and a name on this machine",
		"--front httpapi --oidc-client-id x --oidc-issuer https://localhost.example.com":                              "want https and a name on this machine",
		"--front httpapi --oidc-client-id x --oidc-issuer https://10.0.0.1":                                           "want https and a name on this machine",
		"--front httpapi --oidc-client-id x --oidc-issuer https://a@idp.localhost":                                    "want https and a name on this machine",
		"--front httpapi --oidc-client-id x --oidc-issuer https://idp.localhost?x":                                    "want https and a name on this machine",
		"--front httpapi --oidc-client-id x --oidc-issuer https://idp.localhost --tour":                               "leave out --oidc-issuer, or --tour",
		"--front httpapi --oidc-client-id x --oidc-issuer https://[::1]:1 --saml-metadata " + "https://idp.example/m": "leave one of them out",
	} {
		args := append([]string{"demo", "--dir", t.TempDir()}, strings.Fields(line)...)
		err := run(ctx, args, func(string) string { return "" }, io.Discard, io.Discard)
		if !errors.Is(err, errUsage) || !strings.Contains(err.Error(), want) {
			t.Errorf("demo %s: %v, want a usage error that says %q", line, err, want)
		}
	}
}

// What one front leaves in the folder is of use to the other, and in nobody's way.
func TestOneFolderForBothFronts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var before demoState
	var arn, pool string
	for i, front := range []string{frontHTTPAPI, frontALB, frontHTTPAPI, frontALB} {
		o := options(t, dir)
		o.front.name = front
		var out bytes.Buffer
		o.stdout = &out
		d := start(t, o, newSecrets())
		d.greet()
		var info map[string]any
		d.read(t, "demo.json", &info)
		if info["front"] != front || info["url"] != d.url("https", "vpn.localhost", front)+"/" || len(d.info.Users) == 0 {
			t.Errorf("%d: demo.json has %v, want the front %s and its address", i, info, front)
		}
		if strings.Contains(out.String(), "HTTP API") != (front == frontHTTPAPI) {
			t.Errorf("%s: the greeting says\n%s", front, &out)
		}
		written, err := os.ReadFile(filepath.Join(d.function, "nightlatch.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		if alb, oidc := strings.Contains(string(written), "\n  alb:\n"), strings.Contains(string(written), "\n  oidc:\n"); alb != (front == frontALB) || oidc != (front == frontHTTPAPI) {
			t.Errorf("%s: the functions are configured with\n%s", front, written)
		}
		if front == frontHTTPAPI && !strings.Contains(string(written), "redirect_url: "+d.url("https", "vpn.localhost", front)+"/oauth2/callback\n") {
			t.Errorf("the redirect URL is not the callback:\n%s", written)
		}
		if strings.Contains(string(written), d.pool.ClientSecret()) {
			t.Error("the configuration holds the client's secret")
		}
		if i > 0 && (d.state.AccessKeyID != before.AccessKeyID || d.state.Passwords["alice"] != before.Passwords["alice"] || d.pool.ClientID() != pool) {
			t.Errorf("%s: keys, passwords or the user pool's client are others than before", front)
		}
		if front == frontALB {
			if arn != "" && d.alb.ARN() != arn {
				t.Errorf("the load balancer was %s and is %s", arn, d.alb.ARN())
			}
			arn = d.alb.ARN()
		}
		// The console shows this front's chain and no other's.
		var state struct {
			Chain       struct{ Front string }
			Breaks      []struct{ Name string }
			Unconfirmed []struct{ Name string }
			Chores      []struct{ Name string }
		}
		if err := d.browser(t, "alice").console(http.MethodGet, "state", nil, &state); err != nil {
			t.Fatal(err)
		}
		shown := fmt.Sprint(state)
		other := map[string]string{frontALB: frontHTTPAPI, frontHTTPAPI: frontALB}[front]
		if !strings.Contains(shown, front+".") || strings.Contains(shown, "{"+other) || strings.Contains(shown, "rotate-key") != (front == frontALB) || strings.Contains(shown, "issuer-keys") != (front == frontHTTPAPI) {
			t.Errorf("%s: the console offers %s", front, shown)
		}
		before, pool = d.state, d.pool.ClientID()
		d.stop(t)
	}
}

// slow opens a connection to the front as a browser would, sends no more than the beginning of a request, and returns what
// comes back and when; status 0 is a connection that is closed without a word.
func (d *running) slow(beginning string) (status int, after time.Duration, err error) {
	c, err := tls.Dial("tcp", d.listeners[d.o.front.name].Addr().String(), &tls.Config{RootCAs: d.ca.Pool(), ServerName: "vpn.localhost", MinVersion: tls.VersionTLS12})
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	began := time.Now()
	if _, err := io.WriteString(c, beginning); err != nil {
		return 0, 0, err
	}
	c.SetReadDeadline(began.Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	after = time.Since(began)
	if late, ok := errors.AsType[net.Error](err); ok && late.Timeout() {
		return 0, after, errors.New("nothing came back, and the connection stayed open")
	}
	if err != nil {
		return 0, after, nil
	}
	resp.Body.Close()
	return resp.StatusCode, after, nil
}

// A client that is slow costs nobody but itself: its connection ends in time, and no function is invoked for it.
func TestSlowClients(t *testing.T) {
	t.Parallel()
	for _, front := range []string{frontALB, frontHTTPAPI} {
		t.Run(front, func(t *testing.T) {
			t.Parallel()
			o := options(t, t.TempDir())
			o.front.name, o.patience = front, time.Second
			d := start(t, o, newSecrets())
			var cookie strings.Builder
			if front == frontALB { // which asks who it is before it reads a body
				b := d.browser(t, "alice")
				d.signIn(t, b)
				site, err := url.Parse(d.info.URL)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range b.browser.Jar.Cookies(site) {
					cookie.WriteString(c.Name + "=" + c.Value + "; ")
				}
			}
			head := "POST /api/v1/endpoints/office/open HTTP/1.1\r\nHost: vpn.localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nCookie: " + cookie.String() + "x=1\r\n"
			skip := len(d.logText(t))
			var clients sync.WaitGroup
			for name, c := range map[string]struct {
				beginning string
				status    int
			}{
				"half a body":   {head + "\r\n{\"for\":", http.StatusRequestTimeout},
				"no body":       {head + "\r\n", http.StatusRequestTimeout},
				"half a header": {head, 0},
				"half a line":   {"POST /api/v1", http.StatusBadRequest}, // net/http takes it for a whole one
				"nothing":       {"", 0},
			} {
				clients.Go(func() {
					status, after, err := d.slow(c.beginning)
					if err != nil || status != c.status || after < 900*time.Millisecond || after > 10*time.Second {
						t.Errorf("%s: answered %d after %v, %v; want %d after a second", name, status, after, err, c.status)
					}
				})
			}
			clients.Wait()
			const invoked = `"what":"Invoke nightlatch"`
			if strings.Contains(d.logText(t)[skip:], invoked) {
				t.Error("the function was invoked for somebody who had not said what they want")
			}
			if status, _, err := d.slow(head + "\r\n" + strings.Repeat(" ", 100)); err != nil || status == http.StatusRequestTimeout || !strings.Contains(d.logText(t)[skip:], invoked) {
				t.Errorf("a whole request: %d, %v; want it to reach the function", status, err)
			}
			d.stop(t)
		})
	}
}

// issuer is an OpenID provider that signs everybody in as Kim at once.
type issuer struct {
	url, secret string
	key         *rsa.PrivateKey

	mu   sync.Mutex // guards what follows
	last url.Values // of the last authorization request
	lie  lie        // nil: it is honest
}

// lie makes an ID token of the claims that an honest issuer would sign.
type lie func(i *issuer, honest jwt.MapClaims) string

// signed is a token as the issuer signs it.
func (i *issuer) signed(claims jwt.MapClaims) string {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	token.Header["kid"] = "key-1"
	signed, err := token.SignedString(i.key)
	if err != nil {
		panic(err) // our own key
	}
	return signed
}

// newIssuer starts one on this machine, whose CA is in a file.
func newIssuer(t *testing.T) (i *issuer, ca string) {
	t.Helper()
	authority, err := certs.New("", []string{"localhost"})
	if err != nil {
		t.Fatal(err)
	}
	ca = filepath.Join(t.TempDir(), "idp.pem")
	if err := authority.WriteFile(ca); err != nil {
		t.Fatal(err)
	}
	i = &issuer{secret: "CANARY-of-the-client"}
	if i.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(i)
	if server.TLS, err = authority.Server("idp.localhost"); err != nil {
		t.Fatal(err)
	}
	server.StartTLS()
	t.Cleanup(server.Close)
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	i.url = "https://idp.localhost:" + port + "/realm"
	return i, ca
}

// toCallback leads a browser through a foreign issuer that asks nothing, to the address that it sends it back to.
func (d *running) toCallback(t *testing.T, b *tourist, ca string) *url.URL {
	t.Helper()
	roots := d.ca.Pool()
	if pem, err := os.ReadFile(ca); err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	b.browser.Transport.(noting).RoundTripper.(*http.Transport).TLSClientConfig.RootCAs = roots
	for _, address := range []string{b.info.URL, ""} { // to the provider, and from it
		if address == "" {
			next, err := b.page.Location()
			if err != nil {
				t.Fatalf("not sent to sign in: %s", b.page.says())
			}
			address = next.String()
		}
		if err := b.visit(http.MethodGet, address, "", nil); err != nil {
			t.Fatal(err)
		}
	}
	next, err := b.page.Location()
	if err != nil || next.Path != "/oauth2/callback" {
		t.Fatalf("the provider sends to %v, %v: %s", next, err, b.page.says())
	}
	return next
}

func (i *issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	says := func(v any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	switch "https://" + r.Host + r.URL.Path {
	case i.url + "/.well-known/openid-configuration":
		says(map[string]any{"issuer": i.url, "authorization_endpoint": i.url + "/authorize", "token_endpoint": i.url + "/token", "jwks_uri": i.url + "/keys",
			"end_session_endpoint": i.url + "/logout", "response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"RS256"}})
	case i.url + "/authorize":
		i.last = r.URL.Query()
		http.Redirect(w, r, i.last.Get("redirect_uri")+"?"+url.Values{"code": {"code-1"}, "state": {i.last.Get("state")}}.Encode(), http.StatusFound)
	case i.url + "/token":
		_, secret, _ := r.BasicAuth()
		proof := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
		if secret != i.secret || r.PostFormValue("code") != "code-1" || base64.RawURLEncoding.EncodeToString(proof[:]) != i.last.Get("code_challenge") {
			http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
			return
		}
		now := time.Now().Unix()
		claims := jwt.MapClaims{"iss": i.url, "aud": i.last.Get("client_id"), "sub": "kim-1", "email": "kim@idp.example", "name": "Kim", "nonce": i.last.Get("nonce"), "iat": now, "exp": now + 300}
		tell := (*issuer).signed
		if i.lie != nil {
			tell = i.lie
		}
		says(map[string]any{"access_token": "opaque", "token_type": "Bearer", "expires_in": 300, "id_token": tell(i, claims)})
	case i.url + "/keys":
		says(map[string]any{"keys": []any{map[string]string{"kty": "RSA", "kid": "key-1", "alg": "RS256", "use": "sig",
			"n": base64.RawURLEncoding.EncodeToString(i.key.N.Bytes()), "e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(i.key.E)).Bytes())}}})
	default:
		http.NotFound(w, r)
	}
}

// An OpenID provider of somebody else's, on this machine.
func TestForeignIssuer(t *testing.T) {
	t.Parallel()
	idp, ca := newIssuer(t)
	at, err := url.Parse(idp.url)
	if err != nil {
		t.Fatal(err)
	}
	port := at.Port()

	o := options(t, t.TempDir())
	var out bytes.Buffer
	o.stdout = &out
	o.front = frontOptions{name: frontHTTPAPI, issuer: idp.url, clientID: "client-1", ca: ca, secret: idp.secret}
	if err := o.check(true, true); err != nil {
		t.Fatal(err)
	}
	d := start(t, o, newSecrets())
	d.greet()
	var info struct {
		Users []demoUser
		OIDC  map[string]string `json:"oidc"`
	}
	d.read(t, "demo.json", &info)
	site := d.url("https", "vpn.localhost", frontHTTPAPI)
	if len(info.Users) > 0 || len(info.OIDC) != 2 || info.OIDC["redirect_url"] != site+"/oauth2/callback" || info.OIDC["logout_redirect_url"] != site+"/signed-out" {
		t.Errorf("demo.json has users %v and oidc %v, want nobody's password, and what the provider must know", info.Users, info.OIDC)
	}
	for _, want := range []string{idp.url, "client-1", site + "/oauth2/callback", site + "/signed-out"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the greeting does not say %s:\n%s", want, &out)
		}
	}
	written, err := os.ReadFile(filepath.Join(d.function, "nightlatch.yaml"))
	if err != nil || !strings.Contains(string(written), fmt.Sprintf("issuer: %q", idp.url)) || strings.Contains(string(written), "cognito") || strings.Contains(string(written), "CANARY") {
		t.Errorf("the functions are configured with (%v)\n%s", err, written)
	}

	t.Run("the functions' way out", func(t *testing.T) {
		trusted, err := d.trust(d.info.CAFile)
		if err != nil {
			t.Fatal(err)
		}
		client, ready := httpClient(func(name string) string { return map[string]string{"SSL_CERT_FILE": trusted}[name] })
		if err := ready(); err != nil {
			t.Fatal(err)
		}
		client.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: d.listeners["proxy"].Addr().String()})
		defer client.CloseIdleConnections()
		resp, err := client.Get(idp.url + "/keys")
		if err != nil {
			t.Fatalf("to the provider: %v", err)
		}
		resp.Body.Close()
		for _, other := range []string{"https://idp.localhost/", "https://other.localhost:" + port + "/", "https://localhost:" + port + "/", d.url("https", "cognito.localhost", "cognito") + "/", "https://example.com/"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, other, nil)
			if err != nil {
				t.Fatal(err)
			}
			if resp, err := client.Do(r); err == nil || !strings.Contains(err.Error(), "Forbidden") {
				t.Errorf("to %s: %v, %v; want it refused", other, resp, err)
			}
		}
	})

	t.Run("Kim signs in there", func(t *testing.T) {
		kim := d.browser(t, "kim")
		next := d.toCallback(t, kim, ca)
		if err := kim.visit(http.MethodGet, next.String(), "", nil); err != nil {
			t.Fatal(err)
		}
		answered(t, kim, http.StatusOK, "Kim", "VPN is off")
	})
	if strings.Contains(d.logText(t), "CANARY") {
		t.Error("the log holds the client's secret")
	}
	d.stop(t)

	o.front.ca = filepath.Join(o.dir, "demo.log")
	if err := demo(t.Context(), o, func(*world) error { return errors.New("it started") }); err == nil || !strings.Contains(err.Error(), "holds no PEM certificate") {
		t.Errorf("a CA file without a CA: %v", err)
	}
}

// A stranger, and somebody signed in who would like to be more, at the HTTP API and behind it.
func TestHTTPAPIAgainstBadInput(t *testing.T) {
	t.Parallel()
	s := newSecrets()
	o := options(t, t.TempDir())
	o.front.name = frontHTTPAPI
	d := start(t, o, s)
	const elsewhere = "203.0.113.66"
	spoofed := http.Header{"X-Forwarded-For": {elsewhere}, "X-Forwarded-Host": {"evil.example"}, "X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {"80"},
		"Forwarded": {"for=" + elsewhere + ";host=evil.example;proto=http"}, "X-Real-Ip": {elsewhere}, "X-Original-Url": {"/signed-out"}, "X-Rewrite-Url": {"/signed-out"}}
	// Every request of this browser carries them, those of the sign-in too.
	alice := d.browser(t, "alice")
	alice.browser.Transport = headed{alice.browser.Transport, spoofed}

	t.Run("forwarded-host spoofing", func(t *testing.T) {
		walk(t, alice.arrive)
		to, err := alice.page.Location()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := to.Query().Get("redirect_uri"), at(alice, "/oauth2/callback"); got != want {
			t.Errorf("the redirect URI is %s, want %s", got, want)
		}
		for _, c := range alice.browser.Jar.Cookies(alice.page.Request.URL) {
			if !strings.HasPrefix(c.Name, "__Host-") {
				t.Errorf("the cookie %s could be planted by a sibling site", c.Name)
			}
		}
		walk(t, alice.authorize, alice.signInPage, alice.password, alice.secondFactor, alice.assertion, alice.callback, alice.firstPage)
		with(t, alice, http.MethodPost, at(alice, "/api/v1/endpoints/office/open"), asJSON, `{"for":"1m","reason":"the test"}`, nil)
		answered(t, alice, http.StatusAccepted)
		if kept := string(contents(t, d.o.dir)["dynamodb.state.json"]); strings.Contains(kept, elsewhere) || !strings.Contains(kept, `127.0.0.1`) {
			t.Error("the table holds an address that the client made up, or not the one it has")
		}
		if strings.Contains(d.logText(t), elsewhere) || strings.Contains(d.logText(t), "evil.example") {
			t.Error("the log holds what the client made up")
		}
	})

	t.Run("another host", func(t *testing.T) {
		for _, host := range []string{"evil.example", "vpn.localhost.evil.example", "127.0.0.1", "cognito.localhost"} {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, alice.info.URL, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Host = host
			resp, err := alice.browser.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != http.StatusForbidden {
				t.Errorf("asked as %s: %s, want 403 of the gateway", host, resp.Status)
			}
		}
	})

	t.Run("headers of a load balancer", func(t *testing.T) {
		b := d.browser(t, "alice")
		with(t, b, http.MethodGet, at(b, "/api/v1/endpoints/office"), "", "", http.Header{"X-Amzn-Oidc-Data": {"eyJ0eXAiOiJKV1QifQ==.e30=.c2ln"}, "X-Amzn-Oidc-Identity": {"alice"}})
		answered(t, b, http.StatusUnauthorized, "urn:nightlatch:problem:signed-out")
	})

	// Whoever may invoke the function can say what they like, but for a session that there is.
	invoke := func(t *testing.T, event map[string]any) (status int, text string) {
		t.Helper()
		raw, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := alice.aws("lambda", http.MethodPost, "/2015-03-31/functions/nightlatch/invocations", asJSON, raw)
		if err != nil {
			t.Fatal(err)
		}
		var a struct {
			StatusCode         int
			Body, ErrorMessage string
		}
		if err := json.Unmarshal(answer, &a); err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, a.Body + a.ErrorMessage
	}
	event := func(edit func(headers, about map[string]any)) map[string]any {
		headers := map[string]any{"host": "vpn.localhost", "content-type": asJSON}
		about := map[string]any{"domainName": "vpn.localhost", "stage": "$default", "http": map[string]any{"method": "POST", "path": "/", "sourceIp": "127.0.0.1"}}
		edit(headers, about)
		return map[string]any{"version": "2.0", "rawPath": "/api/v1/endpoints/office/open", "rawQueryString": "", "headers": headers, "requestContext": about, "body": `{"for":"1m"}`, "isBase64Encoded": false}
	}
	for name, c := range map[string]struct {
		edit   func(headers, about map[string]any)
		status int
		say    string
	}{
		"without a session": {func(_, _ map[string]any) {}, 401, "signed-out"},
		"a header in its place": {func(h, _ map[string]any) {
			h["x-amzn-oidc-data"], h["x-amzn-oidc-identity"] = "e30=.e30=.e30=", "alice"
		}, 401, "signed-out"},
		"an authorizer in its place": {func(_, about map[string]any) {
			about["authorizer"] = map[string]any{"jwt": map[string]any{"claims": map[string]string{"sub": "alice"}, "scopes": []string{"openid"}}}
		}, 401, "signed-out"},
		"a session that is none": {func(h, _ map[string]any) { h["cookie"] = "__Host-nightlatch-session=AAAAAAAAAAAAAAAAAAAAAAAAAA" }, 401, "signed-out"},
		"another host":           {func(h, _ map[string]any) { h["host"] = "evil.example" }, 400, "not the domain"},
		"a load balancer's":      {func(_, about map[string]any) { clear(about); about["elb"] = map[string]string{"targetGroupArn": "arn"} }, 0, "it is a load balancer's"},
	} {
		t.Run("straight to the Lambda: "+name, func(t *testing.T) {
			if status, text := invoke(t, event(c.edit)); status != c.status || !strings.Contains(text, c.say) {
				t.Errorf("answered %d %s, want %d %s", status, text, c.status, c.say)
			}
		})
	}

	t.Run("too much", func(t *testing.T) {
		with(t, alice, http.MethodGet, alice.info.URL, "", "", http.Header{"X-Large": {strings.Repeat("x", 10<<10)}})
		answered(t, alice, http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large")
		with(t, alice, http.MethodPost, at(alice, "/api/v1/endpoints/office/extend"), asJSON, strings.Repeat(" ", 7<<20), nil)
		answered(t, alice, http.StatusRequestEntityTooLarge, `{"message":"Request Entity Too Large"}`)
		with(t, alice, http.MethodPost, at(alice, "/api/v1/endpoints/office/extend"), asJSON, strings.Repeat(" ", 1<<20), nil)
		answered(t, alice, http.StatusRequestEntityTooLarge, "urn:nightlatch:problem:too-big")
	})

	t.Run("signed out here and at the issuer", func(t *testing.T) {
		stolen := d.browser(t, "alice")
		stolen.browser.Jar.SetCookies(alice.page.Request.URL, alice.browser.Jar.Cookies(alice.page.Request.URL))
		with(t, stolen, http.MethodGet, at(stolen, "/api/v1/endpoints/office"), "", "", nil)
		answered(t, stolen, http.StatusOK)
		if err := alice.visit(http.MethodGet, alice.info.URL, "", nil); err != nil {
			t.Fatal(err)
		}
		page, err := alice.page.html()
		if err != nil {
			t.Fatal(err)
		}
		token := page.Find("form[action='/sign-out'] input[name='token']").AttrOr("value", "")
		if err := alice.send(http.MethodPost, at(alice, "/sign-out"), asForm, strings.NewReader(url.Values{"token": {token}}.Encode())); err != nil {
			t.Fatal(err)
		}
		for range 2 { // to the user pool, and back
			if err := alice.follow(); err != nil {
				t.Fatal(err)
			}
		}
		if alice.page.Request.URL.String() != at(alice, "/signed-out") {
			t.Errorf("signing out ends at %s", alice.page.Request.URL)
		}
		answered(t, alice, http.StatusOK)
		with(t, stolen, http.MethodGet, at(stolen, "/api/v1/endpoints/office"), "", "", nil)
		answered(t, stolen, http.StatusUnauthorized, "signed-out")
	})

	d.stop(t)
	s.check(t, "the log", d.logText(t))
	s.mu.Lock()
	decoded := strings.Join(slices.Collect(maps.Keys(s.decoded)), "\n")
	s.mu.Unlock()
	s.check(t, "a decoded message", decoded)
	if !strings.Contains(decoded, `"rawPath": "/oauth2/callback"`) {
		t.Error("no decoded message shows an event of the HTTP API, so nothing was looked for in one")
	}
}

// headed adds headers to every request.
type headed struct {
	http.RoundTripper
	header http.Header
}

func (h headed) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	maps.Copy(r.Header, h.header)
	return h.RoundTripper.RoundTrip(r)
}
