package identitycenter

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// subjectFormats are the formats that a subject may have, by the name in the console (SAML Core section 8.3).
var subjectFormats = map[string]string{
	"unspecified":  "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified",
	"emailAddress": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress",
	"persistent":   "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
}

// variables are the user attributes that a mapping may name ("Supported IAM Identity Center attributes"), each from the
// Active Directory attribute that AWS maps it to by default.
var variables = map[string]func(*person) string{
	"${user:subject}":           func(p *person) string { return p.upn },
	"${user:email}":             func(p *person) string { return p.email },
	"${user:AD_GUID}":           func(p *person) string { return guidText(p.id) },
	"${user:name}":              func(p *person) string { return p.name },
	"${user:givenName}":         func(p *person) string { return p.given },
	"${user:middleName}":        func(p *person) string { return p.middle },
	"${user:familyName}":        func(p *person) string { return p.family },
	"${user:preferredUsername}": func(p *person) string { return p.name },
}

// userGroups is not among the documented variables, and works all the same: with Active Directory it gives a value for
// each group, the domain's name and the group's SID ("corp.example//S-1-5-21-…"), as an assertion quoted in
// apache/cloudstack issue 12212 has them. A subject cannot have several values.
const userGroups = "${user:groups}"

// values is what an attribute has for a person, which may be nothing.
func (p *person) values(value string) []string {
	if value == userGroups {
		return p.groups
	}
	if v := p.mapped(value); v != "" {
		return []string{v}
	}
	return nil
}

// mapped is what a mapping's value is for a person.
func (p *person) mapped(value string) string {
	if f, ok := variables[value]; ok {
		return f(p)
	}
	return value
}

// checkMappings refuses what the console would not take. Subject comes first, and nothing twice.
func checkMappings(mappings []Mapping) error {
	seen := map[string]bool{}
	for i, m := range mappings {
		known := slices.Contains([]string{"basic", "unspecified", "uri"}, m.Format)
		if i == 0 {
			_, known = subjectFormats[m.Format]
		}
		_, variable := variables[m.Value]
		variable = variable || i > 0 && m.Value == userGroups
		switch {
		case (i == 0) != (m.Attribute == "Subject"):
			return fmt.Errorf("identity center: attribute mappings begin with Subject, and it is there once (row %d is %q)", i+1, m.Attribute)
		case m.Attribute == "" || seen[m.Attribute]:
			return fmt.Errorf("identity center: attribute mapping %d has no name, or one that is used before", i+1)
		case m.Value == "" || strings.Contains(m.Value, "${") && !variable:
			return fmt.Errorf("identity center: attribute mapping %s: %q is neither a supported ${user:…} nor a fixed text", m.Attribute, m.Value)
		case !known:
			return fmt.Errorf("identity center: attribute mapping %s: unknown format %q", m.Attribute, m.Format)
		}
		seen[m.Attribute] = true
	}
	return nil
}

// sidText writes an objectSid as people know it, S-1-5-21-… (MS-DTYP 2.4.2.1).
func sidText(b []byte) string {
	if len(b) < 8 || len(b) != 8+4*int(b[1]) {
		return ""
	}
	text := fmt.Sprintf("S-%d-%d", b[0], binary.BigEndian.Uint64(append([]byte{0, 0}, b[2:8]...)))
	for i := 8; i < len(b); i += 4 {
		text += fmt.Sprintf("-%d", binary.LittleEndian.Uint32(b[i:]))
	}
	return text
}

// guidText writes an objectGUID as Windows does: the first three fields are little-endian (MS-DTYP 2.3.4.3).
func guidText(id string) string {
	b, err := hex.DecodeString(id)
	if err != nil || len(b) != 16 {
		return ""
	}
	slices.Reverse(b[0:4])
	slices.Reverse(b[4:6])
	slices.Reverse(b[6:8])
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:])
}
