//go:build !lambda

package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nightlatch/nightlatch/internal/config"
	"github.com/nightlatch/nightlatch/internal/latch"
	"github.com/nightlatch/nightlatch/internal/store"
)

func TestDefused(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "work": "work", "=1+1": "'=1+1", "+49 30": "'+49 30", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "\t=1": "'\t=1", "\r=1": "'\r=1", "\n=1": "'\n=1",
		"＝1": "'＝1", "1=1": "1=1", "it's": "it's", "x;=1+1": "x;'=1+1", "x; +1": "x; '+1", "a|b": "a|b",
	} {
		if got := defused(cell); got != want {
			t.Errorf("%q: got %q, want %q", cell, got, want)
		}
	}
}

func TestNetwork(t *testing.T) {
	for source, want := range map[string]string{
		"198.51.100.7": "198.51.100.0/24", "2001:db8:1:2:3::4": "2001:db8:1::/48", "::ffff:198.51.100.7": "198.51.100.0/24", "fe80::1%eth0": "fe80::/48",
		"command line": "command line", "": "", "kim's laptop": "", "198.51.100.7:443": "",
	} {
		if got := network(source); got != want {
			t.Errorf("%q: got %q, want %q", source, got, want)
		}
	}
}

// TestPseudonyms: what an entry says before and after is kept where it names nobody. A subject has the same pseudonym
// wherever it stands.
func TestPseudonyms(t *testing.T) {
	p := &pseudonyms{[]byte("0123456789abcdef")}
	e := p.entry(latch.Entry{ID: "e1", Subject: "kim", Issuer: "https://issuer.example", Name: "Kim Hana", Action: "block", Whose: "lee", Code: latch.OpenLease, Why: "for lee@example.com", Before: "kim", After: "lee",
		Source: "198.51.100.7", Request: "kim@example.com"})
	want := latch.Entry{ID: "e1", Subject: latch.Subject(p.of("kim")), Issuer: "https://issuer.example", Action: "block", Whose: latch.Subject(p.of("lee")), Code: latch.OpenLease, Before: p.of("kim"), After: p.of("lee"),
		Source: "198.51.100.0/24", Request: p.of("kim@example.com")}
	if e != want {
		t.Errorf("got\n%+v, want\n%+v", e, want)
	}
	if other := (&pseudonyms{[]byte("another key of 16")}); p.of("kim") == other.of("kim") || p.of("kim") == p.of("lee") || p.of("") != "" {
		t.Error("a pseudonym is of one text and one key")
	}
	for value, kept := range map[string]bool{
		"": true, "2026-03-01T09:30:00Z": true, "1h30m0s": true, "2": true, "10.9.0.0/16 via subnet-0a1": true, "cvpn-assoc-0a1": true, "off": true, "sg-0a, sg-0b": true,
		"off.hours until 2026-03-01T09:30:00Z, off.held until 2026-03-01T12:00:00Z": true, "break-glass": true, "192.168.1.0/24 via local": true,
		"Kim": false, "kim@example.com": false, "until Kim": false, "arn:aws:iam::111122223333:user/bob": false, "4915112345678": false, "198.51.100.7": false, "sg-office": false,
	} {
		if got := p.value(value); (got == value) != kept {
			t.Errorf("%q became %q", value, got)
		}
	}
}

// TestInOrder merges by time, and ends with the first error.
func TestInOrder(t *testing.T) {
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	source := func(end error, seconds ...int) iter.Seq2[latch.Entry, error] {
		return func(yield func(latch.Entry, error) bool) {
			for _, s := range seconds {
				if !yield(latch.Entry{ID: fmt.Sprint(s), At: at.Add(time.Duration(s) * time.Second)}, nil) {
					return
				}
			}
			if end != nil {
				yield(latch.Entry{}, end)
			}
		}
	}
	read := func(sources ...iter.Seq2[latch.Entry, error]) (all []string) {
		for e, err := range inOrder(sources) {
			if err != nil {
				return append(all, err.Error())
			}
			all = append(all, e.ID)
		}
		return all
	}
	for name, tt := range map[string]struct {
		got  []string
		want string
	}{
		"of none":                 {read(), ""},
		"of empty ones":           {read(source(nil), source(nil)), ""},
		"of several":              {read(source(nil, 1, 4, 5), source(nil), source(nil, 2, 3, 6, 7)), "1 2 3 4 5 6 7"},
		"one that fails at once":  {read(source(nil, 1), source(io.ErrUnexpectedEOF)), "unexpected EOF"},
		"one that fails later on": {read(source(nil, 1, 9), source(io.ErrUnexpectedEOF, 2, 3)), "1 2 3 unexpected EOF"},
	} {
		if got := strings.Join(tt.got, " "); got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
	}
}

// TestNoSecretIsTold plants secrets where the functions and operators get them, lets everything happen and go wrong that
// is told of, and looks for them in all that is written: the log, the audit, its exports, the record, the messages to
// people, and the answers to everybody but the secret's own browser.
func TestNoSecretIsTold(t *testing.T) {
	var log, told, answers bytes.Buffer
	secrets := map[string]string{}
	plant := func(what string) string {
		secrets[what] = "Canary" + strings.ReplaceAll(what, " ", "") + "x7f3Q9"
		return secrets[what]
	}
	g := newRig(t, 1, time.Second)
	g.log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g.config.Endpoints[0].Location = time.UTC
	office := g.config.Endpoints[0]
	secrets["AWS secret key"] = g.env("AWS_SECRET_ACCESS_KEY")

	// What a load balancer sends to the function is seen on the way.
	front := g.handlers[hostLambda]
	var tokens []string
	g.handlers[hostLambda] = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		var event struct{ MultiValueHeaders map[string][]string }
		if err := json.Unmarshal(raw, &event); err != nil {
			t.Error(err)
		}
		for name, values := range event.MultiValueHeaders {
			if strings.HasPrefix(name, "x-amzn-oidc-") && name != "x-amzn-oidc-identity" {
				tokens = append(tokens, values...)
			}
		}
		r.Body = io.NopCloser(bytes.NewReader(raw))
		front.ServeHTTP(w, r)
	})

	// The webhook repeats its address and refuses, for now and then for good.
	var (
		refuse atomic.Int32
		mu     sync.Mutex // guards told
	)
	refuse.Store(http.StatusServiceUnavailable)
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		io.Copy(&told, r.Body)
		w.WriteHeader(int(refuse.Load()))
		fmt.Fprintf(w, "cannot POST %s", r.RequestURI)
	}))
	defer hook.Close()
	webhook := hook.URL + "/services/" + plant("webhook")
	g.config.Notify = &config.Notify{Format: "json", Language: "en", Page: "https://vpn.localhost/"}
	tell, err := newNotify(g.config, func(string) string { return webhook }, hook.Client())
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := awsConfig(g.env, g.config.Region, g.client)
	if err != nil {
		t.Fatal(err)
	}
	beat, err := newKeeper(g.config, cfg, true, tell, g.log)
	if err != nil {
		t.Fatal(err)
	}

	// People come in with their session, with a stale form, and with tokens of their own making.
	session := g.signIn("kim-canary")
	for i, c := range session {
		if strings.HasPrefix(c.Name, "AWSELBAuthSessionCookie") && len(c.Value) > 20 {
			secrets[fmt.Sprint("session cookie ", i)] = c.Value[:40]
		}
	}
	api := "/api/v1/endpoints/" + office.Name
	for _, r := range []replied{
		g.ask(http.MethodPost, api+"/open", `{"for": "1h", "reason": "month's end"}`, session), g.ask(http.MethodPost, api+"/extend", `{"for": "900h"}`, session),
		g.ask(http.MethodGet, api, "", session), g.ask(http.MethodGet, "/", "", session), g.ask(http.MethodPost, "/endpoints/"+office.Name+"/open", "token="+plant("form token"), session),
	} {
		answers.WriteString(r.Body)
	}
	forged := httptest.NewRequest(http.MethodPost, "https://"+hostLambda+"/", nil)
	event := map[string]any{"httpMethod": "POST", "path": api + "/open", "multiValueQueryStringParameters": url.Values{}, "body": "{}", "requestContext": map[string]any{"elb": map[string]string{"targetGroupArn": "arn"}},
		"multiValueHeaders": map[string][]string{"host": {"vpn.localhost"}, "content-type": {"application/json"}, "x-amzn-oidc-data": {"e30." + plant("forged token") + ".c2ln"},
			"x-amzn-oidc-accesstoken": {plant("access token")}, "cookie": {"__Host-nightlatch=" + plant("cookie")}, "authorization": {"Bearer " + plant("bearer")}}}
	raw, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	forged.Body = io.NopCloser(bytes.NewReader(raw))
	w := httptest.NewRecorder()
	g.handlers[hostLambda].ServeHTTP(w, forged)
	answers.Write(w.Body.Bytes())
	// Here the access token is the person's name.
	tokens = slices.DeleteFunc(tokens, func(s string) bool { return strings.Contains(s, "Canary") || s == "kim-canary" })
	if len(tokens) == 0 {
		t.Fatal("the load balancer sent no token")
	}
	for i, token := range tokens {
		secrets[fmt.Sprint("token ", i)] = token[max(0, len(token)-40):] // the signature, and none of the claims
	}

	// An operator opens in an emergency, pauses, and ends what others have; the beat tells of it, in vain.
	who := latch.Principal{Subject: "arn:aws:iam::111122223333:user/ada", Issuer: "sts.amazonaws.com", Name: "ada"}
	q := latch.Request{Who: who, For: time.Hour, Why: "the plant is down", Source: sourceCommandLine, ID: "R1"}
	glass := q
	glass.BreakGlass = true
	_, err1 := beat.Open(t.Context(), office.ID, glass)
	_, err2 := beat.Pause(t.Context(), office.ID, q)
	_, err3 := beat.EndFor(t.Context(), office.ID, q, "kim-canary")
	err4 := beat.Beat(t.Context(), time.Millisecond)
	refuse.Store(http.StatusNotFound)
	_, err5 := beat.Open(t.Context(), office.ID, glass)
	err6 := beat.Beat(t.Context(), time.Millisecond)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		t.Fatal(err)
	}

	// Credentials that AWS does not take.
	bad, err := awsConfig(func(name string) string {
		return map[string]string{"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN", "AWS_SECRET_ACCESS_KEY": plant("secret key"), "AWS_SESSION_TOKEN": plant("session token")}[name]
	}, g.config.Region, g.client)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := newKeeper(g.config, bad, true, tell, g.log)
	if err != nil {
		t.Fatal(err)
	}
	_, err = stranger.Open(t.Context(), office.ID, q)
	if err == nil {
		t.Fatal("a stranger's credentials open")
	}
	report(err, &answers)
	report(stranger.Beat(t.Context(), time.Millisecond), &answers)

	// Everything that is read afterwards.
	s, err := store.New(store.Config{AWS: cfg, Table: g.config.Table})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	outputs := map[string]string{"the log": log.String(), "a message": told.String(), "an answer": answers.String()}
	var entries int
	for _, format := range []string{"csv", "json"} {
		var out bytes.Buffer
		x := newExport(&out, format)
		entries = 0
		for e, err := range s.Audit(t.Context(), office.ID, time.Time{}, time.Time{}) {
			if entries++; err != nil {
				t.Fatal(err)
			}
			if err := x.write(exportedEntry{Entry: e}); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.end(); err != nil {
			t.Fatal(err)
		}
		outputs["the "+format] = out.String()
	}
	if rows, err := csv.NewReader(strings.NewReader(outputs["the csv"])).ReadAll(); err != nil || len(rows) != entries+1 {
		t.Errorf("the CSV has %d rows of %d entries, %v", len(rows), entries, err)
	}
	var list []exportedEntry
	if err := json.Unmarshal([]byte(outputs["the json"]), &list); err != nil || len(list) != entries {
		t.Errorf("the JSON has %d of %d entries, %v", len(list), entries, err)
	}
	record, err := s.Load(t.Context(), office.ID)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	outputs["the record"] = string(kept)

	for _, want := range []string{"break-glass", "pause", "end-for", "notice.lost"} {
		if !strings.Contains(outputs["the csv"], want) {
			t.Errorf("the audit has no %s: what did not happen proves nothing\n%s", want, outputs["the csv"])
		}
	}
	if !strings.Contains(outputs["the log"], "message not sent yet") || !strings.Contains(told.String(), "break-glass") {
		t.Errorf("no message was tried in vain, or none told:\n%s\n%s", outputs["the log"], told.String())
	}
	for where, text := range outputs {
		for what, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds the %s: %s", where, what, secret)
			}
		}
	}
}
