package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nightlatch/nightlatch/e2e/demo"
)

// apache runs the Debian package's Apache with one more module, its settings in apache/PEER.conf, in the place of one of
// the demo's sites. It returns the demo as a visitor sees it for whom the site's name leads there.
func apache(t *testing.T, d *demo.Demo, dir, peer, site string, env ...string) *demo.Demo {
	t.Helper()
	u, err := url.Parse(site)
	must(t, err, "site")
	raw, err := os.ReadFile(certificate(t, dir, "site", u.Hostname()))
	must(t, err, "read the certificate")
	must(t, os.Mkdir(filepath.Join(dir, "pages"), 0o755), "make a folder for the page")
	must(t, os.WriteFile(filepath.Join(dir, "pages", "index.html"), []byte(whoPage), 0o644), "write the page")
	here, err := filepath.Abs("apache")
	must(t, err, "find apache/")
	port := freePort(t)
	c := exec.Command(apacheWith(t, peer), "-X", "-f", filepath.Join(here, "site.conf"))
	c.Env = append(os.Environ(), "SITE="+site, fmt.Sprintf("PORT=%d", port), "HERE="+here, "DIR="+dir, "PEER="+peer, "NO_PROXY=*")
	c.Env = append(c.Env, env...)
	t.Cleanup(func() {
		if raw, err := os.ReadFile(filepath.Join(dir, "error.log")); t.Failed() && err == nil {
			t.Logf("Apache's error.log:\n%s", raw)
		}
	})
	serve(t, port, c)

	roots := x509.NewCertPool()
	if ca, err := os.ReadFile(d.CAFile); err != nil || !roots.AppendCertsFromPEM(ca) || !roots.AppendCertsFromPEM(raw) {
		t.Fatalf("no CAs: %v", err)
	}
	transport := d.Client.Transport.(*http.Transport).Clone()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if addr == u.Host {
			addr = fmt.Sprintf("127.0.0.1:%d", port)
		}
		return dial(ctx, network, addr)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	client, there := *d.Client, *d
	client.Transport = transport
	there.Client, there.URL = &client, site+"/"
	return &there
}

// apacheWith is the path of an Apache that has a module.
func apacheWith(t *testing.T, peer string) string {
	t.Helper()
	const program = "/usr/sbin/apache2" // not everybody has that folder in PATH
	for _, path := range []string{program, "/usr/lib/apache2/modules/mod_auth_" + peer + ".so"} {
		if _, err := os.Stat(path); err != nil {
			missing(t, "no %s (Debian: apt-get install apache2 libapache2-mod-auth-%s)", path, peer)
		}
	}
	return program
}

// whoPage tells what Apache's module made of a visitor.
const whoPage = `<!doctype html>
<title>Who came</title>
<pre id="who">
REMOTE_USER <!--#echo var="REMOTE_USER" -->
MELLON_IDP <!--#echo var="MELLON_IDP" -->
MELLON_Email <!--#echo var="MELLON_Email" -->
OIDC_CLAIM_iss <!--#echo var="OIDC_CLAIM_iss" -->
OIDC_CLAIM_aud <!--#echo var="OIDC_CLAIM_aud" -->
OIDC_CLAIM_email <!--#echo var="OIDC_CLAIM_email" -->
OIDC_CLAIM_token_use <!--#echo var="OIDC_CLAIM_token_use" -->
</pre>
`

var who = regexp.MustCompile(`(?m)^(\w+) (.*)$`)

// came reads Apache's page about who came.
func came(t *testing.T, p page) map[string]string {
	t.Helper()
	all := map[string]string{}
	_, list, _ := strings.Cut(p.body, `<pre id="who">`)
	for _, line := range who.FindAllStringSubmatch(list, -1) {
		all[line[1]] = html.UnescapeString(line[2])
	}
	if p.status != http.StatusOK || all["REMOTE_USER"] == "" {
		t.Fatalf("%s answers %d: %s", p.url.Host, p.status, p.body)
	}
	return all
}

// TestMellon: Apache's SAML service provider, on Lasso and xmlsec, in the user pool's place at Identity Center.
func TestMellon(t *testing.T) {
	t.Parallel()
	apacheWith(t, "mellon")
	d := start(t, quick...)
	config, dir := thePool(t, d), folder(t)
	certificate(t, dir, "sp", "cognito.localhost")
	resp, err := d.Client.Get(config.metadata)
	must(t, err, "get the metadata")
	defer resp.Body.Close()
	metadata, err := io.ReadAll(resp.Body)
	must(t, err, "read the metadata")
	for name, text := range map[string]string{"idp.xml": string(metadata), "sp.xml": fmt.Sprintf(`<EntityDescriptor entityID="urn:amazon:cognito:sp:%s" xmlns="urn:oasis:names:tc:SAML:2.0:metadata">
	<SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
		<NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</NameIDFormat>
		<AssertionConsumerService index="0" isDefault="true" Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="%s/saml2/idpresponse"/>
	</SPSSODescriptor>
</EntityDescriptor>`, config.PoolID, config.Domain)} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644), "write %s", name)
	}
	there := apache(t, d, dir, "mellon", config.Domain)
	// Cognito does not sign its requests. This one does: who is not asked to may.
	request := there.URL
	for range 2 { // by its own login page
		resp, err := there.Client.Get(request)
		must(t, err, "visit")
		resp.Body.Close()
		request = resp.Header.Get("Location")
	}
	if u, err := url.Parse(request); err != nil || !strings.HasSuffix(u.Query().Get("SigAlg"), "#rsa-sha256") || u.Query().Get("Signature") == "" {
		t.Errorf("the request is not signed: %s", request)
	}
	v := visit(t, there)
	answered := v.typeCode(v.password(d.Users[0].Username, d.Users[0].Password))

	// Altered, it must be refused, or the acceptance below means nothing.
	altered := answered
	altered.body = responseInput.ReplaceAllStringFunc(answered.body, func(value string) string {
		raw, err := base64.StdEncoding.DecodeString(html.UnescapeString(responseInput.FindStringSubmatch(value)[1]))
		if err != nil || !strings.Contains(string(raw), "alice") {
			t.Fatalf("the response does not name alice (%v):\n%s", err, raw)
		}
		return `name="SAMLResponse" value="` + base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(raw), "alice", "mallory"))) + `"`
	})
	if p := v.goOn(altered); p.status < 400 || p.url.Path != "/saml2/idpresponse" {
		t.Errorf("an altered response is answered with %d: %s", p.status, p.body)
	}
	got := came(t, v.goOn(answered))
	if got["MELLON_Email"] != config.Email || got["REMOTE_USER"] != config.Email || !strings.Contains(string(metadata), `entityID="`+got["MELLON_IDP"]+`"`) {
		t.Errorf("got %q, want %s from the provider of\n%s", got, config.Email, metadata)
	}
}

var responseInput = regexp.MustCompile(`name="SAMLResponse" value="([^"]*)"`)

// TestApacheOpenIDConnect: Apache's OIDC relying party in the load balancer's place at the user pool.
func TestApacheOpenIDConnect(t *testing.T) {
	t.Parallel()
	apacheWith(t, "openidc")
	d := start(t, quick...)
	config := thePool(t, d)
	ca, err := os.ReadFile(d.CAFile)
	must(t, err, "read the CA")
	// It takes keys by TLS only, which is ended here before AWS's plain address.
	plain, err := url.Parse(d.AWS.EndpointURL)
	must(t, err, "AWS's address")
	var otherKey atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(plain)
	proxy.ModifyResponse = func(r *http.Response) error {
		if !otherKey.Load() || !strings.HasSuffix(r.Request.URL.Path, "/jwks.json") {
			return nil
		}
		raw, err := io.ReadAll(r.Body)
		raw = bytes.Replace(raw, []byte(`"e":"AQAB"`), []byte(`"e":"Aw"`), 1)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(raw)), int64(len(raw))
		r.Header.Del("Content-Length")
		return err
	}
	keys := httptest.NewTLSServer(proxy)
	t.Cleanup(keys.Close)
	ca = append(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: keys.Certificate().Raw})...)
	// Each time somebody else comes, with an authenticator of their own.
	comes := func(t *testing.T, auth string, u demo.User) page {
		t.Helper()
		dir := folder(t)
		must(t, os.WriteFile(filepath.Join(dir, "ca.pem"), ca, 0o644), "hand on the CAs")
		v := visit(t, apache(t, d, dir, "openidc", strings.TrimSuffix(d.URL, "/"), "CLIENT_ID="+config.ClientID, "CLIENT_SECRET="+config.ClientSecret,
			"CLIENT_AUTH="+auth, "DOCUMENTS="+keys.URL+"/"+config.PoolID+"/.well-known"))
		return v.code(v.password(u.Username, u.Password))
	}
	for i, auth := range []string{"client_secret_basic", "client_secret_post"} {
		t.Run(auth, func(t *testing.T) {
			email := d.Users[i].Username + "@corp.example"
			got := came(t, comes(t, auth, d.Users[i]))
			if got["OIDC_CLAIM_iss"] != config.Issuer || got["OIDC_CLAIM_aud"] != config.ClientID || got["OIDC_CLAIM_email"] != email || got["OIDC_CLAIM_token_use"] != "id" {
				t.Errorf("got %q, want %s from %s", got, email, config.Issuer)
			}
		})
	}
	t.Run("signed with another key than the documents say", func(t *testing.T) {
		otherKey.Store(true)
		if p := comes(t, "client_secret_basic", d.Users[2]); p.url.Path != "/oauth2/idpresponse" || !strings.Contains(p.body, "OpenID Connect Provider error") {
			t.Errorf("%s answers %d: %s", p.url.Path, p.status, p.body)
		}
	})
}
