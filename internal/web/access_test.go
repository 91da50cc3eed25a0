package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

type decisions = map[access.Action]access.Decision

// TestRefusals holds every refusal to page and API: what is answered, what is kept, what is audited, and that nothing
// reaches the Keeper.
func TestRefusals(t *testing.T) {
	no := access.Decision{Code: access.DeniedByRule, Rule: "no-contractors", Contact: "it@corp.example"}
	hours := access.Decision{Code: access.DeniedHours, Rule: "staff", From: scenesAt.Add(time.Hour), Contact: "it@corp.example"}
	leased := latch.View{State: latch.StateOpen, Reason: latch.Reason{Code: latch.OpenLease, Until: scenesAt.Add(time.Hour)}, LookAgain: time.Minute,
		Mine: latch.Lease{Subject: alice.Subject, Until: scenesAt.Add(time.Hour)}, ExtendUntil: scenesAt.Add(10 * time.Hour)}
	const api = "/api/v1/endpoints/seoul"
	type want struct {
		status       int
		verbs        string
		kept         string // action code
		audited      string // action code
		parts, lacks string // of the body, separated by |
	}
	for name, tt := range map[string]struct {
		by                 decisions
		view               latch.View
		method, path, body string
		header             []string
		want               want
	}{
		"seeing a page":                         {decisions{access.See: no}, off, "GET", "/endpoints/seoul", "", nil, want{403, "", "see denied.rule", "", "You may not see this|it@corp.example|A rule forbids", "서울|cvpn-|contractors|Turn on|Administration|form-done"}},
		"seeing the only page":                  {decisions{access.See: no}, off, "GET", "/", "", nil, want{403, "", "see denied.rule", "", "You may not see this", "서울|cvpn-"}},
		"what a watching page fetches":          {decisions{access.See: no}, off, "GET", "/endpoints/seoul?look", "", []string{"Sec-Fetch-Dest: empty"}, want{403, "", "", "", "You may not see this", "서울"}},
		"seeing, for now":                       {decisions{access.See: hours}, off, "GET", "/endpoints/seoul", "", nil, want{403, "", "", "", "It is possible from 10:00 KST.", "서울"}},
		"seeing, with a lease":                  {decisions{access.See: no}, leased, "GET", "/endpoints/seoul", "", nil, want{403, "", "see denied.rule", "", `action="/endpoints/seoul/done"`, "서울|form-extend"}},
		"seeing by the API":                     {decisions{access.See: no}, off, "GET", api, "", nil, want{403, "", "", "", `"code":"denied.rule"|"contact":"it@corp.example"|"endpoint":"seoul"`, "서울|cvpn-|contractors|state"}},
		"seeing by the API, for now":            {decisions{access.See: hours}, off, "GET", api, "", nil, want{403, "", "", "", `"next":"2000-01-01T01:00:00Z"`, "서울"}},
		"the list":                              {decisions{access.See: no}, off, "GET", "/api/v1/endpoints", "", nil, want{200, "", "", "", `"endpoints":[]`, "seoul"}},
		"what exists":                           {decisions{access.See: no}, off, "GET", "/api/v1/endpoints/busan", "", nil, want{404, "", "", "", `no-such-endpoint`, "seoul"}},
		"opening what one may not see":          {decisions{access.See: no}, off, "POST", "/endpoints/seoul/open", fields(), nil, want{403, "", "see denied.rule", "open.refused denied.rule", "You may not see this", "서울"}},
		"opening it by the API":                 {decisions{access.See: no}, off, "POST", api + "/open", "{}", nil, want{403, "", "see denied.rule", "open.refused denied.rule", `"code":"denied.rule"`, "서울|cvpn-"}},
		"opening":                               {decisions{access.Open: no}, off, "POST", "/endpoints/seoul/open", fields(), nil, want{403, "", "open denied.rule", "open.refused denied.rule", "You may not turn it on or join|it@corp.example|REQ-1", "contractors"}},
		"opening by the API":                    {decisions{access.Open: no}, off, "POST", api + "/open", "{}", nil, want{403, "", "open denied.rule", "open.refused denied.rule", `"code":"denied.rule"|"contact":"it@corp.example"`, "contractors"}},
		"opening at the wrong time":             {decisions{access.Open: hours}, off, "POST", api + "/open", "{}", nil, want{403, "", "open denied.hours", "open.refused denied.hours", `"next":"2000-01-01T01:00:00Z"`, ""}},
		"a refusal comes before a wrong length": {decisions{access.Open: no}, off, "POST", api + "/open", `{"for":"x"}`, nil, want{403, "", "open denied.rule", "open.refused denied.rule", "", ""}},
		"but not before a wrong content type":   {decisions{access.Open: no}, off, "POST", api + "/open", "{}", []string{"Content-Type: text/plain"}, want{415, "", "", "", "", ""}},
		"nor before a missing token":            {decisions{access.Open: no}, off, "POST", "/endpoints/seoul/open", "", nil, want{403, "", "", "", "out of date", ""}},
		"the page of what one may not open":     {decisions{access.Open: no}, off, "GET", "/endpoints/seoul", "", nil, want{200, "", "open denied.rule", "", "You may not turn it on or join|it@corp.example|VPN is off", "form-open"}},
		"and as it watches":                     {decisions{access.Open: no}, off, "GET", "/endpoints/seoul", "", []string{"Sec-Fetch-Dest: empty"}, want{200, "", "", "", "You may not turn it on or join", "form-open"}},
		"and by the API":                        {decisions{access.Open: no}, off, "GET", api, "", nil, want{200, "", "", "", `"refused":[{"action":"open","code":"denied.rule","text":"You may not turn it on or join: A rule forbids it to this account.","contact":"it@corp.example"}]`, ""}},
		"the page of what one may open later":   {decisions{access.Open: hours}, off, "GET", "/endpoints/seoul", "", nil, want{200, "", "", "", "It is possible from 10:00 KST.", "form-open"}},
		"extending":                             {decisions{access.Extend: no}, leased, "POST", "/endpoints/seoul/extend", fields(), nil, want{403, "", "extend denied.rule", "extend.refused denied.rule", "You may not extend", ""}},
		"extending by the API":                  {decisions{access.Extend: no}, leased, "POST", api + "/extend", "{}", nil, want{403, "", "extend denied.rule", "extend.refused denied.rule", "", ""}},
		"the page of what one may not extend":   {decisions{access.Extend: no}, leased, "GET", "/endpoints/seoul", "", nil, want{200, "", "", "", "You may not extend|form-done", "form-extend"}},
		"ending what one may not see":           {decisions{access.See: no, access.Open: no}, off, "POST", "/endpoints/seoul/done", fields(), nil, want{303, "done", "", "", "", ""}},
		"ending it by the API":                  {decisions{access.See: no}, open, "POST", api + "/done", "{}", nil, want{200, "done", "", "", `"endpoint":"seoul"`, "서울|cvpn-|lease"}},
		"administering":                         {nil, off, "GET", "/admin", "", nil, want{403, "", "administer denied.none", "", "This is for administrators", "서울|seoul"}},
		"an endpoint's administration":          {nil, off, "GET", "/admin/endpoints/seoul", "", nil, want{403, "", "administer denied.none", "", "This is for administrators", "cvpn-"}},
		"the audit":                             {nil, off, "GET", "/admin/audit?endpoint=seoul", "", nil, want{403, "", "administer denied.none", "", "This is for administrators", "cvpn-"}},
		"the audit, who may end others'":        {decisions{access.EndOthers: {Allowed: true}}, off, "GET", "/admin/audit?endpoint=seoul", "", nil, want{403, "", "administer denied.none", "", "This is for administrators", "cvpn-"}},
		"ending others'":                        {nil, off, "POST", "/admin/endpoints/seoul/end", fields("whose", "x"), nil, want{403, "", "end-others denied.none", "end-for.refused denied.none", "", ""}},
		"extending for others":                  {decisions{access.EndOthers: {Allowed: true}}, off, "POST", "/admin/endpoints/seoul/extend", fields("whose", "x", "for", "1h"), nil, want{403, "", "administer denied.none", "extend-for.refused denied.none", "", ""}},
		"pausing":                               {decisions{access.EndOthers: {Allowed: true}}, off, "POST", "/admin/endpoints/seoul/pause", fields("for", "1h", "reason", "x"), nil, want{403, "", "administer denied.none", "pause.refused denied.none", "", ""}},
		"closing":                               {nil, off, "POST", "/admin/endpoints/seoul/close", fields("for", "1h"), nil, want{403, "", "administer denied.none", "close.refused denied.none", "", ""}},
		"releasing":                             {nil, off, "POST", "/admin/endpoints/seoul/release", fields(), nil, want{403, "", "administer denied.none", "release.refused denied.none", "", ""}},
		"breaking the glass":                    {nil, off, "POST", "/admin/endpoints/seoul/break-glass", fields("for", "1h", "reason", "x"), nil, want{403, "", "administer denied.none", "break-glass.refused denied.none", "", ""}},
		"ending others', which a rule forbids to an administrator": {decisions{access.Administer: {Allowed: true}, access.EndOthers: no}, off, "POST", "/admin/endpoints/seoul/end", fields("whose", "x"), nil, want{403, "", "end-others denied.rule", "end-for.refused denied.rule", "", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, people, admin := &fake{view: tt.view}, &fakePeople{}, &fakeAdmin{}
				var audited []string
				h := rules(t, newHandler(t, k, func(c *Config) {
					c.People, c.Admin = people, admin
					c.Audit = func(_ context.Context, e latch.Entry) error {
						audited = append(audited, e.Action+" "+string(e.Code))
						if e.Subject != alice.Subject || e.Issuer != alice.Issuer || e.Source != "198.51.100.7" || e.Request != "REQ-1" || e.ID == "" || e.At.IsZero() || e.Endpoint != "cvpn-endpoint-0aa" {
							t.Errorf("entry %+v is not whole", e)
						}
						return nil
					}
				}), tt.by)
				w := send(h, tt.method, tt.path, tt.body, tt.header...)
				body := w.Body.String()
				if w.Code != tt.want.status {
					t.Fatalf("got %d, want %d\n%s", w.Code, tt.want.status, body)
				}
				if got := strings.Join(k.verbs, " "); got != tt.want.verbs || len(admin.did) > 0 {
					t.Errorf("the Keeper was asked to %q %v, want %q", got, admin.did, tt.want.verbs)
				}
				kept := []string{}
				for _, r := range people.refusals {
					kept = append(kept, string(r.Action)+" "+string(r.Code))
					if r.Subject != alice.Subject || r.Name != alice.Name || r.Source != "198.51.100.7" || r.Request != "REQ-1" || !r.At.Equal(scenesAt) || r.Code == access.DeniedByRule && r.Rule != "no-contractors" {
						t.Errorf("refusal %+v is not whole", r)
					}
				}
				if got := strings.Join(kept, ", "); got != tt.want.kept {
					t.Errorf("kept %q, want %q", got, tt.want.kept)
				}
				if got := strings.Join(audited, ", "); got != tt.want.audited {
					t.Errorf("audited %q, want %q", got, tt.want.audited)
				}
				for _, part := range strings.FieldsFunc(tt.want.parts, func(r rune) bool { return r == '|' }) {
					if !strings.Contains(body, part) {
						t.Errorf("lacks %q:\n%s", part, body)
					}
				}
				for _, part := range strings.FieldsFunc(tt.want.lacks, func(r rune) bool { return r == '|' }) {
					if strings.Contains(body, part) {
						t.Errorf("tells %q:\n%s", part, body)
					}
				}
				if strings.HasPrefix(tt.path, "/api/") && w.Code >= 400 {
					if d := decodeDoc(t, w); !d.Next.IsZero() && w.Header().Get("Retry-After") != "3600" {
						t.Errorf("Retry-After %q, want 3600 s", w.Header().Get("Retry-After"))
					}
				}
			})
		})
	}
}

// TestListLeavesOut: what one may not see is not in the list; and who sees nothing is told why.
func TestListLeavesOut(t *testing.T) {
	two := func(c *Config) {
		c.Endpoints = append(c.Endpoints, Endpoint{Name: "tokyo", ID: "cvpn-endpoint-0bb", Policy: latch.DefaultPolicy()})
	}
	people := &fakePeople{}
	h := newHandler(t, &fake{view: open}, two, func(c *Config) { c.People = people }).(*handler)
	hidden := []string{"tokyo"}
	h.decide = func(q access.Request) access.Decision {
		if q.Who.Subject != alice.Subject || q.At.IsZero() {
			t.Errorf("asked for %+v", q)
		}
		if slices.Contains(hidden, q.Endpoint) {
			return access.Decision{Code: access.DeniedNoRule}
		}
		return (*access.Rules)(nil).Decide(q)
	}
	for _, path := range []string{"/", "/api/v1/endpoints"} {
		if w := send(h, "GET", path, ""); w.Code != 200 || !strings.Contains(w.Body.String(), "seoul") || strings.Contains(w.Body.String(), "tokyo") {
			t.Errorf("%s: got %d\n%s", path, w.Code, w.Body)
		}
	}
	if len(people.refusals) > 0 {
		t.Errorf("a list refuses nobody: %v", people.refusals)
	}
	hidden = []string{"seoul", "tokyo"}
	if w := send(h, "GET", "/", ""); w.Code != 403 || !strings.Contains(w.Body.String(), "No rule allows it") || len(people.refusals) != 1 || people.refusals[0].Endpoint != "" {
		t.Errorf("got %d %v\n%s", w.Code, people.refusals, w.Body)
	}
	if w := send(h, "GET", "/api/v1/endpoints", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"endpoints":[]`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestRulesReachTheKeeper: the longest lease and the reason that a rule wants are in the form and in the request.
func TestRulesReachTheKeeper(t *testing.T) {
	for name, tt := range map[string]struct {
		rule    access.Decision
		choices string
		must    bool
		sent    string
		want    latch.Request
	}{
		"no rule":              {access.Decision{}, "1h0m0s 2h0m0s* 4h0m0s 8h0m0s", false, "", latch.Request{}},
		"four hours":           {access.Decision{Longest: 4 * time.Hour}, "1h0m0s 2h0m0s* 4h0m0s", false, "", latch.Request{Longest: 4 * time.Hour}},
		"less than usual":      {access.Decision{Longest: 90 * time.Minute}, "1h0m0s*", false, "", latch.Request{For: 90 * time.Minute, Longest: 90 * time.Minute}},
		"less than offered":    {access.Decision{Longest: 20 * time.Minute, Reason: true}, "20m0s*", true, "5m", latch.Request{For: 5 * time.Minute, Longest: 20 * time.Minute, ReasonRequired: true}},
		"more than policy has": {access.Decision{Longest: 99 * time.Hour}, "1h0m0s 2h0m0s* 4h0m0s 8h0m0s", false, "1h", latch.Request{For: time.Hour, Longest: 99 * time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			tt.rule.Allowed, tt.rule.Code = true, access.AllowedByRule
			k := &fake{view: off}
			h := rules(t, newHandler(t, k), decisions{access.Open: tt.rule, access.Extend: tt.rule})
			body := send(h, "GET", "/endpoints/seoul", "").Body.String()
			var got []string
			for _, c := range strings.Split(body, `name="for" id="open-for-`)[1:] {
				value := strings.Split(c, `"`)[2]
				if strings.Contains(c[:strings.Index(c, ">")], "checked") {
					value += "*"
				}
				got = append(got, value)
			}
			if strings.Join(got, " ") != tt.choices || strings.Contains(body, " required ") != tt.must {
				t.Errorf("the form offers %v (reason %v), want %s (%v)", got, strings.Contains(body, " required "), tt.choices, tt.must)
			}
			send(h, "POST", "/endpoints/seoul/open", fields("for", tt.sent))
			send(h, "POST", "/api/v1/endpoints/seoul/open", fmt.Sprintf(`{"for":%q}`, tt.sent))
			send(h, "POST", "/endpoints/seoul/extend", fields("for", "1h"))
			want := tt.want
			want.Who, want.Source, want.ID = alice, "198.51.100.7", "REQ-1"
			if len(k.asked) != 3 || k.asked[0] != want || k.asked[1] != want {
				t.Fatalf("asked %+v, want %+v", k.asked, want)
			}
			if x := k.asked[2]; x.Longest != want.Longest || x.ReasonRequired || x.For != time.Hour {
				t.Errorf("extending asked %+v", x)
			}
			k.err = fmt.Errorf("%w: x", latch.ErrTooLong)
			most := "At most " + lengthOf(en, min(cmp.Or(tt.rule.Longest, 12*time.Hour), 12*time.Hour))
			if d := decodeDoc(t, send(h, "POST", "/api/v1/endpoints/seoul/open", `{"for":"2h"}`)); !strings.Contains(d.Detail, most) {
				t.Errorf("told %q, want %q", d.Detail, most)
			}
		})
	}
}

// TestExtendingByRule: the page offers no more than the rule leaves.
func TestExtendingByRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		v := open
		v.Mine = latch.Lease{Subject: alice.Subject, Until: now.Add(time.Hour)}
		v.ExtendUntil = now.Add(11 * time.Hour)
		h := rules(t, newHandler(t, &fake{view: v}), decisions{access.Extend: {Allowed: true, Code: access.AllowedByRule, Longest: 3 * time.Hour}})
		if body := send(h, "GET", "/endpoints/seoul", "").Body.String(); !strings.Contains(body, `value="2h0m0s"`) || strings.Contains(body, `value="4h0m0s"`) {
			t.Errorf("three hours from now are two more than agreed:\n%s", body)
		}
	})
}

// TestWhoMayNotSeeIsToldNoState, not even by the answer to ending a lease that they do not hold.
func TestWhoMayNotSeeIsToldNoState(t *testing.T) {
	h := rules(t, newHandler(t, &fake{view: open, err: latch.ErrNoLease}), decisions{access.See: {Code: access.DeniedNoRule}})
	for _, q := range [][2]string{{"/endpoints/seoul/done", fields()}, {"/api/v1/endpoints/seoul/done", "{}"}} {
		w := send(h, "POST", q[0], q[1])
		if body := w.Body.String(); w.Code != 409 || strings.Contains(body, "It is: on") || strings.Contains(body, `"state"`) || strings.Contains(body, "서울") {
			t.Errorf("%s: got %d\n%s", q[0], w.Code, body)
		}
	}
}

func TestPaused(t *testing.T) {
	until := time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	k := &fake{view: off, err: &latch.HeldError{Hold: latch.Hold{Until: until, Why: "works", Pause: true}}}
	k.view.Hold = &latch.Hold{Until: until, Why: "works", Pause: true}
	h := newHandler(t, k)
	d := decodeDoc(t, send(h, "POST", "/api/v1/endpoints/seoul/open", "{}"))
	if d.Status != 409 || d.Title != "An administrator has paused it" || !strings.Contains(d.Detail, "works") || !d.Next.Equal(until) {
		t.Errorf("got %+v", d)
	}
	if s := send(h, "GET", "/api/v1/endpoints/seoul", "").Body.String(); !strings.Contains(s, `"hold":{"until":"2100-01-01T00:00:00Z","pause":true,"message":"works"}`) {
		t.Errorf("got %s", s)
	}
}

// TestWatchersLearnOfRules: when hours begin or end the page must change, so its tag does.
func TestWatchersLearnOfRules(t *testing.T) {
	h := newHandler(t, &fake{view: off})
	const path = "/api/v1/endpoints/seoul"
	tag := send(h, "GET", path, "").Header().Get("ETag")
	rules(t, h, decisions{access.Open: {Code: access.DeniedHours}})
	w := send(h, "GET", path, "", "If-None-Match: "+tag)
	if w.Code != 200 || w.Header().Get("ETag") == tag {
		t.Errorf("got %d", w.Code)
	}
	if page := send(h, "GET", "/endpoints/seoul", "").Body.String(); !strings.Contains(page, strings.Trim(w.Header().Get("ETag"), `W/"`)) {
		t.Error("the page does not carry the API's tag")
	}
}

func TestBlocked(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, body string
		header             []string
		kept               bool
		audited            string
	}{
		"a page":               {"GET", "/endpoints/seoul", "", nil, true, ""},
		"a page it watches":    {"GET", "/endpoints/seoul", "", []string{"Sec-Fetch-Dest: empty"}, false, ""},
		"a page of nothing":    {"GET", "/endpoints/busan", "", nil, true, ""},
		"administration":       {"GET", "/admin", "", nil, true, ""},
		"the API":              {"GET", "/api/v1/endpoints/seoul", "", nil, false, ""},
		"the list":             {"GET", "/api/v1/endpoints", "", nil, false, ""},
		"opening":              {"POST", "/endpoints/seoul/open", fields(), nil, true, "open.refused"},
		"ending one's own":     {"POST", "/endpoints/seoul/done", fields(), nil, true, "done.refused"},
		"opening by the API":   {"POST", "/api/v1/endpoints/seoul/open", "{}", nil, true, "open.refused"},
		"closing for everyone": {"POST", "/admin/endpoints/seoul/close", fields("for", "1h"), nil, true, "close.refused"},
	} {
		t.Run(name, func(t *testing.T) {
			k, admin := &fake{view: open}, &fakeAdmin{}
			people := &fakePeople{block: &access.Block{Subject: alice.Subject, By: "sub-boss", Why: "secret why"}}
			audited := ""
			h := rules(t, newHandler(t, k, func(c *Config) {
				c.People, c.Admin = people, admin
				c.Audit = func(_ context.Context, e latch.Entry) error { audited += e.Action; return nil }
			}), decisions{access.Administer: {Allowed: true}})
			w := send(h, tt.method, tt.path, tt.body, tt.header...)
			if w.Code != 403 || len(k.verbs) > 0 || len(admin.did) > 0 {
				t.Errorf("got %d, %v", w.Code, k.verbs)
			}
			for _, secret := range []string{"서울", "cvpn-", "secret why", "sub-boss", "/admin\""} {
				if strings.Contains(w.Body.String(), secret) {
					t.Errorf("tells %q", secret)
				}
			}
			if len(people.refusals) > 0 != tt.kept || tt.kept && people.refusals[0].Code != access.DeniedBlocked || audited != tt.audited {
				t.Errorf("kept %v, audited %q", people.refusals, audited)
			}
			if tt.method == "POST" { // or the audit would fill
				people.wait = time.Second
				if w := send(h, tt.method, tt.path, tt.body); w.Code != 429 {
					t.Errorf("too often: got %d", w.Code)
				}
			}
			// They can still leave.
			if w := send(h, "POST", "/sign-out", fields()); w.Code != 303 {
				t.Errorf("signing out: %d", w.Code)
			}
			// And nobody is in while it cannot be known.
			people.block, people.down = nil, map[string]bool{"Blocked": true}
			if w := send(h, tt.method, tt.path, tt.body, tt.header...); w.Code != 503 || w.Header().Get("Retry-After") == "" || len(k.verbs) > 0 || len(admin.did) > 0 {
				t.Errorf("the store away: got %d, %v", w.Code, k.verbs)
			}
		})
	}
	h := newHandler(t, &fake{view: off}, func(c *Config) {
		c.People = &fakePeople{block: &access.Block{Until: time.Date(2100, 1, 2, 0, 0, 0, 0, time.UTC)}}
	})
	if d := decodeDoc(t, send(h, "GET", "/api/v1/endpoints", "")); d.Code != access.DeniedBlocked || d.Next.Year() != 2100 {
		t.Errorf("got %+v", d)
	}
}

// TestPace: changes are counted, whoever makes them; only they; and closing goes on when they cannot be.
func TestPace(t *testing.T) {
	changes := map[string]struct {
		path, body string
		closes     bool
	}{
		"open":                {"/endpoints/seoul/open", fields(), false},
		"extend":              {"/endpoints/seoul/extend", fields(), false},
		"done":                {"/endpoints/seoul/done", fields(), true},
		"open, API":           {"/api/v1/endpoints/seoul/open", "{}", false},
		"extend, API":         {"/api/v1/endpoints/seoul/extend", "{}", false},
		"done, API":           {"/api/v1/endpoints/seoul/done", "{}", true},
		"end somebody's":      {"/admin/endpoints/seoul/end", fields("whose", "x"), true},
		"extend somebody's":   {"/admin/endpoints/seoul/extend", fields("whose", "x", "for", "1h"), false},
		"close":               {"/admin/endpoints/seoul/close", fields("for", "1h"), true},
		"pause":               {"/admin/endpoints/seoul/pause", fields("for", "1h", "reason", "x"), false},
		"release":             {"/admin/endpoints/seoul/release", fields(), false},
		"open outside of all": {"/admin/endpoints/seoul/break-glass", fields("for", "1h", "reason", "x"), false},
	}
	for name, tt := range changes {
		t.Run(name, func(t *testing.T) {
			k, people, admin := &fake{view: open}, &fakePeople{}, &fakeAdmin{}
			h := rules(t, newHandler(t, k, func(c *Config) { c.People, c.Admin = people, admin }), administrator)
			made := func() int { return len(k.verbs) + len(admin.did) }
			if w := send(h, "POST", tt.path, tt.body); w.Code >= 400 || made() != 1 || people.spent != 1 {
				t.Fatalf("got %d, %d changes, %d counted\n%s", w.Code, made(), people.spent, w.Body)
			}
			people.wait = 4200 * time.Millisecond
			if w := send(h, "POST", tt.path, tt.body); w.Code != 429 || w.Header().Get("Retry-After") != "5" || made() != 1 || !strings.Contains(w.Body.String(), "Wait 5 seconds") {
				t.Errorf("too soon: got %d, Retry-After %q, %d changes\n%s", w.Code, w.Header().Get("Retry-After"), made(), w.Body)
			}
			people.wait, people.down = 0, map[string]bool{"Spend": true}
			w := send(h, "POST", tt.path, tt.body)
			if tt.closes && (w.Code >= 400 || made() != 2) {
				t.Errorf("the store away: got %d; closing must go on", w.Code)
			}
			if !tt.closes && (w.Code != 503 || made() != 1 || w.Header().Get("Retry-After") == "") {
				t.Errorf("the store away: got %d, %d changes; nothing may open uncounted", w.Code, made())
			}
			// A form that is not theirs takes nothing from them.
			people.spent = 0
			if send(h, "POST", tt.path, tt.body, "Sec-Fetch-Site: cross-site"); people.spent > 0 {
				t.Error("another site spends their changes")
			}
		})
	}
	people := &fakePeople{}
	h := rules(t, newHandler(t, &fake{view: open}, func(c *Config) { c.People = people }), administrator)
	for _, path := range []string{"/", "/endpoints/seoul", "/endpoints/seoul/open", "/api/v1/endpoints", "/api/v1/endpoints/seoul", "/admin", "/admin/audit", "/admin/endpoints/seoul", "/admin/endpoints/seoul/close"} {
		if send(h, "GET", path, ""); people.spent > 0 {
			t.Fatalf("GET %s counts as a change", path)
		}
	}
}

// TestRefusalsThatCannotBeKept change no answer, and are in the log.
func TestRefusalsThatCannotBeKept(t *testing.T) {
	var log bytes.Buffer
	people := &fakePeople{down: map[string]bool{"SaveRefusal": true}}
	h := rules(t, newHandler(t, &fake{view: off}, func(c *Config) {
		c.People = people
		c.Audit = func(context.Context, latch.Entry) error { return errDown }
		c.Log = slog.New(slog.NewJSONHandler(&log, nil))
	}), decisions{access.Open: {Code: access.DeniedByRule, Rule: "no-contractors"}})
	if w := send(h, "POST", "/api/v1/endpoints/seoul/open", "{}"); w.Code != 403 {
		t.Errorf("got %d", w.Code)
	}
	for _, want := range []string{"refusal not kept", "audit entry lost", "no-contractors", `"msg":"audit"`, "open.refused"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, log.String())
		}
	}
}

func TestLimits(t *testing.T) {
	many := func(n, size int) []string {
		var l []string
		for i := range n {
			l = append(l, fmt.Sprintf("X-Field-%d: %s", i, strings.Repeat("x", size)))
		}
		return l
	}
	for name, tt := range map[string]struct {
		path   string
		header []string
		status int
	}{
		"as browsers send":            {"/endpoints/seoul", many(30, 200), 200},
		"101 fields":                  {"/endpoints/seoul", many(101, 1), 431},
		"101 fields at the API":       {"/api/v1/endpoints", many(101, 1), 431},
		"a header of 65 KB":           {"/endpoints/seoul", many(1, 65<<10), 431},
		"many that come to 65 KB":     {"/endpoints/seoul", many(65, 1<<10), 431},
		"before anybody is asked for": {"/nowhere", many(101, 1), 431},
		"an address of 9 KB":          {"/endpoints/seoul?x=" + strings.Repeat("x", 9<<10), nil, 414},
		"at the API":                  {"/api/v1/endpoints?x=" + strings.Repeat("x", 9<<10), nil, 414},
	} {
		t.Run(name, func(t *testing.T) {
			asked := false
			h := newHandler(t, &fake{view: off}, func(c *Config) {
				was := c.Authenticate
				c.Authenticate = func(r *http.Request) (access.Identity, error) { asked = true; return was(r) }
			})
			w := send(h, "GET", tt.path, "", tt.header...)
			if w.Code != tt.status || asked != (tt.status == 200) || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Request-Id") == "" {
				t.Errorf("got %d, want %d; asked who it is: %v", w.Code, tt.status, asked)
			}
			if tt.status != 200 && strings.HasPrefix(tt.path, "/api/") {
				decodeDoc(t, w)
			}
		})
	}
}

// TestForwardedHostsDecideNothing: no address is made of what a request says about hosts, and it is no origin either.
func TestForwardedHostsDecideNothing(t *testing.T) {
	spoof := []string{"X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "X-Forwarded-Prefix: //evil.example", "Forwarded: host=evil.example;proto=http", "X-Host: evil.example", "X-Original-Url: /admin"}
	h := newHandler(t, &fake{view: open})
	for _, q := range [][3]string{{"GET", "/", ""}, {"GET", "/endpoints/seoul/open", ""}, {"POST", "/endpoints/seoul/open", fields()}, {"POST", "/sign-out", fields()}, {"GET", "/nowhere", ""}} {
		w := send(h, q[0], q[1], q[2], spoof...)
		if strings.Contains(fmt.Sprint(w.Header(), w.Body), "evil.example") {
			t.Errorf("%s %s repeats a forwarded host:\n%v\n%s", q[0], q[1], w.Header(), w.Body)
		}
	}
	if w := send(h, "POST", "/api/v1/endpoints/seoul/open", "{}", "Sec-Fetch-Site:", "Origin: https://evil.example", "X-Forwarded-Host: evil.example"); w.Code != 403 {
		t.Errorf("a forwarded host makes another site our own: %d", w.Code)
	}
}

func TestHEAD(t *testing.T) {
	h := newHandler(t, &fake{view: open})
	for _, path := range []string{"/", "/endpoints/seoul", "/api/v1/endpoints/seoul"} {
		if w := send(h, "HEAD", path, ""); w.Code != 200 || w.Header().Get("Content-Type") == "" {
			t.Errorf("HEAD %s: %d", path, w.Code)
		}
	}
}

// TestDecisionsInJSON: a refusal's document has nothing that is not for everybody.
func TestDecisionsInJSON(t *testing.T) {
	h := rules(t, newHandler(t, &fake{view: off}), decisions{access.Open: {Code: access.DeniedHours, Rule: "secret-rule", From: time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC), Contact: "IT"}})
	w := send(h, "POST", "/api/v1/endpoints/seoul/open", "{}")
	var got map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := []string{"code", "contact", "detail", "endpoint", "next", "requestId", "status", "title", "type"}
	var keys []string
	for k := range got {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	if !slices.Equal(keys, want) || got["type"] != "urn:nightlatch:problem:forbidden" {
		t.Errorf("got %v", got)
	}
}
