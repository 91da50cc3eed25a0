package scheduler

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// What the SDK would not send, each as the bytes of a request.
func TestRefusalsOnTheWire(t *testing.T) {
	srv := httptest.NewServer(newServer(t, config("")).Handler())
	t.Cleanup(srv.Close)
	full := func(more string) string {
		return fmt.Sprintf(`{"ScheduleExpression":"rate(1 hour)","FlexibleTimeWindow":{"Mode":"OFF"},"Target":{"Arn":%q,"RoleArn":%q}%s}`, beatARN, roleARN, more)
	}
	target := func(more string) string {
		return fmt.Sprintf(`{"ScheduleExpression":"rate(1 hour)","FlexibleTimeWindow":{"Mode":"OFF"},"Target":{"Arn":%q,"RoleArn":%q%s}}`, beatARN, roleARN, more)
	}
	without := func(what, instead string) string { return strings.Replace(full(""), what, instead, 1) }
	seconds := func(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }
	long := strings.Repeat("a", 65)
	for name, tt := range map[string]struct {
		request, body, typ, message string
	}{
		"no expression":                        {"POST /schedules/s", without(`"ScheduleExpression":"rate(1 hour)",`, ``), "ValidationException", "at 'scheduleExpression'"},
		"no window":                            {"POST /schedules/s", without(`"FlexibleTimeWindow":{"Mode":"OFF"},`, ``), "ValidationException", "at 'flexibleTimeWindow'"},
		"no target":                            {"POST /schedules/s", `{"ScheduleExpression":"rate(1 hour)","FlexibleTimeWindow":{"Mode":"OFF"}}`, "ValidationException", "at 'target'"},
		"a target without its ARN":             {"POST /schedules/s", without(`"Arn":"`+beatARN+`",`, ``), "ValidationException", "at 'target.arn'"},
		"a target without a role":              {"POST /schedules/s", without(`,"RoleArn":"`+roleARN+`"`, ``), "ValidationException", "at 'target.roleArn'"},
		"a window with a length":               {"POST /schedules/s", without(`"Mode":"OFF"`, `"Mode":"OFF","MaximumWindowInMinutes":5`), "ValidationException", "FlexibleTimeWindow"},
		"an action that is none":               {"POST /schedules/s", full(`,"ActionAfterCompletion":"KEEP"`), "ValidationException", "at 'actionAfterCompletion'"},
		"a description of 513":                 {"POST /schedules/s", full(`,"Description":"` + strings.Repeat("d", 513) + `"`), "ValidationException", "at 'description'"},
		"a token with a space":                 {"POST /schedules/s", full(`,"ClientToken":"a b"`), "ValidationException", "at 'clientToken'"},
		"a group of 65":                        {"POST /schedules/s", full(`,"GroupName":"` + long + `"`), "ValidationException", "at 'groupName'"},
		"a start six minutes ago":              {"POST /schedules/s", full(`,"StartDate":` + seconds(-6*time.Minute)), "ValidationException", "The StartDate you specify cannot be earlier than 5 minutes ago."},
		"an end before the start":              {"POST /schedules/s", full(`,"StartDate":` + seconds(2*time.Hour) + `,"EndDate":` + seconds(time.Hour)), "ValidationException", "EndDate"},
		"a date that is a text":                {"POST /schedules/s", full(`,"EndDate":"tomorrow"`), "SerializationException", "EndDate"},
		"an event of 59 seconds":               {"POST /schedules/s", target(`,"RetryPolicy":{"MaximumEventAgeInSeconds":59}`), "ValidationException", "maximumEventAgeInSeconds"},
		"an event of more than a day":          {"POST /schedules/s", target(`,"RetryPolicy":{"MaximumEventAgeInSeconds":86401}`), "ValidationException", "maximumEventAgeInSeconds"},
		"fewer retries than none":              {"POST /schedules/s", target(`,"RetryPolicy":{"MaximumRetryAttempts":-1}`), "ValidationException", "maximumRetryAttempts"},
		"a target for a queue":                 {"POST /schedules/s", target(`,"SqsParameters":{"MessageGroupId":"g"}`), "ValidationException", "SqsParameters"},
		"an ARN that is none":                  {"POST /schedules/s", strings.Replace(full(""), beatARN, "beat", 1), "ValidationException", "Provided Arn is not in correct format"},
		"a role that is none":                  {"POST /schedules/s", strings.Replace(full(""), roleARN, "role", 1), "ValidationException", "RoleArn"},
		"a body that is an array":              {"POST /schedules/s", `[]`, "SerializationException", "not a JSON object"},
		"a request of more than a megabyte":    {"POST /schedules/s", full(`,"Description":"` + strings.Repeat("d", requestBytes) + `"`), "ValidationException", "too long"},
		"a get by a name with a star":          {"GET /schedules/a*b", ``, "ValidationException", "at 'name'"},
		"a get from a group of 65":             {"GET /schedules/s?groupName=" + long, ``, "ValidationException", "at 'groupName'"},
		"a get from a group that is not there": {"GET /schedules/s?groupName=g", ``, "ResourceNotFoundException", "Schedule s does not exist."},
		"a deletion by a long name":            {"DELETE /schedules/" + long, ``, "ValidationException", "at 'name'"},
		"a deletion with a bad token":          {"DELETE /schedules/s?clientToken=a%20b", ``, "ValidationException", "at 'clientToken'"},
		"an update of nothing":                 {"PUT /schedules/s", full(""), "ResourceNotFoundException", "Schedule s does not exist."},
		"an update that is not JSON":           {"PUT /schedules/s", `{`, "SerializationException", "JSON"},
		"an update of a bad name":              {"PUT /schedules/a*b", full(""), "ValidationException", "at 'name'"},
		"a list of none":                       {"GET /schedules?MaxResults=0", ``, "ValidationException", "at 'maxResults'"},
		"a list of 101":                        {"GET /schedules?MaxResults=101", ``, "ValidationException", "at 'maxResults'"},
		"a list of many":                       {"GET /schedules?MaxResults=many", ``, "ValidationException", "at 'maxResults'"},
		"a list by a state that is none":       {"GET /schedules?State=PAUSED", ``, "ValidationException", "at 'state'"},
		"a list by an empty prefix":            {"GET /schedules?NamePrefix=", ``, "ValidationException", "at 'NamePrefix'"},
		"a list of a group of 65":              {"GET /schedules?ScheduleGroup=" + long, ``, "ValidationException", "at 'ScheduleGroup'"},
		"a group with a space":                 {"POST /schedule-groups/a%20b", `{}`, "ValidationException", "at 'name'"},
		"a group with a bad token":             {"POST /schedule-groups/g", `{"ClientToken":"a b"}`, "ValidationException", "at 'clientToken'"},
		"a group that is not JSON":             {"POST /schedule-groups/g", `{`, "SerializationException", "JSON"},
		"a get of a group with a star":         {"GET /schedule-groups/a*b", ``, "ValidationException", "at 'name'"},
		"a deletion of a group with a star":    {"DELETE /schedule-groups/a*b", ``, "ValidationException", "at 'name'"},
		"a deletion of a group that never was": {"DELETE /schedule-groups/g", ``, "ResourceNotFoundException", "Schedule group g does not exist."},
	} {
		t.Run(name, func(t *testing.T) {
			method, path, _ := strings.Cut(tt.request, " ")
			r, err := http.NewRequestWithContext(t.Context(), method, srv.URL+path, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			sigv4.Sign(r, []byte(tt.body), person, "scheduler", "us-east-1", time.Now())
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]int{"ResourceNotFoundException": 404}[tt.typ]
			if want == 0 {
				want = 400
			}
			if res.StatusCode != want || res.Header.Get("X-Amzn-Errortype") != tt.typ || !strings.Contains(string(raw), tt.message) {
				t.Errorf("got %d %s %.300s, want %d %s with %q", res.StatusCode, res.Header.Get("X-Amzn-Errortype"), raw, want, tt.typ, tt.message)
			}
		})
	}
}

func TestUpToTheLimits(t *testing.T) {
	s := newServer(t, config(""))
	for name, change := range map[string]func(*scheduleInput){
		"a description of 512":     func(in *scheduleInput) { in.Description = strings.Repeat("d", 512) },
		"an event of a minute":     func(in *scheduleInput) { in.Target.RetryPolicy = &retryPolicy{MaximumEventAgeInSeconds: new(60)} },
		"no retries":               func(in *scheduleInput) { in.Target.RetryPolicy = &retryPolicy{MaximumRetryAttempts: new(0)} },
		"a start five minutes ago": func(in *scheduleInput) { in.StartDate = new(epoch(time.Now().Add(-startAgo + time.Minute))) },
	} {
		in := scheduleInput{ScheduleExpression: "rate(1 hour)", FlexibleTimeWindow: &window{Mode: "OFF"}, Target: &target{Arn: beatARN, RoleArn: roleARN}}
		change(&in)
		if _, err := s.createSchedule(strings.Repeat("n", 64-len(name))+strings.ReplaceAll(name, " ", "-"), in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExpressions(t *testing.T) {
	for expression, want := range map[string]timing{
		"rate(1 minute)":          {every: 1},
		"rate(90 minutes)":        {every: 90},
		"rate(1 hour)":            {every: 60},
		"rate(36 hours)":          {every: 36 * 60},
		"rate(1 day)":             {every: 24 * 60},
		"rate(7 days)":            {every: 7 * 24 * 60},
		"at(2026-07-01T09:30:00)": {at: time.Date(2026, 7, 1, 13, 30, 0, 0, time.UTC)},
		"at(2026-12-01T09:30:00)": {at: time.Date(2026, 12, 1, 14, 30, 0, 0, time.UTC)},
	} {
		got, err := scheduleInput{ScheduleExpression: expression, ScheduleExpressionTimezone: "America/New_York"}.timing()
		if err != nil || got != want {
			t.Errorf("%s in New York: got %+v and %v, want %+v", expression, got, err, want)
		}
	}
	for _, expression := range []string{"", "rate()", "rate(1)", "rate(1 week)", "rate(1.5 hours)", "rate(-1 hours)", "rate(01 hours)", "RATE(1 hour)", "rate(1  hour)", " rate(1 hour)", "rate(1 hour) ",
		"at()", "at(2026-07-01)", "at(2026-07-01 09:30:00)", "at(2026-07-01T24:00:00)", "at(2026-7-1T9:30:00)", "at(2026-07-01T09:30)", "at(2026-07-01T09:30:00+09:00)", "cron(0 9 * * ? *)", "2026-07-01T09:30:00"} {
		if got, err := (scheduleInput{ScheduleExpression: expression, ScheduleExpressionTimezone: "UTC"}).timing(); err == nil {
			t.Errorf("%q is taken for %+v, want a refusal", expression, got)
		}
	}
}

func TestANewWithAFaultIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"no log":                  func(c *Config) { c.Log = nil },
		"no credentials":          func(c *Config) { c.Credentials = nil },
		"a group with a space":    func(c *Config) { c.Groups = []string{"a b"} },
		"a schedule that is none": func(c *Config) { c.Schedules = []Schedule{{Name: "s"}} },
	} {
		c := config("")
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		b := &bubble{targets: &targets{t: t, began: time.Now()}, t: t, cfg: config("")}
		b.cfg.EC2URL, b.cfg.LambdaURL, b.cfg.Client = "http://ec2.test", "http://lambda.test", &http.Client{Transport: b.targets}
		b.cfg.Log = slog.New(slog.NewJSONHandler(&out, nil))
		b.cfg.Unconfirmed.FiresTwice = true
		b.run()
		if _, err := sdkFor(b.Server, 1).CreateSchedule(t.Context(), switchFor("s", nil)); err != nil {
			t.Fatal(err)
		}
		b.create("beat", "rate(1 minute)", func(in *scheduleInput) { in.Target.Input = `{"known":"only to us"}` })
		b.after(time.Minute)
		b.end()
		for _, secret := range []string{person.SecretAccessKey, role.SecretAccessKey, role.SessionToken, "only to us", "Signature="} {
			if out.Len() == 0 || strings.Contains(out.String(), secret) {
				t.Errorf("the log holds %q, or nothing at all:\n%s", secret, out.String())
			}
		}
	})
}
