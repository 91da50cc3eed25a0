//go:build !lambda

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/doctor"
	"github.com/nightlatch/nightlatch/internal/role"
	"github.com/nightlatch/nightlatch/internal/survey"
)

// doctorJSON is the object of nightlatch doctor.
type doctorJSON struct {
	Checks []doctor.Check `json:"checks"`
	Result doctor.Result  `json:"result"`
	Now    time.Time      `json:"now"`
}

func doctorCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	var path string
	var asJSON bool
	c := &cobra.Command{
		Use: "doctor [--json]", Short: "Say whether everything is in place, and how to mend what is not",
		Long: `Say whether everything is in place: your credentials and clock, the configuration, the stack, each endpoint with its subnets
and authorization rules, the functions and what their role may, the identity provider and its certificate, the app client,
the load balancer's rules or the HTTP API, zone, DNS, certificate and page, table, schedules, dead letters and alarms; what
the gate costs a month, and from how many open hours a month on it is not worth having. The beat function looks from inside too.

Each check is ok, a warning, a failure, or not checked, with what to do about it. One that your credentials may not make, or
that stands on another that failed, is not checked; so is a permission that IAM's simulation cannot decide about. It only looks,
and takes up to two minutes. The exit code is 1 when a check failed, and else 0.`,
		Example: "  nightlatch doctor\n  nightlatch doctor --json | jq '.checks[] | select(.result != \"ok\")'",
		GroupID: groupDeployment, Args: cobra.NoArgs, DisableFlagsInUseLine: true,
		RunE: func(c *cobra.Command, _ []string) error {
			checks, err := examine(c.Context(), path, env)
			if err != nil {
				return err
			}
			if asJSON {
				enc := json.NewEncoder(stdout)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", "  ")
				if err := enc.Encode(doctorJSON{checks, doctor.Worst(checks), time.Now().UTC()}); err != nil {
					return err
				}
			} else {
				writeChecks(stdout, checks)
			}
			if doctor.Worst(checks) == doctor.Failure {
				return errSaid
			}
			return nil
		},
	}
	c.Flags().StringVar(&path, "config", "", "configuration `file`, as the function has it (default: NIGHTLATCH_CONFIG, else nightlatch.yaml)")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object; nightlatch help json says which")
	return c
}

// examine makes every check that can be made. An error is a command line that cannot be meant, or Ctrl-C.
func examine(ctx context.Context, path string, env func(string) string) ([]doctor.Check, error) {
	var x doctor.Config
	if x.File, x.Fault = readConfig(path, env); errors.Is(x.Fault, errUsage) {
		return nil, x.Fault
	}
	region := ""
	if x.File != nil {
		region = x.File.Region
	}
	cfg, err := operatorAWS(ctx, region)
	if err == nil && cfg.Region == "" {
		err = errors.New("no Region is known: the configuration and your AWS configuration name none")
	}
	if err != nil {
		x.NoAccount = err
	} else {
		x.Account = survey.New(cfg)
		x.Elsewhere = accounts(cfg)
	}
	page, trusted := httpClient(env)
	if err := trusted(); err != nil {
		return nil, err
	}
	x.Page = page
	x.Page.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	x.Resolver = net.DefaultResolver
	x.Calls, x.Metadata = functionCalls, checkMetadata
	checks := doctor.Run(ctx, x)
	return checks, ctx.Err()
}

// accounts finds the account that an endpoint is in, with the role that is assumed there.
func accounts(home aws.Config) func(config.Endpoint) (doctor.Account, error) {
	type place struct{ region, role, externalID string }
	var mu sync.Mutex
	made := map[place]*survey.Account{}
	return func(e config.Endpoint) (doctor.Account, error) {
		mu.Lock()
		defer mu.Unlock()
		at := place{e.Region, e.RoleARN, e.ExternalID}
		if made[at] == nil {
			cfg := home.Copy()
			cfg.Region = e.Region
			if e.RoleARN != "" {
				assumed, err := role.New(role.Config{AWS: home, ARN: e.RoleARN, ExternalID: e.ExternalID})
				if err != nil {
					return nil, err
				}
				cfg.Credentials = assumed
			}
			made[at] = survey.New(cfg)
		}
		return made[at], nil
	}
}

var symbols = map[doctor.Result]string{doctor.OK: "✓", doctor.Warning: "!", doctor.Failure: "✗", doctor.NotChecked: "–"}

// writeChecks writes a line for each check, what to do about it beneath, and how many there are of each kind.
func writeChecks(w io.Writer, checks []doctor.Check) {
	wide := 0
	many := map[doctor.Result]int{}
	for _, c := range checks {
		wide = max(wide, len(c.Name))
		many[c.Result]++
	}
	for _, c := range checks {
		fmt.Fprintf(w, "%s %-*s  %s\n", symbols[c.Result], wide, c.Name, strings.ReplaceAll(c.Detail, "\n", "\n    "))
		if c.Fix != "" && c.Result != doctor.OK {
			fmt.Fprintf(w, "    fix: %s\n", c.Fix)
		}
	}
	fmt.Fprintf(w, "\n%d ok, %s, %s, %d not checked\n", many[doctor.OK], count(many[doctor.Warning], "warning"), count(many[doctor.Failure], "failure"), many[doctor.NotChecked])
}
