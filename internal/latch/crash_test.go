package latch_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// TestCrashPoints ends the process at every single call to EC2, the store and the scheduler that a script makes, once
// before the call had its effect and once after, and lets a new process go on. People press the button again when they
// got no answer. Whatever the point: what the script wants comes true, everything is off in the end, and every act on the
// way is allowed (see watch).
func TestCrashPoints(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	var mu sync.Mutex // guards the two below
	points, kinds := 0, map[string]int{}
	// What people, hands and time do. Each ends with everything off.
	scripts := map[string]struct {
		world  func(*world)
		script func(*crashing)
	}{
		"open, extend, done, and open again with the route that somebody added": {nil, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			c.vpn.AddRouteByHand(office, latch.Route{Destination: "192.168.7.0/24", Subnet: subnetA})
			c.mu.Lock()
			c.routes["192.168.7.0/24"] = false
			c.mu.Unlock()
			c.pause(2 * time.Minute)
			c.press(kim, (*latch.Keeper).Extend)
			c.press(kim, (*latch.Keeper).Done)
			c.isOff()
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			if !hasRoute(c.world, "192.168.7.0/24", subnetA) {
				c.Errorf("the learned route is lost: %+v", c.store.Now(office).Learned)
			}
			c.press(kim, (*latch.Keeper).Done)
		}},
		"all subnets, whose routes and security groups EC2 forgets": {func(w *world) {
			w.policy.All, w.vpn.ForgetGroups, w.vpn.LoseAllRoutes = true, true, true
		}, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(2)
			c.vpn.AddRouteByHand(office, latch.Route{Destination: "192.168.7.0/24", Subnet: subnetB})
			c.vpn.ApplyGroupsByHand(office, "sg-1")
			c.mu.Lock()
			c.routes["192.168.7.0/24"], c.groups, c.groupsHand = false, []latch.GroupID{"sg-1"}, time.Now()
			c.mu.Unlock()
			c.pause(4 * time.Minute)
			c.press(kim, (*latch.Keeper).Done)
			c.isOff()
			c.press(lee, (*latch.Keeper).Open)
			c.isOpen(2)
			if truth := c.vpn.Now(office); !hasRoute(c.world, "192.168.7.0/24", subnetB) || !same(truth.Groups, []latch.GroupID{"sg-1"}) {
				c.Errorf("the next opening has %v and %v, want the last one's route and security group", truth.Routes, truth.Groups)
			}
			c.press(lee, (*latch.Keeper).Done)
		}},
		"two people, whose leases end by themselves": {func(w *world) { w.policy.LeaseDefault = 6 * time.Minute }, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.pause(time.Minute)
			c.press(lee, (*latch.Keeper).Open)
			c.pause(8 * time.Minute)
		}},
		"an operator closes it, and takes that back": {nil, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			c.press(operator, (*latch.Keeper).Close)
			c.isOff()
			if h := c.store.Now(office).Hold; h == nil {
				c.Error("the order is lost")
			}
			c.press(operator, (*latch.Keeper).Release)
			if h := c.store.Now(office).Hold; h != nil {
				c.Errorf("taken back, and still %+v", *h)
			}
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			c.press(kim, (*latch.Keeper).Done)
		}},
		"break-glass under an order, and a new order ends it": {nil, func(c *crashing) {
			c.press(operator, (*latch.Keeper).Close)
			c.press(kim, breakGlass)
			c.isOpen(1)
			if l, _ := c.store.Now(office).LeaseOf(kim.Subject); !l.BreakGlass {
				c.Errorf("open with the lease %+v", l)
			}
			c.press(operator, (*latch.Keeper).Close)
			c.isOff()
		}},
		"break-glass after the hours, until its end": {func(w *world) {
			w.policy.Hours = &latch.Hours{Location: time.UTC, Close: true, Windows: []latch.Window{{Days: daily, From: 12 * 60, To: 13 * 60}}}
		}, func(c *crashing) {
			c.press(kim, breakGlass)
			c.isOpen(1)
			c.pause(9 * time.Minute)
		}},
		"a pause, whose end lets others in": {nil, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			c.press(operator, func(k *latch.Keeper, ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
				q.Why = "works"
				return k.Pause(ctx, id, q)
			})
			c.isOpen(1)
			if h := c.store.Now(office).Hold; h == nil || !h.Pause {
				c.Errorf("the pause is lost: %+v", h)
			}
			c.press(operator, (*latch.Keeper).Release)
			c.press(lee, (*latch.Keeper).Open)
			c.press(kim, (*latch.Keeper).Done)
			c.isOpen(1)
			c.press(lee, (*latch.Keeper).Done)
		}},
		"an operator extends somebody's lease, and ends it": {func(w *world) { w.policy.LeaseDefault = 5 * time.Minute }, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			c.press(operator, func(k *latch.Keeper, ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
				return k.ExtendFor(ctx, id, q, kim.Subject)
			})
			c.pause(5 * time.Minute)
			c.isOpen(1)
			c.mu.Lock()
			c.asking[kim.Subject]++
			c.mu.Unlock()
			c.press(operator, func(k *latch.Keeper, ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
				return k.EndFor(ctx, id, q, kim.Subject)
			})
		}},
		"the first subnet fails, and the second serves": {func(w *world) { w.vpn.FailSubnet(subnetA, true) }, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.pause(time.Minute)
			c.isOpen(1)
			c.press(kim, (*latch.Keeper).Done)
		}},
		"opened again while it closes": {func(w *world) { w.vpn.DisassociateTakes = 45 * time.Second }, func(c *crashing) {
			c.press(kim, (*latch.Keeper).Open)
			c.isOpen(1)
			c.press(kim, (*latch.Keeper).Done)
			c.pause(3 * time.Second)
			c.press(lee, (*latch.Keeper).Open)
			c.pause(2 * time.Minute)
			c.isOpen(1)
			c.press(lee, (*latch.Keeper).Done)
		}},
		"opened by hand, until the hours end": {func(w *world) {
			w.policy.Hours = &latch.Hours{Location: time.UTC, Close: true, Windows: []latch.Window{{Days: daily, From: 0, To: 5}}}
		}, func(c *crashing) {
			c.mu.Lock()
			c.hand = time.Now()
			c.mu.Unlock()
			a, err := c.vpn.AssociateByHand(office, subnetB)
			if err != nil {
				c.Fatal(err)
			}
			c.byHand[a.ID] = true
			c.isOpen(1)
			c.pause(3 * time.Minute)
		}},
	}
	t.Run("all", func(t *testing.T) {
		for name, s := range scripts {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				calls := crash(t, s.world, s.script, 0, false)
				reached := 0
				for at := 1; at <= len(calls) && !t.Failed(); at += crashEvery {
					for _, after := range []bool{false, true} {
						crash(t, s.world, s.script, at, after)
						reached++
					}
				}
				t.Logf("%d calls, %d crash points", len(calls), reached)
				mu.Lock()
				defer mu.Unlock()
				points += reached
				for _, call := range calls {
					kinds[call]++
				}
			})
		}
	})
	var list []string
	for _, call := range slices.Sorted(maps.Keys(kinds)) {
		list = append(list, fmt.Sprintf("%s %d", call, kinds[call]))
	}
	t.Logf("%d crash points, before and after every %s of the calls %s: each converged", points,
		map[bool]string{true: "single one", false: fmt.Sprintf("%dth", crashEvery)}[crashEvery == 1], strings.Join(list, ", "))
	for _, call := range []string{"Observe", "Associate", "Disassociate", "CreateRoute", "ApplyGroups", "Load", "Save", "Look", "SaveLook", "ClaimLook", "Append", "Arm", "Disarm"} {
		if kinds[call] == 0 {
			t.Errorf("no script calls %s", call)
		}
	}
}

// breakGlass is an opening for ten minutes, outside everything.
func breakGlass(k *latch.Keeper, ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
	q.For, q.Why, q.BreakGlass = 10*time.Minute, "break-glass", true
	return k.Open(ctx, id, q)
}

// crashing is a world whose process ends at one of its calls.
type crashing struct {
	*watch
	at    int // the call's number, from 1 on; 0 is never
	after bool

	guard sync.Mutex // guards the three below
	calls []string
	dead  bool
	died  bool

	asked int
}

// crash plays the script and returns the calls that it made. The process ends at one of them.
func crash(t *testing.T, change func(*world), script func(*crashing), at int, after bool) (calls []string) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.vpn.AssociateTakes, w.vpn.DisassociateTakes, w.vpn.RouteTakes = 25*time.Second, 15*time.Second, 5*time.Second
		if change != nil {
			change(w)
		}
		c := &crashing{watch: newWatch(w, new(tally)), at: at, after: after}
		w.vpn.Fail, w.store.Fail, w.switches.Fail = c.before, c.before, c.before
		w.vpn.Lose, w.store.Lose, w.switches.Lose = c.afterwards, c.afterwards, c.afterwards
		w.through = func(k *latch.Config) { k.VPN = watched{k.VPN, c.watch} }
		w.start()
		defer w.end()
		defer func() {
			if t.Failed() {
				t.Logf("the process died at call %d of %d, %s, after its effect: %v\n%s", at, len(c.calls), c.calls[len(c.calls)-1], after, c.story())
			}
		}()
		time.Sleep(7500 * time.Millisecond) // nobody acts in the instant of a look, nor so soon after one that none is needed
		script(c)
		c.isOff()
		c.settled()
		if c.guard.Lock(); at > 0 && !c.died {
			t.Error("the process never came to the call")
		}
		calls = c.calls
		c.guard.Unlock()
	})
	return calls
}

// before is asked before each call.
func (c *crashing) before(call string) error {
	c.guard.Lock()
	defer c.guard.Unlock()
	if c.dead {
		return latch.ErrUnavailable
	}
	// A call that is refused has no effect, and nobody is asked after it: to die then is to die before the next.
	over := c.after && c.at > 0 && len(c.calls) == c.at && !c.died
	if c.calls = append(c.calls, call); over || len(c.calls) == c.at && !c.after {
		c.dead, c.died = true, true
		return latch.ErrUnavailable
	}
	return nil
}

// afterwards is asked after each call that had its effect.
func (c *crashing) afterwards(string) error {
	c.guard.Lock()
	defer c.guard.Unlock()
	if c.at > 0 && len(c.calls) == c.at && c.after && !c.died {
		c.dead, c.died = true, true
	}
	if c.dead {
		return latch.ErrUnavailable
	}
	return nil
}

// revive puts another process into the place of one that died.
func (c *crashing) revive() {
	c.guard.Lock()
	was := c.dead
	c.guard.Unlock()
	if !was {
		return
	}
	c.end()
	c.guard.Lock()
	c.dead = false
	c.guard.Unlock()
	c.mu.Lock()
	c.changed = time.Now()
	c.mu.Unlock()
	c.say("the process died, and another is started")
	c.start()
}

func (c *crashing) pause(d time.Duration) {
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		c.revive()
	}
}

// press asks until there is an answer. Who asks again may hear that it is done already.
func (c *crashing) press(who latch.Principal, what func(*latch.Keeper, context.Context, latch.EndpointID, latch.Request) (latch.View, error)) {
	c.Helper()
	c.mu.Lock()
	c.asking[who.Subject]++
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		c.asking[who.Subject]--
		c.mu.Unlock()
	}()
	for try := range 3 {
		c.asked++
		q := latch.Request{Who: who, ID: fmt.Sprint(c.asked)}
		if who == operator {
			q.For = time.Hour
		}
		v, err := what(c.keeper, c.Context(), office, q)
		c.say("%s asks: %s (%s) %v", who.Name, v.State, v.Reason.Code, err)
		if err == nil || try > 0 && errors.Is(err, latch.ErrNoLease) {
			if err == nil {
				c.heard[q.ID] = who.Name
			}
			return
		}
		c.guard.Lock()
		died := c.died
		c.guard.Unlock()
		if !died {
			c.Fatalf("without a crash: %v", err)
		}
		c.revive()
	}
	c.Fatal("three times in vain")
}

func (c *crashing) isOpen(want int) {
	c.Helper()
	c.pause(2 * time.Minute)
	c.steady()
	if on := c.held(); len(on) != want || c.store.Now(office).Opening.ReadyAt.IsZero() {
		c.Fatalf("not open: %v %+v", on, c.store.Now(office).Opening)
	}
	if n := len(c.switches.Armed()); n != want {
		c.Errorf("%d switches for %d associations", n, want)
	}
}

func (c *crashing) isOff() {
	c.Helper()
	c.pause(2 * time.Minute)
	c.steady()
	if on := c.held(); len(on) > 0 || c.store.Now(office).Opening != nil {
		c.Fatalf("not off: %v %+v", on, c.store.Now(office).Opening)
	}
	if n := len(c.switches.Armed()); n != 0 {
		c.Errorf("%d switches are left", n)
	}
}
