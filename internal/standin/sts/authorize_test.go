package sts_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

// TestAuthorize: where IAM is asked it decides alone, and a refusal tells no more than one without it.
func TestAuthorize(t *testing.T) {
	for name, tt := range map[string]struct {
		role  string
		allow bool
		want  string
	}{
		"allowed, although nobody is trusted":   {others, true, ""},
		"refused, although the role trusts":     {spoke, false, "AccessDenied: User: " + operator + " is not authorized to perform: sts:AssumeRole on resource: " + spoke},
		"allowed to a role that does not exist": {spoke + "s", true, "AccessDenied: User: " + operator + " is not authorized to perform: sts:AssumeRole on resource: " + spoke + "s"},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(io.Discard)
			c.Authorize = func(key, action, resource string, context map[string]string) error {
				asked := fmt.Sprint(key, " ", action, " ", resource, " ", context)
				if want := fmt.Sprint(user.AccessKeyID, " sts:AssumeRole ", tt.role, " ", map[string]string{"sts:ExternalId": "agreed", "sts:RoleSessionName": "ops"}); asked != want {
					t.Errorf("asked %s, want %s", asked, want)
				}
				if tt.allow {
					return nil
				}
				return errors.New("a policy's secret")
			}
			s, err := sts.New(c)
			if err != nil {
				t.Fatal(err)
			}
			_, err = client(s, user).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: &tt.role, RoleSessionName: new("ops"), ExternalId: new("agreed")})
			if tt.want == "" && err != nil || tt.want != "" && code(err) != tt.want {
				t.Errorf("got %s, want %q", code(err), tt.want)
			}
			if _, err := client(s, user).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{}); err != nil {
				t.Errorf("who one is needs no permission: %v", err)
			}
		})
	}
}

// TestIssued: what a service has of a role is the role's like any session's, until it ends; and it is known whose a key is.
func TestIssued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, io.Discard)
		c := s.Issue("arn:aws:iam::111122223333:role/path/deadman", "0a1b", 15*time.Minute)
		whose := func(key string) string {
			arn, session, ok := s.Whose(key)
			return fmt.Sprint(arn, " ", session, " ", ok)
		}
		if got, want := whose(c.AccessKeyID), "arn:aws:iam::111122223333:role/path/deadman 0a1b true"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		who, err := client(s, c).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
		if err != nil || *who.Arn != "arn:aws:sts::111122223333:assumed-role/deadman/0a1b" {
			t.Errorf("got %+v, %v", who, err)
		}
		if got := whose(user.AccessKeyID); got != operator+"  true" {
			t.Errorf("a user's key: got %s", got)
		}
		time.Sleep(15 * time.Minute)
		for _, key := range []string{c.AccessKeyID, "ASIANOBODY"} {
			if got := whose(key); !strings.HasSuffix(got, "false") || len(got) > 8 {
				t.Errorf("got %s, want nobody", got)
			}
		}
	})
}
