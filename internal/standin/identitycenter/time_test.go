package identitycenter

import (
	"encoding/base64"
	"image/png"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pquerna/otp/totp"
)

func TestCodes(t *testing.T) {
	key, err := newKey("alice@corp.example")
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 22, 9, 0, 10, 0, time.UTC)
	at := func(steps int) string {
		code, err := totp.GenerateCode(key.Secret(), now.Add(time.Duration(steps)*30*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	present := now.Unix() / stepSeconds
	for name, tc := range map[string]struct {
		code string
		last int64
		want verdict
	}{
		"the present code":                      {at(0), 0, codeRight},
		"one step late":                         {at(-1), 0, codeRight},
		"one step early":                        {at(1), 0, codeRight},
		"two steps late":                        {at(-2), 0, codeWrong},
		"two steps early":                       {at(2), 0, codeWrong},
		"the present code, spent":               {at(0), present, codeUsed},
		"the one before a spent one":            {at(-1), present, codeUsed},
		"the one after a spent one":             {at(1), present, codeRight},
		"nothing":                               {"", 0, codeWrong},
		"the present code while it is unproven": {at(0), present - 1, codeRight},
	} {
		e := &enrolment{Secret: key.Secret(), LastStep: tc.last}
		if got := e.try(tc.code, now, false); got != tc.want {
			t.Errorf("%s: got verdict %d, want %d", name, got, tc.want)
		}
		if tc.want == codeRight && e.try(tc.code, now, false) != codeUsed {
			t.Errorf("%s: the same code was good twice", name)
		}
	}

	e := &enrolment{Secret: key.Secret()}
	for i := range codeTries {
		want := codeWrong
		if i == codeTries-1 {
			want = codeLocked
		}
		if got := e.try(at(50), now, false); got != want {
			t.Errorf("wrong code %d: got verdict %d, want %d", i+1, got, want)
		}
	}
	if got := e.try(at(0), now.Add(codeLockout-time.Second), false); got != codeLocked {
		t.Errorf("while locked: got verdict %d, want locked", got)
	}
	later := now.Add(codeLockout)
	code, _ := totp.GenerateCode(key.Secret(), later)
	if got := e.try(code, later, false); got != codeRight {
		t.Errorf("after the lock-out: got verdict %d, want right", got)
	}
}

func TestQRCodeHasItsQuietZone(t *testing.T) {
	key, err := newKey("alice@corp.example")
	if err != nil {
		t.Fatal(err)
	}
	src, err := qrImage(key.URL())
	if err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(base64.NewDecoder(base64.StdEncoding, strings.NewReader(strings.TrimPrefix(string(src), "data:image/png;base64,"))))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		at   int // on the diagonal
		dark bool
	}{{0, false}, {15, false}, {16, true}, {19, true}, {20, false}} { // 4 modules of 4 pixels, then the finder's corner and its ring
		if r, _, _, _ := img.At(tc.at, tc.at).RGBA(); (r == 0) != tc.dark {
			t.Errorf("pixel %d,%d: got dark %v, want %v", tc.at, tc.at, r == 0, tc.dark)
		}
	}
}

func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(Config{
			BaseURL: "https://idc.test", LDAPURL: "ldaps://127.0.0.1:1", BindDN: "s", BindPassword: "p", BaseDN: "DC=x", Domain: "corp.example",
			Application: Application{Name: "VPN", ACSURL: "https://sp.test/acs", Audience: "urn:sp", StartURL: "https://vpn.test/", AssignedGroups: []string{"g"}},
			Log:         slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		h := s.Handler()
		do := func(target, cookie string) *httptest.ResponseRecorder {
			r := httptest.NewRequest("GET", target, nil)
			r.Header.Set("Cookie", cookie)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w
		}
		request := `<AuthnRequest xmlns="urn:oasis:names:tc:SAML:2.0:protocol" ID="_1" Version="2.0" IssueInstant="` + time.Now().UTC().Format(time.RFC3339) + `"><Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">urn:sp</Issuer></AuthnRequest>`
		r := httptest.NewRequest("POST", strings.TrimPrefix(s.ssoURL(), "https://idc.test"), strings.NewReader(url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(request))}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != http.StatusSeeOther {
			t.Fatalf("got %d, want a redirect to the form", w.Code)
		}
		set := w.Result().Cookies()[0]
		if !set.Secure || !set.HttpOnly || set.Path != "/" || set.Domain != "" || set.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(set.Name, "__Host-") {
			t.Errorf("cookie: got %v, want __Host-, Secure, HttpOnly, Lax", set)
		}
		form, cookie := w.Header().Get("Location"), set.Name+"="+set.Value
		time.Sleep(flowLifetime - time.Second)
		if w := do(form, cookie); w.Code != http.StatusOK {
			t.Errorf("just before its end the sign-in answered %d, want the form", w.Code)
		}
		time.Sleep(time.Second)
		if w := do(form, cookie); w.Code != http.StatusBadRequest {
			t.Errorf("after its end the sign-in answered %d, want 400", w.Code)
		}
		if len(s.flows) != 0 {
			t.Error("an expired sign-in is kept in memory")
		}

		s.state.Sessions[hash("x")] = session{User: "00", Name: "Alice Lee", Expires: time.Now().Add(sessionLifetime)}
		if w := do("/", sessionCookie+"=x"); !strings.Contains(w.Body.String(), "Alice Lee") {
			t.Error("a live session is not known on the portal")
		}
		time.Sleep(sessionLifetime)
		if w := do("/", sessionCookie+"=x"); strings.Contains(w.Body.String(), "Alice Lee") {
			t.Error("a session outlived its eight hours")
		}
	})
}
