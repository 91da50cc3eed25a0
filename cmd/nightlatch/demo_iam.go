//go:build !lambda

package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/iam"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

// authority is the demo's IAM: whose keys are whose, and what they may do. Everybody is held to it but the operator, who
// is an administrator.
type authority struct {
	iam    *iam.Account
	tokens *sts.Server
	front  awsService
}

// awsService is an AWS service that calls the function in its own name: what stands before it.
type awsService struct {
	credentials sigv4.Credentials
	name        string // elasticloadbalancing.amazonaws.com
	source      string // the ARN of what it acts for
}

// sessionsLast is how long the credentials last that Scheduler has of a role, which it gets for each delivery.
const sessionsLast = 15 * time.Minute

func newAuthority(front string, operator, function sigv4.Credentials, functionRole string, roles []iam.Role, log *slog.Logger) (*authority, error) {
	a := &authority{front: awsService{credentials: newSession(), name: map[string]string{
		frontALB: "elasticloadbalancing.amazonaws.com", frontHTTPAPI: "apigateway.amazonaws.com"}[front]}}
	var err error
	if a.iam, err = iam.New(iam.Config{Administrators: []string{demoOperator}, Roles: roles}); err != nil {
		return nil, err
	}
	a.tokens, err = sts.New(sts.Config{Region: demoRegion, Log: log, Authorize: a.authorize,
		Keys: []sts.Key{{Credentials: operator, ARN: demoOperator}, {Credentials: function, ARN: functionRole, Session: "nightlatch"}}})
	return a, err
}

// newSession makes credentials of the form that AWS's temporary ones have.
func newSession() sigv4.Credentials {
	return sigv4.Credentials{AccessKeyID: "ASIA" + rand.Text()[:16], SecretAccessKey: rand.Text() + rand.Text(), SessionToken: rand.Text() + rand.Text()}
}

// lookup is for the stand-in of Lambda, which services call as well.
func (a *authority) lookup(accessKeyID string) (sigv4.Credentials, bool) {
	if accessKeyID == a.front.credentials.AccessKeyID {
		return a.front.credentials, true
	}
	return a.tokens.Lookup(accessKeyID)
}

// authorize is what the stand-ins ask.
func (a *authority) authorize(accessKeyID, action, resource string, context map[string]string) error {
	// AWS is reached by TLS alone; what listens without it here is for command lines on this machine.
	r := iam.Request{Action: action, Resource: resource, Context: map[string]string{"aws:SecureTransport": "true"}}
	maps.Copy(r.Context, context)
	if accessKeyID == a.front.credentials.AccessKeyID {
		r.Principal = a.front.name
		r.Context["aws:SourceArn"], r.Context["aws:SourceAccount"] = a.front.source, demoAccount
		return a.iam.Authorize(r)
	}
	var ok bool
	if r.Principal, r.Session, ok = a.tokens.Whose(accessKeyID); !ok {
		return fmt.Errorf("the access key %s is nobody's", accessKeyID)
	}
	return a.iam.Authorize(r)
}

// assume gives Scheduler the credentials of a role that trusts it.
func (a *authority) assume(roleARN, sourceARN string) (sigv4.Credentials, error) {
	err := a.iam.Authorize(iam.Request{Principal: "scheduler.amazonaws.com", Action: "sts:AssumeRole", Resource: roleARN,
		Context: map[string]string{"aws:SourceArn": sourceARN, "aws:SourceAccount": demoAccount}})
	if err != nil {
		return sigv4.Credentials{}, err
	}
	var name [16]byte
	rand.Read(name[:])
	return a.tokens.Issue(roleARN, hex.EncodeToString(name[:]), sessionsLast), nil
}

// behind says for what the front invokes functions.
func (a *authority) behind(source string) { a.front.source = source }

// permit lets services invoke functions.
func (a *authority) permit(permissions []iam.Permission) error {
	for _, p := range permissions {
		if err := a.iam.AddPermission(p); err != nil {
			return err
		}
	}
	return nil
}
