package latch_test

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

var (
	histories = flag.Int("histories", defaultHistories, "how many random histories to play")
	seed      = flag.Uint64("seed", 0, "play this one history only, and print it")
)

// TestHistories plays random hours of people, clients, hands and faults, and checks after every act what the product
// promises: at most one association for a subnet; nobody with a live lease cut off; nothing left on when nobody wants
// it; no route lost. A failure names the seed that repeats it.
func TestHistories(t *testing.T) {
	if *seed != 0 {
		play(t, *seed)
		return
	}
	for i := range *histories {
		s := uint64(i + 1)
		t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("repeat it with: go test ./internal/latch -run TestHistories -seed=%d -v", s)
				}
			})
			play(t, s)
		})
	}
}

type history struct {
	*world
	rand   *rand.Rand
	log    []string
	faulty atomic.Bool // EC2, the store or the scheduler fail now and then
	people []latch.Principal
	conns  []latch.ConnectionID
	routes map[string]bool // added by a hand and not removed by one; true once the latch knew it
	well   time.Time       // when the last fault ended
	hand   time.Time       // when a hand last made or ended an association
	loose  time.Time       // since when nobody wants it open; zero while somebody does
}

// guarded is a VPN that watches whom a keeper cuts off.
type guarded struct {
	latch.VPN
	h *history
}

// Disassociate never ends what carries people while the record has a live lease and no decision to close.
func (g guarded) Disassociate(ctx context.Context, id latch.EndpointID, a latch.AssociationID) error {
	r := g.h.store.Now(id)
	k, known := kept(r, a)
	for _, x := range g.h.vpn.Now(id).Associations {
		if x.ID == a && x.Status == latch.Associated && (!known || k.Armed) && r.Opening != nil && r.Opening.ClosingFor == "" && len(r.Live(time.Now())) > 0 {
			g.h.Errorf("%s ended %s under the leases %+v\n%+v", time.Now().Format(time.TimeOnly), a, r.Leases, r.Opening)
		}
	}
	return g.VPN.Disassociate(ctx, id, a)
}

func play(t *testing.T, s uint64) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{world: newWorld(t), rand: rand.New(rand.NewPCG(s, s)), routes: map[string]bool{}}
		h.people = []latch.Principal{kim, lee, {Subject: "park", Name: "Park"}}
		h.policy.All = h.rand.IntN(3) == 0
		h.policy.AbsoluteMax, h.policy.LeaseMax, h.policy.LeaseChoices = 3*time.Hour, 3*time.Hour, []time.Duration{time.Hour}
		h.vpn.AssociateTakes = time.Duration(1+h.rand.IntN(10)) * time.Minute
		h.vpn.DisassociateTakes = time.Duration(h.rand.IntN(5)) * time.Minute
		h.vpn.DisassociatedLingers = time.Duration(h.rand.IntN(2)) * time.Minute
		h.vpn.LoseAllRoutes = h.rand.IntN(2) == 0
		// What fails is drawn from the time and the call, not from h.rand: calls come from several goroutines, and a
		// seed must repeat its history.
		draw := func(what string, n uint64) uint64 {
			sum := fnv.New64a()
			fmt.Fprint(sum, s, what, time.Now().UnixNano())
			return sum.Sum64() % n
		}
		faults := func(kind string, one uint64) func(string) error {
			return func(call string) error {
				if h.faulty.Load() && draw(kind+call, one) == 0 {
					return []error{latch.ErrBusy, latch.ErrUnavailable}[draw(call, 2)]
				}
				return nil
			}
		}
		h.vpn.Fail, h.store.Fail, h.switches.Fail = faults("fail", 4), faults("fail", 4), faults("fail", 4)
		h.vpn.Lose, h.store.Lose, h.switches.Lose = faults("lose", 8), faults("lose", 8), faults("lose", 8)
		if h.rand.IntN(2) == 0 {
			h.vpn.Lag = func() time.Duration { return time.Duration(draw("lag", uint64(15*time.Second))) }
		}
		h.over = guarded{h.vpn, h}
		h.start()
		defer h.end()
		if h.rand.IntN(3) == 0 {
			// Another process, whose beat comes at another second.
			time.Sleep(time.Duration(h.rand.IntN(int(time.Minute))))
			other := &world{T: t, vpn: h.vpn, store: h.store, switches: h.switches, policy: h.policy, over: h.over}
			other.start()
			defer other.end()
		}
		defer func() {
			if t.Failed() || *seed != 0 {
				t.Logf("seed %d:\n%s", s, strings.Join(h.log, "\n"))
			}
		}()
		for range 40 {
			time.Sleep(time.Duration(h.rand.IntN(int(12 * time.Minute))))
			if h.rand.IntN(12) == 0 {
				h.faulty.Store(!h.faulty.Load())
				h.say("faults: %v", h.faulty.Load())
				if !h.faulty.Load() {
					h.well = time.Now()
				}
			}
			if h.rand.IntN(20) == 0 {
				h.say("the process is replaced")
				h.end()
				h.start()
			}
			h.act()
			h.check()
			if t.Failed() {
				return
			}
		}
		if h.faulty.Swap(false) {
			h.well = time.Now()
		}
		h.quiet()
	})
}

func (h *history) say(format string, args ...any) {
	h.log = append(h.log, time.Now().Format(time.TimeOnly)+" "+fmt.Sprintf(format, args...))
}

// act does one thing that people, clients or operators do.
func (h *history) act() {
	who := h.people[h.rand.IntN(len(h.people))]
	q := latch.Request{Who: who, For: time.Duration(1+h.rand.IntN(180)) * time.Minute}
	ctx, cancel := context.WithTimeout(h.Context(), 20*time.Second)
	defer cancel()
	switch h.rand.IntN(15) {
	case 0, 1, 2:
		v, err := h.keeper.Open(ctx, office, q)
		h.say("%s opens for %v: %s %v", who.Name, q.For, v.State, err)
		if _, wishes := h.store.Now(office).LeaseOf(who.Subject); err == nil && !wishes && v.Reason.Code != latch.ClosingSwitch {
			h.Errorf("%s was told %s (%s), and has no lease", who.Name, v.State, v.Reason.Code)
		}
	case 3:
		_, err := h.keeper.Extend(ctx, office, q)
		h.say("%s extends by %v: %v", who.Name, q.For, err)
	case 4:
		v, err := h.keeper.Done(ctx, office, q)
		h.say("%s is done: %s %v", who.Name, v.State, err)
	case 5, 6:
		if c, err := h.vpn.Connect(office, who.Name); err == nil {
			h.conns = append(h.conns, c)
			h.say("%s connects", who.Name)
		}
	case 7, 8:
		for _, c := range h.conns {
			h.vpn.Send(c, uint64(h.rand.IntN(1<<18)))
		}
		h.say("traffic")
	case 9:
		for _, c := range h.conns {
			h.vpn.Disconnect(c)
		}
		h.conns = nil
		h.say("all disconnect")
	case 10, 11:
		h.addRoute(who)
	case 12:
		// A hand takes away a route that the latch knows.
		for _, l := range h.store.Now(office).Learned {
			if h.vpn.DeleteRouteByHand(office, l.Destination, l.Subnet) {
				delete(h.routes, l.Destination)
				h.say("%s is removed by hand", l.Destination)
				break
			}
		}
	case 13:
		subnet := h.policy.Subnets[h.rand.IntN(2)]
		held := slices.ContainsFunc(h.vpn.Now(office).Associations, func(a latch.Association) bool {
			return a.Subnet == subnet && a.Status != latch.Disassociated
		})
		if !held {
			_, err := h.vpn.AssociateByHand(office, subnet)
			h.say("%s is associated by hand: %v", subnet, err)
			h.hand = time.Now()
		}
	case 14:
		if held := h.held(); len(held) > 0 {
			h.vpn.DisassociateByHand(office, held[0].ID)
			h.say("%s is disassociated by hand", held[0].ID)
			h.hand = time.Now()
		}
	}
}

// addRoute is somebody who adds a route while the page says open.
func (h *history) addRoute(who latch.Principal) {
	v, err := h.keeper.View(h.Context(), office, who)
	if err != nil || v.State != latch.StateOpen || v.Stale || v.ReadyAt.IsZero() || len(h.held()) == 0 {
		return
	}
	a := h.held()[0]
	d := fmt.Sprintf("192.168.%d.0/24", h.rand.IntN(250))
	if _, there := h.routes[d]; there || h.vpn.AddRouteByHand(office, latch.Route{Destination: d, Subnet: a.Subnet}) != nil {
		return
	}
	h.say("%s is added by hand on %s", d, a.Subnet)
	h.routes[d] = false
	// One look after this it counts.
	time.Sleep(2*time.Minute + 30*time.Second)
	if !h.faulty.Load() && time.Since(h.well) > 5*time.Minute && len(h.held()) > 0 && h.held()[0] == a && hasRoute(h.world, d, a.Subnet) && !h.knows(d) {
		h.Errorf("%s is not learned: %+v", d, h.store.Now(office))
	}
}

func (h *history) knows(d string) bool {
	return slices.ContainsFunc(h.store.Now(office).Learned, func(l latch.Learned) bool { return l.Destination == d })
}

// check holds the invariants that hold at every moment.
func (h *history) check() {
	h.Helper()
	h.foretold()
	seen := map[latch.SubnetID]int{}
	leaving := false // a new lease waits for the end of the last opening
	for _, a := range h.vpn.Now(office).Associations {
		leaving = leaving || a.Status == latch.Disassociating
		if a.Status == latch.Associating || a.Status == latch.Associated {
			if seen[a.Subnet]++; seen[a.Subnet] > 1 {
				h.Fatalf("two associations for %s", a.Subnet)
			}
		}
	}
	// What was once learned is forgotten by a hand only, whatever fails.
	for d, known := range h.routes {
		switch now := h.knows(d); {
		case known && !now:
			h.Fatalf("%s is forgotten, and no hand removed it", d)
		case now:
			h.routes[d] = true
		}
	}
	if h.faulty.Load() || time.Since(h.well) < 3*time.Minute || time.Since(h.hand) < 3*time.Minute {
		h.loose = time.Time{}
		return
	}
	r := h.store.Now(office)
	live := r.Live(time.Now())
	if r.Opening != nil && !r.Opening.ReadyAt.IsZero() && len(live) > 0 && live[0].Since.Before(time.Now().Add(-2*time.Minute)) &&
		r.Opening.ClosingFor == "" && len(h.held()) == 0 && !leaving {
		h.Fatalf("closed under the live lease of %s until %v: %+v\nEC2: %+v", live[0].Name, live[0].Until, *r.Opening, h.vpn.Now(office))
	}
	// Wanted: a lease, or traffic within the idle time. Without either, one beat is all it may take.
	want := len(live) > 0 || (r.Opening != nil && r.Opening.ClosingFor == "" && time.Since(r.Opening.TrafficAt) < h.policy.IdleAfter+70*time.Second)
	switch {
	case want || len(h.held()) == 0:
		h.loose = time.Time{}
	case h.loose.IsZero():
		h.loose = time.Now()
	case time.Since(h.loose) > 2*time.Minute:
		h.Fatalf("open for %v though nobody wants it: %+v", time.Since(h.loose), r.Opening)
	}
	if r.Opening != nil && len(h.held()) > 0 && time.Since(r.Opening.Since) > h.policy.AbsoluteMax+latch.DeadmanSlack+time.Minute {
		h.Fatalf("open for %v, past the absolute maximum", time.Since(r.Opening.Since))
	}
	// Each has its switch, a minute after it was made.
	armed := h.switches.Armed()
	for _, a := range h.held() {
		if k, ok := kept(r, a.ID); ok && r.Opening.ClosingFor == "" && time.Since(k.MadeAt) > 2*time.Minute && armed[a.ID].IsZero() {
			h.Fatalf("%s has no dead-man's switch: %+v", a.ID, k)
		}
	}
}

// quiet lets everybody go home: it must be off in the end, with no switch left; and the next opening has every route.
func (h *history) quiet() {
	h.Helper()
	for _, c := range h.conns {
		h.vpn.Disconnect(c)
	}
	time.Sleep(3 * time.Minute) // the faults end, and what was just added is learned
	h.check()
	time.Sleep(h.policy.AbsoluteMax + time.Hour)
	if held := h.held(); len(held) > 0 {
		h.Fatalf("everybody left, and EC2 still bills %v", held)
	}
	if left := h.switches.Armed(); len(left) > 0 {
		h.Errorf("switches are left: %v", left)
	}
	if r := h.store.Now(office); r.Opening != nil || len(r.Leases) > 0 || len(r.Disarm) > 0 {
		h.Errorf("the record keeps %+v", r)
	}
	h.say("the next morning")
	h.open(kim, time.Hour)
	h.ready()
	for d, known := range h.routes {
		if known && !hasRoute(h.world, d, subnetA) && !hasRoute(h.world, d, subnetB) {
			h.Errorf("route %s is lost; learned are %v", d, h.store.Now(office).Learned)
		}
	}
}

// TestCrashPoints ends the process at every single call to EC2, the store and the scheduler, once before the call had
// its effect and once after, and lets a new process go on. People press the button again when they got no answer.
func TestCrashPoints(t *testing.T) {
	points := 0
	for _, after := range []bool{false, true} {
		// A crashed run makes calls that an undisturbed one does not; those are left out.
		for at, calls := int64(1), int64(1); at <= calls; at++ {
			reached := false
			synctest.Test(t, func(t *testing.T) {
				n := int64(0)
				if reached, n = crash(t, at, after); at == 1 || !reached {
					calls = n
				}
			})
			if t.Failed() {
				t.Fatalf("crashed at call %d, after its effect: %v", at, after)
			}
			if reached {
				points++
			}
		}
	}
	t.Logf("%d crash points, each converged", points)
	if points < 200 {
		t.Errorf("%d crash points, want the whole of open, extend, close and restore", points)
	}
}

func crash(t *testing.T, at int64, after bool) (reached bool, made int64) {
	w := newWorld(t)
	w.vpn.AssociateTakes, w.vpn.DisassociateTakes, w.vpn.RouteTakes = 25*time.Second, 15*time.Second, 5*time.Second
	var calls atomic.Int64
	var dead atomic.Bool
	die := func(effect bool) func(string) error {
		return func(string) error {
			if n := calls.Load(); !effect {
				n = calls.Add(1)
				if n == at && !after {
					dead.Store(true)
				}
			} else if n == at && after {
				dead.Store(true)
			}
			if dead.Load() {
				return latch.ErrUnavailable
			}
			return nil
		}
	}
	w.vpn.Fail, w.store.Fail, w.switches.Fail = die(false), die(false), die(false)
	w.vpn.Lose, w.store.Lose, w.switches.Lose = die(true), die(true), die(true)
	w.start()
	defer func() { w.end() }()
	revive := func() {
		if dead.Load() {
			reached = true
			w.end()
			dead.Store(false)
			w.start()
		}
	}
	pause := func(d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
			revive()
		}
	}
	press := func(what func(context.Context, latch.EndpointID, latch.Request) (latch.View, error), who latch.Principal) {
		t.Helper()
		for try := range 3 {
			_, err := what(w.Context(), office, latch.Request{Who: who, For: time.Hour})
			if err == nil || try > 0 && err != nil && strings.Contains(err.Error(), latch.ErrNoLease.Error()) {
				return
			}
			if !dead.Load() && !reached {
				t.Fatalf("without a crash: %v", err)
			}
			revive()
		}
		t.Fatal("three times in vain")
	}
	isOpen := func() {
		t.Helper()
		pause(2 * time.Minute)
		if held := w.held(); len(held) != 1 || w.store.Now(office).Opening.ReadyAt.IsZero() {
			t.Fatalf("not open: %v %+v", held, w.store.Now(office).Opening)
		}
		if n := len(w.switches.Armed()); n != 1 {
			t.Errorf("%d switches for one association", n)
		}
	}
	open := func(ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
		return w.keeper.Open(ctx, id, q)
	}
	extend := func(ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
		return w.keeper.Extend(ctx, id, q)
	}
	done := func(ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
		return w.keeper.Done(ctx, id, q)
	}

	const x = "192.168.7.0/24"
	press(open, kim)
	isOpen()
	w.vpn.AddRouteByHand(office, latch.Route{Destination: x, Subnet: subnetA})
	pause(2 * time.Minute)
	press(extend, kim)
	press(done, kim)
	pause(2 * time.Minute)
	if held := w.held(); len(held) > 0 || w.store.Now(office).Opening != nil {
		t.Fatalf("not off: %v %+v", held, w.store.Now(office).Opening)
	}
	if n := len(w.switches.Armed()); n != 0 {
		t.Errorf("%d switches are left", n)
	}
	press(open, kim)
	isOpen()
	if !hasRoute(w, x, subnetA) {
		t.Errorf("the learned route is lost: %+v", w.store.Now(office).Learned)
	}
	return reached, calls.Load()
}

func kept(r latch.Record, id latch.AssociationID) (latch.Kept, bool) {
	if r.Opening == nil {
		return latch.Kept{}, false
	}
	k, ok := r.Opening.Associations[id]
	return k, ok
}
