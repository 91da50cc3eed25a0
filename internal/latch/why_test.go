package latch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// causes writes a list for people: "lease 13:00 Kim, idle 13:00".
func causes(list []latch.Cause) string {
	var all []string
	for _, c := range list {
		s := string(c.Code)
		if !c.At.IsZero() {
			s += " " + c.At.Format("15:04")
		}
		for _, more := range []string{c.Who, c.Message} {
			if more != "" {
				s += " " + more
			}
		}
		all = append(all, s)
	}
	return strings.Join(all, ", ")
}

func TestWhy(t *testing.T) {
	told := map[latch.CauseCode]bool{}
	for name, tt := range map[string]struct {
		scene  func() *scene
		change func(*scene)
		want   string
	}{
		"off, and nobody wants it: nothing to say": {off, nil, ""},
		"a lease: it closes with it, and the maximum and the switch come much later": {open, nil,
			"lease 13:00 Kim, idle 13:00, max 23:00, switch 23:02"},
		"two leases: the longer one counts": {open, func(s *scene) {
			s.r.Leases = append(s.r.Leases, latch.Lease{Subject: "lee", Since: noon, Asked: noon, Until: noon.Add(30 * time.Minute)})
		}, "lease 12:30 lee, lease 13:00 Kim, idle 13:00, max 23:00, switch 23:02"},
		"traffic that is over before the lease: the lease counts": {open, func(s *scene) { s.r.Opening.TrafficAt = noon },
			"lease 13:00 Kim, idle 13:00, traffic 14:00, max 23:00, switch 23:02"},
		"traffic that outlasts the lease": {open, func(s *scene) {
			s.r.Opening.TrafficAt, s.r.Leases[0].Until = noon, noon.Add(10*time.Minute)
		}, "lease 12:10 Kim, idle 12:15, traffic 13:10, max 23:00, switch 23:02"},
		"no lease, and traffic at its longest": {open, func(s *scene) {
			s.noLease(50 * time.Minute)
			s.r.Opening.TrafficAt = noon
		}, "traffic 12:10, idle 12:10, max 23:00, switch 23:02"},
		"ready, and nobody has connected": {open, func(s *scene) {
			s.r.Opening.ConnectedAt, s.r.Opening.ReadyAt, s.o.Connections = time.Time{}, noon, nil
		}, "unused 12:20, lease 13:00 Kim, idle 13:00, max 23:00, switch 23:02"},
		"ready, and somebody has just connected": {open, func(s *scene) { s.r.Opening.ConnectedAt, s.r.Opening.ReadyAt = time.Time{}, noon },
			"lease 13:00 Kim, idle 13:00, max 23:00, switch 23:02"},
		"whoever asked last gives the others time, until their own lease ends": {open, func(s *scene) {
			s.r.Opening.ConnectedAt, s.o.Connections = time.Time{}, nil
			s.r.Leases = append(s.r.Leases, latch.Lease{Subject: "lee", Asked: noon, Until: noon.Add(5 * time.Minute)})
		}, "lease 12:05 lee, unused 12:05, lease 13:00 Kim, idle 13:00, max 23:00, switch 23:02"},
		"the hours close it": {open, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 8 * 60, 12*60 + 30}}, Close: true}
		}, "hours 12:30, lease 13:00 Kim, idle 13:00, max 23:00, switch 23:02"},
		"outside hours that do not close: nobody may join": {open, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 14 * 60, 15 * 60}}}
		}, "lease 13:00 Kim, idle 13:00, before 14:00, max 23:00, switch 23:02"},
		"opened by hand, which counts as a lease": {open, func(s *scene) {
			s.r.Opening.Adopted, s.r.Leases[0].Subject = true, latch.ByHandSubject
		}, "adopted 13:00, idle 13:00, max 23:00, switch 23:02"},
		"opened by hand, which is left alone": {off, func(s *scene) {
			s.p.ByHand = latch.Warn
			s.associate(assocA, subnetA, latch.Associated)
		}, "byhand"},
		"opened by hand where that is not allowed: traffic without a lease puts nothing off": {open, func(s *scene) {
			s.p.ByHand, s.r.Opening.Adopted, s.r.Opening.TrafficAt = latch.Close, true, noon
			s.r.Leases[0].Until = noon.Add(10 * time.Minute)
		}, "lease 12:10 Kim, idle 12:10, max 23:00, switch 23:02"},
		"only observed": {open, func(s *scene) {
			s.p.Observe = true
			s.kept(assocA, func(k *latch.Kept) { k.Armed = false })
		}, "observe, lease 13:00 Kim, idle 13:00, max 23:00"},
		"an operator closes it": {open, func(s *scene) {
			s.r.Hold = &latch.Hold{By: "arn:op", Name: "op", Why: "works", Since: noon, Until: noon.Add(2 * time.Hour)}
			s.r.Leases, s.r.Opening.ClosingFor = nil, latch.ClosingHeld
		}, "held 14:00 op works, switch 23:02"},
		"off by an operator's order": {off, func(s *scene) { s.r.Hold = &latch.Hold{By: "arn:op", Until: noon.Add(time.Hour)} }, "held 13:00 arn:op"},
		"an operator has paused it": {open, func(s *scene) {
			s.r.Hold = &latch.Hold{By: "arn:op", Name: "op", Why: "works", Until: noon.Add(2 * time.Hour), Pause: true}
		}, "lease 13:00 Kim, idle 13:00, paused 14:00 op works, max 23:00, switch 23:02"},
		"break-glass under an order that outlasts it": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass, s.r.Opening.TrafficAt = true, noon
			s.r.Hold = &latch.Hold{By: "arn:op", Until: noon.Add(2 * time.Hour)}
		}, "breakglass 13:00 Kim, breakglass.end 13:00, traffic 13:00, idle 13:00, held 14:00 arn:op, max 23:00, switch 23:02"},
		"break-glass that outlasts the order: its lease's end counts, and traffic": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass, s.r.Opening.TrafficAt = true, noon.Add(-time.Minute)
			s.r.Hold = &latch.Hold{By: "arn:op", Until: noon.Add(30 * time.Minute)}
		}, "held 12:30 arn:op, breakglass 13:00 Kim, idle 13:00, traffic 14:00, max 23:00, switch 23:02"},
		"break-glass past the hours' end": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass = true
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 8 * 60, 12*60 + 30}}, Close: true}
		}, "breakglass 13:00 Kim, breakglass.end 13:00, idle 13:00, max 23:00, switch 23:02"},
		"break-glass until the next hours have begun: those end it, whoever has a lease": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass = true
			s.r.Leases = append(s.r.Leases, latch.Lease{Subject: "lee", Asked: noon, Until: noon.Add(4 * time.Hour)})
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 8 * 60, 11 * 60}, {daily, 12*60 + 30, 14 * 60}}, Close: true}
		}, "before 12:30, breakglass 13:00 Kim, hours 14:00, lease 16:00 lee, idle 16:00, max 23:00, switch 23:02"},
		"two break-glasses, and a longer lease beside them, under an order": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass = true
			s.r.Leases = append(s.r.Leases, latch.Lease{Subject: "lee", Asked: noon, Until: noon.Add(90 * time.Minute), BreakGlass: true},
				latch.Lease{Subject: "park", Asked: noon, Until: noon.Add(2 * time.Hour)})
			s.r.Hold = &latch.Hold{By: "arn:op", Until: noon.Add(3 * time.Hour)}
		}, "breakglass 13:00 Kim, breakglass 13:30 lee, breakglass.end 13:30, lease 14:00 park, idle 14:00, held 15:00 arn:op, max 23:00, switch 23:02"},
		"break-glass to the absolute maximum": {open, func(s *scene) {
			s.r.Leases[0].BreakGlass, s.r.Leases[0].Until, s.r.Leases[0].Asked = true, s.r.Opening.End, noon
			s.r.Hold = &latch.Hold{By: "arn:op", Until: noon.Add(20 * time.Hour)}
		}, "breakglass 23:00 Kim, max 23:00, breakglass.end 23:00, idle 23:00, switch 23:02, held 08:00 arn:op"},
		"off, outside hours": {off, func(s *scene) {
			s.p.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{daily, 13 * 60, 14 * 60}}}
		}, "before 13:00"},
		"a wish that came too late to stop the closing": {open, func(s *scene) { s.r.Opening.ClosingFor = latch.ClosingLease },
			"queued 13:00 Kim, switch 23:02"},
	} {
		t.Run(name, func(t *testing.T) {
			s := tt.scene()
			if tt.change != nil {
				tt.change(s)
			}
			list := latch.Why(s.o, s.r, s.p, noon)
			if got := causes(list); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			for _, c := range list {
				told[c.Code] = true
			}
			if fault := foretell(s.o, s.r, s.p, noon); fault != "" {
				t.Error(fault)
			}
		})
	}
	for _, c := range latch.CauseCodes {
		if !told[c] {
			t.Errorf("no case has the code %s", c)
		}
	}
}

// closings says which of Plan's reasons each closing cause may come out as.
var closings = map[latch.CauseCode][]latch.Code{
	latch.CauseIdle:   {latch.ClosingLease, latch.ClosingIdle, latch.ClosingByHand},
	latch.CauseUnused: {latch.ClosingUnused},
	latch.CauseMax:    {latch.ClosingMax},
	latch.CauseHours:  {latch.ClosingHours},

	latch.CauseBreakGlassEnd: {latch.ClosingHeld, latch.ClosingHours},
}

// foretell lets time pass over an endpoint where nothing else happens, and compares what Why said with what Remember
// and Plan then do: they close when the first closing cause says so, not a second earlier, and for that reason. It looks
// at every time that Why names, and a second before. What it returns is the difference; empty when there is none.
func foretell(o latch.Observation, r latch.Record, p latch.Policy, now time.Time) string {
	o.At = now
	r, _ = latch.Remember(o, r, p, now)
	list := latch.Why(o, r, p, now)
	if !slices.IsSortedFunc(list, func(a, b latch.Cause) int { return a.At.Compare(b.At) }) {
		return "not in the order of time: " + causes(list)
	}
	end, closes := latch.Closing(list)
	open := r.Opening != nil && r.Opening.ClosingFor == "" && r.Opening.Would == ""
	if closes != open {
		return fmt.Sprintf("Why names an end: %v; Plan keeps it open: %v\n%s\n%+v", closes, open, causes(list), r.Opening)
	}
	if !open || vanishes(o, r) {
		return ""
	}
	for _, c := range list {
		for _, at := range []time.Time{c.At.Add(-time.Second), c.At} {
			if at.Before(now) || at.After(end.At) {
				continue
			}
			o.At = at
			r, _ = latch.Remember(o, r, p, at)
			why := latch.ClosingLease
			if r.Opening != nil {
				why = r.Opening.ClosingFor
				if p.Observe {
					why = r.Opening.Would
				}
			}
			switch {
			case at.Before(end.At) && why != "":
				return fmt.Sprintf("closed for %s at %s, and Why said\n%s", why, at.Format(time.RFC3339Nano), causes(list))
			case at.Equal(end.At):
				if !slices.Contains(closings[end.Code], why) {
					return fmt.Sprintf("at %s, when Why says that it closes, it does so for %q\n%s", at.Format(time.TimeOnly), why, causes(list))
				}
				if d := latch.Plan(o, r, p, at); !p.Observe && d.State != latch.StateClosing && d.State != latch.StateOff && d.State != latch.StateUnusable {
					return fmt.Sprintf("closed for %s, and Plan says %s", why, d.State)
				}
				return ""
			}
		}
	}
	return "no time that Why names is the end: " + causes(list)
}

// vanishes is true while an association is not reported any more and not yet given up: something is about to happen.
func vanishes(o latch.Observation, r latch.Record) bool {
	for id, k := range r.Opening.Associations {
		if !k.Over && !slices.ContainsFunc(o.Associations, func(a latch.Association) bool { return a.ID == id && a.Status != latch.Disassociated }) {
			return true
		}
	}
	return false
}

// foretold holds Why against Plan at a moment of a history. It changes nothing and draws nothing from h.rand.
func (h *history) foretold() {
	h.Helper()
	if h.slip > 2*time.Second {
		return // what is stored has times of another clock, which is minutes off
	}
	if fault := foretell(h.vpn.Now(office), h.store.Now(office), h.policy, time.Now()); fault != "" {
		h.Fatal(fault)
	}
}

// TestExplain is an operator who asks about an endpoint that two people use.
func TestExplain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 2*time.Hour)
		w.ready()
		time.Sleep(time.Minute) // the next beat notes that
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: lee, For: time.Hour, Why: "month's end"}); err != nil {
			t.Fatal(err)
		}
		e, err := w.keeper.Explain(w.Context(), office)
		if err != nil {
			t.Fatal(err)
		}
		if e.Decision.State != latch.StateOpen || e.Stale || len(e.Differences) != 0 || e.Hold != nil || e.Failure != nil {
			t.Errorf("got %+v, want it open and as it should be", e)
		}
		if len(e.Leases) != 2 || e.Leases[0].Name != "Kim" || e.Leases[1].Name != "Lee" || e.Leases[1].Why != "month's end" {
			t.Errorf("leases: got %+v, want Kim's and then Lee's, with the reason", e.Leases)
		}
		if len(e.Past) != 2 || e.Past[0].Phase != latch.PhaseAssociate || e.Past[0].Samples != 1 || e.Past[0].Half < 4*time.Minute || e.Past[0].Half != e.Past[0].All {
			t.Errorf("past: got %+v, want one associating of four minutes and its routes", e.Past)
		}
		if len(e.Entries) == 0 || e.Entries[0].Action != "open" || e.Entries[0].Name != "Lee" {
			t.Errorf("audit: got %+v, want Lee's wish first", e.Entries)
		}
		if c, ok := latch.Closing(e.Causes); !ok || c.Code != latch.CauseUnused {
			t.Errorf("causes: got %s, want it to close because nobody connects", causes(e.Causes))
		}
		calls := w.vpn.Calls("Observe")
		for range 10 {
			if _, err := w.keeper.Explain(w.Context(), office); err != nil {
				t.Fatal(err)
			}
		}
		if n := w.vpn.Calls("Observe") - calls; n > 1 {
			t.Errorf("ten explanations cost %d looks at EC2, want those of one who watches", n)
		}
		w.vpn.Fail = func(string) error { return latch.ErrUnavailable }
		time.Sleep(20 * time.Second)
		if e, err = w.keeper.Explain(w.Context(), office); err != nil || !e.Stale || e.Unanswered == nil || len(e.Leases) != 2 {
			t.Errorf("EC2 does not answer: %v, %+v; want the last known", err, e)
		}
		w.vpn.Fail = nil
		if _, err := w.keeper.Explain(w.Context(), "cvpn-endpoint-none"); err == nil {
			t.Error("an endpoint that is not configured is explained")
		}
	})
}
