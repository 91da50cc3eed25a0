package web

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
)

func TestAdminForms(t *testing.T) {
	const at = "/admin/endpoints/seoul/"
	ends := decisions{access.EndOthers: {Allowed: true, Code: access.AllowedByRule}}
	for name, tt := range map[string]struct {
		by                 decisions
		method, path, body string
		header             []string
		err                error // the Keeper's
		status             int
		did                string
		length             time.Duration
		said               string
	}{
		"ending somebody's":                   {administrator, "POST", at + "end", fields("whose", "sub-kim", "for", "1h0m0s"), nil, nil, 303, "end sub-kim", 0, ""},
		"ending, by who may only that":        {ends, "POST", at + "end", fields("whose", "sub-kim"), nil, nil, 303, "end sub-kim", 0, ""},
		"extending somebody's":                {administrator, "POST", at + "extend", fields("whose", "sub-kim", "for", "2h"), nil, nil, 303, "extend sub-kim", 2 * time.Hour, ""},
		"pausing":                             {administrator, "POST", at + "pause", fields("for", "24h0m0s", "reason", "works"), nil, nil, 303, "pause", 24 * time.Hour, ""},
		"closing without a word":              {administrator, "POST", at + "close", fields("for", "30m"), nil, nil, 303, "close", 30 * time.Minute, ""},
		"releasing":                           {administrator, "POST", at + "release", fields(), nil, nil, 303, "release", 0, ""},
		"breaking the glass":                  {administrator, "POST", at + "break-glass", fields("for", "1h", "reason", "fire"), nil, nil, 303, "break-glass", time.Hour, ""},
		"ending one's own":                    {administrator, "POST", at + "end", fields("whose", "sub-alice"), nil, nil, 400, "", 0, "This is your own time"},
		"extending one's own":                 {administrator, "POST", at + "extend", fields("whose", "sub-alice", "for", "1h"), nil, nil, 400, "", 0, "This is your own time"},
		"ending nobody's":                     {administrator, "POST", at + "end", fields(), nil, nil, 400, "", 0, "Choose whose time"},
		"ending an endless name's":            {administrator, "POST", at + "end", fields("whose", strings.Repeat("x", 256)), nil, nil, 400, "", 0, "Choose whose time"},
		"extending by nothing":                {administrator, "POST", at + "extend", fields("whose", "sub-kim"), nil, nil, 400, "", 0, "at most 12 hours"},
		"extending beyond policy":             {administrator, "POST", at + "extend", fields("whose", "sub-kim", "for", "13h"), nil, nil, 400, "", 0, "at most 12 hours"},
		"pausing without a message":           {administrator, "POST", at + "pause", fields("for", "1h", "reason", " "), nil, nil, 400, "", 0, "A reason is needed"},
		"pausing for too long":                {administrator, "POST", at + "pause", fields("for", "25h", "reason", "x"), nil, nil, 400, "", 0, "at most 24 hours"},
		"pausing without an end":              {administrator, "POST", at + "pause", fields("reason", "x"), nil, nil, 400, "", 0, "at most 24 hours"},
		"closing for nonsense":                {administrator, "POST", at + "close", fields("for", "ever"), nil, nil, 400, "", 0, "at most 24 hours"},
		"breaking the glass, unsaid why":      {administrator, "POST", at + "break-glass", fields("for", "1h"), nil, nil, 400, "", 0, "A reason is needed"},
		"breaking the glass, unsaid how long": {administrator, "POST", at + "break-glass", fields("reason", "fire"), nil, nil, 400, "", 0, "at most 12 hours"},
		"a reason of two lines":               {administrator, "POST", at + "close", fields("for", "1h", "reason", "a\nb"), nil, nil, 400, "", 0, "one line"},
		"a lease that is gone":                {administrator, "POST", at + "end", fields("whose", "sub-kim"), nil, fmt.Errorf("%w: nor does sub-kim", latch.ErrNoLease), 409, "end sub-kim", 0, "That person&#39;s time has ended already"},
		"an order that is gone":               {administrator, "POST", at + "release", fields(), nil, latch.ErrNoLease, 409, "release", 0, "No order is in force"},
		"AWS refuses":                         {administrator, "POST", at + "close", fields("for", "1h"), nil, latch.ErrRefused, 502, "close", time.Hour, "AWS refused"},
		"an endpoint that is not there":       {administrator, "POST", "/admin/endpoints/busan/close", fields("for", "1h"), nil, nil, 404, "", 0, ""},
		"a verb that is not there":            {administrator, "POST", at + "delete", fields(), nil, nil, 404, "", 0, ""},
		"from another site":                   {administrator, "POST", at + "close", fields("for", "1h"), []string{"Sec-Fetch-Site: cross-site"}, nil, 403, "", 0, "another site"},
		"from a sibling site":                 {administrator, "POST", at + "close", fields("for", "1h"), []string{"Sec-Fetch-Site: same-site"}, nil, 403, "", 0, "another site"},
		"without a token":                     {administrator, "POST", at + "close", "for=1h", nil, nil, 403, "", 0, "out of date"},
		"as JSON":                             {administrator, "POST", at + "close", "{}", []string{"Content-Type: application/json"}, nil, 415, "", 0, ""},
		"by a GET":                            {administrator, "GET", at + "close?for=1h", "", nil, nil, 303, "", 0, ""},
		"by who may not":                      {nil, "POST", at + "end", fields("whose", "sub-kim"), nil, nil, 403, "", 0, "You may not end other"},
	} {
		t.Run(name, func(t *testing.T) {
			k, admin := &fake{view: open, err: tt.err}, &fakeAdmin{err: tt.err}
			h := rules(t, newHandler(t, k, func(c *Config) { c.Admin = admin }), tt.by)
			w := send(h, tt.method, tt.path, tt.body, tt.header...)
			did, asked := strings.Join(admin.did, ", "), admin.asked
			if len(k.verbs) > 0 {
				asked = k.asked[0]
				if k.verbs[0] == "open" && asked.BreakGlass {
					did += "break-glass"
				} else {
					did += k.verbs[0]
				}
			}
			if w.Code != tt.status || did != tt.did || !strings.Contains(w.Body.String(), tt.said) {
				t.Fatalf("got %d, did %q; want %d, %q, and %q\n%s", w.Code, did, tt.status, tt.did, tt.said, w.Body)
			}
			if did != "" && (asked.Who != alice || asked.For != tt.length || asked.Source != "198.51.100.7" || asked.ID != "REQ-1" || asked.BreakGlass != (did == "break-glass")) {
				t.Errorf("asked %+v", asked)
			}
			if got := w.Header().Get("Location"); (got == "/admin/endpoints/seoul") != (w.Code == 303) {
				t.Errorf("leads to %q", got)
			}
			if w.Code >= 400 && tt.by != nil && strings.HasPrefix(tt.path, at) && w.Code != 404 && w.Code != 403 && !strings.Contains(w.Body.String(), `href="/admin/endpoints/seoul">`) {
				t.Errorf("no way back to where it was pressed:\n%s", w.Body)
			}
		})
	}
}

// TestWhatEachAdministratorSees: who may only end others' leases sees leases; who administers one endpoint sees nothing of
// another, nor of people as such.
func TestWhatEachAdministratorSees(t *testing.T) {
	people := func() *fakePeople {
		return &fakePeople{
			refusals: []access.Refusal{
				{Subject: "at-seoul", Endpoint: "cvpn-endpoint-0aa", Action: access.Open, Code: access.DeniedNoRule},
				{Subject: "at-tokyo", Endpoint: "cvpn-endpoint-0bb", Action: access.Open, Code: access.DeniedNoRule},
				{Subject: "at-none", Action: access.See, Code: access.DeniedBlocked},
			},
			blocks: []access.Block{{Subject: "sub-gone"}},
		}
	}
	may := func(actions map[string][]access.Action) func(access.Request) access.Decision {
		return func(q access.Request) access.Decision {
			if slices.Contains(actions[q.Endpoint], q.Action) {
				return access.Decision{Allowed: true, Code: access.AllowedByRule}
			}
			return (*access.Rules)(nil).Decide(q)
		}
	}
	all := []access.Action{access.Administer}
	for name, tt := range map[string]struct {
		may                           map[string][]access.Action
		overview, seoul, tokyo, audit string // what is there, separated by |; "!x": x is not; empty: 403
	}{
		"nobody in particular": {nil, "", "", "", ""},
		"who administers everything": {map[string][]access.Action{"seoul": all, "tokyo": all},
			"서울|tokyo|at-seoul|at-tokyo|at-none|sub-gone|⚠|/admin/audit", "김하나|배포|/end|/extend|form-pause|form-close|form-break-glass|⚠|10.9.0.0/16", "form-pause", "서울|tokyo|value=\"-\""},
		"who administers one": {map[string][]access.Action{"seoul": all},
			"서울|!tokyo|at-seoul|!at-tokyo|!at-none|!sub-gone|!access block|⚠", "김하나|form-pause", "", "서울|!tokyo|!value=\"-\""},
		"who may end others'": {map[string][]access.Action{"seoul": {access.EndOthers}},
			"서울|!tokyo|!at-seoul|!sub-gone|!⚠|!audit", "김하나|배포|/end|!seoul/extend|!form-pause|!form-close|!form-break-glass|!⚠|!10.9.0.0|!audit|!switches|!scheduler", "", ""},
		"who may end others' at one and administers another": {map[string][]access.Action{"seoul": {access.EndOthers}, "tokyo": all},
			"서울|tokyo|!at-seoul|at-tokyo|!sub-gone", "/end|!form-pause", "form-pause", "tokyo|!서울"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHandler(t, &fake{view: open}, func(c *Config) {
				c.Endpoints = append(c.Endpoints, Endpoint{Name: "tokyo", ID: "cvpn-endpoint-0bb", Policy: latch.DefaultPolicy()})
				c.People, c.Admin = people(), consoled(time.Now())
			}).(*handler)
			h.decide = may(tt.may)
			for path, want := range map[string]string{"/admin": tt.overview, "/admin/endpoints/seoul": tt.seoul, "/admin/endpoints/tokyo": tt.tokyo, "/admin/audit": tt.audit} {
				w := send(h, "GET", path, "")
				body := w.Body.String()
				if want == "" {
					if w.Code != 403 || strings.Contains(body, "김하나") {
						t.Errorf("%s: got %d\n%s", path, w.Code, body)
					}
					continue
				}
				if w.Code != 200 {
					t.Errorf("%s: got %d\n%s", path, w.Code, body)
				}
				for part := range strings.SplitSeq(want, "|") {
					if part, not := strings.CutPrefix(part, "!"); strings.Contains(body, part) == not {
						t.Errorf("%s: has %q: %v, want %v\n%s", path, part, not, !not, body)
					}
				}
			}
			if got := strings.Contains(send(h, "GET", "/endpoints/seoul", "").Body.String(), `href="/admin"`); got != (tt.overview != "") {
				t.Errorf("a link to administration: %v", got)
			}
			if w := send(h, "GET", "/admin/audit?endpoint=-", ""); (w.Code == 200) != (len(tt.may) == 2 && len(tt.may["seoul"]) > 0 && tt.may["seoul"][0] == access.Administer) {
				t.Errorf("what is about no endpoint: %d", w.Code)
			}
		})
	}
}

func TestAuditSearch(t *testing.T) {
	kst := seoul(t)
	day := func(d, hour int) time.Time { return time.Date(2026, 11, d, hour, 0, 0, 0, kst) }
	var entries []latch.Entry
	add := func(at time.Time, s latch.Subject, name, action, id string) {
		entries = append(entries, latch.Entry{At: at, Endpoint: "cvpn-endpoint-0aa", Subject: s, Name: name, Action: action, Request: id})
	}
	add(day(22, 0), "sub-kim", "Kim Hana", "open", "R6")
	add(day(21, 23), "sub-kim", "Kim Hana", "done", "R5")
	add(day(21, 0), "sub-lee", "Lee", "open", "R4")
	add(day(20, 23), "", "", "close", "R3")
	add(day(20, 1), "sub-kim", "", "open", "R2")
	add(day(19, 1), "sub-leek", "Kimchi", "open", "R1")
	entries = append(entries, latch.Entry{At: day(22, 1), Subject: "sub-x", Action: "sign-in", Request: "R9"})
	h := rules(t, newHandler(t, &fake{view: off}, func(c *Config) { c.Admin = &fakeAdmin{entries: entries} }), administrator)
	for query, want := range map[string]string{
		"":                                "R6 R5 R4 R3 R2 R1",
		"endpoint=seoul":                  "R6 R5 R4 R3 R2 R1",
		"endpoint=-":                      "R9",
		"person=kim":                      "R6 R5 R1",
		"person=KIM+hana":                 "R6 R5",
		"person=sub-lee":                  "R4", // a subject is whole, or somebody else's would match
		"person=sub-kim":                  "R6 R5 R2",
		"person=%EA%B9%80":                "",
		"action=open":                     "R6 R4 R2 R1",
		"action=op":                       "",
		"from=2026-11-21":                 "R6 R5 R4",
		"to=2026-11-21":                   "R5 R4 R3 R2 R1",
		"from=2026-11-21&to=2026-11-21":   "R5 R4",
		"from=2026-11-22&to=2026-11-21":   "",
		"person=kim&action=open&page=1":   "R6 R1",
		"person=kim&page=2":               "",
		"page=-7":                         "R6 R5 R4 R3 R2 R1",
		"page=99999999999999999999":       "R6 R5 R4 R3 R2 R1",
		"person=%3Cscript%3Ealert(1)":     "",
		"action=%22%3E%3Cscript%3Ealert1": "",
	} {
		w := send(h, "GET", "/admin/audit?"+query, "")
		var got []string
		for _, part := range strings.Split(w.Body.String(), "<code lang=\"en\">")[1:] {
			code, _, _ := strings.Cut(part, "<")
			words := strings.Fields(code)
			if last := words[len(words)-1]; len(last) == 2 && last[0] == 'R' {
				got = append(got, last)
			}
		}
		if w.Code != 200 || strings.Join(got, " ") != want {
			t.Errorf("?%s: got %d %v, want %s", query, w.Code, got, want)
		}
		if strings.Contains(w.Body.String(), "<script") {
			t.Errorf("?%s: markup", query)
		}
	}
	for _, query := range []string{"from=yesterday", "to=2026-13-01", "endpoint=busan"} {
		if w := send(h, "GET", "/admin/audit?"+query, ""); w.Code != 400 && w.Code != 404 {
			t.Errorf("?%s: got %d", query, w.Code)
		}
	}
}

func TestAuditIsSearchedOnlySoFar(t *testing.T) {
	var entries []latch.Entry
	for range auditRead + 1 {
		entries = append(entries, latch.Entry{At: t0, Endpoint: "cvpn-endpoint-0aa", Action: "open"})
	}
	h := rules(t, newHandler(t, &fake{view: off}, func(c *Config) { c.Admin = &fakeAdmin{entries: entries} }), administrator)
	if body := send(h, "GET", "/admin/audit?page=40", "").Body.String(); !strings.Contains(body, "Only the newest 1000") || strings.Count(body, "<li><span><time") != auditPage || strings.Contains(body, ">Older<") || !strings.Contains(body, "page=39") {
		t.Errorf("the last page of what is searched:\n%s", body)
	}
}

func TestWatchedEndpointsHaveNoOrders(t *testing.T) {
	h := rules(t, newHandler(t, &fake{view: open}, func(c *Config) {
		c.Admin, c.Endpoints[0].Policy.Observe = consoled(time.Now()), true
	}), administrator)
	if body := send(h, "GET", "/admin/endpoints/seoul", "").Body.String(); strings.Contains(body, "form-pause") || !strings.Contains(body, "only watches") || !strings.Contains(body, "10.9.0.0/16") {
		t.Errorf("got\n%s", body)
	}
}

// TestOneEndpointThatCannotBeLookedAt does not hide the others from administrators either.
func TestOneEndpointThatCannotBeLookedAt(t *testing.T) {
	h := rules(t, newHandler(t, &failing{fake{view: open}, "cvpn-endpoint-0bb"}, func(c *Config) {
		c.Endpoints = append(c.Endpoints, Endpoint{Name: "tokyo", ID: "cvpn-endpoint-0bb", Policy: latch.DefaultPolicy()})
	}), administrator)
	if w := send(h, "GET", "/admin", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "Cannot be shown now") || !strings.Contains(w.Body.String(), "VPN is ready") {
		t.Errorf("got %d\n%s", w.Code, w.Body)
	}
}
