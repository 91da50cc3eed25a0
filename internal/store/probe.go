package store

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Probe asks DynamoDB for every operation that this package calls, by its name in DynamoDB's API, and changes nothing: it
// reads an item that is not there, and writes and deletes it under a condition that nothing can meet. Nil is a call that is
// answered, or that only the condition stopped.
func (s *Store) Probe(ctx context.Context) map[string]error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex // guards answers
		answers = map[string]error{}
	)
	ask := func(operation string, call func() error) {
		wg.Go(func() {
			err := call()
			if _, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
				err = nil
			}
			if err != nil {
				err = fmt.Errorf("%s of table %s: %w", operation, s.table, service.Translate(err))
			}
			mu.Lock()
			defer mu.Unlock()
			answers[operation] = err
		})
	}
	const never = "attribute_exists(pk) AND attribute_not_exists(pk)"
	item := key(nobodys, "probe")
	ask("GetItem", func() error {
		_, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: new(s.table), Key: item, ConsistentRead: new(true)})
		return err
	})
	ask("Query", func() error {
		_, err := s.client.Query(ctx, &dynamodb.QueryInput{TableName: new(s.table), KeyConditionExpression: new("pk = :pk"), Limit: new(int32(1)),
			ExpressionAttributeValues: map[string]types.AttributeValue{":pk": text("probe")}})
		return err
	})
	ask("PutItem", func() error {
		_, err := s.client.PutItem(ctx, &dynamodb.PutItemInput{TableName: new(s.table), Item: item, ConditionExpression: new(never)})
		return err
	})
	ask("DeleteItem", func() error {
		_, err := s.client.DeleteItem(ctx, &dynamodb.DeleteItemInput{TableName: new(s.table), Key: item, ConditionExpression: new(never)})
		return err
	})
	wg.Wait()
	return answers
}
