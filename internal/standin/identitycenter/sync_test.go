package identitycenter_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"regexp"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/standin/directory"
	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
)

const (
	notCorrect = "The user name or the password is not correct."
	locked     = "This account is locked after too many wrong passwords. Wait 10 minutes"
)

// signIn tries a password in a new browser and returns the page that follows.
func (c *chain) signIn(user, password string) *shown {
	c.t.Helper()
	b := c.browser()
	_, address := c.request()
	return b.submit(b.get(address), "username", user, "password", password)
}

func TestWhatPeopleType(t *testing.T) {
	c := newChain(t)
	for name, good := range map[string]bool{
		"alice": true, "ALICE": true, `CORP\alice`: true, `corp.example\Alice`: true, "alice@corp.example": true, "Alice@CORP.EXAMPLE": true, " alice ": true,
		`OTHER\alice`: false, "alice@other.example": false, "CN=Alice Lee,OU=People,DC=corp,DC=example": false, `\alice`: false, "alice@": false, "Alice Lee": false,
		"svc-idc@corp.example": false,
	} {
		want := notCorrect
		if good {
			want = "Register your authenticator"
		}
		if p := c.signIn(name, "alice-Passw0rd"); !strings.Contains(p.Find("main").Text(), want) {
			t.Errorf("%s: got %q, want %q", name, p.Find("main").Text(), want)
		}
	}
}

func TestSync(t *testing.T) {
	c := newChain(t)
	b := c.browser()
	_, address := c.request()
	p, _, _ := b.enrol(address, "alice")
	p.want(200, "You are signed in")
	visit := func() *shown {
		_, address := c.request()
		return b.get(address)
	}
	member := func(group, name string, in bool) {
		t.Helper()
		if err := c.directory.SetMember(group, name, in); err != nil {
			t.Fatal(err)
		}
	}

	member("Engineering", "alice", false)
	visit().want(200, "You are signed in") // nobody synced yet
	c.sync()
	visit().want(403, "No access")
	member("VPN Users", "alice", true)
	visit().want(403, "No access")
	c.sync()
	visit().want(200, "You are signed in")

	t.Run("who was enabled again signs in at once", func(t *testing.T) {
		c := c.in(t)
		c.directory.SetDisabled("alice", true)
		c.sync()
		_, address := c.request()
		b := c.browser()
		page := b.get(address)
		b.submit(page, "username", "alice", "password", "alice-Passw0rd").want(403, "is disabled")
		c.directory.SetDisabled("alice", false)
		b.submit(page, "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
		visit().want(200, "You are signed in")
	})
	t.Run("before the first sync everybody is unknown", func(t *testing.T) {
		c := c.in(t)
		fresh, err := identitycenter.New(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		c.handler.Store(new(fresh.Handler()))
		defer c.handler.Store(new(c.idc.Handler()))
		if got := c.signIn("alice", "alice-Passw0rd"); got.err() != notCorrect {
			t.Errorf("got %q, want %q", got.err(), notCorrect)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- fresh.Run(ctx) }()
		for c.signIn("alice", "alice-Passw0rd").status != 200 {
			if t.Context().Err() != nil {
				t.Fatal("Run did not sync at once")
			}
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: got %v", err)
		}
	})
}

// AD gives no more than 1,000 entries at once.
func TestSyncOfMoreThanAPage(t *testing.T) {
	c := newChain(t)
	users, group := []directory.User{}, directory.Group{Name: "VPN Users"}
	for i := range 1234 {
		name := fmt.Sprintf("u%d", i)
		users = append(users, directory.User{Username: name, Password: name + "-Passw0rd"})
		group.Members = append(group.Members, name)
	}
	c.cfg.LDAPURL = c.serve(t, directory.Config{Domain: "corp.example", ServiceAccount: "svc-idc", ServicePassword: "service-Passw0rd", Iterations: 1, Users: users, Groups: []directory.Group{group}})
	c.cfg.EmailAttribute = ""
	var err error
	if c.idc, err = identitycenter.New(c.cfg); err != nil {
		t.Fatal(err)
	}
	c.sync()
	if !strings.Contains(c.log.String(), `"people":1235,"assigned":1234`) { // and the service account
		t.Error("not everybody was synced")
	}
}

// serve runs another directory and returns its address.
func (c *chain) serve(t *testing.T, cfg directory.Config) string {
	t.Helper()
	cfg.Log = slog.New(slog.DiscardHandler)
	d, err := directory.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: c.web.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- d.Serve(ctx, ln) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return "ldaps://" + ln.Addr().String()
}

// A stranger must not find out who works here: a name that nobody has behaves as one that somebody has.
func TestNamesLockAlike(t *testing.T) {
	c := newChain(t)
	for name, forms := range map[string][]string{
		"somebody's name": {"bob", `CORP\bob`, "bob@corp.example", "BOB", "bob", "bob", "bob"},
		"nobody's name":   {"bert", `CORP\bert`, "bert@corp.example", "BERT", "bert", "bert", "bert"},
		"a service's":     {"svc-other", "svc-other", "svc-other", "svc-other", "svc-other", "svc-other", "svc-other"},
	} {
		for i, typed := range forms {
			want := notCorrect
			if i >= 5 {
				want = locked
			}
			if got := c.signIn(typed, "wrong"); got.status != 403 || !strings.HasPrefix(got.err(), want) {
				t.Errorf("%s, try %d: got %d %q, want %q", name, i+1, got.status, got.err(), want)
			}
		}
	}
	if got := c.signIn("bob", "bob-Passw0rd"); !strings.HasPrefix(got.err(), locked) {
		t.Errorf("bob with the right password: got %q, want %q", got.err(), locked)
	}
}

var domainSID = regexp.MustCompile(`S-1-5-21-\d+-\d+-\d+-`)

func TestMappings(t *testing.T) {
	c := newChain(t)
	c.remake(func(cfg *identitycenter.Config) {
		cfg.Application.Mappings = []identitycenter.Mapping{
			{"Subject", "${user:AD_GUID}", "persistent"}, {"Email", "${user:email}", "basic"}, {"Upn", "${user:subject}", "unspecified"},
			{"Name", "${user:name}", "basic"}, {"Nick", "${user:preferredUsername}", "basic"}, {"Given", "${user:givenName}", "basic"},
			{"Middle", "${user:middleName}", "basic"}, {"Family", "${user:familyName}", "basic"}, {"Groups", "${user:groups}", "unspecified"},
			{"Company", "Example Corp", "uri"},
		}
	})
	id, address := c.request()
	p, _, _ := c.browser().enrol(address, "alice")
	a, err := c.accept(p, id)
	if err != nil {
		t.Fatal(err)
	}
	guid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	if got := a.Subject.NameID.Value; !guid.MatchString(got) {
		t.Errorf("subject: got %q, want alice's objectGUID", got)
	}
	got := ""
	for _, attr := range a.AttributeStatements[0].Attributes {
		format := attr.NameFormat[strings.LastIndexByte(attr.NameFormat, ':')+1:]
		for _, v := range attr.Values {
			got += fmt.Sprintf("%s=%s (%s)\n", attr.Name, domainSID.ReplaceAllString(v.Value, "S-1-5-21-…-"), format)
		}
	}
	want := "Email=alice@corp.example (basic)\nUpn=alice@corp.example (unspecified)\nName=Alice Lee (basic)\nNick=Alice Lee (basic)\n" +
		"Given=Alice (basic)\nMiddle=Q (basic)\nFamily=Lee (basic)\n" + // both groups, the one within the other too
		"Groups=corp.example//S-1-5-21-…-1114 (unspecified)\nGroups=corp.example//S-1-5-21-…-1115 (unspecified)\nCompany=Example Corp (uri)\n"
	if got != want {
		t.Errorf("attributes:\n%swant:\n%s", got, want)
	}

	c.remake(func(cfg *identitycenter.Config) { cfg.EmailAttribute = "" })
	id, address = c.request()
	p, _, _ = c.browser().enrol(address, "heidi") // of whom the directory knows less
	if a, err = c.accept(p, id); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, attr := range a.AttributeStatements[0].Attributes {
		names = append(names, attr.Name)
	}
	if got, want := strings.Join(names, " "), "Email Upn Name Nick Groups Company"; got != want {
		t.Errorf("heidi's attributes: got %s, want %s: what she has not is left out", got, want)
	}
}

func TestSubjects(t *testing.T) {
	c := newChain(t)
	for name, tc := range map[string]struct{ value, format, want, urn string }{
		"as AWS's samples map it": {"${user:subject}", "persistent", "alice@corp.example", "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
		"an e-mail address":       {"${user:email}", "emailAddress", "alice@corp.example", "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"},
		"a name":                  {"${user:name}", "unspecified", "Alice Lee", "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"},
	} {
		t.Run(name, func(t *testing.T) {
			c := c.in(t)
			c.remake(func(cfg *identitycenter.Config) {
				cfg.StateFile = ""
				cfg.Application.Mappings = []identitycenter.Mapping{{Attribute: "Subject", Value: tc.value, Format: tc.format}}
			})
			c.introduce()
			id, address := c.request()
			p, _, _ := c.browser().enrol(address, "alice")
			a, err := c.accept(p, id)
			if err != nil {
				t.Fatal(err)
			}
			if n := a.Subject.NameID; n.Value != tc.want || n.Format != tc.urn {
				t.Errorf("got %q as %s, want %q as %s", n.Value, n.Format, tc.want, tc.urn)
			}
			if len(a.AttributeStatements) != 0 {
				t.Errorf("got attributes %v, want no statement of none (SAML Core section 2.7.3)", a.AttributeStatements)
			}
			if got := c.sp.IDPMetadata.IDPSSODescriptors[0].NameIDFormats; len(got) != 1 || string(got[0]) != tc.urn {
				t.Errorf("the metadata has the formats %v, want %s", got, tc.urn)
			}
		})
	}
}

func TestDiscover(t *testing.T) {
	c := newChain(t)
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, tc := range map[string]struct {
		spoil func(*identitycenter.Config)
		want  error
		says  string
	}{
		"all is well": {func(*identitycenter.Config) {}, nil, ""},
		"a base that is there": {func(c *identitycenter.Config) {
			c.BaseDN = "OU=People,DC=corp,DC=example"
			c.Application.AssignedGroups = nil
		}, nil, ""},
		"nobody listens":                {func(c *identitycenter.Config) { c.LDAPURL = "ldaps://" + closed.Addr().String() }, identitycenter.ErrUnreachable, "refused"},
		"a CA that is not trusted":      {func(c *identitycenter.Config) { c.LDAPTLS = &tls.Config{RootCAs: x509.NewCertPool()} }, identitycenter.ErrCertificate, "unknown authority"},
		"a certificate of another":      {func(c *identitycenter.Config) { c.LDAPTLS.ServerName = "dc9.corp.example" }, identitycenter.ErrCertificate, "dc9.corp.example"},
		"a wrong password":              {func(c *identitycenter.Config) { c.BindPassword = "x" }, identitycenter.ErrServiceAccount, "name or the password is wrong"},
		"a service account's bare name": {func(c *identitycenter.Config) { c.BindDN = "svc-idc" }, identitycenter.ErrServiceAccount, "52e"},
		"a disabled service account":    {func(c *identitycenter.Config) { c.BindDN, c.BindPassword = "carol@corp.example", "carol-Passw0rd" }, identitycenter.ErrServiceAccount, "is disabled"},
		"no such base":                  {func(c *identitycenter.Config) { c.BaseDN = "OU=Nowhere,DC=corp,DC=example" }, identitycenter.ErrBase, "the domain is DC=corp,DC=example"},
		"a base that is no DN":          {func(c *identitycenter.Config) { c.BaseDN = "corp.example" }, identitycenter.ErrBase, "corp.example"},
		"no such group":                 {func(c *identitycenter.Config) { c.Application.AssignedGroups = []string{"VPN*"} }, identitycenter.ErrGroup, `"VPN*"`},
		"a group outside the base":      {func(c *identitycenter.Config) { c.BaseDN = "OU=People,DC=corp,DC=example" }, identitycenter.ErrGroup, "below OU=People"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := c.cfg
			cfg.LDAPTLS = cfg.LDAPTLS.Clone()
			cfg.BaseDN, cfg.Domain, cfg.NetBIOSName = "", "", ""
			tc.spoil(&cfg)
			err := identitycenter.Discover(t.Context(), &cfg)
			if !errors.Is(err, tc.want) || err != nil && !strings.Contains(err.Error(), tc.says) {
				t.Fatalf("got %v, want %v with %q", err, tc.want, tc.says)
			}
			if err == nil && (!strings.HasSuffix(cfg.BaseDN, "DC=corp,DC=example") || cfg.Domain != "corp.example" || cfg.NetBIOSName != "CORP") {
				t.Errorf("found %q, %q, %q", cfg.BaseDN, cfg.Domain, cfg.NetBIOSName)
			}
		})
	}
}

func TestSyncRefuses(t *testing.T) {
	c := newChain(t)
	for name, tc := range map[string]struct {
		spoil func(*identitycenter.Config)
		want  error
	}{
		"a group that was never there": {func(c *identitycenter.Config) { c.Application.AssignedGroups = []string{"VPN Users", "Others"} }, identitycenter.ErrGroup},
		"a base without people":        {func(c *identitycenter.Config) { c.BaseDN = "OU=Groups,DC=corp,DC=example" }, identitycenter.ErrBase},
	} {
		cfg := c.cfg
		tc.spoil(&cfg)
		s, err := identitycenter.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.SyncNow(t.Context()); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", name, err, tc.want)
		}
	}
}
