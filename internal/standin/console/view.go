package console

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// us-east-1's list prices in dollars an hour, and the month that price examples count with.
const (
	associationPrice = 0.10
	connectionPrice  = 0.05
	monthHours       = 730
)

const (
	shownMessages = 12
	// shownPast is how many associations and connections an endpoint shows, the latest, and all clients that are connected.
	shownPast = 8
	// recently is how long a hop is marked on the page after its last message.
	recently = 3 * time.Second
	// refusalShown is how long its last refusal stands beside a hop.
	refusalShown = time.Minute
)

// state is everything the page shows, and what GET /api/state answers. Beside the values stand the words for them, so
// that page and script need not agree on how to say a time or an amount.
type state struct {
	Now           time.Time      `json:"now"`
	Clock         string         `json:"clock"`
	Site          string         `json:"site"`
	Chain         chainView      `json:"chain"`
	Endpoints     []endpointView `json:"endpoints"`
	Bill          billView       `json:"bill"`
	Schedules     []scheduleView `json:"schedules"`
	Mail          []mailView     `json:"mail"` // what people were told, newest first
	Accounts      []Account      `json:"accounts"`
	Authenticator []Code         `json:"authenticator"`
	Breaks        []breakView    `json:"breaks"`
	Unconfirmed   []breakView    `json:"unconfirmed"`
	Chores        []choreView    `json:"chores"`
	Messages      []messageView  `json:"messages"` // newest first
}

// chainView holds the two rows of the picture, and who else said something.
type chainView struct {
	Front   string    `json:"front"`  // its label
	Passes  string    `json:"passes"` // what it does for who is signed in
	SignIn  []hopView `json:"signIn"`
	Act     []hopView `json:"act"`
	Targets []hopView `json:"targets"`
	Others  []hopView `json:"others"`
}

// hopView is one stand-in with its last message. Mark is idle, good or bad.
type hopView struct {
	Name     string `json:"name"`
	Label    string `json:"label"`
	Mark     string `json:"mark"`
	Recent   bool   `json:"recent"`
	Messages uint64 `json:"messages"`
	Refusals uint64 `json:"refusals"`
	Counts   string `json:"counts"`
	What     string `json:"what"`
	Said     string `json:"said"` // status, took, how long ago
	Why      string `json:"why"`  // of a refusal in the last minute
	Last     string `json:"last"` // path of the page with the last message; empty while there is none
}

type endpointView struct {
	Endpoint
	Title        string            `json:"title"`
	Mark         string            `json:"mark"`
	Sentence     string            `json:"sentence"`
	Player       string            `json:"player"` // who the form proposes to connect as
	Associations []associationView `json:"associations"`
	Routes       []routeView       `json:"routes"`
	Connections  []connectionView  `json:"connections"`
}

type routeView struct {
	Route
	Key  string `json:"key"`
	Mark string `json:"mark"`
}

type associationView struct {
	Association
	Mark string `json:"mark"`
	Time string `json:"time"`
}

type connectionView struct {
	Connection
	Mark    string `json:"mark"`
	Active  bool   `json:"active"`
	Time    string `json:"time"`
	Traffic string `json:"traffic"`
}

type billView struct {
	AssociationHours float64  `json:"associationHours"`
	ConnectionHours  float64  `json:"connectionHours"`
	Dollars          float64  `json:"dollars"`
	UpperDollars     *float64 `json:"upperDollars,omitempty"` // absent when not computed
	DollarsNow       float64  `json:"dollarsAnHourNow"`
	AssociationPrice float64  `json:"associationPrice"`
	ConnectionPrice  float64  `json:"connectionPrice"`

	Total        string `json:"total"`
	Associations string `json:"associations"`
	Connections  string `json:"connections"`
	Upper        string `json:"upper"`
	PerHourNow   string `json:"perHourNow"`
	AlwaysOn     string `json:"alwaysOn"`
}

type scheduleView struct {
	Schedule
	What string `json:"what"`
	When string `json:"when"`
}

type breakView struct {
	Name  string `json:"name"`
	About string `json:"about"`
	On    bool   `json:"on"`
	Mark  string `json:"mark"`
	Word  string `json:"word"`
	Other string `json:"other"` // what the switch's button would set
	Verb  string `json:"verb"`
}

type choreView struct {
	Name  string `json:"name"`
	About string `json:"about"`
}

type messageView struct {
	Seq  uint64 `json:"seq"`
	Mark string `json:"mark"`
	Time string `json:"time"`
	To   string `json:"to"`
	Text string `json:"text"`
	Said string `json:"said"`
}

var labels = map[string]string{
	"alb": "ALB", "httpapi": "HTTP API", "cognito": "Cognito", "identity-center": "Identity Center", "directory": "Directory", "lambda": "Lambda", "ec2": "EC2",
	"dynamodb": "DynamoDB", "scheduler": "Scheduler", "sts": "STS", "alb-keys": "ALB’s public keys", "cognito-idp": "Cognito’s public keys", "proxy": "Lambda’s way out", "console": "This console",
}

// passes says what a front does with a request of somebody who has signed in.
var passes = map[string]string{
	"alb":     "signed in: passes the request on",
	"httpapi": "passes every request on: the function knows who is signed in",
}

func (s *Console) state(now time.Time) state {
	endpoints, connected := []endpointView{}, 0
	held := 0
	for _, e := range s.c.Endpoints() {
		v := viewEndpoint(e, now)
		if len(s.c.Accounts) > 0 {
			v.Player = s.c.Accounts[0].Username
		}
		for _, a := range v.Associations {
			if a.held() {
				held++
			}
		}
		for _, c := range v.Connections {
			if c.Active {
				connected++
			}
		}
		endpoints = append(endpoints, v)
	}
	v := state{Now: now.UTC(), Clock: now.Format(time.TimeOnly), Site: s.c.SiteURL, Chain: s.chain(now), Endpoints: endpoints,
		Bill: viewBill(s.c.Bill(), held, connected), Schedules: []scheduleView{}, Mail: s.mail.view(), Accounts: append([]Account{}, s.c.Accounts...),
		Authenticator: s.keys.codes(s.c.Phone.Now()), Breaks: []breakView{}, Unconfirmed: []breakView{}, Chores: []choreView{}, Messages: []messageView{}}
	for _, sc := range s.c.Schedules() {
		v.Schedules = append(v.Schedules, viewSchedule(sc, now))
	}
	slices.SortStableFunc(v.Schedules, func(a, b scheduleView) int { return cmp.Or(a.Next.Compare(b.Next), cmp.Compare(a.Name, b.Name)) })
	for _, b := range s.c.Breaks {
		v.Breaks = append(v.Breaks, viewBreak(b))
	}
	for _, c := range s.c.Chores {
		v.Chores = append(v.Chores, choreView{c.Name, c.About})
	}
	for _, b := range s.c.Unconfirmed {
		v.Unconfirmed = append(v.Unconfirmed, viewUnconfirmed(b))
	}
	hops, _ := s.c.Ring.after(0)
	for _, h := range slices.Backward(hops[max(0, len(hops)-shownMessages):]) {
		v.Messages = append(v.Messages, messageView{h.Seq, mark(h), h.At.Local().Format(time.TimeOnly), label(h.To),
			cmp.Or(strings.Join(filled(h.What, h.Detail, h.Why), " · "), "(no words)"), strings.Join(filled(statusWords(h), took(h.TookMS)), " · ")})
	}
	return v
}

func (s *Console) chain(now time.Time) chainView {
	t := s.c.Ring.tallies()
	pick := func(names ...string) []hopView {
		hops := []hopView{}
		for _, n := range names {
			hops = append(hops, viewHop(n, t[n], now))
			delete(t, n)
		}
		return hops
	}
	v := chainView{Front: label(s.c.Front), Passes: passes[s.c.Front],
		SignIn: pick(s.c.Front, "cognito", "identity-center", "directory"), Act: pick("lambda"), Targets: pick("ec2", "dynamodb", "scheduler")}
	v.Others = pick(slices.Sorted(maps.Keys(t))...)
	return v
}

func viewHop(name string, t tally, now time.Time) hopView {
	v := hopView{Name: name, Label: label(name), Mark: "idle", Messages: t.hops, Refusals: t.refusals, What: "no message yet"}
	v.Counts = plural(t.hops, "message")
	if t.refusals > 0 {
		v.Counts += ", " + strconv.FormatUint(t.refusals, 10) + " refused"
	}
	h := t.hop
	if t.hops == 0 {
		h = t.refusal
	}
	if h.Seq == 0 {
		return v
	}
	v.Mark, v.What = mark(h), cmp.Or(h.What, "message")
	v.Said = strings.Join(filled(statusWords(h), took(h.TookMS), ago(now.Sub(h.At))), " · ")
	latest := h.At
	if t.refusals > 0 {
		if now.Sub(t.refusal.At) < refusalShown {
			v.Why = t.refusal.Why
		}
		if t.refusal.Seq >= h.Seq {
			v.Mark, latest = "bad", t.refusal.At
		}
	}
	v.Recent, v.Last = now.Sub(latest) < recently, "/hops/"+url.PathEscape(name)
	return v
}

func label(name string) string { return cmp.Or(labels[name], name, "somebody") }

func mark(h Hop) string {
	if h.failed() {
		return "bad"
	}
	return "good"
}

func statusWords(h Hop) string {
	switch {
	case h.Status == nil && h.Refused:
		return "refused"
	case h.Status == nil:
		return ""
	case h.To == "directory":
		return "LDAP " + strconv.FormatInt(*h.Status, 10)
	}
	return strconv.FormatInt(*h.Status, 10)
}

// held tells whether EC2 bills the association, which it does from the call that begins it to the one that ends it.
func (a Association) held() bool {
	return a.Ended.IsZero() && (a.Status == "associating" || a.Status == "associated")
}

func viewEndpoint(e Endpoint, now time.Time) endpointView {
	v := endpointView{Endpoint: e, Title: cmp.Or(e.Description, "Client VPN endpoint"),
		Associations: []associationView{}, Routes: []routeView{}, Connections: []connectionView{}}
	for _, r := range e.Routes {
		rv := routeView{r, r.Destination + " " + r.SubnetID, "busy"}
		switch r.Status {
		case "active":
			rv.Mark = "good"
		case "failed":
			rv.Mark = "bad"
		}
		v.Routes = append(v.Routes, rv)
	}
	count := map[string]int{}
	for _, a := range e.Associations {
		count[a.Status]++
		av := associationView{a, "idle", "since " + a.Since.Local().Format(time.TimeOnly) + ", " + lasting(now.Sub(a.Since))}
		switch a.Status {
		case "associated":
			av.Mark = "good"
		case "associating", "disassociating":
			av.Mark = "busy"
		case "association-failed":
			av.Mark = "bad"
		}
		if !a.Ended.IsZero() {
			av.Time = fmt.Sprintf("%s to %s, %s", a.Since.Local().Format(time.TimeOnly), a.Ended.Local().Format(time.TimeOnly), lasting(a.Ended.Sub(a.Since)))
		}
		v.Associations = append(v.Associations, av)
	}
	slices.SortStableFunc(v.Associations, func(a, b associationView) int { return b.Since.Compare(a.Since) })
	v.Associations = v.Associations[:min(len(v.Associations), shownPast)]
	switch {
	case count["associating"] > 0:
		v.Mark, v.Sentence = "busy", "Going on: "+plural(uint64(count["associating"]), "subnet")+" being associated. AWS bills already."
	case count["associated"] > 0:
		v.Mark, v.Sentence = "good", "On: "+plural(uint64(count["associated"]), "subnet")+" associated, and billed."
	case count["disassociating"] > 0:
		v.Mark, v.Sentence = "busy", "Going off: the last subnet is being disassociated. Not billed any more."
	default:
		v.Mark, v.Sentence = "idle", "Off: no subnet is associated. AWS bills nothing."
	}
	active := 0
	for _, c := range e.Connections {
		cv := connectionView{c, "idle", c.Status == "active", "since " + c.Since.Local().Format(time.TimeOnly),
			amount(c.IngressBytes) + " sent, " + amount(c.EgressBytes) + " received"}
		if cv.Active {
			cv.Mark = "good"
			active++
		}
		v.Connections = append(v.Connections, cv)
	}
	// Whoever is connected first, then the latest.
	slices.SortStableFunc(v.Connections, func(a, b connectionView) int {
		if a.Active != b.Active {
			if a.Active {
				return -1
			}
			return 1
		}
		return b.Since.Compare(a.Since)
	})
	v.Connections = v.Connections[:min(len(v.Connections), max(active, shownPast))]
	return v
}

func viewBill(b Bill, held, connected int) billView {
	v := billView{AssociationHours: b.Associations.Hours(), ConnectionHours: b.Connections.Hours(), AssociationPrice: associationPrice, ConnectionPrice: connectionPrice}
	v.Dollars = v.AssociationHours*associationPrice + v.ConnectionHours*connectionPrice
	v.DollarsNow = float64(held)*associationPrice + float64(connected)*connectionPrice
	v.Total = dollars(v.Dollars)
	v.Associations = fmt.Sprintf("%s × $%.2f an hour = %s", lasting(b.Associations), associationPrice, dollars(v.AssociationHours*associationPrice))
	v.Connections = fmt.Sprintf("%s × $%.2f an hour = %s", lasting(b.Connections), connectionPrice, dollars(v.ConnectionHours*connectionPrice))
	if b.AssociationsRounded > 0 {
		upper := b.AssociationsRounded.Hours()*associationPrice + b.ConnectionsRounded.Hours()*connectionPrice
		v.UpperDollars, v.Upper = &upper, dollars(upper)
	}
	v.PerHourNow = fmt.Sprintf("%s an hour (%s, %s)", dollars(v.DollarsNow), plural(uint64(held), "association"), plural(uint64(connected), "connection"))
	v.AlwaysOn = fmt.Sprintf("%s an hour for each subnet, used or not: $%.2f a month of %d hours", dollars(associationPrice), associationPrice*monthHours, monthHours)
	return v
}

func viewSchedule(s Schedule, now time.Time) scheduleView {
	v := scheduleView{Schedule: s, What: "calls " + s.Target}
	switch {
	case strings.Contains(s.Target, "disassociateClientVpnTargetNetwork"):
		v.What = "Dead-man’s switch: EC2 disassociates, even without Nightlatch"
	case strings.Contains(s.Target, ":lambda:"):
		v.What = "The beat: calls " + s.Target[strings.LastIndex(s.Target, ":")+1:]
	}
	switch d := s.Next.Sub(now).Round(time.Second); {
	case s.Next.IsZero():
		v.When = "not again"
	case d <= 0:
		v.When = "now"
	default:
		v.When = s.Next.Local().Format(time.TimeOnly) + ", in " + lasting(d)
	}
	return v
}

func viewBreak(b switches.Switch) breakView {
	if b.On() {
		return breakView{b.Name, b.About, true, "bad", "broken", "false", "Mend"}
	}
	return breakView{b.Name, b.About, false, "idle", "working", "true", "Break"}
}

func viewUnconfirmed(b switches.Switch) breakView {
	if b.On() {
		return breakView{b.Name, b.About, true, "good", "on", "false", "Switch off"}
	}
	return breakView{b.Name, b.About, false, "idle", "off", "true", "Switch on"}
}

// blanks are what the page's <template> elements are rendered with, for the script to fill: a row's HTML stands in one
// place only.
type blanks struct {
	Hop         hopView
	Endpoint    endpointView
	Association associationView
	Route       routeView
	Connection  connectionView
	Schedule    scheduleView
	Mail        mailView
	Code        Code
	Break       breakView
	Chore       choreView
	Message     messageView
}

// index shows the page.
func (s *Console) index(w http.ResponseWriter, r *http.Request) { s.render(w, http.StatusOK, "") }

// render writes the page, with what went wrong if anything did.
func (s *Console) render(w http.ResponseWriter, status int, say string) {
	s.write(w, status, "console.html", struct {
		state
		Error, CSS, JS string
	}{s.state(time.Now()), say, s.css, s.js})
}

// write writes the whole page or, when the template fails, none of it.
func (s *Console) write(w http.ResponseWriter, status int, page string, data any) {
	var b bytes.Buffer
	if err := s.page.ExecuteTemplate(&b, page, data); err != nil {
		s.c.Log.Error("console page", "err", err)
		http.Error(w, "the page could not be rendered; the demo's log says why", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

func filled(parts ...string) []string {
	return slices.DeleteFunc(parts, func(p string) bool { return p == "" })
}

func plural(n uint64, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return strconv.FormatUint(n, 10) + " " + noun
}

func dollars(d float64) string { return fmt.Sprintf("$%.4f", d) }

func took(ms float64) string {
	switch {
	case ms <= 0:
		return ""
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", ms/1000)
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "just now"
	}
	return lasting(d) + " ago"
}

// lasting says a duration in its two largest units.
func lasting(d time.Duration) string {
	s := int64(max(0, d) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %d s", s/60, s%60)
	}
	return fmt.Sprintf("%d h %d min", s/3600, s%3600/60)
}

func amount(bytes uint64) string {
	switch b := float64(bytes); {
	case bytes < 1000:
		return fmt.Sprintf("%d B", bytes)
	case b < 1e6:
		return fmt.Sprintf("%.1f kB", b/1e3)
	case b < 1e9:
		return fmt.Sprintf("%.1f MB", b/1e6)
	default:
		return fmt.Sprintf("%.1f GB", b/1e9)
	}
}
