package store

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// api is the part of DynamoDB that is called, as functions. Were *dynamodb.Client itself reachable from an interface, also
// as the field of what is in one, the linker would keep all of its operations (docs/decisions/0006).
type api struct {
	GetItem    operation[dynamodb.GetItemInput, dynamodb.GetItemOutput]
	PutItem    operation[dynamodb.PutItemInput, dynamodb.PutItemOutput]
	DeleteItem operation[dynamodb.DeleteItemInput, dynamodb.DeleteItemOutput]
	query      operation[dynamodb.QueryInput, dynamodb.QueryOutput]
}

type operation[I, O any] func(context.Context, *I, ...func(*dynamodb.Options)) (*O, error)

func newAPI(c *dynamodb.Client) *api { return &api{c.GetItem, c.PutItem, c.DeleteItem, c.Query} }

// Query is a method because the SDK's paginator calls it.
func (a *api) Query(ctx context.Context, in *dynamodb.QueryInput, o ...func(*dynamodb.Options)) (*dynamodb.QueryOutput, error) {
	return a.query(ctx, in, o...)
}
