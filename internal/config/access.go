package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// defaultGroupsClaim is what a user pool's mapped groups are called here, unless the file says otherwise.
const defaultGroupsClaim = "custom:groups"

// noGroups are claims that hold something else: rules would decide by it.
var noGroups = []string{"sub", "iss", "exp", "aud", "username", "cognito:username", "identities", "email", "email_verified", "name", "given_name", "family_name"}

func (c *checker) groupsClaim(path, claim string) {
	if !claimForm.MatchString(claim) || slices.Contains(noGroups, claim) {
		c.fault(path, "%q is not a claim that lists groups, like %s", claim, defaultGroupsClaim)
	}
}

type accessRules struct {
	Contact string            `yaml:"contact"`
	Groups  map[string]string `yaml:"groups"`
	People  map[string]string `yaml:"people"`
	Rules   []accessRule      `yaml:"rules"`
}

type accessRule struct {
	Name      string       `yaml:"name"`
	Allow     []string     `yaml:"allow"`
	Deny      []string     `yaml:"deny"`
	Everyone  bool         `yaml:"everyone"`
	Groups    []string     `yaml:"groups"`
	People    []string     `yaml:"people"`
	Endpoints []string     `yaml:"endpoints"`
	Longest   *duration    `yaml:"longest"`
	Hours     *accessHours `yaml:"hours"`
	Reason    string       `yaml:"reason"`
}

// accessHours have a time zone of their own: a rule may be for endpoints in several.
type accessHours struct {
	Windows  []window `yaml:"windows"`
	TimeZone string   `yaml:"time_zone"`
}

// access makes the rules. A key without a value is a fault here, where "endpoints:" with nothing behind it would be all.
func (c *checker) access(a *accessRules, endpoints []Endpoint) *access.Rules {
	for _, path := range c.empty {
		if path == "access" || strings.HasPrefix(path, "access.") {
			c.fault(path, "has no value: give it one, or leave the key out")
		}
	}
	if a == nil {
		return nil
	}
	in := access.Config{Contact: a.Contact, Groups: a.Groups, People: map[string]latch.Subject{}, Endpoints: map[string]time.Duration{}}
	for label, s := range a.People {
		in.People[label] = latch.Subject(s)
	}
	for _, e := range endpoints {
		in.Endpoints[e.Name] = e.Policy.LeaseMax
	}
	switch {
	case len(a.Rules) > 0:
		if a.Contact == "" {
			c.fault("access.contact", "is missing: say whom a person may ask who is refused, like \"IT service desk, it@example.com\"")
		}
	case a.Rules != nil:
		c.fault("access.rules", "is empty, so nobody could do anything: leave it out for the default rule")
	case len(a.Groups)+len(a.People) > 0:
		c.fault("access.rules", "is missing: groups and people are for rules")
	case a.Contact == "":
		c.fault("access", "says nothing: leave it out for the default rule")
	}
	for i, r := range a.Rules {
		in.Rules = append(in.Rules, c.rule(fmt.Sprintf("access.rules.%d", i), r))
	}
	rules, faults := access.New(in)
	for _, err := range faults {
		f, ok := errors.AsType[*access.Fault](err)
		if !ok {
			c.fault("access", "%v", err)
			continue
		}
		what := f.What
		if f.Unknown != "" {
			what += meant(f.Unknown, f.Known)
		}
		c.fault("access."+f.Path, "%s", what)
	}
	return rules
}

// meant says which name somebody probably meant, or which there are.
func meant(name string, known []string) string {
	if len(known) == 0 {
		return ": there are none"
	}
	if near := nearest(name, known); distance(near, name) <= 2 {
		return fmt.Sprintf(": did you mean %q?", near)
	}
	return ": there are " + strings.Join(known, ", ")
}

func (c *checker) rule(path string, r accessRule) access.Rule {
	out := access.Rule{Name: r.Name, Allow: actions(r.Allow), Deny: actions(r.Deny), Everyone: r.Everyone, People: r.People, Groups: r.Groups, Endpoints: r.Endpoints}
	if r.Longest != nil {
		if out.Longest = time.Duration(*r.Longest); out.Longest == 0 {
			c.fault(path+".longest", "must be longer than nothing; leave it out for as long as lease.max says")
		}
	}
	switch r.Reason {
	case "", "optional":
	case "required":
		out.Reason = true
	default:
		c.fault(path+".reason", "%q is neither optional nor required", r.Reason)
	}
	if r.Hours != nil {
		loc, err := time.LoadLocation(r.Hours.TimeZone)
		if err != nil || r.Hours.TimeZone == "" || r.Hours.TimeZone == "Local" {
			c.fault(path+".hours.time_zone", "%q is not a time zone, like Asia/Seoul: name the one that these hours go by", r.Hours.TimeZone)
			loc = time.UTC
		}
		out.Hours = c.hours(path+".hours", hours{Windows: r.Hours.Windows}, loc)
	}
	return out
}

// actions keeps nil and empty apart.
func actions(names []string) []access.Action {
	if names == nil {
		return nil
	}
	all := []access.Action{}
	for _, n := range names {
		all = append(all, access.Action(n))
	}
	return all
}
