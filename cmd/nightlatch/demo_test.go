//go:build !lambda

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// These tests stand in front of the whole chain as a stranger, a clumsy person and an operator do, with nothing but the
// wire. The functions run this test binary, so that the product's own code is under the race detector where the tests are.

func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" { // the demo's Lambda started us as a function
		main()
		return
	}
	testscript.Main(m, map[string]func(){"nightlatch": main})
}

// running is a demo in this process.
type running struct {
	*world
	secrets *secrets
	cancel  context.CancelFunc
	ended   chan error
}

func options(t *testing.T, dir string) demoOptions {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return demoOptions{dir: dir, associate: time.Second, minute: 4 * time.Second, onVisit: "look", program: program, iterations: 100, stdout: io.Discard, stderr: io.Discard}
}

func start(t *testing.T, o demoOptions, s *secrets) *running {
	t.Helper()
	return launch(t, s, func(ctx context.Context, use func(*world) error) error { return demo(ctx, o, use) })
}

// launch starts a demo by serve, which is demo or does as it does. It runs until the test ends or stop is called.
func launch(t *testing.T, s *secrets, serve func(context.Context, func(*world) error) error) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	d := &running{secrets: s, cancel: cancel, ended: make(chan error, 1)}
	up := make(chan *world, 1)
	go func() {
		d.ended <- serve(ctx, func(w *world) error { up <- w; <-ctx.Done(); return nil })
	}()
	select {
	case d.world = <-up:
	case err := <-d.ended:
		cancel()
		t.Fatalf("the demo does not start: %v", err)
	}
	t.Cleanup(cancel)
	s.add("access key", d.state.SecretAccessKey)
	s.add("password", d.state.ServicePassword)
	for _, p := range d.state.Passwords {
		s.add("password", p)
	}
	var pool struct{ Data struct{ ClientSecret string } }
	d.read(t, "cognito.state.json", &pool)
	s.add("client secret", pool.Data.ClientSecret)
	return d
}

// stop ends the demo as Ctrl-C does, and returns how long that took.
func (d *running) stop(t *testing.T) time.Duration {
	t.Helper()
	began := time.Now()
	d.cancel()
	select {
	case err := <-d.ended:
		if err != nil {
			t.Errorf("the demo stopped with: %v", err)
		}
	case <-time.After(3 * stopWithin):
		t.Fatal("the demo does not stop")
	}
	return time.Since(began)
}

func (d *running) read(t *testing.T, name string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.o.dir, name))
	if err == nil {
		err = json.Unmarshal(raw, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (d *running) logText(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.o.dir, "demo.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// told waits until what demo.log has beyond the first skip bytes holds a line with all of the words. The functions'
// output comes through a pipe, so it may be late.
func (d *running) told(t *testing.T, skip int, words ...string) {
	t.Helper()
	if len(words) == 0 {
		return
	}
	var since string
	for range 50 {
		since = d.logText(t)[skip:]
		for line := range strings.Lines(since) {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) }) {
				return
			}
		}
		<-time.After(50 * time.Millisecond)
	}
	t.Errorf("no log line for the operator holds all of %q; the log says:\n%s", words, since)
}

// secrets are what must never be in a log, each with what it is.
type secrets struct {
	mu      sync.Mutex // guards the rest
	seen    map[string]string
	decoded map[string]bool // what the console showed of the hops' messages
}

func newSecrets() *secrets { return &secrets{seen: map[string]string{}, decoded: map[string]bool{}} }

func (s *secrets) add(what, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.seen[value]; !known && len(value) >= 6 {
		s.seen[value] = what
	}
}

// figures are the parts of a log line that may hold a code's six digits by chance.
var figures = regexp.MustCompile(`"(time|took)":("[^"]*"|\d+)|Duration: [0-9.]+ ms`)

// check looks for every secret, and for what has a secret's form.
func (s *secrets) check(t *testing.T, where, text string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	text = figures.ReplaceAllString(text, "")
	kinds := map[string]int{}
	for value, what := range s.seen {
		kinds[what]++
		found := strings.Contains(text, value) || strings.Contains(text, url.QueryEscape(value))
		if what == "code" && len(value) == 6 {
			found = regexp.MustCompile(`\b` + value + `\b`).MatchString(text)
		}
		if found {
			t.Errorf("%s holds a %s: %s", where, what, value)
		}
	}
	for _, form := range []string{`eyJ[A-Za-z0-9_-]{12,}`, `Signature=[0-9a-f]{8}`, `[?&](code|state|SAMLResponse|password|flow)=`} {
		if m := regexp.MustCompile(form).FindString(text); m != "" {
			t.Errorf("%s holds %q", where, m)
		}
	}
	for _, what := range []string{"password", "code", "cookie", "SAMLResponse", "RelayState", "state", "access key", "client secret"} {
		if kinds[what] == 0 {
			t.Errorf("the test saw no %s, so it did not look for any", what)
		}
	}
}

// look at every hop's last message as the console shows it.
func (d *running) look() {
	for _, hop := range []string{d.o.front.name, "cognito", "identity-center", "lambda", "ec2", "dynamodb", "scheduler", "sts", "alb-keys", "cognito-idp"} {
		text := d.tap.Last(hop)
		d.secrets.mu.Lock()
		d.secrets.decoded[text] = true
		d.secrets.mu.Unlock()
	}
}

// checkDecoded looks for what somebody who reads the messages wants to see, and for every secret.
func (s *secrets) checkDecoded(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	all := strings.Join(slices.Collect(maps.Keys(s.decoded)), "\n")
	s.mu.Unlock()
	s.check(t, "a decoded message", all)
	for what, want := range map[string]string{
		"an authentication request":  "<samlp:AuthnRequest",
		"an assertion's subject":     "<saml:NameID",
		"who types a password":       "username = alice",
		"a token's claims":           `"token_use": "access"`,
		"the load balancer's signer": `"signer": "arn:aws:elasticloadbalancing:`,
		"the table's item":           `"TableName": "nightlatch"`,
		"EC2's answer":               "<DescribeClientVpnTargetNetworksResponse",
		"the schedule's target":      "disassociateClientVpnTargetNetwork",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("no decoded message shows %s: %s", what, want)
		}
	}
}

// noting is a browser's transport that notes every secret that passes, and looks at the messages then.
type noting struct {
	http.RoundTripper
	*secrets
	look func()
}

var secretFields = []string{"password", "code", "SAMLResponse", "RelayState", "token", "flow", "state", "client_secret"}

func (n noting) note(v url.Values) {
	for _, name := range secretFields {
		for _, value := range v[name] {
			n.add(name, value)
		}
	}
}

func (n noting) RoundTrip(r *http.Request) (*http.Response, error) {
	for _, c := range r.Cookies() {
		n.add("cookie", c.Value)
	}
	if r.Body != nil && r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		if form, err := url.ParseQuery(string(raw)); err == nil {
			n.note(form)
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
	}
	n.note(r.URL.Query())
	resp, err := n.RoundTripper.RoundTrip(r)
	n.look()
	if err == nil {
		for _, c := range resp.Cookies() {
			n.add("cookie", c.Value)
		}
		if to, err := resp.Location(); err == nil {
			n.note(to.Query())
		}
	}
	return resp, err
}

// browser is a new one, with no cookie yet, in the hands of somebody.
func (d *running) browser(t *testing.T, user string) *tourist {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: d.ca.Pool(), MinVersion: tls.VersionTLS12}
	transport.Proxy, transport.DialContext = nil, dialLocalhost
	t.Cleanup(transport.CloseIdleConnections)
	return &tourist{ctx: t.Context(), info: d.info, user: demoUser{user, d.state.Passwords[user]}, out: io.Discard, browser: &http.Client{
		Transport: noting{transport, d.secrets, d.look}, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// again is a browser that has kept Identity Center's session of b and nothing else, so that it signs in without a code.
func (d *running) again(t *testing.T, b *tourist) *tourist {
	t.Helper()
	other := d.browser(t, b.user.Username)
	at, err := url.Parse(d.url("https", "identity-center.localhost", "identity-center"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.browser.Jar.Cookies(at) {
		if strings.Contains(c.Name, "session") {
			other.browser.Jar.SetCookies(at, []*http.Cookie{{Name: c.Name, Value: c.Value, Path: "/", Secure: true}})
		}
	}
	return other
}

// walk goes on as long as nothing is wrong.
func walk(t *testing.T, steps ...func() (string, error)) {
	t.Helper()
	for _, s := range steps {
		if _, err := s(); err != nil {
			t.Fatal(err)
		}
	}
}

func (d *running) signIn(t *testing.T, b *tourist) {
	t.Helper()
	walk(t, b.arrive, b.authorize, b.signInPage, b.password, b.secondFactor, b.assertion, b.callback)
}

// toAssertion leads a browser with Identity Center's session to the page that posts the SAML response.
func (d *running) toAssertion(t *testing.T, b *tourist) (response, relay string) {
	t.Helper()
	walk(t, b.arrive, b.authorize)
	next, err := b.page.Location()
	if err == nil {
		err = b.visit(http.MethodGet, next.String(), "", nil)
	}
	if err == nil {
		err = b.signedResponse()
	}
	if err != nil {
		t.Fatal(err)
	}
	form, err := b.page.html()
	if err != nil {
		t.Fatal(err)
	}
	return form.Find("input[name='SAMLResponse']").AttrOr("value", ""), form.Find("input[name='RelayState']").AttrOr("value", "")
}

// answered checks the last answer: its status, and words that whoever sees it needs.
func answered(t *testing.T, b *tourist, status int, words ...string) {
	t.Helper()
	text := string(b.page.body)
	if d, err := b.page.html(); err == nil && strings.Contains(b.page.Header.Get("Content-Type"), "html") {
		text = d.Text()
	}
	if b.page.StatusCode != status {
		t.Errorf("answered %s, want %d: %s", b.page.Status, status, text)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("the answer does not say %q: %s", w, text)
		}
	}
}

// with sends a request that has headers which a well-behaved browser would not send.
func with(t *testing.T, b *tourist, method, address, contentType, body string, header http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(r.Header, header)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	resp, err := b.browser.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	b.page = &page{resp, raw}
}

// codes are the present code and the next one of b's person, from the pocket authenticator.
func (d *running) codes(t *testing.T, b *tourist) (c struct{ Account, Code, Next string }) {
	t.Helper()
	var all []struct{ Account, Code, Next string }
	if err := b.console(http.MethodGet, "authenticator", nil, &all); err != nil {
		t.Fatal(err)
	}
	for _, c = range all {
		if strings.HasPrefix(c.Account, b.user.Username+"@") {
			return c
		}
	}
	t.Fatalf("the pocket authenticator does not know %s", b.user.Username)
	return c
}

func at(b *tourist, path string) string { return strings.TrimSuffix(b.info.URL, "/") + path }

const asJSON, asForm = "application/json", "application/x-www-form-urlencoded"

func TestDemoAgainstBadInput(t *testing.T) {
	t.Parallel()
	s := newSecrets()
	dir := t.TempDir()
	o := options(t, dir)
	d := start(t, o, s)

	alice := d.browser(t, "alice")
	d.signIn(t, alice)

	password := func(user, typed string) *tourist {
		b := d.browser(t, user)
		walk(t, b.arrive, b.authorize, b.signInPage)
		if err := b.submit("password", url.Values{"username": {user}, "password": {typed}}); err != nil {
			t.Fatal(err)
		}
		return b
	}
	for name, c := range map[string]struct {
		user, password, sentence string
		log                      string
	}{
		"wrong password":       {"alice", "hunter2-hunter2", "The user name or the password is not correct.", "data 52e"},
		"nobody of that name":  {"mallory", "hunter2-hunter2", "The user name or the password is not correct.", "data 52e"},
		"everybody at once":    {"*", "hunter2-hunter2", "The user name or the password is not correct.", "data 52e"},
		"a filter for a name":  {"alice)(|(sAMAccountName=*", "hunter2-hunter2", "The user name or the password is not correct.", "data 52e"},
		"disabled account":     {"dave", d.state.Passwords["dave"], "Your account is disabled.", "data 533"},
		"expired password":     {"frank", d.state.Passwords["frank"], "Your password has expired.", "data 532"},
		"must change password": {"grace", d.state.Passwords["grace"], "You must change your password", "data 773"},
	} {
		t.Run(name, func(t *testing.T) {
			skip := len(d.logText(t))
			b := password(c.user, c.password)
			answered(t, b, http.StatusForbidden, c.sentence)
			d.told(t, skip, `"refused"`, `"identity-center"`, c.log)
		})
	}

	t.Run("wrong TOTP code, then a replayed one", func(t *testing.T) {
		b := password("alice", d.state.Passwords["alice"])
		if err := b.visit(http.MethodGet, b.page.Request.URL.String(), "", nil); err != nil {
			t.Fatal(err)
		}
		codes, wrong := d.codes(t, b), "000000"
		for wrong == codes.Code || wrong == codes.Next {
			wrong = "111111"
		}
		skip := len(d.logText(t))
		if err := b.submit("code", url.Values{"code": {wrong}}); err != nil {
			t.Fatal(err)
		}
		answered(t, b, http.StatusForbidden, "That code is not correct.")
		d.told(t, skip, `"refused"`, "That code is not correct.")

		var kept struct {
			Data struct {
				Enrolments map[string]struct {
					Secret   string
					LastStep int64
				}
			}
		}
		d.read(t, "identity-center.state.json", &kept)
		for _, e := range kept.Data.Enrolments {
			s.add("authenticator key", e.Secret)
		}
		skip = len(d.logText(t))
		for code := range s.seen { // the one that enrolled
			if s.seen[code] != "code" || len(code) != 6 || code == wrong {
				continue
			}
			if err := b.submit("code", url.Values{"code": {code}}); err != nil {
				t.Fatal(err)
			}
			answered(t, b, http.StatusForbidden, "That code was used already.")
			d.told(t, skip, `"refused"`, "That code was used already.")
			return
		}
		t.Error("the test saw no code")
	})

	t.Run("not in the group", func(t *testing.T) {
		b := password("erin", d.state.Passwords["erin"])
		if _, err := b.secondFactor(); err == nil {
			t.Error("signed in")
		}
		answered(t, b, http.StatusForbidden, "You do not have access to this application.")
	})

	t.Run("unsigned, wrongly signed and unknown EC2 calls", func(t *testing.T) {
		form := url.Values{"Action": {"DisassociateClientVpnTargetNetwork"}, "Version": {"2016-11-15"}, "ClientVpnEndpointId": {d.info.EndpointID}, "AssociationId": {"cvpn-assoc-0"}}.Encode()
		skip := len(d.logText(t))
		with(t, alice, http.MethodPost, d.info.AWS.EndpointURL+"/", asForm, form, nil)
		answered(t, alice, http.StatusForbidden, "MissingAuthenticationToken")
		d.told(t, skip, `"refused"`, `"ec2"`, "MissingAuthenticationToken")

		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.info.AWS.EndpointURL+"/", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", asForm)
		s.add("access key", "wrong-secret-access-key")
		sigv4.Sign(r, []byte(form), sigv4.Credentials{AccessKeyID: d.info.AWS.AccessKeyID, SecretAccessKey: "wrong-secret-access-key"}, "ec2", d.info.AWS.Region, time.Now())
		skip = len(d.logText(t))
		with(t, alice, http.MethodPost, d.info.AWS.EndpointURL+"/", asForm, form, r.Header)
		answered(t, alice, http.StatusUnauthorized, "AuthFailure")
		d.told(t, skip, `"refused"`, `"ec2"`, "SignatureDoesNotMatch")

		skip = len(d.logText(t))
		_, err = alice.aws("ec2", http.MethodPost, "/", asForm, []byte(url.Values{"Action": {"TerminateEverything"}, "Version": {"2016-11-15"}}.Encode()))
		if err == nil || !strings.Contains(err.Error(), "400") {
			t.Errorf("an unknown action: %v, want 400", err)
		}
		d.told(t, skip, `"refused"`, `"ec2"`, "InvalidAction")
	})

	t.Run("STS, beside EC2 and by its name", func(t *testing.T) {
		const whoAmI = "Action=GetCallerIdentity&Version=2011-06-15"
		got, err := alice.aws("sts", http.MethodPost, "/", asForm, []byte(whoAmI))
		if want := "<Arn>arn:aws:iam::111122223333:user/operator</Arn>"; err != nil || !strings.Contains(string(got), want) {
			t.Errorf("got %s, %v, want %s", got, err, want)
		}
		skip := len(d.logText(t))
		assume := url.Values{"Action": {"AssumeRole"}, "Version": {"2011-06-15"}, "RoleArn": {"arn:aws:iam::111122223333:role/nightlatch-deadman"}, "RoleSessionName": {"alice"}}
		if _, err := alice.aws("sts", http.MethodPost, "/", asForm, []byte(assume.Encode())); err == nil || !strings.Contains(err.Error(), "403") {
			t.Errorf("the schedules' role, which trusts Scheduler alone: %v, want 403", err)
		}
		d.told(t, skip, `"refused"`, `"sts"`, "AccessDenied: User: arn:aws:iam::111122223333:user/operator is not authorized")

		by := http.DefaultTransport.(*http.Transport).Clone()
		by.TLSClientConfig = &tls.Config{RootCAs: d.ca.Pool(), MinVersion: tls.VersionTLS12}
		by.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: d.listeners["proxy"].Addr().String()})
		defer by.CloseIdleConnections()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://sts.us-east-1.amazonaws.com/", strings.NewReader(whoAmI))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", asForm)
		sigv4.Sign(r, []byte(whoAmI), sigv4.Credentials{AccessKeyID: d.info.AWS.AccessKeyID, SecretAccessKey: d.info.AWS.SecretAccessKey}, "sts", d.info.AWS.Region, time.Now())
		resp, err := by.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("by name: %s, want 200", resp.Status)
		}
	})

	clumsy := d.browser(t, "carol") // with as many tries at once as anybody has
	d.signIn(t, clumsy)
	for name, c := range map[string]struct{ body, say string }{
		"a nanosecond":        {`{"for":"1ns"}`, "length of time"},
		"a year":              {`{"for":"9999h"}`, ""},
		"less than nothing":   {`{"for":"-1h"}`, "length of time"},
		"not a number":        {`{"for":"NaN"}`, "length of time"},
		"a number":            {`{"for":60}`, "strings as values"},
		"a key twice":         {`{"for":"1m","for":"2m"}`, "twice"},
		"a key in capitals":   {`{"FOR":"1m"}`, "not known"},
		"two objects":         {`{"for":"1m"}{"for":"1m"}`, "one JSON object"},
		"a long reason":       {`{"for":"1m","reason":"` + strings.Repeat("가", 201) + `"}`, "at most 200 characters"},
		"a reason of 2 lines": {`{"for":"1m","reason":"a\nlevel=ERROR"}`, "one line"},
	} {
		t.Run("open for "+name, func(t *testing.T) {
			with(t, clumsy, http.MethodPost, at(clumsy, "/api/v1/endpoints/office/open"), asJSON, c.body, http.Header{"Accept-Language": {"en"}})
			answered(t, clumsy, http.StatusBadRequest, c.say)
			d.nothingIsOpen(t, alice)
		})
	}

	t.Run("unknown configuration key", func(t *testing.T) {
		raw, err := os.ReadFile(filepath.Join(d.function, "nightlatch.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "nightlatch.yaml")
		if err := os.WriteFile(file, append(raw, "regoin: us-east-1\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		err = run(t.Context(), []string{"config", "check", file}, func(string) string { return "" }, io.Discard, io.Discard)
		line := fmt.Sprintf("%s:%d: ", file, bytes.Count(raw, []byte("\n"))+1)
		if err == nil || !strings.Contains(err.Error(), line) || !strings.Contains(err.Error(), `did you mean "region"?`) {
			t.Errorf("config check: %v, want the line %s and what was meant", err, line)
		}
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run(t.Context(), []string{"config", "check", file}, func(string) string { return "" }, io.Discard, io.Discard); err != nil {
			t.Errorf("the demo's own configuration: %v", err)
		}
	})

	t.Run("second demo over the same folder", func(t *testing.T) {
		err := demo(t.Context(), o, func(*world) error { return errors.New("it started") })
		if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "--dir") {
			t.Errorf("got %v, want the folder and --dir", err)
		}
	})

	// Open, and stop in the middle of things.
	with(t, alice, http.MethodPost, at(alice, "/api/v1/endpoints/office/open"), asJSON, `{"for":"3m","reason":"the test"}`, nil)
	answered(t, alice, http.StatusAccepted)
	walk(t, alice.deadman, alice.associated, alice.ready)
	networks, err := alice.networks()
	if err != nil || !slices.Equal(networks, []string{"associated"}) {
		t.Fatalf("EC2 says %v, %v", networks, err)
	}
	armed, err := alice.deadman()
	if err != nil {
		t.Fatal(err)
	}

	t.Run("clean stop with requests under way", func(t *testing.T) {
		for _, name := range []string{"alb", "identity-center", "cognito"} { // half a request each
			c, err := tls.Dial("tcp", d.listeners[name].Addr().String(), &tls.Config{RootCAs: d.ca.Pool(), ServerName: "vpn.localhost", MinVersion: tls.VersionTLS12})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := fmt.Fprintf(c, "POST /signin HTTP/1.1\r\nHost: vpn.localhost\r\nContent-Type: %s\r\nContent-Length: 1000\r\nCookie: AWSELBAuthSessionCookie-0=x\r\n\r\nhalf", asForm); err != nil {
				t.Fatal(err)
			}
		}
		polled := make(chan int, 1)
		go func() { // a page that polls; it ends when nobody answers any more
			n := 0
			for {
				r, err := http.NewRequest(http.MethodGet, at(alice, "/api/v1/endpoints/office"), nil)
				if err != nil {
					break
				}
				resp, err := alice.browser.Do(r)
				if err != nil {
					break
				}
				resp.Body.Close()
				n++
			}
			polled <- n
		}()
		<-time.After(100 * time.Millisecond)
		if took := d.stop(t); took > stopWithin {
			t.Errorf("it took %v, want at most %v", took, stopWithin)
		}
		if n := <-polled; n == 0 {
			t.Error("no poll was under way")
		}
		if _, err := os.Stat(filepath.Join(dir, "demo.json")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("demo.json after the stop: %v, want it gone", err)
		}
	})
	t.Run("no secret in the log", func(t *testing.T) { s.check(t, "the log", d.logText(t)) })

	t.Run("state files that are not whole or not ours", func(t *testing.T) { damagedFolders(t, o) })

	t.Run("second run goes on", func(t *testing.T) {
		d := start(t, o, s)
		b := d.browser(t, "alice")
		walk(t, b.arrive, b.authorize, b.signInPage, b.password)
		if page, err := b.page.html(); err != nil || page.Find("#otpauth").Length() > 0 {
			t.Errorf("alice has to enrol again (%v): %s", err, b.page.says())
		}
		// The code after the present one, which may be the one that is spent; a clock that is half a minute off is allowed for.
		if err := b.submit("code", url.Values{"code": {d.codes(t, b).Next}}); err != nil {
			t.Fatal(err)
		}
		walk(t, b.assertion, b.callback)
		s, err := b.api(http.MethodGet, tourEndpoint, nil)
		if err != nil || s.State != "open" || s.Until.IsZero() {
			t.Errorf("the endpoint is %q until %v (%v), want it open", s.State, s.Until, err)
		}
		if n, err := b.networks(); err != nil || !slices.Equal(n, networks) {
			t.Errorf("EC2 says %v, %v; want %v", n, err, networks)
		}
		if still, err := b.deadman(); err != nil || still != armed {
			t.Errorf("%s, %v; want %s", still, err, armed)
		}
		if took := d.stop(t); took > stopWithin {
			t.Errorf("the stop took %v", took)
		}
		d.secrets.check(t, "the log", d.logText(t))
		d.secrets.checkDecoded(t)
	})
}

// nothingIsOpen asks EC2, the scheduler and the product.
func (d *running) nothingIsOpen(t *testing.T, b *tourist) {
	t.Helper()
	if n, err := b.networks(); err != nil || len(n) > 0 {
		t.Fatalf("EC2 says %v, %v; nobody may have opened it", n, err)
	}
	if _, err := b.deadman(); err == nil {
		t.Error("a dead-man's switch is armed")
	}
	if s, err := b.api(http.MethodGet, tourEndpoint, nil); err != nil || s.State != "off" {
		t.Errorf("the page says %q, %v; want off", s.State, err)
	}
}

// damagedFolders starts a demo over a copy of o.dir with each file damaged in each way. It must refuse, name the file,
// say what to do, and leave every byte as it was.
func damagedFolders(t *testing.T, o demoOptions) {
	original := contents(t, o.dir)
	dir := t.TempDir()
	for name, raw := range original {
		if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o.dir = dir
	data := regexp.MustCompile(`(?s)"data": .*\n}`)
	for _, kind := range stateFiles {
		name := kind + ".state.json"
		whole := original[name]
		if whole == nil {
			t.Errorf("a run leaves no %s", name)
			continue
		}
		ways := map[string][]byte{
			"cut short":            whole[:len(whole)/2],
			"cut by one byte":      whole[:len(whole)-2],
			"empty":                {},
			"another kind's":       bytes.Replace(whole, []byte(`"kind": "`+kind+`"`), []byte(`"kind": "else"`), 1),
			"another program's":    []byte(`{"name": "something else", "version": 1}` + "\n"),
			"a later version's":    bytes.Replace(whole, []byte(`"version": 1`), []byte(`"version": 2`), 1),
			"not JSON":             []byte("Dear diary,\n"),
			"with an unknown key":  data.ReplaceAll(whole, []byte(`"data": {"nobodyKnows": 1}`+"\n}")),
			"with something after": append(slices.Clone(whole), whole...),
		}
		if !slices.Contains([]string{"dynamodb", "scheduler", "console"}, kind) { // those may well hold nothing
			ways["hollow"] = data.ReplaceAll(whole, []byte(`"data": {}`+"\n}"))
		}
		for way, raw := range ways {
			if bytes.Equal(raw, whole) {
				t.Fatalf("%s, %s: nothing was damaged", name, way)
			}
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, raw, 0o600); err != nil {
				t.Fatal(err)
			}
			before := contents(t, dir)
			err := demo(t.Context(), o, func(*world) error { return errors.New("it started") })
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move") {
				t.Errorf("%s, %s: %v; want the file and what to do", name, way, err)
			}
			after := contents(t, dir)
			for n := range after {
				if !bytes.Equal(after[n], before[n]) {
					t.Errorf("%s, %s: %s was changed", name, way, n)
				}
			}
			for n := range before {
				if after[n] == nil {
					t.Errorf("%s, %s: %s is gone", name, way, n)
				}
			}
			if err := os.WriteFile(path, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		// What the refusals say to do leads on: to a start, or to the one other file that must go with it.
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		started := errors.New("it started")
		err := demo(t.Context(), o, func(*world) error { return started })
		if kind == "demo" {
			if err == nil || !strings.Contains(err.Error(), "directory.state.json") {
				t.Errorf("without %s: %v; want what else to move away", name, err)
			}
		} else if !errors.Is(err, started) {
			t.Errorf("without %s: %v; want it to start afresh", name, err)
		}
		for name, raw := range original {
			if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}

	// A folder that is somebody's own is no place for a demo.
	o.dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(o.dir, "ca.pem"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := demo(t.Context(), o, func(*world) error { return errors.New("it started") })
	if err == nil || !strings.Contains(err.Error(), "--dir") || string(contents(t, o.dir)["ca.pem"]) != "mine" {
		t.Errorf("a folder with a ca.pem of its own: %v", err)
	}
}

// contents are a folder's files, but for the lock and what is in folders.
func contents(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for _, e := range entries {
		if e.IsDir() || e.Name() == "lock" {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = raw
	}
	return files
}

func TestDemoPortInUse(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	o := options(t, t.TempDir())
	o.port = ln.Addr().(*net.TCPAddr).Port
	err = demo(t.Context(), o, func(*world) error { return errors.New("it started") })
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d, which alb wants", o.port)) || !strings.Contains(err.Error(), "--port ") {
		t.Errorf("with port %d taken: %v; want the port, whose it is, and --port", o.port, err)
	}
}

// TestTours walks the journey whole behind each front, and once for each hop broken on purpose, two of these at a time.
func TestTours(t *testing.T) {
	t.Parallel()
	type result struct {
		err  error
		took time.Duration
		text string
	}
	type journey struct{ front, sabotage string }
	const otherway = "(every unconfirmed fact the other way)"
	results := map[journey]chan result{}
	turns := make(chan struct{}, 2)
	folders := map[journey]string{} // of the whole journeys
	tour := func(j journey) {
		o := options(t, folders[j])
		var out bytes.Buffer
		o.tour, o.front.name, o.sabotage, o.stdout = true, j.front, j.sabotage, &out
		switch j.sabotage {
		case otherway:
			o.sabotage, o.unconfirmed = "", []string{"all"}
		case "": // and the functions know from the template alone what only the stack knows
			o.template = rendered
		}
		err := o.check(false, true)
		began := time.Now()
		if err == nil {
			err = demoTour(t.Context(), o)
		}
		results[j] <- result{err, time.Since(began), out.String()}
	}
	// What lies behind the function is broken behind one front only: it cannot know which it is.
	behind := []string{"throttle", "beat", "association", "scheduler", "webhook", "ec2"}
	fronts := []string{frontALB, frontHTTPAPI}
	var whole, broken []journey
	for _, front := range fronts {
		whole = append(whole, journey{front, ""}, journey{front, otherway})
		for _, s := range sabotagesAt(front) {
			if front == frontALB || !slices.Contains(behind, s.name) {
				broken = append(broken, journey{front, s.name})
			}
		}
	}
	// The longest first.
	slices.SortStableFunc(broken, func(a, b journey) int {
		rank := func(j journey) int { return (slices.Index(behind, j.sabotage) + len(behind) + 1) % (len(behind) + 1) }
		return rank(a) - rank(b)
	})
	for _, j := range slices.Concat(whole, broken) {
		results[j] = make(chan result, 1)
	}
	for _, j := range whole {
		folders[j] = t.TempDir()
	}
	for _, j := range whole {
		go tour(j)
	}
	go func() {
		for _, j := range broken {
			turns <- struct{}{}
			go func() { defer func() { <-turns }(); tour(j) }()
		}
	}()
	for _, j := range whole {
		t.Run(strings.TrimSpace(j.front+", whole "+j.sabotage), func(t *testing.T) {
			r := <-results[j]
			if r.err != nil { // the tour's own time is bounded: tourTakes
				t.Errorf("%v after %v\n%s", r.err, r.took, r.text)
			}
			counted(t, filepath.Join(folders[j], "demo.log"))
		})
	}
	for _, j := range broken {
		t.Run(j.front+", without "+j.sabotage, func(t *testing.T) {
			r := <-results[j]
			hop, _ := errors.AsType[*errHop](r.err)
			blame := sabotages[slices.IndexFunc(sabotages, func(f fault) bool { return f.name == j.sabotage })].blame
			switch {
			case blame == "" && r.err != nil:
				t.Errorf("%v after %v, want a journey that ends well\n%s", r.err, r.took, r.text)
			case blame != "" && (hop == nil || hop.hop != blame):
				t.Errorf("%v after %v, want hop %s to fail\n%s", r.err, r.took, blame, r.text)
			}
		})
	}
}

// counted looks for the lines of metrics that the beat wrote into the log, as CloudWatch would.
func counted(t *testing.T, log string) {
	t.Helper()
	raw, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for line := range strings.Lines(string(raw)) {
		_, text, beat := strings.Cut(line, "] ")
		if !beat || !strings.HasPrefix(line, "[nightlatch-beat/") || !strings.Contains(text, `"_aws"`) {
			continue
		}
		var l emf
		if err := json.Unmarshal([]byte(text), &l); err != nil || !l.valid() {
			t.Errorf("CloudWatch would not take %s: %v", text, err)
			continue
		}
		if l.Open != nil && *l.Open == 1 && l.AssociatedSubnets != nil && *l.AssociatedSubnets == 1 && l.OpenEndpoints == "office" {
			open++
		}
	}
	if open == 0 { // whether a beat saw it closed as well depends on when the tour began and ended
		t.Error("no beat counted the endpoint as open")
	}
}
