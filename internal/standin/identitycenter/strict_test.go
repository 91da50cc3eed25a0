package identitycenter_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
)

// A person without access gets a page, and an assertion in no way.
func TestNoAssertionWithoutAssignment(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	none := func(p *shown) *shown {
		t.Helper()
		p.want(403, "You do not have access")
		if whole, _ := p.Html(); strings.Contains(whole, "SAMLResponse") || strings.Contains(whole, acsURL) {
			t.Errorf("the page leads on: %s", whole)
		}
		return p
	}
	_, address := c.request()
	p, key, step := b.enrol(address, "bob")
	none(p)
	none(b.get(p.url.String())) // again
	_, address = c.request()
	none(b.get(address)) // by the session
	c.sp.ForceAuthn = new(true)
	_, address = c.request()
	p = b.submit(b.get(address), "username", "bob", "password", "bob-Passw0rd").want(200, "Enter your code")
	none(b.submit(p, "code", codeAt(t, key, step+1)))
	if !strings.Contains(c.log.String(), `"why":"not assigned to the application"`) {
		t.Error("the operator is not told why")
	}
}

func TestStartURL(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	tile := func(p *shown) {
		t.Helper()
		if got := p.Find("main a.button").AttrOr("href", ""); got != startURL {
			t.Errorf("the page %q leads to %q, want the start URL", p.Find("h1").Text(), got)
		}
		if p.Find("form#saml").Length() != 0 {
			t.Error("the portal answers a request that nobody made")
		}
	}
	tile(b.get(c.web.URL).want(200, "You are not signed in"))
	_, address := c.request()
	b.enrol(address, "alice")
	tile(b.get(c.web.URL).want(200, "Signed in as Alice Lee"))
	tile(b.get(address).want(400, "was used before"))
}

// Requests may be signed, by whatever means: the console asks for no certificate, so nobody looks.
func TestSignedRequestsAreTakenToo(t *testing.T) {
	c := newChain(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "sp"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	b := c.browser()
	_, address := c.request()
	b.enrol(address, "alice")
	for _, method := range []string{dsig.RSASHA256SignatureMethod, dsig.RSASHA1SignatureMethod} {
		c.sp.Key, c.sp.SignatureMethod = key, method
		if c.sp.Certificate, err = x509.ParseCertificate(der); err != nil {
			t.Fatal(err)
		}
		id, address := c.request()
		if !strings.Contains(address, "Signature=") {
			t.Fatal("the request is not signed")
		}
		p := b.get(address)
		if _, err := c.accept(p, id); err != nil {
			t.Errorf("%s by redirect: %v", method, err)
		}
		q, err := c.sp.MakeAuthenticationRequest(c.sp.GetSSOBindingLocation(saml.HTTPPostBinding), saml.HTTPPostBinding, saml.HTTPPostBinding)
		if err != nil {
			t.Fatal(err)
		}
		doc := etree.NewDocument()
		doc.SetRoot(q.Element())
		raw, err := doc.WriteToBytes()
		if err != nil || !strings.Contains(string(raw), "SignatureValue") {
			t.Fatalf("%v: %s", err, raw)
		}
		p = b.post(q.Destination, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString(raw)}})
		if _, err := c.accept(p, q.ID); err != nil {
			t.Errorf("%s by post: %v", method, err)
		}
		if response, _ := base64.StdEncoding.DecodeString(p.form().Get("SAMLResponse")); strings.Contains(string(response), "sha1") {
			t.Errorf("%s: the answer is signed with SHA-1", method)
		}
	}
}

func TestRegistrationIsForced(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Register your authenticator")
	b.get(p.url.String()).want(200, "Register your authenticator")
	b.get(c.web.URL).want(200, "You are not signed in")
	_, another := c.request()
	b.get(another).want(200, "Password") // the password of one request is none of another's
	form := p.form()
	for _, code := range []string{"", "000", "0000000", "abcdef", "１２３４５６"} {
		form.Set("code", code)
		b.post(c.web.URL+"/signin/code", form).want(400, "six digits")
	}
	b.submit(p, "code", codeAt(t, "GEZDGNBVGY3TQOJQ", time.Now().Unix()/30)).want(403, "not correct") // of somebody's own key
	b.get(p.url.String()).want(200, "Register your authenticator")
}

func TestOperatorsReset(t *testing.T) {
	c := newChain(t)
	alice, heidi := c.browser(), c.browser()
	_, address := c.request()
	_, key, step := alice.enrol(address, "alice")
	c.remake(func(cfg *identitycenter.Config) { cfg.EmailAttribute = "" }) // heidi has no mail
	_, address = c.request()
	heidi.enrol(address, "heidi")
	if err := c.idc.ResetMFA("alice"); err != nil {
		t.Fatal(err)
	}
	_, address = c.request()
	heidi.get(address).want(200, "You are signed in")
	_, address = c.request()
	p := alice.submit(alice.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Register your authenticator")
	if p.Find("#totp-key").Text() == key {
		t.Error("the key is the old one")
	}
	alice.submit(p, "code", codeAt(t, key, step+1)).want(403, "not correct")
	alice.submit(p, "code", codeAt(t, p.Find("#totp-key").Text(), step+1)).want(200, "You are signed in")
}

// authnRequest is a request that is as it must be.
func (c *chain) authnRequest(id string, at time.Time) string {
	return fmt.Sprintf(`<p:AuthnRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" ID="%s" Version="2.0" IssueInstant="%s"><a:Issuer xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion">%s</a:Issuer></p:AuthnRequest>`,
		id, at.UTC().Format(time.RFC3339), audience)
}

func TestRelayState(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	b.enrol(address, "alice")
	sso := c.sp.GetSSOBindingLocation(saml.HTTPPostBinding)
	for name, tc := range map[string]struct {
		state string
		good  bool
	}{
		"none":                       {"", true},
		"SAML's limit":               {strings.Repeat("x", 80), true},
		"what Amazon Cognito sends":  {strings.Repeat("x", 700), true},
		"characters that mean other": {"a+b c&d=é%2F\"'<>\r\n", true},
		"the limit here":             {strings.Repeat("x", 4096), true},
		"one octet more":             {strings.Repeat("x", 4097), false},
	} {
		for i, binding := range []string{"redirect", "post"} {
			raw := c.authnRequest(fmt.Sprintf("_%x%d", name, i), time.Now())
			var p *shown
			if binding == "post" {
				p = b.post(sso, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(raw))}, "RelayState": {tc.state}})
			} else {
				p = b.get(sso + "?" + url.Values{"SAMLRequest": {encode(raw)}, "RelayState": {tc.state}}.Encode())
			}
			if !tc.good {
				p.want(400, "not valid here")
				continue
			}
			want := strings.ReplaceAll(tc.state, "\r\n", "\n") // what an HTML parser makes of it
			if got := strings.ReplaceAll(p.want(200, "You are signed in").form().Get("RelayState"), "\r\n", "\n"); got != want {
				t.Errorf("%s, by %s: got %q, want %q", name, binding, got, want)
			}
		}
	}
}

// What one XML reader could see otherwise than another, or drown in, is refused.
func TestXMLTraps(t *testing.T) {
	c := newChain(t)
	sso := c.sp.GetSSOBindingLocation(saml.HTTPPostBinding)
	good := c.authnRequest("_good", time.Now())
	utf16 := func(s string) string {
		out := "\xff\xfe"
		for _, r := range s {
			out += string([]byte{byte(r), 0})
		}
		return out
	}
	inside := func(what string) string {
		return strings.Replace(good, audience, what, 1)
	}
	lol := `<!DOCTYPE x [<!ENTITY a "` + strings.Repeat("x", 1000) + `"><!ENTITY b "` + strings.Repeat("&a;", 50) + `">]>` + inside("&b;")
	for name, raw := range map[string]string{
		"entities within entities":              lol,
		"a file for an entity":                  `<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/hostname">]>` + inside("&f;"),
		"an address for a DTD":                  `<!DOCTYPE x SYSTEM "https://evil.example/x.dtd">` + good,
		"an entity that nobody defined":         inside("&audience;"),
		"UTF-16, where the document type hides": utf16(`<!DOCTYPE x [<!ENTITY e "` + audience + `">]>` + inside("&e;")),
		"an encoding of its own":                `<?xml version="1.0" encoding="UTF-7"?>` + good,
		"CDATA":                                 inside("<![CDATA[" + audience + "]]>"),
		"another namespace":                     strings.ReplaceAll(good, ":2.0:protocol", ":1.0:protocol"),
		"an issuer of no namespace":             strings.ReplaceAll(strings.ReplaceAll(good, "<a:Issuer", "<Issuer"), "</a:Issuer", "</Issuer"),
		"a LogoutRequest":                       strings.ReplaceAll(good, "AuthnRequest", "LogoutRequest"),
		"nothing but a declaration":             `<?xml version="1.0"?>`,
		"an element that never ends":            strings.TrimSuffix(good, "</p:AuthnRequest>"),
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			c.browser().post(sso, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(raw))}}).want(400, "not valid here")
			c.browser().get(sso+"?SAMLRequest="+url.QueryEscape(encode(raw))).want(400, "not valid here")
		})
	}
	b64 := base64.StdEncoding.EncodeToString([]byte(good))
	c.browser().post(sso, url.Values{"SAMLRequest": {b64, b64}}).want(400, "not valid here")
	c.browser().post(sso, url.Values{"SAMLRequest": {b64}, "RelayState": {"a", "b"}}).want(400, "not valid here")
	c.browser().get(sso+"?"+url.Values{"SAMLRequest": {encode(good), encode(good)}}.Encode()).want(400, "not valid here")
	c.browser().get(sso+"?"+url.Values{"SAMLRequest": {encode(good)}, "RelayState": {"a", "b"}}.Encode()).want(400, "not valid here")
	big := strings.Repeat("A", 1<<20)
	c.browser().post(sso, url.Values{"SAMLRequest": {big}}).want(400, "not valid here")

	r, err := http.NewRequestWithContext(t.Context(), "HEAD", sso+"?SAMLRequest="+url.QueryEscape(encode(good)), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.browser().do(r).want(405, "")
	c.browser().get(sso+"?SAMLRequest="+url.QueryEscape(encode(good))).want(200, "Password") // none of these used it up
}

func TestReplayAfterRestart(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	b.enrol(address, "alice")
	c.remake(func(*identitycenter.Config) {})
	b.get(address).want(400, "was used before")
	_, address = c.request()
	b.get(address).want(200, "You are signed in")
}

// A refusal of Identity Center's own account is no person's fault.
func TestServiceAccountRefusedMidway(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	p := b.get(address)
	if err := c.directory.SetDisabled("svc-idc", true); err != nil {
		t.Fatal(err)
	}
	p = b.submit(p, "username", "alice", "password", "alice-Passw0rd").want(503, "The company directory does not answer")
	if err := c.idc.SyncNow(t.Context()); !errors.Is(err, identitycenter.ErrServiceAccount) {
		t.Errorf("a sync: got %v, want %v", err, identitycenter.ErrServiceAccount)
	}
	if err := c.directory.SetDisabled("svc-idc", false); err != nil {
		t.Fatal(err)
	}
	b.submit(p, "username", "alice", "password", "alice-Passw0rd").want(200, "Register your authenticator")
}

// TestDirectoryMisbehaves puts something else in the directory's place. Nobody is told that a password is wrong that
// nobody judged.
func TestDirectoryMisbehaves(t *testing.T) {
	const busy = "\x0a\x01\x33\x04\x00\x04\x00"
	result := func(id byte, op byte, body string) string {
		return "\x30" + string([]byte{byte(5 + len(body)), 2, 1, id, op, byte(len(body))}) + body
	}
	const good = "\x0a\x01\x00\x04\x00\x04\x00"
	noPages := result(2, 0x65, good)
	for name, answers := range map[string][]string{
		"hangs up at once":                {},
		"is busy":                         {result(1, 0x61, busy)},
		"speaks another protocol":         {"HTTP/1.1 400 Bad Request\r\n\r\n"},
		"hangs up after the bind":         {result(1, 0x61, good)},
		"cannot search":                   {result(1, 0x61, good), result(2, 0x65, busy)},
		"hangs up at the person's bind":   {result(1, 0x61, good), noPages},
		"is busy at the person's bind":    {result(1, 0x61, good), noPages, result(3, 0x61, busy)},
		"wants something stronger (code)": {result(1, 0x61, good), noPages, result(3, 0x61, "\x0a\x01\x08\x04\x00\x04\x00")},
	} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t)
			b := c.browser()
			_, address := c.request()
			p := b.get(address)
			c.stopLDAP()
			ln, err := tls.Listen("tcp", net.JoinHostPort("127.0.0.1", parseURL(t, c.cfg.LDAPURL).Port()), &tls.Config{Certificates: c.web.TLS.Certificates})
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			go func() {
				for {
					conn, err := ln.Accept()
					if err != nil {
						return
					}
					go serveAnswers(conn, answers)
				}
			}()
			for _, user := range []string{"alice", "nobody"} {
				p = b.submit(p, "username", user, "password", "x").want(503, "does not answer")
				if p.form().Get("username") != user {
					t.Error("the name is lost")
				}
			}
		})
	}
}

// serveAnswers gives one answer to each message, and then hangs up.
func serveAnswers(conn net.Conn, answers []string) {
	defer conn.Close()
	buf := make([]byte, 4096)
	for _, a := range answers {
		if _, err := conn.Read(buf); err != nil {
			return
		}
		if _, err := conn.Write([]byte(a)); err != nil {
			return
		}
	}
}

func TestSingleLogout(t *testing.T) {
	c := newChain(t)
	slo := c.sp.GetSLOBindingLocation(saml.HTTPRedirectBinding)
	b := c.browser()
	signIn := func() *saml.Assertion {
		t.Helper()
		id, address := c.request()
		p := b.get(address)
		if p.Find("#username").Length() == 1 {
			if err := c.idc.ResetMFA("alice"); err != nil && !strings.Contains(err.Error(), "no authenticator") {
				t.Fatal(err)
			}
			_, address = c.request()
			p, _, _ = b.enrol(address, "alice")
			id = ""
		}
		if id == "" {
			id, address = c.request()
			p = b.get(address)
		}
		a, err := c.accept(p, id)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	signedIn := func() bool { return strings.Contains(b.get(c.web.URL).Find("main").Text(), "Signed in as") }
	build := func(change map[string]string) string {
		v := map[string]string{"id": "_l", "issuer": audience, "instant": time.Now().UTC().Format(time.RFC3339), "name": "alice@corp.example", "more": "", "index": ""}
		for k, x := range change {
			v[k] = x
		}
		return fmt.Sprintf(`<p:LogoutRequest xmlns:p="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:a="urn:oasis:names:tc:SAML:2.0:assertion" ID="%s" Version="2.0" IssueInstant="%s" Destination="%s" %s><a:Issuer>%s</a:Issuer><a:NameID>%s</a:NameID>%s</p:LogoutRequest>`,
			v["id"], v["instant"], slo, v["more"], v["issuer"], html.EscapeString(v["name"]), v["index"])
	}
	index := signIn().AuthnStatements[0].SessionIndex
	for name, change := range map[string]map[string]string{
		"of another issuer":     {"issuer": "urn:x"},
		"an hour old":           {"instant": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)},
		"that is over":          {"more": `NotOnOrAfter="` + time.Now().Add(-time.Second).UTC().Format(time.RFC3339) + `"`},
		"about somebody else":   {"name": "bob@corp.example"},
		"about another session": {"index": "<p:SessionIndex>_other</p:SessionIndex>"},
		"without an id":         {"id": ""},
	} {
		raw := build(change)
		b.get(slo+"?SAMLRequest="+url.QueryEscape(encode(raw))).want(400, "sign-out request that is not valid")
		b.post(slo, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(raw))}}).want(400, "sign-out request that is not valid")
		if !signedIn() {
			t.Errorf("a LogoutRequest %s ended the session", name)
		}
	}
	b.get(slo+"?SAMLRequest="+url.QueryEscape(encode(c.authnRequest("_x", time.Now())))).want(400, "not valid")
	b.post(slo, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(build(map[string]string{"more": `x="` + strings.Repeat("a", 9000) + `"`})))}}).want(400, "not valid")
	b.get(slo).want(200, "Signed in as") // a mere link asks
	if !signedIn() {
		t.Fatal("a link ended the session")
	}

	b.get(slo+"?SAMLRequest="+url.QueryEscape(encode(build(map[string]string{"index": "<p:SessionIndex>_other</p:SessionIndex><p:SessionIndex>" + index + "</p:SessionIndex>"})))).want(200, "You are not signed in")
	if signedIn() {
		t.Error("by redirect, with the session's index: the session goes on")
	}
	signIn()
	b.post(slo, url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(build(nil)))}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://cognito.localhost").want(200, "You are not signed in")
	if signedIn() {
		t.Error("by post, from another site: the session goes on")
	}
	signIn()
	u, err := c.sp.MakeRedirectLogoutRequest("alice@corp.example", "relay") // as a library makes it
	if err != nil {
		t.Fatal(err)
	}
	b.get(u.String()).want(200, "You are not signed in")
	b.get(u.String()).want(200, "You are not signed in") // there is nothing left to end
	_, address := c.request()
	b.get(address).want(200, "Password")
}

// A new sign-in ends the session that it replaces, wherever its cookie went.
func TestOneSessionAtATime(t *testing.T) {
	c := newChain(t)
	b, copied := c.browser(), c.browser()
	_, address := c.request()
	_, key, step := b.enrol(address, "alice")
	site := parseURL(t, c.web.URL)
	copied.client.Jar.SetCookies(site, b.client.Jar.Cookies(site))
	copied.get(c.web.URL).want(200, "Signed in as Alice Lee")
	c.sp.ForceAuthn = new(true)
	_, address = c.request()
	p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd")
	b.submit(p, "code", codeAt(t, key, step+1)).want(200, "You are signed in")
	copied.get(c.web.URL).want(200, "You are not signed in")
	b.get(c.web.URL).want(200, "Signed in as Alice Lee")
}

// A browser of ours may follow any header; this looks at the cookies themselves.
func TestCookies(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	seen := map[string]*http.Cookie{}
	b.client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		resp, err := c.web.Client().Transport.RoundTrip(r)
		if err == nil {
			for _, ck := range resp.Cookies() {
				seen[ck.Name] = ck
			}
		}
		return resp, err
	})
	_, address := c.request()
	b.enrol(address, "alice")
	if len(seen) != 2 {
		t.Errorf("got %d cookies, want the sign-in's and the session's", len(seen))
	}
	for name, ck := range seen {
		if !regexp.MustCompile(`^__Host-idc-(flow|session)$`).MatchString(name) || !ck.Secure || !ck.HttpOnly || ck.SameSite != http.SameSiteLaxMode || ck.Path != "/" || ck.Domain != "" ||
			ck.MaxAge != 8*3600 || !ck.Expires.IsZero() {
			t.Errorf("got %v, want __Host-, Secure, HttpOnly, Lax, an age of eight hours and no date", ck)
		}
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
