package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/signin"
)

// SignIn is a front's own sign-in; *signin.OIDC is one.
type SignIn interface {
	// Begin sends the browser to the issuer; next is a path of ours to come back to, which is checked already.
	Begin(w http.ResponseWriter, r *http.Request, next string) error
	// Finish takes the issuer's answer, begins the session, and returns the next that Begin was given.
	Finish(w http.ResponseWriter, r *http.Request) (next string, err error)
	// End ends the session here, and returns where the browser ends it at the issuer; empty where it cannot.
	End(w http.ResponseWriter, r *http.Request) (to string, err error)
}

const (
	signInPath    = "/sign-in"
	signedOutPath = "/signed-out"
	nextMax       = 512 // bytes
)

// pageForm is every address of ours that a person can come back to: pages, and what leads to one.
var pageForm = regexp.MustCompile(`^/(endpoints/[a-z0-9][a-z0-9-]*(/(open|extend|done))?|admin(/audit|/endpoints/[a-z0-9][a-z0-9-]*)?)?$`)

// localPath returns s if it is the address of one of our pages, and "/" for everything else, so that a link which somebody
// made ends nowhere but here. It looks at the bytes before it parses them: browsers drop control characters and take a
// backslash for a slash (URL Standard, basic URL parser), so "/\evil.example" would be another host to them.
func localPath(s string) string {
	if len(s) > nextMax {
		return "/"
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '\\' || s[i] == '#' {
			return "/"
		}
	}
	p, query, asked := strings.Cut(s, "?")
	if !pageForm.MatchString(p) {
		return "/"
	}
	if _, err := url.ParseQuery(query); err != nil || !asked {
		return p
	}
	return p + "?" + query
}

func signInAt(next string) string { return signInPath + "?next=" + url.QueryEscape(next) }

// comeBack is where somebody goes on who has to sign in first. What a form wanted is carried as an intent, which the page
// shows and does not act on, with the length that was chosen; a reason is nobody's to read in an address.
func comeBack(w http.ResponseWriter, r *http.Request) string {
	if r.Method != http.MethodPost {
		return localPath(r.URL.RequestURI())
	}
	to, verb := path.Split(r.URL.Path)
	to = strings.TrimSuffix(to, "/")
	if strings.HasPrefix(to, "/endpoints/") {
		query := "?look&intent=" + verb
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if isType(r, "application/x-www-form-urlencoded") && r.ParseForm() == nil {
			if d, err := time.ParseDuration(r.PostForm.Get("for")); err == nil && d >= shortest {
				query += "&for=" + d.String()
			}
		}
		to += query
	}
	return localPath(to)
}

// onlyGET keeps HEAD, which the mux takes for a GET, from beginning a sign-in or using up its answer.
func (h *handler) onlyGET(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			h.fail(w, r, &inputError{errMethod, tAllowed, []string{"{methods}", http.MethodGet}})
			return
		}
		next(w, r)
	}
}

func (h *handler) beginSignIn(w http.ResponseWriter, r *http.Request) {
	next := localPath(r.URL.Query().Get("next"))
	opens := func(e Endpoint) bool { return e.Policy.OnVisit == latch.VisitOpens }
	if slices.ContainsFunc(h.c.Endpoints, opens) && !h.byPerson(r) {
		// Another site sent the browser here. It comes back from the issuer's page as somebody does who has just signed
		// in, and must not count down for that.
		next = looking(next)
	}
	if err := h.c.SignIn.Begin(w, r, next); err != nil {
		h.signInBroken(r, err)
		visitOf(r).back = signInAt(next)
		h.fail(w, r, err)
	}
}

// looking is a path of ours, as one that only looks.
func looking(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.Query().Has("look") {
		return next
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "look"
	return localPath(u.String())
}

func (h *handler) finishSignIn(w http.ResponseWriter, r *http.Request) {
	next, err := h.c.SignIn.Finish(w, r)
	next = localPath(next)
	if err != nil {
		h.signInBroken(r, err)
		visitOf(r).back = signInAt(next)
		h.fail(w, r, err)
		return
	}
	// The redirect goes on with the referrer of the issuer's page, by which on_visit knows somebody who has just signed
	// in; under our own policy it would be dropped here (Referrer Policy, "set request's referrer policy on redirect").
	w.Header().Set("Referrer-Policy", "strict-origin")
	http.Redirect(w, r, next, http.StatusSeeOther)
}

// signOut ends the session and sends the browser on to end the issuer's. A load balancer's session ends by expiring its
// cookies, which is all there is of it. It needs no valid sign-in: somebody whose token is refused must be able to leave.
func (h *handler) signOut(w http.ResponseWriter, r *http.Request) {
	if err := h.readForm(w, r); err != nil {
		h.fail(w, r, err)
		return
	}
	// Storage only: "cookies" would take those of every sibling site of the registrable domain as well, and "cache"
	// what is public anyway (Clear Site Data, section 3.1).
	w.Header().Set("Clear-Site-Data", `"storage"`)
	expire(w, formCookie)
	to := h.c.LogoutURL
	if h.c.SignIn != nil {
		var err error
		if to, err = h.c.SignIn.End(w, r); err != nil && !errors.Is(err, signin.ErrNoSession) {
			h.fail(w, r, err)
			return
		}
		if !isHTTPS(to) {
			to = signedOutPath
		}
	} else {
		for i := range sessionShards {
			expire(w, h.c.SessionCookie+"-"+string(rune('0'+i)))
		}
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

func expire(w http.ResponseWriter, cookie string) {
	http.SetCookie(w, &http.Cookie{Name: cookie, Path: "/", MaxAge: -1, Secure: true, HttpOnly: true})
}

// signedOut is where the issuer leads back to. Whoever reads it is nobody in particular, so it says nothing else.
func (h *handler) signedOut(w http.ResponseWriter, r *http.Request) {
	visitOf(r).back = signedOutPath
	l := visitOf(r).lang
	pg := h.newPage(w, r)
	pg.Heading, pg.DocTitle, pg.Home = wSignedOut.title.say(l), wSignedOut.title.say(l), false
	pg.Message = &message{tSignedOut.say(l), signInAt("/"), tSignIn.say(l)}
	if err := h.render(w, http.StatusOK, pg); err != nil {
		h.fail(w, r, err)
	}
}

// intents are what a form was about to do. They are the names of act's forms too.
var intents = map[string]text{
	"open":   {"You were about to turn it on or join.", "VPN을 켜거나 참여하려던 중이었습니다.", "VPNの開始または参加の途中でした。"},
	"extend": {"You were about to extend your time.", "사용 시간을 연장하려던 중이었습니다.", "利用時間の延長の途中でした。"},
	"done":   {"You were about to end your use.", "사용을 종료하려던 중이었습니다.", "利用の終了の途中でした。"},
}

// remind puts an intent that came through a sign-in on the page, with its choice made. It returns what the page's address
// needs to keep it; nothing when there is no such form now.
func remind(ep *endpointPage, l lang, query url.Values) string {
	verb, length := query.Get("intent"), query.Get("for")
	form := map[string]*form{"open": ep.Open, "extend": ep.Extend, "done": ep.Done}[verb]
	if form == nil {
		return ""
	}
	ep.Intent, ep.IntentForm = intents[verb].say(l)+text{" ", " ", ""}.say(l)+tIntent.say(l, "{button}", form.Button), verb
	var keep strings.Builder
	keep.WriteString("&intent=" + verb)
	for i := range form.Choices {
		if form.Choices[i].Value == length {
			for j := range form.Choices {
				form.Choices[j].Checked = i == j
			}
			keep.WriteString("&for=" + length)
		}
	}
	return keep.String()
}

// act is one of the Keeper's three ways to change something.
type act func(Keeper, context.Context, latch.EndpointID, latch.Request) (latch.View, error)
