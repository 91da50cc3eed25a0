package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const usersSID = "S-1-5-21-1004336348-1177238915-682003330-1121"

// rules are a section of a file after good, whose last line is the 21st.
const rules = `access:
  contact: IT service desk, it@example.com
  groups:
    vpn-users: ` + usersSID + `
    vpn-operators: S-1-5-21-1004336348-1177238915-682003330-1122
  people: {lee: 8d6c7b5a-0000-4000-8000-1234567890ab}
  rules:
    - name: staff
      allow: [see, open, extend]
      groups: [vpn-users]
      endpoints: [office]
      longest: 3h
      hours:
        windows: [{days: mon-fri, from: "08:00", to: "19:00"}]
        time_zone: Europe/Berlin
      reason: required
    - name: operators
      allow: [see, open, extend, end-others, administer]
      groups: [vpn-operators]
      people: [lee]
`

func TestRules(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(good+rules))
	if err != nil {
		t.Fatal(err)
	}
	if c.Contact != "IT service desk, it@example.com" || !slices.Equal(c.Access.Names(), []string{"staff", "operators"}) || c.ALB.GroupsClaim != "custom:groups" {
		t.Errorf("got contact %q, rules %q, groups from %q", c.Contact, c.Access.Names(), c.ALB.GroupsClaim)
	}
	monday := time.Date(2026, 11, 23, 7, 0, 0, 0, time.UTC) // eight in Berlin
	for name, tt := range map[string]struct {
		who  access.Identity
		at   time.Time
		want access.Decision
	}{
		"a user, by day": {access.Identity{Principal: latch.Principal{Subject: "x"}, Groups: []string{usersSID}}, monday,
			access.Decision{Allowed: true, Code: access.AllowedByRule, Rule: "staff", Longest: 3 * time.Hour, Reason: true, Contact: c.Contact}},
		"a user, too early": {access.Identity{Principal: latch.Principal{Subject: "x"}, Groups: []string{usersSID}}, monday.Add(-time.Second),
			access.Decision{Code: access.DeniedHours, Rule: "staff", From: monday, Contact: c.Contact}},
		"lee": {access.Identity{Principal: latch.Principal{Subject: "8d6c7b5a-0000-4000-8000-1234567890ab"}}, monday,
			access.Decision{Allowed: true, Code: access.AllowedByRule, Rule: "operators", Contact: c.Contact}},
		"somebody else": {access.Identity{Principal: latch.Principal{Subject: "x", Name: "lee"}}, monday,
			access.Decision{Code: access.DeniedNoRule, Contact: c.Contact}},
	} {
		got := c.Access.Decide(access.Request{Who: tt.who, Endpoint: "office", Action: access.Open, At: tt.at})
		if !got.From.Equal(tt.want.From) {
			t.Errorf("%s: from %v, want %v", name, got.From, tt.want.From)
		}
		if got.From, tt.want.From = (time.Time{}), (time.Time{}); got != tt.want {
			t.Errorf("%s: got %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestWithoutRules(t *testing.T) {
	for name, tt := range map[string]struct {
		section, contact string
		rules            bool
	}{
		"no access: at all": {"", "", false},
		"a contact alone":   {"access: {contact: IT}\n", "IT", true},
	} {
		c, err := config.Parse("nightlatch.yaml", []byte(good+tt.section))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		d := c.Access.Decide(access.Request{Who: access.Identity{Principal: latch.Principal{Subject: "x"}}, Endpoint: "office", Action: access.Open, At: time.Now()})
		if (c.Access != nil) != tt.rules || c.Contact != tt.contact || d != (access.Decision{Allowed: true, Code: access.AllowedByDefault, Contact: tt.contact}) {
			t.Errorf("%s: got contact %q, %+v", name, c.Contact, d)
		}
	}
}

func TestFaultsOfRules(t *testing.T) {
	for name, tt := range map[string]struct {
		from, to string
		want     []string
	}{
		"a misspelt key":                       {"contact:", "contcat:", []string{`nightlatch.yaml:23: unknown key "contcat": did you mean "contact"?`}},
		"a misspelt key of a rule":             {"longest:", "longset:", []string{`nightlatch.yaml:33: unknown key "longset": did you mean "longest"?`}},
		"hours that close, which these do not": {"        time_zone: Europe/Berlin", "        close: true", []string{`nightlatch.yaml:36: unknown key "close": here belong windows, time_zone`}},
		"a label that nobody has, nearly":      {"[vpn-users]", "[vpn-usres]", []string{`nightlatch.yaml:31: access.rules.0.groups.0: "vpn-usres" is not a label of access.groups: did you mean "vpn-users"?`}},
		"a label that nobody has":              {"[lee]", "[everyone]", []string{`nightlatch.yaml:41: access.rules.1.people.0: "everyone" is not a label of access.people: there are lee`}},
		"a label, and no people at all":        {"  people: {lee: 8d6c7b5a-0000-4000-8000-1234567890ab}\n", "", []string{`nightlatch.yaml:40: access.rules.1.people.0: "lee" is not a label of access.people: there are none`}},
		"an action that is none":               {"[see, open, extend]", "[see, opne]", []string{`nightlatch.yaml:30: access.rules.0.allow.1: "opne" is not an action: did you mean "open"?`}},
		"an endpoint that is not there":        {"[office]", "[offcie]", []string{`nightlatch.yaml:32: access.rules.0.endpoints.0: "offcie" is not an endpoint: did you mean "office"?`}},
		"longer than the endpoint allows":      {"longest: 3h", "longest: 5h", []string{`nightlatch.yaml:33: access.rules.0.longest: 5h0m0s is longer than lease.max of office (4h0m0s), which binds everybody`}},
		"no length":                            {"longest: 3h", "longest: 0s", []string{`nightlatch.yaml:33: access.rules.0.longest: must be longer than nothing`}},
		"a length that is none":                {"longest: 3h", "longest: long", []string{`nightlatch.yaml:33: "long" is not a length of time`}},
		"allow nothing":                        {"[see, open, extend]\n      groups", "[]\n      groups", []string{`nightlatch.yaml:30: access.rules.0.allow: is empty`}},
		"neither allow nor deny":               {"      allow: [see, open, extend]\n", "", []string{`nightlatch.yaml:29: access.rules.0: allows and denies nothing: write allow or deny`}},
		"both":                                 {"      groups: [vpn-users]", "      deny: [open]\n      groups: [vpn-users]", []string{`nightlatch.yaml:29: access.rules.0: has allow and deny: write two rules`}},
		"for nobody":                           {"      groups: [vpn-users]\n", "", []string{`nightlatch.yaml:29: access.rules.0: is for nobody: write groups, people, or everyone: true`}},
		"a word that is none":                  {"reason: required", "reason: always", []string{`nightlatch.yaml:37: access.rules.0.reason: "always" is neither optional nor required`}},
		"hours nowhere":                        {"Europe/Berlin", "Local", []string{`nightlatch.yaml:36: access.rules.0.hours.time_zone: "Local" is not a time zone, like Asia/Seoul`}},
		"hours without a time zone":            {"        time_zone: Europe/Berlin\n", "", []string{`nightlatch.yaml:34: access.rules.0.hours.time_zone: "" is not a time zone`}},
		"hours without windows":                {"        windows: [{days: mon-fri, from: \"08:00\", to: \"19:00\"}]\n", "", []string{`nightlatch.yaml:34: access.rules.0.hours.windows: name at least one`}},
		"windows that are none":                {"mon-fri, from: \"08:00\"", "mon-fry, from: 8", []string{`nightlatch.yaml:35: access.rules.0.hours.windows.0.days: "mon-fry" is not a list of days`, `windows.0.from: "8" is not a time of day`}},
		"a SID with its domain":                {"vpn-users: S-1", "vpn-users: corp.example//S-1", []string{`nightlatch.yaml:25: access.groups.vpn-users: "corp.example//` + usersSID + `" is not a SID: write it alone and in full`}},
		"an address for a person":              {"lee: 8d6c7b5a-0000-4000-8000-1234567890ab", `lee: "Lee <lee@example.com>"`, []string{`nightlatch.yaml:27: access.people.lee: "Lee <lee@example.com>" is not a subject`}},
		"a label twice":                        {"    vpn-operators:", "    vpn-users:", []string{`nightlatch.yaml:26: mapping key "vpn-users" already defined at line 25`}},
		"nobody to ask":                        {"  contact: IT service desk, it@example.com\n", "", []string{`nightlatch.yaml:22: access.contact: is missing: say whom`}},
		"endpoints: with nothing behind it":    {"endpoints: [office]", "endpoints:", []string{`nightlatch.yaml:32: access.rules.0.endpoints: has no value`}},
		"no endpoints":                         {"endpoints: [office]", "endpoints: []", []string{`nightlatch.yaml:32: access.rules.0.endpoints: is empty: name some, or leave it out for all`}},
		"a null in a list":                     {"[vpn-users]", "[vpn-users, ~]", []string{`nightlatch.yaml:31: access.rules.0.groups.1: has no value`}},
		"two rules of one name":                {"name: operators", "name: staff", []string{`nightlatch.yaml:38: access.rules.1.name: staff is the name of another rule too`}},
		"groups from an address":               {"    client_id: 4abc\n", "    client_id: 4abc\n    groups_claim: email\n", []string{`nightlatch.yaml:7: signin.alb.groups_claim: "email" is not a claim that lists groups`}},
		"groups from a claim with a space":     {"    client_id: 4abc\n", "    client_id: 4abc\n    groups_claim: my groups\n", []string{`nightlatch.yaml:7: signin.alb.groups_claim: "my groups" is not a claim`}},
	} {
		t.Run(name, func(t *testing.T) {
			file := good + rules
			if strings.Count(file, tt.from) == 0 {
				t.Fatalf("%q is not in the file", tt.from)
			}
			i := strings.Index(file, rules)
			if strings.Contains(rules, tt.from) {
				file = file[:i] + strings.Replace(file[i:], tt.from, tt.to, 1)
			} else {
				file = strings.Replace(file, tt.from, tt.to, 1)
			}
			_, err := config.Parse("nightlatch.yaml", []byte(file))
			if err == nil {
				t.Fatal("accepted")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the message lacks %q; it is:\n%v", w, err)
				}
			}
		})
	}
	for section, want := range map[string]string{
		"access:\n":                                            `nightlatch.yaml:22: access: has no value: give it one, or leave the key out`,
		"access: {}\n":                                         `nightlatch.yaml:22: access: says nothing: leave it out for the default rule`,
		"access: {contact: IT, rules: []}\n":                   `nightlatch.yaml:22: access.rules: is empty, so nobody could do anything`,
		"access: {contact: IT, rules: }\n":                     `nightlatch.yaml:22: access.rules: has no value`,
		"access: {contact: IT, people: {lee: x}}\n":            `nightlatch.yaml:22: access.rules: is missing: groups and people are for rules`,
		"access: {contact: IT, groups: {a: b}, rules: [{}]}\n": `nightlatch.yaml:22: access.rules.0.name: "" is not a short name`,
	} {
		if _, err := config.Parse("nightlatch.yaml", []byte(good+section)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", section, err, want)
		}
	}
}

func TestCases(t *testing.T) {
	c, err := config.Parse("nightlatch.yaml", []byte(good+rules))
	if err != nil {
		t.Fatal(err)
	}
	cases, err := c.Cases("cases.yaml", []byte(`cases:
  - {name: by day, groups: [vpn-users, S-1-5-32-545], endpoint: office, action: open, at: 2026-11-23 17:00, want: allowed, code: allowed.rule, rule: staff}
  - person: lee
    groups_cut: true
    groups: [`+usersSID+`]
    endpoint: cvpn-endpoint-0123456789abcdef0
    action: administer
    at: 2026-11-23T17:00:00+01:00
    want: denied
  - {subject: x, endpoint: office, action: see, want: denied}
`))
	if err != nil || len(cases) != 3 {
		t.Fatalf("got %+v, %v", cases, err)
	}
	if at := cases[2].Request.At; time.Since(at) > time.Minute || at.IsZero() {
		t.Errorf("a case without a time is at %v, want now", at)
	}
	cases[2].Request.At = time.Time{}
	want := []config.Case{
		// Five in the afternoon where the endpoint is, in Seoul.
		{Name: "by day", Line: 2, Allowed: true, Code: access.AllowedByRule, Rule: "staff", Request: access.Request{Endpoint: "office", Action: access.Open,
			Who: access.Identity{Principal: latch.Principal{Subject: "somebody"}, Groups: []string{usersSID, "S-1-5-32-545"}}, At: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}},
		{Line: 3, Request: access.Request{Endpoint: "office", Action: access.Administer,
			Who: access.Identity{Principal: latch.Principal{Subject: "8d6c7b5a-0000-4000-8000-1234567890ab"}, Groups: []string{usersSID}, GroupsCut: true}, At: time.Date(2026, 11, 23, 16, 0, 0, 0, time.UTC)}},
		{Line: 10, Request: access.Request{Endpoint: "office", Action: access.See, Who: access.Identity{Principal: latch.Principal{Subject: "x"}}}},
	}
	for i := range want {
		cases[i].Request.At = cases[i].Request.At.UTC()
		if !reflect.DeepEqual(cases[i], want[i]) {
			t.Errorf("got  %+v\nwant %+v", cases[i], want[i])
		}
	}
}
