//go:build !lambda

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/web"
)

// shown is one endpoint of a status.
type shown struct {
	endpoint web.Endpoint
	view     latch.View
	drift    []latch.Difference // nil: not asked for
	err      error              // it could not be looked at
}

// statusJSON is an endpoint of nightlatch status: what the API says, and more.
type statusJSON struct {
	web.Status
	Differences []differenceJSON `json:"differences,omitzero"`
	Error       string           `json:"error,omitempty"`
}

type differenceJSON struct {
	latch.Difference
	Text string `json:"text"`
}

type reasonJSON struct {
	latch.Reason
	Text string `json:"text"`
}

type causeJSON struct {
	latch.Cause
	Text string `json:"text"`
}

type pastJSON struct {
	Phase   latch.Phase `json:"phase"`
	Samples int         `json:"samples"`
	Half    int64       `json:"halfSeconds"`
	Most    int64       `json:"mostSeconds"`
	All     int64       `json:"allSeconds"`
}

// whyJSON is the object of nightlatch why.
type whyJSON struct {
	Endpoint    string           `json:"endpoint"`
	ID          latch.EndpointID `json:"id"`
	Title       string           `json:"title"`
	State       latch.State      `json:"state"`
	Reason      reasonJSON       `json:"reason"`
	ClosesAt    time.Time        `json:"closesAt,omitzero"`
	Causes      []causeJSON      `json:"causes"`
	Leases      []latch.Lease    `json:"leases"`
	Hold        *latch.Hold      `json:"hold,omitempty"`
	Next        []string         `json:"next"`
	Differences []differenceJSON `json:"differences"`
	Failure     *latch.Failure   `json:"failure,omitempty"`
	Past        []pastJSON       `json:"past"`
	Audit       []latch.Entry    `json:"audit"`
	Stale       bool             `json:"stale,omitempty"`
	Unanswered  string           `json:"unanswered,omitempty"`
	ObservedAt  time.Time        `json:"observedAt"`
	Now         time.Time        `json:"now"`
}

func (v *verb) encode(x any) error {
	e := json.NewEncoder(v.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(x)
}

// show prints one endpoint as the person sees it.
func (v *verb) show(e config.Endpoint, view latch.View) error {
	if v.json {
		return v.encode(web.StatusOf(webEndpoint(e), view, time.Now()))
	}
	return v.print(shown{endpoint: webEndpoint(e), view: view}, time.Now())
}

// showAll prints a status: a line for each endpoint, or everything about each.
func (v *verb) showAll(all []shown, lines bool) error {
	now := time.Now()
	switch {
	case v.json:
		list := []statusJSON{}
		for _, s := range all {
			if s.err != nil {
				list = append(list, statusJSON{Status: web.Status{Endpoint: s.endpoint.Name, ID: string(s.endpoint.ID), Title: s.endpoint.Title}, Error: s.err.Error()})
				continue
			}
			list = append(list, statusJSON{Status: web.StatusOf(s.endpoint, s.view, now), Differences: differences(s.drift, web.English(s.endpoint.Location, now))})
		}
		return v.encode(map[string]any{"endpoints": list})
	case lines:
		return v.table(all, now)
	}
	for i, s := range all {
		if i > 0 {
			fmt.Fprintln(v.stdout)
		}
		if err := v.print(s, now); err != nil {
			return err
		}
	}
	return nil
}

func differences(all []latch.Difference, w web.Words) []differenceJSON {
	if all == nil {
		return nil
	}
	list := []differenceJSON{}
	for _, d := range all {
		list = append(list, differenceJSON{d, w.Difference(d)})
	}
	return list
}

func (v *verb) table(all []shown, now time.Time) error {
	t := tabwriter.NewWriter(v.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "ENDPOINT\tSTATE\tUNTIL\tLEASES\tWHY")
	for _, s := range all {
		if s.err != nil {
			fmt.Fprintf(t, "%s\t?\t\t\tcannot be shown now\n", s.endpoint.Name)
			continue
		}
		w, until, leases := web.English(s.endpoint.Location, now), "", s.view.Others
		if !s.view.Until.IsZero() {
			until = w.Clock(s.view.Until)
		}
		if !s.view.Mine.Until.IsZero() {
			leases++
		}
		why := w.Reason(s.view.Reason)
		if s.view.Stale {
			why = fmt.Sprintf("as of %s; AWS cannot be asked now", w.Clock(s.view.ObservedAt))
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\n", s.endpoint.Name, w.State(s.view.State), until, leases, why)
	}
	return t.Flush()
}

// print writes all there is to say of one endpoint.
func (v *verb) print(s shown, now time.Time) error {
	e, view, w := s.endpoint, s.view, web.English(s.endpoint.Location, now)
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, "  "+format+"\n", args...) }
	if s.err != nil {
		fmt.Fprintf(&b, "%s (%s, %s) cannot be shown now\n", e.Name, e.Title, e.ID)
		_, err := io.WriteString(v.stdout, b.String())
		return err
	}
	fmt.Fprintf(&b, "%s (%s, %s): %s\n", e.Name, e.Title, e.ID, w.State(view.State))
	line("%s", sentence(view, w))
	if view.Stale {
		line("This is how it was at %s. AWS cannot be asked now: %v", w.Clock(view.ObservedAt), view.Cause)
	}
	if view.Observed {
		line("%s", w.Cause(latch.Cause{Code: latch.CauseObserve}))
	}
	if h := view.Hold; h != nil && h.Pause {
		line("%s", w.Cause(latch.Cause{Code: latch.CausePaused, At: h.Until, Who: orSubject(h.Name, h.By), Message: h.Why}))
	}
	if !view.Mine.Until.IsZero() {
		line("Your lease%s: until %s%s.", byBreakGlass(view.Mine), w.Clock(view.Mine.Until), colon(view.Mine.Why))
	}
	if view.Others > 0 {
		line("Leases of others: %d.", view.Others)
	}
	if view.Connections > 0 {
		line("Clients connected: %d.", view.Connections)
	}
	for _, a := range view.Associations {
		line("%s: %s%s.", a.Subnet, a.Status, colon(a.Message))
	}
	if f := view.Failure; f != nil {
		line("Last failure, at %s: %s: %s", w.Clock(f.At), f.Step, f.Why)
	}
	if s.drift != nil && len(s.drift) == 0 {
		line("It is as it should be.")
	}
	for _, d := range s.drift {
		line("Differs: %s", w.Difference(d))
	}
	_, err := io.WriteString(v.stdout, b.String())
	return err
}

func byBreakGlass(l latch.Lease) string {
	if l.BreakGlass {
		return " (break-glass)"
	}
	return ""
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

// explain prints what nightlatch why knows.
func (v *verb) explain(e config.Endpoint, x latch.Explanation) error {
	now := time.Now()
	w := web.English(e.Location, now)
	closing, closes := latch.Closing(x.Causes)
	if v.json {
		return v.encode(explanation(e, x, closing, w, now))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s (%s, %s): %s\n  %s\n", e.Name, e.Title, e.ID, w.State(x.Decision.State), w.Reason(x.Decision.Reason))
	if x.Stale {
		fmt.Fprintf(&b, "  This is how it was at %s. AWS cannot be asked now: %v\n", w.Clock(x.ObservedAt), x.Unanswered)
	}
	if closes {
		fmt.Fprintf(&b, "  If nothing changes, it turns off at %s.\n", w.Clock(closing.At))
	}
	section := func(title string, lines []string) {
		if len(lines) > 0 {
			fmt.Fprintf(&b, "\n%s\n  %s\n", title, strings.Join(lines, "\n  "))
		}
	}
	var lines []string
	for _, c := range x.Causes {
		lines = append(lines, w.Cause(c))
	}
	section("What holds it, and what ends it", lines)
	lines = nil
	for _, l := range x.Leases {
		lines = append(lines, fmt.Sprintf("%s%s: %s to %s%s", orSubject(l.Name, l.Subject), byBreakGlass(l), w.Clock(l.Since), w.Clock(l.Until), colon(l.Why)))
	}
	section("Leases", lines)
	lines = nil
	for _, s := range x.Decision.Steps {
		lines = append(lines, s.String())
	}
	section("Next steps", lines)
	lines = nil
	for _, d := range x.Differences {
		lines = append(lines, w.Difference(d))
	}
	section("How it differs from what it should be", lines)
	if f := x.Failure; f != nil {
		section("Last failure", []string{fmt.Sprintf("%s: %s: %s", w.Clock(f.At), f.Step, f.Why)})
	}
	lines = nil
	for _, p := range x.Past {
		lines = append(lines, fmt.Sprintf("%s: half within %s, nine in ten within %s, the longest %s (of %d)", w.Phase(p.Phase),
			w.Length(p.Half), w.Length(p.Most), w.Length(p.All), p.Samples))
	}
	section("How long it takes here", lines)
	lines = nil
	for _, a := range x.Entries {
		who := orSubject(a.Name, a.Subject)
		if who == "" {
			who = "Nightlatch"
		}
		lines = append(lines, strings.Join(strings.Fields(strings.Join([]string{w.Clock(a.At), who, a.Action, string(a.Whose), a.Before, a.After, a.Why}, " ")), " "))
	}
	section("Newest in the audit", lines)
	_, err := io.WriteString(v.stdout, b.String())
	return err
}

func orSubject(name string, s latch.Subject) string {
	if name == "" {
		return string(s)
	}
	return name
}

func explanation(e config.Endpoint, x latch.Explanation, closing latch.Cause, w web.Words, now time.Time) whyJSON {
	out := whyJSON{Endpoint: e.Name, ID: e.ID, Title: e.Title, State: x.Decision.State, Reason: reasonJSON{x.Decision.Reason, w.Reason(x.Decision.Reason)},
		ClosesAt: closing.At, Causes: []causeJSON{}, Leases: append([]latch.Lease{}, x.Leases...), Hold: x.Hold, Next: []string{},
		Differences: differences(append([]latch.Difference{}, x.Differences...), w), Failure: x.Failure, Past: []pastJSON{},
		Audit: append([]latch.Entry{}, x.Entries...), Stale: x.Stale, ObservedAt: x.ObservedAt, Now: now}
	if x.Unanswered != nil {
		out.Unanswered = x.Unanswered.Error()
	}
	for _, c := range x.Causes {
		out.Causes = append(out.Causes, causeJSON{c, w.Cause(c)})
	}
	for _, s := range x.Decision.Steps {
		out.Next = append(out.Next, s.String())
	}
	for _, p := range x.Past {
		out.Past = append(out.Past, pastJSON{p.Phase, p.Samples, int64(p.Half / time.Second), int64(p.Most / time.Second), int64(p.All / time.Second)})
	}
	return out
}
