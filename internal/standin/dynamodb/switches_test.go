package dynamodb

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

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

// clients are the SDK's client with three tries, which it has by itself, and one that tries once.
func clients(t *testing.T, cfg Config) (s *Server, patient, once *sdk.Client) {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	with := func(tries int) *sdk.Client {
		return sdk.New(sdk.Options{Region: "us-east-1", HTTPClient: inProcess{s.Handler()}, RetryMaxAttempts: tries,
			Credentials: credentials.NewStaticCredentialsProvider(caller.AccessKeyID, caller.SecretAccessKey, "")})
	}
	return s, with(3), with(1)
}

func flip(t *testing.T, all []switches.Switch, name string, on bool) {
	t.Helper()
	i := slices.IndexFunc(all, func(s switches.Switch) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("there is no switch %s", name)
	}
	if all[i].On() == on {
		t.Fatalf("switch %s is %v before it was touched", name, on)
	}
	all[i].Set(on)
}

func putting(c *sdk.Client, sk string, n int) error {
	_, err := c.PutItem(context.Background(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: attributes{"pk": str("p"), "sk": str(sk), "n": num(fmt.Sprint(n))}})
	return err
}

// stored is the number at a key, "none" where there is none.
func stored(t *testing.T, c *sdk.Client, sk string, consistent bool) string {
	t.Helper()
	out, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("nightlatch"), Key: attributes{"pk": str("p"), "sk": str(sk)}, ConsistentRead: &consistent})
	if err != nil {
		t.Fatal(err)
	}
	if out.Item == nil {
		return "none"
	}
	return out.Item["n"].(*types.AttributeValueMemberN).Value
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, patient, once := clients(t, config(""))
		for i := range 9 {
			if err := putting(once, fmt.Sprint(i), 0); err != nil {
				t.Fatalf("before it is switched on: %v", err)
			}
		}
		flip(t, s.Switches(), "Throttle", true)
		codes := map[string]int{}
		for i := range 27 {
			codes[code(putting(once, fmt.Sprint(i), i))]++
		}
		for _, want := range []string{"ThrottlingException", "ProvisionedThroughputExceededException", "RequestLimitExceeded"} {
			if codes[want] != 3 {
				t.Errorf("of 27 writes %d were refused with %s, want 3: %v", codes[want], want, codes)
			}
		}
		if codes["<nil>"] != 18 {
			t.Errorf("of 27 writes %d were made, want 18", codes["<nil>"])
		}
		for i := range 30 {
			if err := putting(patient, fmt.Sprint(i), 100+i); err != nil {
				t.Errorf("a client that tries again is refused all the same: %v", err)
			}
			if got := stored(t, patient, fmt.Sprint(i), true); got != fmt.Sprint(100+i) {
				t.Errorf("got %s, want what was written, %d", got, 100+i)
			}
		}
		flip(t, s.Switches(), "Throttle", false)
		for i := range 9 {
			if err := putting(once, fmt.Sprint(i), 0); err != nil {
				t.Errorf("after it was switched off: %v", err)
			}
		}
	})
}

func TestWhyARequestIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config("")
		cfg.Throttle = true
		_, _, once := clients(t, cfg)
		var got []string
		for i := range 27 { // no two alike: a repetition would get through
			n := int32(i + 1)
			var err error
			switch i / 9 {
			case 0:
				err = putting(once, fmt.Sprint(i), 0)
			case 1:
				_, err = once.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("nightlatch"), Limit: &n,
					KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: attributes{":p": str("p")}})
			case 2:
				_, err = once.ListTables(t.Context(), &sdk.ListTablesInput{Limit: &n})
			}
			var reasons []types.ThrottlingReason
			if e, ok := errors.AsType[*types.ThrottlingException](err); ok {
				reasons = e.ThrottlingReasons
			} else if e, ok := errors.AsType[*types.ProvisionedThroughputExceededException](err); ok {
				reasons = e.ThrottlingReasons
			} else if e, ok := errors.AsType[*types.RequestLimitExceeded](err); ok {
				reasons = e.ThrottlingReasons
			}
			if err != nil && len(reasons) == 0 {
				got = append(got, code(err))
			}
			for _, r := range reasons {
				if *r.Resource != "arn:aws:dynamodb:us-east-1:111122223333:table/nightlatch" {
					t.Errorf("throttled because of %s, want the table", *r.Resource)
				}
				got = append(got, *r.Reason)
			}
		}
		slices.Sort(got)
		want := []string{"TableReadAccountLimitExceeded", "TableReadKeyRangeThroughputExceeded", "TableReadProvisionedThroughputExceeded",
			"TableWriteAccountLimitExceeded", "TableWriteKeyRangeThroughputExceeded", "TableWriteProvisionedThroughputExceeded",
			"ThrottlingException", "ThrottlingException", "ThrottlingException"}
		if !slices.Equal(got, want) {
			t.Errorf("nine writes, nine queries and nine lists of tables: got %q, want %q", got, want)
		}
	})
}

func TestReadsLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c, _ := clients(t, config(""))
		flip(t, s.Switches(), "StaleReads", true)
		listed := func(consistent bool) string {
			out, err := c.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("nightlatch"), ConsistentRead: &consistent,
				KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: attributes{":p": str("p")}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, it := range out.Items {
				got = append(got, it["sk"].(*types.AttributeValueMemberS).Value+"="+it["n"].(*types.AttributeValueMemberN).Value)
			}
			return strings.Join(got, " ")
		}
		want := func(when, stale, fresh string) {
			t.Helper()
			if got := stored(t, c, "s", false); got != stale {
				t.Errorf("%s: an eventually consistent read shows %s, want %s", when, got, stale)
			}
			if got := stored(t, c, "s", true); got != fresh {
				t.Errorf("%s: a strongly consistent read shows %s, want %s", when, got, fresh)
			}
			for _, consistent := range []bool{false, true} {
				n := map[bool]string{false: stale, true: fresh}[consistent]
				row := "s=" + n
				if n == "none" {
					row = ""
				}
				if got := listed(consistent); got != row {
					t.Errorf("%s: a query, strongly consistent %v, shows %q, want %q", when, consistent, got, row)
				}
			}
		}
		put := func(n int) {
			t.Helper()
			if err := putting(c, "s", n); err != nil {
				t.Fatal(err)
			}
		}
		put(1)
		want("just made", "none", "1")
		time.Sleep(staleFor)
		want("a second later", "1", "1")
		put(2)
		want("just replaced", "1", "2")
		put(3)
		want("replaced again", "2", "3")
		time.Sleep(staleFor)
		want("a second after the last", "3", "3")
		if _, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String("nightlatch"), Key: attributes{"pk": str("p"), "sk": str("s")}}); err != nil {
			t.Fatal(err)
		}
		want("just deleted", "3", "none")
		put(4)
		want("made anew", "none", "4")
		flip(t, s.Switches(), "StaleReads", false)
		want("switched off", "4", "4")
		// A condition never sees old copies.
		flip(t, s.Switches(), "StaleReads", true)
		_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: attributes{"pk": str("p"), "sk": str("s"), "n": num("5")},
			ConditionExpression: aws.String("n = :n"), ExpressionAttributeValues: attributes{":n": num("4")}})
		if err != nil {
			t.Errorf("a condition on what is stored: %v", err)
		}
	})
}

func TestAnswersAreLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, patient, once := clients(t, config(""))
		flip(t, s.Switches(), "AnswersLost", true)
		lost := 0
		for i := range 12 {
			err := putting(once, fmt.Sprint(i), i)
			switch {
			case err != nil && code(err) != "InternalServerError":
				t.Errorf("got %v, want success or InternalServerError", err)
			case err != nil:
				lost++
			}
			if got := stored(t, once, fmt.Sprint(i), true); got != fmt.Sprint(i) {
				t.Errorf("write %d, answered %v: got %s stored, want it made", i, err, got)
			}
		}
		if lost != 3 {
			t.Errorf("%d answers of 12 writes were lost, want every fourth", lost)
		}
		// Who tries again and asks for nothing there finds the own item in the way.
		refusals := 0
		for i := range 12 {
			_, err := patient.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), ConditionExpression: aws.String("attribute_not_exists(pk)"),
				Item: attributes{"pk": str("q"), "sk": str(fmt.Sprint(i))}, ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld})
			if e, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok && e.Item["sk"].(*types.AttributeValueMemberS).Value == fmt.Sprint(i) {
				refusals++
			} else if err != nil {
				t.Error(err)
			}
		}
		if refusals != 3 {
			t.Errorf("%d of 12 conditional writes met themselves, want every fourth", refusals)
		}
	})
}

func TestBothThrottledAndLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config("")
		cfg.Throttle, cfg.Unconfirmed = true, Unconfirmed{StaleReads: true, AnswersLost: true}
		_, patient, _ := clients(t, cfg)
		for i := range 60 {
			if err := putting(patient, fmt.Sprint(i%7), i); err != nil {
				t.Fatalf("write %d: three tries are enough for every switch, got %v", i, err)
			}
		}
	})
}

func TestContended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, once := clients(t, config(""))
		flip(t, s.Faults(), "Contended", true)
		codes := map[string]int{}
		for i := range 20 {
			err := putting(once, fmt.Sprint(i), i)
			codes[code(err)]++
			want := fmt.Sprint(i)
			if err != nil {
				want = "none"
			}
			if got := stored(t, once, fmt.Sprint(i), true); got != want {
				t.Errorf("write %d, answered %v: got %s stored, want %s", i, err, got, want)
			}
			if err != nil && putting(once, fmt.Sprint(i), i) != nil {
				t.Errorf("write %d is refused again when it is repeated", i)
			}
		}
		if codes["TransactionConflictException"] != 2 || codes["ReplicatedWriteConflictException"] != 2 || codes["<nil>"] != 16 {
			t.Errorf("of 20 writes got %v, want two of each conflict and 16 made", codes)
		}
	})
}

func TestATableTakesItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := config("")
		cfg.CreateTakes = 5 * time.Second
		_, _, c := clients(t, cfg)
		if err := putting(c, "s", 1); err != nil {
			t.Errorf("a table of the deployment's: %v", err)
		}
		create := func(name string) (*sdk.CreateTableOutput, error) {
			return c.CreateTable(t.Context(), &sdk.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest,
				KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}}})
		}
		out, err := create("slow")
		if err != nil || out.TableDescription.TableStatus != types.TableStatusCreating {
			t.Fatalf("got %+v and %v, want CREATING", out, err)
		}
		put := &sdk.PutItemInput{TableName: aws.String("slow"), Item: attributes{"pk": str("p")}}
		_, err = c.PutItem(t.Context(), put)
		wantCode(t, err, "ResourceNotFoundException", "Requested resource not found")
		_, err = create("slow")
		wantCode(t, err, "ResourceInUseException", "Table already exists: slow")
		for i := range maxCreating - 1 {
			if _, err := create(fmt.Sprintf("more-%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		_, err = create("one-too-many")
		wantCode(t, err, "LimitExceededException", "Only 500 tables can be created, updated, or deleted simultaneously")
		time.Sleep(cfg.CreateTakes)
		got, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("slow")})
		if err != nil || got.Table.TableStatus != types.TableStatusActive {
			t.Errorf("got %+v and %v, want ACTIVE", got, err)
		}
		if _, err = c.PutItem(t.Context(), put); err != nil {
			t.Error(err)
		}
	})
}

func TestARegionHasSoManyTables(t *testing.T) {
	s, err := New(config(""))
	if err != nil {
		t.Fatal(err)
	}
	create := func(i int) error {
		_, err := s.createTable(createTableInput{TableName: fmt.Sprintf("table-%d", i), BillingMode: "PAY_PER_REQUEST",
			KeySchema: []keySchemaElement{{"pk", "HASH"}}, AttributeDefinitions: []attributeDefinition{{"pk", tS}}})
		return err
	}
	for i := range maxTables - 1 { // and the one of config
		if err := create(i); err != nil {
			t.Fatal(err)
		}
	}
	if err := create(maxTables); err == nil || err.Error() != "LimitExceededException: Subscriber limit exceeded: There is a limit of 2500 tables per Region" {
		t.Errorf("table 2501: got %v, want LimitExceededException", err)
	}
}
