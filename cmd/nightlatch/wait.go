//go:build !lambda

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/web"
)

// stillMax is how long an opening may go without moving and without anything to wait for at AWS. The beat looks at it
// every ten seconds for most of each minute, so then nobody keeps it.
const stillMax = 3 * time.Minute

// waiting looks on while an endpoint opens, at the keeper's pace, and says how long it will take.
type waiting struct {
	name     string
	location *time.Location
	enough   int // failures of AWS after which it is not waited for
	progress *progress
	look     func(context.Context) (latch.View, error)
}

// until returns when the endpoint can be used. Any other end is an errNotReady, or what kept it from looking; the view
// is the last one.
func (w *waiting) until(ctx context.Context, v latch.View) (latch.View, error) {
	defer w.progress.end()
	var (
		moved    = time.Now() // when it last did
		was      = w.still(v)
		failedAt time.Time // the last failure that was told, or was there before
		failures int
		cause    error // why nothing can be seen now
	)
	if v.Failure != nil {
		failedAt = v.Failure.At
	}
	for {
		words := web.English(w.location, time.Now())
		if cause == nil {
			if f := v.Failure; f != nil && f.At.After(failedAt) {
				failedAt = f.At
				failures++
				w.progress.note(fmt.Sprintf("nightlatch: %s: %s: %s", w.name, f.Step, f.Why))
			}
			if ready, err := w.verdict(v, words, failures); ready || err != nil {
				return v, err
			}
			w.progress.show(fmt.Sprintf("nightlatch: %s: %s", w.name, sentence(v, words)))
		}
		if time.Since(moved) >= stillMax {
			if cause != nil {
				return v, cause
			}
			return v, w.failed(fmt.Sprintf("nothing has moved for %s: does the beat function run?", words.Length(stillMax)), "nightlatch why "+w.name)
		}
		pause := time.NewTimer(max(v.LookAgain, time.Second))
		select {
		case <-ctx.Done():
			pause.Stop()
			return v, w.failed("stopped waiting; the opening goes on", "nightlatch done "+w.name+" gives it up")
		case <-pause.C:
		}
		next, err := w.look(ctx)
		switch {
		case err != nil && ctx.Err() != nil:
			continue // and stop there
		case err != nil && !errors.Is(err, latch.ErrUnavailable) && !errors.Is(err, latch.ErrBusy):
			return v, err
		case err != nil || next.Stale:
			if cause == nil {
				moved = time.Now()
			}
			cause = errors.Join(err, next.Cause)
			w.progress.show(fmt.Sprintf("nightlatch: %s: AWS cannot be asked now, trying again: %v", w.name, cause))
			continue
		}
		v, cause = next, nil
		if is := w.still(v); is != was || v.Progress != nil {
			was, moved = is, time.Now()
		}
	}
}

// verdict is true for an endpoint that can be used, and an error for one that is not worth waiting for.
func (w *waiting) verdict(v latch.View, words web.Words, failures int) (bool, error) {
	switch {
	case v.State == latch.StateOpen:
		return true, nil
	case v.State == latch.StateUnusable, v.Mine.Until.IsZero():
		return false, w.failed("it does not open: "+words.Reason(v.Reason), "nightlatch why "+w.name)
	case failures >= w.enough:
		return false, w.failed(fmt.Sprintf("AWS failed %d times; it is tried again until your lease ends", failures), "nightlatch done "+w.name+" gives it up")
	case v.Progress != nil && v.Progress.Stuck:
		return false, w.failed("stuck: "+words.Progress(*v.Progress), "nightlatch why "+w.name)
	}
	return false, nil
}

func (w *waiting) failed(say, hint string) error { return &told{errNotReady, say, hint} }

// still is what does not change while nothing moves.
func (w *waiting) still(v latch.View) string {
	s := fmt.Sprint(v.State, v.Reason.Code, v.Reason.Done, v.Steps)
	if v.Failure != nil {
		s += v.Failure.At.String()
	}
	return s
}

// sentence says in one line why it is as it is and how much longer it takes.
func sentence(v latch.View, words web.Words) string {
	s := words.Reason(v.Reason)
	if v.Progress != nil {
		s += " " + words.Progress(*v.Progress)
	}
	return s
}

// progress shows one line that changes. On a terminal it is written over; elsewhere each change is a line of its own.
type progress struct {
	out      io.Writer
	terminal bool
	last     string
}

func newProgress(out io.Writer, term string) *progress {
	f, ok := out.(*os.File)
	if ok && term != "dumb" {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return &progress{out: out, terminal: ok && term != "" && term != "dumb"}
}

// show replaces the line.
func (p *progress) show(line string) {
	switch {
	case line == p.last:
		return
	case p.terminal:
		// Erase the line, and do not let a long one wrap: what has wrapped cannot be erased (ECMA-48 EL, DEC DECAWM).
		fmt.Fprintf(p.out, "\r\x1b[2K\x1b[?7l%s\x1b[?7h", line)
	default:
		fmt.Fprintln(p.out, line)
	}
	p.last = line
}

// note writes a line that stays.
func (p *progress) note(line string) {
	p.end()
	fmt.Fprintln(p.out, line)
}

// end leaves the last line as it is.
func (p *progress) end() {
	if p.terminal && p.last != "" {
		fmt.Fprintln(p.out)
	}
	p.last = ""
}
