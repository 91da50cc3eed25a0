package access

import (
	"math"
	"slices"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// The codes of a decision.
const (
	AllowedByRule    Code = "allowed.rule"    // Rule allows it
	AllowedByDefault Code = "allowed.default" // there are no rules, and whoever is signed in may
	DeniedByRule     Code = "denied.rule"     // Rule denies it, whatever others allow; its hours may end at From
	DeniedNoRule     Code = "denied.none"     // no rule allows it; who is nobody, or asks for what is no action, meets it too
	DeniedHours      Code = "denied.hours"    // Rule would allow it, at other hours: at From
	// The person's list of groups is not whole or cannot be read. Rule denies it to a group, or would allow it to one, and
	// whether the person is in that cannot be known.
	DeniedGroupsCut Code = "denied.groups"
	DeniedBlocked   Code = "denied.blocked" // an operator has blocked the person (Block); no rule decides it
)

// Codes is the closed list, in the order above.
var Codes = []Code{AllowedByRule, AllowedByDefault, DeniedByRule, DeniedNoRule, DeniedHours, DeniedGroupsCut, DeniedBlocked}

// Request is what somebody asks for.
type Request struct {
	Who Identity
	// Endpoint is its name in the configuration; empty where it is about none, which rules for all endpoints cover.
	Endpoint string
	Action   Action
	At       time.Time
}

// Decision is the answer to a Request.
type Decision struct {
	Allowed bool
	Code    Code
	// Rule is the name of the rule that decided; of a refusal for hours or a list of groups, of the one that it was about.
	// Empty when none did.
	Rule string
	// Longest is the longest lease that the allowing rule gives; zero: the endpoint's own policy alone says how long. Of
	// several rules that allow, the one with the longest lease decides; of equally long ones one that asks for no reason,
	// then the first in the file.
	Longest time.Duration
	Reason  bool // the deciding rule wants a reason of who opens
	// From is when the same request would succeed, because hours begin or end; zero: not by itself.
	From    time.Time
	Contact string // who can change it, as the configuration says
}

// Match is how a rule stands to a request. The list is closed.
type Match string

// How a rule stands to a request, in the order in which that is looked at.
const (
	OtherAction   Match = "other.action"   // it is about other actions
	OtherEndpoint Match = "other.endpoint" // it is for other endpoints
	OtherPeople   Match = "other.people"   // it is for others than this person
	GroupsCut     Match = "groups.cut"     // it allows groups, and the person's list of them is not whole
	OutsideHours  Match = "hours"          // it is in force at other hours
	Applies       Match = "applies"
)

// Considered is one rule as it was weighed for a request.
type Considered struct {
	Rule  string
	Deny  bool
	Match Match
	// By says by what the person is concerned: "everyone", "person LABEL" or "group LABEL". Empty where they are not, and
	// where Cut.
	By string
	// Cut: it denies groups, and applies because the person's list of them is not whole.
	Cut bool
	// Hours: it has some. When they begin next, where it is outside of them, is Next.
	Hours bool
	Next  time.Time
}

// Decide answers q. One rule that denies is enough; what no rule allows is denied. A list of groups that is not whole
// proves no membership and excludes none: no rule that allows groups applies, and every rule that denies some does.
func (r *Rules) Decide(q Request) Decision {
	d, _ := r.Explain(q)
	return d
}

// Explain decides as Decide does, and says how each rule was weighed, in the order of the file. Without rules there are
// none to weigh.
func (r *Rules) Explain(q Request) (Decision, []Considered) {
	var c Config
	if r != nil {
		c = r.c
	}
	var weighed []Considered
	d := Decision{Code: DeniedNoRule}
	switch {
	case q.Who.Subject == "": // nobody
	case len(c.Rules) == 0:
		if q.Action == See || q.Action == Open || q.Action == Extend {
			d = Decision{Allowed: true, Code: AllowedByDefault}
		}
	default:
		for i := range c.Rules {
			weighed = append(weighed, c.weigh(&c.Rules[i], q))
		}
		if d = c.judge(weighed, q.Endpoint); !d.Allowed {
			by := ""
			if d.From, by = c.from(weighed, q); d.Code == DeniedHours && by != "" {
				d.Rule = by
			}
		}
	}
	d.Contact = c.Contact
	return d, weighed
}

// weigh says how one rule stands to q.
func (c *Config) weigh(r *Rule, q Request) Considered {
	about, deny := r.actions()
	out := Considered{Rule: r.Name, Deny: deny, Hours: r.Hours != nil}
	switch {
	case !slices.Contains(about, q.Action):
		out.Match = OtherAction
	case r.Endpoints != nil && !slices.Contains(r.Endpoints, q.Endpoint):
		out.Match = OtherEndpoint
	default:
		out.Match, out.By = c.concerns(r, q.Who)
	}
	if out.Match == GroupsCut && deny {
		out.Match, out.Cut = Applies, true
	}
	if out.Match == Applies {
		if may, _, next := r.Hours.May(q.At); !may {
			out.Match, out.Next = OutsideHours, next
		}
	}
	return out
}

// concerns says whether the rule is for somebody, and by what.
func (c *Config) concerns(r *Rule, who Identity) (Match, string) {
	if r.Everyone {
		return Applies, "everyone"
	}
	for _, label := range r.People {
		if c.People[label] == who.Subject {
			return Applies, "person " + label
		}
	}
	if who.GroupsCut && len(r.Groups) > 0 {
		return GroupsCut, ""
	}
	for _, label := range r.Groups {
		if slices.Contains(who.Groups, c.Groups[label]) {
			return Applies, "group " + label
		}
	}
	return OtherPeople, ""
}

// judge decides by how the rules stand.
func (c *Config) judge(weighed []Considered, endpoint string) Decision {
	first := func(is func(Considered) bool) (rule string, ok bool) {
		if i := slices.IndexFunc(weighed, is); i >= 0 {
			return weighed[i].Rule, true
		}
		return "", false
	}
	if rule, ok := first(func(x Considered) bool { return x.Deny && x.Match == Applies && !x.Cut }); ok {
		return Decision{Code: DeniedByRule, Rule: rule}
	}
	if rule, ok := first(func(x Considered) bool { return x.Deny && x.Match == Applies }); ok {
		return Decision{Code: DeniedGroupsCut, Rule: rule}
	}
	var best *Rule
	for i, x := range weighed {
		if r := &c.Rules[i]; !x.Deny && x.Match == Applies && (best == nil || c.wider(r, best, endpoint)) {
			best = r
		}
	}
	if best != nil {
		return Decision{Allowed: true, Code: AllowedByRule, Rule: best.Name, Longest: best.Longest, Reason: best.Reason}
	}
	if rule, ok := first(func(x Considered) bool { return !x.Deny && x.Match == OutsideHours }); ok {
		return Decision{Code: DeniedHours, Rule: rule}
	}
	if rule, ok := first(func(x Considered) bool { return x.Match == GroupsCut }); ok {
		return Decision{Code: DeniedGroupsCut, Rule: rule}
	}
	return Decision{Code: DeniedNoRule}
}

// wider: a allows more than b.
func (c *Config) wider(a, b *Rule, endpoint string) bool {
	if x, y := c.reach(a, endpoint), c.reach(b, endpoint); x != y {
		return x > y
	}
	return b.Reason && !a.Reason
}

// reach is the longest lease that a rule gives at an endpoint.
func (c *Config) reach(r *Rule, endpoint string) time.Duration {
	own, known := c.Endpoints[endpoint]
	if !known {
		own = math.MaxInt64
	}
	if r.Longest == 0 {
		return own
	}
	return min(r.Longest, own)
}

// ahead is as far as hours are looked ahead: they repeat each week, which may be an hour longer than another.
const ahead = 8 * 24 * time.Hour

// from is the first time after q's at which q would be allowed, and the rule that would: at each time when hours of a rule
// that concerns q begin or end, it is judged anew. Zero if there is none.
func (c *Config) from(weighed []Considered, q Request) (time.Time, string) {
	type turn struct {
		at   time.Time
		rule int
	}
	var turns []turn
	for i, x := range weighed {
		if !x.Hours || x.Match != Applies && x.Match != OutsideHours {
			continue
		}
		for t := q.At; ; {
			_, until, next := c.Rules[i].Hours.May(t)
			if t = latest(until, next); t.IsZero() || t.Sub(q.At) > ahead {
				break
			}
			turns = append(turns, turn{t, i})
		}
	}
	slices.SortFunc(turns, func(a, b turn) int { return a.at.Compare(b.at) })
	later := slices.Clone(weighed)
	for i, t := range turns {
		if x := &later[t.rule]; x.Match == Applies {
			x.Match = OutsideHours
		} else {
			x.Match = Applies
		}
		if i+1 < len(turns) && turns[i+1].at.Equal(t.at) {
			continue
		}
		if d := c.judge(later, q.Endpoint); d.Allowed {
			return t.at, d.Rule
		}
	}
	return time.Time{}, ""
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Names are the rules' names, in the order of the file; none where the default rule decides.
func (r *Rules) Names() (all []string) {
	if r != nil {
		for _, rule := range r.c.Rules {
			all = append(all, rule.Name)
		}
	}
	return all
}

// Groups are the groups that rules may name, by label, each as the issuer sends it. The map is not to be changed.
func (r *Rules) Groups() map[string]string {
	if r == nil {
		return nil
	}
	return r.c.Groups
}

// People are the people whom rules may name, by label. The map is not to be changed.
func (r *Rules) People() map[string]latch.Subject {
	if r == nil {
		return nil
	}
	return r.c.People
}
