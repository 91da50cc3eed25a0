//go:build !lambda

package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
)

// attack is somebody's try to get what is not theirs, over the wire, at the running demo. Each is a subtest of
// TestAttacks and a row of docs/threats.md.
type attack struct {
	name string // of the subtest
	has  string // what the attacker has, and wants
	try  func(*testing.T, *gate)
}

// fronts are what is attacked: on each, what is tried while the endpoint is off, in this order, and then what is tried
// while alice has it open.
var fronts = []struct {
	name      string
	control   func(*testing.T, *gate) // that what must be let through is
	off, open []attack
}{
	{frontALB, albControl, slices.Concat(albForgeries(), albKeyServer, albSignIn, albRules, everywhere, albLast), slices.Concat(whileOpen, albWhileOpen, wouldBeOperators)},
	{frontHTTPAPI, func(*testing.T, *gate) {}, slices.Concat(oidcSignIn, everywhere), slices.Concat(whileOpen, wouldBeOperators)},
}

// leastAttacks is how many there are at least.
const leastAttacks = 35

func TestAttacks(t *testing.T) {
	t.Parallel()
	for _, f := range fronts {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			g := besiege(t, f.name)
			f.control(t, g)
			for _, a := range f.off {
				g.stand(t, a)
			}
			g.openByVisit(t)
			for _, a := range f.open {
				g.stand(t, a)
			}
			t.Run("no secret in what leaves the machine", func(t *testing.T) { g.canaries(t) })
			if took := g.stop(t); took > stopWithin {
				t.Errorf("the stop took %v", took)
			}
		})
	}
}

// gate is a running demo and who stands before it: alice, bob and carol, who may come in and are, and whoever attacks. Each
// of them makes ten changes at once and then one every six seconds, so bob and carol take turns as attackers. A visit opens,
// so that whatever could pass for a visit costs money.
type gate struct {
	*running
	alice, bob, carol *tourist
	forger            *forger
	keys              *registry
	since             int    // how long the log was when the attack began
	subject           string // alice's, while it is open
	held              *held  // what alice sees then
}

func besiege(t *testing.T, front string) *gate {
	t.Helper()
	g := &gate{keys: &registry{says: map[string]http.HandlerFunc{}}}
	o := options(t, t.TempDir())
	o.front.name, o.onVisit, o.patience = front, "open", 4*time.Second
	g.running = launch(t, newSecrets(), func(ctx context.Context, use func(*world) error) error {
		w, err := newWorld(ctx, o)
		if err != nil {
			return err
		}
		g.keys.join(w)
		return w.run(ctx, use)
	})
	if front == frontALB {
		g.forger = newForger(t, g)
	}
	for user, b := range map[string]**tourist{"alice": &g.alice, "bob": &g.bob, "carol": &g.carol} {
		*b = g.browser(t, user)
		g.signIn(t, *b)
	}
	return g
}

// stand lets an attack run, and looks what it has left behind.
func (g *gate) stand(t *testing.T, a attack) {
	t.Run(a.name, func(t *testing.T) {
		t.Logf("The attacker has %s.", a.has)
		g.since = len(g.logText(t))
		a.try(t, g)
		g.holds(t)
	})
}

// told waits for a line with all of the words that the operator finds in the log of this attack.
func (g *gate) told(t *testing.T, words ...string) {
	t.Helper()
	g.running.told(t, g.since, words...)
}

// held is an endpoint as one person sees it.
type held struct {
	State        string
	Mine         *struct{ Since, Until, Reason string }
	Others       int
	Associations []struct{ ID string }
}

func (g *gate) seen(t *testing.T, b *tourist) (h held) {
	t.Helper()
	if _, err := b.api(http.MethodGet, tourEndpoint, nil); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b.page.body, &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// holds: nothing is open but what alice wants, nobody else has anything, and alice is signed in as herself.
func (g *gate) holds(t *testing.T) {
	t.Helper()
	h := g.seen(t, g.alice)
	if g.held == nil {
		g.nothingIsOpen(t, g.alice)
	} else {
		want := *g.held
		if n, err := g.alice.networks(); err != nil || len(n) != 1 || len(h.Associations) != 1 || h.Associations[0] != want.Associations[0] {
			t.Errorf("EC2 says %v, %v, the page %v; want the association that was there, %v", n, err, h.Associations, want.Associations)
		}
		if h.Mine == nil || *h.Mine != *want.Mine {
			t.Errorf("alice's lease is %+v, want %+v", h.Mine, want.Mine)
		}
	}
	if h.Others != 0 {
		t.Errorf("%d others hold a lease, want nobody", h.Others)
	}
	with(t, g.alice, http.MethodGet, at(g.alice, "/endpoints/office?look"), "", "", nil)
	answered(t, g.alice, http.StatusOK, "alice@corp.example")
}

// outside: a browser is signed in as nobody.
func (g *gate) outside(t *testing.T, b *tourist) {
	t.Helper()
	if _, err := b.arrive(); err != nil {
		t.Errorf("signed in, want nobody: %v", err)
	}
}

// sentToSignIn: the last answer of b's browser is the way to the sign-in.
func sentToSignIn(t *testing.T, b *tourist) {
	t.Helper()
	if to, err := b.page.Location(); err != nil || to.Path != "/oauth2/authorize" && to.Path != "/sign-in" {
		t.Errorf("not sent to sign in: %s", b.page.says())
	}
}

// navigation are the headers of somebody's own navigation.
var navigation = http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Fetch-User": {"?1"}}

// nasty is a reason that alice gives: markup, and a spreadsheet's formula.
const nasty = `=HYPERLINK("https://evil.example","x")<script>alert(1)</script>`

// openByVisit opens the endpoint as alice's browser does: by a visit that counts down and then posts. That it does is
// also what tells a visit from what only looks like one.
func (g *gate) openByVisit(t *testing.T) {
	t.Helper()
	with(t, g.alice, http.MethodGet, g.info.URL, "", "", navigation)
	answered(t, g.alice, http.StatusOK)
	if page, err := g.alice.page.html(); err != nil || page.Find("#countdown").Length() != 1 {
		t.Errorf("a person's visit does not count down to opening (%v)", err)
	}
	g.since = len(g.logText(t))
	if err := g.alice.submit("reason", map[string][]string{"for": {"5m0s"}, "reason": {nasty}}); err != nil {
		t.Fatal(err)
	}
	answered(t, g.alice, http.StatusOK)
	walk(t, g.alice.deadman, g.alice.associated, g.alice.ready)
	g.told(t, `"msg":"audit"`, `"action":"open"`)
	m := regexp.MustCompile(`"msg":"audit".*"subject":"([^"]+)".*"action":"open"`).FindStringSubmatch(g.logText(t)[g.since:])
	if m == nil {
		t.Fatal("the log does not say who opened it")
	}
	h := g.seen(t, g.alice)
	if g.subject, g.held = m[1], &h; h.Mine == nil || len(h.Associations) != 1 {
		t.Fatalf("alice's opening: %+v", h)
	}
}

// reply is what the function answered to an event.
type reply struct {
	status int
	header map[string][]string
	body   string
	fault  string // the function's error, where the event was none of its front's
}

func (r reply) want(t *testing.T, status int, words ...string) {
	t.Helper()
	if r.status != status {
		t.Errorf("answered %d %s%s, want %d", r.status, r.body, r.fault, status)
	}
	for _, w := range words {
		if !strings.Contains(r.body, w) {
			t.Errorf("the answer does not say %q: %s", w, r.body)
		}
	}
}

// request is what a front hands to the function.
type request struct {
	method, path, body string
	query, header      map[string][]string
}

// opens is a request that would open the endpoint.
func opens(header map[string][]string) request {
	return request{method: http.MethodPost, path: "/api/v1/endpoints/office/open", body: `{"for":"1m"}`, header: header}
}

// straight invokes the function with a request, past the front, as whoever may invoke it can.
func (g *gate) straight(t *testing.T, r request) reply {
	t.Helper()
	headers := map[string][]string{"host": {"vpn.localhost"}, "content-type": {asJSON}, "x-forwarded-for": {"127.0.0.1"}, "x-forwarded-proto": {"https"}}
	maps.Copy(headers, r.header)
	if r.query == nil {
		r.query = map[string][]string{}
	}
	if g.o.front.name == frontHTTPAPI {
		joined := map[string]string{}
		for name, values := range headers {
			joined[name] = strings.Join(values, ",")
		}
		return g.invoke(t, map[string]any{
			"version": "2.0", "rawPath": r.path, "rawQueryString": url.Values(r.query).Encode(), "headers": joined, "body": r.body, "isBase64Encoded": false,
			"requestContext": map[string]any{"domainName": "vpn.localhost", "stage": "$default", "http": map[string]string{"method": r.method, "path": r.path, "sourceIp": "127.0.0.1"}},
		})
	}
	return g.invoke(t, map[string]any{
		"requestContext": map[string]any{"elb": map[string]string{"targetGroupArn": "arn:aws:elasticloadbalancing:us-east-1:111122223333:targetgroup/nightlatch/0123456789abcdef"}},
		"httpMethod":     r.method, "path": r.path, "multiValueHeaders": headers, "multiValueQueryStringParameters": r.query, "body": r.body,
	})
}

// invoke calls the function with any event, with the operator's keys.
func (g *gate) invoke(t *testing.T, event any) reply {
	t.Helper()
	send, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := g.alice.aws("lambda", http.MethodPost, "/2015-03-31/functions/nightlatch/invocations", asJSON, send)
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		StatusCode        int
		MultiValueHeaders map[string][]string
		Headers           map[string]string
		Cookies           []string
		Body              string
		ErrorMessage      string
	}
	if err := json.Unmarshal(raw, &a); err != nil {
		t.Fatal(err)
	}
	header := a.MultiValueHeaders
	if header == nil {
		header = map[string][]string{"Set-Cookie": a.Cookies}
	}
	for name, value := range a.Headers {
		header[name] = []string{value}
	}
	return reply{a.StatusCode, header, a.Body, a.ErrorMessage}
}

// raw sends bytes to the front's port as they are, and returns what comes back before the connection ends.
func (g *gate) raw(t *testing.T, text string) string {
	t.Helper()
	c := g.dial(t)
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, strings.ReplaceAll(text, "\n", "\r\n")); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%v after %q", err, answer)
	}
	return string(answer)
}

func (g *gate) dial(t *testing.T) *tls.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", g.listeners[g.o.front.name].Addr().String(), &tls.Config{RootCAs: g.ca.Pool(), ServerName: "vpn.localhost", MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// cookies is the Cookie header that b's browser would send.
func (g *gate) cookies(t *testing.T, b *tourist) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.info.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range b.browser.Jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

// cli runs a command line as an operator does.
func (g *gate) cli(t *testing.T, args ...string) string {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), program)
	c.Args = append([]string{"nightlatch"}, args...) // TestMain goes by the name
	c.Dir, c.Stderr = t.TempDir(), &stderr
	c.Env = append(os.Environ(), "NIGHTLATCH_CONFIG="+filepath.Join(g.function, "nightlatch.yaml"), "AWS_REGION="+g.info.AWS.Region, "AWS_ENDPOINT_URL="+g.info.AWS.EndpointURL,
		"AWS_ACCESS_KEY_ID="+g.info.AWS.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+g.info.AWS.SecretAccessKey, "AWS_EC2_METADATA_DISABLED=true", "AWS_CONFIG_FILE=/nowhere", "AWS_SHARED_CREDENTIALS_FILE=/nowhere")
	out, err := c.Output()
	if err != nil {
		t.Fatalf("nightlatch %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	return string(out)
}

// invocations counts the front's since the attack began.
func (g *gate) invocations(t *testing.T) int {
	t.Helper()
	return len(regexp.MustCompile(`(?m)^\[nightlatch/\d+\] START `).FindAllString(g.logText(t)[g.since:], -1))
}

// wholeLines: no attacker began a line of the log, or put into one what a terminal would obey.
func (g *gate) wholeLines(t *testing.T) {
	t.Helper()
	own := regexp.MustCompile(`^(\[nightlatch(-beat)?/\d+\] )?(\{.*\}|(START|END|REPORT|INIT_START) .*)$`)
	n := 0
	for line := range strings.Lines(g.logText(t)[g.since:]) {
		line = strings.TrimSuffix(line, "\n")
		object := strings.IndexByte(line, '{')
		if !own.MatchString(line) || object >= 0 && !json.Valid([]byte(line[object:])) || strings.ContainsFunc(line, obeyed) {
			t.Errorf("a line of the log that nobody of ours wrote: %q", line)
		}
		n++
	}
	if n == 0 {
		t.Error("the log says nothing of it")
	}
}

// obeyed are the characters that do something where they are shown: control characters, and those that turn text around.
func obeyed(r rune) bool {
	return r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || slices.Contains([]rune{0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e, 0x2066, 0x2067, 0x2068, 0x2069}, r)
}

// canaries looks for every secret that passed a browser, and for what has a secret's form, in all that is kept or shown:
// the log, the table, pages and API, the operator's command line, and the console with its messages to people.
func (g *gate) canaries(t *testing.T) {
	t.Helper()
	g.secrets.check(t, "the log", g.logText(t))
	table, err := os.ReadFile(g.file("dynamodb"))
	if err != nil {
		t.Fatal(err)
	}
	g.secrets.check(t, "the table", string(table))
	g.secrets.check(t, "nightlatch why", g.cli(t, "why", "office", "--json"))
	g.secrets.check(t, "nightlatch session list", g.cli(t, "session", "list", "--json"))
	csv := g.cli(t, "audit", "export")
	g.secrets.check(t, "nightlatch audit export", csv)
	if !strings.Contains(csv, "'=HYPERLINK") || strings.Contains(csv, ",=HYPERLINK") || strings.Contains(csv, `,"=HYPERLINK`) {
		t.Error("the export has alice's reason as a spreadsheet's formula, or not at all")
	}
	for _, path := range []string{"/", "/endpoints/office?look", "/endpoints/none", "/api/v1/endpoints", "/api/v1/endpoints/office", "/api/v1/endpoints/none"} {
		with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", nil)
		text := string(g.alice.page.body)
		if page, err := g.alice.page.html(); err == nil { // a form's token is in its cookie too, which is how it works
			if token := page.Find("input[name='token']").AttrOr("value", ""); token != "" {
				text = strings.ReplaceAll(text, token, "")
			}
		}
		g.secrets.check(t, path, text)
	}
	for _, path := range []string{"api/state", "api/hops"} {
		with(t, g.alice, http.MethodGet, g.info.ConsoleURL+path, "", "", nil)
		answered(t, g.alice, http.StatusOK)
		var shown map[string]any
		if err := json.Unmarshal(g.alice.page.body, &shown); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		delete(shown, "accounts") // the demo's passwords, and the pocket authenticator's codes, which it is there to show
		delete(shown, "authenticator")
		text, err := json.Marshal(unnumbered(shown))
		if err != nil {
			t.Fatal(err)
		}
		g.secrets.check(t, "the console's "+path, string(text))
	}
}

// unnumbered is a value without its numbers, of which one may be a code's six digits by chance.
func unnumbered(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			v[name] = unnumbered(x)
		}
	case []any:
		for i, x := range v {
			v[i] = unnumbered(x)
		}
	case float64:
		return nil
	}
	return v
}

// registry is the Region's key server as attackers find it: load balancers of every account publish there, so that beside
// the demo's keys it serves theirs. What it says of a key id may be a lie, or nothing.
type registry struct {
	mu    sync.Mutex // guards the rest
	says  map[string]http.HandlerFunc
	asked []string // paths
}

// join puts the registry in front of the demo's key server, before the demo serves.
func (k *registry) join(w *world) {
	for i, s := range w.servers {
		if s.name != "aws by name" {
			continue
		}
		w.servers[i].handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if !strings.HasPrefix(r.Host, hostKeys) {
				s.handler.ServeHTTP(rw, r)
				return
			}
			k.mu.Lock()
			k.asked = append(k.asked, r.URL.Path)
			say := k.says[strings.TrimPrefix(r.URL.Path, "/")]
			k.mu.Unlock()
			if say == nil {
				say = s.handler.ServeHTTP
			}
			say(rw, r)
		})
	}
}

// publish lets the registry answer for a new key id, which it returns.
func (k *registry) publish(say http.HandlerFunc) string {
	b := make([]byte, 16)
	rand.Read(b)
	kid := fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
	k.mu.Lock()
	defer k.mu.Unlock()
	k.says[kid] = say
	return kid
}

// fetches is how often a key was asked for.
func (k *registry) fetches() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.asked)
}

func publicKey(t *testing.T, key any) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func serving(raw []byte) http.HandlerFunc {
	return func(rw http.ResponseWriter, _ *http.Request) { rw.Write(raw) }
}

// forger makes x-amzn-oidc-data tokens. By themselves they are what the demo's load balancer signs, for mallory, who may open;
// nobody has its key in production. So whatever an attack changes of one is all that keeps it out.
type forger struct {
	alb   config.ALB
	staff string // the group whose members may open, as the user pool sends it
	kid   string // of the load balancer's key
	key   *ecdsa.PrivateKey
	other struct { // another load balancer's, which is the attacker's own, and whose key the Region's key server serves too
		kid string
		key *ecdsa.PrivateKey
	}
	rsa struct { // the attacker's too
		kid string
		key *rsa.PrivateKey
	}
}

func newForger(t *testing.T, g *gate) *forger {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(g.function, "nightlatch.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse("nightlatch.yaml", raw)
	if err != nil {
		t.Fatal(err)
	}
	var balancer struct {
		Data struct {
			Keys []struct {
				ID      string
				Private []byte
			}
		}
	}
	g.read(t, "alb.state.json", &balancer)
	key, err := x509.ParsePKCS8PrivateKey(balancer.Data.Keys[0].Private)
	if err != nil {
		t.Fatal(err)
	}
	f := &forger{alb: *c.ALB, staff: demoDomain + "//" + c.Access.Groups()["vpn-users"], kid: balancer.Data.Keys[0].ID, key: key.(*ecdsa.PrivateKey)}
	if f.other.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	f.other.kid = g.keys.publish(serving(publicKey(t, &f.other.key.PublicKey)))
	if f.rsa.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	f.rsa.kid = g.keys.publish(serving(publicKey(t, &f.rsa.key.PublicKey)))
	return f
}

// token is one before it is signed.
type token struct {
	header, payload map[string]any
	headerText      string // in place of header
	sign            func(text string) []byte
}

// token makes one of what the load balancer would sign now, changed.
func (f *forger) token(t *testing.T, change func(*token)) string {
	t.Helper()
	exp := time.Now().Add(time.Minute).Unix()
	x := token{
		header:  map[string]any{"typ": "JWT", "alg": "ES256", "kid": f.kid, "signer": f.alb.ARN, "client": f.alb.ClientID, "iss": f.alb.Issuer, "exp": exp},
		payload: map[string]any{"sub": "mallory", "username": "mallory", "email": "mallory@evil.example", groupsClaim: f.staff, "iss": f.alb.Issuer, "exp": exp},
		sign:    es256(f.key),
	}
	if change != nil {
		change(&x)
	}
	header, err := json.Marshal(x.header)
	if err != nil {
		t.Fatal(err)
	}
	if x.headerText != "" {
		header = []byte(x.headerText)
	}
	payload, err := json.Marshal(x.payload)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.URLEncoding.EncodeToString(header) + "." + base64.URLEncoding.EncodeToString(payload)
	return text + "." + base64.URLEncoding.EncodeToString(x.sign(text))
}

// of is the token that the load balancer signs for a person with these claims.
func (f *forger) of(t *testing.T, claims map[string]any) map[string][]string {
	t.Helper()
	return map[string][]string{"x-amzn-oidc-data": {f.token(t, func(x *token) { maps.Copy(x.payload, claims) })}}
}

func es256(key *ecdsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		r, s, _ := ecdsa.Sign(rand.Reader, key, sum[:])
		return append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	}
}

func inDER(key *ecdsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		der, _ := ecdsa.SignASN1(rand.Reader, key, sum[:])
		return der
	}
}

func rs256(key *rsa.PrivateKey) func(string) []byte {
	return func(text string) []byte {
		sum := sha256.Sum256([]byte(text))
		signature, _ := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
		return signature
	}
}

func hs256(secret []byte) func(string) []byte {
	return func(text string) []byte {
		m := hmac.New(sha256.New, secret)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
}

// TestThreatsAreListed: docs/threats.md names every attack, and no other.
func TestThreatsAreListed(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "threats.md"))
	if err != nil {
		t.Fatal(err)
	}
	// What is tried at both fronts is listed for one of them.
	listed, somewhere := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile("`TestAttacks/([^`]+)`").FindAllStringSubmatch(string(raw), -1) {
		listed[m[1]] = true
		_, name, _ := strings.Cut(m[1], "/")
		somewhere[name] = true
	}
	all := map[string]bool{}
	for _, f := range fronts {
		for _, a := range slices.Concat(f.off, f.open) {
			name := f.name + "/" + a.name
			if all[name] {
				t.Errorf("two attacks are called %s", name)
			}
			if all[name] = true; !somewhere[a.name] {
				t.Errorf("docs/threats.md does not list TestAttacks/%s", name)
			}
			if a.has == "" || strings.ContainsAny(a.name, "`|/\n") {
				t.Errorf("%s: an attack says what the attacker has and wants, and its name can stand in a table and be a subtest's", name)
			}
		}
	}
	for name := range listed {
		if !all[name] {
			t.Errorf("docs/threats.md lists TestAttacks/%s, which is no attack", name)
		}
	}
	if len(all) < leastAttacks {
		t.Errorf("%d attacks, want at least %d", len(all), leastAttacks)
	}
}
