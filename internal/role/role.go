// Package role is the credentials of an IAM role that Nightlatch may assume, in its own account or another one, from
// AWS STS. They are kept until shortly before they expire; whoever signs with them need not know where they are from.
//
// What STS refuses comes back from the call that wanted to sign, translated here already, so that an adapter passes on
// STS's words and not its own.
package role

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nightlatch/nightlatch/internal/awserr"
)

const (
	// session is the RoleSessionName: who it was in the other account's CloudTrail.
	session = "nightlatch"
	// lasts is what every role allows at least, and all that one role allows another ("Role chaining", IAM User Guide).
	lasts = time.Hour
	// early is how long before their end the credentials are replaced: a call that begins with them ends with them.
	early = time.Minute
	// patience bounds one call of STS with its retries. The SDK's cache lets no caller's deadline through, because
	// others may wait for the same answer.
	patience = 5 * time.Second
	// attempts and maxBackoff are few and short: whoever calls looks again in seconds. The retryer is the SDK's standard
	// one: a call an hour learns no rate.
	attempts   = 3
	maxBackoff = time.Second
)

// Config is what New needs.
type Config struct {
	// AWS has at least the Region whose STS is asked, and the Credentials that may assume the role. Credentials of a
	// Region's STS are valid in all Regions ("AWS STS and AWS Regions", IAM User Guide).
	AWS aws.Config
	ARN string
	// ExternalID is what the role's trust policy asks for; empty when it asks for nothing.
	ExternalID string
}

var form = regexp.MustCompile(`^arn:aws[a-z-]*:iam::\d{12}:role/.+$`)

// New checks c and makes no call: the role is assumed when somebody first signs. The result may be used by several
// goroutines.
func New(c Config) (*aws.CredentialsCache, error) {
	if c.AWS.Region == "" || c.AWS.Credentials == nil {
		return nil, errors.New("role: Region and Credentials are required")
	}
	if !form.MatchString(c.ARN) {
		return nil, fmt.Errorf("role: ARN %q is not the ARN of an IAM role", c.ARN)
	}
	client := sts.NewFromConfig(c.AWS, func(o *sts.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = attempts, maxBackoff })
	})
	provider := stscreds.NewAssumeRoleProvider(assume(client.AssumeRole), c.ARN, func(o *stscreds.AssumeRoleOptions) {
		o.RoleSessionName, o.Duration = session, lasts
		if c.ExternalID != "" {
			o.ExternalID = new(c.ExternalID)
		}
	})
	return aws.NewCredentialsCache(provider, func(o *aws.CredentialsCacheOptions) { o.ExpiryWindow = early }), nil
}

// assume is the one operation of STS that is called, as a function: the linker drops the other ten
// (docs/decisions/0006).
type assume func(context.Context, *sts.AssumeRoleInput, ...func(*sts.Options)) (*sts.AssumeRoleOutput, error)

// AssumeRole is what the SDK's provider calls.
func (f assume) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, o ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	out, err := f(ctx, in, o...)
	return out, service.Translate(err)
}

// service translates STS's codes (AssumeRole and "Common errors", STS API Reference). None of them needs a kind that its
// HTTP status does not give: a role that may not be assumed and one that does not exist are both AccessDenied, refused.
var service = awserr.Service{Name: "sts"}
