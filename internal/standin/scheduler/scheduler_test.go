package scheduler

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

var (
	person = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "a secret of the tests"}
	role   = sigv4.Credentials{AccessKeyID: "ASIAROLE", SecretAccessKey: "another one", SessionToken: "session"}
)

const (
	roleARN = "arn:aws:iam::111122223333:role/nightlatch-scheduler"
	beatARN = "arn:aws:lambda:us-east-1:111122223333:function:nightlatch-beat"
	ending  = `{"ClientVpnEndpointId":"cvpn-endpoint-0a","AssociationId":"cvpn-assoc-0b"}`
)

func config(file string) Config {
	return Config{Region: "us-east-1", AccountID: "111122223333", StateFile: file, Log: slog.New(slog.DiscardHandler), Caller: role,
		Credentials: func(id string) (sigv4.Credentials, bool) { return person, id == person.AccessKeyID }}
}

func newServer(t *testing.T, cfg Config) *Server {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start serves a stand-in and returns the AWS SDK's client for it.
func start(t *testing.T, file string) (*sdk.Client, *httptest.Server) {
	t.Helper()
	srv := httptest.NewServer(newServer(t, config(file)).Handler())
	t.Cleanup(srv.Close)
	return client(srv.URL, person), srv
}

func client(url string, c sigv4.Credentials) *sdk.Client {
	return sdk.New(sdk.Options{Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)})
}

// switchFor is a schedule as the dead-man's switch makes it; change alters it.
func switchFor(name string, change func(*sdk.CreateScheduleInput)) *sdk.CreateScheduleInput {
	in := &sdk.CreateScheduleInput{
		Name: &name, ScheduleExpression: aws.String("at(2126-01-02T03:04:05)"), ActionAfterCompletion: types.ActionAfterCompletionDelete,
		FlexibleTimeWindow: &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		Target:             &types.Target{Arn: aws.String(disassociateARN), RoleArn: aws.String(roleARN), Input: aws.String(ending)},
	}
	if change != nil {
		change(in)
	}
	return in
}

func wantCode(t *testing.T, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("got %v, want %s with %q", err, code, message)
	}
}

func TestScheduleFromMadeToDeleted(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scheduler.json")
	c, _ := start(t, file)
	ctx := t.Context()
	if _, err := c.CreateScheduleGroup(ctx, &sdk.CreateScheduleGroupInput{Name: aws.String("nightlatch")}); err != nil {
		t.Fatal(err)
	}
	made, err := c.CreateSchedule(ctx, switchFor("cvpn-assoc-0b", func(in *sdk.CreateScheduleInput) {
		in.GroupName = aws.String("nightlatch")
		in.ScheduleExpressionTimezone = aws.String("Asia/Seoul")
		in.Description = aws.String("ends cvpn-assoc-0b")
	}))
	if err != nil {
		t.Fatal(err)
	}
	if want := "arn:aws:scheduler:us-east-1:111122223333:schedule/nightlatch/cvpn-assoc-0b"; *made.ScheduleArn != want {
		t.Errorf("got ARN %s, want %s", *made.ScheduleArn, want)
	}

	c, _ = start(t, file) // a restart in between: the switch must survive whoever made it
	got, err := c.GetSchedule(ctx, &sdk.GetScheduleInput{Name: aws.String("cvpn-assoc-0b"), GroupName: aws.String("nightlatch")})
	if err != nil {
		t.Fatal(err)
	}
	if *got.ScheduleExpression != "at(2126-01-02T03:04:05)" || *got.ScheduleExpressionTimezone != "Asia/Seoul" || got.State != types.ScheduleStateEnabled ||
		got.ActionAfterCompletion != types.ActionAfterCompletionDelete || *got.Target.Input != ending || *got.Target.RetryPolicy.MaximumRetryAttempts != 185 ||
		*got.Target.RetryPolicy.MaximumEventAgeInSeconds != 86400 || *got.Description != "ends cvpn-assoc-0b" || time.Since(*got.CreationDate) > time.Minute {
		t.Errorf("came back changed: %+v, target %+v", got, got.Target)
	}
	key := &sdk.DeleteScheduleInput{Name: aws.String("cvpn-assoc-0b"), GroupName: aws.String("nightlatch")}
	if _, err := c.DeleteSchedule(ctx, key); err != nil {
		t.Fatal(err)
	}
	_, err = c.DeleteSchedule(ctx, key)
	wantCode(t, err, "ResourceNotFoundException", "Schedule cvpn-assoc-0b does not exist.")
}

func TestTheSameRequestTwiceIsOneSchedule(t *testing.T) {
	c, _ := start(t, "")
	in := switchFor("s", func(in *sdk.CreateScheduleInput) { in.ClientToken = aws.String("token-1") })
	for range 2 {
		if _, err := c.CreateSchedule(t.Context(), in); err != nil {
			t.Fatalf("an idempotent repetition must succeed: %v", err)
		}
	}
	_, err := c.CreateSchedule(t.Context(), switchFor("s", nil)) // another token, made by the SDK
	wantCode(t, err, "ConflictException", "Schedule s already exists.")
	in.ScheduleExpression = aws.String("at(2127-01-02T03:04:05)")
	_, err = c.CreateSchedule(t.Context(), in)
	wantCode(t, err, "ConflictException", "Schedule s already exists.")
}

func TestGroups(t *testing.T) {
	c, _ := start(t, "")
	ctx := t.Context()
	name := aws.String("g")
	if _, err := c.CreateScheduleGroup(ctx, &sdk.CreateScheduleGroupInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	_, err := c.CreateScheduleGroup(ctx, &sdk.CreateScheduleGroupInput{Name: name})
	wantCode(t, err, "ConflictException", "Schedule group g already exists.")
	for i := range 5 {
		group := name
		if i == 4 {
			group = nil
		}
		if _, err := c.CreateSchedule(ctx, switchFor("s"+strconv.Itoa(i), func(in *sdk.CreateScheduleInput) { in.GroupName = group })); err != nil {
			t.Fatal(err)
		}
	}
	list := func(in sdk.ListSchedulesInput) string {
		var got []string
		for p := sdk.NewListSchedulesPaginator(c, &in); p.HasMorePages(); {
			page, err := p.NextPage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range page.Schedules {
				got = append(got, *s.GroupName+"/"+*s.Name)
			}
			got = append(got, "|")
		}
		return strings.Join(got, " ")
	}
	for want, in := range map[string]sdk.ListSchedulesInput{
		"default/s4 g/s0 g/s1 g/s2 g/s3 |":     {},
		"default/s4 g/s0 | g/s1 g/s2 | g/s3 |": {MaxResults: aws.Int32(2)},
		"g/s0 g/s1 | g/s2 g/s3 |":              {GroupName: name, MaxResults: aws.Int32(2)},
		"g/s2 |":                               {NamePrefix: aws.String("s2")},
		"|":                                    {State: types.ScheduleStateDisabled},
		"default/s4 g/s0 g/s1 g/s2 | g/s3 |":   {State: types.ScheduleStateEnabled, MaxResults: aws.Int32(4)},
		"default/s4 |":                         {GroupName: aws.String("default")},
		"default/s4 g/s0 g/s1 | g/s2 g/s3 |":   {MaxResults: aws.Int32(3)},
	} {
		if got := list(in); got != want {
			t.Errorf("list %+v: got %q, want %q", in, got, want)
		}
	}
	if _, err := c.DeleteScheduleGroup(ctx, &sdk.DeleteScheduleGroupInput{Name: name}); err != nil {
		t.Fatal(err)
	}
	if got := list(sdk.ListSchedulesInput{}); got != "default/s4 |" {
		t.Errorf("after the group went: got %q, want its schedules gone with it", got)
	}
	_, err = c.GetScheduleGroup(ctx, &sdk.GetScheduleGroupInput{Name: name})
	wantCode(t, err, "ResourceNotFoundException", "Schedule group g does not exist.")
	_, err = c.DeleteScheduleGroup(ctx, &sdk.DeleteScheduleGroupInput{Name: aws.String("default")})
	wantCode(t, err, "ValidationException", "default")
	if got, err := c.GetScheduleGroup(ctx, &sdk.GetScheduleGroupInput{Name: aws.String("default")}); err != nil || got.State != types.ScheduleGroupStateActive {
		t.Errorf("default group: got %+v and %v, want ACTIVE", got, err)
	}
}

func TestRefusals(t *testing.T) {
	c, srv := start(t, "")
	for name, tt := range map[string]struct {
		change        func(*sdk.CreateScheduleInput)
		code, message string
	}{
		"a group that is not there":   {func(in *sdk.CreateScheduleInput) { in.GroupName = aws.String("g") }, "ResourceNotFoundException", "Schedule group g does not exist."},
		"a name with a space":         {func(in *sdk.CreateScheduleInput) { in.Name = aws.String("a b") }, "ValidationException", "at 'name'"},
		"a name of 65":                {func(in *sdk.CreateScheduleInput) { in.Name = aws.String(strings.Repeat("a", 65)) }, "ValidationException", "at 'name'"},
		"one minute in the plural":    {expression("rate(1 minutes)"), "ValidationException", "Invalid Schedule Expression rate(1 minutes)."},
		"two minutes in the singular": {expression("rate(2 minute)"), "ValidationException", "Invalid Schedule Expression"},
		"no minutes at all":           {expression("rate(0 minutes)"), "ValidationException", "Invalid Schedule Expression"},
		"cron, which is not offered":  {expression("cron(0 9 * * ? *)"), "ValidationException", "Invalid Schedule Expression"},
		"at with a zone of its own":   {expression("at(2126-01-02T03:04:05Z)"), "ValidationException", "Invalid Schedule Expression"},
		"at with a fraction":          {expression("at(2126-01-02T03:04:05.5)"), "ValidationException", "Invalid Schedule Expression"},
		"at on a day that is none":    {expression("at(2126-02-30T03:04:05)"), "ValidationException", "Invalid Schedule Expression"},
		"at without its parenthesis":  {expression("at(2126-01-02T03:04:05"), "ValidationException", "Invalid Schedule Expression"},
		"a zone nobody knows":         {func(in *sdk.CreateScheduleInput) { in.ScheduleExpressionTimezone = aws.String("Mars/Base") }, "ValidationException", "Mars/Base"},
		"this machine's zone":         {func(in *sdk.CreateScheduleInput) { in.ScheduleExpressionTimezone = aws.String("Local") }, "ValidationException", "Local"},
		"a flexible window":           {func(in *sdk.CreateScheduleInput) { in.FlexibleTimeWindow.Mode = types.FlexibleTimeWindowModeFlexible }, "ValidationException", "FlexibleTimeWindow"},
		"a state that is none":        {func(in *sdk.CreateScheduleInput) { in.State = "PAUSED" }, "ValidationException", "at 'state'"},
		"another account's role":      {func(in *sdk.CreateScheduleInput) { in.Target.RoleArn = aws.String("arn:aws:iam::999999999999:role/r") }, "ValidationException", "RoleArn"},
		"a universal target not offered": {func(in *sdk.CreateScheduleInput) {
			in.Target.Arn = aws.String("arn:aws:scheduler:::aws-sdk:ec2:stopInstances")
		}, "ValidationException", "stopInstances"},
		"a function in another Region": {func(in *sdk.CreateScheduleInput) {
			in.Target.Arn = aws.String("arn:aws:lambda:eu-west-1:111122223333:function:f")
		}, "ValidationException", "Region"},
		"a function with text for input": {func(in *sdk.CreateScheduleInput) {
			in.Target.Arn, in.Target.Input = aws.String(beatARN), aws.String("beat")
		}, "ValidationException", "well-formed JSON"},
		"EC2 without the association": {func(in *sdk.CreateScheduleInput) { in.Target.Input = aws.String(`{"ClientVpnEndpointId":"c"}`) }, "ValidationException", "AssociationId"},
		"EC2 with a parameter it has not": {func(in *sdk.CreateScheduleInput) {
			in.Target.Input = aws.String(`{"ClientVpnEndpointId":"c","AssociationId":"a","Force":true}`)
		}, "ValidationException", "Target.Input"},
		"186 retries": {func(in *sdk.CreateScheduleInput) {
			in.Target.RetryPolicy = &types.RetryPolicy{MaximumRetryAttempts: aws.Int32(186)}
		}, "ValidationException", "maximumRetryAttempts"},
		"a key of one's own": {func(in *sdk.CreateScheduleInput) {
			in.KmsKeyArn = aws.String("arn:aws:kms:us-east-1:111122223333:key/k")
		}, "ValidationException", "KmsKeyArn"},
		"an end in the past": {func(in *sdk.CreateScheduleInput) {
			in.ScheduleExpression, in.EndDate = aws.String("rate(1 hour)"), aws.Time(time.Now().Add(-time.Hour))
		}, "ValidationException", "EndDate"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.CreateSchedule(t.Context(), switchFor("s", tt.change))
			wantCode(t, err, tt.code, tt.message)
		})
	}
	_, err := c.ListScheduleGroups(t.Context(), &sdk.ListScheduleGroupsInput{})
	wantCode(t, err, "UnknownOperationException", "")
	_, err = c.ListSchedules(t.Context(), &sdk.ListSchedulesInput{GroupName: aws.String("nowhere")})
	wantCode(t, err, "ResourceNotFoundException", "nowhere")
	_, err = client(srv.URL, sigv4.Credentials{AccessKeyID: person.AccessKeyID, SecretAccessKey: "wrong"}).ListSchedules(t.Context(), nil)
	wantCode(t, err, "InvalidSignatureException", "does not match")
	_, err = client(srv.URL, sigv4.Credentials{AccessKeyID: "AKIDNOBODY", SecretAccessKey: "x"}).ListSchedules(t.Context(), nil)
	wantCode(t, err, "UnrecognizedClientException", "")
}

func expression(e string) func(*sdk.CreateScheduleInput) {
	return func(in *sdk.CreateScheduleInput) { in.ScheduleExpression = &e }
}

func TestTheProtocolItself(t *testing.T) {
	_, srv := start(t, "")
	for name, tt := range map[string]struct {
		method, path, body string
		unsigned           bool
		status             int
		typ                string
	}{
		"unsigned":                        {"GET", "/schedules", "", true, 403, "MissingAuthenticationTokenException"},
		"not JSON":                        {"POST", "/schedules/s", "{", false, 400, "SerializationException"},
		"nothing but a name":              {"POST", "/schedules/s", "{}", false, 400, "ValidationException"},
		"a member in small type":          {"POST", "/schedules/s", `{"target":{}}`, false, 400, "ValidationException"},
		"a query parameter nobody knows":  {"GET", "/schedules?Colour=red", "", false, 400, "ValidationException"},
		"a query parameter twice":         {"GET", "/schedules?State=ENABLED&State=DISABLED", "", false, 400, "ValidationException"},
		"an operation not offered":        {"PUT", "/schedule-groups/g", "{}", false, 404, "UnknownOperationException"},
		"a token somebody made up":        {"GET", "/schedules?NextToken=%21", "", false, 400, "ValidationException"},
		"a schedule that is not there":    {"GET", "/schedules/s", "", false, 404, "ResourceNotFoundException"},
		"tags, which groups here have no": {"POST", "/schedule-groups/g", `{"Tags":[]}`, false, 400, "ValidationException"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), tt.method, srv.URL+tt.path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if !tt.unsigned {
				sigv4.Sign(r, []byte(tt.body), person, "scheduler", "us-east-1", time.Now())
			}
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || res.Header.Get("X-Amzn-Errortype") != tt.typ || !strings.Contains(string(raw), `{"Message":"`) {
				t.Errorf("got %d %s %s, want %d %s with a Message", res.StatusCode, res.Header.Get("X-Amzn-Errortype"), raw, tt.status, tt.typ)
			}
		})
	}
}

func TestAStateFileThatIsNotOursIsLeftAlone(t *testing.T) {
	file := filepath.Join(t.TempDir(), "scheduler.json")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(config(file)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if raw, err := os.ReadFile(file); err != nil || string(raw) != "{}" {
		t.Errorf("the file is now %q (%v), want it untouched", raw, err)
	}
}
