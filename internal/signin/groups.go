package signin

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxAttribute is the most characters that a user pool keeps of an attribute ("Specifying identity provider attribute
	// mappings", Amazon Cognito Developer Guide). Whether it refuses or cuts what is longer, nobody who reads it can tell.
	maxAttribute   = 2048
	maxGroupsClaim = 64 << 10 // bytes
	maxGroups      = 1000
	maxGroup       = 256 // bytes
)

// domainSID is a group as IAM Identity Center sends an Active Directory's: the domain, two slashes, the SID (MS-DTYP
// 2.4.2.1). The slashes are form-encoded where a user pool encodes what it puts into a list.
// It is large, and many configurations read no groups.
var domainSID = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[^/]{0,255}(?://|%2[Ff]%2[Ff])(S-1-\d{1,14}(?:-\d{1,10}){1,15})$`)
})

// ParseGroups reads the claim that holds a person's groups, in every form in which issuers send one:
//
//	["Engineering", "VPN Users"]        a JSON array, from OpenID Connect issuers
//	"[\"Engineering\", \"VPN Users\"]"  a string that holds one; from Amazon Cognito, by one report
//	"[Engineering, VPN-Users]"          a list without quotes in it; from Cognito, by others
//	"Engineering,VPN-Users"             the same without brackets
//	"Engineering"                       one group
//
// A SID with its domain, "corp.example//S-1-5-21-…", is given as the SID alone; all else is given byte by byte. No claim,
// null and an empty list are no groups.
//
// cut says that the list is not whole or cannot be read, and then there is none: a string of 2,048 characters and more, a
// bracket that does not close, a quote within a list without quotes, what is no list of text, control characters, more
// than a thousand groups, one of more than 256 bytes. So is a list without quotes in which a name has "+" or "%": Cognito's
// documents say that values are form-encoded, no report shows it, and "VPN+Users" may be two different groups. In such a
// list a name with a comma cannot be told from two names either, so rules about groups whose names anybody may choose want
// an issuer that sends a JSON array, or identifiers.
func ParseGroups(claim json.RawMessage) (groups []string, cut bool) {
	claim = bytes.TrimSpace(claim)
	if len(claim) == 0 || string(claim) == "null" {
		return nil, false
	}
	if len(claim) > maxGroupsClaim {
		return nil, true
	}
	if claim[0] != '"' {
		return jsonGroups(claim)
	}
	var text string
	if json.Unmarshal(claim, &text) != nil || len(utf16.Encode([]rune(text))) >= maxAttribute { // characters as Java counts them
		return nil, true
	}
	if strings.ContainsFunc(text, unicode.IsControl) {
		return nil, true
	}
	text = strings.Trim(text, " ")
	list, bracket := strings.CutPrefix(text, "[")
	if bracket {
		if groups, cut = jsonGroups([]byte(text)); !cut {
			return groups, false
		}
		var closed bool
		if list, closed = strings.CutSuffix(list, "]"); !closed {
			return nil, true
		}
		list = strings.Trim(list, " ")
	}
	if list == "" {
		return nil, false
	}
	if strings.ContainsAny(list, `[]"`) {
		return nil, true
	}
	var all []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.Trim(name, " ")
		if strings.ContainsAny(name, "+%") && !domainSID().MatchString(name) {
			return nil, true
		}
		all = append(all, name)
	}
	return whole(all)
}

func jsonGroups(raw []byte) ([]string, bool) {
	var all []string // null within it is empty text, which is no group
	if json.Unmarshal(raw, &all) != nil {
		return nil, true
	}
	return whole(all)
}

// whole gives the groups, each once, or none of them if one is not to be read.
func whole(all []string) (groups []string, cut bool) {
	if len(all) > maxGroups {
		return nil, true
	}
	seen := map[string]bool{}
	for _, g := range all {
		// encoding/json writes U+FFFD for what is no text, so two names that differ there would be one.
		if g == "" || len(g) > maxGroup || strings.ContainsFunc(g, func(r rune) bool { return unicode.IsControl(r) || r == utf8.RuneError }) {
			return nil, true
		}
		if m := domainSID().FindStringSubmatch(g); m != nil {
			g = m[1]
		}
		if !seen[g] {
			seen[g] = true
			groups = append(groups, g)
		}
	}
	return groups, false
}
