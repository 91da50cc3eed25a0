package identitycenter

import (
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
// Active Directory attribute that AWS maps it to by default. ${user:groups} is not among them: what it gives for an
// Active Directory source is not documented.
var variables = map[string]func(*person) string{
	"${user:subject}":           func(p *person) string { return p.upn },
	"${user:email}":             func(p *person) string { return p.email },
	"${user:AD_GUID}":           func(p *person) string { return guidText(p.id) },
	"${user:name}":              func(p *person) string { return p.name },
	"${user:givenName}":         func(p *person) string { return p.given },
	"${user:familyName}":        func(p *person) string { return p.family },
	"${user:preferredUsername}": func(p *person) string { return p.name },
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
