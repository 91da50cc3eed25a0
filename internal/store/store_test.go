package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
	standin "github.com/nightlatch/nightlatch/internal/standin/dynamodb"
	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

const (
	table                     = "nightlatch"
	endpoint latch.EndpointID = "cvpn-endpoint-0a"
)

var key1 = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"}

func config(client aws.HTTPClient) aws.Config {
	return aws.Config{
		Region:      "us-east-1",
		Credentials: credentials.NewStaticCredentialsProvider(key1.AccessKeyID, key1.SecretAccessKey, ""),
		HTTPClient:  client,
	}
}

func over(t *testing.T, client aws.HTTPClient) *Store {
	t.Helper()
	s, err := New(Config{AWS: config(client), Table: table})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wire is an empty DynamoDB.
func wire(t *testing.T) latchtest.InProcess {
	t.Helper()
	return latchtest.InProcess{Handler: dynamo(t).Handler()}
}

func dynamo(t *testing.T) *standin.Server {
	t.Helper()
	d, err := standin.New(standin.Config{
		Region: "us-east-1", AccountID: "111122223333", Log: slog.New(slog.DiscardHandler),
		Credentials: func(id string) (sigv4.Credentials, bool) { return key1, id == key1.AccessKeyID },
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func created(t *testing.T, client aws.HTTPClient) *Store {
	t.Helper()
	if err := create(t.Context(), config(client), table); err != nil {
		t.Fatal(err)
	}
	return over(t, client)
}

// The adapter and the real SDK against the stand-in's wire, under the same suite as the fake.
func TestStoreOverTheWire(t *testing.T) {
	latchtest.TestStore(t, func(t *testing.T) latch.Store { return created(t, wire(t)) })
}

// TestWritersThatMeet: DynamoDB turns a write away that met another, and the adapter tries it again.
func TestWritersThatMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := dynamo(t)
		s := created(t, latchtest.InProcess{Handler: d.Handler()})
		for _, f := range d.Faults() {
			f.Set(true)
		}
		r := latch.Record{}
		var err error
		for range 20 {
			if r, err = s.Save(t.Context(), endpoint, r); err != nil {
				t.Fatalf("save: %v", err)
			}
		}
	})
}

func TestCreateTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := wire(t)
		created(t, client)
		if err := create(t.Context(), config(client), table); err != nil {
			t.Errorf("a table that is there: %v", err)
		}
	})
}

// doer is a client that may lose, delay or forge.
type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// The answer to a write is lost on the way; the SDK repeats it and finds its own work in the way.
func TestAnAnswerIsLost(t *testing.T) {
	for name, write := range map[string]func(context.Context, *Store) error{
		"save": func(ctx context.Context, s *Store) error {
			r, err := s.Save(ctx, endpoint, latch.Record{})
			if err == nil && r.Version != 1 {
				err = fmt.Errorf("got version %d, want 1", r.Version)
			}
			return err
		},
		"save look": func(ctx context.Context, s *Store) error {
			return s.SaveLook(ctx, latch.Observation{Endpoint: endpoint, At: time.Now()})
		},
		"append": func(ctx context.Context, s *Store) error {
			return s.Append(ctx, latch.Entry{Endpoint: endpoint, ID: "e1", At: time.Now(), Action: "open"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dynamo := wire(t)
				created(t, dynamo)
				puts := 0
				s := over(t, doer(func(r *http.Request) (*http.Response, error) {
					response, err := dynamo.Do(r)
					if puts++; puts == 1 {
						return nil, io.ErrUnexpectedEOF
					}
					return response, err
				}))
				if err := write(t.Context(), s); err != nil || puts != 2 {
					t.Errorf("got %v after %d calls, want success: it was our own write", err, puts)
				}
			})
		})
	}
}

func TestANewerLayoutIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dynamo := wire(t)
		s := created(t, dynamo)
		at := time.Now()
		entry := latch.Entry{Endpoint: endpoint, ID: "e1", At: at, Action: "open"}
		for _, sk := range []string{"record", "look", "claim", "audit#" + at.UTC().Format(auditTime) + "#e1"} {
			item, err := newItem(endpoint, sk, map[string]string{"unheard": "of"})
			if err != nil {
				t.Fatal(err)
			}
			// Every condition but the layout's would be met.
			item["v"], item["version"], item["at"] = number(layout+1), number(3), number(0)
			if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(table), Item: item}); err != nil {
				t.Fatal(err)
			}
		}
		for name, call := range map[string]func() error{
			"load":      func() error { _, err := s.Load(t.Context(), endpoint); return err },
			"save":      func() error { _, err := s.Save(t.Context(), endpoint, latch.Record{Version: 3}); return err },
			"save new":  func() error { _, err := s.Save(t.Context(), endpoint, latch.Record{}); return err },
			"look":      func() error { _, err := s.Look(t.Context(), endpoint); return err },
			"save look": func() error { return s.SaveLook(t.Context(), latch.Observation{Endpoint: endpoint, At: at}) },
			"claim":     func() error { _, err := s.ClaimLook(t.Context(), endpoint, at, time.Second); return err },
			"append":    func() error { return s.Append(t.Context(), entry) },
			"entries":   func() error { _, err := s.Entries(t.Context(), endpoint, 10); return err },
		} {
			if err := call(); !errors.Is(err, latch.ErrRefused) || !strings.Contains(err.Error(), "Update this one") {
				t.Errorf("%s: got %v, want %v and what to do", name, err, latch.ErrRefused)
			}
		}
		for _, sk := range []string{"record", "look", "claim"} {
			got, err := s.client.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: new(table), Key: key(endpoint, sk)})
			if err != nil || textOf(got.Item["body"]) != `{"unheard":"of"}` {
				t.Errorf("%s: got %v, %v, want it untouched", sk, got, err)
			}
		}
	})
}

func TestWhatIsNotOursIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		var item map[string]types.AttributeValue
		for name, spoil := range map[string]func(){
			"no layout":      func() {},
			"body cut short": func() { item["v"], item["body"] = number(1), text(`{"version":`) },
			"not packed":     func() { item["v"], item["packed"] = number(1), &types.AttributeValueMemberB{Value: []byte("x")} },
		} {
			item = key(endpoint, "record")
			spoil()
			if _, err := s.client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: new(table), Item: item}); err != nil {
				t.Fatal(err)
			}
			if r, err := s.Load(t.Context(), endpoint); !errors.Is(err, latch.ErrRefused) || r.Version != 0 {
				t.Errorf("%s: got %+v, %v, want %v", name, r, err, latch.ErrRefused)
			}
		}
	})
}

// A page of a query ends at one megabyte, whatever the limit ("Paginating table query results", Developer Guide).
func TestEntriesReadEveryPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		const n = 25
		for i := range n {
			e := latch.Entry{Endpoint: endpoint, ID: fmt.Sprintf("e%02d", i), At: time.Now(), Why: strings.Repeat("x", 60_000)} // not packed
			if err := s.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		es, err := s.Entries(t.Context(), endpoint, n)
		if err != nil || len(es) != n || es[0].ID != "e24" {
			t.Errorf("got %d entries, %v, want %d, the newest first", len(es), err, n)
		}
	})
}

// One association takes 7,000 connections at once ("AWS Client VPN quotas", Administrator Guide), and EC2 reports those
// of the last hour too: their plain text is more than an item may hold.
func TestManyConnectionsFitAnItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := created(t, wire(t))
		o := latch.Observation{At: time.Now(), Endpoint: endpoint}
		r := latch.Record{Opening: &latch.Opening{Marks: map[latch.ConnectionID]uint64{}}}
		for range 7_500 {
			c := latch.Connection{ID: latch.ConnectionID(fmt.Sprintf("cvpn-connection-0%016x", rand.Uint64())), User: "somebody", Status: latch.Active, Bytes: rand.Uint64N(1 << 40)}
			o.Connections = append(o.Connections, c)
			r.Opening.Marks[c.ID] = c.Bytes
		}
		if err := s.SaveLook(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Save(t.Context(), endpoint, r); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Look(t.Context(), endpoint); err != nil || !slices.Equal(got.Connections, o.Connections) {
			t.Errorf("got %d connections, %v, want the %d that were saved", len(got.Connections), err, len(o.Connections))
		}
		if got, err := s.Load(t.Context(), endpoint); err != nil || !maps.Equal(got.Opening.Marks, r.Opening.Marks) {
			t.Errorf("got %v, want the marks that were saved", err)
		}
	})
}

// The one translation of DynamoDB's codes.
func TestErrors(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		kind   error
	}{
		"ProvisionedThroughputExceededException":   {400, latch.ErrBusy},
		"RequestLimitExceeded":                     {400, latch.ErrBusy},
		"ThrottlingException":                      {400, latch.ErrBusy},
		"LimitExceededException":                   {400, latch.ErrBusy},
		"TransactionConflictException":             {400, latch.ErrBusy},
		"ReplicatedWriteConflictException":         {400, latch.ErrBusy},
		"TransactionInProgressException":           {400, latch.ErrBusy},
		"ConditionalCheckFailedException":          {400, latch.ErrConflict},
		"RequestTimeoutException":                  {408, latch.ErrUnavailable},
		"InternalServerError":                      {500, latch.ErrUnavailable},
		"ServiceUnavailable":                       {503, latch.ErrUnavailable},
		"SomethingNewAndBroken":                    {502, latch.ErrUnavailable},
		"AccessDeniedException":                    {400, latch.ErrRefused},
		"UnrecognizedClientException":              {400, latch.ErrRefused},
		"ExpiredTokenException":                    {400, latch.ErrRefused},
		"IncompleteSignatureException":             {400, latch.ErrRefused},
		"MissingAuthenticationTokenException":      {400, latch.ErrRefused},
		"InvalidSignatureException":                {400, latch.ErrRefused},
		"ItemCollectionSizeLimitExceededException": {400, latch.ErrRefused},
		"ResourceInUseException":                   {400, latch.ErrRefused},
		"ResourceNotFoundException":                {400, latch.ErrRefused},
		"ValidationException":                      {400, latch.ErrRefused},
		"SomethingNew":                             {400, latch.ErrRefused},
	} {
		t.Run(code, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := over(t, latchtest.InProcess{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					body, err := json.Marshal(map[string]string{"__type": "com.amazonaws.dynamodb.v20120810#" + code, "message": "AWS's own words"})
					if err != nil {
						t.Error(err)
					}
					w.Header().Set("Content-Type", "application/x-amz-json-1.0")
					w.Header().Set("X-Amz-Crc32", fmt.Sprint(crc32.ChecksumIEEE(body)))
					w.WriteHeader(want.status)
					w.Write(body)
				})})
				_, err := s.Load(t.Context(), endpoint)
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, want.kind) || !ok || *f != (latch.Fault{Service: "dynamodb", Code: code, Message: "AWS's own words"}) {
					t.Errorf("got %v, want %v with the fault in the chain", err, want.kind)
				}
			})
		})
	}
}

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
				_, err := over(t, client).Load(t.Context(), endpoint)
				f, ok := errors.AsType[*latch.Fault](err)
				if !errors.Is(err, latch.ErrUnavailable) || !ok || f.Service != "dynamodb" || f.Message == "" {
					t.Errorf("got %v, want %v with a fault", err, latch.ErrUnavailable)
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
		"Table":       func(c *Config) { c.Table = "" },
	} {
		c := Config{AWS: config(nil), Table: table}
		spoil(&c)
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: got %v", name, err)
		}
	}
}

// The SDK would put the account's id into the host name, which no proxy's allow-list or VPC endpoint expects.
func TestHostIsTheRegionsOwn(t *testing.T) {
	var host string
	c := config(doer(func(r *http.Request) (*http.Response, error) { host = r.URL.Host; return nil, context.Canceled }))
	c.AccountIDEndpointMode = aws.AccountIDEndpointModePreferred // what an environment's configuration says
	c.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: key1.AccessKeyID, SecretAccessKey: key1.SecretAccessKey, AccountID: "111122223333"}, nil
	})
	s, err := New(Config{AWS: c, Table: table})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { s.Load(t.Context(), endpoint) })
	if want := "dynamodb.us-east-1.amazonaws.com"; host != want {
		t.Errorf("got %q, want %q", host, want)
	}
}
