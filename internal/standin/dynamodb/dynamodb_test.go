package dynamodb

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

var caller = sigv4.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "a secret of the tests"}

func config(file string) Config {
	return Config{Region: "us-east-1", AccountID: "111122223333", StateFile: file, Log: slog.New(slog.DiscardHandler),
		Tables: []Table{{"nightlatch", "pk", "sk"}},
		Credentials: func(id string) (sigv4.Credentials, bool) {
			return caller, id == caller.AccessKeyID
		}}
}

// start serves a stand-in and returns the AWS SDK's client for it, which checks CRC-32 and signs on its own.
func start(t *testing.T, file string) (*sdk.Client, *httptest.Server) {
	t.Helper()
	s, err := New(config(file))
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(s.Handler())
	t.Cleanup(srv.Close)
	return client(srv.URL, caller), srv
}

func client(url string, c sigv4.Credentials) *sdk.Client {
	return sdk.New(sdk.Options{Region: "us-east-1", BaseEndpoint: &url, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider(c.AccessKeyID, c.SecretAccessKey, c.SessionToken)})
}

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

type attributes = map[string]types.AttributeValue

func put(t *testing.T, c *sdk.Client, it attributes) {
	t.Helper()
	if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: it}); err != nil {
		t.Fatalf("put %v: %v", it, err)
	}
}

func wantCode(t *testing.T, err error, code, message string) {
	t.Helper()
	e, ok := errors.AsType[smithy.APIError](err)
	if !ok || e.ErrorCode() != code || !strings.Contains(e.ErrorMessage(), message) {
		t.Errorf("got %v, want %s with %q", err, code, message)
	}
}

func TestVersionedRecordAsTheStoreWritesIt(t *testing.T) {
	c, _ := start(t, "")
	save := func(version string) (*sdk.PutItemOutput, error) {
		return c.PutItem(t.Context(), &sdk.PutItemInput{
			TableName:                           aws.String("nightlatch"),
			Item:                                attributes{"pk": str("endpoint"), "sk": str("record"), "version": num(version), "body": &types.AttributeValueMemberB{Value: []byte{0, 255}}},
			ConditionExpression:                 aws.String("attribute_not_exists(pk) OR version < :v"),
			ExpressionAttributeValues:           attributes{":v": num(version)},
			ReturnValues:                        types.ReturnValueAllOld,
			ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		})
	}
	if _, err := save("9"); err != nil {
		t.Fatalf("first write: %v", err)
	}
	out, err := save("1.0E1")
	if err != nil {
		t.Fatalf("10 after 9 must win: numbers compare as numbers, got %v", err)
	}
	if old := out.Attributes["version"].(*types.AttributeValueMemberN).Value; old != "9" {
		t.Errorf("ALL_OLD: got version %q, want the one that was replaced, 9", old)
	}
	_, err = save("10")
	lost, ok := errors.AsType[*types.ConditionalCheckFailedException](err)
	if !ok {
		t.Fatalf("second writer of version 10: got %v, want ConditionalCheckFailedException", err)
	}
	if lost.ErrorMessage() != "The conditional request failed" || lost.Item["version"].(*types.AttributeValueMemberN).Value != "10" {
		t.Errorf("got %q with item %v, want AWS's sentence and the item that won", lost.ErrorMessage(), lost.Item)
	}
	got, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("nightlatch"), Key: attributes{"pk": str("endpoint"), "sk": str("record")}, ConsistentRead: aws.Bool(true)})
	if err != nil {
		t.Fatal(err)
	}
	if b := got.Item["body"].(*types.AttributeValueMemberB).Value; string(b) != "\x00\xff" {
		t.Errorf("binary came back as %x, want 00ff", b)
	}
	gone, err := c.DeleteItem(t.Context(), &sdk.DeleteItemInput{TableName: aws.String("nightlatch"), Key: attributes{"pk": str("endpoint"), "sk": str("record")},
		ConditionExpression: aws.String("version = :v"), ExpressionAttributeValues: attributes{":v": num("10")}, ReturnValues: types.ReturnValueAllOld})
	if err != nil || len(gone.Attributes) != 4 {
		t.Errorf("delete: got %v and %v, want the old item", gone, err)
	}
}

func TestOnlyOneOfManyWritersWins(t *testing.T) {
	c, _ := start(t, "")
	var won sync.Map
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: attributes{"pk": str("p"), "sk": str("s"), "who": num(strconv.Itoa(i))},
				ConditionExpression: aws.String("attribute_not_exists(pk)")})
			if err == nil {
				won.Store(i, true)
			}
		})
	}
	all.Wait()
	n := 0
	won.Range(func(any, any) bool { n++; return true })
	if n != 1 {
		t.Errorf("%d writers won attribute_not_exists, want exactly one", n)
	}
}

func TestQueryPagesInBothDirections(t *testing.T) {
	c, _ := start(t, "")
	for i := range 7 {
		put(t, c, attributes{"pk": str("audit"), "sk": str(fmt.Sprintf("t%d", i))})
	}
	put(t, c, attributes{"pk": str("audit"), "sk": str("other")})
	put(t, c, attributes{"pk": str("elsewhere"), "sk": str("t1")})
	for name, tt := range map[string]struct {
		where    string
		values   attributes
		forward  bool
		limit    int32
		want     string
		requests int
	}{
		"everything of a partition, oldest first":  {"pk = :p", attributes{":p": str("audit")}, true, 100, "other t0 t1 t2 t3 t4 t5 t6", 1},
		"newest first, three at a time":            {"pk = :p AND begins_with(sk, :s)", attributes{":p": str("audit"), ":s": str("t")}, false, 3, "t6 t5 t4 t3 t2 t1 t0", 3},
		"a limit met exactly asks for one more":    {"begins_with(sk, :s) and pk = :p", attributes{":p": str("audit"), ":s": str("t")}, true, 7, "t0 t1 t2 t3 t4 t5 t6", 2},
		"between is inclusive":                     {"pk = :p AND sk BETWEEN :a AND :b", attributes{":p": str("audit"), ":a": str("t2"), ":b": str("t4")}, true, 100, "t2 t3 t4", 1},
		"after a point":                            {"(pk = :p) AND (sk > :a)", attributes{":p": str("audit"), ":a": str("t4")}, true, 100, "t5 t6", 1},
		"before a point, with the value in front":  {":p = pk AND :a > sk", attributes{":p": str("audit"), ":a": str("t1")}, true, 100, "other t0", 1},
		"one item by its whole key":                {"pk = :p AND sk = :a", attributes{":p": str("audit"), ":a": str("t1")}, true, 100, "t1", 1},
		"a partition nobody wrote to, and no page": {"pk = :p", attributes{":p": str("none")}, true, 100, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			in := &sdk.QueryInput{TableName: aws.String("nightlatch"), KeyConditionExpression: &tt.where, ExpressionAttributeValues: tt.values, ScanIndexForward: &tt.forward, Limit: &tt.limit}
			var got []string
			requests := 0
			for p := sdk.NewQueryPaginator(c, in); p.HasMorePages(); requests++ {
				page, err := p.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, it := range page.Items {
					got = append(got, it["sk"].(*types.AttributeValueMemberS).Value)
				}
			}
			if strings.Join(got, " ") != tt.want || requests != tt.requests {
				t.Errorf("got %q in %d requests, want %q in %d", strings.Join(got, " "), requests, tt.want, tt.requests)
			}
		})
	}
}

func TestQueryStopsAtOneMegabyte(t *testing.T) {
	c, _ := start(t, "")
	for i := range 4 {
		put(t, c, attributes{"pk": str("big"), "sk": str(strconv.Itoa(i)), "x": str(strings.Repeat("x", 390<<10))})
	}
	out, err := c.Query(t.Context(), &sdk.QueryInput{TableName: aws.String("nightlatch"), KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: attributes{":p": str("big")}})
	if err != nil {
		t.Fatal(err)
	}
	if out.Count != 2 || out.LastEvaluatedKey == nil {
		t.Errorf("got %d items of 390 KB and last key %v, want 2, and a key to go on from", out.Count, out.LastEvaluatedKey)
	}
}

func TestRefusals(t *testing.T) {
	c, srv := start(t, "")
	name := aws.String("nightlatch")
	put(t, c, attributes{"pk": str("p"), "sk": str("s")})
	key := attributes{"pk": str("p"), "sk": str("s")}
	query := func(where string, values attributes) func() error {
		return func() error {
			_, err := c.Query(t.Context(), &sdk.QueryInput{TableName: name, KeyConditionExpression: &where, ExpressionAttributeValues: values})
			return err
		}
	}
	putting := func(in sdk.PutItemInput) func() error {
		if in.TableName == nil {
			in.TableName = name
		}
		return func() error { _, err := c.PutItem(t.Context(), &in); return err }
	}
	for name, tt := range map[string]struct {
		do            func() error
		code, message string
	}{
		"a table that is not there": {putting(sdk.PutItemInput{TableName: aws.String("nowhere"), Item: key}), "ResourceNotFoundException", "Requested resource not found"},
		"describing one": {func() error {
			_, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("nowhere")})
			return err
		}, "ResourceNotFoundException", "Table: nowhere not found"},
		"a table made twice": {func() error {
			_, err := c.CreateTable(t.Context(), &sdk.CreateTableInput{TableName: name, BillingMode: types.BillingModePayPerRequest,
				KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}}})
			return err
		}, "ResourceInUseException", "Table already exists: nightlatch"},
		"an item without its sort key": {putting(sdk.PutItemInput{Item: attributes{"pk": str("p")}}), "ValidationException", "Missing the key sk in the item"},
		"a key of another type":        {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": num("1")}}), "ValidationException", "Type mismatch for key sk expected: S actual: N"},
		"an empty key":                 {putting(sdk.PutItemInput{Item: attributes{"pk": str(""), "sk": str("s")}}), "ValidationException", "cannot contain an empty string value. Key: pk"},
		"a sort key that is too long":  {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": str(strings.Repeat("s", 1025))}}), "ValidationException", "Size of rangekey"},
		"an item over 400 KB":          {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": str("s"), "x": str(strings.Repeat("x", 400<<10))}}), "ValidationException", "Item size has exceeded the maximum allowed size"},
		"half a key": {func() error {
			_, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: name, Key: attributes{"pk": str("p")}})
			return err
		}, "ValidationException", "The provided key element does not match the schema"},
		"a number that is none":        {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": str("s"), "n": num("ten")}}), "ValidationException", "cannot be converted to a numeric value"},
		"a number of 39 digits":        {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": str("s"), "n": num(strings.Repeat("1", 39))}}), "ValidationException", "more than 38 significant digits"},
		"a number beyond the range":    {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": str("s"), "n": num("1e126")}}), "ValidationException", "Number overflow"},
		"a set with a double":          {putting(sdk.PutItemInput{Item: attributes{"pk": str("p"), "sk": str("s"), "n": &types.AttributeValueMemberNS{Value: []string{"1", "1.0"}}}}), "ValidationException", "contains duplicates"},
		"values without an expression": {putting(sdk.PutItemInput{Item: key, ExpressionAttributeValues: attributes{":a": num("1")}}), "ValidationException", "can only be specified when using expressions"},
		"an unused value":              {putting(sdk.PutItemInput{Item: key, ConditionExpression: aws.String("attribute_exists(pk)"), ExpressionAttributeValues: attributes{":a": num("1")}}), "ValidationException", "ExpressionAttributeValues unused in expressions: keys: {:a}"},
		"an unused name":               {putting(sdk.PutItemInput{Item: key, ConditionExpression: aws.String("attribute_exists(pk)"), ExpressionAttributeNames: map[string]string{"#a": "a"}}), "ValidationException", "ExpressionAttributeNames unused in expressions: keys: {#a}"},
		"return values of an update":   {putting(sdk.PutItemInput{Item: key, ReturnValues: types.ReturnValueAllNew}), "ValidationException", "ReturnValues can only be ALL_OLD or NONE"},
		"a parameter of the service that is not offered": {func() error {
			_, err := c.Query(t.Context(), &sdk.QueryInput{TableName: name, KeyConditionExpression: aws.String("pk = :p"), FilterExpression: aws.String("attribute_exists(a)"), ExpressionAttributeValues: attributes{":p": str("p")}})
			return err
		}, "ValidationException", "does not support the parameter FilterExpression"},
		"an operation that is not offered": {func() error {
			_, err := c.Scan(t.Context(), &sdk.ScanInput{TableName: name})
			return err
		}, "UnknownOperationException", "Scan"},
		"a query without the partition key": {query("sk = :s", attributes{":s": str("s")}), "ValidationException", "Query condition missed key schema element: pk"},
		"a range of partition keys":         {query("pk > :s", attributes{":s": str("s")}), "ValidationException", "Query key condition not supported"},
		"a query on another attribute":      {query("pk = :s AND colour = :s", attributes{":s": str("s")}), "ValidationException", "Query condition missed key schema element: sk"},
		"two conditions on one key":         {query("pk = :s AND pk = :s", attributes{":s": str("s")}), "ValidationException", "one condition per key"},
		"an OR of keys":                     {query("pk = :s OR sk = :s", attributes{":s": str("s")}), "ValidationException", "Invalid operator used in KeyConditionExpression: OR"},
		"a key condition of another type":   {query("pk = :s", attributes{":s": num("1")}), "ValidationException", "Condition parameter type does not match schema type"},
		"a starting key of another partition": {func() error {
			_, err := c.Query(t.Context(), &sdk.QueryInput{TableName: name, KeyConditionExpression: aws.String("pk = :p"), ExpressionAttributeValues: attributes{":p": str("p")}, ExclusiveStartKey: attributes{"pk": str("q"), "sk": str("s")}})
			return err
		}, "ValidationException", "outside query boundaries"},
		"an unknown access key": {func() error {
			_, err := client(srv.URL, sigv4.Credentials{AccessKeyID: "AKIDNOBODY", SecretAccessKey: "x"}).ListTables(t.Context(), nil)
			return err
		}, "UnrecognizedClientException", "security token"},
		"a wrong secret": {func() error {
			_, err := client(srv.URL, sigv4.Credentials{AccessKeyID: caller.AccessKeyID, SecretAccessKey: "x"}).ListTables(t.Context(), nil)
			return err
		}, "InvalidSignatureException", "does not match"},
	} {
		t.Run(name, func(t *testing.T) { wantCode(t, tt.do(), tt.code, tt.message) })
	}
}

func TestTheProtocolItself(t *testing.T) {
	_, srv := start(t, "")
	send := func(target, body string, sign bool) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", target)
		r.Header.Set("Content-Type", "application/x-amz-json-1.0")
		if sign {
			sigv4.Sign(r, []byte(body), caller, "dynamodb", "us-east-1", time.Now())
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = res.Body.Close() })
		return res
	}
	for name, tt := range map[string]struct {
		target, body string
		signed       bool
		status       int
		want         string
	}{
		"a good answer":             {"DynamoDB_20120810.ListTables", `{}`, true, 200, `{"TableNames":["nightlatch"]}`},
		"unsigned":                  {"DynamoDB_20120810.ListTables", `{}`, false, 400, `com.amazon.coral.service#MissingAuthenticationTokenException`},
		"another API's target":      {"Scheduler.ListSchedules", `{}`, true, 404, `com.amazon.coral.service#UnknownOperationException`},
		"not JSON":                  {"DynamoDB_20120810.ListTables", `{`, true, 400, `com.amazon.coral.service#SerializationException`},
		"a parameter in small type": {"DynamoDB_20120810.ListTables", `{"limit":1}`, true, 400, `com.amazon.coral.validate#ValidationException`},
		"a value of no type":        {"DynamoDB_20120810.GetItem", `{"TableName":"nightlatch","Key":{"pk":{}}}`, true, 400, `Supplied AttributeValue is empty`},
		"a value of two types":      {"DynamoDB_20120810.GetItem", `{"TableName":"nightlatch","Key":{"pk":{"S":"a","N":"1"}}}`, true, 400, `more than one datatypes`},
		"a missing table":           {"DynamoDB_20120810.DescribeTable", `{"TableName":"nowhere"}`, true, 400, `com.amazonaws.dynamodb.v20120810#ResourceNotFoundException`},
	} {
		t.Run(name, func(t *testing.T) {
			res := send(tt.target, tt.body, tt.signed)
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != tt.status || !strings.Contains(string(raw), tt.want) {
				t.Errorf("got %d %s, want %d with %s", res.StatusCode, raw, tt.status, tt.want)
			}
			if got, want := res.Header.Get("X-Amz-Crc32"), strconv.FormatUint(uint64(crc32.ChecksumIEEE(raw)), 10); got != want {
				t.Errorf("x-amz-crc32 is %s, want %s: clients throw the answer away", got, want)
			}
			if res.Header.Get("X-Amzn-Requestid") == "" {
				t.Error("no x-amzn-requestid")
			}
		})
	}
}

func TestStateSurvivesARestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dynamodb.json")
	c, _ := start(t, file)
	full := attributes{"pk": str("p"), "sk": str("s\x00é"), "n": num("-0.5"), "b": &types.AttributeValueMemberB{Value: []byte{1, 2}},
		"ss": &types.AttributeValueMemberSS{Value: []string{"a", "b"}}, "ns": &types.AttributeValueMemberNS{Value: []string{"1", "2"}}, "bs": &types.AttributeValueMemberBS{Value: [][]byte{{9}}},
		"m": &types.AttributeValueMemberM{Value: attributes{"in": str("")}}, "em": &types.AttributeValueMemberM{Value: attributes{}},
		"l": &types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberNULL{Value: true}}}, "no": &types.AttributeValueMemberBOOL{Value: false}}
	put(t, c, full)
	before, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("nightlatch")})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := start(t, file)
	out, err := again.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("nightlatch"), Key: attributes{"pk": full["pk"], "sk": full["sk"]}})
	if err != nil {
		t.Fatal(err)
	}
	for name := range full {
		if got, want := fmt.Sprintf("%#v", out.Item[name]), fmt.Sprintf("%#v", full[name]); got != want && name != "l" && name != "m" {
			t.Errorf("%s came back as %s, want %s", name, got, want)
		}
	}
	after, err := again.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("nightlatch")})
	if err != nil {
		t.Fatal(err)
	}
	if *after.Table.TableId != *before.Table.TableId || !after.Table.CreationDateTime.Equal(*before.Table.CreationDateTime) || *after.Table.ItemCount != 1 || after.Table.TableStatus != types.TableStatusActive {
		t.Errorf("the table came back as another one: %+v", after.Table)
	}

	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, raw[:len(raw)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(config(file)); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a file cut short: got %v, want an error that names it", err)
	}
}

func TestAWriteThatCannotBeSavedIsNotMade(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c, _ := start(t, filepath.Join(dir, "dynamodb.json"))
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	key := attributes{"pk": str("p"), "sk": str("s")}
	_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: key})
	wantCode(t, err, "InternalServerError", "could not save")
	out, err := c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("nightlatch"), Key: key})
	if err != nil || out.Item != nil {
		t.Errorf("got %v and %v, want no item: a restart would have forgotten it", out.Item, err)
	}
}

func TestTablesOverTheWire(t *testing.T) {
	c, _ := start(t, "")
	for _, name := range []string{"second", "first"} {
		_, err := c.CreateTable(t.Context(), &sdk.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest,
			KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("id"), KeyType: types.KeyTypeHash}},
			AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("id"), AttributeType: types.ScalarAttributeTypeN}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	for p := sdk.NewListTablesPaginator(c, &sdk.ListTablesInput{Limit: aws.Int32(2)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, page.TableNames...)
	}
	if got := strings.Join(names, " "); got != "first nightlatch second" {
		t.Errorf("got tables %q, want all three in order", got)
	}
	for _, n := range []string{"1", "1.00"} {
		if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("first"), Item: attributes{"id": num(n)}}); err != nil {
			t.Fatal(err)
		}
	}
	out, err := c.DescribeTable(t.Context(), &sdk.DescribeTableInput{TableName: aws.String("first")})
	if err != nil || *out.Table.ItemCount != 1 || *out.Table.TableArn != "arn:aws:dynamodb:us-east-1:111122223333:table/first" {
		t.Errorf("got %+v and %v, want one item, because 1 and 1.00 are one key", out, err)
	}
}
