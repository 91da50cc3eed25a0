package dynamodb

import (
	"encoding/json"
	"strings"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// Unconfirmed holds what DynamoDB may do and need not. Zero values are the likelier answer; a client should do well under
// either.
type Unconfirmed struct {
	// StaleReads: a read that is not strongly consistent shows an item as it was before its last write, for a second after
	// that. "DynamoDB read consistency" says that it may, and neither how often nor for how long.
	StaleReads bool
	// AnswersLost: every fourth write is made and yet answered with InternalServerError. "Error handling with DynamoDB"
	// says of a write that is answered 500 that it may have succeeded or failed.
	AnswersLost bool
}

// Switches are Throttle and the unconfirmed facts. A client that repeats a refused request, as every SDK does, gets
// through under all of them.
func (s *Server) Switches() []switches.Switch {
	u := &s.cfg.Unconfirmed
	return []switches.Switch{
		switches.Bool(&s.mu, "Throttle", "Every third request is refused once, by each of DynamoDB's three codes for that in turn.", &s.cfg.Throttle),
		switches.Bool(&s.mu, "StaleReads", "Reads that are not strongly consistent lag a second behind.", &u.StaleReads),
		switches.Bool(&s.mu, "AnswersLost", "Every fourth write is made and answered InternalServerError all the same.", &u.AnswersLost),
	}
}

// Faults are what no SDK repeats away. None is an unconfirmed fact.
func (s *Server) Faults() []switches.Switch {
	return []switches.Switch{
		switches.Bool(&s.mu, "Contended", "Every fifth write is refused once, as if a transaction or another Region wrote the item.", &s.cfg.Contended),
	}
}

// throttling are the codes that say that there were too many requests, each with the kind of its ThrottlingReason.
var throttling = []struct{ code, message, reasons, limit string }{
	{"ThrottlingException", "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.",
		"throttlingReasons", "KeyRangeThroughputExceeded"},
	{"ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning level with the UpdateTable API.",
		"ThrottlingReasons", "ProvisionedThroughputExceeded"},
	{"RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account. Please contact AWS Support at https://aws.amazon.com/support to request a limit increase.",
		"ThrottlingReasons", "AccountLimitExceeded"},
}

// before is the error by which the switches refuse a request before it is looked at, or nil.
func (s *Server) before(operation string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Throttle && s.throttled.Pick(3, operation, body) {
		if strings.Contains(operation, "Table") {
			return refused("ThrottlingException", "Rate of requests exceeds the allowed throughput.")
		}
		kind := "Read"
		if writes(operation) {
			kind = "Write"
		}
		var on struct{ TableName string }
		_ = json.Unmarshal(body, &on) // what is no JSON has no table either
		way := throttling[s.throttled.Seen()/3%len(throttling)]
		return &apiError{400, awsNamespace + way.code, way.message, map[string]any{
			way.reasons: []map[string]string{{"reason": "Table" + kind + way.limit, "resource": s.arn(on.TableName)}}}}
	}
	if s.cfg.Contended && writes(operation) && s.contended.Pick(5, operation, body) {
		if s.contended.Seen()/5%2 == 0 {
			return refused("ReplicatedWriteConflictException", "The request was rejected because one or more items in the request are being modified by a request in another Region.")
		}
		return refused("TransactionConflictException", "Transaction is ongoing for the item")
	}
	return nil
}

// after is the error that hides a write that was made, or nil.
func (s *Server) after(operation string, body []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cfg.Unconfirmed.AnswersLost && writes(operation) && s.lost.Pick(4, operation, body) {
		return &apiError{500, awsNamespace + "InternalServerError", "The request processing has failed because of an unknown error, exception or failure.", nil}
	}
	return nil
}

func writes(operation string) bool { return operation == "PutItem" || operation == "DeleteItem" }
