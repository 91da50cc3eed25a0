//go:build !lambda

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/nightlatch/nightlatch/internal/config"
)

// command runs the command line. Results go to stdout, talk to stderr.
func command(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	root := rootCommand(env, stdout, stderr)
	running := false // cobra has understood the line
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err != nil && !running {
		return usagef("%w", err)
	}
	return err
}

func rootCommand(env func(string) string, stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "nightlatch",
		Short:         "Switch an AWS Client VPN endpoint on when somebody needs it, and off behind them",
		Long:          rootLong,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddGroup(&cobra.Group{ID: groupEndpoints, Title: "Endpoints:"}, &cobra.Group{ID: groupPeople, Title: "People:"}, &cobra.Group{ID: groupDeployment, Title: "Deployment:"})
	root.AddCommand(verbs(env, stdout, stderr)...)
	root.AddCommand(accessCommand(env, stdout, stderr), sessionCommand(env, stdout, stderr), auditCommand(env, stdout, stderr))
	root.AddCommand(initCommand(env, stdout, stderr), doctorCommand(env, stdout, stderr))
	root.AddCommand(deployCommand(env, stdout, stderr))
	root.AddCommand(demoCommand(env, stdout, stderr), configCommand(stdout), versionCommand(stdout))
	root.AddCommand(helpTopics()...)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help lists the flags and what they take", err, c.CommandPath())
	})
	root.SetOut(stdout)
	root.SetErr(stderr)
	return root
}

func usagef(format string, args ...any) error {
	return &told{kind: errUsage, say: fmt.Errorf(format, args...).Error()}
}

func configCommand(stdout io.Writer) *cobra.Command {
	// NoArgs, so that a misspelt verb is an error and not a page of help.
	c := &cobra.Command{Use: "config", Short: "Work with nightlatch.yaml", Args: cobra.NoArgs, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(&cobra.Command{
		Use:   "check [FILE]",
		Short: "Report every fault of a configuration file, with its line",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			path := "nightlatch.yaml"
			if len(args) == 1 {
				path = args[0]
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return fmt.Errorf("%w: name the configuration file, nightlatch config check FILE", err)
			}
			parsed, err := config.Parse(path, raw)
			if err != nil {
				return fmt.Errorf("the configuration has faults:\n%w", err)
			}
			for _, e := range parsed.Endpoints {
				fmt.Fprintf(stdout, "%s: %s (%s), %d subnets: good\n", path, e.Name, e.ID, len(e.Policy.Subnets))
			}
			if names := parsed.Access.Names(); len(names) > 0 {
				fmt.Fprintf(stdout, "%s: access rules %s: good\n", path, strings.Join(names, ", "))
			} else {
				fmt.Fprintf(stdout, "%s: no access rules: whoever is signed in may see, open and extend\n", path)
			}
			return nil
		},
	})
	return c
}

func versionCommand(stdout io.Writer) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(*cobra.Command, []string) {
			version := "unknown"
			if info, ok := debug.ReadBuildInfo(); ok {
				version = info.Main.Version
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						version += " " + s.Value
					}
				}
			}
			fmt.Fprintf(stdout, "nightlatch %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
		},
	}
}
