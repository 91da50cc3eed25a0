//go:build !lambda

package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/web"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

// TestReference: docs/cli.md is what the commands say about themselves, put together.
func TestReference(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	want := reference(rootCommand(func(string) string { return "" }, io.Discard, io.Discard))
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s is not what the commands' help says (%v): go test ./cmd/nightlatch -run TestReference -update", path, err)
	}
}

func reference(root *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# The command line\n\n<!-- Made from the commands' help by: go test ./cmd/nightlatch -run TestReference -update -->\n\n%s\n\n", root.Long)
	fmt.Fprintf(&b, "Results are on stdout, talk on stderr. `nightlatch completion --help` says how a shell completes verbs, endpoints and times.\n")
	for _, c := range root.Commands() {
		if c.GroupID == "" {
			continue
		}
		verbs := []*cobra.Command{c}
		if c.HasSubCommands() {
			verbs = c.Commands()
		}
		for _, c := range verbs {
			fmt.Fprintf(&b, "\n## %s\n\n%s\n\n```\n%s\n\nExamples:\n%s\n\nFlags:\n%s```\n", c.CommandPath(), c.Long, c.UseLine(), c.Example, c.LocalFlags().FlagUsages())
		}
	}
	for _, c := range helpTopics() {
		fmt.Fprintf(&b, "\n## %s\n\n```\n%s\n```\n", c.Short, c.Long)
	}
	return b.String()
}

// TestEveryKeyIsDocumented: what --json prints has the keys that "nightlatch help json" lists, and no others.
func TestEveryKeyIsDocumented(t *testing.T) {
	status, rest, ok1 := strings.Cut(topicJSON, "\nopen, extend, ")
	endpoint, rest, ok2 := strings.Cut(rest, "\nwhy:\n")
	why, rest, ok3 := strings.Cut(rest, "\naccess explain:\n")
	explain, rest, ok4 := strings.Cut(rest, "\naccess test:\n")
	test, rest, ok5 := strings.Cut(rest, "\nsession list:\n")
	sessions, rest, ok6 := strings.Cut(rest, "\naccess blocked:\n")
	blocks, rest, ok7 := strings.Cut(rest, "\ndoctor:\n")
	examined, rest, ok8 := strings.Cut(rest, "\ndeploy plan:\n")
	plan, deployed, ok9 := strings.Cut(rest, "\ndeploy status:\n")
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !ok6 || !ok7 || !ok8 || !ok9 {
		t.Fatal("the topic has other sections than this test knows")
	}
	words := regexp.MustCompile(`[A-Za-z]+`)
	listed := regexp.MustCompile(`(?m)^  ([a-z][a-zA-Z, ]*?)(?:  |$)`)
	for name, tt := range map[string]struct {
		own, all string // its section, and those that it refers to
		of       reflect.Type
	}{
		"status":         {status, status + endpoint, reflect.TypeFor[statusJSON]()},
		"open":           {endpoint, endpoint, reflect.TypeFor[web.Status]()},
		"why":            {why, status + endpoint + why, reflect.TypeFor[whyJSON]()},
		"access explain": {explain, explain, reflect.TypeFor[explainJSON]()},
		"access test":    {test, explain + test, reflect.TypeFor[accessTestJSON]()},
		"session list":   {sessions, sessions, reflect.TypeFor[sessionsJSON]()},
		"access blocked": {blocks, blocks, reflect.TypeFor[blocksJSON]()},
		"doctor":         {examined, examined, reflect.TypeFor[doctorJSON]()},
		"deploy plan":    {plan, plan, reflect.TypeFor[deploy.Changes]()},
		"deploy status":  {deployed, deployed, reflect.TypeFor[deployStatusJSON]()},
	} {
		said := words.FindAllString(tt.all, -1)
		for _, k := range keys(tt.of, true) {
			if !slices.Contains(said, k) {
				t.Errorf("%s: %q is not in: nightlatch help json", name, k)
			}
		}
		for _, m := range listed.FindAllStringSubmatch(tt.own, -1) {
			for k := range strings.SplitSeq(m[1], ", ") {
				if !slices.Contains(keys(tt.of, false), k) {
					t.Errorf("%s: nightlatch help json lists %q, which is not printed", name, k)
				}
			}
		}
	}
}

// keys are a struct's in JSON; deep adds those of what it holds.
func keys(of reflect.Type, deep bool) (all []string) {
	for of.Kind() == reflect.Slice || of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || of.PkgPath() == "time" {
		return nil
	}
	for i := range of.NumField() {
		f := of.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() {
			continue
		}
		if f.Anonymous {
			all = append(all, keys(f.Type, deep)...)
			continue
		}
		if name == "problem" {
			continue // the API's list has it alone
		}
		all = append(all, name)
		if deep {
			all = append(all, keys(f.Type, true)...)
		}
	}
	return all
}
