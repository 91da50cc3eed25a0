package latch_test

import (
	"context"
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/latch/latchtest"
)

var (
	histories = flag.Int("histories", defaultHistories, "how many random histories to play")
	seed      = flag.Uint64("seed", 0, "play this one history only, and print it")
)

// TestHistories plays random hours of people, clients, hands, operators and faults, and looks at every act of the latch:
// see watch. A failure names the seed that repeats it.
//
// What is played: one process or two, whose beats come together or apart; processes that die before or after any call,
// and are replaced, also with another policy; clocks that are off or jump (see latchtest.Clock); calls that fail, that are
// throttled or refused, whose answers are lost, or that take time; reports that lag; an audit that cannot be written;
// associations that fail; associations, routes and security groups that somebody changes in the console; everybody at
// once; orders, hours, and policies that only observe; and, in two histories of three, break-glass, pauses, and operators who
// end and extend the leases of others. What is not: a store that loses a write which it acknowledged.
func TestHistories(t *testing.T) {
	var all tally
	if *seed != 0 {
		play(t, *seed, &all)
		return
	}
	// Thousands of short lives: a collector that waits until there is something to collect saves a quarter of the time.
	defer debug.SetGCPercent(debug.SetGCPercent(1000))
	t.Run("all", func(t *testing.T) {
		const many = 250 // in one subtest, so that a list of results stays readable
		for from := 1; from <= *histories; from += many {
			to := min(from+many-1, *histories)
			t.Run(fmt.Sprintf("seeds=%d-%d", from, to), func(t *testing.T) {
				t.Parallel()
				for s := from; s <= to && !t.Failed(); s++ {
					play(t, uint64(s), &all)
				}
			})
		}
	})
	all.report(t, *histories)
}

// tally counts why the histories closed, and of which kinds they were: what is never played is not proved.
type tally struct {
	mu sync.Mutex // guards n
	n  map[string]int
}

func (a *tally) count(what string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n == nil {
		a.n = map[string]int{}
	}
	a.n[what]++
}

func (a *tally) report(t *testing.T, histories int) {
	var list []string
	for _, what := range slices.Sorted(maps.Keys(a.n)) {
		list = append(list, fmt.Sprintf("%s %d", what, a.n[what]))
	}
	t.Logf("%d histories: %s", histories, strings.Join(list, ", "))
	if histories < 1000 || t.Failed() {
		return
	}
	for _, code := range latch.Codes {
		if strings.HasPrefix(string(code), "closing.") && a.n[string(code)] == 0 {
			t.Errorf("no history closed for %s", code)
		}
	}
	for _, what := range []string{"break-glass", "break-glass alone", "pause", "end-for", "extend-for"} {
		if a.n[what] == 0 {
			t.Errorf("no history has a %s that was granted", what)
		}
	}
}

type history struct {
	*watch
	rand      *rand.Rand
	seed      uint64
	faults    atomic.Bool // EC2, the store or the scheduler fail now and then
	mute      atomic.Bool // the audit cannot be written
	processes []*process
	people    []latch.Principal
	conns     []latch.ConnectionID
	asked     int

	drawing sync.Mutex // guards the two below
	second  int64
	drawn   map[string]uint64
}

// process is one instance of the program: it has a clock of its own, and it may die between any two calls.
type process struct {
	*world
	h     *history
	ahead atomic.Int64 // nanoseconds that its clock is ahead
	dies  atomic.Int64 // when it begins to be in danger; zero is never
	dead  atomic.Bool
}

var errDied = fmt.Errorf("%w: the process is dead", latch.ErrUnavailable)

// alive is asked before and after each call of the process. What was drawn for an instant and a call is the same again
// when the history is repeated.
func (p *process) alive(call string) bool {
	if at := p.dies.Load(); at != 0 && time.Now().UnixNano() >= at && p.h.draw("dies"+call, 6) == 0 {
		if !p.dead.Swap(true) {
			p.h.replaced(1)
		}
	}
	return !p.dead.Load()
}

func mortal[T any](p *process, call string, do func() (T, error)) (T, error) {
	var none T
	if !p.alive(call) {
		return none, errDied
	}
	v, err := do()
	alive := p.alive(call + " done")
	if *seed != 0 && call != "Observe" && call != "Load" {
		p.h.say("\t%s: %+v %v, and lives: %v", call, v, err, alive)
	}
	if !alive {
		return none, errDied
	}
	return v, err
}

func mortally(p *process, call string, do func() error) error {
	_, err := mortal(p, call, func() (struct{}, error) { return struct{}{}, do() })
	return err
}

type (
	mortalVPN struct {
		latch.VPN
		p *process
	}
	mortalStore struct {
		latch.Store
		p *process
	}
	mortalDeadman struct {
		latch.Deadman
		p *process
	}
)

func (v mortalVPN) Observe(ctx context.Context, id latch.EndpointID) (latch.Observation, error) {
	return mortal(v.p, "Observe", func() (latch.Observation, error) { return v.VPN.Observe(ctx, id) })
}

func (v mortalVPN) Associate(ctx context.Context, id latch.EndpointID, s latch.SubnetID, token string) (latch.Association, error) {
	return mortal(v.p, "Associate", func() (latch.Association, error) { return v.VPN.Associate(ctx, id, s, token) })
}

func (v mortalVPN) Disassociate(ctx context.Context, id latch.EndpointID, a latch.AssociationID) error {
	return mortally(v.p, "Disassociate", func() error { return v.VPN.Disassociate(ctx, id, a) })
}

func (v mortalVPN) CreateRoute(ctx context.Context, id latch.EndpointID, r latch.Route) error {
	return mortally(v.p, "CreateRoute", func() error { return v.VPN.CreateRoute(ctx, id, r) })
}

func (v mortalVPN) ApplyGroups(ctx context.Context, id latch.EndpointID, vpc latch.VPCID, groups []latch.GroupID) error {
	return mortally(v.p, "ApplyGroups", func() error { return v.VPN.ApplyGroups(ctx, id, vpc, groups) })
}

func (s mortalStore) Load(ctx context.Context, id latch.EndpointID) (latch.Record, error) {
	return mortal(s.p, "Load", func() (latch.Record, error) { return s.Store.Load(ctx, id) })
}

func (s mortalStore) Save(ctx context.Context, id latch.EndpointID, r latch.Record) (latch.Record, error) {
	return mortal(s.p, "Save", func() (latch.Record, error) { return s.Store.Save(ctx, id, r) })
}

func (s mortalStore) Append(ctx context.Context, e latch.Entry) error {
	return mortally(s.p, "Append", func() error { return s.Store.Append(ctx, e) })
}

func (d mortalDeadman) Arm(ctx context.Context, id latch.EndpointID, a latch.AssociationID, at time.Time) error {
	return mortally(d.p, "Arm", func() error { return d.Deadman.Arm(ctx, id, a, at) })
}

func (d mortalDeadman) Disarm(ctx context.Context, id latch.EndpointID, a latch.AssociationID) error {
	return mortally(d.p, "Disarm", func() error { return d.Deadman.Disarm(ctx, id, a) })
}

func (h *history) process(phase time.Duration) *process {
	p := &process{h: h, world: &world{T: h.T, vpn: h.vpn, store: h.store, switches: h.switches, phase: phase}}
	p.through = func(c *latch.Config) {
		c.VPN, c.Store, c.Deadman = mortalVPN{watched{c.VPN, h.watch}, p}, mortalStore{c.Store, p}, mortalDeadman{c.Deadman, p}
		if h.slip != 0 {
			clock := latchtest.Clock{Off: func() time.Duration { return time.Duration(p.ahead.Load()) }}
			c.Store, c.Deadman = clock.Store(c.Store), clock.Deadman(c.Deadman)
		}
	}
	return p
}

// begin starts the process, or replaces it by one that knows the present policy.
func (p *process) begin() {
	if p.keeper != nil {
		p.end()
	}
	dead := 0
	if p.dead.Swap(false) {
		dead = 1
	}
	p.h.replaced(-dead)
	p.dies.Store(0)
	p.policy = p.h.policy
	p.start()
}

// draw is a number below n for this word, this second, and how often it was asked in it: what fails is drawn from these
// and not from h.rand, because calls come from several goroutines, and a seed must repeat its history. It is not drawn
// from the very instant, because writers that meet wait for milliseconds that no seed knows.
func (h *history) draw(what string, n uint64) uint64 {
	h.drawing.Lock()
	defer h.drawing.Unlock()
	if now := time.Now().Unix(); now != h.second {
		h.second = now
		clear(h.drawn)
	}
	h.drawn[what]++
	word := fnv.New64a()
	word.Write([]byte(what))
	return rand.NewPCG(h.seed^uint64(h.second)<<20, word.Sum64()+h.drawn[what]).Uint64() % n
}

func (h *history) one(in int) bool { return h.rand.IntN(in) == 0 }

// between draws a time of whole minutes.
func (h *history) between(from, to int) time.Duration {
	return time.Duration(from+h.rand.IntN(to-from+1)) * time.Minute
}

func play(t *testing.T, s uint64, all *tally) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		h := &history{watch: newWatch(w, all), rand: rand.New(rand.NewPCG(s, s)), seed: s, drawn: map[string]uint64{},
			people: []latch.Principal{kim, lee, {Subject: "park", Name: "Park"}}}
		defer func() {
			switch {
			case t.Failed():
				t.Logf("repeat it with: go test ./internal/latch -run TestHistories -seed=%d -v\n%s", s, h.story())
			case *seed != 0:
				t.Log(h.story())
			}
		}()
		h.policy = h.drawPolicy()
		h.circumstances()
		for _, p := range h.processes {
			p.begin()
			defer p.end()
		}
		h.world = h.processes[0].world
		for range 16 + h.rand.IntN(12) {
			time.Sleep(time.Until(time.Now().Truncate(10 * time.Second).Add(10*time.Second + time.Duration(h.rand.IntN(int(9*time.Minute))))))
			h.fate()
			h.send(300) // keep-alives
			h.act()
			h.steady()
			h.foretold()
			if t.Failed() {
				return
			}
		}
		h.quiet()
	})
}

// lagMost is how late a report may be. The latch allows for a minute, the differences of clocks included.
const lagMost = 45 * time.Second

// longest is the longest that any policy lets an opening last.
const longest = 4 * time.Hour

// drawPolicy is what an organisation may have decided.
func (h *history) drawPolicy() latch.Policy {
	p := policy()
	p.All = h.one(3)
	p.AbsoluteMax = h.between(90, int(longest/time.Minute))
	p.LeaseMax = min(h.between(60, 240), p.AbsoluteMax)
	p.LeaseDefault = 30 * time.Minute
	p.LeaseChoices = []time.Duration{p.LeaseDefault}
	p.LookEvery = time.Duration(1+h.rand.IntN(3)) * 10 * time.Second
	p.IdleAfter, p.TrafficMax, p.UnusedAfter = h.between(15, 25), h.between(20, 60), h.between(10, 30)
	p.ByHand = []latch.ByHand{latch.Adopt, latch.Adopt, latch.Adopt, latch.Warn, latch.Close}[h.rand.IntN(5)]
	p.Observe = h.one(16)
	if h.one(4) {
		p.Groups = []latch.GroupID{"sg-9"}
	}
	if h.one(3) {
		p.Routes = append(p.Routes, latch.Route{Destination: "10.8.0.0/16"})
	}
	if h.one(5) {
		slices.Reverse(p.Subnets)
	}
	if h.one(3) {
		// Two windows a day, one of which has begun or will soon.
		today := time.Now().UTC()
		at := today.Hour()*60 + today.Minute() + 24*60 - 60 + h.rand.IntN(90)
		p.Hours = &latch.Hours{Location: time.UTC, Close: h.one(2)}
		for range 2 {
			length := 40 + h.rand.IntN(120)
			p.Hours.Windows = append(p.Hours.Windows, latch.Window{Days: daily, From: at % (24 * 60), To: (at + length) % (24 * 60)})
			at += length + 15 + h.rand.IntN(90)
		}
	}
	return p
}

// circumstances draws what AWS is like, how many processes there are, and how well their clocks go.
func (h *history) circumstances() {
	h.vpn.AssociateTakes, h.vpn.DisassociateTakes = time.Duration(30+h.rand.IntN(240))*time.Second, time.Duration(h.rand.IntN(150))*time.Second
	h.vpn.DisassociatedLingers = time.Duration(h.rand.IntN(2)) * time.Minute
	h.vpn.LoseAllRoutes, h.vpn.ForgetGroups = h.one(2), h.one(2)
	slow := h.one(5)
	failing := func(service string, one uint64, takes time.Duration) func(string) error {
		return func(call string) error {
			if slow {
				time.Sleep(time.Duration(h.draw("takes"+call, uint64(takes))))
			}
			if call == "Append" && h.mute.Load() {
				return latch.ErrUnavailable
			}
			if h.faults.Load() && h.draw(service+call, one) == 0 {
				return []error{latch.ErrBusy, latch.ErrUnavailable, latch.ErrRefused}[h.draw("kind"+call, 3)]
			}
			return nil
		}
	}
	h.vpn.Fail, h.store.Fail, h.switches.Fail = failing("fail", 4, 400*time.Millisecond), failing("fail", 4, 12*time.Millisecond), failing("fail", 4, 200*time.Millisecond)
	lost := func(call string) error {
		if h.faults.Load() && h.draw("lose"+call, 8) == 0 {
			return latch.ErrUnavailable
		}
		return nil
	}
	h.vpn.Lose, h.store.Lose, h.switches.Lose = lost, lost, lost
	if h.one(2) {
		h.vpn.Lag = func() time.Duration {
			most := 15 * time.Second
			if h.slip < 2*time.Second && h.draw("far", 8) == 0 {
				most = lagMost
			}
			return time.Duration(h.draw("lag", uint64(most)))
		}
	}
	two := h.one(3)
	h.late = slow || two
	if h.one(4) {
		// Clocks that differ by less than the latch allows for; or that jump, when nothing is under way, by less than a
		// report can be late; or, with nothing else to compare it with, one that jumps far.
		switch h.slip = 1400 * time.Millisecond; {
		case slow || h.one(2):
		case two || h.vpn.Lag != nil:
			h.slip = 20 * time.Second
		default:
			h.slip = 4 * time.Minute
		}
	}
	h.processes = append(h.processes, h.process(0))
	if two {
		h.processes = append(h.processes, h.process([]time.Duration{0, time.Duration(h.rand.IntN(int(time.Minute)))}[h.rand.IntN(2)]))
	}
	for _, p := range h.processes {
		p.ahead.Store(int64(h.askew()))
	}
	for what, is := range map[string]bool{"two processes": two, "calls that take time": slow, "late reports": h.vpn.Lag != nil, "clocks that differ": h.slip > 0, "clocks that jump": h.slip > 2*time.Second,
		"only observed": h.policy.Observe, "hours": h.policy.Hours != nil, "all subnets": h.policy.All} {
		if is {
			h.all.count(what)
		}
	}
	h.say("%d processes, clocks off by %v, slow %v, lag %v; associating takes %v, disassociating %v; EC2 loses all routes %v, groups %v\n%s",
		len(h.processes), h.slip, slow, h.vpn.Lag != nil, h.vpn.AssociateTakes, h.vpn.DisassociateTakes, h.vpn.LoseAllRoutes, h.vpn.ForgetGroups, described(h.policy))
}

// described shows the hours too.
func described(p latch.Policy) string {
	h := p.Hours
	if p.Hours = nil; h == nil {
		return fmt.Sprintf("%+v", p)
	}
	return fmt.Sprintf("%+v, hours %+v", p, *h)
}

func (h *history) askew() time.Duration {
	if h.slip == 0 {
		return 0
	}
	return time.Duration(h.rand.Int64N(int64(2*h.slip))) - h.slip
}

// fate changes what people do not decide.
func (h *history) fate() {
	if h.one(12) {
		h.disturb(!h.faults.Load())
	}
	if h.one(15) {
		h.mute.Store(!h.mute.Load())
		h.say("the audit can be written: %v", !h.mute.Load())
	}
	if h.slip > 2*time.Second && h.one(6) {
		p := h.processes[h.rand.IntN(len(h.processes))]
		synctest.Wait() // in the middle of a pass the times that it has read would jump too: see latchtest.Clock
		p.ahead.Store(int64(h.askew()))
		h.say("a clock jumps, and is ahead by %v", time.Duration(p.ahead.Load()))
	}
	for i, p := range h.processes {
		switch {
		case p.dead.Load():
			h.say("process %d has died, and another is started", i)
			h.all.count("deaths")
			p.begin()
		case h.one(14):
			p.dies.Store(time.Now().UnixNano())
			h.say("process %d will die", i)
		case h.one(25):
			h.say("process %d is replaced", i)
			p.begin()
		}
	}
	if h.one(20) {
		h.reload(h.drawPolicy())
	}
}

func (h *history) disturb(on bool) {
	h.faults.Store(on)
	h.say("faults: %v", on)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.faulty = on; !on {
		h.well = time.Now()
	}
}

// replaced is for processes that died, or that took the place of such ones.
func (h *history) replaced(dead int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead += dead
	h.changed = time.Now()
}

// reload gives every process another policy.
func (h *history) reload(p latch.Policy) {
	for _, p := range h.processes {
		p.end()
	}
	h.mu.Lock()
	for _, x := range h.processes {
		x.policy = p
	}
	h.policy, h.changed, h.groups, h.groupsKnown = p, time.Now(), nil, false
	h.mu.Unlock()
	h.say("the policy is now %s", described(p))
	for _, p := range h.processes {
		p.keeper = nil
		p.begin()
	}
}

func (h *history) handed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hand = time.Now()
}

// act does one thing that people, clients, hands or operators do.
func (h *history) act() {
	who := h.people[h.rand.IntN(len(h.people))]
	k := h.processes[h.rand.IntN(len(h.processes))].keeper
	length := min(h.between(1, 180), h.policy.LeaseMax)
	kinds := 26
	if h.seed%3 != 0 {
		kinds = 36
	}
	switch h.rand.IntN(kinds) {
	case 26, 27, 28, 29:
		h.ask(k, "break-glass", who, length, (*latch.Keeper).Open)
	case 30, 31:
		h.ask(k, "pause", operator, h.between(5, 60), (*latch.Keeper).Pause)
	case 32, 33:
		h.others(k, "end-for", who, 0, (*latch.Keeper).EndFor)
	case 34, 35:
		h.others(k, "extend-for", who, length, (*latch.Keeper).ExtendFor)
	case 0, 1, 2, 3:
		h.ask(k, "open", who, length, (*latch.Keeper).Open)
	case 4:
		h.ask(k, "extend", who, length, (*latch.Keeper).Extend)
	case 5, 6:
		h.ask(k, "done", who, length, (*latch.Keeper).Done)
	case 7:
		h.ask(k, "close", operator, h.between(5, 40), (*latch.Keeper).Close)
	case 8:
		h.ask(k, "release", operator, 0, (*latch.Keeper).Release)
	case 9:
		// Everybody at once: a moment apart, so that a seed repeats their order, and over each other where calls take time.
		var all sync.WaitGroup
		for i, who := range h.people {
			k, length, done := h.processes[i%len(h.processes)].keeper, min(h.between(1, 180), h.policy.LeaseMax), h.one(3)
			all.Go(func() {
				if time.Sleep(time.Duration(i) * time.Millisecond); done {
					h.ask(k, "done", who, 0, (*latch.Keeper).Done)
				} else {
					h.ask(k, "open", who, length, (*latch.Keeper).Open)
				}
			})
		}
		all.Wait()
	case 10, 11, 12:
		if c, err := h.vpn.Connect(office, who.Name); err == nil {
			h.conns = append(h.conns, c)
			h.say("%s connects: %s", who.Name, c)
			h.mu.Lock()
			h.since[c] = time.Now()
			h.mu.Unlock()
		}
	case 13, 14, 15:
		n := h.rand.IntN(1 << 18)
		h.send(n)
		h.say("%d bytes on %v", n, h.conns)
	case 16:
		for _, c := range h.conns {
			h.vpn.Disconnect(c)
		}
		h.conns = nil
		h.say("all disconnect")
	case 17, 18:
		h.addRoute(who)
	case 19:
		h.removeRoute()
	case 20:
		h.associate(h.policy.Subnets[h.rand.IntN(2)])
	case 21:
		if on := h.held(); len(on) > 0 {
			h.handed()
			h.vpn.DisassociateByHand(office, on[0].ID)
			h.say("%s is disassociated by hand", on[0].ID)
		}
	case 22, 23:
		h.applyGroups(who)
	case 24:
		n := 1 + h.rand.IntN(2)
		h.vpn.FailNext(n)
		h.say("the next %d associations will fail", n)
	case 25:
		h.look(k, who)
	}
}

// ask is a request of a person, who hears the truth: whoever is told yes has what they asked for.
func (h *history) ask(k *latch.Keeper, what string, who latch.Principal, length time.Duration, do func(*latch.Keeper, context.Context, latch.EndpointID, latch.Request) (latch.View, error)) {
	ctx, cancel := context.WithTimeout(h.Context(), 20*time.Second)
	defer cancel()
	h.mu.Lock()
	h.asked++
	q := latch.Request{Who: who, For: length, Why: what, ID: fmt.Sprint(what, "-", h.asked), BreakGlass: what == "break-glass"}
	if what != "extend" {
		h.asking[who.Subject]++
	}
	h.mu.Unlock()
	v, err := do(k, ctx, office, q)
	h.say("%s asks to %s for %v: %s (%s) %v", who.Name, what, length, v.State, v.Reason.Code, err)
	r := h.store.Now(office)
	h.mu.Lock()
	defer h.mu.Unlock()
	if what != "extend" {
		h.asking[who.Subject]--
	}
	if err != nil {
		return
	}
	if !h.mute.Load() && !h.faults.Load() || needsAudit(what) {
		h.heard[q.ID] = what
	}
	h.all.count(what)
	lease, wishes := r.LeaseOf(who.Subject)
	ended := r.Opening != nil && r.Opening.ClosingFor != "" || h.asking[who.Subject] > 0 || ordered(r, time.Now()) || h.hoursEnd()
	switch {
	case what == "open" && !wishes && !ended && v.State != latch.StateClosing && v.State != latch.StateOff:
		h.wrong("%s was told %s (%s), and has no lease", who.Name, v.State, v.Reason.Code)
	case what == "done" && wishes && h.asking[who.Subject] == 0:
		h.wrong("%s is done, and has a lease still", who.Name)
	case what == "break-glass" && h.asking[who.Subject] == 0 && wishes && (!lease.BreakGlass || lease.Until.After(time.Now().Add(length+h.slip))):
		h.wrong("a break-glass for %v made the lease %+v", length, lease)
	case what == "close" && !ordered(r, time.Now()) && length > h.slip:
		h.wrong("the order to close is not stored: %+v", r.Hold)
	case what == "pause" && !inForce(r, time.Now()) && length > h.slip:
		h.wrong("the pause is not stored: %+v", r.Hold)
	}
}

// needsAudit says which requests are granted only when the audit has them.
func needsAudit(what string) bool { return what != "done" && what != "close" && what != "end-for" }

// others is an operator who does something to somebody else's lease.
func (h *history) others(k *latch.Keeper, what string, whose latch.Principal, length time.Duration, do func(*latch.Keeper, context.Context, latch.EndpointID, latch.Request, latch.Subject) (latch.View, error)) {
	if what == "end-for" {
		h.mu.Lock()
		h.asking[whose.Subject]++
		h.mu.Unlock()
		defer func() {
			h.mu.Lock()
			h.asking[whose.Subject]--
			h.mu.Unlock()
		}()
	}
	before := time.Now()
	h.ask(k, what, operator, length, func(k *latch.Keeper, ctx context.Context, id latch.EndpointID, q latch.Request) (latch.View, error) {
		v, err := do(k, ctx, id, q, whose.Subject)
		if l, has := h.store.Now(id).LeaseOf(whose.Subject); err == nil && what == "end-for" && has && l.Asked.Before(before.Add(-h.slip)) {
			h.wrong("the lease of %s was ended, and is there still: %+v", whose.Name, l)
		}
		return v, err
	})
}

// look compares what a page shows with the truth.
func (h *history) look(k *latch.Keeper, who latch.Principal) {
	v, err := k.View(h.Context(), office, who)
	on := h.held()
	h.mu.Lock()
	defer h.mu.Unlock()
	if err != nil || v.Stale || !h.calm(time.Minute) || h.slip > 2*time.Second || time.Since(v.ObservedAt) > 6*time.Second {
		return
	}
	switch {
	case v.State == latch.StateOff && len(on) > 0 && !h.late && h.vpn.Lag == nil:
		h.wrong("the page says %s (%s), and EC2 bills %v", v.State, v.Reason.Code, on)
	case v.State == latch.StateOpen && len(on) == 0 && h.vpn.Lag == nil:
		h.wrong("the page says %s (%s), and nothing is associated", v.State, v.Reason.Code)
	}
}

func (h *history) send(bytes int) {
	truth := h.vpn.Now(office)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.conns {
		if !h.vpn.Send(c, uint64(bytes)) {
			continue
		}
		if uint64(bytes) >= h.policy.IdleFloor && slices.ContainsFunc(truth.Connections, func(x latch.Connection) bool { return x.ID == c && x.Status == latch.Active }) {
			h.worked[c] = time.Now()
		}
		if bytes > 1000 {
			h.sent = time.Now()
		}
	}
}

// isOpen is somebody who sees the page say open, and what is associated then.
func (h *history) isOpen(who latch.Principal) (latch.Association, bool) {
	v, err := h.keeper.View(h.Context(), office, who)
	if on := h.held(); err == nil && v.State == latch.StateOpen && !v.Stale && !v.ReadyAt.IsZero() && len(on) > 0 {
		return on[0], true
	}
	return latch.Association{}, false
}

// addRoute is somebody who adds a route while the page says open. The latch learns it within two looks.
func (h *history) addRoute(who latch.Principal) {
	a, open := h.isOpen(who)
	d := fmt.Sprintf("192.168.%d.0/24", h.rand.IntN(250))
	if _, there := h.routes[d]; !open || there || h.vpn.AddRouteByHand(office, latch.Route{Destination: d, Subnet: a.Subnet}) != nil {
		return
	}
	h.say("%s is added by hand on %s", d, a.Subnet)
	h.mu.Lock()
	h.routes[d] = false
	delete(h.removed, d)
	h.mu.Unlock()
	time.Sleep(2*time.Minute + 30*time.Second)
	r, on := h.store.Now(office), h.held()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.calm(5*time.Minute) && len(on) > 0 && on[0] == a && hasRoute(h.world, d, a.Subnet) && r.Opening != nil && !r.Opening.ReadyAt.IsZero() && !knows(r, d) {
		h.wrong("%s is not learned: %+v", d, r)
	}
}

// removeRoute is a hand that takes away a route which the latch knows.
func (h *history) removeRoute() {
	r := h.store.Now(office)
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, l := range r.Learned {
		if h.vpn.DeleteRouteByHand(office, l.Destination, l.Subnet) {
			delete(h.routes, l.Destination)
			h.removed[l.Destination] = true
			h.log = append(h.log, fmt.Sprintf("%s %s is removed by hand", time.Now().Format(time.TimeOnly), l.Destination))
			return
		}
	}
}

func (h *history) associate(subnet latch.SubnetID) {
	if slices.ContainsFunc(h.vpn.Now(office).Associations, func(a latch.Association) bool {
		return a.Subnet == subnet && a.Status != latch.Disassociated
	}) {
		return
	}
	h.handed()
	a, err := h.vpn.AssociateByHand(office, subnet)
	h.say("%s is associated by hand: %s %v", subnet, a.ID, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.byHand[a.ID] = true
}

// applyGroups is somebody who changes the security groups while the page says open. Where policy declares none, the
// latch learns them when they have stayed.
func (h *history) applyGroups(who latch.Principal) {
	a, open := h.isOpen(who)
	if !open {
		return
	}
	groups := []latch.GroupID{latch.GroupID(fmt.Sprint("sg-", 1+h.rand.IntN(4)))}
	if h.vpn.ApplyGroupsByHand(office, groups...) != nil {
		return
	}
	h.say("security groups %v are applied by hand", groups)
	h.mu.Lock()
	h.groupsHand = time.Now()
	if len(h.policy.Groups) > 0 {
		h.mu.Unlock()
		return
	}
	h.groups, h.groupsKnown = groups, false
	h.mu.Unlock()
	time.Sleep(5*time.Minute + 30*time.Second) // three looks that agree, one of which may be late
	r, truth := h.store.Now(office), h.vpn.Now(office)
	h.mu.Lock()
	defer h.mu.Unlock()
	if on := h.held(); h.calm(8*time.Minute) && h.slip < 2*time.Second && len(on) > 0 && on[0] == a && same(truth.Groups, groups) && !same(r.Groups, groups) &&
		r.Opening != nil && !r.Opening.ReadyAt.IsZero() {
		h.wrong("security groups %v are not learned: %+v", groups, r)
	}
}

// quiet lets everybody go home: it must be off in the end, with nothing left; and the next opening has every route and
// the security groups.
func (h *history) quiet() {
	h.Helper()
	h.disturb(false)
	h.mute.Store(false)
	h.vpn.FailNext(0)
	synctest.Wait()
	for _, p := range h.processes {
		if h.slip > 2*time.Second {
			p.ahead.Store(0)
		}
		if p.dies.Store(0); p.dead.Load() {
			p.begin()
		}
	}
	for _, c := range h.conns {
		h.vpn.Disconnect(c)
	}
	time.Sleep(3 * time.Minute) // what was just added is learned
	h.steady()
	if h.policy.Observe || h.policy.ByHand == latch.Warn {
		for _, a := range h.vpn.Now(office).Associations { // which nobody else would end
			h.handed()
			h.vpn.DisassociateByHand(office, a.ID)
		}
	}
	if h.one(2) {
		for _, l := range h.store.Now(office).Live(time.Now()) {
			if l.Subject != latch.ByHandSubject {
				h.ask(h.keeper, "done", latch.Principal{Subject: l.Subject, Name: l.Name}, 0, (*latch.Keeper).Done)
			}
		}
	}
	for end := time.Now().Add(h.policy.AbsoluteMax + time.Hour); time.Now().Before(end) && !h.isOff(); {
		time.Sleep(time.Minute)
	}
	time.Sleep(10 * time.Minute) // nothing opens by itself
	h.settled()
	if h.Failed() {
		return
	}
	h.say("the next morning")
	if h.policy.Observe {
		p := h.policy
		p.Observe = false
		h.reload(p)
	}
	for may := false; !may; {
		time.Sleep(10 * time.Minute)
		var until time.Time
		may, until, _ = h.policy.Hours.May(time.Now())
		may = may && (until.IsZero() || time.Until(until) > h.policy.LeaseDefault) && !inForce(h.store.Now(office), time.Now())
	}
	was := h.store.Now(office)
	h.open(kim, h.policy.LeaseDefault)
	h.ready()
	for d, known := range h.routes {
		if known && !hasRoute(h.world, d, subnetA) && !hasRoute(h.world, d, subnetB) {
			h.wrong("route %s is lost; learned are %v", d, h.store.Now(office).Learned)
		}
	}
	want := h.policy.Groups
	if len(want) == 0 {
		want = was.Groups
	}
	if h.groupsKnown && len(h.policy.Groups) == 0 && !same(want, h.groups) {
		h.wrong("security groups %v are learned, and %v were last applied", want, h.groups)
	}
	if got := h.vpn.Now(office).Groups; len(want) > 0 && !same(got, want) {
		h.wrong("the security groups are %v, want %v", got, want)
	}
}

func (h *history) isOff() bool {
	r := h.store.Now(office)
	return len(h.held()) == 0 && r.Opening == nil && len(r.Leases) == 0 && (len(r.Disarm) == 0 || h.policy.Observe) && len(r.Journal) == 0
}
