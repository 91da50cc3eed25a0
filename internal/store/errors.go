package store

import (
	"errors"
	"net/http"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// kinds is the translation of DynamoDB's codes ("Error handling with DynamoDB", Developer Guide). One that is not in
// it is refused, or unavailable when the HTTP status says that the fault is DynamoDB's. A missing table is refused
// too: what is not found in latch's sense is an endpoint, and waiting helps neither.
var kinds = map[string]error{
	"ProvisionedThroughputExceededException": latch.ErrBusy,
	"RequestLimitExceeded":                   latch.ErrBusy,
	"ThrottlingException":                    latch.ErrBusy,
	"LimitExceededException":                 latch.ErrBusy, // too many tables being made at once
	"TransactionConflictException":           latch.ErrBusy,
	"ReplicatedWriteConflictException":       latch.ErrBusy,
	"ConditionalCheckFailedException":        latch.ErrConflict,
	"InternalServerError":                    latch.ErrUnavailable,
	"ServiceUnavailable":                     latch.ErrUnavailable,
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

// translate turns what the SDK returned into one of latch's kinds.
func translate(err error) error {
	if err == nil {
		return nil
	}
	fault := &latch.Fault{Service: "dynamodb", Message: err.Error()}
	api, ok := errors.AsType[smithy.APIError](err)
	// "UnknownError" is the SDK's word for an answer without a code, such as a proxy's page.
	if !ok || api.ErrorCode() == "UnknownError" {
		return &failure{latch.ErrUnavailable, fault, err}
	}
	fault.Code, fault.Message = api.ErrorCode(), api.ErrorMessage()
	if kind, ok := kinds[fault.Code]; ok {
		return &failure{kind, fault, err}
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.HTTPStatusCode() >= http.StatusInternalServerError {
		return &failure{latch.ErrUnavailable, fault, err}
	}
	return &failure{latch.ErrRefused, fault, err}
}
