package cognito

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
)

const (
	pool     = "https://cognito.localhost:8444"
	idpHost  = "identity-center.localhost:8445"
	callback = "https://vpn.localhost:8443/oauth2/idpresponse"
	goodbye  = "https://vpn.localhost:8443/signed-out"
	keysHost = "cognito-idp.us-east-1.amazonaws.com"
)

// world is a network without sockets, so that its tests run in synctest bubbles: each host is a handler.
type world struct {
	t     *testing.T
	srv   *Server
	idp   *testIDP
	hosts map[string]http.Handler
	log   *syncBuffer
}

func newWorld(t *testing.T, edit func(*Config)) *world {
	t.Helper()
	w := &world{t: t, idp: newIDP(t), hosts: map[string]http.Handler{}, log: &syncBuffer{}}
	cfg := Config{
		Region: "us-east-1", AccountID: "111122223333", BaseURL: pool,
		ProviderName: "IdentityCenter", MetadataURL: "https://" + idpHost + "/saml/metadata",
		AttributeMapping: map[string]string{"email": "Email", "custom:groups": "Groups"},
		CallbackURLs:     []string{callback}, LogoutURLs: []string{goodbye},
		Client: &http.Client{Transport: w}, Log: slog.New(slog.NewJSONHandler(w.log, nil)),
	}
	if edit != nil {
		edit(&cfg)
	}
	if cfg.StateFile == "" {
		cfg.StateFile = filepath.Join(t.TempDir(), "cognito.json")
		if err := statefile.New(cfg.StateFile, name).Save(freshPool()); err != nil {
			t.Fatal(err)
		}
	}
	srv, err := New(cfg)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	w.srv = srv
	w.hosts["cognito.localhost:8444"] = srv.Handler()
	w.hosts[keysHost] = srv.IDPHandler()
	w.hosts[idpHost] = w.idp
	return w
}

// freshPool is a pool without users, made once: a key takes long to make.
var freshPool = sync.OnceValue(func() state {
	s := &Server{cfg: Config{Region: "us-east-1"}, file: statefile.New("", name)}
	if err := s.generate(); err != nil {
		panic(err)
	}
	return s.st
})

func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	h, ok := w.hosts[r.URL.Host]
	if !ok {
		return nil, fmt.Errorf("no such host: %s", r.URL.Host)
	}
	in := r.Clone(r.Context())
	in.Host = r.URL.Host
	if in.Body == nil {
		in.Body = http.NoBody
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, in)
	res := rec.Result()
	res.Request = r
	return res, nil
}

// browser keeps cookies and follows nothing by itself.
func (w *world) browser() *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &http.Client{Transport: w, Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (w *world) authorizeURL(edit func(url.Values)) string {
	v := url.Values{
		"response_type": {"code"}, "client_id": {w.srv.ClientID()}, "redirect_uri": {callback},
		"scope": {"openid"}, "state": {"state-1"}, "identity_provider": {"IdentityCenter"},
	}
	if edit != nil {
		edit(v)
	}
	return pool + "/oauth2/authorize?" + v.Encode()
}

// begin goes to authorize and returns what arrives at the identity provider.
func (w *world) begin(b *http.Client, authorize string) (req saml.AuthnRequest, relay string) {
	w.t.Helper()
	res := w.get(b, authorize)
	to, err := res.Location()
	if err != nil || to.Host != idpHost {
		w.t.Fatalf("authorize: got status %d to %v, want a redirect to the identity provider", res.StatusCode, to)
	}
	packed, err := base64.StdEncoding.DecodeString(to.Query().Get("SAMLRequest"))
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := xml.Unmarshal(raw, &req); err != nil {
		w.t.Fatal(err)
	}
	return req, to.Query().Get("RelayState")
}

func (w *world) get(b *http.Client, u string) *http.Response {
	w.t.Helper()
	res, err := b.Get(u)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// answer posts a response to the ACS, as the identity provider's page makes the browser do.
func (w *world) answer(b *http.Client, relay, response string) *http.Response {
	w.t.Helper()
	res, err := b.PostForm(w.srv.ACSURL(), url.Values{"SAMLResponse": {response}, "RelayState": {relay}})
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// signIn goes the whole way and returns the code.
func (w *world) signIn(b *http.Client, authorize string) string {
	w.t.Helper()
	req, relay := w.begin(b, authorize)
	return w.code(w.answer(b, relay, w.idp.respond(w.t, req, nil)))
}

func (w *world) code(res *http.Response) string {
	w.t.Helper()
	to, err := res.Location()
	if err != nil || !strings.HasPrefix(to.String(), callback+"?") || to.Query().Get("code") == "" || to.Query().Get("state") != "state-1" {
		w.t.Fatalf("got status %d to %v, want the callback with a code and state-1", res.StatusCode, to)
	}
	return to.Query().Get("code")
}

func (w *world) signedIn(b *http.Client) bool {
	u, _ := url.Parse(pool)
	for _, c := range b.Jar.Cookies(u) {
		if c.Name == sessionCookie {
			return true
		}
	}
	return false
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// testIDP is an identity provider that signs whatever a test wants.
type testIDP struct {
	key  *rsa.PrivateKey
	cert *x509.Certificate
}

// idpKey is the same in every process: fuzzing has several, and what one signed the others must be able to check.
var idpKey = sync.OnceValue(func() *rsa.PrivateKey {
	e, one := big.NewInt(65537), big.NewInt(1)
	prime := func(seed string) *big.Int {
		b := sha512.Sum512([]byte(seed))
		c := sha512.Sum512(b[:])
		p := new(big.Int).SetBytes(append(b[:], c[:]...)) // 1,024 bits
		p.SetBit(p, 1023, 1).SetBit(p, 1022, 1).SetBit(p, 0, 1)
		for two := big.NewInt(2); !p.ProbablyPrime(20); p.Add(p, two) {
		}
		return p
	}
	p, q := prime("a key for tests only: p"), prime("a key for tests only: q")
	phi := new(big.Int).Mul(new(big.Int).Sub(p, one), new(big.Int).Sub(q, one))
	key := &rsa.PrivateKey{PublicKey: rsa.PublicKey{N: new(big.Int).Mul(p, q), E: int(e.Int64())}, D: new(big.Int).ModInverse(e, phi), Primes: []*big.Int{p, q}}
	key.Precompute()
	if err := key.Validate(); err != nil {
		panic(err)
	}
	return key
})

func newIDP(t *testing.T) *testIDP { return newIDPWith(t, idpKey()) }

func newIDPWith(t *testing.T, key *rsa.PrivateKey) *testIDP {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &testIDP{key, cert}
}

func (i *testIDP) entityID() string { return "https://" + idpHost + "/saml/metadata" }

func (i *testIDP) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="%s">
<md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
<md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://%[3]s/saml/assertion"/>
<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://%[3]s/saml/assertion?tenant=1"/>
</md:IDPSSODescriptor></md:EntityDescriptor>`, i.entityID(), base64.StdEncoding.EncodeToString(i.cert.Raw), idpHost)
}

// draft is a response before and after it is signed.
type draft struct {
	response     *saml.Response
	assertion    *saml.Assertion
	method       string
	signed       bool                           // the assertion
	envelope     bool                           // the response
	before       func(assertion *etree.Element) // edits what is signed
	after        func(root *etree.Element)      // edits what was signed
	text         func(xml string) string        // edits the text at the end
	signerForAll *testIDP
}

// respond answers a request for alice as Identity Center does, but for what edit changes.
func (i *testIDP) respond(t *testing.T, req saml.AuthnRequest, edit func(*draft)) string {
	t.Helper()
	now := time.Now().UTC()
	acs := req.AssertionConsumerServiceURL
	d := &draft{
		method: dsig.RSASHA256SignatureMethod, signed: true, signerForAll: i,
		response: &saml.Response{
			ID: "_" + newUUID(), InResponseTo: req.ID, Version: "2.0", IssueInstant: now, Destination: acs,
			Issuer: &saml.Issuer{Value: i.entityID()}, Status: saml.Status{StatusCode: saml.StatusCode{Value: saml.StatusSuccess}},
		},
		assertion: &saml.Assertion{
			ID: "_" + newUUID(), IssueInstant: now, Version: "2.0", Issuer: saml.Issuer{Value: i.entityID()},
			Subject: &saml.Subject{
				NameID: &saml.NameID{Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", Value: "alice@corp.example"},
				SubjectConfirmations: []saml.SubjectConfirmation{{Method: bearer, SubjectConfirmationData: &saml.SubjectConfirmationData{
					Recipient: acs, InResponseTo: req.ID, NotOnOrAfter: now.Add(5 * time.Minute)}}},
			},
			Conditions: &saml.Conditions{NotBefore: now.Add(-time.Minute), NotOnOrAfter: now.Add(5 * time.Minute),
				AudienceRestrictions: []saml.AudienceRestriction{{Audience: saml.Audience{Value: req.Issuer.Value}}}},
			AuthnStatements: []saml.AuthnStatement{{AuthnInstant: now, SessionIndex: "_1", AuthnContext: saml.AuthnContext{
				AuthnContextClassRef: &saml.AuthnContextClassRef{Value: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"}}}},
			AttributeStatements: []saml.AttributeStatement{{Attributes: []saml.Attribute{attribute("Email", "alice@corp.example"), attribute("Groups", "VPN Users", "Engineering")}}},
		},
	}
	if edit != nil {
		edit(d)
	}
	el := d.assertion.Element()
	if d.before != nil {
		d.before(el)
	}
	if d.signed {
		el = d.signerForAll.sign(t, el, d.method)
	}
	root := d.response.Element()
	root.AddChild(el)
	if d.envelope {
		root = d.signerForAll.sign(t, root, d.method)
	}
	if d.after != nil {
		d.after(root)
	}
	doc := etree.NewDocument()
	doc.SetRoot(root)
	text, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	if d.text != nil {
		text = d.text(text)
	}
	return base64.StdEncoding.EncodeToString([]byte(text))
}

func attribute(name string, values ...string) saml.Attribute {
	a := saml.Attribute{Name: name, NameFormat: "urn:oasis:names:tc:SAML:2.0:attrname-format:basic"}
	for _, v := range values {
		a.Values = append(a.Values, saml.AttributeValue{Type: "xs:string", Value: v})
	}
	return a
}

// sign puts an enveloped signature behind the Issuer, where the schema wants it.
func (i *testIDP) sign(t *testing.T, el *etree.Element, method string) *etree.Element {
	t.Helper()
	ctx, err := dsig.NewSigningContext(i.key, [][]byte{i.cert.Raw})
	if err != nil {
		t.Fatal(err)
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(method); err != nil {
		t.Fatal(err)
	}
	signature, err := ctx.ConstructSignature(el, true)
	if err != nil {
		t.Fatal(err)
	}
	el.InsertChildAt(el.ChildElements()[0].Index()+1, signature)
	return el
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
