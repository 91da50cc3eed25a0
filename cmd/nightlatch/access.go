//go:build !lambda

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// accessCommand has the commands about who may do what.
func accessCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	c := &cobra.Command{Use: "access", Short: "Test and explain the access rules; block people", GroupID: groupPeople, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(accessExplainCommand(env, stdout, stderr), accessTestCommand(env, stdout, stderr))
	c.AddCommand(accessPeopleCommands(env, stdout, stderr)...)
	return c
}

func accessExplainCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	x := &explaining{verb: verb{env: env, stdout: stdout, stderr: stderr}}
	c := &cobra.Command{
		Use:   "explain SUBJECT ENDPOINT [--group GROUP]... [--action ACTION] [--at TIME]",
		Short: "Say what the access rules decide for somebody, and how each rule was weighed",
		Long: `Say what the access rules decide when somebody asks for something, and how each rule was weighed, in the order of the file.
It is what the page would decide by the same configuration, but for people who are blocked, whom no rule lets in.

SUBJECT is a label of access.people, or the person's stable subject, which the audit shows. Nightlatch does not know who
is in a group: the groups are those that you name. nightlatch help access-rules says how rules are written.`,
		Example: `  nightlatch access explain lee office
  nightlatch access explain 8d6c7b5a-0000-4000-8000-1234567890ab office --group vpn-users --at "2026-11-23 07:30"
  nightlatch access explain lee office --action administer --json | jq .decision.allowed`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 2 || args[0] == "" {
				return fmt.Errorf("who, and at which endpoint? %s", c.UseLine())
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		ValidArgsFunction: func(c *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return x.complete(c, args[1:], "")
			}
			f, err := readConfig(x.path, x.env)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return completions(f.Access.People()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error { return x.run(args[0], args[1]) },
	}
	f := c.Flags()
	f.StringArrayVar(&x.groups, "group", nil, "`group` that the person is in: a label of access.groups, or a SID; may be repeated")
	f.BoolVar(&x.cut, "groups-cut", false, "the person's list of groups is not whole, as when it is too long for the user pool")
	f.StringVar(&x.action, "action", string(access.Open), "`what` they ask for: "+list(access.Actions))
	f.StringVar(&x.at, "at", "", "`time` of the request, as \"2026-11-23 07:30\" by the endpoint's time zone, or RFC 3339 (default: now)")
	x.flags(c)
	complete(c, "action", func() []cobra.Completion { return texts(access.Actions) })
	complete(c, "group", func() []cobra.Completion {
		f, err := readConfig(x.path, x.env)
		if err != nil {
			return nil
		}
		return completions(f.Access.Groups())
	})
	return c
}

func accessTestCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	x := &explaining{verb: verb{env: env, stdout: stdout, stderr: stderr}}
	c := &cobra.Command{
		Use:   "test CASES.yaml",
		Short: "Decide a file of cases by the access rules, and print those that end otherwise than it wants",
		Long: `Decide a file of cases by the access rules of a configuration, and print each that ends otherwise than the file wants, with
what was decided and how each rule was weighed. It is a test to run before a configuration is deployed. The exit code is 0
when all end as wanted, 1 when one does not, and 2 when the cases cannot be read or are about what is not there.
nightlatch help access-cases says what the file holds.`,
		Example: "  nightlatch access test cases.yaml --config nightlatch.yaml",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("which cases? %s", c.UseLine())
			}
			return nil
		},
		DisableFlagsInUseLine: true,
		RunE:                  func(_ *cobra.Command, args []string) error { return x.test(args[0]) },
	}
	x.flags(c)
	return c
}

// explaining is a command about the rules, and what the command line said of it.
type explaining struct {
	verb
	groups     []string
	cut        bool
	action, at string
}

func (x *explaining) flags(c *cobra.Command) {
	c.Flags().StringVar(&x.path, "config", "", "configuration `file`, as the function has it (default: NIGHTLATCH_CONFIG, else nightlatch.yaml)")
	c.Flags().BoolVar(&x.json, "json", false, "print one JSON object; nightlatch help json says which")
}

// explainJSON is the object of nightlatch access explain.
type explainJSON struct {
	Subject   latch.Subject    `json:"subject"`
	Groups    []string         `json:"groups"`
	GroupsCut bool             `json:"groupsCut,omitempty"`
	Endpoint  string           `json:"endpoint"`
	Action    access.Action    `json:"action"`
	At        time.Time        `json:"at"`
	Rules     []consideredJSON `json:"rules"`
	Decision  decisionJSON     `json:"decision"`
}

type consideredJSON struct {
	Rule   string       `json:"rule"`
	Effect string       `json:"effect"` // allow or deny
	Match  access.Match `json:"match"`
	By     string       `json:"by,omitempty"`
	Next   time.Time    `json:"next,omitzero"`
	Text   string       `json:"text"`
}

type decisionJSON struct {
	Allowed bool        `json:"allowed"`
	Code    access.Code `json:"code"`
	Rule    string      `json:"rule,omitempty"`
	Longest int64       `json:"longestSeconds,omitempty"`
	Reason  bool        `json:"reasonRequired,omitempty"`
	From    time.Time   `json:"from,omitzero"`
	Contact string      `json:"contact,omitempty"`
	Text    string      `json:"text"`
}

// accessTestJSON is the object of nightlatch access test.
type accessTestJSON struct {
	Cases  []caseJSON `json:"cases"`
	Failed int        `json:"failed"`
}

type caseJSON struct {
	Name     string           `json:"name,omitempty"`
	Line     int              `json:"line"`
	Passed   bool             `json:"passed"`
	Want     string           `json:"want"`
	Rules    []consideredJSON `json:"rules"`
	Decision decisionJSON     `json:"decision"`
}

func (x *explaining) run(subject, endpoint string) error {
	c, err := readConfig(x.path, x.env)
	if err != nil {
		return err
	}
	e, err := c.Endpoint(endpoint)
	if err != nil {
		return usagef("%w", err)
	}
	q := access.Request{Endpoint: e.Name, At: time.Now()}
	if q.Action, err = config.Action(x.action); err != nil {
		return usagef("--action: %w", err)
	}
	if x.at != "" {
		if q.At, err = config.Time(x.at, e.Location); err != nil {
			return usagef("--at: %w", err)
		}
	}
	q.Who.GroupsCut = x.cut
	for _, g := range x.groups {
		group, err := c.Group(g)
		if err != nil {
			return usagef("--group: %w", err)
		}
		q.Who.Groups = append(q.Who.Groups, group)
	}
	q.Who.Subject = latch.Subject(subject)
	if s, ok := c.Access.People()[subject]; ok {
		q.Who.Subject = s
	} else if strings.Contains(subject, "@") {
		x.say("%s is taken for a subject; an e-mail address decides nothing, and the audit shows who has which subject", subject)
	}
	d, weighed := c.Access.Explain(q)
	if x.json {
		return x.encode(explainJSON{q.Who.Subject, append([]string{}, q.Who.Groups...), x.cut, e.Name, q.Action, q.At, rulesJSON(weighed, e.Location), decided(d, weighed, e.Location)})
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s %s, %s\n", named(c, q.Who.Subject), q.Action, e.Name, clockOf(q.At, e.Location))
	if len(q.Who.Groups) > 0 {
		fmt.Fprintf(&b, "in %s\n", strings.Join(q.Who.Groups, ", "))
	}
	fmt.Fprintln(&b)
	weighing(&b, "  ", weighed, e.Location)
	fmt.Fprintln(&b, decided(d, weighed, e.Location).Text)
	if !d.Allowed && d.Contact != "" {
		fmt.Fprintf(&b, "whoever is refused is told to ask: %s\n", d.Contact)
	}
	_, err = io.WriteString(x.stdout, b.String())
	return err
}

func (x *explaining) test(path string) error {
	c, err := readConfig(x.path, x.env)
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &told{errUsage, "there are no cases " + path, "nightlatch help access-cases says what such a file holds"}
	} else if err != nil {
		return fmt.Errorf("cases: %w", err)
	}
	cases, err := c.Cases(path, raw)
	if err != nil {
		return usagef("the cases have faults:\n%w", err)
	}
	out := accessTestJSON{Cases: []caseJSON{}}
	var b strings.Builder
	for _, k := range cases {
		e, err := c.Endpoint(k.Request.Endpoint)
		if err != nil {
			return err
		}
		d, weighed := c.Access.Explain(k.Request)
		passed := d.Allowed == k.Allowed && (k.Code == "" || d.Code == k.Code) && (k.Rule == "" || d.Rule == k.Rule)
		text := decided(d, weighed, e.Location)
		out.Cases = append(out.Cases, caseJSON{k.Name, k.Line, passed, wanted(k), rulesJSON(weighed, e.Location), text})
		if passed {
			continue
		}
		out.Failed++
		name := k.Name
		if name == "" {
			name = fmt.Sprintf("%s %s", k.Request.Action, e.Name)
		}
		fmt.Fprintf(&b, "%s:%d: %s\n  want %s\n  got  %s, %s\n", path, k.Line, name, wanted(k), d.Code, text.Text)
		weighing(&b, "    ", weighed, e.Location)
	}
	if x.json {
		err = x.encode(out)
	} else {
		fmt.Fprintf(&b, "%d of %d cases end as wanted\n", len(cases)-out.Failed, len(cases))
		_, err = io.WriteString(x.stdout, b.String())
	}
	if err == nil && out.Failed > 0 {
		err = errSaid
	}
	return err
}

// wanted says what a case wants.
func wanted(k config.Case) string {
	s := "denied"
	if k.Allowed {
		s = "allowed"
	}
	if k.Code != "" {
		s = string(k.Code)
	}
	if k.Rule != "" {
		s += " by rule " + k.Rule
	}
	return s
}

// named is a subject with the label that stands for it.
func named(c *config.Config, s latch.Subject) string {
	for label, of := range c.Access.People() {
		if of == s {
			return fmt.Sprintf("%s (%s)", label, s)
		}
	}
	return string(s)
}

// weighing writes a line for each rule.
func weighing(to io.Writer, indent string, weighed []access.Considered, place *time.Location) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for _, r := range rulesJSON(weighed, place) {
		fmt.Fprintf(t, "%s%s\t%s\t%s\n", indent, r.Rule, r.Effect, r.Text)
	}
	t.Flush()
	if len(weighed) > 0 {
		fmt.Fprintln(to)
	}
}

func rulesJSON(weighed []access.Considered, place *time.Location) []consideredJSON {
	all := []consideredJSON{}
	for _, w := range weighed {
		r := consideredJSON{Rule: w.Rule, Effect: "allow", Match: w.Match, By: w.By, Next: w.Next}
		if w.Deny {
			r.Effect = "deny"
		}
		switch w.Match {
		case access.OtherAction:
			r.Text = "is about other actions"
		case access.OtherEndpoint:
			r.Text = "is for other endpoints"
		case access.OtherPeople:
			r.Text = "is for other people"
		case access.GroupsCut:
			r.Text = "is for groups, and the list of groups is not whole"
		case access.OutsideHours:
			r.Text = "is for " + w.By + ", at other hours"
			if w.Cut {
				r.Text = "is for groups, and the list of groups is not whole; at other hours"
			}
			if !w.Next.IsZero() {
				r.Text += ", next from " + clockOf(w.Next, place)
			}
		case access.Applies:
			r.Text = "applies: is for " + w.By
			if w.Cut {
				r.Text = "applies: is for groups, and the list of groups is not whole"
			}
		}
		all = append(all, r)
	}
	return all
}

// decided says a decision to an operator; the page has its own words for people.
func decided(d access.Decision, weighed []access.Considered, place *time.Location) decisionJSON {
	out := decisionJSON{d.Allowed, d.Code, d.Rule, int64(d.Longest / time.Second), d.Reason, d.From, d.Contact, ""}
	switch d.Code {
	case access.AllowedByRule:
		out.Text = "allowed by rule " + d.Rule
		if d.Longest > 0 {
			out.Text += ", leases of at most " + short(d.Longest)
		}
		if d.Reason {
			out.Text += ", with a reason"
		}
	case access.AllowedByDefault:
		out.Text = "allowed: there are no rules, and then whoever is signed in may"
	case access.DeniedByRule:
		out.Text = "denied by rule " + d.Rule
	case access.DeniedNoRule:
		if out.Text = "denied: no rule allows it"; len(weighed) == 0 {
			out.Text = "denied: there are no rules, and then nobody may"
		}
	case access.DeniedHours:
		out.Text = "denied: rule " + d.Rule + " allows it at other hours"
	case access.DeniedGroupsCut:
		out.Text = "denied: the list of groups is not whole, and rule " + d.Rule + " is for groups"
	}
	if !d.From.IsZero() {
		out.Text += "; it would be allowed from " + clockOf(d.From, place)
	}
	return out
}

func clockOf(t time.Time, place *time.Location) string {
	return t.In(place).Format("Mon 2006-01-02 15:04 MST")
}

func texts[T ~string](all []T) []string {
	var out []string
	for _, x := range all {
		out = append(out, string(x))
	}
	return out
}

func list[T ~string](all []T) string { return strings.Join(texts(all), ", ") }

// completions are labels, each with what it stands for.
func completions[T ~string](labels map[string]T) []cobra.Completion {
	var all []cobra.Completion
	for label, of := range labels {
		all = append(all, cobra.CompletionWithDesc(label, string(of)))
	}
	slices.Sort(all)
	return all
}

// complete offers the values of a flag.
func complete(c *cobra.Command, flag string, values func() []cobra.Completion) {
	if err := c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return values(), cobra.ShellCompDirectiveNoFileComp
	}); err != nil {
		panic(err) // there is no such flag
	}
}
