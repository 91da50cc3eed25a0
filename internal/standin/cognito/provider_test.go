package cognito

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

// serve makes the provider's host answer with this metadata.
func (w *world) serve(metadata string) {
	w.hosts[idpHost] = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, metadata) })
}

// withCerts is the provider's metadata with these signing certificates.
func withCerts(t *testing.T, i *testIDP, certs ...string) string {
	t.Helper()
	before, rest, ok := strings.Cut(fetchText(t, i), "<ds:X509Certificate>")
	_, after, ok2 := strings.Cut(rest, "</ds:X509Certificate>")
	if !ok || !ok2 {
		t.Fatal("the provider's metadata has another shape")
	}
	all := ""
	for _, c := range certs {
		all += "<ds:X509Certificate>" + c + "</ds:X509Certificate>"
	}
	return before + all + after
}

func text(cert *x509.Certificate) string { return base64.StdEncoding.EncodeToString(cert.Raw) }

// certOf makes a certificate for a key that is valid for a while.
func certOf(t *testing.T, key crypto.Signer, from, to time.Time) *x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: from, NotAfter: to}
	return must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key))))
}

// told signs alice in with edit and returns what the app was told.
func (w *world) told(edit func(*draft)) url.Values {
	w.t.Helper()
	b := w.browser()
	req, relay := w.begin(b, w.authorizeURL(nil))
	return must(w.answer(b, relay, w.idp.respond(w.t, req, edit)).Location()).Query()
}

func noKeyInfo(d *draft) {
	d.after = func(root *etree.Element) {
		sig := child(child(root, "Assertion"), "Signature")
		sig.RemoveChild(child(sig, "KeyInfo"))
	}
}

func TestUserNames(t *testing.T) {
	w := newWorld(t, nil)
	subs := map[string]any{}
	for _, nameID := range []string{"alice@corp.example", "Alice@corp.example", "alice@corp.example"} {
		b := w.browser()
		req, relay := w.begin(b, w.authorizeURL(nil))
		_, tokens := w.redeem(w.code(w.answer(b, relay, w.idp.respond(t, req, func(d *draft) { d.assertion.Subject.NameID.Value = nameID }))))
		c := claimsOf(t, tokens["id_token"].(string))
		if c["cognito:username"] != "IdentityCenter_"+nameID {
			t.Errorf("got user name %v, want IdentityCenter_%s", c["cognito:username"], nameID)
		}
		if old, known := subs[nameID]; known && old != c["sub"] {
			t.Errorf("%s was %v and is now %v: the same NameID is the same user", nameID, old, c["sub"])
		}
		subs[nameID] = c["sub"]
	}
	if subs["alice@corp.example"] == subs["Alice@corp.example"] {
		t.Error("NameIDs that differ in case are one user; they are two, the NameID is case-sensitive")
	}
}

func TestAttributesAreRewrittenAtEachSignIn(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.AttributeMapping["email_verified"] = "Verified" })
	signIn := func(attributes ...saml.Attribute) map[string]any {
		b := w.browser()
		req, relay := w.begin(b, w.authorizeURL(nil))
		_, tokens := w.redeem(w.code(w.answer(b, relay, w.idp.respond(t, req, func(d *draft) { d.assertion.AttributeStatements[0].Attributes = attributes }))))
		return tokens
	}
	first := signIn(attribute("Email", "alice@corp.example"), attribute("Groups", "a", "b"), attribute("Verified", "true"), attribute("Unmapped", "x"))
	_, before := w.userInfo(first["access_token"].(string))
	if before["email"] != "alice@corp.example" || before["custom:groups"] != "[a, b]" || before["email_verified"] != "true" || before["Unmapped"] != nil {
		t.Errorf("got %v, want what was mapped and nothing else", before)
	}
	second := signIn(attribute("Email", "alice@new.example"))
	_, after := w.userInfo(second["access_token"].(string))
	if after["email"] != "alice@new.example" || after["sub"] != before["sub"] {
		t.Errorf("got %v, want the new address of the same user", after)
	}
	if after["custom:groups"] != "[a, b]" {
		t.Errorf("got groups %v, want the old ones: what is no longer sent is not deleted or changed", after["custom:groups"])
	}
	if after["email_verified"] != "false" {
		t.Errorf("got email_verified %v, want false: nobody has said that the new address is verified", after["email_verified"])
	}
	// The tokens of the first sign-in show the profile as it is now, after a refresh too.
	_, fresh := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"].(string)}})
	_, info := w.userInfo(first["access_token"].(string))
	if got := claimsOf(t, fresh["id_token"].(string))["email"]; got != "alice@new.example" || info["email"] != got {
		t.Errorf("got %v in the refreshed ID token and %v in userInfo, want the new address", got, info["email"])
	}
}

func TestLengthOfMappedAttributes(t *testing.T) {
	half := strings.Repeat("é", 1022) // with "[", ", " and "]" two of them are 2,048 characters
	for name, c := range map[string]struct {
		groups []string
		want   string
	}{
		"2,048 characters":              {[]string{strings.Repeat("é", 2048)}, ""},
		"2,049 characters":              {[]string{strings.Repeat("é", 2049)}, "attribute custom:groups has 2049 characters"},
		"two values, 2,048 together":    {[]string{half, half}, ""},
		"two values, 2,049 together":    {[]string{half, half + "é"}, "attribute custom:groups has 2049 characters"},
		"forty groups as AD sends them": {strings.Fields(strings.Repeat("corp.example//S-1-5-21-3122984950-2570546592-4150994639-1732 ", 40)), "more than 2048"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			q := w.told(func(d *draft) {
				d.assertion.AttributeStatements[0].Attributes[1] = attribute("Groups", c.groups...)
			})
			if got := q.Get("error_description"); q.Has("code") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want a refusal saying %q, or a code if that is empty", q, c.want)
			}
			if _, made := w.srv.st.Profiles["IdentityCenter_alice@corp.example"]; made != (c.want == "") {
				t.Error("a profile was made by a sign-in that failed, or none by one that did not")
			}
		})
	}
}

func TestRequestsLookLikeCognitos(t *testing.T) {
	w := newWorld(t, nil)
	req, relay := w.begin(w.browser(), w.authorizeURL(nil))
	if len(relay) <= 80 {
		t.Errorf("got a relay state of %d bytes, want more than 80: Cognito's are", len(relay))
	}
	if req.Issuer.Value != "urn:amazon:cognito:sp:"+w.srv.PoolID() || req.AssertionConsumerServiceURL != pool+"/saml2/idpresponse" ||
		req.ProtocolBinding != saml.HTTPPostBinding || req.Destination != "https://"+idpHost+"/saml/assertion?tenant=1" || req.Signature != nil {
		t.Errorf("got %+v, want an unsigned request of the pool's to the redirect location", req)
	}
}

func TestLateAnswerSaysSomethingWentWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		b := w.browser()
		req, relay := w.begin(b, w.authorizeURL(nil))
		time.Sleep(samlTimeLimit + time.Second)
		page := body(t, w.answer(b, relay, w.idp.respond(t, req, nil)))
		if !strings.Contains(page, "Something went wrong") || !strings.Contains(page, "start again") || w.signedIn(b) {
			t.Errorf("got signed in %v and %s, want Cognito's words and what to do", w.signedIn(b), page)
		}
	})
}

// A provider changes its key by offering both for a while.
func TestSigningCertificatesRollOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		old, fresh := w.idp, newIDPWith(t, must(rsa.GenerateKey(rand.Reader, 2048)))
		expect := func(why string, signer *testIDP, want string) {
			t.Helper()
			for name, edit := range map[string]func(*draft){"with a certificate in the signature": func(*draft) {}, "without": noKeyInfo} {
				q := w.told(func(d *draft) {
					d.signerForAll = signer
					edit(d)
				})
				if got := q.Get("error_description"); q.Has("code") != (want == "") || !strings.Contains(got, want) {
					t.Errorf("%s, %s: got %v, want a refusal saying %q, or a code if that is empty", why, name, q, want)
				}
			}
		}
		const unknown = "no key of the provider's metadata made it"
		expect("the old key", old, "")
		expect("the new key, unannounced", fresh, unknown)
		w.serve(withCerts(t, old, text(old.cert), text(fresh.cert)))
		expect("the new key, announced, before the pool has looked", fresh, unknown)
		time.Sleep(metadataAge)
		expect("the new key, announced", fresh, "")
		expect("the old key, beside the new", old, "")
		w.serve(withCerts(t, old, text(fresh.cert)))
		time.Sleep(metadataAge)
		expect("the new key, alone", fresh, "")
		expect("the old key, withdrawn", old, unknown)
		// A certificate made anew for the same key matches too: the key is what is trusted.
		again := &testIDP{fresh.key, certOf(t, fresh.key, time.Now().Add(-time.Hour), time.Now().Add(time.Hour))}
		expect("the new key under another certificate", again, "")
	})
}

func TestExpiredSigningCertificates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		now := time.Now()
		short := certOf(t, w.idp.key, now.Add(-time.Hour), now.Add(time.Hour))
		w.serve(withCerts(t, w.idp, text(short)))
		if q := w.told(nil); !q.Has("code") {
			t.Fatalf("got %v, want a code while the certificate is valid", q)
		}
		time.Sleep(2 * time.Hour)
		q := w.told(nil)
		if want := "the certificate is valid from 1999-12-31 to 2000-01-01 only"; !strings.Contains(q.Get("error_description"), want) {
			t.Errorf("got %v after the certificate expired, want %q", q, want)
		}
		// One that has expired does not spoil those that have not, and the operator learns of it.
		w.serve(withCerts(t, w.idp, text(short), text(w.idp.cert)))
		time.Sleep(metadataAge)
		if q := w.told(nil); !q.Has("code") || !strings.Contains(w.log.String(), "certificates left out") {
			t.Errorf("got %v with an expired certificate beside a good one, want a code and a line in the log", q)
		}
	})
}

// What is wrong with a provider reaches the operator as a sentence in the log, and the person through the app.
func TestBrokenIdentityProvider(t *testing.T) {
	good := newIDP(t)
	now := time.Now()
	ec := certOf(t, must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)), now.Add(-time.Hour), now.Add(time.Hour))
	expired := certOf(t, good.key, now.Add(-48*time.Hour), now.Add(-24*time.Hour))
	meta := fetchText(t, good)
	for name, c := range map[string]struct {
		metadata string
		want     string
	}{
		"a web page":                        {"\n<!DOCTYPE html>\n<html lang=en><head><title>Sign in</title><body><p>Hello<br></html>", "a web page (HTML), not SAML metadata"},
		"nothing":                           {"", "not SAML metadata"},
		"JSON":                              {`{"entityID": "x"}`, "not SAML metadata"},
		"a service provider's metadata":     {strings.ReplaceAll(meta, "IDPSSODescriptor", "SPSSODescriptor"), "not the metadata of one SAML identity provider"},
		"a federation of providers":         {`<md:EntitiesDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata">` + meta + `</md:EntitiesDescriptor>`, "not SAML metadata"},
		"no entityID":                       {strings.Replace(meta, `entityID="`+good.entityID()+`"`, "", 1), "not the metadata of one SAML identity provider"},
		"no signing certificate":            {withCerts(t, good), "no signing certificate"},
		"an expired certificate":            {withCerts(t, good, text(expired)), "no signing certificate that can be used: the certificate is valid from " + expired.NotBefore.UTC().Format(time.DateOnly)},
		"a certificate cut short":           {withCerts(t, good, text(good.cert)[:100]), "no signing certificate that can be used"},
		"a certificate that is not base64":  {withCerts(t, good, "-----BEGIN CERTIFICATE-----"), "not base64"},
		"a certificate without RSA":         {withCerts(t, good, text(ec)), "without an RSA key of at least 2048 bits"},
		"a certificate of 4,097 characters": {withCerts(t, good, strings.Repeat("A", 4097)), "a certificate of 4097 characters, more than 4096"},
		"HTTP-POST only":                    {strings.Replace(meta, "bindings:HTTP-Redirect", "bindings:HTTP-POST", 1), "no single sign-on service with the HTTP-Redirect binding"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.serve(c.metadata)
			to := must(w.get(w.browser(), w.authorizeURL(nil)).Location())
			if q := to.Query(); !strings.HasPrefix(to.String(), callback+"?") || q.Get("error") != "server_error" || !strings.Contains(q.Get("error_description"), c.want) || q.Get("state") != "state-1" {
				t.Errorf("got %s, want server_error at the app, saying %q", to, c.want)
			}
			if log := w.log.String(); !strings.Contains(log, "no metadata of the identity provider") || !strings.Contains(log, c.want) || !strings.Contains(log, idpHost) {
				t.Errorf("got the log %s, want it to say %q and where", log, c.want)
			}
			w.serve(meta) // mended
			w.signIn(w.browser(), w.authorizeURL(nil))
		})
	}
	for name, c := range map[string]struct{ url, want string }{
		"no address yet":                {"", "MetadataURL"},
		"plain http to another machine": {"http://idp.corp.example/metadata", "nor an http URL on this machine"},
		"a host that is not there":      {"https://gone.localhost/metadata", "no such host: gone.localhost"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			w.srv.SetMetadataURL(c.url)
			q := must(w.get(w.browser(), w.authorizeURL(nil)).Location()).Query()
			if q.Get("error") != "server_error" || !strings.Contains(q.Get("error_description"), c.want) || !strings.Contains(w.log.String(), c.want) {
				t.Errorf("got %v, want server_error and the log saying %q", q, c.want)
			}
		})
	}
	for name, edit := range map[string]func(*draft){
		"the response's issuer is not the entityID":           func(d *draft) { d.response.Issuer.Value = "https://other.example" },
		"the assertion's issuer is the entityID with a slash": func(d *draft) { d.assertion.Issuer.Value += "/" },
		"the assertion's issuer differs in case":              func(d *draft) { d.assertion.Issuer.Value = strings.ToUpper(d.assertion.Issuer.Value) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			q := w.told(edit)
			if want := `not the entityID of the provider's metadata, "` + w.idp.entityID() + `"`; !strings.Contains(q.Get("error_description"), want) {
				t.Errorf("got %v, want it to say %s", q, want)
			}
		})
	}
}

// identityCenter is IAM Identity Center's metadata as it comes from there, but for the certificate and the application's
// id (AWS Client VPN's users publish theirs).
const identityCenter = `<?xml version="1.0" encoding="UTF-8"?><md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://portal.sso.us-east-1.amazonaws.com/saml/assertion/MTExMTIyMjIzMzMz">
  <md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#">
        <ds:X509Data>
          <ds:X509Certificate>%s</ds:X509Certificate>
        </ds:X509Data>
      </ds:KeyInfo>
    </md:KeyDescriptor>
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://portal.sso.us-east-1.amazonaws.com/saml/logout/MTExMTIyMjIzMzMz"/>
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://portal.sso.us-east-1.amazonaws.com/saml/logout/MTExMTIyMjIzMzMz"/>
    <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://portal.sso.us-east-1.amazonaws.com/saml/assertion/MTExMTIyMjIzMzMz"/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://portal.sso.us-east-1.amazonaws.com/saml/assertion/MTExMTIyMjIzMzMz"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>`

func TestIdentityCenterMetadata(t *testing.T) {
	const id = "https://portal.sso.us-east-1.amazonaws.com/saml/assertion/MTExMTIyMjIzMzMz"
	i := newIDP(t)
	lines := text(i.cert)
	lines = lines[:64] + "\n" + lines[64:] // as PEM breaks it
	m, err := parseMetadata([]byte(fmt.Sprintf(identityCenter, lines)), time.Now())
	if err != nil || m.entityID != id || m.sso != id || len(m.certs) != 1 {
		t.Fatalf("got %+v, %v; want its entityID, the redirect location, which is the same, and the certificate", m, err)
	}
}

// signLikeOpenSAML signs an assertion as Java's OpenSAML does, Identity Center's and Okta's: with the prefix of the
// schema's types among those that the canonical form keeps (Exclusive XML Canonicalization 1.0, InclusiveNamespaces).
func signLikeOpenSAML(t *testing.T, i *testIDP, e *etree.Element) {
	t.Helper()
	const c14n = string(dsig.CanonicalXML10ExclusiveAlgorithmId)
	digest := sha256.Sum256(must(dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("xsd").Canonicalize(e.Copy())))
	doc := etree.NewDocument()
	if err := doc.ReadFromString(`<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + c14n + `"/>` +
		`<ds:SignatureMethod Algorithm="` + dsig.RSASHA256SignatureMethod + `"/><ds:Reference URI="#` + e.SelectAttrValue("ID", "") + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="` + string(dsig.EnvelopedSignatureAltorithmId) + `"/><ds:Transform Algorithm="` + c14n + `">` +
		`<ec:InclusiveNamespaces xmlns:ec="` + c14n + `" PrefixList="xsd"/></ds:Transform></ds:Transforms><ds:DigestMethod Algorithm="` + digestSHA2 + `"/>` +
		`<ds:DigestValue>` + base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo></ds:Signature>`); err != nil {
		t.Fatal(err)
	}
	sig := doc.Root()
	info := sig.ChildElements()[0].Copy()
	info.CreateAttr("xmlns:ds", dsig.Namespace)
	sum := sha256.Sum256(must(dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("").Canonicalize(info)))
	sig.CreateElement("ds:SignatureValue").SetText(base64.StdEncoding.EncodeToString(must(rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, sum[:]))))
	sig.CreateElement("ds:KeyInfo").CreateElement("ds:X509Data").CreateElement("ds:X509Certificate").SetText(text(i.cert))
	e.InsertChildAt(e.ChildElements()[0].Index()+1, sig)
}

func TestResponsesOfOpenSAML(t *testing.T) {
	w := newWorld(t, nil)
	sign := func(after func(assertion *etree.Element)) func(*draft) {
		return func(d *draft) {
			d.signed = false
			d.after = func(root *etree.Element) {
				a := child(root, "Assertion")
				a.CreateAttr("xmlns:xsd", "http://www.w3.org/2001/XMLSchema")
				root.RemoveChild(a)
				signLikeOpenSAML(t, w.idp, a)
				after(a)
				root.AddChild(a)
			}
		}
	}
	if q := w.told(sign(func(*etree.Element) {})); !q.Has("code") {
		t.Errorf("got %v, want a code", q)
	}
	q := w.told(sign(func(a *etree.Element) { a.CreateAttr("xmlns:xsd", "urn:other") }))
	if !strings.Contains(q.Get("error_description"), "SAML Assertion signature is invalid") {
		t.Errorf("the prefix of the types means something else: got %v, want the signature refused, which covers it", q)
	}
}

// testdata has what SimpleSAMLphp 1.19.7 (xmlseclibs) says of itself and answered to a request of this stand-in, with a
// key that was thrown away.
func TestSimpleSAMLphp(t *testing.T) {
	m, err := parseMetadata(must(os.ReadFile("testdata/simplesamlphp-metadata.xml")), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if m.entityID != "http://127.0.0.1:18431/saml2/idp/metadata.php" || m.sso != "http://127.0.0.1:18431/saml2/idp/SSOService.php" || len(m.certs) != 1 {
		t.Errorf("got %+v, want its plain-HTTP addresses, and the signing certificate without that for encryption", m)
	}
	raw := string(must(os.ReadFile("testdata/simplesamlphp-response.xml")))
	want := expected{acs: pool + "/saml2/idpresponse", audience: "urn:amazon:cognito:sp:us-east-1_9kZJ0E9pN", request: "_1dce3ead-afcb-48c6-91b6-ff89593b36dc",
		now: time.Date(2026, 11, 22, 11, 53, 12, 0, time.UTC)}
	a, err := m.verify(base64.StdEncoding.EncodeToString([]byte(raw)), want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := mapped(map[string]string{"email": "mail", "custom:groups": "groups"}, a, Unconfirmed{})
	if err != nil || a.Subject.NameID.Value != "alice@corp.example" || got["email"] != "alice@corp.example" || got["custom:groups"] != "[VPN Users, Engineering]" {
		t.Errorf("got %s with %v, %v; want alice with her address and groups", a.Subject.NameID.Value, got, err)
	}
	altered := strings.Replace(raw, ">alice@corp.example</saml:NameID>", ">mallory@corp.example</saml:NameID>", 1)
	if _, err := m.verify(base64.StdEncoding.EncodeToString([]byte(altered)), want); err == nil || !strings.Contains(err.Error(), "signature is invalid") {
		t.Errorf("altered: got %v, want its signature refused", err)
	}
}

// The provider is reached by real connections, in the clear, as another program on this machine is.
func TestPlainHTTPOnLoopback(t *testing.T) {
	i := newIDP(t)
	var there *httptest.Server
	there = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metadata" {
			http.NotFound(rw, r)
			return
		}
		_, _ = io.WriteString(rw, strings.ReplaceAll(fetchText(t, i), "https://"+idpHost, there.URL))
	}))
	t.Cleanup(there.Close)
	w := newWorld(t, func(c *Config) { c.MetadataURL, c.Client = there.URL+"/metadata", there.Client() })
	to := must(w.get(w.browser(), w.authorizeURL(nil)).Location())
	if !strings.HasPrefix(to.String(), there.URL+"/saml/assertion?tenant=1&") || to.Query().Get("SAMLRequest") == "" {
		t.Errorf("got %s, want the provider's own plain address with a request", to)
	}
	w.srv.SetMetadataURL(there.URL + "/elsewhere")
	w.srv.idp.current = nil
	if q := must(w.get(w.browser(), w.authorizeURL(nil)).Location()).Query(); !strings.Contains(q.Get("error_description"), "answered 404 Not Found") {
		t.Errorf("got %v, want the provider's 404 named", q)
	}
}
