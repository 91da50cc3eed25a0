package signin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// issuerLife is how long the issuer's metadata and keys are believed. A key that the issuer has taken back is good
	// here for no longer.
	issuerLife = time.Hour
	// callTimeout bounds one call to the issuer. A sign-in takes four at most, and the gateway in front waits 30 s.
	callTimeout = 5 * time.Second
	maxAnswer   = 256 << 10
	maxIDToken  = 64 << 10
)

// asymmetric are the algorithms that an ID token may be signed with, if the issuer announces them. Those that end in a
// shared secret are not among them: the client's secret would be enough to forge a sign-in, and with "none" nothing would.
var asymmetric = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.ES512, oidc.EdDSA}

// issuer is what an issuer announces of itself.
type issuer struct {
	provider    *oidc.Provider
	oauth       oauth2.Config // without the client's secret
	keys        oidc.KeySet
	keysURL     string
	algorithms  []string
	logout      string // end_session_endpoint, empty when there is none
	namesItself bool   // its answers must say whose they are (RFC 9207)
	until       time.Time
}

// issuer returns what the issuer announces, from memory if it can. However many sign-ins begin at once, it is asked once;
// that is not tied to the request which happened to come first, whose browser may go away. A failure is not remembered.
func (o *OIDC) issuer(ctx context.Context) (*issuer, error) {
	if known := o.known.Load(); known != nil && time.Now().Before(known.until) {
		return known, nil
	}
	found, err, _ := o.flight.Do("", func() (any, error) {
		found, err := o.discover(context.WithoutCancel(ctx))
		if err == nil {
			o.known.Store(found)
		}
		return found, err
	})
	if err != nil {
		return nil, err
	}
	return found.(*issuer), nil
}

// discover reads the issuer's metadata (OpenID Connect Discovery 1.0 section 4; RFC 8414 for what that lacks).
func (o *OIDC) discover(ctx context.Context) (*issuer, error) {
	provider, err := oidc.NewProvider(oidc.ClientContext(ctx, o.client), o.c.Issuer)
	if err != nil {
		return nil, fmt.Errorf("%w: discovery: %s", ErrIssuer, brief(err))
	}
	var meta struct {
		Keys        string   `json:"jwks_uri"`
		Logout      string   `json:"end_session_endpoint"`
		Algorithms  []string `json:"id_token_signing_alg_values_supported"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		NamesItself bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := provider.Claims(&meta); err != nil {
		return nil, fmt.Errorf("%w: discovery: %s", ErrIssuer, brief(err))
	}
	endpoint := provider.Endpoint()
	for name, address := range map[string]string{"authorization_endpoint": endpoint.AuthURL, "token_endpoint": endpoint.TokenURL, "jwks_uri": meta.Keys} {
		if !isHTTPS(address) {
			return nil, fmt.Errorf("%w: discovery: %s is not an https address", ErrIssuer, name)
		}
	}
	if !isHTTPS(meta.Logout) {
		meta.Logout = ""
	}
	if meta.Algorithms == nil {
		meta.Algorithms = []string{oidc.RS256} // the one that every issuer has
	}
	meta.Algorithms = slices.DeleteFunc(meta.Algorithms, func(a string) bool { return !slices.Contains(asymmetric, a) })
	if len(meta.Algorithms) == 0 {
		return nil, fmt.Errorf("%w: discovery: ID tokens are signed with none of %s", ErrIssuer, strings.Join(asymmetric, ", "))
	}
	// Left to itself, the library tries both ways, and the second try spends the code a second time.
	switch {
	case o.c.ClientSecret.Empty():
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	case meta.AuthMethods == nil || slices.Contains(meta.AuthMethods, "client_secret_basic"):
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	case slices.Contains(meta.AuthMethods, "client_secret_post"):
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	default:
		return nil, fmt.Errorf("%w: discovery: the token endpoint takes neither client_secret_basic nor client_secret_post", ErrIssuer)
	}
	return &issuer{
		provider:   provider,
		oauth:      oauth2.Config{ClientID: o.c.ClientID, Endpoint: endpoint, RedirectURL: o.c.RedirectURL, Scopes: o.c.Scopes},
		keys:       oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), o.client), meta.Keys), // it outlives the request
		keysURL:    meta.Keys,
		algorithms: meta.Algorithms, logout: meta.Logout, namesItself: meta.NamesItself, until: time.Now().Add(issuerLife),
	}, nil
}

// redeem exchanges the code for an ID token, checks that, and returns its claims. The access token is of use for
// userinfo alone, and nothing of the answer is kept.
func (o *OIDC) redeem(ctx context.Context, i *issuer, f flow, code string) (claims, error) {
	client := i.oauth
	client.ClientSecret = o.c.ClientSecret.Reveal()
	tokens, err := client.Exchange(oidc.ClientContext(ctx, o.client), code, oauth2.VerifierOption(f.verifier))
	if err != nil {
		return nil, notExchanged(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	switch {
	case raw == "":
		return nil, refuse("the issuer sent no ID token: may the client have the scope openid?")
	case len(raw) > maxIDToken:
		return nil, refuse("an ID token of %d bytes, more than %d", len(raw), maxIDToken)
	case strings.Count(raw, ".") != 2: // the library would read JSON's other form too
		return nil, refuse("the ID token is not three segments")
	}
	var unreachable error
	keys := keySet(func(ctx context.Context, token string) ([]byte, error) {
		payload, err := i.keys.VerifySignature(ctx, token)
		if _, ok := errors.AsType[*url.Error](err); ok || ctx.Err() != nil {
			unreachable = err // what the verifier makes of it does not tell it from a wrong signature
		}
		return payload, err
	})
	token, err := oidc.NewVerifier(o.c.Issuer, keys, &oidc.Config{ClientID: o.c.ClientID, SupportedSigningAlgs: i.algorithms}).Verify(ctx, raw)
	switch {
	case unreachable != nil:
		return nil, fmt.Errorf("%w: keys: %s", ErrIssuer, brief(unreachable))
	case err != nil:
		return nil, refuse("the ID token: %s", brief(err))
	}
	var payload json.RawMessage
	if err := token.Claims(&payload); err != nil {
		return nil, refuse("the ID token: %s", brief(err))
	}
	c, err := object(payload)
	if err != nil {
		return nil, refuse("the ID token: %v", err)
	}
	if err := o.checkClaims(c, token.Audience, f); err != nil {
		return nil, err
	}
	return c, o.about(ctx, i, tokens, c)
}

// keySet is an oidc.KeySet in one function.
type keySet func(ctx context.Context, token string) ([]byte, error)

func (k keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	return k(ctx, token)
}

// notExchanged says why there are no tokens, without the library's words: they repeat what the issuer answered.
func notExchanged(err error) error {
	if e, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		if e.ErrorCode == "invalid_grant" { // RFC 6749 section 5.2: used, too old, or not made for this sign-in
			return fmt.Errorf("%w: the issuer does not take the code", ErrFlow)
		}
		return fmt.Errorf("%w: the token endpoint answers %s", ErrIssuer, errorCode(e.ErrorCode))
	}
	if _, ok := errors.AsType[*url.Error](err); ok { // no answer, or none that caller takes
		return fmt.Errorf("%w: token endpoint: %s", ErrIssuer, brief(err))
	}
	return fmt.Errorf("%w: the token endpoint's answer cannot be used", ErrIssuer)
}

// checkClaims is what the library leaves to its callers (OpenID Connect Core 1.0 section 3.1.3.7).
func (o *OIDC) checkClaims(c claims, audience []string, f flow) error {
	// The library matches names as encoding/json does, in any case, so "SUB" would have been read as "sub".
	for name := range c {
		for _, exact := range []string{"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "azp"} {
			if name != exact && strings.EqualFold(name, exact) {
				return refuse("the ID token: a claim that could be taken for %s", exact)
			}
		}
	}
	if !equal(c.text("nonce"), f.nonce) {
		return refuse("the ID token: the nonce is not this sign-in's")
	}
	_, ok := c["azp"]
	if len(audience) > 1 && !ok {
		return refuse("the ID token: several audiences, and no azp")
	}
	if ok && c.text("azp") != o.c.ClientID {
		return refuse("the ID token: azp is another client")
	}
	if _, ok := c["token_use"]; ok && c.text("token_use") != "id" { // Cognito's ("Verifying JSON web tokens")
		return refuse("the ID token: token_use is not id")
	}
	return nil
}

// caller carries requests to the issuer, each within its time, and without redirects, which would take a code or a secret
// along. An answer is JSON of a bounded size and is read whole here, so that whatever is wrong with it is an error of the
// call, with no part of it in the text.
type caller struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (c caller) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
	defer cancel()
	answer, err := c.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	// The token endpoint says with 400 or 401 what it does not like (RFC 6749 section 5.2).
	if says := r.Method == http.MethodPost && (answer.StatusCode == http.StatusBadRequest || answer.StatusCode == http.StatusUnauthorized); answer.StatusCode != http.StatusOK && !says {
		return nil, fmt.Errorf("status %d", answer.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err == nil && !json.Valid(body) {
		err = fmt.Errorf("an answer that is not JSON, or longer than %d bytes", maxAnswer)
	}
	if err != nil {
		return nil, err
	}
	answer.Header.Set("Content-Type", "application/json") // some say text/plain, which would be read as a form
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && u.Fragment == ""
}

// brief is an error's text, which may repeat what came from outside, as a log line can hold it.
func brief(err error) string { return cut(err.Error(), 300) }

// errorCode is a code of RFC 6749 or OpenID Connect, or says that it is none.
func errorCode(s string) string {
	if s == "" || len(s) > 60 || strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") != "" {
		return "an error that is none of the standard's"
	}
	return s
}
