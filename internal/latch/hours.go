package latch

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Hours are when an endpoint may be opened, by the clock of a place. The zero value of *Hours, nil, is always.
type Hours struct {
	Location *time.Location
	Windows  []Window
	// Close ends what is open when the hours do; otherwise they forbid opening and joining only.
	Close bool
}

// Window is a span of time on each of its days.
type Window struct {
	Days []time.Weekday
	// From and To are minutes on the clock after midnight, 0 to 24*60. A To that is not after From is on the next day.
	// On the day on which clocks change they mean what a clock on the wall shows; a time that it leaves out is as much
	// later, one that it shows twice is the first.
	From, To int
}

func (h *Hours) check() []error {
	if h == nil {
		return nil
	}
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(h.Location != nil, "hours: have no time zone")
	fault(len(h.Windows) > 0, "hours.windows: name at least one, or leave out hours")
	for i, w := range h.Windows {
		fault(len(w.Days) > 0, "hours.windows.%d.days: name at least one", i)
		fault(w.From >= 0 && w.From < 24*60, "hours.windows.%d.from: is not between 00:00 and 23:59", i)
		fault(w.To >= 0 && w.To <= 24*60, "hours.windows.%d.to: is not between 00:00 and 24:00", i)
	}
	return faults
}

// span is a time within hours: from is the first instant, to the first that is not.
type span struct{ from, to time.Time }

// spans are those that lie around now, in order, those that touch joined: from the day before to nine days on, so that
// every window of a week is there whole.
func (h *Hours) spans(now time.Time) []span {
	var all []span
	y, m, d := now.In(h.Location).Date()
	for day := d - 2; day <= d+9; day++ {
		for _, w := range h.Windows {
			if !slices.Contains(w.Days, time.Date(y, m, day, 12, 0, 0, 0, h.Location).Weekday()) {
				continue
			}
			s := span{h.at(y, m, day, w.From), h.at(y, m, day, w.To)}
			if w.To <= w.From {
				s.to = h.at(y, m, day+1, w.To)
			}
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Or(a.from.Compare(b.from), a.to.Compare(b.to)) })
	var joined []span
	for _, s := range all {
		if n := len(joined); n > 0 && !s.from.After(joined[n-1].to) {
			if s.to.After(joined[n-1].to) {
				joined[n-1].to = s.to
			}
			continue
		}
		joined = append(joined, s)
	}
	return joined
}

// at is when the clock on the wall shows so many minutes after midnight, the first time if it does so twice. (time.Date
// does not say which of the two it takes.)
func (h *Hours) at(y int, m time.Month, day, minutes int) time.Time {
	t := time.Date(y, m, day, 0, minutes, 0, 0, h.Location)
	_, offset := t.Zone()
	_, before := t.Add(-time.Hour).Zone() // clocks go back by an hour at most
	if first := t.Add(time.Duration(offset-before) * time.Second); offset < before {
		if _, then := first.Zone(); then == before {
			return first
		}
	}
	return t
}

// May says whether one may open at now. If so, until is when that ends, zero when it does not within a week; if not,
// next is when one may again.
func (h *Hours) May(now time.Time) (may bool, until, next time.Time) {
	if h == nil {
		return true, time.Time{}, time.Time{}
	}
	for _, s := range h.spans(now) {
		switch {
		case now.Before(s.from):
			return false, time.Time{}, s.from
		case now.Before(s.to):
			if s.to.Sub(now) > 7*24*time.Hour {
				return true, time.Time{}, time.Time{}
			}
			return true, s.to, time.Time{}
		}
	}
	return false, time.Time{}, time.Time{} // no window at all: check refuses that
}

// over says whether the hours close the endpoint at now. Just before they begin they do not: a process whose clock is
// behind must not send away whom another has let in.
func (h *Hours) over(now time.Time) bool {
	if h == nil || !h.Close {
		return false
	}
	if may, _, _ := h.May(now); may {
		return false
	}
	soon, _, _ := h.May(now.Add(skew))
	return !soon
}

// end is when the hours will close the endpoint; zero when they will not, or have.
func (h *Hours) end(now time.Time) time.Time {
	if h == nil || !h.Close {
		return time.Time{}
	}
	_, until, _ := h.May(now)
	return until
}

// ErrHours is a wish outside the hours in which one may open. The chain holds an *HoursError that says when one may.
var ErrHours = errors.New("outside the hours")

// HoursError says when a wish that came outside the hours would succeed.
type HoursError struct{ Next time.Time }

func (e *HoursError) Error() string {
	return fmt.Sprintf("%s: one may open from %s", ErrHours, e.Next.Format(time.RFC3339))
}

// Unwrap makes it an ErrHours.
func (e *HoursError) Unwrap() error { return ErrHours }
