package scheduler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// TestUnauthorized: each operation asks for its action, those that give a role away for iam:PassRole too, and without any
// one of them nothing is done.
func TestUnauthorized(t *testing.T) {
	const (
		arn   = "arn:aws:scheduler:us-east-1:111122223333:"
		one   = arn + "schedule/nightlatch/switch"
		group = arn + "schedule-group/nightlatch"
		pass  = "iam:PassRole " + roleARN + " to scheduler.amazonaws.com"
	)
	in := func(name string) *sdk.CreateScheduleInput {
		return switchFor(name, func(in *sdk.CreateScheduleInput) { in.GroupName = aws.String("nightlatch") })
	}
	for name, tt := range map[string]struct {
		call  func(ctx context.Context, c *sdk.Client) error
		needs []string
	}{
		"CreateScheduleGroup": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.CreateScheduleGroup(ctx, &sdk.CreateScheduleGroupInput{Name: aws.String("new")})
			return err
		}, []string{"scheduler:CreateScheduleGroup " + arn + "schedule-group/new"}},
		"GetScheduleGroup": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.GetScheduleGroup(ctx, &sdk.GetScheduleGroupInput{Name: aws.String("nightlatch")})
			return err
		}, []string{"scheduler:GetScheduleGroup " + group}},
		"DeleteScheduleGroup": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.DeleteScheduleGroup(ctx, &sdk.DeleteScheduleGroupInput{Name: aws.String("nightlatch")})
			return err
		}, []string{"scheduler:DeleteScheduleGroup " + group}},
		"CreateSchedule": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.CreateSchedule(ctx, in("other"))
			return err
		}, []string{"scheduler:CreateSchedule " + arn + "schedule/nightlatch/other", pass}},
		"CreateSchedule in the default group": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.CreateSchedule(ctx, switchFor("other", nil))
			return err
		}, []string{"scheduler:CreateSchedule " + arn + "schedule/default/other", pass}},
		"UpdateSchedule": {func(ctx context.Context, c *sdk.Client) error {
			from := in("switch")
			_, err := c.UpdateSchedule(ctx, &sdk.UpdateScheduleInput{Name: from.Name, GroupName: from.GroupName, ScheduleExpression: aws.String("at(2127-01-02T03:04:05)"),
				FlexibleTimeWindow: from.FlexibleTimeWindow, Target: from.Target})
			return err
		}, []string{"scheduler:UpdateSchedule " + one, pass}},
		"GetSchedule": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.GetSchedule(ctx, &sdk.GetScheduleInput{Name: aws.String("switch"), GroupName: aws.String("nightlatch")})
			return err
		}, []string{"scheduler:GetSchedule " + one}},
		"DeleteSchedule": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.DeleteSchedule(ctx, &sdk.DeleteScheduleInput{Name: aws.String("switch"), GroupName: aws.String("nightlatch")})
			return err
		}, []string{"scheduler:DeleteSchedule " + one}},
		"ListSchedules": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.ListSchedules(ctx, nil)
			return err
		}, []string{"scheduler:ListSchedules *"}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			var refused string
			cfg := config("")
			cfg.Groups = []string{"nightlatch"}
			s := newServer(t, cfg)
			server := httptest.NewServer(s.Handler())
			defer server.Close()
			c := client(server.URL, person)
			if _, err := c.CreateSchedule(t.Context(), in("switch")); err != nil {
				t.Fatal(err)
			}
			s.cfg.Authorize = func(key, action, resource string, context map[string]string) error {
				if to := context["iam:PassedToService"]; to != "" {
					resource += " to " + to
				}
				if key != person.AccessKeyID || context["aws:RequestedRegion"] != "us-east-1" {
					t.Errorf("asked about %s with %v", key, context)
				}
				what := action + " " + resource
				asked = append(asked, what)
				if what == refused {
					return errors.New("User: u is not authorized to perform: " + what)
				}
				return nil
			}
			before := s.Snapshot()
			for _, refused = range tt.needs {
				wantCode(t, tt.call(t.Context(), c), "AccessDeniedException", "User: u is not authorized to perform: "+refused)
			}
			s.mu.Lock()
			groups := len(s.groups)
			s.mu.Unlock()
			if now := s.Snapshot(); len(now) != len(before) || now[0] != before[0] || groups != 2 {
				t.Errorf("something was done all the same: %+v, %d groups", now, groups)
			}
			asked, refused = nil, ""
			if err := tt.call(t.Context(), c); err != nil {
				t.Errorf("with every permission: %v", err)
			}
			if !slices.Equal(asked, tt.needs) {
				t.Errorf("asked for\n%s\nwant\n%s", strings.Join(asked, "\n"), strings.Join(tt.needs, "\n"))
			}
		})
	}
}

// TestARoleThatDoesNotTrustUs: a schedule whose role cannot be assumed is not made; the source is its group.
func TestARoleThatDoesNotTrustUs(t *testing.T) {
	var source string
	cfg := config("")
	cfg.Assume = func(arn, from string) (sigv4.Credentials, error) {
		source = from
		return sigv4.Credentials{}, errors.New(arn + " trusts nobody")
	}
	s := newServer(t, cfg)
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	_, err := client(server.URL, person).CreateSchedule(t.Context(), switchFor("switch", nil))
	wantCode(t, err, "ValidationException", "The execution role you provide must allow AWS EventBridge Scheduler to assume the role.")
	if want := "arn:aws:scheduler:us-east-1:111122223333:schedule-group/default"; source != want || len(s.Snapshot()) != 0 {
		t.Errorf("on behalf of %s, and %+v; want %s and no schedule", source, s.Snapshot(), want)
	}
	cfg.Schedules = []Schedule{{Name: "beat", Expression: "rate(1 minute)", TargetARN: beatARN, RoleARN: roleARN}}
	if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "schedule beat") {
		t.Errorf("a deployment's schedule with such a role: %v, want an error", err)
	}
}

const queueARN = "arn:aws:sqs:us-east-1:111122223333:dead"

func TestDeadLetterQueuesAreKept(t *testing.T) {
	c, _ := start(t, "")
	with := func(arn string) *sdk.CreateScheduleInput {
		return switchFor("switch", func(in *sdk.CreateScheduleInput) { in.Target.DeadLetterConfig = &types.DeadLetterConfig{Arn: &arn} })
	}
	for _, arn := range []string{"dead", queueARN + ".fifo", strings.Replace(queueARN, "sqs", "sns", 1)} {
		_, err := c.CreateSchedule(t.Context(), with(arn))
		wantCode(t, err, "ValidationException", "'"+arn+"' at 'target.deadLetterConfig.arn'")
	}
	if _, err := c.CreateSchedule(t.Context(), with(queueARN)); err != nil {
		t.Fatal(err)
	}
	got, err := c.GetSchedule(t.Context(), &sdk.GetScheduleInput{Name: aws.String("switch")})
	if err != nil || aws.ToString(got.Target.DeadLetterConfig.Arn) != queueARN {
		t.Errorf("got %+v, %v, want the queue", got, err)
	}
}

// TestADeploymentsSchedule: Config.Schedules have what a template says of retries and the queue.
func TestADeploymentsSchedule(t *testing.T) {
	cfg := config("")
	cfg.Schedules = []Schedule{{Name: "beat", Expression: "rate(1 minute)", TargetARN: beatARN, RoleARN: roleARN, DeadLetterARN: queueARN, MaximumRetryAttempts: new(0), MaximumEventAge: 60},
		{Name: "plain", Expression: "rate(1 minute)", TargetARN: beatARN, RoleARN: roleARN}}
	server := httptest.NewServer(newServer(t, cfg).Handler())
	defer server.Close()
	for name, want := range map[string]string{"beat": queueARN + " 0 60", "plain": " 185 86400"} {
		got, err := client(server.URL, person).GetSchedule(t.Context(), &sdk.GetScheduleInput{Name: &name})
		if err != nil {
			t.Fatal(err)
		}
		queue := ""
		if d := got.Target.DeadLetterConfig; d != nil {
			queue = *d.Arn
		}
		if is := fmt.Sprint(queue, " ", *got.Target.RetryPolicy.MaximumRetryAttempts, " ", *got.Target.RetryPolicy.MaximumEventAgeInSeconds); is != want {
			t.Errorf("%s: got %s, want %s", name, is, want)
		}
	}
	cfg.Schedules[0].DeadLetterARN = "dead"
	if _, err := New(cfg); err == nil {
		t.Error("a queue that is none is accepted")
	}
}

// TestDeadLetters: what is given up goes to the queue once, with the call and the reason; what is delivered or withdrawn
// does not.
func TestDeadLetters(t *testing.T) {
	const denied = "AccessDeniedException"
	ec2Arn, body := disassociateARN, ending
	for name, tt := range map[string]struct {
		answer            func(call int) (int, string)
		lambda, withdrawn bool
		before            func(*testing.T, *Config)
		policy            retryPolicy
		want              map[string]string // nil: no message
		body              string
	}{
		"it was delivered":            {answer: func(int) (int, string) { return 200, "" }},
		"it was, at the second try":   {answer: func(n int) (int, string) { return []int{500, 200}[n], "" }},
		"it was withdrawn in between": {answer: func(int) (int, string) { return 500, "" }, withdrawn: true},
		"a permanent error": {answer: func(int) (int, string) { return 400, ec2Error("InvalidClientVpnAssociationIdNotFound") },
			want: map[string]string{"ERROR_CODE": "InvalidClientVpnAssociationIdNotFound", "ERROR_MESSAGE": "no", "RETRY_ATTEMPTS": "0"}},
		"as often as the policy says": {answer: func(int) (int, string) { return 503, ec2Error("RequestLimitExceeded") }, policy: retryPolicy{MaximumRetryAttempts: new(2)},
			want: map[string]string{"ERROR_CODE": "RequestLimitExceeded", "ERROR_MESSAGE": "no", "RETRY_ATTEMPTS": "2", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"}},
		"as long as the policy says": {answer: func(int) (int, string) { return 503, ec2Error("RequestLimitExceeded") }, policy: retryPolicy{MaximumEventAgeInSeconds: new(60)},
			want: map[string]string{"ERROR_CODE": "RequestLimitExceeded", "ERROR_MESSAGE": "no", "RETRY_ATTEMPTS": "5", "EXHAUSTED_RETRY_CONDITION": "MaximumEventAgeInSeconds"}},
		"nobody answers": {answer: func(int) (int, string) { return 0, "" }, policy: retryPolicy{MaximumRetryAttempts: new(0)},
			want: map[string]string{"ERROR_CODE": "AWS.Scheduler.InternalServerError", "ERROR_MESSAGE": "Unexpected error occurred while processing the request",
				"RETRY_ATTEMPTS": "0", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"}},
		"the role may not: that is final": {answer: func(int) (int, string) { return 403, ec2Error("UnauthorizedOperation") },
			want: map[string]string{"ERROR_CODE": "UnauthorizedOperation", "ERROR_MESSAGE": "no", "RETRY_ATTEMPTS": "0"}},
		"the role may not, and refusals are retried": {answer: func(int) (int, string) { return 403, ec2Error("UnauthorizedOperation") },
			before: func(_ *testing.T, c *Config) { c.Unconfirmed.RefusalsRetried = true }, policy: retryPolicy{MaximumRetryAttempts: new(3)},
			want: map[string]string{"ERROR_CODE": "UnauthorizedOperation", "ERROR_MESSAGE": "no", "RETRY_ATTEMPTS": "3", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts"}},
		"a function": {answer: func(int) (int, string) { return 404, `{"Message":"Function not found"}` }, lambda: true,
			want: map[string]string{"ERROR_CODE": "404 Not Found", "ERROR_MESSAGE": "Function not found", "RETRY_ATTEMPTS": "0", "TARGET_ARN": "arn:aws:scheduler:::aws-sdk:lambda:invoke"},
			body: `{"FunctionName":"` + beatARN + `","InvocationType":"Event","Payload":"{}"}`},
		"the role does not trust us any more, and cannot send to the queue either": {before: func(_ *testing.T, c *Config) {
			var asked atomic.Int32
			c.Assume = func(string, string) (sigv4.Credentials, error) {
				if asked.Add(1) > 1 { // once, when the schedule is made
					return sigv4.Credentials{}, errors.New(denied)
				}
				return role, nil
			}
		}},
		"the role may not send to the queue": {answer: func(int) (int, string) { return 400, ec2Error("No") },
			before: func(t *testing.T, c *Config) {
				c.Authorize = func(key, action, resource string, _ map[string]string) error {
					if key != role.AccessKeyID || action != "sqs:SendMessage" || resource != queueARN {
						t.Errorf("asked whether %s may %s to %s", key, action, resource)
					}
					return errors.New(denied)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bubble) {
				b.answer = tt.answer
				var sent []DeadLetter
				b.cfg.DeadLetter = func(_ context.Context, queue string, m DeadLetter) error {
					if queue != queueARN {
						t.Errorf("sent to %s", queue)
					}
					sent = append(sent, m)
					return nil
				}
				if tt.before != nil {
					tt.before(t, &b.cfg)
				}
				b.run()
				defer b.end()
				b.create("switch", at(10*time.Second), func(in *scheduleInput) {
					if !tt.lambda {
						forEC2(in)
					}
					in.Target.RetryPolicy, in.Target.DeadLetterConfig = &tt.policy, &deadLetterConfig{queueARN}
				})
				due := time.Now().Add(10 * time.Second).UTC().Format(time.RFC3339)
				if tt.withdrawn {
					b.after(time.Minute + 2*time.Second) // it fires on the minute
					if _, err := b.deleteSchedule("switch", nil); err != nil {
						t.Fatal(err)
					}
				}
				b.after(25 * time.Hour)
				if tt.withdrawn && len(b.calls) == 0 {
					t.Error("it was withdrawn before the first try")
				}
				if tt.want == nil {
					if len(sent) != 0 {
						t.Errorf("got %+v, want no message", sent)
					}
					return
				}
				if len(sent) != 1 {
					t.Fatalf("got %d messages, want one", len(sent))
				}
				want := map[string]string{"IS_PAYLOAD_TRUNCATED": "false", "SCHEDULED_TIME": due, "TARGET_ARN": ec2Arn,
					"SCHEDULE_ARN": "arn:aws:scheduler:us-east-1:111122223333:schedule/default/switch", "EXECUTION_ID": sent[0].Attributes["EXECUTION_ID"]}
				maps.Copy(want, tt.want)
				if !maps.Equal(sent[0].Attributes, want) || want["EXECUTION_ID"] == "" {
					t.Errorf("got %v\nwant %v", sent[0].Attributes, want)
				}
				wantBody := body
				if tt.body != "" {
					wantBody = tt.body
				}
				if sent[0].Body != wantBody {
					t.Errorf("got body %s, want %s", sent[0].Body, wantBody)
				}
			})
		})
	}
}

// TestEachRoleCallsByItself: what a schedule calls is called with its own role's credentials.
func TestEachRoleCallsByItself(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		var assumed []string
		b.cfg.Caller = sigv4.Credentials{}
		b.cfg.Assume = func(arn, source string) (sigv4.Credentials, error) {
			assumed = append(assumed, arn+" for "+source)
			return role, nil // the targets accept no other
		}
		b.run()
		defer b.end()
		b.create("beat", at(0), nil)
		b.after(time.Minute)
		b.want("once", "0s lambda {}")
		want := roleARN + " for arn:aws:scheduler:us-east-1:111122223333:schedule-group/default"
		if len(assumed) != 2 || assumed[0] != want || assumed[1] != want { // when it was made, and to fire
			t.Errorf("got %v", assumed)
		}
	})
}
