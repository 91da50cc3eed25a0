//go:build !lambda

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/web"
)

// verb is one command about endpoints: what the command line said of it.
type verb struct {
	env            func(string) string
	stdout, stderr io.Writer

	path   string // --config
	json   bool
	length time.Duration
	reason string
	wait   bool
	force  bool
	drift  bool
	glass  bool
}

const (
	// reasonMax is the longest reason, in characters; the page takes no longer one either.
	reasonMax = 200
	// forLeast is the shortest time to ask for, as on the page.
	forLeast = time.Second

	groupEndpoints = "endpoints"
)

const rootLong = `Nightlatch switches AWS Client VPN endpoints on for the people who need them, and off behind them.

The verbs about endpoints do what the page does, and what only operators may. They act with your own AWS credentials, as
the aws command line finds them (AWS_PROFILE, single sign-on, the environment; AWS_ENDPOINT_URL is honoured), on the table,
EC2 and EventBridge Scheduler that the configuration names. IAM decides what you may; the audit names you by the ARN that
STS gives. Nightlatch's own sign-in has no part in it, so they work when that is broken.`

// verbs are the commands about endpoints, in the order of the reference.
func verbs(env func(string) string, stdout, stderr io.Writer) []*cobra.Command {
	var all []*cobra.Command
	add := func(use, short, long, example string, args cobra.PositionalArgs, run func(*verb, context.Context, []string) error) (*cobra.Command, *verb) {
		v := &verb{env: env, stdout: stdout, stderr: stderr}
		c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, GroupID: groupEndpoints, Args: args, DisableFlagsInUseLine: true,
			ValidArgsFunction: v.complete, RunE: func(c *cobra.Command, args []string) error { return run(v, c.Context(), args) }}
		c.Flags().StringVar(&v.path, "config", "", "configuration `file`, as the function has it (default: NIGHTLATCH_CONFIG, else nightlatch.yaml)")
		c.Flags().BoolVar(&v.json, "json", false, "print one JSON object; nightlatch help json says which")
		all = append(all, c)
		return c, v
	}
	one := func(do func(*verb, context.Context, *operator, config.Endpoint) error) func(*verb, context.Context, []string) error {
		return func(v *verb, ctx context.Context, args []string) error {
			if err := v.check(); err != nil {
				return err
			}
			c, err := readConfig(v.path, v.env)
			if err != nil {
				return err
			}
			e, err := c.Endpoint(args[0])
			if err != nil {
				return usagef("%w", err)
			}
			o, err := newOperator(ctx, c, v.stderr)
			if err == nil {
				err = do(v, ctx, o, e)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", e.Name, err)
			}
			return nil
		}
	}

	c, v := add("status [ENDPOINT] [--drift]", "Say what an endpoint, or every one, is doing, and why", `Say what an endpoint is doing, why, until when, and who is on it; without ENDPOINT, a line for each. Looking changes
nothing, and costs EC2 no call while others look too.

With --drift, also how it differs from what the configuration declares and Nightlatch has learned: associations, routes,
security groups. What is said there is repaired by the beat function, where it is Nightlatch's to repair.`,
		"  nightlatch status\n  nightlatch status office --drift\n  nightlatch status --json | jq -r '.endpoints[] | select(.state == \"open\") | .endpoint'",
		atMostOne, (*verb).status)
	c.Flags().BoolVar(&v.drift, "drift", false, "compare with what it should be")

	c, v = add("open ENDPOINT [--for TIME] [--reason TEXT] [--break-glass] [--wait]", "Open an endpoint, or join those who use it", `Open an endpoint, or join those who use it: you get a lease, and it stays open while any lease lives. Asked again, it
renews the lease that you hold. Hours, orders of other operators and the longest lease bind operators too.

With --break-glass, hours and orders do not: for an emergency. It takes --for, at most the longest lease, and --reason;
everybody whom notices reach is told who opened it and why, and it stands out in the audit. Your lease has that end, also
where you held a longer one. Nobody else may open or join by it, and an order that somebody gives afterwards ends it.

The command returns when AWS has begun, which takes seconds; AWS itself takes minutes. With --wait it looks on until the
endpoint can be used, and says how long it will take, going by earlier times. It only looks: the beat function, which must
run, restores routes and checks. Ctrl-C ends the waiting and not the opening. The exit code is 0 when it is ready, and 5
when it failed, is stuck, or you stopped waiting.`,
		"  nightlatch open office --for 2h --reason \"month's end\" --wait\n  nightlatch open office --break-glass --for 30m --reason \"the plant is down\"", exactlyOne, one((*verb).open))
	c.Flags().DurationVar(&v.length, "for", 0, "for what `time`, as 90m or 2h (default: lease.default of the endpoint)")
	c.Flags().StringVar(&v.reason, "reason", "", "`text` that says what for; others with access to the records can read it")
	c.Flags().BoolVar(&v.glass, "break-glass", false, "in spite of hours and orders; everybody is told")
	c.Flags().BoolVar(&v.wait, "wait", false, "return when it can be used")
	v.completeFor(c)

	c, v = add("extend ENDPOINT [--for TIME]", "Move the end of your lease", `Move the end of your lease by so much, at most to the longest lease from now and to the absolute maximum of the opening.`,
		"  nightlatch extend office --for 1h", exactlyOne, one((*verb).extend))
	c.Flags().DurationVar(&v.length, "for", 0, "by what `time`, as 30m or 1h (default: lease.default of the endpoint)")
	v.completeFor(c)

	add("done ENDPOINT", "End your lease; the last one's closes the endpoint", `End your lease. When it was the last and nobody else is at work, the endpoint closes; else it stays open for the others.`,
		"  nightlatch done office", exactlyOne, one((*verb).done))

	c, v = add("close ENDPOINT --force --for TIME [--reason TEXT]", "Close an endpoint, whoever uses it, and keep it closed", `Close an endpoint by an operator's order: everybody's lease ends, everybody is disconnected, and nobody can open it until the
order ends. An order always has an end, at most 24 hours from now; nightlatch release ends it earlier. A second order
replaces the first.`,
		"  nightlatch close office --force --for 1h --reason \"works on the network\"", exactlyOne, one((*verb).close))
	c.Flags().BoolVar(&v.force, "force", false, "yes, everybody")
	c.Flags().DurationVar(&v.length, "for", 0, "for what `time` it stays closed, at most 24h")
	c.Flags().StringVar(&v.reason, "reason", "", "`text` that says why; whoever tries to open it is told")

	c, v = add("pause ENDPOINT --for TIME --reason TEXT", "Let nobody open, join or extend for a time", `Let nobody open, join or extend for a time, by an operator's order. Who has a lease keeps it; its end closes the endpoint as
ever. An order always has an end, at most 24 hours from now; nightlatch release ends it earlier. It takes the place of an
order that is there, one to close too.`,
		"  nightlatch pause office --for 2h --reason \"new firewall at six\"", exactlyOne, one((*verb).pause))
	c.Flags().DurationVar(&v.length, "for", 0, "for what `time`, at most 24h")
	c.Flags().StringVar(&v.reason, "reason", "", "`text` that says why; everybody who looks is told")

	add("release ENDPOINT", "End an order that keeps an endpoint closed or paused", `End an operator's order to keep an endpoint closed or paused before its time. It opens nothing: people may open it again.`,
		"  nightlatch release office", exactlyOne, one((*verb).release))

	add("why ENDPOINT", "Say what holds an endpoint open or will close it, and when", `Say what holds an endpoint open, what will close it and when, whose leases there are, how it differs from what it should be,
what went wrong last, how long its phases have taken, and the newest entries of its audit. It shows people's names and
reasons.`,
		"  nightlatch why office", exactlyOne, one((*verb).why))
	return all
}

func exactlyOne(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("which endpoint? %s; nightlatch status lists them", c.UseLine())
	}
	return atMostOne(c, args)
}

func atMostOne(c *cobra.Command, args []string) error {
	if len(args) > 1 {
		return fmt.Errorf("one endpoint at a time: %s", c.UseLine())
	}
	return nil
}

// check says what is wrong with the flags before anybody is asked anything.
func (v *verb) check() error {
	switch v.reason = strings.TrimSpace(v.reason); {
	case v.length != 0 && v.length < forLeast:
		return usagef("--for %v: name a length of time, such as 90m or 2h", v.length)
	case !utf8.ValidString(v.reason) || utf8.RuneCountInString(v.reason) > reasonMax || strings.ContainsFunc(v.reason, latch.Unprintable):
		return usagef("--reason: a reason is one line of at most %d characters", reasonMax)
	}
	return nil
}

// complete offers the endpoints' names to a shell.
func (v *verb) complete(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	var names []cobra.Completion
	if c, err := readConfig(v.path, v.env); err == nil && len(args) == 0 {
		for _, e := range c.Endpoints {
			names = append(names, cobra.CompletionWithDesc(e.Name, e.Title))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeFor offers the lengths of time that the page offers.
func (v *verb) completeFor(c *cobra.Command) {
	err := c.RegisterFlagCompletionFunc("for", func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		var lengths []cobra.Completion
		if c, err := readConfig(v.path, v.env); err == nil && len(args) == 1 {
			if e, err := c.Endpoint(args[0]); err == nil {
				for _, d := range e.Policy.LeaseChoices {
					lengths = append(lengths, short(d))
				}
			}
		}
		return lengths, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveKeepOrder
	})
	if err != nil {
		panic(err) // there is no such flag
	}
}

// short is a length of time as people type it.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// say talks to the person, beside the result.
func (v *verb) say(format string, args ...any) {
	fmt.Fprintf(v.stderr, "nightlatch: "+format+"\n", args...)
}

func (v *verb) status(ctx context.Context, args []string) error {
	c, err := readConfig(v.path, v.env)
	if err != nil {
		return err
	}
	endpoints := c.Endpoints
	if len(args) == 1 {
		e, err := c.Endpoint(args[0])
		if err != nil {
			return usagef("%w", err)
		}
		endpoints = []config.Endpoint{e}
	}
	o, err := newOperator(ctx, c, v.stderr)
	if err != nil {
		return err
	}
	who, err := o.who(ctx)
	if err != nil {
		v.say("your own lease cannot be shown: %v", err)
	}
	var all []shown
	var faults error
	for _, e := range endpoints {
		s := shown{endpoint: webEndpoint(e)}
		s.view, s.err = o.keeper.View(ctx, e.ID, who)
		if s.err == nil && v.drift {
			var x latch.Explanation
			x, s.err = o.keeper.Explain(ctx, e.ID)
			s.drift = append([]latch.Difference{}, x.Differences...)
		}
		if s.err != nil {
			faults = errors.Join(faults, fmt.Errorf("%s: %w", e.Name, s.err))
		}
		all = append(all, s)
	}
	if faults != nil && len(all) == 1 {
		return faults
	}
	return errors.Join(v.showAll(all, len(args) == 0 && !v.drift), faults)
}

func (v *verb) open(ctx context.Context, o *operator, e config.Endpoint) error {
	switch {
	case v.glass && v.length == 0:
		return &told{errUsage, "break-glass has an end", "say for how long with --for"}
	case v.glass && v.reason == "":
		return &told{errUsage, "break-glass has a reason, which everybody is told", "say why with --reason"}
	}
	q, err := o.request(ctx, v.length, v.reason)
	if err != nil {
		return err
	}
	q.BreakGlass = v.glass
	view, err := o.keeper.Open(ctx, e.ID, q)
	if err != nil {
		return err
	}
	w := web.English(e.Location, time.Now())
	if view.Mine.Until.IsZero() { // taken back in the same breath
		return fmt.Errorf("it does not open: %s", w.Reason(view.Reason))
	}
	if view.Clipped {
		v.say("%s: you have it until %s, which is less than you asked for and as far as is allowed", e.Name, w.Clock(view.Mine.Until))
	}
	if v.wait {
		x := waiting{name: e.Name, location: e.Location, enough: max(2, len(e.Policy.Subnets)), progress: newProgress(v.stderr, v.env("TERM")),
			look: func(ctx context.Context) (latch.View, error) { return o.keeper.View(ctx, e.ID, q.Who) }}
		view, err = x.until(ctx, view)
	} else if view.State == latch.StateOpening || view.State == latch.StateClosing {
		v.say("%s: the beat function goes on with it; nightlatch status %s looks, open --wait waits", e.Name, e.Name)
	}
	return errors.Join(err, v.show(e, view))
}

func (v *verb) extend(ctx context.Context, o *operator, e config.Endpoint) error {
	q, err := o.request(ctx, v.length, "")
	if err != nil {
		return err
	}
	view, err := o.keeper.Extend(ctx, e.ID, q)
	if err != nil {
		return err
	}
	if view.Clipped {
		v.say("%s: you have it until %s, which is less than you asked for and as far as is allowed", e.Name, web.English(e.Location, time.Now()).Clock(view.Mine.Until))
	}
	return v.show(e, view)
}

func (v *verb) done(ctx context.Context, o *operator, e config.Endpoint) error {
	q, err := o.request(ctx, 0, "")
	if err != nil {
		return err
	}
	view, err := o.keeper.Done(ctx, e.ID, q)
	if err != nil {
		return err
	}
	return v.show(e, view)
}

func (v *verb) close(ctx context.Context, o *operator, e config.Endpoint) error {
	switch {
	case !v.force:
		return &told{errUsage, "close ends everybody's lease and disconnects everybody",
			fmt.Sprintf("nightlatch done %s ends your own; nightlatch close %s --force --for %s ends all", e.Name, e.Name, short(cmp.Or(v.length, time.Hour)))}
	case v.length == 0:
		return &told{errUsage, "an order to close has an end", "say how long it stays closed with --for, at most 24h"}
	}
	q, err := o.request(ctx, v.length, v.reason)
	if err != nil {
		return err
	}
	view, err := o.keeper.Close(ctx, e.ID, q)
	if err != nil {
		return err
	}
	return v.show(e, view)
}

func (v *verb) pause(ctx context.Context, o *operator, e config.Endpoint) error {
	switch {
	case v.length == 0:
		return &told{errUsage, "a pause has an end", "say how long it lasts with --for, at most 24h"}
	case v.reason == "":
		return &told{errUsage, "a pause has a message, which everybody is told", "say why with --reason"}
	}
	q, err := o.request(ctx, v.length, v.reason)
	if err != nil {
		return err
	}
	view, err := o.keeper.Pause(ctx, e.ID, q)
	if err != nil {
		return err
	}
	return v.show(e, view)
}

func (v *verb) release(ctx context.Context, o *operator, e config.Endpoint) error {
	q, err := o.request(ctx, 0, "")
	if err != nil {
		return err
	}
	view, err := o.keeper.Release(ctx, e.ID, q)
	if errors.Is(err, latch.ErrNoLease) {
		return &told{latch.ErrNoLease, "no order keeps it closed", ""}
	}
	if err != nil {
		return err
	}
	return v.show(e, view)
}

func (v *verb) why(ctx context.Context, o *operator, e config.Endpoint) error {
	x, err := o.keeper.Explain(ctx, e.ID)
	if err != nil {
		return err
	}
	return v.explain(e, x)
}
