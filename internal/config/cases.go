package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Case is one case of a test of the access rules: who asks for what, and what they should be told.
type Case struct {
	Name    string
	Line    int // in the file
	Request access.Request
	Allowed bool
	// Code and Rule of the decision; empty: whichever.
	Code access.Code
	Rule string
}

// The types below are the file's shape.

type casesFile struct {
	Cases []accessCase `yaml:"cases"`
}

type accessCase struct {
	Name      string   `yaml:"name"`
	Person    string   `yaml:"person"`
	Subject   string   `yaml:"subject"`
	Groups    []string `yaml:"groups"`
	GroupsCut bool     `yaml:"groups_cut"`
	Endpoint  string   `yaml:"endpoint"`
	Action    string   `yaml:"action"`
	At        string   `yaml:"at"`
	Want      string   `yaml:"want"`
	Code      string   `yaml:"code"`
	Rule      string   `yaml:"rule"`
}

// somebody asks in cases that do not say who does.
const somebody = "somebody"

// Cases reads the cases of a file, which are about this configuration. The error joins every fault that was found.
func (c *Config) Cases(name string, raw []byte) ([]Case, error) {
	var f casesFile
	k, err := decode(name, raw, &f)
	if err != nil {
		return nil, err
	}
	if len(f.Cases) == 0 {
		k.fault("cases", "are missing: write at least one")
	}
	for _, path := range k.empty {
		k.fault(path, "has no value: give it one, or leave the key out")
	}
	var all []Case
	for i, a := range f.Cases {
		all = append(all, k.oneCase(c, fmt.Sprintf("cases.%d", i), a))
	}
	return all, errors.Join(k.faults...)
}

func (k *checker) oneCase(c *Config, path string, a accessCase) Case {
	out := Case{Name: a.Name, Line: k.lines[path], Code: access.Code(a.Code), Rule: a.Rule}
	fault := func(key string, err error) {
		if err != nil {
			k.fault(path+key, "%v", err)
		}
	}
	q := &out.Request
	q.Who.Subject, q.Who.GroupsCut = somebody, a.GroupsCut
	switch {
	case a.Person != "" && a.Subject != "":
		k.fault(path, "has person and subject: write one, or none for somebody whom no rule names")
	case a.Person != "":
		people := c.Access.People()
		s, ok := people[a.Person]
		if !ok {
			k.fault(path+".person", "%q is not a label of access.people%s", a.Person, meant(a.Person, slices.Sorted(maps.Keys(people))))
		}
		q.Who.Subject = s
	case a.Subject != "":
		q.Who.Subject = latch.Subject(a.Subject)
	}
	for i, g := range a.Groups {
		group, err := c.Group(g)
		fault(fmt.Sprintf(".groups.%d", i), err)
		q.Who.Groups = append(q.Who.Groups, group)
	}
	e, err := c.Endpoint(a.Endpoint)
	fault(".endpoint", err)
	q.Endpoint = e.Name
	q.Action, err = Action(a.Action)
	fault(".action", err)
	switch a.Want {
	case "allowed", "denied":
		out.Allowed = a.Want == "allowed"
	default:
		k.fault(path+".want", "%q is neither allowed nor denied", a.Want)
	}
	if a.Code != "" {
		var known []string
		for _, x := range access.Codes {
			known = append(known, string(x))
		}
		if !slices.Contains(known, a.Code) {
			k.fault(path+".code", "%q is not a code%s", a.Code, meant(a.Code, known))
		} else if !strings.HasPrefix(a.Code, a.Want+".") {
			k.fault(path+".code", "%s is not a code of what is %s", a.Code, a.Want)
		}
	}
	if names := c.Access.Names(); a.Rule != "" && !slices.Contains(names, a.Rule) {
		k.fault(path+".rule", "%q is not a rule%s", a.Rule, meant(a.Rule, names))
	}
	if a.At != "" {
		q.At, err = Time(a.At, e.Location)
		fault(".at", err)
		return out
	}
	q.At = time.Now()
	_, weighed := c.Access.Explain(*q)
	if i := slices.IndexFunc(weighed, func(x access.Considered) bool {
		return x.Hours && (x.Match == access.Applies || x.Match == access.OutsideHours)
	}); i >= 0 {
		k.fault(path+".at", "is missing: rule %s has hours, so what is decided depends on the time: write \"2026-11-23 09:00\"", weighed[i].Rule)
	}
	return out
}

var sidForm = formOf(`^S-1-\d{1,14}(-\d{1,10}){1,15}$`, 0)

// Group is the group that is meant by a label of access.groups, or by the group itself as the issuer sends it. One that no
// label stands for, no rule is about: it is an error unless it is a SID, because it will be a slip.
func (c *Config) Group(name string) (string, error) {
	groups := c.Access.Groups()
	if g, ok := groups[name]; ok {
		return g, nil
	}
	if sidForm.MatchString(name) || slices.Contains(slices.Collect(maps.Values(groups)), name) {
		return name, nil
	}
	return "", fmt.Errorf("%q is neither a label of access.groups nor a SID%s", name, meant(name, slices.Sorted(maps.Keys(groups))))
}

// Action is an action by its name.
func Action(name string) (access.Action, error) {
	var known []string
	for _, a := range access.Actions {
		if string(a) == name {
			return a, nil
		}
		known = append(known, string(a))
	}
	return "", fmt.Errorf("%q is not an action%s", name, meant(name, known))
}

// Time reads a time as people write it for a test: RFC 3339, or by the clock of a place, nil for UTC's, "2026-11-23 09:00".
func Time(s string, place *time.Location) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, nil
	}
	if place == nil {
		place = time.UTC
	}
	t, err := time.ParseInLocation("2006-01-02 15:04", s, place)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time: write \"2026-11-23 09:00\", which is by the endpoint's time zone, or 2026-11-23T09:00:00Z", s)
	}
	return t, nil
}
