package clientvpn

import (
	"strings"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

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

// service translates EC2's codes.
var service = awserr.Service{Name: "ec2", Kinds: map[string]error{
	"ConcurrentMutationLimitExceeded": latch.ErrBusy, // 10 operations at once on one endpoint ("Client VPN quotas")
	// What CreateClientVpnEndpoint answers while another change is under way, as Terraform's provider knows it. That
	// other calls answer it too is not documented, and no other reason for them is known.
	"OperationNotPermitted": latch.ErrBusy,

	"InvalidClientVpnEndpointId.NotFound": latch.ErrNotFound,
	"InvalidClientVpnSubnetId.NotFound":   latch.ErrNotFound,
	"InvalidSubnetID.NotFound":            latch.ErrNotFound,
	"InvalidVpcID.NotFound":               latch.ErrNotFound,
	"InvalidGroup.NotFound":               latch.ErrNotFound,
	"InvalidSecurityGroupID.NotFound":     latch.ErrNotFound,
	associationNotFound:                   latch.ErrNotFound,

	"InvalidClientVpnActiveAssociationNotFound": latch.ErrTooEarly,
	"IncorrectState": latch.ErrTooEarly,

	// Answered with 4xx or 5xx, depending on where in EC2 they arise.
	"InternalError":      latch.ErrUnavailable,
	"InternalFailure":    latch.ErrUnavailable,
	"ServerInternal":     latch.ErrUnavailable,
	"ServiceUnavailable": latch.ErrUnavailable,
	"Unavailable":        latch.ErrUnavailable,
}}
