package web

import (
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// page is everything a template shows, in words already; templates decide only what stands where.
type page struct {
	labels
	Lang, CSS, JS   string
	DocTitle        string
	Kicker          string // what the page is about, above the heading
	Heading, Status string
	Path            string // of this page, with ?look
	Home            bool   // whether there is a list to go to
	Admin           string // label of the way to the administrators' page; empty for who may not
	Langs           []langLink
	User            string // empty when nobody is known to be signed in
	Token           string // of this browser's forms; empty: no form

	Endpoint *endpointPage
	List     []listed
	Problem  *problemPage
	Message  *message
	Console  *console // the administrators'
}

// message is a page that says one thing and leads on.
type message struct{ Text, Href, Link string }

type langLink struct {
	Code, Name, Href string
	Current          bool
}

type endpointPage struct {
	API, Now       string
	Zone, ZoneName string // of the clock that the page shows
	Tag            string // the API's ETag of the same view, so that the first poll costs a 304
	Poll           int64  // milliseconds
	State          string
	Busy           bool   // something is under way at AWS
	Intent         string // what a form was about to do before its sender had to sign in
	IntentForm     string
	Notices        []string
	Refused        *refusedNote
	Failure        *failureNote
	Steps          []stepLine
	Times          []timeLine
	Lines          []string // what to know or do now
	Portal         string
	Countdown      int // seconds; 0: none
	Open           *form
	Extend         *form
	Done           *form
}

type failureNote struct{ What, Do, Step, Why string }

type refusedNote struct{ Title, Detail string }

type stepLine struct {
	Class, Mark, Text, Count, Said string
	Current                        bool
}

type timeLine struct{ Label, ISO, Text, Relative string }

type form struct {
	Action, Button, Legend, Hint string
	Primary                      bool
	AskReason, MustReason        bool
	Choices                      []choice
}

type choice struct {
	Value, Text string
	Checked     bool
}

type listed struct{ Href, Title, State, Class, Status string }

type problemPage struct {
	Detail, RequestID, BackTo, BackText string
	AWS                                 *awsWords
	Done                                *form
}

func (h *handler) newPage(w http.ResponseWriter, r *http.Request) page {
	v := visitOf(r)
	p := page{labels: labelsIn(v.lang), Lang: v.lang.String(), CSS: h.css, JS: h.js, Home: len(h.c.Endpoints) > 1}
	switch {
	case v.back != "":
		p.at(v.back, v.lang)
	case v.endpoint != nil:
		p.at(v.endpoint.page(true), v.lang)
	default:
		p.at("/", v.lang)
	}
	if v.who.Subject != "" {
		p.User, p.Token = v.who.Name, h.formToken(w, r)
		if p.User == "" {
			p.User = string(v.who.Subject)
		}
		if v.in && len(h.administered(r)) > 0 {
			p.Admin = tAdmin.say(v.lang)
		}
	}
	return p
}

// at says where the page is. The languages' links lead to the same, and never to what counts down to opening.
func (p *page) at(address string, now lang) {
	p.Path, p.Langs = address, nil
	to := address
	switch {
	case to == "/":
		to = "/?look&"
	case strings.Contains(to, "?"):
		to += "&"
	default:
		to += "?"
	}
	for l := range langs {
		p.Langs = append(p.Langs, langLink{l.String(), langNames[l], to + "lang=" + l.String(), l == now})
	}
}

// render writes a whole page or, when a template fails, none of it.
func (h *handler) render(w http.ResponseWriter, status int, p page) error {
	t, err := h.pages, error(nil)
	if p.Console != nil {
		t, err = h.consoles()
	}
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	var b bytes.Buffer
	if err := t.ExecuteTemplate(&b, "page.html", p); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
	return nil
}

func (h *handler) home(w http.ResponseWriter, r *http.Request, p latch.Principal) error {
	if len(h.c.Endpoints) == 1 {
		visitOf(r).endpoint = &h.c.Endpoints[0]
		return h.showPage(w, r, p, &h.c.Endpoints[0])
	}
	l := visitOf(r).lang
	pg := h.newPage(w, r)
	pg.Heading, pg.DocTitle = tList.say(l), tList.say(l)
	now := time.Now()
	no := access.Decision{}
	for i := range h.c.Endpoints {
		e := &h.c.Endpoints[i]
		if d := h.may(r, e, access.See); !d.Allowed {
			if i == 0 || no.From.IsZero() || !d.From.IsZero() && d.From.Before(no.From) {
				no = d
			}
			continue
		}
		line := listed{Href: e.page(false), Title: e.Title, State: tNotShown.say(l), Class: "unknown"}
		v, err := h.c.Keeper.View(r.Context(), e.ID, p)
		switch {
		case err != nil: // it does not hide the others
			h.c.Log.ErrorContext(r.Context(), "endpoint not shown", "endpoint", e.Name, "request_id", visitOf(r).id, "err", err)
		case v.Stale:
			line.State, line.Status = tUnknown.say(l), unknownAt(l, v, e, now)
		default:
			line.State, line.Class, line.Status = stateTitle[v.State].say(l), string(v.State), reasonText(l, v.Reason, e.Location, now)
		}
		pg.List = append(pg.List, line)
	}
	if len(pg.List) == 0 {
		return h.refused(r, nil, access.See, "", no)
	}
	return h.render(w, http.StatusOK, pg)
}

func unknownAt(l lang, v latch.View, e *Endpoint, now time.Time) string {
	return tUnknownAt.say(l, "{at}", clock(l, v.ObservedAt, e.Location, now), "{state}", stateWord[v.State].say(l))
}

func (h *handler) showPage(w http.ResponseWriter, r *http.Request, p latch.Principal, e *Endpoint) error {
	see := h.may(r, e, access.See)
	v, err := h.c.Keeper.View(r.Context(), e.ID, p)
	if !see.Allowed {
		visitOf(r).back = "/"
		visitOf(r).leaving = err == nil && !v.Mine.Until.IsZero()
		return h.refused(r, e, access.See, "", see)
	}
	if err != nil {
		return err
	}
	l, now := visitOf(r).lang, time.Now()
	pg := h.newPage(w, r)
	pg.Kicker = e.Title
	pg.Heading, pg.Status = stateTitle[v.State].say(l), reasonText(l, v.Reason, e.Location, now)
	mark := stateMark[v.State]
	if v.Stale {
		mark, pg.Heading, pg.Status = "?", tUnknown.say(l), unknownAt(l, v, e, now)
	}
	pg.DocTitle = mark + " " + pg.Heading + " – " + e.Title
	pg.Endpoint = h.endpointPage(r, pg.labels, v, e, now)
	query := r.URL.Query()
	if keep := remind(pg.Endpoint, l, query); keep != "" {
		pg.at(e.page(true)+keep, l)
	}
	if query.Has("clipped") && !v.Mine.Until.IsZero() {
		pg.Endpoint.Notices = append(pg.Endpoint.Notices, tClipped.say(l, "{until}", clock(l, v.Mine.Until, e.Location, now)))
	}
	if e.Policy.OnVisit == latch.VisitOpens && v.State == latch.StateOff && !v.Stale && v.Mine.Until.IsZero() &&
		pg.Endpoint.Open != nil && !pg.Endpoint.Open.MustReason && pg.Endpoint.Intent == "" && r.Method == http.MethodGet && !query.Has("look") && h.byPerson(r) {
		pg.Endpoint.Countdown = 3
	}
	return h.render(w, http.StatusOK, pg)
}

// endpointPage lays out one endpoint for one person: what is, then what they can do, with one button that stands out.
func (h *handler) endpointPage(r *http.Request, words labels, v latch.View, e *Endpoint, now time.Time) *endpointPage {
	l, open, extend := visitOf(r).lang, h.may(r, e, access.Open), h.may(r, e, access.Extend)
	ep := &endpointPage{
		API: "/api/v1/endpoints/" + e.Name, Tag: h.statusFor(r, e, v, now).etag(l), Zone: e.Location.String(), ZoneName: zoneName(now.In(e.Location)), Now: iso(now), Poll: pollAfter(v).Milliseconds(), State: string(v.State),
		Busy: !v.Stale && (v.State == latch.StateOpening || v.State == latch.StateClosing || v.State == latch.StateDegraded),
	}
	at := func(t time.Time) string { return clock(l, t, e.Location, now) }
	line := func(t text) { ep.Lines = append(ep.Lines, t.say(l)) }
	held := !v.Mine.Until.IsZero()
	if v.Soon && !v.Stale {
		soon := tSoon
		if held && extend.Allowed && v.Hold == nil && v.ExtendUntil.After(v.Mine.Until) {
			soon = tSoonMine
		}
		ep.Notices = append(ep.Notices, soon.say(l, "{until}", at(v.Until)))
	}
	// What the state's own sentence says already is not said twice.
	if o := v.Hold; o != nil && v.Reason.Code != latch.OffHeld && v.Reason.Code != latch.OffPaused && v.Reason.Code != latch.OpenPaused {
		said := reasonSay[latch.OffHeld]
		if o.Pause {
			said = tPaused
		}
		ep.Notices = append(ep.Notices, strings.TrimSpace(said.say(l, "{until}", at(o.Until), "{message}", o.Why)))
	}
	refuse := func(a access.Action, d access.Decision) {
		ep.Refused = &refusedNote{mayNot[a].say(l), refusalText(l, d, visitOf(r).id, e.Location, now)}
	}
	if f := v.Failure; f != nil && v.State != latch.StateOpen {
		ep.Failure = &failureNote{tFailed.say(l) + " (" + at(f.At) + ")", tFailedDo.say(l), f.Step, f.Why}
	}
	if v.State == latch.StateOpening || v.State == latch.StateDegraded {
		ep.Steps = stepLines(words, l, v.Steps)
	}
	if !v.Since.IsZero() {
		ep.Times = append(ep.Times, timeLine{words.Started, iso(v.Since), at(v.Since), relative(l, v.Since, now)})
	}
	if held {
		ep.Times = append(ep.Times, timeLine{words.YourEnd, iso(v.Mine.Until), at(v.Mine.Until), relative(l, v.Mine.Until, now)})
	}
	switch v.State {
	case latch.StateOpening, latch.StateClosing:
		if v.Progress != nil && !v.Stale {
			ep.Lines = append(ep.Lines, progressText(l, *v.Progress))
		}
		if v.State == latch.StateOpening {
			line(tLeave)
		}
	case latch.StateOpen, latch.StateDegraded:
		if !v.Stale {
			line(tNext)
		}
		ep.Portal = e.SelfServiceURL
	}
	if v.State == latch.StateUnusable {
		return ep
	}
	if v.Observed {
		line(tObserved)
		return ep
	}
	if !held {
		if v.Others > 0 {
			ep.Lines = append(ep.Lines, tOthers.count(l, v.Others))
		}
		if !open.Allowed {
			h.keep(r, e, access.Open, "", open)
			refuse(access.Open, open)
		}
		if !v.OpenFrom.IsZero() {
			if v.Reason.Code != latch.OffHours && v.Reason.Code != latch.OffHeld && v.Reason.Code != latch.OffPaused { // else the page says so already
				ep.Lines = append(ep.Lines, tNoJoin.say(l, "{until}", at(v.OpenFrom)))
			}
			return ep
		}
		if !open.Allowed {
			return ep
		}
		ep.Open = &form{Action: e.page(false) + "/open", Button: tOpen.say(l), Legend: tHowLong.say(l), Hint: tOpenHint.say(l, "{left}", between(l, v.Usual)), Primary: true, AskReason: true, MustReason: e.Policy.ReasonRequired || open.Reason}
		switch v.State {
		case latch.StateOpening, latch.StateOpen, latch.StateDegraded:
			ep.Open.Button, ep.Open.Hint = tJoin.say(l), tJoinHint.say(l)
		case latch.StateClosing:
			ep.Open.Button, ep.Open.Hint = tOpenAgain.say(l), reasonSay[latch.OpeningQueued].say(l)
		}
		most := longest(e, open)
		for _, d := range e.Policy.LeaseChoices {
			if d <= most {
				ep.Open.Choices = append(ep.Open.Choices, choice{d.String(), lengthOf(l, d), d == e.Policy.LeaseDefault})
			}
		}
		if len(ep.Open.Choices) == 0 { // the rules leave less than the shortest that policy offers
			ep.Open.Choices = []choice{{most.String(), lengthOf(l, most), true}}
		}
		check(ep.Open.Choices)
		return ep
	}
	switch {
	case v.State == latch.StateClosing || v.Hold != nil:
	case !extend.Allowed:
		refuse(access.Extend, extend)
	default:
		// What the Keeper would grant: so much later than now agreed, within the longest lease and the opening's end.
		most := now.Add(longest(e, extend))
		if !v.ExtendUntil.IsZero() && v.ExtendUntil.Before(most) {
			most = v.ExtendUntil
		}
		more := &form{Action: e.page(false) + "/extend", Button: tExtend.say(l), Legend: tHowMuchMore.say(l), Primary: true}
		for _, d := range e.Policy.LeaseChoices {
			if until := v.Mine.Until.Add(d); !until.After(most) {
				more.Choices = append(more.Choices, choice{d.String(), tUntilAt.say(l, "{length}", lengthOf(l, d), "{until}", at(until)), false})
			}
		}
		switch {
		case len(more.Choices) > 0:
			check(more.Choices)
			ep.Extend = more
		case most.Sub(v.Mine.Until) > time.Minute: // less than the shortest choice is left; the Keeper cuts it
			d := e.Policy.LeaseChoices[0]
			more.Choices = []choice{{d.String(), tUntilAt.say(l, "{length}", lengthOf(l, most.Sub(v.Mine.Until).Round(time.Minute)), "{until}", at(most)), true}}
			ep.Extend = more
		default:
			ep.Lines = append(ep.Lines, tCannot.say(l, "{until}", at(most)))
		}
	}
	ep.Done = &form{Action: e.page(false) + "/done", Button: tDone.say(l), Hint: tDoneLast.say(l), Primary: ep.Extend == nil}
	if v.Others > 0 {
		ep.Done.Hint = tDoneOthers.count(l, v.Others)
	}
	return ep
}

// check makes sure that one choice is made, so that the form works with one press.
func check(cs []choice) {
	for _, c := range cs {
		if c.Checked {
			return
		}
	}
	if len(cs) > 0 {
		cs[0].Checked = true
	}
}

func stepLines(words labels, l lang, stages []latch.Stage) []stepLine {
	var lines []stepLine
	current := true // the first that is not done is under way
	for _, s := range stages {
		line := stepLine{Class: "todo", Mark: "○", Text: stageText[s.Name].say(l), Said: words.StepNext}
		switch {
		case s.Done:
			line.Class, line.Mark, line.Said = "done", "✓", words.StepDone
		case current:
			line.Class, line.Mark, line.Said, line.Current = "now", "●", words.StepNow, true
			current = false
		}
		if s.Total > 0 {
			line.Count = tOf.say(l, "{done}", fmt.Sprint(s.Ready), "{total}", fmt.Sprint(s.Total))
		}
		lines = append(lines, line)
	}
	return lines
}

func iso(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// problemPage is the page for an error. Where it leads back to is a path of ours, never one that the request named.
func (h *handler) problemPage(w http.ResponseWriter, r *http.Request, d document) {
	pg := h.newPage(w, r)
	pg.Heading, pg.DocTitle = d.Title, "✕ "+d.Title
	pg.Problem = &problemPage{Detail: d.Detail, RequestID: d.RequestID, BackTo: pg.Path, BackText: pg.Back, AWS: d.AWS}
	v := visitOf(r)
	if v.endpoint != nil && h.may(r, v.endpoint, access.See).Allowed {
		pg.Kicker = v.endpoint.Title
	}
	if v.leaving {
		pg.Problem.Done = &form{Action: v.endpoint.page(false) + "/done", Button: tDone.say(v.lang), Hint: tLeaving.say(v.lang)}
	}
	if strings.HasPrefix(v.back, signInPath) {
		pg.Problem.BackText = tSignInAnew.say(v.lang)
	}
	switch d.Status {
	case http.StatusUnauthorized:
		if !strings.HasPrefix(v.back, signInPath) {
			pg.Problem.BackText = pg.SignInAgain
		}
		fallthrough
	case http.StatusForbidden: // the way out, for who must come back as somebody else
		pg.Token = h.formToken(w, r)
	}
	if err := h.render(w, d.Status, pg); err != nil {
		// The table's last resort, without a template.
		h.c.Log.ErrorContext(r.Context(), "failed", "request_id", d.RequestID, "err", err)
		http.Error(w, strings.Join([]string{d.Title, d.Detail, url.PathEscape(d.RequestID)}, "\n"), http.StatusInternalServerError)
	}
}

// formIn gives the form template its form, the page around it and the form's name.
func formIn(p page, f *form, name string) any {
	return struct {
		Page page
		Form *form
		Name string
	}{p, f, name}
}
