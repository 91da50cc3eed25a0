//go:build !lambda

package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/logging"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/deploy"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// operator is somebody at a command line. They act at AWS as themselves, with the credentials that the aws command line
// would use: profiles, single sign-on, the environment, AWS_ENDPOINT_URL. IAM decides what they may; Nightlatch's own
// sign-in has no part in it, so it works when that is broken.
type operator struct {
	config *config.Config
	keeper *latch.Keeper
	aws    aws.Config
	stderr io.Writer
}

// readConfig reads the file that --config names, else NIGHTLATCH_CONFIG, else nightlatch.yaml here.
func readConfig(flag string, env func(string) string) (*config.Config, error) {
	path := cmp.Or(flag, env("NIGHTLATCH_CONFIG"), "nightlatch.yaml")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &told{errUsage, fmt.Sprintf("there is no configuration %s", path), "name the file that the function has with --config FILE, or in NIGHTLATCH_CONFIG"}
	} else if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, err := config.Parse(path, raw, env)
	if err != nil {
		return nil, fmt.Errorf("the configuration has faults:\n%w", err)
	}
	return c, nil
}

// newOperator finds the credentials and asks AWS nothing yet, beside what finding them takes. Where Nightlatch deployed itself,
// what the configuration leaves to the stack is read from it.
func newOperator(ctx context.Context, c *config.Config, stderr io.Writer) (*operator, error) {
	cfg, err := operatorAWS(ctx, c.Region)
	if err != nil {
		return nil, err
	}
	if c, err = completed(ctx, c, cfg); err != nil {
		return nil, err
	}
	return operatorOf(c, cfg, stderr)
}

// operatorAWS finds an operator's credentials.
func operatorAWS(ctx context.Context, region string) (aws.Config, error) {
	// The SDK's own log would stand between our lines, and what matters of it comes as errors too.
	cfg, err := awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region), awsconfig.WithLogger(logging.Nop{}))
	if err == nil {
		_, err = cfg.Credentials.Retrieve(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return aws.Config{}, ctx.Err()
		}
		return aws.Config{}, fmt.Errorf("%w: %w", errCredentials, err)
	}
	return cfg, nil
}

// completed is the configuration with what only the deployed stack knows; itself where it leaves nothing out.
func completed(ctx context.Context, c *config.Config, cfg aws.Config) (*config.Config, error) {
	missing := c.Complete()
	if missing == nil {
		return c, nil
	}
	outputs, err := deploy.Outputs(ctx, cfg, c)
	if err != nil {
		return nil, deployError(fmt.Errorf("the configuration leaves out what the deployed stack says: %w", err))
	}
	return c.With(stackVariables(outputs))
}

// stackVariables says what a stack's outputs mean in the configuration, of what a command line needs. Nobody signs in at
// one.
func stackVariables(outputs map[string]string) func(string) string {
	known := map[string]string{config.Variable("signin.pending"): "true"}
	for key, output := range map[string]string{"table": deploy.OutputTableName, "deadman.group": deploy.OutputDeadmanGroup,
		"deadman.role_arn": deploy.OutputDeadmanRoleARN, "deadman.dead_letter_arn": deploy.OutputDeadLetterARN} {
		known[config.Variable(key)] = outputs[output]
	}
	return func(name string) string { return known[name] }
}

func operatorOf(c *config.Config, cfg aws.Config, stderr io.Writer) (*operator, error) {
	var tell func(context.Context, latch.Notice) error
	if c.Notify != nil { // what an operator's call finds is kept, and the beat sends it, which knows the webhook
		tell = func(context.Context, latch.Notice) error { return errors.New("messages are the beat's to send") }
	}
	keeper, err := newKeeper(c, cfg, false, tell, talk(stderr))
	if err != nil {
		return nil, err
	}
	return &operator{c, keeper, cfg, stderr}, nil
}

// talk logs what a person should know of a call under way.
func talk(stderr io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(prefixed{stderr}, &slog.HandlerOptions{Level: slog.LevelWarn, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// prefixed begins each line, of which a handler writes one at a time, with the program's name.
type prefixed struct{ io.Writer }

func (p prefixed) Write(line []byte) (int, error) {
	_, err := fmt.Fprintf(p.Writer, "nightlatch: %s", line)
	return len(line), err
}

// stsErrors has no kinds of its own: STS refuses, or does not answer.
var stsErrors = awserr.Service{Name: "sts"}

// identifyWithin bounds the call to STS with its retries.
const identifyWithin = 10 * time.Second

// who is the operator as the audit names them: the ARN that STS gives for the credentials. Of an assumed role that has
// the session's name at its end, which with IAM Identity Center is the person's user name.
func (o *operator) who(ctx context.Context) (latch.Principal, error) {
	ctx, cancel := context.WithTimeout(ctx, identifyWithin)
	defer cancel()
	client := sts.NewFromConfig(o.aws, func(x *sts.Options) {
		x.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxBackoff = time.Second }) // a person waits
	})
	out, err := client.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return latch.Principal{}, fmt.Errorf("who you are: %w", stsErrors.Translate(err))
	}
	arn := aws.ToString(out.Arn)
	if arn == "" {
		return latch.Principal{}, errors.New("who you are: STS answered without an ARN")
	}
	name := arn[strings.LastIndexAny(arn, "/:")+1:]
	return latch.Principal{Subject: latch.Subject(arn), Issuer: "sts.amazonaws.com", Name: name}, nil
}

// sourceCommandLine stands in the audit where a client's address would.
const sourceCommandLine = "command line"

// request is what the operator asks of an endpoint.
func (o *operator) request(ctx context.Context, length time.Duration, why string) (latch.Request, error) {
	who, err := o.who(ctx)
	return latch.Request{Who: who, For: length, Why: why, Source: sourceCommandLine, ID: rand.Text()}, err
}
