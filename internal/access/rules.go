package access

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Config is what rules are made of: access: in nightlatch.yaml.
type Config struct {
	// Contact is whom somebody who is refused may ask, for people to read.
	Contact string
	// Groups are the groups that rules may name, by label: each as the issuer sends it, an Active Directory's as its SID.
	// The same of People and the issuer's stable subjects.
	Groups map[string]string
	People map[string]latch.Subject
	// Rules in the order of the file. None at all: the default rule.
	Rules []Rule
	// Endpoints are those that are configured, by name, each with the longest lease that its own policy gives.
	Endpoints map[string]time.Duration
}

// Rule allows or denies actions to people on endpoints.
type Rule struct {
	Name string
	// Allow or Deny, one of the two, is what the rule is about. Each action is by itself: open does not bring see with it.
	Allow, Deny []Action
	// Everyone is whoever is signed in; else the rule is for these, by label: a person is concerned who is one of People
	// or in one of Groups.
	Everyone       bool
	People, Groups []string
	Endpoints      []string // by name; nil: all, and what is about none of them
	// Longest is the longest lease; zero: as long as the endpoint's own policy says.
	Longest time.Duration
	// Hours are when the rule is in force; nil: always. Close in them means nothing here.
	Hours *latch.Hours
	// Reason: whoever opens by this rule must say why.
	Reason bool
}

// actions are what the rule is about, and whether it denies them.
func (r *Rule) actions() (all []Action, deny bool) {
	if r.Deny != nil {
		return r.Deny, true
	}
	return r.Allow, false
}

// Rules is a checked set of rules, ready to decide; it is safe for concurrent use. The zero value of *Rules, nil, is the
// default rule: whoever is signed in may see, open and extend on every endpoint, and nobody may end others' leases or
// administer. Who is signed in at all, the issuer decides: Identity Center, by whom the application is assigned to.
type Rules struct{ c Config }

// Fault is what is wrong at one place of a Config.
type Fault struct {
	Path string // as in the file, below access: "rules.0.groups.1"
	What string
	// Unknown is a name that is not among Known, where that is what is wrong.
	Unknown string
	Known   []string
}

func (f *Fault) Error() string { return f.Path + ": " + f.What }

const (
	rulesMax   = 200 // rules; a decision looks at each
	groupMax   = 256 // bytes of a group
	contactMax = 200 // characters of a contact
	labelMax   = 63  // bytes of a label, or of a rule's name
)

var (
	labelForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	sidLike   = regexp.MustCompile(`(?i)(^|//)S-\d+-`)
	// sidForm (MS-DTYP 2.4.2.1) is large, and many configurations have no SID.
	sidForm = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^S-1-\d{1,14}(-\d{1,10}){1,15}$`) })
)

func isLabel(s string) bool { return len(s) <= labelMax && labelForm.MatchString(s) }

// New checks c, which it keeps. The faults, all of them at once, are *Fault.
func New(c Config) (*Rules, []error) {
	k := &check{c: c}
	k.contact()
	k.groups()
	k.people()
	if len(c.Rules) > rulesMax {
		k.fault("rules", "%d are more than %d", len(c.Rules), rulesMax)
	}
	names := map[string]bool{}
	for i := range c.Rules {
		r := &c.Rules[i]
		if names[r.Name] {
			k.fault(fmt.Sprintf("rules.%d.name", i), "%s is the name of another rule too", r.Name)
		}
		names[r.Name] = true
		k.rule(fmt.Sprintf("rules.%d", i), r)
	}
	if k.faults != nil {
		return nil, k.faults
	}
	return &Rules{c}, nil
}

type check struct {
	c      Config
	faults []error
}

func (k *check) fault(path, format string, args ...any) {
	k.faults = append(k.faults, &Fault{Path: path, What: fmt.Sprintf(format, args...)})
}

func (k *check) contact() {
	if s := k.c.Contact; !printable(s) || utf8.RuneCountInString(s) > contactMax {
		k.fault("contact", "is not one line of at most %d characters", contactMax)
	}
}

// groups and people hold labels and what they stand for to forms in which two that look alike are alike: both are
// compared byte by byte, here and in every decision.
func (k *check) groups() {
	of := map[string]string{} // label by group
	for _, label := range slices.Sorted(maps.Keys(k.c.Groups)) {
		path, g := "groups."+label, k.c.Groups[label]
		k.label(path, label)
		switch {
		case g == "":
			k.fault(path, "is missing: write the group as the issuer sends it; of an Active Directory that is its SID, S-1-5-21-…")
		case sidLike.MatchString(g) && !sidForm().MatchString(g):
			k.fault(path, "%q is not a SID: write it alone and in full, S-1-5-21-…", g)
		case len(g) > groupMax || !printable(g) || strings.TrimSpace(g) != g || strings.ContainsAny(g, `,[]"`):
			// What user pools write between groups and around them cannot be part of one.
			k.fault(path, "%q is not a group: one line of at most %d bytes, with no space at its ends and none of , [ ] \"", g, groupMax)
		case of[g] != "":
			k.fault(path, "%s is the same group as %s", label, of[g])
		}
		of[g] = label
	}
	for label, g := range k.c.Groups { // a label that is another's group would make "group x" mean two things
		if other, ok := of[label]; ok && other != label && g != label {
			k.fault("groups."+label, "%s is also the group that %s stands for: choose another label", label, other)
		}
	}
}

func (k *check) people() {
	of := map[latch.Subject]string{}
	for _, label := range slices.Sorted(maps.Keys(k.c.People)) {
		path, s := "people."+label, k.c.People[label]
		k.label(path, label)
		switch {
		case s == "":
			k.fault(path, "is missing: write the person's stable subject, which the audit shows; an e-mail address is none")
		case !IsSubject(s):
			k.fault(path, "%q is not a subject: letters, digits and signs of ASCII, at most %d, with no space", string(s), subjectMax)
		case of[s] != "":
			k.fault(path, "%s is the same person as %s", label, of[s])
		}
		of[s] = label
	}
	for label := range k.c.People {
		if other, ok := of[latch.Subject(label)]; ok && other != label {
			k.fault("people."+label, "%s is also the subject of %s: choose another label", label, other)
		}
	}
}

func (k *check) label(path, label string) {
	if !isLabel(label) {
		k.fault(path, "%q is not a label: a short one of a-z, 0-9 and -", label)
	}
}

func (k *check) rule(path string, r *Rule) {
	if !isLabel(r.Name) {
		k.fault(path+".name", "%q is not a short name of a-z, 0-9 and -, which refusals and the audit show", r.Name)
	}
	about, key := r.Allow, ".allow"
	switch {
	case r.Allow == nil && r.Deny == nil:
		k.fault(path, "allows and denies nothing: write allow or deny, with some of %s", words(Actions))
	case r.Allow != nil && r.Deny != nil:
		k.fault(path, "has allow and deny: write two rules")
	case r.Deny != nil:
		about, key = r.Deny, ".deny"
	}
	if about != nil && len(about) == 0 {
		k.fault(path+key, "is empty: name some of %s", words(Actions))
	}
	k.names(path+key, texts(about), texts(Actions), "an action")
	if slices.Contains(r.Deny, See) && len(r.Deny) < len(Actions) {
		k.fault(path+".deny", "denies see and not the rest: who may not see an endpoint may do nothing to it: write [%s]", words(Actions))
	}
	switch anybody := len(r.People) + len(r.Groups); {
	case r.Everyone && anybody > 0:
		k.fault(path+".everyone", "is everybody: leave out groups and people, or everyone")
	case !r.Everyone && anybody == 0:
		k.fault(path, "is for nobody: write groups, people, or everyone: true")
	}
	k.names(path+".people", r.People, slices.Sorted(maps.Keys(k.c.People)), "a label of access.people")
	k.names(path+".groups", r.Groups, slices.Sorted(maps.Keys(k.c.Groups)), "a label of access.groups")
	if r.Endpoints != nil && len(r.Endpoints) == 0 {
		k.fault(path+".endpoints", "is empty: name some, or leave it out for all")
	}
	k.names(path+".endpoints", r.Endpoints, slices.Sorted(maps.Keys(k.c.Endpoints)), "an endpoint")
	k.lease(path, r)
	k.hours(path, r.Hours)
}

// lease is about what matters to who opens or extends.
func (k *check) lease(path string, r *Rule) {
	if r.Reason && !slices.Contains(r.Allow, Open) {
		k.fault(path+".reason", "is asked of who opens: the rule does not allow open")
	}
	if r.Longest == 0 {
		return
	}
	if !slices.Contains(r.Allow, Open) && !slices.Contains(r.Allow, Extend) {
		k.fault(path+".longest", "is about leases: the rule allows neither open nor extend")
	}
	if r.Longest < 0 {
		k.fault(path+".longest", "must be longer than nothing")
	}
	over := 0
	for _, name := range slices.Sorted(maps.Keys(k.c.Endpoints)) {
		own := k.c.Endpoints[name]
		if r.Longest <= own || r.Endpoints != nil && !slices.Contains(r.Endpoints, name) {
			continue
		}
		over++
		if r.Endpoints != nil {
			k.fault(path+".longest", "%v is longer than lease.max of %s (%v), which binds everybody", r.Longest, name, own)
		}
	}
	if n := len(k.c.Endpoints); r.Endpoints == nil && over == n && n > 0 {
		k.fault(path+".longest", "%v is longer than lease.max of every endpoint, which binds everybody", r.Longest)
	}
}

// hours are judged as those of an endpoint.
func (k *check) hours(path string, h *latch.Hours) {
	p := latch.DefaultPolicy()
	p.Hours = h
	for _, err := range p.Check() {
		if key, what, _ := strings.Cut(err.Error(), ": "); strings.HasPrefix(key, "hours") {
			k.fault(path+"."+key, "%s", what)
		}
	}
}

// names wants each of some to be known, and named once.
func (k *check) names(path string, some, known []string, what string) {
	for i, s := range some {
		at := fmt.Sprintf("%s.%d", path, i)
		switch {
		case !slices.Contains(known, s):
			k.faults = append(k.faults, &Fault{at, fmt.Sprintf("%q is not %s", s, what), s, known})
		case slices.Contains(some[:i], s):
			k.fault(at, "%s is named twice", s)
		}
	}
}

func texts[T ~string](all []T) []string {
	var out []string
	for _, x := range all {
		out = append(out, string(x))
	}
	return out
}

func words[T ~string](all []T) string { return strings.Join(texts(all), ", ") }

// printable: what people see of it is all there is: no control characters, and nothing that takes no room, such as a
// zero-width space.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError })
}
