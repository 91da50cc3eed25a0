package identitycenter

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pquerna/otp"
)

const (
	flowLifetime    = 10 * time.Minute // from the request to the answer; long enough to install an app and enrol
	maxFlows        = 1000
	sessionLifetime = 8 * time.Hour       // an access portal session's default
	trustLifetime   = 30 * 24 * time.Hour // AWS names no time
)

// flow is one sign-in under way. It belongs to the browser that began it.
type flow struct {
	id, token  string // token: in the forms, so that nobody else can post them
	browser    string // hash of the browser's cookie
	requestID  string
	relayState string
	force      bool // the service provider wants a fresh sign-in (ForceAuthn)
	expires    time.Time

	person  *person  // once the password was right
	key     *otp.Key // an authenticator that is not proven yet
	session string   // hash of the session that this flow made
}

// session is a browser that signed in; a later request within its time needs no password.
type session struct {
	User    string    `json:"user"` // objectGUID
	Name    string    `json:"name"`
	Index   string    `json:"index"` // SessionIndex in assertions
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`
}

// trusted is a browser on which some people need no code.
type trusted struct {
	Users []string  `json:"users"` // objectGUIDs
	Until time.Time `json:"until"`
}

func (t trusted) without(user string) trusted {
	t.Users = slices.DeleteFunc(slices.Clone(t.Users), func(u string) bool { return u == user })
	return t
}

// Cookies. Lax is enough for all: requests arrive from another site, but each is answered with a redirect to a page here,
// and a browser follows that as a top-level GET, for which it sends Lax cookies.
const (
	flowCookie    = "__Host-idc-flow"
	sessionCookie = "__Host-idc-session"
	trustCookie   = "__Host-idc-trusted"
)

// setCookie gives an age and no date: the date would be by our clock, and the browser compares it with its own.
func setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(age.Seconds())})
}

// cookieHash is the only form in which a cookie's value is kept, or empty when there is none.
func cookieHash(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil || c.Value == "" {
		return ""
	}
	return hash(c.Value)
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// ssoRedirect takes an AuthnRequest by the HTTP-Redirect binding.
func (s *Server) ssoRedirect(w http.ResponseWriter, r *http.Request) {
	raw, relayState, err := redirected(r)
	s.begin(w, r, raw, relayState, err)
}

// ssoPost takes an AuthnRequest by the HTTP-POST binding.
func (s *Server) ssoPost(w http.ResponseWriter, r *http.Request) {
	raw, relayState, err := posted(r)
	s.begin(w, r, raw, relayState, err)
}

// begin opens a flow for a valid request. One request id opens one flow; the same browser asking again, as a reload
// does, is led back to it.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, raw []byte, relayState string, err error) {
	now := s.now().UTC()
	var q *authnRequest
	if err == nil {
		q, err = s.parseRequest(raw, now)
	}
	if err == nil && len(relayState) > maxRelayState {
		err = errors.New("the relay state is too long")
	}
	if err != nil {
		s.refuse(w, r, http.StatusBadRequest, err.Error(), "The application sent a sign-in request that is not valid here. Start again from the application.")
		return
	}
	browser, fresh := cookieHash(r, flowCookie), ""
	if browser == "" {
		fresh = rand.Text()
		browser = hash(fresh)
	}

	s.mu.Lock()
	s.forget(now)
	var f *flow
	_, replayed := s.state.Seen[q.ID]
	replayed = replayed && !s.cfg.Unconfirmed.RequestsRepeat
	force := isTrue(q.ForceAuthn) && !s.cfg.Unconfirmed.ForceAuthnIgnored
	for _, old := range s.flows {
		if old.requestID == q.ID && old.browser == browser {
			f = old
		}
	}
	if f == nil && !replayed && len(s.flows) < maxFlows {
		f = &flow{id: rand.Text(), token: rand.Text(), browser: browser, requestID: q.ID, relayState: relayState, force: force, expires: now.Add(flowLifetime)}
		s.flows[f.id] = f
		s.state.Seen[q.ID] = now.Add(2*requestWindow + flowLifetime)
		s.save()
	}
	s.mu.Unlock()

	switch {
	case f == nil && replayed:
		s.refuse(w, r, http.StatusBadRequest, "replayed AuthnRequest", "This sign-in request was used before. Start again from the application.")
	case f == nil:
		w.Header().Set("Retry-After", "60")
		s.refuse(w, r, http.StatusServiceUnavailable, "too many sign-ins under way", "Too many sign-ins are under way. Try again in a minute.")
	default:
		if fresh != "" {
			setCookie(w, flowCookie, fresh, sessionLifetime)
		}
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, "/signin?flow="+f.id, http.StatusSeeOther)
	}
}

// forget drops what is over; the caller holds mu.
func (s *Server) forget(now time.Time) {
	maps.DeleteFunc(s.flows, func(_ string, f *flow) bool { return !now.Before(f.expires) })
	maps.DeleteFunc(s.state.Seen, func(_ string, until time.Time) bool { return !now.Before(until) })
	maps.DeleteFunc(s.state.Sessions, func(_ string, ses session) bool { return !now.Before(ses.Expires) })
	maps.DeleteFunc(s.state.Trusted, func(_ string, t trusted) bool { return !now.Before(t.Until) || len(t.Users) == 0 })
}

// theFlow returns a copy of the flow that a request belongs to, or answers the request and returns false. A post must
// carry the flow's token.
func (s *Server) theFlow(w http.ResponseWriter, r *http.Request) (flow, bool) {
	id, token := r.FormValue("flow"), r.PostFormValue("token") // read before the lock: a body may come slowly
	s.mu.Lock()
	s.forget(s.now())
	f := s.flows[id]
	var out flow
	ok := f != nil && f.browser == cookieHash(r, flowCookie)
	if ok && r.Method == http.MethodPost {
		ok = subtle.ConstantTimeCompare([]byte(token), []byte(f.token)) == 1
	}
	if ok {
		out = *f
	}
	s.mu.Unlock()
	if !ok {
		s.refuse(w, r, http.StatusBadRequest, "no such sign-in in this browser", "This sign-in is over: it was finished, took too long, or belongs to another browser. Start again from the application.")
	}
	return out, ok
}

// theSession returns the session of the browser and its key.
func (s *Server) theSession(r *http.Request) (session, string, bool) {
	key := cookieHash(r, sessionCookie)
	s.mu.Lock()
	defer s.mu.Unlock()
	ses, ok := s.state.Sessions[key]
	if !ok || !s.now().Before(ses.Expires) {
		return session{}, "", false
	}
	return ses, key, true
}

// showSignIn shows the step that comes next, and at the end posts the answer.
func (s *Server) showSignIn(w http.ResponseWriter, r *http.Request) {
	f, ok := s.theFlow(w, r)
	if !ok {
		return
	}
	if ses, key, ok := s.theSession(r); ok && (!f.force || f.session == key) {
		s.finish(w, r, f, ses, key)
		return
	}
	if f.person == nil {
		s.show(w, http.StatusOK, page{Name: "password", Title: "Sign in", Flow: f.id, Token: f.token})
		return
	}
	s.showCode(w, r, f, http.StatusOK, "")
}

// showCode asks for a code: of the authenticator that the person has, or of the one to enrol now. Identity Center's
// "Require them to register an MFA device at sign in" gives no way round.
func (s *Server) showCode(w http.ResponseWriter, r *http.Request, f flow, status int, problem string) {
	p := page{Name: "code", Title: "Enter your code", Error: problem, Flow: f.id, Token: f.token, Person: f.person.upn}
	s.mu.Lock()
	_, enrolled := s.state.Enrolments[f.person.id]
	p.MayTrust = s.cfg.Unconfirmed.ContextAware
	s.mu.Unlock()
	if !enrolled {
		p.Name, p.Title, p.Key, p.KeyURL = "enrol", "Register your authenticator", f.key.Secret(), template.URL(f.key.URL())
		var err error
		if p.QR, err = qrImage(f.key.URL()); err != nil {
			s.log.Error("QR code not drawn", "to", "identity-center", "err", err)
			s.refuse(w, r, http.StatusInternalServerError, "no QR code", "Something went wrong. Try again.")
			return
		}
	}
	s.show(w, status, p)
}

// password tries a user name and a password.
func (s *Server) password(w http.ResponseWriter, r *http.Request) {
	f, ok := s.theFlow(w, r)
	if !ok {
		return
	}
	username, password := strings.TrimSpace(r.PostForm.Get("username")), r.PostForm.Get("password")
	again := page{Name: "password", Title: "Sign in", Flow: f.id, Token: f.token, Username: username}
	if username == "" || password == "" || len(username) > 256 || strings.ContainsRune(username, 0) {
		again.Error = "Enter your user name and your password."
		s.show(w, http.StatusBadRequest, again)
		return
	}
	who, err := s.verify(r.Context(), username, password)
	// A refusal of Identity Center's own account says nothing about the person's.
	if e, ok := errors.AsType[*refusal](err); ok && !errors.Is(err, ErrServiceAccount) {
		s.log.Warn("refused", "to", "identity-center", "why", e.Error())
		again.Error = e.sentence(s.cfg.Domain)
		s.show(w, http.StatusForbidden, again)
		return
	}
	if err != nil {
		s.log.Error("directory not available", "to", "identity-center", "err", err)
		again.Error = directoryDown
		w.Header().Set("Retry-After", "30")
		s.show(w, http.StatusServiceUnavailable, again)
		return
	}
	key, err := newKey(who.upn)
	if err != nil {
		s.log.Error("no authenticator key", "to", "identity-center", "err", err)
		s.refuse(w, r, http.StatusInternalServerError, "no authenticator key", "Something went wrong. Try again.")
		return
	}
	cookie, now := "", s.now().UTC()
	s.mu.Lock()
	if f := s.flows[f.id]; f != nil {
		if f.person == nil || f.person.id != who.id { // the same person again keeps the key that is on another tab's page
			f.key = key
		}
		f.person = who
		if s.needsNoCode(who, s.state.Trusted[cookieHash(r, trustCookie)]) {
			cookie = s.newSession(f, now)
			s.save()
		}
	}
	s.mu.Unlock()
	if cookie != "" {
		s.hand(w, r, cookie)
	}
	http.Redirect(w, r, "/signin?flow="+f.id, http.StatusSeeOther)
}

// needsNoCode reports whether the password alone is enough, which it is by two of the unconfirmed facts only; the caller
// holds mu.
func (s *Server) needsNoCode(p *person, browser trusted) bool {
	if _, enrolled := s.state.Enrolments[p.id]; !enrolled {
		return s.cfg.Unconfirmed.WithoutDevice
	}
	return s.cfg.Unconfirmed.ContextAware && slices.Contains(browser.Users, p.id)
}

// newSession makes the session of a flow's person and returns its cookie, a new one at each sign-in, so that nobody can
// plant it; the caller holds mu.
func (s *Server) newSession(f *flow, now time.Time) string {
	cookie := rand.Text()
	f.session = hash(cookie)
	s.state.Sessions[f.session] = session{User: f.person.id, Name: f.person.name, Index: newID(), At: now, Expires: now.Add(sessionLifetime)}
	return cookie
}

// hand gives the browser its new session and ends the one that this replaces.
func (s *Server) hand(w http.ResponseWriter, r *http.Request, cookie string) {
	s.endSession(cookieHash(r, sessionCookie))
	setCookie(w, sessionCookie, cookie, sessionLifetime)
}

const directoryDown = "The company directory does not answer, so nobody can sign in at the moment. Nothing was lost: try again in a minute."

// code tries a code, and with the right one makes the session.
func (s *Server) code(w http.ResponseWriter, r *http.Request) {
	f, ok := s.theFlow(w, r)
	if !ok {
		return
	}
	if f.person == nil {
		http.Redirect(w, r, "/signin?flow="+f.id, http.StatusSeeOther)
		return
	}
	typed := strings.Join(strings.Fields(r.PostForm.Get("code")), "")
	if len(typed) != 6 || strings.Trim(typed, "0123456789") != "" {
		s.showCode(w, r, f, http.StatusBadRequest, "Enter the six digits that your authenticator app shows.")
		return
	}
	o := s.tryCode(&f, typed, r.PostForm.Get("trust") != "", cookieHash(r, trustCookie), s.now().UTC())
	problem, status := "", http.StatusForbidden
	switch o.verdict {
	case codeWrong:
		problem = "That code is not correct. Wait for the next one in your authenticator app and check that your phone's clock is right."
	case codeUsed:
		problem = "That code was used already. Wait for the next one."
	case codeLocked:
		problem, status = fmt.Sprintf("Too many wrong codes. Wait %s, then try again with a new code.", minutes(o.wait)), http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(int(o.wait.Seconds()+0.999)))
	default:
		s.hand(w, r, o.session)
		if o.trust != "" {
			setCookie(w, trustCookie, o.trust, trustLifetime)
		}
		http.Redirect(w, r, "/signin?flow="+f.id, http.StatusSeeOther)
		return
	}
	s.log.Warn("refused", "to", "identity-center", "why", problem)
	s.showCode(w, r, f, status, problem)
}

// minutes says a length of time, rounded up.
func minutes(d time.Duration) string {
	if n := int((d + time.Minute - 1) / time.Minute); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}

// outcome is what became of a code.
type outcome struct {
	verdict
	session, trust string        // cookies; trust is empty unless the browser is trusted from now on
	wait           time.Duration // while locked
}

// tryCode judges a code of the flow's person and with the right one makes a session. For who has no authenticator yet, the
// code proves the one shown, and is spent by that. Trust wishes that the browser, known by a cookie's hash so far, need no
// code any more.
func (s *Server) tryCode(f *flow, typed string, trust bool, browser string, now time.Time) outcome {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept, alive := s.flows[f.id]
	if !alive || kept.person == nil || kept.person.id != f.person.id {
		return outcome{verdict: codeWrong} // the flow ended meanwhile
	}
	id := f.person.id
	e := s.state.Enrolments[id]
	if e == nil {
		step, v := judge(f.key.Secret(), typed, 0, now)
		if v != codeRight {
			return outcome{verdict: v}
		}
		e = &enrolment{Secret: f.key.Secret(), LastStep: step, Enrolled: now}
		s.state.Enrolments[id] = e
	} else if v := e.try(typed, now, s.cfg.Unconfirmed.GuessesUnlimited); v != codeRight {
		s.save()
		return outcome{verdict: v, wait: e.Locked.Sub(now)}
	}
	e.Username = f.person.username
	o := outcome{session: s.newSession(kept, now)}
	if trust && s.cfg.Unconfirmed.ContextAware {
		t := s.state.Trusted[browser].without(id)
		delete(s.state.Trusted, browser)
		o.trust = rand.Text()
		s.state.Trusted[hash(o.trust)] = trusted{append(t.Users, id), now.Add(trustLifetime)}
	}
	s.save()
	return o
}

// finish answers the service provider for a signed-in person. The last sync is asked each time, so that an account that
// was disabled, or is no longer assigned, ends here although the session lives.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, f flow, ses session, key string) {
	p := s.current(ses.User)
	if p == nil {
		s.endSession(key)
		setCookie(w, sessionCookie, "", -time.Second)
		s.mu.Lock()
		if f := s.flows[f.id]; f != nil {
			f.person = nil
		}
		s.mu.Unlock()
		s.log.Warn("refused", "to", "identity-center", "why", "the session's account is disabled or gone")
		s.show(w, http.StatusForbidden, page{Name: "password", Title: "Sign in", Flow: f.id, Token: f.token, Error: "You were signed out because your account changed. Sign in again."})
		return
	}
	if subject := p.mapped(s.cfg.Application.Mappings[0].Value); !p.assigned || p.email == "" || subject == "" {
		// Identity Center shows the same page for both (it wants an e-mail address of everybody).
		why := "not assigned to the application"
		if p.assigned {
			why = "no e-mail address, or nothing for the subject, in the directory"
		}
		s.log.Warn("refused", "to", "identity-center", "why", why, "user", p.username)
		s.show(w, http.StatusForbidden, page{Name: "noaccess", Title: "No access", Person: p.upn,
			Error: "You do not have access to this application. Ask your administrator to assign it to you."})
		return
	}
	s.mu.Lock()
	_, pending := s.flows[f.id]
	delete(s.flows, f.id) // one request, one answer
	s.mu.Unlock()
	if !pending {
		s.refuse(w, r, http.StatusBadRequest, "the request was answered already", "This sign-in was finished already. Start again from the application.")
		return
	}
	response, err := s.respond(f.requestID, p, ses, s.now().UTC())
	if err != nil {
		s.log.Error("response not signed", "to", "identity-center", "err", err)
		s.refuse(w, r, http.StatusInternalServerError, "response not signed", "Something went wrong. Start again from the application.")
		return
	}
	s.log.Info("signed in", "to", "identity-center", "user", p.username)
	s.show(w, http.StatusOK, page{Name: "saml", Title: "Signing you in", SAMLResponse: base64.StdEncoding.EncodeToString(response), RelayState: f.relayState})
}

// portal is the access portal: the one application as a tile. The tile leads to the application's start URL, because
// only the application can begin a sign-in that it will accept.
func (s *Server) portal(w http.ResponseWriter, r *http.Request) {
	ses, _, _ := s.theSession(r)
	s.show(w, http.StatusOK, page{Name: "portal", Title: "Access portal", Person: ses.Name})
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	s.endSession(cookieHash(r, sessionCookie))
	setCookie(w, sessionCookie, "", -time.Second)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) endSession(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.state.Sessions[key]; ok {
		delete(s.state.Sessions, key)
		s.save()
	}
}
