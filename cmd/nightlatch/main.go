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
	ctx, stop := context.Background(), func() {}
	if !inLambda(os.Getenv) {
		// Not in a function: Lambda ends it between events, there is nothing to put in order, and taking over signals and
		// giving them back is a tenth of its cold start.
		ctx, stop = signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	}
	defer stop()
	if code := report(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr), os.Stderr); code != exitDone {
		os.Exit(code)
	}
}

// run is the program: what Lambda starts serves events, what a person starts is a command line.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	if inLambda(env) {
		return bootstrap(env, stdout, stderr)
	}
	return command(ctx, args, env, stdout, stderr)
}

// inLambda: Lambda tells a function where its events are to be had.
func inLambda(env func(string) string) bool { return env("AWS_LAMBDA_RUNTIME_API") != "" }
