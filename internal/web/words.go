package web

import (
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// Words says in English, and by one place's clock, what the pages say: for the command line, so that nothing is worded
// twice.
type Words struct {
	loc *time.Location
	now time.Time
}

// English returns the words for somebody whose clock shows now at loc.
func English(loc *time.Location, now time.Time) Words { return Words{loc, now} }

// State is the state in a word or two, to stand in a list.
func (w Words) State(s latch.State) string { return stateWord[s].say(en) }

// Reason says why an endpoint is as it is.
func (w Words) Reason(r latch.Reason) string { return reasonText(en, r, w.loc, w.now) }

// Progress says how much longer what is under way takes.
func (w Words) Progress(p latch.Progress) string { return progressText(en, p) }

// Phase is what is under way in a phase.
func (w Words) Phase(p latch.Phase) string { return phaseText[p].say(en) }

// Cause says what one cause means.
func (w Words) Cause(c latch.Cause) string { return causeText(en, c, w.loc, w.now) }

// Difference says what one difference is.
func (w Words) Difference(d latch.Difference) string { return differenceText(en, d) }

// Clock is a time of day, with the date unless it is today.
func (w Words) Clock(t time.Time) string { return clock(en, t, w.loc, w.now) }

// Length is a length of time, at least a second.
func (w Words) Length(d time.Duration) string { return lengthOf(en, max(d, time.Second)) }

func causeText(l lang, c latch.Cause, loc *time.Location, now time.Time) string {
	return strings.TrimSpace(causeSay[c.Code].say(l, "{at}", clock(l, c.At, loc, now), "{who}", c.Who, "{message}", c.Message))
}

func differenceText(l lang, d latch.Difference) string {
	return strings.TrimSpace(differenceSay[d.Code].say(l, "{association}", string(d.Association), "{subnet}", string(d.Subnet),
		"{destination}", d.Destination, "{group}", string(d.Group), "{status}", string(d.Status), "{message}", d.Message))
}

// StatusOf is an endpoint as the API shows it to the person whose view it is, in English.
func StatusOf(e Endpoint, v latch.View, now time.Time) Status { return statusOf(&e, v, en, now) }
