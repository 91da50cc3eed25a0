// Package cognito stands in for one Amazon Cognito user pool with one app client and one SAML identity provider: a
// SAML 2.0 service provider towards the identity provider, an OAuth 2.0 and OpenID Connect provider towards the app.
//
//	browser ── GET /oauth2/authorize ─▶ pending ── AuthnRequest ─▶ identity provider
//	                                       │                              │
//	browser ◀── 302 redirect_uri?code ── code ◀── POST /saml2/idpresponse ┘
//	                                       │
//	app ────── POST /oauth2/token ──▶ grant (ID, access, refresh token) ──▶ GET /oauth2/userInfo
//
// It is not the user pool API (SignUp, InitiateAuth and the like answer as unknown operations) and has no local users:
// the only provider is where everybody is sent at once, as an app client with a single provider does.
//
// Sources: "User pool endpoints and managed login reference" and "Using SAML identity providers with a user pool" in
// the Amazon Cognito Developer Guide; OAuth 2.0 (RFC 6749), PKCE (RFC 7636), OpenID Connect Core 1.0; SAML 2.0 Core,
// Bindings and Profiles (OASIS). What AWS leaves open and an app can notice is in Unconfirmed; the rest of what it does
// not document is marked "unconfirmed" where it is decided.
package cognito

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

const (
	name = "cognito" // in the log, and the kind of the state file

	codeValidity    = 5 * time.Minute // "one time use code that is valid for five minutes", authorize endpoint
	samlTimeLimit   = 5 * time.Minute // "SAML user pool IdP authentication flow": a longer one is cancelled
	pendingKept     = time.Hour       // how long a sign-in that ran out of time can still be told from one never begun
	sessionValidity = time.Hour       // the cookie "cognito"; it is not renewed by use
	maxBody         = 256 << 10       // bytes of a form; a SAML response has a few thousand
	maxQuery        = 8 << 10         // bytes of an authorize request
	maxPending      = 10_000          // sign-ins under way at once; they are kept in memory
)

// Config describes the pool, its client and its provider. What ports and hosts decide is taken from here at every
// start; what must stay the same (ids, secret, key, users) is in the state file.
type Config struct {
	Region, AccountID string
	BaseURL           string            // the pool's domain, "https://cognito.localhost:8444"
	ProviderName      string            // the SAML provider's name in the pool, "IdentityCenter"
	MetadataURL       string            // the provider's SAML metadata, https or on this machine; may be told later, with SetMetadataURL
	AttributeMapping  map[string]string // pool attribute → SAML attribute, "email" → "Email"
	CallbackURLs      []string          // compared with redirect_uri byte by byte
	LogoutURLs        []string
	Scopes            []string // what the client may ask for; none means openid, email, phone and profile

	// How long tokens live; zero means Cognito's defaults of an hour and 30 days. ID tokens live as long as access
	// tokens. Cognito's least is 5 minutes for access tokens and an hour for refresh tokens; a stand-in that must show
	// an expiry may have less.
	AccessTokenValidity, RefreshTokenValidity time.Duration

	Unconfirmed Unconfirmed // what AWS leaves open; Server.mu guards it

	Clock *switches.Clock // the pool's own, for all that it stamps and compares; nil: a right one

	Client    *http.Client // fetches the metadata; nil means http.DefaultClient
	StateFile string
	Log       *slog.Logger
}

// Server is the user pool. Its methods may be called from several goroutines.
type Server struct {
	cfg  Config
	file *statefile.File
	// ID and access tokens have keys of their own ("Verifying a JSON Web Token": two pairs for each user pool).
	idKey, accessKey signer
	idp              provider

	mu sync.Mutex // guards everything below, and cfg.Unconfirmed
	st state
	// Sign-ins under way, codes and browser sessions are gone after a restart: the browser starts again, which costs
	// nobody a password while the provider's own session lives. By RelayState, by hash of the code, by hash of the cookie.
	pending  map[string]pending
	codes    map[string]*code
	sessions map[string]session
	seen     map[string]time.Time // assertion id → when it may be forgotten
}

// state is what survives a restart.
type state struct {
	PoolID       string             `json:"poolId"`
	ClientID     string             `json:"clientId"`
	ClientSecret string             `json:"clientSecret"`
	Key          []byte             `json:"key"` // of ID tokens, PKCS #8
	AccessKey    []byte             `json:"accessKey"`
	Profiles     map[string]profile `json:"profiles"` // by user name
	Grants       map[string]grant   `json:"grants"`   // by origin_jti
}

// profile is a user as the pool keeps it: made at the first sign-in, its attributes rewritten at every later one.
type profile struct {
	Sub        string            `json:"sub"`
	Username   string            `json:"username"` // <ProviderName>_<NameID>
	NameID     string            `json:"nameId"`
	Issuer     string            `json:"issuer"`
	Attributes map[string]string `json:"attributes"`
	Created    time.Time         `json:"created"`
	Modified   time.Time         `json:"modified"`
}

// grant is one sign-in of one user to the client: what a refresh token stands for. Tokens of a grant that is gone are
// revoked.
type grant struct {
	Username    string    `json:"username"`
	Scope       string    `json:"scope"`
	AuthTime    time.Time `json:"authTime"`
	RefreshHash string    `json:"refreshHash"` // SHA-256, so that the file is no bearer of tokens
	Expires     time.Time `json:"expires"`
}

// New checks the configuration and loads the state, making and saving ids, secret and keys where there are none. It
// starts nothing and calls nobody.
func New(cfg Config) (*Server, error) {
	cfg.AccessTokenValidity = cmp.Or(cfg.AccessTokenValidity, time.Hour)
	cfg.RefreshTokenValidity = cmp.Or(cfg.RefreshTokenValidity, 30*24*time.Hour)
	cfg.Client = cmp.Or(cfg.Client, http.DefaultClient)
	cfg.BaseURL = strings.TrimSuffix(cfg.BaseURL, "/")
	if len(cfg.Scopes) == 0 {
		cfg.Scopes = []string{"openid", "email", "phone", "profile"}
	}
	if err := cfg.check(); err != nil {
		return nil, fmt.Errorf("cognito: %w", err)
	}
	s := &Server{
		cfg: cfg, file: statefile.New(cfg.StateFile, name),
		pending: map[string]pending{}, codes: map[string]*code{}, sessions: map[string]session{}, seen: map[string]time.Time{},
	}
	found, err := s.file.Load(&s.st)
	if err != nil {
		return nil, fmt.Errorf("cognito: %w", err)
	}
	if !found {
		if err := s.generate(); err != nil {
			return nil, fmt.Errorf("cognito: %w", err)
		}
	}
	upgrade := found && len(s.st.AccessKey) == 0 // a state file of when one key signed both kinds of token
	if upgrade {
		if s.st.AccessKey, err = newKey(); err != nil {
			return nil, fmt.Errorf("cognito: %w", err)
		}
	}
	var idErr, accessErr error
	s.idKey, idErr = newSigner(s.st.Key)
	s.accessKey, accessErr = newSigner(s.st.AccessKey)
	if errors.Join(idErr, accessErr) != nil || !strings.HasPrefix(s.st.PoolID, cfg.Region+"_") || s.st.ClientID == "" || s.st.ClientSecret == "" ||
		s.st.Profiles == nil || s.st.Grants == nil {
		return nil, fmt.Errorf("cognito: state file %s holds no whole user pool of %s: nothing was changed; move the file away to start afresh", cfg.StateFile, cfg.Region)
	}
	if upgrade {
		if err := s.file.Save(s.st); err != nil {
			return nil, fmt.Errorf("cognito: %w", err)
		}
	}
	s.idp = provider{url: cfg.MetadataURL, client: cfg.Client, log: cfg.Log}
	return s, nil
}

// signer signs one kind of token.
type signer struct {
	key *rsa.PrivateKey
	kid string
}

func newSigner(pkcs8 []byte) (signer, error) {
	key, err := x509.ParsePKCS8PrivateKey(pkcs8)
	if err != nil {
		return signer{}, err
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if !ok {
		return signer{}, errors.New("not an RSA key")
	}
	der, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		return signer{}, err
	}
	sum := sha256.Sum256(der)
	return signer{rsaKey, base64.StdEncoding.EncodeToString(sum[:])}, nil
}

// SetMetadataURL says where the SAML provider's metadata is, before the first request is served. The pool comes first:
// the provider wants to know the pool's ACS URL and audience before it has metadata to offer.
func (s *Server) SetMetadataURL(url string) { s.idp.url, s.cfg.MetadataURL = url, url }

func (c Config) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.Region == "" || c.AccountID == "" {
		bad("Region and AccountID are required")
	}
	if u, err := url.Parse(c.BaseURL); err != nil || !webURL(u) || u.Path != "" || u.RawQuery != "" {
		bad("BaseURL %q is not the http or https URL of a host", c.BaseURL)
	}
	if err := checkMetadataURL(c.MetadataURL); c.MetadataURL != "" && err != nil {
		errs = append(errs, err)
	}
	// CreateIdentityProvider: 3 to 32 characters, no underscore or space in front.
	if n := utf8.RuneCountInString(c.ProviderName); n < 3 || n > 32 || strings.HasPrefix(c.ProviderName, "_") || strings.HasPrefix(c.ProviderName, " ") {
		bad("ProviderName %q: 3 to 32 characters, not beginning with an underscore or a space", c.ProviderName)
	}
	for attribute, from := range c.AttributeMapping {
		if from == "" || !slices.Contains(standardAttributes, attribute) && !strings.HasPrefix(attribute, "custom:") {
			bad("AttributeMapping: %q from %q: a standard attribute or custom:…, from a SAML attribute's name", attribute, from)
		}
	}
	if len(c.CallbackURLs) == 0 {
		bad("CallbackURLs: at least one is required")
	}
	for _, raw := range slices.Concat(c.CallbackURLs, c.LogoutURLs) {
		// Cognito wants https, but for http://localhost, http://127.0.0.1 and http://[::1]; the demo's names all end in
		// localhost.
		u, err := url.Parse(raw)
		if err != nil || !secureURL(u) || u.Fragment != "" {
			bad("%q cannot be a callback or logout URL: absolute, https (or http on localhost), without a fragment", raw)
		}
	}
	for _, scope := range c.Scopes {
		// aws.cognito.signin.user.admin is left out on purpose: with it users could write their own attributes.
		if !slices.Contains([]string{"openid", "email", "phone", "profile"}, scope) {
			bad("Scopes: %q is not one of openid, email, phone, profile", scope)
		}
	}
	if c.AccessTokenValidity < 0 || c.AccessTokenValidity > 24*time.Hour || c.RefreshTokenValidity < c.AccessTokenValidity {
		bad("AccessTokenValidity: at most a day, and at most RefreshTokenValidity")
	}
	if c.Log == nil {
		bad("Log is required")
	}
	return errors.Join(errs...)
}

// standardAttributes are those of OpenID Connect that every user pool has, without sub, which nobody can map. Names
// outside it could pass for claims of the token itself, such as iss.
var standardAttributes = strings.Fields(`address birthdate email email_verified family_name gender given_name locale
	middle_name name nickname phone_number phone_number_verified picture preferred_username profile updated_at website zoneinfo`)

func webURL(u *url.URL) bool { return (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" }

// secureURL tells whether nobody on the way can read or change what u carries: https, or plain http within this machine.
func secureURL(u *url.URL) bool {
	host := u.Hostname()
	return webURL(u) && (u.Scheme == "https" || host == "localhost" || strings.HasSuffix(host, ".localhost") || net.ParseIP(host).IsLoopback())
}

// checkMetadataURL holds whoever asks for metadata to https, as Cognito does; what is fetched decides who may sign in.
func checkMetadataURL(raw string) error {
	if u, err := url.Parse(raw); err != nil || !secureURL(u) {
		return fmt.Errorf("MetadataURL %q is not an https URL, nor an http URL on this machine (localhost, 127.0.0.1)", raw)
	}
	return nil
}

func newKey() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	return x509.MarshalPKCS8PrivateKey(key)
}

func (s *Server) generate() error {
	key, err := newKey()
	if err != nil {
		return err
	}
	accessKey, err := newKey()
	if err != nil {
		return err
	}
	const digits, lower, upper = "0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	s.st = state{
		PoolID:       s.cfg.Region + "_" + random(9, digits+lower+upper),
		ClientID:     random(26, digits+lower),
		ClientSecret: random(51, digits+lower),
		Key:          key, AccessKey: accessKey,
		Profiles: map[string]profile{}, Grants: map[string]grant{},
	}
	return s.file.Save(s.st)
}

// save writes the state without grants that ended. Callers hold s.mu.
func (s *Server) save() error {
	now := s.cfg.Clock.Now()
	maps.DeleteFunc(s.st.Grants, func(_ string, g grant) bool { return now.After(g.Expires) })
	return s.file.Save(s.st)
}

// PoolID is the user pool's id, "us-east-1_" and nine characters.
func (s *Server) PoolID() string { return s.st.PoolID }

// PoolARN is the user pool's ARN.
func (s *Server) PoolARN() string {
	return "arn:aws:cognito-idp:" + s.cfg.Region + ":" + s.cfg.AccountID + ":userpool/" + s.st.PoolID
}

// Issuer is the iss of every token: a URL on AWS's own host, not on the pool's domain.
func (s *Server) Issuer() string {
	return "https://cognito-idp." + s.cfg.Region + ".amazonaws.com/" + s.st.PoolID
}

// ClientID is the app client's id.
func (s *Server) ClientID() string { return s.st.ClientID }

// ClientSecret is the app client's secret.
func (s *Server) ClientSecret() string { return s.st.ClientSecret }

// ACSURL is where the identity provider posts its responses (assertion consumer service).
func (s *Server) ACSURL() string { return s.cfg.BaseURL + "/saml2/idpresponse" }

// Audience is the pool's name towards SAML identity providers (SP entity ID).
func (s *Server) Audience() string { return "urn:amazon:cognito:sp:" + s.st.PoolID }

// Handler serves the pool's domain.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /oauth2/authorize", s.authorize)
	mux.HandleFunc("GET /login", s.authorize) // "supports all the request parameters of the authorize endpoint"
	mux.HandleFunc("POST /saml2/idpresponse", s.idpResponse)
	mux.HandleFunc("POST /oauth2/token", s.token)
	mux.HandleFunc("POST /oauth2/revoke", s.revoke)
	mux.HandleFunc("GET /oauth2/userInfo", s.userInfo)
	mux.HandleFunc("POST /oauth2/userInfo", s.userInfo) // OpenID Connect Core 5.3.1 asks for both
	mux.HandleFunc("GET /logout", s.logout)
	return s.logged(name, mux)
}

// logged bounds the body, keeps answers out of caches and writes the line of the hop.
func (s *Server) logged(to string, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		// No Referrer-Policy: what Cognito sends is not documented, and browsers' default gives the origin alone to others.
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(rec, r)
		s.cfg.Log.Info("hop", "to", to, "what", r.Method+" "+r.URL.Path, "status", rec.status, "took", time.Since(start))
	})
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.MaxBytesReader and http.ResponseController reach the server's own writer.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (s *Server) refused(why string, args ...any) {
	s.cfg.Log.Warn("refused", append([]any{"to", name, "why", why}, args...)...)
}

// one returns a parameter that may be given at most once (RFC 6749 section 3.1); false when it is there twice.
func one(v url.Values, key string) (string, bool) { return v.Get(key), len(v[key]) <= 1 }

// withQuery adds parameters to a URL that was checked when it was registered and may have a query of its own.
func withQuery(raw string, add url.Values) string {
	sep := "?"
	if strings.Contains(raw, "?") {
		sep = "&"
	}
	return raw + sep + add.Encode()
}

func hash(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

func random(n int, alphabet string) string {
	out := make([]byte, 0, n)
	limit := byte(256 / len(alphabet) * len(alphabet)) // above it a remainder would favour the first letters
	for b := make([]byte, 1); len(out) < n; {
		rand.Read(b)
		if b[0] < limit {
			out = append(out, alphabet[int(b[0])%len(alphabet)])
		}
	}
	return string(out)
}

// newUUID is a random UUID, RFC 9562 version 4.
func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b[:])
	return h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}
