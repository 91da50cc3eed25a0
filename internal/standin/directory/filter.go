package directory

import (
	"encoding/hex"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// truth is a filter's value for an entry (RFC 4511 section 4.5.1.7). With these numbers, And is the minimum, Or the
// maximum and Not the negative.
type truth int

const (
	no        truth = -1
	undefined truth = 0
	yes       truth = 1
)

func is(b bool) truth {
	if b {
		return yes
	}
	return no
}

type filter func(*entry) truth

// Matching rules that AD adds to LDAP (MS-ADTS 3.1.1.3.4.4).
const (
	ruleBitAnd  = "1.2.840.113556.1.4.803"
	ruleBitOr   = "1.2.840.113556.1.4.804"
	ruleInChain = "1.2.840.113556.1.4.1941"
)

// filterDepth is how deep And, Or and Not may be nested; nobody means more.
const filterDepth = 32

// compile turns a filter as it came over the wire into a function. The result is nil when it can be used.
func (v *view) compile(p *ber.Packet, depth int) (filter, *result) {
	if p.ClassType != ber.ClassContext || depth > filterDepth {
		return nil, malformed("filter")
	}
	switch p.Tag {
	case 0, 1: // and, or
		parts := make([]filter, len(p.Children))
		for i, child := range p.Children {
			f, bad := v.compile(child, depth+1)
			if bad != nil {
				return nil, bad
			}
			parts[i] = f
		}
		if p.Tag == 0 {
			return func(e *entry) truth {
				t := yes // an empty And is true, an empty Or false (RFC 4526)
				for _, f := range parts {
					t = min(t, f(e))
				}
				return t
			}, nil
		}
		return func(e *entry) truth {
			t := no
			for _, f := range parts {
				t = max(t, f(e))
			}
			return t
		}, nil
	case 2: // not
		if len(p.Children) != 1 {
			return nil, malformed("filter")
		}
		f, bad := v.compile(p.Children[0], depth+1)
		if bad != nil {
			return nil, bad
		}
		return func(e *entry) truth { return -f(e) }, nil
	case 3, 8, 5, 6: // equality; approximate, which AD treats as equality; greater or equal; less or equal
		attr, ok := octetString(child(p, 0))
		want, ok2 := octetString(child(p, 1))
		if !ok || !ok2 || len(p.Children) != 2 {
			return nil, malformed("filter")
		}
		if p.Tag == 5 || p.Tag == 6 {
			return ordering(attr, want, p.Tag == 5), nil
		}
		return equality(attr, want), nil
	case 4:
		return substrings(p)
	case 7: // present
		if p.TagType != ber.TypePrimitive {
			return nil, malformed("filter")
		}
		return anyValue(p.Data.String(), func(string, syntax) truth { return yes }), nil
	case 9:
		return v.extensible(p)
	}
	return nil, malformed("filter")
}

// anyValue is true when f is true for one of the attribute's values, false when the entry has none, and Undefined
// for an attribute nobody knows.
func anyValue(attr string, f func(value string, s syntax) truth) filter {
	s, known := schema(attr)
	return func(e *entry) truth {
		if !known {
			return undefined
		}
		t := no
		for _, v := range e.get(attr) {
			t = max(t, f(v, s))
		}
		return t
	}
}

func equality(attr, want string) filter {
	return anyValue(attr, func(value string, s syntax) truth {
		switch s {
		case name:
			if strings.EqualFold(attr, "objectCategory") && !strings.Contains(want, "=") {
				return is(strings.EqualFold(want, shortCategory(value))) // AD takes (objectCategory=person)
			}
			a, _ := dnKey(value)
			b, err := dnKey(want)
			if err != nil {
				return undefined
			}
			return is(a == b)
		case integer:
			b, err := strconv.ParseInt(want, 10, 64)
			if err != nil {
				return undefined
			}
			return is(value == strconv.FormatInt(b, 10))
		case octets:
			return is(value == want || strings.EqualFold(attr, "objectSid") && strings.EqualFold(sidText(value), want))
		case generalizedTime:
			return is(value == want)
		}
		return is(strings.EqualFold(value, want))
	})
}

// shortCategory is the class's name in the DN of its schema entry.
func shortCategory(dn string) string {
	first, _, _ := strings.Cut(dn, ",")
	return strings.TrimPrefix(first, "CN=")
}

func ordering(attr, want string, atLeast bool) filter {
	return anyValue(attr, func(value string, s syntax) truth {
		var c int
		switch s {
		case integer:
			b, err := strconv.ParseInt(want, 10, 64)
			if err != nil {
				return undefined
			}
			a, _ := strconv.ParseInt(value, 10, 64)
			c = int(is(a > b)) - int(is(a < b))
		case text, generalizedTime:
			c = strings.Compare(strings.ToLower(value), strings.ToLower(want))
		default:
			return undefined // names and octet strings have no order
		}
		return is(c == 0 || c > 0 == atLeast)
	})
}

func substrings(p *ber.Packet) (filter, *result) {
	attr, ok := octetString(child(p, 0))
	list := child(p, 1)
	if !ok || list == nil || len(list.Children) == 0 {
		return nil, malformed("substring filter")
	}
	var initial, final string
	var middle []string
	for i, c := range list.Children {
		part := strings.ToLower(c.Data.String())
		switch {
		case c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive || part == "":
			return nil, malformed("substring filter")
		case c.Tag == 0 && i == 0:
			initial = part
		case c.Tag == 1:
			middle = append(middle, part)
		case c.Tag == 2 && i == len(list.Children)-1:
			final = part
		default:
			return nil, malformed("substring filter")
		}
	}
	return anyValue(attr, func(value string, s syntax) truth {
		if s != text {
			return undefined // AD has no substring rule for names and numbers
		}
		rest, ok := strings.CutPrefix(strings.ToLower(value), initial)
		for _, part := range middle {
			if ok {
				_, rest, ok = strings.Cut(rest, part)
			}
		}
		return is(ok && strings.HasSuffix(rest, final))
	}), nil
}

// extensible is (attr:rule:=value). Of the rules AD adds, the bit rules and the chain are spoken.
func (v *view) extensible(p *ber.Packet) (filter, *result) {
	part := map[ber.Tag]string{}
	for _, c := range p.Children {
		if c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive || c.Tag < 1 || c.Tag > 4 {
			return nil, malformed("extensible filter")
		}
		part[c.Tag] = c.Data.String()
	}
	rule, attr, want := part[1], part[2], part[3]
	if dnAttributes := part[4]; attr == "" || dnAttributes != "" && dnAttributes != "\x00" {
		return nil, &result{code: inappropriateMatching, text: "an extensible match needs an attribute, and dnAttributes is not supported"}
	}
	s, known := schema(attr)
	switch {
	case rule == "":
		return equality(attr, want), nil
	case rule == ruleInChain && (strings.EqualFold(attr, "member") || strings.EqualFold(attr, "memberOf")):
		key, err := dnKey(want)
		if err != nil {
			return func(*entry) truth { return undefined }, nil
		}
		return func(e *entry) truth { return is(v.reaches(e, attr, key)) }, nil
	case (rule == ruleBitAnd || rule == ruleBitOr) && known && s == integer:
		mask, err := strconv.ParseInt(want, 10, 64)
		if err != nil {
			return func(*entry) truth { return undefined }, nil
		}
		return anyValue(attr, func(value string, _ syntax) truth {
			n, _ := strconv.ParseInt(value, 10, 64)
			if rule == ruleBitAnd {
				return is(n&mask == mask)
			}
			return is(n&mask != 0)
		}), nil
	}
	return nil, &result{code: inappropriateMatching, text: "matching rule " + printable(rule) + " is not supported for this attribute"}
}

// printable keeps what a client sent from breaking a diagnostic message.
func printable(s string) string {
	for _, c := range []byte(s) {
		if c < ' ' || c > '~' {
			return "0x" + hex.EncodeToString([]byte(s))
		}
	}
	return s
}
