//go:build !lambda

package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFrontFlags(t *testing.T) {
	t.Parallel()
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
		err := run(t.Context(), args, func(string) string { return "" }, io.Discard, io.Discard)
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
			cookie := ""
			if front == frontALB { // which asks who it is before it reads a body
				b := d.browser(t, "alice")
				d.signIn(t, b)
				site, err := url.Parse(d.info.URL)
				if err != nil {
					t.Fatal(err)
				}
				for _, c := range b.browser.Jar.Cookies(site) {
					cookie += c.Name + "=" + c.Value + "; "
				}
			}
			head := "POST /api/v1/endpoints/office/open HTTP/1.1\r\nHost: vpn.localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\nCookie: " + cookie + "x=1\r\n"
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

// An OpenID provider of somebody else's, on this machine.
func TestForeignIssuer(t *testing.T) {
	t.Parallel()
	idp := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "the provider, asked for ", r.URL.Path) }))
	defer idp.Close()
	ca := filepath.Join(t.TempDir(), "idp.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: idp.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(idp.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	o := options(t, t.TempDir())
	var out bytes.Buffer
	o.stdout = &out
	o.front = frontOptions{name: frontHTTPAPI, issuer: "https://idp.localhost:" + port + "/realm", clientID: "client-1", ca: ca, secret: "CANARY-of-the-client"}
	if err := o.check(true, true); err != nil {
		t.Fatal(err)
	}
	s := newSecrets()
	d := start(t, o, s)
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
	for _, want := range []string{o.front.issuer, "client-1", site + "/oauth2/callback", site + "/signed-out"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the greeting does not say %s:\n%s", want, &out)
		}
	}
	written, err := os.ReadFile(filepath.Join(d.function, "nightlatch.yaml"))
	if err != nil || !strings.Contains(string(written), fmt.Sprintf("issuer: %q", o.front.issuer)) || strings.Contains(string(written), "cognito") || strings.Contains(string(written), "CANARY") {
		t.Errorf("the functions are configured with (%v)\n%s", err, written)
	}

	// The way out of the functions leads to it and to no other place, and what they trust includes its CA.
	if secret := d.oidcClientSecret(); secret != "CANARY-of-the-client" {
		t.Errorf("the functions get the secret %q", secret)
	}
	trusted, err := d.trust(d.info.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	client, err := httpClient(func(name string) string { return map[string]string{"SSL_CERT_FILE": trusted}[name] })
	if err != nil {
		t.Fatal(err)
	}
	transport := client.Transport.(*http.Transport)
	transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: d.listeners["proxy"].Addr().String()})
	transport.TLSClientConfig.ServerName = "example.com" // httptest's certificate
	get := func(address string) (string, error) {
		resp, err := client.Get(address)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		return string(b), err
	}
	if got, err := get(o.front.issuer + "/keys"); err != nil || got != "the provider, asked for /realm/keys" {
		t.Errorf("through the functions' way out: %q, %v", got, err)
	}
	for _, other := range []string{"https://idp.localhost/", "https://other.localhost:" + port + "/", d.url("https", "cognito.localhost", "cognito") + "/", "https://example.com/"} {
		if got, err := get(other); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s through the functions' way out: %q, %v; want it refused", other, got, err)
		}
	}
	if strings.Contains(d.logText(t), "CANARY") {
		t.Error("the log holds the client's secret")
	}
	d.stop(t)

	o.front.ca = filepath.Join(o.dir, "demo.log")
	if err := demo(t.Context(), o, func(*world) error { return errors.New("it started") }); err == nil || !strings.Contains(err.Error(), "holds no PEM certificate") {
		t.Errorf("a CA file without a CA: %v", err)
	}
}
