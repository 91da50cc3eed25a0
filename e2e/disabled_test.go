package e2e

import (
	"net/http"
	"testing"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// TestAccountDisabled: an administrator disables accounts mid-way. What is open stays for as long as was promised, and
// nobody whose account it is comes in again.
func TestAccountDisabled(t *testing.T) {
	t.Parallel()
	d := start(t, quick...)
	const (
		changed  = "You were signed out because your account changed. Sign in again."
		disabled = "Your account is disabled. Ask your help desk to enable it."
	)
	// refused tries the right password and a wrong one, in whatever the browser shows, which asks for one.
	refused := func(t *testing.T, p *browser.Person, u demo.User) {
		t.Helper()
		must(t, p.Password(u.Username, u.Password), "password")
		says(t, p, disabled)
		must(t, p.Password(u.Username, "not-my-password"), "wrong password")
		says(t, p, notCorrect) // as for nobody's name
	}
	alice, bob := guest(t, browser.Options{Window: browser.Phone}), guest(t, browser.Options{})
	for i, p := range []*browser.Person{alice, bob} {
		_, err := p.SignIn(d.URL, d.Users[i].Username, d.Users[i].Password)
		must(t, err, "sign in %s", d.Users[i].Username)
	}
	carol := guest(t, browser.Options{})
	must(t, carol.Visit(d.URL), "visit")
	must(t, carol.Password(d.Users[2].Username, d.Users[2].Password), "password")
	must(t, carol.Until(`document.querySelector("#qr")?.complete`), "asked to enrol")

	// Long enough for what happens while it lasts.
	status, err := browser.Eval[int](alice, `fetch(document.querySelector("main").dataset.api + "/open", {method: "POST",
		headers: {"Content-Type": "application/json"}, body: '{"for": "20s"}'}).then(r => r.status)`)
	if err != nil || status != http.StatusAccepted {
		t.Fatalf("open: %d, %v", status, err)
	}
	must(t, alice.Visit(d.URL), "look")
	must(t, alice.State("open"), "ready")
	var client struct{ ID string }
	must(t, d.Console(t.Context(), http.MethodPost, "clients", map[string]string{"endpoint": d.EndpointID, "user": d.Users[0].Username}, &client), "connect")

	for _, u := range d.Users[:3] {
		must(t, d.Console(t.Context(), http.MethodPost, "breaks/account-"+u.Username, map[string]bool{"on": true}, nil), "disable %s", u.Username)
	}
	must(t, d.Console(t.Context(), http.MethodPost, "chores/sync", struct{}{}, nil), "let Identity Center know")
	if got := connections(t, d); len(got) != 1 || got[0] != "active" {
		t.Errorf("after the account was disabled EC2 has connections %v, want one, active", got)
	}
	if got := associations(t, d); len(got) != 1 || got[0] != "associated" {
		t.Errorf("after the account was disabled EC2 has associations %v, want one, associated", got)
	}

	t.Run("the page goes on for as long as the session", func(t *testing.T) {
		must(t, alice.Visit(d.URL), "look again")
		must(t, alice.State("open"), "still open")
		if there, err := alice.Has("#form-done"); err != nil || !there {
			t.Errorf("my time is gone from the page (%v)", err)
		}
	})
	t.Run("between the password and the code", func(t *testing.T) {
		_, err := carol.Enrol()
		must(t, err, "enrol")
		says(t, carol, changed)
		if there, err := carol.Has("form#saml"); err != nil || there {
			t.Errorf("Identity Center gives an assertion (%v)", err)
		}
		refused(t, carol, d.Users[2])
	})
	t.Run("a new browser", func(t *testing.T) {
		p := guest(t, browser.Options{})
		must(t, p.Visit(d.URL), "visit")
		refused(t, p, d.Users[0])
	})
	t.Run("after signing out", func(t *testing.T) {
		must(t, bob.Follow("footer form button"), "sign out")
		must(t, bob.Until(`location.pathname === "/signed-out"`), "signed-out page")
		must(t, bob.Visit(d.URL), "visit")
		says(t, bob, changed)
		refused(t, bob, d.Users[1])
	})
	t.Run("to the end of the lease", func(t *testing.T) {
		must(t, alice.State("off"), "off at the end")
		if got := connections(t, d); len(got) != 0 {
			t.Errorf("EC2 still has connections %v", got)
		}
	})
	t.Run("after the session", func(t *testing.T) {
		// The load balancer's and the user pool's sessions end by themselves, Identity Center's is still there.
		for address, cookie := range map[string]string{d.URL: "AWSELBAuthSessionCookie", thePool(t, d).Domain: "cognito"} {
			if n, err := alice.ForgetCookies(address, cookie); err != nil || n == 0 {
				t.Fatalf("no cookie %s at %s (%v)", cookie, address, err)
			}
		}
		must(t, alice.Visit(d.URL), "visit")
		says(t, alice, changed)
		refused(t, alice, d.Users[0])
	})
}

// connections are the states of what VPN clients have, as EC2 knows it.
func connections(t *testing.T, d *demo.Demo) []string {
	t.Helper()
	var state struct {
		Endpoints []struct{ Connections []struct{ Status string } }
	}
	must(t, d.Console(t.Context(), http.MethodGet, "state", nil, &state), "ask the console")
	var all []string
	for _, e := range state.Endpoints {
		for _, c := range e.Connections {
			all = append(all, c.Status)
		}
	}
	return all
}
