package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/e2e/browser"
)

// TestSimpleSAMLphp: an identity provider of other people's making in front of the user pool, in Identity Center's place.
func TestSimpleSAMLphp(t *testing.T) {
	t.Parallel()
	php := tool(t, "php", "Debian: apt-get install php-cli php-xml simplesamlphp")
	const www = "/usr/share/simplesamlphp/www"
	if _, err := os.Stat(www); err != nil || exec.Command(php, "-r", "exit(extension_loaded('dom') ? 0 : 1);").Run() != nil {
		missing(t, "no SimpleSAMLphp in %s, or no XML for PHP (Debian: apt-get install simplesamlphp php-xml)", www)
	}
	dir, port := t.TempDir(), freePort(t)
	settings := func(name string, what any) {
		t.Helper()
		raw, err := json.Marshal(what)
		must(t, err, "settings")
		must(t, os.WriteFile(filepath.Join(dir, name), raw, 0o600), "write %s", name)
	}
	settings("idp.json", struct{}{})
	certificate(t, dir, "idp", "idp.example")
	certificate(t, dir, "other", "idp.example")
	here, err := filepath.Abs("simplesamlphp")
	must(t, err, "find simplesamlphp/")
	site := fmt.Sprintf("http://127.0.0.1:%d", port)
	c := exec.Command(php, "-S", fmt.Sprintf("127.0.0.1:%d", port), "-t", www)
	c.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+here, "SITE="+site, "DIR="+dir)
	serve(t, port, c)

	d := start(t, append([]string{"--saml-metadata", site + "/saml2/idp/metadata.php"}, quick...)...)
	if d.SAML == nil {
		t.Fatal("demo.json does not say what to tell the identity provider")
	}
	settings("sp.json", d.SAML)
	signIn := func(t *testing.T, p *browser.Person) {
		t.Helper()
		must(t, p.Visit(d.URL), "visit")
		must(t, p.Type("input[name=username]", "zoe"), "user name")
		must(t, p.Type("input[name=password]", "from-elsewhere"), "password")
		must(t, p.Press("form[name=f] [type=submit]"), "send")
	}

	t.Run("signs a person in who opens the VPN", func(t *testing.T) {
		p := person(t, browser.Options{Window: browser.Phone})
		signIn(t, p)
		must(t, p.Arrive(), "arrive")
		if says := p.Sees(); !strings.Contains(says, "Signed in as zoe") {
			t.Errorf("the page does not name zoe:\n%s", says)
		}
		var pool struct {
			Data struct {
				Profiles map[string]struct{ Attributes map[string]string }
			}
		}
		state(t, d, "cognito", &pool)
		if got := pool.Data.Profiles["IdentityCenter_zoe"].Attributes["email"]; got != "zoe@idp.example" {
			t.Errorf("the user pool has %v, want IdentityCenter_zoe with the address zoe@idp.example", pool.Data.Profiles)
		}
		must(t, p.Follow("#form-open button[type=submit]"), "open")
		must(t, p.State("open"), "ready")
	})
	for name, more := range map[string]map[string]any{
		"another key than in the metadata": {"privatekey": "other.key"},
		"SHA-1":                            {"signature.algorithm": "http://www.w3.org/2000/09/xmldsig#rsa-sha1"},
		"no signature":                     {"saml20.sign.response": false, "saml20.sign.assertion": false},
	} {
		t.Run("refused: "+name, func(t *testing.T) {
			settings("idp.json", more)
			p := guest(t, browser.Options{})
			signIn(t, p)
			must(t, p.Until(`location.pathname === "/oauth2/idpresponse" && document.readyState === "complete"`), "back at the load balancer")
			if says := p.Sees(); !strings.Contains(says, "561") {
				t.Errorf("the page says\n%s\nwant the load balancer's 561", says)
			}
		})
	}
}
