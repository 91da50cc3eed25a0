package e2e

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// words are what the page's heading says, in each language. They are the promise to people, so they are written here
// once more and not read from the product.
var words = map[string]map[string]string{
	"en": {"off": "VPN is off", "opening": "Turning on…", "open": "VPN is ready", "closing": "Turning off…"},
	"ko": {"off": "VPN이 꺼져 있습니다", "opening": "켜는 중입니다", "open": "VPN을 사용할 수 있습니다", "closing": "끄는 중입니다"},
	"ja": {"off": "VPNは停止中です", "opening": "開始しています", "open": "VPNを利用できます", "closing": "停止しています"},
}

// TestFoundingJourney is the article that started it, in every window, language and way of working.
func TestFoundingJourney(t *testing.T) {
	for _, w := range []browser.Window{browser.Phone, browser.Desktop} {
		for _, noScript := range []bool{false, true} {
			name := w.Name
			if noScript {
				name += " without JavaScript"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				d := start(t, quick...)
				for i, lang := range []string{"en", "ko", "ja"} {
					if !t.Run(lang, func(t *testing.T) {
						journey(t, d, d.Users[i], browser.Options{Window: w, Language: lang, NoScript: noScript})
					}) {
						return // it may still be open, and the next one begins with "off"
					}
				}
			})
		}
	}
}

// journey leads one person from the first visit to off again, and returns them, who are signed in still.
func journey(t *testing.T, d *demo.Demo, u demo.User, o browser.Options) *browser.Person {
	p := person(t, o)
	shows := func(state string) {
		t.Helper()
		must(t, p.State(state), "wait for %s", state)
		if got, err := p.Text("h1#heading"); err != nil || got != words[o.Language][state] {
			t.Errorf("%s: the heading says %q (%v), want %q", state, got, err, words[o.Language][state])
		}
		if wide, err := p.Scrolls(); err != nil || wide > 0 {
			t.Errorf("%s: the page is %d pixels wider than the window (%v)", state, wide, err)
		}
	}
	must(t, p.Visit(d.URL), "visit")
	must(t, p.Password(u.Username, u.Password), "password")
	must(t, p.Until(`document.querySelector("#qr")?.complete`), "enrolment page")
	if wide, err := p.Scrolls(); err != nil || wide > 0 {
		t.Errorf("enrolment: the page is %d pixels wider than the window (%v)", wide, err)
	}
	_, err := p.Enrol()
	must(t, err, "enrol")
	must(t, p.Arrive(), "come back signed in")
	shows("off")
	if lang, err := browser.Eval[string](p, "document.documentElement.lang"); err != nil || lang != o.Language {
		t.Errorf("the page says it is in %q (%v), want %q", lang, err, o.Language)
	}

	must(t, p.Press("#form-open .choice:nth-of-type(2)"), "choose three minutes")
	must(t, p.Follow("#form-open button[type=submit]"), "press the button")
	shows("opening")
	if n, err := browser.Eval[int](p, `document.querySelectorAll("ol.steps li").length`); err != nil || n != 4 {
		t.Errorf("opening shows %d steps (%v), want the four of the plan", n, err)
	}
	shows("open")
	until := `([...document.querySelectorAll("dl time")].at(-1)?.dateTime ?? "")`
	first, err := browser.Eval[string](p, until)
	must(t, err, "read until when")

	id, err := d.Connect(t.Context(), u.Username)
	must(t, err, "play a VPN client")
	must(t, p.Follow("#form-extend button[type=submit]"), "extend")
	must(t, p.Until(fmt.Sprintf(`%q !== %s && document.querySelector("h1.open")`, first, until)), "see a later end")
	later, err := browser.Eval[string](p, until)
	must(t, err, "read until when")
	if !strings.HasPrefix(later, "20") || later <= first {
		t.Errorf("extended from %q to %q, want a later time", first, later)
	}
	must(t, d.Disconnect(t.Context(), id), "disconnect the client")

	must(t, p.Follow("#form-done button[type=submit]"), "press I'm done")
	shows("closing")
	shows("off")
	return p
}
