package alb

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlatch/nightlatch/internal/standin/switches"
)

// token is the x-amzn-oidc-data of the last event, with its header and payload.
func (w *world) token(t *testing.T) (token string, head, claims map[string]any) {
	t.Helper()
	token = w.fn.headers(t)["x-amzn-oidc-data"][0]
	parts := strings.Split(token, ".")
	for i, into := range []*map[string]any{&head, &claims} {
		raw, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, into); err != nil {
			t.Fatal(err)
		}
	}
	return token, head, claims
}

// Both sides of every unconfirmed fact, as a client meets them.
func TestUnconfirmed(t *testing.T) {
	status := func(resp *http.Response) string { return fmt.Sprint(resp.StatusCode) }
	callbackCookie := func(t *testing.T, w *world) string {
		b := w.browser(t)
		return b.callback(url.Values{"code": {w.idp.code()}, "state": b.authorize("/")["state"]}).Header.Get("Set-Cookie")
	}
	facts := map[string]struct {
		see     func(t *testing.T, w *world) string
		off, on string
	}{
		"LongURIIs414": {func(t *testing.T, w *world) string {
			resp := w.browser(t).get("/?" + strings.Repeat("x", maxRequestLine))
			return status(resp) + " " + strings.Split(text(t, resp), "<h1>")[1][:7]
		}, "400 400 Bad", "414 414 Req"},
		"RejectInvalidCookie": {func(t *testing.T, w *world) string {
			b := w.signIn(t)
			b.cookies["AWSELBAuthSessionCookie-0"] = "AAAA"
			return status(b.get("/"))
		}, "302", "401"},
		"NewNonces": {func(t *testing.T, w *world) string {
			b := w.browser(t)
			early, late := b.authorize("/")["state"], b.authorize("/")["state"]
			return status(b.callback(url.Values{"code": {w.idp.code()}, "state": early})) + " " + status(b.callback(url.Values{"code": {w.idp.code()}, "state": late}))
		}, "302 302", "401 302"},
		"ReplaysReachIdP": {func(t *testing.T, w *world) string {
			b := w.browser(t)
			q := url.Values{"code": {w.idp.code()}, "state": b.authorize("/")["state"]}
			b.callback(q)
			return status(b.callback(q))
		}, "401", "561"},
		"OversizeIs401": {func(t *testing.T, w *world) string {
			w.idp.accessLen = 11 << 10
			b := w.browser(t)
			return status(b.callback(url.Values{"code": {w.idp.code()}, "state": b.authorize("/")["state"]}))
		}, "500", "401"},
		"ScriptableCookie": {func(t *testing.T, w *world) string {
			return fmt.Sprint(strings.Contains(callbackCookie(t, w), "HttpOnly"))
		}, "true", "false"},
		"CookieSameSiteNone": {func(t *testing.T, w *world) string {
			return fmt.Sprint(strings.Contains(callbackCookie(t, w), "SameSite=None"))
		}, "false", "true"},
		"TokensLiveTwoMinutes": {func(t *testing.T, w *world) string {
			w.signIn(t).get("/")
			_, head, claims := w.token(t)
			if head["exp"] != claims["exp"] {
				t.Errorf("exp is %v in the header and %v in the payload, want the same", head["exp"], claims["exp"])
			}
			return (time.Duration(head["exp"].(float64))*time.Second - time.Duration(time.Now().Unix())*time.Second).String()
		}, "1m0s", "2m0s"},
		"TokensUnpadded": {func(t *testing.T, w *world) string {
			w.signIn(t).get("/")
			token, head, _ := w.token(t)
			parts := strings.Split(token, ".")
			sig, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[2], "="))
			if err != nil || len(sig) != 64 {
				t.Fatalf("signature of %d bytes, %v", len(sig), err)
			}
			digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
			if !ecdsa.Verify(publicKey(t, w, head["kid"].(string)), digest[:], new(big.Int).SetBytes(sig[:32]), new(big.Int).SetBytes(sig[32:])) {
				t.Error("the signature is not over the segments as they are sent")
			}
			return fmt.Sprint(strings.Count(parts[2], "="), strings.Contains(token, "=."))
		}, "2 true", "0 false"},
		"ExpiryInHeaderOnly": {func(t *testing.T, w *world) string {
			w.idp.claims["exp"], w.idp.claims["iss"] = 99999999999, "https://evil.example"
			w.signIn(t).get("/")
			_, head, claims := w.token(t)
			if head["exp"] == nil || head["iss"] != issuer {
				t.Errorf("header %v lacks exp or iss", head)
			}
			return fmt.Sprintf("%v %v", claims["exp"] != nil, claims["iss"])
		}, "true " + issuer, "false <nil>"},
		"NotUTF8Is502": {func(t *testing.T, w *world) string {
			return status(w.signIn(t).do("GET", "/", "", http.Header{"X-Name": {"\xff"}}))
		}, "400", "502"},
		"InvokesTwice": {func(t *testing.T, w *world) string {
			w.fn.answer = func(rw http.ResponseWriter) {
				fmt.Fprintf(rw, `{"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":false,"multiValueHeaders":{},"body":"answer %d"}`, len(w.fn.events))
			}
			resp := w.signIn(t).get("/")
			if n := len(w.fn.events); n == 2 && string(w.fn.events[0]) != string(w.fn.events[1]) {
				t.Error("the second event is another one")
			}
			return text(t, resp)
		}, "answer 1", "answer 2"},
		"ShortAnswersPass": {func(t *testing.T, w *world) string {
			var all []string
			for _, answer := range []string{`{"statusCode":204}`, `{"statusCode":200,"headers":{"x-lost":"1"},"body":"hi"}`, `{"body":"hi"}`, `{"statusCode":200,"statusDescription":null}`,
				`{"statusCode":200,"isBase64Encoded":null}`, `{"statusCode":200,"multiValueHeaders":null}`} {
				w.fn.answer = func(rw http.ResponseWriter) { io.WriteString(rw, answer) }
				resp := w.signIn(t).get("/")
				all = append(all, status(resp)+resp.Header.Get("X-Lost"))
			}
			return strings.Join(all, " ")
		}, "502 502 502 502 502 502", "204 200 502 502 502 502"},
		"HeadersReversed": {func(t *testing.T, w *world) string {
			return fmt.Sprint(w.signIn(t).get("/").Header.Values("Set-Cookie"))
		}, "[a=1 b=2]", "[b=2 a=1]"},
		"ServerOnAnswers": {func(t *testing.T, w *world) string {
			first := w.signIn(t).get("/").Header.Get("Server")
			w.fn.answer = func(rw http.ResponseWriter) {
				io.WriteString(rw, `{"statusCode":200,"statusDescription":"200 OK","isBase64Encoded":false,"multiValueHeaders":{"server":["mine"]}}`)
			}
			return first + "," + w.signIn(t).get("/").Header.Get("Server")
		}, ",mine", "awselb/2.0,mine"},
	}
	for name, fact := range facts {
		for on, want := range map[bool]string{false: fact.off, true: fact.on} {
			t.Run(fmt.Sprintf("%s %v", name, on), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t, nil)
					if on {
						w.turnOn(t, name)
					}
					if got := fact.see(t, w); got != want {
						t.Errorf("got %q, want %q\n%s", got, want, w.log)
					}
				})
			})
		}
	}
	for _, s := range newWorld(t, nil).Switches() {
		if _, ok := facts[s.Name]; !ok {
			t.Errorf("no test sees what %s changes", s.Name)
		}
	}
}

func (w *world) turnOn(t *testing.T, name string) {
	t.Helper()
	for _, s := range w.Switches() {
		if s.Name == name {
			s.Set(true)
			return
		}
	}
	t.Fatalf("no switch is called %s", name)
}

func TestEveryUnconfirmedFactHasItsSwitch(t *testing.T) {
	w := newWorld(t, nil)
	fields := reflect.ValueOf(&w.Server.c.Unconfirmed).Elem()
	all := w.Switches()
	if len(all) != fields.NumField() {
		t.Errorf("%d switches for %d facts", len(all), fields.NumField())
	}
	for _, s := range all {
		if !strings.HasSuffix(s.About, ".") || s.On() {
			t.Errorf("%s: on from the start, or without a sentence: %q", s.Name, s.About)
		}
		s.Set(true)
		if f := fields.FieldByName(s.Name); !f.IsValid() || !f.Bool() || !s.On() {
			t.Errorf("%s flips another field than its own", s.Name)
		}
	}
}

// The race detector is the judge.
func TestSwitchesCanFlipWhileRequestsRun(t *testing.T) {
	w := newWorld(t, nil)
	b := w.signIn(t)
	var flipping sync.WaitGroup
	flipping.Go(func() {
		for range 10 {
			for _, s := range w.Switches() {
				s.Set(!s.On())
			}
		}
	})
	for range 20 {
		b.get("/")
		w.browser(t).get("/")
	}
	flipping.Wait()
}

func TestClockOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &switches.Clock{}
		w := newWorld(t, func(c *Config) { c.Clock = clock }) // session one hour, access token ten minutes
		finish := func(b *browser, q url.Values) *http.Response {
			return b.callback(url.Values{"code": {w.idp.code()}, "state": q["state"]})
		}

		clock.Put(5 * time.Minute)
		theirs := time.Now().Add(5 * time.Minute)
		b := w.browser(t)
		resp := finish(b, b.authorize("/"))
		for _, c := range resp.Cookies() {
			if want := theirs.Add(7 * 24 * time.Hour).UTC().Truncate(time.Second); !c.Expires.Equal(want) {
				t.Errorf("cookie %s expires at %v, want %v", c.Name, c.Expires, want)
			}
		}
		if got, want := resp.Header.Get("Date"), theirs.UTC().Format(http.TimeFormat); got != want {
			t.Errorf("Date: got %s, want %s", got, want)
		}
		b.get("/")
		_, head, _ := w.token(t)
		if got, want := int64(head["exp"].(float64)), theirs.Add(time.Minute).Unix(); got != want {
			t.Errorf("token expires at %d, want %d", got, want)
		}
		if got, want := w.fn.headers(t)["x-amzn-trace-id"][0], fmt.Sprintf("Root=1-%08x-", theirs.Unix()); !strings.HasPrefix(got, want) {
			t.Errorf("trace %s, want %s…", got, want)
		}

		calls := w.idp.calls
		clock.Put(15*time.Minute - time.Second)
		if b.get("/"); w.idp.calls != calls {
			t.Error("refreshed a second before the access token is over")
		}
		clock.Put(15 * time.Minute)
		if got := b.get("/").StatusCode; got != 200 || w.idp.calls != calls+1 {
			t.Errorf("got %d after %d refreshes, want 200 after 1: the access token is over by its clock, and Lambda judges signatures by the right one\n%s", got, w.idp.calls-calls, w.log)
		}
		clock.Put(65 * time.Minute)
		b.authorize("/") // the session is over by its clock

		clock.Put(0)
		b = w.browser(t)
		q := b.authorize("/")
		clock.Put(15*time.Minute + time.Second)
		if got := finish(b, q).StatusCode; got != 401 {
			t.Errorf("fifteen minutes are over by its clock: got %d, want 401", got)
		}
		clock.Put(2 * time.Hour)
		if got := finish(b, b.authorize("/")).StatusCode; got != 401 || !strings.Contains(w.log.String(), "why=AuthInvalidIdToken") {
			t.Errorf("an ID token that is over by its clock: got %d, want 401", got)
		}
	})
}
