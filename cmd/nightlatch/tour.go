//go:build !lambda

package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/PuerkitoBio/goquery"

	"github.com/nightlatch/nightlatch/internal/standin/sigv4"
)

// tourTakes bounds a whole tour at its own pace; slower stand-ins (--associate-takes) get more.
const tourTakes = 150 * time.Second

// demoTour starts a demo and walks the journey in it.
func demoTour(ctx context.Context, o demoOptions) error {
	if o.dir == "" {
		dir, err := os.MkdirTemp("", "nightlatch-tour-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		o.dir = dir
	}
	return demo(ctx, o, func(w *world) error {
		ctx, cancel := context.WithTimeout(ctx, tourTakes+2*o.associate)
		defer cancel()
		return tour(ctx, filepath.Join(o.dir, "demo.json"), o.stdout)
	})
}

// errHop is a hop that failed: the tour names it and stops.
type errHop struct {
	hop string
	err error
}

func (e *errHop) Error() string { return fmt.Sprintf("hop %s failed: %v", e.hop, e.err) }
func (e *errHop) Unwrap() error { return e.err }

func failed(hop, format string, args ...any) error { return &errHop{hop, fmt.Errorf(format, args...)} }

// tourist is somebody with a browser's manners and no browser. All they know is demo.json.
type tourist struct {
	ctx     context.Context
	info    demoInfo
	user    demoUser
	browser *http.Client // keeps cookies, follows no redirect
	out     io.Writer
	began   time.Time
	page    *page         // the last answer
	looked  time.Duration // how long the first look took; who sees a slow page asks for longer
}

// tour walks the whole journey: sign in, enrol, open, wait, connect, extend, disconnect, and see it go off. It prints
// each hop with its time, and returns an error that names the hop that failed.
func tour(ctx context.Context, demoJSON string, out io.Writer) error {
	raw, err := os.ReadFile(demoJSON)
	if err != nil {
		return err
	}
	var info demoInfo
	if err := json.Unmarshal(raw, &info); err != nil {
		return fmt.Errorf("%s: %w", demoJSON, err)
	}
	ca, err := os.ReadFile(info.CAFile)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) || len(info.Users) == 0 {
		return fmt.Errorf("%s: no CA certificate, or nobody to sign in as", demoJSON)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.Proxy, transport.DialContext = nil, dialLocalhost
	defer transport.CloseIdleConnections()
	t := &tourist{ctx: ctx, info: info, user: info.Users[0], out: out, began: time.Now(), browser: &http.Client{
		Transport: transport, Jar: jar, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	fmt.Fprintf(out, "\n  %s visits %s\n\n", t.user.Username, info.URL)
	for _, s := range t.journey() {
		start := time.Now()
		told, err := s.walk()
		took := time.Since(start)
		if err != nil {
			hop, ok := errors.AsType[*errHop](err)
			if !ok {
				hop = &errHop{s.hop, err}
			}
			fmt.Fprintf(out, "  ✗ %-16s %-62s %8s\n", hop.hop, hop.err, round(took))
			return hop
		}
		fmt.Fprintf(out, "  ✓ %-16s %-62s %8s\n", s.hop, told, round(took))
	}
	fmt.Fprintf(out, "\n  The whole journey took %s.\n\n", round(time.Since(t.began)))
	return nil
}

func round(d time.Duration) string {
	if d < time.Second {
		return d.Round(time.Millisecond / 10).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// step is one hop of the journey: the stand-in that it needs, and what was seen there.
type step struct {
	hop  string
	walk func() (string, error)
}

func (t *tourist) journey() []step {
	return []step{
		{t.info.Front, t.arrive},
		{"cognito", t.authorize},
		{"identity-center", t.signInPage},
		{"directory", t.password},
		{"identity-center", t.secondFactor},
		{"cognito", t.assertion},
		{t.info.Front, t.callback},
		{"lambda", t.firstPage},
		{"ec2", t.open},
		{"scheduler", t.deadman},
		{"association", t.associated},
		{"beat", t.ready},
		{"client", t.connect},
		{"lambda", t.extend},
		{"client", t.disconnect},
		{"beat", t.closes},
		{"ec2", t.off},
		{"webhook", t.told},
		{"bill", t.bill},
		{t.info.Front, t.signOut},
	}
}

// page is an answer, read whole.
type page struct {
	*http.Response
	body []byte
}

func (p *page) html() (*goquery.Document, error) {
	return goquery.NewDocumentFromReader(bytes.NewReader(p.body))
}

// says is what the page tells a person went wrong.
func (p *page) says() string {
	if d, err := p.html(); err == nil {
		if s := strings.TrimSpace(d.Find("#error").Text()); s != "" {
			return s
		}
		if s := strings.Join(strings.Fields(d.Find("title").Text()), " "); s != "" {
			return p.Status + ": " + s
		}
	}
	return p.Status + ": " + firstLine(p.body)
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b)), "\n")
	return line[:min(len(line), 200)]
}

func (t *tourist) send(method, address, contentType string, body io.Reader) error {
	r, err := http.NewRequestWithContext(t.ctx, method, address, body)
	if err != nil {
		return err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	r.Header.Set("Accept-Language", "en")
	resp, err := t.browser.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	t.page = &page{resp, b}
	return err
}

// visit loads a page and follows redirects for as long as they stay on its host.
func (t *tourist) visit(method, address, contentType string, body io.Reader) error {
	if err := t.send(method, address, contentType, body); err != nil {
		return err
	}
	for range 10 {
		next, err := t.page.Location()
		if err != nil || next.Host != t.page.Request.URL.Host {
			return nil
		}
		if err := t.send(http.MethodGet, next.String(), "", nil); err != nil {
			return err
		}
	}
	return errors.New("redirected in circles")
}

// follow goes to where the last page redirects.
func (t *tourist) follow() error {
	next, err := t.page.Location()
	if err != nil {
		return fmt.Errorf("no redirect: %s", t.page.says())
	}
	return t.send(http.MethodGet, next.String(), "", nil)
}

// submit fills the page's form that has the named field, and posts it.
func (t *tourist) submit(field string, values url.Values) error {
	d, err := t.page.html()
	if err != nil {
		return err
	}
	form := d.Find("form").FilterFunction(func(_ int, f *goquery.Selection) bool { return f.Find("[name='"+field+"']").Length() > 0 }).First()
	if form.Length() == 0 {
		return fmt.Errorf("no form asks for %s: %s", field, t.page.says())
	}
	form.Find("input[type='hidden']").Each(func(_ int, in *goquery.Selection) {
		if name, ok := in.Attr("name"); ok && !values.Has(name) {
			values.Set(name, in.AttrOr("value", ""))
		}
	})
	action, err := t.page.Request.URL.Parse(form.AttrOr("action", ""))
	if err != nil {
		return err
	}
	return t.visit(http.MethodPost, action.String(), "application/x-www-form-urlencoded", strings.NewReader(values.Encode()))
}

// arrive comes to the page. A load balancer sends to sign in at once; behind an HTTP API the page does.
func (t *tourist) arrive() (string, error) {
	if err := t.visit(http.MethodGet, t.info.URL, "", nil); err != nil {
		return "", err
	}
	if to, err := t.page.Location(); err != nil || to.Path != "/oauth2/authorize" {
		return "", t.wrong("not sent to sign in")
	}
	return "no session: sent to sign in (OAuth 2.0 authorization code)", nil
}

// wrong is what to say of an answer of the front that is none of those that were wanted. It is blamed on the hop that
// the answer names, and on the front where it names none.
func (t *tourist) wrong(what string) error {
	hop := t.info.Front
	if d, err := t.page.html(); err == nil {
		if service, _, _ := strings.Cut(d.Find("details strong").First().Text(), " "); service != "" {
			hop = service // the product's page says what AWS said
		} else if t.page.StatusCode == http.StatusServiceUnavailable && d.Find("main").Length() > 0 {
			hop = "cognito" // the product's page, which waits for nobody else before there is a session
		}
	}
	if t.page.StatusCode >= 500 && t.page.Header.Get("Apigw-Requestid") != "" && t.page.Header.Get("Content-Type") == "application/json" {
		hop = "lambda" // an HTTP API's own words, when it has no answer of the function
	}
	return failed(hop, "%s: %s", what, t.page.says())
}

func (t *tourist) authorize() (string, error) {
	if err := t.follow(); err != nil {
		return "", err
	}
	if to, err := t.page.Location(); err != nil || !to.Query().Has("SAMLRequest") {
		return "", fmt.Errorf("no SAML request: %s", t.page.says())
	}
	return "sent on with a SAML AuthnRequest", nil
}

func (t *tourist) signInPage() (string, error) {
	next, err := t.page.Location()
	if err != nil {
		return "", err
	}
	if err := t.visit(http.MethodGet, next.String(), "", nil); err != nil {
		return "", err
	}
	if d, err := t.page.html(); err != nil || d.Find("input[name='password']").Length() == 0 {
		return "", fmt.Errorf("no sign-in form: %s", t.page.says())
	}
	return "asks for name and password", nil
}

func (t *tourist) password() (string, error) {
	if err := t.submit("password", url.Values{"username": {t.user.Username}, "password": {t.user.Password}}); err != nil {
		return "", err
	}
	// Where an authenticator is not asked for, the assertion comes at once.
	if d, err := t.page.html(); err != nil || d.Find("input[name='code'], form#saml").Length() == 0 {
		return "", errors.New(t.page.says())
	}
	return "password accepted over LDAPS", nil
}

// secondFactor enrols an authenticator at the first sign-in, and keeps its key in the console's pocket authenticator,
// where a later tour over the same folder finds it.
func (t *tourist) secondFactor() (string, error) {
	d, err := t.page.html()
	if err != nil {
		return "", err
	}
	if d.Find("form#saml").Length() == 1 {
		return "no code was asked for", t.signedResponse()
	}
	if uri, first := d.Find("#otpauth").Attr("href"); first {
		if err := t.console(http.MethodPost, "authenticator", map[string]string{"uri": uri}, nil); err != nil {
			return "", err
		}
		code, _, err := t.phone()
		if err != nil {
			return "", err
		}
		if err := t.submit("code", url.Values{"code": {code}}); err != nil {
			return "", err
		}
		return "authenticator enrolled by its QR code's key, and proved", t.signedResponse()
	}
	// A code that was used before is refused; the next one comes within half a minute.
	for range 3 {
		code, left, err := t.phone()
		if err != nil {
			return "", err
		}
		if err := t.submit("code", url.Values{"code": {code}}); err != nil {
			return "", err
		}
		if t.signedResponse() == nil {
			return "code accepted", nil
		}
		if err := t.pause(left + time.Second); err != nil {
			return "", err
		}
	}
	return "", t.signedResponse()
}

// phone reads the code that the pocket authenticator shows, and how long it does.
func (t *tourist) phone() (string, time.Duration, error) {
	type shown struct {
		Account, Code string
		SecondsLeft   int64
	}
	var codes []shown
	if err := t.console(http.MethodGet, "authenticator", nil, &codes); err != nil {
		return "", 0, err
	}
	i := slices.IndexFunc(codes, func(c shown) bool {
		name, _, _ := strings.Cut(c.Account, "@")
		return name == t.user.Username
	})
	if i < 0 {
		return "", 0, fmt.Errorf("%s has an authenticator already, and the pocket authenticator does not know its key: paste it there", t.user.Username)
	}
	return codes[i].Code, time.Duration(codes[i].SecondsLeft) * time.Second, nil
}

func (t *tourist) signedResponse() error {
	if d, err := t.page.html(); err != nil || d.Find("form#saml").Length() == 0 {
		return errors.New(t.page.says())
	}
	return nil
}

func (t *tourist) assertion() (string, error) {
	if err := t.submit("SAMLResponse", url.Values{}); err != nil {
		return "", err
	}
	if to, err := t.page.Location(); err != nil || !to.Query().Has("code") {
		return "", fmt.Errorf("no authorization code: %s", t.page.says())
	}
	return "signed assertion accepted, authorization code issued", nil
}

func (t *tourist) callback() (string, error) {
	if err := t.follow(); err != nil {
		return "", err
	}
	kept := 0
	for _, c := range t.page.Cookies() {
		session := strings.HasPrefix(c.Name, "AWSELBAuthSessionCookie") || strings.HasPrefix(c.Name, "__Host-")
		if session && c.Value != "" && c.MaxAge >= 0 {
			kept++
		}
	}
	if to, err := t.page.Location(); kept == 0 || err != nil || to.Host != t.page.Request.URL.Host {
		return "", t.wrong("no session")
	}
	return fmt.Sprintf("code exchanged for tokens, session in %d cookie(s)", kept), nil
}

// signOut leaves by the page's own form and goes where it leads; who comes back has to sign in again.
func (t *tourist) signOut() (string, error) {
	if err := t.visit(http.MethodGet, t.info.URL, "", nil); err != nil {
		return "", err
	}
	d, err := t.page.html()
	if err != nil {
		return "", err
	}
	form := d.Find("form[action='/sign-out']").First()
	token, ok := form.Find("input[name='token']").Attr("value")
	if !ok {
		return "", t.wrong("no way to sign out")
	}
	site := strings.TrimSuffix(t.info.URL, "/")
	if err := t.send(http.MethodPost, site+"/sign-out", "application/x-www-form-urlencoded", strings.NewReader(url.Values{"token": {token}}.Encode())); err != nil {
		return "", err
	}
	for range 5 { // to the user pool, whose session ends, and back
		if _, err := t.page.Location(); err != nil {
			break
		}
		if err := t.follow(); err != nil {
			return "", err
		}
	}
	if t.page.StatusCode != http.StatusOK || t.page.Request.URL.Path != "/signed-out" {
		return "", t.wrong("not signed out")
	}
	if err := t.visit(http.MethodGet, t.info.URL, "", nil); err != nil {
		return "", err
	}
	if to, err := t.page.Location(); err != nil || to.Path != "/oauth2/authorize" {
		return "", errors.New("still signed in: the session's cookies were not all taken away")
	}
	return "signed out here and at the user pool; the page asks to sign in again", nil
}

// apiStatus is the part of the API's answers that the tour looks at.
type apiStatus struct {
	Endpoint     string
	State        string
	Reason       struct{ Code, Text string }
	Associations []struct{ ID, SubnetID, Status string }
	Until        time.Time
	Failure      *struct{ Step, Why string }
	AWS          *struct{ Service, Code, Message string }
	Stale        bool
	// of problem documents
	Type, Title, Detail string
}

// api calls the product. What fails there is blamed on the hop that its answer names.
func (t *tourist) api(method, path string, body any) (apiStatus, error) {
	var send io.Reader
	kind := ""
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return apiStatus{}, err
		}
		send, kind = bytes.NewReader(raw), "application/json"
	}
	if err := t.send(method, strings.TrimSuffix(t.info.URL, "/")+"/api/v1/endpoints"+path, kind, send); err != nil {
		return apiStatus{}, failed(t.info.Front, "%w", err)
	}
	return t.answer()
}

func (t *tourist) answer() (apiStatus, error) {
	var s apiStatus
	switch t.page.Header.Get("Content-Type") {
	case "application/json", "application/problem+json":
	default:
		if t.page.StatusCode == http.StatusBadGateway || t.page.StatusCode == http.StatusGatewayTimeout {
			return s, failed("lambda", "the load balancer says %s", t.page.says())
		}
		return s, failed(t.info.Front, "%s", t.page.says())
	}
	if err := json.Unmarshal(t.page.body, &s); err != nil {
		return s, failed("lambda", "%w", err)
	}
	aws := ""
	if s.AWS != nil {
		aws = fmt.Sprintf(" (%s: %s %s)", s.AWS.Service, s.AWS.Code, s.AWS.Message)
	}
	switch {
	case t.page.StatusCode < 300 && s.Stale:
		return s, failed(cmp.Or(service(s), "ec2"), "EC2 could not be asked%s", aws)
	case t.page.StatusCode < 300:
		return s, nil
	case strings.HasSuffix(s.Type, "sign-in-unavailable"):
		return s, failed("key-server", "%s", s.Detail)
	}
	return s, failed(cmp.Or(service(s), "lambda"), "%s: %s%s", t.page.Status, s.Detail, aws)
}

func service(s apiStatus) string {
	if s.AWS == nil {
		return ""
	}
	return s.AWS.Service
}

func (t *tourist) firstPage() (string, error) {
	began := time.Now()
	defer func() { t.looked = time.Since(began) }()
	if _, err := t.api(http.MethodGet, tourEndpoint, nil); err != nil {
		return "", err
	}
	if err := t.visit(http.MethodGet, t.info.URL, "", nil); err != nil {
		return "", failed(t.info.Front, "%w", err)
	}
	if t.page.StatusCode != http.StatusOK {
		return "", errors.New(t.page.says())
	}
	d, err := t.page.html()
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("the page answers: %q", strings.Join(strings.Fields(d.Find("h1").Text()), " ")), nil
}

// The one endpoint of the demo, by the name that its addresses have.
const tourEndpoint = "/office"

func (t *tourist) open() (string, error) {
	s, err := t.api(http.MethodPost, tourEndpoint+"/open", map[string]string{"for": (20*time.Second + 4*t.looked.Round(time.Second)).String(), "reason": "the tour"})
	if err != nil {
		return "", err
	}
	if t.page.StatusCode != http.StatusAccepted || len(s.Associations) == 0 {
		return "", fmt.Errorf("not opening: %s %s %s", t.page.Status, s.State, s.Reason.Text)
	}
	return fmt.Sprintf("%s %s", s.Associations[0].ID, s.Associations[0].Status), nil
}

func (t *tourist) deadman() (string, error) {
	var list struct {
		Schedules []struct{ Name, GroupName string }
	}
	raw, err := t.aws("scheduler", http.MethodGet, "/schedules?NamePrefix=nightlatch-cvpn-assoc", "", nil)
	if err != nil {
		return "", err
	}
	if err := json.Unmarshal(raw, &list); err != nil || len(list.Schedules) == 0 {
		return "", fmt.Errorf("no dead-man's switch: %s", firstLine(raw))
	}
	return "dead-man's switch armed: " + list.Schedules[0].Name, nil
}

// associated waits for AWS's part.
func (t *tourist) associated() (string, error) {
	for {
		s, err := t.api(http.MethodGet, tourEndpoint, nil)
		if err != nil {
			return "", err
		}
		if s.Failure != nil {
			return "", fmt.Errorf("%s: %s", s.Failure.Step, s.Failure.Why)
		}
		if len(s.Associations) > 0 && s.Associations[0].Status == "associated" {
			return "EC2 says associated", nil
		}
		if err := t.pause(500 * time.Millisecond); err != nil {
			return "", err
		}
	}
}

// ready waits for the latch's part: routes restored and checked, with nobody at a page to push it.
func (t *tourist) ready() (string, error) {
	late := time.Now().Add(15 * time.Second)
	for {
		s, err := t.api(http.MethodGet, tourEndpoint, nil)
		if err != nil {
			return "", err
		}
		if s.State == "open" {
			return "routes restored, ready: " + s.Reason.Text, nil
		}
		if time.Now().After(late) {
			return "", fmt.Errorf("15 s after EC2's association it is still %q: %s", s.State, s.Reason.Text)
		}
		if err := t.pause(500 * time.Millisecond); err != nil {
			return "", err
		}
	}
}

// console calls the demo's console, which plays what AWS's users own: a VPN client and a telephone.
func (t *tourist) console(method, path string, body, into any) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(t.ctx, method, t.info.ConsoleURL+"api/"+path, bytes.NewReader(raw))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := t.browser.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("console: %s", firstLine(answer))
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

func (t *tourist) connect() (string, error) {
	var made struct{ ID string }
	if err := t.console(http.MethodPost, "clients", map[string]string{"endpoint": t.info.EndpointID, "user": t.user.Username}, &made); err != nil {
		return "", err
	}
	if err := t.console(http.MethodPost, "clients/"+made.ID+"/traffic", map[string]int{"ingress": 200_000, "egress": 800_000}, nil); err != nil {
		return "", err
	}
	return made.ID + " connected, 1 MB moved", nil
}

func (t *tourist) extend() (string, error) {
	s, err := t.api(http.MethodPost, tourEndpoint+"/extend", map[string]string{"for": "5s"})
	if err != nil {
		return "", err
	}
	return "extended until " + s.Until.Format(time.TimeOnly), nil
}

func (t *tourist) disconnect() (string, error) {
	var state struct {
		Endpoints []struct{ Connections []struct{ ID string } }
	}
	if err := t.console(http.MethodGet, "state", nil, &state); err != nil {
		return "", err
	}
	n := 0
	for _, e := range state.Endpoints {
		for _, c := range e.Connections {
			if err := t.console(http.MethodDelete, "clients/"+c.ID, nil, nil); err != nil {
				return "", err
			}
			n++
		}
	}
	return fmt.Sprintf("%d client(s) gone; nobody presses anything from here on", n), nil
}

// closes watches at EC2, not at the page, how the endpoint goes off by itself.
func (t *tourist) closes() (string, error) {
	for {
		n, err := t.networks()
		if err != nil {
			return "", err
		}
		if !slices.Contains(n, "associated") && !slices.Contains(n, "associating") {
			s, err := t.api(http.MethodGet, tourEndpoint, nil)
			if err != nil {
				return "", err
			}
			return "it goes off by itself: " + s.Reason.Text, nil
		}
		if err := t.pause(500 * time.Millisecond); err != nil {
			return "", fmt.Errorf("EC2 still says %v: %w", n, err)
		}
	}
}

func (t *tourist) off() (string, error) {
	for {
		n, err := t.networks()
		if err != nil {
			return "", err
		}
		if len(n) == 0 {
			return "nothing is associated any more", nil
		}
		if err := t.pause(500 * time.Millisecond); err != nil {
			return "", fmt.Errorf("EC2 still says %v: %w", n, err)
		}
	}
}

// networks are the states of the endpoint's associations, asked of EC2 itself.
func (t *tourist) networks() ([]string, error) {
	form := url.Values{"Action": {"DescribeClientVpnTargetNetworks"}, "Version": {"2016-11-15"}, "ClientVpnEndpointId": {t.info.EndpointID}}
	raw, err := t.aws("ec2", http.MethodPost, "/", "application/x-www-form-urlencoded; charset=utf-8", []byte(form.Encode()))
	if err != nil {
		return nil, failed("ec2", "%w", err)
	}
	var answer struct {
		Networks []string `xml:"clientVpnTargetNetworks>item>status>code"`
	}
	if err := xml.Unmarshal(raw, &answer); err != nil {
		return nil, failed("ec2", "%w", err)
	}
	return slices.DeleteFunc(answer.Networks, func(s string) bool { return s == "disassociated" }), nil
}

// aws is a signed call with the operator's key.
func (t *tourist) aws(service, method, path, contentType string, body []byte) ([]byte, error) {
	r, err := http.NewRequestWithContext(t.ctx, method, t.info.AWS.EndpointURL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	sigv4.Sign(r, body, sigv4.Credentials{AccessKeyID: t.info.AWS.AccessKeyID, SecretAccessKey: t.info.AWS.SecretAccessKey}, service, t.info.AWS.Region, time.Now())
	resp, err := t.browser.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if bytes.Contains(raw, []byte("<Code>RequestLimitExceeded</Code>")) { // as every client of AWS, it asks again
		if err := t.pause(500 * time.Millisecond); err != nil {
			return nil, err
		}
		return t.aws(service, method, path, contentType, body)
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s: %s", resp.Status, firstLine(raw))
	}
	return raw, nil
}

// told looks at what came by the webhook, for those who had no page open.
func (t *tourist) told() (string, error) {
	late := time.Now().Add(15 * time.Second)
	for {
		var state struct{ Mail []struct{ Text string } }
		if err := t.console(http.MethodGet, "state", nil, &state); err != nil {
			return "", err
		}
		var ready, off bool
		for _, m := range state.Mail {
			ready, off = ready || strings.Contains(m.Text, "is ready"), off || strings.Contains(m.Text, "is off")
		}
		if ready && off {
			return fmt.Sprintf("people were told %d times, that it was ready and that it is off among them", len(state.Mail)), nil
		}
		if time.Now().After(late) {
			return "", fmt.Errorf("of the messages to people %d came, and not both that it was ready and that it is off", len(state.Mail))
		}
		if err := t.pause(500 * time.Millisecond); err != nil {
			return "", err
		}
	}
}

func (t *tourist) bill() (string, error) {
	var state struct {
		Bill struct{ Total, Upper, AlwaysOn string }
	}
	if err := t.console(http.MethodGet, "state", nil, &state); err != nil {
		return "", err
	}
	return fmt.Sprintf("AWS would have billed %s (%s)", state.Bill.Total, state.Bill.AlwaysOn), nil
}

// pause waits, and says which wait it was that the tour's time ended in.
func (t *tourist) pause(d time.Duration) error {
	select {
	case <-t.ctx.Done():
		return fmt.Errorf("the tour's time is over: %w", t.ctx.Err())
	case <-time.After(d):
		return nil
	}
}
