package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/inside"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/metrics"
)

// stackVariable holds the deployment's name, under which CloudWatch counts. Where it is unset, as in a deployment of
// somebody's own making, there are no metrics: they would be charged for.
const stackVariable = "NIGHTLATCH_STACK"

// counter writes the metrics. What cannot be written is logged and otherwise nobody's trouble.
type counter struct {
	w   *metrics.Writer
	log *slog.Logger
}

func newMetrics(c *config.Config, env func(string) string, stdout io.Writer, log *slog.Logger) counter {
	names := map[latch.EndpointID]string{}
	for _, e := range c.Endpoints {
		names[e.ID] = e.Name
	}
	return counter{metrics.New(metrics.Config{Stack: env(stackVariable), Endpoints: names, Out: stdout}), log}
}

func (c counter) beat(ctx context.Context, tallies []latch.Tally, err error) {
	c.told(ctx, c.w.Beat(tallies, err))
}

// signInBroken does not log the error: the page's own line has it.
func (c counter) signInBroken(ctx context.Context, _ error) { c.told(ctx, c.w.SignInError()) }

func (c counter) told(ctx context.Context, err error) {
	if err != nil {
		c.log.WarnContext(ctx, "metrics not written", "err", err)
	}
}

// doctorSource is the event's source by which the beat function looks around instead. Every other event is a beat.
const doctorSource = "nightlatch.doctor"

// beatHandler keeps the endpoints and counts, before it answers: after that Lambda stops the process. An event of the doctor's it
// answers with what look finds.
func beatHandler(c *config.Config, keeper *latch.Keeper, count counter, look func(context.Context) inside.Report) func(context.Context, json.RawMessage) (any, error) {
	return func(ctx context.Context, raw json.RawMessage) (any, error) {
		var event struct {
			Source string `json:"source"`
		}
		if json.Unmarshal(raw, &event) == nil && event.Source == doctorSource {
			return look(ctx), nil
		}
		tallies, err := keeper.TalliedBeat(ctx, c.BeatFor)
		count.beat(ctx, tallies, err)
		return nil, err
	}
}
