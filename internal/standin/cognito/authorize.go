package cognito

import (
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/crewjam/saml"
)

// request is what the app asked for at /oauth2/authorize, checked. It becomes the code's binding.
type request struct {
	redirectURI, scope, state, nonce, challenge string
}

// pending is a sign-in that was sent to the identity provider and has not come back.
type pending struct {
	request
	id      string // of the AuthnRequest; the response's InResponseTo
	browser string // hash of the cookie of the browser that began
	began   time.Time
}

// code is an authorization code. A used one stays until it would have expired, so that its second use is noticed.
type code struct {
	request
	username string
	authTime time.Time
	expires  time.Time
	used     bool
	grant    string // origin_jti of what the first use gave
}

// session is a browser that is signed in to the pool.
type session struct {
	username string
	authTime time.Time
}

const (
	sessionCookie = "cognito"
	// stateCookie ties a sign-in to the browser that began it: without it, one person's response posted by another's
	// browser would sign that browser in as the first person. Cognito sets a cookie of this name, and people meet its
	// "Invalid state" when it does not come back.
	stateCookie = "csrf-state"
	// relayWords times 26 characters are more than the 80 bytes of SAML Bindings 3.4.3: Cognito's relay states are longer
	// ("Things to know about SAML IdPs"), and a provider that cannot take that fails at Cognito too.
	relayWords = 5
)

// authorize is GET /oauth2/authorize ("The redirect and authorization endpoint") and GET /login, which differ only where
// SignInPage is on.
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) {
	if len(r.URL.RawQuery) > maxQuery {
		s.refused("authorize request too long")
		showError(w, http.StatusRequestURITooLong, "This sign-in link does not work", "The application's sign-in request is too long.", "Go back to the application and start again.")
		return
	}
	q, perr := url.ParseQuery(r.URL.RawQuery)
	clientID, onceClient := one(q, "client_id")
	redirectURI, onceRedirect := one(q, "redirect_uri")
	// Until both of these are known to be the app's own, nothing is sent anywhere: an open redirector would hand codes
	// and errors to strangers (RFC 6749 section 4.1.2.1). AWS shows its page by way of a redirect to /error; here it is
	// the answer itself.
	switch {
	case perr != nil || !onceClient || !onceRedirect:
		s.refused("malformed authorize request")
		showError(w, http.StatusBadRequest, "This sign-in link does not work", "The application's sign-in request cannot be read (invalid_request).", "Go back to the application and start again.")
		return
	case clientID != s.st.ClientID:
		s.refused("unknown client_id", "client_id", clientID)
		showError(w, http.StatusBadRequest, "This sign-in link does not work", "The application that sent you here is not known (invalid client_id).", "If you followed a saved link, open the application itself. Its operator finds the client ID among the user pool's app clients.")
		return
	case !slices.Contains(s.cfg.CallbackURLs, redirectURI):
		s.refused("redirect_uri is not registered", "redirect_uri", redirectURI)
		showError(w, http.StatusBadRequest, "This sign-in link does not work", "The address to return to is not one of the application's own (redirect_mismatch).", "You have not been sent there. The application's operator can register it as a callback URL; it must match to the letter.")
		return
	}
	ask, fault := s.check(q)
	ask.redirectURI = redirectURI
	if fault != "" {
		kind, description, _ := strings.Cut(fault, ": ")
		s.back(w, r, ask, kind, description)
		return
	}
	named, u := q.Get("identity_provider") != "", s.unconfirmed()
	if !named || !u.AlwaysAsksProvider {
		if code, ok := s.silent(r, ask); ok {
			http.Redirect(w, r, withQuery(redirectURI, answer(url.Values{"code": {code}}, ask)), http.StatusFound)
			return
		}
	}
	switch {
	case named || !u.SignInPage:
		s.toProvider(w, r, ask)
	case r.URL.Path == "/login":
		q.Set("identity_provider", s.cfg.ProviderName)
		showSignIn(w, s.cfg.ProviderName, "/oauth2/authorize?"+q.Encode())
	default:
		http.Redirect(w, r, s.cfg.BaseURL+"/login?"+r.URL.RawQuery, http.StatusFound)
	}
}

// check reads the rest of an authorize request. The fault is an OAuth error code and its description.
func (s *Server) check(q url.Values) (ask request, fault string) {
	ask.state, _ = one(q, "state") // first, so that an error finds its way back with it
	for key, values := range q {
		if len(values) > 1 {
			return ask, "invalid_request: " + key + " is given more than once"
		}
	}
	switch q.Get("response_type") {
	case "code":
	case "token":
		return ask, "unauthorized_client: the client may not use the implicit grant"
	default:
		return ask, "invalid_request: response_type must be code"
	}
	asked := strings.Fields(q.Get("scope"))
	if len(asked) == 0 {
		asked = s.cfg.Scopes // "the authentication server uses all scopes associated with the client"
	}
	for _, scope := range asked {
		if !slices.Contains(s.cfg.Scopes, scope) {
			return ask, "invalid_scope: " + scope
		}
	}
	if !slices.Contains(asked, "openid") {
		return ask, "invalid_scope: email, phone and profile can only be asked for with openid"
	}
	challenge, method := q.Get("code_challenge"), q.Get("code_challenge_method")
	if q.Has("code_challenge") || q.Has("code_challenge_method") {
		if method != "S256" {
			return ask, "invalid_request: code_challenge_method must be S256"
		}
		if sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge); err != nil || len(sum) != 32 {
			return ask, "invalid_request: code_challenge is not a base64url SHA-256"
		}
	}
	if p := q.Get("identity_provider"); p != "" && p != s.cfg.ProviderName {
		return ask, "invalid_request: identity_provider is not one of the client's"
	}
	if q.Has("idp_identifier") {
		return ask, "invalid_request: no provider has this idp_identifier"
	}
	ask.scope, ask.nonce, ask.challenge = strings.Join(asked, " "), q.Get("nonce"), challenge
	return ask, ""
}

// back sends an error to the app's own redirect_uri.
func (s *Server) back(w http.ResponseWriter, r *http.Request, ask request, kind, description string) {
	if cut := []rune(description); len(cut) > 300 { // it may quote what came from outside
		description = string(cut[:300])
	}
	s.refused(description, "error", kind)
	http.Redirect(w, r, withQuery(ask.redirectURI, answer(url.Values{"error": {kind}, "error_description": {description}}, ask)), http.StatusFound)
}

func answer(v url.Values, ask request) url.Values {
	if ask.state != "" {
		v.Set("state", ask.state)
	}
	return v
}

// silent gives a code to a browser that is signed in already.
func (s *Server) silent(r *http.Request, ask request) (string, bool) {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	in, ok := s.sessions[hash(c.Value)]
	if !ok || s.cfg.Clock.Now().Sub(in.authTime) >= sessionValidity {
		return "", false
	}
	return s.newCode(ask, in), true
}

// newCode makes the code that carries a sign-in to the app. Callers hold s.mu.
func (s *Server) newCode(ask request, in session) string {
	now := s.cfg.Clock.Now()
	maps.DeleteFunc(s.codes, func(_ string, c *code) bool { return now.After(c.expires) })
	text := newUUID()
	s.codes[hash(text)] = &code{request: ask, username: in.username, authTime: in.authTime, expires: now.Add(codeValidity)}
	return text
}

// toProvider begins a sign-in: an AuthnRequest by the HTTP-Redirect binding (SAML Bindings 3.4), unsigned, as Cognito
// sends it unless told otherwise.
func (s *Server) toProvider(w http.ResponseWriter, r *http.Request, ask request) {
	meta, err := s.idp.metadata(r.Context())
	if err != nil {
		s.back(w, r, ask, "server_error", s.noMetadata(err))
		return
	}
	// A browser keeps its state cookie, so that two tabs that sign in at once do not spoil each other.
	browser := ""
	if c, err := r.Cookie(stateCookie); err == nil && len(c.Value) == len(rand.Text()) {
		browser = c.Value
	}
	browser = cmp.Or(browser, rand.Text())
	now := s.cfg.Clock.Now()
	p := pending{request: ask, id: "_" + newUUID(), browser: hash(browser), began: now}
	relay := ""
	for range relayWords {
		relay += rand.Text()
	}
	location, err := redirectURL(meta.sso, saml.AuthnRequest{
		ID: p.id, Version: "2.0", IssueInstant: now.UTC(), Destination: meta.sso,
		Issuer:                      &saml.Issuer{Value: s.Audience()},
		AssertionConsumerServiceURL: s.ACSURL(), ProtocolBinding: saml.HTTPPostBinding,
	}, relay)
	if err != nil {
		s.cfg.Log.Error("AuthnRequest", "to", name, "err", err)
		s.back(w, r, ask, "server_error", "the request to the identity provider cannot be written")
		return
	}
	if !s.remember(relay, p) {
		s.refused("too many sign-ins under way")
		showError(w, http.StatusServiceUnavailable, "Too many sign-ins", "Too many people are signing in right now.", "Wait a few minutes, then start again from the application.")
		return
	}
	s.setCookie(w, &http.Cookie{Name: stateCookie, Value: browser, MaxAge: int(pendingKept.Seconds()), SameSite: http.SameSiteNoneMode})
	http.Redirect(w, r, location, http.StatusFound)
}

// noMetadata logs why there is no metadata to work with and returns it in words for the app.
func (s *Server) noMetadata(err error) string {
	s.cfg.Log.Error("no metadata of the identity provider", "to", name, "url", s.cfg.MetadataURL, "err", err)
	return "the identity provider's SAML metadata cannot be used: " + err.Error()
}

// remember keeps p under its RelayState. One that ran out of time stays for a while, to be told from one never begun.
func (s *Server) remember(relay string, p pending) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.pending, func(_ string, old pending) bool { return p.began.Sub(old.began) > pendingKept })
	if len(s.pending) >= maxPending {
		return false
	}
	s.pending[relay] = p
	return true
}

// setCookie adds what every cookie of the pool has. The identity provider's answer is a POST from another site, on
// which a browser sends only SameSite=None cookies, and those only with Secure; a plain-HTTP pool has neither.
func (s *Server) setCookie(w http.ResponseWriter, c *http.Cookie) {
	c.Path, c.HttpOnly = "/", true
	if c.Secure = strings.HasPrefix(s.cfg.BaseURL, "https:"); !c.Secure {
		c.SameSite = http.SameSiteDefaultMode
	}
	http.SetCookie(w, c)
}

// idpResponse is POST /saml2/idpresponse, the assertion consumer service. It is a cross-site POST by design: what
// vouches for it is the signature, the request it answers and the state cookie, not its origin.
func (s *Server) idpResponse(w http.ResponseWriter, r *http.Request) {
	const title, again = "You are not signed in", "Go back to the application and start again."
	if err := form(r); err != nil {
		s.refused("malformed SAML post", "err", err)
		status := http.StatusBadRequest
		if _, big := errors.AsType[*http.MaxBytesError](err); big {
			status = http.StatusRequestEntityTooLarge
		}
		showError(w, status, title, "The identity provider's answer cannot be read.", again)
		return
	}
	relay, once := one(r.PostForm, "RelayState")
	response, once2 := one(r.PostForm, "SAMLResponse")
	browser := ""
	if c, err := r.Cookie(stateCookie); err == nil {
		browser = c.Value
	}
	s.mu.Lock()
	p, ok := s.pending[relay]
	ok = ok && p.browser == hash(browser)
	if ok {
		delete(s.pending, relay) // answered once, whatever the answer is
	}
	s.mu.Unlock()
	switch {
	case !once || !once2 || !ok || response == "":
		// Also the answer to a response nobody asked for (IdP-initiated), in Cognito's words.
		s.refused("Invalid samlResponse or relayState from identity provider")
		showError(w, http.StatusBadRequest, title, "Invalid samlResponse or relayState from identity provider.",
			"Sign-in has to begin at the application, in this browser, and its answer counts once. Open the application itself rather than a tile, a bookmark or the back button.")
		return
	case s.cfg.Clock.Now().Sub(p.began) > samlTimeLimit:
		s.refused("SAML authentication took longer than the limit", "limit", samlTimeLimit)
		showError(w, http.StatusBadRequest, title, "Something went wrong: signing in took longer than five minutes.",
			again+" If you have just set up your authenticator app, that is done and need not be repeated.")
		return
	}
	u, fault := s.accept(r, p, response)
	if fault != "" {
		// The app learns of it at its registered address, as with Cognito; the person sees what the app makes of it.
		s.back(w, r, p.request, "server_error", fault)
		return
	}
	now := s.cfg.Clock.Now()
	in := session{u.Username, now}
	cookie := rand.Text()
	s.mu.Lock()
	maps.DeleteFunc(s.sessions, func(_ string, old session) bool { return now.Sub(old.authTime) >= sessionValidity })
	s.sessions[hash(cookie)] = in
	text := s.newCode(p.request, in)
	s.mu.Unlock()
	s.setCookie(w, &http.Cookie{Name: sessionCookie, Value: cookie, MaxAge: int(sessionValidity.Seconds()), SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, withQuery(p.redirectURI, answer(url.Values{"code": {text}}, p.request)), http.StatusFound)
}

// accept verifies a response and writes the user's profile. The fault is what the app is told; what is ours to mend
// is in the log.
func (s *Server) accept(r *http.Request, p pending, response string) (u profile, fault string) {
	const invalid = "Invalid SAML response received: " // Cognito's words
	meta, err := s.idp.metadata(r.Context())
	if err != nil {
		return profile{}, s.noMetadata(err)
	}
	open := s.unconfirmed()
	want := expected{acs: s.ACSURL(), audience: s.Audience(), request: p.id, now: s.cfg.Clock.Now(), skew: skew}
	if open.NoSkew {
		want.skew = 0
	}
	a, err := meta.verify(response, want)
	if err != nil {
		return profile{}, invalid + err.Error()
	}
	attributes, err := mapped(s.cfg.AttributeMapping, a, open)
	if err != nil {
		return profile{}, err.Error()
	}
	username := s.cfg.ProviderName + "_" + a.Subject.NameID.Value
	// UsernameType of the user pool API: 1 to 128 of these, so neither space nor control character.
	if utf8.RuneCountInString(username) > 128 || strings.ContainsFunc(a.Subject.NameID.Value, func(r rune) bool {
		return !unicode.In(r, unicode.L, unicode.M, unicode.S, unicode.N, unicode.P)
	}) {
		return profile{}, "the NameID cannot be part of a user name: too long, or with a space in it"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.cfg.Clock.Now()
	maps.DeleteFunc(s.seen, func(_ string, until time.Time) bool { return now.After(until) })
	if _, replayed := s.seen[a.ID]; replayed {
		return profile{}, invalid + "the assertion was used before"
	}
	s.seen[a.ID] = expiry(a)
	if u, err = s.upsert(username, a.Subject.NameID.Value, attributes, meta.entityID, now); err != nil {
		s.cfg.Log.Error("user profile", "to", name, "err", err)
		return profile{}, "the user's profile cannot be written"
	}
	return u, ""
}

// upsert makes the user's profile or rewrites its attributes. The sub stays the same for as long as the NameID does: a
// new NameID, be it only in the case of its letters, is a new user. Callers hold s.mu.
func (s *Server) upsert(username, nameID string, attributes map[string]string, issuer string, now time.Time) (profile, error) {
	u, known := s.st.Profiles[username]
	old := u
	if !known {
		u = profile{Sub: newUUID(), Username: username, NameID: nameID, Created: now.UTC()}
	}
	// "If a previously mapped claim no longer exists in the incoming token, it won't be deleted or changed."
	kept := map[string]string{}
	maps.Copy(kept, u.Attributes)
	maps.Copy(kept, attributes)
	u.Issuer, u.Attributes, u.Modified = issuer, kept, now.UTC()
	s.st.Profiles[username] = u
	if err := s.save(); err != nil {
		if s.st.Profiles[username] = old; !known {
			delete(s.st.Profiles, username)
		}
		return profile{}, err
	}
	return u, nil
}

// logout is GET /logout ("The managed login sign-out endpoint"): it ends the pool's session, not the identity
// provider's, and not the tokens already given. With redirect_uri the person is sent to sign in again, as somebody else
// perhaps; a logout_uri beside it has precedence.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	const still = "You are still signed in"
	q := r.URL.Query()
	clientID, onceClient := one(q, "client_id")
	to, onceTo := one(q, "logout_uri")
	again := to == "" && q.Has("redirect_uri")
	if clientID != s.st.ClientID || !onceClient || !onceTo {
		s.refused("logout of an unknown client", "client_id", clientID)
		showError(w, http.StatusBadRequest, still, "The application that sent you here is not known (invalid client_id).", "Sign out from the application itself.")
		return
	}
	registered := again || slices.Contains(s.cfg.LogoutURLs, to)
	title := still
	if registered || s.unconfirmed().RefusedLogoutSignsOut {
		title = "You are signed out"
		if c, err := r.Cookie(sessionCookie); err == nil {
			s.mu.Lock()
			delete(s.sessions, hash(c.Value))
			s.mu.Unlock()
		}
		s.setCookie(w, &http.Cookie{Name: sessionCookie, MaxAge: -1, SameSite: http.SameSiteLaxMode})
	}
	switch {
	case !registered:
		s.refused("logout_uri is not registered", "logout_uri", to)
		// Cognito falls back to the form with redirect_uri and complains of its absence.
		showError(w, http.StatusBadRequest, title, "The address to go to after signing out is missing, or not one of the application's own (Required String parameter 'redirect_uri' is not present).",
			"You have not been sent there. The application's operator can register it as a sign-out URL; it must match to the letter, and be sent as logout_uri.")
	case again:
		http.Redirect(w, r, s.cfg.BaseURL+"/login?"+r.URL.RawQuery, http.StatusFound)
	default:
		http.Redirect(w, r, to, http.StatusFound)
	}
}
