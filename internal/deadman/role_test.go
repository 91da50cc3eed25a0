package deadman_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/deadman"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	"github.com/nightlatch/nightlatch/internal/standin/ec2"
	"github.com/nightlatch/nightlatch/internal/standin/iam"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// TestTheRoleOfTheSwitch: with what Config.RoleARN says that its role may do, the switch ends the association. Without the
// right to do so it is tried as the policy says, and a message is in the queue; without the right to send that, none is.
func TestTheRoleOfTheSwitch(t *testing.T) {
	const (
		queue  = "arn:aws:sqs:us-east-1:111122223333:dead"
		trust  = `{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": "scheduler.amazonaws.com"}, "Action": "sts:AssumeRole", "Condition": {"StringEquals": {"aws:SourceArn": "arn:aws:scheduler:us-east-1:111122223333:schedule-group/nightlatch"}}}}`
		ours   = "arn:aws:iam::111122223333:role/nightlatch"
		arn    = "arn:aws:ec2:us-east-1:111122223333:client-vpn-endpoint/"
		end    = `{"Effect": "Allow", "Action": "ec2:DisassociateClientVpnTargetNetwork", "Resource": "` + arn + string(endpoint) + `"}`
		send   = `{"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": "` + queue + `"}`
		create = `{"Effect": "Allow", "Action": ["scheduler:CreateSchedule"], "Resource": "arn:aws:scheduler:us-east-1:111122223333:schedule/nightlatch/*"}`
		pass   = `{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "` + role + `", "Condition": {"StringEquals": {"iam:PassedToService": "scheduler.amazonaws.com"}}}`
		denied = "User: arn:aws:sts::111122223333:assumed-role/nightlatch-deadman/s is not authorized to perform: ec2:DisassociateClientVpnTargetNetwork on resource: " + arn + string(endpoint)
	)
	for name, tt := range map[string]struct {
		function, switches []string // the statements of the function's role, and of the switch's
		trust              string
		retried            bool // Scheduler retries what its role may not
		refused            string
		ended              bool
		attempts           string // in the message; empty: none
	}{
		"with all of it":               {function: []string{create, pass}, switches: []string{end, send}, trust: trust, ended: true},
		"without disassociating":       {function: []string{create, pass}, switches: []string{send}, trust: trust, attempts: "0"},
		"the same, and it is retried":  {function: []string{create, pass}, switches: []string{send}, trust: trust, retried: true, attempts: "185"},
		"for another endpoint":         {function: []string{create, pass}, switches: []string{send, strings.Replace(end, string(endpoint), "cvpn-endpoint-0b", 1)}, trust: trust, attempts: "0"},
		"without sending":              {function: []string{create, pass}, switches: []string{`{"Effect": "Allow", "Action": "sqs:ReceiveMessage", "Resource": "*"}`}, trust: trust},
		"the function may not pass it": {function: []string{create}, switches: []string{end, send}, trust: trust, refused: "iam:PassRole on resource: " + role},
		"the function may not make it": {function: []string{pass}, switches: []string{end, send}, trust: trust, refused: "scheduler:CreateSchedule on resource: arn:aws:scheduler:us-east-1:111122223333:schedule/nightlatch/nightlatch-cvpn-assoc-"},
		"it trusts another group":      {function: []string{create, pass}, switches: []string{end, send}, trust: strings.Replace(trust, "group/nightlatch", "group/default", 1), refused: "must allow AWS EventBridge Scheduler to assume the role"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				policy := func(statements []string) map[string]string {
					return map[string]string{"p": `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ", ") + `]}`}
				}
				account, err := iam.New(iam.Config{Roles: []iam.Role{{ARN: ours, Trust: trust, Policies: policy(tt.function)}, {ARN: role, Trust: tt.trust, Policies: policy(tt.switches)}}})
				if err != nil {
					t.Fatal(err)
				}
				assumed := sigv4.Credentials{AccessKeyID: "ASIASWITCH", SecretAccessKey: "the switch's", SessionToken: "token"}
				authorize := func(id, action, resource string, context map[string]string) error {
					who := map[string]string{key.AccessKeyID: ours, assumed.AccessKeyID: role}[id]
					return account.Authorize(iam.Request{Principal: who, Session: "s", Action: action, Resource: resource, Context: context})
				}
				var sent []scheduler.DeadLetter
				a := newAWS(t, func(e *ec2.Config, s *scheduler.Config) {
					e.Credentials = func(id string) (sigv4.Credentials, bool) {
						c, ok := map[string]sigv4.Credentials{key.AccessKeyID: key, assumed.AccessKeyID: assumed}[id]
						return c, ok
					}
					e.Authorize = func(id, action, resource string, context map[string]string) error {
						if id == key.AccessKeyID {
							return nil // the test's own calls
						}
						return authorize(id, action, resource, context)
					}
					s.Authorize, s.Unconfirmed.RefusalsRetried = authorize, tt.retried
					s.Assume = func(arn, source string) (sigv4.Credentials, error) {
						return assumed, account.Authorize(iam.Request{Principal: "scheduler.amazonaws.com", Action: "sts:AssumeRole", Resource: arn, Context: map[string]string{"aws:SourceArn": source}})
					}
					s.DeadLetter = func(_ context.Context, to string, m scheduler.DeadLetter) error {
						if to != queue {
							t.Errorf("sent to %s", to)
						}
						sent = append(sent, m)
						return nil
					}
				})
				d, err := deadman.New(deadman.Config{AWS: config(latchtest.InProcess{Handler: a.clock.Handler()}), Group: group, RoleARN: role, DeadLetterARN: queue})
				if err != nil {
					t.Fatal(err)
				}
				id := a.associate("subnet-0a")
				err = d.Arm(t.Context(), endpoint, id, time.Now().Add(time.Hour))
				if tt.refused != "" {
					if f := fmt.Sprint(err); !strings.Contains(f, tt.refused) {
						t.Errorf("got %v, want it refused for %q", err, tt.refused)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(26 * time.Hour)
				if got := a.ended(id); got != tt.ended {
					t.Errorf("ended: %v, want %v", got, tt.ended)
				}
				if tt.attempts == "" {
					if len(sent) != 0 {
						t.Errorf("got %v, want no message", sent)
					}
					return
				}
				if len(sent) != 1 {
					t.Fatalf("got %d messages, want one", len(sent))
				}
				got := sent[0].Attributes
				if got["ERROR_CODE"] != "UnauthorizedOperation" || !strings.Contains(got["ERROR_MESSAGE"], denied) || got["RETRY_ATTEMPTS"] != tt.attempts ||
					(got["EXHAUSTED_RETRY_CONDITION"] == "MaximumRetryAttempts") != tt.retried {
					t.Errorf("got %v", got)
				}
				if want := `"AssociationId":"` + string(id) + `"`; !strings.Contains(sent[0].Body, want) {
					t.Errorf("got body %s, want %s in it", sent[0].Body, want)
				}
			})
		})
	}
}
