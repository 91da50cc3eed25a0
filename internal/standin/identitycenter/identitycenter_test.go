package identitycenter_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/PuerkitoBio/goquery"
	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	"github.com/pquerna/otp/totp"

	"github.com/nightlatch/nightlatch/internal/standin/directory"
	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
)

const (
	acsURL   = "https://cognito.localhost/saml2/idpresponse"
	audience = "urn:amazon:cognito:sp:us-east-1_Example01"
	startURL = "https://vpn.localhost/"
)

// chain is a directory, an Identity Center before it, and a service provider that nobody here wrote.
type chain struct {
	t         *testing.T
	directory *directory.Server
	stopLDAP  func()
	idc       *identitycenter.Server
	cfg       identitycenter.Config
	handler   *atomic.Pointer[http.Handler]
	web       *httptest.Server
	log       *syncBuffer
	sp        *saml.ServiceProvider
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{t: t, log: &syncBuffer{}, handler: &atomic.Pointer[http.Handler]{}}
	log := slog.New(slog.NewJSONHandler(c.log, nil))
	var err error
	c.directory, err = directory.New(directory.Config{
		Domain: "corp.example", ServiceAccount: "svc-idc", ServicePassword: "service-Passw0rd", Iterations: 10, Log: log,
		Users: []directory.User{
			{Username: "alice", Password: "alice-Passw0rd", GivenName: "Alice", Initials: "Q", Surname: "Lee", Email: "alice@corp.example"},
			{Username: "bob", Password: "bob-Passw0rd", GivenName: "Bob", Surname: "Kim", Email: "bob@corp.example"}, // in no group
			{Username: "carol", Password: "carol-Passw0rd", Disabled: true},
			{Username: "dave", Password: "dave-Passw0rd", Locked: true},
			{Username: "erin", Password: "erin-Passw0rd", Expired: true},
			{Username: "frank", Password: "frank-Passw0rd", MustChange: true},
			{Username: "grace", Password: "grace-Passw0rd", PasswordExpired: true},
			{Username: "heidi", Password: "heidi-Passw0rd"}, // has no mail
			{Username: "ivan", Password: "ivan-Passw0rd", OutOfHours: true},
			{Username: "judy", Password: "judy-Passw0rd", OtherComputer: true},
		},
		Groups: []directory.Group{{Name: "VPN Users", Members: []string{"Engineering", "heidi"}}, {Name: "Engineering", Members: []string{"alice"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Identity Center can be made only once the server's address is known, and is made again by a restart.
	c.web = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*c.handler.Load()).ServeHTTP(w, r) }))
	t.Cleanup(c.web.Close)
	trust := c.web.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	port := c.startLDAP("0")

	c.cfg = identitycenter.Config{
		BaseURL: c.web.URL, LDAPURL: "ldaps://127.0.0.1:" + port, LDAPTLS: &tls.Config{RootCAs: trust},
		BindDN: "svc-idc@corp.example", BindPassword: "service-Passw0rd", BaseDN: c.directory.BaseDN(), Domain: "corp.example",
		Application:    identitycenter.Application{Name: "Client VPN", ACSURL: acsURL, Audience: audience, StartURL: startURL, AssignedGroups: []string{"VPN Users"}},
		EmailAttribute: "mail", StateFile: filepath.Join(t.TempDir(), "identity-center.json"), Log: log,
	}
	c.idc, err = identitycenter.New(c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.handler.Store(new(c.idc.Handler()))
	c.sync()

	c.introduce()
	return c
}

// introduce lets the service provider read the metadata.
func (c *chain) introduce() {
	c.t.Helper()
	c.sp = &saml.ServiceProvider{EntityID: audience, AcsURL: *parseURL(c.t, acsURL), IDPMetadata: &saml.EntityDescriptor{}}
	r, err := c.web.Client().Get(c.idc.MetadataURL())
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	if err := xml.NewDecoder(r.Body).Decode(c.sp.IDPMetadata); err != nil {
		c.t.Fatal(err)
	}
}

// startLDAP serves the directory, until the test or stopLDAP ends it.
func (c *chain) startLDAP(port string) string {
	c.t.Helper()
	ln, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", port), &tls.Config{Certificates: c.web.TLS.Certificates})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	done := make(chan error)
	go func() { done <- c.directory.Serve(ctx, ln) }()
	c.stopLDAP = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			c.t.Error(err)
		}
	})
	c.t.Cleanup(c.stopLDAP)
	return parseURL(c.t, "ldaps://"+ln.Addr().String()).Port()
}

// remake makes Identity Center anew, as a restart with another configuration does.
func (c *chain) remake(change func(*identitycenter.Config)) {
	c.t.Helper()
	change(&c.cfg)
	var err error
	if c.idc, err = identitycenter.New(c.cfg); err != nil {
		c.t.Fatal(err)
	}
	c.sync()
	c.handler.Store(new(c.idc.Handler()))
}

func (c *chain) sync() {
	c.t.Helper()
	if err := c.idc.SyncNow(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

// in is the chain for a subtest.
func (c chain) in(t *testing.T) *chain {
	c.t = t
	return &c
}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// browser keeps cookies and follows redirects within Identity Center.
type browser struct {
	t      *testing.T
	c      *chain
	client *http.Client
}

type shown struct {
	t      *testing.T
	status int
	url    *url.URL
	header http.Header
	*goquery.Document
}

func (c *chain) browser() *browser {
	jar, _ := cookiejar.New(nil)
	return &browser{c.t, c, &http.Client{Jar: jar, Transport: c.web.Client().Transport}}
}

func (b *browser) do(r *http.Request) *shown {
	b.t.Helper()
	resp, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	doc, err := goquery.NewDocumentFromReader(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return &shown{b.t, resp.StatusCode, resp.Request.URL, resp.Header, doc}
}

func (b *browser) get(url string) *shown {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "GET", url, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

func (b *browser) post(url string, form url.Values, header ...string) *shown {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), "POST", url, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// submit posts the page's form with its hidden fields and the given ones.
func (b *browser) submit(p *shown, fields ...string) *shown {
	b.t.Helper()
	form := p.form()
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	action, ok := p.Find("main form").Attr("action")
	if !ok {
		b.t.Fatalf("no form on the page %q: %s", p.Find("h1").Text(), p.err())
	}
	return b.post(p.url.ResolveReference(parseURL(b.t, action)).String(), form)
}

func (p *shown) form() url.Values {
	form := url.Values{}
	p.Find("main form input:not([type=checkbox])").Each(func(_ int, in *goquery.Selection) {
		form.Set(in.AttrOr("name", ""), in.AttrOr("value", ""))
	})
	return form
}

func (p *shown) err() string { return p.Find(`#error[role="alert"]`).Text() }

func (p *shown) want(status int, contains string) *shown {
	p.t.Helper()
	if text := p.Find("body").Text(); p.status != status || !strings.Contains(text, contains) {
		p.t.Fatalf("got %d %q, want %d and %q", p.status, strings.Join(strings.Fields(text), " "), status, contains)
	}
	return p
}

// request makes an AuthnRequest and the address that it goes to.
func (c *chain) request() (id, address string) {
	c.t.Helper()
	q, err := c.sp.MakeAuthenticationRequest(c.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding), saml.HTTPRedirectBinding, saml.HTTPPostBinding)
	if err != nil {
		c.t.Fatal(err)
	}
	u, err := q.Redirect("relay", c.sp)
	if err != nil {
		c.t.Fatal(err)
	}
	return q.ID, u.String()
}

// accept lets the service provider check the page's response.
func (c *chain) accept(p *shown, id string) (*saml.Assertion, error) {
	c.t.Helper()
	if p.Find("form#saml").Length() != 1 {
		c.t.Fatalf("got the page %q (%s), want the one with the response", p.Find("h1").Text(), p.err())
	}
	return c.parse(p.form(), id)
}

func (c *chain) parse(form url.Values, id string) (*saml.Assertion, error) {
	r := httptest.NewRequest("POST", acsURL, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		c.t.Fatal(err)
	}
	a, err := c.sp.ParseResponse(r, []string{id})
	if e, ok := err.(*saml.InvalidResponseError); ok {
		err = e.PrivateErr
	}
	return a, err
}

// enrol goes through the first sign-in of a person and returns the last page, the key and the step that was spent.
func (b *browser) enrol(address, user string) (page *shown, key string, step int64) {
	b.t.Helper()
	p := b.submit(b.get(address), "username", user, "password", user+"-Passw0rd").want(200, "Register your authenticator")
	key = p.Find("#totp-key").Text()
	step = time.Now().Unix() / 30
	return b.submit(p, "code", codeAt(b.t, key, step)), key, step
}

func codeAt(t *testing.T, key string, step int64) string {
	t.Helper()
	code, err := totp.GenerateCode(key, time.Unix(step*30, 0))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestJourney(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	id, address := c.request()
	p := b.get(address).want(200, "User name")
	if csp := p.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "script-src") {
		t.Errorf("the sign-in page's policy %q lets script in", csp)
	}
	p = b.submit(p, "username", `CORP\alice`, "password", "alice-Passw0rd").want(200, "Register your authenticator")
	key := p.Find("#totp-key").Text()
	link, _ := p.Find("a#otpauth").Attr("href")
	if u := parseURL(t, link); u.Scheme != "otpauth" || u.Query().Get("secret") != key {
		t.Errorf("the link beside the QR code is %q, want an otpauth:// address with the key", link)
	}
	if src, _ := p.Find("img#qr").Attr("src"); !strings.HasPrefix(src, "data:image/png;base64,") {
		t.Errorf("the QR code's source is %.40q", src)
	}
	b.submit(p, "code", "abc").want(400, "six digits")
	step := time.Now().Unix() / 30
	wrong := "000000"
	for s := step - 2; s <= step+2; s++ {
		if codeAt(t, key, s) == wrong {
			wrong = "000001"
		}
	}
	p = b.submit(p, "code", wrong).want(403, "That code is not correct")
	if p.Find("#totp-key").Text() != key {
		t.Error("a wrong code changed the key: the app that scanned it would be lost")
	}
	p = b.submit(p, "code", codeAt(t, key, step)[:3]+" "+codeAt(t, key, step)[3:]).want(200, "You are signed in")

	a, err := c.accept(p, id)
	if err != nil {
		t.Fatalf("the service provider refused: %v", err)
	}
	if n := a.Subject.NameID; n.Value != "alice@corp.example" || n.Format != string(saml.PersistentNameIDFormat) {
		t.Errorf("subject: got %+v, want the UPN, persistent", n)
	}
	if attrs := a.AttributeStatements[0].Attributes; len(attrs) != 1 || attrs[0].Name != "Email" || attrs[0].Values[0].Value != "alice@corp.example" {
		t.Errorf("attributes: got %+v, want Email", attrs)
	}
	if s := a.AuthnStatements[0]; s.SessionIndex == "" || s.AuthnContext.AuthnContextClassRef == nil {
		t.Errorf("authentication statement: got %+v", s)
	}
	if d := a.Conditions.NotOnOrAfter.Sub(a.Conditions.NotBefore); d != 5*time.Minute {
		t.Errorf("validity: got %v, want 5 minutes", d)
	}
	if got := p.form().Get("RelayState"); got != "relay" {
		t.Errorf("relay state: got %q", got)
	}
	raw, _ := base64.StdEncoding.DecodeString(p.form().Get("SAMLResponse"))
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(raw); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/Response/Signature", "/Response/Assertion/Signature"} {
		if m := doc.FindElement(path + "/SignedInfo/SignatureMethod"); m == nil || m.SelectAttrValue("Algorithm", "") != "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" {
			t.Errorf("%s: want it signed with RSA-SHA256", path)
		}
		if m := doc.FindElement(path + "/SignedInfo/CanonicalizationMethod"); m == nil || m.SelectAttrValue("Algorithm", "") != "http://www.w3.org/2001/10/xml-exc-c14n#" {
			t.Errorf("%s: want exclusive canonicalization", path)
		}
		if m := doc.FindElement(path + "/SignedInfo/Reference/DigestMethod"); m == nil || m.SelectAttrValue("Algorithm", "") != "http://www.w3.org/2001/04/xmlenc#sha256" {
			t.Errorf("%s: want SHA-256 digests", path)
		}
	}
	if d := doc.FindElement("//SubjectConfirmationData"); d.SelectAttr("Address") != nil || d.SelectAttrValue("InResponseTo", "") != id {
		t.Errorf("SubjectConfirmationData: got %v, want InResponseTo and no Address", d.Attr)
	}

	t.Run("going back finds the sign-in finished", func(t *testing.T) {
		b.get(p.url.String()).want(400, "This sign-in is over")
		b.get(address).want(400, "was used before")
	})
	t.Run("a second visit needs no password", func(t *testing.T) {
		id, address := c.request()
		if _, err := c.accept(b.get(address), id); err != nil {
			t.Error(err)
		}
	})
	t.Run("unless the application wants a fresh sign-in", func(t *testing.T) {
		c.sp.ForceAuthn = new(true)
		defer func() { c.sp.ForceAuthn = nil }()
		_, address := c.request()
		b.get(address).want(200, "Password")
	})
	t.Run("after signing out it does, and the spent code is refused", func(t *testing.T) {
		portal := b.get(c.web.URL).want(200, "Signed in as Alice Lee")
		b.submit(portal).want(200, "You are not signed in")
		id, address := c.request()
		p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
		p = b.submit(p, "code", codeAt(t, key, step)).want(403, "was used already")
		p = b.submit(p, "code", codeAt(t, key, step+1))
		if _, err := c.accept(p, id); err != nil {
			t.Error(err)
		}
	})
	t.Run("a disabled account ends the session", func(t *testing.T) {
		if err := c.directory.SetDisabled("alice", true); err != nil {
			t.Fatal(err)
		}
		other := c.browser()
		_, address := c.request()
		other.submit(other.get(address), "username", "alice", "password", "alice-Passw0rd").want(403, "Your account is disabled")
		c.sync() // the session lives until the sync
		_, address = c.request()
		p := b.get(address).want(403, "your account changed")
		b.submit(p, "username", "alice", "password", "alice-Passw0rd").want(403, "Your account is disabled")
	})
	for _, secret := range []string{"Passw0rd", key, codeAt(t, key, step), "SAMLResponse"} {
		if strings.Contains(c.log.String(), secret) {
			t.Errorf("the log holds a secret: %.6s…", secret)
		}
	}
}

func TestPasswords(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	p := b.get(address)
	for name, tc := range map[string]struct {
		user, password string
		status         int
		sentence       string
	}{
		"a wrong password":                {"alice", "wrong", 403, "The user name or the password is not correct."},
		"an unknown user":                 {"nobody", "wrong", 403, "The user name or the password is not correct."},
		"a foreign domain":                {`OTHER\alice`, "alice-Passw0rd", 403, "The user name or the password is not correct."},
		"a filter injected":               {"a*", "alice-Passw0rd", 403, "The user name or the password is not correct."},
		"a group's name":                  {"VPN Users", "x", 403, "The user name or the password is not correct."},
		"disabled":                        {"carol", "carol-Passw0rd", 403, "is disabled"},
		"disabled, with a wrong password": {"carol", "wrong", 403, "The user name or the password is not correct."},
		"locked":                          {"dave", "dave-Passw0rd", 403, "is locked"},
		"an expired account":              {"erin", "erin-Passw0rd", 403, "account has expired"},
		"must change":                     {"frank", "frank-Passw0rd", 403, "must change your password"},
		"an expired password":             {"grace@corp.example", "grace-Passw0rd", 403, "password has expired"},
		"out of hours":                    {"ivan", "ivan-Passw0rd", 403, "may not sign in at this time"},
		"out of hours, wrong password":    {"ivan", "wrong", 403, "The user name or the password is not correct."},
		"another computer":                {"judy", "judy-Passw0rd", 403, "on certain computers only"},
		"no password":                     {"alice", "", 400, "Enter your user name"},
		"no name":                         {" ", "x", 400, "Enter your user name"},
		"a name with a NUL":               {"alice\x00", "x", 400, "Enter your user name"},
	} {
		t.Run(name, func(t *testing.T) {
			got := b.submit(p, "username", tc.user, "password", tc.password)
			if got.status != tc.status || !strings.Contains(got.err(), tc.sentence) {
				t.Errorf("got %d %q, want %d %q", got.status, got.err(), tc.status, tc.sentence)
			}
			if v := got.form().Get("password"); v != "" {
				t.Error("the page carries the password back")
			}
		})
	}
}

func TestAccess(t *testing.T) {
	c := newChain(t)
	for user, why := range map[string]string{"bob": "not assigned", "heidi": "no e-mail address"} {
		_, address := c.request()
		p, _, _ := c.browser().enrol(address, user)
		p.want(403, "No access")
		if !strings.Contains(c.log.String(), why) {
			t.Errorf("%s: the log does not say %q", user, why)
		}
	}
}

func TestCodesLockOut(t *testing.T) {
	c := newChain(t)
	_, address := c.request()
	_, key, step := c.browser().enrol(address, "alice")

	b := c.browser() // somebody else, who knows the password only
	_, address = c.request()
	p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
	if p.Find("#totp-key, #qr").Length() != 0 {
		t.Fatal("the key is shown to who has only the password")
	}
	for range 4 {
		p = b.submit(p, "code", codeAt(t, key, step+100)).want(403, "not correct")
	}
	p = b.submit(p, "code", codeAt(t, key, step+100)).want(429, "Too many wrong codes")
	b.submit(p, "code", codeAt(t, key, step+1)).want(429, "Too many wrong codes")

	if err := c.idc.ResetMFA("ALICE"); err != nil {
		t.Fatal(err)
	}
	if err := c.idc.ResetMFA("alice"); err == nil {
		t.Error("resetting a person without an authenticator gave no error")
	}
	b.get(address).want(200, "Register your authenticator")
}

// encode is the redirect binding's encoding.
func encode(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	io.WriteString(w, s)
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

func TestRequests(t *testing.T) {
	c := newChain(t)
	sso := c.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding)
	good := map[string]string{
		"id": "_1", "version": "2.0", "instant": time.Now().UTC().Format(time.RFC3339), "destination": sso, "acs": acsURL, "issuer": audience,
		"more": "", "before": "", "after": "",
	}
	build := func(change map[string]string) string {
		v := map[string]string{}
		for k, x := range good {
			v[k] = x
		}
		for k, x := range change {
			v[k] = x
		}
		return fmt.Sprintf(`%s<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="%s" Version="%s" IssueInstant="%s" Destination="%s" AssertionConsumerServiceURL="%s" %s><a:Issuer>%s</a:Issuer></p:AuthnRequest>%s`,
			v["before"], v["id"], v["version"], v["instant"], v["destination"], v["acs"], v["more"], v["issuer"], v["after"])
	}
	for name, change := range map[string]map[string]string{
		"foreign issuer":              {"issuer": "urn:somebody:else"},
		"foreign consumer":            {"acs": "https://evil.example/acs"},
		"another endpoint's":          {"destination": "https://other.example/saml/sso"},
		"too old":                     {"instant": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)},
		"from the future":             {"instant": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)},
		"no time":                     {"instant": ""},
		"no id":                       {"id": ""},
		"an id that is not one":       {"id": "1 &quot;"},
		"SAML 1.1":                    {"version": "1.1"},
		"a consumer by index":         {"more": `AssertionConsumerServiceIndex="1"`},
		"another binding":             {"more": `ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact"`},
		"passive":                     {"more": `IsPassive="true"`},
		"a document type":             {"before": `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>`},
		"an issuer cut by a comment":  {"issuer": audience + "<!-- -->x"},
		"a second document after it":  {"after": "<x/>"},
		"larger than anybody's":       {"more": `x="` + strings.Repeat("a", 70_000) + `"`},
		"text that is not XML at all": {"before": "nonsense"},
	} {
		t.Run(name, func(t *testing.T) {
			c, raw := c.in(t), build(change)
			c.browser().get(sso+"?SAMLRequest="+url.QueryEscape(encode(raw))).want(400, "not valid here")
			c.browser().post(sso, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(raw))}}).want(400, "not valid here")
		})
	}
	for name, query := range map[string]string{
		"no request at all": "", "not base64": "SAMLRequest=%%%", "not deflated": "SAMLRequest=AAAA",
		"another encoding":   "SAMLEncoding=x&SAMLRequest=" + url.QueryEscape(encode(build(nil))),
		"a deflate bomb":     "SAMLRequest=" + url.QueryEscape(encode(strings.Repeat(" ", 10<<20))),
		"a huge relay state": "SAMLRequest=" + url.QueryEscape(encode(build(nil))) + "&RelayState=" + strings.Repeat("r", 5000),
	} {
		t.Run(name, func(t *testing.T) { c.in(t).browser().get(sso+"?"+query).want(400, "not valid here") })
	}

	t.Run("a replay from another browser", func(t *testing.T) {
		c := c.in(t)
		_, address := c.request()
		b := c.browser()
		first := b.get(address).want(200, "Password")
		c.browser().get(address).want(400, "was used before")
		if again := b.get(address).want(200, "Password"); again.url.String() != first.url.String() {
			t.Error("a reload in the same browser began a second sign-in")
		}
	})
	t.Run("by the POST binding, cross-site", func(t *testing.T) {
		c := c.in(t)
		b := c.browser()
		p := b.post(sso, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(build(map[string]string{"id": "_post"})))}, "RelayState": {`r"<>&`}},
			"Sec-Fetch-Site", "cross-site", "Origin", "https://cognito.localhost").want(200, "Password")
		p = b.submit(p, "username", "alice@corp.example", "password", "alice-Passw0rd")
		p = b.submit(p, "code", codeAt(t, p.Find("#totp-key").Text(), time.Now().Unix()/30))
		if _, err := c.accept(p, "_post"); err != nil {
			t.Error(err)
		}
		if got := p.form().Get("RelayState"); got != `r"<>&` {
			t.Errorf("relay state: got %q", got)
		}
	})
}

func TestFlowIsBound(t *testing.T) {
	c := newChain(t)
	victim, attacker := c.browser(), c.browser()
	_, address := c.request()
	p := victim.get(address)
	right := []string{"username", "alice", "password", "alice-Passw0rd"}

	attacker.get(p.url.String()).want(400, "belongs to another browser")
	attacker.submit(p, right...).want(400, "belongs to another browser")
	victim.submit(p, append(right, "token", "guessed")...).want(400, "belongs to another browser")
	form := p.form()
	form.Set("username", "alice")
	form.Set("password", "alice-Passw0rd")
	victim.post(c.web.URL+"/signin", form, "Sec-Fetch-Site", "cross-site").want(403, "came from another site")
	victim.submit(p, "code", "123456").want(400, "Enter your user name")
	victim.post(c.web.URL+"/signin/code", url.Values{"flow": form["flow"], "token": form["token"], "code": {"123456"}}).want(200, "Password")
	victim.submit(p, right...).want(200, "Register your authenticator")
}

func TestAlteredResponses(t *testing.T) {
	c := newChain(t)
	id, address := c.request()
	p, _, _ := c.browser().enrol(address, "alice")
	raw, err := base64.StdEncoding.DecodeString(p.form().Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	for name, alter := range map[string]func(string) string{
		"another person":       func(s string) string { return strings.ReplaceAll(s, "alice@corp", "admin@corp") },
		"a longer life":        func(s string) string { return strings.Replace(s, `NotOnOrAfter="20`, `NotOnOrAfter="21`, 1) },
		"no signature left":    func(s string) string { return cut(cut(s)) },
		"for another audience": func(s string) string { return strings.ReplaceAll(s, html.EscapeString(audience), "urn:x") },
	} {
		t.Run(name, func(t *testing.T) {
			altered := alter(string(raw))
			if altered == string(raw) {
				t.Fatal("nothing was altered")
			}
			if _, err := c.parse(url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(altered))}}, id); err == nil {
				t.Error("the service provider took it")
			}
		})
	}
	if _, err := c.parse(p.form(), "another-request"); err == nil {
		t.Error("the response was taken for another request")
	}
	if _, err := c.accept(p, id); err != nil {
		t.Errorf("unaltered: %v", err)
	}
}

// cut removes the first signature.
func cut(s string) string {
	before, rest, _ := strings.Cut(s, "<ds:Signature ")
	_, after, _ := strings.Cut(rest, "</ds:Signature>")
	return before + after
}

func TestDirectoryDown(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	p := b.get(address)
	signedIn := c.browser()
	_, second := c.request()
	signedIn.enrol(second, "alice")

	c.stopLDAP()
	got := b.submit(p, "username", "alice", "password", "alice-Passw0rd").want(503, "does not answer")
	if got.form().Get("username") != "alice" || got.form().Get("token") == "" || got.header.Get("Retry-After") == "" {
		t.Error("the sign-in was lost, or no Retry-After sent")
	}
	_, third := c.request()
	signedIn.get(third).want(200, "You are signed in")
	if err := c.idc.SyncNow(t.Context()); !errors.Is(err, identitycenter.ErrUnreachable) {
		t.Errorf("a sync without the directory: got %v", err)
	}
	_, third = c.request()
	signedIn.get(third).want(200, "You are signed in")                                      // what fails locks nobody out
	b.submit(p, "username", "zoe", "password", "zoe-Passw0rd").want(503, "does not answer") // nobody's name is no other

	c.startLDAP(parseURL(t, c.cfg.LDAPURL).Port())
	b.submit(got, "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
}

func TestRestart(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	_, key, step := b.enrol(address, "alice")

	again, err := identitycenter.New(c.cfg)
	if err != nil {
		t.Fatal(err)
	}
	if again.MetadataURL() != c.idc.MetadataURL() {
		t.Error("the metadata's address changed")
	}
	c.handler.Store(new(again.Handler()))
	if err := again.SyncNow(t.Context()); err != nil {
		t.Fatal(err)
	}
	id, address := c.request()
	if _, err := c.accept(b.get(address), id); err != nil {
		t.Errorf("session and key after a restart: %v", err)
	}
	other := c.browser()
	id, address = c.request()
	p := other.submit(other.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
	other.submit(p, "code", codeAt(t, key, step)).want(403, "was used already")
	if _, err := c.accept(other.submit(p, "code", codeAt(t, key, step+1)), id); err != nil {
		t.Error(err)
	}
}

// The shape is that of metadata which people published of their real instances.
func TestMetadata(t *testing.T) {
	c := newChain(t)
	id := c.idc.MetadataURL()[strings.LastIndexByte(c.idc.MetadataURL(), '/')+1:]
	r, err := c.web.Client().Get(c.idc.MetadataURL())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := regexp.MustCompile(`(<ds:X509Certificate>)[^<]+`).ReplaceAllString(string(raw), "${1}…")
	want := strings.NewReplacer("BASE", c.web.URL, "@", id, "\n", "", "\t", "").Replace(`<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="BASE/saml/assertion/@">
	<md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
	<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>…</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
	<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="BASE/saml/logout/@"/>
	<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="BASE/saml/logout/@"/>
	<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
	<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="BASE/saml/assertion/@"/>
	<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="BASE/saml/assertion/@"/>
	</md:IDPSSODescriptor>
</md:EntityDescriptor>`)
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	for _, path := range []string{"/saml/metadata/other", "/saml/assertion/other", "/saml/logout/other"} {
		c.browser().get(c.web.URL+path).want(404, "not found")
	}
}

func TestBadConfig(t *testing.T) {
	c := newChain(t)
	for name, spoil := range map[string]func(*identitycenter.Config){
		"no log":                func(c *identitycenter.Config) { c.Log = nil },
		"passwords in the open": func(c *identitycenter.Config) { c.LDAPURL = "ldap://127.0.0.1" },
		"no group":              func(c *identitycenter.Config) { c.Application.AssignedGroups = nil },
		"an attribute nobody supports": func(c *identitycenter.Config) {
			c.Application.Mappings = []identitycenter.Mapping{{"Subject", "${user:groups}", "persistent"}}
		},
		"mappings without a subject": func(c *identitycenter.Config) {
			c.Application.Mappings = []identitycenter.Mapping{{"Email", "${user:email}", "basic"}}
		},
		"two subjects": func(c *identitycenter.Config) {
			c.Application.Mappings = []identitycenter.Mapping{{"Subject", "${user:email}", "persistent"}, {"Subject", "${user:subject}", "basic"}}
		},
		"an e-mail attribute that is none": func(c *identitycenter.Config) { c.EmailAttribute = "cn" },
		"a format that subjects do not have": func(c *identitycenter.Config) {
			c.Application.Mappings = []identitycenter.Mapping{{"Subject", "${user:subject}", "basic"}}
		},
		"a format that attributes do not have": func(c *identitycenter.Config) {
			c.Application.Mappings = []identitycenter.Mapping{{"Subject", "${user:subject}", "persistent"}, {"Email", "${user:email}", "emailAddress"}}
		},
		"an attribute twice": func(c *identitycenter.Config) {
			c.Application.Mappings = []identitycenter.Mapping{{"Subject", "${user:subject}", "persistent"}, {"A", "${user:email}", "basic"}, {"A", "x", "basic"}}
		},
		"a base URL with a slash at its end": func(c *identitycenter.Config) { c.BaseURL += "/" },
		"a relative address":                 func(c *identitycenter.Config) { c.Application.ACSURL = "/acs" },
	} {
		cfg := c.cfg
		spoil(&cfg)
		if _, err := identitycenter.New(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
