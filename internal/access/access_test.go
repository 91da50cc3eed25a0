package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	usersSID     = "S-1-5-21-1004336348-1177238915-682003330-1121"
	operatorsSID = "S-1-5-21-1004336348-1177238915-682003330-1122"
	guestsSID    = "S-1-5-21-1004336348-1177238915-682003330-1123"

	lee = latch.Subject("8d6c7b5a-0000-4000-8000-1234567890ab")
)

var (
	all    = access.Actions
	use    = []access.Action{access.See, access.Open, access.Extend}
	berlin = zone("Europe/Berlin")
	office = hours("mon", "tue", "wed", "thu", "fri")
)

func zone(name string) *time.Location {
	l, err := time.LoadLocation(name)
	if err != nil {
		panic(err)
	}
	return l
}

// hours are from eight to seven in Berlin.
func hours(days ...string) *latch.Hours {
	w := latch.Window{From: 8 * 60, To: 19 * 60}
	for d := time.Sunday; d <= time.Saturday; d++ {
		if slices.Contains(days, strings.ToLower(d.String()[:3])) {
			w.Days = append(w.Days, d)
		}
	}
	return &latch.Hours{Location: berlin, Windows: []latch.Window{w}}
}

// rules are made with three groups, a person and two endpoints: office, whose leases last four hours at most, and lab, two.
func rules(t *testing.T, all ...access.Rule) *access.Rules {
	t.Helper()
	r, faults := access.New(config(all...))
	if faults != nil {
		t.Fatal(faults)
	}
	return r
}

func config(all ...access.Rule) access.Config {
	return access.Config{
		Contact: "IT service desk",
		Groups:  map[string]string{"vpn-users": usersSID, "vpn-operators": operatorsSID, "guests": guestsSID},
		People:  map[string]latch.Subject{"lee": lee}, Rules: all,
		Endpoints: map[string]time.Duration{"office": 4 * time.Hour, "lab": 2 * time.Hour},
	}
}

func who(groups ...string) access.Identity {
	return access.Identity{Principal: latch.Principal{Subject: "somebody"}, Groups: groups}
}

func cut(subject latch.Subject) access.Identity {
	return access.Identity{Principal: latch.Principal{Subject: subject}, Groups: []string{usersSID}, GroupsCut: true}
}

func at(text string) time.Time {
	t, err := time.ParseInLocation("2006-01-02 15:04", text, berlin)
	if err != nil {
		panic(err)
	}
	return t
}

const (
	friday   = "2026-11-20 10:00"
	saturday = "2026-11-21 10:00"
	monday8  = "2026-11-23 08:00"
)

func TestDecide(t *testing.T) {
	staff := access.Rule{Name: "staff", Allow: use, Groups: []string{"vpn-users"}}
	operators := access.Rule{Name: "operators", Allow: all, Groups: []string{"vpn-operators"}}
	noGuests := access.Rule{Name: "no-guests", Deny: all, Groups: []string{"guests"}}
	everyone := access.Rule{Name: "everyone", Allow: use, Everyone: true}
	person := access.Rule{Name: "lee", Allow: all, People: []string{"lee"}}
	with := func(r access.Rule, f func(*access.Rule)) access.Rule { f(&r); return r }
	short := with(staff, func(r *access.Rule) { r.Name, r.Longest, r.Reason = "short", time.Hour, true })
	long := with(everyone, func(r *access.Rule) { r.Name, r.Longest = "long", 2*time.Hour })
	day := with(staff, func(r *access.Rule) { r.Name, r.Hours = "day", office })
	weekend := with(everyone, func(r *access.Rule) { r.Name, r.Hours = "weekend", hours("sun") })
	frozen := with(noGuests, func(r *access.Rule) {
		r.Name, r.Groups, r.Everyone, r.Hours = "frozen", nil, true, hours("fri", "sat")
	})
	three := with(everyone, func(r *access.Rule) { r.Name, r.Longest, r.Reason = "three", 3*time.Hour, true })
	lab := with(staff, func(r *access.Rule) { r.Name, r.Endpoints = "lab", []string{"lab"} })

	for name, tt := range map[string]struct {
		rules []access.Rule // nil: the default rule
		who   access.Identity
		ask   string // ENDPOINT ACTION
		at    string
		want  string // CODE [RULE] [LONGEST] [reason] [from TIME]
	}{
		"no rules: whoever is signed in may open":                         {nil, who(), "office open", friday, "allowed.default"},
		"no rules: and see":                                               {nil, who(), "office see", friday, "allowed.default"},
		"no rules: and extend, though their list of groups is cut":        {nil, cut("x"), "office extend", friday, "allowed.default"},
		"no rules: nobody ends others' leases":                            {nil, who(operatorsSID), "office end-others", friday, "denied.none"},
		"no rules: nobody administers":                                    {nil, who(operatorsSID), "office administer", friday, "denied.none"},
		"no rules: an identity without a subject may nothing":             {nil, access.Identity{}, "office see", friday, "denied.none"},
		"no rules: what is no action is denied":                           {nil, who(), "office Open", friday, "denied.none"},
		"everyone, without a subject":                                     {[]access.Rule{everyone}, access.Identity{Groups: []string{usersSID}}, "office see", friday, "denied.none"},
		"in the group":                                                    {[]access.Rule{staff}, who("S-1-5-32-545", usersSID), "office open", friday, "allowed.rule staff"},
		"in no group":                                                     {[]access.Rule{staff}, who(), "office open", friday, "denied.none"},
		"in another group":                                                {[]access.Rule{staff}, who(operatorsSID), "office open", friday, "denied.none"},
		"the group's label is not the group":                              {[]access.Rule{staff}, who("vpn-users"), "office open", friday, "denied.none"},
		"the SID in small letters is another group":                       {[]access.Rule{staff}, who(strings.ToLower(usersSID)), "office open", friday, "denied.none"},
		"a SID that begins as the group's does":                           {[]access.Rule{staff}, who(usersSID + "0"), "office open", friday, "denied.none"},
		"an action that the rule is not about":                            {[]access.Rule{staff}, who(usersSID), "office administer", friday, "denied.none"},
		"another rule allows that":                                        {[]access.Rule{staff, operators}, who(usersSID, operatorsSID), "office administer", friday, "allowed.rule operators"},
		"by subject":                                                      {[]access.Rule{staff, person}, access.Identity{Principal: latch.Principal{Subject: lee}}, "office open", friday, "allowed.rule lee"},
		"the subject in capitals is somebody else":                        {[]access.Rule{person}, access.Identity{Principal: latch.Principal{Subject: latch.Subject(strings.ToUpper(string(lee)))}}, "office open", friday, "denied.none"},
		"the person's label is not the person":                            {[]access.Rule{person}, access.Identity{Principal: latch.Principal{Subject: "lee"}}, "office open", friday, "denied.none"},
		"names and addresses decide nothing":                              {[]access.Rule{person}, access.Identity{Principal: latch.Principal{Subject: "x", Name: string(lee), Email: string(lee)}}, "office open", friday, "denied.none"},
		"a rule for another endpoint":                                     {[]access.Rule{lab}, who(usersSID), "office open", friday, "denied.none"},
		"a rule for this endpoint":                                        {[]access.Rule{lab}, who(usersSID), "lab open", friday, "allowed.rule lab"},
		"the endpoint's name in capitals is another":                      {[]access.Rule{lab}, who(usersSID), "LAB open", friday, "denied.none"},
		"what is about no endpoint needs a rule for all":                  {[]access.Rule{lab, operators}, who(operatorsSID), " administer", friday, "allowed.rule operators"},
		"a rule for some endpoints does not cover what is about none":     {[]access.Rule{lab}, who(usersSID), " see", friday, "denied.none"},
		"deny wins, though it comes last":                                 {[]access.Rule{staff, person, noGuests}, access.Identity{Principal: latch.Principal{Subject: lee}, Groups: []string{usersSID, guestsSID}}, "office open", friday, "denied.rule no-guests"},
		"deny wins over a rule for everyone":                              {[]access.Rule{noGuests, everyone}, who(guestsSID), "office see", friday, "denied.rule no-guests"},
		"a deny of others does not concern me":                            {[]access.Rule{noGuests, everyone}, who(usersSID), "office see", friday, "allowed.rule everyone"},
		"a cut list allows by no group":                                   {[]access.Rule{staff}, cut("x"), "office open", friday, "denied.groups staff"},
		"a cut list allows everyone what everyone may":                    {[]access.Rule{staff, everyone}, cut("x"), "office open", friday, "allowed.rule everyone"},
		"a cut list allows by person":                                     {[]access.Rule{staff, person}, cut(lee), "office open", friday, "allowed.rule lee"},
		"a cut list is denied by every group":                             {[]access.Rule{person, everyone, noGuests}, cut(lee), "office open", friday, "denied.groups no-guests"},
		"a certain deny comes before an uncertain one":                    {[]access.Rule{noGuests, with(noGuests, func(r *access.Rule) { r.Name, r.Groups, r.People = "not-lee", nil, []string{"lee"} })}, cut(lee), "office open", friday, "denied.rule not-lee"},
		"a cut list, and no rule about groups for this":                   {[]access.Rule{staff}, cut("x"), "office administer", friday, "denied.none"},
		"the longest lease wins, wherever it stands":                      {[]access.Rule{short, long}, who(usersSID), "office open", friday, "allowed.rule long 2h0m0s"},
		"the longest lease wins, the other way round":                     {[]access.Rule{long, short}, who(usersSID), "office open", friday, "allowed.rule long 2h0m0s"},
		"only the short one is mine: and a reason":                        {[]access.Rule{short, with(long, func(r *access.Rule) { r.Everyone, r.People = false, []string{"lee"} })}, who(usersSID), "office open", friday, "allowed.rule short 1h0m0s reason"},
		"no length is the endpoint's own, which is longer":                {[]access.Rule{long, staff}, who(usersSID), "office open", friday, "allowed.rule staff"},
		"as long as the endpoint's own: the first wins":                   {[]access.Rule{long, staff}, who(usersSID), "lab open", friday, "allowed.rule long 2h0m0s"},
		"three hours are two where the endpoint gives no more":            {[]access.Rule{three, staff}, who(usersSID), "lab open", friday, "allowed.rule staff"},
		"equally long: the one that asks for no reason":                   {[]access.Rule{with(staff, func(r *access.Rule) { r.Name, r.Reason = "why", true }), staff}, who(usersSID), "office open", friday, "allowed.rule staff"},
		"within the hours":                                                {[]access.Rule{day}, who(usersSID), "office open", friday, "allowed.rule day"},
		"outside the hours: when they begin":                              {[]access.Rule{day}, who(usersSID), "office open", saturday, "denied.hours day from " + monday8},
		"outside the hours, but the rule is for others":                   {[]access.Rule{day}, who(), "office open", saturday, "denied.none"},
		"outside the hours, and another rule has none":                    {[]access.Rule{day, staff}, who(usersSID), "office open", saturday, "allowed.rule staff"},
		"two rules with hours: the one that comes first in time is named": {[]access.Rule{day, weekend}, who(usersSID), "office open", saturday, "denied.hours weekend from 2026-11-22 08:00"},
		"a deny in its hours, to their end":                               {[]access.Rule{staff, frozen}, who(usersSID), "office open", friday, "denied.rule frozen from 2026-11-20 19:00"},
		"a deny outside its hours":                                        {[]access.Rule{staff, frozen}, who(usersSID), "office open", monday8, "allowed.rule staff"},
		"a deny in its hours, and nothing that allows after them":         {[]access.Rule{frozen}, who(usersSID), "office open", friday, "denied.rule frozen"},
		"the deny ends, but the hours do too":                             {[]access.Rule{day, frozen}, who(usersSID), "office open", friday, "denied.rule frozen from " + monday8},
		"the hours that allow are those that deny: never":                 {[]access.Rule{with(day, func(r *access.Rule) { r.Hours = hours("fri") }), frozen}, who(usersSID), "office open", friday, "denied.rule frozen"},
		"outside of both, which never part: never":                        {[]access.Rule{with(day, func(r *access.Rule) { r.Hours = hours("fri") }), frozen}, who(usersSID), "office open", monday8, "denied.hours day"},
		"hours help nobody whose list is cut":                             {[]access.Rule{day}, cut("x"), "office open", saturday, "denied.groups day"},
		"an uncertain deny in its hours":                                  {[]access.Rule{everyone, with(noGuests, func(r *access.Rule) { r.Hours = office })}, cut("x"), "office open", friday, "denied.groups no-guests from 2026-11-20 19:00"},
		"clocks go back: the week is an hour longer":                      {[]access.Rule{with(day, func(r *access.Rule) { r.Hours = hours("fri"); r.Hours.Windows[0].To = 8*60 + 1 })}, who(usersSID), "office open", "2026-10-23 08:01", "denied.hours day from 2026-10-30 08:00"},
	} {
		t.Run(name, func(t *testing.T) {
			var r *access.Rules
			contact := ""
			if tt.rules != nil {
				r, contact = rules(t, tt.rules...), "IT service desk"
			}
			endpoint, action, _ := strings.Cut(tt.ask, " ")
			q := access.Request{Who: tt.who, Endpoint: endpoint, Action: access.Action(action), At: at(tt.at)}
			d := r.Decide(q)
			if got := say(d); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if d.Contact != contact {
				t.Errorf("contact: got %q, want %q", d.Contact, contact)
			}
			if d.Allowed != strings.HasPrefix(string(d.Code), "allowed.") || !slices.Contains(access.Codes, d.Code) {
				t.Errorf("code %q of a decision that is %v", d.Code, d.Allowed)
			}
			if !d.From.IsZero() { // and it is true
				q.At = d.From
				if then := r.Decide(q); !then.Allowed {
					t.Errorf("at %v it is %s, though that was promised", d.From, say(then))
				}
				q.At = d.From.Add(-time.Second)
				if before := r.Decide(q); before.Allowed {
					t.Errorf("a second before %v it is %s", d.From, say(before))
				}
			}
		})
	}
}

func say(d access.Decision) string {
	words := []string{string(d.Code)}
	if d.Rule != "" {
		words = append(words, d.Rule)
	}
	if d.Longest != 0 {
		words = append(words, d.Longest.String())
	}
	if d.Reason {
		words = append(words, "reason")
	}
	if !d.From.IsZero() {
		words = append(words, "from", d.From.In(berlin).Format("2006-01-02 15:04"))
	}
	return strings.Join(words, " ")
}

func TestExplainSaysHowEachRuleWasWeighed(t *testing.T) {
	r := rules(t,
		access.Rule{Name: "operators", Allow: []access.Action{access.Administer}, Groups: []string{"vpn-operators"}},
		access.Rule{Name: "lab", Allow: use, Everyone: true, Endpoints: []string{"lab"}},
		access.Rule{Name: "lee", Allow: use, People: []string{"lee"}},
		access.Rule{Name: "staff", Allow: use, Groups: []string{"vpn-operators", "vpn-users"}},
		access.Rule{Name: "day", Allow: use, Everyone: true, Hours: office},
		access.Rule{Name: "no-guests", Deny: all, Groups: []string{"guests"}},
	)
	ask := func(who access.Identity) string {
		d, weighed := r.Explain(access.Request{Who: who, Endpoint: "office", Action: access.Open, At: at(saturday)})
		var lines []string
		for _, x := range weighed {
			line := fmt.Sprintf("%s %s", x.Rule, x.Match)
			if x.By != "" {
				line += " by " + x.By
			}
			if x.Cut {
				line += " cut"
			}
			if !x.Next.IsZero() {
				line += " next " + x.Next.In(berlin).Format("2006-01-02 15:04")
			}
			lines = append(lines, line)
		}
		return strings.Join(append(lines, say(d)), "\n")
	}
	for name, tt := range map[string]struct{ got, want string }{
		"one of the groups": {ask(who(usersSID)), `operators other.action
lab other.endpoint
lee other.people
staff applies by group vpn-users
day hours by everyone next 2026-11-23 08:00
no-guests other.people
allowed.rule staff`},
		"a list that is cut": {ask(cut(lee)), `operators other.action
lab other.endpoint
lee applies by person lee
staff groups.cut
day hours by everyone next 2026-11-23 08:00
no-guests applies cut
denied.groups no-guests`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got\n%s\nwant\n%s", name, tt.got, tt.want)
		}
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	good := access.Rule{Name: "staff", Allow: use, Groups: []string{"vpn-users"}}
	if _, faults := access.New(config(good)); faults != nil {
		t.Fatal(faults)
	}
	rule := func(f func(*access.Rule)) func(*access.Config) { return func(c *access.Config) { f(&c.Rules[0]) } }
	for name, tt := range map[string]struct {
		change func(*access.Config)
		want   []string
	}{
		"a contact of two lines":                     {func(c *access.Config) { c.Contact = "IT\nus" }, []string{"contact: is not one line"}},
		"a contact with something that nobody sees":  {func(c *access.Config) { c.Contact = "IT\u200b" }, []string{"contact: is not one line"}},
		"a label with a capital":                     {func(c *access.Config) { c.Groups["VPN"] = "vpn" }, []string{`groups.VPN: "VPN" is not a label`}},
		"a label with a letter that only looks so":   {func(c *access.Config) { c.People["lеe"] = "x" }, []string{`people.lеe: "lеe" is not a label`}},
		"a group that is empty":                      {func(c *access.Config) { c.Groups["x"] = "" }, []string{"groups.x: is missing"}},
		"a SID in small letters":                     {func(c *access.Config) { c.Groups["x"] = "s-1-5-21-1" }, []string{"groups.x: \"s-1-5-21-1\" is not a SID"}},
		"a SID with its domain":                      {func(c *access.Config) { c.Groups["x"] = "corp.example//S-1-5-21-1" }, []string{"is not a SID: write it alone"}},
		"a group with a zero-width space":            {func(c *access.Config) { c.Groups["x"] = "VPN\u200b Users" }, []string{`groups.x: "VPN\u200b Users" is not a group`}},
		"a group with a space at its end":            {func(c *access.Config) { c.Groups["x"] = "VPN " }, []string{"is not a group"}},
		"a group that is a list":                     {func(c *access.Config) { c.Groups["x"] = "a,b" }, []string{"is not a group"}},
		"a group that is endless":                    {func(c *access.Config) { c.Groups["x"] = strings.Repeat("x", 257) }, []string{"is not a group"}},
		"a group that is no text":                    {func(c *access.Config) { c.Groups["x"] = "\xff" }, []string{"is not a group"}},
		"one group by two labels":                    {func(c *access.Config) { c.Groups["x"] = usersSID }, []string{"groups.x: x is the same group as vpn-users"}},
		"a label that is another's group":            {func(c *access.Config) { c.Groups["x"] = "guests" }, []string{"groups.guests: guests is also the group that x stands for"}},
		"a person who is nobody":                     {func(c *access.Config) { c.People["x"] = "" }, []string{"people.x: is missing"}},
		"a subject with a space":                     {func(c *access.Config) { c.People["x"] = "a b" }, []string{`people.x: "a b" is not a subject`}},
		"a subject with a letter that only looks so": {func(c *access.Config) { c.People["x"] = "аbc" }, []string{"is not a subject"}},
		"a subject that is endless":                  {func(c *access.Config) { c.People["x"] = latch.Subject(strings.Repeat("x", 256)) }, []string{"is not a subject"}},
		"one person by two labels":                   {func(c *access.Config) { c.People["x"] = lee }, []string{"people.x: x is the same person as lee"}},
		"a label that is another's subject":          {func(c *access.Config) { c.People["x"] = "lee" }, []string{"people.lee: lee is also the subject of x"}},
		"too many rules": {func(c *access.Config) {
			for i := range 201 {
				c.Rules = append(c.Rules, access.Rule{Name: fmt.Sprint("r", i), Allow: use, Everyone: true})
			}
		}, []string{"rules: 202 are more than 200"}},
		"a rule without a name":            {rule(func(r *access.Rule) { r.Name = "" }), []string{"rules.0.name: \"\" is not a short name"}},
		"two of one name":                  {func(c *access.Config) { c.Rules = append(c.Rules, c.Rules[0]) }, []string{"rules.1.name: staff is the name of another rule too"}},
		"neither allow nor deny":           {rule(func(r *access.Rule) { r.Allow = nil }), []string{"rules.0: allows and denies nothing: write allow or deny, with some of see, open, extend, end-others, administer"}},
		"allow nothing":                    {rule(func(r *access.Rule) { r.Allow = []access.Action{} }), []string{"rules.0.allow: is empty"}},
		"both":                             {rule(func(r *access.Rule) { r.Deny = all }), []string{"rules.0: has allow and deny: write two rules"}},
		"what is no action":                {rule(func(r *access.Rule) { r.Allow = []access.Action{"see", "opne"} }), []string{`rules.0.allow.1: "opne" is not an action`}},
		"an action twice":                  {rule(func(r *access.Rule) { r.Allow = []access.Action{"see", "see"} }), []string{"rules.0.allow.1: see is named twice"}},
		"deny see, and the rest stays":     {rule(func(r *access.Rule) { r.Allow, r.Deny = nil, use }), []string{"rules.0.deny: denies see and not the rest"}},
		"for nobody":                       {rule(func(r *access.Rule) { r.Groups = nil }), []string{"rules.0: is for nobody"}},
		"everyone, and some too":           {rule(func(r *access.Rule) { r.Everyone = true }), []string{"rules.0.everyone: is everybody"}},
		"a group that has no label":        {rule(func(r *access.Rule) { r.Groups = []string{usersSID} }), []string{"rules.0.groups.0: \"" + usersSID + "\" is not a label of access.groups"}},
		"a person who has no label":        {rule(func(r *access.Rule) { r.People = []string{"kim"} }), []string{`rules.0.people.0: "kim" is not a label of access.people`}},
		"an endpoint that is not there":    {rule(func(r *access.Rule) { r.Endpoints = []string{"office", "offcie"} }), []string{`rules.0.endpoints.1: "offcie" is not an endpoint`}},
		"no endpoint":                      {rule(func(r *access.Rule) { r.Endpoints = []string{} }), []string{"rules.0.endpoints: is empty"}},
		"longer than an endpoint's own":    {rule(func(r *access.Rule) { r.Longest, r.Endpoints = 3*time.Hour, []string{"office", "lab"} }), []string{"rules.0.longest: 3h0m0s is longer than lease.max of lab (2h0m0s), which binds everybody"}},
		"longer than every endpoint's own": {rule(func(r *access.Rule) { r.Longest = 5 * time.Hour }), []string{"rules.0.longest: 5h0m0s is longer than lease.max of every endpoint"}},
		"shorter than nothing":             {rule(func(r *access.Rule) { r.Longest = -1 }), []string{"rules.0.longest: must be longer than nothing"}},
		"a length, and no lease":           {rule(func(r *access.Rule) { r.Longest, r.Allow = time.Hour, []access.Action{access.See} }), []string{"rules.0.longest: is about leases"}},
		"a reason, and no opening":         {rule(func(r *access.Rule) { r.Reason, r.Allow = true, []access.Action{access.See} }), []string{"rules.0.reason: is asked of who opens"}},
		"a reason of who is denied":        {rule(func(r *access.Rule) { r.Reason, r.Allow, r.Deny = true, nil, all }), []string{"rules.0.reason: is asked"}},
		"hours without windows":            {rule(func(r *access.Rule) { r.Hours = &latch.Hours{Location: berlin} }), []string{"rules.0.hours.windows: name at least one"}},
		"hours without a place or days": {rule(func(r *access.Rule) { r.Hours = &latch.Hours{Windows: []latch.Window{{From: 1, To: 2}}} }),
			[]string{"rules.0.hours: have no time zone", "rules.0.hours.windows.0.days: name at least one"}},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(good)
			tt.change(&c)
			r, faults := access.New(c)
			if r != nil || len(faults) != len(tt.want) {
				t.Fatalf("got %q, want %q", faults, tt.want)
			}
			for i, w := range tt.want {
				if f, ok := faults[i].(*access.Fault); !ok || !strings.Contains(f.Error(), w) {
					t.Errorf("got %q, want %q", faults[i], w)
				}
			}
		})
	}
	// Three hours are more than lab gives and less than office does: a rule for both is a rule.
	c := config(good)
	c.Rules[0].Longest = 3 * time.Hour
	if _, faults := access.New(c); faults != nil {
		t.Errorf("a length that one of the endpoints gives: %q", faults)
	}
}

func TestWhomRulesMayName(t *testing.T) {
	r := rules(t, access.Rule{Name: "staff", Allow: use, Everyone: true}, access.Rule{Name: "operators", Allow: all, People: []string{"lee"}})
	if r.People()["lee"] != lee || r.Groups()["guests"] != guestsSID || !slices.Equal(r.Names(), []string{"staff", "operators"}) {
		t.Errorf("got people %v, groups %v, rules %v", r.People(), r.Groups(), r.Names())
	}
	var none *access.Rules
	if len(none.People())+len(none.Groups())+len(none.Names()) != 0 {
		t.Error("the default rule names somebody")
	}
}

func TestOnlyAContactIsTheDefaultRule(t *testing.T) {
	r, faults := access.New(access.Config{Contact: "IT"})
	if faults != nil {
		t.Fatal(faults)
	}
	for _, a := range access.Actions {
		var none *access.Rules
		q := access.Request{Who: who(), Endpoint: "office", Action: a, At: at(friday)}
		want := none.Decide(q)
		want.Contact = "IT"
		if got := r.Decide(q); got != want {
			t.Errorf("%s: got %+v, want %+v", a, got, want)
		}
	}
}
