package alb

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// nonceCookie binds a sign-in to the browser that began it. A browser keeps its nonce, so that neither a second tab
	// nor a page that goes on polling spoils a sign-in under way; but see Unconfirmed.NewNonces.
	nonceCookie = "AWSALBAuthNonce"
	nonceLength = 16 // letters and digits, as seen on real ones: 80 bits
	// loginTimeout is fixed: "Client login timeout", ELB user guide.
	loginTimeout = 15 * time.Minute
	// maxClaims bounds the claims and the access token together (ELB user guide).
	maxClaims = 11 << 10
	// maxShards times shardSize is the 16 KB that AWS documents for a session cookie. A shard leaves room for the
	// cookie's name and attributes in the 4 KB that browsers grant.
	maxShards, shardSize = 4, 3900
	// cookieLife is what Expires says; the session's own end is inside, encrypted.
	cookieLife = 7 * 24 * time.Hour
	idpTimeout = 10 * time.Second
)

// session is what a browser carries in its cookies, encrypted.
type session struct {
	Claims     json.RawMessage `json:"claims"` // as userInfo answered
	Access     string          `json:"access"`
	AccessEnds time.Time       `json:"accessEnds,omitzero"` // zero: the IdP did not say
	Refresh    string          `json:"refresh,omitempty"`
	Ends       time.Time       `json:"ends"` // sign-in plus SessionTimeout; a refresh does not move it
}

type condition int

const (
	live  condition = iota
	stale           // the access token is over, and a refresh token can fetch another
	over            // sign in again
)

// at says what a session is worth at a time. One whose access token is over but that has no refresh token lives until
// its end ("Session timeout", ELB user guide).
func (s session) at(now time.Time) condition {
	switch {
	case !now.Before(s.Ends):
		return over
	case s.Refresh != "" && !s.AccessEnds.IsZero() && !now.Before(s.AccessEnds):
		return stale
	}
	return live
}

// loginState travels through the IdP as the encrypted "state" parameter.
type loginState struct {
	ID    string    `json:"id"`    // unique to one sign-in
	Nonce string    `json:"nonce"` // must be the browser's
	Host  string    `json:"host"`
	URI   string    `json:"uri"` // path and query to return to
	Began time.Time `json:"began"`
}

// refusal is a sign-in that went wrong: an HTTP status and an error_reason code of the access log.
type refusal struct {
	status      int
	why, detail string
}

func (r *refusal) Error() string { return r.why + ": " + r.detail }

// authenticate finds the request's session. When ok, the request may be forwarded, without claims if who is nil;
// otherwise a is the answer. Cookies are to be set either way.
func (s *Server) authenticate(r *http.Request) (who *session, cookies []*http.Cookie, a answer, ok bool) {
	value, found := s.sessionCookie(r)
	if !found {
		switch s.c.OnUnauthenticated {
		case Deny:
			return nil, nil, refuse(http.StatusUnauthorized, "Unauthenticated", "no session cookie"), false
		case Allow:
			return nil, nil, a, true
		}
		return nil, nil, s.redirectToSignIn(r, "no session"), false
	}
	var sess session
	if err := s.open("session", value, &sess); err != nil {
		switch {
		case s.c.OnUnauthenticated == Allow:
			return nil, nil, a, true
		case s.c.OnUnauthenticated == Deny || s.unconfirmed().RejectInvalidCookie:
			return nil, nil, refuse(http.StatusUnauthorized, "AuthInvalidCookie", err.Error()), false
		}
		a = s.redirectToSignIn(r, "session cookie not ours or altered")
		a.why = "AuthInvalidCookie"
		return nil, nil, a, false
	}
	detail := "session over"
	switch sess.at(s.now()) {
	case live:
		return &sess, nil, a, true
	case stale:
		fresh, err := s.refresh(r.Context(), sess)
		if err == nil {
			cookies, err = s.sessionCookies(r, fresh)
		}
		if err == nil {
			return &fresh, cookies, a, true
		}
		// The IdP's no and its silence end alike: the person is sent to it again.
		s.c.Log.Warn("refused", "to", "alb", "what", "token refresh", "why", err.Error())
		detail = "session could not be refreshed"
	}
	if s.c.OnUnauthenticated == Allow {
		return nil, nil, a, true
	}
	return nil, nil, s.redirectToSignIn(r, detail), false // with Deny too: only a missing session is denied
}

// redirectToSignIn begins a sign-in: a nonce for the browser, an encrypted state for the IdP.
func (s *Server) redirectToSignIn(r *http.Request, detail string) answer {
	if r.Host == "" { // HTTP/1.0
		return refuse(http.StatusUnauthorized, "AuthMissingHostHeader", "no Host to come back to")
	}
	uri := r.URL.RequestURI()
	if !strings.HasPrefix(uri, "/") { // OPTIONS *
		uri = "/"
	}
	nonce := nonceOf(r)
	if len(nonce) != nonceLength || s.unconfirmed().NewNonces {
		nonce = rand.Text()[:nonceLength]
	}
	st := loginState{ID: rand.Text(), Nonce: nonce, Host: strings.ToLower(r.Host), URI: uri, Began: s.now().UTC()}
	sealed, err := s.seal("state", st)
	if err != nil {
		return refuse(http.StatusInternalServerError, "AuthUnhandledException", err.Error())
	}
	u, err := url.Parse(s.c.AuthorizationEndpoint)
	if err != nil { // checked by New
		return refuse(http.StatusInternalServerError, "AuthUnhandledException", err.Error())
	}
	q := u.Query()
	for name, value := range s.c.ExtraParams {
		q.Set(name, value)
	}
	q.Set("client_id", s.c.ClientID)
	q.Set("redirect_uri", redirectURI(st.Host))
	q.Set("response_type", "code")
	q.Set("scope", s.c.Scope)
	q.Set("state", sealed)
	u.RawQuery = q.Encode()

	a := own(http.StatusFound, detail+", redirected to sign in")
	a.header.Set("Location", u.String())
	a.header.Set("Set-Cookie", (&http.Cookie{Name: nonceCookie, Value: nonce, Path: "/", Secure: true, HttpOnly: true}).String())
	return a
}

func redirectURI(host string) string { return "https://" + host + callbackPath }

// callback finishes a sign-in. Everything that can be known without the IdP is checked before the code is spent.
func (s *Server) callback(r *http.Request) answer {
	st, sess, err := s.finish(r)
	if err == nil {
		var cookies []*http.Cookie
		if cookies, err = s.sessionCookies(r, sess); err == nil {
			// Absolute, so that a path such as "//elsewhere" cannot become a host.
			a := own(http.StatusFound, "signed in")
			a.header.Set("Location", "https://"+st.Host+st.URI)
			for _, c := range cookies {
				a.header.Add("Set-Cookie", c.String())
			}
			return a
		}
	}
	if no, ok := errors.AsType[*refusal](err); ok {
		return refuse(no.status, no.why, no.detail)
	}
	return refuse(http.StatusInternalServerError, "AuthUnhandledException", err.Error())
}

func (s *Server) finish(r *http.Request) (st loginState, sess session, err error) {
	deny := func(why, detail string) (loginState, session, error) {
		return loginState{}, session{}, &refusal{http.StatusUnauthorized, why, detail}
	}
	q, now := r.URL.Query(), s.now()
	if r.Host == "" { // HTTP/1.0
		return deny("AuthMissingHostHeader", "the callback names no host")
	}
	if q.Get("state") == "" {
		return deny("AuthMissingStateParam", "the callback carries no state")
	}
	if err := s.open("state", q.Get("state"), &st); err != nil {
		return deny("AuthInvalidStateParam", "the state is not ours or was altered")
	}
	switch mine := nonceOf(r); {
	case mine == "":
		return deny("AuthMissingAWSALBAuthNonce", "this browser began no sign-in")
	case mine != st.Nonce:
		return deny("AuthInvalidAWSALBAuthNonce", "the sign-in was begun by another browser")
	case st.Host != strings.ToLower(r.Host):
		return deny("AuthInvalidStateParam", "the sign-in was begun at another host name")
	case now.Sub(st.Began) > loginTimeout:
		return deny("AuthInvalidStateParam", "the sign-in took longer than 15 minutes")
	}
	if code := q.Get("error"); code == "access_denied" {
		return deny("IdPDeniedAccess", "the IdP answered access_denied")
	} else if code != "" {
		return st, sess, &refusal{561, "IdPReturnedError", "the IdP answered " + oauthError(code)}
	}
	if q.Get("code") == "" {
		return deny("AuthMissingCodeParam", "the callback carries no code")
	}
	if !s.unconfirmed().ReplaysReachIdP && !s.spend(st, now) {
		return deny("AuthInvalidStateParam", "the state was used before")
	}
	sess = session{Ends: now.Add(s.c.SessionTimeout).UTC()}
	idToken, err := s.tokens(r.Context(), &sess, url.Values{
		"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {redirectURI(st.Host)},
	})
	if err != nil {
		return st, sess, err
	}
	sub, err := s.checkIDToken(idToken, now)
	if err != nil {
		return deny("AuthInvalidIdToken", err.Error())
	}
	return st, sess, s.userInfo(r.Context(), &sess, sub)
}

// spend marks a sign-in as finished; false if it was. The IdP would refuse the code of a callback that comes again; this
// spares it the question.
func (s *Server) spend(st loginState, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.spent, func(_ string, until time.Time) bool { return now.After(until) })
	if _, again := s.spent[st.ID]; again {
		return false
	}
	s.spent[st.ID] = st.Began.Add(loginTimeout + time.Minute)
	return true
}

// refresh fetches new tokens and claims. As with AWS, the new ID token, if there is one, is not looked at.
func (s *Server) refresh(ctx context.Context, old session) (session, error) {
	fresh := session{Refresh: old.Refresh, Ends: old.Ends}
	if _, err := s.tokens(ctx, &fresh, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}}); err != nil {
		return session{}, err
	}
	var was struct{ Sub string }
	if err := json.Unmarshal(old.Claims, &was); err != nil {
		return session{}, fmt.Errorf("claims of the session: %w", err)
	}
	return fresh, s.userInfo(ctx, &fresh, was.Sub)
}

// tokens asks the token endpoint and fills in sess. The client authenticates with HTTP Basic (RFC 6749 section 2.3.1).
func (s *Server) tokens(ctx context.Context, sess *session, form url.Values) (idToken string, err error) {
	now := s.now()
	req, err := http.NewRequest(http.MethodPost, s.c.TokenEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(s.c.ClientID), url.QueryEscape(s.c.ClientSecret))
	status, body, err := s.ask(ctx, req, "AuthTokenEpRequest")
	if err != nil {
		return "", err
	}
	var t struct {
		Access    string `json:"access_token"`
		ID        string `json:"id_token"`
		Refresh   string `json:"refresh_token"`
		Type      string `json:"token_type"`
		ExpiresIn int64  `json:"expires_in"` // seconds
		Error     string `json:"error"`
	}
	unreadable := json.Unmarshal(body, &t)
	switch {
	case status >= 500:
		return "", &refusal{http.StatusInternalServerError, "AuthTokenEpRequestFailed", fmt.Sprintf("the token endpoint answered %d", status)}
	case t.Error == "invalid_grant":
		return "", &refusal{561, "AuthInvalidGrantError", "the token endpoint answered invalid_grant"}
	case status != http.StatusOK || t.Error != "":
		return "", &refusal{561, "AuthInvalidTokenResponse", fmt.Sprintf("the token endpoint answered %d %s", status, oauthError(t.Error))}
	case unreadable != nil:
		return "", &refusal{http.StatusInternalServerError, "AuthInvalidTokenResponse", "the token endpoint's answer is not the JSON it should be"}
	case t.Access == "" || !strings.EqualFold(t.Type, "Bearer"):
		return "", &refusal{http.StatusInternalServerError, "AuthInvalidTokenResponse", "the token endpoint gave no bearer access token"}
	}
	sess.Access = t.Access
	if t.ExpiresIn > 0 {
		sess.AccessEnds = now.Add(time.Duration(t.ExpiresIn) * time.Second).UTC()
	}
	if t.Refresh != "" {
		sess.Refresh = t.Refresh
	}
	return t.ID, nil
}

// checkIDToken checks what can be checked without the IdP's keys, which the load balancer is not configured with; the
// token came straight from the token endpoint over TLS (OpenID Connect Core section 3.1.3.7, rule 6).
func (s *Server) checkIDToken(token string, now time.Time) (sub string, err error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", errors.New("no ID token; does the scope hold openid?")
	}
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil {
		return "", errors.New("the ID token is not base64url")
	}
	var claims struct {
		Issuer   string  `json:"iss"`
		Subject  string  `json:"sub"`
		Audience any     `json:"aud"` // a string or a list of them
		Expires  float64 `json:"exp"`
	}
	if err := json.Unmarshal(raw, &claims); err != nil {
		return "", errors.New("the ID token's claims are not readable")
	}
	audience, _ := claims.Audience.([]any)
	switch {
	case claims.Issuer != s.c.Issuer:
		return "", errors.New("the ID token is another issuer's")
	case claims.Audience != s.c.ClientID && !slices.Contains(audience, any(s.c.ClientID)):
		return "", errors.New("the ID token is for another client")
	case !now.Before(time.Unix(int64(claims.Expires), 0)):
		return "", errors.New("the ID token has expired")
	case claims.Subject == "":
		return "", errors.New("the ID token names no subject")
	}
	return claims.Subject, nil
}

// userInfo fetches the claims for the session's access token. They must be about sub (OpenID Connect Core 5.3.2).
func (s *Server) userInfo(ctx context.Context, sess *session, sub string) error {
	req, err := http.NewRequest(http.MethodGet, s.c.UserInfoEndpoint, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+sess.Access)
	status, body, err := s.ask(ctx, req, "AuthUserinfoEpRequest")
	if err != nil {
		return err
	}
	invalid := func(status int, detail string) error { return &refusal{status, "AuthInvalidUserinfoResponse", detail} }
	switch {
	case status >= 500:
		return &refusal{http.StatusInternalServerError, "AuthUserinfoEpRequestFailed", fmt.Sprintf("the userInfo endpoint answered %d", status)}
	case status != http.StatusOK:
		return invalid(561, fmt.Sprintf("the userInfo endpoint answered %d", status))
	}
	if n := len(body) + len(sess.Access); n > maxClaims {
		return s.oversize(fmt.Sprintf("claims and access token have %d bytes, at most %d are possible", n, maxClaims))
	}
	var claims map[string]any
	if err := decodeNumbers(body, &claims); err != nil {
		return invalid(http.StatusInternalServerError, "the userInfo endpoint's answer is not a JSON object")
	}
	if claims["sub"] != sub {
		return invalid(http.StatusInternalServerError, "the userInfo endpoint spoke of somebody else")
	}
	sess.Claims = bytes.TrimSpace(body)
	return nil
}

// oversize refuses claims that do not fit.
func (s *Server) oversize(detail string) error {
	status := http.StatusInternalServerError
	if s.unconfirmed().OversizeIs401 {
		status = http.StatusUnauthorized
	}
	return &refusal{status, "AuthUserinfoResponseSizeExceeded", detail}
}

// ask sends a request to the IdP. Reasons are why+"Failed" and why+"Timeout".
func (s *Server) ask(ctx context.Context, req *http.Request, why string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, idpTimeout)
	defer cancel()
	req.Header.Set("Accept", "application/json")
	resp, err := s.client.Do(req.WithContext(ctx))
	if err == nil {
		defer resp.Body.Close()
		var body []byte
		if body, err = io.ReadAll(io.LimitReader(resp.Body, 1<<20)); err == nil {
			return resp.StatusCode, body, nil
		}
	}
	if timedOut(err) {
		return 0, nil, &refusal{http.StatusInternalServerError, why + "Timeout", err.Error()}
	}
	return 0, nil, &refusal{http.StatusInternalServerError, why + "Failed", err.Error()}
}

func timedOut(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout() || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// oauthError makes an error code fit for a log: it may come from anybody's query string.
func oauthError(code string) string {
	if regexp.MustCompile(`^[a-zA-Z_]{1,64}$`).MatchString(code) {
		return code
	}
	return "an unreadable error code"
}

func nonceOf(r *http.Request) string {
	if c, err := r.Cookie(nonceCookie); err == nil {
		return c.Value
	}
	return ""
}

// sessionCookie joins the shards of the request's session cookie: -0, -1, … up to the first that is missing.
func (s *Server) sessionCookie(r *http.Request) (string, bool) {
	var b strings.Builder
	for i := range maxShards {
		c, err := r.Cookie(s.shard(i))
		if err != nil || c.Value == "" {
			break
		}
		b.WriteString(c.Value)
	}
	return b.String(), b.Len() > 0
}

func (s *Server) shard(i int) string { return s.c.SessionCookieName + "-" + strconv.Itoa(i) }

// sessionCookies encrypts sess into as few shards as it takes, and expires those of r that are left over.
func (s *Server) sessionCookies(r *http.Request, sess session) ([]*http.Cookie, error) {
	value, err := s.seal("session", sess)
	if err != nil {
		return nil, err
	}
	if n := len(value); n > maxShards*shardSize {
		return nil, s.oversize(fmt.Sprintf("the session cookie would have %d bytes, at most %d are possible", n, maxShards*shardSize))
	}
	u := s.unconfirmed()
	var cookies []*http.Cookie
	for i := range maxShards {
		c := &http.Cookie{Name: s.shard(i), Path: "/", Secure: true, HttpOnly: !u.ScriptableCookie}
		if r.Header.Get("Origin") != "" || u.CookieSameSiteNone { // with Origin it is a CORS request
			c.SameSite = http.SameSiteNoneMode
		}
		n := min(len(value), shardSize)
		c.Value, value = value[:n], value[n:]
		if n > 0 {
			c.Expires = s.now().Add(cookieLife)
		} else if _, err := r.Cookie(c.Name); err == nil {
			c.MaxAge = -1
		} else {
			continue
		}
		cookies = append(cookies, c)
	}
	return cookies, nil
}

// seal encrypts v for one purpose, so that a state cannot be played as a session. Deflate keeps the 11 KB of claims
// and tokens, which are base64 themselves, within the cookies' 16 KB.
func (s *Server) seal(purpose string, v any) (string, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	_, err = z.Write(raw)
	if err := errors.Join(err, z.Close()); err != nil {
		return "", fmt.Errorf("seal %s: %w", purpose, err)
	}
	return encoding(purpose).EncodeToString(s.cipher.Seal(nil, nil, b.Bytes(), []byte(purpose))), nil
}

// encoding is how what is sealed for a purpose is written. A state travels in a URL. Session cookies look like real
// ones, so that a client that URL-encodes them breaks them: "Application Load Balancers do not support cookie values
// that are URL encoded" (ELB user guide).
func encoding(purpose string) *base64.Encoding {
	if purpose == "state" {
		return base64.RawURLEncoding
	}
	return base64.StdEncoding
}

func (s *Server) open(purpose, sealed string, into any) error {
	raw, err := encoding(purpose).DecodeString(sealed)
	if err != nil {
		return errors.New("not base64")
	}
	packed, err := s.cipher.Open(nil, nil, raw, []byte(purpose))
	if err != nil {
		return errors.New("does not decrypt")
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(packed)))
	if err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return json.Unmarshal(plain, into)
}

// decodeNumbers decodes JSON without turning its numbers into floats.
func decodeNumbers(raw []byte, into *map[string]any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("text after the end")
	}
	if *into == nil {
		return errors.New("null")
	}
	return nil
}
