package cognito

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"
	xrv "github.com/mattermost/xml-roundtrip-validator"
	dsig "github.com/russellhaering/goxmldsig"
	"github.com/russellhaering/goxmldsig/etreeutils"
)

const (
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	bearer      = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
	digestSHA2  = "http://www.w3.org/2001/04/xmlenc#sha256"

	skew         = time.Minute     // between the provider's clock and ours, but for NoSkew
	metadataAge  = 6 * time.Hour   // "refreshed about every 6 hours"
	fetchTimeout = 5 * time.Second // for the metadata; a browser is waiting
	maxMetadata  = 1 << 20         // bytes
	maxCert      = 4096            // characters of a signing certificate, "no longer than 4,096 characters in length"
	maxAttribute = 2048            // characters of a mapped attribute; a longer one fails the sign-in
)

// provider fetches the identity provider's metadata at first need and keeps it.
type provider struct {
	url    string
	client *http.Client
	log    *slog.Logger

	mu      sync.Mutex // guards the rest; held while fetching, so that one fetch serves all who wait
	current *metadata
	fetched time.Time
}

// metadata is what the pool needs of a provider's SAML metadata.
type metadata struct {
	entityID string
	sso      string // single sign-on by the HTTP-Redirect binding
	certs    []*x509.Certificate
	unusable error // signing certificates beside those, and what is wrong with them
}

func (p *provider) metadata(ctx context.Context) (*metadata, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && time.Since(p.fetched) < metadataAge {
		return p.current, nil
	}
	// The fetch serves others too, so it outlives a browser that goes away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), fetchTimeout)
	defer cancel()
	m, err := fetch(ctx, p.client, p.url)
	switch {
	case err == nil:
		p.current, p.fetched = m, time.Now()
		if m.unusable != nil {
			p.log.Warn("metadata of the identity provider: certificates left out", "to", name, "url", p.url, "err", m.unusable)
		}
	case p.current != nil: // what was good six hours ago is better than nothing; ask again in a minute
		p.fetched = time.Now().Add(time.Minute - metadataAge)
		p.log.Warn("metadata of the identity provider not refreshed", "to", name, "url", p.url, "err", err)
	default:
		return nil, err
	}
	return p.current, nil
}

func fetch(ctx context.Context, client *http.Client, from string) (*metadata, error) {
	if err := checkMetadataURL(from); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("answered %s", resp.Status)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxMetadata+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxMetadata {
		return nil, fmt.Errorf("more than %d bytes", maxMetadata)
	}
	return parseMetadata(raw, time.Now())
}

func parseMetadata(raw []byte, now time.Time) (*metadata, error) {
	if isWebPage(raw) {
		return nil, errors.New("a web page (HTML), not SAML metadata: is it the metadata's own address, and open without signing in?")
	}
	if err := xrv.Validate(bytes.NewReader(raw)); err != nil {
		return nil, fmt.Errorf("not safe XML: %w", err)
	}
	var d saml.EntityDescriptor
	if err := xml.Unmarshal(raw, &d); err != nil {
		return nil, fmt.Errorf("not SAML metadata: %w", err)
	}
	if d.EntityID == "" || len(d.IDPSSODescriptors) != 1 {
		return nil, errors.New("not the metadata of one SAML identity provider")
	}
	if !d.ValidUntil.IsZero() && now.After(d.ValidUntil) {
		return nil, fmt.Errorf("valid until %s only", d.ValidUntil.UTC().Format(time.RFC3339))
	}
	idp := d.IDPSSODescriptors[0]
	if want := idp.WantAuthnRequestsSigned; want != nil && *want {
		return nil, errors.New("wants signed requests, and this pool does not sign (RequestSigningAlgorithm is not set)")
	}
	m := &metadata{entityID: d.EntityID}
	for _, e := range idp.SingleSignOnServices {
		if e.Binding == saml.HTTPRedirectBinding && m.sso == "" {
			m.sso = e.Location
		}
	}
	if u, err := url.Parse(m.sso); err != nil || !webURL(u) {
		return nil, errors.New("no single sign-on service with the HTTP-Redirect binding, and Cognito sends its requests by no other")
	}
	for _, k := range idp.KeyDescriptors {
		if k.Use != "signing" && k.Use != "" { // none means both uses (SAML Metadata 2.4.1.1)
			continue
		}
		for _, c := range k.KeyInfo.X509Data.X509Certificates {
			cert, err := signingCertificate(strings.Join(strings.Fields(c.Data), ""), now)
			if err != nil {
				m.unusable = errors.Join(m.unusable, err)
				continue
			}
			m.certs = append(m.certs, cert)
		}
	}
	switch {
	case len(m.certs) > 0: // one is enough: a provider that changes its key offers the old and the new for a while
		return m, nil
	case m.unusable != nil:
		return nil, fmt.Errorf("no signing certificate that can be used: %w", m.unusable)
	}
	return nil, errors.New("no signing certificate")
}

// isWebPage tells whether the first element is html, which is what a wrong address or a sign-in page answers with.
func isWebPage(raw []byte) bool {
	d := xml.NewDecoder(bytes.NewReader(raw))
	for d.Strict = false; ; {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if first, ok := token.(xml.StartElement); ok {
			return strings.EqualFold(first.Name.Local, "html")
		}
	}
}

// signingCertificate reads a certificate out of metadata. One that has expired is refused ("the signing certificate in
// your SAML provider metadata must not be expired"); which keys Cognito takes is unconfirmed.
func signingCertificate(text string, now time.Time) (*x509.Certificate, error) {
	if len(text) > maxCert {
		return nil, fmt.Errorf("a certificate of %d characters, more than %d", len(text), maxCert)
	}
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("a certificate that is not base64: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if key, ok := cert.PublicKey.(*rsa.PublicKey); !ok || key.N.BitLen() < 2048 {
		return nil, errors.New("a certificate without an RSA key of at least 2048 bits")
	}
	return cert, inForce(cert, now)
}

func inForce(cert *x509.Certificate, now time.Time) error {
	if now.Before(cert.NotBefore) || now.After(cert.NotAfter) {
		return fmt.Errorf("the certificate is valid from %s to %s only", cert.NotBefore.UTC().Format(time.DateOnly), cert.NotAfter.UTC().Format(time.DateOnly))
	}
	return nil
}

// redirectURL puts a request into a URL by the HTTP-Redirect binding's DEFLATE encoding (SAML Bindings 3.4.4.1).
func redirectURL(sso string, req saml.AuthnRequest, relayState string) (string, error) {
	doc := etree.NewDocument()
	doc.SetRoot(req.Element())
	var packed bytes.Buffer
	deflate, err := flate.NewWriter(&packed, flate.DefaultCompression)
	if err != nil {
		return "", err
	}
	if _, err := doc.WriteTo(deflate); err != nil {
		return "", err
	}
	if err := deflate.Close(); err != nil {
		return "", err
	}
	return withQuery(sso, url.Values{
		"SAMLRequest": {base64.StdEncoding.EncodeToString(packed.Bytes())},
		"RelayState":  {relayState},
	}), nil
}

// expected is what a response must say.
type expected struct {
	acs, audience string
	request       string // id of the request that it answers
	now           time.Time
	skew          time.Duration
}

// verify decodes and checks a SAMLResponse of the HTTP-POST binding and returns its one assertion. Everything in the
// assertion is read from the bytes whose digest was signed; of the envelope around it, which need not be signed, only
// restrictions are taken.
func (m *metadata) verify(encoded string, want expected) (*saml.Assertion, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("not base64")
	}
	root, err := parse(raw)
	if err != nil {
		return nil, err
	}
	if err := m.envelope(root, want); err != nil {
		return nil, err
	}
	signed, err := m.signedAssertion(root)
	if err != nil {
		return nil, err
	}
	doc := etree.NewDocument()
	doc.SetRoot(signed)
	text, err := doc.WriteToBytes()
	if err != nil {
		return nil, err
	}
	var a saml.Assertion
	if err := xml.Unmarshal(text, &a); err != nil {
		return nil, fmt.Errorf("the assertion cannot be read: %w", err)
	}
	return &a, m.check(&a, want)
}

// parse reads a response and refuses every shape that two XML parsers, or a signer and a reader, could see differently:
// the signature attacks on SAML live there ("On Breaking SAML: Be Whoever You Want to Be", USENIX Security 2012).
func parse(raw []byte) (*etree.Element, error) {
	if err := xrv.Validate(bytes.NewReader(raw)); err != nil {
		return nil, errors.New("not XML that reads the same twice")
	}
	doc := etree.NewDocument()
	doc.ReadSettings.MaxDepth = 32
	doc.ReadSettings.PreserveDuplicateAttrs = true // to be refused below
	if err := doc.ReadFromBytes(raw); err != nil || doc.Root() == nil {
		return nil, errors.New("not XML")
	}
	ids := map[string]bool{}
	assertions := 0
	var walk func(*etree.Element) error
	plain := func(tokens []etree.Token, root bool) error {
		for _, t := range tokens {
			switch t := t.(type) {
			case *etree.Element:
				if err := walk(t); err != nil {
					return err
				}
			case *etree.CharData:
			case *etree.ProcInst:
				if !root || t.Target != "xml" {
					return errors.New("processing instructions are not accepted")
				}
			default: // a DOCTYPE can define entities; a comment can cut a name in two
				return errors.New("comments and document types are not accepted")
			}
		}
		return nil
	}
	walk = func(e *etree.Element) error {
		names := map[string]bool{}
		for _, a := range e.Attr {
			if names[a.FullKey()] {
				return errors.New("an attribute is given twice")
			}
			names[a.FullKey()] = true
			if strings.EqualFold(a.Key, "id") && a.Space != "xmlns" {
				if ids[a.Value] {
					return errors.New("two elements have the same ID")
				}
				ids[a.Value] = true
			}
		}
		switch e.Tag { // by name in any namespace, so that no spelling hides one
		case "EncryptedAssertion":
			return errors.New("the assertion is encrypted, and this pool has no key for it (EncryptedResponses is off)")
		case "Assertion":
			if assertions++; e.NamespaceURI() != nsAssertion || e.Parent() != doc.Root() {
				return errors.New("an assertion is not where it belongs")
			}
		case "Signature":
			if p := e.Parent(); e.NamespaceURI() != dsig.Namespace || p != doc.Root() && (p.Tag != "Assertion" || p.Parent() != doc.Root()) {
				return errors.New("a signature is not where it belongs")
			}
		}
		return plain(e.Child, false)
	}
	if err := plain(doc.Child, true); err != nil {
		return nil, err
	}
	root := doc.Root()
	if root.Tag != "Response" || root.NamespaceURI() != nsProtocol {
		return nil, errors.New("not a SAML 2.0 response")
	}
	if assertions > 1 {
		return nil, errors.New("more than one assertion")
	}
	return root, nil
}

// envelope checks the response around the assertion (SAML Core 3.2.2, Bindings 3.5.5.2).
func (m *metadata) envelope(root *etree.Element, want expected) error {
	if v := root.SelectAttrValue("Version", ""); v != "2.0" {
		return fmt.Errorf("version %q", v)
	}
	if d := root.SelectAttrValue("Destination", ""); d != want.acs {
		return fmt.Errorf("the destination is %q, not this pool", d)
	}
	if id := root.SelectAttrValue("InResponseTo", ""); id != want.request {
		return errors.New("it does not answer the request that was sent (InResponseTo)")
	}
	success := false
	for _, e := range root.ChildElements() {
		switch e.Tag {
		case "Issuer":
			if e.Text() != m.entityID {
				return fmt.Errorf("the issuer is %q, not the entityID of the provider's metadata, %q", e.Text(), m.entityID)
			}
		case "Status":
			for _, c := range e.ChildElements() {
				if v := c.SelectAttrValue("Value", ""); c.Tag == "StatusCode" && v != saml.StatusSuccess {
					return fmt.Errorf("the identity provider reports %q", v)
				}
				success = success || c.Tag == "StatusCode"
			}
		}
	}
	if !success {
		return errors.New("it has no status")
	}
	return nil
}

// signedAssertion returns the assertion as it was signed: by its own signature, by the response's, or by both, in
// which case both must hold. What goxmldsig digested is what is returned; nothing is looked up again in the original.
func (m *metadata) signedAssertion(root *etree.Element) (*etree.Element, error) {
	response, own, err := m.validated(root)
	if err != nil {
		return nil, fmt.Errorf("SAML response signature is invalid: %w", err)
	}
	for _, e := range response.ChildElements() {
		if e.Tag != "Assertion" {
			continue
		}
		// Cut free with the namespaces that it inherits: the signer may have declared them further up.
		ctx, err := etreeutils.NSBuildParentContext(e)
		if err != nil {
			return nil, err
		}
		if e, err = etreeutils.NSDetatch(ctx, e); err != nil {
			return nil, err
		}
		assertion, direct, err := m.validated(e)
		switch {
		case err != nil:
			return nil, fmt.Errorf("SAML Assertion signature is invalid: %w", err)
		case !direct && !own:
			return nil, errors.New("neither the assertion nor the response is signed")
		}
		return assertion, nil
	}
	return nil, errors.New("no assertion")
}

// validated checks the enveloped signature of e, if it has one, and returns e as signed, or e itself and false. It
// matches if any key of the metadata made it ("User pools support multiple signing certificates"), whatever the
// signature says of its key.
func (m *metadata) validated(e *etree.Element) (*etree.Element, bool, error) {
	var signatures []*etree.Element
	for _, c := range e.ChildElements() {
		if c.Tag == "Signature" {
			signatures = append(signatures, c)
		}
	}
	switch {
	case len(signatures) == 0:
		return e, false, nil
	case len(signatures) > 1:
		return nil, false, errors.New("signed more than once")
	}
	if err := strong(signatures[0], e.SelectAttrValue("ID", "")); err != nil {
		return nil, false, err
	}
	for _, c := range signatures[0].ChildElements() {
		if c.Tag == "KeyInfo" { // not covered by the signature; goxmldsig would have it name the one certificate to try
			signatures[0].RemoveChild(c)
		}
	}
	err := errors.New("no key of the provider's metadata made it")
	for _, cert := range m.certs {
		if expired := inForce(cert, time.Now()); expired != nil {
			err = expired
			continue
		}
		signed, bad := dsig.NewDefaultValidationContext(&dsig.MemoryX509CertificateStore{Roots: []*x509.Certificate{cert}}).Validate(e)
		if bad == nil {
			return signed, true, nil
		}
		if !errors.Is(bad, rsa.ErrVerification) { // the key is not what is wrong
			return nil, false, bad
		}
	}
	return nil, false, err
}

// strong demands of a signature the one shape that the SAML profile describes (SAML Core 5.4): over its parent, by ID,
// RSA with SHA-256, exclusive canonicalization without comments. goxmldsig alone would take SHA-1 and more transforms.
func strong(signature *etree.Element, id string) error {
	errShape := errors.New("its signature has an unusual shape")
	only := func(e *etree.Element, tags ...string) bool {
		got := []string{}
		for _, c := range e.ChildElements() {
			if c.NamespaceURI() != dsig.Namespace {
				return false
			}
			got = append(got, c.Tag)
		}
		return slices.Equal(got, tags)
	}
	algorithm := func(e *etree.Element) string { return e.SelectAttrValue(dsig.AlgorithmAttr, "") }

	if !only(signature, "SignedInfo", "SignatureValue", "KeyInfo") && !only(signature, "SignedInfo", "SignatureValue") {
		return errShape
	}
	info := signature.ChildElements()[0]
	if !only(info, "CanonicalizationMethod", "SignatureMethod", "Reference") {
		return errShape
	}
	c14n, method, ref := info.ChildElements()[0], info.ChildElements()[1], info.ChildElements()[2]
	if !only(ref, "Transforms", "DigestMethod", "DigestValue") {
		return errShape
	}
	if a := algorithm(method); a != dsig.RSASHA256SignatureMethod {
		return fmt.Errorf("signature method %q, only RSA-SHA256 is accepted", a)
	}
	if a := algorithm(ref.ChildElements()[1]); a != digestSHA2 {
		return fmt.Errorf("digest method %q, only SHA-256 is accepted", a)
	}
	if id == "" || ref.SelectAttrValue(dsig.URIAttr, "") != "#"+id {
		return errors.New("its signature is for another element")
	}
	transforms := ref.ChildElements()[0].ChildElements()
	if len(transforms) != 2 || algorithm(transforms[0]) != string(dsig.EnvelopedSignatureAltorithmId) ||
		algorithm(transforms[1]) != string(dsig.CanonicalXML10ExclusiveAlgorithmId) ||
		algorithm(c14n) != string(dsig.CanonicalXML10ExclusiveAlgorithmId) {
		return errors.New("its signature uses another canonicalization")
	}
	return nil
}

// check reads the assertion's own restrictions (SAML Core 2.4, 2.5; Profiles 4.1.4.2 and 4.1.4.3).
func (m *metadata) check(a *saml.Assertion, want expected) error {
	switch {
	case a.Version != "2.0" || a.ID == "":
		return errors.New("the assertion has no ID or another version")
	case a.Issuer.Value != m.entityID:
		return fmt.Errorf("the assertion's issuer is %q, not the entityID of the provider's metadata, %q", a.Issuer.Value, m.entityID)
	case a.Subject == nil || a.Subject.NameID == nil || strings.TrimSpace(a.Subject.NameID.Value) == "":
		return errors.New("the assertion names nobody (NameID)")
	case a.Conditions == nil || len(a.Conditions.AudienceRestrictions) == 0:
		return errors.New("the assertion is for no audience in particular")
	case len(a.AuthnStatements) == 0:
		return errors.New("the assertion does not say that anybody signed in")
	}
	c := a.Conditions
	if !c.NotBefore.IsZero() && want.now.Add(want.skew).Before(c.NotBefore) {
		return errors.New("the assertion is not valid yet; are the clocks right?")
	}
	if !c.NotOnOrAfter.IsZero() && !want.now.Before(c.NotOnOrAfter.Add(want.skew)) {
		return errors.New("the assertion has expired")
	}
	for _, r := range c.AudienceRestrictions {
		if r.Audience.Value != want.audience {
			return fmt.Errorf("the audience is %q, not %q", r.Audience.Value, want.audience)
		}
	}
	for _, st := range a.AuthnStatements {
		if st.SessionNotOnOrAfter != nil && !want.now.Before(st.SessionNotOnOrAfter.Add(want.skew)) {
			return errors.New("the identity provider's session has expired")
		}
	}
	err := errors.New("no bearer confirmation")
	for _, sc := range a.Subject.SubjectConfirmations { // one that holds is enough
		if sc.Method == bearer {
			if err = confirm(sc.SubjectConfirmationData, want); err == nil {
				return nil
			}
		}
	}
	return err
}

func confirm(d *saml.SubjectConfirmationData, want expected) error {
	switch {
	case d == nil || d.NotOnOrAfter.IsZero() || !d.NotBefore.IsZero():
		return errors.New("the bearer confirmation has no end, or a beginning")
	case d.Recipient != want.acs:
		return fmt.Errorf("the recipient is %q, not this pool", d.Recipient)
	case d.InResponseTo != want.request:
		return errors.New("the assertion does not answer the request that was sent (InResponseTo)")
	case !want.now.Before(d.NotOnOrAfter.Add(want.skew)):
		return errors.New("the assertion has expired")
	}
	return nil
}

// expiry is when no confirmation of the assertion can hold any more, and its ID may be forgotten.
func expiry(a *saml.Assertion) (end time.Time) {
	for _, sc := range a.Subject.SubjectConfirmations {
		if d := sc.SubjectConfirmationData; d != nil && d.NotOnOrAfter.After(end) {
			end = d.NotOnOrAfter
		}
	}
	return end.Add(skew)
}

// mapped picks the pool's attributes out of an assertion.
func mapped(mapping map[string]string, a *saml.Assertion, open Unconfirmed) (map[string]string, error) {
	out := map[string]string{}
	for attribute, from := range mapping {
		var values []string
		for _, st := range a.AttributeStatements {
			for _, at := range st.Attributes {
				if at.Name == from {
					for _, v := range at.Values {
						values = append(values, v.Value)
					}
				}
			}
		}
		var value string
		switch len(values) {
		case 0:
			continue
		case 1:
			value = values[0]
		default:
			var err error
			if value, err = list(values, open); err != nil {
				return nil, fmt.Errorf("attribute %s: %w", attribute, err)
			}
		}
		if n := utf8.RuneCountInString(value); n > maxAttribute {
			return nil, fmt.Errorf("attribute %s has %d characters, more than %d", attribute, n, maxAttribute)
		}
		out[attribute] = value
	}
	// What an identity provider says of an e-mail address is not verified unless it is mapped to say so.
	if _, ok := out["email_verified"]; !ok && out["email"] != "" {
		out["email_verified"] = "false"
	}
	return out, nil
}

// list makes one string of several values: "[a, b]" without quotes, as seen from Cognito.
func list(values []string, open Unconfirmed) (string, error) {
	if open.ListsAreJSON {
		text, err := json.Marshal(values)
		return string(text), err
	}
	if open.ListsAreEncoded {
		values = slices.Clone(values)
		for i, v := range values { // all but letters, digits and . - * _, which is Java's form encoding
			values[i] = strings.NewReplacer("%2A", "*", "~", "%7E").Replace(url.QueryEscape(v))
		}
	}
	return "[" + strings.Join(values, ", ") + "]", nil
}
