package dynamodb

import (
	_ "embed"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// reserved is "Reserved words in DynamoDB", Developer Guide: names that an expression may use only through a #name.
//
//go:embed reserved.txt
var reserved string

const expressionBytes = 4096 // the longest expression

// The kinds of node. Those before nCompare are operands, the others are conditions.
const (
	nPath = iota
	nValue
	nSize
	nCompare  // op is one of = <> < <= > >=
	nBetween  // args: operand, lower, upper
	nIn       // args: operand, candidates…
	nFunction // op is the function's name
	nAnd      // args: left, right
	nOr       // args: left, right
	nNot      // args: condition
)

type node struct {
	kind   int
	op     string
	args   []*node
	path   []step
	value  value
	parens bool // written in parentheses of its own
}

func (n *node) isOperand() bool { return n.kind < nCompare }

// step is one element of a document path: a name, or an index into a list.
type step struct {
	name  string
	index int // -1 for a name
}

// scope is the placeholders of one request, and which of them its expressions used.
type scope struct {
	names  map[string]string
	values map[string]value
	used   map[string]bool
}

// newScope checks the placeholder maps as DynamoDB does before it reads any expression. expressions says whether the
// request has one at all.
func newScope(names map[string]string, values map[string]value, expressions bool) (*scope, error) {
	if !expressions && names != nil {
		return nil, validation("ExpressionAttributeNames can only be specified when using expressions")
	}
	if !expressions && values != nil {
		return nil, validation("ExpressionAttributeValues can only be specified when using expressions")
	}
	if names != nil && len(names) == 0 {
		return nil, validation("ExpressionAttributeNames must not be empty")
	}
	if values != nil && len(values) == 0 {
		return nil, validation("ExpressionAttributeValues must not be empty")
	}
	for _, key := range slices.Sorted(maps.Keys(names)) {
		if !placeholder(key, '#') {
			return nil, validation("ExpressionAttributeNames contains invalid key: Syntax error; key: \"" + key + "\"")
		}
	}
	for _, key := range slices.Sorted(maps.Keys(values)) {
		if !placeholder(key, ':') {
			return nil, validation("ExpressionAttributeValues contains invalid key: Syntax error; key: \"" + key + "\"")
		}
	}
	return &scope{names, values, map[string]bool{}}, nil
}

func placeholder(key string, sign byte) bool {
	return len(key) > 1 && key[0] == sign && strings.Trim(key[1:], wordBytes) == ""
}

// unused refuses placeholders that no expression of the request mentioned.
func (s *scope) unused() error {
	left := func(keys []string) string {
		return strings.Join(slices.DeleteFunc(keys, func(k string) bool { return s.used[k] }), ", ")
	}
	if keys := left(slices.Sorted(maps.Keys(s.names))); keys != "" {
		return validation("Value provided in ExpressionAttributeNames unused in expressions: keys: {" + keys + "}")
	}
	if keys := left(slices.Sorted(maps.Keys(s.values))); keys != "" {
		return validation("Value provided in ExpressionAttributeValues unused in expressions: keys: {" + keys + "}")
	}
	return nil
}

// parse reads an expression by the grammar of "Condition and filter expressions, operators, and functions",
// Developer Guide. what is the parameter's name, for the messages. Precedence, tightest first: comparison, BETWEEN and
// IN; NOT; AND; OR.
func (s *scope) parse(what, text string) (*node, error) {
	if strings.TrimSpace(text) == "" {
		return nil, validation("Invalid " + what + ": The expression can not be empty;")
	}
	if len(text) > expressionBytes {
		return nil, validation(fmt.Sprintf("Invalid %s: Expression size has exceeded the maximum allowed size; expression size: %d", what, len(text)))
	}
	p := &parser{scope: s, tokens: tokens(text)}
	n, err := p.or()
	if err == nil && (p.peek() != end || n.isOperand()) {
		err = p.syntax()
	}
	if err != nil {
		return nil, validation("Invalid " + what + ": " + err.Error())
	}
	return n, nil
}

// fault is what is wrong with an expression, in DynamoDB's words; parse puts the parameter's name before it.
func fault(format string, args ...any) error { return faultText(fmt.Sprintf(format, args...)) }

type faultText string

func (f faultText) Error() string { return string(f) }

const (
	letters   = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	wordBytes = letters + "0123456789"
	end       = "<EOF>"
)

// tokens cuts the text into words, placeholders, operators and single signs. A byte that belongs nowhere is a token
// of its own, which the parser then refuses by name.
func tokens(text string) []string {
	var out []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		n := 1
		switch {
		case strings.ContainsRune(wordBytes+"#:", rune(text[0])):
			n += len(text[1:]) - len(strings.TrimLeft(text[1:], wordBytes))
		case strings.HasPrefix(text, "<>"), strings.HasPrefix(text, "<="), strings.HasPrefix(text, ">="):
			n = 2
		}
		out = append(out, text[:n])
		text = text[n:]
	}
	return append(out, end)
}

type parser struct {
	*scope
	tokens []string
	at     int
}

func (p *parser) peek() string { return p.tokens[p.at] }

func (p *parser) next() string {
	t := p.tokens[p.at]
	if t != end {
		p.at++
	}
	return t
}

// take consumes the next token if it is t, which for a keyword may be written in any case.
func (p *parser) take(t string) bool {
	if !strings.EqualFold(p.peek(), t) {
		return false
	}
	p.at++
	return true
}

func (p *parser) syntax() error {
	near := p.tokens[max(0, p.at-1):min(len(p.tokens), p.at+2)]
	if near[len(near)-1] == end {
		near = near[:len(near)-1]
	}
	return fault("Syntax error; token: %q, near: %q", p.peek(), strings.Join(near, " "))
}

func (p *parser) or() (*node, error)  { return p.chain("OR", nOr, p.and) }
func (p *parser) and() (*node, error) { return p.chain("AND", nAnd, p.not) }

// chain reads part, or parts joined by a keyword, from left to right.
func (p *parser) chain(keyword string, kind int, part func() (*node, error)) (*node, error) {
	left, err := part()
	for err == nil && strings.EqualFold(p.peek(), keyword) {
		if left.isOperand() {
			return nil, p.syntax()
		}
		p.next()
		var right *node
		if right, err = part(); err != nil {
			break
		}
		if right.isOperand() {
			return nil, p.syntax()
		}
		left = &node{kind: kind, op: keyword, args: []*node{left, right}}
	}
	return left, err
}

func (p *parser) not() (*node, error) {
	if !p.take("NOT") {
		return p.comparison()
	}
	n, err := p.not()
	if err != nil {
		return nil, err
	}
	if n.isOperand() {
		return nil, p.syntax()
	}
	return &node{kind: nNot, op: "NOT", args: []*node{n}}, nil
}

func (p *parser) comparison() (*node, error) {
	left, err := p.primary()
	if err != nil {
		return nil, err
	}
	op := strings.ToUpper(p.peek())
	if !slices.Contains([]string{"=", "<>", "<", "<=", ">", ">=", "BETWEEN", "IN"}, op) {
		return left, nil
	}
	if !left.isOperand() {
		return nil, p.misplaced(left)
	}
	p.next()
	switch op {
	case "BETWEEN":
		low, err := p.operand()
		if err != nil {
			return nil, err
		}
		if !p.take("AND") {
			return nil, p.syntax()
		}
		high, err := p.operand()
		if err != nil {
			return nil, err
		}
		return check(&node{kind: nBetween, op: op, args: []*node{left, low, high}})
	case "IN":
		if p.peek() != "(" {
			return nil, p.syntax()
		}
		rest, err := p.list()
		if err != nil {
			return nil, err
		}
		return check(&node{kind: nIn, op: op, args: append([]*node{left}, rest...)})
	}
	right, err := p.operand()
	if err != nil {
		return nil, err
	}
	return check(&node{kind: nCompare, op: op, args: []*node{left, right}})
}

func (p *parser) operand() (*node, error) {
	n, err := p.primary()
	if err != nil {
		return nil, err
	}
	if !n.isOperand() {
		return nil, p.misplaced(n)
	}
	return n, nil
}

// misplaced is a condition where an operand belongs.
func (p *parser) misplaced(n *node) error {
	if n.kind == nFunction {
		return fault("The function is not allowed to be used this way in an expression; function: %s", n.op)
	}
	return p.syntax()
}

// list reads "(operand, …)".
func (p *parser) list() ([]*node, error) {
	p.next() // the parenthesis, which the caller saw
	var out []*node
	for {
		n, err := p.operand()
		if err != nil {
			return nil, err
		}
		out = append(out, n)
		if p.take(")") {
			return out, nil
		}
		if !p.take(",") {
			return nil, p.syntax()
		}
	}
}

// primary reads a parenthesis, a placeholder value, a function call or a document path.
func (p *parser) primary() (*node, error) {
	t := p.peek()
	switch {
	case t == "(":
		p.next()
		n, err := p.or()
		if err != nil {
			return nil, err
		}
		if !p.take(")") {
			return nil, p.syntax()
		}
		if n.parens {
			return nil, fault("The expression has redundant parentheses;")
		}
		inside := *n
		inside.parens = true
		return &inside, nil
	case t[0] == ':' && len(t) > 1:
		p.next()
		v, ok := p.values[t]
		if !ok {
			return nil, fault("An expression attribute value used in expression is not defined; attribute value: %s", t)
		}
		p.used[t] = true
		return &node{kind: nValue, value: v}, nil
	case p.at+1 < len(p.tokens) && p.tokens[p.at+1] == "(" && strings.ContainsRune(letters, rune(t[0])) && !keyword(t):
		return p.call()
	}
	return p.documentPath()
}

func keyword(t string) bool {
	return slices.Contains([]string{"AND", "OR", "NOT", "IN", "BETWEEN"}, strings.ToUpper(t))
}

func (p *parser) call() (*node, error) {
	name := p.next() // names of functions are case-sensitive, unlike keywords
	want, ok := map[string]int{"attribute_exists": 1, "attribute_not_exists": 1, "attribute_type": 2, "begins_with": 2, "contains": 2, "size": 1}[name]
	if !ok {
		return nil, fault("Invalid function name; function: %s", name)
	}
	args, err := p.list()
	if err != nil {
		return nil, err
	}
	if len(args) != want {
		return nil, fault("Incorrect number of operands for operator or function; operator or function: %s, number of operands: %d", name, len(args))
	}
	kind := nFunction
	if name == "size" {
		kind = nSize
	}
	return check(&node{kind: kind, op: name, args: args})
}

func (p *parser) documentPath() (*node, error) {
	n := &node{kind: nPath}
	for {
		name, err := p.pathName()
		if err != nil {
			return nil, err
		}
		n.path = append(n.path, step{name, -1})
		for p.take("[") {
			i, err := strconv.Atoi(p.peek())
			if err != nil || i < 0 {
				return nil, p.syntax()
			}
			p.next()
			if !p.take("]") {
				return nil, p.syntax()
			}
			n.path = append(n.path, step{"", i})
		}
		if !p.take(".") {
			return n, nil
		}
	}
}

func (p *parser) pathName() (string, error) {
	t := p.peek()
	switch {
	case t[0] == '#' && len(t) > 1:
		p.next()
		name, ok := p.names[t]
		if !ok {
			return "", fault("An expression attribute name used in the document path is not defined; attribute name: %s", t)
		}
		p.used[t] = true
		return name, nil
	case !strings.ContainsRune(letters, rune(t[0])) || keyword(t):
		return "", p.syntax()
	case slices.Contains(strings.Fields(reserved), strings.ToUpper(t)):
		return "", fault("Attribute name is a reserved keyword; reserved keyword: %s", t)
	}
	return p.next(), nil
}

// check refuses what DynamoDB can see to be wrong without an item: operand types, order of bounds, an operand compared
// with itself.
func check(n *node) (*node, error) {
	wrong := func(v value) error {
		return fault("Incorrect operand type for operator or function; operator or function: %s, operand type: %s", n.op, v.typ)
	}
	first := n.args[0]
	switch {
	case n.kind == nCompare && first.kind == nPath && n.args[1].kind == nPath && slices.Equal(first.path, n.args[1].path):
		return nil, fault("The first operand must be distinct from the remaining operands for this operator or function; operator: %s, first operand: %s", n.op, first.shown())
	case n.kind == nCompare && n.op != "=" && n.op != "<>", n.kind == nBetween:
		for _, a := range n.args {
			if a.kind == nValue && !ordered(a.value.typ) {
				return nil, wrong(a.value)
			}
		}
		if low, high := n.args[len(n.args)-2], n.args[len(n.args)-1]; n.kind == nBetween && low.kind == nValue && high.kind == nValue {
			if low.value.typ != high.value.typ {
				return nil, fault("The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: %v, upper bound operand: %v", low.value, high.value)
			}
			if compare(low.value, high.value) > 0 {
				return nil, fault("The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: %v, upper bound operand: %v", low.value, high.value)
			}
		}
	case n.kind == nIn && len(n.args) > 101:
		return nil, fault("Too many operands for operator or function; operator or function: IN, number of operands: %d", len(n.args)-1)
	case n.op == "attribute_exists", n.op == "attribute_not_exists":
		if first.kind != nPath {
			return nil, fault("Operator or function requires a document path; operator or function: %s", n.op)
		}
	case n.op == "attribute_type":
		if t := n.args[1]; t.kind != nValue || t.value.typ != tS {
			return nil, wrong(t.value)
		}
		if t := n.args[1].value.text; !slices.Contains([]string{tS, tN, tB, tSS, tNS, tBS, tM, tL, tNull, tBool}, t) {
			return nil, fault("Invalid attribute type name found; type: %s, valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}", t)
		}
	case n.op == "begins_with":
		for _, a := range n.args {
			if a.kind == nSize {
				return nil, wrong(value{typ: tN})
			}
			if a.kind == nValue && a.value.typ != tS && a.value.typ != tB {
				return nil, wrong(a.value)
			}
		}
	case n.kind == nSize && first.kind == nValue:
		if _, ok := first.value.size(); !ok {
			return nil, wrong(first.value)
		}
	}
	return n, nil
}

func (n *node) shown() string {
	var b strings.Builder
	for i, s := range n.path {
		switch {
		case s.index >= 0:
			fmt.Fprintf(&b, "[%d]", s.index)
		case i > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return "[" + b.String() + "]"
}

// operand evaluates an operand against an item, which is nil when there is none; false when the path leads nowhere or
// size() has no answer.
func (n *node) operand(it item) (value, bool) {
	switch n.kind {
	case nValue:
		return n.value, true
	case nSize:
		v, ok := n.args[0].operand(it)
		if !ok {
			return value{}, false
		}
		return v.size()
	}
	v := value{typ: tM, m: it}
	for _, s := range n.path {
		ok := s.index >= 0 && s.index < len(v.l)
		if ok {
			v = v.l[s.index]
		} else if s.index < 0 {
			v, ok = v.m[s.name]
		}
		if !ok {
			return value{}, false
		}
	}
	return v, true
}

// holds evaluates a condition. A comparison with a missing attribute is false, but for <>, which is true: DynamoDB
// takes a missing attribute as different from everything.
func (n *node) holds(it item) bool {
	switch n.kind {
	case nAnd:
		return n.args[0].holds(it) && n.args[1].holds(it)
	case nOr:
		return n.args[0].holds(it) || n.args[1].holds(it)
	case nNot:
		return !n.args[0].holds(it)
	}
	a, ok := n.args[0].operand(it)
	switch n.kind {
	case nCompare:
		b, also := n.args[1].operand(it)
		return compares(n.op, a, b, ok && also)
	case nBetween:
		low, hasLow := n.args[1].operand(it)
		high, hasHigh := n.args[2].operand(it)
		return compares(">=", a, low, ok && hasLow) && compares("<=", a, high, ok && hasHigh)
	case nIn:
		return slices.ContainsFunc(n.args[1:], func(c *node) bool {
			b, also := c.operand(it)
			return compares("=", a, b, ok && also)
		})
	}
	switch n.op {
	case "attribute_exists":
		return ok
	case "attribute_not_exists":
		return !ok
	case "attribute_type":
		return ok && a.typ == n.args[1].value.text
	}
	b, also := n.args[1].operand(it)
	if !ok || !also {
		return false
	}
	if n.op == "begins_with" {
		return a.typ == b.typ && (a.typ == tS || a.typ == tB) && strings.HasPrefix(a.text, b.text)
	}
	switch a.typ { // contains
	case tS, tB:
		return a.typ == b.typ && strings.Contains(a.text, b.text)
	case tSS, tNS, tBS:
		return a.typ[:1] == b.typ && slices.Contains(a.set, b.text)
	case tL:
		return slices.ContainsFunc(a.l, func(e value) bool { return equal(e, b) })
	}
	return false
}

func compares(op string, a, b value, both bool) bool {
	switch op {
	case "=":
		return both && equal(a, b)
	case "<>":
		return !both || !equal(a, b)
	}
	if !both || a.typ != b.typ || !ordered(a.typ) {
		return false
	}
	c := compare(a, b)
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}
