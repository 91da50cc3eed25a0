package deadman_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	"github.com/nightlatch/nightlatch/internal/standin/scheduler"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

func TestProbe(t *testing.T) {
	s, err := scheduler.New(scheduler.Config{
		Region: "us-east-1", AccountID: "111122223333", Credentials: func(id string) (sigv4.Credentials, bool) { return key, id == key.AccessKeyID },
		Groups: []string{group}, EC2URL: "https://ec2.us-east-1.amazonaws.com", Caller: key, Client: http.DefaultClient, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := over(t, latchtest.InProcess{Handler: s.Handler()}).Probe(t.Context()); err != nil {
		t.Errorf("a switch that is not there: %v", err)
	}
	for name, tt := range map[string]struct {
		status        int
		code, message string
		want          error
		words         string
	}{
		"no such group": {404, "ResourceNotFoundException", "Schedule group nightlatch does not exist.", latch.ErrNotFound, "schedule group nightlatch"},
		"not allowed":   {403, "AccessDeniedException", "User is not authorized to perform: scheduler:GetSchedule", latch.ErrRefused, "AccessDeniedException"},
		"away":          {500, "InternalServerException", "later", latch.ErrUnavailable, "later"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the SDK's pauses
				var asked []string
				h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked = append(asked, r.Method+" "+r.URL.String())
					w.Header().Set("X-Amzn-Errortype", tt.code)
					w.WriteHeader(tt.status)
					fmt.Fprintf(w, `{"Message":%q}`, tt.message)
				})
				err := over(t, latchtest.InProcess{Handler: h}).Probe(t.Context())
				if !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.words) {
					t.Errorf("got %v, want %v with %q", err, tt.want, tt.words)
				}
				if asked[0] != "GET /schedules/nightlatch-cvpn-assoc-00000000000000000?groupName=nightlatch" {
					t.Errorf("asked %v", asked)
				}
			})
		})
	}
}
