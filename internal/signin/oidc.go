package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/sync/singleflight"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
)

// The ways in which a sign-in of ours is not one, beside ErrToken. The text holds no code, state, token or secret.
var (
	// ErrNoSession: nobody is signed in. Signing in helps.
	ErrNoSession = errors.New("nobody is signed in")
	// ErrFlow: not the answer to a sign-in that this browser began, or one that was answered before, or took too long.
	// Beginning again helps.
	ErrFlow = errors.New("not an answer to a sign-in that this browser has begun")
	// ErrIssuer: the issuer cannot be asked, or answers what cannot be used. A later try may do.
	ErrIssuer = errors.New("the issuer gave no usable answer")
)

const (
	// sessionCookie holds a random value, of which the store has the hash. The prefix keeps other hosts of the domain from
	// planting one (RFC 6265bis, cookie name prefixes).
	sessionCookie = "__Host-nightlatch-session"
	// flowCookie and the state's beginning name the cookie of one sign-in under way. Each has its own, because a browser
	// restores all its tabs at once in the morning, and each of them begins a sign-in.
	flowCookie    = "__Host-nightlatch-signin-"
	flowNameBytes = 8
	// maxFlows is how many stay beside a new one; the oldest go. A flow is some 200 bytes long, and an HTTP API
	// takes 10,240 bytes of request line and headers in all ("Quotas for configuring and running an HTTP API").
	maxFlows = 8
	flowLife = 10 * time.Minute
	maxNext  = 512
	// maxQuery is the longest answer of an issuer, which is a query string.
	maxQuery = 8 << 10
	// SessionMost is the longest that a session may be: a working day.
	SessionMost = 12 * time.Hour
)

// OIDCConfig says at which issuer people sign in, and as which of its clients we ask.
type OIDCConfig struct {
	Issuer       string        // exactly as in its tokens: https://cognito-idp.<Region>.amazonaws.com/<pool id>
	ClientID     string        // ours at the issuer
	ClientSecret secret.String // none: a public client, which PKCE alone protects
	RedirectURL  string        // https://<host>/oauth2/callback, as it is registered at the issuer
	// LogoutURL is where a browser ends its session at the issuer, whole. Empty: as the issuer announces it (OpenID Connect
	// RP-Initiated Logout 1.0), with /signed-out of our host to come back to.
	LogoutURL string
	Scopes    []string // openid among them
	// AuthorizeParams go along to the issuer: identity_provider for Cognito, prompt, acr_values.
	AuthorizeParams map[string]string
	GroupsClaim     string        // of the ID token; empty: no groups
	Session         time.Duration // how long one lasts, at most SessionMost
	Store           access.Store
	// Append adds to the audit, before a session begins. Without an entry there is no session; one that ends does so anyway.
	Append    func(context.Context, latch.Entry) error
	RequestID func(context.Context) string // for the audit; may be nil
	Client    *http.Client                 // only its Transport is used
	Log       *slog.Logger
}

// OIDC signs people in at one issuer by the authorization code flow with PKCE (OpenID Connect Core 1.0; RFC 7636; RFC
// 9700), and knows them again by a session. It is safe for concurrent use, and asks the issuer nothing until somebody
// signs in: a session that exists does not need it.
type OIDC struct {
	c         OIDCConfig
	client    *http.Client
	signedOut string // our own page to come back to
	flight    singleflight.Group
	known     atomic.Pointer[issuer]
}

// ownParams are what AuthorizeParams must not replace: the flow is proved by them.
var ownParams = []string{"client_id", "redirect_uri", "response_type", "response_mode", "scope", "state", "nonce", "code_challenge", "code_challenge_method", "request", "request_uri"}

// NewOIDC checks c, all of it at once, and calls nobody.
func NewOIDC(c OIDCConfig) (*OIDC, error) {
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(isHTTPS(c.Issuer) && !strings.Contains(c.Issuer, "?"), "oidc.issuer: %q is not an https address", c.Issuer)
	fault(c.ClientID != "", "oidc.client_id: name the client that is registered at the issuer")
	fault(isHTTPS(c.RedirectURL), "oidc.redirect_url: %q is not an https address", c.RedirectURL)
	fault(c.LogoutURL == "" || isHTTPS(c.LogoutURL), "oidc.logout_url: %q is not an https address", c.LogoutURL)
	fault(slices.Contains(c.Scopes, oidc.ScopeOpenID), "oidc.scopes: openid must be among them")
	fault(c.Session > 0 && c.Session <= SessionMost, "oidc.session: %v is not between nothing and %v", c.Session, SessionMost)
	for _, name := range slices.Sorted(maps.Keys(c.AuthorizeParams)) {
		fault(!slices.Contains(ownParams, name), "oidc.authorize_params: %s is Nightlatch's own", name)
	}
	fault(c.Store != nil && c.Append != nil && c.Client != nil && c.Log != nil, "signin: Store, Append, Client and Log are required")
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	transport := c.Client.Transport
	if transport == nil {
		transport = http.DefaultTransport
	}
	u, err := url.Parse(c.RedirectURL)
	if err != nil {
		return nil, err // isHTTPS parsed it
	}
	return &OIDC{c: c, client: &http.Client{Transport: caller{transport}}, signedOut: u.Scheme + "://" + u.Host + "/signed-out"}, nil
}

// Begin sends the browser to the issuer. What Finish will hand back is next if that is a path of this host, else "/".
func (o *OIDC) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	i, err := o.issuer(r.Context())
	if err != nil {
		return err
	}
	now := time.Now()
	f := flow{state: rand.Text(), nonce: rand.Text(), verifier: oauth2.GenerateVerifier(), begun: now, next: "/"}
	if isPath(next) {
		f.next = next
	}
	makeRoom(w, r, now)
	setCookie(w, f.cookieName(), f.String(), flowLife)
	options := []oauth2.AuthCodeOption{oidc.Nonce(f.nonce), oauth2.S256ChallengeOption(f.verifier)}
	for _, name := range slices.Sorted(maps.Keys(o.c.AuthorizeParams)) {
		options = append(options, oauth2.SetAuthURLParam(name, o.c.AuthorizeParams[name]))
	}
	http.Redirect(w, r, i.oauth.AuthCodeURL(f.state, options...), http.StatusSeeOther)
	return nil
}

// Finish takes the issuer's answer, begins a session, ends the one that the browser had, and returns the next that Begin
// was given. The error is one of this package's, or of latch's when the store does not help; then nobody is signed in.
func (o *OIDC) Finish(w http.ResponseWriter, r *http.Request) (next string, err error) {
	answer, f, err := answered(w, r, time.Now())
	if err != nil {
		return "", err
	}
	ctx := r.Context()
	i, err := o.issuer(ctx)
	if err != nil {
		return "", err
	}
	// An answer of another issuer, whom somebody made us mix up with ours, would have its code sent to ours, or ours to it
	// (RFC 9207).
	if iss, ok := answer["iss"]; ok && iss[0] != o.c.Issuer || !ok && i.namesItself {
		return "", refuse("the answer is not the issuer's own: iss")
	}
	if e, ok := answer["error"]; ok {
		kind := ErrToken
		if e[0] == "server_error" || e[0] == "temporarily_unavailable" {
			kind = ErrIssuer
		}
		return "", fmt.Errorf("%w: the issuer answers %s: %q", kind, errorCode(e[0]), cut(answer.Get("error_description"), 200))
	}
	code := answer.Get("code")
	if code == "" {
		return "", refuse("the answer holds neither a code nor an error")
	}
	c, err := o.redeem(ctx, i, f, code)
	if errors.Is(err, ErrToken) {
		err = falseToken{err}
	}
	if err != nil {
		return "", err
	}
	value := rand.Text()
	session, err := o.session(c, value, sourceOf(r))
	if err != nil {
		return "", err
	}
	if err := o.c.Append(ctx, o.entry(r, session, "session.start")); err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	// Whoever knew the browser's cookie until now, or planted it, knows nothing of the new session.
	for _, old := range sessionsOf(r) {
		if s, err := o.c.Store.Session(ctx, old); err == nil {
			if err := o.c.Append(ctx, o.entry(r, s, "session.end")); err != nil {
				return "", fmt.Errorf("end the session before: %w", err)
			}
		}
		if err := o.c.Store.EndSession(ctx, old); err != nil {
			return "", fmt.Errorf("end the session before: %w", err)
		}
	}
	if err := o.c.Store.SaveSession(ctx, session); err != nil {
		return "", fmt.Errorf("sign in: %w", err)
	}
	setCookie(w, sessionCookie, value, o.c.Session)
	o.c.Log.InfoContext(ctx, "signed in", "subject", session.Subject, "session", session.ID, "until", session.Until, "request_id", o.requestID(ctx))
	return f.next, nil
}

// Authenticate says who sent r, by the stored session, which is read each time: one that was ended is over at once. The
// error is ErrNoSession, or latch's when the store does not help.
func (o *OIDC) Authenticate(r *http.Request) (access.Identity, error) {
	ids := sessionsOf(r)
	// A browser sends one cookie. A second can only come from somebody who tries to put their session in the place of ours.
	if len(ids) != 1 || len(r.CookiesNamed(sessionCookie)) != 1 {
		return access.Identity{}, ErrNoSession
	}
	id := ids[0]
	s, err := o.c.Store.Session(r.Context(), id)
	if errors.Is(err, latch.ErrNotFound) {
		return access.Identity{}, ErrNoSession
	}
	if err != nil {
		return access.Identity{}, fmt.Errorf("session: %w", err)
	}
	// The configuration may have become stricter since, or speak of another issuer.
	now := time.Now()
	if s.ID != id || s.Subject == "" || s.Issuer != o.c.Issuer || !now.Before(s.Until) || !now.Before(s.Since.Add(o.c.Session)) || s.GroupsClaim != o.c.GroupsClaim {
		return access.Identity{}, ErrNoSession
	}
	return access.Identity{Principal: latch.Principal{Subject: s.Subject, Issuer: s.Issuer, Name: s.Name, Email: s.Email},
		Groups: s.Groups, GroupsCut: s.GroupsCut, Session: s.ID}, nil
}

// End ends the browser's session here and returns where it ends the one at the issuer, which is our own signed-out page
// when the issuer announces no such place or cannot be asked. The cookies are gone whatever happens; an error says
// that the session is stored still, so that somebody who copied its cookie could go on using it.
func (o *OIDC) End(w http.ResponseWriter, r *http.Request) (to string, err error) {
	ctx := r.Context()
	for _, c := range r.Cookies() {
		if c.Name == sessionCookie || strings.HasPrefix(c.Name, flowCookie) {
			setCookie(w, c.Name, "", -1)
		}
	}
	for _, id := range sessionsOf(r) {
		s, found := o.c.Store.Session(ctx, id)
		if found == nil {
			if err := o.c.Append(ctx, o.entry(r, s, "session.end")); err != nil {
				o.c.Log.ErrorContext(ctx, "a sign-out is not in the audit", "subject", s.Subject, "request_id", o.requestID(ctx), "err", err)
			}
		}
		if err := o.c.Store.EndSession(ctx, id); err != nil {
			return "", fmt.Errorf("sign out: %w", err)
		}
		if found == nil {
			o.c.Log.InfoContext(ctx, "signed out", "subject", s.Subject, "session", s.ID, "request_id", o.requestID(ctx))
		}
	}
	return o.logout(ctx), nil
}

// logout is where a browser ends its session at the issuer (OpenID Connect RP-Initiated Logout 1.0 section 2). There is no
// id_token_hint, because no token is kept; the client's id says whose address to come back to it is.
func (o *OIDC) logout(ctx context.Context) string {
	if o.c.LogoutURL != "" {
		return o.c.LogoutURL
	}
	i, err := o.issuer(ctx)
	if err != nil {
		o.c.Log.WarnContext(ctx, "signed out here only", "request_id", o.requestID(ctx), "err", err)
		return o.signedOut
	}
	u, err := url.Parse(i.logout)
	if err != nil || i.logout == "" {
		return o.signedOut
	}
	q := u.Query()
	q.Set("client_id", o.c.ClientID)
	q.Set("post_logout_redirect_uri", o.signedOut)
	u.RawQuery = q.Encode()
	return u.String()
}

// session is the one that an ID token's claims begin. E-mail and names are for display and decide nothing.
func (o *OIDC) session(c claims, value, source string) (access.Session, error) {
	sub := c.text("sub")
	if !usable(sub) {
		return access.Session{}, falseToken{refuse("the ID token: sub is not usable as an identifier")}
	}
	now := time.Now().UTC().Round(0)
	s := access.Session{ID: sessionID(value), Subject: latch.Subject(sub), Issuer: o.c.Issuer, Email: display(c.text("email")),
		GroupsClaim: o.c.GroupsClaim, Since: now, Until: now.Add(o.c.Session), Source: source}
	for _, name := range []string{c.text("name"), c.text("given_name") + " " + c.text("family_name"), c.text("email"), c.text("preferred_username"), c.text("cognito:username")} {
		if s.Name = display(strings.TrimSpace(name)); s.Name != "" {
			break
		}
	}
	if o.c.GroupsClaim == "" {
		return s, nil
	}
	s.Groups, s.GroupsCut = ParseGroups(c[o.c.GroupsClaim])
	// Too many for the token: it names a place to ask instead (Core section 5.6.2; "groups overage claim", Microsoft Entra).
	s.GroupsCut = s.GroupsCut || c.elsewhere(o.c.GroupsClaim)
	return s, nil
}

// elsewhere: the issuer names another place where the claim can be asked for (OpenID Connect Core 1.0 section 5.6.2), as
// Microsoft's does for the groups of somebody who is in too many.
func (c claims) elsewhere(claim string) bool {
	var names map[string]json.RawMessage
	if json.Unmarshal(c["_claim_names"], &names) != nil {
		return false
	}
	_, ok := names[claim]
	return ok
}

func (o *OIDC) entry(r *http.Request, s access.Session, action string) latch.Entry {
	return latch.Entry{At: time.Now().UTC(), ID: rand.Text(), Subject: s.Subject, Issuer: s.Issuer, Name: s.Name, Action: action, After: s.ID,
		Source: sourceOf(r), Request: o.requestID(r.Context())}
}

func (o *OIDC) requestID(ctx context.Context) string {
	if o.c.RequestID == nil {
		return ""
	}
	return o.c.RequestID(ctx)
}

// sourceOf is the client's address; whoever serves us puts the trusted hop's word there.
func sourceOf(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// sessionsOf are the ids of the sessions whose cookies came along, of a few at most: each costs a call to the store.
func sessionsOf(r *http.Request) (ids []string) {
	for _, c := range r.CookiesNamed(sessionCookie) {
		if random.MatchString(c.Value) && len(ids) < 3 {
			ids = append(ids, sessionID(c.Value))
		}
	}
	return ids
}

// sessionID is what is stored of a cookie's value: whoever reads the table cannot make a cookie of it.
func sessionID(value string) string {
	sum := sha256.Sum256([]byte(value))
	return hex.EncodeToString(sum[:])
}

// setCookie sets a cookie of ours. Lax and not Strict, because whoever comes back from the issuer comes from another site.
func setCookie(w http.ResponseWriter, name, value string, life time.Duration) {
	age := int(life / time.Second)
	if life < 0 {
		age = -1 // gone
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// flow is a sign-in under way, as its cookie holds it. It is no secret from the browser that it belongs to.
type flow struct {
	state, nonce, verifier string
	begun                  time.Time
	next                   string
}

var (
	random   = regexp.MustCompile(`^[A-Z2-7]{26}$`)                 // rand.Text
	verifier = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)            // oauth2.GenerateVerifier
	seconds  = regexp.MustCompile(`^[1-9][0-9]{0,11}$`)             // since 1970
	path     = regexp.MustCompile(`^/([!-.0-\[\]-~][!-\[\]-~]*)?$`) // visible ASCII without backslash, and no second slash
)

// isPath says that s is a path of this host to every browser: "//host" and "/\host" are other hosts, and so is "/<tab>/host"
// (WHATWG URL Standard).
func isPath(s string) bool { return len(s) <= maxNext && path.MatchString(s) }

func (f flow) cookieName() string { return flowCookie + f.state[:flowNameBytes] }

// String is the cookie's value.
func (f flow) String() string {
	return strings.Join([]string{f.state, f.nonce, f.verifier, strconv.FormatInt(f.begun.Unix(), 10), base64.RawURLEncoding.EncodeToString([]byte(f.next))}, ".")
}

// parseFlow reads a cookie's value, and says no to what String does not write.
func parseFlow(value string) (flow, bool) {
	parts := strings.Split(value, ".")
	if len(parts) != 5 || !random.MatchString(parts[0]) || !random.MatchString(parts[1]) || !verifier.MatchString(parts[2]) || !seconds.MatchString(parts[3]) {
		return flow{}, false
	}
	begun, err := strconv.ParseInt(parts[3], 10, 64)
	next, err2 := base64.RawURLEncoding.Strict().DecodeString(parts[4])
	if err != nil || err2 != nil || !isPath(string(next)) {
		return flow{}, false
	}
	f := flow{parts[0], parts[1], parts[2], time.Unix(begun, 0), string(next)}
	return f, f.String() == value // the decoder passes over line breaks
}

// live says that f can still be answered. The cookie's own age is the browser's word.
func (f flow) live(now time.Time) bool {
	age := now.Sub(f.begun)
	return age < flowLife && age > -leeway
}

// makeRoom takes away the oldest of too many flows, and those that are over or that nobody can read.
func makeRoom(w http.ResponseWriter, r *http.Request, now time.Time) {
	flows := map[string]flow{}
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, flowCookie) {
			continue
		}
		if f, ok := parseFlow(c.Value); ok && f.live(now) && c.Name == f.cookieName() {
			flows[c.Name] = f
		} else {
			setCookie(w, c.Name, "", -1)
		}
	}
	oldest := slices.SortedFunc(maps.Keys(flows), func(a, b string) int { return flows[a].begun.Compare(flows[b].begun) })
	for len(oldest) >= maxFlows {
		setCookie(w, oldest[0], "", -1)
		oldest = oldest[1:]
	}
}

// answered finds the flow that r answers, in the cookies of this browser and nowhere else, and takes it away: an
// answer counts once, whatever it says. Every error is ErrFlow.
func answered(w http.ResponseWriter, r *http.Request, now time.Time) (url.Values, flow, error) {
	no := func(why string) (url.Values, flow, error) { return nil, flow{}, fmt.Errorf("%w: %s", ErrFlow, why) }
	if r.Method != http.MethodGet || len(r.URL.RawQuery) > maxQuery {
		return no("not a GET, or too long")
	}
	answer, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return no("its query is malformed")
	}
	for _, values := range answer {
		if len(values) != 1 { // RFC 6749 section 3.1
			return no("a parameter is given twice")
		}
	}
	state := answer.Get("state")
	if !random.MatchString(state) {
		return no("without a state of ours")
	}
	name := flowCookie + state[:flowNameBytes]
	cookies := r.CookiesNamed(name)
	if len(cookies) != 1 {
		return no("this browser has no such sign-in under way")
	}
	f, ok := parseFlow(cookies[0].Value)
	if !ok || !equal(f.state, state) {
		return no("the state is not this browser's")
	}
	setCookie(w, name, "", -1)
	if !f.live(now) {
		return no("it took too long")
	}
	return answer, f, nil
}
