package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// The exit codes. Scripts rely on them: "nightlatch help exit-codes" says what they mean.
const (
	exitDone     = 0
	exitFailed   = 1
	exitUsage    = 2
	exitRefused  = 3
	exitAWS      = 4
	exitNotReady = 5
)

var (
	// errSaid ends the program with exitFailed where the output has said everything already.
	errSaid = errors.New("said already")
	// errUsage is a command line that cannot be meant.
	errUsage = errors.New("usage")
	// errCredentials is for somebody whose environment has no AWS credentials, or none that are still good.
	errCredentials = errors.New("no AWS credentials")
	// errDeclined is for what would cost too much to be done without being told twice.
	errDeclined = errors.New("refused")
	// errNotReady is for somebody who waited for an opening in vain.
	errNotReady = errors.New("not ready")
)

// told is an error that says all by itself, of a kind that only the table below reads.
type told struct {
	kind error
	say  string
	hint string // in place of the table's; may be empty
}

func (t *told) Error() string { return t.say }
func (t *told) Unwrap() error { return t.kind }

// ending is how an error ends the program.
type ending struct {
	is   func(error) bool
	exit int
	hint string // what to do about it, without a full stop; empty when the error says so itself
}

// endings is the one table from errors to exit codes. The first match wins: what AWS thinks of the credentials comes
// before what follows from it. What is not in it is exitFailed.
var endings = []ending{
	{kind(errUsage), exitUsage, ""},
	{kind(context.Canceled), exitFailed, "nightlatch status says what became of it"},
	{kind(errNotReady), exitNotReady, ""},
	{kind(errDeclined), exitRefused, ""},
	{kind(errCredentials), exitFailed, signInAgain},
	{codes("ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidClientTokenId", "UnrecognizedClientException", "AuthFailure",
		"SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature"), exitFailed, signInAgain},
	{codes("UnauthorizedOperation", "AccessDenied", "AccessDeniedException"), exitFailed,
		"your credentials may not do this: AWS's words name the action to allow; nightlatch acts as you, not as the function"},
	{kind(latch.ErrReason), exitRefused, "say why with --reason"},
	{kind(latch.ErrTooLong), exitRefused, "ask for less with --for; lease.max and absolute_max in the configuration are the limits"},
	{kind(latch.ErrHeld), exitRefused, "wait, or take the order back with nightlatch release"},
	{kind(latch.ErrHours), exitRefused, "wait, or change hours in the configuration"},
	{kind(latch.ErrObserving), exitRefused, "mode: observe in the configuration says so"},
	{kind(latch.ErrNoLease), exitRefused, "nightlatch why lists whose leases keep it open; nightlatch open gets you one"},
	{kind(latch.ErrNotReady), exitRefused, "look at the endpoint in the VPC console"},
	{kind(latch.ErrTooEarly), exitRefused, "try again in a moment"},
	{kind(latch.ErrBadRequest), exitUsage, ""},
	{kind(latch.ErrNotFound), exitFailed, "is the configuration about this account and Region? The credentials may belong to another"},
	{kind(latch.ErrBusy), exitAWS, "AWS asks for patience: try again in ten seconds"},
	{kind(latch.ErrConflict), exitAWS, "others wrote at the same time: try again now"},
	{kind(latch.ErrUnavailable), exitAWS, "what is on stays on: try again in a moment"},
	{kind(context.DeadlineExceeded), exitAWS, "what is on stays on: try again in a moment"},
	{kind(latch.ErrRefused), exitFailed, "trying again changes nothing: AWS's words say what is wrong"},
}

const signInAgain = "sign in again (aws sso login), or choose other credentials with AWS_PROFILE"

func kind(k error) func(error) bool { return func(err error) bool { return errors.Is(err, k) } }

// codes are AWS's own.
func codes(of ...string) func(error) bool {
	return func(err error) bool {
		f, ok := errors.AsType[*latch.Fault](err)
		return ok && slices.Contains(of, f.Code)
	}
}

func endingOf(err error) ending {
	e := ending{exit: exitFailed}
	for _, row := range endings {
		if row.is(err) {
			e = row
			break
		}
	}
	if t, ok := errors.AsType[*told](err); ok {
		e.hint = t.hint
	}
	return e
}

// report tells err to a person and returns the exit code.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return exitDone
	}
	e := endingOf(err)
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(stderr, "nightlatch:", err)
		if e.hint != "" {
			fmt.Fprintln(stderr, "hint:", e.hint)
		}
	}
	return e.exit
}
