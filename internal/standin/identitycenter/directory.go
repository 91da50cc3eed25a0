package identitycenter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

// directoryTimeout bounds each exchange with the directory.
const directoryTimeout = 5 * time.Second

// What can be wrong between Identity Center and the directory; errors.Is finds them in what Discover and SyncNow return.
var (
	ErrUnreachable    = errors.New("the directory cannot be reached")
	ErrCertificate    = errors.New("the directory's certificate is not trusted")
	ErrServiceAccount = errors.New("the directory refuses the service account")
	ErrBase           = errors.New("the base is not in the directory")
	ErrGroup          = errors.New("an assigned group is not in the directory")
)

// refusal is a bind that the directory refused, with Windows' error number as AD gives it.
type refusal struct {
	data   string
	policy lockout // for how long a lock-out lasts
}

func (e *refusal) Error() string {
	if why, ok := refusals[e.data]; ok {
		return "data " + e.data + ", " + why
	}
	return "data " + e.data
}

// refusals are AD's codes for operators (Windows "System Error Codes", in hexadecimal).
var refusals = map[string]string{
	"525": "no such user",
	"52e": "the name or the password is wrong",
	"530": "not at this time",
	"531": "not from this computer",
	"532": "the password has expired",
	"533": "the account is disabled",
	"701": "the account has expired",
	"773": "the password must be changed first",
	"775": "the account is locked",
}

// sentence helps the person and tells a stranger nothing. AD gives 530 to 533, 701 and 773 only to who has the right
// password. 775 it gives to anybody, which is why names that nobody has are seen to lock here too (see stranger). A
// wrong password and an unknown name are one sentence.
func (e *refusal) sentence(domain string) string {
	switch e.data {
	case "530":
		return "Your account may not sign in at this time of the day or week. Ask your help desk for its hours."
	case "531":
		return "Your account may sign in on certain computers only, and not here. Ask your help desk."
	case "532":
		return "Your password has expired. Change it on a computer of " + domain + ", or ask your help desk, then sign in again."
	case "533":
		return "Your account is disabled. Ask your help desk to enable it."
	case "701":
		return "Your account has expired. Ask your help desk to extend it."
	case "773":
		return "You must change your password before you can sign in here. Change it on a computer of " + domain + ", or ask your help desk."
	case "775":
		if e.policy.duration <= 0 {
			return "This account is locked after too many wrong passwords. Ask your help desk to unlock it."
		}
		return "This account is locked after too many wrong passwords. Wait " + minutes(e.policy.duration) + ", or ask your help desk to unlock it."
	}
	return "The user name or the password is not correct."
}

// dataCode finds the error number in AD's diagnostic text: "80090308: LdapErr: …, data 52e, v4563".
var dataCode = regexp.MustCompile(`, data ([0-9a-f]+), v`)

// refused reads the answer to a bind. Only a refusal of the credentials is one; nil is anything else.
func (s *Server) refused(err error) *refusal {
	e, ok := errors.AsType[*ldap.Error](err)
	if !ok || e.ResultCode != ldap.LDAPResultInvalidCredentials {
		return nil
	}
	r := &refusal{data: "52e"}
	if m := dataCode.FindStringSubmatch(e.Err.Error()); m != nil {
		r.data = m[1]
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	r.policy = s.synced.lockout
	return r
}

// connect returns a connection bound as the service account, which ends with ctx. The caller closes it.
func (s *Server) connect(ctx context.Context) (*ldap.Conn, error) {
	conn, err := ldap.DialURL(s.cfg.LDAPURL, ldap.DialWithTLSConfig(s.cfg.LDAPTLS), ldap.DialWithDialer(&net.Dialer{Timeout: directoryTimeout}))
	if err != nil {
		sentinel := ErrUnreachable
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
			sentinel = ErrCertificate
		}
		return nil, fmt.Errorf("%w: %s: %w", sentinel, s.cfg.LDAPURL, err)
	}
	conn.SetTimeout(directoryTimeout)
	context.AfterFunc(ctx, func() { conn.Close() })
	if err := errors.Join(ctx.Err(), conn.Bind(s.cfg.BindDN, s.cfg.BindPassword)); err != nil {
		conn.Close()
		if r := s.refused(err); r != nil {
			return nil, fmt.Errorf("%w %s: %w", ErrServiceAccount, s.cfg.BindDN, r)
		}
		return nil, fmt.Errorf("%w: bind: %w", ErrUnreachable, err)
	}
	return conn, nil
}

// verify finds the person of a typed name among those synced, and lets the directory judge the password at once. The
// error is a *refusal, or the directory could not be asked; ErrServiceAccount is of the second kind, though a refusal is
// its cause.
func (s *Server) verify(ctx context.Context, typed, password string) (*person, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*directoryTimeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	p, name := s.lookup(typed)
	// The account may have moved since the sync, so its DN is asked for. A name that nobody has is asked for and tried
	// too: the answer takes as long, and somebody who is not synced yet is as unknown as the rest.
	id, as := strings.Repeat("0", 32), name+"@"+s.cfg.Domain
	if strings.ContainsAny(name, `@\=`) {
		as = name
	}
	if p != nil {
		id = p.id
	}
	found, err := search(conn, s.cfg.BaseDN, ldap.ScopeWholeSubtree, "(&(objectClass=user)(objectGUID="+octets(id)+"))", "1.1")
	if err != nil {
		return nil, err
	}
	if len(found) == 1 {
		as = found[0].DN
	} else {
		p = nil // deleted since the sync
	}
	err = conn.Bind(as, password)
	if p == nil && (err == nil || ldap.IsErrorAnyOf(err, ldap.LDAPResultInvalidCredentials, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultNoSuchObject)) {
		return nil, s.stranger(name, time.Now())
	}
	if r := s.refused(err); r != nil {
		return nil, r
	}
	if err != nil {
		return nil, fmt.Errorf("%w: bind: %w", ErrUnreachable, err)
	}
	s.mu.Lock()
	p.disabled = false // or the directory would have said so
	s.mu.Unlock()
	return p, nil
}

// lockout is the domain's policy. A threshold of 0 means that accounts never lock, a duration of 0 that they stay locked.
type lockout struct {
	threshold        int
	window, duration time.Duration
}

// misses are the passwords tried on a name that nobody has.
type misses struct {
	count        int
	last, locked time.Time
}

// maxMisses bounds what strangers can make this process remember.
const maxMisses = 10_000

// stranger answers for a name that nobody has as the directory answers for one that somebody has: after as many wrong
// passwords as the domain allows it is "locked". Otherwise a stranger could tell real names by their locking. So now is
// by the right clock and not by Identity Center's, as the directory's is.
func (s *Server) stranger(name string, now time.Time) *refusal {
	s.mu.Lock()
	defer s.mu.Unlock()
	policy := s.synced.lockout
	wrong := &refusal{"52e", policy}
	if policy.threshold <= 0 {
		return wrong
	}
	name = strings.ToLower(name)
	m := s.misses[name]
	switch {
	case m == nil && len(s.misses) >= maxMisses:
		return wrong
	case m == nil:
		m = &misses{}
		s.misses[name] = m
	case !m.locked.IsZero() && (policy.duration <= 0 || now.Before(m.locked.Add(policy.duration))):
		return &refusal{"775", policy}
	case !m.locked.IsZero() || now.Sub(m.last) >= policy.window:
		*m = misses{}
	}
	m.count, m.last = m.count+1, now
	if m.count >= policy.threshold {
		m.locked = now
	}
	return wrong
}

// search asks for all entries, a page at a time (RFC 2696): AD gives no more than 1,000 at once.
func search(conn *ldap.Conn, base string, scope int, filter string, attributes ...string) ([]*ldap.Entry, error) {
	q := ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, 0, 0, false, filter, attributes, nil)
	r, err := conn.SearchWithPaging(q, pageSize)
	if err != nil {
		return nil, fmt.Errorf("directory: search %s below %q: %w", filter, base, err)
	}
	return r.Entries, nil
}

const pageSize = 500

// octets writes a hexadecimal id as a filter's value (RFC 4515 section 3).
func octets(id string) string {
	var b strings.Builder
	for i := 0; i+2 <= len(id); i += 2 {
		b.WriteString(`\` + id[i:i+2])
	}
	return b.String()
}
