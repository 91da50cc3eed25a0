package directory

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

const base = "DC=corp,DC=example"

func config() Config {
	return Config{
		Domain:         "corp.example",
		ServiceAccount: "svc-idc", ServicePassword: "service-Passw0rd",
		Users: []User{
			{Username: "alice", Password: "alice-Passw0rd", GivenName: "Alice", Surname: "Lee", Email: "alice@corp.example"},
			{Username: "bob", Password: "bob-Passw0rd", GivenName: "Bob", Surname: "Kim (Sales), Jr", Email: "bob@corp.example"},
			{Username: "carol", Password: "carol-Passw0rd", Disabled: true},
			{Username: "dave", Password: "dave-Passw0rd", Locked: true},
			{Username: "erin", Password: "erin-Passw0rd", Expired: true},
			{Username: "frank", Password: "frank-Passw0rd", MustChange: true},
			{Username: "grace", Password: "grace-Passw0rd", PasswordExpired: true},
		},
		Groups: []Group{
			{Name: "VPN Users", Members: []string{"Engineering", "bob"}},
			{Name: "Engineering", Members: []string{"alice", "Ring"}},
			{Name: "Ring", Members: []string{"Engineering"}},
		},
		Log: slog.New(slog.DiscardHandler), Iterations: 10,
	}
}

// serve runs a domain controller and returns its ldaps URL and what trusts it.
func serve(t *testing.T, s *Server) (string, *tls.Config) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "dc1"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, ln)
	return "ldaps://" + ln.Addr().String(), &tls.Config{RootCAs: roots}
}

func run(t *testing.T, s *Server, ln net.Listener) {
	done := make(chan error)
	go func() { done <- s.Serve(t.Context(), ln) }()
	t.Cleanup(func() {
		if err := <-done; err != nil {
			t.Errorf("Serve ended with %v, want nil: the context ended it", err)
		}
	})
}

func newServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func dial(t *testing.T, url string, trust *tls.Config) *ldap.Conn {
	t.Helper()
	c, err := ldap.DialURL(url, ldap.DialWithTLSConfig(trust))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func bound(t *testing.T) *ldap.Conn {
	t.Helper()
	url, trust := serve(t, newServer(t, config()))
	c := dial(t, url, trust)
	if err := c.Bind("svc-idc@corp.example", "service-Passw0rd"); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestBind(t *testing.T) {
	s := newServer(t, config())
	url, trust := serve(t, s)
	dn := "CN=Alice Lee,OU=People," + base
	for name, tc := range map[string]struct {
		as, password string
		want         string // AD's code, or empty for success
	}{
		"a UPN":                                       {"alice@corp.example", "alice-Passw0rd", ""},
		"a UPN in other case":                         {"Alice@CORP.example", "alice-Passw0rd", ""},
		"domain and name":                             {`CORP\alice`, "alice-Passw0rd", ""},
		"a DN":                                        {dn, "alice-Passw0rd", ""},
		"a DN in other case and with spaces":          {"cn=ALICE lee, ou=People, dc=corp,dc=example", "alice-Passw0rd", ""},
		"a DN with escaped characters":                {`CN=Bob Kim (Sales)\2c Jr,OU=People,` + base, "bob-Passw0rd", ""},
		"a bare name is not a bind name":              {"alice", "alice-Passw0rd", "52e"},
		"a foreign domain":                            {`OTHER\alice`, "alice-Passw0rd", "52e"},
		"a wrong password":                            {"alice@corp.example", "wrong", "52e"},
		"an unknown user":                             {"nobody@corp.example", "wrong", "52e"},
		"a DN of a group":                             {"CN=VPN Users,OU=Groups," + base, "x", "52e"},
		"disabled, right password":                    {"carol@corp.example", "carol-Passw0rd", "533"},
		"disabled, wrong password tells nothing":      {"carol@corp.example", "wrong", "52e"},
		"locked, even with the right password":        {"dave@corp.example", "dave-Passw0rd", "775"},
		"the account expired":                         {"erin@corp.example", "erin-Passw0rd", "701"},
		"the password must be changed":                {"frank@corp.example", "frank-Passw0rd", "773"},
		"the password expired":                        {"grace@corp.example", "grace-Passw0rd", "532"},
		"expired password, wrong one, tells nothing":  {"grace@corp.example", "wrong", "52e"},
		"an injected filter is just an unknown name":  {"*)(objectClass=*", "wrong", "52e"},
		"a name of control characters does not break": {"\x00\x01@corp.example", "wrong", "52e"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, url, trust)
			err := c.Bind(tc.as, tc.password)
			if tc.want == "" {
				if err != nil {
					t.Fatalf("bind as %q: got %v, want success", tc.as, err)
				}
				return
			}
			if !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) || !strings.Contains(err.Error(), "AcceptSecurityContext error, data "+tc.want+", v") {
				t.Errorf("bind as %q: got %v, want code 49 with data %s, which is how AD says it", tc.as, err, tc.want)
			}
		})
	}

	t.Run("a name without a password is refused, not anonymous", func(t *testing.T) {
		c := dial(t, url, trust)
		if err := c.UnauthenticatedBind("alice@corp.example"); !ldap.IsErrorWithCode(err, ldap.LDAPResultInvalidCredentials) {
			t.Errorf("got %v, want code 49: an empty password must never sign anyone in", err)
		}
	})
	t.Run("anonymous sees the rootDSE and nothing else", func(t *testing.T) {
		c := dial(t, url, trust)
		dse, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
		if err != nil || len(dse.Entries) != 1 || dse.Entries[0].GetAttributeValue("defaultNamingContext") != base {
			t.Errorf("rootDSE: got %v, %v, want defaultNamingContext %s", dse, err, base)
		}
		_, err = c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectClass=*)", nil, nil))
		if !ldap.IsErrorWithCode(err, ldap.LDAPResultOperationsError) || !strings.Contains(err.Error(), "000004DC") {
			t.Errorf("got %v, want operationsError 000004DC", err)
		}
	})
	t.Run("a failed bind makes the connection anonymous again", func(t *testing.T) {
		c := dial(t, url, trust)
		if err := c.Bind("alice@corp.example", "alice-Passw0rd"); err != nil {
			t.Fatal(err)
		}
		if err := c.Bind("alice@corp.example", "wrong"); err == nil {
			t.Fatal("a wrong password was taken")
		}
		if r, err := c.WhoAmI(nil); err != nil || r.AuthzID != "" {
			t.Errorf("got %v, %v, want the anonymous identity", r, err)
		}
	})
	t.Run("without TLS even the right password is refused", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		run(t, s, ln)
		c := dial(t, "ldap://"+ln.Addr().String(), nil)
		if err := c.Bind("alice@corp.example", "alice-Passw0rd"); !ldap.IsErrorWithCode(err, ldap.LDAPResultStrongAuthRequired) || !strings.Contains(err.Error(), "Transport encryption required") {
			t.Errorf("got %v, want code 8", err)
		}
	})
}

func TestLockout(t *testing.T) {
	s := newServer(t, config())
	synctest.Test(t, func(t *testing.T) {
		try := func(password, want string) {
			t.Helper()
			if _, got := s.authenticate("alice@corp.example", password); got != want {
				t.Errorf("password %q: got %q, want %q", password, got, want)
			}
		}
		for range lockoutThreshold - 1 {
			try("wrong", badPassword)
		}
		try("alice-Passw0rd", "") // success forgets the wrong ones
		for range lockoutThreshold {
			try("wrong", badPassword)
		}
		try("alice-Passw0rd", accountLocked)
		time.Sleep(lockoutDuration - time.Second)
		try("alice-Passw0rd", accountLocked)
		time.Sleep(time.Second)
		try("wrong", badPassword) // unlocked, and the count starts anew
		try("alice-Passw0rd", "")

		for range lockoutThreshold - 1 {
			try("wrong", badPassword)
		}
		time.Sleep(lockoutWindow)
		try("wrong", badPassword) // the older ones are outside the window
		try("alice-Passw0rd", "")

		for range lockoutThreshold {
			try("wrong", badPassword)
		}
		if err := s.Unlock("alice"); err != nil {
			t.Fatal(err)
		}
		try("alice-Passw0rd", "")
	})
}

func TestSearch(t *testing.T) {
	c := bound(t)
	group := "CN=VPN Users,OU=Groups," + base
	for name, tc := range map[string]struct {
		base   string
		scope  int
		filter string
		want   []string // sAMAccountName, or the DN where there is none
	}{
		"equality, ignoring case":                  {base, ldap.ScopeWholeSubtree, "(userPrincipalName=ALICE@corp.example)", []string{"alice"}},
		"and":                                      {base, ldap.ScopeWholeSubtree, "(&(objectClass=user)(sAMAccountName=alice))", []string{"alice"}},
		"and that fails":                           {base, ldap.ScopeWholeSubtree, "(&(objectClass=group)(sAMAccountName=alice))", nil},
		"or":                                       {base, ldap.ScopeWholeSubtree, "(|(sAMAccountName=alice)(sAMAccountName=bob))", []string{"alice", "bob"}},
		"not, for an attribute without one":        {base, ldap.ScopeWholeSubtree, "(&(objectClass=user)(!(mail=*)))", []string{"carol", "dave", "erin", "frank", "grace", "svc-idc"}},
		"not of an unknown type is nothing":        {base, ldap.ScopeWholeSubtree, "(!(shoeSize=44))", nil},
		"presence":                                 {base, ldap.ScopeWholeSubtree, "(mail=*)", []string{"alice", "bob"}},
		"initial substring":                        {base, ldap.ScopeWholeSubtree, "(mail=ALI*)", []string{"alice"}},
		"middle and final substring":               {base, ldap.ScopeWholeSubtree, "(mail=*@corp*ple)", []string{"alice", "bob"}},
		"overlapping substrings do not both":       {base, ldap.ScopeWholeSubtree, "(givenName=Ali*lice)", nil},
		"escaped characters":                       {base, ldap.ScopeWholeSubtree, `(cn=Bob Kim \28Sales\29, Jr)`, []string{"bob"}},
		"an escaped star is a star":                {base, ldap.ScopeWholeSubtree, `(sAMAccountName=\2a)`, nil},
		"category by its short name":               {base, ldap.ScopeWholeSubtree, "(&(objectCategory=person)(givenName=*))", []string{"alice", "bob"}},
		"bits of userAccountControl":               {base, ldap.ScopeWholeSubtree, "(userAccountControl:1.2.840.113556.1.4.803:=2)", []string{"carol"}},
		"an integer of other form":                 {base, ldap.ScopeWholeSubtree, "(userAccountControl=066050)", []string{"carol"}},
		"at least":                                 {base, ldap.ScopeWholeSubtree, "(&(objectClass=user)(lockoutTime>=1))", []string{"dave"}},
		"at most":                                  {base, ldap.ScopeWholeSubtree, "(&(objectClass=user)(pwdLastSet<=0))", []string{"frank"}},
		"a member, directly":                       {base, ldap.ScopeWholeSubtree, "(memberOf=" + group + ")", []string{"Engineering", "bob"}},
		"members in chain, round a circle":         {base, ldap.ScopeWholeSubtree, "(&(objectClass=user)(memberOf:1.2.840.113556.1.4.1941:=" + group + "))", []string{"alice", "bob"}},
		"groups in chain of one person":            {base, ldap.ScopeWholeSubtree, "(member:1.2.840.113556.1.4.1941:=CN=Alice Lee,OU=People," + base + ")", []string{"Engineering", "Ring", "VPN Users"}},
		"in chain, not a member":                   {"CN=carol,OU=People," + base, ldap.ScopeBaseObject, "(memberOf:1.2.840.113556.1.4.1941:=" + group + ")", nil},
		"in chain, where there is only the circle": {base, ldap.ScopeWholeSubtree, "(memberOf:1.2.840.113556.1.4.1941:=CN=Gone,OU=Groups," + base + ")", nil},
		"base only":                                {"CN=alice lee,OU=People," + base, ldap.ScopeBaseObject, "(objectClass=*)", []string{"alice"}},
		"one level":                                {base, ldap.ScopeSingleLevel, "(objectClass=*)", []string{"CN=Users," + base, "OU=Groups," + base, "OU=People," + base}},
		"a subtree is not its neighbour":           {"OU=Groups," + base, ldap.ScopeWholeSubtree, "(sAMAccountName=*)", []string{"Engineering", "Ring", "VPN Users"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := c.Search(ldap.NewSearchRequest(tc.base, tc.scope, ldap.NeverDerefAliases, 0, 0, false, tc.filter, nil, nil))
			if err != nil {
				t.Fatal(err)
			}
			if names := accounts(got); !slices.Equal(names, tc.want) {
				t.Errorf("%s: got %q, want %q", tc.filter, names, tc.want)
			}
		})
	}

	for name, tc := range map[string]struct {
		base, filter string
		code         uint16
	}{
		"a base that does not exist": {"OU=Nowhere," + base, "(objectClass=*)", ldap.LDAPResultNoSuchObject},
		"a base that is not a DN":    {"nonsense", "(objectClass=*)", ldap.LDAPResultInvalidDNSyntax},
		"an unknown matching rule":   {base, "(cn:2.5.13.5:=x)", ldap.LDAPResultInappropriateMatching},
		"nested too deep":            {base, strings.Repeat("(!", 40) + "(cn=x)" + strings.Repeat(")", 40), ldap.LDAPResultProtocolError},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Search(ldap.NewSearchRequest(tc.base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, tc.filter, nil, nil)); !ldap.IsErrorWithCode(err, tc.code) {
				t.Errorf("got %v, want code %d", err, tc.code)
			}
		})
	}
}

func accounts(r *ldap.SearchResult) []string {
	var names []string
	for _, e := range r.Entries {
		if n := e.GetAttributeValue("sAMAccountName"); n != "" {
			names = append(names, n)
		} else {
			names = append(names, e.DN)
		}
	}
	slices.Sort(names)
	return names
}

func TestAttributes(t *testing.T) {
	c := bound(t)
	search := func(attributes ...string) *ldap.Entry {
		t.Helper()
		r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(sAMAccountName=alice)", attributes, nil))
		if err != nil || len(r.Entries) != 1 {
			t.Fatalf("got %v, %v", r, err)
		}
		return r.Entries[0]
	}
	all := search()
	for attr, want := range map[string]string{
		"userPrincipalName": "alice@corp.example", "mail": "alice@corp.example", "displayName": "Alice Lee", "givenName": "Alice", "sn": "Lee",
		"memberOf": "CN=Engineering,OU=Groups," + base, "userAccountControl": "66048", "accountExpires": "9223372036854775807",
		"lockoutTime": "0", "distinguishedName": "CN=Alice Lee,OU=People," + base,
	} {
		if got := all.GetAttributeValue(attr); got != want {
			t.Errorf("%s: got %q, want %q", attr, got, want)
		}
	}
	if got := all.GetAttributeValues("objectClass"); !slices.Equal(got, []string{"top", "person", "organizationalPerson", "user"}) {
		t.Errorf("objectClass: got %q", got)
	}
	if n := len(all.GetRawAttributeValue("objectGUID")); n != 16 {
		t.Errorf("objectGUID has %d octets, want 16", n)
	}
	sid := all.GetRawAttributeValue("objectSid")
	if len(sid) != 28 || sid[0] != 1 || sid[1] != 5 {
		t.Errorf("objectSid %x is not a domain account's SID", sid)
	}
	if _, err := time.Parse("20060102150405.0Z", all.GetAttributeValue("whenCreated")); err != nil {
		t.Error(err)
	}
	if got := search("MAIL", "unknown"); len(got.Attributes) != 1 || got.Attributes[0].Name != "mail" {
		t.Errorf("asked for MAIL, got %v, want mail alone", got.Attributes)
	}
	if got := search("1.1"); len(got.Attributes) != 0 {
		t.Errorf("asked for no attribute, got %v", got.Attributes)
	}
	r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, "(objectSid="+ldap.EscapeFilter(sidText(string(sid)))+")", nil, nil))
	if err != nil || len(r.Entries) != 1 {
		t.Errorf("by readable SID: got %v, %v, want alice", r, err)
	}
}

func TestLimitsAndPages(t *testing.T) {
	c := bound(t)
	request := func(size int) *ldap.SearchRequest {
		return ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, size, 0, false, "(objectClass=user)", nil, nil)
	}
	r, err := c.Search(request(3))
	if !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || len(r.Entries) != 3 {
		t.Errorf("size limit 3: got %v, want 3 entries and code 4", err)
	}
	whole, err := c.Search(request(0))
	if err != nil {
		t.Fatal(err)
	}
	paged, err := c.SearchWithPaging(request(0), 3)
	if err != nil || !slices.Equal(accounts(paged), accounts(whole)) {
		t.Errorf("in pages: got %q, %v, want %q", accounts(paged), err, accounts(whole))
	}
	forged := request(0)
	forged.Controls = []ldap.Control{&ldap.ControlPaging{PagingSize: 3, Cookie: []byte("forged")}}
	if _, err := c.Search(forged); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform) {
		t.Errorf("a cookie from nowhere: got %v, want code 53", err)
	}
	critical := request(0)
	critical.Controls = []ldap.Control{ldap.NewControlString("1.2.3.4", true, "")}
	if _, err := c.Search(critical); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnavailableCriticalExtension) {
		t.Errorf("an unknown critical control: got %v, want code 12", err)
	}
}

func TestOtherRequests(t *testing.T) {
	c := bound(t)
	if r, err := c.WhoAmI(nil); err != nil || r.AuthzID != `u:CORP\svc-idc` {
		t.Errorf("who am I: got %v, %v", r, err)
	}
	if err := c.Del(ldap.NewDelRequest("CN=Alice Lee,OU=People,"+base, nil)); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform) {
		t.Errorf("delete: got %v, want code 53: the directory is read-only over the wire", err)
	}
	if _, err := c.Compare("CN=Alice Lee,OU=People,"+base, "mail", "x"); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnwillingToPerform) {
		t.Errorf("compare: got %v, want code 53", err)
	}
	if _, err := c.PasswordModify(ldap.NewPasswordModifyRequest("", "a", "b")); !ldap.IsErrorWithCode(err, ldap.LDAPResultProtocolError) {
		t.Errorf("unknown extended request: got %v, want code 2", err)
	}
	if err := c.ExternalBind(); !ldap.IsErrorWithCode(err, ldap.LDAPResultAuthMethodNotSupported) {
		t.Errorf("SASL: got %v, want code 7", err)
	}
}

func TestGarbageEndsTheConnection(t *testing.T) {
	for name, sent := range map[string]string{
		"HTTP":               "GET / HTTP/1.1\r\n\r\n",
		"a claim of 2 GiB":   "\x30\x84\x7f\xff\xff\xff",
		"indefinite length":  "\x30\x80\x02\x01\x01",
		"no operation":       "\x30\x03\x02\x01\x01",
		"message id 0":       "\x30\x05\x02\x01\x00\x42\x00",
		"a part that is cut": "\x30\x05\x02\x01\x01\x60\x7f",
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			s := newServer(t, Config{Domain: "corp.example", ServiceAccount: "s", ServicePassword: "p", Log: slog.New(slog.DiscardHandler), Iterations: 1})
			ended := make(chan bool)
			go func() { s.converse(t.Context(), theirs); theirs.Close(); close(ended) }()
			go ours.Write([]byte(sent))
			p, err := ber.ReadPacket(ours)
			if err != nil || !strings.Contains(string(p.Bytes()), noticeOfDisconnect) {
				t.Errorf("got %v, want a notice of disconnection (RFC 4511 section 4.1.1)", err)
			}
			ours.Close()
			<-ended
		})
	}
}

func TestState(t *testing.T) {
	cfg := config()
	cfg.StateFile = filepath.Join(t.TempDir(), "directory.json")
	s := newServer(t, cfg)
	for range lockoutThreshold {
		s.authenticate("alice@corp.example", "wrong")
	}
	if err := s.SetDisabled("bob", true); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(cfg.StateFile)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "Passw0rd") {
		t.Error("the state file holds a password in the clear")
	}
	cfg.Users, cfg.Groups, cfg.ServicePassword = nil, nil, "another-Passw0rd"
	again := newServer(t, cfg)
	for name, tc := range map[string]struct{ as, password, want string }{
		"a lock-out outlives a restart":          {"alice@corp.example", "alice-Passw0rd", accountLocked},
		"disabled outlives a restart":            {"bob@corp.example", "bob-Passw0rd", accountDisabled},
		"the service account's password is new":  {`CORP\svc-idc`, "another-Passw0rd", ""},
		"and its old one is no longer taken":     {`CORP\svc-idc`, "service-Passw0rd", badPassword},
		"a user that the file holds is the same": {"frank@corp.example", "frank-Passw0rd", mustChange},
	} {
		if _, got := again.authenticate(tc.as, tc.password); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	if got := again.Accounts()[0]; !got.Locked || got.UserPrincipalName != "alice@corp.example" || got.DN != "CN=Alice Lee,OU=People,"+base {
		t.Errorf("accounts: got %+v", got)
	}
	cfg.Domain = "other.example"
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), cfg.StateFile) {
		t.Errorf("another domain's state: got %v, want a refusal that names the file", err)
	}
}

// A program that knows more people than the one that made the directory adds them, and leaves the others as they are.
func TestFixturesThatAreNew(t *testing.T) {
	cfg := config()
	cfg.StateFile = filepath.Join(t.TempDir(), "directory.json")
	s := newServer(t, cfg)
	if err := errors.Join(s.SetDisabled("bob", true), s.SetMember("VPN Users", "bob", false)); err != nil {
		t.Fatal(err)
	}
	before, err := s.SID("vpn users")
	if err != nil || !strings.HasPrefix(before, "S-1-5-21-") {
		t.Fatalf("the SID of VPN Users: %q, %v", before, err)
	}
	cfg.Users[0].Password = "another-Passw0rd"
	cfg.Users = append(cfg.Users, User{Username: "olivia", Password: "olivia-Passw0rd", GivenName: "Olivia", Surname: "Park"})
	cfg.Groups[0].Members = append(cfg.Groups[0].Members, "olivia", "VPN Operators")
	cfg.Groups = append(cfg.Groups, Group{Name: "VPN Operators", Members: []string{"olivia"}})
	for range 2 { // and once they are there, they are there
		s = newServer(t, cfg)
		for as, tc := range map[string]struct{ password, want string }{
			"olivia@corp.example": {"olivia-Passw0rd", ""},
			"alice@corp.example":  {"alice-Passw0rd", ""},
			"bob@corp.example":    {"bob-Passw0rd", accountDisabled},
		} {
			if _, got := s.authenticate(as, tc.password); got != tc.want {
				t.Errorf("%s: got %q, want %q", as, got, tc.want)
			}
		}
		if got := s.group("VPN Users").Members; !slices.Equal(got, []string{"Engineering", "olivia", "VPN Operators"}) {
			t.Errorf("VPN Users: got %q: bob was taken out, olivia and the operators are new", got)
		}
		after, err1 := s.SID("VPN Users")
		operators, err2 := s.SID("VPN Operators")
		if err := errors.Join(err1, err2); err != nil || after != before || operators == before || len(s.Accounts()) != 8 {
			t.Errorf("SIDs: %s was %s, operators %s; %d accounts; %v", after, before, operators, len(s.Accounts()), err)
		}
	}
	if _, err := s.SID("nobody"); err == nil {
		t.Error("a group that is not there has a SID")
	}
	cfg.Users = append(cfg.Users, User{Username: "Engineering", Password: "x-Passw0rd"})
	if _, err := New(cfg); err == nil {
		t.Error("a new user has a group's name")
	}
}

func TestBadConfig(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"no password":      func(c *Config) { c.Users[0].Password = "" },
		"a name twice":     func(c *Config) { c.Users[1].Username = "ALICE" },
		"a group like one": func(c *Config) { c.Groups[0].Name = "alice" },
		"a stray member":   func(c *Config) { c.Groups[0].Members = []string{"nobody"} },
		"no domain":        func(c *Config) { c.Domain = "corp" },
		"no service":       func(c *Config) { c.ServiceAccount = "" },
	} {
		cfg := config()
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x60\x07\x02\x01\x03\x04\x00\x80\x00"))
	f.Add([]byte("\x30\x25\x02\x01\x02\x63\x20\x04\x00\x0a\x01\x00\x0a\x01\x00\x02\x01\x00\x02\x01\x00\x01\x01\x00\x87\x0bobjectClass\x30\x00"))
	s, err := New(Config{Domain: "corp.example", ServiceAccount: "s", ServicePassword: "p", Groups: []Group{{Name: "g", Members: []string{"s"}}}, Log: slog.New(slog.DiscardHandler), Iterations: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ber.DecodePacketErr(raw)
		if err != nil {
			return
		}
		req, err := parseMessage(p)
		if err != nil {
			if !errors.Is(err, errMessage) {
				t.Errorf("got %v, want errMessage", err)
			}
			return
		}
		c := &conn{s: s, tls: false, who: &s.state.Accounts[0], pages: map[string]resultSet{}}
		c.answer(req)
	})
}
