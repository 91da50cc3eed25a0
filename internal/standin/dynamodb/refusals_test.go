package dynamodb

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// What the SDK would not send, each as the bytes of a request.
func TestRefusalsOnTheWire(t *testing.T) {
	_, srv := start(t, "")
	const (
		key     = `"TableName":"nightlatch","Key":{"pk":{"S":"p"},"sk":{"S":"s"}}`
		item    = `"TableName":"nightlatch","Item":{"pk":{"S":"p"},"sk":{"S":"s"}}`
		table   = `"TableName":"second","BillingMode":"PAY_PER_REQUEST"`
		hash    = `"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}]`
		defined = `"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}]`
		invalid = `com.amazon.coral.validate#ValidationException`
		broken  = `com.amazon.coral.service#SerializationException`
	)
	attribute := func(v string) string {
		return `{"TableName":"nightlatch","Item":{"pk":{"S":"p"},"sk":{"S":"s"},"a":` + v + `}}`
	}
	deep := strings.Repeat(`{"L":[`, 33) + strings.Repeat(`]}`, 33)
	for name, tt := range map[string]struct{ operation, body, typ, message string }{
		"no table's name":                     {"GetItem", `{"Key":{"pk":{"S":"p"}}}`, invalid, "Value null at 'tableName'"},
		"a table's name of two letters":       {"GetItem", `{"TableName":"ab","Key":{"pk":{"S":"p"}}}`, invalid, "Value 'ab' at 'tableName'"},
		"a table's name with a space":         {"GetItem", `{"TableName":"a b c","Key":{"pk":{"S":"p"}}}`, invalid, "Value 'a b c' at 'tableName'"},
		"a name that is no text":              {"GetItem", `{"TableName":1}`, broken, "TableName"},
		"a part of a parameter nobody knows":  {"CreateTable", `{"TableName":"abc","KeySchema":[{"Colour":"red"}]}`, broken, "Colour"},
		"a key of another type":               {"GetItem", `{"TableName":"nightlatch","Key":{"pk":{"S":"p"},"sk":{"N":"1"}}}`, invalid, "does not match the schema"},
		"a key of another name":               {"GetItem", `{"TableName":"nightlatch","Key":{"pk":{"S":"p"},"ks":{"S":"s"}}}`, invalid, "does not match the schema"},
		"a key too many":                      {"GetItem", `{` + strings.TrimSuffix(key, "}") + `,"a":{"S":"a"}}}`, invalid, "does not match the schema"},
		"an empty key":                        {"GetItem", `{"TableName":"nightlatch","Key":{"pk":{"S":""},"sk":{"S":"s"}}}`, invalid, "cannot contain an empty string value. Key: pk"},
		"a partition key that is too long":    {"GetItem", `{"TableName":"nightlatch","Key":{"pk":{"S":"` + strings.Repeat("p", 2049) + `"},"sk":{"S":"s"}}}`, invalid, "Size of hashkey has exceeded the maximum size limit of 2048 bytes"},
		"no item":                             {"PutItem", `{"TableName":"nightlatch"}`, invalid, "Value null at 'item'"},
		"an item that is no object":           {"PutItem", `{"TableName":"nightlatch","Item":[]}`, broken, "Item"},
		"a value that is no object":           {"PutItem", attribute(`"text"`), broken, "must be an object with one data type"},
		"a value that is null":                {"PutItem", attribute(`{"S":null}`), invalid, "Supplied AttributeValue is empty"},
		"a value of a type that is none":      {"PutItem", attribute(`{"X":"1"}`), invalid, "Supplied AttributeValue is empty"},
		"a text that is a number":             {"PutItem", attribute(`{"S":1}`), broken, "data type S"},
		"a number that is none of JSON's":     {"PutItem", attribute(`{"N":1}`), broken, "data type N"},
		"bytes that are not Base64":           {"PutItem", attribute(`{"B":"*"}`), broken, "must be Base64"},
		"a set that is a text":                {"PutItem", attribute(`{"SS":"a"}`), broken, "data type SS"},
		"an empty set":                        {"PutItem", attribute(`{"SS":[]}`), invalid, "a set may not be empty"},
		"a set of numbers with a text":        {"PutItem", attribute(`{"NS":["one"]}`), invalid, "cannot be converted to a numeric value: one"},
		"a set of bytes twice the same":       {"PutItem", attribute(`{"BS":["AA==","AA=="]}`), invalid, "contains duplicates"},
		"a null that is not true":             {"PutItem", attribute(`{"NULL":false}`), invalid, "must have the value of true"},
		"a null that is a text":               {"PutItem", attribute(`{"NULL":"true"}`), broken, "data type NULL"},
		"a fault deep in a map":               {"PutItem", attribute(`{"M":{"a":{"L":[{"N":"ten"}]}}}`), invalid, "cannot be converted to a numeric value: ten"},
		"lists in lists, 33 deep":             {"PutItem", attribute(deep), invalid, "Nesting Levels have exceeded supported limits"},
		"a number that is too small":          {"PutItem", attribute(`{"N":"1e-131"}`), invalid, "Number underflow"},
		"a return value nobody knows":         {"PutItem", `{` + item + `,"ReturnValuesOnConditionCheckFailure":"SOME"}`, invalid, "at 'returnValuesOnConditionCheckFailure'"},
		"names without an expression":         {"PutItem", `{` + item + `,"ExpressionAttributeNames":{"#a":"a"}}`, invalid, "ExpressionAttributeNames can only be specified when using expressions"},
		"empty names":                         {"PutItem", `{` + item + `,"ConditionExpression":"attribute_exists(pk)","ExpressionAttributeNames":{}}`, invalid, "ExpressionAttributeNames must not be empty"},
		"empty values":                        {"PutItem", `{` + item + `,"ConditionExpression":"attribute_exists(pk)","ExpressionAttributeValues":{}}`, invalid, "ExpressionAttributeValues must not be empty"},
		"a name without its #":                {"PutItem", `{` + item + `,"ConditionExpression":"attribute_exists(pk)","ExpressionAttributeNames":{"a":"a"}}`, invalid, `ExpressionAttributeNames contains invalid key: Syntax error; key: "a"`},
		"a value without its colon":           {"PutItem", `{` + item + `,"ConditionExpression":"attribute_exists(pk)","ExpressionAttributeValues":{"#a":{"N":"1"}}}`, invalid, `ExpressionAttributeValues contains invalid key: Syntax error; key: "#a"`},
		"a delete by half a key":              {"DeleteItem", `{"TableName":"nightlatch","Key":{"pk":{"S":"p"}}}`, invalid, "The provided key element does not match the schema"},
		"a delete with a wrong condition":     {"DeleteItem", `{` + key + `,"ConditionExpression":"pk ="}`, invalid, "Invalid ConditionExpression: Syntax error"},
		"a delete where there is no table":    {"DeleteItem", `{"TableName":"nowhere","Key":{"pk":{"S":"p"}}}`, "#ResourceNotFoundException", "Requested resource not found"},
		"a read where there is no table":      {"GetItem", `{"TableName":"nowhere","Key":{"pk":{"S":"p"}}}`, "#ResourceNotFoundException", "Requested resource not found"},
		"a query where there is no table":     {"Query", `{"TableName":"nowhere","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"p"}}}`, "#ResourceNotFoundException", "Requested resource not found"},
		"a query for nothing":                 {"Query", `{"TableName":"nightlatch"}`, invalid, "Either the KeyConditions or KeyConditionExpression parameter must be specified"},
		"a query for none":                    {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p","Limit":0}`, invalid, "Value '0' at 'limit'"},
		"a query with bad names":              {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p","ExpressionAttributeNames":{"a":"a"}}`, invalid, "contains invalid key"},
		"a query with a value undefined":      {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p"}`, invalid, "Invalid KeyConditionExpression: An expression attribute value used in expression is not defined; attribute value: :p"},
		"a query with a value unused":         {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"p"},":q":{"S":"q"}}}`, invalid, "unused in expressions: keys: {:q}"},
		"a query from half a key":             {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":"p"}},"ExclusiveStartKey":{"pk":{"S":"p"}}}`, invalid, "The provided starting key is invalid"},
		"a query with three conditions":       {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p AND sk = :p AND pk = :p","ExpressionAttributeValues":{":p":{"S":"p"}}}`, invalid, "Conditions can be of length 1 or 2 only"},
		"a query that is not equal":           {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk <> :p","ExpressionAttributeValues":{":p":{"S":"p"}}}`, invalid, "Invalid operator used in KeyConditionExpression: <>"},
		"a query that contains":               {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p AND contains(sk, :p)","ExpressionAttributeValues":{":p":{"S":"p"}}}`, invalid, "Invalid operator used in KeyConditionExpression: contains"},
		"a query by a part of a key":          {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p AND sk.a = :p","ExpressionAttributeValues":{":p":{"S":"p"}}}`, invalid, "cannot have conditions on nested attributes"},
		"a query of one key with the other":   {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = sk"}`, invalid, "The second operand of a key condition must be a placeholder value"},
		"a query with a bad second part":      {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"(pk = :p OR pk = :p) AND sk = :p","ExpressionAttributeValues":{":p":{"S":"p"}}}`, invalid, "Invalid operator used in KeyConditionExpression: OR"},
		"a query for an empty key":            {"Query", `{"TableName":"nightlatch","KeyConditionExpression":"pk = :p","ExpressionAttributeValues":{":p":{"S":""}}}`, invalid, "cannot contain an empty string value. Key: pk"},
		"a hundred and one tables":            {"ListTables", `{"Limit":101}`, invalid, "Value '101' at 'limit'"},
		"a table to be paid in advance":       {"CreateTable", `{"TableName":"second","BillingMode":"PROVISIONED",` + hash + `,` + defined + `}`, invalid, "PAY_PER_REQUEST only"},
		"a table without a key":               {"CreateTable", `{` + table + `,"KeySchema":[],` + defined + `}`, invalid, "Invalid KeySchema"},
		"a table that begins with its range":  {"CreateTable", `{` + table + `,"KeySchema":[{"AttributeName":"pk","KeyType":"RANGE"}],` + defined + `}`, invalid, "not a HASH key type"},
		"a table with two partition keys":     {"CreateTable", `{` + table + `,"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"},{"AttributeName":"sk","KeyType":"HASH"}],` + defined + `}`, invalid, "not a RANGE key type"},
		"a table with an attribute too many":  {"CreateTable", `{` + table + `,` + hash + `,"AttributeDefinitions":[]}`, invalid, "Number of attributes in KeySchema does not exactly match"},
		"a table with a key that is none":     {"CreateTable", `{` + table + `,` + hash + `,"AttributeDefinitions":[{"AttributeName":"sk","AttributeType":"S"}]}`, invalid, "not defined in AttributeDefinitions. Key: [pk]"},
		"a table with a key that is a list":   {"CreateTable", `{` + table + `,` + hash + `,"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"L"}]}`, invalid, "Member must satisfy enum value set: [B, N, S]"},
		"a transaction, which is not offered": {"TransactWriteItems", `{}`, "com.amazon.coral.service#UnknownOperationException", "TransactWriteItems"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Amz-Target", targetPrefix+tt.operation)
			r.Header.Set("Content-Type", "application/x-amz-json-1.0")
			sigv4.Sign(r, []byte(tt.body), caller, "dynamodb", "us-east-1", time.Now())
			res, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = res.Body.Close() }()
			raw, err := io.ReadAll(res.Body)
			if err != nil {
				t.Fatal(err)
			}
			// encoding/json writes < and > so; clients read them the same.
			said := strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\"`, `"`).Replace(string(raw))
			if res.StatusCode != 400 || !strings.Contains(said, tt.typ+`"`) || !strings.Contains(said, tt.message) {
				t.Errorf("got %d %s, want 400 %s with %q", res.StatusCode, said, tt.typ, tt.message)
			}
		})
	}
}

func TestARequestOfMoreThan16MB(t *testing.T) {
	_, srv := start(t, "")
	body := `{"TableName":"` + strings.Repeat("a", requestBytes) + `"}`
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Amz-Target", targetPrefix+"GetItem")
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	sigv4.Sign(r, []byte(body), caller, "dynamodb", "us-east-1", time.Now())
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if raw, _ := io.ReadAll(res.Body); res.StatusCode != 413 || !strings.Contains(string(raw), "RequestEntityTooLargeException") {
		t.Errorf("got %d %s, want 413 RequestEntityTooLargeException", res.StatusCode, raw)
	}
}

// Each limit from the side that is allowed.
func TestUpToTheLimits(t *testing.T) {
	c, _ := start(t, "")
	key := attributes{"pk": str(strings.Repeat("p", 2048)), "sk": str(strings.Repeat("s", 1024))}
	with := func(v string) attributes {
		it := attributes{"pk": key["pk"], "sk": key["sk"]}
		it["n"] = num(v)
		return it
	}
	big := attributes{"pk": str("p"), "sk": str("s"), "x": str(strings.Repeat("x", 400<<10-len("pkpsksx")))}
	for name, it := range map[string]attributes{
		"keys of 2048 and 1024 bytes":    key,
		"an item of exactly 400 KB":      big,
		"38 digits":                      with(strings.Repeat("9", 38)),
		"38 digits after the point":      with("0." + strings.Repeat("9", 38)),
		"the largest number":             with("9.9999999999999999999999999999999999999e125"),
		"the smallest number above zero": with("1e-130"),
		"an empty text that is no key":   {"pk": str("p"), "sk": str("s"), "a": str("")},
	} {
		if _, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: it}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	big["x"] = str(strings.Repeat("x", 400<<10-len("pkpsksx")+1))
	_, err := c.PutItem(t.Context(), &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: big})
	wantCode(t, err, "ValidationException", "Item size has exceeded the maximum allowed size")
}

func TestReservedWordsAreAllThere(t *testing.T) {
	words := strings.Fields(reserved)
	if len(words) != 573 {
		t.Errorf("got %d reserved words, want the 573 of \"Reserved words in DynamoDB\"", len(words))
	}
}

func TestANewWithAFaultIsRefused(t *testing.T) {
	for name, edit := range map[string]func(*Config){
		"no log":                func(c *Config) { c.Log = nil },
		"no credentials":        func(c *Config) { c.Credentials = nil },
		"a table of no name":    func(c *Config) { c.Tables = []Table{{"", "pk", "sk"}} },
		"a table of one key":    func(c *Config) { c.Tables = []Table{{"abc", "pk", "pk"}} },
		"a folder for its file": func(c *Config) { c.StateFile = os.TempDir() },
	} {
		c := config("")
		edit(&c)
		if _, err := New(c); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
}

func TestNoSecretIsLogged(t *testing.T) {
	var out strings.Builder
	cfg := config("")
	cfg.Log = slog.New(slog.NewJSONHandler(&out, nil))
	_, c, _ := clients(t, cfg)
	if err := putting(c, "known-only-to-us", 1); err != nil {
		t.Fatal(err)
	}
	_, _ = c.GetItem(t.Context(), &sdk.GetItemInput{TableName: aws.String("nightlatch"), Key: attributes{"pk": str("known-only-to-us")}})
	if out.Len() == 0 || strings.Contains(out.String(), caller.SecretAccessKey) || strings.Contains(out.String(), "known-only-to-us") || strings.Contains(out.String(), "Signature=") {
		t.Errorf("the log says\n%s\nwant no item, no key and no signature", out.String())
	}
}
