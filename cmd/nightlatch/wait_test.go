//go:build !lambda

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
)

// TestWaiting is somebody who waits for an endpoint that does what the case says, minute by minute.
func TestWaiting(t *testing.T) {
	associating := func(to time.Duration) func(*latch.View) {
		return func(v *latch.View) {
			v.Reason.Code = latch.OpeningAssociating
			v.Progress = &latch.Progress{Phase: latch.PhaseAssociate, Left: latch.Range{From: to / 2, To: to}, Samples: 7}
		}
	}
	becomes := func(s latch.State, c latch.Code) func(*latch.View) {
		return func(v *latch.View) { v.State, v.Reason.Code, v.Progress = s, c, nil }
	}
	routes := func(done int) func(*latch.View) {
		return func(v *latch.View) {
			v.Reason = latch.Reason{Code: latch.OpeningRoutes, Done: done, Total: 9}
			v.Progress = nil
		}
	}
	fails := func(n int) func(*latch.View) {
		return func(v *latch.View) {
			v.Reason.Code = latch.OpeningRetry
			v.Failure = &latch.Failure{At: time.Now(), Step: "associate subnet-a", Why: fmt.Sprintf("no room %d", n)}
		}
	}
	unanswered := func(v *latch.View) { v.Stale, v.Cause = true, fmt.Errorf("observe: %w", latch.ErrUnavailable) }
	for name, tt := range map[string]struct {
		minutes []func(*latch.View) // what each changes; the last one lasts
		fail    error               // of the looks, from the second minute on
		cancel  time.Duration
		took    time.Duration
		exit    int
		says    []string // in this order
	}{
		"open already": {minutes: []func(*latch.View){becomes(latch.StateOpen, latch.OpenLease)}, exit: exitDone},
		"it opens, and the time that is left is said when it changes": {
			minutes: []func(*latch.View){associating(8 * time.Minute), associating(4 * time.Minute), associating(4 * time.Minute), routes(3), becomes(latch.StateOpen, latch.OpenLease)},
			took:    4 * time.Minute, exit: exitDone,
			says: []string{"office: AWS is connecting the network. This is the long part. 4 minutes to 8 minutes more, going by the last 7 times.\n",
				"This is the long part. 2 minutes to 4 minutes more, going by the last 7 times.\n", "office: Routes are being restored: 3 of 9.\n"}},
		"slower than usual is said, and waited for": {
			minutes: []func(*latch.View){func(v *latch.View) { associating(time.Minute)(v); v.Progress.Slow = true }, becomes(latch.StateOpen, latch.OpenLease)},
			took:    time.Minute, exit: exitDone, says: []string{"This is slower than usual."}},
		"the time that is left stays the same for long": {
			minutes: append(slices.Repeat([]func(*latch.View){associating(time.Minute)}, 8), becomes(latch.StateOpen, latch.OpenLease)), took: 8 * time.Minute, exit: exitDone},
		"longer than ever": {
			minutes: []func(*latch.View){associating(time.Minute), func(v *latch.View) { v.Progress = &latch.Progress{Stuck: true} }},
			took:    time.Minute, exit: exitNotReady},
		"a failed zone is told, and the next one works": {
			minutes: []func(*latch.View){associating(time.Minute), fails(1), associating(time.Minute), becomes(latch.StateOpen, latch.OpenLease)},
			took:    3 * time.Minute, exit: exitDone, says: []string{"nightlatch: office: associate subnet-a: no room 1\n"}},
		"every zone fails": {
			minutes: []func(*latch.View){associating(time.Minute), fails(1), fails(2)}, took: 2 * time.Minute, exit: exitNotReady, says: []string{"no room 1", "no room 2"}},
		"somebody else ends it": {
			minutes: []func(*latch.View){associating(time.Minute), func(v *latch.View) { becomes(latch.StateClosing, latch.ClosingHeld)(v); v.Mine = latch.Lease{} }},
			took:    time.Minute, exit: exitNotReady},
		"it closes first, and opens again after that": {
			minutes: []func(*latch.View){becomes(latch.StateClosing, latch.OpeningQueued), becomes(latch.StateOff, latch.OffIdle), becomes(latch.StateOpening, latch.OpeningAssociating), becomes(latch.StateOpen, latch.OpenLease)},
			took:    3 * time.Minute, exit: exitDone, says: []string{"AWS can't stop half-way."}},
		"nobody keeps it": {minutes: []func(*latch.View){routes(3)}, took: stillMax, exit: exitNotReady},
		"routes come slowly, one every two minutes": {
			minutes: []func(*latch.View){routes(1), routes(1), routes(2), routes(2), routes(3), routes(3), becomes(latch.StateOpen, latch.OpenLease)}, took: 6 * time.Minute, exit: exitDone},
		"EC2 does not answer for a while": {
			minutes: []func(*latch.View){associating(time.Minute), unanswered, unanswered, becomes(latch.StateOpen, latch.OpenLease)}, took: 3 * time.Minute, exit: exitDone,
			says: []string{"AWS cannot be asked now, trying again: observe: unavailable"}},
		"EC2 does not answer at all":     {minutes: []func(*latch.View){associating(time.Minute), unanswered}, took: time.Minute + stillMax, exit: exitAWS},
		"the table does not answer":      {minutes: []func(*latch.View){associating(time.Minute)}, fail: latch.ErrBusy, took: time.Minute + stillMax, exit: exitAWS},
		"the credentials have run out":   {minutes: []func(*latch.View){associating(time.Minute)}, fail: &latch.Fault{Service: "ec2", Code: "ExpiredToken"}, took: time.Minute, exit: exitFailed},
		"Ctrl-C: the opening goes on":    {minutes: []func(*latch.View){associating(time.Minute)}, cancel: 90 * time.Second, took: 90 * time.Second, exit: exitNotReady},
		"Ctrl-C while it looks":          {minutes: []func(*latch.View){associating(time.Minute)}, fail: context.Canceled, took: time.Minute, exit: exitNotReady},
		"AWS has no use for it any more": {minutes: []func(*latch.View){becomes(latch.StateUnusable, latch.UnusableStatus)}, exit: exitNotReady},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if tt.cancel > 0 {
					time.AfterFunc(tt.cancel, cancel)
				}
				view := latch.View{State: latch.StateOpening, Mine: latch.Lease{Until: began.Add(time.Hour)}, LookAgain: 5 * time.Second}
				minute := -1
				look := func(context.Context) (latch.View, error) {
					now := min(int(time.Since(began)/time.Minute), len(tt.minutes)-1)
					if tt.fail != nil && time.Since(began) >= time.Minute {
						if tt.fail == context.Canceled {
							cancel()
						}
						return latch.View{}, tt.fail
					}
					for ; minute < now; minute++ {
						view.Stale, view.Cause = false, nil
						tt.minutes[minute+1](&view)
					}
					return view, nil
				}
				var out bytes.Buffer
				w := waiting{name: "office", location: time.UTC, enough: 2, look: look, progress: newProgress(&out, "xterm")}
				first, _ := look(ctx)
				_, err := w.until(ctx, first)
				exit := exitDone
				if err != nil {
					exit = endingOf(err).exit
				}
				if took := time.Since(began); exit != tt.exit || took < tt.took || took > tt.took+10*time.Second {
					t.Errorf("ended after %v with exit code %d (%v), want %v and %d\n%s", took, exit, err, tt.took, tt.exit, out.String())
				}
				rest := out.String()
				for _, say := range tt.says {
					i := strings.Index(rest, say)
					if i < 0 {
						t.Fatalf("it does not say %q where that belongs; it says\n%s", say, out.String())
					}
					rest = rest[i+len(say):]
				}
				was := ""
				for line := range strings.Lines(out.String()) {
					if line == was {
						t.Errorf("said twice in a row: %s", line)
					}
					was = line
				}
			})
		})
	}
}

// TestProgressOnATerminal: one line that is written over, and the last of it stays.
func TestProgressOnATerminal(t *testing.T) {
	var out bytes.Buffer
	p := &progress{out: &out, terminal: true}
	p.show("first")
	p.show("first")
	p.show("second")
	p.note("a failure")
	p.show("third")
	p.end()
	const over = "\r\x1b[2K\x1b[?7l"
	if got, want := out.String(), over+"first\x1b[?7h"+over+"second\x1b[?7h\na failure\n"+over+"third\x1b[?7h\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestEndings holds the table of exit codes: what is wrapped counts, and the words are the error's.
func TestEndings(t *testing.T) {
	fault := func(code string) error { return &latch.Fault{Service: "ec2", Code: code, Message: "no"} }
	for _, tt := range []struct {
		err  error
		exit int
		hint string // a part of it; empty: none at all
	}{
		{nil, exitDone, ""},
		{errors.New("anything else"), exitFailed, ""},
		{errSaid, exitFailed, ""},
		{usagef("what?"), exitUsage, ""},
		{fmt.Errorf("office: %w", &latch.HeldError{}), exitRefused, "nightlatch release"},
		{&latch.HoursError{}, exitRefused, "hours"},
		{latch.ErrObserving, exitRefused, "mode: observe"},
		{latch.ErrReason, exitRefused, "--reason"},
		{latch.ErrTooLong, exitRefused, "--for"},
		{latch.ErrNoLease, exitRefused, "nightlatch open"},
		{latch.ErrNotReady, exitRefused, "VPC console"},
		{latch.ErrBadRequest, exitUsage, ""},
		{errors.Join(latch.ErrRefused, fault("UnauthorizedOperation")), exitFailed, "may not do this"},
		{errors.Join(latch.ErrRefused, fault("ExpiredToken")), exitFailed, "aws sso login"},
		{errors.Join(latch.ErrRefused, fault("InvalidParameterValue")), exitFailed, "AWS's words"},
		{errors.Join(latch.ErrBusy, fault("RequestLimitExceeded")), exitAWS, "ten seconds"},
		{errors.Join(latch.ErrUnavailable, context.Canceled), exitFailed, "nightlatch status"},
		{latch.ErrUnavailable, exitAWS, "try again"},
		{latch.ErrNotFound, exitFailed, "Region"},
	} {
		var out bytes.Buffer
		if exit := report(tt.err, &out); exit != tt.exit {
			t.Errorf("%v: exit code %d, want %d", tt.err, exit, tt.exit)
		}
		_, hint, _ := strings.Cut(out.String(), "hint: ")
		if (hint == "") != (tt.hint == "") || !strings.Contains(hint, tt.hint) {
			t.Errorf("%v: hint %q, want one that says %q", tt.err, hint, tt.hint)
		}
	}
}
