package web

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

// ErrForbidden is for Authenticate and Keepers: this person may not, whatever they ask.
var ErrForbidden = errors.New("not allowed")

// What this package itself refuses.
var (
	errCrossSite  = errors.New("a request from another site")
	errStaleForm  = errors.New("a form that is not of this browser's page")
	errNoEndpoint = errors.New("no such endpoint")
	errNoPage     = errors.New("no such page")
	errMethod     = errors.New("method not allowed")
	errTooBig     = errors.New("body too big")
	errMediaType  = errors.New("content type not accepted")
	errInput      = errors.New("input not accepted")

	errHeaders     = errors.New("too many or too long header fields")
	errLongAddress = errors.New("address too long")
	errPeople      = errors.New("the store of blocks and rates does not answer")
	errTooMany     = errors.New("too many changes")
	errLeaseGone   = errors.New("that person holds no lease any more")
	errNoHold      = errors.New("no order is in force")
)

// inputError says more precisely what is wrong, in place of the table's sentence.
type inputError struct {
	kind error
	say  text
	args []string
}

func (e *inputError) Error() string { return e.kind.Error() + ": " + e.say.say(en, e.args...) }
func (e *inputError) Unwrap() error { return e.kind }

// problem is how an error is answered.
type problem struct {
	err    error
	status int
	slug   string        // last part of the problem document's type
	words  words         // title and detail
	retry  time.Duration // when a later try may succeed; 0: not by itself
}

// table is the one place where errors become answers. The first match wins: who somebody is comes before what they
// want, and what AWS said before what follows from it. What is not in it is answered with unlisted.
var table = []problem{
	{errHeaders, http.StatusRequestHeaderFieldsTooLarge, "headers-too-big", wHeaders, 0},
	{errLongAddress, http.StatusRequestURITooLong, "address-too-long", wLongAddress, 0},
	{errPeople, http.StatusServiceUnavailable, "access-unavailable", wPeople, 5 * time.Second},
	{signin.ErrNoSession, http.StatusUnauthorized, "signed-out", wSignedOut, 0},
	{signin.ErrFlow, http.StatusBadRequest, "sign-in-lost", wSignInLost, 0},
	{signin.ErrIssuer, http.StatusServiceUnavailable, "issuer-unavailable", wIssuer, 5 * time.Second},
	{signin.ErrNoToken, http.StatusUnauthorized, "signed-out", wSignedOut, 0},
	{signin.ErrToken, http.StatusUnauthorized, "sign-in-refused", wSignInRefused, 0},
	{signin.ErrKeyServer, http.StatusServiceUnavailable, "sign-in-unavailable", wSignInUnavailable, 5 * time.Second},
	{ErrForbidden, http.StatusForbidden, "forbidden", wForbidden, 0},
	{errCrossSite, http.StatusForbidden, "cross-site", wCrossSite, 0},
	{errStaleForm, http.StatusForbidden, "stale-form", wStaleForm, 0},
	{errNoEndpoint, http.StatusNotFound, "no-such-endpoint", wNoEndpoint, 0},
	{errNoPage, http.StatusNotFound, "no-such-page", wNoPage, 0},
	{errMethod, http.StatusMethodNotAllowed, "method-not-allowed", wMethod, 0},
	{errTooBig, http.StatusRequestEntityTooLarge, "too-big", wTooBig, 0},
	{errMediaType, http.StatusUnsupportedMediaType, "media-type", wMediaType, 0},
	{errInput, http.StatusBadRequest, "bad-request", wBadRequest, 0},
	{errTooMany, http.StatusTooManyRequests, "too-many", wTooMany, changeEvery},
	{errLeaseGone, http.StatusConflict, "no-lease", wLeaseGone, 0},
	{errNoHold, http.StatusConflict, "no-hold", wNoHold, 0},
	{latch.ErrOwn, http.StatusBadRequest, "own-lease", wOwn, 0},
	{latch.ErrBadRequest, http.StatusBadRequest, "bad-request", wBadRequest, 0},
	{latch.ErrTooLong, http.StatusBadRequest, "too-long", wTooLong, 0},
	{latch.ErrReason, http.StatusBadRequest, "reason-required", wReason, 0},
	{latch.ErrObserving, http.StatusConflict, "observed", wObserving, 0},
	{latch.ErrHeld, http.StatusConflict, "held", wHeld, 0},
	{latch.ErrHours, http.StatusConflict, "outside-hours", wHours, 0},
	{latch.ErrNoLease, http.StatusConflict, "no-lease", wNoLease, 0},
	{latch.ErrNotReady, http.StatusConflict, "not-usable", wNotReady, 0},
	{latch.ErrTooEarly, http.StatusConflict, "too-early", wTooEarly, 15 * time.Second},
	// The address was right and the configuration names an endpoint: that AWS does not know it is not the caller's 404.
	{latch.ErrNotFound, http.StatusBadGateway, "unknown-to-aws", wUnknownToAWS, 0},
	{latch.ErrRefused, http.StatusBadGateway, "aws-refused", wRefused, 0},
	{latch.ErrBusy, http.StatusServiceUnavailable, "throttled", wBusy, 10 * time.Second},
	{latch.ErrConflict, http.StatusServiceUnavailable, "conflict", wConflict, time.Second},
	{latch.ErrUnavailable, http.StatusServiceUnavailable, "unavailable", wUnavailable, 15 * time.Second},
	{context.Canceled, http.StatusServiceUnavailable, "unavailable", wUnavailable, 15 * time.Second},
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "unavailable", wUnavailable, 15 * time.Second},
}

var unlisted = problem{nil, http.StatusInternalServerError, "internal", wInternal, 0}

func problemOf(err error) problem {
	for _, p := range table {
		if errors.Is(err, p.err) {
			return p
		}
	}
	return unlisted
}

// document is an RFC 9457 problem document with our extension members.
type document struct {
	Type      string       `json:"type"`
	Title     string       `json:"title"`
	Status    int          `json:"status"`
	Detail    string       `json:"detail"`
	RequestID string       `json:"requestId"`
	Endpoint  string       `json:"endpoint,omitempty"`
	State     latch.State  `json:"state,omitempty"`
	AWSStatus latch.Status `json:"awsStatus,omitempty"`
	Endpoints []string     `json:"endpoints,omitempty"`
	Code      access.Code  `json:"code,omitempty"`    // why it was refused
	Contact   string       `json:"contact,omitempty"` // who can change that
	Next      time.Time    `json:"next,omitzero"`     // when the same request would succeed
	AWS       *awsWords    `json:"aws,omitempty"`
}

// awsWords is what AWS itself said, unchanged.
type awsWords struct {
	Service string `json:"service"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
}

// describe turns err into words. What is not in the table tells people nothing of its cause.
func (h *handler) describe(r *http.Request, err error) (problem, document) {
	v, p := visitOf(r), problemOf(err)
	d := document{
		Type: "urn:nightlatch:problem:" + p.slug, Title: p.words.title.say(v.lang), Status: p.status, RequestID: v.id,
	}
	args := []string{"{id}", v.id, "{names}", "", "{name}", "", "{max}", "", "{state}", "", "{next}", ""}
	if e := v.endpoint; e != nil {
		d.Endpoint = e.Name
		args[5], args[7] = e.Title, lengthOf(v.lang, cmp.Or(v.longest, e.Policy.LeaseMax))
		if (p.err == latch.ErrNotReady || p.err == latch.ErrTooEarly || p.err == latch.ErrNoLease) && h.may(r, e, access.See).Allowed {
			// The answer says which state it is in instead. Not knowing does not make the answer another one.
			if view, verr := h.c.Keeper.View(r.Context(), e.ID, v.who.Principal); verr == nil && view.State != "" {
				d.State, d.AWSStatus = view.State, view.Reason.Status
				args[9] = stateWord[view.State].say(v.lang)
				if view.Reason.Status != "" {
					args[9] += " (" + string(view.Reason.Status) + ")"
				}
			}
		}
	}
	if hours, ok := errors.AsType[*latch.HoursError](err); ok && v.endpoint != nil {
		now := time.Now()
		d.Next, p.retry = hours.Next, hours.Next.Sub(now)
		args[11] = clock(v.lang, hours.Next, v.endpoint.Location, now)
	}
	if held, ok := errors.AsType[*latch.HeldError](err); ok && v.endpoint != nil {
		now := time.Now()
		d.Next, p.retry = held.Hold.Until, held.Hold.Until.Sub(now)
		args[11] = clock(v.lang, held.Hold.Until, v.endpoint.Location, now)
		if held.Hold.Pause {
			p.words = wPaused
			args = append(args, "{message}", held.Hold.Why)
			d.Title = p.words.title.say(v.lang)
		}
	}
	if many, ok := errors.AsType[*tooMany](err); ok {
		p.retry = many.wait
		args = append(args, "{wait}", lengthOf(v.lang, (many.wait+time.Second-1).Truncate(time.Second)))
	}
	if args[9] == "" {
		args[9] = "?"
	}
	if p.err == errNoEndpoint {
		d.Endpoints = []string{}
		for _, name := range slices.Sorted(maps.Keys(h.endpoints)) {
			if h.may(r, h.endpoints[name], access.See).Allowed {
				d.Endpoints = append(d.Endpoints, name)
			}
		}
		args[3] = strings.Join(d.Endpoints, ", ")
	}
	d.Detail = strings.TrimSpace(p.words.detail.say(v.lang, args...))
	if no, ok := errors.AsType[*refusal](err); ok {
		now, loc := time.Now(), h.c.Endpoints[0].Location
		if v.endpoint != nil {
			loc = v.endpoint.Location
		}
		d.Title, d.Detail = mayNot[no.action].say(v.lang), refusalText(v.lang, no.d, v.id, loc, now)
		d.Code, d.Contact = no.d.Code, no.d.Contact
		if no.d.From.After(now) {
			d.Next, p.retry = no.d.From, no.d.From.Sub(now)
		}
	}
	if in, ok := errors.AsType[*inputError](err); ok {
		d.Detail = in.say.say(v.lang, in.args...)
	}
	if f, ok := errors.AsType[*latch.Fault](err); ok && p.status >= 500 {
		d.AWS = &awsWords{f.Service, f.Code, f.Message}
	}
	return p, d
}

// fail answers err and logs it; the causes are for the operator only.
func (h *handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	v := visitOf(r)
	p, d := h.describe(r, err)
	level, message := slog.LevelInfo, "not done"
	switch {
	case p.status >= 500:
		level, message = slog.LevelError, "failed"
	case p.status == http.StatusUnauthorized || p.status == http.StatusForbidden:
		level, message = slog.LevelWarn, "refused"
	}
	h.c.Log.Log(r.Context(), level, message, "status", p.status, "problem", p.slug, "endpoint", d.Endpoint, "subject", v.who.Subject, "request_id", v.id, "err", err)
	if p.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((p.retry+time.Second-1)/time.Second)))
	}
	if strings.HasPrefix(r.URL.Path, "/api/") {
		writeJSON(w, "application/problem+json", p.status, d)
		return
	}
	h.problemPage(w, r, d)
}

func writeJSON(w http.ResponseWriter, contentType string, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
