package web

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// A person makes changeBurst changes at once and one more in every changeEvery: nobody with a page presses more, and a
// script that does fills the audit.
const (
	changeBurst = 10
	changeEvery = 6 * time.Second
)

// may asks the rules whether the person of r may do one thing to one endpoint now, or to what is about none when e is nil.
func (h *handler) may(r *http.Request, e *Endpoint, a access.Action) access.Decision {
	q := access.Request{Who: visitOf(r).who, Action: a, At: time.Now()}
	if e != nil {
		q.Endpoint = e.Name
	}
	return h.decide(q)
}

// mayEnd asks whether the person of r may end others' leases. Administering includes it, unless a rule forbids it by name,
// or would if the person's groups were known.
func (h *handler) mayEnd(r *http.Request, e *Endpoint) access.Decision {
	d := h.may(r, e, access.EndOthers)
	if d.Code == access.DeniedNoRule || d.Code == access.DeniedHours {
		if a := h.may(r, e, access.Administer); a.Allowed {
			return a
		}
	}
	return d
}

// refusal is a rule's no, or that of a block. It says why, who can change it and when it would succeed, and an endpoint
// that somebody may not even see is no exception: a 404 instead would send a colleague whose group is missing in
// circles. What it gives away is that an endpoint of this name exists, to somebody who has signed in and knew the name;
// not its title, id or state, nor who uses it. Which rule it was is for those who can change it: the log, the audit and
// the administrators' page have its name, the person has the request's number.
type refusal struct {
	action access.Action
	d      access.Decision
}

func (e *refusal) Error() string {
	if e.d.Rule == "" {
		return fmt.Sprintf("may not %s: %s", e.action, e.d.Code)
	}
	return fmt.Sprintf("may not %s: %s (rule %s)", e.action, e.d.Code, e.d.Rule)
}

func (e *refusal) Unwrap() error { return ErrForbidden }

// refused keeps a refusal and returns it as the error to answer.
func (h *handler) refused(r *http.Request, e *Endpoint, a access.Action, verb string, d access.Decision) error {
	h.keep(r, e, a, verb, d)
	return &refusal{a, d}
}

// keep keeps a refusal for those who can change it. A verb is a change's name, which the audit is told too; without one
// it was a visit to a page. A store that does not take it changes no answer.
//
// A visit counts when a person made it: what a watching page fetches meets the same refusal each time. And a visit that
// would succeed by itself later is nobody's business.
func (h *handler) keep(r *http.Request, e *Endpoint, a access.Action, verb string, d access.Decision) {
	if verb == "" && (r.Header.Get("Sec-Fetch-Dest") == "empty" || !d.From.IsZero()) {
		return
	}
	v, now := visitOf(r), time.Now()
	kept := access.Refusal{Subject: v.who.Subject, Name: v.who.Name, Action: a, Code: d.Code, Rule: d.Rule, At: now, Source: source(r), Request: v.id}
	if e != nil {
		kept.Endpoint = e.ID
	}
	if lost := h.c.People.SaveRefusal(r.Context(), kept); lost != nil {
		h.c.Log.ErrorContext(r.Context(), "refusal not kept", "subject", v.who.Subject, "request_id", v.id, "err", lost)
	}
	if verb == "" {
		return
	}
	after := "refused"
	if d.Rule != "" {
		after += " by " + d.Rule
	}
	entry := latch.Entry{At: now, ID: rand.Text(), Endpoint: kept.Endpoint, Subject: v.who.Subject, Name: v.who.Name, Issuer: v.who.Issuer,
		Action: verb + ".refused", Code: latch.Code(d.Code), After: after, Source: kept.Source, Request: v.id}
	h.c.Log.InfoContext(r.Context(), "audit", "audit", entry) // the copy, as the Keeper makes one
	if lost := h.c.Audit(r.Context(), entry); lost != nil {
		h.c.Log.ErrorContext(r.Context(), "audit entry lost", "action", entry.Action, "subject", v.who.Subject, "request_id", v.id, "err", lost)
	}
}

// blocked answers a person whom an administrator keeps out. Not knowing is no answer: nobody is let in by a store that
// is down.
func (h *handler) blocked(r *http.Request) error {
	v := visitOf(r)
	b, err := h.c.People.Blocked(r.Context(), v.who.Subject)
	if err != nil {
		return fmt.Errorf("%w: blocks: %w", errPeople, err)
	}
	if b == nil {
		return nil
	}
	e, verb := h.endpoints[r.PathValue("name")], ""
	if r.Method == http.MethodPost {
		if err := h.spend(r); err != nil {
			return err
		}
		if verb = path.Base(r.URL.Path); strings.HasPrefix(r.URL.Path, "/admin/") {
			verb = deeds[verb].audit
		}
	}
	d := access.Decision{Code: access.DeniedBlocked, From: b.Until, Contact: h.may(r, nil, access.See).Contact}
	if strings.HasPrefix(r.URL.Path, "/api/") && verb == "" {
		return &refusal{access.See, d}
	}
	return h.refused(r, e, access.See, verb, d)
}

// tooMany is for whoever changes things faster than a person does.
type tooMany struct{ wait time.Duration }

func (e *tooMany) Error() string { return fmt.Sprintf("%s: the next in %s", errTooMany, e.wait) }
func (e *tooMany) Unwrap() error { return errTooMany }

// spend takes one of the person's changes, also for one that is refused then: that is written down as well.
func (h *handler) spend(r *http.Request) error {
	wait, err := h.c.People.Spend(r.Context(), visitOf(r).who.Subject, time.Now(), changeEvery, changeBurst)
	switch {
	case err != nil:
		return fmt.Errorf("%w: rate: %w", errPeople, err)
	case wait > 0:
		return &tooMany{wait}
	}
	return nil
}

// spendOn is spend for one change. Without its store nothing opens, but closing goes on.
func (h *handler) spendOn(r *http.Request, verb string, closes bool) error {
	err := h.spend(r)
	if closes && errors.Is(err, errPeople) {
		h.c.Log.ErrorContext(r.Context(), "change not counted", "action", verb, "subject", visitOf(r).who.Subject, "request_id", visitOf(r).id, "err", err)
		return nil
	}
	return err
}

// permit lets a change through whose pace and rules allow it. Whoever may not see an endpoint may do nothing else to it;
// done is always allowed.
func (h *handler) permit(r *http.Request, e *Endpoint, verb string) (access.Decision, error) {
	if err := h.spendOn(r, verb, verb == "done"); err != nil || verb == "done" {
		return access.Decision{}, err
	}
	if d := h.may(r, e, access.See); !d.Allowed {
		return d, h.refused(r, e, access.See, verb, d)
	}
	a := map[string]access.Action{"open": access.Open, "extend": access.Extend}[verb]
	d := h.may(r, e, a)
	if !d.Allowed {
		return d, h.refused(r, e, a, verb, d)
	}
	visitOf(r).longest = longest(e, d)
	return d, nil
}

// longest is the longest lease that policy and an allowing decision leave.
func longest(e *Endpoint, d access.Decision) time.Duration {
	if d.Longest > 0 {
		return min(d.Longest, e.Policy.LeaseMax)
	}
	return e.Policy.LeaseMax
}

// bound puts what the rules say into the request. Who names no length gets the usual one, as far as their rule goes. What
// is wanted of an extension was said when the lease began.
func bound(q latch.Request, e *Endpoint, verb string, d access.Decision) latch.Request {
	if verb == "done" {
		return q
	}
	q.Longest, q.ReasonRequired = d.Longest, d.Reason && verb == "open"
	if q.For == 0 {
		if most := longest(e, d); most < e.Policy.LeaseDefault {
			q.For = most
		}
	}
	return q
}

// refusalText is why, when it would succeed, and who can change it.
func refusalText(l lang, d access.Decision, id string, loc *time.Location, now time.Time) string {
	said := []string{accessSay[d.Code].say(l)}
	if d.From.After(now) {
		said = append(said, tPossibleFrom.say(l, "{next}", clock(l, d.From, loc, now)))
	}
	if d.Contact != "" {
		said = append(said, tContact.say(l, "{contact}", d.Contact))
	} else {
		said = append(said, tAskAdmin.say(l, "{id}", id))
	}
	return strings.Join(said, text{" ", " ", ""}.say(l))
}

// source is the client's address. Whoever serves us puts the trusted hop's word into RemoteAddr; headers say nothing.
func source(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}
