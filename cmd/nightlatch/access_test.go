//go:build !lambda

package main

import (
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/config"
)

// TestTheTopicsExamples: what the help shows of rules and cases is good, and the cases end as they want.
func TestTheTopicsExamples(t *testing.T) {
	example := func(topic, first string) []byte {
		_, text, ok1 := strings.Cut(topic, ":\n\n  "+first)
		text, _, ok2 := strings.Cut(text, "\n\n")
		if !ok1 || !ok2 {
			t.Fatalf("the topic has no example that begins with %s", first)
		}
		return []byte(first + strings.ReplaceAll(text, "\n  ", "\n") + "\n")
	}
	base := strings.Replace(threePlaces, "name: home", "name: office, time_zone: Europe/Berlin", 1)
	c, err := config.Parse("nightlatch.yaml", append([]byte(base), example(topicAccessRules, "access:")...))
	if err != nil {
		t.Fatal(err)
	}
	cases, err := c.Cases("cases.yaml", example(topicAccessCases, "cases:"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range cases {
		d := c.Access.Decide(k.Request)
		if d.Allowed != k.Allowed || k.Code != "" && d.Code != k.Code || k.Rule != "" && d.Rule != k.Rule {
			t.Errorf("line %d: got %+v, want %s", k.Line, d, wanted(k))
		}
	}
}
