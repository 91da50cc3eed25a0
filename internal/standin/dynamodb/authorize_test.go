package dynamodb

import (
	"context"
	"errors"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// TestUnauthorized: each operation asks for its action on its table, and without it nothing is done or told.
func TestUnauthorized(t *testing.T) {
	const table = "arn:aws:dynamodb:us-east-1:111122223333:table/nightlatch"
	key := attributes{"pk": str("a"), "sk": str("b")}
	for name, tt := range map[string]struct {
		call func(ctx context.Context, c *sdk.Client) error
		need string
	}{
		"CreateTable": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.CreateTable(ctx, &sdk.CreateTableInput{TableName: aws.String("other"), BillingMode: types.BillingModePayPerRequest,
				AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
				KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}}})
			return err
		}, "arn:aws:dynamodb:us-east-1:111122223333:table/other"},
		"DescribeTable": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.DescribeTable(ctx, &sdk.DescribeTableInput{TableName: aws.String("nightlatch")})
			return err
		}, table},
		"ListTables": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.ListTables(ctx, &sdk.ListTablesInput{})
			return err
		}, "*"},
		"GetItem": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.GetItem(ctx, &sdk.GetItemInput{TableName: aws.String("nightlatch"), Key: key})
			return err
		}, table},
		"PutItem": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.PutItem(ctx, &sdk.PutItemInput{TableName: aws.String("nightlatch"), Item: key, ConditionExpression: aws.String("attribute_not_exists(pk)")})
			return err
		}, table},
		"DeleteItem": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.DeleteItem(ctx, &sdk.DeleteItemInput{TableName: aws.String("nightlatch"), Key: key})
			return err
		}, table},
		"Query": {func(ctx context.Context, c *sdk.Client) error {
			_, err := c.Query(ctx, &sdk.QueryInput{TableName: aws.String("nightlatch"), KeyConditionExpression: aws.String("pk = :p"),
				ExpressionAttributeValues: attributes{":p": str("a")}})
			return err
		}, table},
	} {
		t.Run(name, func(t *testing.T) {
			var asked []string
			refuse := true
			cfg := config("")
			cfg.Authorize = func(key, action, resource string, _ map[string]string) error {
				asked = append(asked, key+" "+action+" "+resource)
				if refuse {
					return errors.New("User: u is not authorized to perform: " + action)
				}
				return nil
			}
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			server := httptest.NewServer(s.Handler())
			defer server.Close()
			c := client(server.URL, caller)
			wantCode(t, tt.call(t.Context(), c), "AccessDeniedException", "User: u is not authorized to perform: dynamodb:"+name)
			if n, items := len(s.tables), len(s.tables["nightlatch"].saved().Items); n != 1 || items != 0 {
				t.Errorf("something was done all the same: %d tables, %d items", n, items)
			}
			refuse = false
			if err := tt.call(t.Context(), c); err != nil {
				t.Errorf("with the permission: %v", err)
			}
			if want := caller.AccessKeyID + " dynamodb:" + name + " " + tt.need; !slices.Equal(asked, []string{want, want}) {
				t.Errorf("asked %q, want %q twice", asked, want)
			}
		})
	}
}
