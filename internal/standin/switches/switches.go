// Package switches is how a stand-in lets somebody change one of its answers while it runs: a fact that AWS's documents
// leave open, or a way to break. It knows no stand-in; each makes its own switches, and the demo's console shows them.
package switches

import (
	"sync"
	"time"
)

// Switch is one answer that can be changed. What is set lasts until the program ends.
type Switch struct {
	Name, About string // About says what on means, in one sentence
	On          func() bool
	Set         func(bool)
}

// Bool is a switch that flips *value, which mu guards.
func Bool(mu sync.Locker, name, about string, value *bool) Switch {
	return Switch{Name: name, About: about,
		On: func() bool {
			mu.Lock()
			defer mu.Unlock()
			return *value
		},
		Set: func(on bool) {
			mu.Lock()
			defer mu.Unlock()
			*value = on
		}}
}

// Clock is a clock that can be wrong. The zero value and nil are right; it may be used by several goroutines.
type Clock struct {
	mu    sync.Mutex // guards ahead
	ahead time.Duration
}

// Now is the time by this clock.
func (c *Clock) Now() time.Time {
	if c == nil {
		return time.Now()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

// Put sets the clock ahead of the right time, or behind it where ahead is negative.
func (c *Clock) Put(ahead time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead = ahead
}
