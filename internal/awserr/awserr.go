// Package awserr turns what the AWS SDK returns into the latch's kinds of error, with AWS's own words in the chain. The
// adapters share it because the shape of a failure is the SDK's, whichever service answered; the codes are theirs.
package awserr

import (
	"errors"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Service is one AWS service and what its codes mean. A code that is not in Kinds is busy when the SDK knows it as a
// throttle's, whichever service says it; unavailable when the SDK knows it as a time-out's, or the HTTP status says that
// the fault is the service's; and else refused.
type Service struct {
	Name  string // as latch.Fault has it
	Kinds map[string]error
}

// Translate returns err as one of latch's kinds; nil stays nil, and what was translated before stays as it is. That may
// be another service's: a role that STS does not give fails the call that was to be signed, and is told without what the
// SDK says about that call, which never was.
func (s Service) Translate(err error) error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*failure](err); ok {
		if call, ok := errors.AsType[*smithy.OperationError](err); ok && errors.Is(call.Err, f) {
			return f
		}
		return err
	}
	code := Code(err)
	if code == "" {
		// No answer, or one that the service does not give.
		return s.As(latch.ErrUnavailable, err)
	}
	if kind, ok := s.Kinds[code]; ok {
		return s.As(kind, err)
	}
	if _, ok := retry.DefaultThrottleErrorCodes[code]; ok {
		return s.As(latch.ErrBusy, err)
	}
	if _, ok := retry.DefaultRetryableErrorCodes[code]; ok {
		return s.As(latch.ErrUnavailable, err)
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.HTTPStatusCode() >= http.StatusInternalServerError {
		return s.As(latch.ErrUnavailable, err)
	}
	return s.As(latch.ErrRefused, err)
}

// As says that cause is of this kind, whatever its code.
func (s Service) As(kind, cause error) error {
	if fault, ok := errors.AsType[*latch.Fault](cause); ok {
		return &failure{kind, fault, cause}
	}
	fault := &latch.Fault{Service: s.Name, Message: cause.Error()}
	if api, ok := errors.AsType[smithy.APIError](cause); ok && Code(cause) != "" {
		fault.Code, fault.Message = api.ErrorCode(), api.ErrorMessage()
	}
	return &failure{kind, fault, cause}
}

// Code is AWS's code, empty when no service answered. "UnknownError" is the SDK's word for an answer without a code,
// such as a proxy's page.
func Code(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "UnknownError" {
		return api.ErrorCode()
	}
	return ""
}

// failure is one of latch's kinds with AWS's words. The SDK's own error stays in the chain, for what only it knows,
// such as that the context ended; it is not in the text, which would say everything twice.
type failure struct {
	kind  error
	fault *latch.Fault
	cause error
}

// Error has the request's id when there is one: AWS Support asks for it.
func (f *failure) Error() string {
	text := f.kind.Error() + ": " + f.fault.Error()
	if r, ok := errors.AsType[*awshttp.ResponseError](f.cause); ok && r.RequestID != "" {
		text += " (request " + r.RequestID + ")"
	}
	return text
}

func (f *failure) Unwrap() []error { return []error{f.kind, f.fault, f.cause} }

// RetryableError tells the SDK not to try again what has been tried: one that is no answer to its own call but what
// stopped it, such as a role that cannot be assumed, would otherwise be tried as often as both clients do, multiplied.
func (f *failure) RetryableError() bool { return false }
