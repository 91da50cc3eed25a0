//go:build !lambda

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
)

const groupDeployment = "deployment"

// deployer is one command about the deployment: what the command line said of it.
type deployer struct {
	env            func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer

	path     string // --config
	zip      string
	saml     string
	out      string
	endpoint string
	json     bool
	yes      bool
	replace  bool
	force    bool
	program  bool
	every    time.Duration // between two looks; 0: as the driver does
}

// deployCommand is "nightlatch deploy": AWS's pieces, by CloudFormation.
func deployCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	parent := &cobra.Command{Use: "deploy", Short: "Put Nightlatch on AWS, look at it there, take it down", GroupID: groupDeployment, Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	add := func(use, short, long, example string, run func(*deployer, context.Context) error) (*cobra.Command, *deployer) {
		x := &deployer{env: env, stdin: os.Stdin, stdout: stdout, stderr: stderr}
		c := &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: cobra.NoArgs, DisableFlagsInUseLine: true, ValidArgsFunction: cobra.NoFileCompletions,
			RunE: func(c *cobra.Command, _ []string) error { return deployError(run(x, c.Context())) }}
		c.Flags().StringVar(&x.path, "config", "", "configuration `file` (default: NIGHTLATCH_CONFIG, else nightlatch.yaml)")
		parent.AddCommand(c)
		return c, x
	}
	zip := func(c *cobra.Command, x *deployer) {
		c.Flags().StringVar(&x.zip, "zip", "", "package `file` that nightlatch deploy package made, instead of building the program here")
	}
	saml := func(c *cobra.Command, x *deployer) {
		c.Flags().StringVar(&x.saml, "saml-metadata", "", "Identity Center's SAML metadata: an https address or a `file`; an address is fetched anew by the user pool itself (default: as the stack has it)")
	}

	c, x := add("plan [--saml-metadata URL|FILE] [--zip FILE] [--json]", "Say what deploy apply would change", `Say what deploy apply would change, and change nothing: CloudFormation works it out from a change set, which is deleted again.
A first plan leaves nothing behind either. What would replace the user pool, its client, the table, the load balancer or
what the dead-man's switches hang on is marked, with what that costs.

The functions' program is built for it, because its sum is part of what is compared; it is not uploaded. A template of more
than 51,200 bytes goes through the bucket, which is then made.`,
		"  nightlatch deploy plan\n  nightlatch deploy plan --json | jq -r '.changes[].id'", (*deployer).plan)
	zip(c, x)
	saml(c, x)
	c.Flags().BoolVar(&x.json, "json", false, "print one JSON object; nightlatch help json says which")

	c, x = add("apply [--saml-metadata URL|FILE] [--zip FILE] [--replace] [--yes]", "Bring AWS to where nightlatch.yaml wants it", `Bring AWS to where the configuration wants it, by one CloudFormation stack: build the program and its package, show what changes,
ask, upload, change, and say line by line what happens. What fails is taken back by CloudFormation, and the first real cause
is named. At the end the stack is protected against deletion.

Ctrl-C ends the looking on: CloudFormation goes on by itself, and the same command follows it again. It may be repeated at
any time, and where nothing changed it changes nothing.

People sign in once the user pool knows Identity Center. The first apply prints what to enter in Identity Center's console,
and apply --saml-metadata finishes; the metadata is checked before AWS sees it. The stack remembers it.

Two secrets are told by the environment, when they are new: NIGHTLATCH_WEBHOOK_URL with notify in the configuration, and
NIGHTLATCH_OIDC_CLIENT_SECRET with an issuer of your own. The stack remembers them too, and shows them to nobody.

The program is built from the checkout around the working directory, else from the module in this nightlatch's own version;
for both it takes Go. Without Go, --zip takes a package that nightlatch deploy package made elsewhere.`,
		"  nightlatch deploy apply\n  nightlatch deploy apply --saml-metadata https://portal.sso.eu-central-1.amazonaws.com/saml/metadata/ABC", (*deployer).apply)
	zip(c, x)
	saml(c, x)
	c.Flags().BoolVar(&x.replace, "replace", false, "also replace or remove what deploy plan marks")
	c.Flags().BoolVar(&x.yes, "yes", false, "do not ask")

	c, x = add("status [--program] [--json]", "Say how the deployment is", `Say how the deployment's stack is: its state, its outputs, whether people can sign in, which program it has, and why the last
change failed, if it did.

With --program, the program is built, or taken with --zip, and compared with the deployed one.`,
		"  nightlatch deploy status\n  nightlatch deploy status --json | jq -r .outputs.Url", (*deployer).status)
	zip(c, x)
	c.Flags().BoolVar(&x.program, "program", false, "compare the deployed program with this one")
	c.Flags().BoolVar(&x.json, "json", false, "print one JSON object; nightlatch help json says which")

	c, x = add("destroy [--force] [--yes]", "Close every endpoint, then delete the deployment", `Close every endpoint of the configuration, see at EC2 that nothing is associated any more, and then delete the stack. Without
Nightlatch and its dead-man's switches nobody would close what is open, and AWS charges for it by the hour; so what cannot be
seen closed is not deleted: an endpoint that EC2 does not show, one that is open and only observed, one that somebody has a
lease on, and a schedule group in which dead-man's switches are left. --force ends leases, and leaves observed endpoints as
they are.

The table stays, because the audit is in it, and so does what else the template retains; all of that is listed. The bucket
that Nightlatch made is deleted with its programs.`,
		"  nightlatch deploy destroy", (*deployer).destroy)
	c.Flags().BoolVar(&x.force, "force", false, "also end leases, and leave open endpoints that are only observed")
	c.Flags().BoolVar(&x.yes, "yes", false, "do not ask")

	c, x = add("template [--endpoint NAME]", "Print the CloudFormation template", `Print the CloudFormation template that deploy apply would use for the configuration, to read, to check with other tools, or to
deploy by other means. It asks AWS nothing.

With --endpoint, print the template for where an endpoint is that is in another Region or account than the deployment: the
schedule group for its dead-man's switches and, in another account, the roles that the configuration names. deploy apply
does not make these: they belong there.`,
		"  nightlatch deploy template > nightlatch.template.yaml", (*deployer).template)
	c.Flags().StringVar(&x.endpoint, "endpoint", "", "`name` of an endpoint in another Region or account")

	c, x = add("package --out FILE [--zip FILE]", "Build the functions' package", `Build the functions' package, a zip with bootstrap and nightlatch.yaml, and print its size and its SHA-256. The same source, Go
toolchain and configuration make the same bytes, on every system. It asks AWS nothing. With --zip, the program is that of
another package, and the configuration the given one.`,
		"  nightlatch deploy package --out nightlatch.zip", (*deployer).pack)
	zip(c, x)
	c.Flags().StringVar(&x.out, "out", "", "`file` to write")
	return parent
}

// deployError tells what the driver returns, with what to do about it.
func deployError(err error) error {
	hint := func(kind error, hint string) error { return &told{errors.Join(kind, err), err.Error(), hint} }
	if failed, ok := errors.AsType[*deploy.Failed](err); ok {
		return hint(err, failed.Hint)
	}
	switch _, said := errors.AsType[*told](err); {
	case err == nil || said:
		return err
	case errors.Is(err, deploy.ErrStopped):
		return hint(context.Canceled, "the same command follows it again; nightlatch deploy status looks")
	case errors.Is(err, deploy.ErrReplaces):
		return hint(errDeclined, "nightlatch deploy plan says what it costs; if that is meant, --replace does it")
	case errors.Is(err, deploy.ErrParameter):
		return hint(errUsage, "")
	case errors.Is(err, deploy.ErrBusy):
		return hint(latch.ErrConflict, "nightlatch deploy apply follows it; nightlatch deploy status looks")
	case errors.Is(err, deploy.ErrNoStack):
		return hint(latch.ErrNotFound, "nightlatch deploy apply makes it; is the configuration about this account and Region?")
	case errors.Is(err, deploy.ErrState):
		return hint(err, "nightlatch deploy status says more")
	case errors.Is(err, deploy.ErrNoToolchain):
		return hint(err, "where there is Go, nightlatch deploy package --out FILE makes the package, and --zip FILE takes it here")
	}
	return err
}

// settings reads a configuration with a deploy section.
func (x *deployer) settings() (*config.Config, error) {
	c, err := readConfig(x.path, x.env)
	if err == nil && c.Deploy == nil {
		err = &told{errUsage, "the configuration has no deploy section", "nightlatch init writes one"}
	}
	return c, err
}

func (x *deployer) say(format string, args ...any) {
	fmt.Fprintf(x.stderr, "nightlatch: "+format+"\n", args...)
}

// driver acts at AWS as whoever calls; its credentials are returned beside it.
func (x *deployer) driver(ctx context.Context, c *config.Config) (*deploy.Driver, aws.Config, error) {
	cfg, err := operatorAWS(ctx, c.Region)
	if err != nil {
		return nil, cfg, err
	}
	d, err := deploy.New(deploy.Config{AWS: cfg, Settings: c, Every: x.every, Say: func(line string) { x.say("%s", line) }, Tell: x.tell})
	return d, cfg, err
}

// tell writes one event.
func (x *deployer) tell(e deploy.Event) {
	line := fmt.Sprintf("%s  %-28s %-40s %s", e.At.Local().Format(time.TimeOnly), e.ID, e.Type, e.Status)
	if e.Reason != "" {
		line += "  " + e.Reason
	}
	fmt.Fprintln(x.stderr, line)
}

// build makes the program, or takes the one of --zip.
func (x *deployer) build(ctx context.Context, c *config.Config) (*deploy.Program, error) {
	if x.zip != "" {
		raw, err := os.ReadFile(x.zip)
		if err != nil {
			return nil, usagef("--zip: %w", err)
		}
		p, err := deploy.Take(raw, c.Deploy.Architecture, c.File())
		if err != nil {
			return nil, fmt.Errorf("%s %w", x.zip, err)
		}
		return p, nil
	}
	var from deploy.Source
	if folder, ok := checkout(ctx); ok {
		from.Folder = folder
		x.say("building the functions' program for %s from %s", c.Deploy.Architecture, folder)
	} else {
		if info, ok := debug.ReadBuildInfo(); ok {
			from.Version = info.Main.Version
		}
		x.say("building the functions' program for %s from the module, %s", c.Deploy.Architecture, from.Version)
	}
	p, err := deploy.Build(ctx, from, c.Deploy.Architecture, c.File())
	if err == nil {
		x.say("the package has %d kB, SHA-256 %s", (len(p.Zip)+999)/1000, p.SHA256)
	}
	return p, err
}

// wishes are what flags and environment say beside the configuration.
func (x *deployer) wishes(ctx context.Context) (deploy.Wishes, error) {
	w := deploy.Wishes{WebhookURL: secret.New(x.env(webhookVariable)), ClientSecret: secret.New(x.env(clientSecretVariable))}
	if x.saml == "" {
		return w, nil
	}
	client, trusted := httpClient(x.env)
	err := trusted()
	if err != nil {
		return w, err
	}
	var m deploy.Metadata
	w.SAML, m, err = deploy.ReadMetadata(ctx, client, x.saml, time.Now())
	if err != nil {
		return w, fmt.Errorf("--saml-metadata %s: %w", x.saml, err)
	}
	for _, warning := range m.Warnings {
		x.say("warning: %s", warning)
	}
	x.say("SAML metadata of %s: good", m.EntityID)
	return w, nil
}

// prepared is what plan and apply begin with: what needs no AWS first.
func (x *deployer) prepared(ctx context.Context) (*config.Config, *deploy.Driver, *deploy.Program, deploy.Wishes, error) {
	c, err := x.settings()
	var (
		w deploy.Wishes
		d *deploy.Driver
		p *deploy.Program
	)
	if err == nil {
		w, err = x.wishes(ctx)
	}
	if err == nil {
		d, _, err = x.driver(ctx, c)
	}
	if err == nil {
		p, err = x.build(ctx, c)
	}
	return c, d, p, w, err
}

func (x *deployer) plan(ctx context.Context) error {
	_, d, p, w, err := x.prepared(ctx)
	if err != nil {
		return err
	}
	changes, err := d.Plan(ctx, p, w)
	if changes == nil {
		return err
	}
	if err != nil {
		x.say("%v", err) // of what is left behind; the plan is good
	}
	if x.json {
		return x.encode(changes)
	}
	showChanges(x.stdout, changes)
	return nil
}

func (x *deployer) encode(v any) error {
	e := json.NewEncoder(x.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// showChanges writes a line for each resource, and what replacing one costs below.
func showChanges(out io.Writer, c *deploy.Changes) {
	if c.Nothing() {
		fmt.Fprintf(out, "%s in %s: nothing to change\n", c.Stack, c.Region)
		return
	}
	what := "changes"
	if c.Create {
		what = "is made"
	}
	fmt.Fprintf(out, "%s in %s %s, %d resources:\n", c.Stack, c.Region, what, len(c.Changes))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, x := range c.Changes {
		verb := map[string]string{"Add": "add", "Modify": "change", "Remove": "remove", "Import": "import", "Dynamic": "perhaps change"}[x.Action]
		switch {
		case verb == "":
			verb = strings.ToLower(x.Action)
		case x.Replaces == "True":
			verb = "REPLACE"
		case x.Replaces != "":
			verb = "perhaps replace"
		}
		why := strings.Join(x.Why, ", ")
		if x.Keeps {
			why = strings.TrimPrefix(why+"; the old one stays in the account", "; ")
		}
		row := []string{verb, x.ID, x.Type, why}
		if why == "" {
			row = row[:3]
		}
		fmt.Fprintf(t, "  %s\n", strings.Join(row, "\t"))
	}
	t.Flush()
	for _, x := range c.Costly() {
		fmt.Fprintf(out, "  ! %s: %s\n", x.ID, x.Cost)
	}
}

func (x *deployer) apply(ctx context.Context) error {
	if err := x.canAsk("nightlatch deploy plan shows what would change, and --yes does it unasked"); err != nil {
		return err
	}
	c, d, p, w, err := x.prepared(ctx)
	if err != nil {
		return err
	}
	s, err := d.Apply(ctx, deploy.Order{Program: p, Wishes: w, Replace: x.replace,
		Show:  func(c *deploy.Changes) { showChanges(x.stderr, c) },
		Agree: func() error { return x.ask(ctx, "Make these changes? Type yes: ", "yes") }})
	if err != nil {
		return err
	}
	x.outputs(s.Outputs)
	if s.SignIn() == deploy.SignInPending {
		fmt.Fprintf(x.stdout, "\n%s", deploy.ConsoleSteps(c, s.Outputs))
	}
	return nil
}

func (x *deployer) outputs(all map[string]string) {
	t := tabwriter.NewWriter(x.stdout, 0, 0, 2, ' ', 0)
	for _, k := range sortedKeys(all) {
		fmt.Fprintf(t, "%s\t%s\n", k, all[k])
	}
	t.Flush()
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// canAsk: there is somebody at a terminal, or --yes.
func (x *deployer) canAsk(hint string) error {
	if x.yes {
		return nil
	}
	if f, ok := x.stdin.(*os.File); ok {
		info, err := f.Stat()
		if nobody, gone := os.Stat(os.DevNull); err == nil && info.Mode()&os.ModeCharDevice != 0 && (gone != nil || !os.SameFile(info, nobody)) {
			return nil
		}
	}
	return &told{errUsage, "there is nobody to ask: the standard input is no terminal", hint}
}

// ask returns nil for the wanted answer. Ctrl-C ends the asking.
func (x *deployer) ask(ctx context.Context, question, want string) error {
	if x.yes {
		return nil
	}
	fmt.Fprint(x.stderr, question)
	answer := make(chan string, 1)
	go func() { // ends with the program if nobody answers: a read from a terminal cannot be broken off
		line, _ := bufio.NewReader(x.stdin).ReadString('\n')
		answer <- strings.TrimSpace(line)
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(x.stderr)
		return &told{errDeclined, "not done: nothing is changed", ""}
	case got := <-answer:
		if got != want {
			return &told{errDeclined, "not agreed to: nothing is changed", ""}
		}
	}
	return nil
}

// deployStatusJSON is what deploy status --json prints.
type deployStatusJSON struct {
	Stack     string            `json:"stack"`
	Region    string            `json:"region"`
	StackID   string            `json:"stackId"`
	Status    string            `json:"status"`
	Why       string            `json:"why,omitempty"`
	Busy      bool              `json:"inProgress"`
	Created   time.Time         `json:"created"`
	Updated   time.Time         `json:"updated,omitzero"`
	Protected bool              `json:"terminationProtection"`
	SignIn    string            `json:"signIn,omitempty"`
	Outputs   map[string]string `json:"outputs"`
	Program   string            `json:"program,omitempty"`
	Same      *bool             `json:"programIsThis,omitempty"`
	Failure   *deploy.Event     `json:"cause,omitempty"`
	Hint      string            `json:"hint,omitempty"`
}

func (x *deployer) status(ctx context.Context) error {
	c, err := x.settings()
	if err != nil {
		return err
	}
	d, _, err := x.driver(ctx, c)
	if err != nil {
		return err
	}
	s, err := d.Stack(ctx)
	if err != nil {
		return err
	}
	out := deployStatusJSON{Stack: s.Name, Region: c.Region, StackID: s.ID, Status: s.Status, Why: s.Reason, Busy: s.InProgress(), Created: s.Created, Updated: s.Updated,
		Protected: s.Protected, SignIn: s.SignIn(), Outputs: s.Outputs}
	key := s.Outputs[deploy.OutputCodeKey]
	out.Program = strings.TrimSuffix(filepath.Base(key), ".zip")
	if key == "" {
		out.Program = ""
	}
	if x.program || x.zip != "" {
		p, err := x.build(ctx, c)
		if err != nil {
			return err
		}
		out.Same = new(p.Key() == key)
	}
	failed, err := d.LastFailure(ctx, s)
	if err != nil {
		x.say("why the last change failed cannot be shown: %v", err)
	} else if failed != nil {
		out.Failure, out.Hint = failed.Cause, failed.Hint
	}
	if x.json {
		return x.encode(out)
	}
	w := x.stdout
	fmt.Fprintf(w, "%s in %s: %s\n", out.Stack, out.Region, out.Status)
	if out.Why != "" {
		fmt.Fprintf(w, "why: %s\n", out.Why)
	}
	if f := out.Failure; f != nil {
		fmt.Fprintf(w, "the last change failed at %s: %s (%s): %s\n", f.At.Local().Format(time.DateTime), f.ID, f.Type, f.Reason)
		if out.Hint != "" {
			fmt.Fprintf(w, "hint: %s\n", out.Hint)
		}
	}
	if !out.Protected && s.Good() {
		fmt.Fprintln(w, "it is not protected against deletion: nightlatch deploy apply protects it")
	}
	switch {
	case out.Same == nil:
	case *out.Same:
		fmt.Fprintln(w, "the deployed program is this one")
	default:
		fmt.Fprintln(w, "the deployed program is another than this one: nightlatch deploy apply deploys this one")
	}
	x.outputs(out.Outputs)
	if out.SignIn == deploy.SignInPending {
		fmt.Fprintf(w, "\n%s", deploy.ConsoleSteps(c, s.Outputs))
	}
	return nil
}

func (x *deployer) template(context.Context) error {
	c, err := x.settings()
	if err != nil {
		return err
	}
	var raw []byte
	if x.endpoint != "" {
		if _, err := c.Endpoint(x.endpoint); err != nil {
			return usagef("--endpoint: %w", err)
		}
		raw, err = deploy.RenderPlace(c, x.endpoint)
	} else {
		raw, err = deploy.Render(c)
	}
	if err == nil {
		_, err = x.stdout.Write(raw)
	}
	return err
}

func (x *deployer) pack(ctx context.Context) error {
	if x.out == "" {
		return usagef("where to? nightlatch deploy package --out FILE")
	}
	c, err := x.settings()
	if err != nil {
		return err
	}
	p, err := x.build(ctx, c)
	if err == nil {
		err = os.WriteFile(x.out, p.Zip, 0o644)
	}
	if err == nil {
		_, err = fmt.Fprintf(x.stdout, "%s: linux/%s, %d bytes, SHA-256 %s\n", x.out, c.Deploy.Architecture, len(p.Zip), p.SHA256)
	}
	return err
}
