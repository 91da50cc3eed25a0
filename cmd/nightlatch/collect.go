package main

import (
	"context"
	"encoding/json"
	"runtime/debug"
	"sync/atomic"
)

// noGarbageBelow is how much memory the first answer may use before garbage is collected for it, in bytes. It uses a
// fifth; a function has 128 MB at least.
const noGarbageBelow = 64 << 20

// collectLater puts garbage collection off until the second event comes: a start makes a few megabytes of garbage, and a
// collection of it takes longer than any other part of the first answer. What it returns gives the collector back what it
// had. In a process that is no function's it must not be called.
func collectLater() func(handler) handler {
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(noGarbageBelow)
	return func(next handler) handler {
		var events atomic.Int64
		return func(ctx context.Context, event json.RawMessage) (any, error) {
			if events.Add(1) == 2 {
				debug.SetMemoryLimit(limit)
				debug.SetGCPercent(percent)
			}
			return next(ctx, event)
		}
	}
}

// handler serves a function's events.
type handler = func(context.Context, json.RawMessage) (any, error)
