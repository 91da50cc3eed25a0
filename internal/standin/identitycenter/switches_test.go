package identitycenter_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/crewjam/saml"

	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
)

func (c *chain) flip(name string, on bool) {
	c.t.Helper()
	for _, s := range c.idc.Switches() {
		if s.Name == name {
			if s.Set(on); s.On() != on {
				c.t.Fatalf("%s does not keep %v", name, on)
			}
			return
		}
	}
	c.t.Fatalf("no switch %s", name)
}

func TestSwitches(t *testing.T) {
	c := newChain(t)
	seen := map[string]bool{}
	for _, s := range c.idc.Switches() {
		if seen[s.Name] || s.On() || !strings.HasSuffix(s.About, ".") {
			t.Errorf("%s: want each once, off, with a sentence; it is on: %v, and says %q", s.Name, s.On(), s.About)
		}
		seen[s.Name] = true
	}
	c.remake(func(cfg *identitycenter.Config) { cfg.Unconfirmed.RequestsRepeat = true })
	for _, s := range c.idc.Switches() {
		if s.On() != (s.Name == "RequestsRepeat") {
			t.Errorf("%s, configured: got %v", s.Name, s.On())
		}
	}
}

// Each subtest meets a fact from both sides.
func TestUnconfirmedFacts(t *testing.T) {
	begin := func(t *testing.T) (*chain, *browser, string, int64) {
		t.Helper()
		c := newChain(t)
		b := c.browser()
		_, address := c.request()
		_, key, step := b.enrol(address, "alice")
		return c, b, key, step
	}
	visit := func(c *chain, b *browser) *shown {
		c.t.Helper()
		_, address := c.request()
		return b.get(address)
	}
	right := []string{"username", "alice", "password", "alice-Passw0rd"}

	t.Run("ForceAuthnIgnored", func(t *testing.T) {
		c, b, _, _ := begin(t)
		c.sp.ForceAuthn = new(true)
		visit(c, b).want(200, "Password")
		c.flip("ForceAuthnIgnored", true)
		id, address := c.request()
		if _, err := c.accept(b.get(address), id); err != nil {
			t.Error(err)
		}
	})
	t.Run("RequestsRepeat", func(t *testing.T) {
		c, b, _, _ := begin(t)
		id, address := c.request()
		b.get(address).want(200, "You are signed in")
		b.get(address).want(400, "was used before")
		c.flip("RequestsRepeat", true)
		for range 2 {
			if _, err := c.accept(b.get(address), id); err != nil {
				t.Error(err)
			}
		}
		c.browser().get(address).want(200, "Password")
		c.flip("RequestsRepeat", false)
		b.get(address).want(400, "was used before")
	})
	t.Run("SessionsOutlive", func(t *testing.T) {
		c, b, _, _ := begin(t)
		c.flip("SessionsOutlive", true)
		if err := c.directory.SetDisabled("alice", true); err != nil {
			t.Fatal(err)
		}
		c.sync()
		visit(c, b).want(200, "You are signed in")
		c.signIn("alice", "alice-Passw0rd").want(403, "Your account is disabled") // only what lives, lives on
		if err := c.directory.SetMember("Engineering", "alice", false); err != nil {
			t.Fatal(err)
		}
		c.sync()
		visit(c, b).want(403, "You do not have access")
		c.flip("SessionsOutlive", false)
		visit(c, b).want(403, "your account changed")
	})
	t.Run("ContextAware", func(t *testing.T) {
		c, b, key, step := begin(t)
		signOut := func(b *browser) {
			b.submit(b.get(c.web.URL).want(200, "Signed in as")).want(200, "You are not signed in")
		}
		signOut(b)
		p := b.submit(visit(c, b), right...).want(200, "Enter your code")
		if p.Find("input[name=trust]").Length() != 0 {
			t.Error("always-on offers to trust the browser")
		}
		c.flip("ContextAware", true)
		p = b.get(p.url.String()).want(200, "This is a trusted device")
		b.submit(p, "code", codeAt(t, key, step+1)).want(200, "You are signed in")
		signOut(b)
		b.submit(visit(c, b), right...).want(200, "Enter your code") // the box was not ticked

		// Once more, with a person who enrols and ticks it.
		if err := c.idc.ResetMFA("alice"); err != nil {
			t.Fatal(err)
		}
		p = b.submit(visit(c, b), right...).want(200, "Register your authenticator")
		key, step = p.Find("#totp-key").Text(), time.Now().Unix()/30
		b.submit(p, "code", codeAt(t, key, step+100), "trust", "on").want(403, "not correct")
		b.submit(p, "code", codeAt(t, key, step), "trust", "on").want(200, "You are signed in")
		signOut(b)
		id, address := c.request()
		if _, err := c.accept(b.submit(b.get(address), right...), id); err != nil {
			t.Errorf("a trusted browser: %v", err)
		}
		signOut(b)
		b.submit(visit(c, b), "username", "alice", "password", "wrong").want(403, notCorrect)
		_, address = c.request()
		c.browser().enrol(address, "bob")
		b.submit(visit(c, b), "username", "bob", "password", "bob-Passw0rd").want(200, "Enter your code") // another person
		other := c.browser()
		other.submit(visit(c, other), right...).want(200, "Enter your code")

		c.remake(func(cfg *identitycenter.Config) { cfg.Unconfirmed.ContextAware = true }) // the trust outlives a restart
		b.submit(visit(c, b), right...).want(200, "You are signed in")
		signOut(b)
		c.flip("ContextAware", false)
		b.submit(visit(c, b), right...).want(200, "Enter your code")
		c.flip("ContextAware", true)
		if err := c.idc.ResetMFA("alice"); err != nil {
			t.Fatal(err)
		}
		p = b.submit(visit(c, b), right...).want(200, "Register your authenticator")
		b.submit(p, "code", codeAt(t, p.Find("#totp-key").Text(), step+1)).want(200, "You are signed in")
		signOut(b)
		b.submit(visit(c, b), right...).want(200, "Enter your code") // the operator's reset ended the trust
	})
	t.Run("the trust has an end", func(t *testing.T) {
		c, clock := newClockedChain(t)
		c.flip("ContextAware", true)
		b := c.browser()
		p := b.submit(visit(c, b), right...)
		key := p.Find("#totp-key").Text()
		b.submit(p, "code", codeAt(t, key, stepAt(0)), "trust", "on").want(200, "You are signed in")
		again := func(id string, ahead time.Duration) *shown {
			clock.Put(ahead)
			raw := c.authnRequest(id, time.Now().Add(ahead))
			return b.submit(b.get(c.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding)+"?SAMLRequest="+url.QueryEscape(encode(raw))), right...)
		}
		again("_1", 30*24*time.Hour-time.Minute).want(200, "You are signed in")
		b.submit(b.get(c.web.URL))
		again("_2", 30*24*time.Hour+time.Minute).want(200, "Enter your code")
	})
	t.Run("WithoutDevice", func(t *testing.T) {
		c, b, _, _ := begin(t)
		c.remake(func(cfg *identitycenter.Config) { cfg.EmailAttribute = "" })
		c.flip("WithoutDevice", true)
		other := c.browser()
		id, address := c.request()
		if _, err := c.accept(other.submit(other.get(address), "username", "heidi", "password", "heidi-Passw0rd"), id); err != nil {
			t.Errorf("without an authenticator: %v", err)
		}
		b.submit(b.get(c.web.URL))
		b.submit(visit(c, b), right...).want(200, "Enter your code") // who has one is asked for it
		c.flip("WithoutDevice", false)
		third := c.browser()
		third.submit(visit(c, third), "username", "heidi", "password", "heidi-Passw0rd").want(200, "Register your authenticator")
	})
	t.Run("GuessesUnlimited", func(t *testing.T) {
		c, _, key, step := begin(t)
		c.flip("GuessesUnlimited", true)
		b := c.browser()
		p := b.submit(visit(c, b), right...)
		for range 12 {
			b.submit(p, "code", codeAt(t, key, step+100)).want(403, "not correct")
		}
		c.flip("GuessesUnlimited", false)
		b.submit(p, "code", codeAt(t, key, step+100)).want(429, "Too many wrong codes")
		c.flip("GuessesUnlimited", true)
		b.submit(p, "code", codeAt(t, key, step+1)).want(200, "You are signed in")
	})
	t.Run("LogoutIgnored", func(t *testing.T) {
		c, b, _, _ := begin(t)
		for _, ignored := range []bool{true, false} {
			c.flip("LogoutIgnored", ignored)
			u, err := c.sp.MakeRedirectLogoutRequest("alice@corp.example", "")
			if err != nil {
				t.Fatal(err)
			}
			want := map[bool]string{true: "Signed in as", false: "You are not signed in"}[ignored]
			b.get(u.String()).want(200, want)
		}
	})
}

// With every unconfirmed fact the other way, a person still comes in, and who may not does not.
func TestEveryFactTheOtherWay(t *testing.T) {
	c := newChain(t)
	for _, s := range c.idc.Switches() {
		s.Set(true)
	}
	b := c.browser()
	id, address := c.request()
	if _, err := c.accept(b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd"), id); err != nil {
		t.Error(err)
	}
	c.signIn("bob", "bob-Passw0rd").want(403, "You do not have access")
	c.signIn("alice", "wrong").want(403, notCorrect)
	c.signIn("carol", "carol-Passw0rd").want(403, "Your account is disabled")
}

// A directory that has data 525 for unknown names is no help to a stranger.
func TestUnknownNamesIn525(t *testing.T) {
	c := newChain(t)
	for _, s := range c.directory.Switches() {
		s.Set(true)
	}
	for _, user := range []string{"bob", "nobody"} {
		for i := range 6 {
			want := notCorrect
			if i == 5 {
				want = locked
			}
			if got := c.signIn(user, "wrong"); got.status != 403 || !strings.HasPrefix(got.err(), want) {
				t.Errorf("%s, try %d: got %d %q, want %q", user, i+1, got.status, got.err(), want)
			}
		}
	}
}
