// Package identitycenter is the demo's IAM Identity Center: the page where a person signs in with the directory's
// password and an authenticator app, and the SAML 2.0 identity provider of one customer managed application.
//
//	/saml/assertion/… ─▶ password ─┬─▶ no authenticator yet: enrol by QR ─┬─▶ assigned? ─▶ signed response to the ACS URL
//	     │                         └─▶ code of the authenticator ─────────┘      └─▶ "No access"
//	     └── a session of at most eight hours skips both steps
//
// People and groups come from the directory by a sync, every minute here and about every hour at AWS: who joined the
// assigned group a moment ago has no access yet. Passwords are never kept: each is tried by binding to the directory
// over LDAPS, so that an account which is disabled there cannot sign in from then on.
//
// It is not Identity Center: one application, no users of its own, no AWS accounts, one authenticator app a person where
// AWS takes two, no start at the identity provider, and log-out ends the session here and nowhere else. What AWS does is
// taken from the IAM Identity Center User Guide ("Set up your own SAML 2.0 application", "Multi-factor authentication")
// and from metadata of real instances that people published; the protocol from SAML Core, Bindings and Profiles 2.0.
package identitycenter

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/statefile"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// Application is the customer managed SAML application, as typed into Identity Center's console.
type Application struct {
	Name     string // display name
	ACSURL   string // where responses are posted
	Audience string // the service provider's entity ID
	StartURL string // where the portal's tile leads
	// AssignedGroups are the groups, by sAMAccountName, whose members, nested ones included, may use it.
	AssignedGroups []string
	// Mappings are the attribute mappings; none means those of DefaultMappings.
	Mappings []Mapping
}

// Mapping is one row of "Attribute mappings for your application".
type Mapping struct {
	Attribute string // in the application: Subject, or any name
	Value     string // ${user:…} or a fixed text
	Format    string // short, as the console lists it: persistent, emailAddress, unspecified, … for Subject; basic, unspecified or uri for others
}

// DefaultMappings are what Amazon Cognito needs: a subject that stays, and the e-mail address.
func DefaultMappings() []Mapping {
	return []Mapping{{"Subject", "${user:subject}", "persistent"}, {"Email", "${user:email}", "basic"}}
}

// Config is what Identity Center is set up with.
type Config struct {
	BaseURL string // of these pages, for example https://identity-center.localhost:8443

	LDAPURL                      string // ldaps://…
	LDAPTLS                      *tls.Config
	BindDN, BindPassword, BaseDN string // the service account (a DN or a UPN), and where people and groups are searched
	// Names of the directory's domain, for what people type; the short one is the first label of the other if empty.
	// Discover finds both.
	Domain, NetBIOSName string
	// EmailAttribute of the directory becomes ${user:email}: userPrincipalName if empty, as AWS maps it by default, or mail.
	EmailAttribute string
	SyncEvery      time.Duration // 0 is a minute

	Application Application
	Unconfirmed Unconfirmed
	Clock       *switches.Clock // Identity Center's own; nil is right
	StateFile   string
	Log         *slog.Logger
}

// Server is one instance of Identity Center.
type Server struct {
	cfg   Config
	log   *slog.Logger
	file  *statefile.File
	pages *template.Template
	key   *rsa.PrivateKey

	mu     sync.Mutex // guards what follows, and cfg.Unconfirmed; never held while the directory is asked
	state  state
	flows  map[string]*flow // by id; a restart forgets them, and people start again
	synced synced           // a restart syncs anew
	misses map[string]*misses

	syncing sync.Mutex // one sync at a time; taken before mu
}

type state struct {
	ID          string                `json:"id"`  // the application's, in its metadata URL
	Key         []byte                `json:"key"` // PKCS #8; a new one would break the certificate that service providers hold
	Certificate []byte                `json:"certificate"`
	Enrolments  map[string]*enrolment `json:"enrolments"`        // by objectGUID in hexadecimal: an account made anew enrols anew
	Sessions    map[string]session    `json:"sessions"`          // by the SHA-256 of the cookie
	Seen        map[string]time.Time  `json:"seen"`              // ids of requests, until when they are remembered
	Trusted     map[string]trusted    `json:"trusted,omitempty"` // by the SHA-256 of the cookie; see Unconfirmed.ContextAware
}

//go:embed pages.html
var files embed.FS

// New loads the key, the certificate and the enrolments, or makes the first two. It asks nobody and starts nothing.
func New(cfg Config) (*Server, error) {
	for name, value := range map[string]string{
		"BaseURL": cfg.BaseURL, "LDAPURL": cfg.LDAPURL, "BindDN": cfg.BindDN, "BindPassword": cfg.BindPassword, "BaseDN": cfg.BaseDN, "Domain": cfg.Domain,
		"Application.Name": cfg.Application.Name, "Application.ACSURL": cfg.Application.ACSURL, "Application.Audience": cfg.Application.Audience,
		"Application.StartURL": cfg.Application.StartURL, "Application.AssignedGroups": strings.Join(cfg.Application.AssignedGroups, ""),
	} {
		if value == "" {
			return nil, fmt.Errorf("identity center: %s is empty", name)
		}
	}
	if cfg.Log == nil {
		return nil, errors.New("identity center: no log")
	}
	for _, u := range []string{cfg.BaseURL, cfg.Application.ACSURL, cfg.Application.StartURL} {
		if p, err := url.Parse(u); err != nil || p.Host == "" || p.Scheme != "https" && p.Scheme != "http" {
			return nil, fmt.Errorf("identity center: %q is not a web address", u)
		}
	}
	if strings.HasSuffix(cfg.BaseURL, "/") {
		return nil, fmt.Errorf("identity center: base URL %q ends in a slash", cfg.BaseURL)
	}
	if !strings.HasPrefix(cfg.LDAPURL, "ldaps://") {
		return nil, fmt.Errorf("identity center: directory %q: passwords go over ldaps:// only", cfg.LDAPURL)
	}
	if cfg.SyncEvery < 0 {
		return nil, fmt.Errorf("identity center: cannot sync every %v", cfg.SyncEvery)
	}
	if a := cfg.EmailAttribute; a != "" && a != "userPrincipalName" && a != "mail" {
		return nil, fmt.Errorf("identity center: e-mail attribute %q: choose userPrincipalName or mail", a)
	}
	if cfg.NetBIOSName == "" {
		cfg.NetBIOSName, _, _ = strings.Cut(cfg.Domain, ".")
	}
	if len(cfg.Application.Mappings) == 0 {
		cfg.Application.Mappings = DefaultMappings()
	}
	if err := checkMappings(cfg.Application.Mappings); err != nil {
		return nil, err
	}
	pages, err := template.ParseFS(files, "pages.html")
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: cfg.Log, file: statefile.New(cfg.StateFile, "identity-center"), pages: pages, flows: map[string]*flow{}, misses: map[string]*misses{}}
	found, err := s.file.Load(&s.state)
	if err != nil {
		return nil, err
	}
	if !found {
		if err := s.establish(); err != nil {
			return nil, err
		}
	}
	key, err := x509.ParsePKCS8PrivateKey(s.state.Key)
	if err == nil {
		_, err = x509.ParseCertificate(s.state.Certificate)
	}
	rsaKey, ok := key.(*rsa.PrivateKey)
	if err != nil || !ok || s.state.ID == "" || s.state.Enrolments == nil || s.state.Sessions == nil || s.state.Seen == nil {
		return nil, fmt.Errorf("identity center: the state file %s is incomplete or its key cannot be read (%v): nothing was changed; move it away to start afresh", cfg.StateFile, err)
	}
	s.key = rsaKey
	if s.state.Trusted == nil {
		s.state.Trusted = map[string]trusted{}
	}
	return s, nil
}

// establish makes a new instance: its id, and the key and certificate that sign, valid five years as AWS makes them.
func (s *Server) establish() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	now := s.now().UTC()
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()), Subject: pkix.Name{CommonName: "identity-center.localhost", Organization: []string{"nightlatch demo"}},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "identity-center.localhost", Organization: []string{"nightlatch demo"}}}, key.Public(), key)
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	s.state = state{
		ID: rand.Text(), Key: pkcs8, Certificate: der,
		Enrolments: map[string]*enrolment{}, Sessions: map[string]session{}, Seen: map[string]time.Time{},
	}
	return s.file.Save(s.state)
}

// MetadataURL is where a service provider reads the metadata. It is not the entity ID.
func (s *Server) MetadataURL() string { return s.cfg.BaseURL + "/saml/metadata/" + s.state.ID }

// ssoURL takes requests, and is the entity ID too, as it is at AWS.
func (s *Server) ssoURL() string { return s.cfg.BaseURL + "/saml/assertion/" + s.state.ID }

func (s *Server) logoutURL() string { return s.cfg.BaseURL + "/saml/logout/" + s.state.ID }

// ResetMFA removes a person's authenticator, ends their sessions and trusts none of their browsers any more; at the next
// sign-in they enrol again.
func (s *Server) ResetMFA(username string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.state.Enrolments {
		if strings.EqualFold(e.Username, username) {
			delete(s.state.Enrolments, id)
			for key, ses := range s.state.Sessions {
				if ses.User == id {
					delete(s.state.Sessions, key)
				}
			}
			for key, t := range s.state.Trusted {
				s.state.Trusted[key] = t.without(id)
			}
			return s.file.Save(s.state)
		}
	}
	return fmt.Errorf("identity center: %q has no authenticator", username)
}

// save keeps the state; the caller holds mu. What cannot be kept is still answered from memory, and the operator told.
func (s *Server) save() {
	if err := s.file.Save(s.state); err != nil {
		s.log.Error("state not saved", "to", "identity-center", "err", err)
	}
}

// Handler serves the pages, the single sign-on endpoint and the metadata.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.portal)
	mux.HandleFunc("GET /saml/metadata/{id}", s.ours(s.metadata))
	mux.HandleFunc("GET /saml/assertion/{id}", s.ours(s.ssoRedirect))
	mux.HandleFunc("POST /saml/assertion/{id}", s.ours(s.ssoPost))
	mux.HandleFunc("HEAD /saml/assertion/{id}", noHead)
	mux.HandleFunc("HEAD /saml/logout/{id}", noHead)
	mux.HandleFunc("GET /saml/logout/{id}", s.ours(s.logoutRedirect))
	mux.HandleFunc("POST /saml/logout/{id}", s.ours(s.logoutPost))
	mux.HandleFunc("GET /signin", s.showSignIn)
	mux.HandleFunc("POST /signin", s.password)
	mux.HandleFunc("POST /signin/code", s.code)
	mux.HandleFunc("POST /signout", s.signOut)

	// A service provider's POST binding is a cross-site form post by design; nothing else may be.
	guard := http.NewCrossOriginProtection()
	guard.AddInsecureBypassPattern("POST /saml/assertion/{id}")
	guard.AddInsecureBypassPattern("POST /saml/logout/{id}")
	guard.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusForbidden, "a form posted by another site", "This request came from another site, so nothing was done.")
	}))
	guarded := guard.Handler(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		started := time.Now()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		rec := &recorder{ResponseWriter: w, status: http.StatusOK}
		guarded.ServeHTTP(rec, r)
		s.log.Info("hop", "to", "identity-center", "what", r.Method+" "+r.URL.Path, "status", rec.status, "took", time.Since(started))
	})
}

// ours answers for this instance's id only.
func (s *Server) ours(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("id") != s.state.ID {
			http.NotFound(w, r)
			return
		}
		h(w, r)
	}
}

// noHead: what looks ahead must not use a request up.
func noHead(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Allow", "GET, POST")
	http.Error(w, "use GET or POST", http.StatusMethodNotAllowed)
}

type recorder struct {
	http.ResponseWriter
	status int
}

func (r *recorder) WriteHeader(status int) {
	r.status = status
	r.ResponseWriter.WriteHeader(status)
}

// page is what a template may show. Name picks the template.
type page struct {
	Name, Title string
	Error       string // shown in #error
	Flow, Token string // of the forms
	Username    string
	Person      string // who is signed in
	Application Application
	Nonce       string

	QR, KeyURL template.URL // data: and otpauth: are schemes that html/template does not let through by itself
	Key        string
	MayTrust   bool // offers to trust this browser

	SAMLResponse, RelayState string
}

// show renders a page. Nothing is loaded from anywhere, and script runs on the one page that posts itself.
func (s *Server) show(w http.ResponseWriter, status int, p page) {
	p.Nonce, p.Application = rand.Text(), s.cfg.Application
	csp := "default-src 'none'; style-src 'nonce-" + p.Nonce + "'; base-uri 'none'; frame-ancestors 'none'"
	switch p.Name {
	case "saml":
		// No form-action here: browsers apply it to the redirects that follow the post, and those lead through the
		// service provider to sites unknown to an identity provider. The form's target is the registered ACS URL.
		csp += "; script-src 'nonce-" + p.Nonce + "'"
	case "enrol":
		csp += "; form-action 'self'; img-src data:"
	default:
		csp += "; form-action 'self'"
	}
	var b bytes.Buffer
	if err := s.pages.ExecuteTemplate(&b, "page", p); err != nil {
		s.log.Error("page not rendered", "to", "identity-center", "err", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "strict-origin") // the address holds a flow's id; form posts still carry an Origin
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// refuse tells the operator why and the person what to do; the two sentences are not the same.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, why, sentence string) {
	s.log.Warn("refused", "to", "identity-center", "what", r.Method+" "+r.URL.Path, "why", why)
	s.show(w, status, page{Name: "stop", Title: "Sign-in stopped", Error: sentence})
}
