package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Admin is what the administrators' page asks beside the Keeper; *latch.Keeper is one.
type Admin interface {
	// Explain tells everything about an endpoint, other people's names and reasons included.
	Explain(ctx context.Context, id latch.EndpointID) (latch.Explanation, error)
	// Entries returns the newest of an endpoint's audit, newest first; with an empty id what is about none.
	Entries(ctx context.Context, id latch.EndpointID, limit int) ([]latch.Entry, error)
	// EndFor ends somebody else's lease, ExtendFor prolongs it by r.For. latch.ErrNoLease when they hold none.
	EndFor(ctx context.Context, id latch.EndpointID, r latch.Request, whose latch.Subject) (latch.View, error)
	ExtendFor(ctx context.Context, id latch.EndpointID, r latch.Request, whose latch.Subject) (latch.View, error)
	// Pause keeps everybody else out for r.For, Close everybody; Release ends either, latch.ErrNoLease without one.
	Pause(ctx context.Context, id latch.EndpointID, r latch.Request) (latch.View, error)
	Close(ctx context.Context, id latch.EndpointID, r latch.Request) (latch.View, error)
	Release(ctx context.Context, id latch.EndpointID, r latch.Request) (latch.View, error)
}

const (
	auditRead    = 1000 // entries that a search looks through, the newest ones
	auditPage    = 25   // entries on a page, which must stay small
	refusalsRead = 200
	refusalsShow = 20
	orderMax     = 24 * time.Hour // as long as the Keeper takes an order to last
)

// orderLengths are how long an administrator may pause or close.
var orderLengths = []time.Duration{30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, orderMax}

// deed is what an administrator can do to one endpoint.
type deed struct {
	audit   string        // the audit's name for it, as the Keeper writes it
	closes  bool          // goes on without the store that counts changes
	ends    bool          // end-others is enough; all else takes administer
	whose   bool          // is done to somebody's lease
	length  time.Duration // the longest to ask for; 0: none is asked for, -1: policy's longest lease
	must    bool          // say why
	perform func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, whose latch.Subject) (latch.View, error)
}

// deeds by their verbs, which the addresses have too.
var deeds = map[string]deed{
	"end": {audit: "end-for", closes: true, ends: true, whose: true, perform: func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, whose latch.Subject) (latch.View, error) {
		return h.c.Admin.EndFor(ctx, e.ID, q, whose)
	}},
	"extend": {audit: "extend-for", whose: true, length: -1, perform: func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, whose latch.Subject) (latch.View, error) {
		return h.c.Admin.ExtendFor(ctx, e.ID, q, whose)
	}},
	"pause": {audit: "pause", length: orderMax, must: true, perform: func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, _ latch.Subject) (latch.View, error) {
		return h.c.Admin.Pause(ctx, e.ID, q)
	}},
	"close": {audit: "close", closes: true, length: orderMax, perform: func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, _ latch.Subject) (latch.View, error) {
		return h.c.Admin.Close(ctx, e.ID, q)
	}},
	"release": {audit: "release", perform: func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, _ latch.Subject) (latch.View, error) {
		return h.c.Admin.Release(ctx, e.ID, q)
	}},
	"break-glass": {audit: "break-glass", length: -1, must: true, perform: func(h *handler, ctx context.Context, e *Endpoint, q latch.Request, _ latch.Subject) (latch.View, error) {
		q.BreakGlass = true
		return h.c.Keeper.Open(ctx, e.ID, q)
	}},
}

func (h *handler) adminRoutes() {
	h.mux.HandleFunc("GET /admin", h.signedIn(h.overview))
	h.mux.HandleFunc("GET /admin/audit", h.signedIn(h.auditPage))
	h.mux.HandleFunc("GET /admin/endpoints/{name}", h.signedIn(h.one(h.adminEndpoint)))
	for verb, d := range deeds {
		h.mux.HandleFunc("POST /admin/endpoints/{name}/"+verb, h.signedIn(h.one(h.adminPost(verb, d))))
		h.mux.HandleFunc("GET /admin/endpoints/{name}/"+verb, h.signedIn(h.one(func(w http.ResponseWriter, r *http.Request, _ latch.Principal, e *Endpoint) error {
			http.Redirect(w, r, e.admin(), http.StatusSeeOther)
			return nil
		})))
	}
}

func (e *Endpoint) admin() string { return "/admin/endpoints/" + e.Name }

// administered are the endpoints of which the person of r may end others' leases, or more.
func (h *handler) administered(r *http.Request) []*Endpoint {
	var all []*Endpoint
	for i := range h.c.Endpoints {
		if e := &h.c.Endpoints[i]; h.mayEnd(r, e).Allowed || h.may(r, e, access.Administer).Allowed {
			all = append(all, e)
		}
	}
	return all
}

// whole are those of administered where the person may do everything. What is about no endpoint, as blocks are, is for
// whoever may do everything everywhere.
func (h *handler) whole(r *http.Request) (some []*Endpoint, everywhere bool) {
	for i := range h.c.Endpoints {
		if e := &h.c.Endpoints[i]; h.may(r, e, access.Administer).Allowed {
			some = append(some, e)
		}
	}
	return some, len(some) == len(h.c.Endpoints)
}

// adminPost does what an administrator's form asks, and leads back to the endpoint with 303. Nobody does anything to
// their own lease here: who may extend for others would else be who approves themselves.
func (h *handler) adminPost(verb string, d deed) func(http.ResponseWriter, *http.Request, latch.Principal, *Endpoint) error {
	return func(w http.ResponseWriter, r *http.Request, p latch.Principal, e *Endpoint) error {
		visitOf(r).back = e.admin()
		if err := h.readForm(w, r); err != nil {
			return err
		}
		if err := h.spendOn(r, verb, d.closes); err != nil {
			return err
		}
		action, may := access.Administer, h.may(r, e, access.Administer)
		if d.ends {
			action, may = access.EndOthers, h.mayEnd(r, e)
		}
		if !may.Allowed {
			visitOf(r).back = "/"
			return h.refused(r, e, action, d.audit, may)
		}
		whose := latch.Subject(r.PostForm.Get("whose"))
		switch {
		case d.whose && !access.IsSubject(whose):
			return &inputError{errInput, tWhose, nil}
		case d.whose && whose == p.Subject:
			return latch.ErrOwn
		}
		most := d.length
		if most < 0 {
			most = e.Policy.LeaseMax
		}
		length := r.PostForm.Get("for")
		if most == 0 { // the form's list of lengths is another button's
			length = ""
		}
		visitOf(r).longest = most
		q, err := h.request(r, p, e, length, r.PostForm.Get("reason"))
		switch {
		case err != nil:
			return err
		case most > 0 && (q.For == 0 || q.For > most):
			return &inputError{errInput, tBadFor, []string{"{max}", lengthOf(visitOf(r).lang, most)}}
		case d.must && q.Why == "":
			return latch.ErrReason
		}
		_, err = d.perform(h, r.Context(), e, q, whose)
		switch {
		case errors.Is(err, latch.ErrNoLease) && d.whose:
			return fmt.Errorf("%w: %w", errLeaseGone, err)
		case errors.Is(err, latch.ErrNoLease):
			return fmt.Errorf("%w: %w", errNoHold, err)
		case err != nil:
			return err
		}
		http.Redirect(w, r, e.admin(), http.StatusSeeOther)
		return nil
	}
}

// console is the administrators' pages.
type console struct {
	Words consoleLabels
	// Overview has a line an endpoint. Some: and who was refused at those that the person may administer; Whole: and who is
	// blocked.
	Overview []adminLine
	Some     bool
	Refusals []record
	Whole    bool
	Blocks   []record

	One    *adminEndpoint
	Audits *audits
}

type adminLine struct {
	listed
	Leases string
	Alarms []alarm
}

type alarm struct{ Text, Words string }

// record is one thing that happened, in words.
type record struct{ ISO, At, Who, What, Rule, From string }

type adminEndpoint struct {
	Action, Page, Audit string
	Status              string
	All                 bool // everything, not only others' leases
	Alarms              []alarm
	Notices             []string
	Leases              []adminLease
	Theirs              bool // some are others'
	Extend              []choice
	Drift, Causes       []string
	Orders              []order
}

type adminLease struct {
	Subject, Text, Why string
	Own                bool
}

type order struct {
	Name, Action, Title, Hint, Label string
	Must, Danger                     bool
	Choices                          []choice
}

// look is one endpoint as an administrator sees it.
type look struct {
	view latch.View
	latch.Explanation
}

func (h *handler) look(ctx context.Context, e *Endpoint, p latch.Principal) (look, error) {
	v, err := h.c.Keeper.View(ctx, e.ID, p)
	if err != nil {
		return look{}, err
	}
	x, err := h.c.Admin.Explain(ctx, e.ID)
	return look{v, x}, err
}

func (h *handler) consolePage(w http.ResponseWriter, r *http.Request, address string) page {
	v := visitOf(r)
	v.back = address
	pg := h.newPage(w, r)
	pg.JS = "" // nothing here needs it
	pg.Console = &console{Words: consoleLabelsIn(v.lang)}
	return pg
}

func (h *handler) overview(w http.ResponseWriter, r *http.Request, p latch.Principal) error {
	mine := h.administered(r)
	if len(mine) == 0 {
		visitOf(r).back = "/"
		return h.refused(r, nil, access.Administer, "", h.may(r, nil, access.Administer))
	}
	l, now := visitOf(r).lang, time.Now()
	pg := h.consolePage(w, r, "/admin")
	pg.Heading, pg.DocTitle = tAdmin.say(l), tAdmin.say(l)
	c := pg.Console
	for _, e := range mine {
		line := adminLine{listed: listed{Href: e.admin(), Title: e.Title, State: tNotShown.say(l), Class: "unknown"}}
		x, err := h.look(r.Context(), e, p)
		if err != nil { // it does not hide the others
			h.c.Log.ErrorContext(r.Context(), "endpoint not shown", "endpoint", e.Name, "request_id", visitOf(r).id, "err", err)
		} else {
			line.State, line.Class, line.Status = stateTitle[x.view.State].say(l), string(x.view.State), reasonText(l, x.view.Reason, e.Location, now)
			line.Leases = tLeases.count(l, len(x.Leases))
			if h.may(r, e, access.Administer).Allowed {
				line.Alarms = alarms(l, x, e, now)
			}
		}
		c.Overview = append(c.Overview, line)
	}
	some, everywhere := h.whole(r)
	c.Some, c.Whole = len(some) > 0, everywhere
	if c.Some {
		if err := h.people(r, c, some, everywhere, now); err != nil {
			return err
		}
	}
	return h.render(w, http.StatusOK, pg)
}

// people fills in who was refused at these endpoints, and who is blocked.
func (h *handler) people(r *http.Request, c *console, of []*Endpoint, everywhere bool, now time.Time) error {
	l, loc := visitOf(r).lang, h.c.Endpoints[0].Location
	all, err := h.c.People.Refusals(r.Context(), refusalsRead)
	if err != nil {
		return fmt.Errorf("%w: refusals: %w", errPeople, err)
	}
	for _, no := range all {
		i := slices.IndexFunc(of, func(e *Endpoint) bool { return e.ID == no.Endpoint })
		if i < 0 && !(no.Endpoint == "" && everywhere) || len(c.Refusals) == refusalsShow {
			continue
		}
		what := mayNot[no.Action].say(l) + ": " + accessSay[no.Code].say(l)
		if i >= 0 {
			what = of[i].Title + ": " + what
		}
		c.Refusals = append(c.Refusals, record{iso(no.At), clock(l, no.At, loc, now), cmp.Or(no.Name, string(no.Subject)), what, no.Rule, trail(no.Subject, no.Source, no.Request)})
	}
	if !everywhere {
		return nil
	}
	blocks, err := h.c.People.Blocks(r.Context())
	if err != nil {
		return fmt.Errorf("%w: blocks: %w", errPeople, err)
	}
	for _, b := range blocks {
		until := ""
		if !b.Until.IsZero() {
			until = tUntil.say(l, "{until}", clock(l, b.Until, loc, now))
		}
		c.Blocks = append(c.Blocks, record{ISO: iso(b.Since), At: clock(l, b.Since, loc, now), Who: string(b.Subject), What: b.Why, From: until})
	}
	return nil
}

// trail is where to look further: a person's stable subject, an address, a request.
func trail(s latch.Subject, more ...string) string {
	return strings.Join(slices.DeleteFunc(append([]string{string(s)}, more...), func(s string) bool { return s == "" }), " · ")
}

// alarms are what somebody must look at.
func alarms(l lang, x look, e *Endpoint, now time.Time) []alarm {
	var all []alarm
	at := func(t time.Time) string { return clock(l, t, e.Location, now) }
	if x.Stale {
		a := alarm{Text: tStaleAlarm.say(l, "{at}", at(x.ObservedAt))}
		if f, ok := errors.AsType[*latch.Fault](x.Unanswered); ok {
			a.Words = f.Error()
		}
		all = append(all, a)
	}
	if f := x.Failure; f != nil && x.view.State != latch.StateOpen {
		all = append(all, alarm{tFailed.say(l) + " (" + at(f.At) + ")", f.Step + ": " + f.Why})
	}
	if p := x.view.Progress; p != nil && p.Stuck {
		all = append(all, alarm{Text: tStuckAlarm.say(l, "{what}", phaseText[p.Phase].say(l), "{at}", at(p.Since))})
	}
	if i := slices.IndexFunc(x.Causes, func(c latch.Cause) bool { return c.Code == latch.CauseSwitch && c.At.Before(now) }); i >= 0 {
		all = append(all, alarm{Text: tPastAlarm.say(l, "{at}", at(x.Causes[i].At))})
	}
	for _, lease := range x.Leases {
		if lease.BreakGlass {
			all = append(all, alarm{Text: emergency(l, lease, at)})
		}
	}
	if n := len(x.DeadLetters); n > 0 {
		last := x.DeadLetters[n-1]
		all = append(all, alarm{tDeadAlarm.count(l, n), string(last.Kind) + ": " + last.Last})
	}
	return all
}

func emergency(l lang, lease latch.Lease, at func(time.Time) string) string {
	return causeSay[latch.CauseBreakGlass].say(l, "{who}", cmp.Or(lease.Name, string(lease.Subject)), "{at}", at(lease.Until))
}

func (h *handler) adminEndpoint(w http.ResponseWriter, r *http.Request, p latch.Principal, e *Endpoint) error {
	end, all := h.mayEnd(r, e), h.may(r, e, access.Administer)
	if !end.Allowed && !all.Allowed {
		visitOf(r).back = "/"
		return h.refused(r, e, access.Administer, "", all)
	}
	l, now := visitOf(r).lang, time.Now()
	pg := h.consolePage(w, r, e.admin())
	x, err := h.look(r.Context(), e, p)
	if err != nil {
		return err
	}
	v := x.view
	pg.Kicker, pg.Heading = e.Title, stateTitle[v.State].say(l)
	pg.DocTitle = tAdmin.say(l) + " – " + e.Title
	one := &adminEndpoint{Action: e.admin(), Page: e.page(true), All: all.Allowed, Status: reasonText(l, v.Reason, e.Location, now)}
	pg.Console.One = one
	for _, lease := range x.Leases {
		who := cmp.Or(lease.Name, string(lease.Subject))
		if lease.Subject == latch.ByHandSubject {
			who = tByHand.say(l)
		}
		said := tLease.say(l, "{who}", who, "{until}", clock(l, lease.Until, e.Location, now))
		if lease.BreakGlass {
			said += tBroken.say(l)
		}
		one.Leases = append(one.Leases, adminLease{string(lease.Subject), said, lease.Why, lease.Subject == p.Subject})
		one.Theirs = one.Theirs || lease.Subject != p.Subject
	}
	if !end.Allowed { // a rule keeps them from it, whatever else they administer
		one.Theirs = false
	}
	if !all.Allowed {
		return h.render(w, http.StatusOK, pg)
	}
	one.Audit = "/admin/audit?endpoint=" + e.Name
	one.Alarms = alarms(l, x, e, now)
	for _, d := range x.Differences {
		one.Drift = append(one.Drift, differenceText(l, d))
	}
	for _, c := range x.Causes {
		one.Causes = append(one.Causes, causeText(l, c, e.Location, now))
	}
	lengths := func(of []time.Duration, chosen time.Duration) []choice {
		var cs []choice
		for _, d := range of {
			cs = append(cs, choice{d.String(), lengthOf(l, d), d == chosen})
		}
		check(cs)
		return cs
	}
	if e.Policy.Observe {
		one.Notices = append(one.Notices, tObserved.say(l))
		return h.render(w, http.StatusOK, pg)
	}
	one.Extend = lengths(e.Policy.LeaseChoices, 0)
	add := func(verb string, title, hint, label text, choices []choice) {
		one.Orders = append(one.Orders, order{Name: verb, Action: e.admin() + "/" + verb, Title: title.say(l), Hint: hint.say(l), Label: label.say(l),
			Must: deeds[verb].must, Danger: verb == "close" || verb == "break-glass", Choices: choices})
	}
	if v.Hold != nil {
		add("release", tRelease, tReleaseHint, tMessage, nil)
	}
	add("pause", tPause, tPauseHint, tMessage, lengths(orderLengths, time.Hour))
	add("close", tClose, tCloseHint, tMessageMay, lengths(orderLengths, time.Hour))
	add("break-glass", tBreakGlass, tBreakGlassHint, tBreakGlassWhy, lengths(e.Policy.LeaseChoices, 0))
	return h.render(w, http.StatusOK, pg)
}

// audits is the audit of one endpoint, searched.
type audits struct {
	Endpoints, Actions []choice
	Person, From, To   string
	Found, Cut         string // Cut: only the newest entries were searched
	Lines              []auditLine
	Newer, Older       string
}

type auditLine struct{ ISO, At, Action, Who, Change, Why, Said, From string }

// search is what is looked for in the audit. Dates are days by the endpoint's clock, both included; zero: from the first,
// to the last.
type search struct {
	person, action string
	from, to       time.Time
}

func (s search) finds(e latch.Entry) bool {
	person := strings.ToLower(s.person)
	return (person == "" || strings.Contains(strings.ToLower(e.Name), person) || strings.EqualFold(string(e.Subject), s.person)) &&
		(s.action == "" || e.Action == s.action) && !e.At.Before(s.from) && (s.to.IsZero() || e.At.Before(s.to))
}

// nowhere stands for what is about no endpoint in an address. It is no endpoint's name.
const nowhere = "-"

func (h *handler) auditPage(w http.ResponseWriter, r *http.Request, _ latch.Principal) error {
	mine, everywhere := h.whole(r)
	if len(mine) == 0 {
		visitOf(r).back = "/"
		return h.refused(r, nil, access.Administer, "", h.may(r, nil, access.Administer))
	}
	l, q := visitOf(r).lang, r.URL.Query()
	visitOf(r).back = "/admin/audit"
	e := mine[0]
	id, name := e.ID, e.Name
	switch asked := q.Get("endpoint"); {
	case asked == nowhere && everywhere:
		id, name = "", nowhere
	case asked != "":
		i := slices.IndexFunc(mine, func(e *Endpoint) bool { return e.Name == asked })
		if i < 0 {
			if other := h.endpoints[asked]; other != nil {
				return h.refused(r, other, access.Administer, "", h.may(r, other, access.Administer))
			}
			return errNoEndpoint
		}
		e = mine[i]
		id, name = e.ID, e.Name
	}
	s := search{person: strings.TrimSpace(q.Get("person")), action: q.Get("action")}
	var err error
	for key, day := range map[string]*time.Time{"from": &s.from, "to": &s.to} {
		if q.Get(key) == "" {
			continue
		}
		if *day, err = time.ParseInLocation(time.DateOnly, q.Get(key), e.Location); err != nil {
			return &inputError{errInput, tBadDate, nil}
		}
	}
	if !s.to.IsZero() {
		s.to = s.to.AddDate(0, 0, 1)
	}
	number, err := strconv.Atoi(cmp.Or(q.Get("page"), "1"))
	if err != nil || number < 1 || number > auditRead {
		number = 1
	}
	all, err := h.c.Admin.Entries(r.Context(), id, auditRead)
	if err != nil {
		return err
	}
	address := func(number int) string {
		v := url.Values{"endpoint": {name}}
		for _, key := range []string{"person", "action", "from", "to"} {
			if q.Get(key) != "" {
				v.Set(key, q.Get(key))
			}
		}
		if number > 1 {
			v.Set("page", strconv.Itoa(number))
		}
		return "/admin/audit?" + v.Encode()
	}
	pg := h.consolePage(w, r, address(number))
	pg.Heading, pg.DocTitle = pg.Console.Words.Audit, pg.Console.Words.Audit
	a := &audits{Person: s.person, From: q.Get("from"), To: q.Get("to")}
	pg.Console.Audits = a
	for _, m := range mine {
		a.Endpoints = append(a.Endpoints, choice{m.Name, m.Title, m.Name == name})
	}
	if everywhere {
		a.Endpoints = append(a.Endpoints, choice{nowhere, tNoEndpoint.say(l), name == nowhere})
	}
	a.Actions = []choice{{"", tAny.say(l), s.action == ""}}
	actions := map[string]bool{s.action: true, "": true}
	var found []latch.Entry
	for _, x := range all {
		if !actions[x.Action] {
			actions[x.Action] = true
			a.Actions = append(a.Actions, choice{x.Action, x.Action, false})
		}
		if s.finds(x) {
			found = append(found, x)
		}
	}
	if s.action != "" {
		a.Actions = append(a.Actions, choice{s.action, s.action, true})
	}
	slices.SortFunc(a.Actions, func(a, b choice) int { return strings.Compare(a.Value, b.Value) })
	a.Found = tFound.count(l, len(found))
	if len(all) == auditRead {
		a.Cut = tFoundNewest.say(l, "{max}", strconv.Itoa(auditRead))
	}
	first := min((number-1)*auditPage, len(found))
	for _, x := range found[first:min(first+auditPage, len(found))] {
		a.Lines = append(a.Lines, auditLineOf(l, x, e.Location))
	}
	if number > 1 {
		a.Newer = address(number - 1)
	}
	if first+auditPage < len(found) {
		a.Older = address(number + 1)
	}
	return h.render(w, http.StatusOK, pg)
}

func auditLineOf(l lang, x latch.Entry, loc *time.Location) auditLine {
	line := auditLine{ISO: iso(x.At), At: x.At.In(loc).Format("2006-01-02 15:04:05 ") + zoneName(x.At.In(loc)), Action: x.Action,
		Who: cmp.Or(x.Name, string(x.Subject), "Nightlatch"), Why: x.Why, From: trail(x.Subject, x.Source, x.Request)}
	if x.Before != "" || x.After != "" {
		line.Change = strings.TrimSpace(x.Before + " → " + x.After)
	}
	if x.Whose != "" {
		line.Change = strings.TrimSpace(string(x.Whose) + ": " + line.Change)
	}
	// A sentence with parameters says more than an entry knows; then the code itself stands.
	said, ok := accessSay[access.Code(x.Code)]
	if !ok {
		said = reasonSay[x.Code]
	}
	if line.Said = said.say(l); x.Code != "" && (line.Said == "" || strings.Contains(line.Said, "{")) {
		line.Said, line.Change = "", strings.TrimSpace(line.Change+" ("+string(x.Code)+")")
	}
	return line
}

// Sentences of the administrators' pages that Go code picks.
var (
	tLeases         = text{"1 person uses it.|{n} people use it.", "{n}명이 사용 중입니다.", "{n}名が利用中です。"}
	tLease          = text{"{who}, until {until}", "{who}, {until}까지", "{who}、{until}まで"}
	tByHand         = text{"Opened outside Nightlatch", "Nightlatch 밖에서 켜짐", "Nightlatch以外から開始"}
	tBroken         = text{" (emergency)", " (비상 개방)", "（緊急開放）"}
	tUntil          = text{"until {until}", "{until}까지", "{until}まで"}
	tWhose          = text{"Choose whose time it is about.", "대상 사용자를 선택하세요.", "対象の利用者を選択してください。"}
	tBadDate        = text{"A date is written as 2026-11-22.", "날짜는 2026-11-22 형식으로 입력하세요.", "日付は2026-11-22の形式で入力してください。"}
	tStaleAlarm     = text{"AWS does not answer; this is how it was at {at}.", "AWS가 응답하지 않습니다. {at} 기준 상태입니다.", "AWSが応答しません。{at}時点の状態です。"}
	tStuckAlarm     = text{"{what}: takes longer than it ever did here, since {at}.", "{what}: 지금까지 가장 오래 걸리고 있습니다({at} 시작).", "{what}：これまでで最も時間がかかっています（{at}開始）。"}
	tPastAlarm      = text{"It is on past its maximum: AWS's scheduler should have turned it off at {at}.", "최대 시간이 지났는데도 켜져 있습니다. {at}에 AWS 스케줄러가 껐어야 합니다.", "最長時間を過ぎても動作しています。{at}にAWSのスケジューラーが停止したはずです。"}
	tDeadAlarm      = text{"1 message could not be sent.|{n} messages could not be sent.", "보내지 못한 메시지가 {n}개 있습니다.", "送信できなかったメッセージが{n}件あります。"}
	tNoEndpoint     = text{"About no VPN: people and sign-ins", "VPN 외: 사용자와 로그인", "VPN以外：人とサインイン"}
	tAny            = text{"All", "전체", "すべて"}
	tFound          = text{"1 entry.|{n} entries.", "항목 {n}개.", "{n}件。"}
	tFoundNewest    = text{"Only the newest {max} are searched here. All of them:", "여기서는 최근 {max}개만 검색합니다. 전체 확인:", "ここでは最新{max}件のみ検索します。すべての確認："}
	tRelease        = text{"Allow it again", "다시 허용", "再び許可"}
	tReleaseHint    = text{"An order is in force. This ends it now.", "지시가 적용 중입니다. 지금 해제합니다.", "指示が有効です。今すぐ解除します。"}
	tPause          = text{"Pause", "일시 중지", "一時停止"}
	tPauseHint      = text{"Nobody can turn it on, join or extend. Who uses it keeps it until their time ends. Everybody sees your message.", "켜기, 참여, 연장을 할 수 없게 됩니다. 사용 중인 사람은 사용 시간이 끝날 때까지 유지됩니다. 메시지는 모두에게 표시됩니다.", "開始、参加、延長ができなくなります。利用中の人は利用時間が終わるまでそのままです。メッセージは全員に表示されます。"}
	tClose          = text{"Turn off for everybody", "모두에게 끄기", "全員に対して停止"}
	tCloseHint      = text{"Ends everybody's use now, and keeps it off. Who is connected is cut off. Everybody sees your message.", "모든 사용자의 사용을 지금 종료하고 꺼진 상태로 유지합니다. 연결 중인 사람은 끊어집니다. 메시지는 모두에게 표시됩니다.", "全員の利用を今すぐ終了し、停止したままにします。接続中の人は切断されます。メッセージは全員に表示されます。"}
	tMessage        = text{"Message (required)", "메시지(필수)", "メッセージ（必須）"}
	tMessageMay     = text{"Message (optional)", "메시지(선택)", "メッセージ（任意）"}
	tBreakGlass     = text{"Emergency: turn on outside the rules", "비상 개방: 규칙을 무시하고 켜기", "緊急開放：ルールを無視して開始"}
	tBreakGlassHint = text{"It is turned on for you whatever the hours, orders and rules say. Everybody who is set to be told is told at once, with your name and reason, and it stands out in the audit.", "시간대, 지시, 규칙과 관계없이 본인 이름으로 켜집니다. 알림 대상자 모두에게 이름과 사유가 즉시 통지되며 감사 기록에 눈에 띄게 남습니다.", "時間帯、指示、ルールにかかわらず、あなたの名前で開始します。通知先の全員に名前と理由がすぐに伝わり、監査記録に目立つ形で残ります。"}
	tBreakGlassWhy  = text{"Reason (required)", "사유(필수)", "理由（必須）"}
)

// consoleLabels are the fixed texts of the administrators' templates, as labels are everybody's.
type consoleLabels struct {
	Leases, NoLeases, Whose, Own, End, Extend, HowMuchMore, HowLong   string
	ThePage, Audit, Overview, Details, Drift, NoDrift, Causes, Orders string
	Endpoint, Person, Action, From, To, Filter, Newer, Older          string
	Refusals, NoRefusals, Rule, Blocked, NoBlocked, BlockHow          string
}

func consoleLabelsIn(l lang) consoleLabels {
	s := func(t text) string { return t.say(l) }
	return consoleLabels{
		s(text{"Who uses it", "사용 중인 사람", "利用者"}),                  // Leases
		s(text{"Nobody at the moment.", "지금은 없습니다.", "現在はいません。"}),  // NoLeases
		s(text{"Whose time?", "누구의 사용 시간입니까?", "対象の利用者を選択してください"}), // Whose
		s(text{"your own; end or extend it on the VPN's page", "본인의 사용 시간이며, VPN 페이지에서 종료하거나 연장하세요", "ご自身の利用時間です。VPNのページで終了または延長してください"}), // Own
		s(text{"End", "종료", "終了"}),                                                 // End
		s(text{"Extend", "연장", "延長"}),                                              // Extend
		s(text{"How much longer, when extending", "연장할 시간", "延長する時間"}),             // HowMuchMore
		s(text{"How long", "기간", "期間"}),                                            // HowLong
		s(text{"The VPN's page", "VPN 페이지", "VPNのページ"}),                            // ThePage
		s(text{"Audit", "감사 기록", "監査記録"}),                                          // Audit
		s(text{"Back to administration", "관리로 돌아가기", "管理に戻る"}),                     // Overview
		s(text{"Details", "자세히", "詳細"}),                                            // Details
		s(text{"Differences from what it should be", "설정과 다른 점", "設定との差異"}),        // Drift
		s(text{"None.", "없습니다.", "ありません。"}),                                        // NoDrift
		s(text{"What keeps it so, and until when", "현재 상태의 이유와 기한", "この状態の理由と期限"}), // Causes
		s(text{"Orders", "지시", "指示"}),                                              // Orders
		s(text{"VPN", "VPN", "VPN"}),                                               // Endpoint
		s(text{"Person: part of the name, or the whole subject", "사용자: 이름 일부 또는 전체 식별자", "人：名前の一部または識別子の全体"}), // Person
		s(text{"Action", "동작", "操作"}),                              // Action
		s(text{"From", "시작일", "開始日"}),                              // From
		s(text{"To", "종료일", "終了日"}),                                // To
		s(text{"Search", "검색", "検索"}),                              // Filter
		s(text{"Newer", "최신", "新しい方へ"}),                            // Newer
		s(text{"Older", "이전", "古い方へ"}),                             // Older
		s(text{"Who was refused lately", "최근 거부된 사람", "最近拒否された人"}), // Refusals
		s(text{"Nobody.", "없습니다.", "いません。"}),                       // NoRefusals
		s(text{"Rule", "규칙", "ルール"}),                               // Rule
		s(text{"Who is blocked", "차단된 사람", "ブロック中の人"}),             // Blocked
		s(text{"Nobody.", "없습니다.", "いません。"}),                       // NoBlocked
		s(text{"Blocking and unblocking is a command, so that it works when sign-in does not:", "로그인이 되지 않을 때도 쓸 수 있도록 차단과 해제는 명령으로 합니다:", "サインインできないときにも使えるよう、ブロックと解除はコマンドで行います："}), // BlockHow
	}
}
