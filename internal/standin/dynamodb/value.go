package dynamodb

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The type descriptors of AttributeValue, "DynamoDB low-level API: Data type descriptors", Developer Guide.
const (
	tS, tN, tB, tSS, tNS, tBS, tM, tL, tNull, tBool = "S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL"
)

// item is a whole row, or a key.
type item map[string]value

// value is one attribute value. Which field holds it depends on the type: text for S, N and B (numbers in plain
// decimal, binary as raw bytes), set for the three sets, m, l and yes for the rest. Values are never changed once made.
type value struct {
	typ  string
	text string
	set  []string
	m    item
	l    []value
	yes  bool
}

func number(n int) value { return value{typ: tN, text: strconv.Itoa(n)} }

// UnmarshalJSON reads {"S": "…"} and its like. Its error is always an *apiError, so that the caller answers with
// DynamoDB's own words.
func (v *value) UnmarshalJSON(raw []byte) error {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(raw, &parts); err != nil {
		return serialization("an AttributeValue must be an object with one data type, such as {\"S\": \"text\"}")
	}
	if len(parts) == 0 {
		return validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
	}
	if len(parts) > 1 {
		return validation("Supplied AttributeValue has more than one datatypes set, must contain exactly one of the supported datatypes")
	}
	for typ, body := range parts {
		*v = value{typ: typ}
		if bytes.Equal(body, []byte("null")) {
			return validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
		}
		if err := v.read(typ, body); err != nil {
			if e, ok := err.(*apiError); ok { // deeper values report their own
				return e
			}
			return serialization("the value of data type " + typ + " has the wrong JSON type")
		}
	}
	return nil
}

func (v *value) read(typ string, body json.RawMessage) (err error) {
	switch typ {
	case tS:
		return json.Unmarshal(body, &v.text)
	case tN, tB:
		if err := json.Unmarshal(body, &v.text); err != nil {
			return err
		}
		v.text, err = scalar(typ, v.text)
		return err
	case tSS, tNS, tBS:
		var members []string
		if err := json.Unmarshal(body, &members); err != nil {
			return err
		}
		for _, m := range members {
			if m, err = scalar(typ[:1], m); err != nil {
				return err
			}
			if slices.Contains(v.set, m) {
				return validation("One or more parameter values were invalid: Input collection [" + strings.Join(members, ", ") + "] contains duplicates.")
			}
			v.set = append(v.set, m)
		}
		if len(v.set) == 0 {
			return validation("One or more parameter values were invalid: a set may not be empty")
		}
		return nil
	case tM:
		return json.Unmarshal(body, &v.m)
	case tL:
		return json.Unmarshal(body, &v.l)
	case tNull:
		if err := json.Unmarshal(body, &v.yes); err != nil {
			return err
		}
		if !v.yes {
			return validation("One or more parameter values were invalid: Null attribute value types must have the value of true")
		}
		return nil
	case tBool:
		return json.Unmarshal(body, &v.yes)
	}
	return validation("Supplied AttributeValue is empty, must contain exactly one of the supported datatypes")
}

// scalar turns the text of a number or of Base64 into the form that values hold and compare.
func scalar(typ, text string) (string, error) {
	switch typ {
	case tN:
		return decimal(text)
	case tB:
		b, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return "", serialization("a value of data type B must be Base64")
		}
		return string(b), nil
	}
	return text, nil
}

// MarshalJSON writes what UnmarshalJSON reads.
func (v value) MarshalJSON() ([]byte, error) {
	var content any
	switch v.typ {
	case tS, tN:
		content = v.text
	case tB:
		content = []byte(v.text) // encoding/json writes Base64
	case tSS, tNS:
		content = v.set
	case tBS:
		members := make([][]byte, len(v.set))
		for i, m := range v.set {
			members[i] = []byte(m)
		}
		content = members
	case tM:
		content = v.m
		if v.m == nil {
			content = item{}
		}
	case tL:
		content = v.l
		if v.l == nil {
			content = []value{}
		}
	default:
		content = v.yes
	}
	return json.Marshal(map[string]any{v.typ: content})
}

var numeral = regexp.MustCompile(`^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,9}))?$`)

// decimal brings a number into the one form that equal numbers share: plain digits, no exponent, no needless zero.
// Limits: 38 significant digits, magnitude from 1E-130 to 9.99E+125 ("Data types: Number", Developer Guide).
func decimal(text string) (string, error) {
	m := numeral.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil || m[2] == "" && m[3] == "" {
		return "", validation("The parameter cannot be converted to a numeric value: " + text)
	}
	exponent, _ := strconv.Atoi(m[4]) // nothing, or at most nine digits
	digits := m[2] + m[3]
	point := len(m[2]) + exponent // where the decimal point stands, counted from the first digit
	whole := strings.TrimLeft(digits, "0")
	point -= len(digits) - len(whole)
	whole = strings.TrimRight(whole, "0")
	switch {
	case whole == "":
		return "0", nil
	case len(whole) > 38:
		return "", validation("Attempting to store more than 38 significant digits in a Number")
	case point > 126:
		return "", validation("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case point < -129:
		return "", validation("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	case point <= 0:
		whole = "0." + strings.Repeat("0", -point) + whole
	case point >= len(whole):
		whole += strings.Repeat("0", point-len(whole))
	default:
		whole = whole[:point] + "." + whole[point:]
	}
	if m[1] == "-" {
		whole = "-" + whole
	}
	return whole, nil
}

// compare orders two values of one of the types that have an order: S and B by bytes, N by magnitude.
func compare(a, b value) int {
	if a.typ == tN {
		x, _ := new(big.Rat).SetString(a.text) // decimal made it, so it parses
		y, _ := new(big.Rat).SetString(b.text)
		return x.Cmp(y)
	}
	return cmp.Compare(a.text, b.text)
}

func ordered(typ string) bool { return typ == tS || typ == tN || typ == tB }

func equal(a, b value) bool {
	if a.typ != b.typ || a.text != b.text || a.yes != b.yes || len(a.set) != len(b.set) || len(a.m) != len(b.m) {
		return false
	}
	for _, member := range a.set { // without duplicates, so the same length and all of a in b is the same set
		if !slices.Contains(b.set, member) {
			return false
		}
	}
	for name, v := range a.m {
		if w, ok := b.m[name]; !ok || !equal(v, w) {
			return false
		}
	}
	return slices.EqualFunc(a.l, b.l, equal)
}

// bytes is the size of an item as the 400 KB limit counts it ("DynamoDB item sizes and formats", Developer Guide).
func (it item) bytes() int {
	n := 0
	for name, v := range it {
		n += len(name) + v.bytes()
	}
	return n
}

func (v value) bytes() int {
	switch v.typ {
	case tN:
		return numberBytes(v.text)
	case tSS, tBS, tNS:
		n := 0
		for _, m := range v.set {
			if v.typ == tNS {
				n += numberBytes(m)
			} else {
				n += len(m)
			}
		}
		return n
	case tM:
		return 3 + len(v.m) + v.m.bytes()
	case tL:
		n := 3
		for _, e := range v.l {
			n += 1 + e.bytes()
		}
		return n
	case tNull, tBool:
		return 1
	}
	return len(v.text)
}

// numberBytes is about one byte for two significant digits, and one more.
func numberBytes(text string) int {
	digits := strings.Trim(strings.ReplaceAll(strings.TrimPrefix(text, "-"), ".", ""), "0")
	n := (len(digits)+1)/2 + 1
	if strings.HasPrefix(text, "-") {
		n++
	}
	return n
}

// depth is how many levels of maps and lists are in v; DynamoDB takes 32.
func (v value) depth() int {
	deepest := 0
	for _, e := range v.m {
		deepest = max(deepest, e.depth())
	}
	for _, e := range v.l {
		deepest = max(deepest, e.depth())
	}
	if v.typ == tM || v.typ == tL {
		deepest++
	}
	return deepest
}

// size is what the function size() of expressions says; false for the types that have none.
func (v value) size() (value, bool) {
	switch v.typ {
	case tS:
		return number(utf8.RuneCountInString(v.text)), true
	case tB:
		return number(len(v.text)), true
	case tSS, tNS, tBS:
		return number(len(v.set)), true
	case tM:
		return number(len(v.m)), true
	case tL:
		return number(len(v.l)), true
	}
	return value{}, false
}

// String is how DynamoDB shows a value within an error message.
func (v value) String() string {
	raw, err := json.Marshal(v)
	if err != nil {
		return "AttributeValue"
	}
	return fmt.Sprintf("AttributeValue: %s", strings.ReplaceAll(string(raw), `"`, ""))
}
