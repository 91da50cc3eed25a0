package e2e

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/e2e/browser"
	"github.com/nightlatch/nightlatch/e2e/demo"
)

// visitor is somebody without a browser: forms, cookies and redirects are all that a sign-in needs.
type visitor struct {
	t       *testing.T
	d       *demo.Demo
	cookies map[string]map[string]string // by host
	link    string                       // of the authenticator
	spent   int64                        // its last step
}

func visit(t *testing.T, d *demo.Demo) *visitor {
	return &visitor{t: t, d: d, cookies: map[string]map[string]string{}}
}

type page struct {
	url    *url.URL
	status int
	body   string
}

var (
	errorText = regexp.MustCompile(`id="error"[^>]*>([^<]*)<`)
	formTag   = regexp.MustCompile(`(?s)<form[^>]*action="([^"]*)"[^>]*>(.*?)</form>`)
	hidden    = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
	otpauth   = regexp.MustCompile(`id="otpauth" href="([^"]*)"`)
	heading   = regexp.MustCompile(`<h1 id="heading"`)
)

// says is what went wrong, or nothing.
func (p page) says() string {
	if m := errorText.FindStringSubmatch(p.body); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
}

func (p page) signedIn() bool {
	return p.url.Hostname() == "vpn.localhost" && heading.MatchString(p.body)
}

func (p page) asks(field string) bool { return strings.Contains(p.body, `name="`+field+`"`) }

// load gets or posts, and follows redirects.
func (v *visitor) load(address string, form url.Values) (page, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if form != nil {
		method, body = http.MethodPost, strings.NewReader(form.Encode())
	}
	for range 20 {
		r, err := http.NewRequestWithContext(v.t.Context(), method, address, body)
		if err != nil {
			return page{}, err
		}
		if body != nil {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		r.Header.Set("Accept", "text/html")
		host := r.URL.Hostname()
		for name, value := range v.cookies[host] {
			r.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		resp, err := v.d.Client.Do(r)
		if err != nil {
			return page{}, err
		}
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return page{}, err
		}
		if v.cookies[host] == nil {
			v.cookies[host] = map[string]string{}
		}
		for _, c := range resp.Cookies() {
			if v.cookies[host][c.Name] = c.Value; c.MaxAge < 0 || !c.Expires.IsZero() && c.Expires.Before(time.Now()) {
				delete(v.cookies[host], c.Name)
			}
		}
		next, err := resp.Location()
		if errors.Is(err, http.ErrNoLocation) {
			return page{r.URL, resp.StatusCode, string(raw)}, nil
		}
		if err != nil {
			return page{}, err
		}
		method, body, address = http.MethodGet, nil, next.String()
	}
	return page{}, errors.New("redirected in circles")
}

// submit posts the form that asks for a field, with what is hidden in it.
func (v *visitor) submit(p page, field string, values url.Values) (page, error) {
	for _, f := range formTag.FindAllStringSubmatch(p.body, -1) {
		if !strings.Contains(f[2], `name="`+field+`"`) {
			continue
		}
		for _, in := range hidden.FindAllStringSubmatch(f[2], -1) {
			values.Set(in[1], html.UnescapeString(in[2]))
		}
		to, err := p.url.Parse(html.UnescapeString(f[1]))
		if err != nil {
			return page{}, err
		}
		return v.load(to.String(), values)
	}
	return page{}, fmt.Errorf("%s: no form asks for %s; it says %q", p.url.Host, field, p.says())
}

// password goes to the site and answers the sign-in form.
func (v *visitor) password(user, password string) page {
	v.t.Helper()
	p, err := v.load(v.d.URL, nil)
	must(v.t, err, "visit")
	p, err = v.submit(p, "password", url.Values{"username": {user}, "password": {password}})
	must(v.t, err, "password of %s", user)
	return p
}

// code enrols an authenticator where the page offers one, types its code, and goes on to the site.
func (v *visitor) code(p page) page {
	v.t.Helper()
	return v.goOn(v.typeCode(p))
}

// typeCode is code up to Identity Center's answer, which waits on the page.
func (v *visitor) typeCode(p page) page {
	v.t.Helper()
	if m := otpauth.FindStringSubmatch(p.body); m != nil {
		v.link, v.spent = html.UnescapeString(m[1]), 0
	}
	if v.link == "" {
		v.t.Fatalf("no authenticator to enrol; the page says %q", p.says())
	}
	// The code after the last one is early by one step at most where it was typed just now.
	v.spent = max(v.spent+1, time.Now().Unix()/30)
	code, err := browser.CodeAt(v.link, v.spent)
	must(v.t, err, "code")
	p, err = v.submit(p, "code", url.Values{"code": {code}})
	must(v.t, err, "type the code")
	return p
}

// goOn posts Identity Center's answer, if that is what the page is.
func (v *visitor) goOn(p page) page {
	v.t.Helper()
	if p.asks("SAMLResponse") {
		var err error
		p, err = v.submit(p, "SAMLResponse", url.Values{})
		must(v.t, err, "go on with the signed answer")
	}
	return p
}

func (v *visitor) signIn(user string) {
	v.t.Helper()
	if p := v.code(v.password(user, everybodys)); !p.signedIn() {
		v.t.Fatalf("%s is not signed in; %s says %q", user, p.url.Host, p.says())
	}
}

// after visits anew, with nothing left but Identity Center's session, until the page is as wanted.
func (v *visitor) after(within time.Duration, wanted func(page) bool) {
	v.t.Helper()
	eventually(v.t, within+time.Second, func() (bool, string) {
		for host := range v.cookies {
			if host != "identity-center.localhost" {
				delete(v.cookies, host)
			}
		}
		p, err := v.load(v.d.URL, nil)
		must(v.t, err, "visit again")
		p = v.goOn(p)
		return wanted(p), p.url.Host + " says " + p.says()
	})
}
