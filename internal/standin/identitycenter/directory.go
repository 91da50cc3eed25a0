package identitycenter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// directoryTimeout bounds each exchange with the directory.
const directoryTimeout = 5 * time.Second

// person is what the directory says about someone.
type person struct {
	id       string // objectGUID, hexadecimal
	dn       string
	username string // sAMAccountName
	upn      string
	name     string
	email    string
	disabled bool
}

// refusal is a sign-in that the directory refused, with Windows' error number as AD gives it.
type refusal struct{ data string }

func (e *refusal) Error() string { return "the directory refused: data " + e.data }

// sentence helps the person. Only what AD itself tells someone with the right password is told; a wrong password and
// an unknown name are one sentence.
func (e *refusal) sentence(domain string) string {
	switch e.data {
	case "530", "531":
		return "Your account may not sign in at this time or from here. Ask your help desk."
	case "532":
		return "Your password has expired. Change it on a computer of " + domain + ", or ask your help desk, then sign in again."
	case "533":
		return "Your account is disabled. Ask your help desk to enable it."
	case "701":
		return "Your account has expired. Ask your help desk to extend it."
	case "773":
		return "You must change your password before you can sign in here. Change it on a computer of " + domain + ", or ask your help desk."
	case "775":
		return "Your account is locked after too many wrong passwords. Wait ten minutes, or ask your help desk to unlock it."
	}
	return "The user name or the password is not correct."
}

// dataCode finds the error number in AD's diagnostic text: "80090308: LdapErr: …, data 52e, v4563".
var dataCode = regexp.MustCompile(`, data ([0-9a-f]+), v`)

// connect returns a connection bound as the service account. The caller closes it.
func (s *Server) connect(ctx context.Context) (*ldap.Conn, error) {
	conn, err := ldap.DialURL(s.cfg.LDAPURL, ldap.DialWithTLSConfig(s.cfg.LDAPTLS), ldap.DialWithDialer(&net.Dialer{Timeout: directoryTimeout}))
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	conn.SetTimeout(directoryTimeout)
	if err := errors.Join(ctx.Err(), conn.Bind(s.cfg.BindDN, s.cfg.BindPassword)); err != nil {
		conn.Close()
		return nil, fmt.Errorf("directory: service account: %w", err)
	}
	return conn, nil
}

// verify finds the person of a typed name and tries the password by binding as them. The error is a *refusal, or the
// directory could not be asked.
func (s *Server) verify(ctx context.Context, typed, password string) (*person, error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// What people type: alice, CORP\alice, alice@corp.example.
	name := typed
	label, _, _ := strings.Cut(s.cfg.Domain, ".")
	if domain, after, ok := strings.Cut(typed, `\`); ok && (strings.EqualFold(domain, label) || strings.EqualFold(domain, s.cfg.Domain)) {
		name = after
	}
	name = ldap.EscapeFilter(name)
	p, err := s.find(conn, "(|(sAMAccountName="+name+")(userPrincipalName="+name+"))")
	if err != nil {
		return nil, err
	}
	// An unknown name is tried too, so that the answer takes as long as for a known one.
	as := typed
	if p != nil {
		as = p.dn
	} else if !strings.ContainsAny(typed, `@\=`) {
		as = typed + "@" + s.cfg.Domain
	}
	switch err = conn.Bind(as, password); {
	case err == nil && p != nil:
		return p, nil
	case p == nil && (err == nil || ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultNoSuchObject)):
		return nil, &refusal{"52e"}
	}
	if e, ok := errors.AsType[*ldap.Error](err); ok && e.ResultCode == ldap.LDAPResultInvalidCredentials {
		if m := dataCode.FindStringSubmatch(e.Err.Error()); m != nil {
			return nil, &refusal{m[1]}
		}
		return nil, &refusal{"52e"}
	}
	return nil, fmt.Errorf("directory: bind: %w", err)
}

// find looks up one person, or nil.
func (s *Server) find(conn *ldap.Conn, filter string) (*person, error) {
	r, err := conn.Search(ldap.NewSearchRequest(s.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 2, 0, false,
		"(&(objectCategory=person)(objectClass=user)"+filter+")",
		[]string{"objectGUID", "sAMAccountName", "userPrincipalName", "displayName", "mail", "userAccountControl"}, nil))
	if ldap.IsErrorWithCode(err, ldap.LDAPResultSizeLimitExceeded) {
		return nil, nil // a name that means two people means nobody
	}
	if err != nil {
		return nil, fmt.Errorf("directory: search: %w", err)
	}
	if len(r.Entries) != 1 {
		return nil, nil
	}
	e := r.Entries[0]
	uac, err := strconv.Atoi(e.GetAttributeValue("userAccountControl"))
	p := &person{
		id: fmt.Sprintf("%x", e.GetRawAttributeValue("objectGUID")), dn: e.DN, username: e.GetAttributeValue("sAMAccountName"),
		upn: e.GetAttributeValue("userPrincipalName"), name: e.GetAttributeValue("displayName"), email: e.GetAttributeValue("mail"),
		disabled: uac&2 != 0, // ACCOUNTDISABLE
	}
	if err != nil || len(p.id) != 32 || p.upn == "" {
		return nil, fmt.Errorf("directory: %s lacks objectGUID, userPrincipalName or userAccountControl", e.DN)
	}
	return p, nil
}

// current looks a signed-in person up again and says whether the application is assigned to them. A person who is gone
// or disabled is nil.
func (s *Server) current(ctx context.Context, id string) (p *person, assigned bool, err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	var guid strings.Builder // octets as a filter's value (RFC 4515 section 3)
	for i := 0; i+2 <= len(id); i += 2 {
		guid.WriteString(`\` + id[i:i+2])
	}
	if p, err = s.find(conn, "(objectGUID="+guid.String()+")"); err != nil || p == nil || p.disabled {
		return nil, false, err
	}
	groups, err := conn.Search(ldap.NewSearchRequest(s.cfg.BaseDN, ldap.ScopeWholeSubtree, ldap.NeverDerefAliases, 0, 0, false,
		"(&(objectClass=group)(sAMAccountName="+ldap.EscapeFilter(s.cfg.Application.AssignedGroup)+"))", []string{"1.1"}, nil))
	if err != nil {
		return nil, false, fmt.Errorf("directory: search: %w", err)
	}
	if len(groups.Entries) != 1 {
		s.log.Error("assigned group not found", "to", "identity-center", "group", s.cfg.Application.AssignedGroup)
		return p, false, nil
	}
	// AD's rule "in chain" follows groups within groups; Identity Center's sync flattens them to the same effect.
	member, err := conn.Search(ldap.NewSearchRequest(p.dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(memberOf:1.2.840.113556.1.4.1941:="+ldap.EscapeFilter(groups.Entries[0].DN)+")", []string{"1.1"}, nil))
	if err != nil {
		return nil, false, fmt.Errorf("directory: search: %w", err)
	}
	return p, len(member.Entries) == 1, nil
}
