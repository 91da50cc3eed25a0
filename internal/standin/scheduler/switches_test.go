package scheduler

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// inProcess serves requests without a socket, as a bubble needs it, each written out and read again.
type inProcess struct{ http.Handler }

func (h inProcess) Do(r *http.Request) (*http.Response, error) {
	var wire bytes.Buffer
	if err := r.Write(&wire); err != nil {
		return nil, err
	}
	got, err := http.ReadRequest(bufio.NewReader(&wire))
	if err != nil {
		return nil, err
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, got)
	return w.Result(), nil
}

// sdkFor is the AWS SDK's client with so many tries.
func sdkFor(s *Server, tries int) *sdk.Client {
	return sdk.New(sdk.Options{Region: "us-east-1", HTTPClient: inProcess{s.Handler()}, RetryMaxAttempts: tries,
		Credentials: credentials.NewStaticCredentialsProvider(person.AccessKeyID, person.SecretAccessKey, "")})
}

func flip(t *testing.T, all []switches.Switch, name string) {
	t.Helper()
	i := slices.IndexFunc(all, func(s switches.Switch) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no switch %s", name)
	}
	was := all[i].On()
	all[i].Set(!was)
	if all[i].On() == was {
		t.Fatalf("switch %s does not change", name)
	}
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func (b *bubble) names() string {
	var out []string
	for _, s := range b.Snapshot() {
		out = append(out, s.Name)
	}
	return strings.Join(out, " ")
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, config(""))
		once, patient := sdkFor(s, 1), sdkFor(s, 3)
		create := func(c *sdk.Client, name string) error {
			_, err := c.CreateSchedule(t.Context(), switchFor(name, nil))
			return err
		}
		for i := range 6 {
			if err := create(once, fmt.Sprint("before-", i)); err != nil {
				t.Fatal(err)
			}
		}
		flip(t, s.Switches(), "Throttle")
		codes := map[string]int{}
		for i := range 9 {
			codes[code(create(once, fmt.Sprint("once-", i)))]++
		}
		if codes["ThrottlingException"] != 3 || codes["<nil>"] != 6 {
			t.Errorf("of nine requests got %v, want every third throttled", codes)
		}
		for i := range 12 {
			name := fmt.Sprint("patient-", i)
			if err := create(patient, name); err != nil {
				t.Errorf("create: a client that tries again is refused all the same: %v", err)
			}
			if _, err := patient.GetSchedule(t.Context(), &sdk.GetScheduleInput{Name: &name}); err != nil {
				t.Errorf("get: a client that tries again is refused all the same: %v", err)
			}
			if _, err := patient.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: &name}); err != nil {
				t.Errorf("delete: a client that tries again is refused all the same: %v", err)
			}
		}
		flip(t, s.Switches(), "Throttle")
		for i := range 6 {
			if err := create(once, fmt.Sprint("after-", i)); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAnswersAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, config(""))
		once, patient := sdkFor(s, 1), sdkFor(s, 3)
		flip(t, s.Switches(), "AnswersLost")
		lost := 0
		for i := range 9 {
			name := fmt.Sprint("once-", i)
			_, err := once.CreateSchedule(t.Context(), switchFor(name, nil))
			if err != nil && code(err) != "InternalServerException" {
				t.Fatal(err)
			}
			if err != nil {
				lost++
			}
			if _, err := once.GetSchedule(t.Context(), &sdk.GetScheduleInput{Name: &name}); err != nil {
				t.Errorf("%s: %v, want it made whatever was answered", name, err)
			}
		}
		if lost != 3 {
			t.Errorf("the answers to %d of nine changes were lost, want every third", lost)
		}
		gone := 0
		for i := range 9 {
			name := fmt.Sprint("patient-", i)
			if _, err := patient.CreateSchedule(t.Context(), switchFor(name, nil)); err != nil {
				t.Errorf("a repeated request has the same token and must succeed: %v", err)
			}
			_, err := patient.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: &name})
			if code(err) == "ResourceNotFoundException" {
				gone++
			} else if err != nil {
				t.Error(err)
			}
		}
		if gone != 3 {
			t.Errorf("%d of nine deletions found nothing the second time, want every third change lost", gone)
		}
		flip(t, s.Switches(), "DeletesRemembered")
		for i := range 9 {
			name := fmt.Sprint("remembered-", i)
			if _, err := patient.CreateSchedule(t.Context(), switchFor(name, nil)); err != nil {
				t.Error(err)
			}
			if _, err := patient.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: &name}); err != nil {
				t.Errorf("a deletion repeated with its token: %v", err)
			}
		}
	})
}

func TestDeletesRemembered(t *testing.T) {
	s := newServer(t, config(""))
	c := sdkFor(s, 1)
	remove := func(name, token string) error {
		_, err := c.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: &name, ClientToken: &token})
		return err
	}
	for _, name := range []string{"a", "b"} {
		if _, err := c.CreateSchedule(t.Context(), switchFor(name, nil)); err != nil {
			t.Fatal(err)
		}
	}
	if err := remove("a", "one"); err != nil {
		t.Fatal(err)
	}
	wantCode(t, remove("a", "one"), "ResourceNotFoundException", "Schedule a does not exist.")
	flip(t, s.Switches(), "DeletesRemembered")
	if err := remove("a", "one"); err != nil {
		t.Errorf("the same deletion once more: %v", err)
	}
	wantCode(t, remove("a", "two"), "ResourceNotFoundException", "Schedule a does not exist.")
	if err := remove("b", "one"); err != nil {
		t.Errorf("the token of another's deletion: %v", err)
	}
	wantCode(t, remove("a", "one"), "ResourceNotFoundException", "Schedule a does not exist.")
	for i := range 2 * deletedMost {
		s.deleted[fmt.Sprint(i%deletedMost)] = "x"
	}
	if _, err := c.CreateSchedule(t.Context(), switchFor("c", nil)); err != nil {
		t.Fatal(err)
	}
	if err := remove("c", "three"); err != nil || len(s.deleted) != 1 {
		t.Errorf("got %v and %d tokens remembered, want the oldest forgotten", err, len(s.deleted))
	}
}

func TestFiresTwice(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.cfg.Unconfirmed.FiresTwice = true
		b.run()
		defer b.end()
		b.create("switch", at(time.Minute), forEC2)
		b.create("marked", at(time.Minute), func(in *scheduleInput) { in.Target.Input = `{"id":"<aws.scheduler.execution-id>"}` })
		b.after(10 * time.Minute)
		if n := len(b.calls); n != 4 {
			t.Fatalf("got %d calls, want each delivery twice:\n%s", n, strings.Join(b.calls, "\n"))
		}
		slices.Sort(b.calls)
		if b.calls[0] != "1m0s "+ec2Call || b.calls[1] != b.calls[0] || b.calls[2] != b.calls[3] {
			t.Errorf("got\n%s\nwant two pairs, each the same event twice", strings.Join(b.calls, "\n"))
		}
		if left := b.names(); left != "marked" {
			t.Errorf("afterwards there are %q, want the one that does not delete itself", left)
		}
	})
}

func TestFiringTwiceNeedsOneSuccess(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.cfg.Unconfirmed.FiresTwice = true
		b.answer = func(call int) (int, string) {
			return []int{500, 200, 400}[call], ec2Error("InvalidClientVpnAssociationIdNotFound")
		}
		b.run()
		defer b.end()
		b.create("switch", at(0), func(in *scheduleInput) { forEC2(in); in.ActionAfterCompletion = "NONE" })
		b.after(time.Hour)
		b.want("a failure, the delivery, and the same again", "0s "+ec2Call, "1s "+ec2Call, "1s "+ec2Call)
		if last := b.Snapshot()[0].Last; last == nil || last.Error != "" || last.Attempts != 2 {
			t.Errorf("got outcome %+v, want success at the second attempt: the second delivery counts for nothing", last)
		}
	})
}

func TestFiresLate(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.cfg.Unconfirmed.FiresLate = true
		b.run()
		defer b.end()
		b.create("switch", at(5*time.Minute), forEC2)
		b.create("beat", "rate(2 minutes)", nil)
		b.after(6*time.Minute + 59*time.Second)
		b.want("each 59 seconds into its minute", "5m59s "+ec2Call, "59s lambda {}", "2m59s lambda {}", "4m59s lambda {}", "6m59s lambda {}")
	})
}

func TestLingers(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		c := sdkFor(b.Server, 1)
		flip(t, b.Switches(), "Lingers")
		b.create("switch", at(time.Minute), forEC2)
		b.create("other", at(time.Minute), forEC2)
		b.create("third", at(time.Minute), forEC2)
		b.after(time.Minute)
		if got := b.names(); got != "other switch third" || !b.Snapshot()[0].Next.IsZero() {
			t.Errorf("got %q, next %v, want all three still, and not to fire again", got, b.Snapshot()[0].Next)
		}
		_, err := c.CreateSchedule(t.Context(), switchFor("switch", nil))
		wantCode(t, err, "ConflictException", "already exists")
		if _, err := c.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: aws.String("other")}); err != nil {
			t.Errorf("deleting one that lingers: %v", err)
		}
		b.end()
		b.run() // over the state, where it still lingers
		defer b.end()
		b.after(30 * time.Second)
		b.create("woken", at(-time.Hour), nil) // whatever happens meanwhile
		b.after(29 * time.Second)
		if got := b.names(); got != "switch third woken" {
			t.Errorf("after 59 seconds and a restart: got %q", got)
		}
		b.after(time.Second)
		if got := b.names(); got != "woken" {
			t.Errorf("after a minute: got %q, want it gone", got)
		}
		b.want("nothing fired twice", "1m0s "+ec2Call, "1m0s "+ec2Call, "1m0s "+ec2Call, "1m30s lambda {}")
	})
}

func TestATimeThatHasPassed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		defer b.end()
		c := sdkFor(b.Server, 1)
		b.after(time.Minute)
		past := func(name string) error {
			_, err := c.CreateSchedule(t.Context(), switchFor(name, func(in *sdk.CreateScheduleInput) { in.ScheduleExpression = aws.String(at(-time.Hour)) }))
			synctest.Wait()
			return err
		}
		flip(t, b.Switches(), "PastRefused")
		wantCode(t, past("refused"), "ValidationException", "has passed")
		flip(t, b.Switches(), "PastRefused")
		flip(t, b.Switches(), "PastNeverFires")
		if err := past("kept"); err != nil {
			t.Fatal(err)
		}
		b.create("future", at(time.Minute), forEC2)
		b.create("hourly", "rate(1 hour)", nil)
		b.after(time.Hour - time.Minute)
		b.want("only what was still to come, and what has no time", "1m0s lambda {}", "2m0s "+ec2Call)
		if _, err := b.deleteSchedule("hourly", nil); err != nil {
			t.Fatal(err)
		}
		if got := b.names(); got != "kept" {
			t.Errorf("got %q, want the one that never fires, still there", got)
		}
		flip(t, b.Switches(), "PastNeverFires")
		if err := past("at-once"); err != nil {
			t.Fatal(err)
		}
		b.want("and at once again", "1m0s lambda {}", "2m0s "+ec2Call, "1h0m0s "+ec2Call)
	})
}

func TestBusyWhileFiring(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.answer = func(call int) (int, string) {
			if call < 5 {
				return 503, ec2Error("RequestLimitExceeded")
			}
			return 200, ""
		}
		b.run()
		defer b.end()
		c := sdkFor(b.Server, 1)
		b.create("switch", at(0), func(in *scheduleInput) { forEC2(in); in.ActionAfterCompletion = "NONE" })
		remove := func() error {
			_, err := c.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: aws.String("switch")})
			return err
		}
		flip(t, b.Switches(), "BusyWhileFiring")
		wantCode(t, remove(), "ConflictException", "Schedule switch is being delivered.")
		_, err := c.UpdateSchedule(t.Context(), updateFor("switch", nil))
		wantCode(t, err, "ConflictException", "Schedule switch is being delivered.")
		b.after(time.Hour)
		if got := b.Snapshot()[0].Last; got == nil || got.Attempts != 6 {
			t.Errorf("got outcome %+v, want the delivery to have gone on", got)
		}
		if err := remove(); err != nil {
			t.Errorf("after the delivery: %v", err)
		}
	})
}

func TestGroupsLinger(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.cfg.Groups = []string{"g"}
		b.run()
		c := sdkFor(b.Server, 1)
		flip(t, b.Switches(), "GroupsLinger")
		in := func(group string) func(*scheduleInput) {
			return func(in *scheduleInput) { in.GroupName = group }
		}
		b.create("beat", "rate(1 minute)", in("g"))
		b.after(30 * time.Second)
		group := aws.String("g")
		if _, err := c.DeleteScheduleGroup(t.Context(), &sdk.DeleteScheduleGroupInput{Name: group}); err != nil {
			t.Fatal(err)
		}
		got, err := c.GetScheduleGroup(t.Context(), &sdk.GetScheduleGroupInput{Name: group})
		if err != nil || got.State != types.ScheduleGroupStateDeleting {
			t.Errorf("got %+v and %v, want DELETING", got, err)
		}
		_, err = c.CreateSchedule(t.Context(), switchFor("new", func(in *sdk.CreateScheduleInput) { in.GroupName = group }))
		wantCode(t, err, "ConflictException", "Schedule group g is being deleted.")
		_, err = c.UpdateSchedule(t.Context(), updateFor("beat", func(in *sdk.UpdateScheduleInput) { in.GroupName = group }))
		wantCode(t, err, "ConflictException", "Schedule group g is being deleted.")
		_, err = c.DeleteScheduleGroup(t.Context(), &sdk.DeleteScheduleGroupInput{Name: group})
		wantCode(t, err, "ConflictException", "Schedule group g is being deleted.")
		_, err = c.CreateScheduleGroup(t.Context(), &sdk.CreateScheduleGroupInput{Name: group})
		wantCode(t, err, "ConflictException", "Schedule group g already exists.")
		b.end()
		b.cfg.Groups = nil
		b.run() // over the state, where it is still on its way out
		defer b.end()
		b.after(50 * time.Second)
		b.create("elsewhere", at(time.Hour), nil)
		b.after(10 * time.Second)
		if got := b.names(); got != "elsewhere" {
			t.Errorf("a minute after its deletion: got %q, want its schedules gone with it", got)
		}
		b.after(10 * time.Minute)
		b.want("its schedules fire until it is gone", "0s lambda {}", "1m0s lambda {}")
		_, err = sdkFor(b.Server, 1).GetScheduleGroup(t.Context(), &sdk.GetScheduleGroupInput{Name: group})
		wantCode(t, err, "ResourceNotFoundException", "Schedule group g does not exist.")
	})
}

func TestQuotas(t *testing.T) {
	s := newServer(t, config(""))
	c := sdkFor(s, 1)
	group := func(i int) error {
		_, err := c.CreateScheduleGroup(t.Context(), &sdk.CreateScheduleGroupInput{Name: aws.String(fmt.Sprint("g", i))})
		return err
	}
	for i := range maxGroups - 1 { // and the default group
		if err := group(i); err != nil {
			t.Fatal(err)
		}
	}
	wantCode(t, group(maxGroups), "ServiceQuotaExceededException", "schedule groups")
	if _, err := c.DeleteScheduleGroup(t.Context(), &sdk.DeleteScheduleGroupInput{Name: aws.String("g0")}); err != nil {
		t.Fatal(err)
	}
	create := func(name string) error {
		_, err := c.CreateSchedule(t.Context(), switchFor(name, nil))
		return err
	}
	if err := create("before"); err != nil {
		t.Fatal(err)
	}
	flip(t, s.Faults(), "QuotaReached")
	wantCode(t, create("after"), "ServiceQuotaExceededException", "schedules")
	wantCode(t, create("before"), "ConflictException", "already exists")
	wantCode(t, group(0), "ServiceQuotaExceededException", "schedule groups")
	if e, ok := errors.AsType[*smithyhttp.ResponseError](create("after")); !ok || e.HTTPStatusCode() != 402 {
		t.Errorf("got %v, want status 402", e)
	}
	flip(t, s.Faults(), "QuotaReached")
	if err := create("after"); err != nil {
		t.Error(err)
	}
}

// updateFor is switchFor for an update; change alters it.
func updateFor(name string, change func(*sdk.UpdateScheduleInput)) *sdk.UpdateScheduleInput {
	c := switchFor(name, nil)
	in := &sdk.UpdateScheduleInput{Name: c.Name, ScheduleExpression: c.ScheduleExpression, ActionAfterCompletion: c.ActionAfterCompletion, FlexibleTimeWindow: c.FlexibleTimeWindow, Target: c.Target}
	if change != nil {
		change(in)
	}
	return in
}

func TestUpdateReplacesEverything(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.run()
		c := sdkFor(b.Server, 1)
		b.create("beat", "rate(1 minute)", func(in *scheduleInput) {
			in.Description, in.Target.RetryPolicy = "each minute", &retryPolicy{MaximumRetryAttempts: new(3)}
		})
		b.after(10 * time.Second)
		disabled := updateFor("beat", func(in *sdk.UpdateScheduleInput) {
			in.ScheduleExpression, in.State, in.ActionAfterCompletion = aws.String("rate(2 minutes)"), types.ScheduleStateDisabled, ""
			in.Target = &types.Target{Arn: aws.String(beatARN), RoleArn: aws.String(roleARN), Input: aws.String(`"two"`)}
		})
		out, err := c.UpdateSchedule(t.Context(), disabled)
		if err != nil {
			t.Fatal(err)
		}
		if want := "arn:aws:scheduler:us-east-1:111122223333:schedule/default/beat"; *out.ScheduleArn != want {
			t.Errorf("got ARN %s, want %s", *out.ScheduleArn, want)
		}
		b.after(5 * time.Minute)
		b.want("nothing while it is disabled", "0s lambda {}")
		got, err := c.GetSchedule(t.Context(), &sdk.GetScheduleInput{Name: aws.String("beat")})
		if err != nil {
			t.Fatal(err)
		}
		if got.Description != nil || *got.Target.RetryPolicy.MaximumRetryAttempts != 185 || got.State != types.ScheduleStateDisabled || got.ActionAfterCompletion != types.ActionAfterCompletionNone {
			t.Errorf("got %+v, target %+v: what an update does not say goes back to its default", got, got.Target)
		}
		if age := got.LastModificationDate.Sub(*got.CreationDate); age != 10*time.Second {
			t.Errorf("it was changed %v after it was made, want 10s", age)
		}
		b.end()
		b.run()
		defer b.end()
		c = sdkFor(b.Server, 1)
		disabled.State = types.ScheduleStateEnabled
		if _, err := c.UpdateSchedule(t.Context(), disabled); err != nil {
			t.Fatal(err)
		}
		b.after(4 * time.Minute)
		b.want("enabled again, every two minutes", "0s lambda {}", `6m0s lambda "two"`, `8m0s lambda "two"`)
		if got := b.Snapshot()[0].Last; got == nil {
			t.Error("the last outcome is lost")
		}
		_, err = c.UpdateSchedule(t.Context(), updateFor("nothing", nil))
		wantCode(t, err, "ResourceNotFoundException", "Schedule nothing does not exist.")
		_, err = c.UpdateSchedule(t.Context(), updateFor("beat", func(in *sdk.UpdateScheduleInput) { in.GroupName = aws.String("nowhere") }))
		wantCode(t, err, "ResourceNotFoundException", "Schedule group nowhere does not exist.")
		_, err = c.UpdateSchedule(t.Context(), updateFor("beat", func(in *sdk.UpdateScheduleInput) { in.ScheduleExpression = aws.String("rate(1 minutes)") }))
		wantCode(t, err, "ValidationException", "Invalid Schedule Expression")
	})
}

func TestAnUpdateInTheMiddleOfADelivery(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bubble) {
		b.answer = func(int) (int, string) {
			if time.Since(b.began) < 30*time.Minute {
				return 503, ec2Error("RequestLimitExceeded")
			}
			return 200, ""
		}
		b.run()
		defer b.end()
		c := sdkFor(b.Server, 1)
		b.create("switch", at(0), forEC2)
		later := updateFor("switch", func(in *sdk.UpdateScheduleInput) {
			in.ScheduleExpression, in.ClientToken = aws.String(at(time.Hour)), aws.String("once")
		})
		for range 2 { // the second is the same request again
			if _, err := c.UpdateSchedule(t.Context(), later); err != nil {
				t.Fatal(err)
			}
			b.after(time.Minute)
		}
		if got, err := c.GetSchedule(t.Context(), &sdk.GetScheduleInput{Name: aws.String("switch")}); err != nil || time.Since(*got.LastModificationDate) != 2*time.Minute {
			t.Errorf("got %+v and %v, want it changed by the first request alone", got, err)
		}
		b.after(57 * time.Minute)
		b.want("the old delivery is not tried again", "0s "+ec2Call)
		if got := b.names(); got != "switch" {
			t.Errorf("got %q, want the new one waiting", got)
		}
		b.after(2 * time.Minute)
		b.want("and the new one fires at its own time", "0s "+ec2Call, "1h0m0s "+ec2Call)
	})
}

func TestAChangeThatCannotBeSavedIsNotMade(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scheduler.json")
	s := newServer(t, config(file))
	c := sdkFor(s, 1)
	if _, err := c.CreateSchedule(t.Context(), switchFor("old", nil)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.CreateScheduleGroup(t.Context(), &sdk.CreateScheduleGroupInput{Name: aws.String("g")}); err != nil {
		t.Fatal(err)
	}
	unwritable(t, filepath.Dir(file))
	for name, change := range map[string]func() error{
		"create": func() error { _, err := c.CreateSchedule(t.Context(), switchFor("new", nil)); return err },
		"create group": func() error {
			_, err := c.CreateScheduleGroup(t.Context(), &sdk.CreateScheduleGroupInput{Name: aws.String("h")})
			return err
		},
		"delete": func() error {
			_, err := c.DeleteSchedule(t.Context(), &sdk.DeleteScheduleInput{Name: aws.String("old")})
			return err
		},
		"delete group": func() error {
			_, err := c.DeleteScheduleGroup(t.Context(), &sdk.DeleteScheduleGroupInput{Name: aws.String("g")})
			return err
		},
		"update": func() error {
			_, err := c.UpdateSchedule(t.Context(), updateFor("old", func(in *sdk.UpdateScheduleInput) { in.ScheduleExpression = aws.String("at(2127-01-02T03:04:05)") }))
			return err
		},
	} {
		if err := change(); code(err) != "InternalServerException" {
			t.Errorf("%s: got %v, want InternalServerException", name, err)
		}
	}
	got := s.Snapshot()
	if len(got) != 1 || got[0].Name != "old" || got[0].Expression != "at(2126-01-02T03:04:05)" || len(s.groups) != 2 {
		t.Errorf("got %+v and groups %v, want what a restart would find", got, s.groups)
	}
}

// unwritable takes a folder away, so that no file in it can be replaced, whoever runs the test.
func unwritable(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
