//go:build !lambda

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/store"
	"github.com/nightlatch/nightlatch/internal/web"
)

const (
	groupPeople = "people"
	// idShown is how much of a session's id is shown, and idLeast how much of it names one.
	idShown, idLeast = 12, 8
	refusalsLooked   = 10_000
)

// sessionsJSON is the object of nightlatch session list, and blocksJSON that of nightlatch access blocked.
type sessionsJSON struct {
	Sessions []access.Session `json:"sessions"`
	Now      time.Time        `json:"now"`
}

type blocksJSON struct {
	Blocks []access.Block `json:"blocks"`
	Now    time.Time      `json:"now"`
}

// sessionCommand is nightlatch session with its verbs.
func sessionCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	// NoArgs, so that a misspelt verb is an error and not a page of help.
	c := &cobra.Command{Use: "session", Short: "List and end the sessions of those who are signed in", GroupID: groupPeople, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	list, v := peopleCommand(env, stdout, stderr, "list [--json]", "List those who are signed in", `List the sessions that live, the newest first: who, since when, until when, and from which address they signed in. Only the
front that signs people in itself (signin.oidc) keeps sessions; behind a load balancer they are the load balancer's.`,
		"  nightlatch session list", cobra.NoArgs, (*verb).sessions)
	list.Flags().BoolVar(&v.json, "json", false, "print one JSON object; nightlatch help json says which")
	revoke, _ := peopleCommand(env, stdout, stderr, "revoke SUBJECT|ID", "End somebody's sessions, or one", `End every session of a subject, or the one whose id begins with ID, of which nightlatch session list shows enough. It holds from
the browser's next request on. Who may still sign in at the issuer can do so again: nightlatch access block keeps them out.`,
		"  nightlatch session revoke 8d6c7b5a-1f2e-4d3c-9b8a-0123456789ab\n  nightlatch session revoke 4be1c9d07a52", exactlyOnePerson, (*verb).revoke)
	c.AddCommand(list, revoke)
	return c
}

// accessPeopleCommands are the verbs of nightlatch access that act on people rather than on rules.
func accessPeopleCommands(env func(string) string, stdout, stderr io.Writer) []*cobra.Command {
	block, v := peopleCommand(env, stdout, stderr, "block SUBJECT --reason TEXT [--for TIME]", "Keep somebody out, whatever the rules say",
		`Keep somebody out of the page and the API, on every front and from their next request on, whatever the rules say: for a time, or
until nightlatch access unblock. A block goes by the subject, which nightlatch session list and nightlatch why --json show, and not by a
name or an e-mail address. A second block replaces the first.

It does not close what they have opened: their lease ends when it ends, and nightlatch close ends it now. It does not end a VPN
connection either, which the endpoint's own authentication decides about.`,
		"  nightlatch access block 8d6c7b5a-1f2e-4d3c-9b8a-0123456789ab --reason \"left the company\"", exactlyOnePerson, (*verb).block)
	block.Flags().StringVar(&v.reason, "reason", "", "`text` that says why, for the audit and for other operators")
	block.Flags().DurationVar(&v.length, "for", 0, "for what `time`, as 8h (default: until it is taken back)")
	unblock, _ := peopleCommand(env, stdout, stderr, "unblock SUBJECT", "Take a block back", `Take somebody's block back. It holds from their next request on, and gives them nothing that the rules do not.`,
		"  nightlatch access unblock 8d6c7b5a-1f2e-4d3c-9b8a-0123456789ab", exactlyOnePerson, (*verb).unblock)
	blocked, v := peopleCommand(env, stdout, stderr, "blocked [--json]", "List those who are kept out", `List the blocks that are in force, the newest first: whom, by whom, why, since when and until when.`,
		"  nightlatch access blocked", cobra.NoArgs, (*verb).blocked)
	blocked.Flags().BoolVar(&v.json, "json", false, "print one JSON object; nightlatch help json says which")
	return []*cobra.Command{block, unblock, blocked}
}

// peopleCommand makes a command about people, who are in the table that the configuration names.
func peopleCommand(env func(string) string, stdout, stderr io.Writer, use, short, long, example string, args cobra.PositionalArgs,
	run func(*verb, context.Context, *operator, *store.Store, []string) error) (*cobra.Command, *verb) {
	v := &verb{env: env, stdout: stdout, stderr: stderr}
	c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: args, DisableFlagsInUseLine: true,
		ValidArgsFunction: cobra.NoFileCompletions, RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			if err := v.checkPerson(args); err != nil {
				return err
			}
			parsed, err := readConfig(v.path, v.env)
			if err != nil {
				return err
			}
			o, err := newOperator(ctx, parsed, v.stderr)
			if err != nil {
				return err
			}
			people, err := store.New(store.Config{AWS: o.aws, Table: o.config.Table, KeepAudit: parsed.KeepAudit})
			if err != nil {
				return err
			}
			return run(v, ctx, o, people, args)
		}}
	c.Flags().StringVar(&v.path, "config", "", "configuration `file`, as the function has it (default: NIGHTLATCH_CONFIG, else nightlatch.yaml)")
	return c, v
}

func exactlyOnePerson(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("one person at a time: %s", c.UseLine())
	}
	return nil
}

// checkPerson says what is wrong with the command line before anybody is asked anything.
func (v *verb) checkPerson(args []string) error {
	for _, who := range args {
		if !access.IsSubject(latch.Subject(who)) {
			return usagef("%q is no subject: at most 255 letters, digits and signs of ASCII, with no space", who)
		}
	}
	return v.check()
}

func (v *verb) sessions(ctx context.Context, o *operator, people *store.Store, _ []string) error {
	all, err := people.Sessions(ctx)
	if err != nil {
		return err
	}
	if d := o.config.Deploy; o.config.OIDC == nil && (d == nil || d.Front != config.FrontHTTPAPI) {
		v.say("the load balancer of signin.alb keeps the sessions of those who sign in there; nightlatch access block keeps somebody out")
	}
	now := time.Now()
	if v.json {
		return v.encode(sessionsJSON{append([]access.Session{}, all...), now.UTC()})
	}
	w := web.English(time.UTC, now)
	t := tabwriter.NewWriter(v.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ID\tSUBJECT\tNAME\tSINCE\tUNTIL\tFROM")
	for _, s := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", s.ID[:min(idShown, len(s.ID))], s.Subject, s.Name, w.Clock(s.Since), w.Clock(s.Until), s.Source)
	}
	return t.Flush()
}

func (v *verb) revoke(ctx context.Context, o *operator, people *store.Store, args []string) error {
	who, err := o.who(ctx)
	if err != nil {
		return err
	}
	all, err := people.Sessions(ctx)
	if err != nil {
		return err
	}
	named := slices.DeleteFunc(slices.Clone(all), func(s access.Session) bool { return string(s.Subject) != args[0] })
	if len(named) == 0 && len(args[0]) >= idLeast {
		named = slices.DeleteFunc(slices.Clone(all), func(s access.Session) bool { return !strings.HasPrefix(s.ID, args[0]) })
		if len(named) > 1 {
			return usagef("%d sessions begin with %s: name more of the id, or the subject", len(named), args[0])
		}
	}
	if len(named) == 0 {
		return &told{latch.ErrNoLease, fmt.Sprintf("there is no session of %s", args[0]), meant(all, args[0], "nightlatch session list shows those that there are")}
	}
	var faults error
	for _, s := range named {
		// It is ended without the audit too: its cookie may be in the wrong hands.
		noted := people.Append(ctx, o.entry(who, "session.revoke", string(s.Subject)+" "+s.ID, "", ""))
		if err := people.EndSession(ctx, s.ID); err != nil {
			faults = errors.Join(faults, err)
			continue
		}
		fmt.Fprintf(v.stdout, "%s of %s is ended\n", s.ID[:min(idShown, len(s.ID))], called(s.Name, s.Subject))
		faults = errors.Join(faults, unnoted(noted))
	}
	return faults
}

// unnoted is for what is done even when nobody can write it down, because it takes something away.
func unnoted(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("it is done, and not in the audit: %w", err)
}

func (v *verb) block(ctx context.Context, o *operator, people *store.Store, args []string) error {
	if v.reason == "" {
		return &told{errUsage, "a block has a reason", "say why with --reason; other operators read it"}
	}
	who, err := o.who(ctx)
	if err != nil {
		return err
	}
	b := access.Block{Subject: latch.Subject(args[0]), By: who.Subject, Why: v.reason, Since: time.Now().UTC()}
	if v.length > 0 {
		b.Until = b.Since.Add(v.length)
	}
	before, err := people.Blocked(ctx, b.Subject)
	if err != nil {
		return err
	}
	noted := people.Append(ctx, o.entry(who, "access.block", blockText(before), blockText(&b), b.Why))
	if err := people.SaveBlock(ctx, b); err != nil {
		return err
	}
	fmt.Fprintf(v.stdout, "%s is kept out %s\n", b.Subject, until(b, time.Now()))
	v.sayIfUnknown(ctx, people, b.Subject)
	return unnoted(noted)
}

// sayIfUnknown warns of what looks like somebody's name: that is what is kept out then, and they are not.
func (v *verb) sayIfUnknown(ctx context.Context, people *store.Store, who latch.Subject) {
	sessions, err := people.Sessions(ctx)
	refusals, err2 := people.Refusals(ctx, refusalsLooked)
	if err := errors.Join(err, err2); err != nil {
		v.say("whether anybody here has this subject cannot be looked up: %v", err)
		return
	}
	if slices.ContainsFunc(sessions, func(s access.Session) bool { return s.Subject == who }) || slices.ContainsFunc(refusals, func(r access.Refusal) bool { return r.Subject == who }) {
		return
	}
	v.say("%s", meant(sessions, string(who), fmt.Sprintf("no session and no refusal is of %s: see that it is a subject, and not a name or an e-mail address", who)))
}

// meant says whose subject somebody may have meant who gave a name or an e-mail address.
func meant(sessions []access.Session, given, otherwise string) string {
	for _, s := range sessions {
		if strings.EqualFold(s.Name, given) || strings.EqualFold(s.Email, given) {
			return fmt.Sprintf("%s is not a subject: the one of %s is %s", given, called(s.Name, s.Subject), s.Subject)
		}
	}
	return otherwise
}

func (v *verb) unblock(ctx context.Context, o *operator, people *store.Store, args []string) error {
	who, err := o.who(ctx)
	if err != nil {
		return err
	}
	b, err := people.Blocked(ctx, latch.Subject(args[0]))
	if err != nil {
		return err
	}
	none := &told{latch.ErrNoLease, fmt.Sprintf("no block keeps %s out", args[0]), "nightlatch access blocked lists those that there are"}
	if b == nil {
		return none
	}
	if err := people.Append(ctx, o.entry(who, "access.unblock", blockText(b), "", "")); err != nil {
		return err
	}
	if err := people.Unblock(ctx, b.Subject); errors.Is(err, latch.ErrNotFound) {
		return none // somebody else was faster
	} else if err != nil {
		return err
	}
	fmt.Fprintf(v.stdout, "%s is not kept out any more\n", b.Subject)
	return nil
}

func (v *verb) blocked(ctx context.Context, _ *operator, people *store.Store, _ []string) error {
	all, err := people.Blocks(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	if v.json {
		return v.encode(blocksJSON{append([]access.Block{}, all...), now.UTC()})
	}
	w := web.English(time.UTC, now)
	t := tabwriter.NewWriter(v.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SUBJECT\tSINCE\tUNTIL\tBY\tWHY")
	for _, b := range all {
		end := "taken back"
		if !b.Until.IsZero() {
			end = w.Clock(b.Until)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", b.Subject, w.Clock(b.Since), end, b.By, b.Why)
	}
	return t.Flush()
}

// until is when a block ends, for people; blockText is a block in the audit.
func until(b access.Block, now time.Time) string {
	if b.Until.IsZero() {
		return "until it is taken back"
	}
	return "until " + web.English(time.UTC, now).Clock(b.Until)
}

func blockText(b *access.Block) string {
	switch {
	case b == nil:
		return ""
	case b.Until.IsZero():
		return string(b.Subject)
	}
	return string(b.Subject) + " until " + b.Until.UTC().Format(time.RFC3339)
}

// called is a person by name and subject.
func called(name string, s latch.Subject) string {
	if name == "" {
		return string(s)
	}
	return fmt.Sprintf("%s (%s)", name, s)
}

// entry is one of the audit about people.
func (o *operator) entry(who latch.Principal, action, before, after, why string) latch.Entry {
	return latch.Entry{At: time.Now().UTC(), ID: rand.Text(), Subject: who.Subject, Issuer: who.Issuer, Name: who.Name, Action: action, Before: before, After: after, Why: why,
		Source: "command line", Request: rand.Text()}
}
