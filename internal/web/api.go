package web

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

// Status is an endpoint in the API. Text is in the language that was asked for; everything else is for machines.
type Status struct {
	Endpoint     string        `json:"endpoint"`
	ID           string        `json:"id"`
	Title        string        `json:"title"`
	State        latch.State   `json:"state,omitempty"`
	Reason       *reason       `json:"reason,omitempty"`
	Associations []association `json:"associations"`
	Until        time.Time     `json:"until,omitzero"`
	Observed     bool          `json:"observed,omitempty"` // Nightlatch only watches it
	OpenFrom     time.Time     `json:"openFrom,omitzero"`  // when one may open or join again; left out when one may now
	Since        time.Time     `json:"since,omitzero"`
	Soon         bool          `json:"soon,omitempty"` // until is so near that people are warned
	ReadyAt      time.Time     `json:"readyAt,omitzero"`
	ExtendUntil  time.Time     `json:"extendUntil,omitzero"`
	Longest      int64         `json:"longestSeconds,omitempty"` // lease that the rules leave the asking person, where it is less than policy's
	Refused      []refused     `json:"refused,omitempty"`        // what the asking person may not do, of open and extend
	Hold         *hold         `json:"hold,omitempty"`           // an administrator's order that is in force
	Clipped      bool          `json:"clipped,omitempty"`        // more was asked for than the maximum leaves
	Mine         *lease        `json:"mine,omitempty"`
	Others       int           `json:"others"`
	Connections  int           `json:"connections"`
	Steps        []step        `json:"steps,omitempty"`
	Progress     *progress     `json:"progress,omitempty"`
	Failure      *failure      `json:"failure,omitempty"`
	Stale        bool          `json:"stale,omitempty"` // AWS could not be asked; this is how it was at observedAt
	AWS          *awsWords     `json:"aws,omitempty"`   // what AWS said when it was asked in vain
	Problem      *document     `json:"problem,omitempty"`
	ObservedAt   time.Time     `json:"observedAt,omitzero"`
	PollAfter    int64         `json:"pollAfterMs"` // how long to wait before asking again, milliseconds
	Now          time.Time     `json:"now,omitzero"`
}

type reason struct {
	latch.Reason
	Text string `json:"text"`
}

type association struct {
	ID      latch.AssociationID `json:"id"`
	Subnet  latch.SubnetID      `json:"subnetId"`
	Status  latch.Status        `json:"status"`
	Message string              `json:"message,omitempty"`
}

type refused struct {
	Action  access.Action `json:"action"`
	Code    access.Code   `json:"code"`
	Text    string        `json:"text"`
	Contact string        `json:"contact,omitempty"`
	Next    time.Time     `json:"next,omitzero"` // when it would succeed by itself
}

// hold keeps an endpoint closed or, as a pause, as it is.
type hold struct {
	Until   time.Time `json:"until"`
	Pause   bool      `json:"pause,omitempty"`
	Message string    `json:"message,omitempty"`
}

type lease struct {
	Since  time.Time `json:"since"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason,omitempty"`
}

type step struct {
	Name  latch.StageName `json:"name"`
	Text  string          `json:"text"`
	Done  bool            `json:"done"`
	Ready int             `json:"ready,omitempty"`
	Total int             `json:"total,omitempty"`
}

// progress is how long what is under way at AWS takes still: half of all such times are over within from, nine in ten
// within to. Both are left out when it is stuck. Below five past times, samples is 0 and the range is the typical one.
type progress struct {
	Phase   latch.Phase `json:"phase"`
	Since   time.Time   `json:"since"`
	From    *int64      `json:"fromSeconds,omitempty"`
	To      *int64      `json:"toSeconds,omitempty"`
	Samples int         `json:"samples"`
	Slow    bool        `json:"slow,omitempty"`
	Stuck   bool        `json:"stuck,omitempty"`
	Text    string      `json:"text"`
}

type failure struct {
	At   time.Time `json:"at"`
	Step string    `json:"step"`
	Why  string    `json:"why"`
}

func statusOf(e *Endpoint, v latch.View, l lang, now time.Time) Status {
	s := Status{
		Endpoint: e.Name, ID: string(e.ID), Title: e.Title, State: v.State,
		Reason:       &reason{v.Reason, reasonText(l, v.Reason, e.Location, now)},
		Associations: []association{},
		Until:        v.Until, OpenFrom: v.OpenFrom, Observed: v.Observed, Soon: v.Soon, Since: v.Since, ReadyAt: v.ReadyAt, ExtendUntil: v.ExtendUntil, Clipped: v.Clipped,
		Others: v.Others, Connections: v.Connections, Stale: v.Stale, ObservedAt: v.ObservedAt,
		PollAfter: pollAfter(v).Milliseconds(), Now: now,
	}
	for _, a := range v.Associations {
		s.Associations = append(s.Associations, association(a))
	}
	if !v.Mine.Until.IsZero() {
		s.Mine = &lease{v.Mine.Since, v.Mine.Until, v.Mine.Why}
	}
	for _, x := range v.Steps {
		s.Steps = append(s.Steps, step{x.Name, stageText[x.Name].say(l), x.Done, x.Ready, x.Total})
	}
	if p := v.Progress; p != nil {
		s.Progress = &progress{Phase: p.Phase, Since: p.Since, Samples: p.Samples, Slow: p.Slow, Stuck: p.Stuck, Text: progressText(l, *p)}
		if p.Left.To > 0 {
			s.Progress.From, s.Progress.To = new(int64(roughly(p.Left.From)/time.Second)), new(int64(roughly(p.Left.To)/time.Second))
		}
	}
	if v.Failure != nil {
		s.Failure = &failure{v.Failure.At, v.Failure.Step, v.Failure.Why}
	}
	if v.Hold != nil {
		s.Hold = &hold{v.Hold.Until, v.Hold.Pause, v.Hold.Why}
	}
	if f, ok := errors.AsType[*latch.Fault](v.Cause); ok {
		s.AWS = &awsWords{f.Service, f.Code, f.Message}
	}
	return s
}

// statusFor is statusOf with what the rules say to the person of r. Whoever may not see the endpoint, and ended a lease of
// theirs on it, gets no more than its name.
func (h *handler) statusFor(r *http.Request, e *Endpoint, v latch.View, now time.Time) Status {
	l := visitOf(r).lang
	if !h.may(r, e, access.See).Allowed {
		return Status{Endpoint: e.Name, Associations: []association{}, PollAfter: time.Minute.Milliseconds(), Now: now}
	}
	s := statusOf(e, v, l, now)
	for _, a := range []access.Action{access.Open, access.Extend} {
		d := h.may(r, e, a)
		if !d.Allowed {
			s.Refused = append(s.Refused, refused{a, d.Code, mayNot[a].say(l) + ": " + accessSay[d.Code].say(l), d.Contact, d.From})
		} else if most := longest(e, d); most < e.Policy.LeaseMax {
			s.Longest = max(s.Longest, int64(most/time.Second))
		}
	}
	return s
}

// pollAfter is the pace that the server sets, kept within what a page may do.
func pollAfter(v latch.View) time.Duration {
	if v.LookAgain == 0 {
		return time.Minute
	}
	return min(max(v.LookAgain, 2*time.Second), 2*time.Minute)
}

// etag names what a watcher would see. The time of the answer, and of the look when it is a fresh one, differ each
// time and change nothing, so they do not count; therefore it is a weak one (RFC 9110 section 8.8.1).
func (s Status) etag(l lang) string {
	s.Now = time.Time{}
	if !s.Stale {
		s.ObservedAt = time.Time{}
	}
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // our own types
	}
	sum := sha256.Sum256(append(b, l.String()...))
	return `W/"` + hex.EncodeToString(sum[:12]) + `"`
}

func (h *handler) showAPI(w http.ResponseWriter, r *http.Request, p latch.Principal, e *Endpoint) error {
	if d := h.may(r, e, access.See); !d.Allowed {
		return &refusal{access.See, d}
	}
	v, err := h.c.Keeper.View(r.Context(), e.ID, p)
	if err != nil {
		return err
	}
	l := visitOf(r).lang
	s := h.statusFor(r, e, v, time.Now())
	tag := s.etag(l)
	w.Header().Set("ETag", tag)
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimSpace(known); known == tag || known == "*" || "W/"+known == tag {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	writeJSON(w, "application/json", http.StatusOK, s)
	return nil
}

// listAPI shows every endpoint that the person may see; one that cannot be looked at carries its problem and does not hide the others.
func (h *handler) listAPI(w http.ResponseWriter, r *http.Request, p latch.Principal) error {
	all := struct {
		Endpoints []Status  `json:"endpoints"`
		Now       time.Time `json:"now"`
	}{[]Status{}, time.Now()}
	for i := range h.c.Endpoints {
		e := &h.c.Endpoints[i]
		if !h.may(r, e, access.See).Allowed {
			continue
		}
		v, err := h.c.Keeper.View(r.Context(), e.ID, p)
		if err != nil {
			visitOf(r).endpoint = e
			_, d := h.describe(r, err)
			h.c.Log.ErrorContext(r.Context(), "endpoint not shown", "endpoint", e.Name, "request_id", visitOf(r).id, "err", err)
			all.Endpoints = append(all.Endpoints, Status{Endpoint: e.Name, ID: string(e.ID), Title: e.Title, Associations: []association{}, Problem: &d, PollAfter: time.Minute.Milliseconds()})
			continue
		}
		all.Endpoints = append(all.Endpoints, h.statusFor(r, e, v, all.Now))
	}
	writeJSON(w, "application/json", http.StatusOK, all)
	return nil
}

// wish is what the three POSTs take; done takes nothing.
type wish struct {
	For    string `json:"for"`
	Reason string `json:"reason"`
}

// apiPost demands application/json even where there is nothing to say: a page of another site cannot send that without
// asking first (Fetch Standard, CORS-safelisted request-header).
func (h *handler) apiPost(verb string, do act) func(http.ResponseWriter, *http.Request, latch.Principal, *Endpoint) error {
	keys := map[string][]string{"open": {"for", "reason"}, "extend": {"for"}, "done": nil}[verb]
	return func(w http.ResponseWriter, r *http.Request, p latch.Principal, e *Endpoint) error {
		if !isType(r, "application/json") {
			return &inputError{errMediaType, tWantsJSON, nil}
		}
		b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return tooBigOr(err, &inputError{errInput, tBadBody, nil})
		}
		d, err := h.permit(r, e, verb)
		if err != nil {
			return err
		}
		q, err := readWish(b, keys)
		if err != nil {
			return err
		}
		ask, err := h.request(r, p, e, q.For, q.Reason)
		if err != nil {
			return err
		}
		v, err := do(h.c.Keeper, r.Context(), e.ID, bound(ask, e, verb, d))
		if err != nil {
			return err
		}
		code := http.StatusOK
		if verb != "done" && v.State != latch.StateOpen && v.State != latch.StateDegraded {
			code = http.StatusAccepted
		}
		writeJSON(w, "application/json", code, h.statusFor(r, e, v, time.Now()))
		return nil
	}
}

// readWish reads an object with no other keys than those, each spelt exactly and at most once. An empty body is an
// empty object.
func readWish(b []byte, keys []string) (wish, error) {
	allowed := "{}"
	if len(keys) > 0 {
		allowed = `{"` + strings.Join(keys, `": "…", "`) + `": "…"}`
	}
	bad := &inputError{errInput, tBadJSON, []string{"{allowed}", allowed}}
	var q wish
	if len(strings.TrimSpace(string(b))) == 0 {
		return q, nil
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return q, bad
	}
	into := map[string]*string{}
	for _, k := range keys {
		into[k] = map[string]*string{"for": &q.For, "reason": &q.Reason}[k]
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return q, bad
		}
		name, _ := t.(string)
		field := into[name]
		if field == nil {
			return q, &inputError{errInput, tUnknownKey, []string{"{key}", clip(name), "{allowed}", allowed}}
		}
		delete(into, name)
		value, err := d.Token()
		s, ok := value.(string)
		if err != nil || !ok {
			return q, bad
		}
		*field = s
	}
	if _, err := d.Token(); err != nil {
		return q, bad
	}
	if _, err := d.Token(); err != io.EOF {
		return q, bad
	}
	return q, nil
}

// clip keeps what is quoted back short.
func clip(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:40]) + "…"
	}
	return s
}
