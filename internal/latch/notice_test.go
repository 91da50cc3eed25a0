package latch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// channel receives messages, or fails as often as it is told.
type channel struct {
	mu    sync.Mutex // guards the rest
	began time.Time
	got   []latch.Notice
	at    []time.Duration
	takes time.Duration
	fail  int // so many tries still; -1: for ever
	with  error
}

func (c *channel) notify(_ context.Context, n latch.Notice) error {
	<-time.After(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail != 0 {
		c.fail--
		return c.with
	}
	c.got, c.at = append(c.got, n), append(c.at, time.Since(c.began))
	return nil
}

// heard is what came so far, and how long after the beginning; the beat may be sending the next.
func (c *channel) heard() ([]latch.Notice, []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got), slices.Clone(c.at)
}

// told lists what came: its kind, and how long before its end it did.
func (c *channel) told() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for i, n := range c.got {
		s := string(n.Kind)
		if n.Kind == latch.NoticeSoon {
			s += fmt.Sprintf(" %.0f", n.Until.Sub(c.began.Add(c.at[i])).Minutes())
		}
		if n.Reason != "" {
			s += " " + string(n.Reason)
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// listen makes the channel the world's.
func (c *channel) listen(w *world) { c.began, w.notify = time.Now(), c.notify }

func (w *world) wantTold(c *channel, want string) {
	w.Helper()
	if got := c.told(); got != want {
		w.Errorf("people were told %q, want %q", got, want)
	}
}

// work keeps a client busy for so long.
func (w *world) work(c latch.ConnectionID, d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Minute) {
		w.vpn.Send(c, 1<<20)
	}
}

func TestPeopleAreToldBeforeTheEnd(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		client, _ := w.vpn.Connect(office, "kim")
		w.work(client, 30*time.Minute)
		time.Sleep(time.Hour)
		w.wantTold(c, "ready, soon 15, soon 5, closed closing.lease")
		ids := map[string]bool{}
		got, _ := c.heard()
		for _, n := range got {
			ids[n.ID] = true
		}
		if len(ids) != 4 || ids[""] {
			t.Errorf("ids are %v, want four", ids)
		}
		if r := w.record(); len(r.Outbox) != 0 {
			t.Errorf("%d messages wait still", len(r.Outbox))
		}
	})
}

func TestAShortLeaseIsWarnedOfOnce(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		w.open(kim, 14*time.Minute)
		w.ready()
		time.Sleep(30 * time.Minute)
		w.wantTold(c, "ready, soon 5, closed closing.lease")
	})
}

func TestAnExtensionIsWarnedOfAgain(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		client, _ := w.vpn.Connect(office, "kim")
		time.Sleep(46 * time.Minute) // 10 minutes before the end
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		w.vpn.Disconnect(client)
		w.wantTold(c, "ready, soon 15, soon 15, soon 5, closed closing.lease")
	})
}

func TestOvertimeIsToldOnce(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		client, _ := w.vpn.Connect(office, "kim")
		w.work(client, 3*time.Hour)
		w.wantTold(c, "ready, soon 15, soon 5, overtime, soon 5, closed closing.idle")
	})
}

// TestAReceiverThatFailsFirst: the message comes once, when the receiver is back, and one that is no longer true does not.
func TestAReceiverThatFailsFirst(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		client, _ := w.vpn.Connect(office, "kim")
		time.Sleep(40 * time.Minute)
		c.mu.Lock()
		c.fail, c.with = 4, latch.ErrUnavailable
		c.mu.Unlock()
		w.work(client, 6*time.Minute)
		time.Sleep(5 * time.Minute)
		w.wantTold(c, "ready, soon 8, soon 5")
		c.mu.Lock()
		c.fail = 1
		c.mu.Unlock()
		time.Sleep(20 * time.Minute) // the lease's end, whose first message fails once more, and the end
		w.wantTold(c, "ready, soon 8, soon 5, overtime, closed closing.lease")
	})
}

func TestAMessageThatIsNoLongerTrueIsNotSent(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		w.vpn.Connect(office, "kim")
		c.mu.Lock()
		c.fail, c.with = -1, latch.ErrUnavailable
		c.mu.Unlock()
		time.Sleep(42 * time.Minute) // soon 15 waits for the receiver
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: time.Hour}); err != nil {
			t.Fatal(err)
		}
		c.mu.Lock()
		c.fail = 0
		c.mu.Unlock()
		time.Sleep(15 * time.Minute)
		w.wantTold(c, "ready")
		if n := len(w.record().Outbox); n != 0 {
			t.Errorf("%d messages wait still", n)
		}
	})
}

func TestMessagesThatCannotBeSentAreKept(t *testing.T) {
	for name, tt := range map[string]struct {
		with  error
		tries string
	}{
		"the receiver is away for hours":          {fmt.Errorf("webhook: %w", latch.ErrUnavailable), "many"},
		"the receiver says that it never will do": {latch.Never(errors.New("webhook: 404 Not Found")), "one"},
	} {
		t.Run(name, func(t *testing.T) {
			c := &channel{}
			inWorld(t, c.listen, func(w *world) {
				c.fail, c.with = -1, tt.with
				w.open(kim, time.Hour)
				w.ready()
				time.Sleep(3 * time.Hour)
				r := w.record()
				if len(r.Outbox) != 0 {
					t.Errorf("%d messages wait still", len(r.Outbox))
				}
				kinds := map[latch.NoticeKind]int{}
				for _, n := range r.DeadLetters {
					kinds[n.Kind]++
					if n.Last == "" || (tt.tries == "one") != (n.Tries == 0) {
						t.Errorf("%+v: want why, and whether it was tried again", n)
					}
				}
				if kinds[latch.NoticeClosed] != 1 {
					t.Errorf("kept are %v, want the one that says it is off", kinds)
				}
				entries, err := w.keeper.Entries(w.Context(), office, 100)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.ContainsFunc(entries, func(e latch.Entry) bool { return e.Action == "notice.lost" && e.Why != "" }) {
					t.Error("the audit does not say that a message was lost")
				}
			})
		})
	}
}

// TestManyKeepersSendOneMessage: all look in the same second.
func TestManyKeepersSendOneMessage(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		c.takes = time.Second
		for range 4 {
			defer w.stop()
			w.start()
		}
		w.open(kim, time.Hour)
		w.ready()
		time.Sleep(2 * time.Hour)
		w.wantTold(c, "ready, closed closing.unused")
	})
}

// TestYesterdaysMessageIsNotSent: the beat was away for hours, and what waited is given up, visibly.
func TestYesterdaysMessageIsNotSent(t *testing.T) {
	c := &channel{}
	inWorld(t, c.listen, func(w *world) {
		c.fail, c.with = -1, latch.ErrUnavailable
		w.open(kim, 10*time.Minute)
		w.ready()
		time.Sleep(20 * time.Minute)
		w.end()
		time.Sleep(3 * time.Hour)
		c.fail = 0
		w.start()
		time.Sleep(5 * time.Minute)
		w.wantTold(c, "")
		if n := len(w.record().DeadLetters); n == 0 {
			t.Error("nobody can see that it was lost")
		}
	})
}
