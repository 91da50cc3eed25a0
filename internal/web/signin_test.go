package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

// fakeSignIn carries next as a real one does, and fails as it is told to.
type fakeSignIn struct {
	next  string // what Begin was given, or what Finish returns
	to    string // of End
	err   error
	begun int
	ended int
}

func (f *fakeSignIn) Begin(w http.ResponseWriter, r *http.Request, next string) error {
	f.begun++
	if f.err != nil {
		return f.err
	}
	f.next = next
	http.Redirect(w, r, "https://cognito.localhost:8444/oauth2/authorize", http.StatusFound)
	return nil
}

func (f *fakeSignIn) Finish(http.ResponseWriter, *http.Request) (string, error) {
	return f.next, f.err
}

func (f *fakeSignIn) End(http.ResponseWriter, *http.Request) (string, error) {
	f.ended++
	return f.to, f.err
}

// oidc makes the front one that signs people in itself, with nobody signed in.
func oidc(s SignIn) func(*Config) {
	return func(c *Config) {
		c.SignIn, c.LogoutURL = s, ""
		c.Authenticate = func(*http.Request) (access.Identity, error) {
			return access.Identity{}, fmt.Errorf("cookie: %w", signin.ErrNoSession)
		}
	}
}

func TestWithoutASession(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		status             int
		next               string // that the sign-in is begun with; empty: no redirect
	}{
		"the first page":                 {"GET", "/", "", nil, 303, "/"},
		"a page":                         {"GET", "/endpoints/seoul?look", "", nil, 303, "/endpoints/seoul?look"},
		"HEAD of a page":                 {"HEAD", "/endpoints/seoul", "", nil, 303, "/endpoints/seoul"},
		"a page that is not there":       {"GET", "/endpoints/busan", "", nil, 303, "/endpoints/busan"},
		"the audit, searched":            {"GET", "/admin/audit?endpoint=seoul&person=kim", "", nil, 303, "/admin/audit?endpoint=seoul&person=kim"},
		"the administrators' page":       {"GET", "/admin", "", nil, 303, "/admin"},
		"a form":                         {"POST", "/endpoints/seoul/open", fields("for", "4h0m0s", "reason", "secret"), nil, 303, "/endpoints/seoul?look&intent=open&for=4h0m0s"},
		"a form with another spelling":   {"POST", "/endpoints/seoul/open", fields("for", "240m"), nil, 303, "/endpoints/seoul?look&intent=open&for=4h0m0s"},
		"a form without its token":       {"POST", "/endpoints/seoul/open", "for=2h0m0s", nil, 303, "/endpoints/seoul?look&intent=open&for=2h0m0s"},
		"a form with an altered length":  {"POST", "/endpoints/seoul/extend", fields("for", "x&look=//evil"), nil, 303, "/endpoints/seoul?look&intent=extend"},
		"a form of 65 KB":                {"POST", "/endpoints/seoul/extend", fields("for", "1h0m0s", "reason", strings.Repeat("x", 65<<10)), nil, 303, "/endpoints/seoul?look&intent=extend"},
		"done":                           {"POST", "/endpoints/seoul/done", fields(), nil, 303, "/endpoints/seoul?look&intent=done"},
		"an administrator's form":        {"POST", "/admin/endpoints/seoul/close", fields("for", "1h0m0s"), nil, 303, "/admin/endpoints/seoul"},
		"a form from another site":       {"POST", "/endpoints/seoul/open", fields(), []string{"Sec-Fetch-Site: cross-site"}, 403, ""},
		"the API":                        {"GET", "/api/v1/endpoints", "", nil, 401, ""},
		"the API, to change":             {"POST", "/api/v1/endpoints/seoul/open", "{}", nil, 401, ""},
		"a page nobody has":              {"GET", "/nowhere", "", nil, 404, ""},
		"a health checker's user agent":  {"GET", "/api/v1/endpoints", "", []string{"User-Agent: ELB-HealthChecker/2.0"}, 401, ""},
		"a health checker, of HTTP API":  {"GET", "/", "", []string{"User-Agent: Amazon-Route53-Health-Check-Service"}, 303, "/"},
		"a host that somebody forwarded": {"GET", "/endpoints/seoul", "", []string{"X-Forwarded-Host: evil.example", "Forwarded: host=evil.example", "X-Original-Url: /x", "X-Rewrite-Url: /x"}, 303, "/endpoints/seoul"},
	} {
		t.Run(name, func(t *testing.T) {
			k, s := &fake{view: off}, &fakeSignIn{}
			h := newHandler(t, k, oidc(s))
			w := send(h, tt.method, tt.path, tt.body, tt.header...)
			if w.Code != tt.status {
				t.Fatalf("got %d, want %d\n%s", w.Code, tt.status, w.Body)
			}
			want := ""
			if tt.next != "" {
				want = signInAt(tt.next)
			}
			if got := w.Header().Get("Location"); got != want {
				t.Fatalf("leads to %q, want %q", got, want)
			}
			if strings.Contains(fmt.Sprint(w.Header(), w.Body), "secret") {
				t.Error("a reason is in the address")
			}
			if len(k.verbs) > 0 {
				t.Error("it reached the Keeper")
			}
			if want == "" {
				return
			}
			if w := send(h, "GET", want, "", "Sec-Fetch-Site: cross-site"); w.Code != 302 || s.next != tt.next {
				t.Errorf("the sign-in begins %d with %q, want %q", w.Code, s.next, tt.next)
			}
			if w := send(h, "GET", "/oauth2/callback?code=c&state=s", "", "Sec-Fetch-Site: cross-site"); w.Code != 303 || w.Header().Get("Location") != tt.next {
				t.Errorf("and comes back %d to %q, want %q", w.Code, w.Header().Get("Location"), tt.next)
			} else if got := w.Header().Get("Referrer-Policy"); got != "strict-origin" {
				t.Errorf("with Referrer-Policy %s the next page does not know that somebody has just signed in", got)
			}
		})
	}
}

// TestNext: whatever somebody puts into a link, the sign-in ends on a page of ours.
func TestNext(t *testing.T) {
	for _, s := range []string{"/", "/?look", "/?lang=ko", "/endpoints/seoul", "/endpoints/seoul?look&intent=open&for=1h0m0s", "/endpoints/seoul/open", "/admin", "/admin/endpoints/a-1", "/admin/audit?person=%EA%B9%80"} {
		if got := localPath(s); got != s {
			t.Errorf("%q became %q", s, got)
		}
	}
	for _, s := range notOurs {
		if got := localPath(s); got != "/" {
			t.Errorf("%q became %q, want /", s, got)
		}
		s := s
		f := &fakeSignIn{}
		h := newHandler(t, &fake{view: off}, oidc(f))
		if w := send(h, "GET", signInAt(s), ""); w.Code != 302 || f.next != "/" {
			t.Errorf("the sign-in begins %d with %q", w.Code, f.next)
		}
		f.next = s // as if a cookie could be forged
		if w := send(h, "GET", "/oauth2/callback", ""); w.Header().Get("Location") != "/" {
			t.Errorf("the sign-in with next %q ends at %q", s, w.Header().Get("Location"))
		}
	}
}

var notOurs = []string{
	"", "x", "endpoints/seoul", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example", "/\n/evil.example", "\t//evil.example", " /", "/ ",
	"https://evil.example", "https:/evil.example", "https:evil.example", "javascript:alert(1)", "//evil.example/endpoints/seoul", "/endpoints/seoul@evil.example",
	"/endpoints/../../evil", "/endpoints/seoul/../..//evil.example", "/endpoints/%2e%2e", "/%2f/evil.example", "/%5cevil.example", "/endpoints/seoul%0d%0aSet-Cookie:x", "/endpoints/seoul\r\nSet-Cookie: x",
	"/sign-in", "/sign-in?next=/", "/sign-out", "/oauth2/callback", "/oauth2/callback?code=x", "/signed-out", "/api/v1/endpoints", "/static/x", "/nowhere", "/endpoints/Seoul", "/endpoints/", "/endpoints/seoul/close", "/admin/", "/admin/endpoints/seoul/end",
	"/#//evil.example", "/endpoints/seoul#x", "/é", "/?\x00", "/?\x7f", "/?" + strings.Repeat("x", nextMax),
}

func FuzzNext(f *testing.F) {
	for _, s := range append([]string{"/", "/endpoints/seoul?look&intent=open", "/admin/audit?from=2026-11-22", "/?%zz"}, notOurs...) {
		f.Add(s)
	}
	ours, err := url.Parse(origin + "/sign-in?next=x")
	if err != nil {
		f.Fatal(err)
	}
	h := newHandler(f, &fake{view: off}, oidc(&fakeSignIn{})).(*handler)
	f.Fuzz(func(t *testing.T, s string) {
		got := localPath(s)
		if got != localPath(got) {
			t.Fatalf("%q became %q, which becomes %q", s, got, localPath(got))
		}
		if got != "/" && !strings.HasPrefix(s, got) {
			t.Fatalf("%q became %q, which is no part of it", s, got)
		}
		if len(got) > nextMax || !strings.HasPrefix(got, "/") || strings.HasPrefix(got, "//") || strings.ContainsAny(got, "\\#\r\n\t ") {
			t.Fatalf("%q became %q", s, got)
		}
		u, err := ours.Parse(got) // as a browser resolves Location (RFC 9110 section 10.2.2)
		if err != nil || u.Host != ours.Host || u.Scheme != "https" || u.User != nil {
			t.Fatalf("%q leads to %v %v", s, u, err)
		}
		if _, pattern := h.mux.Handler(&http.Request{Method: "GET", URL: u, Host: u.Host}); !strings.HasPrefix(pattern, "GET /") || strings.Contains(pattern, "sign") || strings.Contains(pattern, "oauth2") || strings.Contains(pattern, "api") {
			t.Fatalf("%q became %q, which %q serves", s, got, pattern)
		}
	})
}

func TestSignInErrors(t *testing.T) {
	for name, tt := range map[string]struct {
		path   string
		err    error
		status int
		title  string
		broken bool
	}{
		"an answer to nobody's question":     {"/oauth2/callback?code=x&state=y", fmt.Errorf("%w: no cookie", signin.ErrFlow), 400, "This sign-in cannot be finished", false},
		"a token that is refused":            {"/oauth2/callback?code=x&state=y", signin.ErrToken, 401, "Your sign-in was not accepted", false},
		"the issuer is away":                 {"/oauth2/callback?code=x&state=y", signin.ErrIssuer, 503, "Nobody can sign in now", true},
		"the issuer is away at the start":    {"/sign-in?next=/endpoints/seoul", signin.ErrIssuer, 503, "Nobody can sign in now", true},
		"something nobody thought of":        {"/oauth2/callback", errors.New("inside"), 500, "Something went wrong", false},
		"something nobody thought of before": {"/sign-in", errors.New("inside"), 500, "Something went wrong", false},
	} {
		t.Run(name, func(t *testing.T) {
			var broken []error
			w := send(newHandler(t, &fake{view: off}, oidc(&fakeSignIn{err: tt.err, next: "/endpoints/seoul"}), func(c *Config) {
				c.SignInBroken = func(_ context.Context, err error) { broken = append(broken, err) }
			}), "GET", tt.path, "")
			if told := len(broken) == 1 && errors.Is(broken[0], tt.err); told != tt.broken || len(broken) > 1 {
				t.Errorf("told of %v, want %t", broken, tt.broken)
			}
			body := w.Body.String()
			if w.Code != tt.status || !strings.Contains(body, tt.title) || strings.Contains(body, "inside") {
				t.Errorf("got %d, want %d %s\n%s", w.Code, tt.status, tt.title, body)
			}
			next := "%2F"
			if strings.Contains(tt.path, "next") || strings.Contains(tt.path, "callback") {
				next = "%2Fendpoints%2Fseoul"
			}
			if want := `<a class="button" href="/sign-in?next=` + next + `">Start again</a>`; !strings.Contains(body, want) {
				t.Errorf("no way to start again: %s\n%s", want, body)
			}
		})
	}
}

// Behind a load balancer the sign-in is checked with each request.
func TestBrokenSignIns(t *testing.T) {
	for name, tt := range map[string]struct {
		authenticate error
		down         string // method of the store
		broken       bool
	}{
		"signed in":               {nil, "", false},
		"no token":                {signin.ErrNoToken, "", false},
		"an expired token":        {fmt.Errorf("%w: header: expired", signin.ErrToken), "", false},
		"no session":              {signin.ErrNoSession, "", false},
		"somebody who may not":    {ErrForbidden, "", false},
		"no key":                  {fmt.Errorf("%w: status 500", signin.ErrKeyServer), "", true},
		"sessions cannot be read": {fmt.Errorf("session: %w", latch.ErrUnavailable), "", true},
		"blocks cannot be read":   {nil, "Blocked", true},
	} {
		t.Run(name, func(t *testing.T) {
			var broken []error
			h := newHandler(t, &fake{view: off}, func(c *Config) {
				authenticate := c.Authenticate
				c.Authenticate = func(r *http.Request) (access.Identity, error) {
					if tt.authenticate != nil {
						return access.Identity{}, tt.authenticate
					}
					return authenticate(r)
				}
				c.People = &fakePeople{down: map[string]bool{tt.down: true}}
				c.SignInBroken = func(_ context.Context, err error) { broken = append(broken, err) }
			})
			send(h, "GET", "/endpoints/seoul?look", "")
			if len(broken) > 1 || (len(broken) == 1) != tt.broken {
				t.Errorf("told of %v, want %t", broken, tt.broken)
			}
		})
	}
}

func TestSignInTakesOnlyGET(t *testing.T) {
	s := &fakeSignIn{}
	h := newHandler(t, &fake{view: off}, oidc(s))
	for _, path := range []string{"/sign-in", "/oauth2/callback?code=x"} {
		for _, method := range []string{"HEAD", "POST", "PUT"} {
			if w := send(h, method, path, ""); w.Code != 405 || !strings.Contains(w.Header().Get("Allow"), "GET") || s.begun > 0 {
				t.Errorf("%s %s: got %d, Allow %q: a link checker must not use up a sign-in", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
	}
	// Behind a load balancer there is no such thing.
	h = newHandler(t, &fake{view: off})
	for _, path := range []string{"/sign-in", "/oauth2/callback", "/signed-out"} {
		if w := send(h, "GET", path, ""); w.Code != 404 {
			t.Errorf("%s behind a load balancer: got %d", path, w.Code)
		}
	}
}

func TestSigningOutAtTheIssuer(t *testing.T) {
	const end = "https://cognito.localhost:8444/logout?client_id=abc"
	for name, tt := range map[string]struct {
		to     string
		err    error
		header []string
		status int
		want   string
		ended  int
	}{
		"ends here and there":               {to: end, status: 303, want: end, ended: 1},
		"the issuer has no such page":       {status: 303, want: "/signed-out", ended: 1},
		"nobody was signed in":              {err: signin.ErrNoSession, status: 303, want: "/signed-out", ended: 1},
		"never anywhere that is no address": {to: "//evil.example", status: 303, want: "/signed-out", ended: 1},
		"the store is away":                 {to: end, err: errDown, status: 503, ended: 1},
		"from another site":                 {to: end, header: []string{"Sec-Fetch-Site: cross-site"}, status: 403},
		"without the form's token":          {to: end, header: []string{"Cookie:"}, status: 403},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeSignIn{to: tt.to, err: tt.err}
			w := send(newHandler(t, &fake{view: off}, oidc(s)), "POST", "/sign-out", fields(), tt.header...)
			if w.Code != tt.status || w.Header().Get("Location") != tt.want || s.ended != tt.ended {
				t.Errorf("got %d to %q, ended %d times; want %d to %q", w.Code, w.Header().Get("Location"), s.ended, tt.status, tt.want)
			}
			if got := w.Header().Get("Clear-Site-Data"); (got == `"storage"`) != (tt.ended > 0) {
				t.Errorf("Clear-Site-Data %q", got)
			}
		})
	}
	w := send(newHandler(t, &fake{view: off}, oidc(&fakeSignIn{})), "GET", "/signed-out", "", "Cookie:")
	if body := w.Body.String(); w.Code != 200 || !strings.Contains(body, `href="/sign-in?next=%2F"`) || strings.Contains(body, "<form") || len(w.Result().Cookies()) > 0 || strings.Contains(body, "seoul") {
		t.Errorf("got %d\n%s", w.Code, body)
	}
}

// TestIntent: what a sign-in interrupted stands on the page, chosen, and nothing happens until somebody presses.
func TestIntent(t *testing.T) {
	held := open
	held.Mine.Subject, held.Mine.Until = alice.Subject, t0.AddDate(100, 0, 0)
	for name, tt := range map[string]struct {
		path   string
		mine   bool
		notice string // empty: none
		chosen string
	}{
		"opening":                            {"/endpoints/seoul?look&intent=open", false, "You were about to turn it on", `value="2h0m0s" checked`},
		"opening, for so long":               {"/endpoints/seoul?look&intent=open&for=8h0m0s", false, "You were about to turn it on", `value="8h0m0s" checked`},
		"opening, for what is not on offer":  {"/endpoints/seoul?look&intent=open&for=9h0m0s", false, "You were about to turn it on", `value="2h0m0s" checked`},
		"ending":                             {"/endpoints/seoul?look&intent=done", true, "You were about to end", ""},
		"opening, but they have it already":  {"/endpoints/seoul?look&intent=open", true, "", ""},
		"extending, but they have none":      {"/endpoints/seoul?look&intent=extend", false, "", `value="2h0m0s" checked`},
		"something else":                     {"/endpoints/seoul?look&intent=close", false, "", `value="2h0m0s" checked`},
		"markup":                             {"/endpoints/seoul?look&intent=open&for=%22%3E%3Cscript%3E", false, "You were about to turn it on", `value="2h0m0s" checked`},
		"a length without an intent":         {"/endpoints/seoul?look&for=8h0m0s", false, "", `value="2h0m0s" checked`},
		"on_visit does not act on it either": {"/endpoints/seoul?intent=open", false, "You were about to turn it on", ""},
	} {
		t.Run(name, func(t *testing.T) {
			k := &fake{view: off}
			if tt.mine {
				k.view = held
			}
			h := newHandler(t, k, func(c *Config) { c.Endpoints[0].Policy.OnVisit = latch.VisitOpens })
			// A load balancer's GET leads to the page; the page keeps the intent while it watches.
			body := send(h, "GET", tt.path, "", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1").Body.String()
			if got := strings.Contains(body, `id="intent"`); got != (tt.notice != "") || !strings.Contains(body, tt.notice) || !strings.Contains(body, tt.chosen) {
				t.Errorf("notice %v\n%s", got, body)
			}
			if tt.notice != "" && !strings.Contains(body, "nothing has been done") {
				t.Error("it does not say that nothing has been done")
			}
			if len(k.verbs) > 0 || strings.Contains(body, "<script>") || tt.notice != "" && strings.Contains(body, `id="countdown"`) {
				t.Errorf("it acted: %v\n%s", k.verbs, body)
			}
		})
	}
}

// TestAnotherSiteBeginsASignIn where a visit opens: it leads back to a page that only looks.
func TestAnotherSiteBeginsASignIn(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		next   string
	}{
		"somebody's own visit":                 {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1"}, "/endpoints/seoul"},
		"another site's script":                {[]string{"Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site", "Referer: https://evil.example/"}, "/endpoints/seoul?look"},
		"a browser that does not say who asks": {nil, "/endpoints/seoul?look"},
	} {
		t.Run(name, func(t *testing.T) {
			s := &fakeSignIn{}
			h := newHandler(t, &fake{view: off}, oidc(s), func(c *Config) { c.Endpoints[0].Policy.OnVisit = latch.VisitOpens })
			if send(h, "GET", signInAt("/endpoints/seoul"), "", tt.header...); s.next != tt.next {
				t.Errorf("leads back to %q, want %q", s.next, tt.next)
			}
		})
	}
}
