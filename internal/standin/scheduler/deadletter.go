package scheduler

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"strconv"
)

// DeadLetter is a message to a dead-letter queue: the target's call as its body, and what happened as attributes, all of
// them strings ("Retrieve the dead-letter event", EventBridge Scheduler User Guide).
type DeadLetter struct {
	// Body is the JSON of the parameters of the target's API action. The guide shows a universal target's; those of a Lambda
	// function's are taken to be alike.
	Body string
	// Attributes are ERROR_CODE, ERROR_MESSAGE, EXECUTION_ID, IS_PAYLOAD_TRUNCATED, RETRY_ATTEMPTS, SCHEDULED_TIME,
	// SCHEDULE_ARN and TARGET_ARN; and EXHAUSTED_RETRY_CONDITION, MaximumRetryAttempts or MaximumEventAgeInSeconds, unless the
	// error was a permanent one.
	Attributes map[string]string
}

// bury sends a delivery that was given up to the schedule's dead-letter queue, as its role: without sqs:SendMessage, or
// when the queue does not take it, it is lost and the log says so.
func (s *Server) bury(ctx context.Context, sc *schedule, x execution, out *Outcome, cause error, exhausted string) {
	t := sc.Wish.Target
	if t.DeadLetterConfig == nil || t.DeadLetterConfig.Arn == "" {
		return
	}
	queue := t.DeadLetterConfig.Arn
	err := func() error {
		as, err := s.assume(t.RoleArn, sc.Group)
		if err != nil {
			return err
		}
		if s.cfg.Authorize != nil {
			if err := s.cfg.Authorize(as.AccessKeyID, "sqs:SendMessage", queue, map[string]string{"aws:RequestedRegion": s.cfg.Region}); err != nil {
				return err
			}
		}
		if s.cfg.DeadLetter == nil {
			return nil
		}
		return s.cfg.DeadLetter(ctx, queue, s.deadLetter(sc, x, out, cause, exhausted))
	}()
	log := s.cfg.Log.With("from", "scheduler", "schedule", sc.path(), "queue", queue)
	if err != nil {
		log.Error("dead letter lost", "why", err)
		return
	}
	log.Warn("dead letter sent", "attempts", out.Attempts)
}

func (s *Server) deadLetter(sc *schedule, x execution, out *Outcome, cause error, exhausted string) DeadLetter {
	t := sc.Wish.Target
	body, arn := x.input, t.Arn
	if arn != disassociateARN {
		call, _ := json.Marshal(map[string]string{"FunctionName": t.Arn, "InvocationType": "Event", "Payload": x.input}) // strings only
		body, arn = string(call), "arn:aws:scheduler:::aws-sdk:lambda:invoke"
	}
	code, message := "AWS.Scheduler.InternalServerError", "Unexpected error occurred while processing the request"
	if f, ok := errors.AsType[*failure](cause); ok {
		code, message = f.code, cmp.Or(f.message, f.code)
	}
	attributes := map[string]string{
		"ERROR_CODE": code, "ERROR_MESSAGE": message, "EXECUTION_ID": x.id, "IS_PAYLOAD_TRUNCATED": "false",
		"RETRY_ATTEMPTS": strconv.Itoa(out.Attempts - 1), "SCHEDULED_TIME": x.when, "SCHEDULE_ARN": s.arn(sc), "TARGET_ARN": arn,
	}
	if exhausted != "" {
		attributes["EXHAUSTED_RETRY_CONDITION"] = exhausted
	}
	return DeadLetter{body, attributes}
}
