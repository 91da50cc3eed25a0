package identitycenter_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/beevik/etree"
	"github.com/crewjam/saml"

	"github.com/nightlatch/nightlatch/internal/standin/identitycenter"
	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// newClockedChain is a chain whose Identity Center has a clock that can be put.
func newClockedChain(t *testing.T) (*chain, *switches.Clock) {
	t.Helper()
	c, clock := newChain(t), &switches.Clock{}
	c.remake(func(cfg *identitycenter.Config) { cfg.Clock = clock })
	return c, clock
}

// stepAt is the time step of a clock that is ahead of the right one.
func stepAt(ahead time.Duration) int64 { return time.Now().Add(ahead).Unix() / 30 }

// instants reads the times that the page's response states.
func instants(t *testing.T, p *shown) map[string]time.Time {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(p.want(200, "You are signed in").form().Get("SAMLResponse"))
	doc := etree.NewDocument()
	if err == nil {
		err = doc.ReadFromBytes(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]time.Time{}
	for _, at := range []struct{ path, attr string }{
		{"/Response", "IssueInstant"}, {"/Response/Assertion", "IssueInstant"}, {"//SubjectConfirmationData", "NotOnOrAfter"}, {"//Conditions", "NotBefore"},
		{"//Conditions", "NotOnOrAfter"}, {"//AuthnStatement", "AuthnInstant"}, {"//AuthnStatement", "SessionNotOnOrAfter"},
	} {
		v, err := time.Parse("2006-01-02T15:04:05.000Z", doc.FindElement(at.path).SelectAttrValue(at.attr, ""))
		if err != nil {
			t.Fatalf("%s of %s: %v", at.attr, at.path, err)
		}
		out[at.attr+" of "+at.path] = v
	}
	return out
}

// near reports whether a time is what it should be, give or take what a test takes.
func near(got, want time.Time) bool { return got.Sub(want).Abs() < 20*time.Second }

func TestItsOwnClock(t *testing.T) {
	c, clock := newClockedChain(t)
	for _, ahead := range []time.Duration{0, 4 * time.Minute, -4 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			c := c.in(t)
			clock.Put(ahead)
			c.idc.ResetMFA("alice") // if there is one
			b := c.browser()
			id, address := c.request()
			p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Register your authenticator")
			key := p.Find("#totp-key").Text()
			if ahead != 0 {
				b.submit(p, "code", codeAt(t, key, stepAt(0))).want(403, "check that your phone's clock is right")
			}
			p = b.submit(p, "code", codeAt(t, key, stepAt(ahead)))
			now := time.Now().Add(ahead)
			for what, got := range instants(t, p) {
				want := now
				switch {
				case strings.HasPrefix(what, "Session"):
					want = now.Add(8 * time.Hour)
				case strings.HasPrefix(what, "NotOnOrAfter"):
					want = now.Add(5 * time.Minute)
				}
				if !near(got, want) {
					t.Errorf("%s: got %v, want %v", what, got, want)
				}
			}
			_, err := c.accept(p, id)
			if good := ahead == 0; (err == nil) != good {
				t.Errorf("the service provider, whose clock is right: got %v, want it taken: %v", err, good)
			}
		})
	}
}

func TestRequestsByItsOwnClock(t *testing.T) {
	c, clock := newClockedChain(t)
	for ahead, status := range map[time.Duration]int{
		4*time.Minute + 30*time.Second: 200, 5*time.Minute + 30*time.Second: 400, -4*time.Minute - 30*time.Second: 200, -5*time.Minute - 30*time.Second: 400,
	} {
		clock.Put(ahead)
		_, address := c.request()
		if got := c.browser().get(address); got.status != status {
			t.Errorf("a request of now, the clock %v ahead: got %d, want %d", ahead, got.status, status)
		}
	}

	clock.Put(0)
	b := c.browser()
	_, address := c.request()
	p := b.get(address).want(200, "Password")
	clock.Put(11 * time.Minute)
	b.submit(p, "username", "alice", "password", "alice-Passw0rd").want(400, "This sign-in is over")
}

func TestSessionsByItsOwnClock(t *testing.T) {
	c, clock := newClockedChain(t)
	b := c.browser()
	clock.Put(3 * time.Minute)
	_, address := c.request()
	p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd")
	b.submit(p, "code", codeAt(t, p.Find("#totp-key").Text(), stepAt(3*time.Minute))).want(200, "You are signed in")

	clock.Put(-time.Minute) // somebody found it wrong
	_, address = c.request()
	got := instants(t, b.get(address))
	if at, said := got["AuthnInstant of //AuthnStatement"], got["IssueInstant of /Response/Assertion"]; at.After(said) {
		t.Errorf("signed in at %v by an assertion of %v", at, said)
	}
	clock.Put(8*time.Hour + 2*time.Minute)
	b.get(c.web.URL).want(200, "Signed in as Alice Lee")
	clock.Put(8*time.Hour + 4*time.Minute)
	b.get(c.web.URL).want(200, "You are not signed in")
}

func TestLockOutByItsOwnClock(t *testing.T) {
	c, clock := newClockedChain(t)
	_, address := c.request()
	_, key, _ := c.browser().enrol(address, "alice")
	b := c.browser()
	_, address = c.request()
	p := b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
	lock := func() *shown {
		t.Helper()
		for range 4 {
			b.submit(p, "code", codeAt(t, key, stepAt(time.Hour))).want(403, "not correct")
		}
		return b.submit(p, "code", codeAt(t, key, stepAt(time.Hour)))
	}
	told := func(got *shown, minutes string, least, most int) {
		t.Helper()
		got.want(http.StatusTooManyRequests, "Too many wrong codes. Wait "+minutes+",")
		if after, err := strconv.Atoi(got.header.Get("Retry-After")); err != nil || after < least || after > most {
			t.Errorf("Retry-After: got %q, want %d to %d", got.header.Get("Retry-After"), least, most)
		}
	}
	told(lock(), "5 minutes", 290, 300)
	right := func(ahead time.Duration) *shown { return b.submit(p, "code", codeAt(t, key, stepAt(ahead))) }
	clock.Put(2 * time.Minute)
	told(right(2*time.Minute), "3 minutes", 160, 180)
	clock.Put(4*time.Minute + 30*time.Second)
	told(right(4*time.Minute+30*time.Second), "a minute", 1, 30)
	clock.Put(5 * time.Minute)
	right(5*time.Minute).want(200, "You are signed in")

	_, address = c.request()
	b = c.browser()
	clock.Put(0)
	p = b.submit(b.get(address), "username", "alice", "password", "alice-Passw0rd").want(200, "Enter your code")
	clock.Put(4 * time.Minute)
	told(lock(), "5 minutes", 290, 300)
	clock.Put(0) // a lock-out lasts no longer than it says
	if got := b.submit(p, "code", codeAt(t, key, stepAt(30*time.Second))); strings.Contains(got.err(), "Too many") {
		t.Errorf("after the clock was put back: got %q", got.err())
	}
}

// The directory has a clock of its own, and so has what imitates it.
func TestNamesLockAlikeWhateverTheClock(t *testing.T) {
	c, clock := newClockedChain(t)
	for _, user := range []string{"bob", "bert"} {
		for range 5 {
			c.signIn(user, "wrong")
		}
	}
	sso := c.sp.GetSSOBindingLocation(saml.HTTPRedirectBinding)
	for _, ahead := range []time.Duration{11 * time.Minute, -11 * time.Minute} { // a lock-out takes ten
		clock.Put(ahead)
		c.sync()
		for _, user := range []string{"bob", "bert"} {
			b, raw := c.browser(), c.authnRequest("_"+user+ahead.String(), time.Now().Add(ahead))
			if got := b.submit(b.get(sso+"?SAMLRequest="+url.QueryEscape(encode(raw))), "username", user, "password", "wrong"); !strings.HasPrefix(got.err(), locked) {
				t.Errorf("%s, the clock %v ahead: got %q, want %q", user, ahead, got.err(), locked)
			}
		}
	}
}

func TestAgesOfCookiesWhateverTheClock(t *testing.T) {
	c, clock := newClockedChain(t)
	clock.Put(4 * time.Minute)
	b := c.browser()
	_, address := c.request()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := b.client.Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	for _, ck := range resp.Cookies() {
		if ck.MaxAge != 8*3600 || !ck.Expires.IsZero() {
			t.Errorf("got %v, want an age and no date, which the browser would hold against its own clock", fmt.Sprint(ck))
		}
	}
	if len(resp.Cookies()) == 0 {
		t.Error("no cookie")
	}
}
