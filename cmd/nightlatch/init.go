//go:build !lambda

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/survey"
)

// plainName is what may be written into the file as it is; config check says what is wrong with a name otherwise.
var plainName = regexp.MustCompile(`^[a-z0-9.-]*$`)

// initFlags is what the command line said of a first configuration.
type initFlags struct {
	out, region, front, domain string
	endpoints                  []string
	force                      bool
}

func initCommand(env func(string) string, _, stderr io.Writer) *cobra.Command {
	var f initFlags
	c := &cobra.Command{
		Use: "init [--region REGION] [--front alb|httpapi] [--domain DOMAIN] [--endpoint ID]... [--out FILE] [--force]", Short: "Write a first nightlatch.yaml of what the account holds",
		Long: `Write a first nightlatch.yaml of what the account holds: the Region's Client VPN endpoints with the subnets, routes and
security groups that they have now, subnets that would do, public subnets for the load balancer, hosted zones, certificates.
Every value has a comment that says where it comes from, and what else there was to choose stands beside it.

It reads with your credentials, changes nothing at AWS and asks nothing. It says what it found and decided, and what is left
for you to decide; that is empty in the file, and nightlatch config check says so too. What your credentials may not read is
left open in the same way. A file that is there is not overwritten.

An endpoint that is off has no routes: when somebody adds routes to it by hand after each opening, name them in the file.`,
		Example: "  nightlatch init\n  nightlatch init --region ap-northeast-2 --domain vpn.example.com\n  nightlatch init --front httpapi --endpoint cvpn-endpoint-0123456789abcdef0",
		GroupID: groupDeployment, Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, _ []string) error { return f.run(c.Context(), env, stderr) },
	}
	flags := c.Flags()
	flags.StringVar(&f.out, "out", "nightlatch.yaml", "`file` to write")
	flags.StringVar(&f.region, "region", "", "`Region` to look in (default: that of your AWS configuration)")
	flags.StringVar(&f.front, "front", config.FrontALB, "`front` that signs people in: alb, a load balancer, or httpapi, which costs next to nothing")
	flags.StringVar(&f.domain, "domain", "", "`name` of the page's host, vpn.example.com (default: vpn in the account's hosted zone, if it has one)")
	flags.StringArrayVar(&f.endpoints, "endpoint", nil, "`id` of an endpoint; may be given again for another (default: all)")
	flags.BoolVar(&f.force, "force", false, "overwrite the file")
	return c
}

func (f initFlags) run(ctx context.Context, env func(string) string, stderr io.Writer) error {
	if !slices.Contains([]string{config.FrontALB, config.FrontHTTPAPI}, f.front) {
		return usagef("--front %q is neither %s nor %s", f.front, config.FrontALB, config.FrontHTTPAPI)
	}
	domain := strings.TrimSuffix(strings.ToLower(f.domain), ".")
	for flag, v := range map[string]string{"--domain": domain, "--region": f.region} {
		if !plainName.MatchString(v) {
			return usagef("%s %q: a name of letters, digits, - and . is wanted", flag, v)
		}
	}
	if _, err := os.Lstat(f.out); !f.force && !errors.Is(err, fs.ErrNotExist) {
		return there(f.out)
	}
	cfg, err := operatorAWS(ctx, f.region)
	if err != nil {
		return err
	}
	if cfg.Region == "" {
		return usagef("name the Region with --region: your AWS configuration has none")
	}
	draft, err := survey.MakeDraft(ctx, survey.New(cfg), survey.Choice{Region: cfg.Region, Front: f.front, Domain: domain, Endpoints: f.endpoints})
	if err != nil {
		return err
	}
	// Made anew or not at all: a link that somebody laid there meanwhile is not followed.
	flag := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if f.force {
		flag = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	file, err := os.OpenFile(f.out, flag, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return there(f.out)
	}
	if err != nil {
		return err
	}
	_, err = file.Write(draft.YAML)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	say := func(format string, args ...any) { fmt.Fprintf(stderr, "nightlatch: "+format+"\n", args...) }
	for _, line := range draft.Found {
		say("%s", line)
	}
	for _, line := range draft.Open {
		say("yours: %s", line)
	}
	if _, err := config.Parse(f.out, draft.YAML, env); err != nil {
		say("%s is written; fill in what nightlatch config check %s reports:\n%v", f.out, f.out, err)
		return nil
	}
	say("%s is written and complete; read it, then nightlatch deploy plan", f.out)
	return nil
}

func there(file string) error {
	return &told{errUsage, cmp.Or(file, "the file") + " is there already", "name another file with --out, or overwrite it with --force"}
}
