// Package deadman is latch.Deadman over Amazon EventBridge Scheduler: one schedule for each association, outside
// Nightlatch, whose target is EC2's own disassociate call. If Nightlatch is broken or deleted, the meter still stops.
//
//	Arm ──▶ schedule nightlatch-<association> ── at its time ──▶ DisassociateClientVpnTargetNetwork, schedule deletes itself
//	             │
//	             └── Disarm (the association is gone) ──▶ deleted
//
// A schedule is never moved: its name is the association's, and who comes second finds it made.
package deadman

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"

	"github.com/nightlatch/nightlatch/internal/awserr"
	"github.com/nightlatch/nightlatch/internal/latch"
)

const (
	// patience bounds one method with its retries, when the caller's context does not end sooner.
	patience = 10 * time.Second
	// attempts and maxBackoff are few and short: the latch tries again at its next look. The retryer is the SDK's
	// standard one: an opening makes one call or two, and what is billed must not wait long for its switch.
	attempts   = 3
	maxBackoff = time.Second
	// soonest is how far ahead a schedule lies at least. What Scheduler does with a one-time schedule whose time has
	// passed is not documented; it starts targets within 60 seconds ("Schedule types", User Guide).
	soonest = time.Minute
	// When the call fails, Scheduler repeats it with back-off: a day long and 185 times, its maxima (RetryPolicy, API
	// Reference). It is the last thing that stops the meter.
	retryFor   = 24 * time.Hour
	retryTimes = 185
)

// Config is what New needs; every field but DeadLetterARN is required.
type Config struct {
	AWS   aws.Config // at least Region and Credentials; nothing is read from the environment
	Group string     // schedule group that exists
	// RoleARN is the role that Scheduler assumes; it may call ec2:DisassociateClientVpnTargetNetwork, send to DeadLetterARN,
	// and nothing else.
	RoleARN string
	// DeadLetterARN is the SQS queue, a standard one, that gets the switches that could not fire; empty: none does.
	DeadLetterARN string
}

// Deadman implements latch.Deadman.
type Deadman struct {
	client              api
	group, role, target string
	dead                *types.DeadLetterConfig // nil: none
}

// api is the part of Scheduler that is called, as functions, so that the linker drops the rest (docs/decisions/0006).
type api struct {
	CreateSchedule operation[scheduler.CreateScheduleInput, scheduler.CreateScheduleOutput]
	GetSchedule    operation[scheduler.GetScheduleInput, scheduler.GetScheduleOutput]
	DeleteSchedule operation[scheduler.DeleteScheduleInput, scheduler.DeleteScheduleOutput]
}

type operation[I, O any] func(context.Context, *I, ...func(*scheduler.Options)) (*O, error)

// New checks c and makes no call.
func New(c Config) (*Deadman, error) {
	if c.AWS.Region == "" || c.AWS.Credentials == nil || c.Group == "" {
		return nil, errors.New("deadman: Region, Credentials and Group are required")
	}
	arn := strings.SplitN(c.RoleARN, ":", 6)
	if len(arn) != 6 || arn[0] != "arn" || arn[2] != "iam" || !strings.HasPrefix(arn[5], "role/") {
		return nil, fmt.Errorf("deadman: RoleARN %q is not the ARN of an IAM role", c.RoleARN)
	}
	var dead *types.DeadLetterConfig
	if c.DeadLetterARN != "" {
		if queue := strings.SplitN(c.DeadLetterARN, ":", 6); len(queue) != 6 || queue[0] != "arn" || queue[2] != "sqs" || strings.HasSuffix(queue[5], ".fifo") {
			return nil, fmt.Errorf("deadman: DeadLetterARN %q is not the ARN of a standard SQS queue", c.DeadLetterARN)
		}
		dead = &types.DeadLetterConfig{Arn: new(c.DeadLetterARN)}
	}
	client := scheduler.NewFromConfig(c.AWS, func(o *scheduler.Options) {
		o.Retryer = retry.NewStandard(func(r *retry.StandardOptions) { r.MaxAttempts, r.MaxBackoff = attempts, maxBackoff })
	})
	return &Deadman{
		client: api{client.CreateSchedule, client.GetSchedule, client.DeleteSchedule}, group: c.Group, role: c.RoleARN, dead: dead,
		// The universal target, in the role's partition ("Using universal targets", EventBridge Scheduler User Guide).
		target: "arn:" + arn[1] + ":scheduler:::aws-sdk:ec2:disassociateClientVpnTargetNetwork",
	}, nil
}

// Arm implements latch.Deadman. The switch fires within a minute after at, never before; one whose time has passed
// fires as soon as can be.
func (d *Deadman) Arm(ctx context.Context, id latch.EndpointID, association latch.AssociationID, at time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if first := time.Now().Add(soonest); at.Before(first) {
		at = first
	}
	at = at.Add(time.Second - 1).Truncate(time.Second) // schedules know whole seconds
	input, err := json.Marshal(map[string]string{"ClientVpnEndpointId": string(id), "AssociationId": string(association)})
	if err != nil {
		return fmt.Errorf("arm switch of %s: %w", association, err)
	}
	_, err = d.client.CreateSchedule(ctx, &scheduler.CreateScheduleInput{
		Name:                       new(name(association)),
		GroupName:                  new(d.group),
		Description:                new("Ends the association when Nightlatch does not."),
		ScheduleExpression:         new("at(" + at.UTC().Format("2006-01-02T15:04:05") + ")"),
		ScheduleExpressionTimezone: new("UTC"),
		FlexibleTimeWindow:         &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		ActionAfterCompletion:      types.ActionAfterCompletionDelete,
		Target: &types.Target{
			Arn: new(d.target), RoleArn: new(d.role), Input: new(string(input)),
			RetryPolicy: &types.RetryPolicy{
				MaximumEventAgeInSeconds: new(int32(retryFor / time.Second)), MaximumRetryAttempts: new(int32(retryTimes)),
			},
			DeadLetterConfig: d.dead,
		},
	})
	if _, conflict := errors.AsType[*types.ConflictException](err); conflict {
		return d.confirm(ctx, association, err)
	}
	if err == nil {
		return nil
	}
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return fmt.Errorf("arm switch of %s in schedule group %s: %w", association, d.group, service.Translate(err))
	}
	return fmt.Errorf("arm switch of %s: %w", association, service.Translate(err))
}

// confirm looks whether the conflict is the switch itself. CreateSchedule's ConflictException may also mean that something
// else is being changed, a group that is being deleted for one, and an association without a switch may not stay.
func (d *Deadman) confirm(ctx context.Context, association latch.AssociationID, conflict error) error {
	have, err := d.client.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: new(name(association)), GroupName: new(d.group)})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		return fmt.Errorf("arm switch of %s: %w", association, service.Translate(conflict))
	}
	if err != nil {
		return fmt.Errorf("arm switch of %s: %w", association, service.Translate(err))
	}
	if have.State == types.ScheduleStateDisabled {
		return fmt.Errorf("arm switch of %s: %w: somebody has disabled schedule %s; enable or delete it", association, latch.ErrRefused, name(association))
	}
	return nil
}

// Disarm implements latch.Deadman.
func (d *Deadman) Disarm(ctx context.Context, _ latch.EndpointID, association latch.AssociationID) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	_, err := d.client.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{Name: new(name(association)), GroupName: new(d.group)})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing || err == nil {
		return nil
	}
	return fmt.Errorf("disarm switch of %s: %w", association, service.Translate(err))
}

// name has at most 64 characters of letters, digits, "-", "_" and "."; an association's id is 28 of them.
func name(association latch.AssociationID) string { return "nightlatch-" + string(association) }

// service translates Scheduler's codes (CreateSchedule and DeleteSchedule, API Reference).
var service = awserr.Service{Name: "scheduler", Kinds: map[string]error{
	"ConflictException":         latch.ErrBusy, // for a delete: somebody changes the schedule at this moment
	"InternalServerException":   latch.ErrUnavailable,
	"ResourceNotFoundException": latch.ErrRefused, // for a create: the group is missing, and waiting makes none
}}
