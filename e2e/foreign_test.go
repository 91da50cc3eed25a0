package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// tool is a peer's program, or the end of the test.
func tool(t *testing.T, name, get string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing(t, "no %s in PATH (%s)", name, get)
	}
	return path
}

// aws runs the AWS CLI with nothing but demo.json, and decodes its answer.
func aws(t *testing.T, d *demo.Demo, into any, args ...string) error {
	t.Helper()
	c := exec.CommandContext(t.Context(), tool(t, "aws", "Debian: apt-get install awscli"), append([]string{"--endpoint-url", d.AWS.EndpointURL, "--output", "json"}, args...)...)
	c.Env = operator(t, d)
	var said bytes.Buffer
	c.Stderr = &said
	raw, err := c.Output()
	if err != nil {
		return fmt.Errorf("aws %s: %w: %s", strings.Join(args[:2], " "), err, bytes.TrimSpace(said.Bytes()))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// operator is the environment of somebody at a command line, who has the demo's key and no settings of their own.
func operator(t *testing.T, d *demo.Demo) []string {
	t.Helper()
	home := t.TempDir()
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+d.AWS.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+d.AWS.SecretAccessKey, "AWS_DEFAULT_REGION="+d.AWS.Region,
		"AWS_REGION="+d.AWS.Region, "AWS_CONFIG_FILE="+filepath.Join(home, "config"), "AWS_SHARED_CREDENTIALS_FILE="+filepath.Join(home, "credentials"),
		"AWS_EC2_METADATA_DISABLED=true", "AWS_PAGER=", "NO_PROXY=127.0.0.1")
}

// TestAWSCommandLine: the unmodified CLI lists, associates and disassociates, and reads the tables and the schedules.
func TestAWSCommandLine(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	ofEndpoint := []string{"--client-vpn-endpoint-id", d.EndpointID}

	var endpoints struct {
		ClientVpnEndpoints []struct {
			ClientVpnEndpointID string `json:"ClientVpnEndpointId"`
			Status              struct{ Code string }
		}
	}
	must(t, aws(t, d, &endpoints, "ec2", "describe-client-vpn-endpoints"), "list the endpoints")
	if e := endpoints.ClientVpnEndpoints; len(e) != 1 || e[0].ClientVpnEndpointID != d.EndpointID || e[0].Status.Code != "pending-associate" {
		t.Fatalf("endpoints %+v, want %s, pending-associate", e, d.EndpointID)
	}
	var made struct {
		AssociationID string `json:"AssociationId"`
		Status        struct{ Code string }
	}
	associate := append([]string{"ec2", "associate-client-vpn-target-network", "--subnet-id", d.SubnetIDs[0]}, ofEndpoint...)
	must(t, aws(t, d, &made, associate...), "associate")
	if made.Status.Code != "associating" {
		t.Errorf("associate answers %q, want associating", made.Status.Code)
	}
	if err := aws(t, d, nil, associate...); err == nil || !strings.Contains(err.Error(), "InvalidClientVpnDuplicateAssociationException") {
		t.Errorf("a second association of the subnet: %v, want InvalidClientVpnDuplicateAssociationException", err)
	}
	networks := func() string {
		var n struct {
			ClientVpnTargetNetworks []struct {
				AssociationID string `json:"AssociationId"`
				Status        struct{ Code string }
			}
		}
		must(t, aws(t, d, &n, append([]string{"ec2", "describe-client-vpn-target-networks"}, ofEndpoint...)...), "list the networks")
		for _, network := range n.ClientVpnTargetNetworks {
			if network.AssociationID == made.AssociationID {
				return network.Status.Code
			}
		}
		return "none"
	}
	until(t, "associated", networks)
	var routes struct {
		Routes []struct{ DestinationCidr, TargetSubnet, Origin string }
	}
	must(t, aws(t, d, &routes, append([]string{"ec2", "describe-client-vpn-routes"}, ofEndpoint...)...), "list the routes")
	if len(routes.Routes) == 0 || routes.Routes[0].TargetSubnet != d.SubnetIDs[0] {
		t.Errorf("routes %+v, want the subnet's own", routes.Routes)
	}
	var connections struct{ Connections []json.RawMessage }
	must(t, aws(t, d, &connections, append([]string{"ec2", "describe-client-vpn-connections"}, ofEndpoint...)...), "list the connections")
	must(t, aws(t, d, nil, append([]string{"ec2", "disassociate-client-vpn-target-network", "--association-id", made.AssociationID}, ofEndpoint...)...), "disassociate")
	until(t, "none", networks)

	var caller struct{ Account, Arn string }
	must(t, aws(t, d, &caller, "sts", "get-caller-identity"), "ask who calls")
	if caller.Account != "111122223333" || !strings.HasPrefix(caller.Arn, "arn:aws:iam::111122223333:user/") {
		t.Errorf("the caller is %+v, want a user of the demo's account", caller)
	}

	var tables struct{ TableNames []string }
	must(t, aws(t, d, &tables, "dynamodb", "list-tables"), "list the tables")
	if len(tables.TableNames) != 1 {
		t.Fatalf("tables %q, want one", tables.TableNames)
	}
	table := []string{"--table-name", tables.TableNames[0]}
	item := `{"pk":{"S":"e2e#cli"},"sk":{"S":"1"}}`
	must(t, aws(t, d, nil, append([]string{"dynamodb", "put-item", "--item", item}, table...)...), "put an item")
	var got struct {
		Item  map[string]any
		Count int
	}
	must(t, aws(t, d, &got, append([]string{"dynamodb", "get-item", "--key", item}, table...)...), "get it")
	if len(got.Item) != 2 {
		t.Errorf("get-item answers %v, want what was put", got.Item)
	}
	must(t, aws(t, d, &got, append([]string{"dynamodb", "query", "--key-condition-expression", "pk = :p", "--expression-attribute-values", `{":p":{"S":"e2e#cli"}}`}, table...)...), "query")
	if got.Count != 1 {
		t.Errorf("query finds %d, want 1", got.Count)
	}
	must(t, aws(t, d, nil, append([]string{"dynamodb", "delete-item", "--key", item}, table...)...), "delete it")

	var schedules struct{ Schedules []struct{ Name string } }
	must(t, aws(t, d, &schedules, "scheduler", "list-schedules"), "list the schedules")
	found := false
	for _, s := range schedules.Schedules {
		found = found || s.Name == "nightlatch-beat"
	}
	if !found {
		t.Errorf("schedules %+v, want the beat's among them", schedules.Schedules)
	}

	d.AWS.SecretAccessKey = "not-the-secret"
	if err := aws(t, d, nil, "ec2", "describe-client-vpn-endpoints"); err == nil || !strings.Contains(err.Error(), "AuthFailure") {
		t.Errorf("with a wrong secret: %v, want AuthFailure", err)
	}
}

// until asks again until the answer is the wanted one.
func until(t *testing.T, want string, ask func() string) {
	t.Helper()
	eventually(t, browser.Patience, func() (bool, string) { got := ask(); return got == want, got + ", want " + want })
}

// startAt runs a demo on six ports in a row, for what demo.json does not name, and returns the first of them.
func startAt(t *testing.T, flags ...string) (*demo.Demo, int) {
	t.Helper()
	for port := 21000 + os.Getpid()%5000; port < 32000; port += 10 {
		free := true
		for i := range 6 {
			ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i))
			if err != nil {
				free = false
				break
			}
			ln.Close()
		}
		if free {
			return start(t, append([]string{"--port", fmt.Sprint(port)}, flags...)...), port
		}
	}
	t.Fatal("no six free ports in a row")
	return nil, 0
}

// TestLDAPSearch: OpenLDAP's client binds, searches and is refused as Active Directory would have it.
func TestLDAPSearch(t *testing.T) {
	t.Parallel()
	program := tool(t, "ldapsearch", "Debian: apt-get install ldap-utils")
	d, port := startAt(t, quick...)
	all, err := d.Accounts(t.Context())
	must(t, err, "accounts")
	search := func(user, password string, args ...string) (string, error) {
		c := exec.CommandContext(t.Context(), program, append([]string{"-x", "-LLL", "-o", "ldif-wrap=no", "-H", fmt.Sprintf("ldaps://127.0.0.1:%d", port+5),
			"-D", user, "-w", password, "-b", "DC=corp,DC=example"}, args...)...)
		c.Env = append(os.Environ(), "LDAPTLS_CACERT="+d.CAFile, "LDAPTLS_REQCERT=demand")
		out, err := c.CombinedOutput()
		return string(out), err
	}
	alice := all["alice"]
	out, err := search("alice@corp.example", alice.Password, "(sAMAccountName=alice)", "distinguishedName", "userPrincipalName", "memberOf", "userAccountControl", "objectGUID")
	// 66048: a normal account whose password does not expire.
	if err != nil || !strings.Contains(out, "userPrincipalName: alice@corp.example") || !strings.Contains(out, "userAccountControl: 66048") || !strings.Contains(out, "objectGUID:: ") {
		t.Errorf("alice's own entry: %v\n%s", err, out)
	}
	out, err = search(`CORP\alice`, alice.Password, "(cn=VPN Users)", "distinguishedName")
	must(t, err, "bind as DOMAIN\\user: %s", out)
	_, group, found := strings.Cut(strings.TrimSpace(out), "distinguishedName: ")
	if !found {
		t.Fatalf("no group VPN Users:\n%s", out)
	}
	// Alice is in it by way of Engineering; erin is not.
	out, err = search("alice@corp.example", alice.Password, "(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:="+group+"))", "sAMAccountName")
	if err != nil || !strings.Contains(out, "sAMAccountName: alice") || strings.Contains(out, "sAMAccountName: erin") {
		t.Errorf("nested members of %s: %v\n%s", group, err, out)
	}
	for _, c := range []struct{ name, user, password, data string }{
		{"a wrong password", "alice@corp.example", "wrong", "data 52e"},
		{"nobody's name", "mallory@corp.example", "wrong", "data 52e"},
		{"a bare user name", "alice", alice.Password, "data 52e"},
		{"a disabled account", "dave@corp.example", all["dave"].Password, "data 533"},
		{"an expired password", "frank@corp.example", all["frank"].Password, "data 532"},
		{"a password that must be changed", "grace@corp.example", all["grace"].Password, "data 773"},
	} {
		out, err := search(c.user, c.password)
		if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 49 || !strings.Contains(out, c.data) {
			t.Errorf("%s: %v\n%s\nwant result 49 with %q, as Active Directory says it", c.name, err, out, c.data)
		}
	}
}

// node is one of the programs in node/, with the packages that package-lock.json names.
func node(t *testing.T, d *demo.Demo, args ...string) *exec.Cmd {
	t.Helper()
	program := tool(t, "node", "Debian: apt-get install nodejs npm")
	if _, err := os.Stat("node_modules"); err != nil {
		missing(t, "the npm packages are not installed (npm ci, in e2e/)")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	c := exec.CommandContext(ctx, program, args...)
	c.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+d.CAFile)
	return c
}

// TestJavaScriptSDK: AWS's own SDK in another language.
func TestJavaScriptSDK(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	if out, err := node(t, d, "node/aws.mjs", filepath.Join(d.Dir, "demo.json")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// relay runs a node program that prints an address, takes what walk brings back from there, and says ok.
func relay(t *testing.T, d *demo.Demo, script string, config any, walk func(address string) string) {
	t.Helper()
	raw, err := json.Marshal(config)
	must(t, err, "configuration")
	c := node(t, d, script, string(raw))
	var said bytes.Buffer
	c.Stderr = &said
	in, err := c.StdinPipe()
	must(t, err, "stdin")
	out, err := c.StdoutPipe()
	must(t, err, "stdout")
	must(t, c.Start(), "start node")
	lines := bufio.NewScanner(out)
	if lines.Scan() {
		fmt.Fprintln(in, walk(lines.Text()))
	}
	in.Close()
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + "\n"
	}
	if err := c.Wait(); err != nil || !strings.HasPrefix(rest, "ok ") {
		t.Errorf("%s: %v\n%s%s", script, err, rest, said.String())
	}
}

// pool is what an operator knows of the user pool's app client.
type pool struct {
	Issuer       string `json:"issuer"`
	Domain       string `json:"domain"`
	PoolID       string `json:"poolId"`
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	RedirectURI  string `json:"redirectUri"`
	Email        string `json:"email"`
	Post         bool   `json:"post"`
	AWS          string `json:"aws"` // where the demo has the issuer's documents
	metadata     string
}

// state reads what a stand-in keeps.
func state(t *testing.T, d *demo.Demo, kind string, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(d.Dir, kind+".state.json"))
	must(t, err, "read the state of %s", kind)
	must(t, json.Unmarshal(raw, into), "read the state of %s", kind)
}

func thePool(t *testing.T, d *demo.Demo) pool {
	t.Helper()
	p := pool{RedirectURI: d.URL + "oauth2/idpresponse", Email: d.Users[0].Username + "@corp.example", AWS: d.AWS.EndpointURL}
	var cognito struct{ Data pool }
	state(t, d, "cognito", &cognito)
	p.PoolID, p.ClientID, p.ClientSecret = cognito.Data.PoolID, cognito.Data.ClientID, cognito.Data.ClientSecret
	p.Issuer = "https://cognito-idp." + d.AWS.Region + ".amazonaws.com/" + p.PoolID

	location := func(address string) *url.URL {
		resp, err := d.Client.Get(address)
		must(t, err, "visit")
		resp.Body.Close()
		to, err := resp.Location()
		must(t, err, "redirect of %s", address)
		return to
	}
	authorize := location(d.URL)
	p.Domain = authorize.Scheme + "://" + authorize.Host
	var identity struct{ Data struct{ ID string } }
	state(t, d, "identity-center", &identity)
	signIn := location(authorize.String())
	p.metadata = signIn.Scheme + "://" + signIn.Host + "/saml/metadata/" + identity.Data.ID
	return p
}

// TestOpenIDClient: an OIDC client from npm in the load balancer's place at the user pool.
func TestOpenIDClient(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	config := thePool(t, d)
	p := guest(t, browser.Options{}) // the load balancer refuses a state that it did not make
	link := ""
	for _, post := range []bool{false, true} {
		config.Post = post
		relay(t, d, "node/oidc.mjs", config, func(address string) string {
			must(t, p.Visit(address), "visit the authorization endpoint")
			if link == "" { // the second time Identity Center knows the browser
				must(t, p.Password(d.Users[0].Username, d.Users[0].Password), "password")
				var err error
				link, err = p.Enrol()
				must(t, err, "enrol")
			}
			must(t, p.Until(`location.pathname === "/oauth2/idpresponse"`), "come back")
			back, err := browser.Eval[string](p, "location.href")
			must(t, err, "read the address")
			return back
		})
	}
}

// TestNodeSAML: a SAML service provider from npm in the user pool's place at Identity Center.
func TestNodeSAML(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	config := thePool(t, d)
	p := guest(t, browser.Options{NoScript: true}) // so that the response waits on the page
	relay(t, d, "node/saml.mjs", map[string]string{
		"metadata": config.metadata, "acs": config.Domain + "/saml2/idpresponse", "audience": "urn:amazon:cognito:sp:" + config.PoolID, "email": config.Email,
	}, func(address string) string {
		must(t, p.Visit(address), "visit the single sign-on service")
		must(t, p.Password(d.Users[0].Username, d.Users[0].Password), "password")
		_, err := p.Enrol()
		must(t, err, "enrol")
		must(t, p.Until(`document.querySelector("form#saml")`), "signed response")
		response, err := browser.Eval[string](p, `document.querySelector("form#saml input[name=SAMLResponse]").value`)
		must(t, err, "read the response")
		return response
	})
}
