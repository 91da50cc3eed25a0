// Package web is what people and scripts touch: the page, the JSON API, and the words of both in three languages. It
// decides nothing about an endpoint; it asks the Keeper, and says what the Keeper answered.
//
//	request ─▶ too big? ─▶ cross-site? ─▶ who is it? ─▶ blocked? ─▶ which endpoint? ─▶ may they? ─▶ GET looks · POST asks the Keeper
//	           431 414        403            401           403            404            403 429        ─▶ words, page or JSON
//
// Any error ends in one table (problem.go).
//
// A GET never changes anything, because link previews, prefetching and restored tabs make them without a person, and
// because a load balancer turns a POST whose session has expired into a GET of the same path.
package web

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

// Keeper is what the pages and the API ask; *latch.Keeper is one.
type Keeper interface {
	View(ctx context.Context, id latch.EndpointID, p latch.Principal) (latch.View, error)
	Open(ctx context.Context, id latch.EndpointID, r latch.Request) (latch.View, error)
	Extend(ctx context.Context, id latch.EndpointID, r latch.Request) (latch.View, error)
	Done(ctx context.Context, id latch.EndpointID, r latch.Request) (latch.View, error)
}

// Endpoint is one endpoint as people know it.
type Endpoint struct {
	Name     string // in addresses: lower-case letters, digits and hyphens
	ID       latch.EndpointID
	Policy   latch.Policy
	Title    string         // for people; Name when empty
	Location *time.Location // whose clock the page shows; UTC when nil
	// SelfServiceURL is AWS's portal where people get the client and its configuration; empty when it is off.
	SelfServiceURL string
}

// Config is what the handler works with. Rules, SignIn and RequestID may be nil, SignInOrigins empty, and LogoutURL where
// there is a SignIn; all else is required.
type Config struct {
	Keeper Keeper
	Admin  Admin // of the administrators' page
	// Authenticate says who sent a request. An error that the table does not know is answered as a fault of ours, so
	// nobody gets in by it.
	Authenticate func(*http.Request) (access.Identity, error)
	Endpoints    []Endpoint
	// Rules say who may do what; nil is access's default rule.
	Rules *access.Rules
	// People keeps blocks, refusals and the pace of changes. Nobody is let in without it.
	People access.Store
	// Audit adds an entry to the audit. What this package writes to it itself is what was refused.
	Audit func(context.Context, latch.Entry) error
	// SignIn is the front's own sign-in; nil where a load balancer signs people in.
	SignIn SignIn
	// SignInOrigins are the origins ("https://host") that a browser passes when it signs in: a form posted with an
	// expired session is redirected along them, which a Content-Security-Policy must allow, and the last of them is
	// where somebody comes from who has just signed in.
	SignInOrigins []string
	// SignInBroken is told of each sign-in, and each look whether somebody is signed in and not blocked, that is Broken by
	// signin's word. May be nil.
	SignInBroken func(context.Context, error)
	// LogoutURL ends the session of the user pool: https://<domain>/logout?client_id=…&logout_uri=…. A SignIn knows its own,
	// whose origin then belongs to SignInOrigins.
	LogoutURL string
	// SessionCookie is the name of the load balancer's cookies, without the number behind it, which a sign-out expires.
	// It is empty with a SignIn.
	SessionCookie string
	RequestID     func(context.Context) string
	Log           *slog.Logger
}

const (
	maxBody = 64 << 10
	// What a load balancer lets through ("Quotas for your Application Load Balancers": headers of 64 K in all), for fronts
	// that would let through more. Browsers send some twenty fields.
	maxHeader  = 64 << 10
	maxFields  = 100
	maxAddress = 8 << 10
	maxReason  = 200 // characters
	// shortest is the shortest time to ask for: less would end before anything of it could be seen.
	shortest = time.Second
	// formCookie holds the token that each form repeats. The prefix keeps other hosts of the domain from planting one
	// (RFC 6265bis, cookie name prefixes).
	formCookie = "__Host-nightlatch-form"
	// A load balancer's session is split over at most four cookies ("Authenticate users using an Application Load
	// Balancer", 16 KB in shards of 4 KB).
	sessionShards = 4
)

//go:embed assets
var assets embed.FS

type handler struct {
	c         Config
	decide    func(access.Request) access.Decision // Rules'
	endpoints map[string]*Endpoint
	mux       *http.ServeMux
	crossSite *http.CrossOriginProtection
	csp       string
	pages     *template.Template
	consoles  func() (*template.Template, error) // pages with the administrators' part, which few functions ever show
	css, js   string                             // hashed paths
}

var (
	nameForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	tokenForm = regexp.MustCompile(`^[A-Z2-7]{26}$`) // rand.Text
)

// New checks c, all of it at once, and returns the handler.
func New(c Config) (http.Handler, error) {
	h := &handler{c: c, decide: c.Rules.Decide, endpoints: map[string]*Endpoint{}, mux: http.NewServeMux(), crossSite: http.NewCrossOriginProtection()}
	var faults []error
	fault := func(ok bool, format string, args ...any) {
		if !ok {
			faults = append(faults, fmt.Errorf(format, args...))
		}
	}
	fault(c.Keeper != nil && c.Admin != nil && c.Authenticate != nil && c.People != nil && c.Audit != nil && c.Log != nil,
		"web: Keeper, Admin, Authenticate, People, Audit and Log are required")
	fault(len(c.Endpoints) > 0, "endpoints: name at least one")
	h.c.Endpoints = slices.Clone(c.Endpoints)
	for i := range h.c.Endpoints {
		e := &h.c.Endpoints[i]
		fault(nameForm.MatchString(e.Name) && len(e.Name) <= 63, "endpoints: %q is not a name of lower-case letters, digits and hyphens", e.Name)
		fault(h.endpoints[e.Name] == nil, "endpoints: %s is named twice", e.Name)
		fault(len(e.Policy.LeaseChoices) > 0, "endpoints: %s: lease.choices: offer at least one", e.Name)
		fault(e.SelfServiceURL == "" || isHTTPS(e.SelfServiceURL), "endpoints: %s: self_service_url: %q is not an https address", e.Name, e.SelfServiceURL)
		if e.Title == "" {
			e.Title = e.Name
		}
		if e.Location == nil {
			e.Location = time.UTC
		}
		h.endpoints[e.Name] = e
	}
	fault(c.SignIn != nil || c.SessionCookie != "", "session_cookie: name the load balancer's cookies")
	origins := slices.Clone(c.SignInOrigins)
	if c.SignIn == nil || c.LogoutURL != "" {
		fault(isHTTPS(c.LogoutURL), "logout_url: %q is not an https address", c.LogoutURL)
		origins = append(origins, originOf(c.LogoutURL))
	}
	formAction := []string{"'self'"}
	for _, o := range origins {
		// What is not an origin could end the directive and begin another.
		fault(isHTTPS(o) && originOf(o) == o, "sign_in_origins: %q is not an origin such as https://sign-in.example", o)
		if !slices.Contains(formAction, o) {
			formAction = append(formAction, o)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	// form-action is checked along redirects too, so it names where the sign-in and the sign-out lead.
	h.csp = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; form-action " +
		strings.Join(formAction, " ") + "; frame-ancestors 'none'; base-uri 'none'"

	var err error
	if h.pages, err = parsePages("page.html"); err != nil {
		return nil, err
	}
	// The first execution escapes the template, which is work that the first request need not wait for.
	if err := h.pages.ExecuteTemplate(io.Discard, "page.html", page{}); err != nil {
		return nil, err
	}
	h.consoles = sync.OnceValues(func() (*template.Template, error) { return parsePages("page.html", "admin.html") })
	if h.css, err = h.static("nightlatch.css", "text/css; charset=utf-8"); err != nil {
		return nil, err
	}
	if h.js, err = h.static("nightlatch.js", "text/javascript; charset=utf-8"); err != nil {
		return nil, err
	}
	h.routes()
	return h, nil
}

// parsePages parses files of the assets. Without admin.html the administrators' part is empty.
func parsePages(files ...string) (*template.Template, error) {
	t, err := template.New("").Funcs(template.FuncMap{"formIn": formIn}).Parse(`{{define "console"}}{{end}}`)
	if err != nil {
		return nil, err
	}
	for i := range files {
		files[i] = "assets/" + files[i]
	}
	return t.ParseFS(assets, files...)
}

func isHTTPS(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && !strings.ContainsAny(s, " ;,'\"\\")
}

func originOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func (h *handler) routes() {
	h.mux.HandleFunc("GET /{$}", h.signedIn(h.home))
	h.mux.HandleFunc("GET /endpoints/{name}", h.signedIn(h.one(h.showPage)))
	h.mux.HandleFunc("POST /sign-out", h.signOut)
	h.mux.HandleFunc("GET /sign-out", h.goTo("/"))
	h.mux.HandleFunc("GET /api/v1/endpoints", h.signedIn(h.listAPI))
	h.mux.HandleFunc("GET /api/v1/endpoints/{name}", h.signedIn(h.one(h.showAPI)))
	for verb, do := range map[string]act{"open": Keeper.Open, "extend": Keeper.Extend, "done": Keeper.Done} {
		h.mux.HandleFunc("POST /endpoints/{name}/"+verb, h.signedIn(h.one(h.formPost(verb, do))))
		// What a load balancer makes of a form whose session had expired: the body is lost, the wish need not be.
		h.mux.HandleFunc("GET /endpoints/{name}/"+verb, h.signedIn(h.one(func(w http.ResponseWriter, r *http.Request, _ latch.Principal, e *Endpoint) error {
			http.Redirect(w, r, e.page(true)+"&intent="+verb, http.StatusSeeOther)
			return nil
		})))
		h.mux.HandleFunc("POST /api/v1/endpoints/{name}/"+verb, h.signedIn(h.one(h.apiPost(verb, do))))
	}
	if h.c.SignIn != nil {
		h.mux.HandleFunc("GET "+signInPath, h.onlyGET(h.beginSignIn))
		h.mux.HandleFunc("GET /oauth2/callback", h.onlyGET(h.finishSignIn))
		h.mux.HandleFunc("GET "+signedOutPath, h.signedOut)
	}
	h.adminRoutes()
}

// static serves an embedded file under a name that changes with its content, so that browsers may keep it for ever.
func (h *handler) static(name, contentType string) (string, error) {
	b, err := assets.ReadFile("assets/" + name)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	base, ext, _ := strings.Cut(name, ".")
	path := "/static/" + base + "." + hex.EncodeToString(sum[:6]) + "." + ext
	h.mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		w.Write(b)
	})
	return path, nil
}

// page is the endpoint's address. One with look never counts down to opening: it is where a form leads back to.
func (e *Endpoint) page(look bool) string {
	p := "/endpoints/" + e.Name
	if look {
		p += "?look"
	}
	return p
}

// visit is one request, as far as answering it needs to know.
type visit struct {
	id       string // request id
	lang     lang
	who      access.Identity
	in       bool // who has signed in and is not blocked
	endpoint *Endpoint
	longest  time.Duration // lease that the rules leave; 0: not known
	back     string        // the address of the page, where it is not the endpoint's
	leaving  bool          // they may not see it, and hold a lease that they may end
	status   int           // as answered
	token    string
}

type visitKey struct{}

// visitOf is set by ServeHTTP for every request.
func visitOf(r *http.Request) *visit { return r.Context().Value(visitKey{}).(*visit) }

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	v := &visit{status: http.StatusOK}
	if h.c.RequestID != nil {
		v.id = h.c.RequestID(r.Context())
	}
	if v.id == "" {
		v.id = rand.Text()
	}
	big := oversize(r)
	if big == nil {
		v.lang = h.language(w, r)
	}
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	w = &recorder{w, v}

	header := w.Header()
	header.Set("X-Request-Id", v.id)
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Security-Policy", h.csp)
	header.Set("Strict-Transport-Security", "max-age=31536000")
	header.Set("X-Content-Type-Options", "nosniff")
	// Not no-referrer: with that, browsers send "Origin: null" with our own forms.
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Content-Language", v.lang.String())
	header.Set("Vary", "Accept-Language, Cookie")

	if big != nil {
		h.fail(w, r, big)
	} else if err := h.crossSite.Check(r); err != nil {
		h.fail(w, r, fmt.Errorf("%w: %w", errCrossSite, err))
	} else if answer, pattern := h.mux.Handler(r); pattern == "" {
		h.fail(w, r, noRoute(answer, r, header))
	} else {
		h.mux.ServeHTTP(w, r)
	}

	level := slog.LevelInfo
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		level = slog.LevelDebug // watching pages ask often, and each line is billed
	}
	h.c.Log.Log(r.Context(), level, "answered", "method", r.Method, "route", r.Pattern, "status", v.status, "subject", v.who.Subject, "took", time.Since(began), "request_id", v.id)
}

// oversize refuses a request before anything is made of it.
func oversize(r *http.Request) error {
	if len(r.URL.String()) > maxAddress {
		return errLongAddress
	}
	fields, size := 0, 0
	for name, values := range r.Header {
		for _, value := range values {
			fields++
			size += len(name) + len(value) + len(": \r\n")
		}
	}
	if fields > maxFields || size > maxHeader {
		return errHeaders
	}
	return nil
}

// noRoute says in our words what the mux would have said in its own: 405 with Allow, or 404.
func noRoute(answer http.Handler, r *http.Request, header http.Header) error {
	said := &mute{header: http.Header{}}
	answer.ServeHTTP(said, r)
	if said.status == http.StatusMethodNotAllowed {
		header.Set("Allow", said.header.Get("Allow"))
		return &inputError{errMethod, tAllowed, []string{"{methods}", said.header.Get("Allow")}}
	}
	return errNoPage
}

type mute struct {
	header http.Header
	status int
}

func (m *mute) Header() http.Header         { return m.header }
func (m *mute) Write(b []byte) (int, error) { return len(b), nil }
func (m *mute) WriteHeader(status int)      { m.status = status }

type recorder struct {
	http.ResponseWriter
	v *visit
}

func (w *recorder) WriteHeader(status int) {
	w.v.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.MaxBytesReader reach the connection.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// signInBroken tells of an error that is not the person's.
func (h *handler) signInBroken(r *http.Request, err error) {
	if h.c.SignInBroken != nil && signin.Broken(err) {
		h.c.SignInBroken(r.Context(), err)
	}
}

// signedIn lets in whom Authenticate names and nobody has blocked, and answers the error of what follows. Where the
// sign-in is ours, a page leads to it.
func (h *handler) signedIn(next func(http.ResponseWriter, *http.Request, latch.Principal) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		p, err := h.c.Authenticate(r)
		if err == nil && p.Subject == "" {
			err = errors.New("signed in as nobody")
		}
		if err == nil || errors.Is(err, ErrForbidden) {
			visitOf(r).who = p
		}
		if err == nil {
			err = h.blocked(r)
		}
		h.signInBroken(r, err)
		if err == nil {
			visitOf(r).in = true
			err = next(w, r, p.Principal)
		}
		switch {
		case err == nil:
		case errors.Is(err, signin.ErrNoSession) && h.c.SignIn != nil && !strings.HasPrefix(r.URL.Path, "/api/"):
			http.Redirect(w, r, signInAt(comeBack(w, r)), http.StatusSeeOther)
		default:
			h.fail(w, r, err)
		}
	}
}

func (h *handler) one(next func(http.ResponseWriter, *http.Request, latch.Principal, *Endpoint) error) func(http.ResponseWriter, *http.Request, latch.Principal) error {
	return func(w http.ResponseWriter, r *http.Request, p latch.Principal) error {
		e := h.endpoints[r.PathValue("name")]
		if e == nil {
			return errNoEndpoint
		}
		visitOf(r).endpoint = e
		return next(w, r, p, e)
	}
}

// goTo redirects to a path of ours; there is no redirect to an address that a request brought.
func (h *handler) goTo(path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, path, http.StatusSeeOther) }
}

// formToken returns the browser's form token, and gives it one if it has none.
func (h *handler) formToken(w http.ResponseWriter, r *http.Request) string {
	v := visitOf(r)
	if c, err := r.Cookie(formCookie); err == nil && tokenForm.MatchString(c.Value) {
		v.token = c.Value
	}
	if v.token == "" {
		v.token = rand.Text()
		// Lax, not Strict: whoever comes back from the sign-in comes from another site, and a new token then would make
		// the forms of their other tabs stale.
		http.SetCookie(w, &http.Cookie{Name: formCookie, Value: v.token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode})
	}
	return v.token
}

// readForm reads a form of ours: its size, its type, and its token, which a page of another site cannot know. It
// stands beside the Sec-Fetch-Site and Origin check because that one lets clients through that send neither.
func (h *handler) readForm(w http.ResponseWriter, r *http.Request) error {
	if !isType(r, "application/x-www-form-urlencoded") {
		return &inputError{errMediaType, tWantsForm, nil}
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		return tooBigOr(err, &inputError{errInput, tBadForm, nil})
	}
	// Of two, one is somebody else's: the prefix keeps it out of browsers that know of prefixes.
	c := r.CookiesNamed(formCookie)
	if len(c) != 1 || !tokenForm.MatchString(c[0].Value) || subtle.ConstantTimeCompare([]byte(c[0].Value), []byte(r.PostForm.Get("token"))) != 1 {
		return errStaleForm
	}
	return nil
}

func isType(r *http.Request, want string) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return err == nil && t == want
}

func tooBigOr(err, other error) error {
	if _, big := errors.AsType[*http.MaxBytesError](err); big {
		return errTooBig
	}
	return other
}

// formPost does what a form asks and leads back to the page with 303, so that reloading repeats nothing.
func (h *handler) formPost(verb string, do act) func(http.ResponseWriter, *http.Request, latch.Principal, *Endpoint) error {
	return func(w http.ResponseWriter, r *http.Request, p latch.Principal, e *Endpoint) error {
		if err := h.readForm(w, r); err != nil {
			return err
		}
		d, err := h.permit(r, e, verb)
		if err != nil {
			return err
		}
		q, err := h.request(r, p, e, r.PostForm.Get("for"), r.PostForm.Get("reason"))
		if err != nil {
			return err
		}
		v, err := do(h.c.Keeper, r.Context(), e.ID, bound(q, e, verb, d))
		if err != nil {
			return err
		}
		to := e.page(true)
		if v.Clipped {
			to += "&clipped"
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
		return nil
	}
}

// request checks what a person asks for; how long is too long is the Keeper's to say.
func (h *handler) request(r *http.Request, p latch.Principal, e *Endpoint, length, reason string) (latch.Request, error) {
	q := latch.Request{Who: p, Why: strings.TrimSpace(reason), Source: source(r), ID: visitOf(r).id}
	if length != "" {
		d, err := time.ParseDuration(length)
		if err != nil || d < shortest {
			return q, &inputError{errInput, tBadFor, []string{"{max}", lengthOf(visitOf(r).lang, cmp.Or(visitOf(r).longest, e.Policy.LeaseMax))}}
		}
		q.For = d
	}
	if !utf8.ValidString(q.Why) || utf8.RuneCountInString(q.Why) > maxReason || strings.ContainsFunc(q.Why, latch.Unprintable) {
		return q, &inputError{errInput, tBadReason, []string{"{max}", fmt.Sprint(maxReason)}}
	}
	return q, nil
}

// byPerson tells a navigation by a person from a prefetch, a preview, a frame and a script's request, by what
// browsers say about themselves (Fetch Metadata Request Headers, W3C). A sign-in ends in a form that a script submits,
// which is no user activation; it is known by where it comes from.
func (h *handler) byPerson(r *http.Request) bool {
	if r.Header.Get("Sec-Fetch-Mode") != "navigate" || r.Header.Get("Sec-Fetch-Dest") != "document" ||
		r.Header.Get("Sec-Purpose") != "" || r.Header.Get("Purpose") != "" {
		return false
	}
	return r.Header.Get("Sec-Fetch-User") == "?1" || slices.Contains(h.c.SignInOrigins, originOf(r.Header.Get("Referer")))
}
