package latch_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

var (
	histories = flag.Int("histories", 300, "how many random histories to play")
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
		if s := uint64(i + 1); !t.Run(fmt.Sprintf("seed=%d", s), func(t *testing.T) { play(t, s) }) {
			t.Fatalf("repeat it with: go test ./internal/latch -run TestHistories -seed=%d -v", s)
		}
	}
}

type history struct {
	*world
	rand   *rand.Rand
	log    []string
	faulty bool // EC2, the store or the scheduler fail now and then
	people []latch.Principal
	conns  []latch.ConnectionID
	routes map[string]bool // that a person added and nobody removed
	well   time.Time       // when the last fault ended
	loose  time.Time       // since when nobody wants it open; zero while somebody does
}

func play(t *testing.T, s uint64) {
	synctest.Test(t, func(t *testing.T) {
		h := &history{world: newWorld(t), rand: rand.New(rand.NewPCG(s, s)), routes: map[string]bool{}}
		h.people = []latch.Principal{kim, lee, {Subject: "park", Name: "Park"}}
		h.policy.All = h.rand.IntN(3) == 0
		h.vpn.AssociateTakes = time.Duration(1+h.rand.IntN(10)) * time.Minute
		h.vpn.DisassociateTakes = time.Duration(1+h.rand.IntN(5)) * time.Minute
		h.vpn.LoseAllRoutes = h.rand.IntN(2) == 0
		// The faults have a source of their own: they are asked from several goroutines.
		var faults chan bool
		faults = make(chan bool, 1)
		faults <- false
		fails := func(string) error {
			f := <-faults
			defer func() { faults <- f }()
			if f && time.Now().UnixNano()%3 == 0 {
				return []error{latch.ErrBusy, latch.ErrUnavailable}[time.Now().UnixNano()%2]
			}
			return nil
		}
		h.vpn.Fail, h.vpn.Lose, h.store.Fail = fails, fails, fails
		h.start()
		defer h.end()
		defer func() {
			if t.Failed() || *seed != 0 {
				t.Logf("seed %d:\n%s", s, strings.Join(h.log, "\n"))
			}
		}()
		for range 60 {
			time.Sleep(time.Duration(h.rand.IntN(int(12 * time.Minute))))
			if h.rand.IntN(12) == 0 {
				h.faulty = !h.faulty
				<-faults
				faults <- h.faulty
				h.say("faults: %v", h.faulty)
				if !h.faulty {
					h.well = time.Now()
				}
			}
			h.act()
			h.check()
			if t.Failed() {
				return
			}
		}
		<-faults
		faults <- false
		h.faulty, h.well = false, time.Now()
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
	switch h.rand.IntN(12) {
	case 0, 1, 2:
		v, err := h.keeper.Open(ctx, office, q)
		h.say("%s opens for %v: %s %v", who.Name, q.For, v.State, err)
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
	case 10:
		// Somebody adds a route while the page says open.
		if v, err := h.keeper.View(ctx, office, who); err == nil && v.State == latch.StateOpen && !v.Stale {
			a := h.held()[0]
			d := fmt.Sprintf("192.168.%d.0/24", h.rand.IntN(200))
			if h.vpn.AddRouteByHand(office, latch.Route{Destination: d, Subnet: a.Subnet}) == nil {
				h.say("%s is added by hand on %s", d, a.Subnet)
				// It counts once the latch has had a beat to see it.
				time.Sleep(2*time.Minute + 10*time.Second)
				if len(h.held()) > 0 && h.held()[0].ID == a.ID && !h.faulty && time.Since(h.well) > 5*time.Minute {
					h.routes[d] = true
				}
			}
		}
	case 11:
		h.say("nothing")
	}
}

// check holds the invariants that hold at every moment.
func (h *history) check() {
	h.Helper()
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
	if h.faulty || time.Since(h.well) < 2*time.Minute {
		h.loose = time.Time{}
		return
	}
	r := h.record()
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
}

// quiet lets everybody go home: it must be off in the end, with no switch left; and the next opening has every route.
func (h *history) quiet() {
	h.Helper()
	for _, c := range h.conns {
		h.vpn.Disconnect(c)
	}
	time.Sleep(h.policy.AbsoluteMax + time.Hour)
	if held := h.held(); len(held) > 0 {
		h.Fatalf("everybody left, and EC2 still bills %v", held)
	}
	if left := h.switches.Armed(); len(left) > 0 {
		h.Errorf("switches are left: %v", left)
	}
	h.say("the next morning")
	h.open(kim, time.Hour)
	h.ready()
	for d := range h.routes {
		found := false
		for _, s := range []latch.SubnetID{subnetA, subnetB} {
			found = found || hasRoute(h.world, d, s)
		}
		if !found {
			h.Errorf("route %s is lost; learned are %v", d, h.record().Learned)
		}
	}
}
