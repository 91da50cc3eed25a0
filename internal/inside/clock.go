package inside

import (
	"net/http"
	"sync"
	"time"
)

// Client sends one request; *http.Client is one, and what AWS's SDK takes.
type Client interface {
	Do(*http.Request) (*http.Response, error)
}

// Clock is a Client that compares its machine's clock with those of whoever answers. It may be used by several goroutines.
type Clock struct {
	Client

	mu    sync.Mutex // guards what follows
	ahead time.Duration
	took  time.Duration // of the call that ahead is from; 0 before the first
}

// Do implements Client. An answer says when it was made (Date, RFC 9110 section 6.6.1), also one that refuses.
func (c *Clock) Do(r *http.Request) (*http.Response, error) {
	sent := time.Now()
	answer, err := c.Client.Do(r)
	if err != nil {
		return answer, err
	}
	took := max(time.Since(sent), 1)
	date, bad := http.ParseTime(answer.Header.Get("Date"))
	if bad != nil {
		return answer, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.took == 0 || took < c.took {
		// Half of the way there, and half of the second that Date leaves out.
		c.ahead, c.took = sent.Add(took/2).Sub(date.Add(time.Second/2)), took
	}
	return answer, nil
}

// Skew is how far the clock is ahead, by the quickest answer; false when none had a date.
func (c *Clock) Skew() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead, c.took > 0
}
