package web

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/html"

	"github.com/nightlatch/nightlatch/internal/access"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

type fsInfo = fs.FileInfo

var update = flag.Bool("update", false, "write testdata/*.html anew")

// scene is one thing that a person may see.
type scene struct {
	view   func(now time.Time) latch.View
	err    error // of View
	signin error
	visit  bool // a person navigates, and the policy opens on visit
	reason bool // the policy wants one
	list   bool // several endpoints
	path   string
	status int
	rules  map[access.Action]access.Decision // in place of the default rule's
	people fakePeople
	admin  func(now time.Time) *fakeAdmin
	flow   error // of the sign-in's end; set: the front signs people in itself
}

func steps(associated, routes, total int, ready bool) []latch.Stage {
	return []latch.Stage{
		{Name: latch.StageAccepted, Done: true},
		{Name: latch.StageAssociate, Done: associated > 0, Ready: associated, Total: 1},
		{Name: latch.StageRoutes, Done: associated > 0 && routes == total, Ready: routes, Total: total},
		{Name: latch.StageReady, Done: ready},
	}
}

func scenes() map[string]scene {
	view := func(v latch.View, change func(v *latch.View, now time.Time)) func(time.Time) latch.View {
		return func(now time.Time) latch.View {
			v := v
			v.ObservedAt = now.Add(-2 * time.Second)
			if change != nil {
				change(&v, now)
			}
			return v
		}
	}
	state := func(s latch.State, r latch.Reason) latch.View {
		return latch.View{State: s, Reason: r, LookAgain: 5 * time.Second}
	}
	mine := func(v *latch.View, now time.Time, d time.Duration) {
		v.Mine = latch.Lease{Subject: alice.Subject, Since: now.Add(-time.Hour), Until: now.Add(d)}
	}
	running := func(v *latch.View, now time.Time) {
		v.Since, v.ReadyAt, v.ExtendUntil = now.Add(-time.Hour), now.Add(-55*time.Minute), now.Add(11*time.Hour)
		v.Until = now.Add(52 * time.Minute)
		v.Reason.Until = v.Until
		v.Steps = steps(1, 4, 4, true)
	}
	return map[string]scene{
		"off": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), func(v *latch.View, now time.Time) {
			v.Usual = latch.Range{From: 4*time.Minute + 20*time.Second, To: 11 * time.Minute}
		})},
		"off-hours": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffHours}), func(v *latch.View, now time.Time) {
			v.OpenFrom = now.Add(17 * time.Hour)
			v.Reason.Until = v.OpenFrom
		}), visit: true},
		"ready-of-others-after-hours": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			v.Others, v.OpenFrom = 1, now.Add(17*time.Hour)
		})},
		"off-held": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffHeld, Message: "工事 공사"}), func(v *latch.View, now time.Time) {
			v.OpenFrom = now.Add(time.Hour)
			v.Reason.Until = v.OpenFrom
		})},
		"off-reason": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), func(v *latch.View, now time.Time) {
			v.Usual = latch.Range{From: 4 * time.Minute, To: 11 * time.Minute}
		}), reason: true},
		"observed": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenWould}), func(v *latch.View, now time.Time) {
			running(v, now)
			v.Observed, v.Until = true, time.Time{}
		})},
		"off-visit": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), visit: true},
		"off-failed": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), func(v *latch.View, now time.Time) {
			v.Failure = &latch.Failure{At: now.Add(-time.Minute), Step: "associate subnet-a", Why: "ec2: InsufficientFreeAddresses: <b>no room</b>"}
		})},
		"opening": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningRoutes, Done: 2, Total: 4}), func(v *latch.View, now time.Time) {
			v.Since, v.ExtendUntil, v.Steps = now.Add(-3*time.Minute), now.Add(12*time.Hour), steps(1, 2, 4, false)
			mine(v, now, 57*time.Minute)
		})},
		"opening-by-others": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningAssociating}), func(v *latch.View, now time.Time) {
			v.Since, v.Others, v.Steps = now.Add(-20*time.Second), 1, steps(0, 0, 4, false)
			v.Progress = &latch.Progress{Phase: latch.PhaseAssociate, Since: v.Since, Left: latch.Range{From: 4 * time.Minute, To: 12 * time.Minute}}
		})},
		"opening-by-experience": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningAssociating}), func(v *latch.View, now time.Time) {
			v.Since, v.Steps = now.Add(-4*time.Minute), steps(0, 0, 4, false)
			v.Progress = &latch.Progress{Phase: latch.PhaseAssociate, Since: v.Since, Samples: 23, Left: latch.Range{From: 72 * time.Second, To: 150 * time.Second}}
			mine(v, now, time.Hour)
		})},
		"opening-slow": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningAssociating}), func(v *latch.View, now time.Time) {
			v.Since, v.Steps = now.Add(-11*time.Minute), steps(0, 0, 4, false)
			v.Progress = &latch.Progress{Phase: latch.PhaseAssociate, Since: v.Since, Samples: 23, Slow: true, Left: latch.Range{From: time.Minute, To: time.Minute}}
			mine(v, now, time.Hour)
		})},
		"opening-stuck": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningAssociating}), func(v *latch.View, now time.Time) {
			v.Since, v.Steps = now.Add(-40*time.Minute), steps(0, 0, 4, false)
			v.Progress = &latch.Progress{Phase: latch.PhaseAssociate, Since: v.Since, Slow: true, Stuck: true}
			mine(v, now, time.Hour)
		})},
		"ready": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 52*time.Minute)
		})},
		"ready-soon": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 12*time.Minute)
			v.Until = v.Mine.Until
			v.Reason.Until, v.Soon = v.Until, true
		})},
		"ready-with-others": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 52*time.Minute)
			v.Others = 2
		})},
		"ready-of-others": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			v.Others = 2
		})},
		"ready-at-the-maximum": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 52*time.Minute)
			v.ExtendUntil = v.Mine.Until
		})},
		"ready-tomorrow": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenTraffic}), func(v *latch.View, now time.Time) {
			running(v, now)
			v.Until = now.Add(20 * time.Hour)
			v.Reason.Until = v.Until
		})},
		"degraded": {view: view(state(latch.StateDegraded, latch.Reason{Code: latch.DegradedRoutes, Done: 3, Total: 4}), func(v *latch.View, now time.Time) {
			running(v, now)
			v.Steps = steps(1, 3, 4, false)
			mine(v, now, 52*time.Minute)
		})},
		"closing": {view: view(state(latch.StateClosing, latch.Reason{Code: latch.ClosingIdle}), func(v *latch.View, now time.Time) {
			v.Progress = &latch.Progress{Phase: latch.PhaseClose, Since: now, Samples: 7, Left: latch.Range{From: 3 * time.Minute, To: 3 * time.Minute}}
		})},
		"closing-queued": {view: view(state(latch.StateClosing, latch.Reason{Code: latch.OpeningQueued}), func(v *latch.View, now time.Time) {
			mine(v, now, time.Hour)
		})},
		"unknown": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 52*time.Minute)
			v.ObservedAt, v.Stale, v.Cause = now.Add(-5*time.Minute), true, latch.ErrUnavailable
		})},
		"unusable": {view: view(state(latch.StateUnusable, latch.Reason{Code: latch.UnusableStatus, Status: "deleting"}), nil)},

		"off-refused": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil),
			rules: map[access.Action]access.Decision{access.Open: {Code: access.DeniedNoRule, Contact: "it@corp.example"}}},
		"off-refused-now": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), visit: true,
			rules: map[access.Action]access.Decision{access.Open: {Code: access.DeniedHours, From: scenesAt.Add(17 * time.Hour)}}},
		"off-by-rule": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), visit: true,
			rules: map[access.Action]access.Decision{access.Open: {Allowed: true, Code: access.AllowedByRule, Longest: 90 * time.Minute, Reason: true}}},
		"ready-extending-refused": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 12*time.Minute)
			v.Soon = true
		}), rules: map[access.Action]access.Decision{access.Extend: {Code: access.DeniedByRule, Contact: "it@corp.example"}}},
		"ready-paused": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenPaused, Message: "工事 공사"}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 52*time.Minute)
			v.Hold = &latch.Hold{Until: now.Add(4 * time.Hour), Why: "工事 공사", Pause: true}
			v.OpenFrom = v.Hold.Until
		})},
		"opening-paused": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningAssociating}), func(v *latch.View, now time.Time) {
			v.Since, v.Steps = now.Add(-time.Minute), steps(0, 0, 4, false)
			v.Hold = &latch.Hold{Until: now.Add(4 * time.Hour), Why: "工事 공사", Pause: true}
			v.OpenFrom = v.Hold.Until
		})},
		"off-intent": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), visit: true,
			path: "/endpoints/seoul?look&intent=open&for=4h0m0s"},
		"ready-intent": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			running(v, now)
			mine(v, now, 52*time.Minute)
		}), path: "/endpoints/seoul?look&intent=done"},

		"problem-may-not-see": {status: 403, rules: map[access.Action]access.Decision{access.See: {Code: access.DeniedGroupsCut, Contact: "it@corp.example"}}},
		"problem-may-only-leave": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), func(v *latch.View, now time.Time) {
			mine(v, now, time.Hour)
		}), status: 403, rules: map[access.Action]access.Decision{access.See: {Code: access.DeniedHours, From: scenesAt.Add(time.Hour)}}},
		"problem-blocked":      {status: 403, people: fakePeople{block: &access.Block{Subject: alice.Subject, Why: "secret"}}},
		"problem-unchecked":    {status: 503, people: fakePeople{down: map[string]bool{"Blocked": true}}},
		"problem-sign-in-lost": {status: 400, path: "/oauth2/callback?code=x", flow: signin.ErrFlow},
		"problem-issuer":       {status: 503, path: "/sign-in", flow: signin.ErrIssuer},
		"signed-out":           {path: "/signed-out", flow: signin.ErrFlow},

		"admin": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), running), path: "/admin", list: true, rules: administrator,
			admin: consoled, people: fakePeople{
				refusals: []access.Refusal{
					{Subject: "sub-kim", Name: "김하나", Endpoint: "cvpn-endpoint-0aa", Action: access.Open, Code: access.DeniedByRule, Rule: "no-contractors", At: scenesAt.Add(-time.Hour), Source: "198.51.100.9", Request: "REQ-7"},
					{Subject: "sub-x", Action: access.Administer, Code: access.DeniedNoRule, At: scenesAt.Add(-2 * time.Hour)},
				},
				blocks: []access.Block{{Subject: "sub-gone", Why: "退職", Since: scenesAt.Add(-48 * time.Hour), Until: scenesAt.Add(48 * time.Hour)}},
			}},
		"admin-nothing": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), path: "/admin", rules: administrator},
		"admin-endpoint": {view: view(state(latch.StateOpening, latch.Reason{Code: latch.OpeningAssociating}), func(v *latch.View, now time.Time) {
			v.Hold = &latch.Hold{Until: now.Add(time.Hour), Why: "工事 공사", Pause: true}
			v.Progress = &latch.Progress{Phase: latch.PhaseAssociate, Since: now.Add(-time.Hour), Stuck: true}
		}), path: "/admin/endpoints/seoul", rules: administrator, admin: consoled},
		"admin-endpoint-off": {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), path: "/admin/endpoints/seoul", rules: administrator},
		"admin-endpoint-end-others": {view: view(state(latch.StateOpen, latch.Reason{Code: latch.OpenLease}), running), path: "/admin/endpoints/seoul", admin: consoled,
			rules: map[access.Action]access.Decision{access.EndOthers: {Allowed: true, Code: access.AllowedByRule}}},
		"admin-audit": {view: view(off, nil), path: "/admin/audit?endpoint=seoul&from=1999-12-31&to=2000-01-01&page=2", rules: administrator, admin: consoled},

		"list":               {view: view(state(latch.StateOff, latch.Reason{Code: latch.OffIdle}), nil), list: true, path: "/"},
		"problem-refused":    {signin: ErrForbidden, status: 403},
		"problem-signed-out": {signin: signin.ErrNoToken, status: 401},
		"problem-no-such":    {path: "/endpoints/busan", status: 404},
		"problem-failed": {status: 502, err: fmt.Errorf("%w: %w", latch.ErrRefused,
			&latch.Fault{Service: "ec2", Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation."})},
		"problem-wrong": {status: 500, err: errors.New("?")},
	}
}

// scenesAt is when every scene is: a bubble begins then.
var scenesAt = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

var administrator = map[access.Action]access.Decision{access.Administer: {Allowed: true, Code: access.AllowedByRule}}

// consoled is an endpoint about which there is much to say.
func consoled(now time.Time) *fakeAdmin {
	f := &fakeAdmin{said: latch.Explanation{
		ObservedAt: now.Add(-5 * time.Minute), Stale: true, Unanswered: fmt.Errorf("%w: %w", latch.ErrBusy, errDown),
		Leases: []latch.Lease{
			{Subject: "sub-kim", Name: "김하나", Why: "<b>배포</b>", Until: now.Add(2 * time.Hour)},
			{Subject: alice.Subject, Name: alice.Name, Until: now.Add(time.Hour)},
			{Subject: "sub-tanaka", Name: "田中", Until: now.Add(30 * time.Minute), BreakGlass: true},
			{Subject: latch.ByHandSubject, Until: now.Add(20 * time.Minute)},
		},
		Causes:      []latch.Cause{{Code: latch.CauseLease, Who: "김하나", At: now.Add(2 * time.Hour)}, {Code: latch.CauseSwitch, At: now.Add(-time.Minute)}},
		Differences: []latch.Difference{{Code: latch.RouteMissing, Destination: "10.9.0.0/16", Subnet: "a-1"}},
		Failure:     &latch.Failure{At: now.Add(-time.Hour), Step: "associate subnet-a", Why: "no room"},
		DeadLetters: []latch.Notice{{Kind: latch.NoticeReady, Last: "status 410"}},
	}}
	for i := range 60 {
		f.entries = append(f.entries, latch.Entry{At: now.Add(-time.Duration(i) * time.Minute), Endpoint: "cvpn-endpoint-0aa", Subject: "sub-kim", Name: "김하나",
			Action: "open", Why: "배포", Before: "off", After: "2h0m0s", Source: "198.51.100.9", Request: fmt.Sprint("REQ-", i)})
	}
	f.entries[30] = latch.Entry{At: now.Add(-30 * time.Minute), Endpoint: "cvpn-endpoint-0aa", Action: "route.learn", After: "10.9.0.0/16 via subnet-a"}
	f.entries[31] = latch.Entry{At: now.Add(-31 * time.Minute), Endpoint: "cvpn-endpoint-0aa", Subject: "sub-x", Action: "open.refused", Code: latch.Code(access.DeniedByRule), After: "refused by no-contractors"}
	f.entries[32] = latch.Entry{At: now.Add(-32 * time.Minute), Endpoint: "cvpn-endpoint-0aa", Subject: "sub-kim", Name: "김하나", Action: "end-for", Whose: "sub-x", Code: latch.ClosingDone, Before: "x"}
	f.entries[33] = latch.Entry{At: now.Add(-33 * time.Minute), Endpoint: "cvpn-endpoint-0aa", Subject: "sub-kim", Name: "김하나", Action: "break-glass", Code: latch.OpenBreakGlass, Why: "火事"}
	return f
}

// show renders a scene at a fixed time.
func show(t *testing.T, s scene, l lang) (body string, size int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		k := &fake{viewed: s.err}
		if s.view != nil {
			k.view = s.view(time.Now())
		}
		h := newHandler(t, k, func(c *Config) {
			if s.signin != nil {
				c.Authenticate = func(*http.Request) (access.Identity, error) { return access.Identity{}, s.signin }
			}
			c.Endpoints[0].Policy.ReasonRequired = s.reason
			if s.visit {
				c.Endpoints[0].Policy.OnVisit = latch.VisitOpens
			}
			c.People = &s.people
			if s.admin != nil {
				c.Admin = s.admin(time.Now())
			}
			if s.flow != nil {
				c.SignIn = &fakeSignIn{err: s.flow}
			}
			if s.list {
				c.Endpoints = append(c.Endpoints, Endpoint{Name: "tokyo", ID: "cvpn-endpoint-0bb", Title: "東京 VPN", Policy: latch.DefaultPolicy()})
			}
		})
		if s.rules != nil {
			rules(t, h, s.rules)
		}
		path := s.path
		if path == "" {
			path = "/endpoints/seoul"
		}
		w := send(h, "GET", path, "", "Accept-Language: "+l.String(), "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-User: ?1")
		if want := max(s.status, 200); w.Code != want {
			t.Fatalf("got %d, want %d\n%s", w.Code, want, w.Body)
		}
		body = w.Body.String()
		size = w.Body.Len()
		for _, path := range regexp.MustCompile(`/static/[a-z0-9.]+`).FindAllString(body, -1) {
			size += send(h, "GET", path, "").Body.Len()
		}
	})
	return body, size
}

// TestPages compares every scene in every language with testdata, and holds each to what makes a page usable. Run with
// -update after a change that is meant, and read the difference.
func TestPages(t *testing.T) {
	hashed := regexp.MustCompile(`(/static/nightlatch\.)[0-9a-f]+`)
	tag := regexp.MustCompile(`data-tag="[^"]*"`)
	for name, s := range scenes() {
		for l := range langs {
			t.Run(name+"."+l.String(), func(t *testing.T) {
				body, size := show(t, s, l)
				if size > 30_000 {
					t.Errorf("%d bytes with style and script, want at most 30,000", size)
				}
				checkHTML(t, body, l)
				got := tag.ReplaceAllString(hashed.ReplaceAllString(body, "${1}HASH"), `data-tag="TAG"`)
				file := filepath.Join("testdata", name+"."+l.String()+".html")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if got != string(want) {
					t.Errorf("differs from %s; if it is meant, run go test ./internal/web -run TestPages -update\n%s", file, firstDifference(got, string(want)))
				}
			})
		}
	}
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("got  %s\nwant %s", g[i], w[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(g), len(w))
}

func TestGoldensAreOfScenes(t *testing.T) {
	files, err := filepath.Glob("testdata/*.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		name, _, _ := strings.Cut(filepath.Base(f), ".")
		if _, ok := scenes()[name]; !ok {
			t.Errorf("%s belongs to no scene", f)
		}
	}
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func content(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	var b strings.Builder
	for c := range n.ChildNodes() {
		b.WriteString(content(c))
	}
	return strings.TrimSpace(b.String())
}

// checkHTML holds a page to WCAG 2.2 as far as markup shows it, and to our own rules.
func checkHTML(t *testing.T, body string, l lang) {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	count, ids, labelled, refs := map[string]int{}, map[string]bool{}, map[string]bool{}, map[string]string{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		count[n.Data]++
		if id, ok := attr(n, "id"); ok {
			if ids[id] {
				t.Errorf("id %q twice", id)
			}
			ids[id] = true
		}
		if f, ok := attr(n, "for"); ok && n.Data == "label" {
			labelled[f] = true
		}
		for _, a := range n.Attr {
			switch {
			case a.Key == "http-equiv":
				t.Errorf("http-equiv=%s: a page that reloads by itself takes the focus away (SC 2.2.1, F41)", a.Val)
			case a.Key == "style" || strings.HasPrefix(a.Key, "on"):
				t.Errorf("inline %s, which the Content-Security-Policy blocks", a.Key)
			case a.Key == "aria-describedby" || a.Key == "aria-labelledby":
				refs[a.Val] = a.Key
			case a.Key == "href" || a.Key == "src" || a.Key == "action" || a.Key == "formaction":
				outside := a.Val == "https://self-service.clientvpn.amazonaws.com/endpoints/cvpn-endpoint-0aa"
				if n.Data == "link" && a.Val == "data:," || n.Data == "a" && outside {
					continue
				}
				if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "//") {
					t.Errorf("%s loads or leads outside: %s", n.Data, a.Val)
				}
			}
		}
		switch n.Data {
		case "html":
			if v, _ := attr(n, "lang"); v != l.String() {
				t.Errorf("lang=%q, want %q", v, l)
			}
		case "meta":
			if v, _ := attr(n, "content"); strings.Contains(v, "maximum-scale") || strings.Contains(v, "user-scalable") {
				t.Error("zooming is taken away (SC 1.4.4)")
			}
		case "script", "style":
			if content(n) != "" {
				t.Errorf("inline %s", n.Data)
			}
		case "form":
			m, _ := attr(n, "method")
			if role, _ := attr(n, "role"); m == "get" && role == "search" {
				if strings.Contains(rendered(t, n), `name="token"`) {
					t.Error("a search carries the token in its address")
				}
				break
			}
			if m != "post" {
				t.Errorf("form with method %q; a GET changes nothing", m)
			}
			if !strings.Contains(rendered(t, n), `name="token"`) {
				t.Error("form without token")
			}
		case "a", "button", "legend", "summary", "h1", "h2", "option", "title", "dt", "label":
			if id, _ := attr(n, "id"); content(n) == "" && id != "heading" {
				t.Errorf("%s without words", n.Data)
			}
		case "nav", "ol":
			if v, _ := attr(n, "aria-label"); v == "" {
				t.Errorf("%s without a name", n.Data)
			}
		}
	}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" && n.Data != "select" {
			continue
		}
		id, _ := attr(n, "id")
		if kind, _ := attr(n, "type"); kind != "hidden" && !labelled[id] && n.Parent.Data != "label" {
			t.Errorf("%s %q without a label", n.Data, id)
		}
	}
	for id, by := range refs {
		if !ids[id] {
			t.Errorf("%s names %q, which is not there", by, id)
		}
	}
	for what, want := range map[string]int{"h1": 1, "main": 1, "header": 1, "footer": 1, "title": 1} {
		if count[what] != want {
			t.Errorf("%d %s, want %d", count[what], what, want)
		}
	}
	if !strings.Contains(body, `<a class="skip" href="#main">`) || !ids["main"] {
		t.Error("no skip link (SC 2.4.1)")
	}
	if strings.Contains(body, `class="steps"`) && !strings.Contains(body, `class="done"`) {
		t.Error("steps without a state")
	}
	if n := strings.Count(body, `class="primary"`); n > 1 {
		t.Errorf("%d buttons stand out, want one at most", n)
	}
	if ids["form-open"] && strings.Count(body, " checked>") != 1 {
		t.Error("not exactly one length is chosen beforehand")
	}
	if strings.Contains(body, "{") || strings.Contains(body, "ZgotmplZ") || strings.Contains(body, "%!") {
		t.Error("a parameter was not filled in")
	}
	if l != en {
		untranslated(t, doc, l)
	}
}

// untranslated finds English on a page of another language. Names, and AWS's own words (marked lang=en), stay.
func untranslated(t *testing.T, n *html.Node, l lang) {
	if v, ok := attr(n, "lang"); ok && n.Data != "html" && v != l.String() {
		return
	}
	if n.Type == html.TextNode {
		for _, w := range regexp.MustCompile(`[A-Za-z]{3,}`).FindAllString(n.Data, -1) {
			if !slices.Contains([]string{"Nightlatch", "VPN", "AWS", "KST", "UTC", "alice", "corp", "example", "REQ", "seoul", "deleting", "Cookie", "sub"}, w) {
				t.Errorf("%q is not translated", strings.TrimSpace(n.Data))
				return
			}
		}
	}
	for c := range n.ChildNodes() {
		untranslated(t, c, l)
	}
}

func rendered(t *testing.T, n *html.Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := html.Render(&b, n); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestMarkupInDataStaysText: what AWS, the directory and people wrote is text, wherever it is shown.
func TestMarkupInDataStaysText(t *testing.T) {
	const nasty = `<img src=x onerror=alert(1)>"'`
	v := latch.View{State: latch.StateUnusable, Reason: latch.Reason{Code: latch.UnusableStatus, Status: nasty, Message: nasty},
		Failure: &latch.Failure{Step: nasty, Why: nasty}}
	h := newHandler(t, &fake{view: v}, func(c *Config) {
		c.Endpoints[0].Title = nasty
		c.Authenticate = func(*http.Request) (access.Identity, error) {
			return access.Identity{Principal: latch.Principal{Subject: "x", Name: nasty}}, nil
		}
	})
	for _, path := range []string{"/", "/api/v1/endpoints/seoul"} {
		if body := send(h, "GET", path, "").Body.String(); strings.Contains(body, "<img") {
			t.Errorf("%s: markup in data became markup:\n%s", path, body)
		}
	}
}

func TestScriptUsesNoMarkup(t *testing.T) {
	b, err := assets.ReadFile("assets/nightlatch.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, banned := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "localStorage", "location.href", "http:", "https:"} {
		if strings.Contains(string(b), banned) {
			t.Errorf("the script uses %s", banned)
		}
	}
}

// TestContrast computes the contrast of the colour pairs that the style uses, from its tokens, in both schemes: 4.5 for
// text (SC 1.4.3), 3 for what is not text (SC 1.4.11).
func TestContrast(t *testing.T) {
	b, err := assets.ReadFile("assets/nightlatch.css")
	if err != nil {
		t.Fatal(err)
	}
	light, rest, ok := strings.Cut(string(b), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	dark, _, _ := strings.Cut(rest, "\n}")
	tokens := func(css string) map[string]string {
		m := map[string]string{}
		for _, x := range regexp.MustCompile(`--([a-z-]+): (#[0-9a-f]{6})`).FindAllStringSubmatch(css, -1) {
			m[x[1]] = x[2]
		}
		return m
	}
	for scheme, m := range map[string]map[string]string{"light": tokens(light), "dark": tokens(dark)} {
		for _, p := range []struct {
			ink, on string
			least   float64
		}{
			{"ink", "bg", 4.5}, {"ink", "panel", 4.5}, {"ink", "bad-panel", 4.5}, {"dim", "bg", 4.5}, {"dim", "panel", 4.5},
			{"accent", "bg", 4.5}, {"accent", "panel", 4.5}, {"accent", "bad-panel", 4.5}, {"on-accent", "accent", 4.5},
			{"good", "bg", 4.5}, {"warn", "bg", 4.5}, {"bad", "bg", 4.5},
			{"line", "bg", 3}, {"line", "panel", 3}, {"warn", "panel", 3}, {"bad", "bad-panel", 3},
		} {
			if got := contrast(t, m[p.ink], m[p.on]); got < p.least {
				t.Errorf("%s: %s on %s is %.2f, want at least %.1f", scheme, p.ink, p.on, got, p.least)
			}
		}
	}
	// A colour beside the tokens would escape this test.
	if n := len(regexp.MustCompile(`#[0-9a-fA-F]{3,8}\b`).FindAllString(string(b), -1)); n != 2*len(tokens(light)) {
		t.Errorf("%d colours, want %d: each token in both schemes and nothing else", n, 2*len(tokens(light)))
	}
}

// contrast is WCAG's ratio of relative luminances.
func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	luminance := func(s string) float64 {
		if len(s) != 7 {
			t.Fatalf("no such token: %q and %q", a, b)
		}
		var y float64
		for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
			n, err := strconv.ParseUint(s[1+2*i:3+2*i], 16, 8)
			if err != nil {
				t.Fatal(err)
			}
			c := float64(n) / 255
			if c <= 0.04045 {
				c /= 12.92
			} else {
				c = math.Pow((c+0.055)/1.055, 2.4)
			}
			y += weight * c
		}
		return y
	}
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}
