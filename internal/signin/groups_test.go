package signin

import (
	"crypto/elliptic"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
)

const (
	users     = "S-1-5-21-1004336348-1177238915-682003330-1121"
	operators = "S-1-5-21-1004336348-1177238915-682003330-1122"
)

// text is a claim that is a string.
func text(s string) string {
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func TestParseGroups(t *testing.T) {
	sids := func(n int) string { // a list of so many SIDs, as Cognito writes it
		var all []string
		for i := range n {
			all = append(all, fmt.Sprintf("corp.example//%s%02d", users, i))
		}
		return "[" + strings.Join(all, ", ") + "]"
	}
	pad := func(n int) string { return strings.Repeat("xxx,", n/4-2) + strings.Repeat("y", n-4*(n/4-2)) } // n characters
	many := strings.Split(strings.Repeat("x", 1001), "")
	for i := range many {
		many[i] = fmt.Sprint("g", i)
	}
	array := func(all []string) string {
		raw, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	for name, tt := range map[string]struct {
		claim string
		want  []string
		cut   bool
	}{
		"no claim":                            {"", nil, false},
		"null":                                {"null", nil, false},
		"an empty string":                     {text(""), nil, false},
		"an empty array":                      {"[]", nil, false},
		"an empty array in a string":          {text("[]"), nil, false},
		"nothing between brackets":            {text("[ ]"), nil, false},
		"one group":                           {text("Engineering"), []string{"Engineering"}, false},
		"one group with a space":              {text("VPN Users"), []string{"VPN Users"}, false},
		"one SID with its domain":             {text("corp.example//" + users), []string{users}, false},
		"one SID without":                     {text(users), []string{users}, false},
		"a SID with its slashes encoded":      {text("corp.example%2F%2F" + users), []string{users}, false},
		"a SID of a domain in Korean":         {text("[회사.example//" + users + ", corp//" + operators + "]"), []string{users, operators}, false},
		"a list without quotes":               {text("[test-group-two, test-group-one]"), []string{"test-group-two", "test-group-one"}, false},
		"SIDs without quotes":                 {text("[corp.example//" + users + ", corp.example//" + operators + "]"), []string{users, operators}, false},
		"SIDs without quotes, encoded":        {text("[corp.example%2F%2F" + users + ", corp.example%2f%2f" + operators + "]"), []string{users, operators}, false},
		"a JSON array in a string":            {text(`["admin", "editor"]`), []string{"admin", "editor"}, false},
		"SIDs in a JSON array in a string":    {text(`["corp.example//` + users + `","corp.example//` + operators + `"]`), []string{users, operators}, false},
		"a JSON array":                        {`["admin", "Editor, chief", "C++", "` + users + `"]`, []string{"admin", "Editor, chief", "C++", users}, false},
		"plain CSV":                           {text("a,b , c"), []string{"a", "b", "c"}, false},
		"the same group twice":                {text("[a, b, a]"), []string{"a", "b"}, false},
		"a group in two cases is two":         {text("[vpn, VPN]"), []string{"vpn", "VPN"}, false},
		"two names that look alike are two":   {`["vpn", "vрn"]`, []string{"vpn", "vрn"}, false},
		"é in one and in two parts is two":    {`["caf\u00e9", "cafe\u0301"]`, []string{"caf\u00e9", "cafe\u0301"}, false},
		"a SID in small letters is no SID":    {text("corp.example//" + strings.ToLower(users)), []string{"corp.example//" + strings.ToLower(users)}, false},
		"more after a SID is no SID":          {text("corp.example//" + users + "x"), []string{"corp.example//" + users + "x"}, false},
		"a path that ends in a SID":           {text("/a//" + users), []string{"/a//" + users}, false},
		"spaces of an array's element stay":   {`[" a"]`, []string{" a"}, false},
		"a thousand groups":                   {array(many[:1000]), many[:1000], false},
		"one more":                            {array(many), nil, true},
		"2,047 characters":                    {text(pad(2047)), []string{"xxx", "yyyyyyyyyyy"}, false},
		"2,048 characters, all well":          {text(pad(2048)), nil, true},
		"2,048 characters, an array":          {text("[" + text(strings.Repeat("a", 100)) + strings.Repeat(","+text(strings.Repeat("b", 100)), 20) + "]"), nil, true},
		"more SIDs than a user pool can hold": {text(sids(33)), nil, true},
		"cut off within a list":               {text(sids(5)[:200]), nil, true},
		"cut off before the last bracket":     {text(strings.TrimSuffix(sids(5), "]")), nil, true},
		"cut off within a JSON array":         {text(`["admin", "edi`), nil, true},
		"cut off between its elements":        {text(`["admin",`), nil, true},
		"an array that lost its quotes":       {text(`["admin", editor]`), nil, true},
		"cut off after a comma":               {text("a,"), nil, true},
		"an empty name":                       {text("[a, , b]"), nil, true},
		"an empty element":                    {`["a", ""]`, nil, true},
		"null for an element":                 {`["a", null]`, nil, true},
		"a number for an element":             {`["a", 1]`, nil, true},
		"a bracket within":                    {text("[a], [b]"), nil, true},
		"a bracket that was not opened":       {text("a, b]"), nil, true},
		"a quote within":                      {text(`a, "b, c"`), nil, true},
		"a number":                            {"1", nil, true},
		"true":                                {"true", nil, true},
		"an object":                           {`{"a":"b"}`, nil, true},
		"two arrays":                          {`["a"]["b"]`, nil, true},
		"a line break":                        {text("a\n,b"), nil, true},
		"NUL in an array":                     {`["a\u0000"]`, nil, true},
		"what is no text":                     {"[\"a\xff\"]", nil, true},
		"half a surrogate":                    {`["a\ud800"]`, nil, true},
		"an endless name":                     {array([]string{strings.Repeat("x", 257)}), nil, true},
		"an endless claim":                    {`["a"` + strings.Repeat(" ", 64<<10) + `]`, nil, true},
		"a name that may be encoded":          {text("[VPN+Users, Engineering]"), nil, true},
		"one that may be encoded, in Korean":  {text("%EC%82%AC%EC%9A%A9%EC%9E%90"), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, cut := ParseGroups(json.RawMessage(tt.claim))
			if cut != tt.cut || tt.cut && got != nil {
				t.Fatalf("got %q, cut %v, want cut %v", got, cut, tt.cut)
			}
			if !tt.cut && !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// The token's claim becomes the identity's groups, by the configured name and no other.
func TestGroupsOfTheToken(t *testing.T) {
	key := newKey(t, elliptic.P256())
	keyPEM := publicPEM(t, key.Public())
	for name, tt := range map[string]struct {
		claim, added string // the configured one; what the token has
		want         []string
		cut          bool
	}{
		"a list as Cognito writes it": {"custom:groups", `"custom:groups":"[corp.example//` + users + `, corp.example//` + operators + `]"`, []string{users, operators}, false},
		"no such claim":               {"custom:groups", `"custom:other":"a"`, nil, false},
		"its name in another case":    {"custom:groups", `"Custom:Groups":"a"`, nil, false},
		"another claim":               {"custom:teams", `"custom:groups":"a","custom:teams":"b"`, []string{"b"}, false},
		"none is configured":          {"", `"":"a","custom:groups":"a"`, nil, false},
		"a list that is cut":          {"custom:groups", `"custom:groups":"[a, b"`, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(func(*http.Request) (int, string) { return 200, keyPEM })
			c.GroupsClaim = tt.claim
			a, err := NewALB(c)
			if err != nil {
				t.Fatal(err)
			}
			m := newMint(key, time.Now())
			m.payload = strings.Replace(m.payload, "{", "{"+tt.added+",", 1)
			who, err := ask(a, m.String())
			if err != nil || !reflect.DeepEqual(who.Groups, tt.want) || who.GroupsCut != tt.cut {
				t.Errorf("got %q, cut %v, %v; want %q, cut %v", who.Groups, who.GroupsCut, err, tt.want, tt.cut)
			}
		})
	}
}

// FuzzGroups: whatever the claim, no panic, and either no group at all or groups that can be compared; and a list that
// loses its end in a string is never taken for a shorter one.
func FuzzGroups(f *testing.F) {
	for _, s := range []string{
		``, `null`, `[]`, `["a","b"]`, `"a"`, `"[a, b]"`, `"[\"a\", \"b\"]"`, `"a,b"`, `"[corp.example//S-1-5-21-1-2-3-1121, corp.example//S-1-5-21-1-2-3-1122]"`,
		`"corp.example%2F%2FS-1-5-21-1-2-3-1121"`, `"[VPN+Users, a]"`, `"[a, b"`, `["a",null]`, `{"a":1}`, `"[[a]]"`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		groups, cut := ParseGroups(raw)
		if cut && groups != nil || len(groups) > maxGroups {
			t.Fatalf("%q: %d groups, cut %v", raw, len(groups), cut)
		}
		for i, g := range groups {
			if g == "" || len(g) > maxGroup || strings.ContainsFunc(g, unicode.IsControl) || slices.Contains(groups[:i], g) || domainSID().MatchString(g) {
				t.Fatalf("%q: group %q", raw, g)
			}
		}
		again, err := json.Marshal(groups)
		if err != nil {
			t.Fatal(err)
		}
		if g, c := ParseGroups(again); c || !slices.Equal(g, groups) {
			t.Fatalf("%q: %q is read as %q, cut %v", raw, again, g, c)
		}
		var list string
		if json.Unmarshal(raw, &list) != nil || cut {
			return
		}
		if list = strings.Trim(list, " "); !strings.HasPrefix(list, "[") {
			return
		}
		for end := 1; end < len(list); end += 1 + len(list)/64 {
			part, err := json.Marshal(list[:end])
			if err != nil {
				t.Fatal(err)
			}
			if g, c := ParseGroups(part); !c {
				t.Fatalf("%q, cut to %q, is read as %q", list, part, g)
			}
		}
	})
}
