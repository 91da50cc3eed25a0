package identitycenter

import (
	"bytes"
	"compress/flate"
	"crypto/rand"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

const (
	nsProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"
	nsAssertion = "urn:oasis:names:tc:SAML:2.0:assertion"
	nsMetadata  = "urn:oasis:names:tc:SAML:2.0:metadata"

	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPost     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"
	attributeFormat = "urn:oasis:names:tc:SAML:2.0:attrname-format:"

	maxBody         = 256 << 10
	maxRequest      = 64 << 10        // octets of an AuthnRequest, inflated
	maxRelayState   = 4 << 10         // SAML says 80; service providers, Amazon Cognito among them, send more
	requestWindow   = 5 * time.Minute // how far IssueInstant may be from now
	assertionExpiry = 5 * time.Minute
)

// head is what all requests have (RequestAbstractType, SAML Core section 3.2.1), as far as it is acted on. A signature is
// not needed (WantAuthnRequestsSigned="false"), and is not looked at: the console asks for no certificate to check it by.
type head struct {
	ID           string `xml:"ID,attr"`
	Version      string `xml:"Version,attr"`
	IssueInstant string `xml:"IssueInstant,attr"`
	Destination  string `xml:"Destination,attr"`
	Issuer       string `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
}

// authnRequest is the part of an AuthnRequest (SAML Core section 3.4.1) that is acted on. NameIDPolicy is not: the
// application's attribute mapping decides what the subject is.
type authnRequest struct {
	XMLName xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	head
	ACSURL          string `xml:"AssertionConsumerServiceURL,attr"`
	ACSIndex        string `xml:"AssertionConsumerServiceIndex,attr"`
	ProtocolBinding string `xml:"ProtocolBinding,attr"`
	ForceAuthn      string `xml:"ForceAuthn,attr"`
	IsPassive       string `xml:"IsPassive,attr"`
}

// xmlID is an xs:ID in ASCII: it comes back in the response's InResponseTo.
var xmlID = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]{0,255}$`)

// redirected reads a request by the HTTP-Redirect binding (SAML Bindings section 3.4.4).
func redirected(r *http.Request) (raw []byte, relayState string, err error) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, "", err
	}
	if e := q.Get("SAMLEncoding"); e != "" && e != "urn:oasis:names:tc:SAML:2.0:bindings:URL-Encoding:DEFLATE" {
		return nil, "", errors.New("unknown SAMLEncoding")
	}
	if len(q["SAMLRequest"]) != 1 || len(q["RelayState"]) > 1 {
		return nil, "", errors.New("not one SAMLRequest, or more than one RelayState")
	}
	raw, err = inflate(q.Get("SAMLRequest"))
	return raw, q.Get("RelayState"), err
}

// posted reads a request by the HTTP-POST binding (SAML Bindings section 3.5.4).
func posted(r *http.Request) (raw []byte, relayState string, err error) {
	if err := r.ParseForm(); err != nil {
		return nil, "", err
	}
	f := r.PostForm
	if len(f["SAMLRequest"]) != 1 || len(f["RelayState"]) > 1 {
		return nil, "", errors.New("not one SAMLRequest, or more than one RelayState")
	}
	raw, err = base64.StdEncoding.DecodeString(f.Get("SAMLRequest"))
	return raw, f.Get("RelayState"), err
}

// inflate undoes the redirect binding's encoding (SAML Bindings section 3.4.4.1). It stops one octet after the longest
// request that decode takes.
func inflate(encoded string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxRequest+1))
}

// deflate is the redirect binding's encoding.
func deflate(raw []byte) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err == nil {
		_, err = w.Write(raw)
		err = errors.Join(err, w.Close())
	}
	if err != nil {
		panic(err) // a buffer takes everything, and the level is valid
	}
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// decode reads one element into v, and refuses what two readers could see differently.
func decode(raw []byte, v any) error {
	if len(raw) > maxRequest {
		return errors.New("the request is too long")
	}
	if bytes.Contains(raw, []byte("<!")) {
		return errors.New("the request holds a document type, a comment or a CDATA section")
	}
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimSpace(raw)))
	for {
		token, err := dec.Token()
		if err != nil {
			return fmt.Errorf("not the request that is expected here: %w", err)
		}
		if start, ok := token.(xml.StartElement); ok {
			if err := dec.DecodeElement(v, &start); err != nil {
				return fmt.Errorf("not the request that is expected here: %w", err)
			}
			break
		}
		if chars, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(chars)) > 0 {
			return errors.New("text before the request") // encoding/xml would skip it
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the request is followed by something else")
	}
	return nil
}

// check holds what all requests have against what the application was registered with.
func (h head) check(s *Server, endpoint string, now time.Time) error {
	issued, err := time.Parse(time.RFC3339Nano, h.IssueInstant)
	switch {
	case h.Version != "2.0":
		return fmt.Errorf("SAML version %q", h.Version)
	case !xmlID.MatchString(h.ID):
		return errors.New("the request's ID is missing or not an XML ID")
	case strings.TrimSpace(h.Issuer) != s.cfg.Application.Audience:
		return fmt.Errorf("issuer %q is not the application's audience", h.Issuer)
	case h.Destination != "" && h.Destination != endpoint:
		return fmt.Errorf("destination %q is not this endpoint", h.Destination)
	case err != nil || now.Sub(issued) > requestWindow || issued.Sub(now) > requestWindow:
		return fmt.Errorf("issue instant %q is not a time within %s of now", h.IssueInstant, requestWindow)
	}
	return nil
}

// parseRequest checks an AuthnRequest against what the application was registered with.
func (s *Server) parseRequest(raw []byte, now time.Time) (*authnRequest, error) {
	var q authnRequest
	if err := decode(raw, &q); err != nil {
		return nil, err
	}
	if err := q.check(s, s.ssoURL(), now); err != nil {
		return nil, err
	}
	switch {
	case q.ACSURL != "" && q.ACSURL != s.cfg.Application.ACSURL:
		return nil, fmt.Errorf("assertion consumer service %q is not the application's", q.ACSURL)
	case q.ACSIndex != "":
		return nil, errors.New("assertion consumer services have no index here")
	case q.ProtocolBinding != "" && q.ProtocolBinding != bindingPost:
		return nil, fmt.Errorf("protocol binding %q: responses are posted", q.ProtocolBinding)
	case isTrue(q.IsPassive):
		return nil, errors.New("IsPassive is not supported")
	}
	return &q, nil
}

// isTrue reads an xs:boolean.
func isTrue(s string) bool { return s == "true" || s == "1" }

// respond makes the signed Response to a request, with subject and attributes as mapped. SubjectConfirmationData has no Address: behind a load balancer it would be the wrong one.
func (s *Server) respond(requestID string, p *person, ses session, now time.Time) ([]byte, error) {
	instant := now.UTC().Format(samlTime)
	until := now.Add(assertionExpiry).UTC().Format(samlTime)
	acs, mappings := s.cfg.Application.ACSURL, s.cfg.Application.Mappings

	assertion := element(nil, "saml:Assertion", "", "xmlns:saml", nsAssertion, "ID", newID(), "Version", "2.0", "IssueInstant", instant)
	element(assertion, "saml:Issuer", s.ssoURL())
	subject := element(assertion, "saml:Subject", "")
	element(subject, "saml:NameID", p.mapped(mappings[0].Value), "Format", subjectFormats[mappings[0].Format])
	confirmation := element(subject, "saml:SubjectConfirmation", "", "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	element(confirmation, "saml:SubjectConfirmationData", "", "InResponseTo", requestID, "NotOnOrAfter", until, "Recipient", acs)
	conditions := element(assertion, "saml:Conditions", "", "NotBefore", instant, "NotOnOrAfter", until)
	element(element(conditions, "saml:AudienceRestriction", ""), "saml:Audience", s.cfg.Application.Audience)
	signedIn := ses.At
	if signedIn.After(now) { // the clock was put back since; nobody signs in later than that is said
		signedIn = now
	}
	statement := element(assertion, "saml:AuthnStatement", "", "AuthnInstant", signedIn.UTC().Format(samlTime),
		"SessionIndex", ses.Index, "SessionNotOnOrAfter", ses.Expires.Format(samlTime))
	element(element(statement, "saml:AuthnContext", ""), "saml:AuthnContextClassRef", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
	// What the person does not have is left out, and a statement without attributes is not valid (SAML Core section 2.7.3).
	attributes := element(nil, "saml:AttributeStatement", "")
	for _, m := range mappings[1:] {
		values := p.values(m.Value)
		if len(values) == 0 {
			continue
		}
		attribute := element(attributes, "saml:Attribute", "", "Name", m.Attribute, "NameFormat", attributeFormat+m.Format)
		for _, v := range values {
			element(attribute, "saml:AttributeValue", v)
		}
	}
	if len(attributes.ChildElements()) > 0 {
		assertion.AddChild(attributes)
	}
	if err := s.sign(assertion); err != nil {
		return nil, err
	}

	response := element(nil, "samlp:Response", "", "xmlns:samlp", nsProtocol, "xmlns:saml", nsAssertion,
		"ID", newID(), "Version", "2.0", "IssueInstant", instant, "Destination", acs, "InResponseTo", requestID)
	element(response, "saml:Issuer", s.ssoURL())
	element(element(response, "samlp:Status", ""), "samlp:StatusCode", "", "Value", "urn:oasis:names:tc:SAML:2.0:status:Success")
	response.AddChild(assertion)
	if err := s.sign(response); err != nil {
		return nil, err
	}
	return etree.NewDocumentWithRoot(response).WriteToBytes()
}

const samlTime = "2006-01-02T15:04:05.000Z"

// newID is an xs:ID, which must not begin with a digit.
func newID() string { return "_" + rand.Text() }

// element adds a child with text and attributes (name, value, …) to parent, or makes a root.
func element(parent *etree.Element, tag, text string, attrs ...string) *etree.Element {
	el := etree.NewElement(tag)
	if parent != nil {
		parent.AddChild(el)
	}
	for i := 0; i < len(attrs); i += 2 {
		el.CreateAttr(attrs[i], attrs[i+1])
	}
	if text != "" {
		el.SetText(text)
	}
	return el
}

// sign puts an enveloped signature, RSA with SHA-256 over exclusive canonical XML, right after the Issuer, where the
// schemas of Assertion and Response want it.
func (s *Server) sign(el *etree.Element) error {
	ctx, err := dsig.NewSigningContext(s.key, [][]byte{s.state.Certificate})
	if err != nil {
		return err
	}
	ctx.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := ctx.SetSignatureMethod(dsig.RSASHA256SignatureMethod); err != nil {
		return err
	}
	signature, err := ctx.ConstructSignature(el, true)
	if err != nil {
		return err
	}
	el.InsertChildAt(1, signature)
	return nil
}

// metadata is what the console offers as "IAM Identity Center SAML metadata file", in the shape of AWS's.
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	root := element(nil, "md:EntityDescriptor", "", "xmlns:md", nsMetadata, "entityID", s.ssoURL())
	idp := element(root, "md:IDPSSODescriptor", "", "WantAuthnRequestsSigned", "false", "protocolSupportEnumeration", nsProtocol)
	info := element(element(idp, "md:KeyDescriptor", "", "use", "signing"), "ds:KeyInfo", "", "xmlns:ds", dsig.Namespace)
	element(element(info, "ds:X509Data", ""), "ds:X509Certificate", base64.StdEncoding.EncodeToString(s.state.Certificate))
	for _, binding := range []string{bindingPost, bindingRedirect} {
		element(idp, "md:SingleLogoutService", "", "Binding", binding, "Location", s.logoutURL())
	}
	element(idp, "md:NameIDFormat", subjectFormats[s.cfg.Application.Mappings[0].Format])
	for _, binding := range []string{bindingPost, bindingRedirect} {
		element(idp, "md:SingleSignOnService", "", "Binding", binding, "Location", s.ssoURL())
	}
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	doc.SetRoot(root)
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	doc.WriteTo(w)
}
