package cognito

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"
)

// form reads a POST's body, and only its body, into r.PostForm.
func form(r *http.Request) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/x-www-form-urlencoded" {
		return errors.New("not a form (application/x-www-form-urlencoded)")
	}
	return r.ParseForm()
}

// token is POST /oauth2/token ("The token issuer endpoint"). Parameters that it does not know are ignored, as RFC 6749
// section 3.2 demands.
func (s *Server) token(w http.ResponseWriter, r *http.Request) {
	f, ok := s.clientForm(w, r, http.StatusBadRequest)
	if !ok {
		return
	}
	switch f.Get("grant_type") {
	case "authorization_code":
		s.redeem(w, f)
	case "refresh_token":
		s.refresh(w, f)
	case "client_credentials":
		s.oauthError(w, http.StatusBadRequest, "unauthorized_client", "the client may not use this grant")
	case "":
		s.oauthError(w, http.StatusBadRequest, "invalid_request", "grant_type is missing")
	default:
		s.oauthError(w, http.StatusBadRequest, "unsupported_grant_type", "")
	}
}

// clientForm reads a form that the client posted and authenticates it, by client_secret_basic or client_secret_post.
// Cognito's status for invalid_client is 400 at the token endpoint, where RFC 6749 would have 401, and 401 at revoke.
func (s *Server) clientForm(w http.ResponseWriter, r *http.Request, invalidClient int) (url.Values, bool) {
	if err := form(r); err != nil {
		s.oauthError(w, http.StatusBadRequest, "invalid_request", err.Error())
		return nil, false
	}
	for key, values := range r.PostForm {
		if len(values) > 1 {
			s.oauthError(w, http.StatusBadRequest, "invalid_request", key+" is given more than once")
			return nil, false
		}
	}
	id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if r.Header.Get("Authorization") != "" {
		user, password, ok := r.BasicAuth()
		if !ok || secret != "" || id != "" && id != user {
			s.oauthError(w, invalidClient, "invalid_client", "one way of authentication, please")
			return nil, false
		}
		id, secret = user, password // neither holds a character that form encoding (RFC 6749 section 2.3.1) would change
	}
	if id != s.st.ClientID || subtle.ConstantTimeCompare([]byte(secret), []byte(s.st.ClientSecret)) != 1 {
		s.oauthError(w, invalidClient, "invalid_client", "")
		return nil, false
	}
	return r.PostForm, true
}

// redeem exchanges a code. Whatever is wrong with the attempt, it was the only one: a code that somebody guesses at is
// spent. A second use takes back what the first gave (RFC 6749 section 4.1.2), unless ReuseIsHarmless.
func (s *Server) redeem(w http.ResponseWriter, f url.Values) {
	if f.Get("code") == "" || f.Get("redirect_uri") == "" {
		s.oauthError(w, http.StatusBadRequest, "invalid_request", "code and redirect_uri are required")
		return
	}
	now := s.cfg.Clock.Now()
	s.mu.Lock()
	c, why := s.codes[hash(f.Get("code"))], ""
	switch {
	case c == nil || now.After(c.expires):
		why = "no such code, or it has expired"
	case c.used:
		why = "the code was used before"
		if _, ok := s.st.Grants[c.grant]; ok && !s.cfg.Unconfirmed.ReuseIsHarmless {
			delete(s.st.Grants, c.grant)
			if err := s.save(); err != nil {
				s.cfg.Log.Error("state", "to", name, "err", err)
			}
		}
	case c.redirectURI != f.Get("redirect_uri"):
		c.used, why = true, "redirect_uri is not the one that the code was made for"
	case !proves(f.Get("code_verifier"), c.challenge):
		c.used, why = true, "code_verifier does not fit the code_challenge"
	}
	if why != "" {
		s.mu.Unlock()
		s.oauthError(w, http.StatusBadRequest, "invalid_grant", why)
		return
	}
	c.used, c.grant = true, newUUID()
	refresh := rand.Text() + rand.Text()
	g := grant{Username: c.username, Scope: c.scope, AuthTime: c.authTime.UTC(), RefreshHash: hash(refresh), Expires: now.Add(s.cfg.RefreshTokenValidity).UTC()}
	s.st.Grants[c.grant] = g
	u := s.st.Profiles[c.username]
	err := s.save()
	s.mu.Unlock()
	s.issue(w, c.grant, g, u, c.nonce, c.grant+"."+refresh, err)
}

// proves checks PKCE (RFC 7636 section 4.6). A verifier for a code that has no challenge is refused as well: somebody
// took the challenge away (RFC 9700 section 2.1.1).
func proves(verifier, challenge string) bool {
	if verifier == "" || challenge == "" {
		return verifier == challenge
	}
	sum := sha256.Sum256([]byte(verifier))
	return len(verifier) >= 43 && len(verifier) <= 128 && base64.RawURLEncoding.EncodeToString(sum[:]) == challenge
}

// refresh gives new ID and access tokens; the refresh token stays the same (rotation is off).
func (s *Server) refresh(w http.ResponseWriter, f url.Values) {
	if f.Get("refresh_token") == "" {
		s.oauthError(w, http.StatusBadRequest, "invalid_request", "refresh_token is required")
		return
	}
	s.mu.Lock()
	origin, g, ok := s.byRefreshToken(f.Get("refresh_token"))
	u := s.st.Profiles[g.Username]
	s.mu.Unlock()
	if !ok {
		s.oauthError(w, http.StatusBadRequest, "invalid_grant", "the refresh token is not known, has expired or was revoked")
		return
	}
	s.issue(w, origin, g, u, "", "", nil)
}

// byRefreshToken finds the grant of a refresh token. Callers hold s.mu.
func (s *Server) byRefreshToken(token string) (origin string, g grant, ok bool) {
	origin, secret, _ := strings.Cut(token, ".")
	g, ok = s.st.Grants[origin]
	ok = ok && s.cfg.Clock.Now().Before(g.Expires) && subtle.ConstantTimeCompare([]byte(hash(secret)), []byte(g.RefreshHash)) == 1
	return origin, g, ok
}

// revoke is POST /oauth2/revoke (RFC 7009; "The token revocation endpoint"): it ends a refresh token and every token
// that came of it. An unknown token is a success.
func (s *Server) revoke(w http.ResponseWriter, r *http.Request) {
	f, ok := s.clientForm(w, r, http.StatusUnauthorized)
	if !ok {
		return
	}
	switch token := f.Get("token"); {
	case token == "":
		s.oauthError(w, http.StatusBadRequest, "invalid_request", "token is required")
		return
	case strings.Count(token, ".") == 2: // a JWT
		s.oauthError(w, http.StatusBadRequest, "unsupported_token_type", "only refresh tokens can be revoked")
		return
	}
	s.mu.Lock()
	origin, _, ok := s.byRefreshToken(f.Get("token"))
	var err error
	if ok {
		delete(s.st.Grants, origin)
		err = s.save()
	}
	s.mu.Unlock()
	if err != nil {
		s.cfg.Log.Error("state", "to", name, "err", err)
		s.oauthError(w, http.StatusInternalServerError, "server_error", "")
		return
	}
	w.WriteHeader(http.StatusOK)
}

// issue answers with tokens of a grant, or with err, the fault of keeping it.
func (s *Server) issue(w http.ResponseWriter, origin string, g grant, u profile, nonce, refresh string, err error) {
	now := s.cfg.Clock.Now()
	event := newUUID()
	claims := func(use string) jwt.MapClaims {
		return jwt.MapClaims{
			"sub": u.Sub, "iss": s.Issuer(), "token_use": use, "origin_jti": origin, "event_id": event, "jti": newUUID(),
			"auth_time": g.AuthTime.Unix(), "iat": now.Unix(), "exp": now.Add(s.cfg.AccessTokenValidity).Unix(),
			// Cognito makes a group for each provider and puts its users there.
			"cognito:groups": []string{s.st.PoolID + "_" + s.cfg.ProviderName},
		}
	}
	access := claims("access") // no aud: whom an access token is for is in client_id
	access["client_id"], access["username"], access["scope"], access["version"] = s.st.ClientID, u.Username, g.Scope, 2

	id := claims("id")
	for attribute, value := range u.visible(g.Scope) {
		id[attribute] = value
		if isFlag(attribute) {
			id[attribute] = value == "true" // a boolean here, a string in userInfo
		}
	}
	id["aud"], id["cognito:username"], id["identities"] = s.st.ClientID, u.Username, []any{map[string]any{
		"userId": u.NameID, "providerName": s.cfg.ProviderName, "providerType": "SAML", "issuer": u.Issuer,
		"primary": "true", "dateCreated": strconv.FormatInt(u.Created.UnixMilli(), 10), // strings here, not in userInfo
	}}
	if nonce != "" {
		id["nonce"] = nonce
	}
	var accessToken, idToken string
	if err == nil {
		accessToken, err = s.accessKey.sign(access)
	}
	if err == nil {
		half := sha256.Sum256([]byte(accessToken)) // OpenID Connect Core 3.1.3.6
		id["at_hash"] = base64.RawURLEncoding.EncodeToString(half[:16])
		idToken, err = s.idKey.sign(id)
	}
	if err != nil {
		s.cfg.Log.Error("issue tokens", "to", name, "err", err)
		s.oauthError(w, http.StatusInternalServerError, "server_error", "")
		return
	}
	writeJSON(w, http.StatusOK, struct {
		IDToken      string `json:"id_token"`
		AccessToken  string `json:"access_token"`
		RefreshToken string `json:"refresh_token,omitempty"`
		ExpiresIn    int64  `json:"expires_in"` // seconds
		TokenType    string `json:"token_type"`
	}{idToken, accessToken, refresh, int64(s.cfg.AccessTokenValidity.Seconds()), "Bearer"})
}

func (s signer) sign(claims jwt.MapClaims) (string, error) {
	t := jwt.NewWithClaims(jwt.SigningMethodRS256, claims)
	t.Header = map[string]any{"kid": s.kid, "alg": "RS256"} // Cognito's headers have no typ
	return t.SignedString(s.key)
}

func isFlag(attribute string) bool {
	return attribute == "email_verified" || attribute == "phone_number_verified"
}

func (s signer) jwk() map[string]string {
	return map[string]string{
		"kty": "RSA", "use": "sig", "alg": "RS256", "kid": s.kid,
		"n": base64.RawURLEncoding.EncodeToString(s.key.N.Bytes()),
		"e": base64.RawURLEncoding.EncodeToString(big.NewInt(int64(s.key.E)).Bytes()),
	}
}

// visible returns the attributes that a scope opens: openid alone opens all that the client can read, which is all of
// them; with others beside it each opens its own ("The userInfo endpoint").
func (u profile) visible(scope string) map[string]string {
	scopes := strings.Fields(scope)
	return maps.Collect(func(yield func(string, string) bool) {
		for attribute, value := range u.Attributes {
			needs := "profile"
			switch attribute {
			case "email", "email_verified":
				needs = "email"
			case "phone_number", "phone_number_verified":
				needs = "phone"
			}
			if (len(scopes) == 1 || slices.Contains(scopes, needs)) && !yield(attribute, value) {
				return
			}
		}
	})
}

// userInfo is GET /oauth2/userInfo. Every claim is a string, the list of identities included, and the verified flags
// unless VerifiedIsBoolean.
func (s *Server) userInfo(w http.ResponseWriter, r *http.Request) {
	const expired = "Access token is expired, disabled, or deleted, or the user has globally signed out."
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" || len(r.Header.Values("Authorization")) != 1 {
		s.bearerError(w, http.StatusBadRequest, "invalid_request", "Bad OAuth2 request at UserInfo Endpoint")
		return
	}
	var claims struct {
		jwt.RegisteredClaims
		Use      string `json:"token_use"`
		ClientID string `json:"client_id"`
		Scope    string `json:"scope"`
		Origin   string `json:"origin_jti"`
		Username string `json:"username"`
	}
	_, err := jwt.ParseWithClaims(token, &claims, func(*jwt.Token) (any, error) { return &s.accessKey.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"RS256"}), jwt.WithIssuer(s.Issuer()), jwt.WithExpirationRequired())
	s.mu.Lock()
	_, alive := s.st.Grants[claims.Origin]
	u, known := s.st.Profiles[claims.Username]
	open := s.cfg.Unconfirmed
	s.mu.Unlock()
	switch {
	case err != nil || claims.Use != "access" || claims.ClientID != s.st.ClientID || !alive || !known || u.Sub != claims.Subject:
		s.bearerError(w, http.StatusUnauthorized, "invalid_token", expired)
		return
	case !slices.Contains(strings.Fields(claims.Scope), "openid"):
		s.bearerError(w, http.StatusUnauthorized, "invalid_token", "Access token does not contain openid scope")
		return
	}
	identities, err := json.Marshal([]any{struct {
		UserID       string `json:"userId"`
		ProviderName string `json:"providerName"`
		ProviderType string `json:"providerType"`
		Issuer       string `json:"issuer"`
		Primary      bool   `json:"primary"`
		DateCreated  int64  `json:"dateCreated"` // Unix milliseconds
	}{u.NameID, s.cfg.ProviderName, "SAML", u.Issuer, true, u.Created.UnixMilli()}})
	if err != nil {
		s.cfg.Log.Error("identities", "to", name, "err", err)
		s.bearerError(w, http.StatusInternalServerError, "server_error", "")
		return
	}
	out := map[string]any{"sub": u.Sub, "username": u.Username, "identities": string(identities)}
	for attribute, value := range u.visible(claims.Scope) {
		out[attribute] = value
		if open.VerifiedIsBoolean && isFlag(attribute) {
			out[attribute] = value == "true"
		}
	}
	writeJSON(w, http.StatusOK, out)
}

func (s *Server) bearerError(w http.ResponseWriter, status int, kind, description string) {
	s.refused(description, "error", kind)
	w.Header().Set("WWW-Authenticate", `Bearer error="`+kind+`", error_description="`+description+`"`)
	writeJSON(w, status, map[string]string{"error": kind, "error_description": description})
}

// oauthError answers as RFC 6749 section 5.2. The reason goes to the log only: Cognito's answers name the code and
// nothing else.
func (s *Server) oauthError(w http.ResponseWriter, status int, kind, why string) {
	s.refused(why, "error", kind)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Basic")
	}
	writeJSON(w, status, map[string]string{"error": kind})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a failed write means that the caller is gone
}

// IDPHandler serves the pool's public documents on the Region's cognito-idp host. The user pool API that lives there
// too is unknown here.
func (s *Server) IDPHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{pool}/.well-known/jwks.json", s.ofPool(func() any {
		return map[string]any{"keys": []any{s.idKey.jwk(), s.accessKey.jwk()}}
	}))
	mux.HandleFunc("GET /{pool}/.well-known/openid-configuration", s.ofPool(func() any {
		return map[string]any{
			"issuer":                                s.Issuer(),
			"authorization_endpoint":                s.cfg.BaseURL + "/oauth2/authorize",
			"token_endpoint":                        s.cfg.BaseURL + "/oauth2/token",
			"userinfo_endpoint":                     s.cfg.BaseURL + "/oauth2/userInfo",
			"revocation_endpoint":                   s.cfg.BaseURL + "/oauth2/revoke",
			"end_session_endpoint":                  s.cfg.BaseURL + "/logout",
			"jwks_uri":                              s.Issuer() + "/.well-known/jwks.json",
			"response_types_supported":              []string{"code", "token"}, // the pool's, whatever the client may do
			"scopes_supported":                      []string{"openid", "email", "phone", "profile"},
			"subject_types_supported":               []string{"public"},
			"id_token_signing_alg_values_supported": []string{"RS256"},
			"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post"},
			// Cognito does PKCE and does not say so: no code_challenge_methods_supported.
		}
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.refused("not an operation of this stand-in's user pool API")
		writeJSON(w, http.StatusBadRequest, map[string]string{"__type": "UnknownOperationException"})
	})
	return s.logged("cognito-idp", mux)
}

func (s *Server) ofPool(document func() any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if pool := r.PathValue("pool"); pool != s.st.PoolID {
			s.refused("unknown user pool", "pool", pool)
			writeJSON(w, http.StatusNotFound, map[string]string{"message": "User pool " + pool + " does not exist."})
			return
		}
		writeJSON(w, http.StatusOK, document())
	}
}
