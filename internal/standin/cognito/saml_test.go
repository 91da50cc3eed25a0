package cognito

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"io"
	"log"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"
)

func child(e *etree.Element, tag string) *etree.Element {
	for _, c := range e.ChildElements() {
		if c.Tag == tag {
			return c
		}
	}
	return nil
}

// evil returns a copy of a signed assertion without its signature, in another's name and with another ID.
func evil(assertion *etree.Element) *etree.Element {
	e := assertion.Copy()
	e.RemoveChild(child(e, "Signature"))
	e.CreateAttr("ID", "_evil")
	child(child(e, "Subject"), "NameID").SetText("mallory@corp.example")
	return e
}

// Each of these must leave the browser signed out and the app without a code; want is in the description that the app
// is given, so that the refusal is for the reason that the case is about.
func TestResponsesThatAreRefused(t *testing.T) {
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]struct {
		edit func(t *testing.T, d *draft)
		want string
	}{
		"the name is altered after signing": {func(_ *testing.T, d *draft) {
			d.text = func(x string) string {
				return strings.Replace(x, ">alice@corp.example</saml:NameID>", ">mallory@corp.example</saml:NameID>", 1)
			}
		}, "SAML Assertion signature is invalid"},
		"nothing is signed": {func(_ *testing.T, d *draft) { d.signed = false }, "neither the assertion nor the response is signed"},
		"signed by somebody else": {func(t *testing.T, d *draft) {
			d.signerForAll = newIDPWith(t, stranger)
		}, "SAML Assertion signature is invalid"},
		"signed by somebody else who leaves out the certificate": {func(t *testing.T, d *draft) {
			d.signerForAll = newIDPWith(t, stranger)
			d.after = func(root *etree.Element) {
				sig := child(child(root, "Assertion"), "Signature")
				sig.RemoveChild(child(sig, "KeyInfo"))
			}
		}, "SAML Assertion signature is invalid"},
		"a good assertion in a response with a stranger's signature": {func(t *testing.T, d *draft) {
			d.after = func(root *etree.Element) { newIDPWith(t, stranger).sign(t, root, d.method) }
		}, "SAML response signature is invalid"},
		"RSA with SHA-1":   {func(_ *testing.T, d *draft) { d.method = dsig.RSASHA1SignatureMethod }, "only RSA-SHA256"},
		"RSA with SHA-512": {func(_ *testing.T, d *draft) { d.method = dsig.RSASHA512SignatureMethod }, "only RSA-SHA256"},
		"a SHA-1 digest under a SHA-256 signature": {func(_ *testing.T, d *draft) {
			d.text = func(x string) string {
				return strings.Replace(x, digestSHA2, "http://www.w3.org/2000/09/xmldsig#sha1", 1)
			}
		}, "only SHA-256"},
		"wrapped: the signed assertion hides in an extension, a false one takes its place": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) {
				good := child(root, "Assertion")
				root.RemoveChild(good)
				root.CreateElement("samlp:Extensions").AddChild(good)
				root.AddChild(evil(good))
			}
		}, "not where it belongs"},
		"wrapped: the signed assertion hides in the signature of a false one": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) {
				good := child(root, "Assertion")
				lie := evil(good)
				sig := child(good, "Signature").Copy()
				root.RemoveChild(good)
				good.RemoveChild(child(good, "Signature"))
				sig.CreateElement("ds:Object").AddChild(good)
				lie.AddChild(sig)
				root.AddChild(lie)
			}
		}, "not where it belongs"},
		"wrapped: the signature of a good assertion is moved to a false one, whose ID it then has": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) {
				good := child(root, "Assertion")
				lie := evil(good)
				lie.CreateAttr("ID", good.SelectAttrValue("ID", ""))
				lie.AddChild(child(good, "Signature").Copy())
				root.RemoveChild(good)
				root.AddChild(lie)
			}
		}, "SAML Assertion signature is invalid"},
		"two assertions, the false one first": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) {
				root.InsertChildAt(child(root, "Assertion").Index(), evil(child(root, "Assertion")))
			}
		}, "more than one assertion"},
		"two assertions, the false one last": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) { root.AddChild(evil(child(root, "Assertion"))) }
		}, "more than one assertion"},
		"an assertion of a namespace of its own": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) {
				root.CreateElement("x:Assertion").CreateAttr("xmlns:x", "urn:x")
			}
		}, "not where it belongs"},
		"an ID is there twice": {func(_ *testing.T, d *draft) {
			d.response.ID = d.assertion.ID
		}, "same ID"},
		"a signature over another element": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) { child(root, "Assertion").CreateAttr("ID", "_other") }
		}, "for another element"},
		"a comment cuts the name in two, which leaves the signature whole": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.NameID.Value = "alice@corp.example.evil.example"
			d.text = func(x string) string {
				return strings.Replace(x, ">alice@corp.example.evil.example<", ">alice@corp.example<!-- -->.evil.example<", 1)
			}
		}, "comments"},
		"a document type with an entity": {func(_ *testing.T, d *draft) {
			d.text = func(x string) string { return `<!DOCTYPE r [<!ENTITY e "x">]>` + x }
		}, "document types are not accepted"},
		"an encrypted assertion": {func(_ *testing.T, d *draft) {
			d.after = func(root *etree.Element) {
				root.RemoveChild(child(root, "Assertion"))
				root.CreateElement("saml:EncryptedAssertion").CreateAttr("xmlns:saml", nsAssertion)
			}
		}, "encrypted"},
		"another audience": {func(_ *testing.T, d *draft) {
			d.assertion.Conditions.AudienceRestrictions[0].Audience.Value = "urn:amazon:cognito:sp:us-east-1_other0000"
		}, "audience"},
		"two audience restrictions of which one is not ours": {func(_ *testing.T, d *draft) {
			c := d.assertion.Conditions
			c.AudienceRestrictions = append(c.AudienceRestrictions, saml.AudienceRestriction{Audience: saml.Audience{Value: "urn:other"}})
		}, "audience"},
		"no audience": {func(_ *testing.T, d *draft) { d.assertion.Conditions.AudienceRestrictions = nil }, "audience"},
		"another destination": {func(_ *testing.T, d *draft) {
			d.response.Destination = "https://other.example/saml2/idpresponse"
		}, "destination"},
		"another recipient": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.Recipient = "https://other.example/saml2/idpresponse"
		}, "recipient"},
		"the response answers an unknown request": {func(_ *testing.T, d *draft) { d.response.InResponseTo = "_unknown" }, "InResponseTo"},
		"the assertion answers an unknown request": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.InResponseTo = "_unknown"
		}, "InResponseTo"},
		"the assertion answers no request": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.InResponseTo = ""
		}, "InResponseTo"},
		"expired": {func(_ *testing.T, d *draft) {
			d.assertion.Conditions.NotOnOrAfter = time.Now().Add(-skew - time.Second)
		}, "expired"},
		"the confirmation has expired": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.NotOnOrAfter = time.Now().Add(-skew - time.Second)
		}, "expired"},
		"not valid yet": {func(_ *testing.T, d *draft) {
			d.assertion.Conditions.NotBefore = time.Now().Add(skew + 5*time.Second)
		}, "not valid yet"},
		"no end": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.NotOnOrAfter = time.Time{}
		}, "no end"},
		"sender vouches instead of bearer": {func(_ *testing.T, d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].Method = "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"
		}, "no bearer confirmation"},
		"another issuer":      {func(_ *testing.T, d *draft) { d.assertion.Issuer.Value = "https://other.example" }, "issuer"},
		"nobody signed in":    {func(_ *testing.T, d *draft) { d.assertion.AuthnStatements = nil }, "anybody signed in"},
		"no name":             {func(_ *testing.T, d *draft) { d.assertion.Subject.NameID.Value = " " }, "names nobody"},
		"a name with a space": {func(_ *testing.T, d *draft) { d.assertion.Subject.NameID.Value = "alice smith" }, "NameID cannot be part"},
		"the identity provider says no": {func(_ *testing.T, d *draft) {
			d.response.Status.StatusCode.Value = saml.StatusResponder
		}, "status:Responder"},
		"an attribute of 2,049 characters": {func(_ *testing.T, d *draft) {
			d.assertion.AttributeStatements[0].Attributes[0] = attribute("Email", strings.Repeat("é", 2049))
		}, "attribute email has 2049 characters"},
		"not XML":  {func(_ *testing.T, d *draft) { d.text = func(string) string { return "alice" } }, "not XML"},
		"not SAML": {func(_ *testing.T, d *draft) { d.text = func(string) string { return "<Response/>" } }, "not a SAML 2.0 response"},
	}
	w := newWorld(t, nil)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			req, relay := w.begin(b, w.authorizeURL(nil))
			response := w.idp.respond(t, req, func(d *draft) { c.edit(t, d) })
			res := w.answer(b, relay, response)
			to, err := res.Location()
			if err != nil {
				t.Fatalf("got status %d %s, want the app told of the fault", res.StatusCode, body(t, res))
			}
			q := to.Query()
			if !strings.HasPrefix(to.String(), callback+"?") || q.Get("error") != "server_error" || q.Get("state") != "state-1" {
				t.Errorf("got %s, want the callback with server_error and the state", to)
			}
			if got := q.Get("error_description"); !strings.Contains(got, c.want) {
				t.Errorf("got description %q, want it to say %q: refused for another reason than the case is about", got, c.want)
			}
			if q.Has("code") || w.signedIn(b) {
				t.Error("the response was refused, and yet there is a code or a session")
			}
			if again := w.answer(b, relay, w.idp.respond(t, req, nil)); again.StatusCode != http.StatusBadRequest {
				t.Errorf("a second answer to the same request: got status %d, want 400: each request is answered once", again.StatusCode)
			}
		})
	}
}

func TestResponsesThatAreAccepted(t *testing.T) {
	cases := map[string]func(*draft){
		"the assertion is signed": nil,
		"the response is signed":  func(d *draft) { d.signed, d.envelope = false, true },
		"both are signed":         func(d *draft) { d.envelope = true },
		"clocks half a minute apart": func(d *draft) {
			d.assertion.Conditions.NotBefore = time.Now().Add(30 * time.Second)
		},
		"no certificate in the signature": func(d *draft) {
			d.after = func(root *etree.Element) {
				sig := child(child(root, "Assertion"), "Signature")
				sig.RemoveChild(child(sig, "KeyInfo"))
			}
		},
		"a second confirmation that does not hold": func(d *draft) {
			d.assertion.Subject.SubjectConfirmations = append([]saml.SubjectConfirmation{{Method: "urn:oasis:names:tc:SAML:2.0:cm:sender-vouches"}}, d.assertion.Subject.SubjectConfirmations...)
		},
		"an XML declaration, and line ends in the base64": func(d *draft) {
			d.text = func(x string) string { return `<?xml version="1.0" encoding="UTF-8"?>` + "\n" + x }
		},
	}
	w := newWorld(t, nil)
	for name, edit := range cases {
		t.Run(name, func(t *testing.T) {
			b := w.browser()
			req, relay := w.begin(b, w.authorizeURL(nil))
			response := w.idp.respond(t, req, edit)
			w.code(w.answer(b, relay, response[:76]+"\r\n"+response[76:]))
			if !w.signedIn(b) {
				t.Error("no session cookie after a good response")
			}
		})
	}
}

func TestUnsolicitedAndRepeatedAnswers(t *testing.T) {
	const words = "Invalid samlResponse or relayState from identity provider"
	w := newWorld(t, nil)
	b := w.browser()
	req, relay := w.begin(b, w.authorizeURL(nil))
	good := w.idp.respond(t, req, nil)
	refused := func(why string, res *http.Response) {
		t.Helper()
		page := body(t, res)
		if res.StatusCode != http.StatusBadRequest || !strings.Contains(page, words) || !strings.Contains(page, `role="alert"`) || res.Header.Get("Location") != "" {
			t.Errorf("%s: got status %d, location %q, want a page saying %q", why, res.StatusCode, res.Header.Get("Location"), words)
		}
	}
	refused("IdP-initiated, no RelayState", w.answer(b, "", good))
	refused("IdP-initiated, a RelayState of its own", w.answer(b, "https://vpn.localhost:8443/", good))
	refused("posted by another browser: that one would be signed in as alice", w.answer(w.browser(), relay, good))
	w.code(w.answer(b, relay, good))
	refused("the same post again", w.answer(b, relay, good))
	b = w.browser()
	_, relay2 := w.begin(b, w.authorizeURL(nil))
	res := w.answer(b, relay2, good)
	if to, err := res.Location(); err != nil || !strings.Contains(to.Query().Get("error_description"), "InResponseTo") {
		t.Errorf("a used response for a new request: got %d %v, want InResponseTo refused", res.StatusCode, to)
	}
}

func TestAssertionIDCountsOnce(t *testing.T) {
	w := newWorld(t, nil)
	for i, want := range []string{"", "used before"} {
		b := w.browser()
		req, relay := w.begin(b, w.authorizeURL(nil))
		res := w.answer(b, relay, w.idp.respond(t, req, func(d *draft) { d.assertion.ID = "_same" }))
		to, err := res.Location()
		if err != nil || !strings.Contains(to.Query().Get("error_description"), want) || (want == "") != to.Query().Has("code") {
			t.Errorf("use %d of one assertion ID: got %v, want %q", i+1, to, want)
		}
	}
}

func TestSAMLAuthenticationHasFiveMinutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		b := w.browser()
		req, relay := w.begin(b, w.authorizeURL(nil))
		time.Sleep(samlTimeLimit - time.Second)
		w.code(w.answer(b, relay, w.idp.respond(t, req, nil)))

		b = w.browser()
		req, relay = w.begin(b, w.authorizeURL(nil))
		time.Sleep(samlTimeLimit + time.Second)
		res := w.answer(b, relay, w.idp.respond(t, req, nil))
		if page := body(t, res); res.StatusCode != http.StatusBadRequest || !strings.Contains(page, "five minutes") || res.Header.Get("Location") != "" {
			t.Errorf("after five minutes: got status %d, want a page that says so; %s", res.StatusCode, page)
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestMetadataIsKeptAndRefreshed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		fetches, broken := 0, false
		w.hosts[idpHost] = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if fetches++; broken {
				http.Error(rw, "down", http.StatusBadGateway)
				return
			}
			w.idp.ServeHTTP(rw, r)
		})
		broken = true
		to := must(w.get(w.browser(), w.authorizeURL(nil)).Location())
		if to.Query().Get("error") != "server_error" || !strings.Contains(w.log.String(), "502") {
			t.Errorf("no metadata: got %s, want server_error at the app and the reason in the log", to)
		}
		broken = false
		w.signIn(w.browser(), w.authorizeURL(nil))
		w.signIn(w.browser(), w.authorizeURL(nil))
		if fetches != 2 {
			t.Errorf("got %d fetches, want 2: a failure is not kept, metadata is", fetches)
		}
		time.Sleep(metadataAge)
		broken = true
		w.signIn(w.browser(), w.authorizeURL(nil))
		if fetches != 3 {
			t.Errorf("got %d fetches after six hours, want 3, and the old metadata used while the provider is down", fetches)
		}
	})
}

func TestMetadataThatIsRefused(t *testing.T) {
	i := newIDP(t)
	raw := fetchText(t, i)
	now := time.Now()
	if _, err := parseMetadata([]byte(raw), now); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"wants signed requests": {`WantAuthnRequestsSigned="false"`, `WantAuthnRequestsSigned="true"`, "does not sign"},
		"no redirect binding":   {"HTTP-Redirect", "SOAP", "HTTP-Redirect"},
		"no signing key":        {`use="signing"`, `use="encryption"`, "no signing certificate"},
		"expired":               {`entityID=`, `validUntil="2001-01-01T00:00:00Z" entityID=`, "valid until"},
		"a script as location":  {"https://" + idpHost + "/saml/assertion?tenant=1", "javascript:alert(1)", "not SAML metadata"},
		"not metadata":          {raw, "<html/>", "not SAML metadata"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parseMetadata([]byte(strings.Replace(raw, c.old, c.new, 1)), now)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error saying %q", err, c.want)
			}
		})
	}
}

func fetchText(t *testing.T, i *testIDP) string {
	w := &world{t: t, hosts: map[string]http.Handler{idpHost: i}}
	return body(t, w.get(w.browser(), "https://"+idpHost+"/"))
}

// crewjam's IdentityProvider signs and writes by its own rules, which are not this test's.
func TestForeignIdentityProvider(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.MetadataURL = "https://foreign.localhost/metadata"
		c.AttributeMapping = map[string]string{"email": "urn:oid:0.9.2342.19200300.100.1.3"}
	})
	idp := &saml.IdentityProvider{
		Key: w.idp.key, Certificate: w.idp.cert, SignatureMethod: dsig.RSASHA256SignatureMethod,
		Logger:                  log.New(io.Discard, "", 0),
		MetadataURL:             *must(url.Parse("https://foreign.localhost/metadata")),
		SSOURL:                  *must(url.Parse("https://foreign.localhost/sso")),
		ServiceProviderProvider: serviceProvider{w.srv},
		SessionProvider:         oneSession{},
	}
	w.hosts["foreign.localhost"] = idp.Handler()
	b := w.browser()
	res := w.get(b, must(w.get(b, w.authorizeURL(nil)).Location()).String())
	page := body(t, res)
	value := func(field string) string {
		_, after, _ := strings.Cut(page, `name="`+field+`" value="`)
		v, _, _ := strings.Cut(after, `"`)
		return strings.NewReplacer("&#43;", "+", "&#47;", "/", "&#61;", "=").Replace(v)
	}
	if _, err := base64.StdEncoding.DecodeString(value("SAMLResponse")); err != nil {
		t.Fatalf("no response on the foreign page: %v", err)
	}
	w.code(w.answer(b, value("RelayState"), value("SAMLResponse")))
	if u := w.srv.st.Profiles["IdentityCenter_bob"]; u.Attributes["email"] != "bob@corp.example" {
		t.Errorf("got profile %+v, want bob with his e-mail address", u)
	}
}

type serviceProvider struct{ s *Server }

func (p serviceProvider) GetServiceProvider(*http.Request, string) (*saml.EntityDescriptor, error) {
	return &saml.EntityDescriptor{EntityID: p.s.Audience(), SPSSODescriptors: []saml.SPSSODescriptor{{
		AssertionConsumerServices: []saml.IndexedEndpoint{{Binding: saml.HTTPPostBinding, Location: p.s.ACSURL()}}}}}, nil
}

type oneSession struct{}

func (oneSession) GetSession(http.ResponseWriter, *http.Request, *saml.IdpAuthnRequest) *saml.Session {
	return &saml.Session{ID: "1", CreateTime: time.Now(), ExpireTime: time.Now().Add(time.Hour), Index: "1", NameID: "bob", UserEmail: "bob@corp.example"}
}

// Whatever is posted, nobody but the person whom the provider signed for comes out of it.
func FuzzResponse(f *testing.F) {
	t := &testing.T{}
	i := newIDPWith(t, idpKey())
	m := must(parseMetadata([]byte(fetchText(t, i)), time.Now()))
	req := saml.AuthnRequest{ID: "_request", AssertionConsumerServiceURL: "https://cognito.localhost/saml2/idpresponse", Issuer: &saml.Issuer{Value: "urn:sp"}}
	for _, envelope := range []bool{false, true} {
		f.Add(must(base64.StdEncoding.DecodeString(i.respond(t, req, func(d *draft) {
			d.envelope = envelope
			end := time.Now().Add(24 * time.Hour)
			d.assertion.Conditions.NotOnOrAfter, d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.NotOnOrAfter = end, end
		}))))
	}
	f.Add([]byte(`<Response xmlns="urn:oasis:names:tc:SAML:2.0:protocol"><Signature xmlns="http://www.w3.org/2000/09/xmldsig#"/></Response>`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := m.verify(base64.StdEncoding.EncodeToString(raw), expected{acs: req.AssertionConsumerServiceURL, audience: "urn:sp", request: req.ID, now: time.Now()})
		if err == nil && a.Subject.NameID.Value != "alice@corp.example" {
			t.Errorf("got %q signed in, want nobody but alice", a.Subject.NameID.Value)
		}
	})
}

// parse refuses comments before it comes to this; it must hold without that too.
func TestOnlyWhatWasSignedIsRead(t *testing.T) {
	i := newIDP(t)
	m := must(parseMetadata([]byte(fetchText(t, i)), time.Now()))
	for name, edit := range map[string]func(*draft){
		"the assertion is signed": func(d *draft) {},
		"the response is signed":  func(d *draft) { d.signed, d.envelope = false, true },
	} {
		raw := must(base64.StdEncoding.DecodeString(i.respond(t, saml.AuthnRequest{ID: "_r", Issuer: &saml.Issuer{}}, edit)))
		doc := etree.NewDocument()
		if err := doc.ReadFromString(strings.Replace(string(raw), ">alice@corp", "><!--unsigned-->alice@corp", 1)); err != nil {
			t.Fatal(err)
		}
		signed, err := m.signedAssertion(doc.Root())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if text := must(etree.NewDocumentWithRoot(signed).WriteToString()); strings.Contains(text, "unsigned") || !strings.Contains(text, ">alice@corp") {
			t.Errorf("%s: what is read holds what the signature does not cover: %s", name, text)
		}
	}
}
