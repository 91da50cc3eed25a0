package latch

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// lookFresh is how old the last look may be before somebody who watches has it refreshed.
	lookFresh = 5 * time.Second
	// lookOld is how old it may be before it is no longer shown as the present.
	lookOld = 3 * lookFresh
	// writeTries bounds how often a conditional write is tried again after somebody else was first.
	writeTries = 40
	// routeBurst and routePause pace CreateClientVpnRoute to its throttle bucket: 5 tokens, 2 more a second
	// ("Request throttling for the Amazon EC2 API", EC2 Developer Guide).
	routeBurst = 5
	routePause = 500 * time.Millisecond
	// beatWide is how many endpoints one beat keeps at the same time.
	beatWide = 8
	// beatRest is how long after the end of one beat the next may begin; what falls due meanwhile is looked at at the end.
	beatRest = 10 * time.Second
	// holdMax is the longest that an operator may keep an endpoint closed or paused by one order.
	holdMax = 24 * time.Hour
	// withdrawFor is how long a request whose caller gave up goes on, to take its wish back.
	withdrawFor = 2 * time.Second
)

// Config is what a Keeper works with. Every field but Notify is required.
type Config struct {
	VPN       VPN
	Store     Store
	Deadman   Deadman
	Endpoints map[EndpointID]Policy
	Log       *slog.Logger
	// Notify sends one message to people who have no page open; nil: there is no such channel. An error is tried again
	// unless it is marked by Never. It must not last longer than its context.
	Notify func(ctx context.Context, n Notice) error
}

// Keeper performs what Plan decides. Its methods may be called at any time, from any number of processes at once:
// every call it makes is safe to repeat, every write is conditional, and an error leaves behind nothing that the next
// Reconcile does not mend.
type Keeper struct {
	c      Config
	routes pacer
}

// New checks c and returns a Keeper that has started nothing.
func New(c Config) (*Keeper, error) {
	if c.VPN == nil || c.Store == nil || c.Deadman == nil || c.Log == nil {
		return nil, errors.New("latch: VPN, Store, Deadman and Log are required")
	}
	if len(c.Endpoints) == 0 {
		return nil, errors.New("latch: no endpoint is configured")
	}
	var faults []error
	for id, p := range c.Endpoints {
		for _, f := range p.Check() {
			faults = append(faults, fmt.Errorf("%s: %w", id, f))
		}
	}
	return &Keeper{c: c}, errors.Join(faults...)
}

// Reconcile looks at the endpoint, plans, takes the steps, and sends the messages that are due. The error joins what went wrong in single steps; the
// steps that could be taken were.
func (k *Keeper) Reconcile(ctx context.Context, id EndpointID) (Decision, error) {
	t, err := k.reconcile(ctx, id)
	return t.decision, err
}

func (k *Keeper) reconcile(ctx context.Context, id EndpointID) (*turn, error) {
	t, err := k.turn(ctx, id, Observation{}, k.c.Endpoints[id].LookEvery)
	if t.record.Version > 0 {
		t.deliver(ctx)
	}
	return t, err
}

// Beat keeps every endpoint for as long as length: those in transition are looked at again whenever their decision
// asks for it, and at the end, so that no gap before the next beat is longer than the rest between them. It returns
// early when nothing will change before the next.
func (k *Keeper) Beat(ctx context.Context, length time.Duration) error {
	_, err := k.TalliedBeat(ctx, length)
	return err
}

// TalliedBeat is Beat, and says how it left the endpoints, in the order of their ids. It has a tally of every endpoint,
// whatever the error.
func (k *Keeper) TalliedBeat(ctx context.Context, length time.Duration) ([]Tally, error) {
	tallies := map[EndpointID]Tally{}
	err := k.beat(ctx, length, tallies)
	return slices.SortedFunc(maps.Values(tallies), func(a, b Tally) int { return cmp.Compare(a.Endpoint, b.Endpoint) }), err
}

func (k *Keeper) beat(ctx context.Context, length time.Duration, tallies map[EndpointID]Tally) error {
	end := time.Now().Add(length)
	due := slices.Collect(maps.Keys(k.c.Endpoints))
	for {
		var faults error // what the last round could not do counts; what it made good does not
		looks := k.round(ctx, due)
		due = due[:0]
		soonest := end
		for id, l := range looks {
			tallies[id] = l.tally.after(tallies[id])
			faults = errors.Join(faults, l.err)
			if !l.next.IsZero() && l.next.Before(end.Add(beatRest)) {
				// One that is not due yet is looked at with the others: that costs a call or two and saves a queue.
				due, soonest = append(due, id), earlier(soonest, l.next)
			}
		}
		if len(due) == 0 || !time.Now().Before(end) {
			return faults
		}
		if err := sleep(ctx, time.Until(soonest)); err != nil {
			return errors.Join(faults, err)
		}
	}
}

type looked struct {
	next  time.Time
	err   error
	tally Tally
}

func (k *Keeper) round(ctx context.Context, ids []EndpointID) map[EndpointID]looked {
	var (
		mu    sync.Mutex // guards looks
		looks = make(map[EndpointID]looked, len(ids))
		slots = make(chan struct{}, beatWide)
		wg    sync.WaitGroup
	)
	for _, id := range ids {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t, err := k.reconcile(ctx, id)
			l := looked{next: t.decision.NextLook, tally: t.tally(err)}
			if err != nil {
				l.err = fmt.Errorf("%s: %w", id, err)
				if l.next.IsZero() {
					l.next = time.Now().Add(k.c.Endpoints[id].LookEvery) // nothing could be decided
				}
				k.c.Log.Error("endpoint could not be kept", "endpoint_id", id, "err", err)
			}
			mu.Lock()
			looks[id] = l
			mu.Unlock()
		})
	}
	wg.Wait()
	return looks
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// View tells p what the endpoint is doing. It changes nothing at AWS; at most every five seconds one of all who watch
// refreshes the last look. When EC2 cannot be asked, the view is the last known one and says so.
func (k *Keeper) View(ctx context.Context, id EndpointID, p Principal) (View, error) {
	if _, err := k.policy(id); err != nil {
		return View{}, err
	}
	look, mine, cause, err := k.look(ctx, id)
	if err != nil {
		return View{}, err
	}
	var keeping sync.WaitGroup // while somebody waits
	if mine {
		keeping.Go(func() { k.saveLook(ctx, look) })
	}
	// After the look: a record that is older than it would take an opening by somebody else for one that nobody wants.
	r, err := k.c.Store.Load(ctx, id)
	keeping.Wait()
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	v := k.view(look, r, p)
	v.Stale, v.Cause = cause != nil, cause
	return v, nil
}

// look is the last look, refreshed by one of all who watch: if that is mine, it is not kept yet. When EC2 cannot be asked,
// it is the last known one, and cause says why.
func (k *Keeper) look(ctx context.Context, id EndpointID) (look Observation, mine bool, cause, err error) {
	if look, err = k.c.Store.Look(ctx, id); err != nil {
		return look, false, nil, fmt.Errorf("last look: %w", err)
	}
	if now := time.Now(); !within(look, lookFresh) {
		claimed, err := k.c.Store.ClaimLook(ctx, id, now, lookFresh)
		if err != nil {
			return look, false, nil, fmt.Errorf("claim the look: %w", err)
		}
		if !claimed {
			if look, cause, err = k.lookOfOthers(ctx, id, look); err != nil {
				return look, false, nil, err
			}
		}
		if claimed || look.At.IsZero() { // also who waited for another's first answer in vain
			fresh, err := k.c.VPN.Observe(ctx, id)
			if err != nil {
				cause = fmt.Errorf("observe %s: %w", id, err)
			} else {
				look, mine, cause = fresh, true, nil
			}
		}
	}
	if look.At.IsZero() {
		return look, false, nil, cause
	}
	return look, mine, cause, nil
}

// within says whether a look is of the last so long. One from the future, of a process whose clock is off, is of nobody
// knows when.
func within(look Observation, d time.Duration) bool {
	age := time.Since(look.At)
	return age <= d && age >= -skew
}

// lookOfOthers is for somebody who watches while somebody else refreshes the look. One that is really old is not
// shown as the present: it waits a moment for the other's answer, and where none comes, EC2 could not be asked.
func (k *Keeper) lookOfOthers(ctx context.Context, id EndpointID, look Observation) (_ Observation, cause, err error) {
	for range 4 {
		if within(look, lookOld) {
			return look, nil, nil
		}
		if err := sleep(ctx, 500*time.Millisecond); err != nil {
			return look, nil, err
		}
		if look, err = k.c.Store.Look(ctx, id); err != nil {
			return look, nil, fmt.Errorf("last look: %w", err)
		}
	}
	if look.At.IsZero() {
		return look, fmt.Errorf("%w: EC2 has not answered yet", ErrUnavailable), nil
	}
	return look, fmt.Errorf("%w: EC2 last answered at %s", ErrUnavailable, look.At.UTC().Format(time.RFC3339)), nil
}

// Open gives the person a lease, or prolongs the one they hold, and takes the first steps. The audit is written
// before anything else; without it nothing is opened. When AWS refuses to associate and nothing was there before, the
// person's lease is withdrawn and the error says what AWS said.
//
// A break-glass request is bound by neither hours nor orders nor the rules' longest lease, but by the policy's and by the
// absolute maximum. It takes the place of the lease that the person holds, and its end is not put off but by another one.
func (k *Keeper) Open(ctx context.Context, id EndpointID, q Request) (View, error) {
	p, err := k.policy(id)
	if err != nil {
		return View{}, err
	}
	if q.BreakGlass && q.For == 0 {
		return View{}, fmt.Errorf("%w: break-glass needs a length of time", ErrBadRequest)
	}
	if q.For, err = p.length(q); err != nil {
		return View{}, err
	}
	if p.Observe {
		return View{}, ErrObserving
	}
	if (p.ReasonRequired || q.ReasonRequired || q.BreakGlass) && q.Why == "" {
		return View{}, ErrReason
	}
	if may, _, next := p.Hours.May(time.Now()); !may && !q.BreakGlass {
		return View{}, &HoursError{next}
	}
	// It gives up so early that there is time to take the wish back: at its deadline Lambda ends the process.
	if end, ok := ctx.Deadline(); ok && time.Until(end) > 2*withdrawFor {
		early, cancel := context.WithDeadline(ctx, end.Add(-withdrawFor))
		defer cancel()
		ctx = early
	}
	was, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	look, joined, err := k.joinable(ctx, id, was)
	if err != nil {
		return View{}, err
	}
	if !joined {
		// The endpoint's status is looked at first.
		if look, err = k.lookTogether(ctx, id); err != nil {
			return View{}, err
		}
		if look.Status != PendingAssociate && look.Status != Available {
			return View{}, fmt.Errorf("%w: AWS reports it as %s %s", ErrNotReady, look.Status, look.StatusMessage)
		}
	}
	wish := Entry{Action: "open", Code: OpenLease, Before: was.leaseEnd(q.Who.Subject), After: q.For.String()}
	if h := was.held(time.Now()); q.BreakGlass {
		wish.Action, wish.Code, wish.Before = "break-glass", OpenBreakGlass, overridden(was, p, time.Now())
	} else if h != nil {
		wish.Code = h.code()
	}
	if err := k.audit(ctx, id, q, wish); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	var clipped, extended bool
	var asked time.Time
	notice := rand.Text()
	r, err := k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		if may, _, next := p.Hours.May(now); !may && !q.BreakGlass { // they ended while EC2 was asked
			return &HoursError{next}
		}
		if h := r.held(now); h == nil {
			r.Hold = nil // over; a process whose clock is behind must not think otherwise
		} else if !q.BreakGlass {
			return &HeldError{*h}
		}
		if r.Opening == nil {
			r.Opening, r.Failure = newOpening(p, now), nil
			r.Opening.ID = rand.Text()
		}
		l, had := r.LeaseOf(q.Who.Subject)
		extended = had && l.Until.After(now)
		if !extended {
			l = Lease{Subject: q.Who.Subject, Since: now}
		}
		l.Asked, asked = now, now
		var until time.Time
		until, clipped = clip(now.Add(q.For), *r.Opening, p, now, q.BreakGlass)
		if q.BreakGlass || until.After(l.Until) {
			l.endsAt(until, q.BreakGlass, now)
		}
		if l.BreakGlass == q.BreakGlass { // else the name and the reason are still those of a break-glass
			l.Name, l.Why = q.Who.Name, q.Why
		}
		r.setLease(l)
		if q.BreakGlass && k.c.Notify != nil {
			r.tell(Notice{ID: notice, Kind: NoticeBreakGlass, Endpoint: id, At: now, Until: l.Until, Who: cmp.Or(l.Name, string(l.Subject)), Words: q.Why})
		}
		return nil
	})
	if err != nil {
		// The answer may be lost and the wish stored.
		return View{}, errors.Join(err, k.withdraw(ctx, id, q.Who.Subject, asked, extended, notice))
	}
	if going(Plan(look, r, p, time.Now())) { // by itself, or by somebody who asked in the same moment
		v := k.view(look, r, q.Who)
		v.Clipped = clipped
		return v, nil
	}
	if joined {
		look = Observation{} // somebody closed it meanwhile
	}
	t, err := k.turn(ctx, id, look, 0)
	// A wish that waits for a closing to finish is as good as one that opened.
	_, waits := t.record.LeaseOf(q.Who.Subject)
	waits = waits && t.decision.State == StateClosing
	if err != nil && !extended && !waits && !t.holds() {
		return View{}, errors.Join(err, k.withdraw(ctx, id, q.Who.Subject, asked, extended, notice))
	}
	if err != nil {
		k.c.Log.Warn("opening goes on with faults", "endpoint_id", id, "err", err)
		if t.look.At.IsZero() {
			return k.View(ctx, id, q.Who)
		}
	}
	v := k.view(t.look, t.known(r), q.Who)
	v.Clipped = clipped
	return v, nil
}

// withdraw takes back the wish of a request that failed, unless the person has asked again since or held the lease
// before. Left behind it would open the endpoint later, when nobody expects it; so it is taken back even when the
// caller has given up. Nor is anybody told of it who was not yet.
func (k *Keeper) withdraw(ctx context.Context, id EndpointID, who Subject, asked time.Time, held bool, notice string) error {
	if held || asked.IsZero() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), withdrawFor)
	defer cancel()
	_, err := k.amend(ctx, id, func(r *Record) error {
		l, ok := r.LeaseOf(who)
		if !ok || !l.Asked.Equal(asked) {
			return errAsItWas
		}
		r.dropLease(who)
		r.Outbox = slices.DeleteFunc(r.Outbox, func(n Notice) bool { return n.ID == notice })
		return nil
	})
	if errors.Is(err, errAsItWas) {
		return nil
	}
	return wrap("withdraw the wish", err)
}

// holds is true when something is associated, by the look or by what others have stored since.
func (t *turn) holds() bool {
	o, _ := own(t.look, t.record)
	return len(holding(complete(o, t.record))) > 0
}

// errAsItWas is for a change that finds nothing to change.
var errAsItWas = errors.New("nothing to change")

// joinable returns the last look when it is fresh and the opening goes on without this request: then a further person
// needs no call to EC2.
func (k *Keeper) joinable(ctx context.Context, id EndpointID, r Record) (Observation, bool, error) {
	look, err := k.c.Store.Look(ctx, id)
	if err != nil {
		return look, false, fmt.Errorf("last look: %w", err)
	}
	if !within(look, lookFresh) {
		return look, false, nil
	}
	return look, going(Plan(look, r, k.c.Endpoints[id], time.Now())), nil
}

// lookTogether is a look from now on. Of many who want one in the same second one asks EC2, and the others wait for its
// answer: a crowd costs EC2 no more calls than a person.
func (k *Keeper) lookTogether(ctx context.Context, id EndpointID) (Observation, error) {
	for began := time.Now(); time.Since(began) < lookFresh; {
		mine, err := k.c.Store.ClaimLook(ctx, id, time.Now(), time.Second)
		if mine || err != nil {
			return k.observe(ctx, id)
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return Observation{}, err
		}
		look, err := k.c.Store.Look(ctx, id)
		if err != nil {
			return Observation{}, fmt.Errorf("last look: %w", err)
		}
		switch {
		case look.At.After(time.Now().Add(skew)):
			return k.observe(ctx, id) // somebody's clock is off, and who asked when cannot be told
		case !look.At.Before(began):
			return look, nil
		}
	}
	return Observation{}, fmt.Errorf("%w: EC2 does not answer to those who asked at the same time", ErrUnavailable)
}

// going is true when it is open, or opening by itself: routes are the beat's work.
func going(d Decision) bool {
	return (d.State == StateOpening || d.State == StateOpen) && !slices.ContainsFunc(d.Steps, func(s Step) bool {
		return s.Kind != StepRoute && s.Kind != StepDisarm
	})
}

// Extend moves the end of the person's lease by q.For, at most to the longest lease from now and to the absolute
// maximum of the opening. ErrNoLease when they hold none; ErrTooLong when there is nothing left to extend. A break-glass
// lease is extended where one may open, and is one like any other from then on.
func (k *Keeper) Extend(ctx context.Context, id EndpointID, q Request) (View, error) {
	return k.extend(ctx, id, q, q.Who.Subject, "extend")
}

// ExtendFor extends somebody else's lease, as Extend does one's own; that is ErrOwn here.
func (k *Keeper) ExtendFor(ctx context.Context, id EndpointID, q Request, whose Subject) (View, error) {
	if whose == q.Who.Subject {
		return View{}, ErrOwn
	}
	return k.extend(ctx, id, q, whose, "extend-for")
}

func (k *Keeper) extend(ctx context.Context, id EndpointID, q Request, whose Subject, action string) (View, error) {
	p, err := k.policy(id)
	if err != nil {
		return View{}, err
	}
	if q.BreakGlass {
		return View{}, fmt.Errorf("%w: break-glass opens; it does not extend", ErrBadRequest)
	}
	if q.For, err = p.length(q); err != nil {
		return View{}, err
	}
	if p.Observe {
		return View{}, ErrObserving
	}
	was, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	wish := Entry{Action: action, Whose: other(whose, q), Before: was.leaseEnd(whose), After: q.For.String()}
	if l, ok := was.LeaseOf(whose); ok {
		wish.Code, _ = extendable(was, l, p, time.Now())
	}
	if err := k.audit(ctx, id, q, wish); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	var clipped bool
	_, err = k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		l, ok := r.LeaseOf(whose)
		if !ok || !l.Until.After(now) || r.Opening == nil {
			return noLease(whose, q)
		}
		if _, err := extendable(*r, l, p, now); err != nil {
			return err
		}
		if q.ReasonRequired && q.Why == "" && l.Why == "" {
			return ErrReason
		}
		wish := l.Until.Add(q.For)
		longest := now.Add(p.longest(q))
		var until time.Time
		until, clipped = clip(earlier(wish, longest), *r.Opening, p, now, false)
		clipped = clipped || wish.After(longest)
		if !until.After(l.Until) {
			return fmt.Errorf("%w: it cannot be extended past %s", ErrTooLong, l.Until.UTC().Format(time.RFC3339))
		}
		l.endsAt(until, false, now)
		l.Asked = now
		r.setLease(l)
		return nil
	})
	if err != nil {
		return View{}, err
	}
	v, err := k.View(ctx, id, q.Who)
	v.Clipped = clipped
	return v, err
}

// extendable says why a lease may not be extended at now: an order, or, for one of break-glass, the hours. The error is nil
// when it may.
func extendable(r Record, l Lease, p Policy, now time.Time) (Code, error) {
	if h := r.held(now); h != nil {
		return h.code(), &HeldError{*h}
	}
	if may, _, next := p.Hours.May(now); !may && l.BreakGlass {
		return OffHours, &HoursError{next}
	}
	return OpenLease, nil
}

// Done ends the person's lease; when it was the last, closing begins. ErrNoLease when they hold none. A fault in
// closing is not the person's: it is logged, and the beat tries again.
func (k *Keeper) Done(ctx context.Context, id EndpointID, q Request) (View, error) {
	return k.finish(ctx, id, q, q.Who.Subject, "done")
}

// EndFor ends somebody else's lease, as Done does one's own; that is ErrOwn here.
func (k *Keeper) EndFor(ctx context.Context, id EndpointID, q Request, whose Subject) (View, error) {
	if whose == q.Who.Subject {
		return View{}, ErrOwn
	}
	return k.finish(ctx, id, q, whose, "end-for")
}

func (k *Keeper) finish(ctx context.Context, id EndpointID, q Request, whose Subject, action string) (View, error) {
	if _, err := k.policy(id); err != nil {
		return View{}, err
	}
	was, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	wish := Entry{Action: action, Whose: other(whose, q), Before: was.leaseEnd(whose)}
	switch others := func(l Lease) bool { return l.Subject != whose }; {
	case wish.Before == "":
	case slices.ContainsFunc(was.Live(time.Now()), others):
		wish.Code = OpenLease
	default:
		wish.Code = ClosingDone
	}
	// Without an audit nothing opens, but closing goes on.
	if err := k.audit(ctx, id, q, wish); err != nil {
		k.c.Log.Error("audit entry lost", "endpoint_id", id, "action", action, "err", err)
	}
	r, err := k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		if l, ok := r.LeaseOf(whose); !ok || !l.Until.After(now) {
			return noLease(whose, q)
		}
		r.dropLease(whose)
		if len(r.Live(now)) == 0 && r.Opening != nil {
			r.Opening.Done, r.Opening.LeaseEnded = true, now
		}
		return nil
	})
	if err != nil {
		return View{}, err
	}
	if len(r.Live(time.Now())) > 0 {
		return k.View(ctx, id, q.Who)
	}
	return k.closing(ctx, id, r, q.Who)
}

// other is whose lease a request is about, for the audit; empty when it is the asking person's.
func other(whose Subject, q Request) Subject {
	if whose == q.Who.Subject {
		return ""
	}
	return whose
}

func noLease(whose Subject, q Request) error {
	if whose == q.Who.Subject {
		return ErrNoLease
	}
	return fmt.Errorf("%w: nor does %s", ErrNoLease, whose)
}

// leaseEnd is when the subject's lease ends, for the audit; empty when there is none.
func (r Record) leaseEnd(s Subject) string {
	l, ok := r.LeaseOf(s)
	if !ok {
		return ""
	}
	return l.Until.UTC().Format(time.RFC3339)
}

// order is the order in force at now, for the audit; empty when there is none.
func (r Record) order(now time.Time) string {
	h := r.held(now)
	if h == nil {
		return ""
	}
	return fmt.Sprintf("%s until %s", h.code(), h.Until.UTC().Format(time.RFC3339))
}

// overridden is what a break-glass does not heed, for the audit. What the access rules say is not the keeper's to know.
func overridden(r Record, p Policy, now time.Time) string {
	var all []string
	if may, _, next := p.Hours.May(now); !may {
		all = append(all, fmt.Sprintf("%s until %s", OffHours, next.UTC().Format(time.RFC3339)))
	}
	if order := r.order(now); order != "" {
		all = append(all, order)
	}
	return strings.Join(all, ", ")
}

// Close ends everybody's lease by an operator's order, those of break-glass too, and keeps the endpoint closed for q.For,
// so that nobody's page opens it again at once. Closing begins; a fault in it is logged, and the beat tries again.
func (k *Keeper) Close(ctx context.Context, id EndpointID, q Request) (View, error) {
	p, err := k.policy(id)
	switch {
	case err != nil:
		return View{}, err
	case p.Observe:
		return View{}, ErrObserving
	case q.For <= 0 || q.For > holdMax:
		return View{}, fmt.Errorf("%w: an order to close lasts up to %s", ErrBadRequest, holdMax)
	}
	was, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	if err := k.audit(ctx, id, q, Entry{Action: "close", Code: ClosingHeld, Before: was.order(time.Now()), After: q.For.String()}); err != nil {
		k.c.Log.Error("audit entry lost", "endpoint_id", id, "action", "close", "err", err)
	}
	r, err := k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		r.Hold = &Hold{By: q.Who.Subject, Name: q.Who.Name, Why: q.Why, Since: now, Until: now.Add(q.For)}
		// The decision is saved with the order, so that no other order or its end undoes it before the next look.
		note := func(action, before, after string) {
			r.note(Entry{At: now, ID: rand.Text(), Endpoint: id, Action: action, Code: ClosingHeld, Why: string(ClosingHeld), Before: before, After: after})
		}
		if n := len(r.Live(now)); n > 0 {
			note("lease.lapse", fmt.Sprint(n), "0")
		}
		r.Leases = nil
		if o := r.Opening; o != nil && o.ClosingFor == "" {
			o.ClosingFor = ClosingHeld
			note("close", "", "")
		}
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return k.closing(ctx, id, r, q.Who)
}

// Pause keeps everybody from opening, joining and extending for q.For; who has a lease keeps it, and its end closes as
// ever. q.Why is the message to people. Release ends it; another order takes its place.
func (k *Keeper) Pause(ctx context.Context, id EndpointID, q Request) (View, error) {
	p, err := k.policy(id)
	switch {
	case err != nil:
		return View{}, err
	case p.Observe:
		return View{}, ErrObserving
	case q.For <= 0 || q.For > holdMax:
		return View{}, fmt.Errorf("%w: a pause lasts up to %s", ErrBadRequest, holdMax)
	case q.Why == "":
		return View{}, ErrReason
	}
	was, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	if err := k.audit(ctx, id, q, Entry{Action: "pause", Code: OffPaused, Before: was.order(time.Now()), After: q.For.String()}); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	_, err = k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		r.Hold = &Hold{By: q.Who.Subject, Name: q.Who.Name, Why: q.Why, Since: now, Until: now.Add(q.For), Pause: true}
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return k.View(ctx, id, q.Who)
}

// closing takes the first steps towards off, by the record r if it comes to none. A fault in it is not the person's: it is
// logged, and the beat tries again.
func (k *Keeper) closing(ctx context.Context, id EndpointID, r Record, who Principal) (View, error) {
	t, err := k.turn(ctx, id, Observation{}, 0)
	if err != nil {
		k.c.Log.Error("closing is tried again by the beat", "endpoint_id", id, "err", err)
		if t.look.At.IsZero() {
			return k.View(ctx, id, who)
		}
	}
	return k.view(t.look, t.known(r), who), nil
}

// Release ends an operator's order to keep the endpoint closed or paused before its time. ErrNoLease when there is none.
func (k *Keeper) Release(ctx context.Context, id EndpointID, q Request) (View, error) {
	p, err := k.policy(id)
	if err != nil {
		return View{}, err
	}
	was, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	now := time.Now()
	wish := Entry{Action: "release", Code: OffIdle, Before: was.order(now)}
	if may, _, _ := p.Hours.May(now); len(was.Live(now)) > 0 {
		wish.Code = OpenLease
	} else if !may {
		wish.Code = OffHours
	}
	if err := k.audit(ctx, id, q, wish); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	_, err = k.amend(ctx, id, func(r *Record) error {
		if r.held(time.Now()) == nil {
			return fmt.Errorf("%w: nobody keeps it closed", ErrNoLease)
		}
		r.Hold = nil
		return nil
	})
	if err != nil {
		return View{}, err
	}
	return k.View(ctx, id, q.Who)
}

// Entries returns the newest audit entries of an endpoint.
func (k *Keeper) Entries(ctx context.Context, id EndpointID, limit int) ([]Entry, error) {
	return k.c.Store.Entries(ctx, id, limit)
}

func (k *Keeper) policy(id EndpointID) (Policy, error) {
	p, ok := k.c.Endpoints[id]
	if !ok {
		return p, fmt.Errorf("endpoint %s: %w", id, ErrNotFound)
	}
	return p, nil
}

// longest is the longest lease that q may ask for. The access rules have no say in a break-glass.
func (p Policy) longest(q Request) time.Duration {
	if q.Longest <= 0 || q.BreakGlass {
		return p.LeaseMax
	}
	return min(q.Longest, p.LeaseMax)
}

// length checks how long somebody asks for; nothing means the default, as far as that is allowed.
func (p Policy) length(q Request) (time.Duration, error) {
	most := p.longest(q)
	switch {
	case q.For == 0:
		return min(p.LeaseDefault, most), nil
	case q.For < 0:
		return 0, fmt.Errorf("%w: a length of time must be positive", ErrBadRequest)
	case q.For > most:
		return 0, fmt.Errorf("%w: at most %s at a time", ErrTooLong, most)
	}
	return q.For, nil
}

// clip cuts a lease's end to the absolute maximum of the opening it will be served by, the present one or the next when
// that one is closing or past its maximum, and to the end of the hours where that closes; not to that for a break-glass.
func clip(until time.Time, o Opening, p Policy, now time.Time, glass bool) (time.Time, bool) {
	if end := limit(o, p, now, glass); until.After(end) {
		return end, true
	}
	return until, false
}

func limit(o Opening, p Policy, now time.Time, glass bool) time.Time {
	end := o.end(p)
	if !now.Before(end) || o.ClosingFor != "" {
		end = now.Add(p.AbsoluteMax)
	}
	if at := p.Hours.end(now); !at.IsZero() && !glass {
		end = earlier(end, at)
	}
	return end
}

// endsAt gives a lease another end. One whose end is moved without break-glass is one like any other from now on.
func (l *Lease) endsAt(until time.Time, glass bool, now time.Time) {
	if l.BreakGlass != glass {
		l.BreakGlass, l.Since = glass, now
	}
	l.Until = until
}

func (r *Record) setLease(l Lease) {
	r.dropLease(l.Subject)
	r.Leases = append(r.Leases, l)
}

func (r *Record) dropLease(s Subject) {
	r.Leases = slices.DeleteFunc(r.Leases, func(l Lease) bool { return l.Subject == s })
}

// audit writes a wish, of which e says what it is, into the log and into the audit.
func (k *Keeper) audit(ctx context.Context, id EndpointID, q Request, e Entry) error {
	e.At, e.ID, e.Endpoint = time.Now(), rand.Text(), id
	e.Subject, e.Issuer, e.Name, e.Why = q.Who.Subject, q.Who.Issuer, q.Who.Name, q.Why
	e.Source, e.Request = q.Source, q.ID
	k.copy(ctx, e)
	return k.c.Store.Append(ctx, e)
}

// copy writes an entry of the audit into the log, where it is even when the audit cannot be written.
func (k *Keeper) copy(ctx context.Context, e Entry) { k.c.Log.InfoContext(ctx, "audit", "audit", e) }

// amend changes the record by a conditional write, again and again until nobody else was in between. An error of
// change ends it and is returned as it is.
func (k *Keeper) amend(ctx context.Context, id EndpointID, change func(*Record) error) (Record, error) {
	for try := 0; ; try++ {
		r, err := k.c.Store.Load(ctx, id)
		if err != nil {
			return Record{}, fmt.Errorf("wishes: %w", err)
		}
		next := r.Clone()
		if err := change(&next); err != nil {
			return r, err
		}
		saved, err := k.c.Store.Save(ctx, id, next)
		if err == nil || !errors.Is(err, ErrConflict) || try == writeTries {
			return saved, wrap("wishes", err)
		}
		if err := sleep(ctx, pause(try)); err != nil {
			return Record{}, err
		}
	}
}

// pause spreads writers that met: up to 10 ms at first, doubling, so that a thousand of them get through.
func pause(try int) time.Duration {
	most := 10 * time.Millisecond << min(try, 8)
	var b [1]byte
	rand.Read(b[:])
	return most * time.Duration(b[0]) / 255
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

func (k *Keeper) observe(ctx context.Context, id EndpointID) (Observation, error) {
	o, err := k.c.VPN.Observe(ctx, id)
	if err != nil {
		return o, fmt.Errorf("observe %s: %w", id, err)
	}
	k.saveLook(ctx, o)
	return o, nil
}

// saveLook keeps the look for people who watch. Losing it costs them a refresh, nothing else.
func (k *Keeper) saveLook(ctx context.Context, o Observation) {
	if err := k.c.Store.SaveLook(ctx, o); err != nil {
		k.c.Log.Warn("last look not kept", "endpoint_id", o.Endpoint, "err", err)
	}
}

// turn is one pass of observe, remember, plan, act.
type turn struct {
	k        *Keeper
	id       EndpointID
	policy   Policy
	look     Observation
	record   Record
	at       time.Time // when record and look were put together: what was saved then is what is decided by
	decision Decision
	until    time.Time // a route that EC2's bucket lets in later than this waits for the next look
	noRoutes bool      // EC2 wants no more of them in this pass
	// halted is why nothing new is associated in this pass: the audit does not have everything yet, or a switch could not
	// be made. Nil when it may.
	halted error
	early  []SubnetID // subnets that take no route yet
	lost   int        // messages given up
}

// turn makes one pass, which may wait so long for routes. It uses look if that is not older than what the record
// remembers, else looks itself.
func (k *Keeper) turn(ctx context.Context, id EndpointID, look Observation, patience time.Duration) (*turn, error) {
	t := &turn{k: k, id: id, look: look, until: time.Now().Add(patience)}
	var err error
	if t.policy, err = k.policy(id); err != nil {
		return t, err
	}
	if err := t.remember(ctx); err != nil {
		return t, err
	}
	// Decided before the record is read again, and by the same time: whatever closes is then a decision that is saved.
	t.decision = Plan(t.look, t.record, t.policy, t.at)
	t.write(ctx)
	return t, t.act(ctx)
}

func (t *turn) remember(ctx context.Context) error {
	for try := 0; ; try++ {
		r, err := t.k.c.Store.Load(ctx, t.id)
		if err != nil {
			return fmt.Errorf("wishes: %w", err)
		}
		// An older observation says less than what is remembered; a clock that is far off is not believed.
		if old := r.LookedAt.Sub(t.look.At); t.look.At.IsZero() || (old > 0 && old < time.Minute) {
			if t.look, err = t.k.observe(ctx, t.id); err != nil {
				return err
			}
		}
		t.at = time.Now()
		next, entries := Remember(t.look, r, t.policy, t.at)
		if t.k.c.Notify == nil {
			next.Outbox = r.Outbox
		}
		for i := range next.Outbox {
			if next.Outbox[i].ID == "" {
				next.Outbox[i].ID = rand.Text()
			}
		}
		if next.Opening != nil && next.Opening.ID == "" {
			next.Opening.ID = rand.Text()
		}
		if reflect.DeepEqual(next, r) {
			t.record = r
			return nil
		}
		for i := range entries {
			entries[i].ID = rand.Text()
		}
		lost := next.note(entries...)
		saved, err := t.k.c.Store.Save(ctx, t.id, next)
		if err == nil {
			t.record = saved
			if lost > 0 {
				t.k.c.Log.Error("audit entries lost", "endpoint_id", t.id, "count", lost, "err", "the audit could not be written for too long")
			}
			for _, e := range entries {
				t.k.copy(ctx, e)
				if e.Action == "stuck" { // somebody should look
					t.k.c.Log.Error("it takes longer than it ever did", "endpoint_id", t.id, "phase", e.Why, "for", e.After)
				}
			}
			return nil
		}
		if !errors.Is(err, ErrConflict) || try == writeTries {
			return fmt.Errorf("wishes: %w", err)
		}
		if err := sleep(ctx, pause(try)); err != nil {
			return err
		}
	}
}

// known is the record of the pass, or r when it came to none.
func (t *turn) known(r Record) Record {
	if t.record.Version == 0 {
		return r
	}
	return t.record
}

// write brings the record's journal into the audit. What cannot be written stays in the record for the next pass: it
// stops no closing, nor a restore under way, but nothing new is associated meanwhile.
func (t *turn) write(ctx context.Context) {
	written := map[string]bool{}
	for _, e := range t.record.Journal {
		if err := t.k.c.Store.Append(ctx, e); err != nil {
			t.halted = fmt.Errorf("audit: %w", err)
			t.k.c.Log.Error("audit entry not written yet", "endpoint_id", t.id, "action", e.Action, "err", err)
			continue
		}
		written[e.ID] = true
	}
	if len(written) == 0 {
		return
	}
	// Lost, this write costs a repetition: the audit takes an entry that it has already.
	if err := t.amend(ctx, func(r *Record) {
		r.Journal = slices.DeleteFunc(r.Journal, func(e Entry) bool { return written[e.ID] })
	}); err != nil {
		t.k.c.Log.Warn("journal not cleared", "endpoint_id", t.id, "err", err)
	}
}

// act takes the steps in order. A step that fails does not stop those that do not depend on it.
func (t *turn) act(ctx context.Context) error {
	var faults error
	for _, s := range t.decision.Steps {
		if t.policy.Observe {
			break // decided, and said; nothing is changed
		}
		if err := t.step(ctx, s); err != nil {
			faults = errors.Join(faults, fmt.Errorf("%s: %w", s, err))
		}
	}
	if len(t.decision.Steps) > 0 && !t.policy.Observe {
		t.look.At = time.Now()
		t.k.saveLook(ctx, t.look)
		t.decision.State, t.decision.Reason = t.now()
	}
	return faults
}

// now is the state after the steps, as far as their answers tell.
func (t *turn) now() (State, Reason) {
	d := Plan(t.look, t.record, t.policy, time.Now())
	return d.State, d.Reason
}

func (t *turn) step(ctx context.Context, s Step) error {
	switch s.Kind {
	case StepAssociate:
		return t.associate(ctx, s)
	case StepArm:
		return t.arm(ctx, s.Association, s.At)
	case StepRoute:
		return t.route(ctx, s.Route)
	case StepGroups:
		return t.groups(ctx, s)
	case StepDisassociate:
		return t.disassociate(ctx, s.Association)
	case StepDisarm:
		if err := t.k.c.Deadman.Disarm(ctx, t.id, s.Association); err != nil {
			return err
		}
		return t.amend(ctx, func(r *Record) {
			r.Disarm = slices.DeleteFunc(r.Disarm, func(a AssociationID) bool { return a == s.Association })
			if r.Opening != nil {
				if kept, ok := r.Opening.Associations[s.Association]; ok {
					kept.Armed = false
					r.Opening.Associations[s.Association] = kept
				}
			}
		})
	}
	return fmt.Errorf("no such step")
}

// associate asks EC2 for a subnet and makes its dead-man's switch at once. An association whose switch cannot be made
// is ended again: nothing may be billed that nobody would stop.
func (t *turn) associate(ctx context.Context, s Step) error {
	if o := t.record.Opening; o == nil || o.ClosingFor != "" { // an earlier step of this pass read the record anew
		return errors.New("the wish was withdrawn meanwhile")
	}
	if t.halted != nil {
		return t.halted
	}
	a, err := t.k.c.VPN.Associate(ctx, t.id, s.Subnet, s.Token)
	if errors.Is(err, ErrTooEarly) {
		// Its last association is still leaving, whatever the reports say: the next look tries again.
		t.k.c.Log.Info("subnet is not free yet", "endpoint_id", t.id, "step", s.String(), "err", err)
		return nil
	}
	if err != nil {
		return errors.Join(err, t.failed(ctx, s.String(), err))
	}
	opening, at := t.record.Opening.ID, DeadmanAt(*t.record.Opening, t.policy)
	ours := func(r *Record) bool { return r.Opening != nil && r.Opening.ID == opening }
	// A token that was used up answers with what it once made: that one counts as a try.
	over := a.Status == Disassociating || a.Status == Disassociated
	keep := func(r *Record) {
		// A repeated call returns the association that is there already, and more may be known of it.
		if _, known := r.Opening.of(a.ID); ours(r) && !known {
			r.Opening.keep(a.ID, Kept{Subnet: a.Subnet, Status: a.Status, MadeAt: time.Now(), Over: over})
		}
	}
	kept := t.amend(ctx, keep)
	if over {
		return kept
	}
	t.look.Associations = append(slices.DeleteFunc(t.look.Associations, func(x Association) bool { return x.ID == a.ID }), a)
	if kept == nil && (!ours(&t.record) || t.record.Opening.ClosingFor != "") {
		return errors.Join(errors.New("the wish was withdrawn meanwhile"), t.disassociate(ctx, a.ID))
	}
	refused := t.k.c.Deadman.Arm(ctx, t.id, a.ID, at)
	if refused == nil {
		return errors.Join(kept, t.armed(ctx, a.ID))
	}
	return errors.Join(kept, t.unarmed(ctx, opening, a.ID, refused, keep))
}

// unarmed ends an association whose switch could not be made. Others that have theirs stay, and so do the people on
// them. Keep adds the association to the record: the switch may have been made, and must be found again.
func (t *turn) unarmed(ctx context.Context, opening string, id AssociationID, refused error, keep func(*Record)) error {
	refused = fmt.Errorf("dead-man's switch: %w", refused)
	t.halted = refused
	entry := Entry{At: time.Now(), ID: rand.Text(), Endpoint: t.id, Action: "arm.failed", Code: ClosingSwitch, Why: refused.Error(), Before: string(id)}
	t.k.copy(ctx, entry)
	t.k.c.Log.Error("dead-man's switch not made", "endpoint_id", t.id, "association_id", id, "err", refused)
	marked := t.amend(ctx, func(r *Record) {
		r.note(entry)
		if r.Opening == nil || r.Opening.ID != opening {
			return
		}
		keep(r)
		r.Failure = &Failure{At: time.Now(), Step: "arm " + string(id), Why: refused.Error()}
		for other, k := range r.Opening.Associations {
			if other != id && k.Armed && !k.Over {
				return
			}
		}
		if r.Opening.ClosingFor == "" { // else what is wished now waits for the next opening
			r.Leases, r.Opening.ClosingFor = nil, ClosingSwitch
		}
	})
	t.write(ctx)
	return errors.Join(refused, marked, t.disassociate(ctx, id))
}

func (o *Opening) of(id AssociationID) (Kept, bool) {
	if o == nil {
		return Kept{}, false
	}
	k, ok := o.Associations[id]
	return k, ok
}

// failed keeps what AWS said for the people who ask why.
func (t *turn) failed(ctx context.Context, step string, err error) error {
	return t.amend(ctx, func(r *Record) { r.Failure = &Failure{At: time.Now(), Step: step, Why: err.Error()} })
}

// arm makes a switch that is missing: of what a hand associated, or a process that died before it came to it. Refused,
// it ends what nobody can work over yet; what people may be working over stays, and the next look tries again.
func (t *turn) arm(ctx context.Context, id AssociationID, at time.Time) error {
	err := t.k.c.Deadman.Arm(ctx, t.id, id, at)
	if o := t.record.Opening; errors.Is(err, ErrRefused) && o != nil && !o.Adopted && o.ReadyAt.IsZero() {
		return t.unarmed(ctx, o.ID, id, err, func(*Record) {})
	}
	if err != nil {
		return err
	}
	return t.armed(ctx, id)
}

func (t *turn) armed(ctx context.Context, id AssociationID) error {
	return t.amend(ctx, func(r *Record) {
		if kept, ok := r.Opening.of(id); ok {
			kept.Armed = true
			r.Opening.Associations[id] = kept
		} else if slices.Contains(r.Ended, id) && !slices.Contains(r.Disarm, id) {
			r.Disarm = append(r.Disarm, id) // it ended while the switch was made, and whoever ended it has looked for one already
		}
	})
}

// route adds one route at the pace that EC2's bucket allows. Too early and throttled are no faults: the next look
// goes on with what is missing.
func (t *turn) route(ctx context.Context, r Route) error {
	if t.noRoutes || slices.Contains(t.early, r.Subnet) {
		return nil
	}
	if !t.k.routes.take(ctx, time.Until(t.until)) {
		t.noRoutes = true
		return nil
	}
	err := t.k.c.VPN.CreateRoute(ctx, t.id, r)
	switch {
	case errors.Is(err, ErrTooEarly):
		t.early = append(t.early, r.Subnet)
		return nil
	case errors.Is(err, ErrBusy):
		t.noRoutes = true
		t.k.c.Log.Warn("routes wait for the next look", "endpoint_id", t.id, "err", err)
		return nil
	case err != nil:
		return errors.Join(err, t.failed(ctx, "route "+r.Destination, err))
	}
	r.Origin, r.Status = OriginAddRoute, Creating
	t.look.Routes = append(t.look.Routes, r)
	return nil
}

// groups applies the security groups. Too early is no fault: the next look tries again.
func (t *turn) groups(ctx context.Context, s Step) error {
	err := t.k.c.VPN.ApplyGroups(ctx, t.id, s.VPC, s.Groups)
	switch {
	case errors.Is(err, ErrTooEarly):
		return nil
	case err != nil:
		return errors.Join(err, t.failed(ctx, s.String(), err))
	}
	t.look.Groups = s.Groups
	return nil
}

// pacer spreads CreateClientVpnRoute as EC2's throttle bucket does: routeBurst at once, then one each routePause. The
// bucket is the Region's, so all endpoints of a Keeper share one.
type pacer struct {
	mu   sync.Mutex // guards full
	full time.Time  // when the bucket is full again
}

// take waits for a token. When that would last longer than patience it takes none and says so.
func (b *pacer) take(ctx context.Context, patience time.Duration) bool {
	b.mu.Lock()
	now := time.Now()
	full := b.full
	if full.Before(now) {
		full = now
	}
	wait := full.Sub(now) - (routeBurst-1)*routePause
	if wait > max(patience, 0) {
		b.mu.Unlock()
		return false
	}
	b.full = full.Add(routePause)
	b.mu.Unlock()
	return sleep(ctx, wait) == nil
}

func (t *turn) disassociate(ctx context.Context, id AssociationID) error {
	if err := t.k.c.VPN.Disassociate(ctx, t.id, id); err != nil {
		return err
	}
	for i := range t.look.Associations {
		if t.look.Associations[i].ID == id {
			t.look.Associations[i].Status = Disassociating
		}
	}
	return nil
}

// amend changes the record in the middle of a pass and goes on with what was stored.
func (t *turn) amend(ctx context.Context, change func(*Record)) error {
	r, err := t.k.amend(ctx, t.id, func(r *Record) error { change(r); return nil })
	if err == nil {
		t.record = r
	}
	return err
}

// view computes what the person sees.
func (k *Keeper) view(o Observation, r Record, who Principal) View {
	p, now := k.c.Endpoints[o.Endpoint], time.Now()
	d := Plan(o, r, p, now)
	o, _ = own(o, r)
	o = complete(o, r)
	v := View{
		Endpoint: o.Endpoint, State: d.State, Reason: d.Reason, ObservedAt: o.At,
		Associations: present(o), Connections: active(o), Failure: r.Failure,
	}
	if d.State != StateOff {
		v.Until = d.Reason.Until
		for _, w := range p.Warn {
			v.Soon = v.Soon || d.State != StateOpening && !v.Until.IsZero() && v.Until.Sub(now) <= w
		}
	}
	if may, _, next := p.Hours.May(now); !may {
		v.OpenFrom = next
	}
	if h := r.held(now); h != nil && h.Until.After(v.OpenFrom) {
		v.OpenFrom = h.Until
	}
	v.Observed, v.Hold = p.Observe, r.held(now)
	for _, l := range r.Live(now) {
		if l.Subject == who.Subject {
			v.Mine = l
		} else {
			v.Others++
		}
	}
	if r.Opening != nil && d.State != StateOff {
		v.Since, v.ReadyAt = r.Opening.Since, r.Opening.ReadyAt
		v.ExtendUntil = earlier(limit(*r.Opening, p, now, false), now.Add(p.LeaseMax))
		if _, err := extendable(r, v.Mine, p, now); err != nil && !v.Mine.Until.IsZero() {
			v.ExtendUntil = v.Mine.Until
		}
	}
	v.Steps = stages(o, r, d)
	if d.State == StateOpening || d.State == StateClosing {
		v.Progress = progress(o, r, p, now)
	}
	if d.State == StateOff {
		v.Usual = usual(r, p, now)
	}
	v.LookAgain = lookAgain(d, p, now)
	return v
}

// stages are the steps of opening; all are done when it is open.
func stages(o Observation, r Record, d Decision) []Stage {
	if d.State == StateOff || d.State == StateUnusable || r.Opening == nil {
		return nil
	}
	associated := 0
	for _, a := range o.Associations {
		if a.Status == Associated {
			associated++
		}
	}
	held := len(holding(o))
	connected := held > 0 && associated == held
	routed := connected && d.Done == d.Total
	return []Stage{
		{Name: StageAccepted, Done: true},
		{Name: StageAssociate, Done: connected, Ready: associated, Total: max(held, 1)},
		{Name: StageRoutes, Done: routed, Ready: d.Done, Total: d.Total},
		{Name: StageReady, Done: d.State == StateOpen},
	}
}

// lookAgain paces pages that watch: quick while something changes, slow at rest, never faster than looks are refreshed
// twice over.
func lookAgain(d Decision, p Policy, now time.Time) time.Duration {
	switch d.State {
	case StateOpening, StateClosing, StateDegraded:
		return max(2*time.Second, p.LookEvery/2)
	case StateOpen:
		if !d.Reason.Until.IsZero() && d.Reason.Until.Sub(now) < 5*time.Minute {
			return max(2*time.Second, p.LookEvery)
		}
		return 30 * time.Second
	}
	return time.Minute
}
