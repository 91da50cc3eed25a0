package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/secret"
)

var until = time.Date(2026, 11, 20, 10, 5, 0, 0, time.UTC)

func config(url string) Config {
	seoul, err := time.LoadLocation("Asia/Seoul")
	if err != nil {
		panic(err)
	}
	return Config{URL: secret.New(url), Format: FormatSlack, Language: "en", Page: "https://vpn.example.com/",
		Endpoints: map[latch.EndpointID]Endpoint{"cvpn-endpoint-1": {"office", "Office <1> & co", seoul}},
		Reason:    func(c latch.Code) string { return "Because of " + string(c) + "." }}
}

// receiver answers with statuses in turn, the last for ever, and keeps what it was sent.
func receiver(t *testing.T, statuses ...int) (*httptest.Server, *[]string, *[]http.Header) {
	t.Helper()
	var bodies []string
	var headers []http.Header
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		bodies, headers = append(bodies, string(b)), append(headers, r.Header)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(statuses[min(len(bodies), len(statuses))-1])
		io.WriteString(w, "the receiver's words")
	}))
	t.Cleanup(s.Close)
	return s, &bodies, &headers
}

func TestEveryNoticeHasWordsInEveryLanguage(t *testing.T) {
	for _, l := range languages {
		c := config("https://hooks.example/x")
		c.Language = l
		s, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range latch.NoticeKinds {
			text, err := s.text(latch.Notice{Kind: k, Until: until, Reason: latch.ClosingIdle, Words: "<no room>"}, c.Endpoints["cvpn-endpoint-1"])
			if err != nil || text == "" || strings.Contains(text, "{") || strings.Contains(text, "<") {
				t.Errorf("%s in %s: %q, %v", k, l, text, err)
			}
		}
	}
	if _, err := New(config("https://hooks.example/x")); err != nil {
		t.Error(err)
	}
}

func TestSlack(t *testing.T) {
	s, bodies, headers := receiver(t, 200)
	c := config(s.URL)
	sender, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), latch.Notice{ID: "n1", Kind: latch.NoticeSoon, Endpoint: "cvpn-endpoint-1", Until: until}); err != nil {
		t.Fatal(err)
	}
	want := `{"text":"Office \u0026lt;1\u0026gt; \u0026amp; co: the VPN turns off at 19:05 KST unless somebody extends it.\nhttps://vpn.example.com/endpoints/office?look"}`
	if (*bodies)[0] != want || (*headers)[0].Get("Content-Type") != "application/json" || (*headers)[0].Get("Idempotency-Key") != "n1" {
		t.Errorf("got %s with %v\nwant %s", (*bodies)[0], (*headers)[0], want)
	}
}

func TestJSON(t *testing.T) {
	s, bodies, _ := receiver(t, 204)
	c := config(s.URL)
	c.Format = FormatJSON
	sender, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), latch.Notice{ID: "n1", Kind: latch.NoticeClosed, Endpoint: "cvpn-endpoint-1", At: until, Reason: latch.ClosingIdle}); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal([]byte((*bodies)[0]), &got); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]any{"id": "n1", "kind": "closed", "endpoint": "office", "endpointId": "cvpn-endpoint-1", "at": "2026-11-20T10:05:00Z", "reason": "closing.idle"} {
		if got[k] != want {
			t.Errorf("%s is %v, want %v", k, got[k], want)
		}
	}
}

// TestAReceiverThatRepeatsTheAddress: a webhook's address is a secret, and errors end in the log and in the audit.
func TestAReceiverThatRepeatsTheAddress(t *testing.T) {
	const secret = "T0CANARY/B0CANARY/x7Canary~Key%2F1"
	for name, status := range map[string]int{"for good": 404, "for now": 503} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(status)
				fmt.Fprintf(w, "cannot POST %s (%s), key %s, token %s%s", r.RequestURI, r.URL.Path, strings.Split(r.URL.Path, "/")[3], r.URL.Query().Get("token"), strings.Repeat(" "+r.URL.Path, 100))
			}))
			defer s.Close()
			sender, err := New(config(s.URL + "/services/" + secret + "?token=queryCanary"))
			if err != nil {
				t.Fatal(err)
			}
			err = sender.Send(t.Context(), latch.Notice{Kind: latch.NoticeReady, Endpoint: "cvpn-endpoint-1"})
			if err == nil || strings.Contains(strings.ToLower(err.Error()), "canary") || !strings.Contains(err.Error(), "cannot POST …") || len(err.Error()) > 300 {
				t.Errorf("got %v, want the receiver's words without the address", err)
			}
		})
	}
}

func TestABreakGlassIsTold(t *testing.T) {
	s, bodies, _ := receiver(t, 200)
	for _, format := range []string{FormatSlack, FormatJSON} {
		c := config(s.URL)
		c.Format = format
		sender, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(t.Context(), latch.Notice{ID: "n1", Kind: latch.NoticeBreakGlass, Endpoint: "cvpn-endpoint-1", Until: until, Who: "Ada <!channel>", Words: "the plant is down & out"}); err != nil {
			t.Fatal(err)
		}
	}
	var slack, plain map[string]string
	if err := errors.Join(json.Unmarshal([]byte((*bodies)[0]), &slack), json.Unmarshal([]byte((*bodies)[1]), &plain)); err != nil {
		t.Fatal(err)
	}
	want := "Office &lt;1&gt; &amp; co: Ada &lt;!channel&gt; turned the VPN on in an emergency, outside hours, orders and rules, until 19:05 KST. Reason: the plant is down &amp; out\nhttps://vpn.example.com/endpoints/office?look"
	if slack["text"] != want || plain["who"] != "Ada <!channel>" || plain["words"] != "the plant is down & out" || plain["kind"] != "break-glass" {
		t.Errorf("got %q and %v\nwant %q", slack["text"], plain, want)
	}
}

func TestWhatTheReceiverAnswers(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		kind   error
		never  bool
	}{
		"taken":                      {200, nil, false},
		"too many":                   {429, latch.ErrBusy, false},
		"out of order":               {503, latch.ErrBusy, false},
		"a redirect is not followed": {302, latch.ErrRefused, true},
		"the webhook was deleted":    {404, latch.ErrRefused, true},
		"a message it does not take": {400, latch.ErrRefused, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, bodies, _ := receiver(t, tt.status)
			sender, err := New(config(s.URL + "/services/SECRET"))
			if err != nil {
				t.Fatal(err)
			}
			err = sender.Send(t.Context(), latch.Notice{ID: "n1", Kind: latch.NoticeReady, Endpoint: "cvpn-endpoint-1"})
			if !errors.Is(err, tt.kind) || (err == nil) != (tt.kind == nil) {
				t.Errorf("%d: %v, want %v", tt.status, err, tt.kind)
			}
			if err != nil && (strings.Contains(err.Error(), "SECRET") || latch.IsNever(err) != tt.never) {
				t.Errorf("%d: %v: never %v, want %v, and without the address", tt.status, err, latch.IsNever(err), tt.never)
			}
			if len(*bodies) != 1 {
				t.Errorf("%d requests, want one", len(*bodies))
			}
		})
	}
}

func TestAReceiverThatIsAway(t *testing.T) {
	s, _, _ := receiver(t, 200)
	s.Close()
	sender, err := New(config(s.URL + "/services/SECRET"))
	if err != nil {
		t.Fatal(err)
	}
	err = sender.Send(t.Context(), latch.Notice{ID: "n1", Kind: latch.NoticeReady, Endpoint: "cvpn-endpoint-1"})
	if !errors.Is(err, latch.ErrUnavailable) || latch.IsNever(err) || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v, want a fault that a later try may mend, without the address", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sender.Send(ctx, latch.Notice{ID: "n1", Kind: latch.NoticeReady, Endpoint: "cvpn-endpoint-1"}); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	if err := sender.Send(t.Context(), latch.Notice{Endpoint: "cvpn-endpoint-2"}); !latch.IsNever(err) {
		t.Errorf("an endpoint that is no more: %v", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no address":                func(c *Config) { c.URL = secret.New("") },
		"plain http":                func(c *Config) { c.URL = secret.New("http://hooks.example/SECRET") },
		"a format from elsewhere":   func(c *Config) { c.Format = "teams" },
		"a language from elsewhere": func(c *Config) { c.Language = "de" },
		"no reasons":                func(c *Config) { c.Reason = nil },
	} {
		c := config("https://hooks.example/SECRET")
		change(&c)
		if _, err := New(c); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v, want an error without the address", name, err)
		}
	}
}
