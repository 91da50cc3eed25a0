package identitycenter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-ldap/ldap/v3"
)

const (
	defaultSyncEvery = time.Minute // AWS syncs about every hour
	syncTimeout      = time.Minute
)

// person is what the last sync saw of someone.
type person struct {
	id       string // objectGUID, hexadecimal
	username string // sAMAccountName
	upn      string
	name     string
	given    string
	middle   string
	family   string
	email    string
	groups   []string // as in assertions; read only where a mapping wants them
	disabled bool     // guarded by Server.mu: a sign-in that the directory accepts clears it
	assigned bool     // to the application, by a group
}

// synced is the outcome of a sync. The next one replaces it whole.
type synced struct {
	at      time.Time // zero: there was none yet
	people  map[string]*person
	byName  map[string]*person // by lower-case sAMAccountName
	byUPN   map[string]*person // by lower-case userPrincipalName
	groups  map[string]string  // id of each assigned group, which survives a renaming
	lockout lockout
}

// Discover checks that the directory of cfg can be used, and fills in what is empty and the directory knows: BaseDN,
// Domain and NetBIOSName. It needs LDAPURL, LDAPTLS, BindDN and BindPassword; assigned groups are looked for if given.
func Discover(ctx context.Context, cfg *Config) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	s := &Server{cfg: *cfg}
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	root, err := conn.Search(ldap.NewSearchRequest("", ldap.ScopeBaseObject, ldap.NeverDerefAliases, 0, 0, false,
		"(objectClass=*)", []string{"defaultNamingContext", "configurationNamingContext"}, nil))
	if err != nil || len(root.Entries) != 1 {
		return fmt.Errorf("%w: it does not describe itself: %w", ErrUnreachable, err)
	}
	head, configuration := root.Entries[0].GetAttributeValue("defaultNamingContext"), root.Entries[0].GetAttributeValue("configurationNamingContext")
	if head == "" {
		return fmt.Errorf("%s is not an Active Directory domain controller: it has no default naming context", cfg.LDAPURL)
	}
	base := cmp.Or(cfg.BaseDN, head)
	if _, err := search(conn, base, ldap.ScopeBaseObject, "(objectClass=*)", "1.1"); err != nil {
		if ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInvalidDNSyntax, ldap.LDAPResultReferral) {
			return fmt.Errorf("%w: %s; the domain is %s", ErrBase, base, head)
		}
		return err
	}
	domain := dnsName(head)
	short, _, _ := strings.Cut(domain, ".")
	// The short name is the first label by custom only (MS-ADTS 6.1.1.2.1.1, crossRef objects).
	refs, err := search(conn, "CN=Partitions,"+configuration, ldap.ScopeSingleLevel, "(&(objectClass=crossRef)(nCName="+ldap.EscapeFilter(head)+"))", "nETBIOSName")
	if err != nil {
		return err
	}
	if len(refs) == 1 {
		short = cmp.Or(refs[0].GetAttributeValue("nETBIOSName"), short)
	}
	for _, g := range cfg.Application.AssignedGroups {
		if _, err := findGroup(conn, base, g, ""); err != nil {
			return err
		}
	}
	cfg.BaseDN, cfg.Domain, cfg.NetBIOSName = base, cmp.Or(cfg.Domain, domain), cmp.Or(cfg.NetBIOSName, strings.ToUpper(short))
	return nil
}

// dnsName of DC=corp,DC=example is corp.example; of what lies below, the same.
func dnsName(dn string) string {
	parsed, err := ldap.ParseDN(dn)
	if err != nil {
		return ""
	}
	var labels []string
	for _, rdn := range parsed.RDNs {
		if strings.EqualFold(rdn.Attributes[0].Type, "DC") {
			labels = append(labels, rdn.Attributes[0].Value)
		}
	}
	return strings.ToLower(strings.Join(labels, "."))
}

// findGroup looks a group up by its id, if that is known and still there, or by its sAMAccountName.
func findGroup(conn *ldap.Conn, base, name, id string) (*ldap.Entry, error) {
	filters := []string{"(sAMAccountName=" + ldap.EscapeFilter(name) + ")"}
	if id != "" {
		filters = append([]string{"(objectGUID=" + octets(id) + ")"}, filters...)
	}
	for _, f := range filters {
		found, err := search(conn, base, ldap.ScopeWholeSubtree, "(&(objectClass=group)"+f+")", "objectGUID")
		if err != nil {
			return nil, err
		}
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return nil, fmt.Errorf("%w: %q below %s", ErrGroup, name, base)
}

// Run syncs at once and every SyncEvery until ctx ends. A sync that fails is logged, and the one before it holds.
func (s *Server) Run(ctx context.Context) error {
	tick := time.NewTicker(cmp.Or(s.cfg.SyncEvery, defaultSyncEvery))
	defer tick.Stop()
	for {
		if err := s.SyncNow(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("sync failed; the last one holds", "to", "identity-center", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// SyncNow reads people and assigned groups from the directory. People, their groups and whether their accounts are
// disabled are known from the last sync only; passwords are never synced. Everybody below BaseDN is in scope.
//
// An error leaves everything as it was. A group that was there and is gone is no error: nobody is in it any more.
func (s *Server) SyncNow(ctx context.Context) error {
	s.syncing.Lock()
	defer s.syncing.Unlock()
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	s.mu.Lock()
	last := s.synced
	s.mu.Unlock()

	next := synced{at: time.Now(), people: map[string]*person{}, byName: map[string]*person{}, byUPN: map[string]*person{}, groups: map[string]string{}}
	if next.lockout, err = readLockout(conn, s.cfg.BaseDN); err != nil {
		return err
	}
	entries, err := search(conn, s.cfg.BaseDN, ldap.ScopeWholeSubtree, people, "objectGUID", "sAMAccountName", "userPrincipalName",
		"displayName", "givenName", "initials", "sn", "mail", "userAccountControl")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if p := s.person(e); p != nil {
			next.people[p.id] = p
			add(next.byName, p.username, p)
			add(next.byUPN, p.upn, p)
		}
	}
	if len(next.people) == 0 {
		return fmt.Errorf("%w: nobody is found below %s; may the service account read it?", ErrBase, s.cfg.BaseDN)
	}
	assigned := 0
	for _, name := range s.cfg.Application.AssignedGroups {
		g, err := findGroup(conn, s.cfg.BaseDN, name, last.groups[name])
		if errors.Is(err, ErrGroup) && last.groups[name] != "" {
			next.groups[name] = last.groups[name]
			s.log.Error("an assigned group is gone", "to", "identity-center", "group", name)
			continue
		}
		if err != nil {
			return err
		}
		next.groups[name] = guid(g)
		members, err := search(conn, s.cfg.BaseDN, ldap.ScopeWholeSubtree, inChain(g), "objectGUID")
		if err != nil {
			return err
		}
		for _, m := range members {
			if p := next.people[guid(m)]; p != nil && !p.assigned {
				p.assigned = true
				assigned++
			}
		}
	}
	if err := s.readGroups(conn, next.people); err != nil {
		return err
	}
	s.mu.Lock()
	s.synced = next
	maps.DeleteFunc(s.misses, func(_ string, m *misses) bool {
		return next.lockout.duration > 0 && next.at.Sub(m.last) >= max(next.lockout.duration, next.lockout.window)
	})
	s.mu.Unlock()
	if len(next.people) != len(last.people) || assigned != last.assigned() {
		s.log.Info("synced", "to", "identity-center", "people", len(next.people), "assigned", assigned, "took", time.Since(next.at))
	}
	return nil
}

// readGroups finds the groups that people are in, nested ones too, if an attribute mapping asks for them: a search for
// each group of the directory.
func (s *Server) readGroups(conn *ldap.Conn, everybody map[string]*person) error {
	if !slices.ContainsFunc(s.cfg.Application.Mappings, func(m Mapping) bool { return m.Value == userGroups }) {
		return nil
	}
	groups, err := search(conn, s.cfg.BaseDN, ldap.ScopeWholeSubtree, "(objectClass=group)", "objectSid")
	if err != nil {
		return err
	}
	for _, g := range groups {
		members, err := search(conn, s.cfg.BaseDN, ldap.ScopeWholeSubtree, inChain(g), "objectGUID")
		if err != nil {
			return err
		}
		for _, m := range members {
			if p := everybody[guid(m)]; p != nil {
				p.groups = append(p.groups, s.cfg.Domain+"//"+sidText(g.GetRawAttributeValue("objectSid")))
			}
		}
	}
	return nil
}

// inChain is the filter for the people in a group. AD's rule "in chain" (1.2.840.113556.1.4.1941) follows groups within
// groups; Identity Center's sync flattens them to the same effect. Who has the group as primary group is not in it by
// either.
func inChain(group *ldap.Entry) string {
	return "(&" + people + "(memberOf:1.2.840.113556.1.4.1941:=" + ldap.EscapeFilter(group.DN) + "))"
}

// people is the filter for accounts of persons.
const people = "(&(objectCategory=person)(objectClass=user))"

func guid(e *ldap.Entry) string { return fmt.Sprintf("%x", e.GetRawAttributeValue("objectGUID")) }

// add keeps a name that means one person; one that means two means nobody.
func add(names map[string]*person, name string, p *person) {
	name = strings.ToLower(name)
	if _, taken := names[name]; taken {
		p = nil
	}
	names[name] = p
}

func (s *synced) assigned() (n int) {
	for _, p := range s.people {
		if p.assigned {
			n++
		}
	}
	return n
}

// person reads an account. One without a UPN is left out, as Identity Center leaves it out: it would have no user name.
func (s *Server) person(e *ldap.Entry) *person {
	uac, err := strconv.Atoi(e.GetAttributeValue("userAccountControl"))
	p := &person{
		id: guid(e), username: e.GetAttributeValue("sAMAccountName"), upn: e.GetAttributeValue("userPrincipalName"),
		name: e.GetAttributeValue("displayName"), given: e.GetAttributeValue("givenName"), middle: e.GetAttributeValue("initials"), family: e.GetAttributeValue("sn"),
		email:    e.GetAttributeValue(cmp.Or(s.cfg.EmailAttribute, "userPrincipalName")),
		disabled: uac&2 != 0, // ACCOUNTDISABLE
	}
	if err != nil || len(p.id) != 32 || p.username == "" || p.upn == "" {
		return nil
	}
	return p
}

// readLockout reads the domain's policy from its head. Fine-grained policies are not looked at.
func readLockout(conn *ldap.Conn, base string) (lockout, error) {
	head := "DC=" + strings.ReplaceAll(dnsName(base), ".", ",DC=")
	found, err := search(conn, head, ldap.ScopeBaseObject, "(objectClass=*)", "lockoutThreshold", "lockOutObservationWindow", "lockoutDuration")
	if err != nil || len(found) != 1 {
		return lockout{}, err
	}
	n := func(attribute string) int64 {
		v, _ := strconv.ParseInt(found[0].GetAttributeValue(attribute), 10, 64) // absent is 0
		return v
	}
	// Negative units of 100 ns; the smallest number there is means "until unlocked" (MS-ADTS 3.1.1.4.5.17).
	span := func(v int64) time.Duration {
		if v < -int64(1<<63-1)/100 {
			return 0
		}
		return time.Duration(-v * 100)
	}
	return lockout{int(n("lockoutThreshold")), span(n("lockOutObservationWindow")), span(n("lockoutDuration"))}, nil
}

// lookup finds who is meant by what people type (alice, CORP\alice, alice@corp.example), and the name without a domain
// that is this one.
func (s *Server) lookup(typed string) (*person, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.synced.byUPN[strings.ToLower(typed)]; p != nil {
		return p, p.username
	}
	name := typed
	if domain, user, ok := strings.Cut(typed, `\`); ok && (strings.EqualFold(domain, s.cfg.NetBIOSName) || strings.EqualFold(domain, s.cfg.Domain)) {
		name = user
	} else if user, domain, ok := strings.Cut(typed, "@"); ok && strings.EqualFold(domain, s.cfg.Domain) {
		name = user // every account has this UPN beside the one that it was given (MS-ADTS 5.1.1.1.1)
	}
	return s.synced.byName[strings.ToLower(name)], name
}

// known is who the last sync found by that id, disabled or not.
func (s *Server) known(id string) *person {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.synced.people[id]
}

// current is who the last sync knows by that id. A person who is gone or disabled is nil.
func (s *Server) current(id string) *person {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.synced.people[id]; p != nil && (!p.disabled || s.cfg.Unconfirmed.SessionsOutlive) {
		return p
	}
	return nil
}
