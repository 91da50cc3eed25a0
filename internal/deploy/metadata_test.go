package deploy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/deploy"
)

var metadataNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// signer is a certificate that ends at a time, as metadata holds it.
func signer(t *testing.T, ends time.Time) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	x := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: ends.AddDate(-5, 0, 0), NotAfter: ends}
	der, err := x509.CreateCertificate(rand.Reader, x, x, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(der)
	return text[:64] + "\n        " + text[64:]
}

// identityCenter is metadata as IAM Identity Center writes it.
func identityCenter(certificates ...string) string {
	var keys strings.Builder
	for _, c := range certificates {
		fmt.Fprintf(&keys, `
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>%s</ds:X509Certificate></ds:X509Data></ds:KeyInfo>
    </md:KeyDescriptor>`, c)
	}
	return `<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://portal.sso.eu-central-1.amazonaws.com/saml/assertion/ABC">
  <md:IDPSSODescriptor WantAuthnRequestsSigned="false" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">` + keys.String() + `
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://portal.sso.eu-central-1.amazonaws.com/saml/logout/ABC"/>
    <md:NameIDFormat/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://portal.sso.eu-central-1.amazonaws.com/saml/assertion/ABC"/>
    <md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://portal.sso.eu-central-1.amazonaws.com/saml/assertion/ABC"/>
  </md:IDPSSODescriptor>
</md:EntityDescriptor>
`
}

func TestMetadata(t *testing.T) {
	long := signer(t, metadataNow.AddDate(4, 0, 0))
	good := identityCenter(long)
	for name, tt := range map[string]struct {
		raw       string
		err, warn string // part of it; empty: none
	}{
		"as Identity Center writes it":         {good, "", ""},
		"with a byte order mark":               {"\ufeff" + good, "", ""},
		"with a certificate that ends soon":    {identityCenter(signer(t, metadataNow.AddDate(0, 0, 59))), "", "ends on 2027-01-20"},
		"with one that ends later":             {identityCenter(signer(t, metadataNow.AddDate(0, 0, 61))), "", ""},
		"with a certificate that is over":      {identityCenter(signer(t, metadataNow.AddDate(0, 0, -1))), "ended on 2026-11-21", ""},
		"with one that has not begun":          {identityCenter(signer(t, metadataNow.AddDate(6, 0, 0))), "begins on", ""},
		"with one that is over and a good one": {identityCenter(signer(t, metadataNow.AddDate(0, 0, -1)), long), "", "ended on 2026-11-21"},
		"without a certificate":                {identityCenter(), "has no signing certificate", ""},
		"with one for encryption alone":        {strings.Replace(good, `use="signing"`, `use="encryption"`, 1), "has no signing certificate", ""},
		"with one that is none":                {identityCenter("bm9uZQ=="), "cannot be read", ""},
		"that wants signed requests":           {strings.Replace(good, `Signed="false"`, `Signed="true"`, 1), "WantAuthnRequestsSigned", ""},
		"with a sign-in over plain HTTP":       {strings.Replace(good, `POST" Location="https://portal.sso.eu-central-1.amazonaws.com/saml/assertion`, `POST" Location="http://portal`, 1), "not https", ""},
		"with bindings that Cognito has not":   {strings.ReplaceAll(strings.ReplaceAll(good, "HTTP-POST", "SOAP"), "HTTP-Redirect", "HTTP-Artifact"), "no sign-in address", ""},
		"that is over":                         {strings.Replace(good, "entityID=", `validUntil="2026-11-22T12:00:00Z" entityID=`, 1), "held until 2026-11-22", ""},
		"that is over soon":                    {strings.Replace(good, "entityID=", `validUntil="2026-12-22T12:00:00Z" entityID=`, 1), "", "holds until 2026-12-22"},
		"of a service provider":                {strings.ReplaceAll(good, "IDPSSODescriptor", "SPSSODescriptor"), "describes no identity provider", ""},
		"of SAML 1.1":                          {strings.Replace(good, "SAML:2.0:protocol", "SAML:1.1:protocol", 1), "describes no identity provider", ""},
		"without an entity":                    {strings.Replace(good, "entityID=", "id=", 1), "has no entityID", ""},
		"of several":                           {strings.ReplaceAll(good, "EntityDescriptor", "EntitiesDescriptor"), "EntityDescriptor is wanted", ""},
		"of another namespace":                 {strings.ReplaceAll(good, "SAML:2.0:metadata", "SAML:3.0:metadata"), "EntityDescriptor is wanted", ""},
		"with a document type":                 {strings.Replace(good, "<md:Ent", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><md:Ent`, 1), "document type", ""},
		"with an entity":                       {strings.Replace(good, "<md:NameIDFormat/>", "<md:NameIDFormat>&e;</md:NameIDFormat>", 1), "not SAML metadata", ""},
		"with an instruction":                  {strings.Replace(good, "<md:Ent", "<?xml-stylesheet href=\"x\"?><md:Ent", 1), "processing instruction", ""},
		"that is cut off":                      {good[:len(good)/2], "not SAML metadata", ""},
		"with something behind it":             {good + "<x/>", "more elements", ""},
		"with text behind it":                  {good + "x", "not SAML metadata", ""},
		"too deep":                             {strings.Replace(good, "<md:NameIDFormat/>", strings.Repeat("<x>", 40)+strings.Repeat("</x>", 40), 1), "more elements", ""},
		"in another encoding":                  {strings.Replace(good, "UTF-8", "UTF-16", 1), "UTF-16", ""},
		"that is not text":                     {good + "\xff", "UTF-8", ""},
		"that is empty":                        {"", "empty", ""},
		"that is a page":                       {"<!doctype html><html></html>", "document type", ""},
		"too large":                            {good + strings.Repeat(" ", 1<<20), "more than", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := deploy.CheckMetadata([]byte(tt.raw), metadataNow)
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) {
				t.Errorf("got %v, want %q", err, tt.err)
			}
			if said := strings.Join(m.Warnings, "\n"); tt.warn == "" && tt.err == "" && said != "" || !strings.Contains(said, tt.warn) {
				t.Errorf("got the warnings %q, want %q", m.Warnings, tt.warn)
			}
			if err == nil && (len(m.SignOn) != 2 || len(m.Certificates) != 1 || !strings.HasSuffix(m.EntityID, "/ABC")) {
				t.Errorf("got %+v", m)
			}
		})
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(`<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="x"/>`))
	f.Add([]byte(identityCenter("bm9uZQ==")))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := deploy.CheckMetadata(raw, metadataNow)
		if err == nil && (m.EntityID == "" || len(m.SignOn) == 0 || len(m.Certificates) == 0) {
			t.Errorf("good, and says nothing: %+v", m)
		}
	})
}

func TestReadMetadata(t *testing.T) {
	good := identityCenter(signer(t, metadataNow.AddDate(4, 0, 0)))
	mux := http.NewServeMux()
	mux.HandleFunc("/metadata", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, good) })
	mux.HandleFunc("/down", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/metadata", http.StatusFound)
	})
	server := httptest.NewTLSServer(mux)
	defer server.Close()
	read := func(from string) (deploy.SAML, error) {
		s, _, err := deploy.ReadMetadata(t.Context(), server.Client(), from, metadataNow)
		return s, err
	}
	if s, err := read(server.URL + "/metadata"); err != nil || s.URL != server.URL+"/metadata" || s.Parts != nil {
		t.Errorf("an address: %+v, %v", s, err)
	}
	for from, want := range map[string]string{
		"http://example.com/metadata": "https addresses alone", server.URL + "/none": "404", server.URL + "/down": "leads to http:",
		strings.Replace(server.URL, "https://", "https://u:p@", 1) + "/metadata": "no password", "nowhere.xml": "nowhere.xml",
	} {
		if _, err := read(from); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", from, err, want)
		}
	}

	file := filepath.Join(t.TempDir(), "metadata.xml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(good)
	s, err := read(file)
	if err != nil || s.URL != "" || len(s.Parts) != 1 || s.Parts[0] != strings.TrimSpace(good) {
		t.Errorf("a file: %+v, %v", s, err)
	}
	// One that is longer than a parameter is cut, and put together is what it was.
	certificates := make([]string, 16)
	for i := range certificates {
		certificates[i] = signer(t, metadataNow.AddDate(4, 0, 0))
	}
	long := strings.ReplaceAll(identityCenter(certificates...), "\n", "\n\n   ")
	write(long)
	if s, err = read(file); err != nil || len(s.Parts) < 2 || len(s.Parts) > deploy.MetadataPieces {
		t.Fatalf("a long file: %d parts, %v", len(s.Parts), err)
	}
	whole := ""
	for _, p := range s.Parts {
		if len(p) > 4096 || strings.TrimSpace(p) != p {
			t.Errorf("a part has %d bytes, or begins or ends with white space, which may be lost: %.20q…%q", len(p), p, p[len(p)-5:])
		}
		whole += p
	}
	if m, err := deploy.CheckMetadata([]byte(whole), metadataNow); err != nil || len(m.Certificates) != 16 {
		t.Errorf("the parts are not what the file was: %v", err)
	}
	write(strings.Replace(long, "</md:EntityDescriptor>", strings.Repeat("<!-- "+strings.Repeat("x", 1000)+" -->", 20)+"</md:EntityDescriptor>", 1))
	if _, err := read(file); err == nil || !strings.Contains(err.Error(), "give its address instead") {
		t.Errorf("a file that does not fit: %v", err)
	}
}
