package latch_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// admin opens outside the rules.
var admin = latch.Principal{Subject: "admin", Issuer: "https://issuer.example", Name: "Ada"}

// byDay is open from 8 to 19, and closes then; a bubble begins at midnight.
func byDay(w *world) {
	w.policy.Hours = &latch.Hours{Location: time.UTC, Windows: []latch.Window{{Days: daily, From: 8 * 60, To: 19 * 60}}, Close: true}
}

// breakGlass opens it so, for a reason.
func (w *world) breakGlass(d time.Duration) latch.View {
	w.Helper()
	v, err := w.keeper.Open(w.Context(), office, latch.Request{Who: admin, For: d, Why: "the plant is down", BreakGlass: true, Source: "198.51.100.7", ID: "R1"})
	if err != nil {
		w.Fatalf("break-glass for %v: %v", d, err)
	}
	return v
}

// closed is an operator's order.
func (w *world) closed(d time.Duration) latch.View {
	w.Helper()
	v, err := w.keeper.Close(w.Context(), office, latch.Request{Who: operator, For: d, Why: "works"})
	if err != nil {
		w.Fatal(err)
	}
	return v
}

func (w *world) entry(action string) latch.Entry {
	w.Helper()
	all := w.store.Audit(office)
	i := slices.IndexFunc(all, func(e latch.Entry) bool { return e.Action == action })
	if i < 0 {
		w.Fatalf("no %s in the audit: %+v", action, all)
	}
	return all[i]
}

// TestBreakGlass opens outside the hours and under an order. It has an end, everybody is told, nobody else gets in by it,
// and when it ends what it overrode counts again.
func TestBreakGlass(t *testing.T) {
	c := &channel{}
	inWorld(t, func(w *world) { byDay(w); c.listen(w) }, func(w *world) {
		time.Sleep(10 * time.Second) // between two beats
		w.closed(20 * time.Hour)
		began := time.Now()
		if v := w.breakGlass(2 * time.Hour); v.State != latch.StateOpening || !v.Mine.BreakGlass || !v.Mine.Until.Equal(began.Add(2*time.Hour)) {
			t.Fatalf("answered %s with the lease %+v", v.State, v.Mine)
		}
		w.ready()
		w.want(latch.StateOpen, latch.OpenBreakGlass)
		e := w.entry("break-glass")
		want := latch.Entry{At: e.At, ID: e.ID, Endpoint: office, Subject: "admin", Issuer: "https://issuer.example", Name: "Ada", Action: "break-glass", Code: latch.OpenBreakGlass,
			Why: "the plant is down", Before: "off.hours until 2000-01-01T08:00:00Z, off.held until 2000-01-01T20:00:10Z", After: "2h0m0s", Source: "198.51.100.7", Request: "R1"}
		if e != want {
			t.Errorf("the audit has\n%+v, want\n%+v", e, want)
		}
		got, after := c.heard()
		if len(got) == 0 || got[0].Kind != latch.NoticeBreakGlass || got[0].Who != "Ada" || got[0].Words != "the plant is down" || !got[0].Until.Equal(began.Add(2*time.Hour)) || after[0] > time.Minute {
			t.Errorf("people were told %+v after %v, want who, why and until when, within a minute", got, after)
		}
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: lee}); !errors.Is(err, latch.ErrHours) {
			t.Errorf("Lee joins: %v, want the hours to bind", err)
		}
		if v := w.view(admin); v.Hold == nil || v.Hold.Name != "op" || !v.ExtendUntil.Equal(v.Mine.Until) {
			t.Errorf("the page has the order %+v, and an end until %v; want the order, and no extension", v.Hold, v.ExtendUntil)
		}
		client, _ := w.vpn.Connect(office, "ada")
		w.work(client, time.Until(began.Add(2*time.Hour+time.Minute)))
		w.want(latch.StateClosing, latch.ClosingHeld) // though there is traffic
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOff, latch.OffHeld)
		w.wantTold(c, "break-glass, ready, soon 14, soon 4, closed closing.held")
	})
}

func TestBreakGlassIsRefused(t *testing.T) {
	good := latch.Request{Who: admin, For: time.Hour, Why: "the plant is down", BreakGlass: true}
	for name, tt := range map[string]struct {
		world  func(*world)
		change func(*latch.Request)
		want   error
	}{
		"without a reason":                   {byDay, func(q *latch.Request) { q.Why = "" }, latch.ErrReason},
		"without a length":                   {byDay, func(q *latch.Request) { q.For = 0 }, latch.ErrBadRequest},
		"longer than the longest lease":      {byDay, func(q *latch.Request) { q.For = 13 * time.Hour }, latch.ErrTooLong},
		"of a length before now":             {byDay, func(q *latch.Request) { q.For = -time.Hour }, latch.ErrBadRequest},
		"where Nightlatch only observes":     {func(w *world) { w.policy.Observe = true }, func(*latch.Request) {}, latch.ErrObserving},
		"while the audit cannot be written":  {func(w *world) { w.store.Fail = failing("Append", always(), latch.ErrUnavailable) }, func(*latch.Request) {}, latch.ErrUnavailable},
		"of an endpoint that cannot be used": {func(w *world) { w.vpn.SetStatus(office, "deleting", "") }, func(*latch.Request) {}, latch.ErrNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			c := &channel{}
			inWorld(t, func(w *world) { tt.world(w); c.listen(w) }, func(w *world) {
				q := good
				tt.change(&q)
				if _, err := w.keeper.Open(w.Context(), office, q); !errors.Is(err, tt.want) {
					t.Errorf("got %v, want %v", err, tt.want)
				}
				time.Sleep(5 * time.Minute)
				if r := w.record(); len(r.Leases) > 0 || r.Opening != nil || w.vpn.Calls("Associate") > 0 {
					t.Errorf("it left %+v", r)
				}
				w.wantTold(c, "")
			})
		})
	}
}

func always() *atomic.Bool {
	var b atomic.Bool
	b.Store(true)
	return &b
}

// TestARefusedBreakGlassIsNotTold: AWS says no at once, so nothing was opened, and nobody hears that it was.
func TestARefusedBreakGlassIsNotTold(t *testing.T) {
	c := &channel{}
	inWorld(t, func(w *world) {
		c.listen(w)
		w.vpn.Fail = failing("Associate", always(), latch.ErrRefused)
	}, func(w *world) {
		time.Sleep(10 * time.Second) // between two beats
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: admin, For: time.Hour, Why: "the plant is down", BreakGlass: true}); !errors.Is(err, latch.ErrRefused) {
			t.Fatalf("got %v", err)
		}
		time.Sleep(5 * time.Minute)
		w.wantTold(c, "")
		if r := w.record(); len(r.Leases) > 0 {
			t.Errorf("the wish stays: %+v", r.Leases)
		}
	})
}

// TestANewOrderEndsABreakGlass, one that was there does not.
func TestANewOrderEndsABreakGlass(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		time.Sleep(10 * time.Second)
		w.closed(4 * time.Hour)
		w.breakGlass(3 * time.Hour)
		w.ready()
		time.Sleep(5 * time.Minute)
		w.want(latch.StateOpen, latch.OpenBreakGlass)
		if v := w.closed(time.Hour); v.State != latch.StateClosing || v.Reason.Code != latch.ClosingHeld {
			t.Fatalf("the new order: %s (%s)", v.State, v.Reason.Code)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOff, latch.OffHeld)
		if on := w.held(); len(on) > 0 || len(w.record().Leases) > 0 {
			t.Errorf("still %v, with %+v", on, w.record().Leases)
		}
	})
}

// TestBreakGlassPastTheHours: it keeps it open, and all that have a lease with it, until it ends.
func TestBreakGlassPastTheHours(t *testing.T) {
	inWorld(t, byDay, func(w *world) {
		time.Sleep(18 * time.Hour)
		w.open(kim, 4*time.Hour) // which the hours cut to one
		w.ready()
		client, _ := w.vpn.Connect(office, "kim")
		w.breakGlass(3 * time.Hour)
		w.work(client, 2*time.Hour)
		w.want(latch.StateOpen, latch.OpenBreakGlass)
		w.work(client, 65*time.Minute)
		if v := w.view(kim); v.State != latch.StateClosing && v.State != latch.StateOff {
			t.Errorf("after its end and the hours': %s (%s)", v.State, v.Reason.Code)
		}
		if e := w.entry("close"); e.Code != latch.ClosingHours {
			t.Errorf("it closed for %s, want %s", e.Code, latch.ClosingHours)
		}
	})
}

// TestABreakGlassTakesTheLeasesPlace: its length is what was asked for, be it shorter than the lease that its holder had;
// and asked again without, it stays what it is until that gives them more.
func TestABreakGlassTakesTheLeasesPlace(t *testing.T) {
	inWorld(t, byDay, func(w *world) {
		time.Sleep(9*time.Hour + 10*time.Second)
		w.open(admin, 6*time.Hour)
		w.breakGlass(time.Hour)
		lease := func() latch.Lease {
			l, _ := w.record().LeaseOf(admin.Subject)
			return l
		}
		if l := lease(); !l.BreakGlass || !l.Until.Equal(time.Now().Add(time.Hour)) || l.Why != "the plant is down" {
			t.Fatalf("got %+v, want an hour", l)
		}
		w.open(admin, 30*time.Minute)
		if l := lease(); !l.BreakGlass || l.Why != "the plant is down" {
			t.Errorf("a shorter wish without made it %+v", l)
		}
		w.open(admin, 2*time.Hour)
		if l := lease(); l.BreakGlass || !l.Until.Equal(time.Now().Add(2*time.Hour)) || l.Why != "" {
			t.Errorf("a longer wish without made it %+v, want a lease like any other", l)
		}
		w.breakGlass(time.Hour)
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: admin, For: time.Hour}); err != nil || lease().BreakGlass {
			t.Errorf("extended by day: %v, %+v; want a lease like any other", err, lease())
		}
	})
}

// TestABreakGlassIsNotExtended where nobody could open: that takes another one, of which everybody is told.
func TestABreakGlassIsNotExtended(t *testing.T) {
	for name, tt := range map[string]struct {
		world func(*world)
		order bool
		want  error
	}{
		"outside hours that close": {byDay, false, latch.ErrHours},
		"outside hours that do not close": {func(w *world) {
			byDay(w)
			w.policy.Hours.Close = false
		}, false, latch.ErrHours},
		"under an order": {nil, true, latch.ErrHeld},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, tt.world, func(w *world) {
				if tt.order {
					w.closed(3 * time.Hour)
				}
				end := w.breakGlass(time.Hour).Mine.Until
				q := latch.Request{Who: admin, For: time.Hour}
				if _, err := w.keeper.Extend(w.Context(), office, q); !errors.Is(err, tt.want) {
					t.Errorf("extend: %v, want %v", err, tt.want)
				}
				if _, err := w.keeper.ExtendFor(w.Context(), office, latch.Request{Who: operator, For: time.Hour}, admin.Subject); !errors.Is(err, tt.want) {
					t.Errorf("somebody else extends it: %v, want %v", err, tt.want)
				}
				if q.BreakGlass, q.Why = true, "still"; true {
					if _, err := w.keeper.Extend(w.Context(), office, q); !errors.Is(err, latch.ErrBadRequest) {
						t.Errorf("extended by break-glass: %v", err)
					}
				}
				if l, _ := w.record().LeaseOf(admin.Subject); !l.Until.Equal(end) {
					t.Errorf("it ends at %s, want %s as before", l.Until, end)
				}
			})
		})
	}
}

// TestAPause: who has a lease keeps it, nobody gets one or more of one, and all see the message.
func TestAPause(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		for _, q := range []latch.Request{{For: 0, Why: "x"}, {For: 25 * time.Hour, Why: "x"}, {For: -1, Why: "x"}} {
			if _, err := w.keeper.Pause(w.Context(), office, q); !errors.Is(err, latch.ErrBadRequest) {
				t.Errorf("for %v: %v", q.For, err)
			}
		}
		if _, err := w.keeper.Pause(w.Context(), office, latch.Request{Who: operator, For: time.Hour}); !errors.Is(err, latch.ErrReason) {
			t.Errorf("without a message: %v", err)
		}
		w.open(kim, 2*time.Hour)
		w.ready()
		client, _ := w.vpn.Connect(office, "kim")
		v, err := w.keeper.Pause(w.Context(), office, latch.Request{Who: operator, For: 90 * time.Minute, Why: "new firewall at six"})
		if err != nil || v.State != latch.StateOpen || v.Reason.Code != latch.OpenPaused || v.Reason.Message != "new firewall at six" || v.Hold == nil || !v.Hold.Pause {
			t.Fatalf("paused: %s (%+v), hold %+v, %v", v.State, v.Reason, v.Hold, err)
		}
		end := v.Hold.Until
		if end.Sub(v.Hold.Since) != 90*time.Minute {
			t.Errorf("from %s until %s", v.Hold.Since, end)
		}
		for name, err := range map[string]error{
			"Lee joins":        second(w.keeper.Open(w.Context(), office, latch.Request{Who: lee})),
			"Kim asks again":   second(w.keeper.Open(w.Context(), office, latch.Request{Who: kim})),
			"Kim extends":      second(w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: time.Hour})),
			"extended for Kim": second(w.keeper.ExtendFor(w.Context(), office, latch.Request{Who: operator, For: time.Hour}, kim.Subject)),
		} {
			held, ok := errors.AsType[*latch.HeldError](err)
			if !errors.Is(err, latch.ErrHeld) || !ok || !strings.Contains(err.Error(), "new firewall at six") || !held.Hold.Until.Equal(end) {
				t.Errorf("%s: %v, want to hear until when, and the message", name, err)
			}
		}
		if v := w.view(kim); !v.OpenFrom.Equal(end) || !v.ExtendUntil.Equal(v.Mine.Until) {
			t.Errorf("one may open from %v and extend until %v", v.OpenFrom, v.ExtendUntil)
		}
		w.work(client, 30*time.Minute)
		w.want(latch.StateOpen, latch.OpenPaused)
		if e := w.entry("pause"); e.Code != latch.OffPaused || e.After != "1h30m0s" || e.Why != "new firewall at six" || e.Subject != operator.Subject {
			t.Errorf("the audit has %+v", e)
		}
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.want(latch.StateOff, latch.OffPaused)
		if _, err := w.keeper.Release(w.Context(), office, latch.Request{Who: operator}); err != nil {
			t.Fatal(err)
		}
		if e := w.entry("release"); !strings.HasPrefix(e.Before, "off.paused until ") || e.Code != latch.OffIdle {
			t.Errorf("the audit has %+v", e)
		}
		w.want(latch.StateOff, latch.OffIdle)
		w.open(lee, time.Hour)
	})
}

func second(_ latch.View, err error) error { return err }

// TestAPauseNeedsTheAudit, as all that an operator decides about others does, but for what closes.
func TestAPauseNeedsTheAudit(t *testing.T) {
	inWorld(t, func(w *world) { w.store.Fail = failing("Append", always(), latch.ErrUnavailable) }, func(w *world) {
		if _, err := w.keeper.Pause(w.Context(), office, latch.Request{Who: operator, For: time.Hour, Why: "x"}); !errors.Is(err, latch.ErrUnavailable) || w.record().Hold != nil {
			t.Errorf("paused: %v, %+v", err, w.record().Hold)
		}
	})
}

// TestAPauseKeepsAQueuedWish: who asked before it while the last opening was closing is served.
func TestAPauseKeepsAQueuedWish(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, time.Hour)
		w.ready()
		if _, err := w.keeper.Done(w.Context(), office, latch.Request{Who: kim}); err != nil {
			t.Fatal(err)
		}
		w.open(lee, time.Hour)
		if _, err := w.keeper.Pause(w.Context(), office, latch.Request{Who: operator, For: 4 * time.Hour, Why: "x"}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		w.ready()
		w.want(latch.StateOpen, latch.OpenPaused)
	})
}

// TestOthersLeases: an operator ends and extends those of others, and not their own.
func TestOthersLeases(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 2*time.Hour)
		w.open(lee, time.Hour)
		w.open(admin, time.Hour)
		w.ready()
		own, _ := w.record().LeaseOf(admin.Subject)
		byAdmin := latch.Request{Who: admin, For: time.Hour, Why: "asked on the telephone", Longest: 2 * time.Hour, Source: "198.51.100.7", ID: "R2"}
		for name, err := range map[string]error{
			"extends": second(w.keeper.ExtendFor(w.Context(), office, byAdmin, admin.Subject)),
			"ends":    second(w.keeper.EndFor(w.Context(), office, byAdmin, admin.Subject)),
		} {
			if !errors.Is(err, latch.ErrOwn) || !errors.Is(err, latch.ErrBadRequest) {
				t.Errorf("%s their own: %v, want %v", name, err, latch.ErrOwn)
			}
		}
		if now, _ := w.record().LeaseOf(admin.Subject); now != own {
			t.Errorf("their own lease became %+v", now)
		}
		before, _ := w.record().LeaseOf(lee.Subject)
		v, err := w.keeper.ExtendFor(w.Context(), office, byAdmin, lee.Subject)
		after, _ := w.record().LeaseOf(lee.Subject)
		if err != nil || !after.Until.Equal(earliest(before.Until.Add(time.Hour), time.Now().Add(2*time.Hour))) || v.Mine.Subject != admin.Subject {
			t.Errorf("for Lee: until %v, %v, want an hour more, at most two from now", after.Until, err)
		}
		if e := w.entry("extend-for"); e.Whose != lee.Subject || e.Subject != admin.Subject || e.Issuer != admin.Issuer || e.Why != byAdmin.Why || e.Before != before.Until.UTC().Format(time.RFC3339) || e.After != "1h0m0s" || e.Code != latch.OpenLease {
			t.Errorf("the audit has %+v", e)
		}
		byAdmin.For = 0
		if _, err := w.keeper.EndFor(w.Context(), office, byAdmin, "nobody"); !errors.Is(err, latch.ErrNoLease) {
			t.Errorf("nobody's: %v", err)
		}
		for _, who := range []latch.Principal{kim, lee} {
			if v, err := w.keeper.EndFor(w.Context(), office, byAdmin, who.Subject); err != nil || v.State != latch.StateOpen {
				t.Fatalf("%s: %s, %v, want it open for the others", who.Name, v.State, err)
			}
			if _, has := w.record().LeaseOf(who.Subject); has {
				t.Errorf("%s has a lease still", who.Name)
			}
		}
		if e := w.entry("end-for"); e.Whose != "nobody" || e.Code != "" {
			t.Errorf("the audit has %+v, want nothing decided", e)
		}
		if v, err := w.keeper.EndFor(w.Context(), office, latch.Request{Who: operator}, admin.Subject); err != nil || v.State != latch.StateClosing {
			t.Errorf("the last one's: %s, %v, want it closing", v.State, err)
		}
		for whose, code := range map[latch.Subject]latch.Code{kim.Subject: latch.OpenLease, admin.Subject: latch.ClosingDone} {
			if all := w.store.Audit(office); !slices.ContainsFunc(all, func(e latch.Entry) bool {
				return e.Action == "end-for" && e.Whose == whose && e.Code == code
			}) {
				t.Errorf("the audit lacks that %s's lease was ended, for %s: %+v", whose, code, all)
			}
		}
	})
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// TestWhatTheAccessRulesAdd: a longest lease, which is asked of each request anew, and a reason.
func TestWhatTheAccessRulesAdd(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		ask := func(q latch.Request) (latch.View, error) {
			q.Who = kim
			return w.keeper.Open(w.Context(), office, q)
		}
		if _, err := ask(latch.Request{For: 2 * time.Hour, Longest: time.Hour}); !errors.Is(err, latch.ErrTooLong) {
			t.Errorf("longer than the rules allow: %v", err)
		}
		if _, err := ask(latch.Request{For: 13 * time.Hour, Longest: 24 * time.Hour}); !errors.Is(err, latch.ErrTooLong) {
			t.Errorf("longer than the policy allows: %v", err)
		}
		if _, err := ask(latch.Request{ReasonRequired: true}); !errors.Is(err, latch.ErrReason) {
			t.Errorf("without a reason: %v", err)
		}
		time.Sleep(10 * time.Second)
		began := time.Now()
		if v, err := ask(latch.Request{Longest: time.Hour}); err != nil || !v.Mine.Until.Equal(began.Add(time.Hour)) {
			t.Errorf("by default: until %v, %v, want the rules' hour and not the policy's two", v.Mine.Until, err)
		}
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: 2 * time.Hour, Longest: time.Hour}); !errors.Is(err, latch.ErrTooLong) {
			t.Errorf("extended by more than the rules allow: %v", err)
		}
		w.ready()
		w.vpn.Connect(office, "kim")
		time.Sleep(30*time.Minute + 15*time.Second)
		if v, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: time.Hour, Longest: time.Hour}); err != nil || !v.Clipped || !v.Mine.Until.Equal(time.Now().Add(time.Hour)) {
			t.Errorf("extended: until %v, clipped %v, %v, want an hour from now", v.Mine.Until, v.Clipped, err)
		}
		time.Sleep(10 * time.Minute)
		if _, err := w.keeper.Extend(w.Context(), office, latch.Request{Who: kim, For: 10 * time.Minute, ReasonRequired: true}); !errors.Is(err, latch.ErrReason) {
			t.Errorf("extended without ever a reason: %v", err)
		}
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: admin, For: 4 * time.Hour, Longest: time.Hour, Why: "x", BreakGlass: true}); err != nil {
			t.Errorf("break-glass: %v, want the rules to have no say", err)
		}
	})
}

// TestTheLogHasACopyOfTheAudit: every entry, once, with all its parts, and those of wishes before the act.
func TestTheLogHasACopyOfTheAudit(t *testing.T) {
	var log bytes.Buffer
	inWorld(t, func(w *world) {
		w.through = func(c *latch.Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) }
	}, func(w *world) {
		w.breakGlass(time.Hour)
		w.ready()
		if _, err := w.keeper.EndFor(w.Context(), office, latch.Request{Who: operator}, admin.Subject); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		w.end()
		logged := map[string]latch.Entry{}
		for line := range bytes.Lines(log.Bytes()) {
			var l struct {
				Level string
				Msg   string
				Audit *latch.Entry
			}
			if err := json.Unmarshal(line, &l); err != nil {
				t.Fatal(err)
			}
			if l.Audit == nil {
				continue
			}
			if _, twice := logged[l.Audit.ID]; twice || l.Level != "INFO" || l.Msg != "audit" {
				t.Errorf("logged twice, or not as an audit: %s", line)
			}
			logged[l.Audit.ID] = *l.Audit
		}
		all := w.store.Audit(office)
		for _, e := range all {
			if got := logged[e.ID]; !got.At.Equal(e.At) {
				t.Errorf("%+v is not logged", e)
			} else if got.At = e.At; got != e {
				t.Errorf("logged\n%+v, want\n%+v", got, e)
			}
		}
		if len(all) < 4 || len(logged) != len(all) {
			t.Errorf("%d entries, %d lines", len(all), len(logged))
		}
		w.start() // for what ends the world
	})
}

// TestTheLogHasWhatTheAuditCouldNotTake: the copy is written first.
func TestTheLogHasWhatTheAuditCouldNotTake(t *testing.T) {
	var log bytes.Buffer
	inWorld(t, func(w *world) {
		w.through = func(c *latch.Config) { c.Log = slog.New(slog.NewJSONHandler(&log, nil)) }
		w.store.Fail = failing("Append", always(), latch.ErrUnavailable)
	}, func(w *world) {
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim, ID: "R3"}); !errors.Is(err, latch.ErrUnavailable) {
			t.Fatal(err)
		}
		w.end()
		if !strings.Contains(log.String(), `"audit":{`) || !strings.Contains(log.String(), `"requestId":"R3"`) {
			t.Errorf("the log has\n%s", log.String())
		}
		w.start()
	})
}

// TestAnOrderToCloseStands though AWS does not answer when it is given, and another order takes its place before it does.
func TestAnOrderToCloseStands(t *testing.T) {
	for name, then := range map[string]func(*world) error{
		"a pause": func(w *world) error {
			_, err := w.keeper.Pause(w.Context(), office, latch.Request{Who: lee, For: time.Hour, Why: "works"})
			return err
		},
		"a release": func(w *world) error {
			_, err := w.keeper.Release(w.Context(), office, latch.Request{Who: lee})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			var down atomic.Bool
			silent := func(w *world) {
				w.vpn.Fail = func(string) error {
					if down.Load() {
						return latch.ErrUnavailable
					}
					return nil
				}
			}
			inWorld(t, silent, func(w *world) {
				w.open(kim, 2*time.Hour)
				w.ready()
				down.Store(true)
				if _, err := w.keeper.Close(w.Context(), office, latch.Request{Who: lee, For: time.Hour}); err != nil {
					t.Fatal(err)
				}
				if err := then(w); err != nil {
					t.Fatal(err)
				}
				down.Store(false)
				time.Sleep(10 * time.Minute)
				if on := w.held(); len(on) > 0 || len(w.record().Leases) > 0 {
					t.Errorf("%v is on, and everybody was told that it ends: %+v", on, w.record().Leases)
				}
			})
		})
	}
}
