package main

const (
	keeper = "internal/latch/keeper.go"
	plan   = "internal/latch/plan.go"
	hours  = "internal/latch/hours.go"
	store  = "internal/store/store.go"
)

// mutants are the guards, each named by what happens without it.
var mutants = []mutant{
	// Who is cut off, and who is not.
	{"one live lease does not keep it open", plan,
		`if live := r.Live(now); len(live) > 0 {`, `if live := r.Live(now); len(live) > 1 {`},
	{"whoever ends their lease ends everybody's", keeper,
		`func(l Lease) bool { return l.Subject == s })
}

// audit`, `func(l Lease) bool { return true })
}

// audit`},
	{"what closes is decided after the decision was saved", keeper,
		`Plan(t.look, t.record, t.policy, t.at)`, `Plan(t.look, t.record, t.policy, time.Now().Add(100*time.Millisecond))`},
	{"what closes is decided by a record that is read again", keeper,
		`	t.decision = Plan(t.look, t.record, t.policy, t.at)
	t.write(ctx)
`, `	t.write(ctx)
	t.decision = Plan(t.look, t.record, t.policy, t.at)
`},
	{"the decision to close does not stand", plan,
		`	case o.ClosingFor != "":
		return false, Reason{Code: o.ClosingFor}
`, ``},
	{"whoever is connected counts as nobody", plan,
		`if o == nil || o.ReadyAt.IsZero() || !o.ConnectedAt.IsZero() {`, `if o == nil || o.ReadyAt.IsZero() {`},
	{"one colleague at work is taken for the last one's own client", plan,
		`o.Done && active(obs) < 2`, `o.Done && active(obs) < 3`},
	{"a late report ends an association", plan,
		`	return at.Sub(k.SeenAt) > late
`, `	return true
`},
	{"an association that is not reported yet is gone", plan,
		`		return at.Sub(k.MadeAt) > late
`, `		return true
`},
	{"a late report of the last opening is an opening by hand", plan,
		`case !slices.Contains(r.Ended, a.ID):`, `case true:`},

	// What is left on.
	{"terminated connections count as active", plan,
		`		if c.Status != Active {
			continue
		}
		if len(counters)`, `		if len(counters)`},
	{"keep-alives count as traffic", plan,
		`c.Bytes-before >= m.p.IdleFloor`, `c.Bytes-before > 0`},
	{"a counter that begins anew counts as traffic", plan,
		`c.Bytes >= before && c.Bytes-before`, `c.Bytes-before`},
	{"traffic keeps it open for ever", plan,
		`earlier(end, ended.Add(p.TrafficMax))`, `end`},
	{"an opening has no absolute maximum", plan,
		`	case !now.Before(end):
		return false, Reason{Code: ClosingMax}
`, ``},
	{"a switch that was made for a shorter policy fires under leases", plan,
		`		m.r.Opening.End = m.r.Opening.end(p) // for good: a switch may be armed for it
`, ``},
	{"leases are not clipped to the maximum", keeper,
		`if end := limit(o, p, now, glass); until.After(end) {`, `if end := limit(o, p, now, glass); until.After(end.Add(1000 * time.Hour)) {`},
	{"a policy that became shorter does not count", plan,
		`		if l.Until.After(most) {
`, `		if l.Until.After(most.Add(1000 * time.Hour)) {
`},
	{"a policy that became longer outlives the switch", plan,
		`return earlier(o.End, end)`, `return end`},
	{"a refused wish is not taken back", keeper,
		`		// The answer may be lost and the wish stored.
		return View{}, errors.Join(err, k.withdraw(ctx, id, q.Who.Subject, asked, extended, notice))
`, `		return View{}, err
`},
	{"a request ends too late to take its wish back", keeper,
		`end.Add(-withdrawFor)`, `end`},

	// The dead-man's switch.
	{"the switch is made with the next look instead of at once", keeper,
		`	refused := t.k.c.Deadman.Arm(ctx, t.id, a.ID, at)
`, `	if kept == nil { // the next look finds it without one
		return nil
	}
	refused := t.k.c.Deadman.Arm(ctx, t.id, a.ID, at)
`},
	{"without a switch it stays on", keeper,
		`	return errors.Join(refused, marked, t.disassociate(ctx, id))
`, `	return errors.Join(refused, marked)
`},
	{"what a process that died left without a switch stays on", keeper,
		`errors.Is(err, ErrRefused) && o != nil`, `false && o != nil`},
	{"without a switch the next subnet is tried", keeper,
		`	if t.halted != nil {
		return t.halted
	}
`, ``},
	{"a wish that ended meanwhile is served on the next subnet", keeper,
		`o == nil || o.ClosingFor != "" { // an earlier step`, `o == nil { // an earlier step`},
	{"an association whose wish ended meanwhile stays", keeper,
		`	if kept == nil && (!ours(&t.record) || t.record.Opening.ClosingFor != "") {
		return errors.Join(errors.New("the wish was withdrawn meanwhile"), t.disassociate(ctx, a.ID))
	}
`, ``},
	{"a switch that was perhaps made is forgotten", keeper,
		`		keep(r)
		r.Failure`, `		r.Failure`},
	{"a switch that fails takes queued wishes with it", keeper,
		`		if r.Opening.ClosingFor == "" { // else what is wished now waits for the next opening
`, `		{
`},
	{"ready is told without a switch", plan,
		`complete == len(held) && !a.unarmed && a.grouped`, `complete == len(held) && a.grouped`},
	{"the switches of what is gone are left", plan,
		`		m.r.Disarm = append(m.r.Disarm, m.r.Ended...)
`, ``},

	// Opening.
	{"the log has no copy of what was wished", keeper,
		`	k.copy(ctx, e)
	return k.c`, `	return k.c`},
	{"nobody needs the audit to open", keeper,
		`	if err := k.audit(ctx, id, q, wish); err != nil {
		return View{}, fmt.Errorf("audit: %w", err)
	}
	var clipped, extended bool
`, `	k.audit(ctx, id, q, wish)
	var clipped, extended bool
`},
	{"a new try has the old one's token", plan,
		`fmt.Sprintf("%s-%s-%d", o.ID, s, tries(o, s))`, `fmt.Sprintf("%s-%s-%d", o.ID, s, 0)`},
	{"it fails over to the subnet that failed", plan,
		`return cmp.Compare(tries(*r.Opening, a), tries(*r.Opening, b))`, `return 0`},
	{"a subnet that is still leaving is associated", plan,
		`	for _, a := range present(o) {
		busy[a.Subnet] = true
`, `	for _, a := range holding(o) {
		busy[a.Subnet] = true
`},
	{"routes go beyond EC2's bucket", keeper,
		`	b.full = full.Add(routePause)
`, `	b.full = full
`},
	{"everybody in a crowd asks EC2", keeper,
		`		if mine || err != nil {
			return k.observe(ctx, id)
		}
`, `		if mine || !mine || err != nil {
			return k.observe(ctx, id)
		}
`},
	{"a look from a clock that is ahead is the present", keeper,
		`return age <= d && age >= -skew`, `return age <= d`},
	{"what is only observed is changed", keeper,
		`		if t.policy.Observe {
			break // decided, and said; nothing is changed
		}
`, ``},
	{"it is ready while it closes", plan,
		`if o.ClosingFor == "" && assess(m.o, m.r, m.p).ready {`, `if assess(m.o, m.r, m.p).ready {`},

	// Orders and hours.
	{"people open under an operator's order", keeper,
		`		} else if !q.BreakGlass {
			return &HeldError{*h}
		}
`, `		}
`},
	{"an operator's order closes nothing", plan,
		`	case h != nil && !h.Pause:
		return ClosingHeld
`, `	case h != nil && false:
`},
	{"an order that is over is in force for a slower clock", keeper,
		`		r.Hold = nil // over; a process whose clock is behind must not think otherwise
`, ``},
	{"people open outside the hours", keeper,
		`	if may, _, next := p.Hours.May(time.Now()); !may && !q.BreakGlass {
		return View{}, &HoursError{next}
	}
`, ``},
	{"people open though the hours ended while EC2 was asked", keeper,
		`		if may, _, next := p.Hours.May(now); !may && !q.BreakGlass { // they ended while EC2 was asked
			return &HoursError{next}
		}
`, ``},
	{"the hours' end closes nothing", hours,
		`	soon, _, _ := h.May(now.Add(skew))
	return !soon
`, `	return false
`},

	// Break-glass, pauses, and the leases of others.
	{"a break-glass needs no reason", keeper,
		`q.ReasonRequired || q.BreakGlass) && q.Why`, `q.ReasonRequired) && q.Why`},
	{"a break-glass needs no length", keeper,
		`if q.BreakGlass && q.For == 0 {`, `if false {`},
	{"a break-glass opens what is only observed", keeper,
		`	if p.Observe {
		return View{}, ErrObserving
	}
	if (p.ReasonRequired`, `	if (p.ReasonRequired`},
	{"an order that is there ends a break-glass", plan,
		`	case !r.glass(now).IsZero():
		return ""
`, ``},
	{"a new order does not end a break-glass", keeper,
		`		r.Leases = nil
		if o := r.Opening; o != nil && o.ClosingFor == "" {
			o.ClosingFor = ClosingHeld`, `		if o := r.Opening; o != nil && o.ClosingFor == "" && r.glass(now).IsZero() {
			o.ClosingFor = ClosingHeld`},
	{"another order undoes an order to close that has not begun", keeper,
		`			o.ClosingFor = ClosingHeld
			note("close", "", "")
`, `			note("close", "", "")
`},
	{"a break-glass takes the order away for everybody", keeper,
		`		} else if !q.BreakGlass {
			return &HeldError{*h}
		}
`, `		} else if !q.BreakGlass {
			return &HeldError{*h}
		} else {
			r.Hold = nil
		}
`},
	{"a break-glass is cut to the hours", keeper,
		`!at.IsZero() && !glass {`, `!at.IsZero() {`},
	{"a break-glass makes all of a longer lease one", keeper,
		`if q.BreakGlass || until.After(l.Until) {`, `if l.BreakGlass = q.BreakGlass; until.After(l.Until) {`},
	{"a wish without break-glass prolongs one", keeper,
		`l.endsAt(until, q.BreakGlass, now)`, `l.endsAt(until, l.BreakGlass || q.BreakGlass, now)`},
	{"an extension prolongs a break-glass", keeper,
		`l.endsAt(until, false, now)`, `l.endsAt(until, l.BreakGlass, now)`},
	{"a break-glass is extended where nobody could open", keeper,
		`!may && l.BreakGlass {`, `!may && false {`},
	{"nobody is told of a break-glass", keeper,
		`if q.BreakGlass && k.c.Notify != nil {`, `if false {`},
	{"people are told of a break-glass that AWS refused", keeper,
		`		r.Outbox = slices.DeleteFunc(r.Outbox, func(n Notice) bool { return n.ID == notice })
`, ``},
	{"a break-glass is an opening like any other in the audit", keeper,
		`wish.Action, wish.Code, wish.Before = "break-glass",`, `wish.Action, wish.Code, wish.Before = "open",`},
	{"a pause ends leases", plan,
		`	case h != nil && !h.Pause:
`, `	case h != nil:
`},
	{"people extend under an order", keeper,
		`	if h := r.held(now); h != nil {
		return h.code(), &HeldError{*h}
	}
`, ``},
	{"a pause needs no audit", keeper,
		`Entry{Action: "pause", Code: OffPaused, Before: was.order(time.Now()), After: q.For.String()}); err != nil {`,
		`Entry{Action: "pause", Code: OffPaused, Before: was.order(time.Now()), After: q.For.String()}); false {`},
	{"an operator extends their own lease as somebody else's", keeper,
		`	if whose == q.Who.Subject {
		return View{}, ErrOwn
	}
	return k.extend(`, `	return k.extend(`},
	{"an operator ends their own lease as somebody else's", keeper,
		`	if whose == q.Who.Subject {
		return View{}, ErrOwn
	}
	return k.finish(`, `	return k.finish(`},
	{"the access rules' longest lease does not count", keeper,
		`return min(q.Longest, p.LeaseMax)`, `return p.LeaseMax`},
	{"the access rules' longest lease lengthens the policy's", keeper,
		`return min(q.Longest, p.LeaseMax)`, `return q.Longest`},
	{"the access rules ask for a reason in vain", keeper,
		`(p.ReasonRequired || q.ReasonRequired || q`, `(p.ReasonRequired || q`},

	// Routes and security groups.
	{"routes are learned during the restore", plan,
		`		if o.ReadyAt.IsZero() {
			continue
		}
		m.learn`, `		m.learn`},
	{"an association that ended unseen took no routes", plan,
		`			ended = true
			m.r.Ended, m.r.Disarm`, `			m.r.Ended, m.r.Disarm`},
	{"what took a declared route took nothing else", plan,
		`k.Restored && m.lacksDeclared(a.Subnet)`, `k.Restored && false`},
	{"a route is forgotten after one look", plan,
		`		case l.MissingSince.IsZero():
`, `		case false:
`},
	{"a route is forgotten during the restore", plan,
		`		if k.Restored {
			restored = append(restored, a.Subnet)
		}
`, `		restored = append(restored, a.Subnet)
`},
	{"a route that AWS took with another subnet is forgotten", plan,
		`		for id, k := range o.Associations {
			k.Restored = false
			o.Associations[id] = k
		}
	}
	m.unsettled = ended
`, `	}
	m.unsettled = ended
`},
	{"routes do not move with their subnet's name", plan,
		`	if o.All != m.p.All || !slices.Equal(o.Subnets, m.p.Subnets) {
`, `	if false {
`},
	{"a route that a hand removed comes back", plan,
		`!found && (!k.Restored || w.learned < 0) && `, `!found && (k.Restored || !k.Restored) && `},
	{"one late report teaches security groups", plan,
		`if len(want) > 0 && (!slices.Equal(have, o.OtherGroups) || m.o.At.Sub(o.OtherSince) < late) {`, `if false {`},

	// The store.
	{"whoever saves last wins", store, `"#version = :version"`, `"#version >= :version"`},
	{"a lost answer of the store is somebody else's write", store,
		`textOf(old["writeId"]) != r.WriteID`, `true`},
	{"what a newer Nightlatch wrote is read", store, `	if v > layout {
`, `	if false {
`},
}
