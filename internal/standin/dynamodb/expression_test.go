package dynamodb

import (
	"encoding/json"
	"strings"
	"testing"
)

const sample = `{
 "pk": {"S": "endpoint"}, "n": {"N": "10"}, "word": {"S": "añb"}, "octets": {"B": "AAEC"}, "yes": {"BOOL": true}, "nothing": {"NULL": true},
 "tags": {"SS": ["a", "b"]}, "nums": {"NS": ["1", "2"]},
 "doc": {"M": {"parts": {"L": [{"N": "1"}, {"M": {"deep": {"S": "here"}}}]}, "a.b": {"S": "dotted"}}}
}`

const placeholders = `{
 ":9": {"N": "9"}, ":10": {"N": "1E+1"}, ":11": {"N": "11"}, ":three": {"N": "3"}, ":two": {"N": "2"}, ":one": {"N": "1"}, ":s": {"S": "endpoint"}, ":end": {"S": "end"}, ":S": {"S": "S"}, ":X": {"S": "X"},
 ":a": {"S": "a"}, ":b": {"S": "b"}, ":ba": {"SS": ["b", "a"]}, ":here": {"S": "here"}, ":yes": {"BOOL": true}, ":raw": {"B": "AAE="}
}`

func sampleScope(t *testing.T) (*scope, item) {
	t.Helper()
	var it item
	var values map[string]value
	if err := json.Unmarshal([]byte(sample), &it); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(placeholders), &values); err != nil {
		t.Fatal(err)
	}
	s, err := newScope(map[string]string{"#n": "n", "#dotted": "a.b", "#name": "name"}, values, true)
	if err != nil {
		t.Fatal(err)
	}
	return s, it
}

func TestConditions(t *testing.T) {
	for expression, want := range map[string]bool{
		// Comparisons: numbers as numbers, never across types.
		"n = :10": true, "n > :9": true, "n < :11": true, "n <= :10": true, "n >= :11": false, "n <> :10": false, "n <> :9": true,
		"pk = :s": true, "pk > :9": false, "yes = :yes": true, "tags = :ba": true, "#n = :10": true, ":9 < n": true,
		// What is absent differs from everything and compares with nothing.
		"absent = :9": false, "absent <> :9": true, "absent < :9": false, "NOT absent = :9": true,
		// BETWEEN and IN.
		"n BETWEEN :9 AND :11": true, "n between :11 and :11": false, "n BETWEEN :9 AND :11 AND pk = :s": true,
		"n IN (:9, :10)": true, "n in (:9)": false, "absent IN (:9)": false,
		// Precedence: NOT before AND before OR; parentheses before all.
		"pk = :s OR n = :9 AND n = :11": true, "(pk = :s OR n = :9) AND n = :11": false, "NOT pk = :s OR n = :10": true,
		"NOT (pk = :s OR n = :10)": false, "NOT NOT pk = :s": true, "(pk) = (:s)": true,
		// Functions.
		"attribute_exists(pk)": true, "attribute_exists(absent)": false, "attribute_not_exists(absent)": true, "attribute_not_exists(doc.parts[1].deep)": false,
		"attribute_type(pk, :S)": true, "attribute_type(n, :S)": false, "begins_with(pk, :end)": true, "begins_with(octets, :raw)": true, "begins_with(n, :end)": false,
		"contains(pk, :end)": true, "contains(tags, :b)": true, "contains(nums, :two)": true, "contains(nums, :b)": false, "contains(doc.parts, :one)": true, "contains(absent, :b)": false,
		"size(word) = :three": true, "size(octets) = :three": true, "size(tags) = :two": true, "size(doc.parts) = :two": true, "size(n) = :two": false, "size(absent) = :two": false,
		// Document paths.
		"doc.parts[0] = :one": true, "doc.parts[1].deep = :here": true, "doc.parts[2] = :one": false, "attribute_exists(doc.#dotted)": true, "doc.parts.deep = :here": false, "pk.deep = :here": false, "attribute_exists(#name)": false,
		// Spelling: keywords in any case, spaces anywhere or nowhere.
		"n=:10AND pk=:s": false, "n=:10 aNd pk=:s": true, " attribute_exists ( pk ) ": true,
	} {
		t.Run(expression, func(t *testing.T) {
			s, it := sampleScope(t)
			n, err := s.parse("ConditionExpression", expression)
			if expression == "n=:10AND pk=:s" { // ":10AND" is one placeholder, and nobody defined it
				if err == nil || !strings.Contains(err.Error(), "attribute value: :10AND") {
					t.Errorf("got %v, want an undefined :10AND", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := n.holds(it); got != want {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestConditionOnNoItem(t *testing.T) {
	for expression, want := range map[string]bool{"attribute_not_exists(pk)": true, "attribute_exists(pk)": false, "n = :9": false, "n <> :9": true, "attribute_not_exists(pk) OR n < :9": true} {
		s, _ := sampleScope(t)
		n, err := s.parse("ConditionExpression", expression)
		if err != nil {
			t.Fatal(err)
		}
		if got := n.holds(nil); got != want {
			t.Errorf("%s where nothing is stored: got %v, want %v", expression, got, want)
		}
	}
}

func TestExpressionsThatAreRefused(t *testing.T) {
	for expression, want := range map[string]string{
		"":                                "The expression can not be empty",
		"n = :9 AND":                      `Syntax error; token: "<EOF>", near: "AND"`,
		"n = = :9":                        `Syntax error; token: "=", near: "= = :9"`,
		"n == :9":                         "Syntax error",
		"n":                               "Syntax error",
		"n = :9 pk = :s":                  "Syntax error",
		"(n = :9":                         "Syntax error",
		"n = 9":                           "Syntax error",
		"n = 'nine'":                      `token: "'"`,
		"n BETWEEN :9":                    "Syntax error",
		"n IN :9":                         "Syntax error",
		"n AND pk = :s":                   "Syntax error",
		"NOT n":                           "Syntax error",
		"doc.parts[x] = :9":               "Syntax error",
		"doc..parts = :9":                 "Syntax error",
		"# = :9":                          "Syntax error",
		"(n = :9 AND n = :9) = :9":        "Syntax error",
		"((n = :9))":                      "redundant parentheses",
		"n = :undefined":                  "attribute value used in expression is not defined; attribute value: :undefined",
		"#undefined = :9":                 "not defined; attribute name: #undefined",
		"name = :9":                       "reserved keyword; reserved keyword: name",
		"doc.Status = :9":                 "reserved keyword; reserved keyword: Status",
		"Attribute_Exists(pk)":            "Invalid function name; function: Attribute_Exists",
		"size(pk)":                        "Syntax error",
		"attribute_exists(pk) = :9":       "not allowed to be used this way in an expression; function: attribute_exists",
		"n = attribute_exists(pk)":        "not allowed to be used this way",
		"attribute_exists(pk, n)":         "Incorrect number of operands for operator or function; operator or function: attribute_exists, number of operands: 2",
		"attribute_exists(:s)":            "requires a document path",
		"attribute_type(pk, :X)":          "Invalid attribute type name found; type: X",
		"begins_with(pk, :9)":             "operator or function: begins_with, operand type: N",
		"n < :yes":                        "operator or function: <, operand type: BOOL",
		"n = n":                           "must be distinct",
		"n BETWEEN :11 AND :9":            "upper bound to be greater than or equal to lower bound",
		"n BETWEEN :9 AND :s":             "same data type",
		"size(:9) = :9":                   "operator or function: size, operand type: N",
		strings.Repeat("n = :9 OR ", 500): "exceeded the maximum allowed size",
		"n IN (:9" + strings.Repeat(",:9", 100) + ")": "Too many operands",
	} {
		t.Run(expression[:min(40, len(expression))], func(t *testing.T) {
			s, _ := sampleScope(t)
			_, err := s.parse("ConditionExpression", expression)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "ValidationException: Invalid ConditionExpression: ") {
				t.Errorf("got %v, want a ValidationException with %q", err, want)
			}
		})
	}
}

func TestNumbersHaveOneForm(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "-0.0": "0", "007": "7", "1.50": "1.5", "1e3": "1000", "-12.5E-2": "-0.125", ".5": "0.5", "5.": "5", "+1": "1", " 1 ": "1",
		"123456789012345678901234567890.12345678": "123456789012345678901234567890.12345678",
		"1E-130": "0." + strings.Repeat("0", 129) + "1", "9E125": "9" + strings.Repeat("0", 125),
	} {
		if got, err := decimal(in); got != want || err != nil {
			t.Errorf("decimal(%q) is %q and %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"", ".", "e5", "1e", "0x1", "1,5", "NaN", "Infinity", "1e126", "1e-131", "1e999999999"} {
		if got, err := decimal(in); err == nil {
			t.Errorf("decimal(%q) is %q, want an error", in, got)
		}
	}
}

// FuzzExpression: whatever the text, an answer or a refusal, never a panic; and what parses can be evaluated.
func FuzzExpression(f *testing.F) {
	for _, seed := range []string{"attribute_not_exists(pk) OR n < :9", "a.b[1] BETWEEN :9 AND :11", "NOT (n IN (:9,:10))", "size(#n) <> :9", "é[", "((((", ":", "#"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, it := sampleScope(t)
		if n, err := s.parse("ConditionExpression", text); err == nil {
			n.holds(it)
			n.holds(nil)
			_, _ = n.keyParts()
		}
	})
}
