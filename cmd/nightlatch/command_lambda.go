//go:build lambda

package main

import (
	"context"
	"errors"
	"io"
)

// command is what the Lambda build answers to a person: it has no verbs.
func command(context.Context, []string, func(string) string, io.Writer, io.Writer) error {
	return errors.New("this build is for AWS Lambda alone (AWS_LAMBDA_RUNTIME_API is not set); build without -tags lambda for the command line")
}
