package access_test

import (
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
)

func TestTake(t *testing.T) {
	const every, burst = 10 * time.Second, 3
	now := time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		paid, next time.Duration // from now
		wait       time.Duration
	}{
		"nobody has taken anything → one, and its time":          {-1 << 40, every, 0},
		"the last was paid for long ago → as if there were none": {-time.Hour, every, 0},
		"two of three are taken → the third":                     {2 * every, 3 * every, 0},
		"three are taken → wait for the first to be paid for":    {3 * every, 3 * every, every},
		"three are taken, half a turn ago → wait for the rest":   {2*every + every/2, 2*every + every/2, every / 2},
		"a nanosecond too early → wait a nanosecond":             {2*every + 1, 2*every + 1, 1},
		"further ahead than anybody can be → one, put right":     {time.Hour, 3 * every, 0},
	} {
		next, wait := access.Take(now.Add(tt.paid), now, every, burst)
		if wait != tt.wait || !next.Equal(now.Add(tt.next)) {
			t.Errorf("%s: got %v and a wait of %v, want %v and %v", name, next.Sub(now), wait, tt.next, tt.wait)
		}
	}
	if next, wait := access.Take(time.Time{}, now, every, 1); wait != 0 || !next.Equal(now.Add(every)) {
		t.Errorf("the zero time: got %v, %v", next, wait)
	}
}
