//go:build !lambda

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// everywhere is what is tried at the pages and the API, whoever signs people in.
var everywhere = []attack{
	{"a cross-site POST", "a page of their own, which alice visits while she is signed in; wants her browser to open the endpoint", func(t *testing.T, g *gate) {
		for _, h := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}}, {"Origin": {"https://evil.example"}}, {"Origin": {"null"}}, {"Origin": {"https://evil.vpn.localhost"}}} {
			for path, kind := range map[string]string{"/api/v1/endpoints/office/open": asJSON, "/endpoints/office/open": asForm, "/sign-out": asForm} {
				g.since = len(g.logText(t))
				with(t, g.alice, http.MethodPost, at(g.alice, path), kind, `{"for":"1m"}`, h)
				answered(t, g.alice, http.StatusForbidden)
				g.told(t, `"refused"`, `"cross-site"`)
			}
		}
		// Nothing that says where it is from, as an old browser sends it: then the content type and the form's token stand.
		for _, kind := range []string{"text/plain", asForm, "multipart/form-data; boundary=x", ""} {
			with(t, g.alice, http.MethodPost, at(g.alice, "/api/v1/endpoints/office/open"), kind, `{"for":"1m"}`, nil)
			answered(t, g.alice, http.StatusUnsupportedMediaType, "application/json")
		}
		for _, path := range []string{"/endpoints/office/open", "/sign-out"} {
			for _, form := range []string{"for=1m", "for=1m&token=", "for=1m&token=AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
				with(t, g.alice, http.MethodPost, at(g.alice, path), asForm, form, nil)
				answered(t, g.alice, http.StatusForbidden)
			}
		}
		g.told(t, `"refused"`, `"stale-form"`)
		// A page of another site may not ask whether it may, either.
		with(t, g.alice, http.MethodOptions, at(g.alice, "/api/v1/endpoints/office/open"), "", "", http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"content-type"}})
		for name := range g.alice.page.Header {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("the answer to a preflight has %s", name)
			}
		}
	}},
	{"a form's token planted by a sibling site", "a site beside ours under one domain, which can set cookies for it; wants to know the token of alice's forms", func(t *testing.T, g *gate) {
		const planted = "AAAAAAAAAAAAAAAAAAAAAAAAAA"
		for _, cookie := range []string{"nightlatch-form=" + planted, "__Secure-nightlatch-form=" + planted, "__host-nightlatch-form=" + planted, "__Host-nightlatch-form =" + planted, "__Host-nightlatch-form=" + planted, "\u2000__Host-nightlatch-form=" + planted} {
			with(t, g.alice, http.MethodPost, at(g.alice, "/endpoints/office/open"), asForm, "for=1m0s&token="+planted, http.Header{"Cookie": {cookie}})
			answered(t, g.alice, http.StatusForbidden)
		}
		g.told(t, `"refused"`, `"stale-form"`)
	}},
	looks("a prefetch or a prerender", "a page with <link rel=prefetch> to ours, or an address bar that guesses",
		http.Header{"Sec-Purpose": {"prefetch"}}, http.Header{"Sec-Purpose": {"prefetch;prerender"}}, http.Header{"Purpose": {"prefetch"}}),
	looks("a link preview", "a chat in which the address is posted, whose servers and programs fetch it, some with the reader's session",
		http.Header{"Sec-Fetch-Mode": nil, "Sec-Fetch-Dest": nil, "Sec-Fetch-User": nil, "User-Agent": {"Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"}},
		http.Header{"Sec-Fetch-Mode": nil, "Sec-Fetch-Dest": nil, "Sec-Fetch-User": nil, "User-Agent": {"facebookexternalhit/1.1"}},
		http.Header{"Purpose": {"preview"}}, http.Header{"Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}, http.Header{"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}, http.Header{"Sec-Fetch-Mode": {"cors"}}),
	looks("a restored tab", "nothing; a browser that starts again loads the page without anybody", http.Header{"Sec-Fetch-User": nil}),
	looks("a frame in another site's page", "a page of their own with ours in a frame under a game's buttons", http.Header{"Sec-Fetch-Dest": {"iframe"}}, http.Header{"Sec-Fetch-Dest": {"frame"}}, http.Header{"Sec-Fetch-Dest": {"object"}}),
	{"a health check's user agent", "the load balancer's user agent, and wants what is kept open for it", func(t *testing.T, g *gate) {
		health := []string{"ELB-HealthChecker/2.0"}
		b := g.browser(t, "alice")
		with(t, b, http.MethodGet, b.info.URL, "", "", http.Header{"User-Agent": health})
		sentToSignIn(t, b)
		g.straight(t, request{method: http.MethodGet, path: "/api/v1/endpoints", header: map[string][]string{"user-agent": health}}).want(t, http.StatusUnauthorized)
		g.straight(t, opens(map[string][]string{"user-agent": health})).want(t, http.StatusUnauthorized, "urn:nightlatch:problem:signed-out")
		g.told(t, `"refused"`, `"signed-out"`)
	}},
	{"a spoofed host or path", "a session, and headers by which proxies tell what was asked for", func(t *testing.T, g *gate) {
		for _, h := range []http.Header{
			{"X-Forwarded-Host": {"evil.example"}, "X-Host": {"evil.example"}, "X-Forwarded-Server": {"evil.example"}}, {"Forwarded": {"host=evil.example;proto=http;for=192.0.2.1"}}, {"X-Forwarded-Proto": {"http"}, "X-Forwarded-Port": {"80"}},
			{"X-Original-URL": {"/endpoints/office/open"}, "X-Rewrite-URL": {"/endpoints/office/open"}, "X-Original-URI": {"//evil.example/"}}, {"X-HTTP-Method-Override": {"POST"}, "X-HTTP-Method": {"POST"}, "X-Method-Override": {"POST"}},
		} {
			for _, path := range []string{"/", "/endpoints/office/open", "/endpoints/office?look", "/sign-out", "//evil.example/", "/api/v1/endpoints/office"} {
				with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", h)
				if to, err := g.alice.page.Location(); err == nil && to.Host != g.alice.page.Request.URL.Host {
					t.Errorf("%v at %s leads to %s", h, path, to)
				}
				if g.alice.page.StatusCode >= 500 || strings.Contains(fmt.Sprint(g.alice.page.Header), "evil.example") || strings.Contains(string(g.alice.page.body), "evil.example") {
					t.Errorf("%v at %s: answered %s %v, which must not name that host", h, path, g.alice.page.Status, g.alice.page.Header)
				}
			}
		}
		// Another Host is nobody's origin: what a browser sends that was led there by its DNS has neither cookie nor token of ours.
		answer := g.raw(t, "POST /api/v1/endpoints/office/open HTTP/1.1\nHost: evil.example\nOrigin: https://evil.example\nSec-Fetch-Site: same-origin\nContent-Type: application/json\nContent-Length: 12\nConnection: close\n\n{\"for\":\"1m\"}")
		if strings.HasPrefix(answer, "HTTP/1.1 2") {
			t.Errorf("answered %s", answer)
		}
		if g.o.front.name == frontALB { // the other knows its own name, and refuses
			g.told(t, `"hop"`, "redirected to sign in")
		}
	}},
	{"a lie about where a request comes from", "an account and X-Forwarded-For; wants the audit to name another's address", func(t *testing.T, g *gate) {
		with(t, g.bob, http.MethodPost, at(g.bob, "/api/v1/endpoints/office/open"), asJSON, `{"for":"1m","reason":"a lie"}`, http.Header{"X-Forwarded-For": {"203.0.113.7, 10.0.0.1"}, "X-Real-Ip": {"203.0.113.7"}, "Forwarded": {"for=203.0.113.7"}, "True-Client-Ip": {"203.0.113.7"}})
		answered(t, g.bob, http.StatusAccepted)
		walk(t, g.bob.deadman)
		with(t, g.bob, http.MethodPost, at(g.bob, "/api/v1/endpoints/office/done"), asJSON, "", nil)
		answered(t, g.bob, http.StatusOK)
		walk(t, g.bob.off, g.settled(t))
		g.told(t, `"msg":"audit"`, `"action":"open"`, "a lie", `"source":"127.0.0.1"`)
		var why struct {
			Audit []struct{ Action, Why, Source string }
		}
		if err := json.Unmarshal([]byte(g.cli(t, "why", "office", "--json")), &why); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(why.Audit, func(e struct{ Action, Why, Source string }) bool { return e.Action == "open" && e.Why == "a lie" })
		if i < 0 || why.Audit[i].Source != "127.0.0.1" {
			t.Errorf("the audit says %+v, want an opening from 127.0.0.1, which is who spoke to the load balancer", why.Audit)
		}
	}},
	{"GET and every other method", "a link, an image, a POST that came back from a sign-in as a GET; wants any of it to change something", func(t *testing.T, g *gate) {
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodPut, http.MethodDelete, http.MethodPatch, "PROPFIND", "post"} {
			for _, path := range []string{"/", "/endpoints/office", "/endpoints/office/open", "/endpoints/office/open?for=1m&reason=x", "/endpoints/office/extend", "/endpoints/office/done",
				"/sign-out", "/api/v1/endpoints", "/api/v1/endpoints/office", "/api/v1/endpoints/office/open?for=1m", "/api/v1/endpoints/office/extend", "/api/v1/endpoints/office/done",
				"/endpoints/none/open", "/signed-out", "/oauth2/idpresponse", "//evil.example/", "/%2e%2e/endpoints/office/open", "/endpoints/office/open/", "/static/none.css"} {
				with(t, g.alice, method, at(g.alice, path), "", "", http.Header{"Sec-Fetch-Site": {"none"}, "Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-User": {"?1"}, "Sec-Fetch-Dest": {"document"}})
				if to, err := g.alice.page.Location(); err == nil && to.Host != g.alice.page.Request.URL.Host {
					t.Errorf("%s %s leads to %s", method, path, to.Host)
				}
				if g.alice.page.StatusCode >= 500 {
					t.Errorf("%s %s: %s", method, path, g.alice.page.says())
				}
			}
		}
		g.told(t, `"not done"`, "method-not-allowed")
	}},
	{"an open redirect", "a link to our site that should lead on to theirs, before a sign-in or after it", func(t *testing.T, g *gate) {
		ours := g.alice.page.Request.URL.Host
		for _, path := range []string{"//evil.example", "//evil.example/", "///evil.example/", "/\\evil.example/", "/%5cevil.example", "//evil.example/%2e%2e", "/.//evil.example/", "/%2f%2fevil.example/", "/?next=https://evil.example/", "/?next=//evil.example/",
			"/endpoints/office?next=//evil.example", "/endpoints/office/open?next=//evil.example", "/sign-out?next=https://evil.example/", "/sign-out?redirect_uri=https://evil.example/", "/endpoints//evil.example/open", "/endpoints/office/../../..//evil.example/", "/?lang=//evil.example"} {
			with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", nil)
			for range 5 {
				to, err := g.alice.page.Location()
				if err != nil {
					break
				}
				if to.Host != ours || to.Scheme != "https" {
					t.Errorf("%s leads to %s", path, to)
					break
				}
				if err := g.alice.follow(); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(g.alice.page.Header.Get("Refresh"), "evil") || strings.Contains(string(g.alice.page.body), `="//evil`) || strings.Contains(string(g.alice.page.body), `="https://evil`) {
				t.Errorf("the page at %s has a link to it", path)
			}
		}
		b := g.again(t, g.alice)
		b.info.URL = at(b, "//evil.example/%2e%2e")
		g.toAssertion(t, b)
		walk(t, b.assertion, b.callback)
		if to, err := b.page.Location(); err != nil || to.Host != ours {
			t.Errorf("the sign-in ends at %v, %v", to, err)
		}
		with(t, g.alice, http.MethodGet, at(g.alice, "/endpoints/evil.example"), "", "", nil)
		g.told(t, `"not done"`, "no-such-endpoint")
	}},
	{"response splitting", "line breaks in a path, a query, a header or the host; wants a header of their own in our answer", func(t *testing.T, g *gate) {
		const split = "%0d%0aX-Evil:%201%0d%0aSet-Cookie:%20evil=1%0d%0a%0d%0aevil"
		for _, path := range []string{"/" + split, "/endpoints/office" + split, "/endpoints/office/open" + split, "/endpoints/office/open?" + split, "/?lang=en" + split, "//" + split + "/..", "/sign-out?" + split, "/static/" + split, "/api/v1/endpoints/" + split} {
			with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", nil)
			if h := g.alice.page.Header; h.Get("X-Evil") != "" || strings.Contains(strings.Join(h.Values("Set-Cookie"), ";"), "evil") || g.alice.page.StatusCode >= 500 {
				t.Errorf("%s: %s %v", path, g.alice.page.Status, h)
			}
		}
		const header = "x\r\nX-Evil: 1\r\nSet-Cookie: evil=1"
		for _, name := range []string{"host", "accept-language", "user-agent", "cookie", "referer", "if-none-match", "x-forwarded-for", "origin", "x-amzn-trace-id", "x-evil\r\nx-other"} {
			r := g.straight(t, request{method: http.MethodGet, path: "/api/v1/endpoints/office", header: map[string][]string{name: {header}}})
			for name, values := range r.header {
				if strings.ContainsAny(name+strings.Join(values, ""), "\r\n") || strings.Contains(strings.ToLower(name), "evil") || name == "Set-Cookie" && strings.Contains(strings.Join(values, ";"), "evil") {
					t.Errorf("%s: the answer has %q: %q", name, name, values)
				}
			}
			if r.status >= 500 || r.fault != "" {
				t.Errorf("%s: answered %+v", name, r)
			}
		}
		g.told(t, `"refused"`, `"signed-out"`)
	}},
	{"lines of their own in the log", "line breaks and a terminal's commands in every part of a request; wants the operator to read what never happened", func(t *testing.T, g *gate) {
		const forged = "x\n[nightlatch/1] {\"level\":\"INFO\",\"msg\":\"wish\",\"subject\":\"forged\"}\r\x1b[2J\x1b]0;forged\x07\u009b2J\u202eforged\u2028forged"
		for _, name := range []string{"user-agent", "accept-language", "cookie", "referer", "x-forwarded-for", "x-amzn-trace-id", "host", "origin", "sec-fetch-site", "content-type", "x-amzn-oidc-data", "x-amzn-oidc-identity"} {
			g.straight(t, opens(map[string][]string{name: {forged}}))
		}
		for _, r := range []request{
			{method: "POST" + forged, path: "/"}, {method: "POST", path: "/" + forged}, {method: "POST", path: "/" + url.PathEscape(forged)}, {method: "GET", path: "/endpoints/" + url.PathEscape(forged)},
			{method: "GET", path: "/", query: map[string][]string{forged: {forged}, url.QueryEscape(forged): {url.QueryEscape(forged)}}}, {method: "POST", path: "/sign-out", body: forged},
		} {
			g.straight(t, r)
		}
		for _, reason := range []string{forged, "a\nb", "\x1b[2J", "a\u009b2J", "gpj.exe \u202e", "a\u2028b", "\u2066a\u2069"} {
			body, err := json.Marshal(map[string]string{"for": "1m", "reason": reason})
			if err != nil {
				t.Fatal(err)
			}
			with(t, g.carol, http.MethodPost, at(g.carol, "/api/v1/endpoints/office/open"), asJSON, string(body), nil)
			answered(t, g.carol, http.StatusBadRequest, "one line")
		}
		g.wholeLines(t)
		g.told(t, `"refused"`, `"signed-out"`)
	}},
	{"our page in their frame, or their script in our page", "a page of their own around ours, or a way to put text into it", func(t *testing.T, g *gate) {
		for path, status := range map[string]int{"/": 200, "/endpoints/office?look": 200, "/endpoints/none": 404, "/nowhere": 404, "/api/v1/endpoints/office": 200, "/api/v1/endpoints/none": 404, "/endpoints/office/open": 303, "/sign-out": 303} {
			with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", nil)
			answered(t, g.alice, status)
			h := g.alice.page.Header
			csp := h.Get("Content-Security-Policy")
			for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"} {
				if !strings.Contains(csp, want) {
					t.Errorf("%s: the policy %q does not say %s", path, csp, want)
				}
			}
			if strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
				t.Errorf("%s: the policy %q", path, csp)
			}
			for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Strict-Transport-Security": "max-age=31536000", "Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "same-origin"} {
				if !strings.Contains(h.Get(name), want) {
					t.Errorf("%s: %s is %q, want %s", path, name, h.Get(name), want)
				}
			}
			page, err := g.alice.page.html()
			if err != nil {
				t.Fatal(err)
			}
			if n := page.Find("script:not([src]), [onclick], [onload], [style], style, iframe, base").Length(); n > 0 {
				t.Errorf("%s: %d elements that the policy should stop", path, n)
			}
		}
		g.told(t, `"not done"`, "no-such-page")
	}},
	{"an oversize body", "an account, and a body beyond what any page sends", func(t *testing.T, g *gate) {
		with(t, g.carol, http.MethodPost, at(g.carol, "/api/v1/endpoints/office/open"), asJSON, strings.Repeat(" ", 1<<20-1), nil)
		answered(t, g.carol, http.StatusRequestEntityTooLarge, "urn:nightlatch:problem:too-big")
		g.told(t, `"not done"`, "too-big")
		with(t, g.carol, http.MethodPost, at(g.carol, "/api/v1/endpoints/office/open"), asJSON, strings.Repeat("[", 60<<10), nil)
		answered(t, g.carol, http.StatusBadRequest, "urn:nightlatch:problem:bad-request")
	}},
}

// looks visits the page with alice's session as something that is no person, and must not count down to opening.
func looks(name, has string, changes ...http.Header) attack {
	return attack{name, has + "; wants a visit without a visitor to cost money", func(t *testing.T, g *gate) {
		for _, change := range changes {
			h := navigation.Clone()
			for name, values := range change {
				if h[name] = values; values == nil {
					delete(h, name)
				}
			}
			for _, path := range []string{"/", "/endpoints/office"} {
				with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", h)
				answered(t, g.alice, http.StatusOK)
				page, err := g.alice.page.html()
				if err != nil {
					t.Fatal(err)
				}
				if page.Find("#form-open").Length() != 1 || page.Find("#countdown").Length() > 0 {
					t.Errorf("%v: the page should offer to open, and not count down to it", change)
				}
			}
		}
		// The page by which a form leads back never counts down, whoever looks.
		with(t, g.alice, http.MethodGet, at(g.alice, "/endpoints/office?look"), "", "", navigation)
		if page, err := g.alice.page.html(); err != nil || page.Find("#countdown").Length() > 0 {
			t.Errorf("looking only: counts down (%v)", err)
		}
		g.told(t, `"hop"`, `"to":"`+g.o.front.name+`"`, `"status":200`) // all that there is to find: looking is no event
	}}
}

// settled waits until the page says off.
func (g *gate) settled(t *testing.T) func() (string, error) {
	return func() (string, error) {
		for {
			if h := g.seen(t, g.alice); h.State == "off" {
				return "off", nil
			}
			if err := g.alice.pause(250e6); err != nil {
				return "", err
			}
		}
	}
}

// whileOpen is what is tried while alice has it open, with the reason nasty.
var whileOpen = []attack{
	{"somebody else's lease", "an account, and wants alice's time: to end it, to move it, or to be told of it", func(t *testing.T, g *gate) {
		if h := g.seen(t, g.bob); h.Mine != nil || h.Others != 1 {
			t.Errorf("bob sees %+v, want a lease of somebody else's", h)
		}
		if strings.Contains(string(g.bob.page.body), "HYPERLINK") || strings.Contains(string(g.bob.page.body), g.subject) {
			t.Error("the API tells bob alice's reason or her subject")
		}
		for _, c := range []struct {
			action, body, problem string
			status                int
		}{
			{"done", "", "no-lease", 409}, {"extend", `{"for":"1m"}`, "no-lease", 409}, {"done", `{"subject":"` + g.subject + `"}`, "bad-request", 400}, {"extend", `{"for":"1m","subject":"` + g.subject + `"}`, "bad-request", 400},
			{"open", `{"for":"1m","who":"` + g.subject + `"}`, "bad-request", 400}, {"done?subject=" + url.QueryEscape(g.subject), "", "no-lease", 409},
		} {
			g.since = len(g.logText(t))
			with(t, g.bob, http.MethodPost, at(g.bob, "/api/v1/endpoints/office/"+c.action), asJSON, c.body, http.Header{"X-Amzn-Oidc-Identity": {g.subject}})
			answered(t, g.bob, c.status, "urn:nightlatch:problem:"+c.problem)
			g.told(t, `"not done"`, c.problem)
		}
		with(t, g.bob, http.MethodGet, at(g.bob, "/endpoints/office?look"), "", "", nil)
		if err := g.bob.submit("for", url.Values{"for": {"-1m"}, "subject": {g.subject}}); err != nil {
			t.Fatal(err)
		}
		answered(t, g.bob, http.StatusBadRequest)
	}},
	{"a cross-site POST that ends a lease", "a page of their own, which alice visits while she works; wants her cut off", func(t *testing.T, g *gate) {
		for _, h := range []http.Header{{"Sec-Fetch-Site": {"cross-site"}}, {"Origin": {"https://evil.example"}}} {
			for path, kind := range map[string]string{"/api/v1/endpoints/office/done": asJSON, "/endpoints/office/done": asForm} {
				with(t, g.alice, http.MethodPost, at(g.alice, path), kind, "", h)
				answered(t, g.alice, http.StatusForbidden)
			}
		}
		with(t, g.alice, http.MethodPost, at(g.alice, "/endpoints/office/done"), asForm, "token=", nil)
		answered(t, g.alice, http.StatusForbidden)
		with(t, g.alice, http.MethodGet, at(g.alice, "/endpoints/office/done"), "", "", navigation)
		answered(t, g.alice, http.StatusSeeOther)
		g.told(t, `"refused"`, `"cross-site"`)
		g.told(t, `"refused"`, `"stale-form"`)
	}},
	{"markup in a reason", "an account, and a reason that others read on a page", func(t *testing.T, g *gate) {
		for _, path := range []string{"/endpoints/office?look", "/api/v1/endpoints/office", "/api/v1/endpoints"} {
			with(t, g.alice, http.MethodGet, at(g.alice, path), "", "", nil)
			answered(t, g.alice, http.StatusOK)
			if strings.Contains(string(g.alice.page.body), "<script>alert") {
				t.Errorf("%s (%s) holds the reason as it is: %s", path, g.alice.page.Header.Get("Content-Type"), g.alice.page.body)
			}
		}
		g.told(t, `"hop"`, `"to":"`+g.o.front.name+`"`, `"status":200`)
	}},
}
