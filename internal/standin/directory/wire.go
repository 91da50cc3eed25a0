package directory

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Limits of a domain controller's default query policy, where it has one (MS-ADTS 3.1.1.3.4.6).
const (
	maxInt        = 1<<31 - 1 // RFC 4511 section 4.1.1
	maxMessage    = 256 << 10 // octets in one request
	maxPageSize   = 1000      // entries in one answer
	maxResultSets = 10        // paged searches under way on one connection
	firstMessage  = 2 * time.Minute
	idle          = 15 * time.Minute
	writeTime     = 30 * time.Second
)

// Protocol operations (RFC 4511 section 4.2 and following), by application tag.
const (
	bindRequest, bindResponse         ber.Tag = 0, 1
	unbindRequest                     ber.Tag = 2
	searchRequest, searchEntry        ber.Tag = 3, 4
	searchDone                        ber.Tag = 5
	modifyRequest, addRequest         ber.Tag = 6, 8
	deleteRequest, renameRequest      ber.Tag = 10, 12
	compareRequest                    ber.Tag = 14
	abandonRequest                    ber.Tag = 16
	extendedRequest, extendedResponse ber.Tag = 23, 24
)

// Result codes (RFC 4511 appendix A).
const (
	success                      = 0
	operationsError              = 1
	protocolError                = 2
	sizeLimitExceeded            = 4
	authMethodNotSupported       = 7
	strongerAuthRequired         = 8
	adminLimitExceeded           = 11
	unavailableCriticalExtension = 12
	inappropriateMatching        = 18
	noSuchObject                 = 32
	invalidDNSyntax              = 34
	invalidCredentials           = 49
	unwillingToPerform           = 53
)

const (
	pagedResults       = "1.2.840.113556.1.4.319"  // RFC 2696
	whoAmI             = "1.3.6.1.4.1.4203.1.11.3" // RFC 4532
	noticeOfDisconnect = "1.3.6.1.4.1.1466.20036"  // RFC 4511 section 4.4.1
	tokenGroups        = "tokenGroups"             // not among the attributes of any entry
)

type result struct {
	code          int64
	matched, text string
}

func malformed(what string) *result {
	return &result{code: protocolError, text: "malformed " + what}
}

type control struct {
	oid      string
	critical bool
	value    string
}

type request struct {
	id       int64
	op       *ber.Packet
	controls []control
}

// conn is one client's connection. RFC 4511 lets a server answer in any order; here it is one after the other.
type conn struct {
	s     *Server
	tls   bool
	who   *account             // nil: anonymous
	pages map[string]resultSet // paged searches under way, by cookie
}

// resultSet is what remains of a paged search.
type resultSet struct {
	asked   string // the request, which stays the same from page to page
	entries []*entry
}

// converse answers requests until the client leaves, misbehaves or is silent for too long.
func (s *Server) converse(ctx context.Context, nc net.Conn) {
	_, secure := nc.(*tls.Conn)
	c := &conn{s: s, tls: secure, pages: map[string]resultSet{}}
	r := bufio.NewReader(nc)
	wait := firstMessage
	for {
		nc.SetReadDeadline(time.Now().Add(wait))
		raw, err := readMessage(r)
		var req *request
		if err == nil {
			wait = idle
			req, err = parseMessage(raw)
		}
		nc.SetWriteDeadline(time.Now().Add(writeTime))
		if errors.Is(err, errMessage) {
			s.log.Warn("refused", "to", "directory", "why", err.Error())
			res := respond(extendedResponse, result{code: protocolError, text: err.Error()})
			res.AppendChild(contextString(10, noticeOfDisconnect))
			nc.Write(message(0, res, nil).Bytes())
			return
		}
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				s.log.Debug("connection lost", "to", "directory", "err", err)
			}
			return
		}
		if req.op.Tag == unbindRequest {
			return
		}
		for _, p := range c.answer(req) {
			if _, err := nc.Write(p.Bytes()); err != nil {
				return
			}
		}
	}
}

// errMessage is a request that is not an LDAP message; RFC 4511 section 4.1.1 wants the connection ended.
var errMessage = errors.New("not an LDAP message")

// readMessage reads one message. It looks at the length itself, so that a stranger's four octets cannot claim memory.
func readMessage(r *bufio.Reader) (*ber.Packet, error) {
	head, err := r.Peek(2)
	if err != nil {
		return nil, err
	}
	length, size := int(head[1]), 2
	if length >= 0x80 { // long form; the indefinite one (0x80) is not LDAP (RFC 4511 section 5.1)
		size += length & 0x7f
		if head, err = r.Peek(size); size == 2 || size > 6 || err != nil {
			return nil, errors.Join(errMessage, err)
		}
		length = 0
		for _, b := range head[2:] {
			length = length<<8 | int(b)
		}
	}
	if head[0] != 0x30 || length < 0 || length > maxMessage {
		return nil, errMessage
	}
	raw := make([]byte, size+length)
	if _, err := io.ReadFull(r, raw); err != nil {
		return nil, err
	}
	p, err := ber.DecodePacketErr(raw)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errMessage, err)
	}
	return p, nil
}

func parseMessage(p *ber.Packet) (*request, error) {
	id, ok := number(child(p, 0), ber.TagInteger)
	op := child(p, 1)
	if !ok || id < 1 || id > maxInt || op == nil || op.ClassType != ber.ClassApplication || len(p.Children) > 3 {
		return nil, errMessage
	}
	req := &request{id: id, op: op}
	if list := child(p, 2); list != nil {
		if list.ClassType != ber.ClassContext || list.Tag != 0 {
			return nil, errMessage
		}
		for _, c := range list.Children {
			oid, ok := octetString(child(c, 0))
			if !ok {
				return nil, errMessage
			}
			ctl, rest := control{oid: oid}, c.Children[1:]
			if critical, ok := boolean(child(c, 1)); ok {
				ctl.critical, rest = critical, rest[1:]
			}
			if len(rest) > 0 {
				if ctl.value, ok = octetString(rest[0]); !ok || len(rest) > 1 {
					return nil, errMessage
				}
			}
			req.controls = append(req.controls, ctl)
		}
	}
	return req, nil
}

// answer is what a request leads to: entries, if it is a search, and the response that ends it.
type answer struct {
	result  result
	entries []*ber.Packet
	more    bool        // entries remain for later pages
	done    *ber.Packet // nil when there is nothing to send
	control *ber.Packet // of done
}

func end(tag ber.Tag, r result) answer { return answer{result: r, done: respond(tag, r)} }

// answer performs one request and returns the messages to send. It writes the operator's line.
func (c *conn) answer(req *request) []*ber.Packet {
	started := time.Now()
	what, lines := describe(req)
	a := c.perform(req)
	if a.done == nil {
		return nil
	}
	who := "anonymous"
	if c.who != nil {
		who = c.who.Name
	}
	if req.op.Tag == searchRequest && (a.result.code == success || a.result.code == sizeLimitExceeded) {
		found := fmt.Sprintf("entries: %d", len(a.entries))
		if a.more {
			found += ", and more to come"
		}
		lines = append(lines, found)
	}
	detail := strings.Join(lines, "\n")
	c.s.log.Info("hop", "to", "directory", "what", what, "status", a.result.code, "took", time.Since(started), "as", who, "detail", detail)
	if a.result.code != success && a.result.code != sizeLimitExceeded {
		c.s.log.Warn("refused", "to", "directory", "what", what, "why", what+": "+strings.TrimSpace(a.result.text), "detail", detail)
	}
	var out []*ber.Packet
	for _, e := range a.entries {
		out = append(out, message(req.id, e, nil))
	}
	return append(out, message(req.id, a.done, a.control))
}

func (c *conn) perform(req *request) answer {
	for _, ctl := range req.controls {
		if ctl.critical && (ctl.oid != pagedResults || req.op.Tag != searchRequest) && req.op.Tag != abandonRequest {
			return end(responseTo(req.op.Tag),
				result{code: unavailableCriticalExtension, text: "00002040: SvcErr: DSID-031401F4, problem 5010 (UNAVAIL_EXTENSION), data 0\n"})
		}
	}
	switch req.op.Tag {
	case bindRequest:
		return end(bindResponse, c.bind(req.op))
	case searchRequest:
		a, bad := c.search(req)
		if bad != nil {
			return end(searchDone, *bad)
		}
		return a
	case extendedRequest:
		return c.extended(req.op)
	case abandonRequest:
		return answer{} // every request before it has been answered already
	case modifyRequest, addRequest, deleteRequest, renameRequest, compareRequest:
		return end(responseTo(req.op.Tag),
			result{code: unwillingToPerform, text: "00002035: LdapErr: DSID-0C090B3E, comment: Operation not allowed through this interface, data 0, v4563"})
	}
	return end(extendedResponse, result{code: protocolError, text: "unknown request"})
}

// responseTo is the application tag of the response to a request: the next one, but for search.
func responseTo(op ber.Tag) ber.Tag {
	if op == searchRequest {
		return searchDone
	}
	return op + 1
}

func (c *conn) bind(op *ber.Packet) result {
	// A failed bind leaves the connection anonymous, and no bind leaves anything of what went before it (RFC 4511 section 4.2.1).
	c.who = nil
	clear(c.pages)
	version, ok := number(child(op, 0), ber.TagInteger)
	name, ok2 := octetString(child(op, 1))
	auth := child(op, 2)
	switch {
	case !ok || !ok2 || auth == nil || auth.ClassType != ber.ClassContext || len(op.Children) != 3:
		return *malformed("bind request")
	case version != 3:
		return result{code: protocolError, text: "only LDAP version 3 is spoken"}
	case auth.Tag != 0 || auth.TagType != ber.TypePrimitive:
		return result{code: authMethodNotSupported, text: "00002027: LdapErr: DSID-0C090568, comment: Unknown authentication method, data 0, v4563"}
	}
	password := auth.Data.String()
	if name == "" && password == "" {
		return result{} // anonymous: AD agrees, and then shows nothing but the rootDSE
	}
	if !c.tls {
		return result{code: strongerAuthRequired, text: "BindSimple: Transport encryption required."}
	}
	// A name without a password is not "anonymous" here (RFC 4513 section 5.1.2): it is a wrong password.
	who, refusal := c.s.authenticate(name, password)
	if refusal != "" {
		return result{code: invalidCredentials, text: "80090308: LdapErr: DSID-0C090439, comment: AcceptSecurityContext error, data " + refusal + ", v4563"}
	}
	c.who = who
	return result{}
}

func (c *conn) extended(op *ber.Packet) answer {
	oid := child(op, 0)
	if oid == nil || oid.ClassType != ber.ClassContext || oid.Tag != 0 {
		return end(extendedResponse, *malformed("extended request"))
	}
	if oid.Data.String() != whoAmI {
		return end(extendedResponse,
			result{code: protocolError, text: "0000203D: LdapErr: DSID-0C090E4D, comment: Unknown extended request OID, data 0, v4563"})
	}
	identity := ""
	if c.who != nil {
		identity = `u:` + c.s.netBIOS() + `\` + c.who.Name
	}
	a := end(extendedResponse, result{})
	a.done.AppendChild(contextString(11, identity))
	return a
}

func (c *conn) search(req *request) (answer, *result) {
	op := req.op
	base, ok := octetString(child(op, 0))
	scope, ok2 := number(child(op, 1), ber.TagEnumerated)
	aliases, ok3 := number(child(op, 2), ber.TagEnumerated) // there are none
	size, ok4 := number(child(op, 3), ber.TagInteger)
	seconds, ok5 := number(child(op, 4), ber.TagInteger) // no search takes one
	typesOnly, ok6 := boolean(child(op, 5))
	list := child(op, 7)
	if !ok || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || len(op.Children) != 8 || list.ClassType != ber.ClassUniversal || list.Tag != ber.TagSequence ||
		scope < 0 || scope > 2 || aliases < 0 || aliases > 3 || size < 0 || size > maxInt || seconds < 0 || seconds > maxInt {
		return answer{}, malformed("search request")
	}
	var attributes []string
	tokens := false
	for _, p := range list.Children {
		a, ok := octetString(p)
		if !ok {
			return answer{}, malformed("search request")
		}
		attributes = append(attributes, a)
		tokens = tokens || strings.EqualFold(a, tokenGroups)
	}
	baseKey, err := dnKey(base)
	if err != nil {
		return answer{}, &result{code: invalidDNSyntax, text: "0000208F: NameErr: DSID-03100231, problem 2006 (BAD_NAME), data 8350, best match of:\n\t'" + printable(base) + "'\n"}
	}
	v := c.s.view()
	f, bad := v.compile(op.Children[6], 0)
	if bad != nil {
		return answer{}, bad
	}
	pageSize, cookie, paged, bad := paging(req.controls)
	if bad != nil {
		return answer{}, bad
	}
	var found []*entry
	root := baseKey == "" && scope == 0 // the one entry for which nobody has to bind
	switch {
	case root:
		found = []*entry{c.s.rootDSE()}
	case c.who == nil:
		return answer{}, &result{code: operationsError, text: "000004DC: LdapErr: DSID-0C090A5C, comment: In order to perform this operation a successful bind must be completed on the connection., data 0, v4563"}
	case v.byKey[baseKey] == nil:
		return answer{}, v.missing(baseKey)
	case tokens && scope != 0:
		return answer{}, &result{code: operationsError, text: "00002120: SvcErr: DSID-03140594, problem 5012 (DIR_ERROR), data 0\n"}
	case cookie == "":
		found = v.within(baseKey, scope)
	}
	found = slices.DeleteFunc(found, func(e *entry) bool { return f(e) != yes })
	asked := string(op.Bytes())
	if cookie != "" {
		// The cookie stands for the rest of the result set, and is good once. All but the page's size must be as before.
		rest, known := c.pages[cookie]
		delete(c.pages, cookie)
		if !known || rest.asked != asked {
			return answer{}, &result{code: unwillingToPerform, text: "00000057: LdapErr: DSID-0C0907E4, comment: Error processing control, data 0, v4563"}
		}
		if found = rest.entries; pageSize == 0 { // the client gives the rest up
			found = nil
		}
	}

	var a answer
	next := ""
	limit := maxPageSize
	if size > 0 {
		limit = int(min(size, maxPageSize))
	}
	page := min(pageSize, maxPageSize)
	switch {
	case page > 0 && (size == 0 || page < int(size)) && len(found) > page:
		if len(c.pages) >= maxResultSets {
			return answer{}, &result{code: adminLimitExceeded, text: "too many paged searches on this connection"}
		}
		next = rand.Text()
		a.more = true
		c.pages[next], found = resultSet{asked, found[page:]}, found[:page]
	case len(found) > limit:
		found, a.result = found[:limit], result{code: sizeLimitExceeded, text: "the size limit was reached"}
	}
	for _, e := range found {
		if tokens {
			e = c.s.withTokenGroups(v, e)
		}
		a.entries = append(a.entries, encode(e, attributes, typesOnly))
	}
	a.done = respond(searchDone, a.result)
	if paged {
		value := ber.NewSequence("")
		value.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, 0, "")) // 0: total unknown
		value.AppendChild(newString(next))
		a.control = ber.NewSequence("")
		a.control.AppendChild(newString(pagedResults))
		a.control.AppendChild(newString(string(value.Bytes())))
	}
	return a, nil
}

// missing is AD's answer for a base that does not exist, with the nearest one that does.
func (v *view) missing(key string) *result {
	matched := ""
	for {
		_, parent, ok := strings.Cut(key, "\x00")
		if !ok {
			break
		}
		key = parent
		if e := v.byKey[key]; e != nil {
			matched = e.dn
			break
		}
	}
	return &result{noSuchObject, matched, "0000208D: NameErr: DSID-0310028D, problem 2001 (NO_OBJECT), data 0, best match of:\n\t'" + matched + "'\n"}
}

// paging reads the control of RFC 2696.
func paging(controls []control) (size int, cookie string, paged bool, bad *result) {
	i := slices.IndexFunc(controls, func(c control) bool { return c.oid == pagedResults })
	if i < 0 {
		return 0, "", false, nil
	}
	p, err := ber.DecodePacketErr([]byte(controls[i].value))
	if err != nil {
		return 0, "", false, malformed("paged results control")
	}
	n, ok := number(child(p, 0), ber.TagInteger)
	cookie, ok2 := octetString(child(p, 1))
	if !ok || !ok2 || len(p.Children) != 2 || n < 0 || n > maxInt {
		return 0, "", false, malformed("paged results control")
	}
	return int(n), cookie, true, nil
}

// encode is one entry with the attributes asked for (RFC 4511 section 4.5.1.8): none named, or "*", means all; "1.1"
// means none.
func encode(e *entry, wanted []string, typesOnly bool) *ber.Packet {
	all := len(wanted) == 0 || slices.Contains(wanted, "*")
	list := ber.NewSequence("")
	for _, a := range e.attrs {
		if !all && !slices.ContainsFunc(wanted, func(w string) bool { return strings.EqualFold(w, a.name) }) {
			continue
		}
		values := ber.Encode(ber.ClassUniversal, ber.TypeConstructed, ber.TagSet, nil, "")
		if !typesOnly {
			for _, v := range a.values {
				values.AppendChild(newString(v))
			}
		}
		one := ber.NewSequence("")
		one.AppendChild(newString(a.name))
		one.AppendChild(values)
		list.AppendChild(one)
	}
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, searchEntry, nil, "")
	p.AppendChild(newString(e.dn))
	p.AppendChild(list)
	return p
}

// respond makes an LDAPResult. A domain controller ends each diagnostic message with a NUL, which clients see.
func respond(tag ber.Tag, r result) *ber.Packet {
	if r.text != "" {
		r.text += "\x00"
	}
	p := ber.Encode(ber.ClassApplication, ber.TypeConstructed, tag, nil, "")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, r.code, ""))
	p.AppendChild(newString(r.matched))
	p.AppendChild(newString(r.text))
	return p
}

func message(id int64, op, control *ber.Packet) *ber.Packet {
	p := ber.NewSequence("")
	p.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagInteger, id, ""))
	p.AppendChild(op)
	if control != nil {
		list := ber.Encode(ber.ClassContext, ber.TypeConstructed, 0, nil, "")
		list.AppendChild(control)
		p.AppendChild(list)
	}
	return p
}

func newString(s string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, s, "")
}

func contextString(tag ber.Tag, s string) *ber.Packet {
	return ber.NewString(ber.ClassContext, ber.TypePrimitive, tag, s, "")
}

// The readers below take what child returns, nil included, and report whether it is what the protocol says.

func child(p *ber.Packet, i int) *ber.Packet {
	if p == nil || i >= len(p.Children) {
		return nil
	}
	return p.Children[i]
}

func isPrimitive(p *ber.Packet, tag ber.Tag) bool {
	return p != nil && p.ClassType == ber.ClassUniversal && p.TagType == ber.TypePrimitive && p.Tag == tag
}

func octetString(p *ber.Packet) (string, bool) {
	if !isPrimitive(p, ber.TagOctetString) {
		return "", false
	}
	return p.Data.String(), true
}

func number(p *ber.Packet, tag ber.Tag) (int64, bool) {
	if !isPrimitive(p, tag) {
		return 0, false
	}
	n, err := ber.ParseInt64(p.Data.Bytes())
	return n, err == nil && p.Data.Len() > 0
}

func boolean(p *ber.Packet) (value, ok bool) {
	if !isPrimitive(p, ber.TagBoolean) || p.Data.Len() != 1 {
		return false, false
	}
	return p.Data.Bytes()[0] != 0, true
}
