package latch

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"
)

const (
	// lookFresh is how old the last look may be before somebody who watches has it refreshed.
	lookFresh = 5 * time.Second
	// writeTries bounds how often a conditional write is tried again after somebody else was first.
	writeTries = 8
	// routeBurst and routePause pace CreateClientVpnRoute to its throttle bucket: 5 tokens, 2 more a second
	// ("Request throttling for the Amazon EC2 API", EC2 Developer Guide).
	routeBurst = 5
	routePause = 500 * time.Millisecond
	// beatWide is how many endpoints one beat keeps at the same time.
	beatWide = 8
)

// Config is what a Keeper works with. Every field is required.
type Config struct {
	VPN       VPN
	Store     Store
	Deadman   Deadman
	Endpoints map[EndpointID]Policy
	Log       *slog.Logger
}

// Keeper performs what Plan decides. Its methods may be called at any time, from any number of processes at once:
// every call it makes is safe to repeat, every write is conditional, and an error leaves behind nothing that the next
// Reconcile does not mend.
type Keeper struct{ c Config }

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
	return &Keeper{c}, errors.Join(faults...)
}

// Reconcile looks at the endpoint, plans, and takes the steps. The error joins what went wrong in single steps; the
// steps that could be taken were.
func (k *Keeper) Reconcile(ctx context.Context, id EndpointID) (Decision, error) {
	t, err := k.turn(ctx, id, Observation{})
	return t.decision, err
}

// Beat keeps every endpoint for as long as length: those in transition are looked at again whenever their decision
// asks for it. It returns early when nothing will change before its end.
func (k *Keeper) Beat(ctx context.Context, length time.Duration) error {
	end := time.Now().Add(length)
	next := make(map[EndpointID]time.Time, len(k.c.Endpoints))
	for id := range k.c.Endpoints {
		next[id] = time.Now()
	}
	var faults error
	for len(next) > 0 {
		faults = nil // what the last round could not do counts; what it made good does not
		looks := k.round(ctx, slices.Collect(maps.Keys(next)))
		clear(next)
		soonest := end
		for id, l := range looks {
			faults = errors.Join(faults, l.err)
			if !l.next.IsZero() && l.next.Before(end) {
				next[id] = l.next
				soonest = earlier(soonest, l.next)
			}
		}
		if len(next) == 0 {
			break
		}
		if err := sleep(ctx, time.Until(soonest)); err != nil {
			return errors.Join(faults, err)
		}
		for id, at := range next {
			if at.After(soonest) {
				// Not due yet; looking at it with the others costs a call or two and saves a queue.
				next[id] = soonest
			}
		}
	}
	return faults
}

type looked struct {
	next time.Time
	err  error
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
			d, err := k.Reconcile(ctx, id)
			l := looked{next: d.NextLook}
			if err != nil {
				l.err = fmt.Errorf("%s: %w", id, err)
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
	look, err := k.c.Store.Look(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("last look: %w", err)
	}
	var cause error
	if now := time.Now(); now.Sub(look.At) > lookFresh {
		mine, err := k.c.Store.ClaimLook(ctx, id, now, lookFresh)
		if err != nil {
			return View{}, fmt.Errorf("claim the look: %w", err)
		}
		if mine || look.At.IsZero() {
			fresh, err := k.observe(ctx, id)
			if err != nil {
				cause = err
			} else {
				look = fresh
			}
		}
	}
	if look.At.IsZero() {
		return View{}, cause
	}
	r, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return View{}, fmt.Errorf("wishes: %w", err)
	}
	v := k.view(look, r, p)
	v.Stale, v.Cause = cause != nil, cause
	return v, nil
}

// Open gives the person a lease, or prolongs the one they hold, and takes the first steps. The audit is written
// before anything else; without it nothing is opened. When AWS refuses to associate and nothing was there before, the
// person's lease is withdrawn and the error says what AWS said.
func (k *Keeper) Open(ctx context.Context, id EndpointID, q Request) (View, error) {
	p, err := k.policy(id)
	if err != nil {
		return View{}, err
	}
	if q.For, err = p.length(q.For); err != nil {
		return View{}, err
	}
	look, joined, err := k.joinable(ctx, id)
	if err != nil {
		return View{}, err
	}
	if !joined {
		// The endpoint's status is looked at first.
		if look, err = k.observe(ctx, id); err != nil {
			return View{}, err
		}
		if look.Status != PendingAssociate && look.Status != Available {
			return View{}, fmt.Errorf("%w: AWS reports it as %s %s", ErrNotReady, look.Status, look.StatusMessage)
		}
	}
	if err := k.audit(ctx, id, q, "open", q.For.String()); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	var clipped, extended bool
	r, err := k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		if r.Opening == nil {
			r.Opening = &Opening{ID: rand.Text(), Since: now}
		}
		l, had := r.LeaseOf(q.Who.Subject)
		extended = had && l.Until.After(now)
		if !extended {
			l = Lease{Subject: q.Who.Subject, Since: now}
		}
		l.Name, l.Why, l.Asked = q.Who.Name, q.Why, now
		var until time.Time
		until, clipped = clip(now.Add(q.For), *r.Opening, p, now)
		if until.After(l.Until) {
			l.Until = until
		}
		r.setLease(l)
		return nil
	})
	if err != nil {
		return View{}, err
	}
	if joined {
		v := k.view(look, r, q.Who)
		v.Clipped = clipped
		return v, nil
	}
	t, err := k.turn(ctx, id, look)
	if err != nil && len(holding(t.look)) == 0 && !extended {
		// Nothing opened. A wish that stays behind would open it later, when nobody expects it.
		if _, werr := k.amend(ctx, id, func(r *Record) error { r.dropLease(q.Who.Subject); return nil }); werr != nil {
			err = errors.Join(err, fmt.Errorf("withdraw the wish: %w", werr))
		}
		return View{}, err
	}
	if err != nil {
		k.c.Log.Warn("opening goes on with faults", "endpoint_id", id, "err", err)
	}
	v := k.view(t.look, t.record, q.Who)
	v.Clipped = clipped
	return v, nil
}

// joinable returns the last look when it is fresh and asks for no step: then a further person needs no call to EC2.
func (k *Keeper) joinable(ctx context.Context, id EndpointID) (Observation, bool, error) {
	look, err := k.c.Store.Look(ctx, id)
	if err != nil {
		return look, false, fmt.Errorf("last look: %w", err)
	}
	if time.Since(look.At) > lookFresh {
		return look, false, nil
	}
	r, err := k.c.Store.Load(ctx, id)
	if err != nil {
		return look, false, fmt.Errorf("wishes: %w", err)
	}
	d := Plan(look, r, k.c.Endpoints[id], time.Now())
	return look, len(d.Steps) == 0 && (d.State == StateOpening || d.State == StateOpen), nil
}

// Extend moves the end of the person's lease by q.For, at most to the longest lease from now and to the absolute
// maximum of the opening. ErrNoLease when they hold none; ErrTooLong when there is nothing left to extend.
func (k *Keeper) Extend(ctx context.Context, id EndpointID, q Request) (View, error) {
	p, err := k.policy(id)
	if err != nil {
		return View{}, err
	}
	if q.For, err = p.length(q.For); err != nil {
		return View{}, err
	}
	if err := k.audit(ctx, id, q, "extend", q.For.String()); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	var clipped bool
	_, err = k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		l, ok := r.LeaseOf(q.Who.Subject)
		if !ok || !l.Until.After(now) || r.Opening == nil {
			return ErrNoLease
		}
		wish := l.Until.Add(q.For)
		longest := now.Add(p.LeaseMax)
		var until time.Time
		until, clipped = clip(earlier(wish, longest), *r.Opening, p, now)
		clipped = clipped || wish.After(longest)
		if !until.After(l.Until) {
			return fmt.Errorf("%w: it cannot be extended past %s", ErrTooLong, l.Until.UTC().Format(time.RFC3339))
		}
		l.Until, l.Asked = until, now
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

// Done ends the person's lease; when it was the last, closing begins. ErrNoLease when they hold none. A fault in
// closing is not the person's: it is logged, and the beat tries again.
func (k *Keeper) Done(ctx context.Context, id EndpointID, q Request) (View, error) {
	if _, err := k.policy(id); err != nil {
		return View{}, err
	}
	// Without an audit nothing opens, but closing goes on.
	if err := k.audit(ctx, id, q, "done", ""); err != nil {
		k.c.Log.Error("audit entry lost", "endpoint_id", id, "action", "done", "err", err)
	}
	r, err := k.amend(ctx, id, func(r *Record) error {
		now := time.Now()
		if l, ok := r.LeaseOf(q.Who.Subject); !ok || !l.Until.After(now) {
			return ErrNoLease
		}
		r.dropLease(q.Who.Subject)
		if len(r.Live(now)) == 0 && r.Opening != nil {
			r.Opening.ClosingFor, r.Opening.LeaseEnded = ClosingDone, now
		}
		return nil
	})
	if err != nil {
		return View{}, err
	}
	if len(r.Live(time.Now())) > 0 {
		return k.View(ctx, id, q.Who)
	}
	t, err := k.turn(ctx, id, Observation{})
	if err != nil {
		k.c.Log.Error("closing is tried again by the beat", "endpoint_id", id, "err", err)
		if t.look.At.IsZero() {
			return k.View(ctx, id, q.Who)
		}
	}
	return k.view(t.look, t.record, q.Who), nil
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

// length checks how long somebody asks for; nothing means the default.
func (p Policy) length(d time.Duration) (time.Duration, error) {
	switch {
	case d == 0:
		return p.LeaseDefault, nil
	case d < 0:
		return 0, fmt.Errorf("%w: a length of time must be positive", ErrBadRequest)
	case d > p.LeaseMax:
		return 0, fmt.Errorf("%w: at most %s at a time", ErrTooLong, p.LeaseMax)
	}
	return d, nil
}

// clip cuts a lease's end to the absolute maximum of the opening it will be served by: the present one, or the next
// when that one is closing or past its maximum.
func clip(until time.Time, o Opening, p Policy, now time.Time) (time.Time, bool) {
	end := o.Since.Add(p.AbsoluteMax)
	if !now.Before(end) || o.ClosingFor != "" {
		end = now.Add(p.AbsoluteMax)
	}
	if until.After(end) {
		return end, true
	}
	return until, false
}

func (r *Record) setLease(l Lease) {
	r.dropLease(l.Subject)
	r.Leases = append(r.Leases, l)
}

func (r *Record) dropLease(s Subject) {
	r.Leases = slices.DeleteFunc(r.Leases, func(l Lease) bool { return l.Subject == s })
}

func (k *Keeper) audit(ctx context.Context, id EndpointID, q Request, action, after string) error {
	e := Entry{At: time.Now(), ID: rand.Text(), Endpoint: id, Subject: q.Who.Subject, Name: q.Who.Name, Action: action,
		Why: q.Why, After: after, Source: q.Source, Request: q.ID}
	k.c.Log.Info("wish", "endpoint_id", id, "subject", q.Who.Subject, "action", action, "for", after, "request_id", q.ID)
	return k.c.Store.Append(ctx, e)
}

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
	most := 10 * time.Millisecond << min(try, 6)
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
	decision Decision
	routes   int  // created in this pass
	noRoutes bool // EC2 wants no more of them in this pass
}

// turn makes one pass. It uses look if that is not older than what the record remembers, else looks itself.
func (k *Keeper) turn(ctx context.Context, id EndpointID, look Observation) (*turn, error) {
	t := &turn{k: k, id: id, look: look}
	var err error
	if t.policy, err = k.policy(id); err != nil {
		return t, err
	}
	if err := t.remember(ctx); err != nil {
		return t, err
	}
	t.decision = Plan(t.look, t.record, t.policy, time.Now())
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
		next, entries := Remember(t.look, r, t.policy, time.Now())
		if next.Opening != nil && next.Opening.ID == "" {
			next.Opening.ID = rand.Text()
		}
		if reflect.DeepEqual(next, r) {
			t.record = r
			return nil
		}
		t.record, err = t.k.c.Store.Save(ctx, t.id, next)
		if err == nil {
			t.journal(ctx, entries)
			return nil
		}
		if !errors.Is(err, ErrConflict) || try == writeTries {
			return fmt.Errorf("wishes: %w", err)
		}
		// Somebody else looked meanwhile: what they saw may be newer.
		t.look = Observation{}
		if err := sleep(ctx, pause(try)); err != nil {
			return err
		}
	}
}

// journal writes what the latch itself found or decided. It does not stop a closing, nor a restore under way.
func (t *turn) journal(ctx context.Context, entries []Entry) {
	for _, e := range entries {
		e.ID = rand.Text()
		t.k.c.Log.Info("latch", "endpoint_id", t.id, "action", e.Action, "reason", e.Why, "before", e.Before, "after", e.After)
		if err := t.k.c.Store.Append(ctx, e); err != nil {
			t.k.c.Log.Error("audit entry lost", "endpoint_id", t.id, "action", e.Action, "err", err)
		}
	}
}

// act takes the steps in order. A step that fails does not stop those that do not depend on it.
func (t *turn) act(ctx context.Context) error {
	var faults error
	for _, s := range t.decision.Steps {
		if err := t.step(ctx, s); err != nil {
			faults = errors.Join(faults, fmt.Errorf("%s: %w", s, err))
		}
	}
	if len(t.decision.Steps) > 0 {
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
	a, err := t.k.c.VPN.Associate(ctx, t.id, s.Subnet, s.Token)
	if err != nil {
		return errors.Join(err, t.amend(ctx, func(r *Record) {
			r.Failure = &Failure{At: time.Now(), Step: s.String(), Why: err.Error()}
		}))
	}
	t.look.Associations = append(slices.DeleteFunc(t.look.Associations, func(x Association) bool { return x.ID == a.ID }), a)
	opening, at := t.record.Opening.ID, DeadmanAt(*t.record.Opening, t.policy)
	ours := func(r *Record) bool { return r.Opening != nil && r.Opening.ID == opening }
	kept := t.amend(ctx, func(r *Record) {
		// A repeated call returns the association that is there already, and more may be known of it.
		if ours(r) && r.Opening.Associations[a.ID] == (Kept{}) {
			r.Opening.keep(a.ID, Kept{Subnet: a.Subnet})
		}
	})
	if kept == nil && !ours(&t.record) {
		return errors.Join(errors.New("the wish was withdrawn meanwhile"), t.disassociate(ctx, a.ID))
	}
	armed := t.arm(ctx, a.ID, at)
	if armed == nil {
		return kept
	}
	marked := t.amend(ctx, func(r *Record) {
		if ours(r) {
			r.Opening.SwitchFailed = true
			r.Failure = &Failure{At: time.Now(), Step: "arm " + string(a.ID), Why: armed.Error()}
		}
	})
	return errors.Join(fmt.Errorf("dead-man's switch: %w", armed), kept, marked, t.disassociate(ctx, a.ID))
}

func (t *turn) arm(ctx context.Context, id AssociationID, at time.Time) error {
	if err := t.k.c.Deadman.Arm(ctx, t.id, id, at); err != nil {
		return err
	}
	return t.amend(ctx, func(r *Record) {
		if r.Opening != nil {
			if kept, ok := r.Opening.Associations[id]; ok {
				kept.Armed = true
				r.Opening.Associations[id] = kept
			}
		}
	})
}

// route adds one route at the pace that EC2's bucket allows. Too early and throttled are no faults: the next look
// goes on with what is missing.
func (t *turn) route(ctx context.Context, r Route) error {
	if t.noRoutes {
		return nil
	}
	if t.routes++; t.routes > routeBurst {
		if err := sleep(ctx, routePause); err != nil {
			t.noRoutes = true
			return nil
		}
	}
	err := t.k.c.VPN.CreateRoute(ctx, t.id, r)
	switch {
	case errors.Is(err, ErrTooEarly):
		t.noRoutes = true
		return nil
	case errors.Is(err, ErrBusy):
		t.noRoutes = true
		t.k.c.Log.Warn("routes wait for the next look", "endpoint_id", t.id, "err", err)
		return nil
	case err != nil:
		return err
	}
	r.Origin, r.Status = OriginAddRoute, Creating
	t.look.Routes = append(t.look.Routes, r)
	return nil
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
	v := View{
		Endpoint: o.Endpoint, State: d.State, Reason: d.Reason, ObservedAt: o.At, Until: d.Reason.Until,
		Associations: present(o), Connections: active(o), Failure: r.Failure,
	}
	for _, l := range r.Live(now) {
		if l.Subject == who.Subject {
			v.Mine = l
		} else {
			v.Others++
		}
	}
	if r.Opening != nil && d.State != StateOff {
		v.Since, v.ReadyAt = r.Opening.Since, r.Opening.ReadyAt
		v.ExtendUntil = r.Opening.Since.Add(p.AbsoluteMax)
	}
	v.Steps = stages(o, r, d)
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
