package latch_test

import (
	"errors"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

var (
	weekday = []time.Weekday{time.Monday, time.Tuesday, time.Wednesday, time.Thursday, time.Friday}
	daily   = append([]time.Weekday{time.Saturday, time.Sunday}, weekday...)
)

func place(t *testing.T, name string) *time.Location {
	t.Helper()
	l, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestHours(t *testing.T) {
	seoul, berlin := place(t, "Asia/Seoul"), place(t, "Europe/Berlin")
	office := &latch.Hours{Location: seoul, Windows: []latch.Window{{weekday, 8 * 60, 19 * 60}}}
	night := &latch.Hours{Location: seoul, Windows: []latch.Window{{weekday, 22 * 60, 6 * 60}}}
	split := &latch.Hours{Location: seoul, Windows: []latch.Window{{weekday, 8 * 60, 12 * 60}, {weekday, 12 * 60, 19 * 60}, {weekday, 10 * 60, 11 * 60}}}
	always := &latch.Hours{Location: seoul, Windows: []latch.Window{{daily, 0, 24 * 60}}}
	summer := &latch.Hours{Location: berlin, Windows: []latch.Window{{daily, 2*60 + 30, 9 * 60}}}
	howe := &latch.Hours{Location: place(t, "Australia/Lord_Howe"), Windows: []latch.Window{{daily, 1*60 + 45, 9 * 60}}}
	for name, tt := range map[string]struct {
		h           *latch.Hours
		now         string
		may         bool
		until, next string
	}{
		"no hours: always": {nil, "2026-11-20T03:00:00Z", true, "", ""},
		"Friday noon":      {office, "2026-11-20T12:00:00+09:00", true, "2026-11-20T19:00:00+09:00", ""},
		"the first minute": {office, "2026-11-20T08:00:00+09:00", true, "2026-11-20T19:00:00+09:00", ""},
		"the last second":  {office, "2026-11-20T18:59:59+09:00", true, "2026-11-20T19:00:00+09:00", ""},
		"the end does not belong to it; Monday is next": {office, "2026-11-20T19:00:00+09:00", false, "", "2026-11-23T08:00:00+09:00"},
		"Saturday":                         {office, "2026-11-21T12:00:00+09:00", false, "", "2026-11-23T08:00:00+09:00"},
		"before the morning":               {office, "2026-11-20T07:59:00+09:00", false, "", "2026-11-20T08:00:00+09:00"},
		"Sunday in UTC is Monday in Seoul": {office, "2026-11-22T23:30:00Z", true, "2026-11-23T19:00:00+09:00", ""},
		"over midnight: Friday's night is Saturday's morning":     {night, "2026-11-21T05:00:00+09:00", true, "2026-11-21T06:00:00+09:00", ""},
		"over midnight: Saturday has no night":                    {night, "2026-11-21T23:00:00+09:00", false, "", "2026-11-23T22:00:00+09:00"},
		"windows that touch or overlap are one":                   {split, "2026-11-20T10:30:00+09:00", true, "2026-11-20T19:00:00+09:00", ""},
		"every day, whole: no end":                                {always, "2026-11-20T10:30:00+09:00", true, "", ""},
		"clocks go forward: 02:30 does not exist and is as later": {summer, "2026-03-29T01:10:00Z", false, "", "2026-03-29T01:30:00Z"},
		"clocks go forward: 09:00 is an hour earlier in UTC":      {summer, "2026-03-29T06:00:00Z", true, "2026-03-29T07:00:00Z", ""},
		"clocks go back: 02:30 comes twice, the first counts":     {summer, "2026-10-25T00:31:00Z", true, "2026-10-25T08:00:00Z", ""},
		"clocks go back by half an hour: 01:45 comes twice":       {howe, "2026-04-04T14:45:00Z", true, "2026-04-04T22:30:00Z", ""},
		"clocks go back by half an hour: not before the first":    {howe, "2026-04-04T14:44:00Z", false, "", "2026-04-04T14:45:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			may, until, next := tt.h.May(now)
			at := func(what string, got time.Time, want string) {
				var w time.Time
				if want != "" {
					if w, err = time.Parse(time.RFC3339, want); err != nil {
						t.Fatal(err)
					}
				}
				if !got.Equal(w) {
					t.Errorf("%s is %v, want %v", what, got, w)
				}
			}
			if may != tt.may {
				t.Errorf("may is %v, want %v", may, tt.may)
			}
			at("until", until, tt.until)
			at("next", next, tt.next)
		})
	}
}

func TestHoursAreChecked(t *testing.T) {
	p := policy()
	p.Hours = &latch.Hours{Windows: []latch.Window{{nil, -1, 24*60 + 1}}}
	if n := len(p.Check()); n != 4 {
		t.Errorf("%v: %d faults, want one each for zone, days, from and to", p.Check(), n)
	}
	p.Hours = &latch.Hours{Location: time.UTC}
	if n := len(p.Check()); n != 1 {
		t.Errorf("%v: want one fault for hours without windows", p.Check())
	}
}

// The bubble's clock begins on Saturday, 1 January 2000, at midnight UTC.
func hoursOf(from, to int, closes bool) func(*world) {
	return func(w *world) {
		w.policy.Hours = &latch.Hours{Location: time.UTC, Close: closes, Windows: []latch.Window{{daily, from * 60, to * 60}}}
	}
}

func TestNobodyOpensOutsideTheHours(t *testing.T) {
	inWorld(t, hoursOf(8, 19, false), func(w *world) {
		_, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim})
		hours, ok := errors.AsType[*latch.HoursError](err)
		if !errors.Is(err, latch.ErrHours) || !ok || !hours.Next.Equal(time.Date(2000, 1, 1, 8, 0, 0, 0, time.UTC)) {
			t.Fatalf("at midnight: %v, want to hear when one may", err)
		}
		if entries, err := w.store.Entries(w.Context(), office, 10); err != nil || len(entries) > 0 {
			t.Errorf("a wish that was never taken is in the audit: %v, %v", entries, err)
		}
		w.want(latch.StateOff, latch.OffHours)
		if v := w.view(kim); v.OpenFrom.IsZero() || !v.Until.IsZero() {
			t.Errorf("shown are openFrom %v and until %v", v.OpenFrom, v.Until)
		}
		time.Sleep(8 * time.Hour)
		w.open(kim, 12*time.Hour)
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		time.Sleep(11 * time.Hour)
		w.vpn.Send(c, 1<<20)
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: lee}); !errors.Is(err, latch.ErrHours) {
			t.Errorf("joining after the hours: %v", err)
		}
		if v := w.view(kim); v.State != latch.StateOpen {
			t.Errorf("%s: hours that do not close cut somebody off", v.State)
		}
	})
}

// TestTheHoursEndWhileEC2IsAsked: the wish came in time, and is refused all the same, rather than taken and dropped.
func TestTheHoursEndWhileEC2IsAsked(t *testing.T) {
	slow := func(w *world) {
		hoursOf(0, 1, false)(w)
		w.vpn.Fail = func(call string) error {
			if call == "Observe" {
				time.Sleep(2 * time.Second)
			}
			return nil
		}
	}
	inWorld(t, slow, func(w *world) {
		time.Sleep(time.Hour - time.Second)
		if _, err := w.keeper.Open(w.Context(), office, latch.Request{Who: kim}); !errors.Is(err, latch.ErrHours) {
			t.Errorf("got %v, want ErrHours", err)
		}
		if r := w.record(); len(r.Leases) > 0 || r.Opening != nil {
			t.Errorf("stored: %+v", r)
		}
	})
}

func TestTheHoursEndCloses(t *testing.T) {
	inWorld(t, hoursOf(0, 6, true), func(w *world) {
		if v := w.open(kim, 12*time.Hour); !v.Clipped || !v.Mine.Until.Equal(time.Date(2000, 1, 1, 6, 0, 0, 0, time.UTC)) {
			t.Errorf("twelve hours are until %v, clipped %v: want to hear that six o'clock is as far as it goes", v.Mine.Until, v.Clipped)
		}
		w.ready()
		c, _ := w.vpn.Connect(office, "kim")
		for time.Now().Hour() < 6 {
			w.vpn.Send(c, 1<<20)
			time.Sleep(time.Minute)
		}
		time.Sleep(10 * time.Minute)
		if held := w.held(); len(held) != 0 {
			t.Errorf("%v is billed after the hours, though somebody was working", held)
		}
		w.want(latch.StateOff, latch.OffHours)
		time.Sleep(30 * time.Hour)
		if held := w.held(); len(held) != 0 {
			t.Errorf("%v: the next day's hours opened it by themselves", held)
		}
	})
}

// TestHoursThatChangeUnderALease: a lease that was given under other hours ends with the new ones, and does not come back.
func TestHoursThatChangeUnderALease(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.open(kim, 8*time.Hour)
		w.ready()
		p := w.policy
		hoursOf(8, 19, true)(w)
		w.end()
		w.start()
		time.Sleep(20 * time.Minute)
		if held, live := w.held(), w.record().Live(time.Now()); len(held) != 0 || len(live) != 0 {
			t.Errorf("held %v, leases %v: the hours are over", held, live)
		}
		w.policy = p
	})
}
