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

// authnRequest is the part of an AuthnRequest (SAML Core section 3.4.1) that is acted on. NameIDPolicy is not: the
// application's attribute mapping decides what the subject is. A signature is not needed
// (WantAuthnRequestsSigned="false"): the answer goes to the registered address whoever asks.
type authnRequest struct {
	XMLName         xml.Name `xml:"urn:oasis:names:tc:SAML:2.0:protocol AuthnRequest"`
	ID              string   `xml:"ID,attr"`
	Version         string   `xml:"Version,attr"`
	IssueInstant    string   `xml:"IssueInstant,attr"`
	Destination     string   `xml:"Destination,attr"`
	ACSURL          string   `xml:"AssertionConsumerServiceURL,attr"`
	ACSIndex        string   `xml:"AssertionConsumerServiceIndex,attr"`
	ProtocolBinding string   `xml:"ProtocolBinding,attr"`
	ForceAuthn      string   `xml:"ForceAuthn,attr"`
	IsPassive       string   `xml:"IsPassive,attr"`
	Issuer          string   `xml:"urn:oasis:names:tc:SAML:2.0:assertion Issuer"`
}

// xmlID is an xs:ID in ASCII: it comes back in the response's InResponseTo.
var xmlID = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9._-]{0,255}$`)

// inflate undoes the redirect binding's encoding (SAML Bindings section 3.4.4.1).
func inflate(encoded string) ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, err
	}
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(raw)), maxRequest+1))
	if err == nil && len(out) > maxRequest {
		err = errors.New("too long")
	}
	return out, err
}

// parseRequest checks an AuthnRequest against what the application was registered with.
func (s *Server) parseRequest(raw []byte, now time.Time) (*authnRequest, error) {
	var q authnRequest
	if len(raw) > maxRequest {
		return nil, errors.New("the AuthnRequest is too long")
	}
	if bytes.Contains(raw, []byte("<!")) {
		return nil, errors.New("the AuthnRequest holds a document type, a comment or a CDATA section")
	}
	dec := xml.NewDecoder(bytes.NewReader(bytes.TrimSpace(raw)))
	for {
		token, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("not an AuthnRequest: %w", err)
		}
		if start, ok := token.(xml.StartElement); ok {
			if err := dec.DecodeElement(&q, &start); err != nil {
				return nil, fmt.Errorf("not an AuthnRequest: %w", err)
			}
			break
		}
		if chars, ok := token.(xml.CharData); ok && len(bytes.TrimSpace(chars)) > 0 {
			return nil, errors.New("text before the AuthnRequest") // encoding/xml would skip it
		}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the AuthnRequest is followed by something else")
	}
	q.Issuer = strings.TrimSpace(q.Issuer)
	issued, err := time.Parse(time.RFC3339Nano, q.IssueInstant)
	app := s.cfg.Application
	switch {
	case q.Version != "2.0":
		return nil, fmt.Errorf("SAML version %q", q.Version)
	case !xmlID.MatchString(q.ID):
		return nil, errors.New("the request's ID is missing or not an XML ID")
	case q.Issuer != app.Audience:
		return nil, fmt.Errorf("issuer %q is not the application's audience", q.Issuer)
	case q.Destination != "" && q.Destination != s.ssoURL():
		return nil, fmt.Errorf("destination %q is not this endpoint", q.Destination)
	case q.ACSURL != "" && q.ACSURL != app.ACSURL:
		return nil, fmt.Errorf("assertion consumer service %q is not the application's", q.ACSURL)
	case q.ACSIndex != "":
		return nil, errors.New("assertion consumer services have no index here")
	case q.ProtocolBinding != "" && q.ProtocolBinding != bindingPost:
		return nil, fmt.Errorf("protocol binding %q: responses are posted", q.ProtocolBinding)
	case isTrue(q.IsPassive):
		return nil, errors.New("IsPassive is not supported")
	case err != nil || now.Sub(issued) > requestWindow || issued.Sub(now) > requestWindow:
		return nil, fmt.Errorf("issue instant %q is not a time within %s of now", q.IssueInstant, requestWindow)
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
	element(assertion, "saml:Issuer", s.MetadataURL())
	subject := element(assertion, "saml:Subject", "")
	element(subject, "saml:NameID", p.mapped(mappings[0].Value), "Format", subjectFormats[mappings[0].Format])
	confirmation := element(subject, "saml:SubjectConfirmation", "", "Method", "urn:oasis:names:tc:SAML:2.0:cm:bearer")
	element(confirmation, "saml:SubjectConfirmationData", "", "InResponseTo", requestID, "NotOnOrAfter", until, "Recipient", acs)
	conditions := element(assertion, "saml:Conditions", "", "NotBefore", instant, "NotOnOrAfter", until)
	element(element(conditions, "saml:AudienceRestriction", ""), "saml:Audience", s.cfg.Application.Audience)
	statement := element(assertion, "saml:AuthnStatement", "", "AuthnInstant", ses.At.Format(samlTime),
		"SessionIndex", ses.Index, "SessionNotOnOrAfter", ses.Expires.Format(samlTime))
	element(element(statement, "saml:AuthnContext", ""), "saml:AuthnContextClassRef", "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport")
	// What the person does not have is left out, and a statement without attributes is not valid (SAML Core section 2.7.3).
	attributes := element(nil, "saml:AttributeStatement", "")
	for _, m := range mappings[1:] {
		if v := p.mapped(m.Value); v != "" {
			element(element(attributes, "saml:Attribute", "", "Name", m.Attribute, "NameFormat", attributeFormat+m.Format), "saml:AttributeValue", v)
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
	element(response, "saml:Issuer", s.MetadataURL())
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

// metadata is what the console offers as "IAM Identity Center SAML metadata file".
func (s *Server) metadata(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != s.state.ID {
		http.NotFound(w, r)
		return
	}
	root := element(nil, "EntityDescriptor", "", "xmlns", nsMetadata, "entityID", s.MetadataURL())
	idp := element(root, "IDPSSODescriptor", "", "WantAuthnRequestsSigned", "false", "protocolSupportEnumeration", nsProtocol)
	info := element(element(idp, "KeyDescriptor", "", "use", "signing"), "ds:KeyInfo", "", "xmlns:ds", dsig.Namespace)
	element(element(info, "ds:X509Data", ""), "ds:X509Certificate", base64.StdEncoding.EncodeToString(s.state.Certificate))
	element(idp, "NameIDFormat", subjectFormats[s.cfg.Application.Mappings[0].Format])
	element(idp, "SingleSignOnService", "", "Binding", bindingPost, "Location", s.ssoURL())
	element(idp, "SingleSignOnService", "", "Binding", bindingRedirect, "Location", s.ssoURL())
	doc := etree.NewDocument()
	doc.CreateProcInst("xml", `version="1.0" encoding="UTF-8"`)
	doc.SetRoot(root)
	w.Header().Set("Content-Type", "application/samlmetadata+xml")
	doc.WriteTo(w)
}
