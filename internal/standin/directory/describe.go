package directory

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// How much of a request's parts is shown, in octets. Together with what has a length of its own, a description stays
// below one kilobyte.
const (
	filterShown = 300
	listShown   = 200 // attributes, controls
	nameShown   = 150
)

var operations = map[ber.Tag]string{
	bindRequest: "bind", unbindRequest: "unbind", searchRequest: "search", modifyRequest: "modify", addRequest: "add", deleteRequest: "delete",
	renameRequest: "rename", compareRequest: "compare", abandonRequest: "abandon", extendedRequest: "extended",
}

// describe says what a request asks, for the operator: the operation, and a line for each part. A password is none of
// the parts, and what cannot be read is left out: the answer says what was wrong with it.
func describe(req *request) (what string, lines []string) {
	what, known := operations[req.op.Tag]
	if !known {
		return "unknown request", nil
	}
	line := func(name, value string, shown int) { lines = append(lines, name+": "+clip(value, shown)) }
	entry := func(p *ber.Packet) {
		if dn, ok := octetString(p); ok {
			line("entry", readable(dn), nameShown)
		}
	}
	op := req.op
	switch op.Tag {
	case bindRequest:
		if name, ok := octetString(child(op, 1)); ok {
			line("name", cmp.Or(readable(name), "none"), nameShown)
		}
		switch auth := child(op, 2); {
		case auth == nil || auth.ClassType != ber.ClassContext:
		case auth.Tag == 0:
			line("method", "simple", nameShown)
		case auth.Tag == 3:
			mechanism, _ := octetString(child(auth, 0))
			line("method", "SASL "+readable(mechanism), nameShown)
		}
	case searchRequest:
		if base, ok := octetString(child(op, 0)); ok {
			line("base", cmp.Or(readable(base), "the root"), nameShown)
		}
		if scope, ok := number(child(op, 1), ber.TagEnumerated); ok && scope >= 0 && scope <= 2 {
			line("scope", []string{"base", "one level", "subtree"}[scope], nameShown)
		}
		if f := child(op, 6); f != nil {
			line("filter", filterText(f, 0), filterShown)
		}
		if list := child(op, 7); list != nil {
			var names []string
			for _, p := range list.Children {
				if name, ok := octetString(p); ok {
					names = append(names, readable(name))
				}
			}
			if len(names) == 0 {
				names = []string{"all"}
			}
			line("attributes", strings.Join(names, ", "), listShown)
		}
		if size, ok := number(child(op, 3), ber.TagInteger); ok && size > 0 {
			line("size limit", strconv.FormatInt(size, 10), nameShown)
		}
		if size, cookie, paged, bad := paging(req.controls); paged && bad == nil {
			which := "the first"
			if cookie != "" {
				which = "a later one"
			}
			line("page", fmt.Sprintf("%s, of %d entries", which, size), nameShown)
		}
	case deleteRequest:
		if op.TagType == ber.TypePrimitive {
			line("entry", readable(op.Data.String()), nameShown)
		}
	case modifyRequest, addRequest, renameRequest, compareRequest:
		entry(child(op, 0))
	case extendedRequest:
		if oid := child(op, 0); oid != nil && oid.ClassType == ber.ClassContext && oid.Tag == 0 && oid.TagType == ber.TypePrimitive {
			line("request", readable(oid.Data.String()), nameShown)
		}
	}
	var controls []string
	for _, c := range req.controls {
		text := readable(c.oid)
		if c.critical {
			text += " (critical)"
		}
		controls = append(controls, text)
	}
	if len(controls) > 0 {
		line("controls", strings.Join(controls, ", "), listShown)
	}
	return what, lines
}

// filterText writes a filter as a person would (RFC 4515); a part that is no filter becomes (?).
func filterText(p *ber.Packet, depth int) string {
	const unreadable = "(?)"
	if p.ClassType != ber.ClassContext || depth > filterDepth {
		return unreadable
	}
	attribute, ok := octetString(child(p, 0))
	attribute = readable(attribute)
	switch p.Tag {
	case 0, 1, 2:
		var b strings.Builder
		b.WriteString("(" + []string{"&", "|", "!"}[p.Tag])
		for _, c := range p.Children {
			b.WriteString(filterText(c, depth+1))
		}
		return b.String() + ")"
	case 3, 5, 6, 8:
		if value, ok2 := octetString(child(p, 1)); ok && ok2 {
			return "(" + attribute + map[ber.Tag]string{3: "=", 5: ">=", 6: "<=", 8: "~="}[p.Tag] + escapeValue(value) + ")"
		}
	case 4:
		list := child(p, 1)
		if !ok || list == nil {
			return unreadable
		}
		var initial, final string
		middle := "*"
		for _, c := range list.Children {
			if c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive {
				return unreadable
			}
			switch value := escapeValue(c.Data.String()); c.Tag {
			case 0:
				initial = value
			case 1:
				middle += value + "*"
			case 2:
				final = value
			}
		}
		return "(" + attribute + "=" + initial + middle + final + ")"
	case 7:
		if p.TagType == ber.TypePrimitive {
			return "(" + readable(p.Data.String()) + "=*)"
		}
	case 9:
		part := map[ber.Tag]string{}
		for _, c := range p.Children {
			if c.ClassType != ber.ClassContext || c.TagType != ber.TypePrimitive {
				return unreadable
			}
			part[c.Tag] = c.Data.String()
		}
		text := "(" + readable(part[2])
		if part[4] != "" && part[4] != "\x00" {
			text += ":dn"
		}
		if part[1] != "" {
			text += ":" + readable(part[1])
		}
		return text + ":=" + escapeValue(part[3]) + ")"
	}
	return unreadable
}

// escapeValue writes an assertion value (RFC 4515 section 3); octets that are no text are escaped one and all.
func escapeValue(value string) string {
	text := isText(value)
	var b strings.Builder
	for _, c := range []byte(value) {
		if !text || strings.IndexByte(`*()\`, c) >= 0 {
			fmt.Fprintf(&b, `\%02x`, c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// readable keeps what a client sent on one line.
func readable(s string) string {
	if isText(s) {
		return s
	}
	return strconv.Quote(s)
}

func isText(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

func clip(s string, shown int) string {
	if len(s) <= shown {
		return s
	}
	return strings.ToValidUTF8(s[:shown], "") + "…"
}
