package store

import (
	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// service translates DynamoDB's codes ("Error handling with DynamoDB", Developer Guide). A missing table is refused: what
// is not found in latch's sense is an endpoint, and waiting helps neither.
var service = awserr.Service{Name: "dynamodb", Kinds: map[string]error{
	"TransactionConflictException":     latch.ErrBusy,
	"ReplicatedWriteConflictException": latch.ErrBusy,
	"ConditionalCheckFailedException":  latch.ErrConflict,
	"InternalServerError":              latch.ErrUnavailable,
	"ServiceUnavailable":               latch.ErrUnavailable,
}}
