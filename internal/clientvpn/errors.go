package clientvpn

import (
	"errors"
	"net/http"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/latch"
)

const service = "ec2"

// Codes that a method treats as something other than a failure ("Error codes for the Amazon EC2 API").
const (
	associationNotFound = "InvalidClientVpnAssociationIdNotFound"
	duplicateZone       = "InvalidClientVpnSubnetId.DuplicateAz"
)

// isDuplicateAssociation knows both codes that EC2 lists for one meaning. The first has been seen with and without
// its suffix.
func isDuplicateAssociation(code string) bool {
	return strings.HasPrefix(code, "InvalidClientVpnDuplicateAssociation") || code == "ClientVpnEndpointAssociationExists"
}

func isDuplicateRoute(code string) bool {
	return strings.HasPrefix(code, "InvalidClientVpnDuplicateRoute")
}

// kinds is the translation of EC2's codes. One that is not in it is refused, or unavailable when the HTTP status says
// that the fault is EC2's.
var kinds = map[string]error{
	"RequestLimitExceeded":            latch.ErrBusy,
	"Throttling":                      latch.ErrBusy,
	"ThrottlingException":             latch.ErrBusy,
	"EC2ThrottledException":           latch.ErrBusy,
	"TooManyRequestsException":        latch.ErrBusy,
	"ConcurrentMutationLimitExceeded": latch.ErrBusy, // 10 operations at once on one endpoint ("Client VPN quotas")

	"InvalidClientVpnEndpointId.NotFound": latch.ErrNotFound,
	"InvalidClientVpnSubnetId.NotFound":   latch.ErrNotFound,
	"InvalidSubnetID.NotFound":            latch.ErrNotFound,
	associationNotFound:                   latch.ErrNotFound,

	"InvalidClientVpnActiveAssociationNotFound": latch.ErrTooEarly,
	"IncorrectState": latch.ErrTooEarly,

	// Answered with 4xx or 5xx, depending on where in EC2 they arise.
	"InternalError":      latch.ErrUnavailable,
	"InternalFailure":    latch.ErrUnavailable,
	"ServerInternal":     latch.ErrUnavailable,
	"ServiceUnavailable": latch.ErrUnavailable,
	"Unavailable":        latch.ErrUnavailable,
	"RequestTimeout":     latch.ErrUnavailable,
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

// translate turns what the SDK returned into one of latch's kinds. It leaves alone what has one.
func translate(err error) error {
	if err == nil || errors.Is(err, latch.ErrNotReady) {
		return err
	}
	if _, ok := errors.AsType[*failure](err); ok {
		return err
	}
	code := codeOf(err)
	if code == "" {
		// No answer, or one that no EC2 gives.
		return failed(latch.ErrUnavailable, err)
	}
	if kind, ok := kinds[code]; ok {
		return failed(kind, err)
	}
	if r, ok := errors.AsType[*awshttp.ResponseError](err); ok && r.HTTPStatusCode() >= http.StatusInternalServerError {
		return failed(latch.ErrUnavailable, err)
	}
	return failed(latch.ErrRefused, err)
}

func failed(kind, cause error) error {
	if fault, ok := errors.AsType[*latch.Fault](cause); ok {
		return &failure{kind, fault, cause}
	}
	fault := &latch.Fault{Service: service, Message: cause.Error()}
	if api, ok := errors.AsType[smithy.APIError](cause); ok && codeOf(cause) != "" {
		fault.Code, fault.Message = api.ErrorCode(), api.ErrorMessage()
	}
	return &failure{kind, fault, cause}
}

// codeOf is EC2's code, empty when EC2 did not answer. "UnknownError" is the SDK's word for an answer without a code,
// such as a proxy's page.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() != "UnknownError" {
		return api.ErrorCode()
	}
	return ""
}
