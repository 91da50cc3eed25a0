//go:build unix

package lambda

import (
	"errors"
	"strings"
	"testing"
)

// TestUnauthorized: who may not invoke a function learns neither what it says nor whether there is one.
func TestUnauthorized(t *testing.T) {
	const arn = "arn:aws:lambda:us-east-1:111122223333:function:"
	var asked []string
	s := run(t, func(c *Config) {
		c.Authorize = func(key, action, resource string, _ map[string]string) error {
			asked = append(asked, key+" "+action+" "+resource)
			if resource == arn+"echo" {
				return nil
			}
			return errors.New("User: u is not authorized to perform: " + action + " on resource: " + resource)
		}
	}, Function{Name: "echo", Handler: "raw"}, Function{Name: "other", Handler: "raw"})
	if a := s.call(t, "echo", `{}`); a.status != 200 || a.header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("with the permission: got %d %s", a.status, a.body)
	}
	for _, name := range []string{"other", "none", arn + "other", arn + "echo:$LATEST"} {
		for _, kind := range []string{"RequestResponse", "Event", "DryRun"} {
			a := s.call(t, name, `{}`, header("X-Amz-Invocation-Type", kind))
			resource := arn + strings.TrimPrefix(name, arn)
			if want := `"Message":"User: u is not authorized to perform: lambda:InvokeFunction on resource: ` + resource + `"`; a.status != 403 || a.header.Get("X-Amzn-Errortype") != "AccessDeniedException" || !strings.Contains(string(a.body), want) {
				t.Errorf("%s, %s: got %d %s %s, want 403 AccessDeniedException with %s", name, kind, a.status, a.header.Get("X-Amzn-Errortype"), a.body, want)
			}
		}
	}
	if want := caller.AccessKeyID + " lambda:InvokeFunction " + arn + "echo"; asked[0] != want {
		t.Errorf("asked %s, want %s", asked[0], want)
	}
}
