package e2e

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// TestHTTPAPI is the founding journey behind an API Gateway in the load balancer's place, which leaves the sign-in to the
// function: its issuer is the user pool.
func TestHTTPAPI(t *testing.T) {
	t.Parallel()
	d := start(t, append([]string{"--front", "httpapi"}, quick...)...)
	for i, o := range []browser.Options{{Window: browser.Phone, Language: "ko"}, {Window: browser.Desktop, Language: "en", NoScript: true}} {
		if !t.Run(o.Window.Name, func(t *testing.T) {
			p := journey(t, d, d.Users[i], o)
			must(t, p.Follow("footer form button"), "sign out")
			signedOut(t, p, d)
		}) {
			return // it may still be open, and the next one begins with "off"
		}
	}
}

// signedOut waits for the page at the end of a sign-out, and looks for what is left of the session.
func signedOut(t *testing.T, p *browser.Person, d *demo.Demo) {
	t.Helper()
	must(t, p.Until(`location.pathname === "/signed-out" && document.readyState === "complete"`), "signed-out page")
	if n, err := p.ForgetCookies(d.URL, sessionCookie); err != nil || n != 0 {
		t.Errorf("%d session cookies are left (%v)", n, err)
	}
}

const sessionCookie = "__Host-nightlatch-session"

// issuer is an OpenID Connect provider of other people's making, on this machine, and as JSON what it is told.
type issuer struct {
	Issuer       string `json:"issuer"`
	Certificate  string `json:"certificate"` // file, as the key
	Key          string `json:"key"`
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RedirectURL  string `json:"redirect_url"`
	SignedOutURL string `json:"signed_out_url"`
	Email        string `json:"email"`
	Name         string `json:"name"`
	Password     string `json:"password"`
	ca           string // file
	port         int
}

// newIssuer makes all that a demo must know of an issuer, which can be started when that knows the demo.
func newIssuer(t *testing.T, path string) issuer {
	t.Helper()
	i := issuer{
		ClientID: "nightlatch-e2e", ClientSecret: "a secret: +/&%=", // RFC 6749 section 2.3.1 has it encoded twice in a header
		Email: "zoe@issuer.example", Name: "Zoé Müller", Password: "from-elsewhere", port: freePort(t),
	}
	i.Issuer = fmt.Sprintf("https://127.0.0.1:%d%s", i.port, path)
	i.ca, i.Certificate, i.Key = authority(t, t.TempDir())
	return i
}

// authority makes a certificate authority, and by it a certificate and a key for 127.0.0.1. It returns their files.
func authority(t *testing.T, dir string) (ca, crt, key string) {
	t.Helper()
	write := func(name, kind string, der []byte) string {
		t.Helper()
		file := filepath.Join(dir, name)
		must(t, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600), "write %s", name)
		return file
	}
	sign := func(subject, parent *x509.Certificate, public, signer *ecdsa.PrivateKey) []byte {
		t.Helper()
		subject.SerialNumber, subject.NotBefore, subject.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Minute), time.Now().Add(24*time.Hour)
		subject.BasicConstraintsValid = true
		der, err := x509.CreateCertificate(rand.Reader, subject, parent, public.Public(), signer)
		must(t, err, "certify %s", subject.Subject)
		return der
	}
	root, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err, "make a key")
	leaf, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err, "make a key")
	private, err := x509.MarshalPKCS8PrivateKey(leaf)
	must(t, err, "encode a key")
	parent := &x509.Certificate{Subject: pkix.Name{CommonName: "e2e CA"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign}
	ca = write("ca.pem", "CERTIFICATE", sign(parent, parent, root, root))
	crt = write("issuer.pem", "CERTIFICATE", sign(&x509.Certificate{
		Subject: pkix.Name{CommonName: "issuer"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, parent, leaf, root))
	return ca, crt, write("issuer.key", "PRIVATE KEY", private)
}

// TestOIDCProvider: oidc-provider from npm as the issuer. It has sessions of its own, which a sign-out ends too.
func TestOIDCProvider(t *testing.T) {
	t.Parallel()
	program := tool(t, "node", "Debian: apt-get install nodejs npm")
	if _, err := os.Stat("node_modules/oidc-provider"); err != nil {
		missing(t, "no node_modules/oidc-provider (npm ci, in e2e/)")
	}
	foreignSignIn(t, newIssuer(t, ""), true, program, "node/issuer.mjs")
}

// TestDex: dex as the issuer, under a path. It knows nobody a second time, and has no address to sign out at.
func TestDex(t *testing.T) {
	t.Parallel()
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", ".")
	list.Dir, list.Env = "dex", append(os.Environ(), "GOPROXY=off")
	if out, err := list.CombinedOutput(); err != nil {
		missing(t, "dex's modules are not here (go build -o /dev/null ., in e2e/dex/): %s", bytes.TrimSpace(out[:min(len(out), 200)]))
	}
	program := filepath.Join(t.TempDir(), "dex")
	build := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", program, ".")
	build.Dir = "dex"
	out, err := build.CombinedOutput()
	must(t, err, "build dex: %s", out)
	foreignSignIn(t, newIssuer(t, "/dex"), false, program)
}

// foreignSignIn walks somebody through a day with a foreign issuer, which the arguments run. One that remembers whom it
// signed in lets them in again unasked, until they sign out.
func foreignSignIn(t *testing.T, i issuer, remembers bool, program string, args ...string) {
	d := startWith(t, t.TempDir(), []string{"NIGHTLATCH_OIDC_CLIENT_SECRET=" + i.ClientSecret},
		append([]string{"--front", "httpapi", "--oidc-issuer", i.Issuer, "--oidc-client-id", i.ClientID, "--oidc-ca", i.ca}, quick...)...)
	if d.OIDC == nil {
		t.Fatal("demo.json does not say what to tell the issuer")
	}
	i.RedirectURL, i.SignedOutURL = d.OIDC.RedirectURL, d.OIDC.LogoutRedirectURL
	settings, err := json.Marshal(i)
	must(t, err, "settings")
	serve(t, i.port, exec.Command(program, append(args, string(settings))...))

	p := person(t, browser.Options{Window: browser.Phone})
	asked := func() {
		t.Helper()
		must(t, p.Until(`location.hostname === "127.0.0.1" && document.querySelector("input[name=login]")`), "asked at the issuer who they are")
	}
	signIn := func() {
		t.Helper()
		asked()
		must(t, p.Type("input[name=login]", i.Email), "type the name")
		must(t, p.Type("input[name=password]", i.Password), "type the password")
		must(t, p.Follow("#submit-login"), "send them")
		must(t, p.Arrive(), "arrive")
		if says := p.Sees(); !strings.Contains(says, "Signed in as "+i.Name) {
			t.Errorf("the page does not call %s by the name that the issuer gives:\n%s", i.Email, says)
		}
	}
	must(t, p.Visit(d.URL), "visit")
	signIn()
	must(t, p.Follow("#form-open button[type=submit]"), "open")
	must(t, p.State("open"), "ready")

	// Somebody at a command line ends the session, and the page that is open is out with the next question that it asks.
	before := cookieOf(t, p, d)
	if got := with(t, d, before); got != http.StatusOK {
		t.Fatalf("the session's cookie is answered with %d, so what follows would prove nothing", got)
	}
	revoke(t, d)
	if got := with(t, d, before); got != http.StatusUnauthorized {
		t.Errorf("after the session was revoked its cookie is answered with %d, want 401", got)
	}
	must(t, p.Until(`document.querySelector("#expired")?.checkVisibility()`), "the page says that the sign-in is over")
	for _, c := range p.Complaints() {
		if !strings.Contains(c, "401") { // which the browser notes
			t.Errorf("in the browser: %s", c)
		}
	}
	must(t, p.Follow("#expired a.button"), "sign in again")
	if !remembers {
		signIn()
	}
	must(t, p.Until(`document.querySelector("h1.open") && document.querySelector("#form-done")`), "back on the page, the time kept")

	last := cookieOf(t, p, d)
	if last == before {
		t.Error("the second sign-in has the first one's session")
	}
	must(t, p.Follow("footer form button"), "sign out")
	if remembers {
		must(t, p.Until(`location.hostname === "127.0.0.1"`), "at the issuer")
		must(t, p.Follow("button[name=logout]"), "sign out there too")
	}
	signedOut(t, p, d)
	if got := with(t, d, last); got != http.StatusUnauthorized {
		t.Errorf("after the sign-out the session's cookie is answered with %d, want 401", got)
	}
	must(t, p.Visit(d.URL), "visit")
	asked()
}

// cookieOf is the session's cookie, as the browser last sent it.
func cookieOf(t *testing.T, p *browser.Person, d *demo.Demo) string {
	t.Helper()
	for _, r := range slices.Backward(p.Requests()) {
		if !strings.HasPrefix(r.URL, d.URL) {
			continue
		}
		for pair := range strings.SplitSeq(r.Headers["cookie"], "; ") {
			if strings.HasPrefix(pair, sessionCookie+"=") {
				return pair
			}
		}
	}
	t.Fatal("the browser sent no session's cookie")
	return ""
}

// with asks for the endpoints with nothing but a cookie, and returns the status.
func with(t *testing.T, d *demo.Demo, cookie string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, d.URL+"api/v1/endpoints", nil)
	must(t, err, "ask")
	r.Header.Set("Cookie", cookie)
	resp, err := d.Client.Do(r)
	must(t, err, "ask")
	resp.Body.Close()
	return resp.StatusCode
}

// revoke ends everybody's sessions, as an operator does who finds them in the list.
func revoke(t *testing.T, d *demo.Demo) {
	t.Helper()
	var list struct {
		Sessions []struct{ Subject, Name string }
	}
	must(t, json.Unmarshal(nightlatch(t, d, "session", "list", "--json"), &list), "read the list")
	if len(list.Sessions) != 1 {
		t.Fatalf("got %d sessions, want one: %+v", len(list.Sessions), list.Sessions)
	}
	nightlatch(t, d, "session", "revoke", list.Sessions[0].Subject)
}
