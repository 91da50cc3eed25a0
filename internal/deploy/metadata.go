package deploy

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	metadataSpace = "urn:oasis:names:tc:SAML:2.0:metadata"
	samlProtocol  = "urn:oasis:names:tc:SAML:2.0:protocol"

	bindingRedirect = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect"
	bindingPOST     = "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"

	// metadataMost is the largest file that is read at all, in bytes; depthMost how deep its elements may stand in each other.
	metadataMost = 1 << 20
	depthMost    = 32
	// metadataWarn is how long before its end a certificate is warned of.
	metadataWarn = 60 * 24 * time.Hour
)

// Metadata is what an identity provider says of itself, checked.
type Metadata struct {
	EntityID     string
	SignOn       []SignOn
	Certificates []Certificate // those that signatures are verified with and that are in force
	ValidUntil   time.Time     // zero: no end
	Warnings     []string      // what works today and needs somebody's eye
	signed       bool          // the file itself is
}

// SignOn is an address that browsers are sent to with a request to sign in.
type SignOn struct{ Binding, URL string }

// Certificate is one that the identity provider signs with.
type Certificate struct {
	Subject             string
	NotBefore, NotAfter time.Time
}

type entityDescriptor struct {
	XMLName    xml.Name
	EntityID   string               `xml:"entityID,attr"`
	ValidUntil string               `xml:"validUntil,attr"`
	Signature  *struct{}            `xml:"http://www.w3.org/2000/09/xmldsig# Signature"`
	Providers  []providerDescriptor `xml:"urn:oasis:names:tc:SAML:2.0:metadata IDPSSODescriptor"`
}

type providerDescriptor struct {
	Protocols  string `xml:"protocolSupportEnumeration,attr"`
	WantSigned string `xml:"WantAuthnRequestsSigned,attr"`
	ValidUntil string `xml:"validUntil,attr"`
	Keys       []struct {
		Use          string   `xml:"use,attr"`
		Certificates []string `xml:"KeyInfo>X509Data>X509Certificate"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata KeyDescriptor"`
	SignOn []struct {
		Binding  string `xml:"Binding,attr"`
		Location string `xml:"Location,attr"`
	} `xml:"urn:oasis:names:tc:SAML:2.0:metadata SingleSignOnService"`
}

// metadataCheck collects what is said of one file.
type metadataCheck struct {
	Metadata
	now    time.Time
	faults []error
}

func (c *metadataCheck) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("the SAML metadata "+format, args...))
}

func (c *metadataCheck) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf("the SAML metadata "+format, args...))
}

// CheckMetadata says whether a user pool can let people sign in by this metadata of an identity provider's. The error
// joins every fault; what is only close to one is in Warnings. It follows "Metadata for the OASIS Security Assertion Markup
// Language (SAML) V2.0", 2.3 and 2.4.
func CheckMetadata(raw []byte, now time.Time) (Metadata, error) {
	if len(raw) > metadataMost {
		return Metadata{}, fmt.Errorf("the SAML metadata has %d bytes: more than %d are not read", len(raw), metadataMost)
	}
	raw = bytes.TrimPrefix(raw, []byte("\ufeff"))
	var d entityDescriptor
	err := plainXML(raw)
	if err == nil {
		err = xml.Unmarshal(raw, &d)
	}
	if err != nil {
		return Metadata{}, fmt.Errorf("this is not SAML metadata: %w", err)
	}
	if d.XMLName.Space != metadataSpace || d.XMLName.Local != "EntityDescriptor" {
		return Metadata{}, fmt.Errorf("this is not one provider's SAML metadata: it begins with %s, and EntityDescriptor is wanted", d.XMLName.Local)
	}
	c := &metadataCheck{Metadata: Metadata{EntityID: d.EntityID, signed: d.Signature != nil}, now: now}
	if d.EntityID == "" {
		c.fault("has no entityID")
	}
	c.until(d.ValidUntil)
	i := slices.IndexFunc(d.Providers, func(p providerDescriptor) bool { return slices.Contains(strings.Fields(p.Protocols), samlProtocol) })
	if i < 0 {
		c.fault("describes no identity provider of SAML 2.0: take the IAM Identity Center SAML metadata file, not the application's")
		return c.Metadata, errors.Join(c.faults...)
	}
	p := d.Providers[i]
	c.until(p.ValidUntil)
	if p.WantSigned == "true" || p.WantSigned == "1" {
		c.fault("wants requests to be signed (WantAuthnRequestsSigned), and the user pool signs none: switch that off at the identity provider")
	}
	for _, s := range p.SignOn {
		if s.Binding != bindingRedirect && s.Binding != bindingPOST {
			continue
		}
		if u, err := url.Parse(s.Location); err != nil || u.Scheme != "https" || u.Host == "" {
			c.fault("has a sign-in address that is not https: %q", s.Location)
			continue
		}
		c.SignOn = append(c.SignOn, SignOn{s.Binding, s.Location})
	}
	if len(c.SignOn) == 0 {
		c.fault("has no sign-in address (SingleSignOnService) for HTTP-Redirect or HTTP-POST")
	}
	c.certificates(p)
	return c.Metadata, errors.Join(c.faults...)
}

func (c *metadataCheck) until(text string) {
	if text == "" {
		return
	}
	end, err := time.Parse(time.RFC3339, text)
	switch {
	case err != nil:
		c.warn("says until when it holds in a way that is no time: validUntil=%q", text)
		return
	case !c.now.Before(end):
		c.fault("held until %s: get it anew", day(end))
	case end.Before(c.now.Add(metadataWarn)):
		c.warn("holds until %s, and a file is not fetched anew: give its address", day(end))
	}
	if c.ValidUntil.IsZero() || end.Before(c.ValidUntil) {
		c.ValidUntil = end
	}
}

// certificates: at least one must be in force; of others that are over, somebody should know.
func (c *metadataCheck) certificates(p providerDescriptor) {
	var over []string
	found := 0
	for _, k := range p.Keys {
		if k.Use != "" && k.Use != "signing" {
			continue
		}
		for _, text := range k.Certificates {
			found++
			der, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(text), ""))
			var x *x509.Certificate
			if err == nil {
				x, err = x509.ParseCertificate(der)
			}
			if err != nil {
				c.fault("has a signing certificate that cannot be read: %w", err)
				continue
			}
			switch made := (Certificate{x.Subject.String(), x.NotBefore, x.NotAfter}); {
			case c.now.After(x.NotAfter):
				over = append(over, fmt.Sprintf("has a signing certificate (%s) that ended on %s", made.Subject, day(x.NotAfter)))
			case c.now.Before(x.NotBefore):
				over = append(over, fmt.Sprintf("has a signing certificate (%s) that begins on %s only", made.Subject, day(x.NotBefore)))
			default:
				c.Certificates = append(c.Certificates, made)
				if x.NotAfter.Before(c.now.Add(metadataWarn)) {
					c.warn("has a signing certificate that ends on %s: renew it at the identity provider before, and give the metadata anew if it is a file", day(x.NotAfter))
				}
				if key, ok := x.PublicKey.(*rsa.PublicKey); ok && key.N.BitLen() < 2048 {
					c.warn("has a signing key of %d bits, which is weak", key.N.BitLen())
				}
			}
		}
	}
	switch {
	case found == 0:
		c.fault("has no signing certificate")
	case len(c.Certificates) == 0:
		for _, o := range over {
			c.fault("%s", o)
		}
	default:
		for _, o := range over {
			c.warn("%s", o)
		}
	}
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02") }

// plainXML refuses what metadata has no need of and readers disagree about: document types with entities of their own,
// processing instructions, encodings other than UTF-8, elements nested without end, and anything behind the document.
func plainXML(raw []byte) error {
	if !utf8.Valid(raw) {
		return errors.New("it is not UTF-8")
	}
	dec := xml.NewDecoder(bytes.NewReader(raw))
	dec.CharsetReader = func(name string, in io.Reader) (io.Reader, error) {
		return nil, fmt.Errorf("its encoding is %s, and UTF-8 is wanted", name)
	}
	for depth, roots := 0, 0; ; {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			if roots == 0 {
				return errors.New("it is empty")
			}
			return nil
		}
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case xml.Directive:
			return errors.New("it has a document type, which metadata has no need of")
		case xml.ProcInst:
			if token.Target != "xml" || depth > 0 || roots > 0 {
				return fmt.Errorf("it has a processing instruction, %s", token.Target)
			}
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth++; depth > depthMost || roots > 1 {
				return errors.New("it has more elements in or beside each other than metadata has")
			}
		case xml.EndElement:
			depth--
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(token)) > 0 {
				return errors.New("it has text outside of its element")
			}
		}
	}
}

// metadataWithin bounds the fetching of metadata.
const metadataWithin = 20 * time.Second

// ReadMetadata reads metadata from an https address or a file, and checks it. It returns what the stack is told of it:
// the address, from which a user pool then fetches it anew by itself, or the file's content.
func ReadMetadata(ctx context.Context, client *http.Client, from string, now time.Time) (SAML, Metadata, error) {
	var s SAML
	var raw []byte
	var err error
	switch {
	case strings.HasPrefix(from, "https://"):
		raw, err = fetchMetadata(ctx, client, from)
		s.URL = from
	case strings.Contains(from, "://"):
		return s, Metadata{}, fmt.Errorf("the SAML metadata is fetched from https addresses alone, and not from %s", from)
	default:
		raw, err = readMost(from)
	}
	if err != nil {
		return s, Metadata{}, fmt.Errorf("the SAML metadata: %w", err)
	}
	m, err := CheckMetadata(raw, now)
	if err == nil && s.URL == "" {
		s.Parts, err = parts(raw, m.signed)
	}
	return s, m, err
}

func readMost(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, metadataMost+1))
}

func fetchMetadata(ctx context.Context, client *http.Client, from string) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, err
	}
	if u.User != nil || u.Fragment != "" || len(from) > pieceSize {
		return nil, errors.New("its address is to have no password, no fragment, and at most 4,096 characters")
	}
	ctx, cancel := context.WithTimeout(ctx, metadataWithin)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	careful := *client
	careful.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		if r.URL.Scheme != "https" || len(via) > 3 {
			return fmt.Errorf("its address leads to %s", r.URL.Redacted())
		}
		return nil
	}
	answer, err := careful.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", from, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, metadataMost+1))
}

// SAML is what the stack is told of the identity provider: its metadata's address, or its metadata in parts.
type SAML struct {
	URL   string
	Parts []string
}

var between = regexp.MustCompile(`>\s+<`)

// parts cuts metadata into what parameters take. It stays as it is if it fits, else white space between elements goes,
// which in metadata means nothing but to a signature.
func parts(raw []byte, signed bool) ([]string, error) {
	text := strings.TrimSpace(strings.TrimPrefix(string(raw), "\ufeff"))
	if len(text) > MetadataPieces*pieceSize && !signed {
		text = between.ReplaceAllString(text, "><")
	}
	var out []string
	for len(text) > 0 {
		n := min(pieceSize, len(text))
		// White space at a parameter's end might not survive, nor half a character.
		for n < len(text) && n > 0 && (!utf8.RuneStart(text[n]) || strings.ContainsRune(" \t\r\n", rune(text[n])) || strings.ContainsRune(" \t\r\n", rune(text[n-1]))) {
			n--
		}
		if n == 0 || len(out) == MetadataPieces {
			return nil, fmt.Errorf("the SAML metadata has %d bytes, and a file may have %d: give its address instead", len(raw), MetadataPieces*pieceSize)
		}
		out, text = append(out, text[:n]), text[n:]
	}
	return out, nil
}
