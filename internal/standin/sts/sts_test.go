package sts_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awscredentials "github.com/aws/aws-sdk-go-v2/credentials"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

const (
	ours     = "arn:aws:iam::111122223333:role/service/nightlatch"
	spoke    = "arn:aws:iam::444455556666:role/vpn/nightlatch-spoke"
	guarded  = "arn:aws:iam::444455556666:role/guarded"
	long     = "arn:aws:iam::444455556666:role/long"
	openTo   = "arn:aws:iam::444455556666:role/open-to-the-account"
	others   = "arn:aws:iam::444455556666:role/others"
	operator = "arn:aws:iam::111122223333:user/ops/operator"
)

var (
	user     = sigv4.Credentials{AccessKeyID: "AKIAOPERATOR", SecretAccessKey: "operator-secret"}
	function = sigv4.Credentials{AccessKeyID: "ASIAFUNCTION", SecretAccessKey: "function-secret", SessionToken: "function-token"}
)

func config(log io.Writer) sts.Config {
	return sts.Config{
		Region: "us-east-1",
		Keys:   []sts.Key{{Credentials: user, ARN: operator}, {Credentials: function, ARN: ours, Session: "front"}},
		Roles: []sts.Role{
			{ARN: spoke, Trusts: []string{ours, operator}},
			{ARN: guarded, Trusts: []string{ours}, ExternalID: "a:long/word"},
			{ARN: long, Trusts: []string{ours, operator}, MaxSession: 12 * time.Hour},
			{ARN: openTo, Trusts: []string{"arn:aws:iam::111122223333:root"}},
			{ARN: others, Trusts: []string{"arn:aws:iam::777788889999:root", spoke}},
		},
		Log: slog.New(slog.NewJSONHandler(log, nil)),
	}
}

// direct hands requests to a handler without a socket.
type direct struct{ http.Handler }

func (d direct) Do(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	d.ServeHTTP(w, r)
	return w.Result(), nil
}

func client(s *sts.Server, c sigv4.Credentials) *awssts.Client {
	return awssts.New(awssts.Options{Region: "us-east-1", HTTPClient: direct{s.Handler()}, RetryMaxAttempts: 1,
		Credentials: awscredentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)})
}

func newServer(t *testing.T, log io.Writer) *sts.Server {
	t.Helper()
	s, err := sts.New(config(log))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode() + ": " + e.ErrorMessage()
	}
	return fmt.Sprint(err)
}

func TestAssumeRole(t *testing.T) {
	denied := func(who, role string) string {
		return "AccessDenied: User: " + who + " is not authorized to perform: sts:AssumeRole on resource: " + role
	}
	const session = "arn:aws:sts::111122223333:assumed-role/nightlatch/front"
	for name, tt := range map[string]struct {
		who           sigv4.Credentials
		role, session string
		external      *string
		seconds       *int32
		want          string // the assumed role's ARN, or the error
		lasts         time.Duration
	}{
		"a function's role, across accounts":            {function, spoke, "nightlatch", nil, nil, "arn:aws:sts::444455556666:assumed-role/nightlatch-spoke/nightlatch", time.Hour},
		"a user":                                        {user, spoke, "ops", nil, nil, "arn:aws:sts::444455556666:assumed-role/nightlatch-spoke/ops", time.Hour},
		"anybody of a trusted account":                  {user, openTo, "ops", nil, nil, "arn:aws:sts::444455556666:assumed-role/open-to-the-account/ops", time.Hour},
		"the shortest session":                          {function, spoke, "nightlatch", nil, new(int32(900)), "arn:aws:sts::444455556666:assumed-role/nightlatch-spoke/nightlatch", 15 * time.Minute},
		"a user may stay as long as the role allows":    {user, long, "ops", nil, new(int32(43200)), "arn:aws:sts::444455556666:assumed-role/long/ops", 12 * time.Hour},
		"the external id, where one is asked for":       {function, guarded, "nightlatch", new("a:long/word"), nil, "arn:aws:sts::444455556666:assumed-role/guarded/nightlatch", time.Hour},
		"an external id that nobody asks for":           {function, spoke, "nightlatch", new("12345"), nil, "arn:aws:sts::444455556666:assumed-role/nightlatch-spoke/nightlatch", time.Hour},
		"without the external id":                       {function, guarded, "nightlatch", nil, nil, denied(session, guarded), 0},
		"with another external id":                      {function, guarded, "nightlatch", new("another"), nil, denied(session, guarded), 0},
		"a role that trusts others":                     {function, others, "nightlatch", nil, nil, denied(session, others), 0},
		"a role that does not exist":                    {function, spoke + "s", "nightlatch", nil, nil, denied(session, spoke+"s"), 0},
		"a user is no role":                             {user, operator, "ops", nil, nil, denied(operator, operator), 0},
		"a role for longer than another may":            {function, long, "nightlatch", nil, new(int32(3601)), "ValidationError: The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.", 0},
		"longer than the role allows":                   {user, spoke, "ops", nil, new(int32(3601)), "ValidationError: The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", 0},
		"who may not learns nothing of the role":        {user, guarded, "ops", nil, new(int32(43200)), denied(operator, guarded), 0},
		"shorter than STS allows":                       {user, spoke, "ops", nil, new(int32(899)), "ValidationError: 1 validation error detected: Value '899' at 'durationSeconds' failed to satisfy constraint: Member must have value greater than or equal to 900", 0},
		"longer than STS allows":                        {user, long, "ops", nil, new(int32(43201)), "ValidationError: 1 validation error detected: Value '43201' at 'durationSeconds' failed to satisfy constraint: Member must have value less than or equal to 43200", 0},
		"a session's name with a space":                 {user, spoke, "on call", nil, nil, `ValidationError: 1 validation error detected: Value 'on call' at 'roleSessionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [\w+=,.@-]*`, 0},
		"a session's name of one letter":                {user, spoke, "o", nil, nil, "ValidationError: 1 validation error detected: Value 'o' at 'roleSessionName' failed to satisfy constraint: Member must have length greater than or equal to 2", 0},
		"an external id of one letter":                  {user, spoke, "ops", new("x"), nil, "ValidationError: 1 validation error detected: Value 'x' at 'externalId' failed to satisfy constraint: Member must have length greater than or equal to 2", 0},
		"a role's name that is too short to be an ARN":  {user, "role", "ops", nil, nil, "ValidationError: 1 validation error detected: Value 'role' at 'roleArn' failed to satisfy constraint: Member must have length greater than or equal to 20", 0},
		"a role's name that is none, and is told as it": {user, "nightlatch-spoke-of-4444", "ops", nil, nil, "ValidationError: nightlatch-spoke-of-4444 is invalid", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(t, io.Discard)
				out, err := client(s, tt.who).AssumeRole(t.Context(), &awssts.AssumeRoleInput{
					RoleArn: &tt.role, RoleSessionName: &tt.session, ExternalId: tt.external, DurationSeconds: tt.seconds})
				if err != nil {
					if got := code(err); got != tt.want {
						t.Errorf("got %s\nwant %s", got, tt.want)
					}
					return
				}
				if got := *out.AssumedRoleUser.Arn; got != tt.want || !strings.HasSuffix(*out.AssumedRoleUser.AssumedRoleId, ":"+tt.session) {
					t.Errorf("got %s, %s, want %s", got, *out.AssumedRoleUser.AssumedRoleId, tt.want)
				}
				c := out.Credentials
				made := sigv4.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}
				if !strings.HasPrefix(made.AccessKeyID, "ASIA") || len(made.AccessKeyID) != 20 || len(made.SecretAccessKey) != 40 {
					t.Errorf("got %+v, which are no credentials of AWS's form", made)
				}
				if got := time.Until(*c.Expiration); got != tt.lasts {
					t.Errorf("they last %v, want %v", got, tt.lasts)
				}
				if got, ok := s.Lookup(made.AccessKeyID); !ok || got != made {
					t.Errorf("looked up: %+v, %v, want %+v", got, ok, made)
				}
				who, err := client(s, made).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
				if err != nil || *who.Arn != tt.want || *who.Account != "444455556666" || *who.UserId != *out.AssumedRoleUser.AssumedRoleId {
					t.Errorf("they are known as %+v, %v, want %s", who, err, tt.want)
				}
			})
		})
	}
}

// TestSessionsEnd: a session is forgotten by the other stand-ins at its end, and STS itself says that it has expired.
func TestSessionsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(t, io.Discard)
		assume := func() sigv4.Credentials {
			out, err := client(s, function).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String(spoke), RoleSessionName: aws.String("nightlatch")})
			if err != nil {
				t.Fatal(err)
			}
			return sigv4.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}
		}
		identity := func(c sigv4.Credentials) error {
			_, err := client(s, c).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
			return err
		}
		made := assume()
		time.Sleep(time.Hour - time.Second)
		if _, ok := s.Lookup(made.AccessKeyID); !ok {
			t.Errorf("forgotten a second before its end")
		}
		time.Sleep(time.Second)
		if _, ok := s.Lookup(made.AccessKeyID); ok {
			t.Errorf("still known at its end")
		}
		if err := identity(made); code(err) != "ExpiredToken: The security token included in the request is expired" {
			t.Errorf("got %v, want that it has expired", err)
		}
		time.Sleep(time.Hour)
		assume()
		if err := identity(made); code(err) != "InvalidClientTokenId: The security token included in the request is invalid." {
			t.Errorf("got %v, want that nobody knows it any more", err)
		}
		if _, ok := s.Lookup(function.AccessKeyID); !ok {
			t.Errorf("a key that exists from the start is forgotten")
		}
	})
}

func TestGetCallerIdentity(t *testing.T) {
	s := newServer(t, io.Discard)
	for name, tt := range map[string]struct {
		who              sigv4.Credentials
		arn, id, account string
	}{
		"a user":              {user, operator, "AIDA", "111122223333"},
		"a session of a role": {function, "arn:aws:sts::111122223333:assumed-role/nightlatch/front", "AROA", "111122223333"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := client(s, tt.who).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
			if err != nil {
				t.Fatal(err)
			}
			if *out.Arn != tt.arn || *out.Account != tt.account || !strings.HasPrefix(*out.UserId, tt.id) {
				t.Errorf("got %s %s %s", *out.Arn, *out.UserId, *out.Account)
			}
			again, err := client(newServer(t, io.Discard), tt.who).GetCallerIdentity(t.Context(), &awssts.GetCallerIdentityInput{})
			if err != nil || *again.UserId != *out.UserId {
				t.Errorf("after a restart: %+v, %v, want the same id %s", again, err, *out.UserId)
			}
		})
	}
}

// TestWire sends what no SDK does, and looks at the answer as it is.
func TestWire(t *testing.T) {
	form := func(pairs ...string) string {
		v := url.Values{"Version": {"2011-06-15"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return v.Encode()
	}
	identity := form("Action", "GetCallerIdentity")
	at := time.Now()
	for name, tt := range map[string]struct {
		method, target, body string
		key                  sigv4.Credentials
		service, region      string
		at                   time.Time
		status               int
		want                 string
	}{
		"as AWS's SDKs ask":         {"POST", "/", identity, user, "sts", "us-east-1", at, 200, "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult><Arn>" + operator + "</Arn><UserId>AIDA"},
		"without a signature":       {"POST", "/", identity, sigv4.Credentials{}, "", "", at, 403, "<Code>MissingAuthenticationToken</Code>"},
		"a key that nobody knows":   {"POST", "/", identity, sigv4.Credentials{AccessKeyID: "AKIANOBODY", SecretAccessKey: "x"}, "sts", "us-east-1", at, 403, "<Code>InvalidClientTokenId</Code>"},
		"a session without token":   {"POST", "/", identity, sigv4.Credentials{AccessKeyID: function.AccessKeyID, SecretAccessKey: function.SecretAccessKey}, "sts", "us-east-1", at, 403, "<Code>InvalidClientTokenId</Code>"},
		"a wrong secret":            {"POST", "/", identity, sigv4.Credentials{AccessKeyID: user.AccessKeyID, SecretAccessKey: "guess"}, "sts", "us-east-1", at, 403, "<Code>SignatureDoesNotMatch</Code>"},
		"signed for EC2":            {"POST", "/", identity, user, "ec2", "us-east-1", at, 403, "<Code>SignatureDoesNotMatch</Code>"},
		"signed for another Region": {"POST", "/", identity, user, "sts", "eu-central-1", at, 403, "<Code>SignatureDoesNotMatch</Code>"},
		"six minutes late":          {"POST", "/", identity, user, "sts", "us-east-1", at.Add(-6 * time.Minute), 403, "<Code>SignatureDoesNotMatch</Code><Message>Signature expired"},
		"another action of STS's":   {"POST", "/", form("Action", "GetSessionToken"), user, "sts", "us-east-1", at, 400, "<Code>InvalidAction</Code><Message>Could not find operation GetSessionToken for version 2011-06-15</Message>"},
		"another version":           {"POST", "/", "Action=GetCallerIdentity&Version=2016-11-15", user, "sts", "us-east-1", at, 400, "<Message>Could not find operation GetCallerIdentity for version 2016-11-15</Message>"},
		"no version":                {"POST", "/", "Action=GetCallerIdentity", user, "sts", "us-east-1", at, 400, "version NO_VERSION_SPECIFIED"},
		"no action":                 {"POST", "/", form(), user, "sts", "us-east-1", at, 400, "<Code>MissingAction</Code>"},
		"a parameter twice":         {"POST", "/", identity + "&Action=AssumeRole", user, "sts", "us-east-1", at, 400, "the parameter Action may be given only once"},
		"a parameter not played":    {"POST", "/", form("Action", "AssumeRole", "RoleArn", spoke, "RoleSessionName", "ops", "Policy", "{}"), user, "sts", "us-east-1", at, 400, "does not support the parameter Policy"},
		"no role":                   {"POST", "/", form("Action", "AssumeRole", "RoleSessionName", "ops"), user, "sts", "us-east-1", at, 400, "Value null at &#39;roleArn&#39; failed to satisfy constraint: Member must not be null"},
		"no session's name":         {"POST", "/", form("Action", "AssumeRole", "RoleArn", spoke), user, "sts", "us-east-1", at, 400, "Value null at &#39;roleSessionName&#39;"},
		"a duration that is none":   {"POST", "/", form("Action", "AssumeRole", "RoleArn", spoke, "RoleSessionName", "ops", "DurationSeconds", "1h"), user, "sts", "us-east-1", at, 400, "<Code>MalformedInput</Code>"},
		"markup in a value":         {"POST", "/", form("Action", "AssumeRole", "RoleArn", spoke, "RoleSessionName", "<b>&"), user, "sts", "us-east-1", at, 400, "Value &#39;&lt;b&gt;&amp;&#39;"},
		"a form that is none":       {"POST", "/", "Action=%zz", user, "sts", "us-east-1", at, 400, "<Code>MalformedQueryString</Code>"},
		"parameters in the URL":     {"POST", "/?" + identity, "", user, "sts", "us-east-1", at, 400, "in the body only"},
		"a GET":                     {"GET", "/?" + identity, "", user, "sts", "us-east-1", at, 405, "POST only"},
		"another path":              {"POST", "/sts", identity, user, "sts", "us-east-1", at, 404, "is at /"},
		"more than anybody asks":    {"POST", "/", identity + "&X=" + strings.Repeat("x", 64<<10), user, "sts", "us-east-1", at, 413, "<Code>RequestEntityTooLarge</Code>"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			s := newServer(t, &log)
			r := httptest.NewRequest(tt.method, "https://sts.us-east-1.amazonaws.com"+tt.target, strings.NewReader(tt.body))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
			if tt.service != "" {
				sigv4.Sign(r, []byte(tt.body), tt.key, tt.service, tt.region, tt.at)
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.want) {
				t.Errorf("got %d %s\nwant %d %s", w.Code, w.Body, tt.status, tt.want)
			}
			if tt.status != 200 && !strings.HasPrefix(w.Body.String(), `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>`) {
				t.Errorf("got %s, which is not STS's shape of an error", w.Body)
			}
			said := map[string]int{}
			for line := range strings.Lines(log.String()) {
				var entry struct{ Msg, To string }
				if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.To != "sts" {
					t.Errorf("logged %s, %v", line, err)
				}
				said[entry.Msg]++
			}
			want := map[string]int{"hop": 1}
			if tt.status != 200 {
				want["refused"] = 1
			}
			if !maps.Equal(said, want) {
				t.Errorf("logged %v, want %v", said, want)
			}
		})
	}
}

func TestNothingSecretIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, &log)
	out, err := client(s, function).AssumeRole(t.Context(), &awssts.AssumeRoleInput{RoleArn: aws.String(spoke), RoleSessionName: aws.String("nightlatch")})
	if err != nil {
		t.Fatal(err)
	}
	for what, secret := range map[string]string{"secret": *out.Credentials.SecretAccessKey, "token": *out.Credentials.SessionToken, "caller's secret": function.SecretAccessKey, "caller's token": function.SessionToken} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("the %s is in the log: %s", what, log.String())
		}
	}
}

func TestNewChecks(t *testing.T) {
	for name, tt := range map[string]struct {
		spoil func(*sts.Config)
		want  string
	}{
		"no Region":                   {func(c *sts.Config) { c.Region = "" }, "Region"},
		"no log":                      {func(c *sts.Config) { c.Log = nil }, "Log"},
		"no key":                      {func(c *sts.Config) { c.Keys = nil }, "Keys"},
		"a key of nobody":             {func(c *sts.Config) { c.Keys[0].ARN = "operator" }, `"operator" is not the ARN of a user`},
		"a role's key without a name": {func(c *sts.Config) { c.Keys[1].Session = "" }, "with a session's name"},
		"a user's key with one":       {func(c *sts.Config) { c.Keys[0].Session = "front" }, "with a session's name"},
		"a role that is a user":       {func(c *sts.Config) { c.Roles[0].ARN = operator }, "is not the ARN of a role"},
	} {
		c := config(io.Discard)
		tt.spoil(&c)
		if _, err := sts.New(c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}
