package cognito

import (
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// turn flips a switch as the demo's console does.
func (w *world) turn(name string, on bool) {
	w.t.Helper()
	for _, s := range w.srv.Switches() {
		if s.Name == name {
			s.Set(on)
			return
		}
	}
	w.t.Fatalf("no switch %s", name)
}

func TestEveryUnconfirmedFactHasASwitch(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Unconfirmed.NoSkew = true })
	facts := reflect.TypeFor[Unconfirmed]()
	list := w.srv.Switches()
	if len(list) != facts.NumField() {
		t.Fatalf("got %d switches, want %d: one for each field of Unconfirmed", len(list), facts.NumField())
	}
	for i, s := range list {
		value := func() bool { return reflect.ValueOf(w.srv.unconfirmed()).Field(i).Bool() }
		if s.Name != facts.Field(i).Name || !strings.HasSuffix(s.About, ".") {
			t.Errorf("got %q, %q; want the name %s and a sentence", s.Name, s.About, facts.Field(i).Name)
		}
		if s.On() != value() || s.On() != (s.Name == "NoSkew") {
			t.Errorf("%s: got %v at the start, want what the configuration says", s.Name, s.On())
		}
		s.Set(!s.On())
		if s.On() != value() || s.On() == (s.Name == "NoSkew") {
			t.Errorf("%s: got %v after it was flipped", s.Name, s.On())
		}
	}
}

func TestVerifiedFlagsInUserInfo(t *testing.T) {
	w := newWorld(t, nil)
	_, tokens := w.redeem(w.signIn(w.browser(), w.authorizeURL(nil)))
	for on, want := range map[bool]any{false: "false", true: false} {
		w.turn("VerifiedIsBoolean", on)
		if _, info := w.userInfo(tokens["access_token"].(string)); info["email_verified"] != want || info["email"] != "alice@corp.example" {
			t.Errorf("VerifiedIsBoolean %v: got %v, want email_verified %#v", on, info, want)
		}
	}
}

func TestAttributesWithSeveralValues(t *testing.T) {
	plain := func(w *world) {}
	asJSON := func(w *world) { w.turn("ListsAreJSON", true) }
	encoded := func(w *world) { w.turn("ListsAreEncoded", true) }
	for name, c := range map[string]struct {
		turn   func(*world)
		values []string
		want   string
	}{
		"two groups, in brackets":                               {plain, []string{"VPN Users", "Engineering"}, "[VPN Users, Engineering]"},
		"one group, as it is":                                   {plain, []string{"VPN Users"}, "VPN Users"},
		"ListsAreJSON, two groups":                              {asJSON, []string{"VPN Users", `En"g`}, `["VPN Users","En\"g"]`},
		"ListsAreJSON, one group":                               {asJSON, []string{"VPN Users"}, "VPN Users"},
		"ListsAreEncoded, two groups":                           {encoded, []string{"VPN Users", "Engineering"}, "[VPN+Users, Engineering]"},
		"ListsAreEncoded, Identity Center's groups of AD":       {encoded, []string{"corp.example//S-1-5-21-1", "a*b_c.d-e~é"}, "[corp.example%2F%2FS-1-5-21-1, a*b_c.d-e%7E%C3%A9]"},
		"ListsAreEncoded, one group":                            {encoded, []string{"VPN Users"}, "VPN Users"},
		"ListsAreEncoded, the values that people have reported": {encoded, []string{"test-group-two", "test-group-one"}, "[test-group-two, test-group-one]"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, nil)
			c.turn(w)
			b := w.browser()
			req, relay := w.begin(b, w.authorizeURL(nil))
			_, tokens := w.redeem(w.code(w.answer(b, relay, w.idp.respond(t, req, func(d *draft) {
				d.assertion.AttributeStatements[0].Attributes[1] = attribute("Groups", c.values...)
			}))))
			if _, info := w.userInfo(tokens["access_token"].(string)); info["custom:groups"] != c.want {
				t.Errorf("got %q, want %q", info["custom:groups"], c.want)
			}
		})
	}
}

func TestSignInPage(t *testing.T) {
	w := newWorld(t, nil)
	unnamed := w.authorizeURL(func(v url.Values) {
		v.Del("identity_provider")
		v.Set("nonce", `"><script>`)
	})
	login := strings.Replace(unnamed, "/oauth2/authorize", "/login", 1)
	for _, u := range []string{unnamed, login} {
		w.begin(w.browser(), u) // to the provider at once
	}

	w.turn("SignInPage", true)
	b := w.browser()
	w.begin(b, w.authorizeURL(nil)) // whoever names the provider sees no page
	res := w.get(b, unnamed)
	if got := res.Header.Get("Location"); res.StatusCode != http.StatusFound || got != login {
		t.Fatalf("got %d to %s, want %s with the same parameters", res.StatusCode, got, login)
	}
	res = w.get(b, login)
	page := body(t, res)
	_, after, _ := strings.Cut(page, `<a id="provider" href="`)
	href, text, _ := strings.Cut(after, `">`)
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(text, "Continue with IdentityCenter</a>") || strings.Contains(page, "<script>") {
		t.Fatalf("got %d %s, want a page with one button", res.StatusCode, page)
	}
	if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("got the policy %q, want a page that nobody frames", csp)
	}
	req, relay := w.begin(b, pool+strings.ReplaceAll(href, "&amp;", "&"))
	_, tokens := w.redeem(w.code(w.answer(b, relay, w.idp.respond(t, req, nil))))
	if got := claimsOf(t, tokens["id_token"].(string))["nonce"]; got != `"><script>` {
		t.Errorf("got nonce %q, want what the app had sent before the page", got)
	}
	w.code(w.get(b, unnamed)) // signed in: no page
	if res := w.get(w.browser(), strings.Replace(login, url.QueryEscape(callback), "https%3A%2F%2Fevil.example", 1)); res.StatusCode != http.StatusBadRequest {
		t.Errorf("/login with a foreign redirect_uri: got %d, want 400: it checks what authorize checks", res.StatusCode)
	}
}

func TestSessionOfThePool(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	w.signIn(b, w.authorizeURL(nil))
	w.code(w.get(b, w.authorizeURL(nil))) // nobody is asked again …
	w.turn("AlwaysAsksProvider", true)
	w.begin(b, w.authorizeURL(nil)) // … or the provider is, when it is named
	w.code(w.get(b, w.authorizeURL(func(v url.Values) { v.Del("identity_provider") })))
}

func TestReuseOfACodeMayBeHarmless(t *testing.T) {
	w := newWorld(t, nil)
	w.turn("ReuseIsHarmless", true)
	code := w.signIn(w.browser(), w.authorizeURL(nil))
	_, first := w.redeem(code)
	if status, second := w.redeem(code); status != 400 || second["error"] != "invalid_grant" {
		t.Errorf("second use: got %d %v, want 400 invalid_grant", status, second)
	}
	if status, _ := w.userInfo(first["access_token"].(string)); status != 200 {
		t.Errorf("userInfo with what the first use gave: got %d, want 200", status)
	}
	if status, _ := w.post("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first["refresh_token"].(string)}}); status != 200 {
		t.Errorf("refresh with what the first use gave: got %d, want 200", status)
	}
}

func TestRefusedLogout(t *testing.T) {
	w := newWorld(t, nil)
	b := w.browser()
	w.signIn(b, w.authorizeURL(nil))
	refused := pool + "/logout?client_id=" + w.srv.ClientID() + "&logout_uri=https%3A%2F%2Fevil.example%2F"
	if page := body(t, w.get(b, refused)); !w.signedIn(b) || !strings.Contains(page, "You are still signed in") {
		t.Errorf("got signed in %v and %s, want the session untouched, and the page to say so", w.signedIn(b), page)
	}
	w.turn("RefusedLogoutSignsOut", true)
	if page := body(t, w.get(b, refused)); w.signedIn(b) || !strings.Contains(page, "You are signed out") {
		t.Errorf("got signed in %v and %s, want the session ended, and the page to say so", w.signedIn(b), page)
	}
	w.begin(b, w.authorizeURL(nil))
}

func TestSkew(t *testing.T) {
	for name, c := range map[string]struct {
		noSkew bool
		edit   func(*draft)
		want   string // in the refusal
	}{
		"begins in a minute":              {false, func(d *draft) { d.assertion.Conditions.NotBefore = time.Now().Add(time.Minute) }, ""},
		"begins in a minute and a second": {false, func(d *draft) { d.assertion.Conditions.NotBefore = time.Now().Add(61 * time.Second) }, "not valid yet"},
		"ended 59 seconds ago":            {false, func(d *draft) { d.assertion.Conditions.NotOnOrAfter = time.Now().Add(-59 * time.Second) }, ""},
		"ended a minute ago":              {false, func(d *draft) { d.assertion.Conditions.NotOnOrAfter = time.Now().Add(-time.Minute) }, "expired"},
		"NoSkew, begins now":              {true, func(d *draft) { d.assertion.Conditions.NotBefore = time.Now() }, ""},
		"NoSkew, begins in a second":      {true, func(d *draft) { d.assertion.Conditions.NotBefore = time.Now().Add(time.Second) }, "not valid yet"},
		"NoSkew, ends in a second":        {true, func(d *draft) { d.assertion.Conditions.NotOnOrAfter = time.Now().Add(time.Second) }, ""},
		"NoSkew, ends now":                {true, func(d *draft) { d.assertion.Conditions.NotOnOrAfter = time.Now() }, "expired"},
		"NoSkew, the confirmation ends now": {true, func(d *draft) {
			d.assertion.Subject.SubjectConfirmations[0].SubjectConfirmationData.NotOnOrAfter = time.Now()
		}, "expired"},
		"NoSkew, the provider's session ended now": {true, func(d *draft) { now := time.Now(); d.assertion.AuthnStatements[0].SessionNotOnOrAfter = &now }, "session has expired"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // where the time between the provider and the pool is none
				w := newWorld(t, nil)
				w.turn("NoSkew", c.noSkew)
				b := w.browser()
				req, relay := w.begin(b, w.authorizeURL(nil))
				to := must(w.answer(b, relay, w.idp.respond(t, req, c.edit)).Location()).Query()
				if got := to.Get("error_description"); to.Has("code") != (c.want == "") || !strings.Contains(got, c.want) {
					t.Errorf("got %v, want a refusal that says %q, or a code if that is empty", to, c.want)
				}
			})
		})
	}
}

// TestAClockThatIsWrong: a pool whose clock is slow takes a fresh assertion for one from the future.
func TestAClockThatIsWrong(t *testing.T) {
	var clock switches.Clock
	w := newWorld(t, func(c *Config) { c.Clock = &clock })
	if to := w.told(nil); !to.Has("code") {
		t.Fatalf("by a right clock: %v", to)
	}
	clock.Put(-10 * time.Minute)
	if got := w.told(nil).Get("error_description"); !strings.Contains(got, "not valid yet") {
		t.Errorf("ten minutes slow: %q, want a refusal of an assertion that is not valid yet", got)
	}
}
