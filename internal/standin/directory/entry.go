package directory

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

type syntax int

// How values of an attribute are compared.
const (
	text syntax = iota // case is ignored
	name               // a distinguished name
	integer
	octets
	generalizedTime
)

// schema is every attribute type known here. An unknown one makes a filter item Undefined (RFC 4511 section 4.5.1.7).
func schema(attribute string) (syntax, bool) {
	switch strings.ToLower(attribute) {
	case "objectclass", "cn", "name", "ou", "dc", "displayname", "givenname", "initials", "sn", "userworkstations", "samaccountname", "userprincipalname", "mail", "description", "netbiosname":
		return text, true
	case "distinguishedname", "member", "memberof", "objectcategory", "ncname":
		return name, true
	case "useraccountcontrol", "accountexpires", "pwdlastset", "lockouttime", "badpwdcount", "primarygroupid", "samaccounttype", "grouptype",
		"lockoutthreshold", "lockoutduration", "lockoutobservationwindow":
		return integer, true
	case "objectguid", "objectsid", "logonhours":
		return octets, true
	case "whencreated":
		return generalizedTime, true
	}
	return 0, false
}

type attribute struct {
	name   string
	values []string
}

type entry struct {
	dn, key string
	attrs   []attribute
}

func (e *entry) get(name string) []string {
	for _, a := range e.attrs {
		if strings.EqualFold(a.name, name) {
			return a.values
		}
	}
	return nil
}

// view is the directory as entries, at one moment, parents before children.
type view struct {
	base    string
	config  string // key of the configuration's naming context, which no search of the domain reaches
	entries []*entry
	byKey   map[string]*entry
}

func (v *view) add(dn string, pairs ...any) {
	e := &entry{dn: dn}
	e.key, _ = dnKey(dn)
	for i := 0; i < len(pairs); i += 2 {
		a := attribute{name: pairs[i].(string)}
		switch x := pairs[i+1].(type) {
		case []string:
			a.values = x
		case string:
			if x != "" {
				a.values = []string{x}
			}
		case int64:
			a.values = []string{strconv.FormatInt(x, 10)}
		}
		if len(a.values) > 0 {
			e.attrs = append(e.attrs, a)
		}
	}
	e.attrs = append(e.attrs, attribute{"distinguishedName", []string{dn}})
	v.entries = append(v.entries, e)
	v.byKey[e.key] = e
}

// Bits of userAccountControl (MS-ADTS 2.2.16).
const (
	uacDisabled           = 0x2
	uacNormal             = 0x200
	uacPasswordNotExpires = 0x10000
)

// domainUsers is the well-known RID of the group that everybody has as primary group (MS-DTYP 2.4.2.4).
const domainUsers = 513

// view builds the entries from the state; a demo's directory is small enough to do so at each search.
func (s *Server) view() *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := s.BaseDN()
	v := &view{base: base, byKey: map[string]*entry{}}
	category := func(class string) string { return "CN=" + class + ",CN=Schema,CN=Configuration," + base }
	label, _, _ := strings.Cut(s.state.Domain, ".")
	v.add(base, "objectClass", []string{"top", "domain", "domainDNS"}, "dc", label, "name", label,
		"objectCategory", category("Domain-DNS"), "objectSid", s.sid(0),
		"lockoutThreshold", int64(lockoutThreshold), "lockoutDuration", interval(lockoutDuration), "lockOutObservationWindow", interval(lockoutWindow))
	v.add("CN=Users,"+base, "objectClass", []string{"top", "container"}, "cn", "Users", "name", "Users", "objectCategory", category("Container"))
	for _, ou := range []string{"People", "Groups"} {
		v.add("OU="+ou+","+base, "objectClass", []string{"top", "organizationalUnit"}, "ou", ou, "name", ou, "objectCategory", category("Organizational-Unit"))
	}

	config := "CN=Configuration," + base
	v.config, _ = dnKey(config)
	v.add(config, "objectClass", []string{"top", "configuration"}, "cn", "Configuration", "name", "Configuration", "objectCategory", category("Configuration"))
	v.add("CN=Partitions,"+config, "objectClass", []string{"top", "crossRefContainer"}, "cn", "Partitions", "name", "Partitions", "objectCategory", category("Cross-Ref-Container"))
	v.add("CN="+s.netBIOS()+",CN=Partitions,"+config, "objectClass", []string{"top", "crossRef"}, "cn", s.netBIOS(), "name", s.netBIOS(),
		"objectCategory", category("Cross-Ref"), "nCName", base, "nETBIOSName", s.netBIOS())

	groupDN := func(g *group) string { return "CN=" + escapeDN(g.Name) + ",OU=Groups," + base }
	dns := map[string]string{} // lower-case sAMAccountName to DN
	for i := range s.state.Accounts {
		dns[strings.ToLower(s.state.Accounts[i].Name)] = s.dn(&s.state.Accounts[i])
	}
	for i := range s.state.Groups {
		dns[strings.ToLower(s.state.Groups[i].Name)] = groupDN(&s.state.Groups[i])
	}
	memberOf := map[string][]string{}
	members := map[string][]string{}
	for i := range s.state.Groups {
		g := &s.state.Groups[i]
		for _, m := range g.Members {
			m = strings.ToLower(m)
			memberOf[m] = append(memberOf[m], groupDN(g))
			members[g.Name] = append(members[g.Name], dns[m])
		}
	}

	for i := range s.state.Accounts {
		a := &s.state.Accounts[i]
		uac, expires := int64(uacNormal), int64(1<<63-1) // AD's "never"
		if a.Disabled {
			uac |= uacDisabled
		}
		if !a.PasswordExpires {
			uac |= uacPasswordNotExpires
		}
		if !a.Expires.IsZero() {
			expires = fileTime(a.Expires)
		}
		v.add(s.dn(a), "objectClass", []string{"top", "person", "organizationalPerson", "user"}, "cn", a.commonName(), "name", a.commonName(),
			"displayName", a.commonName(), "givenName", a.GivenName, "initials", a.Initials, "sn", a.Surname, "mail", a.Email,
			"sAMAccountName", a.Name, "userPrincipalName", s.upn(a), "memberOf", memberOf[strings.ToLower(a.Name)],
			"objectGUID", string(a.GUID), "objectSid", s.sid(a.RID), "objectCategory", category("Person"),
			"userAccountControl", uac, "accountExpires", expires, "pwdLastSet", fileTime(a.PasswordSet), "lockoutTime", fileTime(a.LockedAt),
			"logonHours", string(a.Hours), "userWorkstations", a.Workstations, "badPwdCount", int64(a.BadCount), "primaryGroupID", int64(domainUsers), "sAMAccountType", int64(0x30000000), "whenCreated", zulu(a.Created))
	}
	for i := range s.state.Groups {
		g := &s.state.Groups[i]
		v.add(groupDN(g), "objectClass", []string{"top", "group"}, "cn", g.Name, "name", g.Name, "sAMAccountName", g.Name,
			"member", members[g.Name], "memberOf", memberOf[strings.ToLower(g.Name)],
			"objectGUID", string(g.GUID), "objectSid", s.sid(g.RID), "objectCategory", category("Group"),
			"groupType", int64(-0x7ffffffe), "sAMAccountType", int64(0x10000000), "whenCreated", zulu(g.Created)) // a global security group
	}
	return v
}

// rootDSE describes the server; it is the one entry that a stranger may read (MS-ADTS 3.1.1.3.2).
func (s *Server) rootDSE() *entry {
	base := s.BaseDN()
	return &entry{attrs: []attribute{
		{"objectClass", []string{"top"}},
		{"currentTime", []string{zulu(time.Now())}},
		{"namingContexts", []string{base, "CN=Configuration," + base}},
		{"defaultNamingContext", []string{base}},
		{"configurationNamingContext", []string{"CN=Configuration," + base}},
		{"rootDomainNamingContext", []string{base}},
		{"supportedLDAPVersion", []string{"3"}},
		{"supportedControl", []string{pagedResults}},
		{"supportedExtension", []string{whoAmI}},
		{"supportedCapabilities", []string{"1.2.840.113556.1.4.800"}}, // LDAP_CAP_ACTIVE_DIRECTORY_OID
		{"dnsHostName", []string{"dc1." + s.state.Domain}},
		{"domainFunctionality", []string{"7"}},
	}}
}

// reaches reports whether a chain of the attribute's values leads from e to the entry with that key: what the
// in-chain matching rule asks (MS-ADTS 3.1.1.3.4.4.3). Groups may contain each other in a circle.
func (v *view) reaches(e *entry, attr, key string) bool {
	seen := map[string]bool{}
	for queue := []*entry{e}; len(queue) > 0; queue = queue[1:] {
		for _, dn := range queue[0].get(attr) {
			k, _ := dnKey(dn)
			if k == key {
				return true
			}
			if next := v.byKey[k]; next != nil && !seen[k] {
				seen[k] = true
				queue = append(queue, next)
			}
		}
	}
	return false
}

// withTokenGroups adds the SIDs of all groups that an entry is in, nested ones and the primary one too. AD makes this
// attribute for each search, and for searches of scope base only (MS-ADTS 3.1.1.4.5.19).
func (s *Server) withTokenGroups(v *view, e *entry) *entry {
	var sids []string
	if len(e.get("primaryGroupID")) > 0 {
		sids = append(sids, s.sid(domainUsers))
	}
	for _, g := range v.entries {
		if len(g.get("groupType")) > 0 && v.reaches(e, "memberOf", g.key) {
			sids = append(sids, g.get("objectSid")...)
		}
	}
	if len(sids) == 0 {
		return e
	}
	return &entry{dn: e.dn, attrs: append(slices.Clone(e.attrs), attribute{tokenGroups, sids})}
}

// sid is the binary form of S-1-5-21-a-b-c[-rid] (MS-DTYP 2.4.2.2); rid 0 is the domain itself.
func (s *Server) sid(rid uint32) string {
	subs := append([]uint32{21}, s.state.SID[:]...)
	if rid != 0 {
		subs = append(subs, rid)
	}
	b := []byte{1, byte(len(subs)), 0, 0, 0, 0, 0, 5}
	for _, x := range subs {
		b = binary.LittleEndian.AppendUint32(b, x)
	}
	return string(b)
}

// sidText is the readable form of a binary SID as sid makes it; AD takes it as a filter's value too.
func sidText(b string) string {
	out := fmt.Sprintf("S-1-%d", b[7])
	for i := 8; i+4 <= len(b); i += 4 {
		out += fmt.Sprintf("-%d", binary.LittleEndian.Uint32([]byte(b[i:])))
	}
	return out
}

// fileTime is Windows' FILETIME: units of 100 ns since 1601. The zero time is 0, "never happened".
func fileTime(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return (t.Unix()+11_644_473_600)*10_000_000 + int64(t.Nanosecond()/100)
}

// interval is how AD writes a length of time: negative, in units of 100 ns.
func interval(d time.Duration) int64 { return -int64(d / 100) }

func zulu(t time.Time) string { return t.UTC().Format("20060102150405") + ".0Z" }

// escapeDN writes a value into a DN (RFC 4514 section 2.4).
func escapeDN(value string) string {
	var b strings.Builder
	for i, c := range []byte(value) {
		switch {
		case strings.IndexByte(`"+,;<>\=`, c) >= 0, c == '#' && i == 0, c == ' ' && (i == 0 || i == len(value)-1):
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\%02X`, c)
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

var errDN = errors.New("not a distinguished name")

// dnKey brings a DN (RFC 4514) to one form for comparing: unescaped, lower case, parts apart by NUL. A part is a
// child of another when its key ends in NUL and the other's key. The empty DN has the empty key.
func dnKey(dn string) (string, error) {
	if strings.TrimSpace(dn) == "" {
		return "", nil
	}
	var parts []string
	var attr string
	var value []byte
	inValue, kept := false, 0 // kept: length up to which trailing spaces were escaped and belong to the value
	end := func() bool {
		for len(value) > kept && value[len(value)-1] == ' ' {
			value = value[:len(value)-1]
		}
		a := strings.ToLower(strings.TrimSpace(attr))
		parts = append(parts, a+"="+strings.ToLower(string(value)))
		valid := inValue && a != "" && len(value) > 0
		attr, value, inValue, kept = "", nil, false, 0
		return valid
	}
	for i := 0; i < len(dn); i++ {
		c := dn[i]
		switch {
		case c == '\\' && inValue && i+1 < len(dn):
			if raw, err := hex.DecodeString(dn[i+1 : min(i+3, len(dn))]); err == nil && len(raw) == 1 && raw[0] != 0 {
				value = append(value, raw...)
				i += 2
			} else if strings.IndexByte(`"+,;<>\=# `, dn[i+1]) >= 0 {
				value = append(value, dn[i+1])
				i++
			} else {
				return "", errDN
			}
			kept = len(value)
		case c == ',' || c == ';':
			if !end() {
				return "", errDN
			}
		case c == 0 || c == '\\' || inValue && (c == '"' || c == '<' || c == '>'):
			return "", errDN
		case inValue:
			if c != ' ' || len(value) > 0 {
				value = append(value, c)
			}
		case c == '=':
			inValue = true
		default:
			attr += string(c)
		}
	}
	if !end() {
		return "", errDN
	}
	return strings.Join(parts, "\x00"), nil
}

// within selects the entries below base by scope (RFC 4511 section 4.5.1.2): 0 base, 1 one level, 2 subtree.
func (v *view) within(base string, scope int64) []*entry {
	return slices.DeleteFunc(slices.Clone(v.entries), func(e *entry) bool {
		if strings.HasSuffix(e.key, v.config) && !strings.HasSuffix(base, v.config) {
			return true
		}
		rest, below := strings.CutSuffix(e.key, "\x00"+base)
		switch scope {
		case 0:
			return e.key != base
		case 1:
			return !below || strings.Contains(rest, "\x00")
		}
		return !below && e.key != base
	})
}
