package signin

import (
	"errors"
	"slices"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// falseToken is an ErrToken of a token that the issuer gave us itself, over a connection of ours. No person could have
// made it: the issuer is wrong, or configured for somebody else.
type falseToken struct{ error }

// Unwrap leaves it the ErrToken that it is.
func (f falseToken) Unwrap() error { return f.error }

// Broken says whether a sign-in failed for a reason that is not the person's: the key server, the issuer or the store does
// not answer, or answers what cannot be used. A token that is refused, one that has expired, and a sign-in that was
// begun elsewhere or took too long are not among them.
func Broken(err error) bool {
	if _, ok := errors.AsType[falseToken](err); ok {
		return true
	}
	return slices.ContainsFunc([]error{ErrKeyServer, ErrIssuer, latch.ErrBusy, latch.ErrConflict, latch.ErrRefused, latch.ErrUnavailable},
		func(kind error) bool { return errors.Is(err, kind) })
}
