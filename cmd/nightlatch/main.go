// Command nightlatch switches AWS Client VPN endpoints on for the people who need them, and off behind them. The same
// binary is the Lambda functions' bootstrap and the command line; with the build tag "lambda" it is the bootstrap alone.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // Lambda's provided.al2023 has no time zones of its own
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if code := report(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr), os.Stderr); code != exitDone {
		os.Exit(code)
	}
}

// run is the program: what Lambda starts serves events, what a person starts is a command line.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	if env("AWS_LAMBDA_RUNTIME_API") != "" {
		signal.Reset() // Lambda ends a function between events; there is nothing to put in order, so SIGTERM may
		return bootstrap(env, stdout, stderr)
	}
	return command(ctx, args, env, stdout, stderr)
}
