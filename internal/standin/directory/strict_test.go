package directory

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
)

func TestWhereAndWhen(t *testing.T) {
	cfg := config()
	cfg.Users = []User{
		{Username: "heidi", Password: "heidi-Passw0rd", OutOfHours: true},
		{Username: "ivan", Password: "ivan-Passw0rd", OtherComputer: true},
		{Username: "judy", Password: "judy-Passw0rd", OutOfHours: true, OtherComputer: true},
		{Username: "ken", Password: "ken-Passw0rd", OutOfHours: true, OtherComputer: true, MustChange: true},
	}
	cfg.Groups = nil
	s := newServer(t, cfg)
	for name, tc := range map[string]struct{ user, password, want string }{
		"out of hours":                         {"heidi", "heidi-Passw0rd", "530"},
		"out of hours, wrong password":         {"heidi", "wrong", "52e"},
		"another computer":                     {"ivan", "ivan-Passw0rd", "531"},
		"another computer, wrong password":     {"ivan", "wrong", "52e"},
		"the computer is judged first":         {"judy", "judy-Passw0rd", "531"},
		"and the password's age before either": {"ken", "ken-Passw0rd", "773"},
	} {
		if _, got := s.authenticate(tc.user+"@corp.example", tc.password); got != tc.want {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}

	a := &account{Hours: make([]byte, 21)}
	a.Hours[3+2] = 1 << 3 // Monday's twentieth hour
	for at, want := range map[string]bool{"2026-11-23T19:59:59Z": true, "2026-11-23T20:00:00Z": false, "2026-11-23T18:59:59Z": false, "2026-11-22T19:30:00Z": false, "2026-11-24T19:30:00Z": false} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.hour(when); got != want {
			t.Errorf("%s: got %v, want %v", at, got, want)
		}
	}
}

func TestSwitches(t *testing.T) {
	s := newServer(t, config())
	for _, sw := range s.Switches() {
		for _, on := range []bool{true, false} {
			if sw.Set(on); sw.On() != on {
				t.Errorf("%s does not keep %v", sw.Name, on)
			}
			if sw.About == "" {
				t.Errorf("%s says nothing", sw.Name)
			}
			want := map[bool]string{false: "52e", true: "525"}[on]
			if _, got := s.authenticate("nobody@corp.example", "x"); got != want {
				t.Errorf("%s %v, an unknown user: got %q, want %q", sw.Name, on, got, want)
			}
			if _, got := s.authenticate("alice@corp.example", "x"); got != "52e" {
				t.Errorf("%s %v, a wrong password: got %q, want 52e", sw.Name, on, got)
			}
		}
	}
}

// asService is a connection that is bound, to a server of which there may be others.
func asService(t *testing.T, url string, trust *tls.Config) *ldap.Conn {
	t.Helper()
	c := dial(t, url, trust)
	if err := c.Bind("svc-idc@corp.example", "service-Passw0rd"); err != nil {
		t.Fatal(err)
	}
	return c
}

// page asks for one page and returns its names and the cookie for the next.
func page(c *ldap.Conn, filter string, size int, cookie string) ([]string, string, error) {
	q := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false, filter, nil,
		[]ldap.Control{&ldap.ControlPaging{PagingSize: uint32(size), Cookie: []byte(cookie)}})
	r, err := c.Search(q)
	if err != nil {
		return nil, "", err
	}
	p, ok := ldap.FindControl(r.Controls, ldap.ControlTypePaging).(*ldap.ControlPaging)
	if !ok {
		return nil, "", fmt.Errorf("no control in the answer")
	}
	return accounts(r), string(p.Cookie), nil
}

func TestPages(t *testing.T) {
	url, trust := serve(t, newServer(t, config()))
	const people = "(objectClass=user)"
	refused := func(name string, err error, code uint16) {
		t.Helper()
		if !ldap.IsErrorWithCode(err, code) {
			t.Errorf("%s: got %v, want code %d", name, err, code)
		}
	}
	first := func(c *ldap.Conn) string {
		t.Helper()
		names, cookie, err := page(c, people, 3, "")
		if err != nil || len(names) != 3 || cookie == "" {
			t.Fatalf("the first page: got %q, cookie %q, %v", names, cookie, err)
		}
		return cookie
	}

	c := asService(t, url, trust)
	cookie := first(c)
	names, next, err := page(c, people, 2, cookie) // the size may change
	if err != nil || len(names) != 2 || next == "" || next == cookie {
		t.Errorf("the second page: got %q, cookie %q after %q, %v", names, next, cookie, err)
	}
	_, _, err = page(c, people, 3, cookie)
	refused("a cookie once more", err, ldap.LDAPResultUnwillingToPerform)

	cookie = first(c)
	_, _, err = page(c, "(objectClass=group)", 3, cookie)
	refused("another search's cookie", err, ldap.LDAPResultUnwillingToPerform)
	if !strings.Contains(fmt.Sprint(err), "00000057: LdapErr") {
		t.Errorf("another search's cookie: got %v, want AD's text", err)
	}
	_, _, err = page(c, people, 3, cookie)
	refused("and the set is closed by that", err, ldap.LDAPResultUnwillingToPerform)

	cookie = first(c)
	if names, next, err := page(c, people, 0, cookie); err != nil || len(names) != 0 || next != "" {
		t.Errorf("giving up: got %q, cookie %q, %v, want nothing", names, next, err)
	}
	_, _, err = page(c, people, 3, cookie)
	refused("after giving up", err, ldap.LDAPResultUnwillingToPerform)

	cookie = first(c)
	_, _, err = page(asService(t, url, trust), people, 3, cookie)
	refused("another connection's cookie", err, ldap.LDAPResultUnwillingToPerform)
	if err := c.Bind("alice@corp.example", "alice-Passw0rd"); err != nil {
		t.Fatal(err)
	}
	_, _, err = page(c, people, 3, cookie)
	refused("a cookie from before a bind", err, ldap.LDAPResultUnwillingToPerform)

	r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, 0, 2, 0, false, people, nil, []ldap.Control{ldap.NewControlPaging(3)}))
	if !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || len(r.Entries) != 2 {
		t.Errorf("a page beyond the size limit: got %v, %v, want 2 entries and code 4", r, err)
	}

	for range maxResultSets {
		first(c)
	}
	_, _, err = page(c, people, 3, "")
	refused("one search too many", err, ldap.LDAPResultAdminLimitExceeded)

	for name, value := range map[string]string{
		"nothing": "", "not a sequence": "\x04\x00", "a negative size": "\x30\x05\x02\x01\xff\x04\x00", "no cookie": "\x30\x03\x02\x01\x03", "something after it": "\x30\x07\x02\x01\x03\x04\x00\x04\x00",
	} {
		q := ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, 0, 0, 0, false, people, nil, []ldap.Control{ldap.NewControlString(pagedResults, true, value)})
		_, err := asService(t, url, trust).Search(q)
		refused("a control with "+name, err, ldap.LDAPResultProtocolError)
	}
	r, err = dial(t, url, trust).Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, []ldap.Control{ldap.NewControlPaging(5)}))
	if err != nil || len(r.Entries) != 1 || ldap.FindControl(r.Controls, ldap.ControlTypePaging) == nil {
		t.Errorf("the root, paged: got %v, %v, want one entry and the control", r, err)
	}
}

// A domain controller's MaxPageSize.
func TestAThousandAtOnce(t *testing.T) {
	cfg := config()
	cfg.Iterations = 1
	for i := range 1200 {
		cfg.Users = append(cfg.Users, User{Username: fmt.Sprintf("u%d", i), Password: "x"})
	}
	url, trust := serve(t, newServer(t, cfg))
	c := asService(t, url, trust)
	for size, want := range map[int]int{0: 1000, 1100: 1000, 20: 20} {
		r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, 0, size, 0, false, "(objectClass=user)", []string{"1.1"}, nil))
		if !ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) || len(r.Entries) != want {
			t.Errorf("size limit %d: got %d entries, %v, want %d and code 4", size, len(r.Entries), err, want)
		}
	}
	if names, cookie, err := page(c, "(objectClass=user)", 5000, ""); err != nil || len(names) != 1000 || cookie == "" {
		t.Errorf("a page of 5000: got %d, cookie %q, %v, want 1000 and more", len(names), cookie, err)
	}
}

func TestControls(t *testing.T) {
	url, trust := serve(t, newServer(t, config()))
	c := dial(t, url, trust)
	bind := func(controls ...ldap.Control) error {
		_, err := c.SimpleBind(&ldap.SimpleBindRequest{Username: "svc-idc@corp.example", Password: "service-Passw0rd", Controls: controls})
		return err
	}
	if err := bind(ldap.NewControlString("1.2.3.4", true, "")); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnavailableCriticalExtension) {
		t.Errorf("a bind with an unknown critical control: got %v, want code 12", err)
	}
	if err := bind(&ldap.ControlString{ControlType: pagedResults, Criticality: true}); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnavailableCriticalExtension) {
		t.Errorf("a bind with a critical control for searches: got %v, want code 12", err)
	}
	if who, err := c.WhoAmI(nil); err != nil || who.AuthzID != "" {
		t.Errorf("after them: got %v, %v, want nobody", who, err)
	}
	if err := bind(ldap.NewControlString("1.2.3.4", false, "x")); err != nil {
		t.Errorf("a bind with an unknown control that is not critical: got %v", err)
	}
	if _, err := c.WhoAmI([]ldap.Control{ldap.NewControlString("1.2.3.4", true, "")}); !ldap.IsErrorWithCode(err, ldap.LDAPResultUnavailableCriticalExtension) {
		t.Errorf("an extended request with an unknown critical control: got %v, want code 12", err)
	}
	r, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, []ldap.Control{ldap.NewControlString("1.2.3.4", false, "")}))
	if err != nil || len(r.Entries) != 1 {
		t.Errorf("a search with an unknown control that is not critical: got %v, %v", r, err)
	}

	integer := func(n int64) *ber.Packet {
		return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, n, "")
	}
	truly := ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, true, "")
	for name, tc := range map[string]struct {
		parts []*ber.Packet
		good  bool
	}{
		"a type":                      {[]*ber.Packet{newString("1.2")}, true},
		"a type and a value":          {[]*ber.Packet{newString("1.2"), newString("v")}, true},
		"all three":                   {[]*ber.Packet{newString("1.2"), truly, newString("v")}, true},
		"nothing":                     {nil, false},
		"criticality after the value": {[]*ber.Packet{newString("1.2"), newString("v"), truly}, false},
		"criticality twice":           {[]*ber.Packet{newString("1.2"), truly, truly}, false},
		"two values":                  {[]*ber.Packet{newString("1.2"), newString("v"), newString("w")}, false},
		"a number for a value":        {[]*ber.Packet{newString("1.2"), integer(1)}, false},
		"a number for a type":         {[]*ber.Packet{integer(1)}, false},
	} {
		ctl := ber.NewSequence("")
		for _, p := range tc.parts {
			ctl.AppendChild(p)
		}
		_, err := parseMessage(message(1, ber.Encode(ber.ClassApplication, ber.TypePrimitive, unbindRequest, nil, ""), ctl))
		if (err == nil) != tc.good {
			t.Errorf("a control of %s: got %v, want good: %v", name, err, tc.good)
		}
	}
}

func TestSearchRequestsAreReadStrictly(t *testing.T) {
	s := newServer(t, config())
	c := &conn{s: s, who: &s.state.Accounts[0], pages: map[string]resultSet{}}
	whole := func() []*ber.Packet {
		n := func(tag ber.Tag, n int64) *ber.Packet {
			return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
		}
		return []*ber.Packet{newString(base), n(ber.TagEnumerated, 2), n(ber.TagEnumerated, 0), n(ber.TagInteger, 0), n(ber.TagInteger, 0),
			ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, false, ""), contextString(7, "mail"), ber.NewSequence("")}
	}
	code := func(parts []*ber.Packet) int64 {
		op := ber.Encode(ber.ClassApplication, ber.TypeConstructed, searchRequest, nil, "")
		for _, p := range parts {
			op.AppendChild(p)
		}
		raw := message(1, op, nil).Bytes()
		p, err := ber.DecodePacketErr(raw)
		if err != nil {
			t.Fatal(err)
		}
		req, err := parseMessage(p)
		if err != nil {
			t.Fatal(err)
		}
		return c.perform(req).resultCode()
	}
	if got := code(whole()); got != success {
		t.Fatalf("the whole request: got code %d", got)
	}
	number := func(tag ber.Tag, n int64) *ber.Packet {
		return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
	}
	for name, tc := range map[string]struct {
		at   int
		part *ber.Packet
	}{
		"a base that is a number":       {0, number(ber.TagInteger, 1)},
		"a scope beyond subtree":        {1, number(ber.TagEnumerated, 3)},
		"a scope of another type":       {1, number(ber.TagInteger, 2)},
		"an unknown way with aliases":   {2, number(ber.TagEnumerated, 4)},
		"a negative size limit":         {3, number(ber.TagInteger, -1)},
		"a size limit beyond maxInt":    {3, number(ber.TagInteger, maxInt+1)},
		"a negative time limit":         {4, number(ber.TagInteger, -1)},
		"typesOnly that is a number":    {5, number(ber.TagInteger, 0)},
		"a filter that is none":         {6, newString("mail")},
		"attributes that are no list":   {7, newString("mail")},
		"a filter with an unknown tag":  {6, contextString(10, "mail")},
		"an And that is a string":       {6, contextString(3, "mail")},
		"a presence that is structured": {6, ber.Encode(ber.ClassContext, ber.TypeConstructed, 7, nil, "")},
	} {
		parts := whole()
		parts[tc.at] = tc.part
		if got := code(parts); got != protocolError {
			t.Errorf("%s: got code %d, want 2", name, got)
		}
	}
	if got := code(whole()[:7]); got != protocolError {
		t.Errorf("a part missing: got code %d, want 2", got)
	}
	if got := code(append(whole(), newString("x"))); got != protocolError {
		t.Errorf("a part too many: got code %d, want 2", got)
	}
}

// resultCode reads the code from the message that is sent, because a refusal is only there.
func (a answer) resultCode() int64 {
	n, _ := number(a.done.Children[0], ber.TagEnumerated)
	return n
}

func TestAnonymous(t *testing.T) {
	s := newServer(t, config())
	url, trust := serve(t, s)
	c := dial(t, url, trust)
	if err := c.UnauthenticatedBind(""); err != nil {
		t.Errorf("an anonymous bind: got %v, want success, as AD gives it", err)
	}
	_, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", nil, nil))
	if !ldap.IsErrorWithCode(err, ldap.LDAPResultOperationsError) {
		t.Errorf("a search after it: got %v, want code 1", err)
	}
	if r, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(cn=x)", nil, nil)); err != nil || len(r.Entries) != 0 {
		t.Errorf("the root by a filter that is not true of it: got %v, %v", r, err)
	}
	for range lockoutThreshold {
		if err := c.UnauthenticatedBind("alice@corp.example"); !strings.Contains(fmt.Sprint(err), "data 52e") {
			t.Errorf("no password: got %v, want data 52e", err)
		}
	}
	if err := c.Bind("alice@corp.example", "alice-Passw0rd"); !strings.Contains(fmt.Sprint(err), "data 775") {
		t.Errorf("after five binds without a password: got %v, want data 775: they count as wrong ones", err)
	}
}

func TestOnlyLDAPS(t *testing.T) {
	s := newServer(t, config())
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	run(t, s, ln)
	c := dial(t, "ldap://"+ln.Addr().String(), nil)
	if err := c.StartTLS(&tls.Config{}); !ldap.IsErrorWithCode(err, ldap.LDAPResultProtocolError) {
		t.Errorf("StartTLS: got %v, want code 2 (RFC 4511 section 4.14.1)", err)
	}
	c = dial(t, "ldap://"+ln.Addr().String(), nil) // the client's reader stopped for TLS
	if r, err := c.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, 0, 0, 0, false, "(objectClass=*)", []string{"supportedExtension"}, nil)); err != nil ||
		slices.Contains(r.Entries[0].GetAttributeValues("supportedExtension"), "1.3.6.1.4.1.1466.20037") {
		t.Errorf("the root: got %v, %v, want no StartTLS among the extensions", r, err)
	}
}

// exchange writes messages and returns all that comes back until the connection ends.
func exchange(t *testing.T, s *Server, messages ...*ber.Packet) []*ber.Packet {
	t.Helper()
	ours, theirs := net.Pipe()
	done := make(chan bool)
	go func() { s.converse(t.Context(), theirs); theirs.Close(); close(done) }()
	go func() {
		for _, m := range messages {
			ours.Write(m.Bytes())
		}
	}()
	var out []*ber.Packet
	for {
		p, err := ber.ReadPacket(ours)
		if err != nil {
			<-done
			return out
		}
		out = append(out, p)
	}
}

func TestUnbindAndAbandon(t *testing.T) {
	s := newServer(t, config())
	who := ber.Encode(ber.ClassApplication, ber.TypeConstructed, extendedRequest, nil, "")
	who.AppendChild(contextString(0, whoAmI))
	abandon := ber.NewInteger(ber.ClassApplication, ber.TypePrimitive, abandonRequest, 1, "")
	unbind := ber.Encode(ber.ClassApplication, ber.TypePrimitive, unbindRequest, nil, "")
	got := exchange(t, s, message(1, who, nil), message(2, abandon, nil), message(3, who, nil), message(4, unbind, nil), message(5, who, nil))
	if len(got) != 2 {
		t.Fatalf("got %d answers, want 2: abandon and unbind have none, and unbind ends the connection", len(got))
	}
	for i, id := range []int64{1, 3} {
		if n, _ := number(got[i].Children[0], ber.TagInteger); n != id {
			t.Errorf("answer %d is to message %d, want %d", i+1, n, id)
		}
	}
}

func TestSilenceEndsTheConnection(t *testing.T) {
	s := newServer(t, config())
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		ended := make(chan time.Duration)
		began := time.Now()
		go func() { s.converse(context.Background(), theirs); ended <- time.Since(began) }()
		if got := <-ended; got != firstMessage {
			t.Errorf("a silent connection ended after %v, want %v", got, firstMessage)
		}
		ours.Close()
		theirs.Close()
	})
}

// A domain controller's diagnostic messages end with a NUL, and clients have been caught by that.
func TestDiagnosticMessagesEndWithNUL(t *testing.T) {
	c := bound(t)
	for name, err := range map[string]error{
		"bind":   c.Bind("alice@corp.example", "wrong"),
		"search": func() error { _, _, err := page(c, "(cn=*)", 1, ""); return err }(),
		"delete": c.Del(ldap.NewDelRequest(base, nil)),
	} {
		e, ok := err.(*ldap.Error)
		if !ok || !strings.HasSuffix(e.Err.Error(), "\x00") || strings.Count(e.Err.Error(), "\x00") != 1 {
			t.Errorf("%s: got %q, want one NUL at the end", name, err)
		}
	}
}

func TestTokenGroups(t *testing.T) {
	c := bound(t)
	read := func(scope int, dn string) (*ldap.SearchResult, error) {
		return c.Search(ldap.NewSearchRequest(dn, scope, 0, 0, 0, false, "(objectClass=*)", []string{"tokenGroups"}, nil))
	}
	sid := map[string]string{}
	groups, err := c.Search(ldap.NewSearchRequest(base, ldap.ScopeWholeSubtree, 0, 0, 0, false, "(objectClass=group)", []string{"cn", "objectSid"}, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range groups.Entries {
		sid[string(e.GetRawAttributeValue("objectSid"))] = e.GetAttributeValue("cn")
	}
	r, err := read(ldap.ScopeBaseObject, "CN=Alice Lee,OU=People,"+base)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range r.Entries[0].GetRawAttributeValues("tokenGroups") {
		name := sid[string(v)]
		if strings.HasSuffix(sidText(string(v)), "-513") {
			name = "Domain Users"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if want := []string{"Domain Users", "Engineering", "Ring", "VPN Users"}; !slices.Equal(names, want) {
		t.Errorf("got %q, want %q: nested groups too", names, want)
	}
	if r, err := read(ldap.ScopeBaseObject, "OU=People,"+base); err != nil || len(r.Entries[0].Attributes) != 0 {
		t.Errorf("of what is in no group: got %v, %v, want nothing", r, err)
	}
	if _, err := read(ldap.ScopeWholeSubtree, base); !ldap.IsErrorWithCode(err, ldap.LDAPResultOperationsError) || !strings.Contains(err.Error(), "00002120") {
		t.Errorf("of a subtree: got %v, want code 1: it is made for one entry at a time", err)
	}
}

func TestFilterText(t *testing.T) {
	for _, want := range []string{
		"(cn=alice)", "(objectClass=*)", "(lockoutTime>=1)", "(pwdLastSet<=0)", "(cn~=alice)", "(&(a=b)(|(c=d)(!(e=f))))", "(&)", "(|)",
		"(mail=ali*)", "(mail=*@corp*ple)", "(mail=a*b*c*d)", "(mail=*lee)",
		`(cn=a\2ab\28c\29\5c)`, `(cn=*\2a*)`, `(objectGUID=\01\02\ff\41)`, `(cn=Zoë)`,
		"(memberOf:1.2.840.113556.1.4.1941:=CN=VPN Users,OU=Groups,DC=corp,DC=example)", "(cn:dn:2.5.13.5:=x)", "(cn:=x)", "(:2.5.13.5:=x)", "(:dn:2.5.13.5:=x)",
	} {
		p, err := ldap.CompileFilter(want)
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		again, err := ber.DecodePacketErr(p.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if got := filterText(again, 0); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := filterText(newString("x"), 0); got != "(?)" {
		t.Errorf("no filter: got %s", got)
	}
}

// heard is a log of JSON lines.
type heard struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.b.Write(p)
}

type record struct {
	Msg, What, Detail, Why, As string
	Status                     int
}

func (h *heard) take(t *testing.T) []record {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []record
	for d := json.NewDecoder(&h.b); ; {
		var r record
		if err := d.Decode(&r); err == io.EOF {
			h.b.Reset()
			return out
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
}

func TestMessagesAreDescribed(t *testing.T) {
	log := &heard{}
	cfg := config()
	cfg.Log = slog.New(slog.NewJSONHandler(log, nil))
	url, trust := serve(t, newServer(t, cfg))
	c := dial(t, url, trust)
	log.take(t)
	const secret = "service-Passw0rd"
	search := func(base string, scope, size int, filter string, attributes []string, controls ...ldap.Control) func() {
		return func() {
			c.Search(ldap.NewSearchRequest(base, scope, 0, size, 0, false, filter, attributes, controls))
		}
	}
	for _, tc := range []struct {
		name string
		do   func()
		what string
		want string
		code int
	}{
		{"a refused bind", func() { c.Bind("alice@corp.example", secret) }, "bind", "name: alice@corp.example\nmethod: simple", 49},
		{"a bind by DN", func() { c.Bind("CN=svc-idc,CN=Users,"+base, secret) }, "bind", "name: CN=svc-idc,CN=Users,DC=corp,DC=example\nmethod: simple", 0},
		{"a name that is no text", func() { c.Bind("\x00\n", secret) }, "bind", "name: \"\\x00\\n\"\nmethod: simple", 49},
		{"SASL", func() { c.ExternalBind() }, "bind", "name: none\nmethod: SASL EXTERNAL", 7},
		{"anonymous", func() { c.UnauthenticatedBind("") }, "bind", "name: none\nmethod: simple", 0},
		{"a refused search", search(base, 2, 0, "(cn=x)", nil), "search", "base: DC=corp,DC=example\nscope: subtree\nfilter: (cn=x)\nattributes: all", 1},
		{"the root", search("", 0, 0, "(objectClass=*)", []string{"currentTime"}), "search", "base: the root\nscope: base\nfilter: (objectClass=*)\nattributes: currentTime\nentries: 1", 0},
		{"a bind by UPN", func() { c.Bind("svc-idc@corp.example", secret) }, "bind", "name: svc-idc@corp.example\nmethod: simple", 0},
		{"a search", search("OU=People,"+base, 1, 0, "(&(objectClass=user)(sAMAccountName=ali*))", []string{"mail", "memberOf"}), "search",
			"base: OU=People,DC=corp,DC=example\nscope: one level\nfilter: (&(objectClass=user)(sAMAccountName=ali*))\nattributes: mail, memberOf\nentries: 1", 0},
		{"a limit", search(base, 2, 2, "(objectClass=user)", []string{"1.1"}), "search",
			"base: DC=corp,DC=example\nscope: subtree\nfilter: (objectClass=user)\nattributes: 1.1\nsize limit: 2\nentries: 2", 4},
		{"a page", search(base, 2, 0, "(objectClass=user)", nil, ldap.NewControlPaging(3)), "search",
			"base: DC=corp,DC=example\nscope: subtree\nfilter: (objectClass=user)\nattributes: all\npage: the first, of 3 entries\ncontrols: 1.2.840.113556.1.4.319\nentries: 3, and more to come", 0},
		{"a critical control", search(base, 2, 0, "(cn=x)", nil, ldap.NewControlString("1.2.3.4", true, "")), "search",
			"base: DC=corp,DC=example\nscope: subtree\nfilter: (cn=x)\nattributes: all\ncontrols: 1.2.3.4 (critical)", 12},
		{"an extended request", func() { c.WhoAmI(nil) }, "extended", "request: 1.3.6.1.4.1.4203.1.11.3", 0},
		{"a password change", func() { c.PasswordModify(ldap.NewPasswordModifyRequest("alice", secret, secret)) }, "extended", "request: 1.3.6.1.4.1.4203.1.11.1", 2},
		{"delete", func() { c.Del(ldap.NewDelRequest("CN=x,"+base, nil)) }, "delete", "entry: CN=x,DC=corp,DC=example", 53},
		{"compare", func() { c.Compare("CN=x,"+base, "userPassword", secret) }, "compare", "entry: CN=x,DC=corp,DC=example", 53},
		{"modify", func() {
			m := ldap.NewModifyRequest("CN=x,"+base, nil)
			m.Replace("unicodePwd", []string{secret})
			c.Modify(m)
		}, "modify", "entry: CN=x,DC=corp,DC=example", 53},
	} {
		tc.do()
		got := log.take(t)
		if len(got) == 0 || got[0].Msg != "hop" || got[0].What != tc.what || got[0].Detail != tc.want || got[0].Status != tc.code {
			t.Errorf("%s: got %+v, want %s, code %d:\n%s", tc.name, got, tc.what, tc.code, tc.want)
			continue
		}
		if refused := tc.code != 0 && tc.code != 4; refused != (len(got) == 2) || refused && (got[1].Msg != "refused" || got[1].Detail != tc.want || strings.ContainsAny(got[1].Why, "\x00\n")) {
			t.Errorf("%s: got %+v, want a refusal with the same detail: %v", tc.name, got, refused)
		}
		if text := fmt.Sprint(got); strings.Contains(text, secret) {
			t.Errorf("%s: the log holds the password: %s", tc.name, text)
		}
	}

	long := strings.Repeat("é", 3000)
	search("CN="+long+","+base, 2, 7, "(cn="+long+")", []string{long, long}, ldap.NewControlPaging(3), ldap.NewControlString(strings.Repeat("1.2", 1000), true, ""))()
	for _, r := range log.take(t) {
		if len(r.Detail) > 1024 || strings.Count(r.Detail, "\n") != 6 {
			t.Errorf("a long request: the description has %d octets: %s, want at most a kilobyte, one line for each part", len(r.Detail), r.Detail)
		}
	}
}
