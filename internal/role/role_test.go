package role

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
	"github.com/nightlatch/nightlatch/internal/standin/sts"
)

const (
	spoke   = "arn:aws:iam::444455556666:role/vpn/nightlatch-spoke"
	guarded = "arn:aws:iam::444455556666:role/guarded"
	ours    = "arn:aws:iam::111122223333:role/nightlatch"
)

var function = sigv4.Credentials{AccessKeyID: "ASIAFUNCTION", SecretAccessKey: "function-secret", SessionToken: "function-token"}

func config(c aws.HTTPClient) aws.Config {
	return aws.Config{Region: "us-east-1", HTTPClient: c,
		Credentials: credentials.NewStaticCredentialsProvider(function.AccessKeyID, function.SecretAccessKey, function.SessionToken)}
}

// counted counts what is asked of the stand-in, by action.
type counted struct {
	http.Handler
	mu      sync.Mutex // guards assumed
	assumed int
}

func (c *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(strings.NewReader(string(raw)))
	if strings.Contains(string(raw), "Action=AssumeRole&") {
		c.mu.Lock()
		c.assumed++
		c.mu.Unlock()
	}
	c.Handler.ServeHTTP(w, r)
}

func standIn(t *testing.T) *counted {
	t.Helper()
	s, err := sts.New(sts.Config{
		Region: "us-east-1",
		Keys:   []sts.Key{{Credentials: function, ARN: ours, Session: "front"}},
		Roles:  []sts.Role{{ARN: spoke, Trusts: []string{ours}}, {ARN: guarded, Trusts: []string{ours}, ExternalID: "agreed"}},
		Log:    slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &counted{Handler: s.Handler()}
}

func credentialsOf(t *testing.T, c aws.HTTPClient, arn, externalID string) *aws.CredentialsCache {
	t.Helper()
	made, err := New(Config{AWS: config(c), ARN: arn, ExternalID: externalID})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// who asks STS with the role's credentials whose they are: a client of AWS as the adapters have it, signing with them.
func who(ctx context.Context, c aws.HTTPClient, made aws.CredentialsProvider) (string, error) {
	cfg := config(c)
	cfg.Credentials = made
	out, err := awssts.NewFromConfig(cfg).GetCallerIdentity(ctx, &awssts.GetCallerIdentityInput{})
	if err != nil {
		return "", awserr.Service{Name: "ec2"}.Translate(err)
	}
	return *out.Arn, nil
}

func TestRole(t *testing.T) {
	const denied = "refused: sts: AccessDenied: User: arn:aws:sts::111122223333:assumed-role/nightlatch/front is not authorized to perform: sts:AssumeRole on resource: "
	for name, tt := range map[string]struct{ arn, external, want string }{
		"a role of another account":        {spoke, "", "arn:aws:sts::444455556666:assumed-role/nightlatch-spoke/nightlatch"},
		"one that asks for an external id": {guarded, "agreed", "arn:aws:sts::444455556666:assumed-role/guarded/nightlatch"},
		"the external id is missing":       {guarded, "", denied + guarded},
		"the external id is another":       {guarded, "guessed", denied + guarded},
		"a role that does not exist":       {spoke + "s", "", denied + spoke + "s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				wire := latchtest.InProcess{Handler: standIn(t)}
				got, err := who(t.Context(), wire, credentialsOf(t, wire, tt.arn, tt.external))
				if err != nil {
					// Without what the SDK says about the call that was to be signed.
					got, _, _ = strings.Cut(err.Error(), " (request ")
				}
				if got != tt.want {
					t.Errorf("got %s\nwant %s", got, tt.want)
				}
			})
		})
	}
}

// TestKept: many sign at once and for hours, and STS is asked once an hour, before the credentials end.
func TestKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := standIn(t)
		wire := latchtest.InProcess{Handler: s}
		made := credentialsOf(t, wire, spoke, "")
		all := func() {
			var signing sync.WaitGroup
			for range 20 {
				signing.Go(func() {
					if _, err := who(t.Context(), wire, made); err != nil {
						t.Errorf("after %d sessions: %v", s.assumed, err)
					}
				})
			}
			signing.Wait()
		}
		if s.assumed != 0 {
			t.Errorf("assumed %d times before anybody signed, want 0: a cold start must not wait for it", s.assumed)
		}
		all()
		time.Sleep(lasts - early - time.Second)
		all()
		if s.assumed != 1 {
			t.Errorf("assumed %d times in %v, want once", s.assumed, lasts-early)
		}
		time.Sleep(time.Second)
		all()
		if s.assumed != 2 {
			t.Errorf("assumed %d times %v before the end, want a second time", s.assumed, early)
		}
	})
}

// A refusal is not kept: whoever has put the role right waits for nothing.
func TestARefusalIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := standIn(t)
		now := http.Handler(answers(http.StatusForbidden, "AccessDenied"))
		wire := latchtest.InProcess{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { now.ServeHTTP(w, r) })}
		made := credentialsOf(t, wire, spoke, "")
		if _, err := made.Retrieve(t.Context()); !errors.Is(err, latch.ErrRefused) {
			t.Errorf("got %v, want %v", err, latch.ErrRefused)
		}
		now = good
		if _, err := made.Retrieve(t.Context()); err != nil {
			t.Errorf("got %v once the role may be assumed", err)
		}
	})
}

func answers(status int, code string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		fmt.Fprintf(w, `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>%s</Code><Message>AWS's own words</Message></Error><RequestId>r-1</RequestId></ErrorResponse>`, code)
	})
}

// The one translation of STS's codes. It survives the way through another service's client, which tries no further.
func TestErrors(t *testing.T) {
	for code, want := range map[string]struct {
		status, calls int
		kind          error
	}{
		"AccessDenied":               {403, 1, latch.ErrRefused},
		"AccessDeniedException":      {400, 1, latch.ErrRefused},
		"ValidationError":            {400, 1, latch.ErrRefused},
		"RegionDisabledException":    {403, 1, latch.ErrRefused},
		"ExpiredToken":               {403, 1, latch.ErrRefused},
		"ExpiredTokenException":      {400, 1, latch.ErrRefused},
		"InvalidClientTokenId":       {403, 1, latch.ErrRefused},
		"SignatureDoesNotMatch":      {403, 1, latch.ErrRefused},
		"IncompleteSignature":        {400, 1, latch.ErrRefused},
		"MissingAuthenticationToken": {403, 1, latch.ErrRefused},
		"RequestExpired":             {400, 1, latch.ErrRefused},
		"OptInRequired":              {403, 1, latch.ErrRefused},
		"PackedPolicyTooLarge":       {400, 1, latch.ErrRefused},
		"SomethingNew":               {400, 1, latch.ErrRefused},
		"Throttling":                 {400, attempts, latch.ErrBusy},
		"ThrottlingException":        {400, attempts, latch.ErrBusy},
		"TooManyRequestsException":   {429, attempts, latch.ErrBusy},
		"RequestLimitExceeded":       {503, attempts, latch.ErrBusy},
		"RequestTimeout":             {400, attempts, latch.ErrUnavailable},
		"InternalFailure":            {500, attempts, latch.ErrUnavailable},
		"ServiceUnavailable":         {503, attempts, latch.ErrUnavailable},
		"SomethingNewAndBroken":      {502, attempts, latch.ErrUnavailable},
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &counted{Handler: answers(want.status, code)}
				wire := latchtest.InProcess{Handler: s}
				_, err := who(t.Context(), wire, credentialsOf(t, wire, spoke, ""))
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, want.kind) || !ok || *f != (latch.Fault{Service: "sts", Code: code, Message: "AWS's own words"}) {
					t.Errorf("got %v, want %v with STS's fault in the chain", err, want.kind)
				}
				if text := want.kind.Error() + ": sts: " + code + ": AWS's own words (request r-1)"; err == nil || err.Error() != text {
					t.Errorf("got text %q\nwant %q", err, text)
				}
				if s.assumed != want.calls {
					t.Errorf("STS was asked %d times, want %d", s.assumed, want.calls)
				}
			})
		})
	}
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

func TestNoAnswer(t *testing.T) {
	for name, client := range map[string]aws.HTTPClient{
		"nobody there": doer(func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }),
		"silence":      doer(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }),
		"a proxy's page": latchtest.InProcess{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "<html>Forbidden</html>", http.StatusForbidden)
		})},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				_, err := who(t.Context(), client, credentialsOf(t, client, spoke, ""))
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, latch.ErrUnavailable) || !ok || f.Service != "sts" || f.Message == "" {
					t.Errorf("got %v, want %v with a fault of sts", err, latch.ErrUnavailable)
				}
				if took := time.Since(began); took > patience {
					t.Errorf("took %v, a request must not hang longer than %v", took, patience)
				}
			})
		})
	}
}

func TestNewChecks(t *testing.T) {
	for name, spoil := range map[string]func(*Config){
		"Region":      func(c *Config) { c.AWS.Region = "" },
		"Credentials": func(c *Config) { c.AWS.Credentials = nil },
		"ARN":         func(c *Config) { c.ARN = "arn:aws:iam::111122223333:user/operator" },
	} {
		c := Config{AWS: config(nil), ARN: spoke}
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}
