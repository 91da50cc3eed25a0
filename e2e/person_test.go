package e2e

import (
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// TestVisitOpens is the founding journey as it was: visit, sign in, it opens.
func TestVisitOpens(t *testing.T) {
	t.Parallel()
	d := start(t, append([]string{"--on-visit", "open"}, quick...)...)

	t.Run("cancel stops the countdown", func(t *testing.T) {
		p := person(t, browser.Options{Window: browser.Phone})
		_, err := p.SignIn(d.URL, d.Users[0].Username, d.Users[0].Password)
		must(t, err, "sign in")
		if err := p.Press("#cancel"); err != nil {
			t.Fatalf("no countdown after a sign-in: %v\nthe last visit was %s", err, lastVisit(p))
		}
		must(t, p.Until(`document.querySelector("#countdown").hidden`), "countdown gone")
		must(t, p.State("off"), "still off")

		// What no person does must not open, and must not even be offered the countdown.
		for what, options := range map[string]string{
			"a script's request": `{}`,
			"a prefetch":         `{headers: {"Sec-Purpose": "prefetch", Purpose: "prefetch"}}`,
		} {
			got, err := browser.Eval[bool](p, `fetch("/", `+options+`).then(r => r.text()).then(s => s.includes('id="countdown"'))`)
			must(t, err, "fetch")
			if got {
				t.Errorf("%s gets the page that counts down to opening", what)
			}
		}
		if got := associations(t, d); len(got) != 0 {
			t.Errorf("EC2 has %v, want nothing associated", got)
		}
	})

	t.Run("nobody presses anything", func(t *testing.T) {
		p := person(t, browser.Options{Language: "ko"})
		_, err := p.SignIn(d.URL, d.Users[1].Username, d.Users[1].Password)
		must(t, err, "sign in")
		if err := p.State("opening"); err != nil {
			t.Fatalf("%v\nthe last visit was %s", err, lastVisit(p))
		}
		must(t, p.State("open"), "ready")
		must(t, p.Follow("#form-done button[type=submit]"), "press I'm done")
		must(t, p.State("off"), "off")
		// The form leads back to a page that looks only, or "I'm done" would open it again.
		if there, err := p.Has("#countdown"); err != nil || there {
			t.Errorf("after I'm done the page counts down again (%v)", err)
		}
	})
}

// lastVisit is how the browser asked for its last page: what the product tells a person's visit from others by.
func lastVisit(p *browser.Person) string {
	for _, r := range slices.Backward(p.Requests()) {
		if r.Kind != "Document" {
			continue
		}
		said := r.Method + " " + r.URL
		for _, name := range []string{"sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "sec-fetch-user", "sec-purpose", "referer"} {
			said += fmt.Sprintf("\n%s: %s", name, r.Headers[name])
		}
		return said
	}
	return "none"
}

// TestTwoPeople: the first one's "I'm done" must not cut the second one off.
func TestTwoPeople(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	alice, bob := person(t, browser.Options{}), person(t, browser.Options{Window: browser.Phone})
	_, err := alice.SignIn(d.URL, d.Users[0].Username, d.Users[0].Password)
	must(t, err, "sign in the first")
	must(t, alice.Follow("#form-open button[type=submit]"), "open")
	must(t, alice.State("open"), "ready")

	_, err = bob.SignIn(d.URL, d.Users[1].Username, d.Users[1].Password)
	must(t, err, "sign in the second")
	must(t, bob.State("open"), "the second sees it ready")
	must(t, bob.Follow("#form-open button[type=submit]"), "join")
	must(t, bob.Until(`document.querySelector("#form-done")`), "the second has joined")
	// The first sees it without touching anything.
	must(t, alice.Until(`document.querySelector("#form-done").innerText.includes("1 other person still uses it")`), "the first is told of the second")

	must(t, alice.Follow("#form-done button[type=submit]"), "the first is done")
	must(t, alice.Until(`document.querySelector("h1.open") && !document.querySelector("#form-done")`), "it stays on without the first")
	if before := associations(t, d); len(before) != 1 || before[0] != "associated" {
		t.Errorf("EC2 has %v, want one association: the second still uses it", before)
	}
	must(t, bob.Until(`document.querySelector("#form-done").innerText.includes("You are the last one")`), "the second is told")
	must(t, bob.Follow("#form-done button[type=submit]"), "the second is done")
	must(t, bob.State("off"), "off")
	must(t, alice.State("off"), "off for the first too")
}

// associations are the states of what EC2 would bill.
func associations(t *testing.T, d *demo.Demo) []string {
	t.Helper()
	var state struct {
		Endpoints []struct{ Associations []struct{ Status string } }
	}
	must(t, d.Console(t.Context(), http.MethodGet, "state", nil, &state), "ask the console")
	var all []string
	for _, e := range state.Endpoints {
		for _, a := range e.Associations {
			all = append(all, a.Status)
		}
	}
	return all
}

// TestSessionExpires under an open page: the page keeps what it knew, says what happened, and leads back.
func TestSessionExpires(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	p := person(t, browser.Options{Window: browser.Phone})
	_, err := p.SignIn(d.URL, d.Users[0].Username, d.Users[0].Password)
	must(t, err, "sign in")
	must(t, p.Follow("#form-open button[type=submit]"), "open")
	must(t, p.State("open"), "ready")
	n, err := p.ForgetCookies(d.URL, "AWSELBAuthSessionCookie")
	must(t, err, "expire the session")
	if n == 0 {
		t.Fatal("the load balancer's session is in no cookie")
	}
	must(t, p.Press("#again"), "check again")
	must(t, p.Until(`document.querySelector("#expired")?.checkVisibility()`), "the page says so")
	if says, err := p.Text("#expired"); err != nil || !strings.HasPrefix(says, "Your sign-in expired. The VPN itself is not affected.") {
		t.Errorf("the page says %q (%v)", says, err)
	}
	if h, err := p.Text("h1.open"); err != nil || h != words["en"]["open"] {
		t.Errorf("the last known state is gone: %q (%v)", h, err)
	}
	// Identity Center still knows the browser, so nothing is typed.
	must(t, p.Follow("#expired a.button"), "sign in again")
	must(t, p.Until(`document.querySelector("#expired")?.hidden && document.querySelector("h1.open") && document.querySelector("#form-done")`), "back on the page, my time kept")

	t.Run("and sign out ends it", func(t *testing.T) {
		must(t, p.Follow("footer form button"), "sign out")
		must(t, p.Until(`location.pathname === "/signed-out"`), "signed-out page")
		if n, err := p.ForgetCookies(d.URL, "AWSELBAuthSessionCookie"); err != nil || n != 0 {
			t.Errorf("%d session cookies are left (%v)", n, err)
		}
		if says := p.Sees(); !strings.Contains(says, "You are signed out") {
			t.Errorf("the page says\n%s", says)
		}
	})
}

// TestCrossSite: another site's page must not spend money with a visitor's session.
func TestCrossSite(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	p := guest(t, browser.Options{})
	_, err := p.SignIn(d.URL, d.Users[0].Username, d.Users[0].Password)
	must(t, err, "sign in")
	must(t, p.State("off"), "off")

	evil := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		template.Must(template.New("").Parse(`<!doctype html><title>evil</title><link rel="icon" href="data:,">
			<form id="f" method="post" action="{{.}}endpoints/office/open"><input name="for" value="5m"><button>a prize</button></form>`)).Execute(w, d.URL)
	}))
	t.Cleanup(evil.Close)
	_, port, err := net.SplitHostPort(evil.Listener.Addr().String())
	must(t, err, "address")
	for name, host := range map[string]string{"another site": "evil.localhost", "a site that looks close": "vpn.localhost"} {
		t.Run(name, func(t *testing.T) {
			address := fmt.Sprintf("http://%s:%s/", host, port)
			must(t, p.Visit(address), "visit the other site")
			for _, path := range []string{"endpoints/office/open", "api/v1/endpoints/office/open"} {
				// A script's request, with cookies, of the kind that browsers send without asking first.
				_, err := browser.Eval[bool](p, fmt.Sprintf(`fetch(%q, {method: "POST", mode: "no-cors", credentials: "include",
					body: new URLSearchParams({for: "5m"})}).then(() => true, () => true)`, d.URL+path))
				must(t, err, "post from the other site's script")
			}
			must(t, p.Follow("#f button"), "press the other site's button")
			if says := p.Sees(); !strings.Contains(says, "Refused: this came from another site") {
				t.Errorf("the page says\n%s", says)
			}
			must(t, p.Visit(d.URL), "visit the page")
			must(t, p.State("off"), "still off")
		})
	}
}

// TestSignInRefusals: each has a sentence of its own that helps, and tells a stranger nothing.
func TestSignInRefusals(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	all, err := d.Accounts(t.Context())
	must(t, err, "accounts")
	for _, c := range []struct{ name, user, password, want string }{
		{"a wrong password", "alice", "not-my-password", "The user name or the password is not correct."},
		{"nobody's name", "mallory", "not-my-password", "The user name or the password is not correct."},
		{"a disabled account", "dave", all["dave"].Password, "Your account is disabled. Ask your help desk to enable it."},
		{"a disabled account and a wrong password", "dave", "not-my-password", "The user name or the password is not correct."},
		{"an expired password", "frank", all["frank"].Password, "Your password has expired. Change it on a computer of corp.example, or ask your help desk, then sign in again."},
		{"a password that must be changed", "grace", all["grace"].Password, "You must change your password before you can sign in here. Change it on a computer of corp.example, or ask your help desk."},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := guest(t, browser.Options{Window: browser.Phone})
			must(t, p.Visit(d.URL), "visit")
			must(t, p.Password(c.user, c.password), "send")
			says(t, p, c.want)
			if wide, err := p.Scrolls(); err != nil || wide > 0 {
				t.Errorf("the page is %d pixels wider than the window (%v)", wide, err)
			}
		})
	}
	t.Run("not assigned to the application", func(t *testing.T) {
		p := guest(t, browser.Options{})
		must(t, p.Visit(d.URL), "visit")
		must(t, p.Password("erin", all["erin"].Password), "password")
		_, err := p.Enrol()
		must(t, err, "enrol")
		says(t, p, "You do not have access to this application. Ask your administrator to assign it to you.")
	})
}

// says holds Identity Center's sentence on the page against the one that is due.
func says(t *testing.T, p *browser.Person, want string) {
	t.Helper()
	if got, err := p.Text("#error[role=alert]"); err != nil || got != want {
		t.Errorf("the page says %q (%v), want %q", got, err, want)
	}
}

// TestCodes: a wrong code, a code that was used, and the authenticator of the demo's last run.
func TestCodes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var link string
	var spent int64
	// asked leads a new browser up to the page that asks for a code.
	asked := func(t *testing.T, d *demo.Demo) *browser.Person {
		t.Helper()
		p := guest(t, browser.Options{})
		must(t, p.Visit(d.URL), "visit")
		must(t, p.Password(d.Users[0].Username, d.Users[0].Password), "password")
		must(t, p.Until(`document.querySelector("input[name=code]")`), "asked for a code")
		return p
	}
	send := func(t *testing.T, p *browser.Person, step int64) {
		t.Helper()
		code, err := browser.CodeAt(link, step)
		must(t, err, "make a code")
		must(t, p.SendCode(code), "send it")
	}
	if !t.Run("first day", func(t *testing.T) {
		d := startIn(t, dir, quick...)
		p := asked(t, d)
		var err error
		link, err = browser.Eval[string](p, `document.querySelector("#otpauth").href`)
		must(t, err, "read the link")
		send(t, p, 1) // a code of 1970
		says(t, p, "That code is not correct. Wait for the next one in your authenticator app and check that your phone's clock is right.")
		again, err := p.Enrol()
		must(t, err, "enrol")
		if again != link {
			t.Error("after a wrong code another key was shown: what the phone had scanned was for nothing")
		}
		must(t, p.Arrive(), "arrive")
		spent = p.Spent(link)

		other := asked(t, d)
		send(t, other, spent)
		says(t, other, "That code was used already. Wait for the next one.")
	}) {
		return
	}
	t.Run("next day", func(t *testing.T) {
		d := startIn(t, dir, quick...)
		p := asked(t, d)
		if there, err := p.Has("#qr"); err != nil || there {
			t.Fatalf("the demo forgot the authenticator that its last run enrolled (%v)", err)
		}
		send(t, p, max(spent+1, time.Now().Unix()/30))
		must(t, p.Arrive(), "arrive")
	})
}

// TestConsole: the demo's own page works on a phone and without surprises, and what is played there is seen here.
func TestConsole(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	desk, phone := person(t, browser.Options{}), person(t, browser.Options{Window: browser.Phone})
	must(t, desk.Visit(d.ConsoleURL), "console on a desktop")
	must(t, phone.Visit(d.ConsoleURL), "console on a phone")

	// Somebody without a phone brings the text key to the pocket authenticator.
	p := person(t, browser.Options{})
	must(t, p.Visit(d.URL), "visit")
	must(t, p.Password(d.Users[0].Username, d.Users[0].Password), "password")
	key, err := p.Text("#totp-key")
	must(t, err, "read the text key")
	must(t, desk.Type("#key", key), "type the key")
	must(t, desk.Type("#account", d.Users[0].Username), "type the account")
	must(t, desk.Press("#authenticator form:not([action$=forget]) button:not(.copy)"), "add the account")
	code, err := desk.Text("#authenticator code.otp")
	must(t, err, "read the code")
	must(t, p.SendCode(code), "send the code")
	must(t, p.Arrive(), "arrive")
	must(t, p.Follow("#form-open button[type=submit]"), "open")
	must(t, p.State("open"), "ready")

	const sentence = `document.querySelector(".endpoint .sentence [role=status]").innerText`
	must(t, desk.Until(sentence+` && document.querySelector(".endpoint [data-list=associations] li strong")?.innerText === "associated"`), "the console sees the association")
	must(t, phone.Press(".endpoint form.line button"), "connect a client from the phone")
	must(t, desk.Until(`document.querySelector(".endpoint [data-list=connections] li strong")?.checkVisibility()`), "the desktop sees the client")
	for _, who := range []*browser.Person{desk, phone} {
		if wide, err := who.Scrolls(); err != nil || wide > 0 {
			t.Errorf("the console is %d pixels wider than the window (%v)", wide, err)
		}
	}

	// What a hop's last message said, on a page of its own.
	for _, who := range []*browser.Person{desk, phone} {
		must(t, who.Follow(`[data-hop=lambda] a`), "follow the link to Lambda's last message")
		text, err := who.Text("pre")
		must(t, err, "read the message")
		if !strings.Contains(text, "/invocations") || !strings.Contains(text, "Signature=(hidden") || strings.Contains(text, "eyJ") {
			t.Errorf("the message is not decoded, or holds a token:\n%s", text)
		}
		if wide, err := who.Scrolls(); err != nil || wide > 0 {
			t.Errorf("the message is %d pixels wider than the window (%v)", wide, err)
		}
	}
}
