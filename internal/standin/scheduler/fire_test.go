package scheduler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// targets plays Lambda and EC2: it checks signatures and notes what arrived when. It is an http.RoundTripper, because
// a bubble has no sockets.
type targets struct {
	t      *testing.T
	began  time.Time
	mu     sync.Mutex
	calls  []string                                  // "1m0s lambda nightlatch-beat {}"
	answer func(call int) (status int, body string)  // nil: success
	hold   func(ctx context.Context, call int) error // before the answer
}

func (x *targets) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	service := strings.TrimSuffix(r.URL.Host, ".test")
	v := sigv4.Verifier{Service: service, Region: "us-east-1", Lookup: func(id string) (sigv4.Credentials, bool) { return role, id == role.AccessKeyID }}
	if _, err := v.Verify(r, body); err != nil {
		x.t.Errorf("signature for %s: %v", service, err)
	}
	what := string(body)
	if service == "lambda" {
		if want := "/2015-03-31/functions/" + strings.ReplaceAll(beatARN, ":", "%3A") + "/invocations"; r.URL.EscapedPath() != want || r.Header.Get("X-Amz-Invocation-Type") != "Event" {
			x.t.Errorf("lambda called at %s with type %q, want %s and Event", r.URL.EscapedPath(), r.Header.Get("X-Amz-Invocation-Type"), want)
		}
	}
	x.mu.Lock()
	call := len(x.calls)
	x.calls = append(x.calls, fmt.Sprintf("%v %s %s", time.Since(x.began), service, what))
	x.mu.Unlock()
	if x.hold != nil {
		if err := x.hold(r.Context(), call); err != nil {
			return nil, err
		}
	}
	w := httptest.NewRecorder()
	status, text := http.StatusAccepted, ""
	if x.answer != nil {
		status, text = x.answer(call)
	}
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
	return w.Result(), nil
}

// bubble is a scheduler in a synctest bubble, which begins at midnight, on the grid.
type bubble struct {
	*targets
	*Server
	t   *testing.T
	cfg Config
	end func()
}

func inBubble(t *testing.T, f func(t *testing.T, b *bubble)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bubble{targets: &targets{t: t, began: time.Now()}, t: t, cfg: config(filepath.Join(t.TempDir(), "scheduler.json"))}
		b.cfg.EC2URL, b.cfg.LambdaURL = "http://ec2.test", "http://lambda.test"
		b.cfg.Client = &http.Client{Transport: b.targets}
		f(t, b)
	})
}

// run starts the stand-in, for the second time and later over the state it left.
func (b *bubble) run() {
	b.t.Helper()
	b.Server = newServer(b.t, b.cfg)
	ctx, cancel := context.WithCancel(b.t.Context())
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	b.end = func() {
		cancel()
		if err := <-done; err != nil {
			b.t.Errorf("Run: %v, want nil when it was told to end", err)
		}
	}
	synctest.Wait()
}

func (b *bubble) create(name, expression string, change func(*scheduleInput)) {
	b.t.Helper()
	in := scheduleInput{ScheduleExpression: expression, FlexibleTimeWindow: &window{Mode: "OFF"}, Target: &target{Arn: beatARN, RoleArn: roleARN, Input: "{}"}}
	if change != nil {
		change(&in)
	}
	if _, err := b.createSchedule(name, in); err != nil {
		b.t.Fatal(err)
	}
	synctest.Wait()
}

func (b *bubble) after(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (b *bubble) want(why string, calls ...string) {
	b.t.Helper()
	b.mu().Lock()
	defer b.mu().Unlock()
	// Deliveries of one instant come in any order.
	if got, want := slices.Sorted(slices.Values(b.calls)), slices.Sorted(slices.Values(calls)); !slices.Equal(got, want) {
		b.t.Errorf("%s: got calls\n%s\nwant\n%s", why, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (b *bubble) mu() *sync.Mutex { return &b.targets.mu }

// at is an at() expression d from now.
func at(d time.Duration) string { return time.Now().UTC().Add(d).Format("at(2006-01-02T15:04:05)") }

func forEC2(in *scheduleInput) {
	in.Target.Arn, in.Target.Input = disassociateARN, ending
	in.ActionAfterCompletion = "DELETE"
}

const ec2Call = "ec2 Action=DisassociateClientVpnTargetNetwork&AssociationId=cvpn-assoc-0b&ClientVpnEndpointId=cvpn-endpoint-0a&Version=2016-11-15"

func TestRateFiresEachMinuteOnTheGrid(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		defer b.end()
		b.after(10 * time.Second)
		b.create("beat", "rate(1 minute)", nil)
		b.create("slow", "rate(2 minutes)", func(in *scheduleInput) { in.Target.Input = `"two"` })
		b.create("off", "rate(1 minute)", func(in *scheduleInput) { in.State = "DISABLED" })
		b.after(3 * time.Minute)
		b.want("each minute and every second one, and never the disabled one",
			"1m0s lambda {}", `1m0s lambda "two"`, "2m0s lambda {}", "3m0s lambda {}", `3m0s lambda "two"`)
	})
}

func TestAScaledMinute(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.cfg.Minute = 5 * time.Second
		b.cfg.Schedules = []Schedule{{Name: "beat", Expression: "rate(1 minute)", TargetARN: beatARN, RoleARN: roleARN, Input: "{}"}}
		b.run()
		defer b.end()
		b.after(11 * time.Second)
		b.want("a minute of five seconds, at once when it starts on the grid", "0s lambda {}", "5s lambda {}", "10s lambda {}")
	})
}

func TestAtFiresOnceAndIsDeleted(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		defer b.end()
		b.create("switch", at(90*time.Second), forEC2)
		b.create("kept", at(2*time.Minute), nil)
		b.after(119 * time.Second)
		b.want("not before its time")
		b.after(10 * time.Minute)
		b.want("once, on the next beat of the grid", "2m0s lambda {}", "2m0s "+ec2Call)
		all := b.Snapshot()
		if len(all) != 1 || all[0].Name != "kept" || !all[0].Next.IsZero() || all[0].Last == nil || all[0].Last.Status != http.StatusAccepted {
			t.Errorf("got %+v, want only the schedule without ActionAfterCompletion DELETE, over and done", all)
		}
	})
}

func TestAtInAnotherZone(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) { // the bubble begins at 2000-01-01T00:00Z, nine in the morning in Seoul
		b.run()
		defer b.end()
		b.create("seoul", "at(2000-01-01T09:05:00)", func(in *scheduleInput) { in.ScheduleExpressionTimezone = "Asia/Seoul" })
		b.after(time.Hour)
		b.want("five past nine in Seoul", "5m0s lambda {}")
	})
}

func TestAtInThePastFiresAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		defer b.end()
		b.after(10 * time.Second)
		b.create("late", at(-time.Hour), forEC2)
		b.want("at once, not on the next beat", "10s "+ec2Call)
	})
}

func TestAtThatCameDueWhileTheDemoWasOff(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		b.create("switch", at(5*time.Minute), forEC2)
		b.create("hourly", "rate(1 hour)", nil)
		b.end()
		b.after(2*time.Hour + 10*time.Second)
		b.want("only the first of the rate while it ran", "0s lambda {}")
		b.run()
		b.want("the switch fires at the start: the meter must stop", "0s lambda {}", "2h0m10s "+ec2Call)
		b.after(time.Hour)
		b.end()
		b.want("the rate fires once on the next beat and does not make up for what it missed",
			"0s lambda {}", "2h0m10s "+ec2Call, "2h1m0s lambda {}")
		b.run()
		defer b.end()
		b.after(time.Hour)
		b.want("a switch that fired is gone, and the rate keeps its rhythm",
			"0s lambda {}", "2h0m10s "+ec2Call, "2h1m0s lambda {}", "3h1m0s lambda {}")
	})
}

func TestFailedDeliveryIsRetried(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		body   string
		calls  int // of which the last succeeds, if there are four
	}{
		"nobody answers":                         {0, "", 4},
		"EC2 is broken":                          {500, ec2Error("InternalError"), 4},
		"EC2 throttles":                          {503, ec2Error("RequestLimitExceeded"), 4},
		"EC2 throttles with a client error":      {400, ec2Error("Throttling"), 4},
		"too many requests":                      {429, "", 4},
		"the association is gone: that is final": {400, ec2Error("InvalidClientVpnAssociationIdNotFound"), 1},
		"not allowed: that is final":             {403, ec2Error("UnauthorizedOperation"), 1},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.answer = func(call int) (int, string) {
					if call < 3 {
						return tt.status, tt.body
					}
					return 200, ""
				}
				b.run()
				defer b.end()
				b.create("switch", at(0), func(in *scheduleInput) { forEC2(in); in.ActionAfterCompletion = "NONE" })
				b.after(time.Hour)
				want := []string{"0s " + ec2Call, "1s " + ec2Call, "3s " + ec2Call, "7s " + ec2Call}[:tt.calls]
				b.want("retries after 1, 2 and 4 s", want...)
				last := b.Snapshot()[0].Last
				if last == nil || last.Attempts != tt.calls || (last.Error == "") != (tt.calls == 4) {
					t.Fatalf("got outcome %+v, want %d attempts", last, tt.calls)
				}
				if tt.calls == 1 && !strings.Contains(tt.body, strings.TrimPrefix(strings.Split(last.Error, ": ")[1], "ec2: ")) {
					t.Errorf("outcome %q does not hold EC2's code", last.Error)
				}
			})
		})
	}
}

func ec2Error(code string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><Response><Errors><Error><Code>` + code + `</Code><Message>no</Message></Error></Errors><RequestID>r</RequestID></Response>`
}

func TestRetriesEndWithThePolicy(t *testing.T) {
	for name, tt := range map[string]struct {
		policy retryPolicy
		calls  int
	}{
		"two retries":               {retryPolicy{MaximumRetryAttempts: new(2)}, 3},
		"none":                      {retryPolicy{MaximumRetryAttempts: new(0)}, 1},
		"a minute":                  {retryPolicy{MaximumEventAgeInSeconds: new(60)}, 6}, // at 0, 1, 3, 7, 15, 31 s
		"AWS's default: 185 in all": {retryPolicy{}, 186},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.answer = func(int) (int, string) { return 500, "" }
				b.run()
				defer b.end()
				b.create("switch", at(0), func(in *scheduleInput) { forEC2(in); in.Target.RetryPolicy = &tt.policy })
				b.after(24 * time.Hour)
				if got := len(b.calls); got != tt.calls {
					t.Errorf("got %d attempts, want %d", got, tt.calls)
				}
				if left := b.Snapshot(); len(left) != 0 {
					t.Errorf("got %+v, want it deleted: a delivery given up completes a schedule, too", left)
				}
			})
		})
	}
}

func TestADeletedScheduleIsRetriedNoMore(t *testing.T) {
	for name, remove := range map[string]func(*bubble) error{
		"by itself": func(b *bubble) error {
			_, err := b.deleteSchedule("switch", url.Values{"groupName": {"g"}})
			return err
		},
		"with its group": func(b *bubble) error { _, err := b.deleteGroup("g", nil); return err },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.answer = func(int) (int, string) { return 503, ec2Error("RequestLimitExceeded") }
				b.cfg.Groups = []string{"g"}
				b.run()
				defer b.end()
				b.create("switch", at(0), func(in *scheduleInput) { forEC2(in); in.GroupName = "g" })
				if !b.Snapshot()[0].Delivering {
					t.Error("want Delivering while it is retried")
				}
				if err := remove(b); err != nil {
					t.Fatal(err)
				}
				b.after(time.Hour)
				b.want("no call after it was deleted", "0s "+ec2Call)
			})
		})
	}
}

func TestOneDeliveryAtATime(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.hold = func(ctx context.Context, call int) error {
			if call == 0 {
				time.Sleep(25 * time.Second)
			}
			return nil
		}
		b.cfg.Minute = 10 * time.Second
		b.run()
		defer b.end()
		b.create("beat", "rate(1 minute)", nil)
		b.after(45 * time.Second)
		b.want("the next beat waits for a slow one, then goes on as before", "0s lambda {}", "25s lambda {}", "30s lambda {}", "40s lambda {}")
	})
}

func TestEndingInMidDeliveryLosesNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.hold = func(ctx context.Context, call int) error {
			if call == 0 {
				<-ctx.Done() // a target that hangs
				return ctx.Err()
			}
			return nil
		}
		b.run()
		b.create("switch", at(0), forEC2)
		b.after(5 * time.Second)
		b.end() // must not wait for the target
		b.want("one attempt, cut short", "0s "+ec2Call)
		b.run()
		defer b.end()
		b.want("and again at the next start", "0s "+ec2Call, "5s "+ec2Call)
	})
}

func TestStartAndEndOfARate(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		defer b.end()
		seconds := func(d time.Duration) *float64 { return new(epoch(time.Now().Add(d))) }
		b.create("window", "rate(1 minute)", func(in *scheduleInput) {
			in.StartDate, in.EndDate, in.ActionAfterCompletion = seconds(3*time.Minute), seconds(4*time.Minute+30*time.Second), "DELETE"
		})
		b.after(time.Hour)
		b.want("from StartDate until EndDate", "3m0s lambda {}", "4m0s lambda {}")
		if left := b.Snapshot(); len(left) != 0 {
			t.Errorf("got %+v, want it deleted after EndDate", left)
		}
	})
}

func TestInputOfTheEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		defer b.end()
		b.create("marked", at(time.Minute), func(in *scheduleInput) {
			in.Target.Input = `{"time":"<aws.scheduler.scheduled-time>","of":"<aws.scheduler.schedule-arn>","try":"<aws.scheduler.attempt-number>"}`
		})
		b.after(time.Minute)
		b.want("context attributes are filled in",
			`1m0s lambda {"time":"2000-01-01T00:01:00Z","of":"arn:aws:scheduler:us-east-1:111122223333:schedule/default/marked","try":"1"}`)
		b.create("plain", at(time.Minute), func(in *scheduleInput) { in.Target.Input = "" })
		b.after(time.Minute)
		if got := b.calls[1]; !strings.Contains(got, `"source":"aws.scheduler"`) || !strings.Contains(got, `"detail-type":"Scheduled Event"`) || !strings.Contains(got, `"time":"2000-01-01T00:02:00Z"`) {
			t.Errorf("without Input: got %s, want the service's default event", got)
		}
	})
}
